//! A key goes into a store: read, write unless it is there, read back.

use license_core::{
    finding::{clean, clean_whole},
    rotation::{BeforeWrite, Fact, Keys, RotationId, Shown, Which, before_write},
};

use super::{RotateError, Scene};
use crate::{
    failpoint,
    failure::{self, Failure},
    keyring::Keyring,
    store::{
        held::{Held, StoreFault, Written},
        place::Place,
    },
};

impl Scene<'_> {
    /// Brings a key into a store. A store that does not take it is a fact, not a failure: both keys still work.
    pub(super) fn bring(
        &mut self,
        keys: &Keys,
        store: &str,
        which: Which,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        let key = self.key_of(keys, which)?;
        // A store may hold the one key and be given the other, and speak of both: each is met, and so hidden. One that
        // cannot be had here is not known here.
        let _ = [Which::Old, Which::New].map(|other| self.key_of(keys, other).ok());
        let fact = match self.places.iter().find(|(name, _)| name == store) {
            None => self.failed(store, &NotHeld::because("license.toml does not name it any more")),
            Some((_, place)) => {
                let written = write(self, place, keys, which, &key);
                place.take_notes().iter().for_each(|note| self.narrator.note(&format!("{store}: {note}")));
                if let Ok(Proof::ItsWord) = written {
                    self.narrator.note(&format!(
                        "{store}: it shows nothing of what it holds: that it took the key is its word alone"
                    ));
                }
                match written {
                    // What it holds is found out by the next run; nothing is known that could be written down.
                    Err(NotHeld { stopped: Some(signal), .. }) => {
                        return Err(RotateError::Stopped { exit: failure::signal_exit(signal) }.into());
                    }
                    Ok(Proof::Seen | Proof::ItsWord) => Fact::StoreHolds { store: store.to_owned(), key: which },
                    Err(not_held) => self.failed(store, &not_held),
                }
            }
        };
        failpoint::reached(self.ctx, "after-store");
        Ok(Some((keys.open.id.clone(), fact)))
    }

    /// People get every word of it, for the last ones say what to do; the trail keeps the beginning.
    fn failed(&self, store: &str, NotHeld { why, next, stopped: _ }: &NotHeld) -> Fact {
        let keyring = Keyring::read(self.ctx, self.config);
        let words = |text: &str| clean_whole(&keyring.hide(text));
        let (why, next) = (words(why), next.as_deref().map(words));
        self.narrator.note(&format!("store `{store}` was not written: {why}"));
        if let Some(next) = &next {
            self.narrator.note(&format!("  next: {next}"));
        }
        let kept = next.map_or_else(|| why.clone(), |next| format!("{why}; {next}"));
        Fact::StoreFailed { store: store.to_owned(), why: clean(&kept) }
    }
}

/// Why a store does not hold a key.
#[derive(Debug)]
struct NotHeld {
    why: String,
    /// What to do next, where a run of the same command is not all.
    next: Option<String>,
    /// The signal that came before it was known.
    stopped: Option<i32>,
}

impl NotHeld {
    fn because(why: &str) -> Self {
        Self { why: why.to_owned(), next: None, stopped: None }
    }
}

impl From<StoreFault> for NotHeld {
    fn from(StoreFault { kind, message, next }: StoreFault) -> Self {
        Self { why: message, next: Some(next), stopped: kind.stopped() }
    }
}

/// How it is known that a store holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// The key was read, or the version is another one.
    Seen,
    /// It said so, and promises that this is true: there is nothing to see.
    ItsWord,
}

fn write(
    scene: &Scene<'_>,
    place: &Place,
    keys: &Keys,
    which: Which,
    key: &license_core::LicenseKey,
) -> Result<Proof, NotHeld> {
    let before = place.read()?;
    match before_write(keys, which, shown(&before)) {
        BeforeWrite::HoldsIt => return Ok(Proof::Seen),
        BeforeWrite::Drifted => return Err(NotHeld::because("it holds a third key, which nobody told us about")),
        BeforeWrite::Write => {}
    }
    let written = place.write(key, before.version(), &keys.open.id.0);
    failpoint::reached(scene.ctx, "after-store-write");
    let trouble = match written {
        Written::Done => None,
        // A store that says "nothing was stored" may be wrong, too: what it holds counts.
        Written::Failed(_) if holds(place, key) => {
            scene.narrator.note("the store said that it did not take the key, and holds it");
            return Ok(Proof::Seen);
        }
        Written::Failed(fault) => return Err(fault.into()),
        Written::Unknown(fault) => Some(fault),
    };
    // Also a store that says "done" is read back: it may not be true.
    let after = place.read()?;
    match (&after, trouble) {
        (Held::Key { key: found, .. }, _) if found.fingerprint() == key.fingerprint() => Ok(Proof::Seen),
        (Held::Hidden { version }, None) if version != before.version() => Ok(Proof::Seen),
        // A version may stay as it is, too: a write that is repeated changes nothing. Without this a rotation that has
        // begun could not be finished.
        (Held::Hidden { .. }, None) if place.is_taken_at_its_word() => Ok(Proof::ItsWord),
        (_, Some(StoreFault { kind: _, message, next })) => {
            let why = format!("nobody knows whether it was written: {message}");
            Err(NotHeld { why, next: Some(next), stopped: None })
        }
        (Held::Key { .. } | Held::Nothing { .. } | Held::Hidden { .. }, None) => {
            Err(NotHeld::because("it said that it took the key, and does not hold it"))
        }
    }
}

/// Whether a store is seen to hold a key.
fn holds(place: &Place, key: &license_core::LicenseKey) -> bool {
    match place.read() {
        Ok(Held::Key { key: found, .. }) => found.fingerprint() == key.fingerprint(),
        Ok(Held::Nothing { .. } | Held::Hidden { .. }) | Err(_) => false,
    }
}

fn shown(held: &Held) -> Shown {
    match held {
        Held::Key { key, .. } => Shown::Key(key.fingerprint()),
        Held::Nothing { .. } => Shown::Nothing,
        Held::Hidden { .. } => Shown::Hidden,
    }
}
