//! How stores are asked over HTTP: one host, no redirects, every bound said, and errors that tell whether a request
//! may have arrived.
//!
//! Knows neither GitHub nor Vault. Nothing is repeated here: a store reports, and its caller decides.

use std::{fmt, io, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use ureq::{
    Agent, Body, Error, Timeout,
    http::{HeaderValue, Method, Request, Response, header},
};
use zeroize::Zeroizing;

use super::held::{FaultKind, StoreFault, Written};
use crate::{
    agent::{self, CONNECT_SECS_MAX, HEADER_BYTES_MAX},
    authority::{
        AskError,
        remote::place::{Base, Via},
        wire::quote::Secrets,
    },
    vars::Vars,
};

/// The bound on one request that a store has when nobody says otherwise, in seconds.
pub(crate) const CALL_SECS: u64 = 20;

/// How to reach a store's API: values only, nothing left to read.
pub(super) struct Access {
    /// What is asked, in words that begin a sentence: "GitHub".
    pub(super) whom: &'static str,
    /// The base address.
    pub(super) url: String,
    /// The token. It goes to this address's host and nowhere else.
    pub(super) token: Zeroizing<String>,
    /// The header that carries it.
    pub(super) token_header: header::HeaderName,
    /// What stands before the token in that header.
    pub(super) token_prefix: &'static str,
    /// Where the token comes from, in words: "the variable `GH_SECRETS_TOKEN`".
    pub(super) token_from: String,
    /// Headers that every request has.
    pub(super) headers: Vec<(&'static str, String)>,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(super) ca_pem: Option<Vec<u8>>,
    /// The bound on one request.
    pub(super) timeout: Duration,
    /// An answer's body is read so far, in bytes.
    pub(super) body_bytes_max: u64,
}

/// A client of one store's API.
pub(super) struct Api {
    agent: Agent,
    base: Base,
    via: Option<Via>,
    whom: &'static str,
    token: Zeroizing<String>,
    token_from: String,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    timeout: Duration,
    body_bytes_max: u64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Missed {
    /// The request did not leave this machine whole: no name, no connection, no TLS.
    NotSent(StoreFault),
    /// It may have arrived, and may have been executed.
    Unclear(StoreFault),
}

/// What to do about a write of which nobody knows whether it was done.
pub(super) const MAY_BE_WRITTEN: &str =
    "it may have been written all the same: run the command again, which looks before it writes";

impl Missed {
    /// The fault, for a request that changes nothing.
    pub(super) fn fault(self) -> StoreFault {
        match self {
            Self::NotSent(fault) | Self::Unclear(fault) => fault,
        }
    }

    /// What it means for a request that writes.
    pub(super) fn written(self) -> Written {
        match self {
            Self::NotSent(fault) => Written::Failed(fault),
            Self::Unclear(mut fault) => {
                MAY_BE_WRITTEN.clone_into(&mut fault.next);
                Written::Unknown(fault)
            }
        }
    }
}

impl Api {
    /// It wants to be left alone until a time, or, where it names none, for some of these units.
    pub(super) fn limited(&self, until: Option<String>, unit: &str, words: &str) -> StoreFault {
        match until {
            Some(until) => self.fault(
                FaultKind::Unreachable,
                &format!("wants no further request before {until}{words}"),
                format!("run the command again after that: {until}"),
            ),
            None => self.fault(
                FaultKind::Unreachable,
                &format!("wants no further request for some {unit}{words}"),
                format!("run the command again in some {unit}"),
            ),
        }
    }

    /// Makes the client; nothing is sent yet. Proxies are taken from the variables, never for loopback.
    pub(super) fn new(access: Access, vars: &Vars) -> Result<Self, StoreFault> {
        let whom = access.whom;
        let wrong = |next: &str| {
            let next = next.to_owned();
            move |error: AskError| {
                // The error's own words are about the authority; its reason is what counts here.
                let why = if let AskError::Setup { why, .. } = error { why } else { error.to_string() };
                setup(format!("{whom} cannot be asked as it is set up: {why}"), next)
            }
        };
        let base = Base::parse(&access.url)
            .map_err(wrong("write `url` of the store as `https://HOST/PATH`, without a user name and a query"))?;
        let via = Via::from(vars, &base)
            .map_err(wrong("name the proxy as `http://HOST:PORT`, or name the store's host in `NO_PROXY`"))?;
        let agent = agent::new(&base, via.as_ref(), access.ca_pem.as_deref(), access.timeout)
            .map_err(wrong("name a file with certificates in PEM form as `ca_file` of the store"))?;
        let mut headers = vec![(access.token_header.clone(), sensitive(&access)?)];
        for (name, value) in &access.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                setup(
                    format!(
                        "{whom} cannot be asked as it is set up: `{name}` would have a character that no header has"
                    ),
                    "write it with printable ASCII characters only".to_owned(),
                )
            })?;
            headers.push((header::HeaderName::from_static(name), value));
        }
        let Access { token, token_from, timeout, body_bytes_max, .. } = access;
        Ok(Self { agent, base, via, whom, token, token_from, headers, timeout, body_bytes_max })
    }

    /// Asks for a path, which begins with a slash and is encoded already.
    pub(super) fn get(&self, path: &str) -> Result<Reply<'_>, StoreFault> {
        self.send(Method::GET, path, &[]).map_err(Missed::fault)
    }

    /// Sends JSON to a path, once.
    pub(super) fn send(&self, method: Method, path: &str, body: &[u8]) -> Result<Reply<'_>, Missed> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = if body.is_empty() {
            self.agent.run(request.body(()).map_err(|error| self.missed(error.into()))?)
        } else {
            let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
            self.agent.run(request.map_err(|error| self.missed(error.into()))?)
        };
        Ok(Reply { response: sent.map_err(|error| self.missed(error))?, api: self })
    }

    /// A fault of this API.
    pub(super) fn fault(&self, kind: FaultKind, what: &str, next: impl Into<String>) -> StoreFault {
        StoreFault { kind, message: format!("{} {what}", self.whom), next: next.into() }
    }

    /// Text from outside, fit to be shown.
    pub(super) fn quote(&self, text: &str, secrets: &[&str]) -> String {
        Secrets::of(secrets.iter().copied().chain([self.token.as_str()])).quote(text)
    }

    /// Where the token comes from.
    pub(super) fn token_from(&self) -> &str {
        &self.token_from
    }

    /// The base address.
    pub(super) fn url(&self) -> &str {
        &self.base.url
    }

    fn missed(&self, error: Error) -> Missed {
        let fault = |what: String| StoreFault {
            kind: FaultKind::Unreachable,
            message: self.quote(&what, &[]),
            next: "see whether it is up, the network works and `url` of the store is right; then run the command again"
                .to_owned(),
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the client's, which grows")]
        match error {
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => Missed::NotSent(fault(format!(
                "no connection to {self} within {:#}",
                span(self.timeout.min(Duration::from_secs(CONNECT_SECS_MAX)))
            ))),
            Error::Timeout(_) => {
                Missed::Unclear(fault(format!("no answer from {self} within {:#}", span(self.timeout))))
            }
            Error::HostNotFound => Missed::NotSent(fault(format!("the name `{}` has no address", self.base.host()))),
            Error::ConnectionFailed => Missed::NotSent(fault(format!("no connection to {self}"))),
            Error::ConnectProxyFailed(why) => Missed::NotSent(fault(format!("no connection to {self}: {why}"))),
            Error::Io(error) => self.missed_io(&error, fault),
            Error::BodyExceedsLimit(_) => Missed::Unclear(self.too_large("body", self.body_bytes_max)),
            Error::LargeResponseHeader(..) => Missed::Unclear(self.too_large("header", HEADER_BYTES_MAX as u64)),
            Error::Http(_) | Error::BadUri(_) | Error::RequireHttpsOnly(_) | Error::InvalidProxyUrl => {
                Missed::NotSent(setup(
                    format!("the request to {self} could not be made"),
                    "see whether `url` of the store in license.toml is right".to_owned(),
                ))
            }
            other => Missed::Unclear(fault(format!("no answer that can be read from {self}: {other}"))),
        }
    }

    fn missed_io(&self, error: &io::Error, fault: impl Fn(String) -> StoreFault) -> Missed {
        use io::ErrorKind as Kind;
        let text = error.to_string();
        // A failed look-up has no kind of its own.
        if text.starts_with("failed to lookup address") {
            return Missed::NotSent(fault(format!("the name of {self} could not be resolved: {text}")));
        }
        // Certificates are looked at in the handshake, before anything of ours is sent.
        if text.contains("invalid peer certificate") {
            let mut fault = fault(format!("no TLS connection to {self}: {text}"));
            "if a company's certificate authority signed it, name its PEM file as `ca_file` of the store in license.toml"
                .clone_into(&mut fault.next);
            return Missed::NotSent(fault);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the operating system's, which grows")]
        match error.kind() {
            Kind::ConnectionRefused => Missed::NotSent(fault(format!("connection refused by {self}"))),
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                Missed::Unclear(fault(format!("{self} closed the connection in the middle of the answer or before it")))
            }
            _ => Missed::Unclear(fault(format!("no answer from {self}: {text}"))),
        }
    }

    fn too_large(&self, part: &str, bytes_max: u64) -> StoreFault {
        StoreFault {
            kind: FaultKind::Malformed,
            message: format!(
                "the answer of {self} has a {part} of more than {bytes_max} bytes, and was not read to the end"
            ),
            next: "see whether `url` of the store in license.toml leads to its API".to_owned(),
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.base.url)?;
        self.via.iter().try_for_each(|via| write!(f, " through {via}"))
    }
}

/// An answer, of which the status and the headers have been read.
pub(super) struct Reply<'a> {
    response: Response<Body>,
    api: &'a Api,
}

impl Reply<'_> {
    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The server's clock when it answered: `Date`.
    pub(super) fn date(&self) -> Option<Timestamp> {
        Timestamp::try_from(httpdate::parse_http_date(self.header("date")?.trim()).ok()?).ok()
    }

    /// When it wants to be asked again, in words, if it says so: `Retry-After`, or the end of a rate limit that is used up.
    pub(super) fn again(&self) -> Option<String> {
        if let Some(after) = self.header("retry-after") {
            let Ok(secs) = after.trim().parse::<u32>() else { return Some(self.api.quote(after, &[])) };
            let at = self.date().and_then(|now| now.checked_add(SignedDuration::from_secs(secs.into())).ok());
            return Some(at.map_or_else(|| format!("{secs} seconds from now"), |at| format!("{at}")));
        }
        let none_left = self.header("x-ratelimit-remaining").is_some_and(|left| left.trim() == "0");
        // On a 429 the count does not matter; any other answer carries the headers as well.
        let limited = none_left || self.status() == 429;
        let reset = self.header("x-ratelimit-reset").filter(|_| limited)?.trim().parse().ok()?;
        Some(Timestamp::from_second(reset).ok()?.to_string())
    }

    /// Where a redirect leads, fit to be shown.
    pub(super) fn location(&self) -> String {
        self.header("location").map_or_else(|| "nowhere".to_owned(), |to| format!("`{}`", self.api.quote(to, &[])))
    }

    /// The body, up to its limit.
    pub(super) fn body(&mut self) -> Result<Zeroizing<Vec<u8>>, StoreFault> {
        let limit = self.api.body_bytes_max;
        let read = self.response.body_mut().with_config().limit(limit).read_to_vec();
        read.map(Zeroizing::new).map_err(|error| self.api.missed(error).fault())
    }

    /// The body as JSON of a known shape. Neither its text nor a value of it is in the error.
    pub(super) fn json<T: DeserializeOwned>(&mut self, what: &str) -> Result<T, StoreFault> {
        let body = self.body()?;
        serde_json::from_slice(&body).map_err(|error| {
            self.api.fault(
                FaultKind::Malformed,
                &format!(
                    "answered {what} in a shape that is not known (line {}, column {})",
                    error.line(),
                    error.column()
                ),
                "see whether `url` of the store in license.toml leads to its API",
            )
        })
    }
}

/// Joins segments to a path, each encoded so that it stays one segment.
pub(super) fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    path
}

/// A digit below 16.
fn hex(digit: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(digit & 15)])
}

/// Whether a text may be one segment of a path. Dots would be taken for directories, encoded or not.
pub(super) fn is_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.chars().any(char::is_control)
}

/// A fault of what is configured.
pub(super) fn setup(message: String, next: String) -> StoreFault {
    StoreFault { kind: FaultKind::Setup, message, next }
}

fn span(bound: Duration) -> SignedDuration {
    SignedDuration::try_from(bound).unwrap_or(SignedDuration::MAX)
}

/// The token as a header that is not shown.
fn sensitive(access: &Access) -> Result<HeaderValue, StoreFault> {
    let text = Zeroizing::new(format!("{}{}", access.token_prefix, *access.token));
    let mut value =
        HeaderValue::from_str(&text).ok().filter(|_| !access.token.is_empty()).ok_or_else(|| StoreFault {
            kind: FaultKind::Credential,
            message: format!(
                "the token of {} is empty, or has a line break or another character that no token has",
                access.token_from
            ),
            next: format!("set {} to the token alone", access.token_from),
        })?;
    value.set_sensitive(true);
    Ok(value)
}
