//! An entry of the audit as a person reads it. What it does not know by name it tells as it was written.

use std::fmt::Write as _;

use detector::visible;
use revoker::audit::Entry;
use serde_json::Value;

use crate::terminal;

/// One entry: when, what and about whom, and below it the particulars.
pub(super) fn entry(entry: &Entry) -> String {
    let mut text = format!("{}  {:<22}", entry.at, entry.kind);
    if let Some(agent) = &entry.agent {
        // Writing into a string cannot fail.
        write!(text, " {}", visible(&agent.to_string())).ok();
    }
    let body = &terminal::visible(&entry.body);
    let lines = match entry.kind.as_str() {
        "standing.changed" => change(body),
        kind if kind.starts_with("delivery.") || kind == "target.disabled" => delivery(body),
        _ => None,
    };
    for line in lines.unwrap_or_else(|| particulars(body)) {
        write!(text, "\n    {line}").ok();
    }
    text
}

fn change(body: &Value) -> Option<Vec<String>> {
    let input = &body["input"];
    let (from, to) = (body["from"].as_str()?, body["to"]["standing"].as_str()?);
    let mut lines = vec![format!("{from} -> {to}: {}", told(input["input"].as_str()?, input))];
    if let Some(effects) = body["effects"].as_array().filter(|effects| !effects.is_empty()) {
        let name = |effect: &Value| Some(effect["event"].as_str().or(effect["effect"].as_str())?.to_owned());
        let names: Vec<_> = effects.iter().filter_map(name).map(|name| name.replace('_', " ")).collect();
        lines.push(format!("what follows: {}", names.join(", ")));
    }
    Some(lines)
}

/// An input with who gave it and why, or how strong the evidence was; `tocsin explain` says what it is.
fn told(name: &str, input: &Value) -> String {
    let mut text = name.replace('_', " ");
    if let Some(by) = input["by"].as_str() {
        write!(text, " by {by}").ok();
    }
    if let Some(reason) = input["reason"].as_str() {
        write!(text, ", {reason}").ok();
    }
    let evidence = &input["evidence"];
    if let (Some(verdict), Some(level)) = (evidence["verdict"].as_str(), evidence["level"].as_f64()) {
        write!(text, " {verdict} at {level:.1} bits").ok();
    }
    if let Some(rule) = evidence["rule"]["kind"].as_str() {
        write!(text, ", which broke the rule {rule}").ok();
    }
    text
}

fn delivery(body: &Value) -> Option<Vec<String>> {
    let receipt = &body["receipt"];
    let mut line =
        format!("{} {} to {}", body["type"].as_str()?, body["id"].as_str()?, body["target"].as_str()?);
    write!(line, ": {} at attempt {}", receipt["outcome"].as_str()?, receipt["attempt"]).ok();
    if let Some(status) = receipt["status"].as_u64() {
        write!(line, ", answered {status}").ok();
    }
    Some(vec![line])
}

fn particulars(body: &Value) -> Vec<String> {
    body.as_object().map_or_else(|| vec![body.to_string()], |members| vec![pairs(members)])
}

fn pairs(members: &serde_json::Map<String, Value>) -> String {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{name} {text}")),
        value => Some(format!("{name} {value}")),
    };
    members.iter().filter_map(pair).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, body: &Value) -> String {
        let entry = json!({
            "seq": 1, "at": "2026-03-02T09:00:00Z", "txn": "0", "agent": {"issuer": null, "agent_id": "mailer"},
            "kind": kind, "body": body, "hash": "",
        });
        super::entry(&serde_json::from_value(entry).unwrap())
    }

    #[test]
    fn entries_read_as_sentences() {
        let input = json!({"input": "revoke", "by": "Dana", "reason": "leaked key"});
        let effects = json!([{"effect": "list"}, {"effect": "publish", "event": "revoked"}]);
        let changed =
            json!({"from": "trusted", "to": {"standing": "revoked"}, "input": input, "effects": effects});
        let evidence =
            json!({"verdict": "7e3f", "level": 12.34, "added": 1.0, "rule": {"kind": "rate_ceiling"}});
        let input = json!({"input": "verdict", "evidence": evidence});
        let judged =
            json!({"from": "trusted", "to": {"standing": "challenged"}, "input": input, "effects": []});
        let receipt = json!({"outcome": "acknowledged", "attempt": 2, "status": 204});
        let sent =
            json!({"type": "agent.access.revoked", "id": "evt_1", "target": "idp", "receipt": receipt});
        insta::assert_snapshot!(
            [
                told("standing.changed", &judged),
                told("standing.changed", &changed),
                told("delivery.acknowledged", &sent),
                // Of another version of the program.
                told("standing.changed", &json!({"was": "trusted"})),
                told("approval.settled", &json!({"choice": "approve", "by": "Dana", "grant": null})),
            ]
            .join("\n"),
            @"
        2026-03-02T09:00:00Z  standing.changed       mailer
            trusted -> challenged: verdict 7e3f at 12.3 bits, which broke the rule rate_ceiling
        2026-03-02T09:00:00Z  standing.changed       mailer
            trusted -> revoked: revoke by Dana, leaked key
            what follows: list, revoked
        2026-03-02T09:00:00Z  delivery.acknowledged  mailer
            agent.access.revoked evt_1 to idp: acknowledged at attempt 2, answered 204
        2026-03-02T09:00:00Z  standing.changed       mailer
            was trusted
        2026-03-02T09:00:00Z  approval.settled       mailer
            by Dana, choice approve
        "
        );
    }
}
