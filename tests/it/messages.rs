//! What people read, kept in `cases/messages`: one file for each way in which a command can end.
//!
//! `UPDATE=1 cargo test --package license-tests --test it messages` rewrites the files; the difference is for review.

use std::{fs, path::PathBuf};

use license_tests::{Answer, App, Project, Ran, RawServer};
use serde_json::json;

use crate::{
    KEY, asking, embedded, good, good_but,
    hook::{KEPT, Repository, script},
    project, saying,
};

/// Compares a run with its file. What differs from run to run is replaced by words.
fn reads(name: &str, ran: &Ran) {
    let found =
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", ran.code(), steady(ran.stdout()), steady(ran.stderr()));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases/messages").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &found).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(expected == found, "{name}\n--- expected\n{expected}--- found\n{found}`UPDATE=1` rewrites the file");
}

/// The text without ports, hashes, times, ids and how long something took.
fn steady(text: &str) -> String {
    let text = text.replace(&until_2099(), "MANY days from now");
    let text = text.replace(&format!("in {}", until_2099().trim_end_matches(" from now")), "in MANY days");
    let words = text.split_inclusive([' ', '\n', '`', ',', '(', ')', '[', ']', '"']);
    words.map(steady_word).collect()
}

/// How many days a license of these tests has left, as it is said.
fn until_2099() -> String {
    let end: jiff::Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    format!("{} days from now", end.duration_since(jiff::Timestamp::now()).as_hours() / 24)
}

fn steady_word(word: &str) -> String {
    let end = word.trim_end_matches([' ', '\n', '`', ',', '(', ')', '[', ']', '"']).len();
    let (core, rest) = word.split_at(end);
    let hex = |length: usize| core.len() == length && core.bytes().all(|byte| byte.is_ascii_hexdigit());
    let seconds = core.split_once('.').is_some_and(|(whole, tenths)| {
        !whole.is_empty() && [whole, tenths].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let steady = match core {
        _ if hex(64) => "HASH".to_owned(),
        _ if core.starts_with("rel_") => "RELEASE".to_owned(),
        _ if core.starts_with("lic_") => "LICENSE".to_owned(),
        _ if core.contains("/license-") => {
            format!("PROJECT/{}", core.rsplit('/').next().unwrap_or_default())
        }
        _ if core.len() >= 20 && core.ends_with('Z') && core.starts_with("20") && !core.starts_with("2099") => {
            "TIME".to_owned()
        }
        _ if seconds => "N.N".to_owned(),
        _ if hex(16) => "FINGERPRINT".to_owned(),
        core => without_port(core),
    };
    steady + rest
}

fn without_port(word: &str) -> String {
    let Some((before, after)) = word.split_once("127.0.0.1:") else { return word.to_owned() };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    format!("{before}127.0.0.1:PORT{}", &after[digits..])
}

/// Wide lines, so that nothing is wrapped at a place that depends on a port or a path.
const WIDE: &str = "200";

fn production(server: &RawServer) -> Project {
    asking(server)
        .var("COLUMNS", WIDE)
        .line("key_class", r#""PRD""#)
        .line("features", r#"["analytics", "sso"]"#)
        .line("activations", "2")
}

#[test]
fn a_deploy_that_goes_well() {
    reads("deploy-go", &production(&saying(&good())).deploy());
}

#[test]
fn a_deploy_that_is_refused_for_several_reasons_at_once() {
    let server = saying(&good_but(&json!({
        "expiresAt": "2020-01-01T00:00:00Z", "features": ["analytics"], "activationsUsed": 10, "domains": ["other.com"],
    })));
    reads("deploy-refused", &production(&server).deploy());
}

#[test]
fn a_key_that_the_authority_does_not_know() {
    let server = saying(&json!({ "valid": false, "code": "LICENSE_NOT_FOUND", "message": "no such license" }));
    reads("deploy-unknown-key", &production(&server).deploy());
}

#[test]
fn a_key_of_another_class_is_not_sent() {
    reads(
        "deploy-other-class",
        &production(&saying(&good())).without("key_class").line("key_class", r#""STG""#).deploy(),
    );
}

#[test]
fn facts_that_the_authority_did_not_state() {
    reads(
        "deploy-unknown",
        &production(&saying(&json!({ "valid": true, "expiresAt": "2099-01-01T00:00:00Z" }))).deploy(),
    );
}

#[test]
fn an_authority_that_breaks_every_connection() {
    reads("deploy-unreachable", &production(&RawServer::script([Answer::Reset])).deploy());
}

#[test]
fn a_deploy_by_force() {
    let server = RawServer::script([Answer::Reset]);
    let project = production(&server);
    reads("deploy-forced", &project.run(&["deploy", "production", "--force", "--reason", "the authority is down"]));
}

#[test]
fn an_api_token_that_is_refused() {
    let server = RawServer::script([Answer::json(401, &json!({ "error": "invalid token" }))]);
    reads("deploy-credential", &production(&server).var("TO_API_KEY", "to_live_0123456789abcdef").deploy());
}

#[test]
fn a_deploy_command_that_fails() {
    reads("deploy-failed", &production(&saying(&good())).deploying("echo broken >&2; exit 7").deploy());
}

#[test]
fn an_application_that_stays_unhealthy_and_is_rolled_back() {
    let app = App::reporting(json!({ "valid": true, "plan": "starter", "features": ["analytics"] }));
    let server = saying(&good());
    let project = production(&server).health(&app, "1s").line("rollback", r#""true""#);
    reads("deploy-unhealthy", &project.deploy());
}

#[test]
fn a_plan() {
    reads("deploy-plan", &production(&saying(&good())).run(&["deploy", "production", "--plan"]));
}

#[test]
fn a_first_plan_without_any_key() {
    reads("deploy-plan-first", &embedded().var("COLUMNS", WIDE).run(&["deploy", "--plan"]));
}

#[test]
fn a_check_without_a_key() {
    reads("check-no-key", &production(&saying(&good())).unset("LICENSE_KEY").check());
}

#[test]
fn a_check_of_a_development_environment_that_was_never_deployed() {
    reads("check-no-development-key", &embedded().var("COLUMNS", WIDE).run(&["check"]));
}

#[test]
fn an_environment_that_does_not_exist() {
    reads("check-no-such-environment", &production(&saying(&good())).run(&["check", "prodution"]));
}

#[test]
fn no_license_toml() {
    reads("check-no-config", &project().without_license_toml().key(KEY).var("COLUMNS", WIDE).run(&["check"]));
}

#[test]
fn a_hook_that_is_installed_for_the_first_time_and_again() {
    let repository = Repository::new();
    reads("hook-status-nothing", &repository.run(&["hook", "status"]));
    reads("hook-install", &repository.install());
    reads("hook-status", &repository.run(&["hook", "status"]));
    let repository = repository.asking("https://other.example.com/v1");
    reads("hook-status-changed", &repository.run(&["hook", "status"]));
    reads("hook-install-changed", &repository.install());
    reads("hook-uninstall", &repository.uninstall());
    reads("hook-uninstall-nothing", &repository.uninstall());
}

#[test]
fn a_hook_beside_another_one() {
    let repository = Repository::new();
    repository.with_hook(0);
    reads("hook-install-chained", &repository.install());
    reads("hook-status-chained", &repository.run(&["hook", "status"]));
    reads("hook-uninstall-chained", &repository.uninstall());
    script(&repository.hooks.join(KEPT), "#!/bin/sh\n", 0o755);
    reads("hook-install-taken", &repository.install());
}

#[test]
fn a_hook_that_somebody_changed() {
    let repository = Repository::new();
    repository.install().exits(0);
    let hook = repository.hooks.join("pre-push");
    let text = fs::read_to_string(&hook).unwrap();
    script(&hook, &format!("{text}echo mine\n"), 0o755);
    reads("hook-install-edited", &repository.install());
    reads("hook-status-edited", &repository.run(&["hook", "status"]));
}

#[test]
fn a_hook_behind_the_one_of_a_manager() {
    let repository = Repository::new();
    repository.with_hook(0);
    repository.install().exits(0);
    fs::rename(repository.hooks.join("pre-push"), repository.hooks.join("pre-push.legacy")).unwrap();
    let theirs = "#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n";
    script(&repository.hooks.join("pre-push"), theirs, 0o755);
    reads("hook-install-behind", &repository.install());
    reads("hook-status-behind", &repository.run(&["hook", "status"]));
    reads("hook-uninstall-behind", &repository.uninstall());
}

#[test]
fn hooks_that_a_manager_writes() {
    for (name, file, text) in [
        ("husky", ".husky/pre-push", ""),
        ("lefthook", "lefthook.yml", ""),
        ("pre-commit", ".pre-commit-config.yaml", "default_install_hook_types: [pre-push]\nrepos: []\n"),
        ("pre-commit-without-pre-push", ".pre-commit-config.yaml", "repos: []\n"),
        ("prek", "prek.toml", "default_install_hook_types = [\"pre-push\"]\nrepos = []\n"),
    ] {
        let repository = Repository::new();
        script(&repository.directory.join(file), text, 0o644);
        reads(&format!("hook-install-{name}"), &repository.install());
    }
}

#[test]
fn hooks_of_all_repositories() {
    let repository = Repository::new();
    repository.git(&["config", "--global", "core.hooksPath", "~/hooks"]);
    reads("hook-install-shared", &repository.install());
}

#[test]
fn a_hook_outside_of_a_repository() {
    reads("hook-no-repository", &project().without_license_toml().var("COLUMNS", WIDE).run(&["hook", "install"]));
}

#[test]
fn a_hook_that_runs_twice() {
    let repository = Repository::new();
    repository.install().exits(0);
    repository.git(&["config", "hook.guard.event", "pre-push"]);
    repository.git(&["config", "hook.guard.command", ".git/license/xtask pre-push"]);
    reads("hook-install-configured", &repository.install());
}

#[test]
fn a_look_at_what_is_well() {
    let usage = json!({ "validationsMonth": 123, "monthlyLimit": 500 });
    let server = RawServer::answering(move |request| {
        Answer::json(200, &if request.is_about_usage() { usage.clone() } else { good() })
    });
    let app = App::reporting(json!({ "valid": true, "plan": "enterprise", "features": ["analytics", "sso"] }));
    reads("status-good", &production(&server).health(&app, "5s").run(&["status"]));
}

#[test]
fn a_look_whose_key_cannot_be_read() {
    let server = saying(&good());
    reads("status-no-key", &production(&server).unset("LICENSE_KEY").run(&["status"]));
}

#[test]
fn a_look_whose_authority_cannot_be_asked() {
    let server = RawServer::answering(|_| Answer::Reset);
    reads("status-unreachable", &production(&server).run(&["status"]));
}

#[test]
fn a_look_whose_token_is_refused() {
    let server = RawServer::answering(|_| Answer::json(401, &json!({ "error": "invalid token" })));
    reads("status-credential", &production(&server).run(&["status"]));
}

#[test]
fn a_look_whose_trail_cannot_be_trusted() {
    let server = saying(&good());
    let project = production(&server);
    project.run(&["status"]).exits(0);
    let file = project.trail_file("production");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"go\"", "\"no\"")).unwrap();
    reads("status-trail", &project.run(&["status"]));
}

#[test]
fn a_look_at_an_application_without_the_endpoint() {
    let app = RawServer::answering(|_| Answer::text(404, "text/plain", "no"));
    let url = format!("http://{}/api/license/status", app.address());
    let server = saying(&good());
    let project = production(&server).line("health", &format!("{{ url = \"{url}\", within = \"5s\" }}"));
    reads("status-no-endpoint", &project.run(&["status"]));
}

#[test]
fn a_look_at_an_account_near_its_limit() {
    let server = RawServer::answering(|request| {
        if request.is_about_usage() {
            return Answer::json(200, &json!({ "validationsMonth": 500, "monthlyLimit": 500 }));
        }
        Answer::json(429, &json!({ "code": "QUOTA_EXCEEDED", "message": "no validations left" }))
    });
    reads("status-quota", &production(&server).run(&["status"]));
}

#[test]
fn a_watch_without_a_terminal() {
    reads("status-watch", &production(&saying(&good())).run(&["status", "--watch"]));
}
