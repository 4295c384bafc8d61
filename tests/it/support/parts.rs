//! Where the fetched parts are. Nothing is fetched here: that is one place, `parts/`, run by `make`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The repository.
pub(crate) fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder of a fetched part, as a path under `.parts/`.
pub(crate) fn part(path: &str) -> PathBuf {
    let all = std::env::var_os("TOCSIN_PARTS").map_or_else(|| house().join(".parts"), PathBuf::from);
    let found = all.join(path);
    assert!(found.exists(), "{} is not there: run `make parts`", found.display());
    found
}

/// What a program of `parts/` prints, a line of JSON each, that is given this question.
pub(crate) fn told(command: &mut Command, question: &Value) -> Vec<Value> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = piped.spawn().expect("it starts");
    program.stdin.take().expect("a pipe").write_all(question.to_string().as_bytes()).expect("it reads");
    let output = program.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    told.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// A Python program of `parts/pypi`, with the packages that are pinned there.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(house().join("parts/pypi").join(program)).env("PYTHONPATH", part("pypi"));
    command
}

/// The first block of this language in a chapter of the README, as it stands there.
pub(crate) fn readme(chapter: &str, language: &str) -> &'static str {
    let text = include_str!("../../../README.md");
    let (_, rest) = text.split_once(&format!("\n## {chapter}\n")).expect("the chapter");
    let chapter = rest.split("\n## ").next().unwrap_or(rest);
    let (_, rest) = chapter.split_once(&format!("```{language}\n")).expect("a block");
    rest.split("```").next().unwrap_or(rest)
}
