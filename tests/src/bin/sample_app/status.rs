//! What the application says about its license. The key itself is never said.

use jiff::Timestamp;
use license_core::LicenseKey;
use serde_json::{Value, json};

/// What the deploy told the application.
#[derive(Clone)]
pub(crate) struct Given {
    key: Option<LicenseKey>,
    plan: Option<String>,
    features: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
    release: Option<String>,
}

impl Given {
    /// Reads the variables that a deploy command is given.
    #[expect(clippy::disallowed_methods, reason = "this program's door to its environment")]
    pub(crate) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let stated = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            key: stated("LICENSE_KEY").and_then(|key| LicenseKey::parse(&key).ok()),
            plan: stated("LICENSE_PLAN"),
            features: variable("LICENSE_FEATURES").map(|names| features(&names)),
            expires_at: stated("LICENSE_EXPIRES_AT").and_then(|time| time.parse().ok()),
            release: stated("LICENSE_RELEASE"),
        }
    }

    /// The status at a time. A license that has no key, or has expired, is not valid.
    pub(crate) fn status(&self, now: Timestamp) -> Value {
        let valid = self.key.is_some() && self.expires_at.is_none_or(|end| now < end);
        json!({
            "valid": valid,
            "plan": self.plan,
            "expiresAt": self.expires_at.map(|end| end.to_string()),
            "features": self.features,
            "keyFingerprint": self.key.as_ref().map(|key| key.fingerprint().to_string()),
            "release": self.release,
        })
    }
}

fn features(names: &str) -> Vec<String> {
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "TO-DEV-0123456789abcdef";

    fn given(variables: &[(&str, &str)]) -> Given {
        Given::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn what_was_given_is_told_and_the_key_is_not() {
        let status = given(&[
            ("LICENSE_KEY", KEY),
            ("LICENSE_PLAN", "pro"),
            ("LICENSE_FEATURES", "sso, analytics,"),
            ("LICENSE_EXPIRES_AT", "2030-01-01T00:00:00Z"),
            ("LICENSE_RELEASE", "r1"),
        ])
        .status(at("2029-12-31T23:59:59Z"));
        let fingerprint = LicenseKey::parse(KEY).unwrap().fingerprint().to_string();
        assert_eq!(
            status,
            json!({
                "valid": true, "plan": "pro", "expiresAt": "2030-01-01T00:00:00Z", "features": ["sso", "analytics"],
                "keyFingerprint": fingerprint, "release": "r1",
            })
        );
        assert!(!status.to_string().contains(KEY));
    }

    #[test]
    fn a_license_that_has_expired_is_not_valid() {
        let given = given(&[("LICENSE_KEY", KEY), ("LICENSE_EXPIRES_AT", "2030-01-01T00:00:00Z")]);
        assert_eq!(given.status(at("2030-01-01T00:00:00Z"))["valid"], false);
    }

    #[test]
    fn without_a_key_nothing_is_valid() {
        for variables in [&[][..], &[("LICENSE_KEY", "")], &[("LICENSE_KEY", "a key\n")]] {
            let status = given(variables).status(at("2030-01-01T00:00:00Z"));
            assert_eq!(status["valid"], false);
            assert_eq!(status["keyFingerprint"], Value::Null);
            assert_eq!(status["features"], Value::Null);
        }
    }
}
