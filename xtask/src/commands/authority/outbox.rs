//! Webhooks of the embedded authority: what its log says, posted to one address.
//!
//! The log is the outbox: what was appended by whichever process, and what time alone makes due, is posted in that
//! order until it is accepted, and a file beside the log says how far that went. After a kill the last one may be
//! posted again, under the same name: at least once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use license_core::{
    chain::LineHash,
    license::ActivationLimit,
    registry::{Event, Licensed, Record, Registry},
    webhook::{Encoding, EventType, Secret, at_once, moments, told_as},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    authority::embedded::{Embedded, whole_second},
    failpoint, files,
    log::{LogError, Stamp},
    notify::{NotAccepted, Outlet, Verdict, jittered},
    server::Lines,
    signals::Signals,
    vars::Vars,
};

/// The name of the file that says how far the posting went.
const FILE_NAME: &str = "webhook.json";
/// The longest such file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024;
/// How often the log and the clock are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The pauses before a webhook is posted again: the first, then twice as long each time, up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// After how many hours a webhook that nobody accepts is given up: receivers remember names no longer.
const GIVE_UP_HOURS: i64 = 24;
/// After how many tries one is given up that makes no sense to the receiver: those behind it wait.
const UNFIT_TRIES_MAX: usize = 3;
/// How many hex digits of a hash make a name.
const ID_DIGITS: usize = 32;

/// What posts the webhooks of one authority.
pub(super) struct Outbox<'a> {
    vars: &'a Vars,
    pub(super) authority: Embedded,
    pub(super) outlet: Outlet,
    pub(super) secret: Secret,
    pub(super) encoding: Encoding,
    pub(super) lines: Lines,
    progress: Progress,
    /// What time made due and was posted since `progress.until`.
    posted: BTreeSet<String>,
}

/// How far the posting went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The last entry of the log of which everything was posted.
    seq: u64,
    /// The hash of its line: a log that was begun again has another one.
    line: LineHash,
    /// Up to when everything was posted that time made due.
    until: Timestamp,
    /// What is tried now and was not accepted, since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trying: Option<Trying>,
}

/// A webhook that was not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trying {
    /// Its name.
    id: String,
    /// When it was tried first.
    since: Timestamp,
}

/// A webhook to be posted.
struct Item {
    id: String,
    event: EventType,
    at: Timestamp,
    data: Value,
}

impl<'a> Outbox<'a> {
    /// One that begins where the last one ended. The first one begins now: what happened before is not posted.
    pub(super) fn open(
        vars: &'a Vars,
        authority: Embedded,
        outlet: Outlet,
        secret: Secret,
        encoding: Encoding,
        lines: Lines,
    ) -> Result<Self, OutboxError> {
        let file = file(&authority);
        let progress = match files::read_limited(&file, FILE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| OutboxError::Unreadable { file })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let head = authority.log()?.position.head;
                let progress = Progress { seq: head.seq, line: head.hash, until: authority.now(), trying: None };
                authority.make_directory()?;
                save(&file, &progress).map_err(|source| OutboxError::Unwritable { file, source })?;
                progress
            }
            Err(source) => return Err(OutboxError::Unwritable { file, source }),
        };
        Ok(Self { vars, authority, outlet, secret, encoding, lines, progress, posted: BTreeSet::new() })
    }

    /// Posts until a signal comes.
    pub(super) fn run(&mut self, signals: &Signals) {
        let (mut seen, mut broken): (Option<Option<Stamp>>, Option<String>) = (None, None);
        while signals.stop().is_none() {
            // The stamp first: what is appended after it shows in the next look.
            let looked = self.authority.stamp().and_then(|stamp| {
                if seen != Some(stamp) {
                    self.post_log(signals)?;
                }
                self.post_due(signals)?;
                Ok(stamp)
            });
            match looked {
                Ok(stamp) => (seen, broken) = (Some(stamp), None),
                Err(error) => {
                    let why = error.to_string();
                    if broken.as_ref() != Some(&why) {
                        self.lines.say(format!("no webhooks are posted: {why}"));
                    }
                    broken = Some(why);
                }
            }
            signals.sleep(LOOK);
        }
    }

    /// Posts what the log says that was not posted.
    ///
    /// A log that is gone, or that lost its end while this ran, is an error, and nothing is posted from it. One that was
    /// begun again, or brought back from a backup, before this ran is posted from the time at which everything had been:
    /// what is older has been heard, or belongs to a past that was undone.
    fn post_log(&mut self, signals: &Signals) -> Result<(), LogError> {
        self.authority.catch_up()?;
        let reading = self.authority.log()?;
        let next_lines = reading.entries.iter().skip(1).map(|entry| entry.prev).chain([reading.position.head.hash]);
        let entries: Vec<_> = reading.entries.iter().zip(next_lines).collect();
        let is_known = |seq: u64| entries.iter().any(|(entry, line)| entry.seq == seq && *line == self.progress.line);
        if self.progress.seq > 0 && !is_known(self.progress.seq) {
            if entries.is_empty() {
                return Ok(());
            }
            let until = whole_second(self.progress.until);
            let heard = entries.iter().rev().find(|(entry, _)| entry.body.at < until);
            let (seq, line) = heard.map_or((0, LineHash::ZERO), |(entry, line)| (entry.seq, *line));
            self.lines.say(format!(
                "the log is not the one from which webhooks were posted: they go on with what it says from {until} on"
            ));
            self.progress = Progress { seq, line, until: self.progress.until, trying: None };
        }
        let (mut registry, posted) = (Registry::default(), self.progress.seq);
        for (entry, line) in entries {
            registry.apply(&entry.body);
            if entry.seq <= posted {
                continue;
            }
            for item in of_entry(&registry, &entry.body, &line) {
                if !self.post(&item, signals) {
                    return Ok(());
                }
            }
            self.progress = Progress { seq: entry.seq, line, until: self.progress.until, trying: None };
            self.save();
        }
        Ok(())
    }

    /// Posts what time made due.
    fn post_due(&mut self, signals: &Signals) -> Result<(), LogError> {
        let until = self.authority.now();
        let due = |registry: &Registry, _| {
            let due = registry.licenses().flat_map(|license| {
                let due = moments(license, self.progress.until, until).into_iter();
                due.map(|(at, event)| of_time(license, event, at)).collect::<Vec<_>>()
            });
            due.collect::<Vec<Item>>()
        };
        let mut items = self.authority.look(due)?;
        items.retain(|item| !self.posted.contains(&item.id));
        if items.is_empty() && self.posted.is_empty() {
            // Nothing to remember: the file is not written twice a second.
            self.progress.until = until;
            return Ok(());
        }
        items.sort_by_key(|item| item.at);
        for item in items {
            if !self.post(&item, signals) {
                return Ok(());
            }
            self.posted.insert(item.id);
        }
        (self.progress.until, self.progress.trying) = (until, None);
        self.posted.clear();
        self.save();
        Ok(())
    }

    /// Posts one until it is accepted, or given up; whether it is done.
    fn post(&mut self, item: &Item, signals: &Signals) -> bool {
        // From the first try on, by whichever run; not from when it happened, for which nobody may have been there.
        let tried = self.progress.trying.as_ref().filter(|trying| trying.id == item.id).map(|trying| trying.since);
        let since = tried.unwrap_or_else(|| self.authority.now());
        let give_up = since.checked_add(SignedDuration::from_hours(GIVE_UP_HOURS)).unwrap_or(Timestamp::MAX);
        let (mut pause, mut unfit) = (PAUSE_MIN, 0);
        let what = format!("webhook {} (`{}`)", item.id, item.event);
        failpoint::passed(self.vars, "webhook-posting");
        // Bounded by the time at which it is given up.
        loop {
            if signals.stop().is_some() {
                return false;
            }
            let now = self.authority.now();
            let body = item.body(self.encoding, now).to_string().into_bytes();
            let signature = self.encoding.sign(&self.secret, &body, now);
            let Err(missed) = self.outlet.post(signature, body, signals) else { return true };
            let NotAccepted { why, retry_after, verdict } = missed;
            if signals.stop().is_some() {
                return false;
            }
            if self.progress.trying.as_ref().is_none_or(|trying| trying.id != item.id) {
                self.progress.trying = Some(Trying { id: item.id.clone(), since });
                self.save();
            }
            if now >= give_up {
                self.lines.say(format!("{what} is given up after {GIVE_UP_HOURS} h, and not posted again: {why}"));
                return true;
            }
            match verdict {
                Verdict::Unfit => unfit += 1,
                Verdict::NotNow => unfit = 0,
            }
            if unfit >= UNFIT_TRIES_MAX {
                self.lines.say(format!("{what} is given up after {unfit} tries, and not posted again: {why}"));
                return true;
            }
            let wait = jittered(pause).max(retry_after.unwrap_or_default().min(PAUSE_MAX));
            self.lines
                .say(format!("{what} was not accepted: {why}; it is posted again in {} s", wait.as_secs().max(1)));
            signals.sleep(wait);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn save(&self) {
        let file = file(&self.authority);
        if let Err(source) = save(&file, &self.progress) {
            self.lines.say(format!(
                "{}: after a restart webhooks are posted again",
                OutboxError::Unwritable { file, source }
            ));
        }
    }
}

impl Item {
    /// The document. Without a time in the signature its age is measured by `created`, which is then that of the try.
    fn body(&self, encoding: Encoding, now: Timestamp) -> Value {
        let created = match encoding {
            Encoding::Timestamped => self.at,
            Encoding::Hex | Encoding::Sha256 => now,
        };
        let created = created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({ "id": self.id, "type": self.event.as_str(), "created": created, "data": self.data })
    }
}

/// What an entry says in webhooks: at most one of its own, and one about a license whose last days have begun.
fn of_entry(registry: &Registry, record: &Record, line: &LineHash) -> Vec<Item> {
    let Ok(license) = registry.license(record.event.license_id()) else { return Vec::new() };
    let domain = match &record.event {
        Event::DomainAdded { domain, .. } | Event::DomainRemoved { domain, .. } => Some(domain.as_str()),
        Event::Issued { .. }
        | Event::Suspended { .. }
        | Event::Resumed { .. }
        | Event::Revoked { .. }
        | Event::Renewed { .. }
        | Event::Activated { .. }
        | Event::Deactivated { .. }
        | Event::Rotated { .. } => None,
    };
    let own =
        told_as(&record.event).map(|event| Item { id: name(line), event, at: record.at, data: data(license, domain) });
    let begins = matches!(record.event, Event::Issued { .. } | Event::Renewed { .. });
    let soon = at_once(license, record.at).filter(|_| begins).map(|event| of_time(license, event, record.at));
    own.into_iter().chain(soon).collect()
}

/// What time makes due: the same name for the same end, whoever finds it.
fn of_time(license: &Licensed, event: EventType, at: Timestamp) -> Item {
    let end = license.terms.expires_at.map(Timestamp::as_second).unwrap_or_default();
    let hash = LineHash::of(format!("{}\0{event}\0{end}", license.id).as_bytes());
    Item { id: name(&hash), event, at, data: data(license, None) }
}

/// The name of a webhook.
fn name(hash: &LineHash) -> String {
    format!("evt_{}", &hash.to_string()[..ID_DIGITS])
}

/// The documented fields, and the license's id.
fn data(license: &Licensed, domain: Option<&str>) -> Value {
    let terms = &license.terms;
    json!({
        "licenseId": license.id,
        "licenseKey": license.key.masked(),
        "plan": terms.plan,
        "domain": domain.or(terms.domains.first().map(String::as_str)),
        "activationsUsed": terms.activations_used,
        "activationLimit": match terms.activation_limit {
            ActivationLimit::AtMost(limit) => json!(limit),
            ActivationLimit::Unlimited => json!(-1),
        },
        "expiresAt": terms.expires_at,
        "features": terms.features,
    })
}

fn file(authority: &Embedded) -> PathBuf {
    authority.state().join(FILE_NAME)
}

fn save(file: &Path, progress: &Progress) -> std::io::Result<()> {
    files::replace(file, &serde_json::to_vec(progress)?)
}

/// Why webhooks cannot be posted.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum OutboxError {
    /// The file says nothing that is understood.
    #[error("`{}` does not say which webhooks were posted", file.display())]
    #[diagnostic(help("bring it back from a backup; without it, posting begins with what happens next"))]
    Unreadable {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("`{}`, which says what webhooks were posted, cannot be used: {}", file.display(), files::why(source))]
    #[diagnostic(help("check who may read and write there"))]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The log cannot be read or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
}
