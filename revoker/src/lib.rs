//! Decides and acts: policy, the standing of every agent, approvals, and revocations with receipts.
