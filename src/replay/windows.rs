//! `windows.csv`: every agent's highest level in every 5-minute window since its first call, empty windows too.

use std::io::{self, Write};
use std::time::Duration;

use detector::{Detector, MicroBits, Silence, Timestamp};

/// Length of a window.
pub(super) const WINDOW: Duration = Duration::from_mins(5);
/// An agent that has been silent this long gets no more empty windows until it calls again. Bounds the file: one line
/// with a false time would otherwise write a row for every five minutes of centuries.
const SILENCE_MAX: Duration = Duration::from_hours(24 * 30);

struct Agent {
    issuer: Option<String>,
    name: String,
    /// Highest level in the open window; `None` while it is empty.
    peak: Option<MicroBits>,
    last: Timestamp,
    /// What follows its last call, once a window without one has been written.
    silence: Option<Silence>,
}

/// Writes the rows of a window when event time leaves it, agents in the order first seen.
pub(super) struct Windows<W> {
    out: W,
    open: Option<Timestamp>,
    agents: Vec<Agent>,
}

impl<W: Write> Windows<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"agent_id,window_start,score\n")?;
        Ok(Self { out, open: None, agents: Vec::new() })
    }

    /// Makes `ts` the present; call it before the detector learns of the call at `ts`. A call older than the open
    /// window counts in the open one: what is written is not written again.
    pub(super) fn advance(&mut self, ts: Timestamp, detector: &Detector) -> io::Result<()> {
        let now = ts.floor_to(WINDOW);
        let Some(mut open) = self.open else {
            self.open = Some(now);
            return Ok(());
        };
        while open < now {
            if !self.close(open, detector)? {
                // Nobody is left to write empty windows for.
                open = now;
                break;
            }
            open = open + WINDOW;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Whether a call at `ts` lies past the open window, so that what came before must be counted first.
    pub(super) fn is_past(&self, ts: Timestamp) -> bool {
        self.open.is_none_or(|open| ts.floor_to(WINDOW) > open)
    }

    /// Counts a call of the agent with this number; a new number is a new agent.
    pub(super) fn call(&mut self, agent: usize, name: (Option<&str>, &str), ts: Timestamp, level: MicroBits) {
        if agent == self.agents.len() {
            let (issuer, agent_id) = (name.0.map(str::to_owned), name.1.to_owned());
            self.agents.push(Agent { issuer, name: agent_id, peak: None, last: ts, silence: None });
        }
        let a = &mut self.agents[agent];
        a.peak = Some(a.peak.map_or(level, |p| p.max(level)));
        a.last = a.last.max(ts);
        a.silence = None;
    }

    /// The last window ends with the log.
    pub(super) fn finish(mut self, detector: &Detector) -> io::Result<W> {
        if let Some(open) = self.open {
            self.close(open, detector)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn close(&mut self, start: Timestamp, detector: &Detector) -> io::Result<bool> {
        let mut any = false;
        for a in &mut self.agents {
            if a.peak.is_none() && start.since(a.last) > SILENCE_MAX {
                continue;
            }
            any = true;
            let score = if let Some(peak) = a.peak.take() {
                peak
            } else {
                if a.silence.is_none() {
                    a.silence = detector.silence(a.issuer.as_deref(), &a.name);
                }
                let Some(silence) = &mut a.silence else { continue };
                // What silence says grows, and what was there before it fades: the higher of both ends.
                detector.level_in(silence, start).max(detector.level_in(silence, start + WINDOW))
            };
            writeln!(self.out, "{},{start},{:.6}", csv(&a.name), score)?;
        }
        Ok(any)
    }
}

/// One CSV field (RFC 4180).
fn csv(field: &str) -> std::borrow::Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}
