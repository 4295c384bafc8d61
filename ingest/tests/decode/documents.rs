//! CloudTrail documents: records found in `{"Records":[…]}` as in lines.

use ingest::decode::{Format, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Outcomes, fixture, gzip, read, read_within, unpacked};

fn records() -> Vec<Value> {
    let lines = unpacked("cloudtrail/records.ndjson.gz");
    lines
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

#[test]
fn a_document_holds_the_same_calls_as_lines_however_it_is_written() {
    let lines = read(&unpacked("cloudtrail/records.ndjson.gz")[..], Format::Auto);
    let document = json!({ "Records": records() });
    let compact = serde_json::to_vec(&document).unwrap();
    let pretty = serde_json::to_vec_pretty(&document).unwrap();
    let packed = gzip(&pretty);
    for text in [&compact, &pretty, &packed] {
        for format in [Format::Auto, Format::CloudTrail] {
            let outcomes = read(&text[..], format);
            assert_eq!(outcomes.calls(), lines.calls());
            assert_eq!(outcomes.counts(), (310, 0));
            assert_eq!(outcomes.list.last().map(|o| o.line), Some(310));
        }
    }
}

#[test]
fn documents_and_lines_may_follow_each_other() {
    let record = records()[0].to_string();
    let pretty = serde_json::to_string_pretty(&json!({ "Records": [records()[1]] })).unwrap();
    let text =
        format!("{record}\n{pretty}\n{{\"Records\":[]}}\n{record}{{\n{{\"Records\":[{record}]}}{record}\n");
    let outcomes = read(text.as_bytes(), Format::Auto);
    let lines_of_pretty = pretty.lines().count() as u64;
    let places: Vec<_> = outcomes.list.iter().map(|o| (o.line, o.result.is_ok())).collect();
    assert_eq!(
        places,
        [(1, true), (1, true), (lines_of_pretty + 3, false), (1, true), (lines_of_pretty + 4, true)]
    );
}

#[test]
fn a_document_that_is_cut_off_gives_what_was_whole() {
    let text = fixture("bad/records-cut.json");
    let outcomes = read(&text[..], Format::Auto);
    assert_eq!(outcomes.counts(), (2, 1));
    let reject = outcomes.rejects()[0];
    assert_eq!((reject.line, reject.reason.as_str()), (3, "the document ends within Records"));
    assert!(text.ends_with(&reject.bytes));

    let plain = String::from_utf8(text).unwrap();
    let between = plain.trim_end().rfind("    {").unwrap();
    assert_eq!(read(&plain.as_bytes()[..between], Format::Auto).counts(), (2, 1));
}

#[test]
fn what_is_wrong_with_a_document_is_named() {
    let table: String = [
        r#"{"Records":[1,"a]",[2,{}],]}"#,
        r#"{"Records":[,]}"#,
        r#"{"Records":[{}}"#,
        r#"{"Records":[}"#,
        r#"{"Records":[],"More":[{"a":"}"}]}"#,
        r#"{"Records":[]"#,
        r#"{"Records":["#,
        r#"{"Records":{}}"#,
        r#"{"Records":[]}]"#,
    ]
    .map(|text| format!("{text}\n{}", read(text.as_bytes(), Format::Auto).table()))
    .concat();
    insta::assert_snapshot!("bad_documents", table);
}

#[test]
fn limits_hold_within_a_document() {
    let record = records()[0].clone();
    let mut long = record.clone();
    long["userAgent"] = json!("x".repeat(2_000_000));
    let text = json!({ "Records": [record, long, record] }).to_string();
    let outcomes = read(text.as_bytes(), Format::Auto);
    assert_eq!(outcomes.list.iter().map(|o| o.result.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(outcomes.rejects()[0].reason, "longer than 1048576 bytes");
    assert!(outcomes.rejects()[0].len > 2_000_000);

    let text = json!({ "Records": records() }).to_string();
    let limits = Limits { document_bytes_max: 100_000, ..Limits::default() };
    let outcomes = read_within(text.as_bytes(), Format::Auto, limits);
    let (calls, rejects) = outcomes.counts();
    assert!((50..100).contains(&calls) && rejects == 1, "{calls} calls");
    assert_eq!(
        outcomes.rejects()[0].reason,
        "the document is longer than 100000 bytes; its rest was not read"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        r#"[\\"{}\[\],:a\n é]{0,12}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(r#"[\\"{}\[\],:a]{0,6}"#, inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn values(outcomes: &Outcomes) -> Vec<Value> {
    outcomes.list.iter().map(|o| serde_json::from_slice(&o.bytes).unwrap()).collect()
}

proptest! {
    #[test]
    fn every_element_comes_out_whole(elements in prop::collection::vec(any_json(), 0..8)) {
        let document = json!({ "Records": elements });
        let compact = document.to_string();
        let pretty = serde_json::to_string_pretty(&document).unwrap();
        for text in [compact, pretty] {
            prop_assert_eq!(&values(&read(text.as_bytes(), Format::Auto)), &elements);
        }
    }
}
