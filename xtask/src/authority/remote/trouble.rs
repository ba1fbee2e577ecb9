//! What the HTTP client's errors mean, in words.

use std::{fmt, io, time::Duration};

use jiff::SignedDuration;
use ureq::{Error, Timeout};

use super::{
    super::AskError,
    BODY_BYTES_MAX, HEADER_BYTES_MAX,
    place::{Base, Via},
};

/// Why one attempt brought no verdict.
#[derive(Debug)]
pub(super) enum Missed {
    /// Another attempt may bring one.
    Again(Trouble),
    /// None will.
    Final(AskError),
}

/// A trouble that may pass.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What happened.
    pub(super) why: String,
    /// What to do if it does not pass.
    pub(super) next: String,
}

/// Where the request went, for the words.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) base: Base,
    pub(super) via: Option<Via>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.base.url)?;
        self.via.iter().try_for_each(|via| write!(f, " through {via}"))
    }
}

impl Route {
    /// What to do when nobody answers.
    pub(super) fn see_whether_it_is_up(&self) -> String {
        let place = match &self.via {
            Some(via) => format!("whether {via} works and `url` of the authority is right"),
            None => "whether the authority is up, the network works and `url` of the authority is right".to_owned(),
        };
        format!("see {place}; then run the command again")
    }

    /// What an error of the client means. The texts of the client hold neither headers nor bodies.
    pub(super) fn missed(&self, error: Error, bounds: Bounds) -> Missed {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the client's, which grows")]
        match error {
            Error::Timeout(which) => self.again(self.timed_out(which, bounds)),
            Error::HostNotFound => self.again(format!("the name `{}` has no address", self.base.host())),
            Error::ConnectionFailed => self.again(format!("no connection to {self}")),
            Error::Io(error) => self.missed_io(&error),
            Error::ConnectProxyFailed(why) => self.proxy_refused(&why),
            Error::Rustls(error) => self.tls_failed(&error),
            Error::Tls(why) => self.tls_failed(&why),
            Error::BodyExceedsLimit(_) => Missed::Final(too_large("body", BODY_BYTES_MAX)),
            Error::LargeResponseHeader(..) => Missed::Final(too_large("header", HEADER_BYTES_MAX as u64)),
            Error::Protocol(error) => Missed::Final(AskError::Protocol {
                why: format!("{self} does not speak HTTP: {error}"),
                next: "see whether `url` of the authority in license.toml has the right port".to_owned(),
            }),
            // What is left is about the request, or cannot come from this configuration.
            other => Missed::Final(AskError::Setup {
                why: format!("the request to {self} could not be made: {other}"),
                next: "see whether `url` of the authority in license.toml is right".to_owned(),
            }),
        }
    }

    fn missed_io(&self, error: &io::Error) -> Missed {
        use io::ErrorKind as Kind;
        // A failed look-up has no kind of its own.
        if error.to_string().starts_with("failed to lookup address") {
            return self.again(format!("the name `{}` could not be resolved: {error}", self.looked_up()));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the operating system's, which grows")]
        match error.kind() {
            // TLS reports its errors so, under the text of its own.
            Kind::InvalidData => self.tls_failed(error),
            Kind::ConnectionRefused => self.again(format!("connection refused by {self}")),
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                self.again(format!("{self} closed the connection in the middle of the answer or before it"))
            }
            _ => self.again(format!("no answer from {self}: {error}")),
        }
    }

    fn timed_out(&self, which: Timeout, bounds: Bounds) -> String {
        let within =
            |bound: Duration| format!("within {:#}", SignedDuration::try_from(bound).unwrap_or(SignedDuration::MAX));
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the phases of an exchange, which are all waits for its answer"
        )]
        match which {
            Timeout::Resolve => format!("the name `{}` was not resolved {}", self.looked_up(), within(bounds.connect)),
            Timeout::Connect => format!("no connection to {self} {}", within(bounds.connect)),
            _ => format!("no answer from {self} {}", within(bounds.call)),
        }
    }

    /// The host whose name is looked up on this machine.
    fn looked_up(&self) -> &str {
        self.via.as_ref().map_or(self.base.host(), |via| via.proxy.host())
    }

    fn proxy_refused(&self, why: &str) -> Missed {
        let via = self.via.as_ref().map_or_else(|| "a proxy".to_owned(), Via::to_string);
        let refused = Trouble { why: format!("{via} did not connect: {why}"), next: self.see_whether_it_is_up() };
        // 407: the proxy wants other credentials, and would want them again (RFC 9110 §15.5.8).
        if why.contains("407") { Missed::Final(refused.unreachable()) } else { Missed::Again(refused) }
    }

    /// A certificate does not become better by asking again.
    fn tls_failed(&self, error: &dyn fmt::Display) -> Missed {
        let text = error.to_string();
        let next = if text.contains("certificate") {
            "if a company's certificate authority signed it, name its PEM file as `ca_file` of the authority in license.toml"
        } else {
            "see whether `url` of the authority in license.toml has the right port, and whether https is spoken there"
        };
        Missed::Final(
            Trouble { why: format!("no TLS connection to {self}: {text}"), next: next.to_owned() }.unreachable(),
        )
    }

    fn again(&self, why: String) -> Missed {
        Missed::Again(Trouble { why, next: self.see_whether_it_is_up() })
    }
}

impl Trouble {
    /// The trouble did not pass.
    pub(super) fn unreachable(self) -> AskError {
        AskError::Unreachable { why: self.why, next: self.next }
    }
}

/// The bounds of one attempt, for the words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connect: Duration,
    pub(super) call: Duration,
}

/// An answer that was not read to its end.
pub(super) fn too_large(part: &str, bytes_max: u64) -> AskError {
    AskError::Protocol {
        why: format!("its {part} is longer than {bytes_max} bytes, and was not read to the end"),
        next: "see whether `url` of the authority in license.toml leads to the licensing API".to_owned(),
    }
}
