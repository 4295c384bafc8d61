//! An evaluation as a record of the native schema. See the table in the parent's documentation.

use axum::http::StatusCode;
use detector::Timestamp;
use serde_json::{Map, Value};

use crate::api::problem::Problem;
use crate::approval::{Grant, IdError, ResumeId};

/// What is read of `subject.properties`, `action.properties` and `context`, each under its native name.
const OF_SUBJECT: &[&str] = &[
    "issuer",
    "instance_id",
    "session_id",
    "parent_agent_id",
    "delegator",
    "token_id",
    "key_thumbprint",
    "token_iat",
    "token_exp",
    "credential_kind",
    "attestation",
    "model",
];
const OF_ACTION: &[&str] = &["method", "operation", "scope", "call_id", "args", "args_digest", "arguments"];
const OF_CONTEXT: &[&str] = &["event_id", "ts", "source_ip", "user_agent", "bytes_in"];

/// The name of a record that is not kept.
const NOT_KEPT: &str = "authzen";

/// One evaluation as asked: an object with `subject`, `action`, `resource` and perhaps `context`.
pub(super) struct Ask(Map<String, Value>);

impl From<Map<String, Value>> for Ask {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

/// One evaluation as the gate takes it.
pub(super) struct Act {
    pub(super) record: Vec<u8>,
    pub(super) is_scored: bool,
    pub(super) resume: Option<(Grant, ResumeId)>,
}

/// When the rest of several need not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// What a request for evaluations asks.
pub(super) enum Asks {
    /// No list, or an empty one: the same as a single evaluation.
    One(Ask),
    Several {
        asks: Vec<Ask>,
        semantic: Semantic,
    },
}

pub(super) fn bad(words: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", "The request cannot be read").detail(words)
}

impl Asks {
    pub(super) fn read(mut body: Map<String, Value>) -> Result<Self, Problem> {
        let items = match body.remove("evaluations") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(bad("`evaluations` must be an array.")),
        };
        let semantic = semantic(body.remove("options"))?;
        if items.is_empty() {
            return Ok(Self::One(Ask(body)));
        }
        let asks = items.into_iter().map(|item| match item {
            Value::Object(item) => Ok(Ask(with_defaults(item, &body))),
            _ => Err(bad("Each of `evaluations` must be an object.")),
        });
        Ok(Self::Several { asks: asks.collect::<Result<_, _>>()?, semantic })
    }
}

fn semantic(options: Option<Value>) -> Result<Semantic, Problem> {
    let options = match options {
        None | Some(Value::Null) => return Ok(Semantic::ExecuteAll),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(bad("`options` must be an object.")),
    };
    match options.get("evaluations_semantic").map(Value::as_str) {
        None | Some(Some("execute_all")) => Ok(Semantic::ExecuteAll),
        Some(Some("deny_on_first_deny")) => Ok(Semantic::DenyOnFirstDeny),
        Some(Some("permit_on_first_permit")) => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(bad(
            "`options.evaluations_semantic` must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`.",
        )),
    }
}

/// A member of the item stands for the whole default, but for what an entity must have and the item's lacks.
fn with_defaults(mut item: Map<String, Value>, defaults: &Map<String, Value>) -> Map<String, Value> {
    for (entity, needed) in [
        ("subject", &["type", "id"][..]),
        ("action", &["name"]),
        ("resource", &["type", "id"]),
        ("context", &[]),
    ] {
        let Some(default) = defaults.get(entity) else { continue };
        let own = item.entry(entity).or_insert_with(|| default.clone());
        let (Value::Object(own), Value::Object(default)) = (own, default) else { continue };
        for &name in needed {
            if let (false, Some(value)) = (own.contains_key(name), default.get(name)) {
                own.insert(name.to_owned(), value.clone());
            }
        }
    }
    item
}

impl Ask {
    /// As a record, dated `now` where it is not to be kept.
    pub(super) fn act(&self, now: Timestamp) -> Result<Act, Problem> {
        let (subject, action) = (self.entity("subject")?, self.entity("action")?);
        let (resource, context) = (self.entity("resource")?, self.optional("context")?);
        for (entity, members) in [("subject", subject), ("resource", resource)] {
            text(entity, members, "type")?;
        }
        let mut record = Map::new();
        record.insert("kind".to_owned(), "request".into());
        record.insert("agent_id".to_owned(), text("subject", subject, "id")?.into());
        record.insert("endpoint".to_owned(), text("action", action, "name")?.into());
        let (kind, id) = (text("resource", resource, "type")?, text("resource", resource, "id")?);
        record.insert("resource".to_owned(), format!("{kind}/{id}").into());
        copy(&mut record, properties("subject", subject)?, OF_SUBJECT);
        copy(&mut record, properties("action", action)?, OF_ACTION);
        copy(&mut record, context, OF_CONTEXT);
        let is_scored = record.contains_key("event_id");
        if !is_scored {
            record.insert("event_id".to_owned(), NOT_KEPT.into());
            record.insert("ts".to_owned(), now.to_string().into());
        }
        let resume = resumption(context)?;
        if resume.is_some() && !is_scored {
            return Err(bad("`context.grant` admits an act that is scored: send `event_id` and `ts`, too."));
        }
        Ok(Act { record: Value::Object(record).to_string().into_bytes(), is_scored, resume })
    }

    fn entity(&self, name: &str) -> Result<&Map<String, Value>, Problem> {
        self.optional(name)?.ok_or_else(|| bad(format!("`{name}` is missing.")))
    }

    fn optional(&self, name: &str) -> Result<Option<&Map<String, Value>>, Problem> {
        object(self.0.get(name), || format!("`{name}`"))
    }
}

fn object(
    value: Option<&Value>,
    name: impl FnOnce() -> String,
) -> Result<Option<&Map<String, Value>>, Problem> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(bad(format!("{} must be an object.", name()))),
    }
}

fn properties<'a>(
    entity: &str,
    members: &'a Map<String, Value>,
) -> Result<Option<&'a Map<String, Value>>, Problem> {
    object(members.get("properties"), || format!("`{entity}.properties`"))
}

fn text<'a>(entity: &str, members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    match members.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) | None => Err(bad(format!("`{entity}.{name}` is missing."))),
        Some(_) => Err(bad(format!("`{entity}.{name}` must be a text."))),
    }
}

fn copy(record: &mut Map<String, Value>, from: Option<&Map<String, Value>>, names: &[&str]) {
    let Some(from) = from else { return };
    for &name in names {
        if let Some(value) = from.get(name).filter(|value| !value.is_null()) {
            record.insert(name.to_owned(), value.clone());
        }
    }
}

fn resumption(context: Option<&Map<String, Value>>) -> Result<Option<(Grant, ResumeId)>, Problem> {
    let member = |name| context.and_then(|context| context.get(name)).filter(|value| !value.is_null());
    let (grant, resume) = match (member("grant"), member("resume_id")) {
        (None, None) => return Ok(None),
        (Some(Value::String(grant)), Some(Value::String(resume))) => (grant, resume),
        _ => return Err(bad("`context.grant` and `context.resume_id` are texts that come together.")),
    };
    let wrong = |name: &str, e: &IdError| bad(format!("`context.{name}` is {e}."));
    let grant = grant.parse().map_err(|e| wrong("grant", &e))?;
    let resume = resume.parse().map_err(|e| wrong("resume_id", &e))?;
    Ok(Some((grant, resume)))
}
