//! License keys: the one secret that this crate handles.
//!
//! A key's form says nothing about its validity; only its class prefix is looked at, and only to stop a
//! key of one class in another class's environment.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A license key. It has no `Display`, its `Debug` is masked, and [`LicenseKey::reveal`] is the one way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct LicenseKey(Zeroizing<String>);

impl LicenseKey {
    /// The longest key that is accepted, in bytes. Offline tokens are the longest keys; they stay under 4 KiB.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// Takes a key as it was configured. The text may not be empty, hold white space or control characters, or be longer than [`Self::BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(KeyError::TooLong { bytes: text.len() });
        }
        if let Some(at) = text.find(|c: char| !c.is_ascii_graphic()) {
            return Err(KeyError::NotPrintable { position: at + 1 });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The key itself: for the request to the authority, the environment of the deploy command, and masking.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be written down about the key.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(b"license-fp:v1\0");
        hash.update(self.0.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Fingerprint(first)
    }

    /// The class that the key's prefix names, if it names one.
    pub fn class(&self) -> Option<KeyClass> {
        let after_vendor = self.0.strip_prefix("TO-")?;
        let (class, _) = after_vendor.split_once('-')?;
        class.parse().ok()
    }
}

impl fmt::Debug for LicenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LicenseKey({})", self.fingerprint())
    }
}

/// Why a text is not a license key. Never carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// White space, a line break, a control character or a character outside ASCII.
    #[error("it has a space, a line break or another character that no key has, at position {position}")]
    NotPrintable {
        /// The first such character, counted in bytes from 1.
        position: usize,
    },
    /// Longer than [`LicenseKey::BYTES_MAX`].
    #[error("it is {bytes} bytes long, and no key is longer than {} bytes", LicenseKey::BYTES_MAX)]
    TooLong {
        /// The text's length in bytes.
        bytes: usize,
    },
}

/// What may be shown, logged and stored about a key: the first 64 bits of a salted SHA-256, as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint([u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAFingerprint);
        }
        u64::from_str_radix(text, 16).map(|bits| Self(bits.to_be_bytes())).map_err(|_| NotAFingerprint)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        alloc::format!("{fingerprint}")
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NotAFingerprint;

    fn try_from(text: String) -> Result<Self, NotAFingerprint> {
        text.parse()
    }
}

/// A text that is not 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 16 hex digits")]
pub struct NotAFingerprint;

/// The class of a key: which kind of environment it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyClass {
    /// Development: unlimited, no rate limits.
    Dev,
    /// Staging: full validation, test limits.
    Stg,
    /// Production: full validation, production limits.
    Prd,
}

impl KeyClass {
    /// Every class, in the order of a key's way to production.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Stg, Self::Prd];

    /// The three letters that stand in a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "DEV",
            Self::Stg => "STG",
            Self::Prd => "PRD",
        }
    }
}

impl fmt::Display for KeyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyClass {
    type Err = NotAKeyClass;

    fn from_str(text: &str) -> Result<Self, NotAKeyClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(NotAKeyClass)
    }
}

/// A text that is none of the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key class is `DEV`, `STG` or `PRD`")]
pub struct NotAKeyClass;
