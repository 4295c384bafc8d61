//! `tocsin webhooks`: what receivers need to know.

use anyhow::Context;
use clap::Subcommand;
use revoker::connector::webhook::{Secrets, new_signing_key};
use revoker::message::EVENTS_SCHEMA;

use crate::cli::ConfigArg;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::terminal::{self, say};

#[derive(Subcommand, Debug)]
pub(crate) enum WebhooksCommand {
    /// Print the JSON Schema (2020-12) of every event; a server has it at `/v1/webhooks/schema`.
    Schema,
    /// Print a new Ed25519 signing key for a webhook's secrets, and on standard error its public half.
    #[command(after_help = "Example:\n  tocsin webhooks new-key > hook.key     # secret_file = \"hook.key\"")]
    NewKey,
    /// Print the public halves of the signing keys that are configured, one a line after the target's name.
    Keys(ConfigArg),
}

/// Runs the command.
pub(crate) fn run(command: &WebhooksCommand) -> Result<()> {
    match command {
        WebhooksCommand::Schema => say!("{}", EVENTS_SCHEMA.trim_end()),
        WebhooksCommand::NewKey => {
            let key = new_signing_key()?;
            say!("{key}");
            for public in Secrets::parse(&key)?.public_keys() {
                terminal::complain(&format!("for the receiver: {public}"));
            }
        }
        WebhooksCommand::Keys(args) => {
            let config = Config::load(args.config.as_deref())?;
            crate::serve::install_tls();
            for webhook in &config.webhooks {
                let built = webhook.build(&config.http.public_url(), |name| std::env::var(name).ok());
                let built =
                    built.with_context(|| format!("webhooks: {}", webhook.name)).or_exit(Code::Config)?;
                for key in built.public_keys() {
                    say!("{}\t{key}", webhook.name);
                }
            }
        }
    }
    Ok(())
}
