//! The report as one picture: `detection.svg`, false step-ups on the left, delays on the right, one line a fleet.

use std::fmt::{self, Write};

use super::baseline::Rival;
use super::delay;
use super::false_alarms;
use super::hearing::{Grade, Lens};
use super::report::{FleetReport, Report};

const WIDTH: f64 = 1_120.0;
const TOP: f64 = 104.0;
const LINE: f64 = 26.0;
const BOTTOM: f64 = 58.0;
const INK: &str = "#1f2328";
const GREY: &str = "#6e7781";
const RULE: &str = "#d0d7de";
const OURS: &str = "#0550ae";
const BUDGET: &str = "#cf222e";
/// One colour a rival, and one an attack, from dark to light.
const RIVALS: [&str; 3] = ["#9a6700", "#bf8700", "#d4a72c"];
const ATTACKS: [(&str, &str); 4] =
    [("x2", "#0a3069"), ("x5", "#0969da"), ("x20", "#54aeff"), ("x100", "#b6a0ff")];

/// A logarithmic axis; what lies outside is drawn at its ends.
struct Axis {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
}

impl Axis {
    fn x(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.left + share.min(1.0) * (self.right - self.left)
    }
}

const ALARMS: Axis = Axis { left: 130.0, right: 620.0, low: 0.01, high: 200.0 };
const DELAYS: Axis = Axis { left: 670.0, right: 1_040.0, low: 0.3, high: 100.0 };
/// Where what is never found stands.
const NEVER: f64 = 1_075.0;

/// The picture. Empty of lines where no fleet was run.
pub(crate) fn draw(report: &Report, out: &mut impl Write) -> fmt::Result {
    let height = TOP + LINE * report.fleets.len() as f64 + BOTTOM;
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif">"#
    )?;
    writeln!(out, r#"<rect width="{WIDTH}" height="{height}" fill="white"/>"#)?;
    let bottom = height - BOTTOM + 6.0;
    grid(&ALARMS, &[0.01, 0.1, 1.0, 10.0, 100.0], bottom, out)?;
    grid(&DELAYS, &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0], bottom, out)?;
    headings(report, bottom, out)?;
    for (i, fleet) in report.fleets.iter().enumerate() {
        line(fleet, TOP + LINE * (i as f64 + 0.5), out)?;
    }
    writeln!(out, "</svg>")
}

fn headings(report: &Report, bottom: f64, out: &mut impl Write) -> fmt::Result {
    text(20.0, 28.0, "start", INK, "16", "What is alarmed for nothing, and how soon attacks are found", out)?;
    text(ALARMS.left, 54.0, "start", INK, "13", "False step-ups per agent in 90 days (log)", out)?;
    text(DELAYS.left, 54.0, "start", INK, "13", "Median delay over the Lorden/Lai bound (log)", out)?;
    let mut x = ALARMS.left + 6.0;
    let rules = report.fleets.iter().map(|f| &f.played.rivals).max_by_key(|r| r.len());
    let names = rules.into_iter().flatten().map(|r| r.rule).zip(RIVALS);
    for (name, colour) in [("Tocsin, 95 % interval", OURS)].into_iter().chain(names) {
        key(&mut x, name, colour, out)?;
    }
    let mut x = DELAYS.left + 6.0;
    for (name, colour) in ATTACKS {
        key(&mut x, name, colour, out)?;
    }
    let budget = ALARMS.x(1.0);
    writeln!(
        out,
        r#"<path d="M{budget:.1} {TOP}V{bottom:.1}" stroke="{BUDGET}" stroke-width="1.5" stroke-dasharray="5 3"/>"#
    )?;
    text(budget + 4.0, TOP - 4.0, "start", BUDGET, "11", "budget", out)?;
    text(NEVER, bottom + 16.0, "middle", GREY, "11", "not found", out)?;
    let note = "Hollow: none seen, bar to the upper end. * a true change: alarms may be right. Rivals rest 24 h after \
                an alarm, as we do.";
    text(20.0, bottom + 38.0, "start", GREY, "11", note, out)?;
    text(
        WIDTH - 20.0,
        bottom + 38.0,
        "end",
        GREY,
        "11",
        &format!("tocsin {}, seed {}", report.version, report.seed),
        out,
    )
}

fn key(x: &mut f64, name: &str, colour: &str, out: &mut impl Write) -> fmt::Result {
    dot(*x, 72.0, colour, true, out)?;
    text(*x + 9.0, 76.0, "start", INK, "12", name, out)?;
    *x += 30.0 + 7.2 * name.len() as f64;
    Ok(())
}

fn grid(axis: &Axis, marks: &[f64], bottom: f64, out: &mut impl Write) -> fmt::Result {
    for &mark in marks {
        let x = axis.x(mark);
        writeln!(out, r#"<path d="M{x:.1} {TOP}V{bottom:.1}" stroke="{RULE}"/>"#)?;
        text(x, bottom + 16.0, "middle", GREY, "11", &mark.to_string(), out)?;
    }
    Ok(())
}

fn line(f: &FleetReport, y: f64, out: &mut impl Write) -> fmt::Result {
    let star = if f.true_change.is_some() { " *" } else { "" };
    text(ALARMS.left - 12.0, y + 4.0, "end", INK, "12", &format!("{}{star}", f.fleet.name()), out)?;
    for (rival, colour) in f.played.rivals.iter().zip(RIVALS) {
        let Rival { per_90d_rest_24h: e, .. } = rival;
        dot(ALARMS.x(e.value), y, colour, e.value > 0.0, out)?;
    }
    if let Some(a) = false_alarms::find(&f.played.false_alarms, Lens::Combined, Grade::StepUp) {
        let (from, to) = (ALARMS.x(a.per_90d.low), ALARMS.x(a.per_90d.high));
        writeln!(out, r#"<path d="M{from:.1} {y}H{to:.1}" stroke="{OURS}" stroke-width="2"/>"#)?;
        dot(ALARMS.x(a.per_90d.value), y, OURS, a.count > 0, out)?;
    }
    for (i, (attack, colour)) in ATTACKS.into_iter().enumerate() {
        let Some(ratio) = delay::find(&f.played.delays, attack, Lens::Combined).and_then(|d| d.ratio) else {
            continue;
        };
        // A little apart, so that equal delays do not hide each other.
        let y = y + 4.0 * (i as f64 - 1.5);
        dot(ratio.median.map_or(NEVER, |m| DELAYS.x(m)), y, colour, true, out)?;
    }
    Ok(())
}

fn dot(x: f64, y: f64, colour: &str, filled: bool, out: &mut impl Write) -> fmt::Result {
    let fill = if filled { colour } else { "#ffffff" };
    writeln!(
        out,
        r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>"#
    )
}

fn text(
    x: f64,
    y: f64,
    anchor: &str,
    colour: &str,
    size: &str,
    text: &str,
    out: &mut impl Write,
) -> fmt::Result {
    writeln!(
        out,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{text}</text>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic_and_keeps_what_is_outside_at_its_ends() {
        let axis = Axis { left: 0.0, right: 100.0, low: 0.1, high: 10.0 };
        let xs = [0.0, 0.1, 1.0, 10.0, 1e9].map(|v| axis.x(v));
        assert!(xs.iter().zip([0.0, 0.0, 50.0, 100.0, 100.0]).all(|(x, y)| (x - y).abs() < 1e-9), "{xs:?}");
    }
}
