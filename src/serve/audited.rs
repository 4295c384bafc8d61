//! What goes on beside the audit: its heads are signed, and it is brought to ClickHouse by a log of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ingest::log::{Log, NewEntry};
use ingest::pipeline::AuditRecord;
use revoker::Revoker;
use revoker::audit::{AuditError, Keeper, Written};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Logs, findings};
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::{audit, clock};

/// What an alert about an audit that does not verify is called.
const BROKEN: &str = "audit_broken";
/// What an alert about people who are asked too often is called.
const FLOOD: &str = "approval_flood";
/// Entries passed on at once.
const BATCH: u32 = 500;
/// What is written meanwhile goes together: the mirror is for search, and the original is durable.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts both; they end with `stop`.
pub(super) fn start(
    config: &Config,
    revoker: &Revoker,
    logs: &Logs,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let heads = audit::heads_file(config);
    let what = || format!("audit.heads_file = {}", heads.path().display());
    heads.prepare().with_context(what).or_exit(Code::CantCreate)?;
    let every = config.audit.head_every_s.duration();
    let (alerts, runtime) = (logs.alerts.clone(), Handle::current());
    let alarm = Box::new(move |e: &AuditError| findings::raise(&alerts, &runtime, BROKEN, e.to_string()));
    let keeper = Keeper::new(revoker.clone(), heads, every, Arc::new(clock::now), alarm).run(stop.clone());
    let (alerts, runtime) = (logs.alerts.clone(), Handle::current());
    let flooded = move |entry: &Written| {
        let whom = entry.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        findings::raise(
            &alerts,
            &runtime,
            FLOOD,
            format!(
                "people are asked more often than policy allows (ATT&CK T1621), last about {whom}: {}",
                entry.body
            ),
        );
    };
    let mirror = mirror(revoker.clone(), logs.audit.clone(), flooded, stop.clone());
    tasks.spawn(async {
        keeper.await;
        Ok(())
    });
    tasks.spawn(async {
        mirror.await;
        Ok(())
    });
    Ok(())
}

/// Passes on whatever is written until told to stop.
async fn mirror(revoker: Revoker, log: Log, flooded: impl Fn(&Written), stop: CancellationToken) {
    let mut changes = revoker.changes();
    loop {
        changes.mark_unchanged();
        match pass_on(&revoker, &log, &flooded).await {
            Ok(BATCH) => continue,
            // Its own note moved the record too.
            Ok(1..) => {}
            Ok(0) => {
                if !matches!(stop.run_until_cancelled(changes.changed()).await, Some(Ok(()))) {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the audit is not mirrored; again in a second");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Passes on what is not mirrored yet, one batch; how many there were.
async fn pass_on(revoker: &Revoker, log: &Log, flooded: &impl Fn(&Written)) -> anyhow::Result<u32> {
    let entries = revoker.audit_after(revoker.audit_mirrored().await?, BATCH).await?;
    let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(0) };
    let count = entries.len() as u32;
    entries.iter().filter(|entry| entry.kind == "approval.flood").for_each(flooded);
    let entries = entries.into_iter().map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    log.append_when_room(entries).await?;
    revoker.set_audit_mirrored(last).await?;
    Ok(count)
}

fn entry(entry: Written) -> anyhow::Result<NewEntry> {
    let Written { seq, at, txn, agent, kind, body, hash } = entry;
    let (agent_id, issuer) = agent.map_or_else(Default::default, |agent| (agent.agent_id, agent.issuer));
    let seq = u64::try_from(seq).with_context(|| format!("audit entry {seq}"))?;
    Ok(AuditRecord { seq, at, txn: txn.to_string(), agent_id, issuer, kind, body, hash }.entry()?)
}
