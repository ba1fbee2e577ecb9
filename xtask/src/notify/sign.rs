//! Signs what goes to a webhook: as Standard Webhooks does, and as the authority's own webhooks are signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::words::hex;

/// A secret that signs.
pub(super) struct Signer(Zeroizing<Vec<u8>>);

/// What a secret in base64 begins with.
const ENCODED_PREFIX: &str = "whsec_";
/// A secret that is shorter could be guessed; a longer one is something else. In bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

impl Signer {
    /// Takes a secret: what stands behind `whsec_` in base64, else the text itself. The error completes "it …".
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = Zeroizing::new(match text.strip_prefix(ENCODED_PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "begins with `whsec_` and goes on without base64")?,
            None => text.as_bytes().to_vec(),
        });
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err("is too short or too long") }
    }

    /// The headers of one try. The moment is that of the try: a receiver refuses old ones.
    pub(super) fn headers(&self, id: &str, at: Timestamp, body: &[u8]) -> Vec<(&'static str, String)> {
        let at = at.as_second().to_string();
        let standard = self.mac(&[id.as_bytes(), b".", at.as_bytes(), b".", body]);
        let own = self.mac(&[at.as_bytes(), b".", body]);
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(standard))),
            ("x-signature", format!("t={at},v1={}", hex(&own))),
            ("webhook-timestamp", at),
        ]
    }

    fn mac(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_of_standard_webhooks_is_met() {
        let signer = Signer::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        let signature = headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap();
        assert_eq!(signature.1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_text_or_base64_behind_its_prefix_and_long_enough() {
        let raw = Signer::parse("0123456789abcdef").unwrap();
        let encoded = Signer::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
        assert_eq!(raw.0, encoded.0);
        for text in ["", "short", "whsec_", "whsec_MDEy", "whsec_not base64 at all!", &"x".repeat(1025)] {
            assert!(Signer::parse(text).is_err(), "{text}");
        }
    }
}
