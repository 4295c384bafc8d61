//! The page a human answers on. Pure: what is known in, HTML out.
//!
//! Made for a tired person with a phone at three in the morning: one question, who and what and why in plain sight, three
//! answers with what each of them does, and for everything that may go wrong a sentence that says what to do. It needs no
//! script, loads nothing, and works with forms alone.

mod answer;
pub mod enrol;
mod evidence;
mod facts;
pub(super) mod words;

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detector::{MicroBits, Timestamp, visible};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{Approval, Choice, FormToken, PageKey, Refusal, State, Status};
use crate::config::WhileAsked;
use crate::policy::risk::Risk;
use words::{clock, span};

/// The one stylesheet, in the page itself.
const STYLE: &str = include_str!("page/style.css");

/// The one script, in the page itself: it asks for a passkey, and without it the rest works.
const SCRIPT: &str = include_str!("page/passkey.js");

/// What the page may do: show its own style, run its own script and post to where it came from. Nothing else: no image, no frame,
/// nothing of anybody else's.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let [style, script] = [STYLE, SCRIPT].map(|text| STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
});

/// How earlier questions about the same agent ended, within [`PAST_DAYS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// With a yes.
    pub approved: u32,
    /// With a no.
    pub denied: u32,
    /// As an attack.
    pub attacks: u32,
    /// With no answer.
    pub expired: u32,
}

/// How far [`Past`] looks back.
pub const PAST_DAYS: u64 = 30;

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The question.
    pub approval: &'a Approval,
    /// How earlier ones ended.
    pub past: Past,
    /// The highest level of evidence since it was put.
    pub peak: MicroBits,
    /// How long a yes is good for.
    pub grant: Duration,
    /// Ties the form to this page and this browser.
    pub token: &'a FormToken,
    /// From which level on an agent is watched, asked about and revoked.
    pub edges: [MicroBits; 3],
    /// What harm the act can do.
    pub risks: Vec<Risk>,
    /// What the agent does until somebody has answered.
    pub while_asked: WhileAsked,
    /// Whom the agent spawned, in words,
    pub spawned: Option<&'a str>,
    /// and whether they lose their access with it.
    pub cascades: bool,
    /// Whether passkeys can be used here.
    pub may_passkey: bool,
    /// The answer that was just refused, if this is the page after one.
    pub refused: Option<Refused<'a>>,
    /// When the page is made.
    pub now: Timestamp,
}

/// An answer that did not count.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Why.
    pub why: Refusal,
    /// What they wanted.
    pub choice: Choice,
    /// The name they typed, so that they need not type it again.
    pub name: &'a str,
}

/// The page of a question, open or settled.
pub fn render(view: &View<'_>) -> Markup {
    let approval = view.approval;
    let open = approval.status(view.now) == Status::Pending;
    let agent = visible(&approval.action().agent_id);
    let title = if open { format!("May {agent} go on?") } else { outcome(view).0 };
    let body = html! {
        @if open { (question(view)) } @else { (settled(view)) }
        (facts::who_and_what(approval))
        (evidence::why(view))
        (facts::reach(view))
        (answer::form(view, open))
        p.small.muted { "Case " code { (approval.case) }
            @if !approval.alert_id.is_empty() { ", alert " code { (visible(&approval.alert_id)) } }
            ", policy " code { (visible(&approval.policy)) } "." }
    };
    let title = match view.refused {
        Some(_) => format!("Not accepted: {title}"),
        None => title,
    };
    frame(&title, &body)
}

/// The page where there is no such question.
pub fn unknown() -> Markup {
    notice(
        "There is no such question",
        "The address is incomplete, or the question is so old that it was forgotten. Open the link in the alert again; \
         copied by hand, every character counts.",
    )
}

/// The page from which somebody goes to the question at `question`, and on from it once they have answered. It asks to be pressed: a page
/// that loads itself anew takes away what somebody reads or hears (WCAG 2.2, 2.2.1 and 3.2.5).
pub fn waiting(question: &PageKey, here: &str) -> Markup {
    frame(
        "Waiting for your answer",
        &html! {
            div.card.state.ask {
                h1 { "Waiting for your answer" }
                p { "An agent asks before it acts. Read what it wants to do, and answer; then come back here." }
                p { a href=(question.path()) target="_blank" rel="noopener noreferrer" { "Read and answer (opens in a new tab)" } }
                p { a href=(here) data-look-again { "I have answered: go on" } }
            }
        },
    )
}

/// A page for when nothing can be shown or done right now.
pub fn notice(title: &str, text: &str) -> Markup {
    frame(title, &html! { div.card.state.wait { h1 { (title) } p { (text) } } })
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Tocsin" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top { (bell()) span { "Tocsin" } }
                main { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn bell() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path d="M12 2.5a1.6 1.6 0 0 0-1.6 1.6v.5A6.4 6.4 0 0 0 5.6 10.8c0 4-1.2 5.4-2.2 6.2-.5.4-.2 1.3.5 1.3h16.2c.7 0 1-.9.5-1.3-1-.8-2.2-2.2-2.2-6.2a6.4 6.4 0 0 0-4.8-6.2v-.5A1.6 1.6 0 0 0 12 2.5Zm-2.4 17a2.5 2.5 0 0 0 4.8 0Z" {}
        }
    }
}

fn question(view: &View<'_>) -> Markup {
    let action = view.approval.action();
    let left = view.approval.expires_at.since(view.now);
    html! {
        div.card.state.ask {
            p.kicker { "An agent is waiting for you" }
            h1 { "May " b { bdi { (visible(&action.agent_id)) } } " call " b { bdi { (visible(&action.endpoint)) } } "?" }
            p.lead {
                @match view.while_asked {
                    _ if view.approval.evidence().is_none() => "It asks before it acts, and waits.",
                    WhileAsked::Gate => "It is stopped until somebody decides.",
                    WhileAsked::Suspend => "Its access is suspended until somebody decides.",
                    WhileAsked::Observe => "It goes on until somebody says no.",
                }
                " Left alone, this question lapses in "
                strong { (span(left)) } " (" (clock(view.approval.expires_at)) ") and nothing is approved."
            }
            @if view.approval.needs.approvers > 1 {
                p.lead {
                    "It takes two people. "
                    @match &view.approval.first {
                        Some(first) => strong { (visible(&first.by)) " has said yes, " (clock(first.at)) "." },
                        None => "Nobody has said yes yet.",
                    }
                }
            }
            p.lead { a href="#answer" { "Go to your answer" } }
        }
    }
}

fn settled(view: &View<'_>) -> Markup {
    let (title, text, tone) = outcome(view);
    html! { div #outcome class={ "card state " (tone) } role="status" { h1 { (title) } (text) } }
}

/// Heading, text and colour of a question that is over.
fn outcome(view: &View<'_>) -> (String, Markup, &'static str) {
    let approval = view.approval;
    let agent = html! { bdi { (visible(&approval.action().agent_id)) } };
    let signed = |by: &str, at: Timestamp| html! { "By " strong { (visible(by)) } ", " (clock(at)) ". " };
    match &approval.state {
        State::Answered { choice: Choice::Approve, by, at, .. } => (
            "Approved".to_owned(),
            html! { p { (signed(by, *at)) (agent) " may do exactly what is shown below, once"
            (granted(view)) " It is on probation now: a relapse stops it again." } },
            "good",
        ),
        State::Answered { choice: Choice::Deny, by, at, .. } => (
            "Denied".to_owned(),
            html! { p { (signed(by, *at)) (agent) " stays stopped. Before " (clock(approval.expires_at))
            " it cannot ask again. If this looks like an attack, say so below and its access ends." } },
            "stop",
        ),
        State::Answered { choice: Choice::Attack, by, at, .. } => (
            "Reported as an attack".to_owned(),
            html! { p { (signed(by, *at)) "The access of " (agent)
            " is revoked, and stays so until an operator reinstates it with a reason." } },
            "stop",
        ),
        State::Superseded { at } => (
            "Settled elsewhere".to_owned(),
            html! { p { "Something else decided first, " (clock(*at))
            ": an operator, more evidence, or a newer question. There is nothing to do on this page." } },
            "wait",
        ),
        State::Pending | State::Expired => (
            "This question has lapsed".to_owned(),
            html! { p { "Nobody answered before " (clock(approval.expires_at)) ". Nothing was approved and nothing denied; "
            (agent) (if view.while_asked == WhileAsked::Observe { " goes on" } else { " is still stopped" }) ". If it tries again, a new question is put. If this looks like an attack, say so \
             below and its access ends." } },
            "wait",
        ),
    }
}

fn granted(view: &View<'_>) -> Markup {
    let Some(grant) = view.approval.grant.as_ref() else { return html! { "." } };
    match grant.used.as_ref() {
        Some((_, at)) => html! { "; it resumed at " (clock(*at)) "." },
        None if view.now < grant.expires_at => html! { ", until " (clock(grant.expires_at)) "." },
        None => html! { "; it did not come back in time, so it must ask again." },
    }
}

#[cfg(test)]
pub(super) mod tests;
