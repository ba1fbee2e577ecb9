//! Against a key-value engine on loopback with honest check-and-set; the same against a real server where one is named.

use std::io::Write;

use serde_json::{Value, json};

use super::{
    super::harness::{
        raw::{Answer, RawServer},
        vault_api::{Engine, VAULT_TOKEN, VaultApi, VaultOn as On, VaultTrouble as Trouble, errors},
    },
    *,
};

const KEY: &str = "TO-PRD-marker-0123456789";
const OLD: &str = "TO-PRD-marker-old-98765";
const PATH: &str = "apps/production";

fn settings(url: &str) -> VaultSettings {
    VaultSettings {
        url: url.to_owned(),
        mount: "secret".to_owned(),
        path: PATH.to_owned(),
        field: "license_key".to_owned(),
        namespace: None,
        token: Zeroizing::new(VAULT_TOKEN.to_owned()),
        token_from: "the variable `VAULT_TOKEN`".to_owned(),
        ca_pem: None,
        timeout: Duration::from_secs(10),
    }
}

fn new(settings: VaultSettings) -> VaultStore {
    VaultStore::new(settings, &Vars::default()).unwrap()
}

fn store(url: &str) -> VaultStore {
    new(settings(url))
}

fn vault() -> VaultApi {
    VaultApi::start(Engine::V2, "secret")
}

fn key() -> LicenseKey {
    LicenseKey::parse(KEY).unwrap()
}

fn at(version: u64) -> Version {
    Version(Some(version.to_string()))
}

fn write(store: &VaultStore, over: &Version) -> Written {
    store.write(&key(), over, "rotation-1")
}

/// The fault in words, which shows neither a key nor the token.
fn shown(fault: &StoreFault) -> String {
    let all = format!("{:?}: {fault} / {} / {fault:?}", fault.kind, fault.next);
    assert!(!all.contains("marker") && !all.contains("5ecret"), "{all}");
    all
}

fn failed(written: Written) -> StoreFault {
    let Written::Failed(fault) = written else { panic!("{written:?}") };
    shown(&fault);
    fault
}

fn unknown(written: Written) -> StoreFault {
    let Written::Unknown(fault) = written else { panic!("{written:?}") };
    shown(&fault);
    fault
}

#[track_caller]
fn holds(held: Result<Held, StoreFault>, key: Option<&str>, version: &Version) {
    let held = held.unwrap();
    assert_eq!(held.version(), version, "{held:?}");
    match (held, key) {
        (Held::Key { key, .. }, Some(expected)) => assert_eq!(key.reveal(), expected),
        (Held::Nothing { .. }, None) => {}
        (held, _) => panic!("{held:?}"),
    }
}

/// What every server must do: also a real one.
fn keeps_what_is_written(store: &VaultStore) {
    let first = store.probe().unwrap().version().clone();
    assert!(matches!(write(store, &first), Written::Done));
    let held = store.read().unwrap();
    let Held::Key { key: read, version } = held else { panic!("{held:?}") };
    assert_eq!(read.reveal(), KEY);
    assert_ne!(version, first);
    assert_eq!(failed(write(store, &first)).kind, FaultKind::Conflict);
    assert!(matches!(write(store, &version), Written::Done));
    assert_ne!(*store.read().unwrap().version(), version);
    store.probe().unwrap();
}

#[test]
fn what_is_written_is_read_and_an_old_version_is_a_conflict() {
    let vault = vault();
    keeps_what_is_written(&store(&vault.url()));
    assert_eq!(vault.secret(PATH).unwrap(), json!({ "license_key": KEY }));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that a person or a CI system points at a server")]
fn a_real_server_keeps_what_is_written() {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(url), Some(token)) = (named("LICENSE_TESTS_VAULT_ADDR"), named("LICENSE_TESTS_VAULT_TOKEN")) else {
        let skipped = b"skipped: LICENSE_TESTS_VAULT_ADDR and LICENSE_TESTS_VAULT_TOKEN name no server\n";
        std::io::stderr().write_all(skipped).unwrap();
        return;
    };
    let path = format!("license-tests/{}", std::process::id());
    keeps_what_is_written(&new(VaultSettings { path, token: Zeroizing::new(token), ..settings(&url) }));
}

#[test]
fn other_fields_go_back_as_they_came() {
    let vault = vault();
    let (number, nested) = (json!(12_345_678_901_234_567_890_u64), json!({ "a": [1, null, true, "\u{e9}\n"] }));
    vault.put(PATH, &json!({ "license_key": OLD, "n": number, "nested": nested }));
    let store = store(&vault.url());
    holds(store.read(), Some(OLD), &at(1));
    assert!(matches!(write(&store, &at(1)), Written::Done));
    assert_eq!(vault.secret(PATH).unwrap(), json!({ "license_key": KEY, "n": number, "nested": nested }));
}

#[test]
fn a_decimal_with_many_digits_goes_back_with_all_of_them() {
    let secret = r#"{"data":{"data":{"n":0.12345678901234567890123},"metadata":{"version":1}}}"#;
    let took = r#"{"data":{"version":2}}"#;
    let server = RawServer::script([secret, took].map(|body| Answer::with_headers(200, &[], body)));
    let store = store(&format!("http://{}", server.address()));
    assert!(matches!(write(&store, &at(1)), Written::Done));
    let requests = server.requests();
    assert!(requests[1].body.contains(r#""n":0.12345678901234567890123"#), "{}", requests[1].body);
}

#[test]
fn nothing_is_there_in_four_ways_each_with_the_version_that_a_write_needs() {
    let vault = vault();
    let store = store(&vault.url());
    holds(store.probe(), None, &Version::NONE);
    vault.put(PATH, &json!({ "other": "1" }));
    holds(store.probe(), None, &at(1));
    vault.put(PATH, &json!({ "license_key": OLD }));
    vault.delete(PATH);
    holds(store.probe(), None, &at(2));
    assert!(matches!(write(&store, &at(2)), Written::Done));
    vault.destroy(PATH);
    holds(store.probe(), None, &at(3));
    assert!(matches!(write(&store, &at(3)), Written::Done));
    holds(store.read(), Some(KEY), &at(4));
}

#[test]
fn somebody_who_writes_between_our_read_and_our_write_is_not_overwritten() {
    let old = r#"{"data":{"data":{},"metadata":{"version":1}}}"#;
    let mismatch = errors(400, &["check-and-set parameter did not match the current version"]);
    let server = RawServer::script([Answer::with_headers(200, &[], old), mismatch]);
    let store = store(&format!("http://{}", server.address()));
    assert_eq!(failed(write(&store, &at(1))).kind, FaultKind::Conflict);
    let put: Value = server.requests()[1].json();
    assert_eq!(put["options"], json!({ "cas": 1 }));
}

#[test]
fn an_engine_of_version_1_is_refused_and_not_written() {
    let vault = VaultApi::start(Engine::V1, "secret");
    let store = store(&vault.url());
    let fault = store.probe().unwrap_err();
    assert!(fault.kind == FaultKind::Setup && shown(&fault).contains("version 1"), "{fault:?}");
    // Where nobody may ask about the mount, the data tell.
    vault.fail(On::Mount, Trouble::Answer(errors(403, &["permission denied"])));
    vault.put(&format!("data/{PATH}"), &json!({ "license_key": OLD }));
    for fault in [store.probe().unwrap_err(), store.read().unwrap_err(), failed(write(&store, &Version::NONE))] {
        assert!(fault.kind == FaultKind::Setup && shown(&fault).contains("version 1"), "{fault:?}");
    }
    assert_eq!(vault.writes(), 0);
}

#[test]
fn an_engine_of_version_1_that_could_not_be_told_is_told_by_its_answer() {
    let vault = VaultApi::start(Engine::V1, "secret");
    let fault = unknown(write(&store(&vault.url()), &Version::NONE));
    assert!(fault.kind == FaultKind::Setup && fault.message.contains("version 1"), "{fault:?}");
}

#[test]
fn a_token_that_may_not_write_is_found_by_the_probe() {
    let vault = vault();
    let store = store(&vault.url());
    vault.capabilities(&["read", "update"]);
    assert!(shown(&store.probe().unwrap_err()).contains("`create`"));
    vault.put(PATH, &json!({ "license_key": OLD }));
    holds(store.probe(), Some(OLD), &at(1));
    vault.capabilities(&["read", "create"]);
    let fault = store.probe().unwrap_err();
    assert!(fault.kind == FaultKind::Credential && shown(&fault).contains("`update`"), "{fault:?}");
    vault.capabilities(&["root"]);
    holds(store.probe(), Some(OLD), &at(1));
    vault.fail(On::Capabilities, Trouble::Answer(errors(403, &["permission denied"])));
    holds(store.probe(), Some(OLD), &at(1));
    assert_eq!(vault.writes(), 0);
}

#[test]
fn namespaces_are_sent_and_a_wrong_one_is_denied() {
    let vault = vault();
    vault.namespace("team/a");
    assert_eq!(store(&vault.url()).probe().unwrap_err().kind, FaultKind::Credential);
    let inside = new(VaultSettings { namespace: Some("team/a".to_owned()), ..settings(&vault.url()) });
    keeps_what_is_written(&inside);
}

#[test]
fn what_the_server_says_to_a_read_is_told_apart() {
    let standby = Answer::with_headers(307, &[("location", "http://127.0.0.1:9/active")], "");
    let rows: [(Answer, FaultKind, &str); 9] = [
        (errors(503, &["Vault is sealed"]), FaultKind::Unreachable, "unseal it"),
        (errors(500, &["boom"]), FaultKind::Unreachable, "boom"),
        (errors(403, &["permission denied"]), FaultKind::Credential, "VAULT_TOKEN"),
        (errors(404, &["no handler for route"]), FaultKind::Setup, "no engine at `secret`"),
        (errors(429, &["quota"]), FaultKind::Unreachable, "no further request"),
        (errors(400, &["Upgrading from non-versioned to versioned data"]), FaultKind::Unreachable, "changing"),
        (standby, FaultKind::Setup, "127.0.0.1:9/active"),
        (Answer::with_headers(200, &[], "<html>"), FaultKind::Malformed, "shape"),
        (Answer::Huge { bytes: BODY_BYTES_MAX * 2 }, FaultKind::Malformed, "1048576 bytes"),
    ];
    for (answer, kind, words) in rows {
        let vault = vault();
        vault.fail(On::Read, Trouble::Answer(answer));
        let store = store(&vault.url());
        for fault in [store.read().unwrap_err(), store.probe().unwrap_err(), failed(write(&store, &Version::NONE))] {
            assert_eq!(fault.kind, kind, "{words}: {fault:?}");
            assert!(shown(&fault).contains(words), "{words}: {fault:?}");
        }
        assert_eq!(vault.writes(), 0);
    }
}

#[test]
fn a_sealed_server_is_unreachable() {
    let vault = vault();
    vault.seal();
    assert_eq!(store(&vault.url()).probe().unwrap_err().kind, FaultKind::Unreachable);
    vault.heal();
    store(&vault.url()).probe().unwrap();
}

#[test]
fn a_write_that_may_have_happened_is_unknown_and_is_not_repeated() {
    let rows = [
        errors(500, &["boom"]),
        errors(503, &["Vault is sealed"]),
        errors(408, &[]),
        Answer::with_headers(200, &[], "<html>"),
        Answer::with_headers(200, &[], r#"{"data":{"version":0}}"#),
        Answer::Half { body: r#"{"data":"#.to_owned(), of: 100 },
        Answer::Reset,
        Answer::Bytes(Vec::new()),
        Answer::Hang,
    ];
    for answer in rows {
        let vault = vault();
        let store = new(VaultSettings { timeout: Duration::from_secs(1), ..settings(&vault.url()) });
        let name = format!("{answer:?}");
        vault.fail(On::Write, Trouble::Late(answer));
        let fault = unknown(write(&store, &Version::NONE));
        assert!(fault.next.contains("may have been written"), "{name}: {fault:?}");
        assert_eq!(vault.writes(), 1, "{name}");
        holds(store.read(), Some(KEY), &at(1));
    }
}

#[test]
fn a_refused_write_is_asked_for_once_and_echoes_are_masked() {
    let echo = format!("no {KEY} with {VAULT_TOKEN}");
    for (status, kind) in [(403, FaultKind::Credential), (400, FaultKind::Setup), (413, FaultKind::Setup)] {
        let vault = vault();
        vault.fail(On::Write, Trouble::Answer(errors(status, &[&echo])));
        let fault = failed(write(&store(&vault.url()), &Version::NONE));
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(shown(&fault).contains("no [masked] with [masked]"), "{fault:?}");
        assert_eq!((vault.writes(), vault.secret(PATH)), (1, None));
    }
}

#[test]
fn the_token_never_follows_a_redirect() {
    let other = RawServer::script([errors(500, &[])]);
    let to = format!("http://{}/", other.address());
    let vault = vault();
    for on in [On::Write, On::Read] {
        vault.fail(on, Trouble::Answer(Answer::with_headers(307, &[("location", &to)], "")));
        assert_eq!(failed(write(&store(&vault.url()), &Version::NONE)).kind, FaultKind::Setup);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_field_that_holds_no_key_is_malformed_and_not_shown() {
    let vault = vault();
    for value in [json!(["marker"]), json!({ "marker": 1 }), json!("marker with spaces"), json!("")] {
        vault.put(PATH, &json!({ "license_key": value }));
        let fault = store(&vault.url()).read().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{}", shown(&fault));
    }
}

#[test]
fn names_stay_where_they_are_in_the_path() {
    let vault = VaultApi::start(Engine::V2, "team/kv");
    let path = "a b/..c/x?y#z%2F";
    let store = new(VaultSettings { mount: "team/kv/".to_owned(), path: path.to_owned(), ..settings(&vault.url()) });
    assert!(matches!(write(&store, &Version::NONE), Written::Done));
    assert!(vault.secret(path).is_some());
    assert_eq!(vault.requests()[0].path, "/v1/team/kv/data/a%20b/..c/x%3Fy%23z%252F");
}

#[test]
fn what_leads_elsewhere_is_refused_before_anything_is_sent() {
    let rows: [fn(&mut VaultSettings); 10] = [
        |s| s.path = "a/../../sys/seal".to_owned(),
        |s| s.path = "a//b".to_owned(),
        |s| s.path = "./a".to_owned(),
        |s| s.path = String::new(),
        |s| s.path = "a\nb".to_owned(),
        |s| s.mount = "..".to_owned(),
        |s| s.mount = String::new(),
        |s| s.field = String::new(),
        |s| s.namespace = Some("a\r\nX-Evil: 1".to_owned()),
        |s| s.url = "http://vault.example".to_owned(),
    ];
    for (number, change) in rows.into_iter().enumerate() {
        let mut settings = settings("https://vault.example");
        change(&mut settings);
        let fault = VaultStore::new(settings, &Vars::default()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Setup, "row {number}: {}", shown(&fault));
    }
}

#[test]
fn nothing_secret_is_in_debug() {
    let store = store("https://vault.example");
    let all = format!("{store:?} {}", store.describe());
    assert!(!all.contains("5ecret"), "{all}");
}
