//! A manifest from what was seen: a first word for a person to correct, not the last.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use detector::{Attestation, Manifest, Span, Timestamp, Zone};
use ingest::store::Usage;
use revoker::store::register::Accountable;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use super::drift::{Basis, busiest_minute, by_network, scopes_of};

/// Hours are drafted from so many days on, so that each day of the week was seen twice.
const HOURS_DAYS_MIN: f64 = 14.0;
/// An agent that works more hours a day than that keeps none.
const HOURS_MAX: usize = 20;
/// Lists of more than that say nothing about an agent.
const LIST_MAX: usize = 1_000;

/// A draft with what it rests on.
pub(crate) struct Draft {
    manifest: Manifest,
    basis: Basis,
    /// What was left out, and why.
    left_out: Vec<String>,
}

impl Draft {
    /// From what an agent did and who is on record as answering for it. `before` is its manifest, if it has one: what no log can
    /// show is kept from there.
    pub(crate) fn new(
        usage: &Usage,
        said: Option<&Accountable>,
        before: Option<&Manifest>,
        zone: &Zone,
    ) -> Self {
        let (seen, basis) = (&usage.seen, Basis::of(&usage.seen));
        let mut left_out = Vec::new();
        let mut list = |name: &str, found: Vec<String>| {
            if found.len() <= LIST_MAX {
                return found;
            }
            left_out.push(format!("{name}: {} were seen, too many for a list", found.len()));
            Vec::new()
        };
        let endpoints = list("endpoints", usage.endpoints.iter().map(|e| e.endpoint.clone()).collect());
        let scopes = list("scopes", scopes_of(seen));
        let networks = list(
            "networks",
            by_network(usage.addresses.iter().copied()).into_iter().map(|(n, _)| n).collect(),
        );
        let hours = if basis.days < HOURS_DAYS_MIN {
            left_out.push(format!("hours: {:.1} days were seen, {HOURS_DAYS_MIN} are the least", basis.days));
            Vec::new()
        } else {
            hours(usage, zone)
        };
        let before = before.cloned().unwrap_or_default();
        let said = said.cloned().unwrap_or_default();
        // Any 60 s touch two minutes of the clock at most, so nothing that was seen exceeds it.
        let ceiling = u32::try_from(busiest_minute(usage).saturating_mul(2)).unwrap_or(u32::MAX);
        let weakest = seen.attestations.iter().filter_map(|name| attestation(name)).min();
        let manifest = Manifest {
            agent_id: seen.agent_id.clone(),
            issuer: seen.issuer.clone(),
            version: Some(before.version.map_or(1, |version| version.saturating_add(1))),
            owner: before.owner.clone().or(said.owner),
            sponsor: before.sponsor.clone().or(said.sponsor),
            approvers: if before.approvers.is_empty() { said.approvers } else { before.approvers.clone() },
            parent: if let [parent] = &seen.parents[..] {
                Some(parent.clone())
            } else {
                before.parent.clone()
            },
            endpoints: endpoints.into_iter().filter(|e| !before.forbidden_endpoints.contains(e)).collect(),
            scopes,
            time_zone: (!hours.is_empty()).then(|| zone.clone()),
            hours,
            networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
            calls_per_hour: Some((basis.calls_per_hour() * 10.0).ceil() / 10.0),
            calls_per_minute_max: NonZeroU32::new(ceiling),
            token_lifetime_max_s: seen
                .token_lifetime_max_s
                .and_then(|s| u32::try_from(s).ok())
                .and_then(NonZeroU32::new),
            attestation_min: weakest.filter(|a| *a > Attestation::None),
            reviewed_at: None,
            ..before
        };
        Self { manifest, basis, left_out }
    }

    /// As a file: what it rests on in comments, then the manifest.
    pub(crate) fn toml(&self) -> Result<String, toml::ser::Error> {
        let Basis { calls, days, first_seen, last_seen } = self.basis;
        let mut text = format!(
            "# Drafted from {calls} calls on {days:.1} days, {first_seen} to {last_seen}.\n\
             # It declares what was seen, right or wrong: take out what the agent should not do before it is used.\n"
        );
        for what in &self.left_out {
            writeln!(text, "# Left out, {}.", detector::visible(what)).ok();
        }
        text.push_str(&toml::to_string(&self.manifest)?);
        Ok(text)
    }
}

/// The hours of the day with calls, on weekdays and on weekends, from the first to the last; none where they are nearly all.
fn hours(usage: &Usage, zone: &Zone) -> Vec<Span> {
    const WEEK: [(std::ops::Range<u16>, u8); 2] = [(0..5, 0x1f), (5..7, 0x60)];
    let mut seen = [[false; 24]; 2];
    for (minute, _) in &usage.minutes {
        let at = Timestamp::from_millis(minute.saturating_mul(60_000));
        if let Some(of_week) = zone.minute_of_week(at) {
            let weekend = usize::from(!WEEK[0].0.contains(&(of_week / 1_440)));
            seen[weekend][usize::from(of_week % 1_440 / 60)] = true;
        }
    }
    let spans: Vec<Span> =
        WEEK.iter().zip(&seen).filter_map(|((_, days), hours)| span(*days, hours)).collect();
    let all_day = seen.iter().all(|hours| quiet(hours).is_none_or(|(_, len)| 24 - len > HOURS_MAX));
    if all_day { Vec::new() } else { spans }
}

/// What is left of the day beside its longest stretch without a call.
fn span(days: u8, hours: &[bool; 24]) -> Option<Span> {
    if !hours.contains(&true) {
        return None;
    }
    let (from, len) = quiet(hours).filter(|(_, len)| 24 - len <= HOURS_MAX).unwrap_or((0, 0));
    let of_day = |hour: usize| u16::try_from(hour % 24 * 60).unwrap_or(0);
    let until = if from == 0 { 24 * 60 } else { of_day(from) };
    Span::new(days, of_day(from + len), until)
}

/// Where the longest stretch of hours without a call begins, and how many those are; none where every hour has one.
fn quiet(hours: &[bool; 24]) -> Option<(usize, usize)> {
    let len = |from: usize| (0..24).take_while(|i| !hours[(from + i) % 24]).count();
    (0..24)
        .map(|from| (from, len(from)))
        .filter(|(_, len)| *len > 0)
        .max_by_key(|(from, len)| (*len, 24 - from))
}

/// An attestation by its name.
pub(super) fn attestation(name: &str) -> Option<Attestation> {
    let name: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
    Attestation::deserialize(name).ok()
}
