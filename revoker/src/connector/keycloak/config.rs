//! One entry of `[[keycloak]]`.

use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use super::Keycloak;
use super::admin::Admin;
use crate::connector::Route;
use crate::connector::entry::{EntryError, check, target};
use crate::connector::http::client;
use crate::connector::oauth::{Credentials, Witness};
use crate::connector::secret::Source;
use crate::connector::tokens::Tokens;
use crate::connector::webhook::SecretText;
use crate::effect::{ENDINGS, REINSTATED};
use crate::part::PartKind;

/// How access ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The client's `notBefore` is set and it is disabled; a reinstatement enables it again.
    #[default]
    Disable,
    /// The service account is logged out: mild, and new tokens are given out at once.
    Logout,
}

/// One entry of `[[keycloak]]`: one realm. Exactly one of `client_secret`, `client_secret_env` and `client_secret_file` says the
/// secret.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct KeycloakConfig {
    /// The target's name, the same for ever: receipts know the target by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// Where Keycloak is, without the realm; `https`.
    pub url: String,
    /// The realm.
    pub realm: String,
    /// The issuer of its tokens; without it `url`, `/realms/` and the realm. Agents of this issuer alone are its business.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What is done.
    #[serde(default)]
    pub action: Action,
    /// Whether sessions in the agents' logs are named by Keycloak's `sid`, so that one of them can be ended alone. Tokens of a service
    /// account belong to none.
    #[serde(default)]
    pub ends_sessions: bool,
    /// A client with a service account that holds the roles `manage-clients` and `manage-users` of `realm-management`. To see
    /// whether tokens have ended it must be in their audience.
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

impl KeycloakConfig {
    /// The target it describes. `environment` looks a variable up.
    pub fn build(
        &self,
        tokens: Tokens,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Keycloak, EntryError> {
        check(&self.name, &[("realm", &self.realm), ("client_id", &self.client_id)])?;
        let target = target("url", &self.url, self.allow_insecure_target)?;
        let secret = Source {
            key: "client_secret",
            text: self.client_secret.as_ref(),
            env: self.client_secret_env.as_deref(),
            file: self.client_secret_file.as_ref(),
        };
        let secret = secret.read(environment)?;
        let credentials = || Credentials { id: self.client_id.clone(), secret: secret.clone() };
        let client = client(&target).map_err(EntryError::Client)?;
        let at = |path: &[&str]| {
            let mut url: Url = target.url().clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(path);
            }
            url
        };
        let tokens_at = ["realms", &self.realm, "protocol", "openid-connect", "token"];
        let introspection = at(&[&tokens_at[..], &["introspect"]].concat());
        let admin =
            Admin::new(client.clone(), at(&["admin", "realms", &self.realm]), at(&tokens_at), credentials());
        Ok(Keycloak {
            route: self.route(),
            action: self.action,
            admin,
            witness: Witness::new(client, Some(introspection), credentials(), tokens),
        })
    }

    /// What it is told: that access of its issuer's agents ended, or was given back.
    pub fn route(&self) -> Route {
        let events = ENDINGS.into_iter().chain([REINSTATED]).map(str::to_owned).collect();
        let by_default = || format!("{}/realms/{}", self.url.trim_end_matches('/'), self.realm);
        let issuer = Some(self.issuer.clone().unwrap_or_else(by_default));
        let parts = if self.ends_sessions { vec![PartKind::Session] } else { Vec::new() };
        Route { name: self.name.clone(), events, issuer, enforces: true, parts, rank: None }
    }
}
