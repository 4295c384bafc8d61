//! Explanations as they are printed, for a verdict that was flagged and one that was not.

use detector::{
    Actor, ActorKind, Attestation, BrokenRule, Budgets, Call, Cohort, EffectiveAttestation, History, Layers,
    MicroBits, Part, Pattern, RuleKind, Signal, Timestamp, Trust, Verdict, VerdictId, VerdictRecord,
};

use super::{Explanation, quiet, sentence};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn part(signal: Signal, pattern: Pattern, level: f64, observed: f64, expected: f64) -> Part {
    Part {
        signal,
        bits: MicroBits::ZERO,
        added: MicroBits::ZERO,
        level: MicroBits::from_bits(level),
        pattern,
        observed,
        expected,
        low: 0.0,
        high: 0.0,
        since: time("2026-11-22T03:01:12Z"),
        window_ms: 58_000,
        history: History { n: 431, prior: 20, peers: 80, own: 900 },
        quiet_at: observed,
    }
}

fn volume(pattern: Pattern, level: f64, observed: f64) -> Part {
    let part = part(Signal::Volume, pattern, level, observed, 3.8);
    Part { low: 2.1, high: 7.25, window_ms: 300_000, quiet_at: 31.0, ..part }
}

fn explained(parts: &[Part; 3], level: f64) -> Explanation {
    let mut call = Call::new("evt-7c1f", time("2026-11-22T03:02:10.5Z"), "billing\u{1b}[2J", "send_money");
    call.identity.issuer = Some("https://idp.example".into());
    call.identity.delegator = Some("dana@example.com".into());
    let price = part(Signal::LookElsewhere, Pattern::AsUsual, 0.0, 19.0, 1.0);
    let verdict = Verdict {
        id: VerdictId(0x5a),
        version: 1,
        ts: call.ts,
        level: MicroBits::from_bits(level),
        added: MicroBits::from_bits(1.25),
        parts: parts.iter().copied().chain([price]).collect(),
        families: 2,
        jump: 56.0,
        attestation: EffectiveAttestation::new(Attestation::Token, Attestation::Token),
        model: 0,
        rule: None,
        cohort: None,
        layers: Layers { identity: Trust::Agrees, context: Trust::Doubts, ..Layers::default() },
        actor: Actor { is: ActorKind::Unclear, because: [Pattern::NewNetwork].into_iter().collect() },
    };
    Explanation::new(VerdictRecord::new(&call, verdict), Budgets::default())
}

#[test]
fn a_call_that_was_flagged() {
    let endpoint = part(Signal::Endpoint, Pattern::Foreign, 3.5, 1.0, 0.000_06);
    let explained = explained(
        &[
            volume(Pattern::MoreCalls, 9.25, 212.0),
            part(Signal::Timing, Pattern::MachineGun, 1.5, 0.28, 16.0),
            Part { quiet_at: 0.03, ..endpoint },
        ],
        9.25,
    );
    insta::assert_snapshot!(explained.to_string());
}

#[test]
fn a_call_that_was_not() {
    let explained = explained(
        &[
            volume(Pattern::AsUsual, -1.5, 4.0),
            part(Signal::Timing, Pattern::AsUsual, -3.25, 9.0, 16.0),
            part(Signal::Endpoint, Pattern::AsUsual, -4.0, 1.0, 0.33),
        ],
        -1.5,
    );
    insta::assert_snapshot!(explained.to_string());
}

#[test]
fn a_call_that_broke_a_rule_and_nothing_else() {
    let mut explained = explained(
        &[
            volume(Pattern::AsUsual, -1.5, 4.0),
            part(Signal::Timing, Pattern::AsUsual, -3.25, 9.0, 16.0),
            part(Signal::Endpoint, Pattern::AsUsual, -4.0, 1.0, 0.33),
        ],
        -1.5,
    );
    let broken = |kind, limit| {
        let since = time("2026-11-22T03:01:55Z");
        Some(BrokenRule { kind, observed: limit + 1, limit, window_ms: 60_000, since })
    };
    explained.record.verdict.rule = broken(RuleKind::RepeatedCall, 300);
    let repeated = explained.to_string();
    explained.record.verdict.rule = broken(RuleKind::RateCeiling, 120);
    let about_the_rule = |text: String| {
        let lines = text.lines().filter(|line| line.contains("rule") || line.contains("quiet"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let ceiling = explained.to_string();
    // 03:12 on a Sunday.
    let (kind, since) = (RuleKind::OutsideHours, time("2026-11-22T03:01:55Z"));
    let observed = 6 * 24 * 60 + 3 * 60 + 12;
    explained.record.verdict.rule = Some(BrokenRule { kind, observed, limit: 0, window_ms: 0, since });
    let hours = explained.to_string();
    insta::assert_snapshot!([repeated, ceiling, hours].map(about_the_rule).join("\n--\n"), @"
    rule broken, whatever the level: the same call 301 times within a minute; 300 is the limit, since 2026-11-22T03:01:55Z
    it would have been quiet with
      rule      at most 300 of the same call in 1 min
    --
    rule broken, whatever the level: 121 calls within a minute; 120 is the limit, since 2026-11-22T03:01:55Z
    it would have been quiet with
      rule      at most 120 in 1 min
    --
    rule broken, whatever the level: at sun 03:12 by the manifest's clock, outside its hours, since 2026-11-22T03:01:55Z
    it would have been quiet with
      rule      a call within what the manifest declares
    ");
}

#[test]
fn a_call_of_which_others_do_the_like() {
    let mut explained = explained(
        &[
            volume(Pattern::MoreCalls, 9.25, 212.0),
            part(Signal::Timing, Pattern::AsUsual, -3.25, 9.0, 16.0),
            part(Signal::Endpoint, Pattern::AsUsual, -4.0, 1.0, 0.33),
        ],
        9.25,
    );
    explained.record.verdict.cohort = Some(Cohort {
        incident: 3,
        pattern: Pattern::MoreCalls,
        since: time("2026-11-22T02:00:00Z"),
        agents: 34,
        exposed: 40,
        factor: 4.96,
        own: MicroBits::from_bits(-4.0),
        is_beyond: false,
    });
    let told = explained.to_string();
    let about_the_others = |text: &str| text.lines().find(|line| line.contains("peers:")).map(str::to_owned);
    insta::assert_snapshot!(about_the_others(&told).unwrap_or_default(), @"shared with its peers: 34 of 40 agents make more calls than they would since 2026-11-22T02:00:00Z (cohort incident 3); what is its own comes to -4.0 bits");
}

#[test]
fn other_patterns_in_words() {
    let ramp = Part { high: 5.5, low: 0.0, window_ms: 86_400_000, ..volume(Pattern::Ramp, 8.0, 9.0) };
    let parts = [
        volume(Pattern::FewerCalls, 8.0, 1.0),
        ramp,
        part(Signal::Timing, Pattern::Irregular, 8.0, 4_000.0, 9_000.0),
        part(Signal::Endpoint, Pattern::Foreign, 30.0, 1.0, 0.5),
        Part { high: 201.0, quiet_at: 7.1, ..part(Signal::Endpoint, Pattern::Unfitting, 9.0, 0.0, 7.1) },
        Part {
            since: time("2026-11-22T03:02:10.5Z"),
            ..part(Signal::Endpoint, Pattern::Unfitting, 9.0, 0.0, 0.0)
        },
        Part { high: 51_200.0, ..part(Signal::Endpoint, Pattern::OrderDrift, 9.0, 14.0, 0.0) },
        volume(Pattern::ManyChildren, 9.0, 50.0),
    ];
    let mut record = explained(&[volume(Pattern::AsUsual, 0.0, 1.0); 3], 0.0).record;
    (record.endpoint, record.line) = ("search".to_owned(), Some("planner\u{1b}[2J".to_owned()));
    let said =
        parts.map(|part| format!("{}\n  quiet with {}", sentence(&part, &record), quiet(&part, &record)));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn the_answer_is_read_back_as_it_was_given() {
    let given = explained(
        &[
            volume(Pattern::MoreCalls, 9.25, 1.0 / 3.0),
            part(Signal::Timing, Pattern::OffBeat, 1.5, 0.28, 16.0),
            part(Signal::Endpoint, Pattern::Foreign, 3.5, 1.0, 0.000_06),
        ],
        9.25,
    );
    let json = serde_json::to_value(&given).unwrap();
    let read: Explanation = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read.record, given.record);
    assert_eq!(json["budgets"]["revoke"].as_f64().map(|bits| format!("{bits:.1}")).as_deref(), Some("11.8"));
    assert_eq!(json["verdict"]["parts"][1]["pattern"], "off_beat");
}
