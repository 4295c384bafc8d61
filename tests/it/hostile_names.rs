//! Who writes logs may write what a terminal obeys or what reads as a line of ours. Real commands over a record with such
//! names, and a chat that is told of them.

use std::time::Duration;

use detector::is_hidden;

use crate::support::gate::{Agent, ask, challenge, operate};
use crate::support::receiver::Receiver;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};
use crate::support::wait;

const NAME: &str = "mail\u{1b}[2J\u{9b}1m\u{202e}er\nforged  all is well";
/// How it must be shown.
const SHOWN: &str = r"mail\u{1b}[2J\u{9b}1m\u{202e}er\u{a}forged  all is well";
const ENDPOINT: &str = "send\u{1b}]0;x\u{7}\u{2066}_ledger\r\nforged";
const ENDPOINT_SHOWN: &str = r"send\u{1b}]0;x\u{7}\u{2066}_ledger\u{d}\u{a}forged";
const LIMIT: Duration = Duration::from_mins(2);

/// What a command says on both outputs, and whether it worked, once it is seen that nothing hides in it.
fn tried(tocsin: &Tocsin, arguments: &[&str]) -> (bool, String) {
    let output = tocsin.command(arguments);
    let text =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    let hidden: Vec<char> = text.chars().filter(|c| !matches!(c, '\n' | '\t') && is_hidden(*c)).collect();
    assert!(hidden.is_empty(), "{arguments:?} prints {hidden:?}: {text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("forged")),
        "{arguments:?}: a line that we did not write: {text}"
    );
    (output.status.success(), text)
}

fn printed(tocsin: &Tocsin, arguments: &[&str]) -> String {
    let (works, text) = tried(tocsin, arguments);
    assert!(works, "{arguments:?}: {text}");
    text
}

#[test]
fn names_from_hostile_logs_do_nothing_where_they_are_shown_and_are_readable() {
    let stage = Stage::new();
    let folder = stage.path().join("chat");
    std::fs::create_dir(&folder).expect("a folder");
    let chat = Receiver::whole(&folder);
    let hook = format!(
        "[[webhooks]]\nname = \"chat\"\nurl = {:?}\nenvelope = \"chat\"\nallow_insecure_target = true\n",
        chat.url()
    );
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&hook));
    let mut agent = Agent::with_history(&tocsin, NAME);
    let question = wait::until(LIMIT, || {
        let mut act = agent.strange_act();
        act["endpoint"] = ENDPOINT.into();
        Some(ask(&tocsin, &act, None)).filter(|answer| answer.status == 401)
    });
    let question = challenge(&question.expect("a question"));
    operate(&tocsin, "revoke", NAME);
    let alerts = tocsin.look("/v1/alerts?limit=10");
    let alert = &alerts["rows"][0];
    assert_eq!(
        (alert["agent_id"].as_str(), alert["endpoint"].as_str()),
        (Some(NAME), Some(ENDPOINT)),
        "as it came"
    );
    let id = question["approval_id"].as_str().expect("an id");
    let txn = alert["txn"].as_str().expect("a story");

    let text = printed(&tocsin, &["alerts"]);
    assert!(text.contains(SHOWN) && text.contains(ENDPOINT_SHOWN), "{text}");
    let json = printed(&tocsin, &["alerts", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), alerts);
    for arguments in [
        &["case", "show", id][..],
        &["audit", "show", txn],
        &["effects", "list"],
        &["agents", "list"],
        &["explain", NAME, "--issuer", ISSUER],
        &["policy", "explain", NAME, "--issuer", ISSUER],
    ] {
        // Verdicts and calls are in the database a moment later.
        let shown = || Some(tried(&tocsin, arguments)).filter(|(works, text)| *works && text.contains(SHOWN));
        let said = || format!("{arguments:?} shows no {SHOWN}: {:?}", tried(&tocsin, arguments));
        wait::until(LIMIT, shown).unwrap_or_else(|| panic!("{}", said()));
    }
    for arguments in [&["fleet"][..], &["fleet", "--json"], &["agents", "report"], &["agents", "drift"]] {
        printed(&tocsin, arguments);
    }

    let told = wait::until(LIMIT, || chat.recorded().into_iter().next()).expect("a message");
    let text = told.to_string();
    assert!(text.contains("mail") && !text.chars().any(is_hidden) && !text.contains("\\u001b"), "{text}");
}
