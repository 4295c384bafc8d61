//! Who could answer for each agent, before anybody is asked.

use std::collections::BTreeMap;

use anyhow::anyhow;
use revoker::approval::{ApproverRow, Factor, list};
use revoker::policy::Policy;

use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::terminal::say;

/// An agent, or all of which nothing is on record.
struct Asked {
    agent: String,
    /// Who is named to answer for it; nobody where whoever is enrolled may.
    named: Vec<String>,
    /// The strongest factor that a yes to some act of it takes.
    strongest: Factor,
}

/// Lists what is wrong for agents with a manifest or an entry in the register, and for every other.
pub(super) async fn run(config: &Config) -> Result<()> {
    let revoker = crate::serve::open_revoker(config)?;
    let approvers = list(&revoker).await?;
    let policy = Policy::new(config.budgets, config.policy.clone());
    let manifests = revoker.manifests();
    let asked = |agent: String, named, endpoints: &[String]| Asked {
        agent,
        named,
        strongest: policy.strongest(endpoints),
    };
    let mut agents = Vec::new();
    for (agent, people) in revoker.accountable_agents().await? {
        let declared = manifests.iter().find(|m| m.agent_id == agent.agent_id && m.issuer == agent.issuer);
        let endpoints = declared.map_or(&[][..], |manifest| &manifest.endpoints);
        agents.push(asked(agent.to_string(), people.approvers, endpoints));
    }
    // Of the others nobody in particular answers; without anybody enrolled nobody does.
    agents.push(asked("every other agent".to_owned(), Vec::new(), &[]));
    let without = of_agents(&agents, &approvers, revoker.relying_party().is_some());
    of_approvers(&agents, &approvers);
    if without > 0 {
        let why = anyhow!("what is listed has no approver with a method that works ({without})");
        return Err(why).or_exit(Code::DataErr);
    }
    say!("somebody can answer for each of {} agents on record and for every other", agents.len() - 1);
    Ok(())
}

/// Prints agents that nobody could answer for, and counts them. `passkeys`: whether any can be used.
fn of_agents(agents: &[Asked], approvers: &[ApproverRow], passkeys: bool) -> usize {
    let mut without = 0;
    for asked in agents {
        let can = |factor| approvers.iter().any(|row| asked.is_answered_by(row) && row.can(factor));
        let wrong = if !can(Factor::Totp) {
            "nobody could answer for it"
        } else if asked.strongest < Factor::Passkey {
            continue;
        } else if !passkeys {
            "some of its acts may take a passkey, and none can be used: `http.public_url` must be https with a name, or http://localhost"
        } else if !can(Factor::Passkey) {
            "nobody who answers for it has a passkey, which some of its acts may take"
        } else {
            continue;
        };
        without += 1;
        let whoever = || "nobody, so whoever is enrolled may".to_owned();
        let named = if asked.named.is_empty() { whoever() } else { asked.named.join(", ") };
        say!("{}\t{wrong}\tnamed: {named}", detector::visible(&asked.agent));
    }
    without
}

/// Prints who has enrolled something, and no passkey, though a yes for their agents may take one.
fn of_approvers(agents: &[Asked], approvers: &[ApproverRow]) {
    let mut lack: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in approvers.iter().filter(|row| row.can(Factor::Totp) && !row.can(Factor::Passkey)) {
        let theirs = agents.iter().filter(|a| a.strongest == Factor::Passkey && a.is_answered_by(row));
        lack.entry(row.name.as_str()).or_default().extend(theirs.map(|asked| asked.agent.as_str()));
    }
    for (name, agents) in lack.iter().filter(|(_, agents)| !agents.is_empty()) {
        let first =
            agents.iter().take(5).map(|agent| detector::visible(agent)).collect::<Vec<_>>().join(", ");
        let more = if agents.len() > 5 { format!(" and {} more", agents.len() - 5) } else { String::new() };
        say!(
            "{name}\thas no passkey, which a yes may take; `tocsin approver add {name}` makes a link\tfor: {first}{more}"
        );
    }
}

impl Asked {
    fn is_answered_by(&self, row: &ApproverRow) -> bool {
        self.named.is_empty() || self.named.iter().any(|name| row.is(name))
    }
}
