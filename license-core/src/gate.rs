//! The gate: may this key be used for this deploy?
//!
//! One short function per rule. All rules are judged, and all findings are reported together.

use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    demand::Demand,
    finding::{Check, Finding},
    key::LicenseKey,
    license::License,
};

/// The time of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The local clock.
    pub at: Timestamp,
    /// How far the authority's clock is ahead of the local one, where it told its time.
    pub authority_ahead: Option<SignedDuration>,
}

/// Differences between the clocks up to this many seconds are tolerated; beyond it, checks that depend on time are unknown.
pub const CLOCK_SKEW_MAX_SECS: i64 = 5 * 60;

/// A license that expires within this many days is worth a warning.
pub const EXPIRES_SOON_DAYS: i64 = 30;

/// Judges every rule. The result has one finding per [`Check`], in the order of [`Check::ALL`].
pub fn judge(
    _demand: &Demand,
    _key: &LicenseKey,
    _license: &License,
    _first_seen: Option<Timestamp>,
    _now: Now,
) -> Vec<Finding> {
    unimplemented!()
}

/// Judges the key's class alone: the one rule that needs no authority, so that a key of another class is never sent anywhere.
pub fn judge_class(_demand: &Demand, _key: &LicenseKey) -> Finding {
    unimplemented!()
}

/// The findings when no authority was asked: the class is judged, every other check is unknown.
pub fn unasked(_class: Finding, _why: &str) -> Vec<Finding> {
    unimplemented!()
}

/// What an environment does about a check whose fact is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// No deploy.
    Block,
    /// A warning.
    Warn,
}

/// What the findings come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Deploy.
    Go,
    /// The rules say no.
    Refused,
    /// It could not be found out.
    Unknown,
}

/// Sums up the findings: one failed check refuses; else one unknown check leaves it unknown, unless the policy only warns.
pub fn verdict(_findings: &[Finding], _policy: UnknownPolicy) -> Verdict {
    unimplemented!()
}

impl Check {
    /// Whether the check compares the authority's times with the local clock.
    pub fn depends_on_time(self) -> bool {
        match self {
            Self::Validity | Self::ExpiryHorizon | Self::KeyAge => true,
            Self::Domain | Self::Features | Self::Activations | Self::KeyClass => false,
        }
    }
}
