//! What runs, what the authority says of it, and whom to tell.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use license_tests::{Answer, App, Grant, Hub, Project, RawServer, failpoints};
use serde_json::{Value, json};

use crate::{
    BINARY, KEY, asking, good, good_but, healthy, healthy_but, in_days, licensed, project, saying, tls::TlsServer,
};

/// A program that keeps every alert that it gets, one JSON document a line; it fails while a file `refuse` is there.
pub(crate) fn collecting(project: Project) -> Project {
    let script =
        "#!/bin/sh\ntest -e refuse && exit 1\nflock alerts.lock sh -c 'cat >> alerts.jsonl; echo >> alerts.jsonl'\n";
    project
        .write("collect.sh", script.as_bytes())
        .tables("[sinks.file]\nkind = \"command\"\ncommand = [\"sh\", \"./collect.sh\"]\n")
}

pub(crate) fn collected(project: &Project) -> Vec<Value> {
    let text = fs::read_to_string(project.path("alerts.jsonl")).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_look_says_what_runs_what_the_authority_says_and_what_was_approved() {
    let server = saying(&good());
    let app = App::reporting(healthy());
    let project = asking(&server).line("features", r#"["sso"]"#).health(&app, "20s");
    project.deploy().exits(0);
    let document = project.run(&["status", "--format", "json"]).exits(0).json();
    let environment = &document["environments"][0];
    assert_eq!(environment["license"]["verdict"], "go", "{document}");
    assert_eq!(environment["license"]["plan"], "enterprise");
    assert_eq!(environment["license"]["endsAt"], "2099-01-01T00:00:00Z");
    assert_eq!(environment["app"]["state"], "not_proved");
    assert_eq!(environment["app"]["reported"]["plan"], "enterprise");
    assert_eq!(environment["deployed"]["keyFingerprint"], environment["license"]["keyFingerprint"]);
    assert_eq!(environment["changed"], json!([]));
    assert_eq!(environment["rotation"], "idle");
    assert_eq!(document["exit"], json!({ "code": 0, "name": "done" }));
    project.run(&["status"]).exits(0).says("production").says("healthy").says("good").says("plan enterprise");
}

#[test]
fn one_look_spends_one_validation_and_a_cached_one_none() {
    let server = saying(&good());
    let project = asking(&server);
    project.run(&["status", "--cached"]).exits(11).says("the trail has no look");
    assert_eq!(server.requests().len(), 0);
    project.run(&["status"]).exits(0);
    assert_eq!(server.validations(), 1);
    let asked = server.requests().len();
    let document = project.run(&["status", "--cached", "--format", "json"]).exits(0).json();
    assert_eq!(server.requests().len(), asked);
    assert_eq!(document["environments"][0]["license"]["source"], "trail");
    assert_eq!(document["environments"][0]["license"]["plan"], "enterprise");
}

#[test]
fn every_wrong_answer_of_the_application_fails_with_the_code_of_its_row() {
    let server = saying(&good());
    let html = "<html><script>alert(1)</script></html>";
    let rows: Vec<(&str, Answer, &str)> = vec![
        ("not valid", Answer::json(200, &healthy_but(&json!({ "valid": false }))), "not valid"),
        ("not valid, 403", Answer::json(403, &json!({ "valid": false })), "not valid"),
        ("does not say", Answer::json(200, &json!({ "plan": "enterprise" })), "does not say"),
        ("stale plan", Answer::json(200, &healthy_but(&json!({ "plan": "starter" }))), "starter"),
        ("a feature is gone", Answer::json(200, &healthy_but(&json!({ "features": [] }))), "`sso`"),
        ("another end", Answer::json(200, &healthy_but(&json!({ "expiresAt": "2030-01-01T00:00:00Z" }))), "2030-01-01"),
        ("HTML", Answer::text(200, "text/html", html), "not with a JSON object"),
        ("500", Answer::text(500, "text/plain", "no"), "500"),
        ("404", Answer::text(404, "text/plain", "no"), "docs/monitoring.md"),
        (
            "a redirect",
            Answer::with_headers(302, &[("Location", "https://example.com/")], ""),
            "redirects are not followed",
        ),
        ("slow", Answer::Hang, "no whole answer within 5.0 seconds"),
        ("reset", Answer::Reset, "ended before the answer was whole"),
        ("cut", Answer::Half { body: "{".to_owned(), of: 100 }, "ended before the answer was whole"),
        ("huge", Answer::Huge { bytes: 40_000_000 }, "longer than 65536 bytes"),
    ];
    for (name, answer, says) in rows {
        let app = RawServer::script([answer]);
        let url = format!("http://{}/api/license/status", app.address());
        let project = asking(&server)
            .line("features", r#"["sso"]"#)
            .line("health", &format!("{{ url = \"{url}\", within = \"1s\" }}"));
        let ran = project.run(&["status"]);
        assert_eq!(ran.code(), 14, "{name}: {ran:?}");
        ran.says(says);
    }
}

#[test]
fn an_application_whose_certificate_nobody_can_check_is_14() {
    let server = saying(&good());
    let (stranger, without_tls) = (TlsServer::saying(&["localhost"], &healthy().to_string()), saying(&healthy()));
    for (port, says) in
        [(stranger.address.port(), "certificate"), (without_tls.address().port(), "no whole answer within")]
    {
        let url = format!("https://localhost:{port}/api/license/status");
        let project = asking(&server).line("health", &format!("{{ url = \"{url}\", within = \"1s\" }}"));
        project.run(&["status"]).exits(14).says(says);
    }
}

#[test]
fn the_words_of_an_application_cannot_forge_escapes_or_workflow_commands() {
    let server = saying(&good());
    let forged = "\u{1b}[2J\r\n::error::forged\n::set-output name=a::b";
    let app = App::reporting(healthy_but(&json!({ "plan": forged, "release": forged })));
    let project = asking(&server).health(&app, "1s");
    for format in ["human", "json", "github", "junit"] {
        let ran = project.run(&["status", "--format", format]);
        ran.exits(14);
        let all = format!("{}{}", ran.stdout(), ran.stderr());
        assert!(!all.contains('\u{1b}'), "{format}: {all:?}");
        assert!(all.lines().all(|line| !line.trim_start().starts_with("::error::forged")), "{format}: {all}");
        assert!(all.lines().all(|line| !line.trim_start().starts_with("::set-output")), "{format}: {all}");
    }
}

#[test]
fn a_refused_license_is_10_and_an_authority_that_cannot_be_asked_is_11() {
    let refused = saying(&json!({ "valid": false, "code": "REVOKED", "message": "gone" }));
    asking(&refused).run(&["status"]).exits(10).says("refused");
    let dead = RawServer::script([Answer::json(200, &good())]);
    let project = asking(&dead).authority_at("http://127.0.0.1:1/api/v1");
    project.run(&["status"]).exits(11);
}

#[test]
fn what_changed_since_the_deploy_is_named() {
    let answer = good_but(&json!({ "plan": "starter", "features": ["sso"] }));
    let server = RawServer::script([Answer::json(200, &good()), Answer::json(200, &answer)]);
    let project = asking(&server);
    project.deploy().exits(0);
    let document = project.run(&["status", "--format", "json"]).exits(0).json();
    let changed = document["environments"][0]["changed"].as_array().unwrap().clone();
    let fields: Vec<_> = changed.iter().map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["plan", "features"], "{document}");
}

#[test]
fn an_alert_is_sent_once_and_its_renewal_takes_it_back() {
    let (soon, later) = (in_days(5), in_days(300));
    let server = RawServer::script([
        Answer::json(200, &good_but(&json!({ "expiresAt": soon }))),
        Answer::json(200, &good_but(&json!({ "expiresAt": soon }))),
        Answer::json(200, &good_but(&json!({ "expiresAt": later }))),
    ]);
    let project = collecting(asking(&server));
    project.run(&["status"]).exits(0).says("ends within 7 days").says("`file`");
    project.run(&["status", "--exit-code"]).exits(15).says("ends within 7 days");
    assert_eq!(collected(&project).len(), 1, "{:?}", collected(&project));
    project.run(&["status", "--exit-code"]).exits(0);
    let all = collected(&project);
    assert_eq!(all.len(), 2, "{all:?}");
    let trail = project.trail("production");
    let alerts = trail.kinds().into_iter().filter(|kind| *kind == "alert").count();
    assert_eq!(alerts, 5, "due, sent, taken, resolved, closed");
}

#[test]
fn an_alert_that_nobody_took_is_kept_and_sent_by_the_next_look() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    let project = collecting(asking(&server)).write("refuse", b"");
    project.run(&["status"]).exits(16).says("NOT told");
    // The exit of the look comes before that of a message.
    project.run(&["status", "--exit-code"]).exits(15);
    assert_eq!(collected(&project).len(), 0);
    fs::remove_file(project.path("refuse")).unwrap();
    project.run(&["status"]).exits(0);
    project.run(&["status"]).exits(0);
    assert_eq!(collected(&project).len(), 1);
}

#[test]
fn two_looks_at_once_send_one_alert() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    for round in 0..5 {
        let project = collecting(asking(&server));
        let both = [project.start(&["status"]), project.start(&["status"])];
        for running in both {
            project.ended(running).exits(0);
        }
        assert_eq!(collected(&project).len(), 1, "round {round}");
    }
}

#[test]
fn a_run_that_is_killed_before_it_sends_leaves_the_alert_to_the_next() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    for (point, sent_twice) in [("alert-due", false), ("alert-sent", true)] {
        let binary = failpoints::binary(BINARY);
        let project =
            collecting(Project::new(binary).authority_at(&server.url()).key(KEY)).var("LICENSE_FAILPOINT", point);
        let ran = project.run(&["status"]);
        assert_ne!(ran.code(), 0, "{point}: {ran:?}");
        let project = project.unset("LICENSE_FAILPOINT");
        // Somebody else may still be at it.
        project.run(&["status"]).exits(0).says("another run is at it");
        let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", "3600");
        project.run(&["status"]).exits(0);
        project.run(&["status"]).exits(0);
        assert_eq!(collected(&project).len(), 1 + usize::from(sent_twice), "{point}");
    }
}

#[test]
fn a_daily_look_leaves_one_entry_a_day_and_a_frequent_one_no_more() {
    let server = saying(&good());
    let binary = failpoints::binary(BINARY);
    let project = Project::new(binary).authority_at(&server.url()).key(KEY);
    for _ in 0..3 {
        project.run(&["status"]).exits(0);
    }
    assert_eq!(project.trail("production").kinds(), ["look"]);
    let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", "86400");
    project.run(&["status"]).exits(0);
    assert_eq!(project.trail("production").kinds(), ["look", "look"]);
}

#[test]
fn a_watch_that_did_not_run_is_told_of() {
    let server = saying(&good());
    let binary = failpoints::binary(BINARY);
    let project = collecting(Project::new(binary).authority_at(&server.url()).key(KEY));
    project.run(&["status"]).exits(0);
    let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", "864000");
    project.run(&["status", "--exit-code"]).exits(15).says("nobody looked");
    assert_eq!(collected(&project).len(), 1);
    project.run(&["status", "--exit-code"]).exits(0);
    assert_eq!(collected(&project).len(), 2, "and that it is over");
}

#[test]
fn a_horizon_on_the_command_line_is_15() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(60) })));
    let project = asking(&server);
    project.run(&["status", "--fail-within", "30d"]).exits(0);
    project.run(&["status", "--fail-within", "90d"]).exits(15);
    project.run(&["status", "--fail-within", "soon"]).exits(2);
}

#[test]
fn an_end_without_an_offset_is_an_end_in_utc() {
    let stating = |end: &str| saying(&good_but(&json!({ "expiresAt": end })));
    let written = |days: i64, format: &str| {
        // In the middle of a day: the fraction that a format adds cannot make it a whole one more.
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days + 12);
        then.strftime(format).to_string()
    };
    for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.123"] {
        let over = written(-3, format);
        let server = stating(&over);
        asking(&server).run(&["status"]).named(&over).exits(10).says("the license expired at");
        let soon = written(4, format);
        let server = stating(&soon);
        let project = collecting(asking(&server));
        project.run(&["status"]).named(&soon).exits(0).says("in 4 days");
        assert_eq!(collected(&project)[0]["data"]["alert"]["alert"], "expiring", "{soon}");
        project.run(&["status", "--fail-within", "7d"]).named(&soon).exits(15);
    }
}

#[test]
fn an_end_that_cannot_be_read_is_no_license_without_an_end() {
    let end = format!("soon\u{1b}[2J {KEY} {}", "x".repeat(1000));
    let server = saying(&good_but(&json!({ "expiresAt": end })));
    let project = asking(&server);
    for args in [&["status"][..], &["status", "--fail-within", "7d"], &["status", "--cached"]] {
        let ran = project.run(args);
        ran.exits(11).says("`soon").says_nothing_of("states no end").never_shows(KEY);
        let all = format!("{}{}", ran.stdout(), ran.stderr());
        assert!(!all.contains('\u{1b}') && !all.contains(&"x".repeat(400)), "{all}");
    }
    project.run(&["status", "--html", "page.html"]).exits(11);
    let page = fs::read_to_string(project.path("page.html")).unwrap();
    assert!(page.contains("<code>soon") && !page.contains("states no end") && !page.contains(KEY), "{page}");
    let ran = project.deploy();
    ran.exits(11).says("expiry_horizon").deploy_did_not_run();
}

#[test]
fn a_license_without_an_end_stays_within_every_horizon() {
    for none in [json!(null), json!("never"), json!(0), json!("9999-12-31T23:59:59Z")] {
        let server = saying(&good_but(&json!({ "expiresAt": none })));
        let project = asking(&server);
        project.run(&["status", "--fail-within", "90d"]).named(&none.to_string()).exits(0).says("states no end");
    }
}

#[test]
fn an_end_that_can_no_longer_be_read_takes_no_alert_back() {
    let server = RawServer::script([
        Answer::json(200, &good_but(&json!({ "expiresAt": in_days(5) }))),
        Answer::json(200, &good_but(&json!({ "expiresAt": "soon" }))),
    ]);
    let project = collecting(asking(&server));
    project.run(&["status"]).exits(0);
    project.run(&["status"]).exits(11);
    let news: Vec<_> = collected(&project).iter().map(|told| told["data"]["news"].clone()).collect();
    assert_eq!(news, ["stands"], "nobody hears that it is over");
}

#[test]
fn a_cached_no_says_why_in_every_form() {
    let mut silent = good();
    silent.as_object_mut().unwrap().remove("features");
    for (answer, exit, why) in [
        (json!({ "valid": false, "code": "LICENSE_REVOKED", "message": "gone for good" }), 10, "gone for good"),
        (silent, 11, "does not state the features"),
    ] {
        let server = saying(&answer);
        let project = asking(&server).line("features", r#"["sso"]"#);
        let summary = project.seen().join("summary.md");
        let project = project.var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
        says_why(&project, &summary, &["status"], exit, why);
        says_why(&project, &summary, &["status", "--cached"], exit, why);
    }
}

#[test]
fn without_a_look_a_cached_status_says_so_in_every_form() {
    let server = saying(&good());
    let project = asking(&server);
    let summary = project.seen().join("summary.md");
    let project = project.var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    says_why(&project, &summary, &["status", "--cached"], 11, "the trail has no look");
}

/// That every form of the output has the reason where that form has reasons.
fn says_why(project: &Project, summary: &std::path::Path, args: &[&str], exit: i32, why: &str) {
    let run = |format| {
        fs::write(summary, "").unwrap();
        let ran = project.run(&[args, &["--format", format]].concat()).named(format);
        ran.exits(exit);
        ran
    };
    run("human").says(why);
    let junit = run("junit");
    let failure = junit.stdout().lines().find(|line| line.contains("<failure")).unwrap();
    let message = failure.split("message=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(message.is_some_and(|message| message.contains(why)), "{junit:?}");
    let github = run("github");
    let annotation = github.stderr().lines().find(|line| line.starts_with("::error ")).unwrap_or_default();
    assert!(annotation.contains(why), "{github:?}");
    let told = fs::read_to_string(summary).unwrap();
    let row = told.lines().find(|line| line.starts_with("| production")).unwrap_or_default();
    assert!(row.contains(why), "{told}");
}

#[test]
fn a_horizon_beside_an_end_that_nobody_can_read_is_11_whatever_the_policy() {
    let server = saying(&good_but(&json!({ "expiresAt": "in spring" })));
    let project = asking(&server).line("unknown", "\"warn\"");
    project.run(&["status"]).exits(0).says("in spring");
    project.run(&["status", "--fail-within", "7d"]).exits(11).says("in spring");
}

#[test]
fn on_a_machine_that_forgets_no_alert_is_sent_and_that_is_said() {
    let server = saying(&good());
    let project = collecting(asking(&server)).var("CI", "true");
    project.run(&["status"]).exits(3).says("trail");
    project.run(&["status", "--no-alerts"]).exits(0);
}

#[test]
fn a_license_without_an_end_needs_no_alert_and_an_ended_one_is_told_once() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.run(&["status", "--exit-code"]).exits(0);
    let ended = saying(&json!({ "valid": false, "code": "LICENSE_EXPIRED", "expiresAt": in_days(-3) }));
    let project = collecting(asking(&ended));
    project.run(&["status"]).exits(10).says("ended at");
    project.run(&["status"]).exits(10);
    assert_eq!(collected(&project).len(), 1);
}

#[test]
fn a_junit_report_fails_where_an_environment_does() {
    let server = saying(&good());
    let project = asking(&server).tables(
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"NO_SUCH_KEY\" }\n",
    );
    let ran = project.run(&["status", "--all", "--format", "junit"]);
    ran.exits(3);
    let text = ran.stdout().to_owned();
    assert!(
        text.contains("<testsuite") && text.contains("name=\"production\"") && text.contains("name=\"staging\""),
        "{text}"
    );
    assert_eq!(text.matches("<failure").count(), 1, "{text}");
}

/// How often git went to the remote since the last time: `ls-remote`, `fetch` and `push`.
fn trips(project: &Project) -> Vec<String> {
    let log = project.path("git.log");
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(log);
    let words = text.split_whitespace().filter(|word| ["ls-remote", "fetch", "push"].contains(word));
    words.map(str::to_owned).collect()
}

/// A project whose git writes down what it is asked, before it does it.
fn with_git_log(project: Project) -> Project {
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|place| place.join("git")).find(|git| git.exists()).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\nexec '{}' \"$@\"\n",
        project.path("git.log").display(),
        real.display()
    );
    let project = project.write("bin/git", script.as_bytes());
    fs::set_permissions(project.path("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    let ours = format!("{}:{path}", project.path("bin").display());
    project.var("PATH", &ours)
}

#[test]
fn a_look_reads_a_trail_on_a_remote_once() {
    let server = saying(&good());
    let hub = Hub::new();
    let project = with_git_log(hub.shared_by(asking(&server)));
    // The trail is empty, then it has the first look, then nothing is new.
    for (name, expected) in
        [("first", &["ls-remote", "push"][..]), ("second", &["ls-remote"]), ("third", &["ls-remote"])]
    {
        project.run(&["status"]).exits(0);
        assert_eq!(trips(&project), expected, "{name}");
    }
    // Another machine wrote meanwhile.
    let other = hub.shared_by(asking(&server));
    other.deploy().exits(0);
    project.run(&["status"]).exits(0);
    assert_eq!(trips(&project), ["ls-remote", "fetch"]);
    assert_eq!(hub.trail("production").kinds().iter().filter(|kind| **kind == "look").count(), 1);
}

#[test]
fn two_looks_at_once_over_a_remote_leave_one_entry_and_send_one_alert() {
    let hub = Hub::new();
    let together = Barrier::new(2);
    let answer = good_but(&json!({ "expiresAt": in_days(5) }));
    // Both have read the trail when they are answered.
    let server = RawServer::answering(move |request| {
        if request.is_about_usage() {
            return Answer::text(404, "text/plain", "");
        }
        together.wait();
        Answer::json(200, &answer)
    });
    let both = [(); 2].map(|()| collecting(hub.shared_by(asking(&server))));
    let running = [both[0].start(&["status"]), both[1].start(&["status"])];
    for (project, running) in both.iter().zip(running) {
        project.ended(running).exits(0);
    }
    let kinds = hub.trail("production").kinds().into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(kinds, ["look", "alert", "alert"], "the look, due, sent");
    assert_eq!(collected(&both[0]).len() + collected(&both[1]).len(), 1);
}

#[test]
fn many_environments_are_looked_at_at_once() {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = RawServer::answering(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        Answer::json(200, &good())
    });
    let mut tables = String::new();
    let mut project = project().authority_at(&server.url()).key(KEY);
    for number in 0..64 {
        let name = format!("MANY_KEY_{number}");
        let _ = write!(
            tables,
            "[environments.many-{number}]\nauthority = \"to\"\ndomain = \"many{number}.app.com\"\nkey = {{ env = \"{name}\" }}\n"
        );
        project = project.var(&name, &format!("{KEY}{number}"));
    }
    let project = project.tables(&tables);
    let document = project.run(&["status", "--all", "--format", "json"]).json();
    assert_eq!(document["environments"].as_array().unwrap().len(), 65);
    let at_once = most.load(Ordering::SeqCst);
    assert!((5..=32).contains(&at_once), "{at_once} at once");
}
