//! A real HTTP receiver that behaves as badly as it is told to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use futures_util::stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::connector::webhook::{Secrets, Webhook};
use crate::connector::{Route, target::Target};

/// What everybody's receiver shares with the sender.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What to do with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// With a JSON body.
    Json(u16, &'static str),
    /// 200, and white space for ever.
    Endless,
    Redirect,
    /// Takes the request and never answers.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    drop_connections: usize,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: watch::Sender<Vec<Seen>>,
}

/// Accepts, and closes the first few connections without a word.
struct Rude {
    listener: TcpListener,
    script: Arc<Mutex<Script>>,
}

impl Listener for Rude {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = Listener::accept(&mut self.listener).await;
            let mut script = self.script.lock().unwrap();
            if script.drop_connections == 0 {
                return accepted;
            }
            script.drop_connections -= 1;
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Receiver {
    /// Listens on a free port of this host until the runtime ends. Answers 200 once the replies are used up.
    pub(crate) async fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script { replies: replies.iter().copied().collect(), drop_connections: 0 };
        let script = Arc::new(Mutex::new(script));
        let receiver = Self { address, script: Arc::clone(&script), seen: watch::Sender::new(Vec::new()) };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(Rude { listener, script }, app).await });
        receiver
    }

    pub(crate) fn drop_connections(&self, count: usize) {
        self.script.lock().unwrap().drop_connections = count;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn webhook(&self, name: &str) -> Webhook {
        let route = Route { name: name.to_owned(), ..Route::default() };
        Webhook::new(route, Target::new(&self.url(), true).unwrap(), Secrets::parse(SECRET).unwrap()).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Waits until so many requests came.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Seen> {
        self.seen.subscribe().wait_for(|seen| seen.len() >= count).await.unwrap().clone()
    }
}

async fn receive(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let reply = receiver.script.lock().unwrap().replies.pop_front().unwrap_or(Reply::Status(200));
    receiver.seen.send_modify(|seen| seen.push(Seen { path: uri.path().to_owned(), headers, body }));
    let status = |code| StatusCode::from_u16(code).unwrap();
    match reply {
        Reply::Status(code) => status(code).into_response(),
        Reply::RetryAfter(code, after) => (status(code), [("retry-after", after)]).into_response(),
        Reply::Json(code, body) => {
            (status(code), [("content-type", "application/json")], body).into_response()
        }
        Reply::Endless => {
            let space = || Ok::<_, Infallible>(Bytes::from_static(&[b' '; 8 * 1024]));
            Body::from_stream(stream::repeat_with(space)).into_response()
        }
        Reply::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Reply::Hang => std::future::pending().await,
    }
}
