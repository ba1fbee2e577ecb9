//! Signs what goes to a webhook: as Standard Webhooks does, and as the authority's own webhooks are signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use license_core::webhook::{Encoding, NotASecret, Secret};

/// A secret that signs.
pub(super) struct Signer(Secret);

impl Signer {
    /// Takes a secret: what stands behind `whsec_` in base64, else the text itself. The error completes "it …".
    pub(super) fn parse(text: &str) -> Result<Self, NotASecret> {
        Secret::parse(text).map(Self)
    }

    /// The headers of one try. The moment is that of the try: a receiver refuses old ones.
    pub(super) fn headers(&self, id: &str, at: Timestamp, body: &[u8]) -> Vec<(&'static str, String)> {
        let seconds = at.as_second().to_string();
        let standard = self.0.mac(&[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(standard))),
            ("x-signature", Encoding::Timestamped.sign(&self.0, body, at)),
            ("webhook-timestamp", seconds),
        ]
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
}
