//! Looks into archives: zip, tar and gzip, in each other up to [`DEPTH_MAX`] deep.
//!
//! What is inside is handed out in pieces and never written anywhere; only a zip in another archive is held in memory.
//! Everything has a bound, so that a bomb is a refusal. What cannot be read is never taken for what holds nothing.
//! Deliberately not known here: what is looked for. Not looked into: other compressions than deflate, encrypted entries
//! (both are reported), and what a zip holds without listing it.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    io::{self, BufRead, BufReader, Cursor, Read},
    time::{Duration, Instant},
};

use flate2::bufread::GzDecoder;
use tar::{GnuExtSparseHeader, Header};
use zip::{ZipArchive, result::ZipError};

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
    /// How long it may take.
    pub(crate) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 512 * 1024 * 1024,
            ratio_max: 200,
            entries_max: 65_536,
            inner_zip_bytes_max: 16 * 1024 * 1024,
            time: Duration::from_secs(10),
        }
    }
}

/// This much is unpacked however small the blob is, in bytes: a few repeated lines compress a thousandfold.
pub(crate) const RATIO_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// How much is handed out at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// How much of something is looked at to see what it is, in bytes: the header of a tar.
const HEAD_BYTES: usize = 512;

/// How much of a name is kept for the path, in bytes. All of it is handed out.
const SHOWN_NAME_BYTES_MAX: usize = 1024;

/// How looking into a blob ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// It is no archive that is known here.
    NotAnArchive,
    /// Everything in it was handed out.
    Done,
    /// Not everything was: a limit, something broken, or something that is not read here. A scan is then incomplete.
    Refused {
        /// What, and why. Has names from inside: not yet fit to be shown.
        why: String,
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
    let mut walk = Walk { meter: &meter, limits, each, refused: Refused::default() };
    let hint = name_hint.map(|name| name.rsplit('/').next().unwrap_or(name));
    let place = Place { path: String::new(), name: hint.unwrap_or_default().to_owned(), depth: 1 };
    let walked = match form {
        Form::Zip => walk.zip(whole, &place),
        Form::Gzip => walk.gzip(&mut &*whole, &place),
        Form::Tar => walk.tar(&mut &*whole, &place),
    };
    walk.refused.into_unpacked(&walked, &meter)
}

/// The archives that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Zip,
    Gzip,
    Tar,
}

impl Form {
    /// By the first bytes.
    fn of(head: &[u8]) -> Option<Self> {
        const ZIP: [&[u8]; 3] = [b"PK\x03\x04", ZIP_END, b"PK\x07\x08"];
        if ZIP.iter().any(|magic| head.starts_with(magic)) {
            Some(Self::Zip)
        } else if head.starts_with(b"\x1f\x8b\x08") {
            Some(Self::Gzip)
        } else {
            head.first_chunk().and_then(tar_header).map(|_| Self::Tar)
        }
    }

    /// By the first bytes, or by the last ones: a zip may stand behind a program that unpacks it.
    fn of_whole(whole: &[u8]) -> Option<Self> {
        let has_end = || whole.len().checked_sub(ZIP_END_BYTES).is_some_and(|at| whole[at..].starts_with(ZIP_END));
        Self::of(whole).or_else(|| has_end().then_some(Self::Zip))
    }
}

/// What the record at the end of a zip begins with, and how long it is without a comment.
const ZIP_END: &[u8] = b"PK\x05\x06";
const ZIP_END_BYTES: usize = 22;
/// Where in it the number of entries stands, and the number that says that it stands elsewhere.
const ZIP_COUNT_AT: usize = 10;
const ZIP_COUNT_ELSEWHERE: u16 = u16::MAX;
/// What an entry begins with in the list of a zip.
const ZIP_LISTED: &[u8] = b"PK\x01\x02";

/// A block that is a header of a tar: its checksum says so.
fn tar_header(block: &[u8; HEAD_BYTES]) -> Option<Header> {
    let header = Header::from_byte_slice(block).clone();
    let mut summed = header.clone();
    summed.set_cksum();
    let is_header = block[0] != 0 && header.cksum().ok()? == summed.cksum().ok()?;
    is_header.then_some(header)
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

/// A limit is reached: nothing more is looked at.
#[derive(Debug)]
struct Halt;

/// What was not looked into: the first of it in words.
#[derive(Default)]
struct Refused {
    first: Option<String>,
    more: usize,
}

impl Refused {
    fn add(&mut self, place: &Place, why: impl std::fmt::Display) {
        match self.first {
            None => self.first = Some(format!("{} {why}", place.shown())),
            Some(_) => self.more += 1,
        }
    }

    fn into_unpacked(self, walked: &Result<(), Halt>, meter: &Meter) -> Unpacked {
        if let Err(Halt) = walked {
            let why = meter.halted.get().map_or("a limit is reached", String::as_str);
            return Unpacked::Refused { why: format!("the archive {why}") };
        }
        match (self.first, self.more) {
            (None, _) => Unpacked::Done,
            (Some(why), 0) => Unpacked::Refused { why },
            (Some(why), more) => Unpacked::Refused { why: format!("{why}; and {more} more like it") },
        }
    }
}

/// Counts what was unpacked, and says when it is enough.
struct Meter {
    bytes_left: Cell<u64>,
    entries_left: Cell<u64>,
    too_long: String,
    end: Instant,
    time: Duration,
    /// The limit that was reached.
    halted: OnceCell<String>,
}

impl Meter {
    fn new(blob_bytes: u64, limits: &Limits) -> Self {
        let by_ratio = blob_bytes.saturating_mul(limits.ratio_max).max(RATIO_FREE_BYTES);
        let too_long = if by_ratio < limits.bytes_max {
            format!("unpacks to more than {} times its length: it may be a bomb", limits.ratio_max)
        } else {
            format!("unpacks to more than {} bytes", limits.bytes_max)
        };
        Self {
            bytes_left: Cell::new(by_ratio.min(limits.bytes_max)),
            entries_left: Cell::new(limits.entries_max),
            too_long,
            end: Instant::now() + limits.time,
            time: limits.time,
            halted: OnceCell::new(),
        }
    }

    fn halt(&self, why: String) -> Halt {
        // The first limit is the one that is told.
        self.halted.set(why).ok();
        Halt
    }

    fn bytes(&self, bytes: usize) -> Result<(), Halt> {
        if Instant::now() >= self.end {
            return Err(self.halt(format!("takes longer than {:?} to look into", self.time)));
        }
        let left = self.bytes_left.get().checked_sub(bytes as u64);
        left.map(|left| self.bytes_left.set(left)).ok_or_else(|| self.halt(self.too_long.clone()))
    }

    fn entries(&self, entries: u64) -> Result<(), Halt> {
        self.bytes(0)?;
        let left = self.entries_left.get().checked_sub(entries);
        let too_many = || self.halt("has too many entries to be looked into".to_owned());
        left.map(|left| self.entries_left.set(left)).ok_or_else(too_many)
    }

    /// Whether an error of reading is really a limit that was reached.
    fn check(&self) -> Result<(), Halt> {
        if self.halted.get().is_some() { Err(Halt) } else { Ok(()) }
    }
}

/// Reads what is unpacked, as long as the limits allow.
struct Metered<'m, R> {
    inner: R,
    meter: &'m Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.bytes(count).map_err(|Halt| io::Error::other("a limit is reached"))?;
        Ok(count)
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
    /// Every entry that a zip lists.
    fn zip(&mut self, whole: &[u8], place: &Place) -> Result<(), Halt> {
        // Reading the list costs memory for every entry, so that they are counted before.
        self.meter.entries(occurrences(whole, ZIP_LISTED))?;
        let mut archive = match ZipArchive::new(Cursor::new(whole)) {
            Ok(archive) => archive,
            Err(error) => {
                self.refused.add(place, why_not(&error));
                return Ok(());
            }
        };
        if let Some(listed) = entries_listed(whole).filter(|listed| *listed != archive.len()) {
            let told_apart = archive.len();
            self.refused.add(place, format_args!("lists {listed} entries, and {told_apart} can be told apart"));
        }
        self.name(place, archive.comment());
        for index in 0..archive.len() {
            let inside = match archive.by_index_raw(index) {
                Ok(entry) => {
                    let inside = place.inside(entry.name_raw());
                    self.name(&inside, entry.name_raw());
                    self.name(&inside, entry.comment_raw());
                    inside
                }
                Err(error) => {
                    self.refused.add(place, why_not(&error));
                    continue;
                }
            };
            match archive.by_index(index) {
                Ok(entry) => self.content(&mut Metered { inner: entry, meter: self.meter }, &inside)?,
                Err(error) => self.refused.add(&inside, why_not(&error)),
            }
        }
        Ok(())
    }

    /// Every member of a gzip, as one content. A tar in it is no archive of its own.
    fn gzip(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let meter = self.meter;
        let mut members = Members::new(reader, meter);
        let mut unpacked = Metered { inner: &mut members, meter };
        let mut head = [0; HEAD_BYTES];
        let Filled { count, ended } = fill(&mut unpacked, &mut head);
        let head = &head[..count];
        if Form::of(head) == Some(Form::Tar) {
            self.tar(&mut Cursor::new(head).chain(unpacked), place)?;
        } else {
            let name = place.name.strip_suffix(".gz").unwrap_or("content");
            self.content_from(head, ended, &mut unpacked, &place.inside(name.as_bytes()))?;
        }
        members.note_names();
        for name in &members.names {
            self.name(place, name);
        }
        match members.after {
            After::Nothing => {}
            After::Something => self.refused.add(place, "has something after its end"),
        }
        Ok(())
    }

    /// Every entry of a tar. Those that only carry the name of the next one are contents too.
    fn tar(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let mut before = Block::Entry;
        loop {
            let mut block = [0; HEAD_BYTES];
            let Filled { count, ended } = fill(reader, &mut block);
            if let Err(error) = ended {
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
                    return self.plain(&mut rest, &place.inside(b"after the end"));
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
                self.refused.add(place, format_args!("is an archive that is more than {DEPTH_MAX} deep in others"));
                self.plain(&mut whole, place)
            }
            Some(Form::Zip) => self.inner_zip(&mut whole, place),
            Some(Form::Gzip) => self.gzip(&mut whole, place),
            Some(Form::Tar) => self.tar(&mut whole, place),
            None => self.plain(&mut whole, place),
        }
    }

    /// A zip is read from its end: all of it is needed.
    fn inner_zip(&mut self, reader: &mut dyn Read, place: &Place) -> Result<(), Halt> {
        let bytes_max = self.limits.inner_zip_bytes_max;
        let mut whole = Vec::new();
        if let Err(error) = reader.take(bytes_max + 1).read_to_end(&mut whole) {
            return self.broken(place, &error);
        }
        if whole.len() as u64 > bytes_max {
            self.refused.add(place, format_args!("is a zip inside another archive, and longer than {bytes_max} bytes"));
            return Ok(());
        }
        self.zip(&whole, place)
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

/// The members of a gzip, one after the other.
struct Members<'m, R> {
    decoder: Option<GzDecoder<BufReader<R>>>,
    meter: &'m Meter,
    /// Names and comments of the members.
    names: Vec<Vec<u8>>,
    after: After,
}

/// What follows the last member.
#[derive(Clone, Copy)]
enum After {
    /// Nothing, or zeros that fill a block up.
    Nothing,
    /// Bytes that are no member.
    Something,
}

impl<'m, R: Read> Members<'m, R> {
    fn new(reader: R, meter: &'m Meter) -> Self {
        let decoder = Some(GzDecoder::new(BufReader::new(reader)));
        Self { decoder, meter, names: Vec::new(), after: After::Nothing }
    }

    /// Keeps the name and the comment of the present member.
    fn note_names(&mut self) {
        let Some(header) = self.decoder.as_ref().and_then(GzDecoder::header) else { return };
        let names = [header.filename(), header.comment(), header.extra()];
        self.names.extend(names.into_iter().flatten().map(<[u8]>::to_vec));
    }

    /// Goes to the next member, if there is one.
    fn next(&mut self) -> io::Result<()> {
        self.note_names();
        let Some(decoder) = self.decoder.take() else { return Ok(()) };
        self.meter.entries(1).map_err(|Halt| io::Error::other("a limit is reached"))?;
        let mut reader = decoder.into_inner();
        loop {
            let rest = reader.fill_buf()?;
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            match rest.get(zeros) {
                None if rest.is_empty() => return Ok(()),
                None => reader.consume(zeros),
                Some(0x1f) => {
                    reader.consume(zeros);
                    self.decoder = Some(GzDecoder::new(reader));
                    return Ok(());
                }
                Some(_) => {
                    self.after = After::Something;
                    return Ok(());
                }
            }
        }
    }
}

impl<R: Read> Read for Members<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.next()?;
        }
        Ok(0)
    }
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

/// How often something stands in a text.
fn occurrences(text: &[u8], what: &[u8]) -> u64 {
    text.windows(what.len()).filter(|window| *window == what).count() as u64
}

/// How many entries the record at the end of a zip speaks of. The record says of some that the number stands elsewhere.
fn entries_listed(whole: &[u8]) -> Option<usize> {
    let at = whole.windows(ZIP_END.len()).rposition(|window| window == ZIP_END)?;
    let count = u16::from_le_bytes(*whole.get(at + ZIP_COUNT_AT..)?.first_chunk()?);
    (count != ZIP_COUNT_ELSEWHERE).then_some(usize::from(count))
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
