//! The report for people: aligned tables.

use std::fmt::{self, Write};

use super::delay::Delay;
use super::false_alarms::{self, FalseAlarms};
use super::hearing::{Grade, Lens};
use super::interval::{Estimate, Spread};
use super::report::{FleetReport, Report, RevokesReport};
use super::timing::{self, TimingReport};
use super::young::YoungReport;

/// The whole report. Parts that were not run are left out.
pub(crate) fn write(report: &Report, out: &mut impl Write) -> fmt::Result {
    let loud: Vec<&FleetReport> = report.fleets.iter().filter(|f| !f.false_alarms.is_empty()).collect();
    if !loud.is_empty() {
        write_false_alarms(&loud, out)?;
    }
    let attacked: Vec<&FleetReport> = report.fleets.iter().filter(|f| !f.delays.is_empty()).collect();
    if !attacked.is_empty() {
        write_delays(&attacked, out)?;
    }
    if !report.timing.is_empty() {
        write_timing(&report.timing, out)?;
    }
    if !report.young.is_empty() {
        write_young(&report.young, out)?;
    }
    report.revokes.as_ref().map_or(Ok(()), |revokes| write_revokes(revokes, out))
}

fn write_false_alarms(fleets: &[&FleetReport], out: &mut impl Write) -> fmt::Result {
    let (agents, days) = (fleets[0].agents, fleets[0].days);
    writeln!(
        out,
        "False alarms per agent in 90 days, {agents} agents for {days} days (95 % interval). Budgets: watch 12.9, \
         step-up 1, revoke 0.025."
    )?;
    writeln!(
        out,
        "* marks fleets with a true change, where an alarm may be right. Rivals rest for 24 h after one, as we do.\n"
    )?;
    let mut rows =
        vec![header("fleet|step-up|weeks 3-8|volume|timing|worst agent|watch|revoke|z-score|EWMA|forest")];
    for f in fleets {
        let of = |lens, grade| false_alarms::find(&f.false_alarms, lens, grade);
        let all = |row: Option<&FalseAlarms>| row.map_or("-".into(), |r| interval(r.per_90d));
        let value = |row: Option<&FalseAlarms>| row.map_or("-".into(), |r| number(r.per_90d.value));
        let step_up = of(Lens::Combined, Grade::StepUp);
        let mut row = vec![
            format!("{}{}", f.fleet.name(), if f.true_change.is_some() { " *" } else { "" }),
            all(step_up),
            step_up.and_then(|r| r.per_90d_late).map_or("-".into(), interval),
            value(of(Lens::Volume, Grade::StepUp)),
            value(of(Lens::Timing, Grade::StepUp)),
            step_up.map_or("-".into(), |r| r.worst.to_string()),
            all(of(Lens::Combined, Grade::Watch)),
            all(of(Lens::Combined, Grade::Revoke)),
        ];
        row.extend((0..3).map(|i| f.rivals.get(i).map_or("-".into(), |r| number(r.per_90d_rest_24h.value))));
        rows.push(row);
    }
    write_aligned(&rows, out)
}

fn write_delays(fleets: &[&FleetReport], out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nAttacks in weeks 5 to 7, combined verdict: found within 7 days (ramps: 16) at the step-up threshold \
         (silence: watch)."
    )?;
    writeln!(
        out,
        "Delay is the median with its 95 % interval, then the 90th percentile; a miss counts as never. Bound: Lorden \
         and Lai.\n"
    )?;
    let mut rows = vec![header(
        "fleet|attack|agents|found|delay|p90|calls|p90|delay/bound|p90|volume alone|timing alone|z-score|EWMA",
    )];
    for f in fleets {
        for d in f.delays.iter().filter(|d| d.lens == Lens::Combined) {
            let alone = |lens| {
                let d = f.delays.iter().find(|o| o.attack == d.attack && o.lens == lens);
                d.map_or("-".into(), |d| {
                    format!("{} {}", percent(d.found), duration(d.minutes.and_then(|m| m.median)))
                })
            };
            let mut row = vec![f.fleet.name().to_owned()];
            row.extend(delay_cells(d));
            row.push(d.ratio.map_or("-".into(), spread));
            row.push(d.ratio.map_or("-".into(), |r| or_never(r.p90)));
            row.extend([alone(Lens::Volume), alone(Lens::Timing)]);
            let rivals = f.rival_delays.iter().filter(|r| r.attack == d.attack);
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
        "\nTaken over after 5,000 calls: share found within 1,000 calls, and the median number of calls it took.\n"
    )?;
    let mut rows = vec![header("agents|takeover|timing alone|calls|p90|combined|calls|p90")];
    for p in paces {
        for d in p.delays.iter().filter(|d| d.lens == Lens::Timing) {
            let mut row = vec![p.pace.name().to_owned(), d.attack.clone()];
            let combined = p.delays.iter().find(|o| o.attack == d.attack && o.lens == Lens::Combined);
            for d in [Some(d), combined].into_iter().flatten() {
                row.push(percent(d.found));
                row.push(d.calls.map_or("-".into(), spread));
                row.push(d.calls.map_or("-".into(), |c| or_never(c.p90)));
            }
            rows.push(row);
        }
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
            "{} newcomers {with} a manifest, false step-ups in their first two days: {} per agent in 90 days",
            y.newcomers,
            interval(y.false_step_ups)
        )?;
    }
    Ok(())
}

fn write_revokes(r: &RevokesReport, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "\nFalse revocations over {:.0} agent-years ({}): {}, {} per agent in 10 years, with 95 % confidence under {}; \
         budget 1.\n",
        r.agent_years,
        r.mix,
        r.count,
        interval(r.per_10_years),
        number(r.per_10_years_upper)
    )?;
    let mut rows = vec![header("fleet|agent-years|revokes|worst agent")];
    rows.extend(r.by_fleet.iter().map(|f| {
        vec![
            f.fleet.name().to_owned(),
            format!("{:.0}", f.agent_years),
            f.count.to_string(),
            f.worst.to_string(),
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
