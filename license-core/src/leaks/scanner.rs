//! Looks for everything in a stream of bytes.
//!
//! An object is cut into windows at fixed offsets, whatever the pieces in which it comes, so that what is found does not depend on
//! them. Each window is looked at together with so many bytes before and after it that everything that has a part in it
//! is seen whole, with its line's neighborhood.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::{fmt, mem, ops::Range};

use memchr::{memchr_iter, memmem};
use regex_automata::Anchored;
use zeroize::Zeroizing;

use super::{
    allow::{self, NEIGHBORHOOD_BYTES},
    beginnings::{Beginnings, Meaning},
    form::{self, FORM_BYTES_MAX},
    known::{self, KNOWN_BYTES_MIN},
    layer::{self, Layer, Lines, Part, Pass, Signs},
    leak::{Encoding, Leak, Tally},
    needle::{self, Core},
    packed::Unpacked,
    settle::{Found, Settling, What},
    sieve::Sieve,
    view::View,
    watch::{PATTERNS_MAX, SECRETS_MAX, ScannerError, Watch},
    work,
};
use crate::key::Fingerprint;

/// The most leaks that are listed of one object. More are counted only; secrets that are configured or known are listed before what has
/// a form or matches a pattern.
pub const LEAKS_MAX: usize = 100;

/// The longest match of a pattern that is found for certain, in bytes.
const PATTERN_MATCH_BYTES_MAX: usize = 4 * 1024;

/// The longest key that is found by its form or its fingerprint where it is escaped, for certain, in bytes.
const ESCAPED_BYTES_MIN: usize = 96;

/// The most bytes that a byte of a secret becomes: in a list of numbers, one on each line.
pub(super) const BYTES_PER_BYTE_MAX: usize = 16;

/// How far windows are apart, in bytes.
pub(super) const WINDOW_BYTES: usize = 90 * 1024;

/// Looks for what a [`Watch`] says. Made once, and used for any number of objects.
pub struct Scanner {
    pub(super) watch: Watch,
    /// Those of the secrets, in their order.
    fingerprints: Vec<Fingerprint>,
    /// What the sieve's cores are.
    cores: Vec<Core>,
    sieve: Sieve,
    /// What forms begin with.
    beginnings: Beginnings,
    /// The longest secret, in bytes.
    pub(super) longest: usize,
    /// The shortest text that is looked for, in bytes.
    shortest: usize,
    /// The signs in secrets.
    pub(super) signs: Signs,
    /// The longest that anything may be that is found, in bytes.
    reach: usize,
}

impl Scanner {
    /// Prepares the search. Of two secrets with the same text the first gives the name.
    pub fn new(watch: Watch) -> Result<Self, ScannerError> {
        Self::with(Beginnings::new()?, watch)
    }

    /// The same, with what was made ahead.
    pub fn with(beginnings: Beginnings, mut watch: Watch) -> Result<Self, ScannerError> {
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
        let longest = watch.secrets.iter().map(|secret| secret.text.len()).max().unwrap_or(0).max(ESCAPED_BYTES_MIN);
        let shortest =
            watch.secrets.iter().map(|secret| secret.text.len()).min().unwrap_or(usize::MAX).min(KNOWN_BYTES_MIN);
        Ok(Self {
            fingerprints,
            cores,
            sieve: Sieve::of(grain, &samples),
            beginnings,
            longest,
            shortest,
            signs: Signs::of(watch.secrets.iter().flat_map(|secret| secret.text.bytes())),
            reach: (BYTES_PER_BYTE_MAX * longest).max(FORM_BYTES_MAX).max(PATTERN_MATCH_BYTES_MAX),
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
    pub(super) fn margin(&self) -> usize {
        self.reach + NEIGHBORHOOD_BYTES
    }

    /// Everything that begins in the window, and every secret that has its core in it.
    pub(super) fn look(&self, hay: &[u8], base: u64, window: &Range<usize>, next: &mut [u64], found: &mut Vec<Found>) {
        let (longest, shortest) = (self.longest, self.shortest);
        let part = Part { hay, base, own: window.clone(), longest, shortest, signs: self.signs, lines: Lines::Apart };
        self.look_at(&part, found);
        self.look_through(&part, Pass::OF_BYTES, found);
        for (index, next) in next.iter_mut().enumerate() {
            self.look_for_pattern(index, hay, base, window, next, found);
        }
    }

    /// What stands in a text as it is, in base64 or in hex.
    fn look_at(&self, part: &Part<'_>, found: &mut Vec<Found>) {
        self.look_for_secrets(part, found);
        // What stands on two lines does not stand there as it is.
        let written = if part.lines == Lines::Joined { Written::Packed } else { Written::Any };
        self.look_for_beginnings(part, written, found);
        self.look_for_known(part, found);
    }

    /// What lies below the layers of a text.
    fn look_through(&self, part: &Part<'_>, passes: &[Pass], found: &mut Vec<Found>) {
        layer::views(part, passes, &mut |layer, view| {
            let before = found.len();
            let lines = if layer == Layer::Lines { Lines::Joined } else { Lines::Apart };
            let below = self.all_of(&view, lines);
            self.look_at(&below, found);
            self.look_through(&below, layer.below(), found);
            self.bring_back(&view, part, &part.own, before, found);
        });
    }

    fn all_of<'v>(&self, view: &'v View, lines: Lines) -> Part<'v> {
        let own = 0..view.text.len();
        let (longest, shortest) = (self.longest, self.shortest);
        Part { hay: &view.text, base: 0, own, longest, shortest, signs: self.signs, lines }
    }

    /// What was found in a view gets its place in the source. What stands there as it is, or begins elsewhere than in `own`, is found
    /// without the view.
    fn bring_back(&self, view: &View, part: &Part<'_>, own: &Range<usize>, before: usize, found: &mut Vec<Found>) {
        let mut kept = before;
        for at in before..found.len() {
            let Some((range, encoding)) = view.source(&found[at].range) else { continue };
            let range = range.start..range.end.min(part.hay.len());
            if own.contains(&range.start) && range.len() <= self.reach {
                let plain = found[at].encoding == Encoding::Plain;
                let encoding = if plain { encoding } else { found[at].encoding };
                found.swap(kept, at);
                found[kept].range = range;
                found[kept].encoding = encoding;
                kept += 1;
            }
        }
        found.truncate(kept);
    }

    fn look_for_secrets(&self, part: &Part<'_>, found: &mut Vec<Found>) {
        self.sieve.each(part.hay, part.own.start, part.own.end, |core, at| {
            let core = self.cores[core];
            let secret = core.secret as usize;
            let text = &self.watch.secrets[secret].text;
            work::step(text.len());
            if let Some(written) = core.read(part.hay, part.base, at, text) {
                let what = What::Configured { secret };
                let fingerprint = self.fingerprints[secret];
                let beginning = form::beginning_of(text.as_bytes());
                found.push(Found { range: written.range, what, encoding: written.encoding, fingerprint, beginning });
            }
        });
    }

    /// Keys by their beginnings.
    fn look_for_beginnings(&self, part: &Part<'_>, written: Written, found: &mut Vec<Found>) {
        // The longest beginning may end behind the part, and the next key may end the last one of it.
        const BEHIND_BYTES: usize = 512;

        let hay = &part.hay[..part.hay.len().min(part.own.end + BEHIND_BYTES)];
        let mut unpacked = Unpacked::default();
        let mut keys = Keys::default();
        let mut next = part.own.start;
        while let Some((at, meaning)) = self.beginnings.find(hay, next) {
            next = at + 1;
            let is_own = at < part.own.end;
            if !is_own && keys.waiting.is_none() {
                return;
            }
            match meaning {
                Meaning::Plain(number) => {
                    if written != Written::Packed {
                        self.look_at_key(part, &mut keys, at, *number, found);
                    }
                }
                Meaning::Packed(needles) => {
                    let is_wanted = is_own && written != Written::Plain;
                    for needle in needles.iter().filter(|needle| is_wanted && needle.is_at(part.hay, at)) {
                        self.look_into(part, unpacked.view(part.hay, at, needle.packing), found);
                    }
                }
            }
        }
        if let Some((at, number)) = keys.waiting {
            self.look_at_beginning(part.hay, at, number, part.hay.len(), found);
        }
    }

    /// A key may begin at a place, and end the one before.
    fn look_at_key(&self, part: &Part<'_>, keys: &mut Keys, at: usize, number: usize, found: &mut Vec<Found>) {
        const GLUED_BYTES: usize = 32;

        let hay = part.hay;
        let is_own = at < part.own.end;
        let limit = hay.len().min(at + FORM_BYTES_MAX);
        let (may_begin, ends_a_key) = (form::may_begin(hay, at), form::ends_a_key(number));
        if may_begin && ends_a_key {
            if let Some((at_before, before)) = keys.waiting.take() {
                self.look_at_beginning(hay, at_before, before, at, found);
            }
            keys.waiting = is_own.then_some((at, number));
        } else if may_begin {
            // A token, whatever the words before it end with.
            if is_own && keys.may_be_token(hay, at) {
                self.look_at_beginning(hay, at, number, limit, found);
            }
        } else if is_own && at >= keys.glued {
            // Within a word. Rows of these are not looked at one by one.
            keys.glued = at + if ends_a_key { GLUED_BYTES } else { 0 };
            self.look_at_beginning(hay, at, number, limit, found);
        }
    }

    fn look_at_beginning(&self, hay: &[u8], at: usize, beginning: usize, limit: usize, found: &mut Vec<Found>) {
        if !self.watch.known.is_empty() {
            known::pieces_at(hay, at, limit, |piece| self.check_known(hay, piece, found));
        }
        if let Some((form, range)) = form::at(hay, at, beginning, limit) {
            let text = &hay[range.clone()];
            let (fingerprint, beginning) = (Fingerprint::of(text), form::beginning_of(text));
            found.push(Found { range, what: What::Form(form), encoding: Encoding::Plain, fingerprint, beginning });
        }
    }

    /// Looks for keys in what base64 or hex was decoded to.
    fn look_into(&self, part: &Part<'_>, view: Option<View>, found: &mut Vec<Found>) {
        let Some(view) = view else { return };
        let before = found.len();
        let below = self.all_of(&view, Lines::Apart);
        self.look_for_beginnings(&below, Written::Plain, found);
        self.look_for_known(&below, found);
        // The digit before the one that a key is found by may have the key's first bits: then it is this part's key all the same.
        let own = part.own.start.saturating_sub(1)..part.own.end;
        self.bring_back(&view, part, &own, before, found);
    }

    fn look_for_known(&self, part: &Part<'_>, found: &mut Vec<Found>) {
        if !self.watch.known.is_empty() && part.lines == Lines::Apart {
            known::pieces(part.hay, &part.own, |piece| self.check_known(part.hay, piece, found));
        }
    }

    fn check_known(&self, hay: &[u8], piece: Range<usize>, found: &mut Vec<Found>) {
        work::step(piece.len());
        let fingerprint = Fingerprint::of(&hay[piece.clone()]);
        if self.watch.known.contains(&fingerprint) {
            let beginning = form::beginning_of(&hay[piece.clone()]);
            found.push(Found { range: piece, what: What::Known, encoding: Encoding::Plain, fingerprint, beginning });
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
            let input = regex_automata::Input::new(&hay[..end]).range(at..).anchored(Anchored::No);
            let Some(range) = regex.find(input).map(|found| found.range()).filter(|range| range.start < window.end)
            else {
                return;
            };
            at = range.end.max(range.start + 1);
            *next = base + at as u64;
            let range = range.start..range.end.min(range.start + PATTERN_MATCH_BYTES_MAX);
            let fingerprint = Fingerprint::of(&hay[range.clone()]);
            let what = What::Pattern { index };
            found.push(Found { range, what, encoding: Encoding::Plain, fingerprint, beginning: "" });
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

/// How a beginning that is looked for is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Any,
    Plain,
    Packed,
}

/// Where keys begin that are looked at later, or not at all.
#[derive(Debug, Default)]
struct Keys {
    /// The last one, whose end may be where the next begins, and the number of its beginning.
    waiting: Option<(usize, usize)>,
    /// Before this place is no beginning within a word that is looked at.
    glued: usize,
    /// The end of the row of a token's digits that was measured last.
    digits_end: usize,
    /// The last place in it where a token may begin behind `-` or `_`.
    last_token: usize,
}

impl Keys {
    /// Whether a token is looked for where its beginning stands. `-` and `_` are digits of tokens, too: of the places behind them in
    /// one row of digits only the last is the header's, and rows of these are not looked at one by one.
    fn may_be_token(&mut self, hay: &[u8], at: usize) -> bool {
        if !at.checked_sub(1).is_some_and(|before| matches!(hay[before], b'-' | b'_')) {
            return true;
        }
        if at >= self.digits_end {
            let length = hay[at..].iter().take_while(|&&byte| form::is_token_digit(byte)).count();
            work::step(length);
            self.digits_end = at + length;
            let digits = &hay[at - 1..self.digits_end];
            let last = ["-eyJ", "_eyJ"].into_iter().filter_map(|begin| memmem::rfind(digits, begin.as_bytes())).max();
            self.last_token = at + last.unwrap_or_default();
        }
        at == self.last_token
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
            self.settling.add(self.base, found, line, allowed);
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
    /// What was added of this object may give way to a secret that is configured or known, as [`LEAKS_MAX`] says.
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
