//! A hash-chained log of JSON lines: order that cannot be changed without showing.
//!
//! `prev` is the SHA-256 of the line before, without its line break; the first `prev` is 64 zeros.
//! A chain proves order, not completeness: whoever can write the file can write another chain. Compare the
//! head with one that was kept elsewhere.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The version of the line format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The SHA-256 of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// What stands before the first line.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of a line, given without its line break.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for LineHash {
    type Err = NotALineHash;

    fn from_str(text: &str) -> Result<Self, NotALineHash> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotALineHash);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NotALineHash)?;
        }
        Ok(Self(bytes))
    }
}

impl From<LineHash> for String {
    fn from(hash: LineHash) -> Self {
        alloc::format!("{hash}")
    }
}

impl TryFrom<String> for LineHash {
    type Error = NotALineHash;

    fn try_from(text: String) -> Result<Self, NotALineHash> {
        text.parse()
    }
}

/// A text that is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line's hash has 64 hex digits")]
pub struct NotALineHash;

/// Where a log ends: the last line's number, counted from 1, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of lines.
    pub seq: u64,
    /// The hash of the last line.
    #[serde(rename = "head")]
    pub hash: LineHash,
}

impl Head {
    /// The head of a log without lines.
    pub const EMPTY: Self = Self { seq: 0, hash: LineHash::ZERO };
}

/// One line: its place in the chain, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<T> {
    /// The format's version.
    pub v: u32,
    /// The line's number, counted from 1.
    pub seq: u64,
    /// The hash of the line before.
    pub prev: LineHash,
    /// What the line says.
    #[serde(flatten)]
    pub body: T,
}

/// Writes the line that follows `head`, without a line break, and the head that it makes.
pub fn next_line<T: Serialize>(_head: &Head, _body: &T) -> Result<(String, Head), ChainError> {
    unimplemented!()
}

/// Reads the line that follows `head`, checks its place in the chain, and gives the head that it makes.
pub fn read_line<T: DeserializeOwned>(_head: &Head, _line: &[u8]) -> Result<(Entry<T>, Head), ChainError> {
    unimplemented!()
}

/// Why a line does not continue the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not a line of this format.
    #[error("line {seq} cannot be read: {why}")]
    Unreadable {
        /// The number that the line should have.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A line of a newer format.
    #[error("line {seq} has format {found}, and this program reads up to {VERSION}")]
    Newer {
        /// The number that the line should have.
        seq: u64,
        /// The format that it names.
        found: u32,
    },
    /// A line is missing or out of order.
    #[error("line {expected} says that it is line {found}")]
    OutOfOrder {
        /// The number that the line should have.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// The line does not name the hash of the line before it.
    #[error("line {seq} does not follow from the line before it: one of the two was changed")]
    Broken {
        /// The line's number.
        seq: u64,
    },
}
