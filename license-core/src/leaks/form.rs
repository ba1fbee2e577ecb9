//! The forms of keys and tokens, and what only looks like one.

use core::fmt;

/// A form that keys and tokens have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `TO-DEV-…`, `TO-STG-…`, `TO-PRD-…` and `TO-XXXX-…`.
    ToKey,
    /// `LK-…`.
    LkKey,
    /// `LIC-…`.
    LicKey,
    /// API tokens: `to_live_…`, `to_test_…`, `sk_live_…`, `sk_test_…`.
    ApiToken,
    /// An offline license token.
    LicenseToken,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::ToKey, Self::LkKey, Self::LicKey, Self::ApiToken, Self::LicenseToken];

    /// The word for it in output that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToKey => "to_key",
            Self::LkKey => "lk_key",
            Self::LicKey => "lic_key",
            Self::ApiToken => "api_token",
            Self::LicenseToken => "license_token",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToKey => "a `TO-…` license key",
            Self::LkKey => "an `LK-…` license key",
            Self::LicKey => "a `LIC-…` license key",
            Self::ApiToken => "an API token",
            Self::LicenseToken => "an offline license token",
        })
    }
}
