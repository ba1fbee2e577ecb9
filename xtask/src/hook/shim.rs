//! The file that git runs: a few lines of POSIX shell that hand over to the copy of the program, never to cargo.
//!
//! It is recognized by its marker, and what a person changed in it by the checksum there. It says no unless the program
//! says yes in so many words, or there is nothing to push: a guard that is silently absent is worse than none, and a shell
//! runs an empty file as a script that ends well.

use sha2::{Digest as _, Sha256};

use crate::push::framework;

/// What the marker begins with. The number of the text follows, and from the second on its checksum.
const MARKER: &str = "# license-hooks pre-push ";

/// The number of today's text.
const VERSION: u32 = 4;

/// The program of the hook, below the directory that all worktrees share.
pub(crate) const PROGRAM: &str = "license/xtask";

/// The name under which a hook that was there before is kept, beside ours. Other programs that put hooks into
/// repositories keep one under names of their own, and must not come upon ours, nor ours upon theirs.
pub(crate) const KEPT: &str = "pre-push.license-kept";

/// The name under which the first version of this hook kept another one, and under which pre-commit and prek keep
/// theirs, which may be ours.
pub(crate) const LEGACY: &str = "pre-push.legacy";

/// What the program is told to say when the push may go out.
pub(crate) const PASSED: &str = "passed";

/// How many digits of the checksum are in the marker.
const SUM_DIGITS: usize = 16;

/// The checksums of what the first version wrote, and whom it ran besides.
const FIRST: [(&str, Chain); 4] = [
    ("ebee45be8545e81c", Chain::Alone),
    ("7be014b297cdc5e6", Chain::Alone),
    ("69fbde20ff24dbc8", Chain::WithLegacy),
    ("72e8adbb46d7266e", Chain::WithLegacy),
];

/// A hook of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shim<'s> {
    /// How it finds the program.
    pub(crate) finds: Finds,
    /// Whom it runs besides.
    pub(crate) runs: Besides,
    /// The `license.toml` that it names: its path from the top of the work tree.
    pub(crate) config: Option<&'s str>,
}

/// How a shim finds the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It lies in the directory of hooks that git has by default, and the program beside that.
    Beside,
    /// It asks git, since a path of its own would lead into the work tree or to another repository's files.
    ByGit,
}

/// Whom a shim that is written runs besides the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Besides {
    /// Nobody.
    Nobody,
    /// The hook that was there before, once the program has said yes: some of them upload.
    Kept,
}

/// Whom a shim that is there runs besides the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// Nobody.
    Alone,
    /// The hook that was there before, under our name for it.
    WithKept,
    /// The same under the name that the first version had for it.
    WithLegacy,
}

/// What the file of a hook is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Ours.
    Ours(Chain, Edition),
    /// Somebody else's.
    Foreign,
}

/// Which version wrote a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// This one.
    Present,
    /// Another one.
    Other,
    /// Somebody changed what a version wrote, or cut it short.
    Edited,
}

impl Shim<'_> {
    /// The whole file. It needs a POSIX shell, and git where it asks git.
    pub(crate) fn text(&self) -> String {
        let program = match self.finds {
            Finds::Beside => "${0%/*}/../license/xtask",
            Finds::ByGit => "$(git rev-parse --git-common-dir)/license/xtask",
        };
        let zeros = "0".repeat(SUM_DIGITS);
        let head = format!(
            "#!/bin/sh\n\
             {MARKER}{VERSION} {zeros}: `cargo xtask hook status` explains it, `cargo xtask hook uninstall` removes it\n"
        );
        let asks_with =
            |end: &str| format!("\"$x\"{} pre-push --say {PASSED}{end} \"$@\"", config_argument(self.config));
        let (asks, asks_all) = (asks_with(""), asks_with(" --"));
        let text = match self.runs {
            Besides::Nobody => format!(
                // Also where it is skipped all is read that git says: prek takes a hook that does not for one that failed.
                // git runs the hook where everything is up to date, too, and a shell alone tells that sooner: a pipe with
                // nothing in it, and no framework that tells it in another way. A shell does not say whether a read failed
                // or met the end; the one failure of a pipe is that of one that does not wait (O_NONBLOCK, 04000), which
                // the system tells. Where it does not, the program reads.
                "{head}\
                 [ \"${{LICENSE_HOOK-}}\" != 0 ] || {{ echo '{SKIPPED}' >&2; [ -t 0 ] || cat >/dev/null; exit 0; }}\n\
                 x=\"{program}\"\n\
                 set -- -- \"$@\"\n\
                 if [ -p /dev/stdin ] && [ -z \"${{{}-}}${{{}-}}\" ]; then\n\
                 if IFS= read -r line || [ -n \"$line\" ]; then\n\
                 set -- --first-line \"$line\" \"$@\"\n\
                 elif {{ read -r at; read -r name flags; }} 2>/dev/null 3<&0 <\"/proc/$$/fdinfo/3\"; then\n\
                 case $flags in ? | ?? | ??? | *[0-3]???) exit 0 ;; esac\n\
                 fi\n\
                 fi\n\
                 said=$({asks})\n\
                 code=$?\n\
                 [ \"$code:$said\" != 0:{PASSED} ] || exit 0\n\
                 case $code:$said in {ANSWERS}) exit $code ;; esac\n\
                 echo '{BROKEN}' >&2\n\
                 exit 1\n",
                framework::PUSHED,
                framework::BRANCH,
            ),
            // Both read what git says, so that it is read once and said twice. What no git fills is for the program to
            // refuse. The program may refuse without reading all of it, which the shell need not complain about. A hook
            // that runs whoever runs it is run once.
            Besides::Kept => format!(
                "{head}\
                 lines=\n\
                 if [ -e /dev/stdin ] && [ ! -c /dev/stdin ]; then\n\
                 lines=$(cat) || {{ echo '{UNREAD}' >&2; exit 1; }}\n\
                 fi\n\
                 say() {{ printf '%s' \"${{lines:+$lines\n}}\" 2>/dev/null; }}\n\
                 if [ \"${{LICENSE_HOOK-}}\" = 0 ]; then\n\
                 echo '{SKIPPED}' >&2\n\
                 else\n\
                 x=\"{program}\"\n\
                 if [ -e /dev/stdin ] && [ ! -c /dev/stdin ]; then\n\
                 said=$(say | {asks_all})\n\
                 else\n\
                 said=$({asks_all})\n\
                 fi\n\
                 code=$?\n\
                 if [ \"$code:$said\" != 0:{PASSED} ]; then\n\
                 case $code:$said in {ANSWERS}) exit $code ;; esac\n\
                 echo '{BROKEN}' >&2\n\
                 exit 1\n\
                 fi\n\
                 fi\n\
                 kept=\"${{0%/*}}/{KEPT}\"\n\
                 case \"${{LICENSE_HOOK_KEPT-}}:\" in *\":$PWD/$kept:\"*) exit 0 ;; esac\n\
                 [ -x \"$kept\" ] || exit 0\n\
                 say | LICENSE_HOOK_KEPT=\"${{LICENSE_HOOK_KEPT-}}:$PWD/$kept\" \"$kept\" \"$@\"\n"
            ),
        };
        let sum = sum(&text);
        text.replacen(&zeros, &sum, 1)
    }
}

/// The exits with which the program has told why it stops a push.
const ANSWERS: &str = "2:refused | 3:* | 10:* | 11:* | 30:* | 31:*";

/// What the program is told to say, instead, where it refuses what it was told: 2 alone may be another program's word for
/// options that it does not know.
pub(crate) const REFUSED: &str = "refused";

/// What is said when nobody knows what is pushed.
const UNREAD: &str = "license: what git says of this push cannot be read, so that nothing is pushed; `git push --no-verify` \
                      pushes without the check";

/// What is said when the program did not answer.
const BROKEN: &str = "license: the program of this hook is missing or broken, so that nothing is pushed; `cargo xtask \
                      hook install` brings it back, `git push --no-verify` pushes without it";

/// What is said when the hook is skipped.
pub(crate) const SKIPPED: &str = "license: LICENSE_HOOK=0, so that this push is not checked";

/// The argument that names a `license.toml`, as a word for a shell with the space before it; nothing for the usual one.
pub(crate) fn config_argument(config: Option<&str>) -> String {
    config.map_or_else(String::new, |config| format!(" --config='{}'", config.replace('\'', "'\\''")))
}

/// The `license.toml` that a shim names, where it is not the usual one.
pub(crate) fn config_of(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once(" --config='")?;
    let (word, _) = rest.split_once("' pre-push ")?;
    Some(word.replace("'\\''", "'"))
}

impl Text {
    /// Looks at the beginning of a file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let Some(marker) = text.lines().find_map(|line| line.strip_prefix(MARKER)) else { return Self::Foreign };
        if let Some((_, chain)) = FIRST.iter().find(|(known, _)| *known == sum(&text)) {
            return Self::Ours(*chain, Edition::Other);
        }
        let (number, rest) = marker.split_once(' ').unwrap_or((marker, ""));
        let said = rest.split_once(':').map_or("", |(sum, _)| sum);
        let chain = if text.contains(KEPT) { Chain::WithKept } else { Chain::Alone };
        let is_whole = said.len() == SUM_DIGITS && sum(&text.replacen(said, &"0".repeat(SUM_DIGITS), 1)) == said;
        let edition = match (is_whole, number.parse() == Ok(VERSION)) {
            (true, true) => Edition::Present,
            (true, false) => Edition::Other,
            (false, _) => Edition::Edited,
        };
        Self::Ours(chain, edition)
    }
}

/// The checksum of a text.
fn sum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(SUM_DIGITS / 2).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shims() -> Vec<(Chain, String)> {
        let mut shims = Vec::new();
        for finds in [Finds::Beside, Finds::ByGit] {
            for (runs, chain) in [(Besides::Nobody, Chain::Alone), (Besides::Kept, Chain::WithKept)] {
                for config in [None, Some("some where/it's $(here)/license.toml")] {
                    shims.push((chain, Shim { finds, runs, config }.text()));
                }
            }
        }
        shims
    }

    #[test]
    fn a_shim_is_recognized_whoever_wrote_it() {
        for (chain, text) in shims() {
            assert_eq!(Text::of(text.as_bytes()), Text::Ours(chain, Edition::Present), "{text}");
            // What another version would write, with a checksum that fits.
            let old = &text[text.find(MARKER).unwrap() + MARKER.len() + 2..][..SUM_DIGITS];
            let zeroed = text.replacen(old, &"0".repeat(SUM_DIGITS), 1).replacen("pre-push 4 ", "pre-push 5 ", 1);
            let other = zeroed.replacen(&"0".repeat(SUM_DIGITS), &sum(&zeroed), 1);
            assert_eq!(Text::of(other.as_bytes()), Text::Ours(chain, Edition::Other), "{other}");
        }
    }

    #[test]
    fn whatever_a_person_changes_in_a_shim_is_seen() {
        for (chain, text) in shims() {
            let edits = [
                text.clone() + "echo mine\n",
                text.clone() + "\n",
                text.replacen('\n', "\necho mine\n", 1),
                text.replacen("#!/bin/sh", "#!/bin/bash", 1),
                text.replacen("explains", "Explains", 1),
                text.replacen("exit 0", "exit 1", 1),
                text[..text.len() - 1].to_owned(),
                text[..text.find("explains").unwrap()].to_owned(),
                text.replacen("pre-push 4 ", "pre-push 1 ", 1),
            ];
            for edit in edits {
                let text = Text::of(edit.as_bytes());
                assert!(matches!(text, Text::Ours(_, Edition::Edited)), "{chain:?} {text:?}: {edit}");
            }
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_foreign() {
        for text in ["", "#!/bin/sh\n", "#!/bin/sh\nexit 0\n", "#!/bin/sh\necho '# license-hooks pre-push 1'\n"] {
            assert_eq!(Text::of(text.as_bytes()), Text::Foreign, "{text}");
        }
        assert_eq!(Text::of(b"\x7fELF\0\xff"), Text::Foreign);
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (config, expected) in [
            (None, ""),
            (Some("a b/license.toml"), " --config='a b/license.toml'"),
            (Some("it's/$x`y`\"z"), " --config='it'\\''s/$x`y`\"z'"),
        ] {
            assert_eq!(config_argument(config), expected);
            for runs in [Besides::Nobody, Besides::Kept] {
                let text = Shim { finds: Finds::Beside, runs, config }.text();
                assert_eq!(config_of(text.as_bytes()).as_deref(), config);
            }
        }
    }
}
