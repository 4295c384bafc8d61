//! Why the agent was stopped: the evidence in bits and in words, and what it rests on.

use detector::{MicroBits, Part, Signal};
use maud::{Markup, html};

use super::words::{number, rarity, span, visible};
use super::{PAST_DAYS, View};

/// Width of the drawing that a bar is part of.
const BAR_WIDTH: f64 = 100.0;

/// The level, its parts, and what happened with this agent before.
pub(super) fn why(view: &View<'_>) -> Markup {
    let verdict = &view.approval.record.verdict;
    let mut parts: Vec<&Part> = verdict.parts.iter().filter(|p| p.bits != MicroBits::ZERO).collect();
    parts.sort_by_key(|p| std::cmp::Reverse(p.bits));
    let reasons = view.approval.record.reasons();
    let largest = parts.iter().map(|p| p.bits.as_bits().abs()).fold(f64::MIN_POSITIVE, f64::max);
    html! {
        section.card aria-labelledby="why" {
            h2 #why { "Why it was stopped" }
            p { span.level { (verdict.level) " bits" } " of evidence that this is not the agent as we know it. Were it \
                behaving as it always has, it would come to this " strong { (rarity(verdict.level)) } "." }
            @if view.peak > verdict.level {
                p.warn { "Since this question was put, the evidence has grown to " strong { (view.peak) " bits" } "." }
            }
            ol.parts {
                @for (part, reason) in parts.iter().zip(&reasons) { li { (row(part, reason, largest)) } }
            }
            p.muted.small { (past(view)) }
        }
    }
}

fn row(part: &Part, reason: &str, largest: f64) -> Markup {
    let prefix = format!("{:+.1} bits: ", part.bits);
    let sentence = reason.strip_prefix(&prefix).unwrap_or(reason);
    let against = part.bits > MicroBits::ZERO;
    html! {
        div.head { h3 { (name(part.signal)) } span.bits { (format!("{:+.1}", part.bits)) " bits" } }
        (bar(part.bits.as_bits().abs() / largest, against))
        p { (visible(sentence)) }
        @if part.signal != Signal::LookElsewhere { (numbers(part)) }
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

fn numbers(part: &Part) -> Markup {
    let h = part.history;
    html! {
        dl.numbers {
            div { dt { "Observed" } dd { (number(part.observed)) } }
            div { dt { "Expected" } dd { (number(part.expected)) } }
            @if part.window_ms > 0 {
                div { dt { "In" } dd { (span(std::time::Duration::from_millis(part.window_ms))) } }
            }
            div { dt { "Rests on" } dd { (rests_on(h.own, h.peers, h.prior)) } }
        }
    }
}

/// Shares in thousandths, as whole percents.
fn rests_on(own: u16, peers: u16, prior: u16) -> String {
    let shares = [(own, "its own past"), (peers, "its peers"), (prior, "general assumptions")];
    let said: Vec<String> = shares
        .iter()
        .filter(|(share, _)| *share >= 5)
        .map(|(share, whose)| format!("{} % {whose}", (share + 5) / 10))
        .collect();
    if said.is_empty() { "nothing yet".to_owned() } else { said.join(", ") }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Volume => "How much it does",
        Signal::Endpoint => "What it calls",
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
