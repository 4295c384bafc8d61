//! Agents that end with their task or with their time.

use detector::{Attestation, Budgets, EffectiveAttestation, Manifest};

use super::*;
use crate::config::{OnEnd, PolicyConfig};
use crate::policy::Policy;
use crate::revoker::{Heard, Setup};
use crate::testing::{at, setup};

fn with(folder: &Path, ends: OnEnd) -> Revoker {
    let manifest = |name: &str| Manifest {
        agent_id: name.to_owned(),
        issuer: Some("https://idp.example".to_owned()),
        ..Manifest::default()
    };
    let manifests = [
        Manifest { ends_with_task: true, ..manifest("errand") },
        Manifest { expires: Some(at(100)), ..manifest("temp") },
        manifest("staff"),
    ];
    let config = PolicyConfig { on_task_end: ends, on_manifest_end: ends, ..PolicyConfig::default() };
    let policy = Policy::new(Budgets::default(), config);
    crate::testing::open_as(folder, Setup { policy, manifests: manifests.to_vec(), ..setup(&["idp"]) })
}

fn worth(attestation: Attestation) -> EffectiveAttestation {
    EffectiveAttestation::new(attestation, Attestation::Platform)
}

fn task_ended(revoker: &Revoker, name: &str, event: &str, attestation: EffectiveAttestation, s: i64) {
    let heard = Heard::TaskEnded { agent: agent(name), event_id: event.to_owned(), attestation };
    revoker.hear(&mut [heard].into(), at(s), |_, _| ()).unwrap();
}

#[tokio::test]
async fn a_task_that_is_over_ends_its_agent_once_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), OnEnd::Revoke);
    let over = |name, event, worth, s| task_ended(&revoker, name, event, worth, s);
    over("errand", "e0", worth(Attestation::Network), 0);
    over("staff", "e1", worth(Attestation::Token), 0);
    assert_eq!((standing(&revoker, "errand"), standing(&revoker, "staff")), ("trusted", "trusted"));
    over("errand", "e2", worth(Attestation::Token), 1);
    assert_eq!(standing(&revoker, "errand"), "revoked");
    revoker.reinstate(agent("errand"), "ann".to_owned(), "because".to_owned(), at(2)).await.unwrap();
    // A log that is read again.
    over("errand", "e2", worth(Attestation::Token), 3);
    assert_eq!(standing(&revoker, "errand"), "probation");
}

#[tokio::test]
async fn time_alone_ends_who_is_declared_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), OnEnd::Revoke);
    revoker.tick(at(99)).await.unwrap();
    assert_eq!(standing(&revoker, "temp"), "trusted");
    revoker.tick(at(100)).await.unwrap();
    assert_eq!(standing(&revoker, "temp"), "revoked");
    assert_eq!(events(folder.path()), ["agent.access.revoked"]);
    revoker.reinstate(agent("temp"), "ann".to_owned(), "because".to_owned(), at(101)).await.unwrap();
    drop(revoker);
    let revoker = with(folder.path(), OnEnd::Revoke);
    revoker.tick(at(102)).await.unwrap();
    assert_eq!(standing(&revoker, "temp"), "probation");

    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), OnEnd::Leave);
    revoker.tick(at(200)).await.unwrap();
    task_ended(&revoker, "errand", "e", worth(Attestation::Token), 200);
    assert_eq!(events(folder.path()), [""; 0]);
}
