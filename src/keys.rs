//! `tocsin keys`: what seals secrets at rest.

use std::io::Read as _;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use revoker::keys::{Keys, Lock, begin, census, finish, new_key, reseal};
use serde_json::json;

use crate::cli::ConfigArg;
use crate::config::{Config, sealed};
use crate::exit::{Code, Failure, OrExit, Result};
use crate::terminal::say;

/// The longest secret that is sealed.
const SECRET_BYTES_MAX: u64 = 64 * 1_024;

#[derive(Subcommand, Debug)]
pub(crate) enum KeysCommand {
    /// Print a new key, for `[keys] file` or `env`.
    ///
    /// Without that section the key is `revoker.key` in `data_dir`, made at the first start.
    #[command(
        after_help = "Example:\n  tocsin keys new > /etc/tocsin/seal.key && chmod 600 /etc/tocsin/seal.key"
    )]
    New,
    /// Say which keys there are, by names that say nothing of them, and how much each has sealed.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Seal a secret from standard input; what is printed stands in the configuration in the secret's place.
    #[command(
        after_help = "Example:\n  openssl rand -hex 32 | tocsin keys seal     # client_secret = \"tocsin-sealed:…\""
    )]
    Seal(ConfigArg),
    /// Make a new key and seal everything with it; the old one opens until then, and is forgotten after.
    ///
    /// The server must be stopped. Interrupted at any point, everything opens, and the same command goes on. Where the key is in the
    /// environment, put the new one (`tocsin keys new`) before the old one there first.
    Rotate(ConfigArg),
}

/// Runs the command.
pub(crate) fn run(command: &KeysCommand) -> Result<()> {
    match command {
        KeysCommand::New => say!("{}", new_key()),
        KeysCommand::Show { json, config } => show(config, *json)?,
        KeysCommand::Seal(config) => {
            let config = Config::load(config.config.as_deref())?;
            std::fs::create_dir_all(&config.data_dir).or_exit(Code::CantCreate)?;
            let keys = Keys::new(&config.key_source()?.read().or_exit(Code::Config)?)?;
            let mut secret = String::new();
            std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut secret)?;
            let secret = secret.trim();
            if secret.is_empty() {
                return Err(anyhow!("standard input holds no secret")).or_exit(Code::DataErr);
            }
            say!("{}", sealed::seal(&keys, secret)?);
        }
        KeysCommand::Rotate(config) => rotate(config)?,
    }
    Ok(())
}

fn show(args: &ConfigArg, as_json: bool) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let source = config.key_source()?;
    let keys = Keys::new(&source.read().or_exit(Code::Config)?)?;
    let mut counted = census(&config.record()?, &keys).or_exit(Code::DataErr)?;
    for (_, text) in Config::sealed(args.config.as_deref())? {
        let (_, place) = sealed::opened(&keys, &text).or_exit(Code::DataErr)?;
        counted.by_key[place].1 += 1;
    }
    if as_json {
        let rows = counted.by_key.iter().map(|(id, count)| json!({ "key": id, "sealed": count }));
        say!("{}", json!({ "keys": rows.collect::<Vec<_>>(), "lost": counted.lost }));
    } else {
        for (place, (id, count)) in counted.by_key.iter().enumerate() {
            say!("{id}\t{}\t{count} sealed", if place == 0 { "seals and opens" } else { "opens" });
        }
    }
    match counted.lost.as_slice() {
        [] => Ok(()),
        lost => Err(anyhow!("no key opens {}; restore the one from before", lost.join(", ")))
            .or_exit(Code::DataErr),
    }
}

fn rotate(args: &ConfigArg) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let source = config.key_source()?;
    std::fs::create_dir_all(&config.data_dir).or_exit(Code::CantCreate)?;
    let _lock = Lock::exclusive(&config.data_dir).or_exit(Code::Unavailable)?;
    let ring = begin(&source).or_exit(Code::Config)?;
    let keys = Keys::new(&ring)?;
    if keys.ids().len() == 1 {
        let first =
            anyhow!("{source} holds one key: put a new one (`tocsin keys new`) before it, and rotate again");
        return Err(Failure::new(Code::Config, first));
    }
    let count = reseal(&config.record()?, &ring).context("nothing was changed").or_exit(Code::DataErr)?;
    say!("{count} secrets of the record are sealed with {}", keys.ids().first().unwrap_or(&""));
    let mut stale = 0;
    for (key, text) in Config::sealed(args.config.as_deref())? {
        let (secret, place) = sealed::opened(&keys, &text).or_exit(Code::DataErr)?;
        if place > 0 {
            stale += 1;
            say!("{key} = \"{}\"", sealed::seal(&keys, &secret)?);
        }
    }
    if stale > 0 {
        say!(
            "put these in the places of those in the configuration, and rotate again: the old key stays until then"
        );
    } else if source.file().is_some() {
        finish(&source).or_exit(Code::CantCreate)?;
        say!("the old key is forgotten");
    } else {
        say!("the old key may be taken out of {source}");
    }
    Ok(())
}
