//! The whole loop: `authority serve --webhook` posts what changes, and `webhook serve` records and tells it.

use std::{fs, path::Path};

use license_tests::{Answer, Authority, Grant, Project, RawServer, failpoints, process::until};
use serde_json::{Value, json};

use crate::{
    BINARY,
    webhook::receiving,
    webhook_serve::{Hook, ok, with_sink},
};

/// The authority of the harness has one secret: it is its API token, and signs.
const SIGNING: &str = license_tests::authority::TOKEN;

/// An authority that posts to this address.
fn posting(url: &str, signature: &str) -> Authority {
    posting_by(Path::new(BINARY), url, signature)
}

fn posting_by(binary: &Path, url: &str, signature: &str) -> Authority {
    let flags = ["--webhook", url, "--webhook-secret-env", "AUTHORITY_TOKEN", "--webhook-signature", signature];
    Authority::start(binary, &flags)
}

/// The types that were recorded for production, oldest first.
fn recorded(project: &Project) -> Vec<String> {
    let entries = project.trail("production").entries;
    let webhooks = entries.iter().filter(|entry| entry["kind"] == "webhook");
    webhooks.map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

/// The names and the types that a server was posted, oldest first.
fn posted(server: &RawServer) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = server.requests().into_iter().map(|request| request.json());
    events.map(|event| (text(&event, "id"), text(&event, "type"))).collect()
}

/// The last entry of the log of which everything was posted, as the file beside the log says.
fn posted_up_to(authority: &Authority) -> u64 {
    let file = authority.state().join("authority/webhook.json");
    let text = fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map_or(0, |progress| progress["seq"].as_u64().unwrap())
}

fn accepts() -> RawServer {
    RawServer::script([ok()])
}

#[test]
fn what_changes_at_the_authority_is_recorded_and_told_in_every_encoding() {
    for signature in ["hex", "sha256", "timestamped"] {
        let sink = accepts();
        let project = with_sink(receiving(), &sink).var("TO_WEBHOOK_SECRET", SIGNING);
        let hook = Hook::start(&project);
        let authority = posting(&hook.url, signature);
        // By the command line beside the server, and by the server.
        let license = authority.issue(&Grant::default());
        authority.issue(&Grant { domains: &["other.example"], ..Grant::default() });
        let body = json!({ "licenseId": license.id });
        assert_eq!(authority.send("POST", "/licenses/activate", Some(&body)).status, 200);
        authority.revoke(&license);
        let expected = ["license.created", "license.activated", "license.revoked"];
        until("everything is recorded", || recorded(&project).len() >= expected.len());
        assert_eq!(recorded(&project), expected, "{signature}");
        until("the sink hears", || sink.requests().len() == 1);
        assert!(sink.requests()[0].json()["text"].as_str().unwrap().contains("was revoked"), "{signature}");
        let entry = project.trail("production").last("webhook").clone();
        assert_eq!((&entry["license_id"], &entry["domain"]), (&json!(license.id), &json!("app.com")));
        assert_eq!((&entry["plan"], &entry["features"]), (&json!("enterprise"), &json!(["analytics", "sso"])));
        let said = hook.stop();
        assert!(said.contains("concerns no environment"), "{said}");
        let tail = &license.key[license.key.len() - 4..];
        for text in [said, project.trail_text("production")] {
            assert!(!text.contains(&license.key) && !text.contains(&format!("****-{tail}")), "{text}");
        }
        assert_eq!(sink.requests().len(), 1, "{signature}");
        project.run(&["audit", "verify"]).exits(0);
    }
}

#[test]
fn a_license_that_ends_soon_ends_is_renewed_and_covers_other_domains_is_told_of() {
    let server = accepts();
    let authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    let in_seconds = |secs| (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(secs)).to_string();
    let license = authority.issue(&Grant { expires: &in_seconds(4), ..Grant::default() });
    until("it ends", || posted(&server).len() >= 3);
    authority.cli(&["renew", &license.id, "--expires-in", "365d"]).exits(0).says("is renewed");
    authority.cli(&["renew", &license.id, "--expires-in", "1d"]).exits(10).says("would not last longer");
    let domain = json!({ "domain": "new.example" });
    let path = format!("/portal/licenses/{}/domains", license.id);
    assert_eq!(authority.send("POST", &path, Some(&domain)).status, 201);
    assert_eq!(authority.send("DELETE", &path, Some(&domain)).status, 200);
    until("everything is posted", || posted(&server).len() >= 6);
    let events: Vec<Value> = server.requests().iter().map(license_tests::Request::json).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let of_time = ["license.created", "license.expiring", "license.expired"];
    assert_eq!(types, [&of_time[..], &["license.renewed", "domain.added", "domain.removed"]].concat());
    let data = &events[0]["data"];
    let shown = data["licenseKey"].as_str().unwrap();
    assert!(shown.starts_with("TO-PRD-****-") && !license.key.contains(shown), "{shown}");
    assert_eq!((&data["licenseId"], &data["domain"]), (&json!(license.id), &json!("app.com")));
    assert_eq!((&data["activationsUsed"], &data["activationLimit"]), (&json!(0), &json!(10)));
    assert_eq!((&events[4]["data"]["domain"], &events[5]["data"]["domain"]), (&domain["domain"], &domain["domain"]));
    let ids: std::collections::BTreeSet<String> = posted(&server).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 6);
}

#[test]
fn what_is_not_accepted_is_posted_again_in_order_and_no_redirect_is_followed() {
    let elsewhere = accepts();
    let to = format!("http://{}/", elsewhere.address());
    let answers = [
        Answer::with_headers(503, &[("retry-after", "2")], "later"),
        Answer::with_headers(307, &[("location", &to)], ""),
        Answer::Reset,
        ok(),
    ];
    let server = RawServer::script(answers);
    let authority = posting(&format!("http://{}/hook", server.address()), "sha256");
    let license = authority.issue(&Grant::default());
    authority.revoke(&license);
    until("both are posted", || posted(&server).len() >= 5);
    let posted = posted(&server);
    assert!(posted[..4].iter().all(|one| *one == posted[0]), "{posted:?}");
    assert_eq!((posted[0].1.as_str(), posted[4].1.as_str()), ("license.created", "license.revoked"));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn what_makes_no_sense_to_the_receiver_is_given_up_and_the_next_one_is_posted() {
    let server = RawServer::script([Answer::text(400, "text/plain", "no"), Answer::text(422, "text/plain", "no")]);
    let authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    let license = authority.issue(&Grant::default());
    authority.revoke(&license);
    until("both are given up", || posted_up_to(&authority) == 2);
    let types: Vec<String> = posted(&server).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, [["license.created"; 3], ["license.revoked"; 3]].concat());
}

#[test]
fn a_restart_posts_what_it_missed_and_nothing_that_was_accepted() {
    let server = accepts();
    let mut authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    let license = authority.issue(&Grant::default());
    until("it is posted, and noted", || posted_up_to(&authority) == 1);
    authority.kill();
    authority.revoke(&license);
    authority.restart();
    until("it is posted, and noted", || posted_up_to(&authority) == 2);
    let types: Vec<String> = posted(&server).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, ["license.created", "license.revoked"]);
}

#[test]
fn a_log_that_is_gone_for_a_moment_is_not_posted_again() {
    let server = accepts();
    let authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    let license = authority.issue(&Grant::default());
    until("it is posted, and noted", || posted_up_to(&authority) == 1);
    let (there, away) = (authority.state().join("authority"), authority.state().join("away"));
    fs::rename(&there, &away).unwrap();
    until("it is missed", || authority.stderr().contains("no webhooks are posted"));
    fs::rename(&away, &there).unwrap();
    authority.revoke(&license);
    until("it is posted, and noted", || posted_up_to(&authority) == 2);
    let types: Vec<String> = posted(&server).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, ["license.created", "license.revoked"]);
}

#[test]
fn after_a_backup_was_brought_back_what_is_new_is_posted_and_nothing_that_is_old() {
    let server = accepts();
    let mut authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    let license = authority.issue(&Grant::default());
    until("it is posted, and noted", || posted_up_to(&authority) == 1);
    let log = authority.state().join("authority/events.jsonl");
    let backup = fs::read(&log).unwrap();
    // What was recorded in the second of the backup may be heard twice, under the same name.
    std::thread::sleep(std::time::Duration::from_secs(2));
    authority.suspend(&license);
    authority.cli(&["resume", &license.id]).exits(0);
    until("it is noted", || posted_up_to(&authority) == 3);
    authority.kill();
    fs::write(&log, backup).unwrap();
    authority.revoke(&license);
    authority.restart();
    until("it is posted, and noted", || posted_up_to(&authority) == 2);
    let types: Vec<String> = posted(&server).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, ["license.created", "license.revoked"]);
    assert!(authority.stderr().contains("the log is not the one from which webhooks were posted"));
}

#[test]
fn what_nobody_was_there_to_post_for_days_is_tried_for_a_day() {
    let server = RawServer::script([Answer::text(503, "text/plain", "later"), ok()]);
    let url = format!("http://{}/hook", server.address());
    let mut authority = posting_by(failpoints::binary(BINARY), &url, "timestamped");
    authority.kill();
    authority.issue(&Grant::default());
    let three_days = (3 * 24 * 60 * 60).to_string();
    authority.set_vars(&[("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &three_days)]);
    authority.restart();
    until("it is posted again", || posted(&server).len() == 2);
    until("it is noted", || posted_up_to(&authority) == 1);
    assert!(!authority.stderr().contains("given up"), "{}", authority.stderr());
}

#[test]
fn a_kill_before_the_answer_posts_it_again_under_its_name() {
    let server = RawServer::script([Answer::Hang, ok()]);
    let mut authority = posting(&format!("http://{}/hook", server.address()), "timestamped");
    authority.issue(&Grant::default());
    until("it is posted", || posted(&server).len() == 1);
    authority.kill();
    authority.restart();
    until("it is posted again", || posted(&server).len() == 2);
    let posted = posted(&server);
    assert_eq!(posted[0], posted[1]);
}

#[test]
fn what_nobody_accepts_is_given_up_after_a_day_and_the_next_one_is_posted() {
    const AHEAD: &str = "LICENSE_FAILPOINT_CLOCK_AHEAD_SECS";
    let refuses = |request: &license_tests::Request| match request.json()["type"].as_str() {
        Some("license.created") => Answer::text(503, "text/plain", "later"),
        _ => ok(),
    };
    let server = RawServer::answering(refuses);
    let url = format!("http://{}/hook", server.address());
    let mut authority = posting_by(failpoints::binary(BINARY), &url, "timestamped");
    let license = authority.issue(&Grant::default());
    authority.revoke(&license);
    until("it is refused", || authority.stderr().contains("is posted again in"));
    for (hours, tried_again) in [(23, true), (25, false)] {
        let before = posted(&server).len();
        let ahead = (hours * 60 * 60).to_string();
        authority.set_vars(&[(AHEAD, &ahead)]);
        authority.restart();
        let word = if tried_again { "is posted again in" } else { "is given up after 24 h, and not posted again: " };
        until(word, || authority.stderr().contains(word));
        assert!(posted(&server).len() > before, "{hours} h");
        assert_eq!(authority.stderr().contains("given up"), !tried_again, "{hours} h");
    }
    until("both are done", || posted_up_to(&authority) == 2);
    let said = authority.stderr();
    assert!(said.contains(&format!("webhook {} (`license.created`) is given up", posted(&server)[0].0)), "{said}");
    let types: Vec<String> = posted(&server).into_iter().map(|(_, kind)| kind).collect();
    let (last, before) = types.split_last().unwrap();
    assert_eq!(last, "license.revoked");
    assert!(before.iter().all(|kind| kind == "license.created"), "the one behind it waited: {types:?}");
}

#[test]
fn an_authority_that_can_post_no_more_ends_and_the_next_one_posts() {
    let server = accepts();
    let url = format!("http://{}/hook", server.address());
    let mut authority = posting_by(failpoints::binary(BINARY), &url, "timestamped");
    authority.set_vars(&[(failpoints::PANICS_AT, "webhook-posting")]);
    authority.restart();
    authority.issue(&Grant::default());
    let finished = authority.ended();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("nobody posts webhooks any more"), "{}", finished.stderr);
    assert_eq!(server.connections(), 0);
    authority.set_vars(&[]);
    authority.restart();
    until("it is posted", || posted(&server).len() == 1);
    assert_eq!(posted(&server)[0].1, "license.created");
}

#[test]
fn what_happened_before_the_first_posting_is_not_posted() {
    let server = accepts();
    let mut authority = Authority::start(BINARY, &[]);
    let license = authority.issue(&Grant::default());
    authority.kill();
    let url = format!("http://{}/hook", server.address());
    let state = authority.state().join("authority");
    let mut child = serve(&state, &["--webhook", &url, "--webhook-secret-env", "SECRET"], SIGNING);
    child.first_line();
    authority.revoke(&license);
    until("it is posted", || posted(&server).len() == 1);
    assert_eq!(posted(&server)[0].1, "license.revoked");
}

/// `authority serve` with a secret in `SECRET`.
fn serve(state: &Path, flags: &[&str], secret: &str) -> license_tests::process::Running {
    let mut command = std::process::Command::new(BINARY);
    command.env_clear().env("SECRET", secret).args(["authority", "serve", "--state"]).arg(state).args(flags);
    license_tests::process::Running::start(&mut command)
}

#[test]
fn a_receiver_with_another_secret_records_nothing() {
    let project = receiving();
    let hook = Hook::start(&project);
    let authority = posting(&hook.url, "timestamped");
    authority.issue(&Grant::default());
    let mut hook = hook;
    hook.child.until("it is refused", |child| child.stderr().contains("not that of this body"));
    assert!(!project.trail_file("production").exists());
}

#[test]
fn webhooks_need_a_safe_address_and_a_secret() {
    let state = tempfile::TempDir::new().unwrap();
    let rows: [(&[&str], &str, i32, &str); 6] = [
        (&["--webhook", "http://example.com/secret-path-0123", "--webhook-secret-env", "SECRET"], SIGNING, 2, "https"),
        (&["--webhook", "nonsense", "--webhook-secret-env", "SECRET"], SIGNING, 2, "address"),
        (&["--webhook", "http://127.0.0.1:9/"], SIGNING, 2, "--webhook-secret-env"),
        (&["--webhook-secret-env", "SECRET"], SIGNING, 2, "--webhook"),
        (&["--webhook", "http://127.0.0.1:9/", "--webhook-secret-env", "NOBODY"], SIGNING, 3, "NOBODY"),
        (&["--webhook", "http://127.0.0.1:9/", "--webhook-secret-env", "SECRET"], "short-one", 3, "too short"),
    ];
    for (flags, secret, exit, says) in rows {
        let finished = serve(state.path(), flags, secret).wait();
        assert_eq!(finished.code(), exit, "{flags:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(says), "{flags:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains(secret), "{flags:?}: {}", finished.stderr);
    }
}
