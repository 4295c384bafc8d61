//! oidc-provider: a certified authorization server, everything in memory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::parts::{house, part};
use super::process::Process;
use super::{http, port};

const START_LIMIT: Duration = Duration::from_mins(1);

/// A running server, with the clients `billing-agent`, `checker` and `tocsin`; each one's secret is its name and `-secret`.
pub(crate) struct Oidc {
    _process: Process,
    port: u16,
}

impl Oidc {
    /// Starts it and waits until it listens.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::pinging(folder, None)
    }

    /// The same, that pings its client `approvals-ping` there.
    pub(crate) fn pinging(folder: &Path, there: Option<&str>) -> Self {
        part("oidc/node_modules");
        let port = port::free();
        let mut command = Command::new("node");
        command.arg(house().join("parts/oidc/provider.mjs")).arg(port.to_string()).args(there);
        let mut process = Process::start("oidc-provider", &mut command, &folder.join("oidc.out"));
        process.ready("listener", START_LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port }
    }

    /// The issuer of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An entry `[[oauth]]`.
    pub(crate) fn target(&self, name: &str) -> String {
        let issuer = self.issuer();
        format!(
            "[[oauth]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nrevocation_url = \"{issuer}/token/revocation\"\n\
             introspection_url = \"{issuer}/token/introspection\"\nclient_id = \"tocsin\"\n\
             client_secret = \"tocsin-secret\"\nallow_insecure_target = true\n"
        )
    }

    /// A token by client credentials.
    pub(crate) fn token(&self, client: &str) -> String {
        let answer = self.post("/token", client, &[("grant_type", "client_credentials")]);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether the token lives, as another client is told by introspection.
    pub(crate) fn is_active(&self, token: &str) -> bool {
        self.post("/token/introspection", "checker", &[("token", token)])["active"]
            .as_bool()
            .expect("yes or no")
    }

    /// Whom it has asked, and what their apps show.
    pub(crate) fn asked(&self) -> Vec<Value> {
        let answer =
            http::get(&format!("{}/people", self.issuer())).expect("the provider answers").expect(200);
        answer.json().as_array().expect("a list").clone()
    }

    /// Somebody presses a button.
    pub(crate) fn press(&self, asked: &Value, yes: bool, acr: &str) {
        let body = serde_json::json!({ "id": asked["id"], "yes": yes, "acr": acr });
        let request = http::request(Method::POST, &format!("{}/people", self.issuer())).json(&body);
        http::send(request).expect("the provider answers").expect(204);
    }

    fn post(&self, path: &str, client: &str, more: &[(&str, &str)]) -> Value {
        let secret = format!("{client}-secret");
        let form = [&[("client_id", client), ("client_secret", &secret)], more].concat();
        let request = http::request(Method::POST, &format!("{}{path}", self.issuer())).form(&form);
        http::send(request).expect("the provider answers").expect(200).json()
    }
}
