//! A year, hour by hour: runners that come every day or do not, two at once, kills between any two steps, a renewal, a
//! rotation; and every alert is sent once.

use alloc::{borrow::ToOwned, collections::BTreeMap, format, string::String, vec, vec::Vec};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    key::{Fingerprint, LicenseKey},
    rotation::{RunId, State},
};

const HOUR_SECS: i64 = 60 * 60;
/// How long a run may need to send, in seconds.
const SEND_SECS: i64 = 5 * 60;

/// Numbers that look drawn, the same in every run of the test.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The license as the authority has it, and when that changes.
#[derive(Debug, Clone)]
struct Plan {
    begins: Timestamp,
    /// From when on, which key, and until when it works.
    terms: Vec<(Timestamp, &'static str, Timestamp)>,
    hours: i64,
    missed_of_ten: u64,
    killed_of_ten: u64,
    /// For how long a run has an alert to itself, in seconds.
    lease_secs: i64,
}

impl Plan {
    fn at(&self, now: Timestamp) -> (Timestamp, Fingerprint, Timestamp) {
        let (since, key, ends) = self.terms.iter().rev().find(|(since, ..)| *since <= now).expect("the first is early");
        (*since, LicenseKey::parse(key).unwrap().fingerprint(), *ends)
    }
}

/// The trail, and what the sinks got.
#[derive(Default)]
struct World {
    ledger: Ledger,
    seq: u64,
    got: Vec<Message>,
    resolved: Vec<Message>,
    /// For which messages a run was killed after it sent them, and before it could say so.
    unsaid: Vec<(&'static str, AlertId)>,
    kills: u64,
}

/// What a sink got, and when.
type Message = (Timestamp, &'static str, AlertId);

const SINKS: [&str; 2] = ["team", "pager"];

/// What a run is about to do. Between two of them others may do something, or the run is killed.
enum Next {
    Read,
    /// Write what it decided on what it read.
    Write {
        read: u64,
        tasks: Vec<Task>,
    },
    /// Send what is left to send, then say so.
    Send {
        sends: Vec<Send>,
    },
    Say {
        said: Send,
        sends: Vec<Send>,
    },
    Nothing,
}

/// A message that is to be sent.
#[derive(Clone)]
struct Send {
    id: AlertId,
    sink: &'static str,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Alert,
    Over,
}

/// A run of the watch.
struct Runner {
    run: RunId,
    next: Next,
}

impl Runner {
    /// The next step.
    fn step(&mut self, world: &mut World, plan: &Plan, standing: &Standing, now: Timestamp) {
        let sinks = SINKS.map(ToOwned::to_owned);
        self.next = match core::mem::replace(&mut self.next, Next::Nothing) {
            Next::Read => {
                let mut tasks = tasks(&world.ledger, standing, &sinks, &self.run, now);
                tasks.retain(|task| !matches!(task, Task::Leave { .. }));
                if tasks.is_empty() { Next::Nothing } else { Next::Write { read: world.seq, tasks } }
            }
            // The compare-and-append: nothing is written on a trail that moved on.
            Next::Write { read, .. } if read != world.seq => Next::Read,
            Next::Write { tasks, .. } => {
                let until = now + SignedDuration::from_secs(plan.lease_secs);
                world.write(self.run.clone(), until, &tasks[0], now)
            }
            Next::Send { mut sends } => match sends.pop() {
                None => Next::Read,
                Some(send) => {
                    let got = match send.what {
                        What::Alert => &mut world.got,
                        What::Over => &mut world.resolved,
                    };
                    got.push((now, send.sink, send.id.clone()));
                    Next::Say { said: send, sends }
                }
            },
            // A fact stays one, whoever else wrote meanwhile.
            Next::Say { said: Send { id, sink, what }, sends } => {
                let sink = sink.to_owned();
                world.append(
                    &match what {
                        What::Alert => AlertEvent::Sent { id, sink },
                        What::Over => AlertEvent::Resolved { id, sink },
                    },
                    now,
                );
                Next::Send { sends }
            }
            Next::Nothing => Next::Nothing,
        };
    }
}

impl World {
    fn append(&mut self, event: &AlertEvent, now: Timestamp) {
        self.seq += 1;
        self.ledger.apply(event, now);
    }

    /// Writes what a task begins with, and gives what follows.
    fn write(&mut self, run: RunId, until: Timestamp, task: &Task, now: Timestamp) -> Next {
        let named = |id: &AlertId, names: &[String], what| {
            let named = SINKS.into_iter().filter(|sink| names.iter().any(|name| name == sink));
            named.map(|sink| Send { id: id.clone(), sink, what }).collect()
        };
        let (event, sends) = match task {
            Task::Leave { .. } => return Next::Nothing,
            Task::Close(id) => (AlertEvent::Closed { id: id.clone() }, vec![]),
            Task::Announce { id, alert } => {
                let (id, sinks) = (id.clone(), SINKS.map(ToOwned::to_owned).to_vec());
                let sends = named(&id, &sinks, What::Alert);
                (AlertEvent::Due { id, alert: alert.clone(), sinks, run, until }, sends)
            }
            Task::Resend { notice: Notice { id, .. }, sinks } => {
                (AlertEvent::Taken { id: id.clone(), sinks: sinks.clone(), run, until }, named(id, sinks, What::Alert))
            }
            Task::Resolve { notice: Notice { id, .. }, sinks, .. } => {
                (AlertEvent::Taken { id: id.clone(), sinks: sinks.clone(), run, until }, named(id, sinks, What::Over))
            }
        };
        self.append(&event, now);
        Next::Send { sends }
    }

    fn kill(&mut self, runner: &Runner) {
        self.kills += 1;
        if let Next::Say { said: Send { id, sink, what: What::Alert }, .. } = &runner.next {
            self.unsaid.push((sink, id.clone()));
        }
    }
}

/// Lives through the plan with daily runs of two runners; gives what was sent, and when somebody looked.
fn live(plan: &Plan, seed: u64) -> (World, Vec<Timestamp>) {
    let (mut world, mut draw, mut looks) = (World::default(), Draw(seed), Vec::new());
    let policy = Policy { days: Days::default(), auto_renew: AutoRenew::No, gap_secs_max: u64::MAX };
    let state = State::default();
    let hour_of_day = draw.below(24);
    for hour in 0..plan.hours {
        let now = plan.begins + SignedDuration::from_secs(hour * HOUR_SECS);
        if u64::try_from(hour).unwrap() % 24 != hour_of_day || draw.below(10) < plan.missed_of_ten {
            continue;
        }
        let (since, key_fingerprint, ends_at) = plan.at(now);
        let license = LicenseFacts {
            key_fingerprint,
            license_id: None,
            issued_at: Some(since),
            ends_at: Some(ends_at),
            ends: Ends::Read,
            refused: None,
        };
        let facts = Facts { license: Some(license), rotation: &state, last_look: None, authority_ahead: None };
        let standing = standing(&policy, &facts, now);
        looks.push(now);
        let mut runners: Vec<Runner> =
            ["a", "b"].map(|name| Runner { run: RunId(format!("{name}{hour}")), next: Next::Read }).into();
        while !runners.is_empty() {
            let at = usize::try_from(draw.below(2)).unwrap() % runners.len();
            runners[at].step(&mut world, plan, &standing, now);
            if draw.below(10) < plan.killed_of_ten {
                world.kill(&runners[at]);
                runners[at].next = Next::Nothing;
            }
            runners.retain(|runner| !matches!(runner.next, Next::Nothing));
        }
    }
    (world, looks)
}

/// The one alert that a look must find, computed apart from the rules.
fn standing_at(plan: &Plan, now: Timestamp) -> Option<Alert> {
    let (since, key_fingerprint, expires_at) = plan.at(now);
    let left = expires_at.duration_since(now).as_secs();
    let third = expires_at.duration_since(since).as_secs() / 3;
    let days = [1, 7, 30].into_iter().find(|days| left <= (i64::from(*days) * 24 * HOUR_SECS).min(third));
    if left <= 0 {
        Some(Alert::Expired { key_fingerprint, license_id: None, expires_at })
    } else {
        Some(Alert::Expiring { key_fingerprint, license_id: None, expires_at, days: days? })
    }
}

/// Every alert that must be sent, and when: at the first look that finds it.
fn expected(plan: &Plan, looks: &[Timestamp]) -> BTreeMap<AlertId, Timestamp> {
    let mut expected = BTreeMap::new();
    for &now in looks {
        if let Some(alert) = standing_at(plan, now) {
            expected.entry(alert.id()).or_insert(now);
        }
    }
    expected
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The years that are lived through: their terms begin when the authority says them.
fn plans() -> Vec<(&'static str, Plan)> {
    let year = |terms| Plan {
        begins: at("2028-01-01T00:00:00Z"),
        terms,
        hours: 366 * 24,
        missed_of_ten: 0,
        killed_of_ten: 0,
        lease_secs: SEND_SECS,
    };
    let begin = at("2028-01-01T00:00:00Z");
    vec![
        ("one license that runs out", year(vec![(begin, "K1", at("2028-12-01T07:30:00Z"))])),
        (
            // The first ends on a leap day's morning, and is renewed in its last week; clocks change on the day of the second end.
            "a renewal of the same key, and another one after the end",
            year(vec![
                (begin, "K1", at("2028-02-29T02:30:00Z")),
                (at("2028-02-25T00:00:00Z"), "K1", at("2028-03-26T01:30:00Z")),
                (at("2028-03-28T00:00:00Z"), "K1", at("2028-10-29T01:30:00Z")),
                (at("2028-10-01T00:00:00Z"), "K1", at("2029-10-29T01:30:00Z")),
            ]),
        ),
        (
            "a rotation in the middle of the last month",
            year(vec![
                (begin, "K1", at("2028-06-30T00:00:00Z")),
                (at("2028-06-10T12:00:00Z"), "K2", at("2028-12-24T00:00:00Z")),
            ]),
        ),
        (
            "licenses of ten days, one after another",
            year(
                (0..36)
                    .map(|turn| {
                        let since = begin + SignedDuration::from_hours(turn * 10 * 24);
                        (since, "K1", since + SignedDuration::from_hours(10 * 24 + 5))
                    })
                    .collect(),
            ),
        ),
    ]
}

#[test]
fn every_alert_of_a_year_is_sent_once_and_at_the_first_look() {
    for (name, plan) in plans() {
        for (missed_of_ten, seeds) in [(0, 4), (3, 8)] {
            for seed in 0..seeds {
                let plan = Plan { missed_of_ten, ..plan.clone() };
                let (world, looks) = live(&plan, seed);
                let expected = expected(&plan, &looks);
                assert!(!expected.is_empty(), "{name}");
                for sink in SINKS {
                    let mut got: BTreeMap<AlertId, Timestamp> = BTreeMap::new();
                    for (now, to, id) in world.got.iter().filter(|(_, to, _)| *to == sink) {
                        assert_eq!(got.insert(id.clone(), *now), None, "{name}, seed {seed}: {id:?} twice to {to}");
                    }
                    assert_eq!(got, expected, "{name}, seed {seed}");
                }
            }
        }
    }
}

/// How often an alert was sent to a sink.
fn times(world: &World, sink: &str, id: &AlertId) -> usize {
    world.got.iter().filter(|(_, to, got)| *to == sink && got == id).count()
}

#[test]
fn a_killed_run_costs_a_second_message_at_most_and_no_alert() {
    let (mut kills, mut seconds) = (0, 0);
    for (name, plan) in plans() {
        for seed in 0..24 {
            let plan = Plan { killed_of_ten: 2, missed_of_ten: 1, ..plan.clone() };
            let (world, looks) = live(&plan, seed);
            kills += world.kills;
            let expected = expected(&plan, &looks);
            assert!(world.got.iter().all(|(_, _, id)| expected.contains_key(id)), "{name}, seed {seed}: made up");
            for (sink, id) in SINKS.iter().flat_map(|sink| expected.keys().map(move |id| (*sink, id))) {
                let unsaid = world.unsaid.iter().filter(|(to, unsaid)| *to == sink && unsaid == id).count();
                let times = times(&world, sink, id);
                seconds += times.saturating_sub(1);
                assert!(times <= 1 + unsaid, "{name}, seed {seed}: {id:?} {times} times to {sink}, {unsaid} kills");
                // Whoever is killed leaves it to the next run: ten days suffice. What is over sooner is not sent.
                let stands =
                    looks.iter().filter(|look| standing_at(&plan, **look).is_some_and(|alert| alert.id() == *id));
                let last = stands.clone().next_back().unwrap();
                assert!(times >= 1 || stands.count() < 10, "{name}, seed {seed}: {id:?} was never sent to {sink}");
                // Who heard it hears that it is over, whatever died in between.
                let is_over = world.resolved.iter().any(|(_, to, over)| to == &sink && over == id);
                let since = looks.iter().filter(|look| *look > last).count();
                assert!(times == 0 || is_over || since < 10, "{name}, seed {seed}: {id:?} stays open at {sink}");
            }
        }
    }
    assert!(kills > 500 && seconds > 20, "{kills} kills, {seconds} second messages");
}

#[test]
fn without_the_lease_two_runs_send_one_alert_twice() {
    let (_, plan) = plans().swap_remove(0);
    let doubled = (0..20).any(|seed| {
        let (world, looks) = live(&Plan { lease_secs: 0, ..plan.clone() }, seed);
        expected(&plan, &looks).keys().any(|id| times(&world, "team", id) > 1)
    });
    assert!(doubled, "the year would not notice two senders");
}

#[test]
fn after_a_renewal_nothing_is_said_of_the_old_end_and_who_was_told_hears_that_it_is_over() {
    let (_, plan) = plans().swap_remove(1);
    let (world, _) = live(&plan, 1);
    let renewed = at("2028-02-25T00:00:00Z");
    let old_end = format!(":{}:", at("2028-02-29T02:30:00Z").as_second());
    let of_old: Vec<_> = world.got.iter().filter(|(_, _, id)| id.0.contains(&old_end)).collect();
    assert!(!of_old.is_empty() && of_old.iter().all(|(now, ..)| *now < renewed), "{of_old:?}");
    let mut over: Vec<&str> = world
        .resolved
        .iter()
        .filter(|(now, _, id)| *now >= renewed && id.0.contains(&old_end))
        .map(|(_, sink, _)| *sink)
        .collect();
    over.sort_unstable();
    assert_eq!(over, ["pager", "team"]);
}
