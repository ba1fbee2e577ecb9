//! The copy of the program that the hook runs: never cargo, which waits for locks and may build for minutes while a
//! server waits for the push.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use license_core::{finding::clean, trail::Ended};

use super::shim;
use crate::{
    files,
    process::capture::{Answer, Call, capture},
};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The mode of the copy: everybody who can push from this repository runs it.
const MODE: u32 = 0o755;

/// The longest program that is copied, in bytes.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How long a copy may take to tell its version.
const VERSION_WAIT: Duration = Duration::from_secs(5);

/// What is known of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    Missing,
    /// It is this very program.
    Same,
    /// It is another one.
    Other {
        /// What it says its version is.
        version: Option<String>,
        /// Which of the two is older.
        age: Age,
    },
}

impl Standing {
    /// Whether it answered: what is no program tells no version.
    pub(crate) fn works(&self) -> bool {
        match self {
            Self::Same => true,
            Self::Other { version, .. } => version.is_some(),
            Self::Missing => false,
        }
    }
}

/// How a copy compares with this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It has a lower version.
    Older,
    /// It has a higher one.
    Newer,
    /// It has the same version, and is another build.
    OtherBuild,
    /// It does not tell.
    NotKnown,
}

/// Where the copy of a repository is.
pub(crate) fn place(common: &Path) -> PathBuf {
    common.join(shim::PROGRAM)
}

/// Compares the copy with this program.
pub(crate) fn standing(common: &Path) -> io::Result<Standing> {
    let copy = place(common);
    match files::are_equal(&copy, &std::env::current_exe()?) {
        Ok(true) => Ok(Standing::Same),
        Ok(false) => {
            let version = version_of(&copy, common);
            let age = version.as_deref().map_or(Age::NotKnown, |version| age(version, VERSION));
            Ok(Standing::Other { version, age })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::Missing),
        Err(error) => Err(error),
    }
}

/// Brings this program there, unless it is there; says what was there before.
pub(crate) fn bring(common: &Path) -> io::Result<Standing> {
    let before = standing(common)?;
    let copy = place(common);
    if let Some(directory) = copy.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // Also where it is the same: the mode may have been lost.
    let this = std::env::current_exe()?;
    if before != Standing::Same || !is_executable(&copy) {
        files::copy(&this, &copy, MODE, BYTES_MAX)?;
    }
    Ok(before)
}

/// Removes the copy, and the directory when nothing else is in it.
pub(crate) fn remove(common: &Path) -> io::Result<()> {
    let copy = place(common);
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Fails where something else is in it, and then it stays.
    copy.parent().map(std::fs::remove_dir);
    Ok(())
}

/// Whether somebody may run a file.
pub(crate) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What a copy says its version is. It gets no variables: it has nothing to do with any secret.
fn version_of(copy: &Path, directory: &Path) -> Option<String> {
    let words = [copy.to_str()?.to_owned(), "--version".to_owned()];
    let variables: [(OsString, OsString); 0] = [];
    let call = Call { words: &words, directory, variables: &variables, stdin: b"", deadline: VERSION_WAIT };
    let captured = capture(&call);
    match (captured.ended, captured.stdout) {
        (Ended::Exited { code: 0 }, Answer::Whole(answer)) => {
            let answer = String::from_utf8_lossy(&answer);
            Some(clean(answer.trim().rsplit(' ').next()?)).filter(|version| !version.is_empty())
        }
        _ => None,
    }
}

fn age(copy: &str, this: &str) -> Age {
    use std::cmp::Ordering;
    let numbers = |text: &str| {
        let text = text.split(['-', '+']).next()?;
        text.split('.').map(|number| number.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
    };
    let (Some(copy), Some(this)) = (numbers(copy), numbers(this)) else { return Age::NotKnown };
    match copy.cmp(&this) {
        Ordering::Less => Age::Older,
        Ordering::Greater => Age::Newer,
        Ordering::Equal => Age::OtherBuild,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (copy, this, expected) in [
            ("0.9.0", "0.10.0", Age::Older),
            ("1.0.0", "0.10.9", Age::Newer),
            ("0.1.0", "0.1.0", Age::OtherBuild),
            ("0.1.0-rc.1", "0.1.0", Age::OtherBuild),
            ("unknown", "0.1.0", Age::NotKnown),
        ] {
            assert_eq!(age(copy, this), expected, "{copy} {this}");
        }
    }

    #[test]
    fn the_copy_is_this_program_and_goes_away_with_its_directory() {
        let common = tempfile::tempdir().unwrap();
        assert_eq!(standing(common.path()).unwrap(), Standing::Missing);
        assert_eq!(bring(common.path()).unwrap(), Standing::Missing);
        assert_eq!(bring(common.path()).unwrap(), Standing::Same);
        assert!(is_executable(&place(common.path())));
        remove(common.path()).unwrap();
        assert!(!common.path().join("license").exists());
        remove(common.path()).unwrap();
    }

    #[test]
    fn another_program_is_asked_for_its_version() {
        let common = tempfile::tempdir().unwrap();
        std::fs::create_dir(common.path().join("license")).unwrap();
        let says = |text: &str| {
            // Not written by us: a child that another test starts at this moment would keep it open, and busy.
            let write = "cat > license/xtask && chmod 755 license/xtask";
            let words = ["/bin/sh", "-c", write].map(str::to_owned);
            let variables = [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
            let (directory, stdin, deadline) = (common.path(), text.as_bytes(), VERSION_WAIT);
            let written = capture(&Call { words: &words, directory, variables: &variables, stdin, deadline });
            assert_eq!(written.ended, Ended::Exited { code: 0 });
            standing(common.path()).unwrap()
        };
        let older = Standing::Other { version: Some("0.0.9".to_owned()), age: Age::Older };
        assert_eq!(says("#!/bin/sh\necho xtask 0.0.9\n"), older);
        assert_eq!(says("#!/bin/sh\nexit 1\n"), Standing::Other { version: None, age: Age::NotKnown });
    }
}
