//! Scans objects: everything that a push would send, or that a repository holds.
//!
//! Not differences but objects, as they are stored: no attribute, no text conversion, no color and no replacement can
//! hide one, and what a merge changed by itself is there like everything else. What git lists is counted on its way from
//! one git to the other, and must be as much as the one says that it listed and as the other one gave to be scanned.

use std::{io, time::Duration};

use license_core::{finding::clean, leaks::Scanner};
use sha2::{Digest as _, Sha256};

use super::{
    ARCHIVE_BYTES_MAX, Look, Progress, ScanFault, Scanned, Work,
    archive::{HEAD_BYTES, PUSH_ARCHIVES_TIME, looks_packed},
    behind::{self, Behind},
    place::{Kind, Place, Thing},
    repository::Repository,
};
use crate::git::{
    GitError, Oid,
    changes::{self, Changes},
    loose::Loose,
    stream::{COUNTING, Streaming, Through},
};

/// The longest line that git answers with before an object, in bytes.
const HEADER_BYTES_MAX: usize = 512;
/// How much of what commits change is looked at first, in bytes: no more than takes as long as a git takes to start. It
/// may only have been moved or merged, and not be sent.
const FIRST_LOOK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// After how many objects the progress is told.
const OBJECTS_BETWEEN_NEWS: u64 = 512;
/// At how many objects git may end before the rest is given up.
const BROKEN_MAX: usize = 32;
/// How many refs a repository may have for their names to be scanned.
const REF_NAME_BYTES_MAX: usize = 16 * 1024;

/// What is scanned.
#[derive(Debug, Clone)]
pub(crate) enum Range {
    /// What a push would send.
    Push {
        /// What is pushed: commits, tags or anything else.
        want: Vec<Oid>,
        /// What the other side has, as far as it said. What is not known here is passed over.
        have: Vec<Oid>,
        /// What else it is known to have.
        seen: Seen,
    },
    /// A range as people write it.
    Between {
        /// As in `A..B`.
        range: String,
    },
    /// Everything that any ref leads to.
    All,
}

/// How git lists what is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// Every object.
    Objects,
    /// What few commits change.
    Changes,
}

/// What is asked of a git that lists something, and whoever understands what commits change.
struct Question<'w> {
    arguments: Vec<&'w str>,
    input: Vec<u8>,
    changes: Option<Changes>,
}

/// How git is told to list objects.
pub(super) const OBJECTS: [&str; 3] = ["--objects", "--no-object-names", "--missing=allow-promisor"];

/// What the other side is known to have, since git saw it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    Nothing,
    /// Whatever the refs of the remote with this name hold, which has no sign that git takes for a pattern.
    Refs(String),
    /// These.
    These(Vec<Oid>),
}

/// A walk: what one git is told to list.
pub(super) struct Walk {
    arguments: Vec<String>,
    input: Vec<u8>,
    /// What must be there, so that nothing that was asked for is passed over.
    pub(super) wanted: Vec<Oid>,
    /// What the other side said that it has.
    had: Vec<Oid>,
    /// What git says about refs that it cannot read.
    pub(super) broken: Option<String>,
    /// How long all archives in it may take, where there is a limit.
    pub(super) archives_time: Option<Duration>,
}

impl Walk {
    pub(super) fn of(repository: &Repository, range: &Range) -> Result<Self, ScanFault> {
        Ok(match range {
            Range::Push { want, have, seen } => {
                Self { archives_time: Some(PUSH_ARCHIVES_TIME), ..Self::between(want, have, seen) }
            }
            Range::Between { range } => {
                let (want, have) = repository.commits_of(range)?;
                Self::between(&want, &have, &Seen::Nothing)
            }
            Range::All => {
                // git passes over a ref that leads nowhere without a word, so each is asked for.
                let (mut wanted, broken) = repository.tips()?;
                // What `--all` does not name.
                let (mut others, broken_others) = repository.tips_of_worktrees()?;
                others.extend(repository.stashes()?);
                let input = others.iter().flat_map(|oid| [oid.as_str(), "\n"]).collect::<String>().into_bytes();
                wanted.append(&mut others);
                Self {
                    arguments: ["--ignore-missing", "--all", "--stdin"].map(str::to_owned).to_vec(),
                    input,
                    wanted: wanted.into_iter().collect(),
                    had: Vec::new(),
                    broken: broken.or(broken_others),
                    archives_time: None,
                }
            }
        })
    }

    pub(super) fn between(want: &[Oid], have: &[Oid], seen: &Seen) -> Self {
        let (refs, these) = match seen {
            Seen::Nothing => (None, &[][..]),
            Seen::Refs(remote) => (Some(remote), &[][..]),
            Seen::These(these) => (None, &these[..]),
        };
        let wants = want.iter().flat_map(|oid| [oid.as_str(), "\n"]);
        let haves = have.iter().chain(these).flat_map(|oid| ["^", oid.as_str(), "\n"]);
        let input = wants.chain(haves).collect::<String>().into_bytes();
        // What the other side has may be unknown here. That this leaves out nothing that is wanted is proved by asking
        // for each of those.
        let mut arguments = vec!["--ignore-missing".to_owned(), "--stdin".to_owned()];
        if let Some(remote) = refs {
            arguments.extend(["--not".to_owned(), format!("--remotes={remote}")]);
        }
        Self { arguments, input, wanted: want.to_vec(), had: have.to_vec(), broken: None, archives_time: None }
    }

    /// The arguments of `git rev-list`.
    pub(super) fn list<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        [&["rev-list"], options].concat().into_iter().chain(self.arguments.iter().map(String::as_str)).collect()
    }

    /// What a git is asked that lists it. `loose` may know which commits these are.
    fn question(&self, listing: Listing, loose: Option<&Loose>) -> Question<'_> {
        if listing == Listing::Objects {
            let arguments = self.list(&[&OBJECTS[..], &[COUNTING]].concat());
            return Question { arguments, input: self.input(), changes: None };
        }
        if let Some(commits) = loose.and_then(|loose| loose.commits(&self.wanted, &self.had, changes::COMMITS_MAX)) {
            let changes = Changes::between(&commits, &self.had);
            return Question {
                arguments: changes::of_commits(),
                input: changes::given(&commits),
                changes: Some(changes),
            };
        }
        let arguments = changes::of_range().into_iter().chain(self.arguments.iter().map(String::as_str));
        let arguments = arguments.collect();
        Question { arguments, input: self.input(), changes: Some(Changes::of(&self.wanted)) }
    }

    /// What it reads.
    pub(super) fn input(&self) -> Vec<u8> {
        self.input.clone()
    }
}

/// Scans every object of a range. An error means that nothing was scanned; what could not be scanned in the middle is
/// listed in what comes back.
pub(crate) fn objects(
    repository: &Repository,
    range: &Range,
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<Scanned, ScanFault> {
    begin(repository, range, &[], None)?.scan(repository, scanner, progress)
}

/// A scan that git has begun to list and to hand out.
pub(crate) struct Begun {
    walk: Walk,
    listing: Listing,
    through: Through,
}

/// Has git begin. `ahead` is what it hands out first, each by a name that it understands: whoever asks reads these
/// answers before the scan. Where all that is wanted are commits that lie in files of their own, what is changed is looked
/// at first, if that is little.
pub(crate) fn begin(
    repository: &Repository,
    range: &Range,
    ahead: &[String],
    loose: Option<Loose>,
) -> Result<Begun, ScanFault> {
    let walk = Walk::of(repository, range)?;
    // Where a history is cut off, git takes all of a tree for changed.
    let are_new =
        loose.as_ref().is_some_and(|loose| !loose.is_shallow() && walk.wanted.iter().all(|oid| loose.is_commit(oid)));
    let listing = match range {
        // The other side has one of these: nothing would show where what it brings ends.
        Range::Push { want, have, .. } if want.iter().any(|oid| have.contains(oid)) => Listing::Objects,
        Range::Push { .. } if are_new => Listing::Changes,
        Range::Push { .. } | Range::Between { .. } | Range::All => Listing::Objects,
    };
    let through = streamed(repository, &walk, listing, ahead, loose)?;
    Ok(Begun { walk, listing, through })
}

fn streamed(
    repository: &Repository,
    walk: &Walk,
    listing: Listing,
    ahead: &[String],
    loose: Option<Loose>,
) -> Result<Through, ScanFault> {
    let asked = ahead.iter().map(String::as_str).chain(walk.wanted.iter().map(Oid::as_str));
    let before = asked.flat_map(|name| [name, "\n"]).collect::<String>().into_bytes();
    // A name may lead through symbolic links inside of a tree; the names of objects do not.
    let hand_out = ["cat-file", "--batch", "--buffer", "--follow-symlinks"];
    let Question { arguments, input, changes } = walk.question(listing, loose.as_ref());
    Ok(repository.git.stream_through((&arguments, changes), input, &hand_out, before, loose)?)
}

impl Begun {
    /// The answers.
    pub(crate) fn output(&mut self) -> &mut Streaming {
        &mut self.through.output
    }

    /// Ends it: what git still has to say is not wanted.
    pub(crate) fn abandon(self) {
        self.through.abandon();
    }

    /// Ends it, since the answers made no sense, and says what git said about that.
    pub(crate) fn broken(self, repository: &Repository, read: io::Error) -> ScanFault {
        let why = clean(&read.to_string());
        let passed = self.through.finish(LISTING, READING, Err(read));
        match passed.wrong.into_iter().next() {
            Some(GitError::Failed { doing, said }) => match repository.explained(doing, said) {
                Ok(error) => error.into(),
                Err(fault) => fault,
            },
            Some(error) => error.into(),
            None => GitError::Failed { doing: READING, said: why }.into(),
        }
    }

    /// Scans everything. What commits change is all that they bring, and may be more: where that is not clean, or not
    /// all could be looked at, it is scanned once more as git lists it for a push.
    pub(crate) fn scan(
        self,
        repository: &Repository,
        scanner: &Scanner,
        progress: Progress<'_>,
    ) -> Result<Scanned, ScanFault> {
        let Self { walk, listing, through } = self;
        let outcome = scan(repository, &walk, (listing, through), scanner, progress);
        match (listing, outcome) {
            (Listing::Changes, Ok(outcome)) if outcome.is_plainly_clean() => Ok(outcome),
            (Listing::Changes, _) => {
                let through = streamed(repository, &walk, Listing::Objects, &[], None)?;
                scan(repository, &walk, (Listing::Objects, through), scanner, progress)
            }
            (Listing::Objects, outcome) => outcome,
        }
    }
}

fn scan(
    repository: &Repository,
    walk: &Walk,
    (listing, mut through): (Listing, Through),
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<Scanned, ScanFault> {
    let look = match listing {
        Listing::Objects => Look::Thorough,
        Listing::Changes => Look::First { bytes_max: FIRST_LOOK_BYTES_MAX },
    };
    let mut work = Work { archives_time: walk.archives_time, look, ..Work::new(scanner) };
    let mut reading = Reading { wanted: walk.wanted.len() as u64, proved: 0, answered: 0 };
    let read = reading.everything(&mut through.output, &mut work, progress);
    behind::look(repository, &mut work);
    let mut outcome = finish(repository, (listing, through), read, walk, &reading, work)?;
    if let Some(said) = &walk.broken {
        outcome.miss("refs", said);
    }
    Ok(outcome)
}

/// What the one git does.
const LISTING: &str = "listing objects";
/// What the other one does.
const READING: &str = "reading objects";

/// Scans the objects of a list, past each that git cannot hand out, after it was proved that those that are wanted are
/// there.
pub(super) fn one_by_one(
    repository: &Repository,
    wanted: &[Oid],
    names: &[Oid],
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<Scanned, ScanFault> {
    let mut work = Work::new(scanner);
    let (mut wanted, mut names) = (wanted, names);
    for _ in 0..=BROKEN_MAX {
        if wanted.is_empty() && names.is_empty() {
            break;
        }
        let lines = |oids: &[Oid]| oids.iter().flat_map(|oid| [oid.as_str(), "\n"]).collect::<String>();
        let input = lines(wanted) + &lines(names);
        let mut output = repository.git.stream(&["cat-file", "--batch", "--buffer"], input.into_bytes())?;
        let mut reading = Reading { wanted: wanted.len() as u64, proved: 0, answered: 0 };
        let read = reading.everything(&mut output, &mut work, progress);
        behind::look(repository, &mut work);
        let wrong = match read {
            Ok(()) => output.finish("reading objects").err(),
            Err(error) => {
                let said = clean(&error.to_string());
                let failed = || GitError::Failed { doing: "reading objects", said };
                Some(output.stopped("reading objects").unwrap_or_else(failed))
            }
        };
        if wrong.is_none() && reading.answered > names.len() as u64 {
            let more = reading.answered;
            work.scanned.miss("objects", format!("{} were asked for, and {more} came", names.len()));
        }
        let count = |done: u64| usize::try_from(done).unwrap_or(usize::MAX);
        wanted = wanted.get(count(reading.proved)..).unwrap_or_default();
        names = names.get(count(reading.answered)..).unwrap_or_default();
        // The one that is next is the one that git ended at.
        let next = if wanted.is_empty() { &mut names } else { &mut wanted };
        if let Some((broken, rest)) = next.split_first() {
            let why = wrong.map_or_else(|| "git did not hand it out".to_owned(), |error| error.to_string());
            work.scanned.miss(format!("object {broken}"), why);
            *next = rest;
        } else if let Some(error) = wrong {
            work.scanned.miss("objects", error.to_string());
        }
        // What came of it must not run into the next one.
        work = Work { scanned: work.scanned, ..Work::new(scanner) };
    }
    if !names.is_empty() || !wanted.is_empty() {
        work.scanned.miss("objects", format!("{} more were not read after these", names.len() + wanted.len()));
    }
    Ok(work.scanned)
}

/// Scans the objects of a list. Those that a partial clone left with its remote are counted.
pub(super) fn listed(
    repository: &Repository,
    names: &[Oid],
    scanner: &Scanner,
    missing: Missing,
    place: impl Fn(&Oid) -> Place,
) -> Result<Scanned, ScanFault> {
    let input = names.iter().flat_map(|oid| [oid.as_str(), "\n"]).collect::<String>().into_bytes();
    let mut output = repository.git.stream(&["cat-file", "--batch", "--buffer"], input)?;
    let mut work = Work::new(scanner);
    let mut answered = 0;
    let read = loop {
        match next(&mut output, &mut work, missing, Some(&place)) {
            Ok(Next::Object) => answered += 1,
            Ok(Next::End) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    behind::look(repository, &mut work);
    let wrong = match read {
        Ok(()) => output.finish("reading objects").err(),
        Err(error) => {
            output.stop();
            Some(GitError::Failed { doing: "reading objects", said: clean(&error.to_string()) })
        }
    };
    if let Some(error) = wrong {
        work.scanned.miss("staged files", error.to_string());
    } else if answered != names.len() as u64 {
        work.scanned.miss("staged files", format!("{} were asked for, and {answered} came", names.len()));
    }
    Ok(work.scanned)
}

/// What an object is taken for that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The repository is broken.
    Broken,
    /// A partial clone left it with its remote.
    Promised,
}

/// How far the answers have come.
struct Reading {
    /// How many of the first answers only prove that something is there; it comes again later.
    wanted: u64,
    /// How many of these came.
    proved: u64,
    answered: u64,
}

impl Reading {
    fn everything(&mut self, output: &mut Streaming, work: &mut Work<'_>, progress: Progress<'_>) -> io::Result<()> {
        for _ in 0..self.wanted {
            if !prove(output, work)? {
                return Err(ended_early());
            }
            self.proved += 1;
        }
        while let Next::Object = next(output, work, Missing::Broken, None)? {
            self.answered += 1;
            if self.answered.is_multiple_of(OBJECTS_BETWEEN_NEWS) {
                progress(&work.scanned);
            }
        }
        Ok(())
    }
}

/// Reads an answer that only proves that an object is there.
fn prove(output: &mut Streaming, work: &mut Work<'_>) -> io::Result<bool> {
    let mut line = Vec::new();
    if output.until(b'\n', HEADER_BYTES_MAX, &mut line)?.is_none() {
        return Ok(false);
    }
    match Header::read(&line) {
        Some(Header::Object { bytes, .. }) => {
            output.pieces(bytes, |_| ())?;
            end_of_object(output)?;
        }
        Some(Header::Missing { name }) => work
            .scanned
            .miss(format!("object {name}"), "a ref, or what is to be pushed, leads to it, and it is missing"),
        None => return Err(unreadable()),
    }
    Ok(true)
}

/// What came next.
enum Next {
    Object,
    End,
}

/// Reads and scans the next object.
fn next(
    output: &mut Streaming,
    work: &mut Work<'_>,
    missing: Missing,
    place: Option<&dyn Fn(&Oid) -> Place>,
) -> io::Result<Next> {
    let mut line = Vec::new();
    if output.until(b'\n', HEADER_BYTES_MAX, &mut line)?.is_none() {
        return Ok(Next::End);
    }
    match Header::read(&line) {
        Some(Header::Object { name, kind, bytes }) => {
            let at = || place.map_or_else(|| Place::object(kind, &name), |place| place(&name));
            body(output, work, kind, &|| name.clone(), bytes, &at)?;
            end_of_object(output)?;
        }
        Some(Header::Missing { name }) => match missing {
            Missing::Broken => work.scanned.miss(format!("object {name}"), "it is missing"),
            Missing::Promised => work.scanned.promised += 1,
        },
        None => return Err(unreadable()),
    }
    Ok(Next::Object)
}

/// Where the bytes of an object come from.
pub(super) trait Source {
    /// Shows so many bytes that come next, or more.
    fn ahead(&mut self, bytes: usize) -> io::Result<&[u8]>;
    /// Hands on exactly so many bytes, in pieces.
    fn pieces(&mut self, bytes: u64, each: impl FnMut(&[u8])) -> io::Result<()>;
}

impl Source for Streaming {
    fn ahead(&mut self, bytes: usize) -> io::Result<&[u8]> {
        Self::ahead(self, bytes)
    }

    fn pieces(&mut self, bytes: u64, each: impl FnMut(&[u8])) -> io::Result<()> {
        Self::pieces(self, bytes, each)
    }
}

/// An object that is there as a whole.
pub(super) struct Memory<'b>(pub(super) &'b [u8]);

impl Source for Memory<'_> {
    fn ahead(&mut self, _: usize) -> io::Result<&[u8]> {
        Ok(self.0)
    }

    fn pieces(&mut self, bytes: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(|_| ended_early())?;
        let (piece, rest) = self.0.split_at_checked(bytes).ok_or_else(ended_early)?;
        each(piece);
        self.0 = rest;
        Ok(())
    }
}

/// Scans an object whose bytes come next.
pub(super) fn body(
    output: &mut impl Source,
    work: &mut Work<'_>,
    kind: Kind,
    name: &dyn Fn() -> Oid,
    bytes: u64,
    place: &dyn Fn() -> Place,
) -> io::Result<()> {
    let packed = kind == Kind::Blob && {
        let seen = usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD_BYTES);
        looks_packed(output.ahead(seen)?.get(..seen).unwrap_or_default())
    };
    match work.look {
        Look::Thorough => {}
        Look::First { bytes_max } if !packed && work.scanned.bytes + bytes <= bytes_max => {}
        Look::First { .. } => return Err(left_to_a_closer_look()),
    }
    match (kind, packed) {
        (Kind::Blob, true) if bytes <= ARCHIVE_BYTES_MAX => {
            let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            output.pieces(bytes, |piece| {
                whole.extend_from_slice(piece);
                work.push(piece);
            })?;
            work.finish(place);
            work.unpack(None, &whole, place);
        }
        (Kind::Blob, true) => {
            let mut digest = Sha256::new();
            output.pieces(bytes, |piece| {
                digest.update(piece);
                work.push(piece);
            })?;
            work.finish(place);
            work.too_large(place(), digest);
        }
        (Kind::Blob, false) => {
            work.tail.begin(bytes);
            output.pieces(bytes, |piece| {
                work.tail.push(piece);
                work.push(piece);
            })?;
            work.finish(place);
            match (work.tail.looks_zipped(), work.look) {
                (false, _) => {}
                (true, Look::Thorough) => work.behind.push(Behind { object: name(), place: place() }),
                (true, Look::First { .. }) => return Err(left_to_a_closer_look()),
            }
        }
        (Kind::Tree | Kind::Commit | Kind::Tag, _) => {
            output.pieces(bytes, |piece| work.push(piece))?;
            work.finish(place);
        }
    }
    work.scanned.objects += 1;
    Ok(())
}

/// What git says before the next object; `None`: nothing that is understood.
pub(super) fn next_header(output: &mut Streaming) -> io::Result<Option<Header>> {
    let mut line = Vec::new();
    Ok(output.until(b'\n', HEADER_BYTES_MAX, &mut line)?.and_then(|()| Header::read(&line)))
}

/// Passes over what follows every object.
pub(super) fn end_of_object(output: &mut Streaming) -> io::Result<()> {
    if output.ahead(1)?.first() != Some(&b'\n') {
        return Err(ended_early());
    }
    output.pass(1);
    Ok(())
}

/// What `git cat-file --batch` answers with before an object.
pub(super) enum Header {
    Object { name: Oid, kind: Kind, bytes: u64 },
    Missing { name: String },
}

impl Header {
    fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [name, kind, bytes] => {
                Some(Self::Object { name: Oid::parse(name)?, kind: Kind::parse(kind)?, bytes: bytes.parse().ok()? })
            }
            [name, "missing"] => Some(Self::Missing { name: clean(name) }),
            _ => None,
        }
    }
}

/// Waits for both gits, and compares what was listed with what was scanned.
fn finish(
    repository: &Repository,
    (listing, through): (Listing, Through),
    read: io::Result<()>,
    walk: &Walk,
    reading: &Reading,
    work: Work<'_>,
) -> Result<Scanned, ScanFault> {
    let passed = through.finish(LISTING, READING, read);
    let mut scanned = work.scanned;
    let went_well = passed.wrong.is_empty();
    for error in passed.wrong {
        let error = match error {
            GitError::TooOld { .. } => return Err(error.into()),
            // A git that did nothing at all may have had nothing to work in.
            GitError::Failed { doing, said } if scanned.objects == 0 && listing == Listing::Objects => {
                repository.explained(doing, said)?
            }
            GitError::NotStarted { .. }
            | GitError::NoRepository { .. }
            | GitError::NoRemote { .. }
            | GitError::Unreachable { .. }
            | GitError::NotTaken { .. }
            | GitError::TimedOut { .. }
            | GitError::Stopped { .. }
            | GitError::Failed { .. } => error,
        };
        scanned.miss("objects", error.to_string());
    }
    if !went_well {
        return Ok(scanned);
    }
    let (lines, answered) = (passed.lines, reading.answered);
    match (passed.counted, listing) {
        // That it is all was proved by what was listed. Whoever pushes a commit changes something.
        (None, Listing::Changes) if lines > 0 => {}
        (Some(counted), _) if counted == lines => {}
        (Some(counted), _) => {
            scanned.miss("objects", format!("git says that it listed {counted} objects, and {lines} came"));
        }
        // Whoever lists nothing says nothing, and so does whoever was kept from listing.
        (None, Listing::Objects) if lines == 0 && is_nothing(repository, walk)? => {}
        (None, Listing::Objects | Listing::Changes) => {
            scanned.miss("objects", format!("git listed {lines} objects, and does not say whether these are all"));
        }
    }
    if lines != answered {
        scanned.miss("objects", format!("git listed {lines} objects, and {answered} were scanned"));
    }
    Ok(scanned)
}

/// Whether git says in so many words that there is nothing in a walk.
fn is_nothing(repository: &Repository, walk: &Walk) -> Result<bool, ScanFault> {
    let counted = walk.list(&["--count", "--objects", "--missing=allow-promisor"]);
    let answer = repository.git.ask("counting objects", &counted, walk.input())?;
    Ok(answer.is_ok() && answer.text() == "0")
}

/// Scans the names of all refs.
pub(crate) fn ref_names(repository: &Repository, scanner: &Scanner) -> Result<Scanned, ScanFault> {
    let mut output = repository.git.stream(&["for-each-ref", "--format=%(refname)"], Vec::new())?;
    let mut work = Work::new(scanner);
    let mut name = Vec::new();
    let read = loop {
        match output.until(b'\n', REF_NAME_BYTES_MAX, &mut name) {
            Ok(Some(())) => ref_name(&mut work, &name),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let wrong = match read {
        Ok(()) => output.finish("listing refs").err().map(|error| error.to_string()),
        Err(error) => {
            output.stop();
            Some(clean(&error.to_string()))
        }
    };
    if let Some(why) = wrong {
        work.scanned.miss("the names of refs", why);
    }
    Ok(work.scanned)
}

fn ref_name(work: &mut Work<'_>, name: &[u8]) {
    let scanner = work.scanner;
    work.text(name, || Place::of(Thing::RefName).path(scanner, name));
}

/// Scans one text that a push sends besides its objects, such as the name of a ref.
pub(crate) fn pushed_name(name: &[u8], scanner: &Scanner) -> Scanned {
    let mut work = Work::new(scanner);
    ref_name(&mut work, name);
    work.scanned
}

/// How many objects of a range a partial clone left with its remote.
pub(crate) fn promised(repository: &Repository, range: &Range) -> Result<u64, ScanFault> {
    if !repository.is_partial()? {
        return Ok(0);
    }
    let walk = Walk::of(repository, range)?;
    let arguments = walk.list(&["--objects", "--no-object-names", "--missing=print"]);
    let mut output = repository.git.stream(&arguments, walk.input())?;
    let (mut count, mut line) = (0, Vec::new());
    // What it cannot tell here was told by the scan.
    while let Ok(Some(())) = output.until(b'\n', HEADER_BYTES_MAX, &mut line) {
        count += u64::from(line.first() == Some(&b'?'));
    }
    output.finish("counting objects")?;
    Ok(count)
}

fn left_to_a_closer_look() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "it is left to a closer look")
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read")
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "its output ended too early")
}
