//! Objects as a push sends them, in real repositories. The rest is tested through the binary.

use std::{collections::BTreeSet, fs, io, path::Path};

use license_core::leaks::{Secret, Watch};
use zeroize::Zeroizing;

use super::{
    archive::PUSH_ARCHIVES_TIME,
    objects::{Range, Seen, objects, pushed_name},
    place::{Located, locate},
    repository::Repository,
    *,
};
use crate::{
    files,
    git::{stream::Surroundings, tests::Hub},
    vars::Vars,
};

/// A secret that nothing else contains.
pub(super) const SECRET: &str = "a-secret-of-the-tests-of-the-scan";

pub(super) fn scanner() -> Scanner {
    let secret = Secret::new("the secret", Zeroizing::new(SECRET.to_owned())).unwrap();
    let (known, patterns, allowed) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    Scanner::new(Watch { secrets: vec![secret], known, patterns, allowed }).unwrap()
}

fn vars(hub: &Hub, more: &[(&str, &str)]) -> Vars {
    let path = Vars::of_process().text("PATH").unwrap().to_owned();
    let root = hub.root().to_str().unwrap();
    let own = [("PATH", path.as_str()), ("HOME", root), ("GIT_CONFIG_NOSYSTEM", "1")];
    own.iter().chain(more).copied().collect()
}

pub(super) fn at(hub: &Hub, directory: &Path) -> Repository {
    Repository::at(directory, &vars(hub, &[]), &BTreeSet::new(), Surroundings::Directory)
}

/// Commits a file, and gives the commit.
pub(super) fn commit(hub: &Hub, directory: &Path, name: &str, content: &str) -> Oid {
    files::replace(&directory.join(name), content.as_bytes()).unwrap();
    hub.raw(directory, &["add", "--all"], "");
    hub.raw(directory, &["commit", "--quiet", "--message", name], "");
    Oid::parse(&hub.raw(directory, &["rev-parse", "HEAD"], "")).unwrap()
}

fn scan(repository: &Repository, range: &Range) -> Scanned {
    objects(repository, range, &scanner(), &mut |_| ()).unwrap()
}

fn push(want: &[&Oid], have: &[&Oid]) -> Range {
    let list = |oids: &[&Oid]| oids.iter().map(|oid| (*oid).clone()).collect();
    Range::Push { want: list(want), have: list(have), seen: Seen::Nothing }
}

#[test]
fn a_push_is_what_is_wanted_without_what_is_there() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "leak.txt", SECRET);
    let second = commit(&hub, &clone, "b.txt", "b");
    let repository = at(&hub, &clone);
    let all = scan(&repository, &push(&[&second], &[]));
    assert_eq!((all.leaks(), all.objects, all.incomplete), (1, 6, Vec::new()));
    let new = scan(&repository, &push(&[&second], &[&first]));
    assert_eq!((new.leaks(), new.objects, new.incomplete), (0, 3, Vec::new()));
    let both = scan(&repository, &push(&[&first, &second, &second], &[]));
    assert_eq!((both.leaks(), both.objects), (1, 6));
}

#[test]
fn what_the_other_side_has_and_is_not_here_is_passed_over() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "leak.txt", SECRET);
    let unknown = Oid::parse(&"1".repeat(40)).unwrap();
    let scanned = scan(&at(&hub, &clone), &push(&[&first], &[&unknown]));
    assert_eq!((scanned.leaks(), scanned.incomplete), (1, Vec::new()));
}

#[test]
fn what_is_wanted_and_is_not_here_is_never_clean() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "a.txt", "a");
    let unknown = Oid::parse(&"1".repeat(40)).unwrap();
    for want in [&[&unknown][..], &[&first, &unknown]] {
        let scanned = scan(&at(&hub, &clone), &push(want, &[]));
        assert_eq!(scanned.incomplete.len(), 1, "{scanned:?}");
    }
}

#[test]
fn what_a_remote_was_seen_to_have_is_left_out_only_when_asked() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "leak.txt", SECRET);
    hub.raw(&clone, &["update-ref", "refs/remotes/origin/main", first.as_str()], "");
    let second = commit(&hub, &clone, "b.txt", "b");
    let leaving_out =
        Range::Push { want: vec![second.clone()], have: Vec::new(), seen: Seen::Refs("origin".to_owned()) };
    assert_eq!(scan(&at(&hub, &clone), &leaving_out).leaks(), 0);
    assert_eq!(scan(&at(&hub, &clone), &push(&[&second], &[])).leaks(), 1);
}

#[test]
fn thousands_of_refs_are_one_walk() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "leak.txt", SECRET);
    // More than a pipe holds, in both directions.
    let want: Vec<&Oid> = std::iter::repeat_n(&first, 5_000).collect();
    let unknown = Oid::parse(&"1".repeat(40)).unwrap();
    let have: Vec<&Oid> = std::iter::repeat_n(&unknown, 5_000).collect();
    let scanned = scan(&at(&hub, &clone), &push(&want, &have));
    assert_eq!((scanned.leaks(), scanned.objects, scanned.incomplete), (1, 3, Vec::new()));
}

#[test]
fn a_push_from_another_directory_is_about_its_own_repository() {
    let hub = Hub::new();
    let (one, other) = (hub.clone_named("a"), hub.clone_named("b"));
    let first = commit(&hub, &one, "leak.txt", SECRET);
    let git_dir = one.join(".git");
    let vars = vars(&hub, &[("GIT_DIR", git_dir.to_str().unwrap())]);
    let of_push = Repository::at(&other, &vars, &BTreeSet::new(), Surroundings::Push);
    assert_eq!(scan(&of_push, &push(&[&first], &[])).leaks(), 1);
}

#[test]
fn a_place_is_found_for_a_push_too() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    fs::create_dir(clone.join("d")).unwrap();
    let first = commit(&hub, &clone, "d/leak.txt", &format!("\n{SECRET}"));
    let second = commit(&hub, &clone, "b.txt", "b");
    let (repository, range) = (at(&hub, &clone), push(&[&second], &[]));
    let mut scanned = scan(&repository, &range);
    assert_eq!(locate(&repository, &range, &scanner(), &[], &mut scanned).unwrap(), Located::Everything);
    let place = &scanned.findings[0].place;
    assert_eq!((place.path.as_deref(), place.commit.as_ref()), (Some("d/leak.txt"), Some(&first)));
    assert_eq!(scanned.findings[0].line(), Some(2));
}

#[test]
fn the_name_of_a_pushed_ref_is_scanned() {
    let scanned = pushed_name(format!("refs/heads/{SECRET}").as_bytes(), &scanner());
    let shown = scanned.findings[0].place.path.clone().unwrap();
    assert!(scanned.leaks() == 1 && shown.starts_with("refs/heads/") && !shown.contains(SECRET), "{shown}");
    assert_eq!(pushed_name(b"refs/heads/main", &scanner()).leaks(), 0);
}

#[test]
fn a_secret_that_is_configured_is_kept_whatever_was_found_before_it() {
    let secret = Secret::new("the secret", Zeroizing::new(SECRET.to_owned())).unwrap();
    let patterns = vec![license_core::leaks::Pattern::parse("acme[0-9]+").unwrap()];
    let (known, allowed) = (BTreeSet::new(), BTreeSet::new());
    let scanner = Scanner::new(Watch { secrets: vec![secret], known, patterns, allowed }).unwrap();
    let found = |text: &str| {
        let leak = scanner.scan(text.as_bytes()).swap_remove(0);
        Finding { leak, place: Place::of(place::Thing::File) }
    };
    let mut all = Scanned::default();
    for _ in 0..FINDINGS_MAX + 5 {
        all.found(found("acme123"));
    }
    all.found(found(SECRET));
    all.found(found("acme123"));
    assert_eq!((all.findings.len(), all.leaks()), (FINDINGS_MAX, FINDINGS_MAX as u64 + 7));
    let certain: Vec<_> = all.findings.iter().map(|finding| finding.leak.what.is_known_for_certain()).collect();
    assert_eq!(certain.iter().position(|certain| *certain), Some(FINDINGS_MAX - 1));
}

#[test]
fn the_archives_of_a_push_share_their_time_and_others_do_not() {
    let packed = |content: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut encoder, content.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let (scanner, archive) = (scanner(), packed(&"more than a little\n".repeat(10_000)));
    let place = || Place::of(place::Thing::Blob);
    let mut work = Work::new(&scanner);
    work.unpack(None, &archive, &place);
    assert!(work.scanned.unscanned.is_empty() && work.archives_time.is_none());
    work.archives_time = Some(PUSH_ARCHIVES_TIME);
    work.unpack(None, &archive, &place);
    let left = work.archives_time.unwrap();
    assert!(work.scanned.unscanned.is_empty() && left < PUSH_ARCHIVES_TIME, "{left:?}");
    for time in [Duration::from_nanos(1), Duration::ZERO] {
        work.archives_time = Some(time);
        work.unpack(None, &archive, &place);
        let refused = work.scanned.unscanned.pop().unwrap();
        assert_eq!(refused.weight, archive::Weight::Stops);
        assert!(refused.why.contains("the archives of a push may take 60s altogether"), "{refused:?}");
        assert_eq!(work.archives_time, Some(Duration::ZERO));
    }

    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let first = commit(&hub, &clone, "a.txt", "a");
    let repository = at(&hub, &clone);
    let between = Range::Between { range: "HEAD".to_owned() };
    for (range, expected) in [(push(&[&first], &[]), Some(PUSH_ARCHIVES_TIME)), (between, None), (Range::All, None)] {
        assert_eq!(objects::Walk::of(&repository, &range).unwrap().archives_time, expected, "{range:?}");
    }
}

#[test]
fn a_secret_with_slashes_in_a_path_is_not_shown() {
    let secret = Secret::new("the secret", Zeroizing::new("first-half/second-half".to_owned())).unwrap();
    let (known, patterns, allowed) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let scanner = Scanner::new(Watch { secrets: vec![secret], known, patterns, allowed }).unwrap();
    let shown = place::shown_path(&scanner, b"a/first-half/second-half/b");
    assert!(!shown.contains("second-half"), "{shown}");
}
