//! The raw server does what it is told. Beside it, and not in it, because the unit tests of the product include it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{Answer, Proxy, RawServer, http};

fn ask(url: &str) -> Option<http::Reply> {
    http::send(&http::agent(), "POST", url, Some("to_live_x"), Some(&json!({ "key": "k" })))
}

#[test]
fn answers_come_in_turn_and_the_last_one_is_repeated() {
    let server = RawServer::script([Answer::text(500, "text/plain", ""), Answer::json(200, &json!({ "valid": true }))]);
    let statuses = [(); 3].map(|()| ask(&server.url()).unwrap().status);
    assert_eq!(statuses, [500, 200, 200]);
    let requests = server.requests();
    assert_eq!((requests.len(), server.connections()), (3, 3));
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/api/v1"));
    assert_eq!(requests[0].json(), json!({ "key": "k" }));
    assert_eq!(requests[0].header("authorization"), Some("Bearer to_live_x"));
}

#[test]
fn a_broken_answer_is_no_answer() {
    let half = Answer::Half { body: r#"{"valid":true}"#.to_owned(), of: 100 };
    for answer in [half, Answer::Reset, Answer::Bytes(Vec::new()), Answer::Bytes(b"SSH-2.0\r\n".to_vec())] {
        let name = format!("{answer:?}");
        assert!(ask(&RawServer::script([answer]).url()).is_none(), "{name}");
    }
}

#[test]
fn a_reset_is_seen_as_one() {
    let server = RawServer::script([Answer::Reset]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_huge_body_has_the_size_it_says_and_is_json() {
    let body = ask(&RawServer::script([Answer::Huge { bytes: 100_000 }]).url()).unwrap().body;
    assert_eq!(body.len(), 100_000);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["valid"], true);
}

#[test]
fn a_hang_lasts_as_long_as_the_client_waits() {
    let server = RawServer::script([Answer::Hang]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let started = Instant::now();
    stream.read(&mut [0; 10]).unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_proxy_passes_everything_on_and_counts() {
    let server = RawServer::script([Answer::json(200, &json!({ "valid": true }))]);
    let proxy = Proxy::to(&server.url());
    assert_eq!(ask(&proxy.url()).unwrap().json(), json!({ "valid": true }));
    assert_eq!(ask(&proxy.url()).unwrap().status, 200);
    assert_eq!((proxy.connections(), proxy.connections_at_once(), server.connections()), (2, 1, 2));
}
