//! What an alert is, and what the trail says about one.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    key::Fingerprint,
    rotation::{RotationId, RunId},
    webhook::Notification,
};

/// Something that people must hear of. Two that are equal are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alert", rename_all = "snake_case")]
pub enum Alert {
    /// The key ends in less than this many days.
    Expiring {
        /// The key.
        key_fingerprint: Fingerprint,
        /// The license's id, where it was stated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        license_id: Option<String>,
        /// When it ends.
        expires_at: Timestamp,
        /// The threshold.
        days: u32,
    },
    /// The key has ended.
    Expired {
        /// The key.
        key_fingerprint: Fingerprint,
        /// The license's id, where it was stated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        license_id: Option<String>,
        /// When it ended.
        expires_at: Timestamp,
    },
    /// The authority refuses the key for another reason than its end.
    Refused {
        /// The key.
        key_fingerprint: Fingerprint,
        /// The reason, a stable word.
        reason: String,
        /// When that was seen first.
        since: Timestamp,
    },
    /// A rotation does not go on by itself.
    RotationStuck {
        /// The rotation.
        rotation_id: RotationId,
        /// Where it stands.
        stands: Stands,
        /// Until then nothing is broken.
        deadline: Timestamp,
        /// The tightest of 72, 24 and 6 hours before the deadline that was crossed; 0 after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hours: Option<u64>,
    },
    /// A rotation's new key is lost.
    KeyLost {
        /// The rotation.
        rotation_id: RotationId,
        /// Until then nothing is broken.
        deadline: Timestamp,
    },
    /// Nothing shows that what runs uses the new key, and the old one dies soon.
    NotAdopted {
        /// The rotation.
        rotation_id: RotationId,
        /// When the old key dies.
        grace_ends_at: Timestamp,
        /// The tightest of 72, 24 and 6 hours that was crossed; 0 after the end.
        hours: u64,
    },
    /// Nobody looked for longer than was agreed.
    Unwatched {
        /// When somebody looked last.
        since: Timestamp,
    },
    /// The authority told of something. It is said once: nothing stands, and nothing is over.
    Webhook(Box<Notification>),
    /// Written by a newer version.
    #[serde(other)]
    NotKnown,
}

/// Where a rotation stands that does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// Nobody knows whether the authority rotated.
    OutcomeUnknown,
    /// The new key is in escrow, and in no store.
    KeyInEscrow,
    /// The authority refuses the new key, or the answer has none.
    NewKeyRejected,
    /// Some stores hold the new key and some the old one.
    StoresDiffer,
    /// A person brought the old key back, which dies.
    RolledBack,
}

/// The name of an alert within its environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub String);

impl AlertId {
    /// The name of what has this one, when it stands for that many times.
    pub(super) fn again(&self, times: u32) -> Self {
        Self(format!("{}#{times}", self.0))
    }

    /// For how many times something stands that has the other name the first time; nothing where this is no name of it.
    pub(super) fn time_of(&self, first: &Self) -> Option<u32> {
        match self.0.strip_prefix(&first.0)? {
            "" => Some(1),
            times => times.strip_prefix('#')?.parse().ok().filter(|times| *times < u32::MAX),
        }
    }
}

impl Alert {
    /// Its name: the same for the same key, end and threshold, whoever finds it.
    pub fn id(&self) -> AlertId {
        let second = |at: &Timestamp| at.as_second();
        AlertId(match self {
            Self::Expiring { key_fingerprint, expires_at, days, .. } => {
                format!("expiring:{key_fingerprint}:{}:{days}", second(expires_at))
            }
            Self::Expired { key_fingerprint, expires_at, .. } => {
                format!("expired:{key_fingerprint}:{}", second(expires_at))
            }
            Self::Refused { key_fingerprint, reason, since } => {
                format!("refused:{key_fingerprint}:{reason}:{}", second(since))
            }
            Self::RotationStuck { rotation_id, stands, hours, .. } => {
                let hours = hours.map(|hours| format!(":{hours}")).unwrap_or_default();
                format!("rotation_stuck:{}:{}{hours}", rotation_id.0, stands.word())
            }
            Self::KeyLost { rotation_id, .. } => format!("key_lost:{}", rotation_id.0),
            Self::NotAdopted { rotation_id, hours, .. } => format!("not_adopted:{}:{hours}", rotation_id.0),
            Self::Unwatched { since } => format!("unwatched:{}", second(since)),
            Self::Webhook(told) => format!("webhook:{}", told.event_id),
            Self::NotKnown => String::from("not_known"),
        })
    }

    /// Whether only the authority can tell that it is over.
    pub(super) fn is_about_license(&self) -> bool {
        match self {
            Self::Expiring { .. } | Self::Expired { .. } | Self::Refused { .. } => true,
            Self::RotationStuck { .. }
            | Self::KeyLost { .. }
            | Self::NotAdopted { .. }
            | Self::Unwatched { .. }
            | Self::Webhook(_)
            | Self::NotKnown => false,
        }
    }

    /// Whether it tells of something that was, so that it is worth hearing also when it is over.
    pub(super) fn is_of_the_past(&self) -> bool {
        match self {
            Self::Unwatched { .. } | Self::Webhook(_) => true,
            Self::Expiring { .. }
            | Self::Expired { .. }
            | Self::Refused { .. }
            | Self::RotationStuck { .. }
            | Self::KeyLost { .. }
            | Self::NotAdopted { .. }
            | Self::NotKnown => false,
        }
    }

    /// Whether it is a message: said once to every sink, and then done.
    pub(super) fn is_message(&self) -> bool {
        match self {
            Self::Webhook(_) => true,
            Self::Expiring { .. }
            | Self::Expired { .. }
            | Self::Refused { .. }
            | Self::RotationStuck { .. }
            | Self::KeyLost { .. }
            | Self::NotAdopted { .. }
            | Self::Unwatched { .. }
            | Self::NotKnown => false,
        }
    }

    /// Whether this alert makes the other one pointless: it is about the same thing, and tighter.
    pub(super) fn covers(&self, wider: &Self) -> bool {
        match (self, wider) {
            (
                Self::Expiring { key_fingerprint, expires_at, days, .. },
                Self::Expiring { key_fingerprint: key, expires_at: end, days: more, .. },
            ) => key_fingerprint == key && expires_at.as_second() == end.as_second() && days <= more,
            (
                Self::Expired { key_fingerprint, expires_at, .. },
                Self::Expiring { key_fingerprint: key, expires_at: end, .. }
                | Self::Expired { key_fingerprint: key, expires_at: end, .. },
            ) => key_fingerprint == key && expires_at.as_second() == end.as_second(),
            (
                Self::RotationStuck { rotation_id, stands, hours, .. },
                Self::RotationStuck { rotation_id: id, stands: there, hours: more, .. },
            ) => rotation_id == id && stands == there && hours.unwrap_or(u64::MAX) <= more.unwrap_or(u64::MAX),
            (Self::NotAdopted { rotation_id, hours, .. }, Self::NotAdopted { rotation_id: id, hours: more, .. }) => {
                rotation_id == id && hours <= more
            }
            (
                Self::Expiring { .. }
                | Self::Expired { .. }
                | Self::Refused { .. }
                | Self::RotationStuck { .. }
                | Self::KeyLost { .. }
                | Self::NotAdopted { .. }
                | Self::Unwatched { .. }
                | Self::Webhook(_)
                | Self::NotKnown,
                other,
            ) => self == other,
        }
    }
}

impl Stands {
    /// The word that stands in names.
    pub fn word(self) -> &'static str {
        match self {
            Self::OutcomeUnknown => "outcome_unknown",
            Self::KeyInEscrow => "key_in_escrow",
            Self::NewKeyRejected => "new_key_rejected",
            Self::StoresDiffer => "stores_differ",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// An entry about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum AlertEvent {
    /// It is about to be sent.
    Due {
        /// Its name.
        id: AlertId,
        /// The alert.
        #[serde(flatten)]
        alert: Alert,
        /// The sinks that get it.
        sinks: Vec<String>,
        /// The run that sends it.
        run: RunId,
        /// The first moment at which another run may send it.
        until: Timestamp,
    },
    /// Another run sends what was not sent, or takes it back.
    Taken {
        /// Its name.
        id: AlertId,
        /// The sinks that are told.
        sinks: Vec<String>,
        /// The run.
        run: RunId,
        /// The first moment at which another run may do so.
        until: Timestamp,
    },
    /// A sink accepted it.
    Sent {
        /// Its name.
        id: AlertId,
        /// The sink.
        sink: String,
    },
    /// A sink did not accept it in this run. A later one tries again.
    Failed {
        /// Its name.
        id: AlertId,
        /// The sink.
        sink: String,
        /// What was seen.
        why: String,
        /// Whether it may have heard it all the same.
        #[serde(default, skip_serializing_if = "Reached::is_no")]
        reached: Reached,
    },
    /// A sink that was told heard that it is over.
    Resolved {
        /// Its name.
        id: AlertId,
        /// The sink.
        sink: String,
    },
    /// It is over, and there is nobody left to tell.
    Closed {
        /// Its name.
        id: AlertId,
    },
    /// Written by a newer version.
    #[serde(other)]
    NotKnown,
}

/// Whether a sink that did not accept what it was told may have heard it all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// It refused, or nothing came to it.
    #[default]
    No,
    /// It got it, and gave no answer, or none that says so.
    Perhaps,
}

impl Reached {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_no(&self) -> bool {
        *self == Self::No
    }
}

/// Every entry, in every shape.
#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::trail::Event> {
    use alloc::{borrow::ToOwned, vec};

    use crate::{key::LicenseKey, trail::Event};

    let key_fingerprint = LicenseKey::parse("TO-PRD-1").unwrap().fingerprint();
    let at = |secs| Timestamp::from_second(secs).unwrap();
    let (run, rotation_id) = (RunId("run-1".to_owned()), RotationId("rot-1".to_owned()));
    let license_id = Some("lic_1".to_owned());
    let mut alerts = vec![
        Alert::Expiring { key_fingerprint, license_id: license_id.clone(), expires_at: at(9), days: 7 },
        Alert::Expiring { key_fingerprint, license_id: None, expires_at: at(9), days: 7 },
        Alert::Expired { key_fingerprint, license_id, expires_at: at(9) },
        Alert::Refused { key_fingerprint, reason: "revoked".to_owned(), since: at(4) },
        Alert::KeyLost { rotation_id: rotation_id.clone(), deadline: at(99) },
        Alert::NotAdopted { rotation_id: rotation_id.clone(), grace_ends_at: at(99), hours: 72 },
        Alert::Unwatched { since: at(3) },
        Alert::NotKnown,
    ];
    alerts.extend(crate::webhook::samples().into_iter().map(|webhook| Alert::Webhook(webhook.notification)));
    let places =
        [Stands::OutcomeUnknown, Stands::KeyInEscrow, Stands::NewKeyRejected, Stands::StoresDiffer, Stands::RolledBack];
    alerts.extend([None, Some(24)].into_iter().flat_map(|hours| {
        let rotation_id = rotation_id.clone();
        places.map(move |stands| Alert::RotationStuck {
            rotation_id: rotation_id.clone(),
            stands,
            deadline: at(99),
            hours,
        })
    }));
    let id = alerts[0].id();
    let sink = || "team".to_owned();
    let mut events: Vec<AlertEvent> = alerts
        .into_iter()
        .map(|alert| AlertEvent::Due {
            id: alert.id(),
            alert,
            sinks: vec![sink(), "pager".to_owned()],
            run: run.clone(),
            until: at(60),
        })
        .collect();
    events.extend([
        AlertEvent::Taken { id: id.clone(), sinks: vec![sink()], run, until: at(90) },
        AlertEvent::Sent { id: id.clone(), sink: sink() },
        AlertEvent::Failed { id: id.clone(), sink: sink(), why: "no".to_owned(), reached: Reached::No },
        AlertEvent::Failed { id: id.clone(), sink: sink(), why: "timeout".to_owned(), reached: Reached::Perhaps },
        AlertEvent::Resolved { id: id.clone(), sink: sink() },
        AlertEvent::Closed { id },
        AlertEvent::NotKnown,
    ]);
    events.into_iter().map(Event::Alert).collect()
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, collections::BTreeSet};

    use super::*;
    use crate::key::LicenseKey;

    fn expiring(key: &str, secs: i64, days: u32) -> Alert {
        let key_fingerprint = LicenseKey::parse(key).unwrap().fingerprint();
        Alert::Expiring { key_fingerprint, license_id: None, expires_at: Timestamp::from_second(secs).unwrap(), days }
    }

    #[test]
    fn a_key_an_end_and_a_threshold_make_the_name() {
        let names: BTreeSet<AlertId> = [("K1", 9, 7), ("K1", 9, 30), ("K1", 10, 7), ("K2", 9, 7)]
            .map(|(key, secs, days)| expiring(key, secs, days).id())
            .into();
        assert_eq!(names.len(), 4);
        let fingerprint = LicenseKey::parse("K1").unwrap().fingerprint();
        assert_eq!(expiring("K1", 9, 7).id().0, format!("expiring:{fingerprint}:9:7"));
        // A fraction of a second, or an id that is stated only sometimes, is no other alert.
        let Alert::Expiring { key_fingerprint, days, .. } = expiring("K1", 9, 7) else { panic!("it is not") };
        let expires_at = Timestamp::new(9, 500_000_000).unwrap();
        let stated = Alert::Expiring { key_fingerprint, license_id: Some("lic".to_owned()), expires_at, days };
        assert_eq!(stated.id(), expiring("K1", 9, 7).id());
        assert!(stated.covers(&expiring("K1", 9, 7)));
    }

    #[test]
    fn a_tighter_alert_covers_a_wider_one_of_the_same_end() {
        for (tight, wide, covers) in [
            (("K1", 9, 1), ("K1", 9, 7), true),
            (("K1", 9, 7), ("K1", 9, 7), true),
            (("K1", 9, 7), ("K1", 9, 1), false),
            (("K1", 9, 1), ("K1", 10, 7), false),
            (("K1", 9, 1), ("K2", 9, 7), false),
        ] {
            let [tight, wide] = [tight, wide].map(|(key, secs, days)| expiring(key, secs, days));
            assert_eq!(tight.covers(&wide), covers, "{tight:?} {wide:?}");
        }
        let Alert::Expiring { key_fingerprint, expires_at, .. } = expiring("K1", 9, 7) else { panic!("it is not") };
        let expired = Alert::Expired { key_fingerprint, license_id: None, expires_at };
        assert!(expired.covers(&expiring("K1", 9, 1)));
        assert!(!expiring("K1", 9, 1).covers(&expired));
    }
}
