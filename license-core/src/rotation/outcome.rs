//! What the outcome of the one call means, and what may be concluded when nobody knows it.

use alloc::string::String;

use crate::{
    license::{Answer, License, Status},
    rotation::{claim::later, event::BlobHash, state::Open, step::Liveness},
};

/// The words by which an authority says of a key, in a status or a code, that it was rotated away.
const ROTATED_WORDS: [&str; 4] = ["rotated", "replaced", "superseded", "deprecated"];
/// By how much sooner or later than it was asked for a grace may end, in seconds: authorities round to days.
const GRACE_ROUNDED_SECS: u64 = 24 * 60 * 60;

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

/// What the list of licenses shows. What became of other licenses, which were there before, is nothing of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listed {
    /// The new key itself, in plain: it can be sealed.
    NewKey,
    /// The license itself with another key, whose text is not shown; or without itself.
    NewerWithoutKey,
    /// The license as it was, and another one that was not there before: a rotation may make one, and so may a person.
    AnotherLicense,
    /// Nothing new.
    Nothing,
    /// The list could not be had.
    NotAsked,
}

/// What validating the old key shows, compared with the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldKey {
    /// What only a rotation does to a key: a grace, a new mark of deprecation, an end that is that of the grace, a word
    /// that says so.
    RotatedAway,
    /// It is accepted, and something else changed: the license was renewed, say.
    Changed,
    /// It is refused, without a word of a rotation: the license was suspended, say.
    Refused,
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

/// What an answer about the old key shows. Licenses are renewed and suspended while a rotation is open: only what a
/// rotation does to a key is evidence of one, and anything else that changed is evidence of nothing.
pub fn old_key(open: &Open, license: &License) -> OldKey {
    let before = &open.terms.snapshot;
    let status = license.status.as_ref().map(Status::to_word);
    let is_new_status = status != before.status;
    let says_so = status.as_deref().is_some_and(|word| is_new_status && speaks_of_rotation(word))
        || code(&license.answer).is_some_and(speaks_of_rotation);
    let is_newly_deprecated = license.deprecated.is_some() && license.deprecated != before.deprecated;
    if license.grace_ends_at.is_some() || is_newly_deprecated || says_so || ends_with_the_grace(open, license) {
        return OldKey::RotatedAway;
    }
    if let Answer::Refused { .. } = license.answer {
        return OldKey::Refused;
    }
    // An end that cannot be read may be that of a grace.
    let is_as_before = !is_new_status
        && license.expires_at == before.expires_at
        && license.deprecated == before.deprecated
        && license.unreadable_end.is_none();
    if is_as_before { OldKey::Unchanged } else { OldKey::Changed }
}

fn code(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Accepted { code } | Answer::Refused { code, .. } => code.as_deref(),
    }
}

fn speaks_of_rotation(text: &str) -> bool {
    let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| ROTATED_WORDS.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

/// Whether the key's end was pulled in to where the grace of this rotation may end.
fn ends_with_the_grace(open: &Open, license: &License) -> bool {
    let Some(end) = license.expires_at else { return false };
    let is_earlier = open.terms.snapshot.expires_at.is_none_or(|before| end < before);
    let last = open.grace_end_earliest().max(open.grace_end_of(open.terms.call_deadline));
    is_earlier && open.grace_end_earliest() <= later(end, GRACE_ROUNDED_SECS) && end <= later(last, GRACE_ROUNDED_SECS)
}

/// What the sealed answer of a rotation that failed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answered {
    /// No key beside the old one; or there is no answer.
    NoKey,
    /// A key, and whether the authority accepts it.
    Key(Liveness),
}

/// Why a person's word that nothing was rotated is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Against {
    /// The list shows the license with another key.
    List,
    /// The old key shows that it was rotated away.
    OldKeyRotatedAway,
    /// The authority refuses the old key.
    OldKeyRefused,
    /// The authority could not be asked about the old key.
    OldKeyNotAsked,
    /// The authority accepts the key of the answer.
    NewKeyAccepted,
    /// The authority could not be asked about the key of the answer.
    NewKeyNotAsked,
}

/// What speaks against a person's word where a rotation was concluded already, or was answered. The word is taken while
/// the authority accepts the old key as the license's own.
pub fn against(list: Listed, old: OldKey, answered: Answered) -> Option<Against> {
    match (list, old, answered) {
        (Listed::NewKey | Listed::NewerWithoutKey, _, _) => Some(Against::List),
        (_, OldKey::RotatedAway, _) => Some(Against::OldKeyRotatedAway),
        (_, OldKey::Refused, _) => Some(Against::OldKeyRefused),
        (_, OldKey::NotAsked, _) => Some(Against::OldKeyNotAsked),
        (_, _, Answered::Key(Liveness::Accepted)) => Some(Against::NewKeyAccepted),
        (_, _, Answered::Key(Liveness::NotAsked)) => Some(Against::NewKeyNotAsked),
        (
            Listed::Nothing | Listed::AnotherLicense | Listed::NotAsked,
            OldKey::Changed | OldKey::Unchanged,
            Answered::NoKey | Answered::Key(Liveness::Refused),
        ) => None,
    }
}

/// Weighs the evidence, strongest first. Silence counts as "not rotated" only where the authority is declared to show
/// rotations and did not begin to answer with a new key.
pub fn conclude(evidence: &Evidence, visible: RotationVisible) -> Conclusion {
    if let Some(blob) = evidence.sealed {
        return Conclusion::InEscrow(blob);
    }
    match (evidence.list, evidence.old, visible) {
        (Listed::NewKey, _, _) => Conclusion::Recoverable,
        (Listed::NewerWithoutKey, _, _) | (_, OldKey::RotatedAway, _) => match evidence.part {
            Part::InEscrow => Conclusion::InPart,
            Part::Nowhere => Conclusion::KeyGone,
        },
        (Listed::Nothing | Listed::NotAsked, OldKey::Unchanged, RotationVisible::Yes) => match evidence.part {
            Part::InEscrow => Conclusion::CannotTell,
            Part::Nowhere => Conclusion::NotRotated,
        },
        (
            Listed::Nothing | Listed::AnotherLicense | Listed::NotAsked,
            OldKey::Changed | OldKey::Refused | OldKey::Unchanged | OldKey::NotAsked,
            RotationVisible::Yes | RotationVisible::No | RotationVisible::Unknown,
        ) => Conclusion::CannotTell,
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        key::LicenseKey,
        license::Deprecated,
        rotation::event::{IntentTerms, RotationId, Snapshot},
    };

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

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    const DAY_SECS: i64 = 24 * 60 * 60;

    /// An intent of a grace of a week, written at 0, about a license in force that ends on day 300.
    fn open() -> Open {
        let snapshot = Snapshot {
            status: Some("active".to_owned()),
            expires_at: Some(at(300 * DAY_SECS)),
            deprecated: Some(Deprecated::Undated),
            ..Snapshot::default()
        };
        let terms = IntentTerms {
            epoch: 1,
            old: LicenseKey::parse("K0").unwrap().fingerprint(),
            old_blob: BlobHash::of(b"old"),
            snapshot,
            grace_days: 7,
            call_deadline: at(50),
            stores: alloc::vec!["a".to_owned()],
        };
        Open { id: RotationId("r1".to_owned()), since: at(0), terms }
    }

    #[test]
    fn only_what_a_rotation_does_to_a_key_shows_one() {
        use OldKey::{Changed, Refused, RotatedAway, Unchanged};
        let as_before = || License {
            status: Some(Status::Active),
            expires_at: Some(at(300 * DAY_SECS)),
            deprecated: Some(Deprecated::Undated),
            ..License::bare(Answer::Accepted { code: None })
        };
        let accepted = |code: &str| Answer::Accepted { code: Some(code.to_owned()) };
        let refused = |code: &str| Answer::Refused { code: Some(code.to_owned()), message: None };
        let other = |word: &str| Some(Status::Other(word.to_owned()));
        let ending = |secs| License { expires_at: Some(at(secs)), ..as_before() };
        let table = [
            (as_before(), Unchanged),
            (License { plan: Some("pro".to_owned()), activations_used: Some(9), ..as_before() }, Unchanged),
            (ending(665 * DAY_SECS), Changed),
            (ending(100 * DAY_SECS), Changed),
            (ending(6 * DAY_SECS - 1), Changed),
            (ending(6 * DAY_SECS), RotatedAway),
            (ending(7 * DAY_SECS), RotatedAway),
            (ending(8 * DAY_SECS + 50), RotatedAway),
            (ending(8 * DAY_SECS + 51), Changed),
            (License { expires_at: None, ..as_before() }, Changed),
            (License { unreadable_end: Some("in a week".to_owned()), ..as_before() }, Changed),
            (License { status: other("past_due"), ..as_before() }, Changed),
            (License { status: other("Rotated"), ..as_before() }, RotatedAway),
            (License { status: None, ..as_before() }, Changed),
            (License { deprecated: None, ..as_before() }, Changed),
            (License { deprecated: Some(Deprecated::Since(at(9))), ..as_before() }, RotatedAway),
            (License { grace_ends_at: Some(at(9)), ..as_before() }, RotatedAway),
            (License { answer: accepted("key_superseded"), ..as_before() }, RotatedAway),
            (License { answer: accepted("SEATS_LOW"), ..as_before() }, Unchanged),
            (License { answer: refused("KEY_REPLACED"), ..as_before() }, RotatedAway),
            (License { answer: refused("NOT_DEPRECATEDLY"), ..as_before() }, Refused),
            (License { answer: refused("LICENSE_SUSPENDED"), status: Some(Status::Suspended), ..as_before() }, Refused),
            (License { answer: refused("LICENSE_NOT_FOUND"), ..License::bare(refused("")) }, Refused),
            (License { grace_ends_at: Some(at(9)), answer: refused("LICENSE_REVOKED"), ..as_before() }, RotatedAway),
        ];
        for (license, expected) in table {
            assert_eq!(old_key(&open(), &license), expected, "{license:?}");
        }
    }

    #[test]
    fn a_license_without_an_end_gets_one_of_a_rotation_at_the_end_of_the_grace_only() {
        let mut open = open();
        open.terms.snapshot.expires_at = None;
        let ending = |secs| License {
            status: Some(Status::Active),
            expires_at: Some(at(secs)),
            deprecated: Some(Deprecated::Undated),
            ..License::bare(Answer::Accepted { code: None })
        };
        assert_eq!(old_key(&open, &ending(7 * DAY_SECS + 60)), OldKey::RotatedAway);
        assert_eq!(old_key(&open, &ending(365 * DAY_SECS)), OldKey::Changed);
    }

    #[test]
    fn a_persons_word_is_taken_while_the_old_key_is_the_licenses_own() {
        let key = Answered::Key;
        let lists =
            [Listed::NewKey, Listed::NewerWithoutKey, Listed::Nothing, Listed::AnotherLicense, Listed::NotAsked];
        let olds = [OldKey::RotatedAway, OldKey::Changed, OldKey::Refused, OldKey::Unchanged, OldKey::NotAsked];
        let answers = [Answered::NoKey, key(Liveness::Refused), key(Liveness::Accepted), key(Liveness::NotAsked)];
        for (list, old) in lists.iter().flat_map(|list| olds.map(|old| (*list, old))) {
            for answered in answers {
                let is_own = matches!(list, Listed::Nothing | Listed::AnotherLicense | Listed::NotAsked)
                    && matches!(old, OldKey::Changed | OldKey::Unchanged)
                    && matches!(answered, Answered::NoKey | Answered::Key(Liveness::Refused));
                assert_eq!(against(list, old, answered).is_none(), is_own, "{list:?} {old:?} {answered:?}");
            }
        }
    }

    #[test]
    fn evidence_is_weighed_strongest_first() {
        use Listed::{AnotherLicense, NewKey, NewerWithoutKey, NotAsked, Nothing};
        let blob = BlobHash::of(b"blob");
        let yes = RotationVisible::Yes;
        let table = [
            (Some(blob), Nothing, OldKey::Unchanged, yes, Conclusion::InEscrow(blob)),
            (None, NewKey, OldKey::Unchanged, yes, Conclusion::Recoverable),
            (None, NewKey, OldKey::NotAsked, RotationVisible::No, Conclusion::Recoverable),
            (None, NewerWithoutKey, OldKey::Unchanged, yes, Conclusion::KeyGone),
            (None, Nothing, OldKey::RotatedAway, RotationVisible::Unknown, Conclusion::KeyGone),
            (None, AnotherLicense, OldKey::RotatedAway, RotationVisible::Unknown, Conclusion::KeyGone),
            (None, AnotherLicense, OldKey::Unchanged, yes, Conclusion::CannotTell),
            (None, Nothing, OldKey::Changed, yes, Conclusion::CannotTell),
            (None, Nothing, OldKey::Refused, yes, Conclusion::CannotTell),
            (None, Nothing, OldKey::Changed, RotationVisible::No, Conclusion::CannotTell),
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
            (None, Nothing, OldKey::RotatedAway, RotationVisible::Unknown, Conclusion::InPart),
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
