//! `--if-older-than`: whether it is time.

use std::time::Duration;

use jiff::SignedDuration;
use license_core::rotation::{End, Phase};

use super::{RotateError, Scene};
use crate::{cli::RotateArgs, context, failure::Failure, journal::Journal};

/// The key's age in days, if it is younger than what was asked for. An open rotation is always to be gone on with.
pub(super) fn not_yet(scene: &mut Scene<'_>, journal: &Journal, args: &RotateArgs) -> Result<Option<i64>, Failure> {
    let Some(age_max) = args.if_older_than else { return Ok(None) };
    if is_under_way(journal) {
        return Ok(None);
    }
    let key = scene.current_key()?;
    let seen = journal.folded().first_seen(&key.fingerprint());
    let Some(issued) = scene.ask_about_current()?.license.issued_at.or(seen) else {
        return Err(RotateError::AgeNotKnown { environment: scene.environment.name.to_string() }.into());
    };
    let age = context::now().duration_since(issued);
    Ok(is_younger(age, age_max).then(|| age.as_hours() / 24))
}

/// Where a rotation stands that a person has taken back: as long as its old key works, and longer than a daily schedule
/// takes to come back, a schedule leaves it there.
pub(super) fn left_to_a_person(journal: &Journal) -> Option<End> {
    let Phase::RolledBack(keys) = &journal.state().phase else { return None };
    let left = keys.grace_ends_at.duration_since(context::now());
    (left > LEFT_MIN).then(|| End::RolledBack(keys.clone()))
}

/// Whether a rotation is open, and has to be gone on with.
pub(super) fn is_under_way(journal: &Journal) -> bool {
    match &journal.state().phase {
        Phase::Idle(_) | Phase::Committed { .. } => false,
        Phase::Calling(_)
        | Phase::Unknown { .. }
        | Phase::KeyLost { .. }
        | Phase::Received { .. }
        | Phase::NewRejected { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack(_) => true,
    }
}

/// Whether a key is too young to be due. A schedule is never exact: of twelve months one has 28 days, and runs begin
/// late. So a tenth of the age is let off, and `30d` is right for a run every month.
fn is_younger(age: SignedDuration, age_max: Duration) -> bool {
    let slack = age_max / SLACK_SHARE;
    SignedDuration::try_from(age_max.saturating_sub(slack)).is_ok_and(|due_from| age < due_from)
}

/// How much of the grace of what was taken back must be left: two schedules of a day, one of them late.
const LEFT_MIN: SignedDuration = SignedDuration::from_hours(36);

/// The part of an age that is let off: a tenth.
const SLACK_SHARE: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monthly_schedule_leaves_out_no_month() {
        const DAY_SECS: i64 = 24 * 60 * 60;
        let younger = |age_secs: i64, days: u32| {
            is_younger(SignedDuration::from_secs(age_secs), Duration::from_secs(u64::from(days) * 86_400))
        };
        // The last run began an hour late, and this one does not.
        for month_days in [28, 29, 30, 31] {
            assert!(!younger(month_days * DAY_SECS - 3_600, 30), "a month of {month_days} days");
        }
        assert!(!younger(27 * DAY_SECS, 30));
        assert!(younger(27 * DAY_SECS - 1, 30));
        assert!(younger(20 * DAY_SECS, 30), "a second run in a month does nothing");
        assert!(!younger(7 * DAY_SECS - 3_600, 7), "a weekly one");
        assert!(!younger(0, 0));
        assert!(younger(-DAY_SECS, 30), "a clock that was ahead");
    }
}
