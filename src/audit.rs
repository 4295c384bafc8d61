//! `tocsin audit`: what was decided and done, proved and told. Reads the record itself, beside a running server or from a copy.

mod words;

use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use detector::Timestamp;
use revoker::audit::{AuditError, ExportError, Head, HeadsFile, Record, RecordError, Which};

use crate::cli::ConfigArg;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, Failure, OrExit, Result};
use crate::terminal::{self, say};

#[derive(Subcommand, Debug)]
pub(crate) enum AuditCommand {
    /// Check every entry, and that the audit still begins as every signed head says; exits with 65 if not.
    ///
    /// Heads are in the record and in the file of heads. One that was kept elsewhere (`tocsin audit head`, the server's log)
    /// shows also that both were put back to an older copy.
    #[command(after_help = "Example:\n  tocsin audit verify --config tocsin.toml --head kept.heads")]
    Verify {
        /// A file with heads kept elsewhere, or a log that has some; may be given several times.
        #[arg(long = "head", value_name = "FILE")]
        heads: Vec<PathBuf>,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Sign a head over all entries, and print it and the key that verifies it; keep it where nobody here can write.
    Head(ConfigArg),
    /// Write entries as JSON, one a line, each with its path to the signed head on the first line.
    ///
    /// `leaf` is the entry, in the bytes that were hashed; `audit_path` is as in RFC 9162 section 2.1.3.
    #[command(
        after_help = "Example:\n  tocsin audit export --agent billing-001 --since 2026-11-01T00:00:00Z \\\n    \
        | jq -c 'select(.leaf).leaf | fromjson'"
    )]
    Export {
        /// Of one story.
        #[arg(long)]
        txn: Option<String>,
        /// On one agent.
        #[arg(long)]
        agent: Option<String>,
        /// Under which issuer that is its name.
        #[arg(long, requires = "agent")]
        issuer: Option<String>,
        /// Written at or after.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Tell one story in order, from the first evidence to the last receipt.
    #[command(after_help = "Alerts and webhooks name their story as `txn`.\n\n\
        Example:\n  tocsin audit show 7d0cbb0f7e5b4d1f8f4c3c1f3f0a9b5e")]
    Show {
        /// The story.
        txn: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArg,
    },
}

/// Where the configuration has heads appended.
pub(crate) fn heads_file(config: &Config) -> HeadsFile {
    let file = config.audit.heads_file.clone();
    HeadsFile::new(file.unwrap_or_else(|| config.data_dir.join("audit.heads")))
}

/// Runs the command.
pub(crate) fn run(command: &AuditCommand) -> Result<()> {
    match command {
        AuditCommand::Verify { heads, config } => verify(heads, config),
        AuditCommand::Head(config) => head(config),
        AuditCommand::Export { txn, agent, issuer, since, config } => {
            let (txn, agent_id, issuer) = (txn.clone(), agent.clone(), issuer.clone());
            export(&Which { txn, agent_id, issuer, since: *since }, config)
        }
        AuditCommand::Show { txn, json, config } => show(txn, *json, config),
    }
}

fn open(config: &Config) -> Result<Record> {
    Record::open(&config.record()?, &config.key_source()?).map_err(|e| match e {
        RecordError::Missing(_) => Failure::new(Code::NoInput, e),
        RecordError::Older(_) | RecordError::Key(_) | RecordError::Store(_) => Failure::new(Code::DataErr, e),
    })
}

fn verify(kept: &[PathBuf], config: &ConfigArg) -> Result<()> {
    let config = Config::load(config.config.as_deref())?;
    let record = open(&config)?;
    let file = heads_file(&config);
    let beside = file.read().with_context(|| file.path().display().to_string()).or_exit(Code::NoInput)?;
    let mut heads = beside.clone();
    for path in kept {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let found = Head::all_in(&text.or_exit(Code::NoInput)?);
        if found.is_empty() {
            return Err(anyhow!("{}: no head is in it", path.display())).or_exit(Code::DataErr);
        }
        heads.extend(found);
    }
    let verified = record.verify(&heads).map_err(failed)?;
    say!(
        "the audit is what was written: entries {} to {}, {} of them, and {} heads that agree",
        verified.first,
        verified.last,
        verified.entries,
        verified.heads,
    );
    if verified.heads_too_old > 0 {
        say!("{} heads are over less than retention has removed and prove nothing", verified.heads_too_old);
    }
    if beside.is_empty() {
        say!("{} holds no head: what the record itself says is all there is", file.path().display());
    }
    say!("root {}, key {}", verified.root, record.public_key().or_exit(Code::DataErr)?.id);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn head(config: &ConfigArg) -> Result<()> {
    let config = Config::load(config.config.as_deref())?;
    // So that a wrong folder is told and not filled.
    open(&config)?;
    let revoker = crate::serve::open_revoker(&config)?;
    let head = revoker.sign_audit_head(&heads_file(&config), clock::now()).await.map_err(failed)?;
    say!("{}", serde_json::to_string(&head)?);
    let key = revoker.audit_key()?;
    terminal::complain(&format!("signed with the {} key {}: {}", key.algorithm, key.id, key.public_key));
    Ok(())
}

fn export(which: &Which, config: &ConfigArg) -> Result<()> {
    let record = open(&Config::load(config.config.as_deref())?)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    record.export(which, clock::now(), &mut out).map_err(|e| match e {
        ExportError::Audit(e) => failed(e),
        ExportError::Output(_) => Failure::new(Code::IoErr, e),
    })
}

fn show(txn: &str, json: bool, config: &ConfigArg) -> Result<()> {
    let story = open(&Config::load(config.config.as_deref())?)?.story(txn).or_exit(Code::DataErr)?;
    if story.is_empty() {
        return Err(anyhow!("no entry is of the story {txn}")).or_exit(Code::DataErr);
    }
    if json {
        return terminal::json(&story);
    }
    for entry in &story {
        say!("{}", words::entry(entry));
    }
    Ok(())
}

fn failed(error: AuditError) -> Failure {
    let code = match error {
        AuditError::File { .. } => Code::NoInput,
        AuditError::Store(revoker::store::StoreError::Heads { .. }) => Code::CantCreate,
        _ => Code::DataErr,
    };
    Failure::new(code, error)
}
