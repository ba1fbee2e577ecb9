//! Points at which a test kills the process, and times that a test shortens: in the `failpoints` build only, which no
//! default build is. Without the feature nothing here does anything.

use crate::context::Context;
#[cfg(any(feature = "failpoints", feature = "serve"))]
use crate::vars::Vars;

/// Where the process dies, in the `failpoints` build: `NAME`, or `NAME:N` for the N-th time that it comes by.
#[cfg(feature = "failpoints")]
const DIES_AT: &str = "LICENSE_FAILPOINT";

/// Where the process panics, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const PANICS_AT: &str = "LICENSE_FAILPOINT_PANIC";

/// Where the process gets SIGINT, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const SIGNALLED_AT: &str = "LICENSE_FAILPOINT_SIGINT";

/// Where the process stands still until somebody lets it go on, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const STANDS_STILL_AT: &str = "LICENSE_FAILPOINT_STOP";

/// How long a late execution is waited for, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const SETTLE_SECS: &str = "LICENSE_FAILPOINT_SETTLE_SECS";

/// How long the one call may take, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const CALL_SECS: &str = "LICENSE_FAILPOINT_CALL_SECS";

/// How long the authority may need to accept the new key, in the `failpoints` build.
#[cfg(feature = "failpoints")]
const ACCEPT_SECS: &str = "LICENSE_FAILPOINT_ACCEPT_SECS";

/// How long every other step may take, in the `failpoints` build: the claim lasts as long as all of them.
#[cfg(feature = "failpoints")]
const STEP_SECS: &str = "LICENSE_FAILPOINT_STEP_SECS";

/// How long to wait before a sink is told again of a webhook, in the `failpoints` build.
#[cfg(all(feature = "failpoints", feature = "serve"))]
const FORWARD_SECS: &str = "LICENSE_FAILPOINT_FORWARD_SECS";

/// The process comes by.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(ctx: &Context, name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    if ctx.vars.text(STANDS_STILL_AT) == Some(name) {
        let _ = kill_process(getpid(), Signal::STOP);
    }
    if ctx.vars.text(SIGNALLED_AT) == Some(name) {
        let _ = kill_process(getpid(), Signal::INT);
        // It comes in another thread.
        let _ = ctx.signals.get().map(|signals| signals.sleep(std::time::Duration::from_secs(60)));
    }
    passed(&ctx.vars, name);
}

/// The process comes by, where there is no context.
#[cfg(feature = "failpoints")]
pub(crate) fn passed(vars: &Vars, name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    assert!(vars.text(PANICS_AT) != Some(name), "a test wants a panic at `{name}`");
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Some(wanted) = vars.text(DIES_AT) else { return };
    let (wanted, nth) = wanted.split_once(':').map_or((wanted, 1), |(name, n)| (name, n.parse().unwrap_or(1)));
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Nothing is to be seen here.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reached(_: &Context, _: &str) {}

/// Nothing is to be seen here.
#[cfg(all(not(feature = "failpoints"), feature = "serve"))]
pub(crate) fn passed(_: &Vars, _: &str) {}

/// The time to settle that a test wants, in seconds.
#[cfg(feature = "failpoints")]
pub(crate) fn settle_secs(ctx: &Context) -> Option<u64> {
    ctx.vars.text(SETTLE_SECS)?.parse().ok()
}

/// The bound of the call that a test wants, in seconds.
#[cfg(feature = "failpoints")]
pub(crate) fn call_secs(ctx: &Context) -> Option<u64> {
    ctx.vars.text(CALL_SECS)?.parse().ok()
}

/// The time for the new key to be accepted that a test wants, in seconds.
#[cfg(feature = "failpoints")]
pub(crate) fn accept_secs(ctx: &Context) -> Option<u64> {
    ctx.vars.text(ACCEPT_SECS)?.parse().ok()
}

/// The bound of every other step that a test wants, in seconds.
#[cfg(feature = "failpoints")]
pub(crate) fn step_secs(ctx: &Context) -> Option<u64> {
    ctx.vars.text(STEP_SECS)?.parse().ok()
}

/// The pause before a sink is told again of a webhook that a test wants, in seconds.
#[cfg(all(feature = "failpoints", feature = "serve"))]
pub(crate) fn forward_secs(ctx: &Context) -> Option<u64> {
    ctx.vars.text(FORWARD_SECS)?.parse().ok()
}

/// No test wants anything.
#[cfg(all(not(feature = "failpoints"), feature = "serve"))]
pub(crate) fn forward_secs(_: &Context) -> Option<u64> {
    None
}

/// No test wants anything.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn step_secs(_: &Context) -> Option<u64> {
    None
}

/// No test wants anything.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn accept_secs(_: &Context) -> Option<u64> {
    None
}

/// No test wants anything.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn call_secs(_: &Context) -> Option<u64> {
    None
}

/// No test wants anything.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn settle_secs(_: &Context) -> Option<u64> {
    None
}
