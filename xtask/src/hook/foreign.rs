//! A hook that somebody else wrote: whether it runs our program, and what becomes of it where that is gone.
//!
//! It is told by its text, as the files of managers are. What a script does with the answer is up to it.

use std::path::Path;

use super::{
    Runs,
    manager::{self, Mention},
    shim,
};
use crate::files;

/// The longest hook that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A hook that somebody else wrote, as far as it runs our program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Whether it does.
    pub(crate) mention: Mention,
    /// What it does in a repository without the program.
    pub(crate) without: Without,
    /// Whether git runs it.
    pub(crate) runs: Runs,
}

/// What a hook does in a repository without the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// It passes over it.
    Passes,
    /// It refuses the push, or nobody knows.
    Refuses,
}

impl Foreign {
    /// Looks at a hook, through a link.
    pub(crate) fn at(file: &Path, runs: Runs) -> Self {
        let text = files::read_limited(file, FILE_BYTES_MAX).unwrap_or_default();
        Self::of(&String::from_utf8_lossy(&text), runs)
    }

    fn of(text: &str, runs: Runs) -> Self {
        let has = |part: &str| manager::effective(text).any(|line| line.contains(part));
        // They need not be in one line: a name for the program is often a variable.
        let mention = match (has(shim::PROGRAM) && has("pre-push"), has(manager::SAY)) {
            (false, _) => Mention::Missing,
            (true, false) => Mention::Older,
            (true, true) => Mention::There,
        };
        let without = if has(&passing_over()) { Without::Passes } else { Without::Refuses };
        Self { mention, without, runs }
    }

    /// Whether it runs our program in one way or another.
    pub(crate) fn runs_ours(self) -> bool {
        match self.mention {
            Mention::There | Mention::Older => true,
            Mention::Missing => false,
        }
    }
}

/// The line for a hook of one repository.
pub(crate) fn line(config: Option<&str>) -> String {
    format!("{} || exit", asking(config))
}

/// The line for a hook of many repositories: the program of each one that has it.
pub(crate) fn line_for_many(config: Option<&str>) -> String {
    format!("{} || {{ {}; }} || exit", passing_over(), asking(config))
}

fn asking(config: Option<&str>) -> String {
    manager::asking(&shim::config_argument(config), "\"$@\"")
}

fn passing_over() -> String {
    format!("[ ! -e {} ]", manager::PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_runs_the_program_if_a_line_of_it_says_so() {
        use Mention::{Missing, Older, There};
        use Without::{Passes, Refuses};
        for (text, mention, without) in [
            (line(None), There, Refuses),
            (line(Some("it's/license.toml")), There, Refuses),
            (line_for_many(None), There, Passes),
            (format!("  # {}", line(None)), Missing, Refuses),
            ("exec .git/license/xtask pre-push \"$@\"".to_owned(), Older, Refuses),
            (
                "x=.git/license/xtask\n\"$x\" pre-push --say passed -- \"$@\" | grep -qx passed".to_owned(),
                There,
                Refuses,
            ),
            ("ls -l .git/license/xtask".to_owned(), Missing, Refuses),
            ("echo pre-push".to_owned(), Missing, Refuses),
            (String::new(), Missing, Refuses),
        ] {
            let found = Foreign::of(&format!("#!/bin/sh\n{text}\nexit 0\n"), Runs::Yes);
            assert_eq!((found.mention, found.without), (mention, without), "{text}");
        }
    }
}
