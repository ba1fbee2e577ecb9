//! What a push says once: which secrets are not looked for, until those are others. A line at every push, about keys that
//! a developer never gets, would be one that nobody reads.

use std::{collections::BTreeSet, path::Path};

use crate::files;

/// What was told last, below the directory that all worktrees share: one name a line, and no secret.
const FILE: &str = "license/passed-over";

/// The longest list that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Whether these are others than those that were told last. Remembered only where the hook is installed, beside it;
/// where it cannot be remembered it is news again.
pub(crate) fn is_news(common: &Path, told: &BTreeSet<String>) -> bool {
    let file = common.join(FILE);
    if told.is_empty() {
        // What goes missing again is told again.
        forget(common);
        return false;
    }
    let text = told.iter().fold(String::new(), |text, line| text + &format!("{line:?}\n"));
    if files::read_limited(&file, FILE_BYTES_MAX).is_ok_and(|bytes| bytes == text.as_bytes()) {
        return false;
    }
    if file.parent().is_some_and(Path::is_dir) {
        let _ = files::replace(&file, text.as_bytes());
    }
    true
}

/// Forgets what was told.
pub(crate) fn forget(common: &Path) {
    // Where it is not there, or stays, nothing worse happens than that a line is told again, or is not.
    let _ = std::fs::remove_file(common.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let told = |names: &[&str]| is_news(directory.path(), &names.iter().map(|&name| name.to_owned()).collect());
        assert!(told(&["a"]) && told(&["a"]), "nothing is made where no hook is installed");
        std::fs::create_dir(directory.path().join("license")).unwrap();
        let expected = [(&["a"][..], true), (&["a"], false), (&["a", "b"], true), (&["a", "b"], false), (&["a"], true)];
        for (names, news) in expected.into_iter().chain([(&[][..], false), (&["a"], true)]) {
            assert_eq!(told(names), news, "{names:?}");
        }
    }
}
