//! What many agents begin at once is offered to two persons as one command: to revoke all of them.

use ingest::pipeline::score::FleetStatus;
use revoker::Revoker;
use revoker::agent::AgentKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Offers each incident that goes on, once, until told to stop.
pub(super) async fn offer(
    revoker: Revoker,
    mut health: watch::Receiver<FleetStatus>,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(health.changed()).await {
        let open: Vec<_> =
            health.borrow_and_update().cohorts.iter().filter(|c| c.until.is_none()).cloned().collect();
        for incident in open {
            let agents: Vec<_> = incident
                .members
                .iter()
                .map(|member| AgentKey::new(member.issuer.as_deref(), &member.agent_id))
                .collect();
            let name = format!("cohort {} since {}", incident.incident, incident.since);
            match revoker.offer(name, agents, incident.to_string(), clock::now()).await {
                Ok(Some(proposal)) => {
                    tracing::warn!(id = proposal.id, %incident, "a revocation of all of them is offered to two persons");
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a revocation could not be offered"),
            }
        }
    }
}
