//! `tocsin serve`: puts the crates together and runs them until told to stop.

mod audited;
mod baselines;
#[cfg(feature = "kafka")]
pub(crate) mod bus;
pub(crate) mod channel;
pub(crate) mod ciba;
mod cohorts;
mod explain;
pub(crate) mod ext_authz;
mod feedback;
mod findings;
mod fleet;
mod gate;
mod http;
mod introspect;
pub(crate) mod issuers;
mod listener;
mod manifests;
#[cfg(feature = "mcp")]
mod mcp;
mod openapi;
mod outlet;
pub(crate) mod process;
mod register;
mod roles;
mod scoring;
#[cfg(feature = "kafka")]
mod stages;
mod stored;
mod targets;
mod tls;
#[cfg(feature = "kafka")]
pub(crate) mod topic;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use detector::Attestation;
use ingest::baseline::Baselines;
use ingest::decode::{Format, SourceContext};
use ingest::finding::Findings;
use ingest::log::{Log, LogConfig};
use ingest::pipeline::drain;
use ingest::pipeline::score::{self, FleetStatus};
use ingest::source::credentials::Credentials;
use ingest::source::{Intake, LogSource, Source, files};
use ingest::store::Store;
use revoker::api::{Api, Gate, Mfa};
use revoker::approval::webauthn::RelyingParty;
use revoker::connector::ssf::Transmitter;
use revoker::connector::tokens::Tokens;
use revoker::executor::Executor;
use revoker::keys::{KeyError, Keys, KeysConfig};
use revoker::policy::Policy;
use revoker::{OpenError, Revoker, Setup};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::ConfigArg;
use crate::config::Config;
use crate::exit::{Code, Failure, OrExit, Result};
use crate::serve::process::Roles;
use crate::telemetry;

/// Read calls, score them, challenge and revoke, and answer agents, people and operators over HTTP.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tocsin serve --config tocsin.toml\n  \
    cat calls.ndjson | tocsin serve --config tocsin.toml --stdin\n\n\
    TOCSIN_LOG filters what is logged (info, debug, tocsin=trace …).")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Take calls from standard input too; its records may claim nothing for their identities.
    #[arg(long)]
    stdin: bool,
}

/// Runs the command until SIGINT or SIGTERM.
#[tokio::main]
pub(crate) async fn run(args: &ServeArgs) -> Result<()> {
    telemetry::logs("info")?;
    let config = Config::load(args.config.config.as_deref())?;
    let roles = config.roles()?;
    if args.stdin && !roles.is_whole() {
        return Err(anyhow!("--stdin: {}", process::BY_KAFKA)).or_exit(Code::Config);
    }
    #[cfg(feature = "kafka")]
    if !roles.revoke {
        return stages::run(config, roles).await;
    }
    let server = Server::start(config).await?;
    if args.stdin {
        server.read_stdin()?;
    }
    tracing::info!(address = %server.address, public_url = server.public_url, "tocsin serves");
    tokio::select! {
        () = asked_to_end() => tracing::info!("asked to end"),
        () = server.stop.cancelled() => tracing::error!("a part of the server ended by itself"),
    }
    server.stop().await
}

/// Resolves at SIGINT or SIGTERM.
pub(crate) async fn asked_to_end() {
    let interrupt = async {
        // Without a handler there is nothing to wait for; SIGTERM still ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! { () = interrupt => {}, _ = terminate.recv() => {} },
            Err(_) => interrupt.await,
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}

/// Chooses the one implementation of TLS for the process.
pub(crate) fn install_tls() {
    // Installed before: then it is this one.
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// The record of standings, approvals and effects, as `serve` opens it.
pub(crate) fn open_revoker(config: &Config) -> Result<Revoker> {
    let mut routes = config.routes()?;
    if config.roles()?.score {
        routes.push(feedback::route());
    }
    let public_url = config.http.public_url();
    let policy = Policy::new(config.budgets, config.policy.clone());
    let rp_id = config.passkeys.rp_id.as_deref();
    let relying_party = match RelyingParty::new(&public_url, rp_id) {
        Ok(party) => Some(party),
        Err(why) if rp_id.is_some() => return Err(anyhow!(why)).or_exit(Code::Config),
        Err(why) => {
            let classes = &config.policy.approval.passkey_for;
            if classes.is_empty() {
                tracing::info!(%why, "passkeys cannot be used");
            } else {
                tracing::warn!(%why, ?classes, "passkeys cannot be used, so nobody can approve what takes one");
            }
            None
        }
    };
    let manifests = config.manifests.clone();
    let pushes = config.ciba.is_some();
    let token_lifetime_max = config.token_lifetime_max();
    let setup = Setup { policy, public_url, routes, manifests, relying_party, pushes, token_lifetime_max };
    Revoker::open_by(&config.record()?, &config.data_dir, setup, &config.key_source()?).map_err(|e| {
        let code = match &e {
            OpenError::Key(KeyError::InUse(_)) => Code::Unavailable,
            OpenError::Key(_) => Code::Config,
            _ => Code::CantCreate,
        };
        Failure::new(code, e)
    })
}

/// Looks at all of the configuration that a start would look at, and starts nothing.
pub(crate) fn check(config: &Config) -> Result<()> {
    install_tls();
    let source = config.key_source()?;
    // One of ours that is not there yet is made by the first start.
    if config.keys != KeysConfig::default() || source.file().is_some_and(Path::exists) {
        Keys::new(&source.read().or_exit(Code::Config)?).or_exit(Code::Config)?;
    }
    config.routes()?;
    let credentials = Credentials::resolve(&config.http.credentials, |name| std::env::var(name).ok());
    tls::check(config.http.tls.as_ref(), &credentials.or_exit(Code::Config)?).or_exit(Code::Config)?;
    config.http.tls.as_ref().map(tls::Tls::open).transpose().or_exit(Code::Config)?;
    issuers::Issuers::new(&config.issuers).or_exit(Code::Config)?;
    targets::all(config, &Tokens::default())?;
    targets::mail(config)?;
    targets::provider(config)?;
    targets::realm(config)?;
    targets::check_ssf(config)
}

/// Whose requests are taken.
fn who(config: &Config) -> Result<Arc<http::Who>> {
    let credentials = Credentials::resolve(&config.http.credentials, |name| std::env::var(name).ok());
    let issuers = issuers::Issuers::new(&config.issuers).or_exit(Code::Config)?;
    let credentials = credentials.or_exit(Code::Config)?;
    tls::check(config.http.tls.as_ref(), &credentials).or_exit(Code::Config)?;
    let who = Arc::new(http::Who { credentials: Arc::new(credentials), issuers });
    // Beside the start: an issuer that hangs must not hold it up.
    let greeted = Arc::clone(&who);
    tokio::spawn(async move { greeted.issuers.greet().await });
    Ok(who)
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{key} = {address}")).or_exit(Code::CantCreate)
}

/// What goes out, as far as requests that come in have to do with it.
struct Outbound {
    transmitter: Option<Arc<Transmitter>>,
    realm: Option<Arc<channel::Realm>>,
}

/// Begins to deliver what the record has for its targets.
async fn outbound(
    config: &Config,
    revoker: &Revoker,
    intake: &Intake,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<Outbound> {
    let realm = targets::realm(config)?;
    let mut connectors = targets::on_record(config, revoker, realm.clone())?;
    if config.roles()?.score {
        connectors.push(Arc::new(feedback::Feedback::new(intake.clone())));
    }
    if let Some(provider) = targets::provider(config)? {
        tasks.spawn(ciba::run(provider, revoker.clone(), stop.clone()));
    }
    let transmitter = targets::transmitter(config, revoker).await?;
    let mut executor = Executor::new(revoker.clone(), connectors);
    if let Some(transmitter) = &transmitter {
        executor = executor.streaming(Arc::clone(transmitter));
    }
    let until = stop.clone();
    tasks.spawn(async move { Ok(executor.run(until).await?) });
    Ok(Outbound { transmitter, realm })
}

/// Everything that runs, until [`Server::stop`].
pub(crate) struct Server {
    address: SocketAddr,
    public_url: String,
    revoker: Revoker,
    intake: Intake,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    stored: stored::Stored,
}

impl Server {
    /// Starts all parts; when it returns, calls are taken.
    pub(crate) async fn start(mut config: Config) -> Result<Self> {
        let roles = config.roles()?;
        install_tls();
        let metrics = telemetry::metrics()?;
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| config.data_dir.display().to_string())
            .or_exit(Code::CantCreate)?;
        let stop = CancellationToken::new();
        let (mut tasks, mut threads) = (JoinSet::new(), Vec::new());

        // The listener first: a wrong address is said at once, and the public address may depend on the port.
        let listener = listener::Listener::bind(&mut config).await?;
        let (address, public_url) = (config.http.listen, config.http.public_url());

        let logs = Logs::open(&config)?;
        let findings =
            Findings::new(Arc::new(findings::ToAlerts::new(logs.alerts.clone(), Handle::current())));
        let intake = Intake::new(logs.calls.clone(), findings.clone());
        let who = who(&config)?;
        let revoker = open_revoker(&config)?;
        let outbound = outbound(&config, &revoker, &intake, &stop, &mut tasks).await?;
        audited::start(&config, &revoker, &logs, &stop, &mut tasks)?;

        let baselines = Baselines::open(&config.data_dir.join("baselines.db")).or_exit(Code::CantCreate)?;
        let waiting = gate::Waiting::default();
        let kafka = Kafka::open(&config, roles, &findings)?;
        let (tell_health, health) = watch::channel(FleetStatus::default());
        let (enquirer, questions) = score::line();
        let outlet = outlet::ToRevoker::new(revoker.clone(), logs.alerts.clone(), waiting.clone());
        if roles.score {
            let parts = scoring::Parts {
                logs: &logs,
                topic: kafka.score,
                outlet: Box::new(outlet),
                baselines: baselines.clone(),
                set_manifests: revoker.set_manifests().or_exit(Code::Unavailable)?,
                findings: findings.clone(),
                health: tell_health,
                questions,
                stop: stop.clone(),
            };
            threads.push(scoring::start(&config, parts)?);
        } else {
            #[cfg(feature = "kafka")]
            threads.extend(bus::read(&config, outlet, &stop)?);
        }
        let offers = cohorts::offer(revoker.clone(), health.clone(), stop.clone());
        tasks.spawn(async {
            offers.await;
            Ok(())
        });
        let sources = with(LogSource::new(&logs.calls, "store", Handle::current(), findings)?, kafka.store);
        let stored = stored::Stored::start(&config, sources, &logs, &stop, &mut tasks).await?;
        if !config.files.is_empty() {
            let state = config.data_dir.join("files.db");
            threads.push(
                files::watch(config.files.clone(), &state, intake.clone(), Handle::current(), stop.clone())
                    .or_exit(Code::Config)?,
            );
        }

        let scorer = gate::ToLog::new(intake.clone(), waiting, &who, roles.score);
        let api = Api::new(revoker.clone(), &public_url, Arc::new(crate::clock::now)).until(stop.clone());
        let gate = Gate::new(api, scorer);
        if let Some(section) = &config.ext_authz {
            let listener = listen(section.listen, "ext_authz.listen").await?;
            let router = http::checks(Arc::clone(&who), gate.clone(), section).into_make_service();
            let until = stop.clone().cancelled_owned();
            tasks
                .spawn(async move { Ok(axum::serve(listener, router).with_graceful_shutdown(until).await?) });
        }
        let router = http::router(
            &config,
            http::Parts {
                who,
                intake: intake.clone(),
                revoker: revoker.clone(),
                transmitter: outbound.transmitter,
                mfa: Mfa::new(gate.clone(), config.mfa.clone()).pushing(config.ciba.is_some()),
                gate,
                realm: outbound.realm,
                metrics,
                health,
                enquirer,
                stored: stored.clone(),
                baselines,
                takes_calls: roles.is_whole(),
                stop: stop.clone(),
            },
        );
        listener.serve(router, &stop, &mut tasks)?;
        Ok(Self { address, public_url, revoker, intake, stop, tasks, threads, stored })
    }

    /// What people reach HTTP under.
    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The record.
    pub(crate) fn revoker(&self) -> &Revoker {
        &self.revoker
    }

    /// The database, as soon as it answers.
    pub(crate) fn store(&self) -> Option<Store> {
        self.stored.get()
    }

    fn read_stdin(&self) -> Result<()> {
        let source = SourceContext::new("stdin", Attestation::None, Format::Auto);
        // A read of standard input cannot be interrupted, so nobody waits for this thread's end.
        files::stdin(source, self.intake.clone(), Handle::current(), self.stop.clone())?;
        Ok(())
    }

    /// Ends everything in order: no more requests, what is under way is finished, state is saved.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let mut ended = Ok(());
        while let Some(task) = self.tasks.join_next().await {
            let result =
                task.map_err(|e| anyhow!("a task broke: {e}")).or_exit(Code::Software).and_then(|r| r);
            ended = ended.and(result);
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|t| t.join().is_ok())).await;
        self.stored.close().await;
        if !joined.unwrap_or(false) {
            ended = ended.and(Err(anyhow!("a pipeline broke")).or_exit(Code::Software));
        }
        ended
    }
}

/// The local logs.
pub(crate) struct Logs {
    calls: Log,
    verdicts: Log,
    alerts: Log,
    audit: Log,
}

impl Logs {
    fn open(config: &Config) -> Result<Self> {
        let open = |name: &str, kept: LogConfig| {
            Log::open(&config.data_dir.join(name), kept).or_exit(Code::CantCreate)
        };
        Ok(Self {
            calls: open("calls.log.db", LogConfig::read_by(&["score", "store"]))?,
            verdicts: open("verdicts.log.db", LogConfig::drained_by(&[drain::READER]))?,
            alerts: open("alerts.log.db", LogConfig::drained_by(&[drain::READER]))?,
            audit: open("audit.log.db", LogConfig::drained_by(&[drain::READER]))?,
        })
    }
}

/// One source a pipeline where there is a topic.
#[derive(Default)]
struct Kafka {
    score: Option<Box<dyn Source>>,
    store: Option<Box<dyn Source>>,
}

impl Kafka {
    #[cfg(not(feature = "kafka"))]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature `kafka` it can fail")]
    fn open(_config: &Config, _roles: Roles, _findings: &Findings) -> Result<Self> {
        Ok(Self::default())
    }

    #[cfg(feature = "kafka")]
    fn open(config: &Config, roles: Roles, findings: &Findings) -> Result<Self> {
        use ingest::seen::{SeenFile, SeenLimits};
        use ingest::source::kafka::{Group, KafkaSource};
        let Some(kafka) = &config.kafka else { return Ok(Self::default()) };
        let seen = SeenFile::open(&config.data_dir.join("seen.db"), SeenLimits::default())
            .or_exit(Code::CantCreate)?;
        let seen = Arc::new(seen);
        let connect = |group| -> Result<Option<Box<dyn Source>>> {
            let source = KafkaSource::connect(kafka, group, Arc::clone(&seen), findings.clone());
            Ok(Some(Box::new(source.or_exit(Code::Config)?)))
        };
        let connect_if = |runs, group| if runs { connect(group) } else { Ok(None) };
        Ok(Self {
            score: connect_if(roles.score, Group::Score)?,
            store: connect_if(roles.ingest, Group::Store)?,
        })
    }
}

fn with(log: LogSource, more: Option<Box<dyn Source>>) -> Vec<Box<dyn Source>> {
    let log: Box<dyn Source> = Box::new(log);
    std::iter::once(log).chain(more).collect()
}
