//! Where several processes share a record: the memory follows what the others commit, and some work is one process's.
//!
//! A transaction that writes first takes its turn and then reads what was committed since it last looked, so that what it
//! decides rests on what stands in the record. Between transactions the memory, from which gates are answered, is behind by
//! what a notification takes; where none comes, by a second.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::memory::{Held, REACH_MAX};
use super::{Inner, Revoker, Settled};
use crate::agent::AgentKey;
use crate::store::changes::{self, Change};
use crate::store::db::{Connection, Transaction};
use crate::store::{StoreError, agents, reach, revocations, settings};

/// Changes read at once.
const BATCH: u32 = 1_000;

/// Between two looks where nobody calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Inner {
    /// Brings the memory up to what is committed. The caller holds the writer, so that changes reach the memory in their order.
    pub(super) fn catch_up(&self, db: &Connection) -> Result<(), StoreError> {
        if !db.is_shared() {
            return Ok(());
        }
        let mut any = false;
        loop {
            let seen = self.seen.load(Relaxed);
            let Some(found) = changes::after(db, seen, BATCH)? else {
                self.read_all(db)?;
                any = true;
                break;
            };
            let Some((last, _)) = found.last() else { break };
            let (last, more) = (*last, found.len() >= BATCH as usize);
            for (_, change) in &found {
                self.take(db, change)?;
            }
            self.seen.store(last, Relaxed);
            any = true;
            if !more {
                break;
            }
        }
        if any {
            self.changes.send_modify(|commits| *commits = commits.wrapping_add(1));
            self.tell_settled(Settled::Unknown);
        }
        Ok(())
    }

    fn take(&self, db: &Connection, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Agent(agent) => {
                let row = agents::of(db, agent)?;
                let held = row.map(|row| Held { live: row.standing, kept: row.standing, txn: row.txn });
                let lifted = revocations::of(db, agent, None)?.and_then(|row| row.lifted());
                let reach = reach::of(db, agent)?;
                let mut memory = self.memory_mut();
                memory.set_lifted(agent, lifted);
                // What this process remembers beyond what is written stays where that is the same.
                let same = match (&held, memory.get(agent.issuer.as_deref(), &agent.agent_id)) {
                    (Some(new), Some(old)) => new.kept == old.kept && new.txn == old.txn,
                    (None, None) => true,
                    _ => false,
                };
                // And how far that counts; of an agent that is trusted nothing more is remembered than is written.
                match reach {
                    Some(reach) if !same || held.is_none() => memory.set_reach(agent.clone(), reach),
                    None if !same => memory.forget_reach(agent),
                    _ => {}
                }
                if !same {
                    memory.set(agent, held);
                }
            }
            Change::Pauses => self.memory_mut().set_pauses(settings::pauses(db)?),
            Change::Spent => self.memory_mut().set_spent(settings::spent(db)?),
            Change::Handled(verdict) => self.memory_mut().remember(*verdict),
            Change::Parts => self.memory_mut().replace_ended(revocations::ended_parts(db)?),
            Change::Manifests => self.set_purposes(self.purposes_by(db)?),
            Change::Record => {}
        }
        Ok(())
    }

    /// Where too much was missed.
    fn read_all(&self, db: &Connection) -> Result<(), StoreError> {
        let newest = changes::newest(db)?;
        let (parts, lifted) = (revocations::ended_parts(db)?, revocations::lifted(db)?);
        let (rows, pauses, spent) = (agents::all(db)?, settings::pauses(db)?, settings::spent(db)?);
        let reach = reach::newest(db, REACH_MAX)?;
        self.set_purposes(self.purposes_by(db)?);
        let mut memory = self.memory_mut();
        memory.replace(rows);
        memory.replace_reach(reach);
        memory.replace_ended(parts);
        memory.replace_lifted(lifted);
        memory.set_pauses(pauses);
        memory.set_spent(spent);
        self.seen.store(newest, Relaxed);
        Ok(())
    }

    /// Tells the other processes what a transaction changed, in that transaction.
    pub(super) fn tell(
        &self,
        tx: &Transaction<'_>,
        changed: &HashMap<AgentKey, Option<Held>>,
        more: impl IntoIterator<Item = Change>,
    ) -> Result<i64, StoreError> {
        let mut told: Vec<Change> = more.into_iter().collect();
        {
            let memory = self.memory();
            let is_new = |agent: &AgentKey, held: &Option<Held>| {
                let old = memory.get(agent.issuer.as_deref(), &agent.agent_id);
                old.map(|old| (&old.kept, &old.txn)) != held.as_ref().map(|new| (&new.kept, &new.txn))
            };
            told.extend(
                changed.iter().filter(|(a, held)| is_new(a, held)).map(|(a, _)| Change::Agent(a.clone())),
            );
        }
        if told.is_empty() {
            told.push(Change::Record);
        }
        changes::tell(tx, &told)
    }
}

impl Revoker {
    /// Whether this is the process that does `what`: of those that share the record the first that asks, until it ends.
    pub(crate) async fn leads(&self, what: &'static str) -> Result<bool, StoreError> {
        self.read_outbox(move |db| Ok(db.claim(what)?)).await
    }

    /// Looks what other processes have committed until told to stop; returns at once where there are none.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let Some(mut bell) = self.inner.store.listen() else { return };
        loop {
            let inner = std::sync::Arc::clone(&self.inner);
            let looked = tokio::task::spawn_blocking(move || inner.catch_up(&inner.store.writer())).await;
            if let Ok(Err(e)) = looked {
                tracing::error!(error = %e, "what other processes decided cannot be read; it is tried again in a second");
            }
            let rung = tokio::time::timeout(LOOK_EVERY, bell.changed());
            match stop.run_until_cancelled(rung).await {
                None => return,
                // Whoever rang is gone with the runtime.
                Some(Ok(Err(_))) => tokio::time::sleep(LOOK_EVERY).await,
                Some(Ok(Ok(())) | Err(_)) => {}
            }
        }
    }
}
