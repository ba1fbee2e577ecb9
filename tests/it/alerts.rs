//! Alerts over the wire, told by `status`: what is taken back, sinks that fail, are slow or lie, and the exit code, which
//! no sink changes for the better.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex},
    thread,
};

use license_tests::{Answer, App, Project, RawServer, Request, failpoints};
use serde_json::{Value, json};

use crate::{BINARY, KEY, asking, good_but, in_days, saying};

/// An end that several answers have in common.
fn soon() -> String {
    in_days(5)
}

/// A license that ends then.
fn ending(at: &str) -> Answer {
    Answer::json(200, &good_but(&json!({ "expiresAt": at })))
}

/// Adds a sink of a kind at this server.
fn with_sink(project: Project, kind: &str, server: &RawServer) -> Project {
    let address = format!("http://{}/{kind}", server.address());
    let (name, url) =
        (format!("{}_URL", kind.to_uppercase()), format!("url = {{ env = \"{}_URL\" }}", kind.to_uppercase()));
    let lines = match kind {
        "pagerduty" => {
            format!("service = \"http://{}\"\nrouting_key = {{ env = \"ROUTING_KEY\" }}", server.address())
        }
        "webhook" => format!("{url}\nsecret = {{ env = \"SINK_SECRET\" }}"),
        _ => url,
    };
    project
        .tables(&format!("[sinks.{kind}]\nkind = \"{kind}\"\ntimeout = \"1s\"\n{lines}\n"))
        .var(&name, &address)
        .var("ROUTING_KEY", "marker0ofthe0integration0key0123")
        .var("SINK_SECRET", "whsec_TWFya2VyLW9mLXRoZS1zaWduaW5nLXNlY3JldA==")
}

/// What accepts, for a sink of this kind.
fn accepting(kind: &str) -> Answer {
    match kind {
        "pagerduty" => Answer::json(202, &json!({ "status": "success" })),
        _ => Answer::text(200, "text/plain", "ok"),
    }
}

/// What a request says: of which alert, and what.
fn said(kind: &str, request: &Request) -> (String, String) {
    let body = request.json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    match kind {
        "pagerduty" => (text(&body["dedup_key"]), text(&body["event_action"])),
        "webhook" => (text(&body["data"]["dedup_key"]), text(&body["type"])),
        _ => {
            let fields = body["attachments"][0]["fields"].as_array().unwrap();
            let key = fields.iter().find(|field| field["title"] == "alert").unwrap();
            (text(&key["value"]), text(&body["text"]).split(':').next().unwrap().to_owned())
        }
    }
}

fn all_said(kind: &str, server: &RawServer) -> Vec<(String, String)> {
    server.requests().iter().map(|request| said(kind, request)).collect()
}

/// The name of the alert without what differs from run to run: its kind, and its threshold.
fn short(key: &str) -> String {
    let parts: Vec<&str> = key.split(':').collect();
    let days = parts.get(5).map(|days| format!(":{days}")).unwrap_or_default();
    format!("{}{days}", parts[2])
}

const KINDS: [&str; 3] = ["pagerduty", "webhook", "slack"];

#[test]
fn every_sink_hears_that_an_alert_is_over_and_machines_that_a_tighter_one_took_over() {
    let end = Arc::new(Mutex::new(in_days(20)));
    let authority = changing(&end);
    let sinks = KINDS.map(|kind| (kind, RawServer::script([accepting(kind)])));
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&authority.url()).key(KEY);
    let project = sinks.iter().fold(project, |project, (kind, server)| with_sink(project, kind, server));
    let project = project.tables("[alerts]\ngap = \"60d\"\n");
    project.run(&["status"]).exits(0);
    // Two weeks later a tighter threshold is crossed, and then the license is renewed.
    let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(14 * 24 * 60 * 60).to_string());
    project.run(&["status"]).exits(0);
    *end.lock().unwrap() = in_days(300);
    project.run(&["status"]).exits(0);
    project.run(&["status"]).exits(0);
    for (kind, server) in &sinks {
        let heard = all_said(kind, server);
        let shown: Vec<(String, &str)> = heard.iter().map(|(key, what)| (short(key), what.as_str())).collect();
        let (stands, over) = match *kind {
            "pagerduty" => ("trigger", "resolve"),
            _ => ("license.alert.expiring", "license.alert.expiring.resolved"),
        };
        let expected = match *kind {
            // People hear the tighter one, and that is enough.
            "slack" => vec![("expiring:30", "info"), ("expiring:7", "warning"), ("expiring:7", "over")],
            _ => vec![("expiring:30", stands), ("expiring:30", over), ("expiring:7", stands), ("expiring:7", over)],
        };
        let expected: Vec<_> = expected.into_iter().map(|(key, what)| (key.to_owned(), what)).collect();
        assert_eq!(shown, expected, "{kind}");
        let names: BTreeSet<&String> = heard.iter().map(|(key, _)| key).collect();
        assert_eq!(names.len(), 2, "{kind}: {heard:?}");
    }
    let news = |request: &Request| request.json()["data"]["news"].as_str().unwrap().to_owned();
    let heard: Vec<String> = sinks[1].1.requests().iter().map(news).collect();
    assert_eq!(heard, ["stands", "overtaken", "stands", "gone"]);
}

/// An authority that says an end which a test changes.
fn changing(end: &Arc<Mutex<String>>) -> RawServer {
    let end = Arc::clone(end);
    RawServer::answering(move |_| ending(&end.lock().unwrap()))
}

/// A server that answers as a test wishes.
pub(crate) fn wishing(answer: &Arc<Mutex<Answer>>) -> RawServer {
    let answer = Arc::clone(answer);
    RawServer::answering(move |_| answer.lock().unwrap().clone())
}

/// Sinks that took it, or may have, and did not say so; or that cannot have heard it.
fn troubles() -> Vec<(&'static str, &'static str, Answer, Reached)> {
    let half = |body: &str| Answer::Half { body: body.to_owned(), of: 100 };
    let text = |status, body: &str| Answer::text(status, "text/plain", body);
    vec![
        ("accepts and then says 500", "webhook", text(500, "oops"), Reached::Perhaps),
        ("accepts and then says 503", "pagerduty", text(503, "oops"), Reached::Perhaps),
        ("accepts and then says 500", "slack", text(500, "oops"), Reached::Perhaps),
        ("accepts with other words", "slack", text(200, "<html>log in</html>"), Reached::Perhaps),
        ("accepts with another status", "pagerduty", text(200, "fine"), Reached::Perhaps),
        ("closes in the middle of the answer", "slack", half("o"), Reached::Perhaps),
        ("closes in the middle of the answer", "pagerduty", half("{"), Reached::Perhaps),
        ("resets", "webhook", Answer::Reset, Reached::Perhaps),
        ("is slower than it may be", "webhook", Answer::Hang, Reached::Perhaps),
        ("is slower than it may be", "pagerduty", Answer::Hang, Reached::Perhaps),
        ("refuses", "webhook", text(403, "no"), Reached::No),
        ("refuses", "pagerduty", text(400, "no"), Reached::No),
        ("is not there any more", "slack", text(404, "no_service"), Reached::No),
    ]
}

/// Whether a sink that did not accept may have heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    No,
    Perhaps,
}

#[test]
fn a_sink_that_fails_is_slow_or_lies_loses_no_alert_and_hears_none_under_another_name() {
    thread::scope(|scope| {
        for (name, kind, answer, _) in troubles() {
            scope.spawn(move || {
                let end = Arc::new(Mutex::new(soon()));
                let (authority, wish) = (changing(&end), Arc::new(Mutex::new(answer)));
                let sink = wishing(&wish);
                let project = with_sink(asking(&authority), kind, &sink);
                let name = format!("{kind} {name}");
                project.run(&["status"]).named(&name).exits(16).says("NOT told");
                let tried = all_said(kind, &sink).len();
                assert!((1..=3).contains(&tried), "{name}: {tried} tries");
                *wish.lock().unwrap() = accepting(kind);
                project.run(&["status"]).named(&name).exits(0);
                project.run(&["status"]).named(&name).exits(0);
                let heard = all_said(kind, &sink);
                assert_eq!(heard.len(), tried + 1, "{name}: {heard:?}");
                assert!(heard.iter().all(|one| *one == heard[0]), "{name}: {heard:?}");
                *end.lock().unwrap() = in_days(300);
                project.run(&["status"]).named(&name).exits(0);
                project.run(&["status"]).named(&name).exits(0);
                let heard = all_said(kind, &sink);
                assert_eq!(heard.len(), tried + 2, "{name}: {heard:?}");
                assert_eq!(heard[tried + 1].0, heard[0].0, "{name}");
            });
        }
    });
}

#[test]
fn a_sink_that_may_have_heard_an_alert_hears_that_it_is_over_and_one_that_cannot_have_does_not() {
    thread::scope(|scope| {
        for (name, kind, answer, reached) in troubles() {
            scope.spawn(move || {
                let end = Arc::new(Mutex::new(soon()));
                let (authority, wish) = (changing(&end), Arc::new(Mutex::new(answer)));
                let sink = wishing(&wish);
                let project = with_sink(asking(&authority), kind, &sink);
                let name = format!("{kind} {name}");
                project.run(&["status"]).named(&name).exits(16);
                let tried = all_said(kind, &sink).len();
                *wish.lock().unwrap() = accepting(kind);
                *end.lock().unwrap() = in_days(300);
                project.run(&["status"]).named(&name).exits(0);
                project.run(&["status"]).named(&name).exits(0);
                let heard = all_said(kind, &sink);
                let expected = tried + usize::from(reached == Reached::Perhaps);
                assert_eq!(heard.len(), expected, "{name}: {heard:?}");
                if let Some((key, what)) = heard.get(tried) {
                    assert_eq!(*key, heard[0].0, "{name}");
                    assert!(what == "resolve" || what == "over" || what.ends_with(".resolved"), "{name}: {what}");
                }
            });
        }
    });
}

/// A program that fails while a file `refuse` is there, and else keeps what it hears.
fn failing(project: Project) -> Project {
    project
        .write("sink.sh", b"test -e refuse && exit 1\ncat >> alerts.jsonl\n")
        .write("refuse", b"")
        .tables("[sinks.file]\nkind = \"command\"\ncommand = [\"sh\", \"sink.sh\"]\n")
}

fn kept(project: &Project) -> usize {
    fs::read_to_string(project.path("alerts.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn an_alert_that_nobody_took_hides_no_exit_code_and_is_hidden_by_none() {
    let ends_soon = || saying(&good_but(&json!({ "expiresAt": soon() })));
    let sick = App::reporting(json!({ "valid": false }));
    let revoked = saying(&json!({ "valid": false, "code": "REVOKED", "message": "gone" }));
    let ended = saying(&json!({ "valid": false, "code": "LICENSE_EXPIRED", "expiresAt": in_days(-3) }));
    let server = ends_soon();
    let no_key =
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"NO_KEY\" }\n";
    // What is the case, with which words, and how it ends: with a sink that works, and with one that fails.
    let rows: Vec<(&str, Project, &[&str], i32, i32)> = vec![
        ("all is well but the sink", asking(&server), &["status"], 0, 16),
        ("an alert stands, and that counts", asking(&server), &["status", "--exit-code"], 15, 15),
        ("it ends within the horizon", asking(&server), &["status", "--fail-within", "9d"], 15, 15),
        ("the application is sick", asking(&server).health(&sick, "1s"), &["status"], 14, 14),
        ("the application is sick", asking(&server).health(&sick, "1s"), &["status", "--exit-code"], 14, 14),
        ("the license is refused", asking(&revoked), &["status"], 10, 10),
        ("the license has ended", asking(&ended), &["status", "--exit-code"], 10, 10),
        ("another environment has no key", asking(&server).tables(no_key), &["status", "--all"], 3, 3),
    ];
    for (name, project, arguments, works, fails) in rows {
        let project = failing(project);
        for format in ["json", "human", "junit", "github"] {
            let ran = project.run(&[arguments, &["--format", format]].concat());
            ran.named(name).exits(fails);
            assert_eq!(kept(&project), 0, "{name}");
        }
        fs::remove_file(project.path("refuse")).unwrap();
        project.run(arguments).named(name).exits(works);
        assert_eq!(kept(&project), 1, "{name}: the alert is not lost");
        project.run(arguments).named(name).exits(works);
        assert_eq!(kept(&project), 1, "{name}: nor sent twice");
    }
}

#[test]
fn an_authority_that_is_gone_is_11_whatever_the_sink_does_and_the_alert_is_sent_all_the_same() {
    let server = saying(&good_but(&json!({ "expiresAt": soon() })));
    let project = failing(asking(&server));
    project.run(&["status"]).exits(16);
    let project = project.authority_at("http://127.0.0.1:9/api/v1");
    let document = project.run(&["status", "--format", "json"]).exits(11).json();
    assert_eq!(document["exit"], json!({ "code": 11, "name": "unknown" }));
    assert_eq!(document["environments"][0]["told"][0]["outcome"], "failed", "{document}");
    fs::remove_file(project.path("refuse")).unwrap();
    project.run(&["status"]).exits(11);
    assert_eq!(kept(&project), 1, "what was due is sent without the authority");
}
