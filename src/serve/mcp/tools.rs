//! The tools as clients list them.

use std::sync::Arc;

use revoker::api::CONFIRMATION_WAIT_MAX;
use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

use super::WAIT;

/// For the model behind the client.
pub(super) const INSTRUCTIONS: &str = "Ask `gate` before each act. An answer with `approval_id` means that a human must approve: show them \
     `binding_code`, wait with `approval`, and once it is approved call `resume` with the same record, the grant and a `resume_id` of your \
     own. Do not act on anything but a `decision` of `go_on`.";

/// All of them.
pub(super) fn all() -> Vec<Tool> {
    let text = |words: &str| json!({ "type": "string", "description": words });
    let seconds = |most: u64| {
        let words = format!("How long to wait; {most} at most are waited in one call.");
        json!({ "type": "integer", "minimum": 1, "description": words })
    };
    let record = json!({ "type": "object", "description": "One request record: event_id, ts, kind \"request\", agent_id, endpoint, arguments (any JSON), …" });
    let params = json!({ "type": "object", "additionalProperties": { "type": "string" },
        "description": "The act (agent, action, resource, arguments as JSON, …), its description, and what else the human should know." });
    let (username, email) = (text("Who is to confirm."), text("Their address, as they are enrolled."));
    let tool = |name: &'static str, words: &'static str, properties: Value, required: &[&str]| {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        Tool::new(name, words, Arc::new(object(schema)))
    };
    vec![
        tool("gate", "May this act be done now?", json!({ "record": record }), &["record"]),
        tool(
            "resume",
            "Do an act that a human approved: the same record with its grant. The same resume_id is admitted again, another is not.",
            json!({ "record": record, "grant": text("From `approval`."), "resume_id": text("Your name for this attempt, without spaces.") }),
            &["record", "grant", "resume_id"],
        ),
        tool(
            "approval",
            "How a human's answer stands: pending, approved (with the grant), denied, expired or superseded.",
            json!({ "approval_id": text("From `gate`."), "timeoutSeconds": seconds(WAIT.as_secs()) }),
            &["approval_id"],
        ),
        tool(
            "mfa_required_for_action",
            "Does this action need a human's confirmation? Nobody is disturbed.",
            json!({ "action": text("What is to be done."), "context": { "type": "object" } }),
            &["action"],
        ),
        tool(
            "promptless_verify_user_exists",
            "Is anybody enrolled under this address? Nobody is disturbed.",
            json!({ "email": email }),
            &["email"],
        ),
        tool(
            "promptless_init_transaction",
            "Begin to have somebody confirm an act; nobody is asked yet.",
            json!({ "username": username, "email": email, "params": params }),
            &["username", "email"],
        ),
        tool(
            "promptless_send_method",
            "Ask them, by `passkey`, `totp` or, where an identity provider is there for it, `push`.",
            json!({ "tid": text("From promptless_init_transaction."), "method": text("Without it the one that policy asks for.") }),
            &["tid"],
        ),
        tool(
            "promptless_wait_for_confirmation",
            "Wait until they have answered: confirmed (with the token), denied, expired, or still pending.",
            json!({ "tid": text("From promptless_init_transaction."), "timeoutSeconds": seconds(CONFIRMATION_WAIT_MAX.as_secs()) }),
            &["tid"],
        ),
        tool(
            "prompt_init_transaction",
            "Begin in a browser: an address to send somebody to, which comes back to callbackUrl.",
            json!({ "username": username, "email": email, "params": params, "callbackUrl": text("One that the operator allows."),
                "logoutUrl": text("Where it goes on where nothing is confirmed.") }),
            &["username", "email", "callbackUrl", "logoutUrl"],
        ),
        tool(
            "prompt_get_credentials",
            "What the browser brought back for the credentials, once.",
            json!({ "accessToken": text("From the callback."), "codeVerifier": text("Where a code_challenge was given.") }),
            &["accessToken"],
        ),
    ]
}

fn object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    }
}
