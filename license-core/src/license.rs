//! What an authority said about a key in one answer.
//!
//! `None` means that the authority did not say. It never means yes, no, zero or unlimited.

use alloc::{borrow::ToOwned, collections::BTreeSet, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding;

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
    /// What is stated of domains and is not in `domains`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains_left_out: Option<LeftOut>,
    /// The features that the license includes.
    pub features: Option<BTreeSet<String>>,
    /// How many activations are in use.
    pub activations_used: Option<u64>,
    /// How many activations the license allows.
    pub activation_limit: Option<ActivationLimit>,
    /// The end of the grace period, when the key has been rotated away.
    pub grace_ends_at: Option<Timestamp>,
    /// Whether the authority marks its answer as deprecated, as it does for a key that was rotated away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Deprecated>,
    /// What the authority states as an end, of the license or of the grace, where that cannot be read: its words, fit to be
    /// shown. It has an end then, and nobody knows when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_end: Option<String>,
}

/// Why what is stated does not say what is covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// This cannot be read: the authority's words, fit to be shown. It may be a no.
    Unreadable(String),
    /// Everything that is listed is switched off.
    SwitchedOff,
}

/// A mark of deprecation, which names no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deprecated {
    /// Since then, or from then on.
    Since(Timestamp),
    /// Without a time.
    Undated,
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
            domains_left_out: None,
            features: None,
            activations_used: None,
            activation_limit: None,
            grace_ends_at: None,
            deprecated: None,
            unreadable_end: None,
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

impl Status {
    /// Reads a status word in any case. A word that is not known is kept verbatim.
    pub fn from_word(word: &str) -> Self {
        let known = [
            ("active", Self::Active),
            ("suspended", Self::Suspended),
            ("revoked", Self::Revoked),
            ("expired", Self::Expired),
        ];
        let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map_or_else(|| Self::Other(word.to_owned()), |(_, status)| status)
    }

    /// The status as a word, fit to be kept and shown.
    pub fn to_word(&self) -> String {
        match self {
            Self::Active => "active".to_owned(),
            Self::Suspended => "suspended".to_owned(),
            Self::Revoked => "revoked".to_owned(),
            Self::Expired => "expired".to_owned(),
            Self::Other(word) => finding::clean(word),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_word_is_read_in_any_case_and_kept_when_it_is_not_known() {
        let table = [
            ("active", Status::Active),
            ("SUSPENDED", Status::Suspended),
            ("Revoked", Status::Revoked),
            ("eXpired", Status::Expired),
            ("Paused", Status::Other("Paused".to_owned())),
            ("", Status::Other(String::new())),
        ];
        for (word, status) in table {
            assert_eq!(Status::from_word(word), status, "{word}");
        }
    }

    #[test]
    fn what_was_not_stated_stays_not_stated_in_json() {
        let bare = License::bare(Answer::Accepted { code: None });
        let json = serde_json::to_string(&bare).unwrap();
        assert_eq!(serde_json::from_str::<License>(&json).unwrap(), bare);
        let short = r#"{"answer":{"accepted":{"code":null}}}"#;
        assert_eq!(serde_json::from_str::<License>(short).unwrap(), bare);
    }

    #[test]
    fn a_license_without_an_answer_is_not_a_license() {
        assert!(serde_json::from_str::<License>(r#"{"plan":"pro"}"#).is_err());
    }
}
