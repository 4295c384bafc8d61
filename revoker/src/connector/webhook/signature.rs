//! Signatures of Standard Webhooks 1.0 over `id.timestamp.body`: `v1`, HMAC-SHA256 under a secret that both sides have, and
//! `v1a`, Ed25519 under a key whose public half is all that the receiver needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// How a shared secret, a signing key and its public half are shown.
const SECRET: &str = "whsec_";
const SIGNING_KEY: &str = "whsk_";
const PUBLIC_KEY: &str = "whpk_";

/// Lengths of a secret, from the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An Ed25519 seed; a signing key is one, mostly with its public half after it.
const SEED_BYTES: usize = 32;

/// Secrets and keys of one target at once: of each kind the new and the old one while rotating, and some to spare.
const SECRETS_MAX: usize = 8;

/// The secrets and signing keys of one target. Not printed, not stored, not compared.
pub struct Secrets(Vec<Key>);

enum Key {
    Shared(hmac::Key),
    Pair(Ed25519KeyPair),
}

/// Why a text holds no secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// None, or too many.
    #[error("between 1 and {SECRETS_MAX} secrets are needed, separated by spaces")]
    Count,
    /// Not in the form.
    #[error(
        "a secret must read `{SECRET}` and base64 of 24 to 64 bytes, a signing key `{SIGNING_KEY}` and base64 of 32 or 64"
    )]
    Form,
    /// The halves of a signing key do not belong together.
    #[error("the public half of a signing key `{SIGNING_KEY}` is not that of its private one")]
    Pair,
}

impl Secrets {
    /// Reads `whsec_…` and `whsk_…`; several, separated by spaces, while one is being replaced or receivers differ. Every
    /// message is signed with each, in this order.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let keys = text.split_ascii_whitespace().map(key).collect::<Result<Vec<_>, _>>()?;
        if (1..=SECRETS_MAX).contains(&keys.len()) { Ok(Self(keys)) } else { Err(SecretsError::Count) }
    }

    /// For a receiver that looks at no signature.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// What receivers verify `v1a` with, `whpk_…`, one for each signing key.
    pub fn public_keys(&self) -> Vec<String> {
        let public = |key: &Key| match key {
            Key::Shared(_) => None,
            Key::Pair(pair) => Some(format!("{PUBLIC_KEY}{}", STANDARD.encode(pair.public_key()))),
        };
        self.0.iter().filter_map(public).collect()
    }

    /// The value of `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        let signatures = self.0.iter().map(|key| match key {
            Key::Shared(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed))),
            Key::Pair(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(&signed))),
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// A new signing key, as it is written in a configuration.
pub fn new_signing_key() -> Result<String, SecretsError> {
    let seed: [u8; SEED_BYTES] = rand::random();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SecretsError::Form)?;
    Ok(format!("{SIGNING_KEY}{}", STANDARD.encode([&seed, pair.public_key().as_ref()].concat())))
}

fn key(text: &str) -> Result<Key, SecretsError> {
    let decode = |encoded: &str| STANDARD.decode(encoded).map_err(|_| SecretsError::Form);
    if let Some(encoded) = text.strip_prefix(SIGNING_KEY) {
        let bytes = decode(encoded)?;
        let (seed, public) = bytes.split_at_checked(SEED_BYTES).ok_or(SecretsError::Form)?;
        let pair = match public.len() {
            0 => Ed25519KeyPair::from_seed_unchecked(seed),
            SEED_BYTES => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            _ => return Err(SecretsError::Form),
        };
        return pair.map(Key::Pair).map_err(|_| SecretsError::Pair);
    }
    let bytes = decode(text.strip_prefix(SECRET).ok_or(SecretsError::Form)?)?;
    if BYTES.contains(&bytes.len()) {
        Ok(Key::Shared(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
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
        let good = format!("{SECRET}{}", STANDARD.encode([1; 24]));
        let other = format!("{SECRET}{}", STANDARD.encode([2; 64]));
        let pair = new_signing_key().unwrap();
        let seed = format!("{SIGNING_KEY}{}", STANDARD.encode([3; 32]));
        let all = Secrets::parse(&format!("{good} {pair} {other} {seed}")).unwrap();
        let kinds =
            all.sign("a", 1, b"").split(' ').map(|s| s.split_once(',').unwrap().0.len()).collect::<Vec<_>>();
        assert_eq!((kinds, all.public_keys().len()), (vec![2, 3, 2, 3], 2));
        let short = format!("{SECRET}{}", STANDARD.encode([1; 23]));
        let long = format!("{SECRET}{}", STANDARD.encode([1; 65]));
        let odd = format!("{SIGNING_KEY}{}", STANDARD.encode([1; 33]));
        for bad in [
            "",
            "  ",
            &good[6..],
            "whsec_",
            "whsec_!!!!",
            &short,
            &long,
            "whsk_",
            &odd,
            &[&*good; 9].join(" "),
        ] {
            assert!(Secrets::parse(bad).is_err(), "{bad}");
        }
        let torn = format!("{SIGNING_KEY}{}", STANDARD.encode([[3; 32], [4; 32]].concat()));
        assert_eq!(Secrets::parse(&torn).err(), Some(SecretsError::Pair));
    }

    /// RFC 8032 section 7.1, test 2: the public half of the secret key there.
    #[test]
    fn tells_the_public_half() {
        let bytes = |hex: &str| crate::hex::unhex::<32>(hex).unwrap();
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let secrets = Secrets::parse(&format!("{SIGNING_KEY}{}", STANDARD.encode(seed))).unwrap();
        assert_eq!(secrets.public_keys(), [format!("{PUBLIC_KEY}{}", STANDARD.encode(public))]);
    }
}
