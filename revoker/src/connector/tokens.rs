//! Tokens of agents, where a gateway hands them on: to end them one by one, and to see whether they have ended.
//!
//! In memory alone and never written, printed or sent anywhere but to the issuer they came from; who restarts forgets them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::AgentKey;
use crate::part::{Part, PartKind};

/// Agents whose tokens are held; the one heard of longest ago makes room.
const AGENTS_MAX: usize = 10_000;

/// The newest tokens of one agent.
const EACH_MAX: usize = 4;

/// The longest token: no HTTP server takes a longer header.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token. Not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// None where the text is no token: empty, too long, or with characters that no token has (RFC 6750, `b64token`).
    pub fn new(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let is_token = (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.chars().all(fits);
        is_token.then(|| Self(text.into()))
    }

    /// To send it to its issuer.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The tokens held. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    of: HashMap<AgentKey, VecDeque<(Token, Option<String>)>>,
    /// Whom was heard of first.
    order: VecDeque<AgentKey>,
}

impl Tokens {
    /// Holds a token that the agent called with, and what its logs call it.
    pub fn hold(&self, agent: &AgentKey, token: Token, token_id: Option<&str>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.of.contains_key(agent) {
            if held.order.len() >= AGENTS_MAX
                && let Some(oldest) = held.order.pop_front()
            {
                held.of.remove(&oldest);
            }
            held.order.push_back(agent.clone());
        }
        let tokens = held.of.entry(agent.clone()).or_default();
        let token_id = token_id.map(str::to_owned);
        if let Some(held) = tokens.iter_mut().find(|(held, _)| *held == token) {
            held.1 = token_id.or(held.1.take());
            return;
        }
        if tokens.len() >= EACH_MAX {
            tokens.pop_front();
        }
        tokens.push_back((token, token_id));
    }

    /// The newest tokens of an agent, oldest first; of a part of it, those that are known to be that part's.
    pub(super) fn of(&self, agent: &AgentKey, part: Option<&Part>) -> Vec<Token> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |id: &Option<String>| {
            part.is_none_or(|part| part.kind == PartKind::Token && id.as_ref() == Some(&part.id))
        };
        let tokens = held.of.get(agent).into_iter().flatten();
        tokens.filter(|(_, id)| is_meant(id)).map(|(token, _)| token.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_tokens_of_a_bounded_number_of_agents() {
        let tokens = Tokens::default();
        let agent = |n: usize| AgentKey::new(None, &n.to_string());
        for n in 0..6 {
            let token = format!("t{}", n % 5);
            tokens.hold(&agent(0), Token::new(&token).unwrap(), Some(&token));
        }
        let held: Vec<String> =
            tokens.of(&agent(0), None).iter().map(|token| token.reveal().to_owned()).collect();
        assert_eq!(held, ["t2", "t3", "t4", "t0"]);
        let part = |kind, id| Part::new(kind, id).unwrap();
        assert_eq!(tokens.of(&agent(0), Some(&part(PartKind::Token, "t3"))).len(), 1);
        assert!(tokens.of(&agent(0), Some(&part(PartKind::Session, "t3"))).is_empty());
        for n in 1..=AGENTS_MAX {
            tokens.hold(&agent(n), Token::new("t").unwrap(), None);
        }
        assert!(tokens.of(&agent(0), None).is_empty() && !tokens.of(&agent(1), None).is_empty());
    }

    #[test]
    fn what_is_no_token_is_not_held_and_none_is_printed() {
        for bad in ["", "a b", "a\nb", "tökén", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(Token::new(bad), None);
        }
        assert!(!format!("{:?}", Token::new("eyJ.secret-_~+/=")).contains("secret"));
    }
}
