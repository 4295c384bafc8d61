//! Which agents something is about, as an operator writes it.

use serde::{Deserialize, Serialize};

use crate::agent::AgentKey;

/// A name where `*` stands for any text: `billing-*`. At most 1,024 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

/// The text is no name to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name, or a part of one with `*`, of 1 to {GLOB_BYTES_MAX} bytes must stand here")]
pub struct GlobError;

const GLOB_BYTES_MAX: usize = 1_024;

impl TryFrom<String> for Glob {
    type Error = GlobError;
    fn try_from(text: String) -> Result<Self, GlobError> {
        if (1..=GLOB_BYTES_MAX).contains(&text.len()) { Ok(Self(text)) } else { Err(GlobError) }
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.0
    }
}

impl Glob {
    /// Whether the whole text is one that is looked for.
    pub fn covers(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The earliest place of each leaves most room for the next.
        for part in between.split('*') {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last)
    }
}

/// An agent as it is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Under which issuer it is named.
    pub issuer: Option<&'a str>,
    /// Its name.
    pub agent_id: &'a str,
    /// Its declared group.
    pub group: Option<&'a str>,
}

/// Agents by name: what is given must fit, and what is not fits any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whom {
    /// The agent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Glob>,
    /// Its issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Glob>,
    /// The group that its manifest declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Glob>,
}

impl Whom {
    /// Whether it is about this agent.
    pub fn covers(&self, who: &Named<'_>) -> bool {
        let fits = |glob: &Option<Glob>, text: Option<&str>| {
            glob.as_ref().is_none_or(|glob| text.is_some_and(|text| glob.covers(text)))
        };
        fits(&self.agent, Some(who.agent_id))
            && fits(&self.issuer, who.issuer)
            && fits(&self.group, who.group)
    }
}

/// What a command is about: everything, or what is named, to the letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The agents of this issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The agents of this declared group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The agent of this name; under any issuer where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}

impl Scope {
    /// One agent.
    pub fn agent(agent: &AgentKey) -> Self {
        Self { issuer: agent.issuer.clone(), agent_id: Some(agent.agent_id.clone()), group: None }
    }

    /// Whether nothing is named, which means everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about this agent.
    pub fn covers(&self, who: &Named<'_>) -> bool {
        let fits = |wanted: &Option<String>, text: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| text == Some(wanted))
        };
        fits(&self.agent_id, Some(who.agent_id))
            && fits(&self.issuer, who.issuer)
            && fits(&self.group, who.group)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, yes, no) in [
            ("billing", vec!["billing"], vec!["billing-1", "abilling", ""]),
            ("billing-*", vec!["billing-", "billing-1"], vec!["billing", "x-billing-1"]),
            ("*", vec!["", "anything"], vec![]),
            ("*pay*", vec!["pay", "repay", "payment"], vec!["p", "ay"]),
            ("a*b*c", vec!["abc", "aXbYc", "abbcc"], vec!["ac", "ab", "acb"]),
            ("aba*ba", vec!["ababa", "abaXba"], vec!["aba", "abba"]),
            ("a**z", vec!["az", "abcz"], vec!["a", "z"]),
        ] {
            assert!(yes.iter().all(|text| glob(pattern).covers(text)), "{pattern}");
            assert!(!no.iter().any(|text| glob(pattern).covers(text)), "{pattern}");
        }
        assert_eq!(Glob::try_from(String::new()), Err(GlobError));
    }

    proptest! {
        #[test]
        fn what_a_star_stood_for_is_found_again(parts in prop::collection::vec("[abü]{0,3}", 1..5), fill in "[abü]{0,3}") {
            prop_assume!(!parts.join("*").is_empty());
            prop_assert!(glob(&parts.join("*")).covers(&parts.join(&fill)));
        }
    }

    #[test]
    fn all_that_is_named_must_fit() {
        let who = Named { issuer: Some("https://idp"), agent_id: "billing-1", group: Some("invoicing") };
        let nobody = Named { issuer: None, agent_id: "billing-1", group: None };
        let whom = Whom { agent: Some(glob("billing-*")), issuer: None, group: Some(glob("inv*")) };
        assert!(whom.covers(&who) && !whom.covers(&nobody) && Whom::default().covers(&nobody));
        let scope = Scope { issuer: Some("https://idp".to_owned()), ..Scope::default() };
        assert!(scope.covers(&who) && !scope.covers(&nobody) && !scope.is_all());
        assert!(Scope::default().covers(&nobody) && Scope::default().is_all());
    }
}
