//! Clocks that disagree: the authority's, the application's, and that of another machine that writes the trail.

use jiff::{SignedDuration, Timestamp};
use license_tests::{Answer, App, Grant, Project, RawServer, failpoints};
use serde_json::{Value, json};

use crate::{
    BINARY, KEY, asking, authority, good, good_but, healthy, in_days, project, saying,
    status::{collected, collecting},
};

/// The `Date` of a server whose clock is so far ahead.
fn date(ahead: SignedDuration) -> String {
    (Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A server whose clock is so far ahead.
fn dated(ahead: SignedDuration, body: &Value) -> RawServer {
    let body = body.to_string();
    RawServer::answering(move |request| {
        if request.is_about_usage() {
            return Answer::text(404, "text/plain", "");
        }
        Answer::with_headers(200, &[("content-type", "application/json"), ("date", &date(ahead))], &body)
    })
}

/// What the document says of clocks: whose, and how many hours ahead.
fn clocks(document: &Value) -> Vec<(String, i64)> {
    let clocks = document["environments"][0]["clocks"].as_array().unwrap();
    let clock = |one: &Value| {
        let hours = (one["aheadSeconds"].as_i64().unwrap() + 60).div_euclid(3600);
        (one["of"].as_str().unwrap().to_owned(), hours)
    };
    clocks.iter().map(clock).collect()
}

/// A project in the build whose clock can be put forward.
fn with_a_clock(server: &RawServer) -> Project {
    Project::new(failpoints::binary(BINARY)).authority_at(&server.url()).key(KEY)
}

const AHEAD: &str = "LICENSE_FAILPOINT_CLOCK_AHEAD_SECS";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn an_authority_with_another_clock_is_told_of_and_a_real_server_is_one() {
    let server = authority(&["--fault", "clock-skew=1d"]);
    let license = server.issue(&Grant::default());
    let ran = project().authority(&server).key(&license.key).line("min_days_left", "3").run(&["status"]);
    ran.exits(11).says("the authority's clock is 24 hours ahead of this machine's").says("set the clock");
    for (hours, word) in [(26, "26 hours ahead of"), (-49, "2 days behind")] {
        let server = dated(HOUR * hours, &good());
        let ran = asking(&server).line("min_days_left", "3").run(&["status", "--format", "json"]);
        let document = ran.exits(11).json();
        assert_eq!(clocks(&document), [("authority".to_owned(), i64::from(hours))], "{document}");
        ran.says(word);
    }
    let near = dated(SignedDuration::from_mins(4), &good());
    let document = asking(&near).run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(clocks(&document), []);
}

#[test]
fn no_alert_is_sent_that_only_one_of_two_clocks_asks_for_and_none_is_taken_back() {
    // By ours 6.5 days are left, and by the authority's 7.5.
    let ends_at = (Timestamp::now() + HOUR * 156).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body = good_but(&json!({ "expiresAt": ends_at }));
    let behind = dated(HOUR * -24, &body);
    let project = collecting(asking(&behind)).top("[alerts]\ndays = [7]\n");
    project.run(&["status"]).exits(11).says_nothing_of("ends within 7 days");
    assert_eq!(collected(&project).len(), 0);
    // The clocks agree again: it is due, and it is sent.
    let straight = dated(SignedDuration::ZERO, &body);
    let project = project.authority_at(&straight.url());
    project.run(&["status"]).exits(0).says("ends within 7 days");
    assert_eq!(collected(&project).len(), 1);
    // They disagree again: what was said stands.
    let project = project.authority_at(&behind.url());
    project.run(&["status"]).exits(11);
    let project = project.authority_at(&straight.url());
    project.run(&["status"]).exits(0);
    assert_eq!(collected(&project).len(), 1, "{:?}", collected(&project));
}

#[test]
fn a_license_that_ended_by_one_clock_alone_has_not_ended_for_anybody_who_is_told() {
    let ends_at = (Timestamp::now() - HOUR).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let server = dated(HOUR * -2, &good_but(&json!({ "expiresAt": ends_at })));
    let project = collecting(asking(&server)).top("[alerts]\ndays = [30, 7, 1]\n");
    project.run(&["status"]).exits(11);
    let kinds: Vec<_> = collected(&project).iter().map(|one| one["type"].clone()).collect();
    assert_eq!(kinds, ["license.alert.expiring"], "both say that it ends within a day");
}

#[test]
fn an_application_with_another_clock_is_told_of_and_healthy_all_the_same() {
    let server = saying(&good());
    let app = dated(HOUR * -3, &healthy());
    let url = format!("http://{}/api/license/status", app.address());
    let project = asking(&server).line("health", &format!("{{ url = \"{url}\", within = \"5s\" }}"));
    let ran = project.run(&["status", "--format", "json"]);
    let document = ran.exits(0).json();
    assert_eq!(clocks(&document), [("app".to_owned(), -3)]);
    ran.says("the clock of the application's machine is 3 hours behind this machine's");
    let ran = project.var("GITHUB_ACTIONS", "true").run(&["status"]);
    assert!(ran.exits(0).stderr().lines().any(|line| line.starts_with("::warning") && line.contains("clock")), "{ran}");
    // One that does not tell its time is not guessed about.
    let silent = App::reporting(healthy());
    let document = asking(&server).health(&silent, "5s").run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(clocks(&document), []);
}

#[test]
fn an_entry_from_the_future_is_told_of_and_keeps_no_later_look_out() {
    let server = saying(&good());
    let project = collecting(with_a_clock(&server)).var(AHEAD, "259200");
    project.run(&["status"]).exits(0);
    let project = project.unset(AHEAD);
    let ran = project.run(&["status", "--format", "json"]);
    let document = ran.exits(0).json();
    assert_eq!(clocks(&document).iter().map(|(of, _)| of.as_str()).collect::<Vec<_>>(), ["trail"], "{document}");
    ran.says("the newest entry of the trail is from 3 days in the future");
    // The look is in the trail although one from the future is there; the next one is nothing new.
    assert_eq!(project.trail("production").kinds(), ["look", "look"]);
    let document = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(clocks(&document), []);
    assert_eq!(project.trail("production").kinds(), ["look", "look"]);
    assert_eq!(collected(&project).len(), 0, "nobody was away");
}

#[test]
fn a_run_whose_clock_was_ahead_when_it_died_does_not_keep_its_alert() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    let project = collecting(with_a_clock(&server)).var(AHEAD, "7200").var("LICENSE_FAILPOINT", "alert-due");
    let ran = project.run(&["status"]);
    assert_ne!(ran.code(), 0, "{ran}");
    assert_eq!(collected(&project).len(), 0);
    let project = project.unset(AHEAD).unset("LICENSE_FAILPOINT");
    project.run(&["status"]).exits(0).says_nothing_of("another run is at it");
    assert_eq!(collected(&project).len(), 1);
}
