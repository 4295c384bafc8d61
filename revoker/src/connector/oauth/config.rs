//! One entry of `[[oauth]]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Credentials, Oauth, Witness};
use crate::connector::Route;
use crate::connector::http::client;
use crate::connector::secret::{SecretError, Source};
use crate::connector::target::{Target, TargetError};
use crate::connector::tokens::Tokens;
use crate::connector::webhook::{SecretText, is_name};
use crate::effect::ENDINGS;
use crate::part::PartKind;

/// One entry of `[[oauth]]`. Exactly one of `client_secret`, `client_secret_env` and `client_secret_file` says the secret.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The target's name, the same for ever: receipts know the target by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// Whose tokens: agents of this issuer alone are its business.
    pub issuer: String,
    /// Where tokens are revoked (RFC 7009); `https`.
    pub revocation_url: String,
    /// Where tokens are asked about (RFC 7662); `https`. Without it nothing is verified there.
    #[serde(default)]
    pub introspection_url: Option<String>,
    /// Which client asks. The issuer must let it end and see tokens of others.
    pub client_id: String,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub client_secret_env: Option<String>,
    /// The file that holds it.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    pub allow_insecure_target: bool,
}

/// Why an entry is no target.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// The name.
    #[error("`name` must be 1 to 64 letters, digits, `-` and `_`")]
    Name,
    /// An empty word.
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    /// An address.
    #[error("`{key}`: {source}")]
    Target {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        source: TargetError,
    },
    /// The secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The HTTP client does not start.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

impl OauthConfig {
    /// The target it describes. `environment` looks a variable up.
    pub fn build(
        &self,
        tokens: Tokens,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Oauth, OauthError> {
        if !is_name(&self.name) {
            return Err(OauthError::Name);
        }
        for (key, value) in [("issuer", &self.issuer), ("client_id", &self.client_id)] {
            if value.is_empty() {
                return Err(OauthError::Empty(key));
            }
        }
        let target = |key, url: &str| {
            Target::new(url, self.allow_insecure_target).map_err(|source| OauthError::Target { key, source })
        };
        let revocation = target("revocation_url", &self.revocation_url)?;
        let introspection = self.introspection_url.as_deref();
        let introspection = introspection.map(|url| target("introspection_url", url)).transpose()?;
        let secret = Source {
            text: self.client_secret.as_ref(),
            env: self.client_secret_env.as_deref(),
            file: self.client_secret_file.as_ref(),
        };
        let credentials = Credentials { id: self.client_id.clone(), secret: secret.read(environment)? };
        let client = client(&revocation).map_err(OauthError::Client)?;
        let introspection = introspection.map(|target| target.url().clone());
        Ok(Oauth {
            route: self.route(),
            revocation: revocation.url().clone(),
            witness: Witness::new(client, introspection, credentials, tokens),
        })
    }

    /// What it is told: that access ended, of its issuer's agents.
    pub fn route(&self) -> Route {
        Route {
            name: self.name.clone(),
            events: ENDINGS.map(str::to_owned).into(),
            issuer: Some(self.issuer.clone()),
            enforces: true,
            parts: vec![PartKind::Token],
            rank: None,
        }
    }
}
