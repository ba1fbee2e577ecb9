//! A message as a `CloudEvent` 1.0, structured as JSON: what webhooks and programs get.

use serde_json::{Value, json};

use super::{Message, News, words};

/// What the document is, for a header.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Who speaks.
const SOURCE: &str = "license-hooks";

/// The event's id: equal whenever the same is said of one alert.
pub(super) fn id(message: &Message) -> String {
    format!("evt_{}", words::occurrence(message, message.news))
}

/// The document.
pub(super) fn document(message: &Message) -> Vec<u8> {
    let mut text = value(message).to_string().into_bytes();
    text.push(b'\n');
    text
}

fn value(message: &Message) -> Value {
    let (environment, alert) = (&message.environment, &message.alert);
    json!({
        "specversion": "1.0",
        "id": id(message),
        "source": SOURCE,
        "type": kind(message),
        "time": message.at.to_string(),
        "subject": environment,
        "datacontenttype": "application/json",
        "data": {
            "environment": environment,
            "news": words::news(message.news),
            "severity": words::loudness(message).word(),
            "title": words::headline(message),
            "next": license_core::alert::what_next(environment, alert),
            "dedup_key": message.dedup_key,
            "alert": alert,
            "actor": message.actor,
        },
    })
}

fn kind(message: &Message) -> String {
    let kind = words::kind(&message.alert);
    match message.news {
        News::Stands => format!("license.alert.{kind}"),
        News::Over(_) => format!("license.alert.{kind}.resolved"),
        News::Test => "license.alert.test".to_owned(),
    }
}
