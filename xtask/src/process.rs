//! Runs a deploy or rollback command: own process group, deadline, streamed and masked output, signals passed on.

use std::{ffi::OsString, io::Write, path::Path, time::Duration};

use license_core::trail::Ended;

use crate::{mask::Masks, signals::Signals};

/// A command to run.
pub(crate) struct Job<'a> {
    /// The program and its arguments; at least one word.
    pub(crate) words: &'a [String],
    /// The directory to run it in.
    pub(crate) directory: &'a Path,
    /// Its whole environment.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// How long it may run.
    pub(crate) deadline: Duration,
    /// What its output must not show.
    pub(crate) masks: &'a Masks,
}

/// Runs it to its end. Both of its output streams go to `output`, masked. Never fails: not being able to start is one of the ends.
pub(crate) fn run(_job: &Job<'_>, _signals: &Signals, _output: &mut (dyn Write + Send)) -> Ended {
    unimplemented!()
}
