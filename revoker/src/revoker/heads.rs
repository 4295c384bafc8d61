//! The audit as a whole: signed, verified, and read on from where a reader is.

use std::sync::Arc;

use detector::Timestamp;

use super::Revoker;
use crate::audit::{self, AuditError, Head, HeadsFile, PublicKey, Verified, Written};
use crate::keys::Keys;
use crate::store::StoreError;
use crate::store::db::Connection;

impl Revoker {
    /// Signs a head over all entries, and keeps it in the record, in `file` and in the log.
    pub async fn sign_audit_head(&self, file: &HeadsFile, now: Timestamp) -> Result<Head, AuditError> {
        let made = self.read_long(move |db, keys| audit::heads::make(&*db.snapshot()?, keys, now)).await?;
        let head = made.head.clone();
        self.write(move |w| audit::heads::put(w.tx(), &made)).await?;
        let (kept, into) = (head.clone(), file.clone());
        let appended = tokio::task::spawn_blocking(move || into.append(&kept)).await;
        // Told whatever became of the file: the log may be what is left.
        tracing::info!(head = %crate::store::to_json(&head)?, "the audit's head was signed");
        appended.unwrap_or(Err(StoreError::Stopped))?;
        Ok(head)
    }

    /// The newest head in the record.
    pub async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        self.read(audit::heads::last).await
    }

    /// What verifies heads.
    pub fn audit_key(&self) -> Result<PublicKey, StoreError> {
        audit::public_key(self.keys()).map_err(|e| StoreError::damaged(e.to_string()))
    }

    /// Reads the whole audit and checks every seal, and every head of the record and of `kept`.
    pub async fn verify_audit(&self, kept: Vec<Head>) -> Result<Verified, AuditError> {
        self.read_long(move |db, keys| audit::verify(db, keys, &kept)).await
    }

    /// At most `limit` entries after the one numbered `seq`, in order.
    pub async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Written>, StoreError> {
        self.read(move |db| audit::after(db, seq, limit)).await
    }

    /// The last entry that was passed on to the database.
    pub async fn audit_mirrored(&self) -> Result<i64, StoreError> {
        self.read(audit::mirrored).await
    }

    /// Notes that the entries up to `seq` were passed on.
    pub async fn set_audit_mirrored(&self, seq: i64) -> Result<(), StoreError> {
        self.write(move |w| audit::set_mirrored(w.tx(), seq)).await
    }

    /// Runs `f` on a connection of its own, on a thread that may block.
    async fn read_long<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection, &Keys) -> Result<T, AuditError> + Send + 'static,
    ) -> Result<T, AuditError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || f(&inner.store.long_reader()?, &inner.keys)).await;
        done.unwrap_or_else(|_| Err(StoreError::Stopped.into()))
    }
}
