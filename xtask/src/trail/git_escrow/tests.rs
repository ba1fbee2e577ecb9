//! The shared escrow on a bare repository.

use std::{sync::Barrier, thread};

use super::*;
use crate::git::tests::Hub;

const REFERENCE: &str = "refs/license/escrow/production";
/// How often two put something at once.
const ROUNDS: u32 = 10;

fn escrow(hub: &Hub, who: &str) -> GitEscrow {
    escrow_in(hub, who, &[])
}

fn escrow_in(hub: &Hub, who: &str, variables: &[(&str, &str)]) -> GitEscrow {
    GitEscrow::new(hub.git_with(&hub.clone_named(who), variables), "origin".to_owned(), "production")
}

/// Every object that a fresh clone of everything gets.
fn reachable(hub: &Hub) -> String {
    hub.raw(&hub.path(), &["rev-list", "--objects", "--all"], "")
}

#[test]
fn what_is_put_is_found_from_another_clone() {
    for format in ["sha1", "sha256"] {
        let hub = Hub::hashing_with(format);
        let (alice, bob) = (escrow(&hub, "alice"), escrow(&hub, "bob"));
        assert_eq!(alice.find("r1.old.age").unwrap(), None);
        assert!(alice.list().unwrap().is_empty());
        let armor = b"-----BEGIN AGE ENCRYPTED FILE-----\nx\n\0\r\n";
        alice.put("r1.old.age", armor).unwrap();
        bob.put("r1.answer.age", b"").unwrap();
        for who in [&alice, &bob, &escrow(&hub, "carol")] {
            assert_eq!(who.list().unwrap(), ["r1.answer.age", "r1.old.age"]);
            assert_eq!(who.find("r1.old.age").unwrap().as_deref(), Some(armor.as_slice()));
            assert_eq!(who.find("r1.answer.age").unwrap().as_deref(), Some(b"".as_slice()));
            assert_eq!(who.find("r2.old.age").unwrap(), None);
        }
    }
}

#[test]
fn the_same_again_changes_nothing_and_another_content_replaces_the_file() {
    let hub = Hub::new();
    let alice = escrow(&hub, "alice");
    alice.put("a", b"1").unwrap();
    let tip = hub.raw(&hub.path(), &["rev-parse", REFERENCE], "");
    escrow(&hub, "bob").put("a", b"1").unwrap();
    assert_eq!(hub.raw(&hub.path(), &["rev-parse", REFERENCE], ""), tip);
    alice.put("a", b"2").unwrap();
    assert_eq!(alice.find("a").unwrap().unwrap(), b"2");
    assert_eq!(alice.list().unwrap(), ["a"]);
}

#[test]
fn two_who_put_at_once_both_have_their_file_there() {
    let hub = Hub::new();
    let start = Barrier::new(2);
    // Nobody panics before both are through: the other one would wait for ever.
    let run = |who: &str| {
        let escrow = escrow(&hub, who);
        let round = |round| {
            start.wait();
            escrow.put(&format!("{round}.{who}"), who.as_bytes())
        };
        (0..ROUNDS).map(round).collect::<Vec<_>>()
    };
    let ends = thread::scope(|scope| {
        let alice = scope.spawn(|| run("alice"));
        let bob = run("bob");
        [alice.join().unwrap(), bob].concat()
    });
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    let carol = escrow(&hub, "carol");
    assert_eq!(u32::try_from(carol.list().unwrap().len()), Ok(2 * ROUNDS));
    assert_eq!(carol.find("0.alice").unwrap().unwrap(), b"alice");
}

#[test]
fn nothing_refers_to_a_deleted_file() {
    let hub = Hub::new();
    let alice = escrow(&hub, "alice");
    alice.delete(&["a"]).unwrap();
    assert!(reachable(&hub).is_empty());
    for (name, bytes) in [("a", b"1"), ("b", b"2"), ("c", b"3")] {
        alice.put(name, bytes).unwrap();
    }
    let blob = |bytes: &str| hub.raw(&hub.path(), &["hash-object", "--stdin"], bytes);
    assert!(reachable(&hub).contains(&blob("1")));
    escrow(&hub, "bob").delete(&["a", "c", "nothing"]).unwrap();
    assert_eq!(alice.list().unwrap(), ["b"]);
    assert!(!reachable(&hub).contains(&blob("1")));
    assert!(reachable(&hub).contains(&blob("2")));
    assert_eq!(hub.raw(&hub.path(), &["rev-list", "--count", REFERENCE], ""), "1");
    alice.delete(&["b"]).unwrap();
    assert!(alice.list().unwrap().is_empty());
    assert_eq!(hub.raw(&hub.clone_named("alice"), &["for-each-ref"], ""), "");
}

#[test]
fn names_and_sizes_have_bounds() {
    let hub = Hub::new();
    let alice = escrow(&hub, "alice");
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    for name in ["", ".", "..", ".git", "a/b", "a\nb", "a\tb", "ä", &long] {
        assert!(matches!(alice.put(name, b"x"), Err(GitEscrowError::Name { .. })), "{name}");
    }
    let most = vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap()];
    alice.put("most", &most).unwrap();
    assert_eq!(alice.find("most").unwrap().unwrap(), most);
    let more = [most, vec![b'x']].concat();
    assert!(matches!(alice.put("more", &more), Err(GitEscrowError::TooLong { .. })));
}

#[test]
fn a_shallow_checkout_has_the_escrow_too() {
    let hub = Hub::new();
    let project = hub.clone_named("project");
    for message in ["one", "two"] {
        hub.raw(&project, &["commit", "-q", "--allow-empty", "-m", message], "");
    }
    hub.raw(&project, &["push", "-q", "origin", "main"], "");
    let url = format!("file://{}", hub.path().display());
    hub.raw(hub.root(), &["clone", "-q", "--depth=1", &url, "ci"], "");
    escrow(&hub, "alice").put("a", b"1").unwrap();
    let ci = escrow(&hub, "ci");
    ci.put("b", b"2").unwrap();
    assert_eq!(ci.find("a").unwrap().unwrap(), b"1");
    assert_eq!(escrow(&hub, "alice").list().unwrap(), ["a", "b"]);
}

#[test]
fn after_a_lost_connection_the_remote_tells_what_happened() {
    let hub = Hub::new();
    let alice = escrow(&hub, "alice");
    let path = |name: &str, push: &str| {
        hub.path_with_git(name, &format!(r#"case " $* " in *" push "*) {push};; *) real "$@";; esac"#))
    };
    let arrives = path("arrives", r#"real "$@"; exit 128"#);
    escrow_in(&hub, "alice", &[("PATH", &arrives)]).put("a", b"1").unwrap();
    assert_eq!(alice.find("a").unwrap().unwrap(), b"1");
    let dies = path("dies", "kill -9 $$");
    let error = escrow_in(&hub, "alice", &[("PATH", &dies)]).put("b", b"2").unwrap_err();
    assert!(matches!(error, GitEscrowError::Git(_)), "{error:?}");
    assert_eq!(alice.list().unwrap(), ["a"]);
    let script = r#"[ -e silent ] && exit 128; case " $* " in *" push "*) real "$@"; touch silent; exit 128;; *) real "$@";; esac"#;
    let silent = hub.path_with_git("silent", script);
    let error = escrow_in(&hub, "alice", &[("PATH", &silent)]).put("c", b"3").unwrap_err();
    assert!(matches!(error, GitEscrowError::NotKnown { .. }), "{error:?}");
    assert_eq!(alice.list().unwrap(), ["a", "c"]);
}

#[test]
fn a_remote_that_takes_nothing_or_is_not_there_says_so() {
    let hub = Hub::new();
    let alice = escrow(&hub, "alice");
    alice.put("a", b"1").unwrap();
    hub.raw(&hub.path(), &["config", "receive.hideRefs", "refs/license"], "");
    let error = alice.put("b", b"2").unwrap_err();
    assert!(matches!(error, GitEscrowError::Refused { .. }), "{error:?}");
    let gone = GitEscrow::new(hub.git(&hub.clone_named("alice")), "gone".to_owned(), "production");
    assert_eq!(gone.find("a").unwrap_err().to_string(), "the repository has no remote `gone`");
    assert!(gone.put("a", b"TO-PRD-SECRET").unwrap_err().to_string().contains("`gone`"));
}
