//! Gets agent calls in: sources, decoders, the durable local log, ClickHouse and the two pipelines.

pub mod decode;
