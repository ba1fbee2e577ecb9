//! Lets through the few places at which a piece of a secret may stand.
//!
//! Every writing of a secret has a *core*: some bytes that stand in it as they are. Samples of [`GRAM`] bytes are taken of
//! the text, so close to each other that every core gives exactly one; the table holds all samples that a core may give.
//! So the text is never read byte by byte, and no sample depends on the one before: this is faster than an automaton,
//! most of all with a hundred keys, and needs no SIMD and no memory but its tables.

use alloc::{vec, vec::Vec};

use zeroize::Zeroizing;

/// The bytes of a sample.
const GRAM: usize = 4;

/// How long cores are, and how far apart samples are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// For secrets that are short.
    Fine,
    /// For those of twelve characters and more.
    Coarse,
}

impl Grain {
    /// The bytes of a core.
    pub(super) const fn core_bytes(self) -> usize {
        self.stride() + GRAM - 1
    }

    /// How far apart samples are taken, in bytes.
    pub(super) const fn stride(self) -> usize {
        match self {
            Self::Fine => FINE_STRIDE,
            Self::Coarse => COARSE_STRIDE,
        }
    }
}

const FINE_STRIDE: usize = 5;
const COARSE_STRIDE: usize = 9;

/// The samples of all cores, in tables.
pub(super) struct Sieve {
    grain: Grain,
    /// A bit for every hash of a sample.
    bits: Vec<u64>,
    /// How far a hash is shifted to give its bit.
    bit_shift: u32,
    /// Where the entries of each bucket begin; one more than there are buckets.
    starts: Vec<u32>,
    /// How far a hash is shifted to give its bucket.
    bucket_shift: u32,
    /// The samples, by bucket. They are pieces of secrets.
    grams: Zeroizing<Vec<u32>>,
    /// Beside each sample, where it comes from.
    origins: Vec<Origin>,
}

/// Where a sample comes from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    core: u32,
    skew: u32,
}

impl Sieve {
    /// The sieve for these cores, which are known by their place in the list from then on.
    pub(super) fn of(grain: Grain, cores: &[Zeroizing<Vec<u8>>]) -> Self {
        const BITS_PER_GRAM: usize = 128;
        const BITS_LOG2: core::ops::RangeInclusive<u32> = 13..=20;
        const BUCKETS_LOG2: core::ops::RangeInclusive<u32> = 6..=16;
        const HASH_BITS: u32 = u32::BITS;

        let log2 = |wanted: usize| wanted.next_power_of_two().trailing_zeros();
        let samples = cores.len() * grain.stride();
        let bits_log2 = log2(samples * BITS_PER_GRAM).clamp(*BITS_LOG2.start(), *BITS_LOG2.end());
        let buckets_log2 = log2(samples).clamp(*BUCKETS_LOG2.start(), *BUCKETS_LOG2.end());
        let bucket_shift = HASH_BITS - buckets_log2;

        let mut entries: Zeroizing<Vec<(u32, u32, u32)>> = Zeroizing::new(Vec::with_capacity(samples));
        for (core, bytes) in (0_u32..).zip(cores) {
            for (skew, gram) in (0_u32..).zip(bytes.windows(GRAM)) {
                entries.push((gram_of(gram), core, skew));
            }
        }
        entries.sort_unstable_by_key(|&(gram, core, skew)| (hash(gram) >> bucket_shift, gram, core, skew));

        let mut sieve = Self {
            grain,
            bits: vec![0; (1 << bits_log2) / BITS_OF_WORD],
            bit_shift: HASH_BITS - bits_log2,
            starts: vec![0; (1 << buckets_log2) + 1],
            bucket_shift,
            grams: Zeroizing::new(Vec::with_capacity(samples)),
            origins: Vec::with_capacity(samples),
        };
        for &(gram, core, skew) in entries.iter() {
            let bit = (hash(gram) >> sieve.bit_shift) as usize;
            sieve.bits[bit / BITS_OF_WORD] |= 1 << (bit % BITS_OF_WORD);
            sieve.starts[(hash(gram) >> bucket_shift) as usize + 1] += 1;
            sieve.grams.push(gram);
            sieve.origins.push(Origin { core, skew });
        }
        let mut sum = 0;
        for start in &mut sieve.starts {
            sum += *start;
            *start = sum;
        }
        sieve
    }

    /// Calls `each` with the core and with the place in `hay` at which it would begin, for every sample from `from` on,
    /// up to `to`, that a core may have given. Samples are taken at `from`, and every stride after it.
    pub(super) fn each(&self, hay: &[u8], from: usize, to: usize, each: impl FnMut(usize, usize)) {
        // As constants, so that the loops over a block are unrolled.
        match self.grain {
            Grain::Fine => self.each_by::<FINE_STRIDE>(hay, from, to, each),
            Grain::Coarse => self.each_by::<COARSE_STRIDE>(hay, from, to, each),
        }
    }

    fn each_by<const STRIDE: usize>(&self, hay: &[u8], from: usize, to: usize, mut each: impl FnMut(usize, usize)) {
        const BLOCK: usize = 8;

        if self.grams.is_empty() || from >= to {
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
                self.samples(block, at, &mut each);
            }
            at += BLOCK * STRIDE;
        }
        self.samples(tail, at, &mut each);
        at += tail.len() * STRIDE;
        if rest.len() >= GRAM {
            self.origins_of(gram_of(rest), at, &mut each);
        }
    }

    #[inline(never)]
    fn samples<const STRIDE: usize>(&self, samples: &[[u8; STRIDE]], at: usize, each: &mut impl FnMut(usize, usize)) {
        for (sample, place) in samples.iter().zip((at..).step_by(STRIDE)) {
            let gram = gram_of(sample);
            if self.bit(gram) & 1 != 0 {
                self.origins_of(gram, place, each);
            }
        }
    }

    fn origins_of(&self, gram: u32, place: usize, each: &mut impl FnMut(usize, usize)) {
        let bucket = (hash(gram) >> self.bucket_shift) as usize;
        let entries = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        for entry in entries {
            let Origin { core, skew } = self.origins[entry];
            if self.grams[entry] == gram
                && let Some(begin) = place.checked_sub(skew as usize)
            {
                each(core as usize, begin);
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
