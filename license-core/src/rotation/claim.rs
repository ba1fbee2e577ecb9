//! Claims: who has an environment, and for how long.
//!
//! The lock is the trail's compare-and-append: of two racers one append wins, and the other reads the winner's
//! claim. A lease alone is not enough, because a paused holder outlives it; hence the self-check right before
//! anything that cannot be taken back.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    rotation::event::{ClaimEvent, RunId},
    trail::Actor,
};

/// The longest wait that is granted to an authority that asks for one, in seconds: what it asks for proves nothing, so
/// that a rotation is not kept from its end by it.
pub const RETRY_AFTER_SECS_MAX: u64 = 5 * 60;

/// A claim that nobody gave back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The run that has it.
    pub run: RunId,
    /// Who started the run.
    pub actor: Actor,
    /// Since when.
    pub since: Timestamp,
    /// The first moment at which others may take it.
    pub until: Timestamp,
}

impl Claim {
    /// Whether this run has the environment now, and for this many seconds more.
    pub fn lasts(&self, run: &RunId, now: Timestamp, secs: u64) -> bool {
        self.run == *run && later(now, secs) < self.until
    }

    /// Whether somebody other than this run has it.
    pub fn keeps_out(&self, run: &RunId, now: Timestamp) -> bool {
        self.run != *run && now < self.until
    }
}

/// The claim after an entry about it.
pub(super) fn after(claim: Option<Claim>, event: &ClaimEvent, actor: &Actor, at: Timestamp) -> Option<Claim> {
    match event {
        ClaimEvent::Claimed { run, until } => {
            let since = claim.filter(|held| held.run == *run).map_or(at, |held| held.since);
            Some(Claim { run: run.clone(), actor: actor.clone(), since, until: *until })
        }
        ClaimEvent::Released { run } | ClaimEvent::Broken { run, .. } => claim.filter(|held| held.run != *run),
        ClaimEvent::NotKnown => claim,
    }
}

/// How long the steps take at most, in seconds. The shell keeps every one of them as a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Preflight and sealing the old key.
    pub preflight_secs: u64,
    /// The one call, from the self-check to its timeout.
    pub call_secs: u64,
    /// How long after the call's timeout the authority may still execute it: at least [`Bounds::settle_secs_min`].
    pub settle_secs: u64,
    /// Looking into the escrow, reconciling, sealing.
    pub look_secs: u64,
    /// Validating the new key with backoff.
    pub validate_secs: u64,
    /// Reading, writing and reading back one store.
    pub store_secs: u64,
}

impl Bounds {
    /// The least time to settle: one minute, or twice the call's timeout where that is longer.
    pub fn settle_secs_min(call_secs: u64) -> u64 {
        call_secs.saturating_mul(2).max(60)
    }

    /// How long after the intent its call may still be under way at the client: room for tries that never left.
    pub fn call_window_secs(&self) -> u64 {
        self.call_secs.saturating_mul(2)
    }

    /// The longest time that is waited before anything is concluded, whatever the trail says: another clock may have been
    /// ahead. Whoever waits so long from now has waited for every late execution; and the claim lasts for it, and for a
    /// look at what came of it.
    pub fn wait_secs_max(&self) -> u64 {
        let to_settle = self.call_window_secs().saturating_add(self.settle_secs);
        let asked_for = self.call_window_secs().saturating_add(RETRY_AFTER_SECS_MAX);
        let claimed = self.whole_secs(0).saturating_sub(self.look_secs);
        asked_for.min(claimed).max(to_settle)
    }

    /// The sum of the bounds of every step that may lie ahead: how long a claim lasts.
    pub fn whole_secs(&self, stores: usize) -> u64 {
        let stores = u64::try_from(stores).unwrap_or(u64::MAX);
        let parts = [
            self.preflight_secs,
            self.call_window_secs(),
            self.settle_secs,
            self.look_secs,
            self.validate_secs,
            self.store_secs.saturating_mul(stores),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// A moment some seconds later; the last moment there is when it would lie beyond.
pub(super) fn later(at: Timestamp, secs: u64) -> Timestamp {
    let secs = i64::try_from(secs).unwrap_or(i64::MAX);
    at.checked_add(SignedDuration::from_secs(secs)).unwrap_or(Timestamp::MAX)
}

/// How many seconds are left until a moment, rounded up; none when it has passed.
pub(super) fn secs_until(now: Timestamp, at: Timestamp) -> u64 {
    let left = at.duration_since(now);
    let whole = u64::try_from(left.as_secs()).unwrap_or(0);
    whole + u64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn run(name: &str) -> RunId {
        RunId(name.to_owned())
    }

    #[test]
    fn a_claim_keeps_others_out_until_it_ends_and_serves_its_run_with_time_to_spare() {
        let event = ClaimEvent::Claimed { run: run("a"), until: at(100) };
        let claim = after(None, &event, &Actor::default(), at(1)).unwrap();
        assert!(claim.keeps_out(&run("b"), at(99)));
        assert!(!claim.keeps_out(&run("b"), at(100)));
        assert!(!claim.keeps_out(&run("a"), at(50)));
        assert!(claim.lasts(&run("a"), at(50), 49));
        assert!(!claim.lasts(&run("a"), at(50), 50));
        assert!(!claim.lasts(&run("b"), at(50), 0));
        assert!(!claim.lasts(&run("a"), at(50), u64::MAX));
    }

    #[test]
    fn only_the_holder_can_give_a_claim_back_and_an_extension_keeps_its_beginning() {
        let actor = Actor::default();
        let claimed = |until| ClaimEvent::Claimed { run: run("a"), until: at(until) };
        let claim = after(None, &claimed(10), &actor, at(1));
        let claim = after(claim, &claimed(20), &actor, at(5));
        assert_eq!(claim.as_ref().map(|claim| (claim.since, claim.until)), Some((at(1), at(20))));
        let claim = after(claim, &ClaimEvent::Released { run: run("b") }, &actor, at(6));
        assert!(claim.is_some());
        assert_eq!(after(claim, &ClaimEvent::Released { run: run("a") }, &actor, at(7)), None);
    }

    #[test]
    fn time_left_is_rounded_up_and_never_negative() {
        let half = Timestamp::from_millisecond(10_500).unwrap();
        assert_eq!(secs_until(at(10), half), 1);
        assert_eq!(secs_until(at(10), at(12)), 2);
        assert_eq!(secs_until(half, at(10)), 0);
        assert_eq!(secs_until(at(10), at(10)), 0);
    }

    #[test]
    fn a_claim_lasts_for_the_sum_of_the_bounds() {
        let bounds =
            Bounds { preflight_secs: 1, call_secs: 1, settle_secs: 4, look_secs: 8, validate_secs: 16, store_secs: 32 };
        assert_eq!(bounds.whole_secs(2), 95);
        assert_eq!(bounds.whole_secs(usize::MAX), u64::MAX);
        assert_eq!(bounds.wait_secs_max(), 23, "the claim, without the look at its end");
        let patient = Bounds { preflight_secs: 1_000, ..bounds };
        assert_eq!(patient.wait_secs_max(), 2 + RETRY_AFTER_SECS_MAX);
        let slow = Bounds { settle_secs: 2_000, ..patient };
        assert_eq!(slow.wait_secs_max(), 2_002, "a late execution is always waited for");
        assert_eq!(Bounds::settle_secs_min(20), 60);
        assert_eq!(Bounds::settle_secs_min(31), 62);
    }
}
