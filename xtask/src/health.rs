//! Asks the deployed application what license it runs with.
//!
//! The application is not trusted with anything: no token is sent, no redirect followed, and its answer is read
//! with a limit. What it says is compared by `license_core::health`.

use std::{
    io,
    net::IpAddr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use license_core::{
    Fingerprint,
    finding::clean,
    health::{self, Difference, Expected, Health, Reported},
};
use serde_json::{Map, Value};
use ureq::{
    Agent,
    http::{Uri, header::ACCEPT, uri::Scheme},
    tls::TlsConfig,
};

use crate::{
    authority::{
        AskError,
        remote::{
            place::{Base, Via},
            roots,
        },
        wire::{
            Headers,
            facts::{Facts, Valid},
            once::{self, NotOnce, TWICE},
            quote::Secrets,
        },
    },
    context,
    signals::{self, Signals, Stop},
    vars::Vars,
};

/// Where to ask, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The address; https, or http to this machine (see [`objection`]). No token is ever sent to it.
    pub(crate) url: String,
    /// How long to go on until it is healthy.
    pub(crate) within: Duration,
}

/// How the polling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Healthy, and proved to be this deploy.
    Proved,
    /// Healthy, and nothing proves that it is this deploy.
    NotProved,
    /// The last answer within the time differed.
    Unhealthy {
        /// How.
        differences: Vec<Difference>,
    },
    /// The last attempt brought no answer that could be read.
    Unreachable {
        /// What happened, in words.
        why: String,
    },
    /// A signal came.
    Stopped(Stop),
}

/// One attempt takes this long at most.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// An attempt with less time than this would say more about the deadline than about the application.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// The pause after the first attempt; it doubles after each.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A longer answer is not a license status, in bytes.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Longer headers are not read, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Polls until it is healthy or the time is over. `tried` hears of every attempt that did not satisfy, for the progress display.
///
/// When the time is over, the last thing that was seen is the result. No secret is repeated in it.
pub(crate) fn poll(
    probe: &Probe,
    expected: &Expected,
    secrets: &Secrets<'_>,
    vars: &Vars,
    signals: &Signals,
    tried: &mut dyn FnMut(&str),
) -> Seen {
    if let Some(objection) = objection(&probe.url) {
        return Seen::Unreachable { why: format!("the address {objection}") };
    }
    let agent = match agent(&probe.url, vars) {
        Ok(agent) => agent,
        // The error's own words are about the authority; its reason is what counts here.
        Err(AskError::Setup { why, .. }) => return Seen::Unreachable { why },
        Err(error) => return Seen::Unreachable { why: error.to_string() },
    };
    let start = Instant::now();
    let time_left = || probe.within.saturating_sub(start.elapsed());
    let mut pause = PAUSE_FIRST;
    loop {
        let answer = match ask(&agent, &probe.url, time_left().min(ATTEMPT_MAX), signals) {
            Asked::Answered(answer) => answer,
            Asked::Stopped(stop) => return Seen::Stopped(stop),
        };
        let seen = judge(answer, expected, secrets);
        match &seen {
            Seen::Proved | Seen::NotProved | Seen::Stopped(_) => return seen,
            Seen::Unhealthy { differences } => tried(&sentence(differences)),
            Seen::Unreachable { why } => tried(why),
        }
        let Some(spare) = time_left().checked_sub(ATTEMPT_MIN) else { return seen };
        if let Some(stop) = signals.sleep(pause.min(spare)) {
            return Seen::Stopped(stop);
        }
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// What one look at the application brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glance {
    /// How it compares.
    pub(crate) seen: Seen,
    /// What it reported, where that could be read.
    pub(crate) reported: Option<Reported>,
    /// The status of its answer, where there was one.
    pub(crate) status: Option<u16>,
    /// How far its clock is ahead of ours, where it told its time.
    pub(crate) ahead: Option<SignedDuration>,
}

impl Glance {
    /// Whether it says that it runs with this key.
    pub(crate) fn reports(&self, key: Fingerprint) -> bool {
        self.reported.as_ref().is_some_and(|reported| reported.key_fingerprint == Some(key))
    }

    /// The same, compared with something else.
    pub(crate) fn compared_again(self, expected: &Expected) -> Self {
        let seen = self.reported.as_ref().map(|reported| compared(expected, reported));
        Self { seen: seen.unwrap_or(self.seen), ..self }
    }
}

/// Looks once. What it reports is compared with what `expected` makes of it.
pub(crate) fn glance(url: &str, expected: &Expected, secrets: &Secrets<'_>, vars: &Vars, signals: &Signals) -> Glance {
    let unreachable =
        |why: String| Glance { seen: Seen::Unreachable { why }, reported: None, status: None, ahead: None };
    if let Some(objection) = objection(url) {
        return unreachable(format!("the address {objection}"));
    }
    let agent = match agent(url, vars) {
        Ok(agent) => agent,
        Err(AskError::Setup { why, .. }) => return unreachable(why),
        Err(error) => return unreachable(error.to_string()),
    };
    let answer = match ask(&agent, url, ATTEMPT_MAX, signals) {
        Asked::Answered(answer) => answer,
        Asked::Stopped(stop) => return Glance { seen: Seen::Stopped(stop), reported: None, status: None, ahead: None },
    };
    let status = answer.as_ref().ok().map(|said| said.status);
    let ahead = answer.as_ref().ok().and_then(|said| said.ahead);
    match answer.and_then(|said| read(said.status, &said.body, secrets)) {
        Ok(reported) => Glance { seen: compared(expected, &reported), reported: Some(reported), status, ahead },
        Err(why) => Glance { seen: Seen::Unreachable { why }, reported: None, status, ahead },
    }
}

/// All differences in one sentence.
pub(crate) fn sentence(differences: &[Difference]) -> String {
    differences.iter().map(|difference| difference.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// Why an address may not be asked, in words that complete "the address …"; `None` if it may.
pub(crate) fn objection(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("is not a URL") };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Some("is not a whole URL: it starts with `https://`, or with `http://` for this machine");
    };
    if authority.as_str().contains('@') {
        return Some("has a user name or a password in it: the status is asked for without credentials");
    }
    if *scheme == Scheme::HTTPS || (*scheme == Scheme::HTTP && is_this_machine(authority.host())) {
        return None;
    }
    Some("is not https: without it anybody on the way can answer; http is for this machine only")
}

fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The client: proxies and certificates are those of the authority's client, since the same network is in between.
fn agent(url: &str, vars: &Vars) -> Result<Agent, AskError> {
    let uri = url.parse::<Uri>().unwrap_or_default();
    let here = uri.host().is_some_and(is_this_machine);
    let mut tls = TlsConfig::builder().use_sni(true).disable_verification(false);
    if uri.scheme() == Some(&Scheme::HTTPS) {
        tls = tls.root_certs(roots::trusted(None)?);
    }
    // A proxy would take requests to this machine, too.
    let proxy = match uri.authority().filter(|_| !here) {
        Some(authority) => Via::from(vars, &Base::parse(&format!("https://{authority}"))?)?.map(|via| via.proxy),
        None => None,
    };
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .https_only(!here)
        .proxy(proxy)
        .tls_config(tls.build())
        .timeout_global(Some(ATTEMPT_MAX))
        .max_response_header_size(HEADER_BYTES_MAX)
        // Every attempt looks anew: the application restarts in between.
        .max_idle_connections(0)
        .user_agent(concat!("license-hooks/", env!("CARGO_PKG_VERSION")))
        .build()
        .into())
}

/// An answer, or why there is none.
type Answer = Result<Said, String>;

/// An answer as it came.
struct Said {
    status: u16,
    body: Vec<u8>,
    ahead: Option<SignedDuration>,
}

enum Asked {
    Answered(Answer),
    Stopped(Stop),
}

/// Asks once. The call blocks, so it has a thread of its own, which a signal leaves behind: it ends with its timeout.
fn ask(agent: &Agent, url: &str, timeout: Duration, signals: &Signals) -> Asked {
    let (answered, answer) = mpsc::sync_channel(1);
    let (agent, url) = (agent.clone(), url.to_owned());
    let start = Instant::now();
    // Fails to send only after a signal, and then nobody wants to know.
    thread::spawn(move || answered.send(call(&agent, &url, timeout)).ok());
    loop {
        if let Some(stop) = signals.stop() {
            return Asked::Stopped(stop);
        }
        match answer.recv_timeout(signals::LATENCY) {
            Ok(answer) => return Asked::Answered(answer),
            Err(RecvTimeoutError::Timeout) if start.elapsed() < timeout + signals::LATENCY => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Asked::Answered(Err(no_answer(timeout)));
            }
        }
    }
}

fn call(agent: &Agent, url: &str, timeout: Duration) -> Answer {
    let request = agent.get(url).header(ACCEPT, "application/json").config().timeout_global(Some(timeout)).build();
    let mut response = request.call().map_err(|error| in_words(&error, timeout))?;
    let headers = Headers::read(|name| response.headers().get(name)?.to_str().ok());
    let ahead = headers.ahead(context::now());
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec();
    let body = body.map_err(|error| in_words(&error, timeout))?;
    Ok(Said { status: response.status().as_u16(), body, ahead })
}

fn no_answer(timeout: Duration) -> String {
    format!("no whole answer within {:.1} seconds", timeout.as_secs_f64())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list is open, and the library's own words will do for the rest"
)]
fn in_words(error: &ureq::Error, timeout: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => no_answer(timeout),
        ureq::Error::HostNotFound => "the name of its host is not known".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => format!("the answer is longer than {BODY_BYTES_MAX} bytes"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "the connection was refused: nothing listens there".to_owned()
        }
        ureq::Error::Io(error) if broken(error.kind()) => {
            "the connection ended before the answer was whole: see what the application or a proxy before it logs"
                .to_owned()
        }
        other => clean(&other.to_string()),
    }
}

fn broken(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&kind)
}

fn judge(answer: Answer, expected: &Expected, secrets: &Secrets<'_>) -> Seen {
    let read = answer.and_then(|said| read(said.status, &said.body, secrets));
    match read {
        Ok(reported) => compared(expected, &reported),
        Err(why) => Seen::Unreachable { why },
    }
}

fn compared(expected: &Expected, reported: &Reported) -> Seen {
    match health::compare(expected, reported) {
        Health::Proved => Seen::Proved,
        Health::NotProved => Seen::NotProved,
        Health::Unhealthy(differences) => Seen::Unhealthy { differences },
    }
}

/// Reads an answer. One that is no success counts only when it says itself that the license is not valid.
fn read(status: u16, body: &[u8], secrets: &Secrets<'_>) -> Result<Reported, String> {
    let reported = match once::read(body) {
        Ok(Value::Object(fields)) => Some(reported(&fields, secrets)),
        // Which of the two is meant, nobody knows, not even with an error status.
        Err(NotOnce::Twice) => return Err(format!("it answered {status}, and {TWICE}")),
        Ok(_) | Err(NotOnce::CutOff | NotOnce::NotJson) => None,
    };
    match (status, reported) {
        (200..=299, Some(reported)) => Ok(reported),
        (_, Some(reported)) if reported.valid == Some(false) => Ok(reported),
        (200..=299, None) => Err(format!("it answered {status}, but not with a JSON object")),
        (300..=399, _) => Err(format!("it answered {status}: redirects are not followed; ask the final address")),
        (_, _) => Err(format!("it answered {status}")),
    }
}

/// What the fields say, read with the same eyes as an authority's answer: a fact that is missing or of another type
/// says nothing, and no secret gets from here into a message.
fn reported(fields: &Map<String, Value>, secrets: &Secrets<'_>) -> Reported {
    let facts = Facts::of(fields, secrets);
    let stated = |name: &str| fields.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
    let key = stated("keyFingerprint").or_else(|| stated("key_fingerprint"));
    let key_fingerprint = key.and_then(Value::as_str).and_then(|text| text.parse().ok());
    let release = stated("release").and_then(Value::as_str).map(|release| secrets.quote(release));
    let not_readable = [
        ("keyFingerprint", key.is_some() && key_fingerprint.is_none()),
        ("release", stated("release").is_some() && release.is_none()),
    ];
    Reported {
        valid: match facts.valid() {
            Valid::Yes => Some(true),
            Valid::No => Some(false),
            Valid::Missing | Valid::NotBoolean | Valid::Contradiction => None,
        },
        plan: facts.plan(),
        features: facts.features(),
        expires_at: facts.expires_at(),
        key_fingerprint,
        release,
        not_readable: not_readable.into_iter().filter(|(_, is_so)| *is_so).map(|(field, _)| field).collect(),
    }
}

#[cfg(test)]
mod tests;
