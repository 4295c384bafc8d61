//! `tocsin mcp`: the server's tools on standard input and output, for clients that start a program and speak to it.
//!
//! Each line is one message. It is handed to the server's `/mcp` with the credential of the environment, and what comes back is a line.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{Semaphore, mpsc};

use crate::cli::ConfigArg;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::serve;

/// The longest message, in bytes; the server takes no longer ones.
const LINE_BYTES_MAX: u64 = 256 * 1_024;
/// Messages under way at once.
const AT_ONCE: usize = 64;
/// The code of an error of ours in JSON-RPC.
const FAILED: i32 = -32_000;

/// Speak the Model Context Protocol on standard input and output: gate and approvals of a server as tools.
#[derive(Args, Debug)]
#[command(after_help = "A credential with the role `gateway` is taken from TOCSIN_TOKEN.\n\n\
    Example:\n  TOCSIN_TOKEN=… tocsin mcp --url https://tocsin.example")]
pub(crate) struct McpArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The server's address; without it, `http.public_url` of the configuration.
    #[arg(long)]
    url: Option<String>,
}

/// Where messages go.
struct Server {
    client: Client,
    url: String,
    token: String,
    /// What the client and the server agreed on at the beginning, where they did.
    version: Mutex<Option<String>>,
}

/// Runs until standard input ends.
#[tokio::main]
pub(crate) async fn run(args: &McpArgs) -> Result<()> {
    serve::install_tls();
    let config = Config::load(args.config.config.as_deref())?;
    let base = args.url.clone().unwrap_or_else(|| config.http.public_url());
    let base = base.trim_end_matches('/');
    let unset =
        || anyhow!("environment variable TOCSIN_TOKEN is not set: a credential with the role `gateway`");
    let token = std::env::var("TOCSIN_TOKEN").map_err(|_| unset()).or_exit(Code::NoPerm)?;
    let server = Arc::new(Server {
        client: Client::builder().build().context("an HTTP client")?,
        url: format!("{base}/mcp"),
        token,
        version: Mutex::new(None),
    });
    let (say, said) = mpsc::channel(AT_ONCE);
    let writer = tokio::spawn(write(said));
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let mut line = String::new();
        if (&mut input).take(LINE_BYTES_MAX).read_line(&mut line).await? == 0 {
            break;
        }
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            let problem = error(&Value::Null, "a line that is no JSON message, or is too long");
            say.send(problem).await.ok();
            continue;
        };
        // What is agreed on at the beginning is needed by all that comes after.
        if message["method"] == "initialize" {
            server.answer(&message, &say).await;
            continue;
        }
        let place = Arc::clone(&room).acquire_owned().await.map_err(|e| anyhow!(e))?;
        let (server, say) = (Arc::clone(&server), say.clone());
        tokio::spawn(async move {
            server.answer(&message, &say).await;
            drop(place);
        });
    }
    drop(say);
    writer.await.map_err(|e| anyhow!(e))??;
    Ok(())
}

async fn write(mut said: mpsc::Receiver<Value>) -> std::io::Result<()> {
    let mut out = tokio::io::stdout();
    while let Some(message) = said.recv().await {
        out.write_all(format!("{message}\n").as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

fn error(id: &Value, words: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": FAILED, "message": words } })
}

impl Server {
    async fn answer(&self, message: &Value, say: &mpsc::Sender<Value>) {
        let told = self.told(message).await;
        let wants = !message["id"].is_null() && !message["method"].is_null();
        let told = match told {
            Ok(told) => told,
            Err(e) if wants => Some(error(&message["id"], &format!("{e:#}"))),
            Err(_) => None,
        };
        if let Some(told) = told {
            // Whoever reads may have gone.
            say.send(told).await.ok();
        }
    }

    async fn told(&self, message: &Value) -> anyhow::Result<Option<Value>> {
        let answer = self.request(message).send().await.context("the server cannot be reached")?;
        let status = answer.status();
        let body = answer.bytes().await.context("the server's answer broke off")?;
        if status == StatusCode::ACCEPTED || (status.is_success() && body.is_empty()) {
            return Ok(None);
        }
        let told: Value =
            serde_json::from_slice(&body).map_err(|_| anyhow!("the server answered {status}"))?;
        if told["jsonrpc"] != "2.0" {
            return Err(anyhow!("the server answered {status}: {}", told["title"]));
        }
        if let Some(version) =
            told["result"]["protocolVersion"].as_str().filter(|_| message["method"] == "initialize")
        {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.to_owned());
        }
        Ok(Some(told))
    }

    /// With the headers that say again what the message says, as the transport has it.
    fn request(&self, message: &Value) -> RequestBuilder {
        let params = &message["params"];
        let own = params["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str().map(str::to_owned);
        let version = own.or_else(|| self.version.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let name = ["name", "uri", "taskId"].into_iter().find_map(|field| params[field].as_str());
        let mut request = self
            .client
            .post(&self.url)
            .bearer_auth(&self.token)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        for (header, value) in [
            ("mcp-protocol-version", version.as_deref()),
            ("mcp-method", message["method"].as_str()),
            ("mcp-name", name),
        ] {
            if let Some(value) = value {
                request = request.header(header, value);
            }
        }
        request.body(message.to_string())
    }
}
