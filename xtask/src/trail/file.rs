//! The trail in a file on this machine: `.license/trail/ENVIRONMENT.jsonl`.

use std::path::Path;

use license_core::{
    chain::{Entry, Head},
    trail::Record,
};

use crate::log::{Log, LogError, Position, Tail};

/// One environment's trail. Reads and appends; every append is refused if somebody else appended since the last look.
#[derive(Debug)]
pub(crate) struct FileTrail {
    log: Log,
}

/// A trail as it was read.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Every entry, oldest first.
    pub(crate) entries: Vec<Entry<Record>>,
    /// Where the trail ends.
    pub(crate) position: Position,
    /// How the file ends.
    pub(crate) tail: Tail,
}

impl FileTrail {
    /// The trail of one environment under a directory.
    pub(crate) fn new(directory: &Path, environment: &str) -> Self {
        Self { log: Log::at(directory.join(format!("{environment}.jsonl"))) }
    }

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        self.log.path()
    }

    /// Reads and checks every entry.
    pub(crate) fn read(&self) -> Result<Replay, LogError> {
        let reading = self.log.read_after(Position::START)?;
        Ok(Replay { entries: reading.entries, position: reading.position, tail: reading.tail })
    }

    /// Appends an entry if the trail still ends at `expected`.
    pub(crate) fn append(&self, expected: Position, record: &Record) -> Result<Position, LogError> {
        self.log.append(expected, record)
    }
}

/// Where the trail ends, as it is printed and compared.
pub(crate) fn show_head(environment: &str, head: &Head) -> String {
    format!("trail: {environment} #{} {}", head.seq, head.hash)
}
