//! Runs a deploy or rollback command: own process group, deadline, streamed and masked output, signals passed on.
//!
//! The command's end is the end of its process, not of its output: a daemon that it leaves behind may hold the
//! output open, and lives on after a normal exit. After a deadline or a signal the whole group is ended; what
//! moved to a session of its own is out of our reach.

#![expect(clippy::disallowed_methods, reason = "this is the door to processes, and to the programs that they run")]

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use license_core::{finding::clean, trail::Ended};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid},
};

use crate::{
    mask::Masks,
    signals::{self, Signals, Stop},
    vars::Vars,
};

pub(crate) mod capture;
mod output;
mod program;

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

/// How long a command that was asked to end may take for it, before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Runs it to its end. Both of its output streams go to `output`, masked. Never fails: not being able to start is one of the ends.
///
/// When the deadline has passed its group gets SIGTERM, when a signal came it gets that signal; after [`GRACE`], or
/// at once when somebody asks again, it is killed.
pub(crate) fn run(job: &Job<'_>, signals: &Signals, output: &mut (dyn Write + Send)) -> Ended {
    run_with_grace(job, GRACE, signals, output)
}

fn run_with_grace(job: &Job<'_>, grace: Duration, signals: &Signals, output: &mut (dyn Write + Send)) -> Ended {
    if let Some(stop) = signals.stop() {
        return Ended::Interrupted { signal: stop.number() };
    }
    let (mut running, pipes) = match start(job) {
        Ok(started) => started,
        Err(why) => return Ended::NotStarted { why: clean(&why) },
    };
    // Whoever waits at `life` sees it end when `alive` is dropped: after the child's end, or when we panic.
    let (life, alive) = pipes.life;
    thread::scope(|scope| {
        scope.spawn(|| output::pump(pipes.streams, job.masks, &life, output));
        let ended = running.supervise(job.deadline, grace, signals);
        drop(alive);
        ended
    })
}

/// The ends of the pipes that are ours.
struct Pipes {
    streams: output::Streams,
    life: (io::PipeReader, io::PipeWriter),
}

/// Looks a program up, as a command that begins with this word would find it; an error says why it cannot be started.
pub(crate) fn look_up(word: &str, directory: &Path, vars: &Vars) -> Result<PathBuf, String> {
    program::find_in_path(word, directory, vars.raw("PATH").unwrap_or(OsStr::new(program::PATH_DEFAULT)))
}

fn start(job: &Job<'_>) -> Result<(Running, Pipes), String> {
    let Some((word, arguments)) = job.words.split_first() else {
        return Err("the command is empty".to_owned());
    };
    if !job.directory.is_dir() {
        return Err(format!("its directory `{}` does not exist", job.directory.display()));
    }
    let program = program::find(word, job)?;
    let shell = xshell::Shell::new().map_err(|_| "the current directory does not exist any more".to_owned())?;
    shell.change_dir(job.directory);
    let described = shell.cmd(&program).args(arguments).env_clear().envs(job.variables.iter().map(|(n, v)| (n, v)));

    let life = io::pipe().map_err(|error| program::system_said(&error))?;
    let mut child = Command::from(described)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| program::why_not_started(word, &program, &error))?;
    let streams = [child.stdout.take().map(Into::into), child.stderr.take().map(Into::into)];
    Ok((Running::watch(child), Pipes { streams: streams.into_iter().flatten().collect(), life }))
}

/// A child at the head of its own process group.
struct Running {
    child: Child,
    /// Says once that the child has ended. Its process number stays its own until we reap it.
    end: Receiver<()>,
}

/// How long the operating system may take to end a killed process. One that waits for a broken disk never ends.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How often we look whether the group has become empty.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// What ended the waiting for the child.
enum Waited {
    Ended,
    TimeIsOver,
    Stop(Stop),
}

impl Running {
    fn watch(child: Child) -> Self {
        let (ended, end) = mpsc::sync_channel(1);
        let pid = Pid::from_child(&child);
        // Not a scoped thread: a process that cannot be ended must not keep us.
        thread::spawn(move || {
            let ended_and_not_reaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), ended_and_not_reaped), Err(Errno::INTR)) {}
            // Fails only when we gave up on the child, and then nobody wants to know.
            ended.send(()).ok();
        });
        Self { child, end }
    }

    fn supervise(&mut self, deadline: Duration, grace: Duration, signals: &Signals) -> Ended {
        match self.wait(deadline, || signals.stop()) {
            Waited::Ended => match self.child.wait() {
                Ok(status) => end_of(status),
                Err(error) => Ended::NotStarted { why: format!("its end was lost: {error}") },
            },
            Waited::TimeIsOver => {
                self.end_group(Signal::TERM, grace, signals);
                Ended::TimedOut { after_secs: deadline.as_secs() }
            }
            Waited::Stop(stop) => {
                self.end_group(passed_on(stop), grace, signals);
                Ended::Interrupted { signal: stop.number() }
            }
        }
    }

    /// Waits until the child has ended, the time is over, or a signal is to be heeded.
    fn wait(&self, time: Duration, stop: impl Fn() -> Option<Stop>) -> Waited {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            match self.end.recv_timeout(left.min(signals::LATENCY)) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Waited::Ended,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(stop) = stop() {
                return Waited::Stop(stop);
            }
            if left.is_zero() {
                return Waited::TimeIsOver;
            }
        }
    }

    /// Asks the group to end, lets it have the grace, then kills what is left of it.
    fn end_group(&mut self, signal: Signal, grace: Duration, signals: &Signals) {
        let start = Instant::now();
        self.send(signal);
        // A stopped process hears the signal only when it goes on.
        self.send(Signal::CONT);
        match self.wait(grace, || signals.stop().filter(|_| signals.impatient())) {
            // The first process is often a shell or a package manager: its children may still be cleaning up.
            Waited::Ended => {
                self.reap();
                while self.group_lives() && start.elapsed() < grace && !signals.impatient() {
                    thread::sleep(SWEEP_INTERVAL);
                }
                self.send(Signal::KILL);
            }
            Waited::TimeIsOver | Waited::Stop(_) => {
                self.send(Signal::KILL);
                if let Waited::Ended = self.wait(KILL_WAIT, || None) {
                    self.reap();
                    self.send(Signal::KILL);
                }
            }
        }
    }

    /// The child has ended: takes it off the table of processes.
    fn reap(&mut self) {
        // How it ended does not matter after we asked it to.
        self.child.wait().ok();
    }

    /// The group keeps its number as long as one process is in it, so that a signal finds it or nobody.
    fn send(&self, signal: Signal) {
        kill_process_group(self.group(), signal).ok();
    }

    fn group_lives(&self) -> bool {
        test_kill_process_group(self.group()) != Err(Errno::SRCH)
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

fn passed_on(stop: Stop) -> Signal {
    match stop {
        Stop::Interrupt => Signal::INT,
        Stop::Terminate => Signal::TERM,
    }
}

fn end_of(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited { code },
        (None, Some(signal)) => Ended::Killed { signal },
        // Unix knows no third way to end.
        (None, None) => Ended::NotStarted { why: format!("its end is not known: {status}") },
    }
}

#[cfg(test)]
mod tests;
