//! The one executable of Tocsin: reads the command line, runs one command, exits with a code of sysexits.h.

mod agents;
mod approver;
mod audit;
mod bench;
mod case;
mod cli;
mod clock;
mod config;
mod config_check;
mod demo;
mod effects;
mod engine;
mod exit;
mod explain;
mod fleet;
mod keys;
mod mcp;
mod operate;
mod policy;
mod register;
mod replay;
mod serve;
mod simulate;
mod telemetry;
mod terminal;
mod webhooks;

fn main() -> std::process::ExitCode {
    cli::run()
}
