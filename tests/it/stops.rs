//! A signal at any moment: what was begun is finished or written down, nothing else begins, and what is told is true.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use license_tests::{
    App, Hub, Project, Rotating, failpoints,
    failpoints::{SIGINT_AT, STANDS_STILL_AT},
    process::{Signal, until},
    rotating::{ESCROW, IDENTITY, IDENTITY_VARIABLE},
};
use rustix::process::{Pid, kill_process};
use serde_json::json;

use crate::{BINARY, KEY, asking, authority, good, saying};

fn rotating() -> Rotating {
    Rotating::start(failpoints::binary(BINARY), authority(&[])).with(Project::impatient)
}

/// The same project, which gets SIGINT there.
fn signalled(rotating: Rotating, at: &str) -> Rotating {
    rotating.with(|project| project.var(SIGINT_AT, at))
}

/// Nobody is signalled any more.
fn left_alone(rotating: Rotating) -> Rotating {
    rotating.with(|project| project.unset(SIGINT_AT))
}

#[test]
fn no_other_environment_is_rotated_after_a_signal() {
    let environment = |name: &str| {
        format!(
            "\n[environments.{name}]\nauthority = \"local\"\ndomain = \"{name}.test\"\n\
             key = {{ dotenv = \".env.{name}\", name = \"LICENSE_KEY\" }}\ndeploy = [\"true\"]\n"
        )
    };
    let text = format!(
        "version = 1\n\n[authority.local]\nkind = \"embedded\"\n\n{ESCROW}{}{}",
        environment("dev"),
        environment("local")
    );
    let project = Project::new(failpoints::binary(BINARY)).license_toml(text.as_bytes());
    let project = project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env.dev", ".env.local"]);
    for name in ["dev", "local"] {
        project.run(&["deploy", name]).exits(0);
    }
    let before = fs::read(project.path(".env.local")).unwrap();
    let project = project.var(SIGINT_AT, "after-committed");
    project.run(&["rotate", "--all"]).exits(130).says("not begun, since a signal came: `local`");
    assert_eq!(project.trail("dev").facts().last(), Some(&"committed"));
    assert!(project.trail("local").facts().is_empty());
    assert_eq!(fs::read(project.path(".env.local")).unwrap(), before);
}

#[test]
fn a_run_that_is_stopped_before_its_call_says_that_nothing_was_sent() {
    let rotating = signalled(rotating(), "after-intent");
    rotating.project.rotate(&[]).exits(130).says("the next `cargo xtask rotate`");
    assert_eq!(rotating.calls(), 0);
    assert_eq!(rotating.project.facts(), ["intent", "aborted"]);
    rotating.nothing_stored();
    let rotating = left_alone(rotating);
    rotating.project.rotate(&[]).exits(0);
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn a_grace_that_was_given_up_for_a_rotation_that_came_to_nothing_stands_again() {
    for at in ["after-overlap-waived", "after-intent"] {
        let rotating = rotating();
        rotating.project.rotate(&[]).exits(0);
        let (first, escrowed) = (rotating.newest_key(), rotating.project.escrowed());
        let rotating = signalled(rotating, at);
        rotating.project.rotate(&["--accept-no-overlap"]).named(at).exits(130);
        let rotating = left_alone(rotating);
        assert_eq!(rotating.rotations(), 1, "{at}");
        assert_eq!(rotating.project.escrowed(), escrowed, "{at}");
        rotating
            .project
            .run(&["status"])
            .named(at)
            .says("the old key works until")
            .says("cargo xtask deploy production");
        rotating.project.rotate(&[]).named(at).exits(20).says("--accept-no-overlap");
        // Its old key comes back, as before.
        rotating.project.rotate(&["--rollback"]).named(at).exits(0);
        rotating.nothing_stored();
        rotating.project.rotate(&["--resume"]).named(at).exits(0);
        rotating.stores_hold(&first);
        rotating.project.rotate(&["--accept-no-overlap"]).named(at).exits(0);
        assert_eq!(rotating.rotations(), 2, "{at}");
        assert_eq!(rotating.project.escrowed().len(), 2, "{at}: nothing of the first rotation is left");
    }
}

/// The signal comes within the step of the call, which looks at the trail once more before it sends.
#[test]
fn a_run_that_is_stopped_while_it_looks_whether_it_may_call_says_that_nothing_was_sent() {
    let hub = Hub::new();
    let rotating = rotating().with(|project| hub.shared_by(project));
    let rotating = rotating.with(|project| project.var(STANDS_STILL_AT, "before-call"));
    let running = rotating.project.start(&["rotate", "production"]);
    until("it is to call", || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        status.contains("State:\tT")
    });
    hub.hangs_for(&rotating.project);
    running.go_on();
    until("it looks at the trail", || !hub.fetching().is_empty());
    running.signal(Signal::INT);
    rotating.project.ended(running).exits(130);
    hub.answers(&rotating.project);
    assert_eq!(rotating.calls(), 0);
    assert_eq!(rotating.project.facts(), ["intent", "aborted"]);
}

#[test]
fn a_schedule_that_found_that_it_is_time_looks_anew_when_it_has_the_environment() {
    let rotating = rotating();
    rotating.project.check().exits(0);
    // Nine seconds of ten.
    thread::sleep(Duration::from_secs(10));
    let rotating = rotating.with(|project| project.var(STANDS_STILL_AT, "before-due"));
    let late = rotating.project.start(&["rotate", "production", "--if-older-than", "10s"]);
    until("it found that it is time", || {
        let status = fs::read_to_string(format!("/proc/{}/status", late.pid())).unwrap_or_default();
        status.contains("State:\tT")
    });
    let rotating = rotating.with(|project| project.unset(STANDS_STILL_AT));
    rotating.project.rotate(&[]).exits(0);
    late.go_on();
    rotating.project.ended(late).exits(0).says("nothing is due");
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    assert_eq!(rotating.project.trail("production").claims().last(), Some(&"released"));
}

#[test]
fn a_schedule_leaves_what_a_person_took_back() {
    let rotating = rotating();
    rotating.project.rotate(&[]).exits(0);
    rotating.project.rotate(&["--rollback"]).exits(0);
    rotating.nothing_stored();
    let facts = rotating.project.facts();
    rotating.project.rotate(&["--if-older-than", "30d"]).exits(0).says("holds the OLD key again").says("--resume");
    rotating.nothing_stored();
    assert_eq!(rotating.project.facts(), facts);
    // A day and a half before the old key dies it goes forward: a schedule of every day would come too late.
    let later = |rotating: Rotating, secs: u64| {
        rotating.with(|project| project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &secs.to_string()))
    };
    let rotating = later(rotating, 5 * 24 * 60 * 60);
    rotating.project.rotate(&["--if-older-than", "30d"]).exits(0).says("holds the OLD key again");
    rotating.nothing_stored();
    let rotating = later(rotating, 6 * 24 * 60 * 60);
    rotating.project.rotate(&["--if-older-than", "30d"]).exits(0);
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn a_signal_ends_the_wait_for_a_key_on_stdin() {
    let rotating = rotating();
    rotating.proxy.holds_back("POST /api/v1/licenses/rotate ");
    rotating.project.rotate(&[]).exits(21);
    let mut command = rotating.project.command(&rotating.project.path(""), &["rotate", "production", "--adopt"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("from stdin")), "it says what it waits for");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    said.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rotating.project.trail("production").claims().last(), Some(&"released"));
}

#[test]
fn nothing_is_deployed_after_a_signal_that_came_before() {
    for at in ["before-gate", "before-deploy"] {
        let server = saying(&good());
        let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url()).key(KEY).deploying("true");
        let project = project.var(SIGINT_AT, at);
        let ran = project.deploy();
        ran.named(at).exits(130).says("before the deploy command ran").deploy_did_not_run();
        let trail = project.trail("production");
        assert!(!trail.kinds().contains(&"deploy_started"), "{at}: {:?}", trail.kinds());
        assert_eq!(trail.claims(), ["claimed", "released"], "{at}");
    }
}

/// The remote takes the entry that the deploy began, and a signal comes while it does.
#[test]
fn a_deploy_that_a_signal_kept_back_is_not_said_to_have_run() {
    let (hub, server) = (Hub::new(), saying(&good()));
    let project = hub.shared_by(asking(&server).deploying("true"));
    hub.holds_after("\"kind\":\"deploy_started\"");
    let mut running = project.start(&["deploy", "production"]);
    running.until("the remote holds the entry", |_| hub.holds());
    running.signal(Signal::INT);
    // It comes in another thread.
    thread::sleep(Duration::from_millis(300));
    hub.releases();
    project.ended(running).exits(130).says("before the deploy command ran").deploy_did_not_run();
    let trail = project.trail("production");
    assert_eq!(trail.last("deploy_ended")["ended"]["how"], "not_started", "{:?}", trail.last("deploy_ended"));
    assert_eq!(trail.claims(), ["claimed", "released"]);
}

#[test]
fn a_rollback_that_a_signal_kept_back_is_not_said_to_have_run() {
    let server = saying(&good());
    let app = App::reporting(json!({ "valid": false }));
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url()).key(KEY).deploying("true");
    let project = project.health(&app, "1s").line("rollback", r#"["touch", "BACK"]"#);
    let project = project.var(SIGINT_AT, "after-health");
    project.deploy().exits(14).says("the rollback was not begun, since a signal came").says("`touch BACK`");
    assert!(!project.path("BACK").exists());
    assert!(!project.trail("production").kinds().contains(&"rollback_ended"));
    project.unset(SIGINT_AT).deploy().exits(14).says("rollback");
}

#[test]
fn a_rollback_does_not_wait_for_a_trail_whose_remote_does_not_answer() {
    let (hub, server) = (Hub::new(), saying(&good()));
    let app = App::reporting(json!({ "valid": false }));
    let project = hub.shared_by(asking(&server).deploying("true").health(&app, "1s"));
    let project = project.line("rollback", r#"["touch", "BACK"]"#);
    hub.holds_after("\"kind\":\"health\"");
    let mut running = project.start(&["deploy", "production"]);
    running.until("it rolls back while the remote holds the entry", |_| hub.holds() && project.path("BACK").exists());
    hub.releases();
    project.ended(running).exits(14);
    let trail = project.trail("production");
    let kinds: Vec<_> = trail.kinds().into_iter().filter(|kind| ["health", "rollback_ended"].contains(kind)).collect();
    assert_eq!(kinds, ["health", "rollback_ended"]);
}

#[test]
fn a_signal_ends_a_helper_that_only_reads() {
    let rotating = rotating();
    let project = rotating.project.write("capabilities", b"touch asked; sleep 25\n");
    fs::create_dir(project.path("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", project.path("bin/license-store-mine")).unwrap();
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").unwrap());
    let project = project
        .var("PATH", &path)
        .tables("[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\n")
        .line("key", r#"{ store = "mine" }"#)
        .deploying("true");
    let mut running = project.start(&["deploy", "production"]);
    running.until("the helper is asked", |_| project.path("asked").exists());
    let began = Instant::now();
    running.signal(Signal::INT);
    project.ended(running).exits(130).says("was stopped, since signal 2 came");
    assert!(began.elapsed() < Duration::from_secs(20), "it was not waited for");
}

/// A CI system kills what it stops seconds later, and throws the machine away.
#[test]
fn an_answer_that_other_machines_cannot_see_yet_is_printed_as_soon_as_a_signal_comes() {
    let hub = Hub::new();
    let rotating = Rotating::start(BINARY, authority(&[])).with(|project| hub.shared_by(project).var("CI", "true"));
    hub.holds_push(2, "refs/license/escrow/");
    let mut running = rotating.project.start(&["rotate", "production"]);
    running.until("the remote holds the answer", |_| hub.holds());
    running.signal(Signal::INT);
    running.until("it is printed", |running| running.stderr().contains("-----END AGE ENCRYPTED FILE-----"));
    assert!(running.stderr().contains("cargo xtask rotate production --adopt"));
    hub.releases();
    let ran = rotating.project.ended(running);
    ran.exits(130);
    rotating.hidden(&ran);
    rotating.project.rotate(&["--resume"]).exits(0);
    rotating.stores_hold(&rotating.newest_key());
}
