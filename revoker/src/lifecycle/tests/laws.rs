//! The laws, over random stories.

use std::collections::HashSet;
use std::time::Duration;

use detector::{Kind, MicroBits};
use proptest::prelude::*;

use super::super::{Input, permits, step};
use super::{CALLS, TIME_S, is_revoked, story};
use crate::config::OnRule;
use crate::effect::{AlertAction, Closing, Effect, Event};
use crate::policy::Demand;
use crate::standing::{Phase, Standing};
use crate::testing::at;

fn ends_part(effect: &Effect) -> bool {
    matches!(effect, Effect::EndPart { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_leaves_revoked_but_a_persons_reinstatement_into_probation_or_retirement(story in story()) {
        for s in story.iter().filter(|s| is_revoked(&s.before) && !is_revoked(&s.after)) {
            if matches!(s.input, Input::Retire { .. }) {
                prop_assert!(matches!(s.after, Standing::Retired(_)), "{s:?}");
                prop_assert!(!s.effects.contains(&Effect::Unlist), "{s:?}");
                continue;
            }
            prop_assert!(matches!(s.input, Input::Reinstate { .. }), "{s:?}");
            prop_assert!(matches!(s.after, Standing::Probation(_)), "{s:?}");
            prop_assert!(s.effects.contains(&Effect::Unlist), "{s:?}");
        }
    }

    #[test]
    fn nothing_leaves_retired(story in story()) {
        for s in story.iter().filter(|s| matches!(s.before, Standing::Retired(_))) {
            prop_assert!(matches!(s.after, Standing::Retired(_)), "{s:?}");
        }
    }

    #[test]
    fn a_timeout_is_never_a_denial(story in story()) {
        for s in &story {
            let denies = matches!(s.input, Input::Denied { .. } | Input::Attack { .. });
            let denied = |standing: &Standing| matches!(standing, Standing::Challenged(c) if c.phase == Phase::Denied);
            prop_assert!(denies || denied(&s.before) || !denied(&s.after), "{s:?}");
            prop_assert!(denies || !s.publishes(|e| matches!(e, Event::Denied { .. })), "{s:?}");
            let expired = s.effects.iter().any(|e| matches!(e, Effect::CloseCase { how: Closing::Expired, .. }));
            let overdue = matches!(s.before, Standing::Challenged(c) if c.phase == Phase::Pending && c.until <= s.now);
            prop_assert_eq!(expired, overdue, "{:?}", s);
        }
    }

    #[test]
    fn silence_restores_nothing(story in story()) {
        for s in story.iter().filter(|s| s.input == Input::TimePassed) {
            let same = s.before.name() == s.after.name();
            // The one thing that a person put an end to beforehand.
            let ended = matches!(s.before, Standing::Suspended(x) if x.until <= s.now)
                && matches!(s.after, Standing::Probation(_));
            let stricter = matches!(s.before, Standing::Challenged(_)) && is_revoked(&s.after);
            prop_assert!(same || ended || stricter, "{s:?}");
        }
    }

    #[test]
    fn trust_comes_back_after_normal_calls_and_a_time_and_not_before(story in story()) {
        let (mut normal, mut since) = (0, at(0));
        for s in &story {
            let quiet = matches!(&s.input, Input::Verdict { evidence, .. }
                if s.policy.demand(evidence, MicroBits::ZERO) == Demand::None);
            let entered = s.before.name() != s.after.name();
            normal += u32::from(quiet);
            if s.after == Standing::Trusted && s.before != Standing::Trusted {
                prop_assert!(quiet && normal >= CALLS, "after {normal} normal calls: {s:?}");
                prop_assert!(s.now.since(since) >= Duration::from_secs(TIME_S), "{s:?}");
                prop_assert!(matches!(s.before, Standing::Watched(_) | Standing::Probation(_)), "{s:?}");
            }
            let calm = match s.after {
                Standing::Watched(w) => Some(w.calm),
                Standing::Probation(p) => Some(p.calm),
                _ => None,
            };
            if entered || calm.is_some_and(|calm| calm.calls == 0 && !quiet && calm.since == s.now) {
                // A suspension that ends with this very call counts it.
                (normal, since) = (u32::from(quiet && entered), s.now);
            }
        }
    }

    #[test]
    fn what_anybody_could_have_written_is_never_revoked_without_a_person(story in story()) {
        let mut attested = false;
        for s in &story {
            if let Input::Verdict { evidence, .. } = &s.input {
                attested |= evidence.attestation.allows_automatic_revocation();
            }
            if !attested && !s.input.is_by_person() {
                prop_assert!(is_revoked(&s.before) || !is_revoked(&s.after), "{s:?}");
                prop_assert!(!s.effects.iter().any(ends_part), "{s:?}");
            }
        }
    }

    #[test]
    fn nobody_goes_on_who_broke_a_rule_and_was_not_answered_for(story in story()) {
        for s in story.iter().filter(|s| !s.policy.paused() && s.policy.config().rules != OnRule::Alert.into()) {
            let Input::Verdict { evidence, .. } = &s.input else { continue };
            let Some(rule) = evidence.rule else { continue };
            let answered = matches!(s.before, Standing::Probation(p) if rule.since <= p.answered.covers);
            // A suspension that ends with this very call is a person's word for what came before it.
            let ended = matches!(s.before, Standing::Suspended(_));
            let goes_on = matches!(s.after, Standing::Trusted | Standing::Watched(_) | Standing::Probation(_));
            prop_assert!(!goes_on || answered || ended, "{s:?}");
        }
    }

    #[test]
    fn a_rule_that_stays_broken_is_told_of_once_a_standing(story in story()) {
        let mut told = false;
        for s in &story {
            let quiet_but_for_a_rule = matches!(&s.input, Input::Verdict { evidence, .. } if evidence.rule.is_some());
            let alerts = s.effects.iter().filter(|e| matches!(e, Effect::Alert { action: AlertAction::Watch, .. })).count();
            let entered = s.before.name() != s.after.name();
            prop_assert!(alerts == 0 || !quiet_but_for_a_rule || entered || !told || s.policy.paused(), "{s:?}");
            told = match s.after {
                Standing::Watched(w) => w.rule_told,
                Standing::Probation(p) => p.rule_told,
                _ => false,
            };
        }
    }

    #[test]
    fn paused_means_that_nothing_automatic_stops_anybody(story in story()) {
        for s in story.iter().filter(|s| s.policy.paused() && !s.input.is_by_person()) {
            let stops = |e: &Event| matches!(e, Event::Revoked { .. } | Event::Suspended { .. });
            prop_assert!(!s.publishes(stops) && !s.effects.iter().any(ends_part), "{s:?}");
            if !matches!(s.before, Standing::Challenged(_)) {
                prop_assert!(!matches!(s.after, Standing::Challenged(_)), "{s:?}");
            }
        }
    }

    #[test]
    fn every_question_ends_once(story in story()) {
        let mut open = None;
        for s in &story {
            for effect in &s.effects {
                match effect {
                    Effect::OpenCase { case, .. } => {
                        prop_assert_eq!(open, None, "{:?}", s);
                        open = Some(*case);
                    }
                    Effect::CloseCase { case, .. } => {
                        prop_assert_eq!(open.take(), Some(*case), "{:?}", s);
                    }
                    _ => {}
                }
            }
            let refused = permits(&s.before, &s.input, s.now, &s.policy).is_err();
            if matches!(s.input, Input::Approved { .. } | Input::Denied { .. } | Input::Attack { .. }) && !refused {
                open = None;
            }
            let pending = match s.after {
                Standing::Challenged(c) if c.phase == Phase::Pending => Some(c.case),
                _ => None,
            };
            prop_assert_eq!(open, pending, "{:?}", s);
        }
    }

    #[test]
    fn whoever_is_stopped_or_let_go_is_told_of(story in story()) {
        for s in story.iter().filter(|s| s.before.name() != s.after.name()) {
            let told = match s.after {
                Standing::Challenged(_) => s.publishes(|e| matches!(e, Event::Challenged { .. })),
                Standing::Revoked(r) => {
                    s.effects.contains(&Effect::List { not_before: r.not_before })
                        && s.publishes(|e| matches!(e, Event::Revoked { .. }))
                }
                Standing::Suspended(_) => s.publishes(|e| matches!(e, Event::Suspended { .. })),
                Standing::Retired(_) => s.publishes(|e| matches!(e, Event::Retired { .. })),
                Standing::Probation(_) => {
                    s.publishes(|e| matches!(e, Event::Approved { .. } | Event::Reinstated))
                }
                Standing::Watched(_) => s.effects.iter().any(|e| matches!(e, Effect::Alert { .. })),
                Standing::Trusted => s.effects.is_empty(),
            };
            prop_assert!(told, "{s:?}");
        }
    }

    #[test]
    fn what_is_refused_changes_no_more_than_time_does(story in story()) {
        for s in &story {
            let (settled, effects) = step(&s.before, &Input::TimePassed, s.now, &s.policy);
            if permits(&settled, &s.input, s.now, &s.policy).is_err() {
                prop_assert_eq!((&s.after, &s.effects), (&settled, &effects), "{:?}", s);
            }
        }
    }

    #[test]
    fn nothing_in_the_evidence_goes_on_and_the_envelopes_caps_hold(story in story()) {
        let (mut places, mut calls, mut bytes) = (HashSet::new(), 0, 0);
        for s in &story {
            let let_through = s.effects.iter().any(|e| matches!(e, Effect::LetThrough { .. }));
            if let Input::Outcome { bytes: more } = &s.input {
                bytes += more;
            }
            if let Input::Verdict { evidence, .. } = &s.input {
                if let_through {
                    prop_assert!(evidence.is_safe && evidence.kind == Kind::Request && !evidence.is_evident(), "{s:?}");
                    prop_assert!(!places.contains(&evidence.place), "{s:?}");
                    prop_assert!(calls < 3 && bytes + evidence.bytes <= 1_000, "{calls} {bytes} {s:?}");
                    calls += 1;
                } else if matches!(s.after, Standing::Watched(_) | Standing::Challenged(_))
                    && (evidence.is_evident() || s.effects.iter().any(|e| matches!(e, Effect::OpenCase { .. })))
                    && s.policy.demand(evidence, MicroBits::ZERO) > Demand::None
                {
                    places.insert(evidence.place);
                }
            }
            prop_assert!(!let_through || matches!(s.after, Standing::Challenged(c) if c.phase != Phase::Denied), "{s:?}");
            if s.effects.iter().any(|e| matches!(e, Effect::OpenCase { .. })) {
                (calls, bytes) = (0, 0);
            }
            if !matches!(s.after, Standing::Watched(_) | Standing::Challenged(_)) {
                places.clear();
            }
        }
    }
}
