//! The grant as a JSON Web Token (RFC 7519), signed with Ed25519 (RFC 8037) by a key made from the installation's key file: the
//! same claims give the same bytes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::approval::{Approval, ApprovalId, IdError, State};
use crate::hex::hex;
use crate::keys::{KeyError, Keys};

/// The token's type, so that it is taken for no other of this issuer.
const TYP: &str = "tocsin-grant+jwt";

/// Bytes of a grant, at most.
const BYTES_MAX: usize = 4 * 1024;

/// The grant as the agent holds it: a token in compact form. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant(String);

impl Grant {
    /// For the agent's eyes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Grant {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if text.len() <= BYTES_MAX && text.split('.').count() == 3 && text.split('.').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::new("a grant (three parts of a signed token)"))
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(…)")
    }
}

/// What a grant says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// This installation, by its public address.
    pub iss: String,
    /// Who admits it: this installation too.
    pub aud: String,
    /// The agent's name.
    pub sub: String,
    /// Under which issuer that is its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_iss: Option<String>,
    /// The grant's own name.
    pub jti: String,
    /// When the human said yes.
    pub iat: i64,
    /// Not admitted from here on.
    pub exp: i64,
    /// When the human proved who they are.
    pub auth_time: i64,
    /// What that proof is worth.
    pub acr: String,
    /// How they proved it (RFC 8176).
    pub amr: Vec<String>,
    /// The question.
    pub approval_id: ApprovalId,
    /// SHA-256 of the act, hexadecimal ([`crate::approval::Action::digest`]).
    pub action_digest: String,
    /// SHA-256 of the arguments, as the act names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_digest: Option<String>,
    /// SHA-256 of all that the yes covers, hexadecimal ([`Approval::binding`]).
    pub binding: String,
    /// The record's epoch: raised when the record is restored from a backup.
    pub epoch: i64,
}

/// Makes and reads grants.
pub struct Grants {
    pair: Ed25519KeyPair,
    kid: String,
    issuer: String,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Grants {
    /// Those of this installation; `issuer` is its public address.
    pub fn new(keys: &Keys, issuer: &str) -> Result<Self, KeyError> {
        let seed = keys.mac("grant key", &[]);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Cipher)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        // The thumbprint of RFC 7638: nobody has to agree on names.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        Ok(Self { pair, kid, issuer: issuer.to_owned() })
    }

    /// The public key as `application/jwk-set+json` (RFC 7517).
    pub fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": self.kid }] })
    }

    /// The one grant of this approval; none where nobody said yes.
    pub fn of(&self, approval: &Approval) -> Option<Grant> {
        let State::Answered { at, with, .. } = approval.state else { return None };
        let given = approval.grant.as_ref()?;
        let (action, binding) = (approval.action(), approval.binding());
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: action.agent_id.clone(),
            sub_iss: action.issuer.clone(),
            jti: hex(&Sha256::digest(format!("tocsin grant {binding} {}", given.epoch))[..16]),
            iat: seconds(at),
            exp: seconds(given.expires_at),
            auth_time: seconds(at),
            acr: with.acr().to_owned(),
            amr: with.amr().iter().map(ToString::to_string).collect(),
            approval_id: approval.id.clone(),
            action_digest: action.digest().to_string(),
            args_digest: action.args_digest,
            binding: binding.to_string(),
            epoch: given.epoch,
        };
        let header = json!({ "alg": "EdDSA", "kid": self.kid, "typ": TYP }).to_string();
        let claims = serde_json::to_string(&claims).ok()?;
        let mut token = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(Grant(token))
    }

    /// What it says, if this installation signed it. Whether it still holds is the record's to say.
    pub fn read(&self, grant: &Grant) -> Option<Claims> {
        let (signed, signature) = grant.0.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // The key signs nothing but grants; the type is looked at so that it stays so.
        (header["typ"] == TYP).then_some(())?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}
