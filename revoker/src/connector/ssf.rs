//! A transmitter of the `OpenID` Shared Signals Framework 1.0, to the CAEP Interoperability Profile 1.0.
//!
//! Receivers make streams at run time; each stream is a target of the outbox like any other.

mod config;
mod event;
mod manage;
mod poll;
mod push;
mod set;
mod stream;
mod subject;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use self::config::Checked;
pub use self::config::{Audience, DefaultSubjects, ReceiverConfig, SsfConfig, SsfError};
pub(crate) use self::config::{Receiver, Scope};
pub use self::manage::silence;
pub(crate) use self::poll::{Ask, Polled};
pub(crate) use self::push::Push;
use self::set::Reader;
pub(crate) use self::stream::{Change, Sent, purpose as authorization_purpose};
pub use self::subject::SubjectFormat;
pub(crate) use self::subject::names;
pub(super) use self::subject::sub_id;
use super::signing::Signing;
use crate::revoker::Revoker;
use crate::store::StoreError;
use crate::store::ssf::{self, Stream};

/// Delivery by push (RFC 8935) and by poll (RFC 8936).
const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

/// The transmitter.
pub struct Transmitter {
    signing: Signing,
    /// Where its endpoints are.
    base: String,
    interval: Duration,
    default_subjects: DefaultSubjects,
    inactivity: Option<Duration>,
    receivers: Vec<Receiver>,
    revoker: Revoker,
    /// Moves when a stream is made or deleted.
    streams: watch::Sender<u64>,
}

/// Why a receiver does not get what it asks for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It cannot be done as asked.
    Bad(String),
    /// It may not.
    Forbidden(String),
    /// There is none of its own.
    NotFound,
    /// There are too many already.
    Conflict(String),
    /// Not before this has passed.
    TooSoon(Duration),
    /// The record.
    Store(StoreError),
}

impl Refusal {
    fn bad(what: impl Into<String>) -> Self {
        Self::Bad(what.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl Transmitter {
    /// As configured. `public_url` is where receivers reach this server; `environment` looks a variable up.
    pub fn new(
        config: &SsfConfig,
        public_url: &str,
        revoker: Revoker,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SsfError> {
        let base = public_url.trim_end_matches('/').to_owned();
        let Checked { signing, interval, inactivity, receivers } = config.check(&base, environment)?;
        let (default_subjects, streams) = (config.default_subjects, watch::Sender::new(0));
        Ok(Self { signing, base, interval, default_subjects, inactivity, receivers, revoker, streams })
    }

    /// Where the metadata is: what the issuer's path is follows the well-known one.
    pub(crate) fn metadata_path(&self) -> String {
        let path =
            reqwest::Url::parse(&self.signing.issuer).map(|url| url.path().trim_end_matches('/').to_owned());
        format!("/.well-known/ssf-configuration{}", path.unwrap_or_default())
    }

    /// The transmitter's metadata (SSF 1.0 section 7.1).
    pub(crate) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}/ssf/{path}", self.base);
        json!({
            "spec_version": "1_0",
            "issuer": self.signing.issuer,
            "jwks_uri": at("jwks.json"),
            "delivery_methods_supported": [PUSH, POLL],
            "configuration_endpoint": at("streams"),
            "status_endpoint": at("status"),
            "add_subject_endpoint": at("subjects/add"),
            "remove_subject_endpoint": at("subjects/remove"),
            "verification_endpoint": at("verify"),
            "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
            "default_subjects": self.default_subjects,
        })
    }

    /// Its public keys.
    pub(crate) fn jwks(&self) -> Value {
        self.signing.signer.jwks()
    }

    /// Whose credential this is, and what it may do.
    pub(crate) fn receiver(&self, token: &[u8]) -> Option<(&Receiver, Scope)> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        // All are compared, each in constant time, so the time taken says nothing of which came near.
        let known =
            self.receivers.iter().flat_map(|of| of.tokens().map(move |(token, scope)| (of, token, scope)));
        known.fold(
            None,
            |found, (of, token, scope)| {
                if bool::from(token.ct_eq(&hash)) { Some((of, scope)) } else { found }
            },
        )
    }

    /// The names of all receivers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(Receiver::name)
    }

    fn named(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }

    /// How a stream's receiver reads messages; none where it is no longer configured.
    fn reader<'a>(&'a self, stream: &'a Stream) -> Option<Reader<'a>> {
        let receiver = self.named(&stream.receiver)?;
        Some(Reader {
            issuer: &self.signing.issuer,
            stream_id: &stream.id,
            aud: &receiver.aud,
            format: receiver.format,
            credential: &receiver.credential,
            delivered: stream::delivered(receiver, &stream.wanted),
        })
    }

    /// Moves when a stream is made or deleted.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.streams.subscribe()
    }

    fn told(&self) {
        self.streams.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// A way to every stream there is of a receiver that is configured.
    pub(crate) async fn connectors(self: &Arc<Self>) -> Result<Vec<Push>, StoreError> {
        let streams = self.revoker.read_outbox(ssf::all).await?;
        let known = streams.iter().filter(|stream| self.named(&stream.receiver).is_some());
        Ok(known.map(|stream| Push::new(Arc::clone(self), stream)).collect())
    }
}
