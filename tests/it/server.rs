//! `authority serve` as a server: what it does with odd requests, odd clients, and its own end.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use license_tests::{
    Authority, Grant, Issued,
    http::{self, send_bytes},
    process::{Running, Signal, until},
};
use serde_json::{Value, json};

use crate::{BINARY, authority};

/// No answer takes longer.
const ANSWER_SECS_MAX: u64 = 20;

/// A connection that is kept.
struct Connection(TcpStream);

impl Connection {
    fn to(url: &str) -> Self {
        let stream = TcpStream::connect(http::host(url)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECS_MAX))).unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// One request and its answer.
    fn asks(mut self, text: &str) -> String {
        self.send(text);
        self.answer()
    }

    /// The next answer, head and body; what there was of it if the connection ended.
    fn answer(&mut self) -> String {
        let (mut bytes, mut one) = (Vec::new(), [0]);
        let mut missing = None;
        while missing != Some(0) && self.0.read(&mut one).unwrap_or(0) == 1 {
            bytes.push(one[0]);
            missing = match missing {
                Some(missing) => Some(missing - 1),
                None if bytes.ends_with(b"\r\n\r\n") => Some(length(&String::from_utf8_lossy(&bytes))),
                None => None,
            };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn length(head: &str) -> usize {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap())
}

/// A request with a body; `more` are lines of the head.
fn post(path: &str, more: &str, body: &str) -> String {
    format!("POST /api/v1{path} HTTP/1.1\r\nhost: x\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
}

fn token_line(authority: &Authority) -> String {
    format!("authorization: Bearer {}\r\n", authority.token())
}

fn question(license: &Issued) -> String {
    json!({ "key": license.key, "domain": "app.com" }).to_string()
}

fn rotation(license: &Issued) -> String {
    json!({ "licenseId": license.id, "gracePeriodDays": 7 }).to_string()
}

/// The fingerprint of the current key.
fn fingerprint(authority: &Authority, license: &Issued) -> Value {
    authority.cli(&["show", &license.id, "--format", "json"]).exits(0).json()["keyFingerprint"].clone()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

#[test]
fn a_connection_is_kept_after_every_error() {
    let authority = authority(&["--fault", "rate-limit=1s@list:1"]);
    let license = authority.issue(&Grant::default());
    let token = token_line(&authority);
    let mut connection = Connection::to(authority.url());
    let list = format!("GET /api/v1/portal/licenses HTTP/1.1\r\nhost: x\r\n{token}content-length: 5\r\n\r\n");
    for (head, body, expected) in [
        (post("/licenses/rotate", "", ""), "", 401),
        (post("/portal/licenses", "", "12345").replace("12345", ""), "12345", 401),
        (list, "12345", 429),
        (post("/nowhere", &token, ""), "", 404),
        (post("/validate", "", "12345").replace("12345", ""), "12345", 400),
        (post("/health", &token, ""), "", 405),
        (post("/validate", "", &question(&license)), "", 200),
    ] {
        connection.send(&head);
        // The body comes in a packet of its own: the answer must not come before it.
        connection.send(body);
        assert_eq!(status(&connection.answer()), expected, "{head}");
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_in_words() {
    let authority = authority(&[]);
    let body = "x".repeat(700_000);
    let whole = send_bytes(authority.url(), post("/validate", "connection: close\r\n", &body).as_bytes());
    assert!(status(&whole) == 413 && whole.contains("64 KiB"), "{whole}");
    let chunk = "x".repeat(70_000);
    let chunked = format!(
        "POST /api/v1/validate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n",
        chunk.len()
    );
    assert_eq!(status(&send_bytes(authority.url(), chunked.as_bytes())), 413);
    let endless = "POST /api/v1/validate HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n";
    assert_eq!(status(&Connection::to(authority.url()).asks(endless)), 413, "it does not wait for what was announced");
    let mut limit = json!({ "key": "k", "pad": "" });
    limit["pad"] = json!("x".repeat(64 * 1024 - limit.to_string().len()));
    let limit = limit.to_string();
    assert_eq!(
        (
            limit.len(),
            status(&send_bytes(authority.url(), post("/validate", "connection: close\r\n", &limit).as_bytes()))
        ),
        (64 * 1024, 200)
    );
}

#[test]
fn a_head_that_is_too_long_is_refused_and_others_are_served() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let long = format!("GET /api/v1/health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(80_000));
    assert!((400..500).contains(&status(&send_bytes(authority.url(), long.as_bytes()))));
    assert_eq!(authority.validate(&license.key, "app.com").json()["valid"], true);
}

#[test]
fn the_forms_of_http_that_clients_use_are_understood() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let (host, token, question) = (http::host(authority.url()).to_owned(), token_line(&authority), question(&license));
    let length = question.len();
    let close = "connection: close\r\n";
    let rows = [
        ("HTTP/1.0", format!("POST /api/v1/validate HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{question}")),
        ("a query", post("/validate?x=1", close, &question)),
        ("slashes at the end", post("/validate//", close, &question)),
        ("another content type", post("/validate", &format!("{close}content-type: text/plain\r\n"), &question)),
        ("a proxy's form", post("/validate", close, &question).replace("POST ", &format!("POST http://{host}"))),
        (
            "an id with codes",
            format!(
                "GET /api/v1/portal/licenses/{} HTTP/1.1\r\nhost: x\r\n{token}{close}\r\n",
                license.id.replace('_', "%5F")
            ),
        ),
    ];
    for (name, request) in rows {
        let answer = send_bytes(authority.url(), request.as_bytes());
        assert_eq!(status(&answer), 200, "{name}: {answer}");
    }
    let head =
        send_bytes(authority.url(), format!("HEAD /api/v1/health HTTP/1.1\r\nhost: x\r\n{close}\r\n").as_bytes());
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
    let options = send_bytes(
        authority.url(),
        format!("OPTIONS /api/v1/validate HTTP/1.1\r\nhost: x\r\n{token}{close}\r\n").as_bytes(),
    );
    assert!(status(&options) == 405 && options.contains("allow: POST\r\n"), "{options}");
}

#[test]
fn requests_that_come_all_at_once_are_answered_in_order() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let mut connection = Connection::to(authority.url());
    let (good, bad) = (post("/validate", "", &question(&license)), post("/validate", "", "{}"));
    connection.send(&format!("{good}{bad}{good}"));
    assert_eq!(
        [status(&connection.answer()), status(&connection.answer()), status(&connection.answer())],
        [200, 400, 200]
    );
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let question = question(&license);
    let mut connection = Connection::to(authority.url());
    connection.send(&post("/validate", "expect: 100-continue\r\n", &question).replace(&question, ""));
    assert_eq!(status(&connection.answer()), 100);
    connection.send(&question);
    assert_eq!(status(&connection.answer()), 200);
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answer() {
    let authority = authority(&["--latency", "200ms"]);
    let license = authority.issue(&Grant::default());
    let mut connection = Connection::to(authority.url());
    connection.send(&post("/validate", "", &question(&license)));
    connection.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&connection.answer()), 200);
}

#[test]
fn odd_fields_are_refused_and_missing_ones_are_not() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let key = &license.key;
    for (body, expected) in [
        (format!(r#"{{"key":"{key}","domain":3000}}"#), 400),
        (format!(r#"{{"key":"{key}","key":"{key}"}}"#), 400),
        (format!(r#"{{"key":"{key}"}} {{}}"#), 400),
        (format!(r#"["{key}"]"#), 400),
        (String::new(), 400),
        (format!(r#"{{"key":"","token":"{key}","unknown":[1]}}"#), 200),
        (format!(r#"{{"license_key":"{key}","domain":null}}"#), 200),
    ] {
        let answer = send_bytes(authority.url(), post("/validate", "connection: close\r\n", &body).as_bytes());
        assert_eq!(status(&answer), expected, "{body}: {answer}");
        assert!(!answer.contains(key.as_str()), "the key came back: {answer}");
    }
}

#[test]
fn a_name_of_a_request_that_cannot_be_read_rotates_nothing() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let before = fingerprint(&authority, &license);
    for name in ["", "caf\u{e9}"] {
        let more = format!("{}connection: close\r\nidempotency-key: {name}\r\n", token_line(&authority));
        let answer = send_bytes(authority.url(), post("/licenses/rotate", &more, &rotation(&license)).as_bytes());
        assert_eq!(status(&answer), 400, "{name}: {answer}");
    }
    assert_eq!(fingerprint(&authority, &license), before);
}

#[test]
fn a_late_commit_is_made_at_once_and_stays_when_the_client_goes_away() {
    let authority = authority(&["--fault", "late-commit=1d@rotate:1"]);
    let license = authority.issue(&Grant::default());
    let before = fingerprint(&authority, &license);
    let mut connection = Connection::to(authority.url());
    connection.send(&post("/licenses/rotate", &token_line(&authority), &rotation(&license)));
    until("the rotation is in the log", || fingerprint(&authority, &license) != before);
    let rotated = fingerprint(&authority, &license);
    drop(connection);
    assert_eq!(authority.validate(&license.key, "app.com").json()["valid"], true, "the old key is in its grace");
    assert_eq!(fingerprint(&authority, &license), rotated);
}

#[test]
fn a_broken_body_has_its_head_and_its_first_half() {
    let authority = authority(&["--fault", "close-mid-body@rotate:1"]);
    let license = authority.issue(&Grant::default());
    let before = fingerprint(&authority, &license);
    let request = post("/licenses/rotate", &token_line(&authority), &rotation(&license));
    let answer = send_bytes(authority.url(), request.as_bytes());
    let (head, half) = answer.split_once("\r\n\r\n").unwrap();
    assert!(status(head) == 200 && half.len() == length(head) / 2 && half.contains("newKey"), "{answer}");
    assert_ne!(fingerprint(&authority, &license), before, "the rotation was made");
}

#[test]
fn faults_in_front_of_the_authority_change_nothing_and_those_behind_it_do() {
    for (fault, changes) in [
        ("html-502", false),
        ("rate-limit=1s", false),
        ("redirect=http://127.0.0.1:9/", false),
        ("status=500", true),
        ("huge-body=1MB", true),
        ("clock-skew=1d", true),
    ] {
        let authority = authority(&["--fault", &format!("{fault}@rotate:1")]);
        let license = authority.issue(&Grant::default());
        let before = fingerprint(&authority, &license);
        let request =
            post("/licenses/rotate", &format!("{}connection: close\r\n", token_line(&authority)), &rotation(&license));
        let answer = send_bytes(authority.url(), request.as_bytes());
        assert_eq!(fingerprint(&authority, &license) != before, changes, "{fault}: {answer}");
        assert!(!answer.contains(authority.token()) && !answer.contains(&license.key), "{fault}: {answer}");
    }
}

#[test]
fn a_body_of_a_gigabyte_takes_no_memory() {
    let authority = authority(&["--fault", "huge-body=1000MB@validate:1"]);
    let mut connection = Connection::to(authority.url());
    connection.send(&post("/validate", "connection: close\r\n", r#"{"key":"k"}"#));
    let (mut chunk, mut left) = (vec![0; 1 << 20], 100_000_000_usize);
    while left > 0 {
        let read = connection.0.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "it ended early");
        left = left.saturating_sub(read);
    }
    let peak = std::fs::read_to_string(format!("/proc/{}/status", authority.pid())).ok().and_then(|status| {
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    });
    assert!(peak.is_none_or(|kilobytes| kilobytes < 64 * 1024), "{peak:?} kB");
}

#[test]
fn a_registry_that_was_begun_again_under_a_running_server_is_served() {
    let authority = authority(&[]);
    let gone = authority.issue(&Grant::default());
    assert_eq!(authority.validate(&gone.key, "app.com").json()["valid"], true);
    std::fs::remove_dir_all(authority.state().join("authority")).unwrap();
    let license = authority.issue(&Grant::default());
    assert_eq!(authority.validate(&license.key, "app.com").json()["valid"], true, "the log has the same length");
    assert_eq!(authority.validate(&gone.key, "app.com").json()["code"], "LICENSE_NOT_FOUND");
}

#[test]
fn a_registry_that_is_gone_for_a_moment_refuses_no_key() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let asked = || authority.validate(&license.key, "app.com");
    assert_eq!(asked().json()["valid"], true);
    let (there, away) = (authority.state().join("authority"), authority.state().join("away"));
    std::fs::rename(&there, &away).unwrap();
    assert_eq!(asked().status, 500, "an outage, and not a refusal");
    std::fs::rename(&away, &there).unwrap();
    assert_eq!(asked().json()["valid"], true);
    assert!(authority.stderr().contains("cannot be trusted"), "{}", authority.stderr());
}

#[test]
fn a_server_without_a_license_says_so_when_it_starts() {
    let authority = authority(&[]);
    until("it says so", || authority.stderr().contains("there is no license in"));
    let mut authority = authority;
    authority.issue(&Grant::default());
    authority.kill();
    authority.restart();
    assert_eq!(authority.stderr(), "");
}

#[test]
fn a_field_that_cannot_be_read_is_named_and_what_lists_say_can_be_said() {
    let authority = authority(&[]);
    let create = |changes: Value| {
        let mut body = json!({ "appName": "x", "domain": "app.com" });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        authority.send("POST", "/portal/licenses", Some(&body))
    };
    for (changes, named) in [
        (json!({ "expiresAt": "soon" }), "`expiresAt` is a time"),
        (json!({ "expiresAt": 5 }), "`expiresAt` is not what belongs there"),
        (json!({ "activationLimit": -2 }), "`activationLimit` is a number"),
        (json!({ "activationLimit": "x" }), "`activationLimit` is not what belongs there"),
        (json!({ "class": "TO-PRD-AAAA" }), "`class` is not what belongs there"),
    ] {
        let reply = create(changes);
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && message.contains(named) && !message.contains("AAAA"), "{message}");
    }
    let never = create(json!({ "expiresAt": "9999-12-31T23:59:59Z", "activationLimit": -1 }));
    assert_eq!(never.status, 201, "{}", never.body);
    let listed = never.json();
    assert_eq!((&listed["expires_at"], &listed["activation_limit"]), (&json!("9999-12-31T23:59:59Z"), &json!(-1)));
    let body = json!({ "licenseId": "lic_0000000000000000", "gracePeriodDays": -1 });
    let reply = authority.send("POST", "/licenses/rotate", Some(&body));
    assert!(reply.body.contains("`gracePeriodDays` is not what belongs there"), "{}", reply.body);
}

#[test]
fn a_domain_that_is_removed_is_covered_no_longer_however_it_was_written() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant { domains: &["App.com"], ..Grant::default() });
    let path = format!("/portal/licenses/{}/domains", license.id);
    assert_eq!(authority.send("POST", &path, Some(&json!({ "domain": "app.com" }))).status, 201);
    assert_eq!(authority.validate(&license.key, "app.com").json()["valid"], true);
    assert_eq!(authority.send("DELETE", &path, Some(&json!({ "domain": "APP.com" }))).status, 200);
    assert_eq!(authority.validate(&license.key, "app.com").json()["valid"], false);
    assert_eq!(authority.send("DELETE", &path, Some(&json!({ "domain": "app.com" }))).status, 404);
}

#[test]
fn a_rotation_that_is_asked_for_again_after_a_revocation_shows_no_key() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let headers = format!("{}idempotency-key: one\r\nconnection: close\r\n", token_line(&authority));
    let again = || {
        let request = post("/licenses/rotate", &headers, &rotation(&license));
        status(&send_bytes(authority.url(), request.as_bytes()))
    };
    assert_eq!((again(), again()), (200, 200));
    authority.revoke(&license);
    assert_eq!(again(), 409);
}

#[test]
fn more_connections_than_there_are_file_descriptors_stop_no_change() {
    let state = tempfile::TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", "ulimit -n 48; exec \"$0\" \"$@\"", BINARY]);
    command.args(["authority", "serve", "--listen", "127.0.0.1:0", "--state"]).arg(state.path());
    let mut server = Running::start(&mut command);
    let url = server.first_line().strip_prefix("listening on ").unwrap().to_owned();
    let request = "POST /api/v1/portal/licenses HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let mut first = Connection::to(&url);
    first.send(request);
    assert_eq!(status(&first.answer()), 201);
    let idle: Vec<_> = (0..60).map(|_| Connection::to(&url)).collect();
    thread::sleep(Duration::from_millis(200)); // long enough to accept too many; too short only makes the test weaker
    first.send(request);
    assert_eq!(status(&first.answer()), 201);
    drop(idle);
    let mut later = Connection::to(&url);
    later.send("GET /api/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(status(&later.answer()), 200, "places are free again");
}

#[test]
fn a_terminated_server_finishes_what_it_began_and_keeps_its_counters() {
    let mut authority = authority(&["--latency", "300ms"]);
    let license = authority.issue(&Grant::default());
    authority.kill();
    authority.restart();
    let mut connection = Connection::to(authority.url());
    let idle = Connection::to(authority.url());
    connection.send(&post("/validate", "", &question(&license)));
    thread::sleep(Duration::from_millis(100)); // the request is under way; later or earlier, it must be answered or refused
    let started = Instant::now();
    let finished = authority.stop(Signal::TERM);
    assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""));
    assert!(started.elapsed() < Duration::from_secs(4), "an idle connection held it up: {:?}", started.elapsed());
    assert_eq!(status(&connection.answer()), 200);
    drop(idle);
    authority.restart();
    assert_eq!(authority.send("GET", "/portal/usage", None).json()["validationsToday"], 1);
}

#[test]
fn an_address_of_the_newer_internet_protocol_is_served() {
    let state = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().args(["authority", "serve", "--listen", "[::1]:0", "--state"]).arg(state.path());
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        writeln!(std::io::stdout(), "skipped: this machine has no IPv6 loopback").unwrap();
        return;
    }
    let mut server = Running::start(&mut command);
    let line = server.first_line();
    assert!(line.starts_with("listening on http://[::1]:"), "{line}");
    let url = line.strip_prefix("listening on ").unwrap();
    assert_eq!(http::send(&http::agent(), "GET", &format!("{url}/portal/licenses"), None, None).unwrap().status, 200);
}

#[test]
fn a_key_that_is_pasted_into_the_wrong_place_does_not_come_back() {
    const PASTED: &str = "TO-PRD-P4STD-K3Y00-P4STD-K3Y00-P4STD-K3Y00";
    let authority = authority(&[]);
    for arguments in [
        &["show", PASTED][..],
        &["revoke", PASTED],
        &["show", "lic_x", PASTED],
        &["list", PASTED],
        &[PASTED],
        &["issue", "--class", PASTED, "--domain", "app.com"],
        &["serve", "--fault", PASTED],
        &["serve", "--listen", PASTED],
    ] {
        let ran = authority.cli(arguments);
        ran.exits_one_of(&[2, 10]).says_nothing_of("P4STD");
    }
}
