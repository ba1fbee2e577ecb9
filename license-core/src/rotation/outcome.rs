//! What the outcome of the one call means, and what may be concluded when nobody knows it.

use alloc::string::String;

use crate::rotation::event::BlobHash;

/// What was seen of the call, without any HTTP in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Proved that no byte of the request left: the name, the connection or TLS failed, or the self-check said no.
    NotSent,
    /// A definitive refusal: 4xx other than 408, 409, 429.
    Refused {
        /// The authority's code or status, cleaned.
        code: String,
    },
    /// 409: somebody else's rotation is under way.
    InProgress,
    /// 429, or 503 with `Retry-After`: probably not executed, which is not a proof.
    RetryAfter {
        /// How long the authority asks to wait, in seconds.
        secs: u64,
    },
    /// A timeout after sending, a reset, a truncated answer, 408, 5xx, 3xx, anything unlisted.
    Unknown {
        /// What was seen, cleaned.
        why: String,
    },
    /// A 2xx with a body, whatever the body says: it is sealed before it is read.
    Body,
}

/// What a call's outcome asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallClass {
    /// The same intent may call again, a bounded number of times.
    MayRepeat,
    /// The authority did not rotate: the intent is over.
    Over,
    /// It may have rotated: settle, then reconcile. Never call again.
    Settle,
    /// Seal the body, at once.
    Seal,
}

/// Sorts a call's outcome. Only a proof that nothing was sent allows another call.
pub fn classify(outcome: &CallOutcome) -> CallClass {
    match outcome {
        CallOutcome::NotSent => CallClass::MayRepeat,
        CallOutcome::Refused { .. } => CallClass::Over,
        CallOutcome::InProgress | CallOutcome::RetryAfter { .. } | CallOutcome::Unknown { .. } => CallClass::Settle,
        CallOutcome::Body => CallClass::Seal,
    }
}

/// What was found when looking whether the authority rotated, after settling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// A body of this rotation lies in escrow.
    pub sealed: Option<BlobHash>,
    /// Whether a part of one does.
    pub part: Part,
    /// What the authority's list shows.
    pub list: Listed,
    /// What validating the old key shows.
    pub old: OldKey,
}

/// What came of an answer that was cut off.
///
/// It was a success, so that the authority rotated in all likelihood; and nobody knows whether the whole key is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// It lies in escrow.
    InEscrow,
    /// There is none.
    Nowhere,
}

/// What the list of licenses shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listed {
    /// The new key itself, in plain: it can be sealed.
    NewKey,
    /// A newer key or id, whose text is not shown.
    NewerWithoutKey,
    /// Nothing new.
    Nothing,
    /// The list could not be had.
    NotAsked,
}

/// What validating the old key shows, compared with the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldKey {
    /// Status or expiry changed, or a deprecation is announced.
    Differs,
    /// As before the call.
    Unchanged,
    /// The authority could not be asked.
    NotAsked,
}

/// Whether validating an old key shows that it was rotated away: a declaration about the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RotationVisible {
    /// Declared to show it.
    Yes,
    /// Declared not to.
    No,
    /// Nobody declared anything.
    Unknown,
}

/// What the evidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Rotated, and the new key lies in escrow.
    InEscrow(BlobHash),
    /// Rotated, and the list gives the new key.
    Recoverable,
    /// Rotated, and a part of the answer lies in escrow: only a person can tell whether the new key is in it.
    InPart,
    /// Rotated, and the new key is gone.
    KeyGone,
    /// Not rotated.
    NotRotated,
    /// Nothing is proved.
    CannotTell,
}

/// Weighs the evidence, strongest first. Silence counts as "not rotated" only where the authority is declared to show
/// rotations and did not begin to answer with a new key.
pub fn conclude(evidence: &Evidence, visible: RotationVisible) -> Conclusion {
    if let Some(blob) = evidence.sealed {
        return Conclusion::InEscrow(blob);
    }
    match (evidence.list, evidence.old, visible) {
        (Listed::NewKey, _, _) => Conclusion::Recoverable,
        (Listed::NewerWithoutKey, _, _) | (_, OldKey::Differs, _) => match evidence.part {
            Part::InEscrow => Conclusion::InPart,
            Part::Nowhere => Conclusion::KeyGone,
        },
        (Listed::Nothing | Listed::NotAsked, OldKey::Unchanged, RotationVisible::Yes) => match evidence.part {
            Part::InEscrow => Conclusion::CannotTell,
            Part::Nowhere => Conclusion::NotRotated,
        },
        (
            Listed::Nothing | Listed::NotAsked,
            OldKey::Unchanged | OldKey::NotAsked,
            RotationVisible::Yes | RotationVisible::No | RotationVisible::Unknown,
        ) => Conclusion::CannotTell,
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    #[test]
    fn only_a_call_that_was_not_sent_may_be_repeated() {
        let code = || "quota".to_owned();
        let table = [
            (CallOutcome::NotSent, CallClass::MayRepeat),
            (CallOutcome::Refused { code: code() }, CallClass::Over),
            (CallOutcome::InProgress, CallClass::Settle),
            (CallOutcome::RetryAfter { secs: 2 }, CallClass::Settle),
            (CallOutcome::Unknown { why: "timeout".to_owned() }, CallClass::Settle),
            (CallOutcome::Body, CallClass::Seal),
        ];
        for (outcome, expected) in table {
            assert_eq!(classify(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn evidence_is_weighed_strongest_first() {
        use Listed::{NewKey, NewerWithoutKey, NotAsked, Nothing};
        let blob = BlobHash::of(b"blob");
        let yes = RotationVisible::Yes;
        let table = [
            (Some(blob), Nothing, OldKey::Unchanged, yes, Conclusion::InEscrow(blob)),
            (None, NewKey, OldKey::Unchanged, yes, Conclusion::Recoverable),
            (None, NewKey, OldKey::NotAsked, RotationVisible::No, Conclusion::Recoverable),
            (None, NewerWithoutKey, OldKey::Unchanged, yes, Conclusion::KeyGone),
            (None, Nothing, OldKey::Differs, RotationVisible::Unknown, Conclusion::KeyGone),
            (None, Nothing, OldKey::Unchanged, yes, Conclusion::NotRotated),
            (None, NotAsked, OldKey::Unchanged, yes, Conclusion::NotRotated),
            (None, Nothing, OldKey::Unchanged, RotationVisible::No, Conclusion::CannotTell),
            (None, Nothing, OldKey::Unchanged, RotationVisible::Unknown, Conclusion::CannotTell),
            (None, Nothing, OldKey::NotAsked, yes, Conclusion::CannotTell),
        ];
        for (sealed, list, old, visible, expected) in table {
            let evidence = Evidence { sealed, part: Part::Nowhere, list, old };
            assert_eq!(conclude(&evidence, visible), expected, "{evidence:?} {visible:?}");
        }
    }

    #[test]
    fn with_a_part_of_an_answer_no_key_is_called_lost_and_no_call_undone() {
        use Listed::{NewKey, NewerWithoutKey, NotAsked, Nothing};
        let blob = BlobHash::of(b"blob");
        let yes = RotationVisible::Yes;
        let table = [
            (Some(blob), Nothing, OldKey::Unchanged, yes, Conclusion::InEscrow(blob)),
            (None, NewKey, OldKey::Unchanged, yes, Conclusion::Recoverable),
            (None, NewerWithoutKey, OldKey::Unchanged, yes, Conclusion::InPart),
            (None, Nothing, OldKey::Differs, RotationVisible::Unknown, Conclusion::InPart),
            (None, Nothing, OldKey::Unchanged, yes, Conclusion::CannotTell),
            (None, NotAsked, OldKey::Unchanged, yes, Conclusion::CannotTell),
            (None, NotAsked, OldKey::NotAsked, RotationVisible::No, Conclusion::CannotTell),
        ];
        for (sealed, list, old, visible, expected) in table {
            let evidence = Evidence { sealed, part: Part::InEscrow, list, old };
            assert_eq!(conclude(&evidence, visible), expected, "{evidence:?} {visible:?}");
        }
    }
}
