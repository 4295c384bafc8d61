//! The three answers, and what to do when one was not accepted.

use detector::visible;
use maud::{Markup, html};

use super::View;
use super::words::{clock, span};
use crate::approval::{Choice, Factor, Refusal, State, Status};
use crate::config::WhileAsked;

/// The form; with all three answers while the question is open, with "this is an attack" alone while that still counts,
/// and nothing after.
pub(super) fn form(view: &View<'_>, open: bool) -> Markup {
    if !open && !attack_counts(view) {
        return html! {};
    }
    let shut = view.approval.attempts.shut_until(view.now).is_some();
    html! {
        section.card.answer #answer aria-labelledby="decide" {
            h2 #decide { @if open { "Your answer" } @else { "Is this an attack?" } }
            @if let Some(problem) = problem(view) { (problem) }
            @if !shut {
                @if open && takes_passkey(view) { p.lead { strong { "A yes to this takes a passkey." } " " (without_one(view)) } }
                @if view.may_passkey { (with_passkey(view, open)) }
                (with_code(view, open))
            }
        }
    }
}

fn takes_passkey(view: &View<'_>) -> bool {
    view.approval.needs.factor == Factor::Passkey
}

/// What somebody does who has no passkey. Whether they have one is not asked: the page is anybody's who has its address.
fn without_one(view: &View<'_>) -> Markup {
    html! {
        @if view.may_passkey {
            "If you have no passkey, ask whoever runs Tocsin for a link to make one (" code { "tocsin approver add" } " with your name): open it on \
            this device, and come back to this page. Your app and codes stay good: with a code you may say no here."
        } @else {
            "No passkey can be used at this address, so nobody can approve it. Whoever runs Tocsin gives this page an address with https and a \
            name (" code { "http.public_url" } "), or has codes suffice (" code { "[policy.approval] passkey_for" } "). With a code you may say no."
        }
    }
}

/// What ties a form to this page, this browser and the evidence shown.
fn ties(view: &View<'_>) -> Markup {
    html! {
        input type="hidden" name="token" value=(view.token.as_str());
        input type="hidden" name="seen" value=(view.peak.as_micros());
    }
}

/// Back at the form, should the answer not be accepted.
fn target(view: &View<'_>) -> String {
    format!("{}#answer", view.approval.page.path())
}

/// The way that the script shows, where the browser knows passkeys.
fn with_passkey(view: &View<'_>, open: bool) -> Markup {
    html! {
        form method="post" action=(target(view)) data-passkey hidden {
            (ties(view))
            input type="hidden" name="choice" value="";
            input type="hidden" name="passkey" value="";
            p { "Your device asks for your fingerprint, face or screen lock, and signs this answer to this question alone." }
            (choices(view, open, By::Passkey))
        }
        p.muted #passkey-note role="status" aria-live="polite" {}
    }
}

fn with_code(view: &View<'_>, open: bool) -> Markup {
    let form = html! {
        form method="post" action=(target(view)) autocomplete="off" {
            // The Enter key presses a form's first button. This one does nothing, so Enter decides nothing.
            button type="submit" disabled hidden {}
            (ties(view))
            (fields(view, open))
            (choices(view, open, By::Code))
        }
    };
    html! {
        @if view.may_passkey {
            details.other open data-keep[view.refused.is_some()] {
                summary { "Answer with a one-time code" }
                (form)
            }
        } @else { (form) }
    }
}

fn attack_counts(view: &View<'_>) -> bool {
    match view.approval.status(view.now) {
        Status::Expired => true,
        Status::Denied => matches!(view.approval.state, State::Answered { choice: Choice::Deny, .. }),
        _ => false,
    }
}

fn fields(view: &View<'_>, open: bool) -> Markup {
    let refused = view.refused.map(|refused| refused.why);
    let number_wrong = matches!(refused, Some(Refusal::WrongNumber { .. }));
    let name_wrong = matches!(refused, Some(Refusal::WrongCode | Refusal::ApproverLocked));
    let code_wrong = name_wrong || matches!(refused, Some(Refusal::Spent { .. }));
    html! {
        div.fields {
            @if open && !takes_passkey(view) {
                div.field {
                    label for="number" { "Number the agent shows" }
                    input #number name="number" inputmode="numeric" maxlength="9" autocomplete="off"
                        aria-describedby="number-help" aria-invalid=[number_wrong.then_some("true")];
                    p.help #number-help { "Four digits, where the agent waits or in your alert list. For a yes only: \
                        if you cannot find them, do not approve." }
                }
            }
            div.field {
                label for="name" { "Your name" }
                input #name name="name" required maxlength="64" autocomplete="username" autocapitalize="none"
                    spellcheck="false" value=(view.refused.map_or("", |refused| refused.name))
                    aria-describedby="name-help" aria-invalid=[name_wrong.then_some("true")];
                p.help #name-help { "As you were enrolled." }
            }
            div.field {
                label for="code" { "One-time code" }
                input #code name="code" required maxlength="12" autocapitalize="none" spellcheck="false" autocomplete="one-time-code"
                    aria-describedby="code-help" aria-invalid=[code_wrong.then_some("true")];
                p.help #code-help { "Six digits from your authenticator app, or a recovery code. Each counts once." }
            }
        }
    }
}

/// How an answer is proved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Passkey,
    Code,
}

fn choices(view: &View<'_>, open: bool, by: By) -> Markup {
    let may_approve = by == By::Passkey || !takes_passkey(view);
    html! {
        @if open {
            div.choices {
                @if may_approve {
                    div {
                        (button(by, "approve", "Approve"))
                        p.help { "Lets exactly this act go on, once, within " (span(view.grant)) "."
                            @if view.while_asked == WhileAsked::Suspend { " Its access is given back; it needs a new token." }
                            @if view.approval.evidence().is_some() { " The agent is on probation after." } }
                    }
                }
                div {
                    (button(by, "deny", "Deny"))
                    p.help {
                        @if view.approval.evidence().is_some() {
                            "The agent stays stopped and cannot ask again before " (clock(view.approval.expires_at)) "."
                        } @else { "The agent is told no, and nobody is asked about this act again for a while." }
                    }
                }
            }
        }
        div.attack-zone {
            (button(by, "attack", "This is an attack"))
            p.help { "Revokes the agent's access at once, until an operator reinstates it."
                @match (view.spawned, view.cascades) {
                    (Some(_), true) => " Whom it spawned ends with it.",
                    (Some(_), false) => " Whom it spawned goes on.",
                    (None, _) => "",
                }
                @if by == By::Code { " Needs your name and code, not the number." } }
        }
    }
}

/// A passkey's buttons are the script's to press.
fn button(by: By, choice: &str, text: &str) -> Markup {
    html! {
        @match by {
            By::Code => button class=(choice) name="choice" value=(choice) { (text) },
            By::Passkey => button class=(choice) type="button" data-choice=(choice) { (text) },
        }
    }
}

fn problem(view: &View<'_>) -> Option<Markup> {
    let shut = view.approval.attempts.shut_until(view.now).map(|until| Refusal::Locked { until });
    let why = view.refused.map(|refused| refused.why).or(shut)?;
    let (title, text) = words(view, why);
    Some(html! { div.problem role="alert" { p { strong { (title) } } p { (text) } } })
}

fn words(view: &View<'_>, why: Refusal) -> (&'static str, Markup) {
    match why {
        Refusal::Locked { until } => (
            "Too many wrong answers.",
            html! { "No answer to this question is looked at until " (clock(until)) " (in "
            (span(until.since(view.now))) "). The agent stays stopped; an operator can revoke or reinstate it." },
        ),
        Refusal::WrongNumber { left } => (
            "That is not the number.",
            html! { "Look where the agent is waiting, or at this case in your alert list, and type the four digits shown there. \
            If nobody can show you the number, somebody else may have started this: deny it. "
            (left) " more wrong " (if left == 1 { "answer" } else { "answers" }) " before a pause. Your code was not used." },
        ),
        Refusal::WrongCode | Refusal::ApproverLocked => (
            "Name and code do not go together.",
            html! { "Check the spelling of your name, and that the code is Tocsin's and still on the screen. If it keeps failing, \
            the clock of your phone may be off by more than half a minute. After five wrong codes none counts for a quarter of an hour or \
            longer: ask another approver, and if it was not you who typed them, tell whoever runs Tocsin." },
        ),
        Refusal::WrongPasskey => (
            "That passkey does not count here.",
            html! { "Use one that you enrolled with Tocsin, and confirm on the device that it is you. Nothing was decided." },
        ),
        Refusal::Spent { next } => (
            "That code was used already.",
            html! { "Each counts once. Wait for your app's next one (in " (span(next.since(view.now)))
            ") and send again." },
        ),
        Refusal::OwnRequest => (
            "The agent acts for you.",
            html! { "Somebody else has to approve. You may deny, or say that this is an attack; your app's next code will do." },
        ),
        Refusal::NotNamed => {
            ("Others are named to answer for this agent.", html! { "Nothing was done. " (named(view)) })
        }
        Refusal::SameApprover => (
            "You have said yes already.",
            html! { "This takes two people. Somebody else has to approve too; you may still deny, or say that this is an attack." },
        ),
        Refusal::StrongerFactor => (
            "A yes to this takes a passkey.",
            html! { "Nothing was done and your code was not used. " (without_one(view)) },
        ),
        Refusal::EvidenceGrew => (
            "There is more against the agent than this page showed you.",
            html! { "Nothing was approved. Read again what stands above; then answer with your app's next code." },
        ),
        Refusal::Stale => (
            "The form was out of date.",
            html! { "Nothing was done and your code was not used. Answer again below. If this comes back, let your browser keep \
            cookies for this site." },
        ),
        Refusal::Over => (
            "It is settled already.",
            html! { "Your answer came after that and changed nothing. How it was settled stands at the top of this page." },
        ),
    }
}

fn named(view: &View<'_>) -> String {
    match view.approval.people.approvers.as_slice() {
        [] => "Somebody else was asked.".to_owned(),
        names => format!("They are: {}.", visible(&names.join(", "))),
    }
}
