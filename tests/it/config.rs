//! Bad input: a clear error, a next step, the exit of its row, and nothing deployed.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Instant,
};

use license_tests::Project;

use crate::{KEY, asking, good, project, saying};

/// What a broken file does to every command that reads one.
fn is_wrong(name: &str, project: &Project, says: &[&str]) {
    for arguments in [&["deploy", "production"][..], &["check", "production"], &["check", "--all", "--format", "json"]]
    {
        let started = Instant::now();
        let ran = project.run(arguments).named(name);
        ran.exits(3).deploy_did_not_run().says_nothing_of("panicked");
        for text in says {
            ran.says(text);
        }
        assert!(started.elapsed().as_secs() < 10, "{name}: {:?}", started.elapsed());
        assert!(!project.path(".license").exists(), "{name}: something was written");
    }
}

#[test]
fn a_file_that_is_missing() {
    is_wrong("missing", &project().without_license_toml(), &["license.toml", "--config"]);
}

#[test]
fn a_named_file_that_is_missing() {
    let project = project().without_license_toml();
    project.run(&["--config", "other.toml", "check", "production"]).exits(3).says("other.toml");
}

#[test]
fn a_file_that_is_empty() {
    is_wrong("empty", &project().license_toml(b""), &["license.toml", "version"]);
    is_wrong("blank", &project().license_toml(b"\n# nothing\n"), &["license.toml", "version"]);
}

#[test]
fn a_file_of_50_mb() {
    let project = project().without_license_toml();
    File::create(project.path("license.toml")).unwrap().set_len(50 * 1024 * 1024).unwrap();
    is_wrong("50 MB", &project, &["license.toml", "longer than"]);
}

#[test]
fn a_file_that_is_not_utf8() {
    is_wrong("not UTF-8", &project().license_toml(b"version = 1\n# caf\xe9\n"), &["license.toml", "UTF-8"]);
}

#[test]
fn a_file_that_is_a_directory() {
    let project = project().without_license_toml();
    fs::create_dir(project.path("license.toml")).unwrap();
    is_wrong("a directory", &project, &["license.toml", "directory"]);
}

/// Opening a pipe waits for whoever writes to it: that could be forever.
#[test]
fn a_pipe_in_the_place_of_a_file() {
    let pipe = |path: PathBuf| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let project = project().without_license_toml();
    pipe(project.path("license.toml"));
    is_wrong("a pipe", &project, &["license.toml", "a pipe"]);

    let project = asking(&saying(&good())).line("key", r#"{ dotenv = ".env", name = "APP_KEY" }"#);
    pipe(project.path(".env"));
    project.deploy().exits(3).says(".env").says("a pipe").deploy_did_not_run();
}

#[test]
fn a_file_that_is_no_toml() {
    is_wrong("JSON", &project().license_toml(b"{\"version\": 1}"), &["license.toml"]);
    is_wrong("unclosed", &project().license_toml(b"version = 1\n[environments.production\n"), &["license.toml"]);
}

#[test]
fn every_mistake_is_told_at_once_with_what_was_meant() {
    let server = saying(&good());
    let project = asking(&server)
        .line("featurs", r#"["sso"]"#)
        .line("key_class", r#""PROD""#)
        .line("min_days_left", "-1")
        .line("unknown", r#""allow""#);
    is_wrong("several", &project, &["featurs", "features", "key_class", "PRD", "min_days_left", "unknown", "block"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn an_environment_that_does_not_exist() {
    let server = saying(&good());
    for command in ["deploy", "check"] {
        let ran = asking(&server).run(&[command, "prodution"]);
        ran.exits_one_of(&[2, 3]).says("prodution").says("did you mean").says("production").deploy_did_not_run();
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_command_that_does_not_exist() {
    let server = saying(&good());
    asking(&server).run(&["deplo"]).exits(2).says("deploy").deploy_did_not_run();
    asking(&server).run(&["deploy", "production", "--unknwon"]).exits(2).deploy_did_not_run();
    asking(&server).run(&["deploy", "production", "--format", "yaml"]).exits(2).says("json").deploy_did_not_run();
}

#[test]
fn a_key_or_token_that_cannot_be_used() {
    let server = saying(&good());
    let asking = || asking(&server);
    let long = format!("TO-PRD-{}", "x".repeat(64 * 1024));
    let rows: [(&str, Project, &[&str]); 9] = [
        ("unset", asking().unset("LICENSE_KEY"), &["LICENSE_KEY", "not set"]),
        ("empty", asking().key(""), &["LICENSE_KEY", "empty"]),
        ("a line break", asking().key(&format!("{KEY}\n")), &["LICENSE_KEY", "line break"]),
        ("64 KB", asking().key(&long), &["LICENSE_KEY", "bytes"]),
        ("token unset", asking().unset("TO_API_KEY"), &["TO_API_KEY", "not set"]),
        ("token empty", asking().var("TO_API_KEY", ""), &["TO_API_KEY", "empty"]),
        ("no dotenv file", asking().line("key", r#"{ dotenv = ".env", name = "APP_KEY" }"#), &[".env"]),
        (
            "no such variable in the dotenv file",
            asking().line("key", r#"{ dotenv = ".env", name = "APP_KEY" }"#).write(".env", b"OTHER=1\n"),
            &[".env", "APP_KEY"],
        ),
        (
            "a directory for a dotenv file",
            asking().line("key", r#"{ dotenv = ".env", name = "APP_KEY" }"#).write(".env/x", b""),
            &[".env"],
        ),
    ];
    for (name, project, says) in rows {
        let ran = project.deploy().named(name);
        ran.exits(3).deploy_did_not_run();
        for text in says {
            ran.says(text);
        }
    }
    assert_eq!(server.connections(), 0, "somebody was asked without a key");
}

#[test]
fn the_same_key_in_two_environments() {
    let server = saying(&good());
    let project = asking(&server).var("STAGING_KEY", KEY).tables(
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n",
    );
    project.run(&["check", "--all"]).exits(3).says("staging").says("production").says("same key").never_shows(KEY);
}

#[test]
fn a_test_token_in_production() {
    let server = saying(&good());
    let project = asking(&server).var("TO_API_KEY", "sk_test_0123456789abcdef");
    project.deploy().exits(3).says("TO_API_KEY").says("test").deploy_did_not_run();
    assert_eq!(server.connections(), 0);
}

#[test]
fn localhost_in_production() {
    let server = saying(&good());
    is_wrong("localhost", &asking(&server).line("domain", r#""localhost:3000""#), &["localhost", "production"]);
}

#[test]
fn a_shell_line_where_no_shell_is() {
    let server = saying(&good());
    for line in [
        "npm ci && npm run deploy",
        "deploy > log",
        "deploy | tee log",
        "deploy $TARGET",
        "deploy; notify",
        "deploy `date`",
    ] {
        is_wrong(line, &asking(&server).line("deploy", &format!("{line:?}")), &["deploy", r#"["sh", "-c","#]);
    }
}

#[test]
fn posix_quoting_splits_words() {
    let server = saying(&good());
    let project = asking(&server).line("deploy", r#"'''sh deploy.sh "two words" 'it''s' a\ b '' '''"#);
    let project = project.deploying("for word in \"$@\"; do printf '<%s>' \"$word\"; done > \"$seen/words\"");
    project.deploy().exits(0).deploy_ran();
    assert_eq!(project.trace("words"), "<two words><its><a b><>");
}

#[test]
fn help_and_version_are_no_mistakes() {
    let project = project().without_license_toml();
    let ran = project.run(&["--help"]);
    ran.exits(0).says("deploy").says("check").says("authority").says("audit").says("schema");
    assert!(!ran.stdout().is_empty() && ran.stderr().is_empty(), "{ran}");
    project.run(&["--version"]).exits(0);
}

#[test]
fn the_schema_is_json() {
    let ran = project().without_license_toml().run(&["schema"]);
    let schema = ran.exits(0).json();
    assert!(schema["$schema"].is_string() && schema["properties"]["environments"].is_object(), "{schema}");
}
