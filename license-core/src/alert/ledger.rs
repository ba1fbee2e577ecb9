//! What was said already, and what is therefore to be done.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    event::{Alert, AlertEvent, AlertId, Reached},
    standing::Standing,
};
use crate::{rotation::RunId, webhook::Notification};

/// How many alerts are remembered. The one that was closed longest ago is dropped.
pub const NOTICES_MAX: usize = 64;
/// How many messages of the authority may wait to be told, besides. A further one is recorded, and nobody is told of it.
pub const MESSAGES_MAX: usize = 64;

/// No run works longer on an alert, in seconds: one that says so has another clock, and is not waited for.
pub const LEASE_SECS_MAX: i64 = 60 * 60;

/// The alerts of one environment, the newest at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(Vec<Notice>);

/// One alert, and who was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name.
    pub id: AlertId,
    /// The alert.
    pub alert: Alert,
    /// When it was found.
    pub due_at: Timestamp,
    /// The run that works on it.
    pub run: RunId,
    /// The first moment at which another run may.
    pub until: Timestamp,
    /// Its sinks.
    pub sinks: BTreeMap<String, Told>,
    /// Those that the run has not heard from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub awaited: BTreeSet<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// What a sink was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Nothing that it accepted.
    Nothing,
    /// The alert, perhaps: it did not say so.
    Perhaps,
    /// The alert.
    Alert,
    /// The alert, and that it is over.
    Over,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Say that it is due, then send it to every sink.
    Announce {
        /// Its name. One that was over, and stands again, has another one: whoever drops repeats must hear of it.
        id: AlertId,
        /// The alert.
        alert: Alert,
    },
    /// Take it over, then send it to the sinks that did not accept it.
    Resend {
        /// The alert.
        notice: Notice,
        /// The sinks.
        sinks: Vec<String>,
    },
    /// Take it over, then tell the sinks that were told that it is over.
    Resolve {
        /// The alert.
        notice: Notice,
        /// The sinks.
        sinks: Vec<String>,
        /// Why it is over.
        over: Over,
    },
    /// Say that it is over: there is nobody to tell.
    Close(AlertId),
    /// Leave it: another run works on it.
    Leave {
        /// The alert.
        notice: Notice,
    },
}

/// Why an alert is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// What it said is not so any more.
    Gone,
    /// A tighter one says it.
    Overtaken,
}

impl Ledger {
    /// Every alert that is remembered, the newest at the end.
    pub fn notices(&self) -> &[Notice] {
        &self.0
    }

    /// The alerts that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter().filter(|notice| notice.closed_at.is_none())
    }

    /// The name of an alert that is due: its own, with a number from the second time on.
    fn name_for(&self, alert: &Alert) -> AlertId {
        let id = alert.id();
        let times = self.0.iter().filter(|notice| notice.alert.id() == id).filter_map(|notice| notice.id.time_of(&id));
        times.max().map_or(id.clone(), |times| id.again(times + 1))
    }

    /// Whether one more message of the authority can wait to be told.
    pub fn has_room_for_a_message(&self) -> bool {
        self.0.iter().filter(|notice| notice.alert.is_message()).count() < MESSAGES_MAX
    }

    /// The ledger after the authority told of something that these sinks are to hear. Nobody works on it yet: whoever
    /// looks next may tell them.
    pub(crate) fn owe(&mut self, notification: &Notification, sinks: &[String], at: Timestamp) {
        let alert = Alert::Webhook(Box::new(notification.clone()));
        let id = alert.id();
        if sinks.is_empty() || self.find(&id).is_some() || !self.has_room_for_a_message() {
            return;
        }
        let sinks = sinks.iter().map(|sink| (sink.clone(), Told::Nothing)).collect();
        let (run, awaited) = (RunId(String::new()), BTreeSet::new());
        self.0.push(Notice { id, alert, due_at: at, run, until: at, sinks, awaited, closed_at: None });
    }

    /// The ledger after one more entry.
    pub(crate) fn apply(&mut self, event: &AlertEvent, at: Timestamp) {
        match event {
            AlertEvent::Due { id, alert, sinks, run, until } => {
                if self.find(id).is_none() {
                    let awaited = sinks.iter().cloned().collect();
                    let sinks = sinks.iter().map(|sink| (sink.clone(), Told::Nothing)).collect();
                    let (id, alert, run) = (id.clone(), alert.clone(), run.clone());
                    self.0.push(Notice { id, alert, due_at: at, run, until: *until, sinks, awaited, closed_at: None });
                    self.forget();
                }
            }
            AlertEvent::Taken { id, sinks, run, until } => {
                if let Some(notice) = self.find(id) {
                    for sink in sinks {
                        notice.sinks.entry(sink.clone()).or_insert(Told::Nothing);
                    }
                    notice.awaited = sinks.iter().cloned().collect();
                    notice.run = run.clone();
                    notice.until = *until;
                }
            }
            AlertEvent::Sent { id, sink } => self.heard(id, sink, |_| Told::Alert),
            AlertEvent::Resolved { id, sink } => self.heard(id, sink, |_| Told::Over),
            AlertEvent::Failed { id, sink, reached, .. } => self.heard(id, sink, |before| match (before, reached) {
                (Told::Nothing, Reached::Perhaps) => Told::Perhaps,
                (Told::Nothing | Told::Perhaps | Told::Alert | Told::Over, Reached::No | Reached::Perhaps) => before,
            }),
            AlertEvent::Closed { id } => {
                if let Some(notice) = self.find(id) {
                    notice.closed_at = notice.closed_at.or(Some(at));
                }
            }
            AlertEvent::NotKnown => {}
        }
        // A message cannot come back, so nothing of it need be remembered here.
        self.0.retain(|notice| !(notice.alert.is_message() && notice.is_done()));
    }

    fn find(&mut self, id: &AlertId) -> Option<&mut Notice> {
        self.0.iter_mut().find(|notice| notice.id == *id)
    }

    /// A sink answered, or did not: what it was told now, after what it was told before.
    fn heard(&mut self, id: &AlertId, sink: &str, told: impl FnOnce(Told) -> Told) {
        let Some(notice) = self.find(id) else { return };
        notice.awaited.remove(sink);
        if let Some(state) = notice.sinks.get_mut(sink) {
            *state = told(*state);
        }
    }

    /// Drops what is over first, and what is oldest; messages have room of their own.
    fn forget(&mut self) {
        let states = || self.0.iter().enumerate().filter(|(_, notice)| !notice.alert.is_message());
        if states().count() > NOTICES_MAX {
            let over = states().find(|(_, notice)| notice.closed_at.is_some());
            if let Some((at, _)) = over.or_else(|| states().next()) {
                self.0.remove(at);
            }
        }
    }
}

impl Notice {
    /// Whether there is nobody left to tell.
    fn is_done(&self) -> bool {
        let has_heard = |told: &Told| match told {
            Told::Alert | Told::Over => true,
            Told::Nothing | Told::Perhaps => false,
        };
        self.closed_at.is_some() || self.sinks.values().all(has_heard)
    }

    /// The sinks that did not accept it, of those that are configured now: one may have taken the place of another.
    fn not_told(&self, sinks: &[String]) -> Vec<String> {
        let is_open = |sink: &&String| match self.sinks.get(*sink) {
            None | Some(Told::Nothing | Told::Perhaps) => true,
            Some(Told::Alert | Told::Over) => false,
        };
        sinks.iter().filter(is_open).cloned().collect()
    }

    /// The sinks that heard of it, or may have: they gave no answer, or the run that told them died before it could say
    /// so.
    fn may_have_heard(&self, sinks: &[String]) -> Vec<String> {
        let may_have = |sink: &&String| match self.sinks.get(*sink) {
            Some(Told::Alert | Told::Perhaps) => true,
            Some(Told::Nothing) => self.awaited.contains(*sink),
            None | Some(Told::Over) => false,
        };
        sinks.iter().filter(may_have).cloned().collect()
    }

    /// The task, unless another run is at it.
    fn left_to(&self, task: Task, run: &RunId, now: Timestamp) -> Task {
        if self.is_taken(run, now) { Task::Leave { notice: self.clone() } } else { task }
    }

    /// Whether another run may be at work on it: one that heard from all sinks is done, whatever they said.
    fn is_taken(&self, run: &RunId, now: Timestamp) -> bool {
        let is_believed = self.until.duration_since(now).as_secs() <= LEASE_SECS_MAX;
        self.run != *run && now < self.until && is_believed && !self.awaited.is_empty()
    }
}

/// What a run has to do, given what stands, what was said, and the sinks that are configured.
///
/// Where nobody is to be told, nothing is due either: a sink that is added later hears of what stands then.
pub fn tasks(ledger: &Ledger, standing: &Standing, sinks: &[String], run: &RunId, now: Timestamp) -> Vec<Task> {
    let fresh = standing.alerts.iter().filter(|alert| !sinks.is_empty() && is_news(ledger, alert));
    let fresh = fresh.map(|alert| Task::Announce { id: ledger.name_for(alert), alert: alert.clone() });
    let open = ledger.open().filter_map(|notice| Some(notice.left_to(of_open(notice, standing, sinks)?, run, now)));
    open.chain(fresh).collect()
}

/// What a run that looked at nothing has to do: what the authority told of, and some sink did not hear.
pub fn messages(ledger: &Ledger, sinks: &[String], run: &RunId, now: Timestamp) -> Vec<Task> {
    let messages = ledger.open().filter(|notice| notice.alert.is_message());
    messages.filter_map(|notice| Some(notice.left_to(of_message(notice, sinks)?, run, now))).collect()
}

/// Whether nothing that says as much is open. What was over is news again: whoever heard that it is over believes so.
fn is_news(ledger: &Ledger, alert: &Alert) -> bool {
    ledger.open().all(|notice| notice.alert.id() != alert.id() && !notice.alert.covers(alert))
}

/// A message is told to whoever did not hear it. Where no sink is configured at all, it waits for one.
fn of_message(notice: &Notice, sinks: &[String]) -> Option<Task> {
    if sinks.is_empty() {
        return None;
    }
    let sinks = notice.not_told(sinks);
    if sinks.is_empty() {
        return Some(Task::Close(notice.id.clone()));
    }
    Some(Task::Resend { notice: notice.clone(), sinks })
}

fn of_open(notice: &Notice, standing: &Standing, sinks: &[String]) -> Option<Task> {
    if notice.alert.is_message() {
        return of_message(notice, sinks);
    }
    if sinks.is_empty() {
        return None;
    }
    let not_told = notice.not_told(sinks);
    let holds = standing.holds(&notice.alert);
    // What is said once is said to everybody, also when it is over by then.
    if !not_told.is_empty() && (holds || notice.alert.is_of_the_past()) {
        return Some(Task::Resend { notice: notice.clone(), sinks: not_told });
    }
    if holds {
        return None;
    }
    let sinks = notice.may_have_heard(sinks);
    if sinks.is_empty() {
        return Some(Task::Close(notice.id.clone()));
    }
    let over = if standing.covers(&notice.alert) { Over::Overtaken } else { Over::Gone };
    Some(Task::Resolve { notice: notice.clone(), sinks, over })
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, format, vec};

    use super::*;
    use crate::{alert::standing::Sight, key::LicenseKey};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn run(name: &str) -> RunId {
        RunId(name.to_owned())
    }

    fn expiring(days: u32) -> Alert {
        let key_fingerprint = LicenseKey::parse("K1").unwrap().fingerprint();
        Alert::Expiring { key_fingerprint, license_id: None, expires_at: at(1_000_000), days }
    }

    fn seen(alerts: Vec<Alert>) -> Standing {
        Standing { alerts, kept: vec![], license: Sight::Seen }
    }

    fn due(alert: &Alert, by: &str, sinks: &[&str]) -> AlertEvent {
        let sinks = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        AlertEvent::Due { id: alert.id(), alert: alert.clone(), sinks, run: run(by), until: at(100) }
    }

    fn ledger(events: &[AlertEvent]) -> Ledger {
        let mut ledger = Ledger::default();
        for event in events {
            ledger.apply(event, at(10));
        }
        ledger
    }

    fn sent(alert: &Alert, sink: &str) -> AlertEvent {
        AlertEvent::Sent { id: alert.id(), sink: sink.to_owned() }
    }

    fn names(sinks: &[&str]) -> Vec<String> {
        sinks.iter().map(|sink| (*sink).to_owned()).collect()
    }

    /// What is to be done, in words.
    fn shown(ledger: &Ledger, standing: &Standing, sinks: &[&str], by: &str, secs: i64) -> Vec<String> {
        tasks(ledger, standing, &names(sinks), &run(by), at(secs))
            .into_iter()
            .map(|task| match task {
                Task::Announce { alert: Alert::Expiring { days, .. }, .. } => alloc::format!("announce {days}"),
                Task::Announce { alert, .. } => alloc::format!("announce {alert:?}"),
                Task::Resend { sinks, .. } => alloc::format!("resend {}", sinks.join(" ")),
                Task::Resolve { sinks, over, .. } => alloc::format!("resolve {} {over:?}", sinks.join(" ")),
                Task::Close(_) => "close".to_owned(),
                Task::Leave { .. } => "leave".to_owned(),
            })
            .collect()
    }

    #[test]
    fn an_alert_is_announced_once_and_only_where_somebody_is_told() {
        let (seven, one) = (expiring(7), expiring(1));
        let both = ["a", "b"];
        let told = ledger(&[due(&seven, "r1", &both), sent(&seven, "a"), sent(&seven, "b")]);
        let half = ledger(&[due(&seven, "r1", &both), sent(&seven, "a")]);
        let failed =
            |reached| AlertEvent::Failed { id: seven.id(), sink: "b".to_owned(), why: "no".to_owned(), reached };
        let refused = ledger(&[due(&seven, "r1", &both), sent(&seven, "a"), failed(Reached::No)]);
        let lied = ledger(&[due(&seven, "r1", &both), failed(Reached::Perhaps), failed(Reached::No)]);
        let untold = ledger(&[due(&seven, "r1", &both)]);
        let over = ledger(&[due(&seven, "r1", &both), AlertEvent::Closed { id: seven.id() }]);
        let cases = [
            (Ledger::default(), vec![seven.clone()], &both[..], "r2", 50, &["announce 7"][..]),
            (Ledger::default(), vec![seven.clone()], &[], "r2", 50, &[]),
            (told.clone(), vec![seven.clone()], &both, "r2", 500, &[]),
            // The run that has it may still be at work; after that, whoever comes goes on.
            (half.clone(), vec![seven.clone()], &both, "r2", 99, &["leave"]),
            (half.clone(), vec![seven.clone()], &both, "r2", 100, &["resend b"]),
            // Nobody works that long: whoever says so has a clock that is ahead.
            (half.clone(), vec![seven.clone()], &both, "r2", 100 - LEASE_SECS_MAX, &["leave"]),
            (half.clone(), vec![seven.clone()], &both, "r2", 99 - LEASE_SECS_MAX, &["resend b"]),
            (half.clone(), vec![seven.clone()], &both, "r1", 50, &["resend b"]),
            // A sink that was taken out of the file is not told any more, and one that took its place is.
            (half.clone(), vec![seven.clone()], &["a"], "r2", 100, &[]),
            (half.clone(), vec![seven.clone()], &["a", "c"], "r2", 100, &["resend c"]),
            (told.clone(), vec![seven.clone()], &["c"], "r2", 100, &["resend c"]),
            (told.clone(), vec![], &["c"], "r2", 100, &["close"]),
            // A tighter one takes over.
            (told.clone(), vec![one.clone()], &both, "r2", 100, &["resolve a b Overtaken", "announce 1"]),
            // The run that should have told `b` died, before or after.
            (half.clone(), vec![one.clone()], &both, "r2", 100, &["resolve a b Overtaken", "announce 1"]),
            (untold, vec![one.clone()], &both, "r2", 100, &["resolve a b Overtaken", "announce 1"]),
            (refused.clone(), vec![one.clone()], &both, "r2", 100, &["resolve a Overtaken", "announce 1"]),
            (lied.clone(), vec![one], &["b"], "r2", 100, &["resolve b Overtaken", "announce 1"]),
            (lied.clone(), vec![seven.clone()], &["b"], "r2", 100, &["resend b"]),
            (lied, vec![], &["b"], "r2", 100, &["resolve b Gone"]),
            // It is over.
            (told.clone(), vec![], &both, "r2", 100, &["resolve a b Gone"]),
            // Whoever tells nobody takes nothing back either.
            (told.clone(), vec![], &[], "r2", 100, &[]),
            // A run that heard from every sink is done, whatever they said.
            (told.clone(), vec![], &both, "r2", 99, &["resolve a b Gone"]),
            (refused, vec![seven.clone()], &both, "r2", 99, &["resend b"]),
            (half.clone(), vec![], &both, "r2", 99, &["leave"]),
            (half.clone(), vec![], &both, "r2", 100, &["resolve a b Gone"]),
            (over.clone(), vec![], &both, "r2", 100, &[]),
            // What was over and stands again is news: a renewal was taken back.
            (over, vec![seven], &both, "r2", 100, &["announce 7"]),
            // A clock that was days ahead said what is not so.
            (told, vec![expiring(30)], &both, "r2", 100, &["resolve a b Gone"]),
        ];
        for (ledger, standing, sinks, by, secs, expected) in cases {
            assert_eq!(shown(&ledger, &seen(standing.clone()), sinks, by, secs), expected, "{ledger:?} {standing:?}");
        }
    }

    #[test]
    fn what_nobody_could_look_at_is_not_over() {
        let seven = expiring(7);
        let told = ledger(&[due(&seven, "r1", &["a", "b"]), sent(&seven, "a")]);
        let blind = Standing { alerts: vec![], kept: vec![], license: Sight::NotSeen };
        assert_eq!(shown(&told, &blind, &["a", "b"], "r2", 100), ["resend b"]);
        let gap = Alert::Unwatched { since: at(1) };
        let told = ledger(&[due(&gap, "r1", &["a"]), sent(&gap, "a")]);
        assert_eq!(shown(&told, &blind, &["a"], "r2", 100), ["resolve a Gone"]);
    }

    #[test]
    fn what_stands_again_has_another_name() {
        let seven = expiring(7);
        let name =
            |ledger: &Ledger| match &tasks(ledger, &seen(vec![seven.clone()]), &names(&["a"]), &run("r"), at(99))[..] {
                [Task::Announce { id, .. }] => id.0.clone(),
                other => panic!("{other:?}"),
            };
        let mut ledger = Ledger::default();
        for expected in ["", "#2", "#3"] {
            let id = name(&ledger);
            assert_eq!(id, format!("{}{expected}", seven.id().0));
            let (id, sinks) = (AlertId(id), names(&["a"]));
            let due = AlertEvent::Due { id: id.clone(), alert: seven.clone(), sinks, run: run("r"), until: at(50) };
            for event in [due, AlertEvent::Sent { id: id.clone(), sink: "a".to_owned() }, AlertEvent::Closed { id }] {
                ledger.apply(&event, at(10));
            }
        }
    }

    #[test]
    fn that_nobody_looked_is_said_to_every_sink_whoever_looks_then() {
        let gap = Alert::Unwatched { since: at(1) };
        let failed =
            AlertEvent::Failed { id: gap.id(), sink: "b".to_owned(), why: "no".to_owned(), reached: Reached::No };
        let mut ledger = ledger(&[due(&gap, "r1", &["a", "b"]), sent(&gap, "a"), failed]);
        let nothing = || seen(vec![]);
        assert_eq!(shown(&ledger, &nothing(), &["a", "b"], "r2", 100), ["resend b"]);
        assert_eq!(shown(&ledger, &nothing(), &[], "r2", 100), [""; 0]);
        ledger.apply(&sent(&gap, "b"), at(100));
        assert_eq!(shown(&ledger, &nothing(), &["a", "b"], "r2", 100), ["resolve a b Gone"]);
        // Whoever looked at the same time finds it told.
        assert_eq!(shown(&ledger, &seen(vec![gap]), &["a", "b"], "r2", 100), [""; 0]);
    }

    #[test]
    fn a_sink_that_took_the_place_of_another_hears_what_stands_and_that_it_is_over() {
        let seven = expiring(7);
        let mut ledger = ledger(&[due(&seven, "r1", &["a"]), sent(&seven, "a")]);
        let taken = AlertEvent::Taken { id: seven.id(), sinks: names(&["c"]), run: run("r2"), until: at(200) };
        ledger.apply(&taken, at(100));
        assert_eq!(shown(&ledger, &seen(vec![seven.clone()]), &["c"], "r3", 150), ["leave"]);
        ledger.apply(&sent(&seven, "c"), at(100));
        assert_eq!(shown(&ledger, &seen(vec![seven]), &["c"], "r3", 150), [""; 0]);
        assert_eq!(shown(&ledger, &seen(vec![]), &["a", "c"], "r3", 150), ["resolve a c Gone"]);
    }

    #[test]
    fn a_message_is_told_to_every_sink_once_and_is_then_forgotten() {
        let webhooks = crate::webhook::samples();
        let (told, id) = (&webhooks[1], Alert::Webhook(webhooks[1].notification.clone()).id());
        let mut ledger = Ledger::default();
        ledger.owe(&told.notification, &[], at(0));
        assert!(ledger.notices().is_empty(), "nobody is to hear it");
        let both = ["a".to_owned(), "b".to_owned()];
        ledger.owe(&told.notification, &both, at(0));
        ledger.owe(&told.notification, &both, at(1));
        let (run, nothing) = (RunId("r1".to_owned()), Standing { alerts: vec![], kept: vec![], license: Sight::Seen });
        let tasks_of = |ledger: &Ledger, sinks: &[String], run: &RunId| {
            let messages = messages(ledger, sinks, run, at(2));
            assert_eq!(tasks(ledger, &nothing, sinks, run, at(2)), messages, "whoever looks does the same");
            messages
        };
        let resend = |ledger: &Ledger, sinks: &[&str]| {
            let sinks = sinks.iter().map(|&sink| sink.to_owned()).collect();
            vec![Task::Resend { notice: ledger.notices()[0].clone(), sinks }]
        };
        assert_eq!(tasks_of(&ledger, &both, &run), resend(&ledger, &["a", "b"]), "at once, whoever comes");
        assert_eq!(tasks_of(&ledger, &[], &run), [], "it waits for a sink");
        assert_eq!(tasks_of(&ledger, &["c".to_owned()], &run), resend(&ledger, &["c"]), "it took the place of others");
        let apply = |ledger: &mut Ledger, event: AlertEvent| ledger.apply(&event, at(1));
        let taken = AlertEvent::Taken { id: id.clone(), sinks: both.to_vec(), run: run.clone(), until: at(90) };
        apply(&mut ledger, taken);
        let other = RunId("r2".to_owned());
        assert_eq!(tasks_of(&ledger, &both, &other), [Task::Leave { notice: ledger.notices()[0].clone() }]);
        apply(&mut ledger, AlertEvent::Sent { id: id.clone(), sink: "a".to_owned() });
        let (sink, why) = ("b".to_owned(), "no".to_owned());
        apply(&mut ledger, AlertEvent::Failed { id: id.clone(), sink, why, reached: Reached::No });
        assert_eq!(tasks_of(&ledger, &both, &other), resend(&ledger, &["b"]));
        let mut closed = ledger.clone();
        apply(&mut closed, AlertEvent::Closed { id: id.clone() });
        apply(&mut ledger, AlertEvent::Sent { id, sink: "b".to_owned() });
        assert!(ledger.notices().is_empty() && closed.notices().is_empty());
    }

    #[test]
    fn messages_that_wait_take_no_room_from_alerts_and_are_bounded() {
        let state = |number: usize| Alert::Unwatched { since: at(i64::try_from(number).unwrap()) };
        let message = |number: usize| {
            let text =
                format!(r#"{{"event_id":"evt_{number}","event":"payment.failed","created":"2030-01-01T00:00:00Z"}}"#);
            serde_json::from_str::<Notification>(&text).unwrap()
        };
        let sinks = ["a".to_owned()];
        let mut ledger = Ledger::default();
        ledger.apply(&due(&state(0), "r1", &["a"]), at(0));
        for number in 0..=MESSAGES_MAX {
            assert_eq!(ledger.has_room_for_a_message(), number < MESSAGES_MAX);
            ledger.owe(&message(number), &sinks, at(1));
        }
        // The one too many is not owed, and the alert that stands is still there.
        assert_eq!(ledger.notices().len(), 1 + MESSAGES_MAX);
        assert_eq!(ledger.notices()[0].alert, state(0));
        for number in 1..=NOTICES_MAX {
            ledger.apply(&due(&state(number), "r1", &["a"]), at(2));
        }
        assert_eq!(ledger.notices().len(), NOTICES_MAX + MESSAGES_MAX);
        assert_eq!(ledger.notices().iter().filter(|notice| notice.alert.is_message()).count(), MESSAGES_MAX);
        // Whoever is told makes room.
        let told = Alert::Webhook(Box::new(message(0))).id();
        ledger.apply(&AlertEvent::Sent { id: told, sink: "a".to_owned() }, at(3));
        assert!(ledger.has_room_for_a_message());
    }

    #[test]
    fn the_ledger_is_bounded_and_drops_what_is_over_first() {
        let alert = |number: usize| Alert::Unwatched { since: at(i64::try_from(number).unwrap()) };
        let mut ledger = Ledger::default();
        ledger.apply(&due(&alert(0), "r1", &["a"]), at(0));
        for number in 1..NOTICES_MAX {
            ledger.apply(&due(&alert(number), "r1", &["a"]), at(0));
            ledger.apply(&AlertEvent::Closed { id: alert(number).id() }, at(0));
        }
        ledger.apply(&due(&alert(NOTICES_MAX), "r1", &["a"]), at(0));
        assert_eq!(ledger.notices().len(), NOTICES_MAX);
        assert_eq!(ledger.notices()[0].alert, alert(0));
        assert_eq!(ledger.notices()[1].alert, alert(2));
    }
}
