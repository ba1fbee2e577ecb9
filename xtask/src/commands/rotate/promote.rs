//! A key goes into a store: read, write unless it is there, read back.

use license_core::rotation::{BeforeWrite, Fact, Keys, RotationId, Shown, Which, before_write};

use super::Scene;
use crate::{
    failpoint,
    failure::Failure,
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
            None => failed(store, "license.toml does not name it any more"),
            Some((_, place)) => {
                let written = write(self, place, keys, which, &key);
                place.take_notes().iter().for_each(|note| self.narrator.note(&format!("{store}: {note}")));
                if let Ok(Proof::ItsWord) = written {
                    self.narrator.note(&format!(
                        "{store}: it shows nothing of what it holds: that it took the key is its word alone"
                    ));
                }
                match written {
                    Ok(Proof::Seen | Proof::ItsWord) => Fact::StoreHolds { store: store.to_owned(), key: which },
                    Err(why) => failed(store, &Keyring::read(self.ctx, self.config).hide(&why)),
                }
            }
        };
        failpoint::reached(self.ctx, "after-store");
        Ok(Some((keys.open.id.clone(), fact)))
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
) -> Result<Proof, String> {
    let words = |fault: StoreFault| format!("{}; {}", fault.message, fault.next);
    let before = place.read().map_err(words)?;
    match before_write(keys, which, shown(&before)) {
        BeforeWrite::HoldsIt => return Ok(Proof::Seen),
        BeforeWrite::Drifted => return Err("it holds a third key, which nobody told us about".to_owned()),
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
        Written::Failed(fault) => return Err(words(fault)),
        Written::Unknown(fault) => Some(words(fault)),
    };
    // Also a store that says "done" is read back: it may not be true.
    let after = place.read().map_err(words)?;
    match (&after, trouble) {
        (Held::Key { key: found, .. }, _) if found.fingerprint() == key.fingerprint() => Ok(Proof::Seen),
        (Held::Hidden { version }, None) if version != before.version() => Ok(Proof::Seen),
        // A version may stay as it is, too: a write that is repeated changes nothing. Without this a rotation that has
        // begun could not be finished.
        (Held::Hidden { .. }, None) if place.is_taken_at_its_word() => Ok(Proof::ItsWord),
        (_, Some(trouble)) => Err(format!("nobody knows whether it was written: {trouble}")),
        (Held::Key { .. } | Held::Nothing { .. } | Held::Hidden { .. }, None) => {
            Err("it said that it took the key, and does not hold it".to_owned())
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

fn failed(store: &str, why: &str) -> Fact {
    Fact::StoreFailed { store: store.to_owned(), why: license_core::finding::clean(why) }
}
