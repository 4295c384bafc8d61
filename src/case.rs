//! `tocsin case show`: one story in order, and how far each enforcement point has come.

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use crate::exit::{Code, OrExit, Result};
use crate::operate::{Target, ask};
use crate::terminal::{self, say};

#[derive(Subcommand, Debug)]
pub(crate) enum CaseCommand {
    /// Tell one story in order, from the first evidence to the last receipt.
    #[command(after_help = "A credential with the role `operator` is taken from TOCSIN_TOKEN.\n\n\
        Example:\n  TOCSIN_TOKEN=… tocsin case show 0193f2c4a8b1e4d2a6c7b8d9e0f1a2b3")]
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The `txn` of a webhook or an audit entry, an alert's id or an approval's.
    id: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(command: &CaseCommand) -> Result<()> {
    let CaseCommand::Show(args) = command;
    let case = ask(&args.target, Method::GET, "/v1/case", &[("id", &args.id)], None)?;
    if args.json {
        return terminal::json(&case);
    }
    let text = told(&terminal::visible(&case)).context("the answer is no case").or_exit(Code::Unavailable)?;
    say!("{text}");
    Ok(())
}

fn told(case: &Value) -> Option<String> {
    let mut lines = vec![format!("case {}{}", case["txn"].as_str()?, whose(case).unwrap_or_default())];
    if let Some(calls) = case["exposure"]["calls"].as_u64() {
        let seconds = case["exposure"]["exposure_s"].as_u64()?;
        lines.push(format!(
            "still acting: {calls} calls accepted, the last {seconds} s after access had ended"
        ));
    }
    lines.push("\nwho was told".to_owned());
    for point in case["points"].as_array()? {
        let word = |key: &str| point[key].as_str();
        lines.push(format!("  {:<12}  {:<20}  {}", word("progress")?, word("target")?, word("event")?));
        for receipt in point["receipts"].as_array()? {
            let status = receipt["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
            let word = |key: &str| receipt[key].as_str();
            lines.push(format!("      {}  {}{status}  {}", word("at")?, word("outcome")?, word("detail")?));
        }
    }
    lines.push("\nstory".to_owned());
    for entry in case["story"].as_array()? {
        let (at, kind) = (entry["at"].as_str()?, entry["kind"].as_str()?);
        lines.push(format!("  {at}  {kind}  {}", gist(&entry["body"])));
    }
    Some(lines.join("\n"))
}

fn whose(case: &Value) -> Option<String> {
    let (agent, standing) = (case["agent"]["agent_id"].as_str()?, case["standing"]["standing"].as_str()?);
    let issuer = case["agent"]["issuer"].as_str().map(|issuer| format!(" at {issuer}")).unwrap_or_default();
    Some(format!(": {agent}{issuer}, {standing}"))
}

/// The words of an entry that a reader looks for first; `--json` shows all of it.
fn gist(body: &Value) -> String {
    let said = |key: &str| match &body[key] {
        Value::String(word) => Some(word.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        _ => None,
    };
    let standing =
        || body["to"]["standing"].as_str().map(|to| format!("{} → {to}", said("from").unwrap_or_default()));
    let person = || {
        let input = &body["input"];
        Some(format!(
            ", {}: {}",
            input["by"].as_str()?,
            input["reason"].as_str().unwrap_or("no reason given")
        ))
    };
    let part = || Some(format!("{} {}", body["part"]["kind"].as_str()?, body["part"]["id"].as_str()?));
    let next = || Some(format!("{} failed, {} is next", said("failed")?, said("next")?));
    let target = || said("target").or_else(|| said("targets"));
    let gist = standing().map(|text| text + &person().unwrap_or_default());
    gist.or_else(part).or_else(next).or_else(target).unwrap_or_default()
}
