//! The three answers, and what to do when one was not accepted.

use maud::{Markup, html};

use super::View;
use super::words::{clock, span, visible};
use crate::approval::{Choice, Refusal, State, Status};

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
                // Back at the form, should the answer not be accepted.
                form method="post" action={ (view.approval.page.path()) "#answer" } autocomplete="off" {
                    // The Enter key presses a form's first button. This one does nothing, so Enter decides nothing.
                    button type="submit" disabled hidden {}
                    input type="hidden" name="token" value=(view.token.as_str());
                    input type="hidden" name="seen" value=(view.peak.as_micros());
                    (fields(view, open))
                    (choices(view, open))
                }
            }
        }
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
    let name_wrong = refused == Some(Refusal::WrongCode);
    let code_wrong = name_wrong || matches!(refused, Some(Refusal::Spent { .. }));
    html! {
        div.fields {
            @if open {
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
                input #code name="code" required inputmode="numeric" maxlength="9" autocomplete="one-time-code"
                    aria-describedby="code-help" aria-invalid=[code_wrong.then_some("true")];
                p.help #code-help { "Six digits from your authenticator app. Each counts once." }
            }
        }
    }
}

fn choices(view: &View<'_>, open: bool) -> Markup {
    html! {
        @if open {
            div.choices {
                div { button.approve name="choice" value="approve" { "Approve" }
                    p.help { "Lets exactly this act go on, once, within " (span(view.grant)) ". The agent is on probation after." } }
                div { button.deny name="choice" value="deny" { "Deny" }
                    p.help { "The agent stays stopped and cannot ask again before " (clock(view.approval.expires_at)) "." } }
            }
        }
        div.attack-zone {
            button.attack name="choice" value="attack" { "This is an attack" }
            p.help { "Revokes the agent's access at once, until an operator reinstates it. Needs your name and code, not the number." }
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
        Refusal::ApproverLocked { until } => (
            "Too many wrong codes for this name.",
            html! { "No code of this approver is looked at until " (clock(until)) " (in "
            (span(until.since(view.now))) "). Ask another approver to answer. If it was not you who typed the wrong codes, \
            tell whoever runs Tocsin." },
        ),
        Refusal::WrongNumber { left } => (
            "That is not the number.",
            html! { "Look where the agent is waiting, or at this case in your alert list, and type the four digits shown there. \
            If nobody can show you the number, somebody else may have started this: deny it. "
            (left) " more wrong " (if left == 1 { "answer" } else { "answers" }) " before a pause. Your code was not used." },
        ),
        Refusal::WrongCode => (
            "Name and code do not go together.",
            html! { "Check the spelling of your name, and that the code is Tocsin's and still on the screen. If it keeps failing, \
            the clock of your phone may be off by more than half a minute." },
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
            html! { "Nothing was done and your code was not used. With a code you may deny, or say that this is an attack. Whoever runs \
            Tocsin makes you a link to enrol a passkey." },
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
