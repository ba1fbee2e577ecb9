//! What becomes of one webhook: is it genuine, whom does it concern, was it heard before, and is it on disk.

use std::sync::{Arc, Mutex, PoisonError};

use license_core::{
    LicenseKey, Timestamp,
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
    /// Whom it concerns, with whether that is news to them.
    pub(super) concerns: Vec<(EnvName, Appended)>,
}

impl Receiver {
    /// Whether a webhook is genuine and fresh. It waits for nothing.
    pub(super) fn verify(&self, body: &[u8], signature: &[u8]) -> Result<Received, Rejected> {
        webhook::verify(body, signature, &self.secret, context::now())
    }

    /// Records a genuine webhook in every environment that it concerns; on disk when this returns.
    ///
    /// Where one of the trails cannot be written the whole is to be sent again: those that were written drop it then.
    pub(super) fn record(&self, received: Received) -> Result<Taken, Failure> {
        let names = self.concerned(&received);
        // Whoever signs can write anything, a key of ours too.
        let keyring = Keyring::read(&self.ctx, &self.config);
        let notification = received.notification.with_words(|text| keyring.hide(text));
        let notification = notification.ok_or(super::WebhookError::SecretInId)?;
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut concerns = Vec::new();
        for name in names {
            let environment = &self.config.environments[&name];
            let appended = self.append(environment, &notification)?;
            concerns.push((name, appended));
        }
        Ok(Taken { notification, concerns })
    }

    /// The environments that a webhook concerns.
    fn concerned(&self, received: &Received) -> Vec<EnvName> {
        let all = self.config.environments.values();
        let environments: Vec<&Environment> =
            all.filter(|environment| self.settings.may_concern(&environment.name)).collect();
        // A rotation changes keys while this runs. A key in a store is somebody else's answer, and is not asked for.
        let keys: Vec<Option<LicenseKey>> =
            environments.iter().map(|environment| store::read_key(&environment.key, &self.ctx.vars).ok()).collect();
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
        let names = concerned(&received.notification.event, &received.subject, &candidates);
        names.into_iter().filter_map(EnvName::parse).collect()
    }

    fn append(&self, environment: &Environment, notification: &Notification) -> Result<Appended, Failure> {
        let narrator = Narrator::new(&self.ctx, None);
        let mut journal = Journal::open(&self.ctx, &self.config, environment, &narrator)?;
        let sinks = match notification.event.loudness() {
            Loudness::Recorded => Vec::new(),
            Loudness::Warning | Loudness::Critical => self.sinks.clone(),
        };
        let record = WebhookRecord { notification: Box::new(notification.clone()), sinks };
        let now: Timestamp = context::now();
        let knows = |folded: &license_core::trail::Folded| folded.heard().knows(&notification.event_id, now);
        let appended = journal.append_unless(knows, &Event::Webhook(record))?;
        failpoint::reached(&self.ctx, "webhook-recorded");
        Ok(appended)
    }
}
