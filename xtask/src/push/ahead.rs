//! What most likely follows git's answers, done while they come: git takes longer to tell how it is configured than all of
//! this takes. Whatever turns out otherwise is done anew.

use std::path::{Path, PathBuf};

use license_core::leaks::{Beginnings, Scanner, ScannerError, Watch};

use super::{
    file::{self, Says},
    lines::Update,
};
use crate::{config, files, git::Oid, vars::Vars};

/// What was done ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    beginnings: Option<Beginnings>,
    file: Option<Likely>,
}

/// The file of the work tree, understood as the one of a pushed object.
#[derive(Debug)]
struct Likely {
    shown: String,
    root: PathBuf,
    bytes: Vec<u8>,
    says: Says,
}

impl Ahead {
    /// Does it for a push from a directory.
    pub(crate) fn of(directory: &Path, updates: &[Update], vars: &Vars) -> Self {
        let pushed = updates.iter().find_map(|update| update.new.as_ref());
        let file = pushed.and_then(|oid| Likely::of(directory, oid, vars));
        Self { beginnings: Beginnings::new().ok(), file }
    }

    /// What a file says, if it is the one that was understood ahead.
    pub(super) fn says(&mut self, shown: &str, root: &Path, bytes: &[u8]) -> Option<Says> {
        let is_it = |likely: &mut Likely| likely.shown == shown && likely.root == root && likely.bytes == bytes;
        self.file.take_if(is_it).map(|likely| likely.says)
    }

    /// The scanner of the push.
    pub(crate) fn scanner(self, watch: Watch) -> Result<Scanner, ScannerError> {
        match self.beginnings {
            Some(beginnings) => Scanner::with(beginnings, watch),
            None => Scanner::new(watch),
        }
    }
}

impl Likely {
    fn of(directory: &Path, oid: &Oid, vars: &Vars) -> Option<Self> {
        let shown = file::shown(oid, config::FILE_NAME);
        let bytes = files::read_limited(&directory.join(config::FILE_NAME), config::FILE_BYTES_MAX).ok()?;
        let says = file::says_in(&shown, directory, &bytes, vars);
        Some(Self { shown, root: directory.to_owned(), bytes, says })
    }
}
