//! The three names of an approval: what the agent holds, where the human goes, and what ties the two together.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use serde::{Deserialize, Deserializer, Serialize};

/// The text is not an identifier of this kind.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not {0}")]
pub struct IdError(&'static str);

impl IdError {
    pub(super) const fn new(expected: &'static str) -> Self {
        Self(expected)
    }
}

/// What the agent's side knows an approval by: `apr_` and 32 hexadecimal digits, 128 random bits.
///
/// Reading an approval takes this *and* a credential with the role `gateway`: an address ends up in logs, and the answer to
/// an approved one carries the grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ApprovalId(String);

const APPROVAL_PREFIX: &str = "apr_";

impl ApprovalId {
    /// A new one.
    pub fn random() -> Self {
        Self(format!("{APPROVAL_PREFIX}{}", random_hex()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApprovalId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix(APPROVAL_PREFIX) {
            Some(hex) if is_hex(hex) => Ok(Self(text.to_owned())),
            _ => Err(IdError("an approval id (`apr_` and 32 hexadecimal digits)")),
        }
    }
}

impl<'de> Deserialize<'de> for ApprovalId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the human goes: the last part of `/approve/…`, 32 hexadecimal digits, 128 random bits.
///
/// Not the approval's id, on purpose: the agent knows the id, and whoever steers the agent must not read on the page
/// which evidence gave it away and what would have stayed quiet. Travels only to people: in alerts and webhooks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PageKey(String);

impl PageKey {
    /// A new one.
    pub fn random() -> Self {
        Self(random_hex())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The page's path on this server.
    pub fn path(&self) -> String {
        format!("/approve/{}", self.0)
    }
}

impl FromStr for PageKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_hex(text) { Ok(Self(text.to_owned())) } else { Err(IdError("an approval page's key")) }
    }
}

// Holding it is what opens the page, so it stays out of logs.
impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(…)")
    }
}

/// The number that is shown where the agent or its alert is, and typed by the human on the page: four digits.
///
/// It proves that whoever says yes has looked at the very request they say yes to, and not merely at whatever page was
/// put before them. It is no secret of its own weight; guesses are counted against the approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BindingCode(String);

impl BindingCode {
    /// A new one.
    pub fn random() -> Self {
        Self(format!("{:04}", rand::rng().random_range(0..10_000_u32)))
    }

    /// The first number of exactly four digits in a text that the agent's side shows.
    pub fn shown_in(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit()).find_map(|number| number.parse().ok())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a human typed it, however they spaced it.
    pub fn matches(&self, typed: &str) -> bool {
        typed.chars().filter(|c| !matches!(c, ' ' | '-' | '\u{a0}')).eq(self.0.chars())
    }
}

impl FromStr for BindingCode {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError("a number of four digits"))
        }
    }
}

fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn is_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_back_and_nothing_else_does() {
        let id = ApprovalId::random();
        assert_eq!(id.as_str().parse::<ApprovalId>().unwrap(), id);
        let page = PageKey::random();
        assert_eq!(page.as_str().parse::<PageKey>().unwrap(), page);
        for bad in
            ["", "apr_", "apr_00000000000000000000000000000000x", "APR_00000000000000000000000000000000"]
        {
            assert!(bad.parse::<ApprovalId>().is_err(), "{bad}");
            assert!(bad.parse::<PageKey>().is_err(), "{bad}");
        }
        assert_eq!(format!("{page:?}"), "PageKey(…)");
    }

    #[test]
    fn a_number_is_matched_however_it_is_spaced() {
        let code: BindingCode = "0472".parse().unwrap();
        for typed in ["0472", " 04 72 ", "04-72"] {
            assert!(code.matches(typed), "{typed}");
        }
        for typed in ["", "472", "00472", "0473", "04 72 0472"] {
            assert!(!code.matches(typed), "{typed}");
        }
    }
}
