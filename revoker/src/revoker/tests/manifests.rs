//! What persons declare while the server runs.

use detector::Manifest;

use super::*;
use crate::fleetwide::FleetCommand;
use crate::revoker::{ApplyError, Person, Setup};
use crate::testing::{at, setup};

fn member(name: &str) -> Manifest {
    Manifest {
        agent_id: name.to_owned(),
        issuer: Some("https://idp.example".to_owned()),
        group: Some("tills".to_owned()),
        ..Manifest::default()
    }
}

fn given(folder: &Path, manifests: Vec<Manifest>) -> Revoker {
    crate::testing::open_as(folder, Setup { manifests, ..setup(&["detector"]) })
}

async fn declare(revoker: &Revoker, manifest: Manifest, known: i64) -> Result<i64, ApplyError> {
    let by = ("ann via soc".to_owned(), "a new shop".to_owned());
    revoker.declare(manifest, known, by.0, by.1, at(0)).await.map(|set| set.version)
}

#[tokio::test]
async fn each_version_replaces_the_one_that_was_seen_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = given(folder.path(), vec![member("till-0")]);
    assert_eq!(declare(&revoker, member("till-1"), 0).await.unwrap(), 1);
    let slower = declare(&revoker, member("till-1"), 0).await;
    assert!(matches!(slower, Err(ApplyError::ManifestChanged { version: 1 })), "{slower:?}");
    let wrong = Manifest { parent: Some("till-1".to_owned()), ..member("till-1") };
    let wrong = declare(&revoker, wrong, 1).await;
    assert!(wrong.unwrap_err().to_string().starts_with("agent `till-1`: parent: "));
    let of_a_file = declare(&revoker, member("till-0"), 0).await;
    assert!(matches!(of_a_file, Err(ApplyError::ManifestGiven)), "{of_a_file:?}");
    let second = Manifest { owner: Some("shops".to_owned()), ..member("till-1") };
    assert_eq!(declare(&revoker, second.clone(), 1).await.unwrap(), 2);
    assert_eq!(events(folder.path()), ["agent.manifest.set"; 2]);

    drop(revoker);
    let revoker = given(folder.path(), vec![member("till-0")]);
    assert_eq!(revoker.manifests().to_vec(), [member("till-0"), second]);
    let known = revoker.manifest(agent("till-1")).await.unwrap().unwrap();
    assert_eq!((known.version, known.set.by.as_str()), (2, "ann via soc"));

    // A file that comes later goes before it.
    drop(revoker);
    let revoker = given(folder.path(), vec![member("till-1")]);
    assert_eq!(revoker.manifests().to_vec(), [member("till-1")]);
    assert_eq!(revoker.manifest(agent("till-1")).await.unwrap(), None);
}

#[tokio::test]
async fn groups_and_people_are_those_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = given(folder.path(), Vec::new());
    let person = || Person { name: "ann".to_owned(), by: "ann via soc".to_owned() };
    let propose = async || {
        let command = FleetCommand::RevokeGroup { group: "tills".to_owned() };
        revoker.propose(command, person(), "stolen".to_owned(), at(0)).await
    };
    assert!(matches!(propose().await, Err(ApplyError::NoGroup)));
    declare(&revoker, Manifest { approvers: vec!["Kim".to_owned()], ..member("till-1") }, 0).await.unwrap();
    propose().await.unwrap();
    let accountable = revoker.accountable_agents().await.unwrap();
    assert_eq!(accountable[0].1.approvers, ["Kim"]);
}
