//! `sessions.ndjson`: one row a session, written when it is over, in the order they began among those that end together.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use detector::{Call, Kind, MicroBits, Oddness, Timestamp};
use serde::Serialize;

/// A session without an id ends when its agent pauses longer than this (endpoint study §8, "session idle gap").
const GAP: Duration = Duration::from_mins(15);
/// A session with an id ends at its `task_end`, or when it has been silent this long.
const SILENCE_MAX: Duration = Duration::from_hours(24);
/// Open sessions held; past it the ones begun first are closed.
const OPEN_MAX: usize = 1_000_000;

/// One row.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the columns have the names of the contract")]
struct Session {
    session_id: String,
    agent_id: String,
    score: MicroBits,
    close_score: MicroBits,
    /// The least chance, at any of its calls, that a normal session ends as this one stood. None where there was nothing to compare it with.
    chance: Option<f64>,
    calls: u64,
    first_over: Option<String>,
    #[serde(skip)]
    number: u64,
    #[serde(skip)]
    last: Timestamp,
    #[serde(skip)]
    gap: Duration,
    /// Since when the detector sees it as one, and the oddest of what it saw before.
    #[serde(skip)]
    began: Timestamp,
    #[serde(skip)]
    ended: MicroBits,
}

/// The sessions of a replay.
pub(super) struct Sessions<W> {
    out: W,
    step_up: MicroBits,
    open: HashMap<(usize, Option<String>), Session>,
    begun: u64,
    swept: Option<Timestamp>,
}

impl<W: Write> Sessions<W> {
    pub(super) fn new(out: W, step_up: MicroBits) -> Self {
        Self { out, step_up, open: HashMap::new(), begun: 0, swept: None }
    }

    /// Counts a call of the agent with this number, with its level and how odd its session is were it over now. One that
    /// pauses is several to the detector; the oddest of them counts.
    pub(super) fn call(
        &mut self,
        agent: usize,
        call: &Call<'_>,
        (level, odd): (MicroBits, Option<Oddness>),
    ) -> io::Result<()> {
        let id = call.identity.session_id.as_deref();
        let key = (agent, id.map(str::to_owned));
        if self.open.get(&key).is_some_and(|s| call.ts.since(s.last) > s.gap) {
            self.close(&key)?;
        }
        if !self.open.contains_key(&key) {
            self.begun += 1;
            if self.open.len() >= OPEN_MAX {
                self.close_where(|_, half| half)?;
            }
        }
        let (begun, agent_id) = (self.begun, &call.identity.agent_id);
        let session = self.open.entry(key).or_insert_with(|| Session {
            session_id: id.map_or_else(|| format!("{agent_id}@{}", call.ts), str::to_owned),
            agent_id: agent_id.to_string(),
            score: level,
            close_score: MicroBits::ZERO,
            chance: None,
            calls: 0,
            first_over: None,
            number: begun,
            last: call.ts,
            began: call.ts,
            ended: MicroBits::ZERO,
            gap: if id.is_some() { SILENCE_MAX } else { GAP },
        });
        session.calls += 1;
        session.last = session.last.max(call.ts);
        session.score = session.score.max(level);
        if let Some(Oddness { began, chance, bits }) = odd {
            if began != session.began {
                (session.began, session.ended) = (began, session.close_score);
            }
            session.close_score = session.ended.max(bits);
            session.chance = Some(session.chance.map_or(chance, |least| least.min(chance)));
        }
        if level >= self.step_up && session.first_over.is_none() {
            session.first_over = Some(call.event_id.to_string());
        }
        Ok(())
    }

    /// The agent says that its task is over.
    pub(super) fn end(&mut self, agent: usize, call: &Call<'_>) -> io::Result<()> {
        debug_assert_eq!(call.kind, Kind::TaskEnd);
        self.close(&(agent, call.identity.session_id.as_deref().map(str::to_owned)))
    }

    /// Event time has reached `ts`: closes what has been silent for long. Looks once an hour.
    pub(super) fn advance(&mut self, ts: Timestamp) -> io::Result<()> {
        if self.swept.is_some_and(|last| ts.since(last) < Duration::from_hours(1)) {
            return Ok(());
        }
        self.swept = Some(ts);
        self.close_where(|s, _| ts.since(s.last) > s.gap)
    }

    /// The log is over, and with it every session. Returns the output and how many sessions there were.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.close_where(|_, _| true)?;
        self.out.flush()?;
        Ok((self.out, self.begun))
    }

    fn close(&mut self, key: &(usize, Option<String>)) -> io::Result<()> {
        match self.open.remove(key) {
            Some(session) => write_row(&mut self.out, &session),
            None => Ok(()),
        }
    }

    /// Closes those for which `over(session, is among the older half)`.
    fn close_where(&mut self, over: impl Fn(&Session, bool) -> bool) -> io::Result<()> {
        let mut numbers: Vec<u64> = self.open.values().map(|s| s.number).collect();
        numbers.sort_unstable();
        let middle = numbers.get(numbers.len() / 2).copied().unwrap_or(0);
        let mut closed: Vec<Session> =
            self.open.extract_if(|_, s| over(s, s.number < middle)).map(|(_, s)| s).collect();
        closed.sort_unstable_by_key(|s| s.number);
        closed.iter().try_for_each(|s| write_row(&mut self.out, s))
    }
}

fn write_row(out: &mut impl Write, session: &Session) -> io::Result<()> {
    serde_json::to_writer(&mut *out, session)?;
    out.write_all(b"\n")
}
