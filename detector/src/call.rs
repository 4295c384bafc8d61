//! An agent call, as every source delivers it and every signal reads it.

use std::borrow::Cow;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::{Ruling, Timestamp};

/// Text that borrows from the log line wherever the line holds it without escapes.
pub type Text<'a> = Cow<'a, str>;

/// The most argument values one call may carry.
pub const ARGS_MAX: usize = 16;

/// What a record in the log says happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A call that was made.
    #[default]
    Call,
    /// A call that is about to be made and waits for an answer; scored before it runs.
    Request,
    /// How an earlier request or call ended; has its own `event_id` and the same `call_id`.
    Outcome,
    /// The agent's task or session is over.
    TaskEnd,
    /// The source is alive up to `ts`; speaks of no agent.
    Heartbeat,
    /// A person ruled on the agent's present evidence ([`Call::ruling`]). A control record that Tocsin writes itself, so that
    /// a replay of the log learns what the live run learned; from any other source it is a reject.
    Feedback,
    /// No record of a log: what the detector says of an agent that has stopped calling. From any source it is a reject.
    Silence,
    /// A person took the agent back to an earlier baseline ([`Call::baseline`]). A control record as [`Kind::Feedback`] is.
    Revert,
    /// A person declared what the agent is meant to do ([`Call::manifest`]). A control record as [`Kind::Feedback`] is.
    Manifest,
}

impl Kind {
    /// Whether the record is an act of an agent that counts as one call. An outcome is the second half of one.
    pub fn is_call(self) -> bool {
        matches!(self, Self::Call | Self::Request)
    }

    /// Whether it is for Tocsin alone to write. Dated by the clock of a person who may rule on calls of years ago.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Feedback | Self::Revert | Self::Manifest)
    }

    /// The name in the native schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Request => "request",
            Self::Outcome => "outcome",
            Self::TaskEnd => "task_end",
            Self::Heartbeat => "heartbeat",
            Self::Feedback => "feedback",
            Self::Revert => "revert",
            Self::Manifest => "manifest",
            Self::Silence => "silence",
        }
    }
}

/// How the identity in a record was proved to whoever logged it, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// A name somebody wrote down.
    #[default]
    None,
    /// Vouched for by where the call came from.
    Network,
    /// A bearer token that the logger verified.
    Token,
    /// A token bound to a key that the caller proved to hold.
    Key,
    /// Attested by the platform the agent runs on.
    Platform,
}

impl Attestation {
    /// The name in the native schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Network => "network",
            Self::Token => "token",
            Self::Key => "key",
            Self::Platform => "platform",
        }
    }
}

/// What an attestation is worth here: the lower of what the record claims and what its source may attest.
///
/// A field in a log can be forged, so a claim alone is never enough; this type can only be made from both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectiveAttestation(Attestation);

impl EffectiveAttestation {
    /// The lower of the record's claim and the ceiling the operator gave its authenticated source.
    pub fn new(claimed: Attestation, ceiling: Attestation) -> Self {
        Self(claimed.min(ceiling))
    }

    /// The level that remains.
    pub fn get(self) -> Attestation {
        self.0
    }

    /// Whether an agent known this well may be revoked without a person: `token` or better.
    pub fn allows_automatic_revocation(self) -> bool {
        self.0 >= Attestation::Token
    }
}

/// The kind of credential a call was made with; for findings on long-lived and hard-coded ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own terms")]
pub enum CredentialKind {
    Federated,
    Oauth,
    ApiKey,
    StaticKey,
    Certificate,
    #[default]
    Unknown,
}

impl CredentialKind {
    /// The name in the native schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Federated => "federated",
            Self::Oauth => "oauth",
            Self::ApiKey => "api_key",
            Self::StaticKey => "static_key",
            Self::Certificate => "certificate",
            Self::Unknown => "unknown",
        }
    }
}

/// Who acted: the logical agent, what ran, and on whose behalf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The logical agent; what is baselined. Empty only in a heartbeat.
    pub agent_id: Text<'a>,
    /// Under which issuer `agent_id` is a name; the record's own or its source's default.
    pub issuer: Option<Text<'a>>,
    /// What ran.
    pub instance_id: Option<Text<'a>>,
    /// In which session.
    pub session_id: Option<Text<'a>>,
    /// Which agent spawned it.
    pub parent_agent_id: Option<Text<'a>>,
    /// On whose behalf.
    pub delegator: Option<Text<'a>>,
    /// `jti` or a hash of the token. Never a token.
    pub token_id: Option<Text<'a>>,
    /// Thumbprint of the key that the token is bound to, as its `cnf` says it (RFC 7800): `jkt` (RFC 9449 §6.1), or `x5t#S256` of
    /// a client certificate (RFC 8705 §3.1).
    pub key_thumbprint: Option<Text<'a>>,
}

/// The credential's age and kind, where the log knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// When the token was issued.
    pub issued_at: Option<Timestamp>,
    /// When the token expires.
    pub expires_at: Option<Timestamp>,
    /// What kind it is.
    pub kind: CredentialKind,
}

/// One record of the log: decoded, checked against the schema, and stamped with what its source is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Call<'a> {
    /// Unique; the same id with the same content is the same record.
    pub event_id: Text<'a>,
    /// What happened.
    pub kind: Kind,
    /// When the call was made, by the logger's clock.
    pub ts: Timestamp,
    /// When the record reached us; never decides a score, only whether `ts` is plausible.
    pub received_at: Timestamp,
    /// Who acted.
    pub identity: Identity<'a>,
    /// API operation, tool or path. Empty only where `kind` is no call.
    pub endpoint: Text<'a>,
    /// HTTP method, or `CALL`.
    pub method: Option<Text<'a>>,
    /// What is called at an endpoint that serves many operations: GraphQL's `operationName`, a JSON-RPC method, MCP's tool.
    pub operation: Option<Text<'a>>,
    /// Joins a request and its outcome.
    pub call_id: Option<Text<'a>>,
    /// Which log the record came from.
    pub source: Option<Text<'a>>,
    /// The credential used.
    pub credential: Credential,
    /// What was acted upon.
    pub resource: Option<Text<'a>>,
    /// Scope of the token.
    pub scope: Option<Text<'a>>,
    /// The caller's user agent.
    pub user_agent: Option<Text<'a>>,
    /// The model that decided on the call.
    pub model: Option<Text<'a>>,
    /// Digest of the exact arguments.
    pub args_digest: Option<Text<'a>>,
    /// The few argument values whose range matters; finite numbers.
    pub args: ArrayVec<(Text<'a>, f64), ARGS_MAX>,
    /// HTTP-like outcome.
    pub status: Option<u16>,
    /// Time the call took, ≥ 0.
    pub latency_ms: Option<f64>,
    /// Bytes sent by the agent.
    pub bytes_in: Option<u64>,
    /// Bytes the agent got.
    pub bytes_out: Option<u64>,
    /// Where the call came from.
    pub source_ip: Option<IpAddr>,
    /// What the record claims of itself.
    pub claimed: Attestation,
    /// What that claim is worth, given its source.
    pub attestation: EffectiveAttestation,
    /// What a person ruled; read of [`Kind::Feedback`] alone.
    pub ruling: Ruling,
    /// The baseline that the agent goes back to, as whoever keeps baselines packs it; read of [`Kind::Revert`] alone.
    pub baseline: Option<Text<'a>>,
    /// The agent's manifest as JSON; read of [`Kind::Manifest`] alone.
    pub manifest: Option<Text<'a>>,
}

impl Call<'_> {
    /// A record with the required fields and nothing else; for tests, simulators and builders.
    pub fn new<'a>(
        event_id: impl Into<Text<'a>>,
        ts: Timestamp,
        agent_id: impl Into<Text<'a>>,
        endpoint: impl Into<Text<'a>>,
    ) -> Call<'a> {
        Call {
            event_id: event_id.into(),
            kind: Kind::Call,
            ts,
            received_at: ts,
            identity: Identity { agent_id: agent_id.into(), ..Identity::default() },
            endpoint: endpoint.into(),
            method: None,
            operation: None,
            call_id: None,
            source: None,
            credential: Credential::default(),
            resource: None,
            scope: None,
            user_agent: None,
            model: None,
            args_digest: None,
            args: ArrayVec::new(),
            status: None,
            latency_ms: None,
            bytes_in: None,
            bytes_out: None,
            source_ip: None,
            claimed: Attestation::None,
            attestation: EffectiveAttestation::default(),
            ruling: Ruling::default(),
            baseline: None,
            manifest: None,
        }
    }
}
