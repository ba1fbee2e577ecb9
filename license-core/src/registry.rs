//! The rules of an authority: issue, validate, activate, rotate, renew, suspend, revoke.
//!
//! State is what replaying the records gives. A deciding function looks at the state and says which event
//! happens, or why none may; [`Registry::apply`] is the only thing that changes the state. Time and randomness are
//! arguments. The events hold license keys in plain text, since an authority must be able to show its keys again:
//! whoever stores them keeps them private.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use core::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{Domain, DomainError, DomainPattern},
    key::{KeyClass, LicenseKey},
    license::{ActivationLimit, Answer, License, Status},
};

/// How many random bytes a new license takes: one for every character of its id and of its key.
pub const ISSUE_RANDOM_BYTES: usize = ID_CHARS + KEY_RANDOM_BYTES;

/// How many random bytes a new key takes: one for every character, of which five bits are used (150 bits in all).
pub const KEY_RANDOM_BYTES: usize = KEY_GROUPS * KEY_GROUP_CHARS;

/// The longest grace period of a rotated key, in days.
pub const GRACE_DAYS_MAX: u32 = 90;

/// The grace period when none is asked for, in days.
pub const GRACE_DAYS_DEFAULT: u32 = 7;

/// For how many hours a repeated idempotency key gets the same answer.
pub const IDEMPOTENCY_HOURS: i64 = 24;

/// The most domains, and the most features, of one license.
pub const LIST_ENTRIES_MAX: usize = 100;

/// The longest plan, feature or idempotency key, in bytes.
pub const TEXT_BYTES_MAX: usize = 255;

const ID_CHARS: usize = 16;
const KEY_GROUPS: usize = 6;
const KEY_GROUP_CHARS: usize = 5;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, by the authority's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened to a license. There is no catch-all: an event that is not understood could be a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A license began.
    Issued {
        /// Its id.
        license_id: LicenseId,
        /// Its first key.
        key: StoredKey,
        /// What it grants.
        terms: Terms,
    },
    /// It was switched off for now.
    Suspended {
        /// The license.
        license_id: LicenseId,
    },
    /// It was switched on again.
    Resumed {
        /// The license.
        license_id: LicenseId,
    },
    /// It was withdrawn for good.
    Revoked {
        /// The license.
        license_id: LicenseId,
    },
    /// It lasts longer.
    Renewed {
        /// The license.
        license_id: LicenseId,
        /// When it ends now; absent means never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// One activation was taken.
    Activated {
        /// The license.
        license_id: LicenseId,
    },
    /// One activation was given back.
    Deactivated {
        /// The license.
        license_id: LicenseId,
    },
    /// The key was replaced.
    Rotated {
        /// The license.
        license_id: LicenseId,
        /// The new key, in force from this moment.
        key: StoredKey,
        /// Until when the replaced key works.
        grace_ends_at: Timestamp,
        /// What becomes of keys whose grace was still open.
        previous: KeepPrevious,
        /// The name that the caller gave this rotation, to be able to repeat the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    },
    /// The license covers one more domain.
    DomainAdded {
        /// The license.
        license_id: LicenseId,
        /// The domain, as it was written.
        domain: String,
    },
    /// The license no longer covers a domain.
    DomainRemoved {
        /// The license.
        license_id: LicenseId,
        /// The domain; it may have been written otherwise when it was added.
        domain: String,
    },
}

impl Event {
    /// The license that it happened to.
    pub fn license_id(&self) -> &LicenseId {
        match self {
            Self::Issued { license_id, .. }
            | Self::Suspended { license_id }
            | Self::Resumed { license_id }
            | Self::Revoked { license_id }
            | Self::Renewed { license_id, .. }
            | Self::Activated { license_id }
            | Self::Deactivated { license_id }
            | Self::Rotated { license_id, .. }
            | Self::DomainAdded { license_id, .. }
            | Self::DomainRemoved { license_id, .. } => license_id,
        }
    }

    /// Its name, as in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Suspended { .. } => "suspended",
            Self::Resumed { .. } => "resumed",
            Self::Revoked { .. } => "revoked",
            Self::Renewed { .. } => "renewed",
            Self::Activated { .. } => "activated",
            Self::Deactivated { .. } => "deactivated",
            Self::Rotated { .. } => "rotated",
            Self::DomainAdded { .. } => "domain_added",
            Self::DomainRemoved { .. } => "domain_removed",
        }
    }
}

/// What a license grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The class of its keys.
    pub class: KeyClass,
    /// The plan's name.
    pub plan: String,
    /// What it covers: domains, or `*.` and a domain.
    pub domains: Vec<String>,
    /// The features that it includes.
    pub features: BTreeSet<String>,
    /// How many activations are in use from the beginning.
    pub activations_used: u64,
    /// How many activations it allows.
    pub activation_limit: ActivationLimit,
    /// When it ends; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What becomes of older keys whose grace is still open when the key is rotated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepPrevious {
    /// Only the key that is replaced now stays in grace; older ones end at once.
    One,
    /// All of them keep their grace.
    All,
}

/// A license's id: `lic_` and 16 random characters. Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LicenseId(String);

impl LicenseId {
    /// The longest id that is accepted, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn random(bytes: &[u8]) -> Self {
        let mut id = String::from("lic_");
        id.extend(bytes.iter().map(|byte| base32(*byte).to_ascii_lowercase()));
        Self(id)
    }
}

impl fmt::Display for LicenseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LicenseId {
    type Err = NotALicenseId;

    fn from_str(text: &str) -> Result<Self, NotALicenseId> {
        Self::try_from(text.to_owned())
    }
}

impl From<LicenseId> for String {
    fn from(id: LicenseId) -> Self {
        id.0
    }
}

impl TryFrom<String> for LicenseId {
    type Error = NotALicenseId;

    fn try_from(text: String) -> Result<Self, NotALicenseId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let good = text.len() <= Self::BYTES_MAX
            && text.strip_prefix("lic_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed));
        if good { Ok(Self(text)) } else { Err(NotALicenseId) }
    }
}

/// A text that is not a license's id. Never carries the text: it may be a key that was pasted into the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a license id is `lic_` and up to 60 letters, digits, `_` or `-`")]
pub struct NotALicenseId;

/// A license key as the authority keeps it. It is serialized in plain text, and only here; its `Debug` is masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StoredKey(LicenseKey);

impl StoredKey {
    /// The key.
    pub fn key(&self) -> &LicenseKey {
        &self.0
    }

    /// What may be shown of it: the class and the last four characters, as in `TO-DEV-****-9K2M`.
    pub fn masked(&self) -> String {
        let text = self.0.reveal();
        let class = self.0.class().map_or("KEY", KeyClass::as_str);
        let last = text.len().checked_sub(MASK_SHOWN_CHARS).and_then(|at| text.get(at..)).unwrap_or_default();
        format!("TO-{class}-****-{last}")
    }

    fn random(class: KeyClass, bytes: &[u8]) -> Self {
        let mut text = format!("TO-{class}");
        for group in bytes.chunks(KEY_GROUP_CHARS) {
            text.push('-');
            text.extend(group.iter().map(|byte| base32(*byte)));
        }
        Self(LicenseKey::parse(&text).expect("letters, digits and hyphens are a key"))
    }
}

const MASK_SHOWN_CHARS: usize = 4;

impl From<StoredKey> for String {
    fn from(key: StoredKey) -> Self {
        key.0.reveal().to_owned()
    }
}

impl TryFrom<String> for StoredKey {
    type Error = crate::key::KeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        LicenseKey::parse(&text).map(Self)
    }
}

/// Five bits as a character of Crockford's alphabet, which leaves out I, L, O and U.
fn base32(byte: u8) -> char {
    char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[usize::from(byte & 31)])
}

/// Where keys are looked up: by hash, so that the time it takes tells nothing about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KeyHash([u8; 32]);

impl KeyHash {
    fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// Every license that an authority has issued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    licenses: BTreeMap<LicenseId, Licensed>,
    keys: BTreeMap<KeyHash, Holder>,
}

/// Which license a key belongs to, and how far it still works.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    license_id: LicenseId,
    issued_at: Timestamp,
    use_: KeyUse,
}

/// Whether a key is the license's current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It is.
    Current,
    /// It was replaced, and works until its grace ends.
    Replaced {
        /// When it was replaced.
        at: Timestamp,
        /// Until when it works; it may lie in the past.
        grace_ends_at: Timestamp,
    },
}

/// One license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licensed {
    /// Its id.
    pub id: LicenseId,
    /// What it grants, as it is now.
    pub terms: Terms,
    /// Whether it is in force.
    pub standing: Standing,
    /// Its current key.
    pub key: StoredKey,
    /// When it was issued.
    pub created_at: Timestamp,
    patterns: Vec<DomainPattern>,
    replaced: Vec<KeyHash>,
    repeats: Vec<Repeat>,
}

/// Whether a license is in force, apart from its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Active,
    /// It is switched off for now.
    Suspended,
    /// It is withdrawn for good.
    Revoked,
}

/// The answer to a rotation that may be asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeat {
    idempotency_key: String,
    at: Timestamp,
    rotation: Rotation,
}

/// What issuing gives to its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The license's id.
    pub license_id: LicenseId,
    /// Its key.
    pub key: StoredKey,
    /// When it ends; absent means never.
    pub expires_at: Option<Timestamp>,
}

/// What a rotation gives to its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new key, in force at once.
    pub key: StoredKey,
    /// Until when the replaced key works.
    pub grace_ends_at: Timestamp,
}

/// How a key is to be rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationWish {
    /// For how many days the replaced key works on, at most [`GRACE_DAYS_MAX`].
    pub grace_days: u32,
    /// What becomes of keys whose grace is still open.
    pub previous: KeepPrevious,
    /// A name for this rotation: asked for again within [`IDEMPOTENCY_HOURS`], it rotates nothing and answers the same.
    pub idempotency_key: Option<String>,
}

/// What a validation asks about besides the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Whether the license covers this domain.
    Domain(&'a Domain),
    /// A text that is no domain: no license covers it.
    NotADomain,
    /// Nothing.
    KeyOnly,
}

impl Registry {
    /// Changes the state by one record. Records that name a license that does not exist change nothing.
    pub fn apply(&mut self, record: &Record) {
        match &record.event {
            Event::Issued { license_id, key, terms } => self.begin(record.at, license_id, key, terms),
            Event::Rotated { license_id, key, grace_ends_at, previous, idempotency_key } => {
                let rotation = Rotation { key: key.clone(), grace_ends_at: *grace_ends_at };
                self.replace_key(record.at, license_id, &rotation, *previous, idempotency_key.as_deref());
            }
            Event::Suspended { license_id } => self.alter(license_id, |license| license.standing = Standing::Suspended),
            Event::Resumed { license_id } => self.alter(license_id, |license| license.standing = Standing::Active),
            Event::Revoked { license_id } => self.alter(license_id, |license| license.standing = Standing::Revoked),
            Event::Renewed { license_id, expires_at } => {
                self.alter(license_id, |license| license.terms.expires_at = *expires_at);
            }
            Event::Activated { license_id } => self.alter(license_id, |license| {
                license.terms.activations_used = license.terms.activations_used.saturating_add(1);
            }),
            Event::Deactivated { license_id } => self.alter(license_id, |license| {
                license.terms.activations_used = license.terms.activations_used.saturating_sub(1);
            }),
            Event::DomainAdded { license_id, domain } => self.alter(license_id, |license| {
                license.terms.domains.push(domain.clone());
                license.patterns = patterns(&license.terms.domains);
            }),
            Event::DomainRemoved { license_id, domain } => self.alter(license_id, |license| {
                license.terms.domains.retain(|covered| !is_same_domain(covered, domain));
                license.patterns = patterns(&license.terms.domains);
            }),
        }
    }

    fn alter(&mut self, id: &LicenseId, change: impl FnOnce(&mut Licensed)) {
        if let Some(license) = self.licenses.get_mut(id) {
            change(license);
        }
    }

    fn begin(&mut self, at: Timestamp, id: &LicenseId, key: &StoredKey, terms: &Terms) {
        let license = Licensed {
            id: id.clone(),
            terms: terms.clone(),
            standing: Standing::Active,
            key: key.clone(),
            created_at: at,
            patterns: patterns(&terms.domains),
            replaced: Vec::new(),
            repeats: Vec::new(),
        };
        self.licenses.insert(id.clone(), license);
        self.hold(at, id, key);
    }

    fn hold(&mut self, at: Timestamp, id: &LicenseId, key: &StoredKey) {
        let holder = Holder { license_id: id.clone(), issued_at: at, use_: KeyUse::Current };
        self.keys.insert(KeyHash::of(key.key().reveal()), holder);
    }

    fn replace_key(
        &mut self,
        at: Timestamp,
        id: &LicenseId,
        rotation: &Rotation,
        previous: KeepPrevious,
        idempotency_key: Option<&str>,
    ) {
        let Some(license) = self.licenses.get_mut(id) else { return };
        if previous == KeepPrevious::One {
            for hash in license.replaced.drain(..) {
                end_grace(self.keys.get_mut(&hash), at);
            }
        }
        let old = KeyHash::of(license.key.key().reveal());
        if let Some(holder) = self.keys.get_mut(&old) {
            holder.use_ = KeyUse::Replaced { at, grace_ends_at: rotation.grace_ends_at };
        }
        license.replaced.push(old);
        license.key = rotation.key.clone();
        license.remember(at, idempotency_key, rotation);
        self.hold(at, id, &rotation.key);
    }

    /// Says whether a key may be used now. Costs no activation and changes nothing.
    pub fn validate(&self, key: &str, asked: Asked<'_>, now: Timestamp) -> Validation<'_> {
        let Some(holder) = self.keys.get(&KeyHash::of(key)) else { return Validation::UnknownKey };
        let Some(license) = self.licenses.get(&holder.license_id) else { return Validation::UnknownKey };
        let refusal = license
            .refuses_use(now)
            .or_else(|| refuses_key(holder.use_, now))
            .or_else(|| license.refuses_domain(asked));
        Validation::Known(Known { license, key_issued_at: holder.issued_at, key_use: holder.use_, refusal })
    }

    /// Every license, in the order of the ids.
    pub fn licenses(&self) -> impl Iterator<Item = &Licensed> {
        self.licenses.values()
    }

    /// Whether nothing was ever issued.
    pub fn is_empty(&self) -> bool {
        self.licenses.is_empty()
    }

    /// The license with this id.
    pub fn license(&self, id: &LicenseId) -> Result<&Licensed, Refusal> {
        self.licenses.get(id).ok_or_else(|| Refusal::NotFound { license_id: id.clone() })
    }

    /// Decides about a new license. An expiry in the past and activations beyond the limit are allowed: such licenses exist.
    pub fn issue(&self, terms: Terms, random: &[u8; ISSUE_RANDOM_BYTES]) -> Result<(Event, Issued), Refusal> {
        check_terms(&terms)?;
        let (for_id, for_key) = random.split_at(ID_CHARS);
        let license_id = LicenseId::random(for_id);
        let key = self.unused_key(terms.class, for_key)?;
        if self.licenses.contains_key(&license_id) {
            return Err(Refusal::RandomRepeats);
        }
        let issued = Issued { license_id: license_id.clone(), key: key.clone(), expires_at: terms.expires_at };
        Ok((Event::Issued { license_id, key, terms }, issued))
    }

    fn unused_key(&self, class: KeyClass, random: &[u8]) -> Result<StoredKey, Refusal> {
        let key = StoredKey::random(class, random);
        if self.keys.contains_key(&KeyHash::of(key.key().reveal())) {
            return Err(Refusal::RandomRepeats);
        }
        Ok(key)
    }

    /// Decides about switching a license off; nothing happens when it is off already.
    pub fn suspend(&self, id: &LicenseId) -> Result<Option<Event>, Refusal> {
        match self.license(id)?.standing {
            Standing::Active => Ok(Some(Event::Suspended { license_id: id.clone() })),
            Standing::Suspended => Ok(None),
            Standing::Revoked => Err(Refusal::Revoked { license_id: id.clone() }),
        }
    }

    /// Decides about switching a license on again; nothing happens when it is on already.
    pub fn resume(&self, id: &LicenseId) -> Result<Option<Event>, Refusal> {
        match self.license(id)?.standing {
            Standing::Active => Ok(None),
            Standing::Suspended => Ok(Some(Event::Resumed { license_id: id.clone() })),
            Standing::Revoked => Err(Refusal::Revoked { license_id: id.clone() }),
        }
    }

    /// Decides about withdrawing a license; nothing happens when it is withdrawn already.
    pub fn revoke(&self, id: &LicenseId) -> Result<Option<Event>, Refusal> {
        match self.license(id)?.standing {
            Standing::Active | Standing::Suspended => Ok(Some(Event::Revoked { license_id: id.clone() })),
            Standing::Revoked => Ok(None),
        }
    }

    /// Decides about a license that is to last longer, or for ever; one that has ended begins again.
    pub fn renew(&self, id: &LicenseId, expires_at: Option<Timestamp>) -> Result<Event, Refusal> {
        let license = self.license(id)?;
        let license_id = id.clone();
        let is_later = match (license.terms.expires_at, expires_at) {
            (Some(now), Some(then)) => then > now,
            (Some(_), None) => true,
            (None, _) => false,
        };
        match (license.standing, is_later) {
            (Standing::Revoked, _) => Err(Refusal::Revoked { license_id }),
            (Standing::Active | Standing::Suspended, false) => Err(Refusal::NotLater { license_id }),
            (Standing::Active | Standing::Suspended, true) => Ok(Event::Renewed { license_id, expires_at }),
        }
    }

    /// Decides about taking one activation.
    pub fn activate(&self, id: &LicenseId, now: Timestamp) -> Result<Event, Refusal> {
        let license = self.in_force(id, now)?;
        match license.terms.activation_limit {
            ActivationLimit::AtMost(limit) if license.terms.activations_used >= limit => {
                Err(Refusal::ActivationsUsedUp { license_id: id.clone(), used: license.terms.activations_used, limit })
            }
            ActivationLimit::AtMost(_) | ActivationLimit::Unlimited => Ok(Event::Activated { license_id: id.clone() }),
        }
    }

    /// Decides about giving one activation back; a license that is not in force can still give back.
    pub fn deactivate(&self, id: &LicenseId) -> Result<Event, Refusal> {
        match self.license(id)?.terms.activations_used {
            0 => Err(Refusal::NothingActive { license_id: id.clone() }),
            _ => Ok(Event::Deactivated { license_id: id.clone() }),
        }
    }

    /// Decides about replacing a license's key. Without an event, the rotation was asked for before and this is its answer.
    pub fn rotate(
        &self,
        id: &LicenseId,
        wish: RotationWish,
        now: Timestamp,
        random: &[u8; KEY_RANDOM_BYTES],
    ) -> Result<(Option<Event>, Rotation), Refusal> {
        let license = self.license(id)?;
        check_text("the idempotency key", wish.idempotency_key.as_deref().unwrap_or_default())?;
        // Before a repetition is answered: no key of a revoked license is shown to anybody.
        if license.standing == Standing::Revoked {
            return Err(Refusal::Revoked { license_id: id.clone() });
        }
        if let Some(rotation) = wish.idempotency_key.as_deref().and_then(|key| license.repeated(key, now)) {
            return Ok((None, rotation.clone()));
        }
        let key = self.unused_key(license.terms.class, random)?;
        let grace_ends_at = grace_end(now, wish.grace_days)?;
        let event = Event::Rotated {
            license_id: id.clone(),
            key: key.clone(),
            grace_ends_at,
            previous: wish.previous,
            idempotency_key: wish.idempotency_key,
        };
        Ok((Some(event), Rotation { key, grace_ends_at }))
    }

    /// Decides about covering one more domain; nothing happens when it is covered already, however it was written then.
    pub fn add_domain(&self, id: &LicenseId, domain: &str) -> Result<Option<Event>, Refusal> {
        let license = self.license(id)?;
        check_domain(domain)?;
        if license.terms.domains.iter().any(|covered| is_same_domain(covered, domain)) {
            return Ok(None);
        }
        check_count("domains", license.terms.domains.len() + 1)?;
        Ok(Some(Event::DomainAdded { license_id: id.clone(), domain: domain.to_owned() }))
    }

    /// Decides about covering a domain no longer, however it was written.
    pub fn remove_domain(&self, id: &LicenseId, domain: &str) -> Result<Event, Refusal> {
        let license = self.license(id)?;
        if license.terms.domains.iter().any(|covered| is_same_domain(covered, domain)) {
            Ok(Event::DomainRemoved { license_id: id.clone(), domain: domain.to_owned() })
        } else {
            Err(Refusal::DomainNotThere { license_id: id.clone() })
        }
    }

    fn in_force(&self, id: &LicenseId, now: Timestamp) -> Result<&Licensed, Refusal> {
        let license = self.license(id)?;
        let license_id = id.clone();
        match license.status(now) {
            Lifecycle::Active => Ok(license),
            Lifecycle::Suspended => Err(Refusal::Suspended { license_id }),
            Lifecycle::Revoked => Err(Refusal::Revoked { license_id }),
            Lifecycle::Expired => Err(Refusal::Expired { license_id }),
        }
    }
}

/// Ends the grace of a replaced key, unless it is over already.
fn end_grace(holder: Option<&mut Holder>, now: Timestamp) {
    let Some(holder) = holder else { return };
    match &mut holder.use_ {
        KeyUse::Current => {}
        KeyUse::Replaced { grace_ends_at, .. } => *grace_ends_at = (*grace_ends_at).min(now),
    }
}

/// Whether two texts name the same domain: `App.com` is `app.com`.
fn is_same_domain(one: &str, other: &str) -> bool {
    one == other || DomainPattern::parse(one).ok().zip(DomainPattern::parse(other).ok()).is_some_and(|(a, b)| a == b)
}

/// A text that cannot be read covers nothing: deciding refuses it, and a log could still hold one.
fn patterns(domains: &[String]) -> Vec<DomainPattern> {
    domains.iter().filter_map(|domain| DomainPattern::parse(domain).ok()).collect()
}

fn grace_end(now: Timestamp, grace_days: u32) -> Result<Timestamp, Refusal> {
    if grace_days > GRACE_DAYS_MAX {
        return Err(Refusal::GraceTooLong { grace_days });
    }
    now.checked_add(SignedDuration::from_hours(24 * i64::from(grace_days)))
        .map_err(|_| Refusal::GraceTooLong { grace_days })
}

fn check_terms(terms: &Terms) -> Result<(), Refusal> {
    check_text("the plan", &terms.plan)?;
    check_count("domains", terms.domains.len())?;
    check_count("features", terms.features.len())?;
    terms.features.iter().try_for_each(|feature| check_text("a feature", feature))?;
    terms.domains.iter().try_for_each(|domain| check_domain(domain))
}

fn check_domain(domain: &str) -> Result<(), Refusal> {
    DomainPattern::parse(domain).map(|_| ()).map_err(|why| Refusal::NotADomain { why })
}

fn check_text(what: &'static str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        Err(Refusal::BadText { what })
    } else {
        Ok(())
    }
}

fn check_count(what: &'static str, count: usize) -> Result<(), Refusal> {
    if count > LIST_ENTRIES_MAX { Err(Refusal::TooMany { what, count }) } else { Ok(()) }
}

/// Where a license is in its life, its expiry included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// In force.
    Active,
    /// Switched off for now.
    Suspended,
    /// Withdrawn for good.
    Revoked,
    /// Past its end.
    Expired,
}

impl Lifecycle {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl From<Lifecycle> for Status {
    fn from(status: Lifecycle) -> Self {
        match status {
            Lifecycle::Active => Self::Active,
            Lifecycle::Suspended => Self::Suspended,
            Lifecycle::Revoked => Self::Revoked,
            Lifecycle::Expired => Self::Expired,
        }
    }
}

impl Licensed {
    /// Where the license is in its life. It has expired from the very second of its expiry on.
    pub fn status(&self, now: Timestamp) -> Lifecycle {
        match (self.standing, self.terms.expires_at) {
            (Standing::Revoked, _) => Lifecycle::Revoked,
            (Standing::Suspended, _) => Lifecycle::Suspended,
            (Standing::Active, Some(end)) if now >= end => Lifecycle::Expired,
            (Standing::Active, _) => Lifecycle::Active,
        }
    }

    fn refuses_use(&self, now: Timestamp) -> Option<RefusalCode> {
        match self.status(now) {
            Lifecycle::Active => None,
            Lifecycle::Suspended => Some(RefusalCode::Suspended),
            Lifecycle::Revoked => Some(RefusalCode::Revoked),
            Lifecycle::Expired => Some(RefusalCode::Expired),
        }
    }

    fn refuses_domain(&self, asked: Asked<'_>) -> Option<RefusalCode> {
        let covered = match asked {
            Asked::KeyOnly => true,
            Asked::NotADomain => false,
            Asked::Domain(domain) => self.patterns.iter().any(|pattern| pattern.covers(domain)),
        };
        (!covered).then_some(RefusalCode::DomainMismatch)
    }

    fn repeated(&self, idempotency_key: &str, now: Timestamp) -> Option<&Rotation> {
        let repeat = self.repeats.iter().find(|repeat| repeat.idempotency_key == idempotency_key)?;
        repeat.is_open(now).then_some(&repeat.rotation)
    }

    fn remember(&mut self, at: Timestamp, idempotency_key: Option<&str>, rotation: &Rotation) {
        self.repeats.retain(|repeat| repeat.is_open(at));
        if let Some(key) = idempotency_key {
            self.repeats.push(Repeat { idempotency_key: key.to_owned(), at, rotation: rotation.clone() });
        }
    }
}

impl Repeat {
    fn is_open(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) < SignedDuration::from_hours(IDEMPOTENCY_HOURS)
    }
}

fn refuses_key(use_: KeyUse, now: Timestamp) -> Option<RefusalCode> {
    match use_ {
        KeyUse::Current => None,
        KeyUse::Replaced { grace_ends_at, .. } => (now >= grace_ends_at).then_some(RefusalCode::KeyReplaced),
    }
}

/// The answer to a validation, borrowed from the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation<'a> {
    /// Nobody ever issued this key.
    UnknownKey,
    /// The key is known: the facts are there, whether or not it is refused.
    Known(Known<'a>),
}

/// What is known about a key that was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// Its license.
    pub license: &'a Licensed,
    /// When this key was issued; the license may be older.
    pub key_issued_at: Timestamp,
    /// Whether it is the current key.
    pub key_use: KeyUse,
    /// Why it is refused, if it is.
    pub refusal: Option<RefusalCode>,
}

impl Validation<'_> {
    /// Why the key is refused, if it is.
    pub fn refusal(&self) -> Option<RefusalCode> {
        match self {
            Self::UnknownKey => Some(RefusalCode::NotFound),
            Self::Known(known) => known.refusal,
        }
    }

    /// The answer as the gate takes it.
    pub fn license(&self, now: Timestamp) -> License {
        let answer = match self.refusal() {
            None => Answer::Accepted { code: None },
            Some(code) => {
                Answer::Refused { code: Some(code.as_str().to_owned()), message: Some(code.message().to_owned()) }
            }
        };
        match self {
            Self::UnknownKey => License::bare(answer),
            Self::Known(known) => known.license(answer, now),
        }
    }
}

impl Known<'_> {
    /// Until when the key works, if it was replaced.
    pub fn grace_ends_at(&self) -> Option<Timestamp> {
        match self.key_use {
            KeyUse::Current => None,
            KeyUse::Replaced { grace_ends_at, .. } => Some(grace_ends_at),
        }
    }

    fn license(&self, answer: Answer, now: Timestamp) -> License {
        let terms = &self.license.terms;
        License {
            id: Some(self.license.id.as_str().to_owned()),
            status: Some(self.license.status(now).into()),
            plan: Some(terms.plan.clone()),
            issued_at: Some(self.key_issued_at),
            expires_at: terms.expires_at,
            domains: Some(terms.domains.clone()),
            features: Some(terms.features.clone()),
            activations_used: Some(terms.activations_used),
            activation_limit: Some(terms.activation_limit),
            grace_ends_at: self.grace_ends_at(),
            ..License::bare(answer)
        }
    }
}

/// Why a key is refused: the codes of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// Nobody issued the key.
    NotFound,
    /// The license is withdrawn.
    Revoked,
    /// The license is switched off.
    Suspended,
    /// The license is past its end.
    Expired,
    /// The key was replaced, and its grace is over.
    KeyReplaced,
    /// The license does not cover the domain.
    DomainMismatch,
}

impl RefusalCode {
    /// The code on the wire. A replaced key is a revoked one: its license lives on under another key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "LICENSE_NOT_FOUND",
            Self::Revoked | Self::KeyReplaced => "LICENSE_REVOKED",
            Self::Suspended => "LICENSE_SUSPENDED",
            Self::Expired => "LICENSE_EXPIRED",
            Self::DomainMismatch => "DOMAIN_MISMATCH",
        }
    }

    /// A sentence for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotFound => "no license has this key",
            Self::Revoked => "the license is revoked",
            Self::Suspended => "the license is suspended",
            Self::Expired => "the license has expired",
            Self::KeyReplaced => "the key was replaced by a newer one, and its grace period is over",
            Self::DomainMismatch => "the license does not cover this domain",
        }
    }
}

/// Why a change is refused. Never carries a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No license has this id.
    #[error("there is no license `{license_id}`")]
    NotFound {
        /// The id.
        license_id: LicenseId,
    },
    /// The license is withdrawn for good.
    #[error("license `{license_id}` is revoked, and that cannot be undone")]
    Revoked {
        /// The id.
        license_id: LicenseId,
    },
    /// The license is switched off for now.
    #[error("license `{license_id}` is suspended")]
    Suspended {
        /// The id.
        license_id: LicenseId,
    },
    /// The license is past its end.
    #[error("license `{license_id}` has expired")]
    Expired {
        /// The id.
        license_id: LicenseId,
    },
    /// It would not last longer than it does.
    #[error("license `{license_id}` would not last longer than it does")]
    NotLater {
        /// The id.
        license_id: LicenseId,
    },
    /// Every activation is taken.
    #[error("license `{license_id}` has {used} of {limit} activations in use")]
    ActivationsUsedUp {
        /// The id.
        license_id: LicenseId,
        /// How many are in use.
        used: u64,
        /// How many there are.
        limit: u64,
    },
    /// There is no activation to give back.
    #[error("license `{license_id}` has no activation in use")]
    NothingActive {
        /// The id.
        license_id: LicenseId,
    },
    /// The license does not cover the domain that is to be taken off.
    #[error("license `{license_id}` does not list this domain")]
    DomainNotThere {
        /// The id.
        license_id: LicenseId,
    },
    /// A text is not a domain.
    #[error("a domain cannot be read: {why}")]
    NotADomain {
        /// What is wrong with it.
        why: DomainError,
    },
    /// A text is too long, or holds control characters.
    #[error("{what} may have up to {TEXT_BYTES_MAX} bytes and no control characters")]
    BadText {
        /// Which text.
        what: &'static str,
    },
    /// There are too many entries.
    #[error("a license has up to {LIST_ENTRIES_MAX} {what}, not {count}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// The grace period is too long.
    #[error("a grace period has up to {GRACE_DAYS_MAX} days, not {grace_days}")]
    GraceTooLong {
        /// The days.
        grace_days: u32,
    },
    /// The random bytes make an id or a key that is taken: the source of randomness is broken.
    #[error("the random numbers repeat")]
    RandomRepeats,
}

#[cfg(test)]
mod tests;
