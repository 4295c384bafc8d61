//! One entry of `[[backchannel_logout]]`.

use serde::Deserialize;

use super::Logout;
use crate::connector::Route;
use crate::connector::entry::{EntryError, check, target};
use crate::connector::http::client;
use crate::connector::signing::Signing;
use crate::part::PartKind;

/// One entry of `[[backchannel_logout]]`: one relying party. It trusts the issuer of `[ssf]` and finds its keys at
/// `/ssf/jwks.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LogoutConfig {
    /// The target's name, the same for ever: receipts know the target by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// Its back-channel logout URI; `https`.
    pub url: String,
    /// What the relying party calls itself: `aud` of its tokens.
    pub client_id: String,
    /// Whose agents it knows; each by its `agent_id`, which is `sub`.
    pub issuer: String,
    /// Whether agents' sessions are those that it knows as `sid`: then one of them is ended alone.
    #[serde(default)]
    pub ends_sessions: bool,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    pub allow_insecure_target: bool,
}

impl LogoutConfig {
    /// The target it describes, whose tokens are signed by `signing`.
    pub fn build(&self, signing: Option<&Signing>) -> Result<Logout, EntryError> {
        check(&self.name, &[("client_id", &self.client_id), ("issuer", &self.issuer)])?;
        let target = target("url", &self.url, self.allow_insecure_target)?;
        Ok(Logout {
            route: self.route(),
            url: target.url().clone(),
            client_id: self.client_id.clone(),
            signing: signing.ok_or(EntryError::Unsigned)?.clone(),
            client: client(&target).map_err(EntryError::Client)?,
        })
    }

    /// What it is told: that access ended, of its issuer's agents.
    pub fn route(&self) -> Route {
        let parts: &[PartKind] = if self.ends_sessions { &[PartKind::Session] } else { &[] };
        Route::enforcing(&self.name, &self.issuer, parts)
    }
}
