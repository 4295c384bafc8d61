//! Declared against observed: what an agent does that its manifest does not say, and what it says that the agent does not do.

use std::collections::BTreeMap;

use detector::{Manifest, Network, Timestamp, Zone, scopes};
use ingest::store::{AgentSeen, Usage};
use revoker::agent::AgentKey;
use serde::Serialize;

use super::edition;

/// Of one kind of deviation, the most that are listed.
const LISTED_MAX: usize = 50;
/// By so many times a rate may differ from the declared one.
const RATE_FACTOR: f64 = 1.5;
/// A rate is compared once an agent was seen for a day; before that it is mostly the hour of the day.
const RATE_HOURS_MIN: f64 = 24.0;

/// The report on one agent.
#[derive(Debug, Serialize)]
pub(crate) struct Drift {
    pub(crate) agent: AgentKey,
    /// The edition of its manifest.
    manifest: String,
    /// What it rests on.
    pub(crate) rests_on: Basis,
    /// What it did and is not declared to do.
    pub(crate) observed: Vec<Deviation>,
    /// What it is declared to do and did not.
    pub(crate) unused: Vec<Deviation>,
}

/// What a comparison rests on.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Basis {
    pub(crate) calls: u64,
    /// From the first call to the last.
    pub(crate) days: f64,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
}

/// One thing in which both differ.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Deviation {
    /// A rule's name where a rule holds calls to it.
    pub(crate) what: &'static str,
    /// The endpoint, network, scope or other value.
    pub(crate) value: String,
    /// Calls that it shows in; none where that is not known.
    pub(crate) calls: Option<u64>,
}

impl Basis {
    pub(crate) fn of(seen: &AgentSeen) -> Self {
        let days = seen.last_seen.since(seen.first_seen).as_secs_f64() / 86_400.0;
        Self { calls: seen.calls, days, first_seen: seen.first_seen, last_seen: seen.last_seen }
    }

    /// The mean rate, calls an hour; of less than an hour, as if it had been one.
    pub(crate) fn calls_per_hour(self) -> f64 {
        self.calls as f64 / (self.days * 24.0).max(1.0)
    }
}

/// Compares a manifest with what its agent did.
pub(crate) fn drift(agent: AgentKey, manifest: &Manifest, usage: &Usage) -> Drift {
    let rests_on = Basis::of(&usage.seen);
    let observed = [
        endpoints(manifest, usage),
        networks(manifest, usage),
        hours(manifest, usage).into_iter().collect(),
        wide(manifest, &usage.seen),
        rates(manifest, usage, rests_on),
        credentials(manifest, &usage.seen),
    ];
    let unused = unused(manifest, usage);
    Drift {
        agent,
        manifest: edition(manifest),
        rests_on,
        observed: observed.into_iter().flatten().collect(),
        unused,
    }
}

fn deviation(what: &'static str, value: impl Into<String>, calls: impl Into<Option<u64>>) -> Deviation {
    Deviation { what, value: value.into(), calls: calls.into() }
}

fn endpoints(manifest: &Manifest, usage: &Usage) -> Vec<Deviation> {
    let what = |name: &String| {
        if manifest.forbidden_endpoints.contains(name) {
            return Some("forbidden_endpoint");
        }
        let declared = manifest.endpoints.is_empty() || manifest.endpoints.contains(name);
        (!declared).then_some("undeclared_endpoint")
    };
    let uses = usage.endpoints.iter();
    uses.filter_map(|e| Some(deviation(what(&e.endpoint)?, &*e.endpoint, e.calls))).take(LISTED_MAX).collect()
}

/// By networks as a draft would declare them.
fn networks(manifest: &Manifest, usage: &Usage) -> Vec<Deviation> {
    if manifest.networks.is_empty() {
        return Vec::new();
    }
    let outside = usage.addresses.iter().filter(|(ip, _)| !manifest.networks.iter().any(|n| n.contains(*ip)));
    let listed = by_network(outside.copied()).into_iter().take(LISTED_MAX);
    listed.map(|(network, calls)| deviation("undeclared_network", network, calls)).collect()
}

/// Addresses by the networks they are usually handed out in: /24 of IPv4, /48 of IPv6 (RFC 6177). Most calls first.
pub(super) fn by_network(addresses: impl Iterator<Item = (std::net::IpAddr, u64)>) -> Vec<(String, u64)> {
    let mut networks: BTreeMap<String, u64> = BTreeMap::new();
    for (address, calls) in addresses {
        if let Some(network) = Network::around(address, 24, 48) {
            *networks.entry(network.to_string()).or_default() += calls;
        }
    }
    let mut networks: Vec<_> = networks.into_iter().collect();
    networks.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    networks
}

fn hours(manifest: &Manifest, usage: &Usage) -> Option<Deviation> {
    let zone = manifest.time_zone.clone().unwrap_or_else(Zone::utc);
    let at = |minute: i64| Timestamp::from_millis(minute.saturating_mul(60_000));
    let is_open = |minute: i64| {
        let of_week = zone.minute_of_week(at(minute));
        manifest.hours.is_empty()
            || of_week.is_none_or(|of_week| manifest.hours.iter().any(|s| s.covers(of_week)))
    };
    let outside: Vec<_> = usage.minutes.iter().filter(|(minute, _)| !is_open(*minute)).collect();
    let last = outside.last()?.0;
    let calls = outside.iter().map(|(_, calls)| calls).sum::<u64>();
    Some(deviation("outside_hours", format!("last in the minute of {}", at(last)), calls))
}

fn wide(manifest: &Manifest, seen: &AgentSeen) -> Vec<Deviation> {
    let names = scopes_of(seen);
    let undeclared =
        names.into_iter().filter(|s| !manifest.scopes.is_empty() && !manifest.scopes.contains(s));
    undeclared.take(LISTED_MAX).map(|scope| deviation("undeclared_scope", scope, None)).collect()
}

/// Every scope once, in order.
pub(super) fn scopes_of(seen: &AgentSeen) -> Vec<String> {
    let all = seen.scopes.iter().flat_map(|scope| scopes(scope));
    all.map(str::to_owned).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn rates(manifest: &Manifest, usage: &Usage, basis: Basis) -> Vec<Deviation> {
    let busiest = busiest_minute(usage);
    let ceiling = manifest.calls_per_minute_max.map(|max| u64::from(max.get())).filter(|max| busiest > *max);
    let ceiling = ceiling.map(|max| {
        deviation("rate_ceiling", format!("{busiest} calls in a minute; {max} is declared"), busiest)
    });
    let rate = basis.calls_per_hour();
    let declared = manifest.calls_per_hour.filter(|declared| {
        let factor = rate / declared;
        basis.days * 24.0 >= RATE_HOURS_MIN && !(1.0 / RATE_FACTOR..=RATE_FACTOR).contains(&factor)
    });
    let mean = declared.map(|d| {
        deviation("calls_per_hour", format!("{rate:.1} on average; {d:.1} are declared"), basis.calls)
    });
    ceiling.into_iter().chain(mean).collect()
}

/// The most calls in a minute of the clock.
pub(super) fn busiest_minute(usage: &Usage) -> u64 {
    usage.minutes.iter().map(|(_, calls)| *calls).max().unwrap_or(0)
}

fn credentials(manifest: &Manifest, seen: &AgentSeen) -> Vec<Deviation> {
    let longest = seen.token_lifetime_max_s.zip(manifest.token_lifetime_max_s);
    let long = longest.filter(|(seen, max)| *seen > i64::from(max.get()));
    let long = long.map(|(s, max)| deviation("token_lifetime", format!("{s} s; {max} s is declared"), None));
    let weak = manifest.attestation_min.into_iter().flat_map(|min| {
        let under = seen
            .attestations
            .iter()
            .filter(move |name| super::draft::attestation(name).is_some_and(|a| a < min));
        under.map(move |name| {
            deviation("weak_attestation", format!("`{name}`; `{}` is demanded", min.as_str()), None)
        })
    });
    let parent = manifest.parent.as_ref().into_iter().flat_map(|parent| {
        let others = seen.parents.iter().filter(move |name| *name != parent);
        others.map(|name| deviation("parent", name, None))
    });
    long.into_iter().chain(weak).chain(parent).collect()
}

fn unused(manifest: &Manifest, usage: &Usage) -> Vec<Deviation> {
    let called = |name: &&String| !usage.endpoints.iter().any(|e| e.endpoint == **name);
    let endpoints = manifest.endpoints.iter().filter(called).map(|name| deviation("endpoint", name, None));
    let seen = scopes_of(&usage.seen);
    // Of an agent whose log names no scopes nothing is known.
    let scopes = manifest.scopes.iter().filter(|scope| !seen.is_empty() && !seen.contains(scope));
    let scopes = scopes.map(|scope| deviation("scope", scope, None));
    let networks = manifest.networks.iter();
    let networks = networks
        .filter(|n| !usage.addresses.is_empty() && !usage.addresses.iter().any(|(ip, _)| n.contains(*ip)));
    endpoints.chain(scopes).chain(networks.map(|n| deviation("network", n.to_string(), None))).collect()
}
