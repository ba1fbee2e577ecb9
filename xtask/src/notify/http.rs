//! How a sink is told over HTTP: one address, no redirects, every bound said.
//!
//! The address itself may be the secret, so that nothing but its host is ever shown.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use jiff::Timestamp;
use ureq::{
    Agent, Error, Timeout,
    http::{HeaderValue, Request, Uri, header},
};
use zeroize::Zeroizing;

use super::{Left, Missed, Tried, Unusable, unless_stopped};
use crate::{
    agent::{self, CONNECT_SECS_MAX},
    authority::{
        AskError,
        remote::place::{Base, Via, stated_port},
        wire::quote::Secrets,
    },
    signals::Signals,
    vars::Vars,
};

/// Where a sink is, and how it may be reached: values only.
pub(crate) struct Target {
    /// The whole address. It may be a secret.
    pub(crate) url: Zeroizing<String>,
    /// Where the address is from, in words: "the environment variable `SLACK_WEBHOOK_URL`".
    pub(crate) from: String,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// The bound on one try.
    pub(crate) timeout: Duration,
    /// The clock.
    pub(crate) clock: fn() -> Timestamp,
}

/// A sink behind an address.
pub(super) struct Post {
    agent: Agent,
    url: Zeroizing<String>,
    /// The host, and the proxy that leads there, in words.
    whom: String,
    host: String,
    from: String,
    /// What must not be shown.
    secrets: Vec<Zeroizing<String>>,
    timeout: Duration,
    clock: fn() -> Timestamp,
}

/// Whether the body of an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// It is read, up to [`ANSWER_BYTES_MAX`].
    Read,
    /// It is not even read.
    Ignored,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    /// Whether the status says that all is well.
    pub(super) fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    /// The body as text; not fit to be shown.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer's body is read so far, in bytes: what is said in it is short.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// How much of an answer's text is shown, in characters.
const SHOWN_CHARS_MAX: usize = 120;
/// Parts of an address that are shorter are words, and no secrets. In bytes.
const SECRET_PART_BYTES_MIN: usize = 12;
/// What a try may take beyond its timeout.
const MARGIN: Duration = Duration::from_secs(1);
/// The statuses below 500 that pass: the request timed out, came too early, or is one of too many.
const PASSING: [u16; 3] = [408, 425, 429];

impl Post {
    /// Makes the client; nothing is sent yet. Proxies are taken from the variables, never for loopback.
    pub(super) fn open(target: Target, vars: &Vars) -> Result<Self, Unusable> {
        let Target { url, from, ca_pem, timeout, clock } = target;
        let base = base(&url).map_err(|what| Unusable {
            why: format!("the address in {from} {what}"),
            next: "write a whole https address there, without a user name and a fragment".to_owned(),
        })?;
        let via = Via::from(vars, &base).map_err(|error| Unusable {
            why: reason(error),
            next: format!("name the proxy as `http://HOST:PORT`, or name `{}` in `NO_PROXY`", base.host()),
        })?;
        let agent = agent::new(&base, via.as_ref(), ca_pem.as_deref(), timeout).map_err(|error| Unusable {
            why: reason(error),
            next: "name a file with certificates in PEM form as `ca_file` of the sink".to_owned(),
        })?;
        let whom = via.iter().fold(format!("`{}`", base.host()), |whom, via| format!("{whom} through {via}"));
        let host = base.host().to_owned();
        let secrets = parts(&url);
        Ok(Self { agent, url, whom, host, from, secrets, timeout, clock })
    }

    /// Hides one more text in whatever is shown.
    pub(super) fn hiding(mut self, secret: &str) -> Self {
        self.secrets.push(Zeroizing::new(secret.to_owned()));
        self
    }

    /// The longest that a try may take.
    pub(super) fn try_max(&self) -> Duration {
        self.timeout + MARGIN
    }

    /// The clock.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whom it tells, in words.
    pub(super) fn whom(&self) -> &str {
        &self.whom
    }

    /// Where the address is from, in words.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    /// Sends a body once. An error is the end of the try.
    pub(super) fn send(
        &self,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
        read: Body,
        signals: &Signals,
    ) -> Result<Answer, Tried> {
        let mut request = Request::post(self.url.as_str());
        for (name, value) in headers {
            let Ok(value) = HeaderValue::from_str(&value) else { return Err(self.not_made()) };
            request = request.header(name, value);
        }
        let Ok(request) = request.header(header::ACCEPT, "*/*").body(body) else { return Err(self.not_made()) };
        let (agent, now) = (self.agent.clone(), self.clock);
        match unless_stopped(self.try_max(), signals, move || call(&agent, request, read, now)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.missed(&error)),
            Err(Left::Late) => Err(perhaps(self.no_answer())),
            Err(Left::Stopped) => {
                Err(Tried::Refused(Missed::perhaps("a signal came before it was accepted", "the next run tells it")))
            }
        }
    }

    /// What an answer means that does not accept.
    pub(super) fn refused(&self, answer: &Answer) -> Tried {
        let status = answer.status;
        let said = self.quote(&answer.text());
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let why = format!("{} answered {status}{said}", self.whom);
        if status >= 500 {
            // It may have done what it was told, and stumbled afterwards.
            return Tried::Again(Missed::perhaps(why, SEE_WHETHER_IT_IS_UP), answer.retry_after);
        }
        if PASSING.contains(&status) {
            return Tried::Again(Missed::new(why, SEE_WHETHER_IT_IS_UP), answer.retry_after);
        }
        let next = match status {
            300..=399 => format!("redirects are not followed: write the final address into {}", self.from),
            401 | 403 | 404 | 410 => format!(
                "see whether the address in {} and its secret are still the right ones: they may have been taken back",
                self.from
            ),
            _ => "see what the sink takes, and whether it is of that kind".to_owned(),
        };
        Tried::Refused(Missed::new(why, next))
    }

    /// Text from outside, fit to be shown: without the address, short, on one line.
    fn quote(&self, text: &str) -> String {
        let quoted = Secrets::of(self.secrets.iter().map(|secret| secret.as_str())).quote(text);
        super::words::cut(&quoted, SHOWN_CHARS_MAX)
    }

    fn no_answer(&self) -> String {
        format!("no answer from {} within {} s", self.whom, self.timeout.as_secs())
    }

    fn not_made(&self) -> Tried {
        let next = format!("see whether the address in {} is right", self.from);
        Tried::Refused(Missed::new(format!("the request to {} could not be made", self.whom), next))
    }

    fn missed(&self, error: &Error) -> Tried {
        let whom = &self.whom;
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the client's, which grows")]
        match error {
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                let secs = self.timeout.as_secs().min(CONNECT_SECS_MAX);
                again(format!("no connection to {whom} within {secs} s"))
            }
            Error::Timeout(_) => perhaps(self.no_answer()),
            Error::HostNotFound => again(format!("the name `{}` has no address", self.host)),
            Error::ConnectionFailed => again(format!("no connection to {whom}")),
            Error::ConnectProxyFailed(why) => again(format!("no connection to {whom}: {}", self.quote(why))),
            Error::Io(error) => self.missed_io(error),
            Error::Rustls(error) => self.no_tls(&error.to_string()),
            Error::Tls(why) => self.no_tls(why),
            Error::LargeResponseHeader(..) => Tried::Refused(Missed::perhaps(
                format!("the answer of {whom} has a header that is too long"),
                format!("see whether the address in {} is right", self.from),
            )),
            Error::Http(_) | Error::BadUri(_) | Error::RequireHttpsOnly(_) | Error::InvalidProxyUrl => self.not_made(),
            other => perhaps(format!("no answer that can be read from {whom}: {}", self.quote(&other.to_string()))),
        }
    }

    fn missed_io(&self, error: &io::Error) -> Tried {
        use io::ErrorKind as Kind;
        let (whom, text) = (&self.whom, self.quote(&error.to_string()));
        // A failed look-up has no kind of its own.
        if text.starts_with("failed to lookup address") {
            return again(format!("the name `{}` could not be resolved: {text}", self.host));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the operating system's, which grows")]
        match error.kind() {
            // TLS reports its errors so, under the text of its own.
            Kind::InvalidData => self.no_tls(&text),
            Kind::ConnectionRefused => again(format!("connection refused by {whom}")),
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                perhaps(format!("{whom} closed the connection in the middle of the answer or before it"))
            }
            _ => perhaps(format!("no answer from {whom}: {text}")),
        }
    }

    /// A certificate does not become better by asking again.
    fn no_tls(&self, why: &str) -> Tried {
        let next = "if a company's certificate authority signed it, name its PEM file as `ca_file` of the sink";
        Tried::Refused(Missed::new(format!("no TLS connection to {}: {}", self.whom, self.quote(why)), next))
    }
}

/// Nothing came to it.
fn again(why: String) -> Tried {
    Tried::Again(Missed::new(why, SEE_WHETHER_IT_IS_UP), None)
}

/// It may have got what it was told.
fn perhaps(why: String) -> Tried {
    Tried::Again(Missed::perhaps(why, SEE_WHETHER_IT_IS_UP), None)
}

const SEE_WHETHER_IT_IS_UP: &str = "see whether it is up and the network works; a later run tells it";

fn call(agent: &Agent, request: Request<Vec<u8>>, read: Body, now: fn() -> Timestamp) -> Result<Answer, Error> {
    let mut response = agent.run(request)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| pause(text, now()));
    let mut body = Vec::new();
    if read == Body::Read {
        let whole = response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        // The status of a refusal is enough; only what accepts is read.
        if (200..=299).contains(&status) {
            whole?;
        }
    }
    Ok(Answer { status, retry_after, body })
}

/// What `Retry-After` asks for: seconds, or a date.
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// The host of an address, and whether it may be told. The error completes "the address …", and has nothing of it.
fn base(url: &str) -> Result<Base, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is none")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err("is not a whole one") };
    if authority.as_str().contains('@') || url.contains('#') {
        return Err("has a user name or a fragment");
    }
    if stated_port(authority).is_err() {
        return Err("has a port that is no number up to 65535");
    }
    Base::parse(&format!("{scheme}://{authority}")).map_err(|_| "is neither https nor on this machine")
}

/// What of an address must not be shown: its path and query as a whole, and every part of it that could be a secret.
fn parts(url: &str) -> Vec<Zeroizing<String>> {
    let rest = url.splitn(4, '/').nth(3).unwrap_or_default();
    let single = rest.split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET_PART_BYTES_MIN);
    [url, rest].into_iter().chain(single).map(|part| Zeroizing::new(part.to_owned())).collect()
}

/// The error's own words are about the authority; its reason is what counts here.
fn reason(error: AskError) -> String {
    if let AskError::Setup { why, .. } = error { why } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine_and_is_not_repeated() {
        for url in
            ["https://hooks.example.com/T/B/s3cret", "https://h.example:8443/x?token=s3cret", "http://127.0.0.1:1/"]
        {
            assert!(base(url).is_ok(), "{url}");
        }
        for url in [
            "http://hooks.example.com/T/B/s3cret",
            "http://a.localhost/s3cret",
            "https://user:s3cret@example.com/",
            "https://example.com/#s3cret",
            "ftp://example.com/s3cret",
            "http://localhost:99999/s3cret",
            "https://example.com:x/s3cret",
            "s3cret",
            "/s3cret",
            " https://example.com/s3cret\n",
            "",
        ] {
            assert!(!base(url).unwrap_err().contains("s3cret"), "{url}");
        }
    }

    #[test]
    fn every_part_of_an_address_that_could_be_a_secret_is_hidden() {
        let parts = parts("https://hooks.example.com/services/T0123456789AB/x?token=abcdefghijkl");
        let parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        assert!(parts.contains(&"T0123456789AB") && parts.contains(&"abcdefghijkl"), "{parts:?}");
        assert!(parts.contains(&"services/T0123456789AB/x?token=abcdefghijkl"), "{parts:?}");
        assert!(!parts.contains(&"services"), "{parts:?}");
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        for (text, secs) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 01 Jan 2030 00:00:09 GMT", Some(9)),
            ("Mon, 31 Dec 2029 23:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(pause(text, now), secs.map(Duration::from_secs), "{text}");
        }
    }
}
