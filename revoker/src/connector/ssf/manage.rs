//! What receivers do with their streams, and operators of ours with anybody's. Each is one transaction with its audit entry.

use std::time::Duration;

use detector::Timestamp;
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::config::{DefaultSubjects, Receiver};
use super::event::{STREAM_UPDATED, VERIFICATION};
use super::stream::{Change, Sent, kinds};
use super::subject::is_subject;
use super::{Refusal, Transmitter};
use crate::agent::{AgentKey, Txn};
use crate::keys::KeyError;
use crate::revoker::Write;
use crate::store::ssf::{self, Method, Stream, StreamStatus, Wanted};
use crate::store::{StoreError, outbox, to_json};

/// Streams that one receiver may have.
const STREAMS_MAX: usize = 8;

/// Subjects that one stream may leave out, or where none are in it by default, be told of.
const SUBJECTS_MAX: u32 = 1_000;

/// A sign of a receiver is written down once in this part of its time, and that much later it is taken for silent.
const LAG: u32 = 8;

/// The longest reason or state that is kept.
const TEXT_BYTES_MAX: usize = 1_000;

impl Transmitter {
    /// Makes a stream; gives its configuration.
    pub(crate) async fn create(&self, who: &Receiver, sent: Sent, now: Timestamp) -> Result<Value, Refusal> {
        let blank = Stream {
            id: format!("{:032x}", rand::random::<u128>()),
            receiver: who.name.clone(),
            method: Method::Poll,
            status: StreamStatus::Enabled,
            reason: None,
            ours: false,
            wanted: Wanted::default(),
            kinds: Vec::new(),
            authorization: None,
            verified_at: None,
            added_only: self.default_subjects == DefaultSubjects::None,
            active_at: now,
        };
        let stream = self.changed(who, &blank, sent, Change::Create)?;
        let shown = self.shown(who, &stream)?;
        self.revoker
            .write(move |w| {
                if ssf::of_receiver(w.tx(), &stream.receiver)?.len() >= STREAMS_MAX {
                    return Err(Refusal::Conflict(format!("a receiver has at most {STREAMS_MAX} streams")));
                }
                ssf::put(w.tx(), &stream, now)?;
                record(w, &stream, "ssf.stream.created", now)
            })
            .await?;
        self.told();
        Ok(shown)
    }

    /// The configuration of one stream of the receiver.
    pub(crate) async fn stream(
        &self,
        who: &Receiver,
        stream_id: String,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let stream = self.owned(who, stream_id, now).await?;
        self.shown(who, &stream)
    }

    /// The configurations of all of them.
    pub(crate) async fn streams(&self, who: &Receiver) -> Result<Value, Refusal> {
        let name = who.name.clone();
        let streams = self.revoker.read(move |db| ssf::of_receiver(db, &name)).await?;
        streams.iter().map(|stream| self.shown(who, stream)).collect()
    }

    /// The stream that its receiver speaks of, which is a sign of it.
    pub(super) async fn owned(
        &self,
        who: &Receiver,
        stream_id: String,
        now: Timestamp,
    ) -> Result<Stream, Refusal> {
        let found = self.revoker.read(move |db| ssf::by_id(db, &stream_id)).await?;
        let stream = own(found, &who.name)?;
        if self.inactivity.is_some_and(|timeout| now.since(stream.active_at) >= timeout / LAG) {
            let id = stream.id.clone();
            self.revoker.write(move |w| ssf::touch(w.tx(), &id, now)).await?;
        }
        Ok(stream)
    }

    /// Changes or replaces a stream's configuration; gives the whole of it.
    pub(crate) async fn update(
        &self,
        who: &Receiver,
        sent: Sent,
        change: Change,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let id = sent.stream_id.clone().ok_or_else(|| Refusal::bad("`stream_id` is missing"))?;
        let before = self.owned(who, id, now).await?;
        let after = self.changed(who, &before, sent, change)?;
        let shown = self.shown(who, &after)?;
        self.revoker
            .write(move |w| {
                // What time and others changed since it was read stays theirs.
                let stream = own(ssf::by_id(w.tx(), &after.id)?, &after.receiver)?;
                let Stream { method, wanted, kinds, authorization, .. } = after;
                let stream = Stream { method, wanted, kinds, authorization, ..stream };
                ssf::put(w.tx(), &stream, now)?;
                record(w, &stream, "ssf.stream.updated", now)
            })
            .await?;
        Ok(shown)
    }

    /// Deletes a stream with all that waits for it.
    pub(crate) async fn delete(
        &self,
        who: &Receiver,
        stream_id: String,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let name = who.name.clone();
        self.revoker
            .write(move |w| {
                let stream = own(ssf::by_id(w.tx(), &stream_id)?, &name)?;
                ssf::delete(w.tx(), &stream, now)?;
                record(w, &stream, "ssf.stream.deleted", now)
            })
            .await?;
        self.told();
        Ok(())
    }

    /// What a receiver sees of a stream's status.
    pub(crate) async fn status(
        &self,
        who: &Receiver,
        stream_id: String,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        Ok(status_of(&self.owned(who, stream_id, now).await?))
    }

    /// A receiver's own change of status.
    pub(crate) async fn set_status(
        &self,
        who: &Receiver,
        stream_id: String,
        (status, reason): (StreamStatus, Option<String>),
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let reason = short("reason", reason)?;
        let name = who.name.clone();
        self.owned(who, stream_id.clone(), now).await?;
        self.revoker
            .write(move |w| {
                let stream = own(ssf::by_id(w.tx(), &stream_id)?, &name)?;
                if stream.ours && stream.status != StreamStatus::Enabled && stream.status != status {
                    return Err(Refusal::Forbidden("the transmitter set this status".to_owned()));
                }
                let after = turn(w, &stream, status, (reason, false), now)?;
                Ok(status_of(&after))
            })
            .await
    }

    /// An operator's change of status, of which the receiver is told: last before tokens cease, first when they flow again.
    pub(crate) async fn set_status_by(
        &self,
        by: String,
        stream_id: String,
        (status, reason): (StreamStatus, String),
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        self.revoker
            .write(move |w| {
                let stream = ssf::by_id(w.tx(), &stream_id)?.ok_or(Refusal::NotFound)?;
                let after = turn(w, &stream, status, (Some(reason.clone()), true), now)?;
                if stream.status != status {
                    let notice = json!({ "status": status, "reason": reason });
                    notify(w, &after, STREAM_UPDATED, &after.target(), notice, now)?;
                }
                let body = json!({ "stream": after.target(), "status": status, "by": by, "reason": reason });
                w.audit(None, "ssf.stream.status", &body, now)?;
                Ok(status_of(&after))
            })
            .await
    }

    /// All streams of all receivers, as operators see them: no secret, no description by others.
    pub(crate) async fn listed(&self) -> Result<Value, Refusal> {
        let streams = self.revoker.read(ssf::all).await?;
        let row = |stream: &Stream| {
            json!({
                "stream_id": stream.id,
                "receiver": stream.receiver,
                "target": stream.target(),
                "method": stream.method,
                "status": stream.status,
                "reason": stream.reason,
                "endpoint": origin(stream),
                "kinds": stream.kinds,
            })
        };
        Ok(streams.iter().map(row).collect())
    }

    /// Takes a subject out of a stream, or puts it in again.
    pub(crate) async fn set_subject(
        &self,
        who: &Receiver,
        stream_id: String,
        (subject, removed): (Value, bool),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !is_subject(&subject) || subject.to_string().len() > TEXT_BYTES_MAX {
            return Err(Refusal::bad("`subject` is no subject identifier (RFC 9493)"));
        }
        self.owned(who, stream_id.clone(), now).await?;
        let name = who.name.clone();
        self.revoker
            .write(move |w| {
                let stream = own(ssf::by_id(w.tx(), &stream_id)?, &name)?;
                if !ssf::set_removed(w.tx(), &stream, &subject, removed, SUBJECTS_MAX)? {
                    let most = format!("a stream leaves out, or is told of, at most {SUBJECTS_MAX} subjects");
                    return Err(Refusal::Forbidden(most));
                }
                let kind = if removed { "ssf.subject.removed" } else { "ssf.subject.added" };
                w.audit(None, kind, &json!({ "stream": stream.target(), "subject": subject }), now)?;
                Ok(())
            })
            .await
    }

    /// Has a verification event sent.
    pub(crate) async fn verify(
        &self,
        who: &Receiver,
        stream_id: String,
        state: Option<String>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let state = short("state", state)?;
        self.owned(who, stream_id.clone(), now).await?;
        let (name, interval) = (who.name.clone(), self.interval);
        self.revoker
            .write(move |w| {
                let mut stream = own(ssf::by_id(w.tx(), &stream_id)?, &name)?;
                if stream.status != StreamStatus::Enabled {
                    return Err(Refusal::bad("the stream is not enabled, so nothing may be sent on it"));
                }
                let due = stream.verified_at.map(|at| at + interval).filter(|due| now < *due);
                if let Some(due) = due {
                    return Err(Refusal::TooSoon(due.since(now)));
                }
                stream.verified_at = Some(now);
                ssf::put(w.tx(), &stream, now)?;
                let notice = state.map_or_else(|| json!({}), |state| json!({ "state": state }));
                // Under a subject of its own: while a stream is paused only what it is told of its status goes out.
                let subject = format!("{}/verification", stream.target());
                Ok(notify(w, &stream, VERIFICATION, &subject, notice, now)?)
            })
            .await
    }

    /// Has every stream get what its receiver may have by the configuration as it is now. Whoever could not be heard is given their
    /// time anew.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), StoreError> {
        let (receivers, waits) = (self.receivers.clone(), self.inactivity.is_some());
        self.revoker
            .write(move |w| {
                renew(w, &receivers, now)?;
                let streams = if waits { ssf::all(w.tx())? } else { Vec::new() };
                streams.iter().try_for_each(|stream| ssf::touch(w.tx(), &stream.id, now))
            })
            .await
    }

    /// The time after which a receiver that gives no sign has its streams paused.
    pub(crate) fn inactivity(&self) -> Option<Duration> {
        self.inactivity
    }

    /// Pauses streams whose receivers gave no sign for too long, and says so on them (SSF 1.0 section 8.1.1). Their receivers may
    /// enable them again, and then get what was held.
    pub(crate) async fn pause_idle(&self, now: Timestamp) -> Result<(), StoreError> {
        let Some(timeout) = self.inactivity else { return Ok(()) };
        let is_idle = move |stream: &Stream| {
            stream.status == StreamStatus::Enabled && now.since(stream.active_at) >= timeout + timeout / LAG
        };
        let streams = self.revoker.read_outbox(ssf::all).await?;
        for Stream { id, .. } in streams.into_iter().filter(is_idle) {
            let pause = move |w: &mut Write<'_>| {
                let Some(stream) = ssf::by_id(w.tx(), &id)?.filter(is_idle) else { return Ok(()) };
                let reason = format!("no sign of the receiver for {} s", timeout.as_secs());
                let after = turn(w, &stream, StreamStatus::Paused, (Some(reason.clone()), false), now)?;
                let notice = json!({ "status": after.status, "reason": reason });
                Ok(notify(w, &after, STREAM_UPDATED, &after.target(), notice, now)?)
            };
            match self.revoker.write(pause).await {
                Ok(()) => {}
                Err(Refusal::Store(e)) => return Err(e),
                Err(refusal) => tracing::error!(?refusal, "a stream was not paused"),
            }
        }
        Ok(())
    }
}

/// Has no stream get anything: there is no transmitter.
pub async fn silence(revoker: &crate::Revoker, now: Timestamp) -> Result<(), StoreError> {
    revoker.write(move |w| renew(w, &[], now)).await
}

fn renew(w: &mut Write<'_>, receivers: &[Receiver], now: Timestamp) -> Result<(), StoreError> {
    for mut stream in ssf::all(w.tx())? {
        let receiver = receivers.iter().find(|receiver| receiver.name == stream.receiver);
        let kinds = receiver.map(|receiver| kinds(receiver, &stream.wanted)).unwrap_or_default();
        if kinds != stream.kinds {
            stream.kinds = kinds;
            ssf::put(w.tx(), &stream, now)?;
        }
    }
    Ok(())
}

/// A stream that is somebody else's is none, and nobody is told the difference.
pub(super) fn own(found: Option<Stream>, receiver: &str) -> Result<Stream, Refusal> {
    found.filter(|stream| stream.receiver == receiver).ok_or(Refusal::NotFound)
}

/// Where a stream is pushed to, without the path: that may hold a secret.
fn origin(stream: &Stream) -> Option<String> {
    let url = Url::parse(stream.wanted.endpoint_url.as_deref()?).ok()?;
    Some(url.origin().ascii_serialization())
}

fn short(field: &str, text: Option<String>) -> Result<Option<String>, Refusal> {
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(Refusal::bad(format!("`{field}` has more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn status_of(stream: &Stream) -> Value {
    let mut shown = json!({ "stream_id": stream.id, "status": stream.status });
    if let Some(reason) = &stream.reason {
        shown["reason"] = reason.as_str().into();
    }
    shown
}

fn turn(
    w: &mut Write<'_>,
    stream: &Stream,
    status: StreamStatus,
    (reason, ours): (Option<String>, bool),
    now: Timestamp,
) -> Result<Stream, Refusal> {
    let after = Stream { status, reason, ours, ..stream.clone() };
    if status == StreamStatus::Disabled {
        ssf::withdraw(w.tx(), stream, ours, now)?;
    }
    ssf::put(w.tx(), &after, now)?;
    if !ours {
        record(w, &after, "ssf.stream.status", now)?;
    }
    Ok(after)
}

fn notify(
    w: &mut Write<'_>,
    stream: &Stream,
    kind: &str,
    subject: &str,
    notice: Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let txn = Txn::random();
    let data: Map<String, Value> = [
        ("txn".to_owned(), json!(txn)),
        ("subject".to_owned(), json!(subject)),
        ("notice".to_owned(), notice),
    ]
    .into_iter()
    .collect();
    let body = to_json(&json!({ "type": kind, "timestamp": now, "data": data }))?;
    let agent = AgentKey::new(None, subject);
    outbox::notify(w.tx(), &stream.target(), kind, &agent, (&txn, body.as_bytes()), now)
}

fn record(w: &mut Write<'_>, stream: &Stream, kind: &str, now: Timestamp) -> Result<(), Refusal> {
    let body = json!({
        "stream": stream.target(),
        "method": stream.method,
        "endpoint": origin(stream),
        "kinds": stream.kinds,
        "status": stream.status,
        "reason": stream.reason,
    });
    Ok(w.audit(None, kind, &body, now)?)
}

impl From<KeyError> for Refusal {
    fn from(e: KeyError) -> Self {
        Self::Store(StoreError::damaged(e.to_string()))
    }
}
