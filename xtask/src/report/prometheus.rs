//! What `status` found, as metrics that the textfile collector of a node exporter reads.
//!
//! What nobody said is no sample: neither a 0 nor a 1.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;
use license_core::{
    Verdict,
    alert::{Severity, severity},
    finding::clean,
    quota::Limit,
    rotation::{Adoption, Keys},
};

use super::status::{old_key_ends, phase};
use crate::{
    commands::status::{Account, Known, Status, StatusReport},
    health::Seen,
};

/// One metric: its name, what it says, and where its samples come from.
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

/// Where the samples of a metric come from.
#[derive(Clone, Copy)]
enum Samples {
    /// Every environment.
    Environments(fn(&StatusReport<'_>, &Status<'_>) -> Vec<Sample>),
    /// Every account at an authority.
    Accounts(fn(&Account<'_>) -> Option<u64>),
}

/// The labels of a sample, and its value. All values are whole.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: i64,
}

/// Everything that is told.
const METRICS: [Metric; 10] = [
    Metric {
        name: "license_key_expiry_timestamp_seconds",
        help: "When the license of the key that deploys read expires, as its authority says.",
        samples: Samples::Environments(expiry),
    },
    Metric {
        name: "license_key_grace_end_timestamp_seconds",
        help: "When a key that was rotated away stops working.",
        samples: Samples::Environments(grace_end),
    },
    Metric {
        name: "license_validate_success",
        help: "1 where a deploy would go: the license was validated and meets what is demanded. Else 0, also where nobody could say.",
        samples: Samples::Environments(validate_success),
    },
    Metric {
        name: "license_app_healthy",
        help: "1 where the application answers, and nothing that it reports differs from what should run. Else 0.",
        samples: Samples::Environments(app_healthy),
    },
    Metric {
        name: "license_rotation_state",
        help: "1 for where the rotation of the key stands, 0 for everywhere else.",
        samples: Samples::Environments(rotation_state),
    },
    Metric {
        name: "license_last_check_timestamp_seconds",
        help: "When the license was looked at last.",
        samples: Samples::Environments(last_check),
    },
    Metric {
        name: "license_key_adopted",
        help: "1 where what runs is known to use the key that deploys read, 0 where it is known not to, or a rotation waits for the proof.",
        samples: Samples::Environments(adopted),
    },
    Metric {
        name: "license_alerts_standing",
        help: "How many alerts stand.",
        samples: Samples::Environments(alerts_standing),
    },
    Metric {
        name: "license_validations_used",
        help: "How many validations the account at an authority has used this month, as the authority says.",
        samples: Samples::Accounts(used),
    },
    Metric {
        name: "license_validations_limit",
        help: "How many validations a month has, where the authority states a limit.",
        samples: Samples::Accounts(limit),
    },
];

/// Every place where a rotation can stand.
const STATES: [&str; 10] = [
    "idle",
    "calling",
    "unknown",
    "key_lost",
    "received",
    "new_rejected",
    "promoting",
    "committed",
    "rolling_back",
    "rolled_back",
];

/// The whole file, in the text format of Prometheus.
pub(crate) fn metrics(report: &StatusReport<'_>) -> String {
    let mut text = String::new();
    for Metric { name, help, samples } in METRICS {
        // An environment that was named twice is told once: a second sample would void the whole file.
        let mut told = BTreeSet::new();
        let mut lines = String::new();
        for Sample { labels, value } in samples.of(report) {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let series = format!("{name}{{{}}}", labels.join(","));
            if told.insert(series.clone()) {
                let _ = writeln!(lines, "{series} {value}");
            }
        }
        if !lines.is_empty() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{lines}");
        }
    }
    text
}

impl Samples {
    fn of(self, report: &StatusReport<'_>) -> Vec<Sample> {
        match self {
            Self::Environments(samples) => {
                report.environments.iter().flat_map(|status| samples(report, status)).collect()
            }
            Self::Accounts(value) => {
                let sample = |account: &Account<'_>| {
                    let labels = vec![("authority", account.authority.to_owned())];
                    Some(Sample { labels, value: i64::try_from(value(account)?).unwrap_or(i64::MAX) })
                };
                report.accounts.iter().filter_map(sample).collect()
            }
        }
    }
}

/// The value of a label as it stands between the quotes.
fn escaped(value: &str) -> String {
    // What changes the line is gone after this; a line feed among it.
    clean(value).replace('\\', "\\\\").replace('"', "\\\"")
}

fn environment(status: &Status<'_>) -> (&'static str, String) {
    ("environment", status.environment.name.to_string())
}

fn of_environment(status: &Status<'_>, value: i64) -> Vec<Sample> {
    vec![Sample { labels: vec![environment(status)], value }]
}

/// The label of the license's id; empty, which to Prometheus is none, where the authority states no id.
fn license_id(status: &Status<'_>) -> (&'static str, String) {
    ("license_id", status.license.license().and_then(|license| license.id.clone()).unwrap_or_default())
}

fn expiry(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let ends = status.license.license().and_then(|license| license.expires_at);
    let sample = ends.zip(status.license.key()).map(|(ends, key)| Sample {
        labels: vec![environment(status), license_id(status), ("key_fingerprint", key.to_string())],
        value: ends.as_second(),
    });
    sample.into_iter().collect()
}

fn grace_end(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let stated = status.license.license().and_then(|license| license.grace_ends_at).zip(status.license.key());
    let rotation = status.history.rotation();
    let counted = old_key_ends(&rotation.phase).zip(rotation.phase.open().map(|open| open.terms.old));
    let is_open = |keys: &Keys| rotation.phase.open().is_some_and(|open| open.id == keys.open.id);
    let unproven = rotation.committed().filter(|(keys, adoption)| *adoption == Adoption::Unproven && !is_open(keys));
    let before = unproven.map(|(keys, _)| (rotation.certain_until(keys), keys.open.terms.old));
    // What the authority says of a key comes before what was counted.
    let counted = counted.into_iter().chain(before).filter(|(_, old)| stated.is_none_or(|(_, key)| key != *old));
    let sample = |(ends, key): (Timestamp, license_core::Fingerprint)| Sample {
        labels: vec![environment(status), license_id(status), ("key_fingerprint", key.to_string())],
        value: ends.as_second(),
    };
    stated.into_iter().chain(counted).map(sample).collect()
}

fn validate_success(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let goes = status.license.verdict() == Some(Verdict::Go);
    of_environment(status, i64::from(goes))
}

fn app_healthy(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let healthy = status.app.as_ref().and_then(|app| match app.glance.seen {
        Seen::Proved | Seen::NotProved => Some(1),
        Seen::Unhealthy { .. } | Seen::Unreachable { .. } => Some(0),
        Seen::Stopped(_) => None,
    });
    healthy.map_or_else(Vec::new, |healthy| of_environment(status, healthy))
}

fn rotation_state(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let current = phase(&status.history.rotation().phase);
    let sample = |state: &str| Sample {
        labels: vec![environment(status), ("state", state.to_owned())],
        value: i64::from(state == current),
    };
    STATES.map(sample).into()
}

fn last_check(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let at = match &status.license {
        Known::Judged(_) | Known::Not(_) => status.asked_at,
        Known::Cached { looked, .. } => looked.at,
        Known::NeverLooked => return Vec::new(),
    };
    of_environment(status, at.as_second())
}

fn adopted(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    uses_the_key(status).map_or_else(Vec::new, |uses| of_environment(status, i64::from(uses)))
}

/// Whether what runs uses the key that deploys read: as the application says, else as the trail does.
fn uses_the_key(status: &Status<'_>) -> Option<bool> {
    let key = status.license.key()?;
    let reported = status.app.as_ref().and_then(|app| app.glance.reported.as_ref());
    if let Some(reported) = reported
        && let Some(runs) = reported.key_fingerprint
    {
        return Some(runs == key && reported.valid == Some(true));
    }
    let rotation = status.history.rotation();
    // The newest rotation that has brought a key, and those before it, of which what runs may have an old key.
    let mut committed = rotation.committed();
    let newest = committed.next().filter(|(keys, _)| rotation.phase.new_key().is_none_or(|new| new == keys.new));
    match newest.filter(|(keys, _)| keys.new == key) {
        Some((_, Adoption::Unproven)) => Some(false),
        Some((_, Adoption::Proved | Adoption::Shipped)) => {
            Some(committed.all(|(_, adoption)| adoption != Adoption::Unproven))
        }
        None => status.deployed.as_ref().map(|deployed| deployed.key_fingerprint == key),
    }
}

fn alerts_standing(_: &StatusReport<'_>, status: &Status<'_>) -> Vec<Sample> {
    let sample = |wanted: Severity| {
        let count = status.standing.iter().filter(|alert| severity(alert) == wanted).count();
        Sample {
            labels: vec![environment(status), ("severity", wanted.word().to_owned())],
            value: i64::try_from(count).unwrap_or(i64::MAX),
        }
    };
    [Severity::Info, Severity::Warning, Severity::Critical].map(sample).into()
}

fn used(account: &Account<'_>) -> Option<u64> {
    account.quota.as_ref().ok()?.used
}

fn limit(account: &Account<'_>) -> Option<u64> {
    match account.quota.as_ref().ok()?.limit? {
        Limit::AtMost(limit) => Some(limit),
        Limit::Unlimited => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::samples::{self, SHAPES};

    /// The value of a sample, by its name and the start of its labels.
    fn value(text: &str, series: &str) -> Option<i64> {
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn every_environment_has_its_samples_and_what_nobody_said_has_none() {
        let config = samples::config(SHAPES);
        let text = metrics(&samples::report(&config));
        let now = samples::NOW.parse::<Timestamp>().unwrap().as_second();
        let rows = [
            (
                "license_key_expiry_timestamp_seconds{environment=\"production\",license_id=\"lic_0\",key_fingerprint=\"",
                Some(now + 240 * 86400),
            ),
            ("license_key_expiry_timestamp_seconds{environment=\"emea\",", Some(now - 12 * 86400)),
            ("license_key_expiry_timestamp_seconds{environment=\"internal-tools\",", None),
            ("license_key_grace_end_timestamp_seconds{environment=\"apac\",", Some(now + 12 * 86400)),
            ("license_key_grace_end_timestamp_seconds{environment=\"production\",", None),
            ("license_validate_success{environment=\"production\"}", Some(1)),
            ("license_validate_success{environment=\"emea\"}", Some(0)),
            ("license_validate_success{environment=\"internal-tools\"}", Some(0)),
            ("license_validate_success{environment=\"demo\"}", Some(0)),
            ("license_app_healthy{environment=\"production\"}", Some(1)),
            ("license_app_healthy{environment=\"apac\"}", Some(1)),
            ("license_app_healthy{environment=\"emea\"}", Some(0)),
            ("license_app_healthy{environment=\"internal-tools\"}", None),
            ("license_rotation_state{environment=\"apac\",state=\"committed\"}", Some(1)),
            ("license_rotation_state{environment=\"apac\",state=\"idle\"}", Some(0)),
            ("license_rotation_state{environment=\"production\",state=\"idle\"}", Some(1)),
            ("license_last_check_timestamp_seconds{environment=\"production\"}", Some(now)),
            ("license_last_check_timestamp_seconds{environment=\"demo\"}", None),
            ("license_key_adopted{environment=\"production\"}", Some(1)),
            ("license_key_adopted{environment=\"apac\"}", Some(0)),
            ("license_key_adopted{environment=\"demo\"}", None),
            ("license_alerts_standing{environment=\"emea\",severity=\"critical\"}", Some(2)),
            ("license_alerts_standing{environment=\"staging\",severity=\"warning\"}", Some(1)),
            ("license_alerts_standing{environment=\"staging\",severity=\"critical\"}", Some(0)),
            ("license_validations_used{authority=\"to\"}", Some(412)),
            ("license_validations_limit{authority=\"to\"}", Some(500)),
            ("license_validations_used{authority=\"spare\"}", Some(i64::MAX)),
            ("license_validations_limit{authority=\"spare\"}", None),
            ("license_validations_used{authority=\"silent\"}", None),
            ("license_validations_limit{authority=\"silent\"}", None),
        ];
        for (series, expected) in rows {
            assert_eq!(value(&text, series), expected, "{series}\n{text}");
        }
    }

    #[test]
    fn no_word_from_outside_breaks_out_of_its_line_and_no_series_is_there_twice() {
        let config = samples::config(3 * SHAPES);
        let mut report = samples::report(&config);
        // An environment that was named twice.
        let again = samples::report(&config).environments.remove(2);
        report.environments.push(again);
        let text = metrics(&report);
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines() {
            assert!(!line.contains(char::is_control), "{line:?}");
            let known = METRICS.iter().any(|metric| {
                line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with(metric.name)
            });
            assert!(known, "{line:?}");
            let (series, _) = line.rsplit_once(' ').unwrap();
            *counts.entry(series).or_default() += usize::from(!line.starts_with('#'));
        }
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(text.contains(r#"</script>\" onload='x' ]]>"#), "{text}");
    }

    #[test]
    fn one_state_of_a_rotation_is_the_current_one() {
        let config = samples::config(SHAPES);
        let text = metrics(&samples::report(&config));
        for number in 0..SHAPES {
            let start = format!("license_rotation_state{{environment=\"{}\",", samples::name(number));
            let values: Vec<_> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(values.len(), STATES.len(), "{values:?}");
            assert_eq!(values.iter().filter(|line| line.ends_with(" 1")).count(), 1, "{values:?}");
        }
    }
}
