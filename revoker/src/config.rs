//! What an operator sets for the response.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use detector::{RuleKind, RuleRanks};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::governor::GovernorConfig;
use crate::part::PartKind;
use crate::policy::approval::ApprovalConfig;
use crate::policy::envelope::EnvelopeConfig;
use crate::policy::night::Night;
use crate::policy::risk::{Risk, RiskLists};
use crate::policy::when::Whens;
use crate::whom::Whom;

/// A whole number of seconds, 1 to one year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seconds(u32);

/// The longest time an operator may set.
const SECONDS_MAX: u32 = 366 * 86_400;

/// The number is not a time an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of seconds from 1 to {SECONDS_MAX}")]
pub struct SecondsError(pub u64);

impl Seconds {
    /// One minute.
    pub(crate) const MINUTE: Self = Self(60);

    /// So many times as long, a year at most.
    pub(crate) const fn times(self, n: u32) -> Self {
        let seconds = self.0.saturating_mul(n);
        Self(if seconds > SECONDS_MAX { SECONDS_MAX } else { seconds })
    }

    /// This many seconds as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl TryFrom<u64> for Seconds {
    type Error = SecondsError;
    fn try_from(seconds: u64) -> Result<Self, SecondsError> {
        match u32::try_from(seconds) {
            Ok(s) if (1..=SECONDS_MAX).contains(&s) => Ok(Self(s)),
            _ => Err(SecondsError(seconds)),
        }
    }
}

impl From<Seconds> for u64 {
    fn from(seconds: Seconds) -> u64 {
        seconds.0.into()
    }
}

/// What becomes of an agent whose challenge nobody answered in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It stays challenged until a human answers a later question.
    #[default]
    Stay,
    /// It is revoked, if its identity was attested well enough for that.
    Revoke,
}

/// Who is ended with an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cascade {
    /// Nobody; whom it spawned is named.
    #[default]
    None,
    /// Whom it spawned,
    Children,
    /// and whom those spawned, and so on.
    Descendants,
}

/// What an agent does while a human is asked about it. Behind a gate it waits there; who is behind none hears of no question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileAsked {
    /// It waits at the gate.
    #[default]
    Gate,
    /// Its access ends wherever a suspension ends it, until a human lets it go on. Of an identity below `token`, and where revocations are
    /// withheld, it waits at the gate.
    Suspend,
    /// It goes on.
    Observe,
}

impl WhileAsked {
    /// So that a policy which does not say it is called what it was before there was a choice.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
    fn is_gate(&self) -> bool {
        *self == Self::Gate
    }

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Suspend => "suspend",
            Self::Observe => "observe",
        }
    }
}

/// What the end of a declared life does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEnd {
    /// Nothing: the first call after it breaks a rule.
    #[default]
    Leave,
    /// Access ends at once.
    Revoke,
}

/// The narrowest subject that is ended without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Narrowest {
    /// A token,
    #[default]
    Token,
    /// a session,
    Session,
    /// a running instance,
    Instance,
    /// a key,
    Key,
    /// or nothing less than the agent.
    Agent,
}

impl Narrowest {
    /// Whether parts of this kind are ended alone.
    pub fn allows(self, kind: PartKind) -> bool {
        kind as u8 >= self as u8
    }
}

/// What a broken rule asks for, whatever the level of evidence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRule {
    /// The people who watch are told, and the agent is watched.
    Alert,
    /// A human is asked before the agent goes on.
    #[default]
    StepUp,
    /// Access ends, if the identity is attested well enough for that; else a human is asked.
    Revoke,
}

impl OnRule {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::StepUp => "step_up",
            Self::Revoke => "revoke",
        }
    }
}

/// What each broken rule asks for: one answer for all of them, or a table of answers by rule beside a `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnRules {
    default: OnRule,
    named: [Option<OnRule>; RuleKind::ALL.len()],
}

impl OnRules {
    /// What this rule asks for. How long tokens live is the issuer's doing and not the agent's: unless it is named, people are
    /// told of it and no more.
    pub fn of(&self, rule: RuleKind) -> OnRule {
        let unnamed = if rule == RuleKind::TokenLifetime { OnRule::Alert } else { self.default };
        self.named[rule as usize].unwrap_or(unnamed)
    }

    /// How much each rule asks for, the strongest highest.
    pub fn ranks(&self) -> RuleRanks {
        RuleKind::ALL.map(|rule| self.of(rule) as u8)
    }

    fn name(&mut self, rule: &str, answer: OnRule) -> Result<(), serde::de::value::Error> {
        if rule == DEFAULT {
            self.default = answer;
            return Ok(());
        }
        self.named[RuleKind::deserialize(rule.into_deserializer())? as usize] = Some(answer);
        Ok(())
    }
}

/// The rules that are not named.
const DEFAULT: &str = "default";

impl From<OnRule> for OnRules {
    fn from(default: OnRule) -> Self {
        Self { default, ..Self::default() }
    }
}

/// One answer for all where no rule is named, so that a policy which names none is called what it was called before.
impl Serialize for OnRules {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let answer = |rule: RuleKind| Some((rule.as_str(), self.named[rule as usize]?));
        let named: Vec<_> = RuleKind::ALL.into_iter().filter_map(answer).collect();
        if named.is_empty() {
            return self.default.serialize(s);
        }
        s.collect_map(std::iter::once((DEFAULT, self.default)).chain(named))
    }
}

impl<'de> Deserialize<'de> for OnRules {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Answers;
        impl<'de> Visitor<'de> for Answers {
            type Value = OnRules;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`alert`, `step_up` or `revoke`, or a table of them by rule")
            }
            fn visit_str<E: Error>(self, answer: &str) -> Result<OnRules, E> {
                OnRule::deserialize(answer.into_deserializer()).map(OnRules::from)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<OnRules, A::Error> {
                let mut answers = OnRules::default();
                while let Some((rule, answer)) = table.next_entry::<String, OnRule>()? {
                    answers.name(&rule, answer).map_err(A::Error::custom)?;
                }
                Ok(answers)
            }
        }
        d.deserialize_any(Answers)
    }
}

/// What is done in shadow: all but the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// Questions are not asked.
    pub step_up: bool,
    /// Access is not ended; unless questions are in shadow too, one is asked in its place.
    pub revoke: bool,
}

impl Serialize for Shadow {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let named = [(self.step_up, OnRule::StepUp), (self.revoke, OnRule::Revoke)];
        s.collect_seq(named.into_iter().filter_map(|(is, action)| is.then_some(action)))
    }
}

impl<'de> Deserialize<'de> for Shadow {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Actions;
        impl<'de> Visitor<'de> for Actions {
            type Value = Shadow;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a list of `step_up` and `revoke`")
            }
            fn visit_bool<E: Error>(self, all: bool) -> Result<Shadow, E> {
                Ok(Shadow { step_up: all, revoke: all })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shadow, A::Error> {
                let mut shadow = Shadow::default();
                while let Some(action) = list.next_element()? {
                    match action {
                        OnRule::Alert => return Err(A::Error::custom("an alert is never in shadow")),
                        OnRule::StepUp => shadow.step_up = true,
                        OnRule::Revoke => shadow.revoke = true,
                    }
                }
                Ok(shadow)
            }
        }
        d.deserialize_any(Actions)
    }
}

/// The section `[policy]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// How long a human has to answer a challenge.
    pub challenge_s: Seconds,
    /// How long an approval may be used after it was given.
    pub grant_s: Seconds,
    /// Normal calls that probation asks for, besides the time.
    pub probation_calls: NonZeroU32,
    /// Time that probation asks for, besides the calls.
    pub probation_s: Seconds,
    /// Classes of action that an agent on probation is asked about, but for what a human approved.
    pub probation_asks: Vec<Risk>,
    /// Normal calls after which a watched agent is trusted again, besides the time.
    pub watch_calls: NonZeroU32,
    /// Time after which a watched agent is trusted again, besides the calls.
    pub watch_s: Seconds,
    /// How far clocks of logs may be from ours: a call that much after access ended is one of an agent that still acts, and that much after
    /// a target acknowledged the end it disproves it.
    pub clock_tolerance_s: Seconds,
    /// What an agent does while a human is asked about it.
    #[serde(skip_serializing_if = "WhileAsked::is_gate")]
    pub while_asked: WhileAsked,
    /// What becomes of an agent whose challenge nobody answered.
    pub on_expiry: OnExpiry,
    /// When another default holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub night: Option<Night>,
    /// What an answer takes, and how often people are asked.
    pub approval: ApprovalConfig,
    /// Who is ended with an agent whose access ends, but for a plain command, which says itself.
    pub cascade: Cascade,
    /// What a `task_end` does to an agent whose manifest says that it ends with its task.
    pub on_task_end: OnEnd,
    /// What the declared end of an agent (`expires`, `retired_at`) does when it has come.
    pub on_manifest_end: OnEnd,
    /// What broken rules ask for: what a manifest declares, and the same call again and again.
    pub rules: OnRules,
    /// The narrowest subject that is ended where all the evidence is of it and others of the agent call as ever.
    pub narrowest: Narrowest,
    /// How much may be done automatically at once.
    pub governor: GovernorConfig,
    /// What is only recorded as "would have": `true` for all, or a list of `step_up` and `revoke`.
    pub shadow: Shadow,
    /// Agents that are never revoked or suspended but by a person.
    pub protected: Vec<Whom>,
    /// Whether a pause of everything takes a second person, as the revocation of a group always does.
    pub pause_takes_two: bool,
    /// What goes on while a human is asked.
    pub envelope: EnvelopeConfig,
    /// Endpoints by the harm they can do, beside those whose names say so.
    pub risk: RiskLists,
    /// What may follow at most and at least, by who does what, from where and when: the first rule that fits decides.
    pub when: Whens,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        const FIFTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);
        Self {
            challenge_s: Seconds(900),
            grant_s: Seconds(300),
            probation_calls: FIFTY,
            probation_s: Seconds(3_600),
            probation_asks: vec![Risk::Payments, Risk::Deletion, Risk::Permissions],
            watch_calls: FIFTY,
            watch_s: Seconds(3_600),
            clock_tolerance_s: Seconds(5),
            while_asked: WhileAsked::default(),
            on_expiry: OnExpiry::Stay,
            night: None,
            approval: ApprovalConfig::default(),
            cascade: Cascade::default(),
            on_task_end: OnEnd::default(),
            on_manifest_end: OnEnd::default(),
            rules: OnRules::default(),
            narrowest: Narrowest::default(),
            governor: GovernorConfig::default(),
            shadow: Shadow::default(),
            protected: Vec::new(),
            pause_takes_two: false,
            envelope: EnvelopeConfig::default(),
            risk: RiskLists::default(),
            when: Whens::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_time() {
        assert!(serde_json::from_str::<PolicyConfig>(r#"{"challenge_s": 60, "rules": "alert"}"#).is_ok());
        for bad in [
            r#"{"challenge_s": 0}"#,
            r#"{"grant_s": 99999999999}"#,
            r#"{"probation_calls": 0}"#,
            r#"{"on_expiry": "forgive"}"#,
            r#"{"rules": "forgive"}"#,
            r#"{"rules": {"outside_hour": "alert"}}"#,
            r#"{"rules": {"outside_hours": 1}}"#,
            r#"{"chalenge_s": 60}"#,
            r#"{"governor": {"revocations_per_minute": 0}}"#,
            r#"{"governor": {"fleet_percent_per_day": 101}}"#,
            r#"{"governor": {"revocations": 1}}"#,
            r#"{"shadow": "yes"}"#,
            r#"{"shadow": ["alert"]}"#,
            r#"{"protected": [{"agents": "a"}]}"#,
            r#"{"protected": [{"agent": ""}]}"#,
        ] {
            assert!(serde_json::from_str::<PolicyConfig>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_answered_alike_or_each_in_its_own_way() {
        let read = |text: &str| serde_json::from_str::<OnRules>(text).unwrap();
        let (alike, own) =
            (read(r#""revoke""#), read(r#"{"outside_hours": "alert", "token_lifetime": "revoke"}"#));
        let of = |rules: OnRules| {
            [RuleKind::RateCeiling, RuleKind::OutsideHours, RuleKind::TokenLifetime]
                .map(|rule| rules.of(rule))
        };
        assert_eq!(of(alike), [OnRule::Revoke, OnRule::Revoke, OnRule::Alert]);
        assert_eq!(of(own), [OnRule::StepUp, OnRule::Alert, OnRule::Revoke]);
        for rules in [alike, own] {
            assert_eq!(read(&serde_json::to_string(&rules).unwrap()), rules);
        }
        assert_eq!(serde_json::to_string(&OnRules::default()).unwrap(), r#""step_up""#);
        assert!(own.ranks()[RuleKind::TokenLifetime as usize] > own.ranks()[RuleKind::OutsideHours as usize]);
        assert!((0..).zip(RuleKind::ALL).all(|(place, rule)| rule as usize == place));
    }
}
