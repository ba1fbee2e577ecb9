//! What a rotation tells people.

use license_core::{
    Timestamp,
    rotation::{Adoption, End, Fact, Keys, Last, Liveness, NotRotated, Which},
};

use super::{BothKeys, Outcome, adoption_word, refusal_words};
use crate::{config::Environment, context};

/// What is said of an end: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// What happened.
    pub(crate) what: String,
    /// What to do next; absent when nothing is.
    pub(crate) next: Option<String>,
}

/// The name of a failpoint after the entry of a fact.
pub(super) fn fact_name(fact: &Fact) -> &'static str {
    match fact {
        Fact::Intent(_) => "after-intent",
        Fact::OutcomeUnknown { .. } => "after-unknown",
        Fact::Repeating { .. } => "after-repeating",
        Fact::Received { .. } => "after-received",
        Fact::Validated { .. } => "after-validated",
        Fact::NewRejected { .. } => "after-rejected",
        Fact::StoreHolds { .. } => "after-store-holds",
        Fact::StoreFailed { .. } => "after-store-failed",
        Fact::Committed => "after-committed",
        Fact::Aborted { .. } => "after-aborted",
        Fact::KeyLost { .. } => "after-key-lost",
        Fact::RollbackStarted => "after-rollback-started",
        Fact::RolledBack => "after-rolled-back",
        Fact::RolledForward => "after-rolled-forward",
        Fact::Adopted { .. } => "after-adopted",
        Fact::OverlapWaived => "after-overlap-waived",
        Fact::Closed { .. } => "after-closed",
        Fact::NotKnown => "after-not-known",
    }
}

/// Whether nothing of a rotation's escrow is needed any more.
pub(super) fn ends_escrow(fact: &Fact) -> bool {
    match fact {
        Fact::Aborted { .. } | Fact::Closed { .. } => true,
        // Its keys are needed until the next rotation has brought one that works.
        Fact::OverlapWaived
        | Fact::Intent(_)
        | Fact::OutcomeUnknown { .. }
        | Fact::Repeating { .. }
        | Fact::Received { .. }
        | Fact::Validated { .. }
        | Fact::NewRejected { .. }
        | Fact::StoreHolds { .. }
        | Fact::StoreFailed { .. }
        | Fact::Committed
        | Fact::KeyLost { .. }
        | Fact::RollbackStarted
        | Fact::RolledBack
        | Fact::RolledForward
        | Fact::Adopted { .. }
        | Fact::NotKnown => false,
    }
}

/// A line about a step that was taken; nothing for what the end tells.
pub(super) fn of_fact(fact: &Fact, environment: &Environment) -> Option<String> {
    let name = &environment.name;
    match fact {
        Fact::Intent(terms) => {
            Some(format!("rotating `{name}`: the old key is to work {} days more", terms.grace_days))
        }
        Fact::OutcomeUnknown { why, .. } => Some(format!("the outcome of the call is not known: {why}")),
        Fact::Repeating { .. } => Some("sending the call again, under the same idempotency key".to_owned()),
        Fact::Received { .. } => Some("the answer is sealed in escrow".to_owned()),
        Fact::Validated { new, .. } => Some(format!("the authority accepts the new key ({new})")),
        Fact::NewRejected { why } => Some(format!("the new key is not usable: {why}")),
        Fact::StoreHolds { store, key: Which::New } => Some(format!("store `{store}` holds the new key")),
        Fact::StoreHolds { store, key: Which::Old } => Some(format!("store `{store}` holds the old key again")),
        Fact::Closed { adoption } => {
            Some(format!("the rotation before is closed: its old key is dead; adoption {}", adoption_word(*adoption)))
        }
        Fact::OverlapWaived => Some("the grace of the rotation before is given up".to_owned()),
        Fact::RollbackStarted => Some("bringing the old key back".to_owned()),
        Fact::RolledForward => Some("bringing the new key forward again".to_owned()),
        // That a store failed was said before, in more words than the trail keeps.
        Fact::StoreFailed { .. }
        | Fact::Committed
        | Fact::Aborted { .. }
        | Fact::KeyLost { .. }
        | Fact::RolledBack
        | Fact::Adopted { .. }
        | Fact::NotKnown => None,
    }
}

impl Outcome {
    /// The word that stands in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotDue { .. } => "not_due",
            Self::Ended { end, .. } => match &**end {
                End::Held(_) => "held",
                End::NothingOpen(_) => "nothing_open",
                End::Refused(_) => "refused",
                End::Aborted(_) => "aborted",
                End::Unknown { .. } => "unknown",
                End::KeyLost { .. } => "key_lost",
                End::NotValidated { .. } => "not_validated",
                End::Rejected { .. } => "rejected",
                End::Partial { .. } => "partial",
                End::Committed { .. } => "committed",
                End::NotClosed { .. } => "not_closed",
                End::RolledBack(_) => "rolled_back",
            },
        }
    }

    /// What it means, until when nothing is broken, and the next command.
    pub(crate) fn told(&self, environment: &str) -> Told {
        match self {
            Self::NotDue { age_days } => {
                Told { what: format!("nothing is due: the key is {age_days} days old"), next: None }
            }
            Self::Ended { end, overlap } => of_end(end, *overlap, environment),
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a table: every end, with its words beside it")]
fn of_end(end: &End, overlap: Option<BothKeys>, environment: &str) -> Told {
    let told = |what: String, next: Option<String>| Told { what, next };
    let resume = || Some(format!("`cargo xtask rotate {environment} --resume`"));
    match end {
        End::Held(claim) => told(format!("run {} holds the environment", claim.run.0), None),
        End::NothingOpen(last) => told(
            match last {
                Last::None => "no rotation is open, and there was none".to_owned(),
                Last::Aborted(_) => "no rotation is open: the authority did not rotate".to_owned(),
                Last::Closed(_) => "no rotation is open: the last one is closed".to_owned(),
                Last::OverlapWaived => "no rotation is open: the grace of the last one was given up".to_owned(),
            },
            None,
        ),
        End::Refused(refusal) => {
            let (why, next) = refusal_words(refusal, environment);
            told(format!("refused, and nothing changed: {why}"), Some(next))
        }
        End::Aborted(why) => told(
            match why {
                NotRotated::NotSent => "not rotated: the call could not be sent, and the old key stays".to_owned(),
                NotRotated::Refused { code } => {
                    format!("not rotated: the authority refused the call ({code}), and the old key stays")
                }
                NotRotated::Reconciled => {
                    "not rotated: the authority shows no rotation, and the old key stays".to_owned()
                }
                NotRotated::Confirmed => "not rotated, as a person said: the old key stays".to_owned(),
            },
            Some(format!("see to the cause, then `cargo xtask rotate {environment}`")),
        ),
        End::Unknown { open } => told(
            format!(
                "nobody knows whether the authority rotated; nothing breaks before {:.0}",
                open.grace_end_earliest()
            ),
            Some(format!(
                "look into the authority's portal: if there is a new key, pipe it into `cargo xtask rotate {environment} \
                 --adopt`; if it did not rotate, `cargo xtask rotate {environment} --confirm-not-rotated`"
            )),
        ),
        End::KeyLost { deadline, printed, .. } => told(
            match printed {
                None => {
                    format!("the authority rotated, and the new key was lost; the old one {}", works_until(*deadline))
                }
                Some(_) => format!(
                    "the authority rotated, and the new key is only in what was printed, sealed; the old one {}",
                    works_until(*deadline)
                ),
            },
            Some(match printed {
                None => {
                    format!(
                        "pipe the new key, from the authority's portal, into `cargo xtask rotate {environment} --adopt`; if the \
                         portal shows that it did not rotate, `cargo xtask rotate {environment} --confirm-not-rotated`"
                    )
                }
                Some(_) => format!(
                    "pipe the sealed text that was printed into `cargo xtask rotate {environment} --adopt`, where the identity \
                     is; or the new key, from the authority's portal"
                ),
            }),
        ),
        End::NotValidated { open } => told(
            format!(
                "the new key is sealed in escrow and could not be checked yet; nothing breaks before {:.0}",
                open.grace_end_earliest()
            ),
            resume(),
        ),
        End::Rejected { open } => told(
            format!(
                "the new key is not usable; the stores still hold the old one, which {}",
                works_until(open.grace_end_earliest())
            ),
            Some(format!(
                "read what was sealed: `cargo xtask escrow open {environment} --rotation {}`; then `--resume`, or pipe a key \
                 into `--adopt`; if it did not rotate, `--confirm-not-rotated`",
                open.id.0
            )),
        ),
        End::Partial { keys, missing, key } => {
            let missing = missing.iter().map(|store| format!("`{store}`")).collect::<Vec<_>>().join(", ");
            let which = match key {
                Which::New => "new",
                Which::Old => "old",
            };
            told(
                format!(
                    "not written with the {which} key: {missing}; the old key {}, and both are in escrow",
                    works_until(keys.grace_ends_at)
                ),
                resume(),
            )
        }
        End::Committed { keys, adoption } => {
            let both = match overlap {
                None => "",
                Some(BothKeys::Confirmed) => "; both keys work: confirmed",
                Some(BothKeys::Absent) => "; the old key is refused ALREADY: overlap absent",
                Some(BothKeys::Unknown) => "; whether both work is unknown",
            };
            told(
                format!(
                    "every store holds the new key ({}); the old one {}{both}; adoption {}",
                    keys.new,
                    works_until(keys.grace_ends_at),
                    adoption_word(*adoption)
                ),
                match adoption {
                    Adoption::Unproven => {
                        Some(format!("`cargo xtask deploy {environment}`, so that what runs has the new key in time"))
                    }
                    Adoption::Shipped | Adoption::Proved => None,
                },
            )
        }
        End::NotClosed { keys, old, new } => not_closed(keys, *old, *new, environment),
        End::RolledBack(keys) => told(
            format!("every store holds the OLD key again, and it dies at {:.0}", keys.grace_ends_at),
            Some(format!("before that, `cargo xtask rotate {environment} --resume` brings the new one back")),
        ),
    }
}

/// Until when an old key works, or worked.
pub(super) fn works_until(end: Timestamp) -> String {
    let verb = if context::now() < end { "works" } else { "worked" };
    format!("{verb} until {end:.0}")
}

/// What is said of a rotation whose grace is over, and which is not closed.
fn not_closed(keys: &Keys, old: Liveness, new: Liveness, environment: &str) -> Told {
    let old_words = match old {
        Liveness::Accepted => "the old one still works",
        Liveness::Refused => "the old one is refused, too",
        Liveness::NotAsked => "the authority could not be asked about the old one",
    };
    let over = format!("the grace ended at {:.0}", keys.grace_ends_at);
    match (old, new) {
        (_, Liveness::Refused) => Told {
            what: format!(
                "the authority refuses the new key, which every store holds ({}); {old_words}; {over}, and the rotation is \
                 not closed",
                keys.new
            ),
            next: Some(format!(
                "`cargo xtask check {environment}` tells why; when the license is in force again, `cargo xtask rotate \
                 {environment} --resume`; if another key took its place in the stores, `--accept-no-overlap` begins with it"
            )),
        },
        (_, Liveness::NotAsked) | (Liveness::NotAsked, Liveness::Accepted) => Told {
            what: format!(
                "every store holds the new key ({}); {over}, and the authority could not be asked whether the {} works: the \
                 rotation is not closed",
                keys.new,
                if new == Liveness::NotAsked { "new one" } else { "old one" }
            ),
            next: Some(format!("`cargo xtask rotate {environment} --resume`, when the authority answers")),
        },
        (Liveness::Accepted | Liveness::Refused, Liveness::Accepted) => Told {
            what: format!(
                "every store holds the new key ({}), and it works; {over}, and {old_words}: the rotation is not closed",
                keys.new
            ),
            next: Some(format!("`cargo xtask rotate {environment} --resume`, later; nothing breaks")),
        },
    }
}
