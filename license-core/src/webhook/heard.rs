//! Which webhooks were heard: a repeat is dropped.

use alloc::{boxed::Box, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::notification::{EventId, EventType, Notification};

/// For how long a name is remembered, in seconds.
pub const HEARD_SECS: i64 = 24 * 60 * 60;
/// How many names are remembered. The one that was heard longest ago is dropped: should it be repeated within the day,
/// it is recorded once more.
pub const HEARD_MAX: usize = 512;

/// How many webhooks are remembered for whoever looks at an environment, however long ago they came.
pub const LAST_MAX: usize = 10;

/// What the trail says of a webhook that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// What it said.
    #[serde(flatten)]
    pub notification: Box<Notification>,
    /// The sinks that are to be told; nobody where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
}

/// The last webhooks that were received, the newest at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Last(Vec<ReceivedAt>);

/// A webhook that was received, in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedAt {
    /// Its name.
    pub event_id: EventId,
    /// What happened.
    pub event: EventType,
    /// When it was received.
    pub at: Timestamp,
}

impl Last {
    /// Each of them, the newest at the end.
    pub fn iter(&self) -> impl Iterator<Item = &ReceivedAt> {
        self.0.iter()
    }

    /// Those after one more.
    pub(crate) fn receive(&mut self, notification: &Notification, at: Timestamp) {
        let (event_id, event) = (notification.event_id.clone(), notification.event.clone());
        self.0.push(ReceivedAt { event_id, event, at });
        if self.0.len() > LAST_MAX {
            self.0.remove(0);
        }
    }
}

/// The names that were heard, the newest at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heard(Vec<HeardAt>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeardAt {
    id: EventId,
    at: Timestamp,
}

impl Heard {
    /// Whether a name was heard, and is still remembered.
    pub fn knows(&self, id: &EventId, now: Timestamp) -> bool {
        self.0.iter().any(|heard| heard.id == *id && heard.is_remembered(now))
    }

    /// The names after one more.
    pub(crate) fn hear(&mut self, id: &EventId, at: Timestamp) {
        self.0.retain(|heard| heard.is_remembered(at) && heard.id != *id);
        self.0.push(HeardAt { id: id.clone(), at });
        if self.0.len() > HEARD_MAX {
            self.0.remove(0);
        }
    }
}

impl HeardAt {
    fn is_remembered(&self, now: Timestamp) -> bool {
        now.as_second() - self.at.as_second() < HEARD_SECS
    }
}

/// A webhook in every shape.
#[cfg(test)]
pub(crate) fn samples() -> Vec<WebhookRecord> {
    use alloc::{borrow::ToOwned, vec};

    use super::notification::EventType;

    let at = |secs| Timestamp::from_second(secs).unwrap();
    let bare = Notification {
        event_id: EventId::try_from("evt_1".to_owned()).unwrap(),
        event: EventType::Other("license.paused".to_owned()),
        created: at(7),
        license_id: None,
        plan: None,
        domain: None,
        activations_used: None,
        activation_limit: None,
        expires_at: None,
        features: vec![],
    };
    let full = Notification {
        event: EventType::Revoked,
        license_id: Some("lic_1".to_owned()),
        plan: Some("pro".to_owned()),
        domain: Some("app.com".to_owned()),
        activations_used: Some(u64::MAX),
        activation_limit: Some(0),
        expires_at: Some(at(9)),
        features: vec!["sso".to_owned()],
        ..bare.clone()
    };
    let sinks = vec!["team".to_owned(), "pager".to_owned()];
    let one = |notification: &Notification, sinks: &[String]| WebhookRecord {
        notification: Box::new(notification.clone()),
        sinks: sinks.to_vec(),
    };
    vec![one(&bare, &[]), one(&full, &[]), one(&full, &sinks)]
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn id(number: usize) -> EventId {
        EventId::try_from(format!("evt_{number}")).unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_name_is_remembered_for_a_day() {
        let mut heard = Heard::default();
        heard.hear(&id(1), at(0));
        assert!(heard.knows(&id(1), at(HEARD_SECS - 1)) && !heard.knows(&id(2), at(1)));
        assert!(!heard.knows(&id(1), at(HEARD_SECS)));
        heard.hear(&id(2), at(HEARD_SECS));
        assert_eq!(heard.0.len(), 1);
    }

    #[test]
    fn the_last_webhooks_are_remembered_however_long_ago_they_came() {
        let mut last = Last::default();
        let sample = &samples()[0].notification;
        for number in 0..=LAST_MAX {
            let notification = Notification { event_id: id(number), ..(**sample).clone() };
            last.receive(&notification, at(i64::try_from(number).unwrap() * HEARD_SECS));
        }
        let ids: Vec<&EventId> = last.iter().map(|received| &received.event_id).collect();
        assert_eq!(ids, (1..=LAST_MAX).map(id).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert_eq!(last.iter().last().unwrap().event, sample.event);
    }

    #[test]
    fn as_many_names_are_remembered_as_fit() {
        let mut heard = Heard::default();
        for number in 0..=HEARD_MAX {
            heard.hear(&id(number), at(0));
        }
        assert_eq!(heard.0.len(), HEARD_MAX);
        assert!(!heard.knows(&id(0), at(1)) && heard.knows(&id(1), at(1)) && heard.knows(&id(HEARD_MAX), at(1)));
    }
}
