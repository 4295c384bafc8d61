//! The approver's second factor: six digits from an authenticator app (RFC 6238).
//!
//! SHA-1, six digits and 30 seconds, because that is what every app understands: several take an address that asks for
//! more and silently compute SHA-1 all the same. HMAC-SHA-1 is not touched by SHA-1's collisions (RFC 4226, B.2).

use detector::Timestamp;
use totp_rs::{Builder, Secret, Totp, TotpError};

/// Seconds a code stands for.
pub const STEP_S: u64 = 30;

/// What a code turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Right, and now spent: `step` must be stored before anything is done on its strength.
    Accepted {
        /// Its time step, Unix seconds divided by [`STEP_S`].
        step: u64,
    },
    /// Right, but of a step that was already accepted or lies before one that was (RFC 6238, 5.2).
    Spent,
    /// Not the code of the present step, nor of the one before or after it.
    Wrong,
}

/// A secret of 160 random bits.
pub fn new_secret() -> [u8; 20] {
    rand::random()
}

/// Checks what a human typed; spaces are theirs. `last_step` is the step accepted last for this secret.
pub fn check(
    secret: &[u8],
    typed: &str,
    now: Timestamp,
    last_step: Option<u64>,
) -> Result<Checked, TotpError> {
    let code: String = typed.chars().filter(|c| !c.is_whitespace()).take(7).collect();
    let seconds = now.as_millis().max(0) as u64 / 1_000;
    let matched = totp(secret)?.check(&code, seconds);
    Ok(match matched {
        Some(step) if last_step.is_none_or(|last| step > last) => Checked::Accepted { step },
        Some(_) => Checked::Spent,
        None => Checked::Wrong,
    })
}

/// When an app shows the first code that is not spent yet.
pub fn next_code(now: Timestamp, last_step: Option<u64>) -> Timestamp {
    let step = now.as_millis().max(0) as u64 / 1_000 / STEP_S;
    let next = step.max(last_step.unwrap_or(0)) + 1;
    Timestamp::from_millis((next * STEP_S * 1_000).cast_signed())
}

/// The `otpauth://` address that an app reads from a QR code. It holds the secret.
pub fn address(secret: &[u8], account: &str, issuer: &str) -> Result<String, TotpError> {
    builder(secret).with_account_name(account).with_issuer(Some(issuer)).build()?.to_url()
}

fn totp(secret: &[u8]) -> Result<Totp, TotpError> {
    builder(secret).build()
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new().with_secret(Secret::from(secret)).with_step_duration(STEP_S).with_skew(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: SHA-1 rows, secret "12345678901234567890", the last six of the eight digits.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_standards_own_vectors() {
        for (seconds, code) in VECTORS {
            let step = seconds as u64 / STEP_S;
            assert_eq!(check(SECRET, code, at(seconds), None), Ok(Checked::Accepted { step }), "{seconds}");
        }
    }

    #[test]
    fn one_step_either_way_and_no_further() {
        let step = 1_234_567_890 / 30;
        for (offset, right) in [(-61, false), (-30, true), (0, true), (30, true), (61, false)] {
            let checked = check(SECRET, "005924", at(1_234_567_890 + offset), None);
            assert_eq!(checked == Ok(Checked::Accepted { step }), right, "{offset} s");
        }
    }

    #[test]
    fn no_code_is_taken_twice_nor_one_from_before_the_last() {
        let now = at(1_234_567_890);
        let step = 1_234_567_890 / 30;
        assert_eq!(check(SECRET, "005924", now, Some(step)), Ok(Checked::Spent));
        assert_eq!(check(SECRET, "005924", now, Some(step + 1)), Ok(Checked::Spent));
        assert_eq!(check(SECRET, " 005 924 ", now, Some(step - 1)), Ok(Checked::Accepted { step }));
    }

    #[test]
    fn the_next_code_is_after_the_spent_one() {
        let now = at(1_234_567_895);
        let step = 1_234_567_890 / 30;
        assert_eq!(next_code(now, None), at(1_234_567_920));
        assert_eq!(next_code(now, Some(step - 1)), at(1_234_567_920));
        assert_eq!(next_code(now, Some(step + 1)), at(1_234_567_950), "of a phone whose clock is ahead");
    }

    #[test]
    fn what_is_no_code_is_wrong() {
        for typed in ["", "5924", "+05924", "0059240", "00592a", "٠٠٥٩٢٤", "005924005924"] {
            assert_eq!(check(SECRET, typed, at(1_234_567_890), None), Ok(Checked::Wrong), "{typed}");
        }
        assert!(check(b"short", "005924", at(0), None).is_err(), "a secret under 128 bits is refused");
    }

    #[test]
    fn an_address_every_app_reads() {
        insta::assert_snapshot!(
            address(SECRET, "Alice Meyer", "Tocsin").unwrap(),
            @"otpauth://totp/Tocsin:Alice%20Meyer?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Tocsin"
        );
    }
}
