//! The program, run by a clock that the test puts forward: an authority that says what the plan says, sinks that write
//! down what they hear, and machines that look at once, or die.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use license_tests::{
    Answer, Hub, Project, RawServer, Request, failpoints,
    process::{Running, is_alive, kill, until},
};
use serde_json::json;

use super::oracle::{Facts, Heard, RUN_MAX, Tick, What};
use crate::BINARY;

/// The sinks: what PagerDuty is told, and a webhook.
pub(super) const SINKS: [&str; 2] = ["hook", "pager"];

/// The variable that puts the clock of the failpoints build forward.
const AHEAD: &str = "LICENSE_FAILPOINT_CLOCK_AHEAD_SECS";

/// Where the machine thinks that it is: nothing may depend on it.
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"];

/// Numbers that look drawn; the seed gives the same ones again.
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Where runs die that are to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// Once something is in the trail, before anything is sent: the failpoint, the n-th time that it is passed.
    Due(u64),
    /// Once the sinks have answered, before the trail says so.
    Sent(u64),
    /// While a sink has the request and has not answered.
    InSinksHands,
}

/// What the servers see of the test.
#[derive(Default)]
struct Shared {
    /// By how much the clock is ahead, in seconds.
    ahead: AtomicI64,
    facts: Mutex<Facts>,
    /// When the tick is that runs, and its number.
    at: AtomicI64,
    tick: Mutex<usize>,
    heard: Mutex<Vec<Heard>>,
    /// Who is to die as soon as a sink hears of something.
    victim: Mutex<Victim>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Victim {
    #[default]
    Nobody,
    /// It was not started yet.
    Awaited,
    Running(u32),
}

/// Everything around the program.
pub(super) struct World {
    shared: Arc<Shared>,
    authority: RawServer,
    sinks: RawServer,
    pub(super) machines: Vec<Project>,
    _hub: Option<Hub>,
    pub(super) ticks: Vec<Tick>,
    pub(super) draw: Draw,
    pub(super) seed: u64,
}

impl World {
    /// One machine, with its trail in a file.
    pub(super) fn of_files(facts: Facts, seed: u64) -> Self {
        let mut world = Self::empty(facts, seed);
        world.machines.push(world.machine());
        world
    }

    /// Two machines, with their trail in git.
    pub(super) fn of_git(facts: Facts, seed: u64) -> Self {
        let mut world = Self::empty(facts, seed);
        let hub = Hub::new();
        for _ in 0..2 {
            world.machines.push(hub.shared_by(world.machine()));
        }
        Self { _hub: Some(hub), ..world }
    }

    /// Nobody looks yet; the machines are the test's.
    pub(super) fn empty(facts: Facts, seed: u64) -> Self {
        let shared = Arc::new(Shared { facts: Mutex::new(facts), ..Shared::default() });
        let (asked, told) = (Arc::clone(&shared), Arc::clone(&shared));
        Self {
            authority: RawServer::answering(move |_| asked.answer()),
            sinks: RawServer::answering(move |request| told.hear(request)),
            shared,
            machines: Vec::new(),
            _hub: None,
            ticks: Vec::new(),
            draw: Draw::new(seed),
            seed,
        }
    }

    fn machine(&self) -> Project {
        let key = self.shared.facts.lock().unwrap().terms[0].key.clone();
        let project = Project::new(failpoints::binary(BINARY)).authority_at(&self.authority.url()).key(&key);
        let (tables, variables) = self.sinks();
        variables.into_iter().fold(project.tables(&tables), |project, (name, value)| project.var(name, &value))
    }

    /// The sinks in a `license.toml`, and the variables that they need.
    pub(super) fn sinks(&self) -> (String, [(&'static str, String); 3]) {
        let address = self.sinks.address();
        let tables = format!(
            "[sinks.hook]\nkind = \"webhook\"\nurl = {{ env = \"HOOK_URL\" }}\nsecret = {{ env = \"HOOK_SECRET\" }}\n\
             [sinks.pager]\nkind = \"pagerduty\"\nservice = \"http://{address}\"\nrouting_key = {{ env = \"PAGER_KEY\" }}\n"
        );
        let variables = [
            ("HOOK_URL", format!("http://{address}/hook")),
            ("HOOK_SECRET", "whsec_VGhlLXllYXItb2YtdGhlLXRlc3RzLXNpZ25z".to_owned()),
            ("PAGER_KEY", "0123456789abcdef0123456789abcdef".to_owned()),
        ];
        (tables, variables)
    }

    /// Changes what is so from now on.
    pub(super) fn facts(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.shared.facts.lock().unwrap());
    }

    /// The first moment from this one on at which it does not matter how long a run takes.
    pub(super) fn clear(&self, mut at: i64) -> i64 {
        while !self.shared.facts.lock().unwrap().is_clear(at) {
            at += RUN_MAX + 60;
        }
        at
    }

    /// A command on a machine at a moment, to its end.
    pub(super) fn command(&self, machine: usize, at: i64, arguments: &[&str]) -> license_tests::Ran {
        self.machines[machine].ended(self.start(machine, at, arguments, &[]))
    }

    fn start(&self, machine: usize, at: i64, arguments: &[&str], more: &[(&str, String)]) -> Running {
        let ahead = at - Timestamp::now().as_second();
        self.shared.ahead.store(ahead, Ordering::SeqCst);
        let project = &self.machines[machine];
        let mut command = project.command(&project.path(""), arguments);
        command.env(AHEAD, ahead.to_string()).envs(more.iter().map(|(name, value)| (name, value)));
        Running::start(&mut command)
    }

    /// One run of the watch, or several at once, of which the first may die.
    pub(super) fn tick(&mut self, at: i64, runners: usize, death: Option<Death>) {
        let standing = self.shared.facts.lock().unwrap().standing(at);
        self.shared.at.store(at, Ordering::SeqCst);
        *self.shared.tick.lock().unwrap() = self.ticks.len();
        let is_in_hands = death == Some(Death::InSinksHands);
        *self.shared.victim.lock().unwrap() = if is_in_hands { Victim::Awaited } else { Victim::Nobody };
        let running: Vec<(usize, Running)> = (0..runners)
            .map(|runner| {
                let mut more = vec![("TZ", self.draw.one_of(&ZONES).to_owned())];
                match death.filter(|_| runner == 0) {
                    Some(Death::Due(nth)) => more.push((failpoints::DIES_AT, format!("alert-due:{nth}"))),
                    Some(Death::Sent(nth)) => more.push((failpoints::DIES_AT, format!("alert-sent:{nth}"))),
                    Some(Death::InSinksHands) | None => {}
                }
                let machine = (self.ticks.len() + runner) % self.machines.len();
                let running = self.start(machine, at, &["status", "--exit-code"], &more);
                let mut victim = self.shared.victim.lock().unwrap();
                if *victim == Victim::Awaited {
                    *victim = Victim::Running(running.pid());
                }
                (machine, running)
            })
            .collect();
        let mut killed = 0;
        for (machine, running) in running {
            let ran = self.machines[machine].ended(running);
            let expected = self.exit(at, &standing);
            match ran.code() {
                137 if death.is_some() => killed += 1,
                // Of two that look at once after a gap, the second may see the first.
                0 if runners > 1 && standing.iter().any(|alert| alert.starts_with("unwatched:")) => {}
                code => assert_eq!(code, expected, "seed {}, {standing:?} at {}: {ran}", self.seed, shown(at)),
            }
        }
        *self.shared.victim.lock().unwrap() = Victim::Nobody;
        self.ticks.push(Tick { at, standing, runners, killed });
        self.facts(|facts| facts.looks(at));
    }

    fn exit(&self, at: i64, standing: &BTreeSet<String>) -> i32 {
        if self.shared.facts.lock().unwrap().term(at).ends <= at {
            return 10;
        }
        if standing.is_empty() { 0 } else { 15 }
    }

    /// Everything that the sinks heard, in terms of the plan: the trail counts the seconds that a run needs to begin.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let mut heard = self.shared.heard.lock().unwrap().clone();
        for one in &mut heard {
            let Some((start, since)) = one.key.split_once("unwatched:") else { continue };
            let since: i64 = since.parse().unwrap();
            let tick = self.ticks.iter().find(|tick| (0..RUN_MAX).contains(&(since - tick.at)));
            one.key = format!("{start}unwatched:{}", tick.unwrap_or_else(|| panic!("nobody looked at {since}")).at);
        }
        heard
    }
}

/// A moment as people write it.
pub(super) fn shown(at: i64) -> String {
    Timestamp::from_second(at).unwrap().to_string()
}

impl Shared {
    /// The authority's answer at this moment, with its date.
    fn answer(&self) -> Answer {
        let at = self.at.load(Ordering::SeqCst);
        let term = self.facts.lock().unwrap().term(at).clone();
        let mut said = json!({
            "valid": at < term.ends,
            "plan": "enterprise",
            "domains": ["app.com"],
            "createdAt": shown(term.issued),
            "expiresAt": shown(term.ends),
        });
        if at >= term.ends {
            said["code"] = json!("LICENSE_EXPIRED");
        }
        let now = Timestamp::now() + SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst));
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Answer::with_headers(200, &[("content-type", "application/json"), ("date", &date)], &said.to_string())
    }

    /// A sink hears of something; the one that tells may not live to hear the answer.
    fn hear(&self, request: &Request) -> Answer {
        let said = request.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
        let (sink, key, what) = match request.path.as_str() {
            "/hook" => {
                let is_over = text(&said["type"]).ends_with(".resolved");
                ("hook", text(&said["data"]["dedup_key"]), if is_over { What::Over } else { What::Stands })
            }
            "/v2/enqueue" => {
                let is_over = said["event_action"] == "resolve";
                ("pager", text(&said["dedup_key"]), if is_over { What::Over } else { What::Stands })
            }
            other => panic!("nobody listens at {other}"),
        };
        let tick = *self.tick.lock().unwrap();
        self.heard.lock().unwrap().push(Heard { tick, sink, key, what });
        self.kills();
        Answer::json(202, &json!({ "status": "success" }))
    }

    fn kills(&self) {
        if *self.victim.lock().unwrap() == Victim::Nobody {
            return;
        }
        until("the victim is known", || *self.victim.lock().unwrap() != Victim::Awaited);
        let victim = std::mem::take(&mut *self.victim.lock().unwrap());
        if let Victim::Running(pid) = victim {
            kill(pid);
            // Whoever is gone does not hear the answer.
            until("it is dead", || !is_alive(pid));
        }
    }
}
