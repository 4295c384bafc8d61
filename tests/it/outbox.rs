//! How fast many revocations leave at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::json;

use crate::support::http;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};
use crate::support::wait;

const LIMIT: Duration = Duration::from_mins(5);
/// What is wanted.
const PER_S: f64 = 1_000.0;

/// Takes every delivery, in no time, and remembers its id.
struct Sink {
    url: String,
    ids: Arc<Mutex<BTreeSet<String>>>,
    listener: std::net::TcpListener,
}

impl Sink {
    /// A place that nobody listens at yet.
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        Self { url, ids: Arc::default(), listener }
    }

    fn listen(&self) {
        let ids = Arc::clone(&self.ids);
        let take = move |headers: HeaderMap| async move {
            let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
            ids.lock().expect("nobody panicked").insert(id);
        };
        let listener = self.listener.try_clone().expect("a second handle");
        listener.set_nonblocking(true).expect("to be polled");
        http::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, Router::new().route("/", post(take))).await.expect("it serves");
        });
    }
}

#[test]
fn many_revocations_leave_at_once() {
    let many = prove::scaled(300, 10_000);
    let stage = Stage::new();
    let sink = Sink::new();
    let webhook = format!(
        "[[webhooks]]\nname = \"sink\"\nurl = \"{}\"\nsecret_env = \"WEBHOOK_SECRET\"\nallow_insecure_target = true\n",
        sink.url
    );
    let settings = format!("{}\n{webhook}", stage.engine.store());
    let mut tocsin = Tocsin::start(stage.path(), &settings);
    let requests: Vec<_> = (0..many)
        .map(|n| {
            let body = json!({ "agent_id": format!("agent-{n}"), "issuer": ISSUER, "person": "Olga", "reason": "all" });
            tocsin.request(Method::POST, "/v1/agents/revoke", OPERATOR).json(&body)
        })
        .collect();
    // Nobody answers there yet: connections wait in the listener's queue, attempts fail or hang.
    http::block_on(stream::iter(requests).for_each_concurrent(16, |request| async {
        request.send().await.expect("an answer").error_for_status().expect("a revocation");
    }));
    tocsin.kill();
    sink.listen();
    tocsin.restart();
    let began = Instant::now();
    let before = sink.ids.lock().expect("nobody panicked").len();
    let all = wait::until(LIMIT, || (sink.ids.lock().expect("nobody panicked").len() >= many).then_some(()));
    assert!(all.is_some(), "{} of {many}", sink.ids.lock().expect("nobody panicked").len());
    let rate = (many - before) as f64 / began.elapsed().as_secs_f64();
    let goal = format!("at least {PER_S}");
    prove::row(
        "revocations out of the outbox a second",
        rate,
        [rate, rate],
        &goal,
        rate >= PER_S,
        "many_revocations",
    );
}
