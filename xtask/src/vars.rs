//! The environment of the process: read once, here, and handed on as a value.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
};

/// The variables that the process was started with. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub(crate) struct Vars(BTreeMap<OsString, OsString>);

impl Vars {
    /// The variables of this process.
    #[expect(clippy::disallowed_methods, reason = "this is the door to the environment")]
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable's value, if it is set and is text. A value that is not UTF-8 reads as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str()
    }

    /// A variable's value as the operating system has it.
    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Every variable.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(vars: I) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
