//! How a secret may be written, and whether it is written at a place.
//!
//! A secret is searched by its cores (see [`super::sieve`]); each tells which writing of which secret it belongs to, and at
//! which of its units. From there the whole is read in both directions, and read tolerantly: characters may be escaped
//! or not, one by one; lines of base64 may break.

use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroizing;

use super::{leak::Encoding, sieve::Grain};

/// The longest writing of a secret of so many bytes: each as `\u00XX`, or base64 with line breaks.
pub(super) fn reach(secret_bytes: usize) -> usize {
    6 * secret_bytes + 64
}

/// A piece of a writing, by which the writing is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Core {
    /// The secret's place in the list of secrets.
    pub(super) secret: u32,
    writing: Writing,
    /// The unit of the writing that the core begins with: a byte of the secret, a UTF-16 unit, or a digit of base64.
    unit: u32,
}

/// The ways of writing that need cores of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Byte by byte, each as it is or escaped.
    Text,
    /// Base64, with so many bytes before the secret in its group of three.
    Base64 {
        before: usize,
    },
    Hex,
    Utf16Le,
    /// Its core begins at the second byte of a unit, so that it is the same as for the other order.
    Utf16Be,
}

/// The grain in which secrets can be searched.
pub(super) fn grain<'a>(texts: impl IntoIterator<Item = &'a str>) -> Grain {
    // UTF-16 is what has the fewest units, and one more of these is needed than fits into a core.
    let is_long = |text: &str| text.encode_utf16().count() >= Grain::Coarse.core_bytes();
    if texts.into_iter().all(is_long) { Grain::Coarse } else { Grain::Fine }
}

/// All cores of a secret, each with its bytes.
pub(super) fn cores(grain: Grain, secret: u32, text: &str) -> Vec<(Core, Zeroizing<Vec<u8>>)> {
    let mut cores = Cores { secret, bytes: grain.core_bytes(), found: Vec::new() };
    cores.text(text.as_bytes());
    for before in 0..3 {
        cores.base64(text.as_bytes(), before);
    }
    cores.hex(text.as_bytes());
    cores.utf16(text);
    cores.found
}

struct Cores {
    secret: u32,
    /// How many bytes a core has.
    bytes: usize,
    found: Vec<(Core, Zeroizing<Vec<u8>>)>,
}

impl Cores {
    fn add(&mut self, writing: Writing, unit: usize, bytes: &[u8]) {
        let Ok(unit) = u32::try_from(unit) else { return };
        let core = (Core { secret: self.secret, writing, unit }, Zeroizing::new(bytes.to_vec()));
        if !self.found.contains(&core) {
            self.found.push(core);
        }
    }

    /// A core for every style in which writers escape, unless one that is there stands in it too.
    fn text(&mut self, secret: &[u8]) {
        for style in Style::ALL {
            let mut written = Zeroizing::new(Vec::new());
            let mut places = Vec::with_capacity(secret.len());
            for &byte in secret {
                places.push(written.len());
                style.write(byte, &mut written);
            }
            let at = |unit: usize| places.get(unit).and_then(|&place| written.get(place..place + self.bytes));
            let is_there = self.found.iter().any(|(core, bytes)| at(core.unit as usize) == Some(&bytes[..]));
            if is_there {
                continue;
            }
            // From the end: the beginning of a key is what all keys have in common.
            let unit = (0..secret.len())
                .rev()
                .find(|&unit| at(unit).is_some_and(|bytes| bytes.iter().all(u8::is_ascii_alphanumeric)))
                .or_else(|| {
                    let stands_everywhere = |bytes: &[u8]| bytes.iter().copied().all(stands_everywhere);
                    (0..secret.len()).rev().find(|&unit| at(unit).is_some_and(stands_everywhere))
                })
                .or_else(|| (0..secret.len()).rev().find(|&unit| at(unit).is_some()));
            if let Some((unit, bytes)) = unit.and_then(|unit| Some((unit, at(unit)?))) {
                self.add(Writing::Text, unit, bytes);
            }
        }
    }

    /// Two cores side by side: of line breaks that are farther apart than both are long, one hits one of them at most.
    fn base64(&mut self, secret: &[u8], before: usize) {
        let end = (before + secret.len()) * 8 / 6;
        let first = (before * 8).div_ceil(6);
        for unit in [end.checked_sub(self.bytes), end.checked_sub(2 * self.bytes)]
            .into_iter()
            .flatten()
            .filter(|&unit| unit >= first)
        {
            for alphabet in [STANDARD, URL_SAFE] {
                let digits =
                    (unit..unit + self.bytes).map(|unit| alphabet[usize::from(digit(secret, before, unit).value)]);
                let digits: Zeroizing<Vec<u8>> = Zeroizing::new(digits.collect());
                self.add(Writing::Base64 { before }, unit, &digits);
            }
        }
    }

    fn hex(&mut self, secret: &[u8]) {
        let Some(unit) = secret.len().checked_sub(self.bytes / 2) else { return };
        for digits in [LOWER, UPPER] {
            let mut written = Zeroizing::new(Vec::new());
            secret[unit..].iter().for_each(|&byte| push_hex(byte, digits, &mut written));
            self.add(Writing::Hex, unit, &written);
        }
    }

    fn utf16(&mut self, text: &str) {
        let little: Zeroizing<Vec<u8>> = Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        let big: Zeroizing<Vec<u8>> = Zeroizing::new(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        let Some(unit) = (little.len() / 2).checked_sub(self.bytes / 2 + 1) else { return };
        self.add(Writing::Utf16Le, unit, &little[2 * unit..2 * unit + self.bytes]);
        self.add(Writing::Utf16Be, unit, &big[2 * unit + 1..2 * unit + 1 + self.bytes]);
    }
}

/// Whether no writer of [`Style::ALL`] that escapes only what it must escapes the byte.
fn stands_everywhere(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// A style in which writers write text. What they mix is found too, as long as a core of one of them remains.
#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    /// All bytes are percent-encoded but letters, digits and these.
    Percent {
        kept: &'static [u8],
        digits: &'static [u8; 16],
    },
    PercentAll {
        digits: &'static [u8; 16],
    },
    /// Quotes and backslashes get a backslash, and these too.
    Json {
        also: &'static [u8],
    },
    /// As for `Json`, and these become `\u00XX`.
    JsonUnicode {
        escaped: fn(u8) -> bool,
        digits: &'static [u8; 16],
    },
}

impl Style {
    /// Percent-encoders keep: RFC 3986 unreserved characters; JavaScript's `encodeURIComponent`; HTML forms; a path segment.
    const ALL: [Self; 21] = [
        Self::Plain,
        Self::Percent { kept: b"-._~", digits: UPPER },
        Self::Percent { kept: b"-._~", digits: LOWER },
        Self::Percent { kept: b"-._~!'()*", digits: UPPER },
        Self::Percent { kept: b"-._~!'()*", digits: LOWER },
        Self::Percent { kept: b"-._*", digits: UPPER },
        Self::Percent { kept: b"-._*", digits: LOWER },
        Self::Percent { kept: b"-._~!$&'()*+,;=:@", digits: UPPER },
        Self::Percent { kept: b"-._~!$&'()*+,;=:@", digits: LOWER },
        Self::Percent { kept: b"", digits: UPPER },
        Self::Percent { kept: b"", digits: LOWER },
        Self::PercentAll { digits: UPPER },
        Self::PercentAll { digits: LOWER },
        Self::Json { also: b"" },
        Self::Json { also: b"/" },
        Self::JsonUnicode { escaped: is_for_html, digits: LOWER },
        Self::JsonUnicode { escaped: is_for_html, digits: UPPER },
        Self::JsonUnicode { escaped: is_sign, digits: LOWER },
        Self::JsonUnicode { escaped: is_sign, digits: UPPER },
        Self::JsonUnicode { escaped: is_ascii, digits: LOWER },
        Self::JsonUnicode { escaped: is_ascii, digits: UPPER },
    ];

    fn write(self, byte: u8, written: &mut Vec<u8>) {
        let percent = |digits, written: &mut Vec<u8>| {
            written.push(b'%');
            push_hex(byte, digits, written);
        };
        let unicode = |digits, written: &mut Vec<u8>| {
            written.extend_from_slice(b"\\u00");
            push_hex(byte, digits, written);
        };
        match self {
            Self::PercentAll { digits } => percent(digits, written),
            Self::Percent { kept, digits } if !byte.is_ascii_alphanumeric() && !kept.contains(&byte) => {
                percent(digits, written);
            }
            Self::JsonUnicode { escaped, digits } if escaped(byte) => unicode(digits, written),
            Self::Json { also } if also.contains(&byte) => written.extend_from_slice(&[b'\\', byte]),
            Self::Json { .. } | Self::JsonUnicode { .. } if b"\"\\".contains(&byte) => {
                written.extend_from_slice(&[b'\\', byte]);
            }
            Self::Plain | Self::Percent { .. } | Self::Json { .. } | Self::JsonUnicode { .. } => {
                written.push(byte);
            }
        }
    }
}

/// What means something in HTML.
fn is_for_html(byte: u8) -> bool {
    b"<>&'".contains(&byte)
}

fn is_ascii(byte: u8) -> bool {
    byte.is_ascii()
}

fn is_sign(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// A secret that is written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) range: Range<usize>,
    pub(super) encoding: Encoding,
}

impl Core {
    /// Reads the whole secret around its core, which would begin at `at`. `base` is the offset of `hay` in its object.
    pub(super) fn read(self, hay: &[u8], base: u64, at: usize, secret: &str) -> Option<Written> {
        let unit = self.unit as usize;
        let bytes = secret.as_bytes();
        let written = match self.writing {
            Writing::Text => read_text(hay, at, bytes, unit),
            Writing::Base64 { before } => read_base64(hay, at, bytes, before, unit),
            Writing::Hex => read_hex(hay, at.checked_sub(2 * unit)?, bytes),
            Writing::Utf16Le => {
                let start = at.checked_sub(2 * unit)?;
                let little = read_utf16(hay, start, secret, Encoding::Utf16Le)?;
                // Between other characters of Latin scripts both orders fit. Units stand at even offsets of a file.
                let is_big = is_odd(base, start)
                    && start
                        .checked_sub(1)
                        .is_some_and(|start| read_utf16(hay, start, secret, Encoding::Utf16Be).is_some());
                (!is_big).then_some(little)
            }
            Writing::Utf16Be => {
                let start = at.checked_sub(2 * unit + 1)?;
                let big = read_utf16(hay, start, secret, Encoding::Utf16Be)?;
                let is_little = is_odd(base, start) && read_utf16(hay, start + 1, secret, Encoding::Utf16Le).is_some();
                (!is_little).then_some(big)
            }
        }?;
        (written.range.len() <= reach(bytes.len())).then_some(written)
    }
}

fn is_odd(base: u64, at: usize) -> bool {
    (base ^ at as u64) & 1 == 1
}

fn read_text(hay: &[u8], at: usize, secret: &[u8], unit: usize) -> Option<Written> {
    let plain = at.checked_sub(unit).map(|start| start..start + secret.len());
    if let Some(range) = plain.filter(|range| hay.get(range.clone()) == Some(secret)) {
        return Some(Written { range, encoding: Encoding::Plain });
    }
    let mut encoding = Encoding::Plain;
    let mut end = at;
    for &byte in &secret[unit..] {
        let (escape, length) = read_byte(hay.get(end..)?, byte)?;
        end += length;
        encoding = if encoding == Encoding::Plain { escape } else { encoding };
    }
    let mut start = at;
    for &byte in secret[..unit].iter().rev() {
        let (escape, length) = read_byte_before(hay.get(..start)?, byte)?;
        start -= length;
        encoding = if encoding == Encoding::Plain { escape } else { encoding };
    }
    Some(Written { range: start..end, encoding })
}

/// The byte at the beginning of a text, however it is written, and the length of that.
fn read_byte(text: &[u8], byte: u8) -> Option<(Encoding, usize)> {
    escapes(byte)
        .find(|(_, length)| text.get(..*length).is_some_and(|text| unescape(text) == Some(byte)))
        .or_else(|| (text.first() == Some(&byte)).then_some((Encoding::Plain, 1)))
}

/// As [`read_byte`], at the end of a text.
fn read_byte_before(text: &[u8], byte: u8) -> Option<(Encoding, usize)> {
    let last = |length: usize| text.len().checked_sub(length).map(|at| &text[at..]);
    escapes(byte)
        .find(|(_, length)| last(*length).is_some_and(|text| unescape(text) == Some(byte)))
        .or_else(|| (text.last() == Some(&byte)).then_some((Encoding::Plain, 1)))
}

/// The escapes that a byte may have, with their lengths.
fn escapes(byte: u8) -> impl Iterator<Item = (Encoding, usize)> {
    let always = [(Encoding::Percent, 3), (Encoding::JsonEscape, 6)];
    let sometimes = (Encoding::JsonEscape, 2);
    always.into_iter().chain(b"\"\\/".contains(&byte).then_some(sometimes))
}

/// What an escape stands for, if the whole text is one.
fn unescape(text: &[u8]) -> Option<u8> {
    match text {
        &[b'%', high, low] | &[b'\\', b'u', b'0', b'0', high, low] => Some(hex_digit(high)? << 4 | hex_digit(low)?),
        &[b'\\', byte] => Some(byte),
        _ => None,
    }
}

fn read_hex(hay: &[u8], start: usize, secret: &[u8]) -> Option<Written> {
    let range = start..start + 2 * secret.len();
    let pairs = hay.get(range.clone())?.chunks_exact(2);
    let is_it = pairs
        .zip(secret)
        .all(|(pair, &byte)| hex_digit(pair[0]) == Some(byte >> 4) && hex_digit(pair[1]) == Some(byte & 15));
    is_it.then_some(Written { range, encoding: Encoding::Hex })
}

fn read_utf16(hay: &[u8], start: usize, secret: &str, order: Encoding) -> Option<Written> {
    let mut end = start;
    for unit in secret.encode_utf16() {
        let bytes = if order == Encoding::Utf16Le { unit.to_le_bytes() } else { unit.to_be_bytes() };
        if hay.get(end..end + 2)? != bytes {
            return None;
        }
        end += 2;
    }
    Some(Written { range: start..end, encoding: order })
}

fn read_base64(hay: &[u8], at: usize, secret: &[u8], before: usize, unit: usize) -> Option<Written> {
    let first = before * 8 / 6;
    let end_digit = ((before + secret.len()) * 8).div_ceil(6);
    let mut encoding = Encoding::Base64;
    let mut is_it = |text: u8, unit: usize| {
        if text == b'-' || text == b'_' {
            encoding = Encoding::Base64Url;
        }
        let digit = digit(secret, before, unit);
        base64_digit(text).is_some_and(|value| value & digit.known == digit.value)
    };
    let mut end = at;
    for unit in unit..end_digit {
        end += line_break(hay.get(end..)?.iter());
        if !is_it(*hay.get(end)?, unit) {
            return None;
        }
        end += 1;
    }
    let mut start = at;
    for unit in (first..unit).rev() {
        start -= line_break(hay.get(..start)?.iter().rev());
        start = start.checked_sub(1)?;
        if !is_it(*hay.get(start)?, unit) {
            return None;
        }
    }
    Some(Written { range: start..end, encoding })
}

/// The length of a line break with the white space around it; 0 if there is none.
fn line_break<'a>(text: impl Iterator<Item = &'a u8>) -> usize {
    const BREAK_BYTES_MAX: usize = 32;

    let mut length = 0;
    let mut breaks = false;
    for byte in text.take_while(|byte| b" \t\r\n".contains(byte)).take(BREAK_BYTES_MAX) {
        length += 1;
        breaks |= *byte == b'\n';
    }
    if breaks { length } else { 0 }
}

/// A digit of the base64 of a text, as far as the secret in it determines it.
#[derive(Debug, Clone, Copy)]
struct Digit {
    value: u8,
    /// The bits that the secret determines.
    known: u8,
}

/// The digit at a place, counted from the beginning of the group of three bytes in which the secret begins.
fn digit(secret: &[u8], before: usize, place: usize) -> Digit {
    let bits = (place * 6..place * 6 + 6).map(|bit| {
        let byte = (bit / 8).checked_sub(before).and_then(|at| secret.get(at));
        byte.map(|byte| byte >> (7 - bit % 8) & 1)
    });
    bits.fold(Digit { value: 0, known: 0 }, |digit, bit| Digit {
        value: digit.value << 1 | bit.unwrap_or(0),
        known: digit.known << 1 | u8::from(bit.is_some()),
    })
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of a digit in either alphabet.
fn base64_digit(text: u8) -> Option<u8> {
    match text {
        b'A'..=b'Z' => Some(text - b'A'),
        b'a'..=b'z' => Some(text - b'a' + 26),
        b'0'..=b'9' => Some(text - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(byte: u8, digits: &[u8; 16], written: &mut Vec<u8>) {
    written.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
}

fn hex_digit(text: u8) -> Option<u8> {
    char::from(text).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
