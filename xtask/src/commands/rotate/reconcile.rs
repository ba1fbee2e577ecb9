//! Whether the authority rotated, when nobody knows.

use license_core::{
    LicenseKey,
    license::Answer,
    rotation::{
        self, Against, Answered, BlobHash, BodySource, Conclusion, Evidence, Fact, Listed, ListedBefore, OldKey, Open,
        Reconciled, RotationId, RotationVisible, Run, Wish, after_confirm, after_reconcile, conclude,
    },
};

use super::{Scene, call::as_answer};
use crate::{
    authority::{Extent, ListedLicense, read_rotated},
    config::AuthoritySettings,
    failure::Failure,
    keyring,
};

impl Scene<'_> {
    /// Gathers the evidence, and lets the rules say what it comes to.
    pub(super) fn reconcile(&mut self, run: &mut Run, open: &Open) -> Result<Option<(RotationId, Fact)>, Failure> {
        let evidence = Evidence {
            sealed: self.sealed(open)?,
            part: self.part(open)?,
            list: self.listed(open),
            old: self.old_shows(open),
        };
        let conclusion = conclude(&evidence, self.rotation_visible());
        match after_reconcile(open, conclusion, self.wish, self.idempotency) {
            Reconciled::Write(fact) => Ok(Some((open.id.clone(), *fact))),
            Reconciled::SealListed => Ok(self.seal_listed(run, open)),
            Reconciled::CannotTell => {
                if (conclusion, self.wish) == (Conclusion::InPart, Wish::ConfirmNotRotated) {
                    self.narrator.note(
                        "that nothing was rotated is not believed: a part of an answer came, so that the authority did rotate",
                    );
                }
                run.is_stuck();
                Ok(None)
            }
        }
    }

    /// Looks for what speaks against a person's word that nothing was rotated.
    pub(super) fn confirm(
        &mut self,
        run: &mut Run,
        open: &Open,
        blob: Option<BlobHash>,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        let answered = match blob {
            None => Answered::NoKey,
            Some(blob) => self.answered(open, blob)?,
        };
        let against = rotation::against(self.listed(open), self.old_shows(open), answered);
        if let Some(against) = against {
            self.narrator.note(&format!("that nothing was rotated is not believed: {}", against_words(against)));
        }
        Ok(after_confirm(run, against).map(|fact| (open.id.clone(), fact)))
    }

    /// What the sealed answer holds beside the old key, and what the authority says about it.
    fn answered(&mut self, open: &Open, blob: BlobHash) -> Result<Answered, Failure> {
        let answer = self.answer(open, blob)?;
        let Ok(new) = read_rotated(&answer) else { return Ok(Answered::NoKey) };
        keyring::meet(self.ctx, &new.key);
        if new.key.fingerprint() == open.terms.old {
            return Ok(Answered::NoKey);
        }
        Ok(Answered::Key(self.liveness(&new.key)))
    }

    /// Seals the key that the list shows.
    pub(super) fn seal_listed(&mut self, run: &mut Run, open: &Open) -> Option<(RotationId, Fact)> {
        let Some(key) = self.list(open).and_then(|list| self.new_key_in(open, &list)) else {
            run.is_stuck();
            return None;
        };
        Some((open.id.clone(), self.keep(open, as_answer(&key), BodySource::Listed)))
    }

    /// The authority's list, where it gives it as a whole: in a part of it nothing can be missing, and nothing new.
    fn whole_list(&self) -> Option<Vec<ListedLicense>> {
        let listing = self.authority.list().ok()?;
        match listing.extent {
            Extent::Whole => Some(listing.licenses),
            Extent::MayHaveMore { why } => {
                self.narrator.note(&format!(
                    "the authority's list of licenses may have more pages than were read ({why}): nothing is concluded from it"
                ));
                None
            }
        }
    }

    fn list(&self, open: &Open) -> Option<Vec<ListedLicense>> {
        let license_id = open.terms.snapshot.license_id.as_deref()?;
        let list = self.whole_list()?;
        Some(list.into_iter().filter(|one| self.is_relevant(one, license_id)).collect())
    }

    fn listed(&self, open: &Open) -> Listed {
        let (Some(before), Some(list)) = (&open.terms.snapshot.listed, self.list(open)) else {
            return Listed::NotAsked;
        };
        let license_id = open.terms.snapshot.license_id.as_deref().unwrap_or_default();
        let now = self.relevant(&list, license_id);
        if now == *before {
            return Listed::Nothing;
        }
        if self.new_key_in(open, &list).is_some() {
            return Listed::NewKey;
        }
        let is_own = |one: &&ListedBefore| one.license_id == license_id;
        if !now.iter().filter(is_own).eq(before.iter().filter(is_own)) {
            return Listed::NewerWithoutKey;
        }
        let was_there = |one: &ListedBefore| before.iter().any(|other| other.license_id == one.license_id);
        if now.iter().all(was_there) { Listed::Nothing } else { Listed::AnotherLicense }
    }

    /// A key of the license, or of one that was not there before, that the list did not show before the call, and that the
    /// authority accepts. Other licenses are rotated, too.
    fn new_key_in(&self, open: &Open, list: &[ListedLicense]) -> Option<LicenseKey> {
        let before = open.terms.snapshot.listed.as_deref().unwrap_or_default();
        let license_id = open.terms.snapshot.license_id.as_deref().unwrap_or_default();
        let was_there = |one: &ListedLicense| before.iter().any(|other| other.license_id == one.license_id);
        list.iter()
            .filter(|one| one.license_id == license_id || !was_there(one))
            .filter(|one| !self.relevant(std::slice::from_ref(*one), license_id).iter().all(|now| before.contains(now)))
            .filter_map(|one| LicenseKey::parse(one.shown_key.as_deref()?).ok())
            .filter(|key| key.fingerprint() != open.terms.old)
            .find(|key| {
                let reply = self.authority.validate(key, &self.environment.demand.domain);
                reply.is_ok_and(|reply| matches!(reply.license.answer, Answer::Accepted { .. }))
            })
    }

    fn old_shows(&mut self, open: &Open) -> OldKey {
        let Ok(key) = self.old_key_of(open) else { return OldKey::NotAsked };
        let Ok(reply) = self.authority.validate(&key, &self.environment.demand.domain) else { return OldKey::NotAsked };
        let shows = rotation::old_key(open, &reply.license);
        match shows {
            OldKey::Changed => self.narrator.note(
                "the license of the old key is not as it was before the call, in a way that proves no rotation: renewed, say",
            ),
            OldKey::Refused => self.narrator.note(
                "the authority refuses the old key now, in a way that proves no rotation: suspended, say; what runs with it \
                 does not work",
            ),
            OldKey::RotatedAway | OldKey::Unchanged | OldKey::NotAsked => {}
        }
        shows
    }

    fn rotation_visible(&self) -> RotationVisible {
        match &self.config.authorities[&self.environment.authority] {
            AuthoritySettings::Embedded { .. } => RotationVisible::Yes,
            AuthoritySettings::Remote(settings) => settings.rotation_visible,
        }
    }
}

fn against_words(against: Against) -> &'static str {
    match against {
        Against::List => "the authority's list shows the license with another key, or not at all",
        Against::OldKeyRotatedAway => "the old key shows that it was rotated away",
        Against::OldKeyRefused => "the authority refuses the old key",
        Against::OldKeyNotAsked => "the authority could not be asked about the old key",
        Against::NewKeyAccepted => "the authority accepts the key of the answer",
        Against::NewKeyNotAsked => "the authority could not be asked about the key of the answer",
    }
}
