//! Counts what is unpacked, and says when it is enough.

use std::{
    cell::{Cell, OnceCell},
    io::{self, Read},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::{Limits, PUSH_ARCHIVES_TIME, RATIO_FREE_BYTES};

/// A limit is reached: nothing more is looked at.
#[derive(Debug)]
pub(super) struct Halt;

impl From<Halt> for io::Error {
    fn from(Halt: Halt) -> Self {
        Self::other("a limit is reached")
    }
}

/// What may still be unpacked.
pub(super) struct Meter {
    bytes_left: Cell<u64>,
    entries_left: Cell<u64>,
    too_long: String,
    began: Duration,
    time: Duration,
    too_late: String,
    /// How many bytes there were since the clock was last looked at.
    unclocked: Cell<usize>,
    /// The limit that was reached.
    halted: OnceCell<String>,
}

/// After how many bytes the clock is looked at.
const BYTES_BETWEEN_LOOKS: usize = 64 * 1024;

impl Meter {
    pub(super) fn new(blob_bytes: u64, limits: &Limits) -> Self {
        let by_ratio = blob_bytes.saturating_mul(limits.ratio_max).max(RATIO_FREE_BYTES);
        let too_long = if by_ratio < limits.bytes_max {
            format!("unpacks to more than {} times its length: it may be a bomb", limits.ratio_max)
        } else {
            format!("unpacks to more than {} bytes", limits.bytes_max)
        };
        let (time, too_late) = match limits.time_of_all {
            Some(left) if left < limits.time => {
                (left, format!("came too late: the archives of a push may take {PUSH_ARCHIVES_TIME:?} altogether"))
            }
            Some(_) | None => (limits.time, format!("takes longer than {:?} to look into", limits.time)),
        };
        Self {
            bytes_left: Cell::new(by_ratio.min(limits.bytes_max)),
            entries_left: Cell::new(limits.entries_max),
            too_long,
            began: worked(),
            time,
            too_late,
            unclocked: Cell::new(0),
            halted: OnceCell::new(),
        }
    }

    /// The limit that was reached, in words.
    pub(super) fn halted(&self) -> Option<&str> {
        self.halted.get().map(String::as_str)
    }

    fn halt(&self, why: String) -> Halt {
        // The first limit is the one that is told.
        self.halted.set(why).ok();
        Halt
    }

    /// So many more bytes.
    pub(super) fn bytes(&self, bytes: usize) -> Result<(), Halt> {
        let unclocked = self.unclocked.get().saturating_add(bytes);
        self.unclocked.set(unclocked);
        if unclocked >= BYTES_BETWEEN_LOOKS {
            self.clock()?;
        }
        let left = self.bytes_left.get().checked_sub(bytes as u64);
        left.map(|left| self.bytes_left.set(left)).ok_or_else(|| self.halt(self.too_long.clone()))
    }

    /// So many more entries.
    pub(super) fn entries(&self, entries: u64) -> Result<(), Halt> {
        self.clock()?;
        let left = self.entries_left.get().checked_sub(entries);
        let too_many = || self.halt("has too many entries to be looked into".to_owned());
        left.map(|left| self.entries_left.set(left)).ok_or_else(too_many)
    }

    fn clock(&self) -> Result<(), Halt> {
        self.unclocked.set(0);
        if worked().saturating_sub(self.began) >= self.time {
            return Err(self.halt(self.too_late.clone()));
        }
        Ok(())
    }

    /// Whether an error of reading is really a limit that was reached.
    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.halted.get().is_some() { Err(Halt) } else { Ok(()) }
    }
}

/// How long this thread has worked. What is waited for while others work is no work: the same archive comes out alike on
/// a machine that is busy.
pub(crate) fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Reads what is unpacked, as long as the limits allow.
pub(super) struct Metered<'m, R> {
    pub(super) inner: R,
    pub(super) meter: &'m Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.bytes(count)?;
        Ok(count)
    }
}
