//! Signs heads on a schedule, and verifies the audit at start and once a day.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{AuditError, HeadsFile, Verified};
use crate::api::Clock;
use crate::revoker::Revoker;

/// Between two readings of the whole audit.
const VERIFY_EVERY: Duration = Duration::from_hours(24);

/// Tells the people who watch that the audit is not what was written.
pub type Alarm = Box<dyn Fn(&AuditError) + Send + Sync>;

/// Does it until told to stop.
pub struct Keeper {
    revoker: Revoker,
    file: HeadsFile,
    every: Duration,
    clock: Clock,
    alarm: Alarm,
    /// Entries under the newest head that went into the file since the start.
    signed: i64,
}

impl Keeper {
    /// Signs every so often where there is something new.
    pub fn new(revoker: Revoker, file: HeadsFile, every: Duration, clock: Clock, alarm: Alarm) -> Self {
        Self { revoker, file, every, clock, alarm, signed: 0 }
    }

    /// Runs until `shutdown`; what was written until then is under a last head.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(self.every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut verify_at = Instant::now();
        while shutdown.run_until_cancelled(every.tick()).await.is_some() {
            if verify_at <= Instant::now() {
                verify_at += VERIFY_EVERY;
                self.tell(&self.verify().await);
            }
            self.sign().await;
        }
        self.sign().await;
    }

    async fn verify(&self) -> Result<Verified, AuditError> {
        let heads = self.file.read();
        let heads = heads.map_err(|source| AuditError::File { path: self.file.path().to_owned(), source })?;
        self.revoker.verify_audit(heads).await
    }

    fn tell(&self, verified: &Result<Verified, AuditError>) {
        metrics::gauge!("tocsin_audit_verified").set(if verified.is_ok() { 1.0 } else { 0.0 });
        match verified {
            Ok(v) => {
                tracing::info!(entries = v.entries, last = v.last, heads = v.heads, "the audit is verified");
            }
            Err(e) => {
                tracing::error!(error = %e, "the audit does not verify");
                (self.alarm)(e);
            }
        }
    }

    async fn sign(&mut self) {
        let signed = async {
            let leads = self.revoker.leads("/audit").await?;
            if !leads || self.revoker.audit_after(self.signed, 1).await?.is_empty() {
                return Ok(());
            }
            let head = self.revoker.sign_audit_head(&self.file, (self.clock)()).await?;
            self.signed = head.tree_size.try_into().unwrap_or(i64::MAX);
            Ok::<_, AuditError>(())
        };
        if let Err(e) = signed.await {
            metrics::counter!("tocsin_audit_head_failures_total").increment(1);
            tracing::error!(error = %e, "no head of the audit could be signed and kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use detector::Timestamp;

    use super::*;
    use crate::testing::{at, open};

    async fn pause(revoker: &Revoker, now: Timestamp) {
        revoker
            .pause(crate::whom::Scope::default(), None, "ann".to_owned(), "a test".to_owned(), now)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn heads_go_into_the_file_where_there_is_something_new_and_once_more_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let revoker = open(folder.path());
        let file = HeadsFile::new(folder.path().join("audit.heads"));
        // What a crash cut off.
        std::fs::write(file.path(), "{\"tree_size\":").unwrap();
        pause(&revoker, at(1)).await;
        let keeper = Keeper::new(
            revoker.clone(),
            file.clone(),
            Duration::from_millis(5),
            Arc::new(|| at(2)),
            Box::new(|e| panic!("{e}")),
        );
        let stop = CancellationToken::new();
        let running = tokio::spawn(keeper.run(stop.clone()));
        let sizes = || file.read().unwrap().iter().map(|head| head.tree_size).collect::<Vec<_>>();
        while sizes().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Several turns with nothing new.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(sizes(), [1]);
        pause(&revoker, at(3)).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(sizes(), [1, 2]);
        let verified = revoker.verify_audit(file.read().unwrap()).await.unwrap();
        assert_eq!((verified.last, verified.heads), (2, 4));
    }
}
