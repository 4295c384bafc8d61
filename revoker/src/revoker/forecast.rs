//! What will be asked about a call that nobody has scored.

use detector::{Call, Timestamp};

use super::Revoker;
use crate::policy::Demand;
use crate::policy::when::Facts;

impl Revoker {
    /// What policy asks for before this call whatever its evidence will be, from memory: [`Demand::StepUp`] where a human must
    /// approve it.
    pub fn asks_for(&self, call: &Call<'_>, now: Timestamp) -> Demand {
        let memory = self.inner.memory();
        if memory.policy().config().when.is_empty() {
            return Demand::None;
        }
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        let purposes = self.inner.purposes();
        let group = purposes.groups.of(issuer, agent_id);
        let who = crate::whom::Named { issuer, agent_id, group };
        let facts = Facts {
            who,
            kind: call.kind,
            endpoint: &call.endpoint,
            method: call.method.as_deref(),
            operation: call.operation.as_deref(),
            ts: call.ts,
            attestation: call.attestation.get(),
            source_ip: call.source_ip,
        };
        memory.policy_for(&who, now).least(&facts)
    }
}
