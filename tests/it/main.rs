//! Tocsin on real parts: one binary, one scenario a file.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its ground gives way, and says where"
)]

mod accessibility;
mod approval;
mod approval_kills;
mod audit;
mod authzen;
mod bad_config;
mod borders;
mod browser;
mod bus;
mod channel;
mod ciba;
mod cohort;
mod commands;
mod demo;
mod disk_full;
mod disk_full_record;
mod email;
mod engine_down;
mod envoy;
mod explain;
mod feedback;
mod fleet;
mod governor;
mod hostile_names;
mod hostile_receiver;
mod introspection;
mod issuers;
mod kafka_incidents;
mod keycloak;
mod keys;
mod kills;
mod latency;
mod logout;
mod manifest;
mod mass_change;
mod mcp;
mod mcp_conformance;
mod oauth;
mod openapi;
mod outbox;
mod parts;
mod purpose;
mod replay;
mod restored;
mod revocation_topic;
mod routes;
mod rules;
mod shared_record;
mod silence;
mod ssf;
mod support;
mod throughput;
mod tls;
mod waiting;
mod webhooks;
