//! Brings the two output streams of a command into one: masked, and whole lines where that delays nothing.

use std::{
    fs::File,
    io::{ErrorKind, PipeReader, Read, Write},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::mask::{MaskedStream, Masks};

/// The reading ends of the command's stdout and stderr.
pub(super) type Streams = Vec<OwnedFd>;

/// A line may be held back this long for its end to come.
const LINE_WAIT: Duration = Duration::from_millis(100);

/// A longer line is shown in parts, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// After the command's end, a stream that stays silent for this long is left to whoever still holds it.
const SILENCE_MAX: Duration = Duration::from_millis(250);

/// After the command's end, a stream is read for this long at most.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Copies until both streams have ended, or until the command has (`life` ends then) and its last output is read.
pub(super) fn pump(streams: Streams, masks: &Masks, life: &PipeReader, output: &mut (dyn Write + Send)) {
    let mut screen = Screen(Some(output));
    let mut streams: Vec<Stream> = streams.into_iter().map(|pipe| Stream::new(pipe, masks)).collect();
    let mut command = Command::Runs;
    while !streams.is_empty() && !command.is_drained() {
        let wait = streams.iter().filter_map(Stream::due_in).chain(command.patience()).min();
        let ready = Ready::wait(&streams, command.is_running().then_some(life), wait);
        command = command.after(&ready);
        for (stream, _) in streams.iter_mut().zip(&ready.streams).filter(|(_, ready)| **ready) {
            stream.read(&mut screen);
        }
        for late in streams.iter_mut().filter(|stream| stream.due_in() == Some(Duration::ZERO)) {
            late.show_line(&mut screen);
        }
        for ended in streams.extract_if(.., |stream| stream.ended) {
            ended.finish(&mut screen);
        }
    }
    for held_by_others in streams {
        held_by_others.finish(&mut screen);
    }
}

/// Whether the command still runs.
#[derive(Debug, Clone, Copy)]
enum Command {
    Runs,
    Ended { at: Instant, last_output: Instant },
}

impl Command {
    fn is_running(self) -> bool {
        match self {
            Self::Runs => true,
            Self::Ended { .. } => false,
        }
    }

    fn after(self, ready: &Ready) -> Self {
        let now = Instant::now();
        match self {
            Self::Runs if ready.life_ended => Self::Ended { at: now, last_output: now },
            Self::Ended { at, .. } if ready.streams.contains(&true) => Self::Ended { at, last_output: now },
            Self::Runs | Self::Ended { .. } => self,
        }
    }

    /// How long to wait for output at most.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Runs => None,
            Self::Ended { at, last_output } => Some(left_of(SILENCE_MAX, last_output).min(left_of(DRAIN_MAX, at))),
        }
    }

    fn is_drained(self) -> bool {
        self.patience() == Some(Duration::ZERO)
    }
}

fn left_of(time: Duration, since: Instant) -> Duration {
    time.saturating_sub(since.elapsed())
}

/// What can be read.
struct Ready {
    streams: Vec<bool>,
    life_ended: bool,
}

impl Ready {
    fn wait(streams: &[Stream], life: Option<&PipeReader>, wait: Option<Duration>) -> Self {
        let mut polled: Vec<PollFd<'_>> =
            streams.iter().map(|stream| PollFd::new(&stream.pipe, PollFlags::IN)).collect();
        polled.extend(life.map(|life| PollFd::new(life, PollFlags::IN)));
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        // An interrupted call is repeated by the caller's loop; poll has no other errors that depend on its input.
        if poll(&mut polled, wait.as_ref()).is_err() {
            return Self { streams: vec![false; streams.len()], life_ended: false };
        }
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let of_streams = ready.by_ref().take(streams.len()).collect();
        Self { streams: of_streams, life_ended: ready.next().unwrap_or(false) }
    }
}

/// One of the two streams.
struct Stream {
    pipe: File,
    mask: MaskedStream,
    /// Masked, and not shown yet: the beginning of a line.
    line: Vec<u8>,
    /// When that beginning came.
    line_since: Instant,
    ended: bool,
}

impl Stream {
    fn new(pipe: OwnedFd, masks: &Masks) -> Self {
        Self {
            pipe: File::from(pipe),
            mask: masks.stream(),
            line: Vec::new(),
            line_since: Instant::now(),
            ended: false,
        }
    }

    /// Reads what is there, and shows its whole lines.
    fn read(&mut self, screen: &mut Screen<'_>) {
        let mut chunk = [0; CHUNK_BYTES];
        match self.pipe.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(bytes) => self.take(&chunk[..bytes], screen),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
    }

    fn take(&mut self, chunk: &[u8], screen: &mut Screen<'_>) {
        if self.line.is_empty() {
            self.line_since = Instant::now();
        }
        self.line.extend(self.mask.push(chunk));
        // A carriage return ends a line too: progress bars know no other.
        let whole = self.line.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |end| end + 1);
        if whole > 0 {
            screen.show(&self.line[..whole]);
            self.line.drain(..whole);
            self.line_since = Instant::now();
        }
        if self.line.len() > LINE_BYTES_MAX {
            self.show_line(screen);
        }
    }

    /// How soon the beginning of a line is to be shown without its end; `None` if there is none.
    fn due_in(&self) -> Option<Duration> {
        (!self.line.is_empty()).then(|| left_of(LINE_WAIT, self.line_since))
    }

    fn show_line(&mut self, screen: &mut Screen<'_>) {
        screen.show(&self.line);
        self.line.clear();
    }

    fn finish(mut self, screen: &mut Screen<'_>) {
        self.line.extend(self.mask.finish());
        screen.show(&self.line);
    }
}

/// Where everything goes. When it is closed, the command runs on, and its output is read and thrown away.
struct Screen<'a>(Option<&'a mut (dyn Write + Send)>);

impl Screen<'_> {
    fn show(&mut self, bytes: &[u8]) {
        let Some(output) = &mut self.0 else { return };
        if output.write_all(bytes).and_then(|()| output.flush()).is_err() {
            self.0 = None;
        }
    }
}
