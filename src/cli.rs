//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Result;
use crate::{
    agents, approver, audit, bench, case, config_check, demo, effects, engine, explain, fleet, keys, mcp,
    operate, policy, replay, serve, simulate, webhooks,
};

/// Watches what AI agents do and pulls their access when they stop behaving like themselves.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Replay(replay::ReplayArgs),
    Simulate(simulate::SimulateArgs),
    /// Measure how well it detects.
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: config_check::ConfigCommand,
    },
    /// Policies as data: check one, say which rule decides, compare two.
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Enrol the people who approve.
    Approver {
        #[command(subcommand)]
        command: approver::ApproverCommand,
    },
    /// The register of agents: who they are, who answers for them, what they do; revoke, reinstate and retire them.
    Agents {
        #[command(subcommand)]
        command: agents::AgentsCommand,
    },
    Alerts(operate::AlertsArgs),
    /// One story in order: what each enforcement point was told and whether it is so.
    Case {
        #[command(subcommand)]
        command: case::CaseCommand,
    },
    /// What was decided and done: verify that nothing of it was changed, export it, tell a story.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// What was sent to enforcement points, and what must be sent again by hand.
    Effects {
        #[command(subcommand)]
        command: effects::EffectsCommand,
    },
    /// What seals secrets at rest: make, show and change keys, seal a secret for the configuration.
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    Explain(explain::ExplainArgs),
    Fleet(fleet::FleetArgs),
    /// Say that the record was restored from a backup, so that grants given before it are void.
    ///
    /// One that was used may seem unused in it.
    /// Where only the record was put back and not the whole `data_dir`, the next start finds out by itself.
    Restored(ConfigArg),
    Mcp(mcp::McpArgs),
    Pause(operate::PauseArgs),
    Resume(operate::ResumeArgs),
    /// What receivers of webhooks need: the schema of events, keys.
    Webhooks {
        #[command(subcommand)]
        command: webhooks::WebhooksCommand,
    },
    Engine(engine::EngineArgs),
}

/// Where the configuration is.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ConfigArg {
    /// TOML file; without it, defaults. `TOCSIN_SECTION__KEY` in the environment overrides either.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Parses the command line, runs the command, and says how it went.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; anything else is bad usage, 64 in sysexits.
            let usage = e.use_stderr();
            // Nowhere is left to say that standard error is closed.
            e.print().ok();
            return ExitCode::from(if usage { 64 } else { 0 });
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Bench { command } => bench::run(&command),
        Command::Config { command } => config_check::run(&command),
        Command::Policy { command } => policy::run(&command),
        Command::Approver { command } => approver::run(&command),
        Command::Agents { command } => agents::run(&command),
        Command::Alerts(args) => operate::alerts(&args),
        Command::Case { command } => case::run(&command),
        Command::Audit { command } => audit::run(&command),
        Command::Effects { command } => effects::run(&command),
        Command::Keys { command } => keys::run(&command),
        Command::Explain(args) => explain::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        Command::Restored(config) => approver::restored(&config),
        Command::Mcp(args) => mcp::run(&args),
        Command::Pause(args) => operate::pause(&args),
        Command::Resume(args) => operate::resume(&args),
        Command::Webhooks { command } => webhooks::run(&command),
        Command::Engine(args) => engine::run(&args),
    }
}
