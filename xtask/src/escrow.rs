//! Where sealed keys are kept until their rotation is closed: `.license/escrow/ENVIRONMENT/`, and a shared place
//! where there is one.
//!
//! A rotation has its old key there, and the authority's answer. Nothing that was kept is ever overwritten: the first
//! blob of a rotation and kind is `ROTATION.KIND.age`, and another one, of a second runner perhaps, lies beside it
//! as `ROTATION.KIND.HASH.age`. Blobs leave only by [`Escrow::delete`]. What is inside is not known here.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use license_core::rotation::BlobHash;

use crate::{
    files, private_directory,
    seal::{ARMOR_BYTES_MAX, Sealed},
    trail::git_escrow::GitEscrow,
};

/// The most files of an environment's escrow that are looked at.
const FILES_MAX: usize = 10_000;
/// The longest rotation id, in bytes.
const ROTATION_BYTES_MAX: usize = 128;
/// How many hex digits of a blob's hash tell it from others of the same rotation and kind.
const HASH_DIGITS: usize = 32;

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BlobKind {
    /// The key that is replaced.
    Old,
    /// What the authority answered: the new key is in it.
    Answer,
    /// What came of an answer that was cut off: nobody knows whether the whole new key is in it.
    Cut,
}

impl BlobKind {
    const ALL: [Self; 3] = [Self::Old, Self::Answer, Self::Cut];

    /// As it stands in the names of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::Answer => "answer",
            Self::Cut => "cut",
        }
    }
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The escrow of one environment.
#[derive(Debug)]
pub(crate) struct Escrow {
    /// The environment's own directory.
    directory: PathBuf,
    environment: String,
    place: Place,
}

/// Where blobs are kept besides the directory.
#[derive(Debug)]
enum Place {
    /// Nowhere.
    Local,
    /// In a place that other machines see too.
    Shared(Shared),
}

/// The shared place: blobs by name.
///
/// A name here always carries the hash of what it names, so that putting one never meets another of the same name.
#[derive(Debug)]
pub(crate) enum Shared {
    /// A ref of a git remote.
    Git(GitEscrow),
    #[cfg(test)]
    Test(tests::TestPlace),
}

impl Shared {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Git(place) => place.put(name, bytes).map_err(|error| error.to_string()),
            #[cfg(test)]
            Self::Test(place) => place.put(name, bytes),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Git(place) => place.find(name).map_err(|error| error.to_string()),
            #[cfg(test)]
            Self::Test(place) => place.find(name),
        }
    }

    fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Git(place) => place.list().map_err(|error| error.to_string()),
            #[cfg(test)]
            Self::Test(place) => place.list(),
        }
    }

    fn delete(&self, names: &[String]) -> Result<(), String> {
        match self {
            Self::Git(place) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                place.delete(&names).map_err(|error| error.to_string())
            }
            #[cfg(test)]
            Self::Test(place) => place.delete(names),
        }
    }
}

/// Where a blob is durable now: in at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// On this machine.
    pub(crate) here: Reached,
    /// In the shared place.
    pub(crate) shared: Reached,
}

/// What came of putting into the shared place what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Everything was there; or there is no such place.
    NothingLeft,
    /// It is there now.
    Done,
}

/// Whether one place has a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It has, and a power loss does not change that.
    Kept,
    /// It could not be put there.
    Failed(EscrowError),
    /// There is no such place.
    NotConfigured,
}

/// A blob as it lies in escrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The rotation.
    pub(crate) rotation: String,
    /// What it holds.
    pub(crate) kind: BlobKind,
    /// The hash by which the trail names it.
    pub(crate) hash: BlobHash,
    /// Its size in bytes.
    pub(crate) bytes: usize,
    /// Where it was found.
    pub(crate) lies: Lies,
}

/// Where a blob lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lies {
    /// On this machine.
    Here {
        /// Since when, by this machine's clock.
        since: SystemTime,
    },
    /// In the shared place, which does not tell since when.
    There,
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// On this machine.
    Here,
    /// In the shared place; there is nothing where there is no such place.
    There,
}

impl Escrow {
    /// An escrow on this machine only: in the environment's directory below this one.
    pub(crate) fn local(directory: PathBuf, environment: &str) -> Self {
        let mut own = directory;
        own.push(environment);
        Self { directory: own, environment: environment.to_owned(), place: Place::Local }
    }

    /// An escrow on this machine and in a shared place.
    pub(crate) fn shared(directory: PathBuf, environment: &str, shared: Shared) -> Self {
        Self { place: Place::Shared(shared), ..Self::local(directory, environment) }
    }

    /// Keeps a blob, here first. It is durable in every place that the answer says; an error means in none.
    /// The same blob may be put again; another one of the same rotation and kind is kept beside the first.
    pub(crate) fn put(&self, rotation: &str, kind: BlobKind, sealed: &Sealed) -> Result<Kept, EscrowError> {
        self.check_names(rotation)?;
        let here = self.put_here(rotation, kind, sealed);
        let shared = match &self.place {
            Place::Local => Reached::NotConfigured,
            Place::Shared(shared) => {
                let name = name_by_hash(rotation, kind, sealed.hash());
                match shared.put(&name, sealed.armor().as_bytes()) {
                    Ok(()) => Reached::Kept,
                    Err(why) => Reached::Failed(EscrowError::Shared { why }),
                }
            }
        };
        match (here, shared) {
            (Ok(()), shared) => Ok(Kept { here: Reached::Kept, shared }),
            (Err(error), Reached::Kept) => Ok(Kept { here: Reached::Failed(error), shared: Reached::Kept }),
            (Err(error), Reached::Failed(_) | Reached::NotConfigured) => Err(error),
        }
    }

    /// Puts into the shared place what is here of a rotation and not there: whoever kept it may not have reached it.
    pub(crate) fn share(&self, rotation: &str) -> Result<Sharing, EscrowError> {
        self.check_names(rotation)?;
        let Place::Shared(shared) = &self.place else { return Ok(Sharing::NothingLeft) };
        let mut here = Vec::new();
        for kind in BlobKind::ALL {
            let blobs = self.find_here(rotation, kind)?.into_iter();
            here.extend(blobs.map(|armor| (name_by_hash(rotation, kind, BlobHash::of(&armor)), armor)));
        }
        if here.is_empty() {
            return Ok(Sharing::NothingLeft);
        }
        let failed = |why| EscrowError::Shared { why };
        let there = shared.list().map_err(failed)?;
        here.retain(|(name, _)| !there.contains(name));
        for (name, armor) in &here {
            shared.put(name, armor).map_err(failed)?;
        }
        Ok(if here.is_empty() { Sharing::NothingLeft } else { Sharing::Done })
    }

    /// The newest blob of a rotation and kind on this machine, else one that the shared place has.
    ///
    /// There may be several. Whoever knows from the trail which one is meant asks [`Self::find_exact`]; whoever must
    /// not miss any asks [`Self::find_all`].
    pub(crate) fn find(&self, rotation: &str, kind: BlobKind) -> Result<Option<Vec<u8>>, EscrowError> {
        self.check_names(rotation)?;
        if let Some((_, armor)) = self.found_here(rotation, kind)?.pop() {
            return Ok(Some(armor));
        }
        Ok(self.found_there(rotation, kind)?.pop())
    }

    /// The blob that the trail names by its hash.
    pub(crate) fn find_exact(
        &self,
        rotation: &str,
        kind: BlobKind,
        hash: BlobHash,
    ) -> Result<Option<Vec<u8>>, EscrowError> {
        self.check_names(rotation)?;
        let is_meant = |armor: &Vec<u8>| BlobHash::of(armor) == hash;
        let here = self.found_here(rotation, kind)?.into_iter().map(|(_, armor)| armor).find(is_meant);
        if here.is_some() {
            return Ok(here);
        }
        Ok(self.found_there(rotation, kind)?.into_iter().find(is_meant))
    }

    /// Every blob of a rotation and kind, each once: those on this machine, the newest last, then the others.
    pub(crate) fn find_all(&self, rotation: &str, kind: BlobKind) -> Result<Vec<Vec<u8>>, EscrowError> {
        self.check_names(rotation)?;
        let mut found = self.find_here(rotation, kind)?;
        for armor in self.found_there(rotation, kind)? {
            if !found.contains(&armor) {
                found.push(armor);
            }
        }
        Ok(found)
    }

    /// Every blob of a rotation and kind on this machine, the newest last.
    pub(crate) fn find_here(&self, rotation: &str, kind: BlobKind) -> Result<Vec<Vec<u8>>, EscrowError> {
        self.check_names(rotation)?;
        Ok(self.found_here(rotation, kind)?.into_iter().map(|(_, armor)| armor).collect())
    }

    /// Every rotation and kind of which there is a blob, each once and in order.
    pub(crate) fn list(&self) -> Result<Vec<(String, BlobKind)>, EscrowError> {
        let names = [self.names_here()?, self.names_there()?].concat();
        let blobs: BTreeSet<_> = names.iter().filter_map(|name| parsed(name)).collect();
        Ok(blobs.into_iter().map(|(rotation, kind)| (rotation.to_owned(), kind)).collect())
    }

    /// What lies in one of the places, by rotation and kind, the newest on this machine last.
    pub(crate) fn entries_in(&self, place: Look) -> Result<Vec<Entry>, EscrowError> {
        let names = match place {
            Look::Here => self.names_here()?,
            Look::There => self.names_there()?,
        };
        let blobs: BTreeSet<_> = names.iter().filter_map(|name| parsed(name)).collect();
        let mut entries = Vec::new();
        for (rotation, kind) in blobs {
            let found: Vec<(Lies, Vec<u8>)> = match place {
                Look::Here => {
                    let found = self.found_here(rotation, kind)?.into_iter();
                    found.map(|(since, armor)| (Lies::Here { since }, armor)).collect()
                }
                Look::There => {
                    self.found_there(rotation, kind)?.into_iter().map(|armor| (Lies::There, armor)).collect()
                }
            };
            entries.extend(found.into_iter().map(|(lies, armor)| Entry {
                rotation: rotation.to_owned(),
                kind,
                hash: BlobHash::of(&armor),
                bytes: armor.len(),
                lies,
            }));
        }
        Ok(entries)
    }

    /// Removes every blob of a rotation, durably, in every place, and what killed processes wrote of one. Doing it again
    /// is no error.
    pub(crate) fn delete(&self, rotation: &str) -> Result<(), EscrowError> {
        self.check_names(rotation)?;
        let is_of_rotation = |name: &str| parsed(name).is_some_and(|(other, _)| other == rotation);
        let of_rotation = |name: &String| is_of_rotation(name);
        files::remove_left_behind(&self.directory, is_of_rotation)
            .map_err(|error| EscrowError::io(&self.directory, &error))?;
        let here: Vec<_> = self.names_here()?.into_iter().filter(of_rotation).collect();
        for name in &here {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(EscrowError::io(&path, &error)),
            }
        }
        if self.directory.exists() {
            private_directory::sync_parent(&self.directory.join("any"))
                .map_err(|error| EscrowError::io(&self.directory, &error))?;
        }
        match &self.place {
            Place::Local => Ok(()),
            Place::Shared(shared) => {
                let names = shared.list().map_err(|why| EscrowError::Shared { why })?;
                let there: Vec<_> = names.into_iter().filter(of_rotation).collect();
                if there.is_empty() {
                    return Ok(());
                }
                shared.delete(&there).map_err(|why| EscrowError::Shared { why })
            }
        }
    }

    fn put_here(&self, rotation: &str, kind: BlobKind, sealed: &Sealed) -> Result<(), EscrowError> {
        let first = self.directory.join(format!("{rotation}.{kind}.age"));
        private_directory::create(&self.directory).map_err(|error| EscrowError::io(&self.directory, &error))?;
        match created(&first, sealed)? {
            Created::Kept => Ok(()),
            Created::AnotherIsThere => {
                let beside = self.directory.join(name_by_hash(rotation, kind, sealed.hash()));
                match created(&beside, sealed)? {
                    Created::Kept => Ok(()),
                    Created::AnotherIsThere => Err(EscrowError::Damaged { path: beside }),
                }
            }
        }
    }

    /// The blobs on this machine, the newest last.
    fn found_here(&self, rotation: &str, kind: BlobKind) -> Result<Vec<(SystemTime, Vec<u8>)>, EscrowError> {
        let mut found = Vec::new();
        for name in self.names_here()?.into_iter().filter(|name| parsed(name) == Some((rotation, kind))) {
            let path = self.directory.join(name);
            let failed = |error: io::Error| EscrowError::io(&path, &error);
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            match modified.and_then(|modified| Ok((modified, files::read_limited(&path, ARMOR_BYTES_MAX as u64)?))) {
                Ok(blob) => found.push(blob),
                // Its rotation was closed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        found.sort();
        Ok(found)
    }

    fn found_there(&self, rotation: &str, kind: BlobKind) -> Result<Vec<Vec<u8>>, EscrowError> {
        let Place::Shared(shared) = &self.place else { return Ok(Vec::new()) };
        let failed = |why| EscrowError::Shared { why };
        let mut found = Vec::new();
        for name in shared.list().map_err(failed)?.iter().filter(|name| parsed(name) == Some((rotation, kind))) {
            found.extend(shared.find(name).map_err(failed)?);
        }
        Ok(found)
    }

    /// The names of blobs in the directory, in order. What is not named like one is left out: temporary files.
    fn names_here(&self) -> Result<Vec<String>, EscrowError> {
        let failed = |error: io::Error| EscrowError::io(&self.directory, &error);
        let read = match fs::read_dir(&self.directory) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in read {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().filter(|name| parsed(name).is_some()).map(str::to_owned));
            if names.len() > FILES_MAX {
                return Err(EscrowError::TooMany { path: self.directory.clone() });
            }
        }
        names.sort();
        Ok(names)
    }

    /// The names in the shared place; none where there is no such place.
    fn names_there(&self) -> Result<Vec<String>, EscrowError> {
        match &self.place {
            Place::Local => Ok(Vec::new()),
            Place::Shared(shared) => shared.list().map_err(|why| EscrowError::Shared { why }),
        }
    }

    /// Nothing that is not a plain name gets near a path.
    fn check_names(&self, rotation: &str) -> Result<(), EscrowError> {
        let in_environment = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.environment.is_empty() || !self.environment.bytes().all(in_environment) {
            return Err(EscrowError::Name { what: "environment" });
        }
        if is_rotation(rotation) { Ok(()) } else { Err(EscrowError::Name { what: "rotation" }) }
    }
}

/// How making a file ended.
enum Created {
    /// It is there, with these bytes.
    Kept,
    /// It is there with other bytes.
    AnotherIsThere,
}

fn created(path: &Path, sealed: &Sealed) -> Result<Created, EscrowError> {
    let failed = |error: io::Error| EscrowError::io(path, &error);
    match files::create(path, sealed.armor().as_bytes()) {
        Ok(()) => Ok(Created::Kept),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if files::read_limited(path, ARMOR_BYTES_MAX as u64).map_err(failed)? != sealed.armor().as_bytes() {
                return Ok(Created::AnotherIsThere);
            }
            // Whoever made it may have been killed before its name was durable.
            private_directory::sync_parent(path).map_err(failed)?;
            Ok(Created::Kept)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Letters, digits, `-` and `_`: no dot, so that the parts of a file's name can be told apart.
fn is_rotation(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ROTATION_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-')
}

fn name_by_hash(rotation: &str, kind: BlobKind, hash: BlobHash) -> String {
    let hash: String = hash.to_string().chars().take(HASH_DIGITS).collect();
    format!("{rotation}.{kind}.{hash}.age")
}

/// The rotation and the kind of a blob, from its name.
fn parsed(name: &str) -> Option<(&str, BlobKind)> {
    let mut parts = name.strip_suffix(".age")?.split('.');
    let (rotation, kind, hash) = (parts.next()?, parts.next()?, parts.next());
    let kind = BlobKind::ALL.into_iter().find(|known| known.name() == kind)?;
    let is_hash = |hash: &str| hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let good = is_rotation(rotation) && hash.is_none_or(is_hash) && parts.next().is_none();
    good.then_some((rotation, kind))
}

/// Why the escrow cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub(crate) enum EscrowError {
    /// A name that could lead elsewhere.
    #[error("the {what}'s name cannot be the name of a file in escrow")]
    #[diagnostic(help("take it as `cargo xtask escrow show` prints it"))]
    Name {
        /// `environment` or `rotation`.
        what: &'static str,
    },
    /// The operating system said no.
    #[error("the escrow `{}` cannot be used: {why}", path.display())]
    #[diagnostic(help("look at its owner, its permissions and the space on the disk"))]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// What the operating system said.
        why: String,
    },
    /// A file does not hold what its name says.
    #[error("`{}` does not hold what its name says", path.display())]
    #[diagnostic(help("move it away, keep it, and run the command again"))]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// More files than closed rotations leave.
    #[error("there are more than {FILES_MAX} files in `{}`", path.display())]
    #[diagnostic(help("rotations that were closed leave none; move away what is not needed"))]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// The shared place.
    #[error("the shared escrow cannot be used: {why}")]
    #[diagnostic(help("look at the remote and at the right to push to it, and run the command again"))]
    Shared {
        /// What it said, clean.
        why: String,
    },
}

impl EscrowError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), why: files::why(error) }
    }
}

#[cfg(test)]
mod tests;
