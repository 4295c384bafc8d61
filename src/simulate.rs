//! `tocsin simulate`: a seeded fleet of agents with labelled attacks, as native NDJSON.

mod fleet;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use detector::Timestamp;
use ingest::decode::native;

use crate::exit::{Code, OrExit, Result};
pub(crate) use fleet::{Fleet, FleetSpec, usual_endpoint};

/// Write the calls of a simulated fleet, with two kinds of attack in it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tocsin simulate --agents 50 --days 14 --out sim/\n  \
    tocsin simulate --seed 7 | tocsin replay - --out scored/")]
pub(crate) struct SimulateArgs {
    /// The same seed and version give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many agents; every other one works by day and rests by night, the rest are steady.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    agents: u32,
    /// For how many days.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Median calls an hour of an agent; single agents are between a quarter and four times of it.
    #[arg(long, default_value_t = 30.0)]
    calls_per_hour: f64,
    /// How many attacks of each kind (burst, foreign endpoint), in the last third of the time.
    #[arg(long, default_value_t = 2)]
    attacks: u32,
    /// When it begins, RFC 3339.
    #[arg(long, default_value = "2026-01-05T00:00:00Z")]
    start: Timestamp,
    /// Folder for `calls.ndjson` and `labels.ndjson`; without it, calls go to standard output and labels nowhere.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    let spec = FleetSpec {
        seed: args.seed,
        agents: args.agents,
        start: args.start,
        length: Duration::from_hours(24) * args.days,
        calls_per_hour: args.calls_per_hour,
        attacks: args.attacks,
    };
    let fleet = Fleet::new(&spec).or_exit(Code::DataErr)?;
    let attacks = fleet.attacks().to_vec();
    match &args.out {
        None => write_calls(fleet, &mut BufWriter::new(io::stdout().lock())),
        Some(dir) => {
            let create = |name: &str| {
                let path = dir.join(name);
                File::create(&path)
                    .with_context(|| format!("cannot create {}", path.display()))
                    .or_exit(Code::CantCreate)
            };
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot create {}", dir.display()))
                .or_exit(Code::CantCreate)?;
            write_calls(fleet, &mut BufWriter::new(create("calls.ndjson")?))?;
            let mut labels = BufWriter::new(create("labels.ndjson")?);
            for attack in &attacks {
                serde_json::to_writer(&mut labels, attack)?;
                labels.write_all(b"\n")?;
            }
            Ok(labels.flush()?)
        }
    }
}

fn write_calls(fleet: Fleet, out: &mut impl Write) -> Result<()> {
    let mut line = Vec::with_capacity(512);
    for call in fleet {
        line.clear();
        native::write(&call, &mut line)?;
        match out.write_all(&line) {
            // Whoever reads has had enough: `tocsin simulate | head` is no failure.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    match out.flush() {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
