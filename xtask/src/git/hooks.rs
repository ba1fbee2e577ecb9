//! What git knows about hooks: where it looks for one, who said so, and which ones its configuration names.
//!
//! The other calls turn hooks off for themselves, which is a setting that would be the answer here.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use license_core::{finding::clean, trail::Ended};
use zeroize::Zeroizing;

use super::{Git, GitError, Said};
use crate::process::capture::{Answer, Call, Captured, capture};

/// How many work trees of a repository are looked at.
const WORKTREES_MAX: usize = 1_000;

/// Where a hook belongs, and what else decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HookPlace {
    /// The file that git runs, absolute.
    pub(crate) file: PathBuf,
    /// The directory that all worktrees of the repository share, absolute.
    pub(crate) common: PathBuf,
    /// The top of the work tree; none in a bare repository.
    pub(crate) top: Option<PathBuf>,
    /// Who named the directory of hooks, where somebody did.
    pub(crate) named: Option<HooksPath>,
}

/// A `core.hooksPath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HooksPath {
    /// Whose setting it is.
    pub(crate) scope: Scope,
    /// As it is written.
    pub(crate) text: String,
    /// Where it is written, in git's words.
    pub(crate) origin: String,
}

/// For what a setting of git's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This repository, or one worktree of it.
    Repository,
    /// Every repository of a user or a machine, or this call alone.
    Shared,
}

/// A hook that git's configuration names: git 2.54 and later run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredHook {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// What is run.
    pub(crate) command: String,
}

impl Git {
    /// Where the hook of this name belongs; none outside of a repository, with what git said about it.
    pub(crate) fn hook_place(&self, hook: &str) -> Result<Result<HookPlace, String>, GitError> {
        let hook = format!("hooks/{hook}");
        let asked = self.answer(&["rev-parse", "--git-path", &hook])?;
        if asked.code != 0 {
            return Ok(Err(asked.said));
        }
        let file = self.directory.join(asked.path());
        let common = self.directory.join(self.answer(&["rev-parse", "--git-common-dir"])?.path());
        let top = self.answer(&["rev-parse", "--show-toplevel"])?;
        let top = (top.code == 0).then(|| top.path());
        let common = common.canonicalize().unwrap_or(common);
        Ok(Ok(HookPlace { file: plain(&file), common, top, named: self.hooks_path()? }))
    }

    /// Where a hook of this name belongs in every work tree of the repository, and where it would without any setting.
    pub(crate) fn hook_places(&self, hook: &str, common: &Path) -> Result<Vec<PathBuf>, GitError> {
        let mut places = vec![plain(&common.join("hooks").join(hook))];
        let listed = self.answer(&["worktree", "list", "--porcelain"])?;
        let lines = listed.output.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"worktree "));
        for line in lines.take(WORKTREES_MAX) {
            let directory = PathBuf::from(OsString::from_vec(line.to_vec()));
            // One that was removed by hand is listed on.
            if !directory.is_dir() {
                continue;
            }
            let there = Self { directory, ..self.clone() };
            let asked = there.answer(&["rev-parse", "--git-path", &format!("hooks/{hook}")])?;
            let place = plain(&there.directory.join(asked.path()));
            if asked.code == 0 && !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// The hooks of the configuration that run at an event. One that is turned off is none.
    pub(crate) fn configured_hooks(&self, event: &str) -> Result<Vec<ConfiguredHook>, GitError> {
        let asked = self.answer(&["config", "--null", "--get-regexp", r"^hook\..*\.(command|event|enabled)$"])?;
        Ok(configured(&String::from_utf8_lossy(&asked.output), event))
    }

    /// The version of git: its first two numbers, where it tells them.
    pub(crate) fn version(&self) -> Result<Option<(u32, u32)>, GitError> {
        let asked = self.answer(&["version"])?;
        let text = String::from_utf8_lossy(&asked.output);
        let numbers = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let mut numbers = numbers.unwrap_or_default().split('.').map_while(|number| number.parse().ok());
        Ok(numbers.next().zip(numbers.next()))
    }

    fn hooks_path(&self) -> Result<Option<HooksPath>, GitError> {
        let arguments = ["config", "--show-scope", "--show-origin", "--null", "--get", "core.hooksPath"];
        let asked = self.answer(&arguments)?;
        let text = String::from_utf8_lossy(&asked.output);
        let mut parts = text.split('\0');
        let (Some(scope), Some(origin), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(None);
        };
        let scope = if ["local", "worktree"].contains(&scope) { Scope::Repository } else { Scope::Shared };
        Ok(Some(HooksPath { scope, text: clean(text), origin: clean(origin) }))
    }

    /// Asks git something that it answers with one line.
    fn answer(&self, arguments: &[&str]) -> Result<Asked, GitError> {
        let doing = "looking for hooks";
        let words: Vec<String> = std::iter::once("git").chain(arguments.iter().copied()).map(str::to_owned).collect();
        let (directory, variables, deadline) = (&self.directory, &self.variables, self.waits.local);
        let Captured { ended, stdout, stderr } =
            capture(&Call { words: &words, directory, variables, stdin: b"", deadline });
        let output = match stdout {
            Answer::Whole(output) => output,
            Answer::TooLong => {
                return Err(GitError::Failed { doing, said: "its answer is too long".to_owned() });
            }
        };
        let said = Said::of(&stderr).text();
        match ended {
            Ended::Exited { code } => Ok(Asked { code, output, said }),
            Ended::NotStarted { why } => Err(GitError::NotStarted { why }),
            Ended::TimedOut { after_secs } => Err(GitError::TimedOut { doing, secs: after_secs }),
            Ended::Killed { .. } | Ended::Interrupted { .. } => Err(GitError::Failed { doing, said }),
        }
    }
}

/// An answer of git.
struct Asked {
    code: i32,
    output: Zeroizing<Vec<u8>>,
    said: String,
}

impl Asked {
    /// A path may hold any byte; git ends it with a line break.
    fn path(&self) -> PathBuf {
        let path = self.output.strip_suffix(b"\n").unwrap_or(&self.output);
        OsString::from_vec(path.to_vec()).into()
    }
}

/// The hooks that run at an event, in git's order, from all settings of hooks as git lists them.
fn configured(text: &str, event: &str) -> Vec<ConfiguredHook> {
    let settings: Vec<(&str, &str, &str)> = text.split('\0').filter_map(setting).collect();
    let last = |name: &str, wanted: &str| {
        settings.iter().rev().find(|(of, what, _)| *of == name && *what == wanted).map(|(_, _, value)| *value)
    };
    let is_off = |name: &str| last(name, "enabled").is_some_and(is_no);
    // The name of an event turns all of its hooks off.
    if is_off(event) {
        return Vec::new();
    }
    let mut names: Vec<&str> = Vec::new();
    for (name, _, value) in settings.iter().filter(|(_, what, _)| *what == "event") {
        match *value {
            // It takes back what was said before.
            "" => names.retain(|other| other != name),
            value if value == event && !names.contains(name) => names.push(name),
            _ => {}
        }
    }
    let hook = |name: &str| {
        let command = last(name, "command").filter(|_| !is_off(name))?;
        Some(ConfiguredHook { name: name.to_owned(), command: command.to_owned() })
    };
    names.into_iter().filter_map(hook).collect()
}

/// What git takes for no.
fn is_no(value: &str) -> bool {
    ["", "false", "no", "off", "0"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// A setting of a hook: its name, what is set, the value.
fn setting(text: &str) -> Option<(&str, &str, &str)> {
    let (key, value) = text.split_once('\n')?;
    let (name, what) = key.strip_prefix("hook.")?.rsplit_once('.')?;
    Some((name, what, value))
}

/// The path of a file without links and `..` in its directories, where those exist. The file itself may be a link.
fn plain(path: &Path) -> PathBuf {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
    match parent.canonicalize() {
        Ok(parent) => parent.join(name),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_of_the_configuration_are_those_that_git_would_run() {
        let event = "hook.a.event\npre-push\0";
        let a = format!("{event}hook.a.command\nfirst\0");
        for (text, expected) in [
            (a.clone(), &["a: first"][..]),
            (event.to_owned(), &[]),
            (format!("{a}hook.a.event\npre-push\0"), &["a: first"]),
            (format!("{a}hook.a.command\nsecond\0"), &["a: second"]),
            (format!("{a}hook.a.event\n\0"), &[]),
            (format!("hook.a.event\n\0{a}"), &["a: first"]),
            (format!("{a}hook.a.enabled\nFALSE\0"), &[]),
            (format!("{a}hook.a.enabled\n\0"), &[]),
            (format!("{a}hook.a.enabled\nno\0hook.a.enabled\ntrue\0"), &["a: first"]),
            // Without a value it is true.
            (format!("{a}hook.a.enabled\0"), &["a: first"]),
            (format!("{a}hook.pre-push.enabled\nfalse\0"), &[]),
            (format!("{a}hook.pre-commit.enabled\nfalse\0"), &["a: first"]),
            (a.replace("pre-push", "pre-commit"), &[]),
            (format!("hook.b.c.event\npre-push\0hook.b.c.command\nx\ny\0{a}"), &["b.c: x\ny", "a: first"]),
        ] {
            let hooks: Vec<_> = configured(&text, "pre-push")
                .into_iter()
                .map(|hook| format!("{}: {}", hook.name, hook.command))
                .collect();
            assert_eq!(hooks, expected, "{text:?}");
        }
    }
}
