//! What the operations are given.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use detector::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::caller::Caller;
use crate::api::problem::Problem;

/// The fields of the native schema that an act may have here.
const OF_ACT: [&str; 7] =
    ["agent_id", "issuer", "instance_id", "method", "operation", "resource", "args_digest"];

/// Where an act comes from, which rules of a policy ask about. No part of an act: what a human is asked to confirm may come from elsewhere.
pub(super) const FROM: &str = "source_ip";

/// What a record that is not kept is called.
const NOT_KEPT: &str = "mfa";

/// The act where nobody says which.
const ANY_ACT: &str = "confirm";

#[derive(Deserialize)]
pub(super) struct Required {
    pub(super) action: String,
    #[serde(default)]
    pub(super) context: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct Exists {
    pub(super) email: String,
}

#[derive(Deserialize)]
pub(super) struct Init {
    pub(super) username: String,
    pub(super) email: String,
    #[serde(default)]
    pub(super) params: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Send {
    pub(super) tid: String,
    pub(super) method: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wait {
    pub(super) tid: String,
    /// As it stands: what it may be is checked by hand, so that the error has a name.
    pub(super) timeout_seconds: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptInit {
    #[serde(flatten)]
    pub(super) init: Init,
    pub(super) callback_url: String,
    pub(super) logout_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credentials {
    pub(super) access_token: String,
    pub(super) code_verifier: Option<String>,
}

pub(super) fn bad(kind: &'static str, words: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, kind, "The request cannot be taken").detail(words)
}

/// The record of the act, as the gate reads one.
pub(super) fn record(
    caller: &Caller,
    action: Option<&str>,
    fields: &dyn Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Vec<u8> {
    let mut record = Map::new();
    for name in OF_ACT.into_iter().chain([FROM]) {
        if let Some(value) = fields(name) {
            record.insert(name.to_owned(), value.into());
        }
    }
    let agent = fields("agent").unwrap_or_else(|| caller.name.clone());
    record.entry("agent_id").or_insert_with(|| agent.into());
    record.insert("endpoint".to_owned(), action.unwrap_or(ANY_ACT).into());
    for (name, value) in [("kind", "request"), ("event_id", NOT_KEPT), ("ts", &now.to_string())] {
        record.insert(name.to_owned(), value.into());
    }
    Value::Object(record).to_string().into_bytes()
}

/// Whether a member of `params` says what the act is, and so is not shown among what else the agent's side says.
pub(super) fn is_of_act(name: &str) -> bool {
    const OTHERS: [&str; 7] =
        ["agent", "action", "arguments", "description", "requester", "state", "code_challenge"];
    OF_ACT.contains(&name) || OTHERS.contains(&name)
}
