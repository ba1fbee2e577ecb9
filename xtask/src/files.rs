//! Reads files with a limit, and writes them so that a reader sees the old file or the new one, never a part.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the door to files that are read whole, replaced, or appended to for others"
)]

use std::{
    fs::{File, Permissions},
    io::{self, BufRead as _, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// Reads a file of at most `bytes_max` bytes. A longer one, a directory, and what may keep us waiting is an error.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
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
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Appends to a file that somebody else made for us.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Write::write_all(&mut File::options().append(true).create(true).open(path)?, bytes)
}

/// Writes a file beside its place and renames it: a reader sees the old file or the new one, and only its owner may read it.
/// It is on disk when this returns. Do not name a symbolic link: it would be replaced by the file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = directory(path);
    // A temporary file is created with mode 0600, and keeps it.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// Like [`replace`], for a file that is not there yet: one that is there stays as it is, whoever made it and when, and
/// is an error of the kind `AlreadyExists`.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(directory(path))?.sync_all()
}

/// Like [`replace`], with a mode that does not depend on who writes it.
pub(crate) fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    put(path, mode, |file| file.write_all(bytes))
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
    std::fs::rename(from, to)?;
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

fn put(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory(path))?;
    write(file.as_file_mut())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory(path))?.sync_all()
}

/// Proves that files can be written beside a path, and leaves nothing behind.
pub(crate) fn try_directory(path: &Path) -> io::Result<()> {
    tempfile::NamedTempFile::new_in(directory(path))?.close()
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
