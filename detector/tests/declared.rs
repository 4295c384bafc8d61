//! What a manifest declares, as rules: from the first call, never within what is allowed, and never for what a log does not say.

use std::num::NonZeroU32;
use std::time::Duration;

use detector::Attestation::{Key, Platform, Token};
use detector::RuleKind::{ForbiddenEndpoint, ParentExceeded};
use detector::{
    ArgRange, Attestation, BrokenRule, Call, Detector, DetectorConfig, EffectiveAttestation, Kind, Manifest,
    Network, RuleKind, Span, Timestamp, Verdict,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A Monday, 08:00 in UTC.
fn start() -> Timestamp {
    Timestamp::from_millis(1_774_252_800_000)
}

fn declared() -> Manifest {
    Manifest { agent_id: "agent".into(), ..Manifest::default() }
}

fn call(ts: Timestamp, endpoint: &str) -> Call<'_> {
    Call::new("event", ts, "agent", endpoint)
}

fn detector(manifests: &[Manifest]) -> Detector {
    Detector::new(DetectorConfig::default(), manifests)
}

fn rule(detector: &mut Detector, call: &Call<'_>) -> Option<BrokenRule> {
    detector.observe(call).and_then(|verdict| verdict.rule)
}

/// What the first call of an agent with this manifest breaks, in words.
fn said(manifest: &Manifest, call: &Call<'_>) -> Option<String> {
    rule(&mut detector(std::slice::from_ref(manifest)), call).map(|rule| rule.to_string())
}

#[test]
fn an_endpoint_is_held_to_both_lists() {
    let manifest = Manifest {
        endpoints: vec!["get_order".into()],
        forbidden_endpoints: vec!["delete_order".into()],
        ..declared()
    };
    let said = |endpoint| said(&manifest, &call(start(), endpoint));
    assert_eq!(said("get_order"), None);
    assert_eq!(said("Get_order").as_deref(), Some("an endpoint that the manifest does not declare"));
    assert_eq!(said("delete_order").as_deref(), Some("an endpoint that the manifest forbids"));
    let forbids = Manifest { endpoints: vec![], ..manifest.clone() };
    assert_eq!(self::said(&forbids, &call(start(), "anything")), None);
}

#[test]
fn an_address_outside_the_networks_breaks_them_and_none_does_not() {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let manifest = Manifest { networks, ..declared() };
    let said = |ip: Option<&str>| {
        let mut call = call(start(), "e");
        call.source_ip = ip.map(|ip| ip.parse().unwrap());
        said(&manifest, &call)
    };
    for inside in [None, Some("10.255.0.1"), Some("::ffff:10.0.0.1"), Some("2001:db8::1")] {
        assert_eq!(said(inside), None, "{inside:?}");
    }
    for outside in ["11.0.0.0", "2001:db9::1", "::1"] {
        assert_eq!(said(Some(outside)).as_deref(), Some("from a network that the manifest does not declare"));
    }
}

#[test]
fn a_scope_too_many_breaks_the_manifest_and_no_scope_does_not() {
    let manifest = Manifest { scopes: vec!["orders:read".into(), "mail".into()], ..declared() };
    let said = |scope: Option<&'static str>| {
        let mut call = call(start(), "e");
        call.scope = scope.map(Into::into);
        said(&manifest, &call)
    };
    for within in [None, Some(""), Some("mail"), Some("mail orders:read"), Some("mail,orders:read")] {
        assert_eq!(said(within), None, "{within:?}");
    }
    let wider = said(Some("mail orders:write admin"));
    assert_eq!(wider.as_deref(), Some("a token with 2 scopes that the manifest does not declare"));
}

#[test]
fn what_proves_nothing_is_worth_nothing() {
    let manifest = Manifest { attestation_min: Some(Attestation::Token), ..declared() };
    let said = |claimed, ceiling| {
        let mut call = call(start(), "e");
        (call.claimed, call.attestation) = (claimed, EffectiveAttestation::new(claimed, ceiling));
        said(&manifest, &call)
    };
    assert_eq!([said(Token, Token), said(Platform, Key)], [None, None]);
    // A claim alone is never enough: its source may attest no more than a network.
    let weak = said(Platform, Attestation::Network);
    assert_eq!(weak.as_deref(), Some("an identity attested by `network`; the manifest demands `token`"));
    assert!(said(Attestation::None, Platform).is_some());
}

#[test]
fn an_argument_stays_within_its_range_and_one_that_nobody_declared_or_logged_is_free() {
    let range = ArgRange { min: Some(1.0), max: Some(1_000.0) };
    let manifest = Manifest { args: [("amount".to_owned(), range)].into(), ..declared() };
    let said = |args: &[(&'static str, f64)]| {
        let mut call = call(start(), "pay");
        call.args = args.iter().map(|(name, value)| ((*name).into(), *value)).collect();
        said(&manifest, &call)
    };
    for within in [&[][..], &[("amount", 1.0)], &[("amount", 1_000.0)], &[("rows", 1e9), ("amount", 20.0)]] {
        assert_eq!(said(within), None, "{within:?}");
    }
    let much = said(&[("rows", 3.0), ("amount", 9_000.0)]);
    assert_eq!(much.as_deref(), Some("an argument of 9000; the manifest allows no more than 1000"));
    let little = said(&[("amount", 0.5)]);
    assert_eq!(little.as_deref(), Some("an argument of 0; the manifest allows no less than 1"));
}

#[test]
fn a_token_may_live_as_long_as_declared_and_no_second_longer() {
    let manifest = Manifest { token_lifetime_max_s: NonZeroU32::new(3_600), ..declared() };
    let said = |issued: Option<Duration>, valid: Option<Duration>| {
        let mut call = call(start(), "e");
        call.credential.issued_at = issued.map(|age| start() - age);
        call.credential.expires_at = valid.map(|valid| start() - issued.unwrap_or_default() + valid);
        said(&manifest, &call)
    };
    let (second, day) = (Duration::from_secs(1), 24 * HOUR);
    for within in [(None, None), (None, Some(day)), (Some(HOUR), None), (Some(MINUTE), Some(HOUR))] {
        assert_eq!(said(within.0, within.1), None, "{within:?}");
    }
    let long = said(Some(MINUTE), Some(day));
    assert_eq!(long.as_deref(), Some("a token that lives for 24 h; the manifest allows 60 minutes"));
    for beyond in
        [(Some(HOUR + second), None), (Some(HOUR + second), Some(HOUR)), (Some(MINUTE), Some(HOUR + second))]
    {
        assert!(said(beyond.0, beyond.1).is_some(), "{beyond:?}");
    }
}

#[test]
fn hours_go_by_the_clock_of_the_manifest() {
    let manifest = Manifest {
        hours: vec!["mon-fri 07:00-19:00".parse().unwrap()],
        time_zone: Some("America/New_York".parse().unwrap()),
        ..declared()
    };
    let said = |at: &str| said(&manifest, &call(at.parse().unwrap(), "e"));
    assert_eq!([said("2026-03-23T11:00:00Z"), said("2026-03-23T22:59:59.999999Z")], [None, None]);
    let early = said("2026-03-23T10:59:59Z");
    assert_eq!(early.as_deref(), Some("at mon 06:59 by the manifest's clock, outside its hours"));
    // In winter the same hour begins an hour later in UTC.
    assert_eq!(
        [said("2026-03-02T11:30:00Z").is_some(), said("2026-03-02T12:00:00Z").is_some()],
        [true, false]
    );
    assert!(said("2026-03-28T15:00:00Z").is_some(), "a Saturday");
}

#[test]
fn an_end_is_an_end_from_the_first_moment_after() {
    let ends = [
        (Manifest { expires: Some(start()), ..declared() }, "a call 1 s after the agent's manifest expired"),
        (Manifest { retired_at: Some(start()), ..declared() }, "a call 1 s after the agent was retired"),
    ];
    for (manifest, wanted) in ends {
        assert_eq!(said(&manifest, &call(start(), "e")), None);
        assert_eq!(said(&manifest, &call(start() + Duration::from_secs(1), "e")).as_deref(), Some(wanted));
    }
}

#[test]
fn an_agent_of_one_task_ends_with_it_until_a_person_lets_it_go_on() {
    let mut bound = detector(&[Manifest { ends_with_task: true, ..declared() }]);
    let mut free = detector(&[declared()]);
    let at = |minute: u32| call(start() + minute * MINUTE, "e");
    let record = |minute, kind| Call { kind, ..at(minute) };
    for detector in [&mut bound, &mut free] {
        assert_eq!(rule(detector, &at(0)), None);
        assert_eq!(detector.observe(&record(10, Kind::TaskEnd)), None);
        assert_eq!(detector.observe(&record(10_000, Kind::TaskEnd)), None);
        assert_eq!(rule(detector, &at(9)), None, "made before, told later");
    }
    assert_eq!(rule(&mut free, &at(11)), None);
    let broken = rule(&mut bound, &at(11)).unwrap();
    assert_eq!(broken.to_string(), "a call 60 s after the agent's only task ended");
    let mut released = bound.clone();
    released.reconfigure(DetectorConfig::default(), &[declared()]);
    assert_eq!(rule(&mut released, &at(12)), None, "no longer declared");
    bound.observe(&record(12, Kind::Feedback));
    assert_eq!(rule(&mut bound, &at(13)), None);
}

#[test]
fn a_child_has_no_more_than_those_above_it_declared_or_claimed() {
    let manifest = |agent: &str, parent: Option<&str>, scopes: &[&str], forbidden: &[&str]| Manifest {
        agent_id: agent.into(),
        parent: parent.map(Into::into),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        forbidden_endpoints: forbidden.iter().map(ToString::to_string).collect(),
        ..Manifest::default()
    };
    let mut detector = detector(&[
        manifest("root", None, &["read", "write"], &["drop_table"]),
        manifest("middle", Some("root"), &["read", "write", "admin"], &[]),
        manifest("leaf", Some("middle"), &[], &[]),
    ]);
    let mut broken = |agent: &'static str, parent: Option<&'static str>, scope: &'static str, endpoint| {
        let mut call = Call::new("event", start(), agent, endpoint);
        call.identity.parent_agent_id = parent.map(Into::into);
        call.scope = Some(scope.into());
        rule(&mut detector, &call).map(|rule| rule.kind)
    };
    assert_eq!(broken("leaf", None, "read write", "e"), None);
    // Its parent declares `admin`, which that one's own parent has not.
    assert_eq!(broken("leaf", None, "admin", "e"), Some(ParentExceeded));
    assert_eq!(broken("middle", None, "admin", "e"), Some(ParentExceeded));
    assert_eq!(broken("leaf", None, "read", "drop_table"), Some(ForbiddenEndpoint));
    // One that nobody declared is held to the parent that its log names,
    assert_eq!(broken("worker-7", None, "admin", "drop_table"), None);
    assert_eq!(broken("worker-7", Some("nobody"), "admin", "drop_table"), None);
    assert_eq!(broken("worker-7", Some("root"), "admin", "e"), Some(ParentExceeded));
    assert_eq!(broken("worker-7", Some("leaf"), "read", "drop_table"), Some(ForbiddenEndpoint));
    // and a declared parent cannot be talked away.
    assert_eq!(broken("leaf", Some("nobody"), "admin", "e"), Some(ParentExceeded));
}

#[test]
fn parents_in_a_circle_are_held_to_all_of_it() {
    let manifest = |agent: &str, parent: &str, scope: &str| Manifest {
        agent_id: agent.into(),
        parent: Some(parent.into()),
        scopes: vec!["read".into(), scope.into()],
        ..Manifest::default()
    };
    let mut detector = detector(&[manifest("a", "b", "x"), manifest("b", "a", "y")]);
    let mut call = Call::new("event", start(), "a", "e");
    call.scope = Some("read".into());
    assert_eq!(rule(&mut detector, &call), None);
    call.scope = Some("x".into());
    assert_eq!(rule(&mut detector, &call).unwrap().kind, RuleKind::ParentExceeded);
}

#[test]
fn what_a_person_let_go_on_hides_nothing_new() {
    let manifest = Manifest {
        hours: vec!["09:00-10:00".parse().unwrap()],
        forbidden_endpoints: vec!["drop".into()],
        ..declared()
    };
    let mut detector = detector(&[manifest]);
    let mut told = |minute: u32, endpoint| {
        let rule = rule(&mut detector, &call(start() + minute * MINUTE, endpoint))?;
        Some((rule.kind, rule.since.since(start()).as_secs() / 60))
    };
    // The breach of hours began first and lasts for an hour; that of the endpoint is newer, and a minute later another one.
    assert_eq!(told(0, "e"), Some((RuleKind::OutsideHours, 0)));
    assert_eq!(told(30, "drop"), Some((RuleKind::ForbiddenEndpoint, 30)));
    assert_eq!(told(31, "drop"), Some((RuleKind::ForbiddenEndpoint, 31)));
    assert_eq!(told(59, "e"), Some((RuleKind::OutsideHours, 0)));
    assert_eq!(told(60, "e"), None);
    assert_eq!(told(120, "e"), Some((RuleKind::OutsideHours, 120)));
}

#[test]
fn of_several_at_once_the_one_that_the_operator_asks_most_for_is_named() {
    let manifest =
        Manifest { endpoints: vec!["e".into()], networks: vec!["10.0.0.0/8".parse().unwrap()], ..declared() };
    let mut call = call(start(), "other");
    call.source_ip = Some("11.0.0.1".parse().unwrap());
    let kind = |rule_ranks| {
        let config = DetectorConfig { rule_ranks, ..DetectorConfig::default() };
        rule(&mut Detector::new(config, std::slice::from_ref(&manifest)), &call).unwrap().kind
    };
    let ranks = DetectorConfig::default().rule_ranks;
    assert_eq!(kind(ranks), RuleKind::UndeclaredNetwork);
    let mut stronger = ranks;
    stronger[RuleKind::UndeclaredEndpoint as usize] = 1;
    assert_eq!(kind(stronger), RuleKind::UndeclaredEndpoint);
}

#[test]
fn a_persons_approval_does_not_begin_a_breach_of_what_is_declared_anew() {
    let mut detector = detector(&[Manifest { expires: Some(start() - HOUR), ..declared() }]);
    let first = rule(&mut detector, &call(start(), "e")).unwrap();
    detector.observe(&Call { kind: Kind::Feedback, ..call(start() + MINUTE, "e") });
    assert_eq!(rule(&mut detector, &call(start() + 2 * MINUTE, "e")).unwrap().since, first.since);
}

fn everything() -> Manifest {
    Manifest {
        endpoints: vec!["a".into(), "b".into()],
        forbidden_endpoints: vec!["c".into()],
        scopes: vec!["read".into()],
        hours: Span::new(0x7f, 7 * 60, 20 * 60).into_iter().collect(),
        networks: Network::around([10, 0, 0, 0].into(), 8, 32).into_iter().collect(),
        token_lifetime_max_s: NonZeroU32::new(3_600),
        expires: Some(start() + 20 * HOUR),
        ends_with_task: true,
        ..declared()
    }
}

/// Gap in seconds, endpoint, last byte of the address' first number, scope, age of the token in minutes; an end of task.
type Act = (u64, usize, u8, bool, u64, bool);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let endpoint = prop_oneof![8 => 0..2_usize, 1 => 2..4_usize];
    let network = prop_oneof![8 => Just(10_u8), 1 => Just(11)];
    let task_ends = prop::bool::weighted(0.02);
    let act = (0..4_000_u64, endpoint, network, prop::bool::weighted(0.1), 0..70_u64, task_ends);
    prop::collection::vec(act, 1..120)
}

fn verdicts(detector: &mut Detector, acts: &[Act], ts: &mut Timestamp) -> Vec<Verdict> {
    let mut step = |&(gap, endpoint, network, wide, age, ends): &Act| {
        *ts = *ts + Duration::from_secs(gap);
        let mut call = call(*ts, ["a", "b", "c", "d"][endpoint]);
        call.source_ip = Some([network, 0, 0, 1].into());
        call.scope = Some(if wide { "read write" } else { "read" }.into());
        call.credential.issued_at = Some(*ts - age as u32 * MINUTE);
        if ends {
            call.kind = Kind::TaskEnd;
        }
        detector.observe(&call)
    };
    acts.iter().filter_map(&mut step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_rule_is_broken_exactly_by_what_is_not_declared(acts in acts()) {
        let mut ts = start();
        let mut task_ended = false;
        let verdicts = verdicts(&mut detector(&[everything()]), &acts, &mut ts);
        let mut verdicts = verdicts.iter();
        let mut at = start();
        // An end of task counts from the agent's first call on: before that there is nobody to end.
        let mut seen = false;
        for &(gap, endpoint, network, wide, age, ends) in &acts {
            let before = at;
            at = at + Duration::from_secs(gap);
            if ends {
                task_ended |= seen;
                continue;
            }
            seen = true;
            let hour = at.hour_of_day();
            let over = task_ended && at > before;
            let outside = endpoint > 1 || network != 10 || wide || age > 60 || !(7..20).contains(&hour)
                || at > start() + 20 * HOUR;
            let rule = verdicts.next().unwrap().rule;
            prop_assert!(rule.is_some() || !(outside || over), "{:?}", at);
            prop_assert!(rule.is_none() || outside || task_ended, "{:?}", rule);
        }
    }

    #[test]
    fn a_snapshot_in_the_middle_changes_nothing(acts in acts(), cut in 0.0..1.0_f64) {
        let (manifests, cut) = ([everything()], (acts.len() as f64 * cut) as usize);
        let wanted = verdicts(&mut detector(&manifests), &acts, &mut start());
        let (mut first, mut ts) = (detector(&manifests), start());
        let mut got = verdicts(&mut first, &acts[..cut], &mut ts);
        let snapshot = postcard::to_stdvec(&first).unwrap();
        let mut second: Detector = postcard::from_bytes(&snapshot).unwrap();
        prop_assert!(postcard::to_stdvec(&second).unwrap() == snapshot);
        second.reconfigure(DetectorConfig::default(), &manifests);
        got.extend(verdicts(&mut second, &acts[cut..], &mut ts));
        prop_assert!(got == wanted);
    }

    #[test]
    fn bits_and_parts_are_what_they_would_be_without(acts in acts()) {
        let rules = everything();
        // The list of endpoints is also a prior, so it stands in both.
        let prior = Manifest { endpoints: rules.endpoints.clone(), ..declared() };
        let bound = verdicts(&mut detector(&[rules]), &acts, &mut start());
        let free = verdicts(&mut detector(&[prior]), &acts, &mut start());
        for (bound, free) in bound.into_iter().zip(free) {
            prop_assert_eq!(Verdict { rule: None, ..bound }, Verdict { rule: None, ..free });
        }
    }
}
