//! `store list` and `store test`, through the binary.

use std::fs;

use license_tests::Project;
use serde_json::{Value, json};

use crate::{KEY, asking, good, saying};

/// A store whose helper is [`with_helper`]'s.
pub(crate) const MINE: &str = "[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\n";

/// What a helper answers to `capabilities` that gives keys and takes them.
pub(crate) const GIVES_AND_TAKES: &str = r#"echo '{"protocol":1,"get":true,"put":true,"versions":false}'"#;

const PAGE: &str = include_str!("../../docs/store-helpers.md");

/// A project with the helper `license-store-NAME`: a shell for which the verb is the name of a script.
///
/// A program that was just written cannot be started while another thread starts one; the shell is there already.
pub(crate) fn with_helper(project: Project, verbs: &[(&str, &str)]) -> Project {
    fs::create_dir(project.path("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", project.path("bin/license-store-mine")).unwrap();
    for (verb, script) in verbs {
        fs::write(project.path(verb), script).unwrap();
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("bin").display());
    project.var("PATH", &path)
}

/// The documented helper, as one script per verb.
fn documented(project: Project) -> Project {
    let (_, rest) = PAGE.split_once("```sh\n").unwrap();
    let (helper, _) = rest.split_once("\n```").unwrap();
    let verb = |verb: &str| format!("set -- {verb}\n{helper}\n");
    let verbs = ["capabilities", "get", "put"].map(|name| (name, verb(name)));
    let other = ("license-store-test-verb", verb("other"));
    let all: Vec<_> = verbs.iter().chain([&other]).map(|(name, script)| (*name, script.as_str())).collect();
    with_helper(project, &all)
}

#[test]
fn the_documented_helper_passes_its_test() {
    let server = saying(&good());
    let project = documented(asking(&server));
    let ran = project.run(&["store", "test", "mine", "--option", "directory=keys", "--format", "json"]);
    let document: Value = ran.exits(0).json();
    let rules = document["rules"].as_array().unwrap();
    assert!(rules.len() >= 13 && rules.iter().all(|rule| rule["result"] == "pass"), "{document}");
}

#[test]
fn a_broken_promise_is_32() {
    let server = saying(&good());
    let project = with_helper(asking(&server), &[("capabilities", "echo nonsense")]);
    project.run(&["store", "test", "mine"]).exits(32).says("FAIL");
}

/// The helper hangs, and is given up after the time that the file says.
#[test]
fn the_test_of_a_store_takes_its_timeout_and_says_what_stays() {
    let server = saying(&good());
    let store = "[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\ntimeout = \"1s\"\n";
    let project = with_helper(asking(&server).tables(store), &[("capabilities", "exec sleep 600")]);
    let ran = project.run(&["store", "test", "mine"]);
    ran.exits(32).says("gave no answer within 1 s").says("a helper has no verb that deletes");
}

#[test]
fn a_store_that_nobody_knows_is_not_tested() {
    let server = saying(&good());
    let refused = asking(&server).run(&["store", "test", "nope"]);
    refused
        .exits(2)
        .says("no store `nope`")
        .says("`license-store-nope` is not in PATH")
        .says_nothing_of("invented keys");
}

#[test]
fn a_store_that_cannot_be_used_is_27() {
    let server = saying(&good());
    let store = "[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-nowhere\"]\n";
    let project = asking(&server).tables(store);
    project.run(&["store", "test", "mine"]).exits(27).says("`license-store-nowhere` is not in PATH");
}

#[test]
fn the_list_has_fingerprints_and_no_keys() {
    let server = saying(&good());
    let ran = asking(&server).run(&["store", "list"]);
    ran.exits(0).says("production").says("read only").never_shows(KEY);
}

/// What is not given is not known, and is hidden by its form.
#[test]
fn a_key_that_a_failed_helper_speaks_of_is_not_shown() {
    let server = saying(&good());
    let get = format!("echo \"no connection for '{KEY}'\" >&2; exit 6");
    let verbs = [("capabilities", GIVES_AND_TAKES), ("get", &get)];
    let project = asking(&server).tables(MINE).line("stores", r#"["mine"]"#).var("LICENSE_KEY", "another-key");
    let project = with_helper(project, &verbs).may_hold(&["get"]);
    for format in ["human", "json"] {
        let ran = project.run(&["store", "list", "--probe", "--format", format]);
        ran.exits(27).says("no connection for '***'").never_shows(KEY);
    }
}

/// The place of `key` is proved as a rotation proves it: what stops a rotation is no "read and write".
#[test]
fn a_place_that_cannot_be_used_is_27_with_what_to_do() {
    let server = saying(&good());
    let project = asking(&server).line("key", r#"{ dotenv = ".env", name = "LICENSE_KEY" }"#);
    let project = project.write(".env", format!("LICENSE_KEY=another-key\nLICENSE_KEY={KEY}\n").as_bytes());
    project.run(&["store", "list"]).exits(0).says("read and write");
    let ran = project.run(&["store", "list", "--probe"]);
    ran.exits(27).says("unusable: the variable `LICENSE_KEY`").says("next: keep one of the lines").never_shows(KEY);
    let document = project.run(&["store", "list", "--probe", "--format", "json"]).exits(27).json();
    let place = &document["stores"][0];
    assert_eq!((&place["state"], &place["store"]), (&"unusable".into(), &Value::Null), "{document}");
    assert!(place["next"].as_str().unwrap().starts_with("keep one of the lines"), "{document}");
    assert_eq!(document["exit"], json!({ "code": 27, "name": "store" }));

    let project = project.write(".env", format!("LICENSE_KEY={KEY}\n").as_bytes());
    project.run(&["store", "list", "--probe"]).exits(0).says("read and write");
    let document = project.run(&["store", "list", "--probe", "--format", "json"]).exits(0).json();
    assert_eq!((&document["exit"]["code"], &document["stores"][0]["next"]), (&0.into(), &Value::Null), "{document}");
}
