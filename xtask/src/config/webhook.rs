//! The rules of `[webhook]`: what the authority signs with, and whom its webhooks may concern.

use miette::SourceSpan;

use super::{
    Config, EnvName, Memory,
    checking::{Checking, Forms, Owner},
    problem::{Problem, code},
    raw::RawConfig,
    trail,
};
use crate::store::Source;

/// How webhooks of the authority are received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookSettings {
    /// Where the secret is that the authority signs with.
    pub(crate) secret: Source,
    /// The environments that a webhook may concern.
    environments: Concerned,
    /// Where the table stands in the file.
    place: SourceSpan,
}

/// The environments that a webhook may concern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Concerned {
    All,
    These(Vec<EnvName>),
}

impl WebhookSettings {
    /// Whether a webhook may concern an environment.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the receiver asks"))]
    pub(crate) fn may_concern(&self, name: &EnvName) -> bool {
        match &self.environments {
            Concerned::All => true,
            Concerned::These(names) => names.contains(name),
        }
    }
}

impl Config {
    /// Why webhooks cannot be received here: what was heard would be forgotten, and taken again.
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only the receiver asks"))]
    pub(crate) fn problem_of_webhooks(&self, settings: &WebhookSettings) -> Option<Problem> {
        if self.memory == Memory::Kept {
            return None;
        }
        Some(
            Problem::new(
                code::EPHEMERAL_TRAIL,
                "the trail says which webhooks were received, and on this CI machine it is lost after the run",
            )
            .help(trail::KEEP_THE_TRAIL)
            .at(settings.place, "needs a trail that is kept")
            .within(&self.source),
        )
    }
}

/// Checks the table.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> Option<WebhookSettings> {
    let at = config.webhook.given()?;
    let owner = Owner { what: "`[webhook]`".to_owned(), place: at.place };
    let example = "`secret = { env = \"LICENSE_WEBHOOK_SECRET\" }`";
    let secret = checking.required(&owner, "secret", &at.value.secret, example);
    let secret = secret.and_then(|source| checking.source("secret", source, Forms::EnvOrDotenv));
    let environments = match at.value.environments.given() {
        None => Concerned::All,
        Some(names) if names.value.is_empty() => {
            let problem = Problem::new(code::EMPTY_VALUE, "`environments` is empty")
                .help("name at least one, or leave the field out, which means all of them")
                .at(names.place, "nothing here");
            checking.report(problem);
            return None;
        }
        Some(names) => {
            checking.each_known("environment", &names.value, &config.environments);
            let names = checking.distinct("environments", &names.value);
            Concerned::These(names.into_iter().filter_map(EnvName::parse).collect())
        }
    };
    Some(WebhookSettings { secret: secret?, environments, place: at.place })
}
