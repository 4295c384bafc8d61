//! Manifests that persons set while the server runs.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use detector::{Manifest, Timestamp};
use serde_json::json;

use super::apply::ApplyError;
use super::operate::said;
use super::{Inner, Revoker};
use crate::agent::AgentKey;
use crate::effect::Event;
use crate::purpose::{Purposes, agent_of};
use crate::store::db::Connection;
use crate::store::manifests::{self, SetManifest};
use crate::store::register::Signature;
use crate::store::{StoreError, to_json};

impl Inner {
    /// What is declared of agents by now.
    pub(super) fn purposes(&self) -> Arc<Purposes> {
        Arc::clone(&self.purposes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same as the record holds it.
    pub(super) fn purposes_by(&self, db: &Connection) -> Result<Purposes, StoreError> {
        let set = manifests::all(db)?;
        Ok(self.purposes().with(set.into_iter().map(|set| set.manifest)))
    }

    /// How long tokens of the agent live at most: as is set, or longer where its manifest declares it.
    pub(super) fn token_lifetime_max(&self, agent: &AgentKey) -> Duration {
        let purposes = self.purposes();
        let declared = purposes.all.iter().find(|manifest| agent_of(manifest) == *agent);
        let declared = declared.and_then(|manifest| manifest.token_lifetime_max_s);
        declared.map_or(Duration::ZERO, |s| Duration::from_secs(s.get().into())).max(self.token_lifetime_max)
    }

    pub(super) fn set_purposes(&self, purposes: Purposes) {
        *self.purposes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(purposes);
    }
}

impl Revoker {
    /// All manifests in force.
    pub fn manifests(&self) -> Arc<[Manifest]> {
        Arc::clone(&self.inner.purposes().all)
    }

    /// The manifest that persons set of the agent, where the configuration holds none.
    pub async fn manifest(&self, agent: AgentKey) -> Result<Option<SetManifest>, StoreError> {
        if self.inner.purposes().is_given(&agent) {
            return Ok(None);
        }
        self.read(move |db| manifests::of(db, &agent)).await
    }

    /// Those that persons set, whether or not the configuration holds others of the same agents.
    pub fn set_manifests(&self) -> Result<Vec<Manifest>, StoreError> {
        let set = manifests::all(&self.inner.store.reader())?;
        Ok(set.into_iter().map(|set| set.manifest).collect())
    }

    /// Puts on record what an agent is meant to do from now on, in place of version `known` (0 is none), and has the detector told.
    pub async fn declare(
        &self,
        manifest: Manifest,
        known: i64,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<SetManifest, ApplyError> {
        said(&by, &reason)?;
        manifest.check().map_err(ApplyError::Manifest)?;
        let agent = agent_of(&manifest);
        if self.inner.purposes().is_given(&agent) {
            return Err(ApplyError::ManifestGiven);
        }
        self.write(move |w| {
            let version = manifests::of(w.tx(), &agent)?.map_or(0, |set| set.version);
            if version != known {
                return Err(ApplyError::ManifestChanged { version });
            }
            let version = version + 1;
            let body = json!({ "by": by, "reason": reason, "version": version, "manifest": manifest });
            w.audit(Some(&agent), "manifest.set", &body, now)?;
            let text = to_json(&manifest)?;
            let set = SetManifest { agent, version, manifest, set: Signature { at: now, by } };
            manifests::put(w.tx(), &set)?;
            w.declared = true;
            w.tell(&set.agent, &Event::Declared { version }, &[reason], Some(&text), now)?;
            Ok(set)
        })
        .await
    }
}
