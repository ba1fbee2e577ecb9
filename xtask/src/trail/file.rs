//! The trail in a file on this machine: `.license/trail/ENVIRONMENT.jsonl`.

use std::{
    io,
    path::{Path, PathBuf},
};

use license_core::{
    chain::{Entry, Head},
    trail::Record,
};
use serde::de::DeserializeOwned;

use crate::log::{Log, LogError, Position, Tail};

/// How the file of an environment's trail ends.
const SUFFIX: &str = ".jsonl";
/// What is put behind it for the lock of whoever works under a claim.
const CLAIM_LOCK_SUFFIX: &str = ".claim.lock";

/// One environment's trail. Reads and appends; every append is refused if somebody else appended since the last look.
#[derive(Debug)]
pub(crate) struct FileTrail {
    log: Log,
}

/// A trail as it was read.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Every entry, oldest first.
    pub(crate) entries: Vec<Entry<Record>>,
    /// Where the trail ends.
    pub(crate) position: Position,
    /// How the file ends.
    pub(crate) tail: Tail,
}

impl FileTrail {
    /// The trail of one environment under a directory.
    pub(crate) fn new(directory: &Path, environment: &str) -> Self {
        Self { log: Log::at(directory.join(format!("{environment}{SUFFIX}"))) }
    }

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        self.log.path()
    }

    /// The lock of whoever works under a claim: beside the file itself, so that whoever has this trail has this lock.
    pub(crate) fn claim_lock_path(&self) -> PathBuf {
        self.log.sibling(CLAIM_LOCK_SUFFIX)
    }

    /// Reads and checks every entry. A trail without a file has none.
    pub(crate) fn read(&self) -> Result<Replay, LogError> {
        self.read_after(Position::START)
    }

    /// Reads and checks the entries from the newest checkpoint on; every entry where there is none. What is before the
    /// checkpoint is neither read nor checked.
    pub(crate) fn read_recent(&self) -> Result<Replay, LogError> {
        let reading = self.log.read_from_newest(is_checkpoint)?;
        Ok(Replay { entries: reading.entries, position: reading.position, tail: reading.tail })
    }

    /// Reads and checks the entries after a position at which the trail was seen to end. What is before it was checked
    /// then, and is not read again, but for the entry that ends there: it must be the same.
    pub(crate) fn read_after(&self, position: Position) -> Result<Replay, LogError> {
        let reading = self.log.read_after(position)?;
        Ok(Replay { entries: reading.entries, position: reading.position, tail: reading.tail })
    }

    /// Checks every entry and hands it on in a form of the caller's choice, with the head that it makes.
    /// After an error, what was handed on is the part of the trail that is in order.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        each: impl FnMut(Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        self.log.scan(Position::START, each)
    }

    /// Like [`FileTrail::scan`], and hands each line on as it stands there.
    pub(crate) fn scan_lines<T: DeserializeOwned>(
        &self,
        each: impl FnMut(&[u8], Entry<T>, Head),
    ) -> Result<(Position, Tail), LogError> {
        self.log.scan_lines(Position::START, each)
    }

    /// Appends an entry if the trail still ends at `expected`.
    pub(crate) fn append(&self, expected: Position, record: &Record) -> Result<Position, LogError> {
        self.log.append(expected, record)
    }
}

/// Whether a line is a checkpoint. The word alone may stand anywhere in a line: its place tells.
pub(super) fn is_checkpoint(line: &[u8]) -> bool {
    const WORD: &[u8] = b"checkpoint";
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    line.windows(WORD.len()).any(|bytes| bytes == WORD)
        && serde_json::from_slice::<Kind>(line).is_ok_and(|one| one.kind.as_bytes() == WORD)
}

/// The environments that have a trail under a directory, in the order of their names. A missing directory has none.
pub(crate) fn environments(directory: &Path) -> Result<Vec<String>, NotListed> {
    let failed = |source| NotListed { directory: directory.to_owned(), source };
    let files = match directory.read_dir() {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for file in files {
        let name = file.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
    }
    found.sort();
    Ok(found)
}

/// The directory of the trails cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the trails in `{}` cannot be listed: {source}", directory.display())]
#[diagnostic(help("{}", crate::log::next_step(source)))]
pub(crate) struct NotListed {
    directory: PathBuf,
    source: io::Error,
}

/// Where the trail ends, as it is printed and compared.
pub(crate) fn show_head(environment: &str, head: &Head) -> String {
    format!("trail: {environment} #{} {}", head.seq, head.hash)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use std::{
        fs::{File, OpenOptions},
        io::Write as _,
    };

    use license_core::trail::{Actor, Ended, Event, Folded};

    use super::*;

    fn record(code: i32) -> Record {
        Record {
            at: "2026-03-01T11:02:03Z".parse().unwrap(),
            actor: Actor { user: Some("alice".to_owned()), ..Actor::default() },
            environment: "production".to_owned(),
            event: Event::DeployEnded { release: "r1".to_owned(), ended: Ended::Exited { code } },
        }
    }

    #[test]
    fn what_was_recorded_is_replayed() {
        let directory = tempfile::tempdir().unwrap();
        let trail = FileTrail::new(directory.path(), "production");
        assert_eq!(trail.path(), directory.path().join("production.jsonl"));
        let first = trail.append(trail.read().unwrap().position, &record(0)).unwrap();
        let second = trail.append(first, &record(7)).unwrap();
        let replay = trail.read().unwrap();
        let bodies: Vec<&Record> = replay.entries.iter().map(|entry| &entry.body).collect();
        assert_eq!(bodies, [&record(0), &record(7)]);
        assert_eq!((replay.position, replay.tail), (second, Tail::Whole));
    }

    #[test]
    fn an_append_after_somebody_elses_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let trail = FileTrail::new(directory.path(), "production");
        trail.append(Position::START, &record(0)).unwrap();
        assert!(matches!(trail.append(Position::START, &record(1)), Err(LogError::Moved { .. })));
    }

    fn checkpoint(records: &[Record]) -> Record {
        let event = Folded::replay(records).unwrap().checkpoint().unwrap();
        Record { event, ..record(0) }
    }

    /// A trail of these entries, and where each of them begins.
    fn trail_of(directory: &Path, records: &[Record]) -> (FileTrail, Vec<Position>) {
        let trail = FileTrail::new(directory, "production");
        let mut positions = vec![Position::START];
        for record in records {
            positions.push(trail.append(*positions.last().unwrap(), record).unwrap());
        }
        (trail, positions)
    }

    fn seqs(replay: &Replay) -> Vec<u64> {
        replay.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn the_recent_entries_begin_with_the_newest_checkpoint() {
        let named = Actor { user: Some("\"kind\":\"checkpoint\"".to_owned()), ..Actor::default() };
        let decoy = || Record { actor: named.clone(), ..record(0) };
        let (first, second) = (checkpoint(&[]), checkpoint(&[record(0)]));
        let rows: [(Vec<Record>, Vec<u64>); 6] = [
            (vec![], vec![]),
            (vec![record(0), record(1)], vec![1, 2]),
            (vec![decoy(), decoy()], vec![1, 2]),
            (vec![first.clone()], vec![1]),
            (vec![record(0), first.clone(), record(1), second.clone(), decoy(), record(2)], vec![4, 5, 6]),
            (vec![record(0), record(1), second], vec![3]),
        ];
        for (records, expected) in rows {
            let directory = tempfile::tempdir().unwrap();
            let (trail, positions) = trail_of(directory.path(), &records);
            let replay = trail.read_recent().unwrap();
            assert_eq!(seqs(&replay), expected);
            assert_eq!((replay.position, replay.tail), (*positions.last().unwrap(), Tail::Whole));
            // A torn line at the end is left out, whatever it says.
            let torn = b"{\"kind\":\"checkpoint\"";
            OpenOptions::new().append(true).create(true).open(trail.path()).unwrap().write_all(torn).unwrap();
            let replay = trail.read_recent().unwrap();
            assert_eq!((seqs(&replay), replay.tail), (expected, Tail::Torn { bytes: torn.len() as u64 }));
        }
    }

    #[test]
    fn a_chain_that_breaks_at_the_checkpoint_or_after_it_is_seen_and_one_that_breaks_before_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let records = [record(1), record(2), checkpoint(&[]), record(4), record(5)];
        let (trail, _) = trail_of(directory.path(), &records);
        let text = String::from_utf8(crate::files::read_limited(trail.path(), 1 << 20).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let put =
            |lines: &[String]| File::create(trail.path()).unwrap().write_all((lines.join("\n") + "\n").as_bytes());
        for (changed, seen) in [(0, false), (1, true), (2, true), (3, true)] {
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            lines[changed] = lines[changed].replace("11:02:03", "11:02:04");
            put(&lines).unwrap();
            assert_eq!(trail.read_recent().is_err(), seen, "line {changed}");
            assert!(trail.read().is_err(), "line {changed}");
        }
        for removed in 1..=3 {
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            lines.remove(removed);
            put(&lines).unwrap();
            assert!(trail.read_recent().is_err(), "without line {removed}");
        }
    }

    #[test]
    fn what_is_before_the_checkpoint_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut records = vec![record(0); 300];
        records.extend([checkpoint(&[]), record(1)]);
        let (trail, positions) = trail_of(directory.path(), &records);
        // Far enough before the checkpoint, the file is nonsense, and nobody looks.
        OpenOptions::new().write(true).open(trail.path()).unwrap().write_all(&vec![b'x'; 20_000]).unwrap();
        assert_eq!(seqs(&trail.read_recent().unwrap()), [301, 302]);
        assert_eq!(trail.read_recent().unwrap().position, positions[302]);
        assert!(trail.read().is_err());
    }

    #[test]
    fn only_trails_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        for name in
            ["staging.jsonl", "production.jsonl", "production.jsonl.lock", "production.jsonl.claim.lock", "notes.txt"]
        {
            File::create(directory.path().join(name)).unwrap();
        }
        assert_eq!(environments(directory.path()).unwrap(), ["production", "staging"]);
        assert!(environments(&directory.path().join("none")).unwrap().is_empty());
        let error = environments(&directory.path().join("notes.txt")).unwrap_err();
        assert!(error.to_string().contains("cannot be listed"), "{error}");
    }

    #[test]
    fn a_head_is_printed_with_its_number_and_its_whole_hash() {
        let zeros = "0".repeat(64);
        assert_eq!(show_head("production", &Head::EMPTY), format!("trail: production #0 {zeros}"));
    }
}
