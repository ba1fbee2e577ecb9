//! What goes over the wire, without the wire: the request's body, and what an answer means.
//!
//! Knows every shape of answer that was seen, and no socket. An answer is a verdict only if it is a JSON object with a
//! boolean `valid` where the status allows one; everything else is a kind of not knowing.

use license_core::{Domain, License, LicenseKey, license::Answer as Said};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub(crate) mod facts;
mod headers;
pub(crate) mod once;
pub(crate) mod quote;
pub(crate) mod rotate;
#[cfg(test)]
mod tests;
pub(crate) mod usage;

use facts::{Facts, Valid};
pub(crate) use headers::Headers;
use once::{NotOnce, TWICE};
pub(crate) use quote::Secrets;

/// The path of a validation, below the base address.
pub(crate) const VALIDATE_PATH: &str = "/validate";

/// The body of a validation. The key stands in it twice: under the article's name for it, and under the SDKs'.
pub(crate) fn validate_body(key: &LicenseKey, domain: &Domain) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Validate<'a> {
        key: &'a str,
        token: &'a str,
        domain: &'a Domain,
    }
    let body = Validate { key: key.reveal(), token: key.reveal(), domain };
    // Room for everything, so that growing leaves no copy of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES_EXTRA + 4 * key.reveal().len()));
    serde_json::to_writer(&mut *bytes, &body).expect("texts are always JSON, and memory takes every write");
    bytes
}

/// Room in the request's body beside the key, in bytes: names, quotes and a domain.
const BODY_BYTES_EXTRA: usize = 512;

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers that matter.
    pub(crate) headers: &'a Headers,
    /// The whole body.
    pub(crate) body: &'a [u8],
}

/// Why an answer is no verdict. The texts are fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVerdict {
    /// The authority is troubled or overrun; asking again may help.
    Again {
        /// What was answered.
        why: String,
    },
    /// The account's validations are used up; asking again would not help, and the key was not judged.
    Quota {
        /// The authority's words.
        message: String,
    },
    /// The API token was refused.
    Credential {
        /// The status and the authority's words.
        message: String,
    },
    /// The answer makes no sense.
    Protocol {
        /// What is wrong with it.
        why: String,
        /// What to do next.
        next: &'static str,
    },
    /// The address leads to something else.
    NotTheApi {
        /// What was answered.
        why: String,
    },
}

/// What an answer to a validation means.
pub(crate) fn classify(answer: &Answer<'_>, secrets: &Secrets<'_>) -> Result<License, NoVerdict> {
    if answer.kind() == Kind::Redirect {
        return Err(redirect(answer, secrets));
    }
    match Body::read(answer) {
        Body::Object(top) => of_object(answer, &Facts::of(&top, secrets)),
        Body::Unusable(what) => Err(of_unusable(answer, what)),
        Body::Twice => Err(of_twice(answer)),
        Body::CutOff => Err(match answer.kind() {
            Kind::Success => NoVerdict::Again { why: format!("{answer}, and a body that ends in the middle") },
            Kind::Redirect | Kind::Unauthorized | Kind::Forbidden | Kind::NotFound | Kind::Troubled | Kind::Other => {
                of_unusable(answer, "JSON that ends in the middle")
            }
        }),
    }
}

/// The meaning of a JSON object. What is about the account comes first: it is never about the key.
fn of_object(answer: &Answer<'_>, facts: &Facts<'_>) -> Result<License, NoVerdict> {
    let code = facts.code();
    let message = facts.message();
    let words = words(code.as_deref(), message.as_deref());
    match AccountCode::of(code.as_deref()) {
        Some(AccountCode::AuthFailed) => return Err(NoVerdict::Credential { message: format!("{answer}{words}") }),
        Some(AccountCode::QuotaExceeded) => return Err(NoVerdict::Quota { message: format!("{answer}{words}") }),
        None => {}
    }
    match (answer.kind(), facts.valid()) {
        (Kind::Success, Valid::Yes) => Ok(license(Said::Accepted { code }, answer, facts)),
        (Kind::Success | Kind::Forbidden | Kind::NotFound, Valid::No) => {
            Ok(license(Said::Refused { code, message }, answer, facts))
        }
        (Kind::Success, Valid::Missing) => Err(protocol(format!("{answer}, and no `valid`{words}"))),
        (Kind::Success, Valid::NotBoolean) => {
            Err(protocol(format!("{answer}, and a `valid` that is neither `true` nor `false`{words}")))
        }
        (Kind::Success | Kind::NotFound | Kind::Forbidden, Valid::Contradiction)
        | (Kind::Forbidden | Kind::NotFound, Valid::Yes) => {
            Err(protocol(format!("{answer}, and a `valid` that contradicts the rest of it{words}")))
        }
        (Kind::NotFound, Valid::Missing) if code.is_none() || is_a_routers_word(code.as_deref()) => {
            Err(NoVerdict::NotTheApi { why: format!("{answer}{words}") })
        }
        (Kind::NotFound, Valid::Missing | Valid::NotBoolean) => {
            Err(protocol(format!("{answer}, and no boolean `valid`{words}")))
        }
        (Kind::Forbidden, Valid::Missing | Valid::NotBoolean)
        | (Kind::Unauthorized | Kind::Redirect | Kind::Troubled | Kind::Other, _) => Err(of_status(answer, &words)),
    }
}

/// The meaning of a body that is not a JSON object.
fn of_unusable(answer: &Answer<'_>, what: &str) -> NoVerdict {
    match answer.kind() {
        Kind::Success => {
            NoVerdict::Protocol { why: format!("{answer}, and {what} instead of a JSON object"), next: SOMETHING_ELSE }
        }
        Kind::NotFound => NoVerdict::NotTheApi { why: format!("{answer}, and {what}") },
        Kind::Forbidden | Kind::Unauthorized | Kind::Redirect | Kind::Troubled | Kind::Other => {
            of_status(answer, &format!(", and {what}"))
        }
    }
}

/// The meaning of an object in which a member stands twice: which of the two is meant, nobody knows.
fn of_twice(answer: &Answer<'_>) -> NoVerdict {
    let why = format!("{answer}, and {TWICE}");
    match answer.kind() {
        Kind::Success | Kind::Forbidden | Kind::NotFound => protocol(why),
        Kind::Unauthorized | Kind::Redirect | Kind::Troubled | Kind::Other => {
            of_status(answer, &format!(", and {TWICE}"))
        }
    }
}

/// The meaning of a status that allows no verdict.
fn of_status(answer: &Answer<'_>, words: &str) -> NoVerdict {
    match answer.kind() {
        Kind::Troubled => NoVerdict::Again { why: format!("{answer}{words}") },
        Kind::Unauthorized | Kind::Forbidden => NoVerdict::Credential { message: format!("{answer}{words}") },
        Kind::NotFound => NoVerdict::NotTheApi { why: format!("{answer}{words}") },
        Kind::Success | Kind::Redirect | Kind::Other => {
            protocol(format!("{answer} does not answer a validation{words}"))
        }
    }
}

fn redirect(answer: &Answer<'_>, secrets: &Secrets<'_>) -> NoVerdict {
    let target = answer
        .headers
        .location
        .as_deref()
        .map_or_else(|| "elsewhere".to_owned(), |location| redirect_target(location, secrets));
    NoVerdict::Protocol {
        why: format!("{answer} redirects to {target}, which was not followed: the API token goes to one host only"),
        next: "if the API has moved, write its new address as `url` of the authority in license.toml",
    }
}

/// Where a redirect leads: the host alone, since paths and queries may carry secrets.
fn redirect_target(location: &str, secrets: &Secrets<'_>) -> String {
    let Some((_, rest)) = location.split_once("//") else { return "another path".to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("`{}`", secrets.quote(host))
}

fn protocol(why: String) -> NoVerdict {
    NoVerdict::Protocol {
        why,
        next: "nothing was taken from it; see whether `url` is right, and ask whoever runs the authority",
    }
}

const SOMETHING_ELSE: &str = "something else may have answered: see whether `url` of the authority in license.toml is right, and \
     whether a proxy or a login page is in between";

/// Puts the facts together.
fn license(said: Said, answer: &Answer<'_>, facts: &Facts<'_>) -> License {
    let grace_ends_at = facts.grace_ends_at().or(answer.headers.sunset);
    let domains = facts.domains();
    let unreadable_grace = || facts.unreadable_grace().filter(|_| grace_ends_at.is_none());
    License {
        answer: said,
        id: facts.id(),
        status: facts.status(),
        plan: facts.plan(),
        issued_at: facts.issued_at(),
        not_before: facts.not_before(),
        expires_at: facts.expires_at(),
        domains: domains.stated,
        domains_left_out: domains.left_out,
        features: facts.features(),
        activations_used: facts.activations_used(),
        activation_limit: facts.activation_limit(),
        grace_ends_at,
        deprecated: answer.headers.deprecation,
        unreadable_end: facts.unreadable_expiry().or_else(unreadable_grace),
    }
}

/// What the code and the words come to behind a status.
fn words(code: Option<&str>, message: Option<&str>) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!(": `{code}`: {message}"),
        (Some(code), None) => format!(": `{code}`"),
        (None, Some(message)) => format!(": {message}"),
        (None, None) => String::new(),
    }
}

/// Codes about the account, not about the key.
enum AccountCode {
    AuthFailed,
    QuotaExceeded,
}

impl AccountCode {
    fn of(code: Option<&str>) -> Option<Self> {
        let code = code?;
        if code.eq_ignore_ascii_case("AUTH_FAILED") {
            return Some(Self::AuthFailed);
        }
        code.eq_ignore_ascii_case("QUOTA_EXCEEDED").then_some(Self::QuotaExceeded)
    }
}

/// A code that any web server gives for a path that it does not have.
fn is_a_routers_word(code: Option<&str>) -> bool {
    code.is_some_and(|code| code.eq_ignore_ascii_case("NOT_FOUND"))
}

/// The statuses, by what they allow an answer to mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success,
    Redirect,
    Unauthorized,
    Forbidden,
    NotFound,
    /// Rate limits, timeouts and errors of the server: the request may be sent again.
    Troubled,
    Other,
}

impl Answer<'_> {
    fn kind(&self) -> Kind {
        match self.status {
            200..=299 => Kind::Success,
            300..=399 => Kind::Redirect,
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            408 | 425 | 429 | 500..=599 => Kind::Troubled,
            _ => Kind::Other,
        }
    }
}

impl std::fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)
    }
}

/// A body, as far as it can be used.
enum Body {
    Object(Map<String, Value>),
    /// A member stands twice in one object.
    Twice,
    /// The beginning of JSON.
    CutOff,
    /// Something else, in words.
    Unusable(&'static str),
}

impl Body {
    fn read(answer: &Answer<'_>) -> Self {
        let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer.body).trim_ascii();
        if body.is_empty() {
            return Self::Unusable("an empty body");
        }
        match once::read(body) {
            Ok(Value::Object(top)) => Self::Object(top),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Self::Unusable("some other JSON")
            }
            Err(NotOnce::Twice) => Self::Twice,
            Err(NotOnce::CutOff | NotOnce::NotJson) if answer.headers.html || body.starts_with(b"<") => {
                Self::Unusable("an HTML page")
            }
            Err(NotOnce::CutOff) => Self::CutOff,
            Err(NotOnce::NotJson) => Self::Unusable("text that is not JSON"),
        }
    }
}
