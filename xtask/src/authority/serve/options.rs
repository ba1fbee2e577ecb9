//! The settings of the server that are words on the command line.

use std::fmt;

use license_core::registry::KeepPrevious;
use sha2::{Digest, Sha256};

/// The status of a refused validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RefuseWith {
    /// 200: the body says it
    #[value(name = "200")]
    Ok,
    /// 403: the status says it too
    #[value(name = "403")]
    Forbidden,
}

/// How many replaced keys stay in grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeepPreviousKeys {
    /// Only the key that was replaced last
    One,
    /// All of them
    All,
}

impl From<KeepPreviousKeys> for KeepPrevious {
    fn from(keys: KeepPreviousKeys) -> Self {
        match keys {
            KeepPreviousKeys::One => Self::One,
            KeepPreviousKeys::All => Self::All,
        }
    }
}

/// Whether a repeated `Idempotency-Key` gets the first rotation's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Idempotency {
    /// It does
    Honor,
    /// It rotates again
    Ignore,
}

/// Whether lists show whole keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListKeys {
    /// The class and the last characters
    Masked,
    /// The whole key; only to this machine
    Plain,
}

/// The API token that clients have to send. Only its hash is kept: comparing hashes tells nothing about how much of a guess was right.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiToken([u8; 32]);

impl ApiToken {
    /// The token with this text.
    pub(crate) fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(…)")
    }
}
