//! Drift: an agent whose sessions are each only a little odd, session after session (endpoint study §1, "Agent level").
//!
//! A Shiryaev-Roberts e-detector, `M ← (1 + M)·e(p)`, for each of three readings of a closed session: what it holds, whether the
//! agent itself calls that, and in which order. Their mean is an e-detector too: it reaches A on average no sooner than after
//! A normal sessions (Shin, Ramdas and Rinaldo, *E-detectors*, 2024).

use serde::{Deserialize, Serialize};

use super::super::{Evidence, Story, Strength, history};
use crate::Timestamp;
use crate::verdict::Pattern;

/// What of a session is read: its content, the agent's role, the order of its calls.
pub(crate) const ARMS: usize = 3;
const PATTERNS: [Pattern; ARMS] = [Pattern::SessionDrift, Pattern::RoleDrift, Pattern::OrderDrift];
/// The mixture over how odd sessions become (study §8, "SR kappas").
const KAPPAS: [f64; 4] = [0.1, 0.3, 0.5, 0.7];
/// Chances of the agent's own sessions are told apart by powers of two.
const BINS: usize = 8;
/// Weight of what peers' sessions say of an agent's chances, in sessions, and sessions of its own before which nothing is said.
const PEERS: f64 = 20.0;
const SPEAKS_FROM: u32 = 20;
/// From here on a run is under way: what its sessions are like is learned when it has passed (a reference that grows while the
/// agent changes takes the change for normal).
const RUN_FROM: f64 = 4.0;
/// Of the sessions that begin in one hour the first speaks for all: they are read by the same version of the fleet's model and share
/// its errors, and a busy hour is not many.
const HOUR_MS: i64 = 3_600_000;
const HOURS_A_DAY: f64 = 24.0;
/// Chances come from one shared set of sessions and are not independent of each other: so many times as much is asked (study §1).
const CAUTION: f64 = 3.0;
/// Sessions rarer than one in so many say no more, so that a drift that has ended is forgotten.
const MOST: f64 = 1e9;

/// How odd an agent's sessions have been by one reading, and how far a run of odd ones has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Arm {
    run: f32,
    /// Sessions by the power of two of their chance,
    past: [u8; BINS],
    /// and those of the run, which wait for its end.
    waiting: [u8; BINS],
}

/// Where an agent's drift stands. 76 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drift {
    arms: [Arm; ARMS],
    /// The first session of the run, and how many it has had.
    since: Timestamp,
    sessions: u32,
    /// The hour that has spoken.
    hour: u32,
}

/// The mean of κ·p^(κ−1): an e-value of a chance `p` in (0, 1].
fn e_value(p: f64) -> f64 {
    let powers = KAPPAS.iter().map(|kappa| kappa * libm::pow(p, kappa - 1.0));
    powers.sum::<f64>() / KAPPAS.len() as f64
}

fn bin(chance: f64) -> usize {
    (-libm::log2(chance)).clamp(0.0, (BINS - 1) as f64) as usize
}

fn count(counts: &[u8]) -> f64 {
    counts.iter().map(|n| f64::from(*n)).sum()
}

impl Arm {
    /// The chance of a session that is so rare among peers', for this agent: where it stands in its own past, and with the
    /// weight of [`PEERS`] theirs.
    fn own_chance(&self, chance: f64) -> f64 {
        let rarer = count(&self.past[bin(chance)..]) + (PEERS * chance).max(1.0);
        (rarer / (count(&self.past) + PEERS)).min(1.0)
    }

    fn learn(&mut self, chance: f64, speaks: bool) {
        if speaks {
            let run = (1.0 + f64::from(self.run)) * e_value(self.own_chance(chance));
            self.run = run.min(MOST) as f32;
        }
        let at = bin(chance);
        self.waiting[at] = self.waiting[at].saturating_add(1);
        if f64::from(self.run) < RUN_FROM {
            for (past, waited) in self.past.iter_mut().zip(std::mem::take(&mut self.waiting)) {
                *past = past.saturating_add(waited);
            }
            if self.past.contains(&u8::MAX) {
                self.past.iter_mut().for_each(|n| *n /= 2);
            }
        }
    }
}

impl Drift {
    /// A session ended at `ts` that among peers' is so rare by each reading.
    pub(crate) fn learn(&mut self, chances: [f64; ARMS], ts: Timestamp) {
        let hour = (ts.as_millis() / HOUR_MS).clamp(0, i64::from(u32::MAX)) as u32;
        if hour == self.hour {
            return;
        }
        self.hour = hour;
        let speaks = self.past() >= f64::from(SPEAKS_FROM);
        for (arm, chance) in self.arms.iter_mut().zip(chances) {
            arm.learn(chance, speaks);
        }
        if self.mean() < RUN_FROM {
            self.sessions = 0;
        } else {
            if self.sessions == 0 {
                self.since = ts;
            }
            self.sessions = self.sessions.saturating_add(1);
        }
    }

    /// See [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u64 {
        u64::from(self.sessions)
    }

    /// Normal sessions in which the like is to be seen once.
    fn mean(&self) -> f64 {
        self.arms.iter().map(|arm| f64::from(arm.run)).sum::<f64>() / ARMS as f64
    }

    /// Sessions that it rests on: those of the reading that is longest under way.
    fn past(&self) -> f64 {
        self.arms.iter().map(|arm| count(&arm.past)).fold(f64::INFINITY, f64::min)
    }

    /// Whether sessions teach nobody (study §6: from a quarter of what raises an alarm): one is raised every `alarm_days` at
    /// `per_day` sessions.
    pub(crate) fn is_under_way(&self, alarm_days: f64, per_day: f64) -> bool {
        self.sessions > 0 && self.mean() >= alarm_days * per_day.min(HOURS_A_DAY) * CAUTION / 4.0
    }

    /// What it has to say of an agent of so many sessions a day; None while that is nothing.
    pub(crate) fn stand(&self, ts: Timestamp, per_day: f64) -> Option<Evidence> {
        let once_in = self.mean() / CAUTION;
        if self.sessions == 0 || once_in <= 1.0 {
            return None;
        }
        let bits = libm::log2(once_in);
        let now = Strength::new(bits, per_day.min(HOURS_A_DAY));
        let longest =
            (1..ARMS).fold(0, |most, a| if self.arms[a].run > self.arms[most].run { a } else { most });
        let n = self.past();
        Some(Evidence {
            before: now,
            now,
            story: Story {
                pattern: PATTERNS[longest],
                observed: f64::from(self.sessions),
                expected: 0.0,
                low: 0.0,
                high: once_in,
                window_ms: ts.since(self.since).as_millis() as u64,
                since: self.since,
                history: history(n, n / (n + PEERS), true),
            },
        })
    }

    /// A person ruled it benign: what the agent does now is what it is compared with from here on.
    pub(crate) fn accept(&mut self) {
        if self.sessions > 0 {
            *self = Self::default();
        }
    }

    /// The run was somebody else's: the agent is compared with what it was before.
    pub(crate) fn disown(&mut self) {
        for arm in &mut self.arms {
            (arm.run, arm.waiting) = (0.0, [0; BINS]);
        }
        self.sessions = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn an_e_value_is_one_on_average() {
        let n = 1_000_000;
        let mean = (0..n).map(|i| e_value((f64::from(i) + 0.5) / f64::from(n))).sum::<f64>() / f64::from(n);
        // The singular end of the first power is cut off by the grid.
        assert!((0.9..=1.0).contains(&mean), "{mean}");
    }

    /// So many hours after the epoch.
    fn hour(n: u32) -> Timestamp {
        Timestamp::from_millis((1 + i64::from(n)) * HOUR_MS)
    }

    /// Sessions until the mean stands over `level`, at most `most`, with chances U^(1/a) of one reading after 60 uniform ones.
    fn sessions_until(level: f64, a: f64, most: u32, seed: u64) -> u32 {
        let mut dice = Random::new(seed);
        let mut drift = Drift::default();
        for session in 0..60 {
            drift.learn(std::array::from_fn(|_| dice.unit()), hour(session));
        }
        for arm in &mut drift.arms {
            arm.run = 0.0;
        }
        for session in 1..=most {
            let mut chances = std::array::from_fn(|_| dice.unit());
            chances[1] = libm::pow(chances[1], 1.0 / a);
            drift.learn(chances, hour(60 + session));
            if drift.mean() >= level {
                return session;
            }
        }
        most
    }

    #[test]
    fn normal_sessions_take_longer_than_promised_and_odd_ones_are_soon_found() {
        let normal: Vec<u32> = (0..40).map(|seed| sessions_until(500.0, 1.0, 3_000, seed)).collect();
        let mean = normal.iter().sum::<u32>() / 40;
        assert!(mean > 1_500, "{mean} {normal:?}");
        let mut odd: Vec<u32> = (0..41).map(|seed| sessions_until(500.0, 0.2, 400, seed)).collect();
        odd.sort_unstable();
        assert!(odd[20] < 20, "{odd:?}");
    }

    #[test]
    fn an_agent_that_always_was_so_does_not_drift() {
        let mut drift = Drift::default();
        for i in 0..2_000 {
            drift.learn([[0.03, 0.6, 0.02][i as usize % 3]; ARMS], hour(i));
            assert!(drift.mean() < 100.0, "{i} {drift:?}");
        }
    }

    #[test]
    fn a_busy_hour_speaks_once_and_a_benign_word_begins_anew() {
        let mut drift = Drift::default();
        for i in 0..60 {
            drift.learn([0.6; ARMS], hour(i));
        }
        let before = drift;
        for _ in 0..50 {
            drift.learn([0.001; ARMS], hour(59));
        }
        assert_eq!(drift, before);
        for i in 60..70 {
            drift.learn([0.6, 0.6, 0.001], hour(i));
        }
        let evidence = drift.stand(hour(70), 5.0).expect("it drifts");
        assert!(evidence.story.pattern == Pattern::OrderDrift && evidence.now.bits > 9.0, "{evidence:?}");
        assert!(evidence.story.since <= hour(61) && drift.is_under_way(90.0, 1.0));
        drift.accept();
        assert_eq!(drift, Drift::default());
    }
}
