//! From the file as written to a checked configuration.

use std::path::{Path, PathBuf};

use license_core::LicenseKey;

use super::{Config, ConfigError, EnvName, Problem};
use crate::vars::Vars;

/// The nearest `license.toml`, in the directory or above it.
pub(crate) fn find(_directory: &Path) -> Option<PathBuf> {
    unimplemented!()
}

/// Reads and checks a file; all problems come together.
pub(crate) fn load(_path: &Path, _vars: &Vars) -> Result<Config, ConfigError> {
    unimplemented!()
}

/// The rules that need the keys themselves: the same key in two environments, a test token in production.
pub(crate) fn problems_of_keys(_config: &Config, _keys: &[(&EnvName, &LicenseKey)], _vars: &Vars) -> Vec<Problem> {
    unimplemented!()
}
