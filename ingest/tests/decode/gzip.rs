//! Gzip: members, cuts, damage and bombs.

use ingest::decode::{Format, Limits};

use crate::support::{fixture, gzip, read, read_within, unpacked};

const TRAIN: &str = "agent-traces/train.ndjson.gz";

#[test]
fn members_that_follow_each_other_are_one_stream() {
    let text = unpacked(TRAIN);
    let (first, second) = text.split_at(text.len() / 3);
    let packed = [gzip(first), gzip(b""), gzip(second)].concat();
    assert_eq!(read(&packed[..], Format::Auto).counts(), (2716, 0));
}

#[test]
fn a_cut_file_gives_what_was_whole_and_names_the_cut() {
    let outcomes = read(&fixture("bad/cut.ndjson.gz")[..], Format::Auto);
    let rejects = outcomes.rejects();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0].reason, "gzip data is cut off");
    assert!(!rejects[0].bytes.is_empty() && outcomes.calls().len() > 50, "{} calls", outcomes.calls().len());
    assert_eq!(rejects[0].line, outcomes.calls().len() as u64 + 1);

    let packed = fixture(TRAIN);
    for cut in [3, 10, 20, packed.len() / 2, packed.len() - 1] {
        let outcomes = read(&packed[..cut], Format::Auto);
        assert_eq!(outcomes.rejects().len(), 1, "cut at {cut}");
        assert_eq!(outcomes.rejects()[0].reason, "gzip data is cut off", "cut at {cut}");
    }
}

#[test]
fn damage_is_named_and_what_came_before_it_counts() {
    let packed = fixture(TRAIN);
    let mut sum = packed.clone();
    let at = sum.len() - 6;
    sum[at] ^= 1;
    let outcomes = read(&sum[..], Format::Auto);
    assert_eq!(outcomes.counts(), (2716, 1));
    insta::assert_snapshot!(
        outcomes.rejects()[0].reason,
        @"gzip data is damaged: corrupt gzip stream does not have a matching checksum"
    );

    let outcomes = read(&[&packed[..], b"what follows is no gzip member"].concat()[..], Format::Auto);
    assert_eq!(outcomes.counts(), (2716, 1));
    insta::assert_snapshot!(outcomes.rejects()[0].reason, @"gzip data is damaged: invalid gzip header");

    let mut middle = packed.clone();
    for byte in &mut middle[30_000..30_100] {
        *byte = 0xff;
    }
    let outcomes = read(&middle[..], Format::Auto);
    assert!(outcomes.calls().len() > 500);
    assert!(outcomes.rejects().last().unwrap().reason.starts_with("gzip data is damaged: "));
}

#[test]
fn a_bomb_goes_off_at_the_bound() {
    let text = unpacked(TRAIN);
    let bomb = gzip(&[&text[..], &vec![b' '; 50_000_000][..]].concat());
    assert!(bomb.len() < 200_000);
    let limits = Limits { expanded_bytes_max: 2_000_000, ..Limits::default() };
    let outcomes = read_within(&bomb[..], Format::Auto, limits);
    assert_eq!(outcomes.counts(), (2716, 1));
    let reject = outcomes.rejects()[0];
    assert_eq!(reject.reason, "gzip data expands to more than 2000000 bytes");
    assert_eq!(reject.len, 2_000_000 - text.len() as u64);

    let bomb = gzip(&vec![0; 20_000_000]);
    let outcomes = read(&bomb[..], Format::Auto);
    assert_eq!(outcomes.counts(), (0, 1));
    let reject = outcomes.rejects()[0];
    assert_eq!(reject.reason, "gzip data expands more than 256 to 1");
    assert!(reject.len < 10_000_000);
}

#[test]
fn gzip_within_gzip_is_not_unpacked_again() {
    let outcomes = read(&gzip(&fixture(TRAIN))[..], Format::Auto);
    assert_eq!(outcomes.calls().len(), 0);
    assert!(outcomes.rejects().iter().all(|r| r.field.is_none()));
}

#[test]
fn few_bytes_are_not_mistaken_for_gzip() {
    for bytes in [&b"\x1f"[..], b"\x1f\x8b", b"\x1f\x8b\x07"] {
        let outcomes = read(bytes, Format::Auto);
        assert_eq!(outcomes.rejects()[0].bytes, bytes);
    }
}
