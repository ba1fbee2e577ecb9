//! The file that git runs: a few lines of POSIX shell that hand over to the copy of the program, never to cargo.
//!
//! It is recognized by its second line. It says no when the program is gone: a guard that is silently absent is worse
//! than none.

/// What the second line begins with. A number follows, which changes with the text below.
const MARKER: &str = "# license-hooks pre-push ";

/// The number of today's text.
const VERSION: u32 = 1;

/// The program of the hook, below the directory that all worktrees share.
pub(crate) const PROGRAM: &str = "license/xtask";

/// The name under which a hook that was there before is kept, beside ours.
pub(crate) const LEGACY: &str = "pre-push.legacy";

/// A hook of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shim {
    /// How it finds the program.
    pub(crate) finds: Finds,
    /// Whom it runs besides.
    pub(crate) chain: Chain,
}

/// How a shim finds the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It lies in the directory of hooks that git has by default, and the program beside that.
    Beside,
    /// It asks git, since a path of its own would lead into the work tree or to another repository's files.
    ByGit,
}

/// Whom a shim runs besides the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// Nobody.
    Alone,
    /// The hook that was there before, once the program has said yes: some of them upload.
    WithLegacy,
}

/// What the file of a hook is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Ours, as this version writes it or as another one did.
    Ours(Chain, Edition),
    /// Somebody else's.
    Foreign,
}

/// Which version wrote a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// It is as this version writes it.
    Present,
    /// It is not.
    Other,
}

impl Shim {
    /// The whole file. It needs a POSIX shell, and git where it asks git.
    pub(crate) fn text(self) -> String {
        let program = match self.finds {
            Finds::Beside => "${0%/*}/../license/xtask",
            Finds::ByGit => "$(git rev-parse --git-common-dir)/license/xtask",
        };
        let head = format!(
            "#!/bin/sh\n\
             {MARKER}{VERSION}: `cargo xtask hook status` explains it, `cargo xtask hook uninstall` removes it\n"
        );
        let gone = "license: the program of this hook is gone, so that nothing is pushed; `cargo xtask hook install` \
                    brings it back, `git push --no-verify` pushes without it";
        let skipped = SKIPPED;
        match self.chain {
            Chain::Alone => format!(
                "{head}\
                 [ \"${{LICENSE_HOOK-}}\" != 0 ] || {{ echo '{skipped}' >&2; exit 0; }}\n\
                 x=\"{program}\"; [ -x \"$x\" ] || {{ echo '{gone}' >&2; exit 1; }}\n\
                 exec \"$x\" pre-push \"$@\"\n"
            ),
            // Both read what git says, so that it is read once and said twice. The program may refuse without reading
            // all of it, which the shell need not complain about.
            Chain::WithLegacy => format!(
                "{head}\
                 lines=$(cat)\n\
                 say() {{ printf '%s' \"${{lines:+$lines\n}}\" 2>/dev/null; }}\n\
                 if [ \"${{LICENSE_HOOK-}}\" = 0 ]; then echo '{skipped}' >&2; else\n\
                 x=\"{program}\"; [ -x \"$x\" ] || {{ echo '{gone}' >&2; exit 1; }}\n\
                 say | \"$x\" pre-push \"$@\" || exit\n\
                 fi\n\
                 [ -x \"${{0%/*}}/{LEGACY}\" ] || exit 0\n\
                 say | \"${{0%/*}}/{LEGACY}\" \"$@\"\n"
            ),
        }
    }
}

/// What is said when the hook is skipped.
pub(crate) const SKIPPED: &str = "license: LICENSE_HOOK=0, so that this push is not checked";

impl Text {
    /// Looks at the beginning of a file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let is_ours =
            text.starts_with("#!/bin/sh\n") && text.lines().nth(1).is_some_and(|line| line.starts_with(MARKER));
        if !is_ours {
            return Self::Foreign;
        }
        let chain = if text.contains(LEGACY) { Chain::WithLegacy } else { Chain::Alone };
        let written = [Finds::Beside, Finds::ByGit].map(|finds| Shim { finds, chain }.text());
        Self::Ours(
            chain,
            if written.iter().any(|written| *written == text) { Edition::Present } else { Edition::Other },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_recognized_whoever_wrote_it() {
        for finds in [Finds::Beside, Finds::ByGit] {
            for chain in [Chain::Alone, Chain::WithLegacy] {
                let text = Shim { finds, chain }.text();
                assert_eq!(Text::of(text.as_bytes()), Text::Ours(chain, Edition::Present), "{text}");
                let older = text.replace("pre-push 1:", "pre-push 0:");
                assert_eq!(Text::of(older.as_bytes()), Text::Ours(chain, Edition::Other));
            }
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_foreign() {
        for text in [
            "",
            "#!/bin/sh\n",
            "#!/bin/sh\nexit 0\n",
            "#!/bin/sh\n\n# license-hooks pre-push 1\n",
            "# license-hooks pre-push 1",
        ] {
            assert_eq!(Text::of(text.as_bytes()), Text::Foreign, "{text}");
        }
        assert_eq!(Text::of(b"\x7fELF\0\xff"), Text::Foreign);
    }
}
