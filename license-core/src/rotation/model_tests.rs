//! The model: everything that can go wrong with a rotation, walked through breadth-first with the code that runs.
//!
//! A world is an authority, one trail, an escrow, stores, and a few runs of the tool. In every world, everything that
//! could happen next does: a run performs its step or pauses, time goes on, a call executes early, late or never, its
//! answer is lost, a store's write fails or does not say how it ended, a run is killed. After every event the
//! invariants must hold. The same walk with a protection taken out must find the violation that it protects against.

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::hash::{Hash, Hasher};
use std::collections::HashSet;

use jiff::Timestamp;

use super::*;
use crate::{
    key::{Fingerprint, LicenseKey},
    trail::{Actor, Event, Record},
};

/// How many keys there can be: the first, and one for every call that executes.
const KEYS_MAX: usize = 4;
/// How many intents a walk may write.
const INTENTS_MAX: u64 = 2;
/// Later than this nothing is looked at, in seconds. Far before the end of any grace.
const SECS_MAX: i64 = 60;

/// What is modeled, and what is taken out of it.
#[derive(Debug, Clone, Copy)]
struct Setting {
    keeps: Keeps,
    visible: RotationVisible,
    list: Listing,
    idempotency: Idempotency,
    /// How many runs are started, two at most at once.
    runs_max: u8,
    /// How many of the other things may go wrong: kills, lost answers, failed writes.
    troubles_max: u8,
    /// How many deploys there are.
    deploys_max: u8,
    /// What the first run is to do.
    wish: Wish,
    /// What every later one is to do.
    then: Wish,
    begins: Begins,
    without: Option<Protection>,
}

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// With the first key everywhere.
    Idle,
    /// After a rotation whose grace is not over.
    Committed,
}

/// How many previous keys the authority accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    One,
    All,
}

/// What the authority's list shows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Plain,
    None,
}

/// A protection that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// The intent is durable before the call.
    Intent,
    /// Nothing is concluded before a late execution is out of the question.
    Settle,
    /// An entry is appended only to the trail that was read.
    CompareAndAppend,
    /// The trail is read again right before the call.
    SelfCheck,
    /// A rotation whose grace was given up is kept in mind until the next one has brought a key that works.
    Before,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    now: i64,
    authority: Authority,
    flights: Vec<Flight>,
    trail: State,
    escrow: BTreeSet<(RotationId, usize)>,
    /// The rotations of which a part of an answer lies in escrow.
    parts: BTreeSet<RotationId>,
    stores: [usize; 2],
    /// The key that the application has.
    running: usize,
    deploys: u8,
    runs: [Option<Runner>; 2],
    started: u8,
    troubles: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Authority {
    /// The key that is current: the number of keys issued, less one.
    current: usize,
    /// The keys before it that are still accepted.
    previous: BTreeSet<usize>,
    /// The rotations that it executed, each with its key.
    executed: Vec<(RotationId, usize)>,
}

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    rotation: RotationId,
    /// The client gives up then.
    client_until: i64,
    /// No execution is possible after that.
    until: i64,
    /// The run that waits for the answer.
    waiting: Option<usize>,
    /// The key of the answer, once it was executed.
    answer: Option<usize>,
}

/// A run of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Runner {
    memory: Run,
    wish: Wish,
    /// The trail as it read it last.
    view: State,
    /// Whether the trail is still what it read.
    fresh: bool,
    doing: Doing,
}

/// Where a run is between two looks at the trail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Doing {
    /// It asks what is next.
    Decides,
    /// It decided, and may be paused before it acts.
    WillCall(RotationId),
    /// It waits for the answer.
    Waits(RotationId),
    /// It has the answer, and seals it next: the one moment in which a kill loses it.
    Holds(RotationId, usize),
    /// It acted, and will write this down.
    WillWrite(Entry),
}

/// What is to be written: a fact, or a claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Entry {
    Claim(i64),
    Fact(RotationId, Box<Fact>),
}

fn time(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn secs(at: Timestamp) -> i64 {
    at.as_second()
}

fn key(number: usize) -> Fingerprint {
    LicenseKey::parse(&format!("K{number}")).unwrap().fingerprint()
}

fn number(fingerprint: Fingerprint) -> usize {
    (0..KEYS_MAX).find(|&one| key(one) == fingerprint).expect("a key of the model")
}

fn blob(number: usize) -> BlobHash {
    BlobHash::of(number.to_string().as_bytes())
}

fn key_of(sealed: BlobHash) -> usize {
    (0..KEYS_MAX).find(|&one| blob(one) == sealed).expect("a blob of the model")
}

const STORES: [&str; 2] = ["a", "b"];

impl Setting {
    fn bounds(self) -> Bounds {
        let settle_secs = if self.without == Some(Protection::Settle) { 0 } else { LATE_SECS };
        Bounds { preflight_secs: 1, call_secs: 1, settle_secs, look_secs: 1, validate_secs: 1, store_secs: 1 }
    }

    fn has(self, protection: Protection) -> bool {
        self.without != Some(protection)
    }
}

/// How long after it was sent a call may still execute, in seconds.
const LATE_SECS: u64 = 3;
/// How long a claim lasts: less than a paused run may sleep, in seconds.
const CLAIM_SECS: i64 = 6;

impl World {
    fn new() -> Self {
        Self {
            now: 0,
            authority: Authority { current: 0, previous: BTreeSet::new(), executed: Vec::new() },
            flights: Vec::new(),
            trail: State::default(),
            escrow: BTreeSet::new(),
            parts: BTreeSet::new(),
            stores: [0, 0],
            running: 0,
            deploys: 0,
            runs: [None, None],
            started: 0,
            troubles: 0,
        }
    }

    /// The stores have the new key of a first rotation, and what runs has the old one.
    fn committed(setting: Setting) -> Self {
        let id = RotationId("first".to_owned());
        let stores = STORES.map(ToOwned::to_owned).to_vec();
        let begins = intent(1, (key(0), blob(0)), Snapshot::default(), 7, stores, &setting.bounds(), time(0));
        let holds = STORES.map(|store| Fact::StoreHolds { store: store.to_owned(), key: Which::New });
        let validated = Fact::Validated { new: key(1), grace_ends_at: None };
        let facts = [begins, received(blob(1), BodySource::Answer), validated].into_iter().chain(holds);
        let trail = facts.chain([Fact::Committed]).fold(State::default(), |state, fact| {
            applied(state, Event::Rotation(RotationEvent { rotation_id: id.clone(), fact }), 0)
        });
        Self {
            authority: Authority { current: 1, previous: BTreeSet::from([0]), executed: vec![(id.clone(), 1)] },
            trail,
            escrow: BTreeSet::from([(id, 1)]),
            stores: [1, 1],
            ..Self::new()
        }
    }

    fn accepts(&self, key: usize) -> bool {
        key == self.authority.current || self.authority.previous.contains(&key)
    }

    /// The invariants, all of them in every world.
    fn violation(&self, setting: Setting) -> Option<String> {
        if let Some(store) = self.stores.iter().position(|&key| !self.accepts(key)) {
            return Some(format!("outage: store {} holds the dead key K{}", STORES[store], self.stores[store]));
        }
        let mut calls: BTreeMap<&RotationId, usize> = BTreeMap::new();
        for (rotation, _) in &self.authority.executed {
            *calls.entry(rotation).or_default() += 1;
        }
        if let Some((rotation, _)) = calls.iter().find(|(_, calls)| **calls > 1) {
            return Some(format!("two rotations of one intent, {}", rotation.0));
        }
        let stands =
            if let Phase::Committed { keys, .. } = &self.trail.phase { Some(keys) } else { self.stands_again() };
        if let Some(keys) = stands
            && !self.escrow.contains(&(keys.open.id.clone(), number(keys.new)))
        {
            return Some(format!("the escrow of {} is empty, which is not over", keys.open.id.0));
        }
        self.silent_loss(setting).or_else(|| self.silent_end(setting))
    }

    /// The rotation that stands again, where the one that is open never brings a key that works.
    fn stands_again(&self) -> Option<&Keys> {
        let before = self.trail.before.as_ref()?;
        self.trail.phase.new_key().is_none().then_some(&before.keys)
    }

    /// An application with a key that is dead, or will not be accepted for long, and the trail says nothing about it.
    fn silent_end(&self, setting: Setting) -> Option<String> {
        let running = self.running;
        if setting.deploys_max == 0 || running == self.authority.current {
            return None;
        }
        let is_open = self.trail.phase.open().is_some_and(|open| open.terms.old == key(running));
        let is_unproven = self
            .trail
            .committed()
            .any(|(keys, adoption)| keys.open.terms.old == key(running) && adoption == Adoption::Unproven);
        (!is_open && !is_unproven).then(|| format!("silent end: what runs has K{running}, and nothing says so"))
    }

    /// A key that the authority issued, that nobody has, and that the trail says nothing about.
    fn silent_loss(&self, setting: Setting) -> Option<String> {
        let (rotation, key) = self.authority.executed.last()?;
        let is_kept = self.stores.contains(key) || self.escrow.iter().any(|(_, kept)| kept == key);
        let is_at_hand = self.runs.iter().flatten().any(|run| match &run.doing {
            Doing::Holds(_, held) => held == key,
            Doing::Decides | Doing::WillCall(_) | Doing::Waits(_) | Doing::WillWrite(_) => false,
        });
        let says_so = self.trail.phase.open().is_some_and(|open| open.id == *rotation);
        // Without an intent a run has its call in mind only; it is judged once it is gone.
        let is_in_mind = !setting.has(Protection::Intent)
            && self.runs.iter().flatten().any(|run| matches!(&run.doing, Doing::Waits(one) if one == rotation));
        let is_known = is_kept || is_at_hand || says_so || is_in_mind;
        (!is_known).then(|| format!("silent loss: K{key} of {} is nowhere, and the trail does not say so", rotation.0))
    }

    /// Every world that may come next.
    fn successors(&self, setting: Setting) -> Vec<(String, World)> {
        let mut next = Vec::new();
        for at in 0..self.runs.len() {
            match &self.runs[at] {
                None => next.extend(self.start(at, setting)),
                Some(run) => {
                    next.extend(self.steps(at, run, setting));
                    next.extend(self.trouble(setting, |world| world.kill(at)).map(|w| (format!("{at} is killed"), w)));
                    next.extend(self.stop(at, run, setting).map(|w| (format!("{at} is stopped"), w)));
                }
            }
        }
        for at in 0..self.flights.len() {
            next.extend(self.fly(at, setting));
        }
        next.extend(self.deploys(setting));
        next.extend(self.later());
        next
    }

    /// Somebody deploys what a store holds, or once more what runs, unless a run has the environment.
    fn deploys(&self, setting: Setting) -> Vec<(String, World)> {
        let is_claimed = self.trail.claim.as_ref().is_some_and(|claim| secs(claim.until) > self.now);
        if is_claimed || self.deploys == setting.deploys_max {
            return Vec::new();
        }
        // The gate asks the authority first.
        let keys = BTreeSet::from([self.stores[0], self.running, 0]);
        keys.into_iter()
            .filter(|number| self.accepts(*number))
            .map(|number| (format!("K{number} is deployed"), self.deploy(number)))
            .collect()
    }

    fn deploy(&self, number: usize) -> World {
        let mut world = self.clone();
        world.deploys += 1;
        world.running = number;
        let started = Event::DeployStarted { release: "r".to_owned(), key_fingerprint: key(number) };
        world.trail = applied(world.trail, started, self.now);
        if let Some(event) = adopted(&world.trail, &key(number), Adoption::Shipped) {
            world.trail = applied(world.trail, Event::Rotation(event), self.now);
        }
        for run in world.runs.iter_mut().flatten() {
            run.fresh = false;
        }
        world
    }

    fn start(&self, at: usize, setting: Setting) -> Option<(String, World)> {
        if self.started == setting.runs_max || (at == 1 && self.runs[0].is_none()) {
            return None;
        }
        let mut world = self.clone();
        world.started += 1;
        let memory = Run::new(RunId(format!("run-{}", world.started)));
        let wish = if world.started == 1 { setting.wish } else { setting.then };
        world.runs[at] = Some(Runner { memory, wish, view: self.trail.clone(), fresh: true, doing: Doing::Decides });
        Some((format!("run {} starts", world.started), world))
    }

    /// Something goes wrong, if it still may.
    fn trouble(&self, setting: Setting, change: impl FnOnce(&mut World)) -> Option<World> {
        if self.troubles == setting.troubles_max {
            return None;
        }
        let mut world = self.clone();
        world.troubles += 1;
        change(&mut world);
        Some(world)
    }

    fn kill(&mut self, at: usize) {
        self.runs[at] = None;
        for flight in &mut self.flights {
            if flight.waiting == Some(at) {
                flight.waiting = None;
            }
        }
        self.land();
    }

    /// Somebody wants a run to stop. One that ends at once is like one that is killed.
    fn stop(&self, at: usize, run: &Runner, setting: Setting) -> Option<World> {
        let Stopping::After(event) = stopping(&run.view, &run.memory) else { return None };
        let is_between_steps = run.doing == Doing::Decides;
        is_between_steps
            .then(|| self.trouble(setting, |world| world.will_write(at, &event.rotation_id, event.fact)))
            .flatten()
    }

    /// Time goes to the next moment at which something can be different.
    fn later(&self) -> Option<(String, World)> {
        let mut moments: Vec<i64> = self.flights.iter().flat_map(|one| [one.client_until + 1, one.until]).collect();
        moments.extend(self.trail.claim.as_ref().map(|claim| secs(claim.until)));
        if let Phase::Unknown { settle_until, .. } = &self.trail.phase {
            moments.push(secs(*settle_until));
        }
        if let Phase::Calling(open) = &self.trail.phase {
            moments.push(secs(open.terms.call_deadline));
        }
        let next = moments.into_iter().filter(|&moment| moment > self.now && moment <= SECS_MAX).min()?;
        // A client that waits gives up at its deadline, and a call that was not executed by its own never is.
        if self.flights.iter().any(|one| one.waiting.is_some() && one.client_until < next) {
            return None;
        }
        let mut world = self.clone();
        world.now = next;
        world.land();
        Some((format!("it is {next}"), world))
    }

    /// Calls that cannot execute any more, and for whose answer nobody waits, are over.
    fn land(&mut self) {
        let now = self.now;
        self.flights.retain(|one| one.waiting.is_some() || (one.answer.is_none() && one.until > now));
    }

    /// What can happen to a call.
    fn fly(&self, at: usize, setting: Setting) -> Vec<(String, World)> {
        let flight = &self.flights[at];
        let mut next = Vec::new();
        if flight.answer.is_none() && self.now < flight.until {
            let mut world = self.clone();
            if let Some(key) = world.execute(&flight.rotation.clone(), setting) {
                world.flights[at].answer = Some(key);
                world.land();
                next.push((format!("the call of {} executes", flight.rotation.0), world));
            }
        }
        let Some(waiting) = flight.waiting else { return next };
        if let Some(key) = flight.answer {
            let mut world = self.clone();
            world.flights.remove(at);
            world.doing(waiting, Doing::Holds(flight.rotation.clone(), key));
            next.push((format!("{waiting} is answered K{key}"), world));
            // The answer breaks off: what came is sealed, and nobody knows what is in it.
            let cut_off = |world: &mut World| {
                world.flights.remove(at);
                world.parts.insert(flight.rotation.clone());
                let outcome = CallOutcome::Unknown { why: "cut off".to_owned() };
                world.ended(waiting, &flight.rotation, &outcome, setting);
            };
            next.extend(self.trouble(setting, cut_off).map(|world| (format!("{waiting} gets half an answer"), world)));
        }
        // The answer is lost, or late: the run gives up.
        let gives_up = |world: &mut World| {
            world.flights[at].waiting = None;
            world.land();
            let outcome = CallOutcome::Unknown { why: "timeout".to_owned() };
            world.ended(waiting, &flight.rotation, &outcome, setting);
        };
        next.extend(self.trouble(setting, gives_up).map(|world| (format!("{waiting} gets no answer"), world)));
        next
    }

    /// The authority rotates. Nothing, when the model has no more keys.
    fn execute(&mut self, rotation: &RotationId, setting: Setting) -> Option<usize> {
        if setting.idempotency == Idempotency::Honored
            && let Some((_, key)) = self.authority.executed.iter().find(|(one, _)| one == rotation)
        {
            return Some(*key);
        }
        let new = self.authority.current + 1;
        if new == KEYS_MAX {
            return None;
        }
        if setting.keeps == Keeps::One {
            self.authority.previous.clear();
        }
        self.authority.previous.insert(self.authority.current);
        self.authority.current = new;
        self.authority.executed.push((rotation.clone(), new));
        Some(new)
    }

    fn run(&mut self, at: usize) -> &mut Runner {
        self.runs[at].as_mut().expect("it runs")
    }

    fn doing(&mut self, at: usize, doing: Doing) {
        self.run(at).doing = doing;
    }

    fn will_write(&mut self, at: usize, rotation: &RotationId, fact: Fact) {
        self.doing(at, Doing::WillWrite(Entry::Fact(rotation.clone(), Box::new(fact))));
    }

    /// The run's call ended without a body.
    fn ended(&mut self, at: usize, rotation: &RotationId, outcome: &CallOutcome, setting: Setting) {
        let now = time(self.now);
        let run = self.run(at);
        let Some(open) = run.view.phase.open().cloned() else {
            // Only without an intent: the run forgets, and tries again.
            run.memory = Run::new(run.memory.id.clone());
            run.doing = Doing::Decides;
            return;
        };
        if let Phase::Unknown { .. } = run.view.phase {
            let _ = after_repeat(&mut run.memory, outcome);
            run.doing = Doing::Decides;
            return;
        }
        match after_call(&open, &mut run.memory, outcome, &setting.bounds(), now) {
            CallEnd::Write(fact) => self.will_write(at, rotation, *fact),
            CallEnd::Seal | CallEnd::TryAgain => self.doing(at, Doing::Decides),
        }
    }

    /// What a run may do next.
    fn steps(&self, at: usize, run: &Runner, setting: Setting) -> Vec<(String, World)> {
        match &run.doing {
            Doing::Decides => self.decide(at, setting),
            Doing::WillCall(rotation) => vec![self.call(at, rotation, setting)],
            Doing::Waits(_) => Vec::new(),
            Doing::Holds(rotation, key) => vec![self.seal(at, rotation, *key, setting)],
            Doing::WillWrite(event) => vec![self.append(at, event, setting)],
        }
    }

    /// Sends the one call, unless the self-check says no.
    fn call(&self, at: usize, rotation: &RotationId, setting: Setting) -> (String, World) {
        let mut world = self.clone();
        let call_secs = setting.bounds().call_secs;
        let now = time(self.now);
        if setting.has(Protection::SelfCheck) && setting.has(Protection::Intent) {
            let trail = self.trail.clone();
            let run = world.run(at);
            let is_repeat = matches!(run.view.phase, Phase::Unknown { .. });
            let allowed = if is_repeat {
                trail.may_repeat(&run.memory.id, rotation, now, &setting.bounds())
            } else {
                trail.may_call(&run.memory.id, rotation, now, call_secs)
            };
            if !allowed {
                run.view = trail;
                run.fresh = true;
                let is_ours = run.view.claim.as_ref().is_some_and(|claim| !claim.keeps_out(&run.memory.id, now));
                let still = run.view.phase.open().is_some_and(|open| open.id == *rotation);
                if !is_repeat && is_ours && still && matches!(run.view.phase, Phase::Calling(_)) {
                    world.ended(at, rotation, &CallOutcome::NotSent, setting);
                } else {
                    world.runs[at] = None;
                }
                return (format!("{at} may not call"), world);
            }
        }
        world.run(at).memory.sends();
        let client_until = self.now + i64::try_from(call_secs).unwrap();
        // How late the world executes does not depend on the protections.
        let until = self.now + i64::try_from(LATE_SECS).unwrap();
        world.flights.push(Flight { rotation: rotation.clone(), client_until, until, waiting: Some(at), answer: None });
        world.doing(at, Doing::Waits(rotation.clone()));
        (format!("{at} calls"), world)
    }

    /// Seals the answer: durable from here on, whatever the trail says meanwhile.
    fn seal(&self, at: usize, rotation: &RotationId, key: usize, setting: Setting) -> (String, World) {
        let mut world = self.clone();
        world.escrow.insert((rotation.clone(), key));
        if !setting.has(Protection::Intent) && world.run(at).view.phase.open().is_none() {
            // Straight into the stores, as tools do that keep no journal.
            world.stores = [key, key];
            world.runs[at] = None;
        } else {
            world.will_write(at, rotation, received(blob(key), BodySource::Answer));
        }
        (format!("{at} seals K{key}"), world)
    }

    /// Appends, if the trail is what the run read.
    fn append(&self, at: usize, event: &Entry, setting: Setting) -> (String, World) {
        let mut world = self.clone();
        let run = world.run(at);
        if setting.has(Protection::CompareAndAppend) && !run.fresh {
            // Refused: it looks again. What it wanted to write is not written.
            run.view = self.trail.clone();
            run.fresh = true;
            run.doing = Doing::Decides;
            return (format!("{at} lost the race"), world);
        }
        let id = run.memory.id.clone();
        let event = match event {
            Entry::Claim(until) => Event::Claim(ClaimEvent::Claimed { run: id, until: time(*until) }),
            Entry::Fact(rotation, fact) => {
                Event::Rotation(RotationEvent { rotation_id: rotation.clone(), fact: (**fact).clone() })
            }
        };
        let told = format!("{at} writes {}", short(&event));
        if let Event::Rotation(event) = &event {
            run.memory.wrote(event);
        }
        // Without the comparison, the last writer overwrites what came in between.
        let mut after = applied(run.view.clone(), event.clone(), self.now);
        if !setting.has(Protection::Before) {
            after.before = None;
        }
        let over = run.view.before.as_ref().map(|before| before.keys.open.id.clone());
        run.view = after.clone();
        run.fresh = true;
        run.doing = Doing::Decides;
        world.trail = after;
        if let (Some(over), Event::Rotation(RotationEvent { fact: Fact::Validated { .. }, .. })) = (over, event) {
            // Its escrow is emptied.
            world.escrow.retain(|(rotation, _)| *rotation != over);
        }
        for (other, run) in world.runs.iter_mut().enumerate() {
            if other != at
                && let Some(run) = run
            {
                run.fresh = false;
            }
        }
        (told, world)
    }

    /// Asks what is next, and begins it. Looks and store writes are one event; what comes of them is written in another.
    fn decide(&self, at: usize, setting: Setting) -> Vec<(String, World)> {
        let mut world = self.clone();
        let (now, bounds) = (time(self.now), setting.bounds());
        let run = world.run(at);
        if setting.has(Protection::CompareAndAppend) {
            // Reading again is always allowed, and the real one does so; an append is what must not be stale.
            run.view = self.trail.clone();
            run.fresh = true;
        }
        let step = next(&run.view, &run.memory, run.wish, setting.idempotency, &bounds, now);
        let told = |what: &str| format!("{at}: {what}");
        match step {
            Step::Claim => {
                world.doing(at, Doing::WillWrite(Entry::Claim(self.now + CLAIM_SECS)));
                vec![world.at_once(at, setting)]
            }
            Step::Prepare { epoch } => {
                if epoch > INTENTS_MAX {
                    return Vec::new();
                }
                let id = RotationId(format!("{}.{epoch}", run.memory.id.0));
                if setting.has(Protection::Intent) {
                    let old = self.stores[0];
                    let stores = STORES.map(ToOwned::to_owned).to_vec();
                    let fact = intent(epoch, (key(old), blob(old)), Snapshot::default(), 7, stores, &bounds, now);
                    world.will_write(at, &id, fact);
                } else {
                    world.doing(at, Doing::WillCall(id));
                }
                vec![world.at_once(at, setting)]
            }
            Step::Call(open) | Step::Repeat(open) => {
                world.doing(at, Doing::WillCall(open.id));
                vec![world.at_once(at, setting)]
            }
            Step::LookInEscrow(open) => {
                let found = world.sealed(&open.id);
                let run = world.run(at);
                match after_look(&run.view, &mut run.memory, found, &bounds) {
                    Some(fact) => world.will_write(at, &open.id, fact),
                    None => world.doing(at, Doing::Decides),
                }
                vec![(told("looks into the escrow"), world)]
            }
            // Time goes on by itself, the end of the grace is out of reach, and nobody wishes the last.
            Step::Settle { .. } | Step::Close { .. } | Step::Confirm { .. } => Vec::new(),
            Step::Reconcile(open) => vec![(told("reconciles"), world.reconcile(at, &open, setting))],
            Step::SealListed(open) | Step::SealBrought(open) => {
                let key = self.authority.current;
                world.escrow.insert((open.id.clone(), key));
                world.will_write(at, &open.id, received(blob(key), BodySource::Portal));
                vec![(told("seals a key that was brought"), world)]
            }
            Step::Validate { open, blob } => self.validate(at, &open, blob, setting),
            Step::Store { keys, store, key } => self.store(at, &keys, &store, key, setting),
            Step::Write(event) if event.fact == Fact::OverlapWaived && self.has_another_key(now) => {
                world.runs[at] = None;
                vec![(told("has not the current key"), world)]
            }
            Step::Write(event) => {
                world.will_write(at, &event.rotation_id, event.fact);
                vec![world.at_once(at, setting)]
            }
            Step::End(_) => {
                world.runs[at] = None;
                vec![(told("ends"), world)]
            }
        }
    }

    /// A pause between a decision and its act makes no difference where the act looks again: it is left out there.
    fn at_once(self, at: usize, setting: Setting) -> (String, World) {
        let run = self.runs[at].as_ref().expect("it runs");
        match &run.doing {
            Doing::WillWrite(event) if setting.has(Protection::CompareAndAppend) => self.append(at, event, setting),
            Doing::WillCall(rotation) if setting.has(Protection::SelfCheck) => self.call(at, rotation, setting),
            Doing::WillWrite(_) | Doing::WillCall(_) | Doing::Decides | Doing::Waits(_) | Doing::Holds(..) => {
                (format!("{at} decides"), self)
            }
        }
    }

    /// Whether a run would give up the grace of a rotation with a key that is not its new one.
    fn has_another_key(&self, now: Timestamp) -> bool {
        let Phase::Committed { keys, .. } = &self.trail.phase else { return true };
        not_current(keys, key(self.stores[0]), now).is_some()
    }

    fn sealed(&self, rotation: &RotationId) -> Option<BlobHash> {
        self.escrow.iter().find(|(one, _)| one == rotation).map(|(_, key)| blob(*key))
    }

    fn reconcile(mut self, at: usize, open: &Open, setting: Setting) -> World {
        let rotated = self.authority.current != number(open.terms.old);
        let list = match setting.list {
            Listing::Plain if rotated => Listed::NewKey,
            Listing::Plain => Listed::Nothing,
            Listing::None => Listed::NotAsked,
        };
        let shows = setting.visible == RotationVisible::Yes && rotated;
        let old = if shows { OldKey::RotatedAway } else { OldKey::Unchanged };
        let part = if self.parts.contains(&open.id) { Part::InEscrow } else { Part::Nowhere };
        let evidence = Evidence { sealed: self.sealed(&open.id), part, list, old };
        let wish = self.run(at).wish;
        match after_reconcile(open, conclude(&evidence, setting.visible), wish, setting.idempotency) {
            Reconciled::Write(fact) => self.will_write(at, &open.id, *fact),
            Reconciled::SealListed => {
                let key = self.authority.current;
                self.escrow.insert((open.id.clone(), key));
                self.will_write(at, &open.id, received(blob(key), BodySource::Listed));
            }
            Reconciled::CannotTell => {
                let run = self.run(at);
                run.memory.is_stuck();
                run.doing = Doing::Decides;
            }
        }
        self
    }

    fn validate(&self, at: usize, open: &Open, sealed: BlobHash, setting: Setting) -> Vec<(String, World)> {
        let asked = |seen: NewKey| {
            let mut world = self.clone();
            let run = world.run(at);
            match after_validation(open, &mut run.memory, seen) {
                Some(fact) => world.will_write(at, &open.id, fact),
                None => world.doing(at, Doing::Decides),
            }
            world
        };
        let new = key_of(sealed);
        let seen = if self.accepts(new) {
            NewKey::Accepted { new: key(new), grace_ends_at: None }
        } else {
            NewKey::Unusable { why: "refused".to_owned() }
        };
        let mut next = vec![(format!("{at} validates K{new}"), asked(seen))];
        next.extend(
            self.trouble(setting, |world| *world = World { troubles: world.troubles, ..asked(NewKey::NotAsked) })
                .map(|world| (format!("{at} cannot validate"), world)),
        );
        next
    }

    fn store(&self, at: usize, keys: &Keys, store: &str, which: Which, setting: Setting) -> Vec<(String, World)> {
        let place = STORES.iter().position(|one| *one == store).unwrap();
        let holds = Fact::StoreHolds { store: store.to_owned(), key: which };
        let failed = Fact::StoreFailed { store: store.to_owned(), why: "no".to_owned() };
        let wanted = match which {
            Which::New => number(keys.new),
            Which::Old => number(keys.open.terms.old),
        };
        let after = |written: bool, fact: &Fact, world: &mut World| {
            if written {
                world.stores[place] = wanted;
            }
            world.will_write(at, &keys.open.id, fact.clone());
        };
        match before_write(keys, which, Shown::Key(key(self.stores[place]))) {
            BeforeWrite::HoldsIt => {
                let mut world = self.clone();
                after(false, &holds, &mut world);
                vec![(format!("{at} finds K{wanted} in {store}"), world)]
            }
            BeforeWrite::Drifted => {
                let mut world = self.clone();
                after(false, &failed, &mut world);
                vec![(format!("{at} finds {store} drifted"), world)]
            }
            BeforeWrite::Write => {
                let mut world = self.clone();
                after(true, &holds, &mut world);
                let mut next = vec![(format!("{at} writes K{wanted} into {store}"), world)];
                // The write fails; or it happened, and neither its answer nor the read-back comes through.
                for written in [false, true] {
                    next.extend(
                        self.trouble(setting, |world| after(written, &failed, world))
                            .map(|world| (format!("{at} hears that {store} failed, written: {written}"), world)),
                    );
                }
                next
            }
        }
    }
}

fn applied(state: State, event: Event, now: i64) -> State {
    let record = Record { at: time(now), actor: Actor::default(), environment: "production".to_owned(), event };
    state.apply(&record).expect("what is written follows from what was read")
}

fn short(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split(['{', '(']).take(4).collect::<Vec<_>>().join(" ")
}

/// What a walk came to.
#[derive(Debug)]
struct Walk {
    worlds: usize,
    violation: Option<(String, Vec<String>)>,
    committed: usize,
    lost: usize,
    /// After a look at the authority.
    aborted: usize,
    /// With another rotation open beside one whose grace was given up.
    beside: usize,
    /// With such a rotation standing again.
    again: usize,
}

/// Walks through every world, breadth-first, to the first violation: the shortest story that leads to one.
fn walk(setting: Setting) -> Walk {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut stories: Vec<(usize, String)> = vec![(0, String::new())];
    let first = match setting.begins {
        Begins::Idle => World::new(),
        Begins::Committed => World::committed(setting),
    };
    seen.insert(digest(&first));
    let mut queue = VecDeque::from([(0_usize, first)]);
    let mut walk = Walk { worlds: 0, violation: None, committed: 0, lost: 0, aborted: 0, beside: 0, again: 0 };
    while let Some((story, world)) = queue.pop_front() {
        walk.worlds += 1;
        assert!(walk.worlds < WORLDS_MAX, "the model has no end");
        if let Some(violation) = world.violation(setting) {
            let mut told = Vec::new();
            let mut at = story;
            while at != 0 {
                told.push(stories[at].1.clone());
                at = stories[at].0;
            }
            told.reverse();
            walk.violation = Some((violation, told));
            return walk;
        }
        walk.beside += usize::from(world.trail.before.is_some());
        walk.again += usize::from(world.trail.epoch == 2 && world.trail.grace == Grace::GivenUp);
        match &world.trail.phase {
            Phase::Committed { .. } => walk.committed += 1,
            Phase::KeyLost { .. } => walk.lost += 1,
            Phase::Idle(Last::Aborted(NotRotated::Reconciled)) => walk.aborted += 1,
            Phase::Idle(_)
            | Phase::Calling(_)
            | Phase::Unknown { .. }
            | Phase::Received { .. }
            | Phase::NewRejected { .. }
            | Phase::Promoting { .. }
            | Phase::RollingBack { .. }
            | Phase::RolledBack(_) => {}
        }
        for (event, next) in world.successors(setting) {
            if seen.insert(digest(&next)) {
                stories.push((story, event));
                queue.push_back((stories.len() - 1, next));
            }
        }
    }
    walk
}

/// More worlds than this, and a bound is missing.
const WORLDS_MAX: usize = 3_000_000;

/// Two worlds that differ only in what the clock says have the same future: times are counted from now, and what is
/// long over is equally over.
fn digest(world: &World) -> u64 {
    let mut world = world.clone();
    let from = Clock { now: world.now };
    world.now = 0;
    for flight in &mut world.flights {
        flight.client_until = from.secs(flight.client_until);
        flight.until = from.secs(flight.until);
    }
    from.state(&mut world.trail);
    for run in world.runs.iter_mut().flatten() {
        if run.fresh {
            run.view = State::default();
        } else {
            from.state(&mut run.view);
        }
        match &mut run.doing {
            Doing::WillWrite(Entry::Claim(until)) => *until = from.secs(*until),
            Doing::WillWrite(Entry::Fact(_, fact)) => from.fact(fact),
            Doing::Decides | Doing::WillCall(_) | Doing::Waits(_) | Doing::Holds(..) => {}
        }
    }
    let mut hasher = std::hash::DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Counts times from now.
struct Clock {
    now: i64,
}

impl Clock {
    fn secs(&self, moment: i64) -> i64 {
        (moment - self.now).max(-LONG_AGO_SECS)
    }

    fn moment(&self, moment: &mut Timestamp) {
        *moment = time(self.secs(secs(*moment)));
    }

    fn state(&self, state: &mut State) {
        if let Some(claim) = &mut state.claim {
            claim.since = time(0);
            self.moment(&mut claim.until);
        }
        match &mut state.phase {
            Phase::Calling(open)
            | Phase::Received { open, .. }
            | Phase::NewRejected { open, .. }
            | Phase::KeyLost { open, .. } => self.open(open),
            Phase::Unknown { open, settle_until } => {
                self.open(open);
                self.moment(settle_until);
            }
            Phase::Promoting { keys, .. }
            | Phase::Committed { keys, .. }
            | Phase::RollingBack { keys, .. }
            | Phase::RolledBack(keys) => {
                self.open(&mut keys.open);
                // The end of the grace is out of reach.
                keys.grace_ends_at = Timestamp::MAX;
            }
            Phase::Idle(_) => {}
        }
        if let Some(before) = &mut state.before {
            self.open(&mut before.keys.open);
            before.keys.grace_ends_at = Timestamp::MAX;
        }
        if let Phase::KeyLost { deadline, .. } = &mut state.phase {
            *deadline = Timestamp::MAX;
        }
    }

    fn open(&self, open: &mut Open) {
        open.since = time(0);
        self.moment(&mut open.terms.call_deadline);
    }

    fn fact(&self, fact: &mut Fact) {
        match fact {
            Fact::Intent(terms) => self.moment(&mut terms.call_deadline),
            Fact::OutcomeUnknown { settle_until, .. } | Fact::Repeating { settle_until } => self.moment(settle_until),
            Fact::KeyLost { deadline, .. } => *deadline = Timestamp::MAX,
            Fact::Received { .. }
            | Fact::Validated { .. }
            | Fact::NewRejected { .. }
            | Fact::StoreHolds { .. }
            | Fact::StoreFailed { .. }
            | Fact::Committed
            | Fact::Aborted { .. }
            | Fact::RollbackStarted
            | Fact::RolledBack
            | Fact::RolledForward
            | Fact::Adopted { .. }
            | Fact::OverlapWaived
            | Fact::Closed { .. }
            | Fact::NotKnown => {}
        }
    }
}

/// What is over for longer than this makes no difference any more, in seconds.
const LONG_AGO_SECS: i64 = 4;

const SETTING: Setting = Setting {
    keeps: Keeps::One,
    visible: RotationVisible::Yes,
    list: Listing::None,
    idempotency: Idempotency::Ignored,
    runs_max: 2,
    troubles_max: 1,
    deploys_max: 0,
    wish: Wish::Rotate(Overlap::Required),
    then: Wish::Rotate(Overlap::Required),
    begins: Begins::Idle,
    without: None,
};

fn holds(setting: Setting) -> Walk {
    let walk = walk(setting);
    if let Some((violation, story)) = &walk.violation {
        panic!("{violation}\n{}", story.join("\n"));
    }
    assert!(walk.committed > 0, "no world of {setting:?} commits: {walk:?}");
    walk
}

fn breaks(setting: Setting) -> String {
    let walk = walk(setting);
    let (violation, _) = walk.violation.unwrap_or_else(|| panic!("nothing is found in {} worlds", walk.worlds));
    violation
}

#[test]
fn the_protocol_holds_with_an_authority_that_keeps_one_previous_key() {
    let walk = holds(SETTING);
    assert!(walk.lost > 0 && walk.aborted > 0, "{walk:?}");
}

#[test]
fn the_protocol_holds_with_an_authority_that_keeps_all_previous_keys() {
    let walk = holds(Setting { keeps: Keeps::All, ..SETTING });
    assert!(walk.lost > 0 && walk.aborted > 0, "{walk:?}");
}

#[test]
fn a_key_is_never_lost_where_idempotency_is_honored() {
    let walk = holds(Setting { idempotency: Idempotency::Honored, ..SETTING });
    assert_eq!(walk.lost, 0, "{walk:?}");
}

#[test]
fn a_key_is_never_lost_where_the_list_shows_it() {
    let walk = holds(Setting { list: Listing::Plain, ..SETTING });
    assert_eq!(walk.lost, 0, "{walk:?}");
}

#[test]
fn an_authority_that_shows_nothing_leaves_the_outcome_unknown_and_nothing_aborted() {
    let walk = holds(Setting { visible: RotationVisible::Unknown, ..SETTING });
    assert_eq!((walk.lost, walk.aborted), (0, 0), "nothing is concluded: {walk:?}");
}

/// The grace of a rotation is given up for the next one.
const WAIVED: Setting = Setting {
    deploys_max: 2,
    wish: Wish::Rotate(Overlap::Waived),
    then: Wish::Rotate(Overlap::Waived),
    begins: Begins::Committed,
    ..SETTING
};

#[test]
fn the_rotation_whose_grace_is_given_up_is_not_over_before_the_next_one_has_a_key_that_works() {
    let resumes = Wish::Rotate(Overlap::Required);
    for (keeps, then, deploys_max) in
        [(Keeps::One, WAIVED.then, 1), (Keeps::All, WAIVED.then, 2), (Keeps::One, resumes, 2)]
    {
        let walk = holds(Setting { keeps, deploys_max, then, ..WAIVED });
        assert!(walk.beside > 0 && walk.again > 0, "{walk:?}");
    }
}

#[test]
fn without_the_rotation_before_in_mind_a_key_that_runs_dies_silently() {
    let violation = breaks(Setting { without: Some(Protection::Before), ..WAIVED });
    assert!(violation.contains("silent end"), "{violation}");
}

#[test]
fn without_an_intent_production_dies() {
    let violation = breaks(Setting { without: Some(Protection::Intent), ..SETTING });
    assert!(violation.contains("outage") || violation.contains("silent loss"), "{violation}");
    let violation = breaks(Setting { without: Some(Protection::Intent), keeps: Keeps::All, ..SETTING });
    assert!(violation.contains("silent loss"), "{violation}");
}

#[test]
fn without_settling_a_late_execution_is_lost_silently() {
    for keeps in [Keeps::One, Keeps::All] {
        let violation = breaks(Setting { without: Some(Protection::Settle), keeps, ..SETTING });
        assert!(violation.contains("silent loss"), "{violation}");
    }
}

#[test]
fn without_compare_and_append_a_stale_run_does_harm() {
    for keeps in [Keeps::One, Keeps::All] {
        let violation = breaks(Setting { without: Some(Protection::CompareAndAppend), keeps, ..SETTING });
        let known = ["outage", "silent loss", "two rotations"];
        assert!(known.iter().any(|known| violation.contains(known)), "{violation}");
    }
}

#[test]
fn without_the_self_check_a_paused_run_calls_under_an_intent_that_is_over() {
    for keeps in [Keeps::One, Keeps::All] {
        let violation = breaks(Setting { without: Some(Protection::SelfCheck), keeps, ..SETTING });
        assert!(violation.contains("silent loss"), "{violation}");
    }
}
