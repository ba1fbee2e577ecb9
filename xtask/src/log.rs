//! A log on disk: hash-chained lines, appended under a lock, read from the tail.
//!
//! The file trail and the embedded authority's event log are both kept here. The lock is on a sibling file
//! (`events.jsonl.lock`) that holds nothing and is never renamed or removed; a killed process's lock is gone with it.
//! A line counts once its line break is there: what follows the last line break is a torn line, which readers report
//! and leave out, and which the next append cuts off. A whole line that cannot be read is never cut.

#![expect(clippy::disallowed_methods, reason = "this is the door to logs, which are appended to under a lock")]

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use license_core::chain::{self, ChainError, Entry, Head, LineHash};
use serde::{Serialize, de::DeserializeOwned};

use crate::{exit::Exit, failure::stop_exit, git::GitError, private_directory, trail::git::GitTrailError};

/// The longest line, with its line break, in bytes.
pub(crate) const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// How long a command waits for another one's lock.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The longest pause between two looks at a lock, in microseconds. Short, because a busy writer leaves the lock free
/// for some microseconds only; random, so that two who wait do not keep step.
const LOCK_PAUSE_MICROS_MAX: u32 = 1_000;
/// How much is read from the file at once, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// How much is read at first to find the beginning of the line before a position, in bytes. Most lines are shorter.
const LINE_BYTES_USUAL: u64 = 4 * 1024;

/// A log file. Every operation locks, looks at what was appended since, and works on that.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    lock_wait: Duration,
}

/// What was read: the entries, where the log ends, and whether a torn last line was left out.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    /// The entries after the position that was asked for.
    pub(crate) entries: Vec<Entry<T>>,
    /// Where the next reading continues.
    pub(crate) position: Position,
    /// Whether the file ends in a line that was not written to its end.
    pub(crate) tail: Tail,
}

/// A place in the log up to which it has been read: every entry before it has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The offset in bytes.
    pub(crate) offset: u64,
    /// The chain's head at that offset.
    pub(crate) head: Head,
}

impl Position {
    /// The beginning.
    pub(crate) const START: Self = Self { offset: 0, head: Head::EMPTY };
}

/// What a log's file looks like from outside. An append changes the length; a log that was removed and begun again may
/// well have the old length, but not everything else too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    inode: u64,
    /// The time of the last write, in seconds and nanoseconds.
    written: (i64, i64),
}

/// How the file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With a whole line.
    Whole,
    /// With a line that lost its end when the power went; the next append cuts it off.
    Torn {
        /// Its length in bytes.
        bytes: u64,
    },
}

impl Log {
    /// Names a log. Nothing is created before the first append.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), lock_wait: LOCK_WAIT }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file looks like from outside: a cheap way to see that somebody appended, or began the log again. It is
    /// one `stat`; a missing file has none.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>, LogError> {
        match self.path.metadata() {
            Ok(metadata) => Ok(Some(Stamp {
                bytes: metadata.len(),
                inode: metadata.ino(),
                written: (metadata.mtime(), metadata.mtime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io("read", error)),
        }
    }

    /// Reads every entry after a position. A missing file is an empty log.
    pub(crate) fn read_after<T: DeserializeOwned>(&self, position: Position) -> Result<Reading<T>, LogError> {
        let mut entries = Vec::new();
        let (position, tail) = self.scan(position, |entry, _| entries.push(entry))?;
        Ok(Reading { entries, position, tail })
    }

    /// Reads the entries from the newest line that `begins` on; all of them where none does. The lines are looked at
    /// backwards, so that the cost is that of what is given, and not that of what is before it. The chain is checked
    /// from the line before the first on.
    pub(crate) fn read_from_newest<T: DeserializeOwned>(
        &self,
        begins: impl Fn(&[u8]) -> bool,
    ) -> Result<Reading<T>, LogError> {
        let _lock = self.lock_to_read()?;
        let file = or_missing(File::open(&self.path)).map_err(|error| self.io("read", error))?;
        let begin = match &file {
            Some(file) => self.newest(file, begins)?,
            None => Position::START,
        };
        let mut entries = Vec::new();
        let (position, tail) = self.walk(file.as_ref(), begin, |entry, _| entries.push(entry))?;
        Ok(Reading { entries, position, tail })
    }

    /// Where the newest line that `begins` starts, as the line itself says; the log's beginning where there is none.
    fn newest(&self, file: &File, begins: impl Fn(&[u8]) -> bool) -> Result<Position, LogError> {
        let unreadable = |error| self.io("read", error);
        let length = file.metadata().map_err(unreadable)?.len();
        let mut end = end_of_lines(file, length).map_err(unreadable)?;
        // Bounded by the number of lines. What is no line of ours is for the reading from the beginning to report.
        while let Some(line) = line_before(file, length, end).map_err(unreadable)? {
            let offset = end - (line.len() as u64 + 1);
            if begins(&line) {
                return self.place_of(file, length, offset, &line);
            }
            if offset == 0 {
                break;
            }
            end = offset;
        }
        Ok(Position::START)
    }

    /// The position before a line that was found by looking backwards: its number must be the next one of the line
    /// before it. That its hash fits is checked when it is read.
    fn place_of(&self, file: &File, length: u64, offset: u64, line: &[u8]) -> Result<Position, LogError> {
        #[derive(serde::Deserialize)]
        struct Place {
            seq: u64,
            prev: LineHash,
        }
        let place = |line: &[u8]| serde_json::from_slice::<Place>(line).ok();
        // A line that does not say where it stands, or that is the first, is read in its turn.
        let Some(Place { seq, prev }) = place(line).filter(|_| offset > 0) else { return Ok(Position::START) };
        let before = line_before(file, length, offset).map_err(|error| self.io("read", error))?;
        let fits = before.as_deref().and_then(place).and_then(|before| before.seq.checked_add(1)) == Some(seq);
        let follows = before.is_some_and(|before| LineHash::of(&before) == prev);
        match (fits, follows) {
            (true, true) => Ok(Position { offset, head: Head { seq: seq - 1, hash: prev } }),
            (true, false) => Err(self.chain(ChainError::Broken { seq })),
            // Reading from the beginning tells which line is missing, or which is out of its order.
            (false, _) => Ok(Position::START),
        }
    }

    /// Reads every entry after a position and hands each on, with the head that it makes, without keeping any.
    /// After an error, what was handed on is the part of the log that is in order.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        position: Position,
        mut each: impl FnMut(Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        self.scan_lines(position, |_, entry, head| each(entry, head))
    }

    /// Like [`Log::scan`], and hands each line on as it stands there, without its line break.
    ///
    /// The lock is held only to see where the log ends: whole lines never change, and whoever takes them may be a pager
    /// that a person reads in, for which no writer should wait.
    pub(crate) fn scan_lines<T: DeserializeOwned>(
        &self,
        position: Position,
        each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        let lock = self.lock_to_read()?;
        let unreadable = |error| self.io("read", error);
        let file = or_missing(File::open(&self.path)).map_err(unreadable)?;
        let Some(whole) = &file else { return self.walk_lines(None, position, each) };
        let length = whole.metadata().map_err(unreadable)?.len();
        let end = end_of_lines(whole, length).map_err(unreadable)?;
        // A log without a whole line is read to its end at once, and says what is wrong with it.
        if end <= position.offset {
            return self.walk_lines(file.as_ref(), position, each);
        }
        drop(lock);
        let lines = self.lines_between(whole, position, end)?;
        let (position, _) = self.walk_all(lines, position, each)?;
        Ok((position, if end < length { Tail::Torn { bytes: length - end } } else { Tail::Whole }))
    }

    /// Appends if the log still ends where the caller thinks it does: lock, compare, write, fsync, read back.
    pub(crate) fn append<T: Serialize>(&self, expected: Position, body: &T) -> Result<Position, LogError> {
        let _lock = self.lock_to_write()?;
        let file = self.open_to_append()?;
        self.check_nothing_follows(file.as_ref(), expected)?;
        self.write_after(file, expected, &[body])
    }

    /// Lock, read what is new since `position`, let `decide` choose what to append, write it with one fsync, unlock.
    /// `decide` gets the new entries and returns the bodies to append and its own result; an error from it appends nothing.
    /// The bodies are appended together or not at all, except that after a power loss only the first ones may be there.
    pub(crate) fn transact<T, R, E>(
        &self,
        position: Position,
        decide: impl FnOnce(Vec<Entry<T>>) -> Result<(Vec<T>, R), E>,
    ) -> Result<(R, Position), TransactError<E>>
    where
        T: Serialize + DeserializeOwned,
    {
        let _lock = self.lock_to_write().map_err(TransactError::Log)?;
        let file = self.open_to_append().map_err(TransactError::Log)?;
        let mut entries = Vec::new();
        let (here, _) =
            self.walk(file.as_ref(), position, |entry, _| entries.push(entry)).map_err(TransactError::Log)?;
        let (bodies, result) = decide(entries).map_err(TransactError::Decided)?;
        if bodies.is_empty() {
            return Ok((result, here));
        }
        let position = self.write_after(file, here, &bodies).map_err(TransactError::Log)?;
        Ok((result, position))
    }

    /// Reads and checks every line from a position to the end of the file.
    fn walk<T: DeserializeOwned>(
        &self,
        file: Option<&File>,
        position: Position,
        mut each: impl FnMut(Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        self.walk_lines(file, position, |_, entry, head| each(entry, head))
    }

    fn walk_lines<T: DeserializeOwned>(
        &self,
        file: Option<&File>,
        position: Position,
        each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        let Some(lines) = self.lines_after(file, position)? else { return Ok((position, Tail::Whole)) };
        self.walk_all(lines, position, each)
    }

    fn walk_all<T: DeserializeOwned>(
        &self,
        mut lines: Lines<'_>,
        mut position: Position,
        mut each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        // Bounded by the file's length when it was opened.
        loop {
            let line = match lines.next_line().map_err(|error| self.io("read", error))? {
                NextLine::None => return Ok((position, Tail::Whole)),
                NextLine::Torn { bytes } => return Ok((position, Tail::Torn { bytes })),
                NextLine::TooLong => return Err(self.too_long_to_read(position)),
                NextLine::Whole(line) => line,
            };
            let (entry, head) = chain::read_line(&position.head, line).map_err(|error| self.chain(error))?;
            position = Position { offset: position.offset + line.len() as u64 + 1, head };
            each(line, entry, head);
        }
    }

    /// Refuses if a whole line follows a position. A torn one does not count.
    fn check_nothing_follows(&self, file: Option<&File>, position: Position) -> Result<(), LogError> {
        let Some(mut lines) = self.lines_after(file, position)? else { return Ok(()) };
        match lines.next_line().map_err(|error| self.io("read", error))? {
            NextLine::None | NextLine::Torn { .. } => Ok(()),
            NextLine::Whole(_) => Err(LogError::Moved { path: self.path.clone() }),
            NextLine::TooLong => Err(self.too_long_to_read(position)),
        }
    }

    /// The lines after a position, once the line before it has been seen to be the one that was read then.
    /// There are none in a missing file, which is in order only at the beginning.
    fn lines_after<'a>(&self, file: Option<&'a File>, position: Position) -> Result<Option<Lines<'a>>, LogError> {
        let Some(file) = file else {
            return if position == Position::START { Ok(None) } else { Err(self.replaced(position)) };
        };
        let length = file.metadata().map_err(|error| self.io("read", error))?.len();
        self.lines_between(file, position, length).map(Some)
    }

    /// The same of a part of a file that ends at an offset.
    fn lines_between<'a>(&self, file: &'a File, position: Position, end: u64) -> Result<Lines<'a>, LogError> {
        let unreadable = |error| self.io("read", error);
        if position.offset > 0 {
            let line = line_before(file, end, position.offset).map_err(unreadable)?;
            if line.is_none_or(|line| LineHash::of(&line) != position.head.hash) {
                return Err(self.replaced(position));
            }
        }
        Lines::from(file, position.offset, end).map_err(unreadable)
    }

    /// Writes lines after a position, the end of the last whole line, and cuts off what is torn there.
    fn write_after<T: Serialize>(
        &self,
        file: Option<File>,
        position: Position,
        bodies: &[T],
    ) -> Result<Position, LogError> {
        let (lines, end) = self.lines_of(position, bodies)?;
        let file = match file {
            Some(file) => file,
            None => self.create().map_err(|error| self.io("created", error))?,
        };
        file.set_len(position.offset).map_err(|error| self.io("written", error))?;
        if let Err(error) = self.write_durably(&file, position.offset, &lines) {
            return Err(self.take_back(&file, position.offset, error));
        }
        self.read_back(&file, position.offset, &lines)?;
        Ok(end)
    }

    /// The text to append, and where the log ends after it.
    fn lines_of<T: Serialize>(&self, mut position: Position, bodies: &[T]) -> Result<(Vec<u8>, Position), LogError> {
        let mut lines = Vec::new();
        for body in bodies {
            let (line, head) = chain::next_line(&position.head, body).map_err(|error| self.unwritable(error))?;
            let bytes = line.len() as u64 + 1;
            if bytes > LINE_BYTES_MAX {
                let why = format!("it would have {bytes} bytes, and {LINE_BYTES_MAX} are allowed");
                return Err(self.unwritable(ChainError::Unwritable { seq: head.seq, why }));
            }
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
            position = Position { offset: position.offset + bytes, head };
        }
        Ok((lines, position))
    }

    fn write_durably(&self, mut file: &File, offset: u64, lines: &[u8]) -> io::Result<()> {
        file.write_all(lines)?;
        file.sync_data()?;
        // The first line may be in a new file, whose name must last too.
        if offset == 0 { private_directory::sync_parent(&self.path) } else { Ok(()) }
    }

    /// After a failed write: leaves nothing half-written.
    fn take_back(&self, file: &File, offset: u64, error: io::Error) -> LogError {
        let taken_back = file.set_len(offset).and_then(|()| file.sync_data());
        let left = match taken_back {
            Ok(()) => "nothing was written",
            Err(_) => "what was written in part could not be taken back either",
        };
        let next = format!("{left}; {}", next_step(&error));
        LogError::Io { path: self.path.clone(), doing: "written", source: error, next }
    }

    fn read_back(&self, file: &File, offset: u64, lines: &[u8]) -> Result<(), LogError> {
        let mut found = vec![0; lines.len()];
        match file.read_exact_at(&mut found, offset) {
            Ok(()) if found == lines => Ok(()),
            Ok(()) => Err(LogError::Overwritten { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(LogError::Overwritten { path: self.path.clone() })
            }
            Err(error) => Err(self.io("read back", error)),
        }
    }

    fn open_to_append(&self) -> Result<Option<File>, LogError> {
        or_missing(OpenOptions::new().read(true).append(true).open(&self.path))
            .map_err(|error| self.io("opened", error))
    }

    fn create(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&self.path)
    }
}

// The lock.
impl Log {
    /// Shuts out everybody else. Creates the lock file and the directories above it.
    fn lock_to_write(&self) -> Result<File, LogError> {
        let path = self.lock_path();
        let create = || {
            private_directory::create(path.parent().unwrap_or(Path::new("")))?;
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        };
        let file = create().map_err(|error| self.io("locked", error))?;
        self.wait_for(&file, File::try_lock)?;
        Ok(file)
    }

    /// Shuts out writers. Creates nothing: where there is no lock file nobody has written yet, and whoever may read
    /// the log but not its lock (a copy, another user's checkout) reads without.
    fn lock_to_read(&self) -> Result<Option<File>, LogError> {
        let file = match File::open(self.lock_path()) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                return Ok(None);
            }
            Err(error) => return Err(self.io("locked", error)),
        };
        self.wait_for(&file, File::try_lock_shared)?;
        Ok(Some(file))
    }

    fn wait_for(&self, file: &File, attempt: fn(&File) -> Result<(), TryLockError>) -> Result<(), LogError> {
        let deadline = Instant::now() + self.lock_wait;
        loop {
            match attempt(file) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(pause()),
                Err(TryLockError::WouldBlock) => {
                    return Err(LogError::Locked { path: self.path.clone(), secs: self.lock_wait.as_secs() });
                }
                Err(TryLockError::Error(error)) => return Err(self.io("locked", error)),
            }
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.sibling(".lock")
    }

    /// A sibling of the file itself, named after it: two links to one log share it, also before there is a log.
    pub(crate) fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = behind_links(&self.path).into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Where a file is that may be reached by links; or would be, in a directory that may be. No log is made behind a link
/// that leads nowhere.
fn behind_links(path: &Path) -> PathBuf {
    if let Ok(there) = path.canonicalize() {
        return there;
    }
    match (path.parent().and_then(|above| above.canonicalize().ok()), path.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        (Some(_) | None, Some(_) | None) => path.to_owned(),
    }
}

// The errors.
impl Log {
    fn io(&self, doing: &'static str, source: io::Error) -> LogError {
        let next = next_step(&source).to_owned();
        LogError::Io { path: self.path.clone(), doing, source, next }
    }

    fn chain(&self, source: ChainError) -> LogError {
        LogError::Chain { path: self.path.clone(), source }
    }

    fn unwritable(&self, source: ChainError) -> LogError {
        LogError::Unwritable { path: self.path.clone(), source }
    }

    fn replaced(&self, position: Position) -> LogError {
        LogError::Replaced { path: self.path.clone(), seq: position.head.seq }
    }

    fn too_long_to_read(&self, position: Position) -> LogError {
        let why = format!("it is longer than {LINE_BYTES_MAX} bytes");
        self.chain(ChainError::Unreadable { seq: position.head.seq + 1, why })
    }
}

/// The lines of a file between two offsets.
struct Lines<'a> {
    reader: io::Take<BufReader<&'a File>>,
    line: Vec<u8>,
}

/// What comes next in a file.
enum NextLine<'a> {
    /// Nothing.
    None,
    /// A line, given without its line break.
    Whole(&'a [u8]),
    /// The file ends before the line does.
    Torn { bytes: u64 },
    /// No line break within [`LINE_BYTES_MAX`].
    TooLong,
}

impl<'a> Lines<'a> {
    fn from(mut file: &'a File, offset: u64, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        let reader = BufReader::with_capacity(READ_BYTES, file).take(end.saturating_sub(offset));
        Ok(Self { reader, line: Vec::new() })
    }

    fn next_line(&mut self) -> io::Result<NextLine<'_>> {
        self.line.clear();
        let bytes = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)? as u64;
        Ok(match self.line.split_last() {
            None => NextLine::None,
            Some((b'\n', line)) => NextLine::Whole(line),
            Some(_) if bytes == LINE_BYTES_MAX => NextLine::TooLong,
            Some(_) => NextLine::Torn { bytes },
        })
    }
}

/// The line that ends at an offset, without its line break; none if no line of ours ends there.
fn line_before(file: &File, length: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
    if end > length {
        return Ok(None);
    }
    let mut window = LINE_BYTES_USUAL;
    // At most nine turns: the window doubles up to the longest line and the line break before it.
    loop {
        let begin = end.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, begin)?;
        if bytes.pop() != Some(b'\n') {
            return Ok(None);
        }
        if let Some(before) = bytes.iter().rposition(|&byte| byte == b'\n') {
            return Ok(Some(bytes.split_off(before + 1)));
        }
        if begin == 0 {
            return Ok(Some(bytes));
        }
        if window > LINE_BYTES_MAX {
            return Ok(None);
        }
        window = (window * 2).min(LINE_BYTES_MAX + 1);
    }
}

/// Where the last whole line ends, its line break included. 0 where no line break is within reach: then there is no
/// line, or one that is too long, and reading from the beginning tells which.
fn end_of_lines(file: &File, length: u64) -> io::Result<u64> {
    let mut window = LINE_BYTES_USUAL;
    // At most nine turns: the window doubles up to the longest line.
    loop {
        let begin = length.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(length - begin).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, begin)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte == b'\n') {
            return Ok(begin + last as u64 + 1);
        }
        if begin == 0 || window > LINE_BYTES_MAX {
            return Ok(0);
        }
        window = (window * 2).min(LINE_BYTES_MAX + 1);
    }
}

fn or_missing(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn pause() -> Duration {
    let random = getrandom::u32().unwrap_or(LOCK_PAUSE_MICROS_MAX / 2);
    Duration::from_micros(u64::from(random % LOCK_PAUSE_MICROS_MAX) + 1)
}

/// What a person can do about an error of the operating system.
pub(crate) fn next_step(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of the standard library may grow")]
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            "make room on its file system and run the command again"
        }
        Kind::ReadOnlyFilesystem => "its file system is read-only: make it writable, or run from a checkout that is",
        Kind::PermissionDenied => "give this user the right to read and write it and its directory",
        Kind::NotADirectory | Kind::IsADirectory | Kind::AlreadyExists => {
            "something else is in its place: move that away and run the command again"
        }
        Kind::Unsupported => "its file system cannot lock files: keep it on a local one",
        _ => "see what is wrong with its file system, and run the command again",
    }
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum TransactError<E> {
    /// The log failed.
    Log(LogError),
    /// The caller decided against it.
    Decided(E),
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum LogError {
    /// Somebody appended in the meantime.
    #[error("`{}` was appended to by somebody else in the meantime", path.display())]
    #[diagnostic(help("run the command again"))]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// A line was changed, lost or is not readable.
    #[error("`{}` cannot be trusted: {source}", path.display())]
    #[diagnostic(help("nothing was written; compare the file with a backup before you go on"))]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ChainError,
    },
    /// What was read earlier is not there any more.
    #[error("`{}` cannot be trusted: it was shortened or replaced, line {seq} is not the one that was read before", path.display())]
    #[diagnostic(help("nothing was written; compare the file with a backup before you go on"))]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The number of the line that should be there.
        seq: u64,
    },
    /// What was just written is not there: somebody writes without the lock.
    #[error("`{}` cannot be trusted: it does not hold what was just written to it", path.display())]
    #[diagnostic(help("another program writes this file: stop it, then compare the file with a backup"))]
    Overwritten {
        /// The file.
        path: PathBuf,
    },
    /// What was to be appended cannot stand in a line.
    #[error("nothing was appended to `{}`: {source}", path.display())]
    #[diagnostic(help("find the value that is too long or cannot be written as JSON"))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ChainError,
    },
    /// The operating system said no.
    #[error("`{}` cannot be {doing}: {source}", path.display())]
    #[diagnostic(help("{next}"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read`, `written`, `locked`.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
        /// What to do next.
        next: String,
    },
    /// Somebody held the lock for too long.
    #[error("`{}` is locked by another process for more than {secs} seconds", path.display())]
    #[diagnostic(help("see who holds it, for example with `fuser`, and run the command again"))]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long we waited.
        secs: u64,
    },
    /// The trail is kept in git.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitTrailError),
}

impl From<GitError> for LogError {
    fn from(error: GitError) -> Self {
        GitTrailError::from(error).into()
    }
}

impl LogError {
    /// Whether somebody else appended first, so that the same can be tried again after another look.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Moved { .. })
    }

    /// Whether it is known that nothing was appended.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Git(GitTrailError::NotKnown { .. }))
    }

    /// Whether what is there could be read, and is not what it should be; otherwise it could not be read, or not now.
    pub(crate) fn is_about_content(&self) -> bool {
        match self {
            Self::Chain { .. } | Self::Replaced { .. } | Self::Overwritten { .. } | Self::Unwritable { .. } => true,
            Self::Moved { .. } | Self::Io { .. } | Self::Locked { .. } => false,
            Self::Git(error) => error.is_about_content(),
        }
    }

    /// The row of the exit table: whatever is wrong with a log, what it records cannot be relied on; unless somebody
    /// did not wait for it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Git(error) => error.stop().map_or(Exit::Trail, stop_exit),
            Self::Moved { .. }
            | Self::Io { .. }
            | Self::Locked { .. }
            | Self::Chain { .. }
            | Self::Replaced { .. }
            | Self::Overwritten { .. }
            | Self::Unwritable { .. } => Exit::Trail,
        }
    }
}

#[cfg(test)]
mod tests;
