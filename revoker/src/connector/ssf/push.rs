//! Push (RFC 8935): each token in a request of its own. 202 is success and nothing else is; a 400 that names an error is
//! final, since the same bytes would be refused again; whatever else comes is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use detector::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::Transmitter;
use super::set::{Set, jtis, sets};
use super::stream::authorization;
use crate::connector::http::{beginning, client, detail};
use crate::connector::target::Target;
use crate::connector::{Attempt, Connector, Outcome};
use crate::message::{Message, clip};
use crate::store::ssf::{self, Stream};
use crate::store::{StoreError, from_json};

/// From the first byte sent to the last byte read.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What is kept of an error's description.
const DESCRIPTION_BYTES_MAX: usize = 200;

/// The longest a receiver may ask us to wait.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// One push stream, or one that may become one: what it is it reads at each attempt.
pub(crate) struct Push {
    transmitter: Arc<Transmitter>,
    target: String,
    stream_id: String,
    /// Connections to where the stream last was.
    client: Mutex<Option<(Target, Client)>>,
}

/// What became of one token.
enum Pushed {
    Accepted,
    /// It is of no use there, as the receiver says.
    Refused(String),
    NotYet(Outcome),
}

impl Push {
    pub(super) fn new(transmitter: Arc<Transmitter>, stream: &Stream) -> Self {
        let (target, stream_id) = (stream.target(), stream.id.clone());
        Self { transmitter, target, stream_id, client: Mutex::new(None) }
    }

    async fn send(&self, message: &Message) -> Outcome {
        self.all(message).await.unwrap_or_else(|e| later(e.to_string()))
    }

    async fn all(&self, message: &Message) -> Result<Outcome, StoreError> {
        let revoker = &self.transmitter.revoker;
        let (id, target) = (self.stream_id.clone(), self.target.clone());
        let read = revoker.read_outbox(move |db| Ok((ssf::by_id(db, &id)?, ssf::answers(db, &target)?)));
        let (Some(stream), answered) = read.await? else {
            return Ok(Outcome::Hopeless { detail: "the stream is gone".to_owned() });
        };
        let Some(reader) = self.transmitter.reader(&stream) else {
            return Ok(later("the receiver is not configured".to_owned()));
        };
        let known = |jti: &str| answered.iter().any(|(known, _)| known == jti);
        let made = jtis(&reader, message)
            .and_then(|all| Ok((all, sets(&self.transmitter.signing.signer, &reader, message, known)?)));
        let (all, todo) = match made {
            Ok(made) => made,
            Err(detail) => return Ok(Outcome::Hopeless { detail }),
        };
        if all.is_empty() {
            // Asked for when it was decided, and no longer.
            return Ok(Outcome::Acknowledged { status: StatusCode::NO_CONTENT.as_u16() });
        }
        let mut refused: Vec<String> =
            answered.into_iter().filter(|(jti, _)| all.contains(jti)).filter_map(|(_, err)| err).collect();
        let endpoint = match self.endpoint(&stream) {
            Ok(endpoint) => endpoint,
            Err(why) => return Ok(later(why)),
        };
        let one = todo.len() == 1;
        for set in todo {
            let err = match endpoint.push(&set).await {
                Pushed::Accepted => None,
                Pushed::Refused(err) => Some(err),
                Pushed::NotYet(outcome) => return Ok(outcome),
            };
            refused.extend(err.clone());
            // So that a failure of the next one has this one not sent again. Of a single one the outcome says all.
            if !one {
                let target = self.target.clone();
                revoker.write(move |w| ssf::answer(w.tx(), &target, &set.jti, err.as_deref())).await?;
            }
        }
        if all.len() > 1 {
            let (target, event) = (self.target.clone(), message.id.clone());
            revoker.write(move |w| ssf::forget(w.tx(), &target, &event)).await?;
        }
        Ok(if refused.is_empty() {
            Outcome::Acknowledged { status: StatusCode::ACCEPTED.as_u16() }
        } else {
            Outcome::Hopeless { detail: refused.join("; ") }
        })
    }

    fn endpoint(&self, stream: &Stream) -> Result<Endpoint, String> {
        let insecure = self.transmitter.named(&stream.receiver).is_some_and(|receiver| receiver.insecure);
        let url = stream.wanted.endpoint_url.as_deref().ok_or("no endpoint to push to")?;
        let target = Target::new(url, insecure).map_err(|e| e.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/secevent+jwt"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(text) =
            authorization(self.transmitter.revoker.keys(), stream).map_err(|e| e.to_string())?
        {
            let mut value = HeaderValue::from_str(&text).map_err(|_| "the authorization header is none")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut held = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = held.as_ref()
            && *known == target
        {
            return Ok(Endpoint { client: client.clone(), target, headers });
        }
        let client = client(&target)?;
        *held = Some((target.clone(), client.clone()));
        Ok(Endpoint { client, target, headers })
    }
}

fn later(detail: String) -> Outcome {
    Outcome::Failed { status: None, detail, wait: None }
}

/// Where a stream is now.
struct Endpoint {
    client: Client,
    target: Target,
    headers: HeaderMap,
}

impl Endpoint {
    async fn push(&self, set: &Set) -> Pushed {
        let request =
            self.client.post(self.target.url().clone()).headers(self.headers.clone()).timeout(TIMEOUT);
        match request.body(set.token.clone()).send().await {
            Ok(response) => answered(response).await,
            Err(e) => Pushed::NotYet(later(detail(e))),
        }
    }
}

#[derive(Deserialize)]
struct Problem {
    err: String,
    #[serde(default)]
    description: Option<String>,
}

impl Problem {
    fn told(&self) -> String {
        let text = self.description.as_deref().unwrap_or_default();
        let err: String = self.err.chars().filter(char::is_ascii_graphic).take(64).collect();
        format!("{err}: {}", clip(text, DESCRIPTION_BYTES_MAX))
    }
}

async fn answered(response: Response) -> Pushed {
    let status = response.status();
    let wait = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
    let body = beginning(response).await;
    if status == StatusCode::ACCEPTED {
        return Pushed::Accepted;
    }
    let problem: Result<Problem, StoreError> = from_json("the answer", &String::from_utf8_lossy(&body));
    if let (StatusCode::BAD_REQUEST, Ok(problem)) = (status, problem) {
        return Pushed::Refused(problem.told());
    }
    let detail = match status {
        status if status.is_success() => "RFC 8935 has 202 say that a token was taken, and no other status",
        status if status.is_redirection() => "a redirect, which is not followed",
        _ => "refused",
    };
    Pushed::NotYet(Outcome::Failed { status: Some(status.as_u16()), detail: detail.to_owned(), wait })
}

impl Connector for Push {
    fn name(&self) -> &str {
        &self.target
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message))
    }
}
