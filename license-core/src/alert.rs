//! Whom to tell, when, and what was told already.
//!
//! Three questions, three functions: what is worth an alert at this moment ([`standing()`]), what was said about it
//! before ([`Ledger`], replayed from the trail), and what is therefore to be done now ([`tasks`]). An alert is due
//! before it is sent: an entry says so, with the run that sends it and until when that run may need. Whoever finds an
//! alert that is due and was not sent in that time sends it again, under the same name: exactly once as long as nobody
//! is killed in between, and at least once otherwise.

mod days;
mod event;
mod ledger;
mod standing;
mod words;
#[cfg(test)]
mod year_tests;

pub use days::{DAYS_MAX, Days, NotDays, THRESHOLDS_MAX};
pub use event::{Alert, AlertEvent, AlertId, Reached, Stands};
pub use ledger::{LEASE_SECS_MAX, Ledger, MESSAGES_MAX, NOTICES_MAX, Notice, Over, Task, Told, messages, tasks};
pub use standing::{AutoRenew, Ends, Facts, LicenseFacts, Policy, Refusal, STUCK_SECS, Sight, Standing, standing};
pub use words::{Severity, dedup_key, severity, title, what_next};

/// Samples of everything that alerts write, for the tests of the trail.
#[cfg(test)]
pub(crate) use event::samples;
