//! Decides and acts: policy, the standing of every agent, approvals, and revocations with receipts.

pub mod agent;
pub mod config;
pub mod effect;
pub mod lifecycle;
pub mod policy;
pub mod standing;
