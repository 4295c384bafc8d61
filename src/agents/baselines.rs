//! `tocsin agents history | diff | revert`: versions of what an agent is like.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::exit::Result;
use crate::operate::{Agent, Target, ask, print_rows};
use crate::terminal::{self, say};

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    agent: Agent,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    agent: Agent,
    /// The earlier version, by its number in the history; without it, the last but one.
    #[arg(requires = "to")]
    from: Option<i64>,
    /// The later one; without it, the last.
    to: Option<i64>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct RevertArgs {
    #[command(flatten)]
    agent: Agent,
    /// The version to go back to, by its number in the history.
    #[arg(value_name = "VERSION")]
    to: i64,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

pub(super) fn history(HistoryArgs { agent, json, target }: &HistoryArgs) -> Result<()> {
    let answer = ask(target, Method::GET, "/v1/agents/history", &agent.query(), None)?;
    print_rows(&answer, *json, line)
}

fn line(row: &Value) -> Option<String> {
    let summary = &row["summary"];
    let known = |what: &str| {
        let known = summary["known"].as_array().into_iter().flatten().find(|known| known["what"] == what);
        known.and_then(|known| known["values"].as_array()).map_or(0, Vec::len)
    };
    let usable = if row["is_usable"] == true { "" } else { "  (packed by another version of this program)" };
    Some(format!(
        "{:>5}  {}  {:<7} {:>8.1} calls an hour, a gap of {:.1} s, {} endpoints, {} networks, {} clients{usable}",
        row["version"].as_i64()?,
        row["ts"].as_str()?,
        row["cause"].as_str()?,
        summary["per_hour"].as_f64()?,
        summary["gap_s"].as_f64()?,
        summary["endpoints"].as_array()?.len(),
        known("networks"),
        known("clients"),
    ))
}

pub(super) fn diff(DiffArgs { agent, from, to, json, target }: &DiffArgs) -> Result<()> {
    let (from, to) = (from.map(|version| version.to_string()), to.map(|version| version.to_string()));
    let mut query = agent.query();
    query.extend(from.as_deref().map(|from| ("from", from)));
    query.extend(to.as_deref().map(|to| ("to", to)));
    let answer = ask(target, Method::GET, "/v1/agents/diff", &query, None)?;
    if *json {
        return terminal::json(&answer);
    }
    let answer = terminal::visible(&answer);
    say!("{} to {}", answer["from"], answer["to"]);
    let changes = answer["changes"].as_array().map_or(&[][..], Vec::as_slice);
    for change in changes {
        say!("    {}", change.as_str().unwrap_or("?"));
    }
    if changes.is_empty() {
        say!("    nothing that can be read has changed");
    }
    Ok(())
}

pub(super) fn revert(RevertArgs { agent, to, reason, target }: &RevertArgs) -> Result<()> {
    let body = json!({
        "agent_id": agent.agent_id, "issuer": agent.issuer, "to": to, "person": target.person(), "reason": reason,
    });
    terminal::json(&ask(target, Method::POST, "/v1/agents/revert", &[], Some(body))?)
}
