//! A real terminal for a program: it draws, it reads keys, it has a size, and what is on it can be looked at.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};

use crate::process::{RUN_SECS_MAX, until};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's end, which the test keeps open to see its modes.
    device: File,
    written: Arc<Mutex<Vec<u8>>>,
    /// The modes before the program began.
    modes: Termios,
    size: (u16, u16),
}

/// What the terminal shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The lines, without what is empty at their ends.
    pub lines: Vec<String>,
    /// Whether it is the page that programs draw on.
    pub is_alternate: bool,
    /// Whether there is a cursor.
    pub has_cursor: bool,
    /// Whether lines that are too long go on in the next one.
    pub wraps: bool,
}

impl Terminal {
    /// Starts a program with this terminal as its own, so many columns wide and rows high.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let keyboard = File::from(keyboard);
        let device = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        resize(&device, columns, rows);
        let modes = tcgetattr(&device).unwrap();
        // It replaces itself by the program: the process id is the program's.
        let mut under = Command::new("setsid");
        under.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        under.current_dir(command.get_current_dir().unwrap());
        let end = || Stdio::from(device.try_clone().unwrap());
        let child = under.stdin(end()).stdout(end()).stderr(end()).spawn().expect("`setsid` of util-linux is there");
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, noted) = (keyboard.try_clone().unwrap(), Arc::clone(&written));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            // The other end of a terminal that nobody has open any more is an error, and the end.
            while let Ok(count @ 1..) = screen.read(&mut chunk) {
                noted.lock().unwrap().extend_from_slice(&chunk[..count]);
            }
        });
        Self { child, keyboard, device, written, modes, size: (columns, rows) }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Gives it another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        resize(&self.device, columns, rows);
    }

    /// Everything that was written so far.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// What is on it now.
    pub fn page(&self) -> Page {
        let (columns, rows) = self.size;
        Page::after(&self.written(), columns.into(), rows.into())
    }

    /// Waits until something is on it.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Page) -> bool) {
        let begun = Instant::now();
        while !holds(&self.page()) {
            assert!(begun.elapsed().as_secs() < RUN_SECS_MAX, "{what}: {:#?}", self.page());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the program: its exit code as a shell sees it, and whether the modes are those from before.
    pub fn wait(&mut self) -> (i32, Modes) {
        let mut status = None;
        until("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        // What it wrote last is still on its way.
        let mut length = 0;
        until("everything was read", || {
            thread::sleep(Duration::from_millis(50));
            let before = std::mem::replace(&mut length, self.written.lock().unwrap().len());
            before == length
        });
        let now = tcgetattr(&self.device).unwrap();
        let same = format!("{:?}", self.modes) == format!("{now:?}");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        (code, if same { Modes::AsBefore } else { Modes::Changed })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The modes of a terminal after a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// They are those from before it.
    AsBefore,
    /// They are others.
    Changed,
}

fn resize(device: &File, columns: u16, rows: u16) {
    tcsetwinsize(device, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

impl Page {
    /// What a terminal of this size shows after this text. It knows what the program under test writes, and fails at
    /// everything else.
    fn after(text: &str, columns: usize, rows: usize) -> Self {
        let blank = || Self { lines: vec![String::new(); rows], is_alternate: false, has_cursor: true, wraps: true };
        let (mut page, mut first) = (blank(), blank());
        let (mut row, mut column) = (0, 0);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => column = 0,
                '\n' => row = page.next(row),
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "an escape that nobody should write: {text:?}");
                    let mut code = String::new();
                    let end = chars.by_ref().inspect(|c| code.push(*c)).find(char::is_ascii_alphabetic);
                    match (code.as_str(), end) {
                        ("H", _) => (row, column) = (0, 0),
                        ("K", _) => page.lines[row] = page.lines[row].chars().take(column).collect(),
                        ("J", _) => {
                            page.lines[row] = page.lines[row].chars().take(column).collect();
                            page.lines[row + 1..].iter_mut().for_each(String::clear);
                        }
                        ("?1049h", _) => {
                            first = std::mem::replace(&mut page, blank());
                            page.is_alternate = true;
                            (page.has_cursor, page.wraps) = (first.has_cursor, first.wraps);
                            (row, column) = (0, 0);
                        }
                        ("?1049l", _) => {
                            let (has_cursor, wraps) = (page.has_cursor, page.wraps);
                            page = Self { has_cursor, wraps, ..first.clone() };
                            (row, column) = (0, 0);
                        }
                        ("?7l", _) => page.wraps = false,
                        ("?7h", _) => page.wraps = true,
                        ("?25l", _) => page.has_cursor = false,
                        ("?25h", _) => page.has_cursor = true,
                        (_, Some('m')) => {}
                        other => panic!("an escape that nobody should write: {other:?}"),
                    }
                }
                c => {
                    if column >= columns {
                        if !page.wraps {
                            continue;
                        }
                        (row, column) = (page.next(row), 0);
                    }
                    let mut line: Vec<char> = page.lines[row].chars().collect();
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = c;
                    page.lines[row] = line.into_iter().collect();
                    column += 1;
                }
            }
        }
        page.lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
        page
    }

    /// The row below; at the bottom everything moves up.
    fn next(&mut self, row: usize) -> usize {
        if row + 1 < self.lines.len() {
            return row + 1;
        }
        self.lines.remove(0);
        self.lines.push(String::new());
        row
    }

    /// Whether a text is in one of its lines.
    pub fn shows(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}
