//! Plays calls into a detector: ticks in between, one record that is written over, nothing else.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use detector::{Attestation, Call, Detector, EffectiveAttestation, Kind, Timestamp, Verdict};
use rand::RngExt;

use super::chance::Dice;
use crate::simulate::usual_endpoint;

/// Monday, 5 January 2026: day 0 of every run, so that its fifth and sixth days are a weekend.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_571_200_000);
/// The detector wants to be told the time at least so often.
const TICK: Duration = Duration::from_secs(10);
const MINUTE_US: i64 = 60_000_000;

/// The start of minute `minute` of a run.
pub(crate) fn minute(minute: u32) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + i64::from(minute) * MINUTE_US)
}

/// A call that is about to be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) at: Timestamp,
    pub(crate) agent: usize,
    pub(crate) endpoint: &'static str,
}

/// Draws the instants of `count` calls in the minute that begins at `from`, uniform to the microsecond.
pub(crate) fn spread(count: u32, from: Timestamp, agent: usize, dice: &mut Dice, due: &mut Vec<Due>) {
    due.extend((0..count).map(|_| {
        let at = Timestamp::from_micros(from.as_micros() + dice.random_range(0..MINUTE_US));
        Due { at, agent, endpoint: usual_endpoint(agent, dice.random()) }
    }));
}

/// A detector and the stream that is played into it. A clone is played on without the original knowing.
#[derive(Clone)]
pub(crate) struct Player<'a> {
    detector: Detector,
    names: &'a [String],
    call: Call<'a>,
    played: u64,
    ticked: Timestamp,
}

impl<'a> Player<'a> {
    /// Agent n is called `names[n]`.
    pub(crate) fn new(detector: Detector, names: &'a [String]) -> Self {
        let mut call = Call::new(String::with_capacity(16), START, "", "");
        call.claimed = Attestation::Token;
        call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        Self { detector, names, call, played: 0, ticked: START }
    }

    /// Calls played so far.
    pub(crate) fn played(&self) -> u64 {
        self.played
    }

    /// Cohort incidents so far.
    pub(crate) fn incidents(&self) -> u32 {
        self.detector.cohort_incidents_so_far()
    }

    /// The name of an agent.
    pub(crate) fn name(&self, agent: usize) -> &'a str {
        &self.names[agent]
    }

    /// Lets time pass up to `until`. `hear` gets what the detector says of agents that do not call, by name.
    pub(crate) fn tick(&mut self, until: Timestamp, hear: &mut impl FnMut(&str, &Verdict)) {
        while self.ticked + TICK <= until {
            self.ticked = self.ticked + TICK;
            tick(&mut self.detector, self.ticked, hear);
        }
    }

    /// Plays one call.
    pub(crate) fn call(&mut self, due: Due) -> Option<Verdict> {
        self.played += 1;
        self.record(due.at, due.agent, due.endpoint, Kind::Call)
    }

    /// A person ruled the agent's evidence benign.
    pub(crate) fn benign(&mut self, at: Timestamp, agent: usize) {
        self.record(at, agent, "", Kind::Feedback);
    }

    fn record(&mut self, at: Timestamp, agent: usize, endpoint: &'static str, kind: Kind) -> Option<Verdict> {
        let call = &mut self.call;
        // A verdict's identity comes from the event's, so each has its own; the text is written over, never allocated.
        let id = call.event_id.to_mut();
        id.clear();
        write!(id, "{}-{}", self.played, kind.as_str()).ok()?;
        (call.kind, call.ts, call.received_at) = (kind, at, at);
        call.identity.agent_id = Cow::Borrowed(&self.names[agent]);
        call.endpoint = Cow::Borrowed(endpoint);
        self.detector.observe(call)
    }
}

/// Time passes, and what is said of agents that do not call is not heard.
pub(crate) fn pass(detector: &mut Detector, ticked: &mut Timestamp, until: Timestamp) {
    while *ticked + TICK <= until {
        *ticked = *ticked + TICK;
        detector.tick(*ticked);
    }
}

/// One step of time, and what is said of agents that do not call.
fn tick(detector: &mut Detector, watermark: Timestamp, hear: &mut impl FnMut(&str, &Verdict)) {
    detector.tick(watermark);
    for record in detector.said() {
        hear(&record.agent_id, &record.verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::chance::{Purpose, stream};

    #[test]
    fn a_run_begins_on_a_monday_and_a_minute_holds_its_calls() {
        assert_eq!(START.to_string(), "2026-01-05T00:00:00Z");
        let mut due = Vec::new();
        spread(500, minute(7), 3, &mut stream(1, "x", 3, Purpose::Instants), &mut due);
        assert_eq!(due.len(), 500);
        assert!(due.iter().all(|d| d.at >= minute(7) && d.at < minute(8) && d.agent == 3));
    }
}
