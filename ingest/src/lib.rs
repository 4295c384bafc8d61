//! Gets agent calls in: sources, decoders, the durable local log, ClickHouse and the two pipelines.

pub mod baseline;
mod clock;
pub mod decode;
pub mod engine;
pub mod finding;
pub mod log;
pub mod metric;
pub mod pipeline;
mod retry;
pub mod seen;
pub mod snapshot;
pub mod source;
pub mod store;
