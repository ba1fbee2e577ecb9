//! What a run left in escrow that was killed when it ended a rotation: the trail says that nobody needs it.

use std::collections::BTreeSet;

use license_core::{
    rotation::{Fact, RotationEvent},
    trail::Event,
};

use super::{Scene, words};
use crate::{escrow::BlobKind, failure::Failure, journal::Journal};

impl Scene<'_> {
    /// Empties the escrow of rotations that are over. Nothing depends on it: what cannot be removed now is said, and stays
    /// until the next rotation.
    pub(super) fn remove_leftovers(&self, journal: &Journal) {
        // Whoever cannot look into the escrow cannot seal into it either, which is said then.
        let Ok(lies) = self.escrow.list() else { return };
        if lies.is_empty() {
            return;
        }
        let removed = over(journal, &lies).map_err(|error| error.to_string()).and_then(|over| {
            over.iter().try_for_each(|rotation| self.escrow.delete(rotation)).map_err(|error| error.to_string())
        });
        if let Err(why) = removed {
            self.narrator.note(&format!("what is left in escrow of rotations that are over stays there: {why}"));
        }
    }
}

/// Those of the rotations in escrow that are over.
fn over(journal: &Journal, lies: &[(String, BlobKind)]) -> Result<BTreeSet<String>, Failure> {
    // An answer to a call that was taken for none: a person should see it.
    let is_answered = |rotation: &str| lies.iter().any(|(other, kind)| other == rotation && *kind != BlobKind::Old);
    let mut over = BTreeSet::new();
    // Those whose grace was given up, until the next rotation has a key that works.
    let mut given_up = BTreeSet::new();
    let lies_there = |rotation: &str| lies.iter().any(|(lying, _)| lying == rotation);
    journal.each_record(|record| {
        let Event::Rotation(RotationEvent { rotation_id, fact }) = record.event else { return };
        let is_kept = matches!(fact, Fact::Aborted { .. }) && is_answered(&rotation_id.0);
        if fact == Fact::OverlapWaived {
            given_up.insert(rotation_id.0);
        } else if fact == Fact::RollbackStarted {
            given_up.remove(&rotation_id.0);
        } else if matches!(fact, Fact::Validated { .. }) {
            over.extend(std::mem::take(&mut given_up));
        } else if words::ends_escrow(&fact) && !is_kept {
            over.insert(rotation_id.0);
        }
    })?;
    over.retain(|rotation| lies_there(rotation));
    Ok(over)
}
