//! Scenario and fault tests against real parts.
