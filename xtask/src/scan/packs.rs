//! Scans all of history along the packs: each object is made once, beside the one that it is a difference to, by as many
//! threads as there are processors. Of an object that is made from one in which there is nothing, what is new is looked at,
//! and it counts as scanned.
//!
//! git says what the history is, as ever: it lists the objects while the threads scan all that the packs hold. What it
//! lists and no thread scanned, because it is no pack's, or is large, or broken, or of a sort that is not known here, git
//! is asked for, one by one. So nothing that is read here decides what is clean: every object that git lists was scanned,
//! here or there, or is told. What git does not list is forgotten.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use license_core::leaks::Scanner;

use super::{
    Progress, ScanFault, Scanned,
    objects::{self, OBJECTS, Range, Walk, one_by_one},
    repository::Repository,
};
use crate::git::{GitError, Oid};

mod entry;
mod index;
mod list;
mod pack;
mod walk;

use list::{Ended, List};
use pack::Pack;
use walk::{Found, Kept, Shared, Stored, Walker};

/// How many objects of packs are held in mind: some 60 bytes for each.
const OBJECTS_MAX: usize = 4_000_000;
/// How many packs are open at once.
const PACKS_MAX: usize = 128;
/// How many threads scan at most.
const THREADS_MAX: usize = 8;
/// How often the progress is told once git's list has ended.
const NEWS_PAUSE: Duration = Duration::from_millis(100);

/// Scans everything that any ref leads to.
pub(crate) fn history(
    repository: &Repository,
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<Scanned, ScanFault> {
    let indexes = match repository.objects_directory()? {
        Some((directory, name_bytes)) => indexes(&directory).map(|indexes| (indexes, name_bytes)),
        None => None,
    };
    if let Some((indexes, name_bytes)) = indexes
        && let Some(scanned) = along(repository, &indexes, name_bytes, scanner, progress)?
    {
        return Ok(scanned);
    }
    objects::objects(repository, &Range::All, scanner, progress)
}

/// The indexes of the packs in a directory of objects, those of large packs first. `None`: there are none, or there are
/// other directories beside this one, whose packs may hold much more than this history. Left out are packs of what no ref
/// leads to, which git marks with times.
fn indexes(directory: &Path) -> Option<Vec<PathBuf>> {
    if directory.join("info/alternates").exists() {
        return None;
    }
    let entries = directory.join("pack").read_dir().ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let indexes = paths.filter(|path| {
        path.extension().is_some_and(|extension| extension == "idx") && !path.with_extension("mtimes").exists()
    });
    let mut sized: Vec<(u64, PathBuf)> =
        indexes.filter_map(|path| Some((path.with_extension("pack").metadata().ok()?.len(), path))).collect();
    sized.sort_unstable_by(|one, other| other.cmp(one));
    sized.truncate(PACKS_MAX);
    (!sized.is_empty()).then(|| sized.into_iter().map(|(_, path)| path).collect())
}

/// Scans along these packs. `None`: they hold too little of the history, or a thread was lost.
fn along(
    repository: &Repository,
    indexes: &[PathBuf],
    name_bytes: usize,
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<Option<Scanned>, ScanFault> {
    let walk = Walk::of(repository, &Range::All)?;
    // git begins to list while the packs are opened.
    let output = repository.git.stream(&walk.list(&OBJECTS), walk.input())?;
    let packs = open(indexes, name_bytes);
    if packs.is_empty() {
        output.stop();
        return Ok(None);
    }
    let shared = Shared::new(scanner, &packs);
    let (list, found) = thread::scope(|scope| {
        let (at_work, all_ended) = mpsc::channel::<()>();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let walkers = (0..threads).map(|_| {
            let (shared, at_work) = (&shared, at_work.clone());
            scope.spawn(move || {
                let found = Walker::new(shared).walk();
                drop(at_work);
                found
            })
        });
        let walkers: Vec<_> = walkers.collect();
        drop(at_work);
        let list = List::read(output, &shared, &mut || progress(&shared.so_far()));
        while all_ended.recv_timeout(NEWS_PAUSE) == Err(RecvTimeoutError::Timeout) {
            progress(&shared.so_far());
        }
        // All of them, also behind one that is lost.
        let found: Vec<_> = walkers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (list, found)
    });
    let List { elsewhere, ended } = list;
    let mut outcome = Scanned::default();
    match ended {
        Ended::Whole => {}
        Ended::Broken(error @ GitError::TooOld { .. }) => return Err(error.into()),
        Ended::Broken(error) => {
            outcome.miss("objects", error.to_string());
            outcome.notes.push(NOT_LISTED.to_owned());
        }
        Ended::TooMuchElsewhere => return Ok(None),
    }
    // What a lost thread found is lost, and what it marked as scanned is no proof.
    let Ok(found) = found.into_iter().collect() else { return Ok(None) };
    take(&mut outcome, found, &shared);
    let rest = Rest::of(&packs, elsewhere, &walk.wanted);
    if !rest.is_empty() {
        outcome.add(one_by_one(repository, &rest.wanted, &rest.unread, scanner, progress)?);
        rest.sort(&mut outcome, &packs);
    }
    if let Some(said) = walk.broken {
        outcome.miss("refs", said);
    }
    Ok(Some(outcome))
}

/// What is said when git's list is not whole.
const NOT_LISTED: &str =
    "git could not list what the refs lead to: everything in the packs was scanned, also what no ref leads to";

/// Opens packs, as many as can be held in mind. Of the others git is asked.
fn open(indexes: &[PathBuf], name_bytes: usize) -> Vec<Stored> {
    let (mut packs, mut left) = (Vec::new(), OBJECTS_MAX);
    for index in indexes {
        if let Some(pack) = Pack::open(index, name_bytes, left) {
            left -= pack.index.objects();
            packs.push(Stored::of(packs.len(), pack));
        }
    }
    packs
}

/// Takes what the threads found in the history.
fn take(outcome: &mut Scanned, found: Vec<Found>, shared: &Shared<'_>) {
    let order = |kept: &Kept| shared.order(kept.number, kept.place).unwrap_or(u32::MAX);
    let mut all = Vec::new();
    for Found { kept, counted, .. } in found {
        all.extend(kept);
        outcome.add(counted);
    }
    all.sort_by_key(|kept| (order(kept), kept.number, kept.place));
    for kept in all {
        outcome.add(kept.scanned);
    }
    for (number, stored) in shared.packs.iter().enumerate() {
        let in_history = (0..stored.pack.index.objects()).filter(|place| shared.is_in_history(number, *place));
        for bytes in in_history.filter_map(|place| stored.bytes(place)) {
            outcome.objects += 1;
            outcome.bytes += bytes;
        }
    }
}

/// What git has to be asked for.
struct Rest {
    /// What the refs lead to and nobody saw: git passes over a ref that leads nowhere without a word.
    wanted: Vec<Oid>,
    /// What git lists and no thread scanned, in the order of the list.
    unread: Vec<Oid>,
    /// The numbers that they have in the list.
    orders: Vec<u32>,
}

impl Rest {
    fn of(packs: &[Stored], elsewhere: Vec<(u32, Oid)>, tips: &[Oid]) -> Self {
        let mut left = elsewhere;
        for stored in packs {
            let places = 0..stored.pack.index.objects();
            let listed = places.filter_map(|place| Some((stored.order(place)?, place)));
            let unscanned = listed.filter(|(_, place)| stored.bytes(*place).is_none());
            left.extend(unscanned.map(|(order, place)| (order, Oid::of_bytes(stored.pack.index.name(place)))));
        }
        left.sort_unstable_by_key(|(order, _)| *order);
        let (orders, unread): (Vec<u32>, Vec<Oid>) = left.into_iter().unzip();
        let asked_for: HashSet<&str> = unread.iter().map(Oid::as_str).collect();
        let is_seen = |tip: &Oid| {
            let name = tip.to_bytes();
            let is_in =
                |stored: &Stored| stored.pack.index.place(&name).is_some_and(|place| stored.bytes(place).is_some());
            asked_for.contains(tip.as_str()) || packs.iter().any(is_in)
        };
        let wanted = tips.iter().filter(|tip| !is_seen(tip)).cloned().collect();
        Self { wanted, unread, orders }
    }

    fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unread.is_empty()
    }

    /// Puts what was found in the order of git's list: from the newest on.
    fn sort(&self, outcome: &mut Scanned, packs: &[Stored]) {
        let orders: HashMap<&str, u32> = self.unread.iter().map(Oid::as_str).zip(self.orders.iter().copied()).collect();
        outcome.findings.sort_by_cached_key(|finding| {
            let Some(object) = &finding.place.object else { return u32::MAX };
            let name = object.to_bytes();
            let packed = || packs.iter().find_map(|stored| stored.order(stored.pack.index.place(&name)?));
            orders.get(object.as_str()).copied().or_else(packed).unwrap_or(u32::MAX)
        });
    }
}

#[cfg(test)]
mod tests;
