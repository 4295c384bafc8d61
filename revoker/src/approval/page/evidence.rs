//! Why the agent was stopped: the evidence in bits and in words, and what it rests on.

use std::time::Duration;

use detector::{MicroBits, Part, Pattern, Signal, VerdictRecord, visible};
use maud::{Markup, html};

use super::words::{capital, clock, gap, number, percent, signed, span};
use super::{PAST_DAYS, View};
use crate::approval::Cause;

/// Width of the drawing that a bar is part of.
const BAR_WIDTH: f64 = 100.0;

/// The level, its parts, and what happened with this agent before.
pub(super) fn why(view: &View<'_>) -> Markup {
    match &view.approval.cause {
        Cause::Evidence(record) => evidence(view, record),
        Cause::Asked(asked) => html! {
            section.card aria-labelledby="why" {
                h2 #why { "Why you are asked" }
                p { "There is no evidence against this agent. Its own side asks before it acts, by " strong { (visible(&asked.by)) }
                    "; what stands here of the act is what that side says." }
                p.muted.small { (past(view)) }
            }
        },
    }
}

fn evidence(view: &View<'_>, record: &VerdictRecord) -> Markup {
    let verdict = &record.verdict;
    let mut parts: Vec<&Part> = verdict.parts.iter().filter(|p| p.bits != MicroBits::ZERO).collect();
    parts.sort_by_key(|p| std::cmp::Reverse(p.bits));
    let largest = parts.iter().map(|p| p.bits.as_bits().abs()).fold(f64::MIN_POSITIVE, f64::max);
    html! {
        section.card aria-labelledby="why" {
            h2 #why { "Why it was stopped" }
            p { strong { (capital(&record.sentence())) "." } }
            @if let Some(rule) = verdict.rule {
                p.warn { "It broke a rule that holds whatever its history: " strong { (rule) } ", since "
                    (clock(rule.since)) "." }
            }
            p.lead { span.level { (verdict.level) " bits" } " of evidence that this is not the agent as we know it. Were it \
                behaving as it always has, it would come to this " strong { (verdict.level.rarity()) } "." }
            (scale(view, verdict.level.max(view.peak)))
            @if view.peak > verdict.level {
                p.warn { "Since this question was put, the evidence has grown to " strong { (view.peak) " bits" } "." }
            }
            p { "Who acted: " strong { (verdict.who()) } ". " span.muted { "Layers of trust: " (verdict.layers.told()) "." } }
            ol.parts {
                @for part in parts { li { (row(part, record, largest)) } }
            }
            p.muted.small { (past(view)) }
        }
    }
}

/// Width of the scale, in its own units.
const SCALE_WIDTH: f64 = 360.0;

/// The level on a scale, with the levels from which an agent is watched, asked about and revoked.
fn scale(view: &View<'_>, level: MicroBits) -> Markup {
    let width = SCALE_WIDTH;
    let edges = view.edges.map(MicroBits::as_bits);
    let bits = level.as_bits();
    // What lies far beyond fills it: how far stands in its figure, and the levels stay apart.
    let most = edges[2] * 1.6;
    let x = |bits: f64| (bits.max(0.0) / most * width).clamp(0.0, width);
    let names = ["watched", "asked", "revoked"];
    let said = format!(
        "{bits:.1} bits; agents are watched from {:.1}, asked about from {:.1} and revoked from {:.1} bits on",
        edges[0], edges[1], edges[2]
    );
    html! {
        svg.scale viewBox="0 0 360 64" role="img" aria-label=(said) {
            rect.track x="0" y="24" width=(width) height="12" rx="6" {}
            rect.fill x="0" y="24" width=(format!("{:.1}", x(bits).max(6.0))) height="12" rx="6" {}
            @for (edge, name) in edges.into_iter().zip(names) {
                line x1=(format!("{:.1}", x(edge))) x2=(format!("{:.1}", x(edge))) y1="18" y2="42" {}
                text x=(format!("{:.1}", x(edge))) y="58" text-anchor="middle" { (name) }
            }
            text.now x=(format!("{:.1}", x(bits).clamp(30.0, width - 30.0))) y="14" text-anchor="middle" { (format!("{bits:.1} bits")) }
        }
    }
}

fn row(part: &Part, record: &VerdictRecord, largest: f64) -> Markup {
    let reason = record.reason(part);
    let prefix = format!("{:+.1} bits: ", part.bits);
    let sentence = capital(reason.strip_prefix(&prefix).unwrap_or(&reason));
    let against = part.bits > MicroBits::ZERO;
    html! {
        div.head { h3 { (name(part.signal)) } span.bits { (signed(part.bits)) " bits" } }
        (bar(part.bits.as_bits().abs() / largest, against))
        (numbers(part, record.line.as_deref()))
        p.muted { (visible(&sentence)) "." }
    }
}

/// The words beside it say the same, so the drawing is hidden from readers of words.
fn bar(share: f64, against: bool) -> Markup {
    let width = format!("{:.1}", (share * BAR_WIDTH).clamp(0.5, BAR_WIDTH));
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="4" {}
            rect.fill.relief[!against] width=(width) height="4" {}
        }
    }
}

/// What was seen beside what was expected, in the signal's own unit. The sentence below says what both rest on.
fn numbers(part: &Part, line: Option<&str>) -> Markup {
    let facts = match part.signal {
        Signal::Volume => volume(part, line),
        Signal::Timing => vec![
            ("Observed", html! { (gap(part.observed)) " between calls" }),
            ("Usual", html! { (gap(part.expected)) }),
            ("Since", clock(part.since)),
        ],
        Signal::Endpoint => endpoint(part),
        Signal::Context => context(part),
        Signal::LookElsewhere => Vec::new(),
    };
    html! {
        @if !facts.is_empty() { dl.numbers { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
    }
}

/// One call has its share of the agent's calls; what does not go together, and what drifts, is counted in sessions.
fn endpoint(part: &Part) -> Vec<(&'static str, Markup)> {
    match part.pattern {
        Pattern::Unfitting if part.high < 0.5 => Vec::new(),
        Pattern::Unfitting => vec![
            (
                "Sessions with both",
                html! { (number(part.observed.round())) " of " (number(part.high.round())) },
            ),
            ("Usual", html! { (number(part.expected)) }),
            ("Since", clock(part.since)),
        ],
        Pattern::SessionDrift | Pattern::RoleDrift | Pattern::OrderDrift => vec![
            ("Observed", html! { (number(part.observed)) " sessions" }),
            ("By chance", html! { "once in " (number(part.high.round())) " sessions" }),
            ("Since", clock(part.since)),
        ],
        _ => vec![
            ("Observed", html! { "this call" }),
            ("Expected", html! { (percent(part.expected)) " of its calls" }),
            ("Quiet from", html! { (percent(part.quiet_at)) }),
        ],
    }
}

/// A ramp is measured against what was usual before it and what an operator allows for growth, everything else against
/// the edges of the expectation.
fn volume(part: &Part, line: Option<&str>) -> Vec<(&'static str, Markup)> {
    let (expected, high) = (number(part.expected), number(part.high));
    let [usual, edge] = match part.pattern {
        Pattern::Ramp => [("Usual before", html! { (expected) }), ("Allowed up to", html! { (high) })],
        pattern => {
            let side = if pattern == Pattern::FewerCalls { "Quiet from" } else { "Quiet up to" };
            let band = html! { (expected) ", between " (number(part.low)) " and " (high) };
            [("Expected", band), (side, html! { (number(part.quiet_at)) })]
        }
    };
    let observed = html! { (number(part.observed)) " " (visible(&part.counted(line))) };
    let window = html! { (span(Duration::from_millis(part.window_ms))) };
    vec![("Observed", observed), usual, edge, ("Within", window), ("Since", clock(part.since))]
}

/// Something new is rare or it is not; what is counted or measured has a usual size.
fn context(part: &Part) -> Vec<(&'static str, Markup)> {
    let [observed, expected] = if part.is_by_the_hour() {
        [
            ("Peers with it", number(part.observed)),
            ("Usual", format!("in {} of its hours", percent(part.expected))),
        ]
    } else {
        [("Observed", number(part.observed)), ("Usual", number(part.expected))]
    };
    let facts = [observed, expected].map(|(name, value)| (name, html! { (value) }));
    facts.into_iter().chain([("Since", clock(part.since))]).collect()
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Volume => "How much it does",
        Signal::Timing => "When it calls",
        Signal::Endpoint => "What it calls",
        Signal::Context => "Who calls from where",
        Signal::LookElsewhere => "Discount for looking often",
    }
}

fn past(view: &View<'_>) -> String {
    let p = view.past;
    let said: Vec<String> = [
        (p.approved, "approved"),
        (p.denied, "denied"),
        (p.attacks, "reported as an attack"),
        (p.expired, "not answered"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, how)| format!("{n} {how}"))
    .collect();
    if said.is_empty() {
        format!("No other question about this agent in the last {PAST_DAYS} days.")
    } else {
        format!("Other questions about this agent in the last {PAST_DAYS} days: {}.", said.join(", "))
    }
}
