//! The two keys: where each is had from, and what the authority says about them.

use std::time::{Duration, Instant};

use license_core::{
    LicenseKey, Outcome,
    gate::{Now, judge},
    license::{Answer, License},
    rotation::{
        self, Adoption, BlobHash, Fact, Keys, Liveness, NewKey, NotCurrent, Open, RotationId, Run, Which, after_close,
        after_validation,
    },
};
use zeroize::Zeroizing;

use super::{BothKeys, RotateError, Scene, bounds};
use crate::{
    authority::{self, Reply, read_rotated, wire::Secrets},
    config::EnvName,
    connect, context,
    escrow::BlobKind,
    failpoint,
    failure::Failure,
    keyring,
};

/// The first pause before the new key is asked about again; it doubles.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(15);

impl Scene<'_> {
    /// The key that deploys read now.
    pub(super) fn current_key(&mut self) -> Result<LicenseKey, Failure> {
        if let Some(key) = &self.old_key {
            return Ok(key.clone());
        }
        let key = connect::key(self.ctx, self.config, self.environment)?;
        // Once the new key is written over it, no place shows it any more, and it still works.
        self.ctx.met.add(key.reveal());
        Ok(self.old_key.insert(key).clone())
    }

    /// What the authority says about the current key: asked once, since asking costs quota.
    pub(super) fn ask_about_current(&mut self) -> Result<&Reply, Failure> {
        let key = self.current_key()?;
        if self.asked.is_none() {
            self.asked = Some(self.authority.validate(&key, &self.environment.demand.domain)?);
        }
        self.asked.as_ref().ok_or_else(|| RotateError::NoEnd.into())
    }

    /// The key of a rotation: in hand, or where deploys read, or in escrow.
    pub(super) fn key_of(&mut self, keys: &Keys, which: Which) -> Result<LicenseKey, Failure> {
        match which {
            Which::Old => self.old_key_of(&keys.open),
            Which::New => self.new_key_of(&keys.open, keys.blob),
        }
    }

    /// The key that is rotated away.
    pub(super) fn old_key_of(&mut self, open: &Open) -> Result<LicenseKey, Failure> {
        if let Ok(key) = self.current_key()
            && key.fingerprint() == open.terms.old
        {
            return Ok(key);
        }
        let plain = self.open_sealed("old key", &open.id, BlobKind::Old, open.terms.old_blob)?;
        let text = std::str::from_utf8(&plain).map_err(|_| not_a_key("old key"))?;
        let key = LicenseKey::parse(text).map_err(|_| not_a_key("old key"))?;
        keyring::meet(self.ctx, &key);
        Ok(key)
    }

    /// The old key is at hand, and the authority accepts it now, whatever it was asked for as a grace.
    pub(super) fn old_key_lives(&mut self, open: &Open) -> Result<(), Failure> {
        let key = self.old_key_of(open)?;
        let environment = || self.environment.name.to_string();
        let reply = self
            .authority
            .validate(&key, &self.environment.demand.domain)
            .map_err(|source| RotateError::OldKeyNotAsked { environment: environment(), source: Box::new(source) })?;
        match reply.license.answer {
            Answer::Accepted { .. } => Ok(()),
            Answer::Refused { code, .. } => {
                let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
                Err(RotateError::OldKeyDead { environment: environment(), code }.into())
            }
        }
    }

    /// The key that deploys read here is the one that the rotation before gave.
    pub(super) fn has_the_current_key(&mut self, keys: &Keys) -> Result<(), Failure> {
        let found = self.current_key()?.fingerprint();
        let Some(not_current) = rotation::not_current(keys, found, context::now()) else { return Ok(()) };
        let what = match not_current {
            NotCurrent::RotatedAway => "was rotated away: this run has the old one still",
            NotCurrent::Unknown => "is not the new one of the rotation before",
        };
        let (found, expected) = (found.to_string(), keys.new.to_string());
        Err(RotateError::NotCurrent { environment: self.environment.name.to_string(), found, expected, what }.into())
    }

    fn new_key_of(&mut self, open: &Open, blob: BlobHash) -> Result<LicenseKey, Failure> {
        let answer = self.answer(open, blob)?;
        let new = read_rotated(&answer).map_err(|_| not_a_key("new key"))?;
        keyring::meet(self.ctx, &new.key);
        Ok(new.key)
    }

    /// The sealed answer in plain: in hand, or opened with the identity.
    pub(super) fn answer(&mut self, open: &Open, blob: BlobHash) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match &self.answer {
            Some((hash, plain)) if *hash == blob => Ok(plain.clone()),
            Some(_) | None => {
                let plain = self.open_sealed("new key", &open.id, BlobKind::Answer, blob)?;
                self.answer = Some((blob, plain.clone()));
                Ok(plain)
            }
        }
    }

    fn open_sealed(
        &self,
        what: &'static str,
        id: &RotationId,
        kind: BlobKind,
        hash: BlobHash,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let environment = &self.environment.name;
        let failed = |why: String, next: String| Failure::from(RotateError::NotOpened { what, why, next });
        let again = format!("then `cargo xtask rotate {environment} --resume`");
        let armor = self
            .escrow
            .find_exact(&id.0, kind, hash)
            .map_err(|error| failed(error.to_string(), again.clone()))?
            .ok_or_else(|| {
                let why = "this machine does not have it".to_owned();
                let there = format!("run it where `.license/escrow/{environment}` has {}.{kind}.age", id.0);
                failed(
                    why,
                    if kind == BlobKind::Answer { format!("{there}; {}", bring_it(environment)) } else { there },
                )
            })?;
        let Some(identity) = self.identity() else {
            let why = "`[escrow] identity` is not set here".to_owned();
            return Err(failed(why, format!("set what `[escrow] identity` names, {again}")));
        };
        identity?.open(&armor).map_err(|error| failed(error.to_string(), again))
    }

    /// Opens the sealed answer and asks about the new key until it is accepted, for a minute at most.
    pub(super) fn validate_new(
        &mut self,
        run: &mut Run,
        open: &Open,
        blob: BlobHash,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        let answer = self.answer(open, blob)?;
        let seen = match read_rotated(&answer) {
            Ok(new) => {
                keyring::meet(self.ctx, &new.key);
                self.tell_what_was_stated(open, &new);
                self.accepted(open, &new)
            }
            Err(why) => NewKey::Unusable { why },
        };
        failpoint::reached(self.ctx, "after-validate");
        Ok(after_validation(open, run, seen).map(|fact| (open.id.clone(), fact)))
    }

    /// What stood beside the new key. Nobody knows whose expiry it is, so that it is shown and not used.
    fn tell_what_was_stated(&self, open: &Open, new: &authority::NewKey) {
        // An answer that repeats the old key or a token in the wrong place does not get it shown.
        let ours = keyring::secrets(self.ctx, self.config);
        let old = self.old_key.as_ref().map(LicenseKey::reveal);
        let secrets = Secrets::of(ours.iter().map(|secret| secret.as_str()).chain(old));
        if let Some(expiry) = &new.expires_at_words {
            let expiry = secrets.quote(expiry);
            self.narrator.note(&format!("the authority states `{expiry}`: the end of the grace, or of the new key"));
        }
        let known = open.terms.snapshot.license_id.as_deref();
        if let Some(id) = new.license_id.as_deref().filter(|id| Some(*id) != known) {
            self.narrator.note(&format!(
                "the license has a new id, `{}`: write it as `license` into `[environments.{}]`",
                secrets.quote(id),
                self.environment.name
            ));
        }
    }

    fn accepted(&self, open: &Open, new: &authority::NewKey) -> NewKey {
        let deadline = Instant::now() + Duration::from_secs(bounds::accept_secs(self.ctx));
        let mut pause = ACCEPT_PAUSE;
        let waiting = self.narrator.progress("asking the authority about the new key");
        // Bounded by the deadline.
        let seen = loop {
            let seen = self.look_at_new(open, new);
            let is_over = Instant::now() + pause > deadline || self.signals.stop().is_some();
            match &seen {
                NewKey::Accepted { .. } => break seen,
                NewKey::Unusable { .. } | NewKey::NotAsked if is_over => break seen,
                NewKey::Unusable { why } => waiting.tick(why),
                NewKey::NotAsked => waiting.tick("the authority could not be asked"),
            }
            if self.signals.sleep(pause).is_some() {
                break NewKey::NotAsked;
            }
            pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
        };
        waiting.done();
        seen
    }

    fn look_at_new(&self, open: &Open, new: &authority::NewKey) -> NewKey {
        let Ok(reply) = self.authority.validate(&new.key, &self.environment.demand.domain) else {
            return NewKey::NotAsked;
        };
        if let Some(why) = self.why_not(open, &new.key, &reply) {
            return NewKey::Unusable { why };
        }
        NewKey::Accepted { new: new.key.fingerprint(), grace_ends_at: None }
    }

    /// Why the new key does not do for what the old one did.
    fn why_not(&self, open: &Open, key: &LicenseKey, reply: &Reply) -> Option<String> {
        let license: &License = &reply.license;
        if let Answer::Refused { code, .. } = &license.answer {
            let code = code.as_deref().unwrap_or("no code");
            return Some(format!("the authority refuses the new key ({code})"));
        }
        let missing = open.terms.snapshot.features.as_ref().and_then(|before| {
            let now = license.features.as_ref()?;
            before.difference(now).next().cloned()
        });
        if let Some(feature) = missing {
            return Some(format!("the new key lacks the feature `{}`", license_core::finding::clean(&feature)));
        }
        // How many activations a deploy adds, and how long the license must last, are a deploy's demands.
        let demand = license_core::Demand {
            activations: None,
            min_days_left: 0,
            key_age_max_days: None,
            ..self.environment.demand.clone()
        };
        let now = Now { at: context::now(), authority_ahead: reply.authority_ahead };
        let failed =
            judge(&demand, key, license, None, now).into_iter().find(|check| check.outcome == Outcome::Fail)?;
        Some(failed.message)
    }

    /// Whether both keys work now.
    pub(super) fn both_keys(&mut self, keys: &Keys) -> BothKeys {
        let new = self.key_of(keys, Which::New).map_or(Liveness::NotAsked, |key| self.liveness(&key));
        let old = self.key_of(keys, Which::Old).map_or(Liveness::NotAsked, |key| self.liveness(&key));
        match (old, new) {
            (Liveness::Accepted, Liveness::Accepted) => BothKeys::Confirmed,
            (Liveness::Refused, Liveness::Accepted | Liveness::Refused | Liveness::NotAsked) => BothKeys::Absent,
            (Liveness::Accepted | Liveness::NotAsked, _) => BothKeys::Unknown,
        }
    }

    pub(super) fn liveness(&self, key: &LicenseKey) -> Liveness {
        match self.authority.validate(key, &self.environment.demand.domain) {
            Ok(reply) => match reply.license.answer {
                Answer::Accepted { .. } => Liveness::Accepted,
                Answer::Refused { .. } => Liveness::Refused,
            },
            Err(_) => Liveness::NotAsked,
        }
    }

    /// The new key of a rotation whose stores all have it: where its sealed answer cannot be had, deploys read it still.
    fn new_key_or_current(&mut self, keys: &Keys) -> Result<LicenseKey, Failure> {
        let sealed = self.key_of(keys, Which::New);
        match self.current_key() {
            Ok(key) if sealed.is_err() && key.fingerprint() == keys.new => Ok(key),
            Ok(_) | Err(_) => sealed,
        }
    }

    /// After the grace: the old key must be dead, and the new one alive. Both are needed for that.
    pub(super) fn close(
        &mut self,
        run: &mut Run,
        keys: &Keys,
        adoption: Adoption,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        let old = self.key_of(keys, Which::Old)?;
        let new = self.new_key_or_current(keys)?;
        let fact = after_close(run, self.liveness(&old), self.liveness(&new), adoption);
        Ok(fact.map(|fact| (keys.open.id.clone(), fact)))
    }
}

/// What to do where the sealed answer is nowhere any more.
fn bring_it(environment: &EnvName) -> String {
    format!(
        "if that is lost, pipe the new key, from the authority's portal or a store that has it, into `cargo xtask rotate \
         {environment} --adopt`"
    )
}

fn not_a_key(what: &'static str) -> Failure {
    RotateError::NotOpened {
        what,
        why: "what was sealed is no license key".to_owned(),
        next: "look at it with `cargo xtask escrow open`, and bring the key with `--adopt`".to_owned(),
    }
    .into()
}
