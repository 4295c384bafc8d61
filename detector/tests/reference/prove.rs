//! What this crate's own tests say to `make prove`.

use std::io::Write;

/// A row for `make prove` whose goal is met: what is not met has failed its test. `tests` is in their names.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test is not the detector")]
pub(crate) fn row(name: &str, value: f64, goal: &str, tests: &str) {
    let row = serde_json::json!({
        "name": name, "value": value, "low": value, "high": value, "goal": goal, "holds": true,
        "command": format!("cargo test --release -p detector --lib -- {tests} --nocapture"),
    });
    super::say(&format!("PROVE {row}"));
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let mut rows = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(rows, "{row}").unwrap();
    }
}
