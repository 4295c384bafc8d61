//! What an agent is declared to do: the prior from its first call.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The declared purpose of one agent. Everything but `agent_id` is optional: what is not declared is learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The logical agent this speaks of.
    pub agent_id: String,
    /// Under which issuer that is its name; none means the source's default.
    #[serde(default)]
    pub issuer: Option<String>,
    /// In one sentence, for people.
    #[serde(default)]
    pub purpose: Option<String>,
    /// Endpoints it is meant to call: tools, operations, or paths and their templates (`GET /users/{id}`), which hold for
    /// the whole fleet as the operator's own. A path without a method stands for the usual ones. Empty means not declared.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Hours of the day (UTC, 0 to 23) in which it is meant to work; empty means all.
    #[serde(default)]
    pub hours: Vec<u8>,
    /// Networks in CIDR notation that it is meant to call from; empty means not declared.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Calls an hour it is meant to make on average, > 0.
    #[serde(default)]
    pub calls_per_hour: Option<f64>,
    /// Calls it must never exceed within any 60 s, whenever they begin: a rule, whatever else is known. Not 0.
    #[serde(default)]
    pub calls_per_minute_max: Option<NonZeroU32>,
    /// How often it may make the same call within a minute, in place of the operator's defaults; 0 for any number.
    #[serde(default)]
    pub repeats_per_minute_max: Option<u32>,
    /// The agent that spawns it.
    #[serde(default)]
    pub parent: Option<String>,
    /// The person or team accountable for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// After this it should no longer act.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}
