//! Where keys and tokens are read from.

use std::path::PathBuf;

use crate::vars::Vars;

pub(crate) mod dotenv;

/// Where a secret is kept: named in license.toml, never written there.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// A file that holds nothing else (offline tokens).
    File {
        /// The file, absolute.
        file: PathBuf,
    },
}

/// Reads the text of a secret. Absent, empty and unreadable are different errors; the text is never in one.
pub(crate) fn read(_source: &Source, _vars: &Vars) -> Result<zeroize::Zeroizing<String>, StoreError> {
    unimplemented!()
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum StoreError {
    /// There is nothing.
    #[error("{what} is not set")]
    #[diagnostic(help("{next}"))]
    Absent {
        /// The variable, file or entry, in words.
        what: String,
        /// What to do next.
        next: String,
    },
}
