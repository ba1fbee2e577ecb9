//! A variable in a dotenv file as a store: read, and written only over the value that was read.

use std::{io, path::PathBuf};

use license_core::{LicenseKey, chain::LineHash};
use zeroize::Zeroizing;

use super::{FILE_BYTES_MAX, Malformed, Repeated, repeated, target, text, value, with_all};
use crate::{
    files::{self, RewriteError},
    store::held::{FaultKind, Held, StoreFault, Version, Written},
};

/// A variable in a dotenv file.
#[derive(Debug)]
pub(crate) struct DotenvStore {
    /// The file, absolute. A symbolic link stays one.
    pub(crate) file: PathBuf,
    /// The variable's name.
    pub(crate) name: String,
}

/// How many hex digits of a hash are the version: no more than the fingerprint of a key tells.
const VERSION_DIGITS: usize = 16;

impl DotenvStore {
    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("the variable `{}` in `{}`", self.name, self.file.display())
    }

    /// Reads it, and proves that a new file can take the place of the old one.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        let (target, text) = self.text()?;
        self.one_value(&text)?;
        let held = self.held(&text)?;
        files::try_rewrite(&target, b"").map_err(|error| self.not_written(&error))?;
        Ok(held)
    }

    /// Reads it. Where the variable is there twice, the last one counts.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        let (_, text) = self.text()?;
        self.held(&text)
    }

    /// Sets the variable, in every place where the file has it, if its value is still the one that was read.
    /// Everything else in the file stays as it is, byte for byte; the new file replaces the old one at once, and
    /// whoever could read that one can read it.
    ///
    /// Between the last look and the replacement there is a moment in which another writer is not seen: files have no
    /// compare-and-swap. Reading back afterwards finds it.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, _rotation_id: &str) -> Written {
        let (target, before, after) = match self.changed(key, over) {
            Ok(changed) => changed,
            Err(fault) => return Written::Failed(fault),
        };
        match files::rewrite(&target, after.as_bytes()) {
            Ok(()) => Written::Done,
            // The name may have changed already, and only the directory is not known to be on disk.
            Err(error) if self.text().is_ok_and(|(_, now)| now == before) => Written::Failed(self.not_written(&error)),
            Err(error) => Written::Unknown(self.not_written(&error)),
        }
    }

    /// Where to write, what is there, and what will be there.
    fn changed(
        &self,
        key: &LicenseKey,
        over: &Version,
    ) -> Result<(PathBuf, Zeroizing<String>, Zeroizing<String>), StoreFault> {
        let (target, before) = self.text()?;
        let now = value(&before, &self.name).map_err(|malformed| self.malformed(&malformed))?;
        if version(now.as_ref().map(|now| now.as_str())) != *over {
            return Err(StoreFault {
                kind: FaultKind::Conflict,
                message: format!("{} was changed since it was read", self.describe()),
                next: "look who else writes it, and run the command again".to_owned(),
            });
        }
        self.one_value(&before)?;
        let after = with_all(&before, &self.name, key.reveal()).map_err(|malformed| self.malformed(&malformed))?;
        if after.len() as u64 > FILE_BYTES_MAX {
            return Err(self.not_written(&io::Error::from(io::ErrorKind::FileTooLarge).into()));
        }
        Ok((target, before, after))
    }

    fn held(&self, text: &str) -> Result<Held, StoreFault> {
        let value = value(text, &self.name).map_err(|malformed| self.malformed(&malformed))?;
        let version = version(value.as_ref().map(|value| value.as_str()));
        match value.filter(|value| !value.is_empty()) {
            None => Ok(Held::Nothing { version }),
            Some(value) => match LicenseKey::parse(&value) {
                Ok(key) => Ok(Held::Key { key, version }),
                Err(why) => Err(StoreFault {
                    kind: FaultKind::Malformed,
                    message: format!("{} holds no license key: {why}", self.describe()),
                    next: "write the key alone, or remove the line".to_owned(),
                }),
            },
        }
    }

    /// The file behind links, and what is in it: nothing where there is no file.
    fn text(&self) -> Result<(PathBuf, Zeroizing<String>), StoreFault> {
        let target = target(&self.file).map_err(|error| self.not_read(&error))?;
        let read = match files::read_limited(&target, FILE_BYTES_MAX) {
            Ok(bytes) => text(&Zeroizing::new(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::default()),
            Err(error) => Err(error),
        };
        Ok((target, read.map_err(|error| self.not_read(&error))?))
    }

    fn one_value(&self, text: &str) -> Result<(), StoreFault> {
        match repeated(text, &self.name).map_err(|malformed| self.malformed(&malformed))? {
            Repeated::Never | Repeated::TheSame => Ok(()),
            Repeated::Different => Err(StoreFault {
                kind: FaultKind::Setup,
                message: format!("{} is there more than once, with different values", self.describe()),
                next: "keep one of the lines: some readers take the first, others the last".to_owned(),
            }),
        }
    }

    fn malformed(&self, malformed: &Malformed) -> StoreFault {
        StoreFault {
            kind: FaultKind::Malformed,
            message: format!("`{}` cannot be read: {malformed}", self.file.display()),
            next: "write `NAME=value`, with quotes round a value that has spaces".to_owned(),
        }
    }

    fn not_read(&self, error: &io::Error) -> StoreFault {
        StoreFault {
            kind: FaultKind::Setup,
            message: format!("`{}` cannot be read: {}", self.file.display(), files::why(error)),
            next: "look at its owner and its permissions, and at where it leads if it is a link".to_owned(),
        }
    }

    fn not_written(&self, error: &RewriteError) -> StoreFault {
        StoreFault {
            kind: FaultKind::Setup,
            message: format!("`{}` cannot be written: {error}", self.file.display()),
            next: error.next(),
        }
    }
}

/// The version of a value: other lines of the file may change without harm.
fn version(value: Option<&str>) -> Version {
    let Some(value) = value else { return Version::NONE };
    let hashed = Zeroizing::new([b"dotenv-value:v1\0", value.as_bytes()].concat());
    Version(Some(LineHash::of(&hashed).to_string().chars().take(VERSION_DIGITS).collect()))
}

#[cfg(test)]
mod tests;
