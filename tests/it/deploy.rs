//! A deploy from its beginning to its end.

use std::{fs, os::unix::fs::symlink};

use license_core::LicenseKey;
use license_tests::{Answer, App, Grant, Project, RawServer, process::is_alive, strace};
use serde_json::json;

use crate::{KEY, asking, authority, embedded, good, good_but, licensed, project, saying};

#[test]
fn a_good_license_deploys_and_what_runs_is_proved() {
    let (_authority, license, project) = licensed(&Grant::default());
    let app = App::deployed_by(&project.seen());
    let project = project.health(&app, "20s").line("features", r#"["sso"]"#).line("activations", "2");
    project.deploy().exits(0).deploy_ran();

    let trail = project.trail("production");
    assert_eq!(trail.kinds(), ["gate", "deploy_started", "deploy_ended", "health"]);
    let fingerprint = LicenseKey::parse(&license.key).unwrap().fingerprint().to_string();
    assert_eq!(trail.last("gate")["verdict"], "go");
    assert_eq!(trail.last("gate")["key_fingerprint"], fingerprint);
    assert_eq!(trail.last("gate")["source"], "authority");
    assert_eq!(trail.last("deploy_started")["key_fingerprint"], fingerprint);
    assert_eq!(trail.last("deploy_ended")["ended"], json!({ "how": "exited", "code": 0 }));
    assert_eq!(trail.last("health")["health"], "proved");
    let releases: Vec<_> = trail.entries.iter().filter_map(|entry| entry["release"].as_str()).collect();
    assert_eq!(releases.len(), 3);
    assert!(releases.iter().all(|release| *release == releases[0] && !release.is_empty()), "{releases:?}");
}

#[test]
fn the_json_of_a_deploy_is_one_document_with_everything() {
    let (_authority, _, project) = licensed(&Grant::default());
    let app = App::deployed_by(&project.seen());
    let project = project.health(&app, "20s");
    let ran = project.deploy_json();
    let document = ran.exits(0).verdict("go").deploy_ran().json();
    assert!(document["schema"].is_string() || document["schema"].is_number(), "{document}");
    assert_eq!(document["environment"], "production");
    assert_eq!(document["exit"], json!({ "code": 0, "name": "done" }));
    let codes: Vec<_> = document["checks"].as_array().unwrap().iter().map(|check| check["code"].clone()).collect();
    assert_eq!(codes, ["validity", "domain", "features", "activations", "key_class", "expiry_horizon", "key_age"]);
    let trail = project.trail("production");
    assert_eq!(document["trail"]["seq"], trail.head.seq);
    assert_eq!(document["trail"]["head"], trail.head.hash.to_string());
    assert!(document["deploy"].is_object() && document["health"].is_object(), "{document}");
}

#[test]
fn the_deploy_command_gets_the_key_and_the_facts_in_its_environment_and_nothing_else() {
    let (_authority, license, project) = licensed(&Grant { features: &["analytics", "sso"], ..Grant::default() });
    let project = project
        .line("features", r#"["sso"]"#)
        .var("OTHER_KEY", "TO-STG-other-environments-key")
        .var("GIT_DIR", "/nonexistent")
        .var("CARGO_MANIFEST_DIR", "/nonexistent")
        .var("HARMLESS", "stays")
        .tables(
            "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"OTHER_KEY\" }\n",
        );
    project.deploy().exits(0).deploy_ran();

    let variables = project.deploy_variables();
    let facts = [
        ("LICENSE_KEY", license.key.as_str()),
        ("LICENSE_PLAN", "enterprise"),
        ("LICENSE_ENVIRONMENT", "production"),
        ("LICENSE_DOMAIN", "app.com"),
        ("HARMLESS", "stays"),
    ];
    for (name, value) in facts {
        assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in ["LICENSE_RELEASE", "LICENSE_FEATURES", "LICENSE_EXPIRES_AT"] {
        assert!(variables.get(name).is_some_and(|value| !value.is_empty()), "{name}");
    }
    for name in ["TO_API_KEY", "OTHER_KEY", "GIT_DIR", "CARGO_MANIFEST_DIR"] {
        assert_eq!(variables.get(name), None, "{name} reaches the deploy command");
    }
}

#[test]
fn the_key_goes_under_the_name_that_the_file_gives_it() {
    let (_authority, license, project) = licensed(&Grant::default());
    let dotenv = format!("# keys\nexport APP_KEY=\"{}\"\n", license.key);
    let project = project
        .unset("LICENSE_KEY")
        .write(".env", dotenv.as_bytes())
        .line("key", r#"{ dotenv = ".env", name = "APP_KEY" }"#);
    project.deploy().exits(0).deploy_ran();
    assert_eq!(project.deploy_variables()["APP_KEY"], license.key);
}

#[test]
fn the_deploy_command_runs_in_the_directory_of_the_file() {
    let (_authority, _, project) = licensed(&Grant::default());
    let below = project.path("deep/below");
    fs::create_dir_all(&below).unwrap();
    project.run_in(&below, &["deploy"]).exits(0).deploy_ran();
    assert_eq!(project.trace("cwd").trim(), project.path("").canonicalize().unwrap().to_str().unwrap());
    assert!(project.trail_file("production").exists() && !below.join(".license").exists());
}

#[test]
fn config_names_the_file_wherever_the_command_is_run() {
    let (_authority, _, project) = licensed(&Grant::default());
    let (file, elsewhere) = (project.path("license.toml"), project.seen());
    let project = project.var("CARGO_MANIFEST_DIR", elsewhere.to_str().unwrap());
    project.run_in(&elsewhere, &["deploy", "production"]).exits(3).says("license.toml").deploy_did_not_run();
    let ran = project.run_in(&elsewhere, &["--config", file.to_str().unwrap(), "deploy", "production"]);
    ran.exits(0).deploy_ran();
}

#[test]
fn a_relative_config_counts_from_here_and_what_it_names_from_the_file() {
    let (_authority, _, project) = licensed(&Grant::default());
    let ran = project.run_in(&project.seen(), &["--config", "../project/license.toml", "deploy", "production"]);
    ran.exits(0).deploy_ran();
    assert!(project.trail_file("production").exists() && !project.seen().join(".license").exists());
    assert_eq!(project.trace("cwd").trim(), project.path("").canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn the_manifest_directory_of_cargo_is_not_consulted() {
    let (_authority, _, project) = licensed(&Grant::default());
    let (root, elsewhere) = (project.path(""), project.seen());
    let project = project.var("CARGO_MANIFEST_DIR", root.to_str().unwrap());
    project.run_in(&elsewhere, &["deploy", "production"]).exits(3).says("license.toml").deploy_did_not_run();
}

#[test]
fn a_plan_says_what_would_happen_and_does_not_do_it() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.run(&["deploy", "production", "--plan"]).exits(0).says("deploy.sh").deploy_did_not_run();
    assert!(!project.trail("production").kinds().contains(&"deploy_started"));
}

#[test]
fn a_plan_of_a_refused_deploy_is_refused() {
    let (authority, license, project) = licensed(&Grant::default());
    authority.revoke(&license);
    project.run(&["deploy", "production", "--plan"]).exits(10).says("revoked").deploy_did_not_run();
}

const STAGING: &str =
    "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n";

#[test]
fn without_a_name_the_default_environment_is_meant_or_the_only_one() {
    let server = saying(&good());
    asking(&server).run(&["deploy"]).exits(0).deploy_ran();
    asking(&server).tables(STAGING).top("default = \"production\"\n").run(&["deploy"]).exits(0).deploy_ran();
    let ran = asking(&server).tables(STAGING).run(&["deploy"]);
    ran.exits_one_of(&[2, 3]).says("production").says("staging").deploy_did_not_run();
}

#[test]
fn one_decision_costs_one_validation_and_tells_the_api_what_it_needs() {
    let server = saying(&good());
    asking(&server).deploy().exits(0).deploy_ran();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/api/v1/validate"));
    assert_eq!(requests[0].json(), json!({ "key": KEY, "token": KEY, "domain": "app.com" }));
    let bearer = format!("Bearer {}", license_tests::authority::TOKEN);
    assert_eq!(requests[0].header("authorization"), Some(bearer.as_str()));
}

#[test]
fn a_key_of_another_class_is_refused_before_anybody_is_asked() {
    let server = saying(&good());
    let project = asking(&server).key("TO-DEV-9Zq7Marker").line("key_class", r#""PRD""#);
    project.deploy_json().exits(10).verdict("refused").check("key_class", "fail").deploy_did_not_run();
    assert_eq!(server.connections(), 0, "the key was sent");
    assert_eq!(project.trail("production").last("gate")["source"], "nobody");
}

#[test]
fn the_embedded_authority_issues_a_development_license_once_and_deploys() {
    let project = embedded();
    project.run(&["check"]).exits_one_of(&[3, 10, 11]).says("deploy").deploy_did_not_run();
    assert!(!project.path(".env.development").exists(), "a check issues nothing");

    project.run(&["deploy"]).exits(0).says("issued").deploy_ran();
    let key = project.deploy_variables()["LICENSE_KEY"].clone();
    assert!(key.starts_with("TO-DEV-"), "{key}");
    assert_eq!(project.trail("development").kinds()[0], "issued");

    project.run(&["deploy"]).exits(0).says_nothing_of("issued").deploy_ran().never_shows(&key);
    assert_eq!(project.deploy_variables()["LICENSE_KEY"], key);
    project.run(&["check", "--format", "json"]).exits(0).verdict("go");
}

#[test]
fn a_missing_key_file_beside_an_existing_registry_entry_issues_nothing() {
    let project = embedded();
    project.run(&["deploy"]).exits(0).deploy_ran();
    fs::remove_file(project.path(".env.development")).unwrap();
    project.run(&["deploy"]).exits_one_of(&[3, 10]).says(".env.development").deploy_did_not_run();
    assert!(!project.path(".env.development").exists());
}

/// A project with the embedded authority whose environment has this line, in the place of one of that name.
fn embedded_with(name: &str, value: &str) -> Project {
    let project = embedded();
    let text = project.text();
    let others = text.lines().filter(|line| !line.starts_with(&format!("{name} ")));
    let line = format!("{name} = {value}");
    let lines: Vec<&str> = others.chain([&*line]).collect();
    project.license_toml((lines.join("\n") + "\n").as_bytes())
}

/// The ids of the licenses that the embedded authority has issued.
fn issued(project: &Project) -> Vec<String> {
    let listed = project.run(&["authority", "list", "--format", "json"]).exits(0).json();
    let ids = listed["licenses"].as_array().unwrap().iter().map(|license| license["licenseId"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[test]
fn nothing_is_issued_whose_key_could_not_be_put_where_deploys_read_it() {
    let no_directory = embedded_with("key", r#"{ dotenv = "conf/.env", name = "LICENSE_KEY" }"#);
    let leading_nowhere = embedded();
    symlink("conf/.env", leading_nowhere.path(".env.development")).unwrap();
    for (name, project) in [("no directory", no_directory), ("a link that leads nowhere", leading_nowhere)] {
        let ran = project.run(&["deploy"]).named(name);
        ran.exits(3).says("no license was issued").says(".env").says("make the ").deploy_did_not_run();
        assert_eq!(issued(&project), [""; 0], "{name}");
        assert!(!project.trail("development").kinds().contains(&"issued"), "{name}");
        // What the help says: the directory, or the file that the link leads to.
        let is_link = project.path(".env.development").is_symlink();
        ran.says(if is_link { "make the file that its link leads to" } else { "make the directory" });
        fs::create_dir(project.path("conf")).unwrap();
        let project = if is_link { project.write("conf/.env", b"") } else { project };
        project.run(&["deploy"]).named(name).exits(0).says("issued").deploy_ran();
        assert_eq!(issued(&project).len(), 1, "{name}");
        project.run(&["deploy"]).named(name).exits(0).says_nothing_of("issued");
    }
}

/// What is left where a deploy was killed between the registry and the dotenv file, or somebody removed the file.
#[test]
fn a_license_whose_key_is_nowhere_is_named_with_a_way_out_that_works() {
    let issue = ["authority", "issue", "--class", "DEV", "--domain", "localhost:3000", "--plan", "development"];
    let killed_before_the_trail = embedded();
    killed_before_the_trail.run(&issue).exits(0);
    let removed = embedded();
    removed.run(&["deploy"]).exits(0);
    fs::remove_file(removed.path(".env.development")).unwrap();
    for (name, project) in [("killed", killed_before_the_trail), ("removed", removed)] {
        let [id] = &issued(&project)[..] else { panic!("{name}") };
        let revoke = format!("cargo xtask authority revoke {id}");
        for command in [&["deploy"][..], &["deploy", "--plan"], &["check"]] {
            let ran = project.run(command).named(name);
            ran.exits(3).says(&format!("the registry has the license `{id}` for `localhost:3000`"));
            ran.says(".env.development").says(&revoke).says_nothing_of("issues one");
        }
        project.run(&["authority", "suspend", id]).exits(0);
        project.run(&["deploy"]).named(name).exits(3).says("which is suspended").says(&revoke);
        project.run(&["authority", "revoke", id]).exits(0);
        project.run(&["check"]).named(name).exits(3).says("`cargo xtask deploy development` issues one");
        project.run(&["deploy"]).named(name).exits(0).says("issued").deploy_ran();
        assert_eq!(issued(&project).len(), 2, "{name}");
    }
}

#[test]
fn a_license_that_has_ended_keeps_no_deploy_from_issuing_another() {
    let project = embedded();
    let issue = ["authority", "issue", "--class", "DEV", "--domain", "localhost:3000", "--expires-at"];
    project.run(&[&issue[..], &["2020-01-01T00:00:00Z"]].concat()).exits(0);
    project.run(&["deploy"]).exits(0).says("issued").deploy_ran();
}

#[test]
fn whoever_gets_no_license_unasked_is_told_how_to_ask_for_one() {
    let staging = embedded_with("key_class", r#""STG""#);
    let text = staging.text().replace("localhost:3000", "staging.app.com");
    let staging = staging.license_toml(text.as_bytes());
    let from_a_variable = embedded_with("key", r#"{ env = "LICENSE_KEY" }"#).unset("LICENSE_KEY");
    for (project, says) in [(staging, "STG --domain staging.app.com"), (from_a_variable, "DEV --domain localhost:3000")]
    {
        for command in ["deploy", "check"] {
            let ran = project.run(&[command]).named(says);
            ran.exits(3).says(&format!("cargo xtask authority issue --class {says}"));
            ran.says_nothing_of("`cargo xtask deploy development` issues one").deploy_did_not_run();
        }
    }
}

/// Every call of a first deploy that changes a file: killed right before it, the next deploys come to their end, with what
/// they say themselves where they stop.
#[test]
fn a_first_deploy_that_is_killed_before_any_write_can_always_be_finished() {
    if let Some(why) = strace::missing() {
        std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes()).unwrap();
        return;
    }
    let project = embedded();
    let (ran, calls) = project.traced(&["deploy"]);
    ran.exits(0);
    let of_the_key = calls.iter().rposition(|call| call.line.contains(".env.development")).unwrap();
    let issuing = calls.iter().position(|call| call.line.contains("events.jsonl")).unwrap();
    assert!(issuing < of_the_key && of_the_key > 10, "{calls:?}");
    let mut stopped = 0;
    for call in &calls[..=of_the_key] {
        let point = &call.to_string();
        let project = embedded();
        project.killed_before(call, &["deploy"]).named(point).exits(137);
        let next = project.run(&["deploy"]).named(point);
        if next.code() != 0 {
            stopped += 1;
            let [id] = &issued(&project)[..] else { panic!("{point}\n{next}") };
            next.exits(3).deploy_did_not_run().says(&format!("authority revoke {id}"));
            project.run(&["authority", "revoke", id]).exits(0);
            project.run(&["deploy"]).named(point).exits(0).deploy_ran();
        }
        project.run(&["check"]).named(point).exits(0);
        project.run(&["audit", "verify"]).named(point).exits(0);
        let names = fs::read_dir(project.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with("-new")).collect();
        assert!(left.is_empty(), "{point}: {left:?}");
    }
    assert!(stopped > 0 && stopped < of_the_key, "{stopped}: {calls:?}");
}

#[test]
fn a_key_that_the_registry_never_issued_has_a_way_out_that_works() {
    let project = embedded().var("COLUMNS", "400");
    project.run(&["deploy"]).exits(0);
    fs::remove_dir_all(project.path(".license")).unwrap();
    for command in ["deploy", "check"] {
        let ran = project.run(&[command]);
        ran.exits(10).says("LICENSE_NOT_FOUND").says(".license/authority").says("take `LICENSE_KEY` out of");
        ran.says("localhost:3000").says_nothing_of("change the license at the authority");
    }
    fs::remove_file(project.path(".env.development")).unwrap();
    project.run(&["deploy"]).exits(0).says("issued").deploy_ran();
    // Where no deploy issues one, somebody has to.
    let project = embedded_with("key", r#"{ env = "LICENSE_KEY" }"#).key("TO-DEV-nobody-knows-it");
    let ran = project.run(&["deploy"]);
    ran.exits(10).says("authority issue --class DEV --domain localhost:3000").says_nothing_of("take `LICENSE_KEY` out");
}

#[test]
fn force_needs_a_reason() {
    let server = saying(&good());
    asking(&server).run(&["deploy", "production", "--force"]).exits(2).says("--reason").deploy_did_not_run();
    assert_eq!(server.connections(), 0);
}

#[test]
fn force_deploys_when_nobody_can_be_asked_and_the_trail_says_why() {
    let project = project().authority_at("http://127.0.0.1:9/api/v1").key(KEY);
    let ran = project.run(&["deploy", "production", "--force", "--reason", "the site is down"]);
    ran.exits(0).says("the site is down").deploy_ran();
    let trail = project.trail("production");
    let recorded = trail.entries.iter().any(|entry| entry["forced"] == "the site is down");
    assert!(recorded, "{:?}", trail.entries);
}

#[test]
fn force_deploys_when_a_fact_is_missing() {
    let server = saying(&json!({ "valid": true, "domains": ["app.com"] }));
    let project = asking(&server).line("features", r#"["sso"]"#);
    project.deploy_json().exits(11).check("features", "unknown").deploy_did_not_run();
    project.run(&["deploy", "production", "--force", "--reason", "known to be fine"]).exits(0).deploy_ran();
    assert_eq!(project.trail("production").last("gate")["forced"], "known to be fine");
}

#[test]
fn force_never_overrides_a_no() {
    let rows = [
        (
            "refused by the authority",
            RawServer::script([Answer::json(403, &json!({ "valid": false, "code": "revoked" }))]),
        ),
        ("refused by a rule", saying(&good_but(&json!({ "features": ["analytics"] })))),
    ];
    for (name, server) in rows {
        let project = asking(&server).line("features", r#"["sso"]"#);
        let ran = project.run(&["deploy", "production", "--force", "--reason", name]);
        ran.exits(10).deploy_did_not_run();
        assert_eq!(project.trail("production").last("gate")["verdict"], "refused", "{name}");
    }
}

#[test]
fn an_environment_may_let_a_missing_fact_pass_with_a_warning() {
    let server = saying(&json!({ "valid": true, "domains": ["app.com"] }));
    let project = asking(&server).line("features", r#"["sso"]"#).line("unknown", r#""warn""#);
    project.deploy_json().exits(0).verdict("go").check("features", "unknown").deploy_ran();
}

#[test]
fn what_the_deploy_command_says_goes_to_stderr_while_it_runs() {
    let (_authority, _, project) = licensed(&Grant::default());
    let project = project.deploying("echo 'from stdout'; echo 'from stderr' >&2; touch \"$seen/said\"; sleep 20");
    let mut running = project.start(&["deploy", "production"]);
    running.until("it has said it", |_| project.seen().join("said").exists());
    running.until("it is streamed", |running| running.stderr().contains("from stderr"));
    assert!(running.stderr().contains("from stdout"));
    assert!(!running.stdout().contains("from std"), "stdout stays ours");
    assert!(is_alive(running.pid()));
}

#[test]
fn two_deploys_one_after_the_other_continue_one_trail() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant::default());
    let project = project().authority(&authority).key(&license.key);
    project.deploy().exits(0).deploy_ran();
    let first = project.trail("production").head;
    let ran = project.deploy();
    ran.exits(0).deploy_ran();
    let trail = project.trail("production");
    assert_eq!(trail.entries[usize::try_from(first.seq).unwrap()]["prev"], first.hash.to_string());
    assert_eq!(ran.head("production"), (trail.head.seq, trail.head.hash.to_string()));
}
