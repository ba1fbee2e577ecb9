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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_is_read_as_it_was_written() {
        let demand = Demand {
            domain: Domain::parse("app.com:8443").unwrap(),
            features: BTreeSet::from([String::from("sso"), String::from("analytics")]),
            activations: Some(u64::MAX),
            key_class: Some(KeyClass::Stg),
            min_days_left: u32::MAX,
            key_age_max_days: None,
        };
        let json = r#"{"domain":"app.com:8443","features":["analytics","sso"],"activations":18446744073709551615,"key_class":"STG","min_days_left":4294967295,"key_age_max_days":null}"#;
        assert_eq!(serde_json::to_string(&demand).unwrap(), json);
        assert_eq!(serde_json::from_str::<Demand>(json).unwrap(), demand);
    }
}
