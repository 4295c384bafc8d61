//! `tocsin config check`: is the configuration right, and what does it come to?

use clap::Subcommand;
use revoker::store::Place;

use crate::cli::ConfigArg;
use crate::config::Config;
use crate::exit::Result;
use crate::terminal::say;

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Read file, environment, and the files, keys and secrets they name; say what is wrong, and exit with 0 or 78.
    #[command(
        after_help = "Example:\n  TOCSIN_BUDGETS__WATCH_DAYS=3 tocsin config check --config tocsin.toml"
    )]
    Check(ConfigArg),
}

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> Result<()> {
    let ConfigCommand::Check(args) = command;
    let config = Config::load(args.config.as_deref())?;
    crate::serve::check(&config)?;
    let b = config.budgets;
    let record = match config.record()? {
        Place::File(_) => String::new(),
        server @ Place::Server(_) => format!(", the record in {server}"),
    };
    say!(
        "the configuration is right: watch at {} bits, step-up at {}, revoke at {}; {} webhooks, {} manifests, data in {}{record}",
        b.watch(),
        b.step_up(),
        b.revoke(),
        config.webhooks.len(),
        config.manifests.len(),
        config.data_dir.display(),
    );
    Ok(())
}
