//! What the level of an agent becomes while it does not call, and when that is news.
//!
//! Silence is looked at by the clock of event time, a look that teaches nothing: the agent's volume is copied, time passes
//! for the copy, and what its downward CUSUMs then say is a verdict of its own, at most a watch. Where calls that come later
//! are from that time, and enough that it was no silence, they amend it: the same verdict, next version.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::combine::{self, FAMILIES, Score};
use crate::detector::Detector;
use crate::hash::hash128;
use crate::lane::{Lane, Shared, lane_of};
use crate::layers;
use crate::profile::{Declared, Key, Profile};
use crate::signal::context::{Caller, Reading};
use crate::signal::session::Sessions;
use crate::signal::volume::{Context, Volume, VolumeTally};
use crate::signal::{Evidence, Story};
use crate::{
    Call, EffectiveAttestation, Kind, MicroBits, Pattern, Timestamp, Verdict, VerdictId, VerdictRecord,
};

/// After this an agent's silence is looked at once an hour: its evidence moves in hours, and a year of it is soon passed.
const HOURLY_AFTER: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
/// The first look comes when an agent that calls as it usually does would have called so often, a later one after a fourth of
/// the silence so far; neither sooner than the one nor later than the other.
const EXPECTED_CALLS: f64 = 6.0;
const PATIENCE_MIN: Duration = Duration::from_mins(10);
const MINUTE_MS: u64 = 60_000;
pub(crate) const PATIENCE_MAX: Duration = Duration::from_hours(6);

/// An agent as its last call left it. Time passes for it alone: the detector learns nothing from a question.
///
/// It speaks of one silence; ask [`Detector::silence`] anew after the agent's next call.
#[derive(Clone, Debug)]
pub struct Silence {
    profile: usize,
    volume: Volume,
    at: Timestamp,
}

/// What was said of a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// The call after which it began, and up to when it was known.
    since: Timestamp,
    until: Timestamp,
}

/// When agents' silences are looked at, soonest first; by the agents' places among the profiles, and made anew where these change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vigil(BinaryHeap<Reverse<(Timestamp, u32)>>);

impl Vigil {
    pub(crate) fn add(&mut self, place: usize, profile: &Profile) {
        self.0.push(Reverse((profile.due, place as u32)));
    }

    fn next(&mut self, now: Timestamp) -> Option<(Timestamp, u32)> {
        let due = self.0.peek().is_some_and(|Reverse((due, _))| *due <= now);
        due.then(|| self.0.pop()).flatten().map(|Reverse(entry)| entry)
    }
}

impl Detector {
    /// The silence that follows the agent's last call; `None` for an agent never seen.
    pub fn silence(&self, issuer: Option<&str>, agent_id: &str) -> Option<Silence> {
        let profile = self.find(Key::new(issuer, agent_id))?;
        let p = &self.state.profiles[profile];
        Some(Silence { profile, volume: p.volume.clone(), at: p.last })
    }

    /// The level of evidence at `ts`, which must not be before what was asked of this silence last.
    pub fn level_in(&self, silence: &mut Silence, ts: Timestamp) -> MicroBits {
        let Some(p) = self.state.profiles.get(silence.profile) else { return MicroBits::ZERO };
        let ts = if ts.since(p.last) > HOURLY_AFTER { ts.floor_to(HOUR) } else { ts };
        let (volume, from) = (&mut silence.volume, silence.at);
        let shared = self.state.shared();
        shared.pass(p, volume, (from, ts));
        silence.at = from.max(ts);
        let sessions = &self.state.lanes[lane_of(p.key)].sessions;
        let evidence = shared.evidence_of(p, volume, sessions, ts);
        let levels = evidence.0.iter().enumerate().map(|(f, e)| combine::level(f, e.now));
        MicroBits::from_bits(levels.fold(f64::NEG_INFINITY, f64::max))
    }

    /// What has been said since it was last asked, in order: silences, and earlier verdicts on them that a late call amends.
    pub fn said(&mut self) -> Vec<VerdictRecord> {
        std::mem::take(&mut self.said)
    }

    /// Looks at the silences that are due by `now`.
    pub(crate) fn look_at_silences(&mut self, now: Timestamp) {
        while let Some((_, place)) = self.vigil.next(now) {
            let i = place as usize;
            let Some(p) = self.state.profiles.get(i) else { continue };
            let silent_for = now.since(p.last);
            let shared = self.state.shared();
            let patience = shared.patience(p);
            let mut next = p.last + patience;
            // Whoever was seen for an hour and never again had no habit of calling.
            let is_news = p.silence.is_none() && p.presence.is_established();
            if silent_for >= patience && is_news {
                let until = shared.known_until(p, now);
                let sessions = &self.state.lanes[lane_of(p.key)].sessions;
                let score = shared.is_silent(p, sessions, until);
                next = now + (silent_for / 4).clamp(PATIENCE_MIN, PATIENCE_MAX);
                if let Some(score) = score {
                    // The fleet's monitor does not hear it: it counts alarms over time that calls span, and where many fall
                    // silent at once a log has stopped.
                    let silence = Said { since: p.last, until };
                    self.said.push(shared.record(p, silence, SAID, score));
                    self.state.profiles[i].silence = Some(Box::new(silence));
                }
            } else if silent_for >= patience {
                // Said once; the next call ends it.
                next = now + PATIENCE_MAX;
            }
            let p = &mut self.state.profiles[i];
            p.due = next;
            self.vigil.add(i, p);
        }
    }
}

impl Lane {
    /// A call from the time in which its agent was said to be silent amends that once it was none; one from after it ends it.
    pub(crate) fn amend_silence(
        &self,
        p: &mut Profile,
        call: &Call<'_>,
        shared: Shared<'_>,
    ) -> Option<Box<VerdictRecord>> {
        let said = **p.silence.as_ref()?;
        if call.ts >= said.until {
            p.silence = None;
            return None;
        }
        let (until, mut volume, ts) = (said.until, p.volume.clone(), call.ts.max(p.last));
        shared.pass(p, &mut volume, (p.last, ts));
        let ctx = p.declared.volume(shared.published, shared.thresholds);
        volume.count(ts, ctx, &mut VolumeTally::default());
        shared.pass(p, &mut volume, (ts, until));
        let (evidence, context) = shared.evidence_of(p, &volume, &self.sessions, until);
        let watch = shared.thresholds.watch;
        if MicroBits::from_bits(combine::level(0, evidence[0].now)) >= watch {
            return None;
        }
        let mut score = Score::default();
        combine::combine(&evidence, &context.stories, until, watch, &mut score);
        p.silence = None;
        Some(Box::new(shared.record(p, said, AMENDED, score)))
    }
}

/// The story of one window told of all the silence.
fn whole_silence(of_window: Story, p: &Profile, until: Timestamp, ctx: Context<'_>) -> Story {
    let expected = p.volume.expected_calls(p.last, until, ctx);
    let times = expected / of_window.expected.max(f64::MIN_POSITIVE);
    Story {
        observed: 0.0,
        expected,
        low: of_window.low * times,
        high: of_window.high * times,
        window_ms: until.since(p.last).as_millis() as u64 / MINUTE_MS * MINUTE_MS,
        since: p.last,
        ..of_window
    }
}

/// Versions of a verdict on silence.
const SAID: u16 = 1;
const AMENDED: u16 = 2;

impl Shared<'_> {
    /// Lets time pass for a copy of the agent's volume.
    fn pass(&self, p: &Profile, volume: &mut Volume, (from, ts): (Timestamp, Timestamp)) {
        let ctx = p.declared.volume(self.published, self.thresholds);
        let outages = self.sources.outages(p.source);
        volume.advance_through((from, ts), outages, ctx, &mut VolumeTally::default());
    }

    /// Up to when the agent is known to be silent.
    fn known_until(&self, p: &Profile, now: Timestamp) -> Timestamp {
        self.sources.known_until(p.source, now).max(p.last)
    }

    /// How long the agent may be silent before that is looked at.
    fn patience(&self, p: &Profile) -> Duration {
        let ctx = p.declared.volume(self.published, self.thresholds);
        let hours = EXPECTED_CALLS / p.volume.per_hour(ctx).max(1e-3);
        Duration::from_secs_f64(hours * 3_600.0).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// What every family says at `ts` of an agent whose volume has become `volume` and that has not called since.
    fn evidence_of(
        &self,
        p: &Profile,
        volume: &Volume,
        sessions: &Sessions,
        ts: Timestamp,
    ) -> ([Evidence; FAMILIES], Reading) {
        let Self { published, thresholds, .. } = *self;
        let is_established = p.presence.is_established();
        let ctx = p.declared.volume(published, thresholds);
        let (now, at) = volume.level_at(ts, ctx);
        let timing_ctx = Declared::timing(published, thresholds, &p.volume);
        let timing = p.timing.stand(timing_ctx);
        let context = p.circumstances.stand(ts, p.context_ctx(published, thresholds, is_established));
        let own =
            Evidence { before: p.volume.level_at(p.last, ctx).0, now, story: volume.story(at, ts, ctx) };
        let evidence = [
            p.share_of_volume(own),
            Evidence { before: timing.now, now: timing.now, story: p.timing.story(&timing, timing_ctx) },
            Evidence::of_endpoint(
                p.endpoints.stand(ts, p.declared.endpoint(published, thresholds, &p.timing)),
                sessions.stand(
                    p.endpoints.session(),
                    ts,
                    p.session_ctx(published, thresholds, is_established, 1.0),
                ),
                p.endpoints.drift(p.timing.born(), ts),
            ),
            context.evidence,
        ];
        (evidence, context)
    }

    /// The score of the agent's silence up to `until`, if that is worth a watch.
    fn is_silent(&self, p: &Profile, sessions: &Sessions, until: Timestamp) -> Option<Score> {
        let mut volume = p.volume.clone();
        self.pass(p, &mut volume, (p.last, until));
        let (mut evidence, context) = self.evidence_of(p, &volume, sessions, until);
        let watch = self.thresholds.watch;
        let is_news = evidence[0].story.pattern == Pattern::FewerCalls
            && MicroBits::from_bits(combine::level(0, evidence[0].now)) >= watch;
        is_news.then(|| {
            let ctx = p.declared.volume(self.published, self.thresholds);
            evidence[0].story = whole_silence(evidence[0].story, p, until, ctx);
            let mut score = Score::default();
            combine::combine(&evidence, &context.stories, until, watch, &mut score);
            let at = volume.level_at(until, ctx).1;
            score.parts[0].quiet_at = volume.quiet_at(at, until, combine::allowed(0, watch), ctx);
            score
        })
    }

    fn record(&self, p: &Profile, said: Said, version: u16, score: Score) -> VerdictRecord {
        let (since, until) = (said.since.as_micros().to_string(), said.until);
        let silence = hash128(&[p.name.issuer().unwrap_or_default(), p.name.agent_id(), &since]);
        let event_id = format!("silence-{silence:032x}");
        let nobody = (&Caller::default(), EffectiveAttestation::default());
        let (layers, actor) = layers::judge(&score, nobody, p.presence.is_established(), self.thresholds);
        let verdict = Verdict {
            id: VerdictId(hash128(&[&event_id, &version.to_string()])),
            version,
            ts: until,
            level: score.level,
            added: score.added,
            parts: score.parts,
            families: score.families,
            jump: 1.0,
            attestation: EffectiveAttestation::default(),
            model: self.published.version,
            rule: None,
            cohort: None,
            layers,
            actor,
        };
        let mut call = Call::new(event_id, until, p.name.agent_id(), "");
        call.kind = Kind::Silence;
        call.identity.issuer = p.name.issuer().map(Into::into);
        VerdictRecord::new(&call, verdict)
    }
}
