//! The trail: what was decided and done in one environment, by whom, and when.
//!
//! State is what replaying the entries gives; there is no second file to disagree with. Keys never enter the
//! trail, only their fingerprints.

use alloc::{string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{demand::Demand, finding::Finding, gate::Verdict, health::Difference, key::Fingerprint, license::License};

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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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

/// The newest decision on which a deploy may rest when the authority cannot be asked: same key, same demand,
/// answered by the authority, and nothing refused since. Entries are given oldest first.
pub fn last_good<'a>(
    _records: impl DoubleEndedIterator<Item = &'a Record>,
    _key: &Fingerprint,
    _demand: &Demand,
) -> Option<(&'a GateRecord, Timestamp)> {
    unimplemented!()
}

/// When a key was first seen in the trail.
pub fn first_seen<'a>(_records: impl Iterator<Item = &'a Record>, _key: &Fingerprint) -> Option<Timestamp> {
    unimplemented!()
}

/// Whether the newest answer of the authority about a key was a refusal. Entries are given oldest first.
pub fn refused_last<'a>(records: impl DoubleEndedIterator<Item = &'a Record>, key: &Fingerprint) -> bool {
    let answered = |record: &'a Record| match &record.event {
        Event::Gate(gate) if gate.key_fingerprint == *key && gate.source == Source::Authority => Some(gate.verdict),
        Event::Gate(_)
        | Event::Issued { .. }
        | Event::GateFailed { .. }
        | Event::DeployStarted { .. }
        | Event::DeployEnded { .. }
        | Event::Health { .. }
        | Event::RollbackEnded { .. }
        | Event::NotKnown => None,
    };
    records.rev().find_map(answered) == Some(Verdict::Refused)
}
