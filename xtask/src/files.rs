//! Reads files with a limit, and writes them so that a reader sees the old file or the new one, never a part.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Reads a file of at most `bytes_max` bytes. A longer one, and a directory, is an error.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
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
    io::Write::write_all(&mut File::options().append(true).create(true).open(path)?, bytes)
}
