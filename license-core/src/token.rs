//! Offline license tokens: a JWT (RFC 7519) signed with Ed25519 (RFC 8037).
//!
//! Strict: only `EdDSA`; the signature is always checked, against each of several public keys, so that keys can roll over;
//! `exp` and `dom` are required, `iss` and `aud` are checked. Whether the times fit is for the gate.

use alloc::{borrow::ToOwned, collections::BTreeSet, string::String, vec::Vec};
use core::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::license::{ActivationLimit, Answer, License};

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The only `iss` that is accepted.
pub const ISSUER: &str = "trafficorchestrator.com";

/// The `aud` values that are accepted; one of them is enough.
pub const AUDIENCES: [&str; 2] = ["license-validation", "license-offline"];

/// Checks a token against the public keys and reads the license that it states.
///
/// The answer of the license is "accepted", since the token was signed. Its domains are never empty, and its
/// expiry is always stated. Times are judged by the gate afterwards; here `exp` and `nbf` are only read.
pub fn open(token: &str, keys: &[PublicKey]) -> Result<License, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NotThreeParts)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::NotThreeParts)?;
    if payload.contains('.') {
        return Err(TokenError::NotThreeParts);
    }
    check_header(&read_json(header, Part::Header)?)?;
    check_signature(signed, signature, keys)?;
    // Nothing in the payload is looked at before the signature is known to be right.
    read_license(read_json(payload, Part::Payload)?)
}

/// The header's fields. Others are ignored, as RFC 7515 asks for, unless `crit` says that they matter.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    crit: Option<Value>,
}

fn check_header(header: &Header) -> Result<(), TokenError> {
    if header.alg != "EdDSA" {
        return Err(TokenError::Algorithm);
    }
    if header.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(TokenError::Type);
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    Ok(())
}

fn check_signature(signed: &str, signature: &str, keys: &[PublicKey]) -> Result<(), TokenError> {
    if keys.is_empty() {
        return Err(TokenError::NoKeys);
    }
    let bytes = decode(signature, Part::Signature)?;
    let signature = Signature::from_slice(&bytes).map_err(|_| TokenError::Unreadable { part: Part::Signature })?;
    let is_right = |key: &PublicKey| key.0.verify_strict(signed.as_bytes(), &signature).is_ok();
    if keys.iter().any(is_right) { Ok(()) } else { Err(TokenError::Signature) }
}

/// The claims that are read. A claim that stands there twice makes the token unreadable.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    plan: Option<Value>,
    dom: Option<Value>,
    features: Option<Value>,
    limits: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    exp: Option<Value>,
}

fn read_license(claims: Claims) -> Result<License, TokenError> {
    if required("iss", text("iss", claims.iss)?)? != ISSUER {
        return Err(TokenError::Issuer);
    }
    let audiences = required("aud", names("aud", claims.aud)?)?;
    if !audiences.iter().any(|audience| AUDIENCES.contains(&audience.as_str())) {
        return Err(TokenError::Audience);
    }
    // An empty list covers nothing.
    let domains = required("dom", names("dom", claims.dom)?.filter(|domains| !domains.is_empty()))?;
    let expires_at = required("exp", time("exp", claims.exp)?)?;
    Ok(License {
        id: text("sub", claims.sub)?,
        plan: text("plan", claims.plan)?,
        issued_at: time("iat", claims.iat)?,
        not_before: time("nbf", claims.nbf)?,
        expires_at: Some(expires_at),
        domains: Some(domains),
        features: names("features", claims.features)?.map(BTreeSet::from_iter),
        activation_limit: activation_limit(claims.limits)?,
        ..License::bare(Answer::Accepted { code: None })
    })
}

fn required<T>(claim: &'static str, value: Option<T>) -> Result<T, TokenError> {
    value.ok_or(TokenError::Missing { claim })
}

fn text(claim: &'static str, value: Option<Value>) -> Result<Option<String>, TokenError> {
    let read = |value: Value| value.as_str().map(ToOwned::to_owned).ok_or(TokenError::Odd { claim });
    value.map(read).transpose()
}

/// One name, or a list of names.
fn names(claim: &'static str, value: Option<Value>) -> Result<Option<Vec<String>>, TokenError> {
    let name = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let read = |value: Value| match value.as_array() {
        Some(list) => list.iter().map(name).collect(),
        None => name(&value).map(|name| [name].into()),
    };
    value.map(|value| read(value).ok_or(TokenError::Odd { claim })).transpose()
}

/// A `NumericDate`: seconds, with or without a fraction.
fn time(claim: &'static str, value: Option<Value>) -> Result<Option<Timestamp>, TokenError> {
    let read = |value: Value| {
        let since_epoch = match value.as_i64() {
            Some(secs) => SignedDuration::from_secs(secs),
            None => SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?,
        };
        Timestamp::from_duration(since_epoch).ok()
    };
    value.map(|value| read(value).ok_or(TokenError::Odd { claim })).transpose()
}

/// The limit under any of its names. What is neither a count nor the word is not stated.
fn activation_limit(limits: Option<Value>) -> Result<Option<ActivationLimit>, TokenError> {
    const NAMES: [&str; 6] =
        ["activations", "activationLimit", "activation_limit", "maxActivations", "max_activations", "seats"];

    let claim = "limits";
    let read = |value: Value| value.as_object().cloned().ok_or(TokenError::Odd { claim });
    let limits: Map<String, Value> = limits.map(read).transpose()?.unwrap_or_default();
    let Some(limit) = NAMES.iter().find_map(|name| limits.get(*name)) else {
        return Ok(None);
    };
    let is_unlimited = limit.as_str().is_some_and(|word| word.eq_ignore_ascii_case("unlimited"));
    Ok(if is_unlimited { Some(ActivationLimit::Unlimited) } else { limit.as_u64().map(ActivationLimit::AtMost) })
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Unreadable { part })
}

fn read_json<T: DeserializeOwned>(text: &str, part: Part) -> Result<T, TokenError> {
    let json = decode(text, part)?;
    // Without this, a list in the right order would do as well.
    if !json.starts_with(b"{") {
        return Err(TokenError::Unreadable { part });
    }
    serde_json::from_slice(&json).map_err(|_| TokenError::Unreadable { part })
}

/// Why a token is not accepted. Never carries the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("it is longer than a license token can be, which is {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts between dots.
    #[error("it is not a license token: a token has three parts with dots between them")]
    NotThreeParts,
    /// A part is not base64url, not JSON of the right form, or not a signature.
    #[error("its {part} cannot be read")]
    Unreadable {
        /// The part.
        part: Part,
    },
    /// The header names another algorithm, or none.
    #[error("it is not signed with `EdDSA`, the one algorithm that is accepted")]
    Algorithm,
    /// The header says that it is something else.
    #[error("its header says that it is not a `JWT`")]
    Type,
    /// The header demands an extension that is not known here.
    #[error("its header demands an extension that is not known here")]
    Critical,
    /// There is no public key to check it with.
    #[error("there is no public key to check it with: add the authority's")]
    NoKeys,
    /// No public key fits the signature.
    #[error("its signature fits none of the public keys: it was changed, or signed by somebody else")]
    Signature,
    /// A claim that every token needs is absent.
    #[error("it does not state `{claim}`, which every license token must")]
    Missing {
        /// The claim's name.
        claim: &'static str,
    },
    /// A claim has another form than it should.
    #[error("its `{claim}` is not of the form that a license token has")]
    Odd {
        /// The claim's name.
        claim: &'static str,
    },
    /// Another issuer.
    #[error("it was not issued by `{ISSUER}`")]
    Issuer,
    /// For another purpose.
    #[error("it is not meant for license checks: its `aud` names neither `{}` nor `{}`", AUDIENCES[0], AUDIENCES[1])]
    Audience,
}

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first: how it is signed.
    Header,
    /// The second: what it states.
    Payload,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// An Ed25519 public key that signs offline tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Parses base64 of the raw 32 bytes, or a PEM `SubjectPublicKeyInfo` (RFC 8410).
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::Private);
        }
        let bytes = if text.starts_with("-----") { bytes_of_pem(text)? } else { bytes_of_base64(text)? };
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| PublicKeyError::Malformed)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| PublicKeyError::Unsafe)?;
        if key.is_weak() {
            return Err(PublicKeyError::Unsafe);
        }
        Ok(Self(key))
    }
}

fn bytes_of_base64(text: &str) -> Result<Vec<u8>, PublicKeyError> {
    STANDARD_PAD_INDIFFERENT.decode(text).map_err(|_| PublicKeyError::Malformed)
}

fn bytes_of_pem(text: &str) -> Result<Vec<u8>, PublicKeyError> {
    let body = text
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
        .ok_or(PublicKeyError::Malformed)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = bytes_of_base64(&body)?;
    der.strip_prefix(&SPKI_ED25519).map(<[u8]>::to_vec).ok_or(PublicKeyError::OtherAlgorithm)
}

/// What stands before the 32 bytes in DER: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING }.
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a text is not an Ed25519 public key. Never carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Neither form.
    #[error("it is neither base64 of 32 bytes nor a PEM public key")]
    Malformed,
    /// The half that must not be here.
    #[error("it is a private key: write the public one here, and replace this pair")]
    Private,
    /// A public key of another algorithm.
    #[error("it is a public key of another algorithm than Ed25519")]
    OtherAlgorithm,
    /// Not a point of the curve, or one of small order, under which signatures can be forged.
    #[error("it is no usable Ed25519 key: signatures could be forged under it")]
    Unsafe,
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec};

    use base64::engine::general_purpose::STANDARD;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 8032, section 7.1, test 1.
    const SECRET: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
        0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    /// A token that two of the vendor's own libraries accept.
    const VECTOR: &str = concat!(
        "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.",
        "eyJpc3MiOiJ0cmFmZmljb3JjaGVzdHJhdG9yLmNvbSIsImF1ZCI6ImxpY2Vuc2Utb2ZmbGluZSIsInN1YiI6ImxpY190ZXN0IiwicGxhbiI6",
        "ImVudGVycHJpc2UiLCJkb20iOlsiYXBwLmNvbSJdLCJmZWF0dXJlcyI6WyJhbmFseXRpY3MiXSwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjQx",
        "MDI0NDQ4MDB9.",
        "hEb5xlVhQ5VuqSL3SSvv9bSXTZrLzxxdCSuiVzeH6uX_0xF7b8tESXq8zs1BnDgHl-_VdvvVcR2Qa-M2PkiUAg"
    );

    fn public() -> PublicKey {
        PublicKey::parse(PUBLIC).unwrap()
    }

    fn other_public() -> PublicKey {
        PublicKey(SigningKey::from_bytes(&[7; 32]).verifying_key())
    }

    fn signed(header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = SigningKey::from_bytes(&SECRET).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn with_header(header: &Value) -> String {
        signed(&header.to_string(), &claims().to_string())
    }

    fn stating(claims: &Value) -> String {
        signed(r#"{"alg":"EdDSA","typ":"JWT"}"#, &claims.to_string())
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": "license-offline", "dom": ["app.com"], "exp": 4_102_444_800u64})
    }

    /// The claims with one of them set to another value.
    fn with(claim: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[claim] = value;
        claims
    }

    fn opened(token: &str) -> Result<License, TokenError> {
        open(token, &[public()])
    }

    #[test]
    fn the_vendors_token_is_read() {
        let expected = License {
            id: Some("lic_test".to_owned()),
            plan: Some("enterprise".to_owned()),
            issued_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            expires_at: Some("2100-01-01T00:00:00Z".parse().unwrap()),
            domains: Some(vec!["app.com".to_owned()]),
            features: Some(BTreeSet::from(["analytics".to_owned()])),
            ..License::bare(Answer::Accepted { code: None })
        };
        assert_eq!(opened(VECTOR), Ok(expected));
    }

    #[test]
    fn the_signature_may_fit_any_of_several_keys() {
        assert!(open(VECTOR, &[other_public(), public()]).is_ok());
        assert!(open(VECTOR, &[public(), other_public()]).is_ok());
        assert_eq!(open(VECTOR, &[other_public()]), Err(TokenError::Signature));
        assert_eq!(open(VECTOR, &[]), Err(TokenError::NoKeys));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        for at in 0..VECTOR.len() {
            for replacement in ["A", "w", "_", ".", "="] {
                let mut changed = VECTOR.to_owned();
                changed.replace_range(at..=at, replacement);
                assert!(changed == VECTOR || opened(&changed).is_err(), "{at} {replacement}");
            }
        }
    }

    #[test]
    fn a_payload_of_one_token_does_not_fit_the_signature_of_another() {
        let (_, signature) = VECTOR.rsplit_once('.').unwrap();
        let forged = stating(&with("dom", json!(["evil.example"])));
        let (stolen, _) = forged.rsplit_once('.').unwrap();
        assert_eq!(opened(&format!("{stolen}.{signature}")), Err(TokenError::Signature));
        let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
        assert_eq!(opened(&format!("{stolen}.{zeros}")), Err(TokenError::Signature));
    }

    #[test]
    fn only_eddsa_is_accepted() {
        for alg in ["none", "None", "HS256", "RS256", "ES256", "eddsa", "Ed25519", ""] {
            let token = with_header(&json!({"alg": alg, "typ": "JWT"}));
            assert_eq!(opened(&token), Err(TokenError::Algorithm), "{alg}");
        }
        let unsigned = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        assert_eq!(opened(&unsigned), Err(TokenError::Algorithm));
    }

    #[test]
    fn a_header_says_what_it_must_and_nothing_that_is_not_understood() {
        let unreadable = Err(TokenError::Unreadable { part: Part::Header });
        let table = [
            (json!({"alg": "EdDSA"}), Ok(())),
            (json!({"alg": "EdDSA", "typ": "jwt", "kid": "2"}), Ok(())),
            (json!({"alg": "EdDSA", "typ": "JWE"}), Err(TokenError::Type)),
            (json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), Err(TokenError::Critical)),
            (json!({"typ": "JWT"}), unreadable.clone()),
            (json!({"alg": ["EdDSA"]}), unreadable.clone()),
            (json!(["EdDSA", "JWT", null]), unreadable.clone()),
        ];
        for (header, expected) in table {
            assert_eq!(opened(&with_header(&header)).map(drop), expected, "{header}");
        }
        let twice = signed(r#"{"alg":"EdDSA","alg":"EdDSA"}"#, &claims().to_string());
        assert_eq!(opened(&twice).map(drop), unreadable);
    }

    #[test]
    fn what_every_token_must_state_may_not_be_missing() {
        for claim in ["iss", "aud", "dom", "exp"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(claim);
            assert_eq!(opened(&stating(&without)), Err(TokenError::Missing { claim }));
            assert_eq!(opened(&stating(&with(claim, Value::Null))), Err(TokenError::Missing { claim }));
        }
        assert_eq!(opened(&stating(&with("dom", json!([])))), Err(TokenError::Missing { claim: "dom" }));
    }

    #[test]
    fn the_issuer_and_the_audience_are_compared_whole() {
        let table = [
            ("iss", json!("trafficorchestrator.com.evil.example"), Err(TokenError::Issuer)),
            ("iss", json!("TRAFFICORCHESTRATOR.COM"), Err(TokenError::Issuer)),
            ("iss", json!(["trafficorchestrator.com"]), Err(TokenError::Odd { claim: "iss" })),
            ("aud", json!("license-offline"), Ok(())),
            ("aud", json!("license-validation"), Ok(())),
            ("aud", json!(["other", "license-validation"]), Ok(())),
            ("aud", json!("license"), Err(TokenError::Audience)),
            ("aud", json!(["other"]), Err(TokenError::Audience)),
            ("aud", json!([]), Err(TokenError::Audience)),
            ("aud", json!([1, "license-offline"]), Err(TokenError::Odd { claim: "aud" })),
            ("aud", json!({"license-offline": true}), Err(TokenError::Odd { claim: "aud" })),
        ];
        for (claim, value, expected) in table {
            assert_eq!(opened(&stating(&with(claim, value.clone()))).map(drop), expected, "{claim} {value}");
        }
    }

    #[test]
    fn a_claim_of_another_form_is_an_error_and_not_a_guess() {
        let table = [
            ("exp", json!("4102444800")),
            ("exp", json!(1e300)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(i64::MIN)),
            ("exp", json!(true)),
            ("nbf", json!("soon")),
            ("iat", json!({})),
            ("dom", json!({"app.com": true})),
            ("dom", json!(["app.com", 1])),
            ("sub", json!(1)),
            ("plan", json!(["pro"])),
            ("features", json!({"sso": true})),
            ("limits", json!(5)),
        ];
        for (claim, value) in table {
            let token = stating(&with(claim, value.clone()));
            assert_eq!(opened(&token), Err(TokenError::Odd { claim }), "{claim} {value}");
        }
        let twice = signed(
            r#"{"alg":"EdDSA"}"#,
            r#"{"iss":"trafficorchestrator.com","aud":"license-offline","dom":["a.com"],"exp":1,"exp":4102444800}"#,
        );
        assert_eq!(opened(&twice), Err(TokenError::Unreadable { part: Part::Payload }));
    }

    #[test]
    fn every_claim_that_is_stated_is_read() {
        let claims = json!({
            "iss": ISSUER, "aud": ["license-offline"], "dom": "app.com", "exp": 1_900_000_000.5, "nbf": 1, "iat": 0,
            "sub": "lic_1", "plan": "pro", "features": ["sso", "sso"], "limits": {"activations": 5}, "more": [],
        });
        let license = opened(&stating(&claims)).unwrap();
        assert_eq!(license.domains, Some(vec!["app.com".to_owned()]));
        assert_eq!(license.expires_at, Some("2030-03-17T17:46:40.5Z".parse().unwrap()));
        assert_eq!(license.not_before, Some(Timestamp::from_second(1).unwrap()));
        assert_eq!(license.issued_at, Some(Timestamp::UNIX_EPOCH));
        assert_eq!((license.id.as_deref(), license.plan.as_deref()), (Some("lic_1"), Some("pro")));
        assert_eq!(license.features, Some(BTreeSet::from(["sso".to_owned()])));
        assert_eq!(license.activation_limit, Some(ActivationLimit::AtMost(5)));
    }

    #[test]
    fn a_limit_that_is_no_count_is_not_stated() {
        let table = [
            (json!({"maxActivations": 3}), Some(ActivationLimit::AtMost(3))),
            (json!({"activations": "Unlimited"}), Some(ActivationLimit::Unlimited)),
            (json!({"activations": -1}), None),
            (json!({"activations": "3"}), None),
            (json!({"activations": null}), None),
            (json!({"requests": 3}), None),
            (json!({}), None),
        ];
        for (limits, expected) in table {
            let license = opened(&stating(&with("limits", limits.clone()))).unwrap();
            assert_eq!(license.activation_limit, expected, "{limits}");
        }
    }

    #[test]
    fn what_is_no_token_says_so() {
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        let padded = format!("{VECTOR}==");
        let table = [
            ("", TokenError::NotThreeParts),
            ("a.b", TokenError::NotThreeParts),
            ("a.b.c.d", TokenError::NotThreeParts),
            (&long, TokenError::TooLong),
            ("..", TokenError::Unreadable { part: Part::Header }),
            ("TO-PRD-1.2.3", TokenError::Unreadable { part: Part::Header }),
            (&padded, TokenError::Unreadable { part: Part::Signature }),
        ];
        for (token, error) in table {
            assert_eq!(opened(token), Err(error));
        }
        let short = VECTOR.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
        assert_eq!(opened(&short), Err(TokenError::Unreadable { part: Part::Signature }));
    }

    #[test]
    fn an_error_about_a_token_never_carries_it() {
        let token = stating(&with("iss", json!("MARKER")));
        let error = opened(&token).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("MARKER"));
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_public_key_is_read_from_base64_and_from_pem() {
        let raw = STANDARD.decode(PUBLIC).unwrap();
        let der = [&SPKI_ED25519[..], &raw].concat();
        let texts = [
            PUBLIC.trim_end_matches('=').to_owned(),
            format!("  {PUBLIC}\n"),
            pem("PUBLIC KEY", &der),
            pem("PUBLIC KEY", &der).replace('\n', "\r\n"),
            pem("PUBLIC KEY", &der).replace('\n', ""),
        ];
        for text in texts {
            assert_eq!(PublicKey::parse(&text), Ok(public()), "{text}");
        }
    }

    #[test]
    fn what_is_no_public_key_says_why() {
        let raw = STANDARD.decode(PUBLIC).unwrap();
        let der = [&SPKI_ED25519[..], &raw].concat();
        let identity = {
            let mut point = [0; 32];
            point[0] = 1;
            point
        };
        let not_a_point = {
            let mut point = [0; 32];
            point[0] = 2;
            point
        };
        let table = [
            (String::new(), PublicKeyError::Malformed),
            ("not base64!".to_owned(), PublicKeyError::Malformed),
            (STANDARD.encode(&raw[1..]), PublicKeyError::Malformed),
            (STANDARD.encode(&der), PublicKeyError::Malformed),
            (pem("CERTIFICATE", &der), PublicKeyError::Malformed),
            (pem("PUBLIC KEY", &der[..40]), PublicKeyError::Malformed),
            (pem("PUBLIC KEY", &[&der[..], &[0]].concat()), PublicKeyError::Malformed),
            (pem("PUBLIC KEY", &raw), PublicKeyError::OtherAlgorithm),
            (pem("PRIVATE KEY", &der), PublicKeyError::Private),
            (pem("OPENSSH PRIVATE KEY", &der), PublicKeyError::Private),
            (STANDARD.encode(identity), PublicKeyError::Unsafe),
            (STANDARD.encode([0; 32]), PublicKeyError::Unsafe),
            (STANDARD.encode(not_a_point), PublicKeyError::Unsafe),
        ];
        for (text, error) in table {
            assert_eq!(PublicKey::parse(&text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_token_makes_the_reader_panic(
            text in ".{0,80}", header in ".{0,40}", payload in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            prop_assert!(opened(&text).is_err());
            let _ = opened(&signed(&header, &String::from_utf8_lossy(&payload)));
            let _ = opened(&signed(r#"{"alg":"EdDSA"}"#, &String::from_utf8_lossy(&payload)));
            let _ = PublicKey::parse(&text);
        }

        #[test]
        fn no_number_as_a_time_makes_the_reader_panic(secs in any::<f64>(), whole in any::<i64>()) {
            let _ = opened(&stating(&with("exp", json!(secs))));
            let _ = opened(&stating(&with("exp", json!(whole))));
        }
    }
}
