//! How often a human may be wrong before the door stays shut for a while.

use std::time::Duration;

use detector::Timestamp;

/// Wrong answers in a row and, once there were too many, until when no further one is looked at. Both survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Wrong answers since the last right one.
    pub failures: u32,
    /// No answer is looked at before this.
    pub locked_until: Option<Timestamp>,
}

/// The rule: after every `every` failures in a row shut for `first`, then twice that, up to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    every: u32,
    first: Duration,
    longest: Duration,
}

const MINUTE: u64 = 60;

/// For one approver over all approvals. A guess at a six-digit code with three steps open hits 3 times in 10^6; the waits
/// leave 35 guesses in the first day, one chance in 9,500, and five a day after that.
pub const APPROVER: Rule = Rule {
    every: 5,
    first: Duration::from_secs(15 * MINUTE),
    longest: Duration::from_secs(24 * 60 * MINUTE),
};

/// For one approval over all names: whoever holds its address cannot go through the approvers one by one, nor guess the
/// number (10 in 10^4 before the first wait). Short, as it also shuts out the rightful human.
pub const APPROVAL: Rule =
    Rule { every: 10, first: Duration::from_secs(5 * MINUTE), longest: Duration::from_secs(60 * MINUTE) };

impl Attempts {
    /// Until when the door is shut, if it is now.
    pub fn shut_until(self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|&until| now < until)
    }

    /// After one more wrong answer.
    #[must_use]
    pub fn failed(self, rule: Rule, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        let locked_until = match failures % rule.every {
            0 => {
                let doublings = (failures / rule.every - 1).min(16);
                Some(now + (rule.first * 2_u32.pow(doublings)).min(rule.longest))
            }
            _ => None,
        };
        Self { failures, locked_until }
    }

    /// How many wrong answers are left before the next lock; at least 1.
    pub fn left(self, rule: Rule) -> u32 {
        rule.every - self.failures % rule.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_to_a_day_and_stay_there() {
        let now = Timestamp::default();
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..45 {
            attempts = attempts.failed(APPROVER, now);
            if let Some(until) = attempts.shut_until(now) {
                assert_eq!(attempts.shut_until(until), None, "open again at the end of the wait");
                waits.push(until.since(now).as_secs() / 60);
            }
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        assert_eq!(Attempts::default().left(APPROVER), 5);
        assert_eq!(Attempts { failures: 4, locked_until: None }.left(APPROVER), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_number_of_failures_overflows(failures in 0_u32..) {
            let now = Timestamp::default();
            let next = Attempts { failures, locked_until: None }.failed(APPROVAL, now);
            proptest::prop_assert!(next.failures >= failures);
            if let Some(until) = next.locked_until {
                proptest::prop_assert!(until.since(now) <= APPROVAL.longest);
            }
        }
    }
}
