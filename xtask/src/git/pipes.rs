//! The pipes of a git: what it reads lies in one before it starts, and what it writes and says is read by whoever waits
//! for it. A thread for each would take longer than git's answer.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write as _},
    os::fd::{AsFd, OwnedFd},
    process::{Child, ChildStderr, ChildStdout, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{LOOK_PAUSE_MAX, LOOK_PAUSE_MIN, SAID_BYTES_MAX, SAID_WAIT, Said};
use crate::signals::{Signals, Stop};

/// How much of its input lies ready for a git, in bytes: an empty pipe takes so much, whatever else is open.
const READY_BYTES: usize = 4096;
/// How long a git may go on once somebody wants us to stop: what is under way may still arrive.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long each git may go on once somebody wants it again. It is never nothing: a remote that answers takes what has
/// happened in this time, and CI systems leave little more.
pub(super) const AGAIN_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody does.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// What a git is to read: the beginning lies in the pipe.
pub(super) struct Ready {
    pub(super) reader: PipeReader,
    pub(super) rest: Rest,
}

/// What did not go into the pipe.
pub(super) struct Rest {
    pub(super) writer: PipeWriter,
    pub(super) bytes: Vec<u8>,
}

/// Lays out what a git is to read.
pub(super) fn ready(mut input: Vec<u8>) -> io::Result<Ready> {
    let (reader, mut writer) = io::pipe()?;
    let bytes = input.split_off(input.len().min(READY_BYTES));
    writer.write_all(&input)?;
    Ok(Ready { reader, rest: Rest { writer, bytes } })
}

/// Writes the rest of what a git reads. One that does not read it to its end says why in its own way.
pub(super) fn feed(Rest { mut writer, bytes }: Rest) {
    if !bytes.is_empty() {
        thread::spawn(move || writer.write_all(&bytes));
    }
}

/// What a git says to people: the end of it is kept.
pub(super) struct Voice {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
}

impl Voice {
    pub(super) fn of(pipe: Option<ChildStderr>) -> Self {
        Self { pipe: pipe.map(|pipe| OwnedFd::from(pipe).into()), kept: Vec::new() }
    }

    pub(super) fn of_pipe(pipe: PipeReader) -> Self {
        Self { pipe: Some(pipe), kept: Vec::new() }
    }

    /// Takes what is there to be read.
    fn take(&mut self) {
        let mut chunk = [0; SAID_BYTES_MAX];
        match self.pipe.as_mut().map(|pipe| pipe.read(&mut chunk)) {
            Some(Ok(count @ 1..)) => {
                self.kept.extend_from_slice(&chunk[..count]);
                let surplus = self.kept.len().saturating_sub(SAID_BYTES_MAX);
                self.kept.drain(..surplus);
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Some(Ok(_) | Err(_)) | None => self.pipe = None,
        }
    }

    /// Listens for so long, or until it has ended.
    fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.pipe.is_some() && Instant::now() < end {
            if wait_for(None, self, end.saturating_duration_since(Instant::now())).is_err() {
                self.pipe = None;
            }
        }
    }

    /// Listens to the rest of what a git that ended had to say.
    pub(super) fn rest(&mut self) {
        self.listen(SAID_WAIT);
    }

    /// What was said.
    pub(super) fn said(&self) -> Said {
        Said::of(&self.kept)
    }
}

/// Whether an output can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// There is something in it, or its end.
    Yes,
    /// Not yet.
    No,
}

/// Waits until an output can be read, and takes what is said meanwhile. Without an output it only listens, until
/// something was said.
pub(super) fn wait_for(stdout: Option<&dyn AsFd>, voice: &mut Voice, time: Duration) -> io::Result<Readable> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let (readable, spoke) = {
            let output = stdout.map(|stdout| PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN));
            let speech = voice.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
            let has_output = output.is_some();
            let mut polled: Vec<PollFd<'_>> = output.into_iter().chain(speech).collect();
            match poll(&mut polled, Some(&timespec(left))) {
                Ok(0) => return Ok(Readable::No),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
            (has_output && ready.next() == Some(true), ready.next() == Some(true))
        };
        if spoke {
            voice.take();
        }
        if readable {
            return Ok(Readable::Yes);
        }
        // One that never stops to speak keeps nobody from looking at the time.
        if stdout.is_none() || left.is_zero() {
            return Ok(Readable::No);
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}

/// What somebody who wants us to stop does to a git that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nothing: it works here alone, and soon ends.
    Local,
    /// It ends soon: nothing is lost by that.
    CanWait,
    /// It goes on, and ends soon where somebody wants that again: what has happened is lost if it is not written down.
    MustArrive,
}

/// How long a git is waited for.
pub(super) struct Patience {
    deadline: Instant,
    signals: Signals,
    urgency: Urgency,
    /// When it ends since somebody wants us to stop, and since somebody wanted it again.
    stopped: Option<Instant>,
    stopped_again: Option<Instant>,
}

/// Why a git is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Its time has passed.
    Late,
    /// Somebody wants us to stop.
    Stopped(Stop),
}

impl Patience {
    pub(super) fn of(time: Duration, signals: Signals, urgency: Urgency) -> Self {
        Self { deadline: Instant::now() + time, signals, urgency, stopped: None, stopped_again: None }
    }

    /// The same without anybody who could want us to stop.
    pub(super) fn for_(time: Duration) -> Self {
        Self::of(time, Signals::none(), Urgency::Local)
    }

    /// For how long to wait before this is asked again.
    fn next(&mut self) -> Result<Duration, Over> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(Over::Late);
        }
        let stop = match self.urgency {
            Urgency::Local => None,
            Urgency::CanWait | Urgency::MustArrive => self.signals.stop(),
        };
        let Some(stop) = stop else { return Ok((self.deadline - now).min(STOP_LOOK)) };
        if self.urgency == Urgency::CanWait {
            self.stopped.get_or_insert(now + STOP_WAIT);
        }
        if self.signals.impatient() {
            self.stopped_again.get_or_insert(now + AGAIN_WAIT);
        }
        let end = [self.stopped, self.stopped_again].into_iter().flatten().min();
        match end {
            Some(end) if now >= end => Err(Over::Stopped(stop)),
            Some(_) | None => Ok((end.unwrap_or(self.deadline).min(self.deadline) - now).min(STOP_LOOK)),
        }
    }
}

/// git's output, read until nobody waits for it any longer.
pub(super) struct Output {
    stdout: Option<ChildStdout>,
    voice: Voice,
    patience: Patience,
    /// Why it was not read to its end.
    over: Option<Over>,
}

impl Output {
    pub(super) fn of(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>, patience: Patience) -> Self {
        Self { stdout, voice: Voice::of(stderr), patience, over: None }
    }

    /// Closes it, and says why it was not read to its end.
    pub(super) fn closed(self) -> (Voice, Patience, Option<Over>) {
        (self.voice, self.patience, self.over)
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        loop {
            let time = self.patience.next().map_err(|over| {
                self.over = Some(over);
                io::Error::from(io::ErrorKind::TimedOut)
            })?;
            match wait_for(Some(&*stdout), &mut self.voice, time)? {
                Readable::No => {}
                Readable::Yes => match stdout.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                },
            }
        }
    }
}

/// Waits until a git has ended, and takes what it says on its way. Its output has ended, so that this is short.
pub(super) fn end_of(child: &mut Child, voice: &mut Voice, patience: &mut Patience) -> Result<ExitStatus, Over> {
    let mut pause = LOOK_PAUSE_MIN;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                // A daemon that it left may hold the pipe open.
                voice.rest();
                return Ok(status);
            }
            Ok(None) => {}
            Err(_) => return Err(Over::Late),
        }
        let pause_now = patience.next()?.min(pause);
        if voice.pipe.is_none() {
            thread::sleep(pause_now);
        } else if wait_for(None, voice, pause_now).is_err() {
            voice.pipe = None;
        }
        pause = (pause * 2).min(LOOK_PAUSE_MAX);
    }
}
