//! The disk under the program's folder runs full: nothing that was acknowledged is lost, and it goes on when there is space.

use std::rc::Rc;
use std::slice::Chunks;

use crate::support::disk::SmallDisk;
use crate::support::feed::{post, post_until_taken};
use crate::support::gate::{Agent, HISTORY};
use crate::support::http;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// Room for the logs as they are at first, and for some thousand calls.
const DISK_BYTES: u64 = 48 << 20;
/// What is left when it gets tight: a few requests.
const FREE_BYTES: u64 = 512 << 10;
/// Lines in one request.
const CHUNK: usize = 500;

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let stage = Stage::new();
    let disk = Rc::new(SmallDisk::new(&stage.path().join("data"), DISK_BYTES));
    let launcher = Rc::clone(&disk);
    let mut tocsin = Tocsin::start_by(
        stage.path(),
        &stage.settings(""),
        Box::new(move |program| launcher.command(program)),
    );
    let mut agent = Agent::with_history(&tocsin, "busy");
    let url = tocsin.url("/v1/calls");
    let lines = agent.burst(60_000);
    let mut chunks = lines.chunks(CHUNK);

    // It runs full, is told so, and goes on by itself once there is space.
    disk.fill(tocsin.process(), FREE_BYTES);
    let refused = until_refused(&url, &mut chunks);
    http::get(&tocsin.url("/healthz")).expect("an answer, even now").expect(200);
    disk.relieve(Some(tocsin.process()));
    post_until_taken(&url, refused);

    // It runs full and dies in the middle of it.
    disk.fill(tocsin.process(), FREE_BYTES);
    let refused = until_refused(&url, &mut chunks);
    tocsin.kill();
    disk.relieve(None);
    tocsin.restart();
    post_until_taken(&url, refused);

    let sent = lines.len() - chunks.len() * CHUNK;
    stage.check_counts((HISTORY + sent) as u64);
    prove::row(
        "disk full under the log: acknowledged calls that are lost or read twice",
        0,
        [0.0; 2],
        "0",
        true,
        "disk_full::",
    );
}

/// Posts until a request is refused for want of space; gives that request's lines.
fn until_refused<'a>(url: &str, chunks: &mut Chunks<'a, String>) -> &'a [String] {
    for chunk in chunks {
        let answer = post(url, chunk).expect("an answer, even now");
        if answer.status != 200 {
            assert!(matches!(answer.status, 503 | 507), "{answer:?}");
            return chunk;
        }
    }
    panic!("a disk with {FREE_BYTES} bytes left took everything");
}
