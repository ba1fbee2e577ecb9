//! Whether the authority rotated, when nobody knows.

use license_core::{
    LicenseKey,
    license::Answer,
    rotation::{
        BodySource, Evidence, Fact, Listed, OldKey, Open, Reconciled, RotationId, RotationVisible, Run,
        after_reconcile, conclude,
    },
};

use super::{Scene, call::as_answer, prepare::status_word};
use crate::{
    authority::{Extent, ListedLicense},
    config::AuthoritySettings,
    failure::Failure,
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
                run.is_stuck();
                Ok(None)
            }
        }
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
        if self.relevant(&list, license_id) == *before {
            return Listed::Nothing;
        }
        match self.new_key_in(open, &list) {
            Some(_) => Listed::NewKey,
            None => Listed::NewerWithoutKey,
        }
    }

    /// A key in the list that was not there before, and that the authority accepts.
    fn new_key_in(&self, open: &Open, list: &[ListedLicense]) -> Option<LicenseKey> {
        let before = open.terms.snapshot.listed.as_deref().unwrap_or_default();
        let license_id = open.terms.snapshot.license_id.as_deref().unwrap_or_default();
        list.iter()
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
        let (license, before) = (&reply.license, &open.terms.snapshot);
        let is_refused = matches!(license.answer, Answer::Refused { .. });
        let is_as_before = license.status.as_ref().map(status_word) == before.status
            && license.expires_at == before.expires_at
            && license.grace_ends_at.is_none()
            && license.deprecated == before.deprecated;
        if is_as_before && !is_refused { OldKey::Unchanged } else { OldKey::Differs }
    }

    fn rotation_visible(&self) -> RotationVisible {
        match &self.config.authorities[&self.environment.authority] {
            AuthoritySettings::Embedded { .. } => RotationVisible::Yes,
            AuthoritySettings::Remote(settings) => settings.rotation_visible,
        }
    }
}
