//! Nothing that was kept is lost, whoever else keeps something and whenever somebody is killed.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;
use crate::seal::{Identity, Recipients};

/// A shared place in memory, which may be out of reach.
#[derive(Debug, Default)]
pub(crate) struct TestPlace {
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    trouble: Option<&'static str>,
}

impl TestPlace {
    fn open(&self) -> Result<std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>>, String> {
        self.trouble.map_or_else(|| Ok(self.blobs.lock().unwrap()), |why| Err(why.to_owned()))
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let before = self.open()?.insert(name.to_owned(), bytes.to_owned());
        assert!(before.is_none_or(|before| before == bytes), "{name} was overwritten");
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.open()?.get(name).cloned())
    }

    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        Ok(self.open()?.keys().cloned().collect())
    }

    pub(super) fn delete(&self, names: &[String]) -> Result<(), String> {
        let mut blobs = self.open()?;
        blobs.retain(|name, _| !names.contains(name));
        Ok(())
    }
}

fn sealed(text: &str) -> Sealed {
    let (_, recipient) = Identity::new_file("2026-11-24T15:00:00Z".parse().unwrap());
    Recipients::parse(&[recipient]).unwrap().seal(text.as_bytes()).unwrap()
}

fn root(directory: &TempDir) -> PathBuf {
    directory.path().join(".license/escrow")
}

fn local(directory: &TempDir) -> Escrow {
    Escrow::local(root(directory), "production")
}

fn armor(sealed: &Sealed) -> Vec<u8> {
    sealed.armor().as_bytes().to_owned()
}

const HERE_ONLY: Kept = Kept { here: Reached::Kept, shared: Reached::NotConfigured };

#[test]
fn what_was_put_is_found_until_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let escrow = local(&directory);
    assert_eq!(escrow.find("rot-1", BlobKind::Old), Ok(None));
    assert_eq!(escrow.list(), Ok(vec![]));
    escrow.delete("rot-1").unwrap();
    let (old, answer, other) = (sealed("old"), sealed("answer"), sealed("other"));
    assert_eq!(escrow.put("rot-1", BlobKind::Old, &old), Ok(HERE_ONLY));
    assert_eq!(escrow.put("rot-1", BlobKind::Answer, &answer), Ok(HERE_ONLY));
    assert_eq!(escrow.put("rot-2", BlobKind::Old, &other), Ok(HERE_ONLY));
    assert_eq!(escrow.find("rot-1", BlobKind::Old), Ok(Some(armor(&old))));
    assert_eq!(escrow.find("rot-1", BlobKind::Answer), Ok(Some(armor(&answer))));
    assert_eq!(escrow.find("rot-2", BlobKind::Answer), Ok(None));
    let rows = [("rot-1", BlobKind::Old), ("rot-1", BlobKind::Answer), ("rot-2", BlobKind::Old)];
    assert_eq!(escrow.list().unwrap(), rows.map(|(rotation, kind)| (rotation.to_owned(), kind)));
    assert_eq!(Escrow::local(root(&directory), "staging").list(), Ok(vec![]));

    escrow.delete("rot-1").unwrap();
    escrow.delete("rot-1").unwrap();
    assert_eq!(escrow.list(), Ok(vec![("rot-2".to_owned(), BlobKind::Old)]));
    assert_eq!(escrow.find("rot-2", BlobKind::Old), Ok(Some(armor(&other))));
}

/// A sealed copy that a killed process did not bring to its place is one, too.
#[test]
fn what_was_written_in_part_is_deleted_with_its_rotation_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let escrow = local(&directory);
    for rotation in ["rot-1", "rot-2"] {
        escrow.put(rotation, BlobKind::Old, &sealed(rotation)).unwrap();
    }
    let at = |name: &str| root(&directory).join("production").join(name);
    let beside = format!("rot-1.answer.{}.age.Ab1Cd2Ef.license-new", "0".repeat(HASH_DIGITS));
    let left = ["rot-1.answer.age.Ab1Cd2Ef.license-new", &beside];
    let stays = ["rot-2.answer.age.Ab1Cd2Ef.license-new", "rot-1.answer.age.short.license-new", "rot-1.license-new"];
    for name in left.iter().chain(&stays) {
        files::append(&at(name), b"sealed").unwrap();
    }
    // Somebody who is still writing has the lock.
    let written = at("rot-1.old.age.Wr1t1ng0.license-new");
    files::append(&written, b"sealed").unwrap();
    let writer = fs::File::options().append(true).open(&written).unwrap();
    writer.lock().unwrap();

    escrow.delete("rot-1").unwrap();
    for name in left {
        assert!(!at(name).exists(), "{name}");
    }
    for name in stays.iter().chain(&["rot-2.old.age"]) {
        assert!(at(name).exists(), "{name}");
    }
    assert!(written.exists());
    drop(writer);
    escrow.delete("rot-1").unwrap();
    assert!(!written.exists());
}

#[test]
fn files_are_for_their_owner_only_and_have_the_agreed_names() {
    let directory = tempfile::tempdir().unwrap();
    local(&directory).put("rot-1", BlobKind::Answer, &sealed("x")).unwrap();
    let mode = |path: &str| fs::metadata(root(&directory).join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("production"), mode("production/rot-1.answer.age")), (0o700, 0o700, 0o600));
    assert!(directory.path().join(".license/.gitignore").exists());
    assert_eq!(fs::read_dir(root(&directory).join("production")).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn the_same_blob_is_kept_once_and_another_one_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let escrow = local(&directory);
    let (first, second, third) = (sealed("first"), sealed("second"), sealed("third"));
    for blob in [&first, &first, &second, &third, &second, &first] {
        assert_eq!(escrow.put("rot-1", BlobKind::Answer, blob), Ok(HERE_ONLY));
    }
    let found = escrow.find_all("rot-1", BlobKind::Answer).unwrap();
    assert_eq!(found.len(), 3);
    for blob in [&first, &second, &third] {
        assert!(found.contains(&armor(blob)));
        assert_eq!(escrow.find_exact("rot-1", BlobKind::Answer, blob.hash()), Ok(Some(armor(blob))));
    }
    assert_eq!(escrow.find_exact("rot-1", BlobKind::Answer, sealed("never").hash()), Ok(None));
    assert_eq!(escrow.list(), Ok(vec![("rot-1".to_owned(), BlobKind::Answer)]));
    assert_eq!(escrow.entries_in(Look::Here).unwrap().len(), 3);
    escrow.delete("rot-1").unwrap();
    assert_eq!(escrow.find_all("rot-1", BlobKind::Answer), Ok(vec![]));
}

#[test]
fn of_several_the_newest_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let escrow = local(&directory);
    let (first, second) = (sealed("first"), sealed("second"));
    escrow.put("rot-1", BlobKind::Answer, &first).unwrap();
    escrow.put("rot-1", BlobKind::Answer, &second).unwrap();
    let path = root(&directory).join("production/rot-1.answer.age");
    for (age, newest) in [(Duration::from_secs(60), &second), (Duration::ZERO, &first)] {
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(fs::metadata(beside(&directory)).unwrap().modified().unwrap() + Duration::from_secs(1) - age)
            .unwrap();
        assert_eq!(escrow.find("rot-1", BlobKind::Answer), Ok(Some(armor(newest))));
    }
}

#[test]
fn many_runners_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let begin = Barrier::new(8);
    thread::scope(|scope| {
        for runner in 0..8 {
            let (directory, begin) = (&directory, &begin);
            scope.spawn(move || {
                let blob = sealed(&runner.to_string());
                begin.wait();
                local(directory).put("rot-1", BlobKind::Answer, &blob).unwrap();
                let kept = local(directory).find_exact("rot-1", BlobKind::Answer, blob.hash()).unwrap();
                assert_eq!(kept, Some(armor(&blob)));
            });
        }
    });
    assert_eq!(local(&directory).find_all("rot-1", BlobKind::Answer).unwrap().len(), 8);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let blob = sealed("x");
    let long = "r".repeat(ROTATION_BYTES_MAX + 1);
    for name in ["", ".", "..", "../x", "a/b", "a.b", "-x", "a b", "a\0", "é", &long] {
        assert_eq!(
            local(&directory).put(name, BlobKind::Old, &blob),
            Err(EscrowError::Name { what: "rotation" }),
            "{name:?}"
        );
        assert!(local(&directory).find(name, BlobKind::Old).is_err() && local(&directory).delete(name).is_err());
        if name != "-x" && name != long {
            let elsewhere = Escrow::local(root(&directory), name).put("rot-1", BlobKind::Old, &blob);
            assert_eq!(elsewhere, Err(EscrowError::Name { what: "environment" }), "{name:?}");
        }
    }
    assert!(!directory.path().join(".license").exists());
}

#[test]
fn what_is_no_blob_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let escrow = local(&directory);
    escrow.put("rot-1", BlobKind::Old, &sealed("x")).unwrap();
    let strange = ["notes.txt", ".tmpAb12", "rot-1.old.age.bak", "rot-1.new.age", "rot-1.old.12.age", "identity.txt"];
    for name in strange {
        files::replace(&root(&directory).join("production").join(name), b"x").unwrap();
    }
    assert_eq!(escrow.list().unwrap().len(), 1);
    escrow.delete("rot-1").unwrap();
    assert_eq!(fs::read_dir(root(&directory).join("production")).unwrap().count(), strange.len());
}

#[test]
fn what_cannot_be_looked_at_is_not_nothing() {
    let directory = tempfile::tempdir().unwrap();
    private_directory::create(&root(&directory)).unwrap();
    files::replace(&root(&directory).join("production"), b"a file").unwrap();
    let escrow = local(&directory);
    let error = escrow.find("rot-1", BlobKind::Old).unwrap_err();
    assert!(matches!(error, EscrowError::Io { .. }), "{error}");
    assert!(escrow.put("rot-1", BlobKind::Old, &sealed("x")).is_err());
    assert!(escrow.list().is_err() && escrow.delete("rot-1").is_err());
}

#[test]
fn a_shared_place_has_it_too_and_either_is_enough() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shared = |directory: &TempDir, place| Escrow::shared(root(directory), "production", Shared::Test(place));
    let (first, second) = (sealed("first"), sealed("second"));
    let place = TestPlace::default();
    let escrow = shared(&one, place);
    let both = Kept { here: Reached::Kept, shared: Reached::Kept };
    assert_eq!(escrow.put("rot-1", BlobKind::Answer, &first), Ok(both));

    // Another machine with the same shared place puts its own, and sees both.
    let Escrow { place: Place::Shared(Shared::Test(place)), .. } = escrow else { unreachable!() };
    let escrow = shared(&other, place);
    assert_eq!(escrow.find("rot-1", BlobKind::Answer), Ok(Some(armor(&first))));
    escrow.put("rot-1", BlobKind::Answer, &second).unwrap();
    assert_eq!(escrow.find("rot-1", BlobKind::Answer), Ok(Some(armor(&second))));
    assert_eq!(escrow.find_all("rot-1", BlobKind::Answer), Ok(vec![armor(&second), armor(&first)]));
    assert_eq!(escrow.find_exact("rot-1", BlobKind::Answer, first.hash()), Ok(Some(armor(&first))));
    assert_eq!(escrow.list(), Ok(vec![("rot-1".to_owned(), BlobKind::Answer)]));
    escrow.delete("rot-1").unwrap();
    assert_eq!(escrow.find_all("rot-1", BlobKind::Answer), Ok(vec![]));
}

#[test]
fn what_only_one_place_took_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let away = || Shared::Test(TestPlace { trouble: Some("no route"), ..TestPlace::default() });
    let failed = EscrowError::Shared { why: "no route".to_owned() };
    let blob = sealed("x");
    let escrow = Escrow::shared(root(&directory), "production", away());
    let here = Kept { here: Reached::Kept, shared: Reached::Failed(failed.clone()) };
    assert_eq!(escrow.put("rot-1", BlobKind::Old, &blob), Ok(here));
    assert_eq!(escrow.find("rot-1", BlobKind::Old), Ok(Some(armor(&blob))));
    assert_eq!(escrow.find("rot-2", BlobKind::Old), Err(failed.clone()), "it may be in the shared place");
    assert_eq!(escrow.list(), Err(failed.clone()));
    assert_eq!(escrow.delete("rot-2"), Err(failed));

    let broken = tempfile::tempdir().unwrap();
    files::replace(&broken.path().join(".license"), b"a file").unwrap();
    let place = Shared::Test(TestPlace::default());
    let kept = Escrow::shared(root(&broken), "production", place).put("rot-1", BlobKind::Old, &blob).unwrap();
    assert!(matches!(kept, Kept { here: Reached::Failed(EscrowError::Io { .. }), shared: Reached::Kept }), "{kept:?}");
    assert!(Escrow::shared(root(&broken), "production", away()).put("rot-1", BlobKind::Old, &blob).is_err());
}

/// The blob that was kept beside the first.
fn beside(directory: &TempDir) -> PathBuf {
    let mut paths = fs::read_dir(root(directory).join("production")).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.file_name().unwrap().len() > 30).unwrap()
}

const ROOT: &str = "XTASK_ESCROW_TEST_ROOT";

/// Starts this test binary again, to run nothing but `another_process`.
#[expect(clippy::disallowed_methods, reason = "a test of a killed process needs one")]
fn start_other(root: &TempDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "escrow::tests::another_process"])
        .env(ROOT, root.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_writer_that_is_killed_leaves_whole_blobs_only() {
    for round in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let mut other = start_other(&directory);
        let deadline = Instant::now() + Duration::from_secs(60);
        while local(&directory).list().unwrap().len() < 2 + round {
            assert!(Instant::now() < deadline, "the other process keeps nothing");
            thread::yield_now();
        }
        other.kill().unwrap();
        other.wait().unwrap();
        let kept = local(&directory).list().unwrap();
        for (rotation, kind) in kept {
            for armor in local(&directory).find_all(&rotation, kind).unwrap() {
                let armor = String::from_utf8(armor).unwrap();
                assert!(armor.starts_with("-----BEGIN") && armor.ends_with("FILE-----\n"), "{armor}");
            }
        }
        let again = sealed("again");
        assert_eq!(local(&directory).put("rot-1", BlobKind::Old, &again), Ok(HERE_ONLY));
    }
}

/// Not a test of its own: keeps one blob after the other until it is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the role of this process comes in its environment")]
fn another_process() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let escrow = Escrow::local(Path::new(&root).join(".license/escrow"), "production");
    let long = "x".repeat(60_000);
    for number in 0..5_000 {
        escrow.put(&format!("rot-{number}"), BlobKind::Answer, &sealed(&long)).unwrap();
    }
}
