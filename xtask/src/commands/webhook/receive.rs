//! What becomes of one webhook: is it genuine, whom does it concern, was it heard before, and is it on disk.

use std::sync::{Arc, Mutex, PoisonError};

use license_core::{
    Timestamp,
    alert::MESSAGES_MAX,
    trail::Event,
    webhook::{self, Candidate, Loudness, Notification, Received, Rejected, Secret, WebhookRecord, concerned},
};

use crate::{
    config::{Config, EnvName, Environment, WebhookSettings},
    context::{self, Context},
    failpoint,
    failure::Failure,
    journal::{Appended, Journal},
    keyring::Keyring,
    narrator::Narrator,
    store,
};

/// What receives webhooks.
pub(super) struct Receiver {
    pub(super) ctx: Arc<Context>,
    pub(super) config: Arc<Config>,
    pub(super) settings: WebhookSettings,
    pub(super) secret: Secret,
    /// The names of the sinks that hear of what people should hear.
    pub(super) sinks: Vec<String>,
    /// One entry is written at a time.
    pub(super) writing: Mutex<()>,
}

/// A webhook that was recorded, or need not be.
#[derive(Debug)]
pub(super) struct Taken {
    /// What it said.
    pub(super) notification: Notification,
    /// Whom it concerns, with what became of it there.
    pub(super) concerns: Vec<(EnvName, Result<Appended, Failure>)>,
}

impl Receiver {
    /// Whether a webhook is genuine and fresh. It waits for nothing.
    pub(super) fn verify(&self, body: &[u8], signature: &[u8]) -> Result<Received, Rejected> {
        webhook::verify(body, signature, &self.secret, context::now())
    }

    /// Records a genuine webhook in every environment that it concerns; on disk when this returns.
    ///
    /// A trail that cannot be written keeps nobody else's from it. The whole is to be sent again then, and those that
    /// were written drop it.
    pub(super) fn record(&self, received: Received) -> Result<Taken, Failure> {
        let names = self.concerned(&received)?;
        // Whoever signs can write anything, a key of ours too.
        let keyring = Keyring::read(&self.ctx, &self.config);
        let notification = received.notification(|text| keyring.hide(text));
        let notification = notification.ok_or(super::WebhookError::SecretInId)?;
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let append = |name: EnvName| {
            let appended = self.append(&self.config.environments[&name], &notification);
            (name, appended)
        };
        let concerns = names.into_iter().map(append).collect();
        Ok(Taken { notification, concerns })
    }

    /// What to say before anything comes in: whom a webhook is only known to concern by its license's id or its domain.
    pub(super) fn without_keys(&self) -> Vec<String> {
        let unread = |environment: &&Environment| store::read_key(&environment.key, &self.ctx.vars).is_err();
        self.environments().filter(unread).map(|environment| environment.name.to_string()).collect()
    }

    fn environments(&self) -> impl Iterator<Item = &Environment> {
        let all = self.config.environments.values();
        all.filter(|environment| self.settings.may_concern(&environment.name))
    }

    /// The environments that a webhook concerns. An error where it may concern one whose key could not be read now.
    fn concerned(&self, received: &Received) -> Result<Vec<EnvName>, Failure> {
        let environments: Vec<&Environment> = self.environments().collect();
        // A rotation changes keys while this runs. A key in a store is somebody else's answer, and is not asked for.
        let read = |environment: &&Environment| store::read_key(&environment.key, &self.ctx.vars);
        let (mut keys, mut unread) = (Vec::new(), None);
        for (environment, key) in environments.iter().zip(environments.iter().map(read)) {
            keys.push(match key {
                Ok(key) => Some(key),
                Err(source) => {
                    if !source.says_there_is_none() {
                        let environment = environment.name.to_string();
                        unread = Some(super::WebhookError::KeyUnreadable { environment, source });
                    }
                    None
                }
            });
        }
        let candidates: Vec<Candidate<'_>> = environments
            .iter()
            .zip(&keys)
            .map(|(environment, key)| Candidate {
                name: environment.name.as_str(),
                domain: &environment.demand.domain,
                license: environment.license.as_deref(),
                key: key.as_ref(),
            })
            .collect();
        let names = concerned(received.event(), &received.subject, &candidates);
        match unread {
            Some(error) if names.is_empty() && received.subject.shows_a_key() => Err(error.into()),
            Some(_) | None => Ok(names.into_iter().filter_map(EnvName::parse).collect()),
        }
    }

    fn append(&self, environment: &Environment, notification: &Notification) -> Result<Appended, Failure> {
        let narrator = Narrator::new(&self.ctx, None);
        let mut journal = Journal::open(&self.ctx, &self.config, environment, &narrator)?;
        let sinks = match notification.event.loudness() {
            Loudness::Recorded => Vec::new(),
            Loudness::Warning | Loudness::Critical if journal.folded().alerts().has_room_for_a_message() => {
                self.sinks.clone()
            }
            Loudness::Warning | Loudness::Critical => {
                narrator.note(&format!(
                    "{}: {} (`{}`) is recorded, and no sink will hear of it: {MESSAGES_MAX} messages wait to be told; see why the sinks take none",
                    environment.name, notification.event_id, notification.event
                ));
                Vec::new()
            }
        };
        let record = WebhookRecord { notification: Box::new(notification.clone()), sinks };
        let now: Timestamp = context::now();
        let knows = |folded: &license_core::trail::Folded| folded.heard().knows(&notification.event_id, now);
        let appended = journal.append_unless(knows, &Event::Webhook(record))?;
        failpoint::reached(&self.ctx, "webhook-recorded");
        Ok(appended)
    }
}
