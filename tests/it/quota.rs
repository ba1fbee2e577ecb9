//! How many validations the accounts have used: shown, warned about, and never in the way of anything.

use std::fs;

use license_tests::{Answer, Grant, Project, RawServer, authority::TOKEN, raw::Request};
use serde_json::{Value, json};

use crate::{KEY, asking, authority, good, licensed, project};

/// A server whose license is good, and that says this about its validations.
fn counting(usage: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> RawServer {
    RawServer::answering(
        move |request| {
            if request.is_about_usage() { usage(request) } else { Answer::json(200, &good()) }
        },
    )
}

fn stating(usage: &Value) -> RawServer {
    let usage = usage.clone();
    counting(move |_| Answer::json(200, &usage))
}

/// The paths at which it was asked for its usage.
fn asked(server: &RawServer) -> Vec<String> {
    let about_usage = server.requests().into_iter().filter(Request::is_about_usage);
    about_usage.map(|request| request.path.trim_start_matches("/api/v1").to_owned()).collect()
}

/// A second environment, of the authority `to` or of another.
fn environment(name: &str, authority: &str) -> String {
    format!(
        "[environments.{name}]\nauthority = \"{authority}\"\ndomain = \"{name}.app.com\"\nkey = {{ env = \"KEY_{name}\" }}\n"
    )
}

fn with_environment(project: Project, name: &str, authority: &str) -> Project {
    project.tables(&environment(name, authority)).var(&format!("KEY_{name}"), &format!("{KEY}{name}"))
}

#[test]
fn a_real_server_counts_the_validation_of_this_look_and_says_no_limit() {
    let (_authority, _, project) = licensed(&Grant::default());
    let first = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(first["accounts"][0]["authority"], "to", "{first}");
    assert_eq!(first["accounts"][0]["validationsUsed"], 1, "{first}");
    assert_eq!(first["accounts"][0]["validationsToday"], 1);
    assert_eq!(first["accounts"][0]["validationsLimit"], Value::Null);
    assert_eq!(first["accounts"][0]["room"], "unlimited");
    project.run(&["status"]).exits(0).says("authority `to`: 2 validations used this month, without a limit");
}

#[test]
fn an_embedded_authority_counts_what_it_serves_and_has_no_limit() {
    let mut server = authority(&[]);
    let license = server.issue(&Grant { domains: &["localhost"], ..Grant::default() });
    server.validate(&license.key, "localhost");
    // It saves its counters at its end.
    server.stop(rustix::process::Signal::TERM);
    let state = server.state().join("authority");
    let text = format!(
        "version = 1\n[authority.local]\nkind = \"embedded\"\nstate = {state:?}\n[environments.development]\nauthority = \"local\"\n\
         domain = \"localhost\"\nkey = {{ env = \"LICENSE_KEY\" }}\n"
    );
    let project = project().license_toml(text.as_bytes()).key(&license.key);
    let account = project.run(&["status", "--format", "json"]).exits(0).json()["accounts"][0].clone();
    assert_eq!((&account["validationsUsed"], &account["room"]), (&json!(1), &json!("unlimited")), "{account}");
    fs::remove_file(state.join("usage.json")).unwrap();
    project.run(&["status"]).exits(0).says("authority `local`: validations without a limit");
}

#[test]
fn each_authority_is_asked_once_and_each_environment_costs_one_validation() {
    let (one, other) = (stating(&json!({ "validationsMonth": 1, "monthlyLimit": 500 })), stating(&json!({})));
    let project = asking(&one).tables(&format!(
        "[authority.other]\nkind = \"traffic-orchestrator\"\nurl = \"{}\"\ntoken = {{ env = \"TO_API_KEY\" }}\n",
        other.url()
    ));
    let project = ["a", "b", "c"].into_iter().fold(project, |project, name| with_environment(project, name, "to"));
    let project = with_environment(project, "d", "other");
    let document = project.run(&["status", "--all", "--format", "json"]).json();
    assert_eq!(document["environments"].as_array().unwrap().len(), 5);
    assert_eq!((one.validations(), other.validations()), (4, 1));
    assert_eq!((asked(&one), asked(&other)), (vec!["/portal/stats".to_owned()], vec!["/portal/stats".to_owned()]));
    let names: Vec<_> = document["accounts"].as_array().unwrap().iter().map(|one| one["authority"].clone()).collect();
    assert_eq!(names, ["other", "to"]);
    assert_eq!(document["accounts"][0]["room"], "unknown");
    // Only who is looked at is asked.
    project.run(&["status", "production"]).exits(0);
    assert_eq!((asked(&one).len(), asked(&other).len()), (2, 1));
    // And nobody with `--cached`.
    let (before, elsewhere) = (one.requests().len(), other.requests().len());
    let cached = project.run(&["status", "--all", "--cached", "--format", "json"]).json();
    assert_eq!((one.requests().len(), other.requests().len()), (before, elsewhere));
    assert_eq!(cached["accounts"], json!([]));
    let request = one.requests().into_iter().find(Request::is_about_usage).unwrap();
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert!(!request.path.contains('?') && request.body.is_empty(), "{request:?}");
}

#[test]
fn the_second_address_is_asked_only_where_the_first_is_not_there() {
    for (status, expected) in [(404, 2), (405, 2), (401, 1), (403, 1), (429, 1), (500, 1), (400, 1), (204, 1)] {
        let server = counting(move |request| {
            if request.path.ends_with("/portal/stats") {
                return Answer::text(status, "text/plain", "no");
            }
            Answer::json(200, &json!({ "validations_month": 412, "monthly_limit": 500 }))
        });
        let ran = asking(&server).run(&["status"]);
        ran.exits(0);
        assert_eq!(asked(&server).len(), expected, "{status}");
        match expected {
            2 => ran.says("authority `to`: 412 of 500 validations used this month, 82 %"),
            _ => ran.says("validations not known"),
        };
    }
}

#[test]
fn an_authority_that_does_not_tell_changes_nothing_of_what_is_known() {
    let elsewhere = stating(&json!({ "validationsMonth": 1 }));
    let redirect = format!("{}/portal/stats", elsewhere.url());
    let rows: [(&str, Answer, &str, &str); 9] = [
        ("nowhere", Answer::text(404, "text/plain", ""), "neither `/portal/stats` nor `/portal/usage`", "not_told"),
        ("401", Answer::json(401, &json!({ "error": "not you" })), "refused the API token", "credential"),
        ("403", Answer::json(403, &json!({ "error": "not that" })), "refused the API token", "credential"),
        ("HTML", Answer::text(200, "text/html", "<html>"), "an HTML page", "protocol_error"),
        ("half", Answer::Half { body: "{\"vali".to_owned(), of: 500 }, "in the middle", "unreachable"),
        ("huge", Answer::Huge { bytes: 1_000_000 }, "longer than", "protocol_error"),
        ("reset", Answer::Reset, "could not be asked", "unreachable"),
        ("silence", Answer::Hang, "no answer", "unreachable"),
        ("elsewhere", Answer::with_headers(302, &[("location", &redirect)], ""), "not followed", "protocol_error"),
    ];
    for (name, answer, says, code) in rows {
        let server = counting(move |_| answer.clone());
        let project = asking(&server).authority_line("timeout", r#""2s""#);
        let ran = project.run(&["status", "--format", "json", "--exit-code"]).named(name);
        let document = ran.exits(0).json();
        assert_eq!(document["environments"][0]["license"]["verdict"], "go", "{name}");
        assert_eq!(document["accounts"][0]["error"]["code"], code, "{name}: {document}");
        assert_eq!(document["accounts"][0]["validationsUsed"], Value::Null, "{name}");
        ran.says(says).never_shows(TOKEN);
        assert_eq!(server.validations(), 1, "{name}");
    }
    assert_eq!(elsewhere.requests().len(), 0, "the token goes to one host");
}

#[test]
fn what_is_known_of_an_account_does_not_hide_what_is_wrong() {
    let server = RawServer::answering(|request| {
        if request.is_about_usage() {
            return Answer::json(200, &json!({ "validationsMonth": 500, "monthlyLimit": 500 }));
        }
        Answer::json(429, &json!({ "error": "QUOTA_EXCEEDED" }))
    });
    let ran = asking(&server).run(&["status"]);
    ran.exits(11).says("quota of validations is used up").says("500 of 500 validations used this month");
    ran.says("further ones will be refused");
}

#[test]
fn from_eighty_percent_on_every_form_of_the_output_warns_and_the_exit_stays() {
    let near = stating(&json!({ "validationsMonth": 400, "monthlyLimit": 500, "validationsToday": 7 }));
    let project = asking(&near);
    let warning = "80 % of this month's validations are used: when all are, further ones will be refused";
    project.run(&["status", "--exit-code"]).exits(0).says("400 of 500 validations used this month, 80 %").says(warning);
    let document = project.run(&["status", "--format", "json"]).exits(0).json();
    let account = &document["accounts"][0];
    assert_eq!((&account["validationsUsed"], &account["validationsLimit"]), (&json!(400), &json!(500)), "{account}");
    assert_eq!((&account["validationsToday"], &account["room"]), (&json!(7), &json!("little")));
    assert!(account["warning"].as_str().unwrap().starts_with(warning), "{account}");
    let junit = project.run(&["status", "--format", "junit"]);
    let (_, output) = junit.exits(0).stdout().split_once("<system-out>").unwrap();
    assert!(output.contains("400 of 500") && output.contains("80 %"), "{output}");
    let files = ["status", "--html", "page.html", "--metrics", "license.prom"];
    project.run(&files).exits(0);
    let page = fs::read_to_string(project.path("page.html")).unwrap();
    assert!(page.contains("400 of 500") && page.contains("further ones will be refused"), "{page}");
    let metrics = fs::read_to_string(project.path("license.prom")).unwrap();
    for line in ["license_validations_used{authority=\"to\"} 400", "license_validations_limit{authority=\"to\"} 500"] {
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
    let summary = project.path("summary.md");
    let project = project.var("GITHUB_ACTIONS", "true").var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    let ran = project.run(&["status"]);
    let place = format!("line={}", project.line_number("token"));
    let annotation = ran.exits(0).stderr().lines().find(|line| line.starts_with("::warning")).unwrap();
    assert!(annotation.contains("400 of 500") && annotation.contains(&place), "{annotation}");
    assert!(fs::read_to_string(summary).unwrap().contains("400 of 500"));
}

#[test]
fn below_eighty_percent_nothing_warns() {
    let server = stating(&json!({ "validationsMonth": 399, "monthlyLimit": 500 }));
    let ran = asking(&server).var("GITHUB_ACTIONS", "true").run(&["status"]);
    ran.exits(0).says("399 of 500 validations used this month, 79 %").says_nothing_of("::warning");
    ran.says_nothing_of("refused");
}

#[test]
fn the_words_of_an_authority_about_usage_cannot_forge_anything() {
    let forged = format!("\u{1b}[2J\r\n::error::forged {TOKEN}\n##[error]forged<script>");
    let server = counting(move |_| Answer::json(401, &json!({ "message": forged })));
    asking(&server).run(&["status"]).exits(0).says("[masked]").never_shows(TOKEN);
    let project = asking(&server).var("GITHUB_ACTIONS", "true");
    for format in ["human", "json", "github", "junit"] {
        let ran = project.run(&["status", "--format", format, "--html", "page.html"]);
        ran.exits(0);
        let all = format!("{}{}", ran.stdout(), ran.stderr());
        assert!(!all.contains('\u{1b}') && !all.contains("##[error]"), "{format}: {all:?}");
        assert!(all.lines().all(|line| !line.trim_start().starts_with("::error::forged")), "{format}: {all}");
        assert!(!fs::read_to_string(project.path("page.html")).unwrap().contains("<script"));
    }
}
