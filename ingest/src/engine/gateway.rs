//! The HTTP interface of a ClickHouse server, as far as clients of ours use it: `POST /` with the statement as the body,
//! or with an `INSERT … FORMAT …` as `query` in the address and the data as the body.
//!
//! Every request shows the token as its password: in `X-ClickHouse-Key`, as the client does, or by HTTP Basic, as people
//! with `curl` do. Errors carry the engine's own words and, as a
//! server's do, the code in `X-ClickHouse-Exception-Code`. Bodies stream to the engine and are bounded.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::exception::{Exception, code};
use super::lane::{Chunk, Job, Lanes};
use super::statement::{Parameters, split_insert};

/// The longest statement, in bytes.
const SQL_BYTES_MAX: usize = 1 << 20;
/// The most data of one insert, in bytes.
const INSERT_BYTES_MAX: u64 = 512 << 20;
/// Pieces of an insert's data that may wait for the engine; a client sends at most a few hundred KiB in each.
const CHUNKS_MAX: usize = 4;
/// How long a client may pause within its data.
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Gateway {
    lanes: Lanes,
    token: [u8; 32],
    cut: CancellationToken,
}

/// What a request ends with if not with an answer.
struct Refusal {
    status: StatusCode,
    exception: Exception,
}

impl From<Exception> for Refusal {
    fn from(exception: Exception) -> Self {
        let status = match exception.code {
            Some(code::SYNTAX_ERROR | code::UNKNOWN_SETTING) => StatusCode::BAD_REQUEST,
            Some(code::AUTHENTICATION_FAILED) => StatusCode::FORBIDDEN,
            Some(code::TOO_MANY_BYTES) => StatusCode::PAYLOAD_TOO_LARGE,
            Some(code::TOO_MANY_SIMULTANEOUS_QUERIES) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, exception }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.exception.code.map(|code| [("X-ClickHouse-Exception-Code", code.to_string())]);
        (self.status, code, self.exception.text).into_response()
    }
}

/// The interface over `lanes`, for whoever shows `token`. What still comes in when `cut` is cancelled is cut off.
pub(super) fn router(lanes: Lanes, token: &str, cut: CancellationToken) -> Router {
    // Only the hash is compared, so neither length nor content of the token shows in the time it takes.
    let gateway = Gateway { lanes, token: Sha256::digest(token).into(), cut };
    Router::new().route("/", post(handle)).with_state(gateway)
}

async fn handle(
    State(gateway): State<Gateway>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Bytes, Refusal> {
    gateway.authenticate(request.headers())?;
    let parameters = Parameters::read(pairs)?;
    let body = request.into_body();
    match parameters.query.as_deref().and_then(split_insert) {
        Some((sql, format)) => gateway.insert(&parameters, sql, format, body).await,
        None => gateway.query(parameters, body).await,
    }
}

impl Gateway {
    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Exception> {
        let shown: [u8; 32] = Sha256::digest(password(headers).unwrap_or_default()).into();
        if bool::from(shown.ct_eq(&self.token)) {
            return Ok(());
        }
        let what = "the token is missing or is not the one this engine was started with";
        Err(Exception::new(code::AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED", what))
    }

    async fn query(&self, parameters: Parameters, body: Body) -> Result<Bytes, Refusal> {
        let body = to_bytes(body, SQL_BYTES_MAX).await.map_err(|_| too_many_bytes(SQL_BYTES_MAX as u64))?;
        let body = std::str::from_utf8(&body).map_err(|_| {
            Exception::new(
                code::SYNTAX_ERROR,
                "SYNTAX_ERROR",
                "the statement is not UTF-8; data goes with `query=INSERT`",
            )
        })?;
        let sql = parameters.query.map_or_else(|| body.to_owned(), |query| format!("{query}\n{body}"));
        let (reply, answer) = oneshot::channel();
        self.lanes.send(Job::Query { session: parameters.session, sql, format: parameters.format, reply })?;
        Ok(answered(answer).await?.into())
    }

    async fn insert(
        &self,
        parameters: &Parameters,
        sql: &str,
        format: &str,
        body: Body,
    ) -> Result<Bytes, Refusal> {
        let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
        let (reply, answer) = oneshot::channel();
        let session = parameters.session.clone();
        let (sql, format) = (sql.to_owned(), format.to_owned());
        self.lanes.send(Job::Insert { session, sql, format, chunks: receiver, reply })?;
        let cut = self.cut.run_until_cancelled(feed(body, chunks)).await;
        cut.unwrap_or_else(|| Err(closing()))?;
        answered(answer).await?;
        Ok(Bytes::new())
    }
}

/// The password a request shows.
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    if let Some(key) = headers.get("X-ClickHouse-Key") {
        return Some(key.as_bytes().to_vec());
    }
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let credentials = STANDARD.decode(credentials).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some(credentials[colon + 1..].to_vec())
}

/// Passes the body on, piece by piece. An insert that fails early does not stop the reading: a client that is cut off
/// while it writes never sees the reason.
async fn feed(mut body: Body, chunks: mpsc::Sender<Chunk>) -> Result<(), Exception> {
    let mut received = 0;
    while let Some(bytes) = next(&mut body).await? {
        received += bytes.len() as u64;
        if received > INSERT_BYTES_MAX {
            return Err(too_many_bytes(INSERT_BYTES_MAX));
        }
        drop(chunks.send(Chunk::Data(bytes)).await);
    }
    drop(chunks.send(Chunk::End).await);
    Ok(())
}

/// The next bytes of the body; none at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Exception> {
    loop {
        let frame = timeout(PAUSE_MAX, poll_fn(|context| Pin::new(&mut *body).poll_frame(context))).await;
        let Ok(frame) = frame else {
            let what = format_args!("no data for {} s", PAUSE_MAX.as_secs());
            return Err(Exception::new(code::TIMEOUT_EXCEEDED, "TIMEOUT_EXCEEDED", what));
        };
        match frame.transpose() {
            Ok(None) => return Ok(None),
            // Trailers are no data.
            Ok(Some(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Err(error) => return Err(Exception::new(code::ABORTED, "ABORTED", error)),
        }
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, Exception>>) -> Result<T, Exception> {
    answer.await.unwrap_or_else(|_| Err(closing()))
}

pub(super) fn closing() -> Exception {
    Exception::new(code::ABORTED, "ABORTED", "the engine is shutting down")
}

fn too_many_bytes(max: u64) -> Exception {
    Exception::new(code::TOO_MANY_BYTES, "TOO_MANY_BYTES", format_args!("more than {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stands_in_either_header() {
        let shown = |name: &'static str, value: &str| {
            let value = value.parse().unwrap();
            password(&HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), value)]))
        };
        assert_eq!(shown("x-clickhouse-key", "a:b"), Some(b"a:b".to_vec()));
        assert_eq!(shown("authorization", "Basic dG9jc2luOmE6Yg=="), Some(b"a:b".to_vec()), "tocsin:a:b");
        for none in ["Bearer dG9jc2luOmE6Yg==", "Basic dG9jc2lu", "Basic ###", "Basic", ""] {
            assert_eq!(shown("authorization", none), None, "{none}");
        }
        assert_eq!(password(&HeaderMap::new()), None);
    }
}
