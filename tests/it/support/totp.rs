//! The code an authenticator application shows, by a library that is not ours.

use std::process::Command;

use super::parts::{house, part};

/// The code of an `otpauth://totp/…` address at `unix_s`.
pub(crate) fn code(address: &str, unix_s: u64) -> String {
    part("peers/node_modules");
    let output = Command::new("node")
        .arg(house().join("parts/peers/totp.mjs"))
        .args([address, &unix_s.to_string()])
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
