//! Whom an agent spawned ends with it, planned first.

use detector::{Budgets, Manifest};

use super::*;
use crate::config::{Cascade, PolicyConfig};
use crate::policy::Policy;
use crate::revoker::Setup;
use crate::testing::{at, damning, record, setup};
use crate::whom::{Glob, Whom};

/// `planner` declares `writer`, whose calls name it as the parent of `scribe`; `guard` is protected.
fn with(folder: &Path, cascade: Cascade) -> Revoker {
    let child = |name: &str, parent: &str| Manifest {
        agent_id: name.to_owned(),
        parent: Some(parent.to_owned()),
        ..Manifest::default()
    };
    let guard = Whom { agent: Some(Glob::try_from("guard".to_owned()).unwrap()), ..Whom::default() };
    let config = PolicyConfig { cascade, protected: vec![guard], ..PolicyConfig::default() };
    let manifests = vec![child("writer", "planner"), child("guard", "planner"), child("planner", "scribe")];
    let policy = Policy::new(Budgets::default(), config);
    let revoker = crate::testing::open_as(folder, Setup { policy, manifests, ..setup(&["idp"]) });
    let mut spawned = record(1, at(0), "scribe", 0.0);
    spawned.beside.parent_agent_id = Some("writer".to_owned());
    handle(&revoker, &spawned);
    // Who says so without proof is nobody's child.
    let mut forged = crate::testing::unattested(record(2, at(0), "bystander", 0.0));
    forged.beside.parent_agent_id = Some("writer".to_owned());
    handle(&revoker, &forged);
    revoker
}

fn standings(revoker: &Revoker) -> [&'static str; 5] {
    ["planner", "writer", "scribe", "guard", "bystander"].map(|name| standing(revoker, name))
}

#[tokio::test]
async fn the_plan_says_who_and_why_and_does_nothing_and_the_command_does_it_as_one_story() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), Cascade::None);
    let plan = revoker.plan(agent("planner"), Cascade::Descendants, at(1)).await.unwrap();
    let rows: Vec<_> = plan
        .iter()
        .map(|p| {
            let parent = p.parent.as_ref().map_or("-", |parent| &parent.agent_id);
            let except = p.excepted.as_deref().unwrap_or("ends");
            format!(
                "{} {parent} {} {except} {}",
                p.agent.agent_id,
                p.known_by.unwrap_or("-"),
                p.targets.join(",")
            )
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    planner - - ends idp
    writer planner manifest ends idp
    guard planner manifest the agent is protected idp
    scribe writer calls ends idp
    ");
    assert_eq!(standings(&revoker), ["trusted"; 5]);

    let done = revoker.revoke_with(
        agent("planner"),
        Cascade::Children,
        "ann".to_owned(),
        "because".to_owned(),
        at(2),
    );
    assert_eq!(done.await.unwrap().len(), 3);
    assert_eq!(standings(&revoker), ["revoked", "revoked", "trusted", "trusted", "trusted"]);
    let db = crate::testing::raw(folder.path());
    let stories: i64 = db.query_row("SELECT count(DISTINCT txn) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(stories, 1);
}

#[test]
fn by_policy_the_line_ends_with_its_head_and_without_it_is_named() {
    for (cascade, wanted) in [
        (Cascade::Descendants, ["revoked", "revoked", "revoked", "trusted", "trusted"]),
        (Cascade::Children, ["revoked", "revoked", "trusted", "trusted", "trusted"]),
        (Cascade::None, ["revoked", "trusted", "trusted", "trusted", "trusted"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let revoker = with(folder.path(), cascade);
        handle(&revoker, &damning(3, at(10), "planner"));
        assert_eq!(standings(&revoker), wanted, "{cascade:?}");
        let db = crate::testing::raw(folder.path());
        let body: Vec<u8> = db
            .query_row("SELECT body FROM events WHERE agent_id = 'planner' LIMIT 1", [], |row| row.get(0))
            .unwrap();
        assert!(String::from_utf8_lossy(&body).contains("it spawned guard, writer"));
    }
}

#[test]
fn a_cascade_stays_under_the_governors_caps() {
    let folder = tempfile::tempdir().unwrap();
    let child = |n: u32| Manifest {
        agent_id: format!("child-{n}"),
        parent: Some("planner".to_owned()),
        ..Manifest::default()
    };
    let manifests: Vec<_> = (0..20).map(child).collect();
    let config = PolicyConfig { cascade: Cascade::Children, ..PolicyConfig::default() };
    let setup = Setup { policy: Policy::new(Budgets::default(), config), manifests, ..setup(&["idp"]) };
    let revoker = crate::testing::open_as(folder.path(), setup);
    handle(&revoker, &damning(3, at(10), "planner"));
    let ended = (0..20).filter(|n| standing(&revoker, &format!("child-{n}")) == "revoked").count();
    // Five a day are all that a fleet so small may lose, its parent among them.
    assert_eq!(ended, 4);
}
