//! The kit against helpers that are right, and against helpers that are wrong in one thing.

use std::{collections::BTreeMap, path::Path, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::store::command::Helper;

const PAGE: &str = include_str!("../../../../docs/store-helpers.md");

/// The helper of the page.
fn documented() -> &'static str {
    let (_, rest) = PAGE.split_once("```sh\n").expect("the page has a helper");
    rest.split_once("\n```").expect("it ends").0
}

fn store(directory: &Path, script: &str, environment: &str, deadline: Duration) -> CommandStore {
    let path = directory.join("helper");
    crate::files::replace(&path, script.as_bytes()).unwrap();
    CommandStore::new(Helper {
        signals: crate::signals::Signals::none(),
        program: vec!["sh".to_owned(), path.to_str().unwrap().to_owned()],
        directory: directory.to_owned(),
        variables: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        environment: environment.to_owned(),
        license: Some("lic_\"key\":\"x\"".to_owned()),
        options: BTreeMap::from([("directory".to_owned(), "the keys".to_owned())]),
        deadline,
        met: std::sync::Arc::default(),
    })
}

fn tested(script: &str) -> Vec<Checked> {
    let directory = TempDir::new().unwrap();
    let store = |environment: &str| store(directory.path(), script, environment, Duration::from_secs(60));
    helper(store, &scratch_environment(7)).unwrap()
}

fn failed(checked: &[Checked]) -> Vec<&'static str> {
    checked.iter().filter(|checked| checked.is_failed()).map(|checked| checked.rule).collect()
}

#[test]
fn the_documented_helper_keeps_every_promise() {
    let checked = tested(documented());
    assert!(checked.iter().all(|checked| checked.result == RuleResult::Passed), "{checked:#?}");
    assert!(checked.len() >= 13, "{checked:#?}");
}

#[test]
fn a_helper_that_is_wrong_in_one_thing_is_found_out() {
    let right = documented();
    for (what, by, rules) in [
        ("|| fail 4 \"$place is at", "|| true || fail 4 \"$place is at", &[rule::CONFLICT][..]),
        ("if [ -n \"$current\" ] && [ \"$last_rotation\"", "if false && [ \"$last_rotation\"", &[rule::REPEATED]),
        ("*) fail 64 'the verbs are", "*) fail 1 'the verbs are", &[rule::UNKNOWN_VERB]),
        ("*) fail 64 'this is no request", "*) fail 6 'this is no request", &[rule::GARBAGE]),
        ("|| exit 3", "|| exit 0", &[rule::ABSENT]),
        ("key=$(member key)\n", "key=$(member key)\necho \"$key\" >&2\n", &[rule::SILENT]),
        ("key=$(member key)\n", "key=$(member key | tr -d '&')\n", &[rule::CHARACTERS]),
        ("key=$(member key)\n", "key=$(member key | cut -c 1-4096)\n", &[rule::LONGEST]),
        ("place=$directory/$environment", "place=$directory", &[rule::CHARACTERS, rule::LONGEST]),
        // It stores the key and reports a failure; it reports success and stores nothing.
        (
            "printf '{\"version\":\"%s\"}\\n' \"$next\"",
            "exit 6",
            &[rule::FIRST_PUT, rule::NEW_VERSION, rule::CHARACTERS, rule::LONGEST],
        ),
        (
            "mkdir -p \"$place\" ||",
            "echo '{}'; exit 0 ||",
            &[rule::SAME_BYTES, rule::REPEATED, rule::NEW_VERSION, rule::CONFLICT, rule::CHARACTERS, rule::LONGEST],
        ),
    ] {
        assert!(right.contains(what), "{what}");
        let checked = tested(&right.replacen(what, by, 1));
        assert_eq!(failed(&checked), rules, "{by}: {checked:#?}");
    }
}

#[test]
fn a_helper_with_wrong_capabilities_is_told_so() {
    for answer in
        ["echo yes", "echo '{\"protocol\":2,\"get\":true,\"put\":true,\"versions\":true}'", "exit 1", "exit 0"]
    {
        assert_eq!(failed(&tested(answer)), [rule::CAPABILITIES], "{answer}");
    }
}

#[test]
fn a_helper_that_is_not_there_is_unusable() {
    let directory = TempDir::new().unwrap();
    let made = |environment: &str| {
        CommandStore::new(Helper {
            signals: crate::signals::Signals::none(),
            program: crate::store::command::program_of("nowhere"),
            directory: directory.path().to_owned(),
            variables: Vec::new(),
            environment: environment.to_owned(),
            license: None,
            options: BTreeMap::new(),
            deadline: Duration::from_secs(60),
            met: std::sync::Arc::default(),
        })
    };
    let fault = helper(made, "x").unwrap_err();
    assert!(fault.message.contains("`license-store-nowhere` is not in PATH"), "{fault}");
}

#[test]
fn a_helper_that_hangs_is_late() {
    let directory = TempDir::new().unwrap();
    let script = "case $1 in capabilities) echo '{\"protocol\":1,\"get\":true,\"put\":false,\"versions\":false}';; \
                  *) exec sleep 60;; esac";
    let store = |environment: &str| store(directory.path(), script, environment, Duration::from_secs(1));
    assert!(failed(&helper(store, "x").unwrap()).contains(&rule::IN_TIME));
}

#[test]
fn a_store_with_a_real_key_is_changed_by_nothing_but_its_own_key() {
    let directory = TempDir::new().unwrap();
    let open = || Place::Command(store(directory.path(), documented(), "production", Duration::from_secs(60)));
    let key = LicenseKey::parse("TO-PRD-0123456789abcdef").unwrap();
    assert!(matches!(open().write(&key, open().read().unwrap().version(), "rotation-1"), Written::Done));
    let before = open().read().unwrap();
    assert_eq!(failed(&place(&open(), Rewrite::Forbidden, "rotation-2").unwrap()), [""; 0]);
    assert_eq!(same(&before, &open().read().unwrap()), Ok(()));
    assert_eq!(failed(&place(&open(), Rewrite::Allowed, "rotation-2").unwrap()), [""; 0]);
    let Held::Key { key: after, .. } = open().read().unwrap() else { panic!("it holds no key") };
    assert_eq!(after, key);
}
