//! The authority: whoever can say whether a key may be used.
//!
//! The only modules that talk to one. They know neither `license.toml` nor the trail, and they judge
//! nothing: they bring back what was said.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use license_core::{Domain, License, LicenseKey, quota::Quota, rotation::CallOutcome};
use zeroize::Zeroizing;

use crate::signals::Stop;

pub(crate) mod counters;
pub(crate) mod embedded;
pub(crate) mod remote;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod span;
pub(crate) mod wire;

pub(crate) use wire::rotate::read_rotated;

/// An authority that can be asked.
#[derive(Debug)]
pub(crate) enum Authority {
    /// On this machine, without an account.
    Embedded(embedded::Embedded),
    /// Traffic Orchestrator's REST API, or a server that speaks it.
    Remote(remote::Remote),
}

impl Authority {
    /// Asks once whether the key may be used for the domain.
    pub(crate) fn validate(&self, key: &LicenseKey, domain: &Domain) -> Result<Reply, AskError> {
        match self {
            Self::Embedded(embedded) => embedded.validate(key, domain),
            Self::Remote(remote) => remote.validate(key, domain),
        }
    }

    /// Asks for a new key: exactly one request, which is never repeated here. A signal does not break a call that was
    /// sent; the order's timeout ends it.
    pub(crate) fn rotate(&self, order: &RotateOrder<'_>) -> Answered {
        match self {
            Self::Embedded(embedded) => embedded.rotate_by(order),
            Self::Remote(remote) => remote.rotate(order),
        }
    }

    /// Lists the account's licenses, as far as the authority gives them at once.
    pub(crate) fn list(&self) -> Result<Listing, AskError> {
        match self {
            Self::Embedded(embedded) => embedded.list(),
            Self::Remote(remote) => remote.list(),
        }
    }

    /// Asks how many validations the account has used. Costs none.
    pub(crate) fn usage(&self) -> Result<Quota, UsageError> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.usage()),
            Self::Remote(remote) => remote.usage(),
        }
    }

    /// The id of the license that a key belongs to, where the authority is on this machine. Others tell it when they
    /// validate, or it stands in license.toml.
    pub(crate) fn license_id_of(&self, key: &LicenseKey) -> Option<String> {
        match self {
            Self::Embedded(embedded) => embedded.license_id_of(key),
            Self::Remote(_) => None,
        }
    }
}

/// A rotation to be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RotateOrder<'a> {
    /// The license's id.
    pub(crate) license_id: &'a str,
    /// For how many days the old key is to work on.
    pub(crate) grace_days: u32,
    /// The rotation's id, sent as the idempotency key.
    pub(crate) rotation_id: &'a str,
    /// The bound on the whole call.
    pub(crate) timeout: Duration,
}

/// What came of a rotation's call. Not to be printed: it may hold the new key.
pub(crate) enum Answered {
    /// A 2xx and at least one byte of its body, as it came: seal it before anything else.
    Body(Zeroizing<Vec<u8>>),
    /// The beginning of such a body, at least one byte of it: seal it too.
    Cut(Zeroizing<Vec<u8>>),
    /// Anything else; never [`CallOutcome::Body`].
    No(CallOutcome),
}

/// A license's new key, and what was said beside it.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// The key.
    pub(crate) key: LicenseKey,
    /// The license's id, where it was stated: some authorities give a new one.
    pub(crate) license_id: Option<String>,
    /// The stated expiry: the new key's, or the end of the old key's grace. Nobody knows which.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "nobody knows whose expiry it is, so that only its words are shown")
    )]
    pub(crate) expires_at: Option<Timestamp>,
    /// The same as it was written, fit to be shown.
    pub(crate) expires_at_words: Option<String>,
}

/// The authority's list. What is not in it is not there only if it is whole.
pub(crate) struct Listing {
    /// The licenses that it shows.
    pub(crate) licenses: Vec<ListedLicense>,
    /// Whether there are more.
    pub(crate) extent: Extent,
}

/// How much of the list was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// There are further pages, or may be: how they are asked for is not known.
    MayHaveMore {
        /// What says so.
        why: String,
    },
}

/// A license in the authority's list.
pub(crate) struct ListedLicense {
    /// The license's id.
    pub(crate) license_id: String,
    /// What is shown of its key: all of it, or a masked form. Not fit to be shown.
    pub(crate) shown_key: Option<Zeroizing<String>>,
    /// The domains that it covers.
    pub(crate) domains: Vec<String>,
    /// When it was issued.
    #[cfg_attr(not(test), expect(dead_code, reason = "a change of what is listed is evidence enough"))]
    pub(crate) created_at: Option<Timestamp>,
}

/// An answered validation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// What the authority said.
    pub(crate) license: License,
    /// How far its clock is ahead of ours, where it told its time.
    pub(crate) authority_ahead: Option<SignedDuration>,
}

/// Why there is no answer. Never a refusal: a refusal is an answer. Never carries a key or a token.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum AskError {
    /// Nobody answered in time, or every attempt broke: connection refused, reset, timeout, 5xx, rate limit.
    #[error("the authority could not be asked: {why}")]
    #[diagnostic(help("{next}"))]
    Unreachable {
        /// What happened, with the number of attempts.
        why: String,
        /// What to do next.
        next: String,
    },
    /// The account's validations are used up.
    #[error("the authority's quota of validations is used up: {message}")]
    #[diagnostic(help("the key was not judged; wait for the next period or raise the plan"))]
    Quota {
        /// The authority's words.
        message: String,
    },
    /// The API token was refused, or is missing.
    #[error("the authority refused the API token: {message}")]
    #[diagnostic(help("{next}"))]
    Credential {
        /// The status and the authority's words.
        message: String,
        /// Which variable holds the token, and what to do.
        next: String,
    },
    /// The answer makes no sense: no `valid`, not JSON, too large, a redirect.
    #[error("the authority's answer cannot be used: {why}")]
    #[diagnostic(help("{next}"))]
    Protocol {
        /// What is wrong with it.
        why: String,
        /// What to do next.
        next: String,
    },
    /// The address leads to something that is not the API.
    #[error("there is no licensing API at `{url}`: {why}")]
    #[diagnostic(help("check `url` of the authority in license.toml; it ends in `/api/v1`"))]
    NotTheApi {
        /// The address, without its query.
        url: String,
        /// What was answered.
        why: String,
    },
    /// Nothing can be sent the way it is set up: the address, the proxy, a certificate file, the form of the token.
    #[error("the authority cannot be asked as it is set up: {why}")]
    #[diagnostic(help("{next}"))]
    Setup {
        /// What is wrong, and where it is set.
        why: String,
        /// What to do next.
        next: String,
    },
    /// A signal came while it was being asked.
    #[error("stopped by a signal while the authority was being asked")]
    #[diagnostic(help("nothing was decided; run the command again"))]
    Stopped(Stop),
    /// The embedded authority's own log cannot be read, written or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] crate::log::LogError),
}

impl AskError {
    /// The stable code that stands in JSON and in the trail.
    pub(crate) fn stable_code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Quota { .. } => "quota_exceeded",
            Self::Credential { .. } => "credential",
            Self::Protocol { .. } => "protocol_error",
            Self::NotTheApi { .. } => "not_the_api",
            Self::Setup { .. } => "setup",
            Self::Stopped(_) => "stopped",
            Self::Log(_) => "log",
        }
    }
}

/// Why nobody knows how many validations were used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// The authority has no address for the question.
    #[error("the authority does not tell: it has neither `/portal/stats` nor `/portal/usage`")]
    NotTold,
    /// It could not be asked, or what it answered cannot be used.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl UsageError {
    /// The stable code that stands in JSON.
    pub(crate) fn stable_code(&self) -> &'static str {
        match self {
            Self::NotTold => "not_told",
            Self::Ask(error) => error.stable_code(),
        }
    }
}
