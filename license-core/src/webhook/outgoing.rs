//! What the embedded authority tells of in webhooks of its own.

use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};

use super::notification::EventType;
use crate::registry::{Event, Licensed, Standing};

/// How many days before a license ends a webhook says so.
pub const EXPIRING_DAYS: i64 = 7;

/// What a change is called in webhooks; the documented types have no word for the others.
pub fn told_as(event: &Event) -> Option<EventType> {
    match event {
        Event::Issued { .. } => Some(EventType::Created),
        Event::Activated { .. } => Some(EventType::Activated),
        Event::Renewed { .. } => Some(EventType::Renewed),
        Event::Revoked { .. } => Some(EventType::Revoked),
        Event::DomainAdded { .. } => Some(EventType::DomainAdded),
        Event::DomainRemoved { .. } => Some(EventType::DomainRemoved),
        Event::Suspended { .. } | Event::Resumed { .. } | Event::Deactivated { .. } | Event::Rotated { .. } => None,
    }
}

/// What is to be said at once of a license that was issued or renewed at this moment: its last days may have begun.
pub fn at_once(license: &Licensed, at: Timestamp) -> Option<EventType> {
    let (soon, end) = ends(license)?;
    if end <= at {
        return Some(EventType::Expired);
    }
    (soon <= at).then_some(EventType::Expiring)
}

/// When time alone makes a webhook due, after one moment and up to another: a license that ends soon, and one that has
/// ended. What is said at once when it is issued is not among them.
pub fn moments(license: &Licensed, after: Timestamp, until: Timestamp) -> Vec<(Timestamp, EventType)> {
    let Some((soon, end)) = ends(license) else { return Vec::new() };
    let due = |(at, _): &(Timestamp, EventType)| *at > license.created_at && after < *at && *at <= until;
    [(soon, EventType::Expiring), (end, EventType::Expired)].into_iter().filter(due).collect()
}

/// When a license ends soon, and when it ends. One that was withdrawn does neither.
fn ends(license: &Licensed) -> Option<(Timestamp, Timestamp)> {
    let end = license.terms.expires_at.filter(|_| license.standing != Standing::Revoked)?;
    let days = SignedDuration::from_hours(EXPIRING_DAYS * 24);
    Some((end.checked_sub(days).unwrap_or(Timestamp::MIN), end))
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, vec};

    use super::*;
    use crate::{
        key::KeyClass,
        license::ActivationLimit,
        registry::{ISSUE_RANDOM_BYTES, LicenseId, Record, Registry, Terms},
    };

    const DAY: i64 = 86_400;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + days * DAY).unwrap()
    }

    /// A license that was issued on day 0, and ends on this day.
    fn ending(day: Option<i64>) -> (Registry, LicenseId) {
        let terms = Terms {
            class: KeyClass::Dev,
            plan: "pro".to_owned(),
            domains: vec![],
            features: [].into(),
            activations_used: 0,
            activation_limit: ActivationLimit::Unlimited,
            expires_at: day.map(at),
        };
        let mut registry = Registry::default();
        let (event, issued) = registry.issue(terms, &[7; ISSUE_RANDOM_BYTES]).unwrap();
        registry.apply(&Record { at: at(0), event });
        (registry, issued.license_id)
    }

    #[test]
    fn a_license_ends_soon_seven_days_before_it_ends() {
        let (registry, id) = ending(Some(30));
        let license = registry.license(&id).unwrap();
        let soon = (at(23), EventType::Expiring);
        let end = (at(30), EventType::Expired);
        for (after, until, expected) in [
            (0, 22, vec![]),
            (0, 23, vec![soon.clone()]),
            (23, 29, vec![]),
            (22, 30, vec![soon, end.clone()]),
            (29, 99, vec![end]),
            (30, 99, vec![]),
        ] {
            assert_eq!(moments(license, at(after), at(until)), expected, "{after} {until}");
        }
        assert_eq!(at_once(license, at(0)), None);
    }

    #[test]
    fn a_license_that_begins_in_its_last_days_is_told_of_at_once_and_not_again() {
        for (day, said, later) in [
            (Some(8), None, 2),
            (Some(7), Some(EventType::Expiring), 1),
            (Some(1), Some(EventType::Expiring), 1),
            (Some(0), Some(EventType::Expired), 0),
            (Some(-3), Some(EventType::Expired), 0),
            (None, None, 0),
        ] {
            let (registry, id) = ending(day);
            let license = registry.license(&id).unwrap();
            assert_eq!(at_once(license, at(0)), said, "{day:?}");
            assert_eq!(moments(license, at(-9), at(99)).len(), later, "{day:?}");
        }
    }

    #[test]
    fn a_license_that_was_withdrawn_does_not_end() {
        let (mut registry, id) = ending(Some(30));
        let event = registry.revoke(&id).unwrap().unwrap();
        assert_eq!(told_as(&event), Some(EventType::Revoked));
        registry.apply(&Record { at: at(1), event });
        let license = registry.license(&id).unwrap();
        assert_eq!((moments(license, at(0), at(99)), at_once(license, at(29))), (vec![], None));
    }
}
