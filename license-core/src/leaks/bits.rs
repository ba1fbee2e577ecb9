//! Text by blocks: a bit for each byte, so that a question is asked of many bytes at once, and the few that matter are found without a look at
//! the others.

/// The bytes of a block.
pub(super) const BLOCK_BYTES: usize = 64;

/// Which bytes of a block something is true of: 1 where it is, otherwise 0.
pub(super) type Flags = [u8; BLOCK_BYTES];

/// Makes bits of flags, the first one the lowest.
#[inline]
pub(super) fn bits(flags: &Flags) -> u64 {
    /// Multiplied with eight flags, it moves each of them into the highest byte, in their order.
    const GATHER: u64 = 0x0102_0408_1020_4080;

    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, eight| bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56)
}

/// As [`bits`], for flags of which there are few.
#[inline(always)]
#[expect(clippy::inline_always, reason = "apart, the flags go through memory")]
pub(super) fn few_bits(flags: &Flags) -> u64 {
    if flags.iter().fold(0, |any, flag| any | flag) == 0 { 0 } else { bits(flags) }
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
