//! What every store of keys promises, whatever its kind.
//!
//! A store holds one license key of one environment. It is read before it is written and read back afterwards by
//! whoever uses it: a store reports what it saw, and decides nothing.

use std::fmt;

use license_core::LicenseKey;

/// What a store holds, and at which version.
#[derive(Debug)]
pub(crate) enum Held {
    /// A key.
    Key {
        /// The key.
        key: LicenseKey,
        /// The version at which it was read.
        version: Version,
    },
    /// Nothing yet: no file, no entry, no secret of that name.
    Nothing {
        /// The version that a first write has to expect.
        version: Version,
    },
    /// Something, or nothing, that cannot be read: the store only takes secrets.
    Hidden {
        /// What it shows of it, as the time of the last write; [`Version::NONE`] when there is nothing.
        version: Version,
    },
}

/// A version as the store tells it: two equal ones mean that nobody wrote in between. Nothing else can be read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) Option<String>);

impl Version {
    /// The store tells none, or there is nothing yet.
    pub(crate) const NONE: Self = Self(None);
}

impl Held {
    /// The version.
    pub(crate) fn version(&self) -> &Version {
        match self {
            Self::Key { version, .. } | Self::Nothing { version } | Self::Hidden { version } => version,
        }
    }
}

/// How a write ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// The store took it.
    Done,
    /// The store did not take it, and holds what it held.
    Failed(StoreFault),
    /// It may have taken it: a timeout, a reset, an answer that says neither. It is to be read back.
    Unknown(StoreFault),
}

/// Why a store cannot be read or written. Carries no key and no token, and its text is clean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
#[diagnostic(help("{next}"))]
pub(crate) struct StoreFault {
    /// What sort of trouble.
    pub(crate) kind: FaultKind,
    /// What happened, to what.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) next: String,
}

/// The sorts of trouble with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It could not be reached, or has trouble of its own: later it may work.
    Unreachable,
    /// The token, the identity or the permission is missing or was refused.
    Credential,
    /// What is configured does not exist there, or cannot be done with it.
    Setup,
    /// Somebody wrote since it was read.
    Conflict,
    /// What it holds or answers makes no sense.
    Malformed,
    /// A signal came before it could be asked to the end.
    Stopped {
        /// The signal's number.
        signal: i32,
    },
}

impl FaultKind {
    /// The signal that came before it was known what the store holds.
    pub(crate) fn stopped(self) -> Option<i32> {
        if let Self::Stopped { signal } = self { Some(signal) } else { None }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Credential => "credential",
            Self::Setup => "setup",
            Self::Conflict => "conflict",
            Self::Malformed => "malformed",
            Self::Stopped { .. } => "stopped",
        })
    }
}
