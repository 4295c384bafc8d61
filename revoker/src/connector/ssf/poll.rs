//! Poll (RFC 8936): a receiver fetches tokens and says which it has. What it does not acknowledge it gets again.

use std::collections::{BTreeMap, BTreeSet};

use detector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::set::{jtis, sets};
use super::{Receiver, Refusal, Transmitter};
use crate::message::clip;
use crate::revoker::Write;
use crate::store::StoreError;
use crate::store::db;
use crate::store::outbox::{self, Due, Turn};
use crate::store::receipts::{self, Next, Receipt};
use crate::store::ssf::{self, Method, Open, Stream, StreamStatus};

/// Tokens in one answer, at most.
const SETS_MAX: u32 = 100;

/// Answers of a receiver in one request, at most.
const ANSWERS_MAX: usize = 1_000;

/// What is kept of an error.
const ERR_BYTES_MAX: usize = 200;

/// What a receiver asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ask {
    max_events: Option<u32>,
    return_immediately: bool,
    ack: Vec<String>,
    set_errs: BTreeMap<String, SetErr>,
}

#[derive(Clone, Debug, Deserialize)]
struct SetErr {
    err: String,
    #[serde(default)]
    description: Option<String>,
}

impl Ask {
    /// Whether it waits for tokens. Who wants none says which it has, and no more.
    pub(crate) fn waits(&self) -> bool {
        !self.return_immediately && self.max_events != Some(0)
    }
}

/// What it is given.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Polled {
    pub(crate) sets: BTreeMap<String, String>,
    more_available: bool,
}

impl Transmitter {
    /// The poll stream of this receiver.
    pub(crate) async fn poll_stream(
        &self,
        who: &Receiver,
        stream_id: String,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let stream = self.owned(who, stream_id, now).await?;
        if stream.method == Method::Poll { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// Takes down what a receiver says of tokens it was given.
    pub(crate) async fn take_answers(
        &self,
        who: &Receiver,
        stream_id: &str,
        ask: &Ask,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if ask.ack.len() + ask.set_errs.len() > ANSWERS_MAX {
            return Err(Refusal::bad(format!("at most {ANSWERS_MAX} tokens are answered for at once")));
        }
        if ask.ack.is_empty() && ask.set_errs.is_empty() {
            return Ok(());
        }
        let stream = self.owned(who, stream_id.to_owned(), now).await?;
        let taken = ask.ack.iter().map(|jti| (jti.clone(), None));
        let refused = ask.set_errs.iter().map(|(jti, said)| {
            let text = said.description.as_deref().unwrap_or_default();
            (jti.clone(), Some(clip(&format!("{}: {text}", said.err), ERR_BYTES_MAX)))
        });
        let answers: Vec<(String, Option<String>)> = taken.chain(refused).collect();
        // Read before it is written down, so that a receiver that acknowledges what it never got costs no transaction.
        let opened = self.opened(&stream, answers).await?;
        if opened.is_empty() {
            return Ok(());
        }
        let target = stream.target();
        let settled = self.revoker.write(move |w| {
            let settle = |(open, all, answers): &Answered| settle(w, &target, (open, all), answers, now);
            opened.iter().try_for_each(settle)
        });
        Ok(settled.await?)
    }

    /// The deliveries that answers speak of, each with the tokens that it is and what is said of them.
    async fn opened(
        &self,
        stream: &Stream,
        answers: Vec<(String, Option<String>)>,
    ) -> Result<Vec<Answered>, StoreError> {
        // A `jti` is the event's id, the stream's, and the name of the event.
        let events: BTreeSet<String> =
            answers.iter().filter_map(|(jti, _)| Some(jti.split_once('.')?.0.to_owned())).collect();
        let target = stream.target();
        let find = move |db: &db::Connection| -> Result<Vec<Open>, StoreError> {
            events.iter().filter_map(|id| ssf::open_delivery(db, &target, id).transpose()).collect()
        };
        let found = self.revoker.read(find).await?;
        let Some(reader) = self.reader(stream) else { return Ok(Vec::new()) };
        let mut opened = Vec::new();
        for open in found {
            let all = jtis(&reader, &open.message).map_err(StoreError::damaged)?;
            let said = answers.iter().filter(|(jti, _)| all.contains(jti)).cloned().collect();
            opened.push((open, all, said));
        }
        Ok(opened)
    }

    /// The tokens whose turn it is: of each subject those of its oldest event that is not settled, so that they arrive in order.
    pub(crate) async fn poll(
        &self,
        who: &Receiver,
        stream_id: &str,
        ask: &Ask,
        now: Timestamp,
    ) -> Result<Polled, Refusal> {
        let (id, name) = (stream_id.to_owned(), who.name.clone());
        let most = ask.max_events.unwrap_or(SETS_MAX).min(SETS_MAX);
        let read = self.revoker.read_outbox(move |db| {
            let Some(stream) = ssf::by_id(db, &id)?.filter(|stream| stream.receiver == name) else {
                return Ok(None);
            };
            let target = stream.target();
            let only = ssf::is_held(db, &stream)?.then_some(target.as_str());
            let due: Vec<Due> = outbox::due(db, &target, now, most, only)?;
            let due: Vec<Due> = due.into_iter().filter(|due| due.turn == Turn::Send).collect();
            // What is held until a stream has heard that it is enabled again comes next.
            let open = only.filter(|_| stream.status != StreamStatus::Enabled);
            let more = ssf::more_than(db, &target, due.len(), open)?;
            let answered = ssf::answers(db, &target)?;
            Ok(Some((stream, due, more, answered)))
        });
        let Some((stream, due, more, answered)) = read.await? else { return Err(Refusal::NotFound) };
        let Some(reader) = self.reader(&stream) else { return Err(Refusal::NotFound) };
        let mut polled = Polled { more_available: more, ..Polled::default() };
        let (mut sent, mut unwanted) = (Vec::new(), Vec::new());
        for due in due {
            let known = |jti: &str| answered.iter().any(|(known, _)| known == jti);
            let made =
                sets(&self.signing.signer, &reader, &due.message, known).map_err(StoreError::damaged)?;
            if made.is_empty() {
                // Asked for when it was decided, and no longer.
                unwanted.push(due);
                continue;
            }
            for set in made {
                if polled.sets.len() >= most as usize {
                    polled.more_available = true;
                    break;
                }
                polled.sets.insert(set.jti, set.token);
                if due.attempts == 0 {
                    sent.push(due.delivery);
                }
            }
        }
        self.note(&stream, sent, unwanted, now).await?;
        Ok(polled)
    }

    async fn note(
        &self,
        stream: &Stream,
        sent: Vec<i64>,
        unwanted: Vec<Due>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if sent.is_empty() && unwanted.is_empty() {
            return Ok(());
        }
        let target = stream.target();
        self.revoker
            .write(move |w| {
                ssf::sent(w.tx(), &sent, now)?;
                for due in unwanted {
                    let Due { delivery, attempts, agent, txn, message, .. } = due;
                    let open = Open { delivery, attempts, agent, txn, message };
                    settle(w, &target, (&open, &[]), &[], now)?;
                }
                Ok(())
            })
            .await
    }
}

/// A delivery, the tokens that it is, and what a receiver says of some of them.
type Answered = (Open, Vec<String>, Vec<(String, Option<String>)>);

/// Writes answers down, and settles the delivery once all its tokens are answered for.
fn settle(
    w: &mut Write<'_>,
    target: &str,
    (open, all): (&Open, &[String]),
    answers: &[(String, Option<String>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if ssf::open_delivery(w.tx(), target, &open.message.id)?.is_none() {
        return Ok(());
    }
    for (jti, err) in answers {
        ssf::answer(w.tx(), target, jti, err.as_deref())?;
    }
    let said: Vec<(String, Option<String>)> =
        ssf::answers(w.tx(), target)?.into_iter().filter(|(jti, _)| all.contains(jti)).collect();
    if said.len() < all.len() {
        return Ok(());
    }
    ssf::forget(w.tx(), target, &open.message.id)?;
    let refused: Vec<String> = said.into_iter().filter_map(|(_, err)| err).collect();
    let (outcome, kind, next) = if refused.is_empty() {
        ("acknowledged", "delivery.acknowledged", Next::Done(None))
    } else {
        ("hopeless", "delivery.dead", Next::Dead)
    };
    let receipt = Receipt {
        attempt: open.attempts.max(1),
        at: now,
        outcome: outcome.to_owned(),
        status: None,
        detail: refused.join("; "),
    };
    receipts::record(w.tx(), open.delivery, &receipt, next, now)?;
    let body =
        json!({ "id": open.message.id, "type": open.message.kind, "target": target, "receipt": receipt });
    w.audit_in(&open.txn, Some(&open.agent), kind, &body, now).map(drop)
}
