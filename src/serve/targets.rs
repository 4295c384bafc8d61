//! Who is told: every target of the configuration, built.

use std::sync::Arc;

use anyhow::Context;
use revoker::Revoker;
use revoker::connector::Connector;
use revoker::connector::email::Mail;
use revoker::connector::ssf::{self, Transmitter};
use revoker::connector::tokens::Tokens;

use super::channel::{Channel, ChannelConfig, Realm};
use super::ciba::Ciba;
#[cfg(feature = "kafka")]
use super::topic::Topic;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

/// Every target that the configuration names and that needs no record. Gateways hand on `tokens`.
pub(super) fn all(config: &Config, tokens: &Tokens) -> Result<Vec<Arc<dyn Connector>>> {
    let environment = |name: &str| std::env::var(name).ok();
    let signing = config.ssf.as_ref().map(|section| section.signing(&config.http.public_url())).transpose();
    let signing = signing.context("ssf").or_exit(Code::Config)?;
    let mut targets: Vec<Arc<dyn Connector>> = Vec::new();
    for entry in &config.webhooks {
        let built = entry.build(&config.http.public_url(), environment);
        targets.push(target("webhooks", &entry.name, built)?);
    }
    for entry in &config.keycloak {
        targets.push(target("keycloak", &entry.name, entry.build(tokens.clone(), environment))?);
    }
    for entry in &config.oauth {
        targets.push(target("oauth", &entry.name, entry.build(tokens.clone(), environment))?);
    }
    for entry in &config.global_revocation {
        let built = entry.build(signing.as_ref(), tokens.clone(), environment);
        targets.push(target("global_revocation", &entry.name, built)?);
    }
    for entry in &config.backchannel_logout {
        targets.push(target("backchannel_logout", &entry.name, entry.build(signing.as_ref()))?);
    }
    Ok(targets)
}

/// The same, and those that look into the record.
pub(super) fn on_record(
    config: &Config,
    revoker: &Revoker,
    realm: Option<Arc<Realm>>,
) -> Result<Vec<Arc<dyn Connector>>> {
    let mut targets = all(config, revoker.tokens())?;
    if let Some(mail) = mail(config)? {
        targets.push(Arc::new(mail.of(revoker.clone())));
    }
    if let Some(realm) = realm {
        targets.push(Arc::new(Channel::new(realm, revoker.clone())));
    }
    #[cfg(feature = "kafka")]
    if let Some(topic) = &config.revocation_topic {
        let built = Topic::new(topic, revoker.clone()).context("revocation_topic");
        targets.push(Arc::new(built.or_exit(Code::Config)?));
    }
    Ok(targets)
}

/// A target as it was built, or which entry of which kind is none.
fn target<C: Connector, E: std::error::Error + Send + Sync + 'static>(
    kind: &str,
    name: &str,
    built: std::result::Result<C, E>,
) -> Result<Arc<dyn Connector>> {
    Ok(Arc::new(built.with_context(|| format!("{kind}: {name}")).or_exit(Code::Config)?))
}

/// The way to the mail server of the section `[email]`.
pub(super) fn mail(config: &Config) -> Result<Option<Mail>> {
    let environment = |name: &str| std::env::var(name).ok();
    config
        .email
        .as_ref()
        .map(|section| section.build(environment))
        .transpose()
        .context("email")
        .or_exit(Code::Config)
}

/// The realm of the section `[ciba_channel]`.
pub(super) fn realm(config: &Config) -> Result<Option<Arc<Realm>>> {
    let realm = config.ciba_channel.as_ref().map(ChannelConfig::build).transpose();
    Ok(realm.context("ciba_channel").or_exit(Code::Config)?.map(Arc::new))
}

/// The identity provider of the section `[ciba]`.
pub(super) fn provider(config: &Config) -> Result<Option<Ciba>> {
    let environment = |name: &str| std::env::var(name).ok();
    config
        .ciba
        .as_ref()
        .map(|section| section.build(environment))
        .transpose()
        .context("ciba")
        .or_exit(Code::Config)
}

/// The transmitter of the section `[ssf]`; without it no stream that was made before gets anything.
pub(super) async fn transmitter(config: &Config, revoker: &Revoker) -> Result<Option<Arc<Transmitter>>> {
    let environment = |name: &str| std::env::var(name).ok();
    let Some(section) = &config.ssf else {
        ssf::silence(revoker, clock::now()).await?;
        return Ok(None);
    };
    let transmitter = Transmitter::new(section, &config.http.public_url(), revoker.clone(), environment);
    let transmitter = transmitter.context("ssf").or_exit(Code::Config)?;
    transmitter.refresh(clock::now()).await?;
    Ok(Some(Arc::new(transmitter)))
}

/// Whether the section `[ssf]` can be used.
pub(super) fn check_ssf(config: &Config) -> Result<()> {
    let environment = |name: &str| std::env::var(name).ok();
    let Some(section) = &config.ssf else { return Ok(()) };
    section.verify(&config.http.public_url(), environment).context("ssf").or_exit(Code::Config)
}
