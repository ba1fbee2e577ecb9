//! Rotations sent to real servers on this machine, and to none. Every row also counts the requests.

use std::{net::TcpListener, thread, time::Instant};

use super::*;
use crate::{
    authority::{
        remote::{
            Access,
            tests::{Act, Request, Server, TOKEN, access, http, plain_greeter, remote},
        },
        wire::rotate::{Dialect, read_rotated},
    },
    signals::{Signals, Stop},
    vars::Vars,
};

const ROTATED: &str = r#"{"newKey":"TO-PRD-secret-NEW","expiresAt":"2027-01-31"}"#;

fn order(timeout: Duration) -> RotateOrder<'static> {
    RotateOrder { license_id: "lic/1", grace_days: 7, rotation_id: "rot-1", timeout }
}

fn rotate(remote: &Remote) -> Answered {
    remote.rotate(&order(Duration::from_secs(10)))
}

/// The outcome of a call without a body; it shows no secret.
fn no(answered: Answered) -> CallOutcome {
    let Answered::No(outcome) = answered else { panic!("a body") };
    assert!(!format!("{outcome:?}").to_lowercase().contains("secret"), "{outcome:?}");
    assert_ne!(outcome, CallOutcome::Body);
    outcome
}

fn body(answered: Answered) -> Vec<u8> {
    match answered {
        Answered::Body(body) => body.to_vec(),
        Answered::Cut(_) => panic!("it was cut off"),
        Answered::No(outcome) => panic!("{outcome:?}"),
    }
}

/// What came of a body that was cut off.
fn cut_off(answered: Answered) -> Vec<u8> {
    match answered {
        Answered::Cut(part) => part.to_vec(),
        Answered::Body(_) => panic!("it was taken for a whole one"),
        Answered::No(outcome) => panic!("{outcome:?}"),
    }
}

fn is_unknown(outcome: &CallOutcome) -> bool {
    matches!(outcome, CallOutcome::Unknown { .. })
}

#[test]
fn the_request_is_what_each_dialect_wants_and_nothing_else_is_sent() {
    for (dialect, path) in
        [(Dialect::Article, "/api/v1/licenses/rotate"), (Dialect::Sdk, "/api/v1/portal/licenses/lic%2F1/rotate")]
    {
        let server = Server::answers(http(200, "", ROTATED));
        let remote = remote(Access { dialect, ..access(&server.url()) });
        assert_eq!(body(rotate(&remote)), ROTATED.as_bytes());
        let requests = server.requests();
        let [Request { head, body }] = &requests[..] else { panic!("{} requests", requests.len()) };
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        let headers: Vec<_> = head.lines().map(str::to_ascii_lowercase).collect();
        for line in ["idempotency-key: rot-1", &format!("authorization: bearer {TOKEN}"), "connection: close"] {
            assert_eq!(headers.iter().filter(|header| *header == line).count(), 1, "{line} in {head}");
        }
        assert!(!headers.iter().any(|header| header.starts_with("expect:")), "{head}");
        assert_eq!(body, br#"{"licenseId":"lic/1","gracePeriodDays":7}"#);
    }
}

#[test]
fn every_rotation_has_a_connection_of_its_own() {
    let server = Server::answers(http(200, "", ROTATED));
    let remote = server.remote();
    for _ in 0..3 {
        body(rotate(&remote));
    }
    assert_eq!((server.connections(), server.requests().len()), (3, 3));
}

#[test]
fn each_status_has_its_meaning_and_is_asked_for_once() {
    let refused = |code: &str| CallOutcome::Refused { code: code.to_owned() };
    let unknown = |status: u16| CallOutcome::Unknown { why: format!("status {status}") };
    let wait = "Retry-After: 7\r\n";
    let rows = [
        (400, "", "", refused("status 400")),
        (401, "", r#"{"error":"AUTH_FAILED"}"#, refused("AUTH_FAILED")),
        (403, "", r#"{"code":"QUOTA_EXCEEDED","message":"secret"}"#, refused("QUOTA_EXCEEDED")),
        (404, "", "secret", refused("status 404")),
        (405, "", "", refused("status 405")),
        (413, "", "", refused("status 413")),
        (415, "", "", refused("status 415")),
        (418, "", "", refused("status 418")),
        (422, "", r#"{"code":"TO-PRD-secret"}"#, refused("status 422")),
        (408, "", "", unknown(408)),
        (409, "", "{}", CallOutcome::InProgress),
        (429, wait, "", CallOutcome::RetryAfter { secs: 7 }),
        (429, "", "", CallOutcome::RetryAfter { secs: 0 }),
        (503, wait, "", CallOutcome::RetryAfter { secs: 7 }),
        (503, "X-RateLimit-Reset: 9\r\n", "", unknown(503)),
        (500, wait, "secret", unknown(500)),
        (502, "", "<html>secret", unknown(502)),
        (504, "", "", unknown(504)),
        (599, "", "", unknown(599)),
        (200, "", "", unknown(200)),
        (204, "", "", unknown(204)),
        (304, "", "", unknown(304)),
    ];
    for (status, headers, body, expected) in rows {
        let server = Server::answers(http(status, headers, body));
        assert_eq!(no(rotate(&server.remote())), expected, "{status} {body}");
        assert_eq!((server.connections(), server.requests().len()), (1, 1), "{status}");
    }
}

#[test]
fn any_success_with_a_body_is_a_body_whatever_it_says() {
    for (status, text) in [(200, ROTATED), (201, "{"), (202, "<html>"), (200, r#"{"error":"no"}"#)] {
        let server = Server::answers(http(status, "", text));
        assert_eq!(body(rotate(&server.remote())), text.as_bytes());
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_redirect_is_not_followed_and_the_token_goes_to_one_host() {
    let other = Server::answers(http(200, "", ROTATED));
    for status in [301, 302, 303, 307, 308] {
        let server = Server::answers(http(status, &format!("Location: {}/secret\r\n", other.url()), ""));
        assert_eq!(no(rotate(&server.remote())), CallOutcome::Unknown { why: format!("status {status}") });
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn what_arrived_of_a_body_that_was_cut_off_is_handed_over() {
    for head in ["Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n80\r\n"] {
        let cut = format!("HTTP/1.1 200 OK\r\n{head}{ROTATED}");
        let server = Server::start(move |_| Act::AnswerAndClose(cut.clone()));
        assert_eq!(cut_off(rotate(&server.remote())), ROTATED.as_bytes(), "{head}");
        assert_eq!((server.connections(), server.requests().len()), (1, 1));
    }
}

#[test]
fn what_arrived_of_a_body_before_the_timeout_is_handed_over() {
    let late = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{ROTATED}");
    let server = Server::answers(late);
    assert_eq!(cut_off(server.remote().rotate(&order(Duration::from_millis(500)))), ROTATED.as_bytes());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_body_that_is_too_long_is_handed_over_as_far_as_it_was_read() {
    let server = Server::start(|_| Act::Flood("HTTP/1.1 200 OK\r\n\r\n".to_owned(), 40 << 20));
    assert_eq!(body(rotate(&server.remote())).len(), ANSWER_BYTES_MAX);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_answer_that_never_becomes_one_is_unknown() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(128 * 1024));
    let rows = [
        String::new(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_owned(),
        "SSH-2.0-secret\r\n\r\n".to_owned(),
        long,
    ];
    for text in rows {
        let said = text.clone();
        let server = Server::start(move |_| Act::AnswerAndClose(said.clone()));
        assert!(is_unknown(&no(rotate(&server.remote()))), "{text:.40}");
        assert_eq!((server.connections(), server.requests().len()), (1, 1), "{text:.40}");
    }
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let server = Server::answers(format!("HTTP/1.1 100 Continue\r\n\r\n{}", http(200, "", ROTATED)));
    assert_eq!(body(rotate(&server.remote())), ROTATED.as_bytes());
}

#[test]
fn no_answer_in_time_is_unknown_and_bounded() {
    let server = Server::start(|_| Act::Hang);
    let since = Instant::now();
    let outcome = no(server.remote().rotate(&order(Duration::from_millis(500))));
    assert_eq!(outcome, CallOutcome::Unknown { why: "no answer within 0.5 s".to_owned() });
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!((server.connections(), server.requests().len()), (1, 1));
}

/// A server that accepts and closes without reading: the request may or may not have been on its way.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test is the server")]
fn a_connection_that_is_closed_before_the_request_was_read_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        drop(listener.accept().unwrap());
        listener.set_nonblocking(true).unwrap();
        listener
    });
    assert!(is_unknown(&no(rotate(&remote(access(&url))))));
    assert!(server.join().unwrap().accept().is_err(), "there was a second connection");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test holds the port, and gives it back")]
fn nothing_was_sent_where_no_connection_was_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    for url in [
        format!("http://{closed}/api/v1"),
        "https://authority.invalid/api/v1".to_owned(),
        format!("https://{}/api/v1", plain_greeter()),
    ] {
        assert_eq!(no(rotate(&remote(access(&url)))), CallOutcome::NotSent, "{url}");
    }
}

#[test]
fn a_proxy_that_makes_no_tunnel_proves_that_nothing_was_sent() {
    let proxy = Server::answers(http(502, "", ""));
    let vars: Vars = [("HTTPS_PROXY", format!("http://{}", proxy.address))].into_iter().collect();
    let remote = Remote::new(access("https://authority.invalid/api/v1"), &vars, None).unwrap();
    assert_eq!(no(rotate(&remote)), CallOutcome::NotSent);
    let requests = proxy.requests();
    assert!(requests.iter().all(|request| request.head.starts_with("CONNECT ") && request.body.is_empty()));
    assert_eq!(requests.len(), 1);
}

#[test]
fn an_order_that_cannot_be_sent_is_not_sent() {
    let server = Server::answers(http(200, "", ROTATED));
    let secs = Duration::from_secs(10);
    let orders =
        [RotateOrder { license_id: "..", ..order(secs) }, RotateOrder { rotation_id: "a\r\nb: c", ..order(secs) }];
    for order in orders {
        assert_eq!(no(server.remote().rotate(&order)), CallOutcome::NotSent);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_signal_before_the_call_stops_it_and_one_during_it_does_not() {
    let signals = Signals::none();
    let during = signals.clone();
    let server = Server::start(move |_| {
        during.note(Stop::Terminate, Instant::now());
        Act::Answer(http(200, "", ROTATED))
    });
    let remote = Remote::new(access(&server.url()), &Vars::default(), Some(signals)).unwrap();
    let answered = body(rotate(&remote));
    assert_eq!(read_rotated(&answered).unwrap().key.reveal(), "TO-PRD-secret-NEW");
    assert_eq!(no(rotate(&remote)), CallOutcome::NotSent);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_list_is_asked_for_with_the_token_and_read_up_to_its_limit() {
    let server = Server::answers(http(200, "", r#"{"licenses":[{"license_id":"lic_1","license_key":"TO-****"}]}"#));
    let listed = server.remote().list().unwrap().licenses;
    assert_eq!(listed.iter().map(|license| license.license_id.as_str()).collect::<Vec<_>>(), ["lic_1"]);
    let head = &server.requests()[0].head;
    assert!(head.starts_with("GET /api/v1/portal/licenses HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("authorization: bearer {TOKEN}").to_ascii_lowercase()));
    let flood = Server::start(|_| Act::Flood("HTTP/1.1 200 OK\r\n\r\n".to_owned(), 40 << 20));
    let error = flood.remote().list().map(|_| ()).unwrap_err();
    assert_eq!((error.stable_code(), flood.requests().len()), ("protocol_error", 1));
    assert!(error.to_string().contains("1048576 bytes"), "{error}");
    for (status, code, requests) in
        [(401, "credential", 1), (404, "not_the_api", 1), (302, "protocol_error", 1), (500, "unreachable", 3)]
    {
        let server = Server::answers(http(status, "", ""));
        let error = server.remote().list().map(|_| ()).unwrap_err();
        assert_eq!((error.stable_code(), server.requests().len()), (code, requests), "{status}");
    }
}
