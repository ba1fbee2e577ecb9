//! Offline license tokens: a JWT signed with Ed25519 (RFC 8037, RFC 7519).
//!
//! Strict: only `EdDSA`; the signature is always checked, against each of several public keys, so that keys can roll over;
//! `exp` and `dom` are required, `iss` and `aud` are checked.

use alloc::vec::Vec;

use jiff::Timestamp;

use crate::license::License;

/// An Ed25519 public key that signs offline tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Parses base64 of the raw 32 bytes, or a PEM `SubjectPublicKeyInfo` (RFC 8410).
    pub fn parse(_text: &str) -> Result<Self, PublicKeyError> {
        unimplemented!()
    }
}

/// Why a text is not an Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Neither form.
    #[error("it is neither base64 of 32 bytes nor a PEM public key")]
    Malformed,
}

/// Checks a token against the public keys and reads the license that it states.
/// Times are judged by the gate afterwards; here `exp` and `nbf` are only read.
pub fn open(_token: &str, _keys: &[PublicKey]) -> Result<Opened, TokenError> {
    unimplemented!()
}

/// A token whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it states; the answer is "accepted", since the token was signed.
    pub license: License,
    /// When it was issued, where it says so.
    pub issued_at: Option<Timestamp>,
    /// The domains it covers, as written.
    pub domains: Vec<alloc::string::String>,
}

/// Why a token is not accepted. Never carries the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts of JSON and a signature.
    #[error("it is not a license token")]
    Malformed,
}
