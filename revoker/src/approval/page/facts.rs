//! Who is asking, and for what exactly.

use detector::{Attestation, visible, visible_to};
use maud::{Markup, html};

use super::View;
use super::words::span;
use crate::approval::asked::ARGUMENTS_BYTES_MAX;
use crate::approval::{Approval, Arguments, Asked, Cause};
use crate::policy::risk::Risk;

/// Both lists, side by side where there is room.
pub(super) fn who_and_what(approval: &Approval) -> Markup {
    html! {
        div.two {
            section.card aria-labelledby="who" { h2 #who { "Who" } (who(approval)) }
            section.card aria-labelledby="what" { h2 #what { "What exactly" } (what(approval)) }
        }
    }
}

fn who(approval: &Approval) -> Markup {
    let action = approval.action();
    html! {
        dl {
            (fact("Agent", Some(&action.agent_id)))
            (fact("Issuer", action.issuer.as_deref()))
            (fact("Instance", action.instance_id.as_deref()))
            @if let Some(record) = approval.evidence() { (fact("Session", record.session_id.as_deref())) }
            (fact("On behalf of", approval.requester()))
            @if let Some(record) = approval.evidence() {
                @let attestation = record.verdict.attestation.get();
                dt { "Identity" }
                dd class=[(attestation < Attestation::Token).then_some("warn")] { (proof(attestation)) }
            }
        }
    }
}

fn what(approval: &Approval) -> Markup {
    let action = approval.action();
    let route = approval.evidence().and_then(|record| record.route.as_deref());
    html! {
        dl {
            (fact("Endpoint", Some(&action.endpoint)))
            (fact("Method", action.method.as_deref()))
            @if let Some(operation) = &action.operation { (fact("Operation", Some(operation))) }
            @if let Some(route) = route { (fact("One of", Some(route))) }
            (fact("Resource", action.resource.as_deref()))
            @match action.args_digest.as_deref() {
                Some(digest) => (fact("Arguments digest", Some(digest))),
                None => {
                    dt { "Arguments" }
                    dd.warn { "Not in the request. A yes covers this call with any arguments." }
                }
            }
            @if let Some(arguments) = &approval.arguments { (shown(arguments)) }
            @match &approval.cause {
                Cause::Evidence(record) => (fact("Event", Some(&record.event_id))),
                Cause::Asked(asked) => (said(asked)),
            }
        }
    }
}

/// How far the harm can go, and who answers for the agent.
pub(super) fn reach(view: &View<'_>) -> Markup {
    let people = &view.approval.people;
    html! {
        section.card aria-labelledby="reach" {
            h2 #reach { "If it is wrong" }
            @if view.risks.is_empty() { p { "The act's name speaks of no particular harm. Read what it does above." } }
            @else { ul.harm { @for risk in &view.risks { li { (harm(*risk)) } } } }
            @if let Some(spawned) = view.spawned { p { "The agent is not alone: " bdi { (visible(spawned)) } "." } }
            p.muted { "A yes opens this one act, for " (span(view.grant)) ", and nothing else of the agent." }
            @if people.owner.is_some() || people.sponsor.is_some() {
                dl { (fact("Owner", people.owner.as_deref())) (fact("Sponsor", people.sponsor.as_deref())) }
            }
        }
    }
}

fn harm(risk: Risk) -> &'static str {
    match risk {
        Risk::Payments => "It moves money.",
        Risk::Deletion => "What it takes away may not come back.",
        Risk::Infrastructure => "It changes what runs.",
        Risk::Permissions => "It changes or reads what opens doors.",
        Risk::Outbound => "It tells somebody outside.",
        Risk::BulkRead => "It reads much at once.",
    }
}

/// The arguments that came with the evidence.
fn shown(arguments: &Arguments) -> Markup {
    html! {
        dt { "Arguments" }
        // Each name has one value beside it.
        dd {
            (code(arguments.text()))
            @if arguments.rest() > 0 {
                p.warn { "Cut here: " (arguments.rest()) " bytes more, which a yes covers too." }
            }
            @if !arguments.is_digested() {
                p.muted { "As the request says beside its own digest, which is what a yes covers." }
            }
        }
    }
}

/// All that is kept of arguments.
fn code(text: &str) -> Markup {
    html! { code { bdi { (visible_to(text, ARGUMENTS_BYTES_MAX)) } } }
}

/// What the agent's side says of it.
fn said(asked: &Asked) -> Markup {
    html! {
        @if let Some(text) = &asked.arguments { dt { "Arguments" } dd { (code(text)) } }
        (fact("It says", asked.description.as_deref()))
        @for (name, value) in &asked.context { (fact(&visible(name), Some(value))) }
    }
}

fn fact(name: &str, value: Option<&str>) -> Markup {
    html! {
        dt { (name) }
        @match value {
            Some(text) => dd { bdi { (visible(text)) } },
            None => dd.muted { "not given" },
        }
    }
}

/// How far the identity can be believed.
fn proof(attestation: Attestation) -> &'static str {
    match attestation {
        Attestation::None => "Not proven: a name somebody wrote down",
        Attestation::Network => "Weak: vouched for by where the call came from",
        Attestation::Token => "Proven by a verified token",
        Attestation::Key => "Proven by a token bound to a key",
        Attestation::Platform => "Attested by the platform it runs on",
    }
}
