//! Tells `PagerDuty`: Events API, version 2. An alert opens an incident, its end closes the same one.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Message, Missed, News, Target, Tried,
    http::{Body, Post},
    words,
};
use crate::signals::Signals;

/// The longest key that is taken, in bytes.
const DEDUP_KEY_BYTES_MAX: usize = 255;
/// The longest summary that is taken, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;

/// The address of the events below the service's.
pub(super) fn endpoint(target: Target) -> Target {
    let url = Zeroizing::new(format!("{}/v2/enqueue", target.url.trim_end_matches('/')));
    Target { url, ..target }
}

/// Tells it. Accepted is 202.
pub(super) fn tell(post: &Post, routing_key: &str, message: &Message, signals: &Signals) -> Tried {
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = document(message, routing_key).to_string().into_bytes();
    match post.send(headers, body, Body::Read, signals) {
        Ok(answer) if answer.status == 202 => Tried::Accepted,
        Ok(answer) if answer.is_success() => Tried::Refused(Missed::perhaps(
            format!("{} answered {}, and the events API answers 202", post.whom(), answer.status),
            "see whether `service` of the sink is the base address of an events API, and what is in between",
        )),
        Ok(answer) => post.refused(&answer),
        Err(tried) => tried,
    }
}

/// The event.
pub(super) fn document(message: &Message, routing_key: &str) -> Value {
    let dedup_key = within_limit(&message.dedup_key);
    match message.news {
        News::Stands | News::Test => {}
        News::Over(_) => {
            return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
        }
    }
    let details: Map<String, Value> =
        words::details(message).into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    let links: Vec<Value> = words::run_url(message)
        .map(|url| json!({ "href": url, "text": "the run that found it" }))
        .into_iter()
        .collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "license-hooks",
        "links": links,
        "payload": {
            "summary": words::cut(&words::headline(message), SUMMARY_CHARS_MAX),
            "source": message.environment,
            "severity": words::loudness(message).word(),
            "timestamp": message.at.to_string(),
            "component": "license key",
            "class": words::kind(&message.alert),
            "custom_details": details,
        },
    })
}

/// The key as it is where it fits; else a hash of it, which names the same incident every time.
fn within_limit(dedup_key: &str) -> String {
    if dedup_key.len() <= DEDUP_KEY_BYTES_MAX {
        return dedup_key.to_owned();
    }
    format!("license:sha256:{}", words::hex(&Sha256::digest(dedup_key)))
}
