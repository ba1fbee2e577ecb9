//! Text by blocks: a bit for each byte, so that a question is asked of many bytes at once, and the few that matter are found without a look at
//! the others.

use fearless_simd::{Level, Simd, dispatch, prelude::*};
use zeroize::Zeroize;

/// The bytes of a block.
pub(super) const BLOCK_BYTES: usize = 64;

/// How many bytes before a block are seen with it.
pub(super) const BEFORE_BYTES: usize = 20;
/// How many behind it.
const BEHIND_BYTES: usize = 1;

const AROUND_BYTES: usize = BEFORE_BYTES + BLOCK_BYTES + BEHIND_BYTES;

/// So many bytes of a block as the processor takes at once, with what is around them.
#[derive(Debug)]
pub(super) struct Bytes<'t, S> {
    simd: S,
    around: &'t [u8; AROUND_BYTES],
    /// Where in the block they begin.
    at: usize,
}

#[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
impl<S: Simd> Bytes<'_, S> {
    /// The bytes themselves.
    #[inline(always)]
    pub(super) fn here(&self) -> S::u8s {
        self.from(BEFORE_BYTES)
    }

    /// For each of the bytes, the one so many bytes before it.
    #[inline(always)]
    pub(super) fn before(&self, bytes: usize) -> S::u8s {
        self.from(BEFORE_BYTES - bytes)
    }

    /// For each of the bytes, the one behind it.
    #[inline(always)]
    pub(super) fn behind(&self) -> S::u8s {
        self.from(BEFORE_BYTES + 1)
    }

    #[inline(always)]
    fn from(&self, start: usize) -> S::u8s {
        S::u8s::from_slice(self.simd, &self.around[start + self.at..][..S::u8s::LEN])
    }
}

/// For each of so many bits, those of all bytes of a block, in the order of the bytes: as the processor gives them.
pub(super) type Answer<const BITS: usize> = [[u8; BLOCK_BYTES / 8]; BITS];

/// What is asked of every byte: so many bits of each.
pub(super) trait Question<const BITS: usize>: Copy {
    /// The bits, those of the first byte the lowest. Is inlined always: apart, it is compiled for the least of all processors.
    fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; BITS];
}

/// Asks the blocks of a text, one after the other from a place on. At its ends there is nothing beyond.
pub(super) fn ask<const BITS: usize>(
    question: impl Question<BITS>,
    text: &[u8],
    from: usize,
    answers: &mut [Answer<BITS>],
) {
    let level = Level::try_detect().unwrap_or(Level::baseline());
    dispatch!(level, simd => ask_with(simd, question, text, from, answers));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
fn ask_with<S: Simd, const BITS: usize>(
    simd: S,
    question: impl Question<BITS>,
    text: &[u8],
    from: usize,
    answers: &mut [Answer<BITS>],
) {
    for (answer, at) in answers.iter_mut().zip((from..).step_by(BLOCK_BYTES)) {
        let around = at.checked_sub(BEFORE_BYTES).and_then(|start| text.get(start..)?.first_chunk());
        if let Some(around) = around {
            answer_to_block(simd, question, around, answer);
        } else {
            let mut around = around_at_end(text, at);
            answer_to_block(simd, question, &around, answer);
            around.zeroize();
        }
    }
}

/// Writes the answer piece by piece: what puts bits together by arithmetic, the compiler does bit by bit.
#[inline(always)]
#[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
fn answer_to_block<S: Simd, const BITS: usize>(
    simd: S,
    question: impl Question<BITS>,
    around: &[u8; AROUND_BYTES],
    answer: &mut Answer<BITS>,
) {
    for at in (0..BLOCK_BYTES).step_by(S::u8s::LEN) {
        let bits = question.answer(&Bytes { simd, around, at });
        for (answer, bits) in answer.iter_mut().zip(bits) {
            answer[at / 8..][..S::u8s::LEN / 8].copy_from_slice(&bits.to_le_bytes()[..S::u8s::LEN / 8]);
        }
    }
}

/// What is around a block at an end of the text.
#[inline(never)]
fn around_at_end(text: &[u8], at: usize) -> [u8; AROUND_BYTES] {
    let mut around = [0; AROUND_BYTES];
    let before = at.min(BEFORE_BYTES);
    let text = text.get(at - before..).unwrap_or_default();
    around[BEFORE_BYTES - before..].iter_mut().zip(text).for_each(|(byte, &text)| *byte = text);
    around
}

/// The places of bits, from a place on.
#[inline]
pub(super) fn places(mut bits: u64, from: usize) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = (bits != 0).then(|| from + bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        place
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[derive(Clone, Copy)]
    struct Commas;

    impl Question<3> for Commas {
        fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; 3] {
            let is_comma = |bytes: S::u8s| bytes.simd_eq(b',').to_bitmask();
            [is_comma(bytes.here()), is_comma(bytes.before(BEFORE_BYTES)), is_comma(bytes.behind())]
        }
    }

    #[test]
    fn every_byte_has_its_bits_wherever_the_text_begins_and_ends() {
        for length in 0..200 {
            let text: Vec<u8> = (0..length).map(|at| if at % 7 == 3 || at % 11 == 0 { b',' } else { b'x' }).collect();
            for from in 0..length {
                let mut answers = [Answer::default(); 4];
                ask(Commas, &text, from, &mut answers);
                for at in from..from + 4 * BLOCK_BYTES {
                    let answer = answers[(at - from) / BLOCK_BYTES]
                        .map(|bits| u64::from_le_bytes(bits) >> ((at - from) % BLOCK_BYTES) & 1 == 1);
                    let is_comma = |at: Option<usize>| at.and_then(|at| text.get(at)) == Some(&b',');
                    let expected = [Some(at), at.checked_sub(BEFORE_BYTES), Some(at + 1)].map(is_comma);
                    assert_eq!(answer, expected, "{length} {from} {at}");
                }
            }
        }
    }

    #[test]
    fn places_are_told_in_their_order() {
        let mut told = places(1 << 63 | 1 << 5 | 1, 100);
        assert_eq!([told.next(), told.next(), told.next(), told.next()], [Some(100), Some(105), Some(163), None]);
    }
}
