//! A key in a file of its own, sealed with age to recipients: it may be committed.
//!
//! The file holds exactly the key and a line break. Its version is the hash of its bytes.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use license_core::{LicenseKey, chain::LineHash};
use miette::Diagnostic as _;
use zeroize::Zeroizing;

use super::{
    StoreError,
    dotenv::target,
    held::{FaultKind, Held, StoreFault, Version, Written},
    unusable,
};
use crate::{
    files::{self, RewriteError},
    seal::{ARMOR_BYTES_MAX, Identity, Recipients, SealError},
};

/// A sealed file.
pub(crate) struct AgeStore {
    /// The file, absolute. A symbolic link stays one.
    pub(crate) file: PathBuf,
    /// Whom a new key is sealed to.
    pub(crate) recipients: Recipients,
    /// What opens it, where this machine has that. Without it the store takes keys and shows none.
    pub(crate) identity: Option<Identity>,
}

impl fmt::Debug for AgeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeStore")
            .field("file", &self.file)
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}

impl AgeStore {
    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("the sealed file `{}`", self.file.display())
    }

    /// Reads it, and proves that a new file can take its place and be read back.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        if self.identity.as_ref().is_some_and(|identity| !self.recipients.include(identity)) {
            return Err(StoreFault {
                kind: FaultKind::Setup,
                message: format!(
                    "{} would be sealed to recipients of which none is the identity's own: a new key could not be read back",
                    self.describe()
                ),
                next: "add the identity's recipient to `recipients`, or name the identity of one of them".to_owned(),
            });
        }
        let held = self.read()?;
        let target = target(&self.file).map_err(|error| self.not_read(&error))?;
        files::try_rewrite(&target, b"").map_err(|error| self.not_written(&error))?;
        Ok(held)
    }

    /// Reads it. Without an identity it only tells its version.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        let Some(bytes) = self.bytes()? else { return Ok(Held::Nothing { version: Version::NONE }) };
        let version = version(&bytes);
        // Somebody emptied it, so that a key can come into it.
        if bytes.is_empty() {
            return Ok(Held::Nothing { version });
        }
        let Some(identity) = &self.identity else { return Ok(Held::Hidden { version }) };
        let text = opened(identity, &bytes).map_err(|error| self.not_opened_here(&error))?;
        match LicenseKey::parse(&text) {
            Ok(key) => Ok(Held::Key { key, version }),
            Err(why) => Err(StoreFault {
                kind: FaultKind::Malformed,
                message: format!("{} holds no license key: {why}", self.describe()),
                next: "seal the key alone into it, or remove the file".to_owned(),
            }),
        }
    }

    /// Replaces the file at once by one that holds the key, and that whoever could read the old one can read, if it is
    /// still the one that was read.
    ///
    /// Between the last look and the replacement there is a moment in which another writer is not seen: files have no
    /// compare-and-swap. Reading back afterwards finds it.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, _rotation_id: &str) -> Written {
        let mut plain = Zeroizing::new(String::with_capacity(LicenseKey::BYTES_MAX + 1));
        plain.push_str(key.reveal());
        plain.push('\n');
        let sealed = match self.recipients.seal(plain.as_bytes()) {
            Ok(sealed) => sealed,
            Err(error) => return Written::Failed(self.not_opened(&error)),
        };
        let target = match self.unchanged(over) {
            Ok(target) => target,
            Err(fault) => return Written::Failed(fault),
        };
        match files::rewrite(&target, sealed.armor().as_bytes()) {
            Ok(()) => Written::Done,
            // The name may have changed already, and only the directory is not known to be on disk.
            Err(error) if self.bytes().is_ok_and(|now| now.is_none_or(|now| version(&now) == *over)) => {
                Written::Failed(self.not_written(&error))
            }
            Err(error) => Written::Unknown(self.not_written(&error)),
        }
    }

    /// Where to write, if the file is still the one that was read.
    fn unchanged(&self, over: &Version) -> Result<PathBuf, StoreFault> {
        let now = self.bytes()?.map_or(Version::NONE, |bytes| version(&bytes));
        if now != *over {
            return Err(StoreFault {
                kind: FaultKind::Conflict,
                message: format!("{} was changed since it was read", self.describe()),
                next: "look who else writes it, and run the command again".to_owned(),
            });
        }
        target(&self.file).map_err(|error| self.not_read(&error))
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, StoreFault> {
        let target = target(&self.file).map_err(|error| self.not_read(&error))?;
        match files::read_limited(&target, ARMOR_BYTES_MAX as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.not_read(&error)),
        }
    }

    fn not_read(&self, error: &io::Error) -> StoreFault {
        StoreFault {
            kind: FaultKind::Setup,
            message: format!("{} cannot be read: {}", self.describe(), files::why(error)),
            next: "look at its owner and its permissions, and at where it leads if it is a link".to_owned(),
        }
    }

    fn not_written(&self, error: &RewriteError) -> StoreFault {
        StoreFault {
            kind: FaultKind::Setup,
            message: format!("{} cannot be written: {error}", self.describe()),
            next: error.next(),
        }
    }

    /// The file that is there does not open: one that is damaged may be removed, for a rotation writes a new one.
    fn not_opened_here(&self, error: &SealError) -> StoreFault {
        let fault = self.not_opened(error);
        match fault.kind {
            FaultKind::Malformed => StoreFault {
                next: "bring back the file as it was; or remove it, and `cargo xtask rotate` writes the new key into a new one".to_owned(),
                ..fault
            },
            FaultKind::Credential
            | FaultKind::Setup
            | FaultKind::Unreachable
            | FaultKind::Conflict
            | FaultKind::Stopped { .. } => fault,
        }
    }

    fn not_opened(&self, error: &SealError) -> StoreFault {
        let kind = match error {
            SealError::NotForUs
            | SealError::NoIdentity
            | SealError::Identity { .. }
            | SealError::IdentityTooLong
            | SealError::TooManyIdentities => FaultKind::Credential,
            SealError::NoRecipients
            | SealError::TooManyRecipients
            | SealError::Recipient { .. }
            | SealError::TooLongToSeal
            | SealError::NotSealed { .. } => FaultKind::Setup,
            SealError::Malformed | SealError::Passphrase | SealError::NewerFormat | SealError::TooLongToOpen => {
                FaultKind::Malformed
            }
        };
        let next = error.help().map_or_else(|| "look at license.toml".to_owned(), |help| help.to_string());
        StoreFault { kind, message: format!("{}: {error}", self.describe()), next }
    }
}

/// The text that a sealed file holds, for a file and the text of an identity.
pub(crate) fn read_sealed(file: &Path, identity_text: &str) -> Result<Zeroizing<String>, StoreError> {
    let not_opened = |source| StoreError::NotOpened { file: file.to_owned(), source };
    let bytes = files::read_limited(file, ARMOR_BYTES_MAX as u64).map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            return not_opened(SealError::TooLongToOpen);
        }
        unusable(file, error, "seal the key into it with `age -a -r RECIPIENT`")
    })?;
    let identity = Identity::parse(identity_text).map_err(not_opened)?;
    opened(&identity, &bytes).map_err(not_opened)
}

/// The text, without the line break that files end in.
fn opened(identity: &Identity, bytes: &[u8]) -> Result<Zeroizing<String>, SealError> {
    let plain = identity.open(bytes)?;
    let text = std::str::from_utf8(&plain).map_err(|_| SealError::Malformed)?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Zeroizing::new(text.to_owned()))
}

fn version(bytes: &[u8]) -> Version {
    Version(Some(LineHash::of(bytes).to_string()))
}

#[cfg(test)]
mod tests;
