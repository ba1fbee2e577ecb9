//! A pack and its index, opened; and the reading of its entries, each proved by its CRC.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use flate2::{Decompress, FlushDecompress, Status};
use rustix::fs::OFlags;

use super::{
    entry::{Form, HEADER_BYTES_MAX, Header},
    index::{FIRST_ENTRY, Index},
};
use crate::files;

/// How much of a pack is read at once, in bytes, where the entries are read one after another.
const WINDOW_BYTES: u64 = 256 * 1024;
/// How much is read at first: most deltas are far from what they are made from, and alone there.
const WINDOW_BYTES_MIN: u64 = 4 * 1024;
/// How many places of a pack are read from in turns.
const WINDOWS: usize = 4;
/// The largest object that is read here, in bytes; git hands out larger ones, in pieces.
pub(super) const OBJECT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many bytes behind an entry an inflater may look at, which are those of the next one or of the pack's end.
const ROOM_IN_BYTES: u64 = 32;
/// How many more bytes an inflater may write than an object has: more than a match is long.
const ROOM_OUT_BYTES: usize = 320;
/// The largest entry that is read here, in bytes: such an object that deflate could not make smaller.
const ENTRY_BYTES_MAX: u64 = OBJECT_BYTES_MAX + OBJECT_BYTES_MAX / 1024 + WINDOW_BYTES;
/// What a pack begins with; its version and the number of objects follow.
const MARK: &[u8; 4] = b"PACK";
/// The versions of packs, which do not differ.
const VERSIONS: [u32; 2] = [2, 3];

/// A pack with its index.
#[derive(Debug)]
pub(super) struct Pack {
    /// Where everything is.
    pub(super) index: Index,
    file: File,
    /// Where its entries end.
    end: u64,
}

impl Pack {
    /// Opens the pack that belongs to an index. `None`: they are gone, do not belong together, or are of another sort;
    /// whatever is in them is then asked of git.
    pub(super) fn open(index: &Path, name_bytes: usize, objects_max: usize) -> Option<Self> {
        let bytes = files::read_limited(index, Index::bytes_max(objects_max, name_bytes)).ok()?;
        let index_path = index;
        let index = Index::read(&bytes, name_bytes).filter(|index| index.objects() <= objects_max)?;
        // What became a pipe in the meantime does not keep us waiting.
        let at_once = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(at_once).open(index_path.with_extension("pack")).ok()?;
        let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let end = about.len().checked_sub(name_bytes as u64)?;
        let (mut begin, mut sum) = ([0; FIRST_ENTRY], vec![0; name_bytes]);
        file.read_exact_at(&mut begin, 0).ok()?;
        file.read_exact_at(&mut sum, end).ok()?;
        let number = |at: usize| u32::from_be_bytes([begin[at], begin[at + 1], begin[at + 2], begin[at + 3]]);
        let belongs = begin.starts_with(MARK)
            && VERSIONS.contains(&number(4))
            && number(8) as usize == index.objects()
            && sum == index.pack_sum()
            && (0..index.objects()).next_back().is_none_or(|last| index.entry(last, end).start < end);
        belongs.then_some(Self { index, file, end })
    }

    /// Where the entry at a place is.
    pub(super) fn entry(&self, place: usize) -> Range<u64> {
        self.index.entry(place, self.end)
    }
}

/// Why an entry is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not as the index says, or cannot be read at all.
    Broken,
    /// It is too large.
    Large,
}

impl From<io::Error> for Unread {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Reads packs: entries that lie beside each other come with one read.
pub(super) struct Reader {
    windows: [Window; WINDOWS],
    /// How often a window was used.
    uses: u64,
    inflater: Decompress,
}

/// Some bytes of a pack.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    /// Which bytes of which pack these are.
    seen: Option<(usize, Range<u64>)>,
    /// When it was used last.
    used: u64,
}

impl Window {
    fn has(&self, number: usize, range: &Range<u64>) -> bool {
        self.is_at(number, |seen| seen.start <= range.start && range.end <= seen.end)
    }

    /// Whether a range goes on where this ends.
    fn goes_on(&self, number: usize, range: &Range<u64>) -> bool {
        self.is_at(number, |seen| (seen.start..=seen.end).contains(&range.start))
    }

    fn is_at(&self, number: usize, is_at: impl Fn(&Range<u64>) -> bool) -> bool {
        self.seen.as_ref().is_some_and(|(seen, bytes)| *seen == number && is_at(bytes))
    }

    fn read(&mut self, number: usize, pack: &Pack, start: u64, bytes: u64) -> Result<(), Unread> {
        self.seen = None;
        self.bytes.resize(usize::try_from(bytes).map_err(|_| Unread::Large)?, 0);
        // What one large entry needed is given back.
        self.bytes.shrink_to(2 * usize::try_from(WINDOW_BYTES).unwrap_or(0));
        pack.file.read_exact_at(&mut self.bytes, start)?;
        self.seen = Some((number, start..start + bytes));
        Ok(())
    }

    fn within(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.and_more(range, 0)
    }

    /// The bytes of a range, and of what follows as many as are there, but no more than so many.
    fn and_more(&self, range: &Range<u64>, more: u64) -> Option<&[u8]> {
        let (_, seen) = self.seen.as_ref()?;
        let at = |at: u64| usize::try_from(at.checked_sub(seen.start)?).ok();
        let bytes = self.bytes.get(at(range.start)?..at((range.end + more).min(seen.end).max(range.end))?)?;
        Some(bytes)
    }
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { windows: Default::default(), uses: 0, inflater: Decompress::new(true) }
    }

    /// How an entry begins; the pack has this number among all.
    pub(super) fn header(&mut self, number: usize, pack: &Pack, place: usize) -> Result<Header<'_>, Unread> {
        let Range { start, end } = pack.entry(place);
        let bytes = self.bytes(number, pack, start..end.min(start + HEADER_BYTES_MAX as u64))?;
        Header::read(bytes, pack.index.name_bytes()).ok_or(Unread::Broken)
    }

    /// What an entry inflates to.
    pub(super) fn inflated(
        &mut self,
        number: usize,
        pack: &Pack,
        place: usize,
        content: &mut Vec<u8>,
    ) -> Result<Held, Unread> {
        let range = pack.entry(place);
        if range.end - range.start > ENTRY_BYTES_MAX {
            return Err(Unread::Large);
        }
        let at = self.load(number, pack, &range)?;
        let Self { windows, inflater, .. } = self;
        let length = usize::try_from(range.end - range.start).map_err(|_| Unread::Large)?;
        let and_more = windows[at].and_more(&range, ROOM_IN_BYTES).ok_or(Unread::Broken)?;
        let entry = &and_more[..length];
        if crc32fast::hash(entry) != pack.index.sum(place) {
            return Err(Unread::Broken);
        }
        let header = Header::read(entry, pack.index.name_bytes()).ok_or(Unread::Broken)?;
        if header.size > OBJECT_BYTES_MAX {
            return Err(Unread::Large);
        }
        let size = usize::try_from(header.size).map_err(|_| Unread::Large)?;
        // With room for more, so that it is seen when there is more; and so much of it that an inflater need not look for
        // the end of either side at every byte.
        content.resize(size + ROOM_OUT_BYTES, 0);
        inflater.reset(true);
        let status = inflater.decompress(&and_more[header.bytes..], content, FlushDecompress::Finish);
        let whole = matches!(status, Ok(Status::StreamEnd))
            && inflater.total_out() == header.size
            && inflater.total_in() == (length - header.bytes) as u64;
        if !whole {
            return Err(Unread::Broken);
        }
        content.truncate(size);
        Ok(match header.form {
            Form::Whole(kind) => Held::Object(kind),
            Form::Behind(_) | Form::Named(_) => Held::Delta,
        })
    }

    fn bytes(&mut self, number: usize, pack: &Pack, range: Range<u64>) -> Result<&[u8], Unread> {
        let at = self.load(number, pack, &range)?;
        self.windows[at].within(&range).ok_or(Unread::Broken)
    }

    /// Makes sure that a window has these bytes, and says which. Whoever reads on where a window ends reads more each time.
    fn load(&mut self, number: usize, pack: &Pack, range: &Range<u64>) -> Result<usize, Unread> {
        self.uses += 1;
        let find = |windows: &[Window], is: &dyn Fn(&Window) -> bool| windows.iter().position(is);
        let at = if let Some(at) = find(&self.windows, &|window| window.has(number, range)) {
            at
        } else {
            let (at, wish) = match find(&self.windows, &|window| window.goes_on(number, range)) {
                Some(at) => (at, (2 * self.windows[at].bytes.len() as u64).min(WINDOW_BYTES)),
                None => (self.longest_unused(), WINDOW_BYTES_MIN),
            };
            let bytes = (range.end - range.start).max(wish).min(pack.end - range.start);
            self.windows[at].read(number, pack, range.start, bytes)?;
            at
        };
        self.windows[at].used = self.uses;
        Ok(at)
    }

    fn longest_unused(&self) -> usize {
        (0..WINDOWS).min_by_key(|at| self.windows[*at].used).unwrap_or(0)
    }
}

/// What an entry held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// An object.
    Object(super::super::place::Kind),
    /// A delta of one.
    Delta,
}
