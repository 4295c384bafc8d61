//! The configuration: a TOML file, overridden by the environment, checked as a whole before anything starts.

mod layers;
pub(crate) mod manifests;
mod networks;
pub(crate) mod policy;
pub(crate) mod sealed;
mod templates;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use detector::{Budgets, DetectorConfig, Manifest};
use ingest::source::files::FilesConfig;
use ingest::source::http::HttpConfig;
#[cfg(feature = "kafka")]
use ingest::source::kafka::KafkaConfig;
use ingest::store::StoreConfig;
use revoker::api::MfaConfig;
use revoker::audit::AuditConfig;
use revoker::config::PolicyConfig;
use revoker::connector::Route;
use revoker::connector::email::EmailConfig;
use revoker::connector::global_revocation::GlobalRevocationConfig;
use revoker::connector::keycloak::KeycloakConfig;
use revoker::connector::logout::LogoutConfig;
use revoker::connector::oauth::OauthConfig;
use revoker::connector::ssf::SsfConfig;
use revoker::connector::webhook::WebhookConfig;
use revoker::keys::{KeySource, KeysConfig};
use revoker::store::Place;
use revoker::store::config::RecordConfig;
use serde::Deserialize;

use crate::exit::{Code, OrExit, Result};
#[cfg(feature = "kafka")]
use crate::serve::bus::BusConfig;
use crate::serve::channel::ChannelConfig;
use crate::serve::ciba::CibaConfig;
use crate::serve::ext_authz::ExtAuthzConfig;
use crate::serve::issuers::IssuerConfig;
use crate::serve::process::{Roles, RolesConfig};
#[cfg(feature = "kafka")]
use crate::serve::topic::TopicConfig;

/// Everything an operator can set. Each section belongs to the crate that reads it and has defaults of its own.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the local logs, the revoker's records, snapshots and the embedded engine's data live.
    pub(crate) data_dir: PathBuf,
    pub(crate) keys: KeysConfig,
    /// Threads that score at once; without it one a processor.
    workers: Option<NonZeroUsize>,
    pub(crate) http: HttpConfig,
    pub(crate) issuers: Vec<IssuerConfig>,
    pub(crate) ext_authz: Option<ExtAuthzConfig>,
    pub(crate) mfa: MfaConfig,
    pub(crate) files: Vec<FilesConfig>,
    #[cfg(feature = "kafka")]
    pub(crate) kafka: Option<KafkaConfig>,
    pub(crate) store: StoreConfig,
    revoker: RecordConfig,
    roles: RolesConfig,
    #[cfg(feature = "kafka")]
    pub(crate) bus: Option<BusConfig>,
    detector: DetectorConfig,
    pub(crate) budgets: Budgets,
    pub(crate) policy: PolicyConfig,
    pub(crate) audit: AuditConfig,
    policy_file: Option<PathBuf>,
    pub(crate) webhooks: Vec<WebhookConfig>,
    pub(crate) keycloak: Vec<KeycloakConfig>,
    pub(crate) oauth: Vec<OauthConfig>,
    pub(crate) global_revocation: Vec<GlobalRevocationConfig>,
    pub(crate) backchannel_logout: Vec<LogoutConfig>,
    #[cfg(feature = "kafka")]
    pub(crate) revocation_topic: Option<TopicConfig>,
    pub(crate) ssf: Option<SsfConfig>,
    pub(crate) email: Option<EmailConfig>,
    pub(crate) ciba: Option<CibaConfig>,
    pub(crate) ciba_channel: Option<ChannelConfig>,
    pub(crate) passkeys: PasskeysConfig,
    /// Targets by name: each but the first is told that access ended once one before it has failed.
    escalation: Vec<String>,
    /// Once loaded, those of `manifests_dir` are among them.
    pub(crate) manifests: Vec<Manifest>,
    manifests_dir: Option<PathBuf>,
}

/// The section `[passkeys]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PasskeysConfig {
    /// The domain that passkeys are bound to: the name in `http.public_url`, or one that it is part of.
    pub(crate) rp_id: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: ".tocsin".into(),
            keys: KeysConfig::default(),
            workers: None,
            http: HttpConfig::default(),
            issuers: Vec::new(),
            ext_authz: None,
            mfa: MfaConfig::default(),
            files: Vec::new(),
            #[cfg(feature = "kafka")]
            kafka: None,
            store: StoreConfig::default(),
            revoker: RecordConfig::default(),
            roles: RolesConfig::default(),
            #[cfg(feature = "kafka")]
            bus: None,
            detector: DetectorConfig::default(),
            budgets: Budgets::default(),
            policy: PolicyConfig::default(),
            audit: AuditConfig::default(),
            policy_file: None,
            webhooks: Vec::new(),
            keycloak: Vec::new(),
            oauth: Vec::new(),
            global_revocation: Vec::new(),
            backchannel_logout: Vec::new(),
            #[cfg(feature = "kafka")]
            revocation_topic: None,
            ssf: None,
            email: None,
            ciba: None,
            ciba_channel: None,
            passkeys: PasskeysConfig::default(),
            escalation: Vec::new(),
            manifests: Vec::new(),
            manifests_dir: None,
        }
    }
}

impl Config {
    /// The file (none: defaults) with `TOCSIN_SECTION__KEY` from the environment on top, and the templates in the files it names.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let mut config: Self = layers::load(file, std::env::vars()).or_exit(Code::Config)?;
        let origin = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
        let inline = std::mem::take(&mut config.manifests);
        config.manifests =
            manifests::all(&origin, inline, config.manifests_dir.as_deref()).or_exit(Code::Config)?;
        config.policy =
            policy::of(&origin, std::mem::take(&mut config.policy), config.policy_file.as_deref())
                .or_exit(Code::Config)?;
        if let Some(wrong) = config.mfa.wrong() {
            return Err(anyhow!(wrong)).or_exit(Code::Config);
        }
        config.detector.templates = templates::read(&config.detector.openapi).or_exit(Code::Config)?;
        if let Some(file) = &config.detector.networks_file {
            config.detector.providers = networks::read(file).or_exit(Code::Config)?.into();
        }
        Ok(config)
    }

    /// Where the keys are that seal secrets at rest.
    pub(crate) fn key_source(&self) -> Result<KeySource> {
        self.keys.source(&self.data_dir, |name| std::env::var(name).ok()).or_exit(Code::Config)
    }

    /// What of the file and the environment is sealed: key and text.
    pub(crate) fn sealed(file: Option<&Path>) -> Result<Vec<(String, String)>> {
        let layers = layers::Layers::read(file, std::env::vars()).or_exit(Code::Config)?;
        Ok(sealed::find(&layers.value))
    }

    /// Who is told what, those of the escalation list first and in its order.
    pub(crate) fn routes(&self) -> Result<Vec<Route>> {
        let mut routes: Vec<Route> = (self.webhooks.iter().map(WebhookConfig::route))
            .chain(self.keycloak.iter().map(KeycloakConfig::route))
            .chain(self.oauth.iter().map(OauthConfig::route))
            .chain(self.global_revocation.iter().map(GlobalRevocationConfig::route))
            .chain(self.backchannel_logout.iter().map(LogoutConfig::route))
            .collect();
        routes.extend(self.email.as_ref().map(|_| EmailConfig::route()));
        routes.extend(self.ciba_channel.as_ref().map(|_| ChannelConfig::route()));
        #[cfg(feature = "kafka")]
        routes.extend(self.revocation_topic.as_ref().map(TopicConfig::route));
        for (rank, name) in self.escalation.iter().enumerate() {
            let unranked = |route: &&mut Route| route.name == *name && route.rank.is_none();
            let route = routes.iter_mut().find(unranked);
            let wrong = || anyhow!("escalation: `{name}` is no target, or stands there twice");
            route.ok_or_else(wrong).or_exit(Code::Config)?.rank = Some(rank);
        }
        routes.sort_by_key(|route| route.rank.unwrap_or(usize::MAX));
        Ok(routes)
    }

    /// What this process does.
    pub(crate) fn roles(&self) -> Result<Roles> {
        #[cfg(feature = "kafka")]
        let (bus, topic) = (self.bus.is_some(), self.kafka.is_some());
        #[cfg(not(feature = "kafka"))]
        let (bus, topic) = (false, false);
        self.roles.check(bus, topic, !self.files.is_empty()).or_exit(Code::Config)
    }

    /// Where the revoker's record is.
    pub(crate) fn record(&self) -> Result<Place> {
        self.revoker.place(&self.data_dir, |name| std::env::var(name).ok()).or_exit(Code::Config)
    }

    /// How long tokens of agents live at most, where their manifests do not say longer.
    pub(crate) fn token_lifetime_max(&self) -> Duration {
        self.revoker.token_lifetime_max()
    }

    /// Threads that score at once. Their number changes no verdict.
    pub(crate) fn workers(&self) -> NonZeroUsize {
        self.workers.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// The detector's settings with the budgets they are judged by, and what is asked for each rule.
    pub(crate) fn detector(&self) -> DetectorConfig {
        let rule_ranks = self.policy.rules.ranks();
        DetectorConfig { budgets: self.budgets, rule_ranks, ..self.detector.clone() }
    }
}
