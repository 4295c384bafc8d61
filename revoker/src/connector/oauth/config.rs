//! One entry of `[[oauth]]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Credentials, Oauth, Witness};
use crate::connector::Route;
use crate::connector::entry::{EntryError, check, target};
use crate::connector::http::client;
use crate::connector::secret::Source;
use crate::connector::tokens::Tokens;
use crate::connector::webhook::SecretText;
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

impl OauthConfig {
    /// The target it describes. `environment` looks a variable up.
    pub fn build(
        &self,
        tokens: Tokens,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Oauth, EntryError> {
        check(&self.name, &[("issuer", &self.issuer), ("client_id", &self.client_id)])?;
        let target = |key, url: &str| target(key, url, self.allow_insecure_target);
        let revocation = target("revocation_url", &self.revocation_url)?;
        let introspection = self.introspection_url.as_deref();
        let introspection = introspection.map(|url| target("introspection_url", url)).transpose()?;
        let secret = Source {
            key: "client_secret",
            text: self.client_secret.as_ref(),
            env: self.client_secret_env.as_deref(),
            file: self.client_secret_file.as_ref(),
        };
        let credentials = Credentials { id: self.client_id.clone(), secret: secret.read(environment)? };
        let client = client(&revocation).map_err(EntryError::Client)?;
        let introspection = introspection.map(|target| target.url().clone());
        Ok(Oauth {
            route: self.route(),
            revocation: revocation.url().clone(),
            witness: Witness::new(client, introspection, credentials, tokens),
        })
    }

    /// What it is told: that access ended, of its issuer's agents.
    pub fn route(&self) -> Route {
        Route::enforcing(&self.name, &self.issuer, &[PartKind::Token])
    }
}
