//! Many records at once, by as many hands as there are.
//!
//! What crosses agents is done record by record: who calls is found or made known, sources are heard, paths are named. The rest is
//! dealt out to lanes. Where a record would change what those before it are read against, they are read first; agents in a line of
//! parents and children, who change each other's, are read one by one.

use std::num::NonZeroUsize;

use crate::combine;
use crate::detector::{Detector, State};
use crate::lane::{Admitted, LANES, Lane, Read, Shared, lane_of};
use crate::profile::{Key, Profile};
use crate::profiles::Profiles;
use crate::{Call, Kind, Names, Oddness, Verdict, VerdictRecord, source};

/// Records that one hand takes up before it reads them: so many profiles fit the nearer caches, and while they are on their way from
/// memory none is waited for.
const BATCH: usize = 64;
/// Records that several hands share; and fewer are not worth waking them.
const SHARED_BATCH: usize = 1_024;
const SHARED_FROM: usize = 256;

/// Who does work that may be done at once: threads, wherever they are at hand. This crate starts none.
pub trait Hands {
    /// How many there are.
    fn number(&self) -> NonZeroUsize;

    /// Does all of it, in whatever order; returns when it is done.
    fn work(&self, all: Vec<Work<'_>>);
}

/// Something to be done.
pub type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Whoever does one thing after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneHand;

impl Hands for OneHand {
    fn number(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn work(&self, all: Vec<Work<'_>>) {
        for work in all {
            work();
        }
    }
}

/// What a record led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// An earlier verdict on a silence of the agent, which the record amends.
    pub amended: Option<Box<VerdictRecord>>,
    /// The verdict; none for a record that is no call.
    pub verdict: Option<Verdict>,
    /// What the verdict's words call what it speaks of: [`Detector::route`], [`Detector::line_of`], [`Detector::misfit_of`].
    pub names: Names,
    /// Whether it is a ruling on an agent that is not known, which changed nothing.
    pub is_moot: bool,
    /// How odd its session is, were it over with it, where the configuration asks.
    pub odd: Option<Oddness>,
}

/// Records that wait to be read, each with its place in what becomes of them.
struct Batch<'c, 'a, 'h> {
    waiting: Vec<(usize, Admitted<'c, 'a>)>,
    observed: Vec<Observed>,
    hands: &'h dyn Hands,
}

impl Detector {
    /// Scores records in their order and gives what each led to, by as many `hands` as there are, eight at most. The answer does not
    /// depend on their number, nor on how records are shared out to calls of this.
    pub fn observe_all<'c, 'a: 'c>(
        &mut self,
        calls: impl IntoIterator<Item = &'c Call<'a>>,
        hands: &dyn Hands,
    ) -> Vec<Observed> {
        let calls = calls.into_iter();
        let observed = Vec::with_capacity(calls.size_hint().0);
        let mut batch = Batch { waiting: Vec::with_capacity(BATCH), observed, hands };
        let batch_max = if hands.number().get() > 1 { SHARED_BATCH } else { BATCH };
        for call in calls {
            let is_in_line = self.is_in_line(call);
            if batch.waiting.len() >= batch_max || is_in_line || self.changes_what_is_shared(call) {
                self.read(&mut batch);
            }
            let at = batch.observed.len();
            let is_moot = call.kind == Kind::Feedback && self.find(Key::of(call)).is_none();
            batch.observed.resize_with(at + 1, Observed::default);
            batch.observed[at].is_moot = is_moot;
            let Some(mut admitted) = self.admit(call) else { continue };
            let its = |(_, other): &(usize, Admitted<'_, '_>)| other.profile == admitted.profile;
            if self.state.fleet.published.routes.has_news()
                || self.is_baseline_due(&admitted) && batch.waiting.iter().any(its)
            {
                self.read(&mut batch);
            }
            self.take_news_of(&admitted);
            if call.kind.is_call() {
                admitted.route = self.route(call);
            }
            if is_in_line {
                let mut read = Read::default();
                self.read_in_line(&admitted, &mut read);
                let verdict = self.tell(&admitted, &mut read);
                let line = verdict.as_ref().and_then(|said| self.line_of(call, said));
                let of_it = &mut batch.observed[at];
                (of_it.amended, of_it.verdict, of_it.odd) = (read.amended, verdict, read.odd);
                of_it.names = Names { route: admitted.route, line, misfit: read.told.misfit };
            } else {
                batch.waiting.push((at, admitted));
            }
        }
        self.read(&mut batch);
        batch.observed
    }

    /// Scores one record. `None` for records that are no call: outcomes, ends of tasks, heartbeats, feedback.
    ///
    /// A call that is older than the agent's last one is scored in the windows that are open now.
    pub fn observe(&mut self, call: &Call<'_>) -> Option<Verdict> {
        let is_in_line = self.is_in_line(call);
        let admitted = self.admit(call)?;
        self.take_news_of(&admitted);
        let mut read = Read::default();
        if is_in_line {
            self.read_in_line(&admitted, &mut read);
        } else {
            let (shared, profiles, lanes, _) = self.state.split();
            let p = &mut profiles[admitted.profile];
            lanes[lane_of(p.key)].read(p, &admitted, shared, &mut read);
        }
        self.said.extend(read.amended.take().map(|record| *record));
        self.tell(&admitted, &mut read)
    }

    fn tell(&mut self, admitted: &Admitted<'_, '_>, read: &mut Read) -> Option<Verdict> {
        let (_, profiles, _, mut ears) = self.state.split();
        let p = &mut profiles[admitted.profile];
        read.is_call.then(|| ears.tell(p, admitted, &mut read.told))
    }

    /// Reads a call of an agent in a line, which others in it change too: never beside other records.
    fn read_in_line(&mut self, admitted: &Admitted<'_, '_>, read: &mut Read) {
        let &Admitted { call, profile, .. } = admitted;
        let (shared, profiles, lanes, _) = self.state.split();
        let p = &mut profiles[profile];
        let lane = &mut lanes[lane_of(p.key)];
        read.amended = lane.amend_silence(p, call, shared);
        let mut weighed = lane.weigh(p, admitted, shared);
        (read.odd, read.is_call) = (weighed.odd, true);
        let of_volume = &mut weighed.evidence[combine::VOLUME];
        *of_volume = self.follow_line((profile, weighed.from), call, *of_volume);
        let (shared, profiles, lanes, _) = self.state.split();
        let p = &mut profiles[profile];
        lanes[lane_of(p.key)].conclude(p, admitted, &weighed, shared, &mut read.told);
    }

    /// Whether the record changes what those before it are read against, or what becomes of it depends on them.
    fn changes_what_is_shared(&self, call: &Call<'_>) -> bool {
        let state = &self.state;
        let key = || Key::of(call);
        match call.kind {
            Kind::Feedback => true,
            Kind::TaskEnd => self.find(key()).is_none(),
            _ => {
                let is_full = state.profiles.len() >= state.config.agents_max.max(1);
                state.sources.ends_outage(source::key(call.source.as_deref()), call.ts)
                    || is_full && call.kind.is_call() && self.find(key()).is_none()
            }
        }
    }

    /// Does what must be done in the order of records; gives what is left to be read.
    fn admit<'c, 'a>(&mut self, call: &'c Call<'a>) -> Option<Admitted<'c, 'a>> {
        match (call.kind, &call.source) {
            (Kind::Feedback, _) => self.rule(call),
            (Kind::Heartbeat, Some(source)) => self.state.sources.beat(source, call.ts),
            _ => {}
        }
        if call.kind.is_call() {
            let source = source::key(call.source.as_deref());
            self.state.sources.live(source, call.ts);
            let profile = self.profile(call);
            let State { profiles, fleet, memory, .. } = &mut self.state;
            let p = &mut profiles[profile];
            let endpoint = fleet.published.routes.resolve(call, p.presence.is_established());
            memory.see(&mut p.presence, call.ts);
            return Some(Admitted { call, profile, presence: p.presence, source, endpoint, route: None });
        }
        if !matches!(call.kind, Kind::Outcome | Kind::TaskEnd) {
            return None;
        }
        let key = Key::of(call);
        let Some(profile) = self.find(key) else {
            // Of an agent never seen, or forgotten since, nothing is learned but that its session is over.
            if call.kind == Kind::TaskEnd {
                let (shared, _, lanes, _) = self.state.split();
                lanes[lane_of(key)].end_session(key, call, shared);
                lanes[lane_of(key)].sessions.ended.clear();
            }
            return None;
        };
        let presence = self.state.profiles[profile].presence;
        Some(Admitted { call, profile, presence, source: 0, endpoint: 0, route: None })
    }

    /// Takes up that a record has shown paths to vary, or is the first of a day of its agent. What came before, or at least of the same
    /// agent, must have been read.
    fn take_news_of(&mut self, admitted: &Admitted<'_, '_>) {
        self.look_at_baseline(admitted);
        let State { fleet, lanes, .. } = &mut self.state;
        if fleet.published.routes.has_news() {
            fleet.rename(lanes);
            self.refresh_closing();
        }
    }

    /// Reads what waits.
    fn read(&mut self, batch: &mut Batch<'_, '_, '_>) {
        let Batch { waiting, observed, hands } = batch;
        let (shared, profiles, lanes, mut told) = self.state.split();
        let mut take = |at: usize, p: &mut Profile, admitted: Admitted<'_, '_>, read: &mut Read| {
            (observed[at].amended, observed[at].odd) = (read.amended.take(), read.odd.take());
            if read.is_call {
                observed[at].verdict = Some(told.tell(p, &admitted, &mut read.told));
                observed[at].names.misfit = read.told.misfit.take();
            }
            observed[at].names.route = admitted.route;
        };
        if hands.number().get() > 1 && waiting.len() >= SHARED_FROM {
            let reads = read_shared(waiting, profiles, lanes, shared, *hands);
            for ((at, admitted), mut read) in waiting.drain(..).zip(reads) {
                take(at, &mut profiles[admitted.profile], admitted, &mut read);
            }
            return;
        }
        let mut read = Read::default();
        for (at, admitted) in waiting.drain(..) {
            let p = &mut profiles[admitted.profile];
            lanes[lane_of(p.key)].read(p, &admitted, shared, &mut read);
            take(at, p, admitted, &mut read);
        }
    }
}

/// What one hand has before it: its lanes, the profiles of their agents, and the records with the places of their profiles.
#[derive(Default)]
struct Share<'s, 'c, 'a> {
    lanes: [Option<&'s mut Lane>; LANES],
    profiles: Vec<&'s mut Profile>,
    records: Vec<(usize, &'s Admitted<'c, 'a>, &'s mut Read)>,
}

impl Share<'_, '_, '_> {
    fn read(self, shared: Shared<'_>) {
        let Self { mut lanes, mut profiles, records } = self;
        for (place, record, read) in records {
            let p = &mut *profiles[place];
            if let Some(lane) = &mut lanes[lane_of(p.key)] {
                lane.read(p, record, shared, read);
            }
        }
    }
}

/// Reads records with several hands; gives what became of them in their order.
fn read_shared(
    waiting: &[(usize, Admitted<'_, '_>)],
    profiles: &mut Profiles,
    lanes: &mut [Lane; LANES],
    shared: Shared<'_>,
    hands: &dyn Hands,
) -> Vec<Read> {
    let number = hands.number().get().min(LANES);
    let mut heaps: Vec<Share<'_, '_, '_>> = (0..number).map(|_| Share::default()).collect();
    for (l, lane) in lanes.iter_mut().enumerate() {
        heaps[l % number].lanes[l] = Some(lane);
    }
    let mut touched: Vec<usize> = waiting.iter().map(|(_, record)| record.profile).collect();
    touched.sort_unstable();
    touched.dedup();
    // Where each of them went: to which hand, and to which place there.
    let mut went = Vec::with_capacity(touched.len());
    for p in profiles.at_mut(&touched) {
        let hand = lane_of(p.key) % number;
        went.push((hand, heaps[hand].profiles.len()));
        heaps[hand].profiles.push(p);
    }
    let mut reads: Vec<Read> = Vec::new();
    reads.resize_with(waiting.len(), Read::default);
    for ((_, record), read) in waiting.iter().zip(&mut reads) {
        if let Ok(i) = touched.binary_search(&record.profile) {
            let (hand, place) = went[i];
            heaps[hand].records.push((place, record, read));
        }
    }
    hands.work(heaps.into_iter().map(|heap| Box::new(|| heap.read(shared)) as Work<'_>).collect());
    reads
}
