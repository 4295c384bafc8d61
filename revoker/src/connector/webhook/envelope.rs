//! What is around an event: Standard Webhooks' own three members, or CloudEvents 1.0 in structured mode.

use std::borrow::Cow;

use detector::visible_to;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::message::Message;

/// What is put around events, by its name in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// `type`, `timestamp` and `data`, as Standard Webhooks recommends.
    #[default]
    Standard,
    /// CloudEvents 1.0, JSON format: the same type, time and data; the id is the `webhook-id`, the source this installation.
    CloudEvents,
    /// One text in words, as chats take it at an incoming webhook.
    Chat,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    // An attribute that is empty is none.
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// A message as people read it, in one line, with nothing in it that hides or that a chat would obey.
fn words(message: &Value) -> String {
    let data = &message["data"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = if let Value::String(text) = &data["text"] {
        text.clone()
    } else {
        // What a person or time decided says so; what the evidence did is told by its sentence.
        let is_by_evidence = message["type"] == "agent.challenged" || data["cause"] == "evidence";
        let sentence = data["evidence"]["sentence"].as_str().filter(|_| is_by_evidence);
        let reasons = match sentence {
            Some(sentence) => vec![sentence.to_owned()],
            None => data["reasons"].as_array().into_iter().flatten().map(text).collect(),
        };
        let link = data["approval_url"].as_str().map(|url| format!(" {url}")).unwrap_or_default();
        format!("{}: {}: {}{link}", text(&message["type"]), text(&data["subject"]), reasons.join("; "))
    };
    visible_to(&said, usize::MAX).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Envelope {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Standard | Self::Chat => "application/json",
            Self::CloudEvents => "application/cloudevents+json; charset=utf-8",
        }
    }

    /// The bytes to send and to sign; the same ones at every attempt.
    pub(super) fn around<'m>(self, message: &'m Message, source: &str) -> serde_json::Result<Cow<'m, [u8]>> {
        if self == Self::Standard {
            return Ok(Cow::Borrowed(&message.body));
        }
        if self == Self::Chat {
            return serde_json::to_vec(&json!({ "text": words(&serde_json::from_slice(&message.body)?) }))
                .map(Cow::Owned);
        }
        let event: Event<'_> = serde_json::from_slice(&message.body)?;
        let Subject { subject } = serde_json::from_str(event.data.get())?;
        let cloud_event = CloudEvent {
            specversion: "1.0",
            id: &message.id,
            source,
            r#type: &event.r#type,
            subject: &subject,
            time: &event.timestamp,
            datacontenttype: "application/json",
            data: event.data,
        };
        serde_json::to_vec(&cloud_event).map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_event_holds_the_event_as_it_was_written() {
        let data = r#"{"b":1.50,"subject":"a \"mailer\"","a":[]}"#;
        let body =
            format!(r#"{{"type":"agent.challenged","timestamp":"2026-03-02T09:00:00Z","data":{data}}}"#);
        let message =
            Message { id: "evt_1".to_owned(), kind: "agent.challenged".to_owned(), body: body.into_bytes() };
        let around = |envelope: Envelope| {
            String::from_utf8(envelope.around(&message, "https://tocsin.example").unwrap().into_owned())
                .unwrap()
        };
        insta::assert_snapshot!(around(Envelope::CloudEvents), @r#"{"specversion":"1.0","id":"evt_1","source":"https://tocsin.example","type":"agent.challenged","subject":"a \"mailer\"","time":"2026-03-02T09:00:00Z","datacontenttype":"application/json","data":{"b":1.50,"subject":"a \"mailer\"","a":[]}}"#);
        assert_eq!(around(Envelope::Standard).as_bytes(), message.body);
    }

    #[test]
    fn a_chat_is_told_in_words_that_ring_nobody_and_hold_no_more_than_the_page_s_address() {
        let said = |kind: &str, data: Value| {
            let body = json!({ "type": kind, "timestamp": "2026-03-02T09:00:00Z", "data": data }).to_string();
            let message = Message { id: "evt_1".to_owned(), kind: kind.to_owned(), body: body.into_bytes() };
            String::from_utf8(Envelope::Chat.around(&message, "").unwrap().into_owned()).unwrap()
        };
        let notice = json!({ "text": "<!channel> & mailer waits for a human: https://tocsin.example/approve/x",
            "subject": "mailer", "binding_code": "4711", "why": "w", "people": ["Dana"], "args": { "iban": "DE00" } });
        insta::assert_snapshot!(said("approval.notice", notice), @r#"{"text":"&lt;!channel&gt; &amp; mailer waits for a human: https://tocsin.example/approve/x"}"#);
        let challenged = json!({ "subject": "mailer", "reasons": ["+8 bits: new", "+1 bits: odd"],
            "approval_url": "https://tocsin.example/approve/x", "issuer": "https://idp.example", "txn": "txn_1" });
        insta::assert_snapshot!(said("agent.challenged", challenged), @r#"{"text":"agent.challenged: mailer: +8 bits: new; +1 bits: odd https://tocsin.example/approve/x"}"#);
        let hostile = json!({ "subject": "mail\u{1b}]0;\u{202e}er\nok", "reasons": [] });
        insta::assert_snapshot!(said("agent.revoked", hostile), @r#"{"text":"agent.revoked: mail\\u{1b}]0;\\u{202e}er\\u{a}ok: "}"#);
        let judged = |kind: &str, cause: &str| {
            let evidence = json!({ "sentence": "new network; 11.3 bits" });
            said(
                kind,
                json!({ "subject": "mailer", "reasons": ["a human approved"], "evidence": evidence, "cause": cause }),
            )
        };
        insta::assert_snapshot!(judged("agent.access.revoked", "evidence"), @r#"{"text":"agent.access.revoked: mailer: new network; 11.3 bits"}"#);
        insta::assert_snapshot!(judged("agent.approved", ""), @r#"{"text":"agent.approved: mailer: a human approved"}"#);
        insta::assert_snapshot!(said("agent.reinstated", json!({ "subject": "mailer", "reasons": [] })), @r#"{"text":"agent.reinstated: mailer: "}"#);
    }
}
