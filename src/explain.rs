//! `tocsin explain`: why an agent was flagged at some time, or was not.

mod words;

use clap::Args;
use detector::{Budgets, MicroBits, Part, Signal, Timestamp, VerdictRecord};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::exit::Result;
use crate::operate::{Agent, Target, ask};
use crate::terminal::{self, say};

/// Say why an agent was flagged at some time, or was not: its last verdict, and what every signal made of it.
#[derive(Args, Debug)]
#[command(after_help = "A credential with the role `operator` is taken from TOCSIN_TOKEN.\n\n\
    Example:\n  TOCSIN_TOKEN=… tocsin explain billing-001 --issuer https://idp.example --at 2026-11-22T03:02:10Z")]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    agent: Agent,
    /// The last verdict at or before this time, RFC 3339; without it, now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<()> {
    let at = args.at.map(|at| at.to_string());
    let mut query = args.agent.query();
    query.extend(at.as_deref().map(|at| ("at", at)));
    let answer = ask(&args.target, Method::GET, "/v1/explain", &query, None)?;
    match Explanation::deserialize(&answer) {
        Ok(explanation) if !args.json => say!("{}", explanation.to_string().trim_end()),
        // What a newer server answers and this one cannot read is shown as it came.
        _ => terminal::json(&answer)?,
    }
    Ok(())
}

/// What `GET /v1/explain` answers: the verdict as it was said, and what the operator has budgeted by now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    #[serde(flatten)]
    record: VerdictRecord,
    budgets: Thresholds,
}

/// The evidence in bits at which something is done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Thresholds {
    watch: MicroBits,
    step_up: MicroBits,
    revoke: MicroBits,
}

impl Explanation {
    pub(crate) fn new(record: VerdictRecord, budgets: Budgets) -> Self {
        let budgets =
            Thresholds { watch: budgets.watch(), step_up: budgets.step_up(), revoke: budgets.revoke() };
        Self { record, budgets }
    }

    /// The signals with a level of their own, the strongest first.
    fn families(&self) -> Vec<&Part> {
        let parts = self.record.verdict.parts.iter();
        let mut families: Vec<_> = parts.filter(|part| part.signal != Signal::LookElsewhere).collect();
        families.sort_by_key(|part| std::cmp::Reverse(part.level));
        families
    }
}
