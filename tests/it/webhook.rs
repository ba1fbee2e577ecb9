//! Webhooks of the authority, through the real binary: what is genuine, what is recorded, and what is told of it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use license_tests::{Project, Ran};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{KEY, project};

/// The secret of the authority.
pub(crate) const SECRET: &str = "the-secret-of-the-authority's-webhooks";
/// How long a webhook is good, in seconds.
pub(crate) const WINDOW_SECS: i64 = 5 * 60;

/// A project that receives webhooks.
pub(crate) fn receiving() -> Project {
    project()
        .authority_at("http://127.0.0.1:9/api/v1")
        .key(KEY)
        .tables("[webhook]\nsecret = { env = \"TO_WEBHOOK_SECRET\" }\n")
        .var("TO_WEBHOOK_SECRET", SECRET)
}

pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub(crate) fn time(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).unwrap().to_string()
}

/// The documented envelope, made at this second.
pub(crate) fn envelope(id: &str, kind: &str, created: i64) -> Value {
    let data = json!({
        "licenseKey": "TO-****-F6A8", "plan": "pro", "domain": "app.com", "activationsUsed": 3, "activationLimit": 10,
        "expiresAt": "2099-01-01T00:00:00Z", "features": ["sso"],
    });
    json!({ "id": id, "type": kind, "created": time(created), "data": data })
}

pub(crate) fn mac(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in parts {
        mac.update(part.as_bytes());
    }
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A body as the three encodings sign it, at this second.
pub(crate) fn signatures(secret: &str, body: &str, at: i64) -> [String; 3] {
    let plain = mac(secret, &[body]);
    let at = at.to_string();
    let timed = mac(secret, &[&at, ".", body]);
    [plain.clone(), format!("sha256={plain}"), format!("t={at},v1={timed}")]
}

fn verify(project: &Project, body: &str, signature: &str) -> Ran {
    project.run_with_input(&["webhook", "verify", "--signature", signature], body)
}

#[test]
fn a_genuine_webhook_is_valid_in_every_encoding() {
    let project = receiving();
    let body = envelope("evt_1", "license.revoked", now()).to_string();
    for signature in signatures(SECRET, &body, now()) {
        let ran = verify(&project, &body, &signature);
        ran.exits(0).says("valid: evt_1, `license.revoked`").never_shows(SECRET).says_nothing_of("F6A8");
    }
}

#[test]
fn what_is_not_genuine_or_not_fresh_is_not_valid() {
    let project = receiving();
    let (at, id) = (now(), "evt_1");
    let body = envelope(id, "license.revoked", at).to_string();
    let other = body.replace("\"pro\"", "\"prp\"");
    let [hex, prefixed, timed] = signatures(SECRET, &body, at);
    let late = at - WINDOW_SECS - 60;
    let early = at + WINDOW_SECS + 60;
    let old = envelope(id, "license.revoked", late).to_string();
    let ahead = envelope(id, "license.revoked", early).to_string();
    let moved = timed.replace(&format!("t={at}"), &format!("t={}", at + 1));
    let rows = [
        ("another body", &other, hex.clone(), "signature_mismatch"),
        ("another body", &other, prefixed, "signature_mismatch"),
        ("another body", &other, timed.clone(), "signature_mismatch"),
        ("another time", &body, moved, "signature_mismatch"),
        ("another secret", &body, mac("the-secret-of-somebody-else", &[&body]), "signature_mismatch"),
        ("no signature", &body, String::new(), "not_a_signature"),
        ("upper case", &body, hex.to_uppercase(), "not_a_signature"),
        ("old", &old, mac(SECRET, &[&old]), "too_old"),
        ("old by its signature", &body, signatures(SECRET, &body, late)[2].clone(), "too_old"),
        ("ahead", &ahead, mac(SECRET, &[&ahead]), "from_the_future"),
        ("ahead by its signature", &body, signatures(SECRET, &body, early)[2].clone(), "from_the_future"),
    ];
    for (name, body, signature, code) in rows {
        let arguments = ["webhook", "verify", "--format", "json", "--signature", &signature];
        let ran = project.run_with_input(&arguments, body);
        let document = ran.named(name).exits(32).never_shows(SECRET).json();
        assert_eq!((&document["valid"], &document["code"]), (&json!(false), &json!(code)), "{name}");
        assert_eq!(document["event"], json!(null), "{name}");
    }
    verify(&project, &other, &timed).exits(32).says("NOT VALID: the signature is not that of this body");
}

#[test]
fn what_is_signed_and_no_webhook_is_not_valid() {
    let project = receiving();
    let huge = format!("{{\"id\":\"{}\"}}", "x".repeat(70 * 1024));
    for (body, says) in [
        ("", "not a JSON object"),
        ("<html><script>alert(1)</script></html>", "not a JSON object"),
        ("{\"id\":\"evt_1\"}", "no `type`"),
        (huge.as_str(), "longer than 64 KiB"),
    ] {
        let ran = verify(&project, body, &mac(SECRET, &[body]));
        ran.exits(32).says(says).says_nothing_of("alert(1)");
    }
}

#[test]
fn a_body_and_headers_are_read_from_files_and_a_secret_from_a_variable() {
    let body = envelope("evt_1", "license.revoked", now()).to_string();
    let signature = &signatures(SECRET, &body, now())[2];
    let headers = format!("POST /hook HTTP/1.1\r\nHost: x\r\nX-Signature: {signature}\r\n\r\n");
    let project = Project::new(crate::BINARY)
        .without_license_toml()
        .write("body", body.as_bytes())
        .write("headers", headers.as_bytes())
        .write("none", b"Host: x\r\n")
        .var("SECRET", SECRET)
        .var("SHORT", "short");
    let verify = |more: &[&str]| project.run(&[&["webhook", "verify"], more].concat());
    verify(&["--body", "body", "--headers", "headers", "--secret-env", "SECRET"]).exits(0).says("valid: evt_1");
    verify(&["--body", "body", "--headers", "none", "--secret-env", "SECRET"]).exits(32).says("no `X-Signature`");
    verify(&["--body", "nowhere", "--headers", "headers", "--secret-env", "SECRET"]).exits(2).says("no such file");
    verify(&["--body", "body", "--headers", "headers", "--secret-env", "NOBODY"]).exits(3).says("`NOBODY`");
    verify(&["--body", "body", "--headers", "headers", "--secret-env", "SHORT"]).exits(3).says("too short");
    verify(&["--body", "body", "--headers", "headers"]).exits(3).says("license.toml");
    verify(&["--body", "body", "--secret-env", "SECRET"]).exits(2);
    let without = crate::project().authority_at("http://127.0.0.1:9/api/v1").key(KEY);
    without.run(&["webhook", "verify", "--signature", signature]).exits(3).says("`[webhook]`");
}

#[test]
fn words_of_a_webhook_are_shown_cleaned() {
    let project = receiving().var("GITHUB_ACTIONS", "true");
    let mut body = envelope("evt_1", "\u{1b}[31m\n::error::x", now());
    body["data"]["plan"] = json!(KEY);
    let body = body.to_string();
    let ran = verify(&project, &body, &mac(SECRET, &[&body]));
    ran.exits(0);
    assert!(!ran.stdout().contains('\u{1b}') && !ran.stdout().contains("\n::error"), "{}", ran.stdout());
    let arguments = ["webhook", "verify", "--format", "json", "--signature", &mac(SECRET, &[&body])];
    let ran = project.run_with_input(&arguments, &body);
    assert!(!ran.stdout().contains(KEY), "{}", ran.stdout());
}
