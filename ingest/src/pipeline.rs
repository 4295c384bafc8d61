//! The pipelines: `store` brings every record into ClickHouse, `score` every call before the detector, `drain` what
//! came of it into ClickHouse as well. Each reads at its own pace, so a database that is slow or down delays no
//! verdict.

mod audit;
mod decode;
pub mod drain;
pub mod score;
mod scorer;
mod sink;
pub mod store;
mod verdict;
mod watermark;

#[cfg(test)]
mod tests;

pub use self::audit::AuditRecord;
pub use self::sink::Sink;
pub use self::verdict::{AlertRecord, EncodeError};
