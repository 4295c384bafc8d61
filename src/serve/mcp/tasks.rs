//! Questions to humans as tasks (the extension `io.modelcontextprotocol/tasks`, SEP-2663). A task is its question and has its id, so there is
//! nothing else to keep: every process tells how it stands, also after a restart.

use revoker::api::Question;
use revoker::approval::{ApprovalId, Status};
use rmcp::model::{CallToolResult, DetailedTask, JsonObject, Task, TaskPayload};
use serde_json::{Value, json};

/// How often clients may look, milliseconds.
const POLL_MS: u64 = 5_000;

/// How the task stands. A client that shows addresses to its human is asked to as long as nobody has answered.
pub(super) fn of(id: &ApprovalId, question: &Question, elicits: bool) -> DetailedTask {
    let payload = match question.status {
        Status::Pending if elicits => TaskPayload::InputRequired { input_requests: super::shown(question) },
        Status::Pending => TaskPayload::Working,
        _ => TaskPayload::Completed { result: result(id, question) },
    };
    let (asked_at, since) = (question.asked_at.to_string(), question.since.to_string());
    let task = Task::new(id.as_str(), payload.status(), asked_at, since)
        .with_status_message(format!(
            "A human must approve this; the number is {}. Once it is approved call `resume` with the grant.",
            question.binding_code.as_str()
        ))
        .with_poll_interval_ms(POLL_MS);
    DetailedTask::new(task, payload)
}

/// What was answered, as the tool `approval` tells it.
pub(super) fn answer(id: &ApprovalId, question: &Question) -> Value {
    json!({ "approval_id": id, "status": question.status, "grant": question.grant })
}

/// Everything but a yes is an error to whoever wanted to act.
fn result(id: &ApprovalId, question: &Question) -> JsonObject {
    let answer = answer(id, question);
    let told = match question.status {
        Status::Approved => CallToolResult::structured(answer),
        _ => CallToolResult::structured_error(answer),
    };
    match json!(told) {
        Value::Object(told) => told,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use detector::Timestamp;
    use revoker::approval::BindingCode;

    use super::*;

    /// Five answers, as the tool `approval` and a task tell them.
    #[test]
    fn five_answers_are_told_apart() {
        let id: ApprovalId = "apr_00000000000000000000000000000000".parse().unwrap();
        for (status, name, task) in [
            (Status::Pending, "pending", "working"),
            (Status::Approved, "approved", "completed"),
            (Status::Denied, "denied", "completed"),
            (Status::Expired, "expired", "completed"),
            (Status::Superseded, "superseded", "completed"),
        ] {
            let is_yes = status == Status::Approved;
            let question = Question {
                status,
                asked_at: Timestamp::from_millis(0),
                since: Timestamp::from_millis(1),
                binding_code: BindingCode::random(),
                page_url: "https://tocsin.example/approve/x".to_owned(),
                grant: is_yes.then(|| "eyJ".to_owned()),
            };
            let told = answer(&id, &question);
            assert_eq!((&told["status"], told["grant"].is_string()), (&json!(name), is_yes));
            let told = json!(of(&id, &question, false));
            assert_eq!(told["status"], task, "{told}");
            if status == Status::Pending {
                let shown = json!(of(&id, &question, true));
                assert_eq!(shown["status"], "input_required", "{shown}");
                continue;
            }
            let result = &told["result"];
            assert_eq!(result["structuredContent"]["status"], name, "{told}");
            assert_eq!(result["isError"], !is_yes, "everything but a yes is an error: {told}");
        }
    }
}
