//! Where keys and tokens are read from.
//!
//! Knows environment variables, dotenv files and plain files; knows neither `license.toml` nor what a secret is for.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use license_core::{LicenseKey, key::KeyError};
use zeroize::Zeroizing;

use crate::{files, seal::SealError, vars::Vars};

pub(crate) mod age;
pub(crate) mod command;
pub(crate) mod conformance;
pub(crate) mod dotenv;
pub(crate) mod github;
pub(crate) mod held;
#[cfg(test)]
#[path = "../../../tests/src"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "the servers of the harness, which has more users than the tests here"
)]
mod harness {
    pub mod github_api;
    pub mod raw;
    pub mod vault_api;
}
pub(crate) mod http;
pub(crate) mod place;
pub(crate) mod vault;

/// The longest file that is read for a secret, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a secret is kept: named in license.toml, never written there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A variable in a dotenv file.
    Dotenv {
        /// The file, absolute.
        file: PathBuf,
        /// The variable's name.
        name: String,
    },
    /// A file that holds nothing else (offline tokens, age identities).
    File {
        /// The file, absolute.
        file: PathBuf,
    },
    /// A file sealed with age.
    Age {
        /// The file, absolute.
        file: PathBuf,
        /// Where the identity is that opens it: one of the forms above.
        identity: Box<Source>,
    },
    /// What a configured store holds.
    Store {
        /// The store's name.
        name: String,
    },
}

/// The place in words that fit into a sentence.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { name } => write!(f, "the environment variable `{name}`"),
            Self::Dotenv { file, name } => write!(f, "the variable `{name}` in `{}`", file.display()),
            Self::File { file } => write!(f, "the file `{}`", file.display()),
            Self::Age { file, .. } => write!(f, "the sealed file `{}`", file.display()),
            Self::Store { name } => write!(f, "the store `{name}`"),
        }
    }
}

/// Reads the text of a secret. Absent, empty and unreadable are different errors; the text is never in one.
pub(crate) fn read(source: &Source, vars: &Vars) -> Result<Zeroizing<String>, StoreError> {
    let text = match source {
        Source::Env { name } => from_env(source, name, vars)?,
        Source::Dotenv { file, name } => from_dotenv(source, file, name)?,
        Source::File { file } => from_file(file)?,
        Source::Age { file, identity } => from_sealed(file, identity, vars)?,
        // Which place a store is depends on the environment and on the network: `connect` asks it.
        Source::Store { name } => return Err(StoreError::InStore { store: name.clone() }),
    };
    if text.is_empty() {
        return Err(StoreError::Empty { what: source.to_string(), next: fill(source) });
    }
    Ok(text)
}

/// Reads a license key. A key with a line break or a space in it is refused, not repaired: it would not be the key that was issued.
pub(crate) fn read_key(source: &Source, vars: &Vars) -> Result<LicenseKey, StoreError> {
    let text = read(source, vars)?;
    LicenseKey::parse(&text).map_err(|why| StoreError::NotAKey { what: source.to_string(), why })
}

/// Whether there is nothing at all in a place: no variable, no file, no entry. A place that is empty or broken is not absent.
pub(crate) fn is_absent(source: &Source, vars: &Vars) -> bool {
    matches!(read(source, vars), Err(StoreError::Absent { .. } | StoreError::NoFile { .. }))
}

fn from_env(source: &Source, name: &str, vars: &Vars) -> Result<Zeroizing<String>, StoreError> {
    let Some(raw) = vars.raw(name) else {
        return Err(StoreError::Absent { what: source.to_string(), next: fill(source) });
    };
    match raw.to_str() {
        Some(text) => Ok(Zeroizing::new(text.to_owned())),
        None => Err(StoreError::NotUtf8 { what: source.to_string() }),
    }
}

fn from_dotenv(source: &Source, file: &Path, name: &str) -> Result<Zeroizing<String>, StoreError> {
    let text = file_text(file, &format!("create it with the line `{name}=…`"))?;
    match dotenv::value(&text, name) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(StoreError::Absent { what: source.to_string(), next: fill(source) }),
        Err(malformed) => Err(StoreError::Malformed { file: file.to_owned(), malformed }),
    }
}

/// Files end in a line break, and no token does.
fn from_file(file: &Path) -> Result<Zeroizing<String>, StoreError> {
    let text = file_text(file, "bring the file here, or write the secret into it")?;
    Ok(Zeroizing::new(text.trim_end().to_owned()))
}

/// A file sealed with age, opened with its identity.
fn from_sealed(file: &Path, identity: &Source, vars: &Vars) -> Result<Zeroizing<String>, StoreError> {
    age::read_sealed(file, &read(identity, vars)?)
}

fn file_text(file: &Path, create: &str) -> Result<Zeroizing<String>, StoreError> {
    let bytes = match files::read_limited(file, FILE_BYTES_MAX) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(source) => return Err(unusable(file, source, create)),
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(StoreError::NotUtf8 { what: format!("the file `{}`", file.display()) }),
    }
}

fn unusable(file: &Path, source: io::Error, create: &str) -> StoreError {
    if source.kind() == io::ErrorKind::NotFound {
        return StoreError::NoFile { file: file.to_owned(), next: create.to_owned() };
    }
    if source.kind() == io::ErrorKind::FileTooLarge {
        return StoreError::TooLong { file: file.to_owned() };
    }
    StoreError::Unreadable { file: file.to_owned(), source }
}

/// How to put a secret into its place.
fn fill(source: &Source) -> String {
    match source {
        Source::Env { name } => {
            format!("set `{name}` in the CI system's secrets and pass it to this step, or export it in your shell")
        }
        Source::Dotenv { file, name } => format!("add `{name}=…` to `{}`", file.display()),
        Source::File { file } => format!("write it into `{}`", file.display()),
        Source::Age { file, .. } => format!("seal it into `{}`", file.display()),
        Source::Store { name } => format!("write it into the store `{name}`"),
    }
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum StoreError {
    /// There is nothing.
    #[error("{what} is not set")]
    #[diagnostic(help("{next}"))]
    Absent {
        /// The variable or entry, in words.
        what: String,
        /// What to do next.
        next: String,
    },
    /// There is no such file.
    #[error("the file `{}` does not exist", file.display())]
    #[diagnostic(help("{next}"))]
    NoFile {
        /// The file.
        file: PathBuf,
        /// What to do next.
        next: String,
    },
    /// The place is there, and nothing is in it.
    #[error("{what} is empty")]
    #[diagnostic(help("{next}; a secret that the CI system does not hand to this step often reads as empty"))]
    Empty {
        /// The variable, file or entry, in words.
        what: String,
        /// What to do next.
        next: String,
    },
    /// It is not text.
    #[error("{what} is not UTF-8 text")]
    #[diagnostic(help("copy it again from where it was issued"))]
    NotUtf8 {
        /// The variable or file, in words.
        what: String,
    },
    /// The operating system said no.
    #[error("the file `{}` cannot be read: {}", file.display(), files::why(source))]
    #[diagnostic(help("look at its owner and its permissions"))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Too long to be what it should be.
    #[error("the file `{}` is longer than {} MiB", file.display(), FILE_BYTES_MAX / (1024 * 1024))]
    #[diagnostic(help("this is hardly the right file; look at license.toml"))]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// A line of a dotenv file makes no sense.
    #[error("`{}` cannot be read: line {} {}", file.display(), malformed.line, malformed.why)]
    #[diagnostic(help("write `NAME=value`, with quotes round a value that has spaces"))]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Which line, and why.
        malformed: dotenv::Malformed,
    },
    /// It is in a store, which nobody asked.
    #[error("the store `{store}` cannot be asked here")]
    #[diagnostic(help("name another place, as in `{{ env = \"LICENSE_KEY\" }}`"))]
    InStore {
        /// The store's name.
        store: String,
    },
    /// A sealed file cannot be opened.
    #[error("the sealed file `{}` cannot be opened: {source}", file.display())]
    #[diagnostic(help("{}", miette::Diagnostic::help(source).map_or_else(String::new, |help| help.to_string())))]
    NotOpened {
        /// The file.
        file: PathBuf,
        /// Why.
        source: SealError,
    },
    /// The text is no license key.
    #[error("{what} holds no license key: {why}")]
    #[diagnostic(help(
        "store the key alone: no quotes, no line break (`printf %s` adds none, `echo` does), nothing before or after it"
    ))]
    NotAKey {
        /// The variable, file or entry, in words.
        what: String,
        /// Why.
        why: KeyError,
    },
}

impl StoreError {
    /// Whether it says that there is no secret here. What is there and cannot be read is another matter.
    pub(crate) fn says_there_is_none(&self) -> bool {
        match self {
            Self::Absent { .. } | Self::NoFile { .. } | Self::Empty { .. } | Self::InStore { .. } => true,
            Self::NotUtf8 { .. }
            | Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::NotOpened { .. }
            | Self::NotAKey { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt};

    use super::*;

    const SECRET: &str = "TO-DEV-marker-1234";

    fn env(name: &str) -> Source {
        Source::Env { name: name.to_owned() }
    }

    #[test]
    fn an_error_says_what_to_do_next() {
        let directory = tempfile::tempdir().unwrap();
        let help = |source: &Source| {
            let error = error(source, &Vars::default());
            format!("{error} / {}", miette::Diagnostic::help(&error).unwrap())
        };
        let shown = directory.path().join(".env.staging").display().to_string();
        let source = Source::Dotenv { file: directory.path().join(".env.staging"), name: "LICENSE_KEY".to_owned() };
        assert_eq!(
            help(&source),
            format!("the file `{shown}` does not exist / create it with the line `LICENSE_KEY=…`")
        );
        dotenv::set(&directory.path().join(".env.staging"), "OTHER", "1").unwrap();
        assert_eq!(
            help(&source),
            format!("the variable `LICENSE_KEY` in `{shown}` is not set / add `LICENSE_KEY=…` to `{shown}`")
        );
        assert_eq!(
            help(&env("LICENSE_KEY")),
            "the environment variable `LICENSE_KEY` is not set / set `LICENSE_KEY` in the CI system's secrets and \
             pass it to this step, or export it in your shell"
        );
    }

    fn error(source: &Source, vars: &Vars) -> StoreError {
        let error = read_key(source, vars).expect_err("there is no key");
        let shown = format!("{error} {error:?} {:?}", miette::Diagnostic::help(&error).map(|help| help.to_string()));
        assert!(!shown.contains("marker"), "the secret must not be in {shown}");
        error
    }

    fn dotenv(directory: &tempfile::TempDir, text: impl AsRef<[u8]>) -> Source {
        let file = directory.path().join(".env");
        fs_write(&file, text.as_ref());
        Source::Dotenv { file, name: "LICENSE_KEY".to_owned() }
    }

    #[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
    fn fs_write(file: &Path, bytes: &[u8]) {
        fs::write(file, bytes).unwrap();
    }

    #[test]
    fn a_variable_gives_its_key() {
        let vars = Vars::from_iter([("LICENSE_KEY", SECRET)]);
        assert_eq!(read_key(&env("LICENSE_KEY"), &vars).unwrap().reveal(), SECRET);
    }

    #[test]
    fn unset_empty_and_unreadable_variables_are_told_apart() {
        let not_text = OsString::from_vec([SECRET.as_bytes(), b"\xff"].concat());
        let vars: Vars = [("EMPTY", OsString::new()), ("BYTES", not_text)].into_iter().collect();
        assert!(matches!(error(&env("UNSET"), &vars), StoreError::Absent { .. }));
        assert!(matches!(error(&env("EMPTY"), &vars), StoreError::Empty { .. }));
        assert!(matches!(error(&env("BYTES"), &vars), StoreError::NotUtf8 { .. }));
    }

    #[test]
    fn a_key_with_a_line_break_or_a_space_is_refused_and_not_shown() {
        for text in [format!("{SECRET}\n"), format!(" {SECRET}"), format!("{SECRET}\r"), format!("\"{SECRET} \"")] {
            let vars = Vars::from_iter([("LICENSE_KEY", text)]);
            assert!(matches!(error(&env("LICENSE_KEY"), &vars), StoreError::NotAKey { .. }));
        }
    }

    #[test]
    fn a_key_of_64_kilobytes_is_refused() {
        let vars = Vars::from_iter([("LICENSE_KEY", "marker".repeat(11_000))]);
        let error = error(&env("LICENSE_KEY"), &vars);
        assert!(matches!(error, StoreError::NotAKey { why: KeyError::TooLong { .. }, .. }));
    }

    #[test]
    fn a_dotenv_file_gives_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let source = dotenv(&directory, format!("# keys\nOTHER=1\nexport LICENSE_KEY='{SECRET}' # here\n"));
        assert_eq!(read_key(&source, &Vars::default()).unwrap().reveal(), SECRET);
    }

    #[test]
    fn what_is_wrong_with_a_dotenv_file_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let vars = Vars::default();
        let gone = Source::Dotenv { file: directory.path().join("gone"), name: "LICENSE_KEY".to_owned() };
        assert!(matches!(error(&gone, &vars), StoreError::NoFile { .. }));
        let itself = Source::Dotenv { file: directory.path().to_owned(), name: "LICENSE_KEY".to_owned() };
        assert!(matches!(error(&itself, &vars), StoreError::Unreadable { .. }));
        assert!(matches!(error(&dotenv(&directory, "OTHER=marker\n"), &vars), StoreError::Absent { .. }));
        assert!(matches!(error(&dotenv(&directory, "LICENSE_KEY=\n"), &vars), StoreError::Empty { .. }));
        assert!(matches!(error(&dotenv(&directory, b"LICENSE_KEY=marker\xff"), &vars), StoreError::NotUtf8 { .. }));
        let malformed = error(&dotenv(&directory, format!("LICENSE_KEY={SECRET}\nmarker\n")), &vars);
        assert!(matches!(malformed, StoreError::Malformed { malformed: dotenv::Malformed { line: 2, .. }, .. }));
        let long = "#".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1);
        assert!(matches!(error(&dotenv(&directory, long), &vars), StoreError::TooLong { .. }));
    }

    #[test]
    fn a_file_gives_its_token_without_the_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("license.jwt");
        fs_write(&file, b"eyJ.a.b\n");
        assert_eq!(read(&Source::File { file }, &Vars::default()).unwrap().as_str(), "eyJ.a.b");
    }
}
