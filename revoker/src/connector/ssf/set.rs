//! Security Event Tokens (RFC 8417) as SSF 1.0 section 4 has them: one event each, `sub_id` on top, no `sub` and no `exp`.

use serde_json::{Value, json};

use super::event::{EventType, STREAM_UPDATED, Said, VERIFICATION};
use super::subject::{SubjectFormat, opaque, part_id, sub_id};
use crate::agent::AgentKey;
use crate::connector::signing::Signer;
use crate::message::Message;

/// The `typ` of a Security Event Token (RFC 8417, section 2.3).
const TYPE: &str = "secevent+jwt";

/// Whom tokens are for, and what of a message they are told.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    pub(super) issuer: &'a str,
    pub(super) stream_id: &'a str,
    pub(super) aud: &'a Value,
    pub(super) format: SubjectFormat,
    pub(super) credential: &'a str,
    pub(super) delivered: Vec<EventType>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// The same over all attempts; what receivers de-duplicate by. Message, stream and event make it up.
    pub(super) jti: String,
    /// Signed, in compact form.
    pub(super) token: String,
}

/// The claims of the tokens that a message becomes, with their `jti`. All of it follows from the message, so that it is the
/// same at every attempt.
fn claims(reader: &Reader<'_>, message: &Message) -> Result<Vec<(String, Value)>, String> {
    let said = Said::of(message)?;
    let subject = if [VERIFICATION, STREAM_UPDATED].contains(&message.kind.as_str()) {
        opaque(reader.stream_id)
    } else {
        let agent = AgentKey::new(said.data.issuer.as_deref(), &said.data.subject);
        match &said.data.part {
            Some(part) => part_id(&agent, part),
            None => sub_id(reader.format, &agent),
        }
    };
    let events = said.events(&message.kind, &reader.delivered, reader.credential);
    let all = events.into_iter().map(|(name, uri, content)| {
        let jti = format!("{}.{}.{name}", message.id, reader.stream_id);
        let claims = json!({
            "iss": reader.issuer,
            "aud": reader.aud,
            "iat": said.seconds(),
            "jti": jti,
            "txn": said.data.txn,
            "sub_id": subject,
            "events": { uri: content },
        });
        (jti, claims)
    });
    Ok(all.collect())
}

/// The `jti` of every token that a message becomes.
pub(super) fn jtis(reader: &Reader<'_>, message: &Message) -> Result<Vec<String>, String> {
    Ok(claims(reader, message)?.into_iter().map(|(jti, _)| jti).collect())
}

/// The tokens that a message becomes, but for those that `skip`; none where the stream gets nothing of it any more.
pub(super) fn sets(
    signer: &Signer,
    reader: &Reader<'_>,
    message: &Message,
    skip: impl Fn(&str) -> bool,
) -> Result<Vec<Set>, String> {
    let all = claims(reader, message)?.into_iter().filter(|(jti, _)| !skip(jti));
    let made = all.map(|(jti, claims)| signer.sign(TYPE, &claims).map(|token| Set { jti, token }));
    made.collect::<Result<_, _>>().map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Txn;
    use crate::config::WhileAsked;
    use crate::connector::signing::tests::{decode, file};
    use crate::effect::{Cause, Event};
    use crate::message::Facts;
    use crate::policy::envelope::Room;
    use crate::store::register::Accountable;
    use crate::testing::{at, damning};

    fn message(event: &Event, standing: &'static str, evidence: bool, reasons: &[String]) -> Message {
        let record = damning(1, at(0), "mailer");
        let agent = AgentKey::new(Some("https://idp.example"), "mailer");
        let facts = Facts {
            event,
            agent: &agent,
            people: &Accountable::default(),
            part: None,
            txn: &Txn::of_verdict(record.verdict.id),
            standing,
            record: evidence.then_some(&record),
            reasons,
            approval_url: None,
            carried: None,
            policy: "0123456789ab",
            at: at(0),
        };
        Message { id: "evt_1".to_owned(), kind: event.kind().to_owned(), body: facts.body(1).unwrap() }
    }

    fn reader<'a>(aud: &'a Value, delivered: &[EventType]) -> Reader<'a> {
        let delivered = delivered.to_vec();
        let (issuer, stream_id, credential) = ("https://tocsin.example", "5f", "oauth_client_secret");
        Reader { issuer, stream_id, aud, format: SubjectFormat::IssSub, credential, delivered }
    }

    #[test]
    fn each_decision_becomes_its_events() {
        let case = crate::agent::CaseId::new(1);
        let why = vec!["20 calls in a minute where 1 is usual".to_owned()];
        let messages = [
            message(
                &Event::Revoked { not_before: at(0), cause: Cause::Evidence, in_place_of: None },
                "revoked",
                true,
                &why,
            ),
            message(
                &Event::Revoked { not_before: at(0), cause: Cause::Attack, in_place_of: None },
                "revoked",
                false,
                &[],
            ),
            message(&Event::Suspended { not_before: at(0), until: Some(at(9)) }, "suspended", false, &why),
            message(&Event::Retired { not_before: at(0) }, "retired", false, &why),
            message(&Event::Reinstated, "probation", false, &why),
            message(
                &Event::Challenged {
                    case,
                    until: at(9),
                    envelope: Room::default(),
                    while_asked: WhileAsked::Gate,
                },
                "challenged",
                true,
                &why,
            ),
            message(&Event::Approved { case }, "probation", false, &why),
            message(&Event::Denied { case, until: at(9) }, "challenged", false, &why),
        ];
        let aud = json!("https://receiver.example");
        let all: Vec<Value> = messages
            .iter()
            .flat_map(|message| claims(&reader(&aud, &EventType::ALL), message).unwrap())
            .map(|(_, claims)| claims)
            .collect();
        assert!(all.iter().all(|claims| claims["events"].as_object().unwrap().len() == 1));
        let told: Vec<String> = all.iter().map(|claims| claims["events"].to_string()).collect();
        insta::assert_debug_snapshot!(told, @r#"
        [
            "{\"https://schemas.openid.net/secevent/caep/event-type/session-revoked\":{\"event_timestamp\":1772442000,\"initiating_entity\":\"policy\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/credential-change\":{\"change_type\":\"revoke\",\"credential_type\":\"oauth_client_secret\",\"event_timestamp\":1772442000,\"initiating_entity\":\"policy\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/session-revoked\":{\"event_timestamp\":1772442000,\"initiating_entity\":\"user\",\"reason_admin\":{\"en\":\"no reason was given\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/credential-change\":{\"change_type\":\"revoke\",\"credential_type\":\"oauth_client_secret\",\"event_timestamp\":1772442000,\"initiating_entity\":\"user\",\"reason_admin\":{\"en\":\"no reason was given\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/session-revoked\":{\"event_timestamp\":1772442000,\"initiating_entity\":\"admin\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
            "{\"https://schemas.openid.net/secevent/risc/event-type/account-disabled\":{}}",
            "{\"https://schemas.openid.net/secevent/risc/event-type/account-enabled\":{}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/assurance-level-change\":{\"change_direction\":\"decrease\",\"current_level\":\"challenged\",\"event_timestamp\":1772442000,\"initiating_entity\":\"policy\",\"namespace\":\"urn:tocsin:standing\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/risk-level-change\":{\"current_level\":\"HIGH\",\"event_timestamp\":1772442000,\"initiating_entity\":\"policy\",\"principal\":\"USER\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"},\"risk_reason\":\"20 calls in a minute where 1 is usual\"}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/assurance-level-change\":{\"change_direction\":\"increase\",\"current_level\":\"probation\",\"event_timestamp\":1772442000,\"initiating_entity\":\"user\",\"namespace\":\"urn:tocsin:standing\",\"previous_level\":\"challenged\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/risk-level-change\":{\"current_level\":\"LOW\",\"event_timestamp\":1772442000,\"initiating_entity\":\"user\",\"previous_level\":\"HIGH\",\"principal\":\"USER\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"},\"risk_reason\":\"20 calls in a minute where 1 is usual\"}}",
            "{\"https://schemas.openid.net/secevent/caep/event-type/session-established\":{\"acr\":\"urn:tocsin:acr:otp-number-match\",\"amr\":[\"otp\",\"mfa\"],\"event_timestamp\":1772442000,\"initiating_entity\":\"user\",\"reason_admin\":{\"en\":\"20 calls in a minute where 1 is usual\"}}}",
        ]
        "#);
        insta::assert_snapshot!(all[0], @r#"{"aud":"https://receiver.example","events":{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"event_timestamp":1772442000,"initiating_entity":"policy","reason_admin":{"en":"20 calls in a minute where 1 is usual"}}},"iat":1772442000,"iss":"https://tocsin.example","jti":"evt_1.5f.session-revoked","sub_id":{"format":"iss_sub","iss":"https://idp.example","sub":"mailer"},"txn":"00000000000000000000000000000001"}"#);
    }

    #[test]
    fn a_token_says_the_same_at_every_attempt_and_only_what_was_asked_for() {
        let signer = Signer::open(Some(&file("a.pem")), &[]).unwrap();
        let event = Event::Revoked { not_before: at(0), cause: Cause::Evidence, in_place_of: None };
        let message = message(&event, "revoked", true, &[]);
        let aud = json!(["a", "b"]);
        let delivered = [EventType::SessionRevoked];
        let made = sets(&signer, &reader(&aud, &delivered), &message, |_| false).unwrap();
        assert_eq!(made, sets(&signer, &reader(&aud, &delivered), &message, |_| false).unwrap());
        assert_eq!(made.len(), 1);
        let claims = decode(made[0].token.split('.').nth(1).unwrap());
        assert_eq!((&claims["jti"], &claims["aud"]), (&json!(made[0].jti), &aud));
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none());

        let both = [EventType::SessionRevoked, EventType::CredentialChange];
        let rest = sets(&signer, &reader(&aud, &both), &message, |jti| jti == made[0].jti).unwrap();
        assert_eq!(
            rest.iter().map(|set| set.jti.as_str()).collect::<Vec<_>>(),
            ["evt_1.5f.credential-change"]
        );
    }

    #[test]
    fn a_stream_speaks_of_itself() {
        let body = json!({ "type": VERIFICATION, "timestamp": at(0),
            "data": { "txn": "1", "subject": "ssf/5f", "notice": { "state": "abc" } } });
        let message = Message {
            id: "evt_2".to_owned(),
            kind: VERIFICATION.to_owned(),
            body: serde_json::to_vec(&body).unwrap(),
        };
        let all = claims(&reader(&json!("a"), &[]), &message).unwrap();
        insta::assert_snapshot!(all[0].1, @r#"{"aud":"a","events":{"https://schemas.openid.net/secevent/ssf/event-type/verification":{"state":"abc"}},"iat":1772442000,"iss":"https://tocsin.example","jti":"evt_2.5f.verification","sub_id":{"format":"opaque","id":"5f"},"txn":"1"}"#);
    }
}
