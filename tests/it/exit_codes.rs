//! The table of exit codes, one test per row: an API for scripts.

use license_tests::{
    Answer, App, Project, RawServer, Rotating, VaultApi, failpoints,
    process::Signal,
    vault_api::{Engine, VAULT_TOKEN, VaultOn, VaultTrouble, errors},
};
use serde_json::json;

use crate::{BINARY, KEY, asking, authority, good, project, saying};

#[test]
fn done_is_0() {
    let document = asking(&saying(&good())).deploy_json().exits(0).json();
    assert_eq!(document["exit"], json!({ "code": 0, "name": "done" }));
}

#[test]
fn usage_is_2() {
    project().run(&["deploy", "--what"]).exits(2).deploy_did_not_run();
}

#[test]
fn a_wrong_file_is_3() {
    project().license_toml(b"version = 1\nversion = 2\n").deploy().exits(3).deploy_did_not_run();
}

#[test]
fn refused_is_10() {
    let document = asking(&saying(&json!({ "valid": false }))).deploy_json().exits(10).json();
    assert_eq!(document["exit"], json!({ "code": 10, "name": "refused" }));
}

#[test]
fn unknown_is_11() {
    let server = RawServer::script([Answer::Reset]);
    let document = asking(&server).deploy_json().exits(11).json();
    assert_eq!(document["exit"], json!({ "code": 11, "name": "unknown" }));
}

#[test]
fn a_refused_credential_is_12() {
    let server = RawServer::script([Answer::json(401, &json!({ "error": "unauthorized" }))]);
    let document = asking(&server).deploy_json().exits(12).json();
    assert_eq!(document["exit"], json!({ "code": 12, "name": "credential" }));
}

#[test]
fn a_failed_deploy_command_is_13() {
    let document = asking(&saying(&good())).deploying("exit 1").deploy_json().exits(13).json();
    assert_eq!(document["exit"], json!({ "code": 13, "name": "deploy_failed" }));
}

#[test]
fn deployed_but_unhealthy_is_14() {
    let app = App::reporting(json!({ "valid": false }));
    let document = asking(&saying(&good())).health(&app, "1s").deploy_json().exits(14).json();
    assert_eq!(document["exit"], json!({ "code": 14, "name": "unhealthy" }));
}

#[test]
fn an_alert_that_could_not_be_delivered_is_16() {
    let project = project()
        .authority_at("http://127.0.0.1:9/api/v1")
        .tables("[sinks.team]\nkind = \"command\"\ncommand = \"false\"\n");
    let document = project.run(&["alert", "test", "team", "--format", "json"]).exits(16).json();
    assert_eq!(document["exit"], json!({ "code": 16, "name": "alert_undelivered" }));
}

/// The end of a rotation, as JSON tells it.
#[track_caller]
fn rotation_ends(project: &Project, rest: &[&str], code: i32, name: &str) {
    let document = project.rotate(&[rest, &["--format", "json"]].concat()).exits(code).json();
    assert_eq!(document["exit"], json!({ "code": code, "name": name }));
}

/// A rotation by an authority with this fault. Where the real waits are long, they are short.
fn rotating(fault: &[&str]) -> Rotating {
    Rotating::start(failpoints::binary(BINARY), authority(fault)).with(Project::impatient)
}

#[test]
fn a_rotation_that_is_refused_is_20() {
    let rotating = Rotating::start(BINARY, authority(&[]));
    rotation_ends(&rotating.project, &["--grace-days", "0"], 20, "rotation_refused");
}

#[test]
fn a_rotation_that_nobody_knows_about_is_21() {
    let rotating = rotating(&["--fault", "html-502@rotate:1"]);
    rotation_ends(&rotating.project, &[], 21, "rotation_unknown");
}

#[test]
fn a_rotation_whose_key_is_lost_is_22() {
    let rotating = rotating(&["--fault", "status=500@rotate:1"]);
    rotation_ends(&rotating.project, &[], 22, "key_lost");
}

#[test]
fn a_new_key_that_is_not_usable_is_23() {
    let rotating = rotating(&["--fault", "huge-body=1MB@rotate:1"]);
    rotation_ends(&rotating.project, &[], 23, "new_key_rejected");
}

#[test]
fn a_store_that_did_not_take_the_new_key_is_24() {
    let vault = VaultApi::start(Engine::V2, "secret");
    vault.fail(VaultOn::Write, VaultTrouble::Answer(errors(500, &["internal error"])));
    let table = format!(
        "[stores.vault]\nkind = \"vault\"\nurl = \"{}\"\npath = \"app\"\ntoken = {{ env = \"VAULT_TOKEN\" }}\n",
        vault.url()
    );
    let rotating = Rotating::start(BINARY, authority(&[])).with(|project| {
        project.tables(&table).var("VAULT_TOKEN", VAULT_TOKEN).line("stores", r#"["second", "vault"]"#)
    });
    rotation_ends(&rotating.project, &[], 24, "partial");
}

#[test]
fn an_environment_that_is_held_is_25() {
    let server = saying(&good());
    let project = asking(&server).deploying("while [ ! -e \"$seen/go-on\" ]; do sleep 0.05; done");
    let mut first = project.start(&["deploy", "production"]);
    first.until("the first deploys", |_| project.seen().join("cwd").exists());
    let second = project.deploy_json();
    std::fs::write(project.seen().join("go-on"), "").unwrap();
    assert_eq!(second.exits(25).deploy_did_not_run().json()["exit"], json!({ "code": 25, "name": "held" }));
    project.ended(first).exits(0);
}

#[test]
fn a_trail_that_cannot_be_written_is_26() {
    let document = asking(&saying(&good())).write(".license", b"").deploy_json().exits(26).deploy_did_not_run().json();
    assert_eq!(document["exit"], json!({ "code": 26, "name": "trail" }));
}

#[test]
fn a_store_that_cannot_be_used_is_27() {
    let project = project().write(".license/escrow", b"");
    project.run(&["escrow", "show", "production"]).exits(27);
}

#[test]
fn a_leak_is_30() {
    let (project, _) = crate::leaks::repository_with_a_leak();
    let document = project.run(&["leaks", "--format", "json"]).exits(30).json();
    assert_eq!(document["exit"], json!({ "code": 30, "name": "leaked" }));
}

#[test]
fn a_scan_that_cannot_be_completed_is_31() {
    let project = project().authority_at("http://127.0.0.1:9/api/v1").var("GIT_CEILING_DIRECTORIES", "/");
    let document = project.run(&["leaks", "--format", "json"]).exits(31).json();
    assert_eq!(document["exit"], json!({ "code": 31, "name": "incomplete" }));
}

#[test]
fn a_head_that_is_another_is_32() {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    project.run(&["audit", "verify", "production", "--expect-head", &"a".repeat(64)]).exits(32);
}

#[test]
fn interrupted_is_130() {
    let server = saying(&good());
    asking(&server).deploying("sleep 40").deploy_and_signal(Signal::INT).exits(130);
}

#[test]
fn terminated_is_143() {
    let server = saying(&good());
    asking(&server).deploying("sleep 40").deploy_and_signal(Signal::TERM).exits(143);
}

/// A closed pipe is the reader's choice, not a bug: `cargo xtask check | head -1`.
#[test]
fn a_reader_that_hangs_up_is_no_bug() {
    let server = saying(&good());
    let project = asking(&server).key(KEY);
    let plain = project.command(&project.path(""), &["check", "production", "--format", "json"]);
    let mut command = std::process::Command::new("sh");
    // The reader is gone before anything is written: the server answers first, and `true` ends at once.
    command.arg("-c").arg("{ \"$@\"; echo \"exit $?\" >&2; } | true").arg("sh");
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let finished = license_tests::process::Running::start(command.current_dir(project.path(""))).wait();
    assert_eq!(server.requests().len(), 1, "{finished:?}");
    assert!(!finished.stderr.contains("panicked") && !finished.stderr.contains("exit 101"), "{finished:?}");
}
