//! The trail of an environment: where its entries are kept.
//!
//! What an entry says and how a chain is checked is in [`license_core`]; this knows places only.

use std::path::PathBuf;

use license_core::{
    chain::{Entry, Head},
    trail::Record,
};
use serde::de::DeserializeOwned;

use crate::{
    git::Git,
    log::{LogError, Position, Tail},
};

pub(crate) mod file;
pub(crate) mod git;
pub(crate) mod git_escrow;

use file::{FileTrail, NotListed, Replay};
use git::GitTrail;

/// One environment's trail, wherever it is kept. Every append is refused if somebody else appended since the last look.
#[derive(Debug)]
pub(crate) enum Trail {
    /// In a file on this machine.
    File(FileTrail),
    /// On a git remote.
    Git(GitTrail),
}

impl Trail {
    /// Where it is kept, in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(trail) => format!("`{}`", trail.path().display()),
            Self::Git(trail) => trail.describe(),
        }
    }

    /// The place alone: a file, or a ref of a remote.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(trail) => trail.path().display().to_string(),
            Self::Git(trail) => trail.place(),
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

    /// Like [`Trail::scan`], and hands each line on as it stands in the trail, without a line break.
    pub(crate) fn scan_lines<T: DeserializeOwned>(
        &self,
        each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        match self {
            Self::File(trail) => trail.scan_lines(each),
            Self::Git(trail) => trail.scan_lines(each),
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

/// The trails of a project, one for each environment.
#[derive(Debug, Clone)]
pub(crate) enum Trails {
    /// In files of one directory.
    Files {
        /// The directory.
        directory: PathBuf,
    },
    /// On refs of a git remote.
    Git {
        /// git in the project's repository.
        git: Git,
        /// The remote's name.
        remote: String,
        /// The environments that are configured: refs of others are not looked for.
        environments: Vec<String>,
    },
}

impl Trails {
    /// The trail of one environment.
    pub(crate) fn of(&self, environment: &str) -> Trail {
        match self {
            Self::Files { directory } => Trail::File(FileTrail::new(directory, environment)),
            Self::Git { git, remote, .. } => Trail::Git(GitTrail::new(git.clone(), remote.clone(), environment)),
        }
    }

    /// The environments that may have one, in the order of their names.
    pub(crate) fn environments(&self) -> Result<Vec<String>, NotListed> {
        match self {
            Self::Files { directory } => file::environments(directory),
            Self::Git { environments, .. } => Ok(environments.clone()),
        }
    }

    /// Whether an environment that is not configured any more left a trail here.
    pub(crate) fn has_left(&self, environment: &str) -> bool {
        match self {
            Self::Files { directory } => FileTrail::new(directory, environment).path().exists(),
            Self::Git { .. } => false,
        }
    }
}

#[cfg(test)]
mod contract;
