//! A dotenv file as a store: what is around the variable stays, and nobody's change is lost.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const OLD: &str = "TO-DEV-marker-old";
const NEW: &str = "TO-DEV-marker-new";

fn store(directory: &TempDir) -> DotenvStore {
    DotenvStore { file: directory.path().join(".env"), name: "LICENSE_KEY".to_owned() }
}

/// A store in a new directory whose file has this text.
fn with_text(text: &str) -> (TempDir, DotenvStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    files::replace(&store.file, text.as_bytes()).unwrap();
    (directory, store)
}

fn file_text(store: &DotenvStore) -> String {
    String::from_utf8(files::read_limited(&store.file, 100_000).unwrap()).unwrap()
}

fn key(text: &str) -> LicenseKey {
    LicenseKey::parse(text).unwrap()
}

/// What a store holds, in short.
fn short(held: Result<Held, StoreFault>) -> String {
    match held.unwrap() {
        Held::Key { key, .. } => key.reveal().to_owned(),
        Held::Nothing { .. } => "nothing".to_owned(),
        Held::Hidden { .. } => "hidden".to_owned(),
    }
}

fn fault(result: Result<Held, StoreFault>) -> FaultKind {
    let fault = result.unwrap_err();
    assert!(!format!("{fault:?}").contains("marker"), "{fault:?}");
    fault.kind
}

fn failed(written: Written) -> FaultKind {
    match written {
        Written::Failed(fault) => fault.kind,
        other @ (Written::Done | Written::Unknown(_)) => panic!("{other:?}"),
    }
}

fn over_what_is_there(store: &DotenvStore, new: &str) -> Written {
    store.write(&key(new), store.read().unwrap().version(), "rot-1")
}

#[test]
fn a_key_is_written_read_back_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    assert_eq!(short(store.probe()), "nothing");
    assert!(!store.file.exists(), "a probe changes nothing");
    assert!(matches!(store.write(&key(OLD), &Version::NONE, "rot-1"), Written::Done));
    assert_eq!(short(store.probe()), OLD);
    assert!(matches!(over_what_is_there(&store, NEW), Written::Done));
    assert_eq!(short(store.read()), NEW);
    assert_eq!(fs::metadata(&store.file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn everything_else_in_the_file_stays() {
    for (before, after) in [
        ("", "LICENSE_KEY=NEW\n"),
        ("A=1", "A=1\nLICENSE_KEY=NEW\n"),
        (
            "# keys\r\nexport LICENSE_KEY = 'OLD'  # ours\r\nB=\"x y\"\r\n",
            "# keys\r\nexport LICENSE_KEY = NEW  # ours\r\nB=\"x y\"\r\n",
        ),
        ("B=2\n\n\nLICENSE_KEY=OLD\n# LICENSE_KEY=older\nA=1", "B=2\n\n\nLICENSE_KEY=NEW\n# LICENSE_KEY=older\nA=1"),
        ("LICENSE_KEY=\nLICENSE_KEY_2=OLD\n", "LICENSE_KEY=NEW\nLICENSE_KEY_2=OLD\n"),
        ("LICENSE_KEY=OLD\nA=1\nexport LICENSE_KEY=\"OLD\"\n", "LICENSE_KEY=NEW\nA=1\nexport LICENSE_KEY=NEW\n"),
    ] {
        let (_directory, store) = with_text(&before.replace("OLD", OLD));
        assert!(matches!(over_what_is_there(&store, NEW), Written::Done), "{before:?}");
        assert_eq!(file_text(&store), after.replace("NEW", NEW).replace("OLD", OLD), "{before:?}");
    }
}

#[test]
fn a_value_that_changed_since_is_not_overwritten() {
    let (_directory, store) = with_text(&format!("LICENSE_KEY={OLD}\n"));
    let read = store.read().unwrap().version().clone();
    for text in [format!("LICENSE_KEY={NEW}\n"), "LICENSE_KEY=\n".to_owned(), "A=1\n".to_owned()] {
        files::replace(&store.file, text.as_bytes()).unwrap();
        assert_eq!(failed(store.write(&key("TO-DEV-third"), &read, "rot-1")), FaultKind::Conflict);
        assert_eq!(file_text(&store), text);
    }
    fs::remove_file(&store.file).unwrap();
    assert_eq!(failed(store.write(&key(NEW), &read, "rot-1")), FaultKind::Conflict);
    assert!(!store.file.exists());
    files::replace(&store.file, format!("LICENSE_KEY={OLD}\n").as_bytes()).unwrap();
    assert_eq!(failed(store.write(&key(NEW), &Version::NONE, "rot-1")), FaultKind::Conflict);
}

#[test]
fn another_line_may_change_meanwhile() {
    let (_directory, store) = with_text(&format!("LICENSE_KEY={OLD}\n"));
    let read = store.read().unwrap().version().clone();
    files::replace(&store.file, format!("A=1\nLICENSE_KEY='{OLD}'\n").as_bytes()).unwrap();
    assert!(matches!(store.write(&key(NEW), &read, "rot-1"), Written::Done));
    assert_eq!(file_text(&store), format!("A=1\nLICENSE_KEY={NEW}\n"));
}

#[test]
fn different_values_of_one_variable_are_found_before_anything_is_written() {
    let text = format!("LICENSE_KEY={OLD}\nLICENSE_KEY={NEW}\n");
    let (_directory, store) = with_text(&text);
    assert_eq!(fault(store.probe()), FaultKind::Setup);
    assert_eq!(short(store.read()), NEW);
    assert_eq!(failed(over_what_is_there(&store, "TO-DEV-third")), FaultKind::Setup);
    assert_eq!(file_text(&store), text);
}

#[test]
fn what_is_wrong_with_a_file_is_told_apart() {
    let (directory, store) = with_text("LICENSE_KEY='marker'\nmarker\n");
    assert_eq!(fault(store.probe()), FaultKind::Malformed);
    files::replace(&store.file, b"LICENSE_KEY='marker with spaces'\n").unwrap();
    assert_eq!(fault(store.read()), FaultKind::Malformed);
    files::replace(&store.file, b"LICENSE_KEY=marker\xff\n").unwrap();
    assert_eq!(fault(store.read()), FaultKind::Setup);
    let at = |file| DotenvStore { file, name: "LICENSE_KEY".to_owned() };
    assert_eq!(fault(at(directory.path().join("no/.env")).probe()), FaultKind::Setup);
    assert_eq!(fault(at(directory.path().to_owned()).probe()), FaultKind::Setup);
    let link = directory.path().join("link");
    symlink("gone", &link).unwrap();
    assert_eq!(fault(at(link.clone()).probe()), FaultKind::Setup);
    assert_eq!(failed(at(link).write(&key(NEW), &Version::NONE, "rot-1")), FaultKind::Setup);
}

#[test]
fn a_file_that_would_become_too_long_stays_as_it_is() {
    let room = usize::try_from(FILE_BYTES_MAX).unwrap() - 20;
    let (_directory, store) = with_text(&format!("#{}\n", "x".repeat(room)));
    assert_eq!(failed(store.write(&key(&"k".repeat(100)), &Version::NONE, "rot-1")), FaultKind::Setup);
    assert_eq!(fs::metadata(&store.file).unwrap().len(), room as u64 + 2);
}

#[test]
fn a_symbolic_link_stays_one() {
    let (directory, store) = with_text(&format!("LICENSE_KEY={OLD}\n"));
    let link = DotenvStore { file: directory.path().join("link"), name: store.name.clone() };
    symlink(".env", &link.file).unwrap();
    assert!(matches!(over_what_is_there(&link, NEW), Written::Done));
    assert!(fs::symlink_metadata(&link.file).unwrap().is_symlink());
    assert_eq!(short(store.read()), NEW);
}

#[test]
fn a_version_tells_no_more_than_a_fingerprint() {
    let Version(Some(text)) = version(Some(OLD)) else { panic!("there is a value") };
    assert_eq!(text.len(), VERSION_DIGITS);
    assert_ne!(Version(Some(text)), version(Some(NEW)));
    assert_ne!(version(Some("")), Version::NONE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_key_round_trips_through_any_file(
        others in proptest::collection::vec("(# [a-z' ]{0,8}|[A-J]{1,2}=[a-z#]{0,5}|[A-J]='[a-z #\n]{0,5}'|)", 0..8),
        line_break in prop::sample::select(vec!["\n", "\r\n"]),
        old in "[!-~]{1,40}",
        new in "[!-~]{1,40}",
    ) {
        let text: String = others.iter().flat_map(|line| [line.as_str(), line_break]).collect();
        let (_directory, store) = with_text(&text);
        prop_assert!(matches!(store.write(&key(&old), &Version::NONE, "rot-1"), Written::Done));
        prop_assert_eq!(short(store.probe()), old);
        prop_assert!(matches!(over_what_is_there(&store, &new), Written::Done));
        prop_assert_eq!(short(store.read()), new);
        prop_assert!(file_text(&store).starts_with(&text));
    }
}

const ROOT: &str = "XTASK_DOTENV_STORE_TEST_ROOT";

/// Starts this test binary again, to run nothing but `another_process`.
#[expect(clippy::disallowed_methods, reason = "a test of a killed process needs one")]
fn start_other(root: &TempDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::dotenv::store::tests::another_process"])
        .env(ROOT, root.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let around = "#".repeat(9_000);
    let (directory, store) = with_text(&format!("FIRST={around}\nLICENSE_KEY=TO-DEV-before\nLAST={around}\n"));
    for round in 0..8 {
        let mut last = store.read().unwrap().version().clone();
        let mut other = start_other(&directory);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut changes = 0;
        while changes < 1 + round {
            let now = store.read().unwrap().version().clone();
            changes += u32::from(now != last);
            last = now;
            assert!(Instant::now() < deadline, "the other process writes nothing");
            thread::yield_now();
        }
        other.kill().unwrap();
        other.wait().unwrap();
        let text = file_text(&store);
        assert!(text.starts_with(&format!("FIRST={around}\nLICENSE_KEY=TO-DEV-")), "{text}");
        assert!(text.ends_with(&format!("\nLAST={around}\n")), "{text}");
        assert!(short(store.read()).starts_with("TO-DEV-"));
    }
}

/// Not a test of its own: writes one key after the other until it is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the role of this process comes in its environment")]
fn another_process() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let store = DotenvStore { file: Path::new(&root).join(".env"), name: "LICENSE_KEY".to_owned() };
    for number in 0..20_000 {
        assert!(matches!(over_what_is_there(&store, &format!("TO-DEV-{number}")), Written::Done));
    }
}
