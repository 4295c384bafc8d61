//! Who is asking, and for what exactly.

use detector::Attestation;
use maud::{Markup, html};

use super::words::visible;
use crate::approval::Approval;

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
    let r = &approval.record;
    let attestation = r.verdict.attestation.get();
    html! {
        dl {
            (fact("Agent", Some(&r.agent_id)))
            (fact("Issuer", r.issuer.as_deref()))
            (fact("Instance", r.instance_id.as_deref()))
            (fact("Session", r.session_id.as_deref()))
            (fact("On behalf of", r.delegator.as_deref()))
            dt { "Identity" }
            dd class=[(attestation < Attestation::Token).then_some("warn")] { (proof(attestation)) }
        }
    }
}

fn what(approval: &Approval) -> Markup {
    let r = &approval.record;
    html! {
        dl {
            (fact("Endpoint", Some(&r.endpoint)))
            (fact("Method", r.method.as_deref()))
            @if let Some(operation) = &r.operation { (fact("Operation", Some(operation))) }
            @if let Some(route) = &r.route { (fact("One of", Some(route))) }
            (fact("Resource", r.resource.as_deref()))
            @match r.args_digest.as_deref() {
                Some(digest) => (fact("Arguments digest", Some(digest))),
                None => {
                    dt { "Arguments" }
                    dd.warn { "Not in the request. A yes covers this call with any arguments." }
                }
            }
            (fact("Event", Some(&r.event_id)))
        }
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
