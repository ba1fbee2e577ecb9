//! Faults on request: what a bad day of an authority looks like, for tests and rehearsals.
//!
//! `html-502`, `rate-limit` and `redirect` answer before anything happens, as a proxy in front would. The others
//! happen after the request was carried out, which is the worse case.

use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::http::{HeaderValue, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};

use super::{
    answer::{Answer, JSON},
    body::Body,
};
use crate::authority::span;

/// A fault as it is asked for: `NAME[=ARG][@SCOPE][:N]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: Kind,
    scope: Option<Scope>,
    /// How many requests it hits; `None` means all.
    count: Option<u32>,
}

/// Which requests a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Validations.
    Validate,
    /// Rotations.
    Rotate,
    /// Lists and single licenses.
    List,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    LateCommit(Duration),
    CloseMidBody,
    Html502,
    Status(StatusCode),
    RateLimit(Duration),
    StaleCache(Duration),
    DropValid,
    Redirect(HeaderValue),
    ClockSkew(SignedDuration),
    HugeBody { bytes: u64 },
}

/// The names, with an example of each argument.
const NAMES: [(&str, &str); 10] = [
    ("late-commit", "late-commit=30s"),
    ("close-mid-body", "close-mid-body"),
    ("html-502", "html-502"),
    ("status", "status=500"),
    ("rate-limit", "rate-limit=2s"),
    ("stale-cache", "stale-cache=20s"),
    ("drop-valid", "drop-valid"),
    ("redirect", "redirect=https://other.example/"),
    ("clock-skew", "clock-skew=1d"),
    ("huge-body", "huge-body=40MB"),
];

/// The largest body that is made, in bytes.
const HUGE_BYTES_MAX: u64 = 1 << 30;

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let (spec, scope, count) = split(text)?;
        let (name, argument) = match spec.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (spec, None),
        };
        let kind = kind(name, argument)?;
        let scope = match (kind.is_about_validations(), scope) {
            (true, None | Some(Scope::Validate)) => Some(Scope::Validate),
            (true, Some(Scope::Rotate | Scope::List)) => return Err(NotAFault::ValidationsOnly),
            (false, scope) => scope,
        };
        Ok(Self { kind, scope, count })
    }
}

impl Kind {
    /// Whether it can only happen to a validation.
    fn is_about_validations(&self) -> bool {
        match self {
            Self::StaleCache(_) | Self::DropValid => true,
            Self::LateCommit(_)
            | Self::CloseMidBody
            | Self::Html502
            | Self::Status(_)
            | Self::RateLimit(_)
            | Self::Redirect(_)
            | Self::ClockSkew(_)
            | Self::HugeBody { .. } => false,
        }
    }

    /// Whether it decides what the answer is, so that one request can meet only one of them.
    fn is_the_answer(&self) -> bool {
        match self {
            Self::CloseMidBody
            | Self::Html502
            | Self::Status(_)
            | Self::RateLimit(_)
            | Self::Redirect(_)
            | Self::HugeBody { .. } => true,
            Self::LateCommit(_) | Self::StaleCache(_) | Self::DropValid | Self::ClockSkew(_) => false,
        }
    }
}

/// Takes scope and count off the end. An address may hold `@` and `:`; after an address a count needs a scope before it.
fn split(text: &str) -> Result<(&str, Option<Scope>, Option<u32>), NotAFault> {
    if let Some((spec, end)) = text.rsplit_once('@') {
        let (scope, count) = match end.split_once(':') {
            Some((scope, count)) => (scope, Some(count)),
            None => (end, None),
        };
        match (self::scope(scope), spec.starts_with("redirect=")) {
            (Some(scope), _) => return Ok((spec, Some(scope), count.map(self::count).transpose()?)),
            (None, true) => return Ok((text, None, None)),
            (None, false) => return Err(NotAFault::Scope { scope: shown(scope) }),
        }
    }
    match text.rsplit_once(':') {
        Some((spec, count)) if !text.starts_with("redirect=") => Ok((spec, None, Some(self::count(count)?))),
        Some(_) | None => Ok((text, None, None)),
    }
}

fn scope(text: &str) -> Option<Scope> {
    match text {
        "validate" => Some(Scope::Validate),
        "rotate" => Some(Scope::Rotate),
        "list" => Some(Scope::List),
        _ => None,
    }
}

fn count(text: &str) -> Result<u32, NotAFault> {
    text.parse().ok().filter(|count| *count > 0).ok_or(NotAFault::Count)
}

fn kind(name: &str, argument: Option<&str>) -> Result<Kind, NotAFault> {
    let example = NAMES.iter().find(|(known, _)| *known == name).map(|(_, example)| *example);
    let Some(example) = example else { return Err(unknown(name)) };
    let bad = || NotAFault::Argument { example };
    let span = |argument: Option<&str>| span::parse(argument.ok_or_else(bad)?).map_err(|_| bad());
    let none = |kind| if argument.is_none() { Ok(kind) } else { Err(bad()) };
    match name {
        "late-commit" => Ok(Kind::LateCommit(span(argument)?)),
        "close-mid-body" => none(Kind::CloseMidBody),
        "html-502" => none(Kind::Html502),
        "status" => status(argument).map(Kind::Status).ok_or_else(bad),
        "rate-limit" => Ok(Kind::RateLimit(span(argument)?)),
        "stale-cache" => Ok(Kind::StaleCache(span(argument)?)),
        "drop-valid" => none(Kind::DropValid),
        "redirect" => argument
            .filter(|url| !url.is_empty())
            .and_then(|url| HeaderValue::from_str(url).ok())
            .map(Kind::Redirect)
            .ok_or_else(bad),
        "clock-skew" => span::parse_signed(argument.ok_or_else(bad)?).map(Kind::ClockSkew).map_err(|_| bad()),
        _ => megabytes(argument).map(|bytes| Kind::HugeBody { bytes }).ok_or_else(bad),
    }
}

fn status(argument: Option<&str>) -> Option<StatusCode> {
    let code: u16 = argument?.parse().ok()?;
    StatusCode::from_u16(code).ok().filter(|status| status.as_u16() >= 200)
}

fn megabytes(argument: Option<&str>) -> Option<u64> {
    let megabytes: u64 = argument?.strip_suffix("MB")?.parse().ok()?;
    megabytes.checked_mul(1_000_000).filter(|bytes| (1..=HUGE_BYTES_MAX).contains(bytes))
}

/// A name that is nothing like a fault does not come back: it may be a key that was pasted into the wrong place.
fn unknown(name: &str) -> NotAFault {
    let near =
        NAMES.iter().map(|(known, _)| (strsim::jaro_winkler(known, name), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, known)) if likeness > 0.8 => NotAFault::Misspelled { name: shown(name), known },
        Some(_) | None => {
            let known: Vec<String> = NAMES.iter().map(|(_, example)| format!("`{example}`")).collect();
            NotAFault::Unknown { known: known.join(", ") }
        }
    }
}

fn shown(text: &str) -> String {
    license_core::finding::clean(text)
}

/// Why a text is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAFault {
    /// Almost the name of a fault.
    #[error("there is no fault `{name}`: did you mean `{known}`?")]
    Misspelled {
        /// The name that was given.
        name: String,
        /// What it may have been.
        known: &'static str,
    },
    /// No fault of that name.
    #[error("there is no such fault: known are {known}")]
    Unknown {
        /// All that there are.
        known: String,
    },
    /// The argument does not fit the fault.
    #[error("write it as `{example}`")]
    Argument {
        /// How it is written.
        example: &'static str,
    },
    /// No scope of that name.
    #[error("there is no scope `{scope}`: write `@validate`, `@rotate` or `@list`")]
    Scope {
        /// The scope that was given.
        scope: String,
    },
    /// A fault that only validations can meet.
    #[error("this fault is about validations: leave the scope out, or write `@validate`")]
    ValidationsOnly,
    /// Not a number of requests.
    #[error("the number after `:` is how many requests it hits: a whole number from 1 on")]
    Count,
}

/// The faults of a running server, with what is left of their counts.
#[derive(Debug)]
pub(super) struct Armed(Mutex<Vec<Fault>>);

impl Armed {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self(Mutex::new(faults))
    }

    /// What hits the next request of a scope. Of the faults that decide what the answer is only the first one counts;
    /// the others wait for the next request, so that they can be lined up.
    pub(super) fn take(&self, scope: Option<Scope>) -> Broken {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hits = Vec::new();
        for fault in faults.iter_mut().filter(|fault| fault.scope.is_none() || fault.scope == scope) {
            if fault.kind.is_the_answer() && hits.iter().any(Kind::is_the_answer) {
                continue;
            }
            match &mut fault.count {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            hits.push(fault.kind.clone());
        }
        Broken(hits)
    }
}

/// What is wrong with one answer.
#[derive(Debug, Default)]
pub(super) struct Broken(Vec<Kind>);

impl Broken {
    /// The answer that is given in place of doing anything.
    pub(super) fn instead(&self) -> Option<Answer> {
        self.0.iter().find_map(|kind| match kind {
            Kind::Html502 => Some(Answer {
                content_type: HTML,
                body: b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\n"
                    .to_vec(),
                ..Answer::empty(StatusCode::BAD_GATEWAY)
            }),
            Kind::RateLimit(pause) => {
                let mut answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many requests");
                // Whole seconds, rounded up: a client that waits that long has waited long enough.
                let secs = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
                answer.headers.push((header::RETRY_AFTER, HeaderValue::from(secs)));
                Some(answer)
            }
            Kind::Redirect(url) => {
                let mut answer = Answer::empty(StatusCode::TEMPORARY_REDIRECT);
                answer.headers.push((header::LOCATION, url.clone()));
                Some(answer)
            }
            Kind::LateCommit(_)
            | Kind::CloseMidBody
            | Kind::Status(_)
            | Kind::StaleCache(_)
            | Kind::DropValid
            | Kind::ClockSkew(_)
            | Kind::HugeBody { .. } => None,
        })
    }

    /// How long the answer is held back after the work is done.
    pub(super) fn late(&self) -> Option<Duration> {
        self.0.iter().find_map(|kind| if let Kind::LateCommit(late) = kind { Some(*late) } else { None })
    }

    /// How old a validation's answer may be.
    pub(super) fn stale(&self) -> Option<Duration> {
        self.0.iter().find_map(|kind| if let Kind::StaleCache(age) = kind { Some(*age) } else { None })
    }

    /// The time that the answer claims.
    pub(super) fn shifted(&self, now: Timestamp) -> Timestamp {
        let skew = self.0.iter().find_map(|kind| if let Kind::ClockSkew(skew) = kind { Some(*skew) } else { None });
        skew.and_then(|skew| now.checked_add(skew).ok()).unwrap_or(now)
    }

    /// The answer as it goes out.
    pub(super) fn damage(&self, mut answer: Answer) -> Response<Body> {
        let mut huge = None;
        let mut is_cut = false;
        for kind in &self.0 {
            match kind {
                Kind::Status(status) => {
                    answer = Answer { date: answer.date, ..Answer::error(*status, "INJECTED", "this was asked for") };
                }
                Kind::DropValid => drop_valid(&mut answer),
                Kind::CloseMidBody => is_cut = true,
                Kind::HugeBody { bytes } => huge = Some(*bytes),
                Kind::LateCommit(_)
                | Kind::Html502
                | Kind::RateLimit(_)
                | Kind::StaleCache(_)
                | Kind::Redirect(_)
                | Kind::ClockSkew(_) => {}
            }
        }
        let body = std::mem::take(&mut answer.body);
        let body = match huge {
            Some(left) => Body::Huge { left },
            None if is_cut => Body::half(body),
            None => Body::whole(body),
        };
        answer.with(body)
    }
}

const HTML: &str = "text/html; charset=utf-8";

fn drop_valid(answer: &mut Answer) {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(&answer.body) else { return };
    if fields.remove("valid").is_some() && answer.content_type == JSON {
        answer.body = serde_json::Value::Object(fields).to_string().into_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_name_an_argument_a_scope_and_a_count() {
        let secs = Duration::from_secs;
        for (text, kind, scope, count) in [
            ("late-commit=30s", Kind::LateCommit(secs(30)), None, None),
            ("close-mid-body@rotate", Kind::CloseMidBody, Some(Scope::Rotate), None),
            ("html-502:3", Kind::Html502, None, Some(3)),
            ("status=500@validate:1", Kind::Status(StatusCode::INTERNAL_SERVER_ERROR), Some(Scope::Validate), Some(1)),
            ("rate-limit=2s", Kind::RateLimit(secs(2)), None, None),
            ("stale-cache=20s", Kind::StaleCache(secs(20)), Some(Scope::Validate), None),
            ("drop-valid:1", Kind::DropValid, Some(Scope::Validate), Some(1)),
            (
                "redirect=http://127.0.0.1:80/x",
                Kind::Redirect(HeaderValue::from_static("http://127.0.0.1:80/x")),
                None,
                None,
            ),
            (
                "redirect=http://a@b/@rotate:2",
                Kind::Redirect(HeaderValue::from_static("http://a@b/")),
                Some(Scope::Rotate),
                Some(2),
            ),
            ("clock-skew=-1d", Kind::ClockSkew(SignedDuration::from_hours(-24)), None, None),
            ("huge-body=40MB", Kind::HugeBody { bytes: 40_000_000 }, None, None),
        ] {
            assert_eq!(text.parse(), Ok(Fault { kind, scope, count }), "{text}");
        }
    }

    #[test]
    fn what_is_no_fault_is_explained() {
        for (text, words) in [
            ("drop-vaild", "did you mean `drop-valid`"),
            ("explode", "known are `late-commit=30s`"),
            ("late-commit", "write it as `late-commit=30s`"),
            ("status=99", "write it as `status=500`"),
            ("redirect=", "write it as `redirect=https://other.example/`"),
            ("drop-valid=1", "write it as `drop-valid`"),
            ("huge-body=40", "write it as `huge-body=40MB`"),
            ("huge-body=99999999MB", "write it as `huge-body=40MB`"),
            ("html-502@everything", "no scope `everything`"),
            ("stale-cache=20s@list", "is about validations"),
            ("html-502:0", "a whole number from 1"),
            ("html-502@validate:x", "a whole number from 1"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn faults_that_are_the_answer_are_lined_up() {
        let faults = ["status=500:1", "html-502:1", "late-commit=1s:1"];
        let armed = Armed::new(faults.iter().map(|text| text.parse().unwrap()).collect());
        let next = || armed.take(Some(Scope::Validate)).0;
        let late = Kind::LateCommit(Duration::from_secs(1));
        assert_eq!(next(), [Kind::Status(StatusCode::INTERNAL_SERVER_ERROR), late]);
        assert_eq!(next(), [Kind::Html502]);
        assert_eq!(next(), []);
    }

    #[test]
    fn a_count_runs_out_and_a_scope_spares_the_others() {
        let armed = Armed::new(vec!["html-502@validate:2".parse().unwrap()]);
        let hits = |scope| armed.take(Some(scope)).0.len();
        assert_eq!(hits(Scope::Rotate), 0);
        assert_eq!((hits(Scope::Validate), hits(Scope::Validate), hits(Scope::Validate)), (1, 1, 0));
    }
}
