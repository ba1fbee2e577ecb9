//! Looks into archives: zip, tar, and what gzip, bzip2, xz, zstd, lzip and lzma compress, in each other up to
//! [`DEPTH_MAX`] deep.
//!
//! What is inside is handed out in pieces and never written anywhere; only a zip in another archive is held in memory.
//! Everything has a bound, so that a bomb is a refusal. What cannot be read is never taken for what holds nothing, and
//! what comes before something broken is handed out. Deliberately not known here: what is looked for, and what a scan
//! may leave out. Not looked into: encrypted entries, formats that are only known by name (both are reported), and what
//! a whole zip holds without listing it.

use std::{
    borrow::Cow,
    io::{self, Cursor, Read},
    time::Duration,
};

use tar::{GnuExtSparseHeader, Header};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

mod form;
mod meter;
mod streams;

use form::{Codec, Form, ZIP_ENTRY, ZIP_LISTED, ZipHeader, tar_header, zip_entries_listed};
pub(crate) use form::{HEAD_BYTES, Tail, Weight, ZIP_END, looks_packed, may_end_zip};
pub(crate) use meter::worked;
use meter::{Halt, Meter, Metered};
use streams::{Deflated, Streams, Summed, lzma_of_zip};

/// How deep archives may be in each other. A compressed tar is one archive.
pub(crate) const DEPTH_MAX: usize = 3;

/// How much looking into one blob may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How much may be unpacked, in bytes. What is unpacked from something unpacked counts again.
    pub(crate) bytes_max: u64,
    /// How many times as long as the blob all of that may be, once it is more than [`RATIO_FREE_BYTES`].
    pub(crate) ratio_max: u64,
    /// How many entries there may be, with those of the archives inside.
    pub(crate) entries_max: u64,
    /// How long a zip inside another archive may be, in bytes: it is held in memory.
    pub(crate) inner_zip_bytes_max: u64,
    /// How long it may work. What the machine does besides does not count.
    pub(crate) time: Duration,
    /// How much of the time is left that all archives of a push have, where it is one.
    pub(crate) time_of_all: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 512 * 1024 * 1024,
            ratio_max: 200,
            entries_max: 65_536,
            inner_zip_bytes_max: 16 * 1024 * 1024,
            time: Duration::from_secs(10),
            time_of_all: None,
        }
    }
}

/// How long all archives of a push may take, in work: the remote waits meanwhile.
pub(crate) const PUSH_ARCHIVES_TIME: Duration = Duration::from_secs(60);

/// This much is unpacked however small the blob is, in bytes: a few repeated lines compress a thousandfold.
pub(crate) const RATIO_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// How much is handed out at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// How much of a name is kept for the path, in bytes. All of it is handed out.
const SHOWN_NAME_BYTES_MAX: usize = 1024;

/// How looking into a blob ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// It is no archive that is known here.
    NotAnArchive,
    /// Everything in it was handed out.
    Done,
    /// Not everything was: a limit, something broken, or something that is not read here.
    Refused {
        /// What, and why. Has names from inside: not yet fit to be shown.
        why: String,
        /// What that means.
        weight: Weight,
    },
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole of a name, a link's target, an owner or a comment: an object of its own, between contents.
    Name,
    /// A piece of the content, and more of the same content follows.
    More,
    /// The end of the content: always comes, also after content that broke off. Has no bytes.
    Last,
}

/// Gets what is inside: the path of the entry, a piece, what the piece is. The path has the names from inside, which
/// may hold anything.
pub(crate) type Each<'e> = dyn FnMut(&str, &[u8], Part) + 'e;

/// Hands out everything in an archive. `name_hint` is the blob's name, where one is known; it names what a gzip holds
/// that does not say so itself.
pub(crate) fn unpack(name_hint: Option<&str>, whole: &[u8], limits: &Limits, each: &mut Each<'_>) -> Unpacked {
    let Some(form) = Form::of_whole(whole) else { return Unpacked::NotAnArchive };
    let meter = Meter::new(whole.len() as u64, limits);
    let mut walk = Walk { meter: &meter, limits, each, refused: Refused::new() };
    let hint = name_hint.map(|name| name.rsplit('/').next().unwrap_or(name));
    let place = Place { path: String::new(), name: hint.unwrap_or_default().to_owned(), depth: 1 };
    let walked = match form {
        Form::Zip => walk.zip(whole, &place),
        Form::Packed(codec) => walk.packed(codec, &mut &*whole, &place),
        Form::Tar => walk.tar(&mut &*whole, &place),
        Form::Closed(closed) => {
            walk.refused.add_closed(&place, closed);
            Ok(())
        }
    };
    walk.refused.into_unpacked(&walked, &meter)
}

/// Where the walk is.
struct Place {
    /// The path of the archive, inside the blob; empty for the blob.
    path: String,
    /// The last name on it; that of the blob too, where it is known.
    name: String,
    /// In how many archives that which is inside is.
    depth: usize,
}

impl Place {
    fn inside(&self, name: &[u8]) -> Self {
        let shown = &name[..name.len().min(SHOWN_NAME_BYTES_MAX)];
        let name = String::from_utf8_lossy(shown).into_owned();
        let path = if self.path.is_empty() { name.clone() } else { format!("{}!/{name}", self.path) };
        Self { path, name, depth: self.depth + 1 }
    }

    /// For messages.
    fn shown(&self) -> Cow<'_, str> {
        if self.path.is_empty() { "the archive".into() } else { format!("`{}` in the archive", self.path).into() }
    }
}

/// What was not looked into: the first of it in words.
struct Refused {
    first: Option<String>,
    more: usize,
    weight: Weight,
}

impl Refused {
    fn new() -> Self {
        Self { first: None, more: 0, weight: Weight::Told }
    }

    fn add(&mut self, place: &Place, why: impl std::fmt::Display) {
        // What stops is told before what does not.
        if self.weight == Weight::Told {
            self.more += usize::from(self.first.take().is_some());
        }
        self.note(place, why, Weight::Stops);
    }

    fn add_closed(&mut self, place: &Place, closed: &form::Closed) {
        let why = format_args!("is {}, which is not looked into", closed.what);
        match closed.weight {
            Weight::Stops => self.add(place, why),
            Weight::Told => self.note(place, why, Weight::Told),
        }
    }

    fn note(&mut self, place: &Place, why: impl std::fmt::Display, weight: Weight) {
        match self.first {
            None => self.first = Some(format!("{} {why}", place.shown())),
            Some(_) => self.more += 1,
        }
        self.weight = self.weight.max(weight);
    }

    fn into_unpacked(self, walked: &Result<(), Halt>, meter: &Meter) -> Unpacked {
        if let Err(Halt) = walked {
            let why = format!("the archive {}", meter.halted().unwrap_or("is over a limit"));
            return Unpacked::Refused { why, weight: Weight::Stops };
        }
        let weight = self.weight;
        match (self.first, self.more) {
            (None, _) => Unpacked::Done,
            (Some(why), 0) => Unpacked::Refused { why, weight },
            (Some(why), more) => Unpacked::Refused { why: format!("{why}; and {more} more like it"), weight },
        }
    }
}

/// The walk through one blob.
struct Walk<'w, 'e> {
    meter: &'w Meter,
    limits: &'w Limits,
    each: &'w mut Each<'e>,
    refused: Refused,
}

impl Walk<'_, '_> {
    /// Every entry that a zip lists; of one whose list is broken, every entry that has a header.
    fn zip(&mut self, whole: &[u8], place: &Place) -> Result<(), Halt> {
        // Reading the list costs memory for every entry, so that they are counted before.
        self.meter.entries(memchr::memmem::find_iter(whole, ZIP_LISTED).count() as u64)?;
        let mut archive = match ZipArchive::new(Cursor::new(whole)) {
            Ok(archive) => archive,
            Err(error) => {
                self.refused.add(place, why_not(&error));
                return self.zip_by_headers(whole, place);
            }
        };
        if let Some(listed) = zip_entries_listed(whole).filter(|listed| *listed != archive.len()) {
            let told_apart = archive.len();
            self.refused.add(place, format_args!("lists {listed} entries, and {told_apart} can be told apart"));
        }
        self.name(place, archive.comment());
        for index in 0..archive.len() {
            let mut entry = match archive.by_index_raw(index) {
                Ok(entry) => entry,
                Err(error) => {
                    self.refused.add(place, why_not(&error));
                    continue;
                }
            };
            let inside = place.inside(entry.name_raw());
            self.name(&inside, entry.name_raw());
            self.name(&inside, entry.comment_raw());
            if entry.encrypted() {
                self.refused.add(&inside, "is encrypted");
                continue;
            }
            let (method, bytes, sum) = (ZipMethod::of(entry.compression()), entry.size(), entry.crc32());
            self.zip_entry(method, bytes, Some(sum), &mut entry, &inside)?;
        }
        Ok(())
    }

    /// What an entry of a zip holds.
    fn zip_entry(
        &mut self,
        method: ZipMethod,
        bytes: u64,
        sum: Option<u32>,
        packed: &mut dyn Read,
        place: &Place,
    ) -> Result<(), Halt> {
        let meter = self.meter;
        let reader: io::Result<Box<dyn Read + '_>> = match method {
            ZipMethod::Stored => Ok(Box::new(packed)),
            ZipMethod::Deflate => Ok(Box::new(Deflated::new(packed))),
            ZipMethod::Bzip2 => Ok(Box::new(Streams::new(Codec::Bzip2, packed, meter))),
            ZipMethod::Zstd => Ok(Box::new(Streams::new(Codec::Zstd, packed, meter))),
            ZipMethod::Xz => Ok(Box::new(Streams::new(Codec::Xz, packed, meter))),
            ZipMethod::Lzma => lzma_of_zip(packed, bytes).map(|reader| Box::new(reader) as _),
            ZipMethod::Other(other) => {
                self.refused.add(place, format_args!("is compressed with {other}, which is not looked into"));
                return Ok(());
            }
        };
        match (reader, sum) {
            (Ok(reader), Some(sum)) => self.content(&mut Metered { inner: Summed::new(reader, sum), meter }, place),
            (Ok(reader), None) => self.content(&mut Metered { inner: reader, meter }, place),
            (Err(error), _) => self.broken(place, &error),
        }
    }

    /// What stands behind the headers of a zip that cannot be read as one: as much as there is of it.
    fn zip_by_headers(&mut self, whole: &[u8], place: &Place) -> Result<(), Halt> {
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&whole[from..], ZIP_ENTRY).map(|at| from + at) {
            from = at + ZIP_ENTRY.len();
            let Some(header) = ZipHeader::read(&whole[at..]) else { break };
            self.meter.entries(1)?;
            let name_at = at + ZipHeader::BYTES;
            let name = &whole[name_at..whole.len().min(name_at + usize::from(header.name_bytes))];
            let inside = place.inside(name);
            self.name(&inside, name);
            if header.is_encrypted() {
                self.refused.add(&inside, "is encrypted");
                continue;
            }
            let content_at = name_at + usize::from(header.name_bytes) + usize::from(header.extra_bytes);
            let Some(content) = whole.get(content_at..) else { continue };
            let known = usize::try_from(header.packed_bytes).ok().filter(|bytes| *bytes > 0 && *bytes <= content.len());
            // What has no length here goes on up to whatever follows it.
            let end = known.unwrap_or_else(|| memchr::memmem::find(content, ZIP_ENTRY).unwrap_or(content.len()));
            let method = ZipMethod::of_number(header.method);
            self.zip_entry(method, u64::MAX, None, &mut &content[..end], &inside)?;
            from = content_at + end;
        }
        Ok(())
    }

    /// Every stream of one compression, as one content. A tar in it is no archive of its own.
    fn packed(&mut self, codec: Codec, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let meter = self.meter;
        let mut streams = Streams::new(codec, reader, meter);
        let mut unpacked = Metered { inner: &mut streams, meter };
        let mut head = [0; HEAD_BYTES];
        let Filled { count, ended } = fill(&mut unpacked, &mut head);
        let head = &head[..count];
        if Form::of(head) == Some(Form::Tar) && ended.is_ok() {
            self.tar(&mut Cursor::new(head).chain(unpacked), place)?;
        } else {
            let name = place.name.strip_suffix(codec.ending()).filter(|name| !name.is_empty()).unwrap_or("content");
            self.content_from(head, ended, &mut unpacked, &place.inside(name.as_bytes()))?;
        }
        // What was refused was not read to its end.
        let drained = io::copy(&mut Metered { inner: &mut streams, meter }, &mut io::sink());
        meter.check()?;
        for name in std::mem::take(&mut streams.names) {
            self.name(place, &name);
        }
        match (drained, streams.after()) {
            (Err(error), _) => self.broken(place, &error),
            (Ok(_), Some(mut after)) => self.content(&mut after, &place.inside(b"after the end")),
            (Ok(_), None) => Ok(()),
        }
    }

    /// Every entry of a tar. Those that only carry the name of the next one are contents too.
    fn tar(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let mut before = Block::Entry;
        loop {
            let mut block = [0; HEAD_BYTES];
            let Filled { count, ended } = fill(reader, &mut block);
            if let Err(error) = ended {
                self.plain(&mut Cursor::new(&block[..count]), &place.inside(b"the last block"))?;
                return self.broken(place, &error);
            }
            if count == 0 {
                return Ok(());
            }
            match (tar_header(&block), before) {
                (Some(header), _) if count == HEAD_BYTES => match self.tar_entry(&header, reader, place)? {
                    Ok(()) => before = Block::Entry,
                    Err(error) => return self.broken(place, &error),
                },
                _ if block[..count].iter().all(|byte| *byte == 0) => before = Block::End,
                // Something else follows the end: it is no part of the tar, and no mistake of it.
                (_, Block::End) => {
                    let mut rest = Cursor::new(&block[..count]).chain(reader);
                    return self.content(&mut rest, &place.inside(b"after the end"));
                }
                (_, Block::Entry) => return self.broken(place, &invalid("a header of an entry is none")),
            }
        }
    }

    /// An entry, with what fills its last block up. The error is that the tar breaks off.
    fn tar_entry(&mut self, header: &Header, reader: &mut dyn Read, place: &Place) -> Result<io::Result<()>, Halt> {
        self.meter.entries(1)?;
        let inside = place.inside(&header.path_bytes());
        self.name(&inside, &header.path_bytes());
        let owners = [header.username_bytes(), header.groupname_bytes()];
        let others = owners.map(|owner| owner.map(Cow::from)).into_iter().chain([header.link_name_bytes()]);
        others.flatten().for_each(|name| self.name(&inside, &name));
        let bytes = match skip_sparse_blocks(header, reader).and_then(|()| header.entry_size()) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let mut content = Metered { inner: reader.take(bytes), meter: self.meter };
        self.content(&mut content, &inside)?;
        // What was refused was not read to its end.
        let drained = io::copy(&mut content, &mut io::sink());
        self.meter.check()?;
        let bytes_left = content.inner.limit();
        if let (Ok(_), 1..) = (&drained, bytes_left) {
            return Ok(Err(invalid("it ends in the middle of an entry")));
        }
        let padding = bytes.checked_next_multiple_of(HEAD_BYTES as u64).unwrap_or(bytes) - bytes;
        Ok(drained.and_then(|_| io::copy(&mut reader.take(padding), &mut io::sink())).map(|_| ()))
    }

    /// What an entry holds, which may be an archive.
    fn content(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let mut head = [0; HEAD_BYTES];
        let Filled { count, ended } = fill(reader, &mut head);
        self.content_from(&head[..count], ended, reader, place)
    }

    /// As [`Self::content`], with the first of it read already.
    fn content_from(
        &mut self,
        head: &[u8],
        ended: io::Result<()>,
        reader: &mut dyn Read,
        place: &Place,
    ) -> Result<(), Halt> {
        if let Err(error) = ended {
            self.plain(&mut Cursor::new(head), place)?;
            return self.broken(place, &error);
        }
        let mut whole = Cursor::new(head).chain(reader);
        match Form::of(head) {
            Some(_) if place.depth > DEPTH_MAX => {
                self.refused.add(place, too_deep());
                self.plain(&mut whole, place)
            }
            Some(Form::Zip) => self.inner_zip(&mut whole, place),
            Some(Form::Packed(codec)) => self.packed(codec, &mut whole, place),
            Some(Form::Tar) => self.tar(&mut whole, place),
            Some(Form::Closed(closed)) => {
                self.refused.add_closed(place, closed);
                self.plain(&mut whole, place)
            }
            None => self.plain_or_zip(&mut whole, place),
        }
    }

    /// A zip is read from its end: all of it is needed.
    fn inner_zip(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let bytes_max = self.limits.inner_zip_bytes_max;
        let mut whole = Vec::new();
        let read = reader.take(bytes_max + 1).read_to_end(&mut whole);
        match read {
            Ok(_) if whole.len() as u64 <= bytes_max => return self.zip(&whole, place),
            Ok(_) => self.refused.add(place, too_long(bytes_max)),
            Err(error) => self.broken(place, &error)?,
        }
        self.zip_by_headers(&whole, place)
    }

    /// What does not begin like an archive, and may end as a zip does.
    fn plain_or_zip(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let bytes_max = self.limits.inner_zip_bytes_max;
        let (mut kept, mut tail, mut bytes) = (Vec::new(), Tail::default(), 0_u64);
        tail.begin(0);
        self.plain(
            &mut Passing {
                inner: reader,
                each: &mut |piece| {
                    bytes += piece.len() as u64;
                    tail.push(piece);
                    if bytes <= bytes_max {
                        kept.extend_from_slice(piece);
                    }
                },
            },
            place,
        )?;
        if !tail.looks_zipped() {
            return Ok(());
        }
        if bytes > bytes_max {
            self.refused.add(place, too_long(bytes_max));
            return Ok(());
        }
        match Form::of_whole(&kept) {
            Some(Form::Zip) if place.depth > DEPTH_MAX => {
                self.refused.add(place, too_deep());
                Ok(())
            }
            Some(Form::Zip) => self.zip(&kept, place),
            Some(Form::Tar | Form::Packed(_) | Form::Closed(_)) | None => Ok(()),
        }
    }

    /// What is no archive: handed out in pieces.
    fn plain(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let mut piece = vec![0; PIECE_BYTES];
        let read = loop {
            let Filled { count, ended } = fill(reader, &mut piece);
            if count > 0 {
                (self.each)(&place.path, &piece[..count], Part::More);
            }
            match ended {
                Ok(()) if count == piece.len() => {}
                ended => break ended,
            }
        };
        (self.each)(&place.path, &[], Part::Last);
        read.or_else(|error| self.broken(place, &error))
    }

    /// A name, or what else stands beside contents.
    fn name(&mut self, place: &Place, name: &[u8]) {
        if !name.is_empty() {
            (self.each)(&place.path, name, Part::Name);
        }
    }

    /// Something cannot be read: noted, unless a limit is why.
    fn broken(&mut self, place: &Place, error: &io::Error) -> Result<(), Halt> {
        self.meter.check()?;
        self.refused.add(place, format_args!("is broken: {error}"));
        Ok(())
    }
}

/// How an entry of a zip is compressed.
enum ZipMethod {
    Stored,
    Deflate,
    Bzip2,
    Lzma,
    Zstd,
    Xz,
    /// Otherwise; its name.
    Other(String),
}

impl ZipMethod {
    fn of(method: CompressionMethod) -> Self {
        let known = [
            (CompressionMethod::Stored, Self::Stored),
            (CompressionMethod::DEFLATE, Self::Deflate),
            (CompressionMethod::BZIP2, Self::Bzip2),
            (CompressionMethod::LZMA, Self::Lzma),
            (CompressionMethod::ZSTD, Self::Zstd),
            (CompressionMethod::XZ, Self::Xz),
        ];
        let found = known.into_iter().find(|(known, _)| *known == method);
        found.map_or_else(|| Self::Other(method.to_string()), |(_, known)| known)
    }

    /// By the number that stands in a header.
    fn of_number(number: u16) -> Self {
        match number {
            0 => Self::Stored,
            8 => Self::Deflate,
            12 => Self::Bzip2,
            14 => Self::Lzma,
            93 => Self::Zstd,
            95 => Self::Xz,
            other => Self::Other(format!("method {other}")),
        }
    }
}

fn too_deep() -> String {
    format!("is an archive that is more than {DEPTH_MAX} deep in others")
}

fn too_long(bytes_max: u64) -> String {
    format!("is a zip inside another archive, and longer than {bytes_max} bytes")
}

/// Shows what is read to somebody else too.
struct Passing<'r, 'e> {
    inner: &'r mut dyn Read,
    each: &'e mut dyn FnMut(&[u8]),
}

impl Read for Passing<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.each)(&buffer[..count]);
        Ok(count)
    }
}

/// What the last block of a tar was.
#[derive(Clone, Copy)]
enum Block {
    /// A header, with its content.
    Entry,
    /// Zeros: the tar may end here.
    End,
}

/// Blocks that say where the holes of a GNU sparse file are: they stand before the content, and are not in its size.
fn skip_sparse_blocks(header: &Header, reader: &mut dyn Read) -> io::Result<()> {
    let of_header = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
    let mut more = header.entry_type().is_gnu_sparse() && of_header;
    while more {
        let mut block = GnuExtSparseHeader::new();
        reader.read_exact(block.as_mut_bytes())?;
        more = block.is_extended();
    }
    Ok(())
}

/// How far a buffer was filled, and whether an error ended it before.
struct Filled {
    count: usize,
    ended: io::Result<()>,
}

/// Fills a buffer, or as much of it as there is.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> Filled {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Filled { count, ended: Err(error) },
        }
    }
    Filled { count, ended: Ok(()) }
}

/// Why an entry of a zip is not looked into.
fn why_not(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(why) => format!("is not looked into: {why}"),
        ZipError::Io(_) | ZipError::InvalidArchive(_) | ZipError::FileNotFound | ZipError::InvalidPassword | _ => {
            format!("is broken: {error}")
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
