//! Looks for everything in a stream of bytes.

use alloc::{string::String, vec::Vec};
use core::fmt;

use memchr::{memchr_iter, memmem};

use super::{
    leak::{Encoding, Leak, LeakKind, Tally},
    watch::{PATTERNS_MAX, SECRETS_MAX, ScannerError, Watch},
};
use crate::key::Fingerprint;

/// The most leaks that are listed of one object. More are counted only.
pub const LEAKS_MAX: usize = 100;

/// Looks for what a [`Watch`] says. Made once, and used for any number of objects.
pub struct Scanner {
    watch: Watch,
}

impl Scanner {
    /// Prepares the search.
    pub fn new(watch: Watch) -> Result<Self, ScannerError> {
        let secrets = watch.secrets.len();
        if secrets > SECRETS_MAX {
            return Err(ScannerError::TooManySecrets { secrets });
        }
        let patterns = watch.patterns.len();
        if patterns > PATTERNS_MAX {
            return Err(ScannerError::TooManyPatterns { patterns });
        }
        Ok(Self { watch })
    }

    /// A stream for one object after the other, each in pieces of any size.
    pub fn stream(&self) -> Stream<'_> {
        Stream { scanner: self, held: Vec::new() }
    }

    /// The leaks of an object that is there as a whole: what a stream finds in it, whatever its pieces.
    pub fn scan(&self, whole: &[u8]) -> Vec<Leak> {
        let mut found = Vec::new();
        let mut stream = self.stream();
        stream.push(whole, &mut found);
        stream.finish(&mut found);
        found
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// One object, in pieces of any size. Keeps a bounded number of the last bytes.
pub struct Stream<'s> {
    scanner: &'s Scanner,
    held: Vec<u8>,
}

impl Stream<'_> {
    /// Takes the next bytes of the object, and adds what is found by now.
    pub fn push(&mut self, piece: &[u8], _found: &mut Vec<Leak>) {
        self.held.extend_from_slice(piece);
    }

    /// The object ends: adds what is left, and is ready for the next object.
    pub fn finish(&mut self, found: &mut Vec<Leak>) -> Tally {
        let held = core::mem::take(&mut self.held);
        let mut tally = Tally::default();
        for secret in &self.scanner.watch.secrets {
            for at in memmem::find_iter(&held, secret.text.as_bytes()) {
                tally.leaks += 1;
                if found.len() < LEAKS_MAX {
                    found.push(Leak {
                        what: LeakKind::Configured { name: secret.name.clone() },
                        encoding: Encoding::Plain,
                        offset: at as u64,
                        line: 1 + memchr_iter(b'\n', &held[..at]).count() as u64,
                        shown: String::from("****"),
                        fingerprint: secret.fingerprint(),
                    });
                }
            }
        }
        for (index, pattern) in self.scanner.watch.patterns.iter().enumerate() {
            for at in pattern.regex.find_iter(&held).filter(|at| !at.is_empty()) {
                let fingerprint = Fingerprint::of(&held[at.range()]);
                if self.scanner.watch.allowed.contains(&fingerprint) {
                    tally.allowed += 1;
                    continue;
                }
                tally.leaks += 1;
                if found.len() < LEAKS_MAX {
                    found.push(Leak {
                        what: LeakKind::Pattern { index },
                        encoding: Encoding::Plain,
                        offset: at.start() as u64,
                        line: 1 + memchr_iter(b'\n', &held[..at.start()]).count() as u64,
                        shown: String::from("****"),
                        fingerprint,
                    });
                }
            }
        }
        tally
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("held_bytes", &self.held.len()).finish_non_exhaustive()
    }
}
