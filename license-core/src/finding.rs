//! What one check found out.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The checks of the gate. Their codes are part of the output's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The key exists and is neither revoked, suspended, expired nor ahead of its time.
    Validity,
    /// The license covers the domain.
    Domain,
    /// The license includes every demanded feature.
    Features,
    /// The activations in use and those of this deploy stay within the limit.
    Activations,
    /// The key is of the class that the environment is for.
    KeyClass,
    /// The license lasts long enough.
    ExpiryHorizon,
    /// The key is not due for rotation.
    KeyAge,
}

impl Check {
    /// Every check, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Validity,
        Self::Domain,
        Self::Features,
        Self::Activations,
        Self::KeyClass,
        Self::ExpiryHorizon,
        Self::KeyAge,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Validity => "validity",
            Self::Domain => "domain",
            Self::Features => "features",
            Self::Activations => "activations",
            Self::KeyClass => "key_class",
            Self::ExpiryHorizon => "expiry_horizon",
            Self::KeyAge => "key_age",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The demand is met, or there is none.
    Pass,
    /// The demand is met, and somebody should look.
    Warn,
    /// The demand is not met.
    Fail,
    /// The fact that would tell is missing.
    Unknown,
}

impl Outcome {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a check came out as it did: a stable code, finer than the check's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The demand is met.
    Met,
    /// Nothing is demanded.
    NotDemanded,
    /// The authority did not state the fact.
    NotStated,
    /// The local clock and the authority's differ too much to compare times.
    ClockSkew,
    /// The authority refused the key.
    Refused,
    /// The authority accepted the key with a code that is a worry.
    AcceptedWithCode,
    /// The authority does not know the key.
    NotFound,
    /// The license is suspended.
    Suspended,
    /// The license is revoked.
    Revoked,
    /// The license has expired.
    Expired,
    /// The license is not valid yet.
    NotYetValid,
    /// The license's status is a word that is not known here.
    StatusNotKnown,
    /// The key was rotated away and works only until the grace ends.
    InGrace,
    /// The license does not cover the domain.
    NotCovered,
    /// The license lacks a demanded feature.
    FeatureMissing,
    /// The activations of this deploy would exceed the limit.
    LimitExceeded,
    /// The key is of another class.
    OtherClass,
    /// The key's prefix names no class.
    NoClass,
    /// The license expires within the horizon.
    ExpiresWithin,
    /// The license expires soon.
    ExpiresSoon,
    /// The key is older than the environment allows.
    TooOld,
}

/// One check's result: what was checked, how it came out, why, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    #[serde(rename = "code")]
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// A sentence for people: lower case, no full stop. It may quote text from the authority, with control characters taken out.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(check: Check, outcome: Outcome, reason: Reason, message: impl Into<String>) -> Self {
        Self { check, outcome, reason, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.outcome, self.message)
    }
}
