//! What the story plays on: the server with the embedded engine in this process, a receiver, people and credentials.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use revoker::approval::{ApproverName, enrol, invite};

use super::agent::Gateway;
use super::human::Human;
use super::narrator;
use super::receiver::Receiver;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::serve::Server;
use crate::telemetry;

/// Tells a folder that an earlier demo made from one that it must not clear.
const MARK: &str = "this-folder-is-the-demos";

/// What was appended is in the database after this at the latest.
const STORED_WITHIN: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) receiver: Receiver,
    pub(super) http: Client,
    pub(super) url: String,
    gateway: String,
    recorder: String,
    operator: String,
}

impl Stage {
    /// Clears the folder, writes a configuration as a user would, and starts everything from it.
    pub(super) async fn build(folder: &Path) -> Result<Self> {
        clear(folder)?;
        telemetry::logs("warn")?;
        narrator::now("demo", "starting ClickHouse, the two pipelines, the revoker and a webhook receiver …");
        let [secret, gateway, recorder, operator] = std::array::from_fn(|_| random());
        let secret = format!("whsec_{secret}");
        let receiver = Receiver::start(&secret).await.or_exit(Code::Unavailable)?;
        let text = configuration(folder, receiver.port, &secret, [&gateway, &recorder, &operator]);
        let config_file = folder.join("tocsin.toml");
        write_private(&config_file, &text)?;
        let config = Config::load(Some(&config_file))?;
        let server = Server::start(config).await?;
        let url = server.public_url().to_owned();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(90))
            .no_proxy()
            .build()?;
        Ok(Self { server, receiver, http, url, gateway, recorder, operator })
    }

    /// A gateway whose records may claim up to `token`.
    pub(super) fn gateway(&self) -> Gateway {
        Gateway { http: self.http.clone(), url: self.url.clone(), token: self.gateway.clone() }
    }

    /// The source of recorded logs, which nobody vouches for: its agents are challenged at most.
    pub(super) fn recorder(&self) -> Gateway {
        Gateway { token: self.recorder.clone(), ..self.gateway() }
    }

    /// Enrols a person, as `tocsin approver add` does.
    pub(super) async fn human(&self, name: &str) -> Result<Human> {
        let name = ApproverName::new(name)?;
        let enrolled =
            enrol(self.server.revoker(), name.clone(), Vec::new(), "demo".to_owned(), clock::now()).await?;
        Ok(Human::new(self.http.clone(), name.as_str(), enrolled.expose_address())?)
    }

    /// Waits until the database holds so many calls and their verdicts.
    pub(super) async fn stored(&self, calls: u64) -> anyhow::Result<()> {
        let sql = "SELECT (SELECT count() FROM calls_once) AS calls, (SELECT count() FROM verdicts_once) AS verdicts";
        let began = Instant::now();
        loop {
            let row = self.query(sql).await?.pop().context("no row")?;
            if row["calls"].as_u64() >= Some(calls) && row["verdicts"].as_u64() >= Some(calls) {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed() < STORED_WITHIN,
                "after {STORED_WITHIN:?} ClickHouse holds {row}, not {calls} calls"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asks the database.
    pub(super) async fn query(&self, sql: &str) -> anyhow::Result<Vec<serde_json::Value>> {
        let store = self.server.store().context("the database has not answered yet")?;
        Ok(store.query_json(sql).await?)
    }

    /// Says what is up and waits for Ctrl-C.
    pub(super) async fn stay(&self) -> Result<()> {
        narrator::chapter("Everything stays up until Ctrl-C");
        narrator::now("look", &format!("{}/metrics and /readyz", self.url));
        narrator::now("look", "in another terminal, from this folder:");
        narrator::detail(&format!("export TOCSIN_TOKEN={}", self.operator));
        narrator::detail(&format!("target/release/tocsin alerts --url {}", self.url));
        narrator::detail(&format!("target/release/tocsin agents list --url {}", self.url));
        self.offer().await?;
        Ok(tokio::signal::ctrl_c().await?)
    }

    /// Offers whoever looks on to become an approver and to answer a question that is open.
    async fn offer(&self) -> Result<()> {
        let name = ApproverName::new("You")?;
        let link = invite(self.server.revoker(), name, Vec::new(), "demo".to_owned(), clock::now()).await?;
        narrator::now("look", "in a browser: become an approver, with a passkey or an authenticator app");
        narrator::detail(&format!("{}{}", self.url, link.path()));
        let asked = self.http.get(format!("{}/v1/approvals?limit=1", self.url)).bearer_auth(&self.operator);
        let open: serde_json::Value = asked.send().await?.error_for_status()?.json().await?;
        let row = &open["rows"][0];
        if let (Some(page), Some(number)) = (row["page_url"].as_str(), row["binding_code"].as_str()) {
            narrator::now(
                "look",
                &format!("and answer for {}; its number is {number}", row["agent"]["agent_id"]),
            );
            narrator::detail(page);
        }
        Ok(())
    }

    /// Ends everything in order.
    pub(super) async fn strike(self) -> Result<()> {
        self.server.stop().await?;
        Ok(self.receiver.stop().await?)
    }
}

fn configuration(
    folder: &Path,
    receiver: u16,
    secret: &str,
    [gateway, recorder, operator]: [&str; 3],
) -> String {
    format!(
        r#"# Written by `tocsin demo`; a server of your own begins like this.
data_dir = '{data}'

[http]
listen = "127.0.0.1:0"

# A gateway that checks its agents' tokens: what it logs is worth a token.
[[http.credentials]]
name = "gateway"
token = "{gateway}"
roles = ["ingest", "gate"]
attestation_max = "token"
issuer = "https://idp.example"

# Recorded logs: nobody vouches for the names in them, so their agents are challenged at most.
[[http.credentials]]
name = "recorder"
token = "{recorder}"
roles = ["ingest", "gate"]
attestation_max = "none"

[[http.credentials]]
name = "operator"
token = "{operator}"
roles = ["operator"]

[[webhooks]]
name = "identity-platform"
url = "http://127.0.0.1:{receiver}/"
secret = "{secret}"
allow_insecure_target = true
"#,
        data = folder.join("data").display(),
    )
}

fn clear(folder: &Path) -> Result<()> {
    let told = || folder.display().to_string();
    if folder.exists() {
        if !folder.join(MARK).exists() && folder.read_dir().with_context(told)?.next().is_some() {
            let why = anyhow!("{} is not a folder that the demo made; give another --data", told());
            return Err(why).or_exit(Code::CantCreate);
        }
        std::fs::remove_dir_all(folder).with_context(told).or_exit(Code::CantCreate)?;
    }
    std::fs::create_dir_all(folder).with_context(told).or_exit(Code::CantCreate)?;
    std::fs::write(folder.join(MARK), "").with_context(told).or_exit(Code::CantCreate)
}

/// The file holds secrets: for its owner alone.
fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut f| f.write_all(text.as_bytes()));
    written.with_context(|| file.display().to_string()).or_exit(Code::CantCreate)
}

/// 32 random bytes, as a text that is a token and, behind `whsec_`, a signing secret.
fn random() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}
