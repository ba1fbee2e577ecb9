//! Kills a program right before one of its system calls, by `strace`, where that is installed and permitted.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{process::Running, project::Project, ran::Ran};

/// The calls that change what another process finds, now or after a power loss. Not every machine has all of them.
const CALLS: [&str; 20] = [
    "openat",
    "open",
    "write",
    "writev",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "chmod",
    "fchmod",
    "fchmodat",
];

/// How a shell sees the end by SIGKILL.
const KILLED: i32 = 137;

/// One call of a run: the `nth` of its name that its thread makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Which one, from 1.
    pub nth: usize,
    /// The line of the trace, for people.
    pub line: String,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.name, self.nth, self.line)
    }
}

/// Why nothing can be killed so on this machine, if so.
pub fn missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING.get_or_init(probe).clone()
}

/// Kills a shell, which tells whether it works.
fn probe() -> Option<String> {
    let mut command = Command::new("strace");
    command.args(options("write", 1)).args(["--", "sh", "-c", "echo alive"]);
    // Nothing else tells whether it is installed without running it.
    if let Err(error) = command.output() {
        return Some(format!("`strace` cannot be run: {error}"));
    }
    let finished = Running::start(&mut command).wait();
    let reason = finished.stderr.lines().next().unwrap_or("it kills nothing").to_owned();
    (finished.code() != KILLED || finished.stdout.contains("alive")).then(|| format!("`strace`: {reason}"))
}

/// The options with which a program dies before its `nth` call of a name.
fn options(name: &str, nth: usize) -> Vec<String> {
    let inject = format!("inject={name}:signal=KILL:when={nth}");
    ["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject].map(str::to_owned).to_vec()
}

impl Project {
    /// Runs the binary to its end, and tells which calls it made that changed something below the project.
    pub fn traced(&self, arguments: &[&str]) -> (Ran, Vec<Call>) {
        let directory = TempDir::with_prefix("trace-").unwrap();
        let file = directory.path().join("trace");
        let trace = format!("trace={}", CALLS.map(|name| format!("?{name}")).join(","));
        // Strings are not shown: they may be keys.
        let options = ["-f", "-qq", "-y", "-s", "0", "-o", file.to_str().unwrap(), "-e", &trace].map(str::to_owned);
        let ran = self.run_under("strace", &options, arguments);
        let text = fs::read_to_string(&file).unwrap();
        (ran, calls(&text, &fs::canonicalize(self.path("")).unwrap()))
    }

    /// Runs the binary, and kills it right before a call. It is not killed if it does not come to it.
    pub fn killed_before(&self, call: &Call, arguments: &[&str]) -> Ran {
        self.run_under("strace", &options(&call.name, call.nth), arguments)
    }
}

/// The calls of a trace that change something below a directory, in their order, each once.
fn calls(trace: &str, directory: &Path) -> Vec<Call> {
    let below = PathBuf::from(directory).display().to_string();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let Some((name, arguments)) = call.split_once('(').filter(|(name, _)| CALLS.contains(name)) else { continue };
        let nth = counts.entry((thread.to_owned(), name.to_owned())).or_default();
        *nth += 1;
        let opens = ["open", "openat"].contains(&name);
        let changes = if opens { arguments.contains("O_CREAT") || arguments.contains("O_TRUNC") } else { true };
        let is_known = calls.iter().any(|known| known.name == name && known.nth == *nth);
        if changes && arguments.contains(&below) && !is_known {
            calls.push(Call { name: name.to_owned(), nth: *nth, line: call.to_owned() });
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_that_change_something_are_found_and_counted_for_each_thread() {
        let trace = "\
10 openat(AT_FDCWD</p/d>, \"license.toml\", O_RDONLY|O_CLOEXEC) = 3</p/d/license.toml>
10 openat(AT_FDCWD</p/d>, \"/p/d/.env\", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</p/d/.tmp>
10 write(1<pipe:[7]>, \"\"..., 5) = 5
10 write(3</p/d/.tmp>, \"\"..., 5 <unfinished ...>
11 write(4</p/d/other>, \"\"..., 5) = 5
10 <... write resumed>) = 5
10 rename(\"/p/d/.tmp\", \"/p/d/.env\") = 0
10 fsync(5</elsewhere>) = 0
10 +++ exited with 0 +++
";
        let found: Vec<_> = calls(trace, Path::new("/p/d")).into_iter().map(|call| (call.name, call.nth)).collect();
        let expected = [("openat", 2), ("write", 2), ("write", 1), ("rename", 1)];
        assert_eq!(found, expected.map(|(name, nth)| (name.to_owned(), nth)));
    }

    #[test]
    fn a_program_dies_before_the_call_and_not_after_it() {
        if let Some(why) = missing() {
            std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes()).unwrap();
            return;
        }
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("strace");
        command.current_dir(directory.path()).args(options("write", 2));
        let finished =
            Running::start(command.args(["--", "sh", "-c", "echo 1 >one; echo 2 >two; echo 3 >three"])).wait();
        assert_eq!(finished.code(), KILLED, "{}", finished.stderr);
        let length = |name: &str| fs::metadata(directory.path().join(name)).map_or(-1, |file| file.len().cast_signed());
        assert_eq!([length("one"), length("two"), length("three")], [2, 0, -1]);
    }
}
