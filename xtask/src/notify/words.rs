//! A message in words: what every sink says, in the form that it takes.

use jiff::Timestamp;
use license_core::{
    alert::{Alert, Over, Severity, severity, title, what_next},
    finding::clean,
};
use sha2::{Digest as _, Sha256};

use super::{Message, News};

/// The stable word for a kind of alert.
pub(super) fn kind(alert: &Alert) -> &'static str {
    match alert {
        Alert::Expiring { .. } => "expiring",
        Alert::Expired { .. } => "expired",
        Alert::Refused { .. } => "refused",
        Alert::RotationStuck { .. } => "rotation_stuck",
        Alert::KeyLost { .. } => "key_lost",
        Alert::NotAdopted { .. } => "not_adopted",
        Alert::Unwatched { .. } => "unwatched",
        Alert::Webhook(_) => "webhook",
        Alert::NotKnown => "not_known",
    }
}

/// The stable word for what is new.
pub(super) fn news(news: News) -> &'static str {
    match news {
        News::Stands => "stands",
        News::Over(Over::Gone) => "gone",
        News::Over(Over::Overtaken) => "overtaken",
        News::Test => "test",
    }
}

/// How loud a message is: what is over, or a test, is no alarm.
pub(super) fn loudness(message: &Message) -> Severity {
    match message.news {
        News::Stands => severity(&message.alert),
        News::Over(Over::Gone | Over::Overtaken) | News::Test => Severity::Info,
    }
}

/// The message in one line.
pub(super) fn headline(message: &Message) -> String {
    let title = title(&message.environment, &message.alert);
    match message.news {
        News::Stands => format!("{}: {title}", severity(&message.alert).word()),
        News::Over(Over::Gone) => format!("over: {title}"),
        News::Over(Over::Overtaken) => format!("over, for a tighter alert says it: {title}"),
        News::Test => format!("TEST, nothing is wrong; an alert would read: {title}"),
    }
}

/// What else people want to know, each with its name.
pub(super) fn details(message: &Message) -> Vec<(&'static str, String)> {
    let next = match message.news {
        News::Stands => Some(what_next(&message.environment, &message.alert)),
        News::Over(Over::Gone | Over::Overtaken) | News::Test => None,
    };
    let rows = [
        ("environment", Some(clean(&message.environment))),
        ("next", next),
        ("seen at", Some(second(message.at))),
        ("run", run_url(message).map(str::to_owned)),
        ("alert", Some(clean(&message.dedup_key))),
    ];
    rows.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// The address of the run that tells, where it is one.
pub(super) fn run_url(message: &Message) -> Option<&str> {
    let is_address = |url: &&str| {
        (url.starts_with("https://") || url.starts_with("http://")) && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    message.actor.run_url.as_deref().filter(is_address)
}

/// What a program is told beside its stdin.
pub(super) fn variables(message: &Message) -> [(&'static str, String); 5] {
    [
        ("LICENSE_ALERT_KIND", kind(&message.alert).to_owned()),
        ("LICENSE_ALERT_NEWS", news(message.news).to_owned()),
        ("LICENSE_ALERT_ENVIRONMENT", clean(&message.environment)),
        ("LICENSE_ALERT_SEVERITY", loudness(message).word().to_owned()),
        ("LICENSE_ALERT_DEDUP_KEY", clean(&message.dedup_key)),
    ]
}

/// The name of what is said: the same whenever the same is said of one alert, and another for everything else.
pub(super) fn occurrence(message: &Message, news: News) -> String {
    const BYTES: usize = 16;
    let mut hash = Sha256::new();
    hash.update(&message.dedup_key);
    hash.update([0]);
    hash.update(self::news(news));
    hex(&hash.finalize()[..BYTES])
}

/// Bytes as hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A moment, to the second.
pub(super) fn second(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A text of so many characters at most; one that is cut ends in `…`.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}
