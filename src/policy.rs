//! `tocsin policy`: policies as data. Is one right, which of its rules decides about a call, what has changed between two.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use detector::{MicroBits, VerdictRecord, visible};
use ingest::decode::{Tally, native};
use reqwest::Method;
use revoker::config::PolicyConfig;
use revoker::groups::Groups;
use revoker::policy::Policy;
use revoker::policy::when::{Facts, When};
use revoker::whom::Named;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::ConfigArg;
use crate::config::{self, Config};
use crate::exit::{Code, OrExit, Result};
use crate::operate::{Target, ask};
use crate::terminal::say;

#[derive(Subcommand, Debug)]
pub(crate) enum PolicyCommand {
    /// Read a policy's file, say what is wrong with it or its version, and exit with 0 or 78.
    Check {
        /// The file that `policy_file` names.
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Say which rule decides about an agent's last verdict, or a recorded call, and why those before it do not.
    #[command(after_help = "Examples:\n  tocsin policy explain billing-001 --issuer https://idp.example\n  \
        tocsin policy explain --event call.json --policy policy.toml")]
    Explain(ExplainArgs),
    /// What differs between two policies.
    Diff {
        /// The one.
        old: PathBuf,
        /// The other.
        new: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The agent; or a call by `--event`.
    #[arg(required_unless_present = "event")]
    agent_id: Option<String>,
    /// Under which issuer that is its name.
    #[arg(long, requires = "agent_id")]
    issuer: Option<String>,
    /// A file with one call in the native format; nothing is known of its evidence.
    #[arg(long, value_name = "FILE", conflicts_with = "agent_id")]
    event: Option<PathBuf>,
    /// The policy's file; without it, the policy of the configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(command: &PolicyCommand) -> Result<()> {
    match command {
        PolicyCommand::Check { file, config } => {
            let read = config::policy::read(file).or_exit(Code::Config)?;
            let rules = Vec::<When>::from(read.when.clone()).len();
            let policy = Policy::new(Config::load(config.config.as_deref())?.budgets, read);
            say!("the policy is right: version {}, {rules} rules", policy.version());
            Ok(())
        }
        PolicyCommand::Explain(args) => explain(args),
        PolicyCommand::Diff { old, new } => diff(old, new),
    }
}

fn explain(args: &ExplainArgs) -> Result<()> {
    let config = args.target.config()?;
    let own = args.policy.as_deref().map(config::policy::read).transpose().or_exit(Code::Config)?;
    let policy = Policy::new(config.budgets, own.unwrap_or(config.policy));
    let groups = Groups::declared(&config.manifests);
    say!("policy {}", policy.version());
    if let Some(file) = &args.event {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string()).or_exit(Code::NoInput)?;
        let call = native::decode(bytes.trim_ascii(), &mut Tally::new())
            .map_err(|e| anyhow!("{}: {e}", file.display()))
            .or_exit(Code::DataErr)?;
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        looked_at(
            &policy,
            &Facts {
                who: Named { issuer, agent_id, group: groups.of(issuer, agent_id) },
                kind: call.kind,
                endpoint: &call.endpoint,
                method: call.method.as_deref(),
                operation: call.operation.as_deref(),
                ts: call.ts,
                attestation: call.claimed,
                source_ip: call.source_ip,
            },
        );
        return Ok(());
    }
    let mut query = vec![("agent_id", args.agent_id.as_deref().unwrap_or_default())];
    query.extend(args.issuer.as_deref().map(|issuer| ("issuer", issuer)));
    let answer = ask(&args.target, Method::GET, "/v1/explain", &query, None)?;
    let record =
        VerdictRecord::deserialize(&answer).context("the answer is no verdict").or_exit(Code::Unavailable)?;
    let group = groups.of(record.issuer.as_deref(), &record.agent_id);
    let facts = Facts::of(&record, group);
    say!("{} called {} at {}", visible(&record.agent_id), visible(record.called()), record.verdict.ts);
    looked_at(&policy, &facts);
    let evidence = policy.evidence(&record, group);
    let demand = policy.demand(&evidence, MicroBits::ZERO);
    let answer = policy.on(&evidence).for_agent(&facts.who).answer(demand);
    let withheld = answer.withheld.map_or_else(String::new, |why| format!(": {why}"));
    say!(
        "{} bits ask for {}; what is done is {}{withheld}",
        evidence.level,
        demand.as_str(),
        answer.does.as_str()
    );
    Ok(())
}

fn looked_at(policy: &Policy, facts: &Facts<'_>) {
    let risks = policy.config().risk.of(facts.method, facts.endpoint, facts.operation);
    let risks: Vec<&str> = risks.iter().map(|risk| risk.as_str()).collect();
    say!("risk: {}", if risks.is_empty() { "none".to_owned() } else { risks.join(", ") });
    let mut decided = false;
    for (rule, misfit) in policy.explain(facts) {
        if let Some(condition) = misfit {
            say!("rule `{}` does not fit: {condition}", rule.name);
            continue;
        }
        decided = true;
        let said = [("at least", rule.at_least), ("at most", rule.at_most)];
        let said =
            said.into_iter().filter_map(|(bound, answer)| Some(format!("{bound} {}", answer?.as_str())));
        let said =
            said.chain(rule.while_asked.map(|does| format!("while a human is asked {}", does.as_str())));
        let said = said.collect::<Vec<_>>().join(", ");
        let said = if said.is_empty() { "what the evidence asks for" } else { &said };
        say!("rule `{}` decides: {said}", rule.name);
    }
    if !decided {
        say!("no rule fits: what the evidence asks for");
    }
}

fn diff(old: &Path, new: &Path) -> Result<()> {
    let read = |path: &Path| -> Result<Value> {
        let policy: PolicyConfig = config::policy::read(path).or_exit(Code::Config)?;
        Ok(serde_json::to_value(policy)?)
    };
    let mut lines = Vec::new();
    differences("", &read(old)?, &read(new)?, &mut lines);
    if lines.is_empty() {
        lines.push("they are the same".to_owned());
    }
    say!("{}", lines.join("\n"));
    Ok(())
}

/// A line for each key whose value differs; rules are told apart by their place, for their order decides.
fn differences(key: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                differences(
                    &below(name),
                    a.get(name).unwrap_or(&Value::Null),
                    b.get(name).unwrap_or(&Value::Null),
                    lines,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for place in 0..a.len().max(b.len()) {
                let at = |list: &[Value]| list.get(place).cloned().unwrap_or_default();
                differences(&format!("{key}[{place}]"), &at(a), &at(b), lines);
            }
        }
        (old, new) if old != new => lines.push(format!("{key}: {old} -> {new}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_told_key_by_key() {
        let old = json!({ "grant_s": 60, "when": [{ "name": "a" }], "governor": { "enabled": true } });
        let new = json!({ "grant_s": 60, "when": [{ "name": "b" }, { "name": "a" }], "governor": { "enabled": false } });
        let mut lines = Vec::new();
        differences("", &old, &new, &mut lines);
        lines.sort();
        assert_eq!(
            lines,
            [
                "governor.enabled: true -> false",
                r#"when[0].name: "a" -> "b""#,
                r#"when[1]: null -> {"name":"a"}"#,
            ]
        );
        let mut none = Vec::new();
        differences("", &old, &old, &mut none);
        assert_eq!(none, Vec::<String>::new());
    }
}
