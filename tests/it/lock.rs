//! Claims: who holds an environment is in its trail, and a person can look at it and end what was not given back.

use std::fs;

use license_tests::{
    Hub, Project, Ran, Rotating,
    process::{Running, Signal, until},
};
use serde_json::{Value, json};

use crate::{BINARY, asking, authority, good, saying};

/// A deploy that goes on until it is told.
const WAITS: &str = "while [ ! -e \"$seen/go-on\" ]; do sleep 0.05; done";

fn claim(project: &Project) -> Value {
    let document = project.run(&["lock", "show", "production", "--format", "json"]).exits(0).json();
    assert_eq!(document["schema"], "license-hooks/lock-show/1");
    document["claim"].clone()
}

/// A deploy under way.
fn deploying(project: &Project) -> Running {
    let mut running = project.start(&["deploy", "production"]);
    running.until("it deploys", |_| project.seen().join("cwd").exists());
    running
}

#[test]
fn a_deploy_claims_its_environment_and_gives_it_back_however_it_ends() {
    for (command, exit) in [("true", 0), ("exit 1", 13)] {
        let server = saying(&good());
        let project = asking(&server).deploying(command);
        project.deploy().exits(exit);
        assert_eq!(project.trail("production").claims(), ["claimed", "released"], "{command}");
        assert_eq!(claim(&project), Value::Null);
    }
    let server = saying(&json!({ "valid": false }));
    let project = asking(&server);
    project.deploy().exits(10);
    assert_eq!(project.trail("production").claims(), ["claimed", "released"]);
    project.run(&["lock", "show", "production"]).exits(0).says("is free");
}

#[test]
fn a_plan_claims_nothing() {
    let server = saying(&good());
    let project = asking(&server);
    project.run(&["deploy", "production", "--plan"]).exits(0);
    assert!(!project.path(".license").exists());
}

#[test]
fn a_claim_in_force_is_shown_and_cannot_be_broken() {
    let server = saying(&good());
    let project = asking(&server).deploying(WAITS).var("USER", "alice");
    let first = deploying(&project);
    let seen = claim(&project);
    assert_eq!((&seen["state"], &seen["actor"]["user"]), (&json!("in_force"), &json!("alice")));
    let entry = seen["entry"]["seq"].to_string();
    let shown = project.run(&["lock", "show", "production"]);
    shown.exits(0).says("alice").says(&format!("#{entry}")).says(seen["entry"]["head"].as_str().unwrap());

    let broken = project.run(&["lock", "break", "production", "--expect", &entry, "--reason", "in the way"]);
    broken.exits(25).says("in force").says("help");
    project.run(&["deploy", "production"]).exits(25).says("alice").says("cargo xtask lock show production");

    fs::write(project.seen().join("go-on"), "").unwrap();
    project.ended(first).exits(0).deploy_ran();
}

/// A deploy that was killed, and whose claim has run out since.
fn abandoned() -> (license_tests::RawServer, Project) {
    let server = saying(&good());
    let project = asking(&server).deploying(WAITS);
    let mut first = deploying(&project);
    first.kill();
    fs::write(project.seen().join("go-on"), "").unwrap();
    (server, project)
}

#[test]
fn the_claim_of_a_killed_deploy_is_taken_over_at_once_and_that_is_said() {
    let (_server, project) = abandoned();
    assert_eq!(claim(&project)["state"], "in_force");
    project.deploy().exits(0).says("taken over").deploy_ran();
    assert_eq!(project.trail("production").claims(), ["claimed", "claimed", "released"]);
}

#[test]
fn only_the_claim_that_was_seen_is_broken_and_only_once_it_has_run_out() {
    let (_server, project) = abandoned();
    let project = project.var("USER", "bob");
    let run_out = |project: &Project| {
        let text = fs::read_to_string(project.trail_file("production")).unwrap();
        let until = claim(project)["until"].as_str().unwrap().to_owned();
        fs::write(project.trail_file("production"), text.replace(&until, "2020-01-01T00:00:00Z")).unwrap();
        rechain(project);
    };
    run_out(&project);
    let seen = claim(&project);
    assert_eq!(seen["state"], "run_out");
    let (seq, head) = (seen["entry"]["seq"].to_string(), seen["entry"]["head"].as_str().unwrap().to_owned());
    let shown = project.run(&["lock", "show", "production"]);
    shown.exits(0).says(&format!("cargo xtask lock break production --expect {seq}"));

    let other = project.run(&["lock", "break", "production", "--expect", "99", "--reason", "gone"]);
    other.exits(2).says(&format!("entry #{seq}")).says("help");
    project.run(&["lock", "break", "production", "--expect", "what", "--reason", "gone"]).exits(2);
    project.run(&["lock", "break", "production", "--expect", &head, "--reason", " "]).exits(2);
    assert_eq!(project.trail("production").claims(), ["claimed"], "nothing was broken so far");

    let arguments = ["lock", "break", "production", "--expect", &head, "--reason", "the machine burned"];
    project.run(&arguments).exits(0).says("is free");
    let trail = project.trail("production");
    let entry = trail.last("claim");
    assert_eq!((&entry["act"], &entry["reason"]), (&json!("broken"), &json!("the machine burned")));
    assert_eq!(entry["actor"]["user"], "bob");
    let document = project.run(&[&arguments[..], &["--format", "json"]].concat()).exits(2).json();
    assert_eq!(document["error"]["code"], "not_that_claim");
    project.run(&["audit", "verify", "production"]).exits(0);
    project.deploy().exits(0).deploy_ran();
}

#[test]
fn a_claim_of_a_clock_that_is_ahead_is_shown_as_such_and_can_be_broken() {
    let (_server, project) = abandoned();
    let ahead = |text: &str| {
        let time: jiff::Timestamp = text.parse().unwrap();
        (time + jiff::SignedDuration::from_hours(24 * 365)).to_string()
    };
    let text = fs::read_to_string(project.trail_file("production")).unwrap();
    let mut lines = String::new();
    for line in text.lines() {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        for field in ["at", "until"] {
            if let Some(time) = entry[field].as_str() {
                entry[field] = ahead(time).into();
            }
        }
        lines = lines + &entry.to_string() + "\n";
    }
    fs::write(project.trail_file("production"), lines).unwrap();
    rechain(&project);
    let seen = claim(&project);
    assert_eq!(seen["state"], "ahead");
    let seq = seen["entry"]["seq"].to_string();
    let shown = project.run(&["lock", "show", "production"]);
    shown.exits(0).says("8759 h 59 min ahead").says(&format!("lock break production --expect {seq}"));
    project.run(&["lock", "break", "production", "--expect", &seq, "--reason", "its clock is wrong"]).exits(0);
    assert_eq!(claim(&project), Value::Null);
    project.run(&["audit", "verify", "production"]).exits(0);
    project.deploy().exits(0).deploy_ran();
}

/// Gives changed lines a chain that holds, as an old trail has one.
fn rechain(project: &Project) {
    let path = project.trail_file("production");
    let text = fs::read_to_string(&path).unwrap();
    let mut prev = license_core::chain::LineHash::ZERO;
    let mut lines = String::new();
    for line in text.lines() {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        entry["prev"] = prev.to_string().into();
        let line = entry.to_string();
        prev = license_core::chain::LineHash::of(line.as_bytes());
        lines = lines + &line + "\n";
    }
    fs::write(path, lines).unwrap();
}

#[test]
fn a_terminated_deploy_gives_its_environment_back() {
    let server = saying(&good());
    let project = asking(&server).deploying("sleep 40");
    let running = deploying(&project);
    running.signal(Signal::TERM);
    project.ended(running).exits(143);
    assert_eq!(project.trail("production").claims(), ["claimed", "released"]);
}

/// One trail of two checkouts, as on a shared volume.
#[test]
fn a_deploy_under_way_below_another_directory_is_not_taken_for_dead() {
    let server = saying(&good());
    let first = asking(&server).deploying(WAITS).var("USER", "alice");
    let second = asking(&server);
    for project in [&first, &second] {
        fs::create_dir(project.path(".license")).unwrap();
    }
    let shared = first.path("shared");
    fs::create_dir(&shared).unwrap();
    for project in [&first, &second] {
        std::os::unix::fs::symlink(&shared, project.path(".license/trail")).unwrap();
    }
    let running = deploying(&first);
    second.deploy().exits(25).says("alice").deploy_did_not_run();
    fs::write(first.seen().join("go-on"), "").unwrap();
    first.ended(running).exits(0);
    assert_eq!(first.trail("production").claims(), ["claimed", "released"]);
    second.deploy().exits(0).deploy_ran();
}

#[test]
fn a_signal_ends_a_wait_for_the_remote_of_the_trail_and_what_is_not_known_is_said() {
    for (signal, exit, name) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")] {
        let (hub, server) = (Hub::new(), saying(&good()));
        let project = hub.shared_by(asking(&server).deploying("true"));
        let ran = stopped_at_the_claim(&hub, &project, "deploy", signal);
        ran.named(name).exits(exit).says(&format!("git was stopped while it was pushing, since {name} came"));
        assert!(!project.seen().join("cwd").exists(), "nothing was deployed");
    }
    let hub = Hub::new();
    let rotating = Rotating::start(BINARY, authority(&[])).with(|project| hub.shared_by(project));
    stopped_at_the_claim(&hub, &rotating.project, "rotate", Signal::INT).exits(130);
    assert_eq!(rotating.calls(), 0, "nothing was rotated");
}

#[test]
fn whoever_only_looks_ends_after_a_signal_too_and_leaves_no_git_behind() {
    let (hub, server) = (Hub::new(), saying(&good()));
    let project = hub.shared_by(asking(&server).deploying("true"));
    project.deploy().exits(0);
    hub.hangs_for(&project);
    let looks = [
        &["lock", "show", "production"][..],
        &["audit", "show", "production"],
        &["audit", "verify"],
        &["audit", "export"],
        &["escrow", "show", "production"],
    ];
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let all: Vec<Running> = looks.iter().map(|args| project.start(args)).collect();
        until("each asks the remote", || hub.fetching().len() == looks.len());
        for running in &all {
            running.signal(signal);
        }
        for (running, args) in all.into_iter().zip(looks) {
            project.ended(running).named(&args.join(" ")).exits(exit);
        }
        until("what they started is gone", || hub.fetching().is_empty());
    }
}

/// A command that waits for the remote to take its claim, and gets a signal.
fn stopped_at_the_claim(hub: &Hub, project: &Project, command: &str, signal: Signal) -> Ran {
    hub.holds_before_a_claim();
    let running = project.start(&[command, "production"]);
    until("the remote does not answer", || hub.holds());
    running.signal(signal);
    let ran = project.ended(running).named(command);
    ran.says("it is not known whether entry 1 was appended")
        .says("`production` may be claimed by this run until")
        .says("`cargo xtask lock show production` tells");
    ran
}

#[test]
fn a_claim_that_arrived_is_given_back_after_a_signal() {
    let (hub, server) = (Hub::new(), saying(&good()));
    let project = hub.shared_by(asking(&server).deploying("true"));
    hub.holds_after_a_claim();
    let running = project.start(&["deploy", "production"]);
    until("the remote does not answer", || hub.holds());
    running.signal(Signal::INT);
    project.ended(running).exits(130);
    assert!(!project.seen().join("cwd").exists(), "nothing was deployed");
    let trail = hub.trail("production");
    assert_eq!((trail.claims().first(), trail.claims().last()), (Some(&"claimed"), Some(&"released")));
}

#[test]
fn a_deploy_that_is_told_twice_to_stop_still_says_what_became_of_it_and_gives_its_environment_back() {
    let (hub, server) = (Hub::new(), saying(&good()));
    let slow = format!("trap 'sleep 1; exit 1' INT TERM; touch \"$seen/waits\"; {WAITS}");
    let project = hub.shared_by(asking(&server).deploying(&slow));
    let running = project.start(&["deploy", "production"]);
    until("it deploys", || project.seen().join("waits").exists());
    running.signal(Signal::INT);
    // Two that come at once are one wish.
    std::thread::sleep(std::time::Duration::from_millis(400));
    running.signal(Signal::TERM);
    project.ended(running).exits(130);
    let trail = hub.trail("production");
    assert_eq!(trail.claims(), ["claimed", "released"]);
    assert!(trail.kinds().contains(&"deploy_ended"), "{:?}", trail.kinds());
}
