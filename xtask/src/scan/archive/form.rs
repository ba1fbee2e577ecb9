//! Which archives there are, and how they are told: by the header that they begin with, or by the record at their end.
//!
//! A few magic bytes are not enough where a file may have them by chance: what must follow them is looked at too.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use tar::Header;

/// How much of something is looked at to see what it is, in bytes: the header of a tar.
pub(crate) const HEAD_BYTES: usize = 512;

/// How much of the end of something may hold the record that a zip ends with, in bytes: the record and its comment.
const END_BYTES_MAX: usize = ZIP_END_BYTES + u16::MAX as usize;

/// What is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Zip,
    Tar,
    Packed(Codec),
    Closed(&'static Closed),
}

/// One content, compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Lzip,
    Lzma,
}

impl Codec {
    /// How names end that have it.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Lzip => ".lz",
            Self::Lzma => ".lzma",
        }
    }
}

/// What is known to hold files and is not looked into.
#[derive(Debug)]
pub(super) struct Closed {
    /// What it is called, with its article.
    pub(super) what: &'static str,
    /// What it begins with.
    begin: &'static [u8],
    /// What must come then.
    then: IsOne,
    /// Whether a scan that leaves it out is incomplete.
    pub(super) weight: Weight,
}

impl PartialEq for Closed {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what
    }
}

impl Eq for Closed {}

/// What it means that something was not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It is worth a word.
    Told,
    /// The scan is incomplete.
    Stops,
}

/// What people put files into stops a push. Packages of software are built from what is scanned anyway, or come from
/// others: they are worth a word.
const CLOSED: [Closed; 12] = [
    stops("a 7z archive", b"7z\xbc\xaf\x27\x1c", whatever),
    stops("a RAR archive", b"Rar!\x1a\x07", whatever),
    stops("a file of `compress`", b"\x1f\x9d", bits_of_compress),
    stops("an LZ4 frame", b"\x04\x22\x4d\x18", |then| then.first().is_some_and(|flags| flags >> 6 == 1)),
    stops("an LZ4 frame of old", b"\x02\x21\x4c\x18", |then| {
        u32_at(then, 0).is_some_and(|bytes| (1..=LZ4_BLOCK_BYTES_MAX).contains(&bytes))
    }),
    stops("a file of `lzop`", b"\x89LZO\0\r\n\x1a\n", whatever),
    told("an RPM package", b"\xed\xab\xee\xdb", whatever),
    told("a Debian package", b"!<arch>\ndebian-binary", whatever),
    told("a cabinet file", b"MSCF\0\0\0\0", whatever),
    told("a macOS package", b"xar!\0\x1c", whatever),
    told("a squashfs image", b"hsqs", |then| then.get(24..28) == Some(&[4, 0, 0, 0])),
    told("a Chrome extension", b"Cr24", |then| then.get(1..4) == Some(&[0, 0, 0])),
];

/// How long a block of an old LZ4 frame may be, in bytes: 8 MiB that nothing makes shorter.
const LZ4_BLOCK_BYTES_MAX: u32 = {
    const UNPACKED: u32 = 8 * 1024 * 1024;
    UNPACKED + UNPACKED / 255 + 16
};

const fn stops(what: &'static str, begin: &'static [u8], then: IsOne) -> Closed {
    Closed { what, begin, then, weight: Weight::Stops }
}

const fn told(what: &'static str, begin: &'static [u8], then: IsOne) -> Closed {
    Closed { what, begin, then, weight: Weight::Told }
}

fn whatever(_then: &[u8]) -> bool {
    true
}

/// The longest code of the dictionary, 9 to 16 bits; the two bits between are not used.
fn bits_of_compress(then: &[u8]) -> bool {
    then.first().is_some_and(|flags| (9..=16).contains(&(flags & 0x1f)) && flags & 0x60 == 0)
}

/// Whether something begins so.
type IsOne = fn(&[u8]) -> bool;

const CODECS: [(Codec, IsOne); 6] = [
    (Codec::Gzip, is_gzip),
    (Codec::Bzip2, is_bzip2),
    (Codec::Xz, |head| head.starts_with(b"\xfd7zXZ\0\0") && head.len() >= 12),
    (Codec::Zstd, is_zstd),
    (Codec::Lzip, |head| lzip_dictionary_bytes(head).is_some()),
    (Codec::Lzma, is_lzma),
];

impl Form {
    /// By the first bytes: [`HEAD_BYTES`] of them, or all that there are.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if is_zip(head) {
            return Some(Self::Zip);
        }
        let codec = CODECS.iter().find(|(_, is)| is(head)).map(|(codec, _)| Self::Packed(*codec));
        let closed = || CLOSED.iter().find(|one| head.strip_prefix(one.begin).is_some_and(one.then)).map(Self::Closed);
        let tar = || head.first_chunk().and_then(tar_header).map(|_| Self::Tar);
        codec.or_else(closed).or_else(tar)
    }

    /// By the first bytes, or by the last ones: a zip may stand behind a program that unpacks it.
    pub(super) fn of_whole(whole: &[u8]) -> Option<Self> {
        Self::of(&whole[..whole.len().min(HEAD_BYTES)]).or_else(|| is_zip_at_the_end(whole).then_some(Self::Zip))
    }
}

/// Whether something begins like an archive.
pub(crate) fn looks_packed(head: &[u8]) -> bool {
    Form::of(&head[..head.len().min(HEAD_BYTES)]).is_some()
}

/// The header of an entry, with a version and a compression that there are. A mark of split archives may come before it.
fn is_zip(head: &[u8]) -> bool {
    let entry = [&b"PK\x07\x08"[..], b"PK00"].iter().find_map(|mark| head.strip_prefix(*mark)).unwrap_or(head);
    let Some(header) = ZipHeader::read(entry) else { return false };
    header.version <= ZIP_VERSION_MAX && matches!(header.method, 0..=20 | 93..=99)
}

/// The newest version of the format that an entry may need, as it is written there.
const ZIP_VERSION_MAX: u16 = 63;

/// What an entry of a zip begins with.
pub(super) const ZIP_ENTRY: &[u8] = b"PK\x03\x04";
/// What an entry begins with in the list of a zip.
pub(super) const ZIP_LISTED: &[u8] = b"PK\x01\x02";
/// What the record at the end of a zip begins with, and how long it is without a comment.
/// What the end of a zip begins with.
pub(crate) const ZIP_END: &[u8] = b"PK\x05\x06";
const ZIP_END_BYTES: usize = 22;
/// What points to the end record of large zips, and how long it is: it stands right before the other one.
const ZIP_LOCATOR: &[u8] = b"PK\x06\x07";
const ZIP_LOCATOR_BYTES: usize = 20;

/// What stands before the content of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct ZipHeader {
    version: u16,
    flags: u16,
    pub(super) method: u16,
    pub(super) packed_bytes: u32,
    pub(super) name_bytes: u16,
    pub(super) extra_bytes: u16,
}

impl ZipHeader {
    /// How long it is, without the name.
    pub(super) const BYTES: usize = 30;

    pub(super) fn is_encrypted(self) -> bool {
        self.flags & 1 == 1
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.strip_prefix(ZIP_ENTRY)?;
        Some(Self {
            version: u16_at(header, 0)?,
            flags: u16_at(header, 2)?,
            method: u16_at(header, 4)?,
            packed_bytes: u32_at(header, 14)?,
            name_bytes: u16_at(header, 22)?,
            extra_bytes: u16_at(header, 24)?,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The record at the end of a zip, as far as it tells whether it is one.
#[derive(Debug, Clone, Copy)]
struct ZipEnd {
    at: usize,
    entries: u16,
    list_bytes: u32,
}

impl ZipEnd {
    /// The last one that is whole and lists something.
    fn find(bytes: &[u8]) -> Option<Self> {
        // Forwards it is looked for much sooner, and it is hardly ever there.
        ZIP_END_FINDER.find(bytes)?;
        memchr::memmem::rfind_iter(bytes, ZIP_END).find_map(|at| {
            let record = &bytes[at..];
            let (entries, list_bytes) = (u16_at(record, 10)?, u32_at(record, 12)?);
            let is_whole = record.len() >= ZIP_END_BYTES + usize::from(u16_at(record, 20)?);
            (is_whole && entries > 0).then_some(Self { at, entries, list_bytes })
        })
    }

    /// Whether the list is where it says, as far as these bytes go; `None`: it begins before them.
    fn has_list(&self, bytes: &[u8]) -> Option<bool> {
        let locator = self.at.checked_sub(ZIP_LOCATOR_BYTES).and_then(|at| bytes.get(at..));
        if locator.is_some_and(|at| at.starts_with(ZIP_LOCATOR)) {
            return Some(true);
        }
        let begin = self.at.checked_sub(usize::try_from(self.list_bytes).ok()?)?;
        Some(bytes[begin..].starts_with(ZIP_LISTED))
    }
}

/// Made once: most of what is looked at is so short that making it would take longer.
static ZIP_END_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ZIP_END));

/// Whether a piece of something has in it what ends a zip.
pub(crate) fn may_end_zip(piece: &[u8]) -> bool {
    ZIP_END_FINDER.find(piece).is_some()
}

/// Whether something ends as a zip does.
fn is_zip_at_the_end(whole: &[u8]) -> bool {
    let tail = &whole[whole.len().saturating_sub(END_BYTES_MAX)..];
    let before = whole.len() - tail.len();
    let whole_end = |end: ZipEnd| ZipEnd { at: end.at + before, ..end };
    ZipEnd::find(tail).is_some_and(|end| whole_end(end).has_list(whole) == Some(true))
}

/// How many entries a zip lists, by its end; `None` where another record says so.
pub(super) fn zip_entries_listed(whole: &[u8]) -> Option<usize> {
    const ELSEWHERE: u16 = u16::MAX;
    let entries = ZipEnd::find(whole)?.entries;
    (entries != ELSEWHERE).then_some(usize::from(entries))
}

/// The last bytes of what passes by, to see whether it ends as a zip does.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// How many bytes are still to pass before those that count.
    before: u64,
    /// How many it has in all.
    whole: u64,
}

impl Tail {
    /// Something of this length begins.
    pub(crate) fn begin(&mut self, bytes: u64) {
        self.bytes.clear();
        self.before = bytes.saturating_sub(END_BYTES_MAX as u64);
        self.whole = bytes;
    }

    /// The next bytes of it.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let passed = usize::try_from(self.before).unwrap_or(usize::MAX).min(piece.len());
        self.before -= passed as u64;
        // Most of them come in one piece, and are no zip: nothing is kept of those.
        if piece.len() as u64 == self.whole && !may_end_zip(&piece[passed..]) {
            return;
        }
        self.bytes.extend_from_slice(&piece[passed..]);
        // It may be longer than was said.
        if self.bytes.len() > 2 * END_BYTES_MAX {
            self.bytes.drain(..self.bytes.len() - END_BYTES_MAX);
        }
    }

    /// Whether it ends as a zip does, as far as the last bytes tell.
    pub(crate) fn looks_zipped(&self) -> bool {
        ZipEnd::find(&self.bytes).is_some_and(|end| end.has_list(&self.bytes) != Some(false))
    }
}

/// A whole header, with the one method that there is and without flags that mean nothing.
fn is_gzip(head: &[u8]) -> bool {
    const HEADER_BYTES: usize = 10;
    head.len() >= HEADER_BYTES && head.starts_with(b"\x1f\x8b\x08") && head[3] & 0xe0 == 0
}

/// The mark of a block, or that of the end, follows the header.
fn is_bzip2(head: &[u8]) -> bool {
    let follows = |mark: &[u8]| head.get(4..10) == Some(mark);
    head.starts_with(b"BZh")
        && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
        && (follows(b"\x31\x41\x59\x26\x53\x59") || follows(b"\x17\x72\x45\x38\x50\x90"))
}

/// A frame, or one that decoders pass over, which may stand before.
fn is_zstd(head: &[u8]) -> bool {
    const RESERVED: u8 = 1 << 3;
    let frame = head.strip_prefix(b"\x28\xb5\x2f\xfd").is_some_and(|rest| rest.len() > 1 && rest[0] & RESERVED == 0);
    frame || zstd_skipped_bytes(head).is_some()
}

/// How long the content of a zstd frame is that decoders pass over.
pub(super) fn zstd_skipped_bytes(head: &[u8]) -> Option<u32> {
    let is_one = head.first()? & 0xf0 == 0x50 && head[1..].starts_with(b"\x2a\x4d\x18");
    if is_one { u32_at(head, 4) } else { None }
}

/// How large the dictionary is that an lzip needs.
pub(super) fn lzip_dictionary_bytes(head: &[u8]) -> Option<u32> {
    let coded = *head.strip_prefix(b"LZIP\x01")?.first()?;
    let base = 1_u32.checked_shl(u32::from(coded & 0x1f)).filter(|base| (1 << 12..=1 << 29).contains(base))?;
    Some(base - (base / 16) * u32::from(coded >> 5))
}

/// No magic at all: properties, a dictionary as encoders make it, and a length, which is unknown or small. Where the
/// properties are not the usual ones, only a length that is unknown tells an lzma from small numbers.
fn is_lzma(head: &[u8]) -> bool {
    const LENGTH_BYTES_MAX: u64 = 1 << 38;
    const PROPERTIES_MAX: u8 = 9 * 5 * 5;
    const DICTIONARY_BYTES_MIN: u32 = 4 * 1024;
    let Some((&properties, rest)) = head.split_first() else { return false };
    let (Some(dictionary), Some(length)) = (u32_at(rest, 0), rest.get(4..).and_then(<[u8]>::first_chunk)) else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    let is_usual = |bytes: u32| bytes.is_power_of_two() || (bytes.is_multiple_of(3) && (bytes / 3).is_power_of_two());
    let is_told = match length {
        u64::MAX => properties < PROPERTIES_MAX,
        known => properties == b'\x5d' && dictionary.is_multiple_of(64 * 1024) && known < LENGTH_BYTES_MAX,
    };
    // The first byte of the coder is always zero.
    is_told && dictionary >= DICTIONARY_BYTES_MIN && is_usual(dictionary) && rest.get(12) == Some(&0)
}

/// A block that is a header of a tar, of any age: its checksum says so.
pub(super) fn tar_header(block: &[u8; HEAD_BYTES]) -> Option<Header> {
    let header = Header::from_byte_slice(block).clone();
    let mut summed = header.clone();
    summed.set_cksum();
    let is_header = block[0] != 0 && header.cksum().ok()? == summed.cksum().ok()?;
    is_header.then_some(header)
}
