//! What one deploy demands of its license.

use alloc::{collections::BTreeSet, string::String};

use serde::{Deserialize, Serialize};

use crate::{domain::Domain, key::KeyClass};

/// The demands of one environment. What is absent is not demanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The domain that the deploy serves.
    pub domain: Domain,
    /// Features that the license must include.
    pub features: BTreeSet<String>,
    /// How many activations this deploy adds.
    pub activations: Option<u64>,
    /// The class that the key must have.
    pub key_class: Option<KeyClass>,
    /// The license must not expire for this many days more.
    pub min_days_left: u32,
    /// A key older than this many days is due for rotation.
    pub key_age_max_days: Option<u32>,
}
