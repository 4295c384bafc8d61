//! Keycloak itself: one server on a free loopback port, with a realm of its own in a scratch folder.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::parts::part;
use super::process::Process;
use super::{http, port};

/// It answers after 8 s on two idle cores.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Servers share the folder they were built in, which holds their transactions: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// The realm that `parts/keycloak/realm.json` describes; each client's secret is its name and `-secret`.
pub(crate) struct Keycloak {
    _process: Process,
    port: u16,
    _one: MutexGuard<'static, ()>,
}

impl Keycloak {
    /// Starts a server and waits until its realm answers.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, None)
    }

    /// The same, that has people asked for CIBA there.
    pub(crate) fn asking(folder: &Path, channel: &str) -> Self {
        let spi = "--spi-ciba-auth-channel--ciba-http-auth-channel--http-authentication-channel-uri";
        Self::start_with(folder, Some(format!("{spi}={channel}")))
    }

    fn start_with(folder: &Path, option: Option<String>) -> Self {
        // A test that failed while it had the server has ended it all the same.
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let data = folder.join("keycloak");
        std::fs::create_dir_all(&data).expect("a folder for Keycloak");
        let file = "keycloakdb.mv.db";
        std::fs::copy(part("keycloak/data").join(file), data.join(file)).expect("a database with the realm");
        let (home, port) = (part("keycloak/home"), port::free());
        let mut command = Command::new("java");
        command
            .args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dkc.home.dir={}", home.display()))
            .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
            .arg("-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory")
            .args(["java.util", "java.util.concurrent", "java.security"].map(|p| format!("--add-opens=java.base/{p}=ALL-UNNAMED")))
            .arg("-cp")
            .arg(home.join("lib/quarkus-run.jar"))
            .args(["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized"])
            .args(["--http-enabled=true", "--http-host=127.0.0.1", "--cache=local"])
            .arg(format!("--http-port={port}"))
            .args(option)
            .arg(format!("--hostname=http://127.0.0.1:{port}"))
            .arg(format!("--db-url=jdbc:h2:file:{}/keycloakdb;NON_KEYWORDS=VALUE", data.display()));
        let mut process = Process::start("Keycloak", &mut command, &folder.join("keycloak.out"));
        let realm = format!("http://127.0.0.1:{port}/realms/agents");
        process.ready("an answer of its realm", START_LIMIT, || {
            http::get(&realm).ok().filter(|answer| answer.status == 200)
        });
        Self { _process: process, port, _one: one }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The issuer of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/realms/agents", self.url())
    }

    /// An entry `[[keycloak]]` that does this.
    pub(crate) fn target(&self, name: &str, action: &str) -> String {
        format!(
            "[[keycloak]]\nname = \"{name}\"\naction = \"{action}\"\nurl = \"{}\"\nrealm = \"agents\"\n\
             client_id = \"tocsin\"\nclient_secret = \"tocsin-secret\"\nallow_insecure_target = true\n",
            self.url()
        )
    }

    /// A token by client credentials; none where they are refused.
    pub(crate) fn token(&self, client: &str) -> Option<String> {
        let secret = format!("{client}-secret");
        let form =
            [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret.as_str())];
        let url = format!("{}/protocol/openid-connect/token", self.issuer());
        let answer = http::send(http::request(Method::POST, &url).form(&form)).expect("Keycloak answers");
        answer.json()["access_token"].as_str().map(str::to_owned)
    }

    /// Whether the token lives, as another client is told by introspection.
    pub(crate) fn is_active(&self, token: &str) -> bool {
        let form = [("token", token), ("client_id", "checker"), ("client_secret", "checker-secret")];
        let url = format!("{}/protocol/openid-connect/token/introspect", self.issuer());
        let answer = http::send(http::request(Method::POST, &url).form(&form)).expect("Keycloak answers");
        answer.expect(200).json()["active"].as_bool().expect("yes or no")
    }

    /// Adds a client like `billing-agent`.
    pub(crate) fn add_agent(&self, client: &str) {
        let mut row = self.client("billing-agent");
        for key in ["id", "secret", "attributes"] {
            row.as_object_mut().expect("a client").remove(key);
        }
        for mapper in row["protocolMappers"].as_array_mut().expect("mappers") {
            mapper.as_object_mut().expect("a mapper").remove("id");
        }
        row["clientId"] = client.into();
        row["secret"] = format!("{client}-secret").into();
        let url = format!("{}/admin/realms/agents/clients", self.url());
        http::send(self.admin(Method::POST, &url).json(&row)).expect("Keycloak answers").expect(201);
    }

    /// Adds a client that may have streams of Shared Signals, and gives a token of it.
    pub(crate) fn transmits_to(&self, client: &str) -> String {
        let clients = format!("{}/admin/realms/agents/clients", self.url());
        let row = json!({ "clientId": client, "secret": format!("{client}-secret"), "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "attributes": { "ssf.enabled": "true" } });
        http::send(self.admin(Method::POST, &clients).json(&row)).expect("Keycloak answers").expect(201);
        let id = self.client(client)["id"].as_str().expect("an id").to_owned();
        let scopes = format!("{}/admin/realms/agents/client-scopes", self.url());
        let all = http::send(self.admin(Method::GET, &scopes)).expect("Keycloak answers").expect(200).json();
        let ssf = |scope: &&Value| scope["name"].as_str().is_some_and(|name| name.starts_with("ssf."));
        for scope in all.as_array().expect("scopes").iter().filter(ssf) {
            let url =
                format!("{clients}/{id}/default-client-scopes/{}", scope["id"].as_str().expect("an id"));
            http::send(self.admin(Method::PUT, &url)).expect("Keycloak answers").expect(204);
        }
        self.token(client).expect("a token")
    }

    /// Adds a user, and gives their subject.
    pub(crate) fn add_user(&self, name: &str, email: &str) -> String {
        let url = format!("{}/admin/realms/agents/users", self.url());
        let row = json!({ "username": name, "email": email, "emailVerified": true, "enabled": true,
            "firstName": name, "lastName": "Meyer" });
        http::send(self.admin(Method::POST, &url).json(&row)).expect("Keycloak answers").expect(201);
        let found = format!("{url}?exact=true&username={name}");
        let rows = http::send(self.admin(Method::GET, &found)).expect("Keycloak answers").expect(200).json();
        rows[0]["id"].as_str().expect("an id").to_owned()
    }

    /// Has people sign in at the client with their passwords: all of them have this one then.
    pub(crate) fn takes_passwords(&self, client: &str, users: &[String], password: &str) {
        let realm = format!("{}/admin/realms/agents", self.url());
        let id = self.client(client)["id"].as_str().expect("an id").to_owned();
        let change = json!({ "clientId": client, "directAccessGrantsEnabled": true });
        let url = format!("{realm}/clients/{id}");
        http::send(self.admin(Method::PUT, &url).json(&change)).expect("Keycloak answers").expect(204);
        for user in users {
            let url = format!("{realm}/users/{user}/reset-password");
            let row = json!({ "type": "password", "value": password, "temporary": false });
            http::send(self.admin(Method::PUT, &url).json(&row)).expect("Keycloak answers").expect(204);
        }
    }

    /// A token of a new session at the client, and the session's `sid`.
    pub(crate) fn sign_in(&self, client: &str, name: &str, password: &str) -> (String, String) {
        let form =
            [("grant_type", "password"), ("username", name), ("password", password), ("scope", "openid")];
        let token = self.post("token", client, &form).expect(200).json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = serde_json::from_slice(&claims.expect("a JWT")).expect("claims");
        let sid = claims["sid"].as_str().unwrap_or_else(|| panic!("no `sid` in {claims}")).to_owned();
        (token, sid)
    }

    /// Adds a client that may have users asked (CIBA, poll).
    pub(crate) fn add_asking(&self, client: &str) {
        let url = format!("{}/admin/realms/agents/clients", self.url());
        let row = json!({ "clientId": client, "secret": format!("{client}-secret"), "standardFlowEnabled": false,
            "attributes": { "oidc.ciba.grant.enabled": "true", "ciba.backchannel.token.delivery.mode": "poll" } });
        http::send(self.admin(Method::POST, &url).json(&row)).expect("Keycloak answers").expect(201);
    }

    /// What a client is answered that posts this form, as itself, under the realm's `protocol/openid-connect`.
    pub(crate) fn post(&self, path: &str, client: &str, more: &[(&str, &str)]) -> http::Answer {
        let secret = format!("{client}-secret");
        let form = [&[("client_id", client), ("client_secret", &secret)], more].concat();
        let url = format!("{}/protocol/openid-connect/{path}", self.issuer());
        http::send(http::request(Method::POST, &url).form(&form)).expect("Keycloak answers")
    }

    /// A client as the admin interface shows it.
    pub(crate) fn client(&self, client: &str) -> Value {
        let url = format!("{}/admin/realms/agents/clients?clientId={client}", self.url());
        let rows = http::send(self.admin(Method::GET, &url)).expect("Keycloak answers").expect(200).json();
        rows[0].clone()
    }

    /// Enables or disables a client, as its administrator.
    pub(crate) fn set_enabled(&self, client: &str, enabled: bool) {
        let row = self.client(client);
        let url =
            format!("{}/admin/realms/agents/clients/{}", self.url(), row["id"].as_str().expect("an id"));
        let change = json!({ "clientId": client, "enabled": enabled });
        http::send(self.admin(Method::PUT, &url).json(&change)).expect("Keycloak answers").expect(204);
    }

    fn admin(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        http::request(method, url).bearer_auth(self.token("tocsin").expect("an administrator's token"))
    }
}
