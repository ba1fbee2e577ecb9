//! Killed for real: the failpoints build dies by SIGKILL at every point that a rotation passes, and is run again until
//! the rotation has settled. No store ever holds a dead key, no key is lost in silence, and the authority is called once.

use std::{collections::BTreeSet, fs, path::Path, sync::Mutex, thread};

use license_tests::{Hub, Project, Ran, Rotating, failpoints};

use crate::{BINARY, Lines, authority};

/// How a shell sees the end by SIGKILL.
pub(crate) const KILLED: i32 = 137;

/// A rotation is settled after this many more runs, at most.
const RUNS_MAX: usize = 4;

/// A point is passed at most this many times.
const TIMES_MAX: usize = 20;

/// How many rotations are under way at once: most of the time they wait for the disk.
const WORKERS: usize = 4;

/// So long that a busy machine does not time the call out: what is seen here are kills.
const CALL_SECS: u64 = 20;

/// The runs after a kill see the time at which a late execution is out of the question and the claim of the killed run has
/// run out, so that nobody waits for it. Clocks may not differ by more than five minutes.
const LATER_SECS: u64 = 200;

/// The claim of a machine that died runs out after so many seconds for each step, and before [`LATER_SECS`].
const STEP_SECS: u64 = 20;

pub(crate) const VISIBLE: Lines<'_> = &[("rotation_visible", r#""yes""#)];
const HONORED: Lines<'_> = &[("rotation_visible", r#""yes""#), ("idempotency", r#""honored""#)];

pub(crate) fn rotating(flags: &[&str], lines: Lines<'_>) -> Rotating {
    Rotating::start(failpoints::binary(BINARY), authority(flags)).with(|project| patient(project, lines))
}

/// Waits for the call as long as it takes, and for nothing else.
fn patient(project: Project, lines: Lines<'_>) -> Project {
    let project = project.impatient().call_secs(CALL_SECS);
    lines.iter().fold(project, |project, (name, value)| project.authority_line(name, value))
}

/// A project with the stores of another one, as they are now.
fn with_stores_of(project: Project, other: &Project) -> Project {
    let copied = |project: Project, file| project.write(file, &fs::read(other.path(file)).unwrap());
    copied(copied(project, ".env"), ".env.second")
}

/// The names of all failpoints, as they stand in the code.
fn names() -> BTreeSet<String> {
    let commands = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("xtask/src/commands");
    let mut files: Vec<_> = fs::read_dir(commands.join("rotate")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(commands.join("rotate.rs"));
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let is_name = |text: &str| {
        let starts = text.starts_with("before-") || text.starts_with("after-");
        starts && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase())
    };
    let names = |text: String| text.split('"').filter(|text| is_name(text)).map(str::to_owned).collect::<Vec<_>>();
    texts.flat_map(names).collect()
}

/// Tries every point, and each as often as it is passed: `tried` says whether it was. Returns those that were.
fn at_every_point(tried: impl Fn(&str) -> bool + Sync) -> BTreeSet<String> {
    let (left, passed) = (Mutex::new(names()), Mutex::new(BTreeSet::new()));
    let work = || {
        while let Some(name) = { left.lock().unwrap().pop_first() } {
            let times = (1..=TIMES_MAX).take_while(|time| tried(&format!("{name}:{time}"))).count();
            assert!(times < TIMES_MAX, "{name} is passed without end");
            passed.lock().unwrap().extend((1..=times).map(|time| format!("{name}:{time}")));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    passed.into_inner().unwrap()
}

fn dying(project: Project, point: &str) -> Project {
    project.var(failpoints::DIES_AT, point)
}

pub(crate) fn later(project: Project) -> Project {
    project.unset(failpoints::DIES_AT).var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &LATER_SECS.to_string())
}

/// What must be true after every run, however it ended.
#[track_caller]
pub(crate) fn holds(rotating: &Rotating, when: &str, ran: &Ran) {
    rotating.hidden(ran);
    counts(rotating, when);
}

/// What must be true at any moment.
#[track_caller]
pub(crate) fn counts(rotating: &Rotating, when: &str) {
    rotating.stores_work(when);
    let facts = rotating.project.facts();
    let intents = rotating.project.facts_named("intent");
    let (calls, rotations) = (rotating.calls(), rotating.rotations());
    assert!(calls <= intents && rotations <= intents, "{when}: {calls} calls, {rotations} rotations, {facts:?}");
}

/// Runs it again until it has settled, and says whether the key was lost, and told to be, on the way.
pub(crate) fn settles(rotating: &Rotating, point: &str) -> bool {
    for run in 1..=RUNS_MAX {
        let when = format!("killed at {point}, run {run}");
        let ran = rotating.project.rotate(&[]).named(&when);
        holds(rotating, &when, &ran);
        let facts = rotating.project.facts();
        match (ran.code(), facts.last().map(String::as_str)) {
            // Done; or it was already, so that its grace is open.
            (0 | 20, Some("committed")) => return false,
            (22, Some("key_lost")) => {
                ran.says("the new key was lost").says("--adopt");
                rotating.nothing_stored();
                return true;
            }
            // Not rotated: the next run begins anew.
            (20, Some("aborted")) => {}
            _ => panic!("{when}: {facts:?}\n{ran}"),
        }
    }
    panic!("{point}: not settled after {RUNS_MAX} runs: {:?}", rotating.project.facts());
}

/// What must be true in the end.
pub(crate) fn is_over(rotating: &Rotating, point: &str) {
    is_over_after(rotating, point, 1);
}

/// The same, where every store was brought to the new key this often.
fn is_over_after(rotating: &Rotating, point: &str, committed: usize) {
    rotating.stores_hold(&rotating.newest_key());
    rotating.stores_work(point);
    assert!(rotating.accepts(&rotating.license.key), "{point}: the old key works until the grace ends");
    assert_eq!(rotating.project.facts_named("committed"), committed, "{point}");
    assert_eq!(rotating.rotations(), 1, "{point}: {:?}", rotating.project.facts());
    rotating.project.run(&["audit", "verify", "production"]).named(point).exits(0);
    let shown = rotating.project.run(&["lock", "show", "production", "--format", "json"]).exits(0).json();
    let claim = &shown["claim"];
    assert!(claim.is_null() || claim["state"] == "run_out", "{point}: nobody has it any more: {shown}");
    let trail = rotating.project.trail("production");
    rotating.project.rotate(&["--resume"]).named(point).exits(0).says("every store holds the new key");
    assert_eq!(rotating.project.trail("production").facts(), trail.facts(), "{point}");
}

/// A rotation that is killed at a point; nothing if it does not come by.
fn killed(flags: &[&str], lines: Lines<'_>, point: &str) -> Option<Rotating> {
    killed_of(rotating(flags, lines), point)
}

/// The same, of this project.
fn killed_of(rotating: Rotating, point: &str) -> Option<Rotating> {
    let rotating = rotating.with(|project| dying(project, point));
    let ran = rotating.project.rotate(&[]).named(point);
    if ran.code() != KILLED {
        ran.exits(0);
        return None;
    }
    let when = format!("killed at {point}");
    holds(&rotating, &when, &ran);
    Some(rotating.with(later))
}

/// The points that every rotation of two stores passes.
const PASSED: [&str; 23] = [
    "before-claim:1",
    "after-claim:1",
    "before-prepare:1",
    "after-old-sealed:1",
    "after-intent:1",
    "before-call:1",
    "after-answer:1",
    "after-sealed:1",
    "after-received:1",
    "before-validate:1",
    "after-validate:1",
    "after-validated:1",
    "before-store:1",
    "after-store-write:1",
    "after-store:1",
    "after-store-holds:1",
    "before-store:2",
    "after-store-write:2",
    "after-store:2",
    "after-store-holds:2",
    "before-write:1",
    "after-committed:1",
    "before-end:1",
];

fn passes_all(passed: &BTreeSet<String>) {
    for point in PASSED {
        assert!(passed.contains(point), "{point} was not passed: {passed:?}");
    }
}

#[test]
fn a_rotation_that_is_killed_anywhere_settles_and_loses_no_key_in_silence() {
    let passed = at_every_point(|point| {
        let Some(rotating) = killed(&[], VISIBLE, point) else { return false };
        let lost = settles(&rotating, point);
        // Between the answer and its seal is the one moment in which a key can be lost.
        assert_eq!(lost, point == "after-answer:1", "{point}: {:?}", rotating.project.facts());
        if lost {
            rotating.project.adopt(&rotating.newest_key()).named(point).exits(0);
        }
        is_over(&rotating, point);
        assert_eq!(rotating.calls(), 1, "{point}");
        true
    });
    passes_all(&passed);
}

/// The machine is thrown away with its escrow, as one of CI is: the next one has the stores, and the remote.
#[test]
fn a_rotation_whose_machine_dies_anywhere_is_settled_by_the_next_one() {
    let passed = at_every_point(|point| {
        let hub = Hub::new();
        let here =
            rotating(&[], VISIBLE).with(|project| hub.shared_by(project.claiming_for(STEP_SECS).var("USER", "alice")));
        let Some(mut rotating) = killed_of(here, point) else { return false };
        let there = hub.shared_by(patient(
            rotating.elsewhere(failpoints::binary(BINARY)).claiming_for(STEP_SECS).var("USER", "bob"),
            VISIBLE,
        ));
        let here = std::mem::replace(&mut rotating.project, there);
        rotating = rotating.with(|there| with_stores_of(there, &here));
        if *rotating.project.trail("production").claims() == ["claimed"] {
            let ran = rotating.project.rotate(&[]).named(point);
            ran.exits(25).says("alice");
        }
        let rotating = rotating.with(later);
        let lost = settles(&rotating, point);
        assert_eq!(lost, point == "after-answer:1", "{point}: {:?}", rotating.project.facts());
        if lost {
            rotating.project.adopt(&rotating.newest_key()).named(point).exits(0);
        }
        is_over(&rotating, point);
        assert_eq!(rotating.calls(), 1, "{point}");
        // The first machine comes back, long after.
        let rotating = rotating.with(|_| later(here));
        rotating.stores_work(point);
        rotating.project.rotate(&["--resume"]).named(point).exits(0);
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{point}");
        true
    });
    passes_all(&passed);
}

#[test]
fn a_rotation_that_is_killed_anywhere_loses_nothing_where_the_idempotency_key_is_honored() {
    let passed = at_every_point(|point| {
        let rotating = rotating(&["--idempotency", "honor"], HONORED).with(|project| dying(project, point));
        let ran = rotating.project.rotate(&[]).named(point);
        if ran.code() != KILLED {
            ran.exits(0);
            return false;
        }
        let rotating = rotating.with(later);
        rotating.stores_work(point);
        let ran = rotating.project.rotate(&[]).named(point);
        ran.exits_one_of(&[0, 20]);
        rotating.hidden(&ran);
        assert_eq!(rotating.project.facts_named("key_lost"), 0, "{point}");
        is_over(&rotating, point);
        assert!(rotating.calls() <= 2, "{point}");
        true
    });
    passes_all(&passed);
}

/// The run that mends is killed too.
fn killed_twice(first: &str) {
    let passed = at_every_point(|second| {
        let point = format!("{first}, then {second}");
        let rotating = killed(&[], VISIBLE, first).unwrap_or_else(|| panic!("{first} is not passed"));
        let rotating = rotating.with(|project| dying(project, second));
        let ran = rotating.project.rotate(&[]).named(&point);
        holds(&rotating, &point, &ran);
        let was_killed = ran.code() == KILLED;
        if was_killed {
            let rotating = rotating.with(later);
            // A run that begins anew, and is killed, is as any other that is.
            if settles(&rotating, &point) {
                let may_be_lost = first == "after-answer:1" || second == "after-answer:1";
                assert!(may_be_lost, "{point}: {:?}", rotating.project.facts());
                rotating.project.adopt(&rotating.newest_key()).named(&point).exits(0);
            }
            is_over(&rotating, &point);
        } else {
            ran.exits_one_of(&[0, 22]);
        }
        was_killed
    });
    assert!(passed.len() > 5, "{first}: {passed:?}");
}

#[test]
fn a_run_that_finds_an_intent_may_be_killed_too() {
    killed_twice("after-intent:1");
}

#[test]
fn a_run_that_finds_that_a_key_was_lost_may_be_killed_too() {
    killed_twice("after-answer:1");
}

#[test]
fn a_run_that_finds_a_sealed_answer_may_be_killed_too() {
    killed_twice("after-sealed:1");
}

#[test]
fn a_run_that_finds_one_of_two_stores_written_may_be_killed_too() {
    killed_twice("after-store-write:1");
}

/// Killed at a point, and run again without a clock that is put forward: it waits in earnest, as long as the call of the
/// killed run may still be under way.
fn waited_out(point: &str, exit: i32) -> Rotating {
    let rotating = rotating(&[], VISIBLE).with(|project| dying(project.call_secs(3), point));
    rotating.project.rotate(&[]).named(point).exits(KILLED);
    let rotating = rotating.with(|project| project.unset(failpoints::DIES_AT));
    let ran = rotating.project.rotate(&[]).named(point);
    ran.exits(exit).says("so that a late execution shows");
    let trail = rotating.project.trail("production");
    let at =
        |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (intent, unknown) = (&trail.entries[1], &trail.entries[3]);
    assert_eq!((&intent["fact"], &unknown["fact"]), (&"intent".into(), &"outcome_unknown".into()), "{point}");
    let settled = at(unknown, "settle_until");
    assert!(settled > at(intent, "call_deadline"), "{point}: settled before the call's deadline");
    assert!(at(&trail.entries[4], "at") >= settled, "{point}: concluded before it had settled");
    rotating
}

#[test]
fn a_call_that_was_not_sent_is_waited_for_before_another_one_is_made() {
    let rotating = waited_out("before-call", 0);
    assert_eq!(rotating.project.facts()[..4], ["intent", "outcome_unknown", "aborted", "intent"]);
    assert_eq!(rotating.calls(), 1);
    is_over(&rotating, "before-call");
}

#[test]
fn a_call_whose_answer_nobody_kept_is_not_made_again() {
    let rotating = waited_out("after-answer", 22);
    assert_eq!(rotating.project.facts(), ["intent", "outcome_unknown", "key_lost"]);
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    rotating.nothing_stored();
    rotating.project.adopt(&rotating.newest_key()).exits(0);
    is_over(&rotating, "after-answer");
}

#[test]
fn a_rollback_that_is_killed_anywhere_is_finished_by_the_next() {
    let passed = at_every_point(|point| {
        let rotating = rotating(&[], VISIBLE);
        rotating.project.rotate(&[]).exits(0);
        let rotating = rotating.with(|project| dying(project, point));
        let ran = rotating.project.rotate(&["--rollback"]).named(point);
        holds(&rotating, point, &ran);
        if ran.code() != KILLED {
            ran.exits(0);
            return false;
        }
        let rotating = rotating.with(later);
        let ran = rotating.project.rotate(&["--rollback"]).named(point);
        ran.exits(0).says("holds the OLD key again");
        holds(&rotating, point, &ran);
        rotating.nothing_stored();
        let ran = rotating.project.rotate(&["--resume"]).named(point);
        ran.exits(0);
        is_over_after(&rotating, point, 2);
        true
    });
    for point in ["after-rollback-started:1", "after-store-write:2", "after-rolled-back:1"] {
        assert!(passed.contains(point), "{point}: {passed:?}");
    }
}

#[test]
fn an_adoption_that_is_killed_anywhere_is_finished_by_the_next() {
    let passed = at_every_point(|point| {
        let rotating = rotating(&["--fault", "status=500@rotate:1"], VISIBLE);
        rotating.project.rotate(&[]).exits(22);
        let rotating = rotating.with(|project| dying(project, point));
        let ran = rotating.project.adopt(&rotating.newest_key()).named(point);
        holds(&rotating, point, &ran);
        if ran.code() != KILLED {
            ran.exits(0);
            return false;
        }
        let rotating = rotating.with(later);
        // What was sealed before the kill is found; what was not is brought once more.
        let ran = rotating.project.adopt(&rotating.newest_key()).named(point);
        ran.exits_one_of(&[0, 20]);
        holds(&rotating, point, &ran);
        is_over(&rotating, point);
        assert_eq!(rotating.calls(), 1, "{point}");
        true
    });
    for point in ["after-sealed:1", "after-received:1", "after-committed:1"] {
        assert!(passed.contains(point), "{point}: {passed:?}");
    }
}
