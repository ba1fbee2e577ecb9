//! What is found.

use alloc::string::String;
use core::fmt;

use super::form::Form;
use crate::key::Fingerprint;

/// A secret at a place. Carries nothing of the secret but its fingerprint and the beginning that its form has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Why it is a secret.
    pub what: LeakKind,
    /// How it is written.
    pub encoding: Encoding,
    /// Its first byte, counted from the beginning of the object, from 0.
    pub offset: u64,
    /// Its line, counted from 1.
    pub line: u64,
    /// What may be shown of it, as in `TO-PRD-****`.
    pub shown: String,
    /// The fingerprint of the decoded secret.
    pub fingerprint: Fingerprint,
}

/// Why something is a secret. A place is reported once, as the first of these that fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakKind {
    /// It is a secret that is configured here.
    Configured {
        /// What it is called.
        name: String,
    },
    /// It is a key that the trail knows.
    Known,
    /// It has the form of a secret.
    Form(Form),
    /// A pattern of the project matches it.
    Pattern {
        /// The pattern's place in [`super::Watch::patterns`], from 0.
        index: usize,
    },
}

impl LeakKind {
    /// Whether it is a secret by its value or its fingerprint, and not only by what it looks like.
    pub fn is_known_for_certain(&self) -> bool {
        match self {
            Self::Configured { .. } | Self::Known => true,
            Self::Form(_) | Self::Pattern { .. } => false,
        }
    }
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Base64, on its own or within a longer text.
    Base64,
    /// Base64 with the alphabet for addresses.
    Base64Url,
    /// Hex digits.
    Hex,
    /// Some or all characters percent-encoded.
    Percent,
    /// Some or all characters escaped with a backslash, as JSON and the sources of programs do it.
    JsonEscape,
    /// Some or all characters as entities of HTML or XML.
    HtmlEntity,
    /// Quoted-printable, as in mail.
    QuotedPrintable,
    /// A list of numbers.
    Bytes,
    /// UTF-16, little end first.
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
}

impl Encoding {
    /// The word for it in output that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::JsonEscape => "json_escape",
            Self::HtmlEntity => "html_entity",
            Self::QuotedPrintable => "quoted_printable",
            Self::Bytes => "bytes",
            Self::Utf16Le => "utf16le",
            Self::Utf16Be => "utf16be",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an object came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All leaks of the object, those over [`super::LEAKS_MAX`] that were not listed included.
    pub leaks: u64,
    /// What would be a leak, and is allowed: by its line, or by its fingerprint.
    pub allowed: u64,
}
