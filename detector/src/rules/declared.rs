//! What a manifest declares, as rules: each call is held to it as it comes, and nothing is counted.
//!
//! Most of it rests on what the log says of a call, and a log that does not say breaks nothing: a call without an
//! address is from no network, one without a scope has none too many. An attestation is the exception. What a call is
//! worth is known of every call, and one that proves nothing is worth nothing.

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::RuleKind;
use crate::manifest::{Hours, scopes};
use crate::profile::Declared;
use crate::route::Listed;
use crate::{ArgRange, Attestation, Call, Manifest, Network, Text, Timestamp, Zone};

/// Generations above an agent that are looked at; a cycle ends there too.
const ANCESTORS_MAX: usize = 16;
/// Kinds of rules that are here.
pub(super) const KINDS: usize = 12;
/// For so long a breach is the same one where it lies in what the agent does,
const ACT: Duration = super::WINDOW;
/// and where it lies in how it stands: whoever lets an agent go on at night has answered for that hour, not for one call.
const STATE: Duration = Duration::from_hours(1);

/// One rule that a call breaks: which, what was seen, and what is allowed.
pub(super) type Breach = (RuleKind, u64, u64);

/// The limits of one manifest, ready to be asked.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Purpose {
    /// None where no list is declared.
    endpoints: Option<Listed>,
    /// Its own and those of the agents above it.
    handed: Handed,
    scopes: Option<Names>,
    /// None where no parent is declared.
    parent: Option<Handed>,
    networks: Box<[Network]>,
    hours: Option<Hours>,
    attestation_min: Attestation,
    token_lifetime_max: Option<Duration>,
    args: Box<[(Box<str>, ArgRange)]>,
    expires: Option<Timestamp>,
    retired_at: Option<Timestamp>,
    pub(crate) ends_with_task: bool,
}

/// What an agent hands down to those it spawns: they may do no more.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Handed {
    forbidden: Listed,
    scopes: Option<Names>,
}

/// Names in order, each once.
#[derive(Clone, Debug, Default, PartialEq)]
struct Names(Box<[Box<str>]>);

impl Names {
    fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(|name| name.as_str().into()).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// None of an empty list: nothing is declared.
    fn declared(names: &[String]) -> Option<Self> {
        (!names.is_empty()).then(|| Self::new(names))
    }

    fn holds(&self, name: &str) -> bool {
        self.0.binary_search_by(|n| (**n).cmp(name)).is_ok()
    }
}

impl Handed {
    /// What `manifest` and those above it allow, nearest first.
    fn new<'a>(line: impl Iterator<Item = &'a Manifest> + Clone) -> Self {
        let declared = line.clone().filter_map(|m| Names::declared(&m.scopes));
        let both = |a: Names, b: Names| Names(a.0.into_iter().filter(|scope| b.holds(scope)).collect());
        Self {
            forbidden: Listed::new(line.flat_map(|m| &m.forbidden_endpoints)),
            scopes: declared.reduce(both),
        }
    }
}

impl Purpose {
    /// Which rules the call breaks, the gravest first. `task_ended`: when its task did; `claimed`: what the parent that its
    /// log names hands down.
    pub(super) fn breaches(
        &self,
        call: &Call<'_>,
        task_ended: Option<Timestamp>,
        claimed: Option<&Handed>,
    ) -> ArrayVec<Breach, KINDS> {
        // A claim can only narrow, so it counts where nothing is declared, and nothing else does.
        let parent = self.parent.as_ref().or(claimed);
        let past = |from: Option<Timestamp>| {
            from.filter(|from| call.ts > *from).map(|from| call.ts.since(from).as_secs())
        };
        let is_forbidden =
            self.handed.forbidden.holds(call) || parent.is_some_and(|p| p.forbidden.holds(call));
        let is_declared = self.endpoints.as_ref().is_none_or(|listed| listed.holds(call));
        let is_inside = call
            .source_ip
            .is_none_or(|ip| self.networks.is_empty() || self.networks.iter().any(|n| n.contains(ip)));
        let beyond = |allowed: Option<&Names>| beyond(call, allowed);
        let (worth, wanted) = (call.attestation.get(), self.attestation_min);
        let found = [
            past(self.retired_at).map(|s| (RuleKind::Retired, s, 0)),
            past(self.expires).map(|s| (RuleKind::Expired, s, 0)),
            past(task_ended.filter(|_| self.ends_with_task)).map(|s| (RuleKind::TaskEnded, s, 0)),
            is_forbidden.then_some((RuleKind::ForbiddenEndpoint, 1, 0)),
            beyond(parent.and_then(|p| p.scopes.as_ref())).map(|n| (RuleKind::ParentExceeded, n, 0)),
            beyond(self.scopes.as_ref()).map(|n| (RuleKind::UndeclaredScope, n, 0)),
            (!is_inside).then_some((RuleKind::UndeclaredNetwork, 1, 0)),
            (worth < wanted).then_some((RuleKind::WeakAttestation, worth as u64, wanted as u64)),
            // A forbidden endpoint is not also an undeclared one.
            (!is_declared && !is_forbidden).then_some((RuleKind::UndeclaredEndpoint, 1, 0)),
            self.hours
                .as_ref()
                .and_then(|hours| hours.outside(call.ts))
                .map(|m| (RuleKind::OutsideHours, m.into(), 0)),
            self.token_lifetime(call),
            self.argument_range(call),
        ];
        found.into_iter().flatten().collect()
    }

    /// The first argument outside its range.
    fn argument_range(&self, call: &Call<'_>) -> Option<Breach> {
        let range =
            |name: &str| self.args.iter().find(|(declared, _)| **declared == *name).map(|(_, range)| range);
        let beyond = |(name, value): &(Text<'_>, f64)| range(name)?.beyond(*value);
        call.args.iter().find_map(beyond).map(|(seen, end)| (RuleKind::ArgumentRange, seen, end))
    }

    /// How long the token is valid or has been used, whichever is longer.
    fn token_lifetime(&self, call: &Call<'_>) -> Option<Breach> {
        let (max, issued_at) = (self.token_lifetime_max?, call.credential.issued_at?);
        let valid = call.credential.expires_at.map_or(Duration::ZERO, |until| until.since(issued_at));
        let longest = valid.max(call.ts.since(issued_at));
        (longest > max).then_some((RuleKind::TokenLifetime, longest.as_secs(), max.as_secs()))
    }
}

/// How many of the token's scopes are not among those allowed; none where none is or none are known.
fn beyond(call: &Call<'_>, allowed: Option<&Names>) -> Option<u64> {
    let (allowed, scope) = (allowed?, call.scope.as_deref()?);
    let n = scopes(scope).filter(|scope| !allowed.holds(scope)).count() as u64;
    (n > 0).then_some(n)
}

/// What is declared of a name, and under which issuer; none is any.
type Named = (Option<Box<str>>, Arc<Declared>);

/// The manifests in force, by agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifests {
    by_agent: FxHashMap<Box<str>, Vec<Named>>,
    /// What is declared of all others.
    nothing: Arc<Declared>,
    /// Whether any of them puts its agent below another.
    pub(crate) have_lines: bool,
}

impl Manifests {
    pub(crate) fn new(manifests: &[Manifest]) -> Self {
        let mut by_agent: FxHashMap<&str, Vec<&Manifest>> = FxHashMap::default();
        for manifest in manifests {
            by_agent.entry(&manifest.agent_id).or_default().push(manifest);
        }
        let parent_of = |m: &Manifest| {
            let named = by_agent.get(m.parent.as_deref()?)?;
            find(named, |p| p.issuer.as_deref(), m.issuer.as_deref()).copied()
        };
        let mut all = Self::default();
        for manifest in manifests {
            let above = std::iter::successors(parent_of(manifest), |m| parent_of(m)).take(ANCESTORS_MAX);
            let line: Vec<&Manifest> = std::iter::once(manifest).chain(above).collect();
            let declared = Arc::new(Declared::new(manifest, purpose(&line), head(&line)));
            let issuer = manifest.issuer.as_deref().map(Into::into);
            all.have_lines |= declared.head.is_some();
            all.by_agent.entry(manifest.agent_id.as_str().into()).or_default().push((issuer, declared));
        }
        all
    }

    /// What is declared of an agent. A manifest without an issuer speaks of the name under any that has none of its own.
    pub(crate) fn of(&self, issuer: Option<&str>, agent_id: &str) -> &Arc<Declared> {
        let named = self.by_agent.get(agent_id).map_or(&[][..], Vec::as_slice);
        find(named, |(issuer, _)| issuer.as_deref(), issuer).map_or(&self.nothing, |(_, declared)| declared)
    }

    /// What the parent that the call's record names hands down.
    pub(crate) fn handed_down(&self, call: &Call<'_>) -> Option<&Handed> {
        let parent = call.identity.parent_agent_id.as_deref()?;
        let declared = self.of(call.identity.issuer.as_deref(), parent);
        Some(&declared.purpose()?.handed)
    }
}

/// The one of this issuer, else the one of any.
fn find<'a, T>(all: &'a [T], of: impl Fn(&T) -> Option<&str>, issuer: Option<&str>) -> Option<&'a T> {
    let exact = issuer.and_then(|issuer| all.iter().find(|one| of(one) == Some(issuer)));
    exact.or_else(|| all.iter().find(|one| of(one).is_none()))
}

/// The last of a line of ancestors, or the parent that one names and nobody has declared; none where there are too many, as in a
/// circle.
fn head(line: &[&Manifest]) -> Option<Box<str>> {
    let (first, last) = (line.first()?, line.last()?);
    let is_child = first.parent.is_some() && line.len() <= ANCESTORS_MAX;
    is_child.then(|| last.parent.as_ref().unwrap_or(&last.agent_id).as_str().into())
}

/// The limits of the first of a line of ancestors.
fn purpose(line: &[&Manifest]) -> Purpose {
    let Some((manifest, above)) = line.split_first() else { return Purpose::default() };
    let zone = manifest.time_zone.clone().unwrap_or_else(Zone::utc);
    Purpose {
        endpoints: (!manifest.endpoints.is_empty()).then(|| Listed::new(&manifest.endpoints)),
        handed: Handed::new(line.iter().copied()),
        scopes: Names::declared(&manifest.scopes),
        parent: (!above.is_empty()).then(|| Handed::new(above.iter().copied())),
        networks: manifest.networks.clone().into(),
        hours: (!manifest.hours.is_empty()).then(|| Hours::new(&zone, &manifest.hours)),
        attestation_min: manifest.attestation_min.unwrap_or_default(),
        args: manifest.args.iter().map(|(name, range)| (name.as_str().into(), *range)).collect(),
        token_lifetime_max: manifest.token_lifetime_max_s.map(|s| Duration::from_secs(s.get().into())),
        expires: manifest.expires,
        retired_at: manifest.retired_at,
        ends_with_task: manifest.ends_with_task,
    }
}

/// What is remembered of one agent's breaches. There from the first one on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breaches {
    /// When the last breach of each rule began, by [`RuleKind`].
    since: ArrayVec<(RuleKind, Timestamp), KINDS>,
    pub(super) task_ended: Option<Timestamp>,
}

impl Breaches {
    /// When the breach that a call at `ts` belongs to began.
    pub(super) fn since(&mut self, kind: RuleKind, ts: Timestamp) -> Timestamp {
        let window = if kind.is_act() { ACT } else { STATE };
        match self.since.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, since)) if ts.since(*since) < window => *since,
            Some((_, since)) => {
                *since = ts;
                ts
            }
            None => {
                // As many places as there are kinds.
                self.since.try_push((kind, ts)).ok();
                ts
            }
        }
    }
}
