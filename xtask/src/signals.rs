//! SIGINT, SIGTERM and SIGHUP: noticed once, then asked for by everyone who waits.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals as Arrivals,
};

/// The signals that ask the program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT.
    Interrupt,
    /// SIGTERM; or SIGHUP, of a terminal that is gone.
    Terminate,
}

impl Stop {
    /// The signal's number.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    fn of_number(number: i32) -> Option<Self> {
        match number {
            SIGINT => Some(Self::Interrupt),
            SIGTERM | SIGHUP => Some(Self::Terminate),
            _ => None,
        }
    }
}

/// A watch over the signals. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone)]
pub(crate) struct Signals(Arc<Watch>);

#[derive(Debug)]
struct Watch {
    arrived: Mutex<Arrived>,
    news: Condvar,
}

/// What came so far.
#[derive(Debug, Clone, Copy)]
enum Arrived {
    Nothing,
    Once { first: Stop, at: Instant },
    Again { first: Stop },
}

/// How long a signal may go unnoticed by whoever waits for something else beside it.
pub(crate) const LATENCY: Duration = Duration::from_millis(50);

/// Signals that come this close together are one wish: `timeout`, for one, signals its child and then the child's group.
const SAME_WISH_MILLIS: u64 = 250;

impl Signals {
    /// Starts to watch. From here on the signals no longer end the program by themselves.
    pub(crate) fn watch() -> io::Result<Self> {
        let signals = Self::none();
        let hangup = (!is_hangup_ignored()).then_some(SIGHUP);
        let mut arrivals = Arrivals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
        let noted = signals.clone();
        // The thread lives as long as the program: it has nothing to clean up.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for stop in arrivals.forever().filter_map(Stop::of_number) {
                noted.note(stop, Instant::now());
            }
        })?;
        Ok(signals)
    }

    /// A watch over nothing: no signal ever comes.
    pub(crate) fn none() -> Self {
        Self(Arc::new(Watch { arrived: Mutex::new(Arrived::Nothing), news: Condvar::new() }))
    }

    /// The first signal that came, if one came.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.arrived().first()
    }

    /// Whether somebody asked again after the first signal: stop at once, without any grace.
    pub(crate) fn impatient(&self) -> bool {
        match *self.arrived() {
            Arrived::Nothing | Arrived::Once { .. } => false,
            Arrived::Again { .. } => true,
        }
    }

    /// Waits for a time, or until a signal comes. Returns at once when one came before.
    pub(crate) fn sleep(&self, time: Duration) -> Option<Stop> {
        let waiting = |arrived: &mut Arrived| arrived.first().is_none();
        let (arrived, _) =
            self.0.news.wait_timeout_while(self.arrived(), time, waiting).unwrap_or_else(PoisonError::into_inner);
        arrived.first()
    }

    /// Notes a signal as if it had come.
    pub(crate) fn note(&self, stop: Stop, at: Instant) {
        let mut arrived = self.arrived();
        *arrived = arrived.and(stop, at);
        self.0.news.notify_all();
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        // Nothing panics while it holds the lock, and a word of state cannot be half written.
        self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whoever started this wants it to outlive its terminal, as `nohup` does. Where that cannot be told it may be so.
#[expect(
    clippy::disallowed_methods,
    reason = "the system says there what is ignored, and no library asks it otherwise"
)]
fn is_hangup_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .is_none_or(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

impl Arrived {
    fn first(self) -> Option<Stop> {
        match self {
            Self::Nothing => None,
            Self::Once { first, .. } | Self::Again { first } => Some(first),
        }
    }

    fn and(self, stop: Stop, now: Instant) -> Self {
        match self {
            Self::Nothing => Self::Once { first: stop, at: now },
            Self::Once { at, .. } if now.duration_since(at) < Duration::from_millis(SAME_WISH_MILLIS) => self,
            Self::Once { first, .. } | Self::Again { first } => Self::Again { first },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn nothing_comes_by_itself() {
        let signals = Signals::none();
        assert_eq!(signals.sleep(Duration::from_millis(5)), None);
        assert_eq!(signals.stop(), None);
        assert!(!signals.impatient());
    }

    #[test]
    fn the_first_signal_is_the_one_that_counts() {
        let signals = Signals::none();
        let start = Instant::now();
        signals.note(Stop::Terminate, start);
        signals.note(Stop::Interrupt, start + LONG);
        assert_eq!(signals.clone().stop(), Some(Stop::Terminate));
        assert!(signals.impatient());
    }

    #[test]
    fn signals_that_come_together_are_one_wish() {
        let signals = Signals::none();
        let start = Instant::now();
        signals.note(Stop::Terminate, start);
        signals.note(Stop::Terminate, start + Duration::from_millis(SAME_WISH_MILLIS - 1));
        assert!(!signals.impatient());
        signals.note(Stop::Terminate, start + Duration::from_millis(SAME_WISH_MILLIS));
        assert!(signals.impatient());
    }

    #[test]
    fn a_signal_ends_the_sleep() {
        let signals = Signals::none();
        let start = Instant::now();
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| signals.sleep(LONG));
            signals.note(Stop::Interrupt, Instant::now());
            assert_eq!(sleeper.join().unwrap(), Some(Stop::Interrupt));
        });
        assert!(start.elapsed() < LONG);
        assert_eq!(signals.sleep(LONG), Some(Stop::Interrupt), "and every sleep after it");
    }

    #[test]
    fn a_real_signal_is_noticed() {
        let signals = Signals::watch().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert_eq!(signals.sleep(LONG), Some(Stop::Terminate));
    }
}
