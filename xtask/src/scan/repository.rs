//! The repository that is scanned.

use std::{
    collections::BTreeSet,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::ScanFault;
use crate::{
    git::{
        Git, GitError, Oid,
        stream::{Answer, Surroundings},
    },
    vars::Vars,
};

/// How refs are listed.
const FORMAT: &str = "--format=%(objectname)";
/// The refs that each worktree has for itself.
const OF_ONE_WORKTREE: [&str; 3] = ["refs/bisect", "refs/rewritten", "refs/worktree"];
/// How many worktrees may have some.
const WORKTREES_MAX: usize = 1_000;

/// Whether git's directory of a worktree may have refs that others do not have: as files, or in tables.
fn may_have_own_refs(directory: &Path) -> bool {
    OF_ONE_WORKTREE.into_iter().chain(["reftable"]).any(|name| directory.join(name).exists())
}

/// A repository, and git in it.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(super) git: Git,
    directory: PathBuf,
}

impl Repository {
    /// The repository that a directory is in. Nothing is looked at before something is asked for. `secrets` are the names
    /// of the variables that git must not see.
    pub(crate) fn at(directory: &Path, vars: &Vars, secrets: &BTreeSet<String>, of: Surroundings) -> Self {
        Self::of(Git::for_scan(directory, vars, secrets, of), directory)
    }

    /// The one that such a git works in.
    pub(crate) fn of(git: Git, directory: &Path) -> Self {
        Self { git, directory: directory.to_owned() }
    }

    /// The top of its working tree, with git there.
    pub(crate) fn tree(&self) -> Result<(PathBuf, Self), ScanFault> {
        let asked = self.git.ask("looking for the working tree", &["rev-parse", "--is-bare-repository"], Vec::new())?;
        if !asked.is_ok() {
            return Err(self.failed("looking for the repository", &asked));
        }
        let directory = || self.directory.display().to_string();
        if asked.text() == "true" {
            return Err(ScanFault::NoTree { directory: directory() });
        }
        let asked = self.git.ask("looking for the working tree", &["rev-parse", "--show-toplevel"], Vec::new())?;
        let mut top = asked.output.clone();
        if top.last() == Some(&b'\n') {
            top.pop();
        }
        // In the directory of git's own there is no tree either.
        if !asked.is_ok() || top.is_empty() {
            return Err(ScanFault::NoTree { directory: directory() });
        }
        let top = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(top));
        let at_top = Self { git: self.git.clone().within(&top), directory: top.clone() };
        Ok((top, at_top))
    }

    /// What a range that a person wrote means: the commits that it has, and those that it leaves out.
    pub(super) fn commits_of(&self, range: &str) -> Result<(Vec<Oid>, Vec<Oid>), ScanFault> {
        let wrong = |said: String| ScanFault::Range { range: license_core::finding::clean(range), said };
        if range.starts_with('-') || range.is_empty() || range.contains(['\n', '\0']) {
            return Err(wrong("a commit's name does not begin so".to_owned()));
        }
        let asked = self.git.ask("reading the range", &["rev-parse", range, "--"], Vec::new())?;
        if !asked.is_ok() {
            self.explained("reading the range", asked.said.clone())?;
            return Err(wrong(asked.said));
        }
        let (mut want, mut have) = (Vec::new(), Vec::new());
        for line in asked.text().lines().filter(|line| *line != "--") {
            let (list, name) = line.strip_prefix('^').map_or((&mut want, line), |name| (&mut have, name));
            list.push(Oid::parse(name).ok_or_else(|| wrong("it names no commit".to_owned()))?);
        }
        if want.is_empty() {
            return Err(wrong("it leaves out commits and names none".to_owned()));
        }
        Ok((want, have))
    }

    /// The directory of its objects, and how many bytes their names have; `None`: git says nothing that is understood here.
    pub(super) fn objects_directory(&self) -> Result<Option<(PathBuf, usize)>, ScanFault> {
        let asked = ["rev-parse", "--show-object-format", "--git-path", "objects"];
        let asked = self.git.ask("looking for the objects", &asked, Vec::new())?;
        let name_bytes = |format: &[u8]| match format {
            b"sha1" => Some(20),
            b"sha256" => Some(32),
            _ => None,
        };
        let lines = asked.output.strip_suffix(b"\n").filter(|_| asked.is_ok());
        Ok(lines.and_then(|lines| {
            let end = lines.iter().position(|byte| *byte == b'\n')?;
            let path = std::ffi::OsStr::from_bytes(&lines[end + 1..]);
            Some((self.directory.join(path), name_bytes(&lines[..end])?))
        }))
    }

    /// Whether some of its objects were left with a remote.
    pub(super) fn is_partial(&self) -> Result<bool, ScanFault> {
        let pattern = r"^(remote\..*\.promisor|extensions\.partialclone)$";
        let asked = self.git.ask("reading git's configuration", &["config", "--get-regexp", pattern], Vec::new())?;
        Ok(asked.is_ok() && !asked.output.is_empty())
    }

    /// A word about history that is not here.
    pub(crate) fn shallow_note(&self) -> Result<Option<String>, ScanFault> {
        let asked = self.git.ask("looking at the repository", &["rev-parse", "--is-shallow-repository"], Vec::new())?;
        let shallow = asked.is_ok() && asked.text() == "true";
        Ok(shallow.then(|| "this is a shallow clone: what is older than its history was not scanned".to_owned()))
    }

    /// The file that lists the commits at the border of a shallow clone; `None`: it is none.
    pub(super) fn shallow(&self) -> Result<Option<PathBuf>, ScanFault> {
        let asked = ["rev-parse", "--is-shallow-repository", "--git-path", "shallow"];
        let asked = self.git.ask("looking at the repository", &asked, Vec::new())?;
        let lines = asked.output.strip_suffix(b"\n").filter(|_| asked.is_ok());
        let path = lines.and_then(|lines| lines.strip_prefix(b"true\n"));
        Ok(path.map(|path| self.directory.join(std::ffi::OsStr::from_bytes(path))))
    }

    /// What the refs lead to, each once, and what git says about those that it cannot read: it passes over them.
    pub(super) fn tips(&self) -> Result<(BTreeSet<Oid>, Option<String>), ScanFault> {
        self.tips_of(&["for-each-ref", FORMAT])
    }

    /// The same of the refs that each worktree has for itself: git lists those of one worktree alone.
    pub(super) fn tips_of_worktrees(&self) -> Result<(BTreeSet<Oid>, Option<String>), ScanFault> {
        let asked = ["rev-parse", "--git-common-dir"];
        let asked = self.git.ask("looking for the repository", &asked, Vec::new())?;
        if !asked.is_ok() {
            return Err(self.failed("looking for the repository", &asked));
        }
        let common = asked.output.strip_suffix(b"\n").unwrap_or(&asked.output);
        let common = self.directory.join(std::ffi::OsStr::from_bytes(common));
        let linked = common.join("worktrees").read_dir().into_iter().flatten().take(WORKTREES_MAX + 1);
        let all = linked.filter_map(|entry| Some(entry.ok()?.path())).chain([common]);
        let own: Vec<PathBuf> = all.filter(|directory| may_have_own_refs(directory)).collect();
        let (mut tips, mut broken) = (BTreeSet::new(), None);
        if own.len() > WORKTREES_MAX {
            broken = Some(format!("there are more than {WORKTREES_MAX} worktrees with refs of their own"));
        }
        for directory in own.iter().take(WORKTREES_MAX) {
            let Some(directory) = directory.to_str() else {
                broken = Some(format!("those of `{}` have a path that is no text", directory.display()));
                continue;
            };
            let of = format!("--git-dir={directory}");
            match self.tips_of(&[&[of.as_str(), "for-each-ref", FORMAT], &OF_ONE_WORKTREE[..]].concat()) {
                Ok((more, said)) => {
                    tips.extend(more);
                    broken = broken.or(said);
                }
                Err(ScanFault::Git(error)) => broken = Some(error.to_string()),
                Err(fault) => return Err(fault),
            }
        }
        Ok((tips, broken))
    }

    fn tips_of(&self, asked: &[&str]) -> Result<(BTreeSet<Oid>, Option<String>), ScanFault> {
        let asked = self.git.ask("listing refs", asked, Vec::new())?;
        if !asked.is_ok() {
            return Err(self.failed("listing refs", &asked));
        }
        let text = asked.text();
        let unreadable = || GitError::Failed { doing: "listing refs", said: "its output cannot be read".to_owned() };
        let parse = |name| Oid::parse(name).ok_or_else(|| ScanFault::from(unreadable()));
        let tips = text.lines().map(parse).collect::<Result<_, _>>()?;
        Ok((tips, asked.said.contains("broken ref").then_some(asked.said)))
    }

    /// The commits of all stashes: only the newest one has a ref.
    pub(super) fn stashes(&self) -> Result<Vec<Oid>, ScanFault> {
        if self.git.local("refs/stash")?.is_none() {
            return Ok(Vec::new());
        }
        let asked = ["rev-list", "--walk-reflogs", "refs/stash", "--"];
        let asked = self.git.ask("listing stashes", &asked, Vec::new())?;
        if !asked.is_ok() {
            return Err(self.failed("listing stashes", &asked));
        }
        Ok(asked.text().lines().filter_map(Oid::parse).collect())
    }

    /// Why a call of git's failed, where the repository as such is in order.
    pub(super) fn explained(&self, doing: &'static str, said: String) -> Result<GitError, ScanFault> {
        let error = self.git.explain(doing, said);
        if matches!(error, GitError::Failed { .. }) { Ok(error) } else { Err(error.into()) }
    }

    pub(super) fn failed(&self, doing: &'static str, asked: &Answer) -> ScanFault {
        self.git.explain(doing, asked.said.clone()).into()
    }
}
