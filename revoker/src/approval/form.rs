//! What ties a posted form to the page it came from.
//!
//! The token is a code over the page (its key), a random cookie of that browser, and the level of evidence the page showed. A form
//! made elsewhere has no such token; one fetched by somebody else has another cookie; and nobody approves more evidence
//! than stood on the page. (A forger would also need a fresh one-time code: this keeps a lured browser from spending one.)

use detector::MicroBits;
use subtle::ConstantTimeEq;

use super::Digest;
use crate::keys::Keys;

/// A form's token: 64 hexadecimal digits.
#[derive(Clone)]
pub struct FormToken(String);

impl FormToken {
    /// The token of a page as shown to the browser with this cookie.
    pub fn new(keys: &Keys, page: &str, cookie: &str, seen: MicroBits) -> Self {
        let mac =
            keys.mac("approval form", &[page.as_bytes(), cookie.as_bytes(), &seen.as_micros().to_be_bytes()]);
        Self(Digest::from(mac).to_string())
    }

    /// As written into the form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the form brought this token back. Takes the same time for every wrong one.
    pub fn matches(&self, posted: &str) -> bool {
        self.0.as_bytes().ct_eq(posted.as_bytes()).into()
    }
}

impl std::fmt::Debug for FormToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FormToken(…)")
    }
}
