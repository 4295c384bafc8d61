//! Decides and acts: policy, the standing of every agent, approvals, and revocations with receipts.

pub mod agent;
pub mod alert;
pub mod api;
pub mod approval;
pub mod audit;
pub mod config;
pub mod connector;
pub mod effect;
pub mod executor;
mod hex;
pub mod keys;
pub mod lifecycle;
pub mod message;
pub mod policy;
pub mod revoker;
pub mod standing;
pub mod store;
#[cfg(test)]
mod testing;

pub use revoker::{Admission, Decision, Revoker, Setup};
