//! The real parts that scenarios run on. A part that does not start fails the test with what it printed.

pub(crate) mod browser;
pub(crate) mod chance;
pub(crate) mod disk;
pub(crate) mod engine;
pub(crate) mod envoy;
pub(crate) mod feed;
pub(crate) mod fleet;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod keycloak;
pub(crate) mod oidc;
pub(crate) mod page;
pub(crate) mod parts;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prove;
pub(crate) mod receiver;
pub(crate) mod ssf;
pub(crate) mod stage;
pub(crate) mod tocsin;
pub(crate) mod totp;
pub(crate) mod wait;
