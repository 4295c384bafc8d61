//! Answers of an authenticator in software, and the same after somebody was at them.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const ORIGIN: &str = "https://tocsin.example";

pub(crate) fn party() -> RelyingParty {
    RelyingParty::new(ORIGIN, None).unwrap()
}

/// An authenticator that holds one key on P-256, or on Ed25519.
pub(crate) struct Authenticator {
    p256: EcdsaKeyPair,
    edwards: Option<Ed25519KeyPair>,
    pub(crate) id: Vec<u8>,
    pub(crate) counter: u32,
    pub(crate) flags: u8,
}

impl Authenticator {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let p256 =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { p256, edwards: None, id: rand::random::<[u8; 16]>().to_vec(), counter: 1, flags: 0x05 }
    }

    fn on_edwards() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
        Self { edwards: Some(pair), counter: 0, ..Self::new() }
    }

    fn spki(&self) -> Vec<u8> {
        if let Some(pair) = &self.edwards {
            let algorithm = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
            return [&algorithm, pair.public_key().as_ref()].concat();
        }
        let algorithm: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        [&algorithm, self.p256.public_key().as_ref()].concat()
    }

    fn data(&self, domain: &str) -> Vec<u8> {
        [&Sha256::digest(domain)[..], &[self.flags], &self.counter.to_be_bytes()].concat()
    }

    pub(crate) fn registered(&self, challenge: &str, (origin, domain): (&str, &str)) -> Value {
        let attested = Self { flags: self.flags | 0x40, ..Self::new() }.flags;
        let mut data = self.data(domain);
        data[32] = attested;
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        json!({
            "clientDataJSON": client_data("webauthn.create", challenge, origin),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "publicKey": URL_SAFE_NO_PAD.encode(self.spki()),
        })
    }

    pub(crate) fn asserted(&self, challenge: &str, (origin, domain): (&str, &str)) -> Value {
        let client_data = client_data("webauthn.get", challenge, origin);
        let data = self.data(domain);
        let hash = Sha256::digest(URL_SAFE_NO_PAD.decode(&client_data).unwrap());
        let signed = [&data[..], &hash].concat();
        let signature = match &self.edwards {
            Some(pair) => pair.sign(&signed).as_ref().to_vec(),
            None => self.p256.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
        };
        json!({
            "id": URL_SAFE_NO_PAD.encode(&self.id),
            "clientDataJSON": client_data,
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature),
        })
    }
}

fn client_data(ceremony: &str, challenge: &str, origin: &str) -> String {
    let data = json!({ "type": ceremony, "challenge": challenge, "origin": origin, "crossOrigin": false });
    URL_SAFE_NO_PAD.encode(data.to_string())
}

const HERE: (&str, &str) = (ORIGIN, "tocsin.example");

fn register(authenticator: &Authenticator) -> Result<Passkey, PasskeyError> {
    let made = serde_json::from_value(authenticator.registered("c1", HERE)).unwrap();
    party().register("c1", &made)
}

fn verify(passkey: &Passkey, answer: Value) -> Result<u32, PasskeyError> {
    party().verify("c2", &serde_json::from_value(answer).unwrap(), passkey)
}

#[test]
fn who_is_verified_here_and_now_is_known_by_either_kind_of_key() {
    for mut authenticator in [Authenticator::new(), Authenticator::on_edwards()] {
        let mut passkey = register(&authenticator).unwrap();
        assert_eq!(passkey.id, URL_SAFE_NO_PAD.encode(&authenticator.id));
        assert!(!passkey.synced);
        authenticator.counter += u32::from(authenticator.counter > 0);
        passkey.counter = verify(&passkey, authenticator.asserted("c2", HERE)).unwrap();
        assert_eq!(passkey.counter, authenticator.counter);
        // One that counts is not believed when it counts no further.
        let again = verify(&passkey, authenticator.asserted("c2", HERE));
        assert_eq!(again.is_err(), authenticator.counter > 0, "{again:?}");
    }
}

#[test]
fn whatever_is_swapped_is_found() {
    use PasskeyError::*;
    let mut authenticator = Authenticator::new();
    let passkey = register(&authenticator).unwrap();
    authenticator.counter = 2;
    let asserted = |challenge, origin, domain| authenticator.asserted(challenge, (origin, domain));
    let mut created = asserted("c2", ORIGIN, HERE.1);
    created["clientDataJSON"] = json!(client_data("webauthn.create", "c2", ORIGIN));
    let mut framed = asserted("c2", ORIGIN, HERE.1);
    let text = json!({ "type": "webauthn.get", "challenge": "c2", "origin": ORIGIN, "crossOrigin": true });
    framed["clientDataJSON"] = json!(URL_SAFE_NO_PAD.encode(text.to_string()));
    let mut other_data = asserted("c2", ORIGIN, HERE.1);
    other_data["authenticatorData"] = Authenticator { counter: 9, ..Authenticator::new() }
        .asserted("c2", HERE)["authenticatorData"]
        .clone();
    let stranger = Authenticator { counter: 2, ..Authenticator::new() };
    let mut short = asserted("c2", ORIGIN, HERE.1);
    short["authenticatorData"] = json!("AAAA");
    for (answer, wrong) in [
        (asserted("c3", ORIGIN, HERE.1), Challenge),
        (asserted("c2", "https://tocsin.example.evil.example", HERE.1), Origin),
        (asserted("c2", "http://tocsin.example", HERE.1), Origin),
        (asserted("c2", "https://tocsin.example:444", HERE.1), Origin),
        (framed, Origin),
        (asserted("c2", ORIGIN, "evil.example"), RelyingParty),
        (created, Type),
        (other_data, Signature),
        (stranger.asserted("c2", HERE), Signature),
        (short, Unreadable("authenticatorData")),
    ] {
        assert_eq!(verify(&passkey, answer), Err(wrong));
    }
    for flags in [0x00, 0x01, 0x04] {
        authenticator.flags = flags;
        assert_eq!(verify(&passkey, authenticator.asserted("c2", HERE)), Err(Unverified), "{flags}");
        assert_eq!(register(&authenticator), Err(Unverified), "{flags}");
    }
}

#[test]
fn a_key_is_one_of_three_kinds() {
    for not in [vec![], vec![0x30; 91], [&Authenticator::new().spki()[..], &[0]].concat()] {
        assert!(PublicKey::read(&not).is_none());
    }
    let mut made = Authenticator::new().registered("c1", HERE);
    made["publicKey"] = json!("AAAA");
    let made = serde_json::from_value(made).unwrap();
    assert_eq!(party().register("c1", &made), Err(PasskeyError::Unreadable("publicKey")));
}

#[test]
fn passkeys_are_for_names_over_tls() {
    let id = |url: &str, id| RelyingParty::new(url, id).map(|rp| (rp.id, rp.origin));
    assert_eq!(
        id("https://tocsin.example:8443/base", None).unwrap(),
        ("tocsin.example".into(), "https://tocsin.example:8443".into())
    );
    assert_eq!(id("https://tocsin.example", Some("example")).unwrap().0, "example");
    assert!(id("http://localhost:7700", None).is_ok());
    for (url, domain) in [
        ("http://tocsin.example", None),
        ("https://127.0.0.1:7700", None),
        ("https://[::1]", None),
        ("tocsin.example", None),
        ("https://tocsin.example", Some("csin.example")),
        ("https://tocsin.example", Some("other.example")),
    ] {
        assert!(id(url, domain).is_err(), "{url} {domain:?}");
    }
}
