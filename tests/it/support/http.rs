//! HTTP as a test wants it: one blocking call, a status and a body.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Longer than any long poll of ours.
const LIMIT: Duration = Duration::from_mins(1);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("a runtime for the tests' clients"));

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    // Somebody else in this process may have installed it before; either way it is there.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a plain client")
});

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// A header as text; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Fails unless the status is this one.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Waits for a future on the tests' own runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Runs a future beside the test, until the process ends.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    RUNTIME.spawn(future);
}

/// A request to be completed and sent.
pub(crate) fn request(method: Method, url: &str) -> RequestBuilder {
    CLIENT.request(method, url)
}

/// Sends; an `Err` is a connection that was refused, cut or too slow, which some tests ask for.
pub(crate) fn send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    block_on(async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.text().await? })
    })
}

/// `GET url`.
pub(crate) fn get(url: &str) -> Result<Answer, reqwest::Error> {
    send(request(Method::GET, url))
}
