//! The interface over a real socket and a real record. Only the scorer is a stand-in: it says what the record asks it to,
//! and fails when told.

mod answers;
mod asked;
mod attacks;
mod authzen;
mod gate;
mod mfa;
mod operators;
mod page;
mod passkeys;
mod revocations;
mod support;
mod waiting;
mod walk;
