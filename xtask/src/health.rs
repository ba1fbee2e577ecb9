//! Asks the deployed application what license it runs with.

use std::time::Duration;

use license_core::health::{Difference, Expected};

use crate::signals::{Signals, Stop};

/// Where to ask, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The address; http or https. No token is ever sent to it.
    pub(crate) url: String,
    /// How long to go on until it is healthy.
    pub(crate) within: Duration,
}

/// How the polling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Healthy, and proved to be this deploy.
    Proved,
    /// Healthy, and nothing proves that it is this deploy.
    NotProved,
    /// The last answer within the time differed.
    Unhealthy {
        /// How.
        differences: Vec<Difference>,
    },
    /// The last attempt brought no answer that could be read.
    Unreachable {
        /// What happened, in words.
        why: String,
    },
    /// A signal came.
    Stopped(Stop),
}

/// Polls until it is healthy or the time is over. `tried` hears of every attempt that did not satisfy, for the progress display.
pub(crate) fn poll(_probe: &Probe, _expected: &Expected, _signals: &Signals, _tried: &mut dyn FnMut(&str)) -> Seen {
    unimplemented!()
}
