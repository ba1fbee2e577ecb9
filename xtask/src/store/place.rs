//! A store of keys of whatever kind, and the order in which stores are written.
//!
//! Each kind is a variant of its own; whoever uses one asks here and does not know the kind.

use license_core::LicenseKey;

use super::{
    age::AgeStore,
    command::{Can, CommandStore},
    dotenv::DotenvStore,
    github::GithubStore,
    held::{Held, StoreFault, Version, Written},
    vault::VaultStore,
};

/// A store of one environment's key.
#[derive(Debug)]
pub(crate) enum Place {
    /// A line of a dotenv file.
    Dotenv(DotenvStore),
    /// A file sealed with age.
    Age(AgeStore),
    /// A helper program.
    Command(CommandStore),
    /// A secret of a GitHub environment.
    Github(GithubStore),
    /// KV version 2 of Vault or OpenBao.
    Vault(VaultStore),
}

/// How much is risked by writing: what can be read back and is guarded by a version risks least, and is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Risk {
    /// It is read back, and a write over somebody else's is refused.
    VersionedAndReadable,
    /// It is read back.
    Readable,
    /// What it took cannot be seen.
    WriteOnly,
}

impl Place {
    /// The name of its kind in `license.toml`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Dotenv(_) => "dotenv",
            Self::Age(_) => "age",
            Self::Command(_) => "command",
            Self::Github(_) => "github",
            Self::Vault(_) => "vault",
        }
    }

    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Dotenv(store) => store.describe(),
            Self::Age(store) => store.describe(),
            Self::Command(store) => store.describe(),
            Self::Github(store) => store.describe(),
            Self::Vault(store) => store.describe(),
        }
    }

    /// Whether a write that it calls done is done, also where nothing of it can be seen: a helper promises that.
    pub(crate) fn is_taken_at_its_word(&self) -> bool {
        match self {
            Self::Command(_) => true,
            Self::Dotenv(_) | Self::Age(_) | Self::Github(_) | Self::Vault(_) => false,
        }
    }

    /// Proves that it could be written, as far as that can be done without a change, and reads it.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        match self {
            Self::Dotenv(store) => store.probe(),
            Self::Age(store) => store.probe(),
            Self::Command(store) => store.probe(),
            Self::Github(store) => store.probe(),
            Self::Vault(store) => store.probe(),
        }
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        match self {
            Self::Dotenv(store) => store.read(),
            Self::Age(store) => store.read(),
            Self::Command(store) => store.read(),
            Self::Github(store) => store.read(),
            Self::Vault(store) => store.read(),
        }
    }

    /// Writes it once, where the kind has a precondition only over the version that was read.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, rotation_id: &str) -> Written {
        match self {
            Self::Dotenv(store) => store.write(key, over, rotation_id),
            Self::Age(store) => store.write(key, over, rotation_id),
            Self::Command(store) => store.write(key, over, rotation_id),
            Self::Github(store) => store.write(key, over, rotation_id),
            Self::Vault(store) => store.write(key, over, rotation_id),
        }
    }

    /// What is risked by writing it. A helper is asked what it can do; one that cannot tell risks most, and its probe
    /// stops the rotation before anything is written.
    pub(crate) fn risk(&self) -> Risk {
        match self {
            Self::Vault(_) => Risk::VersionedAndReadable,
            Self::Dotenv(_) => Risk::Readable,
            Self::Age(store) if store.identity.is_some() => Risk::Readable,
            Self::Age(_) | Self::Github(_) => Risk::WriteOnly,
            Self::Command(store) => match store.capabilities().map(|can| (can.get, can.versions)) {
                Ok((Can::Yes, Can::Yes)) => Risk::VersionedAndReadable,
                Ok((Can::Yes, Can::No)) => Risk::Readable,
                Ok((Can::No, Can::Yes | Can::No)) | Err(_) => Risk::WriteOnly,
            },
        }
    }

    /// What it told people since this was asked last, fit to be shown.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        match self {
            Self::Command(store) => store.take_notes(),
            Self::Dotenv(_) | Self::Age(_) | Self::Github(_) | Self::Vault(_) => Vec::new(),
        }
    }
}

/// Puts stores into the order in which they are written: the least risk first, and as configured where it is the same.
pub(crate) fn least_risk_first<T>(stores: &mut [T], place: impl Fn(&T) -> &Place) {
    stores.sort_by_cached_key(|store| place(store).risk());
}
