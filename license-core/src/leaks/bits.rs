//! Text by blocks: a bit for each byte, so that a question is asked of many bytes at once, and the few that matter are found without a look at
//! the others.

/// The bytes of a block.
pub(super) const BLOCK_BYTES: usize = 64;

/// Which bytes of a block something is true of: [`flag`]s.
pub(super) type Flags = [u8; BLOCK_BYTES];

/// All bits where it is true, otherwise none: so the compiler needs no more than a comparison of many bytes at once.
#[inline(always)]
#[expect(clippy::inline_always, reason = "apart, it is done byte by byte")]
pub(super) fn flag(is_true: bool) -> u8 {
    0_u8.wrapping_sub(u8::from(is_true))
}

/// Makes bits of flags, the first one the lowest.
#[inline(always)]
pub(super) fn bits(flags: &Flags) -> u64 {
    /// The lowest bit of each of eight flags.
    const LOWEST: u64 = 0x0101_0101_0101_0101;

    // Each sixteen flags give two bits of the same sixteen bytes: that is done without taking the flags apart.
    let (rows, _) = flags.as_chunks::<16>();
    let mut columns = [0_u64; 2];
    for (number, row) in rows.iter().enumerate() {
        let (halves, _) = row.as_chunks::<8>();
        for (column, half) in columns.iter_mut().zip(halves) {
            *column |= u64::from_le_bytes(*half) & LOWEST << (2 * number);
        }
    }
    let bits = columns[0] | columns[1] << 1;
    if bits == 0 { 0 } else { transposed(bits) }
}

/// Makes rows of columns, in eight bytes of eight bits.
#[inline]
fn transposed(bits: u64) -> u64 {
    let swapped = |bits: u64, by: u32, which: u64| {
        let differing = (bits ^ bits >> by) & which;
        bits ^ differing ^ differing << by
    };
    let bits = swapped(bits, 7, 0x00AA_00AA_00AA_00AA);
    let bits = swapped(bits, 14, 0x0000_CCCC_0000_CCCC);
    swapped(bits, 28, 0x0000_0000_F0F0_F0F0)
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
    use super::*;

    #[test]
    fn every_flag_has_its_bit() {
        for at in 0..BLOCK_BYTES {
            let mut flags = [flag(false); BLOCK_BYTES];
            flags[at] = flag(true);
            assert_eq!(bits(&flags), 1 << at);
            assert_eq!(bits(&flags.map(|flag| !flag)), !(1 << at));
        }
        assert_eq!(bits(&[flag(false); BLOCK_BYTES]), 0);
    }

    #[test]
    fn places_are_told_in_their_order() {
        let mut told = places(1 << 63 | 1 << 5 | 1, 100);
        assert_eq!([told.next(), told.next(), told.next(), told.next()], [Some(100), Some(105), Some(163), None]);
    }
}
