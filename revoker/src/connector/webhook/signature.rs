//! Signatures of Standard Webhooks 1.0: `v1`, HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// How a secret is shown.
const PREFIX: &str = "whsec_";

/// Lengths of a secret, from the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Secrets of one target at once: the new and the old one while rotating, and a spare.
const SECRETS_MAX: usize = 4;

/// The secrets of one target. Not printed, not stored, not compared.
pub struct Secrets(Vec<hmac::Key>);

/// Why a text holds no secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// None, or too many.
    #[error("between 1 and {SECRETS_MAX} secrets are needed, separated by spaces")]
    Count,
    /// Not in the form.
    #[error("a secret must read `{PREFIX}` and base64 of 24 to 64 bytes")]
    Form,
}

impl Secrets {
    /// Reads `whsec_…`; several, separated by spaces, while one is being replaced. Every message is signed with each.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let keys = text.split_ascii_whitespace().map(key).collect::<Result<Vec<_>, _>>()?;
        if (1..=SECRETS_MAX).contains(&keys.len()) { Ok(Self(keys)) } else { Err(SecretsError::Count) }
    }

    /// The value of `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signatures = self.0.iter().map(|key| {
            let mut mac = hmac::Context::with_key(key);
            mac.update(head.as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn key(text: &str) -> Result<hmac::Key, SecretsError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(SecretsError::Form)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| SecretsError::Form)?;
    if BYTES.contains(&bytes.len()) {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    } else {
        Err(SecretsError::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example, signed by its reference implementation in Python:
    /// `Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("msg_p5jXN8AQM9LWM0D4loKWxJek", t, body)` at 1614265330.
    #[test]
    fn signs_like_the_reference() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn reads_secrets_of_the_right_form_only() {
        let good = format!("{PREFIX}{}", STANDARD.encode([1; 24]));
        let other = format!("{PREFIX}{}", STANDARD.encode([2; 64]));
        assert!(Secrets::parse(&good).is_ok());
        assert_eq!(
            Secrets::parse(&format!("{good} {other}")).unwrap().sign("a", 1, b"").matches("v1,").count(),
            2
        );
        let short = format!("{PREFIX}{}", STANDARD.encode([1; 23]));
        let long = format!("{PREFIX}{}", STANDARD.encode([1; 65]));
        for bad in ["", "  ", &good[6..], "whsec_", "whsec_!!!!", &short, &long, &[&*good; 5].join(" ")] {
            assert!(Secrets::parse(bad).is_err(), "{bad}");
        }
    }
}
