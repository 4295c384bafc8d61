//! Passkeys: what of Web Authentication (Level 3, sections 7.1 and 7.2) a house needs that asks for no attestation.
//!
//! A challenge is 32 random bytes, kept as their digest beside what they are for, taken once and for minutes ([`Bound`]): an
//! answer is for one question, one choice and the evidence that was shown. The authenticator must have verified its holder.
//! Signatures are checked by `ring`, as all others here.

mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::MicroBits;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use self::key::PublicKey;
use super::digest::{Digest, Fields};
use super::{Approval, Choice};

/// Bytes of anything that a browser sends along, at most.
const FIELD_BYTES_MAX: usize = 8 * 1024;

/// The algorithms taken (COSE): `EdDSA`, ES256 and RS256, which together every authenticator has one of.
pub const ALGORITHMS: [i64; 3] = [-8, -7, -257];

/// Who relies on passkeys: this installation, by its domain and its address in browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

/// Why passkeys cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelyingError {
    /// Browsers hold passkeys for names alone, and over TLS alone but for this machine itself.
    #[error("passkeys need `http.public_url` to be https with a name, or http://localhost; it is {0}")]
    Address(String),
    /// The configured domain is none of the address.
    #[error("`passkeys.rp_id` is {id}, which {host} is not part of")]
    Domain {
        /// The configured domain.
        id: String,
        /// The host of the address.
        host: String,
    },
}

impl RelyingParty {
    /// At this public address; `id` is the domain that passkeys are bound to, the address's own name without it.
    pub fn new(public_url: &str, id: Option<&str>) -> Result<Self, RelyingError> {
        let wrong = || RelyingError::Address(public_url.to_owned());
        let url = Url::parse(public_url).map_err(|_| wrong())?;
        let host = url.domain().ok_or_else(wrong)?;
        if !(url.scheme() == "https" || (url.scheme() == "http" && host == "localhost")) {
            return Err(wrong());
        }
        let id = id.unwrap_or(host);
        if host != id && !host.strip_suffix(id).is_some_and(|rest| rest.ends_with('.')) {
            return Err(RelyingError::Domain { id: id.to_owned(), host: host.to_owned() });
        }
        Ok(Self { id: id.to_owned(), origin: url.origin().ascii_serialization() })
    }

    /// The domain that passkeys are bound to.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A fresh challenge as the browser gets it: 32 random bytes in base64url.
pub fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What a challenge is for; nothing else may be done with the answer to it.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'a> {
    /// This answer to this question, on the evidence shown.
    Answer(&'a Approval, Choice, MicroBits),
    /// Enrolling a passkey by this link.
    Enrolment(&'a Digest),
}

impl Bound<'_> {
    /// As kept beside the challenge.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Answer(approval, choice, seen) => Fields::of("tocsin passkey answer 1")
                .text(approval.id.as_str())
                .text(&approval.binding().to_string())
                .text(choice.as_str())
                .integer(seen.as_micros())
                .finish(),
            Self::Enrolment(link) => {
                Fields::of("tocsin passkey enrolment 1").text(&link.to_string()).finish()
            }
        }
    }
}

/// A passkey that somebody enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The credential's id, base64url.
    pub id: String,
    /// The public key as `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// Its signature counter when it was last used; 0 for one that does not count.
    pub counter: u32,
    /// Whether it may be copied to other devices of its holder.
    pub synced: bool,
}

/// What a browser brings of a new credential (`toJSON` of the response, with the members read that are used).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    public_key: String,
}

/// What a browser brings of a credential that was used.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// The credential's id, base64url.
    pub id: String,
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    signature: String,
}

/// Why what a browser brought does not count. For the log; whoever sent it is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
    /// It is of another ceremony.
    #[error("it is not the answer to what was asked")]
    Type,
    /// The challenge is unknown, was used, has expired or is for something else.
    #[error("the challenge is not an open one for this")]
    Challenge,
    /// It was made on another site.
    #[error("it was made at another origin")]
    Origin,
    /// It is for another domain.
    #[error("it is for another relying party")]
    RelyingParty,
    /// Nobody was there, or the authenticator did not verify who.
    #[error("the authenticator did not verify its holder")]
    Unverified,
    /// Nobody has this credential.
    #[error("no such passkey is enrolled")]
    Unknown,
    /// Not the credential's signature.
    #[error("the signature is not this passkey's")]
    Signature,
    /// The counter went back: there is a copy.
    #[error("the passkey's counter went back: it may have been copied")]
    Counter,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// The flags of authenticator data (section 6.1).
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const SYNCABLE: u8 = 0x08;
const ATTESTED: u8 = 0x40;

/// Authenticator data, as far as it is used.
struct Authenticator<'a> {
    flags: u8,
    counter: u32,
    rest: &'a [u8],
}

impl RelyingParty {
    /// A new credential, if it is one that was made here and now for `challenge`.
    pub fn register(&self, challenge: &str, made: &Registration) -> Result<Passkey, PasskeyError> {
        self.client_data(&made.client_data, "webauthn.create", challenge)?;
        let data = decoded(&made.authenticator_data, "authenticatorData")?;
        let authenticator = self.authenticator(&data)?;
        // After 16 bytes that name the make: the length of the id in two, and the id.
        let unreadable = PasskeyError::Unreadable("the attested credential");
        let (_, rest) = authenticator.rest.split_at_checked(16).ok_or(unreadable)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(unreadable)?;
        let id = rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(unreadable)?;
        if authenticator.flags & ATTESTED == 0 || !(16..=1_023).contains(&id.len()) {
            return Err(unreadable);
        }
        let public_key = decoded(&made.public_key, "publicKey")?;
        PublicKey::read(&public_key).ok_or(PasskeyError::Unreadable("publicKey"))?;
        Ok(Passkey {
            id: URL_SAFE_NO_PAD.encode(id),
            public_key,
            counter: authenticator.counter,
            synced: authenticator.flags & SYNCABLE != 0,
        })
    }

    /// The passkey's counter from now on, if its holder answered `challenge` with it here and now.
    pub fn verify(&self, challenge: &str, used: &Assertion, passkey: &Passkey) -> Result<u32, PasskeyError> {
        let client_data = self.client_data(&used.client_data, "webauthn.get", challenge)?;
        let data = decoded(&used.authenticator_data, "authenticatorData")?;
        let authenticator = self.authenticator(&data)?;
        let signature = decoded(&used.signature, "signature")?;
        let key = PublicKey::read(&passkey.public_key).ok_or(PasskeyError::Unreadable("publicKey"))?;
        let signed = [&data[..], &Sha256::digest(client_data)].concat();
        if !key.verifies(&signed, &signature) {
            return Err(PasskeyError::Signature);
        }
        let (known, now) = (passkey.counter, authenticator.counter);
        if (known, now) != (0, 0) && now <= known {
            return Err(PasskeyError::Counter);
        }
        Ok(now)
    }

    fn client_data(&self, text: &str, ceremony: &str, challenge: &str) -> Result<Vec<u8>, PasskeyError> {
        let bytes = decoded(text, "clientDataJSON")?;
        let data = read(&bytes)?;
        if data.r#type != ceremony {
            return Err(PasskeyError::Type);
        }
        if !bool::from(data.challenge.as_bytes().ct_eq(challenge.as_bytes())) {
            return Err(PasskeyError::Challenge);
        }
        if data.origin != self.origin || data.cross_origin {
            return Err(PasskeyError::Origin);
        }
        Ok(bytes)
    }

    fn authenticator<'a>(&self, data: &'a [u8]) -> Result<Authenticator<'a>, PasskeyError> {
        let unreadable = PasskeyError::Unreadable("authenticatorData");
        let (domain, rest) = data.split_first_chunk::<32>().ok_or(unreadable)?;
        let (&flags, rest) = rest.split_first().ok_or(unreadable)?;
        let (counter, rest) = rest.split_first_chunk::<4>().ok_or(unreadable)?;
        if domain[..] != Sha256::digest(&self.id)[..] {
            return Err(PasskeyError::RelyingParty);
        }
        if flags & PRESENT == 0 || flags & VERIFIED == 0 {
            return Err(PasskeyError::Unverified);
        }
        Ok(Authenticator { flags, counter: u32::from_be_bytes(*counter), rest })
    }
}

/// The challenge that an answer says it is for; to be looked up, and believed only then.
pub fn named_challenge(client_data: &str) -> Result<String, PasskeyError> {
    Ok(read(&decoded(client_data, "clientDataJSON")?)?.challenge)
}

impl Assertion {
    /// See [`named_challenge`].
    pub fn challenge(&self) -> Result<String, PasskeyError> {
        named_challenge(&self.client_data)
    }
}

impl Registration {
    /// See [`named_challenge`].
    pub fn challenge(&self) -> Result<String, PasskeyError> {
        named_challenge(&self.client_data)
    }
}

/// What a browser is asked for: `publicKey` of `navigator.credentials.get` and, with a `user`, of `create`. Bytes are base64url.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    challenge: String,
    rp_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    algorithms: Vec<i64>,
    timeout: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    name: String,
}

impl Options {
    /// For an answer. No credential is named: which people are enrolled is not told.
    pub fn answer(rp: &RelyingParty, challenge: String, timeout: std::time::Duration) -> Self {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { challenge, rp_id: rp.id.clone(), user: None, algorithms: Vec::new(), timeout }
    }

    /// For a new passkey of `name`; the handle says nothing of them and is another for each passkey.
    pub fn enrol(rp: &RelyingParty, challenge: String, timeout: std::time::Duration, name: &str) -> Self {
        let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let user = Some(User { id, name: name.to_owned() });
        Self { user, algorithms: ALGORITHMS.to_vec(), ..Self::answer(rp, challenge, timeout) }
    }
}

fn decoded(text: &str, what: &'static str) -> Result<Vec<u8>, PasskeyError> {
    if text.len() > FIELD_BYTES_MAX {
        return Err(PasskeyError::Unreadable(what));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| PasskeyError::Unreadable(what))
}

fn read(client_data: &[u8]) -> Result<ClientData, PasskeyError> {
    serde_json::from_slice(client_data).map_err(|_| PasskeyError::Unreadable("clientDataJSON"))
}

#[cfg(test)]
pub(crate) mod tests;
