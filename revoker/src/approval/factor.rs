//! How a human proves who they are, and what a question takes.

use serde::{Deserialize, Serialize};

/// A second factor, the weaker first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A yes at the identity provider's own app, which showed the number (CIBA): how the provider makes sure who it is, is its own affair.
    Push,
    /// A one-time code, and for a yes the number read where the agent is.
    #[default]
    Totp,
    /// A code for who lost the rest, in place of a one-time code.
    Recovery,
    /// A passkey whose holder the authenticator verified (WebAuthn).
    Passkey,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Push, Self::Totp, Self::Recovery, Self::Passkey];

    /// The name in files and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Passkey => "passkey",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|factor| factor.as_str() == text)
    }

    /// The authentication context that an approval by it stands for: of a push and a one-time code names of ours, of a passkey
    /// "phishing-resistant" (`OpenID` Connect Extended Authentication Profile ACR Values 1.0).
    pub fn acr(self) -> &'static str {
        match self {
            Self::Push => "urn:tocsin:acr:push",
            Self::Totp | Self::Recovery => "urn:tocsin:acr:otp-number-match",
            Self::Passkey => "phr",
        }
    }

    /// The authentication methods behind it (RFC 8176); of a push that it came by another channel, and no more.
    pub fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Push => &["mca"],
            Self::Totp | Self::Recovery => &["otp", "mfa"],
            Self::Passkey => &["pop", "user", "mfa"],
        }
    }
}

/// What an answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// People who must say yes, 1 or 2, each another.
    pub approvers: u8,
    /// The weakest factor that a yes may be given with.
    pub factor: Factor,
}

impl Default for Needs {
    fn default() -> Self {
        Self { approvers: 1, factor: Factor::Totp }
    }
}
