//! Where rows go: ClickHouse, or in tests a recorder.

use crate::store::{AlertRow, AuditRow, CallRow, RejectRow, Store, StoreError, VerdictRow};

/// Takes rows. All calls are safe to repeat: the same rows again change nothing.
pub trait Sink: Send + Sync + 'static {
    /// Stores records.
    fn calls(&self, rows: &[CallRow<'_>]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Stores what was no record.
    fn rejects(&self, rows: &[RejectRow<'_>]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Stores verdicts.
    fn verdicts(&self, rows: &[VerdictRow<'_>]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Stores alerts.
    fn alerts(&self, rows: &[AlertRow<'_>]) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Stores entries of the audit.
    fn audit(&self, rows: &[AuditRow<'_>]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Sink for Store {
    async fn calls(&self, rows: &[CallRow<'_>]) -> Result<(), StoreError> {
        self.insert_calls(rows).await
    }

    async fn rejects(&self, rows: &[RejectRow<'_>]) -> Result<(), StoreError> {
        self.insert_rejects(rows).await
    }

    async fn verdicts(&self, rows: &[VerdictRow<'_>]) -> Result<(), StoreError> {
        self.insert_verdicts(rows).await
    }

    async fn alerts(&self, rows: &[AlertRow<'_>]) -> Result<(), StoreError> {
        self.insert_alerts(rows).await
    }

    async fn audit(&self, rows: &[AuditRow<'_>]) -> Result<(), StoreError> {
        self.insert_audit(rows).await
    }
}
