//! What is known of a record from where it came.

use detector::{Attestation, Call, EffectiveAttestation, Kind, Text, Timestamp};

use super::{Format, Invalid};

/// A source, as the operator configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceContext {
    /// The operator's name for it; stands in rejects and findings.
    pub name: String,
    /// The most that a record of this source may claim for its identity.
    pub ceiling: Attestation,
    /// The issuer of agents whose record names none.
    pub default_issuer: Option<String>,
    /// What the records are written in.
    pub format: Format,
    /// Whether it is Tocsin's own, which alone may write control records ([`Kind::is_control`]).
    pub control: bool,
}

impl SourceContext {
    /// A source of other people's records, without a default issuer.
    pub fn new(name: impl Into<String>, ceiling: Attestation, format: Format) -> Self {
        Self { name: name.into(), ceiling, default_issuer: None, format, control: false }
    }

    /// The source of Tocsin's own control records.
    pub fn control(name: impl Into<String>) -> Self {
        Self { control: true, ..Self::new(name, Attestation::Platform, Format::Native) }
    }

    /// The same source with `issuer` for agents whose record names none.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        Self { default_issuer: Some(issuer.into()), ..self }
    }

    /// Whether a record of this source may be of `kind`.
    pub(super) fn allows(&self, kind: Kind) -> Result<(), Invalid> {
        match kind {
            Kind::Feedback if !self.control => {
                Err(Invalid::field("kind", "feedback is for Tocsin itself to write"))
            }
            Kind::Revert if !self.control => {
                Err(Invalid::field("kind", "revert is for Tocsin itself to write"))
            }
            Kind::Manifest if !self.control => {
                Err(Invalid::field("kind", "manifest is for Tocsin itself to write"))
            }
            _ => Ok(()),
        }
    }

    /// Stamps a decoded record with what this source is worth.
    pub(super) fn stamp<'a>(&'a self, call: &mut Call<'a>, receipt: Receipt) {
        call.received_at = receipt.of(call.ts);
        call.attestation = EffectiveAttestation::new(call.claimed, self.ceiling);
        if call.identity.issuer.is_none() {
            call.identity.issuer = self.default_issuer.as_deref().map(Text::Borrowed);
        }
    }
}

/// When a record reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// At this instant, by our clock: live sources, and the log that keeps what they said.
    At(Timestamp),
    /// Nobody knows any more: a recorded file, whose every `ts` is taken as its receipt.
    ///
    /// No clock of ours could tell a false `ts` in an old file (it is all past), and one that could would make a
    /// replay depend on the day it runs. So in a replay nothing is in the future.
    AsRecorded,
}

impl Receipt {
    fn of(self, ts: Timestamp) -> Timestamp {
        match self {
            Self::At(received_at) => received_at,
            Self::AsRecorded => ts,
        }
    }
}
