//! Rows of `make prove`: what was measured, what was wanted, whether it holds.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};

/// Whether the long versions run.
pub(crate) fn is_on() -> bool {
    std::env::var_os("TOCSIN_PROVE").is_some_and(|value| value == "1")
}

/// `short` in `make test`, `long` in `make prove`.
pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if is_on() { long } else { short }
}

/// Writes a row: `value` within `low..=high` over its repetitions, `goal` in words, `holds` whether it is met. `test` is the
/// name by which this binary runs what measures it.
pub(crate) fn row(name: &str, value: impl Into<Value>, range: [f64; 2], goal: &str, holds: bool, test: &str) {
    let row = json!({
        "name": name, "value": value.into(), "low": range[0], "high": range[1], "goal": goal, "holds": holds,
        "command": format!("TOCSIN_PROVE=1 cargo test --release --test it -- {test}"),
    });
    println!("PROVE {row}");
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let mut rows = File::options().create(true).append(true).open(path).expect("the file of rows opens");
        writeln!(rows, "{row}").expect("the file of rows takes a row");
    }
}
