//! The secrets that a run met. It knows no file and no place: whoever reads a secret, or names one, says so here.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use license_core::LicenseKey;
use zeroize::Zeroizing;

use crate::{
    authority::wire::quote::Secrets,
    mask::{Masks, SECRET_BYTES_MIN, without_forms},
};

/// The secrets that a run met and that no source of `license.toml` shows: keys that stores hold, and both keys of a
/// rotation. Whoever reads a keyring later has them in it.
#[derive(Default)]
pub(crate) struct Met {
    keys: Mutex<Vec<Zeroizing<String>>>,
    /// What `license.toml` names, for those who have no file at hand: read once, when it is asked for first.
    named: OnceLock<Vec<Zeroizing<String>>>,
}

impl Met {
    /// A secret joins.
    pub(crate) fn add(&self, key: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.iter().any(|known| known.as_str() == key) {
            keys.push(Zeroizing::new(key.to_owned()));
        }
    }

    /// Says what `license.toml` names, unless somebody did.
    pub(crate) fn name(&self, named: impl FnOnce() -> Vec<Zeroizing<String>>) {
        self.named.get_or_init(named);
    }

    /// The lines of what a helper said, fit to be shown: without any secret that is known, and without what may be one by
    /// its form, for a helper may speak of a key that it never gave.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let all = each_once(self.all().into_iter().chain(self.named.get().into_iter().flatten().cloned()));
        let texts = || all.iter().map(|secret| secret.as_str());
        let (masks, quoting) = (Masks::of(texts()), Secrets::of(texts()));
        masks.text(text).lines().map(|line| quoting.quote(&without_forms(line))).collect()
    }

    /// Those that were met.
    pub(crate) fn all(&self) -> Vec<Zeroizing<String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Met").finish_non_exhaustive()
    }
}

/// Secrets, each once, without texts that no key or token is as short or as long as: hiding those would hide everything.
pub(crate) fn each_once(secrets: impl Iterator<Item = Zeroizing<String>>) -> Vec<Zeroizing<String>> {
    let is_secret = |text: &Zeroizing<String>| (SECRET_BYTES_MIN..=LicenseKey::BYTES_MAX).contains(&text.len());
    let mut secrets: Vec<_> = secrets.filter(is_secret).collect();
    secrets.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    secrets.dedup();
    secrets
}
