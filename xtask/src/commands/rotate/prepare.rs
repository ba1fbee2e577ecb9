//! Everything that can be proved before anything changes, then the intent.

use jiff::SignedDuration;
use license_core::{
    chain::LineHash,
    license::{Answer, Status},
    rotation::{self, Bounds, Fact, ListedBefore, Overlap, RotationId, Snapshot, Wish},
};

use super::{RotateError, Scene};
use crate::{
    authority::{Extent, ListedLicense, Reply},
    connect, context,
    escrow::{BlobKind, Reached},
    failpoint,
    failure::{self, Failure},
    keyring, random,
    seal::Identity,
    store::held::Held,
};

/// The most seconds by which the authority's clock may differ.
const SKEW_SECS_MAX: i64 = 5 * 60;

impl Scene<'_> {
    /// Proves that every step ahead can be done while nothing has changed, and tells what the license is like.
    pub(super) fn preflight(&mut self) -> Result<Snapshot, Failure> {
        let environment = self.environment.name.to_string();
        if self.grace_days == 0 && self.wish != Wish::Rotate(Overlap::Waived) {
            return Err(RotateError::NoGrace.into());
        }
        self.identity_fits()?;
        let key = self.current_key()?;
        keyring::refuse_shared(self.ctx, self.config, &[(&self.environment.name, &key)])?;
        self.stores_are_ready(key.fingerprint())?;
        let reply = self.ask_about_current()?.clone();
        if let Answer::Refused { code, .. } = &reply.license.answer {
            let code = code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            return Err(RotateError::OldKeyRefused { environment, code }.into());
        }
        clocks_agree(reply.authority_ahead)?;
        let license_id = self.license_id(&reply)?;
        // Of a list that may have more pages nothing is remembered: nothing could be compared with it.
        let listed = self.authority.list().ok().filter(|listing| listing.extent == Extent::Whole);
        let listed = listed.map(|listing| self.relevant(&listing.licenses, &license_id));
        Ok(Snapshot {
            license_id: Some(license_id),
            status: reply.license.status.as_ref().map(Status::to_word),
            expires_at: reply.license.expires_at,
            features: reply.license.features.clone(),
            listed,
            deprecated: reply.license.deprecated,
        })
    }

    /// Proves that every step ahead can be done, seals the old key, and gives the intent.
    pub(super) fn prepare(&mut self, epoch: u64, bounds: &Bounds) -> Result<(RotationId, Fact), Failure> {
        let snapshot = self.preflight()?;
        let key = self.current_key()?;
        let id = RotationId(random::word::<16>("rot")?);
        let sealed = self.recipients.seal(key.reveal().as_bytes())?;
        // Nothing has changed yet: what is not kept in every place that there is stops the rotation.
        let kept = self.escrow.put(&id.0, BlobKind::Old, &sealed);
        let kept_everywhere = kept.and_then(|kept| match (kept.here, kept.shared) {
            (Reached::Failed(error), _) | (_, Reached::Failed(error)) => Err(error),
            (Reached::Kept | Reached::NotConfigured, Reached::Kept | Reached::NotConfigured) => Ok(()),
        });
        kept_everywhere.map_err(|error| RotateError::NotKept {
            why: error.to_string(),
            next: "make `.license/escrow` beside license.toml writable, and the remote of the trail where there is one"
                .to_owned(),
        })?;
        failpoint::reached(self.ctx, "after-old-sealed");
        let stores = self.places.iter().map(|(name, _)| name.clone()).collect();
        let fact = rotation::intent(
            epoch,
            (key.fingerprint(), sealed.hash()),
            snapshot,
            self.grace_days,
            stores,
            bounds,
            context::now(),
        );
        Ok((id, fact))
    }

    /// An identity that is configured here must open what will be sealed. It need not be here at all.
    fn identity_fits(&self) -> Result<(), Failure> {
        let Some(identity) = self.identity() else { return Ok(()) };
        if self.recipients.include(&identity?) { Ok(()) } else { Err(RotateError::ForeignIdentity.into()) }
    }

    /// The configured identity, where this machine has it.
    pub(super) fn identity(&self) -> Option<Result<Identity, Failure>> {
        let source = self.config.escrow.as_ref()?.identity.as_ref()?;
        if crate::store::is_absent(source, &self.ctx.vars) {
            return None;
        }
        Some(connect::identity(self.ctx, self.environment, source))
    }

    /// Every store can be written, and holds the key that is rotated, or nothing.
    fn stores_are_ready(&self, old: license_core::Fingerprint) -> Result<(), Failure> {
        for (name, place) in &self.places {
            let held = place.probe().map_err(|source| match source.kind.stopped() {
                Some(signal) => RotateError::Stopped { exit: failure::signal_exit(signal) },
                None => RotateError::StoreNotReady { store: name.clone(), source: Box::new(source) },
            })?;
            match held {
                Held::Key { key, .. } if key.fingerprint() != old => {
                    return Err(RotateError::Drifted {
                        store: name.clone(),
                        environment: self.environment.name.to_string(),
                        found: key.fingerprint().to_string(),
                        expected: old.to_string(),
                    }
                    .into());
                }
                Held::Key { .. } | Held::Nothing { .. } | Held::Hidden { .. } => {}
            }
        }
        Ok(())
    }

    /// The license's id: from the file, else from whoever knows it.
    fn license_id(&self, reply: &Reply) -> Result<String, Failure> {
        let named = self.environment.license.clone();
        let known = || self.old_key.as_ref().and_then(|key| self.authority.license_id_of(key));
        named
            .or_else(known)
            .or_else(|| reply.license.id.clone())
            .ok_or_else(|| RotateError::NoLicenseId { environment: self.environment.name.to_string() }.into())
    }

    /// What the list shows of this license or of its domain, with what is shown of keys as hashes.
    pub(super) fn relevant(&self, list: &[ListedLicense], license_id: &str) -> Vec<ListedBefore> {
        let mut relevant: Vec<_> = list
            .iter()
            .filter(|one| self.is_relevant(one, license_id))
            .map(|one| ListedBefore {
                license_id: one.license_id.clone(),
                shown: one.shown_key.as_ref().map(|shown| LineHash::of(shown.as_bytes())),
            })
            .collect();
        relevant.sort();
        relevant
    }

    pub(super) fn is_relevant(&self, one: &ListedLicense, license_id: &str) -> bool {
        let domain = self.environment.demand.domain.to_string();
        one.license_id == license_id || one.domains.contains(&domain)
    }
}

fn clocks_agree(ahead: Option<SignedDuration>) -> Result<(), Failure> {
    match ahead.map(|ahead| ahead.as_secs()) {
        Some(secs) if secs.abs() >= SKEW_SECS_MAX => Err(RotateError::ClockSkew { secs: secs.abs() }.into()),
        Some(_) | None => Ok(()),
    }
}
