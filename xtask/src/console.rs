//! Where output goes, and how it may look: decided once, then handed on. Also where a text is piped in.
//!
//! stdout is data, stderr is for people.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Read as _, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
};

use anstyle::{AnsiColor, Style};
use license_core::finding::clean;
use rustix::fs::FileType;
use zeroize::Zeroizing;

use crate::{
    cli::ColorChoice,
    signals::{self, Signals, Stop},
    vars::Vars,
};

mod line;
mod patient;
pub(crate) mod screen;

pub(crate) use line::LiveLine;
pub(crate) use patient::Unread;
use patient::{Patient, Rule};

/// The two streams. Threads share it.
pub(crate) struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    err: Arc<Mutex<People>>,
    unread: Rule,
    /// Who reads stdout.
    pub(crate) destination: Destination,
    /// How stdout may look.
    pub(crate) out_look: Look,
    /// How stderr may look.
    pub(crate) err_look: Look,
}

/// Reads the text that somebody pipes in, which may be a secret; nothing where a signal comes first. A longer one is an
/// error, and so is what is no text.
pub(crate) fn read_stdin(bytes_max: u64, until: &Signals) -> io::Result<Result<Zeroizing<String>, Stop>> {
    let (sender, read) = mpsc::channel();
    // It waits for whoever holds the other end, and ends with the process.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || sender.send(read_text(bytes_max)).ok())?;
    loop {
        match read.recv_timeout(signals::LATENCY) {
            Ok(text) => return text.map(Ok),
            Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(stop) = until.stop() {
            return Ok(Err(stop));
        }
    }
}

fn read_text(bytes_max: u64) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

/// Reads the bytes that another program pipes in, to their end. More than `bytes_max` is an error.
pub(crate) fn read_input(bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut input = Vec::new();
    io::stdin().take(bytes_max + 1).read_to_end(&mut input)?;
    if input.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")));
    }
    Ok(input)
}

/// Writes text for people where no console is at hand, and says whether it could be written: a sink of alerts is told so.
pub(crate) fn tell_people(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    err.flush()
}

/// Where input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// A person could type it.
    Terminal,
    /// Another device, most often `/dev/null`: whoever started us passes nothing on.
    Device,
    /// A pipe or a file, that another program filled, if with nothing.
    Passed,
}

/// Where the process's input comes from.
pub(crate) fn input() -> Input {
    if io::stdin().is_terminal() {
        return Input::Terminal;
    }
    // Input that was closed reads as `/dev/null`: the standard library opens that in its place.
    let is_device = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if rustix::fs::fstat(io::stdin()).is_ok_and(is_device) { Input::Device } else { Input::Passed }
}

impl Console {
    /// The process's own streams.
    pub(crate) fn of_process(choice: ColorChoice, vars: &Vars) -> Self {
        let unread = Rule::new(Unread::Waits);
        Self {
            destination: if io::stdout().is_terminal() { Destination::Terminal } else { Destination::Other },
            out_look: Look::of(
                Stream { terminal: io::stdout().is_terminal(), width: width(&io::stdout()) },
                choice,
                vars,
            ),
            err_look: Look::of(
                Stream { terminal: io::stderr().is_terminal(), width: width(&io::stderr()) },
                choice,
                vars,
            ),
            out: Mutex::new(Box::new(Patient::new(io::stdout(), &unread))),
            err: Arc::new(Mutex::new(People::new(Patient::new(io::stderr(), &unread)))),
            unread,
        }
    }

    /// Says what happens from here on while nobody reads the streams. Until then the program waits.
    pub(crate) fn when_unread(&self, unread: Unread) {
        self.unread.set(unread);
    }

    /// Keeps what is for people, for as long as the guard lives.
    pub(crate) fn hold_people(&self) -> HeldBack<'_> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let before = std::mem::replace(&mut *self.err(), People::new(Kept(Arc::clone(&kept))));
        HeldBack { console: self, before: Some(before), kept }
    }

    /// Writes data. A reader that went away is no error of ours.
    pub(crate) fn data(&self, text: &str) -> io::Result<()> {
        // Both streams may be one terminal: nothing is drawn meanwhile. Whoever takes both takes this one first.
        let _people = self.err();
        let mut out = self.out();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a line for people. Nothing can be done about a failure to tell, so none is reported.
    pub(crate) fn note(&self, line: impl Display) {
        self.tell(&format!("{line}\n"));
    }

    /// Writes text for people as it is.
    pub(crate) fn tell(&self, text: &str) {
        let mut err = self.err();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// The stream for data, for as long as the guard lives.
    pub(crate) fn out(&self) -> std::sync::MutexGuard<'_, Box<dyn Write + Send>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream for people, for as long as the guard lives. A line that is drawn at its end makes room.
    pub(crate) fn err(&self) -> std::sync::MutexGuard<'_, People> {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        err.erase();
        err
    }

    /// Draws a line that says what is waited for, where the stream for people is a terminal that can.
    pub(crate) fn line(&self, what: &str) -> Option<LiveLine> {
        match self.err_look.motion {
            Motion::Live => Some(LiveLine::begin(Arc::clone(&self.err), clean(what), self.err_look.glyphs)),
            Motion::Still => None,
        }
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("out", &self.out_look).field("err", &self.err_look).finish_non_exhaustive()
    }
}

/// The stream for people, with what is drawn at its end.
pub(crate) struct People {
    stream: Box<dyn Write + Send>,
    end: End,
}

/// What stands at the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What was told last.
    Told,
    /// A line that goes away.
    Drawn,
}

impl People {
    fn new(stream: impl Write + Send + 'static) -> Self {
        Self { stream: Box::new(stream), end: End::Told }
    }

    /// Draws a line in the place of the one before. As with telling, a failure is nothing to stop for.
    fn draw(&mut self, line: &str) {
        let _ = self.stream.write_all(format!("\r{line}\x1b[K").as_bytes()).and_then(|()| self.stream.flush());
        self.end = End::Drawn;
    }

    /// Takes the line away, where one is drawn.
    fn erase(&mut self) {
        match std::mem::replace(&mut self.end, End::Told) {
            End::Told => {}
            End::Drawn => {
                let _ = self.stream.write_all(b"\r\x1b[K").and_then(|()| self.stream.flush());
            }
        }
    }
}

impl Write for People {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What was for people and has not reached them yet; it does at the end.
pub(crate) struct HeldBack<'a> {
    console: &'a Console,
    before: Option<People>,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl HeldBack<'_> {
    /// Takes what was kept.
    pub(crate) fn take(&self) -> String {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            *self.console.err() = before;
        }
        let left = self.take();
        if !left.is_empty() {
            self.console.tell(&left);
        }
    }
}

/// No more is kept, in bytes: what comes later is dropped.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A stream that keeps what is written.
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A person, on a terminal.
    Terminal,
    /// A file or a program.
    Other,
}

/// How a stream may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether colors are used.
    pub(crate) color: Color,
    /// Which characters are used beside ASCII.
    pub(crate) glyphs: Glyphs,
    /// Whether the last line may be redrawn.
    pub(crate) motion: Motion,
    /// The width in columns.
    pub(crate) width: usize,
}

/// Whether colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// Which characters are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Any.
    Unicode,
    /// ASCII only.
    Ascii,
}

/// Whether the last line may be redrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Motion {
    /// A person looks at a terminal.
    Live,
    /// The output is kept, or the terminal is dumb.
    Still,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy)]
struct Stream {
    terminal: bool,
    width: Option<usize>,
}

impl Look {
    /// `--color` before `NO_COLOR` before `CLICOLOR_FORCE` before the terminal.
    fn of(stream: Stream, choice: ColorChoice, vars: &Vars) -> Self {
        let set = |name| vars.raw(name).is_some_and(|value| !value.is_empty());
        let dumb = vars.text("TERM") == Some("dumb");
        let color = match choice {
            ColorChoice::Always => Color::On,
            ColorChoice::Auto if set("NO_COLOR") => Color::Off,
            ColorChoice::Auto if set("CLICOLOR_FORCE") && vars.text("CLICOLOR_FORCE") != Some("0") => Color::On,
            ColorChoice::Auto if stream.terminal && !dumb => Color::On,
            ColorChoice::Auto | ColorChoice::Never => Color::Off,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| vars.text(name).filter(|v| !v.is_empty()));
        let utf8 = locale.is_some_and(|name| name.to_ascii_lowercase().replace('-', "").contains("utf8"));
        let columns = vars.text("COLUMNS").and_then(|columns| columns.parse().ok());
        Self {
            color,
            glyphs: if utf8 && !dumb { Glyphs::Unicode } else { Glyphs::Ascii },
            motion: if stream.terminal && !dumb && !set("CI") { Motion::Live } else { Motion::Still },
            width: columns.or(stream.width).unwrap_or(WIDTH_DEFAULT).clamp(WIDTH_MIN, WIDTH_MAX),
        }
    }

    /// A text in a color, where colors are used.
    pub(crate) fn paint(&self, text: impl Display, ink: Ink) -> String {
        match self.color {
            Color::Off => text.to_string(),
            Color::On => {
                let style = ink.style();
                format!("{style}{text}{style:#}")
            }
        }
    }

    /// One of two forms of a character.
    pub(crate) fn glyph(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self.glyphs {
            Glyphs::Unicode => unicode,
            Glyphs::Ascii => ascii,
        }
    }
}

/// What a color says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Good news.
    Good,
    /// Somebody should look.
    Worry,
    /// Bad news.
    Bad,
    /// Important.
    Strong,
}

impl Ink {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Worry => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Strong => Style::new().bold(),
        }
    }
}

/// The width in columns where none is known, and its bounds.
const WIDTH_DEFAULT: usize = 100;
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 200;

fn width(stream: &impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Stream = Stream { terminal: true, width: Some(80) };
    const FILE: Stream = Stream { terminal: false, width: None };

    #[test]
    fn color_follows_the_flag_then_the_variables_then_the_terminal() {
        for (stream, choice, vars, expected) in [
            (TERMINAL, ColorChoice::Auto, vec![], Color::On),
            (FILE, ColorChoice::Auto, vec![], Color::Off),
            (TERMINAL, ColorChoice::Auto, vec![("NO_COLOR", "1")], Color::Off),
            (TERMINAL, ColorChoice::Auto, vec![("NO_COLOR", "")], Color::On),
            (TERMINAL, ColorChoice::Auto, vec![("TERM", "dumb")], Color::Off),
            (FILE, ColorChoice::Auto, vec![("CLICOLOR_FORCE", "1")], Color::On),
            (FILE, ColorChoice::Auto, vec![("CLICOLOR_FORCE", "0")], Color::Off),
            (FILE, ColorChoice::Auto, vec![("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], Color::Off),
            (FILE, ColorChoice::Always, vec![("NO_COLOR", "1")], Color::On),
            (TERMINAL, ColorChoice::Never, vec![("CLICOLOR_FORCE", "1")], Color::Off),
        ] {
            let vars: Vars = vars.into_iter().collect();
            assert_eq!(Look::of(stream, choice, &vars).color, expected, "{choice:?} {vars:?}");
        }
    }

    #[test]
    fn a_dumb_terminal_and_ci_stand_still() {
        for (vars, expected) in [
            (vec![("TERM", "xterm")], Motion::Live),
            (vec![("TERM", "dumb")], Motion::Still),
            (vec![("CI", "true")], Motion::Still),
        ] {
            let vars: Vars = vars.into_iter().collect();
            assert_eq!(Look::of(TERMINAL, ColorChoice::Auto, &vars).motion, expected, "{vars:?}");
        }
    }

    #[test]
    fn the_width_is_the_terminals_unless_columns_says_otherwise() {
        for (stream, columns, expected) in [
            (TERMINAL, None, 80),
            (FILE, None, 100),
            (TERMINAL, Some("120"), 120),
            (TERMINAL, Some("wide"), 80),
            (TERMINAL, Some("5"), 40),
            (TERMINAL, Some("100000"), 200),
        ] {
            let vars: Vars = columns.map(|columns| ("COLUMNS", columns)).into_iter().collect();
            assert_eq!(Look::of(stream, ColorChoice::Auto, &vars).width, expected, "{columns:?}");
        }
    }

    #[test]
    fn unicode_needs_a_locale_that_says_so() {
        for (vars, expected) in [
            (vec![("LANG", "en_US.UTF-8")], Glyphs::Unicode),
            (vec![("LANG", "C.utf8")], Glyphs::Unicode),
            (vec![("LANG", "C")], Glyphs::Ascii),
            (vec![("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], Glyphs::Ascii),
            (vec![], Glyphs::Ascii),
        ] {
            let vars: Vars = vars.into_iter().collect();
            assert_eq!(Look::of(TERMINAL, ColorChoice::Auto, &vars).glyphs, expected, "{vars:?}");
        }
    }
}
