//! A runner that stands still longer than its claim lasts: another one takes over, and the first one notices before it
//! does anything.

use std::thread;

use license_tests::{Hub, Project, Ran, Rotating, failpoints, process::until};

use crate::{BINARY, authority};

/// The one call is given up after this many seconds.
const CALL_SECS: u64 = 8;

/// Every other step takes at most so many seconds, so that claims run out while a test waits for it.
const STEP_SECS: u64 = 3;

/// Where the first runner stands still.
#[derive(Debug, Clone, Copy)]
enum Where {
    /// While the authority reads a request that begins so.
    Request(&'static str),
    /// While the remote takes this fact.
    Fact(&'static str),
}

const VALIDATE: &str = "POST /api/v1/validate";
const CALL: &str = "POST /api/v1/licenses/rotate ";

fn brief(project: Project, user: &str) -> Project {
    let project = project.impatient().call_secs(CALL_SECS).claiming_for(STEP_SECS);
    // Long enough to find the answer that waited for whoever stood still.
    project.authority_line("timeout", r#""60s""#).authority_line("rotation_visible", r#""yes""#).var("USER", user)
}

/// What came of it.
struct Paused {
    /// What the two share.
    _hub: Hub,
    /// The first runner's machine, and the authority.
    here: Rotating,
    /// The second one's.
    there: Project,
    /// How the second runner's run ended.
    second: i32,
    /// What the first one did when it went on.
    first: Ran,
}

/// The first runner stands still, its claim runs out, the second one does what is left to do, and the first one goes on.
fn paused(at: Where) -> Paused {
    let hub = Hub::new();
    let here = Rotating::start(failpoints::binary(BINARY), authority(&[]));
    let here = here.with(|project| hub.shared_by(brief(project, "alice")));
    let there = hub.shared_by(brief(here.elsewhere(failpoints::binary(BINARY)), "bob"));
    match at {
        Where::Request(start) => here.proxy.holds_back(start),
        Where::Fact(fact) => hub.holds_at(fact),
    }
    let running = here.project.start(&["rotate", "production"]);
    until("it is where it is to stand still", || here.proxy.holds() || hub.holds());
    running.pause();
    here.proxy.releases();
    hub.releases();

    let name = format!("{at:?}");
    until("its claim runs out", || {
        let document = there.run(&["lock", "show", "production", "--format", "json"]).exits(0).json();
        document["claim"]["state"] == "run_out"
    });
    let second = there.rotate(&[]).named(&name).exits_one_of(&[0, 22]).code();
    let facts = there.facts();
    running.go_on();
    let first = here.project.ended(running).named(&name);
    here.hidden(&first);
    if second == 0 {
        assert_eq!(there.facts(), facts, "{name}: the first one writes nothing\n{first}");
        here.nothing_stored();
        assert!(there.stored().iter().all(|key| *key == here.newest_key()), "{name}");
        // It says where the rotation stands by now, unless its own request took too long.
        first.exits_one_of(&[0, 11, 20]);
    }
    assert_eq!((here.calls(), here.rotations()), (1, 1), "{name}: {facts:?}");
    for key in here.project.stored().iter().chain(&there.stored()) {
        assert!(here.accepts(key), "{name}: a store holds a dead key");
    }
    there.run(&["audit", "verify", "production"]).named(&name).exits(0);
    Paused { _hub: hub, here, there, second, first }
}

#[test]
fn a_runner_that_stands_still_too_long_does_nothing_when_it_goes_on() {
    let rows = [
        // Nothing is under way for the second one.
        (Where::Request(VALIDATE), 1),
        // It finds the intent of a call that was not sent, and the first one does not send it any more.
        (Where::Fact("intent"), 2),
        // It finds the sealed answer in the shared escrow.
        (Where::Fact("received"), 1),
        (Where::Fact("validated"), 1),
    ];
    thread::scope(|scope| {
        for (at, intents) in rows {
            scope.spawn(move || {
                let paused = paused(at);
                assert_eq!(paused.second, 0, "{at:?}");
                assert_eq!(paused.there.facts_named("intent"), intents, "{at:?}");
                assert_eq!(paused.there.facts_named("committed"), 1, "{at:?}");
            });
        }
    });
}

/// The answer waits for a runner that stands still. The second one reports the key as lost, and what the first one makes
/// of the answer contradicts nothing of that.
#[test]
fn an_answer_that_comes_to_a_runner_that_stood_still_too_long_is_not_lost_in_silence() {
    let Paused { _hub, here, there, second, first } = paused(Where::Request(CALL));
    assert_eq!(second, 22);
    let facts = there.facts();
    match (first.code(), facts.last().map(String::as_str)) {
        // Its time for the call was over too.
        (22, Some("key_lost")) => {
            first.says("--adopt");
            there.adopt(&here.newest_key()).exits(0);
        }
        (0, Some("committed")) => here.stores_hold(&here.newest_key()),
        _ => panic!("{facts:?}\n{first}"),
    }
    assert_eq!((here.calls(), here.rotations()), (1, 1));
    assert_eq!(there.facts_named("committed"), 1);
}
