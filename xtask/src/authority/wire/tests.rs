//! Every documented shape of an answer, and arbitrary ones.

use jiff::Timestamp;
use license_core::license::{ActivationLimit, Deprecated, LeftOut, Status};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const KEY: &str = "TO-PRD-secret-0123456789";
const TOKEN: &str = "sk_live_secret_0123456789";

fn answered(status: u16, body: &[u8], headers: &Headers) -> Result<License, NoVerdict> {
    classify(&Answer { status, headers, body }, &Secrets::of([KEY, TOKEN]))
}

fn json_with(status: u16, body: &Value) -> Result<License, NoVerdict> {
    answered(status, body.to_string().as_bytes(), &Headers::default())
}

fn facts(body: &Value) -> License {
    json_with(200, body).unwrap()
}

/// What an answer comes to, in a word.
fn sort(result: &Result<License, NoVerdict>) -> &'static str {
    match result {
        Ok(License { answer: Said::Accepted { .. }, .. }) => "accepted",
        Ok(License { answer: Said::Refused { .. }, .. }) => "refused",
        Err(NoVerdict::Again { .. }) => "again",
        Err(NoVerdict::Quota { .. }) => "quota",
        Err(NoVerdict::Credential { .. }) => "credential",
        Err(NoVerdict::Protocol { .. }) => "protocol",
        Err(NoVerdict::NotTheApi { .. }) => "not the api",
    }
}

fn why(result: Result<License, NoVerdict>) -> String {
    match result.unwrap_err() {
        NoVerdict::Again { why } | NoVerdict::Protocol { why, .. } | NoVerdict::NotTheApi { why } => why,
        NoVerdict::Quota { message } | NoVerdict::Credential { message } => message,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "facts are optional")]
fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn the_request_names_the_key_as_the_article_and_as_the_sdks_do() {
    let key = LicenseKey::parse(KEY).unwrap();
    let domain: Domain = serde_json::from_value(json!("app.com")).unwrap();
    let body: Value = serde_json::from_slice(&validate_body(&key, &domain)).unwrap();
    assert_eq!(body, json!({"key": KEY, "token": KEY, "domain": "app.com"}));
}

#[test]
fn what_a_status_and_a_body_come_to() {
    let yes = json!({"valid": true});
    let no = json!({"valid": false, "code": "LICENSE_NOT_FOUND"});
    let quota = json!({"valid": false, "code": "QUOTA_EXCEEDED"});
    let auth = json!({"valid": false, "code": "AUTH_FAILED"});
    let code = json!({"code": "LICENSE_NOT_FOUND"});
    let rows = [
        (200, &yes, "accepted"),
        (201, &yes, "accepted"),
        (200, &no, "refused"),
        (403, &no, "refused"),
        (404, &no, "refused"),
        // A yes that comes with a no is not a yes.
        (403, &yes, "protocol"),
        (404, &yes, "protocol"),
        (400, &yes, "protocol"),
        (400, &no, "protocol"),
        (402, &no, "protocol"),
        (405, &no, "protocol"),
        (410, &no, "protocol"),
        (413, &no, "protocol"),
        (415, &no, "protocol"),
        (422, &no, "protocol"),
        (401, &no, "credential"),
        (401, &json!({}), "credential"),
        (403, &json!({}), "credential"),
        (403, &code, "credential"),
        (403, &json!({"valid": "false"}), "credential"),
        (404, &code, "protocol"),
        (404, &json!({"valid": null}), "protocol"),
        (404, &json!({}), "not the api"),
        (404, &json!({"message": "no such route"}), "not the api"),
        (404, &json!({"error": "Not Found"}), "not the api"),
        (404, &json!({"error": "not_found"}), "not the api"),
        (200, &json!({}), "protocol"),
        (200, &code, "protocol"),
        (200, &json!([]), "protocol"),
        (200, &json!("valid"), "protocol"),
        (200, &json!(true), "protocol"),
        (200, &quota, "quota"),
        (402, &quota, "quota"),
        (403, &quota, "quota"),
        (429, &quota, "quota"),
        (429, &json!({"error": "quota_exceeded"}), "quota"),
        (403, &json!({"error": {"code": "QUOTA_EXCEEDED", "message": "500 used"}}), "quota"),
        (200, &auth, "credential"),
        (400, &auth, "credential"),
        (500, &auth, "credential"),
        (429, &json!({}), "again"),
        (429, &no, "again"),
        (408, &json!({}), "again"),
        (425, &json!({}), "again"),
        (500, &yes, "again"),
        (502, &no, "again"),
        (503, &json!({}), "again"),
        (301, &yes, "protocol"),
        (307, &no, "protocol"),
        (304, &json!({}), "protocol"),
        (100, &yes, "protocol"),
        (999, &yes, "protocol"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(sort(&json_with(status, body)), expected, "{status} {body}");
    }
}

#[test]
fn only_a_boolean_is_a_verdict() {
    let rows = [
        (json!({"valid": true}), "accepted"),
        (json!({"valid": false}), "refused"),
        (json!({"valid": "true"}), "protocol"),
        (json!({"valid": "false"}), "protocol"),
        (json!({"valid": 1}), "protocol"),
        (json!({"valid": 0}), "protocol"),
        (json!({"valid": null}), "protocol"),
        (json!({"valid": [true]}), "protocol"),
        (json!({"valid": {"valid": true}}), "protocol"),
        (json!({"Valid": true}), "protocol"),
        (json!({"ok": true}), "protocol"),
        (json!({"status": "active"}), "protocol"),
        (json!({"result": {"valid": true}}), "protocol"),
        // Wherever it stands.
        (json!({"license": {"valid": true}}), "accepted"),
        (json!({"data": {"valid": true}}), "accepted"),
        (json!({"data": {"license": {"valid": false}}}), "refused"),
        (json!({"ok": true, "valid": true}), "accepted"),
        (json!({"ok": true, "data": {"valid": true}}), "accepted"),
        (json!({"ok": false, "valid": false}), "refused"),
        // What is wrong at the top is not made right further in.
        (json!({"valid": "true", "license": {"valid": true}}), "protocol"),
        (json!({"valid": null, "data": {"valid": true}}), "protocol"),
        // Yes and no at once is neither.
        (json!({"valid": true, "license": {"valid": false}}), "protocol"),
        (json!({"valid": false, "data": {"valid": true}}), "protocol"),
        (json!({"ok": false, "valid": true}), "protocol"),
        (json!({"success": false, "valid": true}), "protocol"),
        (json!({"success": "false", "valid": true}), "protocol"),
        (json!({"ok": 0, "valid": true}), "protocol"),
        (json!({"valid": true, "data": {"success": false}}), "protocol"),
        (json!({"valid": true, "license": {"ok": "No"}}), "protocol"),
        (json!({"status": "error", "valid": true}), "protocol"),
        (json!({"status": "Fail", "valid": true}), "protocol"),
        (json!({"data": {"valid": true, "status": "failed"}}), "protocol"),
        (json!({"status": "error", "valid": false}), "refused"),
        (json!({"valid": true, "license": {"valid": "false"}}), "protocol"),
        (json!({"valid": true, "license": {"valid": 0}}), "protocol"),
        (json!({"valid": true, "data": {"license": {"valid": 0.0}}}), "protocol"),
        (json!({"valid": true, "license": {"valid": null}}), "accepted"),
        (json!({"valid": true, "license": {"valid": "true"}}), "accepted"),
        (json!({"success": "true", "valid": true}), "accepted"),
    ];
    for (body, expected) in rows {
        assert_eq!(sort(&json_with(200, &body)), expected, "{body}");
    }
}

#[test]
fn bodies_that_are_not_json() {
    let html = Headers { html: true, ..Headers::default() };
    let plain = Headers::default();
    let twice = br#"{"valid":false,"valid":true,"features":["sso"]}"#;
    let rows: [(u16, &[u8], &Headers, &str, &str); 19] = [
        (200, b"<!DOCTYPE html><p>log in", &plain, "protocol", "an HTML page"),
        (200, b"please log in", &html, "protocol", "an HTML page"),
        (502, b"<html>bad gateway", &html, "again", "an HTML page"),
        (403, b"<html>blocked", &html, "credential", "an HTML page"),
        (404, b"<html>no such page", &html, "not the api", "an HTML page"),
        (404, b"404 page not found\n", &plain, "not the api", "text that is not JSON"),
        (200, b"", &plain, "protocol", "an empty body"),
        (204, b"", &plain, "protocol", "an empty body"),
        (200, b"\xff\xfe\x00", &plain, "protocol", "text that is not JSON"),
        (200, b"{\"valid\":true", &plain, "again", "ends in the middle"),
        (401, b"{\"valid\":tr", &plain, "credential", "ends in the middle"),
        (200, b"{\"valid\":true}}", &plain, "protocol", "text that is not JSON"),
        (200, twice, &plain, "protocol", "stands twice"),
        (200, twice, &html, "protocol", "stands twice"),
        (403, twice, &plain, "protocol", "stands twice"),
        (404, twice, &plain, "protocol", "stands twice"),
        (401, twice, &plain, "credential", "stands twice"),
        (500, twice, &plain, "again", "stands twice"),
        (200, br#"{"valid":true,"x":[{"sso":1,"s\u0073o":1}]}"#, &plain, "protocol", "stands twice"),
    ];
    for (status, body, headers, expected, words) in rows {
        let result = answered(status, body, headers);
        assert_eq!(sort(&result), expected, "{status} {}", body.escape_ascii());
        let why = why(result);
        assert!(why.contains(words) && why.contains(&status.to_string()), "{why}");
        assert!(!why.contains("sso"), "{why}");
    }
    // One name in two objects is no member that stands twice.
    assert_eq!(sort(&answered(200, br#"{"valid":true,"license":{"valid":true}}"#, &plain)), "accepted");
    let deep = "[".repeat(100_000);
    assert_eq!(sort(&answered(200, deep.as_bytes(), &plain)), "protocol");
    assert_eq!(sort(&answered(200, b"\xef\xbb\xbf {\"valid\": true}\r\n", &plain)), "accepted");
}

#[test]
fn a_redirect_is_named_by_its_host_and_nothing_more() {
    let target = |location: &str| {
        let headers = Headers { location: Some(location.to_owned()), ..Headers::default() };
        why(answered(302, b"", &headers))
    };
    let named = target("https://user:pw@evil.example:8443/take?key=secret");
    assert!(named.contains("redirects to `evil.example:8443`, which was not followed"), "{named}");
    assert!(!named.contains("pw") && !named.contains("secret"), "{named}");
    assert!(target("//evil.example").contains("`evil.example`"));
    assert!(target("/login?next=x").contains("another path"));
    assert!(why(answered(302, b"", &Headers::default())).contains("elsewhere"));
}

#[test]
fn every_shape_gives_the_same_facts() {
    let camel = json!({
        "valid": true, "licenseId": "lic_1", "status": "active", "plan": "pro", "createdAt": "2026-01-01T00:00:00Z",
        "nbf": 1_767_225_600, "expiresAt": "2027-01-01T00:00:00Z", "domains": ["app.com"], "features": ["analytics", "sso"],
        "activationsUsed": 3, "activationLimit": 10, "graceEndsAt": "2026-12-01T00:00:00Z",
    });
    let snake = json!({
        "valid": true, "license_id": "lic_1", "status": "Active", "plan_id": "pro", "created_at": 1_767_225_600_000_i64,
        "not_before": "1767225600", "expires_at": 1_798_761_600, "dom": "app.com",
        "features": {"analytics": true, "sso": 5, "audit": false, "sla": 0, "api": null},
        "activations_used": 3.0, "activation_limit": 10, "grace_ends_at": "2026-12-01T01:00:00+01:00",
    });
    let nested = json!({
        "valid": true, "id": "req_1", "status": "success",
        "license": {
            "id": "lic_1", "status": "active", "planId": "pro", "iat": "1767225600", "notBefore": "2026-01-01",
            "expires": "1798761600000", "domain": "app.com", "features": [{"name": "analytics"}, {"code": "sso", "enabled": true}, {"name": "audit", "enabled": false}],
            "limits": {"activations": {"used": 3, "limit": 10}}, "graceEndsAt": "2026-11-30",
        },
    });
    let wrapped = json!({
        "ok": true,
        "data": {
            "valid": true,
            "license": {
                "licenseId": "lic_1", "status": "ACTIVE", "plan": "pro", "createdAt": "2026-01-01", "nbf": 1_767_225_600.75,
                "exp": "2026-12-31", "licensedTo": "app.com", "features": "analytics, sso",
                "seats": {"used": 3, "total": 10}, "grace_ends_at": 1_796_083_200,
            },
        },
    });
    let expected = License {
        answer: Said::Accepted { code: None },
        id: Some("lic_1".into()),
        status: Some(Status::Active),
        plan: Some("pro".into()),
        issued_at: at("2026-01-01T00:00:00Z"),
        not_before: at("2026-01-01T00:00:00Z"),
        expires_at: at("2027-01-01T00:00:00Z"),
        domains: Some(names(&["app.com"])),
        domains_left_out: None,
        features: Some(names(&["analytics", "sso"]).into_iter().collect()),
        activations_used: Some(3),
        activation_limit: Some(ActivationLimit::AtMost(10)),
        grace_ends_at: at("2026-12-01T00:00:00Z"),
        deprecated: None,
        unreadable_end: None,
    };
    for body in [camel, snake, nested, wrapped] {
        assert_eq!(facts(&body), expected, "{body}");
    }
}

#[test]
fn what_is_not_said_is_not_made_up() {
    assert_eq!(facts(&json!({"valid": true})), License::bare(Said::Accepted { code: None }));
}

#[test]
fn a_fact_of_the_wrong_type_is_not_stated() {
    for odd in [json!(null), json!(true), json!([5]), json!({"x": []}), json!(-7), json!(0.5), json!("")] {
        let body = json!({
            "valid": true, "licenseId": odd, "status": odd, "plan": odd, "createdAt": odd, "nbf": odd, "expiresAt": odd,
            "domains": odd, "activationsUsed": odd, "activationLimit": odd, "graceEndsAt": odd, "code": odd, "message": odd,
            "features": if odd == json!({"x": []}) { json!({"x": "sometimes"}) } else { odd.clone() },
            "license": odd, "data": odd, "limits": odd, "seats": odd, "error": odd,
        });
        // No end would be a yes.
        let unreadable_end = (![json!(null), json!(-7), json!("")].contains(&odd)).then(|| odd.to_string());
        // Nor is a list of domains that cannot be read.
        let domains_left_out = match &odd {
            Value::Array(_) => Some(LeftOut::Unreadable("5".to_owned())),
            Value::Object(_) => Some(LeftOut::Unreadable(odd.to_string())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let expected = License { unreadable_end, domains_left_out, ..License::bare(Said::Accepted { code: None }) };
        assert_eq!(facts(&body), expected, "{body}");
    }
}

#[test]
fn the_top_level_comes_first_and_a_null_there_says_nothing() {
    let body = json!({"valid": true, "plan": "pro", "expiresAt": null, "license": {"plan": "free", "expiresAt": "2027-01-01"}});
    assert_eq!(facts(&body).plan.as_deref(), Some("pro"));
    assert_eq!(facts(&body).expires_at, at("2027-01-02T00:00:00Z"));
}

#[test]
fn times() {
    let rows = [
        (json!("2027-01-31T12:00:00Z"), at("2027-01-31T12:00:00Z")),
        (json!("2027-01-31T12:00:00.999+02:00"), at("2027-01-31T10:00:00.999Z")),
        (json!(" 2027-01-31T12:00:00Z "), at("2027-01-31T12:00:00Z")),
        // A date alone lasts until its end.
        (json!("2027-01-31"), at("2027-02-01T00:00:00Z")),
        (json!("2028-02-29"), at("2028-03-01T00:00:00Z")),
        (json!(1_798_761_600), at("2027-01-01T00:00:00Z")),
        (json!(1_798_761_600.9), at("2027-01-01T00:00:00Z")),
        (json!(1_798_761_600_000_i64), at("2027-01-01T00:00:00Z")),
        (json!("1798761600"), at("2027-01-01T00:00:00Z")),
        (json!("1798761600000"), at("2027-01-01T00:00:00Z")),
        (json!(4_102_444_800_i64), at("2100-01-01T00:00:00Z")),
        // Without an offset it is UTC.
        (json!("2027-01-31T12:00:00"), at("2027-01-31T12:00:00Z")),
        (json!("2027-01-31 12:00:00"), at("2027-01-31T12:00:00Z")),
        (json!("2027-01-31 12:00:00.250000"), at("2027-01-31T12:00:00.25Z")),
        (json!("2027-01-31t12:00"), at("2027-01-31T12:00:00Z")),
        (json!("2027-01-31 12:00:00Z"), at("2027-01-31T12:00:00Z")),
        (json!("2027-01-31 12:00:00+02:00"), at("2027-01-31T10:00:00Z")),
    ];
    for (value, expected) in rows {
        let license = facts(&json!({"valid": true, "expiresAt": value}));
        assert_eq!((license.expires_at, license.unreadable_end), (expected, None), "{value}");
    }
}

#[test]
fn a_time_that_is_none_is_no_end_and_one_that_cannot_be_read_is_not_none() {
    let ends = |value: &Value| {
        let license = facts(&json!({"valid": true, "expiresAt": value}));
        assert_eq!(license.expires_at, None, "{value}");
        license.unreadable_end
    };
    // "Never", in several languages.
    for never in [
        json!(null),
        json!(false),
        json!(""),
        json!("  "),
        json!(0),
        json!("0"),
        json!(-1),
        json!("-1"),
        json!(-62_135_596_800_i64),
        json!("never"),
        json!("Lifetime"),
        json!("0001-01-01T00:00:00Z"),
        json!("0001-01-01T00:00:00"),
        json!("0000-00-00 00:00:00"),
        json!("1970-01-01"),
        json!("9999-12-31"),
        json!("9999-12-31T23:59:59Z"),
        json!("9999-12-31T23:59:59.9999999"),
        json!(253_402_300_799_i64),
        json!("253402300799"),
        json!(253_402_300_799_999_i64),
        json!("253402300799999"),
        json!(253_402_214_400_i64),
        json!(253_370_764_800_000_i64),
    ] {
        assert_eq!(ends(&never), None, "{never}");
    }
    for unreadable in [
        json!(true),
        json!(365),
        json!(20_270_131),
        json!("20270131"),
        json!("soon"),
        json!("2027-02-30"),
        json!("2027-02-30 12:00:00"),
        json!("2027-01-31T24:00:00"),
        json!("2027-01-31 12:00:00 CET"),
        json!("2027-01-31T12:00:00[Europe/Berlin]"),
        json!("2027-01-31T12:00:00+25:99"),
        json!("31.01.2027"),
        json!("Sun, 31 Jan 2027 12:00:00 GMT"),
        json!("9999 days"),
        // Microseconds, and what is no time in any unit.
        json!(1_798_761_600_000_000_i64),
        json!(253_402_300_799_999_999_i64),
        json!(1e300),
        json!("99999999999999999999999999"),
        json!(u64::MAX),
        json!({"date": "2027-01-31"}),
    ] {
        let words = unreadable.as_str().map_or_else(|| unreadable.to_string(), str::to_owned);
        assert_eq!(ends(&unreadable), Some(words), "{unreadable}");
    }
}

#[test]
fn an_end_that_cannot_be_read_counts_where_no_other_one_can() {
    let unreadable = |body: Value| facts(&body).unreadable_end;
    let soon = || Some("soon".to_owned());
    assert_eq!(unreadable(json!({"valid": true, "license": {"expires": "soon"}})), soon());
    assert_eq!(unreadable(json!({"valid": true, "expiresAt": null, "data": {"exp": "soon"}})), soon());
    assert_eq!(unreadable(json!({"valid": true, "expiresAt": "soon", "license": {"exp": 1_798_761_600}})), None);
    assert_eq!(unreadable(json!({"valid": true, "expiresAt": "2027-01-31", "graceEndsAt": "soon"})), soon());
    assert_eq!(unreadable(json!({"valid": true, "createdAt": "soon", "notBefore": "soon"})), None);
    let sunset = Headers { sunset: at("2027-01-31T12:00:00Z"), ..Headers::default() };
    let body = br#"{"valid":true,"graceEndsAt":"soon"}"#;
    assert_eq!(answered(200, body, &sunset).unwrap().unreadable_end, None);
}

#[test]
fn of_several_times_the_one_that_allows_least_counts() {
    let license = facts(&json!({
        "valid": true, "expiresAt": "2099-01-01T00:00:00Z", "nbf": "2020-01-01", "graceEndsAt": "never",
        "license": {"expires": "never", "expiresAt": "2020-01-01T00:00:00Z", "nbf": "2098-01-01"},
        "data": {"exp": "2030-01-01T00:00:00Z", "graceEndsAt": "2026-12-01T00:00:00Z", "grace_ends_at": "2026-11-01T00:00:00Z"},
    }));
    assert_eq!(license.expires_at, at("2020-01-01T00:00:00Z"));
    assert_eq!(license.not_before, at("2098-01-01T00:00:00Z"));
    assert_eq!(license.grace_ends_at, at("2026-11-01T00:00:00Z"));
}

#[test]
fn an_end_that_cannot_be_read_is_hidden_cleaned_and_cut() {
    let words = format!("{KEY}\u{1b}[2J{}", "x".repeat(1000));
    let words = facts(&json!({"valid": true, "expiresAt": [words]})).unreadable_end.unwrap();
    assert!(words.starts_with("[\"[masked]") && !words.contains('\u{1b}'), "{words}");
    assert_eq!(words.chars().count(), license_core::finding::QUOTED_CHARS_MAX);
}

#[test]
fn every_time_is_read_alike() {
    let license = facts(&json!({
        "valid": true, "createdAt": "2026-01-01 00:00:00", "notBefore": "2026-01-01T00:00:00", "graceEndsAt": "2026-12-01 00:00:00.5",
    }));
    assert_eq!((license.issued_at, license.not_before), (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")));
    assert_eq!(license.grace_ends_at, at("2026-12-01T00:00:00.5Z"));
}

#[test]
fn domains() {
    let unreadable = |words: &str| Some(LeftOut::Unreadable(words.to_owned()));
    let off = || Some(LeftOut::SwitchedOff);
    let rows = [
        (json!({"domains": ["app.com", "*.app.com"]}), Some(vec!["app.com", "*.app.com"]), None),
        (json!({"domains": [{"domain": "app.com"}, "b.com"]}), Some(vec!["app.com", "b.com"]), None),
        (json!({"domains": "app.com, b.com"}), Some(vec!["app.com", "b.com"]), None),
        (json!({"domain": ""}), None, None),
        (json!({"licensedTo": "app.com"}), Some(vec!["app.com"]), None),
        (json!({"licensedTo": "Acme Inc."}), None, None),
        (json!({"licensedTo": {"name": "Acme"}}), None, None),
        (json!({"license": {"dom": ["app.com"]}}), Some(vec!["app.com"]), None),
        (json!({"domains": [{"name": "Main site", "host": "app.com"}]}), Some(vec!["app.com"]), None),
        (json!({"domain": {"hostname": "app.com"}}), Some(vec!["app.com"]), None),
        // An empty list states none, and hides none.
        (json!({"domains": []}), Some(vec![]), None),
        (json!({"domains": [], "domain": "other.com"}), Some(vec!["other.com"]), None),
        (json!({"domains": [], "license": {"domains": ["other.com"]}}), Some(vec!["other.com"]), None),
        // How many there are is not which.
        (json!({"domains": 3}), None, None),
        (json!({"domains": {"used": 1, "limit": 3}}), None, None),
        (json!({"domains": {"used": 1, "limit": 3}, "domain": "other.com"}), Some(vec!["other.com"]), None),
        // What cannot be read is not "not stated", and takes away nothing of what can.
        (json!({"domains": ["app.com", 5]}), Some(vec!["app.com"]), unreadable("5")),
        (json!({"domains": ["other.com", null]}), Some(vec!["other.com"]), unreadable("null")),
        (json!({"domains": [{"site": "other.com"}]}), None, unreadable(r#"{"site":"other.com"}"#)),
        (json!({"domains": {"other.com": true}}), None, unreadable(r#"{"other.com":true}"#)),
        (json!({"domains": {"other.com": 1}}), None, unreadable(r#"{"other.com":1}"#)),
        (json!({"domains": {"other.com": true}, "domain": "app.com"}), None, unreadable(r#"{"other.com":true}"#)),
        (json!({"domain": false}), None, unreadable("false")),
        // What is switched off does not cover, and a list of nothing else is a no.
        (json!({"domains": [{"domain": "app.com", "enabled": false}]}), None, off()),
        (json!({"domains": [{"domain": "app.com", "active": 0}], "domain": "app.com"}), None, off()),
        (json!({"domain": {"name": "app.com", "allowed": false}}), None, off()),
        (json!({"domains": [{"domain": "app.com", "enabled": false}, "b.com"]}), Some(vec!["b.com"]), None),
        (
            json!({"domains": [{"domain": "app.com", "enabled": "?"}]}),
            None,
            unreadable(r#"{"domain":"app.com","enabled":"?"}"#),
        ),
    ];
    for (mut body, expected, left_out) in rows {
        body["valid"] = json!(true);
        let license = facts(&body);
        let expected = expected.map(|domains| names(&domains));
        assert_eq!((license.domains, license.domains_left_out), (expected, left_out), "{body}");
    }
}

#[test]
fn features() {
    let rows = [
        (json!(["a", "b", "a"]), Some(vec!["a", "b"])),
        (json!([]), Some(vec![])),
        (json!({}), Some(vec![])),
        (
            json!({"a": true, "b": 1, "c": -1, "d": "unlimited", "e": {"enabled": true}}),
            Some(vec!["a", "b", "c", "d", "e"]),
        ),
        (json!({"a": false, "b": 0, "c": null, "e": {"enabled": false}, "f": 1.0}), Some(vec!["f"])),
        // One value that is neither yes nor no, and the list says nothing for sure.
        (json!({"a": true, "support": "by mail"}), None),
        (json!({"a": true, "b": -5}), None),
        (json!({"a": true, "b": {"limit": 5}}), None),
        (json!({"a": [true]}), None),
        (json!(["a", true]), None),
        (json!([{"title": "a"}]), None),
        (json!([{"name": "a", "enabled": "no"}]), None),
        (json!([{"name": "a", "value": "by mail"}]), None),
        (json!(3), None),
        // What is listed as not included is not included, whatever the word for it.
        (json!([{"name": "a", "included": false}, {"name": "b", "included": true}]), Some(vec!["b"])),
        (json!([{"name": "a", "value": false}, {"name": "b", "value": 5}]), Some(vec!["b"])),
        (json!([{"name": "a", "available": false}, {"name": "b", "active": 0}, "c"]), Some(vec!["c"])),
        (json!([{"name": "a", "enabled": true, "allowed": false}]), Some(vec![])),
        (json!([{"name": "a", "included": false, "value": "by mail"}]), Some(vec![])),
        (json!(["a", {"name": "a", "enabled": false}]), Some(vec![])),
        (json!({"a": {"included": false}, "b": {"allowed": true}, "c": {"value": 0}}), Some(vec!["b"])),
    ];
    for (value, expected) in rows {
        let found = facts(&json!({"valid": true, "features": value})).features;
        assert_eq!(found, expected.map(|all| names(&all).into_iter().collect()), "{value}");
    }
}

#[test]
fn activations() {
    use ActivationLimit::{AtMost, Unlimited};
    let rows = [
        (json!({"activationsUsed": 3, "activationLimit": 10}), Some(3), Some(AtMost(10))),
        (json!({"activationLimit": -1}), None, Some(Unlimited)),
        (json!({"activationLimit": "Unlimited"}), None, Some(Unlimited)),
        (json!({"activationLimit": null}), None, None),
        (json!({"activationLimit": 0}), None, Some(AtMost(0))),
        (json!({"activationLimit": -2}), None, None),
        (json!({"activationLimit": "10"}), None, None),
        (json!({"activationLimit": 2.5}), None, None),
        (json!({"activationLimit": u64::MAX}), None, Some(AtMost(u64::MAX))),
        (json!({"activationsUsed": -1}), None, None),
        (json!({"activationsUsed": "unlimited"}), None, None),
        (json!({"seats": 5}), None, Some(AtMost(5))),
        (json!({"seats": {"used": 2, "max": 5}}), Some(2), Some(AtMost(5))),
        (json!({"seats_used": 2, "seats": 5}), Some(2), Some(AtMost(5))),
        (json!({"limits": {"activations": 5, "domains": 1}}), None, Some(AtMost(5))),
        (json!({"limits": {"seats": -1}}), None, Some(Unlimited)),
        (json!({"limits": {"activationsUsed": 1, "activationLimit": 2}}), Some(1), Some(AtMost(2))),
        (json!({"data": {"limits": {"seats": 7}}}), None, Some(AtMost(7))),
        // Domains are no activations, and a bare number does not say what it counts.
        (json!({"domains_used": 1, "domains_allowed": 3, "activations": 4}), None, None),
    ];
    for (mut body, used, limit) in rows {
        body["valid"] = json!(true);
        let license = facts(&body);
        assert_eq!((license.activations_used, license.activation_limit), (used, limit), "{body}");
    }
}

#[test]
fn statuses() {
    let status = |body: Value| facts(&body).status;
    assert_eq!(status(json!({"valid": true, "status": "REVOKED"})), Some(Status::Revoked));
    assert_eq!(status(json!({"valid": true, "status": "paused"})), Some(Status::Other("paused".into())));
    assert_eq!(
        status(json!({"valid": true, "status": "ok", "license": {"status": "suspended"}})),
        Some(Status::Suspended)
    );
    assert_eq!(status(json!({"valid": true, "status": 200})), None);
    // The word that is worst for the license counts, wherever it stands.
    let in_two = |top: &str, inside: &str| status(json!({"valid": true, "status": top, "license": {"status": inside}}));
    assert_eq!(in_two("active", "revoked"), Some(Status::Revoked));
    assert_eq!(in_two("Expired", "active"), Some(Status::Expired));
    assert_eq!(in_two("completed", "SUSPENDED"), Some(Status::Suspended));
    assert_eq!(in_two("active", "paused"), Some(Status::Other("paused".into())));
    assert_eq!(in_two("paused", "active"), Some(Status::Other("paused".into())));
    assert_eq!(in_two("active", "ok"), Some(Status::Active));
}

#[test]
fn codes_and_words() {
    let rows = [
        (
            json!({"code": "DOMAIN_MISMATCH", "message": "not for this domain"}),
            Some("DOMAIN_MISMATCH"),
            Some("not for this domain"),
        ),
        (json!({"reason": "TOKEN_EXPIRED"}), Some("TOKEN_EXPIRED"), None),
        (json!({"error": "invalid_key"}), Some("invalid_key"), None),
        (json!({"error": "the key was revoked"}), None, Some("the key was revoked")),
        (json!({"error": "INVALID", "help": "see the docs"}), Some("INVALID"), Some("see the docs")),
        (json!({"reason": "it is old", "code": 17}), None, Some("it is old")),
        (json!({"license": {"code": "Some Code!"}}), Some("Some Code!"), None),
        (json!({"error": {"code": "INVALID_SIGNATURE", "message": "bad"}}), Some("INVALID_SIGNATURE"), Some("bad")),
        (json!({}), None, None),
    ];
    for (mut body, code, message) in rows {
        body["valid"] = json!(false);
        let expected = Said::Refused { code: code.map(str::to_owned), message: message.map(str::to_owned) };
        assert_eq!(facts(&body).answer, expected, "{body}");
    }
}

#[test]
fn a_worrying_code_does_not_make_a_yes_a_no() {
    let license = facts(&json!({"valid": true, "code": "DOMAIN_LIMIT_EXCEEDED"}));
    assert_eq!(license.answer, Said::Accepted { code: Some("DOMAIN_LIMIT_EXCEEDED".into()) });
}

#[test]
fn the_sunset_header_ends_the_grace_unless_the_body_says_when() {
    let headers = Headers { sunset: at("2026-12-01T00:00:00Z"), ..Headers::default() };
    let grace = |body: &[u8]| answered(200, body, &headers).unwrap().grace_ends_at;
    assert_eq!(grace(br#"{"valid":true}"#), at("2026-12-01T00:00:00Z"));
    assert_eq!(grace(br#"{"valid":true,"graceEndsAt":"2026-12-24T00:00:00Z"}"#), at("2026-12-24T00:00:00Z"));
}

#[test]
fn a_deprecation_without_an_end_is_handed_on() {
    let headers = Headers { deprecation: Some(Deprecated::Undated), ..Headers::default() };
    let license = answered(200, br#"{"valid":true}"#, &headers).unwrap();
    assert_eq!((license.deprecated, license.grace_ends_at), (Some(Deprecated::Undated), None));
}

#[test]
fn an_echoed_secret_does_not_get_through() {
    let echo = format!("{KEY} and {TOKEN} {}", KEY.to_lowercase());
    let body = |valid: Value| {
        json!({
            "valid": valid, "code": echo, "message": echo, "licenseId": KEY, "plan": echo, "status": echo, "domains": [{KEY: TOKEN}, echo],
            "features": {KEY: true},
        })
    };
    for status in [200, 400, 401, 403, 404, 500] {
        for valid in [json!(true), json!(false), json!("true")] {
            let shown = format!("{:?}", json_with(status, &body(valid))).to_lowercase();
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
    let location = Headers { location: Some(format!("https://{KEY}.example/")), ..Headers::default() };
    assert!(!why(answered(302, b"", &location)).contains("secret"));
}

#[test]
fn terminal_controls_do_not_get_through() {
    let body =
        json!({"valid": false, "code": "A\u{1b}[2J", "message": "x\u{7}\r\n::error::y\u{202e}z", "plan": "p\u{0}"});
    let license = facts(&body);
    let shown = format!("{:?}{}", license.answer, license.plan.unwrap());
    assert!(!shown.contains("\\u{1b}") && !shown.contains("\\n") && !shown.contains("\\u{202e}"), "{shown}");
}

/// Whether `true` stands in a `valid` where one is looked for.
fn says_true(body: &Value) -> bool {
    let yes = |place: Option<&Value>| place.and_then(|place| place.get("valid")) == Some(&Value::Bool(true));
    let data = body.get("data");
    yes(Some(body)) || yes(body.get("license")) || yes(data) || yes(data.and_then(|data| data.get("license")))
}

/// JSON that is made of the names that are looked for.
fn arbitrary_json() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 30] = [
        "valid",
        "ok",
        "license",
        "data",
        "error",
        "code",
        "reason",
        "message",
        "status",
        "plan",
        "expiresAt",
        "exp",
        "domains",
        "licensedTo",
        "features",
        "activationsUsed",
        "activationLimit",
        "seats",
        "limits",
        "activations",
        "used",
        "limit",
        "graceEndsAt",
        "createdAt",
        "nbf",
        "id",
        "licenseId",
        "enabled",
        "name",
        "success",
    ];
    const WORDS: [&str; 10] = [
        "true",
        "QUOTA_EXCEEDED",
        "AUTH_FAILED",
        "active",
        "2027-01-31",
        "2027-01-31T00:00:00Z",
        "1798761600",
        "unlimited",
        "9999-12-31",
        "-1",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&NAMES[..]), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

fn statuses_of_all_kinds() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200_u16), Just(403), Just(404), any::<u16>()]
}

proptest! {
    #[test]
    fn a_yes_needs_a_true_and_a_success(status in statuses_of_all_kinds(), body in arbitrary_json()) {
        if let Ok(License { answer: Said::Accepted { .. }, .. }) = json_with(status, &body) {
            prop_assert!((200..300).contains(&status));
            prop_assert!(says_true(&body));
        }
    }

    #[test]
    fn arbitrary_bytes_are_never_a_yes_and_never_a_panic(
        status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..256), html in any::<bool>(),
        location in prop::option::of(any::<String>()),
    ) {
        let result = answered(status, &body, &Headers { location, html, ..Headers::default() });
        prop_assert_ne!(sort(&result), "accepted");
    }

    #[test]
    fn arbitrary_headers_are_never_a_panic(value in any::<String>(), now in 0..4_000_000_000_i64) {
        let now = Timestamp::from_second(now).unwrap();
        let headers = Headers::read(|_| Some(&value));
        let _ = (headers.ahead(now), headers.wait_after_failure(now), headers.wait_after_answer(now));
    }

    #[test]
    fn arbitrary_numbers_as_headers_are_never_a_panic(value in "[0-9]{1,25}", now in 0..4_000_000_000_i64) {
        let now = Timestamp::from_second(now).unwrap();
        let dated = |name: &str| if name == "date" { Some("Fri, 01 Jan 2027 00:00:10 GMT") } else { Some(value.as_str()) };
        let headers = Headers::read(dated);
        let _ = (headers.ahead(now), headers.wait_after_failure(now), headers.wait_after_answer(now));
    }
}
