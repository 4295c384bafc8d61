//! A receiver of Shared Signals, and the libraries that verify what it is sent; none of them shares code with Tocsin.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::parts::{house, part};
use super::process::Process;
use super::tocsin::Tocsin;
use super::{http, port};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Whom all tokens of these tests are for.
pub(crate) const AUDIENCE: &str = "https://receiver.example";

/// An RSA key of 2,048 bits by OpenSSL; the file's address as TOML.
pub(crate) fn key(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(&path)
        .status()
        .expect("openssl runs");
    assert!(made.success());
    format!("\"{}\"", path.display())
}

/// Takes pushes.
pub(crate) struct SetReceiver {
    _process: Process,
    port: u16,
    log: PathBuf,
}

impl SetReceiver {
    /// Starts one that finds the transmitter by its address.
    pub(crate) fn start(folder: &Path, tocsin: &Tocsin) -> Self {
        part("peers/node_modules");
        let (port, log) = (port::free(), folder.join("sets.ndjson"));
        let mut command = Command::new("node");
        command
            .arg(house().join("parts/peers/ssf.mjs"))
            .args(["--issuer", &tocsin.url(""), "--audience", AUDIENCE, "--port", &port.to_string(), "--log"])
            .arg(&log);
        let mut process = Process::start("the SET receiver", &mut command, &folder.join("sets.out"));
        let address = ("127.0.0.1", port);
        process.ready("listener", START_LIMIT, || std::net::TcpStream::connect(address).ok());
        Self { _process: process, port, log }
    }

    /// Where to push.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port)
    }

    /// How it answers from now on: `{"status":503}`, `{"err":"invalid_request"}`, `{}`.
    pub(crate) fn behave(&self, how: &Value) {
        http::send(http::request(Method::PUT, &self.url()).json(how)).expect("it answers").expect(204);
    }

    /// What was pushed, all of it verified.
    pub(crate) fn pushed(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let all: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(all.iter().all(|push| push.get("refused").is_none()), "a token did not verify: {all:#?}");
        all
    }

    /// What it took: the events of tokens that it answered 202 for.
    pub(crate) fn taken(&self) -> Vec<String> {
        let taken = self.pushed().into_iter().filter(|push| push["answered"] == 202);
        taken.map(|push| event(&push["claims"])).collect()
    }
}

/// The name of a token's event, and whom it is about.
pub(crate) fn event(claims: &Value) -> String {
    let name = claims["events"].as_object().and_then(|events| events.keys().next()).expect("an event");
    let subject = claims["sub_id"]["sub"].as_str().unwrap_or_default();
    format!("{} {subject}", name.rsplit('/').next().unwrap_or_default()).trim_end().to_owned()
}

fn feed(command: &mut Command, tokens: &[String]) -> Vec<Value> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the verifier starts");
    let mut input = child.stdin.take().expect("its input");
    for token in tokens {
        writeln!(input, "{token}").expect("it reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "a token does not verify: {command:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(all.len(), tokens.len());
    all
}

/// The claims of tokens, verified by `jose` and by jwcrypto, which must agree; each with the key that signed it.
pub(crate) fn verified(folder: &Path, tocsin: &Tocsin, tokens: &[String]) -> Vec<Value> {
    part("peers/node_modules");
    let mut node = Command::new("node");
    node.arg(house().join("parts/peers/ssf.mjs")).args([
        "--check",
        "--issuer",
        &tocsin.url(""),
        "--audience",
        AUDIENCE,
    ]);
    let by_jose = feed(&mut node, tokens);

    part("pypi/jwcrypto");
    let jwks = folder.join("jwks.json");
    let published = http::get(&tocsin.url("/ssf/jwks.json")).expect("it answers").expect(200).body;
    std::fs::write(&jwks, published).expect("to write the keys");
    let mut python = Command::new("python3");
    python.arg(house().join("parts/pypi/verify.py")).arg(&jwks);
    let by_jwcrypto = feed(&mut python, tokens);

    for (jose, jwcrypto) in by_jose.iter().zip(&by_jwcrypto) {
        assert_eq!(jose["claims"], *jwcrypto);
    }
    by_jose
}

/// A receiver's hands.
pub(crate) struct Hand {
    base: String,
    token: &'static str,
}

impl Hand {
    pub(crate) fn new(tocsin: &Tocsin, token: &'static str) -> Self {
        Self { base: tocsin.url(""), token }
    }

    /// One request to the management interface.
    pub(crate) fn ask(&self, method: Method, path: &str, body: Option<Value>) -> http::Answer {
        let request = http::request(method, &format!("{}{path}", self.base)).bearer_auth(self.token);
        http::send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .expect("it answers")
    }

    /// A stream that gets everything; pushed to `to`, or polled. Gives its id.
    pub(crate) fn stream(&self, to: Option<&str>) -> String {
        let found = http::get(&format!("{}/.well-known/ssf-configuration", self.base)).expect("it answers");
        let endpoint = found.expect(200).json()["configuration_endpoint"].as_str().expect("one").to_owned();
        let path = endpoint.strip_prefix(&self.base).expect("one of its own").to_owned();
        let blank = self.ask(Method::POST, &path, Some(json!({}))).expect(201).json();
        let mut whole =
            json!({ "stream_id": blank["stream_id"], "events_requested": blank["events_supported"] });
        if let Some(to) = to {
            whole["delivery"] = json!({ "method": "urn:ietf:rfc:8935", "endpoint_url": to,
                "authorization_header": "Bearer of-a-push" });
        }
        let made = self.ask(Method::PUT, &path, Some(whole)).expect(200).json();
        assert_eq!(made["events_delivered"], made["events_supported"]);
        made["stream_id"].as_str().expect("an id").to_owned()
    }

    /// Sets a stream's status.
    pub(crate) fn status(&self, stream: &str, status: &str) {
        let body = json!({ "stream_id": stream, "status": status });
        self.ask(Method::POST, "/ssf/status", Some(body)).expect(200);
    }

    /// One poll; gives the tokens by `jti`.
    pub(crate) fn poll(&self, stream: &str, body: Value) -> Vec<(String, String)> {
        let polled = self.ask(Method::POST, &format!("/ssf/poll/{stream}"), Some(body)).expect(200).json();
        let sets = polled["sets"].as_object().expect("sets").iter();
        sets.map(|(jti, token)| (jti.clone(), token.as_str().expect("a token").to_owned())).collect()
    }
}
