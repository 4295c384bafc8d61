//! Tocsin on real parts: one binary, one scenario a file.

mod borders;
mod parts;
mod support;
