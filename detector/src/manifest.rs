//! What an agent is declared to do: the prior from its first call, and limits that hold whatever is learned.

mod hours;
mod network;
mod range;

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::hours::Hours;
pub use self::hours::{DAYS, Span, SpanError, Zone, ZoneError};
pub use self::network::{Network, NetworkError};
pub use self::range::ArgRange;
use crate::{Attestation, Timestamp};

/// The longest list in a manifest.
const ITEMS_MAX: usize = 4_096;
/// The longest text in a manifest, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// The declared purpose of one agent. Everything but `agent_id` is optional: what is not declared is learned, and limits
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The logical agent this speaks of.
    pub agent_id: String,
    /// Under which issuer that is its name; none means under any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The edition, counted by whoever writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// In one sentence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The person or team accountable for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who asked for it and pays for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<String>,
    /// The people who answer for what it does when it is challenged. Where any are named, nobody else may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// The agent that spawns it, under the same issuer. What is forbidden to that one is to this one, and it has no scope
    /// that that one has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The agents it is compared with: all whose manifests name the same group, 16 in the whole house. Without it they are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Endpoints it is meant to call and no others: tools, operations, or paths and their templates (`GET /users/{id}`), which name
    /// paths for the whole fleet as the operator's own do. A path without a method stands for all, one without an operation
    /// (`POST /graphql getUser`) for all of these. Empty means not declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// Endpoints it must never call, named as `endpoints` are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_endpoints: Vec<String>,
    /// The scopes its tokens may have; empty means not declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// When it is meant to work; empty means always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Span>,
    /// The clock of `hours`: an IANA name, UTC where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// Networks that it is meant to call from; empty means not declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Calls an hour it is meant to make on average, > 0. No limit but the prior of its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_hour: Option<f64>,
    /// Calls it must never exceed within any 60 s, whenever they begin. Not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute_max: Option<NonZeroU32>,
    /// How often it may make the same call within a minute, in place of the operator's defaults; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats_per_minute_max: Option<u32>,
    /// The ranges within which its calls' arguments must stay, by name; of an argument that is not declared, or that a log does
    /// not tell, nothing is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, ArgRange>,
    /// How long a token may be valid, and how old it may be when it is used, seconds. Not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_max_s: Option<NonZeroU32>,
    /// What its identity must at least be worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_min: Option<Attestation>,
    /// From this on it must no longer act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// From this on it is out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
    /// Whether it lives for one task: after a `task_end` it must no longer act.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_with_task: bool,
    /// When a person last looked at all this and found it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_at: Option<Timestamp>,
    /// How often a person is to do so, days. Not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_every_days: Option<NonZeroU16>,
}

/// A manifest that contradicts itself or is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent `{agent_id}`: {field}: {reason}")]
pub struct ManifestError {
    /// Whose manifest.
    pub agent_id: String,
    /// Which of its fields.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Manifest {
    /// Whether it makes sense as a whole; what each value must be its type has seen to.
    pub fn check(&self) -> Result<(), ManifestError> {
        let wrong = |field, reason| Err(ManifestError { agent_id: self.agent_id.clone(), field, reason });
        for (field, text) in self.texts() {
            if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
                return wrong(
                    field,
                    format!("a text of 1 to {TEXT_BYTES_MAX} bytes must stand here, not {}", text.len()),
                );
            }
        }
        let lists = [
            ("args", self.args.len()),
            ("hours", self.hours.len()),
            ("networks", self.networks.len()),
            ("approvers", self.approvers.len()),
            ("endpoints", self.endpoints.len()),
            ("forbidden_endpoints", self.forbidden_endpoints.len()),
            ("scopes", self.scopes.len()),
        ];
        if let Some((field, len)) = lists.into_iter().find(|(_, len)| *len > ITEMS_MAX) {
            return wrong(field, format!("{len} entries; {ITEMS_MAX} is the limit"));
        }
        if let Some(scope) = self.scopes.iter().find(|scope| scopes(scope).ne([scope.as_str()])) {
            return wrong(
                "scopes",
                format!("`{scope}` is not one scope: they are told apart by spaces and commas"),
            );
        }
        if let Some(both) = self.endpoints.iter().find(|e| self.forbidden_endpoints.contains(e)) {
            return wrong("forbidden_endpoints", format!("`{both}` is among `endpoints` too"));
        }
        if self.time_zone.is_some() && self.hours.is_empty() {
            return wrong("time_zone", "says nothing without `hours`".to_owned());
        }
        if self.calls_per_hour.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return wrong("calls_per_hour", "must be a number over 0".to_owned());
        }
        if let Some((name, _)) = self.args.iter().find(|(name, range)| name.is_empty() || !range.is_sound()) {
            return wrong(
                "args",
                format!("`{name}` needs a name, and a `min` or a `max` that is not under it"),
            );
        }
        if self.parent.as_ref() == Some(&self.agent_id) {
            return wrong("parent", "an agent is not its own parent".to_owned());
        }
        Ok(())
    }

    /// When a person has to look at it next, by what it says itself; none where it says nothing of that.
    pub fn review_due(&self, reviewed_at: Option<Timestamp>) -> Option<Timestamp> {
        let every = Duration::from_hours(24) * u32::from(self.review_every_days?.get());
        // Never reviewed is due since ever.
        Some(self.reviewed_at.max(reviewed_at).map_or(Timestamp::default(), |at| at + every))
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let one = [
            ("agent_id", Some(&self.agent_id)),
            ("issuer", self.issuer.as_ref()),
            ("purpose", self.purpose.as_ref()),
            ("owner", self.owner.as_ref()),
            ("sponsor", self.sponsor.as_ref()),
            ("parent", self.parent.as_ref()),
            ("group", self.group.as_ref()),
        ];
        let many = [
            ("approvers", &self.approvers),
            ("endpoints", &self.endpoints),
            ("forbidden_endpoints", &self.forbidden_endpoints),
            ("scopes", &self.scopes),
        ];
        let one = one.into_iter().filter_map(|(field, text)| Some((field, text?.as_str())));
        one.chain(many.into_iter().flat_map(|(field, texts)| texts.iter().map(move |t| (field, t.as_str()))))
    }
}

/// The scopes of a token as a log writes them: by spaces (RFC 6749, 3.3) or by commas, as some issuers do.
pub fn scopes(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t', '\n']).filter(|scope| !scope.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<Manifest, String> {
        let text = format!("{{\"agent_id\": \"a\"{fields}}}");
        let manifest: Manifest = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        manifest.check().map_err(|e| e.to_string())?;
        Ok(manifest)
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_agent_and_field() {
        let said = |fields| read(fields).expect_err(fields);
        assert_eq!(
            said(r#", "endpoints": ["pay"], "forbidden_endpoints": ["pay"]"#),
            "agent `a`: forbidden_endpoints: `pay` is among `endpoints` too"
        );
        for (fields, field) in [
            (r#", "owner": " ""#, "owner"),
            (r#", "scopes": ["a b"]"#, "scopes"),
            (r#", "time_zone": "Europe/Berlin""#, "time_zone"),
            (r#", "calls_per_hour": 0.0"#, "calls_per_hour"),
            (r#", "parent": "a""#, "parent"),
            (r#", "args": {"amount": {}}"#, "args"),
            (r#", "args": {"amount": {"min": 2, "max": 1}}"#, "args"),
        ] {
            assert!(said(fields).starts_with(&format!("agent `a`: {field}: ")), "{}", said(fields));
        }
        for fields in [
            r#", "hour": []"#,
            r#", "hours": ["25:00-26:00"]"#,
            r#", "time_zone": "Mars/Olympus""#,
            r#", "networks": ["10.0.0.0/33"]"#,
            r#", "calls_per_minute_max": 0"#,
            r#", "token_lifetime_max_s": 0"#,
            r#", "attestation_min": "strong""#,
            r#", "expires": "2026-13-01T00:00:00Z""#,
        ] {
            read(fields).expect_err(fields);
        }
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let fields = r#", "issuer": "https://idp.example", "version": 3, "owner": "payments", "parent": "b",
            "scopes": ["orders:read"], "hours": ["mon-fri 07:00-19:00", "22:00-24:00"], "time_zone": "Europe/Berlin",
            "networks": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"], "attestation_min": "key", "ends_with_task": true,
            "expires": "2026-12-31T00:00:00Z", "review_every_days": 90, "args": {"amount": {"max": 1000.0}}"#;
        let manifest = read(fields).unwrap();
        let written = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&written).unwrap(), manifest);
        assert!(!written.contains("sponsor"), "what is not declared is not written: {written}");
    }

    #[test]
    fn a_review_is_due_since_the_last_one_by_whoever_recorded_it() {
        let at = |days: i64| Timestamp::from_millis(days * 86_400_000);
        let manifest = |reviewed_at| Manifest {
            reviewed_at,
            review_every_days: NonZeroU16::new(10),
            ..Manifest::default()
        };
        assert_eq!(Manifest::default().review_due(None), None);
        assert_eq!(manifest(None).review_due(None), Some(at(0)));
        assert_eq!(manifest(Some(at(5))).review_due(None), Some(at(15)));
        assert_eq!(manifest(Some(at(5))).review_due(Some(at(7))), Some(at(17)));
    }
}
