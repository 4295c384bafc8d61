//! A server on a free port, a browser, people with authenticator apps, and hands for the clock.

mod http;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use detector::{
    Actor, Attestation, Budgets, Call, EffectiveAttestation, Kind, Layers, Manifest, MicroBits, Timestamp,
    Verdict, VerdictId, VerdictRecord,
};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use totp_rs::Totp;

pub(super) use self::http::{Ask, Reply};
use crate::api::{Api, Caller, Gate, GateError, Mfa, MfaConfig, Role, Scored, Scorer, router};
use crate::approval::{ApproverName, enrol};
use crate::config::PolicyConfig;
use crate::connector::Route;
use crate::effect::NOTICE;
use crate::policy::Policy;
use crate::policy::approval::ApprovalConfig;
use crate::revoker::{Revoker, Setup};

/// Where every test begins: not on the border of a time step.
const START: &str = "2026-11-22T03:00:10Z";

/// A longer record is refused.
pub(super) const RECORD_BYTES_MAX: usize = 4_096;

/// A record as these tests write it: the native fields they need, and the level that the stand-in shall find.
#[derive(Deserialize)]
struct Line {
    event_id: String,
    #[serde(default)]
    kind: Option<Kind>,
    agent_id: String,
    endpoint: String,
    instance_id: Option<String>,
    delegator: Option<String>,
    resource: Option<String>,
    args_digest: Option<String>,
    token_iat: Option<Timestamp>,
    source_ip: Option<std::net::IpAddr>,
    #[serde(default)]
    level: f64,
    /// A `level` among these counts instead: a door that makes the record passes native fields alone.
    #[serde(default)]
    args: HashMap<String, f64>,
    families: Option<u8>,
}

/// Finds in a record the level it names, and has the revoker handle it.
struct StandIn {
    revoker: Revoker,
    clock: Arc<AtomicI64>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    seen: Arc<Mutex<HashMap<String, VerdictId>>>,
}

/// What may go wrong behind the gate.
#[derive(Clone)]
pub(super) enum Trouble {
    Late,
    Fails(GateError),
}

fn parse(raw: &[u8]) -> Result<Line, GateError> {
    serde_json::from_slice(raw).map_err(|e| GateError::BadRecord {
        field: e.to_string().split('`').nth(1).map(str::to_owned),
        reason: "is missing or wrong".to_owned(),
    })
}

fn call(line: Line) -> Call<'static> {
    let mut call = Call::new(line.event_id, Timestamp::default(), line.agent_id, line.endpoint);
    call.kind = line.kind.unwrap_or(Kind::Call);
    call.identity.instance_id = line.instance_id.map(Into::into);
    call.identity.delegator = line.delegator.map(Into::into);
    call.resource = line.resource.map(Into::into);
    call.args_digest = line.args_digest.map(Into::into);
    let args = line.args.into_iter().filter(|(name, _)| name != "level");
    call.args.extend(args.map(|(name, value)| (name.into(), value)));
    call.credential.issued_at = line.token_iat;
    call.source_ip = line.source_ip;
    call
}

impl Scorer for StandIn {
    fn decode<'a>(&self, raw: &'a [u8], _caller: &Caller) -> Result<Call<'a>, GateError> {
        parse(raw).map(call)
    }

    fn masked(&self, text: String) -> String {
        text.replace("eyJ", "***")
    }

    async fn score(&self, raw: Bytes, _caller: &Caller) -> Result<Scored, GateError> {
        match self.trouble.lock().unwrap().clone() {
            Some(Trouble::Late) => return Ok(Scored::default()),
            Some(Trouble::Fails(e)) => return Err(e),
            None => {}
        }
        let line = parse(&raw)?;
        let level = MicroBits::from_bits(line.args.get("level").copied().unwrap_or(line.level));
        let record = record(line, level, Timestamp::from_micros(self.clock.load(Ordering::SeqCst)));
        let verdict = Some((record.verdict.id, level));
        if self.seen.lock().unwrap().insert(record.event_id.clone(), record.verdict.id).is_some() {
            return Ok(Scored { verdict, duplicate: true, ..Scored::default() });
        }
        let (revoker, now) = (self.revoker.clone(), record.verdict.ts);
        let handled = tokio::task::spawn_blocking(move || revoker.handle(&record, now)).await;
        let let_through = handled.unwrap().unwrap().let_through;
        Ok(Scored { verdict, let_through, duplicate: false })
    }
}

fn record(line: Line, level: MicroBits, ts: Timestamp) -> VerdictRecord {
    let id = line.event_id.bytes().fold(7_u128, |id, b| id.wrapping_mul(257) ^ u128::from(b));
    let verdict = Verdict {
        id: VerdictId(id),
        version: 1,
        ts,
        level,
        added: level,
        parts: std::iter::empty().collect(),
        families: line.families.unwrap_or(2),
        jump: 1.0,
        attestation: EffectiveAttestation::new(Attestation::Token, Attestation::Token),
        model: 0,
        rule: None,
        cohort: None,
        layers: Layers::default(),
        actor: Actor::default(),
    };
    VerdictRecord::new(&call(line), verdict)
}

struct Server {
    revoker: Revoker,
    addr: SocketAddr,
    task: JoinHandle<()>,
}

/// One installation.
pub(super) struct World {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// What the log behind the gate has seen.
    seen: Arc<Mutex<HashMap<String, VerdictId>>>,
    server: Option<Server>,
    config: PolicyConfig,
    manifests: Vec<Manifest>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::of(PolicyConfig::default(), Vec::new()).await
    }

    pub(super) async fn of(config: PolicyConfig, manifests: Vec<Manifest>) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), config, manifests).await
    }

    /// One whose record is a file on whatever the tests run.
    pub(super) async fn on_a_file(config: PolicyConfig) -> Self {
        Self::in_folder(crate::testing::with_a_file(), config, Vec::new()).await
    }

    async fn in_folder(folder: tempfile::TempDir, config: PolicyConfig, manifests: Vec<Manifest>) -> Self {
        let start: Timestamp = START.parse().unwrap();
        let mut world = Self {
            folder,
            clock: Arc::new(AtomicI64::new(start.as_micros())),
            trouble: Arc::default(),
            seen: Arc::default(),
            server: None,
            config,
            manifests,
        };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        let told = Route { name: "people".to_owned(), events: vec![NOTICE.to_owned()], ..Route::default() };
        let mut routes = vec![Route { name: "idp".to_owned(), ..Route::default() }];
        // Others count what leaves.
        routes.extend((self.config.approval != ApprovalConfig::default()).then_some(told));
        let policy = Policy::new(Budgets::default(), self.config.clone());
        let manifests = self.manifests.clone();
        let relying_party = Some(crate::approval::webauthn::tests::party());
        let setup = Setup {
            policy,
            public_url: "http://tocsin.test".to_owned(),
            routes,
            manifests,
            relying_party,
            ..crate::testing::setup(&[])
        };
        let revoker = crate::testing::open_as(self.folder.path(), setup);
        let clock = Arc::clone(&self.clock);
        let api = Api::new(
            revoker.clone(),
            "http://tocsin.test/",
            Arc::new(move || Timestamp::from_micros(clock.load(Ordering::SeqCst))),
        );
        let scorer = StandIn {
            revoker: revoker.clone(),
            clock: Arc::clone(&self.clock),
            trouble: Arc::clone(&self.trouble),
            seen: Arc::clone(&self.seen),
        };
        let mfa = MfaConfig {
            callback_urls: vec!["https://app.example/back".to_owned()],
            logout_urls: vec!["https://app.example/out".to_owned()],
        };
        let gate = Gate::new(api, scorer);
        let app = router(gate.clone(), Mfa::new(gate, mfa), RECORD_BYTES_MAX).layer(from_fn(credentials));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        self.server = Some(Server { revoker, addr, task });
    }

    /// The process ends without notice, and another begins on what is on the disk.
    pub(super) async fn restart(&mut self) {
        let server = self.server.take().unwrap();
        server.task.abort();
        assert!(server.task.await.unwrap_err().is_cancelled());
        drop(server.revoker);
        self.start().await;
    }

    /// What people were told, in order.
    pub(super) fn notices(&self) -> Vec<Value> {
        self.told(NOTICE)
    }

    /// Every message of a type, in order.
    pub(super) fn told(&self, kind: &str) -> Vec<Value> {
        let db = crate::testing::raw(self.folder.path());
        let mut statement =
            db.prepare_cached("SELECT body FROM events WHERE kind = ?1 ORDER BY seq").unwrap();
        let bodies = statement.query_map([kind], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        bodies.map(|body| serde_json::from_slice(&body.unwrap()).unwrap()).collect()
    }

    /// A number in the record.
    pub(super) fn count(&self, sql: &str) -> i64 {
        crate::testing::raw(self.folder.path()).query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The record as it is now, as a backup would hold it.
    pub(super) fn copy_record(&self) -> Vec<u8> {
        let path = self.folder.path().join("revoker.db");
        let copy = self.folder.path().join("copy.db");
        rusqlite::Connection::open(path)
            .unwrap()
            .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
            .unwrap();
        let bytes = std::fs::read(&copy).unwrap();
        std::fs::remove_file(&copy).unwrap();
        bytes
    }

    /// The process ends, and another begins on this copy of the record.
    pub(super) async fn put_back(&mut self, copy: Vec<u8>) {
        let server = self.server.take().unwrap();
        server.task.abort();
        assert!(server.task.await.unwrap_err().is_cancelled());
        drop(server.revoker);
        let path = self.folder.path().join("revoker.db");
        for beside in ["revoker.db-wal", "revoker.db-shm"] {
            std::fs::remove_file(path.with_file_name(beside)).ok();
        }
        std::fs::write(&path, copy).unwrap();
        self.start().await;
    }

    pub(super) fn revoker(&self) -> &Revoker {
        &self.server.as_ref().unwrap().revoker
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.load(Ordering::SeqCst))
    }

    pub(super) fn pass(&self, seconds: u64) {
        let later = self.now() + Duration::from_secs(seconds);
        self.clock.store(later.as_micros(), Ordering::SeqCst);
    }

    pub(super) fn trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// A person with an authenticator app.
    pub(super) async fn approver(&self, name: &str, also: &[&str]) -> Person {
        let also = also.iter().map(ToString::to_string).collect();
        let name = ApproverName::new(name).unwrap();
        let enrolled = enrol(self.revoker(), name, also, "test".to_owned(), self.now()).await.unwrap();
        let app = Totp::from_url(enrolled.expose_address()).unwrap();
        Person { name: enrolled.name.to_string(), app }
    }

    /// An authenticator app that holds this secret.
    pub(super) fn app(secret: &str) -> Totp {
        Totp::from_url(format!("otpauth://totp/Tocsin:x?secret={secret}&issuer=Tocsin")).unwrap()
    }

    pub(super) async fn send(&self, request: Ask) -> Reply {
        request.send(self.server.as_ref().unwrap().addr).await
    }

    /// The same with the answer still to come.
    pub(super) async fn begin(&self, request: Ask) -> tokio::net::TcpStream {
        request.begin(self.server.as_ref().unwrap().addr).await
    }

    /// Asks the gate about an act that the detector finds `level` bits of evidence in.
    pub(super) async fn gate(&self, event_id: &str, agent: &str, level: f64) -> Reply {
        self.send(Ask::gate(&line(event_id, agent, level))).await
    }

    /// The address of the page of the newest question, from the operators' list, as people get it.
    pub(super) async fn newest_page(&self) -> (String, Value) {
        let alerts = self.send(Ask::get("/v1/alerts?limit=1").bearer("soc")).await.json();
        let question = alerts["rows"][0]["approval"].clone();
        let url = question["page_url"].as_str().unwrap();
        (url.strip_prefix("http://tocsin.test").unwrap().to_owned(), question)
    }
}

/// The record of one act.
pub(super) fn line(event_id: &str, agent: &str, level: f64) -> Value {
    serde_json::json!({
        "event_id": event_id, "kind": "request", "agent_id": agent, "endpoint": "send_email",
        "instance_id": "pod-1", "delegator": "dana@example.com", "args_digest": "sha256:01", "level": level,
    })
}

pub(super) struct Person {
    pub(super) name: String,
    app: Totp,
}

impl Person {
    pub(super) fn code(&self, world: &World) -> String {
        self.app.generate(world.now().as_millis() as u64 / 1_000).to_string()
    }
}

/// The middleware that the executable brings: a credential's name is its token here.
async fn credentials(mut request: Request, next: Next) -> axum::response::Response {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let caller = header.and_then(|value| value.strip_prefix("Bearer ")).map(|name| Caller {
        name: name.to_owned(),
        source: name.to_owned(),
        roles: match name {
            "soc" => vec![Role::Analyst, Role::Operator],
            "analyst" => vec![Role::Analyst],
            "mailer" => vec![Role::Agent],
            _ => vec![Role::Agent, Role::Gateway],
        },
        agent: (name == "mailer").then(|| crate::agent::AgentKey::new(None, name)),
    });
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// One browser at one page: it opens it, keeps the cookie, and posts forms.
pub(super) struct Browser<'w> {
    world: &'w World,
    path: String,
    shown: Reply,
    cookie: String,
}

impl<'w> Browser<'w> {
    pub(super) async fn open(world: &'w World, path: &str) -> Self {
        let shown = world.send(Ask::get(path)).await;
        let cookie = shown.cookie().to_owned();
        Self { world, path: path.to_owned(), shown, cookie }
    }

    /// What it shows.
    pub(super) fn sees(&self, text: &str) -> bool {
        self.shown.body.contains(text)
    }

    /// The fields of the form that go along as they stand, with this choice.
    pub(super) fn fields<'a>(&'a self, choice: &'a str) -> [(&'a str, &'a str); 3] {
        [("token", self.token()), ("seen", self.shown.field("seen")), ("choice", choice)]
    }

    pub(super) fn token(&self) -> &str {
        self.shown.field("token")
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Asks what the authenticator is to be asked for, as the page's script does.
    pub(super) async fn ask(&self, fields: &[(&str, &str)]) -> Reply {
        self.world.send(self.own(Ask::form(&format!("{}/passkey", self.path), fields))).await
    }

    /// Posts the form with these fields.
    pub(super) async fn send(&self, fields: &[(&str, &str)]) -> Reply {
        self.world.send(self.own(Ask::form(&self.path, fields))).await
    }

    /// As the browser itself says where it comes from.
    fn own(&self, ask: Ask) -> Ask {
        ask.header("Cookie", &self.cookie)
            .header("Origin", "http://tocsin.test")
            .header("Sec-Fetch-Site", "same-origin")
    }

    pub(super) fn body(&self) -> &str {
        &self.shown.body
    }

    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(super) fn status(&self) -> u16 {
        self.shown.status
    }

    /// The form as it would be posted.
    pub(super) fn filled(&self, choice: &str, who: (&str, &str), number: &str) -> Ask {
        let fields = [
            ("token", self.shown.field("token")),
            ("seen", self.shown.field("seen")),
            ("choice", choice),
            ("name", who.0),
            ("code", who.1),
            ("number", number),
        ];
        self.own(Ask::form(&self.path, &fields))
    }

    /// Posts it, and follows the redirect if there is one.
    pub(super) async fn post(&mut self, choice: &str, who: (&str, &str), number: &str) -> u16 {
        let reply = self.world.send(self.filled(choice, who, number)).await;
        let status = reply.status;
        self.shown = if status == 303 {
            let (path, _) = reply.header("location").split_once('#').unwrap();
            self.world.send(Ask::get(path).header("Cookie", &self.cookie)).await
        } else {
            reply
        };
        status
    }
}
