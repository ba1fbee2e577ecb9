//! What a webhook says: read tolerantly, kept typed, cleaned and bounded.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subject::Subject;
use crate::finding::clean;

/// The longest word of a webhook that is kept, in characters.
const WORD_CHARS_MAX: usize = 64;
/// The most features that are kept.
const FEATURES_MAX: usize = 32;

/// A webhook as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What is kept of it, its words as they came.
    uncut: Notification,
    /// What it says about whom it concerns; nothing of this is kept.
    pub subject: Subject,
}

/// What is kept of a webhook. No key, and no part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its name: a repeat has the same.
    pub event_id: EventId,
    /// What happened.
    pub event: EventType,
    /// When it was made, by the authority's clock.
    pub created: Timestamp,
    /// The license's id, where it is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_id: Option<String>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How many activations are in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations_used: Option<u64>,
    /// How many it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_limit: Option<u64>,
    /// When the license ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The features that it includes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// The name of a webhook: 1 to 64 letters, digits, `_`, `-`, `.` and `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EventId(String);

impl EventId {
    /// The longest one, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventId {
    type Error = NotAWebhook;

    fn try_from(text: String) -> Result<Self, NotAWebhook> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        let good = (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        if good { Ok(Self(text)) } else { Err(NotAWebhook::NoId) }
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happened at the authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum EventType {
    /// A license began.
    Created,
    /// An activation was taken.
    Activated,
    /// It ends within seven days.
    Expiring,
    /// It ended.
    Expired,
    /// It lasts longer.
    Renewed,
    /// It was withdrawn.
    Revoked,
    /// It has another plan.
    Upgraded,
    /// It covers one more domain.
    DomainAdded,
    /// It no longer covers a domain.
    DomainRemoved,
    /// A payment failed.
    PaymentFailed,
    /// Something else, in the authority's words.
    Other(String),
}

/// Whether people are told of a webhook, and how loudly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// It is recorded, and nobody is told.
    Recorded,
    /// People should do something in these days.
    Warning,
    /// People should do something now.
    Critical,
}

impl EventType {
    /// The ones that have a name of ours.
    pub const KNOWN: [Self; 10] = [
        Self::Created,
        Self::Activated,
        Self::Expiring,
        Self::Expired,
        Self::Renewed,
        Self::Revoked,
        Self::Upgraded,
        Self::DomainAdded,
        Self::DomainRemoved,
        Self::PaymentFailed,
    ];

    fn known(text: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|known| known.as_str() == text)
    }

    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "license.created",
            Self::Activated => "license.activated",
            Self::Expiring => "license.expiring",
            Self::Expired => "license.expired",
            Self::Renewed => "license.renewed",
            Self::Revoked => "license.revoked",
            Self::Upgraded => "license.upgraded",
            Self::DomainAdded => "domain.added",
            Self::DomainRemoved => "domain.removed",
            Self::PaymentFailed => "payment.failed",
            Self::Other(word) => word,
        }
    }

    /// Whether people are told of it. What went well, or what nobody knows, is only recorded.
    pub fn loudness(&self) -> Loudness {
        match self {
            Self::Expiring | Self::PaymentFailed => Loudness::Warning,
            Self::Expired | Self::Revoked => Loudness::Critical,
            Self::Created
            | Self::Activated
            | Self::Renewed
            | Self::Upgraded
            | Self::DomainAdded
            | Self::DomainRemoved
            | Self::Other(_) => Loudness::Recorded,
        }
    }
}

impl From<String> for EventType {
    fn from(text: String) -> Self {
        Self::known(&text).unwrap_or_else(|| Self::Other(word(&text)))
    }
}

impl From<EventType> for String {
    fn from(event: EventType) -> Self {
        event.as_str().to_owned()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a body is no webhook of an authority. Never carries anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAWebhook {
    /// It is no JSON object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// It has no name.
    #[error("the body has no `id` of 1 to 64 letters, digits, `_`, `-`, `.` and `:`")]
    NoId,
    /// It does not say what happened.
    #[error("the body has no `type`")]
    NoType,
    /// It does not say when.
    #[error("the body has no `created` with a time, as in `2030-01-31T00:00:00Z`")]
    NoCreated,
}

impl Received {
    /// Reads a body. Its signature was checked before.
    pub(super) fn parse(body: &[u8]) -> Result<Self, NotAWebhook> {
        let Ok(Value::Object(envelope)) = serde_json::from_slice(body) else { return Err(NotAWebhook::NotAnObject) };
        let id = envelope.get("id").and_then(Value::as_str).ok_or(NotAWebhook::NoId)?;
        let event = envelope.get("type").and_then(Value::as_str).filter(|text| !text.is_empty());
        let event = event.ok_or(NotAWebhook::NoType)?;
        let event = EventType::known(event).unwrap_or_else(|| EventType::Other(event.to_owned()));
        let created = envelope.get("created").and_then(time).ok_or(NotAWebhook::NoCreated)?;
        let data = Data(envelope.get("data").unwrap_or(&Value::Null));
        let domains: Vec<&str> = data.text(&["domain"]).into_iter().chain(data.texts("domains")).collect();
        let license_id = data.text(&["licenseId", "license_id", "license"]);
        let uncut = Notification {
            event_id: EventId::try_from(id.to_owned())?,
            event,
            created,
            license_id: license_id.map(ToOwned::to_owned),
            plan: data.text(&["plan", "planId", "plan_id"]).map(ToOwned::to_owned),
            domain: domains.first().map(|&domain| domain.to_owned()),
            activations_used: data.whole(&["activationsUsed", "activations_used"]),
            activation_limit: data.whole(&["activationLimit", "activation_limit"]),
            expires_at: data.any(&["expiresAt", "expires_at"]).and_then(time),
            features: data.texts("features").take(FEATURES_MAX).map(ToOwned::to_owned).collect(),
        };
        let subject = Subject::of(license_id, &domains, data.text(&["licenseKey", "license_key"]));
        Ok(Self { uncut, subject })
    }

    /// What happened.
    pub fn event(&self) -> &EventType {
        &self.uncut.event
    }

    /// When it was made, by the authority's clock.
    pub fn created(&self) -> Timestamp {
        self.uncut.created
    }

    /// What is kept of it, cleaned and cut. `hide` takes out the secrets that its caller knows, and sees every word of the
    /// authority's as it came: a part of one would not be known again. `None` when its name holds one.
    pub fn notification(self, hide: impl Fn(&str) -> String) -> Option<Notification> {
        let mut told = self.uncut;
        if hide(told.event_id.as_str()) != told.event_id.as_str() {
            return None;
        }
        if let EventType::Other(text) = &told.event {
            told.event = EventType::Other(word(&hide(text)));
        }
        let fields = [&mut told.license_id, &mut told.plan, &mut told.domain];
        for text in fields.into_iter().flatten().chain(&mut told.features) {
            *text = word(&hide(text));
        }
        Some(told)
    }
}

/// The `data` of a webhook, in which anything may stand.
struct Data<'a>(&'a Value);

impl<'a> Data<'a> {
    /// The first of these fields that is there.
    fn any(&self, names: &[&str]) -> Option<&'a Value> {
        names.iter().find_map(|name| self.0.get(name))
    }

    fn text(&self, names: &[&str]) -> Option<&'a str> {
        self.any(names)?.as_str().filter(|text| !text.is_empty())
    }

    fn whole(&self, names: &[&str]) -> Option<u64> {
        self.any(names)?.as_u64()
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// A time, in words or in seconds.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => Timestamp::from_second(number.as_i64()?).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A word of the authority's, fit to be kept and shown.
fn word(text: &str) -> String {
    let cleaned = clean(text);
    if cleaned.chars().count() <= WORD_CHARS_MAX {
        return cleaned;
    }
    cleaned.chars().take(WORD_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _, vec};

    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Received, NotAWebhook> {
        Received::parse(body.to_string().as_bytes())
    }

    /// What is kept of a body.
    fn kept(body: &Value) -> Notification {
        parse(body).unwrap().notification(ToOwned::to_owned).unwrap()
    }

    fn envelope(data: &Value) -> Value {
        json!({ "id": "evt_1", "type": "license.revoked", "created": "2030-01-01T00:00:00Z", "data": data })
    }

    #[test]
    fn the_documented_envelope_is_read() {
        let body = envelope(&json!({
            "licenseKey": "TO-****-F6A8", "plan": "pro", "domain": "app.com", "activationsUsed": 3,
            "activationLimit": 10, "expiresAt": "2031-01-01T00:00:00Z", "features": ["sso", "analytics"],
        }));
        let notification = kept(&body);
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let expected = Notification {
            event_id: EventId("evt_1".to_owned()),
            event: EventType::Revoked,
            created: time("2030-01-01T00:00:00Z"),
            license_id: None,
            plan: Some("pro".to_owned()),
            domain: Some("app.com".to_owned()),
            activations_used: Some(3),
            activation_limit: Some(10),
            expires_at: Some(time("2031-01-01T00:00:00Z")),
            features: vec!["sso".to_owned(), "analytics".to_owned()],
        };
        assert_eq!(notification, expected);
        let kept = serde_json::to_string(&notification).unwrap();
        assert!(!kept.contains("F6A8") && !kept.contains("****"), "{kept}");
        assert_eq!(serde_json::from_str::<Notification>(&kept).unwrap(), notification);
    }

    #[test]
    fn other_spellings_are_read_and_odd_values_are_left_out() {
        let body = envelope(&json!({
            "license_id": "lic_1", "plan_id": "pro", "domains": ["app.com", 7], "activations_used": -1,
            "activation_limit": "many", "expires_at": 1_900_000_000, "features": { "sso": true },
        }));
        let notification = kept(&body);
        assert_eq!(notification.license_id.as_deref(), Some("lic_1"));
        assert_eq!(notification.domain.as_deref(), Some("app.com"));
        assert_eq!(notification.expires_at, Timestamp::from_second(1_900_000_000).ok());
        assert_eq!((notification.activations_used, notification.activation_limit), (None, None));
        assert!(notification.features.is_empty());
        for data in [json!(null), json!([]), json!("x"), json!({ "plan": 7, "domain": {}, "licenseKey": null })] {
            assert_eq!(kept(&envelope(&data)).plan, None, "{data}");
        }
    }

    #[test]
    fn what_is_missing_or_odd_makes_it_no_webhook() {
        for (name, value, why) in [
            ("id", json!(null), NotAWebhook::NoId),
            ("id", json!(7), NotAWebhook::NoId),
            ("id", json!(""), NotAWebhook::NoId),
            ("id", json!("a b"), NotAWebhook::NoId),
            ("id", json!("a\u{1b}[31m"), NotAWebhook::NoId),
            ("id", json!("x".repeat(EventId::BYTES_MAX + 1)), NotAWebhook::NoId),
            ("type", json!(null), NotAWebhook::NoType),
            ("type", json!(""), NotAWebhook::NoType),
            ("created", json!(null), NotAWebhook::NoCreated),
            ("created", json!("yesterday"), NotAWebhook::NoCreated),
            ("created", json!("2030-01-01T00:00:00"), NotAWebhook::NoCreated),
            ("created", json!(i64::MAX), NotAWebhook::NoCreated),
        ] {
            let mut body = envelope(&json!({}));
            body[name] = value;
            assert_eq!(parse(&body), Err(why), "{body}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in ["", "7", "[]", "<html></html>", deep.as_str()] {
            assert_eq!(Received::parse(text.as_bytes()), Err(NotAWebhook::NotAnObject), "{text:.20}");
        }
    }

    #[test]
    fn words_are_cleaned_and_short() {
        let evil = "\u{1b}[31m\n::error::x\u{202e}";
        let long = "ü".repeat(500);
        let mut body = envelope(&json!({
            "plan": evil, "domain": long, "licenseId": evil, "features": vec![long.as_str(); 100],
        }));
        body["type"] = json!(format!("{evil}{long}"));
        let notification = kept(&body);
        let words = [&notification.license_id, &notification.plan, &notification.domain].into_iter().flatten();
        let words: Vec<&str> =
            words.chain(&notification.features).map(String::as_str).chain([notification.event.as_str()]).collect();
        assert_eq!(words.len(), 3 + FEATURES_MAX + 1);
        for word in words {
            assert!(!word.chars().any(crate::finding::changes_the_line), "{word:?}");
            assert!(word.chars().count() <= WORD_CHARS_MAX, "{word:?}");
        }
    }

    #[test]
    fn a_secret_in_a_word_is_taken_out_and_in_a_name_is_refused() {
        let hide = |text: &str| text.replace("SECRET", "***");
        let body = envelope(&json!({ "plan": "a SECRET plan", "features": ["SECRET"], "domain": "app.com" }));
        let hidden = parse(&body).unwrap().notification(hide).unwrap();
        assert_eq!(hidden.plan.as_deref(), Some("a *** plan"));
        // It is looked for before the word is cut, which would leave a part of it.
        let padding = "x".repeat(WORD_CHARS_MAX - 3);
        let body_of = |plan: String| envelope(&json!({ "plan": plan }));
        let cut = parse(&body_of(format!("{padding}SECRET"))).unwrap().notification(hide).unwrap();
        assert_eq!(cut.plan, Some(format!("{padding}***")));
        let long = "SECRET".repeat(20);
        let whole = |text: &str| if text == long { "***".to_owned() } else { text.to_owned() };
        let cut = parse(&body_of(long.clone())).unwrap().notification(whole).unwrap();
        assert_eq!(cut.plan.as_deref(), Some("***"));
        let mut body_of_type = envelope(&json!({}));
        body_of_type["type"] = json!(long);
        let cut = parse(&body_of_type).unwrap().notification(whole).unwrap();
        assert_eq!(cut.event, EventType::Other("***".to_owned()));
        assert_eq!((hidden.features, hidden.domain.as_deref()), (vec!["***".to_owned()], Some("app.com")));
        let mut body = envelope(&json!({}));
        body["id"] = json!("evt_SECRET");
        assert_eq!(parse(&body).unwrap().notification(hide), None);
    }

    #[test]
    fn every_type_has_one_word_and_what_went_well_is_only_recorded() {
        for known in EventType::KNOWN {
            assert_eq!(EventType::from(known.as_str().to_owned()), known);
        }
        let told = EventType::KNOWN.into_iter().filter(|event| event.loudness() != Loudness::Recorded);
        let told: Vec<String> = told.map(String::from).collect();
        assert_eq!(told, ["license.expiring", "license.expired", "license.revoked", "payment.failed"]);
        assert_eq!(EventType::from("license.paused".to_owned()).loudness(), Loudness::Recorded);
    }
}
