//! The licenses of the environments that a push deploys to: asked in time, and only as this machine agreed.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use license_tests::{Answer, Pushing, RawServer};
use serde_json::{Value, json};

use crate::{BINARY, good, pre_push::secret, saying};

/// A key of the class that production demands, made here.
fn key() -> String {
    ["TO", "PRD", "9Zq7", "K3y4T5sts", "M4rk"].join("-")
}

/// The API token, made here.
fn token() -> String {
    ["tok", "en", &secret()].join("-")
}

/// A file whose production is asked about at an address, with more lines for it.
fn toml(url: &str, lines: &str) -> String {
    format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"{url}\"\ntoken = {{ env = \"TO_API_KEY\" }}\n\
         [environments.production]\nauthority = \"to\"\ndomain = \"app.com\"\nkey = {{ env = \"LICENSE_KEY\" }}\n\
         branches = [\"main\", \"release/*\"]\n{lines}"
    )
}

/// The origin of a server.
fn origin(server: &RawServer) -> String {
    format!("http://{}", server.address())
}

/// A machine that has a key and a token, and agreed to a server.
fn machine(server: &RawServer) -> Pushing {
    let pushing = without_keys(server).var("LICENSE_KEY", &key()).var("TO_API_KEY", &token());
    pushing.agree(&[&origin(server)], &["LICENSE_KEY", "TO_API_KEY"], &[]);
    pushing
}

fn without_keys(server: &RawServer) -> Pushing {
    let pushing = Pushing::new(BINARY);
    pushing.agree(&[&origin(server)], &["LICENSE_KEY", "TO_API_KEY"], &[]);
    pushing
}

fn down() -> String {
    "http://127.0.0.1:9/api/v1".to_owned()
}

#[test]
fn a_good_license_lets_the_push_go_without_a_word() {
    let server = saying(&good());
    let pushing = machine(&server);
    pushing.commit("license.toml", toml(&server.url(), ""));
    pushing.push(&["origin", "main"]).goes();
    assert_eq!(server.connections(), 1);
    assert!(!pushing.path("work/.license").exists(), "nothing is recorded");
}

#[test]
fn a_refused_license_stops_the_push_whatever_on_push_says() {
    for on_push in ["warn", "block"] {
        let server = saying(&json!({ "valid": false, "code": "LICENSE_REVOKED" }));
        let pushing = machine(&server);
        pushing.commit("license.toml", toml(&server.url(), &format!("on_push = \"{on_push}\"\n")));
        let pushed = pushing.push(&["origin", "main"]);
        let ran = pushed.stops(10).says("the license of `production` is refused").says("refused: ");
        assert!(!ran.stderr().contains(&key()) && !ran.stderr().contains(&token()), "{ran}");
        assert!(!pushing.path("work/.license").exists(), "nothing is recorded");
    }
}

#[test]
fn the_ref_of_the_remote_says_where_a_push_deploys() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("license.toml", toml(&server.url(), ""));
    for (arguments, deploys) in [
        (&["origin", "main"][..], true),
        (&["origin", "main:work"], false),
        (&["origin", "main:release/1"], true),
        (&["origin", "main:release/1/2"], false),
        (&["origin", "main:refs/tags/main"], false),
        (&["origin", "main:refs/other/main"], false),
        (&["origin", "main:work", "main:release/2"], true),
    ] {
        let before = server.connections();
        let pushed = pushing.push(&[&["--dry-run"], arguments].concat());
        if deploys {
            pushed.stops(10);
        } else {
            pushed.goes();
        }
        assert_eq!(server.connections() - before, usize::from(deploys), "{arguments:?}");
    }
}

#[test]
fn tags_deploy_where_the_file_says_so() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("license.toml", toml(&server.url(), "").replace("\"main\"", "\"refs/tags/v*\""));
    pushing.git(&["tag", "--annotate", "--message", "one", "v1"]);
    pushing.push(&["origin", "main"]).goes();
    pushing.push(&["origin", "v1"]).stops(10);
}

#[test]
fn the_file_counts_that_is_pushed_and_not_the_one_of_the_work_tree() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("license.toml", toml(&server.url(), ""));
    pushing.git(&["switch", "--quiet", "--create", "elsewhere", "main~1"]);
    pushing.write("license.toml", toml(&server.url(), "").replace("branches", "#"));
    pushing.push(&["origin", "main"]).stops(10);
    pushing.push(&["origin", "elsewhere"]).goes_with("is in the work tree and not in what is pushed");
    fs::remove_file(pushing.path("work/license.toml")).unwrap();
    pushing.push(&["origin", "elsewhere:another"]).goes();
}

#[test]
fn an_authority_that_is_down_or_silent_is_named_and_blocks_where_the_file_says_so() {
    let hanging = RawServer::script([Answer::Hang]);
    for url in [down(), hanging.url()] {
        for (on_push, blocks) in [("warn", false), ("block", true)] {
            let pushing = machine(&hanging).var("LICENSE_HOOK_DEADLINE", "1s");
            pushing.agree(&[&origin(&hanging), "http://127.0.0.1:9"], &["LICENSE_KEY", "TO_API_KEY"], &[]);
            pushing.commit("license.toml", toml(&url, &format!("on_push = \"{on_push}\"\n")));
            let begun = Instant::now();
            let pushed = pushing.push(&["origin", "main"]);
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
            let what = "the license of `production` was not checked";
            if blocks {
                pushed.stops(11).says(what);
            } else {
                let ran = pushed.goes_with(what);
                assert_eq!(ran.stderr().matches("license:").count(), 1, "one line: {ran}");
            }
        }
    }
}

#[test]
fn all_authorities_together_get_two_seconds() {
    let hanging = RawServer::script([Answer::Hang]);
    let pushing = machine(&hanging);
    let second = "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\n\
                  key = { env = \"STAGING_KEY\" }\nbranches = [\"main\"]\n";
    let pushing = pushing.var("STAGING_KEY", &key().replace("PRD", "STG"));
    agree_to_staging(&pushing, &hanging);
    pushing.commit("license.toml", toml(&hanging.url(), second));
    let pushed = pushing.push(&["origin", "main"]);
    let ran = pushed.goes_with("the license of `production` was not checked");
    ran.says("the license of `staging` was not checked").says("within 2 s");
    assert!(hanging.connections() >= 2, "both were asked");
}

/// Agrees to the key of staging besides.
fn agree_to_staging(pushing: &Pushing, server: &RawServer) {
    pushing.agree(&[&origin(server)], &["LICENSE_KEY", "TO_API_KEY", "STAGING_KEY"], &[]);
    let file = pushing.path("work/.git/license/trust.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let way = format!("key env \"STAGING_KEY\" -> {}", origin(server));
    record["ways"].as_array_mut().unwrap().push(way.into());
    fs::write(&file, record.to_string()).unwrap();
}

#[test]
fn one_license_of_two_files_is_asked_for_once() {
    for (reply, exit) in [(good(), 0), (json!({ "valid": false }), 10)] {
        let server = saying(&reply);
        let pushing = machine(&server);
        pushing.commit("license.toml", toml(&server.url(), ""));
        pushing.git(&["branch", "release/1"]);
        // Another text, and another demand: the answer is judged by each.
        pushing.commit("license.toml", "# more\n".to_owned() + &toml(&server.url(), "activations = 1\n"));
        let pushed = pushing.push(&["--dry-run", "origin", "main", "release/1"]);
        match exit {
            0 => drop(pushed.ran.exits(0)),
            _ => drop(pushed.stops(exit)),
        }
        assert_eq!(server.connections(), 1);
        // Another domain is another question.
        pushing.commit("license.toml", toml(&server.url(), "").replace("\"app.com\"", "\"other.com\""));
        pushing.push(&["--dry-run", "origin", "main", "release/1"]);
        assert_eq!(server.connections(), 3);
    }
}

#[test]
fn an_authority_that_is_down_is_told_once_for_two_files() {
    let server = saying(&good());
    let pushing = machine(&server);
    pushing.agree(&["http://127.0.0.1:9"], &["LICENSE_KEY", "TO_API_KEY"], &[]);
    pushing.commit("license.toml", toml(&down(), ""));
    pushing.git(&["branch", "release/1"]);
    pushing.commit("license.toml", toml(&down(), "# more\n"));
    let pushed = pushing.push(&["origin", "main", "release/1"]);
    let ran = pushed.goes_with("the license of `production` was not checked");
    assert_eq!(ran.stderr().matches("license:").count(), 1, "{ran}");
}

#[test]
fn one_key_for_two_environments_stops_the_push_before_anybody_is_asked() {
    let server = saying(&good());
    let pushing = machine(&server);
    agree_to_staging(&pushing, &server);
    let staging =
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n";
    pushing.commit("license.toml", toml(&server.url(), staging));
    pushing.push(&["--dry-run", "origin", "main"]).goes_with("1 secret of license.toml");
    let pushing = pushing.var("STAGING_KEY", &key());
    let asked = server.connections();
    let ran = pushing.push(&["--dry-run", "origin", "main"]);
    let ran = ran.stops(3).says("`production` and `staging` have one key").says("is broken");
    assert!(!ran.stderr().contains(&key()), "{ran}");
    // What nobody agreed to is not read, and a push that deploys nowhere needs no key.
    pushing.agree(&[&origin(&server)], &["LICENSE_KEY", "TO_API_KEY"], &[]);
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    agree_to_staging(&pushing, &server);
    pushing.push(&["--dry-run", "origin", "main:work"]).goes();
    assert_eq!(server.connections(), asked + 1);
    let pushing =
        pushing.var("STAGING_KEY", &key().replace("PRD", "STG")).var("TO_API_KEY", "to_test_0123456789abcdef");
    pushing.commit("license.toml", toml(&server.url(), "key_class = \"PRD\"\n"));
    pushing.push(&["--dry-run", "origin", "main"]).stops(3).says("holds a test token");
}

#[test]
fn a_key_that_is_not_here_stops_nobody() {
    let server = saying(&json!({ "valid": false }));
    let pushing = without_keys(&server);
    pushing.commit("license.toml", toml(&server.url(), "on_push = \"block\"\n"));
    pushing
        .push(&["origin", "main"])
        .goes_with("the license of `production` was not checked: the environment variable");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_pushed_file_gets_no_key_no_token_and_no_execution_that_was_not_agreed_to() {
    let (server, thief) = (saying(&good()), saying(&good()));
    let ran_marker = "helper-ran";
    let helper = format!(
        "[stores.x]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo ran >> {ran_marker}; echo {{}}\"]\n"
    );
    let base = toml(&server.url(), "");
    for (name, text, says) in [
        ("another address", toml(&thief.url(), ""), origin(&thief)),
        ("another variable", base.replace("LICENSE_KEY", "OTHER_SECRET"), "OTHER_SECRET".to_owned()),
        ("another token", base.replace("TO_API_KEY", "OTHER_SECRET"), "OTHER_SECRET".to_owned()),
        (
            "another recorded variable as the key",
            base.replace("LICENSE_KEY", "TO_API_KEY"),
            "`TO_API_KEY` goes to this authority".to_owned(),
        ),
        (
            "a file",
            base.replace("{ env = \"LICENSE_KEY\" }", "{ dotenv = \"secrets\", name = \"KEY\" }"),
            "secrets".to_owned(),
        ),
        (
            "a helper",
            base.replace("{ env = \"LICENSE_KEY\" }", "{ store = \"x\" }") + &helper,
            "the store `x`".to_owned(),
        ),
        (
            "certificates that are not here",
            base.replace("token =", "ca_file = \"ca.pem\"\ntoken ="),
            "ca.pem".to_owned(),
        ),
    ] {
        let pushing = machine(&server).var("OTHER_SECRET", &secret());
        pushing.commit("license.toml", &base);
        pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
        pushing.commit("license.toml", &text);
        // The work tree is another branch's: only the pushed file is in question.
        pushing.git(&["switch", "--quiet", "--detach", "main~1"]);
        pushing.write("secrets", "KEY=a-key-of-somebody\n");
        let (asked, stolen) = (server.connections(), thief.connections());
        let pushed = pushing.push(&["origin", "main"]);
        let ran = pushed.goes_with("the license of `production` was not checked").says(&says);
        assert!(!ran.stderr().contains(&secret()), "{name}: {ran}");
        assert_eq!((server.connections(), thief.connections()), (asked, stolen), "{name}: somebody was asked");
        assert!(!pushing.path(&format!("work/{ran_marker}")).exists(), "{name}: a program ran");
    }
    assert_eq!(thief.requests().len(), 0);
}

#[test]
fn what_was_not_agreed_to_names_the_way_to_agree_and_blocks_where_the_file_says_so() {
    let server = saying(&good());
    let pushing = machine(&server);
    pushing.agree(&[], &["LICENSE_KEY", "TO_API_KEY"], &[]);
    pushing.commit("license.toml", toml(&server.url(), ""));
    let says = "cargo xtask hook install";
    pushing.push(&["--dry-run", "origin", "main"]).goes_with(says).says(&origin(&server));
    // Nothing was ever agreed to.
    fs::remove_file(pushing.path("work/.git/license/trust.json")).unwrap();
    pushing.push(&["--dry-run", "origin", "main"]).goes_with(says);
    assert_eq!(server.connections(), 0);
    // A CI system says it with a variable.
    let pushing = pushing.var("LICENSE_AUTHORITY_ORIGINS", &origin(&server));
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    assert_eq!(server.connections(), 1);
    let pushing = pushing.var("LICENSE_AUTHORITY_ORIGINS", "https://elsewhere.example.com");
    pushing.commit("license.toml", toml(&server.url(), "on_push = \"block\"\n"));
    pushing.push(&["origin", "main"]).stops(11).says(says);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_file_whose_certificates_are_in_another_commit_only_is_not_broken() {
    let server = saying(&good());
    let pushing = machine(&server);
    pushing.agree(&[&origin(&server)], &["LICENSE_KEY", "TO_API_KEY"], &["ca.pem"]);
    pushing.write("ca.pem", "of that commit\n");
    pushing.commit("license.toml", toml(&server.url(), "").replace("token =", "ca_file = \"ca.pem\"\ntoken ="));
    pushing.git(&["switch", "--quiet", "--detach", "main~1"]);
    pushing.push(&["origin", "main"]).goes_with("`ca_file` of authority `to` cannot be read");
}

#[test]
fn a_broken_file_stops_the_push_and_names_commit_and_file() {
    let server = saying(&good());
    let pushing = machine(&server);
    for broken in ["version = \n", "version = 1\n", "\u{0}"] {
        pushing.commit("license.toml", broken);
        let commit = pushing.git(&["rev-parse", "--short=12", "HEAD"]);
        pushing.push(&["origin", "main:elsewhere"]).stops(3).says(&format!("{commit}:license.toml"));
    }
    pushing.git(&["rm", "--quiet", "license.toml"]);
    pushing.commit("license.toml/file", "a directory\n");
    pushing.push(&["origin", "main"]).stops(3).says("it is a tree");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_file_that_is_a_link_is_read_where_it_leads_inside_of_the_commit() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("deploy/production.toml", toml(&server.url(), ""));
    let link = |to: &str, name: &str| {
        let _ = fs::remove_file(pushing.path("work").join(name));
        symlink(to, pushing.path("work").join(name)).unwrap();
        pushing.git(&["add", "--all"]);
        pushing.git(&["commit", "--quiet", "--message", to]);
    };
    link("current.toml", "license.toml");
    link("deploy/production.toml", "current.toml");
    pushing.push(&["origin", "main"]).stops(10).says("the license of `production` is refused");
    assert_eq!(server.connections(), 1);
    // The work tree's is looked for, too.
    pushing.commit("leak", key());
    pushing.push(&["origin", "main:elsewhere"]).stops(30).says("the key of `production`");
    pushing.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let outside = pushing.path("outside.toml");
    fs::write(&outside, toml(&server.url(), "")).unwrap();
    for (to, says) in [
        (outside.to_str().unwrap(), "a symbolic link that leads out of the repository"),
        ("../outside.toml", "a symbolic link that leads out of the repository"),
        ("nowhere.toml", "to something that is not in the commit"),
        ("license.toml", "leads back to itself"),
        ("README/license.toml", "is a file"),
    ] {
        link(to, "license.toml");
        let commit = pushing.git(&["rev-parse", "--short=12", "HEAD"]);
        pushing.push(&["origin", "main:elsewhere"]).stops(3).says(&format!("{commit}:license.toml")).says(says);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_key_in_a_broken_file_or_in_the_name_of_a_record_is_not_shown() {
    let server = saying(&good());
    let pushing = machine(&server);
    let broken = toml(&server.url(), "").replace("\"app.com\"", &format!("\"{} x\"", key()));
    pushing.commit("license.toml", broken);
    let commit = pushing.git(&["rev-parse", "HEAD"]);
    let nothing = "0".repeat(commit.len());
    let refused = [
        ("has no bare domain", format!("refs/heads/main {commit} refs/heads/main {nothing}\n")),
        ("a record that is only ever added to", format!("(delete) {nothing} refs/license/{} {commit}\n", key())),
    ];
    for (says, input) in refused {
        let ran = pushing.pre_push("work", &["origin", &pushing.path("hub.git").display().to_string()], &input);
        ran.says(says);
        assert!(!ran.stderr().contains(&key()), "{ran}");
    }
}

#[test]
fn a_file_of_a_newer_program_is_no_reason_not_to_scan() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    let newer = toml(&server.url(), "reminder = \"soon\"\n").replace("version = 1", "version = 2");
    pushing.commit("license.toml", &newer);
    pushing.git(&["switch", "--quiet", "--detach", "main~1"]);
    let pushed = pushing.push(&["origin", "main"]);
    pushed.goes_with("says more than this hook understands").says("version 2").says("cargo xtask hook install");
    // Its form is nobody's: it is found because the record names its variable.
    pushing.git(&["switch", "--quiet", "main"]);
    pushing.commit("leak", token());
    pushing.git(&["switch", "--quiet", "--detach", "main~2"]);
    pushing.push(&["origin", "main"]).stops(30).says("TO_API_KEY");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_leak_is_the_exit_before_everything_else() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("license.toml", toml(&server.url(), ""));
    pushing.commit("leak", key());
    pushing.git(&["branch", "broken"]);
    pushing.git(&["switch", "--quiet", "broken"]);
    pushing.commit("license.toml", "broken\n");
    pushing.git(&["reset", "--quiet", "--hard", "HEAD"]);
    pushing.push(&["origin", "main"]).stops(30).says("the license of `production` is refused").says("it holds secrets");
    pushing.push(&["origin", "main", "broken"]).stops(30).says("is broken");
    pushing.git(&["switch", "--quiet", "main"]);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main:elsewhere"]);
    pushing.push(&["origin", "main", "broken"]).stops(3);
}

#[test]
fn another_file_of_the_work_tree_can_be_named() {
    let server = saying(&json!({ "valid": false }));
    let pushing = machine(&server);
    pushing.commit("deploy/license.toml", toml(&server.url(), ""));
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let line = format!("HEAD {head} refs/heads/main {}\n", "0".repeat(40));
    pushing.pre_push("work", &["--config", "deploy/license.toml"], &line).exits(10);
    let outside = pushing.path("home/license.toml");
    pushing.pre_push("work", &["--config", outside.to_str().unwrap()], &line).exits(2).says("outside of the work tree");
}
