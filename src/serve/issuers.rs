//! Who calls with a token of an identity provider: bearer tokens as OIDC has them, checked here with the issuer's published keys.
//!
//! Issuer, audience and algorithms are pinned by the configuration and never taken from the token; whatever it says of its
//! keys but their name is not looked at. Why a token is refused is for the log; the caller is told that it is.

pub(super) mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use detector::Attestation;
use ingest::decode::{Format, SourceContext};
use ingest::source::credentials::{Credential, Role};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use revoker::connector::target::{Target, TargetError};
use serde::Deserialize;
use serde_json::Value;

use self::keys::Keys;

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far an issuer's clock may be from ours, seconds.
pub(super) const LEEWAY_S: u64 = 30;

/// One of `[[issuers]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerConfig {
    /// What its callers are known under in logs and rejects.
    name: String,
    /// The `iss` of its tokens, and where it says where its keys are (its discovery document).
    issuer: String,
    /// Where its keys are (RFC 7517), if not where discovery says.
    #[serde(default)]
    jwks_url: Option<String>,
    /// One of the `aud` of its tokens: ours, so that a token for somebody else is none here.
    audience: String,
    /// What its tokens may be signed with.
    #[serde(default = "rs256")]
    algorithms: Vec<Algorithm>,
    /// Where its tokens name roles: a claim, or a path of claims with dots between.
    #[serde(default = "roles")]
    roles_claim: String,
    /// What each of those names allows.
    #[serde(default)]
    roles: BTreeMap<String, Vec<Role>>,
    /// The most that records of its callers may claim for their identity.
    #[serde(default)]
    attestation_max: Attestation,
    /// The issuer of agents whose record names none, and of callers with the role `agent`; without it of the latter `issuer`.
    #[serde(default)]
    agents_issuer: Option<String>,
    /// The claim that names the agent which calls with the role `agent`.
    #[serde(default = "sub")]
    agent_claim: String,
    /// The `aud` of its agents' tokens, of those that `POST /v1/introspect` answers for.
    #[serde(default)]
    agents_audience: Vec<String>,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    allow_insecure_target: bool,
}

pub(super) fn rs256() -> Vec<Algorithm> {
    vec![Algorithm::RS256]
}

fn roles() -> String {
    "roles".to_owned()
}

fn sub() -> String {
    "sub".to_owned()
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("issuers `{name}`: `{key}` must not be empty")]
    Empty { name: String, key: &'static str },
    #[error(
        "issuers `{name}`: `algorithms`: {algorithm:?} is signed with a shared secret; its holder could make tokens of any caller"
    )]
    Shared { name: String, algorithm: Algorithm },
    #[error("issuers `{name}`: `{key}`: {source}")]
    Target { name: String, key: &'static str, source: TargetError },
    #[error("issuers `{name}`: the HTTP client does not start: {reason}")]
    Client { name: String, reason: String },
}

/// Why a token is refused; for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is of no issuer that is configured")]
    Issuer,
    #[error("it is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("`{issuer}`: {source}")]
    Token { issuer: String, source: jsonwebtoken::errors::Error },
    #[error("`{issuer}`: it names no key that the issuer publishes")]
    NoKey { issuer: String },
    #[error("`{issuer}`: the issuer's keys are not to be had: {reason}")]
    Keys { issuer: String, reason: String },
    #[error("`{issuer}`: none of its roles allows anything here")]
    NoRole { issuer: String },
    #[error("`{issuer}`: it has the role `agent` and no claim that says which agent it is")]
    NoAgent { issuer: String },
}

/// One issuer, with its keys as far as they are known.
struct Issuer {
    config: IssuerConfig,
    validation: Validation,
    agents: Validation,
    keys: Keys,
}

/// All issuers whose tokens are taken.
#[derive(Default)]
pub(super) struct Issuers(Vec<Issuer>);

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

/// What is read of a token before anything of it is known to be true: which issuer to ask.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl Issuers {
    pub(super) fn new(configs: &[IssuerConfig]) -> Result<Self, IssuerError> {
        revoker::signatures::install();
        configs.iter().cloned().map(Issuer::new).collect::<Result<_, _>>().map(Self)
    }

    /// Fetches every issuer's keys, so that who cannot be reached is said at start.
    pub(super) async fn greet(&self) {
        for issuer in &self.0 {
            if let Err(reason) = issuer.keys.refresh().await {
                tracing::error!(
                    issuer = issuer.config.name,
                    reason,
                    "its keys are not to be had: its tokens are refused until they are"
                );
            }
        }
    }

    /// What each issuer's callers' records are worth, by the name they are known under.
    pub(super) fn sources(&self) -> impl Iterator<Item = (String, Arc<SourceContext>)> {
        self.0.iter().map(|issuer| (issuer.config.name.clone(), Arc::new(issuer.config.source())))
    }

    /// Who calls with this token.
    pub(super) async fn check(&self, token: &str) -> Result<(Credential, String), Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        self.of(token)?.check(token).await
    }

    /// What a live token of an agent says.
    pub(super) async fn agent(&self, token: &str) -> Result<serde_json::Map<String, Value>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let issuer = self.of(token)?;
        issuer.verified(token, &issuer.agents).await
    }

    /// Nothing is believed of the token yet: it only says whose keys to check it with.
    fn of(&self, token: &str) -> Result<&Issuer, Refused> {
        let claimed =
            jsonwebtoken::dangerous::insecure_decode::<Claimed>(token).map_err(|_| Refused::Issuer)?;
        let issuer = self.0.iter().find(|issuer| issuer.config.issuer == claimed.claims.iss);
        issuer.ok_or(Refused::Issuer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Issuer {
    fn new(config: IssuerConfig) -> Result<Self, IssuerError> {
        let name = || config.name.clone();
        for (key, value) in
            [("name", &config.name), ("issuer", &config.issuer), ("audience", &config.audience)]
        {
            if value.is_empty() {
                return Err(IssuerError::Empty { name: name(), key });
            }
        }
        if config.algorithms.is_empty() {
            return Err(IssuerError::Empty { name: name(), key: "algorithms" });
        }
        if let Some(algorithm) = config.algorithms.iter().find(|algorithm| is_shared(**algorithm)) {
            return Err(IssuerError::Shared { name: name(), algorithm: *algorithm });
        }
        let target = |key, url: &str| {
            Target::new(url, config.allow_insecure_target).map_err(|source| IssuerError::Target {
                name: name(),
                key,
                source,
            })
        };
        let discovery = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
        let discovery = target("issuer", &discovery)?;
        let jwks = config.jwks_url.as_deref().map(|url| target("jwks_url", url)).transpose()?;
        let keys = Keys::new(&discovery, jwks.as_ref(), &config.issuer)
            .map_err(|reason| IssuerError::Client { name: name(), reason })?;
        let mut validation = Validation::new(config.algorithms[0]);
        validation.algorithms.clone_from(&config.algorithms);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        let mut agents = validation.clone();
        agents.set_audience(&config.agents_audience);
        Ok(Self { config, validation, agents, keys })
    }

    /// The claims of a token whose signature, times and audience hold.
    async fn verified<C: serde::de::DeserializeOwned>(
        &self,
        token: &str,
        validation: &Validation,
    ) -> Result<C, Refused> {
        verified(&self.config.name, &self.keys, token, validation).await
    }

    async fn check(&self, token: &str) -> Result<(Credential, String), Refused> {
        let claims: Claims = self.verified(token, &self.validation).await?;
        let roles = self.config.allowed(&claims.other);
        if roles.is_empty() {
            return Err(Refused::NoRole { issuer: self.config.name.clone() });
        }
        let agent = if roles.contains(&Role::Agent) {
            Some(
                self.config
                    .agent(&claims)
                    .ok_or_else(|| Refused::NoAgent { issuer: self.config.name.clone() })?,
            )
        } else {
            None
        };
        let name = format!("{}/{}", self.config.name, claims.sub);
        let source = Arc::new(self.config.source());
        Ok((Credential { name, roles, source, agent }, self.config.name.clone()))
    }
}

/// Whether whoever can check a signature can make one.
pub(super) fn is_shared(algorithm: Algorithm) -> bool {
    [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512].contains(&algorithm)
}

/// The claims of a token that is signed by one of these keys and as `validation` says; `issuer` is for the log.
pub(super) async fn verified<C: serde::de::DeserializeOwned>(
    issuer: &str,
    keys: &Keys,
    token: &str,
    validation: &Validation,
) -> Result<C, Refused> {
    let issuer = || issuer.to_owned();
    let refused = |source| Refused::Token { issuer: issuer(), source };
    let header = decode_header(token).map_err(refused)?;
    let key = keys.find(header.kid.as_deref()).await;
    let key = key.map_err(|reason| Refused::Keys { issuer: issuer(), reason })?;
    let key = key.ok_or_else(|| Refused::NoKey { issuer: issuer() })?;
    let key = DecodingKey::from_jwk(&key).map_err(refused)?;
    Ok(decode::<C>(token, &key, validation).map_err(refused)?.claims)
}

impl IssuerConfig {
    /// The `iss` of its tokens.
    #[cfg(feature = "mcp")]
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the names under `roles_claim` allow.
    fn allowed(&self, claims: &serde_json::Map<String, Value>) -> Vec<Role> {
        let mut path = self.roles_claim.split('.');
        let first = path.next().and_then(|claim| claims.get(claim));
        let found = path.fold(first, |value, claim| value?.get(claim));
        // A list of names, or one text with spaces between, as `scope` is.
        let names: Vec<&str> = match found {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(names)) => names.split(' ').collect(),
            _ => Vec::new(),
        };
        let mut roles: Vec<Role> =
            names.into_iter().filter_map(|name| self.roles.get(name)).flatten().copied().collect();
        roles.dedup();
        roles
    }

    /// Which agent the claims name: its issuer and its name there.
    fn agent(&self, claims: &Claims) -> Option<(Option<String>, String)> {
        let name = match self.agent_claim.as_str() {
            "sub" => claims.sub.as_str(),
            claim => claims.other.get(claim)?.as_str()?,
        };
        let issuer = self.agents_issuer.as_ref().unwrap_or(&self.issuer);
        (!name.is_empty()).then(|| (Some(issuer.clone()), name.to_owned()))
    }

    fn source(&self) -> SourceContext {
        SourceContext {
            default_issuer: self.agents_issuer.clone(),
            ..SourceContext::new(format!("http/{}", self.name), self.attestation_max, Format::Auto)
        }
    }
}

#[cfg(test)]
mod tests;
