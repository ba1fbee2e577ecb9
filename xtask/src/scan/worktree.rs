//! Scans the working tree: every file that is tracked or that the next `git add .` would take, what links point to, the
//! names of all of them, and what is staged.
//!
//! A file that git ignores is where a key may be: it is not listed, and not looked at.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Seek as _},
    mem,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::Path,
};

use license_core::{finding::clean, leaks::Scanner};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{
    ARCHIVE_BYTES_MAX, Progress, ScanFault, Scanned, Unscanned, Work,
    archive::{HEAD_BYTES, looks_packed},
    objects::{Missing, listed},
    place::{Place, Thing, shown_path},
    repository::Repository,
};
use crate::{
    files,
    git::{Oid, stream::Answer},
};

/// How much of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;
/// The longest line of git's list of files, in bytes: a path and what stands before it.
const LISTED_BYTES_MAX: usize = 32 * 1024;
/// After how many files the progress is told.
const FILES_BETWEEN_NEWS: u64 = 256;
/// How many files with leaks are compared with what is staged.
const LEAKING_MAX: usize = 100_000;
/// At how many paths besides the first one a staged archive is told.
const OTHER_PATHS_MAX: usize = 100;
/// How many files may be staged.
const STAGED_MAX: usize = 4_000_000;

/// Scans the working tree that a directory is in, all of it.
pub(crate) fn tree(repository: &Repository, scanner: &Scanner, progress: Progress<'_>) -> Result<Scanned, ScanFault> {
    let (top, repository) = repository.tree()?;
    let (mut outcome, leaking) = files_of(&repository, &top, scanner, progress)?;
    let known = names_of(&repository, &leaking);
    let staged = staged(&repository, scanner, progress, &known)?;
    outcome.promised += staged.promised;
    add_staged(&mut outcome, staged);
    Ok(outcome)
}

/// Scans the files, and gives the paths of those that have leaks.
fn files_of(
    repository: &Repository,
    top: &Path,
    scanner: &Scanner,
    progress: Progress<'_>,
) -> Result<(Scanned, Vec<Vec<u8>>), ScanFault> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut output = repository.git.stream(&arguments, Vec::new())?;
    let mut work = Work::new(scanner);
    let (mut name, mut chunk) = (Vec::new(), vec![0; CHUNK_BYTES]);
    let (mut before, mut leaking) = (Vec::new(), Vec::new());
    let read = loop {
        match output.until(0, LISTED_BYTES_MAX, &mut name) {
            // A conflict lists one file several times, one after the other.
            Ok(Some(())) if name == before => {}
            Ok(Some(())) => {
                before.clone_from(&name);
                let leaks = work.scanned.leaks();
                let seen = file(&mut work, top, &name, &mut chunk);
                if seen == Seen::File && work.scanned.leaks() > leaks && leaking.len() < LEAKING_MAX {
                    leaking.push(name.clone());
                }
                if work.scanned.objects.is_multiple_of(FILES_BETWEEN_NEWS) {
                    progress(&work.scanned);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    end_list(output, read, &mut work.scanned, "the working tree")?;
    Ok((work.scanned, leaking))
}

/// Which object each of these files would be, as it lies there. All of them have leaks, which were told: whoever changes
/// one just now changes no more than how often it counts, and so does a git that does not say.
fn names_of(repository: &Repository, paths: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Oid> {
    // A path on a line of its own; git takes one in quotes for another one.
    let is_plain = |path: &&Vec<u8>| path.first() != Some(&b'"') && !path.contains(&b'\n');
    let paths: Vec<&Vec<u8>> = paths.iter().filter(is_plain).collect();
    if paths.is_empty() {
        return BTreeMap::new();
    }
    let input = paths.iter().flat_map(|path| [path.as_slice(), b"\n"]).collect::<Vec<_>>().concat();
    let asked = repository.git.ask("naming files", &["hash-object", "--no-filters", "--stdin-paths"], input);
    let Some(answer) = asked.ok().filter(Answer::is_ok) else { return BTreeMap::new() };
    let names: Vec<Oid> = answer.text().lines().filter_map(Oid::parse).collect();
    if names.len() != paths.len() {
        return BTreeMap::new();
    }
    paths.into_iter().cloned().zip(names).collect()
}

/// Waits for the end of a list; one that is not whole makes the scan incomplete.
fn end_list(
    output: crate::git::stream::Streaming,
    read: io::Result<()>,
    scanned: &mut Scanned,
    what: &str,
) -> Result<(), ScanFault> {
    let why = match read {
        Ok(()) => match output.finish("listing files") {
            Ok(()) => return Ok(()),
            Err(error @ crate::git::GitError::TooOld { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        },
        Err(error) => {
            output.stop();
            clean(&error.to_string())
        }
    };
    scanned.miss(what, why);
    Ok(())
}

/// What was there, as far as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// All of a file.
    File,
    /// Something else, or nothing.
    Other,
}

/// Scans one name of the list, and what is there.
fn file(work: &mut Work<'_>, top: &Path, name: &[u8], chunk: &mut [u8]) -> Seen {
    let scanner = work.scanner;
    work.text(name, || Place::of(Thing::FileName).path(scanner, name));
    let path = top.join(OsStr::from_bytes(name));
    let about = match fs::symlink_metadata(&path) {
        Ok(about) => about,
        // Tracked, and deleted in the working tree: what is staged is scanned.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Seen::Other;
        }
        Err(error) => {
            work.scanned.miss(shown_path(scanner, name), files::why(&error));
            return Seen::Other;
        }
    };
    if about.is_symlink() {
        match fs::read_link(&path) {
            Ok(target) => {
                work.push(target.as_os_str().as_bytes());
                work.finish(|| Place::of(Thing::LinkTarget).path(scanner, name));
                work.scanned.objects += 1;
            }
            Err(error) => work.scanned.miss(shown_path(scanner, name), files::why(&error)),
        }
        Seen::Other
    } else if about.is_dir() {
        // What lies in a directory that is only in the place of a file is listed by itself.
        if fs::symlink_metadata(path.join(".git")).is_ok() {
            let shown = shown_path(scanner, name);
            work.scanned.notes.push(format!("`{shown}` is a repository of its own, and was not scanned"));
        }
        Seen::Other
    } else {
        match content(work, &path, name, chunk) {
            Ok(()) => {
                work.scanned.objects += 1;
                Seen::File
            }
            Err(error) => {
                // What was read of it must not run into the next file.
                work.finish(|| Place::of(Thing::File).path(scanner, name));
                work.scanned.miss(shown_path(scanner, name), files::why(&error));
                Seen::Other
            }
        }
    }
}

fn content(work: &mut Work<'_>, path: &Path, name: &[u8], chunk: &mut [u8]) -> io::Result<()> {
    let scanner = work.scanner;
    // What became a pipe or a link in the meantime neither keeps us waiting nor leads elsewhere.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a device, not a file"));
    }
    let place = || Place::of(Thing::File).path(scanner, name);
    let mut first = fill(&mut file, chunk)?;
    let packed = looks_packed(&chunk[..first.min(HEAD_BYTES)]);
    work.tail.begin(about.len());
    while first > 0 {
        work.push(&chunk[..first]);
        work.tail.push(&chunk[..first]);
        first = fill(&mut file, chunk)?;
    }
    work.finish(place);
    // Few files are archives: those are read once more, so that the others are held by nobody.
    if packed || work.tail.looks_zipped() {
        file.rewind()?;
        archive(work, &mut file, name, chunk)?;
    }
    Ok(())
}

fn archive(work: &mut Work<'_>, file: &mut File, name: &[u8], chunk: &mut [u8]) -> io::Result<()> {
    let scanner = work.scanner;
    let place = || Place::of(Thing::File).path(scanner, name);
    let mut whole = Vec::new();
    (&mut *file).take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut whole)?;
    if whole.len() as u64 <= ARCHIVE_BYTES_MAX {
        work.unpack(name_hint(name), &whole, &place);
        return Ok(());
    }
    let mut digest = Sha256::new_with_prefix(mem::take(&mut whole));
    loop {
        match fill(file, chunk)? {
            0 => break,
            count => digest.update(&chunk[..count]),
        }
    }
    work.too_large(place(), digest);
    Ok(())
}

fn name_hint(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Scans what is staged, all stages of a conflict included, and without what is `known` already: a file with leaks that
/// is staged just so counts once.
fn staged(
    repository: &Repository,
    scanner: &Scanner,
    progress: Progress<'_>,
    known: &BTreeMap<Vec<u8>, Oid>,
) -> Result<Scanned, ScanFault> {
    let mut output = repository.git.stream(&["ls-files", "-z", "--stage"], Vec::new())?;
    let mut outcome = Scanned::default();
    let (mut line, mut paths) = (Vec::new(), BTreeMap::new());
    let mut names: Vec<Oid> = Vec::new();
    let read = loop {
        match output.until(0, LISTED_BYTES_MAX, &mut line) {
            Ok(Some(())) => match Entry::read(&line) {
                // A submodule's commit is in another repository.
                Some(Entry { mode: "160000", .. }) => {}
                Some(entry) if known.get(entry.path) == Some(&entry.object) => {}
                Some(_) if names.len() >= STAGED_MAX => {
                    outcome.miss("staged files", format!("there are more than {STAGED_MAX}"));
                    break Ok(());
                }
                Some(entry) => {
                    let its = paths.entry(entry.object.as_str().to_owned()).or_insert_with(Vec::new);
                    its.push(entry.path.to_vec());
                    if its.len() == 1 {
                        names.push(entry.object);
                    }
                }
                None => break Err(io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read")),
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    end_list(output, read, &mut outcome, "staged files")?;
    progress(&outcome);
    let missing = if repository.is_partial()? { Missing::Promised } else { Missing::Broken };
    let place = |object: &Oid, path: &[u8]| Place {
        object: Some(object.clone()),
        ..Place::of(Thing::Staged).path(scanner, path)
    };
    let paths_of = |object: &Oid| paths.get(object.as_str()).map_or(&[][..], Vec::as_slice);
    let first = |object: &Oid| place(object, paths_of(object).first().map_or(&b""[..], Vec::as_slice));
    outcome.add(listed(repository, &names, scanner, missing, first)?);
    // An archive that was not looked into may be allowed at another one of its paths.
    for archive in mem::take(&mut outcome.unscanned) {
        let object = archive.place.object.clone();
        outcome.left_out(archive.clone());
        if let Some(object) = &object {
            for path in paths_of(object).iter().skip(1).take(OTHER_PATHS_MAX) {
                outcome.left_out(Unscanned { place: place(object, path), ..archive.clone() });
            }
        }
    }
    Ok(outcome)
}

/// One entry of the index.
struct Entry<'l> {
    mode: &'l str,
    object: Oid,
    path: &'l [u8],
}

impl<'l> Entry<'l> {
    fn read(line: &'l [u8]) -> Option<Self> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let words: Vec<&str> = std::str::from_utf8(&line[..tab]).ok()?.split(' ').collect();
        let [mode, object, _stage] = words.as_slice() else { return None };
        Some(Self { mode, object: Oid::parse(object)?, path: &line[tab + 1..] })
    }
}

/// What is staged and stands in the working tree just so is one finding, not two; and no file counts twice.
fn add_staged(scanned: &mut Scanned, staged: Scanned) {
    let Scanned { findings, more, incomplete, unscanned, notes, .. } = staged;
    scanned.more += more;
    scanned.notes.extend(notes);
    for one in incomplete {
        scanned.miss(one.what, one.why);
    }
    for one in unscanned {
        let same = |known: &Unscanned| known.place.path == one.place.path && known.sha256 == one.sha256;
        if !scanned.unscanned.iter().any(same) {
            scanned.left_out(one);
        }
    }
    for finding in findings {
        let same = scanned.findings.iter().any(|known| {
            known.place.path == finding.place.path
                && known.place.inside == finding.place.inside
                && known.leak == finding.leak
        });
        if !same {
            scanned.found(finding);
        }
    }
}
