//! Addresses in `license.toml`: https, or http to this machine.

use license_core::Domain;
use ureq::http::Uri;

/// Why an address cannot be used, and what to do.
pub(super) struct NotAnAddress {
    pub(super) why: &'static str,
    pub(super) next: &'static str,
}

/// What may follow the path of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// Paths are added to it, so nothing may follow.
    Refused,
    /// It is used as it is.
    Allowed,
}

/// Looks at an address: http or https, a host, no user, no fragment, and https unless the host is this machine.
pub(super) fn check(text: &str, query: Query) -> Result<(), NotAnAddress> {
    let no = |why, next| Err(NotAnAddress { why, next });
    let is_https = text.starts_with("https://");
    if !is_https && !text.starts_with("http://") {
        return no("does not begin with `https://`", "write the whole address, as in `https://app.example.com/path`");
    }
    if text.contains('#') {
        return no("has a fragment", "leave out `#` and what follows it");
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return no(
            "is not an address",
            "write a host after `//`, everything in ASCII and without spaces, as in `https://app.example.com/path`",
        );
    };
    let Some(authority) = uri.authority() else {
        return no("names no host", "write the whole address, as in `https://app.example.com/path`");
    };
    if authority.as_str().contains('@') {
        return no(
            "has a user or a password in it",
            "leave out everything from `//` to `@`; a secret never stands in this file",
        );
    }
    if uri.query().is_some() && query == Query::Refused {
        return no("has a query", "leave out `?` and what follows it: paths are added to this address");
    }
    let Ok(host) = Domain::parse(authority.as_str()) else {
        return no(
            "names no host that can exist",
            "write the host as in `app.example.com`, with a port if it needs one",
        );
    };
    if !is_https && !host.is_loopback() {
        return no("is not encrypted", "write `https://`; plain http is for this machine only");
    }
    Ok(())
}
