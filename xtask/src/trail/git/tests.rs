//! The trail in git: what only git can do to it.

use std::fs;

use license_core::trail::{Actor, Ended, Event, Folded};

use super::*;
use crate::{files, git::tests::Hub};

const REFERENCE: &str = "refs/license/trail/production";

fn record(code: i32) -> Record {
    let actor = Actor { user: Some("alice".to_owned()), ..Actor::default() };
    let event = Event::DeployEnded { release: "r1".to_owned(), ended: Ended::Exited { code } };
    Record { at: "2026-03-01T11:02:03Z".parse().unwrap(), actor, environment: "production".to_owned(), event }
}

fn checkpoint() -> Record {
    Record { event: Folded::replay(&[record(0)]).unwrap().checkpoint().unwrap(), ..record(0) }
}

fn trail(hub: &Hub, who: &str) -> GitTrail {
    trail_in(hub, who, &[])
}

fn trail_in(hub: &Hub, who: &str, variables: &[(&str, &str)]) -> GitTrail {
    GitTrail::new(hub.git_with(&hub.clone_named(who), variables), "origin".to_owned(), "production")
}

/// Appends entries with these numbers, and gives the position after each.
fn fill(trail: &GitTrail, codes: std::ops::Range<i32>) -> Vec<Position> {
    let mut position = trail.read().unwrap().position;
    let append = |code| {
        position = trail.append(position, &record(code)).unwrap();
        position
    };
    codes.map(append).collect()
}

fn hub_tip(hub: &Hub) -> String {
    hub.raw(&hub.path(), &["rev-parse", REFERENCE], "")
}

/// The messages of the trail on the hub, oldest first.
fn messages(hub: &Hub) -> Vec<String> {
    let text = hub.raw(&hub.path(), &["log", "--reverse", "--format=%B", REFERENCE], "");
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Puts a history of these messages on the hub's ref, as somebody who pushes by hand could.
fn rewrite(hub: &Hub, lines: &[impl AsRef<str>]) {
    let mut text = String::new();
    for line in lines {
        let message = format!("{}\n", line.as_ref());
        let length = message.len().to_string();
        text.extend([
            "commit ",
            REFERENCE,
            "\ncommitter m <m@example.com> 0 +0000\ndata ",
            &length,
            "\n",
            &message,
            "\n",
        ]);
    }
    if hub.raw(&hub.path(), &["for-each-ref", REFERENCE], "").contains(REFERENCE) {
        hub.raw(&hub.path(), &["update-ref", "-d", REFERENCE], "");
    }
    hub.raw(&hub.path(), &["fast-import", "--quiet", "--force", "--date-format=raw"], &text);
}

/// The lines of a trail, one for each record.
fn lines(records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let mut head = Head::EMPTY;
    let line = |record| {
        let (line, next) = chain::next_line(&head, &record).unwrap();
        head = next;
        line
    };
    records.into_iter().map(line).collect()
}

#[test]
fn an_entry_is_a_commit_whose_message_is_the_line_and_whose_tree_is_empty() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = fill(&alice, 1..3)[1];
    assert_eq!(messages(&hub), lines([record(1), record(2)]));
    assert_eq!(end.head.hash, LineHash::of(messages(&hub)[1].as_bytes()));
    let shown = hub.raw(&hub.path(), &["log", "--format=%T %an <%ae> %at %cn <%ce> %ct", REFERENCE], "");
    let empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let who = "license-trail <license-trail@invalid> 1772362923";
    assert_eq!(shown.lines().collect::<Vec<_>>(), vec![format!("{empty} {who} {who}"); 2]);
    hub.raw(&hub.path(), &["fsck", "--strict", "--no-dangling"], "");
}

#[test]
fn what_a_user_or_a_host_configured_changes_nothing() {
    let hub = Hub::new();
    hub.raw(&hub.path(), &["config", "receive.fsckObjects", "true"], "");
    hub.raw(&hub.path(), &["config", "receive.denyNonFastForwards", "true"], "");
    let clone = hub.clone_named("alice");
    for (name, value) in [
        ("i18n.commitEncoding", "iso-8859-1"),
        ("i18n.logOutputEncoding", "iso-8859-1"),
        ("log.showSignature", "true"),
        ("commit.gpgSign", "true"),
        ("push.gpgSign", "true"),
        ("push.followTags", "true"),
        ("fetch.prune", "true"),
        ("fetch.fsckObjects", "true"),
        ("core.hooksPath", ".git/hooks"),
        ("remote.origin.fetch", "+refs/*:refs/*"),
        ("remote.origin.mirror", "true"),
        ("remote.origin.tagOpt", "--tags"),
        ("color.ui", "always"),
        ("user.useConfigOnly", "true"),
    ] {
        hub.raw(&clone, &["config", name, value], "");
    }
    for hook in ["pre-push", "reference-transaction", "post-checkout"] {
        fs::create_dir_all(clone.join(".git/hooks")).unwrap();
        std::os::unix::fs::symlink("/bin/false", clone.join(".git/hooks").join(hook)).unwrap();
    }
    let positions = fill(&trail(&hub, "bob"), 1..3);
    let alice = trail(&hub, "alice");
    assert_eq!(alice.read().unwrap().position, positions[1]);
    let third = alice.append(positions[1], &record(3)).unwrap();
    assert_eq!(trail(&hub, "bob").read().unwrap().position, third);
    assert_eq!(hub.raw(&hub.path(), &["for-each-ref", "--format=%(refname)"], ""), REFERENCE);
}

#[test]
fn a_replaced_commit_is_not_looked_at() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = fill(&alice, 1..3)[1];
    let clone = hub.clone_named("alice");
    let other = hub.raw(&clone, &["commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", "x"], "");
    hub.raw(&clone, &["replace", &hub_tip(&hub), &other], "");
    files::replace(&clone.join(".git/info/grafts"), format!("{}\n", hub_tip(&hub)).as_bytes()).unwrap();
    assert_eq!(alice.read().unwrap().position, end);
}

#[test]
fn what_was_changed_lost_or_put_out_of_order_is_found() {
    let whole = lines((1..=4).map(record));
    let with = |at: usize, line: &str| {
        let mut lines = whole.clone();
        line.clone_into(&mut lines[at]);
        lines
    };
    let without = |at: usize| {
        let mut lines = whole.clone();
        lines.remove(at);
        lines
    };
    let flipped = whole[1].replace("\"code\":2", "\"code\":3");
    assert_ne!(flipped, whole[1]);
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    let two_lines = format!("{}\n{}", whole[1], whole[2]);
    let table = [
        (with(1, &flipped), "line 3 does not follow from the line before it"),
        (without(0), "line 1 says that it is line 2"),
        (without(1), "line 2 says that it is line 3"),
        (without(2), "line 3 says that it is line 4"),
        (swapped, "line 2 says that it is line 3"),
        (with(1, &whole[1][..20]), "line 2 cannot be read"),
        (with(1, "Update README"), "line 2 cannot be read: it is not JSON"),
        (with(1, ""), "line 2 cannot be read"),
        (with(1, &two_lines), "its message has more than one line"),
    ];
    for (lines, said) in table {
        let hub = Hub::new();
        rewrite(&hub, &lines);
        let error = trail(&hub, "alice").read().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`refs/license/trail/production` of `origin` cannot be trusted"), "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(error.exit(), crate::exit::Exit::Trail);
        // What is in order before it was handed on.
        let mut handed = 0;
        trail(&hub, "bob").scan::<Record>(|_, _| handed += 1).unwrap_err();
        assert!(handed < lines.len(), "{said}");
    }
}

#[test]
fn a_commit_that_joins_two_histories_is_no_entry() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    fill(&alice, 1..3);
    let clone = hub.clone_named("alice");
    let (line, _) = chain::next_line(&alice.read().unwrap().position.head, &record(3)).unwrap();
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let root = hub.raw(&clone, &["rev-parse", &format!("{REFERENCE}~1")], "");
    let join = hub.raw(&clone, &["commit-tree", tree, "-p", REFERENCE, "-p", &root, "-m", &line], "");
    hub.raw(&clone, &["push", "-q", "origin", &format!("{join}:{REFERENCE}")], "");
    let text = alice.read().unwrap_err().to_string();
    assert!(text.contains("it joins two histories"), "{text}");
}

/// The first entry has a commit before it, which the remote does not have: who knows what stood there.
#[test]
fn a_first_entry_whose_commit_has_a_lost_parent_is_not_the_beginning() {
    let hub = Hub::new();
    let whole = lines((1..=2).map(record));
    rewrite(&hub, &["gone", &whole[0], &whole[1]]);
    let first = hub.raw(&hub.path(), &["rev-parse", &format!("{REFERENCE}~1")], "");
    // A shallow checkout, so that git takes a shallow remote for what it is.
    shallow_clone(&hub, "ci");
    // The remote's own history ends at the first entry.
    files::replace(&hub.path().join("shallow"), format!("{first}\n").as_bytes()).unwrap();
    let ci = trail(&hub, "ci");
    let mut handed = 0;
    let error = ci.scan::<Record>(|_, _| handed += 1).unwrap_err();
    let expected = format!("commit {first} is no entry, the commit before it is missing");
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(handed, 0);
}

#[test]
fn a_history_that_was_pushed_over_or_deleted_is_found_by_who_saw_it() {
    let other = lines((7..=10).map(record));
    for change in [
        &|hub: &Hub, first: &str| drop(hub.raw(&hub.path(), &["update-ref", REFERENCE, first], "")),
        &|hub: &Hub, _: &str| drop(hub.raw(&hub.path(), &["update-ref", "-d", REFERENCE], "")),
        &|hub: &Hub, _: &str| rewrite(hub, &other),
    ] as [&dyn Fn(&Hub, &str); 3]
    {
        let hub = Hub::new();
        let alice = trail(&hub, "alice");
        let first = fill(&alice, 1..2)[0];
        let first_commit = hub_tip(&hub);
        // The remote of a project has branches, too.
        hub.raw(&hub.path(), &["update-ref", "refs/heads/main", &first_commit], "");
        let end = fill(&alice, 2..4)[1];
        let seen = hub_tip(&hub);
        change(&hub, &first_commit);
        let changed = hub.raw(&hub.path(), &["for-each-ref"], "");
        for error in [
            alice.read().unwrap_err(),
            alice.read_recent().unwrap_err(),
            alice.append(end, &record(4)).unwrap_err(),
            alice.append(first, &record(4)).unwrap_err(),
        ] {
            let expected = format!(
                "`{REFERENCE}` of `origin` cannot be trusted: it does not contain commit {seen} any more, which was read here before"
            );
            assert_eq!(error.to_string(), expected);
            assert!(!error.is_lost_race());
        }
        assert_eq!(hub.raw(&hub.path(), &["for-each-ref"], ""), changed, "nothing was written");
        // Who never saw it cannot know.
        trail(&hub, "bob").read().unwrap();
        // The advice helps.
        hub.raw(&hub.clone_named("alice"), &["push", "-q", "--force", "origin", REFERENCE], "");
        assert_eq!(alice.read().unwrap().position, end);
    }
}

#[test]
fn a_remote_that_shows_nothing_is_not_said_to_have_lost_its_trail_alone() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = *fill(&alice, 1..3).last().unwrap();
    hub.raw(&hub.path(), &["update-ref", "-d", REFERENCE], "");
    for error in [alice.read().unwrap_err(), alice.append(Position::START, &record(1)).unwrap_err()] {
        assert!(
            error.to_string().ends_with("the remote shows nothing at all now: no branch, no tag, no trail"),
            "{error}"
        );
        assert!(!error.is_lost_race() && !error.is_about_content());
    }
    hub.raw(&hub.clone_named("alice"), &["push", "-q", "origin", REFERENCE], "");
    assert_eq!(alice.read().unwrap().position, end);
}

#[test]
fn a_clone_that_fetches_every_ref_over_its_own_still_remembers_what_it_saw() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    fill(&alice, 1..3);
    hub.raw(&hub.clone_named("alice"), &["config", "remote.origin.fetch", "+refs/*:refs/*"], "");
    rewrite(&hub, &lines((7..=10).map(record)));
    for _ in 0..2 {
        assert!(matches!(alice.read().unwrap_err(), LogError::Git(GitTrailError::Rewritten { .. })));
    }
}

#[test]
fn a_kill_between_the_commit_and_the_push_leaves_the_trail_as_it_was() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = fill(&alice, 1..3)[1];
    let (tip, seen) = (hub_tip(&hub), alice.git.local(REFERENCE).unwrap());
    // Dies at the push, before anything is sent.
    let path = hub.path_with_git("dies", r#"case " $* " in *" push "*) kill -9 $$;; *) real "$@";; esac"#);
    let error = trail_in(&hub, "alice", &[("PATH", &path)]).append(end, &record(3)).unwrap_err();
    assert!(matches!(error, LogError::Git(GitTrailError::Git(_))), "{error:?}");
    assert_eq!((hub_tip(&hub), alice.git.local(REFERENCE).unwrap()), (tip, seen));
    assert_eq!(alice.read().unwrap().position, end);
    assert!(alice.append(end, &record(3)).is_ok());
}

#[test]
fn a_connection_that_does_not_come_about_is_tried_again_and_says_nothing_about_rights() {
    let hub = Hub::new();
    let end = fill(&trail(&hub, "alice"), 1..3)[1];
    for (name, refusals, arrives) in [("once", 1, true), ("twice", 2, true), ("always", 99, false)] {
        let tries = hub.root().join(format!("{name}-tries"));
        let script = format!(
            r#"case " $* " in
            *" push "*) echo >>{0}; [ "$(wc -l <{0})" -gt {refusals} ] || {{
                echo "ssh: connect to host h port 22: Connection refused" >&2; exit 128; }} ;;
            esac; real "$@""#,
            tries.display()
        );
        let path = hub.path_with_git(name, &script);
        let end = trail(&hub, "bob").read().unwrap().position;
        let appended = trail_in(&hub, "alice", &[("PATH", &path)]).append(end, &record(7));
        match appended {
            Ok(position) => assert!(arrives && position.head.seq == end.head.seq + 1, "{name}"),
            Err(error) => {
                assert!(!arrives && error.to_string().contains("cannot be reached"), "{name}: {error}");
                assert_eq!(files::read_limited(&tries, 1024).unwrap().len(), PUSHES as usize, "{name}");
            }
        }
    }
    assert_eq!(trail(&hub, "bob").read().unwrap().position.head.seq, end.head.seq + 2);
}

#[test]
fn after_a_lost_connection_the_remote_tells_what_happened() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = fill(&alice, 1..3)[1];
    // The push arrives, and its answer does not.
    let path =
        hub.path_with_git("lost", r#"real "$@"; code=$?; case " $* " in *" push "*) exit 128;; *) exit $code;; esac"#);
    let third = trail_in(&hub, "alice", &[("PATH", &path)]).append(end, &record(3)).unwrap();
    assert_eq!(alice.read().unwrap().position, third);
    // The push arrives, and then somebody else appends.
    let marker = hub.root().join("overtaken");
    let script = format!(
        r#"real "$@"; code=$?
        case " $* " in *" push "*) touch {0}; while [ -e {0} ]; do sleep 0.01; done; exit 128;; *) exit $code;; esac"#,
        marker.display()
    );
    let path = hub.path_with_git("slow", &script);
    let slow = trail_in(&hub, "alice", &[("PATH", &path)]);
    thread::scope(|scope| {
        let appended = scope.spawn(|| slow.append(third, &record(4)));
        while !marker.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        let bob = trail(&hub, "bob");
        let fifth = bob.append(bob.read().unwrap().position, &record(5)).unwrap();
        fs::remove_file(&marker).unwrap();
        assert_eq!(appended.join().unwrap().unwrap().head.seq, 4);
        assert_eq!(alice.read().unwrap().position, fifth);
    });
    // Somebody else's entry arrived in the place of ours.
    let end = alice.read().unwrap().position;
    let path = hub.path_with_git("other", r#"case " $* " in *" push "*) exit 128;; *) real "$@";; esac"#);
    fill(&trail(&hub, "bob"), 6..7);
    assert!(trail_in(&hub, "alice", &[("PATH", &path)]).append(end, &record(7)).unwrap_err().is_lost_race());
    // The push arrives, and the remote cannot be asked.
    let path = hub.path_with_git(
        "silent",
        r#"case " $* " in *" push "*) real "$@"; exit 128;; *" ls-remote "*) echo 'fatal: no route' >&2; exit 128;; *) real "$@";; esac"#,
    );
    let end = alice.read().unwrap().position;
    let error = trail_in(&hub, "alice", &[("PATH", &path)]).append(end, &record(8)).unwrap_err();
    assert!(error.to_string().starts_with("it is not known whether entry 7 was appended to "), "{error}");
    assert_eq!(alice.read().unwrap().position.head.seq, 7);
}

#[test]
fn a_remote_that_takes_nothing_says_why() {
    let hub = Hub::new();
    let alice = trail(&hub, "alice");
    let end = fill(&alice, 1..2)[0];
    hub.raw(&hub.path(), &["config", "receive.denyCurrentBranch", "refuse"], "");
    hub.raw(&hub.path(), &["config", "receive.hideRefs", "refs/license"], "");
    let error = alice.append(end, &record(2)).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("nothing was appended to `refs/license/trail/production` of `origin`: "), "{text}");
    assert!(matches!(error, LogError::Git(GitTrailError::Refused { .. })), "{error:?}");
    assert_eq!(alice.read().unwrap().position, end);
}

#[test]
fn a_shallow_checkout_stays_shallow_and_its_cost_flat() {
    let hub = Hub::new();
    let (covered, all) = (2 * CHECKPOINT_ENTRIES, 2 * CHECKPOINT_ENTRIES + CHECKPOINT_ENTRIES / 2);
    let records: Vec<Record> = (1..=all).map(|seq| if seq == covered { checkpoint() } else { record(0) }).collect();
    rewrite(&hub, &lines(records));
    let clone = shallow_clone(&hub, "ci");
    let ci = trail(&hub, "ci");
    let replay = ci.read_recent().unwrap();
    assert_eq!(replay.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (covered..=all).collect::<Vec<_>>());
    let count = |reference: &str| hub.raw(&clone, &["rev-list", "--count", reference], "");
    let recent = (CHECKPOINT_ENTRIES + 1).to_string();
    assert_eq!(count(REFERENCE), recent);
    let end = ci.append(replay.position, &record(1)).unwrap();
    assert_eq!(trail(&hub, "alice").read().unwrap().position, end);
    // Somebody else goes on; the checkout follows.
    let end = fill(&trail(&hub, "alice"), 1..3)[1];
    assert_eq!(ci.read_recent().unwrap().position, end);
    assert_eq!(count(REFERENCE), recent);
    // A reading from the beginning gets everything of the trail, and nothing more of the project.
    assert_eq!(ci.read().unwrap().entries.len() as u64, all + 3);
    assert_eq!(count("HEAD"), "1");
}

/// A checkout as CI systems make it.
fn shallow_clone(hub: &Hub, name: &str) -> PathBuf {
    let project = hub.clone_named("project");
    for message in ["one", "two", "three"] {
        hub.raw(&project, &["commit", "-q", "--allow-empty", "-m", message], "");
    }
    hub.raw(&project, &["push", "-q", "origin", "main"], "");
    let url = format!("file://{}", hub.path().display());
    hub.raw(hub.root(), &["clone", "-q", "--depth=1", &url, name], "");
    hub.root().join(name)
}

#[test]
fn a_checkpoint_out_of_reach_is_fetched() {
    for far in [0, 9] {
        let hub = Hub::new();
        let mut records: Vec<Record> = vec![record(0); 1_200];
        if far > 0 {
            records[far] = checkpoint();
        }
        rewrite(&hub, &lines(records));
        shallow_clone(&hub, "ci");
        for who in ["ci", "alice"] {
            let replay = trail(&hub, who).read_recent().unwrap();
            let expected: Vec<u64> = (far as u64 + 1..=1_200).collect();
            assert_eq!(replay.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), expected, "{who}");
        }
    }
}

#[test]
fn a_shallow_checkout_that_saw_an_older_end_still_finds_it_in_a_longer_trail() {
    let hub = Hub::new();
    let whole = lines(vec![record(0); 2_300]);
    rewrite(&hub, &whole[..20]);
    shallow_clone(&hub, "ci");
    let ci = trail(&hub, "ci");
    assert_eq!(ci.read_recent().unwrap().position.head.seq, 20);
    rewrite(&hub, &whole);
    assert_eq!(ci.read_recent().unwrap().position.head.seq, 2_300);
    // And a history without it is found there too.
    rewrite(&hub, &lines(vec![record(1); 2_400]));
    assert!(matches!(ci.read_recent().unwrap_err(), LogError::Git(GitTrailError::Rewritten { .. })));
}

#[test]
fn a_chain_that_breaks_at_the_checkpoint_or_after_it_is_seen_and_one_that_breaks_before_it_is_not() {
    let whole = lines([record(1), record(2), checkpoint(), record(4), record(5)]);
    for (changed, seen) in [(0, false), (1, true), (2, true), (3, true)] {
        let hub = Hub::new();
        let mut lines = whole.clone();
        lines[changed] = lines[changed].replace("11:02:03", "11:02:04");
        rewrite(&hub, &lines);
        assert_eq!(trail(&hub, "alice").read_recent().is_err(), seen, "line {changed}");
        assert!(trail(&hub, "bob").read().is_err(), "line {changed}");
    }
    for removed in 1..=3 {
        let hub = Hub::new();
        let mut lines = whole.clone();
        lines.remove(removed);
        rewrite(&hub, &lines);
        assert!(trail(&hub, "alice").read_recent().is_err(), "without line {removed}");
    }
}

#[test]
fn troubles_of_git_are_told_as_they_are() {
    let hub = Hub::new();
    let clone = hub.clone_named("alice");
    let of = |remote: &str| GitTrail::new(hub.git(&clone), remote.to_owned(), "production");
    assert_eq!(of("upstream").read().unwrap_err().to_string(), "the repository has no remote `upstream`");
    hub.raw(&clone, &["remote", "add", "gone", "/nowhere/at/all.git"], "");
    let error = of("gone").append(Position::START, &record(1)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the remote `gone` cannot be reached: fatal: '/nowhere/at/all.git'"), "{text}");
    assert_eq!(error.exit(), crate::exit::Exit::Trail);
}
