//! Forms and known keys in base64 and in hex: found by what the beginnings of keys become there, then decoded.

use alloc::{string::String, vec::Vec};
use core::ops::Range;

use super::{
    form,
    leak::Encoding,
    needle::{STANDARD, base64_digit, digit, hex_digit},
    view::View,
    work,
};

/// How a beginning is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Base64, the text beginning with this digit of a group of four.
    Base64 {
        digit: usize,
    },
    Hex,
}

/// How many bytes of the beginnings are looked for: what several have in common is looked for once.
const BEGINNING_BYTES: usize = 3;

/// Digits in which a beginning is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needle {
    digits: String,
    pub(super) packing: Packing,
}

impl Needle {
    /// What is looked for in its place.
    pub(super) fn prefix(&self) -> &str {
        const HEX_DIGITS: usize = 3;

        match self.packing {
            Packing::Base64 { .. } => &self.digits,
            Packing::Hex => &self.digits[..HEX_DIGITS],
        }
    }

    /// Whether it stands at a place.
    pub(super) fn is_at(&self, hay: &[u8], at: usize) -> bool {
        hay[at..].starts_with(self.digits.as_bytes())
    }
}

/// The digits of the beginnings of keys in base64 and hex.
pub(super) fn needles() -> Vec<Needle> {
    let mut needles = Vec::new();
    let mut add = |digits: String, packing: Packing| {
        let needle = Needle { digits, packing };
        if !needles.contains(&needle) {
            needles.push(needle);
        }
    };
    for beginning in form::BEGINNINGS {
        let beginning = &beginning.as_bytes()[..BEGINNING_BYTES];
        for before in 0..3 {
            let whole = (before * 8_usize).div_ceil(6)..(before + BEGINNING_BYTES) * 8 / 6;
            let digits =
                whole.clone().map(|place| char::from(STANDARD[usize::from(digit(beginning, before, place).value)]));
            add(digits.collect(), Packing::Base64 { digit: whole.start % 4 });
        }
        let hex = |digits: &[u8; 16]| -> String {
            let digits = |&byte: &u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]].map(char::from);
            beginning.iter().flat_map(digits).collect()
        };
        add(hex(b"0123456789abcdef"), Packing::Hex);
        add(hex(b"0123456789ABCDEF"), Packing::Hex);
    }
    needles
}

/// The runs of digits of a text that were decoded already: for each way to read them, the end.
#[derive(Debug, Default)]
pub(super) struct Unpacked([usize; 6]);

impl Unpacked {
    /// Decodes the run of digits around a place, if that was not done from an earlier place.
    pub(super) fn view(&mut self, hay: &[u8], at: usize, packing: Packing) -> Option<View> {
        match packing {
            Packing::Base64 { digit } => self.base64(hay, at, digit),
            Packing::Hex => self.hex(hay, at),
        }
    }

    fn base64(&mut self, hay: &[u8], at: usize, digit: usize) -> Option<View> {
        let group = at.checked_sub(digit)?;
        let done = self.0.get_mut(group % GROUP).filter(|done| at >= **done)?;
        let is_digit = |byte: &u8| base64_digit(*byte).is_some();
        let start = hay[group..at].iter().all(is_digit).then_some(group)?;
        let digits = hay.get(start..start + PLAUSIBLE_BYTES / 3 * GROUP)?;
        if !digits[digit..].iter().all(is_digit) || !is_plausible(text_of(digits).skip(digit * 6 / 8)) {
            return None;
        }
        let length = hay[start..].iter().take_while(|byte| is_digit(byte)).count();
        *done = start + length;
        work::step(length);
        let digits = &hay[start..start + length];
        let text = text_of(digits).collect();
        let is_for_urls = digits.iter().any(|byte| b"-_".contains(byte));
        let encoding = if is_for_urls { Encoding::Base64Url } else { Encoding::Base64 };
        Some(View::scaled(text, start, 4, 3, encoding))
    }

    fn hex(&mut self, hay: &[u8], at: usize) -> Option<View> {
        let done = self.0.get_mut(4 + at % 2).filter(|done| at >= **done)?;
        let is_pair =
            |range: Range<usize>| hay.get(range).is_some_and(|pair| pair.iter().all(|&byte| hex_digit(byte).is_some()));
        let start = at.checked_sub(2).filter(|&before| is_pair(before..at)).unwrap_or(at);
        let digits = hay.get(at..at + 2 * PLAUSIBLE_BYTES)?;
        if !is_pair(at..at + digits.len()) || !is_plausible(text_of_hex(digits)) {
            return None;
        }
        let text: Vec<u8> = text_of_hex(&hay[start..]).collect();
        *done = start + 2 * text.len();
        work::step(2 * text.len());
        Some(View::scaled(text, start, 2, 1, Encoding::Hex))
    }
}

/// The digits of a group of base64.
const GROUP: usize = 4;

/// So many bytes from the beginning of a key on are looked at before all is decoded: no key is shorter.
const PLAUSIBLE_BYTES: usize = 12;

/// Whether a key or a token may begin with it.
fn is_plausible(mut text: impl Iterator<Item = u8>) -> bool {
    text.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// What digits of base64 stand for.
fn text_of(digits: &[u8]) -> impl Iterator<Item = u8> {
    digits.chunks(GROUP).flat_map(|group| {
        let bits = group.iter().fold(0, |bits: u32, &byte| bits << 6 | u32::from(base64_digit(byte).unwrap_or(0)));
        let bytes = (bits << (6 * (GROUP - group.len())) << 8).to_be_bytes();
        bytes.into_iter().take(group.len() * 6 / 8)
    })
}

/// What a text stands for as far as it is hex.
fn text_of_hex(text: &[u8]) -> impl Iterator<Item = u8> {
    text.chunks_exact(2).map_while(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?))
}
