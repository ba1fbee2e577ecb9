//! Finds the program of a command, and says why one cannot be started.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::Job;

/// Where programs are looked up when the job has no `PATH`.
pub(super) const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A word with a slash is a path from the job's directory; one without is looked up in the job's `PATH`.
pub(super) fn find(word: &str, job: &Job<'_>) -> Result<PathBuf, String> {
    if word.contains('/') {
        let path = job.directory.join(word);
        return match At::look(&path) {
            At::Program => Ok(path),
            At::Nothing => Err(format!("`{word}` does not exist in `{}`", job.directory.display())),
            At::Directory => Err(format!("`{word}` is a directory")),
            At::NotExecutable => Err(not_executable(word)),
        };
    }
    let path = job.variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    find_in_path(word, job.directory, path.unwrap_or(OsStr::new(PATH_DEFAULT)))
}

/// Looks a word up in a `PATH`, whose relative entries begin in the directory.
pub(super) fn find_in_path(word: &str, directory: &Path, path: &OsStr) -> Result<PathBuf, String> {
    let mut not_executable_at = None;
    for candidate in std::env::split_paths(path).map(|entry| directory.join(entry).join(word)) {
        match At::look(&candidate) {
            At::Program => return Ok(candidate),
            At::NotExecutable => not_executable_at = not_executable_at.or(Some(candidate)),
            At::Nothing | At::Directory => {}
        }
    }
    Err(match (not_executable_at, At::look(&directory.join(word))) {
        (Some(found), _) => not_executable(&found.display().to_string()),
        (None, At::Program | At::NotExecutable) => {
            format!("`{word}` is not in PATH; for the file in `{}` write `./{word}`", directory.display())
        }
        (None, At::Nothing | At::Directory) => format!("`{word}` is not in PATH; install it, or write its whole path"),
    })
}

fn not_executable(program: &str) -> String {
    format!("`{program}` is not executable: chmod +x {program}")
}

/// What is found at a path.
enum At {
    Program,
    Nothing,
    Directory,
    NotExecutable,
}

impl At {
    fn look(path: &Path) -> Self {
        const EXECUTABLE_BITS: u32 = 0o111;
        match path.metadata() {
            Err(_) => Self::Nothing,
            Ok(found) if found.is_dir() => Self::Directory,
            Ok(found) if found.permissions().mode() & EXECUTABLE_BITS == 0 => Self::NotExecutable,
            Ok(_) => Self::Program,
        }
    }
}

/// Explains an error of the operating system at the start of a program that was found.
pub(super) fn why_not_started(word: &str, program: &Path, error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => match interpreter(program) {
            Some(name) => format!("`{word}` is to be run by `{name}`, which does not exist: correct its first line"),
            None => format!("`{word}` needs a loader that is not on this machine: build it for this machine"),
        },
        Some(Errno::NOEXEC) => {
            format!("`{word}` is neither a program for this machine nor a script whose first line starts with `#!`")
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            format!("`{word}` may not be run by this user: look at its owner, its mode and the disk's mount options")
        }
        Some(Errno::TOOBIG) => "its arguments and variables together are too long for the operating system".to_owned(),
        Some(_) => system_said(error),
        // The operating system was not asked: the texts that it takes end at the first NUL.
        None => "one of its arguments or variables holds a NUL character".to_owned(),
    }
}

/// An error without a better explanation.
pub(super) fn system_said(error: &io::Error) -> String {
    format!("the operating system said: {error}")
}

/// The interpreter that the first line of a script names, with the carriage return that many of them owe their failure to.
fn interpreter(script: &Path) -> Option<String> {
    const LINE_BYTES_MAX: u64 = 256;
    let mut start = Vec::new();
    File::open(script).ok()?.take(LINE_BYTES_MAX).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).replace('\r', "\\r");
    line.split_whitespace().next().map(str::to_owned)
}
