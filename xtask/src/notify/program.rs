//! Tells a program: what it is told stands on its stdin, and it accepts by ending with 0.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use license_core::{finding::clean, trail::Ended};

use super::{Missed, Tried};
use crate::{
    console,
    context::Platform,
    mask::Masks,
    process::capture::{Answer, Call, Captured, capture},
    report::github,
};

/// A program that is told.
pub(crate) struct Program {
    /// The program and its arguments; at least one word.
    pub(crate) words: Vec<String>,
    /// The directory to run it in: that of `license.toml`.
    pub(crate) directory: PathBuf,
    /// Its environment, without the keys, tokens and addresses that `license.toml` names.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// What its output must not show.
    pub(crate) masks: Masks,
    /// Where its output is read.
    pub(crate) platform: Platform,
    /// How long it may run.
    pub(crate) deadline: Duration,
}

/// The exit code that means "later": `EX_TEMPFAIL` of `sysexits.h`, which mail programs use so.
const LATER: i32 = 75;
/// What to do about a program that did not accept.
const RUN_IT: &str = "see what it printed, and run it by hand";
/// How many lines of its output are shown: the last ones.
const LINES_MAX: usize = 20;
/// What ending a program may take beyond its deadline.
const END_MAX: Duration = Duration::from_secs(8);

impl Program {
    /// The longest that a try may take.
    pub(super) fn try_max(&self) -> Duration {
        self.deadline + END_MAX
    }

    /// Tells it. What it prints goes to stderr, masked and bounded.
    pub(super) fn tell(&self, more: &[(&str, String)], stdin: &[u8]) -> Tried {
        let is_set_again = |name: &OsString| more.iter().any(|(again, _)| name.as_os_str() == *again);
        let kept = self.variables.iter().filter(|(name, _)| !is_set_again(name)).cloned();
        let variables: Vec<_> = kept.chain(more.iter().map(|(name, value)| (name.into(), value.into()))).collect();
        let captured = capture(&Call {
            words: &self.words,
            directory: &self.directory,
            variables: &variables,
            stdin,
            deadline: self.deadline,
        });
        self.show(&captured);
        let name = clean(self.words.first().map_or("", String::as_str));
        let missed = |what: String| Missed::new(format!("`{name}` {what}"), RUN_IT);
        let perhaps = |what: String| Missed::perhaps(format!("`{name}` {what}"), RUN_IT);
        match captured.ended {
            Ended::Exited { code: 0 } => Tried::Accepted,
            Ended::Exited { code: LATER } => Tried::Again(missed(format!("ended with {LATER}: not now")), None),
            Ended::Exited { code } => Tried::Refused(missed(format!("ended with {code}"))),
            Ended::Killed { signal } | Ended::Interrupted { signal } => {
                Tried::Refused(perhaps(format!("was ended by signal {signal}")))
            }
            Ended::TimedOut { after_secs } => Tried::Refused(perhaps(format!("did not end within {after_secs} s"))),
            Ended::NotStarted { why } => Tried::Refused(Missed::new(
                format!("`{name}` cannot be started: {why}"),
                "correct `command` of the sink",
            )),
        }
    }

    fn show(&self, captured: &Captured) {
        let stdout = match &captured.stdout {
            Answer::Whole(bytes) => bytes.as_slice(),
            Answer::TooLong => b"it printed more than is read",
        };
        let lines: Vec<String> = [stdout, &captured.stderr].into_iter().flat_map(|bytes| self.lines(bytes)).collect();
        let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
        let text: String = last.iter().map(|line| github::defused_for(self.platform, &format!("{line}\n"))).collect();
        // Whether it accepted does not depend on who hears of it.
        let _ = console::tell_people(&text);
    }

    fn lines(&self, bytes: &[u8]) -> Vec<String> {
        let masked = self.masks.text(&String::from_utf8_lossy(bytes));
        masked.lines().map(clean).filter(|line| !line.trim().is_empty()).collect()
    }
}
