//! The door to git: runs the git program in the project's repository, so that its remotes, its credentials and what a
//! CI system configured for them apply.
//!
//! A git of ours asks nobody anything, runs no hook, tidies nothing up, reads no replaced object, and has an end: its
//! group is stopped when its time is over. It gets our variables without the secrets that `license.toml` names, and of
//! git's own variables only those that say how to connect: what git set for a hook is about another repository.
//! Deliberately not known here: what the commits mean.

#![expect(clippy::disallowed_methods, reason = "this is the door to the git program")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use license_core::finding::clean;
use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, kill_process_group},
};

pub(crate) use self::pipes::Urgency;
use self::pipes::{Output, Over, Patience, Ready, Rest, Voice, end_of, feed, ready};
use crate::{
    child_env,
    signals::{Signals, Stop},
    vars::Vars,
};

pub(crate) mod changes;
pub(crate) mod hooks;
pub(crate) mod loose;
mod pipes;
pub(crate) mod settings;

/// The oldest git that understands what it is asked here.
pub(crate) const OLDEST: &str = "2.29";
/// How long git may work without the network.
const LOCAL_WAIT: Duration = Duration::from_secs(30);
/// How long git may ask a remote for a ref, or push one commit.
const REMOTE_WAIT: Duration = Duration::from_secs(60);
/// How long git may fetch: the first time it is a whole trail.
const FETCH_WAIT: Duration = Duration::from_secs(180);
/// How long a git that was asked to end may take to remove its lock files.
const TERM_WAIT: Duration = Duration::from_secs(2);
/// How long the operating system may take to end a killed git.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How long we wait for the rest of what a git that ended has to say: a daemon that it left may hold the pipe open.
const SAID_WAIT: Duration = Duration::from_millis(500);
/// The first pause between two looks whether git has ended: one that closed its output ends within a fraction of a
/// millisecond, and a push waits for it.
const LOOK_PAUSE_MIN: Duration = Duration::from_micros(50);
/// The longest pause between two looks whether git has ended.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(20);
/// How much git may write to its output where all of it is kept, in bytes: the names of a million commits.
const OUTPUT_BYTES_MAX: u64 = 72 * 1024 * 1024;
/// How much is read from git at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// How much of what git says to people is kept, in bytes: the end of it.
const SAID_BYTES_MAX: usize = 4 * 1024;
/// How many lines of it are shown.
const SAID_LINES_MAX: usize = 3;
/// The longest line that git answers with before an object, in bytes.
const HEADER_BYTES_MAX: u64 = 512;
/// git's exit code when it does not know an option.
const EXIT_USAGE: i32 = 129;
/// The depth with which the whole of a ref is fetched into a shallow repository: more than any trail has, and less than
/// what git takes as the wish to complete the whole repository.
const DEPTH_ALL: &str = "1000000000";

/// Options of every call. No hook runs, nor a program that looks for changed files or shows output; nothing is tidied up
/// in the background; text is plain, and no advice comes about the file of grafts that we name. What connects to a
/// remote stays as it is configured.
const ALWAYS: [&str; 19] = [
    "--no-pager",
    "--no-replace-objects",
    "--literal-pathspecs",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "color.ui=never",
    "-c",
    "fetch.writeCommitGraph=false",
    "-c",
    "push.gpgSign=false",
    "-c",
    "advice.graftFileDeprecated=false",
];

/// git in the project's repository.
#[derive(Clone)]
pub(crate) struct Git {
    program: PathBuf,
    directory: PathBuf,
    variables: Vec<(OsString, OsString)>,
    waits: Waits,
    signals: Signals,
}

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Git").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// How long each sort of call may take.
#[derive(Debug, Clone, Copy)]
struct Waits {
    local: Duration,
    remote: Duration,
    fetch: Duration,
}

/// The name of an object: 40 hex digits, or 64 in a repository that hashes with SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Oid(String);

impl Oid {
    /// Takes what git printed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::read(text.as_bytes(), &mut [0; 32]).map(|_| Self(text.to_owned()))
    }

    /// Reads what git printed into bytes, of which so many are the name's, and makes no name of it: there may be millions.
    pub(crate) fn read(text: &[u8], bytes: &mut [u8; 32]) -> Option<usize> {
        let half = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        if !matches!(text.len(), 40 | 64) {
            return None;
        }
        for (two, byte) in text.chunks_exact(2).zip(bytes.iter_mut()) {
            *byte = half(two[0])? << 4 | half(two[1])?;
        }
        Some(text.len() / 2)
    }

    /// The name that these bytes are.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// The hex digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that they stand for.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [0; 32];
        // Every name was read, or made of bytes.
        let length = Self::read(self.0.as_bytes(), &mut bytes).unwrap_or_default();
        bytes[..length].to_vec()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much of the history behind a ref is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What is missing. In a shallow repository it is what git finds right.
    Missing,
    /// As many commits as this. Makes the repository shallow: only for one that is.
    Newest(u64),
    /// Everything, also in a shallow repository.
    Everything,
}

/// Whether the repository has the whole history of what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// It has.
    Whole,
    /// A checkout of CI: the history ends somewhere.
    Shallow,
}

/// How a push ended that the remote answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The ref holds the commit.
    Done,
    /// The remote, or git before it asked the remote, says no: somebody else was first, or it does not take it from us.
    Rejected {
        /// Why, in git's words.
        said: String,
    },
}

/// What the name of a commit stands before in a list of objects to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file's content.
    Blob,
    /// A directory: used for the one without files.
    Tree,
    /// A commit.
    Commit,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
        }
    }
}

/// What a remote shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Refs.
    Something,
    /// No ref.
    Nothing,
}

/// A file in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeFile {
    /// Its name.
    pub(crate) name: String,
    /// Its content's object.
    pub(crate) blob: Oid,
}

impl Git {
    /// git in the repository that a directory is in. `secrets` are the names of the variables that it must not see: a
    /// helper for git's credentials that needs one of them has to get it in another way.
    pub(crate) fn new(directory: &Path, vars: &Vars, secrets: &BTreeSet<String>) -> Self {
        let waits = Waits { local: LOCAL_WAIT, remote: REMOTE_WAIT, fetch: FETCH_WAIT };
        let variables = variables(vars, secrets);
        let program = program(&variables);
        Self { program, directory: directory.to_owned(), variables, waits, signals: Signals::none() }
    }

    /// The same git. Once one of these came, its remotes are waited for as long as [`Urgency`] says.
    pub(crate) fn until(self, signals: Signals) -> Self {
        Self { signals, ..self }
    }

    /// What a ref of this repository holds.
    pub(crate) fn local(&self, reference: &str) -> Result<Option<Oid>, GitError> {
        let ran = self.run("reading a ref", &["rev-parse", "--verify", "--quiet", reference], Vec::new())?;
        match ran.code {
            Some(0) => ran.name().map(Some),
            Some(1) => Ok(None),
            Some(_) | None => Err(self.failed(&ran)),
        }
    }

    /// Makes a ref of this repository hold `new`, if it still holds `old`.
    pub(crate) fn set_local(&self, reference: &str, new: &Oid, old: Option<&Oid>) -> Result<(), GitError> {
        let nothing = "0".repeat(new.0.len());
        let old = old.map_or(nothing.as_str(), Oid::as_str);
        self.done("writing a ref", &["update-ref", "--no-deref", reference, new.as_str(), old], Vec::new()).map(|_| ())
    }

    /// What a ref of a remote holds.
    pub(crate) fn tip(&self, remote: &str, reference: &str) -> Result<Option<Oid>, GitError> {
        let doing = "asking the remote";
        let ran = self.run_for(
            self.waits.remote,
            Urgency::CanWait,
            doing,
            &["ls-remote", "--quiet", "--", remote, reference],
        )?;
        if ran.code != Some(0) {
            return Err(self.not_reached(remote, &ran));
        }
        // git looks for names that end so; the one that we want is this.
        let text = String::from_utf8_lossy(&ran.output);
        let line = text.lines().find_map(|line| line.split_once('\t').filter(|(_, name)| *name == reference));
        match line {
            None => Ok(None),
            Some((name, _)) => Oid::parse(name).map(Some).ok_or_else(|| ran.unreadable()),
        }
    }

    /// Whether a remote shows any ref.
    pub(crate) fn shows(&self, remote: &str) -> Result<Shows, GitError> {
        let asked = ["ls-remote", "--quiet", "--", remote];
        let ran = self.run_for(self.waits.remote, Urgency::CanWait, "asking the remote", &asked)?;
        match ran.code {
            Some(0) if ran.output.is_empty() => Ok(Shows::Nothing),
            Some(0) => Ok(Shows::Something),
            Some(_) | None => Err(self.not_reached(remote, &ran)),
        }
    }

    /// Fetches what a ref of a remote holds. No ref of this repository is changed.
    pub(crate) fn fetch(&self, remote: &str, reference: &str, depth: Depth) -> Result<(), GitError> {
        let depth = match depth {
            Depth::Missing => None,
            Depth::Newest(commits) => Some(format!("--depth={commits}")),
            Depth::Everything => Some(format!("--depth={DEPTH_ALL}")),
        };
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-prune",
            "--no-filter",
            // A clone may be told to fetch every ref over its own: not this one, before it was looked at.
            "--refmap=",
        ];
        arguments.extend(depth.as_deref());
        arguments.extend(["--", remote, reference]);
        let ran = self.run_for(self.waits.fetch, Urgency::CanWait, "fetching", &arguments)?;
        if ran.code == Some(0) { Ok(()) } else { Err(self.not_reached(remote, &ran)) }
    }

    /// Pushes a commit to a ref of a remote, if that still holds `expected`. An error leaves open whether it was pushed.
    pub(crate) fn push(
        &self,
        remote: &str,
        commit: &Oid,
        reference: &str,
        expected: Option<&Oid>,
    ) -> Result<Pushed, GitError> {
        self.push_for(Urgency::MustArrive, remote, commit, reference, expected)
    }

    /// The same for what may matter less.
    pub(crate) fn push_for(
        &self,
        urgency: Urgency,
        remote: &str,
        commit: &Oid,
        reference: &str,
        expected: Option<&Oid>,
    ) -> Result<Pushed, GitError> {
        let lease = format!("--force-with-lease={reference}:{}", expected.map_or("", Oid::as_str));
        let refspec = format!("{commit}:{reference}");
        let arguments = [
            "push",
            "--quiet",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
            &lease,
            "--",
            remote,
            &refspec,
        ];
        // A remote that is a mirror takes no single ref.
        let no_mirror = format!("remote.{remote}.mirror=false");
        // Options that somebody has configured for pushes of code are not for these, and not every remote takes any.
        let no_options = "push.pushOption=";
        let arguments: Vec<&str> = ["-c", &no_mirror, "-c", no_options].into_iter().chain(arguments).collect();
        let ran = self.run_for(self.waits.remote, urgency, "pushing", &arguments)?;
        if ran.code == Some(0) {
            return Ok(Pushed::Done);
        }
        let text = String::from_utf8_lossy(&ran.output);
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("!\t")) else {
            let error = self.not_reached(remote, &ran);
            return Err(self.read_and_not_written(error, reference));
        };
        let why = line.split_once('\t').map_or(line, |(_, why)| why);
        let remote_said: Vec<&str> = ran.said.lines.iter().filter_map(|line| line.strip_prefix("remote: ")).collect();
        let words: Vec<&str> = remote_said.into_iter().chain([why]).collect();
        Ok(Pushed::Rejected { said: clean(&words.join("; ")) })
    }

    /// Whether the repository is shallow.
    pub(crate) fn history(&self) -> Result<History, GitError> {
        let ran = self.done("looking at the repository", &["rev-parse", "--is-shallow-repository"], Vec::new())?;
        match ran.text() {
            "true" => Ok(History::Shallow),
            "false" => Ok(History::Whole),
            _ => Err(ran.unreadable()),
        }
    }

    /// Whether the history of a commit contains another one.
    pub(crate) fn contains(&self, commit: &Oid, earlier: &Oid) -> Result<Contains, GitError> {
        let arguments = ["merge-base", "--is-ancestor", earlier.as_str(), commit.as_str()];
        let ran = self.run("comparing commits", &arguments, Vec::new())?;
        match ran.code {
            Some(0) => Ok(Contains::Yes),
            Some(1) => Ok(Contains::No),
            Some(_) | None => Err(self.failed(&ran)),
        }
    }

    /// The commits that lead to one, following the first parent: newest first, at most `commits_max`. In a shallow
    /// repository they end where its history does.
    pub(crate) fn newest(&self, commit: &Oid, commits_max: u64) -> Result<Vec<Oid>, GitError> {
        let count = format!("--max-count={commits_max}");
        self.commits(&["rev-list", "--first-parent", &count, commit.as_str(), "--"])
    }

    /// All commits that lead to one and the commit itself, following the first parent: oldest first.
    pub(crate) fn history_of(&self, commit: &Oid) -> Result<Vec<Oid>, GitError> {
        self.commits(&["rev-list", "--first-parent", "--reverse", commit.as_str(), "--"])
    }

    fn commits(&self, arguments: &[&str]) -> Result<Vec<Oid>, GitError> {
        let ran = self.done("listing commits", arguments, Vec::new())?;
        let text = std::str::from_utf8(&ran.output).map_err(|_| ran.unreadable())?;
        text.lines().map(|line| Oid::parse(line).ok_or_else(|| ran.unreadable())).collect()
    }

    /// Writes an object.
    pub(crate) fn write(&self, kind: Kind, bytes: Vec<u8>) -> Result<Oid, GitError> {
        self.done("writing an object", &["hash-object", "-t", kind.word(), "-w", "--stdin"], bytes)?.name()
    }

    /// Writes a tree of files. Their names must be without line breaks, NULs and slashes.
    pub(crate) fn write_tree(&self, files: &[TreeFile]) -> Result<Oid, GitError> {
        let mut listed = String::new();
        for file in files {
            listed.extend(["100644 blob ", file.blob.as_str(), "\t", &file.name, "\0"]);
        }
        self.done("writing a tree", &["mktree", "-z"], listed.into_bytes())?.name()
    }

    /// The files in the tree of a commit. What is no file, or whose name is not text, is left out.
    pub(crate) fn files(&self, commit: &Oid) -> Result<Vec<TreeFile>, GitError> {
        let ran = self.done("listing files", &["ls-tree", "-z", "--full-tree", commit.as_str()], Vec::new())?;
        let text = String::from_utf8_lossy(&ran.output);
        let file = |line: &str| {
            let (about, name) = line.split_once('\t')?;
            let (_, blob) = about.split_once(" blob ")?;
            Some(TreeFile { name: name.to_owned(), blob: Oid::parse(blob)? })
        };
        Ok(text.split('\0').filter_map(file).collect())
    }

    /// Reads objects of one kind, in their order, and hands each on; stops at the first error. An object that is
    /// missing, of another kind, or longer than `bytes_max` is an error.
    pub(crate) fn objects<E: From<GitError>>(
        &self,
        kind: Kind,
        names: &[Oid],
        bytes_max: u64,
        mut each: impl FnMut(&Oid, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if names.is_empty() {
            return Ok(());
        }
        let doing = "reading objects";
        let input = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect::<String>().into_bytes();
        // Reading a whole trail takes as long as fetching it, at most.
        let call = Call {
            doing,
            arguments: &["cat-file", "--batch", "--buffer"],
            input,
            wait: self.waits.fetch,
            urgency: Urgency::Local,
        };
        let read = |output: &mut BufReader<Output>| {
            for name in names {
                let bytes = match next_object(output, kind, name, bytes_max) {
                    Ok(bytes) => bytes,
                    Err(why) => return Stopped::Unreadable(why),
                };
                if let Err(error) = each(name, &bytes) {
                    return Stopped::Error(error);
                }
            }
            Stopped::AtTheEnd
        };
        let (stopped, ran) = self.talk(call, read)?;
        match stopped {
            Stopped::AtTheEnd if ran.code == Some(0) => Ok(()),
            Stopped::AtTheEnd => Err(self.failed(&ran).into()),
            Stopped::Error(error) => Err(error),
            Stopped::Unreadable(why) => {
                let said = if ran.said.lines.is_empty() { why } else { ran.said.text() };
                Err(GitError::Failed { doing, said }.into())
            }
        }
    }
}

/// Whether one history contains another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contains {
    /// It does.
    Yes,
    /// It does not, or not within the reach of a shallow repository.
    No,
}

/// Why the reading of objects stopped.
enum Stopped<E> {
    AtTheEnd,
    Error(E),
    Unreadable(String),
}

/// Reads one object of `git cat-file --batch`: a line that names it, its bytes, a line break.
fn next_object(output: &mut impl BufRead, kind: Kind, name: &Oid, bytes_max: u64) -> Result<Vec<u8>, String> {
    let ended = |_| "its output ended too early".to_owned();
    let mut header = Vec::new();
    output.by_ref().take(HEADER_BYTES_MAX).read_until(b'\n', &mut header).map_err(ended)?;
    let header = String::from_utf8_lossy(&header);
    let words: Vec<&str> = header.split_whitespace().collect();
    let size = match words.as_slice() {
        [found, word, size] if *found == name.as_str() && *word == kind.word() => size.parse::<u64>().ok(),
        [_, "missing"] => return Err(format!("object {name} is missing")),
        [_, word, _] => return Err(format!("object {name} is a {}", clean(word))),
        _ => None,
    };
    let size = size.ok_or_else(|| "its output cannot be read".to_owned())?;
    if size > bytes_max {
        return Err(format!("object {name} has {size} bytes, and {bytes_max} are allowed"));
    }
    let mut bytes = Vec::new();
    output.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(ended)?;
    match bytes.pop() {
        Some(b'\n') if bytes.len() as u64 == size => Ok(bytes),
        Some(_) | None => Err("its output ended too early".to_owned()),
    }
}

// Running it.
impl Git {
    /// Runs git, and takes any end but success for a failure of this repository.
    fn done(&self, doing: &'static str, arguments: &[&str], input: Vec<u8>) -> Result<Ran, GitError> {
        let ran = self.run(doing, arguments, input)?;
        if ran.code == Some(0) { Ok(ran) } else { Err(self.failed(&ran)) }
    }

    fn run(&self, doing: &'static str, arguments: &[&str], input: Vec<u8>) -> Result<Ran, GitError> {
        self.keep(Call { doing, arguments, input, wait: self.waits.local, urgency: Urgency::Local }, || ())
    }

    fn run_for(
        &self,
        wait: Duration,
        urgency: Urgency,
        doing: &'static str,
        arguments: &[&str],
    ) -> Result<Ran, GitError> {
        self.keep(Call { doing, arguments, input: Vec::new(), wait, urgency }, || ())
    }

    /// Runs git, does something else meanwhile, and keeps its output.
    fn keep(&self, call: Call<'_>, meanwhile: impl FnOnce()) -> Result<Ran, GitError> {
        let doing = call.doing;
        let (kept, ran) = self.talk(call, |output| {
            meanwhile();
            let mut kept = Vec::new();
            output.by_ref().take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut kept).map(|_| kept)
        })?;
        let failed = |said: String| GitError::Failed { doing, said };
        let kept = kept.map_err(|error| failed(clean(&error.to_string())))?;
        if kept.len() as u64 > OUTPUT_BYTES_MAX {
            return Err(failed(format!("it wrote more than {OUTPUT_BYTES_MAX} bytes")));
        }
        Ok(Ran { output: kept, ..ran })
    }

    /// Runs git, feeds it its input, lets `read` read its output, and waits for its end.
    fn talk<R>(&self, call: Call<'_>, read: impl FnOnce(&mut BufReader<Output>) -> R) -> Result<(R, Ran), GitError> {
        let patience = Patience::of(call.wait, self.signals.clone(), call.urgency);
        let (mut child, input) = self.start(call.arguments, call.input)?;
        feed(input);
        let output = Output::of(child.stdout.take(), child.stderr.take(), patience);
        let mut output = BufReader::with_capacity(CHUNK_BYTES, output);
        let result = read(&mut output);
        // What was not read is not wanted: git finds its pipe closed.
        let (mut voice, mut patience, over) = output.into_inner().closed();
        let ended = over.map_or_else(|| end_of(&mut child, &mut voice, &mut patience), Err);
        let status = match ended {
            Ok(status) => status,
            Err(over) => {
                end(child);
                return Err(match over {
                    Over::Late => GitError::TimedOut { doing: call.doing, secs: call.wait.as_secs() },
                    Over::Stopped(stop) => GitError::Stopped { doing: call.doing, stop },
                });
            }
        };
        let ran = Ran { doing: call.doing, code: status.code(), output: Vec::new(), said: voice.said() };
        if ran.code == Some(EXIT_USAGE) {
            return Err(GitError::TooOld { said: ran.said.lines.first().cloned().unwrap_or_default() });
        }
        Ok((result, ran))
    }

    /// Starts git, with the beginning of its input before it.
    fn start(&self, arguments: &[&str], input: Vec<u8>) -> Result<(Child, Rest), GitError> {
        let Ready { reader, rest } = ready(input).map_err(|error| self.not_started(&error))?;
        let child = self.command(arguments).stdin(reader).spawn().map_err(|error| self.not_started(&error))?;
        Ok((child, rest))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(ALWAYS).args(arguments).current_dir(&self.directory).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn not_started(&self, error: &io::Error) -> GitError {
        let directory = self.directory.clone();
        if !directory.is_dir() {
            return GitError::NoRepository { directory, said: "there is no such directory".to_owned() };
        }
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let why = if is_missing { "it is not in PATH".to_owned() } else { clean(&error.to_string()) };
        GitError::NotStarted { why }
    }

    /// Explains a failure of a call that needs this repository only.
    fn failed(&self, ran: &Ran) -> GitError {
        self.no_repository().unwrap_or_else(|| GitError::Failed { doing: ran.doing, said: ran.said.text() })
    }

    /// Explains a failure of a call that needs the remote too.
    fn not_reached(&self, remote: &str, ran: &Ran) -> GitError {
        if let Some(error) = self.no_repository() {
            return error;
        }
        let known = self.run("looking at the remotes", &["remote", "get-url", "--", remote], Vec::new());
        match known {
            Ok(known) if known.code != Some(0) => GitError::NoRemote { remote: clean(remote) },
            Ok(_) => GitError::Unreachable { remote: clean(remote), said: ran.said.text() },
            Err(error) => error,
        }
    }

    /// A remote that did not take a push may be one that can be read: then reading it shows nothing of what is wrong.
    fn read_and_not_written(&self, error: GitError, reference: &str) -> GitError {
        // A connection that did not come about says nothing about rights, however the next one goes.
        const OF_CONNECTIONS: [&str; 5] =
            ["Connection refused", "Connection reset", "timed out", "Could not resolve host", "No route to host"];
        if let GitError::Unreachable { remote, said } = &error
            && !OF_CONNECTIONS.iter().any(|words| said.contains(words))
            && self.tip(remote, reference).is_ok()
        {
            return GitError::NotTaken { remote: remote.clone(), said: said.clone() };
        }
        error
    }

    fn no_repository(&self) -> Option<GitError> {
        let found = self.run("looking for the repository", &["rev-parse", "--git-dir"], Vec::new());
        match found {
            Ok(found) if found.code == Some(0) => None,
            Ok(found) => Some(GitError::NoRepository { directory: self.directory.clone(), said: found.said.text() }),
            Err(error) => Some(error),
        }
    }
}

/// One call of git.
struct Call<'a> {
    /// What it is for, as it is told to people.
    doing: &'static str,
    arguments: &'a [&'a str],
    input: Vec<u8>,
    wait: Duration,
    urgency: Urgency,
}

/// A git that ended.
struct Ran {
    doing: &'static str,
    /// Its exit code; none when a signal ended it.
    code: Option<i32>,
    output: Vec<u8>,
    said: Said,
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap_or_default().trim()
    }

    fn name(&self) -> Result<Oid, GitError> {
        Oid::parse(self.text()).ok_or_else(|| self.unreadable())
    }

    fn unreadable(&self) -> GitError {
        GitError::Failed { doing: self.doing, said: "its output cannot be read".to_owned() }
    }
}

/// What git said to people: the last lines, clean and without what addresses carry.
struct Said {
    lines: Vec<String>,
}

impl Said {
    fn of(bytes: &[u8]) -> Self {
        // What follows every other word about a remote, and says nothing; and what comes of our asking nobody.
        const EMPTY: [&str; 3] = [
            "Please make sure you have the correct access rights",
            "and the repository exists.",
            "error: unable to read askpass response from 'false'",
        ];
        let text = String::from_utf8_lossy(bytes);
        let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty() && !EMPTY.contains(line));
        Self { lines: lines.map(|line| clean(&without_credentials(line))).collect() }
    }

    fn text(&self) -> String {
        if self.lines.is_empty() {
            return "it did not say why".to_owned();
        }
        let first = self.lines.len().saturating_sub(SAID_LINES_MAX);
        clean(&self.lines[first..].join("; "))
    }
}

/// What git says to do where it does not want to work in a repository, because its files are somebody else's.
pub(crate) fn advice_to_trust(said: &str) -> Option<&str> {
    let at = said.find("git config --global --add safe.directory ")?;
    Some(said[at..].split("; ").next().unwrap_or_default())
}

/// A line without the user and the password of the addresses in it, and without their queries, which may hold a token.
fn without_credentials(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        let after = match after[..end].rfind('@') {
            Some(at) => {
                shown.push_str("***");
                &after[at..]
            }
            None => after,
        };
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`')).unwrap_or(after.len());
        let (address, following) = after.split_at(end);
        match address.split_once('?') {
            Some((before, _)) => {
                shown.push_str(before);
                shown.push_str("?***");
            }
            None => shown.push_str(address),
        }
        rest = following;
    }
    shown.push_str(rest);
    shown
}

/// Ends git and what it started: first so that it can remove its lock files, then at once.
fn end(mut child: Child) {
    let group = Pid::from_child(&child);
    for (signal, wait) in [(Signal::TERM, TERM_WAIT), (Signal::KILL, KILL_WAIT)] {
        // It keeps its number until it is waited for: the signal finds it or nobody.
        kill_process_group(group, signal).ok();
        let mut patience = Patience::for_(wait);
        if end_of(&mut child, &mut Voice::of(None), &mut patience).is_ok() {
            // What is left of the group still has the group's number, or nobody has.
            kill_process_group(group, Signal::KILL).ok();
            return;
        }
    }
    // It waits for a broken disk. Whenever it ends, it is taken off the table of processes.
    thread::spawn(move || child.wait());
}

/// git's own file, by the PATH that it gets: a program that has to be looked for is started by a copy of this process,
/// which takes longer than git needs to answer. Where PATH leads to none, the start says so.
fn program(variables: &[(OsString, OsString)]) -> PathBuf {
    const NAME: &str = "git";
    let path = variables.iter().find(|(name, _)| name == "PATH");
    let mut directories = path.into_iter().flat_map(|(_, path)| std::env::split_paths(path));
    let found = directories.find_map(|directory| {
        let file = directory.join(NAME);
        // A directory that is named from where git will run is left to the operating system.
        let is_program = !file.is_absolute() || (file.is_file() && access(&file, Access::EXEC_OK).is_ok());
        is_program.then_some(file)
    });
    found.filter(|file| file.is_absolute()).unwrap_or_else(|| NAME.into())
}

/// The variables of git.
fn variables(vars: &Vars, secrets: &BTreeSet<String>) -> Vec<(OsString, OsString)> {
    let mut given: BTreeMap<String, String> = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_GRAFT_FILE", "/dev/null"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("LC_ALL", "C"),
        ("LANGUAGE", "C"),
        // ssh would ask at the terminal, which nobody looks at.
        ("SSH_ASKPASS_REQUIRE", "force"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if vars.raw("SSH_ASKPASS").is_none() {
        given.insert("SSH_ASKPASS".to_owned(), "false".to_owned());
    }
    let kept = |name: &OsStr| name.to_str().is_none_or(|name| !name.starts_with("GIT_") || is_about_connecting(name));
    let own: Vars = vars.iter().filter(|(name, _)| kept(name)).collect();
    child_env::build(&own, secrets, given)
}

/// Whether a variable of git's own says how to connect, or how git is configured.
fn is_about_connecting(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "GIT_ALLOW_PROTOCOL",
        "GIT_ASKPASS",
        "GIT_CEILING_DIRECTORIES",
        "GIT_PROTOCOL_FROM_USER",
        "GIT_PROXY_COMMAND",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
    ];
    const PREFIXES: [&str; 3] = ["GIT_CONFIG_", "GIT_HTTP_", "GIT_SSL_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Why git did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub(crate) enum GitError {
    /// There is no git here.
    #[error("git cannot be started: {why}")]
    #[diagnostic(help("install git {OLDEST} or newer, and see that it is in PATH"))]
    NotStarted {
        /// What the operating system said.
        why: String,
    },
    /// It does not know an option.
    #[error("this git is too old: {said}")]
    #[diagnostic(help("install git {OLDEST} or newer"))]
    TooOld {
        /// What it said.
        said: String,
    },
    /// The project is not in a repository, or git does not want to work in it.
    #[error("git has no repository for `{}`: {said}", directory.display())]
    #[diagnostic(help(
        "run the command in a clone of the project, or keep the trail in a file: `[trail] kind = \"file\"`"
    ))]
    NoRepository {
        /// The directory of `license.toml`.
        directory: PathBuf,
        /// What git said.
        said: String,
    },
    /// The repository does not know the remote.
    #[error("the repository has no remote `{remote}`")]
    #[diagnostic(help("add it with `git remote add {remote} URL`, or name another one at `remote` in license.toml"))]
    NoRemote {
        /// Its name.
        remote: String,
    },
    /// The remote did not answer, or does not let us in.
    #[error("the remote `{remote}` cannot be reached: {said}")]
    #[diagnostic(help(
        "see what `git ls-remote {remote}` says, and run the command again when it works{}",
        asks_nobody(said)
    ))]
    Unreachable {
        /// Its name.
        remote: String,
        /// What git said.
        said: String,
    },
    /// The remote can be read, and did not take what was pushed.
    #[error("the remote `{remote}` can be read, and did not take the push: {said}")]
    #[diagnostic(help(
        "see that whoever runs this may push to `refs/license/*` there, which takes `permissions: contents: write` on GitHub Actions, and run the command again{}",
        asks_nobody(said)
    ))]
    NotTaken {
        /// Its name.
        remote: String,
        /// What git said.
        said: String,
    },
    /// It took too long, and was stopped. What it was to change may have happened.
    #[error("git did not end within {secs} seconds while it was {doing}")]
    #[diagnostic(help("see whether the remote and its credential helper answer, and run the command again"))]
    TimedOut {
        /// What it was for.
        doing: &'static str,
        /// How long it was waited for.
        secs: u64,
    },
    /// Somebody wanted us to stop. What it was to change may have happened.
    #[error("git was stopped while it was {doing}, since {} came", stop.name())]
    #[diagnostic(help("run the command again: what was written until then stands in the trail"))]
    Stopped {
        /// What it was for.
        doing: &'static str,
        /// The signal.
        stop: Stop,
    },
    /// Anything else.
    #[error("git failed while it was {doing}: {said}")]
    #[diagnostic(help(
        "see what is wrong with the repository, for example with `git fsck`, and run the command again"
    ))]
    Failed {
        /// What it was for.
        doing: &'static str,
        /// What it said.
        said: String,
    },
}

impl GitError {
    /// Whether a remote may still do what it was asked: nobody waited for its answer any longer.
    pub(crate) fn may_still_happen(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Stopped { .. })
    }

    /// The signal, where git was not waited for since one came.
    pub(crate) fn stop(&self) -> Option<Stop> {
        if let Self::Stopped { stop, .. } = self { Some(*stop) } else { None }
    }
}

/// What to know where git wanted to ask a person.
fn asks_nobody(said: &str) -> &'static str {
    if said.contains("terminal prompts disabled") {
        "; git asks nobody for a password here: set up a credential helper, or a token"
    } else {
        ""
    }
}

pub(crate) mod stream;

#[cfg(test)]
pub(crate) mod tests;
