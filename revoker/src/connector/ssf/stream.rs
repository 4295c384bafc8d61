//! A stream's configuration (SSF 1.0 section 8.1.1): what a receiver may say of it, and what it is told.

use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::Receiver;
use super::event::{self, EventType};
use super::{POLL, PUSH, Refusal, Transmitter};
use crate::connector::target::Target;
use crate::keys::{KeyError, Keys};
use crate::store::ssf::{Method, Stream, Wanted};

/// Bounds of what a receiver may have us keep.
const EVENTS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 2_000;

/// A configuration as a receiver sends it. What the transmitter supplies may be among it and must then be right; anything
/// else is ignored.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    pub(crate) stream_id: Option<String>,
    #[serde(default)]
    events_requested: Option<Vec<String>>,
    #[serde(default)]
    delivery: Option<Delivery>,
    #[serde(default)]
    description: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// How tokens are to come.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Delivery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization_header: Option<String>,
}

/// How what is sent meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new stream: what the transmitter supplies is not the receiver's to know yet.
    Create,
    /// PATCH: what is not said stays.
    Update,
    /// PUT: what is not said goes.
    Replace,
}

impl Transmitter {
    /// The stream as it is after the receiver's word.
    pub(super) fn changed(
        &self,
        receiver: &Receiver,
        stream: &Stream,
        sent: Sent,
        change: Change,
    ) -> Result<Stream, Refusal> {
        let mut after = stream.clone();
        if change != Change::Create {
            self.check_ours(receiver, stream, &sent)?;
        }
        if sent.events_requested.is_some() || change != Change::Update {
            after.wanted.events_requested = sent.events_requested.unwrap_or_default();
        }
        if sent.description.is_some() || change != Change::Update {
            after.wanted.description = sent.description;
        }
        match (sent.delivery, change) {
            (None, Change::Update) => {}
            (delivery, _) => {
                let keep = change == Change::Update;
                self.set_delivery(receiver, &mut after, delivery.unwrap_or_default(), keep)?;
            }
        }
        check_bounds(&after.wanted)?;
        after.kinds = kinds(receiver, &after.wanted);
        Ok(after)
    }

    fn set_delivery(
        &self,
        receiver: &Receiver,
        stream: &mut Stream,
        sent: Delivery,
        keep: bool,
    ) -> Result<(), Refusal> {
        let before = stream.method;
        stream.method = match sent.method.as_deref() {
            Some(PUSH) => Method::Push,
            None if keep => before,
            Some(POLL) | None => Method::Poll,
            Some(_) => return Err(Refusal::bad(format!("`delivery.method` is `{PUSH}` or `{POLL}`"))),
        };
        let keep = keep && stream.method == before;
        if stream.method == Method::Poll {
            let ours = self.poll_url(&stream.id);
            if keep && sent.endpoint_url.is_some_and(|url| url != ours) {
                return Err(Refusal::bad(
                    "`delivery.endpoint_url` of a poll stream is the transmitter's to set",
                ));
            }
            (stream.wanted.endpoint_url, stream.authorization) = (None, None);
            return Ok(());
        }
        if let Some(url) = sent.endpoint_url {
            Target::new(&url, receiver.insecure)
                .map_err(|e| Refusal::bad(format!("`delivery.endpoint_url`: {e}")))?;
            stream.wanted.endpoint_url = Some(url);
        } else if !keep {
            return Err(Refusal::bad("`delivery.endpoint_url` says where to push to, and is missing"));
        }
        if let Some(header) = sent.authorization_header {
            if header.len() > TEXT_BYTES_MAX || HeaderValue::from_str(&header).is_err() {
                return Err(Refusal::bad("`delivery.authorization_header` is no value of a header"));
            }
            stream.authorization = Some(seal(self.revoker.keys(), &stream.id, &header)?);
        } else if !keep {
            stream.authorization = None;
        }
        Ok(())
    }

    /// What the transmitter supplies must match where it is sent.
    fn check_ours(&self, receiver: &Receiver, stream: &Stream, sent: &Sent) -> Result<(), Refusal> {
        let ours = self.ours(receiver, stream);
        for (name, value) in &sent.rest {
            let known = ours.get(name).or_else(|| (name == "inactivity_timeout").then_some(&Value::Null));
            if known.is_some_and(|known| known != value) {
                return Err(Refusal::bad(format!("`{name}` is the transmitter's to set, and is another")));
            }
        }
        Ok(())
    }

    fn ours(&self, receiver: &Receiver, stream: &Stream) -> Map<String, Value> {
        let uris =
            |events: &[EventType]| events.iter().map(|event| Value::from(event.uri())).collect::<Vec<_>>();
        let ours = [
            ("iss", Value::from(self.signing.issuer.as_str())),
            ("aud", receiver.aud.clone()),
            ("events_supported", uris(&receiver.events).into()),
            ("events_delivered", uris(&delivered(receiver, &stream.wanted)).into()),
            ("min_verification_interval", self.interval.as_secs().into()),
        ];
        let timeout = self.inactivity.map(|timeout| ("inactivity_timeout", timeout.as_secs().into()));
        ours.into_iter().chain(timeout).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The whole configuration, as its receiver sees it.
    pub(super) fn shown(&self, receiver: &Receiver, stream: &Stream) -> Result<Value, Refusal> {
        let delivery = match stream.method {
            Method::Push => Delivery {
                method: Some(PUSH.to_owned()),
                endpoint_url: stream.wanted.endpoint_url.clone(),
                authorization_header: authorization(self.revoker.keys(), stream)?,
            },
            Method::Poll => Delivery {
                method: Some(POLL.to_owned()),
                endpoint_url: Some(self.poll_url(&stream.id)),
                authorization_header: None,
            },
        };
        let mut shown = self.ours(receiver, stream);
        shown.insert("stream_id".to_owned(), stream.id.clone().into());
        shown.insert("events_requested".to_owned(), stream.wanted.events_requested.clone().into());
        shown.insert("delivery".to_owned(), json!(delivery));
        if let Some(description) = &stream.wanted.description {
            shown.insert("description".to_owned(), description.clone().into());
        }
        Ok(Value::Object(shown))
    }

    fn poll_url(&self, stream_id: &str) -> String {
        format!("{}/ssf/poll/{stream_id}", self.base)
    }
}

fn check_bounds(wanted: &Wanted) -> Result<(), Refusal> {
    let long = |text: &String| text.len() > TEXT_BYTES_MAX;
    let too_much = wanted.events_requested.len() > EVENTS_MAX
        || wanted.events_requested.iter().chain(&wanted.description).chain(&wanted.endpoint_url).any(long);
    if too_much {
        let most = format!(
            "at most {EVENTS_MAX} events are requested, and no text has more than {TEXT_BYTES_MAX} bytes"
        );
        return Err(Refusal::bad(most));
    }
    Ok(())
}

/// The events of a stream: those that its receiver may have and asked for.
pub(super) fn delivered(receiver: &Receiver, wanted: &Wanted) -> Vec<EventType> {
    let asked: Vec<EventType> =
        wanted.events_requested.iter().filter_map(|uri| EventType::from_uri(uri)).collect();
    receiver.events.iter().copied().filter(|event| asked.contains(event)).collect()
}

/// The types of messages that become one of them.
pub(super) fn kinds(receiver: &Receiver, wanted: &Wanted) -> Vec<String> {
    event::kinds(&delivered(receiver, wanted)).into_iter().map(str::to_owned).collect()
}

/// What the header of a stream's pushes is sealed for.
pub(crate) fn purpose(stream_id: &str) -> String {
    format!("ssf/{stream_id}")
}

fn seal(keys: &Keys, stream_id: &str, header: &str) -> Result<Vec<u8>, KeyError> {
    keys.seal(&purpose(stream_id), header.as_bytes())
}

/// The header of a stream's pushes, in the clear.
pub(super) fn authorization(keys: &Keys, stream: &Stream) -> Result<Option<String>, KeyError> {
    let Some(sealed) = &stream.authorization else { return Ok(None) };
    let opened = keys.open_sealed(&purpose(&stream.id), sealed)?;
    Ok(Some(String::from_utf8_lossy(opened.expose()).into_owned()))
}
