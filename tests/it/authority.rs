//! `authority serve`, and the commands beside it on the same state.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use license_tests::{
    Authority, Grant, Issued,
    http::{self, agent},
    process::{Running, until},
};
use serde_json::{Value, json};

use crate::{BINARY, KEY, authority, project};

fn valid(authority: &Authority, key: &str) -> bool {
    authority.validate(key, "app.com").json()["valid"].as_bool().unwrap()
}

fn path_of(license: &Issued) -> String {
    format!("/portal/licenses/{}", license.id)
}

#[test]
fn what_the_command_line_does_takes_effect_in_a_running_server_at_once() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    assert!(valid(&authority, &license.key));
    authority.suspend(&license);
    assert!(!valid(&authority, &license.key));
    authority.cli(&["resume", &license.id]).exits(0);
    assert!(valid(&authority, &license.key));
    authority.revoke(&license);
    assert!(!valid(&authority, &license.key));
    authority.cli(&["resume", &license.id]).exits(10);
    assert!(!valid(&authority, &license.key), "revoked is for good");
}

#[test]
fn what_the_server_does_is_seen_by_the_command_line() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    authority.send("PATCH", &path_of(&license), Some(&json!({ "status": "suspended" })));
    authority.cli(&["show", &license.id]).exits(0).says("suspended");
    authority.send("DELETE", &path_of(&license), None);
    authority.cli(&["show", &license.id]).exits(0).says("revoked");
}

#[test]
fn an_issued_license_has_a_key_that_cannot_be_guessed_and_names_its_class() {
    let authority = authority(&[]);
    let mut keys = BTreeSet::new();
    for class in ["DEV", "STG", "PRD"] {
        let license = authority.issue(&Grant { class, ..Grant::default() });
        assert!(license.key.starts_with(&format!("TO-{class}-")), "{}", license.key);
        assert!(license.key.len() >= "TO-DEV-".len() + 22, "128 bits: {}", license.key);
        assert!(license.id.starts_with("lic_") && license.expires_at.ends_with('Z'), "{license:?}");
        keys.insert(license.key);
    }
    assert_eq!(keys.len(), 3);
}

#[test]
fn an_issued_license_is_told_in_three_fields_on_one_line() {
    let authority = authority(&[]);
    let words = "issue --class STG --domain app.com --domain *.app.com --plan pro --feature sso --feature analytics \
                 --activations 7 --activations-used 3 --expires-at 2099-01-02T03:04:05Z --format json";
    let ran = authority.cli(&words.split_whitespace().collect::<Vec<_>>());
    let document = ran.exits(0).json();
    let fields: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["licenseId", "key", "expiresAt"]));
    assert_eq!((ran.stdout().lines().count(), &document["expiresAt"]), (1, &json!("2099-01-02T03:04:05Z")));
    let stated = authority.validate(document["key"].as_str().unwrap(), "app.com").json();
    assert_eq!(
        (&stated["plan"], &stated["activationsUsed"], &stated["activationLimit"]),
        (&json!("pro"), &json!(3), &json!(7))
    );
    assert_eq!(stated["domains"], json!(["app.com", "*.app.com"]));
}

#[test]
fn an_unknown_license_is_named() {
    let authority = authority(&[]);
    for command in ["show", "suspend", "resume", "revoke", "activate", "deactivate"] {
        let ran = authority.cli(&[command, "lic_nowhere"]);
        assert!(ran.code() != 0 && ran.code() != 1, "{command}: {ran}");
        ran.says("lic_nowhere");
    }
    assert_eq!(authority.send("GET", "/portal/licenses/lic_nowhere", None).status, 404);
}

#[test]
fn validate_states_every_fact_in_both_spellings() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant { used: 3, ..Grant::default() });
    let reply = authority.validate(&license.key, "app.com");
    let answer = reply.json();
    assert_eq!((reply.status, &answer["valid"]), (200, &json!(true)));
    for (camel, snake) in [
        ("expiresAt", "expires_at"),
        ("activationsUsed", "activations_used"),
        ("activationLimit", "activation_limit"),
        ("planId", "plan_id"),
    ] {
        assert!(!answer[camel].is_null(), "`{camel}` is missing in {answer}");
        assert_eq!(answer[camel], answer[snake], "{answer}");
    }
    assert_eq!((&answer["activationsUsed"], &answer["activationLimit"]), (&json!(3), &json!(10)));
    assert_eq!((&answer["plan"], &answer["features"]), (&json!("enterprise"), &json!(["analytics", "sso"])));
    assert_eq!(answer["domains"], json!(["app.com"]));
    assert!(reply.header("date").is_some());
}

#[test]
fn every_form_of_the_request_is_understood() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let key = &license.key;
    let rows = [
        ("/validate", json!({ "key": key, "domain": "app.com" })),
        ("/validate", json!({ "token": key, "domain": "app.com" })),
        ("/validate", json!({ "token": key })),
        ("/validate", json!({ "token": key, "domain": null })),
        ("/validate", json!({ "token": key, "domain": "" })),
        ("/validate", json!({ "key": key, "token": key, "domain": "app.com" })),
        ("/licenses/validate", json!({ "key": key, "domain": "app.com" })),
        ("/licenses/validate", json!({ "license_key": key, "domain": "app.com" })),
    ];
    for (path, body) in rows {
        let reply = authority.send("POST", path, Some(&body));
        assert_eq!((reply.status, &reply.json()["valid"]), (200, &json!(true)), "{path} {body}");
    }
    let old = format!("http://{}/license/validate", http::host(authority.url()));
    let reply = http::send(&agent(), "POST", &old, None, Some(&json!({ "token": key, "domain": "app.com" }))).unwrap();
    assert_eq!(reply.json()["valid"], true);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_without_harm() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    for body in [json!({}), json!([]), json!("key"), json!({ "key": 7 }), json!({ "key": "" })] {
        let status = authority.send("POST", "/validate", Some(&body)).status;
        assert!((400..500).contains(&status), "{body}: {status}");
    }
    let rows: [&[u8]; 4] = [
        b"GARBAGE\r\n\r\n",
        b"POST /api/v1/validate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\n{\"key",
        b"POST /api/v1/validate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n",
        b"GET /api/v1/../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ];
    for bytes in rows {
        let answer = http::send_bytes(authority.url(), bytes);
        assert!(!answer.contains(" 200 ") && !answer.contains("root:"), "{answer}");
    }
    assert!(valid(&authority, &license.key), "it still answers");
}

#[test]
fn everything_but_validate_and_health_needs_the_token() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let path = path_of(&license);
    let send = |token, method, path: &str, body: Option<&Value>| {
        http::send(&agent(), method, &format!("{}{path}", authority.url()), token, body).unwrap().status
    };
    assert_eq!(send(None, "POST", "/validate", Some(&json!({ "key": license.key, "domain": "app.com" }))), 200);
    assert_eq!(send(None, "GET", "/health", None), 200);
    let empty = json!({});
    let rows: [(&str, &str, Option<&Value>); 6] = [
        ("GET", "/portal/licenses", None),
        ("GET", &path, None),
        ("DELETE", &path, None),
        ("POST", "/licenses/rotate", Some(&empty)),
        ("POST", "/licenses/activate", Some(&empty)),
        ("GET", "/portal/usage", None),
    ];
    for (method, path, body) in rows {
        for token in [None, Some("to_live_wrong"), Some("")] {
            assert_eq!(send(token, method, path, body), 401, "{method} {path} with {token:?}");
        }
    }
    assert!(valid(&authority, &license.key), "nothing was changed");
}

#[test]
fn a_wrong_token_is_told_from_a_wrong_key() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let project = project().authority(&authority).key(&license.key).var("TO_API_KEY", "to_live_wrong-0123456789");
    project.deploy_json().exits(12).error("credential").deploy_did_not_run();
}

#[test]
fn the_portal_speaks_as_the_sdks_expect() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let listed = authority.send("GET", "/portal/licenses", None).json();
    let one = &listed["licenses"][0];
    for field in ["license_id", "license_key", "status", "plan_id", "domains", "created_at", "expires_at"] {
        assert!(!one[field].is_null(), "`{field}` of {one}");
    }
    assert_eq!(authority.send("GET", &path_of(&license), None).json()["license_id"], license.id);
    for path in ["/portal/stats", "/portal/usage"] {
        let usage = authority.send("GET", path, None).json();
        for field in ["validationsToday", "validations_today", "validationsMonth", "monthlyLimit", "activeLicenses"] {
            assert!(usage[field].is_number(), "`{field}` of {usage}");
        }
    }
    let created =
        authority.send("POST", "/portal/licenses", Some(&json!({ "appName": "My App", "domain": "new.app.com" })));
    assert!(matches!(created.status, 200 | 201) && created.json()["license_id"].is_string(), "{created:?}");
    let added =
        authority.send("POST", &format!("{}/domains", path_of(&license)), Some(&json!({ "domain": "b.app.com" })));
    assert!(matches!(added.status, 200 | 201), "{added:?}");
    assert_eq!(authority.validate(&license.key, "b.app.com").json()["valid"], true);
    let body = r#"{"domain":"b.app.com"}"#;
    let removed = http::send_bytes(
        authority.url(),
        format!(
            "DELETE /api/v1{}/domains HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            path_of(&license),
            authority.token(),
            body.len()
        )
        .as_bytes(),
    );
    assert!(removed.starts_with("HTTP/1.1 200"), "a DELETE with a body: {removed}");
    assert_eq!(authority.validate(&license.key, "b.app.com").json()["valid"], false);
}

#[test]
fn listed_keys_are_masked_unless_they_are_asked_for() {
    for (flags, shown) in [(&[][..], false), (&["--list-keys", "masked"], false), (&["--list-keys", "plain"], true)] {
        let authority = authority(flags);
        let license = authority.issue(&Grant::default());
        let listed = authority.send("GET", "/portal/licenses", None).json();
        let key = listed["licenses"][0]["license_key"].as_str().unwrap();
        assert_eq!(key == license.key, shown, "{flags:?}: {key}");
        assert!(!key.is_empty());
    }
}

#[test]
fn rotation_in_both_dialects_gives_a_new_key_and_keeps_the_old_one_for_the_grace() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let article = json!({ "licenseId": license.id, "gracePeriodDays": 7 });
    let answer = authority.send("POST", "/licenses/rotate", Some(&article)).json();
    let first = answer["newKey"].as_str().unwrap().to_owned();
    assert!(answer["expiresAt"].is_string(), "{answer}");
    assert!(valid(&authority, &license.key) && valid(&authority, &first));

    // The Rust SDK sends neither a body nor a length.
    let bytes = format!(
        "POST /api/v1{}/rotate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        path_of(&license),
        authority.token()
    );
    let answer = http::send_bytes(authority.url(), bytes.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("newLicense"), "{answer}");
}

#[test]
fn one_previous_key_is_kept_or_all() {
    for (keep, oldest_is_valid) in [("one", false), ("all", true)] {
        let authority = authority(&["--keep-previous", keep]);
        let license = authority.issue(&Grant::default());
        let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 });
        let rotate =
            || authority.send("POST", "/licenses/rotate", Some(&body)).json()["newKey"].as_str().unwrap().to_owned();
        let (second, third) = (rotate(), rotate());
        assert!(valid(&authority, &second) && valid(&authority, &third), "{keep}");
        assert_eq!(valid(&authority, &license.key), oldest_is_valid, "{keep}");
    }
}

#[test]
fn the_words_after_a_change_are_of_what_is_and_each_refusal_says_what_next() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant { expires: "1d", ..Grant::default() });
    let id = license.id.as_str();
    authority.cli(&["suspend", id]).exits(0).says("is suspended: 0 of 10");
    authority.cli(&["activate", id]).exits(10).says("authority resume");
    authority.cli(&["resume", id]).exits(0).says("is active: 0 of 10");
    authority.cli(&["deactivate", id]).exits(10).says("authority show");
    authority.cli(&["renew", id, "--expires-in", "1h"]).exits(10).says("name a later end");
    let ended = authority.issue(&Grant { expires: "2020-01-01T00:00:00Z", ..Grant::default() });
    authority.cli(&["resume", &ended.id]).exits(0).says("is expired since 20");
    authority.cli(&["activate", &ended.id]).exits(10).says("authority renew");
    let words = |end: &'static str| ["renew", id, "--expires-at", end];
    for end in ["9999-12-31T23:59:59Z", "2027-01-31", "soon"] {
        authority.cli(&words(end)).exits(2).says("write a time of up to the year 9999 with its offset");
    }
    authority.cli(&["revoke", id]).exits(0).says("is revoked: 0 of 10");
    authority.cli(&["renew", id, "--expires-in", "9d"]).exits(10).says("authority issue");
    let issue = ["issue", "--class", "DEV", "--domain", "a b", "--plan", "x"];
    authority.cli(&issue).exits(10).says("write a domain as in");
}

#[test]
fn a_key_that_could_not_be_shown_is_said_to_be_lost_and_a_list_may_lose_its_reader() {
    let authority = authority(&[]);
    let state = authority.state().join("authority");
    let run = |arguments: &[&str], stdout: std::process::Stdio| {
        let mut command = std::process::Command::new(BINARY);
        command.env_clear().arg("authority").arg(arguments[0]).arg("--state").arg(&state).args(&arguments[1..]);
        let output = command.stdout(stdout).stderr(std::process::Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let issue = ["issue", "--class", "DEV", "--domain", "localhost", "--plan", "x"];
    let unread = || std::io::pipe().unwrap().1;
    for stdout in [full().into(), unread().into()] {
        let (code, said) = run(&issue, stdout);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("was issued, and its key could not be written"), "{said}");
        assert!(said.contains("`authority revoke lic_"), "{said}");
    }
    for arguments in [&["list"][..], &["list", "--format", "json"]] {
        assert_eq!(run(arguments, unread().into()), (Some(0), String::new()), "{arguments:?}");
    }
    assert_eq!(run(&["list"], full().into()).0, Some(1));
}

#[test]
fn a_repeated_rotation_is_the_same_one_only_where_the_key_of_the_request_is_honored() {
    for (setting, same) in [("honor", true), ("ignore", false)] {
        let authority = authority(&["--idempotency", setting]);
        let license = authority.issue(&Grant::default());
        let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 }).to_string();
        let rotate = || {
            let bytes = format!(
                "POST /api/v1/licenses/rotate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
                 idempotency-key: rot_1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                authority.token(),
                body.len()
            );
            let answer = http::send_bytes(authority.url(), bytes.as_bytes());
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            serde_json::from_str::<Value>(body).unwrap()["newKey"].as_str().unwrap().to_owned()
        };
        assert_eq!(rotate() == rotate(), same, "{setting}");
    }
}

/// A body that every reading of the activation extension understands.
fn activation(license: &Issued) -> Value {
    json!({ "licenseId": license.id, "key": license.key, "domain": "app.com" })
}

fn used(authority: &Authority, license: &Issued) -> u64 {
    authority.validate(&license.key, "app.com").json()["activationsUsed"].as_u64().unwrap()
}

#[test]
fn only_an_activation_changes_the_count_and_the_limit_holds() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant { activations: 2, ..Grant::default() });
    assert_eq!((used(&authority, &license), used(&authority, &license)), (0, 0), "a validation changed the count");
    assert_eq!(authority.send("POST", "/licenses/activate", Some(&activation(&license))).status, 200);
    authority.cli(&["activate", &license.id]).exits(0);
    assert_eq!(used(&authority, &license), 2);
    let status = authority.send("POST", "/licenses/activate", Some(&activation(&license))).status;
    assert!((400..500).contains(&status), "beyond the limit: {status}");
    authority.cli(&["activate", &license.id]).exits(10);
    assert_eq!(used(&authority, &license), 2);
    authority.cli(&["deactivate", &license.id]).exits(0);
    assert_eq!(used(&authority, &license), 1);
}

#[test]
fn every_acknowledged_change_survives_a_kill_under_load() {
    const CLIENTS: usize = 6;
    const CHANGES_MIN: usize = 60;
    let mut authority = authority(&[]);
    let license = authority.issue(&Grant { activations: 1_000_000, ..Grant::default() });
    let (activated, created, stop) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (authority, activated, created, stop, license) = (&authority, &activated, &created, &stop, &license);
            scope.spawn(move || {
                let agent = agent();
                let post = |path: &str, body: &Value| {
                    let url = format!("{}{path}", authority.url());
                    http::send(&agent, "POST", &url, Some(authority.token()), Some(body))
                };
                for change in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    if change % 2 == 0 {
                        let Some(reply) = post("/licenses/activate", &activation(license)) else { return };
                        // On a disk that stalls, the wait for the log has an end: such a change is not acknowledged.
                        activated.fetch_add(usize::from(reply.status == 200), Ordering::SeqCst);
                    } else {
                        let body = json!({ "appName": format!("app {client} {change}"), "domain": "app.com" });
                        let Some(reply) = post("/portal/licenses", &body) else { return };
                        created.lock().unwrap().extend(reply.json()["license_id"].as_str().map(str::to_owned));
                    }
                }
            });
        }
        until("there is load", || activated.load(Ordering::SeqCst) + created.lock().unwrap().len() >= CHANGES_MIN);
        license_tests::process::kill(authority.pid());
        // Whoever still waits for an answer hears of the end at once; whoever starts a new request is told to stop.
        stop.store(true, Ordering::SeqCst);
    });
    authority.restart();

    let acknowledged = activated.load(Ordering::SeqCst);
    let kept = usize::try_from(used(&authority, &license)).unwrap();
    assert!(
        (acknowledged..=acknowledged + CLIENTS).contains(&kept),
        "{acknowledged} were acknowledged, {kept} were kept"
    );
    let listed = authority.send("GET", "/portal/licenses", None).json();
    let ids: BTreeSet<_> =
        listed["licenses"].as_array().unwrap().iter().map(|one| one["license_id"].as_str().unwrap()).collect();
    let created = created.into_inner().unwrap();
    let lost: Vec<_> = created.iter().filter(|id| !ids.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} were lost", lost.len(), created.len());
}

#[test]
fn the_command_line_and_the_server_write_to_one_log_at_once() {
    const EACH: usize = 15;
    let authority = authority(&[]);
    let license = authority.issue(&Grant { activations: 1000, ..Grant::default() });
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    authority.cli(&["activate", &license.id]).exits(0);
                }
            });
            scope.spawn(|| {
                for _ in 0..EACH {
                    assert_eq!(authority.send("POST", "/licenses/activate", Some(&activation(&license))).status, 200);
                }
            });
        }
    });
    assert_eq!(used(&authority, &license), 4 * EACH as u64);
}

#[test]
fn a_log_that_was_changed_is_not_served() {
    let mut authority = authority(&[]);
    authority.issue(&Grant::default());
    authority.issue(&Grant::default());
    authority.kill();
    let logs: Vec<_> = std::fs::read_dir(authority.state().join("authority"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    let text = std::fs::read_to_string(&logs[0]).unwrap();
    std::fs::write(&logs[0], text.replacen("app.com", "app.org", 1)).unwrap();
    authority.cli(&["list"]).exits(26).says("line");
}

#[test]
fn a_server_for_everybody_needs_a_token_and_no_faults() {
    let serve = |arguments: &[&str], token: Option<&str>| {
        let state = tempfile::TempDir::new().unwrap();
        let mut command = std::process::Command::new(BINARY);
        command.env_clear().envs(token.map(|token| ("AUTHORITY_TOKEN", token)));
        command.args(["authority", "serve", "--state"]).arg(state.path()).args(arguments);
        let finished = Running::start(&mut command).wait();
        (finished.code(), finished.stdout + &finished.stderr)
    };
    let (code, said) = serve(&["--listen", "0.0.0.0:0"], None);
    assert!(matches!(code, 2 | 3) && said.contains("token"), "{code}: {said}");
    let with_token = ["--listen", "0.0.0.0:0", "--api-token-env", "AUTHORITY_TOKEN"];
    let (code, said) = serve(&[&with_token[..], &["--fault", "html-502"]].concat(), Some("to_live_0123456789"));
    assert!(matches!(code, 2 | 3) && said.contains("fault"), "{code}: {said}");
    let (code, said) = serve(&[&with_token[..], &["--list-keys", "plain"]].concat(), Some("to_live_0123456789"));
    assert!(matches!(code, 2 | 3) && said.contains("plain"), "{code}: {said}");
    let (code, said) = serve(&["--listen", "127.0.0.1:0", "--fault", "earthquake"], None);
    assert!(code == 2 && said.contains("late-commit"), "{code}: {said}");
    let (code, said) = serve(&["--listen", "localhost:8080"], None);
    assert!(code == 2 && said.contains("127.0.0.1:8080"), "{code}: {said}");
    for unfit in ["to_live_0123456789\n", "to live", "caf\u{e9}"] {
        let (code, said) = serve(&with_token, Some(unfit));
        assert!(code == 3 && said.contains("AUTHORITY_TOKEN") && !said.contains(unfit), "{code}: {said}");
    }
    let (code, said) = serve(&["--listen", "127.0.0.1:0", "--api-token-env", "AUTHORITY_TOKEN"], None);
    assert!(matches!(code, 2 | 3) && said.contains("AUTHORITY_TOKEN"), "{code}: {said}");
}

#[test]
fn a_terminated_server_ends_at_once_and_well() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    assert!(valid(&authority, &license.key));
    let pid = authority.pid();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, license_tests::process::Signal::TERM).unwrap();
    until("it ends", || !license_tests::process::is_alive(pid));
}

/// One validation as a client without patience sees it: its status, its body, and how long it took.
fn seen(authority: &Authority, key: &str) -> (Option<u16>, String, Duration) {
    let started = Instant::now();
    let body = json!({ "key": key, "domain": "app.com" });
    let reply = authority.try_send("POST", "/validate", Some(&body));
    let took = started.elapsed();
    reply.map_or((None, String::new(), took), |reply| (Some(reply.status), reply.body, took))
}

#[test]
fn each_fault_does_what_it_says_as_often_as_it_says() {
    type Holds = fn(Option<u16>, &str, Duration) -> bool;
    let rows: [(&str, Holds); 7] = [
        ("html-502@validate:1", |status, body, _| status == Some(502) && body.contains('<')),
        ("status=500@validate:1", |status, _, _| status == Some(500)),
        ("status=418:1", |status, _, _| status == Some(418)),
        ("rate-limit=2s@validate:1", |status, _, _| status == Some(429)),
        ("drop-valid@validate:1", |status, body, _| status == Some(200) && !body.contains("\"valid\"")),
        ("close-mid-body@validate:1", |status, _, _| status.is_none()),
        ("huge-body=1MB@validate:1", |status, body, _| status == Some(200) && body.len() >= 1_000_000),
    ];
    for (fault, holds) in rows {
        let authority = authority(&["--fault", fault]);
        let license = authority.issue(&Grant::default());
        let (status, body, took) = seen(&authority, &license.key);
        assert!(holds(status, &body, took), "{fault}: {status:?} {}", &body[..body.len().min(200)]);
        let (status, body, _) = seen(&authority, &license.key);
        assert!(status == Some(200) && body.contains("\"valid\":true"), "{fault}, the second time: {status:?} {body}");
    }
}

#[test]
fn the_rate_limit_says_how_long() {
    let authority = authority(&["--fault", "rate-limit=2s@validate:1"]);
    let reply = authority.validate(KEY, "app.com");
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("2")));
}

#[test]
fn the_redirect_leads_where_it_says() {
    let authority = authority(&["--fault", "redirect=http://127.0.0.1:9/x@validate:1"]);
    let reply = authority.validate(KEY, "app.com");
    assert!((300..400).contains(&reply.status), "{reply:?}");
    assert_eq!(reply.header("location"), Some("http://127.0.0.1:9/x"));
}

#[test]
fn the_skewed_clock_is_a_day_off() {
    let authority = authority(&["--fault", "clock-skew=1d"]);
    let (skewed, straight) = (authority.validate(KEY, "app.com"), crate::authority(&[]).validate(KEY, "app.com"));
    let day = |reply: &http::Reply| reply.header("date").unwrap().split(' ').nth(1).unwrap().to_owned();
    assert_ne!(day(&skewed), day(&straight));
}

#[test]
fn a_fault_of_one_path_leaves_the_others_alone() {
    let authority = authority(&["--fault", "status=500@rotate"]);
    let license = authority.issue(&Grant::default());
    assert!(valid(&authority, &license.key));
    let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 });
    assert_eq!(authority.send("POST", "/licenses/rotate", Some(&body)).status, 500);
    assert_eq!(authority.send("GET", "/portal/licenses", None).status, 200);
}

#[test]
fn a_late_commit_rotates_although_the_client_gave_up() {
    let authority = authority(&["--fault", "late-commit=1s@rotate:1"]);
    let license = authority.issue(&Grant::default());
    let body = json!({ "licenseId": license.id, "gracePeriodDays": 7 }).to_string();
    let bytes = format!(
        "POST /api/v1/licenses/rotate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        authority.token(),
        body.len()
    );
    let started = Instant::now();
    let answer = http::send_bytes(authority.url(), bytes.as_bytes());
    assert!(
        answer.contains("newKey") && started.elapsed() >= Duration::from_secs(1),
        "{:?}: {answer}",
        started.elapsed()
    );
}

#[test]
fn a_stale_cache_repeats_what_it_said_before() {
    let authority = authority(&["--fault", "stale-cache=30s"]);
    let license = authority.issue(&Grant::default());
    assert!(valid(&authority, &license.key));
    authority.revoke(&license);
    assert!(valid(&authority, &license.key), "the edge still says yes");
}

#[test]
fn latency_is_added_to_every_answer() {
    let authority = authority(&["--latency", "150ms"]);
    let (_, _, took) = seen(&authority, KEY);
    assert!(took >= Duration::from_millis(150), "{took:?}");
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let agent = agent();
                let url = format!("{}/validate", authority.url());
                for _ in 0..25 {
                    let body = json!({ "key": license.key, "domain": "app.com" });
                    let reply = http::send(&agent, "POST", &url, None, Some(&body)).unwrap();
                    assert_eq!(reply.json()["valid"], true);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 400);
}
