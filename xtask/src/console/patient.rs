//! A stream that does not wait for ever for somebody who reads nothing: a pager that is left open, a terminal that was
//! stopped with Ctrl-S, a log shipper that hangs.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::signals::Signals;

/// So much is written at once, in bytes: a pipe that has room has room for it.
const PART_BYTES: usize = 4096;
/// How soon a signal is noticed while nobody reads.
const NOTICE: Duration = Duration::from_millis(100);
/// After a signal a reader has this long to take what there is; what is not taken then is lost.
const AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// What happens while whoever reads a stream takes nothing more.
#[derive(Debug, Clone)]
pub(crate) enum Unread {
    /// The program waits.
    Waits,
    /// It waits, and after a signal not for much longer.
    WaitsUntil(Signals),
    /// What cannot be written at once is lost: a server has others to serve.
    Lost,
}

/// One rule for all streams of a process.
#[derive(Debug, Clone)]
pub(super) struct Rule(Arc<Mutex<Unread>>);

impl Rule {
    pub(super) fn new(unread: Unread) -> Self {
        Self(Arc::new(Mutex::new(unread)))
    }

    pub(super) fn set(&self, unread: Unread) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }

    fn now(&self) -> Unread {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stream that is written to by that rule.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    rule: Rule,
    /// Since when nobody reads although a signal came.
    unread_since: Option<Instant>,
}

impl<S: AsFd> Patient<S> {
    pub(super) fn new(stream: S, rule: &Rule) -> Self {
        Self { stream, rule: rule.clone(), unread_since: None }
    }

    /// Waits until something can be written, as long as the rule says; whether it can.
    fn wait(&mut self) -> Room {
        loop {
            let unread = self.rule.now();
            let wait = match &unread {
                Unread::Waits | Unread::WaitsUntil(_) => NOTICE,
                Unread::Lost => Duration::ZERO,
            };
            if let Room::Some = self.room(wait) {
                self.unread_since = None;
                return Room::Some;
            }
            match unread {
                Unread::Waits => {}
                Unread::WaitsUntil(signals) if signals.stop().is_none() => {}
                Unread::WaitsUntil(_) => {
                    if self.unread_since.get_or_insert_with(Instant::now).elapsed() >= AFTER_SIGNAL {
                        return Room::None;
                    }
                }
                Unread::Lost => return Room::None,
            }
        }
    }

    fn room(&self, wait: Duration) -> Room {
        let mut polled = [PollFd::new(&self.stream, PollFlags::OUT)];
        let wait = Timespec::try_from(wait).ok();
        // An interrupted call is repeated by the caller's loop; poll has no other errors that depend on its input.
        match poll(&mut polled, wait.as_ref()) {
            // A reader that is gone shows when it is written to.
            Ok(ready) if ready > 0 => Room::Some,
            Ok(_) | Err(_) => Room::None,
        }
    }
}

/// Whether something can be written at once.
enum Room {
    Some,
    None,
}

impl<S: AsFd> Write for Patient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(PART_BYTES)];
        loop {
            match self.wait() {
                // Whoever shares the stream may have switched waiting off, and have been faster.
                Room::Some => match rustix::io::write(&self.stream, part) {
                    Err(Errno::AGAIN) => {}
                    written => return Ok(written?),
                },
                Room::None => return Ok(bytes.len()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, pipe},
        thread,
    };

    use super::*;
    use crate::signals::Stop;

    /// More than a pipe holds, in bytes.
    const MUCH: usize = 1 << 20;

    #[test]
    fn all_reaches_a_reader_that_is_slow() {
        let (mut reader, writer) = pipe().unwrap();
        let reading = thread::spawn(move || {
            let (mut part, mut all) = ([0; 1000], 0);
            // Bounded by what is written.
            loop {
                match reader.read(&mut part).unwrap() {
                    0 => return all,
                    bytes => all += bytes,
                }
                thread::sleep(Duration::from_micros(50));
            }
        });
        Patient::new(writer, &Rule::new(Unread::WaitsUntil(Signals::none()))).write_all(&vec![b'x'; MUCH]).unwrap();
        assert_eq!(reading.join().unwrap(), MUCH);
    }

    #[test]
    fn what_nobody_reads_is_lost_after_a_signal_and_no_sooner() {
        let (mut reader, writer) = pipe().unwrap();
        let signals = Signals::none();
        let mut patient = Patient::new(writer, &Rule::new(Unread::WaitsUntil(signals.clone())));
        let writing = thread::spawn(move || patient.write_all(&vec![b'x'; MUCH]));
        thread::sleep(NOTICE * 3);
        assert!(!writing.is_finished());
        let signaled = Instant::now();
        signals.note(Stop::Terminate, signaled);
        writing.join().unwrap().unwrap();
        assert!(signaled.elapsed() >= AFTER_SIGNAL);
        // What fits in the pipe is there.
        let mut taken = Vec::new();
        reader.read_to_end(&mut taken).unwrap();
        assert!((PART_BYTES..MUCH).contains(&taken.len()), "{}", taken.len());
    }

    #[test]
    fn a_server_waits_for_nobody_and_a_reader_that_comes_back_is_told_what_comes_then() {
        let (mut reader, writer) = pipe().unwrap();
        let mut patient = Patient::new(writer, &Rule::new(Unread::Lost));
        patient.write_all(&vec![b'x'; MUCH]).unwrap();
        let mut taken = vec![0; MUCH];
        let bytes = reader.read(&mut taken).unwrap();
        assert!((PART_BYTES..MUCH).contains(&bytes), "{bytes}");
        patient.write_all(b"again").unwrap();
        drop(patient);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"again"), "{} bytes", rest.len());
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut patient = Patient::new(writer, &Rule::new(Unread::Waits));
        assert_eq!(patient.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
