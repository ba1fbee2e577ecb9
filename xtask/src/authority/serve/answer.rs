//! What the server says: JSON in both spellings, so that every published SDK finds its own.

use std::time::{Duration, SystemTime};

use hyper::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use license_core::{
    license::ActivationLimit,
    registry::{KeyUse, Licensed, RefusalCode, Rotation, Validation},
};
use serde::Serialize;

use super::{body::Body, options::ListKeys};
use crate::authority::counters::Counters;

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
    pub(super) date: Timestamp,
}

pub(super) const JSON: &str = "application/json";

impl Answer {
    /// A status and nothing else.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: JSON, headers: Vec::new(), body: Vec::new(), date: Timestamp::UNIX_EPOCH }
    }

    /// A document.
    pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Self {
        match serde_json::to_vec(document) {
            Ok(body) => Self { body, ..Self::empty(status) },
            Err(_) => Self::internal(),
        }
    }

    /// A refusal or an error.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &Failed { error: code, code, message })
    }

    /// Something broke that is not the client's fault.
    pub(super) fn internal() -> Self {
        Self { body: INTERNAL.to_vec(), ..Self::empty(StatusCode::INTERNAL_SERVER_ERROR) }
    }

    /// The answer as it goes out, with another body.
    pub(super) fn with(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(date) = http_date(self.date) {
            headers.insert(header::DATE, date);
        }
        headers.extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

const INTERNAL: &[u8] = br#"{"error":"INTERNAL","code":"INTERNAL","message":"the registry cannot be read or written"}"#;

/// A time as headers write it (RFC 9110, section 5.6.7).
pub(super) fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let since_epoch = Duration::from_secs(u64::try_from(time.as_second()).ok()?);
    HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::UNIX_EPOCH.checked_add(since_epoch)?)).ok()
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
    code: &'a str,
    message: &'a str,
}

/// The answer to a validation.
#[derive(Serialize)]
struct Validated<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// Where the SDKs look for the words of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    facts: Option<Facts<'a>>,
}

/// Everything that is known about the license of a key.
#[derive(Serialize)]
struct Facts<'a> {
    status: &'a str,
    #[serde(rename = "licenseId")]
    license_id_camel: &'a str,
    license_id: &'a str,
    plan: &'a str,
    #[serde(rename = "planId")]
    plan_id_camel: &'a str,
    plan_id: &'a str,
    domains: &'a [String],
    features: &'a std::collections::BTreeSet<String>,
    #[serde(rename = "activationsUsed")]
    activations_used_camel: u64,
    activations_used: u64,
    #[serde(rename = "activationLimit")]
    activation_limit_camel: i64,
    activation_limit: i64,
    #[serde(rename = "createdAt")]
    created_at_camel: Timestamp,
    created_at: Timestamp,
    #[serde(rename = "expiresAt")]
    expires_at_camel: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    #[serde(rename = "graceEndsAt", skip_serializing_if = "Option::is_none")]
    grace_ends_at_camel: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_ends_at: Option<Timestamp>,
}

/// The word for "as many as you like" where a number is expected.
const UNLIMITED: i64 = -1;

fn limit(limit: ActivationLimit) -> i64 {
    match limit {
        ActivationLimit::Unlimited => UNLIMITED,
        ActivationLimit::AtMost(limit) => i64::try_from(limit).unwrap_or(i64::MAX),
    }
}

/// The answer to a validation, with the status for refusals.
pub(super) fn validated(validation: &Validation<'_>, refused: StatusCode, now: Timestamp) -> Answer {
    let refusal = validation.refusal();
    let known = match validation {
        Validation::UnknownKey => None,
        Validation::Known(known) => Some(known),
    };
    let facts = known.map(|known| {
        let (license, terms) = (known.license, &known.license.terms);
        let (id, limit, grace_ends_at) = (license.id.as_str(), limit(terms.activation_limit), known.grace_ends_at());
        Facts {
            status: license.status(now).as_str(),
            license_id_camel: id,
            license_id: id,
            plan: &terms.plan,
            plan_id_camel: &terms.plan,
            plan_id: &terms.plan,
            domains: &terms.domains,
            features: &terms.features,
            activations_used_camel: terms.activations_used,
            activations_used: terms.activations_used,
            activation_limit_camel: limit,
            activation_limit: limit,
            created_at_camel: known.key_issued_at,
            created_at: known.key_issued_at,
            expires_at_camel: terms.expires_at,
            expires_at: terms.expires_at,
            grace_ends_at_camel: grace_ends_at,
            grace_ends_at,
        }
    });
    let document = Validated {
        valid: refusal.is_none(),
        code: refusal.map(RefusalCode::as_str),
        message: refusal.map(RefusalCode::message),
        error: refusal.map(RefusalCode::message),
        facts,
    };
    let mut answer = Answer::json(if refusal.is_none() { StatusCode::OK } else { refused }, &document);
    if let Some(KeyUse::Replaced { at, grace_ends_at }) = known.map(|known| known.key_use) {
        answer.headers.extend(deprecated(at, grace_ends_at));
    }
    answer
}

/// The headers of a key that was replaced: since when (RFC 9745), and until when it works (RFC 8594).
fn deprecated(at: Timestamp, grace_ends_at: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
    let since = HeaderValue::from_str(&format!("@{}", at.as_second())).ok();
    let deprecation = since.map(|since| (HeaderName::from_static("deprecation"), since));
    let sunset = http_date(grace_ends_at).map(|end| (HeaderName::from_static("sunset"), end));
    deprecation.into_iter().chain(sunset).collect()
}

/// One license as the portal shows it: every field of the SDKs' types is there.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    id: &'a str,
    license_id: &'a str,
    license_key: String,
    status: &'a str,
    plan_id: &'a str,
    domains: &'a [String],
    features: &'a std::collections::BTreeSet<String>,
    activations_used: u64,
    activation_limit: i64,
    created_at: Timestamp,
    expires_at: String,
}

/// What stands for "never" where a date is expected.
const NEVER: &str = "9999-12-31T23:59:59Z";

impl<'a> Listed<'a> {
    pub(super) fn of(license: &'a Licensed, keys: ListKeys, now: Timestamp) -> Self {
        let terms = &license.terms;
        Self {
            id: license.id.as_str(),
            license_id: license.id.as_str(),
            license_key: match keys {
                ListKeys::Masked => license.key.masked(),
                ListKeys::Plain => license.key.key().reveal().to_owned(),
            },
            status: license.status(now).as_str(),
            plan_id: &terms.plan,
            domains: &terms.domains,
            features: &terms.features,
            activations_used: terms.activations_used,
            activation_limit: limit(terms.activation_limit),
            created_at: license.created_at,
            expires_at: terms.expires_at.map_or_else(|| NEVER.to_owned(), |end| end.to_string()),
        }
    }
}

/// A rotation in the words of the vendor's article.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RotatedArticle<'a> {
    new_key: &'a str,
    expires_at: Option<Timestamp>,
    grace_ends_at: Timestamp,
}

/// A rotation as the SDKs read it.
#[derive(Serialize)]
struct RotatedSdk<'a> {
    success: bool,
    #[serde(rename = "previousLicenseId")]
    previous_license_id: &'a str,
    #[serde(rename = "newLicense")]
    new_license: NewLicense<'a>,
    #[serde(rename = "graceEndsAt")]
    grace_ends_at: Timestamp,
}

#[derive(Serialize)]
struct NewLicense<'a> {
    key: &'a str,
    #[serde(flatten)]
    listed: Listed<'a>,
}

/// The answer to a rotation in the article's dialect: one of the places where a key is shown on purpose.
pub(super) fn rotated_article(license: &Licensed, rotation: &Rotation) -> Answer {
    let document = RotatedArticle {
        new_key: rotation.key.key().reveal(),
        expires_at: license.terms.expires_at,
        grace_ends_at: rotation.grace_ends_at,
    };
    Answer::json(StatusCode::OK, &document)
}

/// The answer to a rotation in the SDKs' dialect: one of the places where a key is shown on purpose.
pub(super) fn rotated_sdk(license: &Licensed, rotation: &Rotation, now: Timestamp) -> Answer {
    let key = rotation.key.key().reveal();
    let mut listed = Listed::of(license, ListKeys::Masked, now);
    key.clone_into(&mut listed.license_key);
    let document = RotatedSdk {
        success: true,
        previous_license_id: license.id.as_str(),
        new_license: NewLicense { key, listed },
        grace_ends_at: rotation.grace_ends_at,
    };
    Answer::json(StatusCode::OK, &document)
}

/// Counters of use in both spellings.
#[derive(Serialize)]
pub(super) struct UsageDocument {
    #[serde(rename = "validationsToday")]
    validations_today_camel: u64,
    validations_today: u64,
    #[serde(rename = "validationsMonth")]
    validations_month_camel: u64,
    validations_month: u64,
    #[serde(rename = "monthlyLimit")]
    monthly_limit_camel: i64,
    monthly_limit: i64,
    #[serde(rename = "activeLicenses")]
    active_licenses_camel: usize,
    active_licenses: usize,
    #[serde(rename = "activeDomains")]
    active_domains_camel: usize,
    active_domains: usize,
}

impl UsageDocument {
    pub(super) fn of(counters: Counters, licenses: usize, domains: usize) -> Self {
        Self {
            validations_today_camel: counters.today,
            validations_today: counters.today,
            validations_month_camel: counters.month,
            validations_month: counters.month,
            monthly_limit_camel: UNLIMITED,
            monthly_limit: UNLIMITED,
            active_licenses_camel: licenses,
            active_licenses: licenses,
            active_domains_camel: domains,
            active_domains: domains,
        }
    }
}
