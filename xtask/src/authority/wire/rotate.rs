//! Rotation and the list of licenses over the wire, without the wire: what is sent, and what came back.
//!
//! The body of an answered rotation is not looked at here before somebody has sealed it: [`outcome`] goes by the status
//! alone, and [`read_rotated`] reads the body afterwards.

use jiff::Timestamp;
use license_core::{LicenseKey, rotation::CallOutcome};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Answer, Body, NoVerdict,
    facts::{DayAlone, Domains, Facts, instant, looks_like_a_code},
    of_status, of_twice, of_unusable,
    once::{self, TWICE},
    protocol,
    quote::Secrets,
    words,
};
use crate::authority::{Extent, ListedLicense, Listing, NewKey};

/// The path of the list, below the base address.
pub(crate) const LIST_PATH: &str = "/portal/licenses";

/// How the authority documents its rotation. One is never tried after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As in the vendor's article: one path, and the license in the body.
    Article,
    /// As in the vendor's SDKs: the license in the path. The body is sent along.
    Sdk,
}

/// The path of a rotation, below the base address; `None` for an id that cannot stand in one.
pub(crate) fn rotate_path(dialect: Dialect, license_id: &str) -> Option<String> {
    // An empty or dotted segment is another path to whoever normalizes it, however it is written.
    if license_id.bytes().all(|b| b == b'.') {
        return None;
    }
    Some(match dialect {
        Dialect::Article => "/licenses/rotate".to_owned(),
        Dialect::Sdk => format!("/portal/licenses/{}/rotate", segment(license_id)),
    })
}

/// A text as one segment of a path (RFC 3986 §2.3).
fn segment(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |four_bits: u8| char::from(HEX[usize::from(four_bits)]);
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    encoded
}

/// The body of a rotation; it holds no secret.
pub(crate) fn rotate_body(license_id: &str, grace_days: u32) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Rotate<'a> {
        license_id: &'a str,
        grace_period_days: u32,
    }
    let body = Rotate { license_id, grace_period_days: grace_days };
    serde_json::to_vec(&body).expect("a text and a number are always JSON")
}

/// What an answer to a rotation without a 2xx status means. `retry_secs` is the wait that the headers ask for.
pub(crate) fn outcome(answer: &Answer<'_>, retry_secs: Option<u64>, secrets: &Secrets<'_>) -> CallOutcome {
    match (answer.status, retry_secs) {
        (409, _) => CallOutcome::InProgress,
        (429, secs) => CallOutcome::RetryAfter { secs: secs.unwrap_or(0) },
        (503, Some(secs)) => CallOutcome::RetryAfter { secs },
        (400..=407 | 410..=428 | 430..=499, _) => CallOutcome::Refused { code: refusal_code(answer, secrets) },
        // 1xx, 2xx without a body, 3xx, 408, 5xx, and numbers that mean nothing.
        (_, _) => CallOutcome::Unknown { why: answer.to_string() },
    }
}

/// The authority's code if it has the form of one, else the status. Free text may hold a key and is not taken.
fn refusal_code(answer: &Answer<'_>, secrets: &Secrets<'_>) -> String {
    /// A code is not longer than this, in bytes.
    const CODE_BYTES_MAX: usize = 64;
    let code = match Body::read(answer) {
        Body::Object(top) => Facts::of(&top, secrets).code(),
        Body::Twice | Body::CutOff | Body::Unusable(_) => None,
    };
    let plain = |code: &String| code.len() <= CODE_BYTES_MAX && looks_like_a_code(code);
    code.filter(plain).unwrap_or_else(|| answer.to_string())
}

/// Reads the answer to a rotation, in either dialect. Call it when the raw bytes are sealed. The error tells nothing of
/// the body. Only members that name the *new* key count: a bare `key` may be the old one.
pub(crate) fn read_rotated(body: &[u8]) -> Result<NewKey, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let parsed = serde_json::from_slice(body).map_err(|error| {
        let how = if error.is_eof() { "JSON that ends in the middle" } else { "not JSON" };
        format!("the answer to the rotation is {how} ({} bytes)", body.len())
    })?;
    let document = Scrubbed(parsed);
    let Value::Object(top) = &document.0 else {
        return Err("the answer to the rotation is not a JSON object".to_owned());
    };
    let places = Places::of(top);
    let key = places.key()?;
    let secrets = Secrets::of([key.reveal()]);
    let quoted = |value: &Value| value.as_str().map(|text| secrets.quote(text)).filter(|text| !text.is_empty());
    let license_id = places.first(&["licenseId", "license_id"], quoted);
    let expiry = ["expiresAt", "expires_at"];
    Ok(NewKey {
        license_id,
        expires_at: places.first(&expiry, |value| instant(value, DayAlone::End)),
        expires_at_words: places
            .first(&expiry, |value| quoted(value).or_else(|| value.is_number().then(|| value.to_string()))),
        key,
    })
}

/// Parsed JSON whose texts leave memory with it.
struct Scrubbed(Value);

impl Drop for Scrubbed {
    fn drop(&mut self) {
        scrub(&mut self.0);
    }
}

/// The reader bounds how deep a value is nested.
fn scrub(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(all) => all.iter_mut().for_each(scrub),
        Value::Object(all) => all.values_mut().for_each(scrub),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where in a rotation's answer facts may stand.
struct Places<'a> {
    /// The objects that are the new license.
    new: Vec<&'a Map<String, Value>>,
    /// The top level, `data`, `license`, `data.license`.
    outer: Vec<&'a Map<String, Value>>,
    /// A new license that is nothing but its key.
    bare: Vec<&'a str>,
}

/// What a member with the new license is called.
const NEW_LICENSE: [&str; 2] = ["newLicense", "new_license"];

impl<'a> Places<'a> {
    fn of(top: &'a Map<String, Value>) -> Self {
        let inside = |outer: &'a Map<String, Value>, name: &str| outer.get(name).and_then(Value::as_object);
        let data = inside(top, "data");
        let outer = [Some(top), data, inside(top, "license"), data.and_then(|data| inside(data, "license"))];
        let outer: Vec<_> = outer.into_iter().flatten().collect();
        let news = || outer.iter().flat_map(|place| NEW_LICENSE.iter().filter_map(|name| place.get(*name)));
        let new: Vec<_> = news().filter_map(Value::as_object).collect();
        let bare = news().filter_map(Value::as_str).collect();
        let nested: Vec<_> = new.iter().filter_map(|new| inside(new, "license")).collect();
        Self { new: new.into_iter().chain(nested).collect(), outer, bare }
    }

    /// The one new key.
    fn key(&self) -> Result<LicenseKey, String> {
        const NEW_KEY: [&str; 2] = ["newKey", "new_key"];
        const KEY: [&str; 5] = ["key", "license_key", "licenseKey", "newKey", "new_key"];
        let texts = |places: &[&'a Map<String, Value>], names: &[&str]| -> Vec<&'a str> {
            let named = places.iter().flat_map(|place| names.iter().filter_map(|name| place.get(*name)));
            named.filter_map(Value::as_str).collect()
        };
        let mut found = texts(&self.outer, &NEW_KEY);
        found.extend(texts(&self.new, &KEY));
        found.extend(&self.bare);
        // A masked text beside the key is not another key.
        found.retain(|text| !text.trim().is_empty() && !text.contains(['*', '…', '•']));
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [] => Err("the answer to the rotation has no new key where one is known to stand".to_owned()),
            [text] => LicenseKey::parse(text.trim())
                .map_err(|_| "the answer to the rotation has a new key of a form that no key has".to_owned()),
            [..] => Err(format!("the answer to the rotation has {} different new keys", found.len())),
        }
    }

    /// The first readable value, of the new license before anything else.
    fn first<T>(&self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let mut places = self.new.iter().chain(&self.outer);
        places.find_map(|place| names.iter().find_map(|name| read(place.get(*name)?)))
    }
}

/// Reads the list of licenses. An element without an id makes the whole list unusable: leaving it out would say that it
/// is not there. So would a first page that is taken for the whole.
pub(crate) fn list(answer: &Answer<'_>, secrets: &Secrets<'_>) -> Result<Listing, NoVerdict> {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer.body);
    if answer.status != 200 {
        return Err(match Body::read(answer) {
            Body::Object(top) => {
                let facts = Facts::of(&top, secrets);
                refused_list(answer, &words(facts.code().as_deref(), facts.message().as_deref()))
            }
            Body::Twice => refused_list(answer, &format!(", and {TWICE}")),
            Body::CutOff => refused_list(answer, ""),
            Body::Unusable(what) => refused_list(answer, &format!(", and {what}")),
        });
    }
    let Ok(parsed) = once::read(body) else {
        return Err(match Body::read(answer) {
            Body::CutOff => NoVerdict::Again { why: format!("{answer}, and a list that ends in the middle") },
            Body::Twice => of_twice(answer),
            Body::Object(_) => of_unusable(answer, "some other JSON"),
            Body::Unusable(what) => of_unusable(answer, what),
        });
    };
    let document = Scrubbed(parsed);
    let elements = elements(&document.0).ok_or_else(|| protocol(format!("{answer}, and no list of licenses")))?;
    let licenses = elements
        .iter()
        .map(|element| listed(element, secrets))
        .collect::<Option<_>>()
        .ok_or_else(|| protocol(format!("{answer}, and a list with an element that has no license id")))?;
    Ok(Listing { licenses, extent: extent(&document.0, elements.len(), answer) })
}

/// How many elements a page has where somebody chose a round number.
const PAGE_SIZES: [usize; 9] = [10, 20, 25, 30, 50, 100, 200, 500, 1_000];
/// Where a list says how long it is.
const TOTALS: [&str; 5] = ["total", "totalCount", "total_count", "totalItems", "total_items"];
/// Where it says how many pages there are.
const PAGE_COUNTS: [&str; 4] = ["totalPages", "total_pages", "pageCount", "page_count"];
/// Where it says whether there are more.
const MORE: [&str; 2] = ["hasMore", "has_more"];
/// Where it says what comes next.
const NEXT: [&str; 8] =
    ["next", "nextPage", "next_page", "nextCursor", "next_cursor", "nextToken", "next_token", "cursor"];

/// Whether that is the whole list. Nothing is documented of pages, so that every way in which lists tell of them counts;
/// one that tells nothing, and has as many elements as pages have, may have more.
fn extent(document: &Value, shown: usize, answer: &Answer<'_>) -> Extent {
    let may_have_more = |why: String| Extent::MayHaveMore { why };
    let outer: Vec<_> = [Some(document), document.get("data")].into_iter().flatten().collect();
    let inside = ["pagination", "meta", "paging", "page", "links", "_links"];
    let nested = outer.iter().flat_map(|place| inside.iter().filter_map(|name| place.get(*name)));
    let places: Vec<&Map<String, Value>> = outer.iter().copied().chain(nested).filter_map(Value::as_object).collect();
    let stated = |names: &[&str]| -> Vec<&Value> {
        places.iter().flat_map(|place| names.iter().filter_map(|name| place.get(*name))).collect()
    };
    let numbers = |names: &[&str]| stated(names).into_iter().filter_map(Value::as_u64).max();
    let goes_on = |value: &&Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    };
    let total = numbers(&TOTALS);
    if let Some(total) = total.filter(|total| *total > shown as u64) {
        return may_have_more(format!("it states {total} licenses and shows {shown}"));
    }
    if numbers(&PAGE_COUNTS).is_some_and(|pages| pages > 1) {
        return may_have_more("it states more than one page".to_owned());
    }
    let more = stated(&MORE);
    if answer.headers.next_page || more.iter().any(goes_on) || stated(&NEXT).iter().any(goes_on) {
        return may_have_more("it names a next page".to_owned());
    }
    if total.is_none() && more.is_empty() && PAGE_SIZES.contains(&shown) {
        return may_have_more(format!(
            "it shows {shown} licenses, as a first page would, and does not say how many there are"
        ));
    }
    Extent::Whole
}

/// Why there is no list. A redirect goes nowhere: its target is not told, since nothing here needs it.
fn refused_list(answer: &Answer<'_>, words: &str) -> NoVerdict {
    match answer.status {
        401 | 403 | 404 | 408 | 425 | 429 | 500..=599 => of_status(answer, words),
        _ => protocol(format!("{answer} is no list of licenses{words}")),
    }
}

fn elements(document: &Value) -> Option<&Vec<Value>> {
    let within = |value: &'_ Value| value.get("licenses").is_some();
    let place = if within(document) { document } else { document.get("data").unwrap_or(document) };
    place.get("licenses").unwrap_or(place).as_array()
}

fn listed(element: &Value, secrets: &Secrets<'_>) -> Option<ListedLicense> {
    let element = element.as_object()?;
    let facts = Facts::of(element, secrets);
    let key = ["license_key", "licenseKey", "key"].iter().find_map(|name| element.get(*name)?.as_str());
    Some(ListedLicense {
        license_id: facts.id()?,
        shown_key: key.filter(|text| !text.is_empty()).map(|text| Zeroizing::new(text.to_owned())),
        domains: match facts.domains() {
            Domains { stated: Some(stated), left_out: None } => stated,
            // Half a list would be another license.
            Domains { stated: _, left_out: _ } => Vec::new(),
        },
        created_at: facts.issued_at(),
    })
}

/// The article's answer to a rotation, as the embedded authority gives it: it is sealed and read like any other.
pub(crate) fn rotated_body(
    license_id: &str,
    key: &LicenseKey,
    expires_at: Option<Timestamp>,
    grace_ends_at: Timestamp,
) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Rotated<'a> {
        new_key: &'a str,
        license_id: &'a str,
        expires_at: Option<Timestamp>,
        grace_ends_at: Timestamp,
    }
    let body = Rotated { new_key: key.reveal(), license_id, expires_at, grace_ends_at };
    let mut bytes = Zeroizing::new(Vec::with_capacity(super::BODY_BYTES_EXTRA + 4 * key.reveal().len()));
    serde_json::to_writer(&mut *bytes, &body).expect("texts and times are always JSON, and memory takes every write");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::wire::Headers;

    fn answer<'a>(status: u16, headers: &'a Headers, body: &'a str) -> Answer<'a> {
        Answer { status, headers, body: body.as_bytes() }
    }

    #[test]
    fn what_a_status_says_about_a_rotation() {
        let (headers, secrets) = (Headers::default(), Secrets::of(["sk_live_secret"]));
        let refused = |code: &str| CallOutcome::Refused { code: code.to_owned() };
        let unknown = |status: u16| CallOutcome::Unknown { why: format!("status {status}") };
        for status in [400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 428, 430, 499] {
            assert_eq!(outcome(&answer(status, &headers, ""), None, &secrets), refused(&format!("status {status}")));
        }
        for status in [100, 101, 200, 204, 301, 302, 307, 308, 408, 500, 502, 503, 504, 599, 600, 999] {
            assert_eq!(outcome(&answer(status, &headers, ""), None, &secrets), unknown(status));
        }
        assert_eq!(outcome(&answer(409, &headers, ""), Some(1), &secrets), CallOutcome::InProgress);
        assert_eq!(outcome(&answer(429, &headers, ""), Some(7), &secrets), CallOutcome::RetryAfter { secs: 7 });
        assert_eq!(outcome(&answer(429, &headers, ""), None, &secrets), CallOutcome::RetryAfter { secs: 0 });
        assert_eq!(outcome(&answer(503, &headers, ""), Some(7), &secrets), CallOutcome::RetryAfter { secs: 7 });
        assert_eq!(outcome(&answer(500, &headers, ""), Some(7), &secrets), unknown(500));
        for (body, code) in [
            (r#"{"code":"QUOTA_EXCEEDED"}"#, "QUOTA_EXCEEDED"),
            (r#"{"error":{"code":"plan_too_small"}}"#, "plan_too_small"),
            (r#"{"code":"TO-PRD-AAAA-BBBB"}"#, "status 403"),
            (r#"{"code":"sk_live_secret"}"#, "status 403"),
            (r#"{"error":"no such thing"}"#, "status 403"),
            ("<html>", "status 403"),
        ] {
            assert_eq!(outcome(&answer(403, &headers, body), None, &secrets), refused(code), "{body}");
        }
    }

    #[test]
    fn an_id_is_one_segment_of_the_path() {
        let path = |id| rotate_path(Dialect::Sdk, id);
        assert_eq!(path("lic_abc-1.2~").as_deref(), Some("/portal/licenses/lic_abc-1.2~/rotate"));
        assert_eq!(path("a/../b?c#d é").as_deref(), Some("/portal/licenses/a%2F..%2Fb%3Fc%23d%20%C3%A9/rotate"));
        assert_eq!((path(""), path("."), path("..")), (None, None, None));
        assert_eq!(rotate_path(Dialect::Article, "a/b").as_deref(), Some("/licenses/rotate"));
        assert_eq!(rotate_body("lic_\"1", 7), br#"{"licenseId":"lic_\"1","gracePeriodDays":7}"#);
    }

    #[test]
    fn the_new_key_is_read_from_every_known_shape() {
        for body in [
            r#"{"newKey":"TO-PRD-NEW"}"#,
            "\u{feff} {\"newKey\":\"TO-PRD-NEW\"}",
            r#"{"new_key":"TO-PRD-NEW","key":"TO-PRD-OLD"}"#,
            r#"{"success":true,"previousLicenseId":"lic_0","newLicense":{"key":"TO-PRD-NEW"}}"#,
            r#"{"newLicense":{"license_key":"TO-PRD-NEW"}}"#,
            r#"{"new_license":{"licenseKey":"TO-PRD-NEW","key":"TO-PRD-NEW"}}"#,
            r#"{"newLicense":"TO-PRD-NEW"}"#,
            r#"{"data":{"newKey":"TO-PRD-NEW"}}"#,
            r#"{"license":{"newKey":"TO-PRD-NEW"}}"#,
            r#"{"data":{"license":{"new_key":"TO-PRD-NEW"}}}"#,
            r#"{"data":{"newLicense":{"key":"TO-PRD-NEW"}}}"#,
            r#"{"newKey":"TO-PRD-NEW","newLicense":{"license_key":"TO-****-NEW"}}"#,
        ] {
            assert_eq!(
                read_rotated(body.as_bytes()).map(|new| new.key.reveal().to_owned()).as_deref(),
                Ok("TO-PRD-NEW"),
                "{body}"
            );
        }
    }

    #[test]
    fn what_else_an_answer_says_is_kept() {
        let read = |body: &str| read_rotated(body.as_bytes()).unwrap();
        let new = read(
            r#"{"newLicense":{"key":"TO-PRD-NEW","license_id":"lic_2","expires_at":"2027-01-31"},"licenseId":"lic_1","expiresAt":"soon"}"#,
        );
        assert_eq!(new.license_id.as_deref(), Some("lic_2"));
        assert_eq!(new.expires_at, "2027-02-01T00:00:00Z".parse().ok());
        assert_eq!(new.expires_at_words.as_deref(), Some("2027-01-31"));
        let new = read(r#"{"newKey":"TO-PRD-NEW-KEY","expiresAt":"with TO-PRD-NEW-KEY\u001b"}"#);
        assert_eq!((new.license_id, new.expires_at), (None, None));
        assert!(
            new.expires_at_words.is_some_and(|words| words.starts_with("with [masked]") && !words.contains('\u{1b}'))
        );
        assert_eq!(
            read(r#"{"newKey":"TO-PRD-NEW","expiresAt":1800000000}"#).expires_at_words.as_deref(),
            Some("1800000000")
        );
    }

    #[test]
    fn an_answer_without_exactly_one_new_key_is_an_error_that_does_not_show_it() {
        for body in [
            "",
            "secret",
            r#"{"newKey":"secret"#,
            r#"["secret"]"#,
            r#"{"key":"secret"}"#,
            r#"{"license":{"key":"secret"}}"#,
            r#"{"newKey":null,"x":"secret"}"#,
            r#"{"newKey":"secret-1","newLicense":{"key":"secret-2"}}"#,
            r#"{"newKey":"sec ret\n1"}"#,
            r#"{"newKey":"secret-****"}"#,
        ] {
            let error = read_rotated(body.as_bytes()).map(|_| ()).unwrap_err();
            assert!(!error.contains("sec"), "{error}");
        }
    }

    #[test]
    fn a_list_is_read_in_both_spellings_with_keys_as_they_are_shown() {
        let (headers, secrets) = (Headers::default(), Secrets::of([]));
        let read =
            |body: &str| list(&answer(200, &headers, body), &secrets).map(|listing| listing.licenses).map_err(|_| ());
        for body in [
            r#"{"licenses":[{"license_id":"lic_1","license_key":"TO-****-1","domains":["app.com"],"created_at":"2026-01-01T00:00:00Z"}]}"#,
            r#"{"data":{"licenses":[{"licenseId":"lic_1","licenseKey":"TO-****-1","domains":["app.com"],"createdAt":"2026-01-01T00:00:00Z"}]}}"#,
            r#"[{"id":"lic_1","key":"TO-****-1","domains":["app.com"],"createdAt":"2026-01-01T00:00:00Z"}]"#,
        ] {
            let all = read(body).unwrap();
            let [one] = &all[..] else { panic!("{} licenses", all.len()) };
            assert_eq!((one.license_id.as_str(), &one.domains[..]), ("lic_1", &["app.com".to_owned()][..]));
            assert_eq!(one.shown_key.as_ref().map(|key| key.as_str()), Some("TO-****-1"));
            assert_eq!(one.created_at, "2026-01-01T00:00:00Z".parse().ok());
        }
        assert_eq!(read(r#"{"licenses":[]}"#).map(|all| all.len()), Ok(0));
        for body in
            [r#"{"licenses":{}}"#, "{}", r#"{"licenses":[{}]}"#, r#"{"licenses":[1]}"#, "<html>", "", "{\"licenses\":["]
        {
            assert!(read(body).is_err(), "{body}");
        }
        for status in [201, 302, 401, 404, 429, 500] {
            assert!(list(&answer(status, &headers, r#"{"licenses":[]}"#), &secrets).is_err(), "{status}");
        }
    }

    #[test]
    fn a_first_page_is_not_taken_for_the_whole_list() {
        let licenses = |count: usize| {
            let all: Vec<_> = (0..count).map(|one| format!(r#"{{"license_id":"lic_{one}"}}"#)).collect();
            format!("[{}]", all.join(","))
        };
        let headers = Headers::default();
        let whole = |headers: &Headers, body: &str| {
            let listing = list(&answer(200, headers, body), &Secrets::of([])).map_err(|_| ()).unwrap();
            listing.extent == Extent::Whole
        };
        let with = |count: usize, rest: &str| format!(r#"{{"licenses":{}{rest}}}"#, licenses(count));
        for (count, rest) in [
            (3, r#","total":4"#),
            (3, r#","pagination":{"totalCount":40}"#),
            (3, r#","meta":{"total_pages":2}"#),
            (3, r#","hasMore":true"#),
            (3, r#","total":3,"next":"/licenses?page=2""#),
            (3, r#","next_cursor":"abc""#),
            (3, r#","links":{"next":{"href":"/x"}}"#),
            (0, r#","total":1"#),
            (50, ""),
            (100, r#","next":null"#),
        ] {
            assert!(!whole(&headers, &with(count, rest)), "{count} {rest}");
        }
        for (count, rest) in [
            (3, ""),
            (0, ""),
            (49, ""),
            (3, r#","total":3,"next":null,"hasMore":false"#),
            (50, r#","total":50"#),
            (50, r#","has_more":false"#),
            (3, r#","next_cursor":"","totalPages":1"#),
        ] {
            assert!(whole(&headers, &with(count, rest)), "{count} {rest}");
        }
        assert!(!whole(&headers, &licenses(20)) && whole(&headers, &licenses(21)));
        assert!(!whole(&headers, &format!(r#"{{"data":{{"licenses":{},"total":9}}}}"#, licenses(2))));
        let next = Headers { next_page: true, ..Headers::default() };
        assert!(!whole(&next, &with(3, "")));
    }
}
