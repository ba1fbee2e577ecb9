//! `--if-older-than`: whether it is time.

use std::time::Duration;

use jiff::SignedDuration;
use license_core::rotation::Phase;

use super::{RotateError, Scene};
use crate::{cli::RotateArgs, context, failure::Failure, journal::Journal};

/// The key's age in days, if it is younger than what was asked for. An open rotation is always to be gone on with.
pub(super) fn not_yet(scene: &mut Scene<'_>, journal: &Journal, args: &RotateArgs) -> Result<Option<i64>, Failure> {
    let Some(age_max) = args.if_older_than else { return Ok(None) };
    match &journal.state().phase {
        Phase::Idle(_) | Phase::Committed { .. } => {}
        Phase::Calling(_)
        | Phase::Unknown { .. }
        | Phase::KeyLost { .. }
        | Phase::Received { .. }
        | Phase::NewRejected { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack(_) => return Ok(None),
    }
    let key = scene.current_key()?;
    let seen = journal.folded().first_seen(&key.fingerprint());
    let Some(issued) = scene.ask_about_current()?.license.issued_at.or(seen) else {
        return Err(RotateError::AgeNotKnown { environment: scene.environment.name.to_string() }.into());
    };
    let age = context::now().duration_since(issued);
    Ok(is_younger(age, age_max).then(|| age.as_hours() / 24))
}

fn is_younger(age: SignedDuration, age_max: Duration) -> bool {
    SignedDuration::try_from(age_max).is_ok_and(|age_max| age < age_max)
}
