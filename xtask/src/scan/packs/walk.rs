//! Walks the trees of deltas of packs: each object is made once, from the base that was made just before it, and scanned.

use std::{
    mem,
    ops::Range,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use license_core::leaks::{Changes, Scanner};

use super::{
    super::{
        FINDINGS_MAX, Scanned, Work,
        archive::{HEAD_BYTES, ZIP_END, looks_packed, may_end_zip},
        objects::{Memory, body},
        place::{Kind, Place},
    },
    entry::{self, Form},
    pack::{Held, OBJECT_BYTES_MAX, Pack, Reader},
};
use crate::git::Oid;

/// The place that is none.
const NONE: u32 = u32::MAX;
/// How much a thread holds of objects that others are made from, in bytes. What would need more is asked of git.
const BASES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many roots a thread takes at once: they lie beside each other.
const ROOTS_AT_ONCE: usize = 32;
/// How many findings a thread keeps before it must be known which of them are in the history.
const KEPT_MAX: usize = 20 * FINDINGS_MAX;
/// How many buffers a thread keeps for the next objects, and how large they may be, in bytes.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// A pack, who is made from whom in it, and what became of its objects.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) pack: Pack,
    /// Those that are made from nobody.
    roots: Vec<u32>,
    /// The first that is made from this one.
    first_child: Vec<u32>,
    /// The next that is made from the same.
    next_sibling: Vec<u32>,
    /// The number that the object has in git's list, from 1; 0: it is not in it.
    listed: Vec<AtomicU32>,
    /// How long the object is, in bytes, and one more, once it was scanned; 0 before.
    scanned: Vec<AtomicU32>,
}

impl Stored {
    /// Looks at the beginning of each entry. One that makes no sense is nobody's child, and is not scanned here.
    pub(super) fn of(number: usize, pack: Pack) -> Self {
        let objects = pack.index.objects();
        let nowhere = || vec![NONE; objects];
        let (mut roots, mut first_child, mut next_sibling) = (Vec::new(), nowhere(), nowhere());
        let mut bases = nowhere();
        let mut reader = Reader::new();
        for (place, its_base) in bases.iter_mut().enumerate() {
            let start = pack.entry(place).start;
            let base = match reader.header(number, &pack, place).map(|header| header.form) {
                Ok(Form::Whole(_)) => {
                    roots.push(narrow(place));
                    None
                }
                Ok(Form::Behind(distance)) => {
                    start.checked_sub(distance).and_then(|base| pack.index.place_of_start(base))
                }
                Ok(Form::Named(name)) => pack.index.place(name),
                Err(_) => None,
            };
            if let Some(base) = base {
                *its_base = narrow(base);
            }
        }
        // From the last to the first, so that each list is in the order of the pack.
        for place in (0..objects).rev() {
            if let Some(first) = first_child.get_mut(bases[place] as usize) {
                next_sibling[place] = mem::replace(first, narrow(place));
            }
        }
        let zeros = || (0..objects).map(|_| AtomicU32::new(0)).collect();
        Self { pack, roots, first_child, next_sibling, listed: zeros(), scanned: zeros() }
    }

    /// git lists an object with this number. `false`: it is not in this pack.
    pub(super) fn list(&self, name: &[u8], order: u32) -> bool {
        let place = self.pack.index.place(name);
        if let Some(place) = place {
            self.listed[place].store(order, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// The number of an object in git's list; `None`: it is not in it.
    pub(super) fn order(&self, place: usize) -> Option<u32> {
        Some(self.listed[place].load(Ordering::Relaxed)).filter(|order| *order > 0)
    }

    /// How long an object is that was scanned, in bytes; `None`: it was not.
    pub(super) fn bytes(&self, place: usize) -> Option<u64> {
        self.scanned[place].load(Ordering::Relaxed).checked_sub(1).map(u64::from)
    }
}

/// A place fits: there are no more than the index has numbers for.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}

/// What the threads share.
pub(super) struct Shared<'s> {
    pub(super) scanner: &'s Scanner,
    pub(super) packs: &'s [Stored],
    /// The next root that nobody took, counted through all packs.
    next: AtomicUsize,
    stopped: AtomicBool,
    listing: (Mutex<Listing>, Condvar),
    /// What was scanned so far, for those who wait.
    objects: AtomicU64,
    bytes: AtomicU64,
    leaks: AtomicU64,
}

/// How far git's list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// It goes on.
    Open,
    /// It has ended, and is all there is.
    Whole,
    /// It has ended, and what is not in it may be in the history all the same.
    Broken,
}

impl<'s> Shared<'s> {
    pub(super) fn new(scanner: &'s Scanner, packs: &'s [Stored]) -> Self {
        let zero = || AtomicU64::new(0);
        let (objects, bytes, leaks) = (zero(), zero(), zero());
        let listing = (Mutex::new(Listing::Open), Condvar::new());
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { scanner, packs, next, stopped, listing, objects, bytes, leaks }
    }

    /// The list has ended. What was said first about its end counts.
    pub(super) fn end_list(&self, how: Listing) {
        let (lock, ended) = &self.listing;
        let mut listing = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if *listing == Listing::Open {
            *listing = how;
        }
        ended.notify_all();
    }

    /// Nobody wants what is not scanned yet.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// What was scanned so far.
    pub(super) fn so_far(&self) -> Scanned {
        let [objects, bytes, more] = [&self.objects, &self.bytes, &self.leaks].map(|sum| sum.load(Ordering::Relaxed));
        Scanned { objects, bytes, more, ..Scanned::default() }
    }

    /// The number of an object in git's list; `None`: it is not in it.
    pub(super) fn order(&self, number: usize, place: usize) -> Option<u32> {
        self.packs[number].order(place)
    }

    /// Whether an object is in the history, as far as git could tell. Waits for the end of its list.
    pub(super) fn is_in_history(&self, number: usize, place: usize) -> bool {
        self.order(number, place).is_some() || self.listing() == Listing::Broken
    }

    /// Waits for the end of the list.
    fn listing(&self) -> Listing {
        let (lock, ended) = &self.listing;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        *ended.wait_while(guard, |how| *how == Listing::Open).unwrap_or_else(PoisonError::into_inner)
    }

    /// Roots that nobody took yet.
    fn take(&self) -> Option<(usize, &'s [u32])> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let mut at = self.next.fetch_add(ROOTS_AT_ONCE, Ordering::Relaxed);
        for (number, stored) in self.packs.iter().enumerate() {
            // Each pack counts as full handfuls, so that none reaches into the next pack.
            let counted = stored.roots.len().next_multiple_of(ROOTS_AT_ONCE);
            if at < counted {
                return Some((number, &stored.roots[at..stored.roots.len().min(at + ROOTS_AT_ONCE)]));
            }
            at -= counted;
        }
        None
    }
}

/// Something that was found, and where.
pub(super) struct Kept {
    pub(super) number: usize,
    pub(super) place: usize,
    pub(super) scanned: Scanned,
}

/// What a thread found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) kept: Vec<Kept>,
    /// How many findings these have.
    findings: usize,
    /// What is counted and no longer listed.
    pub(super) counted: Scanned,
}

impl Found {
    fn keep(&mut self, kept: Kept, shared: &Shared<'_>) {
        self.findings += 1 + kept.scanned.findings.len();
        self.kept.push(kept);
        if self.findings > KEPT_MAX {
            self.settle(shared);
        }
    }

    /// Drops what is not in the history, and keeps no more findings than are shown: those of the objects that git lists
    /// first, and of the others as many that are known for certain.
    pub(super) fn settle(&mut self, shared: &Shared<'_>) {
        shared.listing();
        self.kept.retain(|kept| shared.is_in_history(kept.number, kept.place));
        self.kept.sort_by_key(|kept| shared.order(kept.number, kept.place).unwrap_or(u32::MAX));
        self.findings = 0;
        let mut certain = 0;
        for mut kept in mem::take(&mut self.kept) {
            self.counted.allowed += mem::take(&mut kept.scanned.allowed);
            for one in kept.scanned.incomplete.drain(..) {
                self.counted.miss(one.what, one.why);
            }
            for one in kept.scanned.unscanned.drain(..) {
                self.counted.left_out(one);
            }
            if self.findings >= FINDINGS_MAX {
                let left = FINDINGS_MAX.saturating_sub(certain);
                self.counted.more += kept.scanned.keep_certain(left);
                certain += kept.scanned.findings.len();
            }
            if kept.scanned.leaks() > 0 {
                self.findings += 1 + kept.scanned.findings.len();
                self.kept.push(kept);
            }
        }
    }
}

/// One of the threads.
pub(super) struct Walker<'s> {
    shared: &'s Shared<'s>,
    reader: Reader,
    work: Work<'s>,
    found: Found,
    spare: Vec<Vec<u8>>,
    /// What is new in the object that was made last.
    changes: Changes,
}

/// An object that others are made from, and the next of them.
struct Base {
    content: Vec<u8>,
    came_to: Came,
    child: u32,
}

/// What the scan of an object came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Nothing was found, and nothing allowed or left out; and there is no end of a zip in it.
    ToNothing,
    /// Anything else.
    ToMore,
}

impl<'s> Walker<'s> {
    pub(super) fn new(shared: &'s Shared<'s>) -> Self {
        let (reader, work) = (Reader::new(), Work::new(shared.scanner));
        Self { shared, reader, work, found: Found::default(), spare: Vec::new(), changes: Changes::default() }
    }

    /// Scans what is left, tree by tree.
    pub(super) fn walk(mut self) -> Found {
        while let Some((number, roots)) = self.shared.take() {
            for root in roots {
                self.tree(number, *root as usize);
            }
        }
        self.found.settle(self.shared);
        self.found
    }

    /// Scans an object and all that are made from it. What cannot be made is not marked as scanned.
    fn tree(&mut self, number: usize, root: usize) {
        let stored = &self.shared.packs[number];
        let mut content = self.buffer();
        let Ok(Held::Object(kind)) = self.reader.inflated(number, &stored.pack, root, &mut content) else {
            return self.give_back(content);
        };
        let came_to = self.scan(number, root, kind, &content);
        let mut held = content.len();
        let mut bases = vec![Base { content, came_to, child: stored.first_child[root] }];
        let mut delta = self.buffer();
        while let Some(base) = bases.last_mut() {
            let Some(child) = usize::try_from(base.child).ok().filter(|_| base.child != NONE) else {
                held -= base.content.len();
                if let Some(base) = bases.pop() {
                    self.give_back(base.content);
                }
                continue;
            };
            base.child = stored.next_sibling[child];
            let mut content = self.spare.pop().unwrap_or_default();
            let made = matches!(self.reader.inflated(number, &stored.pack, child, &mut delta), Ok(Held::Delta))
                && entry::made_of(&delta, base.content.len()).is_some_and(|bytes| bytes <= OBJECT_BYTES_MAX)
                && entry::apply(&base.content, &delta, &mut content, &mut self.changes).is_some();
            let base_came_to = base.came_to;
            if base.child == NONE {
                // Nobody else is made from it.
                held -= base.content.len();
                if let Some(base) = bases.pop() {
                    self.give_back(base.content);
                }
            }
            if !made {
                self.give_back(content);
                continue;
            }
            let came_to = match base_came_to {
                Came::ToNothing if self.has_nothing_new(kind, &content) => {
                    self.count(number, child, &content, 0);
                    Came::ToNothing
                }
                Came::ToNothing | Came::ToMore => self.scan(number, child, kind, &content),
            };
            let first = stored.first_child[child];
            if first != NONE && held + content.len() <= BASES_BYTES_MAX {
                held += content.len();
                bases.push(Base { content, came_to, child: first });
            } else {
                self.give_back(content);
            }
        }
        self.give_back(delta);
    }

    /// Whether there is nothing in an object that was just made from one that came to nothing. What may be an archive is
    /// looked at as a whole.
    fn has_nothing_new(&self, kind: Kind, content: &[u8]) -> bool {
        let may_be_archive = || {
            let ends_zip = |change: &Range<usize>| {
                let beside = ZIP_END.len() - 1;
                may_end_zip(&content[change.start.saturating_sub(beside)..content.len().min(change.end + beside)])
            };
            looks_packed(&content[..content.len().min(HEAD_BYTES)]) || self.changes.ranges().iter().any(ends_zip)
        };
        self.shared.scanner.finds_nothing_new(content, &self.changes) && !(kind == Kind::Blob && may_be_archive())
    }

    fn scan(&mut self, number: usize, place: usize, kind: Kind, content: &[u8]) -> Came {
        let stored = &self.shared.packs[number];
        let name = || Oid::of_bytes(stored.pack.index.name(place));
        let place_of = || Place::object(kind, &name());
        let bytes = content.len() as u64;
        // What is in memory cannot end early.
        let read = body(&mut Memory(content), &mut self.work, kind, &name, bytes, &place_of);
        // What ends as a zip does is still there, and need not be read again.
        for behind in mem::take(&mut self.work.behind) {
            self.work.unpack(None, content, &|| behind.place.clone());
        }
        let mut scanned = mem::take(&mut self.work.scanned);
        if read.is_err() {
            return Came::ToMore;
        }
        (scanned.objects, scanned.bytes) = (0, 0);
        let leaks = scanned.leaks();
        let is_whole = scanned.incomplete.is_empty() && scanned.unscanned.is_empty();
        let is_more = leaks > 0 || scanned.allowed > 0 || !is_whole;
        if is_more {
            self.found.keep(Kept { number, place, scanned }, self.shared);
        }
        self.count(number, place, content, leaks);
        let came_to_more = is_more || kind == Kind::Blob && may_end_zip(content);
        if came_to_more { Came::ToMore } else { Came::ToNothing }
    }

    /// An object was scanned.
    fn count(&self, number: usize, place: usize, content: &[u8], leaks: u64) {
        // It fits: larger ones are not scanned here.
        self.shared.packs[number].scanned[place].store(narrow(content.len()).saturating_add(1), Ordering::Relaxed);
        self.shared.objects.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
        self.shared.leaks.fetch_add(leaks, Ordering::Relaxed);
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            self.spare.push(buffer);
        }
    }
}
