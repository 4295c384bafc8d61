//! Rows for `make prove`: what was wanted, what was measured, whether it holds.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::cohort::{CohortReport, MassReport};
use super::context::ContextReport;
use super::delay::{self, Delay};
use super::false_alarms;
use super::fleet::Fleet;
use super::groups::GroupsReport;
use super::hearing::{Grade, Lens};
use super::interval::{Estimate, Spread};
use super::pace::{Pace, Takeover};
use super::report::{FleetReport, Played, Report, SeriesReport};
use super::sessions::{self, SessionsReport};
use super::timing::{self, TimingReport};
use super::young::YoungReport;

const COMMAND: &str = "tocsin bench detection";
/// At least so many fleets without a true change stay under half of the step-up budget.
const HALF_BUDGET_FLEETS: usize = 9;
/// What must be found is found on so many of the agents.
const FOUND: f64 = 0.95;
/// An obvious takeover of a regular agent is found within so many calls.
const OBVIOUS_CALLS: f64 = 10.0;

/// The study's section 2: median calls to detection and share found, of agents with 5,000 calls of history.
const STUDY_TAKEOVERS: [Takeover; 5] =
    [Takeover::Regular, Takeover::Human, Takeover::MachineGun, Takeover::Jitter, Takeover::Rate2];
const STUDY_TIMING: [(Pace, [(f64, f64); 5]); 5] = [
    (Pace::Poisson, [(36.0, 1.0), (20.0, 0.87), (8.0, 1.0), (70.0, 1.0), (624.0, 0.53)]),
    (Pace::LogNormal, [(38.0, 1.0), (6.0, 0.9), (3.0, 1.0), (86.0, 0.9), (98.0, 0.77)]),
    (Pace::Cron, [(27.0, 0.6), (2.0, 1.0), (2.0, 1.0), (6.0, 1.0), (3.0, 1.0)]),
    (Pace::Sessions, [(38.0, 1.0), (8.0, 1.0), (3.0, 1.0), (5.0, 1.0), (98.0, 1.0)]),
    (Pace::LlmLoop, [(52.0, 1.0), (58.0, 1.0), (21.0, 1.0), (17.0, 1.0), (409.0, 0.83)]),
];

/// Delay over bound that a fleet's jumps must stay under.
const RATIOS: [(Fleet, &[&str], f64); 3] = [
    (Fleet::Poisson, &["x2", "x5", "x20", "x100"], 1.8),
    (Fleet::Nb, &["x2", "x5", "x20", "x100"], 1.5),
    (Fleet::Season, &["x5", "x20", "x100"], 2.0),
];

/// One row; its fields are those of `tests/prove/table.py`. `null` is "never".
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    goal: String,
    holds: bool,
    command: &'static str,
}

impl Row {
    fn new(
        name: String,
        (value, low, high): (Option<f64>, Option<f64>, Option<f64>),
        goal: String,
        holds: bool,
    ) -> Self {
        Self { name, value, low, high, goal, holds, command: COMMAND }
    }
}

/// Every row the report has the figures for.
pub(crate) fn rows(report: &Report) -> Vec<Row> {
    let mut rows: Vec<Row> = report.fleets.iter().flat_map(false_alarm_rows).collect();
    rows.extend(half_budget(&report.fleets));
    rows.extend(report.fleets.iter().flat_map(ratio_rows));
    rows.extend(report.fleets.iter().filter_map(ramp_row));
    rows.extend(report.series.iter().flat_map(series_rows));
    rows.extend(report.timing.iter().flat_map(timing_rows));
    rows.extend(report.young.iter().filter(|y| y.manifest).flat_map(young_rows));
    rows.extend(report.context.iter().flat_map(context_rows));
    rows.extend(report.cohort.iter().flat_map(cohort_rows));
    rows.extend(report.groups.iter().flat_map(group_rows));
    rows.extend(report.sessions.iter().flat_map(session_rows));
    rows.extend(report.revokes.as_ref().map(|r| {
        let figures = (Some(r.count as f64), Some(0.0), Some(r.per_10_years_upper * r.agent_years / 10.0));
        let goal = format!(
            "95 % upper bound at most {:.0} in {:.0} agent-years",
            r.agent_years / 10.0,
            r.agent_years
        );
        Row::new(
            "false revokes, all fleets without a change".to_owned(),
            figures,
            goal,
            r.per_10_years_upper <= 1.0,
        )
    }));
    rows
}

/// Appends the rows to the file `make prove` collects.
pub(crate) fn append(rows: &[Row], path: &Path) -> std::io::Result<()> {
    let mut out = std::fs::File::options().create(true).append(true).open(path)?;
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}

/// The budget is kept on average over the fleet's agents.
fn false_alarm_rows(f: &FleetReport) -> Vec<Row> {
    if f.true_change.is_some() {
        return Vec::new();
    }
    let mut rows = budget_rows("false ", f.fleet.name(), &f.played);
    rows.extend(early_row(f));
    // The ends of months are what incidents are for.
    if f.fleet != Fleet::MonthEnd && !f.played.false_alarms.is_empty() {
        let n = Some(f64::from(f.played.cohort_incidents));
        let name = format!("cohort incidents for nothing, {}", f.fleet.name());
        rows.push(Row::new(name, (n, n, n), "none".to_owned(), f.played.cohort_incidents == 0));
    }
    rows
}

/// Whose calls come in bursts, and who is not known yet, is to be asked about no more often than others.
fn early_row(f: &FleetReport) -> Option<Row> {
    let a = false_alarms::find(&f.played.false_alarms, Lens::Combined, Grade::StepUp)
        .filter(|_| f.fleet == Fleet::Sessions)?;
    let name = format!("false step-ups per agent in 90 days, weeks 1-2, {}", f.fleet.name());
    let e = a.per_90d_early;
    Some(Row::new(name, figures(e), format!("at most {:.1}", a.budget_90d), e.value <= a.budget_90d))
}

/// The budget is for what is false; held against all alarms of a series, true changes among them, it is stricter.
fn series_rows(s: &SeriesReport) -> Vec<Row> {
    let name = format!("recorded {}", s.series.facts().name);
    let mut rows = budget_rows("", &name, &s.played);
    let x5 = delay::find(&s.played.delays, "x5", Lens::Combined);
    rows.extend(x5.map(|d| found_row(format!("x5 found, {name}"), d)));
    rows
}

fn budget_rows(what: &str, name: &str, played: &Played) -> Vec<Row> {
    let row = |grade: Grade| {
        let a = false_alarms::find(&played.false_alarms, Lens::Combined, grade)?;
        let name = format!("{what}{} per agent in 90 days, {name}", grade.plural());
        let e = a.per_90d;
        Some(Row::new(name, figures(e), format!("at most {:.1}", a.budget_90d), e.value <= a.budget_90d))
    };
    [Grade::StepUp, Grade::Watch].into_iter().filter_map(row).collect()
}

fn half_budget(fleets: &[FleetReport]) -> Option<Row> {
    let quiet: Vec<f64> = fleets
        .iter()
        .filter(|f| f.true_change.is_none())
        .filter_map(|f| {
            Some(false_alarms::find(&f.played.false_alarms, Lens::Combined, Grade::StepUp)?.per_90d.value)
        })
        .collect();
    // Of a few fleets it would say nothing.
    (quiet.len() == Fleet::quiet().count()).then(|| {
        let n = quiet.iter().filter(|&&x| x <= 0.5).count();
        let name = format!("fleets of {} with at most 0.5 false step-ups", quiet.len());
        let n_f64 = Some(n as f64);
        Row::new(
            name,
            (n_f64, n_f64, n_f64),
            format!("at least {HALF_BUDGET_FLEETS}"),
            n >= HALF_BUDGET_FLEETS,
        )
    })
}

fn ratio_rows(f: &FleetReport) -> Vec<Row> {
    let of_fleet = RATIOS.into_iter().filter(|(fleet, ..)| *fleet == f.fleet);
    let row = |(attack, most): (&str, f64)| {
        let ratio = delay::find(&f.played.delays, attack, Lens::Combined)?.ratio?;
        let name = format!("delay over bound, median, {attack} on {}", f.fleet.name());
        Some(Row::new(name, median(ratio), format!("under {most}"), ratio.median.is_some_and(|m| m < most)))
    };
    of_fleet.flat_map(|(_, attacks, most)| attacks.iter().map(move |a| (*a, most))).filter_map(row).collect()
}

fn ramp_row(f: &FleetReport) -> Option<Row> {
    let d = delay::find(&f.played.delays, "ramp 14 d", Lens::Combined)?;
    let name = format!("14-day ramps to x4 found, {}", f.fleet.name());
    let goal = if f.fleet == Fleet::Sessions { String::new() } else { format!("at least {FOUND}") };
    let holds = f.fleet == Fleet::Sessions || d.found.value >= FOUND;
    Some(Row::new(name, figures(d.found), goal, holds))
}

fn timing_rows(t: &TimingReport) -> Vec<Row> {
    let mut rows = Vec::new();
    for grade in [Grade::StepUp, Grade::Watch] {
        if let Some(a) = timing::find(&t.false_alarms, Lens::Timing, grade) {
            let name =
                format!("timing alone, false {} per agent in 90 days, {}", grade.plural(), t.pace.name());
            let e = a.per_90d;
            rows.push(Row::new(name, figures(e), at_most(a.budget_90d), e.value <= a.budget_90d));
        }
    }
    let study = STUDY_TIMING.into_iter().filter(|(pace, _)| *pace == t.pace).flat_map(|(_, figures)| figures);
    rows.extend(STUDY_TAKEOVERS.into_iter().zip(study).flat_map(|(takeover, (calls, share))| {
        let found = delay::find(&t.delays, takeover.name(), Lens::Timing);
        found.into_iter().flat_map(move |d| study_rows(t.pace, takeover, d, calls, share))
    }));
    let obvious = [Takeover::MachineGun, Takeover::Human].into_iter().flat_map(|takeover| {
        let name = format!("{} takeover of {}, median calls", takeover.name(), t.pace.name());
        let row = |calls: Spread| {
            let holds = calls.median.is_some_and(|m| m <= OBVIOUS_CALLS);
            Row::new(name.clone(), median(calls), format!("at most {OBVIOUS_CALLS}"), holds)
        };
        let found = delay::find(&t.delays, takeover.name(), Lens::Combined).and_then(|d| d.calls);
        let oracle = timing::oracle(t, takeover.name());
        let beside =
            oracle.map(|calls| Row::new(format!("{name} of an oracle"), median(calls), String::new(), true));
        found.map(row).into_iter().chain(beside).collect::<Vec<_>>()
    });
    if matches!(t.pace, Pace::Cron | Pace::LogNormal) {
        rows.extend(obvious);
    }
    rows
}

/// No worse than the study: the estimates themselves, whatever their intervals reach.
fn study_rows(pace: Pace, takeover: Takeover, d: &Delay, calls: f64, share: f64) -> [Row; 2] {
    let name = |what| format!("timing alone, {} takeover of {}, {what}", takeover.name(), pace.name());
    let delay = d.calls.map_or((None, None, None), median);
    let soon = delay.0.is_some_and(|m| m <= calls);
    [
        Row::new(name("median calls"), delay, format!("at most {calls}"), soon),
        Row::new(name("share found"), figures(d.found), format!("at least {share}"), d.found.value >= share),
    ]
}

fn young_rows(y: &YoungReport) -> Vec<Row> {
    let of_x5 = y.attacks.iter().filter(|a| a.delay.lens == Lens::Combined && a.delay.attack == "x5");
    let rows = |age: u32, d: &Delay| {
        let agent = format!("x5 on an agent {age} minutes old with manifest");
        let minutes = d.minutes.map_or((None, None, None), median);
        [
            found_row(format!("{agent}, share found"), d),
            Row::new(format!("{agent}, median minutes"), minutes, String::new(), true),
        ]
    };
    let asked = y.false_step_ups;
    let name =
        format!("false step-ups of {} newcomers with manifest in two days, per agent in 90 days", y.fleet);
    let quiet = Row::new(name, figures(asked), at_most(1.0), asked.value <= 1.0);
    of_x5.flat_map(|a| rows(a.age_minutes, &a.delay)).chain([quiet]).collect()
}

/// False alarms against the whole budget, and those of one signal against its share; thefts have no goal but to be printed.
fn context_rows(c: &ContextReport) -> Vec<Row> {
    let of = |alarms: &super::context::ContextAlarms| {
        let whose = if alarms.alone { c.alone } else { "all signals" };
        let name = format!("false {} per agent in 90 days, {}, {whose}", alarms.grade.plural(), c.fleet);
        let e = alarms.per_90d;
        Row::new(name, figures(e), at_most(alarms.budget_90d), e.value <= alarms.budget_90d)
    };
    let asked = c.false_alarms.iter().filter(|a| matches!(a.grade, Grade::Watch | Grade::StepUp)).map(of);
    let thefts = c.thefts.iter().flat_map(|t| {
        let name = format!("{}, found within 7 days", t.theft);
        let minutes = t.minutes.map_or((None, None, None), median);
        [
            Row::new(name, figures(t.found), String::new(), true),
            Row::new(format!("{}, median minutes", t.theft), minutes, String::new(), true),
            Row::new(
                format!("{}, of those found told to be an impostor", t.theft),
                figures(t.told_impostor),
                String::new(),
                true,
            ),
        ]
    });
    asked.chain(thefts).collect()
}

/// What many do at once is told, and what few do is asked about.
fn cohort_rows(c: &CohortReport) -> Vec<Row> {
    let row = |m: &MassReport| {
        let many = m.share >= 0.3;
        let (what, e) = if many { ("told as one incident", m.told) } else { ("asked about each", m.asked) };
        let name = format!("x{} on {:.0} % of the agents at once, {what}", m.factor, m.share * 100.0);
        Row::new(name, figures(e), format!("at least {FOUND}"), e.value >= FOUND)
    };
    c.mass.iter().map(row).collect()
}

/// The goals: the index at 20 sessions, and where new agents belong with half of the calls shared; the rest is printed.
fn group_rows(g: &GroupsReport) -> Vec<Row> {
    let at = |least: Option<f64>| least.map_or(String::new(), |least| format!("at least {least}"));
    let found = g.found.iter().map(|f| {
        let [mean, low, high] = f.likeliest;
        let name = format!(
            "peer groups, {}0 % of calls shared, adjusted Rand index after {} sessions",
            g.shared, f.sessions
        );
        let least = (f.sessions == 20).then_some(0.98);
        Row::new(
            name,
            (Some(mean), Some(low), Some(high)),
            at(least),
            least.is_none_or(|least| mean >= least),
        )
    });
    let new = g.new.iter().flat_map(|n| {
        let name = |what| {
            format!("new agents, {}0 % of calls shared, {what} after {} sessions", g.shared, n.sessions)
        };
        let least = (g.shared == 5).then_some(if n.sessions == 1 { 0.94 } else { 0.97 });
        let holds = least.is_none_or(|least| n.likeliest.value >= least);
        [
            Row::new(name("likest to their group"), figures(n.likeliest), at(least), holds),
            Row::new(name("in their group"), figures(n.joined), String::new(), true),
            Row::new(name("in another group"), figures(n.wrong), String::new(), true),
        ]
    });
    found.chain(new).collect()
}

/// Where every session is odd half of the agents are to be found in time; where every other is, it is printed.
fn session_rows(s: &SessionsReport) -> Vec<Row> {
    let e = s.false_alarms;
    let name = "false step-ups in 500 sessions, agents with tasks, one accepted".to_owned();
    let alarms = Row::new(name, figures(e), "at most 1".to_owned(), e.value <= 1.0);
    let oddities = s.oddities.iter().flat_map(|o| {
        let how = if o.every == 1 { "all sessions" } else { "every other session" };
        let name = format!("{}, {how}", o.oddity.name());
        let found = format!("{name}, found within {} sessions", sessions::LOOKED_FOR);
        let median_of = o.sessions.map_or((None, None, None), median);
        let (goal, holds) = match o.every {
            1 => (format!("at most {}", sessions::LOOKED_FOR), median_of.0.is_some()),
            _ => (String::new(), true),
        };
        [
            Row::new(found, figures(o.found), String::new(), true),
            Row::new(format!("{name}, median sessions"), median_of, goal, holds),
        ]
    });
    std::iter::once(alarms).chain(oddities).collect()
}

/// A share of a budget needs its hundredths.
fn at_most(budget: f64) -> String {
    format!("at most {budget:.2}")
}

fn found_row(name: String, d: &Delay) -> Row {
    Row::new(name, figures(d.found), format!("at least {FOUND}"), d.found.value >= FOUND)
}

fn figures(e: Estimate) -> (Option<f64>, Option<f64>, Option<f64>) {
    (Some(e.value), Some(e.low), Some(e.high))
}

fn median(s: Spread) -> (Option<f64>, Option<f64>, Option<f64>) {
    (s.median, s.low, s.high)
}
