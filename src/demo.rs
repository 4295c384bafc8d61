//! `tocsin demo`: recorded logs of real agents through the whole chain, told as it happens.
//!
//! Everything here speaks to the server as its users do, over HTTP: the player appends recorded calls, three agents ask
//! the gate, a human opens the page. Nothing of the story is decided here; what the detector and the policy make of the
//! calls is told as it comes.

mod agent;
mod human;
mod narrator;
mod receiver;
mod recorded;
mod stage;
mod story;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::exit::Result;

/// Play recorded logs of real agents through the whole chain and tell the story.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tocsin demo\n  tocsin demo --auto --stay")]
pub(crate) struct DemoArgs {
    /// Answer for the human, with a true one-time code. So it is without a terminal, too.
    #[arg(long)]
    auto: bool,
    /// Keep everything up at the end, to look around; Ctrl-C ends it.
    #[arg(long)]
    stay: bool,
    /// Folder of the recorded logs.
    #[arg(long, default_value = "fixtures/agent-traces", value_name = "DIR")]
    recorded: PathBuf,
    /// Folder for the demo's data; made anew each time.
    #[arg(long, default_value = ".tocsin/demo", value_name = "DIR")]
    data: PathBuf,
}

/// Runs the command.
#[tokio::main]
pub(crate) async fn run(args: &DemoArgs) -> Result<()> {
    let ask = !args.auto && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let stage = stage::Stage::build(&args.data).await?;
    let told = story::tell(&stage, &args.recorded, ask).await;
    if told.is_ok() && args.stay {
        stage.stay().await?;
    }
    stage.strike().await?;
    told
}
