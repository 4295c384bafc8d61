//! The files of a replay, written in event order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use detector::{
    Actor, BrokenRule, Call, Cohort, Detector, DetectorConfig, Kind, Layers, MicroBits, Signal, VerdictRecord,
};
use ingest::decode::{Reject, Tally};
use ingest::pipeline::score::{Scorer, Step};
use revoker::agent::CaseId;
use revoker::effect::Effect;
use revoker::groups::Groups;
use revoker::lifecycle::{Input, step};
use revoker::policy::Policy;
use revoker::standing::Standing;
use serde::Serialize;

use super::chunk::Decoded;
use super::report::Report;
use super::seen::{Seen, Sight};
use super::sessions::Sessions;
use super::windows::Windows;
use crate::config::Config;

type Out = BufWriter<File>;

/// One row of `calls.ndjson`.
#[derive(Serialize)]
struct CallRow<'a> {
    event_id: &'a str,
    ts: detector::Timestamp,
    agent_id: &'a str,
    session_id: Option<&'a str>,
    bits: MicroBits,
    added: MicroBits,
    /// Version of the fleet's model that it was scored with.
    model: u32,
    parts: Vec<PartRow>,
    /// The rule that the call broke, where it broke one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<BrokenRule>,
    /// What it shares with others of that hour, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    cohort: Option<Cohort>,
}

#[derive(Serialize)]
struct PartRow {
    signal: Signal,
    bits: MicroBits,
    added: MicroBits,
}

/// One row of `alerts.ndjson`.
#[derive(Serialize)]
struct AlertRow<'a> {
    alert_id: String,
    ts: detector::Timestamp,
    agent_id: &'a str,
    event_id: &'a str,
    score: MicroBits,
    action: &'static str,
    actor: &'a Actor,
    layers: Layers,
    sentence: String,
    reasons: Vec<String>,
}

/// An agent by the order in which it was first seen.
type AgentKey = (Option<String>, String);

/// Everything a replay writes, and the state that decides it.
pub(super) struct Output<'a> {
    dir: &'a Path,
    scorer: Scorer,
    policy: Policy,
    groups: Groups,
    standings: Vec<Standing>,
    agents: HashMap<AgentKey, usize>,
    seen: Seen,
    calls: Out,
    windows: Windows<Out>,
    sessions: Sessions<Out>,
    alerts: Out,
    rejects: Out,
    report: Report,
}

impl<'a> Output<'a> {
    pub(super) fn create(dir: &'a Path, config: &Config, workers: NonZeroUsize) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let create = |name: &str| File::create(dir.join(name)).map(BufWriter::new);
        let policy = Policy::new(config.budgets, config.policy.clone());
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            policy: policy.version().to_owned(),
            ..Report::default()
        };
        let detector = DetectorConfig { ranks_sessions: true, ..config.detector() };
        Ok(Self {
            dir,
            scorer: Scorer::new(Detector::new(detector, &config.manifests), workers),
            policy,
            groups: Groups::declared(&config.manifests),
            standings: Vec::new(),
            agents: HashMap::new(),
            seen: Seen::default(),
            calls: create("calls.ndjson")?,
            windows: Windows::new(create("windows.csv")?)?,
            sessions: Sessions::new(create("sessions.ndjson")?, config.budgets.step_up()),
            alerts: create("alerts.ndjson")?,
            rejects: create("rejects.ndjson")?,
            report,
        })
    }

    /// Records that decoded, in their order.
    pub(super) fn records(&mut self, source: &str, records: &[Decoded<'_>]) -> io::Result<()> {
        let mut fresh = Vec::with_capacity(records.len());
        for record in records {
            if self.is_fresh(source, record)? {
                fresh.push(&record.call);
            }
        }
        // What an agent's silence is worth in a window is read before the calls after it are.
        let mut rest = &fresh[..];
        while let Some((first, others)) = rest.split_first() {
            if first.kind.is_call() {
                self.windows.advance(first.ts, self.scorer.detector())?;
            }
            let ends_stretch = |call: &&Call<'_>| call.kind.is_call() && self.windows.is_past(call.ts);
            let same = others.iter().position(ends_stretch).unwrap_or(others.len());
            let (now, later) = rest.split_at(1 + same);
            let steps = self.scorer.steps(now.iter().copied());
            for (call, step) in now.iter().zip(steps) {
                self.step(call, step)?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Whether a record was not read before.
    fn is_fresh(&mut self, source: &str, record: &Decoded<'_>) -> io::Result<bool> {
        match self.seen.look(&record.call, &record.digest) {
            Sight::New => self.report.lines += 1,
            Sight::Duplicate => {
                self.report.lines += 1;
                self.report.duplicates += 1;
                return Ok(false);
            }
            Sight::Conflict => {
                self.report.conflicts += 1;
                let why = "conflict: the same id came before with other content";
                self.reject(&Reject::refused(source, record.line, record.bytes, "event_id", why))?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(&mut self, call: &Call<'_>, step: Step) -> io::Result<()> {
        for record in &step.said {
            self.report.silences += u64::from(record.verdict.version == 1);
            let agent = self.agent((record.issuer.as_deref(), &record.agent_id));
            self.judge(agent, record)?;
        }
        self.report.late_sources.extend(step.late.into_iter().map(|late| late.source));
        let Some(verdict) = step.verdict else {
            self.report.control += 1;
            if call.kind == Kind::TaskEnd {
                let agent = self.agent((call.identity.issuer.as_deref(), &call.identity.agent_id));
                self.sessions.end(agent, call)?;
            }
            return Ok(());
        };
        self.report.calls += 1;
        self.report.first.get_or_insert(call.ts);
        self.report.last = self.report.last.max(Some(call.ts));
        let name = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let agent = self.agent(name);
        self.windows.call(agent, name, call.ts, verdict.level);
        self.sessions.advance(call.ts)?;
        self.sessions.call(agent, call, (verdict.level, step.odd))?;
        self.call_row(call, &verdict)?;
        self.judge(agent, &VerdictRecord::new(call, verdict).named(step.names))
    }

    /// One record that did not decode.
    pub(super) fn reject(&mut self, reject: &Reject) -> io::Result<()> {
        self.report.lines += 1;
        self.report.rejects += 1;
        row(&mut self.rejects, reject)
    }

    pub(super) fn blank_lines(&mut self, n: u64) {
        self.report.blank_lines += n;
    }

    pub(super) fn unknown_fields(&mut self, tally: &Tally) {
        for (name, n) in tally.by_name() {
            *self.report.unknown_fields.entry(name.to_owned()).or_default() += n;
        }
    }

    /// Ends every window, session and file.
    pub(super) fn finish(mut self, took: Duration) -> io::Result<Report> {
        self.windows.finish(self.scorer.detector())?;
        self.report.sessions = self.sessions.finish()?.1;
        self.report.agents = self.agents.len() as u64;
        self.report.model = self.scorer.detector().model();
        self.report.seconds = took.as_secs_f64();
        for out in [&mut self.calls, &mut self.alerts, &mut self.rejects] {
            out.flush()?;
        }
        let mut out = File::create(self.dir.join("report.json")).map(BufWriter::new)?;
        serde_json::to_writer_pretty(&mut out, &self.report)?;
        out.flush()?;
        Ok(self.report)
    }

    fn agent(&mut self, (issuer, agent_id): (Option<&str>, &str)) -> usize {
        let key = (issuer.map(str::to_owned), agent_id.to_owned());
        let next = self.agents.len();
        *self.agents.entry(key).or_insert(next)
    }

    fn call_row(&mut self, call: &Call<'_>, verdict: &detector::Verdict) -> io::Result<()> {
        let parts = verdict.parts.iter();
        let line = CallRow {
            event_id: &call.event_id,
            ts: call.ts,
            agent_id: &call.identity.agent_id,
            session_id: call.identity.session_id.as_deref(),
            bits: verdict.level,
            added: verdict.added,
            model: verdict.model,
            parts: parts.map(|p| PartRow { signal: p.signal, bits: p.bits, added: p.added }).collect(),
            rule: verdict.rule,
            cohort: verdict.cohort,
        };
        row(&mut self.calls, &line)
    }

    /// The same policy and lifecycle as live, with event time for the clock and nobody there to answer; without caps, pauses and
    /// protection, so that it shows what the evidence asks for.
    fn judge(&mut self, agent: usize, record: &VerdictRecord) -> io::Result<()> {
        if agent >= self.standings.len() {
            self.standings.resize(agent + 1, Standing::default());
        }
        let verdict = &record.verdict;
        let group = self.groups.of(record.issuer.as_deref(), &record.agent_id);
        let evidence = self.policy.evidence(record, group);
        let input = Input::Verdict { evidence, fresh: CaseId::new(verdict.id.0) };
        let (standing, effects) = step(&self.standings[agent], &input, verdict.ts, &self.policy);
        self.standings[agent] = standing;
        for effect in effects {
            let Effect::Alert { action, .. } = effect else { continue };
            *self.report.alerts.entry(action.as_str()).or_default() += 1;
            let line = AlertRow {
                alert_id: revoker::alert::alert_id(verdict.id),
                ts: verdict.ts,
                agent_id: &record.agent_id,
                event_id: &record.event_id,
                score: verdict.level,
                action: action.as_str(),
                actor: &verdict.actor,
                layers: verdict.layers,
                sentence: record.sentence(),
                reasons: record.reasons(),
            };
            row(&mut self.alerts, &line)?;
        }
        Ok(())
    }
}

fn row(out: &mut Out, row: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}
