//! One command of an environment at a time, on this machine: a file that is locked.
//!
//! It stands beside the trail where that is a file, `.license/trail/ENVIRONMENT.jsonl.claim.lock`, and proves what a lease
//! cannot: that the holder of a claim has died. Otherwise it is `.license/ENVIRONMENT.lock`.
//!
//! The lock is the operating system's, so a killed holder's is gone with it, and children do not inherit it. What the
//! file says is only for the message that the second one shows. The file stays: removing it would let a third one lock
//! a new file while the second still locks the old.

#![expect(clippy::disallowed_methods, reason = "this is the door to the lock of an environment")]

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use license_core::finding::clean;
use serde::{Deserialize, Serialize};

use crate::{config::EnvName, exit::Exit, log, private_directory};

/// The longest description of a holder that is read, in bytes.
const HOLDER_BYTES_MAX: u64 = 4 * 1024;
/// How often the file is looked at until it says the same thing twice.
const LOOKS_MAX: u32 = 20;
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Who holds an environment, as it tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) pid: u32,
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// What it does: `deploy`.
    pub(crate) command: String,
    /// Since when, by its clock.
    pub(crate) since: Timestamp,
}

/// The lock, held until it is dropped.
#[derive(Debug)]
#[must_use = "the environment is free again when this is dropped"]
pub(crate) struct Guard {
    file: File,
}

/// Takes an environment, or says at once who has it.
pub(crate) fn acquire(path: &Path, environment: &EnvName, holder: &Holder) -> Result<Guard, LockError> {
    let path = path.to_owned();
    let failed = |source: io::Error| LockError::Io { path: path.clone(), next: log::next_step(&source), source };
    let file = open(&path).map_err(failed)?;
    match take_or_look(&file).map_err(failed)? {
        Attempt::Taken => {
            let guard = Guard { file };
            guard.describe(holder).map_err(failed)?;
            Ok(guard)
        }
        Attempt::Held(other) => Err(LockError::Held { environment: environment.clone(), path, other }),
    }
}

enum Attempt {
    Taken,
    Held(Other),
}

/// Tries the lock, and finds out who has it. A holder writes its description after it took the lock, and one that was
/// killed leaves its own behind: hence two looks that agree, and another try between them.
fn take_or_look(file: &File) -> io::Result<Attempt> {
    let mut last = None;
    for _ in 0..LOOKS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(Attempt::Taken),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let seen = described(file)?;
        if seen.is_some() && seen == last {
            break;
        }
        last = seen;
        thread::sleep(LOOK_PAUSE);
    }
    Ok(Attempt::Held(last.map_or(Other::Unknown, |holder| Other::Known(Box::new(holder)))))
}

/// What the file says, if it is a whole description.
fn described(file: &File) -> io::Result<Option<Holder>> {
    let length = file.metadata()?.len().min(HOLDER_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(serde_json::from_slice(&bytes).ok()),
        // It was shortened between the two calls.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    private_directory::create(path.parent().unwrap_or(Path::new("")))?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

impl Guard {
    fn describe(&self, holder: &Holder) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(&serde_json::to_vec(holder)?, 0)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing the file frees the lock in any case; this only removes a description that is no longer true.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// The one who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// It says who it is.
    Known(Box<Holder>),
    /// It holds the lock and does not say who it is.
    Unknown,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Known(holder) = self else {
            return f.write_str("it does not say which process it is");
        };
        let Holder { pid, user, host, command: _, since } = &**holder;
        write!(f, "pid {pid}")?;
        if let Some(user) = user {
            write!(f, " by {}", clean(user))?;
        }
        if let Some(host) = host {
            write!(f, " on {}", clean(host))?;
        }
        write!(f, " since {since:.0}")
    }
}

impl Other {
    /// What it does.
    fn command(&self) -> String {
        match self {
            Self::Known(holder) => clean(&holder.command),
            Self::Unknown => "command".to_owned(),
        }
    }
}

/// Why an environment cannot be taken.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum LockError {
    /// Somebody else has it.
    #[error("another {} of `{environment}` is running: {other}", other.command())]
    #[diagnostic(help("wait until it has ended, or stop it; the lock is `{}`, and it needs no removing", path.display()))]
    Held {
        /// The environment.
        environment: EnvName,
        /// The lock file.
        path: PathBuf,
        /// Who has it.
        other: Other,
    },
    /// The operating system said no.
    #[error("`{}` cannot be locked: {source}", path.display())]
    #[diagnostic(help("{next}"))]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// What to do next.
        next: &'static str,
    },
}

impl LockError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Held { .. } => Exit::Held,
            Self::Io { .. } => Exit::Trail,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command, Stdio},
        time::Instant,
    };

    use miette::Diagnostic as _;
    use tempfile::TempDir;

    use super::*;

    fn holder() -> Holder {
        Holder {
            pid: 4711,
            user: Some("alice".to_owned()),
            host: Some("build-3".to_owned()),
            command: "deploy".to_owned(),
            since: "2026-03-01T11:02:03.9Z".parse().unwrap(),
        }
    }

    fn production() -> EnvName {
        EnvName::parse("production").unwrap()
    }

    fn lock_file(root: &TempDir) -> PathBuf {
        root.path().join(".license/production.lock")
    }

    fn acquire(root: &Path, environment: &EnvName, holder: &Holder) -> Result<Guard, LockError> {
        super::acquire(&root.join(".license").join(format!("{environment}.lock")), environment, holder)
    }

    #[test]
    fn the_second_is_told_who_holds_the_environment() {
        let root = tempfile::tempdir().unwrap();
        let _guard = acquire(root.path(), &production(), &holder()).unwrap();
        let error = acquire(root.path(), &production(), &Holder { pid: 1, ..holder() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "another deploy of `production` is running: pid 4711 by alice on build-3 since 2026-03-01T11:02:03Z"
        );
        assert!(error.help().unwrap().to_string().contains("wait until it has ended, or stop it"));
        assert_eq!(error.exit(), Exit::Held);
    }

    #[test]
    fn environments_do_not_wait_for_each_other() {
        let root = tempfile::tempdir().unwrap();
        let _production = acquire(root.path(), &production(), &holder()).unwrap();
        let _staging = acquire(root.path(), &EnvName::parse("staging").unwrap(), &holder()).unwrap();
    }

    #[test]
    fn a_dropped_lock_is_free_and_its_file_stays_empty() {
        let root = tempfile::tempdir().unwrap();
        drop(acquire(root.path(), &production(), &holder()).unwrap());
        assert_eq!(lock_file(&root).metadata().unwrap().len(), 0);
        drop(acquire(root.path(), &production(), &holder()).unwrap());
    }

    #[test]
    fn a_half_written_description_is_nobody_and_the_second_still_stops() {
        let root = tempfile::tempdir().unwrap();
        let guard = acquire(root.path(), &production(), &holder()).unwrap();
        for text in [&b""[..], b"{\"pid\":47", &[0; 40], &[b'x'; 10_000]] {
            guard.file.set_len(0).unwrap();
            guard.file.write_all_at(text, 0).unwrap();
            let error = acquire(root.path(), &production(), &holder()).unwrap_err();
            let said = "another command of `production` is running: it does not say which process it is";
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn a_description_cannot_write_control_characters() {
        let root = tempfile::tempdir().unwrap();
        let user = Some("al\u{1b}[2Jice\n".to_owned());
        let _guard = acquire(root.path(), &production(), &Holder { user, ..holder() }).unwrap();
        let error = acquire(root.path(), &production(), &holder()).unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_a_clear_error() {
        let root = tempfile::tempdir().unwrap();
        File::create(root.path().join(".license")).unwrap();
        let error = acquire(root.path(), &production(), &holder()).unwrap_err();
        assert!(error.to_string().contains("production.lock` cannot be locked"), "{error}");
        assert_eq!(error.exit(), Exit::Trail);
    }

    #[test]
    fn a_killed_holder_holds_nothing_and_a_child_of_a_holder_neither() {
        let root = tempfile::tempdir().unwrap();
        let mut other = start_other(&root);
        wait_until(|| root.path().join("held").exists());
        let error = acquire(root.path(), &production(), &holder()).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {} by", other.id())), "{error}");

        other.kill().unwrap();
        other.wait().unwrap();
        let guard = acquire(root.path(), &production(), &holder()).unwrap();
        drop(guard);
        assert!(lock_file(&root).exists());
        File::create(root.path().join("done")).unwrap();
    }

    #[test]
    fn of_many_at_once_one_holds() {
        let root = tempfile::tempdir().unwrap();
        let begin = std::sync::Barrier::new(8);
        let end = std::sync::Barrier::new(8);
        let held = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for pid in 0..8 {
                let (root, begin, end, held) = (&root, &begin, &end, &held);
                scope.spawn(move || {
                    begin.wait();
                    let taken = acquire(root.path(), &production(), &Holder { pid, ..holder() });
                    if taken.is_ok() {
                        held.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                    end.wait();
                });
            }
        });
        assert_eq!(held.into_inner(), 1);
    }

    fn wait_until(mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < deadline, "the other process did not get there in 30 seconds");
            thread::sleep(Duration::from_millis(5));
        }
    }

    const ROOT: &str = "XTASK_ENVIRONMENT_LOCK_TEST_ROOT";

    /// Starts this test binary again, to run nothing but `another_process`.
    #[expect(clippy::disallowed_methods, reason = "a test of two processes needs a second one")]
    fn start_other(root: &TempDir) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "environment_lock::tests::another_process"])
            .env(ROOT, root.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Not a test of its own: holds the lock, as does a deploy that starts a daemon, until it is killed.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the role of this process comes in its environment")]
    #[expect(clippy::zombie_processes, reason = "the child outlives this process, as a daemon does")]
    fn another_process() {
        let Some(root) = std::env::var_os(ROOT) else { return };
        let root = Path::new(&root);
        let this = Holder { pid: std::process::id(), ..holder() };
        let _guard = acquire(root, &production(), &this).unwrap();
        // A child that outlives its parent: it ends when the test has removed the directory or after a minute.
        let wait = "for i in $(seq 600); do [ -d \"$0\" ] && [ ! -e \"$0/done\" ] || exit; sleep 0.1; done";
        let _daemon = Command::new("sh").args(["-c", wait]).arg(root).stdin(Stdio::null()).spawn().unwrap();
        File::create(root.join("held")).unwrap();
        thread::sleep(Duration::from_secs(60));
    }
}
