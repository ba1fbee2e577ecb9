//! One file per command, named after it.

pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod check;
pub(crate) mod deploy;
pub(crate) mod escrow;
pub(crate) mod hook;
pub(crate) mod leaks;
pub(crate) mod lock;
pub(crate) mod pre_push;
pub(crate) mod rotate;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod webhook;

use crate::{console::Unread, context::Context, failure::Failure, signals::Signals};

/// Watches the signals for a command. After one, nobody who stopped reading what it says keeps it
/// from its end, and no remote that does not answer.
pub(crate) fn signals(ctx: &Context) -> Result<Signals, Failure> {
    // A second watch would know nothing of what came before it.
    if let Some(watched) = ctx.signals.get() {
        return Ok(watched.clone());
    }
    let signals = Signals::watch().map_err(|source| Failure::System { what: "signals cannot be watched", source })?;
    ctx.console.when_unread(Unread::WaitsUntil(signals.clone()));
    ctx.signals.set(signals.clone()).ok();
    Ok(signals)
}
