//! Tocsin on real parts: one binary, one scenario a file.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its ground gives way, and says where"
)]

mod approval;
mod borders;
mod disk_full;
mod engine_down;
mod hostile_receiver;
mod kills;
mod latency;
mod parts;
mod support;
mod throughput;
