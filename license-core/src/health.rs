//! What runs, compared with what was approved.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::key::Fingerprint;

/// What the deployed application should report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The plan that the authority stated.
    pub plan: Option<String>,
    /// The features that were demanded.
    pub features: BTreeSet<String>,
    /// The expiry that the authority stated.
    pub expires_at: Option<Timestamp>,
    /// The key that was shipped.
    pub key_fingerprint: Fingerprint,
    /// The id of this deploy, given to the deploy command as `LICENSE_RELEASE`.
    pub release: String,
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

/// Compares what runs with what was approved.
pub fn compare(_expected: &Expected, _reported: &Reported) -> Health {
    unimplemented!()
}
