//! Networks and authorities that break. An outage never deploys by itself and never reads as a refusal.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use license_tests::{Answer, Authority, Grant, Project, Ran, RawServer, Trail, authority::TOKEN};
use serde_json::json;

use crate::{BINARY, KEY, Lines, asking, good, good_but, in_days, licensed, project};

/// Longer than every bound of a validation together, in seconds.
const PATIENCE_SECS: u64 = 25;

/// A deploy that could not find out: exit 11, this error, nothing deployed, recorded as such.
fn finds_out_nothing(name: &str, project: &Project, code: &str) -> Ran {
    let started = Instant::now();
    let ran = project.deploy_json().named(name);
    ran.exits(11).error(code).deploy_did_not_run().says_nothing_of("revoked");
    ran.never_shows(KEY).never_shows(TOKEN);
    assert!(started.elapsed() < Duration::from_secs(PATIENCE_SECS), "{name}: {:?}", started.elapsed());
    let trail = project.trail("production");
    assert_eq!(trail.kinds(), ["gate"], "{name}");
    let gate = trail.last("gate");
    assert_eq!((&gate["verdict"], &gate["source"]), (&json!("unknown"), &json!("nobody")), "{name}");
    assert_eq!(gate["trouble"]["code"], code, "{name}");
    ran
}

#[test]
fn nobody_listens() {
    let project = project().authority_at("http://127.0.0.1:9/api/v1").key(KEY);
    finds_out_nothing("refused", &project, "unreachable").verdict("unknown").says_one_of(&["refused", "connect"]);
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let server = RawServer::script([Answer::Hang]);
    let project = asking(&server).authority_line("timeout", r#""1s""#);
    finds_out_nothing("hangs", &project, "unreachable");
    assert!(server.requests().len() <= 3, "at most two retries");
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let rows = [
        ("half a body", Answer::Half { body: r#"{"valid":true,"#.into(), of: 200 }),
        ("a whole object of a longer body", Answer::Half { body: r#"{"valid":true}"#.into(), of: 200 }),
        ("half of an object that is as long as it says", Answer::text(200, "application/json", r#"{"valid":true"#)),
        ("no body", Answer::Half { body: String::new(), of: 200 }),
        ("half a head", Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        ("nothing", Answer::Bytes(Vec::new())),
        ("a reset", Answer::Reset),
    ];
    for (name, answer) in rows {
        let server = RawServer::script([answer]);
        finds_out_nothing(name, &asking(&server), "unreachable");
        assert!(server.requests().len() <= 3, "{name}: at most two retries");
    }
}

#[test]
fn a_server_that_does_not_speak_http_is_not_believed() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.7\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x02\x00"] {
        let server = RawServer::script([Answer::Bytes(bytes.to_vec())]);
        let ran = asking(&server).deploy();
        ran.exits(11).deploy_did_not_run();
    }
}

#[test]
fn a_server_error_is_an_outage() {
    let rows = [
        ("a web page of a proxy", Answer::text(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>")),
        ("500", Answer::json(500, &json!({ "error": "internal" }))),
        ("500 with a verdict", Answer::json(500, &good())),
        ("503", Answer::text(503, "text/plain", "")),
        ("504", Answer::text(504, "text/plain", "late")),
    ];
    for (name, answer) in rows {
        let server = RawServer::script([answer]);
        finds_out_nothing(name, &asking(&server), "unreachable").says_nothing_of("<html>");
        assert_eq!(server.requests().len(), 3, "{name}: an attempt without a verdict is retried twice");
    }
}

#[test]
fn an_attempt_without_a_verdict_is_retried() {
    let rows = [
        ("500", vec![Answer::text(500, "text/plain", ""), Answer::json(200, &good())]),
        ("two resets", vec![Answer::Reset, Answer::Reset, Answer::json(200, &good())]),
        ("502", vec![Answer::text(502, "text/html", "<html>"), Answer::json(200, &good())]),
    ];
    for (name, answers) in rows {
        let expected = answers.len();
        let server = RawServer::script(answers);
        let project = asking(&server);
        project.deploy_json().named(name).exits(0).verdict("go").deploy_ran();
        assert_eq!(server.requests().len(), expected, "{name}");
        assert_eq!(project.trail("production").kinds(), ["gate", "deploy_started", "deploy_ended"], "{name}");
    }
}

#[test]
fn a_verdict_is_never_asked_for_again() {
    for (name, answer) in [
        ("no", Answer::json(403, &json!({ "valid": false }))),
        ("401", Answer::json(401, &json!({ "error": "no" }))),
        ("no sense", Answer::json(200, &json!({}))),
    ] {
        let server = RawServer::script([answer, Answer::json(200, &good())]);
        asking(&server).deploy().exits_one_of(&[10, 11, 12]).deploy_did_not_run();
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[test]
fn a_rate_limit_is_waited_for_as_long_as_it_says() {
    let limit = Answer::with_headers(429, &[("retry-after", "1")], r#"{"error":"slow down"}"#);
    let server = RawServer::script([limit, Answer::json(200, &good())]);
    let started = Instant::now();
    asking(&server).deploy().exits(0).deploy_ran();
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_rate_limit_beyond_the_bound_is_not_waited_for() {
    let server =
        RawServer::script([Answer::with_headers(429, &[("retry-after", "86400")], r#"{"error":"slow down"}"#)]);
    finds_out_nothing("429", &asking(&server), "unreachable");
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let server = RawServer::script([Answer::Huge { bytes: 40 * 1024 * 1024 }]);
    finds_out_nothing("huge", &asking(&server), "protocol_error").says_one_of(&["large", "long", "big"]);
}

#[test]
fn a_redirect_is_not_followed_and_the_token_stays_here() {
    let elsewhere = RawServer::script([Answer::json(200, &good())]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/validate", elsewhere.url());
        let server = RawServer::script([Answer::with_headers(status, &[("location", &location)], "")]);
        finds_out_nothing(&status.to_string(), &asking(&server), "protocol_error").says("redirect");
    }
    assert_eq!(elsewhere.connections(), 0, "somebody followed");
}

#[test]
fn a_clock_that_differs_by_a_day_makes_times_unknown() {
    let authority = Authority::start(BINARY, &["--fault", "clock-skew=1d"]);
    let license = authority.issue(&Grant::default());
    let project = project().authority(&authority).key(&license.key);
    let ran = project.deploy_json();
    ran.exits(11).verdict("unknown").deploy_did_not_run().says("clock");
    let skewed = ["validity", "expiry_horizon"].into_iter().any(|check| ran.finding(check)["reason"] == "clock_skew");
    assert!(skewed, "{ran}");
    assert_eq!(project.trail("production").last("gate")["verdict"], "unknown");
}

#[test]
fn a_proxy_is_not_used_for_this_machine() {
    let dead = RawServer::script([Answer::Reset]);
    let (_authority, _, project) = licensed(&Grant::default());
    let proxy = format!("http://{}", dead.address());
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let project = names.iter().fold(project, |project, name| project.var(name, &proxy));
    project.deploy().exits(0).deploy_ran();
    assert_eq!(dead.connections(), 0);
}

#[test]
fn a_proxy_is_used_for_the_rest_of_the_world() {
    let proxy = RawServer::script([Answer::text(403, "text/plain", "blocked")]);
    let address = format!("http://{}", proxy.address());
    let project = project().authority_at("https://api.example.invalid/api/v1").key(KEY).var("HTTPS_PROXY", &address);
    project.deploy_json().exits(11).error("unreachable").deploy_did_not_run().never_shows(KEY).never_shows(TOKEN);
    let first = &proxy.requests()[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("CONNECT", "api.example.invalid:443"));
    assert!(proxy.requests().iter().all(|request| !format!("{request:?}").contains(TOKEN)), "the proxy saw the token");
}

#[test]
fn plain_http_to_another_machine_is_refused_before_anything_is_sent() {
    let project = project().authority_at("http://api.example.com/api/v1").key(KEY);
    project.deploy().exits(3).says("https").deploy_did_not_run();
}

/// An environment that accepts a cached answer, and its authority.
fn cached(age_max: &str) -> (Authority, Project) {
    let (authority, _, project) = licensed(&Grant::default());
    let project = project
        .line("unreachable", r#""cached""#)
        .line("cached_max_age", age_max)
        .top("[trail]\nephemeral = \"accepted\"\n");
    (authority, project)
}

#[test]
fn a_young_answer_in_the_trail_stands_in_for_an_outage_and_it_is_said() {
    let (mut authority, project) = cached(r#""24h""#);
    project.deploy().exits(0).deploy_ran();
    authority.kill();
    project.deploy().exits(0).says("cached").deploy_ran();
    assert_eq!(project.trail("production").last("gate")["source"], "cached");
}

#[test]
fn a_cached_answer_never_stands_in_for_what_it_was_not_given_for() {
    type Change = fn(Project) -> Project;
    let rows: [(&str, Change); 3] = [
        ("another key", |project| project.key("TO-PRD-another-key-altogether")),
        ("another domain", |project| project.line("domain", r#""other.app.com""#)),
        ("another demand", |project| project.line("features", r#"["sso"]"#)),
    ];
    for (name, change) in rows {
        let (mut authority, project) = cached(r#""24h""#);
        project.deploy().exits(0).deploy_ran();
        authority.kill();
        let ran = change(project).deploy();
        assert_eq!(ran.code(), 11, "{name}\n{ran}");
        ran.deploy_did_not_run();
    }
}

#[test]
fn a_cached_answer_is_used_until_it_is_too_old_and_never_from_the_future() {
    for (days, exit) in [(-1, 0), (-3, 11), (1, 11)] {
        let (mut authority, project) = cached(r#""48h""#);
        project.deploy().exits(0).deploy_ran();
        authority.kill();
        Trail::rewrite_at(&project.trail_file("production"), &in_days(days));
        project.deploy().named(&format!("{days} days")).exits(exit);
        assert_eq!(project.deploys(), if exit == 0 { 2 } else { 1 }, "{days} days");
    }
}

#[test]
fn a_cached_answer_is_not_used_after_a_refusal() {
    let revocable = RawServer::script([
        Answer::json(200, &good()),
        Answer::json(403, &json!({ "valid": false, "code": "revoked" })),
        Answer::Reset,
    ]);
    let project = asking(&revocable).line("unreachable", r#""cached""#).line("cached_max_age", r#""24h""#);
    project.deploy().exits(0).deploy_ran();
    project.deploy().exits(10).deploy_did_not_run();
    project.deploy().exits(11).deploy_did_not_run();
}

#[test]
fn a_cached_answer_does_not_stand_in_for_a_refused_token() {
    let server = RawServer::script([Answer::json(200, &good()), Answer::json(401, &json!({ "error": "no" }))]);
    let project = asking(&server).line("unreachable", r#""cached""#).line("cached_max_age", r#""24h""#);
    project.deploy().exits(0).deploy_ran();
    project.deploy().exits(12).deploy_did_not_run();
}

/// The secret key of RFC 8032's first test, and its public key: what the vendor signs offline tokens with, in these tests.
const SIGNER: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// An offline token for `app.com` with `analytics`, issued so many days ago.
fn offline_token(age_days: i64) -> String {
    let issued = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * age_days);
    let claims = json!({
        "iss": "trafficorchestrator.com", "aud": "license-offline", "sub": "lic_test", "plan": "enterprise", "dom": ["app.com"],
        "features": ["analytics"], "iat": issued.as_second(), "exp": 4_102_444_800_i64,
    });
    let head = json!({ "alg": "EdDSA", "typ": "JWT" });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let secret: Vec<_> = (0..32).map(|at| u8::from_str_radix(&SIGNER[2 * at..2 * at + 2], 16).unwrap()).collect();
    let signature = SigningKey::from_bytes(secret.as_slice().try_into().unwrap()).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// An environment whose authority is down, with an offline token to fall back on.
fn offline(token: &str) -> Project {
    project()
        .authority_at("http://127.0.0.1:9/api/v1")
        .authority_line("public_keys", &format!("[{PUBLIC_KEY:?}]"))
        .key(KEY)
        .var("OFFLINE_TOKEN", token)
        .line("unreachable", r#""cached""#)
        .line("cached_max_age", r#""30d""#)
        .line("offline_token", r#"{ env = "OFFLINE_TOKEN" }"#)
}

#[test]
fn a_signed_offline_token_stands_in_for_an_outage_and_it_is_said() {
    let token = offline_token(1);
    let project = offline(&token).line("features", r#"["analytics"]"#);
    project.deploy().exits(0).says("offline").deploy_ran().never_shows(&token);
    assert_eq!(project.trail("production").last("gate")["source"], "offline_token");
}

#[test]
fn an_offline_token_that_does_not_fit_deploys_nothing() {
    let (token, old) = (offline_token(1), offline_token(31));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let (_, signature_of_another) = old.rsplit_once('.').unwrap();
    let borrowed = format!("{signed}.{signature_of_another}");
    let unsigned = format!("{signed}.");
    let rows: [(&str, &str, Lines<'_>); 7] = [
        ("a forged signature", &forged, &[]),
        ("the signature of another token", &borrowed, &[]),
        ("no signature", &unsigned, &[]),
        ("not a token", "nonsense-nonsense", &[]),
        ("issued too long ago", &old, &[]),
        ("another domain", &token, &[("domain", r#""notapp.com.evil.example""#)]),
        ("a feature that it does not have", &token, &[("features", r#"["sso"]"#)]),
    ];
    for (name, token, lines) in rows {
        let project = lines.iter().fold(offline(token), |project, (line, value)| project.line(line, value));
        project.deploy().named(name).exits_one_of(&[10, 11]).deploy_did_not_run().never_shows(token);
    }
}

/// The second outage after a refusal is no other than the first.
#[test]
fn an_offline_token_does_not_stand_in_after_a_refusal_however_many_outages_come_between() {
    let no = Answer::json(403, &json!({ "valid": false, "code": "revoked" }));
    let server = RawServer::script([no, Answer::Reset]);
    let project = offline(&offline_token(1)).authority_at(&server.url());
    project.deploy().exits(10).deploy_did_not_run();
    for _ in 0..2 {
        project.deploy().exits(11).says("is a refusal").deploy_did_not_run();
    }
}

#[test]
fn what_does_not_stand_in_for_an_outage_is_said_in_words() {
    let (mut authority, project) = cached(r#""48h""#);
    project.deploy().exits(0);
    authority.kill();
    for (days, words) in [(-3, "is older than 2d"), (1, "is in the future by this machine's clock")] {
        Trail::rewrite_at(&project.trail_file("production"), &in_days(days));
        project.deploy().exits(11).says("the last good answer in the trail, of ").says(words);
    }
    offline(&offline_token(31)).deploy().exits(11).says("the offline token, of").says("is older than 30d");
}

#[test]
fn an_offline_token_does_not_override_a_no() {
    let server = RawServer::script([Answer::json(200, &good_but(&json!({ "valid": false })))]);
    let project = offline(&offline_token(1)).authority_at(&server.url());
    project.deploy().exits(10).deploy_did_not_run();
}
