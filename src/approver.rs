//! `tocsin approver`: the people who may answer a challenge.

mod check;

use anyhow::anyhow;
use clap::Subcommand;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use revoker::Revoker;
use revoker::approval::{ApproverName, ApproverRow, disable, enrol, invite, list};

use crate::cli::ConfigArg;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::terminal::{self, say};

#[derive(Subcommand, Debug)]
pub(crate) enum ApproverCommand {
    /// Make somebody an approver: prints a link, good for a day, to enrol a passkey, an authenticator app or both.
    ///
    /// For who is one already the link adds to what they have.
    #[command(after_help = "Example:\n  tocsin approver add Dana --also dana@example.com")]
    Add {
        /// How the page and the audit call them.
        name: String,
        /// Their names elsewhere (e-mail, subject at the identity provider): they cannot approve what was done for them. The
        /// first that is an e-mail address is where notices go.
        #[arg(long)]
        also: Vec<String>,
        /// No link: enrol an authenticator app here, and print its address and QR code once.
        #[arg(long)]
        totp: bool,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// List who is enrolled, and how they can answer.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Make somebody's codes and passkeys count no more.
    #[command(alias = "disable")]
    Revoke {
        /// As enrolled.
        name: String,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// List agents that nobody could answer for, and approvers who lack a passkey.
    ///
    /// Of such an agent no approver has a method that works; a passkey is missed where an act of their agents may take one.
    /// Exits with 65 if there are such agents.
    Check(ConfigArg),
}

/// Runs the command, beside a running server or without one: the record is one that both may open.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &ApproverCommand) -> Result<()> {
    match command {
        ApproverCommand::Add { name, also, totp, config } => {
            let name = ApproverName::new(name).or_exit(Code::DataErr)?;
            add(name, also.clone(), *totp, config).await
        }
        ApproverCommand::List { json, config } => print_all(&list(&open(config)?).await?, *json),
        ApproverCommand::Revoke { name, config } => {
            let name = ApproverName::new(name).or_exit(Code::DataErr)?;
            if !disable(&open(config)?, name.clone(), operator(), clock::now()).await? {
                return Err(anyhow!("no active approver is named {name}")).or_exit(Code::DataErr);
            }
            say!("{name} can answer no more");
            Ok(())
        }
        ApproverCommand::Check(config) => check::run(&Config::load(config.config.as_deref())?).await,
    }
}

async fn add(name: ApproverName, also: Vec<String>, totp: bool, config: &ConfigArg) -> Result<()> {
    let config = Config::load(config.config.as_deref())?;
    let revoker = crate::serve::open_revoker(&config)?;
    if !totp {
        let link = invite(&revoker, name.clone(), also, operator(), clock::now()).await;
        let link = link.or_exit(Code::DataErr)?;
        say!(
            "{name} is an approver as soon as they enrol here, within a day. Give the link to nobody else.\n"
        );
        say!("{}{}", config.http.public_url(), link.path());
        return Ok(());
    }
    let enrolled = enrol(&revoker, name, also, operator(), clock::now()).await.or_exit(Code::DataErr)?;
    say!("{} is enrolled. Scan this or type the address; it is not shown again.\n", enrolled.name);
    say!("{}", QrCode::new(enrolled.expose_address())?.render::<Dense1x2>().build());
    say!("{}", enrolled.expose_address());
    Ok(())
}

fn print_all(rows: &[ApproverRow], json: bool) -> Result<()> {
    if json {
        return terminal::json(&rows);
    }
    if rows.is_empty() {
        say!("nobody is enrolled: `tocsin approver add NAME`");
    }
    for row in rows {
        let state = match row.disabled_at {
            Some(at) => format!("revoked {at}"),
            None => methods(row),
        };
        say!("{}\t{state}\tsince {}\tby {}", row.name, row.enrolled_at, row.enrolled_by);
    }
    Ok(())
}

/// How somebody can answer, in words.
fn methods(row: &ApproverRow) -> String {
    let passkeys = match row.passkeys {
        0 => None,
        1 => Some("a passkey".to_owned()),
        n => Some(format!("{n} passkeys")),
    };
    let has: Vec<String> = passkeys.into_iter().chain(row.has_totp.then(|| "an app".to_owned())).collect();
    if has.is_empty() { "has not enrolled yet".to_owned() } else { has.join(" and ") }
}

/// Runs `tocsin restored`, beside a running server or without one.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn restored(config: &ConfigArg) -> Result<()> {
    open(config)?.restored(operator(), clock::now()).await?;
    say!("grants given before now are void; agents that were approved ask again");
    say!(
        "where the whole data_dir was put back, revocations and reinstatements since then are not in it: compare with the \
         database's table `audit`, and with what your enforcement points say"
    );
    Ok(())
}

fn open(config: &ConfigArg) -> Result<Revoker> {
    crate::serve::open_revoker(&Config::load(config.config.as_deref())?)
}

/// Who runs the command, for the audit.
fn operator() -> String {
    format!("{} at a terminal", std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned()))
}
