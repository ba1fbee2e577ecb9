//! The bytes of a pack's entries: how one begins, and what a delta makes of its base.

use license_core::leaks::Changes;

use super::super::place::Kind;

/// The longest beginning of an entry, in bytes: a size of 64 bits and the name of a base.
pub(super) const HEADER_BYTES_MAX: usize = 10 + 32;

/// How an entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'b> {
    /// What follows.
    pub(super) form: Form<'b>,
    /// How many bytes it inflates to.
    pub(super) size: u64,
    /// How long this beginning is, in bytes.
    pub(super) bytes: usize,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'b> {
    /// An object.
    Whole(Kind),
    /// A delta; its base begins so many bytes before it.
    Behind(u64),
    /// A delta; its base has this name.
    Named(&'b [u8]),
}

impl<'b> Header<'b> {
    /// Reads it. `None`: these bytes begin no entry.
    pub(super) fn read(bytes: &'b [u8], name_bytes: usize) -> Option<Self> {
        let (first, mut rest) = bytes.split_first()?;
        let (mut size, mut shift, mut more) = (u64::from(first & 0x0f), 4, first & 0x80 != 0);
        while more {
            let (next, after) = rest.split_first()?;
            size |= shifted(u64::from(next & 0x7f), shift)?;
            (rest, shift, more) = (after, shift + 7, next & 0x80 != 0);
        }
        let form = match (first >> 4) & 7 {
            1 => Form::Whole(Kind::Commit),
            2 => Form::Whole(Kind::Tree),
            3 => Form::Whole(Kind::Blob),
            4 => Form::Whole(Kind::Tag),
            6 => {
                let (mut next, mut after) = rest.split_first()?;
                let mut distance = u64::from(next & 0x7f);
                while next & 0x80 != 0 {
                    (next, after) = after.split_first()?;
                    // Every byte that follows says one more, so that no distance has two writings.
                    distance = distance.checked_add(1)?.checked_mul(0x80)? | u64::from(next & 0x7f);
                }
                rest = after;
                Form::Behind(distance)
            }
            7 => {
                let (name, after) = rest.split_at_checked(name_bytes)?;
                rest = after;
                Form::Named(name)
            }
            _ => return None,
        };
        Some(Self { form, size, bytes: bytes.len() - rest.len() })
    }
}

/// How long an object is that a delta makes. `None`: this is no delta of such a base.
pub(super) fn made_of(delta: &[u8], base_bytes: usize) -> Option<u64> {
    let (base, rest) = length(delta)?;
    let (made, _) = length(rest)?;
    (base == base_bytes as u64).then_some(made)
}

/// What a delta makes of its base, and what of it is not in the base, or not beside what it is beside there. `None`: it is
/// no delta of this base.
pub(super) fn apply(base: &[u8], delta: &[u8], made: &mut Vec<u8>, changes: &mut Changes) -> Option<()> {
    made.clear();
    changes.clear();
    let (base_bytes, rest) = length(delta)?;
    let (made_bytes, mut rest) = length(rest)?;
    let made_bytes = usize::try_from(made_bytes).ok()?;
    if base_bytes != base.len() as u64 {
        return None;
    }
    made.reserve(made_bytes);
    // What would follow in the base.
    let mut follows = 0;
    while let Some((&command, after)) = rest.split_first() {
        rest = after;
        let piece = if command & 0x80 != 0 {
            let (offset, after) = number(rest, command & 0x0f, 4)?;
            let (bytes, after) = number(after, (command >> 4) & 0x07, 3)?;
            rest = after;
            // What does not fit into three bytes is the one length that makes no sense.
            let bytes = if bytes == 0 { 0x1_0000 } else { bytes };
            let piece = base.get(offset..)?.get(..bytes)?;
            if offset != follows {
                changes.add(made.len()..made.len());
            }
            follows = offset + bytes;
            piece
        } else if command == 0 {
            return None;
        } else {
            let (piece, after) = rest.split_at_checked(usize::from(command))?;
            rest = after;
            changes.add(made.len()..made.len() + piece.len());
            piece
        };
        if piece.len() > made_bytes - made.len() {
            return None;
        }
        made.extend_from_slice(piece);
    }
    if follows != base.len() {
        changes.add(made.len()..made.len());
    }
    (made.len() == made_bytes).then_some(())
}

/// A number of which only those bytes are written that are not zero.
fn number(mut bytes: &[u8], written: u8, bytes_max: u32) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for at in (0..bytes_max).filter(|at| written & (1 << at) != 0) {
        let (next, after) = bytes.split_first()?;
        number |= usize::from(*next) << (8 * at);
        bytes = after;
    }
    Some((number, bytes))
}

/// A length at the beginning of a delta.
fn length(mut bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let (next, after) = bytes.split_first()?;
        length |= shifted(u64::from(next & 0x7f), shift)?;
        if next & 0x80 == 0 {
            return Some((length, after));
        }
        (bytes, shift) = (after, shift + 7);
    }
}

/// Seven bits at their place, unless they fall out of the number.
fn shifted(bits: u64, shift: u32) -> Option<u64> {
    let placed = bits.checked_shl(shift)?;
    (placed >> shift == bits).then_some(placed)
}
