//! A terminal on which a view is drawn again and again, each time in the place of the one before.
//!
//! What stood on the terminal comes back at the end, whatever the end is: a return, a signal that is watched, a panic.

use std::{
    io::{self, IsTerminal as _, Write as _},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

use super::{Console, Destination, Motion};
use crate::signals::{Signals, Stop};

/// A page of its own, no wrapping, no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l";
/// The page from before, with wrapping and a cursor.
const LEAVE: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";
/// To the first line.
const HOME: &str = "\x1b[H";
/// Nothing more in this line.
const LINE_ENDS: &str = "\x1b[K";
/// Nothing more on this page.
const PAGE_ENDS: &str = "\x1b[J";

/// How soon a signal, a key or a new size is noticed, in milliseconds.
const NOTICE_MILLIS: u64 = 100;
/// The size of a terminal that does not tell its own.
const SIZE_DEFAULT: Size = Size { columns: 80, rows: 24 };
/// The end of input as no terminal sends it: a special code that is switched off.
const NO_CODE: u8 = 0;

/// A terminal that is drawn on.
#[derive(Debug)]
pub(crate) struct Screen<'a> {
    console: &'a Console,
    before: Arc<Before>,
    keys: Keys,
    /// The size for which was drawn last.
    size: Size,
}

/// How many characters fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Beside each other.
    pub(crate) columns: usize,
    /// Below each other.
    pub(crate) rows: usize,
}

impl Size {
    /// That of the terminal that is stdout.
    pub(crate) fn now() -> Self {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            Ok(_) | Err(_) => SIZE_DEFAULT,
        }
    }
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time is over.
    Time,
    /// Somebody pressed `q`.
    Quit,
    /// The terminal has another size.
    Resized,
    /// A signal came.
    Stopped(Stop),
}

/// Whether keys are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Heard,
    /// The input is no terminal, or it has ended.
    Not,
}

/// How the terminal was before.
#[derive(Debug)]
struct Before {
    /// Its modes, where keys are heard.
    modes: Option<Termios>,
    motion: Motion,
    is_back: AtomicBool,
}

impl<'a> Screen<'a> {
    /// Takes the terminal; nothing where stdout is none. One that cannot move its cursor gets the views below each other.
    pub(crate) fn open(console: &'a Console) -> io::Result<Option<Self>> {
        match console.destination {
            Destination::Terminal => {}
            Destination::Other => return Ok(None),
        }
        let modes = if io::stdin().is_terminal() { Some(tcgetattr(io::stdin())?) } else { None };
        let keys = if modes.is_some() { Keys::Heard } else { Keys::Not };
        let before = Arc::new(Before { modes, motion: console.out_look.motion, is_back: AtomicBool::new(false) });
        // A panic would be told on a page that goes away.
        let (of_panic, tell) = (Arc::clone(&before), panic::take_hook());
        panic::set_hook(Box::new(move |panic| {
            of_panic.bring_back();
            tell(panic);
        }));
        let screen = Self { console, before, keys, size: SIZE_DEFAULT };
        if let Some(modes) = &screen.before.modes {
            tcsetattr(io::stdin(), OptionalActions::Now, &listening(modes))?;
        }
        if screen.before.motion == Motion::Live {
            screen.console.data(ENTER)?;
        }
        Ok(Some(screen))
    }

    /// Whether each view takes the place of the one before.
    pub(crate) fn motion(&self) -> Motion {
        self.before.motion
    }

    /// Shows these lines, which are to fit, and nothing else.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.size = Size::now();
        let text = match self.before.motion {
            Motion::Live => {
                let lines = lines.join(&format!("{LINE_ENDS}\n"));
                format!("{HOME}{lines}{LINE_ENDS}{PAGE_ENDS}")
            }
            Motion::Still => lines.join("\n") + "\n\n",
        };
        self.console.data(&text)
    }

    /// Waits for a time, or until something is to be done before.
    pub(crate) fn wait(&mut self, time: Duration, signals: &Signals) -> io::Result<Woken> {
        let until = Instant::now() + time;
        loop {
            if let Some(stop) = signals.stop() {
                return Ok(Woken::Stopped(stop));
            }
            if self.before.motion == Motion::Live && Size::now() != self.size {
                return Ok(Woken::Resized);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::Time);
            }
            let slice = left.min(Duration::from_millis(NOTICE_MILLIS));
            match self.keys {
                Keys::Heard => {
                    if self.is_quit_pressed(slice)? {
                        return Ok(Woken::Quit);
                    }
                }
                Keys::Not => {
                    signals.sleep(slice);
                }
            }
        }
    }

    fn is_quit_pressed(&mut self, time: Duration) -> io::Result<bool> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut fds, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut pressed = [0; 64];
        match rustix::io::read(&stdin, &mut pressed) {
            Ok(0) => self.keys = Keys::Not,
            Ok(count) => return Ok(pressed[..count].iter().any(|key| matches!(key, b'q' | b'Q'))),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.before.bring_back();
    }
}

impl Before {
    /// Once: whoever comes first does it.
    fn bring_back(&self) {
        if self.is_back.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.motion == Motion::Live {
            // Not through the console: whoever panics may hold it.
            let mut out = io::stdout();
            let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        }
        if let Some(modes) = &self.modes {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        }
    }
}

/// Keys come one by one and are not shown. Ctrl-C stays a signal; what would stop or end the program without its
/// knowing, and leave the terminal as it is, does nothing.
fn listening(modes: &Termios) -> Termios {
    let mut modes = modes.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes.special_codes[SpecialCodeIndex::VSUSP] = NO_CODE;
    modes.special_codes[SpecialCodeIndex::VQUIT] = NO_CODE;
    modes
}

/// Breaks lines between words, so that they fit beside each other; what goes on is indented as far as the text above it.
/// Colors take no room. A word that is longer than a line is cut off by the terminal.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrapped_line(line, columns)).collect()
}

fn wrapped_line(line: &str, columns: usize) -> Vec<String> {
    let indent = if line.starts_with("  ") { INDENT.min(columns / 2) } else { 2 };
    let mut lines = vec![String::new()];
    let (mut column, mut begins) = (0, true);
    for word in line.split_inclusive(' ') {
        let is_space = word.trim_end().is_empty();
        if !begins && !is_space && column + visible(word.trim_end()) > columns {
            lines.push(" ".repeat(indent));
            column = indent;
        }
        begins &= is_space;
        column += visible(word);
        lines.last_mut().expect("there is always one").push_str(word);
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Where the text of a named line begins.
const INDENT: usize = 12;

/// How many characters are seen: all but what sets colors.
fn visible(text: &str) -> usize {
    let mut chars = text.chars();
    let mut count = 0;
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.find(|c| *c == 'm');
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_go_on_below_their_text() {
        for (text, columns, expected) in [
            ("", 10, &[][..]),
            ("short", 10, &["short"]),
            ("one two three", 9, &["one two", "  three"]),
            (
                "  license   good, key 0011, and more",
                24,
                &["  license   good, key", "            0011, and", "            more"],
            ),
            ("  app       averyveryverylongword", 20, &["  app", "          averyveryverylongword"]),
            ("a\n\nb", 10, &["a", "", "b"]),
        ] {
            assert_eq!(wrapped(text, columns), expected, "{text:?}");
        }
    }

    #[test]
    fn colors_take_no_room() {
        assert_eq!(visible("\u{1b}[1m\u{1b}[31mred\u{1b}[0m"), 3);
        let painted = "\u{1b}[31mone\u{1b}[0m two";
        assert_eq!(wrapped(painted, 7), [painted]);
        assert_eq!(wrapped(painted, 6).len(), 2);
    }
}
