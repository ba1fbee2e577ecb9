//! The forms of keys and tokens, and what only looks like one.

use alloc::string::String;
use core::{fmt, ops::Range};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{random, work};
use crate::token;

/// The longest key or API token that is recognized by its form, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// The longest that a form may be, in bytes.
pub(super) const FORM_BYTES_MAX: usize = token::TOKEN_BYTES_MAX;

/// What forms begin with. None of these ends with what another begins with, so that all are found in one pass.
pub const BEGINNINGS: [&str; 8] =
    ["TO-", "LK-", "LIC-", "to_live_", "to_test_", "sk_live_", "sk_test_", TOKEN_BEGINNING];

const TOKEN_BEGINNING: &str = "eyJ";

/// A form that keys and tokens have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `TO-DEV-…`, `TO-STG-…`, `TO-PRD-…` and `TO-XXXX-…`.
    ToKey,
    /// `LK-…`.
    LkKey,
    /// `LIC-…`.
    LicKey,
    /// API tokens: `to_live_…`, `to_test_…`, `sk_live_…`, `sk_test_…`.
    ApiToken,
    /// An offline license token.
    LicenseToken,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::ToKey, Self::LkKey, Self::LicKey, Self::ApiToken, Self::LicenseToken];

    /// The word for it in output that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToKey => "to_key",
            Self::LkKey => "lk_key",
            Self::LicKey => "lic_key",
            Self::ApiToken => "api_token",
            Self::LicenseToken => "license_token",
        }
    }
}

/// Whether a form may begin at a place: not within a word. The letter of the escape of a line break or a tab is none.
pub fn may_begin(hay: &[u8], at: usize) -> bool {
    let before = hay.get(at.saturating_sub(2)..at).unwrap_or_default();
    !before.last().is_some_and(u8::is_ascii_alphanumeric) || matches!(before, [b'\\', b'n' | b'r' | b't'])
}

/// Whether this one of the [`BEGINNINGS`] ends a key that stands before it: no key has it within.
pub(super) fn ends_a_key(beginning: usize) -> bool {
    BEGINNINGS.get(beginning).is_some_and(|beginning| *beginning != TOKEN_BEGINNING)
}

/// The form at a place, where one of the [`BEGINNINGS`] stands, and what has it. Keys end before `limit`, where the next begins.
/// Placeholders have no form.
pub(super) fn at(hay: &[u8], at: usize, beginning: usize, limit: usize) -> Option<(Form, Range<usize>)> {
    if !may_begin(hay, at) {
        return None;
    }
    let beginning = *BEGINNINGS.get(beginning)?;
    let body = at + beginning.len();
    let keys = &hay[..limit];
    let (form, end) = match beginning {
        "TO-" => (Form::ToKey, key_end(keys, body).filter(|&end| !is_part_of_uuid(&keys[body..end]))?),
        "LK-" => (Form::LkKey, key_end(keys, body).filter(|&end| !is_part_of_uuid(&keys[body..end]))?),
        "LIC-" => (Form::LicKey, key_end(keys, body)?),
        TOKEN_BEGINNING => (Form::LicenseToken, license_token_end(hay, at)?),
        _ => (Form::ApiToken, api_token_end(keys, body)?),
    };
    Some((form, at..end))
}

/// What all secrets of the text's form begin with; nothing if it has none.
pub(super) fn beginning_of(secret: &[u8]) -> &'static str {
    const CLASSES: [&str; 3] = ["TO-DEV-", "TO-STG-", "TO-PRD-"];

    let mut beginnings = CLASSES.into_iter().chain(BEGINNINGS);
    beginnings.find(|beginning| secret.starts_with(beginning.as_bytes())).unwrap_or_default()
}

/// The end of a license key whose groups begin at `body`.
///
/// Real keys have three or more groups of one length, or one long group; before these may stand a class or a plan.
/// Words with hyphens between them have neither.
fn key_end(hay: &[u8], body: usize) -> Option<usize> {
    const EQUAL_GROUPS_MIN: usize = 3;
    const EQUAL_GROUP_CHARS_MIN: usize = 4;

    let text = run(hay, body, KEY_BYTES_MAX, |byte| byte.is_ascii_alphanumeric() || byte == b'-')?;
    let length = text.iter().rposition(|&byte| byte != b'-')? + 1;
    let groups = || text[..length].split(|&byte| byte == b'-');
    let has_long_group = groups().any(random::is_random);
    let is_key = has_long_group || {
        // The longest row of groups of one length, as the number of the last group and its length.
        let mut row: (usize, usize) = (0, 0);
        let mut best: (usize, usize) = (0, 0);
        for (number, group) in groups().enumerate() {
            row = if group.len() == row.1 { (row.0 + 1, row.1) } else { (1, group.len()) };
            if row.1 >= EQUAL_GROUP_CHARS_MIN && row.0 >= EQUAL_GROUPS_MIN && row.0 >= best.0 {
                best = (row.0, number + 1);
            }
        }
        let (count, end) = best;
        count > 0 && random::are_random(groups().skip(end - count).take(count))
    };
    (is_key && !random::has_placeholder_word(text)).then_some(body + length)
}

/// Whether the groups of a text are some of those of a UUID, with its first one or its last: other groups of four are those of keys.
fn is_part_of_uuid(text: &[u8]) -> bool {
    const DIGITS: [usize; 5] = [8, 4, 4, 4, 12];

    let lengths = || text.split(|&byte| byte == b'-').map(<[u8]>::len);
    let count = lengths().count();
    let is_hex =
        |digits: fn(&u8) -> bool| text.iter().all(|byte| *byte == b'-' || byte.is_ascii_digit() || digits(byte));
    let is_part =
        || lengths().eq(DIGITS.into_iter().take(count)) || lengths().eq(DIGITS.into_iter().skip(DIGITS.len() - count));
    (2..=DIGITS.len()).contains(&count)
        && is_part()
        && (is_hex(|byte| matches!(byte, b'a'..=b'f')) || is_hex(|byte| matches!(byte, b'A'..=b'F')))
}

/// The end of an API token whose random part begins at `body`.
fn api_token_end(hay: &[u8], body: usize) -> Option<usize> {
    const CHARS_MIN: usize = 16;

    let text = run(hay, body, KEY_BYTES_MAX, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')?;
    let is_token =
        text.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| part.len() >= CHARS_MIN && random::is_random(part));
    (is_token && !random::has_placeholder_word(text)).then_some(body + text.len())
}

/// The end of an offline license token that begins at `start`: signed with `EdDSA`, and of the one issuer.
fn license_token_end(hay: &[u8], start: usize) -> Option<usize> {
    const HEADER_BYTES_MAX: usize = 512;
    const SIGNATURE_DIGITS: usize = 86;

    #[derive(Deserialize)]
    struct Header {
        alg: String,
    }
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }

    let header = run(hay, start, HEADER_BYTES_MAX, is_token_digit)?;
    let dot = start + header.len();
    let payload = (hay.get(dot) == Some(&b'.')).then(|| run(hay, dot + 1, FORM_BYTES_MAX, is_token_digit))??;
    let dot = dot + 1 + payload.len();
    let signature = (hay.get(dot) == Some(&b'.')).then(|| run(hay, dot + 1, SIGNATURE_DIGITS, is_token_digit))??;
    let end = dot + 1 + signature.len();
    if signature.len() != SIGNATURE_DIGITS || end - start > FORM_BYTES_MAX || is_one_character(signature) {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    (header.alg == "EdDSA" && claims.iss == token::ISSUER).then_some(end)
}

/// Whether a byte is in the parts of a token.
pub(super) fn is_token_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn is_one_character(text: &[u8]) -> bool {
    text.windows(2).all(|pair| pair[0] == pair[1])
}

/// The bytes from a place on, as far as they are of one kind. None if there are none, or more than `bytes_max`.
fn run(hay: &[u8], start: usize, bytes_max: usize, is_part: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let text = hay.get(start..)?;
    let text = &text[..text.len().min(bytes_max + 1)];
    let length = text.iter().position(|&byte| !is_part(byte)).unwrap_or(text.len());
    work::step(length);
    (1..=bytes_max).contains(&length).then(|| &text[..length])
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToKey => "a `TO-…` license key",
            Self::LkKey => "an `LK-…` license key",
            Self::LicKey => "a `LIC-…` license key",
            Self::ApiToken => "an API token",
            Self::LicenseToken => "an offline license token",
        })
    }
}
