//! The configuration: a TOML file, overridden by the environment, checked as a whole before anything starts.

mod layers;
mod templates;

use std::path::{Path, PathBuf};

use detector::{Budgets, DetectorConfig, Manifest};
use ingest::source::files::FilesConfig;
use ingest::source::http::HttpConfig;
#[cfg(feature = "kafka")]
use ingest::source::kafka::KafkaConfig;
use ingest::store::StoreConfig;
use revoker::config::PolicyConfig;
use revoker::connector::webhook::WebhookConfig;
use serde::Deserialize;

use crate::exit::{Code, OrExit, Result};

/// Everything an operator can set. Each section belongs to the crate that reads it and has defaults of its own.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the local logs, the revoker's records, snapshots and the embedded engine's data live.
    pub(crate) data_dir: PathBuf,
    pub(crate) http: HttpConfig,
    pub(crate) files: Vec<FilesConfig>,
    #[cfg(feature = "kafka")]
    pub(crate) kafka: Option<KafkaConfig>,
    pub(crate) store: StoreConfig,
    detector: DetectorConfig,
    pub(crate) budgets: Budgets,
    pub(crate) policy: PolicyConfig,
    pub(crate) webhooks: Vec<WebhookConfig>,
    pub(crate) manifests: Vec<Manifest>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: ".tocsin".into(),
            http: HttpConfig::default(),
            files: Vec::new(),
            #[cfg(feature = "kafka")]
            kafka: None,
            store: StoreConfig::default(),
            detector: DetectorConfig::default(),
            budgets: Budgets::default(),
            policy: PolicyConfig::default(),
            webhooks: Vec::new(),
            manifests: Vec::new(),
        }
    }
}

impl Config {
    /// The file (none: defaults) with `TOCSIN_SECTION__KEY` from the environment on top, and the templates in the files it names.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let mut config: Self = layers::load(file, std::env::vars()).or_exit(Code::Config)?;
        config.detector.templates = templates::read(&config.detector.openapi).or_exit(Code::Config)?;
        Ok(config)
    }

    /// The detector's settings with the budgets they are judged by.
    pub(crate) fn detector(&self) -> DetectorConfig {
        DetectorConfig { budgets: self.budgets, ..self.detector.clone() }
    }
}
