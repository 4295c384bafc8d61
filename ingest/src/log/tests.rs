use std::collections::HashMap;

use detector::Attestation;
use proptest::prelude::*;

use super::*;
use crate::decode::Format;

fn entry(id: u8, content: u8) -> NewEntry {
    NewEntry {
        key: [id; 16],
        digest: [content; 16],
        kind: EntryKind::Record,
        source: Some(Arc::new(SourceContext::new("gateway", Attestation::Token, Format::Native))),
        received_at: Timestamp::from_millis(i64::from(id)),
        payload: vec![id, content],
    }
}

fn wide(id: u32, bytes: usize) -> NewEntry {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&id.to_le_bytes());
    NewEntry { key, payload: vec![7; bytes], ..entry(0, 0) }
}

fn config(bytes_max: i64) -> LogConfig {
    LogConfig { bytes_max, ..LogConfig::read_by(&["store", "score"]) }
}

fn all(log: &Log) -> Vec<Entry> {
    log.reader().unwrap().read(1, usize::MAX, usize::MAX).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_an_end_without_notice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.log.db");
    let log = Log::open(&path, config(1 << 30)).unwrap();
    let told = log.append(vec![entry(1, 1), entry(2, 1), entry(1, 1), entry(2, 9)]).await.unwrap();
    let stored = |seq| Outcome::Stored { seq };
    assert_eq!(told, [stored(1), stored(2), Outcome::Duplicate, Outcome::Conflict]);
    assert_eq!(*log.end().borrow(), 3);

    // The files as a power cut leaves them: no checkpoint, no goodbye.
    let cut = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("calls.log.db{suffix}");
        std::fs::copy(dir.path().join(&name), cut.path().join(&name)).unwrap();
    }
    let log = Log::open(&cut.path().join("calls.log.db"), config(1 << 30)).unwrap();
    let told = log.append(vec![entry(2, 9), entry(1, 1), entry(3, 1)]).await.unwrap();
    assert_eq!(told, [Outcome::Conflict, Outcome::Duplicate, stored(3)]);
    let read: Vec<_> = all(&log).into_iter().map(|e| (e.seq, e.received_at.as_millis(), e.payload)).collect();
    assert_eq!(read, [(1, 1, vec![1, 1]), (2, 2, vec![2, 1]), (3, 3, vec![3, 1])]);
}

#[tokio::test]
async fn an_entry_keeps_the_description_its_source_had() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(&dir.path().join("l.db"), config(1 << 30)).unwrap();
    log.append(vec![entry(1, 1)]).await.unwrap();
    let lowered = SourceContext::new("gateway", Attestation::None, Format::Native).with_issuer("https://idp");
    log.append(vec![NewEntry { source: Some(Arc::new(lowered)), ..entry(2, 1) }]).await.unwrap();
    let sources: Vec<_> = all(&log).into_iter().map(|e| e.source.unwrap()).collect();
    insta::assert_debug_snapshot!(sources, @r#"
    [
        SourceContext {
            name: "gateway",
            ceiling: Token,
            default_issuer: None,
            format: Native,
            control: false,
        },
        SourceContext {
            name: "gateway",
            ceiling: None,
            default_issuer: Some(
                "https://idp",
            ),
            format: Native,
            control: false,
        },
    ]
    "#);
}

#[tokio::test]
async fn entries_stay_until_every_reader_is_past_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    let open = || Log::open(&path, LogConfig { keep: Duration::ZERO, ..config(1 << 30) }).unwrap();
    let log = open();
    log.append((1..=4).map(|id| entry(id, 0)).collect::<Vec<_>>()).await.unwrap();
    log.advance("store", 5).await.unwrap();
    log.advance("score", 3).await.unwrap();
    log.advance("score", 2).await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    table::trim(&db, Timestamp::from_millis(1_000), 10).unwrap();
    assert_eq!(all(&log).iter().map(|e| e.seq).collect::<Vec<_>>(), [3, 4]);
    log.advance("score", 5).await.unwrap();
    table::trim(&db, Timestamp::from_millis(4), 10).unwrap();
    assert_eq!(all(&log).iter().map(|e| e.seq).collect::<Vec<_>>(), [4], "the last is not old enough");
    table::trim(&db, Timestamp::from_millis(5), 10).unwrap();
    assert_eq!(log.reader().unwrap().first().unwrap(), None);
    drop(log);
    let log = open();
    assert_eq!(log.reader().unwrap().position("score").unwrap(), 5);
    let told = log.append(vec![entry(9, 0)]).await.unwrap();
    assert_eq!(told, [Outcome::Stored { seq: 5 }], "no number is given twice");
}

#[tokio::test]
async fn a_full_log_says_so_loses_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(&dir.path().join("l.db"), config(512 << 10)).unwrap();
    let mut stored = 0;
    let full = loop {
        match log.append(vec![wide(stored, 10_000)]).await {
            Ok(_) => stored += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(full, LogError::Full { .. }), "{full}");
    assert_eq!(all(&log).len(), stored as usize);
    // One reader past it is not enough.
    log.advance("store", 20).await.unwrap();
    assert!(matches!(log.append(vec![wide(stored, 10_000)]).await, Err(LogError::Full { .. })));
    log.advance("score", 20).await.unwrap();
    assert_eq!(log.append(vec![wide(stored, 10_000)]).await.unwrap().len(), 1);
    assert_eq!(log.reader().unwrap().first().unwrap(), Some(20), "only what both were past made room");
    assert_eq!(
        log.append(vec![wide(3, 10_000)]).await.unwrap(),
        [Outcome::Duplicate],
        "gone but not forgotten"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_pressure_callers_are_told_and_what_was_taken_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    let log = Log::open(&path, config(1 << 30)).unwrap();
    // A disk that does not answer: somebody else holds the write lock.
    let stall = rusqlite::Connection::open(&path).unwrap();
    stall.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut taken = tokio::task::JoinSet::new();
    for id in 0..4 {
        let log = log.clone();
        taken.spawn(async move { log.append(vec![wide(id, 15 << 20)]).await });
    }
    while log.room.available_permits() >= 16 << 10 {
        tokio::task::yield_now().await;
    }
    let refused = log.append(vec![wide(9, 16 << 20)]).await;
    assert!(matches!(refused, Err(LogError::Pressure { .. })), "{refused:?}");
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.append_when_room(vec![wide(10, 16 << 20)]).await }
    });
    stall.execute_batch("COMMIT").unwrap();
    let answers = taken.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    assert_eq!(all(&log).len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A map from key to first digest is all a log is, however it is cut into appends and reopenings.
    #[test]
    fn is_a_map_that_remembers_the_first_word(
        told in prop::collection::vec((0_u8..20, 0_u8..3, prop::bool::weighted(0.3), prop::bool::weighted(0.1)), 1..80)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.db");
        let mut log = Log::open(&path, config(1 << 30)).unwrap();
        let mut model: HashMap<u8, u8> = HashMap::new();
        let (mut group, mut expected, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for (id, content, cut, reopen) in told {
            group.push(entry(id, content));
            expected.push(match model.get(&id) {
                Some(known) if *known == content => Outcome::Duplicate,
                Some(_) => Outcome::Conflict,
                None => {
                    model.insert(id, content);
                    order.push(vec![id, content]);
                    Outcome::Stored { seq: i64::try_from(order.len()).unwrap() }
                }
            });
            if cut {
                let told = runtime.block_on(log.append(std::mem::take(&mut group))).unwrap();
                prop_assert_eq!(told, std::mem::take(&mut expected));
            }
            if reopen {
                drop(log);
                log = Log::open(&path, config(1 << 30)).unwrap();
            }
        }
        prop_assert_eq!(runtime.block_on(log.append(group)).unwrap(), expected);
        prop_assert_eq!(all(&log).into_iter().map(|e| e.payload).collect::<Vec<_>>(), order);
    }
}
