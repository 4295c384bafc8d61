//! A fleet that calls an interface of paths: names in them are no news, and an attack on another part of it is.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground gives way")]

use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Signal, Timestamp};

const START: Timestamp = Timestamp::from_millis(1_767_571_200_000);
const AGENTS: u64 = 12;
/// Calls of one agent a day, and days.
const CALLS: u64 = 288;
const DAYS: u64 = 4;

/// Numbers that look random (`SplitMix64`).
fn scrambled(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A name without a digit, of some hundreds.
fn slug(n: u64) -> String {
    (0..4).map(|i| char::from(b'a' + (scrambled(n % 400) >> (8 * i)) as u8 % 26)).collect()
}

/// What an agent calls: orders by number, customers by name, the repositories of both.
fn endpoint(n: u64) -> String {
    let id = scrambled(n) >> 20;
    match scrambled(n) % 4 {
        0 => format!("/v1/orders/{}", id % 100_000),
        1 => format!("/v1/customers/{}/invoices", slug(id)),
        2 => format!("/repos/{}/{}/issues", slug(id), slug(id >> 12)),
        _ => "/v1/status".to_owned(),
    }
}

/// Plays the fleet through a detector, restored each day if so wanted; gives the highest level in bits that endpoints alone
/// came to on the last day, and what comes of an agent that turns to what the fleet does not do.
fn play(name: impl Fn(String) -> String, restores: bool) -> (f64, f64, Vec<u8>) {
    let mut detector = Detector::new(DetectorConfig::default(), &[]);
    let mut worst = f64::MIN;
    let mut levels = Vec::new();
    let gap = Duration::from_secs(86_400 / CALLS / AGENTS);
    let mut ts = START;
    for i in 0..AGENTS * CALLS * DAYS {
        ts = ts + gap;
        detector.tick(ts);
        if restores && i % (AGENTS * CALLS) == 7 {
            let bytes = postcard::to_stdvec(&detector).unwrap();
            detector = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(postcard::to_stdvec(&detector).unwrap(), bytes);
            detector.reconfigure(DetectorConfig::default(), &[]);
        }
        let level = call(&mut detector, ts, (i, i % AGENTS), name(endpoint(i)));
        levels.extend(level.to_bits().to_le_bytes());
        if i >= AGENTS * CALLS * (DAYS - 1) {
            worst = worst.max(level);
        }
    }
    let mut attack = f64::MIN;
    for i in 0..12 {
        ts = ts + gap;
        let path = ["/admin/keys", "/admin/export", "/v1/payouts", "/v1/users/export"][i as usize % 4];
        attack = attack.max(call(&mut detector, ts, (u64::MAX - i, 0), name(path.to_owned())));
    }
    (worst, attack, levels)
}

fn call(detector: &mut Detector, ts: Timestamp, (id, agent): (u64, u64), endpoint: String) -> f64 {
    let mut call = Call::new(format!("e{id}"), ts, format!("agent-{agent}"), endpoint);
    call.method = Some("GET".into());
    let verdict = detector.observe(&call).unwrap();
    verdict.part(Signal::Endpoint).map_or(0.0, |part| part.level.as_bits())
}

#[test]
#[expect(clippy::disallowed_macros, reason = "the figures are quoted in the README")]
fn names_in_paths_are_no_news_and_another_part_of_the_interface_is() {
    // A name that is no path is told apart as a whole: what every path was before.
    let (before, _, _) = play(|path| format!("GET_{path}"), false);
    let (after, attack, _) = play(|path| path, false);
    println!(
        "highest level of endpoints on the last day: {before:.1} bits before, {after:.1} after; attack {attack:.1}"
    );
    assert!(after < 2.8 && after + 3.0 < before, "{before} {after}");
    assert!(attack > after + 3.0, "{after} {attack}");
}

#[test]
fn a_restored_detector_knows_the_same_names() {
    assert!(play(|path| path, true).2 == play(|path| path, false).2);
}
