//! The secret that both sides of a webhook know.

use alloc::vec::Vec;
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a secret in base64 begins with.
const ENCODED_PREFIX: &str = "whsec_";
/// A secret that is shorter could be guessed; a longer one is something else. In bytes.
const BYTES: core::ops::RangeInclusive<usize> = 16..=1024;

/// A secret that signs. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
    /// The text itself, where the key is what it encodes: some sign with that.
    as_written: Option<Zeroizing<Vec<u8>>>,
}

/// A text that cannot sign. Its words complete "it …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotASecret {
    /// It announces base64 that is none.
    #[error("begins with `whsec_` and goes on without base64")]
    NotBase64,
    /// Its length is that of nothing that signs.
    #[error("is too short or too long")]
    Length,
}

impl Secret {
    /// Takes a secret: what stands behind `whsec_` in base64, else the text itself.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let written = || Zeroizing::new(text.as_bytes().to_vec());
        let (key, as_written) = match text.strip_prefix(ENCODED_PREFIX) {
            Some(encoded) => (STANDARD.decode(encoded).map_err(|_| NotASecret::NotBase64)?.into(), Some(written())),
            None => (written(), None),
        };
        if BYTES.contains(&key.len()) { Ok(Self { key, as_written }) } else { Err(NotASecret::Length) }
    }

    /// HMAC-SHA256 of these parts, one after the other.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac(&self.key, parts).finalize().into_bytes().into()
    }

    /// Whether this is the HMAC of these parts, under the key or under the text as it is written. The time it takes
    /// tells nothing about how much of it is right.
    pub(super) fn has_signed(&self, parts: &[&[u8]], mac: &[u8; 32]) -> bool {
        let keys = [Some(&self.key), self.as_written.as_ref()];
        keys.into_iter().flatten().any(|key| hmac(key, parts).verify_slice(mac).is_ok())
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_secret_is_text_or_base64_behind_its_prefix_and_long_enough() {
        let raw = Secret::parse("0123456789abcdef").unwrap();
        let encoded = Secret::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
        assert_eq!(raw.mac(&[b"a", b"b"]), encoded.mac(&[b"ab"]));
        for text in ["", "short", "whsec_", "whsec_MDEy", "whsec_not base64 at all!", &"x".repeat(1025)] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
        assert_eq!(format!("{raw:?}"), "Secret(…)");
    }

    #[test]
    fn what_signs_with_the_text_as_it_is_written_is_known_too() {
        let text = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";
        let written: [u8; 32] = hmac(text.as_bytes(), &[b"body"]).finalize().into_bytes().into();
        let secret = Secret::parse(text).unwrap();
        assert!(secret.has_signed(&[b"body"], &written) && secret.has_signed(&[b"body"], &secret.mac(&[b"body"])));
        assert!(!secret.has_signed(&[b"bodx"], &written));
    }
}
