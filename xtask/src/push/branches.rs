//! Which refs of a remote deploy to an environment: the globs of `branches` in `license.toml`.
//!
//! Pure. A glob means a branch, unless it begins with `refs/`: `main` is `refs/heads/main`, and `refs/tags/v*` means
//! tags. `*` stands for any text without a slash, `**` for any text. Everything else stands for itself, so what other
//! tools give a meaning to (`?`, `[…]`, `{…}`, a leading `!`) is refused.

use crate::glob::Glob;

/// The longest glob that is taken, in bytes: longer than any ref that a file system holds.
const GLOB_BYTES_MAX: usize = 512;

/// A glob that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BranchGlob {
    /// What the whole name of a ref is compared with.
    whole: Glob,
}

/// Why a text is no glob for refs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    /// It has a sign that means something elsewhere and nothing here.
    #[error("`{sign}` has no meaning in it")]
    Sign {
        /// The sign.
        sign: char,
    },
    /// git gives no ref such a name.
    #[error("no branch has such a name")]
    NoRef,
    /// It is too long.
    #[error("it is longer than {GLOB_BYTES_MAX} bytes")]
    TooLong,
}

impl BranchGlob {
    /// Takes a glob, or says why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, GlobError> {
        if text.len() > GLOB_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        let negates = text.starts_with('!').then_some('!');
        if let Some(sign) = negates.or_else(|| text.chars().find(|sign| "?[]{}\\".contains(*sign))) {
            return Err(GlobError::Sign { sign });
        }
        if !could_be_a_ref(text) {
            return Err(GlobError::NoRef);
        }
        let prefix = if text.starts_with("refs/") { "" } else { "refs/heads/" };
        Ok(Self { whole: Glob::parse(&[prefix, text].concat()) })
    }

    /// Whether it means this ref: the full name, as the remote has it.
    pub(crate) fn matches(&self, remote_ref: &[u8]) -> bool {
        self.whole.matches(remote_ref)
    }
}

/// Whether git lets a ref have the name, with a letter for every star.
fn could_be_a_ref(text: &str) -> bool {
    let forbidden = |sign: char| sign.is_ascii_control() || " ~^:".contains(sign);
    let good_part = |part: &str| {
        // As git compares it: with these letters.
        let ends_in_lock = part.strip_suffix(".lock").is_some();
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !ends_in_lock
    };
    !text.chars().any(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && text != "refs"
        && text.split('/').all(good_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_means_branches_unless_it_begins_with_refs() {
        for (glob, name, expected) in [
            ("main", "refs/heads/main", true),
            ("main", "refs/heads/main2", false),
            ("main", "refs/heads/a/main", false),
            ("main", "refs/tags/main", false),
            ("main", "main", false),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/refs/heads/main", false),
            ("heads/main", "refs/heads/main", false),
            ("refs/tags/v*", "refs/tags/v1.2", true),
            ("refs/tags/v*", "refs/heads/v1.2", false),
            ("v*", "refs/tags/v1.2", false),
            ("release/*", "refs/heads/release/1.0", true),
            ("release/*", "refs/heads/release/1/0", false),
            ("release/*", "refs/heads/release", false),
            ("release/**", "refs/heads/release/1/0", true),
            ("*", "refs/heads/main", true),
            ("*", "refs/heads/a/b", false),
            ("**", "refs/heads/a/b", true),
            ("**", "refs/tags/v1", false),
            ("refs/**", "refs/tags/v1", true),
            ("refs/*/main", "refs/heads/main", true),
            ("**/hotfix", "refs/heads/team/a/hotfix", true),
            ("team-*/*-fix", "refs/heads/team-a/late-fix", true),
            ("team-*/*-fix", "refs/heads/team-a/b/late-fix", false),
            ("a*b*c", "refs/heads/aXbbYc", true),
            ("a*b*c", "refs/heads/aXbbYcd", false),
            ("***", "refs/heads/a/b", true),
            ("Main", "refs/heads/main", false),
            ("größe", "refs/heads/größe", true),
            ("gr*e", "refs/heads/größe", true),
            ("main", "", false),
        ] {
            let parsed = BranchGlob::parse(glob).unwrap_or_else(|error| panic!("{glob}: {error}"));
            assert_eq!(parsed.matches(name.as_bytes()), expected, "{glob} and {name}");
        }
    }

    #[test]
    fn a_ref_that_is_no_text_is_compared_too() {
        assert!(BranchGlob::parse("a*").unwrap().matches(b"refs/heads/a\xff"));
        assert!(!BranchGlob::parse("a").unwrap().matches(b"refs/heads/a\xff"));
    }

    #[test]
    fn what_could_never_match_is_no_glob() {
        for text in [
            "!main", "ma?n", "[ab]", "{a,b}", "a\\b", "a b", "a..b", "/main", "main/", "a//b", "a~1", "a^", "a:b",
            ".a", "a/.b", "a.lock", "a@{1}", "@", "refs", "a\nb", "a.", "",
        ] {
            assert!(BranchGlob::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(BranchGlob::parse(&"a".repeat(GLOB_BYTES_MAX + 1)), Err(GlobError::TooLong));
        assert_eq!(BranchGlob::parse("!a"), Err(GlobError::Sign { sign: '!' }));
    }

    #[test]
    fn no_glob_is_slow() {
        let glob = BranchGlob::parse(&"a*".repeat(GLOB_BYTES_MAX / 2)).unwrap();
        let name = ["refs/heads/", &"a".repeat(10_000), "b"].concat();
        assert!(glob.matches(name.as_bytes()));
        assert!(!BranchGlob::parse(&["a*".repeat(200), "c".to_owned()].concat()).unwrap().matches(name.as_bytes()));
    }
}
