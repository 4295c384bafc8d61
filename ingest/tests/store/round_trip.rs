use std::net::{Ipv4Addr, Ipv6Addr};

use detector::{
    Actor, ActorKind, Attestation, BrokenRule, Call, Cohort, Credential, CredentialKind,
    EffectiveAttestation, History, Identity, Kind, Layers, MicroBits, Misfit, Part, Pattern, RuleKind,
    Signal, Timestamp, Trust, Verdict, VerdictId, VerdictRecord,
};
use ingest::decode::{Invalid, Reject};
use ingest::store::{AlertRow, AuditRow, CallRow, Place, RejectRow, Store, VerdictRow};

use crate::support::{now, number, shared};

/// The rows a query answers, as text.
async fn read(store: &Store, sql: &str) -> String {
    serde_json::to_string_pretty(&store.query_json(sql).await.unwrap()).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A record that has every field, each at an edge.
fn full() -> Call<'static> {
    let text = |text: &'static str| Some(text.into());
    Call {
        kind: Kind::Request,
        received_at: now(),
        identity: Identity {
            agent_id: "агент\0\n'\\`".into(),
            issuer: text("https://idp.example"),
            instance_id: text(""),
            session_id: text("🦀"),
            parent_agent_id: text("parent"),
            delegator: text("ann@example.org"),
            token_id: text("jti-1"),
            key_thumbprint: text("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        },
        method: text("POST"),
        call_id: text("call-1"),
        source: text("gateway"),
        credential: Credential {
            issued_at: Some(time("1969-12-31T23:59:59.999999Z")),
            expires_at: Some(time("9999-12-30T22:00:00.999999Z")),
            kind: CredentialKind::StaticKey,
        },
        resource: text("/v1/items/1?a=b"),
        scope: text("read write"),
        user_agent: text("agent/1.0"),
        model: text("m"),
        args_digest: text("sha256:00"),
        args: [("amount".into(), -0.1), ("rows".into(), f64::MAX), ("tiny".into(), f64::MIN_POSITIVE)]
            .into_iter()
            .collect(),
        status: Some(u16::MAX),
        latency_ms: Some(0.25),
        bytes_in: Some(u64::MAX),
        bytes_out: Some(0),
        source_ip: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
        claimed: Attestation::Platform,
        attestation: EffectiveAttestation::new(Attestation::Platform, Attestation::Token),
        ..Call::new("full", time("0001-01-01T00:00:00Z"), "", "send_money")
    }
}

#[tokio::test]
async fn every_field_of_a_call() {
    let store = shared().await.store("every_call").await;
    let bare =
        Call { received_at: now(), ..Call::new("bare", time("9999-12-30T22:00:00.999999Z"), "a", "e") };
    let v4 = Call { source_ip: Some(Ipv4Addr::new(192, 0, 2, 1).into()), ..bare.clone() };
    let v4 = Call { event_id: "v4".into(), ..v4 };
    let digest = *b"\0\xff23456789abcdef";
    let place = Place { origin: "topic/3", position: u64::MAX };
    let calls = [full(), bare, v4];
    store.insert_calls(&calls.each_ref().map(|call| CallRow::new(call, digest, place))).await.unwrap();

    let all =
        "SELECT * EXCEPT (received_at, digest), hex(digest) AS digest FROM calls_once WHERE event_id = ";
    insta::assert_snapshot!("full_call", read(&store, &format!("{all}'full'")).await);
    insta::assert_snapshot!("bare_call", read(&store, &format!("{all}'bare'")).await);
    let addresses =
        "SELECT event_id, source_ip FROM calls_once WHERE source_ip IS NOT NULL ORDER BY event_id";
    insta::assert_snapshot!(read(&store, addresses).await, @r#"
    [
      {
        "event_id": "full",
        "source_ip": "2001:db8::1"
      },
      {
        "event_id": "v4",
        "source_ip": "::ffff:192.0.2.1"
      }
    ]
    "#);
    let received = format!(
        "SELECT count() FROM calls_once WHERE toUnixTimestamp64Micro(received_at) IN ({})",
        calls.each_ref().map(|call| call.received_at.as_micros().to_string()).join(", ")
    );
    assert_eq!(number(&store, &received).await, 3);
    let minutes = "SELECT minute, calls FROM calls_per_minute ORDER BY minute";
    insta::assert_snapshot!(read(&store, minutes).await, @r#"
    [
      {
        "calls": 1,
        "minute": "0001-01-01 00:00:00.000000"
      },
      {
        "calls": 2,
        "minute": "9999-12-30 22:00:00.000000"
      }
    ]
    "#);
}

/// The last verdict of a record's agent at its time.
async fn last(store: &Store, record: &VerdictRecord) -> VerdictRecord {
    let found = store.last_verdict(record.issuer.as_deref(), &record.agent_id, record.verdict.ts).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn every_field_of_a_verdict() {
    let store = shared().await.store("every_verdict").await;
    let part = |signal, pattern, bits, window_ms| Part {
        signal,
        bits: MicroBits::from_micros(bits),
        added: MicroBits::from_micros(-bits),
        level: MicroBits::from_micros(bits / 2),
        pattern,
        observed: 12.0,
        expected: 0.5,
        low: 0.25,
        high: f64::MAX,
        since: full().ts,
        window_ms,
        history: History { n: u32::MAX, prior: 100, peers: 200, own: 700 },
        quiet_at: 3.0,
    };
    let since = time("9999-12-30T22:00:00.999999Z");
    let verdict = Verdict {
        id: VerdictId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        version: 2,
        ts: full().ts,
        level: MicroBits::from_micros(7_000_001),
        added: MicroBits::from_micros(-7_000_001),
        parts: [
            part(Signal::Volume, Pattern::MoreCalls, 8_000_001, 60_000),
            Part { since, ..part(Signal::Timing, Pattern::HumanPaced, 0, u64::MAX) },
            part(Signal::LookElsewhere, Pattern::AsUsual, -1_000_000, 0),
        ]
        .into_iter()
        .collect(),
        families: 1,
        jump: 24.0,
        attestation: full().attestation,
        model: u32::MAX,
        rule: Some(BrokenRule {
            kind: RuleKind::RateCeiling,
            observed: u64::MAX,
            limit: 600,
            window_ms: 60_000,
            since: time("2025-03-03T09:18:01.25Z"),
        }),
        cohort: Some(Cohort {
            incident: u32::MAX,
            pattern: Pattern::FewerCalls,
            since: time("2025-03-03T09:15:00Z"),
            agents: 34,
            exposed: 40,
            factor: 0.2,
            own: MicroBits::from_micros(-1),
            is_beyond: true,
        }),
        layers: Layers {
            identity: Trust::Agrees,
            context: Trust::Doubts,
            behaviour: Trust::Doubts,
            ..Layers::default()
        },
        actor: Actor {
            is: ActorKind::Impostor,
            because: [Pattern::NewNetwork, Pattern::HumanPaced].into_iter().collect(),
        },
    };
    let line = Some("planner".to_owned());
    let misfit = Some(Misfit { call: "send_money".to_owned(), after: Some("read_file".to_owned()) });
    let record = VerdictRecord { line, misfit, ..VerdictRecord::new(&full(), verdict) };
    store.insert_verdicts(&[VerdictRow::from(&record)]).await.unwrap();
    assert_eq!(
        last(&store, &record).await,
        VerdictRecord {
            beside: detector::Beside::default(),
            token_id: None,
            key_thumbprint: None,
            delegator: None,
            method: None,
            resource: None,
            args_digest: None,
            ..record.clone()
        },
        "what only the call knows is missing"
    );
    store
        .insert_calls(&[CallRow::new(&full(), [0; 16], Place { origin: "log", position: 0 })])
        .await
        .unwrap();
    assert_eq!(last(&store, &record).await, record);
    insta::assert_snapshot!("verdict", read(&store, "SELECT * EXCEPT stored_at FROM verdicts_once").await);
    let exact = "SELECT arraySum(parts.microbits) = level_microbits AS sums FROM verdicts_once";
    insta::assert_snapshot!(read(&store, exact).await, @r#"
    [
      {
        "sums": 1
      }
    ]
    "#);
}

#[tokio::test]
async fn every_field_of_alerts_and_rejects() {
    let store = shared().await.store("every_other").await;
    let reasons = ["+8.0 bits: 12 calls where 0.5 are expected".to_owned(), "ünïcode 'quoted'".to_owned()];
    let alert = AlertRow {
        alert_id: "alert-1",
        ts: time("2025-03-03T09:18:18.5Z"),
        agent_id: "agent",
        issuer: Some("https://idp.example"),
        event_id: "event-1",
        score: MicroBits::from_micros(12_345_678),
        action: "revoke",
        reasons: &reasons,
        approval_id: Some("approval-1"),
        policy: "v1",
    };
    store.insert_alerts(&[alert]).await.unwrap();
    insta::assert_snapshot!("alert", read(&store, "SELECT * EXCEPT stored_at FROM alerts_once").await);

    let entry = AuditRow {
        seq: u64::MAX,
        at: time("2025-03-03T09:18:18.5Z"),
        txn: "story-1",
        agent_id: "agent",
        issuer: Some("https://idp.example"),
        kind: "standing.changed",
        body: r#"{"from":"trusted","why":"ünïcode 'quoted'"}"#,
        hash: "00ff",
    };
    store.insert_audit(&[entry]).await.unwrap();
    insta::assert_snapshot!("audit", read(&store, "SELECT * EXCEPT stored_at FROM audit_once").await);

    let all_bytes: Vec<u8> = (0..=255).collect();
    let reject = Reject::cut("files", 7, &all_bytes, 10_000_000, &Invalid::line("not UTF-8"));
    let row = RejectRow::new(&reject, now(), Place { origin: "log", position: 3 });
    store.insert_rejects(&[row]).await.unwrap();
    let same = "bytes = arrayStringConcat(arrayMap(b -> char(b), range(256))) AS same";
    let sql = format!("SELECT * EXCEPT (received_at, bytes), {same} FROM rejects_once");
    insta::assert_snapshot!("reject", read(&store, &sql).await);
}
