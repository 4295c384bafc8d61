//! The identity platform's side: a process of its own that shares no code with the sender and verifies every webhook.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::broadcast;

/// The program, and the place that its library was fetched to.
const PROGRAM: &str = "parts/peers/receiver.mjs";
const LIBRARY: &str = ".parts/peers/node_modules/standardwebhooks";
/// Deliveries a slow listener may lag behind.
const BACKLOG: usize = 1_024;
/// A webhook that takes longer than this did not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running receiver.
pub(super) struct Receiver {
    child: Child,
    pub(super) port: u16,
    deliveries: broadcast::Sender<Value>,
}

impl Receiver {
    /// Starts it with the secret that the sender signs with.
    pub(super) async fn start(secret: &str) -> Result<Self> {
        if !Path::new(LIBRARY).exists() {
            bail!(
                "the webhook receiver's library is not at {LIBRARY}: run `make peers`, from the project's folder"
            );
        }
        let mut child = Command::new("node")
            .arg(PROGRAM)
            .env("RECEIVER_SECRET", secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start node")?;
        let out = child.stdout.take().context("node has no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let first = lines.next_line().await?.context("the webhook receiver ended at once")?;
        let port =
            serde_json::from_str::<Value>(&first)?["listening"].as_u64().and_then(|p| p.try_into().ok());
        let port = port.with_context(|| format!("the webhook receiver said `{first}`"))?;
        let (deliveries, _) = broadcast::channel(BACKLOG);
        tokio::spawn(pass_on(lines, deliveries.clone()));
        Ok(Self { child, port, deliveries })
    }

    /// Everything received from now on.
    pub(super) fn listen(&self) -> Listener {
        Listener(self.deliveries.subscribe())
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("the webhook receiver did not end")
    }
}

async fn pass_on(mut lines: Lines<BufReader<ChildStdout>>, to: broadcast::Sender<Value>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(delivery) = serde_json::from_str::<Value>(&line) {
            // Nobody may be listening just now; then nobody is waiting for it either.
            to.send(delivery).ok();
        }
    }
}

/// One listener's place in the deliveries.
pub(super) struct Listener(broadcast::Receiver<Value>);

impl Listener {
    /// The next verified delivery of this type about this agent.
    pub(super) async fn next(&mut self, kind: &str, agent_id: &str) -> Result<Value> {
        let found = async {
            loop {
                match self.0.recv().await {
                    Ok(d) if d["type"] == kind && d["data"]["subject"] == agent_id => return Ok(d),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(closed) => return Err(closed),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(delivery) => delivery.context("the webhook receiver is gone"),
            Err(_) => bail!("no webhook {kind} about {agent_id} came within {} s", PATIENCE.as_secs()),
        }
    }

    /// What has come and nobody looked at.
    pub(super) fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
