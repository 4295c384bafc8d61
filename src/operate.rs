//! An operator's commands, sent to a running server: `tocsin alerts`, `pause`, `resume`, and what all of them share.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::cli::ConfigArg;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::terminal::{self, say};

/// Where the server is and who asks.
#[derive(Args, Debug)]
pub(crate) struct Target {
    #[command(flatten)]
    config: ConfigArg,
    /// The server's address; without it, `http.public_url` of the configuration.
    #[arg(long)]
    url: Option<String>,
    /// The person behind the command, for the audit; without it, whoever is logged in.
    #[arg(long)]
    person: Option<String>,
}

impl Target {
    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(self.config.config.as_deref())
    }

    pub(crate) fn person(&self) -> String {
        let logged_in = || std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        self.person.clone().unwrap_or_else(logged_in)
    }
}

/// List what was found and what was done about it, newest first.
#[derive(Args, Debug)]
#[command(after_help = "A credential with the role `operator` is taken from TOCSIN_TOKEN.\n\n\
    Example:\n  TOCSIN_TOKEN=… tocsin alerts --limit 20")]
pub(crate) struct AlertsArgs {
    /// How many, at most 1,000.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Pause automatic action, all of it or of some agents.
///
/// They are scored and watched, and what would have been done is written down.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tocsin pause --group invoicing --minutes 60 --reason 'release 4.2'")]
pub(crate) struct PauseArgs {
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
    /// When it ends by itself, minutes from now.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u32>,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    target: Target,
}

/// Let automatic action go on: ends the pause of the same agents.
#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    target: Target,
}

/// Which agents; all where nothing is named.
#[derive(Args, Debug)]
struct Scope {
    /// The agent of this name.
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// The agents of this issuer.
    #[arg(long)]
    issuer: Option<String>,
    /// The agents of this declared group.
    #[arg(long)]
    group: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Agent {
    /// The agent.
    pub(crate) agent_id: String,
    /// Under which issuer that is its name.
    #[arg(long)]
    pub(crate) issuer: Option<String>,
}

impl Agent {
    /// How a query names it.
    pub(crate) fn query(&self) -> Vec<(&str, &str)> {
        let issuer = self.issuer.as_deref().map(|issuer| ("issuer", issuer));
        std::iter::once(("agent_id", self.agent_id.as_str())).chain(issuer).collect()
    }
}

/// Runs `tocsin alerts`.
pub(crate) fn alerts(args: &AlertsArgs) -> Result<()> {
    let rows = ask(&args.target, Method::GET, "/v1/alerts", &[("limit", &args.limit.to_string())], None)?;
    print_rows(&rows, args.json, |row| {
        let mut line = format!(
            "{}  {:<12} {:>5.1} bits  {}  {}",
            row["ts"].as_str()?,
            row["action"].as_str()?,
            row["score"].as_f64()?,
            row["agent_id"].as_str()?,
            row["endpoint"].as_str()?,
        );
        // Alerts of earlier versions have none.
        let sentence =
            Some(&row["sentence"]).filter(|said| said.as_str().is_some_and(|said| !said.is_empty()));
        for reason in sentence.into_iter().chain(row["reasons"].as_array().into_iter().flatten()) {
            line.push_str("\n    ");
            line.push_str(reason.as_str()?);
        }
        Some(line)
    })
}

/// Runs `tocsin pause`.
pub(crate) fn pause(args: &PauseArgs) -> Result<()> {
    let until = args.minutes.map(|minutes| clock::now() + Duration::from_mins(minutes.into()));
    control(&args.target, "/v1/pause", &args.scope, json!({ "reason": args.reason, "until": until }))
}

/// Runs `tocsin resume`.
pub(crate) fn resume(args: &ResumeArgs) -> Result<()> {
    control(&args.target, "/v1/resume", &args.scope, json!({ "reason": args.reason }))
}

fn control(target: &Target, path: &str, scope: &Scope, mut body: Value) -> Result<()> {
    body["person"] = json!(target.person());
    for (field, name) in [("agent_id", &scope.agent), ("issuer", &scope.issuer), ("group", &scope.group)] {
        body[field] = json!(name);
    }
    terminal::json(&ask(target, Method::POST, path, &[], Some(body))?)
}

/// Sends a request to the server and gives its answer, a JSON object.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn ask(
    target: &Target,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: Option<Value>,
) -> Result<Value> {
    let url = match &target.url {
        Some(url) => url.clone(),
        None => Config::load(target.config.config.as_deref())?.http.public_url(),
    };
    let token = std::env::var("TOCSIN_TOKEN")
        .map_err(|_| {
            anyhow!("environment variable TOCSIN_TOKEN is not set: a credential with the role `operator`")
        })
        .or_exit(Code::NoPerm)?;
    crate::serve::install_tls();
    let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut request: RequestBuilder = client
        .request(method, format!("{}{path}", url.trim_end_matches('/')))
        .query(query)
        .bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request
        .send()
        .await
        .with_context(|| format!("no server answers at {url}"))
        .or_exit(Code::Unavailable)?;
    let status = response.status();
    let body: Value = response.json().await.context("the answer is not JSON").or_exit(Code::Unavailable)?;
    if status.is_success() {
        return Ok(body);
    }
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::NoPerm,
        s if s.is_client_error() => Code::DataErr,
        _ => Code::Unavailable,
    };
    let body = terminal::visible(&body);
    let detail = [&body["title"], &body["detail"]].into_iter().filter_map(Value::as_str).collect::<Vec<_>>();
    Err(anyhow!("{status}: {}", detail.join(". "))).or_exit(code)
}

/// Prints the answer's rows, each as `line` puts it; nothing hides in the texts that it is given.
pub(crate) fn print_rows(
    answer: &Value,
    as_json: bool,
    line: impl Fn(&Value) -> Option<String>,
) -> Result<()> {
    if as_json {
        return terminal::json(answer);
    }
    let rows = answer["rows"].as_array().context("the answer has no rows").or_exit(Code::Unavailable)?;
    for row in rows {
        // A row of a newer server that lacks what this one prints is shown as it came.
        let row = terminal::visible(row);
        say!("{}", line(&row).unwrap_or_else(|| row.to_string()));
    }
    if rows.is_empty() {
        say!("none");
    }
    Ok(())
}
