//! Start-up: what runs without any network, beside `git --version`.

use std::time::Duration;

use license_tests::Project;

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

/// The exit code of a broken license.toml.
const CONFIG: i32 = 3;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let project = Project::new(BINARY).license_toml(b"version = 1\n[environments.production\n");
    let directory = project.path("");
    let mut help = project.command(&directory, &["--help"]);
    let mut refusal = project.command(&directory, &["check"]);
    let mut git = program::bare("git");
    git.arg("--version");
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..effort.pick(201, 61) {
        times[0].push(program::timed(&mut help, 0));
        times[1].push(program::timed(&mut refusal, CONFIG));
        times[2].push(program::timed(&mut git, 0));
    }
    let [help, refusal, git] = times.map(|times| median(&times));
    vec![
        Row::slower_at_most("`xtask --help` / `git --version`", help, git, 4.0),
        Row::slower_at_most("`check` refuses a broken file / `git --version`", refusal, git, 4.0),
    ]
}
