//! Rotation: a key is replaced with no moment in which a store holds a dead one, and without losing the new one silently.
//!
//! The authority's call is not idempotent and shows the new key once, so every fact is an entry of the trail before
//! the step after it begins. Here are the entries, where replaying them leaves a rotation ([`State`]), what a run does
//! next ([`next`]), what the call's outcome means ([`classify`], [`conclude`]), and the arithmetic of claims.

mod claim;
pub(crate) mod event;
mod grace;
mod outcome;
mod state;
mod step;

#[cfg(test)]
mod model_tests;

pub use claim::{Bounds, Claim, RETRY_AFTER_SECS_MAX};
pub use event::{
    Adoption, BlobHash, BodySource, ClaimEvent, Fact, IntentTerms, ListedBefore, NotRotated, RotationEvent, RotationId,
    RunId, Snapshot, Which,
};
pub use grace::{GRACE_SHIP_SECS_MIN, GRACE_WARN_HOURS, GraceLeft, Shipping, adopted, not_adopted, shipping};
pub use outcome::{
    Against, Answered, CallClass, CallOutcome, Conclusion, Evidence, Listed, OldKey, Part, RotationVisible, against,
    classify, conclude, old_key,
};
pub use state::{Before, Grace, Keys, Last, Misfit, Open, Phase, State};
pub use step::{
    BeforeWrite, CALL_TRIES_MAX, CallEnd, End, Idempotency, Liveness, NewKey, NotCurrent, Overlap,
    ROLLBACK_MARGIN_SECS, Reconciled, Refusal, Run, Shown, Step, Stopping, Wish, after_call, after_close,
    after_confirm, after_look, after_reconcile, after_repeat, after_settle, after_validation, before_write, intent,
    lost, next, not_current, received, stopping,
};
