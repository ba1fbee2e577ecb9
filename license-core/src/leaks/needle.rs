//! How a secret may be written as a whole, and whether it is written at a place.
//!
//! A secret is searched by its cores (see [`super::sieve`]); each tells which writing of which secret it belongs to, and at
//! which of its units. From there the whole is read in both directions, exactly: what is escaped, broken into lines or written as
//! numbers is brought into one of these writings first (see [`super::layer`]).

use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroizing;

use super::{leak::Encoding, sieve::Grain};

/// A piece of a writing, by which the writing is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Core {
    /// The secret's place in the list of secrets.
    pub(super) secret: u32,
    writing: Writing,
    /// The unit of the writing that the core begins with: a byte of the secret, a UTF-16 unit, or a digit of base64.
    unit: u32,
}

/// The ways of writing that have cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Plain,
    /// Base64, with so many bytes before the secret in its group of three.
    Base64 {
        before: usize,
    },
    Hex,
    Utf16Le,
    /// Its core begins at the second byte of a unit, so that it is the same as for the other order.
    Utf16Be,
}

/// The grain in which secrets can be searched: the coarsest one that all of them are long enough for.
pub(super) fn grain<'a>(texts: impl IntoIterator<Item = &'a str>) -> Grain {
    // UTF-16 is what has the fewest units, and one more of these is needed than fits into a core.
    let shortest = texts.into_iter().map(|text| text.encode_utf16().count()).min().unwrap_or(usize::MAX);
    Grain::ALL.into_iter().find(|grain| shortest >= grain.core_bytes()).unwrap_or(Grain::Fine)
}

/// All cores of a secret, each with its bytes.
pub(super) fn cores(grain: Grain, secret: u32, text: &str) -> Vec<(Core, Zeroizing<Vec<u8>>)> {
    let mut cores = Cores { secret, bytes: grain.core_bytes(), found: Vec::new() };
    cores.plain(text.as_bytes());
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

    /// From the end: the beginning of a key is what all keys have in common. Rows of one character stand everywhere.
    fn plain(&mut self, secret: &[u8]) {
        let has_variety = |bytes: &&[u8]| bytes.windows(2).filter(|pair| pair[0] != pair[1]).count() >= bytes.len() / 2;
        let unit = secret.windows(self.bytes).rposition(|bytes| has_variety(&bytes));
        let Some(unit) = unit.or_else(|| secret.len().checked_sub(self.bytes)) else { return };
        self.add(Writing::Plain, unit, &secret[unit..unit + self.bytes]);
    }

    fn base64(&mut self, secret: &[u8], before: usize) {
        let end = (before + secret.len()) * 8 / 6;
        let first = (before * 8).div_ceil(6);
        let Some(unit) = end.checked_sub(self.bytes).filter(|&unit| unit >= first) else { return };
        for alphabet in [STANDARD, URL_SAFE] {
            let digits = (unit..unit + self.bytes).map(|unit| alphabet[usize::from(digit(secret, before, unit).value)]);
            let digits: Zeroizing<Vec<u8>> = Zeroizing::new(digits.collect());
            self.add(Writing::Base64 { before }, unit, &digits);
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

/// A secret that is written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) range: Range<usize>,
    pub(super) encoding: Encoding,
}

impl Core {
    /// Reads the whole secret around its core, which begins at `at`. `base` is the offset of `hay` in its object.
    pub(super) fn read(self, hay: &[u8], base: u64, at: usize, secret: &str) -> Option<Written> {
        let unit = self.unit as usize;
        let bytes = secret.as_bytes();
        match self.writing {
            Writing::Plain => read_plain(hay, at.checked_sub(unit)?, bytes),
            Writing::Base64 { before } => read_base64(hay, (at + before * 8 / 6).checked_sub(unit)?, bytes, before),
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
        }
    }
}

/// Whether an offset of the object is odd.
pub(super) fn is_odd(base: u64, at: usize) -> bool {
    (base ^ at as u64) & 1 == 1
}

fn read_plain(hay: &[u8], start: usize, secret: &[u8]) -> Option<Written> {
    let range = start..start + secret.len();
    (hay.get(range.clone())? == secret).then_some(Written { range, encoding: Encoding::Plain })
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

/// Base64 whose first digit that has bits of the secret stands at `start`.
fn read_base64(hay: &[u8], start: usize, secret: &[u8], before: usize) -> Option<Written> {
    let first = before * 8 / 6;
    let range = start..start + ((before + secret.len()) * 8).div_ceil(6) - first;
    let text = hay.get(range.clone())?;
    let is_it = text.iter().zip(first..).all(|(&text, place)| {
        let digit = digit(secret, before, place);
        base64_digit(text).is_some_and(|value| value & digit.known == digit.value)
    });
    let is_for_urls = text.iter().any(|byte| b"-_".contains(byte));
    let encoding = if is_for_urls { Encoding::Base64Url } else { Encoding::Base64 };
    is_it.then_some(Written { range, encoding })
}

/// A digit of the base64 of a text, as far as the text determines it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digit {
    pub(super) value: u8,
    /// The bits that the text determines.
    pub(super) known: u8,
}

/// The digit at a place, counted from the beginning of the group of three bytes in which the text begins.
pub(super) fn digit(secret: &[u8], before: usize, place: usize) -> Digit {
    let bits = (place * 6..place * 6 + 6).map(|bit| {
        let byte = (bit / 8).checked_sub(before).and_then(|at| secret.get(at));
        byte.map(|byte| byte >> (7 - bit % 8) & 1)
    });
    bits.fold(Digit { value: 0, known: 0 }, |digit, bit| Digit {
        value: digit.value << 1 | bit.unwrap_or(0),
        known: digit.known << 1 | u8::from(bit.is_some()),
    })
}

/// The digits of base64.
pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of a digit in either alphabet.
#[inline]
pub(super) fn base64_digit(text: u8) -> Option<u8> {
    const NONE: u8 = 64;
    static VALUES: [u8; 256] = {
        let mut values = [NONE; 256];
        let mut value = 0;
        while value < 64 {
            values[STANDARD[value as usize] as usize] = value;
            values[URL_SAFE[value as usize] as usize] = value;
            value += 1;
        }
        values
    };
    let value = VALUES[usize::from(text)];
    (value != NONE).then_some(value)
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(byte: u8, digits: &[u8; 16], written: &mut Vec<u8>) {
    written.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
}

/// The value of a hex digit.
#[inline]
pub(super) fn hex_digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        b'A'..=b'F' => Some(text - b'A' + 10),
        _ => None,
    }
}
