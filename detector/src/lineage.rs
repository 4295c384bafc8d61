//! Lines: what an agent does together with those it has spawned.
//!
//! Fifty sub-agents that each do a little more are a lot more of the one above them. So every call of a line counts once more, in
//! the line's own volume, with a tail, a season and a band of its own; and so does every sub-agent once an hour, since new ones by
//! the dozen are news of their parent. What the line says stands in the verdicts on those in it.
//!
//! A line is known by the agent at its head. Whom a manifest puts there is in the *declared* line of that head; who only says so
//! in its calls is in the *claimed* one. The two share nothing, since a field of a log is a claim of whoever wrote it: a forged
//! parent can disturb those that name one, and neither the head nor any declared child.

mod line;
mod place;

use std::time::Duration;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use self::line::{Context, Line, LinePrior, LineTally};
pub(crate) use self::place::Place;
use crate::combine::{self, CHILDREN_SHARE, LINE_SHARE, OWN_SHARE, Thresholds};
use crate::detector::{Detector, State};
use crate::fleet::{Fleet, Published};
use crate::monitor::Heard;
use crate::profile::{Key, Profile};
use crate::signal::Evidence;
use crate::stored::in_order;
use crate::{Call, Part, Pattern, Signal, Timestamp, Verdict};

/// Lines that are held, of under 3 KiB each.
const LINES_MAX: usize = 65_536;
/// At the limit this share of them goes at once, as of agents.
const EVICT_ONE_IN: usize = 64;
/// A sub-agent counts once in each hour.
const HOUR: Duration = Duration::from_hours(1);
/// How far past event time a call may be dated to move its line's clock, which its siblings share: as much as a tick and the lateness
/// of calls come to (`ingest`'s watermark), and no more.
const AHEAD_MAX: Duration = Duration::from_mins(1);
/// A line is over once nobody below its head has called for so long.
const OVER_AFTER: Duration = Duration::from_hours(28 * 24);

/// All lines, and what they are like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lineage {
    #[serde(serialize_with = "in_order")]
    lines: HashMap<u64, Box<Line>, FxBuildHasher>,
    prior: LinePrior,
    tally: LineTally,
    /// The version of the fleet's model that `prior` belongs to.
    version: u32,
}

impl Lineage {
    /// What an agent that is first seen heads, where its children came before it.
    pub(crate) fn headed_by(&self, key: Key) -> Place {
        let mut places = [Place::declared(key), Place::claimed(key)].into_iter();
        places.find(|place| self.lines.contains_key(&place.line())).unwrap_or_default()
    }

    /// The fleet has published `version`: from now on lines are read against what they have taught up to it.
    pub(crate) fn publish(&mut self, version: u32) {
        if version != self.version {
            self.version = version;
            self.prior = self.tally.prior();
        }
    }

    /// Makes room for one line more. Idle ones go first, then those that are new, of each those that were idle longest.
    fn make_room(&mut self, max: usize, now: Timestamp) {
        let beyond = (self.lines.len() + 1).saturating_sub(max.max(1));
        if beyond == 0 {
            return;
        }
        let mut order: Vec<_> = self.lines.iter().map(|(id, line)| (line.presence.order(now), *id)).collect();
        order.sort_unstable();
        for (_, id) in order.iter().take(beyond.max(self.lines.len() / EVICT_ONE_IN)) {
            self.lines.remove(id);
        }
    }

    /// The line, what it is read against, and what it teaches.
    fn open(
        &mut self,
        place: Place,
        widening: f64,
        thresholds: &Thresholds,
    ) -> Option<(&mut Line, Context<'_>, &mut LineTally)> {
        // One line alone would be its own peer.
        let has_peers = self.version > 0 && self.lines.len() > 1;
        let Self { lines, prior, tally, .. } = self;
        let ctx = Context::new(prior, has_peers, widening, thresholds);
        lines.get_mut(&place.line()).map(|line| (&mut **line, ctx, tally))
    }

    /// The largest count that would have kept a part that speaks of the line under the watch budget; none of any other part.
    pub(crate) fn quiet_at(
        &mut self,
        place: Place,
        part: &Part,
        published: &Published,
        thresholds: &Thresholds,
    ) -> Option<f64> {
        let group = match part.pattern {
            Pattern::LineMoreCalls => LINE_SHARE,
            Pattern::ManyChildren => CHILDREN_SHARE,
            _ => return None,
        };
        let level = combine::allowed(combine::VOLUME, thresholds.watch) - group.log2;
        let (line, ctx, _) = self.open(place, published.widening.of(combine::VOLUME), thresholds)?;
        Some(line.quiet_at(part.pattern, level, ctx))
    }

    /// What the line of `place` has raised: one line's alarms are one agent's, in however many verdicts they stand.
    pub(crate) fn heard(&mut self, place: Place) -> Option<&mut Heard> {
        self.lines.get_mut(&place.line()).map(|line| &mut line.heard)
    }
}

impl Pattern {
    pub(crate) fn is_of_line(self) -> bool {
        matches!(self, Self::LineMoreCalls | Self::ManyChildren)
    }
}

impl Part {
    /// Whether it speaks of the line that an agent belongs to, and not of the agent alone.
    pub fn is_of_line(&self) -> bool {
        self.pattern.is_of_line()
    }
}

impl Detector {
    /// Lines that are held.
    pub fn lines(&self) -> usize {
        self.state.lineage.lines.len()
    }

    /// Who heads the line that a verdict on this call speaks of; none where it speaks of none, or nobody who is known has that name.
    pub fn line_of(&self, call: &Call<'_>, verdict: &Verdict) -> Option<String> {
        verdict.part(Signal::Volume).filter(|part| part.is_of_line())?;
        let p = &self.state.profiles[self.find(Key::of(call))?];
        let named =
            [p.declared.head.as_deref(), call.identity.parent_agent_id.as_deref(), Some(p.name.agent_id())];
        let is_head = |name: &&str| p.place.is_head(Key::new(p.name.issuer(), name));
        let known =
            || p.place.head_hashes().find_map(|hash| self.hashed(hash)).map(|head| head.name.agent_id());
        named.into_iter().flatten().find(is_head).or_else(known).map(str::to_owned)
    }

    /// Whether a call counts in a line, or may from now on.
    pub(crate) fn is_in_line(&self, call: &Call<'_>) -> bool {
        let State { lineage, manifests, profiles, .. } = &self.state;
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let names_parent = call.identity.parent_agent_id.is_some();
        if !call.kind.is_call() || !names_parent && lineage.lines.is_empty() && !manifests.have_lines {
            return false;
        }
        let key = Key::new(issuer, agent_id);
        names_parent
            || match self.find(key).map(|i| &profiles[i]) {
                Some(p) => !p.place.is_none() || p.declared.head.is_some(),
                None => manifests.of(issuer, agent_id).head.is_some() || !lineage.headed_by(key).is_none(),
            }
    }

    /// Counts a call in the line of its agent, and gives what volume says with that. `own` is what the agent's own volume says,
    /// `before` when the agent called last. Comes once for every call, in order, after all that is the agent's own.
    pub(crate) fn follow_line(
        &mut self,
        (profile, before): (usize, Timestamp),
        call: &Call<'_>,
        own: Evidence,
    ) -> Evidence {
        let ts = call.ts.min(self.state.memory.now(call.ts) + AHEAD_MAX);
        let (was, place) = (self.state.profiles[profile].place, self.place(profile, call, ts));
        if place.is_none() {
            self.state.profiles[profile].place = place;
            return own;
        }
        self.state.count_in_line((profile, before), (was, place), ts, own)
    }

    /// Where the agent of this call stands: by its manifest, by what the call says, or where it was. A line begins with the first
    /// call of a child.
    fn place(&mut self, profile: usize, call: &Call<'_>, ts: Timestamp) -> Place {
        let p = &self.state.profiles[profile];
        let (key, was) = (p.key, p.place.without_manifest(p.key));
        let is_there = |place: Place| self.state.lineage.lines.contains_key(&place.line());
        let (place, head) = match (&p.declared.head, call.identity.parent_agent_id.as_deref()) {
            (None, None) => (was, None),
            // A line that exists has told its head.
            (Some(_), _) if is_there(p.place) && p.place.is_declared_child(key) => (p.place, None),
            (Some(head), _) => {
                let head = Key::new(p.name.issuer(), head);
                (Place::declared(head), Some(head))
            }
            (None, Some(parent)) => self.claimed(p, parent).unwrap_or((was, None)),
        };
        if place.is_none() {
            return place;
        }
        if let Some(head) = head.and_then(|head| self.find(head)) {
            self.state.profiles[head].heads(place);
        }
        match (self.state.lineage.lines.contains_key(&place.line()), place.is_head(key)) {
            (true, _) => place,
            // Its line had to go, or is over.
            (false, true) => Place::default(),
            (false, false) => {
                self.state.begin_line(place, ts);
                place
            }
        }
    }

    /// Where an agent stands that names such a parent, and that parent if it heads the line; none where the parent is a stranger, or
    /// the agent itself stands above it. A parent is no stranger if it is declared, or established under the same issuer.
    fn claimed(&self, p: &Profile, parent: &str) -> Option<(Place, Option<Key>)> {
        let issuer = p.name.issuer();
        let key = Key::new(issuer, parent);
        let above = self.find(key).map(|i| &self.state.profiles[i]);
        let declared = above.map_or_else(|| self.state.manifests.of(issuer, parent), |above| &above.declared);
        let is_known = declared.purpose().is_some() || above.is_some_and(|a| a.presence.is_established());
        let of_above = above.map(|above| above.place).filter(|place| !place.is_none());
        let place = match (&declared.head, of_above) {
            (Some(head), _) => Place::declared(Key::new(issuer, head)),
            (None, Some(place)) => place,
            (None, None) => Place::claimed(key),
        };
        let is_above = !place.is_head(p.key) && key != p.key;
        (is_known && is_above).then(|| (place.as_claimed(), place.is_head(key).then_some(key)))
    }
}

impl State {
    fn begin_line(&mut self, place: Place, ts: Timestamp) {
        let Self { lineage, config, memory, thresholds, .. } = self;
        lineage.make_room(LINES_MAX.min(config.agents_max), memory.now(ts));
        let line = Line::new(ts, Context::new(&lineage.prior, false, 1.0, thresholds));
        lineage.lines.insert(place.line(), Box::new(line));
    }

    fn count_in_line(
        &mut self,
        (profile, before): (usize, Timestamp),
        (was, place): (Place, Place),
        ts: Timestamp,
        own: Evidence,
    ) -> Evidence {
        let Self { profiles, lineage, fleet, memory, sources, thresholds, .. } = self;
        let p = &mut profiles[profile];
        let widening = fleet.published.widening.of(combine::VOLUME);
        let (is_head, carries) = (place.is_head(p.key), place.carries(p.key));
        let own = if carries { own.at_share(OWN_SHARE) } else { own };
        let Some((line, ctx, tally)) = lineage.open(place, widening, thresholds) else { return own };
        if is_head && line.presence.is_silent_for(OVER_AFTER, memory.now(ts)) {
            lineage.lines.remove(&place.line());
            p.place = Place::default();
            return own;
        }
        if !is_head {
            memory.see(&mut line.presence, ts);
        }
        p.place = place.told(was.is_told() && was.line() == place.line() && line.waits());
        // Who asks a person by its own calls is what there is to see, and not the line.
        if combine::level(combine::VOLUME, own.now) >= thresholds.step_up.as_bits() {
            return own;
        }
        let is_first = !is_head && (p.presence.is_new() || before.floor_to(HOUR) < ts.floor_to(HOUR));
        let [calls, children] = line.count(ts, is_first, sources.outages(p.source), ctx, tally);
        if !carries {
            return own;
        }
        own.beside(Some(calls.at_share(LINE_SHARE))).beside(Some(children.at_share(CHILDREN_SHARE)))
    }

    /// A person ruled on what the line of this agent showed, if that is what the person was told: what it is now is normal, or was
    /// nobody's. Either way its alarm was no false one.
    pub(crate) fn rule_on_line(&mut self, profile: usize, is_meant: bool) {
        let Self { profiles, lineage, fleet, thresholds, .. } = self;
        let place = profiles[profile].place;
        let Fleet { published, monitor, .. } = fleet;
        if place.is_told()
            && let Some((line, ctx, _)) =
                lineage.open(place, published.widening.of(combine::VOLUME), thresholds)
        {
            if is_meant {
                line.adopt(ctx);
            } else {
                line.disown(ctx);
            }
            monitor.take_back(&mut line.heard);
            profiles[profile].place = place.told(false);
        }
    }

    /// A person ruled benign what the line of this agent showed, if that is what the person was told.
    pub(crate) fn accept_line(&mut self, profile: usize) {
        let Self { profiles, lineage, fleet, thresholds, .. } = self;
        let place = profiles[profile].place;
        if place.is_told()
            && let Some((line, ctx, tally)) =
                lineage.open(place, fleet.published.widening.of(combine::VOLUME), thresholds)
        {
            line.accept(ctx, tally);
            profiles[profile].place = place.told(false);
        }
    }
}

impl Profile {
    /// Its manifest may be another now.
    pub(crate) fn redeclare(&mut self) {
        let head = self.declared.head.as_ref().map(|head| Key::new(self.name.issuer(), head));
        let place = head.map_or_else(|| self.place.without_manifest(self.key), Place::declared);
        if place.line() != self.place.line() {
            self.place = place;
        }
    }

    /// Others are in its line. What a manifest says of its own place holds, and else what others' manifests say of it.
    fn heads(&mut self, place: Place) {
        if self.place.is_none() || !place.is_claimed() && self.declared.head.is_none() {
            self.place = place;
        }
    }

    /// Whether a person is told of its line with its last verdict.
    pub(crate) fn tells_of_line(&mut self, told: bool) {
        if told {
            self.place = self.place.told(true);
        }
    }
}
