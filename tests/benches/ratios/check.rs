//! One environment: `check production` beside the line that it replaces, on the same server.

use std::time::Duration;

use license_tests::{Authority, Grant, Project};

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

const LATENCIES: [(&str, &[&str]); 2] = [("", &[]), (", 50 ms latency", &["--latency", "50ms"])];

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    if let Some(why) = program::missing(&["curl", "jq"]) {
        return vec![Row::skipped("`check production` / `curl \\| jq`", &why)];
    }
    LATENCIES.iter().flat_map(|(latency, flags)| beside_curl(latency, flags, effort.pick(101, 21))).collect()
}

/// Ours, the whole line, and its first half alone, in turns.
fn beside_curl(latency: &str, flags: &[&str], turns: usize) -> [Row; 2] {
    let authority = Authority::start(BINARY, flags);
    let license = authority.issue(&Grant::default());
    let project = Project::new(BINARY).authority(&authority).key(&license.key);
    let mut check = project.command(&project.path(""), &["check", "production", "--format", "human"]);
    let mut curl = program::curl(&authority, &license, "app.com");
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..turns {
        times[0].push(program::timed(&mut check, 0));
        times[1].push(program::curl_and_jq(&authority, &license, "app.com"));
        times[2].push(program::timed(&mut curl, 0));
    }
    let [ours, line, curl] = times.map(|times| median(&times));
    [
        Row::slower_at_most(&format!("`check production` / `curl \\| jq`{latency}"), ours, line, 1.0),
        // How fast jq starts differs much between its versions.
        Row::told(&format!("`check production` / `curl` alone{latency}"), ours, curl),
    ]
}
