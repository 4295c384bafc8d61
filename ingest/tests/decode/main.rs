//! Decoding as a whole: files and streams in; calls and rejects out, with every byte accounted for.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod bad_lines;
mod cloudtrail;
mod documents;
mod fuzz;
mod gzip;
mod native;
mod recorded;
mod support;
