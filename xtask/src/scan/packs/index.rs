//! The index of a pack, version 2: the names of its objects, where each of them is, and the sum over its bytes.

use std::ops::Range;

/// What such an index begins with.
const MARK: [u8; 8] = *b"\xfftOc\0\0\0\x02";
/// How long the table of the first bytes is.
const FANOUT_BYTES: usize = 256 * 4;
/// The first byte of a pack that may be an entry: before it are a mark, the version and the number of objects.
pub(super) const FIRST_ENTRY: usize = 12;

/// An index as a table in the order of the pack, and one in the order of the names.
#[derive(Debug)]
pub(super) struct Index {
    name_bytes: usize,
    /// All names, in ascending order.
    names: Vec<u8>,
    /// Where in them those begin that begin with this byte; at 256 where they end.
    fanout: Box<[usize; 257]>,
    /// In the order of the names: the place of each in the order of the pack.
    places: Vec<u32>,
    /// In the order of the pack: where each entry begins.
    starts: Vec<u64>,
    /// In the order of the pack: the CRC of the entry.
    sums: Vec<u32>,
    /// In the order of the pack: where among the names its own is.
    ranks: Vec<u32>,
    /// What the pack must end with.
    pack_sum: Vec<u8>,
}

impl Index {
    /// How many bytes an index of so many objects has at most.
    pub(super) fn bytes_max(objects_max: usize, name_bytes: usize) -> u64 {
        (MARK.len() + FANOUT_BYTES + 2 * name_bytes + objects_max * (name_bytes + 4 + 4 + 8)) as u64
    }

    /// Reads it. `None`: these bytes are no such index.
    pub(super) fn read(bytes: &[u8], name_bytes: usize) -> Option<Self> {
        let rest = bytes.strip_prefix(&MARK)?;
        let (table, rest) = rest.split_at_checked(FANOUT_BYTES)?;
        let mut fanout = Box::new([0; 257]);
        for (at, end) in numbers(table).enumerate() {
            fanout[at + 1] = end as usize;
        }
        let objects = fanout[256];
        let (names, rest) = rest.split_at_checked(objects.checked_mul(name_bytes)?)?;
        let (sums, rest) = rest.split_at_checked(objects.checked_mul(4)?)?;
        let (near, rest) = rest.split_at_checked(objects * 4)?;
        let (far, rest) = rest.split_at_checked(rest.len().checked_sub(2 * name_bytes)?)?;
        let ascending = fanout.is_sorted()
            && names.chunks_exact(name_bytes).is_sorted_by(|one, other| one < other)
            && (0..256_usize).all(|first| {
                let names = &names[fanout[first] * name_bytes..fanout[first + 1] * name_bytes];
                names.iter().step_by(name_bytes).all(|byte| usize::from(*byte) == first)
            });
        if !ascending {
            return None;
        }
        let start = |near: u32| {
            if near & FAR == 0 {
                return Some(u64::from(near));
            }
            let at = (near & !FAR) as usize;
            Some(u64::from_be_bytes(far.get(at.checked_mul(8)?..)?.first_chunk().copied()?))
        };
        let starts_by_name = numbers(near).map(start).collect::<Option<Vec<u64>>>()?;
        let mut ranks = (0..u32::try_from(objects).ok()?).collect::<Vec<u32>>();
        ranks.sort_unstable_by_key(|rank| starts_by_name[*rank as usize]);
        let starts = ranks.iter().map(|rank| starts_by_name[*rank as usize]).collect::<Vec<u64>>();
        if !starts.is_sorted_by(|one, other| one < other)
            || starts.first().is_some_and(|first| *first < FIRST_ENTRY as u64)
        {
            return None;
        }
        let sums_by_name = numbers(sums).collect::<Vec<u32>>();
        let sums = ranks.iter().map(|rank| sums_by_name[*rank as usize]).collect();
        let mut places = vec![0; objects];
        for (place, rank) in (0..).zip(&ranks) {
            places[*rank as usize] = place;
        }
        let pack_sum = rest[..name_bytes].to_vec();
        Some(Self { name_bytes, names: names.to_vec(), fanout, places, starts, sums, ranks, pack_sum })
    }

    /// How many objects there are.
    pub(super) fn objects(&self) -> usize {
        self.starts.len()
    }

    /// How long a name is, in bytes.
    pub(super) fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// The place of an object in the order of the pack.
    pub(super) fn place(&self, name: &[u8]) -> Option<usize> {
        /// Further than this most names are not from where they are expected.
        const NEAR: usize = 16;

        let [first, next @ ..] = *name.first_chunk::<5>()?;
        let mut range = self.fanout[usize::from(first)]..self.fanout[usize::from(first) + 1];
        // Hashes are as evenly distributed as numbers that are drawn.
        let expected = range.start as u64 + ((range.len() as u64 * u64::from(u32::from_be_bytes(next))) >> u32::BITS);
        let expected = usize::try_from(expected).unwrap_or(range.start);
        for probe in [expected.saturating_sub(NEAR), expected + NEAR] {
            match range.contains(&probe).then(|| self.name_at(probe) <= name) {
                Some(true) => range.start = probe,
                Some(false) => range.end = probe,
                None => {}
            }
        }
        while !range.is_empty() {
            let middle = range.start + range.len() / 2;
            match self.name_at(middle).cmp(name) {
                std::cmp::Ordering::Less => range.start = middle + 1,
                std::cmp::Ordering::Equal => return Some(self.places[middle] as usize),
                std::cmp::Ordering::Greater => range.end = middle,
            }
        }
        None
    }

    /// The place of the entry that begins there.
    pub(super) fn place_of_start(&self, start: u64) -> Option<usize> {
        self.starts.binary_search(&start).ok()
    }

    /// The name of the object at a place.
    pub(super) fn name(&self, place: usize) -> &[u8] {
        self.name_at(self.ranks[place] as usize)
    }

    /// Where the entry at a place is, in a pack whose entries end there.
    pub(super) fn entry(&self, place: usize, entries_end: u64) -> Range<u64> {
        self.starts[place]..self.starts.get(place + 1).copied().unwrap_or(entries_end)
    }

    /// The CRC of the entry at a place.
    pub(super) fn sum(&self, place: usize) -> u32 {
        self.sums[place]
    }

    /// What the pack must end with.
    pub(super) fn pack_sum(&self) -> &[u8] {
        &self.pack_sum
    }

    fn name_at(&self, at: usize) -> &[u8] {
        &self.names[at * self.name_bytes..(at + 1) * self.name_bytes]
    }
}

/// The bit that says that a start stands in the table of the far ones.
const FAR: u32 = 1 << 31;

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|four| four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}
