//! Whom a token speaks of: an agent as a Subject Identifier (RFC 9493; complex ones as SSF 1.0 section 3.3 has them).

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::agent::AgentKey;
use crate::part::{Part, PartKind};

/// How a receiver wants agents named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectFormat {
    /// `iss` and `sub` of the agent's tokens; an agent whose issuer nobody named is a `uri` or `opaque`.
    #[default]
    IssSub,
    /// The agent as the `user` whose tokens it holds and as the `application` it is. No `session`: access ends in all of them.
    Complex,
    /// The agent's name where that is an address (SPIFFE ids, ARNs), else as `opaque`. Says no issuer.
    Uri,
    /// The agent's name and nothing else.
    Opaque,
}

/// The subject of a token about an agent.
pub(in crate::connector) fn sub_id(format: SubjectFormat, agent: &AgentKey) -> Value {
    match format {
        SubjectFormat::IssSub => iss_sub(agent).unwrap_or_else(|| name(agent)),
        SubjectFormat::Complex => complex(agent),
        SubjectFormat::Uri => name(agent),
        SubjectFormat::Opaque => opaque(&agent.agent_id),
    }
}

/// The subject of a token about a part of an agent, whichever format is wanted: one token as its `jwt_id`, all else as the `session`
/// of a complex subject.
pub(super) fn part_id(agent: &AgentKey, part: &Part) -> Value {
    match (part.kind, agent.issuer.as_deref()) {
        (PartKind::Token, Some(issuer)) => json!({ "format": "jwt_id", "iss": issuer, "jti": part.id }),
        _ => {
            let mut subject = complex(agent);
            subject["session"] = opaque(&part.id);
            subject
        }
    }
}

pub(super) fn opaque(id: &str) -> Value {
    json!({ "format": "opaque", "id": id })
}

fn iss_sub(agent: &AgentKey) -> Option<Value> {
    let issuer = agent.issuer.as_deref()?;
    Some(json!({ "format": "iss_sub", "iss": issuer, "sub": agent.agent_id }))
}

fn name(agent: &AgentKey) -> Value {
    if Url::parse(&agent.agent_id).is_ok() {
        return json!({ "format": "uri", "uri": agent.agent_id });
    }
    opaque(&agent.agent_id)
}

fn complex(agent: &AgentKey) -> Value {
    let mut subject = json!({ "format": "complex", "application": name(agent) });
    if let Some(user) = iss_sub(agent) {
        subject["user"] = user;
    }
    subject
}

/// Whether a subject that a receiver named is this agent, in whichever form.
///
/// A complex subject must share a member with ours and contradict none: by the letter of the standard one that shares none
/// matches everybody, and a receiver that removed a tenant would silence all agents.
pub(crate) fn names(subject: &Value, agent: &AgentKey) -> bool {
    let Some(members) = subject.as_object() else { return false };
    if subject["format"] != "complex" {
        let forms = [iss_sub(agent), Some(name(agent)), Some(opaque(&agent.agent_id))];
        return forms.into_iter().flatten().any(|form| form == *subject);
    }
    let ours = complex(agent);
    let shared =
        || members.iter().filter(|(key, _)| *key != "format").filter_map(|(k, v)| Some((v, ours.get(k)?)));
    shared().next().is_some() && shared().all(|(theirs, ours)| theirs == ours)
}

/// What every format of RFC 9493 and of SSF 1.0 must have besides `format`; `aliases` and `complex` hold subjects.
const FORMATS: [(&str, &[&str]); 10] = [
    ("account", &["uri"]),
    ("did", &["url"]),
    ("email", &["email"]),
    ("iss_sub", &["iss", "sub"]),
    ("jwt_id", &["iss", "jti"]),
    ("opaque", &["id"]),
    ("phone_number", &["phone_number"]),
    ("saml_assertion_id", &["issuer", "assertion_id"]),
    ("uri", &["uri"]),
    ("ip-addresses", &[]),
];

/// Members of a complex subject.
const MEMBERS: [&str; 7] = ["user", "device", "session", "application", "tenant", "org_unit", "group"];

/// Whether it is a Subject Identifier at all.
pub(super) fn is_subject(subject: &Value) -> bool {
    let Some(members) = subject.as_object() else { return false };
    match subject["format"].as_str() {
        Some("complex") => {
            let parts = || members.iter().filter(|(key, _)| *key != "format");
            parts().next().is_some()
                && parts().all(|(key, part)| MEMBERS.contains(&key.as_str()) && is_simple(part))
        }
        Some("aliases") => {
            let all = subject["identifiers"].as_array();
            all.is_some_and(|all| !all.is_empty() && all.iter().all(is_simple))
        }
        _ => is_simple(subject),
    }
}

fn is_simple(subject: &Value) -> bool {
    let has = |members: &Map<String, Value>, fields: &[&str]| {
        fields.iter().all(|field| members.get(*field).is_some_and(Value::is_string))
    };
    let format = subject["format"].as_str().unwrap_or_default();
    let known = FORMATS.iter().find(|(name, _)| *name == format);
    known.zip(subject.as_object()).is_some_and(|((_, fields), members)| has(members, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> [AgentKey; 3] {
        [
            AgentKey::new(Some("https://idp.example"), "mailer"),
            AgentKey::new(Some("https://idp.example"), "spiffe://corp/mailer"),
            AgentKey::new(None, "mailer"),
        ]
    }

    #[test]
    fn an_agent_is_named_as_the_receiver_wants() {
        use SubjectFormat::{Complex, IssSub, Opaque, Uri};
        let said: Vec<String> = [IssSub, Complex, Uri, Opaque]
            .iter()
            .flat_map(|format| agents().map(|agent| sub_id(*format, &agent)))
            .inspect(|subject| assert!(is_subject(subject), "{subject}"))
            .map(|subject| subject.to_string())
            .collect();
        insta::assert_debug_snapshot!(said, @r#"
        [
            "{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"mailer\"}",
            "{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"spiffe://corp/mailer\"}",
            "{\"format\":\"opaque\",\"id\":\"mailer\"}",
            "{\"application\":{\"format\":\"opaque\",\"id\":\"mailer\"},\"format\":\"complex\",\"user\":{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"mailer\"}}",
            "{\"application\":{\"format\":\"uri\",\"uri\":\"spiffe://corp/mailer\"},\"format\":\"complex\",\"user\":{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"spiffe://corp/mailer\"}}",
            "{\"application\":{\"format\":\"opaque\",\"id\":\"mailer\"},\"format\":\"complex\"}",
            "{\"format\":\"opaque\",\"id\":\"mailer\"}",
            "{\"format\":\"uri\",\"uri\":\"spiffe://corp/mailer\"}",
            "{\"format\":\"opaque\",\"id\":\"mailer\"}",
            "{\"format\":\"opaque\",\"id\":\"mailer\"}",
            "{\"format\":\"opaque\",\"id\":\"spiffe://corp/mailer\"}",
            "{\"format\":\"opaque\",\"id\":\"mailer\"}",
        ]
        "#);
    }

    #[test]
    fn a_part_is_a_token_or_a_session_of_its_agent() {
        let [mailer, _, nobodys] = agents();
        let part = |kind| Part::new(kind, "p-1").unwrap();
        let said: Vec<String> =
            [(&mailer, PartKind::Token), (&mailer, PartKind::Session), (&nobodys, PartKind::Token)]
                .iter()
                .map(|(agent, kind)| part_id(agent, &part(*kind)))
                .inspect(|subject| assert!(is_subject(subject), "{subject}"))
                .map(|subject| subject.to_string())
                .collect();
        insta::assert_debug_snapshot!(said, @r#"
        [
            "{\"format\":\"jwt_id\",\"iss\":\"https://idp.example\",\"jti\":\"p-1\"}",
            "{\"application\":{\"format\":\"opaque\",\"id\":\"mailer\"},\"format\":\"complex\",\"session\":{\"format\":\"opaque\",\"id\":\"p-1\"},\"user\":{\"format\":\"iss_sub\",\"iss\":\"https://idp.example\",\"sub\":\"mailer\"}}",
            "{\"application\":{\"format\":\"opaque\",\"id\":\"mailer\"},\"format\":\"complex\",\"session\":{\"format\":\"opaque\",\"id\":\"p-1\"}}",
        ]
        "#);
    }

    #[test]
    fn a_subject_names_its_agent_in_every_form_and_no_other() {
        use SubjectFormat::{Complex, IssSub, Opaque, Uri};
        let [mailer, spiffe, nobodys] = agents();
        for format in [IssSub, Complex, Uri, Opaque] {
            assert!(names(&sub_id(format, &mailer), &mailer));
            assert!(!names(&sub_id(format, &mailer), &spiffe));
        }
        assert!(!names(&sub_id(IssSub, &mailer), &nobodys));
        let session = json!({ "format": "opaque", "id": "1" });
        let complex = |mut subject: Value| {
            subject["format"] = "complex".into();
            subject["session"] = session.clone();
            subject
        };
        assert!(names(&complex(json!({ "user": sub_id(IssSub, &mailer) })), &mailer));
        assert!(!names(
            &complex(json!({ "user": sub_id(IssSub, &spiffe), "application": sub_id(Uri, &mailer) })),
            &mailer
        ));
        assert!(!names(&complex(json!({})), &mailer), "shares no member");
        assert!(!names(&json!("mailer"), &mailer));
    }

    #[test]
    fn what_is_no_subject_is_told() {
        let good = [
            json!({ "format": "email", "email": "ann@example.com" }),
            json!({ "format": "aliases", "identifiers": [{ "format": "opaque", "id": "1" }] }),
            json!({ "format": "complex", "tenant": { "format": "opaque", "id": "1" } }),
        ];
        assert!(good.iter().all(is_subject));
        let bad = [
            json!(null),
            json!("ann"),
            json!({}),
            json!({ "format": "email" }),
            json!({ "format": "iss_sub", "iss": "a", "sub": 1 }),
            json!({ "format": "horoscope", "id": "1" }),
            json!({ "format": "complex" }),
            json!({ "format": "complex", "planet": { "format": "opaque", "id": "1" } }),
            json!({ "format": "complex", "user": { "format": "complex", "user": {} } }),
            json!({ "format": "aliases", "identifiers": [] }),
        ];
        assert!(!bad.iter().any(is_subject));
    }
}
