//! The store against the real engine, as a process of its own and inside this one. Where the engine is missing it is
//! fetched; where that fails, so do these tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

mod agents;
mod embedded;
mod engine_process;
mod killed;
mod once;
mod refused;
mod round_trip;
mod support;
mod tls;
mod upgrade;
