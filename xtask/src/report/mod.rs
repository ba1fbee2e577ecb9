//! What commands report, and the forms in which it is shown.
//!
//! Commands fill these values; `human`, `json` and `github` turn them into text. Nothing here decides.

use license_core::{chain::Head, trail::Ended};

use crate::{config::Environment, failure::Failure, gate::Judgement, health::Seen};

pub(crate) mod github;
pub(crate) mod html;
mod html_timeline;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod prometheus;
#[cfg(test)]
mod samples;
pub(crate) mod status;

/// One environment's gate: a judgement, or why there is none.
#[derive(Debug)]
pub(crate) struct Gated<'a> {
    /// The environment.
    pub(crate) environment: &'a Environment,
    /// What came out.
    pub(crate) outcome: Result<Judgement, Failure>,
}

/// What `check` found out.
#[derive(Debug)]
pub(crate) struct CheckReport<'a> {
    /// Every environment that was asked for, in that order.
    pub(crate) gated: Vec<Gated<'a>>,
}

/// What `deploy` did, as far as it came.
#[derive(Debug, Default)]
pub(crate) struct DeployReport {
    /// The environment's name, once it is known.
    pub(crate) environment: Option<String>,
    /// The gate's decision.
    pub(crate) judgement: Option<Judgement>,
    /// What a deploy would do; set by `--plan`.
    pub(crate) plan: Option<Vec<String>>,
    /// The deploy's id, once the command was about to start.
    pub(crate) release: Option<String>,
    /// How the deploy command ended.
    pub(crate) deploy: Option<CommandEnd>,
    /// What was seen of the running application.
    pub(crate) health: Option<HealthEnd>,
    /// How the rollback command ended.
    pub(crate) rollback: Option<CommandEnd>,
    /// Where the trail ends.
    pub(crate) trail: Option<Head>,
    /// What kept the command from going on.
    pub(crate) failure: Option<Failure>,
}

/// How a command of the user's ended.
#[derive(Debug)]
pub(crate) struct CommandEnd {
    /// The command, as it is shown.
    pub(crate) shown: String,
    /// How it ended.
    pub(crate) ended: Ended,
    /// How long it ran, in seconds.
    pub(crate) seconds: f64,
}

impl CommandEnd {
    /// Whether it ended by itself and without an error.
    pub(crate) fn is_ok(&self) -> bool {
        self.ended == Ended::Exited { code: 0 }
    }
}

/// What the look at the running application came to.
#[derive(Debug)]
pub(crate) struct HealthEnd {
    /// The address.
    pub(crate) url: String,
    /// What was seen.
    pub(crate) seen: Seen,
}
