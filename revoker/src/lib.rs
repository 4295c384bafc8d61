//! Decides and acts: policy, the standing of every agent, approvals, and revocations with receipts.
//!
//! ```text
//!  verdict ──> policy (how much evidence asks for what) ──> lifecycle::step(standing, input, now) ──> standing, effects
//!  approval, command, time ─────────────────────────────────┘                                            │
//!                                          one transaction: standing, effects, audit, the verdict's id <─┘
//!                                              └─ outbox ──> executor ──> connector ──> receipt ──> audit
//! ```
//!
//! [`policy`], [`lifecycle`], [`governor`], [`standing`] and [`effect`] are pure: no clock, no randomness, no IO. [`revoker`] is the
//! system of record around them, [`executor`] takes what it holds to the [`connector`]s and decides nothing, [`approval`]
//! asks humans, and [`api`] is all of it over HTTP.

pub mod agent;
pub mod alert;
pub mod api;
pub mod approval;
pub mod audit;
pub mod config;
pub mod connector;
pub mod declared;
pub mod effect;
pub mod executor;
pub mod fleetwide;
pub mod governor;
pub mod groups;
mod hex;
pub mod keys;
pub mod lifecycle;
pub mod message;
pub mod part;
pub mod people;
pub mod policy;
pub mod purpose;
mod reach;
pub mod restraint;
pub mod revoker;
pub mod signatures;
pub mod standing;
pub mod store;
#[cfg(test)]
mod testing;
pub mod whom;

pub use revoker::{Admission, Decision, Heard, Revoker, Setup};
pub use store::open::OpenError;
