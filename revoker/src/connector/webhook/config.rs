//! One entry of `[[webhooks]]`.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::signature::{Secrets, SecretsError};
use super::{Envelope, Route, Webhook};
use crate::connector::target::{Target, TargetError};
use crate::effect::{EVENT_KINDS, NOTICE};
use crate::part::PartKind;

/// The longest name of a target.
const NAME_CHARS_MAX: usize = 64;

/// A secret as written in a configuration. Not printed and not written out again.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// For the one who uses it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// One entry of `[[webhooks]]`. Exactly one of `secret`, `secret_env` and `secret_file` says the secrets.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The target's name, the same for ever: receipts know the target by it. Letters, digits, `-` and `_`.
    pub name: String,
    /// Where it listens; `https`.
    pub url: String,
    /// The secrets themselves: `whsec_…` and `whsk_…`, several separated by spaces while one is being replaced.
    #[serde(default)]
    pub secret: Option<SecretText>,
    /// The environment variable that holds them.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// The file that holds them.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// What is put around events.
    #[serde(default)]
    pub envelope: Envelope,
    /// The event types it wants; empty means all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    pub allow_insecure_target: bool,
}

/// Why an entry is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The name.
    #[error("`name` must be 1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`")]
    Name,
    /// The address.
    #[error("`url`: {0}")]
    Target(#[from] TargetError),
    /// Which of the three.
    #[error("exactly one of `secret`, `secret_env` and `secret_file` is needed")]
    OneSecret,
    /// The variable.
    #[error("`secret_env`: the environment variable {0} is not set")]
    NotSet(String),
    /// The file.
    #[error("`secret_file`: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The secrets.
    #[error("secret: {0}")]
    Secrets(#[from] SecretsError),
    /// The filter.
    #[error("`events`: `{0}` is no event type; there are: {known}, {NOTICE}", known = EVENT_KINDS.join(", "))]
    Event(String),
    /// The HTTP client does not start.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

/// Whether a target may be called so.
pub(in crate::connector) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits)
}

impl WebhookConfig {
    /// The webhook it describes, of the installation that people reach at `public_url`. `environment` looks a variable up.
    pub fn build(
        &self,
        public_url: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Webhook, WebhookError> {
        if !is_name(&self.name) {
            return Err(WebhookError::Name);
        }
        if let Some(unknown) =
            self.events.iter().find(|event| !EVENT_KINDS.contains(&event.as_str()) && *event != NOTICE)
        {
            return Err(WebhookError::Event(unknown.clone()));
        }
        let target = Target::new(&self.url, self.allow_insecure_target)?;
        let secrets = if self.envelope == Envelope::Chat && self.has_no_secret() {
            Secrets::none()
        } else {
            Secrets::parse(&self.secrets(environment)?)?
        };
        let webhook = Webhook::new(self.route(), target, secrets)?;
        Ok(webhook.with_envelope(self.envelope, public_url))
    }

    /// What it is told.
    pub fn route(&self) -> Route {
        let (name, events) = (self.name.clone(), self.events.clone());
        // People who read a chat end nobody's access.
        Route {
            name,
            events,
            enforces: self.envelope != Envelope::Chat,
            parts: PartKind::ALL.into(),
            ..Route::default()
        }
    }

    /// Whoever has the address of a chat may post there; nothing would look at a signature.
    fn has_no_secret(&self) -> bool {
        self.secret.is_none() && self.secret_env.is_none() && self.secret_file.is_none()
    }

    fn secrets(&self, environment: impl Fn(&str) -> Option<String>) -> Result<String, WebhookError> {
        match (&self.secret, &self.secret_env, &self.secret_file) {
            (Some(secret), None, None) => Ok(secret.0.clone()),
            (None, Some(name), None) => environment(name).ok_or_else(|| WebhookError::NotSet(name.clone())),
            (None, None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|source| WebhookError::File { path: path.clone(), source }),
            _ => Err(WebhookError::OneSecret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "https://tocsin.example";
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn config() -> WebhookConfig {
        WebhookConfig {
            name: "idp".to_owned(),
            url: "https://idp.example/hook".to_owned(),
            secret: Some(SecretText(SECRET.to_owned())),
            ..WebhookConfig::default()
        }
    }

    #[test]
    fn says_what_is_wrong_and_never_the_secret() {
        let none = |_: &str| None;
        assert!(config().build(SOURCE, none).is_ok());
        let wrong = [
            WebhookConfig { name: "a b".to_owned(), ..config() },
            WebhookConfig { url: "http://idp.example".to_owned(), ..config() },
            WebhookConfig { secret: None, ..config() },
            WebhookConfig { secret_env: Some("HOOK".to_owned()), ..config() },
            WebhookConfig { secret: None, secret_env: Some("HOOK".to_owned()), ..config() },
            WebhookConfig { secret: None, secret_file: Some("/nowhere".into()), ..config() },
            WebhookConfig { secret: Some(SecretText("hunter2".to_owned())), ..config() },
            WebhookConfig { events: vec!["agent.revoked".to_owned()], ..config() },
        ];
        let said: Vec<String> = wrong
            .iter()
            .map(|c| c.build(SOURCE, none).err().map_or_else(String::new, |e| e.to_string()))
            .collect();
        insta::assert_debug_snapshot!(said, @r#"
        [
            "`name` must be 1 to 64 letters, digits, `-` and `_`",
            "`url`: `http` is not https; `allow_insecure_target` allows it, for tests",
            "exactly one of `secret`, `secret_env` and `secret_file` is needed",
            "exactly one of `secret`, `secret_env` and `secret_file` is needed",
            "`secret_env`: the environment variable HOOK is not set",
            "`secret_file`: /nowhere: No such file or directory (os error 2)",
            "secret: a secret must read `whsec_` and base64 of 24 to 64 bytes, a signing key `whsk_` and base64 of 32 or 64",
            "`events`: `agent.revoked` is no event type; there are: agent.challenged, agent.challenge.approved, agent.challenge.denied, agent.challenge.expired, agent.access.revoked, agent.access.suspended, agent.reinstated, agent.retired, agent.feedback, agent.still_acting, approval.notice",
        ]
        "#);
        assert!(!format!("{:?}", config()).contains(SECRET));
    }

    #[test]
    fn a_variable_may_hold_two_secrets() {
        let config = WebhookConfig { secret: None, secret_env: Some("HOOK".to_owned()), ..config() };
        assert!(
            config.build(SOURCE, |name| (name == "HOOK").then(|| format!("{SECRET} {SECRET}\n"))).is_ok()
        );
    }

    #[test]
    fn a_chat_alone_may_have_no_secret_and_ends_nobody_s_access() {
        let open = |envelope| WebhookConfig { secret: None, envelope, ..config() };
        for (envelope, fits) in
            [(Envelope::Chat, true), (Envelope::Standard, false), (Envelope::CloudEvents, false)]
        {
            assert_eq!(open(envelope).build(SOURCE, |_| None).is_ok(), fits, "{envelope:?}");
            assert_eq!(open(envelope).route().enforces, !fits, "{envelope:?}");
        }
    }
}
