//! The native schema: what goes in comes out, and what the source adds.

use std::net::IpAddr;

use detector::{Attestation, Call, Credential, CredentialKind, Identity, Kind, Ruling, Text, Timestamp};
use ingest::decode::{
    Format, Receipt, SourceContext, Tally, content_digest, decode, decode_with_digest, event_key, is_future,
    native,
};
use proptest::prelude::*;

use crate::support::{context, line};

fn text() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![r"[a-zA-Z0-9:/._ -]{1,40}", r#"[\\"\n\t\u{0}é😀a]{1,12}"#].prop_map(Text::Owned)
}

fn maybe() -> impl Strategy<Value = Option<Text<'static>>> {
    prop::option::of(text())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0..10_413_791_999_999_999_i64).prop_map(Timestamp::from_micros)
}

/// Numbers of up to 15 digits, which every JSON parser reads back exactly.
fn number() -> impl Strategy<Value = f64> {
    (-999_999_999_999_999_i64..999_999_999_999_999, 0..6).prop_map(|(n, e)| n as f64 / 10_f64.powi(e))
}

fn identity() -> impl Strategy<Value = Identity<'static>> {
    let texts = (text(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
    texts.prop_map(
        |(
            agent_id,
            issuer,
            instance_id,
            session_id,
            parent_agent_id,
            delegator,
            token_id,
            key_thumbprint,
        )| {
            Identity {
                agent_id,
                issuer,
                instance_id,
                session_id,
                parent_agent_id,
                delegator,
                token_id,
                key_thumbprint,
            }
        },
    )
}

fn credential() -> impl Strategy<Value = Credential> {
    use CredentialKind::{ApiKey, Certificate, Federated, Oauth, StaticKey, Unknown};
    let kind = prop::sample::select(vec![ApiKey, Certificate, Federated, Oauth, StaticKey, Unknown]);
    (prop::option::of(instant()), prop::option::of(instant()), kind)
        .prop_map(|(issued_at, expires_at, kind)| Credential { issued_at, expires_at, kind })
}

fn texts() -> impl Strategy<Value = [Option<Text<'static>>; 8]> {
    prop::array::uniform8(maybe())
}

prop_compose! {
    fn any_call()(
        event_id in text(),
        kind in prop::sample::select(vec![Kind::Call, Kind::Request, Kind::Outcome, Kind::TaskEnd, Kind::Heartbeat]),
        ts in instant(),
        identity in identity(),
        endpoint in text(),
        [method, call_id, source, resource, scope, user_agent, model, args_digest] in texts(),
        credential in credential(),
        args in prop::collection::btree_map(text(), number(), 0..=16),
        (status, latency_ms) in (prop::option::of(100..=599_u16), prop::option::of(number())),
        (bytes_in, bytes_out) in (any::<Option<u64>>(), any::<Option<u64>>()),
        source_ip in any::<Option<IpAddr>>(),
        claimed in prop::sample::select(vec![Attestation::None, Attestation::Network, Attestation::Token,
            Attestation::Key, Attestation::Platform]),
    ) -> Call<'static> {
        let mut call = Call::new(event_id, ts, "", endpoint);
        call.kind = kind;
        call.identity = identity;
        call.credential = credential;
        call.args.extend(args);
        call.latency_ms = latency_ms.map(f64::abs);
        call.call_id = call_id.or((kind == Kind::Outcome).then_some(Text::Borrowed("c")));
        call.source = source.or((kind == Kind::Heartbeat).then_some(Text::Borrowed("s")));
        Call { method, resource, scope, user_agent, model, args_digest, status, bytes_in, bytes_out, source_ip,
            claimed, ..call }
    }
}

proptest! {
    #[test]
    fn a_call_that_is_written_reads_back_equal(call in any_call()) {
        let written = line(&call);
        prop_assert!(written.ends_with('\n') && written.matches('\n').count() == 1);
        let read = native::decode(written.as_bytes(), &mut Tally::new()).unwrap();
        prop_assert_eq!(&read, &call);
        prop_assert_eq!(content_digest(&read), content_digest(&call));
    }

    #[test]
    fn a_call_with_other_content_has_another_digest(one in any_call(), two in any_call()) {
        prop_assert_eq!(content_digest(&one) == content_digest(&two), one == two);
    }
}

const PLAIN: &[u8] = br#"{"event_id":"e","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"search","attestation":"key","issuer":null}"#;

#[test]
fn the_source_stamps_what_it_is_worth() {
    let ctx =
        SourceContext::new("gateway", Attestation::Token, Format::Native).with_issuer("https://idp.example");
    let now = Timestamp::from_millis(1_800_000_000_000);
    let call = decode(PLAIN, &ctx, Receipt::At(now), &mut Tally::new()).unwrap();
    assert_eq!((call.claimed, call.attestation.get()), (Attestation::Key, Attestation::Token));
    assert_eq!(call.identity.issuer.as_deref(), Some("https://idp.example"));
    assert_eq!(call.received_at, now);

    let own = String::from_utf8(PLAIN.to_vec()).unwrap().replace("null", "\"https://own.example\"");
    let call = decode(own.as_bytes(), &ctx, Receipt::AsRecorded, &mut Tally::new()).unwrap();
    assert_eq!(call.identity.issuer.as_deref(), Some("https://own.example"));
    assert_eq!(call.received_at, call.ts);
}

#[test]
fn only_a_ts_well_past_its_receipt_is_in_the_future() {
    let ctx = context(Format::Native);
    let ts: Timestamp = "2025-03-03T09:18:18Z".parse().unwrap();
    for (seconds_before, future) in [(0, false), (300, false), (301, true), (-86_400 * 365 * 40, false)] {
        let received_at = Timestamp::from_micros(ts.as_micros() - seconds_before * 1_000_000);
        let call = decode(PLAIN, &ctx, Receipt::At(received_at), &mut Tally::new()).unwrap();
        assert_eq!(is_future(&call), future, "received {seconds_before} s before");
    }
    assert!(!is_future(&decode(PLAIN, &ctx, Receipt::AsRecorded, &mut Tally::new()).unwrap()));
}

#[test]
fn unknown_fields_are_counted_and_known_ones_are_not() {
    let record = br#"{"event_id":"e","trace":{"a":[1,{"b":"\"}"}]},"ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"x","note":null,"trace":1}"#;
    let mut tally = Tally::new();
    for _ in 0..3 {
        native::decode(record, &mut tally).unwrap();
    }
    assert_eq!(tally.by_name().collect::<Vec<_>>(), [("trace", 6), ("note", 3)]);
    native::decode(PLAIN, &mut tally).unwrap();
    assert_eq!(tally.unknown_fields(), 9);
}

#[test]
fn a_plain_record_is_borrowed_and_an_escaped_one_is_not() {
    let plain = native::decode(PLAIN, &mut Tally::new()).unwrap();
    assert!(matches!(plain.identity.agent_id, Text::Borrowed("a")));
    let escaped = String::from_utf8(PLAIN.to_vec()).unwrap().replace("search", "sea\\u0072ch\\n");
    let escaped = native::decode(escaped.as_bytes(), &mut Tally::new()).unwrap();
    assert_eq!(escaped.endpoint, "search\n");
    assert!(matches!(escaped.endpoint, Text::Owned(_)));
}

/// The digest by which the log knows `record`, from a source of these defaults.
fn digest(record: &str, ctx: &SourceContext) -> [u8; 16] {
    decode_with_digest(record.as_bytes(), ctx, Receipt::AsRecorded, &mut Tally::new()).unwrap().1
}

#[test]
fn the_digest_is_of_the_content_and_not_of_its_spelling_or_source() {
    let ctx = context(Format::Native);
    let plain =
        r#"{"event_id":"e","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"x","args":{"n":1,"m":2}}"#;
    let same = [
        r#"{"args":{"m":2.0,"n":1e0},"endpoint":"x","agent_id":"\u0061","ts":"2025-03-03T10:18:18+01:00","event_id":"e"}"#,
        r#" {"event_id":"e","kind":"call","ts":"2025-03-03T09:18:18.000Z","agent_id":"a","endpoint":"x","args":{"n":1,"m":2},"scope":null,"unknown":1} "#,
    ];
    let other = [
        plain.replace("\"a\"", "\"b\""),
        plain.replace("\"n\":1", "\"n\":1.5"),
        plain.replace("\"n\"", "\"o\""),
        plain.replace("18Z", "19Z"),
        plain.replace("}}", "},\"kind\":\"request\"}"),
        plain.replace("}}", "},\"issuer\":\"i\"}"),
        plain.replace("}}", "},\"attestation\":\"key\"}"),
        plain.replace("}}", "},\"status\":200}"),
    ];
    let digests: Vec<_> = other.iter().map(|record| digest(record, &ctx)).collect();
    for record in same {
        assert_eq!(digest(record, &ctx), digest(plain, &ctx), "{record}");
    }
    for (at, record) in other.iter().enumerate() {
        assert_ne!(digest(record, &ctx), digest(plain, &ctx), "{record}");
        assert!(!digests[..at].contains(&digests[at]), "{record}");
    }
    let elsewhere = SourceContext::new("other", Attestation::None, Format::Auto).with_issuer("i");
    assert_eq!(digest(plain, &elsewhere), digest(plain, &ctx));
}

/// They are kept on disk: a change of either makes known records look new or in conflict.
#[test]
fn digests_and_keys_stay_what_they_are() {
    let hex = |bytes: [u8; 16]| bytes.map(|b| format!("{b:02x}")).concat();
    // printf '%s' s-908f54106f422958-000 | sha256sum | cut -c -32
    insta::assert_snapshot!(hex(event_key("s-908f54106f422958-000")), @"dc198971efb0d88d6c91fcdc3896f732");
    let digest = digest(std::str::from_utf8(PLAIN).unwrap(), &context(Format::Native));
    insta::assert_snapshot!(hex(digest), @"7a010e91df3f3adfebc79375583d8c36");
}

#[test]
fn control_records_are_for_tocsin_itself() {
    let record = br#"{"event_id":"f","kind":"feedback","ts":"2025-03-03T09:18:18Z","agent_id":"a"}"#;
    let theirs = context(Format::Native);
    let why = decode(record, &theirs, Receipt::AsRecorded, &mut Tally::new()).unwrap_err();
    assert_eq!(why.to_string(), "kind: feedback is for Tocsin itself to write");
    let revert =
        br#"{"event_id":"f","kind":"revert","ts":"2025-03-03T09:18:18Z","agent_id":"a","baseline":"b"}"#;
    let why = decode(revert, &theirs, Receipt::AsRecorded, &mut Tally::new()).unwrap_err();
    assert_eq!(why.to_string(), "kind: revert is for Tocsin itself to write");
    let ours = SourceContext::control("tocsin");
    let call = decode(record, &ours, Receipt::AsRecorded, &mut Tally::new()).unwrap();
    assert_eq!((call.kind, call.ruling), (Kind::Feedback, Ruling::Benign));
    for ruling in Ruling::ALL {
        let mut said = call.clone();
        said.ruling = ruling;
        let written = line(&said);
        let read = decode(written.trim_end().as_bytes(), &ours, Receipt::AsRecorded, &mut Tally::new());
        assert_eq!(read.unwrap().ruling, ruling, "{written}");
    }
}

#[test]
fn kinds_and_values_of_the_schema() {
    let table: String = [
        r#"{"event_id":"1","ts":"2025-03-03T09:18:18.1234567Z","agent_id":"a","endpoint":"x","kind":null,"status":null,"args":null,"attestation":null}"#,
        r#"{"event_id":"2","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"x","kind":"request","call_id":"c","args":{"amount":12.5,"rows":-3,"none":null}}"#,
        r#"{"event_id":"3","ts":"2025-03-03T09:18:18Z","agent_id":"a","kind":"outcome","call_id":"c","status":429,"latency_ms":12}"#,
        r#"{"event_id":"4","ts":"2025-03-03T09:18:18Z","agent_id":"a","kind":"task_end","session_id":"s"}"#,
        r#"{"event_id":"5","ts":"2025-03-03T09:18:18Z","kind":"heartbeat","source":"gateway"}"#,
        r#"{"event_id":"6","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"x","token_iat":"0001-01-01T00:00:00Z","token_exp":"9999-12-31T23:59:59Z","credential_kind":"api_key","source_ip":"2001:db8::1","bytes_out":18446744073709551615,"session_id":""}"#,
    ]
    .map(|record| line(&native::decode(record.as_bytes(), &mut Tally::new()).unwrap()))
    .concat();
    insta::assert_snapshot!("kinds", table);
}
