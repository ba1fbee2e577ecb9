//! Runs a process in its own group, with a bound on its time.

use std::{
    io::{Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

/// No process of a test runs longer.
pub const RUN_SECS_MAX: u64 = 60;

/// How long a process that ran too long has to end by itself and to take its children along.
const GRACE_SECS: u64 = 3;

/// How long the pipes of a process may stay open after its end.
const DRAIN_SECS: u64 = 2;

/// How often a condition is looked at.
const LOOK_MILLIS: u64 = 5;

/// A process that was started, and what it has said.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// The exit code as a shell sees it: 128 more than the signal, where a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap())
    }
}

impl Running {
    /// Starts it in a group of its own, without input.
    pub fn start(command: &mut Command) -> Self {
        Self::reading(command, Stdio::null())
    }

    /// Starts it in a group of its own, with this text as its input.
    pub fn start_with_input(command: &mut Command, input: &str) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.rewind().unwrap();
        Self::reading(command, file.into())
    }

    fn reading(command: &mut Command, input: Stdio) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let stdout = Pipe::of(child.stdout.take().unwrap());
        let stderr = Pipe::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: to it alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it for a while: it alone, and it stands still when this returns.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid());
        let stands = |stat: String| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'));
        until("it stands still", || std::fs::read_to_string(&stat).is_ok_and(stands));
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// What it has written to stdout by now.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to stderr by now.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for the first line on stdout.
    pub fn first_line(&mut self) -> String {
        let mut line = None;
        until("a first line on stdout", || {
            line = self.stdout.text().split_once('\n').map(|(line, _)| line.to_owned());
            line.is_some() || self.child.try_wait().unwrap().is_some()
        });
        line.unwrap_or_else(|| panic!("it ended without a line on stdout; stderr:\n{}", self.stderr.text()))
    }

    /// Waits until a condition holds while it runs; the test fails when it ends first, or after [`RUN_SECS_MAX`].
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut ended = None;
        until(what, || {
            let held = holds(self);
            ended = if held { None } else { self.child.try_wait().unwrap() };
            held || ended.is_some()
        });
        if let Some(status) = ended {
            panic!(
                "{what}: it ended before ({status})\n--- stdout\n{}--- stderr\n{}",
                self.stdout.drain(),
                self.stderr.drain()
            );
        }
    }

    /// Waits for its end; the test fails when that takes longer than [`RUN_SECS_MAX`].
    pub fn wait(self) -> Finished {
        self.wait_within(Duration::from_secs(RUN_SECS_MAX))
    }

    /// Waits for its end; the test fails when that takes longer than this.
    pub fn wait_within(mut self, limit: Duration) -> Finished {
        let Some(status) = self.ends_within(limit) else {
            self.stop();
            panic!(
                "it ran longer than {limit:?}\n--- stdout\n{}--- stderr\n{}",
                self.stdout.text(),
                self.stderr.text()
            );
        };
        Finished { status, stdout: self.stdout.drain(), stderr: self.stderr.drain() }
    }

    /// Kills it at once, without a chance to tidy up.
    pub fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }

    fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(LOOK_MILLIS));
        }
        None
    }

    /// Terminates it, so that it can stop the groups of its own children, and kills it when that does not help.
    fn stop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        if self.ends_within(Duration::from_secs(GRACE_SECS)).is_none() {
            self.kill();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop();
        }
    }
}

#[derive(Debug)]
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Pipe {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                target.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn drain(&self) -> String {
        let started = Instant::now();
        while !self.reader.is_finished() && started.elapsed() < Duration::from_secs(DRAIN_SECS) {
            thread::sleep(Duration::from_millis(LOOK_MILLIS));
        }
        self.text()
    }
}

/// Waits until a condition holds; the test fails when that takes longer than [`RUN_SECS_MAX`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(RUN_SECS_MAX), "{what}: not within {RUN_SECS_MAX} s");
        thread::sleep(Duration::from_millis(LOOK_MILLIS));
    }
}

/// Kills a process that a test left running on purpose.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether a process with this id exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn the_end_and_the_output_of_a_process_are_seen() {
        let finished = sh("echo out; echo err >&2; exit 7").wait();
        assert_eq!((finished.code(), finished.stdout.as_str(), finished.stderr.as_str()), (7, "out\n", "err\n"));
        assert_eq!(sh("kill -TERM $$").wait().code(), 143);
    }

    #[test]
    fn a_process_reads_what_it_is_given() {
        let finished = Running::start_with_input(Command::new("sh").args(["-c", "cat"]), "in\n").wait();
        assert_eq!(finished.stdout, "in\n");
    }

    #[test]
    fn a_process_is_stopped_with_its_group_when_it_is_dropped() {
        let mut running = sh("sleep 50 & echo $!; wait");
        let child: u32 = running.first_line().parse().unwrap();
        assert!(is_alive(child));
        drop(running);
        until("the child is gone", || !is_alive(child));
    }

    #[test]
    fn a_process_that_ends_too_early_fails_the_waiting() {
        let waits = || sh("exit 0").until("it goes on", |_| false);
        assert!(std::panic::catch_unwind(waits).is_err());
    }

    #[test]
    fn a_child_that_keeps_the_pipe_open_does_not_hold_the_harness() {
        let started = Instant::now();
        let finished = sh("sleep 20 & echo $!").wait();
        assert!(started.elapsed() < Duration::from_secs(10));
        kill(finished.stdout.trim().parse().unwrap());
    }
}
