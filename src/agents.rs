//! `tocsin agents`: the register, and what operators do to agents.

mod baselines;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::clock;
use crate::config::manifests;
use crate::exit::{Code, OrExit, Result};
use crate::operate::{self, Agent, PauseArgs, ResumeArgs, Target, ask, print_rows};
use crate::terminal::{self, say};

#[derive(Subcommand, Debug)]
pub(crate) enum AgentsCommand {
    /// Every agent that was seen, declared or put on record, with its standing and what is wrong with it.
    #[command(after_help = "A credential with the role `operator` is taken from TOCSIN_TOKEN.\n\n\
        Example:\n  TOCSIN_TOKEN=… tocsin agents list --findings")]
    List {
        /// Only those with findings.
        #[arg(long)]
        findings: bool,
        #[command(flatten)]
        part: Part,
    },
    /// One agent: what is declared of it, where it stands, its findings and its history, as JSON.
    Show {
        #[command(flatten)]
        agent: Agent,
        #[command(flatten)]
        target: Target,
    },
    /// Agents about whom less was done than the evidence asks for, and why: caps, pauses.
    Withheld {
        /// How many, at most 1,000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Who spawned whom: all lines, or what is below one agent, with the calls of each and of all below it.
    Tree {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        part: Part,
    },
    /// Put an agent on record with those who answer for it.
    #[command(
        after_help = "Example:\n  tocsin agents register billing-001 --owner payments --approver Dana --reason 'goes live'"
    )]
    Register {
        /// The person or team accountable for it.
        #[arg(long)]
        owner: Option<String>,
        /// Who asked for it and pays for it.
        #[arg(long)]
        sponsor: Option<String>,
        /// Somebody who answers for what it does when it is challenged; may be given several times.
        #[arg(long = "approver", value_name = "NAME")]
        approvers: Vec<String>,
        #[command(flatten)]
        order: Order,
    },
    /// Put on record that you looked at an agent, and at its manifest as the server has it now.
    Review(Order),
    /// Take an agent out of service for good: its access ends, and whatever it does from now on is told.
    Retire(Order),
    /// End access of an agent, or of one of its tokens, sessions, instances or keys, until somebody reinstates it.
    #[command(after_help = "Examples:\n  tocsin agents revoke billing-001 --reason 'its owner asked'\n  \
        tocsin agents revoke billing-001 --session s-2210 --reason 'this conversation was hijacked'\n  \
        tocsin agents revoke planner --cascade descendants --plan --reason 'told to pay out'")]
    Revoke {
        #[command(flatten)]
        part: OfAgent,
        /// With whom it spawned, by manifests and attested calls: `children`, or `descendants` all the way down.
        #[arg(long, value_name = "HOW_FAR", value_parser = ["children", "descendants"], num_args = 0..=1,
              default_missing_value = "children", conflicts_with_all = ["token", "session", "instance", "key"])]
        cascade: Option<String>,
        /// Only say who would end, why, and which targets would be told.
        #[arg(long, requires = "cascade")]
        plan: bool,
        #[command(flatten)]
        order: Order,
    },
    /// End an agent's access for a time, after which it is on probation.
    Suspend {
        /// For how long.
        #[arg(long, value_name = "MINUTES")]
        minutes: u32,
        #[command(flatten)]
        order: Order,
    },
    /// Let a revoked, suspended or challenged agent act again, on probation; or a part of it that was ended alone.
    Reinstate {
        #[command(flatten)]
        part: OfAgent,
        #[command(flatten)]
        order: Order,
    },
    /// Pause automatic action on some agents, or on all: as `tocsin pause`.
    Pause(PauseArgs),
    /// Let automatic action go on: as `tocsin resume`.
    Resume(ResumeArgs),
    /// Propose what touches many agents at once; it is done when another person confirms within 30 minutes.
    #[command(
        after_help = "Examples:\n  tocsin agents propose --revoke-group tills --reason 'all of them were told to pay out'\n  \
        tocsin agents propose --pause-all --reason 'release night'"
    )]
    Propose {
        /// End the access of every agent whose manifest declares this group.
        #[arg(long, value_name = "GROUP", required_unless_present = "pause_all")]
        revoke_group: Option<String>,
        /// Pause all automatic action.
        #[arg(long, conflicts_with = "revoke_group")]
        pause_all: bool,
        /// Why, for the audit.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// What waits for a second person.
    Proposals {
        #[command(flatten)]
        target: Target,
    },
    /// Confirm what another person proposed: it is done at once.
    Confirm {
        /// The proposal.
        id: String,
        /// Why, for the audit.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Say what the evidence against an agent was, or an alert: the detector learns by it, and no standing changes.
    #[command(
        after_help = "Example:\n  tocsin agents feedback billing-001 --as deploy --reason 'release 4.2: twice the calls'"
    )]
    Feedback {
        /// The agent; or an alert by `--alert`.
        #[arg(required_unless_present = "alert")]
        agent_id: Option<String>,
        /// What it was: the agent as it is, the agent as it was changed, alone or with all agents of its cohort incident, or
        /// somebody or something else.
        #[arg(long = "as", value_name = "RULING", value_parser = ["benign", "deploy", "cohort_deploy", "malicious"])]
        ruling: String,
        /// Under which issuer that is its name.
        #[arg(long, requires = "agent_id")]
        issuer: Option<String>,
        /// The alert, by its id.
        #[arg(long, conflicts_with = "agent_id")]
        alert: Option<String>,
        /// Why, for the audit.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// The versions kept of what an agent is like, newest first.
    History(baselines::HistoryArgs),
    /// What has changed in what an agent is like, between two versions.
    #[command(
        after_help = "Example:\n  tocsin agents diff billing-001 2026-11-01T00:00:00Z 2026-11-27T00:00:00Z"
    )]
    Diff(baselines::DiffArgs),
    /// Take an agent back to an earlier version of what it is like: calls since then are as if nobody knew them.
    #[command(
        after_help = "Example:\n  tocsin agents revert billing-001 2026-11-20T00:00:00Z --reason 'that was no release'"
    )]
    Revert(baselines::RevertArgs),
    /// How often each agent, or one, authenticates and calls each endpoint.
    Report {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        part: Part,
    },
    /// What an agent does that its manifest does not say, and the reverse; of one or of all.
    Drift {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        part: Part,
    },
    /// What an agent is declared to do; or declare it, from a file as `manifests_dir` holds them.
    ///
    /// What the configuration declares is changed there.
    #[command(
        after_help = "Example:\n  tocsin agents manifest billing-001 --set billing-001.toml --reason 'new endpoint'"
    )]
    Manifest {
        #[command(flatten)]
        agent: Agent,
        /// The file, `.toml` or `.json`.
        #[arg(long, value_name = "FILE", requires = "reason")]
        set: Option<PathBuf>,
        /// Why, for the audit.
        #[arg(long, requires = "set")]
        reason: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Write a manifest from what was seen of an agent, as TOML.
    #[command(
        after_help = "Example:\n  tocsin agents draft billing-001 --time-zone Europe/Berlin > manifests/billing-001.toml"
    )]
    Draft {
        #[command(flatten)]
        agent: Agent,
        /// By which clock its hours are written: an IANA name.
        #[arg(long, default_value = "UTC")]
        time_zone: String,
        /// Days to look back.
        #[arg(long, default_value_t = 30)]
        days: u32,
        #[command(flatten)]
        target: Target,
    },
}

/// Which part of the register, and how it is printed.
#[derive(Args, Debug)]
pub(crate) struct Part {
    /// Days to look back for calls.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// How many rows, at most 10,000.
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// One agent, or all.
#[derive(Args, Debug)]
pub(crate) struct Whom {
    /// The agent; without it, all.
    agent_id: Option<String>,
    /// Under which issuer that is its name.
    #[arg(long, requires = "agent_id")]
    issuer: Option<String>,
}

/// One part of an agent; without it, all of it.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct OfAgent {
    /// The one token that is meant, by its `jti` or what else its log calls it.
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// The one session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The one running instance.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The one key, by its thumbprint (`cnf.jkt` or `cnf.x5t#S256` of its tokens).
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

impl OfAgent {
    fn body(&self) -> Value {
        let named = [
            ("token", &self.token),
            ("session", &self.session),
            ("instance", &self.instance),
            ("key", &self.key),
        ];
        let part = named.into_iter().find_map(|(kind, id)| Some(json!({ "kind": kind, "id": id.as_ref()? })));
        part.map_or(json!({}), |part| json!({ "part": part }))
    }
}

#[derive(Args, Debug)]
pub(crate) struct Order {
    #[command(flatten)]
    agent: Agent,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(command: &AgentsCommand) -> Result<()> {
    match command {
        AgentsCommand::List { findings, part } => {
            let mut answer = part.ask("/v1/register", None)?;
            if let Some(rows) = answer["rows"].as_array_mut().filter(|_| *findings) {
                rows.retain(|row| row["findings"].as_array().is_some_and(|found| !found.is_empty()));
            }
            part.print(&answer, words::agent)
        }
        AgentsCommand::Withheld { limit, json, target } => {
            let query = [("withheld", "true"), ("limit", &limit.to_string())];
            print_rows(&ask(target, Method::GET, "/v1/agents", &query, None)?, *json, words::withheld)
        }
        AgentsCommand::Tree { whom, part } => {
            part.print(&part.ask("/v1/register/tree", Some(whom))?, words::branch)
        }
        AgentsCommand::Show { agent, target } => show(agent, target),
        AgentsCommand::Register { owner, sponsor, approvers, order } => {
            send(order, "register", json!({ "owner": owner, "sponsor": sponsor, "approvers": approvers }))
        }
        AgentsCommand::Review(order) => {
            // What is reviewed is what the server has now, so that a later edition is unreviewed again.
            let known = ask(&order.target, Method::GET, "/v1/register/agent", &order.agent.query(), None)?;
            send(order, "review", json!({ "manifest": known["manifest"] }))
        }
        AgentsCommand::Retire(order) => send(order, "retire", json!({})),
        AgentsCommand::Revoke { part: _, cascade: Some(cascade), plan, order } => {
            send(order, "cascade", json!({ "cascade": cascade, "plan": plan }))
        }
        AgentsCommand::Revoke { part, order, .. } => send(order, "revoke", part.body()),
        AgentsCommand::Suspend { minutes, order } => {
            let until = clock::now() + Duration::from_mins((*minutes).into());
            send(order, "suspend", json!({ "until": until }))
        }
        AgentsCommand::Reinstate { part, order } => send(order, "reinstate", part.body()),
        AgentsCommand::Pause(args) => operate::pause(args),
        AgentsCommand::Resume(args) => operate::resume(args),
        AgentsCommand::Propose { revoke_group, pause_all: _, reason, target } => {
            let what = match revoke_group {
                Some(group) => json!({ "command": "revoke_group", "group": group }),
                None => json!({ "command": "pause" }),
            };
            let body = json!({ "person": target.person(), "reason": reason, "what": what });
            terminal::json(&ask(target, Method::POST, "/v1/proposals", &[], Some(body))?)
        }
        AgentsCommand::Proposals { target } => {
            terminal::json(&ask(target, Method::GET, "/v1/proposals", &[], None)?)
        }
        AgentsCommand::Confirm { id, reason, target } => {
            let body = json!({ "person": target.person(), "reason": reason, "id": id });
            terminal::json(&ask(target, Method::POST, "/v1/proposals/confirm", &[], Some(body))?)
        }
        AgentsCommand::Feedback { agent_id, ruling, issuer, alert, reason, target } => {
            let body = json!({
                "agent_id": agent_id, "issuer": issuer, "alert_id": alert, "ruling": ruling,
                "person": target.person(), "reason": reason,
            });
            terminal::json(&ask(target, Method::POST, "/v1/agents/feedback", &[], Some(body))?)
        }
        AgentsCommand::History(args) => baselines::history(args),
        AgentsCommand::Diff(args) => baselines::diff(args),
        AgentsCommand::Revert(args) => baselines::revert(args),
        AgentsCommand::Report { whom, part } => {
            part.print(&part.ask("/v1/register/report", Some(whom))?, words::endpoint_use)
        }
        AgentsCommand::Drift { whom, part } => {
            part.print(&part.ask("/v1/register/drift", Some(whom))?, words::drift)
        }
        AgentsCommand::Manifest { agent, set, reason, target } => {
            manifest(agent, set.as_deref().zip(reason.as_deref()), target)
        }
        AgentsCommand::Draft { agent, time_zone, days, target } => {
            let days = days.to_string();
            let mut query = agent.query();
            query.extend([("time_zone", time_zone.as_str()), ("days", &days)]);
            let answer = ask(target, Method::GET, "/v1/register/draft", &query, None)?;
            match answer["toml"].as_str() {
                Some(toml) => say!("{}", terminal::escaped(toml).trim_end()),
                None => terminal::json(&answer)?,
            }
            Ok(())
        }
    }
}

/// The register's row, and under `record` what the revoker has of the agent.
fn show(agent: &Agent, target: &Target) -> Result<()> {
    let mut answer = ask(target, Method::GET, "/v1/register/agent", &agent.query(), None)?;
    answer["record"] = ask(target, Method::GET, "/v1/agent", &agent.query(), None)?;
    terminal::json(&answer)
}

impl Part {
    fn ask(&self, path: &str, whom: Option<&Whom>) -> Result<Value> {
        let (days, limit) = (self.days.to_string(), self.limit.to_string());
        let mut query = vec![("days", days.as_str()), ("limit", &limit)];
        if let Some(Whom { agent_id, issuer }) = whom {
            query.extend(agent_id.as_deref().map(|agent_id| ("agent_id", agent_id)));
            query.extend(issuer.as_deref().map(|issuer| ("issuer", issuer)));
        }
        ask(&self.target, Method::GET, path, &query, None)
    }

    fn print(&self, answer: &Value, line: impl Fn(&Value) -> Option<String>) -> Result<()> {
        print_rows(answer, self.json, line)?;
        if self.json {
            return Ok(());
        }
        // What is not there must not look as if it were not so.
        if answer["days"] == 0 {
            say!("the database does not answer: nothing that rests on calls is said");
        }
        match answer["left_out"].as_u64() {
            None | Some(0) => {}
            Some(n) => say!("{n} or more rows are left out; raise --limit"),
        }
        Ok(())
    }
}

/// Sends a command with whom it is about, who gives it and why.
fn send(order: &Order, verb: &str, mut body: Value) -> Result<()> {
    body["agent_id"] = json!(order.agent.agent_id);
    body["issuer"] = json!(order.agent.issuer);
    body["person"] = json!(order.target.person());
    body["reason"] = json!(order.reason);
    terminal::json(&ask(&order.target, Method::POST, &format!("/v1/agents/{verb}"), &[], Some(body))?)
}

/// Shows an agent's manifest, or sets it in the place of the version there is now.
fn manifest(agent: &Agent, set: Option<(&Path, &str)>, target: &Target) -> Result<()> {
    let mut address = Url::parse("http://tocsin")?;
    if let Ok(mut path) = address.path_segments_mut() {
        path.extend(["v1", "register", &agent.agent_id, "manifest"]);
    }
    let path = address.path();
    let query: Vec<_> = agent.issuer.iter().map(|issuer| ("issuer", issuer.as_str())).collect();
    let known = ask(target, Method::GET, path, &query, None);
    let Some((file, reason)) = set else { return terminal::json(&known?) };
    let manifest = manifests::brought(file).or_exit(Code::DataErr)?;
    // None is known of an agent without one, and whatever else is wrong the server says again.
    let replaces = known.map_or(Value::Null, |known| known["version"].clone());
    let body =
        json!({ "manifest": manifest, "replaces": replaces, "person": target.person(), "reason": reason });
    terminal::json(&ask(target, Method::PUT, path, &query, Some(body))?)
}
