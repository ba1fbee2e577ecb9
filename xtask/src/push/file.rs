//! The `license.toml` of what is pushed: read from the commit, since the work tree may hold another one.
//!
//! By default it is the file at the top of the repository; `--config` names another one of the work tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::{
    ahead::Ahead,
    error::PushError,
    lines::Update,
    repository::{Contents, Found},
};
use crate::{
    config::{self, Blocking, Config, ConfigError},
    git::Oid,
    vars::Vars,
};

/// Where the file is, in commits and in the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePlace {
    /// Its path from the top of the tree, with slashes.
    pub(crate) in_commit: String,
    /// The same in the work tree; none in a bare repository.
    pub(crate) in_tree: Option<PathBuf>,
    /// The directory that paths in it are relative to, absolute.
    pub(crate) root: PathBuf,
}

impl FilePlace {
    /// The place that `--config` names, or the top of the tree. `top` is the work tree's; a bare repository has none.
    pub(crate) fn of(named: Option<&Path>, directory: &Path, top: Option<&Path>) -> Result<Self, PushError> {
        let base = top.unwrap_or(directory);
        let Some(named) = named else {
            return Ok(Self::at(config::FILE_NAME.to_owned(), base, top));
        };
        let outside = || PushError::ConfigOutside { path: named.to_owned() };
        let absolute = plain(&directory.join(named)).ok_or_else(outside)?;
        // The same directory may have several names.
        let bases = [Some(base.to_owned()), base.canonicalize().ok()];
        let below = bases.into_iter().flatten().find_map(|base| Some(absolute.strip_prefix(base).ok()?.to_owned()));
        let text = below.and_then(|path| path.to_str().map(str::to_owned)).ok_or_else(outside)?;
        if text.is_empty() || text.contains('\n') {
            return Err(outside());
        }
        Ok(Self::at(text, base, top))
    }

    /// Whether the work tree has one, of whatever content.
    pub(crate) fn is_in_tree(&self) -> bool {
        self.in_tree.as_deref().is_some_and(config::is_there)
    }

    fn at(in_commit: String, base: &Path, top: Option<&Path>) -> Self {
        let file = base.join(&in_commit);
        let root = file.parent().unwrap_or(base).to_owned();
        Self { in_tree: top.map(|_| file), root, in_commit }
    }
}

/// A path without `.` and `..`; none that leads above the root.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    Some(plain)
}

/// A file of the push, and the refs that bring it.
#[derive(Debug)]
pub(crate) struct PushedFile {
    /// As messages call it: the commit and the path, as git writes them.
    pub(crate) shown: String,
    /// What it says.
    pub(crate) says: Says,
    /// Its content; none where there is none, or where it was not read.
    pub(crate) bytes: Option<Vec<u8>>,
    /// The names of the refs on the remote.
    pub(crate) refs: Vec<Vec<u8>>,
}

/// What a file of the push comes to.
#[derive(Debug)]
pub(crate) enum Says {
    /// It is good.
    Good(Box<Config>),
    /// It is there, and was not read, for this reason.
    LeftOut(String),
    /// It is in a newer format than this program reads.
    Newer {
        /// Which one, in words.
        format: String,
        /// The environments that stop a push when nobody knows their license, as far as that can be read.
        blocking: Vec<Blocking>,
    },
    /// It is broken.
    Broken(Box<ConfigError>),
    /// There is none.
    Nothing,
}

/// What is at the file's path in every pushed object, as it is stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// By the name of the pushed object.
    found: BTreeMap<String, Found>,
    contents: Contents,
}

/// The objects whose file is read: each of those that are pushed, once.
pub(crate) fn objects(updates: &[Update]) -> Vec<&Oid> {
    updates.iter().filter_map(|update| update.new.as_ref()).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Stored {
    /// What was found in each of these objects.
    pub(crate) fn of(objects: &[&Oid], found: Vec<Found>, contents: Contents) -> Self {
        Self { found: objects.iter().map(ToString::to_string).zip(found).collect(), contents }
    }
}

/// Understands what was read, as far as that was not done ahead: each content once, and one for all the refs that bring
/// none.
pub(crate) fn understand(
    stored: Stored,
    place: &FilePlace,
    updates: &[Update],
    ahead: &mut Ahead,
    vars: &Vars,
) -> Vec<PushedFile> {
    let Stored { found, mut contents } = stored;
    let mut files: BTreeMap<String, PushedFile> = BTreeMap::new();
    for (update, oid) in updates.iter().filter_map(|update| Some((update, update.new.as_ref()?))) {
        let Some(found) = found.get(oid.as_str()) else { continue };
        let shown = shown(oid, &place.in_commit);
        let file = files.entry(key(found)).or_insert_with(|| {
            let bytes = match found {
                Found::File(blob) => contents.remove(blob.as_str()),
                Found::Nothing | Found::Unreadable(_) | Found::LeftOut(_) => None,
            };
            let bytes_or_none = bytes.as_deref().unwrap_or_default();
            let says = match found {
                Found::Nothing => Says::Nothing,
                Found::LeftOut(why) => Says::LeftOut(why.clone()),
                Found::Unreadable(why) => Says::Broken(Box::new(ConfigError::unreadable(&shown, why))),
                Found::File(_) => ahead
                    .says(&shown, &place.root, bytes_or_none)
                    .unwrap_or_else(|| says_in(&shown, &place.root, bytes_or_none, vars)),
            };
            PushedFile { shown, says, bytes, refs: Vec::new() }
        });
        file.refs.push(update.remote_ref.clone());
    }
    files.into_values().collect()
}

/// What makes two of them one.
fn key(found: &Found) -> String {
    match found {
        Found::File(blob) => blob.to_string(),
        Found::Nothing => String::new(),
        Found::Unreadable(why) | Found::LeftOut(why) => why.clone(),
    }
}

/// How messages call the file of a pushed object.
pub(super) fn shown(oid: &Oid, in_commit: &str) -> String {
    format!("{}:{in_commit}", crate::scan::short(oid))
}

/// What a file with this content says.
pub(super) fn says_in(shown: &str, root: &Path, bytes: &[u8], vars: &Vars) -> Says {
    match config::of_commit(shown, bytes.to_owned(), root, vars) {
        Ok(config) => Says::Good(Box::new(config)),
        Err(error) => match error.newer_format() {
            Some(format) => Says::Newer { format: format.to_owned(), blocking: config::blocking(bytes) },
            None => Says::Broken(Box::new(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(named: Option<&str>) -> Option<(String, PathBuf)> {
        let place = FilePlace::of(named.map(Path::new), Path::new("/r/deploy"), Some(Path::new("/r"))).ok()?;
        Some((place.in_commit, place.root))
    }

    #[test]
    fn the_file_is_at_the_top_unless_another_one_of_the_tree_is_named() {
        let place = |path: &str, root: &str| Some((path.to_owned(), PathBuf::from(root)));
        for (named, expected) in [
            (None, place("license.toml", "/r")),
            (Some("license.toml"), place("deploy/license.toml", "/r/deploy")),
            (Some("../license.toml"), place("license.toml", "/r")),
            (Some("./a/../b.toml"), place("deploy/b.toml", "/r/deploy")),
            (Some("/r/app/license.toml"), place("app/license.toml", "/r/app")),
            (Some("/etc/license.toml"), None),
            (Some("../../license.toml"), None),
            (Some("/r"), None),
            (Some("a\nb"), None),
        ] {
            assert_eq!(of(named), expected, "{named:?}");
        }
    }

    #[test]
    fn a_bare_repository_has_the_file_in_its_commits_alone() {
        let place = FilePlace::of(None, Path::new("/r.git"), None).unwrap();
        assert_eq!((place.in_commit.as_str(), place.in_tree), ("license.toml", None));
    }
}
