//! What each request does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use license_core::{
    Domain, KeyClass,
    chain::Entry,
    license::ActivationLimit,
    registry::{
        Asked, Event, GRACE_DAYS_DEFAULT, LicenseId, Licensed, Lifecycle, Record, Refusal, RotationWish, Terms,
    },
};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Settings,
    answer::{self, Answer, Listed, UsageDocument},
    options::{ApiToken, Idempotency, ListKeys, RefuseWith},
    route::Route,
    usage::Usage,
};
use crate::{
    authority::embedded::{ChangeError, Embedded, whole_second},
    log::LogError,
    server::Lines,
};

/// The authority and the settings that its answers depend on.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) authority: Embedded,
    pub(super) usage: Usage,
    token: Option<ApiToken>,
    refuse_with: RefuseWith,
    /// Where the person who runs the server hears what clients are not told.
    complaints: Lines,
    rotation: (super::KeepPreviousKeys, Idempotency),
    list_keys: ListKeys,
    /// Answers of an edge cache that is asked to be stale: by the hash of the request.
    stale: Mutex<BTreeMap<[u8; 32], (Instant, Answer)>>,
}

/// The most answers that the stale cache keeps.
const STALE_MAX: usize = 1024;

impl Handler {
    pub(super) fn new(settings: Settings, authority: Embedded, usage: Usage, complaints: Lines) -> Self {
        Self {
            authority,
            usage,
            token: settings.token,
            refuse_with: settings.refuse_with,
            rotation: (settings.keep_previous, settings.idempotency),
            list_keys: settings.list_keys,
            complaints,
            stale: Mutex::default(),
        }
    }

    /// The time, by the authority's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.authority.now()
    }

    /// Something broke that is not the client's fault: the client hears that it did, and whoever runs the server why.
    pub(super) fn complain(&self, why: &LogError) -> Answer {
        self.complaints.say(format!("a request failed: {why}"));
        Answer::internal()
    }

    /// A wrong token is refused everywhere; none at all where one is needed. Without a token this machine may change
    /// licenses, but a web page that is open on it may not.
    pub(super) fn refuse_stranger(&self, route: &Route, headers: &HeaderMap) -> Option<Answer> {
        let Some(wanted) = &self.token else {
            let is_page = !route.is_public() && comes_from_a_page(headers);
            return is_page.then(|| {
                Answer::error(StatusCode::FORBIDDEN, "FOREIGN_HOST", "web pages and foreign host names are not served")
            });
        };
        let refused = match presented(headers) {
            None => !route.is_public(),
            Some(token) => ApiToken::new(token) != *wanted,
        };
        refused.then(|| {
            let mut answer =
                Answer::error(StatusCode::UNAUTHORIZED, "AUTH_FAILED", "the API token is missing or wrong");
            answer.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            answer
        })
    }

    /// Answers a validation from what was read of the log.
    pub(super) fn validate(&self, body: &[u8], stale: Option<Duration>) -> Answer {
        let Some(question) = read::<Question<'_>>(body) else { return no_key() };
        let Some(key) = question.key() else { return no_key() };
        self.usage.count(self.now());
        let domain = question.domain.as_deref().filter(|text| !text.is_empty());
        let Some(age_max) = stale else { return self.judge(key, domain) };
        let name = cache_name(key, domain);
        if let Some(answer) = self.kept(&name, age_max) {
            return answer;
        }
        let answer = self.judge(key, domain);
        self.keep(name, answer.clone());
        answer
    }

    fn judge(&self, key: &str, domain: Option<&str>) -> Answer {
        let parsed = domain.map(Domain::parse);
        let asked = match &parsed {
            None => Asked::KeyOnly,
            Some(Ok(domain)) => Asked::Domain(domain),
            Some(Err(_)) => Asked::NotADomain,
        };
        let refused = match self.refuse_with {
            RefuseWith::Ok => StatusCode::OK,
            RefuseWith::Forbidden => StatusCode::FORBIDDEN,
        };
        self.authority
            .look_at_seen(|registry, now| answer::validated(&registry.validate(key, asked, now), refused, now))
    }

    fn kept(&self, name: &[u8; 32], age_max: Duration) -> Option<Answer> {
        let stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, answer) = stale.get(name)?;
        (since.elapsed() < age_max).then(|| answer.clone())
    }

    fn keep(&self, name: [u8; 32], answer: Answer) {
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        if stale.len() >= STALE_MAX {
            stale.clear();
        }
        stale.insert(name, (Instant::now(), answer));
    }

    /// Answers everything but a validation. It may wait for the disk.
    pub(super) fn handle(
        &self,
        route: &Route,
        body: &[u8],
        query: Option<&str>,
        idempotency_key: Option<&str>,
    ) -> Answer {
        let answered = match route {
            Route::Validate => Ok(self.validate(body, None)),
            Route::Health => Ok(health()),
            Route::Rotate => self.rotate_by_body(body, idempotency_key),
            Route::RotateOne(id) => self.rotate_by_path(id, body, idempotency_key),
            Route::Activate => by_body(body).and_then(|id| Ok(counted(&self.authority.activate(&id)?))),
            Route::Deactivate => by_body(body).and_then(|id| Ok(counted(&self.authority.deactivate(&id)?))),
            Route::List => self.list(),
            Route::Show(id) => self.show(id),
            Route::Create => self.create(body),
            Route::Update(id) => self.update(id, body),
            Route::Revoke(id) => self.authority.revoke(id).map(|_| success()).map_err(Into::into),
            Route::AddDomain(id) => self.add_domain(id, body),
            Route::RemoveDomain(id) => self.remove_domain(id, body),
            Route::Usage => self.usage(),
            Route::AuditExport => self.export(query.unwrap_or_default()),
            Route::WrongMethod(allowed) => Ok(wrong_method(allowed)),
            // No `valid` and no `code`: a client can tell a wrong path from an unknown license.
            Route::Nowhere => Ok(Answer::json(StatusCode::NOT_FOUND, &json!({ "message": "there is no such path" }))),
        };
        answered.unwrap_or_else(|refused| match refused {
            Refused::With(answer) => answer,
            Refused::Broken(why) => self.complain(&why),
        })
    }

    fn rotate_by_body(&self, body: &[u8], idempotency_key: Option<&str>) -> Result<Answer, Refused> {
        let wish: RotateBody = parse(body)?;
        let id = license_id(wish.license_id.as_deref())?;
        let (license, rotation) = self.rotate(&id, wish.grace_period_days, idempotency_key)?;
        Ok(answer::rotated_article(&license, &rotation))
    }

    /// The SDKs send no body at all.
    fn rotate_by_path(&self, id: &LicenseId, body: &[u8], idempotency_key: Option<&str>) -> Result<Answer, Refused> {
        let wish: RotateBody = if body.trim_ascii().is_empty() { RotateBody::default() } else { parse(body)? };
        let (license, rotation) = self.rotate(id, wish.grace_period_days, idempotency_key)?;
        Ok(answer::rotated_sdk(&license, &rotation, self.now()))
    }

    fn rotate(
        &self,
        id: &LicenseId,
        grace_days: Option<u32>,
        idempotency_key: Option<&str>,
    ) -> Result<(Licensed, license_core::registry::Rotation), Refused> {
        let (previous, idempotency) = self.rotation;
        let wish = RotationWish {
            grace_days: grace_days.unwrap_or(GRACE_DAYS_DEFAULT),
            previous: previous.into(),
            idempotency_key: match idempotency {
                Idempotency::Honor => idempotency_key.map(str::to_owned),
                Idempotency::Ignore => None,
            },
        };
        let rotation = self.authority.rotate(id, wish)?;
        Ok((self.one(id)?, rotation))
    }

    fn one(&self, id: &LicenseId) -> Result<Licensed, Refused> {
        let found = self.authority.look(|registry, _| registry.license(id).cloned()).map_err(ChangeError::Log)?;
        Ok(found.map_err(ChangeError::Refused)?)
    }

    fn list(&self) -> Result<Answer, Refused> {
        let listed = |registry: &license_core::registry::Registry, now| {
            let licenses: Vec<_> =
                registry.licenses().map(|license| Listed::of(license, self.list_keys, now)).collect();
            Answer::json(StatusCode::OK, &json!({ "licenses": licenses }))
        };
        Ok(self.authority.look(listed).map_err(ChangeError::Log)?)
    }

    fn show(&self, id: &LicenseId) -> Result<Answer, Refused> {
        let license = self.one(id)?;
        Ok(Answer::json(StatusCode::OK, &Listed::of(&license, self.list_keys, self.now())))
    }

    /// A license for one domain. The SDKs name the application, the domain and the plan; what else it grants may be
    /// named too, in fields of our own, and is otherwise a production key without features, for a year.
    fn create(&self, body: &[u8]) -> Result<Answer, Refused> {
        let wish: CreateBody = parse(body)?;
        let year = jiff::SignedDuration::from_hours(24 * 365);
        let terms = Terms {
            class: wish.class.unwrap_or(KeyClass::Prd),
            plan: wish.plan_id.unwrap_or_else(|| "standard".to_owned()),
            domains: wish.domain.into_iter().filter(|domain| !domain.is_empty()).collect(),
            features: wish.features,
            activations_used: 0,
            activation_limit: activation_limit(wish.activation_limit)?,
            expires_at: end(wish.expires_at.as_deref(), whole_second(self.now()).checked_add(year).ok())?,
        };
        let issued = self.authority.issue(terms)?;
        let license = self.one(&issued.license_id)?;
        let mut document = json!(Listed::of(&license, ListKeys::Plain, self.now()));
        document["appName"] = json!(wish.app_name);
        Ok(Answer::json(StatusCode::CREATED, &document))
    }

    fn update(&self, id: &LicenseId, body: &[u8]) -> Result<Answer, Refused> {
        let wish: UpdateBody = parse(body)?;
        match wish.status.as_str() {
            "active" => self.authority.resume(id)?,
            "suspended" => self.authority.suspend(id)?,
            _ => return Err(bad("a status is `active` or `suspended`")),
        };
        Ok(success())
    }

    fn add_domain(&self, id: &LicenseId, body: &[u8]) -> Result<Answer, Refused> {
        let DomainBody { domain } = parse(body)?;
        self.authority.add_domain(id, &domain)?;
        Ok(Answer::json(StatusCode::CREATED, &json!({ "domainId": format!("{id}/{domain}"), "domain": domain })))
    }

    fn remove_domain(&self, id: &LicenseId, body: &[u8]) -> Result<Answer, Refused> {
        let DomainBody { domain } = parse(body)?;
        self.authority.remove_domain(id, &domain)?;
        Ok(success())
    }

    fn usage(&self) -> Result<Answer, Refused> {
        let counters = self.usage.counters(self.now());
        let counted = |registry: &license_core::registry::Registry, now| {
            let active: Vec<_> =
                registry.licenses().filter(|license| license.status(now) == Lifecycle::Active).collect();
            let domains: BTreeSet<&String> = active.iter().flat_map(|license| &license.terms.domains).collect();
            Answer::json(StatusCode::OK, &UsageDocument::of(counters, active.len(), domains.len()))
        };
        Ok(self.authority.look(counted).map_err(ChangeError::Log)?)
    }

    /// What happened, without keys.
    fn export(&self, query: &str) -> Result<Answer, Refused> {
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let since = match parameter("since").filter(|text| !text.is_empty()) {
            None => Timestamp::MIN,
            Some(text) => {
                percent_decoded(text).parse().map_err(|_| bad("`since` is a time, as in `2026-01-31T00:00:00Z`"))?
            }
        };
        let history = self.authority.history().map_err(ChangeError::Log)?;
        let rows: Vec<Row<'_>> = history.iter().filter(|entry| entry.body.at >= since).map(Row::of).collect();
        match parameter("format").unwrap_or("json") {
            "json" => Ok(Answer::json(StatusCode::OK, &json!({ "logs": rows }))),
            "csv" => {
                Ok(Answer { content_type: "text/csv", body: csv(&rows).into_bytes(), ..Answer::empty(StatusCode::OK) })
            }
            _ => Err(bad("`format` is `json` or `csv`")),
        }
    }
}

/// The text of a path's part or of a query's value; what is no code stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii_graphic);
        if let Some(byte) = code {
            decoded.push(char::from(byte));
            decoded.push_str(&piece[2..]);
        } else {
            decoded.push('%');
            decoded.push_str(piece);
        }
    }
    decoded
}

/// One line of the audit export.
#[derive(serde::Serialize)]
struct Row<'a> {
    seq: u64,
    at: Timestamp,
    action: &'static str,
    license_id: &'a str,
}

impl<'a> Row<'a> {
    fn of(entry: &'a Entry<Record>) -> Self {
        let event: &Event = &entry.body.event;
        Self { seq: entry.seq, at: entry.body.at, action: event.kind(), license_id: event.license_id().as_str() }
    }
}

/// No field can hold a comma or a quote: numbers, times, words of ours and ids.
fn csv(rows: &[Row<'_>]) -> String {
    let lines = rows.iter().map(|row| format!("{},{},{},{}", row.seq, row.at, row.action, row.license_id));
    std::iter::once("seq,at,action,license_id".to_owned()).chain(lines).collect::<Vec<_>>().join("\n") + "\n"
}

/// A request that is not carried out.
enum Refused {
    /// The rules are against it; the answer says why.
    With(Answer),
    /// The log cannot be read, written or trusted.
    Broken(LogError),
}

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        Self::With(answer)
    }
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        let refusal = match error {
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Log(why) => return Self::Broken(why),
            ChangeError::NoRandomness(_) => return Self::With(Answer::internal()),
        };
        let (status, code) = match &refusal {
            Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, "LICENSE_NOT_FOUND"),
            Refusal::Revoked { .. } => (StatusCode::CONFLICT, "LICENSE_REVOKED"),
            Refusal::Suspended { .. } => (StatusCode::CONFLICT, "LICENSE_SUSPENDED"),
            Refusal::Expired { .. } => (StatusCode::CONFLICT, "LICENSE_EXPIRED"),
            Refusal::ActivationsUsedUp { .. } => (StatusCode::CONFLICT, "ACTIVATION_LIMIT_EXCEEDED"),
            Refusal::NothingActive { .. } => (StatusCode::CONFLICT, "NOTHING_ACTIVE"),
            Refusal::DomainNotThere { .. } => (StatusCode::NOT_FOUND, "DOMAIN_NOT_FOUND"),
            Refusal::NotADomain { .. }
            | Refusal::BadText { .. }
            | Refusal::TooMany { .. }
            | Refusal::NotLater { .. }
            | Refusal::GraceTooLong { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_REQUEST"),
            Refusal::RandomRepeats => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        };
        Self::With(Answer::error(status, code, &refusal.to_string()))
    }
}

/// A validation in any dialect. The token that is meant here is the license key.
#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow, default)]
    key: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    token: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    license_key: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    domain: Option<std::borrow::Cow<'a, str>>,
}

impl Question<'_> {
    fn key(&self) -> Option<&str> {
        [&self.key, &self.token, &self.license_key]
            .into_iter()
            .find_map(|text| text.as_deref().filter(|text| !text.is_empty()))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotateBody {
    #[serde(alias = "license_id")]
    license_id: Option<String>,
    #[serde(alias = "grace_period_days")]
    grace_period_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LicenseBody {
    #[serde(alias = "license_id")]
    license_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody {
    #[serde(alias = "app_name")]
    app_name: Option<String>,
    domain: Option<String>,
    #[serde(alias = "plan_id")]
    plan_id: Option<String>,
    class: Option<KeyClass>,
    #[serde(default)]
    features: BTreeSet<String>,
    #[serde(alias = "activation_limit")]
    activation_limit: Option<i64>,
    #[serde(alias = "expires_at")]
    expires_at: Option<String>,
}

/// What lists say of a license without a limit, and of one without an end; who creates one may say it too.
const UNLIMITED: i64 = -1;
const NEVER: &str = "9999-12-31T23:59:59Z";

fn activation_limit(limit: Option<i64>) -> Result<ActivationLimit, Refused> {
    match limit {
        None | Some(UNLIMITED) => Ok(ActivationLimit::Unlimited),
        Some(limit) => {
            let limit = u64::try_from(limit).map_err(|_| bad("`activationLimit` is a number from 0 on, or -1"))?;
            Ok(ActivationLimit::AtMost(limit))
        }
    }
}

fn end(text: Option<&str>, otherwise: Option<Timestamp>) -> Result<Option<Timestamp>, Refused> {
    match text {
        None => Ok(otherwise),
        Some(NEVER) => Ok(None),
        Some(text) => {
            let end = text.parse().map_err(|_| bad("`expiresAt` is a time, as in `2027-01-31T00:00:00Z`"))?;
            Ok(Some(end))
        }
    }
}

#[derive(Deserialize)]
struct UpdateBody {
    status: String,
}

#[derive(Deserialize)]
struct DomainBody {
    domain: String,
}

/// Reads an object. The derived readers would take an array for one, by the order of its fields.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    is_object(body).then(|| serde_json::from_slice(body).ok()).flatten()
}

fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// Like [`read`], and says which field cannot be read.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refused> {
    if !is_object(body) {
        return Err(bad("the body is no JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    // The reader's own words could repeat what was sent.
    let read =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| match error.path().to_string().as_str() {
            "." => bad("the body is not the JSON object that belongs here"),
            field => bad(&format!("`{field}` is not what belongs there")),
        })?;
    reader.end().map_err(|_| bad("something follows the JSON object"))?;
    Ok(read)
}

fn by_body(body: &[u8]) -> Result<LicenseId, Refused> {
    let LicenseBody { license_id: id } = parse(body)?;
    license_id(id.as_deref())
}

fn license_id(text: Option<&str>) -> Result<LicenseId, Refused> {
    let text = text.ok_or_else(|| bad("`licenseId` is missing"))?;
    text.parse().map_err(|_| bad("`licenseId` is not an id"))
}

fn bad(message: &str) -> Refused {
    Refused::With(Answer::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message))
}

fn no_key() -> Answer {
    let message = "a validation is a JSON object with the license key as `key`, `token` or `license_key`";
    Answer::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
}

/// Browsers send `Origin` with what a page asks for; a name that leads here through somebody else's DNS is in `Host`.
fn comes_from_a_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_ours = host.is_some_and(|host| Domain::parse(host).is_ok_and(|domain| domain.is_loopback()));
    headers.contains_key(header::ORIGIN) || !is_ours
}

fn counted(license: &Licensed) -> Answer {
    let terms = &license.terms;
    let limit = match terms.activation_limit {
        ActivationLimit::AtMost(limit) => Some(limit),
        ActivationLimit::Unlimited => None,
    };
    let document = json!({
        "success": true, "licenseId": license.id, "activationsUsed": terms.activations_used, "activationLimit": limit,
    });
    Answer::json(StatusCode::OK, &document)
}

fn success() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "success": true }))
}

fn health() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The token of a request, in any of the headers that carry one.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).map(|value| {
        let text = value.to_str().unwrap_or_default();
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => "",
        }
    });
    bearer.or_else(|| headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default()))
}

/// The name that the client gave its request. One that cannot be read is refused: without it a repeated rotation would
/// rotate again; and an empty one would be everybody's.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Answer> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "`Idempotency-Key` is empty, or not plain ASCII",
        )),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let message = format!("this path has other methods: {allowed}");
    let mut answer = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", &message);
    answer.headers.push((header::ALLOW, HeaderValue::from_static(allowed)));
    answer
}

fn cache_name(key: &str, domain: Option<&str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.as_bytes());
    hash.update([0]);
    hash.update(domain.unwrap_or_default().as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_is_told_from_a_program_on_this_machine() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        for (pairs, is_page) in [
            (&[("host", "127.0.0.1:4000")][..], false),
            (&[("host", "localhost")], false),
            (&[("host", "[::1]:4000")], false),
            (&[("host", "evil.example:4000")], true),
            (&[("host", "127.0.0.1:4000"), ("origin", "https://evil.example")], true),
            (&[], true),
        ] {
            let headers: HeaderMap = headers(pairs);
            assert_eq!(comes_from_a_page(&headers), is_page, "{pairs:?}");
        }
    }

    #[test]
    fn a_query_is_decoded_where_it_is_encoded() {
        for (text, decoded) in [
            ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
            ("2026-01-31T00%3A00%3a00%2B01:00", "2026-01-31T00:00:00+01:00"),
            ("100%", "100%"),
            ("%zz%0a%E4", "%zz%0a%E4"),
            ("%é", "%é"),
        ] {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }
}
