//! SIGINT and SIGTERM: noticed once, then asked for by everyone who waits.

use std::time::Duration;

/// The signals that ask the program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// A watch over the signals. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone)]
pub(crate) struct Signals {}

impl Signals {
    /// Starts to watch. From here on the signals no longer end the program by themselves.
    pub(crate) fn watch() -> std::io::Result<Self> {
        unimplemented!()
    }

    /// The first signal that came, if one came.
    pub(crate) fn stop(&self) -> Option<Stop> {
        unimplemented!()
    }

    /// Waits for a time, or until a signal comes.
    pub(crate) fn sleep(&self, _time: Duration) -> Option<Stop> {
        unimplemented!()
    }
}
