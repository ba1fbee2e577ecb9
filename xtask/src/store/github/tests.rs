//! Against GitHub's API on loopback, which opens the boxes that it gets.

use std::time::Instant;

use super::{
    super::harness::{
        github_api::{GITHUB_TOKEN, GithubApi, On, Trouble},
        raw::{Answer, RawServer},
    },
    *,
};

const REPO: &str = "acme/app";
const ENV: &str = "production";
const NAME: &str = "LICENSE_KEY";
const KEY: &str = "TO-PRD-marker-0123456789";

fn settings(url: &str) -> GithubSettings {
    GithubSettings {
        url: url.to_owned(),
        repository: REPO.to_owned(),
        environment: ENV.to_owned(),
        name: NAME.to_owned(),
        token: Zeroizing::new(GITHUB_TOKEN.to_owned()),
        token_from: "the variable `GH_SECRETS_TOKEN`".to_owned(),
        ca_pem: None,
        timeout: Duration::from_secs(10),
    }
}

fn new(settings: GithubSettings) -> GithubStore {
    GithubStore::new(settings, &Vars::default()).unwrap()
}

fn store(url: &str) -> GithubStore {
    new(settings(url))
}

fn github() -> GithubApi {
    GithubApi::start(&[(REPO, ENV)])
}

fn key() -> LicenseKey {
    LicenseKey::parse(KEY).unwrap()
}

fn write(store: &GithubStore, over: &Version) -> Written {
    store.write(&key(), over, "rotation-1")
}

fn version(store: &GithubStore) -> Version {
    store.read().unwrap().version().clone()
}

fn says(status: u16, headers: &[(&str, &str)], message: &str) -> Answer {
    Answer::with_headers(status, headers, &format!(r#"{{"message":"{message}"}}"#))
}

/// The fault in words, which shows neither the key nor the token.
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

#[test]
fn a_key_is_sealed_for_the_environment_and_only_github_can_open_it() {
    let github = github();
    let store = store(&github.url());
    let before = store.probe().unwrap();
    assert!(matches!(&before, Held::Hidden { version } if *version == Version::NONE), "{before:?}");
    assert_eq!(github.writes(), 0, "a probe changes nothing");
    assert!(matches!(write(&store, before.version()), Written::Done));
    assert_eq!(github.secret(REPO, ENV, NAME).as_deref(), Some(KEY));
    assert_ne!(version(&store), Version::NONE);
    for request in github.requests() {
        assert!(!request.body.contains("marker") && !request.path.contains("marker"));
        assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
        assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
        assert!(request.header("user-agent").unwrap().starts_with("license-hooks/"));
    }
}

#[test]
fn a_write_over_an_older_one_moves_the_time() {
    let github = github();
    github.put(REPO, ENV, NAME, "older");
    github.pass_secs(60);
    let store = store(&github.url());
    let before = version(&store);
    assert!(matches!(write(&store, &before), Written::Done));
    assert_ne!(version(&store), before);
    assert_eq!(github.writes(), 1);
}

#[test]
fn a_secret_that_somebody_else_wrote_is_not_overwritten() {
    let github = github();
    let store = store(&github.url());
    let before = version(&store);
    github.put(REPO, ENV, NAME, "theirs");
    assert_eq!(failed(write(&store, &before)).kind, FaultKind::Conflict);
    assert_eq!((github.writes(), github.secret(REPO, ENV, NAME).as_deref()), (0, Some("theirs")));
}

#[test]
fn a_write_in_the_same_second_as_the_one_before_waits_until_it_can_be_told_from_it() {
    let github = github();
    github.tick_secs(0);
    github.put(REPO, ENV, NAME, "older");
    let store = store(&github.url());
    let before = version(&store);
    // The clock stands still: there is no second of its own for the write.
    let started = Instant::now();
    assert_eq!(failed(write(&store, &before)).kind, FaultKind::Unreachable);
    assert!(started.elapsed() >= Duration::from_secs(PAST_SECS.unsigned_abs()));
    assert_eq!(github.writes(), 0);
    // It goes on.
    github.tick_secs(1);
    assert!(matches!(write(&store, &before), Written::Done));
    assert_ne!(version(&store), before);
}

#[test]
fn a_refused_write_says_why_and_wrote_nothing() {
    let limited = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1798765200")];
    let ordinary = [("x-ratelimit-remaining", "42"), ("x-ratelimit-reset", "1798765200")];
    let moved = [("location", "http://127.0.0.1:9/evil")];
    let rows: [(Answer, FaultKind, &str); 9] = [
        (says(401, &[], "Bad credentials"), FaultKind::Credential, "GH_SECRETS_TOKEN"),
        (says(403, &ordinary, "Resource not accessible"), FaultKind::Credential, "`Environments`"),
        (says(404, &[], "Not Found"), FaultKind::Setup, "environment `production` of `acme/app`"),
        (says(422, &[], "Bad request"), FaultKind::Setup, "422"),
        (says(409, &[], "Conflict"), FaultKind::Conflict, "conflict"),
        (says(403, &limited, "API rate limit exceeded"), FaultKind::Unreachable, "2027-01-01T01:00:00Z"),
        (says(403, &[], "You have exceeded a secondary rate limit"), FaultKind::Unreachable, "some minutes"),
        (says(429, &[("retry-after", "30")], "slow down"), FaultKind::Unreachable, "30 seconds"),
        (says(307, &moved, "Temporary Redirect"), FaultKind::Setup, "127.0.0.1:9/evil"),
    ];
    for (answer, kind, words) in rows {
        let github = github();
        let store = store(&github.url());
        github.fail(On::Write, Trouble::Answer(answer));
        let fault = failed(write(&store, &Version::NONE));
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(shown(&fault).contains(words), "{words}: {fault:?}");
        assert_eq!((github.writes(), github.secret(REPO, ENV, NAME)), (1, None), "{words}: asked once");
    }
}

#[test]
fn a_key_for_sealing_that_was_replaced_since_it_was_read_is_read_again_once() {
    for (renewals, expected) in [(1, Some(KEY)), (2, None)] {
        let github = github();
        github.replaces_its_key(renewals);
        let store = store(&github.url());
        let written = write(&store, &Version::NONE);
        assert_eq!(github.writes(), 2, "{renewals}");
        assert_eq!(github.secret(REPO, ENV, NAME).as_deref(), expected, "{renewals}");
        match expected {
            Some(_) => assert!(matches!(written, Written::Done)),
            None => assert!(shown(&failed(written)).contains("took neither of two values"), "{renewals}"),
        }
    }
}

#[test]
fn a_write_that_may_have_happened_is_unknown_and_is_not_repeated() {
    let rows = [
        says(500, &[], "boom"),
        says(502, &[], ""),
        says(408, &[], ""),
        says(200, &[], ""),
        Answer::Reset,
        Answer::Bytes(Vec::new()),
        Answer::Bytes(b"SSH-2.0\r\n".to_vec()),
        Answer::Hang,
    ];
    for answer in rows {
        let github = github();
        let store = new(GithubSettings { timeout: Duration::from_secs(1), ..settings(&github.url()) });
        let name = format!("{answer:?}");
        github.fail(On::Write, Trouble::Late(answer));
        let fault = unknown(write(&store, &Version::NONE));
        assert!(fault.next.contains("may have been written"), "{name}: {fault:?}");
        assert_eq!(github.writes(), 1, "{name}");
        github.heal();
        assert_ne!(version(&store), Version::NONE, "{name}: reading back shows it");
    }
}

#[test]
fn a_write_whose_answer_breaks_after_its_status_is_done() {
    let github = github();
    let store = store(&github.url());
    let cut = b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{".to_vec();
    github.fail(On::Write, Trouble::Late(Answer::Bytes(cut)));
    assert!(matches!(write(&store, &Version::NONE), Written::Done));
}

#[test]
fn a_store_that_could_not_be_written_is_found_by_the_probe() {
    let bad_key = |key: &str| Answer::with_headers(200, &[], &format!(r#"{{"key_id":"1","key":"{key}"}}"#));
    let zeros = STANDARD.encode([0; 32]);
    let rows: [(On, Answer, FaultKind, &str); 9] = [
        (On::Key, says(401, &[], "Bad credentials"), FaultKind::Credential, "refused the token: Bad credentials"),
        (On::Key, says(403, &[], "no"), FaultKind::Credential, "write access"),
        (On::Key, says(404, &[], "Not Found"), FaultKind::Setup, "create the environment"),
        (On::Key, says(503, &[], ""), FaultKind::Unreachable, "503"),
        (On::Key, bad_key("short"), FaultKind::Malformed, "no X25519 key"),
        (On::Key, bad_key(&zeros), FaultKind::Malformed, "no X25519 key"),
        (On::Key, says(200, &[], GITHUB_TOKEN), FaultKind::Malformed, "shape"),
        (On::Look, Answer::with_headers(200, &[], r#"{"updated_at":"marker"}"#), FaultKind::Malformed, "time"),
        (On::Look, Answer::Huge { bytes: BODY_BYTES_MAX * 4 }, FaultKind::Malformed, "65536 bytes"),
    ];
    for (on, answer, kind, words) in rows {
        let github = github();
        github.fail(on, Trouble::Answer(answer));
        let fault = store(&github.url()).probe().unwrap_err();
        assert_eq!(fault.kind, kind, "{words}: {fault:?}");
        assert!(shown(&fault).contains(words), "{words}: {fault:?}");
        assert_eq!(github.writes(), 0);
    }
}

#[test]
fn a_classic_token_needs_the_scope_that_writes() {
    let github = github();
    github.scopes("repo:status, public_repo");
    let fault = store(&github.url()).probe().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Credential);
    assert!(shown(&fault).contains("scope `repo`"));
    for scopes in ["gist, repo", "", " "] {
        // A token of another kind may be told to have none.
        github.scopes(scopes);
        store(&github.url()).probe().unwrap();
    }
    github.scopes("repo");
    store(&github.url()).probe().unwrap();
}

#[test]
fn an_echo_of_the_key_or_the_token_is_masked() {
    let github = github();
    github.fail(On::Write, Trouble::Answer(says(422, &[], &format!("no {KEY} with {GITHUB_TOKEN}"))));
    let fault = failed(write(&store(&github.url()), &Version::NONE));
    assert!(shown(&fault).contains("no [masked] with [masked]"), "{fault:?}");
}

#[test]
fn a_server_that_is_not_there_took_nothing() {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    // A socket that is bound and does not listen keeps the port, and refuses connections.
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&deaf, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = std::net::SocketAddr::try_from(getsockname(&deaf).unwrap()).unwrap();
    let ready = Ready { body: b"{}".to_vec(), key_id: "1".to_owned() };
    let Put::Ended(written) = store(&format!("http://{address}")).put(&ready, &key()) else { panic!() };
    let fault = failed(written);
    assert!(fault.kind == FaultKind::Unreachable && fault.message.contains("connection refused"), "{fault:?}");
}

#[test]
fn a_secret_that_the_token_may_not_see_is_not_absent() {
    let github = github();
    github.put(REPO, ENV, NAME, "theirs");
    let elsewhere = new(GithubSettings { environment: "staging".to_owned(), ..settings(&github.url()) });
    assert_eq!(elsewhere.read().unwrap_err().kind, FaultKind::Setup);
}

#[test]
fn a_write_goes_on_as_soon_as_the_second_of_the_one_before_is_over() {
    let github = github();
    github.tick_secs(0);
    github.put(REPO, ENV, NAME, "older");
    let store = store(&github.url());
    let before = version(&store);
    github.pass_secs(-1);
    github.tick_secs(1);
    assert!(matches!(write(&store, &before), Written::Done));
    let looks = github.requests().iter().filter(|request| request.path.ends_with(NAME)).count();
    assert_eq!(looks, 4, "one before, two that waited in between, and the write");
    assert_ne!(version(&store), before);
}

#[test]
fn the_token_never_follows_a_redirect() {
    let other = RawServer::script([says(200, &[], "")]);
    let to = format!("http://{}/", other.address());
    let github = github();
    for on in [On::Key, On::Look, On::Write] {
        github.fail(on, Trouble::Answer(says(302, &[("location", &to)], "")));
        assert_eq!(failed(write(&store(&github.url()), &Version::NONE)).kind, FaultKind::Setup);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn names_stay_where_they_are_in_the_path() {
    let environment = "a/../b c?x#y%2F";
    let github = GithubApi::start(&[(REPO, environment)]);
    let store = new(GithubSettings { environment: environment.to_owned(), ..settings(&github.url()) });
    assert!(matches!(write(&store, &Version::NONE), Written::Done));
    assert_eq!(github.secret(REPO, environment, NAME).as_deref(), Some(KEY));
    let path = &github.requests()[0].path;
    assert_eq!(path, "/repos/acme/app/environments/a%2F..%2Fb%20c%3Fx%23y%252F/secrets/public-key");
}

#[test]
fn what_github_does_not_take_is_refused_before_anything_is_sent() {
    let url = "https://api.github.com";
    let with = |change: fn(&mut GithubSettings)| {
        let mut settings = settings(url);
        change(&mut settings);
        GithubStore::new(settings, &Vars::default()).unwrap_err()
    };
    let rows: [fn(&mut GithubSettings); 15] = [
        |s| s.name = "GITHUB_KEY".to_owned(),
        |s| s.name = "github_key".to_owned(),
        |s| s.name = "1KEY".to_owned(),
        |s| s.name = "A-KEY".to_owned(),
        |s| s.name = "../KEY".to_owned(),
        |s| s.name = String::new(),
        |s| s.repository = "acme".to_owned(),
        |s| s.repository = "acme/..".to_owned(),
        |s| s.repository = "acme/app/x".to_owned(),
        |s| s.repository = "acme/a?b".to_owned(),
        |s| s.environment = "..".to_owned(),
        |s| s.environment = String::new(),
        |s| s.url = "http://api.github.com".to_owned(),
        |s| s.url = "https://user@api.github.com".to_owned(),
        |s| s.ca_pem = Some(b"nothing".to_vec()),
    ];
    for (number, change) in rows.into_iter().enumerate() {
        let fault = with(change);
        assert_eq!(fault.kind, FaultKind::Setup, "row {number}: {fault:?}");
        shown(&fault);
    }
    let fault = with(|s| s.token = Zeroizing::new(format!("{GITHUB_TOKEN}\n")));
    assert_eq!(fault.kind, FaultKind::Credential);
    shown(&fault);
}

#[test]
fn nothing_secret_is_in_debug() {
    let store = store("https://api.github.com");
    let all = format!("{store:?} {}", store.describe());
    assert!(!all.contains("5ecret"), "{all}");
    assert_eq!(store.describe(), "the secret `LICENSE_KEY` of the environment `production` of `acme/app` on GitHub");
}
