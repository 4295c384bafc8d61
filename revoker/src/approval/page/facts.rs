//! Who is asking, and for what exactly.

use detector::Attestation;
use maud::{Markup, html};

use super::words::visible;
use crate::approval::{Approval, Asked, Cause};

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
            @match &approval.cause {
                Cause::Evidence(record) => (fact("Event", Some(&record.event_id))),
                Cause::Asked(asked) => (said(asked)),
            }
        }
    }
}

/// What the agent's side says of it.
fn said(asked: &Asked) -> Markup {
    html! {
        @if let Some(arguments) = &asked.arguments { dt { "Arguments" } dd { code { bdi { (visible(arguments)) } } } }
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
