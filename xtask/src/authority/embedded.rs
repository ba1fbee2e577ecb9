//! The embedded authority, in process: the registry's rules over an event log.

use std::path::Path;

use license_core::{Domain, LicenseKey};

use super::{AskError, Reply};

/// The embedded authority in one state directory.
#[derive(Debug)]
pub(crate) struct Embedded {}

impl Embedded {
    /// Names a state directory. Nothing is created before the first change.
    pub(crate) fn at(_state: &Path) -> Self {
        unimplemented!()
    }

    /// Answers a validation from the current state of the log.
    pub(crate) fn validate(&self, _key: &LicenseKey, _domain: &Domain) -> Result<Reply, AskError> {
        unimplemented!()
    }
}
