//! An agent, as its gateway sees it: asks before it acts, waits for a human, comes back.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// The gateway in front of the agents: it appends what they did and asks whether they may.
#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) http: Client,
    pub(super) url: String,
    pub(super) token: String,
}

/// What the gate says.
pub(super) enum Answer {
    /// The agent may go on.
    GoOn(Value),
    /// A human must approve first.
    Challenged(Value),
    /// Access has ended.
    Ended(Value),
}

impl Gateway {
    /// Asks whether the recorded call may be made; with a grant, as the resumption of an approved one.
    pub(super) async fn ask(&self, call: &Value, resume: Option<(&str, &str)>) -> Result<Answer> {
        let mut request =
            self.http.post(format!("{}/v1/gate", self.url)).bearer_auth(&self.token).json(&announced(call));
        if let Some((grant, resume_id)) = resume {
            request = request.header("Tocsin-Grant", grant).header("Tocsin-Resume-Id", resume_id);
        }
        let response = request.send().await.context("the gate does not answer")?;
        let status = response.status();
        let body: Value = response.json().await.context("the gate's answer is not JSON")?;
        match (status, body["decision"].as_str()) {
            (StatusCode::OK, Some("go_on")) => Ok(Answer::GoOn(body)),
            (StatusCode::UNAUTHORIZED, Some("challenged")) => Ok(Answer::Challenged(body)),
            (StatusCode::FORBIDDEN, _) => Ok(Answer::Ended(body)),
            _ => bail!("the gate answered {status}: {body}"),
        }
    }

    /// Waits at the status address until the human has answered.
    pub(super) async fn wait(&self, challenge: &Value) -> Result<Value> {
        let url = challenge["status_url"].as_str().context("the challenge names no status_url")?;
        loop {
            let response = self.http.get(format!("{url}?wait=30")).bearer_auth(&self.token).send().await?;
            let body: Value = response.error_for_status()?.json().await?;
            if body["status"] != "pending" {
                return Ok(body);
            }
            // The server may answer early when many are waiting.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Says how an announced call ended.
    pub(super) async fn report(&self, call: &Value) -> Result<()> {
        let id = call["event_id"].as_str().unwrap_or_default();
        let mut outcome = call.clone();
        outcome["event_id"] = json!(format!("{id}-outcome"));
        outcome["kind"] = json!("outcome");
        outcome["call_id"] = json!(id);
        self.append(std::iter::once(&outcome)).await.map(|_| ())
    }

    /// Appends calls that were made; returns what the server counted.
    pub(super) async fn append(&self, calls: impl Iterator<Item = &Value>) -> Result<Value> {
        let mut body = Vec::new();
        for call in calls {
            serde_json::to_writer(&mut body, call)?;
            body.push(b'\n');
        }
        self.append_lines(body).await
    }

    /// The same for lines that are written already. Waits where the server asks for it.
    pub(super) async fn append_lines(&self, body: Vec<u8>) -> Result<Value> {
        loop {
            let request = self.http.post(format!("{}/v1/calls", self.url)).bearer_auth(&self.token);
            let response =
                request.header("content-type", "application/x-ndjson").body(body.clone()).send().await?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                let seconds =
                    response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
                tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(1))).await;
                continue;
            }
            let status = response.status();
            let counts: Value = response.json().await?;
            if !status.is_success() || counts["rejected"] != 0 || counts["conflicts"] != 0 {
                bail!("the server answered {status}: {counts}");
            }
            return Ok(counts);
        }
    }
}

/// The recorded call as a request that is not made yet: no outcome is known.
fn announced(call: &Value) -> Value {
    let mut request = call.clone();
    request["kind"] = json!("request");
    request["call_id"] = call["event_id"].clone();
    if let Some(fields) = request.as_object_mut() {
        for outcome in ["status", "latency_ms", "bytes_out"] {
            fields.remove(outcome);
        }
    }
    request
}
