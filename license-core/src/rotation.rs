//! Rotation: a key is replaced with no moment in which a store holds a dead one, and without losing the new one silently.

mod claim;
pub(crate) mod event;
mod outcome;

pub use claim::{Bounds, Claim};
pub use event::{
    Adoption, BlobHash, BodySource, ClaimEvent, Fact, IntentTerms, NotRotated, RotationEvent, RotationId, RunId,
    Snapshot, Which,
};
pub use outcome::{CallClass, CallOutcome, Conclusion, Evidence, Listed, OldKey, RotationVisible, classify, conclude};
