//! What the watch saw, and what was deployed: what later looks are compared with.

use alloc::{borrow::ToOwned, boxed::Box, format, string::String, vec::Vec};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Ended, Event, GateRecord, HealthRecord, Record, Trouble};
use crate::{
    alert::Refusal,
    demand::Demand,
    finding::clean,
    gate::{Verdict, clocks_disagree},
    health::Difference,
    key::Fingerprint,
    license::{Answer, License},
};

/// After how many seconds a look that brings nothing new is written down again: so that daily looks are all there, and
/// more frequent ones leave one entry a day.
pub const LOOK_AGAIN_SECS: i64 = 20 * 60 * 60;

/// What one look at an environment came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The key that this machine reads, where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<Fingerprint>,
    /// What the license says, where the authority was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// What the gate would say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The authority's no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// Why the license could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What the application came to; absent where none is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthRecord>,
    /// Everything that differs from what was approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

impl Look {
    /// Whether this look brings something new. How many activations are in use changes all the time, and is not.
    pub fn is_news(&self, last: &Self) -> bool {
        self.gist() != last.gist()
    }

    /// What came of the key's license, where the authority itself spoke of it.
    pub(super) fn said(&self) -> Option<Verdict> {
        let spoke = self.trouble.is_none() && self.license.is_some();
        self.verdict.filter(|_| spoke)
    }

    fn gist(&self) -> impl PartialEq + '_ {
        let said = self.license.as_ref().map(|license| {
            let accepts = matches!(license.answer, Answer::Accepted { .. });
            let ends = (license.expires_at, license.grace_ends_at, license.unreadable_end.is_some());
            (accepts, &license.plan, ends, &license.features)
        });
        let refused = self.refused.as_ref().map(|refused| &refused.reason);
        let trouble = self.trouble.as_ref().map(|trouble| &trouble.code);
        let fields: Vec<&String> = self.differences.iter().map(|difference| &difference.field).collect();
        (self.key_fingerprint, said, self.verdict, refused, trouble, self.health, fields)
    }
}

/// A look, and when it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// When.
    pub at: Timestamp,
    /// What was seen.
    pub look: Look,
}

impl Looked {
    /// Whether a look is worth an entry after this one, where somebody is told of a gap of that many seconds. One from
    /// the future, which a wrong clock wrote, would keep every later one out of the trail until then.
    pub fn asks_for_entry(&self, look: &Look, gap_secs_max: u64, now: Timestamp) -> bool {
        let since = now.duration_since(self.at);
        let is_from_the_future = since < SignedDuration::ZERO && clocks_disagree(since);
        // Looks that come often enough must not read as a gap.
        let again_secs = i64::try_from(gap_secs_max / 2).unwrap_or(i64::MAX).min(LOOK_AGAIN_SECS);
        look.is_news(&self.look) || since.as_secs() >= again_secs || is_from_the_future
    }
}

/// What was approved before a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// The key.
    pub key_fingerprint: Fingerprint,
    /// What was demanded.
    pub demand: Demand,
    /// What the license said, where somebody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
}

/// One deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Its id.
    pub release: String,
    /// When it began.
    pub at: Timestamp,
    /// The key that it shipped.
    pub key_fingerprint: Fingerprint,
    /// What was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// How its command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// What was seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthRecord>,
}

/// What has changed since a deploy: in the license, and in the key that deploys read.
///
/// Only what both sides state is compared. A later end is a renewal, and no difference.
pub fn since(deployed: &Deployed, key: Option<Fingerprint>, license: Option<&License>) -> Vec<Difference> {
    let approved = deployed.approved.as_ref().and_then(|approved| approved.license.as_ref());
    let both = approved.zip(license);
    let found = [
        other_key(deployed, key),
        both.and_then(|(then, now)| other_plan(then, now)),
        both.and_then(|(then, now)| features_gone(then, now)),
        both.and_then(|(then, now)| sooner_end(then, now)),
    ];
    found.into_iter().flatten().collect()
}

fn other_key(deployed: &Deployed, key: Option<Fingerprint>) -> Option<Difference> {
    let (shipped, key) = (deployed.key_fingerprint, key?);
    (shipped != key).then(|| Difference {
        field: "key".to_owned(),
        message: format!("key {shipped} was deployed, and deploys now read {key}"),
    })
}

fn other_plan(then: &License, now: &License) -> Option<Difference> {
    let (then, now) = (then.plan.as_ref()?, now.plan.as_ref()?);
    (then != now).then(|| Difference {
        field: "plan".to_owned(),
        message: format!("the plan was `{}` at the deploy, and is `{}`", clean(then), clean(now)),
    })
}

fn features_gone(then: &License, now: &License) -> Option<Difference> {
    let (then, now) = (then.features.as_ref()?, now.features.as_ref()?);
    let gone: Vec<String> = then.difference(now).map(|feature| format!("`{feature}`")).collect();
    (!gone.is_empty()).then(|| Difference {
        field: "features".to_owned(),
        message: format!("gone from the license since the deploy: {}", clean(&gone.join(", "))),
    })
}

fn sooner_end(then: &License, now: &License) -> Option<Difference> {
    let (then, now) = (then.expires_at?, now.expires_at?);
    (now.as_second() < then.as_second()).then(|| Difference {
        field: "expiresAt".to_owned(),
        message: format!("the license ended at {then:.0} at the deploy, and ends at {now:.0}"),
    })
}

/// The deploys that matter to a look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deploys {
    /// The last decision that let a deploy go.
    approved: Option<Approved>,
    /// The newest one, however it ended.
    last: Option<Box<Deployed>>,
    /// What runs, as far as the trail knows: the newest one that ended well and was not rolled back.
    running: Option<Box<Deployed>>,
    /// What ran before it.
    before: Option<Box<Deployed>>,
}

impl Deploys {
    /// The newest deploy, however it ended.
    pub fn last(&self) -> Option<&Deployed> {
        self.last.as_deref()
    }

    /// What should run: the newest deploy that ended well and was not rolled back.
    pub fn running(&self) -> Option<&Deployed> {
        self.running.as_deref()
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match &record.event {
            Event::Gate(gate) => self.decided(gate),
            Event::DeployStarted { release, key_fingerprint } => {
                let approved = self.approved.take().filter(|approved| approved.key_fingerprint == *key_fingerprint);
                let (release, at, key_fingerprint) = (release.clone(), record.at, *key_fingerprint);
                let deploy = Deployed { release, at, key_fingerprint, approved, ended: None, health: None };
                self.last = Some(Box::new(deploy));
            }
            Event::DeployEnded { release, ended } => {
                let Some(last) = self.last.as_mut().filter(|last| last.release == *release) else { return };
                last.ended = Some(ended.clone());
                if *ended == (Ended::Exited { code: 0 }) {
                    self.before = self.running.take();
                    self.running = self.last.clone();
                }
            }
            Event::Health { release, health, .. } => {
                let both = [&mut self.last, &mut self.running];
                for deploy in both.into_iter().flatten().filter(|deploy| deploy.release == *release) {
                    deploy.health = Some(*health);
                }
            }
            Event::RollbackEnded { release, ended: Ended::Exited { code: 0 } } => {
                if self.running.as_ref().is_some_and(|running| running.release == *release) {
                    self.running = self.before.take();
                }
            }
            Event::RollbackEnded { .. }
            | Event::Issued { .. }
            | Event::GateFailed { .. }
            | Event::Claim(_)
            | Event::Rotation(_)
            | Event::Alert(_)
            | Event::Look(_)
            | Event::Webhook(_)
            | Event::Checkpoint(_)
            | Event::NotKnown => {}
        }
    }

    fn decided(&mut self, gate: &GateRecord) {
        let goes = gate.verdict == Verdict::Go || gate.forced.is_some();
        self.approved = goes.then(|| Approved {
            key_fingerprint: gate.key_fingerprint,
            demand: gate.demand.clone(),
            license: gate.license.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec};

    use super::*;
    use crate::trail::tests::{fingerprint, go, record};

    fn deploys(events: Vec<Event>) -> Deploys {
        let mut deploys = Deploys::default();
        (1..).zip(events).for_each(|(secs, event)| deploys.apply(&record(secs, event)));
        deploys
    }

    fn started(release: &str) -> Event {
        Event::DeployStarted { release: release.to_owned(), key_fingerprint: fingerprint("TO-PRD-1") }
    }

    fn ended(release: &str, code: i32) -> Event {
        Event::DeployEnded { release: release.to_owned(), ended: Ended::Exited { code } }
    }

    fn rolled_back(release: &str, code: i32) -> Event {
        Event::RollbackEnded { release: release.to_owned(), ended: Ended::Exited { code } }
    }

    #[test]
    fn what_runs_is_the_newest_deploy_that_ended_well_and_was_not_rolled_back() {
        let first = || vec![Event::Gate(go()), started("r1"), ended("r1", 0)];
        let then = |more: Vec<Event>| [first(), more].concat();
        for (events, running, last) in [
            (vec![], None, None),
            (vec![started("r1")], None, Some("r1")),
            (first(), Some("r1"), Some("r1")),
            (then(vec![started("r2")]), Some("r1"), Some("r2")),
            (then(vec![started("r2"), ended("r2", 1)]), Some("r1"), Some("r2")),
            (then(vec![started("r2"), ended("r2", 0)]), Some("r2"), Some("r2")),
            (then(vec![started("r2"), ended("r2", 0), rolled_back("r2", 0)]), Some("r1"), Some("r2")),
            (then(vec![started("r2"), ended("r2", 0), rolled_back("r2", 1)]), Some("r2"), Some("r2")),
            (then(vec![started("r2"), ended("r2", 0), rolled_back("r1", 0)]), Some("r2"), Some("r2")),
        ] {
            let deploys = deploys(events.clone());
            let release = |deploy: Option<&Deployed>| deploy.map(|deploy| deploy.release.clone());
            let expected = [running, last].map(|release| release.map(ToOwned::to_owned));
            assert_eq!([release(deploys.running()), release(deploys.last())], expected, "{events:#?}");
        }
    }

    #[test]
    fn a_deploy_has_what_was_approved_for_its_key_right_before() {
        let other_key = GateRecord { key_fingerprint: fingerprint("TO-PRD-2"), ..go() };
        let refused = GateRecord { verdict: Verdict::Refused, ..go() };
        for (gates, is_approved) in [
            (vec![go()], true),
            (vec![refused.clone(), go()], true),
            (vec![go(), refused.clone()], false),
            (vec![GateRecord { forced: Some("fire".to_owned()), ..refused }], true),
            (vec![other_key], false),
            (vec![], false),
        ] {
            let events = gates.into_iter().map(Event::Gate).chain([started("r1"), ended("r1", 0)]).collect();
            let deploys = deploys(events);
            assert_eq!(deploys.running().unwrap().approved.is_some(), is_approved);
        }
    }

    #[test]
    fn health_belongs_to_its_release() {
        let health = |release: &str, health| Event::Health { release: release.to_owned(), health, differences: vec![] };
        let deploys = deploys(vec![
            started("r1"),
            ended("r1", 0),
            health("r1", HealthRecord::Proved),
            health("r0", HealthRecord::Unhealthy),
        ]);
        assert_eq!(deploys.running().unwrap().health, Some(HealthRecord::Proved));
    }

    #[test]
    fn what_has_changed_since_a_deploy_is_named() {
        let bare = || License::bare(Answer::Accepted { code: None });
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let features = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        let then = License {
            plan: Some("pro".to_owned()),
            features: features(&["analytics", "sso"]),
            expires_at: Some(at(900)),
            ..bare()
        };
        let deploys = deploys(vec![
            Event::Gate(GateRecord { license: Some(then.clone()), ..go() }),
            started("r1"),
            ended("r1", 0),
        ]);
        let running = deploys.running().unwrap();
        let key = |key: &str| Some(fingerprint(key));
        for (key, license, expected) in [
            (key("TO-PRD-1"), Some(then.clone()), &[][..]),
            (None, None, &[]),
            (key("TO-PRD-1"), Some(bare()), &[]),
            (key("TO-PRD-1"), Some(License { expires_at: Some(at(901)), ..then.clone() }), &[]),
            (key("TO-PRD-1"), Some(License { features: features(&["analytics", "sso", "more"]), ..then.clone() }), &[]),
            (key("TO-PRD-2"), None, &["key"]),
            (
                key("TO-PRD-2"),
                Some(License {
                    plan: Some("free".to_owned()),
                    features: features(&["sso"]),
                    expires_at: Some(at(899)),
                    ..then.clone()
                }),
                &["key", "plan", "features", "expiresAt"],
            ),
        ] {
            let found = since(running, key, license.as_ref());
            let fields: Vec<&str> = found.iter().map(|difference| difference.field.as_str()).collect();
            assert_eq!(fields, expected, "{license:?}");
        }
    }

    fn look() -> Look {
        Look {
            key_fingerprint: Some(fingerprint("TO-PRD-1")),
            license: Some(License::bare(Answer::Accepted { code: None })),
            verdict: Some(Verdict::Go),
            refused: None,
            trouble: None,
            health: Some(HealthRecord::Proved),
            differences: vec![],
        }
    }

    #[test]
    fn a_look_is_written_down_when_it_brings_something_new_and_once_a_day() {
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let looked = Looked { at: at(0), look: look() };
        let license = |license: License| Look { license: Some(license), ..look() };
        let bare = || License::bare(Answer::Accepted { code: None });
        for (look, is_news) in [
            (look(), false),
            (license(License { activations_used: Some(9), ..bare() }), false),
            (license(License { plan: Some("pro".to_owned()), ..bare() }), true),
            (license(License { expires_at: Some(at(9)), ..bare() }), true),
            (license(License { unreadable_end: Some("soon".to_owned()), ..bare() }), true),
            (license(License::bare(Answer::Refused { code: None, message: None })), true),
            (Look { health: Some(HealthRecord::Unhealthy), ..look() }, true),
            (Look { key_fingerprint: None, ..look() }, true),
            (Look { verdict: Some(Verdict::Refused), ..look() }, true),
        ] {
            assert_eq!(looked.asks_for_entry(&look, 3 * 86_400, at(60)), is_news, "{look:?}");
            assert!(looked.asks_for_entry(&look, 3 * 86_400, at(LOOK_AGAIN_SECS)));
            // Where a gap is short, so are the steps.
            assert!(looked.asks_for_entry(&look, 3600, at(1800)));
            assert_eq!(looked.asks_for_entry(&look, 3600, at(1799)), is_news);
        }
        let from_the_future = Looked { at: at(86_400), look: look() };
        assert!(from_the_future.asks_for_entry(&look(), 3 * 86_400, at(0)));
        assert!(!from_the_future.asks_for_entry(&look(), 3 * 86_400, at(86_400 - 300)), "no clock is that good");
    }
}
