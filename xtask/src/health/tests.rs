//! Looking at real applications: healthy ones, late ones, and none.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use license_core::LicenseKey;
use serde_json::json;

use super::*;

const LONG: Duration = Duration::from_secs(60);
/// Far from `LONG`, and long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);
/// Time for more than one attempt.
const SHORT: Duration = Duration::from_millis(1500);

/// What the application does with a connection.
#[derive(Clone)]
enum Reply {
    Bytes(Vec<u8>),
    Hang,
    HangUp,
}

/// An application on this machine that replies by script; the last reply is repeated.
struct App {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl App {
    #[expect(clippy::disallowed_methods, reason = "a real application listens on a real socket")]
    fn new(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/api/license/status", listener.local_addr().unwrap());
        let requests = Arc::default();
        let app = Self { url, requests: Arc::clone(&requests) };
        // Ends with the test program.
        thread::spawn(move || {
            let mut held = Vec::new();
            for (count, connection) in listener.incoming().enumerate() {
                let mut connection = connection.unwrap();
                requests.lock().unwrap().push(request(&connection));
                match &script[count.min(script.len() - 1)] {
                    Reply::Bytes(bytes) => drop(connection.write_all(bytes)),
                    Reply::Hang => held.push(connection),
                    Reply::HangUp => {}
                }
            }
        });
        app
    }

    fn poll(&self, within: Duration) -> (Seen, Vec<String>) {
        let mut tried = Vec::new();
        let probe = Probe { url: self.url.clone(), within };
        let seen = poll(&probe, &expected(), &Secrets::of([]), &Vars::default(), &Signals::none(), &mut |why| {
            tried.push(why.to_owned());
        });
        (seen, tried)
    }

    /// Why one attempt, with as much time as it needs, brings no answer.
    fn no_answer(&self) -> String {
        match judge(call(&agent(&self.url, &Vars::default()).unwrap(), &self.url, LONG), &expected(), &Secrets::of([]))
        {
            Seen::Unreachable { why } => why,
            other @ (Seen::Proved | Seen::NotProved | Seen::Unhealthy { .. } | Seen::Stopped(_)) => panic!("{other:?}"),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn request(connection: &TcpStream) -> String {
    let lines = BufReader::new(connection).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn http(status: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body.as_bytes()].concat())
}

fn ok(body: &Value) -> Reply {
    http("200 OK", &body.to_string())
}

fn key() -> LicenseKey {
    LicenseKey::parse("TO-DEV-0123456789abcdef").unwrap()
}

fn expected() -> Expected {
    Expected {
        plan: Some("pro".to_owned()),
        features: BTreeSet::from(["sso".to_owned()]),
        expires_at: Some("2030-01-01T00:00:00Z".parse().unwrap()),
        key_fingerprint: Some(key().fingerprint()),
        release: Some("r1".to_owned()),
    }
}

fn healthy() -> Value {
    json!({
        "valid": true, "plan": "pro", "features": ["sso", "more"], "expiresAt": "2030-01-01T00:00:00Z",
        "keyFingerprint": key().fingerprint().to_string(), "release": "r1",
    })
}

#[test]
fn a_healthy_application_is_asked_once() {
    let app = App::new(vec![ok(&healthy())]);
    assert_eq!(app.poll(LONG), (Seen::Proved, vec![]));
    let requests = app.requests();
    assert_eq!(requests.len(), 1);
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("get /api/license/status http/1.1\n"), "{request}");
    assert!(request.contains("accept: application/json"), "{request}");
    assert!(!request.contains("authorization") && !request.contains("accept-encoding"), "{request}");
}

#[test]
fn an_application_that_does_not_say_which_deploy_it_is_proves_nothing() {
    let app = App::new(vec![ok(&json!({ "valid": true, "features": { "sso": true } }))]);
    assert_eq!(app.poll(LONG).0, Seen::NotProved);
}

#[test]
fn it_may_become_healthy_later() {
    let old = json!({ "valid": true, "features": ["sso"], "release": "r0" });
    let app = App::new(vec![Reply::HangUp, http("503 Starting", "wait"), ok(&old), ok(&healthy())]);
    let (seen, tried) = app.poll(LONG);
    assert_eq!(seen, Seen::Proved);
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert_eq!(tried[1], "it answered 503");
}

#[test]
fn one_that_stays_different_is_unhealthy() {
    let app = App::new(vec![ok(&json!({ "valid": true, "plan": "free", "features": [] }))]);
    let (Seen::Unhealthy { differences }, tried) = app.poll(SHORT) else { panic!("it differs") };
    let fields: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(fields, ["plan", "features"]);
    assert!(tried.len() > 1, "it was asked again");
}

#[test]
fn one_that_says_no_with_an_error_status_is_unhealthy() {
    let app = App::new(vec![http("503 Service Unavailable", r#"{"valid":false}"#)]);
    assert!(matches!(app.poll(SHORT).0, Seen::Unhealthy { .. }));
}

#[test]
fn a_yes_with_an_error_status_is_not_a_yes() {
    assert_eq!(App::new(vec![http("500 Oops", &healthy().to_string())]).no_answer(), "it answered 500");
}

#[test]
fn one_that_hangs_is_unreachable_in_time() {
    let start = Instant::now();
    let (Seen::Unreachable { why }, tried) = App::new(vec![Reply::Hang]).poll(SHORT) else { panic!("it hangs") };
    assert_eq!(tried.last(), Some(&why));
    assert!(why.starts_with("no whole answer within"), "{why}");
    assert!(start.elapsed() < SOON);
}

#[test]
fn what_cannot_be_read_is_unreachable() {
    for (reply, expected) in [
        (http("200 OK", "<!doctype html><p>hello"), "it answered 200, but not with a JSON object"),
        (http("200 OK", "[]"), "it answered 200, but not with a JSON object"),
        (http("200 OK", &"[".repeat(60_000)), "it answered 200, but not with a JSON object"),
        (http("200 OK", &format!("\"{}\"", "x".repeat(10_000_000))), "the answer is longer than 65536 bytes"),
        (http("404 Not Found", "{}"), "it answered 404"),
        (http("200 OK", r#"{"valid":false,"valid":true,"features":["sso"]}"#), "stands twice"),
        (http("503 Busy", r#"{"valid":false,"valid":false}"#), "stands twice"),
        (Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()), ""),
        (Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"valid\":true".to_vec()), ""),
    ] {
        let why = App::new(vec![reply]).no_answer();
        assert!(why.contains(expected) && !why.contains(char::is_control), "{why}");
    }
}

#[test]
fn nothing_that_listens_is_unreachable() {
    #[expect(clippy::disallowed_methods, reason = "the test needs a port on which nothing listens")]
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let probe = Probe { url: format!("http://127.0.0.1:{port}/"), within: Duration::from_millis(300) };
    let seen = poll(&probe, &expected(), &Secrets::of([]), &Vars::default(), &Signals::none(), &mut |_| ());
    let Seen::Unreachable { why } = seen else { panic!("{seen:?}") };
    assert_eq!(why, "the connection was refused: nothing listens there");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = App::new(vec![ok(&healthy())]);
    let head =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", elsewhere.url);
    let why = App::new(vec![Reply::Bytes(head.into_bytes())]).no_answer();
    assert!(why.starts_with("it answered 302: redirects are not followed"), "{why}");
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[test]
fn a_signal_ends_the_polling() {
    for reply in [Reply::Hang, http("503 Busy", "")] {
        let app = App::new(vec![reply]);
        let signals = Signals::none();
        let probe = Probe { url: app.url.clone(), within: LONG };
        let start = Instant::now();
        let seen = thread::scope(|scope| {
            let polling =
                scope.spawn(|| poll(&probe, &expected(), &Secrets::of([]), &Vars::default(), &signals, &mut |_| ()));
            while app.requests().is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            signals.note(Stop::Terminate, Instant::now());
            polling.join().unwrap()
        });
        assert_eq!(seen, Seen::Stopped(Stop::Terminate));
        assert!(start.elapsed() < ATTEMPT_MAX, "it did not wait for the answer");
    }
}

#[test]
fn only_safe_addresses_are_asked() {
    for url in [
        "https://app.com/api/license/status",
        "https://app.com:8443/",
        "HTTPS://app.com/",
        "http://localhost:3000/api/license/status",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://127.0.0.1:1/",
        "http://127.9.9.9/",
        "http://[::1]:3000/",
    ] {
        assert_eq!(objection(url), None, "{url}");
    }
    for url in [
        "http://app.com/",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://notlocalhost/",
        "http://10.0.0.1/",
        "https://user:password@app.com/",
        "http://localhost:3000@evil.example/",
        "app.com/status",
        "/status",
        "ftp://app.com/",
        "not a url",
        "",
    ] {
        assert!(objection(url).is_some(), "{url}");
    }
}

fn read_fields(fields: &Value) -> Reported {
    reported(fields.as_object().unwrap(), &Secrets::of([]))
}

#[test]
fn an_application_that_repeats_a_secret_does_not_get_it_into_a_message() {
    let app = App::new(vec![ok(
        &json!({ "valid": true, "plan": "TO-PRD-secret", "features": ["sso"], "release": "x TO-PRD-secret" }),
    )]);
    let probe = Probe { url: app.url.clone(), within: SHORT };
    let mut tried = Vec::new();
    let secrets = Secrets::of(["TO-PRD-secret"]);
    let seen =
        poll(&probe, &expected(), &secrets, &Vars::default(), &Signals::none(), &mut |why| tried.push(why.to_owned()));
    let Seen::Unhealthy { differences } = seen else { panic!("it differs") };
    assert_eq!(differences.len(), 2, "{differences:?}");
    assert!(!format!("{differences:?} {tried:?}").contains("secret"), "{differences:?} {tried:?}");
}

#[test]
fn a_field_of_another_type_is_not_reported_and_what_should_prove_the_deploy_is_named() {
    let not_readable =
        |fields: &[&'static str]| Reported { not_readable: fields.iter().copied().collect(), ..Reported::default() };
    for (fields, expected) in [
        (json!({}), Reported::default()),
        (
            json!({ "valid": "true", "plan": 3, "features": 5, "expiresAt": true, "keyFingerprint": 1, "release": [] }),
            not_readable(&["keyFingerprint", "release"]),
        ),
        (
            json!({ "keyFingerprint": "TO-DEV-0123456789abcdef", "expiresAt": "soon" }),
            not_readable(&["keyFingerprint"]),
        ),
        (json!({ "keyFingerprint": null, "key_fingerprint": "", "release": "" }), Reported::default()),
        (json!({ "valid": false }), Reported { valid: Some(false), ..Reported::default() }),
    ] {
        assert_eq!(read_fields(&fields), expected, "{fields}");
    }
}

#[test]
fn features_are_an_array_or_a_map() {
    let read = |features: Value| read_fields(&json!({ "features": features })).features;
    let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(read(json!(["a", "b"])), some(&["a", "b"]));
    assert_eq!(read(json!("a,b")), some(&["a", "b"]));
    assert_eq!(read(json!(["a", "b", 3])), None, "a list that cannot be read is not a shorter list");
    assert_eq!(read(json!({ "a": true, "b": false, "c": 5, "d": 0, "e": null })), some(&["a", "c"]));
    assert_eq!(read(json!([])), some(&[]), "none is an answer");
    assert_eq!(read(Value::Null), None);
}

#[test]
fn the_expiry_is_read_in_every_form() {
    let read = |fields: Value| read_fields(&fields).expires_at;
    let new_year = Some("2030-01-01T00:00:00Z".parse().unwrap());
    for fields in [
        json!({ "expiresAt": "2030-01-01T00:00:00Z" }),
        json!({ "expires_at": "2030-01-01T01:00:00+01:00" }),
        json!({ "expires": "2029-12-31" }),
        json!({ "expiresAt": null, "expires": 1_893_456_000 }),
        json!({ "expires": 1_893_456_000_000_i64 }),
    ] {
        assert_eq!(read(fields.clone()), new_year, "{fields}");
    }
    for nothing in [json!(0), json!(-1), json!(20_291_231), json!(1e300), json!(i64::MAX), json!("")] {
        assert_eq!(read(json!({ "expires": nothing })), None, "{nothing}");
    }
}
