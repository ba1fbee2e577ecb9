//! The main worktree of a linked one, by git's files: it has the files that git ignores and a linked one does not get.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{files, store::Source};

/// The longest file in which git names a directory, in bytes.
const POINTER_BYTES_MAX: u64 = 16 * 1024;

/// A linked worktree and the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MainTree {
    /// The top of the linked one.
    linked: PathBuf,
    /// The top of the main one.
    main: PathBuf,
}

impl MainTree {
    /// The main worktree of the linked one that a directory is in. None in the main one, and where git's files do not
    /// tell: in a submodule, or beside a bare repository.
    pub(crate) fn of(directory: &Path) -> Option<Self> {
        let linked = directory.ancestors().find(|directory| directory.join(".git").symlink_metadata().is_ok())?;
        let own = pointer(&linked.join(".git"), linked, b"gitdir: ")?;
        // Only the directory of a linked worktree has this file.
        let common = pointer(&own.join("commondir"), &own, b"")?.canonicalize().ok()?;
        let main = common.parent().filter(|_| common.file_name() == Some(OsStr::new(".git")))?;
        Some(Self { linked: linked.to_owned(), main: main.to_owned() })
    }

    /// The same place in the main worktree, for what is in a file of the linked one.
    pub(crate) fn place(&self, source: &Source) -> Option<Source> {
        let moved = |file: &Path| Some(self.main.join(file.strip_prefix(&self.linked).ok()?));
        match source {
            Source::Env { .. } | Source::Store { .. } => None,
            Source::Dotenv { file, name } => Some(Source::Dotenv { file: moved(file)?, name: name.clone() }),
            Source::File { file } => Some(Source::File { file: moved(file)? }),
            Source::Age { file, identity } => {
                let own = self.place(identity).filter(|_| !is_there(identity));
                let identity = own.map_or_else(|| identity.clone(), Box::new);
                let file = if is_file_there(file) { file.clone() } else { moved(file)? };
                Some(Source::Age { file, identity })
            }
        }
    }
}

/// The directory that a file of git's names.
fn pointer(file: &Path, from: &Path, prefix: &[u8]) -> Option<PathBuf> {
    let bytes = files::read_limited(file, POINTER_BYTES_MAX).ok()?;
    let path = bytes.strip_prefix(prefix)?;
    let path = path.strip_suffix(b"\n").unwrap_or(path);
    Some(from.join(OsStr::from_bytes(path)))
}

fn is_there(source: &Source) -> bool {
    match source {
        Source::Env { .. } | Source::Store { .. } => true,
        Source::Dotenv { file, .. } | Source::File { file } | Source::Age { file, .. } => is_file_there(file),
    }
}

fn is_file_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_linked_worktree_has_a_main_one() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        let make = |path: &str, text: &str| {
            fs::create_dir_all(top.join(path).parent().unwrap()).unwrap();
            fs::write(top.join(path), text).unwrap();
        };
        make("main/.git/HEAD", "");
        make("main/.git/worktrees/linked/commondir", "../..\n");
        make("linked/.git", &format!("gitdir: {}/main/.git/worktrees/linked\n", top.display()));
        make("beside/.git", "gitdir: ../main/.git/worktrees/linked\n");
        make("main/.git/modules/below/HEAD", "");
        make("main/below/.git", "gitdir: ../.git/modules/below\n");
        make("bare.git/worktrees/one/commondir", "../..\n");
        make("one/.git", "gitdir: ../bare.git/worktrees/one\n");
        make("broken/.git", "gitdir: ../nowhere\n");
        fs::create_dir_all(top.join("linked/deep/down")).unwrap();
        let of = |path: &str| MainTree::of(&top.join(path)).map(|found| (found.linked, found.main));
        let linked = |path: &str| Some((top.join(path), top.join("main")));
        for (path, expected) in [
            ("main", None),
            ("linked", linked("linked")),
            ("linked/deep/down", linked("linked")),
            ("beside", linked("beside")),
            ("main/below", None),
            ("one", None),
            ("broken", None),
        ] {
            assert_eq!(of(path), expected, "{path}");
        }
        let tree = MainTree::of(&top.join("linked")).unwrap();
        let file = |path: &str| Source::File { file: top.join(path) };
        assert_eq!(tree.place(&file("linked/app/.env")), Some(file("main/app/.env")));
        assert_eq!(tree.place(&file("elsewhere/.env")), None);
    }
}
