//! Whether a webhook is genuine and fresh.
//!
//! How the authority encodes its signature is not public, so three encodings are understood: `hex` and `sha256=hex` over
//! the body, and `t=…,v1=…` over `t`, a dot and the body. Hex digits are lower case, so that no two texts are one
//! signature.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;

use super::{
    notification::{NotAWebhook, Received},
    secret::Secret,
};

/// How far from now a webhook may be, in seconds, in both directions.
pub const WINDOW_SECS: i64 = 5 * 60;
/// The longest body of a webhook, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest signature that is read, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 1024;
/// The most signatures of one webhook: a sender that changes its secret signs with both.
const SIGNATURES_MAX: usize = 8;
/// The most digits of a time in seconds.
const SECONDS_DIGITS_MAX: usize = 11;

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The digits alone.
    Hex,
    /// The digits behind `sha256=`.
    Sha256,
    /// `t=…,v1=…`, over the time, a dot and the body.
    Timestamped,
}

impl Encoding {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Hex, Self::Sha256, Self::Timestamped];

    /// Signs a body at a time.
    pub fn sign(self, secret: &Secret, body: &[u8], at: Timestamp) -> String {
        match self {
            Self::Hex => hex(&secret.mac(&[body])),
            Self::Sha256 => format!("sha256={}", hex(&secret.mac(&[body]))),
            Self::Timestamped => {
                let at = format!("{}", at.as_second());
                format!("t={at},v1={}", hex(&secret.mac(&[at.as_bytes(), b".", body])))
            }
        }
    }
}

/// Why a webhook is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is longer than a webhook is.
    #[error("the body is longer than {} KiB", BODY_BYTES_MAX / 1024)]
    TooLong,
    /// The signature has none of the forms.
    #[error("the signature has none of the forms `hex`, `sha256=hex` and `t=…,v1=…`, in lower-case hex digits")]
    NotASignature,
    /// Nobody who knows the secret signed this.
    #[error("the signature is not that of this body under this secret")]
    Mismatch,
    /// It is older than it may be.
    #[error("it is from {at:.0}, more than five minutes ago")]
    TooOld {
        /// When it is from.
        at: Timestamp,
    },
    /// It is from the future.
    #[error("it is from {at:.0}, more than five minutes ahead of the clock here")]
    FromTheFuture {
        /// When it is from.
        at: Timestamp,
    },
    /// It is genuine, and no webhook of an authority.
    #[error(transparent)]
    NotAWebhook(#[from] NotAWebhook),
}

impl Rejected {
    /// The stable word that stands in answers and documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotASignature => "not_a_signature",
            Self::Mismatch => "signature_mismatch",
            Self::TooOld { .. } => "too_old",
            Self::FromTheFuture { .. } => "from_the_future",
            Self::NotAWebhook(_) => "not_a_webhook",
        }
    }
}

/// Reads a webhook whose signature is right and which is fresh: by the time in its signature, or where that has none by
/// the time in its body.
pub fn verify(body: &[u8], signature: &[u8], secret: &Secret, now: Timestamp) -> Result<Received, Rejected> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Rejected::TooLong);
    }
    match Signature::parse(signature).ok_or(Rejected::NotASignature)? {
        Signature::OfBody(mac) => {
            let signed = secret.has_signed(&[body], &mac);
            let received = if signed { Received::parse(body)? } else { return Err(Rejected::Mismatch) };
            fresh(received.created(), now)?;
            Ok(received)
        }
        Signature::Timestamped { seconds, at, macs } => {
            let signed = |mac| secret.has_signed(&[seconds.as_bytes(), b".", body], mac);
            if !macs.iter().any(signed) {
                return Err(Rejected::Mismatch);
            }
            fresh(at, now)?;
            Ok(Received::parse(body)?)
        }
    }
}

fn fresh(at: Timestamp, now: Timestamp) -> Result<(), Rejected> {
    // To the second, as times in signatures are.
    let age_secs = now.as_second() - at.as_second();
    if age_secs > WINDOW_SECS {
        return Err(Rejected::TooOld { at });
    }
    if age_secs < -WINDOW_SECS { Err(Rejected::FromTheFuture { at }) } else { Ok(()) }
}

/// A signature as it was sent.
#[derive(Debug, PartialEq, Eq)]
enum Signature<'a> {
    /// Of the body.
    OfBody([u8; 32]),
    /// Of a time, a dot and the body; one of these at least.
    Timestamped {
        /// The time as it is written, for that is what is signed.
        seconds: &'a str,
        at: Timestamp,
        macs: Vec<[u8; 32]>,
    },
}

impl<'a> Signature<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > SIGNATURE_BYTES_MAX {
            return None;
        }
        let text = core::str::from_utf8(bytes).ok()?.trim_matches([' ', '\t', '\r', '\n']);
        if text.contains("t=") {
            return Self::timestamped(text);
        }
        unhex(text.strip_prefix("sha256=").unwrap_or(text)).map(Self::OfBody)
    }

    /// One `t`, one or more `v1`; other schemes are for others.
    fn timestamped(text: &'a str) -> Option<Self> {
        let (mut seconds, mut macs) = (None, Vec::new());
        for part in text.split(',') {
            match part.trim_matches(' ').split_once('=')? {
                ("t", _) if seconds.is_some() => return None,
                ("t", written) => seconds = Some(written),
                ("v1", mac) => macs.push(unhex(mac)?),
                (_, _) => {}
            }
        }
        let seconds = seconds?;
        let digits = (1..=SECONDS_DIGITS_MAX).contains(&seconds.len()) && seconds.bytes().all(|b| b.is_ascii_digit());
        let at = Timestamp::from_second(seconds.parse().ok().filter(|_| digits)?).ok()?;
        (1..=SIGNATURES_MAX).contains(&macs.len()).then_some(Self::Timestamped { seconds, at, macs })
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    let mut mac = [0; 32];
    if bytes.len() != 2 * mac.len() {
        return None;
    }
    for (byte, pair) in mac.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, vec};

    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_900_000_000;
    const BODY: &str = r#"{"id":"evt_1","type":"license.activated","created":"2030-03-17T17:46:40Z","data":{"licenseKey":"TO-****-F6A8","plan":"pro","domain":"app.com","activationsUsed":3,"activationLimit":10,"expiresAt":"2031-01-01T00:00:00Z","features":["sso"]}}"#;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn secret() -> Secret {
        Secret::parse("the secret of the tests").unwrap()
    }

    fn sent(secs: i64) -> String {
        BODY.replace("2030-03-17T17:46:40Z", &format!("{}", at(secs)))
    }

    /// What comes of a webhook that was signed this many seconds from now.
    fn signed(encoding: Encoding, secs: i64) -> Result<Received, Rejected> {
        let body = sent(NOW + secs);
        let signature = encoding.sign(&secret(), body.as_bytes(), at(NOW + secs));
        verify(body.as_bytes(), signature.as_bytes(), &secret(), at(NOW))
    }

    #[test]
    fn every_encoding_is_understood_within_five_minutes_of_now() {
        for encoding in Encoding::ALL {
            for secs in [-WINDOW_SECS, -1, 0, 1, WINDOW_SECS] {
                let received = signed(encoding, secs).unwrap_or_else(|why| panic!("{encoding:?} {secs}: {why}"));
                assert_eq!(received.notification(ToOwned::to_owned).unwrap().event_id.as_str(), "evt_1");
            }
            for secs in [-WINDOW_SECS - 1, -86_400] {
                assert_eq!(signed(encoding, secs), Err(Rejected::TooOld { at: at(NOW + secs) }), "{encoding:?}");
            }
            for secs in [WINDOW_SECS + 1, 86_400] {
                assert_eq!(signed(encoding, secs), Err(Rejected::FromTheFuture { at: at(NOW + secs) }), "{encoding:?}");
            }
        }
    }

    #[test]
    fn a_time_in_the_signature_counts_and_not_the_one_in_the_body() {
        let body = sent(NOW - 86_400);
        let fresh = Encoding::Timestamped.sign(&secret(), body.as_bytes(), at(NOW));
        assert!(verify(body.as_bytes(), fresh.as_bytes(), &secret(), at(NOW)).is_ok());
    }

    #[test]
    fn a_known_vector_is_met() {
        // `openssl dgst -sha256 -hmac 0123456789abcdef`
        let secret = Secret::parse("0123456789abcdef").unwrap();
        assert_eq!(
            Encoding::Sha256.sign(&secret, b"what do ya want for nothing?", at(0)),
            "sha256=e9265dc1bf18d4ec36915d9e82226c7ea0fa4e7f8077f611515bd5e29ec9988c"
        );
    }

    #[test]
    fn one_of_several_signatures_will_do() {
        let body = sent(NOW);
        let good = Encoding::Timestamped.sign(&secret(), body.as_bytes(), at(NOW));
        let (time, good) = good.split_once(',').unwrap();
        let other = Secret::parse("the secret before that").unwrap();
        let other = Encoding::Timestamped.sign(&other, body.as_bytes(), at(NOW));
        let (_, other) = other.split_once(',').unwrap();
        let check = |signature: &str| verify(body.as_bytes(), signature.as_bytes(), &secret(), at(NOW)).map(drop);
        for text in [
            format!("{time},{good}"),
            format!("{time},{other},{good}"),
            format!("{good}, {time} ,{other}"),
            format!("{time},v0=other,{good}"),
            format!(" {time},{good}\r\n"),
        ] {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
        assert_eq!(check(&format!("{time},{other}")), Err(Rejected::Mismatch));
        let many = [good; SIGNATURES_MAX + 1].join(",");
        for text in [
            String::new(),
            String::from(time),
            String::from(good),
            format!("{time},{time},{good}"),
            format!("{time},{good},v1=short"),
            format!("{time},{good},"),
            format!("t=+1900000000,{good}"),
            format!("t=1900000000.0,{good}"),
            format!("t=999999999999,{good}"),
            format!("{time},{many}"),
            format!("{time},{good},v0={}", "x".repeat(SIGNATURE_BYTES_MAX)),
            good.replace("v1=", "").to_uppercase(),
            good.replace("v1=", "sha1="),
            good.replace("v1=", "0x"),
        ] {
            assert_eq!(check(&text), Err(Rejected::NotASignature), "{text}");
        }
    }

    #[test]
    fn the_secret_of_somebody_else_signs_nothing() {
        let body = sent(NOW);
        let other = Secret::parse("the secret of somebody else").unwrap();
        for encoding in Encoding::ALL {
            let signature = encoding.sign(&other, body.as_bytes(), at(NOW));
            assert_eq!(verify(body.as_bytes(), signature.as_bytes(), &secret(), at(NOW)), Err(Rejected::Mismatch));
        }
    }

    #[test]
    fn what_is_genuine_may_still_be_no_webhook() {
        for body in ["", "<html>", "{}", "[1]", r#"{"id":"evt_1"}"#] {
            let signature = Encoding::Hex.sign(&secret(), body.as_bytes(), at(NOW));
            let verified = verify(body.as_bytes(), signature.as_bytes(), &secret(), at(NOW));
            assert!(matches!(verified, Err(Rejected::NotAWebhook(_))), "{body}: {verified:?}");
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_not_even_hashed() {
        let body = vec![b' '; BODY_BYTES_MAX + 1];
        let signature = Encoding::Hex.sign(&secret(), &body, at(NOW));
        assert_eq!(verify(&body, signature.as_bytes(), &secret(), at(NOW)), Err(Rejected::TooLong));
    }

    /// Every text that differs from this one in a single bit.
    fn flipped(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..text.len() * 8).map(|bit| {
            let mut other = text.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            other
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn no_bit_can_be_flipped(plan in "[ -~]{0,12}", id in "evt_[a-z0-9]{1,12}", secs in -WINDOW_SECS..=WINDOW_SECS) {
            let body = sent(NOW + secs).replace("evt_1", &id).replace("\"pro\"", &format!("{plan:?}"));
            let body = body.as_bytes();
            for encoding in Encoding::ALL {
                let signature = encoding.sign(&secret(), body, at(NOW + secs));
                prop_assert!(verify(body, signature.as_bytes(), &secret(), at(NOW)).is_ok());
                for other in flipped(body) {
                    prop_assert_eq!(verify(&other, signature.as_bytes(), &secret(), at(NOW)), Err(Rejected::Mismatch));
                }
                for other in flipped(signature.as_bytes()) {
                    let verified = verify(body, &other, &secret(), at(NOW));
                    prop_assert!(matches!(verified, Err(Rejected::NotASignature | Rejected::Mismatch)));
                }
            }
        }

        #[test]
        fn no_bytes_are_too_odd(body in proptest::collection::vec(any::<u8>(), 0..200), signature in proptest::collection::vec(any::<u8>(), 0..100)) {
            let verified = verify(&body, &signature, &secret(), at(NOW));
            prop_assert!(matches!(verified, Err(Rejected::NotASignature | Rejected::Mismatch)));
            let genuine = Encoding::Hex.sign(&secret(), &body, at(NOW));
            // Whatever comes of it, nothing panics.
            let _ = verify(&body, genuine.as_bytes(), &secret(), at(NOW));
        }
    }
}
