//! Sinks of alerts, told by the real binary: what goes out, what counts as accepted, and what is never shown.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use license_tests::{Answer, Project, RawServer, Request};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{KEY, project, tls::TlsServer};

/// The secret part of an address. It holds characters that encodings change.
const PATH: &str = "services/T0/B0/Marker-0f-the_Address~1";
/// The secret that signs.
const SIGNING: &str = "whsec_TWFya2VyLW9mLXRoZS1zaWduaW5nLXNlY3JldA==";
/// An integration key.
const ROUTING_KEY: &str = "marker0ofthe0integration0key0123";

/// A project with one sink, `team`.
fn with_sink(table: &str) -> Project {
    with_sinks(&format!("[sinks.team]\n{table}\n"))
}

fn with_sinks(tables: &str) -> Project {
    project().authority_at("http://127.0.0.1:9/api/v1").key(KEY).tables(tables)
}

/// A project whose sink takes Slack's messages at this server.
fn slack(server: &RawServer, more: &str) -> Project {
    slack_at(&format!("http://{}/{PATH}", server.address()), more)
}

fn slack_at(url: &str, more: &str) -> Project {
    with_sink(&format!("kind = \"slack\"\nurl = {{ env = \"SINK_URL\" }}\n{more}")).var("SINK_URL", url)
}

/// A project whose sink is a webhook at this server.
fn webhook(server: &RawServer, more: &str) -> Project {
    let table =
        format!("kind = \"webhook\"\nurl = {{ env = \"SINK_URL\" }}\nsecret = {{ env = \"SINK_SECRET\" }}\n{more}");
    let url = format!("http://{}/{PATH}", server.address());
    with_sink(&table).var("SINK_URL", &url).var("SINK_SECRET", SIGNING)
}

fn pagerduty(server: &RawServer) -> Project {
    let table = format!(
        "kind = \"pagerduty\"\nservice = \"http://{}\"\nrouting_key = {{ env = \"ROUTING_KEY\" }}",
        server.address()
    );
    with_sink(&table).var("ROUTING_KEY", ROUTING_KEY)
}

/// A sink that is a shell script in the project.
fn scripted(kind: &str, script: &str, more: &str) -> Project {
    let table = format!("kind = \"{kind}\"\ncommand = [\"sh\", \"sink.sh\"]\n{more}");
    with_sink(&table).write("sink.sh", script.as_bytes())
}

const TEST: [&str; 3] = ["alert", "test", "team"];
const TEST_JSON: [&str; 5] = ["alert", "test", "team", "--format", "json"];

fn ok() -> Answer {
    Answer::text(200, "text/plain", "ok")
}

fn status(status: u16) -> Answer {
    Answer::text(status, "text/plain", "no")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Signs as the public descriptions of the signatures say.
fn hmac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Both signatures of a request are those of its body under the secret.
#[track_caller]
fn is_signed(request: &Request, key: &[u8]) {
    let header = |name| request.header(name).unwrap_or_else(|| panic!("no `{name}`: {request:?}"));
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let expected = format!("v1,{}", STANDARD.encode(hmac(key, &[id, ".", at, ".", &request.body])));
    assert_eq!(header("webhook-signature"), expected);
    assert_eq!(header("x-signature"), format!("t={at},v1={}", hex(&hmac(key, &[at, ".", &request.body]))));
    let age = jiff::Timestamp::now().as_second() - at.parse::<i64>().unwrap();
    assert!((0..120).contains(&age), "{age}");
}

fn key() -> Vec<u8> {
    STANDARD.decode(SIGNING.strip_prefix("whsec_").unwrap()).unwrap()
}

#[test]
fn slack_gets_a_message_that_is_clearly_a_test() {
    let server = RawServer::script([ok()]);
    // A proxy would be asked for itself.
    let project = slack(&server, "").var("HTTPS_PROXY", "http://127.0.0.1:9").var("ALL_PROXY", "http://127.0.0.1:9");
    project.run(&TEST).exits(0).says("sink `team` (slack): accepted").never_shows(PATH);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", format!("/{PATH}").as_str()));
    assert!(requests[0].header("content-type").unwrap().starts_with("application/json"));
    let message = requests[0].json();
    assert!(message["text"].as_str().unwrap().starts_with("TEST, nothing is wrong"), "{message}");
    assert_eq!(message["attachments"].as_array().unwrap().len(), 1);
    assert!(message["attachments"][0]["fields"].as_array().unwrap().iter().any(|field| field["value"] == "production"));
}

#[test]
fn slack_has_accepted_only_what_it_says_ok_to() {
    for (name, answer) in [
        ("a page of somebody in between", Answer::text(200, "text/html", "<html>log in</html>")),
        ("nothing", Answer::text(204, "text/plain", "")),
        ("a huge answer", Answer::Huge { bytes: 40 << 20 }),
    ] {
        let server = RawServer::script([answer]);
        slack(&server, "").run(&TEST).named(name).exits(16).says("without the `ok`").never_shows(PATH);
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[test]
fn pagerduty_gets_an_event_of_its_second_version() {
    let server = RawServer::script([Answer::json(202, &json!({ "status": "success" }))]);
    let project = pagerduty(&server)
        .var("GITHUB_ACTIONS", "true")
        .var("GITHUB_SERVER_URL", "https://github.com")
        .var("GITHUB_REPOSITORY", "acme/app")
        .var("GITHUB_RUN_ID", "42");
    let ran = project.run(&TEST_JSON);
    let document = ran.exits(0).json();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/v2/enqueue");
    let event = requests[0].json();
    assert_eq!(event["routing_key"], ROUTING_KEY);
    assert_eq!(event["event_action"], "trigger");
    assert_eq!(event["dedup_key"], document["dedup_key"]);
    assert_eq!(event["links"][0]["href"], "https://github.com/acme/app/actions/runs/42");
    let payload = &event["payload"];
    assert!(payload["summary"].as_str().unwrap().contains("TEST"), "{event}");
    assert_eq!((&payload["source"], &payload["severity"]), (&json!("production"), &json!("info")));
    assert!(payload["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(payload["custom_details"].is_object());
    // The one place for a secret on GitHub Actions is the line that has it masked.
    let said = ran.stderr().replace(&format!("::add-mask::{ROUTING_KEY}"), "");
    assert!(!said.contains(ROUTING_KEY) && !ran.stdout().contains(ROUTING_KEY), "{said}");
}

#[test]
fn a_webhook_gets_a_signed_cloud_event() {
    let server = RawServer::script([status(204)]);
    let ran = webhook(&server, "").run(&TEST_JSON);
    let document = ran.exits(0).never_shows(PATH).never_shows(SIGNING).json();
    assert_eq!(document["schema"], "license-hooks/alert-test/1");
    assert_eq!(document["sinks"][0]["result"], "accepted");
    let request = server.requests().remove(0);
    is_signed(&request, &key());
    assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
    let event = request.json();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "license.alert.test");
    assert_eq!(event["subject"], "production");
    assert_eq!(event["source"], "license-hooks");
    assert_eq!(event["id"].as_str(), request.header("webhook-id"));
    assert!(event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let alert = &event["data"];
    assert_eq!(alert["dedup_key"], document["dedup_key"]);
    assert_eq!((&alert["news"], &alert["environment"]), (&json!("test"), &json!("production")));
    assert_eq!(alert["alert"]["alert"], "expiring");
}

#[test]
fn two_tests_are_two_occurrences() {
    let server = RawServer::script([status(200)]);
    let project = webhook(&server, "");
    project.run(&TEST).exits(0);
    project.run(&TEST).exits(0);
    let requests = server.requests();
    assert_ne!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
}

#[test]
fn a_sink_that_took_it_and_failed_hears_the_same_again() {
    let server = RawServer::script([status(500), Answer::Reset, status(202)]);
    webhook(&server, "").run(&TEST).exits(0).never_shows(PATH).never_shows(SIGNING);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        is_signed(request, &key());
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(request.body, requests[0].body);
    }
}

#[test]
fn a_sink_that_is_busy_is_told_again_when_it_says() {
    let busy = Answer::with_headers(429, &[("retry-after", "3")], "slow down");
    let server = RawServer::script([busy, ok()]);
    let start = Instant::now();
    slack(&server, "").run(&TEST).exits(0);
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_would_end_the_same_is_not_tried_again() {
    for code in [400, 401, 403, 404, 410, 422] {
        let server =
            RawServer::script([Answer::text(code, "text/plain", &format!("no {PATH} \u{1b}[31m{}", "x".repeat(5000)))]);
        let ran = slack(&server, "").run(&TEST);
        ran.named(&code.to_string()).exits(16).says(&format!("answered {code}")).never_shows(PATH);
        assert_eq!(server.requests().len(), 1, "{code}");
    }
    let server = RawServer::script([Answer::json(400, &json!({ "status": "invalid event", "errors": [ROUTING_KEY] }))]);
    pagerduty(&server).run(&TEST).exits(16).says("invalid event").says("[masked]").never_shows(ROUTING_KEY);
}

#[test]
fn the_words_of_a_sink_cannot_forge_anything() {
    let server = RawServer::script([Answer::text(400, "text/plain", "no\n::error::forged\n\u{1b}[31m##[error]x")]);
    let ran = slack(&server, "").var("GITHUB_ACTIONS", "true").run(&TEST);
    for line in ran.exits(16).stdout().lines().chain(ran.stderr().lines()) {
        assert!(!line.trim_start().starts_with("::error::forged") && !line.contains("##[error]"), "{line}");
    }
    assert!(!ran.stdout().contains('\u{1b}'));
}

#[test]
fn nobody_there_is_told_after_three_tries() {
    let ran = slack_at(&format!("http://127.0.0.1:9/{PATH}"), "").run(&TEST_JSON);
    let document = ran.exits(16).never_shows(PATH).json();
    assert_eq!(document["sinks"][0]["result"], "undelivered");
    assert_eq!(document["sinks"][0]["tries"], 3);
    assert!(document["sinks"][0]["why"].as_str().unwrap().contains("`127.0.0.1`"), "{document}");
    assert_eq!(document["exit"], json!({ "code": 16, "name": "alert_undelivered" }));
}

#[test]
fn a_slow_sink_is_not_waited_for_longer_than_its_timeout() {
    let server = RawServer::script([Answer::Hang]);
    let start = Instant::now();
    slack(&server, "timeout = \"1s\"").run(&TEST).exits(16).says("no answer").says("within 1 s").never_shows(PATH);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_webhook_may_say_as_much_as_it_likes() {
    let server = RawServer::script([Answer::Huge { bytes: 4 << 30 }]);
    webhook(&server, "").run(&TEST).exits(0);
}

#[test]
fn a_redirect_is_not_followed() {
    let other = RawServer::script([ok()]);
    let to = format!("http://{}/{PATH}", other.address());
    for code in [301, 302, 307, 308] {
        let server = RawServer::script([Answer::with_headers(code, &[("location", &to)], "")]);
        webhook(&server, "").run(&TEST).exits(16).says("redirects are not followed").never_shows(SIGNING);
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_certificate_authority_of_the_company_is_honored_and_no_other() {
    let server = TlsServer::saying(&["localhost"], "ok");
    let url = format!("https://localhost:{}/{PATH}", server.address.port());
    slack_at(&url, "").run(&TEST).exits(16).says("certificate").says("ca_file").never_shows(PATH);
    let trusting = slack_at(&url, "ca_file = \"corp-ca.pem\"").write("corp-ca.pem", server.ca_pem.as_bytes());
    trusting.run(&TEST).exits(0).never_shows(PATH);
    let other = TlsServer::saying(&["localhost"], "ok");
    trusting.write("corp-ca.pem", other.ca_pem.as_bytes()).run(&TEST).exits(16).says("certificate");
}

#[test]
fn a_sink_that_cannot_be_used_as_it_is_set_up_is_3() {
    let server = RawServer::script([ok()]);
    let secret = "kind = \"webhook\"\nurl = { env = \"SINK_URL\" }\nsecret = { env = \"SINK_SECRET\" }";
    let url = format!("http://{}/{PATH}", server.address());
    let rows = [
        ("no variable", slack_at("x", "").unset("SINK_URL"), "`SINK_URL` is not set"),
        ("no https", slack_at(&format!("http://app.example/{PATH}"), ""), "neither https nor on this machine"),
        ("no address", slack_at(PATH, ""), "`SINK_URL`"),
        ("a line break", slack_at(&format!("https://app.example/{PATH}\n"), ""), "`SINK_URL`"),
        ("no ca_file", slack(&server, "ca_file = \"none.pem\""), "ca_file"),
        ("no secret", with_sink(secret).var("SINK_URL", &url), "`SINK_SECRET` is not set"),
        ("a short secret", with_sink(secret).var("SINK_URL", &url).var("SINK_SECRET", "short"), "too short"),
        ("no such sink", with_sink("kind = \"github\"").var("X", "x"), "there is no sink"),
    ];
    for (name, project, word) in rows {
        let arguments = if name == "no such sink" { ["alert", "test", "taem"] } else { TEST };
        project.run(&arguments).named(name).exits(3).says(word).never_shows(PATH);
    }
    with_sinks("").run(&["alert", "test", "--all"]).exits(3).says("no sinks");
    with_sinks("").run(&["alert", "test"]).exits(2);
    assert_eq!(server.connections(), 0);
}

#[test]
fn all_sinks_are_told_whatever_becomes_of_one() {
    let server = RawServer::script([ok()]);
    let tables = "[sinks.broken]\nkind = \"command\"\ncommand = \"false\"\n[sinks.none]\nkind = \"slack\"\n\
                  url = { env = \"NONE\" }\n[sinks.team]\nkind = \"slack\"\nurl = { env = \"SINK_URL\" }\n";
    let project = with_sinks(tables).var("SINK_URL", &format!("http://{}/{PATH}", server.address()));
    let document = project.run(&["alert", "test", "--all", "--format", "json"]).exits(3).json();
    let results: BTreeMap<&str, &Value> = document["sinks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["sink"].as_str().unwrap(), &one["result"]))
        .collect();
    let expected = [("broken", json!("undelivered")), ("none", json!("unusable")), ("team", json!("accepted"))];
    assert_eq!(results, expected.iter().map(|(name, result)| (*name, result)).collect());
    project.var("NONE", "http://127.0.0.1:9/").run(&["alert", "test", "--all"]).exits(16);
}

#[test]
fn a_program_gets_the_event_and_no_secret() {
    let script = "cat > event; env > variables; echo 'said Marker-0f-a-key/+1'";
    let project = scripted("command", script, "").key("Marker-0f-a-key/+1").var("VISIBLE", "yes");
    project.run(&TEST).exits(0).says("said ***");
    let event: Value = serde_json::from_str(&read(&project.path("event"))).unwrap();
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("license.alert.test")));
    let variables = read(&project.path("variables"));
    let has = |line: &str| variables.lines().any(|found| found == line);
    assert!(has("LICENSE_ALERT_KIND=expiring") && has("LICENSE_ALERT_NEWS=test"), "{variables}");
    assert!(has("LICENSE_ALERT_ENVIRONMENT=production") && has("LICENSE_ALERT_SEVERITY=info"), "{variables}");
    assert!(has(&format!("LICENSE_ALERT_DEDUP_KEY={}", event["data"]["dedup_key"].as_str().unwrap())), "{variables}");
    assert!(has("VISIBLE=yes"), "{variables}");
    assert!(!variables.contains("LICENSE_KEY=") && !variables.contains("TO_API_KEY"), "{variables}");
}

#[test]
fn a_program_accepts_with_0_and_asks_for_another_try_with_75() {
    let later = scripted("command", "echo run >> runs; test $(wc -l < runs) -ge 2 || exit 75", "");
    later.run(&TEST).exits(0);
    assert_eq!(read(&later.path("runs")).lines().count(), 2);
    let no = scripted("command", "echo run >> runs; exit 9", "");
    no.run(&TEST).exits(16).says("ended with 9");
    assert_eq!(read(&no.path("runs")).lines().count(), 1);
    let slow = scripted("command", "sleep 50 & sleep 50", "timeout = \"1s\"");
    let start = Instant::now();
    slow.run(&TEST).exits(16).says("did not end within 1 s");
    assert!(start.elapsed() < Duration::from_secs(40));
    let none = with_sink("kind = \"command\"\ncommand = \"no-such-program\"");
    none.run(&TEST).exits(16).says("cannot be started");
}

#[test]
fn a_mail_is_one_that_programs_take() {
    let more = "to = [\"ops@example.com\", \"me@example.com\"]\nfrom = \"license@example.org\"";
    let project = scripted("email", "cat > mail; exit 0", more);
    project.run(&TEST).exits(0);
    let mail = read(&project.path("mail"));
    let (head, body) = mail.split_once("\n\n").unwrap();
    let head = head.replace("\n ", " ");
    let header = |name: &str| {
        let start = format!("{name}: ");
        let found: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix(&start)).collect();
        assert_eq!(found.len(), 1, "{name}: {mail}");
        found[0].to_owned()
    };
    assert_eq!(header("From"), "license@example.org");
    assert_eq!(header("To"), "ops@example.com, me@example.com");
    assert!(header("Subject").starts_with("[license] TEST"), "{mail}");
    assert!(header("Date").ends_with(" +0000"));
    assert!(header("Message-ID").starts_with('<') && header("Message-ID").ends_with("@example.org>"), "{mail}");
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert_eq!(header("Content-Type"), "text/plain; charset=utf-8");
    assert_eq!(header("Content-Transfer-Encoding"), "quoted-printable");
    assert!(body.contains("environment: production"), "{mail}");
    assert!(mail.is_ascii() && !mail.contains('\r') && mail.lines().all(|line| line.len() <= 78), "{mail}");
}

#[test]
fn an_annotation_is_one_only_on_github_actions() {
    let project = with_sink("kind = \"github\"");
    project.run(&TEST).exits(0).says("alert: TEST, nothing is wrong").says_nothing_of("::notice");
    let ran = project.var("GITHUB_ACTIONS", "true").run(&TEST_JSON);
    ran.exits(0).json();
    let is_annotation = |line: &&str| line.starts_with("::notice title=license of production::TEST");
    assert_eq!(ran.stderr().lines().filter(is_annotation).count(), 1, "{ran}");
}

#[test]
fn a_signal_ends_the_waiting() {
    use license_tests::process::Signal;
    let server = RawServer::script([Answer::Hang]);
    let project = slack(&server, "timeout = \"60s\"");
    let mut running = project.start(&TEST);
    running.until("the sink is told", |_| !server.requests().is_empty());
    running.signal(Signal::TERM);
    let start = Instant::now();
    project.ended(running).exits(143).says("a signal came");
    assert!(start.elapsed() < Duration::from_secs(30));
}
