//! What is looked for, checked once.

use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use regex_automata::{
    meta::{Config, Regex},
    util::syntax,
};
use zeroize::Zeroizing;

use crate::key::{Fingerprint, LicenseKey};

/// The shortest secret that is looked for, in bytes: shorter ones stand everywhere by chance.
pub const SECRET_BYTES_MIN: usize = 8;

/// The longest secret that is looked for, in bytes.
pub const SECRET_BYTES_MAX: usize = LicenseKey::BYTES_MAX;

/// The most secrets of one scanner.
pub const SECRETS_MAX: usize = 1_000;

/// The longest text of a pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// The most patterns of one scanner.
pub const PATTERNS_MAX: usize = 100;

/// What is looked for.
#[derive(Debug, Default)]
pub struct Watch {
    /// The secrets that are configured here, by value.
    pub secrets: Vec<Secret>,
    /// Keys that are known by their fingerprint only, from the trail.
    pub known: BTreeSet<Fingerprint>,
    /// The project's own patterns.
    pub patterns: Vec<Pattern>,
    /// Fingerprints that are no leaks. They never cover a configured or a known key.
    pub allowed: BTreeSet<Fingerprint>,
}

/// A secret that is configured here, with the words that name it.
#[derive(Clone)]
pub struct Secret {
    pub(super) name: String,
    pub(super) text: Zeroizing<String>,
}

impl Secret {
    /// Takes a secret and what it is called, as in "the key of `production`". Its text has
    /// [`SECRET_BYTES_MIN`] to [`SECRET_BYTES_MAX`] bytes.
    pub fn new(name: &str, text: Zeroizing<String>) -> Result<Self, SecretError> {
        let bytes = text.len();
        if bytes < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort { bytes });
        }
        if bytes > SECRET_BYTES_MAX {
            return Err(SecretError::TooLong { bytes });
        }
        Ok(Self { name: name.to_owned(), text })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the other one has the same text, whatever it is called. Both are configured on this machine: how long this
    /// takes tells nobody anything.
    pub fn has_text_of(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// What may be written down about it: what [`LicenseKey::fingerprint`] gives for a key of the same text.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.text.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a secret cannot be looked for. Never carries the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Shorter than [`SECRET_BYTES_MIN`].
    #[error("it has {bytes} bytes, and what is shorter than {SECRET_BYTES_MIN} bytes stands everywhere by chance")]
    TooShort {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Longer than [`SECRET_BYTES_MAX`].
    #[error("it has {bytes} bytes, and no secret is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// A pattern of the project: a regular expression over bytes, without Unicode.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    pub(super) regex: Regex,
}

impl Pattern {
    /// Compiles a pattern. It may not match the empty text, and its automata stay small. `^` and `$` are the ends of a line.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        const NFA_BYTES_MAX: usize = 256 * 1024;
        const CACHE_BYTES_MAX: usize = 256 * 1024;
        const NEST_MAX: u32 = 50;

        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        let syntax = syntax::Config::new().unicode(false).utf8(false).multi_line(true).crlf(true).nest_limit(NEST_MAX);
        let parsed =
            syntax::parse_with(text, &syntax).map_err(|error| PatternError::Malformed { why: error.to_string() })?;
        match parsed.properties().minimum_len() {
            Some(0) => return Err(PatternError::MatchesEmpty),
            None => return Err(PatternError::MatchesNothing),
            Some(_) => {}
        }
        let config =
            Config::new().nfa_size_limit(Some(NFA_BYTES_MAX)).hybrid_cache_capacity(CACHE_BYTES_MAX).utf8_empty(false);
        let built = Regex::builder().configure(config).build_from_hir(&parsed);
        let regex = built.map_err(|_| PatternError::TooLarge)?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// Longer than [`PATTERN_BYTES_MAX`].
    #[error("it has {bytes} bytes, and no pattern is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Not a regular expression, or one that needs Unicode.
    #[error("it is not a regular expression over bytes: {why}")]
    Malformed {
        /// What is wrong, and where.
        why: String,
    },
    /// Its automaton would be too large.
    #[error("its automaton would be too large: repeat less, or say less")]
    TooLarge,
    /// Nothing can match it.
    #[error("nothing can match it")]
    MatchesNothing,
    /// It matches where there is nothing.
    #[error("it matches the empty text, and so everything")]
    MatchesEmpty,
}

/// Why there is no scanner for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScannerError {
    /// More than [`SECRETS_MAX`].
    #[error("there are {secrets} secrets to look for, and more than {SECRETS_MAX} are too many")]
    TooManySecrets {
        /// How many there are.
        secrets: usize,
    },
    /// More than [`PATTERNS_MAX`].
    #[error("there are {patterns} patterns to look for, and more than {PATTERNS_MAX} are too many")]
    TooManyPatterns {
        /// How many there are.
        patterns: usize,
    },
    /// The automaton of the forms could not be built.
    #[error("the automaton of the built-in forms could not be built")]
    Automaton,
}
