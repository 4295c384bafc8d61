//! Keys that seal secrets: sealed in the configuration, rotated, and killed while they are.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::http;
use crate::support::tocsin::Tocsin;

const SECRET: &str = "operator-whose-token-is-sealed-0123456789";

/// `tocsin keys …` with this on its standard input.
fn keys(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(folder.join("tocsin.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// How many secrets each key has sealed, the newest first; none is lost.
fn counts(folder: &Path) -> Vec<u64> {
    let shown: Value = serde_json::from_str(&printed(&keys(folder, &["show", "--json"], ""))).expect("JSON");
    assert_eq!(shown["lost"], serde_json::json!([]));
    shown["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["sealed"].as_u64().expect("a number"))
        .collect()
}

fn settings(token: &str) -> String {
    format!("[[http.credentials]]\nname = \"operator\"\ntoken = \"{token}\"\nroles = [\"operator\"]\n")
}

fn lets_in(tocsin: &Tocsin) {
    http::send(tocsin.request(Method::GET, "/v1/status", SECRET)).expect("it answers").expect(200);
}

#[test]
fn keys_are_rotated_and_whenever_that_is_killed_everything_opens() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    let mut tocsin = Tocsin::prepare(folder, "");
    for name in ["Alice", "Bob", "Carol"] {
        assert!(tocsin.command(&["approver", "add", name]).status.success());
    }
    // A secret of the configuration is sealed where it stands; the record's own are three and the root.
    let sealed = printed(&keys(folder, &["seal"], SECRET));
    assert!(sealed.starts_with("tocsin-sealed:") && !sealed.contains(SECRET));
    tocsin.configure(&settings(&sealed));
    assert_eq!(counts(folder), [5]);
    tocsin.restart();
    lets_in(&tocsin);
    let head = |tocsin: &Tocsin| {
        let head = tocsin.command(&["audit", "head"]);
        let text = printed(&head);
        text.lines().find_map(|line| line.split("\"key\":\"").nth(1)?.split('"').next()).map(str::to_owned)
    };
    let signs = head(&tocsin).expect("a key that signs heads");
    let busy = keys(folder, &["rotate"], "");
    assert_eq!(busy.status.code(), Some(69), "{busy:?}");
    assert!(String::from_utf8_lossy(&busy.stderr).contains("stop it first"));
    assert!(tocsin.stop().success());

    // Killed at any point, all of it opens, with the keys that are there.
    for n in 0..20_u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(["keys", "rotate", "--config"])
            .arg(folder.join("tocsin.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(Duration::from_millis(5 * n));
        child.kill().expect("it is killed, or has ended");
        child.wait().expect("it is gone");
        let counts = counts(folder);
        assert!(counts.len() <= 2 && counts.iter().sum::<u64>() == 5, "{counts:?}");
    }

    // What the configuration holds is for its owner to change; the old key stays until that is done.
    let first = printed(&keys(folder, &["rotate"], ""));
    assert!(first.contains("the old key stays until then"), "{first}");
    assert_eq!(counts(folder), [4, 1]);
    let again =
        first.lines().find_map(|line| line.strip_prefix("http.credentials[0].token = ")).expect("a line");
    tocsin.configure(&settings(again.trim_matches('"')));
    let second = printed(&keys(folder, &["rotate"], ""));
    assert!(second.contains("the old key is forgotten"), "{second}");
    assert_eq!(counts(folder), [5]);
    tocsin.restart();
    lets_in(&tocsin);
    assert_eq!(head(&tocsin), Some(signs), "the audit is signed by the same key");
    assert!(tocsin.command(&["audit", "verify"]).status.success());
    assert!(tocsin.stop().success());

    // Under a key that is none it is not repeated in the clear.
    tocsin.configure(&settings(again.trim_matches('"')).replace("token =", "tokn ="));
    let refused = tocsin.command(&["config", "check"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("tokn") && !text.contains(SECRET), "{text}");

    // With the key from before nothing opens, and it is said which secret it was.
    tocsin.configure(&settings(&sealed));
    let refused = tocsin.command(&["serve"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{text}");
    assert!(text.contains("http.credentials[0].token") && text.contains("a key that is not there"), "{text}");
    assert!(!text.contains(&sealed));
}

#[test]
fn a_key_of_the_environment_and_one_that_is_missing_or_weak() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let tocsin = Tocsin::prepare(folder.path(), "[keys]\nenv = \"NO_SUCH_KEY\"\n");
    let said = |wanted: &str| {
        for command in [&["config", "check"][..], &["serve"], &["keys", "show"]] {
            let output = tocsin.command(command);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(78) && text.contains(wanted), "{command:?}: {text}");
        }
    };
    said("the environment variable NO_SUCH_KEY is not set");
    let file = folder.path().join("seal.key");
    tocsin.configure(&format!("[keys]\nfile = \"{}\"\n", file.display()));
    said("is not there");
    for (text, wanted) in
        [("correct horse battery staple", "does not hold keys"), (&"00".repeat(32), "not random")]
    {
        std::fs::write(&file, text).expect("to write");
        said(wanted);
    }
    std::fs::write(&file, new_key()).expect("to write");
    assert!(tocsin.command(&["config", "check"]).status.success());
    assert!(tocsin.command(&["approver", "add", "Alice"]).status.success());
    assert!(!folder.path().join("data/revoker.key").exists(), "the key is elsewhere");
}

fn new_key() -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tocsin")).args(["keys", "new"]).output().expect("it starts");
    printed(&output)
}
