//! git's long outputs: read as they come, in a buffer of a fixed size, while one git feeds another.
//!
//! What a scan reads may be gigabytes, so nothing here keeps it, and no bound on the whole time would be right: what is
//! bounded is how long git may say nothing.

use std::{
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, ChildStdout},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    BTreeSet, Call, EXIT_USAGE, Git, GitError, LOCAL_WAIT, OsStr, Path, Ran, Said, Signals, TERM_WAIT, Urgency, Vars,
    Waits,
    changes::Changes,
    clean, end,
    loose::Loose,
    pipes::{Patience, Readable, Rest, Voice, end_of, feed, wait_for},
    variables,
};

/// How long a git that is read from may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long a git whose output has ended may take to end itself.
const END_WAIT: Duration = Duration::from_secs(30);
/// How much of git's output is held at once, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;
/// How much a git may write ahead of us, in bytes: the most that Linux gives everybody. With the usual 64 KiB it waits for
/// us as often as we wait for it.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1024 * 1024;
/// How much goes from one git to the other at once, in bytes: what a pipe holds.
const TEE_BYTES: usize = 64 * 1024;
/// How many objects are read without git: more of them come sooner from one that is started for them.
const LOOSE_MAX: usize = 256;
/// How much may be answered before the first git begins, in bytes: it is held until then.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// The longest line with which an object is asked for, in bytes.
const QUESTION_BYTES_MAX: usize = 8 * 1024;

/// What a git that lists objects calls their number: it says how many there were once it has come to its end.
const COUNT: &str = "listed";
/// The option of `git rev-list` that makes it say so.
pub(crate) const COUNTING: &str = "--progress=listed";

/// Which repository a git works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// That of the directory, whatever a hook of another repository set.
    Directory,
    /// That of the push that started us: what git set for its hook counts.
    Push,
}

/// What git sets for a hook to say which repository it is about, and what it has of it.
const OF_PUSH: [&str; 7] = [
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_SHALLOW_FILE",
];

/// A short answer of git's.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) output: Vec<u8>,
    /// What it said to people.
    pub(crate) said: String,
}

impl Answer {
    /// Whether git did what it was asked.
    pub(crate) fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The output as text, without the white space round it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim().to_owned()
    }
}

impl From<Ran> for Answer {
    fn from(ran: Ran) -> Self {
        Self { code: ran.code, said: ran.said.text(), output: ran.output }
    }
}

impl Git {
    /// git for reading objects as they are: replaced and grafted ones are not looked at, and nothing is fetched.
    pub(crate) fn for_scan(directory: &Path, vars: &Vars, secrets: &BTreeSet<String>, of: Surroundings) -> Self {
        let mut variables = variables(vars, secrets);
        let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.to_owned()));
        for name in ["GIT_NO_REPLACE_OBJECTS", "GIT_NO_LAZY_FETCH"] {
            set(name, OsStr::new("1"));
        }
        // What is counted is told at the end, and not only after two seconds.
        set("GIT_PROGRESS_DELAY", OsStr::new("0"));
        // A git before 2.45 does not know the second one, and fetches from nobody where no protocol is allowed.
        set("GIT_ALLOW_PROTOCOL", OsStr::new("none"));
        match of {
            Surroundings::Directory => {}
            Surroundings::Push => {
                for name in OF_PUSH {
                    if let Some(value) = vars.raw(name) {
                        set(name, value);
                    }
                }
            }
        }
        let waits = Waits { local: LOCAL_WAIT, remote: LOCAL_WAIT, fetch: LOCAL_WAIT };
        let program = super::program(&variables);
        Self { program, directory: directory.to_owned(), variables, waits, signals: Signals::none() }
    }

    /// The same git in another directory.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Asks git something whose answer is short.
    pub(crate) fn ask(&self, doing: &'static str, arguments: &[&str], input: Vec<u8>) -> Result<Answer, GitError> {
        Ok(self.run(doing, arguments, input)?.into())
    }

    /// The same, and does something before it reads the answer.
    pub(crate) fn ask_and_do(
        &self,
        doing: &'static str,
        arguments: &[&str],
        meanwhile: impl FnOnce(),
    ) -> Result<Answer, GitError> {
        let call = Call { doing, arguments, input: Vec::new(), wait: self.waits.local, urgency: Urgency::Local };
        Ok(self.keep(call, meanwhile)?.into())
    }

    /// Explains why a call of git's failed, where that is no repository.
    pub(crate) fn explain(&self, doing: &'static str, said: String) -> GitError {
        self.no_repository().unwrap_or(GitError::Failed { doing, said })
    }

    /// Starts a git whose output is read as it comes.
    pub(crate) fn stream(&self, arguments: &[&str], input: Vec<u8>) -> Result<Streaming, GitError> {
        let (child, rest) = self.start(arguments, input)?;
        feed(rest);
        Ok(Streaming::of(child))
    }

    /// Starts two gits, of which the second gets what the first one writes. `input` is for the first one; `before` is
    /// what the second one gets ahead of it. The names that go from one to the other are counted. The first one lists names,
    /// a line each, or else there are `changes` that name them: nothing is handed out then before all is listed.
    ///
    /// The second one is `git cat-file --batch`, or else there is no `loose`: where that has all answers, it is not started.
    pub(crate) fn stream_through(
        &self,
        (first, changes): (&[&str], Option<Changes>),
        input: Vec<u8>,
        second: &[&str],
        before: Vec<u8>,
        loose: Option<Loose>,
    ) -> Result<Through, GitError> {
        // The one that walks is started first: the other one starts while it walks.
        let (mut first, input) = self.start(first, input)?;
        let listed = (first.stdout.take(), Voice::of(first.stderr.take()));
        let answered = loose.and_then(|loose| Some((answers(&loose, &before)?, loose)));
        let started = match answered {
            Some((answered, loose)) => self.put_off(second, answered, loose),
            None => self.start(second, before).map(|(second, before)| (Streaming::of(second), Sink::Git(before))),
        };
        let (output, sink) = match started {
            Ok(started) => started,
            Err(error) => {
                end(first);
                return Err(error);
            }
        };
        let ends = if changes.is_some() { Ends::WhenStopped } else { Ends::ByItself };
        let tee = thread::spawn(move || tee(listed, changes, input, sink));
        Ok(Through { output, first, ends, tee })
    }

    /// Puts off the start of the second git until something is asked that has no answer here.
    fn put_off(&self, arguments: &[&str], answered: Vec<u8>, loose: Loose) -> Result<(Streaming, Sink), GitError> {
        let pipe = || io::pipe().map_err(|error| self.not_started(&error));
        let ((stdout, answers), (voice, stderr)) = (pipe()?, pipe()?);
        let later = Later::default();
        let sink = Sink::Here(Box::new(Here {
            git: self.clone(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            loose,
            left: LOOSE_MAX,
            answered,
            answers,
            stderr,
            later: later.clone(),
        }));
        Ok((Streaming::reading(later, Some(stdout), Voice::of_pipe(voice)), sink))
    }
}

/// What the second git would answer to these lines; `None`: it has to be asked, as it is where they are many.
fn answers(loose: &Loose, questions: &[u8]) -> Option<Vec<u8>> {
    let mut answers = Vec::new();
    for (at, line) in questions.split_inclusive(|byte| *byte == b'\n').enumerate() {
        answers.extend(loose.answer(std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?)?);
        if at >= LOOSE_MAX || answers.len() > AHEAD_BYTES_MAX {
            return None;
        }
    }
    Some(answers)
}

/// A git that may be started later.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Start>>);

/// Whether it was.
#[derive(Default)]
enum Start {
    #[default]
    NotYet,
    Started(Child),
    /// Nobody wants it any more.
    Never,
}

impl Later {
    /// The git, if it was started; it is not started any more.
    fn take(&self) -> Option<Child> {
        match std::mem::replace(&mut *self.start(), Start::Never) {
            Start::Started(child) => Some(child),
            Start::NotYet | Start::Never => None,
        }
    }

    fn start(&self) -> MutexGuard<'_, Start> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who answers what the first git lists.
enum Sink {
    /// The second one, by its input.
    Git(Rest),
    /// We, as long as we can.
    Here(Box<Here>),
}

/// Answers in the place of the second git.
struct Here {
    git: Git,
    arguments: Vec<String>,
    loose: Loose,
    /// How many more objects are read here.
    left: usize,
    /// What was answered before the first git began.
    answered: Vec<u8>,
    /// Where the answers go.
    answers: PipeWriter,
    stderr: PipeWriter,
    later: Later,
}

impl Here {
    /// The answer to a line; `None`: the git is to be asked from here on.
    fn answer(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(1)?;
        self.loose.answer(std::str::from_utf8(line).ok()?)
    }

    /// Starts the git, whose answers follow those that were given here.
    fn ask_git(self) -> io::Result<PipeWriter> {
        let mut start = self.later.start();
        if matches!(*start, Start::Never) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let (reader, writer) = io::pipe()?;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = self.git.command(&arguments);
        *start = Start::Started(command.stdin(reader).stdout(self.answers).stderr(self.stderr).spawn()?);
        Ok(writer)
    }
}

/// What came of handing on what the first git wrote.
struct Teed {
    /// How many lines that were.
    lines: io::Result<u64>,
    /// What the first git said.
    voice: Voice,
}

/// When a git ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It has come to its end, and says how that was.
    ByItself,
    /// What is wanted of it was read, or cannot be; what it is proves whether it is all.
    WhenStopped,
}

/// Feeds both gits, and hands on what the first one lists. Counts names.
fn tee((stdout, mut voice): (Option<ChildStdout>, Voice), changes: Option<Changes>, input: Rest, sink: Sink) -> Teed {
    let lines = match stdout {
        Some(stdout) => hand_on(stdout, &mut voice, changes, input, sink),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    Teed { lines, voice }
}

fn hand_on(
    mut stdout: ChildStdout,
    voice: &mut Voice,
    mut changes: Option<Changes>,
    input: Rest,
    mut sink: Sink,
) -> io::Result<u64> {
    match &mut sink {
        Sink::Git(before) => before.writer.write_all(&before.bytes)?,
        Sink::Here(here) => here.answers.write_all(&std::mem::take(&mut here.answered))?,
    }
    // One that speaks while it reads is listened to; one that ends early says why in its own way.
    feed(input);
    let mut lines = 0;
    let mut last = b'\n';
    let mut chunk = vec![0; TEE_BYTES];
    // What has no end yet of what is answered here.
    let mut begun = Vec::new();
    loop {
        // How long it may say nothing is for whoever reads the other one.
        if wait_for(Some(&stdout), voice, SILENCE_MAX)? == Readable::No {
            continue;
        }
        let count = match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let chunk = &chunk[..count];
        if let Some(changes) = &mut changes {
            changes.take(chunk)?;
            if changes.is_whole() {
                break;
            }
            continue;
        }
        lines += chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        last = chunk[count - 1];
        sink = sink.take(chunk, &mut begun)?;
    }
    if let Some(changes) = changes {
        let (names, count) = changes.end()?;
        sink.take(&names, &mut begun)?;
        return Ok(count);
    }
    if last == b'\n' { Ok(lines) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl Sink {
    /// Passes on what was listed, or answers it.
    fn take(self, chunk: &[u8], begun: &mut Vec<u8>) -> io::Result<Self> {
        let mut here = match self {
            Self::Git(mut git) => {
                git.writer.write_all(chunk)?;
                return Ok(Self::Git(git));
            }
            Self::Here(here) => here,
        };
        begun.extend_from_slice(chunk);
        let mut answered = 0;
        while let Some(end) = begun[answered..].iter().position(|byte| *byte == b'\n') {
            match here.answer(&begun[answered..answered + end]) {
                Some(answer) => here.answers.write_all(&answer)?,
                None => break,
            }
            answered += end + 1;
        }
        begun.drain(..answered);
        // A line that is left was not answered, and one that does not end is none.
        if !begun.contains(&b'\n') && begun.len() <= QUESTION_BYTES_MAX {
            return Ok(Self::Here(here));
        }
        let mut writer = here.ask_git()?;
        writer.write_all(begun)?;
        begun.clear();
        Ok(Self::Git(Rest { writer, bytes: Vec::new() }))
    }
}

/// Waits for the end of a git; one that does not end is stopped.
fn wait(mut child: Child, mut voice: Voice) -> Ended {
    if let Ok(status) = end_of(&mut child, &mut voice, &mut Patience::for_(END_WAIT)) {
        return Ended { code: status.code(), said: voice.said() };
    }
    end(child);
    Ended { code: None, said: Said { lines: vec!["it did not end".to_owned()] } }
}

/// Gives a git a moment to end by itself, since its pipe is closed; then stops it. Says its exit code, where it had one.
fn stopped(mut child: Child, voice: &mut Voice) -> Option<i32> {
    let group = Pid::from_child(&child);
    if let Ok(status) = end_of(&mut child, voice, &mut Patience::for_(TERM_WAIT)) {
        // What it left behind may hold its pipes open. It still has the group's number, or nobody has.
        kill_process_group(group, Signal::KILL).ok();
        return status.code();
    }
    end(child);
    None
}

/// How a git ended.
struct Ended {
    code: Option<i32>,
    said: Said,
}

impl Ended {
    /// Takes out what it said about numbers of objects: the last one, if it is what the whole came to.
    fn counted(&mut self) -> Option<u64> {
        let number = |line: &String| Some(line.strip_prefix(COUNT)?.strip_prefix(": ")?.to_owned());
        let last = self.said.lines.iter().filter_map(number).next_back();
        self.said.lines.retain(|line| number(line).is_none());
        last?.strip_suffix(", done.")?.parse().ok()
    }

    fn check(self, doing: &'static str) -> Result<(), GitError> {
        match self.code {
            Some(0) => Ok(()),
            Some(EXIT_USAGE) => Err(GitError::TooOld { said: self.said.lines.first().cloned().unwrap_or_default() }),
            Some(_) | None => Err(GitError::Failed { doing, said: self.said.text() }),
        }
    }
}

/// What a git said that is an error although it ended well: refs that it cannot read are left out with no more than a word.
fn left_out(said: &Said) -> Option<String> {
    said.lines
        .iter()
        .find(|line| line.starts_with("warning: ignoring broken ref") || line.starts_with("error:"))
        .cloned()
}

/// A git whose output is read as it comes.
pub(crate) struct Streaming {
    child: Later,
    voice: Voice,
    stdout: Option<PipeReader>,
    buffer: Box<[u8]>,
    filled: std::ops::Range<usize>,
    /// Line ends that are to come before anything else.
    ends_owed: usize,
}

/// Gives a git room to write ahead. Where there is none to be had, it only takes longer.
#[cfg(target_os = "linux")]
fn widen(stdout: &PipeReader) {
    let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE_BYTES);
}

impl Streaming {
    fn of(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(|stdout| OwnedFd::from(stdout).into());
        let voice = Voice::of(child.stderr.take());
        let child = Later(Arc::new(Mutex::new(Start::Started(child))));
        Self::reading(child, stdout, voice)
    }

    fn reading(child: Later, stdout: Option<PipeReader>, voice: Voice) -> Self {
        #[cfg(target_os = "linux")]
        stdout.iter().for_each(widen);
        Self { child, voice, stdout, buffer: vec![0; BUFFER_BYTES].into(), filled: 0..0, ends_owed: 0 }
    }

    /// Waits for the end of the git, where one was started.
    fn ended(self) -> Ended {
        match self.child.take() {
            Some(child) => wait(child, self.voice),
            None => Ended { code: Some(0), said: Said { lines: Vec::new() } },
        }
    }

    /// A line end is to come, and is passed over before anything else is read: git may keep it back until it has more to
    /// say, and whoever waits for it waits for that.
    pub(crate) fn line_end_to_come(&mut self) {
        self.ends_owed += 1;
    }

    fn settle(&mut self) -> io::Result<()> {
        while self.ends_owed > 0 {
            if self.filled.is_empty() && self.more()? == 0 {
                return Err(ended_early());
            }
            if self.buffer[self.filled.start] != b'\n' {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read"));
            }
            self.pass(1);
            self.ends_owed -= 1;
        }
        Ok(())
    }

    /// Makes sure that so many bytes are there, or all that are still to come, and shows everything that is. At most
    /// half of the buffer may be asked for.
    pub(crate) fn ahead(&mut self, bytes: usize) -> io::Result<&[u8]> {
        self.settle()?;
        while self.filled.len() < bytes.min(BUFFER_BYTES / 2) {
            if self.more()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.filled.clone()])
    }

    /// Passes over so many of the bytes that are there.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.filled.start = (self.filled.start + bytes).min(self.filled.end);
    }

    /// The next bytes up to an end mark, without it, and passes over both. `None`: the output has ended. A text that is
    /// too long or has no end mark is an error.
    pub(crate) fn until(&mut self, mark: u8, bytes_max: usize, text: &mut Vec<u8>) -> io::Result<Option<()>> {
        self.settle()?;
        text.clear();
        let mut searched = 0;
        loop {
            let there = &self.buffer[self.filled.clone()];
            if let Some(at) = there[searched..].iter().position(|byte| *byte == mark) {
                let end = searched + at;
                text.extend_from_slice(&there[..end]);
                self.pass(end + 1);
                return Ok(Some(()));
            }
            searched = there.len();
            if searched > bytes_max.min(BUFFER_BYTES / 2) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read"));
            }
            if self.more()? == 0 {
                return if searched == 0 { Ok(None) } else { Err(ended_early()) };
            }
        }
    }

    /// Hands on exactly so many bytes, in pieces.
    pub(crate) fn pieces(&mut self, mut bytes: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.settle()?;
        while bytes > 0 {
            if self.filled.is_empty() && self.more()? == 0 {
                return Err(ended_early());
            }
            let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.filled.len());
            each(&self.buffer[self.filled.start..self.filled.start + count]);
            self.pass(count);
            bytes -= count as u64;
        }
        Ok(())
    }

    /// Reads what is there, and waits for it no longer than git may say nothing.
    fn more(&mut self) -> io::Result<usize> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        if self.filled.start > BUFFER_BYTES / 2 || self.filled.is_empty() {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        loop {
            if wait_for(Some(&*stdout), &mut self.voice, SILENCE_MAX)? == Readable::No {
                let why = format!("it said nothing for {} seconds", SILENCE_MAX.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            match stdout.read(&mut self.buffer[self.filled.end..]) {
                Ok(count) => {
                    self.filled.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the end of a git that was read to the end of its output, and says how it ended.
    pub(crate) fn finish(mut self, doing: &'static str) -> Result<(), GitError> {
        // What was not read is not wanted: git finds its pipe closed.
        drop(self.stdout.take());
        self.ended().check(doing)
    }

    /// The same for a list: one that git left something out of is none.
    pub(crate) fn finish_list(mut self, doing: &'static str) -> Result<(), GitError> {
        drop(self.stdout.take());
        let ended = self.ended();
        match left_out(&ended.said) {
            Some(said) if ended.code == Some(0) => Err(GitError::Failed { doing, said }),
            Some(_) | None => ended.check(doing),
        }
    }

    /// Stops git: what it still has to say is not wanted.
    pub(crate) fn stop(mut self) {
        drop(self.stdout.take());
        self.child.take().into_iter().for_each(end);
    }
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "its output ended too early")
}

/// Two gits, of which the second gets what the first one writes.
pub(crate) struct Through {
    /// The output of the second one.
    pub(crate) output: Streaming,
    first: Child,
    /// Whether that is to end by itself.
    ends: Ends,
    tee: JoinHandle<Teed>,
}

/// How two connected gits ended: how many names went from one to the other, and everything that did not go well.
pub(crate) struct Passed {
    /// The names, a line each.
    pub(crate) lines: u64,
    /// How many the first one says it listed; none where it does not say so. One that listed nothing says nothing.
    pub(crate) counted: Option<u64>,
    /// What went wrong, each in git's words.
    pub(crate) wrong: Vec<GitError>,
}

impl Through {
    /// Stops both: what they still have to say is not wanted.
    pub(crate) fn abandon(self) {
        self.output.stop();
        end(self.first);
        // Its pipes are closed.
        self.tee.join().ok();
    }

    /// Waits for both. `read` says whether the output was read to its end; where it was not, they are stopped.
    pub(crate) fn finish(self, first_does: &'static str, second_does: &'static str, read: io::Result<()>) -> Passed {
        let mut wrong = Vec::new();
        match read {
            Ok(()) => wrong.extend(self.output.finish(second_does).err()),
            Err(error) => {
                let said = clean(&error.to_string());
                // It may have said why before it ended.
                match self.output.stopped(second_does) {
                    Some(told) => wrong.push(told),
                    None => wrong.push(GitError::Failed { doing: second_does, said }),
                }
            }
        }
        let (mut first, lines) = if wrong.is_empty() {
            // Whoever read to the end of the second one has been given all that the first one wrote.
            let teed = joined(self.tee);
            let ended = match self.ends {
                Ends::ByItself => wait(self.first, teed.voice),
                Ends::WhenStopped => {
                    end(self.first);
                    Ended { code: Some(0), said: Said { lines: Vec::new() } }
                }
            };
            (ended, teed.lines)
        } else {
            // Its pipe is closed by now, or it is stopped: then the other thread comes to its end too.
            let code = match self.ends {
                Ends::ByItself => stopped(self.first, &mut Voice::of(None)),
                Ends::WhenStopped => {
                    end(self.first);
                    None
                }
            };
            let Teed { lines, mut voice } = joined(self.tee);
            voice.rest();
            (Ended { code, said: voice.said() }, lines)
        };
        let counted = first.counted();
        let silent = first.code == Some(0);
        if silent && let Some(said) = left_out(&first.said) {
            wrong.push(GitError::Failed { doing: first_does, said });
        }
        // One that was stopped because the other one failed did nothing wrong.
        if wrong.is_empty() || first.code.is_some() {
            wrong.extend(first.check(first_does).err());
        }
        let lines = lines.unwrap_or_else(|error| {
            if wrong.is_empty() {
                wrong.push(GitError::Failed { doing: first_does, said: clean(&error.to_string()) });
            }
            0
        });
        Passed { lines, counted, wrong }
    }
}

/// Waits for the thread between the two.
fn joined(tee: JoinHandle<Teed>) -> Teed {
    tee.join().unwrap_or_else(|_| Teed {
        lines: Err(io::Error::other("the list of objects was not passed on")),
        voice: Voice::of(None),
    })
}

impl Streaming {
    /// Ends a git whose output made no sense, and says what it said about it.
    pub(crate) fn stopped(mut self, doing: &'static str) -> Option<GitError> {
        drop(self.stdout.take());
        if let Some(child) = self.child.take() {
            stopped(child, &mut self.voice);
        }
        let said = self.voice.said();
        (!said.lines.is_empty()).then(|| GitError::Failed { doing, said: said.text() })
    }
}
