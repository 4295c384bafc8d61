use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use detector::{Attestation, Manifest, Timestamp, Zone};
use ingest::store::{AgentSeen, EndpointUse, Usage};
use revoker::agent::AgentKey;
use revoker::standing::{Acting, Retirement, Standing};
use revoker::store::register::{Accountable, Registration, Signature};
use revoker::store::revocations::Lifted;

use super::draft::Draft;
use super::drift::drift;
use super::finding::FindingKind;
use super::{Register, Sources, edition};
use crate::config::Config;

const ISSUER: &str = "https://idp.example";

fn at(hours: i64) -> Timestamp {
    // From a Monday, 00:00.
    Timestamp::from_millis(1_772_409_600_000 + hours * 3_600_000)
}

fn key(agent_id: &str) -> AgentKey {
    AgentKey::new(Some(ISSUER), agent_id)
}

/// An agent that called with nothing to find fault with.
fn seen(agent_id: &str) -> AgentSeen {
    AgentSeen {
        agent_id: agent_id.to_owned(),
        issuer: Some(ISSUER.to_owned()),
        calls: 100,
        first_seen: at(0),
        last_seen: at(10),
        tokens: 3,
        sessions: 2,
        token_lifetime_max_s: Some(3_600),
        last_token_iat: Some(at(9)),
        last_token_used: at(10),
        credential_kinds: vec!["federated".to_owned()],
        scopes: vec!["read".to_owned()],
        parents: Vec::new(),
        attestations: vec!["token".to_owned()],
    }
}

/// A manifest with nothing to find fault with.
fn declared(agent_id: &str) -> Manifest {
    Manifest {
        agent_id: agent_id.to_owned(),
        version: Some(2),
        owner: Some("payments".to_owned()),
        approvers: vec!["Dana".to_owned()],
        scopes: vec!["read".to_owned()],
        reviewed_at: Some(at(0)),
        ..Manifest::default()
    }
}

fn sources(manifests: &[Manifest], seen: Vec<AgentSeen>) -> Sources<'_> {
    Sources { manifests, seen, enrolled: vec!["dana".to_owned()], now: at(24), ..Sources::default() }
}

fn found(sources: Sources<'_>, agent: &str) -> Vec<(FindingKind, String)> {
    found_of(Standing::Trusted, sources, agent)
}

fn found_of(standing: Standing, sources: Sources<'_>, agent: &str) -> Vec<(FindingKind, String)> {
    let row = Register::new(sources, |_| standing).of(&key(agent)).unwrap();
    row.findings.into_iter().map(|finding| (finding.kind, finding.said)).collect()
}

fn kinds(sources: Sources<'_>, agent: &str) -> Vec<FindingKind> {
    found(sources, agent).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn an_agent_in_order_has_no_findings() {
    let manifests = [declared("a")];
    assert_eq!(found(sources(&manifests, vec![seen("a")]), "a"), []);
    let register = Register::new(sources(&manifests, vec![seen("a")]), |_| Standing::Trusted);
    let row = register.of(&key("a")).unwrap();
    assert_eq!(row.manifest, Some(edition(&manifests[0])));
    assert!(row.manifest.as_ref().is_some_and(|edition| edition.starts_with("v2 ")));
    assert_eq!(register.rows().count(), 1, "a manifest of any issuer speaks of the agent that was seen");
}

#[test]
fn what_nobody_declared_is_found_with_all_that_is_missing() {
    let mut stranger = seen("a");
    stranger.scopes = vec!["orders:* read".to_owned(), "mail".to_owned()];
    stranger.credential_kinds = vec!["api_key".to_owned(), "oauth".to_owned()];
    stranger.token_lifetime_max_s = Some(90_000);
    stranger.parents = vec!["ghost\u{7}".to_owned()];
    let said = found(sources(&[], vec![stranger]), "a");
    let lines: Vec<String> = said.iter().map(|(kind, said)| format!("{kind:?}: {said}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    Undeclared: 100 calls since 2026-03-02T00:00:00Z, and nobody has declared or registered it
    Orphan: its parent `ghost\u{7}` is not known
    OverWideToken: tokens with scopes that stand for everything: `orders:*`
    LongLivedToken: a token valid for 90000 s; 86400 s is the limit
    StaticSecret: it calls with `api_key` in place of a federated identity
    NoOwner: nobody is named as accountable for it
    NoApprover: nobody is named who answers for it when it is challenged
    Unreviewed: nobody has ever reviewed it
    ");
}

#[test]
fn the_limit_of_the_manifest_goes_before_ours() {
    let manifest = |s| [Manifest { token_lifetime_max_s: NonZeroU32::new(s), ..declared("a") }];
    assert_eq!(kinds(sources(&manifest(3_599), vec![seen("a")]), "a"), [FindingKind::LongLivedToken]);
    assert_eq!(kinds(sources(&manifest(3_600), vec![seen("a")]), "a"), []);
    let wide = Manifest { scopes: vec!["write".to_owned()], ..declared("a") };
    assert_eq!(kinds(sources(&[wide], vec![seen("a")]), "a"), [FindingKind::OverWideToken]);
}

#[test]
fn an_end_that_is_none_is_found() {
    let expired = |hours| [Manifest { expires: Some(at(hours)), ..declared("a") }];
    assert_eq!(kinds(sources(&expired(9), vec![seen("a")]), "a"), [FindingKind::ExpiredActing]);
    assert_eq!(kinds(sources(&expired(10), vec![seen("a")]), "a"), []);
    let manifests = [declared("a")];
    let retired = |since, calls| {
        let retirement = Retirement { since: at(since), acting: Acting { calls, told: None } };
        let found = found_of(Standing::Retired(retirement), sources(&manifests, vec![seen("a")]), "a");
        found.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
    };
    assert_eq!(retired(9, 0), [FindingKind::RetiredActing]);
    assert_eq!(retired(10, 0), []);
    assert_eq!(retired(10, 1), [FindingKind::RetiredActing]);
    let by_manifest = [Manifest { retired_at: Some(at(9)), ..declared("a") }];
    assert_eq!(kinds(sources(&by_manifest, vec![seen("a")]), "a"), [FindingKind::RetiredActing]);
}

#[test]
fn a_token_from_before_a_revocation_is_found_where_its_agent_goes_on_with_it() {
    let manifests = [declared("a")];
    let with = |not_before, lifted, used| {
        let lifted = Lifted { not_before: at(not_before), at: at(lifted) };
        let seen = AgentSeen { last_token_used: at(used), ..seen("a") };
        kinds(Sources { lifted: [(key("a"), lifted)].into(), ..sources(&manifests, vec![seen]) }, "a")
    };
    assert_eq!(with(10, 11, 12), [FindingKind::RevokedTokenActing]);
    assert_eq!(with(9, 11, 12), [], "a token from after it");
    assert_eq!(with(10, 11, 10), [], "a call from before it was given its access back");
}

#[test]
fn a_review_is_of_one_edition_and_for_a_time() {
    let manifest = Manifest { reviewed_at: None, review_every_days: NonZeroU16::new(1), ..declared("a") };
    let reviewed = |hours, of: Option<String>, now| {
        let entry = Registration {
            agent: key("a"),
            accountable: Accountable::default(),
            registered: None,
            reviewed: Some(Signature { at: at(hours), by: "ann".to_owned() }),
            reviewed_manifest: of,
        };
        let manifests = std::slice::from_ref(&manifest);
        kinds(Sources { entries: vec![entry], now, ..sources(manifests, vec![seen("a")]) }, "a")
    };
    let this = || Some(edition(&manifest));
    assert_eq!(reviewed(0, this(), at(24)), []);
    assert_eq!(reviewed(0, this(), at(25)), [FindingKind::Unreviewed], "due again");
    assert_eq!(reviewed(0, Some("v1 0123456789ab".to_owned()), at(1)), [FindingKind::Unreviewed]);
    assert_eq!(reviewed(0, None, at(1)), [FindingKind::Unreviewed]);
    assert_eq!(
        kinds(sources(std::slice::from_ref(&manifest), vec![seen("a")]), "a"),
        [FindingKind::Unreviewed]
    );
}

#[test]
fn lineage_is_followed_over_what_is_declared_and_what_is_claimed() {
    let child = |of: &str| Manifest { parent: Some(of.to_owned()), ..declared("a") };
    let claims = |agent: &str, parent: &str| AgentSeen { parents: vec![parent.to_owned()], ..seen(agent) };
    assert_eq!(kinds(sources(&[child("b")], vec![seen("a")]), "a"), [FindingKind::Orphan]);
    assert_eq!(kinds(sources(&[child("b"), declared("b")], vec![seen("a")]), "a"), []);
    assert_eq!(kinds(sources(&[child("b")], vec![seen("a"), seen("b")]), "a"), []);
    let manifests = [child("b")];
    let circle = sources(&manifests, vec![seen("a"), claims("b", "c"), claims("c", "a")]);
    assert_eq!(kinds(circle, "a"), [FindingKind::LineageCycle]);
    // One that leads into a circle and is not on it.
    let beside = [child("b"), declared("b"), declared("c")];
    assert_eq!(kinds(sources(&beside, vec![seen("a"), claims("b", "c"), claims("c", "b")]), "a"), []);
}

#[test]
fn the_tree_lists_every_line_once_and_sums_its_calls() {
    let claims = |agent: &str, parents: &[&str]| AgentSeen {
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        ..seen(agent)
    };
    let manifests = [Manifest { parent: Some("planner".to_owned()), ..declared("writer") }];
    let all = || {
        vec![
            seen("planner"),
            claims("writer", &["somebody"]),
            claims("reader", &["writer"]),
            claims("pool", &["writer", "planner"]),
            seen("alone"),
            claims("lost", &["ghost"]),
            claims("x", &["y"]),
            claims("y", &["x"]),
            claims("beside", &["x"]),
        ]
    };
    let tree = |from: Option<&str>| -> Vec<String> {
        let register = Register::new(sources(&manifests, all()), |_| Standing::default());
        let rows = serde_json::to_value(register.tree(from.map(key).as_ref())).unwrap();
        let line = |row: &serde_json::Value| {
            let [agent, parent] = [&row["agent"]["agent_id"], &row["parent"]].map(|name| name.as_str());
            format!(
                "{} {} {} {} {} {}",
                row["depth"],
                agent.unwrap(),
                parent.unwrap_or("-"),
                row["children"],
                row["calls"],
                row["line_calls"]
            )
        };
        rows.as_array().unwrap().iter().map(line).collect()
    };
    assert_eq!(
        tree(None),
        [
            "0 lost ghost 0 100 100",
            "0 planner - 2 100 400",
            "1 pool planner 0 100 100",
            "1 writer planner 1 100 200",
            "2 reader writer 0 100 100",
            "0 x y 2 100 300",
            "1 beside x 0 100 100",
            "1 y x 1 100 100",
        ]
    );
    assert_eq!(tree(Some("writer")), ["0 writer planner 1 100 200", "1 reader writer 0 100 100"]);
}

#[test]
fn who_is_named_must_be_enrolled_and_the_record_counts_where_the_manifest_is_silent() {
    let silent = [Manifest { owner: None, approvers: Vec::new(), ..declared("a") }];
    let with = |approver: &str| {
        let accountable = Accountable {
            owner: Some("sales".to_owned()),
            sponsor: None,
            approvers: vec![approver.to_owned()],
        };
        let signature = Some(Signature { at: at(0), by: "ann".to_owned() });
        let entry = Registration {
            agent: key("a"),
            accountable,
            registered: signature,
            reviewed: None,
            reviewed_manifest: None,
        };
        Sources { entries: vec![entry], ..sources(&silent, vec![seen("a")]) }
    };
    assert_eq!(kinds(with("DANA"), "a"), []);
    let gone = (FindingKind::NoApprover, "of its approvers `Eve` nobody is enrolled".to_owned());
    assert_eq!(found(with("Eve"), "a"), [gone]);
}

/// Three weeks of calls, every hour from 8 to 17 on weekdays.
fn usage() -> Usage {
    let days = (0..21).filter(|day| day % 7 < 5);
    let minutes = days.flat_map(|day| (8..17).map(move |hour| (at(day * 24 + hour).as_millis() / 60_000, 4)));
    let minutes: Vec<(i64, u64)> = minutes.collect();
    let endpoint = |endpoint: &str, calls| EndpointUse {
        agent_id: "a".to_owned(),
        issuer: Some(ISSUER.to_owned()),
        endpoint: endpoint.to_owned(),
        calls,
        tokens: 1,
        sessions: 1,
        last_seen: at(0),
    };
    Usage {
        seen: AgentSeen { calls: 540, first_seen: at(8), last_seen: at(18 * 24 + 16), ..seen("a") },
        endpoints: vec![endpoint("get_order", 500), endpoint("say \"hi\"\n", 40)],
        addresses: vec![([10, 1, 2, 3].into(), 500), ([10, 1, 2, 9].into(), 40)],
        minutes,
    }
}

#[test]
fn a_draft_declares_what_was_seen_and_reads_back_through_the_loader() {
    let said = Accountable { owner: Some("sales".to_owned()), ..Accountable::default() };
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let text = Draft::new(&usage(), Some(&said), None, &berlin).toml().unwrap();
    insta::assert_snapshot!(text);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tocsin.toml");
    let drafts = folder.path().join("drafts");
    std::fs::create_dir(&drafts).unwrap();
    std::fs::write(drafts.join("a.toml"), &text).unwrap();
    std::fs::write(&config, format!("manifests_dir = {drafts:?}\n")).unwrap();
    let [manifest] = &Config::load(Some(&config)).unwrap_or_else(|_| panic!("{text}")).manifests[..] else {
        panic!("one manifest: {text}")
    };
    assert_eq!(manifest.attestation_min, Some(Attestation::Token));
    // Nothing that was seen breaks it.
    let drift = drift(key("a"), manifest, &usage());
    assert_eq!((drift.observed, drift.unused), (Vec::new(), Vec::new()));
}

#[test]
fn a_short_look_drafts_no_hours_and_what_was_declared_is_kept() {
    let mut usage = usage();
    usage.seen.last_seen = at(24);
    let before = Manifest {
        purpose: Some("Sends invoices".to_owned()),
        forbidden_endpoints: vec!["get_order".to_owned()],
        ..declared("a")
    };
    let text = Draft::new(&usage, None, Some(&before), &Zone::utc()).toml().unwrap();
    for said in
        ["# Left out, hours: 0.7 days were seen", "version = 3", "Sends invoices", "owner = \"payments\""]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let endpoints = text.lines().find(|line| line.starts_with("endpoints"));
    assert!(
        endpoints.is_some_and(|line| !line.contains("get_order")),
        "what is forbidden is not allowed: {text}"
    );
}

#[test]
fn drift_goes_both_ways() {
    let manifest = Manifest {
        endpoints: vec!["get_order".to_owned(), "refund".to_owned()],
        scopes: vec!["write".to_owned()],
        hours: vec!["mon-fri 09:00-17:00".parse().unwrap()],
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        calls_per_hour: Some(10.0),
        calls_per_minute_max: NonZeroU32::new(3),
        token_lifetime_max_s: NonZeroU32::new(600),
        attestation_min: Some(Attestation::Key),
        parent: Some("b".to_owned()),
        ..declared("a")
    };
    let mut usage = usage();
    usage.seen.parents = vec!["c".to_owned()];
    let drift = drift(key("a"), &manifest, &usage);
    let told = |list: &[super::drift::Deviation]| {
        list.iter()
            .map(|d| format!("{}: {} {:?}", d.what, d.value.escape_debug(), d.calls))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!("drift_observed", told(&drift.observed));
    insta::assert_snapshot!("drift_unused", told(&drift.unused));
    assert_eq!(drift.rests_on.calls, 540);
    let hours = Duration::from_hours(18 * 24 + 8).as_secs_f64() / 3_600.0;
    assert!((drift.rests_on.calls_per_hour() - 540.0 / hours).abs() < 1e-9);
}
