//! The section `[ssf]`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::event::EventType;
use super::subject::SubjectFormat;
use crate::config::Seconds;
use crate::connector::signing::{KeyError, Signer, Signing};
use crate::connector::webhook::{SecretText, is_name};

/// The shortest credential taken, in bytes. `openssl rand -hex 32` makes a good one.
const TOKEN_BYTES_MIN: usize = 16;

/// What a revoked credential is called where a receiver agreed on nothing else.
const CREDENTIAL_TYPE: &str = "oauth_client_secret";

/// Seconds that a receiver leaves between two verifications, where nothing is set.
const VERIFICATION_INTERVAL: Duration = Duration::from_mins(1);

/// The section `[ssf]`: tell receivers by the Shared Signals Framework.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SsfConfig {
    /// Who signs: `iss` of every token, and what receivers discover this server by. Without it `http.public_url`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The RSA key that signs, PKCS#8 in PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Keys that signed before, published until no receiver holds a token of theirs.
    #[serde(default)]
    pub previous_key_files: Vec<PathBuf>,
    /// Seconds that a receiver leaves between two verifications of a stream.
    #[serde(default)]
    pub min_verification_interval_s: Option<Seconds>,
    /// Which subjects a stream gets that is made from now on.
    #[serde(default)]
    pub default_subjects: DefaultSubjects,
    /// A stream is paused whose receiver gives no sign for so many seconds. Without it none is.
    #[serde(default)]
    pub inactivity_timeout_s: Option<Seconds>,
    /// Who may have streams.
    #[serde(default)]
    pub receivers: Vec<ReceiverConfig>,
}

/// `default_subjects` of the metadata (SSF 1.0 section 7.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultSubjects {
    /// All, but those that its receiver removes.
    #[default]
    All,
    /// Those alone that its receiver adds.
    None,
}

/// One entry of `[[ssf.receivers]]`. Exactly one of `token`, `token_env` and `token_file` says the credential.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// The receiver's name, the same for ever: its streams are known by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// What it shows as a bearer token, at least 16 bytes.
    #[serde(default)]
    pub token: Option<SecretText>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub token_env: Option<String>,
    /// The file that holds it; white space around it is ignored.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Whom its tokens are for: one name or several.
    pub aud: Audience,
    /// How it wants agents named.
    #[serde(default)]
    pub subject_format: SubjectFormat,
    /// The events it may have, by the last part of their addresses; empty means all.
    #[serde(default)]
    pub events: Vec<String>,
    /// A second credential, which may see streams and take what they hold, and not change them: `ssf.read` of the CAEP Interoperability
    /// Profile 1.0 (section 2.7.3), where the first is `ssf.manage`.
    #[serde(default)]
    pub read_token: Option<SecretText>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub read_token_env: Option<String>,
    /// The file that holds it.
    #[serde(default)]
    pub read_token_file: Option<PathBuf>,
    /// `credential_type` of its `credential-change` events; CAEP leaves it to the two of you. Without it `oauth_client_secret`.
    #[serde(default)]
    pub credential_type: Option<String>,
    /// Allows it to have tokens pushed over `http` and to addresses that are not public. For tests.
    #[serde(default)]
    pub allow_insecure_target: bool,
}

/// `aud` as RFC 7519 has it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// What is wrong with the section.
#[derive(Debug, thiserror::Error)]
pub enum SsfError {
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The issuer.
    #[error(
        "`issuer` (or `http.public_url`) is {0:?}: SSF wants https, without query and fragment; http is taken of a loopback address alone"
    )]
    Issuer(String),
    /// A receiver.
    #[error("receivers: `{name}`: {what}")]
    Receiver {
        /// Which.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The record.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// One who may have streams.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(super) name: String,
    pub(super) token: [u8; 32],
    pub(super) aud: Value,
    pub(super) format: SubjectFormat,
    pub(super) events: Vec<EventType>,
    pub(super) credential: String,
    pub(super) insecure: bool,
    /// The credential that changes nothing.
    pub(super) read_token: Option<[u8; 32]>,
}

/// What a credential of a receiver may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `ssf.read`
    Read,
    /// `ssf.manage`
    Manage,
}

impl Receiver {
    /// Its credentials, and what each may do.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&[u8; 32], Scope)> {
        let read = self.read_token.iter().map(|token| (token, Scope::Read));
        std::iter::once((&self.token, Scope::Manage)).chain(read)
    }

    /// What it is called in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The section, checked.
pub(super) struct Checked {
    pub(super) signing: Signing,
    pub(super) interval: Duration,
    pub(super) inactivity: Option<Duration>,
    pub(super) receivers: Vec<Receiver>,
}

impl SsfConfig {
    /// Who signs, and with what.
    pub fn signing(&self, public_url: &str) -> Result<Signing, SsfError> {
        let issuer = self.issuer.as_deref().unwrap_or(public_url.trim_end_matches('/'));
        if !is_issuer(issuer) {
            return Err(SsfError::Issuer(issuer.to_owned()));
        }
        let signer = Signer::open(self.key_file.as_deref(), &self.previous_key_files)?;
        Ok(Signing { issuer: issuer.to_owned(), signer: Arc::new(signer) })
    }

    /// Whether a transmitter can be made of it. `environment` looks a variable up.
    pub fn verify(
        &self,
        public_url: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<(), SsfError> {
        self.check(public_url, environment).map(drop)
    }

    /// Checks all of it. `environment` looks a variable up.
    pub(super) fn check(
        &self,
        public_url: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Checked, SsfError> {
        let signing = self.signing(public_url)?;
        let mut receivers: Vec<Receiver> = Vec::with_capacity(self.receivers.len());
        for config in &self.receivers {
            let wrong = |what: String| SsfError::Receiver { name: config.name.clone(), what };
            let receiver = config.check(&environment).map_err(wrong)?;
            if receivers.iter().any(|r| r.name == receiver.name) {
                return Err(wrong("two receivers have this name".to_owned()));
            }
            let mut known: HashSet<_> = receivers.iter().flat_map(Receiver::tokens).map(|(t, _)| t).collect();
            if !receiver.tokens().all(|(token, _)| known.insert(token)) {
                return Err(wrong("its credential is another one too".to_owned()));
            }
            receivers.push(receiver);
        }
        let interval = self.min_verification_interval_s.map_or(VERIFICATION_INTERVAL, Seconds::duration);
        let inactivity = self.inactivity_timeout_s.map(Seconds::duration);
        Ok(Checked { signing, interval, inactivity, receivers })
    }
}

fn is_issuer(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else { return false };
    let loopback = ["127.0.0.1", "[::1]", "localhost"];
    let scheme = match url.scheme() {
        "https" => true,
        "http" => url.host_str().is_some_and(|host| loopback.contains(&host)),
        _ => false,
    };
    let bare = url.username().is_empty() && url.password().is_none();
    scheme && bare && url.query().is_none() && url.fragment().is_none()
}

impl ReceiverConfig {
    fn check(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Receiver, String> {
        if !is_name(&self.name) {
            return Err("`name` must be 1 to 64 letters, digits, `-` and `_`".to_owned());
        }
        let first = (&self.token, &self.token_env, &self.token_file);
        let token = credential(first, "token", &environment)?
            .ok_or("exactly one of `token`, `token_env` and `token_file` is needed")?;
        let second = (&self.read_token, &self.read_token_env, &self.read_token_file);
        let read_token = credential(second, "read_token", &environment)?;
        let aud = match &self.aud {
            Audience::One(one) if !one.is_empty() => Value::from(one.as_str()),
            Audience::Many(all) if !all.is_empty() && !all.contains(&String::new()) => {
                Value::from(all.clone())
            }
            _ => return Err("`aud` names nobody".to_owned()),
        };
        let known = |name: &String| {
            let found = EventType::ALL.into_iter().find(|event| event.name() == name);
            let all = EventType::ALL.map(EventType::name).join(", ");
            found.ok_or_else(|| format!("`events`: `{name}` is no event; there are: {all}"))
        };
        let named = self.events.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let events = if named.is_empty() { EventType::ALL.to_vec() } else { named };
        Ok(Receiver {
            name: self.name.clone(),
            read_token,
            token,
            aud,
            format: self.subject_format,
            events,
            credential: self.credential_type.clone().unwrap_or_else(|| CREDENTIAL_TYPE.to_owned()),
            insecure: self.allow_insecure_target,
        })
    }
}

/// The hash of a credential that is said in at most one of three ways, by keys that begin with `key`.
fn credential(
    (token, env, file): (&Option<SecretText>, &Option<String>, &Option<PathBuf>),
    key: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<[u8; 32]>, String> {
    let token = match (token, env, file) {
        (None, None, None) => return Ok(None),
        (Some(token), None, None) => token.reveal().to_owned(),
        (None, Some(name), None) => environment(name)
            .ok_or_else(|| format!("`{key}_env`: the environment variable {name} is not set"))?,
        (None, None, Some(path)) => std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|e| format!("`{key}_file`: {}: {e}", path.display()))?,
        _ => return Err(format!("exactly one of `{key}`, `{key}_env` and `{key}_file` is needed")),
    };
    if token.len() < TOKEN_BYTES_MIN {
        let bytes = token.len();
        return Err(format!("a credential has at least {TOKEN_BYTES_MIN} bytes, this one has {bytes}"));
    }
    Ok(Some(Sha256::digest(token.as_bytes()).into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::signing::tests::file;

    fn section(mut change: Value) -> Result<Checked, SsfError> {
        let mut whole = json!({ "key_file": file("a.pem"), "receivers": [
            { "name": "idp", "token": "0123456789abcdef", "aud": "https://idp.example" }] });
        let receiver = change.as_object_mut().unwrap().remove("receiver").unwrap_or_default();
        for (key, value) in receiver.as_object().into_iter().flatten() {
            whole["receivers"][0][key] = value.clone();
        }
        for (key, value) in change.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value::<SsfConfig>(whole).unwrap().check("https://tocsin.example", |_| None)
    }

    #[test]
    fn says_what_is_wrong_with_it() {
        let whole = section(json!({})).unwrap();
        assert_eq!(whole.signing.issuer, "https://tocsin.example");
        assert_eq!(whole.receivers[0].events, EventType::ALL);
        for issuer in ["http://127.0.0.1:7700", "https://tocsin.example/t1"] {
            assert_eq!(section(json!({ "issuer": issuer })).unwrap().signing.issuer, issuer);
        }
        let twice = json!([
            { "name": "idp", "token": "0123456789abcdef", "aud": "a" },
            { "name": "soc", "token": "0123456789abcdef", "aud": "b" }]);
        let wrong = [
            json!({ "issuer": "http://tocsin.example" }),
            json!({ "issuer": "https://tocsin.example/?a=1" }),
            json!({ "key_file": null }),
            json!({ "receiver": { "name": "a b" } }),
            json!({ "receiver": { "token": "short" } }),
            json!({ "receiver": { "token": null } }),
            json!({ "receiver": { "token": null, "token_env": "IDP" } }),
            json!({ "receiver": { "aud": [] } }),
            json!({ "receiver": { "events": ["session-revived"] } }),
            json!({ "receiver": { "read_token": "short" } }),
            json!({ "receiver": { "read_token": "0123456789abcdef" } }),
            json!({ "receivers": twice }),
        ];
        let said: Vec<String> =
            wrong.map(|change| section(change).err().map_or_else(String::new, |e| e.to_string())).into();
        insta::assert_debug_snapshot!(said, @r#"
        [
            "`issuer` (or `http.public_url`) is \"http://tocsin.example\": SSF wants https, without query and fragment; http is taken of a loopback address alone",
            "`issuer` (or `http.public_url`) is \"https://tocsin.example/?a=1\": SSF wants https, without query and fragment; http is taken of a loopback address alone",
            "`key_file` is missing: an RSA key to sign with. Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out ssf.pem",
            "receivers: `a b`: `name` must be 1 to 64 letters, digits, `-` and `_`",
            "receivers: `idp`: a credential has at least 16 bytes, this one has 5",
            "receivers: `idp`: exactly one of `token`, `token_env` and `token_file` is needed",
            "receivers: `idp`: `token_env`: the environment variable IDP is not set",
            "receivers: `idp`: `aud` names nobody",
            "receivers: `idp`: `events`: `session-revived` is no event; there are: session-revoked, credential-change, assurance-level-change, risk-level-change, session-established, account-disabled, account-enabled",
            "receivers: `idp`: a credential has at least 16 bytes, this one has 5",
            "receivers: `idp`: its credential is another one too",
            "receivers: `soc`: its credential is another one too",
        ]
        "#);
    }
}
