//! Asks a program: bytes on its stdin, its stdout as the answer, its stderr kept apart for people.
//!
//! Its end is the end of its process: what a child of it still holds open is not waited for. No signal to us ends one
//! early that may be writing; its deadline does.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use license_core::{finding::clean, trail::Ended};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
};
use zeroize::Zeroizing;

use super::{CommandExt, Job, Running, program};
use crate::{mask::Masks, signals::Signals};

/// What a program is asked.
pub(crate) struct Call<'a> {
    /// The program and its arguments; at least one word. No secret: other users can read them.
    pub(crate) words: &'a [String],
    /// The directory to run it in.
    pub(crate) directory: &'a Path,
    /// Its whole environment.
    pub(crate) variables: &'a [(std::ffi::OsString, std::ffi::OsString)],
    /// What it gets on stdin. One that does not read it is no error.
    pub(crate) stdin: &'a [u8],
    /// How long it may run.
    pub(crate) deadline: Duration,
}

/// How a call ended, and what was said. Both texts may hold secrets.
pub(crate) struct Captured {
    /// How the process ended.
    pub(crate) ended: Ended,
    /// The answer.
    pub(crate) stdout: Answer,
    /// What it told people, as it told it: the first [`STDERR_BYTES_MAX`] at most, and then only whole lines.
    pub(crate) stderr: Zeroizing<Vec<u8>>,
}

/// What came on stdout.
pub(crate) enum Answer {
    /// All of it.
    Whole(Zeroizing<Vec<u8>>),
    /// More than [`STDOUT_BYTES_MAX`]; the rest was read and thrown away.
    TooLong,
}

/// The longest answer, in bytes.
pub(crate) const STDOUT_BYTES_MAX: usize = 1024 * 1024;

/// How much of what a program tells people is kept, in bytes.
pub(crate) const STDERR_BYTES_MAX: usize = 64 * 1024;

/// How long a program that was asked to end may take for it, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// After the end of the process, the most time that reading its last output may take.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// Asks it and waits for its end. When the deadline has passed its group gets SIGTERM, and soon after SIGKILL.
/// Never fails: not being able to start is one of the ends.
pub(crate) fn capture(call: &Call<'_>) -> Captured {
    capture_until(call, &Signals::none())
}

/// The same for one that only reads: a signal that comes meanwhile ends it. One that came before is its caller's affair.
pub(crate) fn capture_until(call: &Call<'_>, signals: &Signals) -> Captured {
    let came_before = signals.stop().map(|_| Signals::none());
    match start(call) {
        Ok((running, pipes)) => supervise(call, running, pipes, came_before.as_ref().unwrap_or(signals)),
        Err(why) => Captured {
            ended: Ended::NotStarted { why: clean(&why) },
            stdout: Answer::Whole(Zeroizing::default()),
            stderr: Zeroizing::default(),
        },
    }
}

fn supervise(call: &Call<'_>, mut running: Running, mut pipes: Pipes, signals: &Signals) -> Captured {
    let (life, alive) = pipes.life;
    let (stdin, stdout, stderr) = (&mut pipes.stdin, &mut pipes.stdout, &mut pipes.stderr);
    let ended = thread::scope(|scope| {
        scope.spawn(|| exchange(stdin, call.stdin, stdout, stderr, &life));
        let ended = running.supervise(call.deadline, GRACE, signals);
        drop(alive);
        ended
    });
    let stdout = match pipes.stdout.fits {
        Fits::Yes => Answer::Whole(pipes.stdout.kept),
        Fits::No => Answer::TooLong,
    };
    Captured { ended, stdout, stderr: pipes.stderr.whole_lines() }
}

/// The ends of the pipes that are ours.
struct Pipes {
    stdin: Option<File>,
    stdout: Sink,
    stderr: Sink,
    life: (io::PipeReader, io::PipeWriter),
}

fn start(call: &Call<'_>) -> Result<(Running, Pipes), String> {
    let Some((word, arguments)) = call.words.split_first() else {
        return Err("the command is empty".to_owned());
    };
    if !call.directory.is_dir() {
        return Err(format!("its directory `{}` does not exist", call.directory.display()));
    }
    let masks = Masks::default();
    let job = Job {
        words: call.words,
        directory: call.directory,
        variables: call.variables.to_vec(),
        deadline: call.deadline,
        masks: &masks,
    };
    let program = program::find(word, &job)?;
    let system_said = |error: io::Error| program::system_said(&error);
    let life = io::pipe().map_err(system_said)?;
    let mut child = Command::new(&program)
        .args(arguments)
        .current_dir(call.directory)
        .env_clear()
        .envs(call.variables.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| program::why_not_started(word, &program, &error))?;
    let stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let stdout = Sink::of(child.stdout.take().map(OwnedFd::from), STDOUT_BYTES_MAX);
    let stderr = Sink::of(child.stderr.take().map(OwnedFd::from), STDERR_BYTES_MAX);
    // Watched before anything else can fail, so that the child is reaped.
    let running = Running::watch(child);
    if let Some(pipe) = &stdin {
        // Written as far as there is room: a child that does not read must not keep us from reading what it says.
        fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK)).ok();
    }
    Ok((running, Pipes { stdin, stdout, stderr, life }))
}

/// Writes and reads until both outputs have ended, or until the process has (`life` ends then) and what it left is read.
fn exchange(stdin: &mut Option<File>, input: &[u8], stdout: &mut Sink, stderr: &mut Sink, life: &io::PipeReader) {
    let mut left = input;
    let mut ended: Option<Instant> = None;
    if left.is_empty() {
        *stdin = None;
    }
    while stdout.pipe.is_some() || stderr.pipe.is_some() {
        let Some(ready) = wait(stdin.as_ref(), stdout, stderr, ended.is_none().then_some(life), ended) else {
            break;
        };
        if ready.stdin {
            left = feed(stdin, left);
        }
        if ready.stdout {
            stdout.read();
        }
        if ready.stderr {
            stderr.read();
        }
        if ready.life {
            ended = Some(Instant::now());
            // Nobody is there to read it.
            *stdin = None;
        }
    }
    // The process may have closed its outputs and still read; it is told that nothing more comes when we end.
    while ended.is_none() && stdin.is_some() {
        let Some(ready) = wait(stdin.as_ref(), stdout, stderr, Some(life), None) else { break };
        if ready.life {
            break;
        }
        if ready.stdin {
            left = feed(stdin, left);
        }
    }
    *stdin = None;
}

/// Writes what there is room for. The pipe is closed after the last byte, or when nobody reads it.
fn feed<'i>(stdin: &mut Option<File>, left: &'i [u8]) -> &'i [u8] {
    let Some(pipe) = stdin else { return left };
    match pipe.write(left) {
        Ok(written) if written < left.len() => &left[written..],
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => left,
        Ok(_) | Err(_) => {
            *stdin = None;
            &[]
        }
    }
}

/// What can be done without waiting.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each pipe that is waited at")]
struct Ready {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    life: bool,
}

/// Waits until something can be done. `None`: the process has ended and what it left is read, or its time is over.
fn wait(
    stdin: Option<&File>,
    stdout: &Sink,
    stderr: &Sink,
    life: Option<&io::PipeReader>,
    ended: Option<Instant>,
) -> Option<Ready> {
    let mut polled = Vec::with_capacity(4);
    polled.extend(stdin.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    polled.extend(stdout.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    polled.extend(stderr.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    polled.extend(life.map(|life| PollFd::new(life, PollFlags::IN)));
    // What the process itself has written is in the pipe when it ends: nothing is waited for after that.
    let patience = match ended {
        None => None,
        Some(at) if at.elapsed() < DRAIN_MAX => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
        Some(_) => return None,
    };
    match poll(&mut polled, patience.as_ref()) {
        Ok(0) if ended.is_some() => return None,
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Some(Ready::default()),
        Err(_) => return None,
    }
    let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
    let mut next = |there: bool| there && ready.next().unwrap_or(false);
    Some(Ready {
        stdin: next(stdin.is_some()),
        stdout: next(stdout.pipe.is_some()),
        stderr: next(stderr.pipe.is_some()),
        life: next(life.is_some()),
    })
}

/// Whether everything that came was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
}

/// What is read from one output of the program.
struct Sink {
    /// `None` once it has ended.
    pipe: Option<File>,
    kept: Zeroizing<Vec<u8>>,
    bytes_max: usize,
    fits: Fits,
}

impl Sink {
    fn of(pipe: Option<OwnedFd>, bytes_max: usize) -> Self {
        // Whole from the start: a buffer that grows leaves copies of secrets behind.
        let kept = Zeroizing::new(Vec::with_capacity(bytes_max));
        Self { pipe: pipe.map(File::from), kept, bytes_max, fits: Fits::Yes }
    }

    /// Reads what is there. Beyond the limit it is thrown away, so that the program is not held up.
    fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = Zeroizing::new([0; CHUNK_BYTES]);
        match pipe.read(&mut *chunk) {
            Ok(0) => self.pipe = None,
            Ok(bytes) => {
                let kept = bytes.min(self.bytes_max - self.kept.len());
                self.kept.extend_from_slice(&chunk[..kept]);
                if kept < bytes {
                    self.fits = Fits::No;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.pipe = None,
        }
    }

    /// What was kept; where it was cut, without the line that was cut: half a secret would not be found in it.
    fn whole_lines(mut self) -> Zeroizing<Vec<u8>> {
        if self.fits == Fits::No {
            let end = self.kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.kept.truncate(end);
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for a loaded machine.
    const LONG: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_secs(20);

    fn asked(script: &str, stdin: &[u8], deadline: Duration) -> Captured {
        let directory = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", script].map(str::to_owned);
        let variables = [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
        capture(&Call { words: &words, directory: directory.path(), variables: &variables, stdin, deadline })
    }

    fn text(answer: &Answer) -> &str {
        match answer {
            Answer::Whole(bytes) => std::str::from_utf8(bytes).unwrap(),
            Answer::TooLong => panic!("it is too long"),
        }
    }

    #[test]
    fn the_answer_and_what_is_for_people_come_apart() {
        let captured = asked("cat; echo for people >&2; exit 3", b"{\"a\":1}", LONG);
        assert_eq!(captured.ended, Ended::Exited { code: 3 });
        assert_eq!(text(&captured.stdout), "{\"a\":1}");
        assert_eq!(captured.stderr.as_slice(), b"for people\n");
    }

    #[test]
    fn a_program_that_reads_nothing_is_no_error() {
        let long = vec![b'x'; 1_000_000];
        let captured = asked("exec <&-; echo done", &long, LONG);
        assert_eq!((captured.ended, text(&captured.stdout)), (Ended::Exited { code: 0 }, "done\n"));
    }

    #[test]
    fn a_long_request_arrives_while_a_long_answer_comes() {
        let long = vec![b'x'; 900_000];
        let captured = asked("cat", &long, LONG);
        assert_eq!(captured.ended, Ended::Exited { code: 0 });
        assert_eq!(text(&captured.stdout).len(), long.len());
    }

    #[test]
    fn a_request_arrives_after_the_outputs_are_closed() {
        let captured = asked("exec >&- 2>&-; test \"$(wc -c)\" -eq 300000 && exit 9", &vec![b'x'; 300_000], LONG);
        assert_eq!(captured.ended, Ended::Exited { code: 9 });
    }

    #[test]
    fn an_answer_up_to_the_limit_is_whole_and_a_longer_one_is_not() {
        for (bytes, whole) in [(STDOUT_BYTES_MAX, true), (STDOUT_BYTES_MAX + 1, false), (2 * STDOUT_BYTES_MAX, false)] {
            let captured = asked(&format!("head -c {bytes} /dev/zero"), b"", LONG);
            assert_eq!(captured.ended, Ended::Exited { code: 0 });
            assert_eq!(matches!(captured.stdout, Answer::Whole(_)), whole, "{bytes}");
        }
    }

    #[test]
    fn what_is_for_people_is_cut_at_a_line() {
        let captured = asked("yes 0123456 | head -c 1000000 >&2", b"", LONG);
        assert_eq!(captured.stderr.len(), STDERR_BYTES_MAX);
        let captured = asked("echo first >&2; head -c 1000000 /dev/zero >&2", b"", LONG);
        assert_eq!(captured.stderr.as_slice(), b"first\n");
    }

    #[test]
    fn a_child_that_holds_the_output_is_not_waited_for() {
        let start = Instant::now();
        let captured = asked("sleep 60 & echo $!; exit 4", b"", LONG);
        let pid = text(&captured.stdout).trim().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        assert_eq!(captured.ended, Ended::Exited { code: 4 });
        assert!(start.elapsed() < SOON);
    }

    #[test]
    fn a_child_that_talks_on_is_not_waited_for() {
        let start = Instant::now();
        let captured = asked("(while :; do echo on and on; done) & exit 0", b"", LONG);
        assert_eq!(captured.ended, Ended::Exited { code: 0 });
        assert!(start.elapsed() < SOON);
    }

    #[test]
    fn the_group_ends_with_the_deadline() {
        let start = Instant::now();
        let captured = asked("trap '' TERM; sleep 60 & sleep 60", b"", Duration::from_millis(300));
        assert_eq!(captured.ended, Ended::TimedOut { after_secs: 0 });
        assert!(start.elapsed() < SOON);
    }

    #[test]
    fn what_cannot_start_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let words = ["license-store-nowhere".to_owned()];
        let call = Call { words: &words, directory: directory.path(), variables: &[], stdin: b"", deadline: LONG };
        let Ended::NotStarted { why } = capture(&call).ended else { panic!("it started") };
        assert!(why.contains("`license-store-nowhere` is not in PATH"), "{why}");
    }
}
