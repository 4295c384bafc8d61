//! Commands that touch many agents at once: one person proposes, another confirms in time. Pure.

use std::time::Duration;

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::AgentKey;

/// How long a proposal waits for its second person.
pub const STANDS: Duration = Duration::from_mins(30);
/// How long one waits that nobody proposed: an incident goes on for hours.
pub const OFFER_STANDS: Duration = Duration::from_hours(24);
/// Proposals that wait at once.
pub const WAITING_MAX: usize = 100;

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum FleetCommand {
    /// Pause all automatic action.
    Pause {
        /// When that ends by itself.
        until: Option<Timestamp>,
    },
    /// End the access of every agent whose manifest declares this group.
    RevokeGroup {
        /// Which.
        group: String,
    },
    /// End the access of these agents.
    RevokeAgents {
        /// Which.
        agents: Vec<AgentKey>,
    },
}

/// A command that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its name: 16 hexadecimal digits.
    pub id: String,
    /// What is to be done.
    #[serde(flatten)]
    pub command: FleetCommand,
    /// Who proposes it, as they are called; empty where nobody does yet, and it is offered for two persons to take up.
    pub person: String,
    /// The same with the credential they used.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was proposed.
    pub at: Timestamp,
    /// From then on it can no longer be confirmed.
    pub expires_at: Timestamp,
}

/// Why a proposal is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// There is none of this id, or its time is over.
    #[error("there is no such proposal, or its time is over")]
    None,
    /// The one who proposed it.
    #[error("who proposed it cannot confirm it")]
    SamePerson,
}

/// Whether this person may confirm this one of the proposals now.
pub fn confirm<'p>(
    proposals: &'p [Proposal],
    id: &str,
    person: &str,
    now: Timestamp,
) -> Result<&'p Proposal, Unconfirmed> {
    let proposal = proposals.iter().find(|proposal| proposal.id == id && now < proposal.expires_at);
    let proposal = proposal.ok_or(Unconfirmed::None)?;
    if same(&proposal.person, person) { Err(Unconfirmed::SamePerson) } else { Ok(proposal) }
}

impl Proposal {
    /// Whether nobody proposes it yet: the first who confirms it does.
    pub fn is_offer(&self) -> bool {
        self.person.is_empty()
    }
}

/// Whether two names are one person's, however they are spaced and capitalised.
fn same(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn another_person_confirms_within_the_time_and_nobody_else() {
        let proposal = Proposal {
            id: "a".to_owned(),
            command: FleetCommand::Pause { until: None },
            person: "Ann Lee".to_owned(),
            by: "Ann Lee via soc".to_owned(),
            reason: "because".to_owned(),
            at: at(0),
            expires_at: at(0) + STANDS,
        };
        let proposals = [proposal];
        let asked =
            |id, person, s| confirm(&proposals, id, person, at(s)).map(|proposal| proposal.id.as_str());
        assert_eq!(asked("a", "bob", 1_799), Ok("a"));
        assert_eq!(asked("a", "bob", 1_800), Err(Unconfirmed::None));
        assert_eq!(asked("b", "bob", 1), Err(Unconfirmed::None));
        assert_eq!(asked("a", " ann  LEE ", 1), Err(Unconfirmed::SamePerson));
    }
}
