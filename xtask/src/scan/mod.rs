//! Looks for keys in everything that a repository holds: in the objects of a range or of all history, and in the
//! working tree.
//!
//! [`license_core::leaks`] decides what a leak is; this reads. What could not be read is never taken for clean: it is
//! listed as incomplete, and whoever asked must say so.

use std::time::Duration;

use license_core::leaks::{Leak, Scanner, Stream, Tally};
use sha2::{Digest as _, Sha256};

pub(crate) mod allowed;
pub(crate) mod archive;
mod behind;
pub(crate) mod main_tree;
pub(crate) mod objects;
pub(crate) mod packs;
pub(crate) mod place;
pub(crate) mod repository;
pub(crate) mod sarif;
pub(crate) mod shallow;
pub(crate) mod told;
pub(crate) mod watch;
pub(crate) mod worktree;

use crate::{
    git::{self, GitError, Oid},
    scan::place::Place,
};

/// How many findings are kept. More are counted only: somebody has to begin with the first. Secrets that are configured or
/// known are kept before what has a form or matches a pattern.
pub(crate) const FINDINGS_MAX: usize = 1_000;

/// How many archives are kept that were not looked into, or not to their end.
const UNSCANNED_MAX: usize = 5_000;

/// How many things that could not be scanned are listed. More are counted only.
const INCOMPLETE_MAX: usize = 100;

/// What a scan came to.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// How many objects, files and names were scanned.
    pub(crate) objects: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
    /// What was found, in the order in which it was found.
    pub(crate) findings: Vec<Finding>,
    /// How many findings there are besides those.
    pub(crate) more: u64,
    /// How many leaks are allowed, by their line or by license.toml.
    pub(crate) allowed: u64,
    /// What could not be scanned. Archives are there only once it is known that they are not allowed.
    pub(crate) incomplete: Vec<Incomplete>,
    /// The archives that were not looked into, or not to their end.
    pub(crate) unscanned: Vec<Unscanned>,
    /// How many objects a partial clone left with its remote: they are not here, so no push sends them.
    pub(crate) promised: u64,
    /// What is worth a word and changes nothing.
    pub(crate) notes: Vec<String>,
}

impl Scanned {
    /// Takes over what another scan of the same question came to.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { objects, bytes, findings, more, allowed, incomplete, unscanned, promised, notes } = other;
        self.objects += objects;
        self.bytes += bytes;
        self.more += more;
        self.allowed += allowed;
        self.promised += promised;
        self.notes.extend(notes);
        for finding in findings {
            self.found(finding);
        }
        for one in incomplete {
            self.miss(one.what, one.why);
        }
        for one in unscanned {
            self.left_out(one);
        }
    }

    /// One more archive that was not looked into.
    fn left_out(&mut self, unscanned: Unscanned) {
        if self.unscanned.len() < UNSCANNED_MAX {
            self.unscanned.push(unscanned);
        } else {
            self.miss("archives", format!("more than {UNSCANNED_MAX} were not looked into, or not to their end"));
        }
    }

    /// One more finding. Over the limit, what only looks like a secret gives way to one that is known to be one.
    fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            return self.findings.push(finding);
        }
        self.more += 1;
        if finding.leak.what.is_known_for_certain()
            && let Some(last) = self.findings.iter().rposition(|other| !other.leak.what.is_known_for_certain())
        {
            self.findings.remove(last);
            self.findings.push(finding);
        }
    }

    /// Keeps at most so many findings, all known for certain, and gives how many other leaks there were.
    fn keep_certain(&mut self, findings_max: usize) -> u64 {
        let all = self.leaks();
        self.findings.retain(|finding| finding.leak.what.is_known_for_certain());
        self.findings.truncate(findings_max);
        self.more = 0;
        all - self.leaks()
    }

    /// Something that could not be scanned.
    pub(crate) fn miss(&mut self, what: impl Into<String>, why: impl Into<String>) {
        if self.incomplete.len() < INCOMPLETE_MAX {
            self.incomplete.push(Incomplete { what: what.into(), why: why.into() });
        }
    }

    /// Whether there is nothing to say about it.
    fn is_plainly_clean(&self) -> bool {
        let Self { objects: _, bytes: _, findings, more, allowed: _, incomplete, unscanned, promised, notes } = self;
        let are_none = findings.is_empty() && incomplete.is_empty() && unscanned.is_empty() && notes.is_empty();
        are_none && [*more, *promised] == [0; 2]
    }

    /// How many leaks there are.
    pub(crate) fn leaks(&self) -> u64 {
        self.findings.len() as u64 + self.more
    }

    /// Takes what one object came to.
    fn take(&mut self, leaks: &mut Vec<Leak>, tally: Tally, place: impl Fn() -> Place) {
        self.allowed += tally.allowed;
        self.more += tally.leaks.saturating_sub(leaks.len() as u64);
        for leak in leaks.drain(..) {
            self.found(Finding { leak, place: place() });
        }
    }
}

/// A leak and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// What was found.
    pub(crate) leak: Leak,
    /// Where.
    pub(crate) place: Place,
}

/// An archive that was not looked into, or not to its end. Its bytes were scanned as they are.
#[derive(Debug, Clone)]
pub(crate) struct Unscanned {
    /// Where it is.
    pub(crate) place: Place,
    /// Why it was not.
    pub(crate) why: String,
    /// The SHA-256 of its bytes.
    pub(crate) sha256: String,
    /// What it means.
    pub(crate) weight: archive::Weight,
    /// The reason in license.toml, where it is allowed.
    pub(crate) allowed: Option<String>,
}

/// Something that could not be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incomplete {
    /// What.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

/// How closely it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// At all of it, and into archives.
    Thorough,
    /// At no more than so many bytes, and at no archive: whoever meets more has to look again.
    First {
        /// The bytes.
        bytes_max: u64,
    },
}

/// One scan after the other, with one stream and one list for all of them.
struct Work<'s> {
    scanner: &'s Scanner,
    stream: Stream<'s>,
    leaks: Vec<Leak>,
    scanned: Scanned,
    tail: archive::Tail,
    /// How long all archives that are still to come may take, where there is a limit.
    archives_time: Option<Duration>,
    look: Look,
    /// Blobs that end as a zip does: they are read once more.
    behind: Vec<behind::Behind>,
}

impl<'s> Work<'s> {
    fn new(scanner: &'s Scanner) -> Self {
        Self {
            scanner,
            stream: scanner.stream(),
            leaks: Vec::new(),
            scanned: Scanned::default(),
            tail: archive::Tail::default(),
            archives_time: None,
            look: Look::Thorough,
            behind: Vec::new(),
        }
    }

    /// The next bytes of what is being scanned.
    fn push(&mut self, piece: &[u8]) {
        self.scanned.bytes += piece.len() as u64;
        self.stream.push(piece, &mut self.leaks);
    }

    /// What is being scanned ends here, and is at this place.
    fn finish(&mut self, place: impl Fn() -> Place) {
        let tally = self.stream.finish(&mut self.leaks);
        self.scanned.take(&mut self.leaks, tally, place);
    }

    /// A short text that is there as a whole, such as a name. It is no object of its own.
    fn text(&mut self, text: &[u8], place: impl Fn() -> Place) {
        self.stream.push(text, &mut self.leaks);
        self.finish(place);
    }

    /// Looks into an archive whose bytes were scanned already.
    fn unpack(&mut self, name: Option<&str>, whole: &[u8], place: &dyn Fn() -> Place) {
        let limits = archive::Limits { time_of_all: self.archives_time, ..archive::Limits::default() };
        let began = archive::worked();
        let (stream, leaks, outcome, scanner) = (&mut self.stream, &mut self.leaks, &mut self.scanned, self.scanner);
        let mut each = |inside: &str, piece: &[u8], part: archive::Part| {
            stream.push(piece, leaks);
            match part {
                archive::Part::More => {}
                archive::Part::Name | archive::Part::Last => {
                    let tally = stream.finish(leaks);
                    if tally != Tally::default() {
                        let inside = place::shown_path(scanner, inside.as_bytes());
                        outcome.take(leaks, tally, || place().inside(inside.clone()));
                    }
                }
            }
        };
        let unpacked = archive::unpack(name, whole, &limits, &mut each);
        if let Some(left) = &mut self.archives_time {
            *left = left.saturating_sub(archive::worked().saturating_sub(began));
        }
        match unpacked {
            archive::Unpacked::NotAnArchive | archive::Unpacked::Done => {}
            archive::Unpacked::Refused { why, weight } => {
                // It has names from inside.
                let why = place::shown_path(scanner, why.as_bytes());
                let sha256 = digits(Sha256::digest(whole));
                self.scanned.left_out(Unscanned { place: place(), why, sha256, weight, allowed: None });
            }
        }
    }

    /// An archive that is too large to be looked into, with the digest of its bytes, which were scanned already.
    fn too_large(&mut self, place: Place, digest: Sha256) {
        let why = format!("is an archive of more than {} MiB", ARCHIVE_BYTES_MAX / (1024 * 1024));
        let (sha256, weight) = (digits(digest.finalize()), archive::Weight::Stops);
        self.scanned.left_out(Unscanned { place, why, sha256, weight, allowed: None });
    }
}

/// The largest archive that is looked into, in bytes: it is held as a whole.
const ARCHIVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn digits(digest: impl IntoIterator<Item = u8>) -> String {
    digest.into_iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

/// Why nothing could be scanned.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum ScanFault {
    /// There is no git here.
    #[error("git cannot be started: {why}")]
    #[diagnostic(help("install git {} or newer, and see that it is in PATH", git::OLDEST))]
    NoGit {
        /// What the operating system said.
        why: String,
    },
    /// It does not know an option.
    #[error("this git is too old to be scanned with: {said}")]
    #[diagnostic(help("install git {} or newer", git::OLDEST))]
    TooOld {
        /// What it said.
        said: String,
    },
    /// There is no repository, or git does not want to work in it.
    #[error("nothing was scanned: `{directory}` is in no git repository: {said}")]
    #[diagnostic(help("run the command in the repository that is to be scanned"))]
    NoRepository {
        /// Where it was looked for.
        directory: String,
        /// What git said.
        said: String,
    },
    /// There is one, and git does not want to work in it.
    #[error(
        "nothing was scanned: git does not trust the repository that `{directory}` is in: its files belong to somebody else"
    )]
    #[diagnostic(help("if you trust it: `{advice}`"))]
    Distrusted {
        /// Where.
        directory: String,
        /// What git says to do.
        advice: String,
    },
    /// A bare repository has no working tree.
    #[error("nothing was scanned: `{directory}` is in a bare repository, which has no working tree")]
    #[diagnostic(help("scan what it holds with `--history`, or with `--range A..B`"))]
    NoTree {
        /// The directory.
        directory: String,
    },
    /// The range is none.
    #[error("`{range}` is no range of commits here: {said}")]
    #[diagnostic(help("write two commits, as in `origin/main..HEAD`; `git log RANGE` shows what is in a range"))]
    Range {
        /// As it was written.
        range: String,
        /// What git said.
        said: String,
    },
    /// The scanner cannot be made.
    #[error("nothing was scanned: {0}")]
    #[diagnostic(help("look for less: see `[leaks]` in license.toml"))]
    Watch(#[from] license_core::leaks::ScannerError),
    /// Anything else that git did not do.
    #[error("nothing was scanned: {0}")]
    #[diagnostic(help("see what `git fsck` says, and run the command again"))]
    Git(GitError),
}

impl ScanFault {
    /// The same with the texts of others as they may be shown.
    pub(crate) fn hidden(self, hide: &dyn Fn(&str) -> String) -> Self {
        match self {
            Self::NoGit { why } => Self::NoGit { why: hide(&why) },
            Self::TooOld { said } => Self::TooOld { said: hide(&said) },
            Self::NoRepository { directory, said } => Self::NoRepository { directory, said: hide(&said) },
            Self::Range { range, said } => Self::Range { range: hide(&range), said: hide(&said) },
            Self::Git(GitError::Failed { doing, said }) => Self::Git(GitError::Failed { doing, said: hide(&said) }),
            Self::Distrusted { directory, advice } => Self::Distrusted { directory, advice: hide(&advice) },
            same @ (Self::NoTree { .. } | Self::Watch(_) | Self::Git(_)) => same,
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> crate::exit::Exit {
        match self {
            Self::Range { .. } | Self::NoTree { .. } => crate::exit::Exit::Usage,
            Self::Watch(_) => crate::exit::Exit::Config,
            Self::NoGit { .. }
            | Self::TooOld { .. }
            | Self::NoRepository { .. }
            | Self::Distrusted { .. }
            | Self::Git(_) => crate::exit::Exit::Incomplete,
        }
    }

    /// The stable code that stands in JSON.
    pub(crate) fn stable_code(&self) -> &'static str {
        match self {
            Self::NoGit { .. } => "no_git",
            Self::TooOld { .. } => "git_too_old",
            Self::NoRepository { .. } => "no_repository",
            Self::Distrusted { .. } => "not_trusted",
            Self::NoTree { .. } => "no_working_tree",
            Self::Range { .. } => "no_range",
            Self::Watch(_) => "too_much_to_look_for",
            Self::Git(_) => "git",
        }
    }
}

impl From<GitError> for ScanFault {
    fn from(error: GitError) -> Self {
        match error {
            GitError::NotStarted { why } => Self::NoGit { why },
            GitError::TooOld { said } => Self::TooOld { said },
            GitError::NoRepository { directory, said } => {
                let directory = directory.display().to_string();
                match git::advice_to_trust(&said).map(str::to_owned) {
                    Some(advice) => Self::Distrusted { directory, advice },
                    None => Self::NoRepository { directory, said },
                }
            }
            other @ (GitError::NoRemote { .. }
            | GitError::Unreachable { .. }
            | GitError::NotTaken { .. }
            | GitError::TimedOut { .. }
            | GitError::Stopped { .. }
            | GitError::Failed { .. }) => Self::Git(other),
        }
    }
}

/// How far a scan has come, told now and then.
pub(crate) type Progress<'p> = &'p mut dyn FnMut(&Scanned);

/// The short form of an object's name, for people.
pub(crate) fn short(oid: &Oid) -> &str {
    oid.as_str().get(..SHORT_DIGITS).unwrap_or_default()
}

/// How many digits of an object's name people need.
const SHORT_DIGITS: usize = 12;

#[cfg(test)]
mod tests;
