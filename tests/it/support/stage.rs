//! What most scenarios stand on: an engine and a receiver that outlive the program, and readers' eyes on both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::engine::Engine;
use super::fleet::{Fleet, Truth, text};
use super::receiver::Receiver;
use super::tocsin::{SECRET, Tocsin};
use super::wait;

/// How long readers may wait for the last row after the last crash, on two busy cores and a debug build.
const SETTLE_LIMIT: Duration = Duration::from_mins(4);

/// Peers in a scratch folder.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) receiver: Receiver,
    pub(crate) folder: tempfile::TempDir,
}

impl Stage {
    /// Starts both.
    pub(crate) fn new() -> Self {
        let mut folder = tempfile::tempdir().expect("a scratch folder");
        // For whoever wants to look at what a failing scenario left.
        folder.disable_cleanup(std::env::var_os("TOCSIN_KEEP").is_some());
        let engine = Engine::start(folder.path());
        let receiver = Receiver::start(folder.path(), SECRET);
        Self { engine, receiver, folder }
    }

    /// Where everything of this scenario lies.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Settings that store into this engine and deliver to this receiver, and `more`.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "{}\n[[webhooks]]\nname = \"idp\"\nurl = \"{}\"\nsecret_env = \"WEBHOOK_SECRET\"\nallow_insecure_target = true\n\n{more}",
            self.engine.store(),
            self.receiver.url()
        )
    }

    /// Waits until `look` gives something; fails with `what` otherwise.
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let found = wait::until(SETTLE_LIMIT, look);
        found.unwrap_or_else(|| {
            panic!("{what} was awaited for {SETTLE_LIMIT:?}; {} deliveries", self.receiver.recorded().len())
        })
    }

    /// Waits until the number of rows in a view is as wanted, and gives it.
    pub(crate) fn count_when(&self, limit: Duration, view: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let found = wait::until(limit, || Some(self.count(view)).filter(|rows| wanted(*rows)));
        found.unwrap_or_else(|| panic!("{view} still has {} rows after {limit:?}", self.count(view)))
    }

    /// Waits until readers see this many calls, each once, and a verdict of each, once.
    pub(crate) fn check_counts(&self, calls: u64) {
        for view in ["calls_once", "verdicts_once"] {
            wait::until_eq(view, SETTLE_LIMIT, &calls, || self.count(view));
            let ids = self.engine.try_number(&format!("SELECT uniqExact(event_id) FROM tocsin.{view}"));
            assert_eq!(ids, Some(calls), "{view}: as many events as rows");
        }
    }

    /// Waits until readers see as many calls and verdicts as there are, then checks that they see each exactly once, and
    /// every verdict as an undisturbed replay gives it.
    pub(crate) fn check_readers(&self, fleet: &Fleet, truth: &Truth) {
        let wanted = fleet.lines.len() as u64;
        wait::until_eq("calls that readers see", SETTLE_LIMIT, &wanted, || self.count("calls_once"));
        wait::until_eq("verdicts that readers see", SETTLE_LIMIT, &(truth.levels.len() as u64), || {
            self.count("verdicts_once")
        });
        let calls = self.engine.rows("SELECT event_id FROM tocsin.calls_once");
        let once: BTreeSet<String> = calls.iter().map(|row| text(row, "event_id")).collect();
        assert_eq!(once.len(), calls.len(), "a call that readers see twice");
        let verdicts =
            self.engine.rows("SELECT event_id, toString(level_microbits) AS level FROM tocsin.verdicts_once");
        let levels: BTreeMap<String, i64> = verdicts
            .iter()
            .map(|row| (text(row, "event_id"), text(row, "level").parse().expect("a whole number")))
            .collect();
        assert_eq!(levels.len(), verdicts.len(), "an event that readers see two verdicts of");
        let other: Vec<_> =
            truth.levels.iter().filter(|(id, level)| levels.get(*id) != Some(level)).take(5).collect();
        assert!(other.is_empty(), "replay says otherwise of {other:?}");
        self.check_alerts(truth);
    }

    /// Checks that readers see every alert once, and the same ones as in an undisturbed replay.
    fn check_alerts(&self, truth: &Truth) {
        assert!(
            truth.actions.values().any(|(_, action)| action == "revoke"),
            "a fleet with nothing to revoke proves little"
        );
        self.count_when(SETTLE_LIMIT, "alerts_once", |alerts| alerts >= truth.actions.len() as u64);
        // What the fleet's monitor finds is of no agent.
        let alerts = self.engine.rows(
            "SELECT alert_id, agent_id, action FROM tocsin.alerts_once WHERE action != 'still_acting' AND agent_id != ''",
        );
        let seen: BTreeMap<_, _> = alerts
            .iter()
            .map(|row| (text(row, "alert_id"), (text(row, "agent_id"), text(row, "action"))))
            .collect();
        assert_eq!(seen.len(), alerts.len(), "an alert that readers see twice");
        assert_eq!(seen, truth.actions, "alerts that readers see and alerts of the replay");
    }

    /// Waits until nothing is left to deliver, then checks that the receiver saw exactly the effects that the program
    /// decided, each once, in the order of its subject; and for these subjects, that they are of these types.
    pub(crate) fn check_effects(&self, tocsin: &Tocsin, wanted: &[(&str, &[&str])]) {
        let pending =
            || tocsin.look("/v1/effects?state=pending&limit=1")["rows"].as_array().map_or(1, Vec::len);
        wait::until_eq("deliveries left", SETTLE_LIMIT, &0, pending);
        let seen = self.receiver.effects();
        let decided = decided(tocsin);
        let ids: BTreeSet<String> = seen.iter().map(|effect| text(effect, "webhook_id")).collect();
        assert_eq!(ids, decided, "effects seen and effects decided");
        let mut stories: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        for effect in &seen {
            let data = &effect["data"];
            let number = data["sequence"].as_u64().expect("a number");
            let story = stories.entry(data["subject"].as_str().expect("a subject")).or_default();
            assert!(
                story.last().is_none_or(|(last, _)| *last < number),
                "out of order: {effect} after {story:?}"
            );
            story.push((number, effect["type"].as_str().expect("a type")));
        }
        for (subject, types) in wanted {
            let story: Vec<&str> = stories
                .get(subject)
                .map(|story| story.iter().map(|(_, kind)| *kind).collect())
                .unwrap_or_default();
            assert_eq!(story, *types, "what was told of {subject}");
        }
    }

    /// Checks that the audit is what was written, without a gap.
    pub(crate) fn check_audit(tocsin: &Tocsin) {
        let verified = tocsin.command(&["audit", "verify"]);
        let said = [verified.stdout, verified.stderr].concat();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&said));
    }

    /// Rows of one of the views that readers use; none while the engine is away or the view is not there yet.
    fn count(&self, view: &str) -> u64 {
        self.engine.try_number(&format!("SELECT count() FROM tocsin.{view}")).unwrap_or(0)
    }
}

/// The `webhook-id` of every effect that the program decided.
fn decided(tocsin: &Tocsin) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut path = "/v1/effects?limit=1000".to_owned();
    loop {
        let part = tocsin.look(&path);
        for row in part["rows"].as_array().expect("rows").iter().filter(|row| row["target"] == "idp") {
            assert_eq!(row["state"], "acknowledged", "{row}");
            assert!(ids.insert(text(row, "event_id")), "one effect, two deliveries to one target: {row}");
        }
        match part["next"].as_i64() {
            Some(next) => path = format!("/v1/effects?limit=1000&cursor={next}"),
            None => return ids,
        }
    }
}
