//! A recorded series of counts, as it lies in time.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use detector::Timestamp;
use flate2::read::GzDecoder;
use serde::Serialize;

use super::attack::MINUTES_MAX;
use super::player::START;
use super::source::DAY;

const WEEK: u32 = 7 * DAY;
const HEADER: &str = "start,count";

/// How long a row lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rows {
    Minute,
    Hour,
}

impl Rows {
    /// Minutes of a row.
    pub(crate) fn minutes(self) -> u32 {
        if self == Self::Hour { 60 } else { 1 }
    }
}

/// What it means that a row is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Nothing happened.
    None,
    /// Nobody counted. Such a row holds what it held a week before: a silence would be made up.
    Lost,
}

/// Counts from the first Monday, 00:00 UTC, to the last row.
#[derive(Debug)]
pub(crate) struct Recording {
    monday: Timestamp,
    rows: Rows,
    counts: Vec<u32>,
}

impl Recording {
    /// Reads gzipped CSV: a header, then `start` in UTC and `count`, oldest first.
    pub(crate) fn read(csv_gz: &[u8], rows: Rows, absent: Absent) -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(csv_gz).read_to_string(&mut text)?;
        let mut lines = text.lines();
        ensure!(lines.next() == Some(HEADER), "the header is not {HEADER:?}");
        let mut series = lines.map(|line| row(line).with_context(|| format!("in line {line:?}"))).peekable();
        let Some(Ok((first, _))) = series.peek() else { bail!("it has no row") };
        let monday = monday_from(*first);
        let mut counts: Vec<Option<u32>> = Vec::new();
        for row in series {
            let (start, count) = row?;
            if start < monday {
                continue;
            }
            let place = start.since(monday).as_secs() as usize / (60 * rows.minutes() as usize);
            ensure!(place >= counts.len(), "{start} is not after the row before it");
            counts.resize(place, None);
            counts.push(Some(count));
        }
        if absent == Absent::Lost {
            let week = (WEEK / rows.minutes()) as usize;
            for place in week..counts.len() {
                counts[place] = counts[place].or(counts[place - week]);
            }
        }
        Ok(Self { monday, rows, counts: counts.into_iter().map(Option::unwrap_or_default).collect() })
    }

    #[cfg(test)]
    pub(crate) fn of(rows: Rows, counts: Vec<u32>) -> Self {
        Self { monday: START, rows, counts }
    }

    /// When minute `minute` begins.
    pub(crate) fn minute(&self, minute: u32) -> Timestamp {
        self.monday + Duration::from_mins(1) * minute
    }

    /// Minutes on which stretches of `days` begin: Mondays, none before the last has ended, each with time behind it
    /// for an attack on its last day.
    pub(crate) fn stretches(&self, days: u32) -> Vec<u32> {
        let end = self.counts.len() as u32 * self.rows.minutes();
        let weeks = days.div_ceil(7) as usize;
        let fits = |from: &u32| from + days * DAY + MINUTES_MAX <= end;
        (0..end).step_by(weeks * WEEK as usize).take_while(fits).collect()
    }

    /// Events of the row that begins with `minute`, `None` within a row.
    pub(crate) fn row(&self, minute: u32) -> Option<u32> {
        let within = minute.is_multiple_of(self.rows.minutes());
        within.then(|| self.at(minute / self.rows.minutes()))
    }

    /// Minutes left of the row that holds `minute`, this one among them.
    pub(crate) fn minutes_left(&self, minute: u32) -> u32 {
        self.rows.minutes() - minute % self.rows.minutes()
    }

    /// Events of the hour that holds `minute`.
    pub(crate) fn hour(&self, minute: u32) -> u32 {
        let rows = 60 / self.rows.minutes();
        let from = minute / 60 * rows;
        (from..from + rows).map(|row| self.at(row)).sum()
    }

    fn at(&self, row: u32) -> u32 {
        self.counts.get(row as usize).copied().unwrap_or_default()
    }
}

fn row(line: &str) -> Result<(Timestamp, u32)> {
    let (start, count) = line.split_once(',').context("no comma")?;
    Ok((start.parse()?, count.parse()?))
}

/// The first Monday that does not begin before `at`. Runs begin on a Monday too.
fn monday_from(at: Timestamp) -> Timestamp {
    let week = i64::from(WEEK) * 60_000_000;
    let since = (at.as_micros() - START.as_micros()).rem_euclid(week);
    Timestamp::from_micros(at.as_micros() + (week - since) % week)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(rows: &[(&str, u32)], absent: Absent) -> Result<Recording> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writeln!(gz, "{HEADER}")?;
        for (start, count) in rows {
            writeln!(gz, "{start}:00:00Z,{count}")?;
        }
        Recording::read(&gz.finish()?, Rows::Hour, absent)
    }

    #[test]
    fn it_begins_on_a_monday_and_lost_hours_are_those_of_the_week_before() -> Result<()> {
        // 6 and 13 February 2017 are Mondays.
        let rows = [("2017-02-05T23", 9), ("2017-02-06T00", 3), ("2017-02-06T02", 4), ("2017-02-13T01", 5)];
        let zero = read(&rows, Absent::None)?;
        assert_eq!(zero.minute(61).to_string(), "2017-02-06T01:01:00Z");
        assert_eq!((zero.row(0), zero.row(30), zero.hour(119)), (Some(3), None, 0));
        assert_eq!((zero.hour(WEEK), zero.hour(WEEK + 60), zero.hour(WEEK + 120)), (0, 5, 0));
        assert_eq!(read(&rows, Absent::Lost)?.hour(WEEK), 3);
        assert!(read(&[rows[0], rows[2], rows[1]], Absent::None).is_err(), "rows go back in time");
        Ok(())
    }

    #[test]
    fn no_stretch_reaches_into_the_next_or_beyond_the_end() {
        let days = |n: u32| Recording::of(Rows::Hour, vec![1; 24 * n as usize]);
        assert_eq!(days(16 + 56 + 55).stretches(56), [0]);
        assert_eq!(days(16 + 56 + 56).stretches(56), [0, 56 * DAY]);
        assert_eq!(days(16 + 8).stretches(2), [0], "stretches begin on Mondays");
        assert_eq!(days(16).stretches(1), [0; 0]);
    }
}
