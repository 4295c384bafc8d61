//! Random stories of an agent, for the laws, and told ones.

mod laws;
mod meanwhile;
mod model;
mod stories;

use std::num::NonZeroU32;
use std::time::Duration;

use detector::{
    Attestation, BrokenRule, Budgets, EffectiveAttestation, Kind, MicroBits, RuleKind, Timestamp, VerdictId,
};
use proptest::prelude::*;

use super::{Input, step};
use crate::agent::CaseId;
use crate::config::{OnExpiry, OnRule, PolicyConfig, Seconds, WhileAsked};
use crate::effect::{Cause, Effect, Event};
use crate::part::{KINDS, Marks, PartKind, PartMark};
use crate::policy::envelope::{EnvelopeConfig, Place};
use crate::policy::{Evidence, Gone, Harm, Policy};
use crate::standing::Standing;
use crate::testing::at;

const CALLS: u32 = 3;
const TIME_S: u64 = 600;

fn policy(on_expiry: OnExpiry) -> Policy {
    policy_on(on_expiry, OnRule::StepUp)
}

fn policy_on(on_expiry: OnExpiry, rules: OnRule) -> Policy {
    let config = PolicyConfig {
        probation_calls: NonZeroU32::new(CALLS).unwrap(),
        watch_calls: NonZeroU32::new(CALLS).unwrap(),
        probation_s: Seconds::try_from(TIME_S).unwrap(),
        watch_s: Seconds::try_from(TIME_S).unwrap(),
        on_expiry,
        rules: rules.into(),
        envelope: EnvelopeConfig { calls: 3, bytes: 1_000, ..EnvelopeConfig::default() },
        ..PolicyConfig::default()
    };
    Policy::new(Budgets::default(), config).ending([false, true, true, true])
}

/// The same where an agent does this while a human is asked.
fn policy_while(while_asked: WhileAsked, on_expiry: OnExpiry) -> Policy {
    let config = PolicyConfig { while_asked, ..policy(on_expiry).config().clone() };
    Policy::new(Budgets::default(), config).ending([false, true, true, true])
}

/// One thing that happens: what, how long after the thing before, and whether automatic action is paused.
#[derive(Clone, Copy, Debug)]
struct Beat {
    what: What,
    after_s: u64,
    paused: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Verdict {
        bits: f64,
        added: f64,
        two: bool,
        attested: bool,
        request: bool,
        admitted: bool,
        late_s: u64,
    },
    /// A quiet verdict on a call that breaks a rule, in a breach that began so long ago.
    Breaks {
        attested: bool,
        began_s: u64,
    },
    /// A quiet request to read one of a few endpoints, which adds a little.
    Reads {
        place: u8,
        added: f64,
        bytes: u64,
    },
    /// A call of one of a few sessions, two of which call as ever where there is `company`.
    Session {
        name: u8,
        bits: f64,
        added: f64,
        company: bool,
    },
    /// A call that two witnesses speak of, whose record was taken in so long ago.
    Late {
        bits: f64,
        added: f64,
        late_s: u64,
    },
    /// A session whose access ended a minute ago asks, or a call of it was accepted.
    Ended {
        acts: bool,
        bits: f64,
        added: f64,
    },
    /// An earlier call got so many bytes.
    Got {
        bytes: u64,
    },
    /// People are asked too often.
    Flood,
    /// The agent's declared life is over.
    Over,
    Time,
    Approve {
        right: bool,
        seen: f64,
    },
    Deny {
        right: bool,
    },
    Attack {
        right: bool,
    },
    Revoke,
    Suspend {
        for_s: u64,
    },
    Retire,
    Reinstate,
}

fn verdict() -> impl Strategy<Value = What> {
    let bits = prop::sample::select(vec![-2.0, 0.0, 1.0, 3.0, 8.0, 12.5, 20.0, 60.0]);
    let added = prop::sample::select(vec![0.0, 4.0, 12.0]);
    let late_s = prop::sample::select(vec![0_u64, 0, 30, 5_000]);
    (bits, added, any::<[bool; 4]>(), late_s).prop_map(
        |(bits, added, [two, attested, request, admitted], late_s)| What::Verdict {
            bits,
            added,
            two,
            attested,
            request,
            admitted,
            late_s,
        },
    )
}

fn beat() -> impl Strategy<Value = Beat> {
    let seen = prop::sample::select(vec![0.0, 8.0, 60.0]);
    let what = prop_oneof![
        12 => verdict(),
        3 => (any::<bool>(), prop::sample::select(vec![0_u64, 30, 59]))
            .prop_map(|(attested, began_s)| What::Breaks { attested, began_s }),
        8 => (0_u8..4, prop::sample::select(vec![0.0, 0.01, 0.06, 2.0]), prop::sample::select(vec![0_u64, 0, 900]))
            .prop_map(|(place, added, bytes)| What::Reads { place, added, bytes }),
        5 => (0_u8..3, prop::sample::select(vec![3.0, 8.0, 20.0]), prop::sample::select(vec![0.0, 1.0, 12.0]), any::<bool>())
            .prop_map(|(name, bits, added, company)| What::Session { name, bits, added, company }),
        4 => (prop::sample::select(vec![1.0, 20.0, 60.0]), prop::sample::select(vec![0.0, 4.0, 12.0]), prop::sample::select(vec![1_u64, 60, 1_000]))
            .prop_map(|(bits, added, late_s)| What::Late { bits, added, late_s }),
        1 => (any::<bool>(), prop::sample::select(vec![1.0, 20.0]), prop::sample::select(vec![0.0, 9.0]))
            .prop_map(|(acts, bits, added)| What::Ended { acts, bits, added }),
        2 => prop::sample::select(vec![1_u64, 400, 5_000]).prop_map(|bytes| What::Got { bytes }),
        1 => Just(What::Flood),
        3 => Just(What::Time),
        3 => (prop::bool::weighted(0.8), seen).prop_map(|(right, seen)| What::Approve { right, seen }),
        2 => prop::bool::weighted(0.8).prop_map(|right| What::Deny { right }),
        1 => prop::bool::weighted(0.8).prop_map(|right| What::Attack { right }),
        1 => Just(What::Revoke),
        1 => prop::sample::select(vec![0_u64, 60, 4_000]).prop_map(|for_s| What::Suspend { for_s }),
        2 => prop::bool::weighted(0.1).prop_map(|retire| if retire { What::Retire } else { What::Reinstate }),
    ];
    let after_s = prop::sample::select(vec![0_u64, 1, 59, 300, 900, 4_000]);
    (what, after_s, prop::bool::weighted(0.15)).prop_map(|(what, after_s, paused)| Beat {
        what,
        after_s,
        paused,
    })
}

/// One step of a story, as the laws see it.
struct Step {
    before: Standing,
    input: Input,
    now: Timestamp,
    policy: Policy,
    after: Standing,
    effects: Vec<Effect>,
}

fn evidence(n: usize, what: What, now: Timestamp) -> Option<Evidence> {
    if let What::Breaks { attested, began_s } = what {
        let quiet = What::Verdict {
            bits: -2.0,
            added: 0.0,
            two: false,
            attested,
            request: false,
            admitted: false,
            late_s: 0,
        };
        let rule = BrokenRule {
            kind: RuleKind::RepeatedCall,
            observed: 301,
            limit: 300,
            window_ms: 60_000,
            since: now - Duration::from_secs(began_s),
        };
        return Some(Evidence { rule: Some(rule), ..evidence(n, quiet, now)? });
    }
    if let What::Session { name, bits, added, company } = what {
        let call = What::Verdict {
            bits,
            added,
            two: true,
            attested: true,
            request: false,
            admitted: false,
            late_s: 0,
        };
        let parts = [None, Some(PartMark::of(&format!("s-{name}"))), None, None];
        return Some(Evidence { parts, company: [company; KINDS], ..evidence(n, call, now)? });
    }
    if let What::Late { bits, added, late_s } = what {
        let call = What::Session { name: 0, bits, added, company: false };
        return Some(Evidence {
            taken_in: Some(now - Duration::from_secs(late_s)),
            parts: Marks::default(),
            ..evidence(n, call, now)?
        });
    }
    if let What::Ended { acts, bits, added } = what {
        let since = now - Duration::from_mins(1);
        let gone = if acts { Gone::Acts { kind: PartKind::Session, since } } else { Gone::Idle };
        let call = What::Session { name: 0, bits, added, company: true };
        let kind = if acts { Kind::Call } else { Kind::Request };
        return Some(Evidence { gone: Some(gone), kind, ..evidence(n, call, now)? });
    }
    if let What::Reads { place, added, bytes } = what {
        let quiet = What::Verdict {
            bits: 1.0,
            added,
            two: false,
            attested: true,
            request: true,
            admitted: false,
            late_s: 0,
        };
        return Some(Evidence {
            place: place_of(place),
            bytes,
            harm: Harm::Safe,
            ..evidence(n, quiet, now)?
        });
    }
    let What::Verdict { bits, added, two, attested, request, admitted, late_s } = what else { return None };
    let attestation = if attested { Attestation::Token } else { Attestation::Network };
    Some(Evidence {
        verdict: VerdictId(n as u128),
        kind: if request { Kind::Request } else { Kind::Call },
        ts: now - Duration::from_secs(late_s),
        taken_in: Some(now),
        level: MicroBits::from_bits(bits),
        own: MicroBits::from_bits(bits),
        cohort: None,
        added: MicroBits::from_bits(added),
        families: 1 + u8::from(two),
        jump: 1.0,
        attestation: EffectiveAttestation::new(attestation, Attestation::Platform),
        rule: None,
        is_vouched: false,
        admitted,
        when: None,
        // What asks for more has other endpoints, some of them those that are read too.
        place: place_of((bits.abs() as u8) % 8),
        harm: Harm::Plain,
        bytes: 0,
        parts: Marks::default(),
        company: [false; KINDS],
        gone: None,
    })
}

fn place_of(n: u8) -> Place {
    Place::of(&format!("endpoint-{n}"))
}

fn input(n: usize, what: What, standing: &Standing, now: Timestamp) -> Input {
    let (by, reason) = ("ann".to_owned(), "because".to_owned());
    let case = |right| match standing.case() {
        Some(case) if right => case,
        _ => CaseId::new(u128::MAX),
    };
    match what {
        What::Got { bytes } => Input::Outcome { bytes },
        What::Verdict { .. }
        | What::Breaks { .. }
        | What::Reads { .. }
        | What::Session { .. }
        | What::Late { .. }
        | What::Ended { .. } => {
            let fresh = CaseId::new(n as u128);
            evidence(n, what, now).map_or(Input::TimePassed, |evidence| Input::Verdict { evidence, fresh })
        }
        What::Flood => Input::Flooded,
        What::Over => Input::Ended { cause: Cause::Lapsed, because: reason, strength: MicroBits::ZERO },
        What::Time => Input::TimePassed,
        What::Approve { right, seen } => {
            Input::Approved { case: case(right), by, seen: MicroBits::from_bits(seen) }
        }
        What::Deny { right } => Input::Denied { case: case(right), by },
        What::Attack { right } => Input::Attack { case: case(right), by },
        What::Revoke => Input::Revoke { by, reason },
        What::Suspend { for_s } => Input::Suspend { by, reason, until: now + Duration::from_secs(for_s) },
        What::Retire => Input::Retire { by, reason },
        What::Reinstate => Input::Reinstate { by, reason, at: now },
    }
}

fn tell(beats: &[Beat], policy: &Policy) -> Vec<Step> {
    let (mut standing, mut now, mut story) = (Standing::Trusted, at(0), Vec::new());
    for (n, beat) in beats.iter().enumerate() {
        now = now + Duration::from_secs(beat.after_s);
        let policy = policy.clone().with_paused(beat.paused);
        let input = input(n, beat.what, &standing, now);
        let (after, effects) = step(&standing, &input, now, &policy);
        story.push(Step { before: standing, input, now, policy, after, effects });
        standing = after;
    }
    story
}

fn story() -> impl Strategy<Value = Vec<Step>> {
    let on_expiry = prop_oneof![Just(OnExpiry::Stay), Just(OnExpiry::Revoke)];
    let rules = prop::sample::select(vec![OnRule::Alert, OnRule::StepUp, OnRule::Revoke]);
    (prop::collection::vec(beat(), 1..60), on_expiry, rules)
        .prop_map(|(beats, on_expiry, rules)| tell(&beats, &policy_on(on_expiry, rules)))
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} + {:?} at {} -> {:?} {:?}",
            self.before, self.input, self.now, self.after, self.effects
        )
    }
}

impl Step {
    fn publishes(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.effects.iter().any(|e| matches!(e, Effect::Publish(event) if wanted(event)))
    }
}

fn is_revoked(standing: &Standing) -> bool {
    matches!(standing, Standing::Revoked(_))
}
