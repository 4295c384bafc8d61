//! What an agent does while a human is asked.

use super::stories::{QUIET, asks, lines_by, shows};
use super::{Beat, Step, What, policy_while, tell};
use crate::config::{OnExpiry, WhileAsked};
use crate::revoker::Admission;

#[test]
fn who_is_behind_no_gate_is_suspended_while_a_human_is_asked() {
    let policy = policy_while(WhileAsked::Suspend, OnExpiry::Stay);
    let (approve, deny) = (What::Approve { right: true, seen: 9.0 }, What::Deny { right: true });
    // Within the tolerance of clocks a call was made before; after it the agent still acts, which is told. Of a log line nobody is suspended.
    let forged = What::Verdict {
        bits: 9.0,
        added: 0.0,
        two: false,
        attested: false,
        request: false,
        admitted: false,
        late_s: 0,
    };
    insta::assert_snapshot!(lines_by(&[(0, shows(9.0)), (4, shows(9.0)), (6, shows(9.0)), (1, approve), (1, QUIET)], &policy), @"
    challenged ask agent.challenged list agent.access.suspended alert:challenge
    challenged
    challenged agent.still_acting alert:still_acting
    probation agent.challenge.approved unlist agent.reinstated
    probation
    ");
    insta::assert_snapshot!(lines_by(&[(0, shows(9.0)), (1, deny), (2_000, asks(9.0, 0.0, false)), (1, What::Attack { right: true })], &policy), @"
    challenged ask agent.challenged list agent.access.suspended alert:challenge
    challenged agent.challenge.denied
    challenged ask agent.challenged alert:challenge
    revoked list agent.access.revoked
    ");
    insta::assert_snapshot!(lines_by(&[(0, forged), (1, approve)], &policy), @"
    challenged ask agent.challenged alert:challenge
    probation agent.challenge.approved
    ");
}

#[test]
fn who_is_observed_goes_on_until_a_human_says_no() {
    let policy = policy_while(WhileAsked::Observe, OnExpiry::Stay);
    let goes = |beats: &[(u64, What)]| {
        let beats: Vec<Beat> =
            beats.iter().map(|&(after_s, what)| Beat { what, after_s, paused: false }).collect();
        let admission = |s: &Step| Admission::of(&s.after) == Admission::Go;
        tell(&beats, &policy).iter().map(admission).collect::<Vec<_>>()
    };
    let (asked, deny) = ((0, asks(9.0, 9.0, false)), What::Deny { right: true });
    assert_eq!(
        goes(&[asked, (1, asks(9.0, 0.0, false)), (2_000, What::Time)]),
        [true, true, true],
        "also once the question has lapsed"
    );
    assert_eq!(goes(&[asked, (1, deny)]), [true, false]);
    assert_eq!(goes(&[asked, (1, What::Attack { right: true })]), [true, false]);
}
