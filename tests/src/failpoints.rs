//! The binary that dies where it is told to. No default build is one, so it is built here, once in a run of the tests.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::{process::Running, project::Project};

/// How long the build may take, in seconds: the first one compiles every dependency.
const BUILD_SECS_MAX: u64 = 1_800;

/// The one call is given up after this many seconds, unless a test says otherwise.
const CALL_SECS: u64 = 4;

/// The new key is asked about for this many seconds.
const ACCEPT_SECS: u64 = 4;

/// A late execution is waited for this many seconds, unless a test says otherwise.
const SETTLE_SECS: u64 = 1;

/// Where to die: `NAME`, or `NAME:N` for the N-th time that it comes by.
pub const DIES_AT: &str = "LICENSE_FAILPOINT";

/// Where to get SIGINT: `NAME`.
pub const SIGINT_AT: &str = "LICENSE_FAILPOINT_SIGINT";

/// Where to stand still until somebody lets it go on: `NAME`.
pub const STANDS_STILL_AT: &str = "LICENSE_FAILPOINT_STOP";

/// Where to panic: `NAME`.
pub const PANICS_AT: &str = "LICENSE_FAILPOINT_PANIC";

/// The binary. `beside` is a binary of the default build: what is built goes below the same target directory.
///
/// It is built from the same lock file without the network, and with the network where that does not do.
pub fn binary(beside: &str) -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let target = Path::new(beside).ancestors().nth(2).unwrap().join("failpoints");
        std::fs::create_dir_all(&target).unwrap();
        // Runners that start a process for each test wait for the first of them here.
        let lock = File::create(target.join("tests.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let offline = build(&target, &["--offline"]);
        if let Err(without) = offline {
            build(&target, &[]).unwrap_or_else(|with| panic!("the failpoints build fails\n{without}\n{with}"));
        }
        target.join("debug/xtask")
    })
}

fn build(target: &Path, more: &[&str]) -> Result<(), String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.current_dir(workspace).args(["build", "--quiet", "--locked", "--package", "xtask", "--bin", "xtask"]);
    command.args(["--features", "failpoints", "--target-dir"]).arg(target).args(more);
    // What Cargo tells the tests about themselves is not true of the build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    let finished = Running::start(&mut command).wait_within(Duration::from_secs(BUILD_SECS_MAX));
    if finished.code() == 0 { Ok(()) } else { Err(finished.stderr) }
}

impl Project {
    /// Waits little, where the failpoints build would wait long.
    pub fn impatient(self) -> Self {
        let project = self.call_secs(CALL_SECS).var("LICENSE_FAILPOINT_ACCEPT_SECS", &ACCEPT_SECS.to_string());
        project.var("LICENSE_FAILPOINT_SETTLE_SECS", &SETTLE_SECS.to_string())
    }

    /// Every step but the call and the settling takes at most this many seconds: a claim lasts as long as all of them.
    pub fn claiming_for(self, secs: u64) -> Self {
        self.var("LICENSE_FAILPOINT_STEP_SECS", &secs.to_string())
    }

    /// The failpoints build gives the one call up after this many seconds.
    pub fn call_secs(self, secs: u64) -> Self {
        self.var("LICENSE_FAILPOINT_CALL_SECS", &secs.to_string())
    }
}
