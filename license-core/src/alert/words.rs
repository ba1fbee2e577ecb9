//! An alert in words, for people who see nothing else.

use alloc::{format, string::String};

use jiff::Timestamp;

use super::event::{Alert, AlertId, Stands};
use crate::{
    finding::{Reason, clean},
    webhook::{EventType, Loudness, Notification},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something to plan for.
    Info,
    /// Something to do in these days.
    Warning,
    /// Something to do now.
    Critical,
}

/// More days than this before an end are something to plan for.
const INFO_DAYS_OVER: u32 = 7;
/// More days than this are something to do in these days.
const WARNING_DAYS_OVER: u32 = 1;
/// Fewer hours than this before a deadline are something to do now.
const CRITICAL_HOURS_MAX: u64 = 24;

impl Severity {
    /// The word that stands in documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How bad an alert is.
pub fn severity(alert: &Alert) -> Severity {
    match alert {
        Alert::Expiring { days, .. } if *days > INFO_DAYS_OVER => Severity::Info,
        Alert::Expiring { days, .. } if *days > WARNING_DAYS_OVER => Severity::Warning,
        Alert::RotationStuck { hours, .. } if hours.is_none_or(|hours| hours > CRITICAL_HOURS_MAX) => Severity::Warning,
        Alert::NotAdopted { hours, .. } if *hours > CRITICAL_HOURS_MAX => Severity::Warning,
        // What runs is licensed; the next deploy would be stopped.
        Alert::Refused { reason, .. } if is_of_the_demand(reason) => Severity::Warning,
        Alert::Unwatched { .. } | Alert::NotKnown => Severity::Warning,
        Alert::Webhook(told) => match told.event.loudness() {
            Loudness::Recorded => Severity::Info,
            Loudness::Warning => Severity::Warning,
            Loudness::Critical => Severity::Critical,
        },
        Alert::Expiring { .. }
        | Alert::Expired { .. }
        | Alert::Refused { .. }
        | Alert::RotationStuck { .. }
        | Alert::KeyLost { .. }
        | Alert::NotAdopted { .. } => Severity::Critical,
    }
}

/// What happened, in one sentence without a full stop. Nothing in it but the environment's name comes from outside
/// unchecked.
pub fn title(environment: &str, alert: &Alert) -> String {
    let environment = clean(environment);
    match alert {
        Alert::Expiring { expires_at, days, .. } => {
            let within = if *days == 1 { String::from("a day") } else { format!("{days} days") };
            format!("the license key of `{environment}` ends within {within}, at {}", minute(expires_at))
        }
        Alert::Expired { expires_at, .. } => {
            format!("the license key of `{environment}` ended at {}", minute(expires_at))
        }
        Alert::Refused { reason, .. } if is_of_the_demand(reason) => {
            format!("the license of `{environment}` is not what license.toml demands: {}", clean(reason))
        }
        Alert::Refused { reason, .. } => {
            format!("the authority refuses the license key of `{environment}`: {}", clean(reason))
        }
        Alert::RotationStuck { stands, deadline, .. } => {
            let deadline = minute(deadline);
            let stands = match stands {
                Stands::OutcomeUnknown => "nobody knows whether the authority rotated",
                Stands::KeyInEscrow => "the new key is in escrow and in no store",
                Stands::NewKeyRejected => "the authority does not accept what it gave as the new key",
                Stands::StoresDiffer => "some stores hold the new key and some the old one",
                Stands::RolledBack => "the stores hold the old key again",
            };
            format!("the rotation of `{environment}` stands still: {stands}; the old key works until {deadline}")
        }
        Alert::KeyLost { deadline, .. } => {
            format!("the new license key of `{environment}` is lost; the old one works until {}", minute(deadline))
        }
        Alert::NotAdopted { grace_ends_at, hours: 0, .. } => format!(
            "the old license key of `{environment}` may be dead since {}, and nothing shows that the new one is in use",
            minute(grace_ends_at)
        ),
        Alert::NotAdopted { grace_ends_at, .. } => format!(
            "nothing shows that `{environment}` uses its new license key, and the old one ends at {}",
            minute(grace_ends_at)
        ),
        Alert::Unwatched { since } => {
            format!("nobody looked at the license of `{environment}` between {} and now", minute(since))
        }
        Alert::Webhook(told) => told_of(&environment, told),
        Alert::NotKnown => format!("a newer version has an alert about `{environment}`"),
    }
}

/// Whether a reason is about what is demanded here, and not about what the authority says of the key.
fn is_of_the_demand(reason: &str) -> bool {
    let demand = [
        Reason::NotCovered,
        Reason::FeatureMissing,
        Reason::LimitExceeded,
        Reason::OtherClass,
        Reason::ExpiresWithin,
        Reason::TooOld,
    ];
    demand.into_iter().any(|one| one.word() == reason)
}

/// What the authority told of.
fn told_of(environment: &str, told: &Notification) -> String {
    let end = told.expires_at.as_ref().map(|end| format!(", at {}", minute(end))).unwrap_or_default();
    match &told.event {
        EventType::Expiring => format!("the authority says that the license of `{environment}` ends soon{end}"),
        EventType::Expired => format!("the authority says that the license of `{environment}` has ended{end}"),
        EventType::Revoked => format!("the authority says that the license of `{environment}` was revoked"),
        EventType::PaymentFailed => {
            format!("the authority says that a payment for the license of `{environment}` failed")
        }
        EventType::Created
        | EventType::Activated
        | EventType::Renewed
        | EventType::Upgraded
        | EventType::DomainAdded
        | EventType::DomainRemoved
        | EventType::Other(_) => {
            format!("the authority tells of `{}` about the license of `{environment}`", clean(told.event.as_str()))
        }
    }
}

/// What to do, in one sentence without a full stop.
pub fn what_next(environment: &str, alert: &Alert) -> String {
    let environment = clean(environment);
    match alert {
        Alert::Expiring { .. } | Alert::Expired { .. } => format!(
            "renew the license with its authority; where that gives a new key, `cargo xtask rotate {environment}` brings it to every store"
        ),
        Alert::Refused { .. } => format!("`cargo xtask check {environment}` shows why a deploy would be refused"),
        Alert::RotationStuck { .. } => {
            format!("`cargo xtask rotate {environment} --resume`")
        }
        Alert::KeyLost { .. } => {
            format!("get the key from the authority's portal, then `cargo xtask rotate {environment} --adopt`")
        }
        Alert::NotAdopted { .. } => format!("`cargo xtask deploy {environment}` ships the new key"),
        Alert::Unwatched { .. } => String::from("see why the scheduled `cargo xtask status` did not run"),
        Alert::Webhook(told) => match told.event {
            EventType::PaymentFailed => {
                String::from("see the payment in the authority's portal: a license that is not paid for ends")
            }
            EventType::Expiring | EventType::Expired => format!(
                "renew the license with its authority, then `cargo xtask status {environment}` shows whether it holds"
            ),
            EventType::Created
            | EventType::Activated
            | EventType::Renewed
            | EventType::Revoked
            | EventType::Upgraded
            | EventType::DomainAdded
            | EventType::DomainRemoved
            | EventType::Other(_) => format!("`cargo xtask check {environment}` shows what the authority says"),
        },
        Alert::NotKnown => String::from("update this program"),
    }
}

/// The name of an alert among those of all environments: the dedup key of every sink.
pub fn dedup_key(environment: &str, id: &AlertId) -> String {
    format!("license:{environment}:{}", id.0)
}

fn minute(at: &Timestamp) -> String {
    format!("{}", at.strftime("%Y-%m-%d %H:%M UTC"))
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, vec::Vec};

    use super::*;
    use crate::{
        alert::{AlertEvent, samples},
        trail::Event,
    };

    fn alerts() -> Vec<Alert> {
        let due = |event| {
            let Event::Alert(AlertEvent::Due { alert, .. }) = event else { return None };
            Some(alert)
        };
        samples().into_iter().filter_map(due).collect()
    }

    #[test]
    fn every_alert_says_what_and_what_next_in_one_line() {
        for alert in alerts() {
            for text in [title("production", &alert), what_next("production", &alert)] {
                assert!(text.len() > 10 && !text.ends_with('.') && !text.contains('\n'), "{text}");
            }
            assert!(title("production", &alert).contains("`production`"), "{alert:?}");
        }
    }

    #[test]
    fn words_from_outside_are_cleaned() {
        let Some(Alert::Refused { key_fingerprint, since, .. }) =
            alerts().into_iter().find(|alert| matches!(alert, Alert::Refused { .. }))
        else {
            panic!("there is none")
        };
        let reason = "\u{1b}[31mno\n::error::x".to_owned();
        let title = title("production", &Alert::Refused { key_fingerprint, reason, since });
        assert!(!title.contains(['\u{1b}', '\n']), "{title}");
    }

    #[test]
    fn what_is_demanded_here_is_not_said_to_be_the_authoritys_no() {
        let refused = |reason: &str| {
            let (key_fingerprint, since) = ("0011223344556677".parse().unwrap(), Timestamp::UNIX_EPOCH);
            Alert::Refused { key_fingerprint, reason: reason.to_owned(), since }
        };
        for (reason, says, how_bad) in [
            ("revoked", "the authority refuses the license key of `production`: revoked", Severity::Critical),
            ("refused", "the authority refuses the license key of `production`: refused", Severity::Critical),
            (
                "feature_missing",
                "the license of `production` is not what license.toml demands: feature_missing",
                Severity::Warning,
            ),
            (
                "expires_within",
                "the license of `production` is not what license.toml demands: expires_within",
                Severity::Warning,
            ),
        ] {
            assert_eq!((title("production", &refused(reason)).as_str(), severity(&refused(reason))), (says, how_bad));
        }
    }

    #[test]
    fn the_nearer_the_end_the_worse() {
        let at = Timestamp::from_second(1_900_000_000).unwrap();
        let key_fingerprint = "0011223344556677".parse().unwrap();
        let expiring = |days| Alert::Expiring { key_fingerprint, license_id: None, expires_at: at, days };
        let words = [30, 8, 7, 2, 1].map(|days| severity(&expiring(days)).word());
        assert_eq!(words, ["info", "info", "warning", "warning", "critical"]);
        assert_eq!(
            title("production", &expiring(1)),
            "the license key of `production` ends within a day, at 2030-03-17 17:46 UTC"
        );
        assert_eq!(
            dedup_key("production", &expiring(7).id()),
            "license:production:expiring:0011223344556677:1900000000:7"
        );
    }
}
