//! Alerts over more than two looks: what is taken back and stands again, outages in between, looks that tell nobody, and
//! sinks that come and go.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use license_tests::{Answer, Project, RawServer, failpoints, process};
use serde_json::{Value, json};

use crate::{
    BINARY, KEY,
    alerts::wishing,
    asking, good, good_but, in_days,
    status::{collected, collecting},
};

/// An authority whose answer a test changes.
struct Says {
    answer: Arc<Mutex<Answer>>,
    server: RawServer,
}

impl Says {
    fn first(answer: &Value) -> Self {
        let answer = Arc::new(Mutex::new(Answer::json(200, answer)));
        let server = wishing(&answer);
        Self { answer, server }
    }

    fn now(&self, answer: &Value) {
        *self.answer.lock().unwrap() = Answer::json(200, answer);
    }

    fn is_away(&self) {
        *self.answer.lock().unwrap() = Answer::text(503, "text/plain", "away");
    }

    /// A project that a test may give another time, with a sink that keeps what it gets.
    fn project(&self) -> Project {
        collecting(Project::new(failpoints::binary(BINARY)).authority_at(&self.server.url()).key(KEY))
    }
}

fn revoked() -> Value {
    json!({ "valid": false, "code": "REVOKED", "message": "gone" })
}

fn ending(at: &str) -> Value {
    good_but(&json!({ "expiresAt": at }))
}

/// What the sink heard: of which alert, without what differs from run to run, and whether it stands or is over.
fn heard(project: &Project) -> Vec<String> {
    let text = |event: &Value, name: &str| event["data"][name].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
    let short = |event: Value| {
        let key = text(&event, "dedup_key");
        let parts: Vec<&str> = key.split(':').collect();
        let again = key.split_once('#').map(|(_, times)| format!(" #{times}")).unwrap_or_default();
        format!("{}{again} {}", parts[2], text(&event, "news"))
    };
    collected(project).into_iter().map(short).collect()
}

fn later(project: Project, hours: i64) -> Project {
    project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(hours * 60 * 60).to_string())
}

#[test]
fn no_outage_undoes_a_refusal_that_only_a_look_saw() {
    let says = Says::first(&good());
    let project = collecting(asking(&says.server)).line("unreachable", "\"cached\"").line("cached_max_age", "\"24h\"");
    project.deploy().exits(0);
    says.now(&revoked());
    project.run(&["status"]).exits(10);
    says.is_away();
    project.run(&["status"]).exits(11).says("is a refusal").says("refuses the license key");
    project.deploy().exits(11);
    assert_eq!(heard(&project), ["refused stands"]);
    says.now(&good());
    project.run(&["status"]).exits(0);
    assert_eq!(heard(&project), ["refused stands", "refused gone"]);
}

#[test]
fn what_stood_in_for_an_answer_takes_nothing_back_and_is_no_news() {
    let says = Says::first(&ending(&in_days(2)));
    let project = collecting(asking(&says.server)).line("unreachable", "\"cached\"").line("cached_max_age", "\"24h\"");
    project.deploy().exits(0);
    says.now(&ending(&in_days(300)));
    project.run(&["status"]).exits(0);
    // The last answer that a deploy rested on has the end before the renewal.
    says.is_away();
    project.run(&["status"]).exits(0).says("judged by a cached answer");
    assert_eq!(heard(&project), [""; 0]);
}

#[test]
fn an_alert_that_is_over_and_stands_again_is_told_again_under_another_name() {
    let (soon, far) = (in_days(5), in_days(300));
    let says = Says::first(&ending(&soon));
    let project = collecting(asking(&says.server));
    for end in [&soon, &far, &soon, &soon, &far, &soon] {
        says.now(&ending(end));
        project.run(&["status"]).exits(0);
    }
    let expected = ["expiring stands", "expiring gone", "expiring #2 stands", "expiring #2 gone", "expiring #3 stands"];
    assert_eq!(heard(&project), expected);
}

#[test]
fn a_look_that_tells_nobody_leaves_it_to_the_next_to_say_that_an_alert_is_over() {
    let says = Says::first(&revoked());
    let project = collecting(asking(&says.server));
    project.run(&["status"]).exits(10);
    says.now(&good());
    let before = project.trail("production").kinds().len();
    project.run(&["status", "--no-alerts"]).exits(0);
    assert_eq!(project.trail("production").kinds()[before..], ["look"]);
    project.run(&["status"]).exits(0);
    assert_eq!(heard(&project), ["refused stands", "refused gone"]);
}

#[test]
fn that_nobody_looked_is_told_although_the_sink_was_away_or_a_look_told_nobody() {
    let says = Says::first(&good());
    let project = says.project();
    project.run(&["status"]).exits(0);
    let project = later(project, 10 * 24).write("refuse", b"");
    project.run(&["status", "--no-alerts"]).exits(0).says("nobody looked");
    project.run(&["status"]).exits(16).says("nobody looked");
    fs::remove_file(project.path("refuse")).unwrap();
    project.run(&["status"]).exits(0);
    assert_eq!(heard(&project), ["unwatched stands"]);
    project.run(&["status"]).exits(0);
    project.run(&["status"]).exits(0);
    assert_eq!(heard(&project), ["unwatched stands", "unwatched gone"]);
}

#[test]
fn that_nobody_looked_is_told_although_the_run_that_found_it_was_killed() {
    let says = Says::first(&good());
    for point in ["alert-due", "alert-sent"] {
        let project = says.project();
        project.run(&["status"]).exits(0);
        let project = later(project, 10 * 24).var("LICENSE_FAILPOINT", point);
        assert_ne!(project.run(&["status"]).code(), 0, "{point}");
        let project = later(project, 10 * 24 + 1).unset("LICENSE_FAILPOINT");
        project.run(&["status"]).exits(0);
        let times = heard(&project).iter().filter(|heard| *heard == "unwatched stands").count();
        assert_eq!(times, if point == "alert-sent" { 2 } else { 1 }, "{point}: {:?}", heard(&project));
    }
}

#[test]
fn where_nobody_is_configured_a_gap_is_shown_once() {
    let says = Says::first(&good());
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&says.server.url()).key(KEY);
    project.run(&["status"]).exits(0);
    let project = later(project, 10 * 24);
    project.run(&["status", "--no-alerts"]).exits(0).says("nobody looked");
    project.run(&["status"]).exits(0).says_nothing_of("nobody looked");
}

#[test]
fn a_short_gap_is_none_where_somebody_looks_often_enough() {
    let says = Says::first(&good());
    let mut project = says.project().tables("[alerts]\ngap = \"12h\"\n");
    for hours in [0, 7, 13, 19, 25] {
        project = later(project, hours);
        project.run(&["status", "--exit-code"]).exits(0);
    }
    let project = later(project, 40);
    project.run(&["status", "--exit-code"]).exits(15).says("nobody looked");
    project.run(&["status", "--exit-code"]).exits(0);
}

#[test]
fn what_the_last_look_saw_is_judged_by_todays_clock() {
    let says = Says::first(&ending(&in_days(5)));
    let project = says.project();
    project.run(&["status"]).exits(0);
    let project = later(project, 6 * 24 + 12);
    let document = project.run(&["status", "--cached", "--format", "json"]).exits(10).json();
    let environment = &document["environments"][0];
    assert_eq!(
        (&environment["license"]["verdict"], &environment["license"]["daysLeft"]),
        (&json!("refused"), &json!(-2))
    );
    assert!(environment["alerts"][0].to_string().contains("ended at"), "{environment}");
    project.run(&["status", "--cached"]).exits(10).says("the license expired at");
    project.run(&["status", "--cached", "--format", "junit"]).exits(10).says("the license expired at");
    assert_eq!(heard(&project), ["expiring stands"], "and nobody is told");
}

#[test]
fn a_last_look_that_saw_no_license_is_not_known() {
    let says = Says::first(&good());
    let project = asking(&says.server).unset("LICENSE_KEY");
    project.run(&["status"]).exits(3);
    project.run(&["status", "--cached"]).exits(11).says("not known").says("LICENSE_KEY");
}

#[test]
fn a_sink_that_takes_the_place_of_another_hears_what_stands() {
    let says = Says::first(&revoked());
    let project = collecting(asking(&says.server)).write("refuse", b"");
    project.run(&["status"]).exits(10).says("NOT told");
    fs::remove_file(project.path("refuse")).unwrap();
    let text = project.text();
    let project = project.license_toml(text.replace("[sinks.file]", "[sinks.fresh]").as_bytes());
    for _ in 0..2 {
        project.run(&["status"]).exits(10);
        assert_eq!(heard(&project), ["refused stands"]);
    }
    says.now(&good());
    project.run(&["status"]).exits(0);
    assert_eq!(heard(&project), ["refused stands", "refused gone"]);
}

#[test]
fn an_outage_makes_no_second_refusal_of_one_and_hides_it_nowhere() {
    let says = Says::first(&revoked());
    let project = collecting(asking(&says.server));
    project.run(&["status"]).exits(10);
    says.is_away();
    let document = project.run(&["status", "--format", "json"]).exits(11).json();
    assert_eq!(document["environments"][0]["alerts"].as_array().unwrap().len(), 1, "{document}");
    project.run(&["status", "--exit-code"]).exits(11).says("refuses the license key");
    says.now(&revoked());
    project.run(&["status"]).exits(10);
    assert_eq!(heard(&project), ["refused stands"]);
}

#[test]
fn a_demand_that_is_not_met_is_not_told_as_the_authoritys_no() {
    let says = Says::first(&ending(&in_days(40)));
    let project = collecting(asking(&says.server)).line("min_days_left", "50");
    project.run(&["status"]).exits(10).says("is not what license.toml demands: expires_within");
    assert_eq!(heard(&project), ["refused stands"]);
    // What renews itself is not told of before it did not.
    let project = collecting(asking(&says.server)).line("min_days_left", "50").line("auto_renew", "true");
    project.run(&["status"]).exits(10);
    assert_eq!(heard(&project), [""; 0]);
}

#[test]
fn a_look_that_took_longer_than_another_takes_back_nothing_of_it() {
    let (soon, far) = (in_days(5), in_days(300));
    let says = Says::first(&ending(&far));
    // Its application answers late, and only the first time.
    let waits = Arc::new(Mutex::new(true));
    let app = {
        let (answer, waits) = (good(), Arc::clone(&waits));
        RawServer::answering(move |_| {
            if std::mem::take(&mut *waits.lock().unwrap()) {
                return Answer::Hang;
            }
            Answer::json(200, &answer)
        })
    };
    let url = format!("http://{}/api/license/status", app.address());
    let project = collecting(asking(&says.server)).line("health", &format!("{{ url = \"{url}\", within = \"1s\" }}"));
    let slow = project.start(&["status"]);
    // The slow one has asked the authority when it waits for the application.
    process::until("the application is asked", || !app.requests().is_empty());
    says.now(&ending(&soon));
    let fast = project.run(&["status"]);
    assert_eq!(heard(&project), ["expiring stands"], "{fast:?}");
    project.ended(slow);
    assert_eq!(heard(&project), ["expiring stands"], "what is older took it back");
    project.run(&["status"]);
    assert_eq!(heard(&project), ["expiring stands"]);
}
