//! Tocsin on real parts: one binary, one scenario a file.

mod approval;
mod borders;
mod kills;
mod parts;
mod support;
