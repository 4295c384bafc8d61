//! The report for people: aligned tables.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use detector::Budgets;

use super::cohort::CohortReport;
use super::context::ContextReport;
use super::delay::{self, Delay};
use super::false_alarms::{self, FalseAlarms};
use super::groups::GroupsReport;
use super::hearing::{Grade, Lens};
use super::interval::{Estimate, Spread};
use super::report::{FleetReport, Loud, Played, Report, RevokesReport, SeriesReport};
use super::sessions::{self, SessionsReport};
use super::timing::{self, TimingReport};
use super::young::YoungReport;

/// A fleet or a series, by its name.
type Named<'a> = (&'a str, &'a Played);

/// The whole report. Parts that were not run are left out.
pub(crate) fn write(report: &Report, out: &mut impl Write) -> fmt::Result {
    let loud: Vec<&FleetReport> =
        report.fleets.iter().filter(|f| !f.played.false_alarms.is_empty()).collect();
    if !loud.is_empty() {
        write_false_alarms(&loud, report.budgets, out)?;
    }
    let fleets = report.fleets.iter().map(|f| (f.fleet.name(), &f.played));
    let attacked: Vec<Named<'_>> = fleets.filter(|(_, p)| !p.delays.is_empty()).collect();
    if !attacked.is_empty() {
        write_delays("fleet|attack|agents", &attacked, out)?;
    }
    if !report.series.is_empty() {
        write_series(&report.series, report.budgets, out)?;
    }
    if !report.timing.is_empty() {
        write_timing(&report.timing, out)?;
    }
    if !report.young.is_empty() {
        write_young(&report.young, out)?;
    }
    for context in &report.context {
        write_context(context, out)?;
    }
    if let Some(cohort) = &report.cohort {
        write_cohort(cohort, out)?;
    }
    if !report.groups.is_empty() {
        write_groups(&report.groups, out)?;
    }
    if let Some(sessions) = &report.sessions {
        write_sessions(sessions, out)?;
    }
    report.revokes.as_ref().map_or(Ok(()), |revokes| write_revokes(revokes, out))
}

fn write_false_alarms(fleets: &[&FleetReport], of: Budgets, out: &mut impl Write) -> fmt::Result {
    let Played { agents, days, .. } = fleets[0].played;
    writeln!(
        out,
        "False alarms per agent in 90 days, {agents} agents for {days} days (95 % interval). {}",
        budgets(of)
    )?;
    writeln!(out, "* marks fleets with a true change, where an alarm may be right. {RIVALS_REST}\n")?;
    let mut rows = vec![header(&format!("fleet|{ALARMS}|forest"))];
    for f in fleets {
        let mut row = vec![format!("{}{}", f.fleet.name(), if f.true_change.is_some() { " *" } else { "" })];
        row.extend(alarm_cells(&f.played, 3));
        rows.push(row);
    }
    write_aligned(&rows, out)
}

/// What the columns of false alarms are held against, and what some of them are.
fn budgets(budgets: Budgets) -> String {
    let [watch, step_up, revoke] =
        [Grade::Watch, Grade::StepUp, Grade::Revoke].map(|grade| grade.budget_90d(budgets));
    format!(
        "Budgets: watch {watch:.1}, step-up {step_up}, revoke {revoke:.3}. `alone`: step-ups if every agent were asked about by \
         itself; `incidents`: how often many began the same at once and people were told once, all agents and days."
    )
}

const RIVALS_REST: &str = "Rivals rest for 24 h after one, as we do.";
const ALARMS: &str = "step-up|alone|incidents|weeks 3-8|volume|timing|worst agent|watch|revoke|z-score|EWMA";

/// Under [`ALARMS`], and the first so many rivals.
fn alarm_cells(played: &Played, rivals: usize) -> Vec<String> {
    let of = |lens, grade| false_alarms::find(&played.false_alarms, lens, grade);
    let all = |row: Option<&FalseAlarms>| row.map_or("-".into(), |r| interval(r.per_90d));
    let value = |row: Option<&FalseAlarms>| row.map_or("-".into(), |r| number(r.per_90d.value));
    let step_up = of(Lens::Combined, Grade::StepUp);
    let mut cells = vec![
        all(step_up),
        value(of(Lens::Combined, Grade::StepUpLevel)),
        played.cohort_incidents.to_string(),
        step_up.and_then(|r| r.per_90d_late).map_or("-".into(), interval),
        value(of(Lens::Volume, Grade::StepUp)),
        value(of(Lens::Timing, Grade::StepUp)),
        step_up.map_or("-".into(), |r| r.worst.to_string()),
        all(of(Lens::Combined, Grade::Watch)),
        all(of(Lens::Combined, Grade::Revoke)),
    ];
    let rival = |i: usize| played.rivals.get(i).map_or("-".into(), |r| number(r.per_90d_rest_24h.value));
    cells.extend((0..rivals).map(rival));
    cells
}

fn write_series(series: &[SeriesReport], of: Budgets, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nAlarms on recorded series per agent in 90 days (95 % interval), not all of them false. {}",
        budgets(of)
    )?;
    writeln!(
        out,
        "An agent is {} days from a Monday, 00:00 UTC, and no two share a day. {RIVALS_REST}\n",
        series[0].played.days
    )?;
    let mut rows = vec![header(&format!("series|agent-days|{ALARMS}"))];
    for s in series {
        let mut row = vec![s.series.facts().name.to_owned(), s.agent_days.to_string()];
        row.extend(alarm_cells(&s.played, 2));
        rows.push(row);
    }
    write_aligned(&rows, out)?;
    writeln!(out, "\nThe loudest step-ups of each, by the day (UTC), and what changes there for true.\n")?;
    let day = |l: &Loud| format!("{:.10} ({:.0} bits)", l.at.to_string(), l.level.as_bits());
    for s in series {
        let days: Vec<String> = s.loudest.iter().map(day).collect();
        let days = if days.is_empty() { "none".to_owned() } else { days.join(", ") };
        writeln!(out, "{}: {days}. {}", s.series.facts().name, s.true_change)?;
    }
    let named: Vec<Named<'_>> = series.iter().map(|s| (s.series.facts().name, &s.played)).collect();
    write_delays("series|attack|occasions", &named, out)?;
    writeln!(
        out,
        "\nAgents are few and attacked on several occasions each, which resemble each other: these intervals are too \
         narrow."
    )?;
    let credits: BTreeSet<&str> = series.iter().map(|s| s.credit).collect();
    writeln!(out, "Counts: {}.", credits.into_iter().collect::<Vec<_>>().join("; "))
}

/// The first three columns are called `whom`.
fn write_delays(whom: &str, of: &[Named<'_>], out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nAttacks in weeks 5 to 7, combined verdict: found within 7 days (ramps: 16) at the step-up threshold \
         (silence: watch; to revoke: its own)."
    )?;
    writeln!(
        out,
        "Delay is the median with its 95 % interval, then the 90th percentile; a miss counts as never. Bound: Lorden \
         and Lai.\n"
    )?;
    let mut rows = vec![header(&format!(
        "{whom}|found|delay|p90|calls|p90|delay/bound|p90|volume alone|timing alone|z-score|EWMA",
    ))];
    for (name, played) in of {
        for d in played.delays.iter().filter(|d| d.lens == Lens::Combined) {
            let alone = |lens| {
                let d = delay::find(&played.delays, &d.attack, lens);
                d.map_or("-".into(), |d| {
                    format!("{} {}", percent(d.found), duration(d.minutes.and_then(|m| m.median)))
                })
            };
            let mut row = vec![(*name).to_owned()];
            row.extend(delay_cells(d));
            row.push(d.ratio.map_or("-".into(), spread));
            row.push(d.ratio.map_or("-".into(), |r| or_never(r.p90)));
            row.extend([alone(Lens::Volume), alone(Lens::Timing)]);
            let rivals = played.rival_delays.iter().filter(|r| r.attack == d.attack);
            row.extend(rivals.map(|r| duration(r.minutes.and_then(|m| m.median))));
            rows.push(row);
        }
    }
    write_aligned(&rows, out)
}

fn write_timing(paces: &[TimingReport], out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nAgents told by their gaps, {} of each kind; false alarms per agent in 90 days, first of timing alone.\n",
        timing::AGENTS
    )?;
    let mut rows = vec![header("agents|agent-days|step-up|watch|combined step-up|combined watch")];
    for p in paces {
        let of = |lens, grade| {
            timing::find(&p.false_alarms, lens, grade).map_or("-".into(), |r| interval(r.per_90d))
        };
        rows.push(vec![
            p.pace.name().to_owned(),
            format!("{:.0}", p.agent_days),
            of(Lens::Timing, Grade::StepUp),
            of(Lens::Timing, Grade::Watch),
            of(Lens::Combined, Grade::StepUp),
            of(Lens::Combined, Grade::Watch),
        ]);
    }
    write_aligned(&rows, out)?;
    writeln!(
        out,
        "\nTaken over after 5,000 calls: share found within 1,000 calls, and the median number of calls it took. The oracle knows \
         both laws and spends the whole budget on that takeover.\n"
    )?;
    let mut rows = vec![header("agents|takeover|timing alone|calls|p90|combined|calls|p90|oracle")];
    for p in paces {
        for d in p.delays.iter().filter(|d| d.lens == Lens::Timing) {
            let mut row = vec![p.pace.name().to_owned(), d.attack.clone()];
            let combined = p.delays.iter().find(|o| o.attack == d.attack && o.lens == Lens::Combined);
            for d in [Some(d), combined].into_iter().flatten() {
                row.push(percent(d.found));
                row.push(d.calls.map_or("-".into(), spread));
                row.push(d.calls.map_or("-".into(), |c| or_never(c.p90)));
            }
            row.push(timing::oracle(p, &d.attack).map_or("-".into(), spread));
            rows.push(row);
        }
    }
    write_aligned(&rows, out)
}

fn write_context(c: &ContextReport, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nWho calls from where, {}: {} agents for {} days, {} calls; false alarms per agent in 90 days. {}\n",
        c.fleet,
        c.agents,
        c.days,
        c.calls,
        budgets(Budgets::default())
    )?;
    let of = |alone, grade| {
        let row = c.false_alarms.iter().find(|a| a.alone == alone && a.grade == grade);
        row.map_or("-".into(), |a| interval(a.per_90d))
    };
    let grades = [Grade::Watch, Grade::StepUp, Grade::RevokeLevel, Grade::Revoke];
    let row = |name: &str, alone| {
        [name.to_owned()].into_iter().chain(grades.map(|grade| of(alone, grade))).collect()
    };
    write_aligned(
        &[header("signal|watch|step-up|revoke by level|revoke"), row("all", false), row(c.alone, true)],
        out,
    )?;
    writeln!(
        out,
        "\nCredentials stolen in weeks 5 to 7, found within 7 days at the step-up threshold; calls are the thief's.\n"
    )?;
    let mut rows = vec![header(&format!(
        "theft|trials|found|delay|p90|calls|p90|by {}|watched|taken for the agent|for another",
        c.alone
    ))];
    for t in &c.thefts {
        let spreads = [
            t.minutes.map_or("-".into(), |m| duration(m.median)),
            t.minutes.map_or("-".into(), |m| duration(m.p90)),
        ];
        let calls = [t.calls.map_or("-".into(), spread), t.calls.map_or("-".into(), |c| or_never(c.p90))];
        let mut row = vec![t.theft.to_owned(), (t.agents - t.busy).to_string(), percent(t.found)];
        row.extend(spreads);
        row.extend(calls);
        row.extend([t.by_one, t.watched, t.taken_for_agent, t.told_impostor].map(percent));
        rows.push(row);
    }
    write_aligned(&rows, out)
}

fn write_groups(groups: &[GroupsReport], out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nPeer groups, six of 12 agents, by how many calls in ten all groups share: the adjusted Rand index after so many sessions an \
         agent,\nmean of the fleets (worst to best), by the group that each agent is likest to after a night's search and by the one it is in.\n"
    )?;
    let index = |[mean, low, high]: [f64; 3]| format!("{mean:.3} ({low:.2} to {high:.2})");
    let mut rows = vec![header("shared|fleets|sessions|likest to|in|groups")];
    for g in groups {
        for f in &g.found {
            let mut row = vec![g.shared.to_string(), g.fleets.to_string(), f.sessions.to_string()];
            row.extend([index(f.likeliest), index(f.standing), format!("{:.1}", f.groups)]);
            rows.push(row);
        }
    }
    write_aligned(&rows, out)?;
    writeln!(out, "\nNew agents of these fleets.\n")?;
    let mut rows = vec![header("shared|sessions|likest to their group|in it|in another")];
    for g in groups {
        for n in &g.new {
            let mut row = vec![g.shared.to_string(), n.sessions.to_string()];
            row.extend([n.likeliest, n.joined, n.wrong].map(percent));
            rows.push(row);
        }
    }
    write_aligned(&rows, out)
}

fn write_sessions(s: &SessionsReport, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nAgents with tasks, {} sessions of {} agents after their first 60: {} false step-ups in 500 sessions where one is accepted, {} \
         by endpoint alone.\nFrom their 61st on sessions are odd, found within {} of them.\n",
        s.sessions,
        s.agents,
        interval(s.false_alarms),
        interval(s.false_of_endpoint),
        sessions::LOOKED_FOR,
    )?;
    let mut rows = vec![header("oddity|odd|agents|found|sessions|p90|by endpoint|by one session|by drift")];
    for o in &s.oddities {
        let odd = if o.every == 1 { "all".to_owned() } else { format!("1 in {}", o.every) };
        let mut row = vec![o.oddity.name().to_owned(), odd, o.agents.to_string(), percent(o.found)];
        row.extend([
            o.sessions.map_or("-".into(), spread),
            o.sessions.map_or("-".into(), |s| or_never(s.p90)),
        ]);
        row.extend([o.of_endpoint, o.of_a_session, o.of_drift].map(percent));
        rows.push(row);
    }
    write_aligned(&rows, out)
}

fn write_young(young: &[YoungReport], out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nYoung agents in a fleet two weeks old, combined verdict at the step-up threshold, found within 7 days.\n"
    )?;
    let mut rows = vec![header("manifest|age|attack|agents|found|delay|p90|calls|p90|delay/bound")];
    for y in young {
        for a in y.attacks.iter().filter(|a| a.delay.lens == Lens::Combined) {
            let mut row = vec![if y.manifest { "with" } else { "without" }.to_owned()];
            row.push(duration(Some(f64::from(a.age_minutes))));
            row.extend(delay_cells(&a.delay));
            row.push(a.delay.ratio.map_or("-".into(), spread));
            rows.push(row);
        }
    }
    write_aligned(&rows, out)?;
    for y in young {
        let with = if y.manifest { "with" } else { "without" };
        writeln!(
            out,
            "{}, {} newcomers {with} a manifest, false step-ups in their first two days: {} per agent in 90 days",
            y.fleet,
            y.newcomers,
            interval(y.false_step_ups)
        )?;
    }
    Ok(())
}

fn write_cohort(c: &CohortReport, out: &mut impl Write) -> fmt::Result {
    let x = c.mass.first().map_or(1.0, |m| m.factor);
    writeln!(
        out,
        "\nx{x} on a share of {} agents at once: told as one incident, and who is asked about within a day.\n",
        c.agents
    )?;
    let mut rows = vec![header("attacked|occasions|told|after|asked about|were each alone")];
    rows.extend(c.mass.iter().map(|m| {
        let after = m.minutes.map_or("-".into(), |s| duration(s.median));
        let occasions = m.occasions.to_string();
        vec![m.attacked.to_string(), occasions, percent(m.told), after, percent(m.asked), percent(m.alone)]
    }));
    write_aligned(&rows, out)?;
    writeln!(
        out,
        "\nOne agent that does more on the second day of a month end, on which all make x5: asked about within 11 hours.\n"
    )?;
    let mut rows = vec![header("on top|agents|found|after")];
    rows.extend(c.month_end.iter().map(|l| {
        let after = l.minutes.map_or("-".into(), |s| duration(s.median));
        vec![format!("x{}", l.factor), l.agents.to_string(), percent(l.found), after]
    }));
    write_aligned(&rows, out)
}

fn write_revokes(r: &RevokesReport, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nFalse revocations over {:.0} agent-years ({}): {}, {} per agent in 10 years, with 95 % confidence under {}; \
         budget 1. The level alone was over the budget {} times per agent in 10 years; a revocation needs a second witness.\n",
        r.agent_years,
        r.mix,
        r.count,
        interval(r.per_10_years),
        number(r.per_10_years_upper),
        number(r.levels_per_10_years.value)
    )?;
    let mut rows = vec![header("fleet|agent-years|revokes|worst agent|level alone")];
    rows.extend(r.by_fleet.iter().map(|f| {
        vec![
            f.fleet.name().to_owned(),
            format!("{:.0}", f.agent_years),
            f.count.to_string(),
            f.worst.to_string(),
            f.levels.to_string(),
        ]
    }));
    write_aligned(&rows, out)
}

fn delay_cells(d: &Delay) -> [String; 7] {
    [
        d.attack.clone(),
        (d.agents - d.busy).to_string(),
        percent(d.found),
        d.minutes.map_or("-".into(), |m| {
            let ends = [m.low, m.high].map(duration).join(" to ");
            format!("{} ({ends})", duration(m.median))
        }),
        d.minutes.map_or("-".into(), |m| duration(m.p90)),
        d.calls.map_or("-".into(), |c| or_never(c.median)),
        d.calls.map_or("-".into(), |c| or_never(c.p90)),
    ]
}

fn header(columns: &str) -> Vec<String> {
    columns.split('|').map(str::to_owned).collect()
}

/// The first column to the left, the others to the right.
fn write_aligned(rows: &[Vec<String>], out: &mut impl Write) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            if i == 0 { write!(line, "{cell:width$}")? } else { write!(line, "  {cell:>width$}")? }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn interval(e: Estimate) -> String {
    format!("{} ({} to {})", number(e.value), number(e.low), number(e.high))
}

fn percent(e: Estimate) -> String {
    format!("{:.0} %", e.value * 100.0)
}

fn spread(s: Spread) -> String {
    format!("{} ({} to {})", or_never(s.median), or_never(s.low), or_never(s.high))
}

fn or_never(x: Option<f64>) -> String {
    x.map_or("never".into(), number)
}

/// Three digits or so.
pub(crate) fn number(x: f64) -> String {
    match x {
        0.0 => "0".to_owned(),
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x if x >= 0.1 => format!("{x:.2}"),
        x => format!("{x:.3}"),
    }
}

/// Minutes as people say them.
pub(crate) fn duration(minutes: Option<f64>) -> String {
    match minutes {
        None => "never".to_owned(),
        Some(m) if m < 1.0 => format!("{} s", number(m * 60.0)),
        Some(m) if m < 60.0 => format!("{} min", number(m)),
        Some(m) if m < 1_440.0 => format!("{} h", number(m / 60.0)),
        Some(m) => format!("{} d", number(m / 1_440.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_read_well() {
        assert_eq!([0.0, 0.0321, 0.5, 12.34, 820.4].map(number), ["0", "0.032", "0.50", "12.3", "820"]);
        assert_eq!(
            [Some(0.1), Some(2.5), Some(90.0), Some(12_960.0), None].map(duration),
            ["6.00 s", "2.50 min", "1.50 h", "9.00 d", "never"]
        );
    }

    #[test]
    fn columns_align() {
        let mut out = String::new();
        write_aligned(&[header("a|bb"), header("ccc|d")], &mut out).unwrap();
        assert_eq!(out, "a    bb\nccc   d\n");
    }
}
