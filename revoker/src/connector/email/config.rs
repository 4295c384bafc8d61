//! The section `[email]`.

use std::path::PathBuf;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::{Mail, NAME, TIMEOUT};
use crate::connector::Route;
use crate::connector::secret::{SecretError, Source};
use crate::connector::webhook::SecretText;
use crate::effect::{ALERT, NOTICE};

/// How the connection is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// By STARTTLS (RFC 3207), without which nothing is sent.
    #[default]
    Starttls,
    /// By TLS from the first byte (RFC 8314, section 3.3).
    Implicit,
    /// Not at all. For tests: `allow_insecure_target` must say so too.
    None,
}

/// The section `[email]`. A mail server may well be inside, so its address is not looked at: its certificate says who it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The mail server's name, as its certificate has it.
    pub server: String,
    /// Its port; 587, with `tls = "implicit"` 465, without TLS 25.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is kept private.
    #[serde(default)]
    pub tls: Security,
    /// Authorities (PEM) that its certificate may be of, in place of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Who writes, where the server wants to know. With it exactly one of the next three says the password.
    #[serde(default)]
    pub user: Option<String>,
    /// The password.
    #[serde(default)]
    pub password: Option<SecretText>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The file that holds it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The sender.
    pub from: Mailbox,
    /// Who is written to where nobody is named to answer, or who is named has no address on record.
    pub to: Vec<Mailbox>,
    /// Allows `tls = "none"`. For tests.
    #[serde(default)]
    pub allow_insecure_target: bool,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// An empty word or list.
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    /// No TLS.
    #[error(
        "`tls`: without TLS whoever is on the way reads all letters; `allow_insecure_target` allows it, for tests"
    )]
    Plain,
    /// A password nobody is named for.
    #[error("a password without `user`")]
    NoUser,
    /// The password.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The authorities.
    #[error("`ca_file`: {path}: {reason}")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS does not start.
    #[error("`server`: {0}")]
    Tls(lettre::transport::smtp::Error),
}

impl EmailConfig {
    /// The way to the server it describes. `environment` looks a variable up.
    pub fn build(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Mail, EmailError> {
        if self.server.is_empty() {
            return Err(EmailError::Empty("server"));
        }
        if self.to.is_empty() {
            return Err(EmailError::Empty("to"));
        }
        let (tls, port) = match self.tls {
            Security::Starttls => (Tls::Required(self.parameters()?), 587),
            Security::Implicit => (Tls::Wrapper(self.parameters()?), 465),
            Security::None if self.allow_insecure_target => (Tls::None, 25),
            Security::None => return Err(EmailError::Plain),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.server)
            .port(self.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(TIMEOUT / 2));
        let password = Source {
            key: "password",
            text: self.password.as_ref(),
            env: self.password_env.as_deref(),
            file: self.password_file.as_ref(),
        };
        let transport = match &self.user {
            Some(user) => builder.credentials(Credentials::new(user.clone(), password.read(environment)?)),
            None if password.is_nowhere() => builder,
            None => return Err(EmailError::NoUser),
        };
        Ok(Mail { transport: transport.build(), from: self.from.clone(), to: self.to.clone() })
    }

    /// What it is told: of questions and alerts, and nothing else.
    pub fn route() -> Route {
        let events = [NOTICE, ALERT].map(str::to_owned).into();
        Route { name: NAME.to_owned(), events, ..Route::default() }
    }

    fn parameters(&self) -> Result<TlsParameters, EmailError> {
        let builder = TlsParameters::builder(self.server.clone());
        let builder = match &self.ca_file {
            None => builder.certificate_store(CertificateStore::WebpkiRoots),
            Some(path) => {
                let wrong = |reason: String| EmailError::Authorities { path: path.clone(), reason };
                let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
                let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
                if all.map_err(|e| wrong(e.to_string()))?.is_empty() {
                    return Err(wrong("no certificate is in it".to_owned()));
                }
                let authorities = Certificate::from_pem(&pem).map_err(|e| wrong(e.to_string()))?;
                builder.certificate_store(CertificateStore::None).add_root_certificate(authorities)
            }
        };
        builder.build().map_err(EmailError::Tls)
    }
}
