//! Context: is the agent where it usually is, as what it usually is, with what it usually gets?
//!
//! Five groups of evidence, each a sum in nats that begins where an agent's own past and its peers' make the present
//! unlikely, each calibrated on the agent's own excursions like volume and timing ([`super::tail`]): what is new about
//! the caller ([`news`]), one credential in two places ([`rate`]), denials and failures ([`rate`]), and sizes of answers
//! and times they take ([`size`]).

mod caller;
mod facts;
mod news;
mod rate;
mod size;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

pub(crate) use self::caller::Caller;
use self::facts::Facts;
use self::news::{News, NewsModel, NewsTally};
use self::rate::{Places, Rate, RateModel, Switch};
use self::size::Sizes;
use super::tail::{Group, PeerTail, Rule, Tail};
use super::{Alarm, Evidence, Story, Strength, history};
use crate::combine::{self, CONTEXT};
use crate::ruling::Reach;
use crate::stored::{Half, Stored};
use crate::verdict::{CONTEXT_PARTS_MAX, Pattern};
use crate::{Call, Kind, MicroBits, Providers, Timestamp};

/// Where excursions begin, nats, as for volume.
const THRESHOLD: f64 = 2.0;
/// Evidence halves in this time, as that of endpoints.
const HALF_LIFE: Duration = Duration::from_hours(12);
/// An agent's tails settle within this time, as volume's.
const SETTLES_DAYS: f64 = 14.0;
/// The most evidence a group sums up: beyond is no rarer, and takes longer to end.
const SUM_MAX: f64 = 40.0;
/// What is learned of an agent under suspicion, as of endpoints.
const SUSPECT_WEIGHT: f64 = 0.1;
/// Each group's share of the family's budget: who calls from where has half of it.
const SHARES: [f64; GROUPS] = [0.5, 0.125, 0.125, 0.125, 0.125];
const GROUPS: usize = 5;
const NEWS: usize = 0;
const PLACES: usize = 1;
const DENIED: usize = 2;
const FAILING: usize = 3;
const SIZES: usize = 4;

/// One agent's context. About 610 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    /// Up to when the sums have faded.
    at: Timestamp,
    gauges: [Gauge; GROUPS],
    news: News,
    places: Places,
    switches: Rate,
    denied: Rate,
    failing: Rate,
    sizes: Sizes,
}

/// The evidence of one group, nats ≥ 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Gauge {
    sum: f32,
    /// When it last left zero, in seconds.
    since: u32,
    tail: Tail<Half>,
}

/// What the fleet's agents are like, as far as context goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContextModel {
    news: NewsModel,
    rates: Rates,
    tails: [PeerTail; GROUPS],
    /// The operator's, set anew after every restore.
    #[serde(skip)]
    pub(crate) providers: Arc<Providers>,
}

/// What agents teach of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContextTally {
    news: NewsTally,
    rates: Rates,
    tails: [PeerTail; GROUPS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rates {
    switches: RateModel,
    denied: RateModel,
    failing: RateModel,
}

impl ContextTally {
    /// Takes up what others have learned, and leaves them nothing.
    pub(crate) fn take_up(&mut self, other: &mut Self) {
        self.news.take_up(&mut other.news);
        let Rates { switches, denied, failing } = std::mem::take(&mut other.rates);
        self.rates.switches.add(switches);
        self.rates.denied.add(denied);
        self.rates.failing.add(failing);
        self.tails.iter_mut().zip(&mut other.tails).for_each(|(own, tail)| own.take_up(tail));
    }

    /// The model learns what has been taught since.
    pub(crate) fn publish(&mut self, model: &mut ContextModel) {
        self.news.publish(&mut model.news);
        (model.rates, model.tails) = (self.rates, self.tails);
    }
}

/// What a call is read against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a ContextModel,
    pub(crate) has_peers: bool,
    /// How much wider than its own excursions say the agent's tails are read.
    pub(crate) widening: f64,
    /// When the agent was first seen.
    pub(crate) born: Timestamp,
    pub(crate) calls_per_day: f64,
    /// Whether the agent's level was over the watch budget after its last call: what it does then is learned at
    /// [`SUSPECT_WEIGHT`].
    pub(crate) is_suspect: bool,
    /// Whether the agent is known for long enough to teach others.
    pub(crate) is_established: bool,
    /// Where a person is asked.
    pub(crate) alarm: Alarm,
    /// The level over which an agent is watched.
    pub(crate) watch: MicroBits,
    /// The level over which a person is asked.
    pub(crate) step_up: MicroBits,
}

/// What context has to say: its evidence, and the stories of the group that speaks, if one does, with the share each has in that.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) evidence: Evidence,
    pub(crate) stories: ArrayVec<(Story, f64), CONTEXT_PARTS_MAX>,
    pub(crate) caller: Caller,
}

impl Circumstances {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp) -> Self {
        let gauge = Gauge { sum: 0.0, since: seconds(ts), tail: Tail::default() };
        Self {
            at: ts,
            gauges: [gauge; GROUPS],
            news: News::default(),
            places: Places::default(),
            switches: Rate::default(),
            denied: Rate::default(),
            failing: Rate::default(),
            sizes: Sizes::default(),
        }
    }

    /// Scores one call, and what its record says of how it went.
    pub(crate) fn call(
        &mut self,
        ts: Timestamp,
        call: &Call<'_>,
        ctx: Context<'_>,
        tally: &mut ContextTally,
    ) -> Reading {
        self.fade(ts);
        let before = self.strength(ts, ctx);
        if self.news.begins(call, ts) {
            let facts = Facts::of(call, &ctx.model.providers);
            let sum = self.news.see(&facts, ts, ctx, &mut tally.news);
            self.set(NEWS, sum, ts);
            if let Some(switch) = self.places.see(&facts) {
                let is_news = switch != Switch::Client || self.switches.is_known();
                let before = self.gauges[PLACES].sum;
                self.count(PLACES, switch != Switch::None, ts, ctx, tally);
                if !is_news {
                    self.gauges[PLACES].sum = before;
                }
            }
        } else if self.places.stays() {
            self.count(PLACES, false, ts, ctx, tally);
        }
        self.went(ts, call, ctx, tally);
        self.end_excursions(ts, ctx, tally);
        let reading = self.reading(before, ts, ctx);
        let level = combine::level(CONTEXT, reading.evidence.now);
        Reading { caller: self.caller(call, ts, level, ctx), ..reading }
    }

    /// How an earlier request or call ended.
    pub(crate) fn outcome(
        &mut self,
        ts: Timestamp,
        call: &Call<'_>,
        ctx: Context<'_>,
        tally: &mut ContextTally,
    ) {
        debug_assert_eq!(call.kind, Kind::Outcome);
        self.fade(ts);
        self.went(ts, call, ctx, tally);
        self.end_excursions(ts, ctx, tally);
    }

    /// It did or did not happen with this call.
    fn count(&mut self, group: usize, hit: bool, ts: Timestamp, ctx: Context<'_>, tally: &mut ContextTally) {
        let (models, peers) = (&ctx.model.rates, &mut tally.rates);
        let (rate, model, peers) = match group {
            PLACES => (&mut self.switches, &models.switches, &mut peers.switches),
            DENIED => (&mut self.denied, &models.denied, &mut peers.denied),
            _ => (&mut self.failing, &models.failing, &mut peers.failing),
        };
        let teaches = ctx.is_established && !ctx.is_suspect;
        let times = rate.see(hit, ts, model, ctx.weight(), teaches.then_some(peers));
        let sum = f64::from(self.gauges[group].sum);
        // Where nothing stands, what speaks against it need not be known to the digit.
        let is_nothing = sum <= 0.0 && times <= 1.0;
        self.set(group, if is_nothing { 0.0 } else { sum + libm::log(times) }, ts);
    }

    fn went(&mut self, ts: Timestamp, call: &Call<'_>, ctx: Context<'_>, tally: &mut ContextTally) {
        if let Some(status) = call.status {
            self.count(DENIED, matches!(status, 401 | 403), ts, ctx, tally);
            self.count(FAILING, status == 429 || status >= 500, ts, ctx, tally);
        }
        if let Some(sum) = self.sizes.see(call, ctx.weight()) {
            self.set(SIZES, sum, ts);
        }
    }

    /// What is left of the evidence at `ts`, without another call.
    pub(crate) fn stand(&self, ts: Timestamp, ctx: Context<'_>) -> Reading {
        let mut faded = self.clone();
        faded.fade(ts);
        let now = faded.strength(ts, ctx);
        faded.reading(now, ts, ctx)
    }

    /// A person ruled the present evidence benign: it is dropped, what was held back is learned, and so is how high it came.
    pub(crate) fn accept(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut ContextTally) {
        for group in 0..GROUPS {
            if self.gauges[group].tail.is_out() {
                self.end_excursion(group, ts, ctx, tally);
            }
            self.gauges[group].sum = 0.0;
        }
        self.learn_held_back();
    }

    /// The agent was changed on purpose: what is new of it is its own from now on, and how high that came says nothing of what it will
    /// be like.
    pub(crate) fn adopt(&mut self) {
        self.drop_evidence();
        self.learn_held_back();
    }

    fn learn_held_back(&mut self) {
        self.news.accept();
        self.sizes.accept();
        for rate in [&mut self.switches, &mut self.denied, &mut self.failing] {
            rate.accept();
        }
    }

    fn drop_evidence(&mut self) {
        for gauge in &mut self.gauges {
            gauge.sum = 0.0;
            gauge.tail.forget();
        }
    }

    /// Networks, clients, models, delegators, scopes and kinds of credentials that it is known by, as hashes in their order.
    pub(crate) fn known(&self) -> Vec<(&'static str, Vec<u32>)> {
        self.news.known()
    }

    /// Since when something stands out, where it does.
    pub(crate) fn stands_since(&self) -> Option<Timestamp> {
        let out = (0..GROUPS).filter(|group| f64::from(self.gauges[*group].sum) > THRESHOLD / 2.0);
        out.map(|group| self.since(group)).min()
    }

    /// What stood out was not the agent: what was first seen of it within `reach` is forgotten, of the fleet too, and the present
    /// hour with it.
    pub(crate) fn disown(
        &mut self,
        ts: Timestamp,
        reach: Reach,
        (model, tally): (&mut ContextModel, &mut ContextTally),
    ) {
        self.drop_evidence();
        self.news.disown(ts, reach, &mut model.news, &mut tally.news);
        self.places = Places::default();
        self.sizes.disown();
        for rate in [&mut self.switches, &mut self.denied, &mut self.failing] {
            rate.disown();
        }
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u64 {
        u64::from(self.gauges[0].since ^ self.gauges[GROUPS - 1].since)
            ^ self.news.fetch()
            ^ self.switches.fetch()
    }

    fn fade(&mut self, ts: Timestamp) {
        if self.gauges.iter().any(|g| g.sum > 0.0) {
            let left = libm::exp2(-ts.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64());
            for gauge in &mut self.gauges {
                gauge.sum = (f64::from(gauge.sum) * left) as f32;
            }
            self.news.fade(left);
            self.sizes.fade(left);
        }
        self.at = self.at.max(ts);
    }

    fn set(&mut self, group: usize, sum: f64, ts: Timestamp) {
        let gauge = &mut self.gauges[group];
        if gauge.sum <= 0.0 {
            gauge.since = seconds(ts);
        }
        gauge.sum = sum.clamp(0.0, SUM_MAX) as f32;
    }

    /// How strong a group's evidence is. The tail is read from sums; news comes whole, and so do the denials and failures of an agent
    /// that has none as a rule. Who never had any shows nothing of how high they may come: of these no more is said than their
    /// chance says.
    fn strength_of(&self, group: usize, sum: f64, ts: Timestamp, ctx: Context<'_>) -> Strength {
        let strength = self.rule(group, ts, ctx).strength(sum);
        let promised = Strength::new(sum * std::f64::consts::LOG2_E, looks(group, ctx) / SHARES[group]);
        let is_promised = matches!(group, NEWS | DENIED | FAILING) && promised.level() < strength.level();
        if is_promised { promised } else { strength }
    }

    fn rule(&self, group: usize, ts: Timestamp, ctx: Context<'_>) -> Rule {
        let days = ts.since(ctx.born).as_secs_f64() / 86_400.0;
        let spec = Group { never_days: libm::exp(THRESHOLD) / looks(group, ctx), ..group_of(group) };
        let young = libm::exp(-days / SETTLES_DAYS);
        self.gauges[group].tail.rule(spec, days, young, &ctx.model.tails[group]).widened(ctx.widening)
    }

    /// The strongest group's evidence; most calls have none, and then no rule is worked out.
    fn strength(&self, ts: Timestamp, ctx: Context<'_>) -> (Strength, Option<usize>) {
        let mut best = (Strength::CALM, None);
        for group in 0..GROUPS {
            let sum = f64::from(self.gauges[group].sum);
            if sum > THRESHOLD {
                let strength = self.strength_of(group, sum, ts, ctx);
                if best.1.is_none() || strength.level() > best.0.level() {
                    best = (strength, Some(group));
                }
            }
        }
        best
    }

    fn end_excursions(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut ContextTally) {
        for group in 0..GROUPS {
            let (spec, sum) = (group_of(group), f64::from(self.gauges[group].sum));
            self.gauges[group].tail.raise(sum, spec);
            if self.gauges[group].tail.ends(sum, spec) {
                self.end_excursion(group, ts, ctx, tally);
            }
        }
    }

    fn end_excursion(&mut self, group: usize, ts: Timestamp, ctx: Context<'_>, tally: &mut ContextTally) {
        let alarm = self.rule(group, ts, ctx).evidence_once_in(ctx.alarm.days);
        self.gauges[group].tail.end_among(&mut tally.tails[group], group_of(group), alarm);
    }

    fn reading(&self, before: (Strength, Option<usize>), ts: Timestamp, ctx: Context<'_>) -> Reading {
        let (now, group) = self.strength(ts, ctx);
        let mut stories = ArrayVec::new();
        match group {
            Some(NEWS) => self.news.tell(&mut stories, (self.since(NEWS), ts), ctx),
            Some(group) => stories.push((self.story(group, ts, ctx), 1.0)),
            None => {}
        }
        let story = stories.first().map_or_else(|| self.as_usual(ts, ctx), |(story, _)| *story);
        Reading { evidence: Evidence { before: before.0, now, story }, stories, caller: Caller::default() }
    }

    fn since(&self, group: usize) -> Timestamp {
        Timestamp::from_millis(i64::from(self.gauges[group].since) * 1_000)
    }

    fn as_usual(&self, ts: Timestamp, ctx: Context<'_>) -> Story {
        let hours = self.news.hours();
        Story {
            pattern: Pattern::AsUsual,
            observed: 0.0,
            expected: 0.0,
            low: 0.0,
            high: 0.0,
            window_ms: 0,
            since: ts,
            history: history(hours, hours / (hours + 1.0), ctx.has_peers),
        }
    }

    fn story(&self, group: usize, ts: Timestamp, ctx: Context<'_>) -> Story {
        let since = self.since(group);
        let base = Story { since, window_ms: ts.since(since).as_millis() as u64, ..self.as_usual(ts, ctx) };
        let rates = &ctx.model.rates;
        let of = |pattern, rate: &Rate, model| {
            let (observed, expected, n) = rate.story(model);
            let own = n / (n + rate::PRIOR_TRIALS);
            Story { pattern, observed, expected, history: history(n, own, ctx.has_peers), ..base }
        };
        match group {
            PLACES if self.places.by_client() => of(Pattern::TwoCallers, &self.switches, &rates.switches),
            PLACES => of(Pattern::TwoPlaces, &self.switches, &rates.switches),
            DENIED => of(Pattern::Denied, &self.denied, &rates.denied),
            FAILING => of(Pattern::Failing, &self.failing, &rates.failing),
            _ => self.sizes.story(base, ctx.has_peers),
        }
    }
}

impl Context<'_> {
    /// At what weight the agent is learned from.
    fn weight(&self) -> f64 {
        if self.is_suspect { SUSPECT_WEIGHT } else { 1.0 }
    }
}

/// Occasions a day: calls, or hours with one.
fn looks(group: usize, ctx: Context<'_>) -> f64 {
    let most = if group == NEWS { 24.0 } else { f64::INFINITY };
    ctx.calls_per_day.clamp(1e-3, most)
}

fn seconds(ts: Timestamp) -> u32 {
    (ts.as_millis() / 1_000).clamp(0, i64::from(u32::MAX)) as u32
}

fn group_of(group: usize) -> Group {
    Group { threshold: THRESHOLD, never_days: 0.0, groups: 1.0 / SHARES[group] }
}
