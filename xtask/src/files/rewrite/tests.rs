//! Who may read a file before, while and after it is replaced.

use std::{fs, os::unix::fs::chown, path::PathBuf, thread};

use super::*;

/// Somebody who is not the user of the tests, and a group of that name.
const OTHER_USER: u32 = 1000;
const OTHER_GROUP: u32 = 1001;

/// A directory with a file of this mode.
fn with_file(mode: u32) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(".env");
    super::super::replace(&path, b"old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (root, path)
}

fn access(path: &Path) -> Access {
    Access::of(path).unwrap().unwrap()
}

/// Gives a file away, or says why that cannot be tried here.
fn given_away(path: &Path, uid: u32, gid: u32) -> bool {
    match chown(path, Some(uid), Some(gid)) {
        Ok(()) => true,
        Err(error) => skipped(&format!("this user cannot give files away: {error}")),
    }
}

fn skipped(why: &str) -> bool {
    io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
    false
}

#[test]
fn a_file_that_is_rewritten_keeps_its_mode_and_a_new_one_is_its_owners_alone() {
    for mode in [0o600, 0o640, 0o644, 0o660, 0o400, 0o666] {
        let (root, path) = with_file(mode);
        try_rewrite(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "{mode:o}");
        rewrite(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new", "{mode:o}");
        assert_eq!(access(&path).mode, mode, "{mode:o}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "{mode:o}: no temporary file stays");
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(".env");
    rewrite(&path, b"new").unwrap();
    assert_eq!(access(&path).mode, 0o600);
}

#[test]
fn bits_that_let_nobody_read_are_not_handed_on() {
    let (_root, path) = with_file(0o4755);
    rewrite(&path, b"new").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_file_that_is_rewritten_keeps_its_owner_and_its_group() {
    for (uid, gid) in [(OTHER_USER, OTHER_GROUP), (OTHER_USER, 0), (0, OTHER_GROUP)] {
        let (_root, path) = with_file(0o640);
        if !given_away(&path, uid, gid) {
            return;
        }
        let before = access(&path);
        assert_eq!((before.uid, before.gid), (uid, gid));
        rewrite(&path, b"new").unwrap();
        assert_eq!(access(&path), before);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}

/// The group of whoever writes is never let in, nor is anybody before the owner and the group are the right ones.
#[test]
fn a_new_file_is_read_by_nobody_else_on_its_way() {
    let (root, path) = with_file(0o640);
    if !given_away(&path, OTHER_USER, OTHER_GROUP) {
        return;
    }
    thread::scope(|scope| {
        let writing = scope.spawn(|| (0..100).for_each(|_| rewrite(&path, b"new").unwrap()));
        let mut seen = 0;
        while !writing.is_finished() {
            for entry in fs::read_dir(root.path()).unwrap().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let who = (metadata.mode() & ACCESS_BITS, metadata.gid());
                assert!(who.0 == 0o600 || who == (0o640, OTHER_GROUP), "{who:?}");
                seen += usize::from(entry.file_name() != ".env");
            }
        }
        assert!(seen > 0, "nothing was seen on its way");
    });
}

/// As a kernel that does not tell mounts has it.
#[test]
fn a_rename_over_a_mount_is_told_as_such() {
    let busy = not_renamed(io::Error::from(rustix::io::Errno::BUSY));
    assert!(busy.to_string().starts_with("it is mounted as a single file"), "{busy}");
    let full = not_renamed(io::Error::from(rustix::io::Errno::NOSPC));
    assert!(matches!(full, RewriteError::Io(_)), "{full}");
}

#[cfg(target_os = "linux")]
mod lists {
    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    /// The list of a file whose owner may write and one more user read, its group and all others nothing.
    fn one_more_reader(uid: u32) -> Vec<u8> {
        const VERSION: u32 = 2;
        const NOBODY: u32 = u32::MAX;
        // The owner, one user, the group, the most that both of the latter may do, and all others.
        let entries: [(u16, u16, u32); 5] =
            [(0x01, 6, NOBODY), (0x02, 4, uid), (0x04, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)];
        let mut list = VERSION.to_le_bytes().to_vec();
        for (who, what, id) in entries {
            list.extend(who.to_le_bytes().into_iter().chain(what.to_le_bytes()).chain(id.to_le_bytes()));
        }
        list
    }

    fn set(path: &Path, name: &str) -> bool {
        match setxattr(path, name, &one_more_reader(OTHER_USER), XattrFlags::empty()) {
            Ok(()) => true,
            Err(errno) => skipped(&format!("the file system of the tests has no access control lists: {errno}")),
        }
    }

    /// Its mode reads 0640, and its group may read nothing: the mode alone would let the group in.
    #[test]
    fn an_access_control_list_is_kept() {
        let (_root, path) = with_file(0o600);
        if !set(&path, "system.posix_acl_access") {
            return;
        }
        let before = access(&path);
        assert_eq!((before.mode, before.list.as_deref()), (0o640, Some(&*one_more_reader(OTHER_USER))));
        rewrite(&path, b"new").unwrap();
        assert_eq!(access(&path), before);
    }

    #[test]
    fn a_list_that_the_directory_hands_down_lets_nobody_in() {
        let (root, path) = with_file(0o640);
        if !set(root.path(), "system.posix_acl_default") {
            return;
        }
        let before = access(&path);
        assert_eq!(before.list, None);
        rewrite(&path, b"new").unwrap();
        assert_eq!(access(&path), before);
    }
}
