//! Rotation: a key is replaced with no moment in which a store holds a dead one, and without losing the new one silently.
//!
//! The authority's call is not idempotent and shows the new key once, so every fact is an entry of the trail before
//! the step after it begins. Here are the entries, where replaying them leaves a rotation ([`State`]), what the call's
//! outcome means ([`classify`], [`conclude`]), and the arithmetic of claims. What is to be done next is not decided here
//! yet, and nothing performs it.

mod claim;
pub(crate) mod event;
mod outcome;
mod state;

pub use claim::{Bounds, Claim};
pub use event::{
    Adoption, BlobHash, BodySource, ClaimEvent, Fact, IntentTerms, NotRotated, RotationEvent, RotationId, RunId,
    Snapshot, Which,
};
pub use outcome::{CallClass, CallOutcome, Conclusion, Evidence, Listed, OldKey, RotationVisible, classify, conclude};
pub use state::{Keys, Last, Misfit, Open, Phase, State};
