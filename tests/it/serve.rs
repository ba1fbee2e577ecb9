//! `authority serve` seen from the wire: what it refuses, what it keeps, and what it tells whoever runs it.

use std::{fs, path::Path, time::Duration};

use license_tests::{
    Authority, Grant,
    http::{self, agent},
    process::{self, Running, Signal, until},
};
use rustix::process::Pid;
use serde_json::json;

use crate::{BINARY, authority};

/// A request written out, answered by a server that closes the connection.
fn raw(authority: &Authority, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
    let length = body.len();
    let request = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    http::send_bytes(authority.url(), request.as_bytes())
}

/// A server that needs no token, and its address.
fn without_token(state: &Path) -> (Running, String) {
    let mut command = std::process::Command::new(BINARY);
    command.env_clear().args(["authority", "serve", "--listen", "127.0.0.1:0", "--state"]).arg(state);
    let mut server = Running::start(&mut command);
    server.until("it listens", |server| server.stdout().contains('\n'));
    let url = server.stdout().trim().strip_prefix("listening on ").unwrap().to_owned();
    (server, url)
}

#[test]
fn a_wrong_token_is_refused_also_where_none_is_needed() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let body = json!({ "key": license.key, "domain": "app.com" });
    let url = format!("{}/validate", authority.url());
    let reply = http::send(&agent(), "POST", &url, Some("to_live_wrong"), Some(&body)).unwrap();
    assert_eq!((reply.status, &reply.json()["code"]), (401, &json!("AUTH_FAILED")));
    let in_another_header = [("host", "x"), ("x-api-key", authority.token())];
    let answer = raw(&authority, "GET", "/portal/licenses", &in_another_header, "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_body_that_is_too_long_is_refused_and_the_next_request_is_served() {
    let authority = authority(&[]);
    let long = "x".repeat(70 * 1024);
    let answer = raw(&authority, "POST", "/validate", &[("host", "x")], &long);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(authority.send("GET", "/health", None).status, 200);
}

#[test]
fn without_a_token_a_web_page_changes_nothing() {
    let state = tempfile::TempDir::new().unwrap();
    let (_server, url) = without_token(state.path());
    let create = |headers: &str| {
        let body = r#"{"appName":"x","domain":"app.com"}"#;
        let length = body.len();
        let request = format!(
            "POST /api/v1/portal/licenses HTTP/1.1\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        http::send_bytes(&url, request.as_bytes())
    };
    for foreign in ["host: evil.example\r\n", "host: localhost\r\norigin: https://evil.example\r\n", ""] {
        let answer = create(foreign);
        assert!(!answer.starts_with("HTTP/1.1 20"), "{foreign}: {answer}");
    }
    assert!(create("host: localhost\r\n").starts_with("HTTP/1.1 201"));
}

#[test]
fn a_created_license_grants_what_was_asked_for() {
    let authority = authority(&[]);
    let body = json!({
        "appName": "x", "domain": "localhost", "planId": "team", "class": "DEV", "features": ["sso"],
        "activationLimit": 3, "expiresAt": "2099-01-01T00:00:00Z",
    });
    let created = authority.send("POST", "/portal/licenses", Some(&body));
    assert_eq!(created.status, 201);
    let key = created.json()["license_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("TO-DEV-"), "{key}");
    let facts = authority.validate(&key, "localhost").json();
    assert_eq!((&facts["features"], &facts["activationLimit"]), (&json!(["sso"]), &json!(3)));
    assert_eq!((&facts["plan"], &facts["expiresAt"]), (&json!("team"), &json!("2099-01-01T00:00:00Z")));
}

#[test]
fn the_counters_of_use_outlive_a_server_that_was_asked_to_stop() {
    let mut authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    for _ in 0..3 {
        authority.validate(&license.key, "app.com");
    }
    let pid = authority.pid();
    rustix::process::kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM).unwrap();
    until("it ends", || !process::is_alive(pid));
    authority.restart();
    assert_eq!(authority.send("GET", "/portal/usage", None).json()["validationsToday"], 3);
}

#[test]
fn the_audit_export_has_every_change_and_no_key() {
    let authority = authority(&["--list-keys", "plain"]);
    let license = authority.issue(&Grant::default());
    authority.suspend(&license);
    let logs = authority.send("GET", "/portal/audit-logs/export?format=json", None);
    let actions: Vec<_> = logs.json()["logs"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["issued", "suspended"]);
    let csv =
        authority.send("GET", "/portal/audit-logs/export?format=csv&since=2020-01-01T00%3A00%3A00%2B01%3A00", None);
    assert_eq!(csv.body.lines().count(), 3, "{}", csv.body);
    for body in [&logs.body, &csv.body] {
        assert!(!body.contains(&license.key));
    }
    assert_eq!(authority.send("GET", "/portal/audit-logs/export?since=yesterday", None).status, 400);
}

#[test]
fn faults_can_be_lined_up() {
    let authority = authority(&["--fault", "status=500@validate:1", "--fault", "html-502@validate:1"]);
    let license = authority.issue(&Grant::default());
    let statuses: Vec<_> = (0..3).map(|_| authority.validate(&license.key, "app.com").status).collect();
    assert_eq!(statuses, [500, 502, 200]);
}

#[test]
fn a_status_comes_after_the_work_and_a_rate_limit_before_it() {
    for (fault, rotates) in
        [("status=500@rotate:1", true), ("rate-limit=1s@rotate:1", false), ("html-502@rotate:1", false)]
    {
        let authority = authority(&["--fault", fault]);
        let license = authority.issue(&Grant::default());
        let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 });
        assert!(authority.send("POST", "/licenses/rotate", Some(&body)).status >= 400);
        let in_grace = authority.validate(&license.key, "app.com").json()["graceEndsAt"].is_string();
        assert_eq!(in_grace, rotates, "{fault}");
    }
}

#[test]
fn a_client_that_gives_up_does_not_undo_a_late_commit() {
    let authority = authority(&["--fault", "late-commit=30s@rotate:1"]);
    let license = authority.issue(&Grant::default());
    let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 });
    let impatient: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(300))).proxy(None).build().into();
    let url = format!("{}/licenses/rotate", authority.url());
    assert!(http::send(&impatient, "POST", &url, Some(authority.token()), Some(&body)).is_none());
    assert!(authority.validate(&license.key, "app.com").json()["graceEndsAt"].is_string());
}

#[test]
fn a_log_that_breaks_while_it_is_served_is_told_to_whoever_runs_the_server() {
    let state = tempfile::TempDir::new().unwrap();
    let (server, url) = without_token(state.path());
    fs::write(state.path().join("events.jsonl"), "this is no entry\n").unwrap();
    let body = json!({ "key": "TO-DEV-1", "domain": "app.com" });
    let reply = http::send(&agent(), "POST", &format!("{url}/validate"), None, Some(&body)).unwrap();
    assert_eq!((reply.status, &reply.json()["code"]), (500, &json!("INTERNAL")));
    server.signal(Signal::TERM);
    let finished = server.wait();
    assert!(finished.stderr.contains("cannot be trusted"), "{}", finished.stderr);
    assert_eq!(finished.code(), 0);
}
