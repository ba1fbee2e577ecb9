//! What an authority said about a key in one answer.
//!
//! `None` means that the authority did not say. It never means yes, no, zero or unlimited.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The facts of one answered validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct License {
    /// Whether the authority accepts the key for the domain that was asked about.
    pub answer: Answer,
    /// The license's id: not a secret.
    pub id: Option<String>,
    /// The license's status, when it is stated apart from the answer.
    pub status: Option<Status>,
    /// The plan's name.
    pub plan: Option<String>,
    /// When the key was issued.
    pub issued_at: Option<Timestamp>,
    /// From when on the key may be used.
    pub not_before: Option<Timestamp>,
    /// When the license expires.
    pub expires_at: Option<Timestamp>,
    /// The domains that the license covers, as the authority wrote them.
    pub domains: Option<Vec<String>>,
    /// The features that the license includes.
    pub features: Option<BTreeSet<String>>,
    /// How many activations are in use.
    pub activations_used: Option<u64>,
    /// How many activations the license allows.
    pub activation_limit: Option<ActivationLimit>,
    /// The end of the grace period, when the key has been rotated away.
    pub grace_ends_at: Option<Timestamp>,
}

impl License {
    /// An answer that states nothing beside the answer itself.
    pub fn bare(answer: Answer) -> Self {
        Self {
            answer,
            id: None,
            status: None,
            plan: None,
            issued_at: None,
            not_before: None,
            expires_at: None,
            domains: None,
            features: None,
            activations_used: None,
            activation_limit: None,
            grace_ends_at: None,
        }
    }
}

/// The authority's own verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// `valid: true`. A code beside it is a worry, not a refusal.
    Accepted {
        /// The code that came with it, verbatim.
        code: Option<String>,
    },
    /// `valid: false`.
    Refused {
        /// The authority's code, verbatim.
        code: Option<String>,
        /// The authority's words.
        message: Option<String>,
    },
}

/// A license's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In force.
    Active,
    /// Switched off for now.
    Suspended,
    /// Withdrawn for good.
    Revoked,
    /// Past its end.
    Expired,
    /// A word that is not known here, verbatim.
    Other(String),
}

/// How many activations a license allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationLimit {
    /// As many as are asked for; the authority said so.
    Unlimited,
    /// This many.
    AtMost(u64),
}
