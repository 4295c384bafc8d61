//! `tocsin approver`: the people who may answer a challenge.

use clap::Subcommand;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use revoker::Revoker;
use revoker::approval::{ApproverName, disable, enrol, list};

use crate::cli::ConfigArg;
use crate::clock;
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

#[derive(Subcommand, Debug)]
pub(crate) enum ApproverCommand {
    /// Enrol somebody: prints an otpauth address and its QR code once, for an authenticator app.
    #[command(after_help = "Example:\n  tocsin approver add Dana --also dana@example.com")]
    Add {
        /// How the page and the audit call them.
        name: String,
        /// Their names elsewhere (e-mail, subject at the identity provider): they cannot approve what was done for them.
        #[arg(long)]
        also: Vec<String>,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// List who is enrolled.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Make somebody's codes count no more.
    Disable {
        /// As enrolled.
        name: String,
        #[command(flatten)]
        config: ConfigArg,
    },
}

/// Runs the command, beside a running server or without one: the record is one file that both may open.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &ApproverCommand) -> Result<()> {
    match command {
        ApproverCommand::Add { name, also, config } => {
            let name = ApproverName::new(name).or_exit(Code::DataErr)?;
            let revoker = open(config)?;
            let enrolled =
                enrol(&revoker, name, also.clone(), operator(), clock::now()).await.or_exit(Code::DataErr)?;
            println!(
                "{} is enrolled. Scan this or type the address; it is not shown again.\n",
                enrolled.name
            );
            println!("{}", QrCode::new(enrolled.expose_address())?.render::<Dense1x2>().build());
            println!("{}", enrolled.expose_address());
        }
        ApproverCommand::List { json, config } => {
            let rows = list(&open(config)?).await?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&rows)?);
            } else if rows.is_empty() {
                println!("nobody is enrolled: `tocsin approver add NAME`");
            }
            for row in rows.iter().filter(|_| !json) {
                let state = match row.disabled_at {
                    Some(at) => format!("disabled {at}"),
                    None => "active".to_owned(),
                };
                println!("{}\t{state}\tsince {}\tby {}", row.name, row.enrolled_at, row.enrolled_by);
            }
        }
        ApproverCommand::Disable { name, config } => {
            let name = ApproverName::new(name).or_exit(Code::DataErr)?;
            if !disable(&open(config)?, name.clone(), operator(), clock::now()).await? {
                return Err(anyhow::anyhow!("no active approver is named {name}")).or_exit(Code::DataErr);
            }
            println!("{name} is disabled");
        }
    }
    Ok(())
}

/// Runs `tocsin restored`, beside a running server or without one.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn restored(config: &ConfigArg) -> Result<()> {
    open(config)?.restored(operator(), clock::now()).await?;
    println!("grants given before now are void; agents that were approved ask again");
    Ok(())
}

fn open(config: &ConfigArg) -> Result<Revoker> {
    crate::serve::open_revoker(&Config::load(config.config.as_deref())?)
}

/// Who runs the command, for the audit.
fn operator() -> String {
    format!("{} at a terminal", std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned()))
}
