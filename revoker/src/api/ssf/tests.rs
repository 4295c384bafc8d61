//! The transmitter over a real socket, a real record and the real executor, to receivers that push and poll.

mod delivery;
mod manage;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::Timestamp;
use reqwest::Method;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Ssf, router};
use crate::agent::AgentKey;
use crate::api::{Caller, Role};
use crate::connector::signing::tests::{decode, file};
use crate::connector::ssf::{SsfConfig, Transmitter};
use crate::executor::{Executor, Ladder};
use crate::revoker::Revoker;
use crate::store::Page;
use crate::store::outbox::DeliveryRow;
use crate::testing::{damning, ungoverned};

/// The credentials of two receivers, and of an operator.
const IDP: &str = "receiver-idp-0123456789";
/// The second of the first, which changes nothing.
const READER: &str = "receiver-idp-reads-0123456789";
const SOC: &str = "receiver-soc-0123456789";
const OPERATOR: &str = "operator";

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
const PUSH: &str = "urn:ietf:rfc:8935";

/// Nothing here takes longer than moments; what does has hung.
const LIMIT: Duration = Duration::from_secs(30);

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::default() + since
}

/// An installation, and hands for both sides of it.
struct World {
    folder: TempDir,
    revoker: Revoker,
    address: SocketAddr,
    stop: CancellationToken,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Reply {
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }
}

impl World {
    async fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap(), &[]).await
    }

    async fn on(folder: TempDir, previous: &[&str]) -> Self {
        // Installed by another test: then it is this one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let revoker = crate::testing::open_as(folder.path(), ungoverned(&[]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let key = if previous.is_empty() { "a.pem" } else { "b.pem" };
        let previous: Vec<_> = previous.iter().map(|name| file(name)).collect();
        let config: SsfConfig = serde_json::from_value(json!({
            "issuer": "https://tocsin.example/t1", "key_file": file(key), "previous_key_files": previous,
            "receivers": [
                { "name": "idp", "token": IDP, "read_token": READER, "aud": "https://idp.example", "allow_insecure_target": true },
                { "name": "soc", "token": SOC, "aud": ["a", "b"], "events": ["session-revoked", "account-enabled"] }],
        }))
        .unwrap();
        let public_url = format!("http://{address}");
        let transmitter =
            Arc::new(Transmitter::new(&config, &public_url, revoker.clone(), |_| None).unwrap());
        transmitter.refresh(now()).await.unwrap();
        let ladder = Ladder::new(vec![Duration::from_millis(5); 1_000]);
        let executor = Executor::new(revoker.clone(), Vec::new()).streaming(Arc::clone(&transmitter)).with(
            Arc::new(now),
            Arc::new(|| 0.5),
            ladder,
        );
        tokio::spawn(executor.run(stop.clone()));
        let app = router(Ssf::new(transmitter, revoker.clone(), Arc::new(now), stop.clone()))
            .layer(from_fn(credentials));
        let until = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(until.cancelled_owned()).await.unwrap();
        });
        Self { folder, revoker, address, stop, client: reqwest::Client::new() }
    }

    /// Ends it, and starts another on what is on the disk, with a new key.
    async fn rotated(self) -> Self {
        self.stop.cancel();
        let Self { folder, revoker, .. } = self;
        drop(revoker);
        tokio::time::sleep(Duration::from_millis(200)).await;
        Self::on(folder, &["a.pem"]).await
    }

    async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = tokio::time::timeout(LIMIT, request.send()).await.expect("it hangs").unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Reply {
        self.ask(token, Method::POST, path, Some(body)).await
    }

    async fn get(&self, token: &str, path: &str) -> Reply {
        self.ask(token, Method::GET, path, None).await
    }

    /// A stream of the receiver `idp` that gets these CAEP events; pushed to `to`, or polled.
    async fn stream(&self, events: &[&str], to: Option<&str>) -> String {
        let events: Vec<String> = events.iter().map(|event| format!("{CAEP}{event}")).collect();
        let mut body = json!({ "events_requested": events });
        if let Some(to) = to {
            body["delivery"] =
                json!({ "method": PUSH, "endpoint_url": to, "authorization_header": "Bearer of-the-push" });
        }
        let made = self.post(IDP, "/ssf/streams", body).await.expect(201);
        made["stream_id"].as_str().unwrap().to_owned()
    }

    /// One poll that does not wait; gives the tokens' claims by `jti`, and whether there are more.
    async fn poll(&self, stream: &str, body: Value) -> (Vec<Value>, bool) {
        let mut body = body;
        body["returnImmediately"] = true.into();
        let polled = self.post(IDP, &format!("/ssf/poll/{stream}"), body).await.expect(200);
        let sets = polled["sets"].as_object().unwrap();
        let mut all = Vec::new();
        for (jti, token) in sets {
            let claims = self.verified(token.as_str().unwrap()).await;
            assert_eq!(claims["jti"], *jti);
            all.push(claims);
        }
        // Event ids are random, and a JSON object has no order.
        all.sort_by_key(|claims| (claims["sub_id"]["sub"].to_string(), claims["jti"].to_string()));
        (all, polled["moreAvailable"].as_bool().unwrap())
    }

    /// The claims of a token whose signature a published key made.
    async fn verified(&self, token: &str) -> Value {
        let jwks = self.get("", "/ssf/jwks.json").await.expect(200);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let header = decode(header);
        assert_eq!(header["typ"], "secevent+jwt");
        let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
        let [n, e] = ["n", "e"].map(|part| URL_SAFE_NO_PAD.decode(key[part].as_str().unwrap()).unwrap());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .unwrap();
        decode(claims)
    }

    fn revoke(&self, n: u32, agent: &str) {
        self.revoker.handle(&damning(n, now(), agent), now()).unwrap();
    }

    async fn reinstate(&self, agent: &str) {
        let agent = AgentKey::new(Some("https://idp.example"), agent);
        self.revoker.reinstate(agent, "ann".to_owned(), "all clear".to_owned(), now()).await.unwrap();
    }

    /// Waits until the deliveries, oldest first, are as wanted.
    async fn until(&self, wanted: impl Fn(&[DeliveryRow]) -> bool) -> Vec<DeliveryRow> {
        let mut changes = self.revoker.changes();
        let look = async {
            loop {
                changes.mark_unchanged();
                let mut rows = self.revoker.deliveries(Page::new(1_000, None), None).await.unwrap();
                rows.reverse();
                if wanted(&rows) {
                    return rows;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, look).await.expect("it hangs")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The middleware that the executable brings, for the operator alone.
async fn credentials(mut request: Request, next: Next) -> axum::response::Response {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if header == Some("Bearer operator") {
        let caller = Caller {
            name: OPERATOR.to_owned(),
            source: OPERATOR.to_owned(),
            roles: vec![Role::Analyst, Role::Admin],
            agent: None,
        };
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// The name of the one event of a token.
fn event(claims: &Value) -> String {
    let events = claims["events"].as_object().unwrap();
    assert_eq!(events.len(), 1, "{claims}");
    events.keys().next().unwrap().rsplit('/').next().unwrap().to_owned()
}
