//! Stories, step by step: names of standings and types of events, one line a beat.

use detector::Budgets;

use super::super::{Input, step};
use super::{Beat, Step, What, input, is_revoked, policy, policy_on, tell};
use crate::config::{OnExpiry, OnRule, PolicyConfig};
use crate::effect::{AlertAction, Cause, Effect, Event};
use crate::policy::night::Night;
use crate::policy::{Demand, Policy};
use crate::standing::Standing;
use crate::testing::at;

fn lines(beats: &[(u64, What)], on_expiry: OnExpiry) -> String {
    lines_by(beats, &policy(on_expiry))
}

pub(super) fn lines_by(beats: &[(u64, What)], policy: &Policy) -> String {
    let beats: Vec<Beat> =
        beats.iter().map(|&(after_s, what)| Beat { what, after_s, paused: false }).collect();
    let line = |s: &Step| {
        let effects = s.effects.iter().map(|e| match e {
            Effect::Publish(event) => event.kind().to_owned(),
            Effect::Alert { action, .. } => format!("alert:{}", action.as_str()),
            Effect::OpenCase { .. } => "ask".to_owned(),
            Effect::CloseCase { how, .. } => format!("close:{how:?}"),
            Effect::List { .. } => "list".to_owned(),
            Effect::Unlist => "unlist".to_owned(),
            Effect::EndPart { kind, .. } => format!("end:{}", kind.as_str()),
            Effect::LetThrough { .. } => "let_through".to_owned(),
        });
        format!("{} {}", s.after.name(), effects.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
    };
    tell(&beats, policy).iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) const QUIET: What = What::Verdict {
    bits: 0.0,
    added: 0.0,
    two: false,
    attested: true,
    request: false,
    admitted: false,
    late_s: 0,
};

pub(super) fn shows(bits: f64) -> What {
    What::Verdict { bits, added: 0.0, two: false, attested: true, request: false, admitted: false, late_s: 0 }
}

pub(super) fn asks(bits: f64, added: f64, admitted: bool) -> What {
    What::Verdict { bits, added, two: false, attested: true, request: true, admitted, late_s: 0 }
}

#[test]
fn unusual_but_legitimate() {
    let approve = What::Approve { right: true, seen: 9.0 };
    insta::assert_snapshot!(lines(&[
        (0, shows(3.0)),
        (10, asks(9.0, 6.0, false)),
        (30, approve),
        // The same act again: it adds its own evidence once more, and a human has answered for that.
        (5, asks(17.0, 8.0, true)),
        (5, QUIET), (300, QUIET), (300, QUIET),
        // What had been answered for has faded with the level: from here on it would be new.
        (5, shows(9.0)),
    ], OnExpiry::Stay), @"
    watched alert:watch
    challenged ask agent.challenged alert:challenge
    probation agent.challenge.approved
    probation
    probation
    probation
    trusted
    challenged ask agent.challenged alert:challenge
    ");
}

/// Breaks a rule, in a breach that began so long ago.
fn breaks(began_s: u64) -> What {
    What::Breaks { attested: true, began_s }
}

#[test]
fn a_loop_is_cut_off_whatever_its_level_and_again_if_it_begins_anew() {
    insta::assert_snapshot!(lines(&[
        (0, QUIET),
        (1, breaks(0)),
        (1, breaks(1)), (30, breaks(31)),
        (5, What::Approve { right: true, seen: -2.0 }),
        // What was on its way when the human answered.
        (1, breaks(37)), (1, QUIET),
        (5, breaks(0)),
    ], OnExpiry::Stay), @"
    trusted
    challenged ask agent.challenged alert:challenge
    challenged
    challenged
    probation agent.challenge.approved
    probation
    probation
    challenged ask agent.challenged alert:challenge
    ");
}

#[test]
fn where_rules_alert_each_standing_is_told_of_one() {
    let policy = policy_on(OnExpiry::Stay, OnRule::Alert);
    insta::assert_snapshot!(lines_by(&[
        (0, shows(3.0)),
        (1, breaks(0)), (1, breaks(1)), (120, breaks(0)),
        (300, QUIET), (300, QUIET), (300, QUIET),
        (5, breaks(0)), (5, breaks(5)),
        (5, asks(9.0, 9.0, false)), (5, breaks(0)),
        (5, What::Approve { right: true, seen: 9.0 }),
        (5, breaks(15)), (60, breaks(0)), (5, breaks(5)),
    ], &policy), @"
    watched alert:watch
    watched alert:watch
    watched
    watched
    watched
    watched
    trusted
    watched alert:watch
    watched
    challenged ask agent.challenged alert:challenge
    challenged
    probation agent.challenge.approved
    probation
    probation alert:watch
    probation
    ");
}

#[test]
fn where_rules_revoke_a_log_line_alone_revokes_nobody() {
    let policy = policy_on(OnExpiry::Stay, OnRule::Revoke);
    let forged = What::Breaks { attested: false, began_s: 0 };
    insta::assert_snapshot!(lines_by(&[(0, QUIET), (1, breaks(0)), (6, breaks(1))], &policy), @"
    trusted
    revoked list agent.access.revoked alert:revoke
    revoked agent.still_acting alert:still_acting
    ");
    insta::assert_snapshot!(lines_by(&[(0, QUIET), (1, forged), (1, forged), (1, breaks(0))], &policy), @"
    trusted
    challenged ask agent.challenged alert:challenge
    challenged
    revoked close:Superseded list agent.access.revoked alert:revoke
    ");
}

#[test]
fn more_than_a_human_answered_for_is_a_relapse() {
    let approve = What::Approve { right: true, seen: 9.0 };
    insta::assert_snapshot!(lines(&[
        (0, asks(9.0, 9.0, false)),
        (30, approve),
        (5, shows(11.0)),
        (5, shows(16.0)),
        (5, What::Attack { right: true }),
        (5, What::Reinstate),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    probation agent.challenge.approved
    probation
    challenged ask agent.challenged alert:challenge
    revoked list agent.access.revoked
    probation unlist agent.reinstated
    ");
}

#[test]
fn evidence_that_grew_unseen_is_not_approved() {
    insta::assert_snapshot!(lines(&[
        (0, asks(9.0, 9.0, false)),
        (30, shows(30.0)),
        (5, What::Approve { right: true, seen: 9.0 }),
        (5, What::Approve { right: true, seen: 30.0 }),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    challenged
    challenged
    probation agent.challenge.approved
    ");
}

#[test]
fn a_denied_agent_waits_and_then_may_ask_again() {
    insta::assert_snapshot!(lines(&[
        (0, asks(9.0, 9.0, false)),
        (30, What::Deny { right: true }),
        (5, asks(9.0, 0.0, false)),
        (900, What::Time),
        (5, asks(9.0, 0.0, false)),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    challenged agent.challenge.denied
    challenged
    challenged
    challenged ask agent.challenged alert:challenge
    ");
}

#[test]
fn nobody_answers() {
    let beats =
        [(0, asks(9.0, 9.0, false)), (900, What::Time), (4_000, What::Time), (1, asks(0.0, 0.0, false))];
    insta::assert_snapshot!(lines(&beats, OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    challenged close:Expired agent.challenge.expired
    challenged
    challenged ask agent.challenged alert:challenge
    ");
    insta::assert_snapshot!(lines(&beats, OnExpiry::Revoke), @"
    challenged ask agent.challenged alert:challenge
    revoked close:Expired agent.challenge.expired list agent.access.revoked
    revoked
    revoked
    ");
}

#[test]
fn nobody_answers_by_night() {
    let night = |hours: &str| {
        let night = format!(r#"{{"hours": ["{hours}"], "on_expiry": "revoke"}}"#);
        let config = policy(OnExpiry::Stay).config().clone();
        let night = Some(serde_json::from_str(&night).unwrap());
        Policy::new(Budgets::default(), PolicyConfig { night, ..config })
    };
    // Asked at nine, it lapses a quarter of an hour later; that it is looked at in the evening changes nothing.
    let beats = [(0, asks(9.0, 9.0, false)), (30_000, What::Time)];
    insta::assert_snapshot!(lines_by(&beats, &night("22:00-09:16")), @"
    challenged ask agent.challenged alert:challenge
    revoked close:Expired agent.challenge.expired list agent.access.revoked
    ");
    insta::assert_snapshot!(lines_by(&beats, &night("22:00-09:15")), @"
    challenged ask agent.challenged alert:challenge
    challenged close:Expired agent.challenge.expired
    ");
    let never = serde_json::from_str::<Night>(r#"{"hours": [], "on_expiry": "revoke"}"#);
    insta::assert_snapshot!(never.unwrap_err(), @"hours: a time of the week must stand here");
}

#[test]
fn a_revoked_agent_that_still_acts_is_told_of_again_after_a_quarter_of_the_time() {
    let burst = What::Verdict {
        bits: 40.0,
        added: 9.0,
        two: true,
        attested: true,
        request: false,
        admitted: false,
        late_s: 0,
    };
    insta::assert_snapshot!(lines(&[
        (0, burst), (0, burst), (7, burst), (7, burst), (60, burst), (1, asks(40.0, 0.0, false)),
        (1, What::Reinstate), (1, What::Retire), (7, burst), (1, What::Reinstate),
    ], OnExpiry::Stay), @"
    revoked list agent.access.revoked alert:revoke
    revoked
    revoked agent.still_acting alert:still_acting
    revoked agent.still_acting alert:still_acting
    revoked agent.still_acting alert:still_acting
    revoked
    probation unlist agent.reinstated
    retired list agent.access.revoked agent.retired
    retired agent.still_acting alert:still_acting
    retired
    ");
}

#[test]
fn what_a_human_answered_for_does_not_come_back_late() {
    let late = What::Verdict {
        bits: 9.0,
        added: 9.0,
        two: false,
        attested: true,
        request: false,
        admitted: false,
        late_s: 30,
    };
    insta::assert_snapshot!(lines(&[
        (0, asks(9.0, 9.0, false)),
        (20, What::Approve { right: true, seen: 9.0 }),
        (5, QUIET),
        // A call from before the question, delivered late or again.
        (1, late),
        (1, shows(9.0)),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    probation agent.challenge.approved
    probation
    probation
    challenged ask agent.challenged alert:challenge
    ");
}

#[test]
fn while_paused_each_stronger_answer_is_recorded_once() {
    let running = policy(OnExpiry::Stay);
    let policy = running.clone().with_paused(true);
    let mut standing = Standing::Trusted;
    let mut would = Vec::new();
    for (n, bits) in [3.0, 9.0, 9.5, 40.0, 41.0].into_iter().enumerate() {
        let what = What::Verdict {
            bits,
            added: 0.0,
            two: true,
            attested: true,
            request: false,
            admitted: false,
            late_s: 0,
        };
        let (after, effects) = step(&standing, &input(n, what, &standing, at(1)), at(1), &policy);
        would.extend(effects.iter().map(|e| match e {
            Effect::Alert { action: AlertAction::Watch, would } => would.demand,
            other => panic!("{other:?}"),
        }));
        standing = after;
    }
    assert_eq!(would, [None, Some(Demand::StepUp), Some(Demand::Revoke)]);
    let burst = What::Verdict {
        bits: 40.0,
        added: 0.0,
        two: true,
        attested: true,
        request: false,
        admitted: false,
        late_s: 0,
    };
    let (after, effects) = step(&standing, &input(9, burst, &standing, at(2)), at(2), &running);
    assert!(is_revoked(&after));
    assert!(effects.contains(&Effect::Publish(Event::Revoked {
        not_before: at(2),
        cause: Cause::Evidence,
        in_place_of: None
    })));
}

#[test]
fn a_date_in_the_far_future_buys_no_forgiveness() {
    let policy = policy(OnExpiry::Stay);
    let verdict = |n: usize, bits: f64, seconds: i64, made_at: i64| {
        let mut verdict = input(n, shows(bits), &Standing::Trusted, at(seconds));
        if let Input::Verdict { evidence, .. } = &mut verdict {
            evidence.ts = at(made_at);
        }
        verdict
    };
    // The call that is challenged claims to have been made in a year.
    let (challenged, _) = step(&Standing::Trusted, &verdict(1, 9.0, 0, 31_000_000), at(0), &policy);
    let approve = input(2, What::Approve { right: true, seen: 9.0 }, &challenged, at(1));
    let (probation, _) = step(&challenged, &approve, at(1), &policy);
    let (calm, _) = step(&probation, &verdict(3, 0.0, 2, 2), at(2), &policy);
    let (after, _) = step(&calm, &verdict(4, 9.0, 3, 3), at(3), &policy);
    assert_eq!((probation.name(), calm.name(), after.name()), ("probation", "probation", "challenged"));
}

fn session(name: u8, bits: f64, added: f64) -> What {
    What::Session { name, bits, added, company: true }
}

#[test]
fn one_session_is_ended_first_and_the_agent_with_the_next() {
    insta::assert_snapshot!(lines(&[
        (0, session(1, 3.0, 3.0)),
        (1, session(1, 20.0, 17.0)),
        // What is left of the evidence is no other session's.
        (1, session(2, 20.0, 0.0)), (60, session(3, 19.0, 0.0)),
        // It asks and is refused, which is no evidence against the others.
        (1, What::Ended { acts: false, bits: 49.0, added: 30.0 }), (1, session(2, 48.0, 0.0)),
        // Another does the same.
        (1, session(2, 64.0, 16.0)),
    ], OnExpiry::Stay), @"
    watched alert:watch
    watched end:session alert:revoke
    watched
    watched
    watched
    watched
    revoked list agent.access.revoked alert:revoke
    ");
}

#[test]
fn a_session_that_goes_on_although_its_access_ended_ends_its_agent() {
    insta::assert_snapshot!(lines(&[
        (0, session(1, 20.0, 20.0)),
        (60, What::Ended { acts: true, bits: 20.0, added: 0.0 }),
        (60, What::Ended { acts: true, bits: 20.0, added: 0.0 }),
    ], OnExpiry::Stay), @"
    watched end:session alert:revoke
    revoked agent.still_acting list agent.access.revoked alert:revoke
    revoked agent.still_acting alert:still_acting
    ");
}

#[test]
fn nothing_less_than_the_agent_is_ended_where_it_is_alone_or_evidence_is_of_several_or_a_person_doubted() {
    let alone = What::Session { name: 1, bits: 20.0, added: 20.0, company: false };
    insta::assert_snapshot!(lines(&[(0, alone)], OnExpiry::Stay), @"revoked list agent.access.revoked alert:revoke");
    insta::assert_snapshot!(lines(&[
        (0, session(1, 3.0, 3.0)), (1, session(2, 20.0, 17.0)),
    ], OnExpiry::Stay), @"
    watched alert:watch
    revoked list agent.access.revoked alert:revoke
    ");
    insta::assert_snapshot!(lines(&[
        (0, session(1, 8.0, 8.0)), (1, What::Deny { right: true }), (1, session(1, 20.0, 12.0)),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    challenged agent.challenge.denied
    revoked list agent.access.revoked alert:revoke
    ");
    insta::assert_snapshot!(lines(&[
        (0, session(1, 8.0, 8.0)), (1, session(1, 20.0, 12.0)),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    watched close:Superseded end:session alert:revoke
    ");
}

/// A call of a burst that adds three bits to this level, taken in so long ago.
fn late(bits: f64, late_s: u64) -> (u64, What) {
    (1, What::Late { bits, added: 3.0, late_s })
}

#[test]
fn who_is_reinstated_within_a_burst_stays_so_and_what_comes_after_counts() {
    let policy = policy(OnExpiry::Stay);
    insta::assert_snapshot!(lines_by(&[
        late(40.0, 0), late(43.0, 0),
        (1, What::Reinstate),
        late(46.0, 2), late(49.0, 3), late(62.0, 4), late(65.0, 5), late(68.0, 6),
        (1, QUIET),
        // Dated before and taken in after: new.
        (1, What::Verdict { bits: 12.0, added: 12.0, two: false, attested: true, request: false, admitted: false, late_s: 400 }),
        (1, What::Reinstate),
        // What it goes on with is judged by what it adds.
        late(15.0, 9), late(18.0, 0),
    ], &policy), @"
    revoked list agent.access.revoked alert:revoke
    revoked
    probation unlist agent.reinstated
    probation alert:watch
    probation
    probation alert:watch
    probation
    probation
    probation
    challenged ask agent.challenged alert:challenge
    probation close:Superseded unlist agent.reinstated
    probation alert:watch
    challenged ask agent.challenged alert:challenge
    ");
}

#[test]
fn an_approval_excuses_nothing_that_nobody_had_seen() {
    insta::assert_snapshot!(lines(&[
        (0, asks(9.0, 9.0, false)),
        (9, What::Approve { right: true, seen: 9.0 }),
        late(40.0, 5),
    ], OnExpiry::Stay), @"
    challenged ask agent.challenged alert:challenge
    probation agent.challenge.approved
    revoked list agent.access.revoked alert:revoke
    ");
}
