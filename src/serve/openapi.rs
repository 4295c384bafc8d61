//! `GET /openapi.json`: every route with its role, what it takes and what it answers, as `OpenAPI` 3.1.
//!
//! It is written by hand in `openapi/`, one group of routes a file. A new route is a new entry there with an `x-role`; a test holds
//! the document against the router, and others validate it, and real answers against it, with libraries that are not ours.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::roles::TABLE;

/// What is no route.
const DOCUMENT: &str = include_str!("../../openapi/document.yaml");

/// Routes by group: paths, methods, operations.
const GROUPS: [&str; 7] = [
    include_str!("../../openapi/agents.yaml"),
    include_str!("../../openapi/doors.yaml"),
    include_str!("../../openapi/effects.yaml"),
    include_str!("../../openapi/operators.yaml"),
    include_str!("../../openapi/public.yaml"),
    include_str!("../../openapi/register.yaml"),
    include_str!("../../openapi/ssf.yaml"),
];

/// What an operation may be under.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

static JSON: LazyLock<String> = LazyLock::new(|| match document() {
    Ok(document) => document.to_string(),
    // Held by a test: the texts are compiled in.
    Err(error) => json!({ "openapi": "3.1.0", "error": error }).to_string(),
});

/// The document's route; nobody needs a role to read it.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], JSON.as_str())))
}

fn document() -> Result<Value, String> {
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|e| e.to_string());
    let mut paths = Map::new();
    for group in GROUPS {
        let Value::Object(group) = read(group)? else { return Err("a group is no table".to_owned()) };
        for (path, mut item) in group {
            for method in METHODS {
                if let Some(operation) = item.get_mut(method) {
                    spell_out(operation).map_err(|what| format!("{method} {path}: {what}"))?;
                }
            }
            if paths.insert(path.clone(), item).is_some() {
                return Err(format!("{path} is there twice"));
            }
        }
    }
    let mut document = read(DOCUMENT)?;
    document["paths"] = paths.into();
    document["x-roles"] = roles();
    Ok(document)
}

/// Who holds the role that an operation needs.
fn roles() -> Value {
    let row = |(has, needs, words): &(ingest::source::credentials::Role, &[revoker::api::Role], &str)| {
        // What `ingest` alone does is no need of another role's.
        let own = (needs.is_empty()).then(|| has.as_str());
        let holds: Vec<&str> = needs.iter().map(|need| need.as_str()).chain(own).collect();
        (has.as_str().to_owned(), json!({ "holds": holds, "may": words }))
    };
    Value::Object(TABLE.iter().map(row).collect())
}

/// What an operation's `x-role` means: who may call, and how others are answered.
fn spell_out(operation: &mut Value) -> Result<(), &'static str> {
    let role = operation["x-role"]
        .as_str()
        .ok_or("`x-role` says which role it needs, `receiver` or `none`")?
        .to_owned();
    operation["security"] = match role.as_str() {
        "none" => json!([]),
        "receiver" => json!([{ "receiver": [] }]),
        role => json!([{ "bearer": [role] }, { "certificate": [role] }]),
    };
    let answers = operation["responses"].as_object_mut().ok_or("`responses` is missing")?;
    let reference = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    if role != "none" {
        answers.entry("401").or_insert_with(|| reference("Unauthorized"));
        answers.entry("403").or_insert_with(|| reference("Forbidden"));
    }
    answers.entry("default").or_insert_with(|| reference("Problem"));
    Ok(())
}

#[cfg(test)]
mod tests;
