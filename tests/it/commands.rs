//! Deploy commands that go wrong.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use license_tests::{
    App, Project, RawServer,
    process::{Signal, is_alive, until},
};
use serde_json::{Value, json};

use crate::{asking, good, saying};

/// How the last command ended, as the trail has it.
fn ended(project: &Project) -> Value {
    project.trail("production").last("deploy_ended")["ended"].clone()
}

fn ready() -> (RawServer, Project) {
    let server = saying(&good());
    let project = asking(&server);
    (server, project)
}

#[test]
fn a_command_that_fails() {
    let (_server, project) = ready();
    let project = project.deploying("echo 'no space left in the cluster' >&2; exit 7");
    project.deploy().exits(13).says("no space left in the cluster").says("7").deploy_ran();
    assert_eq!(ended(&project), json!({ "how": "exited", "code": 7 }));
    let document = project.deploy_json().exits(13).json();
    assert_eq!((&document["verdict"], &document["exit"]["name"]), (&json!("go"), &json!("deploy_failed")));
}

#[test]
fn a_command_whose_exit_is_one_of_ours_is_still_a_failed_deploy() {
    for code in [1, 10, 11, 14, 26, 101, 130, 255] {
        let (_server, project) = ready();
        project.deploying(&format!("exit {code}")).deploy().exits(13).deploy_ran();
    }
}

#[test]
fn a_command_that_does_not_exist() {
    for words in [r#""no-such-program --now""#, r#"["./no-such-script"]"#] {
        let (_server, project) = ready();
        let project = project.line("deploy", words);
        project.deploy().exits(13).says("no-such-").deploy_did_not_run();
        assert_eq!(ended(&project)["how"], "not_started", "{words}");
    }
}

#[test]
fn a_command_that_is_not_executable() {
    let (_server, project) = ready();
    let project = project.write("plain.sh", b"#!/bin/sh\ntouch ran\n").line("deploy", r#""./plain.sh""#);
    fs::set_permissions(project.path("plain.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    project.deploy().exits(13).says("plain.sh").says("not executable");
    assert_eq!(ended(&project)["how"], "not_started");
    assert!(!project.path("ran").exists());
}

#[test]
fn a_command_that_is_killed() {
    let (_server, project) = ready();
    let project = project.deploying("kill -KILL $$");
    project.deploy().exits(13).says("signal").deploy_ran();
    assert_eq!(ended(&project), json!({ "how": "killed", "signal": 9 }));
}

#[test]
fn a_command_past_its_deadline_is_stopped_with_everything_it_started() {
    let (_server, project) = ready();
    let project = project
        .line("deploy_timeout", r#""1s""#)
        .deploying("sleep 50 & echo $! > \"$seen/child\"; echo $$ > \"$seen/self\"; wait");
    let started = Instant::now();
    project.deploy().exits(13).says("1 s").deploy_ran();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(ended(&project), json!({ "how": "timed_out", "after_secs": 1 }));
    for name in ["self", "child"] {
        let pid = project.trace(name).trim().parse().unwrap();
        until("the group is gone", || !is_alive(pid));
    }
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_at_its_deadline() {
    let (_server, project) = ready();
    let project = project.line("deploy_timeout", r#""1s""#).deploying("trap '' TERM; while :; do sleep 1; done");
    let started = Instant::now();
    project.deploy().exits(13).deploy_ran();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_background_child_that_holds_the_pipe_does_not_hold_the_deploy() {
    let (_server, project) = ready();
    let project = project.deploying("sleep 40 & echo $! > \"$seen/daemon\"; echo started");
    let started = Instant::now();
    project.deploy().exits(0).says("started").deploy_ran();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let daemon: u32 = project.trace("daemon").trim().parse().unwrap();
    assert!(is_alive(daemon), "a deploy may leave a daemon");
    license_tests::process::kill(daemon);
}

#[test]
fn the_command_cannot_read_our_input() {
    let (_server, project) = ready();
    let project = project.deploying("if read -r line; then echo got a line; else echo no input; fi");
    project.deploy().exits(0).says("no input").deploy_ran();
}

#[test]
fn output_that_is_not_text_does_no_harm() {
    let (_server, project) = ready();
    let project = project
        .deploying("printf '\\377\\376\\000bin'; head -c 300000 /dev/zero | tr '\\000' x; printf '\\nlast line\\n'");
    project.deploy().exits(0).says("last line").deploy_ran();
}

/// Whether these tests are to outlive their terminal, and so is all that they start: `nohup` does that.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("1");
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 != 0
}

#[test]
fn a_terminal_that_is_gone_ends_the_command_too() {
    if is_hangup_ignored() {
        std::io::stderr().write_all(b"skipped: these tests outlive their terminal, as under nohup\n").unwrap();
        return;
    }
    // The command gets the signal that it knows how to end on.
    a_signal_is_passed_on(Signal::HUP, 143, "TERM");
}

#[test]
fn a_signal_reaches_the_command_and_everything_it_started() {
    a_signal_is_passed_on(Signal::INT, 130, "INT");
    a_signal_is_passed_on(Signal::TERM, 143, "TERM");
}

fn a_signal_is_passed_on(signal: Signal, exit: i32, name: &str) {
    let (_server, project) = ready();
    let script = format!(
        "trap 'echo {name} > \"$seen/got\"; exit 1' {name}\nsleep 50 & echo $! > \"$seen/child\"\n: > \"$seen/ready\"\nwait\n"
    );
    let project = project.deploying(&script);
    let mut running = project.start(&["deploy", "production"]);
    running.until("the command is ready", |_| project.seen().join("ready").exists());
    running.signal(signal);
    let ran = project.ended(running);
    ran.exits(exit).deploy_ran();
    assert_eq!(project.trace("got").trim(), name);
    let child = project.trace("child").trim().parse().unwrap();
    until("the group is gone", || !is_alive(child));
    assert_eq!(ended(&project)["how"], "interrupted", "{name}");
}

#[test]
fn a_deploy_that_is_to_outlive_its_terminal_does() {
    let (_server, project) = ready();
    let project = project.deploying(": > \"$seen/ready\"; sleep 1; echo done");
    let ready = project.seen().join("ready");
    let script = format!(
        "trap '' HUP; \"$@\" & run=$!; until [ -e '{}' ]; do sleep 0.05; done; kill -HUP $run; wait $run",
        ready.display()
    );
    project.run_under("sh", &["-c".to_owned(), script], &["deploy", "production"]).exits(0).says("done").deploy_ran();
}

#[test]
fn what_the_authority_does_not_state_is_not_inherited() {
    let server = saying(&json!({ "valid": true }));
    let project = asking(&server).line("unknown", "\"warn\"");
    let project =
        project.var("LICENSE_PLAN", "enterprise").var("LICENSE_FEATURES", "sso").var("LICENSE_EXPIRES_AT", "2099");
    project.deploy().exits(0).deploy_ran();
    let variables = project.deploy_variables();
    for name in ["LICENSE_PLAN", "LICENSE_FEATURES", "LICENSE_EXPIRES_AT"] {
        assert_eq!(variables.get(name), None, "{name}");
    }
    assert!(variables.contains_key("LICENSE_RELEASE"));
}

#[test]
fn a_signal_stops_the_waiting_for_health() {
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (_server, project) = ready();
        let app = App::reporting(json!({ "valid": false }));
        let project = project.health(&app, "50s");
        let mut running = project.start(&["deploy", "production"]);
        running.until("the application is asked", |_| app.asked() > 0);
        running.signal(signal);
        project.ended(running).exits(exit).deploy_ran();
    }
}

#[test]
fn a_signal_before_the_deploy_deploys_nothing() {
    let server = RawServer::script([license_tests::Answer::Hang]);
    let project = asking(&server).authority_line("timeout", r#""40s""#);
    let mut running = project.start(&["deploy", "production"]);
    running.until("the authority is asked", |_| !server.requests().is_empty());
    running.signal(Signal::INT);
    let ran = project.ended(running);
    ran.exits(130).deploy_did_not_run();
}

#[test]
fn a_rollback_runs_when_what_runs_is_unhealthy() {
    let (_server, project) = ready();
    let app = App::reporting(json!({ "valid": false }));
    let project = project.health(&app, "1s").line("rollback", r#"["sh", "-c", "env > rolled-back; echo back again"]"#);
    let ran = project.deploy();
    ran.exits(14).says("back again").deploy_ran();
    let seen = fs::read_to_string(project.path("rolled-back")).unwrap();
    assert!(seen.contains("LICENSE_RELEASE=") && !seen.contains("TO_API_KEY="), "{seen}");
    let trail = project.trail("production");
    assert_eq!(trail.kinds(), ["gate", "deploy_started", "deploy_ended", "health", "rollback_ended"]);
    assert_eq!(trail.last("rollback_ended")["ended"], json!({ "how": "exited", "code": 0 }));
    assert_eq!(trail.last("rollback_ended")["release"], trail.last("deploy_started")["release"]);
}

#[test]
fn a_rollback_that_fails_is_told_too() {
    let (_server, project) = ready();
    let app = App::reporting(json!({ "valid": false }));
    let project = project.health(&app, "1s").line("rollback", r#"["sh", "-c", "exit 9"]"#);
    project.deploy().exits(14).says("rollback").says("9").deploy_ran();
    assert_eq!(project.trail("production").last("rollback_ended")["ended"], json!({ "how": "exited", "code": 9 }));
}

#[test]
fn a_rollback_does_not_run_when_all_is_well_or_nothing_was_deployed() {
    let rollback = r#"["sh", "-c", "touch rolled-back"]"#;
    let (_server, project) = ready();
    let app = App::deployed_by(&project.seen());
    let well = project.health(&app, "20s").line("rollback", rollback);
    well.deploy().exits(0).deploy_ran();
    assert!(!well.path("rolled-back").exists());

    let no = saying(&json!({ "valid": false }));
    let refused = asking(&no).health(&app, "1s").line("rollback", rollback);
    refused.deploy().exits(10).deploy_did_not_run();
    assert!(!refused.path("rolled-back").exists());
}
