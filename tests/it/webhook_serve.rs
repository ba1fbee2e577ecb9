//! `webhook serve` over real sockets: what is recorded, what is answered, and who is told.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use license_tests::{
    Answer, Hub, Project, RawServer, failpoints,
    http::{self, Reply},
    process::{Running, Signal, until},
};
use serde_json::{Value, json};

use crate::{
    BINARY, KEY,
    webhook::{SECRET, WINDOW_SECS, envelope, mac, now, receiving, signatures},
};

/// A server that receives webhooks.
pub(crate) struct Hook {
    pub(crate) child: Running,
    pub(crate) url: String,
}

impl Hook {
    pub(crate) fn start(project: &Project) -> Self {
        let mut child = project.start(&["webhook", "serve"]);
        let line = child.first_line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected: {line}")).to_owned();
        Self { child, url }
    }

    /// Posts a body with a signature; `None` where no answer comes.
    fn try_post(&self, body: &str, signature: &str) -> Option<Reply> {
        let request = http::agent().post(&self.url).header("x-signature", signature);
        let mut answer = request.send(body).ok()?;
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let status = answer.status().as_u16();
        Some(Reply { status, headers, body: answer.body_mut().read_to_string().ok()? })
    }

    fn post(&self, body: &str, signature: &str) -> Reply {
        self.try_post(body, signature).unwrap_or_else(|| panic!("no answer\n{}", self.child.stderr()))
    }

    /// Posts a body as the authority does.
    pub(crate) fn tell(&self, event: &Value) -> Reply {
        let body = event.to_string();
        self.post(&body, &signatures(SECRET, &body, now())[2])
    }

    /// Ends it, and gives what it said on stderr.
    pub(crate) fn stop(self) -> String {
        self.child.signal(Signal::TERM);
        let finished = self.child.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        finished.stderr
    }
}

/// A sink that takes Slack's messages at this server.
pub(crate) fn with_sink(project: Project, server: &RawServer) -> Project {
    with_sink_named("team", "SINK_URL", project, server)
}

fn with_sink_named(name: &str, variable: &str, project: Project, server: &RawServer) -> Project {
    project
        .tables(&format!("[sinks.{name}]\nkind = \"slack\"\nurl = {{ env = \"{variable}\" }}\n"))
        .var(variable, &format!("http://{}/services/T0/B0/secret-of-the-sink", server.address()))
}

/// A project that receives webhooks with the build that panics, dies and waits as a test says.
fn with_failpoints(sink: &RawServer) -> Project {
    let file = with_sink(receiving(), sink).text();
    with_sink(Project::new(failpoints::binary(BINARY)), sink)
        .license_toml(file.as_bytes())
        .key(KEY)
        .var("TO_WEBHOOK_SECRET", SECRET)
}

pub(crate) fn ok() -> Answer {
    Answer::text(200, "text/plain", "ok")
}

fn no() -> Answer {
    Answer::text(403, "text/plain", "no")
}

fn status(reply: &Reply) -> (u16, Value) {
    let body = reply.json();
    (reply.status, if reply.status == 200 { body["status"].clone() } else { body["error"].clone() })
}

fn is(code: u16, word: &str) -> (u16, Value) {
    (code, json!(word))
}

/// What was done about alerts, as words.
fn acts(project: &Project) -> Vec<String> {
    let entries = project.trail("production").entries;
    let alerts = entries.iter().filter(|entry| entry["kind"] == "alert");
    alerts.map(|entry| entry["act"].as_str().unwrap().to_owned()).collect()
}

fn has_trail(project: &Project) -> bool {
    project.trail_file("production").exists()
}

#[test]
fn a_webhook_is_on_disk_when_it_is_answered_and_no_part_of_a_key_is() {
    let project = receiving();
    let hook = Hook::start(&project);
    for (number, signature) in (0..3).zip(["hex", "sha256", "timestamped"]) {
        let body = envelope(&format!("evt_{signature}"), "license.activated", now()).to_string();
        let reply = hook.post(&body, &signatures(SECRET, &body, now())[number]);
        assert_eq!(status(&reply), is(200, "recorded"), "{signature}");
        let trail = project.trail("production");
        assert_eq!(trail.kinds(), vec!["webhook"; number + 1]);
    }
    let entry = project.trail("production").last("webhook").clone();
    assert_eq!((&entry["event"], &entry["event_id"]), (&json!("license.activated"), &json!("evt_timestamped")));
    assert_eq!((&entry["plan"], &entry["activations_used"]), (&json!("pro"), &json!(3)));
    assert_eq!(entry.get("sinks"), None, "what went well is not told");
    let said = hook.stop();
    assert!(said.contains("evt_hex (`license.activated`) is recorded for `production`"), "{said}");
    for text in [said, project.trail_text("production")] {
        assert!(!text.contains("F6A8") && !text.contains("****") && !text.contains(SECRET), "{text}");
    }
    project.run(&["audit", "verify"]).exits(0);
    project.run(&["audit", "show"]).exits(0).says("license.activated");
}

#[test]
fn what_is_not_genuine_or_not_fresh_is_401_and_leaves_nothing() {
    let project = receiving();
    let hook = Hook::start(&project);
    let at = now();
    let body = envelope("evt_1", "license.revoked", at).to_string();
    let old = envelope("evt_1", "license.revoked", at - WINDOW_SECS - 60).to_string();
    let [hex, _, timed] = signatures(SECRET, &body, at);
    let rows = [
        ("another secret", &body, mac("the-secret-of-somebody-else", &[&body]), "signature_mismatch"),
        ("a bit of the body", &body.replacen("pro", "prn", 1), hex.clone(), "signature_mismatch"),
        ("a bit of the signature", &body, timed.replacen("v1=", "v2=", 1), "not_a_signature"),
        ("a bit of the time", &body, timed.replacen("t=1", "t=0", 1), "signature_mismatch"),
        ("nothing", &body, String::new(), "not_a_signature"),
        ("old", &old, mac(SECRET, &[&old]), "too_old"),
        ("old", &body, signatures(SECRET, &body, at - WINDOW_SECS - 60)[2].clone(), "too_old"),
        ("ahead", &body, signatures(SECRET, &body, at + WINDOW_SECS + 60)[2].clone(), "from_the_future"),
    ];
    for (name, body, signature, code) in rows {
        assert_eq!(status(&hook.post(body, &signature)), is(401, code), "{name}");
    }
    let plain = |headers: &str| {
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        http::send_bytes(&hook.url, request.as_bytes())
    };
    let twice = plain(&format!("x-signature: {hex}\r\nx-signature: {hex}\r\n"));
    assert!(twice.starts_with("HTTP/1.1 401") && twice.contains("several_signatures"), "{twice}");
    let none = plain("");
    assert!(none.starts_with("HTTP/1.1 401") && none.contains("no_signature"), "{none}");
    assert!(!has_trail(&project));
    let said = hook.stop();
    assert!(said.contains("a request was refused") && !said.contains(SECRET), "{said}");
}

#[test]
fn whoever_cannot_sign_cannot_fill_the_log_and_what_is_genuine_is_still_said() {
    const EACH: usize = 200;
    const GENUINE: usize = 40;
    let project = receiving();
    let hook = Hook::start(&project);
    let body = envelope("evt_x", "license.revoked", now()).to_string();
    let unsigned = mac("the-secret-of-somebody-else", &[&body]);
    thread::scope(|scope| {
        for signature in [&unsigned, "nonsense"] {
            let (hook, body) = (&hook, &body);
            scope.spawn(move || (0..EACH).for_each(|_| assert_eq!(hook.post(body, signature).status, 401)));
        }
        for number in 0..GENUINE {
            let event = envelope(&format!("evt_{number}"), "license.activated", now());
            assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
        }
    });
    let said = hook.stop();
    assert_eq!(said.matches("a request was refused").count(), 2, "{said}");
    for code in ["signature_mismatch", "not_a_signature"] {
        let counted = format!("refused since the last such line: {} (`{code}`)", EACH - 1);
        assert!(said.contains(&counted), "{said}");
    }
    assert_eq!(said.matches("is recorded for `production`").count(), GENUINE, "{said}");
}

#[test]
fn what_is_no_webhook_is_refused_and_leaves_nothing() {
    let project = receiving();
    let hook = Hook::start(&project);
    for body in ["", "{}", "[]", "garbage", "<html><script>alert(1)</script></html>", "{\"id\":\"evt_1\"}"] {
        assert_eq!(status(&hook.post(body, &mac(SECRET, &[body]))), is(400, "not_a_webhook"), "{body}");
    }
    let get = http::send(&http::agent(), "GET", &hook.url, None, None).unwrap();
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let health = http::send(&http::agent(), "GET", &format!("{}/health", hook.url), None, None).unwrap();
    assert_eq!(status(&health), is(200, "ok"));
    assert!(!has_trail(&project));
    let said = hook.stop();
    assert!(!said.contains("alert(1)"), "{said}");
}

#[test]
fn a_body_that_is_too_long_is_413_and_is_not_kept_in_memory() {
    let project = receiving();
    let hook = Hook::start(&project);
    let long = "x".repeat(70 * 1024);
    assert_eq!(status(&hook.post(&long, &mac(SECRET, &[&long]))), is(413, "too_long"));
    let announced = "POST / HTTP/1.1\r\nhost: x\r\nx-signature: x\r\ncontent-length: 99999999999\r\n\r\n";
    let answer = http::send_bytes(&hook.url, announced.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Without an announced length, and without an end.
    let mut stream = TcpStream::connect(http::host(&hook.url)).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 16).as_bytes(), &vec![b'x'; 1 << 16], b"\r\n"].concat();
    let sent = (0..1 << 12).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 1 << 12, "256 MiB were read");
    let status_of_process = fs::read_to_string(format!("/proc/{}/status", hook.child.pid())).unwrap();
    let peak = status_of_process.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 128 * 1024, "{peak_kib} KiB");
    assert_eq!(status(&hook.tell(&envelope("evt_1", "license.activated", now()))), is(200, "recorded"));
}

#[test]
fn a_client_that_is_slow_keeps_nobody_waiting() {
    let project = receiving();
    let hook = Hook::start(&project);
    let mut slow: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(http::host(&hook.url)).unwrap();
            stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
            stream
        })
        .collect();
    assert_eq!(status(&hook.tell(&envelope("evt_1", "license.activated", now()))), is(200, "recorded"));
    let stream = &mut slow[0];
    stream.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_repeat_is_answered_and_dropped_also_after_a_restart_and_by_many_at_once() {
    let sink = RawServer::script([ok()]);
    let project = with_sink(receiving(), &sink);
    let hook = Hook::start(&project);
    let event = envelope("evt_1", "license.revoked", now());
    let replies: Vec<_> = thread::scope(|scope| {
        let posts: Vec<_> = (0..8).map(|_| scope.spawn(|| status(&hook.tell(&event)))).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(replies.iter().filter(|reply| **reply == is(200, "recorded")).count(), 1, "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| **reply == is(200, "repeated")).count(), 7, "{replies:?}");
    until("the sink hears", || acts(&project).contains(&"sent".to_owned()));
    hook.stop();
    let hook = Hook::start(&project);
    assert_eq!(status(&hook.tell(&event)), is(200, "repeated"));
    hook.stop();
    assert_eq!(project.trail("production").kinds(), ["webhook", "alert", "alert"]);
    assert_eq!(sink.requests().len(), 1);
}

#[test]
fn a_name_is_remembered_for_a_day() {
    let project = Project::new(failpoints::binary(BINARY))
        .license_toml(receiving().text().as_bytes())
        .key(KEY)
        .var("TO_WEBHOOK_SECRET", SECRET);
    let event = envelope("evt_1", "license.activated", now());
    for (hours, word) in [(0, "recorded"), (23, "repeated"), (25, "recorded")] {
        let ahead = hours * 60 * 60;
        let project = &project;
        let mut command = project.command(&project.path(""), &["webhook", "serve"]);
        let mut child = Running::start(command.env("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", ahead.to_string()));
        let url = child.first_line().strip_prefix("listening on ").unwrap().to_owned();
        let hook = Hook { child, url };
        let body = event.to_string();
        let reply = hook.post(&body, &signatures(SECRET, &body, now() + ahead)[2]);
        assert_eq!(status(&reply), is(200, word), "after {hours} h");
    }
}

#[test]
fn what_concerns_nobody_is_answered_and_not_recorded() {
    let project = receiving();
    let hook = Hook::start(&project);
    let mut event = envelope("evt_1", "license.revoked", now());
    event["data"]["domain"] = json!("other.example");
    assert_eq!(status(&hook.tell(&event)), is(200, "concerns_nobody"));
    assert!(!has_trail(&project));
    assert!(hook.stop().contains("evt_1 (`license.revoked`) concerns no environment"));
}

#[test]
fn a_webhook_is_recorded_for_whom_it_names_and_where_the_file_lets_it() {
    let staging = "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nlicense = \"lic_staging\"\n\
                   key = { env = \"STAGING_KEY\" }\n";
    let key = "TO-STG-AAAAA-BBBBB-CCC7Q";
    let project = receiving().tables(staging).var("STAGING_KEY", key);
    let hook = Hook::start(&project);
    let named = |id: &str, data: Value| {
        let mut event = envelope(id, "license.activated", now());
        event["data"] = data;
        status(&hook.tell(&event))
    };
    assert_eq!(named("evt_1", json!({ "licenseId": "lic_staging", "domain": "app.com" })), is(200, "recorded"));
    assert_eq!(named("evt_2", json!({ "licenseKey": "TO-STG-****-CC7Q" })), is(200, "recorded"));
    assert_eq!(named("evt_3", json!({ "domain": "app.com" })), is(200, "recorded"));
    assert_eq!(named("evt_4", json!({})), is(200, "concerns_nobody"));
    assert_eq!(named(key, json!({ "domain": "app.com" })), is(400, "secret_in_id"));
    let ids = |environment: &str| {
        let entries = project.trail(environment).entries;
        entries.iter().map(|entry| entry["event_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((ids("staging"), ids("production")), (vec!["evt_1".into(), "evt_2".into()], vec!["evt_3".into()]));
    let account = json!({ "id": "evt_5", "type": "payment.failed", "created": event_time(), "data": {} });
    assert_eq!(status(&hook.tell(&account)), is(200, "recorded"));
    assert_eq!((ids("staging").len(), ids("production").len()), (3, 2), "it is about the account");
    assert!(!hook.stop().contains(key));
    let only = project.text().replace("[webhook]\n", "[webhook]\nenvironments = [\"production\"]\n");
    let project = project.license_toml(only.as_bytes());
    let hook = Hook::start(&project);
    let mut event = envelope("evt_6", "license.activated", now());
    event["data"] = json!({ "licenseId": "lic_staging" });
    assert_eq!(status(&hook.tell(&event)), is(200, "concerns_nobody"));
}

fn event_time() -> Value {
    envelope("", "", now())["created"].clone()
}

#[test]
fn words_of_a_webhook_come_through_cleaned_and_no_key_does() {
    let project = receiving().var("GITHUB_ACTIONS", "true");
    let hook = Hook::start(&project);
    let evil = "\u{1b}[31m\n::error::x <script>\u{202e}";
    let mut event = envelope("evt_1", evil, now());
    event["data"]["plan"] = json!(format!("{KEY}{evil}"));
    event["data"]["features"] = json!([evil, KEY]);
    event["data"]["licenseId"] = json!(evil);
    event["data"]["licenseKey"] = json!(KEY);
    assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
    let mut named = envelope("evt_2", "license.created", now());
    named["id"] = json!(evil);
    assert_eq!(status(&hook.tell(&named)), is(400, "not_a_webhook"));
    let said = hook.stop();
    let said = said.replace(&format!("::add-mask::{KEY}"), "").replace(&format!("::add-mask::{SECRET}"), "");
    for text in [said, project.trail_text("production")] {
        assert!(!text.contains('\u{1b}') && !text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
        assert!(!text.contains("\n::error") && !text.contains(KEY), "{text}");
    }
    let page = project.path("page.html");
    project.run(&["status", "--cached", "--html", page.to_str().unwrap()]);
    assert!(!fs::read_to_string(page).unwrap().contains("<script"));
}

#[test]
fn what_cannot_be_recorded_is_to_come_again() {
    let project = receiving();
    let hook = Hook::start(&project);
    fs::create_dir_all(project.path(".license")).unwrap();
    fs::write(project.path(".license/trail"), "in the way").unwrap();
    let event = envelope("evt_1", "license.activated", now());
    let reply = hook.tell(&event);
    assert_eq!(status(&reply), is(503, "not_recorded"));
    assert!(reply.header("retry-after").is_some());
    fs::remove_file(project.path(".license/trail")).unwrap();
    assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
    assert!(hook.stop().contains("could not be recorded"));
}

/// The environment `staging`, whose key is in a file of its own.
const STAGING: &str = "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\n\
                       key = { dotenv = \".env.staging\", name = \"K\" }\n";

#[test]
fn a_trail_that_cannot_be_written_keeps_nobody_elses_from_it_nor_from_being_told() {
    let sink = RawServer::script([ok()]);
    let project = with_sink(receiving().tables(STAGING), &sink).write(".env.staging", b"K=TO-STG-AAAAA-BBBBB-CCC7Q\n");
    let in_the_way = project.path(".license/trail/production.jsonl");
    fs::create_dir_all(&in_the_way).unwrap();
    let hook = Hook::start(&project);
    let account = json!({ "id": "evt_1", "type": "payment.failed", "created": event_time(), "data": {} });
    assert_eq!(status(&hook.tell(&account)), is(503, "not_recorded"));
    until("the sink hears of staging", || sink.requests().len() == 1);
    assert_eq!(project.trail("staging").entries[0]["event_id"], "evt_1");
    fs::remove_dir(in_the_way).unwrap();
    assert_eq!(status(&hook.tell(&account)), is(200, "recorded"));
    until("the sink hears of production", || sink.requests().len() == 2);
    hook.stop();
    assert_eq!(sink.requests().len(), 2, "staging is not told of twice");
}

#[test]
fn a_key_that_cannot_be_read_now_is_not_taken_for_another_one() {
    let key = "TO-STG-AAAAA-BBBBB-CCC7Q";
    let project = receiving().tables(STAGING).write(".env.staging", b"K='no end\n");
    let hook = Hook::start(&project);
    let mut event = envelope("evt_1", "license.revoked", now());
    event["data"] = json!({ "licenseKey": "TO-STG-****-CC7Q" });
    assert_eq!(status(&hook.tell(&event)), is(503, "not_recorded"));
    let project = project.write(".env.staging", format!("K={key}\n").as_bytes());
    assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
    assert!(hook.stop().contains("only by its license or its domain: staging"));
    // One that is not here at all is nobody's mistake.
    fs::remove_file(project.path(".env.staging")).unwrap();
    let hook = Hook::start(&project);
    event["id"] = json!("evt_2");
    assert_eq!(status(&hook.tell(&event)), is(200, "concerns_nobody"));
}

#[test]
fn a_kill_between_the_entry_and_the_answer_loses_nothing_and_doubles_nothing() {
    let sink = RawServer::script([ok()]);
    let project = with_failpoints(&sink).var(failpoints::DIES_AT, "webhook-recorded");
    let hook = Hook::start(&project);
    let event = envelope("evt_1", "license.revoked", now());
    let body = event.to_string();
    assert!(hook.try_post(&body, &signatures(SECRET, &body, now())[2]).is_none(), "it died");
    assert_eq!(hook.child.wait().code(), 137);
    assert_eq!(project.trail("production").kinds(), ["webhook"]);
    let project = project.unset(failpoints::DIES_AT);
    let hook = Hook::start(&project);
    assert_eq!(status(&hook.tell(&event)), is(200, "repeated"));
    until("the sink hears", || acts(&project).contains(&"sent".to_owned()));
    hook.stop();
    assert_eq!(project.trail("production").kinds(), ["webhook", "alert", "alert"]);
    assert_eq!(sink.requests().len(), 1);
}

#[test]
fn what_people_should_hear_is_told_and_the_rest_is_only_recorded() {
    let sink = RawServer::script([ok()]);
    let project = with_sink(receiving(), &sink);
    let hook = Hook::start(&project);
    for (number, kind) in (0..).zip(["license.created", "license.activated", "license.renewed", "license.paused"]) {
        assert_eq!(status(&hook.tell(&envelope(&format!("evt_{number}"), kind, now()))), is(200, "recorded"));
    }
    for (number, kind) in (10..).zip(["license.expiring", "license.expired", "license.revoked", "payment.failed"]) {
        assert_eq!(status(&hook.tell(&envelope(&format!("evt_{number}"), kind, now()))), is(200, "recorded"));
    }
    until("the sink hears", || acts(&project).iter().filter(|act| *act == "sent").count() == 4);
    hook.stop();
    let said: Vec<String> = sink.requests().iter().map(|request| request.json()["text"].to_string()).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    for (text, loud) in
        [("ends soon", "warning"), ("has ended", "critical"), ("was revoked", "critical"), ("failed", "warning")]
    {
        assert!(said.iter().any(|said| said.contains(text) && said.contains(loud)), "{text}: {said:?}");
    }
    // A look neither tells it again nor says that it is over.
    project.run(&["status", "production"]);
    assert_eq!(sink.requests().len(), 4);
}

#[test]
fn a_sink_that_fails_is_told_again_by_the_same_run() {
    let sink = RawServer::script([no(), no(), ok()]);
    let project = with_failpoints(&sink).var("LICENSE_FAILPOINT_FORWARD_SECS", "1");
    let hook = Hook::start(&project);
    assert_eq!(status(&hook.tell(&envelope("evt_1", "payment.failed", now()))), is(200, "recorded"));
    until("the sink hears", || acts(&project).contains(&"sent".to_owned()));
    hook.stop();
    assert_eq!(acts(&project), ["taken", "failed", "taken", "failed", "taken", "sent"]);
}

#[test]
fn a_burst_of_webhooks_is_no_burst_of_tries_at_a_sink_that_fails_and_the_other_hears_at_once() {
    const EVENTS: usize = 8;
    let (dead, well) = (RawServer::script([no()]), RawServer::script([ok()]));
    let project = with_sink_named("pager", "PAGER_URL", with_sink(receiving(), &dead), &well);
    let hook = Hook::start(&project);
    for number in 0..EVENTS {
        let event = envelope(&format!("evt_{number}"), "license.revoked", now());
        assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
        until("the other sink hears", || well.requests().len() == number + 1);
    }
    assert_eq!(dead.requests().len(), 1);
    hook.stop();
    assert_eq!(acts(&project).iter().filter(|act| *act == "failed").count(), 1);
    // The next run begins with one try, too.
    let hook = Hook::start(&project);
    until("it is tried", || dead.requests().len() == 2);
    hook.stop();
    assert_eq!((dead.requests().len(), well.requests().len()), (2, EVENTS));
}

#[test]
fn a_sink_that_is_well_again_hears_of_everything_that_it_missed() {
    const EVENTS: usize = 4;
    let sink = RawServer::script([no(), no(), ok()]);
    let project = with_failpoints(&sink).var("LICENSE_FAILPOINT_FORWARD_SECS", "1");
    let hook = Hook::start(&project);
    for number in 0..EVENTS {
        let event = envelope(&format!("evt_{number}"), "license.revoked", now());
        assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
    }
    until("the sink hears of each", || acts(&project).iter().filter(|act| *act == "sent").count() == EVENTS);
    hook.stop();
    assert_eq!(sink.requests().len(), 2 + EVENTS);
}

#[test]
fn a_message_that_a_sink_never_takes_keeps_no_other_from_it() {
    let refuses = |request: &license_tests::Request| if request.body.contains("payment") { no() } else { ok() };
    let sink = RawServer::answering(refuses);
    let staging = STAGING.replace("domain", "license = \"lic_staging\"\ndomain");
    let project = with_failpoints(&sink).var("LICENSE_FAILPOINT_FORWARD_SECS", "1");
    let text = format!("{}{staging}", project.text());
    let project = project.license_toml(text.as_bytes());
    let hook = Hook::start(&project);
    assert_eq!(status(&hook.tell(&envelope("evt_1", "payment.failed", now()))), is(200, "recorded"));
    until("it is refused", || sink.requests().len() == 1);
    // Both come in while the sink is left alone: behind the other in its trail, and in a trail that is looked at later.
    let mut elsewhere = envelope("evt_2", "license.revoked", now());
    elsewhere["data"] = json!({ "licenseId": "lic_staging" });
    for event in [envelope("evt_3", "license.revoked", now()), elsewhere] {
        assert_eq!(status(&hook.tell(&event)), is(200, "recorded"));
    }
    let taken = || sink.requests().iter().filter(|request| !request.body.contains("payment")).count();
    until("it hears of both", || taken() == 2);
    hook.stop();
    assert_eq!(taken(), 2);
}

#[test]
fn a_sink_that_fails_is_told_by_a_later_run() {
    for later in ["webhook serve", "status"] {
        let sink = RawServer::script([no(), ok()]);
        let project = with_sink(receiving(), &sink);
        let hook = Hook::start(&project);
        assert_eq!(status(&hook.tell(&envelope("evt_1", "license.revoked", now()))), is(200, "recorded"));
        until("the sink fails", || acts(&project).contains(&"failed".to_owned()));
        assert!(hook.stop().contains("`team` was NOT told"));
        if later == "status" {
            project.run(&["status", "production"]);
        } else {
            let hook = Hook::start(&project);
            until("the sink hears", || acts(&project).contains(&"sent".to_owned()));
            hook.stop();
        }
        assert_eq!(acts(&project), ["taken", "failed", "taken", "sent"], "{later}");
        let [first, second] = &sink.requests()[..] else { panic!("{:?}", sink.requests()) };
        assert_eq!(first.json(), second.json(), "{later}");
    }
}

#[test]
fn a_server_that_can_tell_nobody_any_more_ends_and_the_next_one_tells() {
    let sink = RawServer::script([ok()]);
    let project = with_failpoints(&sink).var(failpoints::PANICS_AT, "alert-due");
    let hook = Hook::start(&project);
    assert_eq!(status(&hook.tell(&envelope("evt_1", "license.revoked", now()))), is(200, "recorded"));
    let finished = hook.child.wait();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("nobody tells the sinks any more"), "{}", finished.stderr);
    assert_eq!(sink.requests().len(), 0);
    // The run that broke had the message in hand for a while.
    let project = project.unset(failpoints::PANICS_AT).var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", "3600");
    let hook = Hook::start(&project);
    until("the sink hears", || acts(&project).contains(&"sent".to_owned()));
    hook.stop();
    assert_eq!(sink.requests().len(), 1);
}

#[test]
fn two_servers_with_one_trail_on_a_remote_record_and_tell_once() {
    let (hub, sink) = (Hub::new(), RawServer::script([ok()]));
    let machines = [0; 2].map(|_| hub.shared_by(with_sink(receiving(), &sink)));
    let hooks = [Hook::start(&machines[0]), Hook::start(&machines[1])];
    let event = envelope("evt_1", "license.revoked", now());
    let replies: Vec<_> = thread::scope(|scope| {
        let posts: Vec<_> = hooks.iter().map(|hook| scope.spawn(|| status(&hook.tell(&event)))).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    // Written in one millisecond, the entries are equal to the byte: one commit, and each of the two recorded it.
    let one_of = [is(200, "recorded"), is(200, "repeated")];
    assert!(replies.contains(&one_of[0]) && replies.iter().all(|reply| one_of.contains(reply)), "{replies:?}");
    assert_eq!(hub.trail("production").kinds().iter().filter(|kind| **kind == "webhook").count(), 1);
    until("the sink hears", || hub.lines("production").iter().any(|line| line.contains("\"act\":\"sent\"")));
    hub.refuses("refs/license/trail/");
    let other = envelope("evt_2", "license.activated", now());
    assert_eq!(status(&hooks[0].tell(&other)), is(503, "not_recorded"));
    hub.refuses_nothing();
    assert_eq!(status(&hooks[1].tell(&other)), is(200, "recorded"));
    assert_eq!(hub.trail("production").kinds().iter().filter(|kind| **kind == "webhook").count(), 2);
    assert_eq!(sink.requests().len(), 1);
}

#[test]
fn many_webhooks_at_once_are_recorded_on_a_remote_while_sinks_are_told() {
    const EVENTS: usize = 6;
    let (hub, sink) = (Hub::new(), RawServer::script([ok()]));
    let project = hub.shared_by(with_sink(receiving(), &sink));
    let hook = Hook::start(&project);
    let replies: Vec<_> = thread::scope(|scope| {
        let event = |number| envelope(&format!("evt_{number}"), "license.revoked", now());
        let posts: Vec<_> = (0..EVENTS)
            .map(|number| {
                scope.spawn({
                    let (hook, event) = (&hook, event(number));
                    move || status(&hook.tell(&event))
                })
            })
            .collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(replies, vec![is(200, "recorded"); EVENTS], "{}", hook.child.stderr());
    until("the sink hears of each", || acts(&project).iter().filter(|act| *act == "sent").count() == EVENTS);
    let ids: std::collections::BTreeSet<String> =
        sink.requests().iter().map(|request| request.json().to_string()).collect();
    assert_eq!((sink.requests().len(), ids.len()), (EVENTS, EVENTS), "{}", hook.child.stderr());
}

/// A server that the authority tells of what happens, while it answers a validation.
fn telling_while_it_answers() -> (RawServer, Arc<Mutex<Option<String>>>) {
    let (hook, told) = (Arc::new(Mutex::new(None)), AtomicU32::new(0));
    let url = Arc::clone(&hook);
    let server = RawServer::answering(move |_| {
        if let Some(url) = &*url.lock().unwrap() {
            let number = told.fetch_add(1, Ordering::SeqCst);
            let body = envelope(&format!("evt_{number}"), "license.activated", now()).to_string();
            let request = http::agent().post(url).header("x-signature", &mac(SECRET, &[&body]));
            assert_eq!(request.send(&body).unwrap().status().as_u16(), 200);
        }
        Answer::json(200, &crate::good())
    });
    (server, hook)
}

#[test]
fn a_webhook_that_comes_in_during_a_deploy_does_not_stop_it() {
    let (server, url) = telling_while_it_answers();
    let project = receiving().authority_at(&server.url());
    let hook = Hook::start(&project);
    *url.lock().unwrap() = Some(hook.url.clone());
    project.deploy().exits(0).deploy_ran();
    hook.stop();
    let trail = project.trail("production");
    assert_eq!(trail.kinds(), ["webhook", "gate", "deploy_started", "deploy_ended"]);
}

#[test]
fn a_server_without_a_secret_or_with_a_sink_that_cannot_be_told_does_not_start() {
    let serve = ["webhook", "serve"];
    let without = crate::project().authority_at("http://127.0.0.1:9/api/v1").key(KEY);
    without.run(&serve).exits(3).says("`[webhook]`");
    receiving().unset("TO_WEBHOOK_SECRET").run(&serve).exits(3).says("TO_WEBHOOK_SECRET");
    receiving().var("TO_WEBHOOK_SECRET", "short").run(&serve).exits(3).says("too short");
    let sink = RawServer::script([ok()]);
    with_sink(receiving(), &sink).unset("SINK_URL").run(&serve).exits(3).says("SINK_URL");
    receiving().var("CI", "true").run(&serve).exits(3).says("lost after the run");
    let held = RawServer::script([ok()]);
    receiving().run(&["webhook", "serve", "--listen", &held.address().to_string()]).exits(2).says("cannot listen");
    receiving().run(&["webhook", "serve", "--listen", "localhost:1"]).exits(2);
}

#[test]
fn an_address_that_others_can_reach_is_told_plainly() {
    let project = receiving();
    let mut child = project.start(&["webhook", "serve", "--listen", "0.0.0.0:0"]);
    child.until("it says so", |child| child.stderr().contains("put a proxy with TLS in front"));
}
