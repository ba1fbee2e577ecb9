//! The log on a real disk: torn tails, other writers, other processes.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Child, Command, Stdio},
};

use serde::Deserialize;
use tempfile::TempDir;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    writer: String,
    n: u64,
}

fn note(n: u64) -> Note {
    Note { writer: "test \"quoted\"\n".to_owned(), n }
}

/// A directory with a log of `count` entries in it.
fn log_of(count: u64) -> (TempDir, Log, Position) {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path().join("events.jsonl"));
    let mut position = Position::START;
    for n in 1..=count {
        position = log.append(position, &note(n)).unwrap();
    }
    (directory, log, position)
}

fn bytes_of(log: &Log) -> Vec<u8> {
    crate::files::read_limited(log.path(), 1 << 24).unwrap()
}

fn put(log: &Log, bytes: &[u8]) {
    File::create(log.path()).unwrap().write_all(bytes).unwrap();
}

fn read(log: &Log) -> Result<Reading<Note>, LogError> {
    log.read_after(Position::START)
}

#[test]
fn what_was_appended_is_read() {
    let (_directory, log, position) = log_of(3);
    let reading = read(&log).unwrap();
    assert_eq!(
        reading.entries.iter().map(|entry| (entry.seq, &entry.body)).collect::<Vec<_>>(),
        [(1, &note(1)), (2, &note(2)), (3, &note(3)),]
    );
    assert_eq!((reading.position, reading.tail), (position, Tail::Whole));
    assert_eq!(position.offset, bytes(&log));
    assert_eq!(bytes_of(&log).split_inclusive(|&byte| byte == b'\n').count(), 3);
}

#[test]
fn only_what_follows_a_position_is_read() {
    let (_directory, log, position) = log_of(2);
    let end = log.append(position, &note(3)).unwrap();
    let reading = log.read_after::<Note>(position).unwrap();
    assert_eq!(reading.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3]);
    assert_eq!(reading.position, end);
}

#[test]
fn a_missing_log_is_empty_and_reading_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path().join("deep/events.jsonl"));
    let reading = read(&log).unwrap();
    assert!(reading.entries.is_empty());
    assert_eq!((reading.position, bytes(&log)), (Position::START, 0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_new_log_is_for_this_user_only() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path().join(".license/trail/production.jsonl"));
    log.append(Position::START, &note(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(log.path()), 0o600);
    assert_eq!(mode(&directory.path().join(".license/trail")), 0o700);
    assert_eq!(mode(&directory.path().join(".license/trail/production.jsonl.lock")), 0o600);
    assert!(directory.path().join(".license/.gitignore").exists());
}

#[test]
fn a_stale_position_appends_nothing() {
    let (_directory, log, _) = log_of(1);
    let stale = read(&log).unwrap().position;
    log.append(stale, &note(2)).unwrap();
    let before = bytes_of(&log);
    for old in [stale, Position::START] {
        assert!(matches!(log.append(old, &note(3)), Err(LogError::Moved { .. })));
    }
    assert_eq!(bytes_of(&log), before);
}

#[test]
fn a_line_torn_at_any_byte_is_reported_and_then_cut() {
    let (_directory, log, position) = log_of(3);
    let whole = bytes_of(&log);
    let two = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for end in two..whole.len() {
        put(&log, &whole[..end]);
        let reading = read(&log).unwrap();
        assert_eq!(reading.entries.len(), 2);
        let torn = (end - two) as u64;
        assert_eq!(reading.tail, if torn == 0 { Tail::Whole } else { Tail::Torn { bytes: torn } });
        assert_eq!(log.append(reading.position, &note(3)).unwrap(), position);
        assert_eq!(bytes_of(&log), whole, "torn at {end}");
    }
}

#[test]
fn zeros_that_a_power_loss_left_are_a_torn_line() {
    let (_directory, log, position) = log_of(1);
    let mut bytes = bytes_of(&log);
    bytes.extend([0; 4096]);
    put(&log, &bytes);
    assert_eq!(read(&log).unwrap().tail, Tail::Torn { bytes: 4096 });
    log.append(position, &note(2)).unwrap();
    assert_eq!(read(&log).unwrap().entries.len(), 2);
}

#[test]
fn a_whole_last_line_that_cannot_be_read_is_not_torn() {
    let (_directory, log, position) = log_of(1);
    for garbage in [&b"{\"v\":1,\"se\n"[..], b"\n", b"\xff\xfe\n"] {
        let mut bytes = bytes_of(&log);
        bytes.extend_from_slice(garbage);
        put(&log, &bytes);
        assert!(matches!(read(&log), Err(LogError::Chain { source: ChainError::Unreadable { seq: 2, .. }, .. })));
        assert!(log.append(position, &note(2)).is_err());
        let decided = log.transact(Position::START, |_: Vec<Entry<Note>>| Ok::<_, ()>((vec![note(2)], ())));
        assert!(matches!(decided, Err(TransactError::Log(LogError::Chain { .. }))));
        assert_eq!(bytes_of(&log), bytes, "nothing is cut");
        put(&log, &bytes[..usize::try_from(position.offset).unwrap()]);
    }
}

#[test]
fn a_byte_changed_in_the_middle_is_named_by_its_line() {
    let (_directory, log, _) = log_of(4);
    let whole = bytes_of(&log);
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let text = String::from_utf8(whole.clone()).unwrap();
    let at = second + text[second..].find("\"n\":2").unwrap() + 4;
    let mut changed = whole;
    changed[at] = b'7';
    put(&log, &changed);
    let error = read(&log).unwrap_err();
    assert!(matches!(error, LogError::Chain { source: ChainError::Broken { seq: 3 }, .. }), "{error}");
    assert!(error.to_string().contains("line 3"), "{error}");
    assert_eq!(error.exit(), Exit::Trail);
}

#[test]
fn a_line_that_is_missing_is_noticed() {
    let (_directory, log, _) = log_of(3);
    let text = String::from_utf8(bytes_of(&log)).unwrap();
    let without_second: Vec<&str> =
        text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line).collect();
    put(&log, without_second.concat().as_bytes());
    let expected = ChainError::OutOfOrder { expected: 2, found: 3 };
    assert!(matches!(read(&log), Err(LogError::Chain { source, .. }) if source == expected));
}

#[test]
fn a_log_that_was_shortened_or_replaced_is_noticed() {
    let (_directory, log, position) = log_of(3);
    let whole = bytes_of(&log);
    let (_other, other, _) = log_of(5);
    let mut changed = whole.clone();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    for bytes in [&whole[..whole.len() - 1], &whole[..10], b"", &changed, &bytes_of(&other)[5..]] {
        put(&log, bytes);
        assert!(matches!(log.read_after::<Note>(position), Err(LogError::Replaced { seq: 3, .. })));
        assert!(matches!(log.append(position, &note(4)), Err(LogError::Replaced { seq: 3, .. })));
        assert_eq!(bytes_of(&log), bytes);
    }
    fs::remove_file(log.path()).unwrap();
    assert!(matches!(log.append(position, &note(4)), Err(LogError::Replaced { .. })));
    assert!(!log.path().exists());
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    let (_directory, log, position) = log_of(1);
    let note_of = |length: usize| Note { writer: "w".repeat(length), n: 2 };
    let limit = usize::try_from(LINE_BYTES_MAX).unwrap();
    let around = chain::next_line(&position.head, &note_of(0)).unwrap().0.len() + 1;
    let error = log.append(position, &note_of(limit - around + 1)).unwrap_err();
    assert!(error.to_string().contains("line 2 cannot be written: it would have 1048577 bytes"), "{error}");
    assert_eq!(bytes(&log), position.offset);

    let longest = log.append(position, &note_of(limit - around)).unwrap();
    let end = log.append(longest, &note(3)).unwrap();
    assert_eq!(read(&log).unwrap().position, end);

    put(&log, &vec![b'x'; 2 * limit]);
    assert!(matches!(read(&log), Err(LogError::Chain { source: ChainError::Unreadable { seq: 1, .. }, .. })));
}

#[test]
fn a_body_that_would_break_the_log_is_not_written() {
    let (_directory, log, position) = log_of(1);
    let body = std::collections::BTreeMap::from([("seq", 7)]);
    assert!(matches!(log.append(position, &body), Err(LogError::Unwritable { .. })));
    assert_eq!(bytes(&log), position.offset);
}

#[test]
fn two_links_to_a_log_share_its_lock() {
    let (directory, log, _) = log_of(1);
    let link = directory.path().join("link.jsonl");
    symlink(log.path(), &link).unwrap();
    assert_eq!(Log::at(link).lock_path(), log.lock_path());
}

#[test]
fn a_transaction_sees_what_is_new_and_appends_together() {
    let (_directory, log, position) = log_of(2);
    let end = log.append(position, &note(3)).unwrap();
    let (seen, after) =
        log.transact(position, |new: Vec<Entry<Note>>| Ok::<_, ()>((vec![note(4), note(5)], new.len()))).unwrap();
    assert_eq!(seen, 1);
    let reading = log.read_after::<Note>(end).unwrap();
    assert_eq!(reading.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(reading.position, after);
}

#[test]
fn a_transaction_that_decides_against_it_appends_nothing() {
    let (_directory, log, position) = log_of(1);
    let refused = log.transact(position, |_: Vec<Entry<Note>>| Err::<(Vec<Note>, ()), _>("no"));
    assert!(matches!(refused, Err(TransactError::Decided("no"))));
    let ((), nothing) = log.transact(position, |_: Vec<Entry<Note>>| Ok::<_, ()>((vec![], ()))).unwrap();
    assert_eq!((nothing, bytes(&log)), (position, position.offset));
}

#[test]
fn a_file_in_the_place_of_the_directory_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    File::create(directory.path().join("trail")).unwrap();
    let log = Log::at(directory.path().join("trail/production.jsonl"));
    let error = log.append(Position::START, &note(1)).unwrap_err();
    assert!(error.to_string().contains("cannot be locked"), "{error}");
    assert!(matches!(error, LogError::Io { next, .. } if next.contains("something else is in its place")));
    assert!(matches!(read(&log), Err(LogError::Io { doing: "locked", .. })));
}

#[test]
fn a_directory_in_the_place_of_the_log_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path());
    for error in [read(&log).unwrap_err(), log.append(Position::START, &note(1)).unwrap_err()] {
        assert!(matches!(error, LogError::Io { next, .. } if next.contains("something else is in its place")));
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(directory.path().join("probe")).is_ok() {
        // Past the runner, which keeps the output of tests that pass to itself.
        io::stderr().write_all(b"skipped: this user may write everywhere\n").unwrap();
        return;
    }
    let error = Log::at(directory.path().join("events.jsonl")).append(Position::START, &note(1)).unwrap_err();
    assert!(matches!(error, LogError::Io { next, .. } if next.contains("the right to")));
}

/// Appends `count` notes, reading again whenever somebody else was faster.
fn append_many(log: &Log, writer: &str, count: u64) {
    let mut position = Position::START;
    for n in 0..count {
        let body = Note { writer: writer.to_owned(), n };
        // Bounded: every turn but the last needs an append by somebody else, and theirs are counted too.
        loop {
            match log.append(position, &body) {
                Ok(end) => break position = end,
                Err(LogError::Moved { .. }) => position = log.read_after::<Note>(position).unwrap().position,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn assert_has_every_note(log: &Log, writers: [&str; 2], count: u64) {
    let reading = read(log).unwrap();
    assert_eq!(reading.tail, Tail::Whole);
    for writer in writers {
        let of_writer = reading.entries.iter().filter(|entry| entry.body.writer == writer);
        assert!(of_writer.map(|entry| entry.body.n).eq(0..count), "in the order in which {writer} wrote them");
    }
    assert_eq!(reading.entries.len() as u64, 2 * count);
}

#[test]
fn two_threads_lose_no_entry() {
    let (_directory, log, _) = log_of(0);
    thread::scope(|scope| {
        for writer in ["one", "two"] {
            scope.spawn(|| append_many(&log, writer, 200));
        }
    });
    assert_has_every_note(&log, ["one", "two"], 200);
}

#[test]
fn two_processes_lose_no_entry() {
    let (_directory, log, _) = log_of(0);
    let children = ["one", "two"].map(|writer| start_child(writer, log.path()));
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_has_every_note(&log, ["one", "two"], 200);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let (_directory, log, position) = log_of(3);
    let before = bytes_of(&log);
    let child = start_child("small-files", log.path()).wait_with_output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(bytes_of(&log), before);
    log.append(position, &note(4)).unwrap();
}

#[test]
fn a_lock_held_for_too_long_is_an_error_and_a_killed_holder_holds_nothing() {
    let (directory, log, position) = log_of(1);
    let mut holder = start_child("holder", log.path());
    let held = directory.path().join("held");
    wait_until(|| held.exists());

    let impatient = Log { lock_wait: Duration::from_millis(50), ..log.clone() };
    for tried in [impatient.append(position, &note(2)).map(drop), read(&impatient).map(drop)] {
        assert!(matches!(tried, Err(LogError::Locked { .. })));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    log.append(position, &note(2)).unwrap();
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "the other process did not get there in 30 seconds");
        thread::sleep(Duration::from_millis(5));
    }
}

const ROLE: &str = "XTASK_LOG_TEST_ROLE";
const PATH: &str = "XTASK_LOG_TEST_PATH";

/// Starts this test binary again, to run nothing but `a_child_process`, in a role.
#[expect(clippy::disallowed_methods, reason = "a test of two processes needs a second one")]
fn start_child(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::tests::a_child_process", "--nocapture"])
        .env(ROLE, role)
        .env(PATH, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the second process of the tests above does.
#[test]
#[expect(clippy::disallowed_methods, reason = "the role of this process comes in its environment")]
fn a_child_process() {
    let (Some(role), Some(path)) = (std::env::var_os(ROLE), std::env::var_os(PATH)) else { return };
    let log = Log::at(PathBuf::from(path));
    match role.to_str().unwrap() {
        "holder" => hold_the_lock(&log),
        "small-files" => fill_the_disk(&log),
        writer => append_many(&log, writer, 200),
    }
}

fn hold_the_lock(log: &Log) {
    let _lock = log.lock_to_write().unwrap();
    File::create(log.path().with_file_name("held")).unwrap();
    thread::sleep(Duration::from_secs(60));
}

/// A limit on the size of files fails a write in its middle, as a full disk does.
fn fill_the_disk(log: &Log) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let flag = std::sync::Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag).unwrap();
    let position = read(log).unwrap().position;
    let room = Some(position.offset + 100);
    setrlimit(Resource::Fsize, Rlimit { current: room, maximum: room }).unwrap();

    let body = Note { writer: "w".repeat(1000), n: 4 };
    let error = log.append(position, &body).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    let LogError::Io { next, .. } = error else { panic!("{error}") };
    assert!(next.starts_with("nothing was written; make room"), "{next}");
    assert_eq!(bytes(log), position.offset);
}

#[test]
fn every_likely_error_has_a_next_step_of_its_own() {
    use rustix::io::Errno;
    for (errno, says) in [
        (Errno::NOSPC, "make room"),
        (Errno::DQUOT, "make room"),
        (Errno::FBIG, "make room"),
        (Errno::ROFS, "read-only"),
        (Errno::ACCESS, "give this user the right"),
        (Errno::PERM, "give this user the right"),
        (Errno::NOTDIR, "something else is in its place"),
        (Errno::ISDIR, "something else is in its place"),
        (Errno::NOTSUP, "cannot lock files"),
        (Errno::IO, "see what is wrong"),
    ] {
        let next = next_step(&errno.into());
        assert!(next.contains(says), "{errno}: {next}");
    }
}

/// The file's length; a missing file has none.
fn bytes(log: &Log) -> u64 {
    log.stamp().unwrap().map_or(0, |stamp| stamp.bytes)
}
