//! The Model Context Protocol under `/mcp` (streamable HTTP, no sessions): the gate, its approvals and the seven operations as tools.
//!
//! An act that a human must approve is told in the best way that the client declares. With tasks it is a task, whose result is what the
//! human said. With elicitation by address (2026-07-28) the call
//! is answered `input_required`: the client shows its human the page's address and calls again, and once it is approved that very call is
//! admitted. Without, the call is answered at once as an error that says what to wait for; the agent waits with `approval` and comes back
//! with `resume`. Neither holds a request open for a human.
//!
//! Who calls must show a credential with the role `gateway`; who does not is told where to get one (RFC 9728), and which scope is missing.

mod tasks;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post_service};
use axum::{Json, Router};
use revoker::api::{Caller, Gate, GoOn, Mfa, Problem, Put, Question, resuming};
use revoker::approval::{ApprovalId, Status, Unequivocal};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CreateTaskResult,
    ElicitRequest, ElicitRequestParams, ErrorCode, ErrorData, GetTaskParams, GetTaskResult, Implementation,
    InputRequest, InputRequests, InputRequiredResult, JsonObject, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::gate::ToLog;

/// How long one call waits for a human before it is answered `input_required` again.
const WAIT: Duration = Duration::from_secs(25);

/// The longest body of a call.
const BODY_BYTES_MAX: usize = 256 * 1_024;

/// The scope that the role is called where tokens are asked for.
const SCOPE: &str = "gateway";

/// What the tools need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) gate: Gate<ToLog>,
    pub(super) mfa: Mfa<ToLog>,
}

/// Where clients find out whom to ask for a token.
#[derive(Clone)]
pub(super) struct Resource {
    /// Where this server is reached, without a slash at the end.
    pub(super) public_url: Arc<str>,
    /// Issuers of tokens that are taken.
    pub(super) issuers: Arc<[String]>,
}

impl Resource {
    fn metadata_url(&self) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp", self.public_url)
    }

    /// The host that requests name: ours, or this machine.
    fn hosts(&self) -> Vec<String> {
        let ours = self.public_url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let local = ["localhost", "127.0.0.1", "::1"].into_iter();
        ours.into_iter().chain(local).map(str::to_owned).collect()
    }
}

/// The routes. Who calls is said by a layer around them.
pub(super) fn router(doors: Doors, resource: Resource, stop: CancellationToken) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(BODY_BYTES_MAX)
        .with_allowed_hosts(resource.hosts())
        .with_cancellation_token(stop);
    let service = StreamableHttpService::new(
        move || Ok(doors.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let metadata = Router::new()
        .route("/.well-known/oauth-protected-resource/mcp", get(metadata))
        .with_state(resource.clone());
    Router::new()
        .route("/mcp", post_service(service))
        .layer(from_fn(unequivocal))
        .layer(from_fn_with_state(resource, permitted))
        .merge(metadata)
}

/// RFC 9728.
async fn metadata(State(resource): State<Resource>) -> impl IntoResponse {
    let metadata = json!({
        "resource": format!("{}/mcp", resource.public_url),
        "authorization_servers": *resource.issuers,
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tocsin",
    });
    ([(header::CACHE_CONTROL, "public, max-age=3600")], Json(metadata))
}

/// Lets callers with the role through, and tells others what is missing as MCP clients understand it.
async fn permitted(State(resource): State<Resource>, request: Request, next: Next) -> Response {
    let metadata = resource.metadata_url();
    let (problem, challenge) = match request.extensions().get::<Caller>() {
        Some(caller) if caller.is_gateway() => return next.run(request).await,
        Some(_) => {
            let title = "This credential may not do that";
            let challenge = format!(
                "Bearer error=\"insufficient_scope\", scope=\"{SCOPE}\", resource_metadata=\"{metadata}\""
            );
            (Problem::new(StatusCode::FORBIDDEN, "role_required", title), challenge)
        }
        None => {
            let title = "A credential is required";
            let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"{SCOPE}\"");
            (Problem::new(StatusCode::UNAUTHORIZED, "credential_required", title), challenge)
        }
    };
    problem.header(header::WWW_AUTHENTICATE, challenge).into_response()
}

/// Refuses what the server would read in one way and who wrote it perhaps in another; what is wrong otherwise the server says itself.
async fn unequivocal(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let answer = |status, code, message| {
        let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } });
        (status, Json(error)).into_response()
    };
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let words = format!("The body was not read whole, or is longer than {BODY_BYTES_MAX} bytes.");
        return answer(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::INVALID_REQUEST, words);
    };
    match serde_json::from_slice::<Unequivocal>(&body) {
        Err(e) if e.is_data() => answer(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, e.to_string()),
        _ => next.run(Request::from_parts(parts, Body::from(body))).await,
    }
}

impl ServerHandler for Doors {
    fn get_info(&self) -> ServerConfig {
        let server = Implementation::new("tocsin", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
            .with_server_info(server)
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Caller>());
        let caller =
            caller.ok_or_else(|| ErrorData::internal_error("nobody is known to call", None))?.clone();
        let arguments = request.arguments.unwrap_or_default();
        let answered = match &*request.name {
            "gate" => {
                let client = Client::of(&context);
                return Ok(self.judge(&caller, arguments, request.request_state.as_deref(), client).await);
            }
            "resume" => self.resume(&caller, &arguments).await.map(|go_on| json!(go_on)),
            "approval" => self.approval(&arguments).await,
            operation if tools::all().iter().any(|tool| tool.name == operation) => {
                self.mfa.call(&caller, operation, Value::Object(arguments)).await
            }
            unknown => return Err(ErrorData::invalid_params(format!("there is no tool `{unknown}`"), None)),
        };
        Ok(told(answered).into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let (id, question) = self.task(&request.task_id).await?;
        Ok(GetTaskResult::new(tasks::of(&id, &question, Client::of(&context).elicits)))
    }

    /// What a client says of an address that it showed is no answer: the human's own is.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.task(&request.task_id).await.map(drop)
    }

    /// A question to a human is not taken back by who is asked about: it ends with its answer or its time.
    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.task(&request.task_id).await.map(drop)
    }
}

/// What the client declares.
#[derive(Clone, Copy)]
struct Client {
    /// It waits for tasks.
    tasks: bool,
    /// It shows addresses to its human, in the form that a call without a connection of its own can ask for.
    elicits: bool,
}

impl Client {
    fn of(context: &RequestContext<RoleServer>) -> Self {
        let is_new = context.protocol_version().is_some_and(|version| version.as_str() >= "2026-07-28");
        let Some(capabilities) = context.client_capabilities() else {
            return Self { tasks: false, elicits: false };
        };
        let tasks = capabilities.supports_tasks();
        let shows = capabilities.elicitation.is_some_and(|elicitation| elicitation.url.is_some());
        Self { tasks, elicits: is_new && shows }
    }
}

/// What the client's human is shown.
fn shown(question: &Question) -> InputRequests {
    let number = question.binding_code.as_str();
    let params = ElicitRequestParams::UrlElicitationParams {
        meta: None,
        message: format!("A human must approve this. Read and answer it there; the number is {number}."),
        url: question.page_url.clone(),
        elicitation_id: String::new(),
    };
    let request = InputRequest::Elicitation(ElicitRequest::new(params));
    InputRequests::from([("approval".to_owned(), request)])
}

fn told(answered: Result<Value, Problem>) -> CallToolResult {
    match answered {
        Ok(value) => CallToolResult::structured(value),
        Err(problem) => CallToolResult::structured_error(problem.body()),
    }
}

fn text<'a>(arguments: &'a JsonObject, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn bad(words: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", "The arguments cannot be read").detail(words)
}

fn record(arguments: &JsonObject) -> Result<axum::body::Bytes, Problem> {
    match arguments.get("record") {
        Some(record @ Value::Object(_)) => Ok(record.to_string().into()),
        _ => Err(bad("`record` must be an object: one request record.")),
    }
}

impl Doors {
    async fn judge(
        &self,
        caller: &Caller,
        arguments: JsonObject,
        state: Option<&str>,
        client: Client,
    ) -> CallToolResponse {
        let answered = match state {
            None => self.put(caller, &arguments, None).await,
            Some(state) => self.again(caller, &arguments, state).await,
        };
        match answered {
            Ok(go_on) => told(Ok(json!(go_on))).into(),
            Err(problem) => match self.asks(&problem).await {
                // Who comes back with a state has chosen its way.
                Some((id, question)) if client.tasks && state.is_none() => CallToolResponse::Task(
                    CreateTaskResult::new(tasks::of(&id, &question, client.elicits).task),
                ),
                Some((id, question)) if client.elicits => {
                    InputRequiredResult::new(Some(shown(&question)), Some(id.to_string())).into()
                }
                _ => told(Err(problem)).into(),
            },
        }
    }

    async fn put(
        &self,
        caller: &Caller,
        arguments: &JsonObject,
        resume: Option<(&str, &str)>,
    ) -> Result<GoOn, Problem> {
        let (grant, resume) = resume.unzip();
        let put = Put { record: record(arguments)?, resume: resuming(grant, resume)?, token: None };
        self.gate.judge(caller, put).await
    }

    /// The same call once more. Its state is the name of a question and opens nothing: what it leads to is a grant for the act that was
    /// asked about, of whoever may ask the gate, admitted once.
    async fn again(&self, caller: &Caller, arguments: &JsonObject, state: &str) -> Result<GoOn, Problem> {
        let id: ApprovalId = state.parse().map_err(|_| bad("`requestState` is none of ours."))?;
        let question = self.gate.question(&id, WAIT).await?;
        let grant = question.filter(|question| question.status == Status::Approved).and_then(|q| q.grant);
        let resume = format!("mcp-{id}");
        self.put(caller, arguments, grant.as_deref().map(|grant| (grant, resume.as_str()))).await
    }

    /// The question, where it is an open one that stops the act.
    async fn asks(&self, problem: &Problem) -> Option<(ApprovalId, Question)> {
        let id: ApprovalId = problem.facts().get("approval_id")?.as_str()?.parse().ok()?;
        let question = self.gate.question(&id, Duration::ZERO).await.ok()??;
        (question.status == Status::Pending).then_some((id, question))
    }

    async fn task(&self, id: &str) -> Result<(ApprovalId, Question), ErrorData> {
        let unknown = || ErrorData::invalid_params("there is no such task", None);
        let id: ApprovalId = id.parse().map_err(|_| unknown())?;
        let question = self.gate.question(&id, Duration::ZERO).await;
        let question = question.map_err(|_| ErrorData::internal_error("the record cannot be read", None))?;
        Ok((id, question.ok_or_else(unknown)?))
    }

    async fn resume(&self, caller: &Caller, arguments: &JsonObject) -> Result<GoOn, Problem> {
        let (Some(grant), Some(resume)) = (text(arguments, "grant"), text(arguments, "resume_id")) else {
            return Err(bad("`grant` and `resume_id` are texts, and both must be there."));
        };
        self.put(caller, arguments, Some((grant, resume))).await
    }

    async fn approval(&self, arguments: &JsonObject) -> Result<Value, Problem> {
        let id = text(arguments, "approval_id").and_then(|id| id.parse().ok());
        let id: ApprovalId = id.ok_or_else(|| bad("`approval_id` must be one that the gate named."))?;
        let wait = match arguments.get("timeoutSeconds") {
            None | Some(Value::Null) => WAIT,
            Some(value) => match value.as_u64().filter(|seconds| *seconds >= 1) {
                Some(seconds) => Duration::from_secs(seconds).min(WAIT),
                None => return Err(bad("`timeoutSeconds` must be a whole number from 1 on.")),
            },
        };
        let unknown = || Problem::new(StatusCode::NOT_FOUND, "approval_unknown", "There is no such approval");
        let question = self.gate.question(&id, wait).await?.ok_or_else(unknown)?;
        Ok(tasks::answer(&id, &question))
    }
}
