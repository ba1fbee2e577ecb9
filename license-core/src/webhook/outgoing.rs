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
        Event::Revoked { .. } => Some(EventType::Revoked),
        Event::DomainAdded { .. } => Some(EventType::DomainAdded),
        Event::DomainRemoved { .. } => Some(EventType::DomainRemoved),
        Event::Suspended { .. } | Event::Resumed { .. } | Event::Deactivated { .. } | Event::Rotated { .. } => None,
    }
}

/// When time alone makes a webhook due, after one moment and up to another: a license that ends soon, and one that has
/// ended. A license that was issued in its last days ends soon from the beginning.
pub fn moments(license: &Licensed, after: Timestamp, until: Timestamp) -> Vec<(Timestamp, EventType)> {
    let Some(ends_at) = license.terms.expires_at.filter(|_| license.standing != Standing::Revoked) else {
        return Vec::new();
    };
    let days = SignedDuration::from_hours(EXPIRING_DAYS * 24);
    let soon = ends_at.checked_sub(days).unwrap_or(Timestamp::MIN).max(license.created_at);
    let ends = ends_at.max(license.created_at);
    let moments = [(soon, EventType::Expiring), (ends, EventType::Expired)];
    // What has ended when it is issued does not end soon.
    let due = |(at, event): &(Timestamp, EventType)| {
        after < *at && *at <= until && (*event == EventType::Expired || *at < ends)
    };
    moments.into_iter().filter(due).collect()
}
