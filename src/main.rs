//! The one executable of Tocsin.
fn main() {}
