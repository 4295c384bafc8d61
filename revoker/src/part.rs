//! What of an agent can be ended by itself: one token, session, instance or key, while its others go on.

use std::num::NonZeroU64;

use detector::{Identity, VerdictRecord};
use serde::{Deserialize, Serialize};

use crate::hex::mark;

/// A kind of part, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// One token.
    Token,
    /// One session.
    Session,
    /// One running instance.
    Instance,
    /// One key, and all tokens that are bound to it.
    Key,
}

/// How many kinds there are.
pub const KINDS: usize = PartKind::ALL.len();

impl PartKind {
    /// All of them, narrowest first.
    pub const ALL: [Self; 4] = [Self::Token, Self::Session, Self::Instance, Self::Key];

    /// The name in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Instance => "instance",
            Self::Key => "key",
        }
    }
}

/// One part of an agent, as its logs name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// `jti` or hash of a token, a session's or an instance's name, a key's thumbprint: 1 to 512 bytes.
    pub id: String,
}

/// Names are never cut, since a cut one is another's; what has a longer one is ended with its agent.
const ID_BYTES_MAX: usize = 512;

impl Part {
    /// None where the name is none that can be ended by itself.
    pub fn new(kind: PartKind, id: &str) -> Option<Self> {
        let part = Self { kind, id: id.to_owned() };
        part.is_sound().then_some(part)
    }

    /// Whether its name is one that can be ended by itself.
    pub fn is_sound(&self) -> bool {
        (1..=ID_BYTES_MAX).contains(&self.id.len())
    }

    /// As a key column holds it; of the whole agent it is empty.
    pub(crate) fn column(part: Option<&Self>) -> String {
        part.map_or_else(String::new, |part| format!("{}:{}", part.kind.as_str(), part.id))
    }

    /// What a key column holds.
    pub(crate) fn of_column(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let kind = PartKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some(Self { kind, id: id.to_owned() })
    }
}

/// The name of each kind of part that a record gives.
pub(crate) type Names<'a> = [Option<&'a str>; KINDS];

/// Those of a verdict's call.
pub(crate) fn names_of(record: &VerdictRecord) -> Names<'_> {
    [&record.token_id, &record.session_id, &record.instance_id, &record.key_thumbprint].map(Option::as_deref)
}

/// The parts that a call is of.
pub(crate) fn parts_of(identity: &Identity<'_>) -> Vec<Part> {
    let names = [&identity.token_id, &identity.session_id, &identity.instance_id, &identity.key_thumbprint];
    let parts = PartKind::ALL.into_iter().zip(names);
    parts.filter_map(|(kind, name)| Part::new(kind, name.as_deref()?)).collect()
}

/// A part as standings remember it: 64 bits of a hash that is the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartMark(NonZeroU64);

impl PartMark {
    /// Of a part of this name.
    pub fn of(id: &str) -> Self {
        Self(NonZeroU64::new(mark(id)).unwrap_or(NonZeroU64::MIN))
    }
}

/// The mark of each kind of part.
pub type Marks = [Option<PartMark>; KINDS];

/// Those of a verdict's call.
pub(crate) fn marks_of(record: &VerdictRecord) -> Marks {
    names_of(record)
        .map(|name| name.filter(|name| (1..=ID_BYTES_MAX).contains(&name.len())).map(PartMark::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_reads_back() {
        for id in ["s-1", "a:b", "ü"] {
            for kind in PartKind::ALL {
                let part = Part::new(kind, id).unwrap();
                assert_eq!(Part::of_column(&Part::column(Some(&part))), Some(part));
            }
        }
        assert_eq!((Part::of_column(""), Part::of_column("lock:1")), (None, None));
        assert_eq!(
            (Part::new(PartKind::Token, ""), Part::new(PartKind::Token, &"x".repeat(513))),
            (None, None)
        );
    }
}
