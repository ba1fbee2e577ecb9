//! Texts that may be a key of which only the fingerprint is known.
//!
//! A fingerprint can only be compared with that of a whole key, so the text is cut into pieces at what surrounds keys:
//! white space, quotes, brackets, `:`, `,` and the like always; `=`, `.`, `/`, `+` and `~` in every way in which they may also belong to a key.

use core::ops::Range;

use fearless_simd::{Simd, prelude::*};

use super::{
    bits::{self, Answer, BLOCK_BYTES, Bytes, Question},
    work,
};

/// The shortest key that is found by its fingerprint, in bytes.
pub(super) const KNOWN_BYTES_MIN: usize = 12;

/// The longest, in bytes. Offline tokens are the longest keys.
pub(super) const KNOWN_BYTES_MAX: usize = crate::token::TOKEN_BYTES_MAX;

/// Calls `each` with every piece that begins in `own` and may be a key.
///
/// Runs are found by bits, one for each byte: so neither short words nor long names cost more than other text.
pub(super) fn pieces(hay: &[u8], own: &Range<usize>, mut each: impl FnMut(Range<usize>)) {
    /// How many blocks are asked at once.
    const BLOCKS: usize = 32;

    let mut answers = [Answer::default(); BLOCKS];
    let mut runs = Runs::default();
    let end = own.end.min(hay.len());
    let mut at = own.start;
    while at < end {
        let answers = &mut answers[..(end - at).div_ceil(BLOCK_BYTES).min(BLOCKS)];
        bits::ask(Kinds, hay, at, answers);
        for &mut [inner, digits, capitals] in answers {
            let [inner, digits, capitals] = [inner, digits, capitals].map(u64::from_le_bytes);
            runs.block(at, Bits { inner, digits, capitals }, &mut |start| run(hay, own, start, &mut each));
            at += BLOCK_BYTES;
        }
    }
    if let Some(start) = runs.open() {
        run(hay, own, start, &mut each);
    }
}

/// The runs of a text, block by block.
#[derive(Debug, Default)]
struct Runs {
    /// The block before.
    before: Bits,
    /// 1 if the run that it ends with has told that it is no word.
    told: u64,
    /// Where that run begins.
    start: usize,
}

impl Runs {
    /// Takes in the next block, and calls `each` with the start of every run that ends in it, is long enough and no word.
    #[inline]
    fn block(&mut self, at: usize, here: Bits, each: &mut impl FnMut(usize)) {
        let Bits { inner, digits, capitals } = here;
        let of_capitals = |by: u32| capitals << by | self.before.capitals >> (u64::BITS - by);
        let telling = digits | capitals & of_capitals(1) & of_capitals(2);
        // What tells in a run is carried to the end of it.
        let (sum, over) = inner.overflowing_add(telling);
        let (sum, over_too) = sum.overflowing_add(self.told);
        self.told = u64::from(over | over_too);
        let mut ends = sum & !inner & ends_of_long(self.before.inner, inner);
        while ends != 0 {
            let end = ends.trailing_zeros();
            ends &= ends - 1;
            let length = inner.checked_shl(u64::BITS - end).unwrap_or(0).leading_ones();
            each(if length < end { at + (end - length) as usize } else { self.continued(at) });
        }
        let length = inner.leading_ones();
        self.start = if length < u64::BITS { at + (u64::BITS - length) as usize } else { self.continued(at) };
        self.before = here;
    }

    /// Where a run begins that the block at a place begins with.
    fn continued(&self, at: usize) -> usize {
        if self.before.inner.leading_ones() > 0 { self.start } else { at }
    }

    /// Where the run begins that did not end.
    fn open(&self) -> Option<usize> {
        (self.before.inner.leading_ones() > 0).then_some(self.start)
    }
}

/// A bit behind every so many bytes of runs as a key has at least, those of the block before included.
#[inline]
fn ends_of_long(before: u64, here: u64) -> u64 {
    const { assert!(KNOWN_BYTES_MIN == 12, "twelve are eight and four") };

    let inner = u128::from(here) << u64::BITS | u128::from(before);
    let twos = inner & inner << 1;
    let fours = twos & twos << 2;
    let eights = fours & fours << 4;
    let twelves = eights & fours << 8;
    u64::try_from(twelves >> (u64::BITS - 1) & u128::from(u64::MAX)).unwrap_or_default()
}

/// Calls `each` with the pieces of the run at a place that begin in `own`.
fn run(hay: &[u8], own: &Range<usize>, at: usize, each: &mut impl FnMut(Range<usize>)) {
    let mut start = at;
    let first = at.saturating_sub(KNOWN_BYTES_MAX + 1);
    while start > first && kind(hay[start - 1]) != BORDER {
        start -= 1;
    }
    let behind = hay[at..].iter().position(|&byte| kind(byte) == BORDER);
    let end = behind.map_or(hay.len(), |behind| at + behind);
    let run = &hay[start..end];
    let kinds = run.iter().fold(0, |kinds, &byte| kinds | kind(byte));
    let mut each_of = |from: usize, run: &[u8]| {
        pieces_of_run(run, kinds, &mut |piece| {
            let piece = from + piece.start..from + piece.end;
            if own.contains(&piece.start) && may_be_key(&hay[piece.clone()]) {
                each(piece);
            }
        });
    };
    each_of(start, run);
    let is_escaped = start.checked_sub(1).is_some_and(|before| hay[before] == b'\\');
    if is_escaped && let [b'n' | b'r' | b't', behind @ ..] = run {
        each_of(start + 1, behind);
    }
}

/// What the bytes of a block are, with a bit for each. Digits, and three capitals, are in no word.
#[derive(Debug, Clone, Copy, Default)]
struct Bits {
    /// Those in a run.
    inner: u64,
    digits: u64,
    capitals: u64,
}

/// The question for [`Bits`].
#[derive(Debug, Clone, Copy)]
struct Kinds;

impl Question<3> for Kinds {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
    fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; 3] {
        let bytes = bytes.here();
        let is_letter = (bytes | 0x20).simd_ge(b'a') & (bytes | 0x20).simd_le(b'z');
        let is_digit = bytes.simd_ge(b'0') & bytes.simd_le(b'9');
        let is_capital = bytes.simd_ge(b'A') & bytes.simd_le(b'Z');
        let is_from_dash = bytes.simd_ge(b'-') & bytes.simd_le(b'9');
        let is_sign = bytes.simd_eq(b'_') | bytes.simd_eq(b'+') | bytes.simd_eq(b'~') | bytes.simd_eq(b'=');
        [(is_letter | is_from_dash | is_sign).to_bitmask(), is_digit.to_bitmask(), is_capital.to_bitmask()]
    }
}

/// Calls `each` with what may be a key from a place within a run on, where a key's beginning stands: up to the end of the run, or
/// to where the next key begins, and up to the first few `-` and `_` in it.
pub(super) fn pieces_at(hay: &[u8], at: usize, limit: usize, mut each: impl FnMut(Range<usize>)) {
    const BYTES_MAX: usize = 256;
    const ENDS_MAX: usize = 12;

    let is_inner = |byte: &&u8| kind(**byte) == INNER;
    let length = hay[at..limit].iter().take(BYTES_MAX + 1).take_while(is_inner).count();
    if length > BYTES_MAX {
        return;
    }
    let run = &hay[at..at + length];
    let inner_ends = (KNOWN_BYTES_MIN..length)
        .filter(|&end| !run[end].is_ascii_alphanumeric() && run[end - 1].is_ascii_alphanumeric())
        .take(ENDS_MAX);
    // With such a beginning it is no word.
    inner_ends.chain([length]).filter(|&end| end >= KNOWN_BYTES_MIN).for_each(|end| each(at..at + end));
}

/// The pieces of a run that has these kinds of bytes: as identifiers, as offline tokens, as base64 with its padding, and as a whole.
fn pieces_of_run(run: &[u8], kinds: u8, each: &mut dyn FnMut(Range<usize>)) {
    if kinds == INNER {
        return each(0..run.len());
    }
    cut(run, INNER, each);
    if kinds & DOT != 0 {
        cut(run, INNER | DOT, each);
    }
    if kinds & SLASH != 0 {
        cut(run, INNER | SLASH, each);
    }
    if kinds & DOT != 0 && kinds & SLASH != 0 {
        cut(run, INNER | DOT | SLASH, each);
    }
    if kinds & EQUALS != 0 {
        cut_behind_equals(run, each);
        each(0..run.len());
    }
}

/// Calls `each` with the longest pieces of a run that are all of these kinds. A dot or a slash at an end may belong to the sentence,
/// and without it the piece is another one.
fn cut(run: &[u8], kinds: u8, each: &mut dyn FnMut(Range<usize>)) {
    let mut start = 0;
    for text in run.split(|&byte| kind(byte) & kinds == 0) {
        let piece = start..start + text.len();
        start = piece.end + 1;
        if piece.len() < KNOWN_BYTES_MIN {
            continue;
        }
        let first = text.iter().position(|&byte| kind(byte) == INNER).unwrap_or(0);
        let last = text.iter().rposition(|&byte| kind(byte) == INNER).map_or(text.len(), |last| last + 1);
        if first > 0 || last < text.len() {
            each(piece.start + first..piece.start + last);
        }
        each(piece);
    }
}

/// As [`cut`], and what is cut keeps the padding that it ends with.
fn cut_behind_equals(run: &[u8], each: &mut dyn FnMut(Range<usize>)) {
    let mut start = 0;
    for part in run.split_inclusive(|&byte| kind(byte) == EQUALS) {
        let end = start + part.len();
        // Padding alone is no key, and in a row of it each end would be looked for anew.
        if kind(part[0]) != EQUALS {
            let padding = run[end..].iter().take_while(|&&byte| kind(byte) == EQUALS).count();
            work::step(padding);
            each(start..end + padding);
        }
        start = end;
    }
}

/// Whether it has a key's length and something in it that words have not.
fn may_be_key(text: &[u8]) -> bool {
    (KNOWN_BYTES_MIN..=KNOWN_BYTES_MAX).contains(&text.len()) && is_no_word(text)
}

/// Keys have a digit, or capitals side by side.
fn is_no_word(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) || text.windows(3).any(|three| three.iter().all(u8::is_ascii_uppercase))
}

/// In no key.
const BORDER: u8 = 0;
/// In most keys.
const INNER: u8 = 1;
const DOT: u8 = 2;
/// `/`, `+` and `~`.
const SLASH: u8 = 4;
const EQUALS: u8 = 8;

/// What a byte is to keys.
#[inline]
fn kind(byte: u8) -> u8 {
    static KINDS: [u8; 256] = {
        let mut kinds = [BORDER; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            kinds[byte as usize] = match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => INNER,
                b'.' => DOT,
                b'/' | b'+' | b'~' => SLASH,
                b'=' => EQUALS,
                _ => BORDER,
            };
            byte += 1;
        }
        kinds
    };
    KINDS[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::{collection, prelude::*, sample::select};

    use super::*;

    /// The pieces, where every run is looked at.
    fn all_pieces(hay: &[u8], own: &Range<usize>) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let is_inner = |at: usize| hay.get(at).is_some_and(|&byte| kind(byte) != BORDER);
        for at in own.clone().filter(|&at| is_inner(at) && (at == own.start || !is_inner(at - 1))) {
            run(hay, own, at, &mut |piece| pieces.push(piece));
        }
        pieces
    }

    proptest! {
        #[test]
        fn no_run_that_has_a_key_is_left_out(
            words in collection::vec(
                (select(vec!["a", "ABC", "AB", "7", "abcdefgh", "_.x-", "/+", "=", "~"]), 1..40_usize, select(vec!["", "", "", " ", "\"", "\\n"])),
                0..30,
            ),
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            let hay: Vec<u8> =
                words.iter().flat_map(|(word, times, between)| [word.repeat(*times).as_bytes(), between.as_bytes()].concat()).collect();
            let (from, to) = (from.index(hay.len() + 1), to.index(hay.len() + 1));
            let own = from.min(to)..from.max(to);
            let mut found = Vec::new();
            pieces(&hay, &own, |piece| found.push(piece));
            prop_assert_eq!(found, all_pieces(&hay, &own));
        }
    }
}
