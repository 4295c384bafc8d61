//! Rows of `make prove` that this crate's own tests measure.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};

/// `short` in `make test`, `long` in `make prove`.
pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if std::env::var_os("TOCSIN_PROVE").is_some_and(|value| value == "1") { long } else { short }
}

/// Writes a row whose goal is met on this database: where all of these tests run once more, each row is the other's.
pub(crate) fn row_on_record(name: &str, value: impl Into<Value>, goal: &str, test: &str) {
    let (database, test) =
        if is_again() { ("PostgreSQL", "all_of_it_holds_on_postgresql") } else { ("SQLite", test) };
    write(&format!("{name}, the record on {database}"), &value.into(), goal, test);
}

/// Writes a row whose goal is met: what is not met has failed its test. `test` is the name by which it is run.
pub(crate) fn row(name: &str, value: impl Into<Value>, goal: &str, test: &str) {
    if !is_again() {
        write(name, &value.into(), goal, test);
    }
}

/// Whether these tests run once more, on the other database: then a row is written already.
fn is_again() -> bool {
    std::env::var_os(super::postgres::URL).is_some()
}

fn write(name: &str, value: &Value, goal: &str, test: &str) {
    let number = value.as_f64();
    let row = json!({
        "name": name, "value": value, "low": number, "high": number, "goal": goal, "holds": true,
        "command": format!("TOCSIN_PROVE=1 cargo test --release -p revoker -- {test}"),
    });
    println!("PROVE {row}");
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let mut rows = File::options().create(true).append(true).open(path).unwrap();
        writeln!(rows, "{row}").unwrap();
    }
}
