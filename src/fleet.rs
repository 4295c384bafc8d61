//! `tocsin fleet`: does the fleet keep the budgets, and what do many of it do at once?

use std::fmt::Write as _;

use clap::Args;
use detector::{CohortIncident, FleetHealth, PeerGroupStatus};
use reqwest::Method;

use crate::exit::Result;
use crate::operate::{Target, ask, print_rows};
use crate::terminal::{self, say};

/// Show whether the fleet as a whole keeps the budgets.
///
/// Its alarms against those allowed, what many agents began to do at once, and the peer groups whose sessions are compared.
#[derive(Args, Debug)]
#[command(
    after_help = "Counts fade: what was counted 21 days ago counts half. A credential with the role `operator` is taken \
    from TOCSIN_TOKEN.\n\nExample:\n  TOCSIN_TOKEN=… tocsin fleet"
)]
pub(crate) struct FleetArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(args: &FleetArgs) -> Result<()> {
    let answer = ask(&args.target, Method::GET, "/v1/fleet", &[], None)?;
    if args.json {
        return terminal::json(&answer);
    }
    let answer = terminal::visible(&answer);
    print_rows(&answer, false, |row| Some(words(&serde_json::from_value(row.clone()).ok()?)))?;
    for row in answer["cohorts"].as_array().into_iter().flatten() {
        let incident = serde_json::from_value::<CohortIncident>(row.clone());
        say!("{}", incident.map_or_else(|_| row.to_string(), |incident| cohort(&incident)));
    }
    for row in answer["groups"].as_array().into_iter().flatten() {
        let group = serde_json::from_value::<PeerGroupStatus>(row.clone());
        say!("{}", group.map_or_else(|_| row.to_string(), |group| peers(&group)));
    }
    Ok(())
}

fn peers(group: &PeerGroupStatus) -> String {
    let PeerGroupStatus { id, name, agents, sessions, speaks } = group;
    let what = match name {
        Some(name) => format!("declared as {name:?}"),
        None => format!("{agents} agents when it was found"),
    };
    let against = if *speaks { "compared with each other" } else { "too few, so compared with the fleet" };
    format!("group {id}: {what}; {sessions} normal sessions, {against}")
}

fn cohort(incident: &CohortIncident) -> String {
    let until = incident.until.map_or_else(|| "goes on".to_owned(), |until| format!("over since {until}"));
    format!("cohort: {until}\n    {incident}")
}

fn words(health: &FleetHealth) -> String {
    let state = match health.exceeded_since {
        Some(since) => format!("exceeded since {since}"),
        None => "kept".to_owned(),
    };
    let mut words = format!("{}: {state}\n    {health}", health.grade.as_str());
    for family in &health.families {
        let (signal, alarms, expected) = (family.signal.as_str(), family.alarms, family.expected);
        // Writing into a string cannot fail.
        write!(words, "\n    {signal:<8} {alarms:>8.1} of {expected:.1}").ok();
        if family.widening > 1.0 {
            write!(words, ", read {:.2} times as wide", family.widening).ok();
        }
    }
    words
}
