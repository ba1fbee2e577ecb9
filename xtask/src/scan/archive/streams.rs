//! Compressed streams, one after the other, as one content.
//!
//! What was unpacked before something broken is handed out: whoever reads gets the bytes first and the error then.

use std::{
    io::{self, BufRead, Read},
    ops::Range,
};

use bzip2::bufread::BzDecoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use lzma_rust2::{LzipReader, LzmaReader, XzReader, lzma_get_memory_usage_by_props};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::{
    form::{Codec, Form, HEAD_BYTES, lzip_dictionary_bytes, zstd_skipped_bytes},
    invalid,
    meter::Meter,
};

/// How much memory a decoder may take, in bytes: what `xz -9` needs, and a little more.
const DECODER_BYTES_MAX: u32 = 72 * 1024 * 1024;
/// How long the names and comments of the members of a gzip may be altogether, in bytes.
const NAMES_BYTES_MAX: usize = 1024 * 1024;
/// How much is read at once, in bytes.
const INPUT_BYTES: usize = 16 * 1024;
/// How much deflate unpacks at once, in bytes: at least what it may hold back.
const INFLATED_BYTES: usize = 64 * 1024;

/// Bytes that can be looked at before they are taken, and given back.
pub(super) struct Input<'r> {
    inner: &'r mut dyn Read,
    buffer: Vec<u8>,
    there: Range<usize>,
}

impl<'r> Input<'r> {
    pub(super) fn new(inner: &'r mut dyn Read) -> Self {
        Self { inner, buffer: vec![0; INPUT_BYTES], there: 0..0 }
    }

    /// Shows so many bytes, or all that are still to come.
    fn ahead(&mut self, bytes: usize) -> io::Result<&[u8]> {
        if self.buffer.len() < self.there.start + bytes {
            self.buffer.copy_within(self.there.clone(), 0);
            self.there = 0..self.there.len();
            self.buffer.resize(self.buffer.len().max(bytes), 0);
        }
        while self.there.len() < bytes {
            match self.inner.read(&mut self.buffer[self.there.end..]) {
                Ok(0) => break,
                Ok(count) => self.there.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.there.clone()])
    }

    /// Takes exactly so many bytes, which are few.
    fn take_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let taken = *self.ahead(N)?.first_chunk().ok_or_else(ended_early)?;
        self.consume(N);
        Ok(taken)
    }

    /// Gives back what somebody read too much.
    fn give_back(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let rest = self.buffer[self.there.clone()].to_vec();
            self.buffer = [bytes, rest].concat();
            self.there = 0..self.buffer.len();
            self.buffer.resize(self.there.end.max(INPUT_BYTES), 0);
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.ahead(1)
    }

    fn consume(&mut self, bytes: usize) {
        self.there.start = (self.there.start + bytes).min(self.there.end);
    }
}

/// All streams of one compression that follow each other.
pub(super) struct Streams<'r, 'm> {
    codec: Codec,
    stream: Stream<'r>,
    meter: &'m Meter,
    /// Names and comments of the members of a gzip.
    pub(super) names: Vec<Vec<u8>>,
}

/// Where it stands.
enum Stream<'r> {
    Gzip(Box<Gzip<'r>>),
    Bzip2(BzDecoder<Input<'r>>),
    Xz(Box<XzReader<Input<'r>>>),
    Zstd(Box<StreamingDecoder<Input<'r>, FrameDecoder>>),
    /// A zstd frame that decoders pass over: it is handed out as it is.
    Passed(io::Take<Input<'r>>),
    Lzip(Box<LzipReader<Input<'r>>>),
    Lzma(Box<LzmaReader<Input<'r>>>),
    /// Before the first stream.
    Before(Input<'r>),
    /// After the last one: what follows it.
    After(Input<'r>),
    /// Something is broken.
    Broken,
}

impl<'r, 'm> Streams<'r, 'm> {
    pub(super) fn new(codec: Codec, reader: &'r mut dyn Read, meter: &'m Meter) -> Self {
        Self { codec, stream: Stream::Before(Input::new(reader)), meter, names: Vec::new() }
    }

    /// What follows the last stream and is none.
    pub(super) fn after(self) -> Option<Input<'r>> {
        match self.stream {
            Stream::After(input) if !input.there.is_empty() => Some(input),
            Stream::After(_)
            | Stream::Gzip(_)
            | Stream::Bzip2(_)
            | Stream::Xz(_)
            | Stream::Zstd(_)
            | Stream::Passed(_)
            | Stream::Lzip(_)
            | Stream::Lzma(_)
            | Stream::Before(_)
            | Stream::Broken => None,
        }
    }

    /// Goes to the next stream, if there is one.
    fn next(&mut self) -> io::Result<()> {
        let begins = matches!(self.stream, Stream::Before(_));
        let mut input = match std::mem::replace(&mut self.stream, Stream::Broken) {
            Stream::Gzip(gzip) => gzip.input,
            Stream::Bzip2(decoder) => decoder.into_inner(),
            Stream::Xz(decoder) => decoder.into_inner(),
            Stream::Zstd(decoder) => decoder.into_inner(),
            Stream::Passed(rest) if rest.limit() > 0 => return Err(ended_early()),
            Stream::Passed(rest) => rest.into_inner(),
            Stream::Lzip(decoder) => given_back(decoder.into_parts()),
            Stream::Lzma(decoder) => given_back(decoder.into_parts()),
            Stream::Before(input) | Stream::After(input) => input,
            Stream::Broken => return Ok(()),
        };
        if !begins {
            skip_zeros(&mut input)?;
            let follows = Form::of(input.ahead(HEAD_BYTES).map(|head| &head[..head.len().min(HEAD_BYTES)])?);
            // An lzma has no mark, and knows no other one behind it.
            if follows != Some(Form::Packed(self.codec)) || self.codec == Codec::Lzma {
                self.stream = Stream::After(input);
                return Ok(());
            }
        }
        self.meter.entries(1)?;
        self.stream = self.start(input)?;
        Ok(())
    }

    fn start(&mut self, mut input: Input<'r>) -> io::Result<Stream<'r>> {
        const MEMORY_KIB: u32 = DECODER_BYTES_MAX / 1024;
        Ok(match self.codec {
            Codec::Gzip => Stream::Gzip(Box::new(Gzip::new(input, &mut self.names)?)),
            Codec::Bzip2 => Stream::Bzip2(BzDecoder::new(input)),
            Codec::Xz => Stream::Xz(Box::new(XzReader::new_mem_limit(input, false, MEMORY_KIB))),
            Codec::Zstd => {
                if let Some(bytes) = zstd_skipped_bytes(input.ahead(8)?) {
                    input.consume(8);
                    Stream::Passed(input.take(u64::from(bytes)))
                } else {
                    let decoder = StreamingDecoder::new_with_max_window_size(input, u64::from(DECODER_BYTES_MAX));
                    Stream::Zstd(Box::new(decoder.map_err(io::Error::other)?))
                }
            }
            Codec::Lzip => {
                let bytes = lzip_dictionary_bytes(input.ahead(6)?);
                if bytes.is_none_or(|bytes| bytes > DECODER_BYTES_MAX) {
                    return Err(invalid("it needs more memory than it may have"));
                }
                Stream::Lzip(Box::new(LzipReader::new(input)))
            }
            Codec::Lzma => Stream::Lzma(Box::new(LzmaReader::new_mem_limit(input, MEMORY_KIB, None)?)),
        })
    }
}

impl Read for Streams<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.stream {
                Stream::Gzip(gzip) => gzip.read(buffer),
                Stream::Bzip2(decoder) => decoder.read(buffer),
                Stream::Xz(decoder) => decoder.read(buffer),
                Stream::Zstd(decoder) => decoder.read(buffer),
                Stream::Passed(rest) => rest.read(buffer),
                Stream::Lzip(decoder) => decoder.read(buffer),
                Stream::Lzma(decoder) => decoder.read(buffer),
                Stream::Before(_) => Ok(0),
                Stream::After(_) | Stream::Broken => return Ok(0),
            };
            match read {
                Ok(0) if !buffer.is_empty() => self.next()?,
                Ok(count) => return Ok(count),
                Err(error) => {
                    self.stream = Stream::Broken;
                    return Err(error);
                }
            }
        }
    }
}

fn given_back((mut input, bytes): (Input<'_>, Vec<u8>)) -> Input<'_> {
    input.give_back(bytes);
    input
}

/// Zeros fill a block up.
fn skip_zeros(input: &mut Input<'_>) -> io::Result<()> {
    loop {
        let there = input.fill_buf()?;
        let zeros = there.iter().take_while(|byte| **byte == 0).count();
        let ends = zeros < there.len() || there.is_empty();
        input.consume(zeros);
        if ends {
            return Ok(());
        }
    }
}

/// A member of a gzip, behind its header.
struct Gzip<'r> {
    input: Input<'r>,
    inflate: Inflate,
    crc: Crc,
    ended: bool,
}

impl<'r> Gzip<'r> {
    fn new(mut input: Input<'r>, names: &mut Vec<Vec<u8>>) -> io::Result<Self> {
        let flags = input.take_array::<10>()?[3];
        let has = |flag: u8| flags & flag != 0;
        let mut left = NAMES_BYTES_MAX - names.iter().map(Vec::len).sum::<usize>().min(NAMES_BYTES_MAX);
        let too_long = || invalid("the names in it are too long");
        if has(4) {
            let length = usize::from(u16::from_le_bytes(input.take_array()?));
            left = left.checked_sub(length).ok_or_else(too_long)?;
            let mut extra = vec![0; length];
            input.read_exact(&mut extra)?;
            names.push(extra);
        }
        for _ in [8, 16].into_iter().filter(|flag| has(*flag)) {
            let mut name = Vec::new();
            (&mut input).take(left as u64 + 1).read_until(0, &mut name)?;
            left = left.checked_sub(name.len()).ok_or_else(too_long)?;
            name.pop_if(|last| *last == 0).ok_or_else(ended_early)?;
            names.push(name);
        }
        if has(2) {
            input.take_array::<2>()?;
        }
        Ok(Self { input, inflate: Inflate::new(), crc: Crc::new(), ended: false })
    }
}

impl Read for Gzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inflate.read(&mut self.input, buffer)?;
        self.crc.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && !std::mem::replace(&mut self.ended, true) {
            let (crc, bytes) = (self.input.take_array()?, self.input.take_array()?);
            if u32::from_le_bytes(crc) != self.crc.sum() || u32::from_le_bytes(bytes) != self.crc.amount() {
                return Err(other_checksum());
            }
        }
        Ok(count)
    }
}

/// Deflate. Whatever it wrote before an error is handed out before it.
struct Inflate {
    decompress: Decompress,
    written: Vec<u8>,
    ready: Range<usize>,
    end: End,
}

/// How a stream of deflate ends.
enum End {
    NotYet,
    Whole,
    Broken(Option<io::Error>),
}

impl Inflate {
    fn new() -> Self {
        Self { decompress: Decompress::new(false), written: vec![0; INFLATED_BYTES], ready: 0..0, end: End::NotYet }
    }

    fn read(&mut self, input: &mut Input<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !buffer.is_empty() {
            match &mut self.end {
                End::Whole => return Ok(0),
                End::Broken(error) => return Err(error.take().unwrap_or_else(|| invalid("it is damaged"))),
                End::NotYet => self.more(input),
            }
        }
        let count = self.ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.written[self.ready.start..self.ready.start + count]);
        self.ready.start += count;
        Ok(count)
    }

    fn more(&mut self, input: &mut Input<'_>) {
        let there = match input.fill_buf() {
            Ok(there) => there,
            Err(error) => return self.end = End::Broken(Some(error)),
        };
        let no_more = there.is_empty();
        let (read, wrote) = (self.decompress.total_in(), self.decompress.total_out());
        let done = self.decompress.decompress(there, &mut self.written, FlushDecompress::None);
        // Both are bounded by the buffers.
        let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let (read, wrote) = (since(self.decompress.total_in(), read), since(self.decompress.total_out(), wrote));
        input.consume(read);
        self.ready = 0..wrote.min(self.written.len());
        self.end = match done {
            Ok(Status::StreamEnd) => End::Whole,
            Ok(Status::Ok | Status::BufError) if no_more && wrote == 0 => End::Broken(Some(ended_early())),
            Ok(Status::Ok | Status::BufError) if read == 0 && wrote == 0 => End::Broken(None),
            Ok(Status::Ok | Status::BufError) => End::NotYet,
            Err(_) => End::Broken(None),
        };
    }
}

/// The content of an entry of a zip that is deflated.
pub(super) struct Deflated<'r> {
    input: Input<'r>,
    inflate: Inflate,
}

impl<'r> Deflated<'r> {
    pub(super) fn new(reader: &'r mut dyn Read) -> Self {
        Self { input: Input::new(reader), inflate: Inflate::new() }
    }
}

impl Read for Deflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inflate.read(&mut self.input, buffer)
    }
}

/// The content of an entry of a zip that is compressed with lzma: a header of its own stands before it.
pub(super) fn lzma_of_zip(reader: &mut dyn Read, bytes: u64) -> io::Result<LzmaReader<Input<'_>>> {
    let mut input = Input::new(reader);
    let [_, _, 5, 0, properties, rest @ ..] = input.take_array::<9>()? else {
        return Err(invalid("its properties are none"));
    };
    let dictionary = u32::from_le_bytes(rest);
    if lzma_get_memory_usage_by_props(dictionary, properties)? > DECODER_BYTES_MAX / 1024 {
        return Err(invalid("it needs more memory than it may have"));
    }
    LzmaReader::new_with_props(input, bytes, properties, dictionary, None)
}

/// Compares the checksum of what is read to its end.
pub(super) struct Summed<R> {
    inner: R,
    crc: Crc,
    expected: Option<u32>,
}

impl<R: Read> Summed<R> {
    pub(super) fn new(inner: R, expected: u32) -> Self {
        Self { inner, crc: Crc::new(), expected: Some(expected) }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.crc.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.expected.take().is_some_and(|sum| sum != self.crc.sum()) {
            return Err(other_checksum());
        }
        Ok(count)
    }
}

fn other_checksum() -> io::Error {
    invalid("its checksum is another one")
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
}
