//! Native lines on their way in, by a client that repeats itself until it hears that they are durable.

use std::time::Duration;

use reqwest::Method;

use super::http::{self, Answer};
use super::tocsin::GATEWAY;

/// A minute of refusals and cut connections.
const TRIES_MAX: u32 = 3_000;
const PAUSE: Duration = Duration::from_millis(20);

/// One request with these lines, whatever comes of it.
pub(crate) fn post(url: &str, lines: &[String]) -> Result<Answer, reqwest::Error> {
    http::send(http::request(Method::POST, url).bearer_auth(GATEWAY).body(lines.join("\n") + "\n"))
}

/// The same lines again until an answer says that they are durable. A connection that a kill cut says nothing.
pub(crate) fn post_until_taken(url: &str, lines: &[String]) {
    for _ in 0..TRIES_MAX {
        match post(url, lines) {
            Ok(Answer { status: 200, .. }) => return,
            Ok(Answer { status: 429 | 503 | 507, .. }) | Err(_) => std::thread::sleep(PAUSE),
            Ok(other) => panic!("neither taken nor told to wait: {other:?}"),
        }
    }
    panic!("{url} has taken nothing for a minute");
}
