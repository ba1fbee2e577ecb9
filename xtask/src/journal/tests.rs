//! Journals on real files: who gets the environment, what a race costs, and where reading begins.

#![expect(clippy::disallowed_methods, reason = "a test prepares its files and starts processes")]

use std::{
    io::{self, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use license_core::trail::{Checkpoint, Ended};
use miette::Diagnostic as _;
use tempfile::TempDir;

use super::*;
use crate::log::Log;
use crate::trail::file::FileTrail;

fn production() -> EnvName {
    EnvName::parse("production").unwrap()
}

fn actor(user: &str) -> Actor {
    let run_url = Some(format!("https://ci.example/{user}"));
    Actor { user: Some(user.to_owned()), host: Some("build-3".to_owned()), run_url, ..Actor::default() }
}

fn trail(root: &Path) -> Trail {
    Trail::File(FileTrail::new(&root.join("trail"), "production"))
}

fn journal(root: &Path, user: &str) -> Journal {
    Journal::of(trail(root), production(), root.to_owned(), actor(user)).unwrap()
}

/// One that has no lock on this machine, as on a fleet of machines with one trail.
fn leasing(root: &Path, user: &str) -> Journal {
    Journal { hold: Hold::LeaseOnly, ..journal(root, user) }
}

fn happened(code: i32) -> Event {
    Event::DeployEnded { release: "r1".to_owned(), ended: Ended::Exited { code } }
}

fn record(event: Event) -> Record {
    Record { at: context::now(), actor: actor("alice"), environment: "production".to_owned(), event }
}

#[test]
fn a_run_that_wrote_nothing_tells_no_head() {
    let root = tempfile::tempdir().unwrap();
    let mut looks = journal(root.path(), "alice");
    let mut writes = journal(root.path(), "bob");
    writes.append(happened(0)).unwrap();
    looks.refresh().unwrap();
    assert_eq!(looks.written(), None);
    assert_eq!(writes.written(), Some(looks.head()));
}

fn kinds(root: &Path) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::Claim(ClaimEvent::Claimed { .. }) => "claimed",
        Event::Claim(ClaimEvent::Released { .. }) => "released",
        Event::Checkpoint(_) => "checkpoint",
        Event::Issued { .. }
        | Event::Gate(_)
        | Event::GateFailed { .. }
        | Event::DeployStarted { .. }
        | Event::DeployEnded { .. }
        | Event::Health { .. }
        | Event::RollbackEnded { .. }
        | Event::Claim(ClaimEvent::Broken { .. } | ClaimEvent::NotKnown)
        | Event::Rotation(_)
        | Event::Alert(_)
        | Event::Look(_)
        | Event::Webhook(_)
        | Event::NotKnown => "other",
    };
    trail(root).read().unwrap().entries.iter().map(|entry| kind(&entry.body.event)).collect()
}

/// A root with a trail of this many entries, written at once; nobody wrote a checkpoint into it.
fn root_of(entries: u64) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let log = Log::at(trail(root.path()).place());
    let records = (0..entries).map(|_| record(happened(0))).collect();
    log.transact::<Record, (), ()>(Position::START, |_| Ok((records, ()))).unwrap();
    root
}

#[test]
fn the_second_is_told_who_has_the_environment_and_gets_it_when_it_is_given_back() {
    let root = tempfile::tempdir().unwrap();
    let mut first = leasing(root.path(), "alice");
    first.claim(60).unwrap();
    let mut second = leasing(root.path(), "bob");
    let failure = second.claim(60).unwrap_err();
    assert_eq!(failure.exit(), Exit::Held);
    assert_eq!(failure.code(), "held");
    let claim = first.state().claim.clone().unwrap();
    let (since, until) = (claim.since, claim.until);
    let expected = format!(
        "`production` is held: the claim of alice on build-3, https://ci.example/alice, since {since:.0}, until {until:.0}"
    );
    assert_eq!(failure.to_string(), expected);
    assert!(failure.help().unwrap().to_string().contains("cargo xtask lock show production"));
    first.release().unwrap();
    second.refresh().unwrap();
    second.claim(60).unwrap();
    assert_eq!(second.state().claim.as_ref().unwrap().run, *second.run());
    assert_eq!(kinds(root.path()), ["claimed", "released", "claimed"]);
}

#[test]
fn a_loser_reads_again_and_sees_the_claim_of_the_winner() {
    let root = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (leasing(root.path(), "alice"), leasing(root.path(), "bob"));
    first.claim(60).unwrap();
    let failure = second.claim(60).unwrap_err();
    assert!(failure.to_string().contains("alice"), "{failure}");
    assert_eq!(kinds(root.path()), ["claimed"]);
}

#[test]
fn a_decision_stands_when_others_only_noted_something_and_falls_when_they_took_the_environment() {
    let root = tempfile::tempdir().unwrap();
    let mut first = leasing(root.path(), "alice");
    first.claim(60).unwrap();
    leasing(root.path(), "bob").append(happened(1)).unwrap();
    first.append_decided(happened(0)).unwrap();
    assert_eq!(kinds(root.path()), ["claimed", "other", "other"]);
    let mut second = leasing(root.path(), "bob");
    let run = first.run().clone();
    second.append(Event::Claim(ClaimEvent::Broken { run, reason: "it hangs".to_owned() })).unwrap();
    let lost = first.append_decided(happened(0)).unwrap_err();
    assert!(matches!(&lost, Failure::Log(error) if error.is_lost_race()), "{lost}");
    assert_eq!(kinds(root.path()).len(), 4);
}

#[test]
fn a_race_with_what_is_no_claim_is_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let mut first = leasing(root.path(), "alice");
    leasing(root.path(), "bob").append(happened(0)).unwrap();
    first.claim(60).unwrap();
    let bob = &mut leasing(root.path(), "bob");
    bob.append(happened(0)).unwrap();
    // What is decided on an older trail is not written; what has happened is.
    let failure = first.append(happened(1)).unwrap_err();
    assert!(matches!(&failure, Failure::Log(error) if error.is_lost_race()), "{failure}");
    first.record(happened(1)).unwrap();
    bob.refresh().unwrap();
    bob.append(happened(0)).unwrap();
    first.release().unwrap();
    assert_eq!(kinds(root.path()), ["other", "claimed", "other", "other", "other", "released"]);
}

#[test]
fn the_same_call_makes_a_claim_longer_and_a_claim_that_ran_out_is_anybodys() {
    let root = tempfile::tempdir().unwrap();
    let mut first = leasing(root.path(), "alice");
    first.claim(0).unwrap();
    let since = first.state().claim.clone().unwrap().since;
    let mut second = leasing(root.path(), "bob");
    second.claim(60).unwrap();
    assert_eq!(first.claim(60).unwrap_err().exit(), Exit::Held, "it has become bob's");
    // What is not one's own is not given back.
    first.release().unwrap();
    second.claim(600).unwrap();
    let claim = second.state().claim.clone().unwrap();
    assert!(claim.since >= since && claim.until > claim.since + SignedDuration::from_secs(500));
    assert_eq!(kinds(root.path()), ["claimed", "claimed", "claimed"]);
}

#[test]
fn the_claim_of_a_dead_process_is_taken_over_and_that_is_told() {
    let root = tempfile::tempdir().unwrap();
    let mut dead = journal(root.path(), "alice");
    dead.claim(3600).unwrap();
    let mut second = journal(root.path(), "bob");
    let failure = second.claim(60).unwrap_err();
    assert_eq!(failure.exit(), Exit::Held);
    assert!(failure.to_string().contains(&format!("pid {} by alice", std::process::id())), "{failure}");
    drop(dead);
    second.claim(60).unwrap();
    let notes = second.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("of alice") && notes[0].contains("taken over"), "{notes:?}");
    assert_eq!(second.state().claim.as_ref().unwrap().run, *second.run());
    // A lease alone proves nothing about its holder.
    second.hold = Hold::Free;
    assert_eq!(leasing(root.path(), "carol").claim(60).unwrap_err().exit(), Exit::Held);
}

#[test]
fn a_checkpoint_follows_the_entry_that_fills_the_count_and_reading_begins_there() {
    let root = root_of(CHECKPOINT_ENTRIES - 2);
    let mut first = journal(root.path(), "alice");
    first.append(happened(1)).unwrap();
    assert!(!kinds(root.path()).contains(&"checkpoint"));
    first.append(happened(2)).unwrap();
    let replay = trail(root.path()).read_recent().unwrap();
    assert_eq!(replay.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [CHECKPOINT_ENTRIES + 1]);
    assert_eq!(Some(replay.position.head), first.written());
    first.append(happened(3)).unwrap();
    assert_eq!(journal(root.path(), "bob").folded(), first.folded());
    assert_eq!(look_at(root.path()), *first.folded());
}

fn look_at(root: &Path) -> Folded {
    let replay = trail(root).read().unwrap();
    Folded::replay(replay.entries.iter().map(|entry| &entry.body)).unwrap()
}

#[test]
fn one_that_was_killed_between_the_entry_and_the_checkpoint_costs_nothing_and_the_next_one_writes_it() {
    let root = root_of(CHECKPOINT_ENTRIES + 5);
    let mut next = journal(root.path(), "alice");
    assert_eq!(*next.folded(), look_at(root.path()));
    next.append(happened(1)).unwrap();
    assert_eq!(kinds(root.path()).last(), Some(&"checkpoint"));
    next.append(happened(2)).unwrap();
    assert_eq!(kinds(root.path()).iter().filter(|kind| **kind == "checkpoint").count(), 1);
}

#[test]
fn a_checkpoint_of_another_version_means_reading_from_the_beginning() {
    let root = tempfile::tempdir().unwrap();
    let mut first = leasing(root.path(), "alice");
    first.claim(60).unwrap();
    first.append(Event::Checkpoint(Checkpoint::NotKnown)).unwrap();
    first.append(happened(0)).unwrap();
    assert_eq!(journal(root.path(), "bob").folded(), first.folded());
    assert!(first.state().claim.is_some());
}

#[test]
fn what_was_read_before_must_still_be_there_also_behind_a_checkpoint() {
    let root = root_of(3);
    let mut reader = journal(root.path(), "alice");
    let mut writer = journal(root.path(), "bob");
    writer.append(happened(0)).unwrap();
    writer.append_checkpoint();
    writer.append(happened(0)).unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.position, writer.position);
    // The same number of other entries.
    let other = root_of(3);
    let mut unlike = journal(other.path(), "carol");
    (0..5).for_each(|code| unlike.append(happened(code)).unwrap());
    let text = crate::files::read_limited(Path::new(&trail(other.path()).place()), 1 << 20).unwrap();
    std::fs::File::create(trail(root.path()).place()).unwrap().write_all(&text).unwrap();
    let failure = reader.refresh().unwrap_err();
    assert_eq!(failure.exit(), Exit::Trail);
    assert!(failure.to_string().contains("entry 6 is not the one that was read before"), "{failure}");
}

/// What is read from where one stopped gives what reading it all gives, also where checkpoints lie between.
#[test]
fn a_second_look_gives_what_a_first_one_would() {
    let root = root_of(CHECKPOINT_ENTRIES - 4);
    let mut reader = journal(root.path(), "alice");
    let mut writer = journal(root.path(), "bob");
    let mut covered = false;
    for code in 0..8 {
        writer.append(happened(code)).unwrap();
        reader.refresh().unwrap();
        let fresh = journal(root.path(), "carol");
        assert_eq!((reader.folded(), reader.position), (fresh.folded(), fresh.position), "after {code}");
        assert_eq!(reader.uncovered, fresh.uncovered, "after {code}");
        covered |= reader.uncovered == 0;
    }
    assert!(covered, "no checkpoint lay between");
    // Nothing new is nothing new.
    let (position, uncovered) = (reader.position, reader.uncovered);
    reader.refresh().unwrap();
    assert_eq!((reader.position, reader.uncovered), (position, uncovered));
}

#[test]
fn a_trail_that_was_cut_or_taken_away_is_not_followed() {
    let root = root_of(3);
    let file = trail(root.path()).place();
    let mut reader = journal(root.path(), "alice");
    let bytes = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(bytes - 1).unwrap();
    let failure = reader.refresh().unwrap_err();
    assert!(failure.to_string().contains("entry 3 is not the one that was read before"), "{failure}");
    std::fs::remove_file(&file).unwrap();
    let failure = reader.refresh().unwrap_err();
    assert!(failure.to_string().contains("entry 3 is not the one that was read before"), "{failure}");
    assert_eq!(failure.exit(), Exit::Trail);
}

#[test]
fn an_entry_that_does_not_fit_is_not_written() {
    use license_core::rotation::{Fact, RotationEvent, RotationId};
    let root = tempfile::tempdir().unwrap();
    let mut first = journal(root.path(), "alice");
    let event = RotationEvent { rotation_id: RotationId("r1".to_owned()), fact: Fact::Committed };
    let failure = first.append(Event::Rotation(event)).unwrap_err();
    assert_eq!((failure.exit(), failure.code()), (Exit::Trail, "trail"));
    assert!(kinds(root.path()).is_empty());
}

const ROOT: &str = "XTASK_JOURNAL_TEST_ROOT";
const HOW: &str = "XTASK_JOURNAL_TEST_HOLD";
/// What a racer writes when it got the environment, and when it did not.
const ANSWERS: [&str; 2] = ["won", "lost"];

/// Starts this test binary again, to run nothing but `a_racer`.
fn racer(root: &TempDir, how: &str, number: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::tests::a_racer"])
        .env(ROOT, root.path())
        .env(HOW, format!("{how}:{number}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two processes, round after round: one of them holds, and the trail says which.
fn race(how: &str, rounds: u32) {
    for round in 0..rounds {
        let root = tempfile::tempdir().unwrap();
        let answer = |number: u32, name: &str| root.path().join(format!("{number}.{name}")).exists();
        let mut racers: Vec<Child> = (0..2).map(|number| racer(&root, how, number)).collect();
        let both = |names: &[&str]| (0..2).all(|number| names.iter().any(|name| answer(number, name)));
        wait_until(|| both(&["ready"]));
        std::fs::File::create(root.path().join("go")).unwrap();
        wait_until(|| both(&ANSWERS));
        let won: Vec<u32> = (0..2).filter(|number| answer(*number, "won")).collect();
        assert_eq!(won.len(), 1, "round {round}");
        let folded = look_at(root.path());
        let holder = folded.rotation().claim.clone().unwrap().actor.user;
        assert_eq!(holder, Some(format!("racer-{}", won[0])), "round {round}");
        assert_eq!(kinds(root.path()), ["claimed"], "round {round}");
        // They hold what they have until the end of their input.
        for racer in &mut racers {
            drop(racer.stdin.take());
        }
        for mut racer in racers {
            assert!(racer.wait().unwrap().success());
        }
    }
}

#[test]
fn of_two_processes_with_a_lease_alone_one_holds() {
    race("lease", 25);
}

#[test]
fn of_two_processes_with_a_lock_beside_the_trail_one_holds() {
    race("lock", 25);
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "the other processes did not get there in a minute");
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Not a test of its own: claims when it is told to, says how it went, and holds on until its input ends.
#[test]
fn a_racer() {
    let (Some(root), Ok(how)) = (std::env::var_os(ROOT), std::env::var(HOW)) else { return };
    let (root, (how, number)) = (Path::new(&root), how.split_once(':').unwrap());
    let user = format!("racer-{number}");
    let mut journal = if how == "lease" { leasing(root, &user) } else { journal(root, &user) };
    let say = |word: &str| drop(std::fs::File::create(root.join(format!("{number}.{word}"))).unwrap());
    say("ready");
    wait_until(|| root.join("go").exists());
    match journal.claim(600) {
        Ok(()) => say("won"),
        Err(failure) => {
            assert_eq!(failure.exit(), Exit::Held, "{failure}");
            say("lost");
        }
    }
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

/// Two directories with one trail, as of two checkouts or of two containers that mount it.
fn sharing(shared: &Path) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(shared, root.path().join("trail")).unwrap();
    root
}

#[test]
fn a_holder_with_the_same_trail_below_another_directory_is_alive() {
    let shared = tempfile::tempdir().unwrap();
    let (here, there) = (sharing(shared.path()), sharing(shared.path()));
    let mut alice = journal(here.path(), "alice");
    alice.claim(600).unwrap();
    let mut bob = journal(there.path(), "bob");
    let error = bob.claim(600).unwrap_err();
    assert_eq!(error.exit(), Exit::Held, "{error}");
    assert!(error.to_string().contains("of alice on build-3"), "{error}");
    alice.release().unwrap();
    bob.claim(600).unwrap();
    bob.release().unwrap();

    // The file alone is shared.
    let file = shared.path().join("of-both.jsonl");
    std::fs::write(&file, "").unwrap();
    let linked = || {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("trail")).unwrap();
        std::os::unix::fs::symlink(&file, root.path().join("trail/production.jsonl")).unwrap();
        root
    };
    let (here, there) = (linked(), linked());
    let (mut alice, mut bob) = (journal(here.path(), "alice"), journal(there.path(), "bob"));
    alice.claim(600).unwrap();
    assert_eq!(bob.claim(600).unwrap_err().exit(), Exit::Held);
    assert_eq!(journal(there.path(), "carol").claim(600).unwrap_err().exit(), Exit::Held);
}

/// A lock is not seen from everywhere on every shared volume: only this machine's processes are known to be dead.
#[test]
fn the_claim_of_another_machine_is_never_taken_over_before_its_end() {
    let root = tempfile::tempdir().unwrap();
    let killed = |host: Option<&str>| {
        let mut alice = journal(root.path(), "alice");
        alice.actor.host = host.map(str::to_owned);
        alice.claim(600).unwrap();
        drop(alice);
    };
    for host in [Some("build-4"), None] {
        killed(host);
        let mut bob = journal(root.path(), "bob");
        assert_eq!(bob.claim(600).unwrap_err().exit(), Exit::Held, "{host:?}");
        let claim = bob.state().claim.clone().unwrap();
        bob.append(Event::Claim(ClaimEvent::Released { run: claim.run })).unwrap();
    }
    killed(Some("build-3"));
    let mut bob = journal(root.path(), "bob");
    bob.claim(600).unwrap();
    assert!(bob.take_notes().iter().any(|note| note.contains("the process that had it is gone")));
}
