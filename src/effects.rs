//! `tocsin effects`: what was sent to enforcement points, how far it has come, and what must be sent again by hand.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::exit::Result;
use crate::operate::{Target, ask, print_rows};
use crate::terminal::{self, say};

/// Deliveries asked for at once, the most a server gives.
const PAGE: &str = "1000";

#[derive(Subcommand, Debug)]
pub(crate) enum EffectsCommand {
    /// Deliveries, newest first. The dead ones are open items: nobody tries them any more.
    #[command(after_help = "A credential with the role `operator` is taken from TOCSIN_TOKEN.\n\n\
        Example:\n  TOCSIN_TOKEN=… tocsin effects list --state dead")]
    List {
        /// Only those of this state.
        #[arg(long, value_parser = ["standby", "pending", "acknowledged", "verified", "refuted", "dead", "withdrawn"])]
        state: Option<String>,
        /// How many, at most 1,000.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Every attempt at one delivery, oldest first, as JSON.
    Show {
        /// Its number in the list.
        delivery: i64,
        #[command(flatten)]
        target: Target,
    },
    /// Send deliveries again with the same ids and bytes; a receiver that knows an id drops it.
    #[command(
        after_help = "Examples:\n  tocsin effects redeliver 17 21\n  tocsin effects redeliver --dead --to idp"
    )]
    Redeliver(Redeliver),
    /// Targets that answered that they are gone (410): nothing is sent there any more.
    Disabled {
        #[command(flatten)]
        target: Target,
    },
    /// Use such a target again; what waited for it is sent, in order.
    Enable {
        /// The target.
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Redeliver {
    /// Their numbers in the list.
    #[arg(required_unless_present = "dead", conflicts_with = "dead")]
    deliveries: Vec<i64>,
    /// All that are dead.
    #[arg(long)]
    dead: bool,
    /// Of those, the ones to this target.
    #[arg(long, value_name = "TARGET", requires = "dead")]
    to: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(command: &EffectsCommand) -> Result<()> {
    match command {
        EffectsCommand::List { state, limit, json, target } => {
            let limit = limit.to_string();
            let state = state.as_deref().map(|state| ("state", state));
            let query: Vec<_> = std::iter::once(("limit", limit.as_str())).chain(state).collect();
            print_rows(&ask(target, Method::GET, "/v1/effects", &query, None)?, *json, line)
        }
        EffectsCommand::Show { delivery, target } => {
            let delivery = delivery.to_string();
            terminal::json(&ask(
                target,
                Method::GET,
                "/v1/effects/receipts",
                &[("delivery", &delivery)],
                None,
            )?)
        }
        EffectsCommand::Redeliver(args) => redeliver(args),
        EffectsCommand::Disabled { target } => {
            terminal::json(&ask(target, Method::GET, "/v1/targets/disabled", &[], None)?)
        }
        EffectsCommand::Enable { name, target } => {
            let body = json!({ "target": name, "person": target.person() });
            ask(target, Method::POST, "/v1/targets/enable", &[], Some(body))?;
            say!("{name} is used again");
            Ok(())
        }
    }
}

fn line(row: &Value) -> Option<String> {
    let mut line = format!(
        "{:>6}  {}  {:<12} {}  {}  {}",
        row["cursor"].as_i64()?,
        row["at"].as_str()?,
        row["state"].as_str()?,
        row["target"].as_str()?,
        row["kind"].as_str()?,
        row["agent"]["agent_id"].as_str()?,
    );
    if let Some(last) =
        row["last"].as_str().filter(|_| !matches!(row["state"].as_str(), Some("acknowledged" | "verified")))
    {
        // Writing into a string cannot fail.
        write!(line, "\n        {} attempts, the last: {last}", row["attempts"]).ok();
    }
    Some(line)
}

/// Oldest first, as they were decided.
fn redeliver(args: &Redeliver) -> Result<()> {
    let mut deliveries = args.deliveries.clone();
    if args.dead {
        deliveries = dead(args)?;
    }
    deliveries.sort_unstable();
    let mut sent = 0;
    for delivery in &deliveries {
        let body = json!({ "delivery": delivery, "person": args.target.person() });
        let answer = ask(&args.target, Method::POST, "/v1/effects/redeliver", &[], Some(body))?;
        match answer["why"].as_str() {
            None => sent += 1,
            Some(why) => say!("delivery {delivery} is not sent: {why}"),
        }
    }
    say!("{sent} deliveries are sent again");
    Ok(())
}

/// Their numbers. All are listed before one is sent: what is sent leaves the list.
fn dead(args: &Redeliver) -> Result<Vec<i64>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let after = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let query: Vec<_> = [("state", "dead"), ("limit", PAGE)].into_iter().chain(after).collect();
        let answer = ask(&args.target, Method::GET, "/v1/effects", &query, None)?;
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = rows.iter().filter(|row| args.to.as_deref().is_none_or(|to| row["target"] == to));
        found.extend(wanted.filter_map(|row| row["cursor"].as_i64()));
        match answer["next"].as_i64() {
            Some(next) => cursor = Some(next.to_string()),
            None => return Ok(found),
        }
    }
}
