//! The page in all its states, as snapshots: what is not in them, nobody has looked at.

use std::time::Duration;

use detector::{
    Actor, ActorKind, Attestation, BrokenRule, EffectiveAttestation, History, Kind, Layers, MicroBits, Part,
    Pattern, RuleKind, Signal, Timestamp, Trust, Verdict, VerdictId, VerdictRecord,
};

use super::{Past, Refused, STYLE, View, notice, render, unknown};
use crate::approval::lockout::Attempts;
use crate::approval::{
    Approval, Arguments, Cause, Choice, Factor, FormToken, GrantState, Needs, Refusal, State,
};
use crate::config::WhileAsked;
use crate::keys::Keys;
use crate::store::register::Accountable;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn asked() -> Timestamp {
    at("2026-11-22T03:02:10.5Z")
}

/// A part of each signal, as if every one told its story.
fn parts() -> [Part; 6] {
    let history = |n, own, peers, prior| History { n, own, peers, prior };
    let part = |signal, pattern, bits, (observed, expected, quiet_at), window_ms, history| Part {
        signal,
        bits: MicroBits::from_bits(bits),
        added: MicroBits::from_bits(bits / 2.0),
        level: MicroBits::from_bits(bits),
        pattern,
        observed,
        expected,
        low: 0.0,
        high: 0.0,
        since: asked() - Duration::from_millis(window_ms),
        window_ms,
        history,
        quiet_at,
    };
    let volume =
        part(Signal::Volume, Pattern::MoreCalls, 9.25, (212.0, 3.8, 31.0), 60_000, history(431, 900, 80, 20));
    [
        Part { low: 2.1, high: 7.25, ..volume },
        part(Signal::Timing, Pattern::MachineGun, 2.0, (0.28, 16.0, 16.0), 58_000, history(310, 950, 0, 50)),
        part(
            Signal::Endpoint,
            Pattern::Foreign,
            6.5,
            (1.0, 0.000_06, 0.03),
            0,
            history(18_204, 640, 300, 60),
        ),
        part(
            Signal::Context,
            Pattern::NewNetwork,
            2.0,
            (0.0, 0.000_8, 0.000_8),
            60_000,
            history(960, 999, 1, 0),
        ),
        part(Signal::Context, Pattern::Denied, 1.5, (14.0, 0.3, 0.3), 60_000, history(2_100, 990, 10, 0)),
        part(Signal::LookElsewhere, Pattern::AsUsual, -9.75, (19.0, 0.0, 19.0), 0, History::default()),
    ]
}

fn record() -> VerdictRecord {
    VerdictRecord {
        event_id: "evt-7c1f".into(),
        kind: Kind::Request,
        agent_id: "arn:aws:sts::123456789012:assumed-role/billing-agent".into(),
        issuer: Some("https://idp.example".into()),
        instance_id: Some("pod/billing-7f9c".into()),
        session_id: Some("s-2210".into()),
        token_id: None,
        delegator: Some("dana@example.com".into()),
        endpoint: "send_money".into(),
        method: Some("CALL".into()),
        resource: Some("accounts/4410".into()),
        args_digest: Some("sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b".into()),
        operation: None,
        beside: detector::Beside::default(),
        route: None,
        line: None,
        misfit: None,
        key_thumbprint: None,
        verdict: Verdict {
            id: VerdictId(0x5a),
            version: 1,
            ts: asked(),
            level: MicroBits::from_bits(11.5),
            added: MicroBits::from_bits(5.75),
            parts: parts().into_iter().collect(),
            families: 2,
            jump: 56.0,
            attestation: EffectiveAttestation::new(Attestation::Token, Attestation::Token),
            model: 0,
            rule: None,
            cohort: None,
            layers: Layers { identity: Trust::Agrees, behaviour: Trust::Doubts, ..Layers::default() },
            actor: Actor { is: ActorKind::Unclear, because: [Pattern::MachineGun].into_iter().collect() },
        },
    }
}

pub(in crate::approval) fn approval(state: State) -> Approval {
    Approval {
        id: "apr_000102030405060708090a0b0c0d0e0f".parse().unwrap(),
        page: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff".parse().unwrap(),
        case: "0000000000000000000000000000ca5e".into(),
        alert_id: "0000000000000000000000000000a1e7".into(),
        cause: Cause::Evidence(Box::new(record())),
        arguments: None,
        needs: Needs::default(),
        people: Accountable::default(),
        first: None,
        binding_code: "4711".parse().unwrap(),
        policy: "3f2a9c01d4e5".into(),
        opened_at: asked(),
        expires_at: asked() + Duration::from_mins(15),
        state,
        attempts: Attempts::default(),
        grant: None,
    }
}

fn record_of(approval: &mut Approval) -> &mut VerdictRecord {
    match &mut approval.cause {
        Cause::Evidence(record) => record,
        Cause::Asked(_) => panic!("nothing but asked"),
    }
}

/// The page's HTML, one element a line and without the stylesheet, at this time.
fn shown(approval: &Approval, refused: Option<Refusal>, now: &str) -> String {
    shown_where(approval, refused, now, true)
}

/// The same, where passkeys can be used or not.
fn shown_where(approval: &Approval, refused: Option<Refusal>, now: &str, may_passkey: bool) -> String {
    let keys = Keys::from_secret(&[7; 32]).unwrap();
    let token = FormToken::new(&keys, approval.page.as_str(), &"0".repeat(32), approval.level());
    let view = View {
        approval,
        past: Past { approved: 2, expired: 1, ..Past::default() },
        peak: approval.level(),
        grant: Duration::from_mins(5),
        token: &token,
        edges: [2.8, 6.5, 11.8].map(MicroBits::from_bits),
        risks: vec![crate::policy::risk::Risk::Outbound],
        while_asked: WhileAsked::Gate,
        spawned: None,
        cascades: false,
        may_passkey,
        refused: refused.map(|why| Refused { why, choice: Choice::Approve, name: "alice" }),
        now: at(now),
    };
    lines(&render(&view).into_string())
}

fn lines(html: &str) -> String {
    html.replace(STYLE, "…").replace(super::SCRIPT, "…").replace("><", ">\n<")
}

fn answered(choice: Choice) -> State {
    State::Answered { choice, by: "alice".into(), at: at("2026-11-22T03:05:44Z"), with: Factor::Totp }
}

#[test]
fn an_open_question() {
    insta::assert_snapshot!(shown(&approval(State::Pending), None, "2026-11-22T03:04:00Z"));
}

/// The numbers of one part.
fn numbers(part: Part) -> String {
    let mut approval = approval(State::Pending);
    record_of(&mut approval).verdict.parts = std::iter::once(part).collect();
    let html = shown(&approval, None, "2026-11-22T03:04:00Z");
    let numbers = html.lines().skip_while(|l| !l.contains("<dl class=\"numbers\">"));
    numbers.take_while(|l| !l.contains("</ol>")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_pattern_of_volume_has_edges_of_its_own() {
    let [volume, ..] = parts();
    let hour = Part { window_ms: 3_600_000, since: at("2026-11-22T01:40:00Z"), ..volume };
    let fewer = Part {
        pattern: Pattern::FewerCalls,
        observed: 0.0,
        expected: 41.0,
        low: 30.5,
        high: 55.0,
        quiet_at: 12.0,
        ..hour
    };
    let ramp = Part {
        pattern: Pattern::Ramp,
        observed: 3_900.0,
        expected: 1_200.0,
        low: 0.0,
        high: 1_560.0,
        window_ms: 86_400_000,
        ..hour
    };
    insta::assert_snapshot!(format!("{}\n--\n{}", numbers(fewer), numbers(ramp)));
}

#[test]
fn what_is_counted_in_sessions_is_no_share_of_calls() {
    let endpoint = parts()[2];
    let unfitting =
        Part { pattern: Pattern::Unfitting, observed: 0.0, expected: 0.684, high: 498.0, ..endpoint };
    assert_eq!(numbers(Part { high: 0.0, ..unfitting }), "");
    let drift = Part { pattern: Pattern::OrderDrift, observed: 31.0, high: 1_200.4, ..endpoint };
    for (part, shown) in [
        (unfitting, ["<dd>0 of 498</dd>", "<dd>0.684</dd>"]),
        (drift, ["<dd>31 sessions</dd>", "<dd>once in 1200 sessions</dd>"]),
    ] {
        let html = numbers(part);
        assert!(shown.iter().all(|text| html.contains(text)) && !html.contains("of its calls"), "{html}");
    }
}

#[test]
fn the_number_is_never_on_the_page() {
    let states = [State::Pending, State::Expired, answered(Choice::Approve), answered(Choice::Deny)];
    for state in states {
        let html = shown(&approval(state), None, "2026-11-22T03:04:00Z");
        assert!(!html.contains("4711"));
        assert!(!html.contains("apr_"), "nor is the agent's name for the question");
    }
}

#[test]
fn outcomes() {
    let mut approved = approval(answered(Choice::Approve));
    approved.grant = Some(GrantState { expires_at: at("2026-11-22T03:10:44Z"), epoch: 0, used: None });
    let mut resumed = approved.clone();
    let used = Some(("r-1".parse().unwrap(), at("2026-11-22T03:06:01Z")));
    resumed.grant = Some(GrantState { expires_at: at("2026-11-22T03:10:44Z"), epoch: 0, used });
    let pages = [
        ("approved", approved, "2026-11-22T03:06:00Z"),
        ("resumed", resumed, "2026-11-22T03:20:00Z"),
        ("denied", approval(answered(Choice::Deny)), "2026-11-22T03:06:00Z"),
        ("attack", approval(answered(Choice::Attack)), "2026-11-22T03:06:00Z"),
        ("expired", approval(State::Expired), "2026-11-22T04:00:00Z"),
        (
            "superseded",
            approval(State::Superseded { at: at("2026-11-22T03:05:00Z") }),
            "2026-11-22T03:06:00Z",
        ),
    ];
    let first_and_form = pages.map(|(name, approval, now)| {
        let html = shown(&approval, None, now);
        let card: Vec<&str> = html.lines().skip_while(|l| !l.contains("card state")).take(12).collect();
        let buttons: Vec<&str> = html.lines().filter(|l| l.contains("name=\"choice\"")).collect();
        format!("== {name}\n{}\n-- {}", card.join("\n"), buttons.join(" "))
    });
    insta::assert_snapshot!(first_and_form.join("\n"));
}

#[test]
fn every_refusal_says_what_to_do() {
    let next = at("2026-11-22T03:04:30Z");
    let refusals = [
        Refusal::Locked { until: at("2026-11-22T03:19:00Z") },
        Refusal::WrongNumber { left: 9 },
        Refusal::WrongNumber { left: 1 },
        Refusal::WrongCode,
        Refusal::Spent { next },
        Refusal::OwnRequest,
        Refusal::NotNamed,
        Refusal::SameApprover,
        Refusal::StrongerFactor,
        Refusal::EvidenceGrew,
        Refusal::Over,
        Refusal::Stale,
    ];
    let said = refusals.map(|why| {
        let html = shown(&approval(State::Pending), Some(why), "2026-11-22T03:04:12Z");
        assert!(html.contains("<title>Not accepted: "));
        let alert: Vec<&str> =
            html.lines().skip_while(|l| !l.contains("role=\"alert\"")).skip(1).take(5).collect();
        alert.join("\n").split("</div>").next().unwrap_or_default().to_owned()
    });
    insta::assert_snapshot!(said.join("\n--\n"));
}

#[test]
fn who_has_codes_alone_is_told_what_is_missing_and_how_to_get_it() {
    let mut grave = approval(State::Pending);
    grave.needs.factor = Factor::Passkey;
    for (may_passkey, said) in [(true, "tocsin approver add"), (false, "http.public_url")] {
        let html = shown_where(&grave, None, "2026-11-22T03:04:00Z", may_passkey);
        assert!(html.contains(said), "{html}");
        assert!(html.contains("A yes to this takes a passkey.") && html.contains(said), "{html}");
        assert!(!html.contains("value=\"approve\"") && html.contains("value=\"deny\""), "{html}");
    }
}

#[test]
fn a_locked_question_shows_no_form() {
    let mut locked = approval(State::Pending);
    locked.attempts = Attempts { failures: 10, locked_until: Some(at("2026-11-22T03:09:00Z")) };
    let html = shown(&locked, None, "2026-11-22T03:04:00Z");
    assert!(!html.contains("<form"));
    assert!(html.contains("Too many wrong answers."));
    assert!(shown(&locked, None, "2026-11-22T03:09:00Z").contains("<form"));
}

#[test]
fn a_late_look_at_an_open_question_finds_it_lapsed() {
    let html = shown(&approval(State::Pending), None, "2026-11-22T03:17:10.5Z");
    assert!(html.contains("This question has lapsed"));
    assert!(!html.contains("value=\"approve\""));
}

#[test]
fn a_broken_rule_comes_before_the_evidence() {
    let mut looping = approval(State::Pending);
    let kind = RuleKind::RepeatedCall;
    let rule =
        BrokenRule { kind, observed: 301, limit: 300, window_ms: 60_000, since: at("2026-11-22T03:01:40Z") };
    record_of(&mut looping).verdict.rule = Some(rule);
    let html = shown(&looping, None, "2026-11-22T03:04:00Z");
    let why: Vec<_> = html.lines().skip_while(|l| !l.contains("id=\"why\"")).take(8).collect();
    insta::assert_snapshot!(why.join("\n"));
    // Each part keeps its own sentence beside its numbers.
    let evidence = |html: &str| {
        html.lines().skip_while(|l| !l.contains("class=\"parts\"")).collect::<Vec<_>>().join("\n")
    };
    record_of(&mut looping).verdict.rule = None;
    assert_eq!(evidence(&html), evidence(&shown(&looping, None, "2026-11-22T03:04:00Z")));
}

#[test]
fn weak_identities_missing_arguments_and_grown_evidence_stand_out() {
    let mut weak = approval(State::Pending);
    record_of(&mut weak).verdict.attestation = EffectiveAttestation::default();
    record_of(&mut weak).args_digest = None;
    let html = shown(&weak, None, "2026-11-22T03:04:00Z");
    assert!(html.contains(r#"<dd class="warn">Not proven: a name somebody wrote down</dd>"#));
    assert!(
        html.contains(
            r#"<dd class="warn">Not in the request. A yes covers this call with any arguments.</dd>"#
        )
    );
}

#[test]
fn arguments_are_read_whole_or_said_to_be_cut() {
    let mut paid = approval(State::Pending);
    let page = |question: &Approval| shown(question, None, "2026-11-22T03:04:00Z");
    let long = format!("amount=9&memo={}", "x".repeat(1_000));
    paid.arguments = Some(Arguments::digested(&long));
    let html = page(&paid);
    assert!(html.contains(&long.replace('&', "&amp;")) && !html.contains("Cut here"), "{html}");
    paid.arguments = Some(Arguments::digested(&long.repeat(5)));
    let html = page(&paid);
    assert!(html.contains("Cut here: 974 bytes more, which a yes covers too."), "{html}");
    // Two columns, filled in turn: a name with two values would shift all that follows.
    assert_eq!(html.matches("<dt").count(), html.matches("<dd").count());
}

#[test]
fn foreign_text_is_shown_and_never_obeyed() {
    let nasty = "<script>alert(1)</script>\"'&\u{202e}";
    let mut hostile = approval(answered(Choice::Deny));
    hostile.state =
        State::Answered { choice: Choice::Deny, by: nasty.into(), at: asked(), with: Factor::Totp };
    let r = record_of(&mut hostile);
    for field in [
        &mut r.issuer,
        &mut r.instance_id,
        &mut r.session_id,
        &mut r.delegator,
        &mut r.method,
        &mut r.resource,
        &mut r.args_digest,
    ] {
        *field = Some(nasty.into());
    }
    r.agent_id = nasty.into();
    r.endpoint = nasty.into();
    r.event_id = nasty.into();
    hostile.alert_id = nasty.into();
    hostile.arguments = Some(Arguments::digested(nasty));
    for state in [hostile.state.clone(), State::Pending] {
        hostile.state = state;
        let html = shown(&hostile, Some(Refusal::WrongCode), "2026-11-22T03:04:00Z");
        assert_eq!(html.matches("<script").count(), 1, "the page's own");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!html.contains('\u{202e}'));
        assert!(html.contains("\\u{202e}"));
    }
}

#[test]
fn pages_without_a_question() {
    insta::assert_snapshot!(lines(&unknown().into_string()));
    assert!(lines(&notice("<b>", "&").into_string()).contains("<h1>&lt;b&gt;</h1>"));
}

#[test]
fn the_policy_lets_the_page_load_nothing() {
    assert!(super::CONTENT_SECURITY_POLICY.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}
