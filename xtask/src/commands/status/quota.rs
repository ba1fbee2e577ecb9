//! How many validations the accounts have used.
//!
//! Each authority is asked once, however many environments have it, and after the licenses: whatever it answers,
//! nothing that is known of an environment changes by it.

use std::collections::BTreeMap;

use license_core::{finding::clean, quota::Quota};

use crate::{authority::Authority, config::Environment, failure::Failure, many, signals::Signals};

/// What is known of the account at one authority.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    /// The authority's name in the file.
    pub(crate) authority: &'a str,
    /// How many validations were used.
    pub(crate) quota: Result<Quota, NotKnown>,
}

/// Why it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotKnown {
    /// A stable code.
    pub(crate) code: &'static str,
    /// What happened, in a sentence without a full stop.
    pub(crate) why: String,
}

/// Asks every authority of these environments.
pub(super) fn ask<'a>(
    environments: &[&'a Environment],
    authorities: &BTreeMap<&'a str, Result<Authority, Failure>>,
    signals: &Signals,
) -> Vec<Account<'a>> {
    // One environment stands for all that have its authority.
    let one_of_each: BTreeMap<&str, &'a Environment> =
        environments.iter().map(|environment| (environment.authority.as_str(), *environment)).collect();
    let one_of_each: Vec<&'a Environment> = one_of_each.into_values().collect();
    let inputs = one_of_each.iter().map(|environment| &authorities[environment.authority.as_str()]).collect();
    many::concurrently(&one_of_each, inputs, signals, |environment, authority| Account {
        authority: environment.authority.as_str(),
        quota: used(authority),
    })
}

fn used(authority: &Result<Authority, Failure>) -> Result<Quota, NotKnown> {
    match authority {
        Ok(authority) => {
            authority.usage().map_err(|error| NotKnown { code: error.stable_code(), why: clean(&error.to_string()) })
        }
        Err(failure) => Err(NotKnown { code: failure.code(), why: clean(&failure.to_string()) }),
    }
}

impl Account<'_> {
    /// What is known, in a sentence without a full stop.
    pub(crate) fn words(&self) -> String {
        match &self.quota {
            Ok(quota) => quota.to_string(),
            Err(not) => format!("validations not known: {}", not.why),
        }
    }

    /// What somebody should know.
    pub(crate) fn warning(&self) -> Option<String> {
        self.quota.as_ref().ok()?.warning()
    }
}
