//! Every dialect and every shape of an answer: the exit, the words, whether the deploy command ran, what the trail says.

use license_tests::{Answer, Ran, RawServer};
use serde_json::{Value, json};

use crate::{KEY, Lines, asking, good_but, in_days, saying};

/// What has to come of an answer.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// The deploy runs.
    Go,
    /// A check came out like this, and nothing is deployed.
    Refused(&'static str),
    /// A check is unknown, and nothing is deployed.
    Unknown(&'static str),
    /// No decision: this exit, this error.
    Broken(i32, &'static str),
}

/// Deploys against one answer, and compares everything that can be seen.
fn deploys(name: &str, answer: Answer, lines: Lines<'_>, comes: Comes) -> Ran {
    let server = RawServer::script([answer]);
    let project = lines.iter().fold(asking(&server), |project, (line, value)| project.line(line, value));
    let ran = project.deploy_json().named(name);
    let trail = project.trail("production");
    let kinds = trail.kinds();
    ran.never_shows(KEY).never_shows(license_tests::authority::TOKEN);
    match comes {
        Comes::Go => {
            ran.exits(0).verdict("go").deploy_ran();
            assert_eq!(kinds, ["gate", "deploy_started", "deploy_ended"], "{name}");
        }
        Comes::Refused(check) => {
            ran.exits(10).verdict("refused").check(check, "fail").deploy_did_not_run();
            assert_eq!(
                (kinds.as_slice(), &trail.last("gate")["verdict"]),
                (&["gate"][..], &"refused".into()),
                "{name}"
            );
        }
        Comes::Unknown(check) => {
            ran.exits(11).verdict("unknown").check(check, "unknown").deploy_did_not_run();
            assert_eq!(
                (kinds.as_slice(), &trail.last("gate")["verdict"]),
                (&["gate"][..], &"unknown".into()),
                "{name}"
            );
        }
        Comes::Broken(exit, code) => {
            ran.exits(exit).error(code).deploy_did_not_run();
            let (kind, told) = match exit {
                // Nobody answered the question, and that is a verdict too.
                11 => ("gate", &trail.last("gate")["trouble"]["code"]),
                _ => ("gate_failed", &trail.last("gate_failed")["code"]),
            };
            assert_eq!((kinds.as_slice(), told), (&[kind][..], &code.into()), "{name}");
        }
    }
    assert!(server.requests().iter().all(|request| request.path == "/api/v1/validate"), "{:?}", server.requests());
    ran
}

/// Demands that need every fact that an answer can have.
const EVERYTHING: [(&str, &str); 3] = [("features", r#"["sso"]"#), ("activations", "2"), ("min_days_left", "3")];

#[test]
fn every_dialect_is_understood() {
    let rows = [
        (
            "flat, camel case",
            json!({
                "valid": true, "plan": "enterprise", "domains": ["app.com"], "expiresAt": "2099-01-01T00:00:00Z",
                "features": ["sso"], "activationsUsed": 8, "activationLimit": 10, "message": "ok",
            }),
        ),
        (
            "flat, snake case",
            json!({
                "valid": true, "plan_id": "enterprise", "domains": ["app.com"], "expires_at": "2099-01-01T00:00:00Z",
                "features": ["sso"], "activations_used": 8, "activation_limit": 10,
            }),
        ),
        (
            "nested in `license`",
            json!({
                "valid": true, "license": {
                    "status": "active", "planId": "enterprise", "domains": ["app.com"], "expiresAt": "2099-01-01T00:00:00Z",
                    "features": ["sso"], "activationsUsed": 8, "activationLimit": 10,
                },
            }),
        ),
        (
            "nested in `data`",
            json!({
                "valid": true, "data": {
                    "plan": "enterprise", "dom": ["app.com"], "exp": 4_070_908_800_u64,
                    "features": ["sso"], "activations_used": 8, "activation_limit": 10,
                },
            }),
        ),
        (
            "wrapped in `ok`",
            json!({
                "ok": true, "valid": true, "plan": "enterprise", "domain": "app.com", "expires": "4070908800",
                "features": { "sso": true, "audit": false }, "activationsUsed": 8, "activationLimit": 10,
            }),
        ),
        (
            "features with limits",
            json!({
                "valid": true, "domains": ["APP.com."], "expiresAt": "2099-01-01", "features": { "sso": 25 },
                "activationsUsed": 8, "activationLimit": 10,
            }),
        ),
        (
            "expiry in milliseconds",
            json!({
                "valid": true, "licensedTo": "app.com", "expiresAt": 4_070_908_800_000_u64, "features": ["sso"],
                "activationsUsed": 8, "activationLimit": 10,
            }),
        ),
    ];
    for (name, answer) in rows {
        deploys(name, Answer::json(200, &answer), &EVERYTHING, Comes::Go);
    }
}

#[test]
fn a_no_is_a_no_in_every_shape() {
    let rows = [
        ("200", 200, json!({ "valid": false, "message": "the key was revoked", "code": "revoked" })),
        ("403 with `valid`", 403, json!({ "valid": false, "error": "License revoked" })),
        ("404 with `valid`", 404, json!({ "valid": false, "code": "LICENSE_NOT_FOUND" })),
        ("wrapped", 200, json!({ "ok": true, "valid": false, "reason": "DOMAIN_LIMIT_EXCEEDED" })),
        ("a code that nobody knows", 200, json!({ "valid": false, "code": "MOON_PHASE" })),
        ("an error that is a code", 403, json!({ "valid": false, "error": "invalid_key" })),
        ("nothing but no", 200, json!({ "valid": false })),
        ("a token code about the license", 200, json!({ "valid": false, "code": "INVALID_TOKEN" })),
        ("an expired token is an expired license", 403, json!({ "valid": false, "code": "TOKEN_EXPIRED" })),
        ("a yes beside status suspended", 200, good_but(&json!({ "status": "suspended" }))),
        ("a yes beside status revoked", 200, json!({ "valid": true, "license": { "status": "revoked" } })),
        ("a yes beside an expiry in the past", 200, good_but(&json!({ "expiresAt": "2020-01-01T00:00:00Z" }))),
    ];
    for (name, status, answer) in rows {
        deploys(name, Answer::json(status, &answer), &[], Comes::Refused("validity"));
    }
}

#[test]
fn the_authoritys_words_are_passed_on() {
    let answer = Answer::json(403, &json!({ "valid": false, "code": "MOON_PHASE", "message": "the moon is wrong" }));
    deploys("words", answer, &[], Comes::Refused("validity")).says("MOON_PHASE").says("the moon is wrong");
}

/// A yes that states its facts is compared with the demand: the yes alone is not enough.
#[test]
fn a_yes_is_checked_against_what_it_states() {
    let rows: [(&str, Value, Lines<'_>, &str); 5] = [
        ("another domain", json!({ "domains": ["app.org"] }), &[], "domain"),
        ("a substring", json!({}), &[("domain", r#""notapp.com.evil.example""#)], "domain"),
        ("a feature switched off", json!({ "features": { "sso": false } }), &[("features", r#"["sso"]"#)], "features"),
        ("one activation too many", json!({ "activationsUsed": 10 }), &[("activations", "1")], "activations"),
        ("the horizon", json!({ "expiresAt": in_days(20) }), &[("min_days_left", "30")], "expiry_horizon"),
    ];
    for (name, changes, lines, check) in rows {
        deploys(name, Answer::json(200, &good_but(&changes)), lines, Comes::Refused(check));
    }
}

#[test]
fn what_was_not_said_is_not_a_yes() {
    let bare = json!({ "valid": true, "domains": ["app.com"] });
    let rows: [(&str, Value, Lines<'_>, &str); 6] = [
        ("no features", bare.clone(), &[("features", r#"["sso"]"#)], "features"),
        ("no activations", bare.clone(), &[("activations", "1")], "activations"),
        (
            "used without limit",
            json!({ "valid": true, "domains": ["app.com"], "activationsUsed": 1 }),
            &[("activations", "1")],
            "activations",
        ),
        (
            "limit without used",
            json!({ "valid": true, "domains": ["app.com"], "activationLimit": 9 }),
            &[("activations", "1")],
            "activations",
        ),
        ("no expiry", bare.clone(), &[("min_days_left", "3")], "expiry_horizon"),
        (
            "an expiry that is no time",
            good_but(&json!({ "expiresAt": "soon" })),
            &[("min_days_left", "3")],
            "expiry_horizon",
        ),
    ];
    for (name, answer, lines, check) in rows {
        deploys(name, Answer::json(200, &answer), lines, Comes::Unknown(check));
    }
}

#[test]
fn a_yes_with_a_status_that_nobody_knows_is_a_warning() {
    let answer = Answer::json(200, &good_but(&json!({ "status": "paused" })));
    deploys("status", answer, &[], Comes::Go).check("validity", "warn").says("paused");
}

#[test]
fn a_yes_with_a_worrying_code_is_a_warning() {
    let answer = Answer::json(200, &good_but(&json!({ "code": "DOMAIN_LIMIT_EXCEEDED" })));
    deploys("worry", answer, &[], Comes::Go).check("validity", "warn").says("DOMAIN_LIMIT_EXCEEDED");
}

#[test]
fn an_answer_without_a_verdict_is_never_yes_and_never_no() {
    let html = "<html><body>Welcome</body></html>";
    let rows = [
        ("`valid` is missing", Answer::json(200, &json!({ "plan": "enterprise" }))),
        ("`valid` is a word", Answer::json(200, &json!({ "valid": "true" }))),
        ("`valid` is a number", Answer::json(200, &json!({ "valid": 1 }))),
        ("`valid` is null", Answer::json(200, &json!({ "valid": null }))),
        ("a code alone", Answer::json(200, &json!({ "code": "LICENSE_NOT_FOUND" }))),
        ("a list", Answer::json(200, &json!([{ "valid": true }]))),
        ("a word", Answer::json(200, &json!("valid"))),
        ("an empty body", Answer::text(200, "application/json", "")),
        ("a web page", Answer::text(200, "text/html", html)),
        ("two objects", Answer::text(200, "application/json", r#"{"valid":true}{"valid":true}"#)),
        ("deeper than anybody needs", Answer::text(200, "application/json", &"[".repeat(20_000))),
    ];
    for (name, answer) in rows {
        deploys(name, answer, &[], Comes::Broken(11, "protocol_error"));
    }
}

#[test]
fn a_refused_token_is_not_a_refused_license() {
    let rows = [
        ("401", Answer::json(401, &json!({ "error": "unauthorized" }))),
        ("401 with a verdict", Answer::json(401, &json!({ "valid": false, "error": "unauthorized" }))),
        ("401 without a body", Answer::text(401, "text/plain", "")),
        ("403 without a verdict", Answer::json(403, &json!({ "error": "forbidden" }))),
        ("AUTH_FAILED", Answer::json(200, &json!({ "valid": false, "code": "AUTH_FAILED" }))),
        ("AUTH_FAILED as 403", Answer::json(403, &json!({ "valid": false, "code": "AUTH_FAILED" }))),
    ];
    for (name, answer) in rows {
        let ran = deploys(name, answer, &[], Comes::Broken(12, "credential"));
        ran.verdict(Value::Null).says("TO_API_KEY").says_nothing_of("revoked");
    }
}

#[test]
fn a_used_up_quota_is_not_a_refused_license() {
    for status in [200, 402, 403, 429] {
        let answer =
            Answer::json(status, &json!({ "valid": false, "code": "QUOTA_EXCEEDED", "error": "500 of 500 used" }));
        deploys(&status.to_string(), answer, &[], Comes::Broken(11, "quota_exceeded")).says("quota");
    }
}

/// There is a server, but the API is somewhere else: `url` is wrong.
#[test]
fn a_path_that_is_not_the_api_is_a_problem_of_the_file() {
    for body in ["<html>not found</html>", "{}", ""] {
        let server = RawServer::script([Answer::text(404, "text/html", body)]);
        let project = asking(&server);
        project.deploy().exits(3).says("/api/v1").says("url").deploy_did_not_run();
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn text_of_the_authority_cannot_drive_the_terminal() {
    let words = "fine\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m\r\nverdict: go";
    let answer = json!({ "valid": false, "message": words, "code": "X\u{1b}[1mY" });
    let server = saying(&answer);
    for arguments in
        [&["deploy", "production"][..], &["check", "production"], &["deploy", "production", "--format", "json"]]
    {
        let project = asking(&server);
        let ran = project.run(arguments);
        ran.exits(10).deploy_did_not_run();
        let trail = std::fs::read_to_string(project.trail_file("production")).unwrap_or_default();
        for text in [ran.stdout(), ran.stderr(), &trail] {
            let bad = |character: &char| matches!(character, '\u{1b}' | '\u{7}' | '\u{202e}' | '\u{9b}' | '\r');
            assert_eq!(text.chars().find(bad), None, "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("verdict: go")), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn endless_text_of_the_authority_is_cut() {
    let server = saying(&json!({ "valid": false, "message": "m".repeat(50_000) }));
    let ran = asking(&server).deploy();
    ran.exits(10);
    assert!(ran.stdout().len() + ran.stderr().len() < 5_000, "{}", ran.stdout().len() + ran.stderr().len());
}
