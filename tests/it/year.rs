//! Years that the real program lives through: a watch that runs every day or does not, two machines at once, runs that
//! die, renewals, a rotation; the clock is put forward, and everything else is real. Whatever time zone the machine
//! believes in, each alert is sent once, by the first run that finds it.

use std::fs;

use jiff::Timestamp;
use license_tests::{
    Project, failpoints,
    rotating::{ESCROW, IDENTITY, IDENTITY_VARIABLE},
};

use self::{
    oracle::{DAY, Facts, HOUR, Rotated, Tally, Term, judge},
    world::{Death, SINKS, World},
};
use crate::{BINARY, KEY};

mod oracle;
mod world;

/// Another seed for every drawing of these tests: a number. Each failure says the one that brings it back.
const SEED: &str = "LICENSE_TESTS_SEED";
/// The seed where none is given.
const SEED_DEFAULT: u64 = 20_280_229;

fn seed() -> u64 {
    std::env::var(SEED).ok().map_or(SEED_DEFAULT, |seed| seed.parse().unwrap())
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// Terms of one key: since when they are said, and until when it works.
fn terms(issued: &str, rows: &[(&str, &str)]) -> Facts {
    let term = |(since, ends): &(&str, &str)| Term {
        since: at(since),
        key: KEY.to_owned(),
        issued: at(issued),
        ends: at(ends),
    };
    Facts::of(rows.iter().map(term).collect())
}

/// How the watch runs.
struct Habit {
    /// When it begins.
    begins: &'static str,
    /// For how many days.
    days: i64,
    /// Of ten days, so many are missed.
    missed_of_ten: u64,
    /// On so many of ten days two machines look at once.
    pairs_of_ten: u64,
    /// So many of ten runs die, where they do something about an alert.
    killed_of_ten: u64,
}

/// Lets the watch run day after day, at hours that differ.
fn live(world: &mut World, habit: &Habit) {
    live_through(world, habit, |_, _| {});
}

/// As [`live`]; each day begins with something else.
fn live_through(world: &mut World, habit: &Habit, mut morning: impl FnMut(&mut World, i64)) {
    let hour = 1 + i64::try_from(world.draw.below(18)).unwrap();
    for day in 0..habit.days {
        let midnight = at(habit.begins) + day * DAY;
        morning(world, midnight);
        if world.draw.below(10) < habit.missed_of_ten {
            continue;
        }
        // A schedule is late by minutes, and sometimes by hours.
        let late = i64::try_from(world.draw.below(3) * world.draw.below(100)).unwrap() * 60;
        let now = world.clear(midnight + hour * HOUR + late);
        let runners = if world.draw.below(10) < habit.pairs_of_ten { 2 } else { 1 };
        let nth = 1 + world.draw.below(2);
        let deaths = [Death::Due(nth), Death::Sent(nth), Death::InSinksHands];
        let death = (world.draw.below(10) < habit.killed_of_ten).then(|| world.draw.one_of(&deaths));
        // With two, who told the sink would not be known.
        let death = death.filter(|death| runners == 1 || *death != Death::InSinksHands);
        world.tick(now, runners, death);
    }
}

/// Every sink heard what it must.
fn judged(name: &str, world: &World) -> Tally {
    judge(&format!("{name}, {SEED}={}", world.seed), &world.ticks, &world.heard(), &SINKS)
}

/// The first end is a leap day's morning; the second the hour that Berlin's clocks leave out; the third is let pass, and
/// lies in the hour that New York's clocks show twice.
#[test]
fn every_alert_of_a_year_is_sent_once_and_at_the_first_run() {
    let facts = terms(
        "2027-11-01T00:00:00Z",
        &[
            ("2027-11-01T00:00:00Z", "2028-02-29T02:00:00Z"),
            ("2028-02-25T00:00:00Z", "2028-03-26T01:00:00Z"),
            ("2028-03-25T12:00:00Z", "2028-11-05T06:00:00Z"),
            ("2028-11-09T00:00:00Z", "2029-11-05T00:00:00Z"),
        ],
    );
    let mut world = World::of_files(facts, seed());
    let habit =
        Habit { begins: "2027-11-20T00:00:00Z", days: 366, missed_of_ten: 2, pairs_of_ten: 1, killed_of_ten: 0 };
    live(&mut world, &habit);
    let tally = judged("a year", &world);
    assert_eq!((tally.kills, tally.again), (0, 0), "{tally:?}");
    assert!(tally.alerts >= 8, "{tally:?}");
}

/// One license of ten days after another, with five hours between the end of one and the next.
fn ten_days_each(begins: &str, turns: i64) -> Facts {
    let begins = at(begins);
    let term = |turn: i64| {
        let since = begins + turn * (10 * DAY + 5 * HOUR);
        Term { since, key: KEY.to_owned(), issued: since, ends: since + 10 * DAY }
    };
    Facts::of((0..turns).map(term).collect())
}

#[test]
fn a_license_of_ten_days_is_told_of_in_its_last_third_and_on_its_last_day() {
    let mut world = World::of_files(ten_days_each("2028-02-10T00:00:00Z", 5), seed());
    let habit = Habit { begins: "2028-02-10T00:00:00Z", days: 50, missed_of_ten: 1, pairs_of_ten: 2, killed_of_ten: 0 };
    live(&mut world, &habit);
    let tally = judged("ten days each", &world);
    assert_eq!((tally.kills, tally.again), (0, 0), "{tally:?}");
    assert!(tally.alerts >= 8, "{tally:?}");
}

#[test]
fn a_run_that_dies_costs_a_second_message_under_the_same_name_at_most_and_no_alert() {
    let (mut all, seed) = (Tally::default(), seed());
    for round in 0..3 {
        let mut world = World::of_files(ten_days_each("2028-03-15T00:00:00Z", 3), seed + round);
        let habit =
            Habit { begins: "2028-03-15T00:00:00Z", days: 30, missed_of_ten: 0, pairs_of_ten: 2, killed_of_ten: 7 };
        live(&mut world, &habit);
        let tally = judged("deaths", &world);
        all.kills += tally.kills;
        all.again += tally.again;
    }
    assert!(all.kills >= 5 && all.again >= 1, "{all:?}");
}

#[test]
fn two_machines_with_one_trail_in_git_tell_each_alert_once() {
    let rows = [("2028-07-01T00:00:00Z", "2028-11-05T06:00:00Z"), ("2028-10-30T00:00:00Z", "2028-12-03T00:00:00Z")];
    let mut world = World::of_git(terms("2028-07-01T00:00:00Z", &rows), seed());
    let habit = Habit { begins: "2028-10-03T00:00:00Z", days: 66, missed_of_ten: 1, pairs_of_ten: 3, killed_of_ten: 0 };
    live(&mut world, &habit);
    let tally = judged("git", &world);
    assert_eq!((tally.kills, tally.again), (0, 0), "{tally:?}");
    assert!(tally.alerts >= 5, "{tally:?}");
}

#[test]
fn a_machine_that_dies_leaves_its_alert_to_the_other_one() {
    let mut world = World::of_git(ten_days_each("2028-10-20T00:00:00Z", 3), seed());
    let habit = Habit { begins: "2028-10-20T00:00:00Z", days: 30, missed_of_ten: 0, pairs_of_ten: 2, killed_of_ten: 7 };
    live(&mut world, &habit);
    let tally = judged("git, deaths", &world);
    assert!(tally.kills >= 1, "{tally:?}");
}

#[test]
fn a_watch_that_rested_for_days_says_so_once() {
    let facts = terms("2028-01-01T00:00:00Z", &[("2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z")]);
    let mut world = World::of_files(facts, seed());
    for day in [0, 1, 2, 7, 8, 20, 21, 22] {
        let now = world.clear(at("2028-03-01T08:00:00Z") + day * DAY);
        world.tick(now, 1, None);
    }
    let tally = judged("a rest", &world);
    assert_eq!((tally.alerts, tally.again), (2, 0), "{tally:?}");
}

/// The key of production, as deploys read it.
fn key_in_store(project: &Project) -> String {
    let text = fs::read_to_string(project.path(".env")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("LICENSE_KEY=")).unwrap().trim_matches(['"', '\'']).to_owned()
}

/// A world whose authority is the embedded one, which can rotate; the license has 100 days.
fn embedded(seed: u64, begins: &str) -> World {
    let mut world = World::empty(Facts::default(), seed);
    let (tables, variables) = world.sinks();
    let file = format!(
        "version = 1\n{ESCROW}[authority.local]\nkind = \"embedded\"\nstate = \"state\"\n[environments.production]\n\
         authority = \"local\"\ndomain = \"app.com\"\nkey = {{ dotenv = \".env\", name = \"LICENSE_KEY\" }}\n\
         deploy = [\"sh\", \"deploy.sh\"]\n{tables}"
    );
    let project = Project::new(failpoints::binary(BINARY)).license_toml(file.as_bytes());
    let project = project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env", "state/events.jsonl"]);
    let project = variables.into_iter().fold(project, |project, (name, value)| project.var(name, &value));
    world.machines.push(project);
    let (issued, ends) = (at(begins), at(begins) + 100 * DAY);
    let expires = world::shown(ends);
    let arguments =
        ["authority", "issue", "--class", "PRD", "--domain", "app.com", "--expires-at", &expires, "--format", "json"];
    let ran = world.command(0, issued, &arguments);
    let key = ran.exits(0).json()["key"].as_str().unwrap().to_owned();
    fs::write(world.machines[0].path(".env"), format!("LICENSE_KEY={key}\n")).unwrap();
    world.facts(|facts| facts.terms.push(Term { since: issued, key, issued, ends }));
    world.command(0, issued + HOUR, &["deploy", "production"]).exits(0);
    world
}

/// Rotates on a morning; the new key is in use once it is deployed.
fn rotates(world: &mut World, morning: i64) {
    world.command(0, morning, &["rotate", "production"]).exits(0);
    let key = key_in_store(&world.machines[0]);
    let trail = world.machines[0].trail("production");
    let id = trail.last("rotation")["rotation_id"].as_str().unwrap().to_owned();
    world.facts(|facts| {
        let ends = facts.terms[0].ends;
        facts.terms.push(Term { since: morning, key, issued: morning, ends });
        facts.rotated = Some(Rotated { id, grace_ends: morning + 7 * DAY, adopted: None });
    });
}

fn deploys(world: &mut World, morning: i64) {
    world.command(0, morning, &["deploy", "production"]).exits(0);
    world.facts(|facts| facts.rotated.as_mut().unwrap().adopted = Some(morning));
}

#[test]
fn a_rotation_takes_back_what_was_said_of_the_old_key_and_the_new_one_is_watched() {
    let begins = "2028-08-01T00:00:00Z";
    // Deployed on the next day; deployed only when the old key is dead.
    for (name, shipped_after) in [("shipped at once", 1), ("shipped too late", 9)] {
        let mut world = embedded(seed(), begins);
        let start = at(begins);
        let habit =
            Habit { begins: "2028-10-05T00:00:00Z", days: 38, missed_of_ten: 0, pairs_of_ten: 2, killed_of_ten: 0 };
        let rotation = start + 80 * DAY;
        live_through(&mut world, &habit, |world, midnight| {
            if midnight == rotation {
                rotates(world, midnight);
            } else if midnight == rotation + shipped_after * DAY {
                deploys(world, midnight);
            }
        });
        let tally = judged(name, &world);
        assert_eq!((tally.kills, tally.again), (0, 0), "{name}: {tally:?}");
        let of_rotation = world.heard().iter().filter(|one| one.key.contains("not_adopted")).count();
        assert_eq!(of_rotation > 0, shipped_after > 5, "{name}: {tally:?}");
    }
}
