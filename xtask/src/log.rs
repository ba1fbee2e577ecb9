//! A log on disk: hash-chained lines, appended under a lock, read from the tail.
//!
//! The file trail and the embedded authority's event log are both kept here.

use std::path::{Path, PathBuf};

use license_core::chain::{ChainError, Entry, Head};
use serde::{Serialize, de::DeserializeOwned};

/// A log file. Every operation locks, looks at what was appended since, and works on that.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
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
        Self { path: path.into() }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The log's length in bytes: a cheap way to see that somebody appended.
    pub(crate) fn bytes(&self) -> Result<u64, LogError> {
        unimplemented!()
    }

    /// Reads every entry after a position. A missing file is an empty log.
    pub(crate) fn read_after<T: DeserializeOwned>(&self, _position: Position) -> Result<Reading<T>, LogError> {
        unimplemented!()
    }

    /// Appends if the log still ends where the caller thinks it does: lock, compare, write, fsync, read back.
    pub(crate) fn append<T: Serialize>(&self, _expected: Position, _body: &T) -> Result<Position, LogError> {
        unimplemented!()
    }

    /// Lock, read what is new since `position`, let `decide` choose what to append, write it with one fsync, unlock.
    /// `decide` gets the new entries and returns the bodies to append and its own result; an error from it appends nothing.
    pub(crate) fn transact<T, R, E>(
        &self,
        _position: Position,
        _decide: impl FnOnce(Vec<Entry<T>>) -> Result<(Vec<T>, R), E>,
    ) -> Result<(R, Position), TransactError<E>>
    where
        T: Serialize + DeserializeOwned,
    {
        unimplemented!()
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
    /// The operating system said no.
    #[error("`{}` cannot be {doing}: {source}", path.display())]
    #[diagnostic(help("{next}"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read`, `written`, `locked`.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
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
}
