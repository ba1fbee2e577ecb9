//! Two rotations of one environment at once: one of them rotates, and the other says who does, or finds it done.

use std::{
    fs,
    process::Command,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use license_tests::{
    Answer, Hub, Project, Ran, RawServer, Request, Rotating, Trail, failpoints, forms,
    process::{Finished, Running, until},
};
use serde_json::json;

use crate::{BINARY, KEY, authority, good};

/// How often two meet.
const ROUNDS: usize = 50;

/// How often many meet.
const ROUNDS_OF_MANY: usize = 5;

/// How many rounds are under way at once: most of the time they wait, for the disk and for each other.
const WORKERS: usize = 3;

/// Plays every round.
fn rounds(play: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let round @ ..ROUNDS = next.fetch_add(1, Ordering::SeqCst) {
            play(round);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

/// Starts a rotation of one project by each of these users at once, and waits for all.
fn race(rotating: &Rotating, users: &[&str], rest: &[&str]) -> Vec<Ran> {
    // The commands are made, and the project is written down, before anybody reads it.
    race_of(users.iter().map(|user| rotation(&rotating.project, user, rest)).collect())
}

fn rotation(project: &Project, user: &str, rest: &[&str]) -> Command {
    let mut command = project.command(&project.path(""), &[&["rotate", "production"], rest].concat());
    command.env("USER", user);
    command
}

/// Starts them at once, and waits for all.
fn race_of(commands: Vec<Command>) -> Vec<Ran> {
    let start = Arc::new(Barrier::new(commands.len()));
    let runs: Vec<_> = commands
        .into_iter()
        .map(|mut command| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                Running::start(&mut command).wait()
            })
        })
        .collect();
    runs.into_iter().map(|run: thread::JoinHandle<Finished>| Ran::of(run.join().unwrap(), None)).collect()
}

/// What both said, for a failure.
fn shown(runs: &[Ran]) -> String {
    runs.iter().map(ToString::to_string).collect()
}

/// One of them rotated; the others found it held, and say by whom, or found it done.
#[track_caller]
fn one_rotated(round: usize, runs: &[Ran], users: &[&str]) {
    let winners: Vec<usize> = (0..runs.len()).filter(|&at| runs[at].code() == 0).collect();
    assert_eq!(winners.len(), 1, "round {round}: {}", shown(runs));
    let winner = users[winners[0]];
    for (at, run) in runs.iter().enumerate().filter(|(at, _)| *at != winners[0]) {
        match run.code() {
            20 => run.says("--accept-no-overlap"),
            // By its claim; or by the lock alone, right before the claim is written and right after it is given back.
            25 => {
                let held = ["`production` is held", "another command of `production` is running"];
                run.says_one_of(&held).says(winner).says("help")
            }
            _ => panic!("round {round}: {} is neither held nor too late\n{}", users[at], shown(runs)),
        };
    }
}

fn claims_are_given_back(round: usize, trail: &Trail) {
    let claims = trail.claims();
    assert_eq!(claims.len() % 2, 0, "round {round}: {claims:?}");
    for pair in claims.chunks(2) {
        assert_eq!(pair, ["claimed", "released"], "round {round}: claims do not overlap: {claims:?}");
    }
}

#[test]
fn of_two_rotations_at_once_one_rotates() {
    let users = ["alice", "bob"];
    rounds(|round| {
        let rotating = Rotating::start(BINARY, authority(&[]));
        let runs = race(&rotating, &users, &[]);
        one_rotated(round, &runs, &users);
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "round {round}: {}", shown(&runs));
        rotating.stores_hold(&rotating.newest_key());
        rotating.stores_work("after the race");
        let trail = rotating.project.trail("production");
        assert_eq!(trail.facts().iter().filter(|fact| **fact == "intent").count(), 1, "round {round}");
        assert_eq!(*trail.facts().last().unwrap(), "committed", "round {round}");
        claims_are_given_back(round, &trail);
        rotating.project.run(&["audit", "verify", "production"]).exits(0);
    });
}

/// Two machines that share nothing but a remote: of two claims one is pushed first.
#[test]
fn of_two_machines_at_once_one_rotates() {
    let users = ["alice", "bob"];
    rounds(|round| {
        let hub = Hub::new();
        let here = Rotating::start(BINARY, authority(&[])).with(|project| hub.shared_by(project));
        let there = hub.shared_by(here.elsewhere(BINARY));
        let runs = race_of(vec![rotation(&here.project, "alice", &[]), rotation(&there, "bob", &[])]);
        one_rotated(round, &runs, &users);
        assert_eq!((here.calls(), here.rotations()), (1, 1), "round {round}: {}", shown(&runs));
        let (new, old) = (here.newest_key(), here.license.key.clone());
        let stored = [here.project.stored(), there.stored()];
        let winner = usize::from(runs[1].code() == 0);
        assert_eq!(stored[winner], [new.clone(), new.clone()], "round {round}");
        assert_eq!(stored[1 - winner], [old.clone(), old.clone()], "round {round}");
        assert!(here.accepts(&old) && here.accepts(&new), "round {round}");

        let trail = hub.trail("production");
        assert_eq!(trail.facts().iter().filter(|fact| **fact == "intent").count(), 1, "round {round}");
        assert_eq!(*trail.facts().last().unwrap(), "committed", "round {round}");
        claims_are_given_back(round, &trail);
        for project in [&here.project, &there] {
            project.run(&["audit", "verify", "production"]).exits(0);
        }
        // What is in escrow on the remote is sealed.
        let content = hub.content();
        for (name, form) in [&old, &new].into_iter().flat_map(|key| forms::of(key)) {
            assert!(!content.contains(&form), "round {round}: a key stands {name} on the remote");
        }
    });
}

/// A schedule looks while another run rotates, and comes to its claim when that has ended.
#[test]
fn a_schedule_rotates_no_key_that_another_run_made_while_it_looked() {
    for more in [&["--if-older-than", "30d"][..], &["--if-older-than", "30d", "--accept-no-overlap"]] {
        let hub = Hub::new();
        let here = Rotating::start(BINARY, authority(&[])).with(|project| hub.shared_by(project));
        let there = hub.shared_by(here.elsewhere(BINARY));
        // Its second look at the remote is the one right before its claim.
        let bin = there.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = std::env::var("PATH").unwrap();
        let (looks, go_on) = (there.path("looks"), there.path("go-on"));
        let script = format!(
            "#!/bin/sh\nPATH='{path}'\ncase \" $* \" in *' ls-remote '*) echo >> '{0}'\n\
             [ \"$(wc -l < '{0}')\" -ne 2 ] || while [ ! -e '{1}' ]; do sleep 0.05; done ;; esac\nexec git \"$@\"\n",
            looks.display(),
            go_on.display()
        );
        crate::hook::script(&bin.join("git"), &script, 0o755);
        let there = there.var("PATH", &format!("{}:{path}", bin.display()));

        hub.holds_at("received");
        let first = here.project.start(&["rotate", "production"]);
        until("the first one is under way", || hub.holds());
        let scheduled = there.start(&[&["rotate", "production"], more].concat());
        until("the second one has seen that", || {
            fs::read_to_string(&looks).is_ok_and(|text| text.lines().count() == 2)
        });
        hub.releases();
        here.project.ended(first).exits(0);
        fs::write(&go_on, "").unwrap();
        let ran = there.ended(scheduled).named(&format!("{more:?}"));
        ran.exits(0).says("nothing is due");
        assert_eq!((here.calls(), here.rotations()), (1, 1), "{more:?}: {ran}");
        claims_are_given_back(0, &hub.trail("production"));
    }
}

/// Whoever is let in waives the grace before it, so that a round has as many rotations as runs that were let in.
#[test]
fn of_many_that_accept_no_overlap_each_rotates_once_or_not_at_all() {
    let users = ["ann", "ben", "cid", "dan", "eve", "fay"];
    let rotating = Rotating::start(BINARY, authority(&[]));
    let mut rotated = 0;
    for round in 0..ROUNDS_OF_MANY {
        let runs = race(&rotating, &users, &["--accept-no-overlap"]);
        let winners = runs.iter().filter(|run| run.code() == 0).count();
        assert!(winners >= 1, "round {round}: {}", shown(&runs));
        for run in &runs {
            run.exits_one_of(&[0, 25]);
        }
        rotated += winners;
        assert_eq!((rotating.calls(), rotating.rotations()), (rotated, rotated), "round {round}: {}", shown(&runs));
        rotating.stores_hold(&rotating.newest_key());
        let trail = rotating.project.trail("production");
        let count = |name: &str| trail.facts().iter().filter(|fact| **fact == name).count();
        assert_eq!((count("intent"), count("committed")), (rotated, rotated), "round {round}");
        claims_are_given_back(round, &trail);
    }
    rotating.project.run(&["audit", "verify", "production"]).exits(0);
}

/// A rotation and a deploy of the same environment keep out of each other's way too.
#[test]
fn a_deploy_under_way_is_not_rotated_away_from() {
    let rotating = Rotating::start(BINARY, authority(&[]))
        .with(|project| project.deploying("while [ ! -e \"$seen/go-on\" ]; do sleep 0.05; done").var("USER", "alice"));
    let mut deploying = rotating.project.start(&["deploy", "production"]);
    deploying.until("it deploys", |_| rotating.project.seen().join("cwd").exists());
    rotating.project.rotate(&[]).exits(25).says("alice").says("cargo xtask lock show production");
    assert_eq!((rotating.calls(), rotating.project.facts().len()), (0, 0));
    rotating.nothing_stored();
    fs::write(rotating.project.seen().join("go-on"), "").unwrap();
    rotating.project.ended(deploying).exits(0);
    rotating.project.rotate(&[]).exits(0);
    rotating.stores_hold(&rotating.newest_key());
}

/// The path of a rotation.
const ROTATE: &str = "/api/v1/licenses/rotate";

/// The path of the list of licenses, which is had once, before the intent.
const LIST: &str = "/api/v1/portal/licenses";

/// A server that refuses every rotation, and answers what is asked at `held` once `open` is set.
fn holding(held: &'static str, open: &Arc<AtomicBool>) -> RawServer {
    let open = Arc::clone(open);
    RawServer::answering(move |request: &Request| {
        if request.path == held {
            until("the test goes on", || open.load(Ordering::SeqCst));
        }
        match request.path.as_str() {
            ROTATE => Answer::json(403, &json!({ "code": "NOT_TODAY" })),
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        }
    })
}

/// Others note what they see at any time, and nothing that a run did is forgotten over it.
#[test]
fn what_came_of_a_step_is_written_although_somebody_else_noted_something_meanwhile() {
    for held in [ROTATE, LIST] {
        let open: Arc<AtomicBool> = Arc::default();
        let server = holding(held, &open);
        let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url());
        let project = project.line("license", r#""lic_1""#).rotatable(KEY).impatient().call_secs(20);
        let mut rotating = project.start(&["rotate", "production"]);
        let is_asked = || server.requests().iter().any(|request| request.path == held);
        rotating.until("it asks", |_| is_asked());
        project.run(&["status"]).exits(0);
        assert!(project.trail_text("production").contains("\"look\""), "{held}: the look is in the trail");
        open.store(true, Ordering::SeqCst);
        project.ended(rotating).named(held).exits(20).says("the authority refused the call (NOT_TODAY)");
        assert_eq!(project.facts(), ["intent", "aborted"], "{held}");
        assert_eq!(project.escrowed(), [""; 0], "{held}");
        let calls = server.requests().iter().filter(|request| request.path == ROTATE).count();
        assert_eq!(calls, 1, "{held}");
    }
}
