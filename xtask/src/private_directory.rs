//! Directories for what belongs to this checkout alone: logs, trails, locks.

#![expect(clippy::disallowed_methods, reason = "this is the door to directories")]

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// The directory's name under which everything is kept out of version control.
const LICENSE_DIRECTORY: &str = ".license";

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
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    if directory.file_name().is_some_and(|name| name == LICENSE_DIRECTORY) {
        let mut gitignore =
            OpenOptions::new().write(true).create(true).truncate(true).open(directory.join(".gitignore"))?;
        gitignore.write_all(b"*\n")?;
    }
    sync_parent(directory)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

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
