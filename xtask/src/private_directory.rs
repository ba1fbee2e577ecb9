//! Directories for what belongs to this checkout alone: logs, trails, locks.

#![expect(clippy::disallowed_methods, reason = "this is the door to directories")]

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

/// The directory's name under which everything is kept out of version control.
const LICENSE_DIRECTORY: &str = ".license";
/// How its name begins until it is whole.
const NEW_PREFIX: &str = ".license.new-";
/// Nobody but this user looks into it.
const MODE: u32 = 0o700;

/// Creates a directory and those above it, for this user only and durably. One that exists is left as it is; a new
/// `.license` gets a `.gitignore`, so that nothing in it is committed by accident.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    missing.into_iter().rev().try_for_each(create_one)
}

/// Makes the names of new files in a file's directory survive a power loss.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn create_one(directory: &Path) -> io::Result<()> {
    let created = if directory.file_name().is_some_and(|name| name == LICENSE_DIRECTORY) {
        create_ignored(directory)
    } else {
        DirBuilder::new().mode(MODE).create(directory)
    };
    match created {
        Ok(()) => sync_parent(directory),
        // Another process was faster.
        Err(_) if directory.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates the directory with its `.gitignore` in it: whoever is killed here leaves none that is not ignored.
fn create_ignored(directory: &Path) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(NEW_PREFIX).permissions(Permissions::from_mode(MODE));
    let new = builder.tempdir_in(parent(directory))?;
    let mut gitignore = File::create_new(new.path().join(".gitignore"))?;
    gitignore.write_all(b"*\n")?;
    gitignore.sync_all()?;
    fs::rename(new.path(), directory)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_license_directory_is_private_and_ignored_by_git() {
        let root = tempfile::tempdir().unwrap();
        let trail = root.path().join(".license/trail");
        create(&trail).unwrap();
        for directory in [&trail, &root.path().join(".license")] {
            assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let ignored = crate::files::read_limited(&root.path().join(".license/.gitignore"), 100).unwrap();
        assert_eq!(ignored, b"*\n");
        assert!(!trail.join(".gitignore").exists());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn of_many_that_create_it_at_once_all_find_it_whole() {
        for _ in 0..50 {
            let root = tempfile::tempdir().unwrap();
            let license = &root.path().join(".license");
            std::thread::scope(|scope| {
                for name in ["trail", "escrow", "state", "more"] {
                    scope.spawn(move || {
                        create(&license.join(name)).unwrap();
                        assert!(license.join(".gitignore").exists());
                    });
                }
            });
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_directory_that_exists_is_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let license = root.path().join(".license");
        fs::create_dir(&license).unwrap();
        create(&license.join("trail")).unwrap();
        assert!(!license.join(".gitignore").exists());
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        File::create(root.path().join("file")).unwrap();
        let error = create(&root.path().join("file/trail")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
