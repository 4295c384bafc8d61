//! What the level of an agent becomes while it does not call.

use std::time::Duration;

use crate::combine;
use crate::detector::Detector;
use crate::fleet::Fleet;
use crate::profile::{Declared, Key};
use crate::signal::volume::{Volume, VolumeTally};
use crate::{MicroBits, Timestamp};

/// After this an agent's silence is looked at once an hour: its evidence moves in hours, and a year of it is soon passed.
const HOURLY_AFTER: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// An agent as its last call left it. Time passes for it alone: the detector learns nothing from a question.
///
/// It speaks of one silence; ask [`Detector::silence`] anew after the agent's next call.
#[derive(Clone, Debug)]
pub struct Silence {
    profile: usize,
    volume: Volume,
}

impl Detector {
    /// The silence that follows the agent's last call; `None` for an agent never seen.
    pub fn silence(&self, issuer: Option<&str>, agent_id: &str) -> Option<Silence> {
        let profile = self.find(Key::new(issuer, agent_id))?;
        Some(Silence { profile, volume: self.state.profiles[profile].volume.clone() })
    }

    /// The level of evidence at `ts`, which must not be before what was asked of this silence last.
    pub fn level_in(&self, silence: &mut Silence, ts: Timestamp) -> MicroBits {
        let (thresholds, Fleet { published, .. }) = (&self.state.thresholds, &self.state.fleet);
        let Some(p) = self.state.profiles.get(silence.profile) else { return MicroBits::ZERO };
        let ctx = p.declared.volume(published, thresholds);
        let ts = if ts.since(p.last) > HOURLY_AFTER { ts.floor_to(HOUR) } else { ts };
        silence.volume.advance(ts, ctx, &mut VolumeTally::default());
        let (timing, _) = p.timing.strength(Declared::timing(published, thresholds, &p.volume));
        let endpoint = p.endpoints.strength_at(ts, p.timing.calls_per_day());
        let strengths = [silence.volume.level_at(ts, ctx).0, timing, endpoint];
        let levels = strengths.into_iter().enumerate().map(|(f, s)| combine::level(f, s));
        MicroBits::from_bits(levels.fold(f64::NEG_INFINITY, f64::max))
    }
}
