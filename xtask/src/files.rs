//! Reads files with a limit, and writes them so that a reader sees the old file or the new one, never a part.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the door to files that are read whole, replaced, or appended to for others"
)]

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, Permissions, TryLockError},
    io::{self, BufRead as _, BufReader, Read, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

mod rewrite;

pub(crate) use rewrite::{RewriteError, rewrite, try_rewrite};

/// Reads a file of at most `bytes_max` bytes. A longer one, a directory, and what may keep us waiting is an error.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = opened(path)?;
    // With one byte more than there is, the end is seen without another look for room.
    let expected = metadata.len().min(bytes_max) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Opens a file to be read piece by piece. A directory, and what may keep us waiting is an error.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    opened(path).map(|(file, _)| file)
}

fn opened(path: &Path) -> io::Result<(File, Metadata)> {
    // Opening a named pipe would wait for its writer, without a bound and past any signal.
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(at_once).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a device, not a file"));
    }
    Ok((file, metadata))
}

/// Appends to a file that somebody else made for us.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Write::write_all(&mut File::options().append(true).create(true).open(path)?, bytes)
}

/// How the name of a new file ends until it takes its place: the file's name, a random word and this.
const NEW: &str = ".license-new";
/// How long the random word is, in characters.
const WORD_CHARS: usize = 8;
/// How many entries of a directory are looked at for new files that were left behind.
const ENTRIES_MAX: usize = 10_000;
/// How often a new file is begun that somebody else took for one that was left behind.
const BEGINNINGS_MAX: u32 = 10;

/// Writes a file beside its place and renames it: a reader sees the old file or the new one, and only its owner may read it.
/// It is on disk when this returns. Do not name a symbolic link: it would be replaced by the file.
///
/// What a killed process left of the same file is removed: it may hold a key.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = written(path, bytes)?;
    file.persist(path)?;
    File::open(directory(path))?.sync_all()
}

/// Like [`replace`], for a file that is not there yet: one that is there stays as it is, whoever made it and when, and
/// is an error of the kind `AlreadyExists`.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = written(path, bytes)?;
    file.persist_noclobber(path)?;
    File::open(directory(path))?.sync_all()
}

/// Like [`replace`], with a mode that does not depend on who writes it.
pub(crate) fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    put(path, mode, |file| file.write_all(bytes))
}

/// Like [`replace_with_mode`], for a place that a person named: what is there and is no plain file stays. A rename would
/// put the file in the place of a device, or of a symbolic link.
pub(crate) fn publish(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    plain_or_missing(path)?;
    replace_with_mode(path, bytes, mode)
}

fn plain_or_missing(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")),
        Ok(metadata) if !metadata.is_file() => {
            let what = "it is a symbolic link, a pipe or a device; name a plain file";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a file into its place as [`replace`] does, with a mode of its own. A longer one than `bytes_max` is an error.
pub(crate) fn copy(from: &Path, path: &Path, mode: u32, bytes_max: u64) -> io::Result<()> {
    let source = File::open(from)?;
    put(path, mode, |file| match io::copy(&mut source.take(bytes_max + 1), file)? {
        copied if copied > bytes_max => {
            Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")))
        }
        _ => Ok(()),
    })
}

/// Moves a file, or a symbolic link as such, over another one in the same directory: a reader sees the one or the other.
pub(crate) fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(directory(to))?.sync_all()
}

/// Whether two files have the same bytes.
pub(crate) fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let [mut one, mut other] = [one, other].map(|file| BufReader::with_capacity(COMPARED_BYTES, file));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if left[..count] != right[..count] {
            return Ok(false);
        }
        if count == 0 {
            // Both have ended, or one was cut short while we looked.
            return Ok(left.len() == right.len());
        }
        one.consume(count);
        other.consume(count);
    }
}

/// How much of each file is compared at once, in bytes.
const COMPARED_BYTES: usize = 256 * 1024;

/// The first bytes of a file, which may be longer. What is no file is an error.
pub(crate) fn read_head(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(at_once).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Like [`publish`], for what is written piece by piece and is its owner's alone. A file that is there is replaced only
/// where it is empty or `may_go`, by its first bytes. After an error the file is what it was.
pub(crate) fn publish_by(
    path: &Path,
    may_go: impl Fn(&[u8]) -> Result<(), &'static str>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    plain_or_missing(path)?;
    match read_head(path, HEAD_BYTES) {
        Ok(head) if !head.is_empty() => {
            may_go(&head).map_err(|why| io::Error::new(io::ErrorKind::AlreadyExists, why))?;
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    put(path, OWNER_ONLY, write)
}

/// How much is looked at of a file that may be replaced, in bytes.
const HEAD_BYTES: u64 = 4 * 1024;

/// Only the owner reads and writes it.
const OWNER_ONLY: u32 = 0o600;

fn put(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    sweep(path);
    let mut file = begun(path)?;
    write(file.as_file_mut())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory(path))?.sync_all()
}

/// A new file for a place, whole and on disk.
fn written(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    sweep(path);
    let mut file = begun(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A new, empty file beside a place. It is locked, by which others see that it was not left behind.
fn begun(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(NEW).rand_bytes(WORD_CHARS);
    for _ in 1..BEGINNINGS_MAX {
        // It is created with mode 0600, and keeps it.
        let file = builder.tempfile_in(directory(path))?;
        match file.as_file().try_lock() {
            // Nobody removes it from now on; somebody may have done so right before.
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // There are no locks here: then nothing is taken for left behind either.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    builder.tempfile_in(directory(path))
}

/// Removes the new files of a place that nobody is writing any more. What cannot be removed is left.
fn sweep(path: &Path) {
    let prefix = prefix(path);
    let Ok(entries) = fs::read_dir(directory(path)) else { return };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        if is_new_file(&entry.file_name(), &prefix)
            && let Some(_locked) = left_behind(&entry.path())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes what killed processes left of new files in a directory, where the name of the file that they were to become is
/// meant. What somebody is still writing stays.
pub(crate) fn remove_left_behind(directory: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    for entry in entries.take(ENTRIES_MAX) {
        let entry = entry?;
        if entry.file_name().to_str().and_then(place_of).is_some_and(&is_meant)
            && let Some(_locked) = left_behind(&entry.path())
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The name of the file that a new file was to become.
fn place_of(new: &str) -> Option<&str> {
    let (place, word) = new.strip_suffix(NEW)?.rsplit_once('.')?;
    (word.len() == WORD_CHARS && word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(place)
}

fn is_new_file(name: &OsStr, prefix: &OsStr) -> bool {
    let word = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
    let word = word.and_then(|rest| rest.strip_suffix(NEW.as_bytes()));
    word.is_some_and(|word| word.len() == WORD_CHARS && word.iter().all(u8::is_ascii_alphanumeric))
}

/// A new file, locked, if the process that wrote it is gone, and its lock with it.
fn left_behind(path: &Path) -> Option<File> {
    let plainly = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = File::options().read(true).custom_flags(plainly).open(path).ok()?;
    (file.metadata().ok()?.is_file() && file.try_lock().is_ok()).then_some(file)
}

/// How the names of a file's new files begin: as the file's own, so that what is kept out of version control and out of
/// sight by its name stays so.
fn prefix(path: &Path) -> OsString {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    prefix
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why a file cannot be used, in words that fit after a colon.
pub(crate) fn why(error: &io::Error) -> String {
    const KNOWN: [(io::ErrorKind, &str); 3] = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "the permission is missing"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
    ];
    let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_left_of_a_file_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".env");
        let others = [".env.Ab1Cd2Ef.new", ".env.local", ".env.second.Ab1Cd2Ef.license-new", ".env.short.license-new"];
        for name in others.iter().chain(&[".env.Ab1Cd2Ef.license-new", ".env.00000000.license-new"]) {
            fs::write(root.path().join(name), "KEY=TO-PRD-left").unwrap();
        }
        fs::create_dir(root.path().join(".env.Direct0r.license-new")).unwrap();
        let mut left = [&others[..], &[".env", ".env.Direct0r.license-new"]].concat();
        left.sort_unstable();
        replace(&path, b"KEY=TO-PRD-new").unwrap();
        assert_eq!(names(root.path()), left);
        assert_eq!(fs::read(&path).unwrap(), b"KEY=TO-PRD-new");

        fs::write(root.path().join(".env.Ab1Cd2Ef.license-new"), "").unwrap();
        try_rewrite(&path, b"").unwrap();
        assert_eq!(names(root.path()), left);
    }

    #[test]
    fn a_file_that_is_being_written_is_not_taken_for_left_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".env");
        let under_way = begun(&path).unwrap();
        replace(&path, b"other").unwrap();
        assert_eq!(names(root.path()).len(), 2);
        under_way.persist(&path).unwrap();
        assert_eq!(names(root.path()), [".env"]);
    }

    #[test]
    fn many_that_write_one_file_at_once_all_succeed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".env");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for turn in 0..25 {
                        replace(path, format!("{writer}:{turn}").as_bytes()).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(root.path()), [".env"]);
    }
}
