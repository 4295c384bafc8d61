//! Notices by e-mail, to a mail server that is not ours (aiosmtpd): STARTTLS, a password, and an authority of one's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::support::gate::{now, operate};
use crate::support::parts::python;
use crate::support::process::Process;
use crate::support::tocsin::Tocsin;
use crate::support::{port, wait};

const LIMIT: Duration = Duration::from_mins(1);

/// `parts/pypi/smtp.py`.
struct MailServer {
    process: Option<Process>,
    port: u16,
    folder: PathBuf,
}

impl MailServer {
    /// One that is down, whose certificate names `localhost` and is of the authority in `ca.pem`.
    fn new(folder: &Path) -> Self {
        let (ca_key, mut ca) = (KeyPair::generate().expect("a key"), CertificateParams::default());
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).expect("a certificate").pem();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate").pem();
        for (name, text) in [("ca.pem", pem), ("mail.pem", signed), ("mail.key", key.serialize_pem())] {
            std::fs::write(folder.join(name), text).expect("to write");
        }
        Self { process: None, port: port::free(), folder: folder.to_owned() }
    }

    fn start(&mut self) {
        let file = |name: &str| self.folder.join(name);
        let mut command = python("smtp.py");
        command.arg(self.port.to_string());
        command.args([file("mail.pem"), file("mail.key"), file("mail.ndjson")]);
        let mut process = Process::start("the mail server", &mut command, &file("mail.out"));
        process.ready("listener", LIMIT, || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok());
        self.process = Some(process);
    }

    /// The section `[email]` that writes to it; `more` says which authorities are trusted.
    fn section(&self, more: &str) -> String {
        format!(
            "[email]\nserver = \"localhost\"\nport = {}\nuser = \"tocsin\"\npassword = \"mail-secret\"\n\
             from = \"Tocsin <tocsin@example.com>\"\nto = [\"soc@example.com\"]\n{more}\n",
            self.port
        )
    }

    fn trusted(&self) -> String {
        self.section(&format!("ca_file = \"{}\"", self.folder.join("ca.pem").display()))
    }

    fn letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("mail.ndjson")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Asks somebody by the operations of MFA about this act of this agent.
fn ask(tocsin: &Tocsin, email: &str, agent: &str, act: &str) {
    let call = |operation: &str, body: &Value| tocsin.mfa(operation, body).expect(200).json();
    let params = json!({ "agent": agent, "action": act, "description": "pays the rent" });
    let begun =
        call("promptless_init_transaction", &json!({ "username": "dana", "email": email, "params": params }));
    call("promptless_send_method", &json!({ "tid": begun["tid"] }));
}

fn last_of(tocsin: &Tocsin) -> Option<Value> {
    let rows = tocsin.look("/v1/effects?limit=10")["rows"].as_array().expect("rows").clone();
    rows.into_iter().find(|row| row["target"] == "email")
}

fn header<'l>(letter: &'l Value, name: &str) -> Vec<&'l str> {
    let headers = letter["headers"].as_array().expect("headers");
    let named = headers.iter().filter(|header| header[0] == name);
    named.map(|header| header[1].as_str().expect("text")).collect()
}

#[test]
fn who_is_asked_is_written_to_also_once_the_server_is_back_and_no_name_adds_a_header() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = MailServer::new(folder.path());
    let mut tocsin = Tocsin::start(folder.path(), &server.trusted());
    assert!(
        tocsin.command(&["approver", "add", "Dana", "--totp", "--also", "dana@example.com"]).status.success()
    );

    ask(&tocsin, "dana@example.com", "pays\u{2028}Bcc: thief@example.net", "send_ledger");
    let tried = || last_of(&tocsin).filter(|row| row["attempts"].as_u64() > Some(0));
    let waits = wait::until(LIMIT, tried).expect("an attempt");
    assert_eq!((waits["state"].as_str(), waits["kind"].as_str()), (Some("pending"), Some("approval.notice")));
    tocsin.kill();
    server.start();
    tocsin.restart();
    let letters = wait::until(LIMIT, || Some(server.letters()).filter(|letters| !letters.is_empty()));
    let letters = letters.unwrap_or_else(|| panic!("no letter: {:?}", last_of(&tocsin)));
    let letter = &letters[0];
    assert_eq!((&letter["rcpt"], &letter["tls"]), (&json!(["dana@example.com"]), &true.into()), "{letter}");
    assert!(header(letter, "Bcc").is_empty(), "{letter}");
    assert_eq!(
        (header(letter, "To"), header(letter, "Auto-Submitted")),
        (vec!["dana@example.com"], vec!["auto-generated"])
    );
    assert!(header(letter, "Subject")[0].starts_with("May pays\\u{2028}Bcc"), "{letter}");
    let text = letter["text"].as_str().expect("text");
    for said in ["send_ledger", "pays the rent", " UTC", &tocsin.url("/approve/"), "approves nothing"] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    wait::until_eq("the receipt", LIMIT, &Some("acknowledged".to_owned()), || {
        last_of(&tocsin).and_then(|row| row["state"].as_str().map(str::to_owned))
    });
}

#[test]
fn owner_and_sponsor_of_an_agent_hear_of_its_questions_and_alerts() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = MailServer::new(folder.path());
    server.start();
    let manifest = "[[manifests]]\nagent_id = \"pays\"\nversion = 1\nowner = \"olga@example.com\"\nsponsor = \"Sam\"\n\
                    approvers = [\"Dana\"]\n";
    let tocsin = Tocsin::start(folder.path(), &format!("{}{manifest}", server.trusted()));
    for (name, address) in [("Dana", "dana@example.com"), ("Sam", "sam@example.com")] {
        assert!(tocsin.command(&["approver", "add", name, "--totp", "--also", address]).status.success());
    }
    let written = |n: usize| {
        let letters = wait::until(LIMIT, || Some(server.letters()).filter(|letters| letters.len() >= n));
        let letters = letters.unwrap_or_else(|| panic!("too few letters: {:?}", last_of(&tocsin)));
        let mut to: Vec<String> = letters.iter().map(|letter| letter["rcpt"][0].to_string()).collect();
        to.sort();
        (letters, to.join(" ").replace('"', ""))
    };
    ask(&tocsin, "dana@example.com", "pays", "send_ledger");
    assert_eq!(written(3).1, "dana@example.com olga@example.com sam@example.com");

    operate(&tocsin, "revoke", "pays");
    let late = json!({ "event_id": "late", "ts": now() + Duration::from_mins(1), "agent_id": "pays", "endpoint": "send_ledger",
                       "attestation": "token" });
    tocsin.append(&late.to_string()).expect("an answer").expect(200);
    let (letters, to) = written(5);
    assert_eq!(to, "dana@example.com olga@example.com olga@example.com sam@example.com sam@example.com");
    let text = letters[4]["text"].as_str().expect("text");
    assert!(text.contains("still acts") && text.contains("answers for the agent"), "{text}");
}

#[test]
fn a_server_with_a_certificate_that_is_not_trusted_gets_no_letter_and_no_password() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = MailServer::new(folder.path());
    server.start();
    let tocsin = Tocsin::start(folder.path(), &server.section(""));
    assert!(
        tocsin.command(&["approver", "add", "Dana", "--totp", "--also", "dana@example.com"]).status.success()
    );
    ask(&tocsin, "dana@example.com", "pays", "send_ledger");
    let said = || last_of(&tocsin)?["last"].as_str().map(str::to_owned);
    let said = wait::until(LIMIT, said).expect("what came of an attempt");
    assert!(said.contains("invalid peer certificate: UnknownIssuer"), "{said}");
    assert_eq!(server.letters(), Vec::<Value>::new());
}

#[test]
fn an_address_that_the_server_refuses_is_an_open_item_and_a_wrong_password_is_tried_again() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = MailServer::new(folder.path());
    server.start();
    let settings = server.trusted();
    let mut tocsin = Tocsin::start(folder.path(), &settings);
    for name in ["dana@example.com", "gone@example.com"] {
        assert!(tocsin.command(&["approver", "add", name, "--totp"]).status.success());
    }
    ask(&tocsin, "gone@example.com", "pays", "send_ledger");
    let state = |tocsin: &Tocsin| Some(last_of(tocsin)?).filter(|row| row["attempts"].as_u64() > Some(0));
    let dead = wait::until(LIMIT, || state(&tocsin)).expect("an attempt");
    assert_eq!((dead["state"].as_str(), dead["attempts"].as_u64()), (Some("dead"), Some(1)), "{dead}");
    assert!(dead["last"].as_str().is_some_and(|said| said.contains("550")), "{dead}");

    tocsin.configure(&settings.replace("mail-secret", "wrong"));
    tocsin.restart();
    ask(&tocsin, "dana@example.com", "other", "send_ledger");
    let tried = || state(&tocsin).filter(|row| row["agent"]["agent_id"] == "other");
    let waits = wait::until(LIMIT, tried).expect("an attempt");
    assert_eq!(waits["state"], "pending", "{waits}");
    assert!(waits["last"].as_str().is_some_and(|said| said.contains("535")), "{waits}");
}
