//! Rows of the register for people. Nothing hides in the texts of a row: who prints it has seen to that.

use serde_json::Value;

/// An agent, and a line for each thing that is wrong with it.
pub(super) fn agent(row: &Value) -> Option<String> {
    let told = |field: &str| text(&row[field]);
    let mut lines = vec![format!(
        "{:<10} {}  owner {}  sponsor {}  manifest {}  last seen {}  reviewed {}  {} calls",
        row["standing"].as_str()?,
        name(&row["agent"])?,
        told("owner"),
        told("sponsor"),
        told("manifest"),
        told("last_seen"),
        told("last_review"),
        row["calls"],
    )];
    for finding in row["findings"].as_array()? {
        let lists = ["owasp_nhi", "owasp_agentic", "attack", "atlas", "nist_800_207"];
        let ids: Vec<&str> = lists
            .iter()
            .flat_map(|list| finding[list].as_array().into_iter().flatten())
            .filter_map(|entry| identifier(entry.as_str()?))
            .collect();
        let (kind, said) = (finding["kind"].as_str()?, finding["said"].as_str()?);
        lines.push(format!("{kind}: {said} ({})", ids.join(", ")));
    }
    Some(lines.join("\n    "))
}

/// How an entry of a list is cited: by its number.
fn identifier(entry: &str) -> Option<&str> {
    match entry.split_once(": ") {
        // "tenet 3: …" of NIST SP 800-207
        Some((tenet, _)) if tenet.starts_with("tenet ") => Some(tenet),
        _ => entry.split(' ').next(),
    }
}

/// An agent about whom something was withheld.
pub(super) fn withheld(row: &Value) -> Option<String> {
    let by = &row["withheld"];
    let cap = match by["cap"].as_str() {
        Some(cap) => format!(" ({cap}: {} of {}, {} open to it)", by["used"], by["limit"], by["room"]),
        None => String::new(),
    };
    Some(format!(
        "{:<10} {}  would have: {}  withheld by {}{cap}  since {}",
        row["standing"].as_str()?,
        name(&row["agent"])?,
        text(&row["would"]),
        text(&by["by"]),
        text(&row["changed_at"]),
    ))
}

/// How often an agent called an endpoint.
pub(super) fn endpoint_use(row: &Value) -> Option<String> {
    Some(format!(
        "{}  {}  {} calls, {} tokens, {} sessions, last {}",
        name(row)?,
        text(&row["endpoint"]),
        row["calls"].as_u64()?,
        row["tokens"].as_u64()?,
        row["sessions"].as_u64()?,
        text(&row["last_seen"]),
    ))
}

/// An agent under the one that spawned it.
pub(super) fn branch(row: &Value) -> Option<String> {
    let depth = usize::try_from(row["depth"].as_u64()?).ok()?;
    let (children, calls, all) =
        (row["children"].as_u64()?, row["calls"].as_u64()?, row["line_calls"].as_u64()?);
    let whose = match row["parent"].as_str() {
        Some(parent) if depth == 0 => format!(" under {parent}"),
        _ => String::new(),
    };
    let below = match children {
        0 => String::new(),
        _ => format!(", {children} below it, {all} calls in all"),
    };
    Some(format!("{}{}{whose}  {calls} calls{below}", "  ".repeat(depth), name(&row["agent"])?))
}

/// How an agent compares with its manifest.
pub(super) fn drift(row: &Value) -> Option<String> {
    let basis = &row["rests_on"];
    let mut lines = vec![format!(
        "{}  manifest {}  {} calls on {:.1} days, {} to {}",
        name(&row["agent"])?,
        text(&row["manifest"]),
        basis["calls"].as_u64()?,
        basis["days"].as_f64()?,
        text(&basis["first_seen"]),
        text(&basis["last_seen"]),
    )];
    for found in row["observed"].as_array()? {
        let calls = found["calls"].as_u64().map_or_else(String::new, |calls| format!(" ({calls} calls)"));
        lines.push(format!("{}: {}{calls}", found["what"].as_str()?, text(&found["value"])));
    }
    for unused in row["unused"].as_array()? {
        lines.push(format!("never used: {} {}", unused["what"].as_str()?, text(&unused["value"])));
    }
    if row["observed"].as_array()?.is_empty() && row["unused"].as_array()?.is_empty() {
        lines.push("as declared".to_owned());
    }
    Some(lines.join("\n    "))
}

/// An agent by its name, under its issuer.
fn name(of: &Value) -> Option<String> {
    let agent = of["agent_id"].as_str()?;
    Some(match of["issuer"].as_str() {
        Some(issuer) => format!("{agent} at {issuer}"),
        None => agent.to_string(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), ToOwned::to_owned)
}
