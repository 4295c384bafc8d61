//! The section `[ciba]`.

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, Validation};
use revoker::connector::http::client;
use revoker::connector::secret::{SecretError, Source};
use revoker::connector::target::{Target, TargetError};
use revoker::connector::webhook::SecretText;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::Ciba;
use crate::serve::issuers::keys::Keys;
use crate::serve::issuers::{LEEWAY_S, is_shared, rs256};

/// How we hear that there is an answer (section 5). Pushed tokens are taken from nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// We ask.
    #[default]
    Poll,
    /// The provider calls `/v1/ciba/ping`, and then we ask.
    Ping,
}

/// The section `[ciba]`: one provider whose people answer in its own app. Exactly one of `client_secret`, `client_secret_env` and
/// `client_secret_file` says the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CibaConfig {
    /// The provider: `iss` of its tokens, and where its discovery document is.
    pub(super) issuer: String,
    /// What we are to it: a client with the grant `urn:openid:params:grant-type:ciba` and `client_secret_post`.
    pub(super) client_id: String,
    #[serde(default)]
    client_secret: Option<SecretText>,
    #[serde(default)]
    client_secret_env: Option<String>,
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) mode: Mode,
    /// How people are to prove who they are: asked for, and a yes whose token says another `acr` is none.
    #[serde(default)]
    pub(super) acr_values: Vec<String>,
    /// What its tokens may be signed with.
    #[serde(default = "rs256")]
    algorithms: Vec<Algorithm>,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    pub(super) allow_insecure_target: bool,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CibaError {
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error("`algorithms`: {0:?} is signed with a shared secret")]
    Shared(Algorithm),
    #[error("`issuer`: {0}")]
    Target(#[from] TargetError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

impl CibaConfig {
    /// The client it describes. `environment` looks a variable up.
    pub(in crate::serve) fn build(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Ciba, CibaError> {
        let secret = Source {
            key: "client_secret",
            text: self.client_secret.as_ref(),
            env: self.client_secret_env.as_deref(),
            file: self.client_secret_file.as_ref(),
        };
        let secret = secret.read(environment)?;
        if self.client_id.is_empty() {
            return Err(CibaError::Empty("client_id"));
        }
        let Some(first) = self.algorithms.first() else { return Err(CibaError::Empty("algorithms")) };
        if let Some(shared) = self.algorithms.iter().find(|algorithm| is_shared(**algorithm)) {
            return Err(CibaError::Shared(*shared));
        }
        revoker::signatures::install();
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery = Target::new(&discovery, self.allow_insecure_target)?;
        let mut validation = Validation::new(*first);
        validation.algorithms.clone_from(&self.algorithms);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.client_id]);
        Ok(Ciba {
            secret,
            client: client(&discovery).map_err(CibaError::Client)?,
            keys: Keys::new(&discovery, None, &self.issuer).map_err(CibaError::Client)?,
            discovery: discovery.url().clone(),
            endpoints: OnceCell::new(),
            validation,
            config: self.clone(),
        })
    }
}
