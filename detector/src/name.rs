//! Under which issuer an agent is known, and by which name, in 24 bytes of its profile.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of both texts that need no room elsewhere.
const SHORT: usize = 21;

/// Both texts in one, the issuer's first. Its length is kept as one more than it is: 0 where there is no issuer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Name {
    Short { issuer: u8, len: u8, texts: [u8; SHORT] },
    Long { issuer: u32, texts: Box<str> },
}

const _: () = assert!(size_of::<Name>() == 24);

impl Name {
    pub(crate) fn new(issuer: Option<&str>, agent_id: &str) -> Self {
        let kept = issuer.map_or(0, |issuer| issuer.len() + 1);
        let issuer = issuer.unwrap_or_default();
        let len = issuer.len() + agent_id.len();
        if len > SHORT {
            return Self::Long { issuer: kept as u32, texts: [issuer, agent_id].concat().into() };
        }
        let mut texts = [0; SHORT];
        texts[..issuer.len()].copy_from_slice(issuer.as_bytes());
        texts[issuer.len()..len].copy_from_slice(agent_id.as_bytes());
        Self::Short { issuer: kept as u8, len: len as u8, texts }
    }

    /// The issuer, if there is one, and the agent's name.
    fn texts(&self) -> (Option<&str>, &str) {
        let (issuer, texts) = match self {
            Self::Short { issuer, len, texts } => {
                (usize::from(*issuer), str::from_utf8(&texts[..usize::from(*len)]).unwrap_or_default())
            }
            Self::Long { issuer, texts } => (*issuer as usize, &**texts),
        };
        let (before, agent_id) = texts.split_at_checked(issuer.saturating_sub(1)).unwrap_or_default();
        ((issuer > 0).then_some(before), agent_id)
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.texts().0
    }

    pub(crate) fn agent_id(&self) -> &str {
        self.texts().1
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (issuer, agent_id) = <(Option<Cow<'de, str>>, Cow<'de, str>)>::deserialize(d)?;
        Ok(Self::new(issuer.as_deref(), &agent_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_went_in_comes_out(issuer in proptest::option::of(".{0,24}"), agent_id in ".{0,24}") {
            let name = Name::new(issuer.as_deref(), &agent_id);
            proptest::prop_assert_eq!((name.issuer(), name.agent_id()), (issuer.as_deref(), &*agent_id));
            let bytes = postcard::to_stdvec(&name).unwrap();
            proptest::prop_assert_eq!(postcard::from_bytes::<Name>(&bytes).unwrap(), name);
        }
    }
}
