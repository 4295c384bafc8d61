//! What is wrong with an agent's papers. Told to people; nothing is blocked for it.

use std::collections::HashSet;
use std::time::Duration;

use detector::{Timestamp, scopes};
use revoker::agent::AgentKey;
use revoker::standing::Standing;
use revoker::store::revocations::Lifted;
use serde::Serialize;

use super::standards::{self, Standards};
use super::{Known, Register, edition};

/// A token that lives longer is long-lived where the manifest does not say otherwise: no task of an agent should need to be
/// trusted for more than a day on one sight of its credentials.
const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(24);
/// Ancestors that are looked at.
const ANCESTORS_MAX: usize = 1_000;
/// Names that are told of many.
const NAMES_MAX: usize = 5;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingKind {
    RetiredActing,
    ExpiredActing,
    RevokedTokenActing,
    Undeclared,
    LineageCycle,
    Orphan,
    OverWideToken,
    LongLivedToken,
    StaticSecret,
    NoOwner,
    NoApprover,
    Unreviewed,
}

impl FindingKind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::RetiredActing,
        Self::ExpiredActing,
        Self::RevokedTokenActing,
        Self::Undeclared,
        Self::LineageCycle,
        Self::Orphan,
        Self::OverWideToken,
        Self::LongLivedToken,
        Self::StaticSecret,
        Self::NoOwner,
        Self::NoApprover,
        Self::Unreviewed,
    ];
}

/// One thing that is wrong, where it stands in the lists, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: FindingKind,
    /// In words, with numbers.
    pub(crate) said: String,
    #[serde(flatten)]
    standards: Standards,
    /// The edition of the manifest that it was held against.
    manifest: Option<String>,
}

impl Register<'_> {
    /// What is wrong with one agent, each kind once, the gravest first.
    pub(super) fn findings(&self, agent: &AgentKey, known: &Known<'_>) -> Vec<Finding> {
        let found = [
            (FindingKind::RetiredActing, known.retired_acting()),
            (FindingKind::ExpiredActing, known.expired_acting()),
            (FindingKind::RevokedTokenActing, known.revoked_token_acting()),
            (FindingKind::Undeclared, known.undeclared()),
            (FindingKind::LineageCycle, self.cycle(agent)),
            (FindingKind::Orphan, self.orphan(agent)),
            (FindingKind::OverWideToken, known.over_wide()),
            (FindingKind::LongLivedToken, known.long_lived()),
            (FindingKind::StaticSecret, known.static_secret()),
            (FindingKind::NoOwner, known.no_owner()),
            (FindingKind::NoApprover, known.no_approver(&self.enrolled)),
            (FindingKind::Unreviewed, known.unreviewed(self.now)),
        ];
        let manifest = known.manifest.map(edition);
        let finding = |(kind, said): (FindingKind, Option<String>)| {
            Some(Finding { kind, said: said?, standards: standards::of(kind), manifest: manifest.clone() })
        };
        found.into_iter().filter_map(finding).collect()
    }

    fn orphan(&self, agent: &AgentKey) -> Option<String> {
        let strangers = self.parents(agent).into_iter().filter(|parent| !self.is_known(parent));
        let names: Vec<String> = strangers.map(|parent| parent.agent_id).collect();
        (!names.is_empty())
            .then(|| format!("its parent {} is not known", named(names.iter().map(String::as_str))))
    }

    fn cycle(&self, agent: &AgentKey) -> Option<String> {
        let (mut seen, mut open) = (HashSet::new(), self.parents(agent));
        while let Some(next) = open.pop() {
            if next == *agent {
                return Some("it is among its own ancestors".to_owned());
            }
            if seen.len() < ANCESTORS_MAX && seen.insert(next.clone()) {
                open.extend(self.parents(&next));
            }
        }
        None
    }
}

impl Known<'_> {
    fn retired_acting(&self) -> Option<String> {
        let declared = self.manifest.and_then(|m| m.retired_at);
        let (since, calls) = match self.standing {
            Standing::Retired(r) => (declared.map_or(r.since, |at| at.min(r.since)), r.acting.calls),
            _ => (declared?, 0),
        };
        let last = self.seen.as_ref().map(|seen| seen.last_seen);
        match last {
            Some(last) if last > since => Some(format!("retired at {since}, and it called at {last}")),
            _ => (calls > 0).then(|| format!("retired at {since}, and it made {calls} calls since")),
        }
    }

    fn expired_acting(&self) -> Option<String> {
        let (expires, last) = (self.manifest?.expires?, self.seen.as_ref()?.last_seen);
        (last > expires).then(|| format!("its manifest expired at {expires}, and it called at {last}"))
    }

    fn revoked_token_acting(&self) -> Option<String> {
        let (Lifted { not_before, at }, seen) = (self.lifted?, self.seen.as_ref()?);
        let (issued, used) = (seen.last_token_iat?, seen.last_token_used);
        (issued < not_before && used > at).then(|| {
            format!(
                "its access was ended at {not_before} and given back at {at}, and at {used} it called with a token of {issued}"
            )
        })
    }

    fn undeclared(&self) -> Option<String> {
        let is_registered = self.entry.as_ref().is_some_and(|entry| entry.registered.is_some());
        let seen = self.seen.as_ref().filter(|_| self.manifest.is_none() && !is_registered)?;
        Some(format!(
            "{} calls since {}, and nobody has declared or registered it",
            seen.calls, seen.first_seen
        ))
    }

    /// Scopes that are not declared; where none are, those that stand for all there are.
    fn over_wide(&self) -> Option<String> {
        let declared = self.manifest.map_or(&[][..], |m| &m.scopes);
        let seen = self.seen.as_ref()?.scopes.iter().flat_map(|scope| scopes(scope));
        let is_wide = |scope: &&str| match declared {
            [] => scope.split([':', '.', '/']).any(|part| part == "*"),
            declared => !declared.iter().any(|d| d == scope),
        };
        let wide: std::collections::BTreeSet<&str> = seen.filter(is_wide).collect();
        let why = if declared.is_empty() { "stand for everything" } else { "are not declared" };
        (!wide.is_empty()).then(|| format!("tokens with scopes that {why}: {}", named(wide.into_iter())))
    }

    fn long_lived(&self) -> Option<String> {
        let declared = self.manifest.and_then(|m| m.token_lifetime_max_s);
        let max_s = declared.map_or(TOKEN_LIFETIME_MAX.as_secs(), |s| s.get().into());
        let longest_s = self.seen.as_ref()?.token_lifetime_max_s.and_then(|s| u64::try_from(s).ok())?;
        (longest_s > max_s).then(|| format!("a token valid for {longest_s} s; {max_s} s is the limit"))
    }

    fn static_secret(&self) -> Option<String> {
        let kinds = &self.seen.as_ref()?.credential_kinds;
        let secret: Vec<&str> = kinds
            .iter()
            .map(String::as_str)
            .filter(|kind| matches!(*kind, "api_key" | "static_key"))
            .collect();
        (!secret.is_empty())
            .then(|| format!("it calls with {} in place of a federated identity", named(secret.into_iter())))
    }

    fn no_owner(&self) -> Option<String> {
        let owned = self.manifest.is_some_and(|m| m.owner.is_some())
            || self.entry.as_ref().is_some_and(|entry| entry.accountable.owner.is_some());
        (!owned).then(|| "nobody is named as accountable for it".to_owned())
    }

    fn no_approver(&self, enrolled: &[String]) -> Option<String> {
        let named_ones = self.approvers();
        if named_ones.iter().any(|name| enrolled.contains(&name.to_lowercase())) {
            return None;
        }
        Some(match named_ones {
            [] => "nobody is named who answers for it when it is challenged".to_owned(),
            names => {
                format!("of its approvers {} nobody is enrolled", named(names.iter().map(String::as_str)))
            }
        })
    }

    fn unreviewed(&self, now: Timestamp) -> Option<String> {
        let by_command = self.entry.as_ref().and_then(|entry| entry.reviewed.as_ref()).map(|r| r.at);
        let last = by_command.max(self.manifest.and_then(|m| m.reviewed_at));
        let Some(last) = last else { return Some("nobody has ever reviewed it".to_owned()) };
        let manifest = self.manifest?;
        if by_command == Some(last) {
            let looked_at = self.entry.as_ref().and_then(|entry| entry.reviewed_manifest.as_deref());
            let now_is = edition(manifest);
            if looked_at != Some(now_is.as_str()) {
                return Some(format!(
                    "its manifest is {now_is}; what was reviewed at {last} is {}",
                    looked_at.unwrap_or("none")
                ));
            }
        }
        let due = manifest.review_due(Some(last))?;
        (due < now).then(|| format!("reviewed at {last} and due again since {due}"))
    }
}

/// Names for people: at most a few, and how many more there are. They come from logs, so what no name holds is made visible.
fn named<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut text: Vec<String> =
        names.take(NAMES_MAX).map(|name| format!("`{}`", detector::visible(name))).collect();
    if more > 0 {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}
