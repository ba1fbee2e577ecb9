//! The authority: whoever can say whether a key may be used.
//!
//! The only modules that talk to one. They know neither `license.toml` nor the trail, and they judge
//! nothing: they bring back what was said.

use jiff::SignedDuration;
use license_core::{Domain, License, LicenseKey};

use crate::signals::Stop;

pub(crate) mod embedded;
pub(crate) mod remote;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod span;
pub(crate) mod wire;

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
