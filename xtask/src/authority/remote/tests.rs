//! Calls to a real server on this machine, and to none.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use license_core::license::Answer as Said;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "TO-PRD-secret-0123456789";
pub(super) const TOKEN: &str = "sk_live_secret_0123456789";
const YES: &str = r#"{"valid":true}"#;
const NO: &str = r#"{"valid":false,"code":"LICENSE_NOT_FOUND"}"#;

/// A server of one test: a script says what each request, counted from 1, gets.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    /// Bytes of floods that went out.
    flooded: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) enum Act {
    /// This, and the connection stays open.
    Answer(String),
    /// This, and the connection is closed.
    AnswerAndClose(String),
    /// Nothing, until the client goes away.
    Hang,
    /// This head, and then so many bytes.
    Flood(String, u64),
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the test is the server")]
    pub(super) fn start(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (script, shared) = (Arc::new(script), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&shared));
                thread::spawn(move || serve(&stream, &*script, &seen));
            }
        });
        Self { address, seen }
    }

    pub(super) fn answers(answer: String) -> Self {
        Self::start(move |_| Act::Answer(answer.clone()))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(super) fn remote(&self) -> Remote {
        remote(access(&self.url()))
    }
}

/// Serves one connection until either side closes it.
fn serve(stream: &TcpStream, script: &dyn Fn(usize) -> Act, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let request = read_request(&mut reader)?;
        let number = {
            let mut requests = seen.requests.lock().unwrap();
            requests.push(request);
            requests.len()
        };
        match script(number) {
            Act::Answer(answer) => writer.write_all(answer.as_bytes()).ok()?,
            Act::AnswerAndClose(answer) => return writer.write_all(answer.as_bytes()).ok(),
            Act::Hang => return reader.read(&mut [0]).ok().map(|_| ()),
            Act::Flood(head, bytes) => {
                writer.write_all(head.as_bytes()).ok()?;
                let chunk = [b' '; 16 * 1024];
                for _ in 0..bytes / chunk.len() as u64 {
                    writer.write_all(&chunk).ok()?;
                    seen.flooded.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                }
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}

pub(super) fn http(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

pub(super) fn access(url: &str) -> Access {
    Access {
        url: url.to_owned(),
        token: Some(Zeroizing::new(TOKEN.to_owned())),
        token_from: "the variable `TO_API_KEY`".to_owned(),
        ca_pem: None,
        dialect: Dialect::Article,
        timeout: Duration::from_secs(10),
        connections_max: 8,
        clock: || "2027-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub(super) fn remote(access: Access) -> Remote {
    Remote::new(access, &Vars::default(), None).unwrap()
}

fn ask(remote: &Remote) -> Result<Reply, AskError> {
    let key = LicenseKey::parse(KEY).unwrap();
    let domain = Domain::parse("app.com").unwrap();
    remote.validate(&key, &domain)
}

fn accepted(reply: Result<Reply, AskError>) -> bool {
    matches!(reply.unwrap().license.answer, Said::Accepted { .. })
}

/// The message and the help, which show no secret.
fn shown(error: &AskError) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    let all = format!("{error}\n{help}\n{error:?}");
    assert!(!all.to_lowercase().contains("secret"), "{all}");
    all
}

#[test]
fn the_request_is_what_the_api_wants() {
    let server = Server::answers(http(200, "", YES));
    assert!(accepted(ask(&server.remote())));
    let requests = server.requests();
    let [Request { head, body }] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert!(head.starts_with("POST /api/v1/validate HTTP/1.1\r\n"), "{head}");
    let headers: Vec<_> = head.lines().skip(1).map(str::to_ascii_lowercase).collect();
    for line in [
        format!("authorization: bearer {TOKEN}"),
        "accept: application/json".to_owned(),
        "content-type: application/json".to_owned(),
        format!("user-agent: license-hooks/{}", env!("CARGO_PKG_VERSION")),
        format!("content-length: {}", body.len()),
    ] {
        assert_eq!(headers.iter().filter(|header| **header == line).count(), 1, "{line} in {head}");
    }
    assert!(!headers.iter().any(|header| header.starts_with("expect:") || header.starts_with("accept-encoding:")));
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body, json!({"key": KEY, "token": KEY, "domain": "app.com"}));
}

#[test]
fn without_a_token_there_is_no_authorization() {
    let server = Server::answers(http(200, "", YES));
    assert!(accepted(ask(&remote(Access { token: None, ..access(&server.url()) }))));
    assert!(!server.requests()[0].head.to_ascii_lowercase().contains("authorization"));
}

#[test]
fn a_slash_at_the_end_of_the_address_does_not_double() {
    let server = Server::answers(http(200, "", YES));
    assert!(accepted(ask(&remote(access(&format!("{}/", server.url()))))));
    assert!(server.requests()[0].head.starts_with("POST /api/v1/validate "));
}

#[test]
fn a_refusal_is_an_answer_and_is_asked_for_once() {
    for status in [200, 403, 404] {
        let server = Server::answers(http(status, "", NO));
        let reply = ask(&server.remote()).unwrap();
        let code = Some("LICENSE_NOT_FOUND".to_owned());
        assert_eq!(reply.license.answer, Said::Refused { code, message: None });
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn the_clocks_are_compared() {
    let server = Server::answers(http(200, "Date: Sat, 02 Jan 2027 00:00:00 GMT\r\n", YES));
    assert_eq!(ask(&server.remote()).unwrap().authority_ahead, Some(SignedDuration::from_hours(24)));
    let silent = Server::answers(http(200, "", YES));
    assert_eq!(ask(&silent.remote()).unwrap().authority_ahead, None);
}

#[test]
fn an_error_of_the_server_is_asked_again() {
    for status in [500, 502, 503, 408] {
        let trouble = http(status, "", "<html>");
        let server = Server::start(move |n| Act::Answer(if n < 3 { trouble.clone() } else { http(200, "", YES) }));
        assert!(accepted(ask(&server.remote())));
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[test]
fn three_attempts_are_enough() {
    let server = Server::answers(http(502, "Content-Type: text/html\r\n", "oops"));
    let error = ask(&server.remote()).unwrap_err();
    assert_eq!(server.requests().len(), 3);
    assert_eq!(error.stable_code(), "unreachable");
    let shown = shown(&error);
    assert!(shown.contains("status 502, and an HTML page (3 attempts)") && shown.contains(&server.url()), "{shown}");
}

#[test]
fn what_asking_again_would_not_change_is_asked_once() {
    let rows = [
        (200, "{}", "protocol_error", "no `valid`"),
        (200, "<html>", "protocol_error", "an HTML page"),
        (400, NO, "protocol_error", "status 400"),
        (401, "{}", "credential", "`TO_API_KEY`"),
        (403, "{}", "credential", "`TO_API_KEY`"),
        (404, "no", "not_the_api", "ends in `/api/v1`"),
        (429, r#"{"code":"QUOTA_EXCEEDED","message":"500 used"}"#, "quota_exceeded", "500 used"),
        (200, r#"{"valid":false,"code":"AUTH_FAILED"}"#, "credential", "AUTH_FAILED"),
    ];
    for (status, body, code, words) in rows {
        let server = Server::answers(http(status, "", body));
        let error = ask(&server.remote()).unwrap_err();
        assert_eq!((error.stable_code(), server.requests().len()), (code, 1), "{status} {body}");
        assert!(shown(&error).contains(words), "{}", shown(&error));
    }
}

#[test]
fn a_missing_token_is_asked_for() {
    let server = Server::answers(http(401, "", "{}"));
    let error = ask(&remote(Access { token: None, ..access(&server.url()) })).unwrap_err();
    assert!(shown(&error).contains("name one as `token`"), "{}", shown(&error));
}

#[test]
fn a_server_that_echoes_the_secrets_does_not_get_them_shown() {
    let echo = json!({"message": format!("no {KEY}, {TOKEN}"), "code": KEY}).to_string();
    for status in [200, 400, 401, 403, 404] {
        let server = Server::answers(http(status, "", &echo));
        let error = ask(&server.remote()).unwrap_err();
        assert!(shown(&error).contains("[masked]"), "{status}");
    }
}

#[test]
fn a_rate_limit_is_waited_for() {
    let server =
        Server::start(|n| Act::Answer(if n == 1 { http(429, "Retry-After: 1\r\n", "{}") } else { http(200, "", YES) }));
    let begun = Instant::now();
    assert!(accepted(ask(&server.remote())));
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_rate_limit_beyond_the_bound_is_not_waited_for() {
    let server = Server::answers(http(429, "Retry-After: 3600\r\n", r#"{"error":"slow down"}"#));
    let remote = server.remote();
    let error = ask(&remote).unwrap_err();
    assert!(shown(&error).contains("slow down (1 attempt)"), "{}", shown(&error));
    assert!(
        shown(&error).contains("before 2027-01-01T00:59:59Z") || shown(&error).contains("before 2027-01-01T01:00:00Z")
    );
    // Nor does the next call run into it again.
    assert_eq!(ask(&remote).unwrap_err().stable_code(), "unreachable");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_rate_limit_that_one_thread_meets_holds_the_others_back() {
    let server = Server::answers(http(200, "", YES));
    let remote = server.remote();
    remote.client.pace.hold(Duration::from_millis(400));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(accepted(ask(&remote))));
        }
    });
    assert!(begun.elapsed() >= Duration::from_millis(390));
}

#[test]
fn the_last_request_of_a_rate_limit_makes_the_next_one_wait() {
    let server = Server::answers(http(200, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n", YES));
    let remote = server.remote();
    let begun = Instant::now();
    assert!(accepted(ask(&remote)));
    assert!(accepted(ask(&remote)));
    assert!(begun.elapsed() >= Duration::from_millis(990));
}

#[test]
fn a_refused_connection_is_tried_three_times() {
    #[expect(clippy::disallowed_methods, reason = "the test is the server, which goes away")]
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(&remote(access(&format!("http://{address}/api/v1")))).unwrap_err();
    assert_eq!(error.stable_code(), "unreachable");
    let shown = shown(&error);
    assert!(shown.contains("connection refused by") && shown.contains("(3 attempts)"), "{shown}");
}

#[test]
fn a_server_that_hangs_is_left_within_the_bound() {
    let server = Server::start(|_| Act::Hang);
    let begun = Instant::now();
    let timeout = Duration::from_millis(300);
    let error = ask(&remote(Access { timeout, ..access(&server.url()) })).unwrap_err();
    assert_eq!(error.stable_code(), "unreachable");
    assert!(shown(&error).contains("within 300ms"), "{}", shown(&error));
    assert!((2..=3).contains(&server.requests().len()));
    assert!(begun.elapsed() >= timeout * 2 && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_signal_ends_a_call_that_hangs() {
    let server = Server::start(|_| Act::Hang);
    let signals = Signals::none();
    let remote = watching(&server, &signals);
    let begun = Instant::now();
    let error = thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&remote).unwrap_err());
        while server.requests().is_empty() && !asked.is_finished() {
            thread::yield_now();
        }
        signals.note(Stop::Interrupt, Instant::now());
        asked.join().unwrap()
    });
    assert!(matches!(error, AskError::Stopped(Stop::Interrupt)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_signal_ends_the_wait_for_a_rate_limit() {
    let server = Server::answers(http(429, "Retry-After: 20\r\n", "{}"));
    let signals = Signals::none();
    let remote = watching(&server, &signals);
    let begun = Instant::now();
    let error = thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&remote).unwrap_err());
        while remote.client.pace.left().is_none() && !asked.is_finished() {
            thread::yield_now();
        }
        signals.note(Stop::Terminate, Instant::now());
        asked.join().unwrap()
    });
    assert!(matches!(error, AskError::Stopped(Stop::Terminate)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn after_a_signal_nothing_is_asked() {
    let server = Server::answers(http(200, "", YES));
    let signals = Signals::none();
    signals.note(Stop::Interrupt, Instant::now());
    let error = ask(&watching(&server, &signals)).unwrap_err();
    assert!(matches!(error, AskError::Stopped(Stop::Interrupt)), "{error:?}");
    assert_eq!(server.requests().len(), 0);
}

fn watching(server: &Server, signals: &Signals) -> Remote {
    Remote::new(access(&server.url()), &Vars::default(), Some(signals.clone())).unwrap()
}

#[test]
fn half_an_answer_is_none_and_is_asked_for_again() {
    let whole = http(200, "", YES);
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"valid\":true",
        "HTTP/1.1 200 OK\r\n\r\n{\"valid\":tr",
        "HTTP",
        "",
    ] {
        let whole = whole.clone();
        let server =
            Server::start(
                move |n| if n == 1 { Act::AnswerAndClose(cut.to_owned()) } else { Act::Answer(whole.clone()) },
            );
        assert!(accepted(ask(&server.remote())));
        assert_eq!(server.requests().len(), 2, "{cut}");
    }
}

#[test]
fn half_an_answer_each_time_is_no_answer() {
    let server = Server::start(|_| {
        Act::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"valid\":true".to_owned())
    });
    let error = ask(&server.remote()).unwrap_err();
    assert_eq!((error.stable_code(), server.requests().len()), ("unreachable", 3));
}

#[test]
fn a_body_that_is_too_long_is_not_read_to_its_end() {
    const FLOOD: u64 = 40 * 1024 * 1024;
    for head in ["HTTP/1.1 200 OK\r\nContent-Length: 41943040\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let server = Server::start(|_| Act::Flood(head.to_owned(), FLOOD));
        let error = ask(&server.remote()).unwrap_err();
        assert_eq!((error.stable_code(), server.requests().len()), ("protocol_error", 1));
        assert!(shown(&error).contains("longer than 262144 bytes"), "{}", shown(&error));
        // What is beyond the limit lies in the buffers of the system.
        assert!(server.seen.flooded.load(Ordering::SeqCst) < FLOOD / 2);
    }
}

#[test]
fn a_header_that_is_too_long_is_not_read_to_its_end() {
    let long = format!("X-Long: {}\r\n", "x".repeat(HEADER_BYTES_MAX));
    let server = Server::answers(http(200, &long, YES));
    let error = ask(&server.remote()).unwrap_err();
    assert_eq!((error.stable_code(), server.requests().len()), ("protocol_error", 1));
    assert!(shown(&error).contains("header is longer than 65536 bytes"), "{}", shown(&error));
}

#[test]
fn a_server_that_does_not_speak_http_is_asked_once() {
    let server = Server::start(|_| Act::AnswerAndClose("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned()));
    let error = ask(&server.remote()).unwrap_err();
    assert_eq!((error.stable_code(), server.requests().len()), ("protocol_error", 1));
    assert!(shown(&error).contains("does not speak HTTP"), "{}", shown(&error));
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::answers(http(200, "", YES));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/validate?key=secret\r\n", other.url());
        let server = Server::answers(http(status, &location, ""));
        let error = ask(&server.remote()).unwrap_err();
        assert_eq!((error.stable_code(), server.requests().len()), ("protocol_error", 1));
        assert!(shown(&error).contains(&format!("redirects to `{}`", other.address)), "{}", shown(&error));
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn one_thread_keeps_one_connection() {
    let server = Server::answers(http(200, "", YES));
    let remote = server.remote();
    for _ in 0..20 {
        assert!(accepted(ask(&remote)));
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 20));
}

#[test]
fn eight_threads_keep_eight_connections() {
    let server = Server::answers(http(200, "", YES));
    let remote = server.remote();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert!(accepted(ask(&remote)))));
        }
    });
    assert_eq!(server.requests().len(), 160);
    assert!(server.connections() <= 8, "{} connections", server.connections());
}

#[test]
fn a_connection_that_the_server_closed_is_replaced() {
    let server = Server::start(|_| Act::AnswerAndClose(http(200, "", YES)));
    let remote = server.remote();
    for _ in 0..5 {
        assert!(accepted(ask(&remote)));
    }
}

#[test]
fn loopback_is_asked_without_a_proxy() {
    let server = Server::answers(http(200, "", YES));
    let proxy = Server::answers(http(200, "", YES));
    let named = format!("http://{}", proxy.address);
    let vars = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "http_proxy"].map(|name| (name, named.as_str()));
    let remote = Remote::new(access(&server.url()), &vars.into_iter().collect(), None).unwrap();
    assert!(accepted(ask(&remote)));
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_and_never_sees_the_token() {
    for (status, attempts) in [(502, 3), (407, 1)] {
        let proxy = Server::answers(http(status, "", ""));
        let vars = [("HTTPS_PROXY", format!("http://me:hunter2@{}", proxy.address))].into_iter().collect();
        let remote = Remote::new(access("https://authority.invalid/api/v1"), &vars, None).unwrap();
        let error = ask(&remote).unwrap_err();
        assert_eq!((error.stable_code(), proxy.requests().len()), ("unreachable", attempts));
        let shown = shown(&error);
        let named = format!("the proxy `{}` of `HTTPS_PROXY`", proxy.address);
        assert!(shown.contains(&named) && shown.contains(&status.to_string()) && !shown.contains("hunter2"), "{shown}");
        for Request { head, body } in proxy.requests() {
            assert!(head.starts_with("CONNECT authority.invalid:443 HTTP/1.1\r\n"), "{head}");
            assert!(!head.contains("Bearer") && !head.contains("secret") && body.is_empty(), "{head}");
        }
    }
}

#[test]
fn a_port_without_tls_is_told_apart_and_asked_once() {
    let error = ask(&remote(access(&format!("https://{}/api/v1", plain_greeter())))).unwrap_err();
    assert_eq!(error.stable_code(), "unreachable");
    let shown = shown(&error);
    assert!(shown.contains("no TLS connection") && shown.contains("whether https is spoken there"), "{shown}");
    assert!(!shown.contains("attempts"), "{shown}");
}

/// A server that greets in plain text, as mail servers do.
#[expect(clippy::disallowed_methods, reason = "the test is the server")]
pub(super) fn plain_greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    address
}

#[test]
fn a_set_up_that_cannot_work_is_said_before_anything_is_sent() {
    let server = Server::answers(http(200, "", YES));
    let wrong = [
        Access { token: Some(Zeroizing::new("secret\nx".to_owned())), ..access(&server.url()) },
        Access { ca_pem: Some(b"secret".to_vec()), ..access("https://app.com") },
        access("http://app.com/api/v1"),
    ];
    for access in wrong {
        let error = Remote::new(access, &Vars::default(), None).unwrap_err();
        assert_eq!(error.stable_code(), "setup");
        shown(&error);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn the_client_does_not_show_its_token() {
    let shown = format!("{:?}", remote(access("http://127.0.0.1:1/api/v1")));
    assert!(shown.contains("127.0.0.1") && !shown.contains("secret"), "{shown}");
}

#[test]
fn names_and_certificates_are_named_when_they_fail() {
    let route = Route { base: Base::parse("https://app.com").unwrap(), via: None };
    let bounds = bounds(Duration::from_secs(10));
    let io = |kind, text: &str| route.missed(ureq::Error::Io(std::io::Error::new(kind, text.to_owned())), bounds);
    let name = io(std::io::ErrorKind::Other, "failed to lookup address information: Name or service not known");
    assert!(matches!(name, Missed::Again(Trouble { why, .. }) if why.contains("`app.com` could not be resolved")));
    let certificate = io(std::io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
    assert!(matches!(certificate, Missed::Final(AskError::Unreachable { next, .. }) if next.contains("`ca_file`")));
    let slow = route.missed(ureq::Error::Timeout(ureq::Timeout::Connect), bounds);
    assert!(matches!(slow, Missed::Again(Trouble { why, .. }) if why.contains("within 5s")));
}

#[test]
fn the_bounds() {
    let secs = Duration::from_secs;
    assert_eq!((total(secs(10)), total(secs(1))), (secs(30), secs(3)));
    assert_eq!((total(secs(30)), total(secs(90))), (secs(60), secs(90)));
    assert_eq!(bounds(Duration::MAX).call, secs(CALL_SECS_MAX));
    assert_eq!(bounds(secs(1)).connect, secs(1));
    let pause = |attempts| Tried { attempts, trouble: Trouble { why: String::new(), next: String::new() } }.pause();
    for _ in 0..20 {
        assert!(pause(1) <= Duration::from_millis(200) && pause(2) <= Duration::from_millis(400));
        assert_eq!(pause(ATTEMPTS_MAX), Duration::ZERO);
    }
}
