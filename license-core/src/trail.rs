//! The trail: what was decided and done in one environment, by whom, and when.
//!
//! State is what replaying the entries gives; there is no second file to disagree with. Keys never enter the
//! trail, only their fingerprints.

use alloc::{string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    alert::AlertEvent,
    demand::Demand,
    finding::Finding,
    gate::Verdict,
    health::Difference,
    key::Fingerprint,
    license::License,
    rotation::{ClaimEvent, RotationEvent},
    webhook::WebhookRecord,
};

mod folded;
mod look;

pub use folded::{CHECKPOINT_ENTRIES, Checkpoint, Folded, GOODS_MAX, KEYS_MAX};
pub use look::{Approved, Deployed, Deploys, LOOK_AGAIN_SECS, Look, Looked, since};

/// What one entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, by the local clock.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// In which environment.
    pub environment: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Who did it, as far as the machine tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// The CI system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    /// The address of the CI run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// The commit that is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The machine's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A development key was issued by the embedded authority, because there was none.
    Issued {
        /// The license's id.
        license_id: String,
        /// The key.
        key_fingerprint: Fingerprint,
    },
    /// The gate decided about a deploy.
    Gate(GateRecord),
    /// The gate could not decide: the token was refused, the authority could not be asked, and so on.
    GateFailed {
        /// The failure's stable code.
        code: String,
        /// A sentence for people.
        message: String,
        /// The key, if it could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        key_fingerprint: Option<Fingerprint>,
    },
    /// The deploy command is about to start.
    DeployStarted {
        /// The id of this deploy.
        release: String,
        /// The key that it is given.
        key_fingerprint: Fingerprint,
    },
    /// The deploy command ended.
    DeployEnded {
        /// The id of this deploy.
        release: String,
        /// How it ended.
        ended: Ended,
    },
    /// What runs was looked at.
    Health {
        /// The id of this deploy.
        release: String,
        /// What was seen.
        health: HealthRecord,
        /// The differences, when it is unhealthy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
    },
    /// The rollback command ended.
    RollbackEnded {
        /// The id of the deploy that was rolled back.
        release: String,
        /// How it ended.
        ended: Ended,
    },
    /// Somebody took the environment for themselves, or gave it back.
    Claim(ClaimEvent),
    /// A rotation went one step further.
    Rotation(RotationEvent),
    /// Somebody is told of something, or was.
    Alert(AlertEvent),
    /// The watch looked at the environment, and saw something new, or looks once a day.
    Look(Look),
    /// The authority told of something.
    Webhook(WebhookRecord),
    /// What the entries before this one come to, for readers that need no more than that.
    Checkpoint(Checkpoint),
    /// A kind that a newer version wrote. It counts for the chain and for nothing else.
    #[serde(other)]
    NotKnown,
}

/// A decision of the gate, with everything that it was based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The decision.
    pub verdict: Verdict,
    /// What every check found.
    pub checks: Vec<Finding>,
    /// The key that was judged.
    pub key_fingerprint: Fingerprint,
    /// What was demanded.
    pub demand: Demand,
    /// What the license says; absent when nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// Where the license's facts come from.
    pub source: Source,
    /// Why the decision was overridden, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
    /// Why the authority could not be asked, when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// Why an authority could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// A stable code, such as `unreachable`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// Where the facts of a decision come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The authority answered.
    Authority,
    /// The authority could not be asked; an earlier answer in the trail was young enough.
    Cached,
    /// The authority could not be asked; a signed offline token was accepted.
    OfflineToken,
    /// Nobody was asked.
    Nobody,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    /// By itself, with this exit code.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// By a signal that we did not send.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It ran past its deadline and was stopped.
    TimedOut {
        /// The deadline in seconds.
        after_secs: u64,
    },
    /// We were interrupted or terminated, and passed the signal on.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// It could not be started.
    NotStarted {
        /// What the operating system said.
        why: String,
    },
}

/// What the look at the running application came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthRecord {
    /// Healthy, and proved to be this deploy.
    Proved,
    /// Healthy, and nothing proves that it is this deploy.
    NotProved,
    /// It answered, and something differs.
    Unhealthy,
    /// It gave no answer that could be read.
    Unreachable,
    /// We were interrupted before it was healthy.
    NotAwaited,
}

/// The kinds of entries that this version knows, as their word stands in a line.
pub const KINDS: [&str; 13] = [
    "issued",
    "gate",
    "gate_failed",
    "deploy_started",
    "deploy_ended",
    "health",
    "rollback_ended",
    "claim",
    "rotation",
    "alert",
    "look",
    "webhook",
    "checkpoint",
];

impl GateRecord {
    /// The license, where the authority itself said what let this deploy go.
    fn good_license(&self) -> Option<&License> {
        let good = self.verdict == Verdict::Go && self.source == Source::Authority && self.forced.is_none();
        self.license.as_ref().filter(|_| good)
    }
}

impl Event {
    /// The key that the event is about, where it names one.
    pub fn key_fingerprint(&self) -> Option<&Fingerprint> {
        match self {
            Self::Issued { key_fingerprint, .. } | Self::DeployStarted { key_fingerprint, .. } => Some(key_fingerprint),
            Self::Gate(gate) => Some(&gate.key_fingerprint),
            Self::GateFailed { key_fingerprint, .. } => key_fingerprint.as_ref(),
            Self::Rotation(rotation) => rotation.fact.key_fingerprint(),
            Self::Look(look) => look.key_fingerprint.as_ref(),
            Self::DeployEnded { .. }
            | Self::Health { .. }
            | Self::RollbackEnded { .. }
            | Self::Claim(_)
            | Self::Alert(_)
            | Self::Webhook(_)
            | Self::Checkpoint(_)
            | Self::NotKnown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, collections::BTreeSet, format, vec};

    use super::*;
    use crate::{
        alert::Refusal,
        chain::{Head, next_line, read_line},
        domain::Domain,
        finding::{Check, Outcome, Reason},
        key::{KeyClass, LicenseKey},
        license::{ActivationLimit, Answer, LeftOut, Status},
    };

    pub(super) fn fingerprint(key: &str) -> Fingerprint {
        LicenseKey::parse(key).unwrap().fingerprint()
    }

    pub(super) fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    pub(super) fn demand() -> Demand {
        Demand {
            domain: Domain::parse("app.com").unwrap(),
            features: BTreeSet::from(["sso".to_owned()]),
            activations: Some(2),
            key_class: Some(KeyClass::Prd),
            min_days_left: 3,
            key_age_max_days: None,
        }
    }

    pub(super) fn go() -> GateRecord {
        GateRecord {
            verdict: Verdict::Go,
            checks: vec![Finding::new(Check::Validity, Outcome::Pass, Reason::Met, "the authority accepts the key")],
            key_fingerprint: fingerprint("TO-PRD-1"),
            demand: demand(),
            license: Some(License::bare(Answer::Accepted { code: None })),
            source: Source::Authority,
            forced: None,
            trouble: None,
        }
    }

    pub(super) fn record(secs: i64, event: Event) -> Record {
        let actor = Actor { host: Some("build-7".to_owned()), ..Actor::default() };
        Record { at: at(secs), actor, environment: "production".to_owned(), event }
    }

    fn full_license() -> License {
        License {
            id: Some("lic_1".to_owned()),
            status: Some(Status::Other("paused".to_owned())),
            plan: Some("pro".to_owned()),
            issued_at: Some(at(1)),
            not_before: Some(at(2)),
            expires_at: Some(at(3)),
            domains: Some(vec!["app.com".to_owned()]),
            domains_left_out: Some(LeftOut::Unreadable("5".to_owned())),
            features: Some(BTreeSet::from(["sso".to_owned()])),
            activations_used: Some(u64::MAX),
            activation_limit: Some(ActivationLimit::AtMost(u64::MAX)),
            grace_ends_at: Some(at(4)),
            unreadable_end: Some("soon".to_owned()),
            ..License::bare(Answer::Refused { code: Some("NO".to_owned()), message: Some("no".to_owned()) })
        }
    }

    /// Every event, and every shape that its fields can take.
    pub(super) fn every_event() -> Vec<Event> {
        let release = || "r1".to_owned();
        let key_fingerprint = fingerprint("TO-PRD-1");
        let difference = Difference { field: "valid".to_owned(), message: "no".to_owned() };
        let ends = [
            Ended::Exited { code: -1 },
            Ended::Killed { signal: 9 },
            Ended::TimedOut { after_secs: 1800 },
            Ended::Interrupted { signal: 15 },
            Ended::NotStarted { why: "permission denied".to_owned() },
        ];
        let looks = [HealthRecord::Proved, HealthRecord::NotProved, HealthRecord::Unhealthy, HealthRecord::Unreachable];
        let mut events = vec![
            Event::Issued { license_id: "lic_1".to_owned(), key_fingerprint },
            Event::Gate(go()),
            Event::Gate(GateRecord { license: Some(full_license()), verdict: Verdict::Refused, ..go() }),
            Event::Gate(GateRecord {
                license: None,
                source: Source::Nobody,
                verdict: Verdict::Unknown,
                forced: Some("the authority is down".to_owned()),
                ..go()
            }),
            Event::Gate(GateRecord { source: Source::Cached, ..go() }),
            Event::Gate(GateRecord { source: Source::OfflineToken, ..go() }),
            Event::GateFailed { code: "unreachable".to_owned(), message: "no".to_owned(), key_fingerprint: None },
            Event::GateFailed {
                code: "unreachable".to_owned(),
                message: "no".to_owned(),
                key_fingerprint: Some(key_fingerprint),
            },
            Event::DeployStarted { release: release(), key_fingerprint },
            Event::NotKnown,
            Event::Checkpoint(Checkpoint::NotKnown),
        ];
        let folded = Folded::replay(&[record(1, Event::Gate(go()))]).unwrap();
        events.extend(folded.checkpoint());
        events.extend(crate::rotation::event::samples());
        events.extend(crate::alert::samples());
        events.extend(crate::webhook::samples().into_iter().map(Event::Webhook));
        let refused = Refusal { reason: "revoked".to_owned(), since: at(3) };
        let look = Look {
            key_fingerprint: Some(key_fingerprint),
            license: Some(full_license()),
            verdict: Some(Verdict::Refused),
            refused: Some(refused),
            trouble: None,
            health: Some(HealthRecord::Unhealthy),
            differences: vec![difference.clone()],
        };
        let trouble = Trouble { code: "unreachable".to_owned(), message: "no".to_owned() };
        let blind = Look {
            key_fingerprint: None,
            license: None,
            verdict: None,
            refused: None,
            trouble: Some(trouble),
            health: None,
            differences: vec![],
        };
        events.extend([look, blind].map(Event::Look));
        events.extend(ends.clone().map(|ended| Event::DeployEnded { release: release(), ended }));
        events.extend(ends.map(|ended| Event::RollbackEnded { release: release(), ended }));
        events.extend(looks.map(|health| Event::Health { release: release(), health, differences: vec![] }));
        events.push(Event::Health {
            release: release(),
            health: HealthRecord::Unhealthy,
            differences: vec![difference.clone(), difference],
        });
        events
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let mut head = Head::EMPTY;
        for (secs, event) in (1..).zip(every_event()) {
            let written = record(secs, event);
            let (line, next) = next_line(&head, &written).unwrap();
            let (entry, read_head) = read_line::<Record>(&head, line.as_bytes()).unwrap();
            assert_eq!(entry.body, written, "{line}");
            assert_eq!(read_head, next);
            head = next;
        }
    }

    #[test]
    fn every_kind_is_listed() {
        let word = |event: Event| match serde_json::to_value(record(1, event)).unwrap()["kind"].as_str() {
            Some(word) => word.to_owned(),
            None => unreachable!("every event has a kind"),
        };
        let written: BTreeSet<String> = every_event().into_iter().map(word).collect();
        let listed: BTreeSet<String> = KINDS.into_iter().chain(["not_known"]).map(ToOwned::to_owned).collect();
        assert_eq!(written, listed);
    }

    #[test]
    fn a_line_of_the_trail_has_this_form() {
        let (line, _) = next_line(&Head::EMPTY, &record(1_900_000_000, Event::Gate(go()))).unwrap();
        let expected = concat!(
            r#"{"v":1,"seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
            r#""at":"2030-03-17T17:46:40Z","actor":{"host":"build-7"},"environment":"production","#,
            r#""kind":"gate","verdict":"go","#,
            r#""checks":[{"code":"validity","outcome":"pass","reason":"met","message":"the authority accepts the key"}],"#,
            r#""key_fingerprint":"KEY","#,
            r#""demand":{"domain":"app.com","features":["sso"],"activations":2,"key_class":"PRD","#,
            r#""min_days_left":3,"key_age_max_days":null},"#,
            r#""license":{"answer":{"accepted":{"code":null}},"id":null,"status":null,"plan":null,"issued_at":null,"#,
            r#""not_before":null,"expires_at":null,"domains":null,"features":null,"activations_used":null,"#,
            r#""activation_limit":null,"grace_ends_at":null},"source":"authority"}"#,
        );
        assert_eq!(line, expected.replace("KEY", &format!("{}", fingerprint("TO-PRD-1"))));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_read_as_not_known() {
        let body = r#""at":"2030-03-17T17:46:40Z","actor":{"moon":"full"},"environment":"production","kind":"rotated","to":{"a":[1]}"#;
        let line = format!(r#"{{"v":1,"seq":1,"prev":"{}",{body}}}"#, "0".repeat(64));
        let (entry, _) = read_line::<Record>(&Head::EMPTY, line.as_bytes()).unwrap();
        assert_eq!(entry.body.event, Event::NotKnown);
        assert_eq!(entry.body.actor, Actor::default());
        assert_eq!(entry.body.at, at(1_900_000_000));
    }
}
