//! Names: whom a standing speaks of, and what ties one story together.

use std::fmt;
use std::str::FromStr;

use detector::VerdictId;
use serde::{Deserialize, Serialize};

/// A logical agent: the subject of every standing and every revocation.
///
/// Never a token. A log-based monitor holds none, and a fresh token of the same subject must not slip through.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentKey {
    /// Under which issuer `agent_id` is a name; none where neither the record nor its source says.
    pub issuer: Option<String>,
    /// The logical agent's name.
    pub agent_id: String,
}

impl AgentKey {
    /// The agent with this name under this issuer; an empty issuer is none.
    pub fn new(issuer: Option<&str>, agent_id: &str) -> Self {
        let issuer = issuer.filter(|issuer| !issuer.is_empty());
        Self { issuer: issuer.map(str::to_owned), agent_id: agent_id.to_owned() }
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issuer {
            Some(issuer) => write!(f, "{} at {issuer}", self.agent_id),
            None => f.write_str(&self.agent_id),
        }
    }
}

/// One question put to a human about one agent. Random, so that knowing an event tells nobody its case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaseId(u128);

/// The text is no case id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a case id: 32 hexadecimal digits")]
pub struct CaseIdError;

impl CaseId {
    /// From 128 random bits; the caller brings the randomness.
    pub const fn new(random: u128) -> Self {
        Self(random)
    }

    /// A fresh one.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaseId({self})")
    }
}

impl FromStr for CaseId {
    type Err = CaseIdError;
    fn from_str(text: &str) -> Result<Self, CaseIdError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CaseIdError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| CaseIdError)
    }
}

impl Serialize for CaseId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CaseId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Ties everything that follows from one first piece of evidence (or one person's command) together: alerts, audit
/// entries, webhooks and their receipts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Txn(String);

impl Txn {
    /// The story that begins with this verdict. The same verdict always begins the same story.
    pub fn of_verdict(verdict: VerdictId) -> Self {
        Self(verdict.to_string())
    }

    /// A story that a person begins.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// As stored.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_id_reads_back_and_nothing_else_does() {
        let id = CaseId::new(0xab);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", "+000000000000000000000000000000a", &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(bad.parse::<CaseId>(), Err(CaseIdError), "{bad}");
        }
    }
}
