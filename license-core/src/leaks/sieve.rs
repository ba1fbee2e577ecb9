//! Lets through the few places at which a piece of a secret may stand.
//!
//! Every writing of a secret has a *core*: some bytes that stand in it as they are. Samples of [`GRAM`] bytes are taken of
//! the text, so close to each other that every core gives exactly one; the table holds all samples that a core may give.
//! So the text is never read byte by byte, and no sample depends on the one before: this is faster than an automaton,
//! most of all with a hundred keys, and needs no SIMD and no memory but its tables.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use zeroize::Zeroizing;

use super::work;

/// The bytes of a sample.
const GRAM: usize = 4;

/// How long cores are, and how far apart samples are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// For secrets that are short.
    Fine,
    /// For those of twelve characters and more.
    Coarse,
    /// For those of twenty characters and more, as keys are.
    Coarsest,
}

impl Grain {
    /// From the coarsest on.
    pub(super) const ALL: [Self; 3] = [Self::Coarsest, Self::Coarse, Self::Fine];

    /// The bytes of a core.
    pub(super) const fn core_bytes(self) -> usize {
        self.stride() + GRAM - 1
    }

    /// How far apart samples are taken, in bytes.
    pub(super) const fn stride(self) -> usize {
        match self {
            Self::Fine => FINE_STRIDE,
            Self::Coarse => COARSE_STRIDE,
            Self::Coarsest => COARSEST_STRIDE,
        }
    }
}

const FINE_STRIDE: usize = 5;
const COARSE_STRIDE: usize = 9;
const COARSEST_STRIDE: usize = 17;

/// The samples of all cores, in tables, and the cores.
///
/// What a sample costs does not depend on how many cores there are: a sample says how far before it cores begin that give it, and each of these
/// places is looked up by all bytes of the core that would stand there.
pub(super) struct Sieve {
    grain: Grain,
    /// A bit for every hash of a sample.
    bits: Vec<u64>,
    /// How far a hash is shifted to give its bit.
    bit_shift: u32,
    /// The samples. They are pieces of secrets.
    grams: Table<u32>,
    /// Beside each sample, a bit for every distance from its core's beginning.
    skews: Vec<u32>,
    /// The hashes of the cores.
    hashes: Table<u64>,
    /// Beside each hash, the core's number.
    cores: Vec<u32>,
}

/// Sorted values in buckets.
struct Table<T: zeroize::Zeroize> {
    /// Where the values of each bucket begin; one more than there are buckets.
    starts: Vec<u32>,
    /// How far a hash is shifted to give its bucket.
    shift: u32,
    values: Zeroizing<Vec<T>>,
}

impl<T: zeroize::Zeroize + Copy> Table<T> {
    /// The values are sorted by the upper bits of their hash.
    fn of(values: Zeroizing<Vec<T>>, hash: impl Fn(T) -> u32) -> Self {
        let shift = bucket_shift(values.len());
        let mut starts = vec![0; (1 << (u32::BITS - shift)) + 1];
        values.iter().for_each(|&value| starts[(hash(value) >> shift) as usize + 1] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Self { starts, shift, values }
    }

    #[inline]
    fn bucket(&self, hash: u32) -> Range<usize> {
        let bucket = (hash >> self.shift) as usize;
        self.starts[bucket] as usize..self.starts[bucket + 1] as usize
    }
}

/// How far a hash is shifted to give its bucket, for so many values.
fn bucket_shift(values: usize) -> u32 {
    const BUCKETS_LOG2: core::ops::RangeInclusive<u32> = 6..=16;

    u32::BITS - values.next_power_of_two().trailing_zeros().clamp(*BUCKETS_LOG2.start(), *BUCKETS_LOG2.end())
}

impl Sieve {
    /// The sieve for these cores, which are known by their place in the list from then on.
    pub(super) fn of(grain: Grain, cores: &[Zeroizing<Vec<u8>>]) -> Self {
        const BITS_PER_GRAM: usize = 64;
        const BITS_LOG2: core::ops::RangeInclusive<u32> = 13..=20;

        let samples = cores.len() * grain.stride();
        let bits_log2 = (samples * BITS_PER_GRAM).next_power_of_two().trailing_zeros();
        let bits_log2 = bits_log2.clamp(*BITS_LOG2.start(), *BITS_LOG2.end());

        let mut entries: Zeroizing<Vec<(u32, u32)>> = Zeroizing::new(Vec::with_capacity(samples));
        for core in cores {
            entries.extend(core.windows(GRAM).enumerate().map(|(skew, gram)| (gram_of(gram), 1 << skew)));
        }
        entries.sort_unstable_by_key(|&(gram, _)| (hash(gram), gram));
        // The same sample of several cores becomes one.
        entries.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            first.1 |= if is_same { later.1 } else { 0 };
            is_same
        });
        let grams = Table::of(Zeroizing::new(entries.iter().map(|&(gram, _)| gram).collect()), hash);

        let mut hashes: Vec<(u64, u32)> = cores.iter().map(|core| hash_of(core)).zip(0..).collect();
        hashes.sort_unstable();
        let mut sieve = Self {
            grain,
            bits: vec![0; (1 << bits_log2) / BITS_OF_WORD],
            bit_shift: u32::BITS - bits_log2,
            skews: entries.iter().map(|&(_, skews)| skews).collect(),
            grams,
            hashes: Table::of(Zeroizing::new(hashes.iter().map(|&(hash, _)| hash).collect()), upper_half),
            cores: hashes.iter().map(|&(_, core)| core).collect(),
        };
        for &(gram, _) in entries.iter() {
            let bit = (hash(gram) >> sieve.bit_shift) as usize;
            sieve.bits[bit / BITS_OF_WORD] |= 1 << (bit % BITS_OF_WORD);
        }
        sieve
    }

    /// Calls `each` with the core and with the place in `hay` at which it begins, for every sample from `from` on,
    /// up to `to`, that a core has given. Samples are taken at `from`, and every stride after it: if the next call begins at `to`, none is
    /// further from the one before.
    pub(super) fn each(&self, hay: &[u8], from: usize, to: usize, each: impl FnMut(usize, usize)) {
        // As constants, so that the loops over a block are unrolled.
        match self.grain {
            Grain::Fine => self.each_by::<FINE_STRIDE>(hay, from, to, each),
            Grain::Coarse => self.each_by::<COARSE_STRIDE>(hay, from, to, each),
            Grain::Coarsest => self.each_by::<COARSEST_STRIDE>(hay, from, to, each),
        }
    }

    fn each_by<const STRIDE: usize>(&self, hay: &[u8], from: usize, to: usize, mut each: impl FnMut(usize, usize)) {
        const BLOCK: usize = 8;

        if self.cores.is_empty() || from >= to {
            return;
        }
        // The last sample begins before `to`, and may end after it.
        let last = from + (to - from - 1) / STRIDE * STRIDE;
        let Some(text) = hay.get(from..hay.len().min(last + STRIDE)) else { return };
        let (samples, rest) = text.as_chunks::<STRIDE>();
        let mut at = from;
        let (blocks, tail) = samples.as_chunks::<BLOCK>();
        for block in blocks {
            let any = block.iter().fold(0, |any, sample| any | self.bit(gram_of(sample)));
            if any & 1 != 0 {
                self.samples(hay, block, at, &mut each);
            }
            at += BLOCK * STRIDE;
        }
        self.samples(hay, tail, at, &mut each);
        at += tail.len() * STRIDE;
        if rest.len() >= GRAM {
            self.cores_of(hay, gram_of(rest), at, &mut each);
        }
    }

    #[inline(never)]
    fn samples<const STRIDE: usize>(
        &self,
        hay: &[u8],
        samples: &[[u8; STRIDE]],
        at: usize,
        each: &mut impl FnMut(usize, usize),
    ) {
        for (sample, place) in samples.iter().zip((at..).step_by(STRIDE)) {
            let gram = gram_of(sample);
            if self.bit(gram) & 1 != 0 {
                self.cores_of(hay, gram, place, each);
            }
        }
    }

    /// The cores around a sample, from the one that begins first.
    fn cores_of(&self, hay: &[u8], gram: u32, place: usize, each: &mut impl FnMut(usize, usize)) {
        let mut entries = self.grams.bucket(hash(gram));
        let Some(entry) = entries.find(|&entry| self.grams.values[entry] == gram) else { return };
        for skew in (0..self.grain.stride()).rev().filter(|skew| self.skews[entry] >> skew & 1 != 0) {
            work::step(1);
            let Some(begin) = place.checked_sub(skew) else { continue };
            let Some(text) = hay.get(begin..begin + self.grain.core_bytes()) else { continue };
            let hash = hash_of(text);
            for entry in self.hashes.bucket(upper_half(hash)) {
                if self.hashes.values[entry] == hash {
                    each(self.cores[entry] as usize, begin);
                }
            }
        }
    }

    /// The bit of a sample, in the lowest place.
    #[inline]
    fn bit(&self, gram: u32) -> u64 {
        let bit = (hash(gram) >> self.bit_shift) as usize;
        self.bits[bit / BITS_OF_WORD] >> (bit % BITS_OF_WORD)
    }
}

const BITS_OF_WORD: usize = u64::BITS as usize;

/// Multiplicative hashing: the upper bits depend on all bytes.
#[inline]
fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9E37_79B1)
}

#[inline]
fn gram_of(sample: &[u8]) -> u32 {
    u32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]])
}

/// The hash of a whole core.
fn hash_of(core: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

    core.chunks(GRAM).fold(0, |hash: u64, part| {
        let part = part.iter().fold(0, |word: u64, &byte| word << 8 | u64::from(byte));
        (hash.rotate_left(29) ^ part).wrapping_mul(FACTOR)
    })
}

/// What a hash gives its bucket by.
fn upper_half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}
