//! What runs, compared with what was approved.

use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{finding::clean, key::Fingerprint};

/// What the deployed application should report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The plan that the authority stated.
    pub plan: Option<String>,
    /// The features that were demanded.
    pub features: BTreeSet<String>,
    /// The expiry that the authority stated.
    pub expires_at: Option<Timestamp>,
    /// The key that was shipped; none where it is not known.
    pub key_fingerprint: Option<Fingerprint>,
    /// The id of the deploy, given to the deploy command as `LICENSE_RELEASE`; none where it is not known.
    pub release: Option<String>,
}

/// What the deployed application reported. `None`: it did not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// Whether its license is valid.
    pub valid: Option<bool>,
    /// Its plan.
    pub plan: Option<String>,
    /// Its features.
    pub features: Option<BTreeSet<String>>,
    /// Its expiry.
    pub expires_at: Option<Timestamp>,
    /// The key it uses.
    pub key_fingerprint: Option<Fingerprint>,
    /// The deploy it came with.
    pub release: Option<String>,
    /// The fields that it stated in a form that is none of theirs: `keyFingerprint`, `release`.
    pub not_readable: BTreeSet<&'static str>,
}

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Everything agrees, and the key or the release proves that this deploy is what runs.
    Proved,
    /// Everything that was reported agrees, but nothing reported proves that this deploy is what runs.
    NotProved,
    /// Something differs.
    Unhealthy(Vec<Difference>),
}

/// One difference between what was approved and what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The field of the status answer: `valid`, `plan`, `features`, `expiresAt`, `keyFingerprint`, `release`.
    pub field: String,
    /// A sentence for people.
    pub message: String,
}

/// Compares what runs with what was approved. All differences are reported together.
///
/// The application must say that its license is valid, and name every demanded feature. Plan, expiry (to the
/// second), key and release are compared where both sides state them.
pub fn compare(expected: &Expected, reported: &Reported) -> Health {
    let differences: Vec<Difference> = [
        valid(reported.valid),
        plan(expected, reported),
        features(expected, reported),
        expiry(expected, reported),
        key(expected, reported),
        release(expected, reported),
    ]
    .into_iter()
    .flatten()
    .chain(reported.not_readable.iter().map(|field| other_form(field)))
    .collect();
    if !differences.is_empty() {
        return Health::Unhealthy(differences);
    }
    // Without a difference, what is reported is equal.
    let is_key = expected.key_fingerprint.is_some() && reported.key_fingerprint.is_some();
    let is_release = expected.release.is_some() && reported.release.is_some();
    if is_key || is_release { Health::Proved } else { Health::NotProved }
}

fn valid(valid: Option<bool>) -> Option<Difference> {
    match valid {
        Some(true) => None,
        Some(false) => Some(Difference::new("valid", "the application says that its license is not valid")),
        None => Some(Difference::new("valid", "the application does not say whether its license is valid")),
    }
}

fn plan(expected: &Expected, reported: &Reported) -> Option<Difference> {
    let (approved, runs) = (expected.plan.as_ref()?, reported.plan.as_ref()?);
    (approved != runs).then(|| {
        let (approved, runs) = (clean(approved), clean(runs));
        Difference::new("plan", format!("the plan is `{runs}`, and `{approved}` was approved"))
    })
}

fn features(expected: &Expected, reported: &Reported) -> Option<Difference> {
    if expected.features.is_empty() {
        return None;
    }
    let Some(runs) = &reported.features else {
        return Some(Difference::new("features", "the application does not report its features"));
    };
    let missing: Vec<String> = expected.features.difference(runs).map(|feature| format!("`{feature}`")).collect();
    (!missing.is_empty())
        .then(|| Difference::new("features", format!("the application lacks {}", clean(&missing.join(", ")))))
}

fn expiry(expected: &Expected, reported: &Reported) -> Option<Difference> {
    let (approved, runs) = (expected.expires_at?, reported.expires_at?);
    (approved.as_second() != runs.as_second())
        .then(|| Difference::new("expiresAt", format!("the license expires at {runs}, and {approved} was approved")))
}

fn key(expected: &Expected, reported: &Reported) -> Option<Difference> {
    let (approved, runs) = (expected.key_fingerprint?, reported.key_fingerprint?);
    (approved != runs).then(|| {
        Difference::new("keyFingerprint", format!("the key in use is {runs}, and the key of this deploy is {approved}"))
    })
}

fn release(expected: &Expected, reported: &Reported) -> Option<Difference> {
    let (approved, runs) = (expected.release.as_ref()?, reported.release.as_ref()?);
    (approved != runs).then(|| {
        let (approved, runs) = (clean(approved), clean(runs));
        Difference::new("release", format!("the release that runs is `{runs}`, and this deploy is `{approved}`"))
    })
}

/// What is stated and cannot be compared is not taken for what is not stated.
fn other_form(field: &str) -> Difference {
    Difference::new(field, format!("the application reports a `{field}` of another form than this tool gives it"))
}

impl Difference {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::key::LicenseKey;

    fn names(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn fingerprint(key: &str) -> Fingerprint {
        LicenseKey::parse(key).unwrap().fingerprint()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn expected() -> Expected {
        Expected {
            plan: Some("pro".to_owned()),
            features: names(&["analytics", "sso"]),
            expires_at: Some(time("2030-01-01T00:00:00Z")),
            key_fingerprint: Some(fingerprint("TO-PRD-1")),
            release: Some("r1".to_owned()),
        }
    }

    /// What an application reports that says everything, and is right.
    fn reported() -> Reported {
        Reported {
            valid: Some(true),
            plan: Some("pro".to_owned()),
            features: Some(names(&["analytics", "more", "sso"])),
            expires_at: Some(time("2030-01-01T00:00:00Z")),
            key_fingerprint: Some(fingerprint("TO-PRD-1")),
            release: Some("r1".to_owned()),
            not_readable: BTreeSet::new(),
        }
    }

    #[test]
    fn the_key_or_the_release_proves_the_deploy() {
        let unproved = Reported { key_fingerprint: None, release: None, ..reported() };
        let table = [
            (reported(), Health::Proved),
            (Reported { release: None, ..reported() }, Health::Proved),
            (Reported { key_fingerprint: None, ..reported() }, Health::Proved),
            (unproved.clone(), Health::NotProved),
            (Reported { plan: None, expires_at: None, ..unproved.clone() }, Health::NotProved),
        ];
        for (reported, health) in table {
            assert_eq!(compare(&expected(), &reported), health, "{reported:?}");
        }
        let undemanding = Expected { plan: None, features: BTreeSet::new(), expires_at: None, ..expected() };
        let terse = Reported { valid: Some(true), ..Reported::default() };
        assert_eq!(compare(&undemanding, &terse), Health::NotProved);
        assert_eq!(compare(&undemanding, &reported()), Health::Proved);
    }

    #[test]
    fn every_difference_is_named() {
        let table = [
            (
                Reported { valid: Some(false), ..reported() },
                "valid",
                "the application says that its license is not valid",
            ),
            (
                Reported { valid: None, ..reported() },
                "valid",
                "the application does not say whether its license is valid",
            ),
            (
                Reported { plan: Some("Pro\n".to_owned()), ..reported() },
                "plan",
                "the plan is `Pro\u{FFFD}`, and `pro` was approved",
            ),
            (Reported { features: None, ..reported() }, "features", "the application does not report its features"),
            (
                Reported { key_fingerprint: None, not_readable: ["keyFingerprint"].into(), ..reported() },
                "keyFingerprint",
                "the application reports a `keyFingerprint` of another form than this tool gives it",
            ),
            (
                Reported { features: Some(names(&["sso"])), ..reported() },
                "features",
                "the application lacks `analytics`",
            ),
            (
                Reported { features: Some(names(&[])), ..reported() },
                "features",
                "the application lacks `analytics`, `sso`",
            ),
            (
                Reported { expires_at: Some(time("2030-01-01T00:00:01Z")), ..reported() },
                "expiresAt",
                "the license expires at 2030-01-01T00:00:01Z, and 2030-01-01T00:00:00Z was approved",
            ),
            (
                Reported { key_fingerprint: Some("00000000000000ff".parse().unwrap()), ..reported() },
                "keyFingerprint",
                &format!(
                    "the key in use is 00000000000000ff, and the key of this deploy is {}",
                    fingerprint("TO-PRD-1")
                ),
            ),
            (
                Reported { release: Some("r0".to_owned()), ..reported() },
                "release",
                "the release that runs is `r0`, and this deploy is `r1`",
            ),
        ];
        for (reported, field, message) in table {
            let difference = Difference { field: field.to_owned(), message: message.to_owned() };
            assert_eq!(compare(&expected(), &reported), Health::Unhealthy([difference].into()));
        }
    }

    #[test]
    fn all_differences_are_reported_together() {
        let Health::Unhealthy(differences) = compare(&expected(), &Reported::default()) else {
            panic!("an application that reports nothing is healthy");
        };
        let fields: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["valid", "features"]);
    }

    #[test]
    fn a_release_that_nobody_knows_proves_nothing() {
        let unknown = Expected { release: None, ..expected() };
        let only_release = Reported { key_fingerprint: None, ..reported() };
        assert_eq!(compare(&unknown, &only_release), Health::NotProved);
        assert_eq!(compare(&unknown, &reported()), Health::Proved);
        let nothing = Expected { key_fingerprint: None, ..unknown };
        assert_eq!(compare(&nothing, &reported()), Health::NotProved);
    }

    #[test]
    fn an_equal_key_does_not_outweigh_another_release() {
        let mixed = Reported { release: Some("r0".to_owned()), ..reported() };
        assert!(matches!(compare(&expected(), &mixed), Health::Unhealthy(_)));
    }

    #[test]
    fn fractions_of_a_second_do_not_count() {
        let fraction = Reported { expires_at: Some(time("2030-01-01T00:00:00.75Z")), ..reported() };
        assert_eq!(compare(&expected(), &fraction), Health::Proved);
    }
}
