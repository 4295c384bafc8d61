//! Tables that the prototype of the study wrote, for tests to hold the arithmetic against (tests/reference/README.md).

use std::collections::HashMap;

use serde_json::Value;

pub(crate) use self::prove::row;
use crate::signal::Strength;

// The detector's own sources touch no file.
#[path = "../tests/reference/prove.rs"]
mod prove;

/// Agreement that is asked for, relative, and around zero.
const RELATIVE: f64 = 1e-6;
const ABSOLUTE: f64 = 1e-9;

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The numbers of a list.
pub(crate) fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// `{"columns": [...], "rows": [[...]]}`.
pub(crate) struct Table {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn new(table: &Value) -> Self {
        let names = table["columns"].as_array().unwrap().iter();
        Self {
            columns: names.enumerate().map(|(i, name)| (name.as_str().unwrap().to_owned(), i)).collect(),
            rows: table["rows"].as_array().unwrap().iter().map(numbers).collect(),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }
}

/// One row of a [`Table`].
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    columns: &'a HashMap<String, usize>,
    cells: &'a [f64],
}

impl Row<'_> {
    pub(crate) fn find(&self, name: &str) -> Option<f64> {
        self.columns.get(name).map(|i| self.cells[*i])
    }

    pub(crate) fn get(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// The column `name[i]`.
    pub(crate) fn at(&self, name: &str, i: usize) -> f64 {
        self.get(&format!("{name}[{i}]"))
    }
}

/// The largest deviation so far, in units of what is allowed.
#[derive(Default)]
pub(crate) struct Worst {
    by: f64,
    what: String,
    checked: usize,
}

impl Worst {
    pub(crate) fn check(&mut self, what: &str, got: f64, want: f64) {
        let by = (got - want).abs() / (RELATIVE * want.abs()).max(ABSOLUTE);
        assert!(by <= 1.0, "{what}: {got} where the reference has {want}");
        self.checked += 1;
        if by > self.by {
            (self.by, self.what) = (by, format!("{what}: {got} where the reference has {want}"));
        }
    }

    /// Says how well all that was checked of `what` agreed.
    pub(crate) fn say_how_well(self, what: &str) {
        assert!(self.checked > 0);
        let Self { by, what: farthest, checked } = self;
        let relative = by * RELATIVE;
        say(&format!("{what}: {checked} numbers within {relative:.1e} relative; the farthest is {farthest}"));
        let name = format!("agreement with the prototype, {what}, largest relative difference");
        row(&name, relative, &format!("at most {RELATIVE:e}"), "prototypes");
    }
}

#[expect(clippy::disallowed_macros, reason = "a test's output, shown when asked for")]
fn say(text: &str) {
    println!("{text}");
}

/// How far the levels of a packed state and an exact one were apart.
#[derive(Default)]
pub(crate) struct Apart {
    most: f64,
    calls: usize,
    out: usize,
    highest: f64,
    farthest: f64,
}

impl Apart {
    /// By how many bits packing may move a level.
    pub(crate) fn at_most(most: f64) -> Self {
        Self { most, ..Self::default() }
    }

    /// Strengths after a call; none of those that are calm. Where one of them is, an excursion begins or ends a call
    /// sooner, and the other must be worth next to nothing; so must both where one excursion ends under another. What
    /// recurs more than once a day is.
    pub(crate) fn see(&mut self, exact: Option<Strength>, packed: Option<Strength>) {
        self.calls += 1;
        self.out += usize::from(exact.is_some() || packed.is_some());
        let apart = match (exact, packed) {
            (Some(a), Some(b)) => a.level().max(0.0) - b.level().max(0.0),
            (Some(one), None) | (None, Some(one)) => one.bits,
            (None, None) => 0.0,
        };
        self.highest = exact.map_or(self.highest, |a| self.highest.max(a.level()));
        self.farthest = self.farthest.max(apart.abs());
        assert!(apart.abs() < self.most, "call {}: {exact:?} became {packed:?}", self.calls);
    }

    /// Says how far; the stream must have shown a level of `high`.
    pub(crate) fn say(&self, signal: &str, high: f64) {
        let Self { calls, out, highest, farthest, most } = self;
        assert!(*highest > high, "a stream that says nothing: {highest} of {high}");
        say(&format!("{signal}: {calls} calls, {out} out of calm, up to {highest:.1} bits"));
        let name = format!("effect of packing on {signal}, bits at most");
        row(&name, *farthest, &format!("under {most}"), "packing_moves_no_level");
    }
}
