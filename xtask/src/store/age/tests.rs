//! Sealed files as they lie on a disk.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;

const OLD: &str = "TO-DEV-marker-old";
const NEW: &str = "TO-DEV-marker-new";

/// An identity, its text and its recipient.
fn fresh() -> (Zeroizing<String>, String) {
    Identity::new_file("2026-11-24T15:00:00Z".parse().unwrap())
}

struct Sample {
    directory: TempDir,
    identity: Zeroizing<String>,
    recipient: String,
}

fn sample() -> Sample {
    let (identity, recipient) = fresh();
    Sample { directory: tempfile::tempdir().unwrap(), identity, recipient }
}

impl Sample {
    fn file(&self) -> PathBuf {
        self.directory.path().join("license.age")
    }

    fn at(&self, file: PathBuf) -> AgeStore {
        AgeStore {
            file,
            recipients: Recipients::parse(std::slice::from_ref(&self.recipient)).unwrap(),
            identity: Some(Identity::parse(&self.identity).unwrap()),
        }
    }

    fn store(&self) -> AgeStore {
        self.at(self.file())
    }

    fn write(&self, text: &str) -> Version {
        let sealed = self.store().recipients.seal(text.as_bytes()).unwrap();
        files::replace(&self.file(), sealed.armor().as_bytes()).unwrap();
        version(sealed.armor().as_bytes())
    }
}

fn key(text: &str) -> LicenseKey {
    LicenseKey::parse(text).unwrap()
}

/// What a store holds, in short.
fn short(held: Result<Held, StoreFault>) -> String {
    match held.unwrap() {
        Held::Key { key, .. } => key.reveal().to_owned(),
        Held::Nothing { version } => format!("nothing {version:?}"),
        Held::Hidden { version } => format!("hidden {version:?}"),
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

fn done(written: &Written) {
    assert!(matches!(written, Written::Done), "{written:?}");
}

#[test]
fn a_key_is_written_read_back_and_replaced() {
    let sample = sample();
    let store = sample.store();
    assert_eq!(short(store.probe()), "nothing Version(None)");
    done(&store.write(&key(OLD), &Version::NONE, "rot-1"));
    assert_eq!(short(store.probe()), OLD);
    let version = store.read().unwrap().version().clone();
    done(&store.write(&key(NEW), &version, "rot-1"));
    assert_eq!(short(store.read()), NEW);
    assert_ne!(*store.read().unwrap().version(), version);
    assert_eq!(fs::metadata(sample.file()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(sample.directory.path()).unwrap().count(), 1, "no temporary file stays");
    let text = String::from_utf8(files::read_limited(&sample.file(), 10_000).unwrap()).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n") && !text.contains("marker"), "{text}");
}

#[test]
fn the_file_holds_the_key_and_a_line_break() {
    let sample = sample();
    done(&sample.store().write(&key(NEW), &Version::NONE, "rot-1"));
    let bytes = files::read_limited(&sample.file(), 10_000).unwrap();
    let plain = Identity::parse(&sample.identity).unwrap().open(&bytes).unwrap();
    assert_eq!(*plain, format!("{NEW}\n").into_bytes());
    for text in [NEW.to_owned(), format!("{NEW}\r\n")] {
        sample.write(&text);
        assert_eq!(short(sample.store().read()), NEW);
        assert_eq!(read_sealed(&sample.file(), &sample.identity).unwrap().as_str(), NEW);
    }
}

#[test]
fn a_file_that_changed_since_is_not_overwritten() {
    let sample = sample();
    let first = sample.write(OLD);
    // The same key sealed again is another file.
    let second = sample.write(OLD);
    assert_ne!(first, second);
    let before = files::read_limited(&sample.file(), 10_000).unwrap();
    for over in [first, Version::NONE] {
        assert_eq!(failed(sample.store().write(&key(NEW), &over, "rot-1")), FaultKind::Conflict);
    }
    assert_eq!(files::read_limited(&sample.file(), 10_000).unwrap(), before);
    fs::remove_file(sample.file()).unwrap();
    assert_eq!(failed(sample.store().write(&key(NEW), &second, "rot-1")), FaultKind::Conflict);
    assert!(!sample.file().exists());
}

#[test]
fn without_an_identity_it_is_written_and_not_shown() {
    let sample = sample();
    let store = AgeStore { identity: None, ..sample.store() };
    assert_eq!(short(store.probe()), "nothing Version(None)");
    let version = sample.write(OLD);
    assert_eq!(short(store.probe()), format!("hidden {version:?}"));
    done(&store.write(&key(NEW), &version, "rot-1"));
    assert_eq!(short(sample.store().read()), NEW);
}

#[test]
fn a_file_that_was_emptied_holds_nothing_and_takes_a_key() {
    let sample = sample();
    files::replace(&sample.file(), b"").unwrap();
    let store = sample.store();
    let Held::Nothing { version } = store.probe().unwrap() else { panic!() };
    assert!(matches!(store.write(&key(NEW), &version, "rot"), Written::Done));
    assert_eq!(short(store.read()), NEW);
}

#[test]
fn what_is_wrong_with_a_file_is_told_apart() {
    let sample = sample();
    let (stranger, other_recipient) = fresh();
    sample.write(OLD);
    let stranger = AgeStore {
        identity: Some(Identity::parse(&stranger).unwrap()),
        recipients: Recipients::parse(std::slice::from_ref(&other_recipient)).unwrap(),
        ..sample.store()
    };
    assert_eq!(fault(stranger.read()), FaultKind::Credential);
    let unreadable = AgeStore { recipients: Recipients::parse(&[other_recipient]).unwrap(), ..sample.store() };
    assert_eq!(fault(unreadable.probe()), FaultKind::Setup, "what it would write could not be read back");
    sample.write("marker with spaces");
    assert_eq!(fault(sample.store().read()), FaultKind::Malformed);
    files::replace(&sample.file(), b"TO-DEV-marker-plain\n").unwrap();
    assert_eq!(fault(sample.store().probe()), FaultKind::Malformed);
    assert!(sample.store().probe().unwrap_err().next.contains("or remove it"));
    let nowhere = sample.at(sample.directory.path().join("no/license.age")).probe().unwrap_err();
    assert!(nowhere.kind == FaultKind::Setup && nowhere.message.contains("there is no directory `"), "{nowhere:?}");
    assert_eq!(nowhere.next, "make the directory");
    assert_eq!(fault(sample.at(sample.directory.path().to_owned()).probe()), FaultKind::Setup);
}

#[test]
fn a_symbolic_link_stays_one() {
    let sample = sample();
    let link = sample.directory.path().join("link");
    let version = sample.write(OLD);
    symlink("license.age", &link).unwrap();
    done(&sample.at(link.clone()).write(&key(NEW), &version, "rot-1"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(short(sample.store().read()), NEW);
    let nowhere = sample.directory.path().join("nowhere");
    symlink("gone", &nowhere).unwrap();
    assert_eq!(fault(sample.at(nowhere).probe()), FaultKind::Setup);
}

#[test]
fn reading_for_a_key_source_says_what_is_wrong_and_shows_nothing() {
    let sample = sample();
    let error = |identity: &str| {
        let error = read_sealed(&sample.file(), identity).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.help().unwrap());
        assert!(!shown.contains("marker"), "{shown}");
        error
    };
    assert!(matches!(error(&sample.identity), StoreError::NoFile { .. }));
    sample.write(OLD);
    assert!(matches!(error(""), StoreError::NotOpened { source: SealError::NoIdentity, .. }));
    assert!(matches!(error("marker"), StoreError::NotOpened { source: SealError::Identity { .. }, .. }));
    assert!(matches!(error(&fresh().0), StoreError::NotOpened { source: SealError::NotForUs, .. }));
    files::replace(&sample.file(), &vec![b'x'; ARMOR_BYTES_MAX + 1]).unwrap();
    assert!(matches!(error(&sample.identity), StoreError::NotOpened { source: SealError::TooLongToOpen, .. }));
}

const ROOT: &str = "XTASK_AGE_STORE_TEST_ROOT";

/// Starts this test binary again, to run nothing but `another_process`.
#[expect(clippy::disallowed_methods, reason = "a test of a killed process needs one")]
fn start_other(root: &TempDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::age::tests::another_process"])
        .env(ROOT, root.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let sample = sample();
    sample.write("TO-DEV-before");
    files::replace(&sample.directory.path().join("identity"), sample.identity.as_bytes()).unwrap();
    for round in 0..8 {
        let before = sample.store().read().unwrap().version().clone();
        let mut other = start_other(&sample.directory);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut changes = 0;
        let mut last = before;
        while changes < 1 + round {
            let now = sample.store().read().unwrap().version().clone();
            changes += u32::from(now != last);
            last = now;
            assert!(Instant::now() < deadline, "the other process writes nothing");
            thread::yield_now();
        }
        other.kill().unwrap();
        other.wait().unwrap();
        let held = short(sample.store().read());
        assert!(held.starts_with("TO-DEV-"), "{held}");
    }
}

/// Not a test of its own: writes one key after the other until it is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the role of this process comes in its environment")]
fn another_process() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let identity = files::read_limited(&Path::new(&root).join("identity"), 10_000).unwrap();
    let identity = Identity::parse(std::str::from_utf8(&identity).unwrap()).unwrap();
    let recipients = Recipients::parse(&[identity.recipient()]).unwrap();
    let store = AgeStore { file: Path::new(&root).join("license.age"), recipients, identity: Some(identity) };
    for number in 0..5_000 {
        let version = store.read().unwrap().version().clone();
        done(&store.write(&key(&format!("TO-DEV-{number}-{}", "x".repeat(9_000))), &version, "rot-1"));
    }
}
