//! Who may call the HTTP interfaces, and what a call of theirs is worth.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use detector::Attestation;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::decode::{Format, SourceContext};

/// The shortest token taken, in bytes. `openssl rand -hex 32` makes a good one.
const TOKEN_BYTES_MIN: usize = 16;

/// What a credential is for. What each may do stands in one table, of the executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends calls.
    Ingest,
    /// Is one agent, which waits for the answer to a question about itself.
    Agent,
    /// Stands before agents and asks about their requests.
    #[serde(alias = "gate")]
    Gateway,
    /// Sees standings, alerts and stories.
    Analyst,
    /// Changes them, too.
    Operator,
    /// Changes whom others hear from, too.
    Admin,
}

impl Role {
    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Agent => "agent",
            Self::Gateway => "gateway",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A secret in configuration. Shows nothing of itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

/// One of `[[http.credentials]]`: exactly one of `token`, `token_env`, `token_file`, `token_sha256` and `certificate`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// What the caller is called in logs, rejects and findings.
    pub name: String,
    /// The bearer token, at least 16 bytes.
    #[serde(default)]
    pub token: Option<Token>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub token_env: Option<String>,
    /// The file that holds it; white space around it is ignored.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Its SHA-256 in 64 hexadecimal digits, so that who reads the configuration cannot call. Whether the token can be guessed
    /// is not to be seen from it, and not checked.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// A name in the certificate that it shows: a URI (a SPIFFE id) or a DNS name.
    #[serde(default)]
    pub certificate: Option<String>,
    /// What it allows.
    pub roles: Vec<Role>,
    /// The most its records may claim for their identity.
    #[serde(default)]
    pub attestation_max: Attestation,
    /// The issuer of agents whose record names none, and of `agent`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Which agent it is; with the role `agent`.
    #[serde(default)]
    pub agent: Option<String>,
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not exactly one place for the token.
    #[error(
        "http.credentials `{name}`: give exactly one of token, token_env, token_file, token_sha256 and certificate"
    )]
    Place {
        /// Whose.
        name: String,
    },
    /// The variable is not set.
    #[error("http.credentials `{name}`: the environment has no {variable}")]
    Env {
        /// Whose.
        name: String,
        /// Which.
        variable: String,
    },
    /// The file cannot be read.
    #[error("http.credentials `{name}`: {path}: {source}")]
    File {
        /// Whose.
        name: String,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token can be guessed.
    #[error("http.credentials `{name}`: a token has at least {TOKEN_BYTES_MIN} bytes, this one has {bytes}")]
    Short {
        /// Whose.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// The hash is none of a token.
    #[error("http.credentials `{name}`: token_sha256 {why}")]
    Hash {
        /// Whose.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The role `agent` is of one agent, and of no other use.
    #[error("http.credentials `{name}`: the role `agent` and the key `agent`, which says whose, go together")]
    Whose {
        /// Whose.
        name: String,
    },
    /// Two have the same name or the same token.
    #[error("http.credentials `{name}`: its {what} is another one's too")]
    Twice {
        /// Whose.
        name: String,
        /// `name`, `token` or `certificate`.
        what: &'static str,
    },
}

/// Somebody who may call.
#[derive(Debug)]
pub struct Credential {
    /// The configured name.
    pub name: String,
    /// What it allows.
    pub roles: Vec<Role>,
    /// What its records are worth. Shared, so that the log describes the source once.
    pub source: Arc<SourceContext>,
    /// Which agent it is, if it is one: its issuer and its name there.
    pub agent: Option<(Option<String>, String)>,
}

/// What a caller is known by.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    /// SHA-256 of its token.
    Token([u8; 32]),
    /// A name in its certificate.
    Certificate(String),
}

/// All who may call.
#[derive(Debug)]
pub struct Credentials(Vec<(Mark, Arc<Credential>)>);

impl Credentials {
    /// Reads the tokens from where the configuration says. `env` looks a variable up.
    pub fn resolve(
        configs: &[CredentialConfig],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CredentialsError> {
        let mut known: Vec<(Mark, Arc<Credential>)> = Vec::with_capacity(configs.len());
        for config in configs {
            let name = config.name.clone();
            let mark = mark(config, &env)?;
            if config.agent.is_some() != config.roles.contains(&Role::Agent) {
                return Err(CredentialsError::Whose { name });
            }
            if known.iter().any(|(_, c)| c.name == name) {
                return Err(CredentialsError::Twice { name, what: "name" });
            }
            if known.iter().any(|(other, _)| *other == mark) {
                let what = if config.certificate.is_some() { "certificate" } else { "token" };
                return Err(CredentialsError::Twice { name, what });
            }
            let source = SourceContext {
                default_issuer: config.issuer.clone(),
                ..SourceContext::new(format!("http/{name}"), config.attestation_max, Format::Auto)
            };
            let (roles, source) = (config.roles.clone(), Arc::new(source));
            let agent = config.agent.clone().map(|agent| (config.issuer.clone(), agent));
            known.push((mark, Arc::new(Credential { name, roles, source, agent })));
        }
        Ok(Self(known))
    }

    /// Who sends these headers.
    pub fn known(&self, headers: &HeaderMap) -> Result<Arc<Credential>, Denied> {
        let token = bearer(headers).ok_or(Denied::NoToken)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        // All are compared, each in constant time, so the time taken says nothing of which came near.
        let mut found = None;
        for (known, credential) in &self.0 {
            if let Mark::Token(known) = known
                && bool::from(known.ct_eq(&hash))
            {
                found = Some(credential);
            }
        }
        found.map(Arc::clone).ok_or(Denied::UnknownToken)
    }

    /// Who shows a certificate with one of these names; the first that is configured.
    pub fn certified(&self, names: &[String]) -> Option<Arc<Credential>> {
        let known = |mark: &Mark| matches!(mark, Mark::Certificate(name) if names.contains(name));
        self.0.iter().find(|(mark, _)| known(mark)).map(|(_, credential)| Arc::clone(credential))
    }

    /// Somebody who is known by a certificate, if anybody is.
    pub fn by_certificate(&self) -> Option<&Credential> {
        self.0
            .iter()
            .find(|(mark, _)| matches!(mark, Mark::Certificate(_)))
            .map(|(_, credential)| &**credential)
    }

    /// Everybody known.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.0.iter().map(|(_, credential)| credential)
    }
}

fn mark(config: &CredentialConfig, env: impl Fn(&str) -> Option<String>) -> Result<Mark, CredentialsError> {
    let name = || config.name.clone();
    let CredentialConfig { token: text, token_env, token_file, token_sha256, certificate, .. } = config;
    let in_clear = text.is_some() || token_env.is_some() || token_file.is_some();
    match (token_sha256, certificate) {
        (None, None) => {}
        (Some(hash), None) if !in_clear => {
            return hashed(hash).map(Mark::Token).map_err(|why| CredentialsError::Hash { name: name(), why });
        }
        (None, Some(certificate)) if !in_clear && !certificate.is_empty() => {
            return Ok(Mark::Certificate(certificate.clone()));
        }
        _ => return Err(CredentialsError::Place { name: name() }),
    }
    let token = token(config, env)?;
    if token.len() < TOKEN_BYTES_MIN {
        return Err(CredentialsError::Short { name: name(), bytes: token.len() });
    }
    Ok(Mark::Token(Sha256::digest(token.as_bytes()).into()))
}

/// The hash that these digits say; in words why it is none of a token.
fn hashed(digits: &str) -> Result<[u8; 32], &'static str> {
    let half = |at| u128::from_str_radix(digits.get(at..at + 32)?, 16).ok().map(u128::to_be_bytes);
    let is_hash = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let halves = is_hash.then(|| half(0).zip(half(32))).flatten();
    let (first, second) = halves.ok_or("is not 64 hexadecimal digits")?;
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&first);
    hash[16..].copy_from_slice(&second);
    // What a shell gives for a variable that is not set.
    if hash == *Sha256::digest(b"") {
        return Err("is the hash of an empty token");
    }
    Ok(hash)
}

fn token(
    config: &CredentialConfig,
    env: impl Fn(&str) -> Option<String>,
) -> Result<String, CredentialsError> {
    let name = || config.name.clone();
    match (&config.token, &config.token_env, &config.token_file) {
        (Some(token), None, None) => Ok(token.0.clone()),
        (None, Some(variable), None) => {
            env(variable).ok_or_else(|| CredentialsError::Env { name: name(), variable: variable.clone() })
        }
        (None, None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(CredentialsError::File { name: name(), path: path.clone(), source }),
        },
        _ => Err(CredentialsError::Place { name: name() }),
    }
}

impl Credential {
    /// Whether it may act in that role.
    pub fn may(&self, role: Role) -> Result<(), Denied> {
        let denied = || Denied::NotAllowed { name: self.name.clone(), role };
        self.roles.contains(&role).then_some(()).ok_or_else(denied)
    }
}

/// The bearer token that a request carries (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Why a caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request carries no bearer token.
    #[error("send `Authorization: Bearer <token>`")]
    NoToken,
    /// Nobody has this token.
    #[error("nobody has this token")]
    UnknownToken,
    /// The caller is known, and may not do this.
    #[error("`{name}` has not the role `{}`", role.as_str())]
    NotAllowed {
        /// Who it is.
        name: String,
        /// What it would take.
        role: Role,
    },
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, kind, challenge) = match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "unauthorized", r#"Bearer realm="tocsin""#),
            Self::UnknownToken => {
                (StatusCode::UNAUTHORIZED, "unauthorized", r#"Bearer realm="tocsin", error="invalid_token""#)
            }
            Self::NotAllowed { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", r#"Bearer realm="tocsin", error="insufficient_scope""#)
            }
        };
        Problem::new(status, kind, "This caller may not do this")
            .detail(&self)
            .header(header::WWW_AUTHENTICATE, &challenge)
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn config(name: &str, token: &str, roles: &[Role]) -> CredentialConfig {
        CredentialConfig {
            name: name.to_owned(),
            token: Some(Token(token.to_owned())),
            token_env: None,
            token_file: None,
            token_sha256: None,
            certificate: None,
            roles: roles.to_vec(),
            attestation_max: Attestation::Token,
            issuer: None,
            agent: None,
        }
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_caller_is_known_by_its_token_and_does_what_its_roles_allow() {
        let other = TOKEN.replace('0', "f");
        let known = [config("gateway", TOKEN, &[Role::Ingest]), config("soc", &other, &[Role::Operator])];
        let known = Credentials::resolve(&known, |_| None).unwrap();
        let check = |value: &str, role| {
            let credential = known.known(&headers(value))?;
            credential.may(role).map(|()| credential.name.clone())
        };
        assert_eq!(check(&format!("Bearer {TOKEN}"), Role::Ingest).unwrap(), "gateway");
        assert_eq!(check(&format!("bearer  {other} "), Role::Operator).unwrap(), "soc");
        let not_allowed = Denied::NotAllowed { name: "gateway".to_owned(), role: Role::Gateway };
        assert_eq!(check(&format!("Bearer {TOKEN}"), Role::Gateway), Err(not_allowed));
        assert_eq!(check(&format!("Bearer {TOKEN}0"), Role::Ingest), Err(Denied::UnknownToken));
        for nothing in ["", "Bearer", "Basic abc", TOKEN] {
            assert_eq!(check(nothing, Role::Ingest), Err(Denied::NoToken), "{nothing}");
        }
        assert_eq!(known.known(&HeaderMap::new()).unwrap_err(), Denied::NoToken);
    }

    #[test]
    fn a_configuration_that_lets_the_wrong_ones_in_is_refused() {
        let refused = |configs: &[CredentialConfig]| {
            Credentials::resolve(configs, |_| None).map(|_| ()).unwrap_err().to_string()
        };
        insta::assert_snapshot!(refused(&[config("a", "short", &[])]), @"http.credentials `a`: a token has at least 16 bytes, this one has 5");
        insta::assert_snapshot!(refused(&[config("a", TOKEN, &[]), config("b", TOKEN, &[])]), @"http.credentials `b`: its token is another one's too");
        insta::assert_snapshot!(refused(&[CredentialConfig { token: None, ..config("a", "", &[]) }]), @"http.credentials `a`: give exactly one of token, token_env, token_file, token_sha256 and certificate");
        insta::assert_snapshot!(refused(&[config("a", TOKEN, &[Role::Agent])]), @"http.credentials `a`: the role `agent` and the key `agent`, which says whose, go together");
        let spiffe = || Some("spiffe://corp/mailer".to_owned());
        let certified =
            |name| CredentialConfig { token: None, certificate: spiffe(), ..config(name, "", &[]) };
        insta::assert_snapshot!(refused(&[certified("a"), certified("b")]), @"http.credentials `b`: its certificate is another one's too");
        let both = CredentialConfig { certificate: spiffe(), ..config("a", TOKEN, &[]) };
        insta::assert_snapshot!(refused(&[both]), @"http.credentials `a`: give exactly one of token, token_env, token_file, token_sha256 and certificate");
        let env = CredentialConfig { token: None, token_env: Some("T".to_owned()), ..config("a", "", &[]) };
        insta::assert_snapshot!(refused(std::slice::from_ref(&env)), @"http.credentials `a`: the environment has no T");
        assert!(Credentials::resolve(&[env], |_| Some(TOKEN.to_owned())).is_ok());
    }

    /// `printf %s 0123456789abcdef0123456789abcdef | sha256sum`
    const HASH: &str = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";

    fn by_hash(hash: &str) -> CredentialConfig {
        CredentialConfig { token: None, token_sha256: Some(hash.to_owned()), ..config("a", "", &[]) }
    }

    #[test]
    fn a_caller_is_known_by_its_token_where_the_configuration_has_its_hash_alone() {
        for hash in [HASH.to_owned(), HASH.to_uppercase()] {
            let known = Credentials::resolve(&[by_hash(&hash)], |_| None).unwrap();
            let who = |token: &str| known.known(&headers(&format!("Bearer {token}"))).map(|c| c.name.clone());
            assert_eq!(who(TOKEN), Ok("a".to_owned()));
            assert_eq!(who(&hash), Err(Denied::UnknownToken), "who reads the configuration cannot call");
        }
    }

    #[test]
    fn a_hash_that_is_none_of_a_token_is_refused() {
        let refused = |by: CredentialConfig| {
            Credentials::resolve(&[config("b", TOKEN, &[]), by], |_| None)
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let clear = CredentialConfig { token: Some(Token(TOKEN.to_owned())), ..by_hash(HASH) };
        let certified = CredentialConfig { certificate: Some("a".to_owned()), ..by_hash(HASH) };
        let all = [
            by_hash(TOKEN),
            by_hash(&HASH.replace('f', "+")),
            by_hash(&format!("{HASH}  -")),
            by_hash(empty),
            clear,
            certified,
            by_hash(HASH),
        ];
        insta::assert_snapshot!(all.map(refused).join("\n"), @r"
        http.credentials `a`: token_sha256 is not 64 hexadecimal digits
        http.credentials `a`: token_sha256 is not 64 hexadecimal digits
        http.credentials `a`: token_sha256 is not 64 hexadecimal digits
        http.credentials `a`: token_sha256 is the hash of an empty token
        http.credentials `a`: give exactly one of token, token_env, token_file, token_sha256 and certificate
        http.credentials `a`: give exactly one of token, token_env, token_file, token_sha256 and certificate
        http.credentials `a`: its token is another one's too
        ");
    }
}
