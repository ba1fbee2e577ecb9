//! What runs is compared with what was approved.

use std::time::Instant;

use license_tests::{App, authority::TOKEN};
use serde_json::json;

use crate::{KEY, asking, good, healthy, healthy_but, saying};

#[test]
fn an_application_that_differs_is_unhealthy_and_the_difference_is_named() {
    let rows = [
        ("valid", json!({ "valid": false })),
        ("valid", json!({ "valid": null })),
        ("plan", json!({ "plan": "starter" })),
        ("features", json!({ "features": ["analytics"] })),
        ("expiresAt", json!({ "expiresAt": "2099-01-01T00:00:01Z" })),
        ("keyFingerprint", json!({ "keyFingerprint": "0011223344556677" })),
        ("release", json!({ "release": "another" })),
    ];
    let server = saying(&good());
    for (field, changes) in rows {
        let app = App::reporting(healthy_but(&changes));
        let project = asking(&server).line("features", r#"["sso"]"#).health(&app, "1s");
        project.deploy().exits(14).says(field).deploy_ran();
        let trail = project.trail("production");
        let health = trail.last("health");
        assert_eq!(health["health"], "unhealthy", "{changes}");
        let fields: Vec<_> = health["differences"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
        assert_eq!(fields, [field], "{changes}");
    }
}

#[test]
fn an_application_that_agrees_is_healthy_but_not_proved_without_key_or_release() {
    let rows = [
        ("everything agrees", healthy()),
        ("more features than demanded", healthy_but(&json!({ "features": ["analytics", "sso", "more"] }))),
        ("the same instant written otherwise", healthy_but(&json!({ "expiresAt": "2099-01-01T01:00:00+01:00" }))),
        ("no plan", json!({ "valid": true, "features": ["sso"] })),
    ];
    let server = saying(&good());
    for (name, status) in rows {
        let app = App::reporting(status);
        let project = asking(&server).line("features", r#"["sso"]"#).health(&app, "20s");
        project.deploy().exits(0).says("healthy, not proved to be this deploy").deploy_ran();
        assert_eq!(project.trail("production").last("health")["health"], "not_proved", "{name}");
    }
}

#[test]
fn an_application_that_needs_a_while_is_waited_for() {
    let server = saying(&good());
    let app = App::reporting_after(3, healthy());
    asking(&server).health(&app, "30s").deploy().exits(0).deploy_ran();
    assert_eq!(app.asked(), 4);
}

#[test]
fn an_application_that_never_answers_is_given_up_at_its_deadline() {
    let server = saying(&good());
    let project = asking(&server).line("health", r#"{ url = "http://127.0.0.1:9/api/license/status", within = "1s" }"#);
    let started = Instant::now();
    project.deploy().exits(14).deploy_ran();
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert_eq!(project.trail("production").last("health")["health"], "unreachable");
}

#[test]
fn an_application_whose_answer_cannot_be_read_is_unhealthy() {
    let server = saying(&good());
    for status in [json!([]), json!("fine"), json!({ "valid": "yes" })] {
        let app = App::reporting(status.clone());
        let project = asking(&server).health(&app, "1s");
        project.deploy().exits(14).deploy_ran();
        let trail = project.trail("production");
        let health = &trail.last("health")["health"];
        assert!(health == "unhealthy" || health == "unreachable", "{status}: {health}");
    }
}

#[test]
fn the_application_hears_no_key_and_no_token() {
    let server = saying(&good());
    let app = App::reporting(healthy());
    asking(&server).health(&app, "20s").deploy().exits(0);
    assert!(app.asked() > 0);
    for request in app.requests() {
        let said = format!("{request:?}");
        assert_eq!(request.method, "GET");
        assert!(!said.contains(KEY) && !said.contains(TOKEN) && request.header("authorization").is_none(), "{said}");
    }
}
