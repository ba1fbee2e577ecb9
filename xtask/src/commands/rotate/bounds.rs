//! How long the steps of a rotation take at most. Every one of them is kept as a deadline.

use license_core::rotation::Bounds;

use crate::{context::Context, failpoint};

/// The one call, everything included.
const CALL_SECS: u64 = 25;
/// How long the authority may need to accept the new key: answers are cached at its edge.
const ACCEPT_SECS: u64 = 60;

/// The bounds of this run.
pub(super) fn of(ctx: &Context) -> Bounds {
    let call_secs = failpoint::call_secs(ctx).unwrap_or(CALL_SECS);
    let or_wanted = |secs| failpoint::step_secs(ctx).unwrap_or(secs);
    Bounds {
        preflight_secs: or_wanted(300),
        call_secs,
        settle_secs: failpoint::settle_secs(ctx).unwrap_or_else(|| Bounds::settle_secs_min(call_secs)),
        look_secs: or_wanted(120),
        validate_secs: or_wanted(2 * ACCEPT_SECS),
        store_secs: or_wanted(120),
    }
}

/// How long the authority may need to accept the new key, in this run.
pub(super) fn accept_secs(ctx: &Context) -> u64 {
    failpoint::accept_secs(ctx).unwrap_or(ACCEPT_SECS)
}
