use clickhouse::Row;
use detector::{MicroBits, Timestamp};
use serde::Serialize;

use super::Identity;

/// A row of `alerts`: a verdict on which the revoker acted, or which it watches.
#[derive(Clone, Debug, Row, Serialize)]
pub struct AlertRow<'a> {
    /// Derived from the verdict's id.
    pub alert_id: &'a str,
    /// Event time of the call.
    pub ts: Timestamp,
    /// The agent.
    pub agent_id: &'a str,
    /// Under which issuer that is a name.
    pub issuer: Option<&'a str>,
    /// The call.
    pub event_id: &'a str,
    /// The verdict's level; stored in millionths of a bit.
    #[serde(rename = "score_microbits")]
    pub score: MicroBits,
    /// What was done, by the policy's own word.
    pub action: &'a str,
    /// Why, in sentences, the weightiest first.
    pub reasons: &'a [String],
    /// The approval that was opened for it, if one was.
    pub approval_id: Option<&'a str>,
    /// Version of the policy that decided.
    pub policy: &'a str,
}

impl AlertRow<'_> {
    /// What makes it this alert: its id, and what was done.
    pub(in crate::store) fn identify(&self, identity: &mut Identity) {
        identity.text(self.alert_id);
        identity.text(self.action);
        identity.text(self.approval_id.unwrap_or_default());
    }
}
