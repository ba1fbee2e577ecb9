//! A hook that somebody else wrote: whether it runs our program, what becomes of it where that is gone, and whether it
//! would still know itself under another name.
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

/// A hook that somebody else wrote, as far as it is about us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Whether it does.
    pub(crate) mention: Mention,
    /// What it does in a repository without the program.
    pub(crate) without: Without,
    /// Whether it can have another name.
    pub(crate) name: Name,
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

/// Whether a hook tells by its name what it is to do. One script for all hooks does, and under another name it refuses
/// every push, or does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// It does not look at it.
    Any,
    /// It does.
    Told,
    /// Nobody knows: it is a link to a program of another name.
    Perhaps,
}

impl Foreign {
    /// Looks at a hook, through a link.
    pub(crate) fn at(file: &Path, runs: Runs) -> Self {
        let head = files::read_head(file, FILE_BYTES_MAX).unwrap_or_default();
        let found = Self::of(&String::from_utf8_lossy(&head), runs);
        let is_program = head.contains(&0);
        let real = file.canonicalize().ok();
        let has_another = real.is_some_and(|real| real.file_name() != file.file_name());
        if is_program && has_another { Self { name: Name::Perhaps, ..found } } else { found }
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
        let name = if manager::effective(text).any(is_about_the_name) { Name::Told } else { Name::Any };
        Self { mention, without, name, runs }
    }

    /// Whether it runs our program in one way or another.
    pub(crate) fn runs_ours(self) -> bool {
        match self.mention {
            Mention::There | Mention::Older => true,
            Mention::Missing => false,
        }
    }
}

/// Whether a line of a script looks at the name that the script runs under.
fn is_about_the_name(line: &str) -> bool {
    const ITSELF: [&str; 7] = ["$0", "${0", "BASH_SOURCE", "$PROGRAM_NAME", "__FILE__", "__file__", "argv"];
    const NAMES: [&str; 17] = [
        "${0##",
        "${0:t}",
        "${BASH_SOURCE##",
        "${BASH_SOURCE[0]##",
        "$0.d",
        "${0}.d",
        "$0\".d",
        "case $0 ",
        "case \"$0\" ",
        "$0 =",
        "$0\" =",
        "${0} =",
        "${0}\" =",
        "$PROGRAM_NAME",
        "sys.argv[0]",
        "process.argv[1]",
        "Path(__file__).name",
    ];
    let has = |part: &&str| line.contains(part);
    NAMES.iter().any(has) || (line.contains("basename") && ITSELF.iter().any(has))
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
    fn a_hook_that_looks_at_its_name_is_told_from_one_that_looks_at_its_place() {
        for (text, name) in [
            ("case $(basename \"$0\") in", Name::Told),
            ("hook=$(basename -- \"${BASH_SOURCE[0]}\")", Name::Told),
            ("hook_name=${0##*/}", Name::Told),
            ("for hook in \"$0.d\"/*; do", Name::Told),
            ("case \"$0\" in *pre-push) ;; esac", Name::Told),
            ("[[ $0 == *pre-push ]]", Name::Told),
            ("hook_type = File.basename($0)", Name::Told),
            ("name = os.path.basename(sys.argv[0])", Name::Told),
            ("const name = path.basename(process.argv[1])", Name::Told),
            ("# hook=$(basename \"$0\")", Name::Any),
            (". \"$(dirname \"$0\")/common.sh\"", Name::Any),
            ("\"${0%/*}/pre-push.d/lint\" \"$@\"", Name::Any),
            ("awk '{ print $0 }' | xargs basename", Name::Told),
            ("branch=$(basename \"$ref\")", Name::Any),
            ("git lfs pre-push \"$@\"", Name::Any),
        ] {
            assert_eq!(Foreign::of(&format!("#!/bin/sh\n{text}\n"), Runs::Yes).name, name, "{text}");
        }
    }

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
