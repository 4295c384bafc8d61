//! What is told of a cohort.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{NAMED_MAX, Speaker};
use crate::{MicroBits, Pattern, Timestamp};

/// What a verdict shares with others of that hour. It changes neither the level nor its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    /// The incident's number; the fleet's first is 1.
    pub incident: u32,
    /// What they have in common: more calls, fewer, another pace, an endpoint, a client or a model.
    pub pattern: Pattern,
    /// When the first of them began, to five minutes.
    pub since: Timestamp,
    /// Agents that did the same so far.
    pub agents: u32,
    /// Agents that were there: known for a week, and calling within an hour or two.
    pub exposed: u32,
    /// How many times the expected calls the typical one makes.
    pub factor: f32,
    /// The level of what this agent does that the others do not: of other endpoints, another client, a person's or too regular a pace,
    /// and where it goes much further than they do, all of it.
    pub own: MicroBits,
    /// Whether it goes much further.
    pub is_beyond: bool,
}

/// An agent by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Under which issuer that is a name.
    pub issuer: Option<Box<str>>,
    /// The name.
    pub agent_id: Box<str>,
}

/// Many agents that began to do the same within an hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortIncident {
    /// Its number; the fleet's first is 1.
    pub incident: u32,
    /// What they have in common: more calls, fewer, another pace, an endpoint, a client or a model.
    pub pattern: Pattern,
    /// When the first of them began, and when they were enough; to five minutes.
    pub since: Timestamp,
    /// When they were enough.
    pub seen: Timestamp,
    /// When it was over; none while it goes on.
    pub until: Option<Timestamp>,
    /// Agents that did it so far.
    pub agents: u32,
    /// Most agents that were there to do it.
    pub exposed: u32,
    /// How many would have begun within an hour by chance, when it was seen,
    pub by_chance: f64,
    /// and how likely chance brings as many.
    pub chance: f64,
    /// How many times the expected calls the typical one makes.
    pub factor: f32,
    /// The first 32 of them.
    pub members: Vec<Member>,
    /// The names of endpoints, clients or models that they begin to call or to call with.
    #[serde(default)]
    pub of: Vec<Box<str>>,
    /// The peer group whose agents they are, by name or, where it was found, by number; None of the fleet.
    #[serde(default)]
    pub group: Option<Box<str>>,
}

impl From<&Speaker<'_>> for Member {
    fn from(who: &Speaker<'_>) -> Self {
        Self { issuer: who.issuer.map(Into::into), agent_id: who.agent_id.into() }
    }
}

impl CohortIncident {
    pub(super) fn join(&mut self, who: Member) {
        self.agents = self.agents.saturating_add(1);
        if self.members.len() < NAMED_MAX {
            self.members.push(who);
        }
    }

    /// So many more do it too, and these are among those that do.
    pub(super) fn take_in(&mut self, more: u32, members: impl Iterator<Item = Member>) {
        self.agents = self.agents.saturating_add(more);
        for member in members {
            if self.members.len() < NAMED_MAX && !self.members.contains(&member) {
                self.members.push(member);
            }
        }
    }

    /// What a verdict says of it; how much is its agent's own is not known yet.
    pub(super) fn cohort(&self, is_beyond: bool) -> Cohort {
        let &Self { incident, pattern, since, agents, exposed, factor, .. } = self;
        Cohort { incident, pattern, since, agents, exposed, factor, own: MicroBits::ZERO, is_beyond }
    }
}

/// What they have in common, in words.
fn shared(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::MoreCalls => "make more calls than they would",
        Pattern::FewerCalls => "make fewer calls than they would",
        Pattern::Foreign => "begin to call the same endpoint",
        Pattern::NewUserAgent => "begin to call with the same client",
        Pattern::NewModel => "begin to call with the same model",
        _ => "call at another pace than their own",
    }
}

impl fmt::Display for CohortIncident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incident, agents, exposed, since, chance, .. } = self;
        let shared = shared(self.pattern);
        write!(f, "cohort incident {incident}: {agents} of {exposed} agents ")?;
        if let Some(group) = &self.group {
            write!(f, "of peer group `{group}` ")?;
        }
        f.write_str(shared)?;
        let is_beside = !matches!(self.pattern, Pattern::Foreign | Pattern::NewUserAgent | Pattern::NewModel);
        for (i, name) in self.of.iter().enumerate() {
            let before = match i {
                0 if is_beside => " and begin with ",
                0 => " ",
                _ => ", ",
            };
            write!(f, "{before}`{name}`")?;
        }
        write!(f, ", since {since}")?;
        if self.pattern == Pattern::MoreCalls {
            write!(f, ", typically {:.1} times as many", self.factor)?;
        }
        match chance * 100.0 {
            chance if chance < 0.001 => f.write_str(" (by chance in under 0.001 % of hours): ")?,
            chance => write!(f, " (by chance in {chance:.3} % of hours): ")?,
        }
        for (i, member) in self.members.iter().enumerate() {
            write!(f, "{}`{}`", if i == 0 { "" } else { ", " }, member.agent_id)?;
        }
        match (*agents as usize).saturating_sub(self.members.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incident, agents, exposed, since, .. } = self;
        let shared = shared(self.pattern);
        write!(f, "{agents} of {exposed} agents {shared} since {since} (cohort incident {incident})")?;
        if self.is_beyond {
            write!(f, "; this one goes much further than the {:.1} times of the typical one", self.factor)?;
        }
        Ok(())
    }
}
