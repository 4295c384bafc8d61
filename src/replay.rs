//! `tocsin replay`: recorded logs through the same decoder, detector, policy and lifecycle as `serve`, into files.

mod chunk;
mod output;
mod report;
mod seen;
mod sessions;
mod windows;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use detector::Attestation;
use indicatif::{ProgressBar, ProgressStyle};
use ingest::decode::{Format, Limits, Record, RecordReader, SourceContext, Tally};

use crate::cli::ConfigArg;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::terminal::{self, say};
use chunk::Chunk;
use output::Output;

/// Score recorded logs exactly as `serve` would.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tocsin replay logs/ --out scored/\n  \
    zcat calls.ndjson.gz | tocsin replay - --json\n  tocsin replay trail.json.gz --format cloudtrail --attestation token")]
pub(crate) struct ReplayArgs {
    /// Files, plain or gzip; folders, read in order of name; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// auto, native or cloudtrail.
    #[arg(long, default_value = "auto")]
    format: Format,
    /// Most that these logs may claim for an identity: none, network, token, key or platform.
    #[arg(long, default_value = "none", value_parser = parse_attestation)]
    attestation: Attestation,
    /// Issuer of agents whose record names none.
    #[arg(long)]
    issuer: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
    /// Threads that score where 256 records or more lie within 10 s of event time; the results are the same, however many. As many as
    /// there are processors by default.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Folder for the results; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "replay")]
    out: PathBuf,
    /// Print the report as JSON instead of a summary.
    #[arg(long)]
    json: bool,
}

fn parse_attestation(name: &str) -> Result<Attestation, String> {
    use Attestation::{Key, Network, None, Platform, Token};
    [None, Network, Token, Key, Platform]
        .into_iter()
        .find(|a| a.as_str() == name)
        .ok_or_else(|| format!("`{name}` is not one of none, network, token, key, platform"))
}

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let config = Config::load(args.config.config.as_deref())?;
    let files = expand(&args.files)?;
    let began = Instant::now();
    let mut output = Output::create(&args.out, &config, args.workers.unwrap_or_else(|| config.workers()))
        .with_context(|| format!("cannot write to {}", args.out.display()))
        .or_exit(Code::CantCreate)?;
    let progress = progress(&files);
    for file in &files {
        let name = file.display().to_string();
        let mut ctx = SourceContext::new(name.clone(), args.attestation, args.format);
        ctx.default_issuer.clone_from(&args.issuer);
        let input: Box<dyn Read> = if is_stdin(file) {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(file).with_context(|| name.clone()).or_exit(Code::NoInput)?)
        };
        read(progress.wrap_read(input), &ctx, &mut output)?;
    }
    progress.finish_and_clear();
    let report = output.finish(began.elapsed())?;
    if args.json {
        return terminal::json(&report);
    }
    say!("{}", report.summary(&args.out));
    Ok(())
}

/// Every record of one input, in its order.
fn read(input: impl Read, ctx: &SourceContext, output: &mut Output<'_>) -> Result<()> {
    let (mut tally, mut chunk) = (Tally::new(), Chunk::default());
    let mut reader = RecordReader::new(input, ctx.format, Limits::default());
    loop {
        let item = match reader.next_item() {
            Ok(Some(item)) => item,
            // What came before an input broke off is scored all the same.
            ended => {
                score(&mut chunk, ctx, &mut tally, output)?;
                ended?;
                break;
            }
        };
        match item.record {
            Record::Whole(bytes) => chunk.push(item.line, bytes),
            Record::Broken(broken) => {
                score(&mut chunk, ctx, &mut tally, output)?;
                output.reject(&broken.reject(&ctx.name, item.line))?;
            }
        }
        if chunk.is_full() {
            score(&mut chunk, ctx, &mut tally, output)?;
        }
    }
    output.blank_lines(reader.blank_lines());
    output.unknown_fields(&tally);
    Ok(())
}

/// Scores what was read; the chunk is empty after it.
fn score(
    chunk: &mut Chunk,
    ctx: &SourceContext,
    tally: &mut Tally,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut records = Vec::new();
    for decoded in chunk.decode(ctx, tally) {
        match decoded {
            Ok(record) => records.push(record),
            Err(reject) => {
                output.records(&ctx.name, &records)?;
                records.clear();
                output.reject(&reject)?;
            }
        }
    }
    output.records(&ctx.name, &records)?;
    drop(records);
    chunk.clear();
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Folders become their files, in order of name.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if is_stdin(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let listed = std::fs::read_dir(path).and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .filter(|p| p.as_ref().map_or(true, |p| p.is_file()))
                .collect()
        });
        let mut inside: Vec<PathBuf> =
            listed.with_context(|| path.display().to_string()).or_exit(Code::NoInput)?;
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(files: &[PathBuf]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes: u64 = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
