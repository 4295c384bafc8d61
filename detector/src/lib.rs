#![doc = include_str!("../README.md")]

mod baseline;
mod batch;
mod bits;
mod budget;
mod call;
mod cohort;
mod combine;
mod config;
mod detector;
mod fleet;
mod hash;
mod lane;
mod layers;
mod lineage;
mod ln;
mod manifest;
mod memory;
mod monitor;
mod name;
mod peers;
mod profile;
mod profiles;
mod providers;
mod random;
#[cfg(test)]
mod reference;
mod route;
mod rules;
mod ruling;
mod signal;
mod silence;
mod source;
mod stored;
mod time;
mod verdict;
mod visible;

pub use baseline::{AgentState, Baseline, EndpointShare, Known, RevertError, Summary, VersionCause};
pub use batch::{Hands, Observed, OneHand, Work};
pub use bits::MicroBits;
pub use budget::{Budget, BudgetError, Budgets, BudgetsError};
pub use call::{
    ARGS_MAX, Attestation, Call, Credential, CredentialKind, EffectiveAttestation, Identity, Kind, Text,
};
pub use cohort::{Cohort, CohortIncident, Member};
pub use config::DetectorConfig;
pub use detector::{Detector, Snapshot};
pub use layers::{ACTOR_REASONS_MAX, Actor, ActorKind, Layers, Trust};
pub use manifest::{
    ArgRange, DAYS, Manifest, ManifestError, Network, NetworkError, Span, SpanError, Zone, ZoneError, scopes,
};
pub use monitor::{FamilyHealth, FleetHealth, Grade, PeerGroup};
pub use peers::{Belonging, GroupId, GroupMove, PeerGroupStatus};
pub use providers::{PROVIDERS_MAX, Providers};
pub use route::{TEMPLATES_MAX, endpoint_keys, is_path};
pub use rules::{BrokenRule, RuleKind, RuleRanks};
pub use ruling::Ruling;
pub use signal::session::Oddness;
pub use silence::Silence;
pub use source::SourceLate;
pub use time::{Timestamp, TimestampError};
pub use verdict::{
    Beside, History, Misfit, Names, PARTS_MAX, Part, Pattern, Position, Signal, Verdict, VerdictId,
    VerdictRecord,
};
pub use visible::{is_hidden, visible, visible_to};
