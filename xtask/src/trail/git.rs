//! The trail in git: one commit per entry on `refs/license/trail/ENVIRONMENT` of a remote.
//!
//! The message of a commit is the entry's line, its tree is empty, its parent is the commit of the entry before. The
//! remote is the trail: an entry counts once the remote's ref holds it. The ref of the same name in this repository
//! is only a memory of how far the trail was seen here, by which a history that was pushed over it is found.
//!
//! The fields of a commit that are not the message are not part of an entry and are never read back, but for the parent.

use std::{path::PathBuf, thread, time::Duration};

use license_core::{
    chain::{self, ChainError, Entry, Head, LineHash},
    rotation::ClaimEvent,
    trail::{CHECKPOINT_ENTRIES, Event, Record},
};
use serde::de::DeserializeOwned;

use super::file::{Replay, is_checkpoint};
use crate::{
    git::{Contains, Depth, Git, GitError, History, Kind, Oid, Pushed, Shows, Urgency},
    log::{LINE_BYTES_MAX, LogError, Position, Tail},
    signals::Stop,
};

/// What the commits of a trail are by. No user's address is in it.
const IDENT: &str = "license-trail <license-trail@invalid>";
/// The longest commit of ours, in bytes: a line, and what git writes above it.
const COMMIT_BYTES_MAX: u64 = LINE_BYTES_MAX + 1024;
/// How many commits are read at first to find the newest checkpoint, and fetched into a shallow repository.
const RECENT_COMMITS: u64 = CHECKPOINT_ENTRIES + 1;
/// How much further each next look for a checkpoint goes.
const RECENT_GROWTH: u64 = 8;
/// How often the remote's ref is looked at after the remote said no: of two that push at once, one may hear the no
/// before the other one's entry is there to be seen.
const LOOKS_AFTER_NO: u32 = 10;
/// How often an entry is pushed where the remote cannot be reached.
const PUSHES: u32 = 3;
/// The pause between two such pushes.
const PUSH_PAUSE: Duration = Duration::from_millis(500);
/// The pause between two such looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// One environment's trail on a remote. Every append is refused if somebody else appended since the last look.
#[derive(Debug, Clone)]
pub(crate) struct GitTrail {
    git: Git,
    remote: String,
    reference: String,
}

/// A commit of a trail.
#[derive(Debug)]
struct Link {
    parent: Option<Oid>,
    /// The entry's line, without a line break.
    line: Vec<u8>,
}

/// How far back a look at the remote has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the beginning.
    Beginning,
    /// This many commits.
    Newest(u64),
}

/// What became of a commit that may have been pushed.
enum Fate {
    Pushed,
    NotPushed,
    /// Somebody else's entry stands where ours would.
    Overtaken,
}

impl GitTrail {
    /// The trail of an environment on a remote of the project's repository.
    pub(crate) fn new(git: Git, remote: String, environment: &str) -> Self {
        Self { git, remote, reference: format!("refs/license/trail/{environment}") }
    }

    /// The ref and the remote.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.remote, self.reference)
    }

    /// Where it is kept, in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("`{}` of `{}`", self.reference, self.remote)
    }

    /// Reads and checks every entry. A trail whose ref does not exist has none.
    pub(crate) fn read(&self) -> Result<Replay, LogError> {
        let mut entries = Vec::new();
        let (position, tail) = self.scan(|entry, _| entries.push(entry))?;
        Ok(Replay { entries, position, tail })
    }

    /// Reads and checks the entries from the newest checkpoint on; every entry where there is none. What is before the
    /// checkpoint is not checked, and a shallow repository does not get it.
    pub(crate) fn read_recent(&self) -> Result<Replay, LogError> {
        let empty = Replay { entries: Vec::new(), position: Position::START, tail: Tail::Whole };
        let Some(tip) = self.look(Reach::Newest(RECENT_COMMITS))? else { return Ok(empty) };
        let mut count = RECENT_COMMITS;
        // Each turn looks further back, so that the trail's beginning bounds them.
        loop {
            let names = self.git.newest(&tip, count)?;
            let links = self.links(&names)?;
            let newest = links.iter().position(|link| is_checkpoint(&link.line));
            let begins = links.last().is_some_and(|link| link.parent.is_none());
            match newest {
                Some(at) => return self.replay(&links[..=at], links.get(at + 1)),
                None if begins => return self.replay(&links, None),
                None => {}
            }
            count = count.saturating_mul(RECENT_GROWTH);
            // Where the history of a shallow repository ended, there is more of it now.
            if self.git.history()? == History::Shallow {
                self.git.fetch(&self.remote, &self.reference, Depth::Newest(count))?;
            }
            if self.git.newest(&tip, count)?.len() <= names.len() {
                return Err(self.no_entry(names.last().unwrap_or(&tip), "the commit before it is missing"));
            }
        }
    }

    /// Reads and checks the entries that were seen here before, from the newest checkpoint on. Asks nobody: what others
    /// wrote since is not in them.
    pub(crate) fn read_seen(&self) -> Result<Replay, LogError> {
        let empty = Replay { entries: Vec::new(), position: Position::START, tail: Tail::Whole };
        let Some(tip) = self.git.local(&self.reference)? else { return Ok(empty) };
        for count in [RECENT_COMMITS, u64::from(u32::MAX)] {
            let links = self.links(&self.git.newest(&tip, count)?)?;
            if let Some(at) = links.iter().position(|link| is_checkpoint(&link.line)) {
                return self.replay(&links[..=at], links.get(at + 1));
            }
            if links.last().is_some_and(|link| link.parent.is_none()) || count > RECENT_COMMITS {
                return self.replay(&links, None);
            }
        }
        Ok(empty)
    }

    /// Checks every entry and hands it on in a form of the caller's choice, with the head that it makes.
    /// After an error, what was handed on is the part of the trail that is in order.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        mut each: impl FnMut(Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        self.scan_lines(|_, entry, head| each(entry, head))
    }

    /// Like [`GitTrail::scan`], and hands each line on as it stands there.
    pub(crate) fn scan_lines<T: DeserializeOwned>(
        &self,
        mut each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        let Some(tip) = self.look(Reach::Beginning)? else { return Ok((Position::START, Tail::Whole)) };
        let (mut head, mut before) = (Head::EMPTY, None);
        self.git.objects(Kind::Commit, &self.git.history_of(&tip)?, COMMIT_BYTES_MAX, |name, commit| {
            let link = self.link(name, commit)?;
            if link.parent != before {
                return Err(self.no_entry(name, "the commit before it is missing"));
            }
            let (entry, next) = self.entry(&head, &link)?;
            (head, before) = (next, Some(name.clone()));
            each(&link.line, entry, next);
            Ok(())
        })?;
        Ok((position(head), Tail::Whole))
    }

    /// Appends an entry if the trail still ends at `expected`.
    pub(crate) fn append(&self, expected: Position, record: &Record) -> Result<Position, LogError> {
        let (line, head) = self.line(expected, record)?;
        let before = self.commit_of(expected.head)?;
        let commit = self.commit(before.as_ref(), &line, record.at.as_second())?;
        // Who has not got the environment yet has done nothing in it.
        let is_claim = matches!(&record.event, Event::Claim(ClaimEvent::Claimed { .. }));
        let urgency = if is_claim { Urgency::CanWait } else { Urgency::MustArrive };
        for tries_left in (0..PUSHES).rev() {
            let pushed = self.git.push_for(urgency, &self.remote, &commit, &self.reference, before.as_ref());
            let ended = match pushed {
                Ok(Pushed::Done) => Ok(()),
                Ok(Pushed::Rejected { said }) => self.after_no(&commit, before.as_ref(), said),
                Err(error) => self.after_silence(&commit, before.as_ref(), head, error),
            };
            match ended {
                // A connection that was refused or lost: the next one may not be, and nothing arrived.
                Err(LogError::Git(GitTrailError::Git(GitError::Unreachable { .. }))) if tries_left > 0 => {
                    thread::sleep(PUSH_PAUSE);
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.remember(&commit, before.as_ref())?;
        Ok(position(head))
    }

    /// The line that follows a position, and the head that it makes.
    fn line(&self, expected: Position, record: &Record) -> Result<(String, Head), LogError> {
        let unwritable = |source| LogError::Unwritable { path: self.path(), source };
        let (line, head) = chain::next_line(&expected.head, record).map_err(unwritable)?;
        let bytes = line.len() as u64 + 1;
        if bytes > LINE_BYTES_MAX {
            let why = format!("it would have {bytes} bytes, and {LINE_BYTES_MAX} are allowed");
            return Err(unwritable(ChainError::Unwritable { seq: head.seq, why }));
        }
        Ok((line, head))
    }

    /// The commit at which a trail ends that has this head; none for the empty one. Asks the remote only if the trail
    /// was not seen to end there.
    fn commit_of(&self, head: Head) -> Result<Option<Oid>, LogError> {
        let seen = self.git.local(&self.reference)?;
        if self.ends_at(seen.as_ref(), head)? {
            return Ok(seen);
        }
        let tip = self.look(Reach::Newest(RECENT_COMMITS))?;
        if self.ends_at(tip.as_ref(), head)? { Ok(tip) } else { Err(self.moved()) }
    }

    fn ends_at(&self, tip: Option<&Oid>, head: Head) -> Result<bool, LogError> {
        let Some(tip) = tip else { return Ok(head == Head::EMPTY) };
        let links = self.links(std::slice::from_ref(tip))?;
        Ok(links.first().is_some_and(|link| LineHash::of(&link.line) == head.hash))
    }

    /// Writes the commit of an entry into this repository. Nobody sees it before it is pushed.
    fn commit(&self, before: Option<&Oid>, line: &str, at_secs: i64) -> Result<Oid, LogError> {
        let tree = self.git.write(Kind::Tree, Vec::new())?;
        Ok(self.git.write(Kind::Commit, commit_text(&tree, before, IDENT, at_secs, line).into_bytes())?)
    }

    /// The remote said no.
    fn after_no(&self, commit: &Oid, before: Option<&Oid>, said: String) -> Result<(), LogError> {
        for look in 0..LOOKS_AFTER_NO {
            match self.fate(commit, before)? {
                Fate::Pushed => return Ok(()),
                Fate::Overtaken => return Err(self.moved()),
                Fate::NotPushed if look + 1 < LOOKS_AFTER_NO && is_about_a_race(&said) => thread::sleep(LOOK_PAUSE),
                Fate::NotPushed => break,
            }
        }
        Err(GitTrailError::Refused { place: self.describe(), said }.into())
    }

    /// The remote said nothing: only it can tell what happened.
    fn after_silence(&self, commit: &Oid, before: Option<&Oid>, head: Head, error: GitError) -> Result<(), LogError> {
        match self.fate(commit, before) {
            Ok(Fate::Pushed) => Ok(()),
            Ok(Fate::Overtaken) => Err(self.moved()),
            Ok(Fate::NotPushed) if !error.may_still_happen() => Err(error.into()),
            Ok(Fate::NotPushed) | Err(LogError::Git(GitTrailError::Git(_))) => {
                Err(GitTrailError::NotKnown { place: self.describe(), seq: head.seq, source: error }.into())
            }
            Err(other) => Err(other),
        }
    }

    fn fate(&self, commit: &Oid, before: Option<&Oid>) -> Result<Fate, LogError> {
        let tip = self.git.tip(&self.remote, &self.reference)?;
        if tip.as_ref() == Some(commit) {
            return Ok(Fate::Pushed);
        }
        if tip.as_ref() == before {
            return Ok(Fate::NotPushed);
        }
        // Somebody else's entry is there: after ours, or in its place.
        let Some(tip) = self.look(Reach::Newest(RECENT_COMMITS))? else { return Ok(Fate::Overtaken) };
        match self.git.contains(&tip, commit)? {
            Contains::Yes => Ok(Fate::Pushed),
            Contains::No => Ok(Fate::Overtaken),
        }
    }
}

// Looking at the remote.
impl GitTrail {
    /// Where the trail ends now, with so much of it fetched. It is an error if the trail does not contain any more what
    /// was seen of it here.
    fn look(&self, reach: Reach) -> Result<Option<Oid>, LogError> {
        let seen = self.git.local(&self.reference)?;
        let tip = self.git.tip(&self.remote, &self.reference)?;
        match (seen, tip) {
            (None, None) => Ok(None),
            (Some(seen), None) => Err(self.gone(&seen)?),
            (Some(seen), Some(tip)) if seen == tip => {
                self.reach(&tip, reach)?;
                Ok(Some(tip))
            }
            (seen, Some(tip)) => {
                self.fetch(reach)?;
                if let Some(seen) = &seen {
                    self.check_follows(seen, &tip)?;
                }
                self.reach(&tip, reach)?;
                self.remember(&tip, seen.as_ref())?;
                Ok(Some(tip))
            }
        }
    }

    /// Fetches what a look needs: a shallow repository stays shallow, and its cost flat.
    fn fetch(&self, reach: Reach) -> Result<(), LogError> {
        let depth = match (self.git.history()?, reach) {
            (History::Whole, Reach::Beginning | Reach::Newest(_)) => Depth::Missing,
            (History::Shallow, Reach::Beginning) => Depth::Everything,
            (History::Shallow, Reach::Newest(commits)) => Depth::Newest(commits),
        };
        Ok(self.git.fetch(&self.remote, &self.reference, depth)?)
    }

    /// Makes sure that as much of the trail is here as somebody wants to read.
    fn reach(&self, tip: &Oid, reach: Reach) -> Result<(), LogError> {
        match (reach, self.git.history()?) {
            (Reach::Newest(_), _) | (Reach::Beginning, History::Whole) => Ok(()),
            (Reach::Beginning, History::Shallow) => {
                let names = self.git.history_of(tip)?;
                let first = self.links(&names[..names.len().min(1)])?;
                if first.iter().all(|link| link.parent.is_none()) { Ok(()) } else { self.fetch(Reach::Beginning) }
            }
        }
    }

    /// Refuses a trail that does not contain what was seen of it.
    fn check_follows(&self, seen: &Oid, tip: &Oid) -> Result<(), LogError> {
        if self.git.contains(tip, seen)? == Contains::Yes {
            return Ok(());
        }
        // In a shallow repository it may only be out of reach.
        if self.git.history()? == History::Shallow {
            self.git.fetch(&self.remote, &self.reference, Depth::Everything)?;
            if self.git.contains(tip, seen)? == Contains::Yes {
                return Ok(());
            }
        }
        Err(self.rewritten(seen))
    }

    /// Keeps in mind how far the trail was seen.
    fn remember(&self, tip: &Oid, seen: Option<&Oid>) -> Result<(), LogError> {
        let Err(error) = self.git.set_local(&self.reference, tip, seen) else { return Ok(()) };
        // Another command of this repository saw more of it, and keeps that in mind.
        if self.git.local(&self.reference)?.as_ref() == seen { Err(error.into()) } else { Ok(()) }
    }
}

// Reading commits.
impl GitTrail {
    fn links(&self, names: &[Oid]) -> Result<Vec<Link>, LogError> {
        let mut links = Vec::new();
        self.git.objects(Kind::Commit, names, COMMIT_BYTES_MAX, |name, commit| {
            self.link(name, commit).map(|link| links.push(link))
        })?;
        Ok(links)
    }

    fn link(&self, name: &Oid, commit: &[u8]) -> Result<Link, LogError> {
        Link::read(commit).map_err(|why| self.no_entry(name, why))
    }

    fn entry<T: DeserializeOwned>(&self, head: &Head, link: &Link) -> Result<(Entry<T>, Head), LogError> {
        chain::read_line(head, &link.line)
            .map_err(|source| GitTrailError::Untrusted { place: self.describe(), source }.into())
    }

    /// Checks links that are given newest first, and the place of the oldest: it follows `before`, or begins the trail,
    /// or stands where it says when the link before it is out of reach.
    fn replay(&self, links: &[Link], before: Option<&Link>) -> Result<Replay, LogError> {
        let mut head = match (links.last(), before) {
            (Some(oldest), Some(before)) => Head { hash: LineHash::of(&before.line), ..place_of(&oldest.line) },
            (Some(oldest), None) if oldest.parent.is_some() => place_of(&oldest.line),
            (Some(_) | None, None) | (None, Some(_)) => Head::EMPTY,
        };
        let mut entries = Vec::new();
        for link in links.iter().rev() {
            let (entry, next) = self.entry(&head, link)?;
            entries.push(entry);
            head = next;
        }
        Ok(Replay { entries, position: position(head), tail: Tail::Whole })
    }
}

// The errors.
impl GitTrail {
    /// Names the trail where other logs name their file.
    fn path(&self) -> PathBuf {
        format!("{} {}", self.remote, self.reference).into()
    }

    fn moved(&self) -> LogError {
        LogError::Moved { path: self.path() }
    }

    fn rewritten(&self, seen: &Oid) -> LogError {
        let (reference, remote) = (self.reference.clone(), self.remote.clone());
        GitTrailError::Rewritten { place: self.describe(), reference, remote, seen: seen.to_string() }.into()
    }

    /// The remote shows no trail any more. One that shows nothing at all may be no repository: a page of a proxy that wants
    /// a login reads like an empty one.
    fn gone(&self, seen: &Oid) -> Result<LogError, LogError> {
        Ok(match self.git.shows(&self.remote)? {
            Shows::Something => self.rewritten(seen),
            Shows::Nothing => {
                let (reference, remote) = (self.reference.clone(), self.remote.clone());
                GitTrailError::Empty { place: self.describe(), reference, remote }.into()
            }
        })
    }

    fn no_entry(&self, name: &Oid, why: &'static str) -> LogError {
        GitTrailError::NoEntry { place: self.describe(), commit: name.to_string(), why }.into()
    }
}

impl Link {
    /// Reads a commit as git keeps it: headers, an empty line, the message.
    fn read(commit: &[u8]) -> Result<Self, &'static str> {
        const END: &[u8] = b"\n\n";
        let end = commit.windows(END.len()).position(|bytes| bytes == END).ok_or("it has no message")?;
        let headers = std::str::from_utf8(&commit[..end]).map_err(|_| "its headers are not text")?;
        let line = commit[end + END.len()..].strip_suffix(b"\n").ok_or("its message has no line break")?;
        if line.contains(&b'\n') {
            return Err("its message has more than one line");
        }
        let mut parents = headers.lines().filter_map(|header| header.strip_prefix("parent "));
        let parent = match (parents.next(), parents.next()) {
            (None, _) => None,
            (Some(name), None) => Some(Oid::parse(name).ok_or("its parent cannot be read")?),
            (Some(_), Some(_)) => return Err("it joins two histories"),
        };
        Ok(Self { parent, line: line.to_owned() })
    }
}

/// A commit as git keeps it.
pub(super) fn commit_text(tree: &Oid, parent: Option<&Oid>, ident: &str, at_secs: i64, message: &str) -> String {
    let parent = parent.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
    // git has no time before 1970.
    let at_secs = at_secs.max(0);
    format!("tree {tree}\n{parent}author {ident} {at_secs} +0000\ncommitter {ident} {at_secs} +0000\n\n{message}\n")
}

/// Whether a no may come from a push that is still under way.
pub(super) fn is_about_a_race(said: &str) -> bool {
    const WORDS: [&str; 6] =
        ["lock", "stale info", "failed to update", "already exists", "but expected", "incorrect old value"];
    WORDS.iter().any(|words| said.contains(words))
}

/// The head that a line says it follows. What is no line of ours is told when it is read.
fn place_of(line: &[u8]) -> Head {
    #[derive(serde::Deserialize)]
    struct Place {
        seq: u64,
        prev: LineHash,
    }
    serde_json::from_slice(line)
        .map_or(Head::EMPTY, |place: Place| Head { seq: place.seq.saturating_sub(1), hash: place.prev })
}

/// A position in git: the number of commits, and the head.
fn position(head: Head) -> Position {
    Position { offset: head.seq, head }
}

/// Why a trail in git cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum GitTrailError {
    /// A line was changed or lost, or is not readable.
    #[error("{place} cannot be trusted: {source}")]
    #[diagnostic(help(
        "nothing was written; find out who pushed to it, and compare it with another clone's before you go on"
    ))]
    Untrusted {
        /// Where the trail is.
        place: String,
        /// What is wrong.
        source: ChainError,
    },
    /// A commit that this program did not write.
    #[error("{place} cannot be trusted: commit {commit} is no entry, {why}")]
    #[diagnostic(help(
        "nothing was written; find out who pushed to it, and compare it with another clone's before you go on"
    ))]
    NoEntry {
        /// Where the trail is.
        place: String,
        /// The commit.
        commit: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The remote has another history than before, or none.
    #[error("{place} cannot be trusted: it does not contain commit {seen} any more, which was read here before")]
    #[diagnostic(help(
        "nothing was written; find out who pushed over it or deleted it. `git log {reference}` shows what was read here, and \
        `git push --force {remote} {reference}` puts that back; `git update-ref -d {reference}` accepts what the remote has"
    ))]
    Rewritten {
        /// Where the trail is.
        place: String,
        /// The ref.
        reference: String,
        /// The remote.
        remote: String,
        /// The newest commit that was seen.
        seen: String,
    },
    /// The remote shows no ref of any kind, and had the trail.
    #[error("{place} was read here before, and the remote shows nothing at all now: no branch, no tag, no trail")]
    #[diagnostic(help(
        "nothing was written; `git ls-remote {remote}` must show the remote's branches: a proxy that wants a login, or another \
        address, looks like an empty repository. If it was emptied, find out by whom: `git log {reference}` shows what was read here"
    ))]
    Empty {
        /// Where the trail is.
        place: String,
        /// The ref.
        reference: String,
        /// The remote.
        remote: String,
    },
    /// The remote does not take entries from us.
    #[error("nothing was appended to {place}: the remote said no: {said}")]
    #[diagnostic(help("give whoever runs this the right to push to `refs/license/*`, and run the command again"))]
    Refused {
        /// Where the trail is.
        place: String,
        /// What it said.
        said: String,
    },
    /// The connection was lost while an entry was pushed, and the remote cannot be asked about it; or nobody waited for
    /// the push any longer, which may still arrive.
    #[error("it is not known whether entry {seq} was appended to {place}: {source}")]
    #[diagnostic(help(
        "when the remote can be reached again, run the command again: the trail tells what was recorded"
    ))]
    NotKnown {
        /// Where the trail is.
        place: String,
        /// The entry's number.
        seq: u64,
        /// What happened to the push.
        source: GitError,
    },
    /// git itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitError),
}

impl GitTrailError {
    /// Whether what is there could be read, and is not what it should be.
    pub(crate) fn is_about_content(&self) -> bool {
        match self {
            Self::Untrusted { .. } | Self::NoEntry { .. } | Self::Rewritten { .. } => true,
            Self::Empty { .. } | Self::Refused { .. } | Self::NotKnown { .. } | Self::Git(_) => false,
        }
    }

    /// The signal, where git was not waited for since one came.
    pub(crate) fn stop(&self) -> Option<Stop> {
        match self {
            Self::NotKnown { source, .. } | Self::Git(source) => source.stop(),
            Self::Untrusted { .. }
            | Self::NoEntry { .. }
            | Self::Rewritten { .. }
            | Self::Empty { .. }
            | Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
