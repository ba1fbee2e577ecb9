//! What a trail promises wherever it is kept: one test for every kind.

use std::{sync::Barrier, thread};

use license_core::trail::{Actor, Ended, Event, Folded};
use tempfile::TempDir;

use super::*;
use crate::git::tests::Hub;

/// How often two writers race on one trail.
const ROUNDS: u32 = 25;

/// Where a trail is kept that several people work on.
enum Ground {
    File(TempDir),
    Git(Hub),
}

impl Ground {
    fn all() -> [Self; 3] {
        [Self::File(tempfile::tempdir().unwrap()), Self::Git(Hub::new()), Self::Git(Hub::hashing_with("sha256"))]
    }

    /// The trail as somebody sees it: one directory for everybody, or a clone for each.
    fn trail(&self, who: &str) -> Trail {
        match self {
            Self::File(directory) => Trail::File(FileTrail::new(directory.path(), "production")),
            Self::Git(hub) => {
                let git = hub.git(&hub.clone_named(who));
                Trail::Git(GitTrail::new(git, "origin".to_owned(), "production"))
            }
        }
    }
}

fn record(code: i32) -> Record {
    let actor = Actor { user: Some("Zoë \"\u{1F511}\"\n\\".to_owned()), ..Actor::default() };
    let event = Event::DeployEnded { release: "r1".to_owned(), ended: Ended::Exited { code } };
    Record { at: "2026-03-01T11:02:03.004Z".parse().unwrap(), actor, environment: "production".to_owned(), event }
}

fn checkpoint() -> Record {
    let event = Folded::replay(&[record(0)]).unwrap().checkpoint().unwrap();
    Record { event, ..record(0) }
}

fn bodies(replay: Replay) -> Vec<Record> {
    replay.entries.into_iter().map(|entry| entry.body).collect()
}

#[test]
fn a_new_trail_is_empty() {
    for ground in Ground::all() {
        let trail = ground.trail("alice");
        for replay in [trail.read().unwrap(), trail.read_recent().unwrap()] {
            assert!(replay.entries.is_empty());
            assert_eq!((replay.position, replay.tail), (Position::START, Tail::Whole));
        }
    }
}

#[test]
fn what_is_appended_is_replayed_by_everybody() {
    for ground in Ground::all() {
        let alice = ground.trail("alice");
        let first = alice.append(Position::START, &record(0)).unwrap();
        let second = alice.append(first, &record(7)).unwrap();
        // Bob continues where Alice ended, and Carol sees both for the first time.
        let bob = ground.trail("bob");
        assert_eq!(bob.read().unwrap().position, second);
        let third = bob.append(second, &record(9)).unwrap();
        for who in ["alice", "bob", "carol"] {
            let replay = ground.trail(who).read().unwrap();
            assert_eq!((replay.position, replay.position.head.seq), (third, 3));
            assert_eq!(bodies(replay), [record(0), record(7), record(9)], "{who}");
        }
    }
}

#[test]
fn a_scan_hands_on_every_line_with_its_head() {
    for ground in Ground::all() {
        let trail = ground.trail("alice");
        let first = trail.append(Position::START, &record(0)).unwrap();
        let second = trail.append(first, &record(7)).unwrap();
        let mut seen = Vec::new();
        let (position, _) = trail.scan::<serde_json::Value>(|entry, head| seen.push((entry.seq, head))).unwrap();
        assert_eq!(seen, [(1, first.head), (2, second.head)]);
        assert_eq!(position, second);
    }
}

#[test]
fn a_stale_head_appends_nothing() {
    for ground in Ground::all() {
        let (alice, bob) = (ground.trail("alice"), ground.trail("bob"));
        let first = alice.append(Position::START, &record(0)).unwrap();
        assert_eq!(bob.read().unwrap().position, first);
        let second = alice.append(first, &record(1)).unwrap();
        for who in [&alice, &bob, &ground.trail("carol")] {
            for stale in [Position::START, first] {
                let error = who.append(stale, &record(2)).unwrap_err();
                assert!(error.is_lost_race(), "{error}");
            }
        }
        assert_eq!(alice.read().unwrap().position, second);
        assert!(bob.append(second, &record(2)).is_ok());
    }
}

#[test]
fn of_two_who_append_at_once_exactly_one_wins() {
    for ground in Ground::all() {
        let start = Barrier::new(2);
        // Nobody panics before both are through: the other one would wait for ever.
        let run = |who: &str, code: i32| {
            let trail = ground.trail(who);
            let round = |_| {
                start.wait();
                let replay = trail.read_recent();
                start.wait();
                replay.and_then(|replay| trail.append(replay.position, &record(code)))
            };
            (0..ROUNDS).map(round).collect::<Vec<_>>()
        };
        let (alice, bob) = thread::scope(|scope| {
            let alice = scope.spawn(|| run("alice", 1));
            let bob = run("bob", 2);
            (alice.join().unwrap(), bob)
        });
        let found = bodies(ground.trail("carol").read().unwrap());
        let winner = |(alice, bob): (&Result<Position, LogError>, &Result<Position, LogError>)| match (alice, bob) {
            (Ok(_), Err(error)) if error.is_lost_race() => record(1),
            (Err(error), Ok(_)) if error.is_lost_race() => record(2),
            ends => panic!("not exactly one won: {ends:?}"),
        };
        let winners: Vec<Record> = alice.iter().zip(&bob).map(winner).collect();
        assert_eq!(found, winners);
    }
}

#[test]
fn the_recent_entries_begin_with_the_newest_checkpoint() {
    for ground in Ground::all() {
        let alice = ground.trail("alice");
        let mut position = Position::START;
        let recent: [(Record, &[u64]); 6] = [
            (record(0), &[1]),
            (record(1), &[1, 2]),
            (checkpoint(), &[3]),
            (record(2), &[3, 4]),
            (checkpoint(), &[5]),
            (record(3), &[5, 6]),
        ];
        for (record, seqs) in recent {
            position = alice.append(position, &record).unwrap();
            for who in ["alice", "bob"] {
                let replay = ground.trail(who).read_recent().unwrap();
                assert_eq!(replay.position, position);
                assert_eq!(replay.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), seqs);
            }
        }
        assert_eq!(ground.trail("carol").read().unwrap().entries.len(), 6);
    }
}

#[test]
fn what_does_not_fit_into_a_line_is_not_appended() {
    for ground in Ground::all() {
        let trail = ground.trail("alice");
        let long = Record { environment: "x".repeat(1024 * 1024), ..record(0) };
        assert!(matches!(trail.append(Position::START, &long), Err(LogError::Unwritable { .. })));
        assert_eq!(trail.read().unwrap().position, Position::START);
    }
}

#[test]
fn a_trail_says_where_it_is() {
    for ground in Ground::all() {
        let told = ground.trail("alice").describe();
        match ground {
            Ground::File(_) => assert!(told.ends_with("/production.jsonl`"), "{told}"),
            Ground::Git(_) => assert_eq!(told, "`refs/license/trail/production` of `origin`"),
        }
    }
}
