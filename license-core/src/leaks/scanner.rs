//! Looks for everything in a stream of bytes.
//!
//! An object is cut into windows at fixed offsets, whatever the pieces in which it comes, so that what is found does not depend on
//! them. Each window is looked at together with so many bytes before and after it that everything that has a part in it
//! is seen whole, with its line's neighborhood.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::{fmt, mem, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memchr_iter;
use regex_automata::{Anchored, Input};
use zeroize::Zeroizing;

use super::{
    allow::{self, NEIGHBORHOOD_BYTES},
    form::{self, FORM_BYTES_MAX},
    known,
    leak::{Encoding, Leak, Tally},
    needle::{self, Core},
    settle::{Found, Settling, What},
    sieve::{Grain, Sieve},
    watch::{PATTERNS_MAX, SECRETS_MAX, ScannerError, Watch},
};
use crate::key::Fingerprint;

/// The most leaks that are listed of one object. More are counted only.
pub const LEAKS_MAX: usize = 100;

/// The longest match of a pattern that is found for certain, in bytes.
const PATTERN_MATCH_BYTES_MAX: usize = 4 * 1024;

/// How far windows are apart, in bytes: a multiple of every stride, so that no sample is left out between them.
const WINDOW_BYTES: usize = Grain::Fine.stride() * Grain::Coarse.stride() * 2 * 1024;

/// Looks for what a [`Watch`] says. Made once, and used for any number of objects.
pub struct Scanner {
    pub(super) watch: Watch,
    /// Those of the secrets, in their order.
    fingerprints: Vec<Fingerprint>,
    /// What the sieve's cores are.
    cores: Vec<Core>,
    sieve: Sieve,
    /// What forms begin with.
    beginnings: AhoCorasick,
    /// The longest that anything may be that is found, in bytes.
    reach: usize,
}

impl Scanner {
    /// Prepares the search. Of two secrets with the same text the first gives the name.
    pub fn new(mut watch: Watch) -> Result<Self, ScannerError> {
        let secrets = watch.secrets.len();
        if secrets > SECRETS_MAX {
            return Err(ScannerError::TooManySecrets { secrets });
        }
        let patterns = watch.patterns.len();
        if patterns > PATTERNS_MAX {
            return Err(ScannerError::TooManyPatterns { patterns });
        }
        let mut seen = BTreeSet::new();
        watch.secrets.retain(|secret| seen.insert(secret.fingerprint()));
        let fingerprints: Vec<_> = watch.secrets.iter().map(super::Secret::fingerprint).collect();
        // A configured key that the trail knows as well is found by its value, in every encoding.
        watch.known.retain(|known| !fingerprints.contains(known));
        let grain = needle::grain(watch.secrets.iter().map(|secret| secret.text.as_str()));
        let numbered = (0_u32..).zip(&watch.secrets);
        let cores = numbered.flat_map(|(number, secret)| needle::cores(grain, number, &secret.text));
        let (cores, samples): (Vec<_>, Vec<_>) = cores.unzip();
        let longest = watch.secrets.iter().map(|secret| needle::reach(secret.text.len())).max();
        let beginnings = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .kind(Some(AhoCorasickKind::DFA))
            .build(form::BEGINNINGS)
            .map_err(|_| ScannerError::Automaton)?;
        Ok(Self {
            fingerprints,
            cores,
            sieve: Sieve::of(grain, &samples),
            beginnings,
            reach: longest.unwrap_or(0).max(FORM_BYTES_MAX).max(PATTERN_MATCH_BYTES_MAX),
            watch,
        })
    }

    /// A stream for one object after the other, each in pieces of any size.
    pub fn stream(&self) -> Stream<'_> {
        Stream { scanner: self, held: Zeroizing::default(), place: Place::start(self) }
    }

    /// The leaks of an object that is there as a whole: what a stream finds in it, whatever its pieces.
    pub fn scan(&self, whole: &[u8]) -> Vec<Leak> {
        let mut found = Vec::new();
        let mut place = Place::start(self);
        let mut rest = whole;
        while let Some(hay) = rest.get(..place.window.end + self.margin()) {
            let done = place.window(self, hay, &mut found);
            rest = &rest[done..];
        }
        place.last(self, rest, &mut found);
        found
    }

    /// How many bytes before and after a window are looked at, too.
    fn margin(&self) -> usize {
        self.reach + NEIGHBORHOOD_BYTES
    }

    /// Everything that begins in the window, and every secret that has its core in it.
    fn look(&self, hay: &[u8], base: u64, window: &Range<usize>, next: &mut [u64], found: &mut Vec<Found>) {
        self.look_for_secrets(hay, base, window, found);
        self.look_for_beginnings(hay, window, found);
        if !self.watch.known.is_empty() {
            known::pieces(hay, window, |piece| self.check_known(hay, piece, found));
        }
        for (index, next) in next.iter_mut().enumerate() {
            self.look_for_pattern(index, hay, base, window, next, found);
        }
    }

    fn look_for_secrets(&self, hay: &[u8], base: u64, window: &Range<usize>, found: &mut Vec<Found>) {
        self.sieve.each(hay, window.start, window.end, |core, at| {
            let core = self.cores[core];
            let secret = core.secret as usize;
            if let Some(written) = core.read(hay, base, at, &self.watch.secrets[secret].text) {
                let what = What::Configured { secret };
                let fingerprint = self.fingerprints[secret];
                found.push(Found { range: written.range, what, encoding: written.encoding, fingerprint });
            }
        });
    }

    fn look_for_beginnings(&self, hay: &[u8], window: &Range<usize>, found: &mut Vec<Found>) {
        // The longest beginning may end behind the window.
        let end = hay.len().min(window.end + 16);
        for beginning in self.beginnings.find_iter(&hay[window.start..end]) {
            let at = window.start + beginning.start();
            if at >= window.end {
                return;
            }
            if !self.watch.known.is_empty() {
                known::pieces_at(hay, at, |piece| self.check_known(hay, piece, found));
            }
            if let Some((form, range)) = form::at(hay, at, beginning.pattern().as_usize()) {
                let fingerprint = Fingerprint::of(&hay[range.clone()]);
                found.push(Found { range, what: What::Form(form), encoding: Encoding::Plain, fingerprint });
            }
        }
    }

    fn check_known(&self, hay: &[u8], piece: Range<usize>, found: &mut Vec<Found>) {
        let fingerprint = Fingerprint::of(&hay[piece.clone()]);
        if self.watch.known.contains(&fingerprint) {
            found.push(Found { range: piece, what: What::Known, encoding: Encoding::Plain, fingerprint });
        }
    }

    fn look_for_pattern(
        &self,
        index: usize,
        hay: &[u8],
        base: u64,
        window: &Range<usize>,
        next: &mut u64,
        found: &mut Vec<Found>,
    ) {
        let regex = &self.watch.patterns[index].regex;
        let end = hay.len().min(window.end + PATTERN_MATCH_BYTES_MAX);
        let mut at = window.start.max(usize::try_from(next.saturating_sub(base)).unwrap_or(usize::MAX));
        while at < window.end {
            let input = Input::new(&hay[..end]).range(at..).anchored(Anchored::No);
            let Some(range) = regex.find(input).map(|found| found.range()).filter(|range| range.start < window.end)
            else {
                return;
            };
            at = range.end.max(range.start + 1);
            *next = base + at as u64;
            let range = range.start..range.end.min(range.start + PATTERN_MATCH_BYTES_MAX);
            let fingerprint = Fingerprint::of(&hay[range.clone()]);
            found.push(Found { range, what: What::Pattern { index }, encoding: Encoding::Plain, fingerprint });
        }
    }

    /// Whether something is allowed, by its fingerprint or by its line. A key that is configured or known never is.
    fn allows(&self, hay: &[u8], found: &Found) -> bool {
        match found.what {
            What::Configured { .. } | What::Known => false,
            What::Form(_) | What::Pattern { .. } => {
                self.watch.allowed.contains(&found.fingerprint) || allow::is_allowed(hay, &found.range)
            }
        }
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// Where in an object a scan is.
struct Place {
    /// The offset of the first byte that is still needed.
    base: u64,
    /// The line breaks before it.
    lines: u64,
    /// The window that is next, counted from `base`.
    window: Range<usize>,
    /// For each pattern, the offset at which its next match may begin.
    next: Vec<u64>,
    settling: Settling,
}

impl Place {
    fn start(scanner: &Scanner) -> Self {
        Self {
            base: 0,
            lines: 0,
            window: 0..WINDOW_BYTES,
            next: vec![0; scanner.watch.patterns.len()],
            settling: Settling::start(scanner.watch.secrets.len()),
        }
    }

    /// A window with all its margins. Returns how many bytes at the beginning are not needed any more.
    fn window(&mut self, scanner: &Scanner, hay: &[u8], found: &mut Vec<Leak>) -> usize {
        self.look(scanner, hay);
        // What is found from now on has its core, or its beginning, behind this window.
        let horizon = self.window.end.saturating_sub(2 * scanner.reach);
        self.settling.settle(scanner, self.base + horizon as u64, found);

        let done = self.window.end.saturating_sub(scanner.margin());
        self.lines += memchr_iter(b'\n', &hay[..done]).count() as u64;
        self.base += done as u64;
        let start = self.window.end - done;
        self.window = start..start + WINDOW_BYTES;
        done
    }

    /// The rest of an object.
    fn last(&mut self, scanner: &Scanner, hay: &[u8], found: &mut Vec<Leak>) -> Tally {
        while self.window.start < hay.len() {
            let end = self.window.end.min(hay.len());
            self.window.end = end;
            self.look(scanner, &hay[..hay.len().min(end + scanner.margin())]);
            self.window = end..end + WINDOW_BYTES;
        }
        self.settling.settle(scanner, u64::MAX, found);
        mem::replace(self, Self::start(scanner)).settling.tally()
    }

    fn look(&mut self, scanner: &Scanner, hay: &[u8]) {
        let mut raw = Vec::new();
        scanner.look(hay, self.base, &self.window, &mut self.next, &mut raw);
        raw.sort_unstable_by_key(|found| found.range.start);
        let (mut counted, mut line) = (0, self.lines + 1);
        for found in raw {
            line += memchr_iter(b'\n', &hay[counted..found.range.start]).count() as u64;
            counted = found.range.start;
            let allowed = scanner.allows(hay, &found);
            let beginning = match found.what {
                What::Configured { secret } => form::beginning_of(scanner.watch.secrets[secret].text.as_bytes()),
                What::Known | What::Form(_) => form::beginning_of(&hay[found.range.clone()]),
                What::Pattern { .. } => "",
            };
            self.settling.add(self.base, found, line, beginning, allowed);
        }
    }
}

/// One object, in pieces of any size. Keeps a bounded number of the last bytes.
pub struct Stream<'s> {
    scanner: &'s Scanner,
    held: Zeroizing<Vec<u8>>,
    place: Place,
}

impl Stream<'_> {
    /// Takes the next bytes of the object, and adds what is found by now, in the order of the object.
    pub fn push(&mut self, mut piece: &[u8], found: &mut Vec<Leak>) {
        loop {
            let wanted = self.place.window.end + self.scanner.margin();
            let (now, later) = piece.split_at(piece.len().min(wanted - self.held.len()));
            self.held.extend_from_slice(now);
            piece = later;
            if self.held.len() < wanted {
                return;
            }
            let done = self.place.window(self.scanner, &self.held, found);
            self.held.drain(..done);
        }
    }

    /// The object ends: adds what is left, and is ready for the next object. Returns what the object came to.
    pub fn finish(&mut self, found: &mut Vec<Leak>) -> Tally {
        let tally = self.place.last(self.scanner, &self.held, found);
        self.held.clear();
        tally
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("held_bytes", &self.held.len()).finish_non_exhaustive()
    }
}
