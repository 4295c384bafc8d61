//! Gets agent calls in: sources, decoders, the durable local log, ClickHouse and the two pipelines.

mod clock;
pub mod decode;
pub mod engine;
pub mod log;
pub mod seen;
pub mod store;
