//! Traffic Orchestrator over HTTP.

use std::{sync::Arc, time::Duration};

use license_core::{Domain, LicenseKey};
use zeroize::Zeroizing;

use super::{AskError, Reply};
use crate::vars::Vars;

/// How to reach the API: values only, nothing left to read.
pub(crate) struct Access {
    /// The base address, without a trailing slash.
    pub(crate) url: String,
    /// The API token. It goes to this address's host and nowhere else.
    pub(crate) token: Option<Zeroizing<String>>,
    /// Where the token comes from, in words, for error messages.
    pub(crate) token_from: String,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// The bound on one call.
    pub(crate) timeout: Duration,
    /// How many calls may be under way at once: the pool of connections has this size.
    pub(crate) connections_max: usize,
}

/// A client of the API. Threads share it: connections are kept alive, and a rate limit that one thread meets holds all of them back.
#[derive(Debug)]
pub(crate) struct Remote {
    inner: Arc<()>,
}

impl Remote {
    /// Makes the client. Proxies are taken from the variables (`HTTPS_PROXY` and so on), never for loopback.
    pub(crate) fn new(_access: Access, _vars: &Vars) -> Result<Self, AskError> {
        unimplemented!()
    }

    /// Validates: one answered call; an attempt without a verdict is retried at most twice, within a total bound.
    pub(crate) fn validate(&self, _key: &LicenseKey, _domain: &Domain) -> Result<Reply, AskError> {
        unimplemented!()
    }
}
