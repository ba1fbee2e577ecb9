//! The embedded authority, in process: the registry's rules over an event log.
//!
//! The log is `events.jsonl` in a state directory; several processes may use it at once. A change locks the
//! log, reads what others appended, decides, appends and syncs. A question compares the log's length with
//! what was read, so that it sees a change of another process at once and costs one look at the file.
//!
//! The log holds license keys in plain text; the log makes its directory and file the owner's alone, and git
//! ignores them.

use std::{
    borrow::Cow,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use license_core::{
    Domain, LicenseKey,
    chain::{Entry, LineHash},
    finding::clean,
    quota::{Limit, Quota},
    registry::{
        Asked, Event, ISSUE_RANDOM_BYTES, Issued, KEY_RANDOM_BYTES, KeepPrevious, LicenseId, Licensed, Record, Refusal,
        Registry, Rotation, RotationWish, Terms,
    },
    rotation::CallOutcome,
};

use zeroize::Zeroizing;

use super::{
    Answered, AskError, Extent, ListedLicense, Listing, Reply, RotateOrder, counters::Counters,
    wire::rotate::rotated_body,
};
use crate::{
    files,
    log::{Log, LogError, Position, Reading, Stamp, TransactError},
    private_directory,
};

/// What keeps a state directory out of git, and its one line.
const GITIGNORE: &str = ".gitignore";
const IGNORE_ALL: &[u8] = b"*\n";

/// Tells the time. The clock is read elsewhere; whoever makes the authority hands it in.
pub(crate) type Clock = fn() -> Timestamp;

/// The embedded authority in one state directory. Threads may share it.
#[derive(Debug)]
pub(crate) struct Embedded {
    log: Log,
    clock: Clock,
    /// Boxed: whoever holds one of several kinds of authority holds no more than it must.
    seen: Mutex<Box<Seen>>,
}

/// The log as far as it was read, and what it says.
#[derive(Debug)]
struct Seen {
    position: Position,
    registry: Registry,
    /// What the file looked like before it was read last: while it looks the same, there is nothing new in it.
    stamp: Option<Stamp>,
    /// The first line, which tells a log that was begun again from one that lost its end.
    first: Option<LineHash>,
}

impl Seen {
    fn nothing() -> Self {
        Self { position: Position::START, registry: Registry::default(), stamp: None, first: None }
    }

    /// Takes what was not taken yet: two threads may have read the same entries, or one of them an older file.
    fn take(&mut self, reading: &Reading<Record>, stamp: Option<Stamp>) {
        let new = self.new_of(&reading.entries);
        if new.is_empty() && reading.position != self.position {
            return;
        }
        for entry in new {
            self.registry.apply(&entry.body);
        }
        self.first = self.first.or_else(|| first_line(reading));
        self.position = reading.position;
        self.stamp = stamp;
    }

    /// The state with these entries on top, for a decision that may still come to nothing.
    fn with(&self, entries: &[Entry<Record>]) -> Cow<'_, Registry> {
        let mut registry = Cow::Borrowed(&self.registry);
        for entry in self.new_of(entries) {
            registry.to_mut().apply(&entry.body);
        }
        registry
    }

    /// The entries that continue what was read; none if nothing does.
    fn new_of<'a>(&self, entries: &'a [Entry<Record>]) -> &'a [Entry<Record>] {
        let continues = |entry: &Entry<Record>| entry.prev == self.position.head.hash;
        entries.iter().position(continues).map_or(&[], |at| &entries[at..])
    }
}

/// The hash of the first line, as the second one states it, or as it stands at the end.
fn first_line(reading: &Reading<Record>) -> Option<LineHash> {
    match reading.entries.as_slice() {
        [] => None,
        [_] => Some(reading.position.head.hash),
        [_, second, ..] => Some(second.prev),
    }
}

impl Embedded {
    /// Names a state directory. Nothing is created before the first change.
    pub(crate) fn at(state: &Path, clock: Clock) -> Self {
        Self { log: Log::at(state.join("events.jsonl")), clock, seen: Mutex::new(Box::new(Seen::nothing())) }
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        self.log.path().parent().unwrap_or(Path::new("."))
    }

    /// What tells the time.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The time, by this authority's clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Answers a validation from the current state of the log.
    pub(crate) fn validate(&self, key: &LicenseKey, domain: &Domain) -> Result<Reply, AskError> {
        let license =
            self.look(|registry, now| registry.validate(key.reveal(), Asked::Domain(domain), now).license(now))?;
        Ok(Reply { license, authority_ahead: None })
    }

    /// Looks at the current state. The look is short: others wait for it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Registry, Timestamp) -> R) -> Result<R, LogError> {
        self.catch_up()?;
        Ok(self.look_at_seen(look))
    }

    /// Looks at the state as it was read last, without a look at the file.
    pub(crate) fn look_at_seen<R>(&self, look: impl FnOnce(&Registry, Timestamp) -> R) -> R {
        look(&self.seen().registry, self.now())
    }

    /// What the log looks like from outside: one `stat`.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>, LogError> {
        self.log.stamp()
    }

    /// Whether nobody wrote since the last reading: one `stat`.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn is_current(&self) -> Result<bool, LogError> {
        Ok(self.log.stamp()? == self.seen().stamp)
    }

    /// Everything that ever happened, oldest first.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn history(&self) -> Result<Vec<Entry<Record>>, LogError> {
        Ok(self.log()?.entries)
    }

    /// The same, with where it ends.
    pub(crate) fn log(&self) -> Result<Reading<Record>, LogError> {
        self.log.read_after(Position::START)
    }

    /// Makes the state directory, where it is not there yet: for whoever keeps something beside the log.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn make_directory(&self) -> Result<(), LogError> {
        self.hide_from_git()
    }

    /// Issues a license.
    pub(crate) fn issue(&self, terms: Terms) -> Result<Issued, ChangeError> {
        let random = random::<ISSUE_RANDOM_BYTES>()?;
        self.change(|registry, _| {
            let (event, issued) = registry.issue(terms, &random)?;
            Ok((Some(event), issued))
        })
    }

    /// Replaces a license's key.
    pub(crate) fn rotate(&self, id: &LicenseId, wish: RotationWish) -> Result<Rotation, ChangeError> {
        let random = random::<KEY_RANDOM_BYTES>()?;
        self.change(|registry, now| registry.rotate(id, wish, now, &random))
    }

    /// Rotates once for an order, and answers with the article's body. Until the change itself begins nothing was
    /// written; an error of the log from then on proves nothing.
    pub(crate) fn rotate_by(&self, order: &RotateOrder<'_>) -> Answered {
        let Ok(id) = order.license_id.parse::<LicenseId>() else {
            return Answered::No(CallOutcome::Refused { code: "INVALID_REQUEST".to_owned() });
        };
        if self.hide_from_git().is_err() || self.catch_up().is_err() {
            return Answered::No(CallOutcome::NotSent);
        }
        let wish = RotationWish {
            grace_days: order.grace_days,
            previous: KeepPrevious::One,
            idempotency_key: Some(order.rotation_id.to_owned()),
        };
        match self.rotate(&id, wish) {
            Ok(rotation) => {
                let expires_at = self.look_at_seen(|registry, _| registry.license(&id).ok()?.terms.expires_at);
                Answered::Body(rotated_body(id.as_str(), rotation.key.key(), expires_at, rotation.grace_ends_at))
            }
            Err(ChangeError::Refused(refusal)) => {
                Answered::No(CallOutcome::Refused { code: clean(&refusal.to_string()) })
            }
            Err(ChangeError::NoRandomness(_)) => Answered::No(CallOutcome::NotSent),
            Err(ChangeError::Log(error)) => Answered::No(CallOutcome::Unknown { why: clean(&error.to_string()) }),
        }
    }

    /// Every license, with its whole key.
    pub(crate) fn list(&self) -> Result<Listing, AskError> {
        let listed = |license: &Licensed| ListedLicense {
            license_id: license.id.as_str().to_owned(),
            shown_key: Some(Zeroizing::new(license.key.key().reveal().to_owned())),
            domains: license.terms.domains.clone(),
            created_at: Some(license.created_at),
        };
        let licenses = self.look(|registry, _| registry.licenses().map(listed).collect())?;
        Ok(Listing { licenses, extent: Extent::Whole })
    }

    /// How many validations `authority serve` has answered, where it counted any. There is no limit.
    pub(crate) fn usage(&self) -> Quota {
        let counters = Counters::kept(self.state(), self.now());
        Quota {
            used_today: counters.map(|counters| counters.today),
            used: counters.map(|counters| counters.month),
            limit: Some(Limit::Unlimited),
        }
    }

    /// The id of the license that the key belongs to, also when the key was replaced.
    pub(crate) fn license_id_of(&self, key: &LicenseKey) -> Option<String> {
        self.look(|registry, now| registry.validate(key.reveal(), Asked::KeyOnly, now).license(now)).ok()?.id
    }

    /// Switches a license off for now.
    pub(crate) fn suspend(&self, id: &LicenseId) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.suspend(id))
    }

    /// Switches a license on again.
    pub(crate) fn resume(&self, id: &LicenseId) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.resume(id))
    }

    /// Has a license last longer; without an end, for ever.
    pub(crate) fn renew(&self, id: &LicenseId, expires_at: Option<Timestamp>) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.renew(id, expires_at).map(Some))
    }

    /// Withdraws a license for good.
    pub(crate) fn revoke(&self, id: &LicenseId) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.revoke(id))
    }

    /// Takes one activation.
    pub(crate) fn activate(&self, id: &LicenseId) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, now| registry.activate(id, now).map(Some))
    }

    /// Gives one activation back.
    pub(crate) fn deactivate(&self, id: &LicenseId) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.deactivate(id).map(Some))
    }

    /// Covers one more domain.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn add_domain(&self, id: &LicenseId, domain: &str) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.add_domain(id, domain))
    }

    /// Covers a domain no longer.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the server needs it"))]
    pub(crate) fn remove_domain(&self, id: &LicenseId, domain: &str) -> Result<Licensed, ChangeError> {
        self.alter(id, |registry, _| registry.remove_domain(id, domain).map(Some))
    }

    /// Changes one license, and gives it as it is afterwards.
    fn alter(
        &self,
        id: &LicenseId,
        decide: impl FnOnce(&Registry, Timestamp) -> Result<Option<Event>, Refusal>,
    ) -> Result<Licensed, ChangeError> {
        self.change(|registry, now| Ok((decide(registry, now)?, ())))?;
        Ok(self.look(|registry, _| registry.license(id).cloned())??)
    }

    /// Decides on the newest state and makes the decision durable before it returns. A refusal writes nothing.
    fn change<R>(
        &self,
        decide: impl FnOnce(&Registry, Timestamp) -> Result<(Option<Event>, R), Refusal>,
    ) -> Result<R, ChangeError> {
        self.hide_from_git()?;
        self.catch_up()?;
        let position = self.seen().position;
        let decided = self.log.transact(position, |entries: Vec<Entry<Record>>| {
            let now = whole_second(self.now());
            let (event, result) = decide(&self.seen().with(&entries), now)?;
            Ok((event.into_iter().map(|event| Record { at: now, event }).collect(), result))
        });
        match decided {
            Ok((result, _)) => Ok(result),
            Err(TransactError::Log(error)) => Err(error.into()),
            Err(TransactError::Decided(refusal)) => Err(ChangeError::Refused(refusal)),
        }
    }

    /// Reads what was appended since the last look. The state is not locked while the file is: a writer holds them
    /// the other way round.
    pub(crate) fn catch_up(&self) -> Result<(), LogError> {
        // The stamp first: what is appended after it shows in the next one.
        let stamp = self.log.stamp()?;
        let (position, seen) = {
            let seen = self.seen();
            (seen.position, seen.stamp)
        };
        if stamp == seen {
            return Ok(());
        }
        match self.log.read_after(position) {
            Ok(reading) => {
                self.seen().take(&reading, stamp);
                Ok(())
            }
            Err(replaced @ LogError::Replaced { .. }) => self.begin_again(position, replaced),
            Err(error) => Err(error),
        }
    }

    /// The directory was emptied and begun again: the state is replaced in one step, unless another thread did so. A log
    /// with the same first line is no new one: it lost something that was acknowledged. Nor is one that is gone or empty:
    /// a volume that is not there for a moment must not refuse every key.
    fn begin_again(&self, passed: Position, replaced: LogError) -> Result<(), LogError> {
        let stamp = self.log.stamp()?;
        let reading = self.log.read_after(Position::START)?;
        let mut fresh = Seen::nothing();
        fresh.take(&reading, stamp);
        let mut seen = self.seen();
        if seen.position != passed {
            return Ok(());
        }
        if fresh.first.is_none() || fresh.first == seen.first {
            return Err(replaced);
        }
        **seen = fresh;
        Ok(())
    }

    /// Puts a `.gitignore` into a state directory that holds nothing yet: keys are not to be committed by accident.
    /// A directory with files in it is left to its owner; an empty `.gitignore` is what a full disk left of ours.
    fn hide_from_git(&self) -> Result<(), LogError> {
        let hide = || {
            private_directory::create(self.state())?;
            let gitignore = self.state().join(GITIGNORE);
            match gitignore.metadata() {
                Ok(metadata) if metadata.len() > 0 => return Ok(()),
                Ok(_) => return files::replace(&gitignore, IGNORE_ALL),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            for entry in self.state().read_dir()? {
                // The beginning of one whose writer was killed is no file of an owner's.
                if !entry?.file_name().as_encoded_bytes().starts_with(GITIGNORE.as_bytes()) {
                    return Ok(());
                }
            }
            match files::create(&gitignore, IGNORE_ALL) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                created => created,
            }
        };
        hide().map_err(|source| LogError::Io {
            path: self.log.path().to_owned(),
            doing: "created",
            source,
            next: "check who may write there, or name another directory with `--state`".to_owned(),
        })
    }

    /// A thread that panicked left the state as it was: it is changed in one step.
    fn seen(&self) -> MutexGuard<'_, Box<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events and what follows from them have no fractions of a second: every client can read such times.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn random<const N: usize>() -> Result<[u8; N], ChangeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ChangeError::NoRandomness)?;
    Ok(bytes)
}

/// Why a change did not happen. Never carries a key.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum ChangeError {
    /// The rules are against it.
    #[error("{0}")]
    #[diagnostic(help("{}", next_of(_0)))]
    Refused(#[from] Refusal),
    /// The log cannot be read, written or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    #[diagnostic(help("nothing was changed"))]
    NoRandomness(getrandom::Error),
}

/// What a person can do about a refusal.
fn next_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound { .. } => "`authority list` shows the licenses and their states",
        Refusal::Revoked { .. } => "issue another license, with `authority issue`",
        Refusal::Suspended { .. } => "`authority resume` switches it on again",
        Refusal::Expired { .. } => "`authority renew` has it last longer",
        Refusal::NotLater { .. } => "`authority show` says how long it lasts; name a later end",
        Refusal::ActivationsUsedUp { .. } => "`authority deactivate` gives one back",
        Refusal::NothingActive { .. } => "`authority show` says how many activations are in use",
        Refusal::DomainNotThere { .. } => "`authority show` names its domains",
        Refusal::NotADomain { .. } => "write a domain as in `app.com` or `*.app.com`",
        Refusal::BadText { .. } | Refusal::TooMany { .. } | Refusal::GraceTooLong { .. } => "nothing was changed",
        Refusal::RandomRepeats => "nothing was changed; see why this machine's random numbers repeat",
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, thread};

    use license_core::{
        KeyClass,
        license::{ActivationLimit, Answer},
    };

    use super::*;

    #[test]
    fn a_rotation_by_order_answers_with_a_body_and_repeats_nothing() {
        let (_state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        let order = RotateOrder {
            license_id: issued.license_id.as_str(),
            grace_days: 7,
            rotation_id: "rot-1",
            timeout: std::time::Duration::from_secs(10),
        };
        let rotated = || match authority.rotate_by(&order) {
            Answered::Body(body) => super::super::read_rotated(&body).unwrap(),
            Answered::Cut(_) => panic!("nothing cuts it off"),
            Answered::No(outcome) => panic!("{outcome:?}"),
        };
        let new = rotated();
        assert_ne!(new.key.reveal(), issued.key.key().reveal());
        assert_eq!(new.license_id.as_deref(), Some(issued.license_id.as_str()));
        assert_eq!(rotated().key.reveal(), new.key.reveal());
        assert_eq!((code(&authority, &new.key), code(&authority, issued.key.key())), (None, None));
        for key in [&new.key, issued.key.key()] {
            assert_eq!(authority.license_id_of(key).as_deref(), Some(issued.license_id.as_str()));
        }
        let listed = authority.list().unwrap().licenses;
        assert_eq!(listed[0].shown_key.as_ref().map(|key| key.as_str()), Some(new.key.reveal()));
    }

    #[test]
    fn a_rotation_that_is_against_the_rules_is_refused_and_one_without_a_log_is_not_sent() {
        let (state, authority) = empty();
        let order = |license_id| RotateOrder {
            license_id,
            grace_days: 7,
            rotation_id: "rot-1",
            timeout: std::time::Duration::from_secs(10),
        };
        for id in ["lic_0000000000000000", "no id"] {
            let answered = authority.rotate_by(&order(id));
            assert!(matches!(answered, Answered::No(CallOutcome::Refused { .. })), "{id}");
        }
        let blocked = state.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let broken = Embedded::at(&blocked.join("state"), clock);
        assert!(matches!(broken.rotate_by(&order("lic_0000000000000000")), Answered::No(CallOutcome::NotSent)));
    }

    #[test]
    fn asking_creates_nothing() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("none");
        let authority = Embedded::at(&directory, clock);
        assert_eq!(
            code(&authority, &LicenseKey::parse("TO-DEV-NOBODY").unwrap()).as_deref(),
            Some("LICENSE_NOT_FOUND")
        );
        assert!(authority.look(|registry, _| registry.is_empty()).unwrap());
        assert!(!directory.exists());
    }

    #[test]
    fn an_issued_key_is_accepted_also_by_another_process() {
        let (state, authority) = empty();
        let other = Embedded::at(state.path(), clock);
        let issued = authority.issue(terms()).unwrap();
        assert_eq!(code(&authority, issued.key.key()), None);
        assert_eq!(code(&other, issued.key.key()), None);
    }

    #[test]
    fn a_change_of_another_process_counts_at_once() {
        let (state, authority) = empty();
        let other = Embedded::at(state.path(), clock);
        let issued = authority.issue(terms()).unwrap();
        assert_eq!(code(&authority, issued.key.key()), None);
        other.suspend(&issued.license_id).unwrap();
        assert_eq!(code(&authority, issued.key.key()).as_deref(), Some("LICENSE_SUSPENDED"));
        authority.resume(&issued.license_id).unwrap();
        assert_eq!(code(&other, issued.key.key()), None);
        other.revoke(&issued.license_id).unwrap();
        assert_eq!(code(&authority, issued.key.key()).as_deref(), Some("LICENSE_REVOKED"));
    }

    #[test]
    fn the_last_activation_is_taken_by_one_of_many() {
        let (state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        let taken = thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Embedded::at(state.path(), clock).activate(&issued.license_id).is_ok()))
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).filter(|took| *took).count()
        });
        assert_eq!(taken, 3);
        let used = authority.look(|registry, _| registry.license(&issued.license_id).unwrap().terms.activations_used);
        assert_eq!(used.unwrap(), 3);
    }

    #[test]
    fn threads_that_ask_while_others_change_see_every_state_once() {
        let (_state, authority) = empty();
        let issued = authority.issue(Terms { activation_limit: ActivationLimit::Unlimited, ..terms() }).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..20).for_each(|_| drop(authority.activate(&issued.license_id).unwrap())));
                scope.spawn(|| (0..100).for_each(|_| assert_eq!(code(&authority, issued.key.key()), None)));
            }
        });
        let used = authority.look(|registry, _| registry.license(&issued.license_id).unwrap().terms.activations_used);
        assert_eq!(used.unwrap(), 60);
    }

    #[test]
    fn a_rotation_is_durable_and_names_no_fraction_of_a_second() {
        let (state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        let wish = RotationWish { grace_days: 7, previous: KeepPrevious::One, idempotency_key: Some("once".into()) };
        let first = authority.rotate(&issued.license_id, wish.clone()).unwrap();
        assert_eq!(first.grace_ends_at.subsec_nanosecond(), 0);
        let again = Embedded::at(state.path(), clock).rotate(&issued.license_id, wish).unwrap();
        assert_eq!(again, first);
        assert_eq!(authority.history().unwrap().len(), 2);
    }

    #[test]
    fn a_refused_change_writes_nothing() {
        let (_state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        authority.revoke(&issued.license_id).unwrap();
        let before = authority.log.stamp().unwrap();
        assert!(matches!(authority.resume(&issued.license_id), Err(ChangeError::Refused(Refusal::Revoked { .. }))));
        authority.revoke(&issued.license_id).unwrap();
        assert_eq!(authority.log.stamp().unwrap(), before);
    }

    #[test]
    fn the_keys_are_the_owners_alone_and_git_ignores_them() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deep/state");
        Embedded::at(&directory, clock).issue(terms()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("events.jsonl")), 0o600);
        assert_eq!(files::read_limited(&directory.join(".gitignore"), 10).unwrap(), b"*\n");
    }

    #[test]
    fn a_directory_with_files_in_it_gets_no_gitignore() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create_new(directory.path().join("mine")).unwrap();
        Embedded::at(directory.path(), clock).issue(terms()).unwrap();
        assert!(!directory.path().join(".gitignore").exists());
    }

    #[test]
    fn a_log_that_is_gone_or_empty_refuses_no_key_and_is_served_on_once_it_is_back() {
        let (state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        let log = state.path().join("events.jsonl");
        let kept = std::fs::read(&log).unwrap();
        assert_eq!(code(&authority, issued.key.key()), None);
        let domain = Domain::parse("app.com").unwrap();
        for gone in [|log: &Path| std::fs::remove_file(log).unwrap(), |log: &Path| std::fs::write(log, "").unwrap()] {
            gone(&log);
            let asked = authority.validate(issued.key.key(), &domain);
            assert!(matches!(asked, Err(AskError::Log(LogError::Replaced { seq: 1, .. }))), "{asked:?}");
            assert!(matches!(authority.issue(terms()), Err(ChangeError::Log(LogError::Replaced { .. }))));
            std::fs::write(&log, &kept).unwrap();
            assert_eq!(code(&authority, issued.key.key()), None);
        }
    }

    #[test]
    fn a_gitignore_that_a_full_disk_left_empty_is_written_again() {
        let (state, authority) = empty();
        let gitignore = state.path().join(".gitignore");
        std::fs::write(&gitignore, "").unwrap();
        std::fs::write(state.path().join("events.jsonl.lock"), "").unwrap();
        authority.issue(terms()).unwrap();
        assert_eq!(std::fs::read(&gitignore).unwrap(), b"*\n");
        std::fs::write(&gitignore, "mine\n").unwrap();
        authority.issue(terms()).unwrap();
        assert_eq!(std::fs::read(&gitignore).unwrap(), b"mine\n", "what somebody wrote stays");
    }

    #[test]
    fn a_directory_that_another_process_began_again_is_read_again_whatever_its_length() {
        for licenses in [1, 2, 3] {
            let (state, authority) = empty();
            let gone = [authority.issue(terms()).unwrap(), authority.issue(terms()).unwrap()];
            assert_eq!(code(&authority, gone[1].key.key()), None);
            std::fs::remove_file(state.path().join("events.jsonl")).unwrap();
            let other = Embedded::at(state.path(), clock);
            for _ in 0..licenses {
                let issued = other.issue(terms()).unwrap();
                assert_eq!(code(&authority, issued.key.key()), None, "{licenses}");
            }
            assert_eq!(code(&authority, gone[1].key.key()).as_deref(), Some("LICENSE_NOT_FOUND"), "{licenses}");
        }
    }

    #[test]
    fn a_log_that_lost_its_end_is_not_believed() {
        let (state, authority) = empty();
        let issued = authority.issue(terms()).unwrap();
        let log = state.path().join("events.jsonl");
        let backup = std::fs::read(&log).unwrap();
        authority.revoke(&issued.license_id).unwrap();
        assert_eq!(code(&authority, issued.key.key()).as_deref(), Some("LICENSE_REVOKED"));
        std::fs::write(&log, backup).unwrap();
        let domain = Domain::parse("app.com").unwrap();
        assert!(matches!(
            authority.validate(issued.key.key(), &domain),
            Err(AskError::Log(LogError::Replaced { seq: 2, .. }))
        ));
    }

    #[test]
    fn many_first_changes_at_once_all_happen() {
        for _ in 0..20 {
            let parent = tempfile::tempdir().unwrap();
            let state = parent.path().join("state");
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| Embedded::at(&state, clock).issue(terms()).unwrap());
                }
            });
            assert_eq!(Embedded::at(&state, clock).history().unwrap().len(), 4);
        }
    }

    fn empty() -> (tempfile::TempDir, Embedded) {
        let state = tempfile::tempdir().unwrap();
        let authority = Embedded::at(state.path(), clock);
        (state, authority)
    }

    fn clock() -> Timestamp {
        "2026-11-24T12:00:00.123456789Z".parse().unwrap()
    }

    fn terms() -> Terms {
        Terms {
            class: KeyClass::Dev,
            plan: "pro".into(),
            domains: vec!["app.com".into()],
            features: ["sso".into()].into(),
            activations_used: 0,
            activation_limit: ActivationLimit::AtMost(3),
            expires_at: None,
        }
    }

    fn code(authority: &Embedded, key: &LicenseKey) -> Option<String> {
        match authority.validate(key, &Domain::parse("app.com").unwrap()).unwrap().license.answer {
            Answer::Accepted { code } | Answer::Refused { code, .. } => code,
        }
    }
}
