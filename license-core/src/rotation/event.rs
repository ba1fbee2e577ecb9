//! What a rotation and a claim write into the trail. Every entry is durable before the step after it begins.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{chain::LineHash, key::Fingerprint, license::Deprecated};

/// The id of one rotation, random; also the idempotency key of its one call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RotationId(pub String);

/// The id of one run of the tool, random: who a claim belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// SHA-256 of a sealed blob in escrow, by which it is found again. The blob itself never enters the trail.
pub type BlobHash = LineHash;

/// An entry about the claim on an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ClaimEvent {
    /// A run has the environment for itself, or has it for longer.
    Claimed {
        /// The run.
        run: RunId,
        /// The first moment at which others may take it.
        until: Timestamp,
    },
    /// The run gave it back.
    Released {
        /// The run.
        run: RunId,
    },
    /// A person ended an expired claim.
    Broken {
        /// The run that had it.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Written by a newer version.
    #[serde(other)]
    NotKnown,
}

/// One step of one rotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RotationEvent {
    /// Which rotation.
    pub rotation_id: RotationId,
    /// What became true.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What became true about a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The call is about to be sent. From here on it may have been.
    Intent(IntentTerms),
    /// Nobody knows whether the authority rotated.
    OutcomeUnknown {
        /// What was seen.
        why: String,
        /// Before this moment a late execution is still possible, and nothing may be concluded.
        settle_until: Timestamp,
    },
    /// The call is about to be sent again, with the idempotency key that the authority is declared to honor.
    Repeating {
        /// Before this moment a late execution of it is still possible, and nothing may be concluded.
        settle_until: Timestamp,
    },
    /// The new key is sealed and durable: the point of no return.
    Received {
        /// The sealed answer.
        blob: BlobHash,
        /// Where it came from.
        source: BodySource,
    },
    /// The authority accepts the new key, and its license includes what the old one's did.
    Validated {
        /// The new key.
        new: Fingerprint,
        /// When the old key ends, where the authority said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ends_at: Option<Timestamp>,
    },
    /// The answer has no key, or the authority keeps refusing it. No store was touched.
    NewRejected {
        /// What was seen.
        why: String,
    },
    /// A store holds the key; it was read back where it can be read.
    StoreHolds {
        /// The store's name.
        store: String,
        /// Which of the two keys.
        key: Which,
    },
    /// A store could not be given its key. Both keys work until the grace ends.
    StoreFailed {
        /// The store's name.
        store: String,
        /// What was seen.
        why: String,
    },
    /// Every store holds the new key.
    Committed,
    /// The authority did not rotate.
    Aborted {
        /// How that is known.
        why: NotRotated,
    },
    /// The authority rotated, and the new key cannot be had.
    KeyLost {
        /// Until then nothing is broken.
        deadline: Timestamp,
        /// The sealed answer, where it could only be printed: whoever holds the identity can bring it back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        printed: Option<BlobHash>,
    },
    /// A person wants the old key back in the stores.
    RollbackStarted,
    /// Every store holds the old key, which will die when the grace ends.
    RolledBack,
    /// A person wants the new key in the stores after all.
    RolledForward,
    /// What runs uses the new key.
    Adopted {
        /// How that is known.
        proof: Adoption,
    },
    /// A person wants the next rotation before the grace of this one is over: the old key may die of it.
    OverlapWaived,
    /// The grace is over, the old key is refused, the new one accepted. The escrow may be emptied.
    Closed {
        /// Whether what runs was seen with the new key.
        adoption: Adoption,
    },
    /// Written by a newer version: this one must not go on with the rotation.
    #[serde(other)]
    NotKnown,
}

/// What a rotation sets out to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IntentTerms {
    /// One more than the number of intents before it in this trail.
    pub epoch: u64,
    /// The key that is rotated away.
    pub old: Fingerprint,
    /// The old key in escrow; closing and rolling back need it.
    pub old_blob: BlobHash,
    /// What the authority said about the old key before the call.
    pub snapshot: Snapshot,
    /// For how many days the old key is asked to work on.
    pub grace_days: u32,
    /// No call under this intent is under way at the client after this moment.
    pub call_deadline: Timestamp,
    /// The stores, least risk first.
    pub stores: Vec<String>,
}

/// What reconciling compares with: the old key's facts before the call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The license's id.
    pub license_id: Option<String>,
    /// The status, in the authority's word.
    pub status: Option<String>,
    /// The expiry.
    pub expires_at: Option<Timestamp>,
    /// The features, where they were stated: the new key must have them too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<BTreeSet<String>>,
    /// The licenses that the authority's list showed for this license or domain; absent where it could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Vec<ListedBefore>>,
    /// Whether the answer was marked as deprecated already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Deprecated>,
}

/// An element of the authority's list before the call. What it showed of the key is kept as a hash: also a masked key
/// has characters of the key in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListedBefore {
    /// The license's id.
    pub license_id: String,
    /// SHA-256 of what was shown of the key; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<LineHash>,
}

/// Where a sealed body came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodySource {
    /// The call was answered.
    Answer,
    /// The authority listed the new key.
    Listed,
    /// It was already in escrow: the run that sealed it did not live to say so.
    Escrow,
    /// A person brought the key from the authority's portal.
    Portal,
}

/// Which of a rotation's two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The key that is rotated away.
    Old,
    /// The key that takes its place.
    New,
}

/// How it is known that the authority did not rotate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum NotRotated {
    /// No byte of the call left this machine, in any attempt.
    NotSent,
    /// The authority refused it.
    Refused {
        /// The authority's code or status, cleaned.
        code: String,
    },
    /// After settling, an authority that shows rotations shows none.
    Reconciled,
    /// A person looked and said so.
    Confirmed,
}

/// How it is known that what runs uses the new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// Health reported the new key's fingerprint.
    Proved,
    /// A deploy shipped the new key and ended with 0.
    Shipped,
    /// It is not known.
    Unproven,
}

impl Fact {
    /// The key that the fact introduces: the new one where it is validated, the old one in the intent.
    pub fn key_fingerprint(&self) -> Option<&Fingerprint> {
        match self {
            Self::Intent(terms) => Some(&terms.old),
            Self::Validated { new, .. } => Some(new),
            Self::OutcomeUnknown { .. }
            | Self::Repeating { .. }
            | Self::Received { .. }
            | Self::NewRejected { .. }
            | Self::StoreHolds { .. }
            | Self::StoreFailed { .. }
            | Self::Committed
            | Self::Aborted { .. }
            | Self::KeyLost { .. }
            | Self::RollbackStarted
            | Self::RolledBack
            | Self::RolledForward
            | Self::Adopted { .. }
            | Self::OverlapWaived
            | Self::Closed { .. }
            | Self::NotKnown => None,
        }
    }
}

/// Every entry, in every shape that its fields can take: for the tests that write and read them.
#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::trail::Event> {
    use alloc::{borrow::ToOwned, vec};

    use crate::{key::LicenseKey, trail::Event};

    let at = |secs| Timestamp::from_second(secs).unwrap();
    let old = LicenseKey::parse("TO-PRD-1").unwrap().fingerprint();
    let (run, why, blob) = (RunId("run-1".to_owned()), || "timeout".to_owned(), BlobHash::of(b"blob"));
    let terms = IntentTerms {
        epoch: 1,
        old,
        old_blob: blob,
        snapshot: Snapshot {
            license_id: Some("lic_1".to_owned()),
            status: None,
            expires_at: Some(at(9)),
            features: Some(BTreeSet::from(["sso".to_owned()])),
            listed: Some(vec![ListedBefore { license_id: "lic_1".to_owned(), shown: Some(blob) }]),
            deprecated: Some(Deprecated::Since(at(5))),
        },
        grace_days: 7,
        call_deadline: at(30),
        stores: vec!["github".to_owned()],
    };
    let mut facts = vec![
        Fact::Intent(terms),
        Fact::OutcomeUnknown { why: why(), settle_until: at(90) },
        Fact::Repeating { settle_until: at(90) },
        Fact::Validated { new: old, grace_ends_at: None },
        Fact::Validated { new: old, grace_ends_at: Some(at(99)) },
        Fact::NewRejected { why: why() },
        Fact::StoreHolds { store: "github".to_owned(), key: Which::New },
        Fact::StoreHolds { store: "github".to_owned(), key: Which::Old },
        Fact::StoreFailed { store: "github".to_owned(), why: why() },
        Fact::Committed,
        Fact::KeyLost { deadline: at(99), printed: None },
        Fact::KeyLost { deadline: at(99), printed: Some(blob) },
        Fact::OverlapWaived,
        Fact::RollbackStarted,
        Fact::RolledBack,
        Fact::RolledForward,
        Fact::NotKnown,
    ];
    let sources = [BodySource::Answer, BodySource::Listed, BodySource::Escrow, BodySource::Portal];
    facts.extend(sources.map(|source| Fact::Received { blob, source }));
    let refused = NotRotated::Refused { code: "quota".to_owned() };
    let reasons = [NotRotated::NotSent, refused, NotRotated::Reconciled, NotRotated::Confirmed];
    facts.extend(reasons.map(|why| Fact::Aborted { why }));
    let adoptions = [Adoption::Proved, Adoption::Shipped, Adoption::Unproven];
    facts.extend(adoptions.map(|proof| Fact::Adopted { proof }));
    facts.extend(adoptions.map(|adoption| Fact::Closed { adoption }));
    let claims = [
        ClaimEvent::Claimed { run: run.clone(), until: at(9) },
        ClaimEvent::Released { run: run.clone() },
        ClaimEvent::Broken { run, reason: why() },
        ClaimEvent::NotKnown,
    ];
    let rotation = |fact| Event::Rotation(RotationEvent { rotation_id: RotationId("rot-1".to_owned()), fact });
    claims.map(Event::Claim).into_iter().chain(facts.into_iter().map(rotation)).collect()
}
