//! What is worth an alert at a moment.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    days::{Days, Life},
    event::{Alert, Stands},
};
use crate::{
    gate::{CLOCK_SKEW_MAX_SECS, clocks_disagree},
    key::Fingerprint,
    rotation::{Adoption, GRACE_WARN_HOURS, Keys, Open, Phase, State},
};

/// How long an open rotation may stand still before it is called stuck, in seconds. A run that is at work holds a claim.
pub const STUCK_SECS: u64 = 60 * 60;
/// No run has an environment for longer than this, in seconds, and no call settles later: that is a wrong clock's moment.
const QUIET_SECS_MAX: i64 = 30 * 24 * 60 * 60;
/// Seconds in an hour.
const HOUR_SECS: i64 = 60 * 60;

/// What people want to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When to warn of an end.
    pub days: Days,
    /// Whether the license renews itself.
    pub auto_renew: AutoRenew,
    /// After how many seconds without a look somebody is told.
    pub gap_secs_max: u64,
}

/// Whether a license renews itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoRenew {
    /// It does not.
    No,
    /// It does: only the tightest threshold is worth a word, when the renewal should have happened and did not.
    Yes,
}

/// What is known at a moment.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The license; none where the authority could not be asked.
    pub license: Option<LicenseFacts>,
    /// The rotation, and who works on it.
    pub rotation: &'a State,
    /// When somebody looked the time before.
    pub last_look: Option<Timestamp>,
    /// How far the authority's clock is ahead of the one that says what time it is, where it told its time.
    pub authority_ahead: Option<SignedDuration>,
}

/// What is known about the key and its license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseFacts {
    /// The key.
    pub key_fingerprint: Fingerprint,
    /// The license's id.
    pub license_id: Option<String>,
    /// When the key was issued.
    pub issued_at: Option<Timestamp>,
    /// When the license ends, or the key's grace, whichever is sooner.
    pub ends_at: Option<Timestamp>,
    /// Whether every end that is stated can be read.
    pub ends: Ends,
    /// The authority's no, if it says so.
    pub refused: Option<Refusal>,
}

/// Whether the ends that an authority states can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// They can, or none is stated.
    Read,
    /// One cannot: what was said of an end may still be true.
    NotRead,
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason, a stable word.
    pub reason: String,
    /// When it was seen first.
    pub since: Timestamp,
}

/// What stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// What is no news, and not over either where it was told: a moment later it would stand, or somebody is at work on
    /// it.
    pub kept: Vec<Alert>,
    /// Whether the license was seen.
    pub license: Sight,
}

/// Whether something was seen. What was not seen is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It was.
    Seen,
    /// It was not, or not when it ends: whatever was said about it stands.
    NotSeen,
    /// The clocks disagree, and nobody knows which one is right: whatever was said of anything stands.
    Blurred,
}

/// Everything that stands at this moment: of what is about one end, the tightest.
pub fn standing(policy: &Policy, facts: &Facts<'_>, now: Timestamp) -> Standing {
    let license = facts.license.as_ref();
    // Time only makes things worse, so that what stands by the earlier of two clocks stands by both.
    let skew = facts.authority_ahead.filter(|ahead| clocks_disagree(*ahead));
    let now = skew.and_then(|ahead| now.checked_add(ahead).ok()).map_or(now, |there| now.min(there));
    let end_now = license.and_then(|license| end(policy, license, now));
    let has_ended = matches!(end_now, Some(Alert::Expired { .. }));
    // An expired license is refused, too: one alert tells both.
    let refused = license.filter(|_| !has_ended).and_then(refused);
    let is_quiet = is_quiet(facts.rotation, now);
    let of_rotation = rotation(facts.rotation, now).filter(|_| !is_quiet);
    // What somebody is at work on may not have gone to the authority.
    let ends_of_old = |keys: &Keys| if is_quiet { keys.grace_ends_at } else { facts.rotation.certain_until(keys) };
    let not_adopted_now = not_adopted(facts.rotation, ends_of_old, now);
    let alerts = [end_now, refused, of_rotation].into_iter().flatten().chain(not_adopted_now);
    let alerts = alerts.chain(unwatched(policy, facts, now)).collect();
    // What a runner said whose clock is ahead by no more than is tolerated is not taken back by one that is behind.
    let soon = now.checked_add(SignedDuration::from_secs(CLOCK_SKEW_MAX_SECS)).unwrap_or(now);
    let kept_end = license.and_then(|license| end(policy, license, soon));
    let not_adopted_soon = not_adopted(facts.rotation, |keys| facts.rotation.certain_until(keys), soon);
    let kept = [kept_end, rotation(facts.rotation, soon)].into_iter().flatten().chain(not_adopted_soon).collect();
    let sight = match (skew, license.map(|license| license.ends)) {
        (Some(_), _) => Sight::Blurred,
        (None, Some(Ends::Read)) => Sight::Seen,
        (None, Some(Ends::NotRead) | None) => Sight::NotSeen,
    };
    Standing { alerts, kept, license: sight }
}

impl Standing {
    /// Whether an alert that was said still holds: it stands, or nobody could look.
    pub(super) fn holds(&self, alert: &Alert) -> bool {
        let was_unseen = match self.license {
            Sight::Seen => false,
            Sight::NotSeen => alert.is_about_license(),
            Sight::Blurred => true,
        };
        was_unseen
            || self.alerts.iter().any(|standing| standing.id() == alert.id())
            || (self.kept.iter().any(|kept| kept.covers(alert)) && !self.covers(alert))
    }

    /// What people should see: what stands, and what was said before and holds although nobody could see it now.
    pub fn with_held<'a>(&self, said: impl IntoIterator<Item = &'a Alert>) -> Vec<Alert> {
        let held: Vec<&Alert> = said.into_iter().filter(|alert| !alert.is_message() && self.holds(alert)).collect();
        let is_said_better = |alert: &Alert| held.iter().any(|held| **held != *alert && held.covers(alert));
        let stands = self.alerts.iter().filter(|alert| !is_said_better(alert));
        let mut shown: Vec<Alert> = stands.cloned().collect();
        for alert in held.iter().filter(|alert| !is_said_better(alert)) {
            if shown.iter().all(|shown| shown.id() != alert.id()) {
                shown.push((*alert).clone());
            }
        }
        shown
    }

    /// Whether an alert that does not hold any more gave way to a tighter one.
    pub(super) fn covers(&self, alert: &Alert) -> bool {
        self.alerts.iter().any(|standing| standing.covers(alert))
    }
}

fn end(policy: &Policy, license: &LicenseFacts, now: Timestamp) -> Option<Alert> {
    let ends_at = license.ends_at?;
    let (key_fingerprint, license_id) = (license.key_fingerprint, license.license_id.clone());
    if ends_at <= now {
        return Some(Alert::Expired { key_fingerprint, license_id, expires_at: ends_at });
    }
    let life = Life { issued_at: license.issued_at, ends_at };
    let days = match policy.auto_renew {
        AutoRenew::No => policy.days.crossed(&life, now),
        AutoRenew::Yes => policy.days.crossed_tightest(&life, now),
    }?;
    Some(Alert::Expiring { key_fingerprint, license_id, expires_at: ends_at, days })
}

fn refused(license: &LicenseFacts) -> Option<Alert> {
    let Refusal { reason, since } = license.refused.clone()?;
    Some(Alert::Refused { key_fingerprint: license.key_fingerprint, reason, since })
}

/// What there is to say of the rotation that is open, whoever works on it.
fn rotation(state: &State, now: Timestamp) -> Option<Alert> {
    let stuck = |open: &Open, stands, deadline| {
        let (rotation_id, hours) = (open.id.clone(), hours(deadline, now));
        Some(Alert::RotationStuck { rotation_id, stands, deadline, hours })
    };
    match &state.phase {
        // Of one whose stores have the new key there is only to say what runs.
        Phase::Idle(_) | Phase::Committed { .. } => None,
        Phase::KeyLost { open, deadline, .. } => {
            Some(Alert::KeyLost { rotation_id: open.id.clone(), deadline: *deadline })
        }
        Phase::Calling(open) | Phase::Unknown { open, .. } => {
            stuck(open, Stands::OutcomeUnknown, open.grace_end_earliest())
        }
        Phase::Received { open, .. } => stuck(open, Stands::KeyInEscrow, open.grace_end_earliest()),
        Phase::NewRejected { open, .. } => stuck(open, Stands::NewKeyRejected, open.grace_end_earliest()),
        Phase::Promoting { keys, .. } | Phase::RollingBack { keys, .. } => {
            stuck(&keys.open, Stands::StoresDiffer, keys.grace_ends_at)
        }
        Phase::RolledBack(keys) => {
            let hours = hours(keys.grace_ends_at, now)?;
            Some(Alert::RotationStuck {
                rotation_id: keys.open.id.clone(),
                stands: Stands::RolledBack,
                deadline: keys.grace_ends_at,
                hours: Some(hours),
            })
        }
    }
}

/// What there is to say of the rotations whose new key every store holds or held, by when their old keys end.
fn not_adopted<'a>(
    state: &'a State,
    ends: impl Fn(&Keys) -> Timestamp + 'a,
    now: Timestamp,
) -> impl Iterator<Item = Alert> + 'a {
    let unproven = state.committed().filter(|(_, adoption)| *adoption == Adoption::Unproven);
    unproven.filter_map(move |(keys, _)| {
        let (rotation_id, grace_ends_at) = (keys.open.id.clone(), ends(keys));
        Some(Alert::NotAdopted { rotation_id, grace_ends_at, hours: hours(grace_ends_at, now)? })
    })
}

/// Whether a rotation that is open may go on by itself: it began a short time ago, somebody works on it, or what came of
/// the call cannot be known yet. A moment that only a wrong clock can have named keeps nobody quiet.
fn is_quiet(state: &State, now: Timestamp) -> bool {
    let (open, settles_at) = match &state.phase {
        Phase::Calling(open) => (open, Some(open.terms.call_deadline)),
        Phase::Unknown { open, settle_until } => (open, Some(*settle_until)),
        Phase::Received { open, .. } | Phase::NewRejected { open, .. } => (open, None),
        Phase::Promoting { keys, .. } | Phase::RollingBack { keys, .. } => (&keys.open, None),
        Phase::Idle(_) | Phase::KeyLost { .. } | Phase::RolledBack(_) | Phase::Committed { .. } => return false,
    };
    let is_to_come = |moment: Timestamp| (1..=QUIET_SECS_MAX).contains(&moment.duration_since(now).as_secs());
    let age = now.duration_since(open.since).as_secs();
    let is_new = (-CLOCK_SKEW_MAX_SECS..i64::try_from(STUCK_SECS).unwrap_or(i64::MAX)).contains(&age);
    is_new || state.claim.as_ref().is_some_and(|claim| is_to_come(claim.until)) || settles_at.is_some_and(is_to_come)
}

/// The tightest number of hours before a deadline that was crossed; 0 after it.
fn hours(deadline: Timestamp, now: Timestamp) -> Option<u64> {
    let left = deadline.duration_since(now).as_secs();
    if left <= 0 {
        return Some(0);
    }
    let within = |hours: &&u64| i64::try_from(**hours).is_ok_and(|hours| left <= hours * HOUR_SECS);
    GRACE_WARN_HOURS.iter().rev().find(within).copied()
}

fn unwatched(policy: &Policy, facts: &Facts<'_>, now: Timestamp) -> Option<Alert> {
    let since = facts.last_look?;
    let secs = u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    (secs > policy.gap_secs_max).then_some(Alert::Unwatched { since })
}

impl LicenseFacts {
    /// The facts that a license states.
    pub fn of(key_fingerprint: Fingerprint, license: &crate::license::License, refused: Option<Refusal>) -> Self {
        Self {
            key_fingerprint,
            license_id: license.id.as_deref().map(ToOwned::to_owned),
            issued_at: license.issued_at,
            ends_at: [license.expires_at, license.grace_ends_at].into_iter().flatten().min(),
            ends: if license.unreadable_end.is_some() { Ends::NotRead } else { Ends::Read },
            refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, boxed::Box, vec};

    use super::*;
    use crate::{
        key::LicenseKey,
        rotation::{Before, BlobHash, Claim, IntentTerms, Last, RotationId, RunId, Snapshot},
        trail::Actor,
    };

    const DAY: i64 = 24 * HOUR_SECS;
    /// When the rotation began.
    const BEGAN: i64 = 1_900_000_000;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn fingerprint(key: &str) -> Fingerprint {
        LicenseKey::parse(key).unwrap().fingerprint()
    }

    fn policy() -> Policy {
        Policy { days: Days::default(), auto_renew: AutoRenew::No, gap_secs_max: 3 * 24 * 60 * 60 }
    }

    fn license(ends_at: Option<i64>) -> LicenseFacts {
        let (key_fingerprint, ends_at) = (fingerprint("K0"), ends_at.map(at));
        LicenseFacts { key_fingerprint, license_id: None, issued_at: None, ends_at, ends: Ends::Read, refused: None }
    }

    fn alerts(policy: &Policy, license: Option<LicenseFacts>, state: &State, now: i64) -> Vec<String> {
        let facts = Facts { license, rotation: state, last_look: None, authority_ahead: None };
        standing(policy, &facts, at(now)).alerts.iter().map(|alert| alert.id().0).collect()
    }

    fn word(alerts: &[String]) -> Vec<String> {
        let fp = alloc::format!("{}:", fingerprint("K0"));
        alerts.iter().map(|id| id.replace(&fp, "")).collect()
    }

    #[test]
    fn an_end_is_one_alert_the_tightest() {
        let idle = State::default();
        let refused = Some(Refusal { reason: "revoked".to_owned(), since: at(5) });
        for (license, auto_renew, now, expected) in [
            (license(None), AutoRenew::No, 0, &[][..]),
            (license(Some(100 * DAY)), AutoRenew::No, 60 * DAY, &[]),
            (license(Some(100 * DAY)), AutoRenew::No, 71 * DAY, &["expiring:8640000:30"]),
            (license(Some(100 * DAY)), AutoRenew::No, 99 * DAY, &["expiring:8640000:1"]),
            (license(Some(100 * DAY)), AutoRenew::No, 100 * DAY, &["expired:8640000"]),
            // What renews itself is worth a word only when it did not.
            (license(Some(100 * DAY)), AutoRenew::Yes, 98 * DAY, &[]),
            (license(Some(100 * DAY)), AutoRenew::Yes, 99 * DAY, &["expiring:8640000:1"]),
            (license(Some(100 * DAY)), AutoRenew::Yes, 101 * DAY, &["expired:8640000"]),
            // A refusal is another matter, but an expired license is refused because it expired.
            (LicenseFacts { refused: refused.clone(), ..license(None) }, AutoRenew::No, 9, &["refused:revoked:5"]),
            (
                LicenseFacts { refused: refused.clone(), ..license(Some(100 * DAY)) },
                AutoRenew::No,
                99 * DAY,
                &["expiring:8640000:1", "refused:revoked:5"],
            ),
            (LicenseFacts { refused, ..license(Some(DAY)) }, AutoRenew::No, 2 * DAY, &["expired:86400"]),
        ] {
            let policy = Policy { auto_renew, ..policy() };
            assert_eq!(word(&alerts(&policy, Some(license.clone()), &idle, now)), expected, "{license:?} {now}");
        }
    }

    #[test]
    fn a_key_that_was_rotated_away_ends_with_its_grace() {
        let mut said = crate::license::License::bare(crate::license::Answer::Accepted { code: None });
        for (expires_at, grace_ends_at, ends_at) in [
            (None, None, None),
            (Some(9), None, Some(9)),
            (Some(9), Some(5), Some(5)),
            (None, Some(5), Some(5)),
            (Some(4), Some(5), Some(4)),
        ] {
            (said.expires_at, said.grace_ends_at) = (expires_at.map(at), grace_ends_at.map(at));
            assert_eq!(LicenseFacts::of(fingerprint("K0"), &said, None).ends_at, ends_at.map(at));
        }
        assert_eq!(LicenseFacts::of(fingerprint("K0"), &said, None).ends, Ends::Read);
        said.unreadable_end = Some("soon".to_owned());
        assert_eq!(LicenseFacts::of(fingerprint("K0"), &said, None).ends, Ends::NotRead);
    }

    #[test]
    fn a_license_that_nobody_could_look_at_is_not_seen() {
        let idle = State::default();
        let facts = |license| Facts { license, rotation: &idle, last_look: None, authority_ahead: None };
        assert_eq!(standing(&policy(), &facts(None), at(0)).license, Sight::NotSeen);
        assert_eq!(standing(&policy(), &facts(Some(license(None))), at(0)).license, Sight::Seen);
        let unreadable = LicenseFacts { ends: Ends::NotRead, ..license(None) };
        assert_eq!(standing(&policy(), &facts(Some(unreadable)), at(0)).license, Sight::NotSeen);
    }

    #[test]
    fn a_watch_that_did_not_run_is_told_by_the_next_one() {
        let idle = State::default();
        for (last_look, now, expected) in [
            (None, 100 * DAY, &[][..]),
            (Some(DAY), 4 * DAY, &[]),
            (Some(DAY), 4 * DAY + 1, &["unwatched:86400"]),
            // A clock that was set back.
            (Some(9 * DAY), DAY, &[]),
        ] {
            let facts = Facts { license: None, rotation: &idle, last_look: last_look.map(at), authority_ahead: None };
            let ids: Vec<String> =
                standing(&policy(), &facts, at(now)).alerts.iter().map(|alert| alert.id().0).collect();
            assert_eq!(ids, expected, "{last_look:?} {now}");
        }
    }

    #[test]
    fn where_clocks_disagree_only_what_both_say_is_new_and_nothing_is_over() {
        let idle = State::default();
        let (said, day) = (license(Some(100 * DAY)), SignedDuration::from_hours(24));
        let looked = |ahead: Option<SignedDuration>, now: i64, last_look: Option<i64>| {
            let last_look = last_look.map(at);
            let facts = Facts { license: Some(said.clone()), rotation: &idle, last_look, authority_ahead: ahead };
            standing(&policy(), &facts, at(now))
        };
        let minutes = |minutes| Some(SignedDuration::from_mins(minutes));
        for (ahead, now, expected) in [
            // Ours is a day ahead: it would warn, and call the license ended, a day early.
            (Some(-day), 93 * DAY, &["expiring:8640000:30"][..]),
            (Some(-day), 94 * DAY, &["expiring:8640000:7"]),
            (Some(-day), 100 * DAY, &["expiring:8640000:1"]),
            (Some(-day), 101 * DAY, &["expired:8640000"]),
            // The authority's is: nothing is said before ours says it, too.
            (Some(day), 92 * DAY, &["expiring:8640000:30"]),
            (Some(day), 99 * DAY, &["expiring:8640000:1"]),
            // What is tolerated is no disagreement.
            (minutes(-5), 100 * DAY, &["expired:8640000"]),
            (minutes(-6), 100 * DAY, &["expiring:8640000:1"]),
            (None, 100 * DAY, &["expired:8640000"]),
            // A clock that is out of any range says nothing.
            (Some(SignedDuration::MAX), 100 * DAY, &["expired:8640000"]),
        ] {
            let standing = looked(ahead, now, None);
            let ids: Vec<String> = standing.alerts.iter().map(|alert| alert.id().0).collect();
            assert_eq!(word(&ids), expected, "{ahead:?} {now}");
            let disagree = ahead.is_some_and(clocks_disagree);
            assert_eq!(standing.license == Sight::Blurred, disagree, "{ahead:?}");
            // What a run with another clock said before is not taken back.
            let other = Alert::Expired { key_fingerprint: fingerprint("K0"), license_id: None, expires_at: at(9) };
            assert_eq!(standing.holds(&other), disagree, "{ahead:?}");
        }
        // Nor was nobody there for days because of a clock that is days ahead.
        assert_eq!(looked(Some(-day * 9), 12 * DAY, Some(2 * DAY)).alerts, []);
        assert_eq!(looked(None, 12 * DAY, Some(2 * DAY)).alerts.len(), 1);
    }

    fn open() -> Open {
        let terms = IntentTerms {
            epoch: 1,
            old: fingerprint("K0"),
            old_blob: BlobHash::of(b"old"),
            snapshot: Snapshot::default(),
            grace_days: 7,
            call_deadline: at(BEGAN + 30),
            stores: vec!["a".to_owned()],
        };
        Open { id: RotationId("r".to_owned()), since: at(BEGAN), terms }
    }

    fn keys() -> Keys {
        Keys { open: open(), blob: BlobHash::of(b"new"), new: fingerprint("K1"), grace_ends_at: at(BEGAN + 7 * DAY) }
    }

    fn in_phase(phase: Phase) -> State {
        State { epoch: 1, phase, ..State::default() }
    }

    #[test]
    fn a_rotation_that_nobody_works_on_is_stuck_after_an_hour() {
        let blob = BlobHash::of(b"new");
        let done = || [].into();
        let phases = [
            (Phase::Calling(open()), "outcome_unknown"),
            (Phase::Unknown { open: open(), settle_until: at(BEGAN + 600) }, "outcome_unknown"),
            (Phase::Received { open: open(), blob }, "key_in_escrow"),
            (Phase::NewRejected { open: open(), blob }, "new_key_rejected"),
            (Phase::Promoting { keys: keys(), done: done() }, "stores_differ"),
            (Phase::RollingBack { keys: keys(), done: done() }, "stores_differ"),
        ];
        for (phase, stands) in phases {
            let state = in_phase(phase);
            let ids = |secs: i64| alerts(&policy(), None, &state, BEGAN + secs);
            assert_eq!(ids(HOUR_SECS - 1), [""; 0], "{state:?}");
            assert_eq!(ids(HOUR_SECS), [alloc::format!("rotation_stuck:r:{stands}")]);
            assert_eq!(ids(7 * DAY - 6 * HOUR_SECS), [alloc::format!("rotation_stuck:r:{stands}:6")]);
            assert_eq!(ids(7 * DAY), [alloc::format!("rotation_stuck:r:{stands}:0")]);
            let claim = Claim {
                run: RunId("x".to_owned()),
                actor: Actor::default(),
                since: at(BEGAN),
                until: at(BEGAN + 2 * HOUR_SECS),
            };
            let held = State { claim: Some(claim), ..state };
            assert_eq!(alerts(&policy(), None, &held, BEGAN + HOUR_SECS), [""; 0], "somebody works on it");
            assert_eq!(alerts(&policy(), None, &held, BEGAN + 2 * HOUR_SECS).len(), 1, "whoever had it is gone");
        }
    }

    #[test]
    fn what_somebody_works_on_or_may_still_settle_is_not_over() {
        let told = |hours| Alert::RotationStuck {
            rotation_id: RotationId("r".to_owned()),
            stands: Stands::OutcomeUnknown,
            deadline: open().grace_end_earliest(),
            hours,
        };
        let claim =
            Claim { run: RunId("x".to_owned()), actor: Actor::default(), since: at(0), until: at(BEGAN + 7 * DAY) };
        let unknown = |settles| Phase::Unknown { open: open(), settle_until: at(BEGAN + settles) };
        let states = [
            State { claim: Some(claim.clone()), ..in_phase(Phase::Calling(open())) },
            State { claim: Some(claim), ..in_phase(unknown(0)) },
            // The call was repeated, and settles anew.
            in_phase(unknown(7 * DAY)),
        ];
        for state in states {
            let facts = Facts { license: None, rotation: &state, last_look: None, authority_ahead: None };
            for (days, hours) in [(1, None), (6, Some(72))] {
                let meanwhile = standing(&policy(), &facts, at(BEGAN + days * DAY));
                assert_eq!(meanwhile.alerts, [], "{state:?}");
                assert!(meanwhile.holds(&told(None)) && meanwhile.holds(&told(hours)), "{state:?}");
                assert_eq!(meanwhile.with_held([&told(hours)]), [told(hours)]);
            }
        }
        let closed = in_phase(Phase::Idle(Last::None));
        let facts = Facts { license: None, rotation: &closed, last_look: None, authority_ahead: None };
        assert!(!standing(&policy(), &facts, at(BEGAN + DAY)).holds(&told(None)));
    }

    #[test]
    fn a_clock_that_is_a_little_behind_takes_nothing_back() {
        let idle = State::default();
        let ends_at = 100 * DAY;
        let standing = |now: i64| {
            let facts = Facts {
                license: Some(license(Some(ends_at))),
                rotation: &idle,
                last_look: None,
                authority_ahead: None,
            };
            standing(&policy(), &facts, at(now))
        };
        let expiring = |days| Alert::Expiring {
            key_fingerprint: fingerprint("K0"),
            license_id: None,
            expires_at: at(ends_at),
            days,
        };
        let expired = Alert::Expired { key_fingerprint: fingerprint("K0"), license_id: None, expires_at: at(ends_at) };
        for (said, stands, before_secs, holds) in [
            (expiring(30), 70 * DAY, 120, true),
            (expiring(30), 70 * DAY, 301, false),
            (expiring(7), 93 * DAY, 120, true),
            (expiring(7), 93 * DAY, 301, false),
            (expired.clone(), 100 * DAY, 120, true),
        ] {
            assert_eq!(standing(stands - before_secs).holds(&said), holds, "{said:?}, {before_secs} s early");
        }
        // As soon as a tighter one stands, the wider one is over.
        assert!(!standing(93 * DAY).holds(&expiring(30)) && !standing(100 * DAY).holds(&expiring(1)));
        assert_eq!(standing(93 * DAY - 60).with_held([&expiring(7)]), [expiring(7)], "the tighter of the two is shown");
        assert_eq!(standing(93 * DAY).with_held([&expiring(30)]), [expiring(7)]);
    }

    #[test]
    fn a_clock_that_was_years_ahead_keeps_no_rotation_quiet() {
        let ahead = Phase::Unknown { open: open(), settle_until: at(BEGAN + 400 * 24 * HOUR_SECS) };
        assert_eq!(
            alerts(&policy(), None, &in_phase(ahead), BEGAN + 4 * HOUR_SECS).len(),
            1,
            "its end is not believed"
        );
        let begun = Phase::Unknown { open: open(), settle_until: at(BEGAN + HOUR_SECS) };
        for before_secs in [CLOCK_SKEW_MAX_SECS, CLOCK_SKEW_MAX_SECS + 1, 2 * HOUR_SECS] {
            // Until it settles by that clock it is quiet all the same.
            assert_eq!(alerts(&policy(), None, &in_phase(begun.clone()), BEGAN - before_secs), [""; 0]);
        }
        assert_eq!(alerts(&policy(), None, &in_phase(begun), BEGAN - 400 * 24 * HOUR_SECS).len(), 1);
    }

    #[test]
    fn an_outcome_is_not_called_unknown_before_it_settled() {
        let state = in_phase(Phase::Unknown { open: open(), settle_until: at(BEGAN + 5 * HOUR_SECS) });
        assert_eq!(alerts(&policy(), None, &state, BEGAN + 4 * HOUR_SECS), [""; 0]);
        assert_eq!(alerts(&policy(), None, &state, BEGAN + 5 * HOUR_SECS).len(), 1);
    }

    #[test]
    fn a_new_key_that_nobody_saw_in_use_is_told_three_days_before_the_old_one_dies() {
        let committed = |adoption| in_phase(Phase::Committed { keys: keys(), adoption });
        for (state, left, expected) in [
            (committed(Adoption::Unproven), 73, &[][..]),
            (committed(Adoption::Unproven), 72, &["not_adopted:r:72"]),
            (committed(Adoption::Unproven), 24, &["not_adopted:r:24"]),
            (committed(Adoption::Unproven), 6, &["not_adopted:r:6"]),
            (committed(Adoption::Unproven), -1, &["not_adopted:r:0"]),
            (committed(Adoption::Proved), 6, &[]),
            (committed(Adoption::Shipped), -1, &[]),
            (in_phase(Phase::RolledBack(keys())), 73, &[]),
            (in_phase(Phase::RolledBack(keys())), 24, &["rotation_stuck:r:rolled_back:24"]),
            (in_phase(Phase::Idle(Last::None)), 6, &[]),
            (
                in_phase(Phase::KeyLost { open: open(), deadline: at(BEGAN + 7 * DAY), printed: None }),
                100,
                &["key_lost:r"],
            ),
        ] {
            let now = BEGAN + 7 * DAY - left * HOUR_SECS;
            assert_eq!(alerts(&policy(), None, &state, now), expected, "{state:?} {left}");
        }
    }

    #[test]
    fn the_old_key_of_a_rotation_whose_grace_was_given_up_may_be_dead_once_the_next_one_was_begun() {
        let now = BEGAN + DAY;
        let next = Open { id: RotationId("next".to_owned()), since: at(now - 2 * HOUR_SECS), terms: open().terms };
        let before = |adoption| Some(Box::new(Before { keys: keys(), adoption, before: None }));
        let settles = |secs| Phase::Unknown { open: next.clone(), settle_until: at(now + secs) };
        let lost = Phase::KeyLost { open: next.clone(), deadline: at(now), printed: None };
        let new = Keys { open: next.clone(), grace_ends_at: at(now + 7 * DAY), ..keys() };
        let committed = Phase::Committed { keys: new, adoption: Adoption::Unproven };
        for (phase, of_next) in [
            (settles(-1), Some("rotation_stuck:next:outcome_unknown")),
            (lost, Some("key_lost:next")),
            (committed, None),
        ] {
            let unproven = State { before: before(Adoption::Unproven), ..in_phase(phase) };
            let expected: Vec<&str> = of_next.into_iter().chain(["not_adopted:r:0"]).collect();
            assert_eq!(alerts(&policy(), None, &unproven, now), expected);
            let shipped = State { before: before(Adoption::Shipped), ..unproven };
            assert_eq!(alerts(&policy(), None, &shipped, now), of_next.into_iter().collect::<Vec<_>>());
        }
        // While somebody is at work on the next one it is not said, and not taken back.
        let quiet = State { before: before(Adoption::Unproven), ..in_phase(settles(60)) };
        assert_eq!(alerts(&policy(), None, &quiet, now), [""; 0]);
        let facts = Facts { license: None, rotation: &quiet, last_look: None, authority_ahead: None };
        let said = Alert::NotAdopted {
            rotation_id: RotationId("r".to_owned()),
            grace_ends_at: at(now - 2 * HOUR_SECS),
            hours: 0,
        };
        assert!(standing(&policy(), &facts, at(now)).holds(&said));
        assert_eq!(
            alerts(&policy(), None, &quiet, now + 5 * DAY),
            ["rotation_stuck:next:outcome_unknown:72", "not_adopted:r:0"]
        );
    }
}
