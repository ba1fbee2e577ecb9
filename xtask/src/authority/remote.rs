//! Traffic Orchestrator over HTTP.
//!
//! Sends, waits and retries; what an answer means is for [`wire`] to say. Nothing is logged here, and no redirect is
//! followed: the token goes to one host only.

use std::{
    fmt,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use license_core::{Domain, LicenseKey, quota::Quota};
use ureq::{
    Agent, Body,
    config::Config,
    http::{HeaderValue, Response, header},
    tls::TlsConfig,
};
use zeroize::Zeroizing;

use super::{
    AskError, Listing, Reply, UsageError,
    wire::{self, Answer, Headers, NoVerdict, Secrets, rotate::Dialect, usage::NoUsage},
};
use crate::{
    signals::{Signals, Stop},
    vars::Vars,
};

mod pace;
pub(crate) mod place;
pub(crate) mod roots;
mod rotate;
#[cfg(test)]
mod tests;
mod trouble;

use pace::Pace;
use place::{Base, Reach, Via};
use trouble::{Bounds, Missed, Route, Trouble};

/// A validation is tried so often: once, and twice more when an attempt brought no verdict.
const ATTEMPTS_MAX: u32 = 3;
/// All attempts of a validation and the waits between them take no longer, in seconds, unless one call may.
const TOTAL_SECS_MAX: u64 = 60;
/// The longest bound on one call that is taken seriously, in seconds.
const CALL_SECS_MAX: u64 = 60 * 60;
/// Looking up the name, and then connecting, take no longer each, in seconds.
const CONNECT_SECS_MAX: u64 = 5;
/// The first wait between attempts is at most so long, in milliseconds; each further one is at most twice the one before.
const BACKOFF_MILLIS_FIRST: u64 = 200;
/// An answer's body is read so far, in bytes.
const BODY_BYTES_MAX: u64 = 256 * 1024;
/// The list of licenses is read so far, in bytes.
const LIST_BYTES_MAX: u64 = 1024 * 1024;
/// The question for the usage takes no longer, in seconds: it is asked once, beside what matters.
const USAGE_SECS_MAX: u64 = 5;
/// An answer's header is read so far, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// A connection that was idle for longer is not used again, in seconds: many servers close theirs after five.
const IDLE_SECS_MAX: u64 = 4;
/// How often the watch over the signals looks whether the client is still there, in seconds.
const WATCH_SECS: u64 = 1;

/// How to reach the API: values only, nothing left to read.
pub(crate) struct Access {
    /// The base address, without a trailing slash.
    pub(crate) url: String,
    /// The API token. It goes to this address's host and nowhere else.
    pub(crate) token: Option<Zeroizing<String>>,
    /// Where the token comes from, in words, for error messages: "the variable `TO_API_KEY`". Not used without a token.
    pub(crate) token_from: String,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// How its rotation is spoken.
    pub(crate) dialect: Dialect,
    /// The bound on one call.
    pub(crate) timeout: Duration,
    /// How many threads ask at once: the pool of connections has this size.
    pub(crate) connections_max: usize,
    /// The clock.
    pub(crate) clock: fn() -> Timestamp,
}

/// A client of the API. Threads share it: connections are kept alive, and a rate limit that one thread meets holds all of them back.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Arc<Client>,
}

struct Client {
    agent: Agent,
    route: Route,
    endpoint: String,
    token: Option<Token>,
    token_from: String,
    dialect: Dialect,
    /// Kept for the agent of a rotation, which is made when it is needed.
    ca_pem: Option<Vec<u8>>,
    bounds: Bounds,
    /// The bound on a whole validation.
    total: Duration,
    pace: Pace,
    signals: Option<Signals>,
    clock: fn() -> Timestamp,
}

struct Token {
    /// Kept to recognize it in what the server says.
    text: Zeroizing<String>,
    /// `Bearer` and the token; marked as not to be shown.
    header: HeaderValue,
}

impl Remote {
    /// Makes the client; nothing is sent yet. Proxies are taken from the variables (`HTTPS_PROXY` and so on), never for
    /// loopback. A signal ends waits and calls under way.
    pub(crate) fn new(access: Access, vars: &Vars, signals: Option<Signals>) -> Result<Self, AskError> {
        let base = Base::parse(&access.url)?;
        let via = Via::from(vars, &base)?;
        let route = Route { base, via };
        let bounds = bounds(access.timeout);
        let agent = config(&route, bounds, access.connections_max, access.ca_pem.as_deref())?.new_agent();
        let client = Arc::new(Client {
            agent,
            endpoint: format!("{}{}", route.base.url, wire::VALIDATE_PATH),
            token: access.token.map(|text| Token::new(text, &access.token_from)).transpose()?,
            token_from: access.token_from,
            dialect: access.dialect,
            ca_pem: access.ca_pem,
            total: total(bounds.call),
            bounds,
            route,
            pace: Pace::default(),
            signals,
            clock: access.clock,
        });
        break_calls_on_a_signal(&client);
        Ok(Self { client })
    }

    /// Validates: one answered call; an attempt without a verdict is retried at most twice, within a total bound.
    pub(crate) fn validate(&self, key: &LicenseKey, domain: &Domain) -> Result<Reply, AskError> {
        let client = &*self.client;
        let body = wire::validate_body(key, domain);
        let token = client.token.as_ref().map(|token| token.text.as_str());
        let secrets = Secrets::of(token.into_iter().chain([key.reveal()]));
        client.until_answered(|deadline| client.attempt(&body, &secrets, deadline))
    }

    /// Lists the licenses. Asking changes nothing, so it is retried like a validation.
    pub(crate) fn list(&self) -> Result<Listing, AskError> {
        let client = &*self.client;
        client.until_answered(|deadline| client.attempt_list(deadline))
    }

    /// Asks how many validations the account has used: at one address, and at a second where the first is not there.
    /// Neither is tried again: nothing depends on the answer.
    pub(crate) fn usage(&self) -> Result<Quota, UsageError> {
        let client = &*self.client;
        let bounds = bounds(client.bounds.call.min(Duration::from_secs(USAGE_SECS_MAX)));
        let deadline = Instant::now() + bounds.call;
        for path in wire::usage::USAGE_PATHS {
            if let Some(wait) = client.pace.left() {
                return Err(client.held_back(wait, None).into());
            }
            if let Some(quota) = client.attempt_usage(path, bounds, deadline)? {
                return Ok(quota);
            }
        }
        Err(UsageError::NotTold)
    }
}

/// What a look got.
struct Got {
    status: u16,
    headers: Headers,
    body: Zeroizing<Vec<u8>>,
}

impl Got {
    fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, body: &self.body }
    }
}

/// The attempts so far, none of which brought a verdict.
struct Tried {
    attempts: u32,
    trouble: Trouble,
}

impl Client {
    /// Attempts until one is answered, within their number and the total bound.
    fn until_answered<T>(&self, attempt: impl Fn(Instant) -> Result<T, Missed>) -> Result<T, AskError> {
        let deadline = Instant::now() + self.total;
        let mut before = None;
        // Ends with the last attempt at the latest.
        loop {
            self.wait_for_the_rate_limit(deadline, before.as_ref())?;
            let trouble = match attempt(deadline) {
                Ok(answered) => return Ok(answered),
                Err(Missed::Final(error)) => return Err(self.stopped().map_or(error, AskError::Stopped)),
                Err(Missed::Again(trouble)) => trouble,
            };
            let tried = Tried { attempts: before.map_or(1, |before: Tried| before.attempts + 1), trouble };
            self.wait(tried.pause().min(left(deadline)))?;
            if tried.attempts == ATTEMPTS_MAX || left(deadline).is_zero() {
                return Err(AskError::Unreachable { why: tried.words(), next: tried.trouble.next });
            }
            before = Some(tried);
        }
    }

    /// One look at the list, and what came of it.
    fn attempt_list(&self, deadline: Instant) -> Result<Listing, Missed> {
        let got = self.get(wire::rotate::LIST_PATH, LIST_BYTES_MAX, self.bounds, deadline)?;
        let secrets = Secrets::of(self.token.as_ref().map(|token| token.text.as_str()));
        let listed = wire::rotate::list(&got.answer(), &secrets);
        let now = (self.clock)();
        let wait = match &listed {
            Err(NoVerdict::Again { .. }) => got.headers.wait_after_failure(now),
            Ok(_) | Err(_) => got.headers.wait_after_answer(now),
        };
        if let Some(wait) = wait {
            self.pace.hold(wait);
        }
        listed.map_err(|no_verdict| self.without_verdict(no_verdict))
    }

    /// One look at the usage; nothing where the authority has no such address.
    fn attempt_usage(&self, path: &str, bounds: Bounds, deadline: Instant) -> Result<Option<Quota>, AskError> {
        let error = |missed| {
            let error = match missed {
                Missed::Again(trouble) => trouble.unreachable(),
                Missed::Final(error) => error,
            };
            self.stopped().map_or(error, AskError::Stopped)
        };
        let got = self.get(path, BODY_BYTES_MAX, bounds, deadline).map_err(error)?;
        let secrets = Secrets::of(self.token.as_ref().map(|token| token.text.as_str()));
        match wire::usage::usage(&got.answer(), &secrets) {
            Ok(quota) => Ok(Some(quota)),
            Err(NoUsage::NotThere) => Ok(None),
            Err(NoUsage::No(no)) => Err(error(self.without_verdict(no))),
        }
    }

    /// One look at something, with the token and a bound.
    fn get(&self, path: &str, bytes_max: u64, bounds: Bounds, deadline: Instant) -> Result<Got, Missed> {
        let missed = |error| {
            if matches!(error, ureq::Error::BodyExceedsLimit(_)) {
                return Missed::Final(trouble::too_large("body", bytes_max));
            }
            self.route.missed(error, bounds)
        };
        let timeout = left(deadline).min(bounds.call);
        let url = format!("{}{path}", self.route.base.url);
        let mut request = self.agent.get(url).config().timeout_global(Some(timeout)).build();
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header.clone());
        }
        let mut response = request.call().map_err(missed)?;
        let headers = Headers::read(|name| response.headers().get(name)?.to_str().ok());
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(bytes_max).read_to_vec().map_err(missed)?;
        Ok(Got { status, headers, body: Zeroizing::new(body) })
    }

    /// One request, and what came of it.
    fn attempt(&self, body: &[u8], secrets: &Secrets<'_>, deadline: Instant) -> Result<Reply, Missed> {
        let missed = |error| self.route.missed(error, self.bounds);
        let mut response = self.send(body, left(deadline)).map_err(missed)?;
        let headers = Headers::read(|name| response.headers().get(name)?.to_str().ok());
        let now = (self.clock)();
        let status = response.status().as_u16();
        let body = read(&mut response).map_err(missed)?;
        let classified = wire::classify(&Answer { status, headers: &headers, body: &body }, secrets);
        let wait = match &classified {
            Err(NoVerdict::Again { .. }) => headers.wait_after_failure(now),
            Ok(_) | Err(_) => headers.wait_after_answer(now),
        };
        if let Some(wait) = wait {
            self.pace.hold(wait);
        }
        let license = classified.map_err(|no_verdict| self.without_verdict(no_verdict))?;
        Ok(Reply { license, authority_ahead: headers.ahead(now) })
    }

    fn send(&self, body: &[u8], left: Duration) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(&self.endpoint).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header.clone());
        }
        // A bound of its own makes the client forget its prepared TLS set-up: only where it is needed.
        if left < self.bounds.call {
            request = request.config().timeout_global(Some(left)).build();
        }
        request.send(body)
    }

    /// Says who is meant, and what to do.
    fn without_verdict(&self, no_verdict: NoVerdict) -> Missed {
        let error = match no_verdict {
            NoVerdict::Again { why } => {
                let why = format!("{} answered with {why}", self.route);
                let next = "the authority has trouble, or too much to do: run the command again later".to_owned();
                return Missed::Again(Trouble { why, next });
            }
            NoVerdict::Quota { message } => AskError::Quota { message },
            NoVerdict::Credential { message } => AskError::Credential { message, next: self.about_the_token() },
            NoVerdict::Protocol { why, next } => AskError::Protocol { why, next: next.to_owned() },
            NoVerdict::NotTheApi { why } => AskError::NotTheApi { url: self.route.base.url.clone(), why },
        };
        Missed::Final(error)
    }

    fn about_the_token(&self) -> String {
        match &self.token {
            Some(_) => format!("see whether {} holds the right API token for this authority", self.token_from),
            None => {
                "it wants an API token, and none was sent: name one as `token` of the authority in license.toml, as in \
                     `token = { env = \"TO_API_KEY\" }`"
                    .to_owned()
            }
        }
    }

    /// Waits until the rate limit lets the next request through, if that is before the deadline.
    fn wait_for_the_rate_limit(&self, deadline: Instant, before: Option<&Tried>) -> Result<(), AskError> {
        // Another thread may lengthen the wait meanwhile; the deadline bounds it all the same.
        while let Some(wait) = self.pace.left() {
            if wait > left(deadline) {
                return Err(self.held_back(wait, before));
            }
            self.wait(wait)?;
        }
        self.stopped().map_or(Ok(()), |stop| Err(AskError::Stopped(stop)))
    }

    fn held_back(&self, wait: Duration, before: Option<&Tried>) -> AskError {
        let until = SignedDuration::try_from(wait).ok().and_then(|wait| (self.clock)().checked_add(wait).ok());
        let until = until.map_or_else(|| "later".to_owned(), whole_seconds);
        let why = match before {
            Some(tried) => format!("{}; it wants no further request before {until}", tried.words()),
            None => format!("{} wants no further request before {until}", self.route),
        };
        AskError::Unreachable { why, next: format!("run the command again after {until}") }
    }

    fn wait(&self, time: Duration) -> Result<(), AskError> {
        let Some(signals) = &self.signals else {
            thread::sleep(time);
            return Ok(());
        };
        signals.sleep(time).map_or(Ok(()), |stop| Err(AskError::Stopped(stop)))
    }

    fn stopped(&self) -> Option<Stop> {
        self.signals.as_ref()?.stop()
    }
}

impl Tried {
    /// A random wait before the next attempt, if there is one, up to a bound that doubles with every attempt: clients
    /// that failed together do not come back together.
    fn pause(&self) -> Duration {
        if self.attempts == ATTEMPTS_MAX {
            return Duration::ZERO;
        }
        let most = BACKOFF_MILLIS_FIRST << (self.attempts - 1);
        let mut random = [0; 8];
        // Without randomness, the longest wait.
        let millis = getrandom::fill(&mut random).map_or(most, |()| u64::from_le_bytes(random) % (most + 1));
        Duration::from_millis(millis)
    }

    fn words(&self) -> String {
        let attempts = if self.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", self.attempts) };
        format!("{} ({attempts})", self.trouble.why)
    }
}

impl Token {
    fn new(text: Zeroizing<String>, from: &str) -> Result<Self, AskError> {
        let bearer = Zeroizing::new(format!("Bearer {}", *text));
        let mut header = HeaderValue::from_str(&bearer).map_err(|_| AskError::Setup {
            why: format!("the API token of {from} has a line break or another character that no token has"),
            next: format!("set {from} to the token alone"),
        })?;
        header.set_sensitive(true);
        Ok(Self { text, header })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("route", &self.client.route).finish_non_exhaustive()
    }
}

/// The rules of an HTTP client. Every one is written down, also where it equals today's default.
fn config(route: &Route, bounds: Bounds, connections_max: usize, ca_pem: Option<&[u8]>) -> Result<Config, AskError> {
    let mut tls = TlsConfig::builder().use_sni(true).disable_verification(false);
    if route.base.is_https() {
        tls = tls.root_certs(roots::trusted(ca_pem)?);
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(route.base.reach == Reach::Network)
        .max_redirects(0)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
        .proxy(route.via.as_ref().map(|via| via.proxy.clone()))
        .tls_config(tls.build())
        .user_agent(concat!("license-hooks/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .no_delay(true)
        .timeout_global(Some(bounds.call))
        .timeout_per_call(Some(bounds.call))
        .timeout_resolve(Some(bounds.connect))
        .timeout_connect(Some(bounds.connect))
        .timeout_send_request(Some(bounds.call))
        .timeout_send_body(Some(bounds.call))
        .timeout_recv_response(Some(bounds.call))
        .timeout_recv_body(Some(bounds.call))
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(connections_max)
        .max_idle_connections_per_host(connections_max)
        .max_idle_age(Duration::from_secs(IDLE_SECS_MAX))
        .build();
    Ok(config)
}

/// Reads a body up to its limit. A longer one costs the connection, and is not read on.
fn read(response: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec()
}

/// A call that hangs must not hold up the end of the program: a signal closes all connections. The watch ends with the client.
fn break_calls_on_a_signal(client: &Arc<Client>) {
    let Some(signals) = client.signals.clone() else { return };
    let (agent, client): (Agent, Weak<Client>) = (client.agent.clone(), Arc::downgrade(client));
    let watch = move || {
        while client.strong_count() > 0 {
            if signals.sleep(Duration::from_secs(WATCH_SECS)).is_some() {
                return agent.shutdown();
            }
        }
    };
    // Without the watch, a call that hangs ends at its own bound.
    let _ = thread::Builder::new().name("signals of the authority".to_owned()).spawn(watch);
}

fn bounds(timeout: Duration) -> Bounds {
    let call = timeout.min(Duration::from_secs(CALL_SECS_MAX));
    Bounds { call, connect: call.min(Duration::from_secs(CONNECT_SECS_MAX)) }
}

/// The bound on all attempts together.
fn total(call: Duration) -> Duration {
    call.saturating_mul(ATTEMPTS_MAX).min(Duration::from_secs(TOTAL_SECS_MAX)).max(call)
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
