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
    /// The longest key that is accepted, in bytes. Offline tokens are the longest keys; they stay under 8 KiB.
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
        Fingerprint::of(self.0.as_bytes())
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

impl Fingerprint {
    /// The fingerprint of a key's text, or of a text that may be a key.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"license-fp:v1\0");
        hash.update(text);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Self(first)
    }
}

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

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::*;

    const MARKER: &str = "TO-PRD-0123456789";

    fn key(text: &str) -> LicenseKey {
        LicenseKey::parse(text).unwrap()
    }

    #[test]
    fn a_fingerprint_stays_what_it_is() {
        let fingerprint = key(MARKER).fingerprint();
        assert_eq!(fingerprint.to_string(), "61407dc50139a1b4");
        assert_eq!("61407dc50139a1b4".parse(), Ok(fingerprint));
        assert_eq!(serde_json::to_string(&fingerprint).unwrap(), r#""61407dc50139a1b4""#);
        assert_eq!(serde_json::from_str::<Fingerprint>(r#""61407dc50139a1b4""#).unwrap(), fingerprint);
        assert_ne!(key("TO-PRD-0123456788").fingerprint(), fingerprint);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in
            ["", "0", "00112233445566", "00112233445566778", "+011223344556677", "0x11223344556677", "ü0112233445566"]
        {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }

    #[test]
    fn a_key_is_masked_wherever_it_is_printed() {
        let key = key(MARKER);
        let shown = format!("{key:?} {key:#?} {:?}", Some(&key));
        assert!(!shown.contains("0123456789"), "{shown}");
        assert_eq!(format!("{key:?}"), "LicenseKey(61407dc50139a1b4)");
        assert_eq!(key.reveal(), MARKER);
    }

    #[test]
    fn a_key_has_no_spaces_line_breaks_or_other_characters_that_none_has() {
        let table = [
            ("", Err(KeyError::Empty)),
            ("TO-PRD-1\n", Err(KeyError::NotPrintable { position: 9 })),
            (" TO-PRD-1", Err(KeyError::NotPrintable { position: 1 })),
            ("TO PRD", Err(KeyError::NotPrintable { position: 3 })),
            ("TO-\u{0}", Err(KeyError::NotPrintable { position: 4 })),
            ("TÖ-PRD", Err(KeyError::NotPrintable { position: 2 })),
            ("lic_1", Ok(())),
            ("eyJhbGciOiJFZERTQSJ9.e30.AA", Ok(())),
            ("0123456789abcdef", Ok(())),
        ];
        for (text, expected) in table {
            assert_eq!(LicenseKey::parse(text).map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn the_longest_key_is_accepted_and_one_byte_more_is_not() {
        let longest = "k".repeat(LicenseKey::BYTES_MAX);
        assert!(LicenseKey::parse(&longest).is_ok());
        let error = LicenseKey::parse(&format!("{longest}k")).unwrap_err();
        assert_eq!(error.to_string(), "it is 16385 bytes long, and no key is longer than 16384 bytes");
    }

    #[test]
    fn an_error_about_a_key_never_carries_it() {
        let error = LicenseKey::parse("MARKER MARKER").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("MARKER"));
    }

    #[test]
    fn the_class_is_read_from_the_prefix_and_nowhere_else() {
        let table = [
            ("TO-DEV-0123", Some(KeyClass::Dev)),
            ("TO-STG-0123", Some(KeyClass::Stg)),
            ("TO-PRD-0123", Some(KeyClass::Prd)),
            ("TO-PRD-", Some(KeyClass::Prd)),
            ("TO-PRD", None),
            ("TO-PRDX-0123", None),
            ("TO-AB12-PRD-EF56", None),
            ("LK-PRD-0123", None),
            ("XTO-PRD-0123", None),
            ("PRD-0123", None),
            ("to-prd-0123", None),
        ];
        for (text, class) in table {
            assert_eq!(key(text).class(), class, "{text}");
        }
    }

    #[test]
    fn a_class_is_three_letters() {
        for class in KeyClass::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        for text in ["", "prd", "PROD", " PRD"] {
            assert_eq!(text.parse::<KeyClass>(), Err(NotAKeyClass), "{text}");
        }
    }
}
