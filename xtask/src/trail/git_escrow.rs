//! The shared escrow in git: sealed files by name, on `refs/license/escrow/ENVIRONMENT` of a remote.
//!
//! The ref holds one commit whose tree has the files. Every change replaces that commit by another one **without a
//! parent**: with a history, a deleted file would stay in reach of everybody who fetches, and the ref would grow for
//! ever. So nothing refers to a deleted file, here or there, once the ref is replaced; when the host really removes
//! what nothing refers to is up to the host. This repository keeps no ref of its own, for the same reason.
//!
//! A commit says nothing but its tree, not even when: the same files are the same commit, whoever put them there, and a
//! replacement on condition of the commit is one on condition of the files.

use std::{thread, time::Duration};

use license_core::finding::clean;

use super::git::{commit_text, is_about_a_race};
use crate::git::{Depth, Git, GitError, Kind, Oid, Pushed, TreeFile};

/// What its commits are by. No user's address is in it.
const IDENT: &str = "license-escrow <license-escrow@invalid>";
/// The largest file, in bytes: the armor of the longest answer of an authority is a third of it.
pub(crate) const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How often a change is tried when others change the escrow at the same time.
const ATTEMPTS_MAX: u32 = 20;
/// How often in a row the remote may say no although nobody changed anything: of two that push at once, one may hear the
/// no before the other one's change is there to be seen.
const UNMOVED_MAX: u32 = 5;
/// The longest pause between two attempts, in milliseconds; random, so that two who wait do not keep step.
const PAUSE_MILLIS_MAX: u32 = 100;

/// One environment's escrow on a remote.
#[derive(Debug, Clone)]
pub(crate) struct GitEscrow {
    git: Git,
    remote: String,
    reference: String,
}

impl GitEscrow {
    /// The escrow of an environment on a remote of the project's repository.
    pub(crate) fn new(git: Git, remote: String, environment: &str) -> Self {
        Self { git, remote, reference: format!("refs/license/escrow/{environment}") }
    }

    /// Where it is kept, in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("`{}` of `{}`", self.reference, self.remote)
    }

    /// Puts a file there, in the place of one of the same name. When this returns without an error the remote has it.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), GitEscrowError> {
        self.check(name, bytes)?;
        let blob = self.git.write(Kind::Blob, bytes.to_owned())?;
        self.change(|files| {
            let others = files.into_iter().filter(|file| file.name != name);
            others.chain([TreeFile { name: name.to_owned(), blob: blob.clone() }]).collect()
        })
    }

    /// A file, by its name; none where there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Vec<u8>>, GitEscrowError> {
        let (_, files) = self.look()?;
        let Some(file) = files.into_iter().find(|file| file.name == name) else { return Ok(None) };
        let mut found = None;
        self.git.objects(Kind::Blob, &[file.blob], FILE_BYTES_MAX, |_, bytes| {
            found = Some(bytes.to_owned());
            Ok::<(), GitError>(())
        })?;
        Ok(found)
    }

    /// The names of all files, in their order.
    pub(crate) fn list(&self) -> Result<Vec<String>, GitEscrowError> {
        let mut names: Vec<String> = self.look()?.1.into_iter().map(|file| file.name).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes files by their names; a name that is not there is no error. Nothing refers to them afterwards.
    pub(crate) fn delete(&self, names: &[&str]) -> Result<(), GitEscrowError> {
        self.change(|files| files.into_iter().filter(|file| !names.contains(&file.name.as_str())).collect())
    }

    /// What the remote has now. A commit that is replaced before it was fetched cannot be had any more: then the next one.
    fn look(&self) -> Result<(Option<Oid>, Vec<TreeFile>), GitEscrowError> {
        let mut said = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let Some(tip) = self.git.tip(&self.remote, &self.reference)? else { return Ok((None, Vec::new())) };
            self.git.fetch(&self.remote, &self.reference, Depth::Missing)?;
            match self.git.files(&tip) {
                Ok(files) => return Ok((Some(tip), files)),
                Err(error) if self.git.tip(&self.remote, &self.reference)? == Some(tip) => return Err(error.into()),
                Err(error) => said = error.to_string(),
            }
        }
        Err(self.busy(said))
    }

    /// Replaces the files by what `change` makes of them, and begins again when somebody else was first.
    fn change(&self, change: impl Fn(Vec<TreeFile>) -> Vec<TreeFile>) -> Result<(), GitEscrowError> {
        let (mut said, mut unmoved) = (String::new(), 0);
        for _ in 0..ATTEMPTS_MAX {
            let (tip, before) = self.look()?;
            let after = change(before);
            if tip.is_none() && after.is_empty() {
                return Ok(());
            }
            let commit = self.commit(&after)?;
            if tip.as_ref() == Some(&commit) {
                return Ok(());
            }
            match self.git.push(&self.remote, &commit, &self.reference, tip.as_ref()) {
                Ok(Pushed::Done) => return Ok(()),
                Ok(Pushed::Rejected { said: no }) => {
                    let moved = self.git.tip(&self.remote, &self.reference)? != tip;
                    unmoved = if moved { 0 } else { unmoved + 1 };
                    if unmoved == UNMOVED_MAX || (!moved && !is_about_a_race(&no)) {
                        return Err(GitEscrowError::Refused { place: self.describe(), said: no });
                    }
                    said = no;
                    pause();
                }
                Err(error) => return self.after_silence(&commit, tip.as_ref(), &change, error),
            }
        }
        Err(self.busy(said))
    }

    /// The connection was lost while a change was pushed: only the remote can tell what happened.
    fn after_silence(
        &self,
        commit: &Oid,
        before: Option<&Oid>,
        change: &impl Fn(Vec<TreeFile>) -> Vec<TreeFile>,
        error: GitError,
    ) -> Result<(), GitEscrowError> {
        let Ok((tip, files)) = self.look() else {
            return Err(GitEscrowError::NotKnown { place: self.describe(), source: error });
        };
        // Somebody else may have changed it since, with our change in it.
        let is_in = || sorted(change(files.clone())) == sorted(files.clone());
        if tip.as_ref() == Some(commit) || (tip.as_ref() != before && is_in()) { Ok(()) } else { Err(error.into()) }
    }

    fn commit(&self, files: &[TreeFile]) -> Result<Oid, GitError> {
        let tree = self.git.write_tree(files)?;
        let text = commit_text(&tree, None, IDENT, 0, "sealed");
        self.git.write(Kind::Commit, text.into_bytes())
    }

    fn busy(&self, said: String) -> GitEscrowError {
        GitEscrowError::Busy { place: self.describe(), attempts: ATTEMPTS_MAX, said }
    }

    fn check(&self, name: &str, bytes: &[u8]) -> Result<(), GitEscrowError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_name =
            (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain);
        if !is_name {
            return Err(GitEscrowError::Name { name: clean(name) });
        }
        let count = bytes.len() as u64;
        if count > FILE_BYTES_MAX {
            return Err(GitEscrowError::TooLong { name: name.to_owned(), place: self.describe(), count });
        }
        Ok(())
    }
}

fn sorted(mut files: Vec<TreeFile>) -> Vec<TreeFile> {
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

fn pause() {
    let random = getrandom::u32().unwrap_or(PAUSE_MILLIS_MAX / 2);
    thread::sleep(Duration::from_millis(u64::from(random % PAUSE_MILLIS_MAX)));
}

/// Why the shared escrow cannot be used. Carries nothing of what was to be put there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub(crate) enum GitEscrowError {
    /// Not the name of a file.
    #[error("`{name}` cannot be the name of a sealed file")]
    #[diagnostic(help("use letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} of them"))]
    Name {
        /// The name.
        name: String,
    },
    /// The file is too long.
    #[error("`{name}` cannot be put into {place}: it has {count} bytes, and {FILE_BYTES_MAX} are allowed")]
    #[diagnostic(help("keep it in a file, and tell whoever maintains this program"))]
    TooLong {
        /// The file's name.
        name: String,
        /// Where the escrow is.
        place: String,
        /// Its length in bytes.
        count: u64,
    },
    /// The remote does not take it from us.
    #[error("{place} was not changed: the remote said no: {said}")]
    #[diagnostic(help("give whoever runs this the right to push to `refs/license/*`, and run the command again"))]
    Refused {
        /// Where the escrow is.
        place: String,
        /// What it said.
        said: String,
    },
    /// Others were first, every time.
    #[error("{place} could not be had: others changed it {attempts} times in a row: {said}")]
    #[diagnostic(help("run the command again when fewer of them run at once"))]
    Busy {
        /// Where the escrow is.
        place: String,
        /// How often it was tried.
        attempts: u32,
        /// What git said the last time.
        said: String,
    },
    /// The connection was lost, and the remote cannot be asked.
    #[error("it is not known whether {place} was changed: {source}")]
    #[diagnostic(help("when the remote can be reached again, run the command again"))]
    NotKnown {
        /// Where the escrow is.
        place: String,
        /// What happened to the push.
        source: GitError,
    },
    /// git itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitError),
}

#[cfg(test)]
mod tests;
