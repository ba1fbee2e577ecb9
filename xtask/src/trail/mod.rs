//! The trail of an environment: where its entries are kept.
//!
//! What an entry says and how a chain is checked is in [`license_core`]; this knows places only.

use license_core::{
    chain::{Entry, Head},
    trail::Record,
};
use serde::de::DeserializeOwned;

use crate::log::{LogError, Position, Tail};

pub(crate) mod file;
pub(crate) mod git;
pub(crate) mod git_escrow;

use file::{FileTrail, Replay};
use git::GitTrail;

/// One environment's trail, wherever it is kept. Every append is refused if somebody else appended since the last look.
#[derive(Debug)]
#[allow(dead_code, reason = "rotation will use it")]
pub(crate) enum Trail {
    /// In a file on this machine.
    File(FileTrail),
    /// On a git remote.
    Git(GitTrail),
}

#[allow(dead_code, reason = "rotation will use it")]
impl Trail {
    /// Where it is kept, in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(trail) => format!("`{}`", trail.path().display()),
            Self::Git(trail) => trail.describe(),
        }
    }

    /// Reads and checks every entry. A trail that was never written to has none.
    pub(crate) fn read(&self) -> Result<Replay, LogError> {
        match self {
            Self::File(trail) => trail.read(),
            Self::Git(trail) => trail.read(),
        }
    }

    /// Reads and checks the entries from the newest checkpoint on; every entry where there is none.
    pub(crate) fn read_recent(&self) -> Result<Replay, LogError> {
        match self {
            Self::File(trail) => trail.read_recent(),
            Self::Git(trail) => trail.read_recent(),
        }
    }

    /// Checks every entry and hands it on in a form of the caller's choice, with the head that it makes.
    /// After an error, what was handed on is the part of the trail that is in order.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        each: impl FnMut(Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        match self {
            Self::File(trail) => trail.scan(each),
            Self::Git(trail) => trail.scan(each),
        }
    }

    /// Appends an entry if the trail still ends at `expected`.
    pub(crate) fn append(&self, expected: Position, record: &Record) -> Result<Position, LogError> {
        match self {
            Self::File(trail) => trail.append(expected, record),
            Self::Git(trail) => trail.append(expected, record),
        }
    }
}

#[cfg(test)]
mod contract;
