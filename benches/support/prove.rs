//! What the benches share: figures over rounds, and rows for `make prove`.

use std::io::Write;

/// The command that measures a bench's rows alone; cargo names the crate after the bench.
const COMMAND: &str = concat!("cargo bench --bench ", env!("CARGO_CRATE_NAME"));

/// A figure over its repetitions.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Figure {
    /// The median of the rounds, and the range they lay in. At least one round.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self { value: rounds[rounds.len() / 2], low: rounds[0], high: rounds[rounds.len() - 1] }
    }
}

/// Whether cargo runs this as a bench. `cargo test --benches` does not, and then there is nothing to measure.
pub(crate) fn is_bench() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// One row for `make prove`; `goal` is empty where the figure is only printed.
pub(crate) fn prove(name: &str, figure: Figure, goal: &str, holds: bool) {
    let Figure { value, low, high } = figure;
    let row = serde_json::json!({
        "name": name, "value": value, "low": low, "high": high, "goal": goal, "holds": holds, "command": COMMAND,
    });
    println!("PROVE {row}");
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let rows = std::fs::File::options().create(true).append(true).open(path);
        rows.and_then(|mut rows| writeln!(rows, "{row}"))
            .unwrap_or_else(|e| eprintln!("the row is not kept: {e}"));
    }
}
