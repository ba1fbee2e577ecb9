//! One environment: `check production` beside the line that it replaces, on the same server.

use std::time::Duration;

use license_tests::{Authority, Grant, Project};

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

const NAMES: [(&str, &[&str]); 2] =
    [("`check production` / `curl \\| jq`", &[]), ("the same, 50 ms latency", &["--latency", "50ms"])];

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let missing = program::missing();
    NAMES
        .iter()
        .map(|(name, flags)| match &missing {
            Some(why) => Row::skipped(name, why),
            None => beside_curl(name, flags, effort.pick(101, 21)),
        })
        .collect()
}

fn beside_curl(name: &str, flags: &[&str], runs: usize) -> Row {
    let authority = Authority::start(BINARY, flags);
    let license = authority.issue(&Grant::default());
    let project = Project::new(BINARY).authority(&authority).key(&license.key);
    let mut check = project.command(&project.path(""), &["check", "production", "--format", "human"]);
    let pairs: Vec<(Duration, Duration)> = (0..runs)
        .map(|_| (program::timed(&mut check, 0), program::curl_and_jq(&authority, &license, "app.com")))
        .collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Row::slower_at_most(name, median(&ours), median(&theirs), 1.0)
}
