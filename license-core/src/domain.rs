//! Domains: what a deploy serves, and what a license covers.
//!
//! Both are parsed once. Matching is on label boundaries, never by substring or suffix: `app.com` covers
//! neither `notapp.com` nor `app.com.evil.example`.

use alloc::{borrow::ToOwned, format, string::String};
use core::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A host with an optional port, in canonical form: lower case, ASCII (IDNA), no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Domain {
    host: String,
    port: Option<u16>,
}

impl Domain {
    /// Parses `host[:port]`.
    pub fn parse(_text: &str) -> Result<Self, DomainError> {
        unimplemented!()
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the host is this machine: `localhost`, a name under it, or a loopback address.
    pub fn is_loopback(&self) -> bool {
        unimplemented!()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        alloc::format!("{domain}")
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        Self::parse(&text)
    }
}

/// What a license says it covers: a domain, or `*.` and a domain for exactly one more label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainPattern;

impl DomainPattern {
    /// Parses `host[:port]` or `*.host[:port]`.
    pub fn parse(_text: &str) -> Result<Self, DomainError> {
        unimplemented!()
    }

    /// Whether the license covers the domain. A port in the demand is compared only if the pattern states one.
    pub fn covers(&self, _domain: &Domain) -> bool {
        unimplemented!()
    }
}

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
}
