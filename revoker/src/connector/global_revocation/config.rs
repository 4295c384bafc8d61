//! One entry of `[[global_revocation]]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Authentication, GlobalRevocation, SubjectKey, bearer};
use crate::connector::Route;
use crate::connector::entry::{EntryError, check, target};
use crate::connector::http::client;
use crate::connector::oauth::{Credentials, Witness};
use crate::connector::secret::Source;
use crate::connector::signing::Signing;
use crate::connector::ssf::SubjectFormat;
use crate::connector::tokens::Tokens;
use crate::connector::webhook::SecretText;

/// One entry of `[[global_revocation]]`. Either `signed` or exactly one of `token`, `token_env` and `token_file` says how the
/// server knows us.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GlobalRevocationConfig {
    /// The target's name, the same for ever: receipts know the target by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// The server's `global_token_revocation_endpoint`; `https`.
    pub url: String,
    /// Whose agents it knows.
    pub issuer: String,
    /// Under which name the subject stands.
    #[serde(default)]
    pub subject_key: SubjectKey,
    /// How agents are named.
    #[serde(default)]
    pub subject_format: SubjectFormat,
    /// Whether we show a token of our own, signed with the key of `[ssf]`.
    #[serde(default)]
    pub signed: bool,
    /// The bearer token that we show.
    #[serde(default)]
    pub token: Option<SecretText>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub token_env: Option<String>,
    /// The file that holds it.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Where tokens are asked about (RFC 7662); `https`. Without it nothing is verified there.
    #[serde(default)]
    pub introspection_url: Option<String>,
    /// Which client asks there.
    #[serde(default)]
    pub client_id: Option<String>,
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

impl GlobalRevocationConfig {
    /// The target it describes. `signing` is ours, `environment` looks a variable up.
    pub fn build(
        &self,
        signing: Option<&Signing>,
        tokens: Tokens,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<GlobalRevocation, EntryError> {
        check(&self.name, &[("issuer", &self.issuer)])?;
        let target = target("url", &self.url, self.allow_insecure_target)?;
        Ok(GlobalRevocation {
            route: self.route(),
            url: target.url().clone(),
            key: self.subject_key,
            format: self.subject_format,
            authentication: self.authentication(signing, &environment)?,
            witness: self.witness(tokens, environment)?,
            client: client(&target).map_err(EntryError::Client)?,
        })
    }

    fn authentication(
        &self,
        signing: Option<&Signing>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Authentication, EntryError> {
        let token = Source {
            key: "token",
            text: self.token.as_ref(),
            env: self.token_env.as_deref(),
            file: self.token_file.as_ref(),
        };
        match (self.signed, token.is_nowhere()) {
            (true, true) => Ok(Authentication::Signed(signing.ok_or(EntryError::Unsigned)?.clone())),
            (true, false) => Err(EntryError::Keys("`signed` and `token` are two ways to be known; give one")),
            (false, _) => {
                let value = bearer(&token.read(environment)?);
                value.map(Authentication::Bearer).ok_or(EntryError::Keys("`token` is no bearer token"))
            }
        }
    }

    fn witness(
        &self,
        tokens: Tokens,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Witness>, EntryError> {
        let secret = Source {
            key: "client_secret",
            text: self.client_secret.as_ref(),
            env: self.client_secret_env.as_deref(),
            file: self.client_secret_file.as_ref(),
        };
        let (url, id) = match (&self.introspection_url, &self.client_id) {
            (Some(url), Some(id)) => (url, id),
            (None, None) if secret.is_nowhere() => return Ok(None),
            _ => {
                let all =
                    "`introspection_url`, `client_id` and `client_secret` are there together or not at all";
                return Err(EntryError::Keys(all));
            }
        };
        let target = target("introspection_url", url, self.allow_insecure_target)?;
        let credentials = Credentials { id: id.clone(), secret: secret.read(environment)? };
        let client = client(&target).map_err(EntryError::Client)?;
        Ok(Some(Witness::new(client, Some(target.url().clone()), credentials, tokens)))
    }

    /// What it is told: that access ended, of its issuer's agents.
    pub fn route(&self) -> Route {
        Route::enforcing(&self.name, &self.issuer, &[])
    }
}
