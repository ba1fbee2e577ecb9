//! Why a push could not be looked at, and the exit code of each reason. None of them ever reads as clean.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use super::lines::{LINES_BYTES_MAX, LinesError};
use crate::{exit::Exit, git::GitError, hook::trust::TrustError, scan::ScanFault};

/// Why a push could not be looked at.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum PushError {
    /// The hook's input cannot be read.
    #[error("what git says about the push cannot be read: {source}")]
    #[diagnostic(help("see who else is in the chain of hooks"))]
    Input {
        /// What the operating system said.
        source: io::Error,
    },
    /// Too many refs.
    #[error("git says more than {} MiB about the push", LINES_BYTES_MAX / (1024 * 1024))]
    #[diagnostic(help("push fewer refs at once"))]
    TooMuch,
    /// Somebody runs it at a terminal.
    #[error("`pre-push` is what git's hook runs: git tells it on stdin what is pushed")]
    #[diagnostic(help("`cargo xtask hook install` installs it; `cargo xtask leaks` scans without a push"))]
    Terminal,
    /// What runs the hook keeps git's input to itself.
    #[error("what git says on stdin about the push does not come through: stdin is a device, such as `/dev/null`")]
    #[diagnostic(help(
        "let what runs this hook pass git's stdin on: with lefthook by `use_stdin: true` of the command"
    ))]
    NotPassed,
    /// The hook's input makes no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lines(#[from] LinesError),
    /// The tool that runs the hook names something that is not here.
    #[error("`{name}` is to be pushed, and this repository does not have it")]
    #[diagnostic(help("see what `PRE_COMMIT_TO_REF` and `PRE_COMMIT_LOCAL_BRANCH` hold"))]
    NotHere {
        /// The name.
        name: String,
    },
    /// `--config` leads out of what is pushed.
    #[error("`--config {}` names a file outside of the work tree, and no commit has it", path.display())]
    #[diagnostic(help("name a file of the work tree: `pre-push` reads it from the commit that is pushed"))]
    ConfigOutside {
        /// As it was named.
        path: PathBuf,
    },
    /// What was agreed to cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
    /// git did not do what it was asked, so that nobody knows what is in the push.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scan(#[from] ScanFault),
}

impl PushError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Input { .. } | Self::TooMuch | Self::NotHere { .. } => Exit::Incomplete,
            Self::Terminal | Self::NotPassed | Self::Lines(_) | Self::ConfigOutside { .. } => Exit::Usage,
            Self::Trust(_) => Exit::Config,
            Self::Scan(fault) => fault.exit(),
        }
    }
}

impl From<GitError> for PushError {
    fn from(error: GitError) -> Self {
        Self::Scan(error.into())
    }
}
