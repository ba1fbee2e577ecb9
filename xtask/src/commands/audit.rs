//! `audit show`, `audit verify` and `audit export`: the trail, for people who were not there.
//!
//! Entries are read as they are written, so that kinds of a newer version are shown and checked too. A chain that is
//! in order proves that nothing in it was changed since its head was seen, and nothing about a head that nobody kept.

use std::{collections::VecDeque, fmt, io, num::NonZeroUsize, path::PathBuf, str::FromStr};

use jiff::Timestamp;
use license_core::{
    chain::{Entry, Head, LineHash},
    finding::clean,
    trail::{Checkpoint, Event, Folded, Record},
};
use miette::Diagnostic as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::EnvName,
    exit::Exit,
    log::{LogError, Tail},
    trail::{Trails, file},
};

pub(crate) mod export;
pub(crate) mod exported;
mod form;
mod words;

use export::ExportArgs;
use words::{Body, word};

/// How many hex digits of a hash are shown where it is only pointed at.
const SHORT_HASH_DIGITS: usize = 12;

/// What to do with the trail.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditCommand {
    /// Show what was decided and done in an environment
    Show(ShowArgs),
    /// Check that the trails, or an export, are whole, and that heads which were kept elsewhere are in them
    Verify(VerifyArgs),
    /// Write the trails, or a part of them, in a form that can be checked elsewhere
    Export(ExportArgs),
}

impl AuditCommand {
    /// The environments that are named.
    pub(crate) fn environments(&self) -> &[EnvName] {
        match self {
            Self::Show(args) => args.environment.as_slice(),
            Self::Verify(args) => &args.environments,
            Self::Export(args) => &args.environments,
        }
    }
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The environment; may be left out where only one has a trail
    #[arg(value_name = "ENV", value_parser = environment)]
    pub(crate) environment: Option<EnvName>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AuditFormat,
    /// Only the last entries, this many
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<NonZeroUsize>,
}

/// What to verify.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The environments; without any, every one that has a trail
    #[arg(value_name = "ENV", value_parser = environment)]
    pub(crate) environments: Vec<EnvName>,
    /// Verify this export instead of the trails; needs no license.toml
    #[arg(long, value_name = "FILE", conflicts_with = "environments")]
    pub(crate) file: Option<PathBuf>,
    /// A head that was kept elsewhere: it must be the trail's head or the hash of an earlier entry; may be repeated
    #[arg(long, value_name = "[SEQ:]HASH[@ENV]")]
    pub(crate) expect_head: Vec<ExpectedHead>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AuditFormat,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum AuditFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// Reads one environment's trail. One without a file is empty, which is no error.
pub(crate) fn show(trails: &Trails, args: &ShowArgs) -> Result<ShowReport, AuditError> {
    let Some(environment) = one_to_show(trails, args)? else { return Ok(ShowReport::nothing()) };
    let entries_max = args.last.map_or(usize::MAX, NonZeroUsize::get);
    let mut entries = VecDeque::new();
    let (position, tail) = trails.of(&environment).scan(|entry, head| {
        if entries.len() == entries_max {
            entries.pop_front();
        }
        entries.push_back(Shown { entry, head });
    })?;
    Ok(ShowReport { environment: Some(environment), entries: entries.into(), head: position.head, tail })
}

/// Checks the trails. What is wrong with one stands in the report and does not keep the others from being checked.
pub(crate) fn verify(trails: &Trails, args: &VerifyArgs) -> Result<VerifyReport, AuditError> {
    let environments = those_to_verify(trails, args)?;
    let with_subject = |expected| Ok((subject(expected, &environments)?, expected));
    let expected = args.expect_head.iter().map(with_subject).collect::<Result<Vec<_>, AuditError>>()?;
    let verify = |environment: &String| {
        let its =
            expected.iter().filter(|(subject, _)| subject == environment).map(|(_, expected)| (*expected).clone());
        verify_one(trails, environment.clone(), its.collect())
    };
    Ok(VerifyReport { trails: environments.iter().map(verify).collect() })
}

fn one_to_show(trails: &Trails, args: &ShowArgs) -> Result<Option<String>, AuditError> {
    if let Some(environment) = &args.environment {
        return Ok(Some(environment.to_string()));
    }
    let mut found = trails.environments()?;
    if found.len() > 1 { Err(AuditError::WhichEnvironment { found }) } else { Ok(found.pop()) }
}

fn those_to_verify(trails: &Trails, args: &VerifyArgs) -> Result<Vec<String>, AuditError> {
    let mut environments = if args.environments.is_empty() {
        trails.environments()?
    } else {
        args.environments.iter().map(EnvName::to_string).collect()
    };
    environments
        .extend(args.expect_head.iter().filter_map(|expected| Some(expected.environment.as_ref()?.to_string())));
    environments.sort();
    environments.dedup();
    Ok(environments)
}

/// The environment that a head is expected of.
fn subject(expected: &ExpectedHead, environments: &[String]) -> Result<String, AuditError> {
    match (&expected.environment, environments) {
        (Some(environment), _) => Ok(environment.to_string()),
        (None, [only]) => Ok(only.clone()),
        (None, found) => Err(AuditError::WhichEnvironment { found: found.to_vec() }),
    }
}

fn verify_one(trails: &Trails, environment: String, expected: Vec<ExpectedHead>) -> TrailReport {
    let its = trails.of(&environment);
    let mut head = Head::EMPTY;
    let mut found_at = vec![None; expected.len()];
    let mut checking = Checking::of(&environment);
    let scanned = its.scan(|entry: Entry<Looked>, next| {
        head = next;
        checking.take(&entry.body, next.seq);
        for (expected, found_at) in expected.iter().zip(&mut found_at) {
            if expected.is_met_by(&next) {
                *found_at = Some(next.seq);
            }
        }
    });
    let state = match (scanned, checking.trouble) {
        (Err(error), _) if !error.is_about_content() => State::NotRead(error),
        (Err(error), _) => State::Broken(Trouble::Log(error)),
        (Ok(_), Some(trouble)) => State::Broken(trouble),
        (Ok((_, Tail::Whole)), None) if head == Head::EMPTY => State::Nothing,
        (Ok((_, tail)), None) => State::InOrder(tail),
    };
    let found = expected.into_iter().zip(found_at);
    let expectations = found.map(|(expected, found_at)| Expectation { expected, found_at }).collect();
    TrailReport { place: its.place(), environment, head, state, expectations }
}

/// What is checked of the entries of a trail beside their chain.
struct Checking<'a> {
    environment: &'a str,
    folding: Folding,
    /// The first thing that is wrong.
    trouble: Option<Trouble>,
}

impl<'a> Checking<'a> {
    fn of(environment: &'a str) -> Self {
        Self { environment, folding: Folding::default(), trouble: None }
    }

    /// Takes the next entry.
    fn take(&mut self, entry: &Looked, seq: u64) {
        let elsewhere = entry.environment().filter(|named| *named != self.environment);
        let other = elsewhere.map(|named| Trouble::OtherEnvironment { seq, named: named.to_owned() });
        let lie = self.folding.take(entry).err().map(|Lie| Trouble::Checkpoint { seq });
        self.trouble = self.trouble.take().or(other).or(lie);
    }
}

/// An entry as far as it can be read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Looked {
    /// Whole.
    Record(Box<Record>),
    /// The part that says which trail it belongs to.
    Subject { environment: Option<String> },
}

impl Looked {
    /// The entry, where this version can read the whole of it.
    fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Subject { .. } => None,
        }
    }

    fn environment(&self) -> Option<&str> {
        match self {
            Self::Record(record) => Some(&record.environment),
            Self::Subject { environment } => environment.as_deref(),
        }
    }
}

/// The state up to an entry, with which checkpoints are compared. It ends at the first entry that this version cannot
/// read or that does not fit: who wrote on from there knows more, and writes checkpoints of another version.
struct Folding(Option<Folded>);

impl Default for Folding {
    fn default() -> Self {
        Self(Some(Folded::default()))
    }
}

/// A checkpoint that is not what the entries before it come to.
struct Lie;

impl Folding {
    fn take(&mut self, entry: &Looked) -> Result<(), Lie> {
        let Looked::Record(record) = entry else {
            self.0 = None;
            return Ok(());
        };
        if let Event::Checkpoint(Checkpoint::Of(claimed)) = &record.event
            && self.0.as_ref() != Some(&**claimed)
        {
            return Err(Lie);
        }
        self.0 = self.0.take().and_then(|folded| folded.apply(record).ok());
        Ok(())
    }
}

/// A head that was kept elsewhere: `HASH` or `SEQ:HASH`, with `@ENV` where several trails are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedHead {
    seq: Option<u64>,
    hash: LineHash,
    environment: Option<EnvName>,
}

impl ExpectedHead {
    fn is_met_by(&self, head: &Head) -> bool {
        self.hash == head.hash && self.seq.is_none_or(|seq| seq == head.seq)
    }
}

impl FromStr for ExpectedHead {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (head, environment) = match text.split_once('@') {
            Some((head, environment)) => (head, Some(EnvName::parse(environment).ok_or(NotAHead)?)),
            None => (text, None),
        };
        let (seq, hash) = match head.split_once(':') {
            Some((seq, hash)) => (Some(seq.parse().map_err(|_| NotAHead)?), hash),
            None => (None, head),
        };
        Ok(Self { seq, hash: hash.parse().map_err(|_| NotAHead)?, environment })
    }
}

impl fmt::Display for ExpectedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seq) = self.seq {
            write!(f, "{seq}:")?;
        }
        self.hash.fmt(f)
    }
}

/// A text that names no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a head is written as `HASH` or `SEQ:HASH`, with `@ENV` behind it for one of several trails; HASH has 64 hex digits"
)]
pub(crate) struct NotAHead;

fn environment(text: &str) -> Result<EnvName, &'static str> {
    EnvName::parse(text)
        .ok_or("a name has up to 63 lower-case letters, digits and hyphens, and does not begin with a hyphen")
}

/// What a trail says.
#[derive(Debug)]
pub(crate) struct ShowReport {
    /// None where no environment was named and none has a trail.
    environment: Option<String>,
    entries: Vec<Shown>,
    head: Head,
    tail: Tail,
}

/// An entry as it is written, and the head that it made.
#[derive(Debug)]
struct Shown {
    entry: Entry<Body>,
    head: Head,
}

impl ShowReport {
    fn nothing() -> Self {
        Self { environment: None, entries: Vec::new(), head: Head::EMPTY, tail: Tail::Whole }
    }

    /// For people: a line per entry, oldest first, then the head.
    pub(crate) fn human(&self) -> String {
        let environment = self.environment.as_deref().map_or(String::new(), clean);
        let mut text = table(&self.entries.iter().map(Shown::cells).collect::<Vec<_>>());
        if self.head == Head::EMPTY {
            text.push_str("nothing is recorded yet\n");
        } else {
            text.push_str(&file::show_head(&environment, &self.head));
            text.push('\n');
        }
        if let Tail::Torn { bytes } = self.tail {
            text.push_str(&torn(self.head.seq, bytes));
            text.push('\n');
        }
        text
    }

    /// For programs: one document of the schema `license-hooks/audit-show/1`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "schema": "license-hooks/audit-show/1",
            "environment": self.environment,
            "entries": self.entries.iter().map(|shown| &shown.entry).collect::<Vec<_>>(),
            "head": self.head,
            "torn_bytes": torn_bytes(self.tail),
        })
    }
}

impl Shown {
    /// Number, time, kind, outcome, actor, commit, key, hash, CI run, reason.
    fn cells(&self) -> [String; 10] {
        let body = &self.entry.body;
        let hash = self.head.hash.to_string();
        let of_actor = |name| words::of_actor(body, name);
        let (ci, user, host) = (of_actor("ci"), of_actor("user"), of_actor("host"));
        let forced = if body.contains_key("forced") { " (forced)" } else { "" };
        let said = |word: Option<String>| word.unwrap_or_else(|| NOT_SAID.to_owned());
        [
            self.entry.seq.to_string(),
            said(word(body.get("at")).map(to_the_second)),
            said(word(body.get("kind"))),
            said(words::outcome(body)) + forced,
            said(words::who(ci.as_deref(), user.as_deref(), host.as_deref())),
            said(of_actor("commit").map(|commit| short(&commit))),
            said(word(body.get("key_fingerprint"))),
            hash[..SHORT_HASH_DIGITS].to_owned(),
            said(of_actor("run_url")),
            said(words::reason(body)),
        ]
    }
}

/// What stands where an entry does not say.
const NOT_SAID: &str = "-";

/// The beginning of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(SHORT_HASH_DIGITS).collect()
}

/// A time as it is shown: every one as long as the others. What is no time stays as it is.
fn to_the_second(at: String) -> String {
    at.parse().map_or(at, |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Lines of columns as wide as their widest cell.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// About a last line that is not whole, after this many that are.
fn torn(entries: u64, bytes: u64) -> String {
    let line = entries.saturating_add(1);
    format!(
        "warning: line {line}, the last one, was not written to its end ({bytes} bytes); it does not count, and the next append cuts it off"
    )
}

fn torn_bytes(tail: Tail) -> Option<u64> {
    match tail {
        Tail::Whole => None,
        Tail::Torn { bytes } => Some(bytes),
    }
}

/// What was found in the trails.
#[derive(Debug)]
pub(crate) struct VerifyReport {
    trails: Vec<TrailReport>,
}

#[derive(Debug)]
struct TrailReport {
    environment: String,
    place: String,
    /// The end of what is in order.
    head: Head,
    state: State,
    expectations: Vec<Expectation>,
}

#[derive(Debug)]
enum State {
    /// Nothing is recorded.
    Nothing,
    /// Every line follows from the one before it.
    InOrder(Tail),
    /// It could not be read, or not to its end: an outage, a lock, a permission. What is there may well be in order.
    NotRead(LogError),
    /// It is not what it should be.
    Broken(Trouble),
}

#[derive(Debug)]
enum Trouble {
    /// The chain is broken.
    Log(LogError),
    /// The chain is in order, and belongs elsewhere.
    OtherEnvironment { seq: u64, named: String },
    /// The chain is in order, and a checkpoint in it is not what the entries before it come to.
    Checkpoint { seq: u64 },
}

impl Trouble {
    fn words(&self) -> String {
        match self {
            Self::Log(error) => error.to_string(),
            Self::OtherEnvironment { seq, named } => format!("entry {seq} is about `{}`", clean(named)),
            Self::Checkpoint { seq } => {
                format!(
                    "entry {seq} is a checkpoint, and says something else than the entries before it: one of the two was forged"
                )
            }
        }
    }

    /// What to do next, where there is something to say.
    fn next(&self) -> Option<String> {
        match self {
            Self::Log(error) => help(error),
            Self::OtherEnvironment { .. } | Self::Checkpoint { .. } => None,
        }
    }
}

fn help(error: &LogError) -> Option<String> {
    error.help().map(|help| help.to_string())
}

/// A line, and the error's own help in one more.
fn with_help(line: String, error: &LogError) -> Vec<String> {
    [line].into_iter().chain(help(error).map(|help| format!("help: {help}"))).collect()
}

#[derive(Debug)]
struct Expectation {
    expected: ExpectedHead,
    /// The number of the entry that has the expected hash.
    found_at: Option<u64>,
}

impl VerifyReport {
    /// The row of the exit table: a trail that is broken or was not read comes before a head that is not in one.
    pub(crate) fn exit(&self) -> Exit {
        if self.trails.iter().any(|trail| matches!(trail.state, State::NotRead(_) | State::Broken(_))) {
            return Exit::Trail;
        }
        let mut expectations = self.trails.iter().flat_map(|trail| &trail.expectations);
        if expectations.any(|expectation| expectation.found_at.is_none()) { Exit::Unproven } else { Exit::Done }
    }

    /// For people: what was found in each trail, with the head to keep elsewhere.
    pub(crate) fn human(&self) -> String {
        if self.trails.is_empty() {
            return "nothing is recorded yet\n".to_owned();
        }
        self.trails.iter().flat_map(TrailReport::lines).map(|line| line + "\n").collect()
    }

    /// For programs: one document of the schema `license-hooks/audit-verify/1`.
    pub(crate) fn json(&self) -> Value {
        let exit = self.exit();
        json!({
            "schema": "license-hooks/audit-verify/1",
            "trails": self.trails.iter().map(TrailReport::json).collect::<Vec<_>>(),
            "exit": { "code": exit.code(), "name": exit.name() },
        })
    }
}

impl TrailReport {
    fn lines(&self) -> Vec<String> {
        let environment = clean(&self.environment);
        let Head { seq, hash } = self.head;
        let mut lines = match &self.state {
            State::Nothing => vec!["nothing is recorded yet".to_owned()],
            State::InOrder(Tail::Whole) => vec![format!("{} in order, head {seq}:{hash}", entries(seq))],
            State::InOrder(Tail::Torn { bytes }) => {
                vec![format!("{} in order, head {seq}:{hash}", entries(seq)), torn(seq, *bytes)]
            }
            State::NotRead(error) if seq == 0 => with_help(format!("not read: {error}"), error),
            State::NotRead(error) => with_help(format!("not read after {}: {error}", entries(seq)), error),
            State::Broken(Trouble::Log(error)) => with_help(format!("broken after {}: {error}", entries(seq)), error),
            State::Broken(Trouble::OtherEnvironment { seq, named }) => {
                vec![format!(
                    "broken: entry {seq} is about `{}`, so this is not the trail of `{environment}`",
                    clean(named)
                )]
            }
            State::Broken(trouble @ Trouble::Checkpoint { .. }) => vec![format!("broken: {}", trouble.words())],
        };
        lines.extend(self.expectations.iter().map(|expectation| expectation.line(seq, &self.state)));
        lines.into_iter().map(|line| format!("{environment}: {line}")).collect()
    }

    fn json(&self) -> Value {
        let (state, torn, error, next) = match &self.state {
            State::Nothing => ("nothing", None, None, None),
            State::InOrder(tail) => ("in_order", torn_bytes(*tail), None, None),
            State::NotRead(error) => ("not_read", None, Some(error.to_string()), help(error)),
            State::Broken(trouble) => ("broken", None, Some(trouble.words()), trouble.next()),
        };
        json!({
            "environment": self.environment,
            "path": self.place,
            "state": state,
            "head": self.head,
            "torn_bytes": torn,
            "error": error,
            "next": next,
            "expected": self.expectations.iter().map(Expectation::json).collect::<Vec<_>>(),
        })
    }
}

impl Expectation {
    /// About the first so many entries of a trail.
    fn line(&self, entries: u64, state: &State) -> String {
        let expected = &self.expected;
        match (self.found_at, state) {
            (Some(seq), State::NotRead(_)) => format!("the expected head is entry {seq}"),
            (Some(seq), State::Nothing | State::InOrder(_) | State::Broken(_)) if seq == entries => {
                "the expected head is the head".to_owned()
            }
            (Some(seq), State::Nothing | State::InOrder(_) | State::Broken(_)) => {
                format!("the expected head is entry {seq} of {entries}")
            }
            (None, State::NotRead(_)) => format!("it is not known whether the expected head {expected} is in it"),
            (None, State::Nothing | State::InOrder(_) | State::Broken(_)) => format!(
                "the expected head {expected} is not in the trail: lines were changed or lost, or it is another trail's"
            ),
        }
    }

    fn json(&self) -> Value {
        json!({ "seq": self.expected.seq, "head": self.expected.hash, "found_at": self.found_at })
    }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Why nothing can be shown or verified.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum AuditError {
    /// The trail cannot be read or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
    /// The trails cannot be listed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NotListed(#[from] file::NotListed),
    /// The export cannot be written.
    #[error("the export cannot be written: {source}")]
    NotWritten {
        /// What the operating system said.
        source: io::Error,
    },
    /// A line cannot be printed as it is.
    #[error("{what} has a text that GitHub's runner could take for a command, and is not printed")]
    #[diagnostic(help("write to a file with `--output FILE`"))]
    RunnerCommand {
        /// The line.
        what: Unprintable,
    },
    /// A trail is none of its environment's, or was forged.
    #[error("the trail of `{environment}` cannot be exported: {why}")]
    #[diagnostic(help(
        "`cargo xtask audit verify {environment}` says the same; name the environments to export the others: `audit export ENV…`"
    ))]
    NotInOrder {
        /// The environment whose trail it should be.
        environment: String,
        /// What is wrong with it.
        why: String,
    },
    /// A line cannot stand in an export.
    #[error("entry {seq} cannot be exported: {why}")]
    #[diagnostic(help("no version of this program writes such a line; see who did"))]
    NotExportable {
        /// The entry's number.
        seq: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An export cannot be read.
    #[error("the export `{}` cannot be read: {}", path.display(), crate::files::why(source))]
    #[diagnostic(help("name a file that `audit export` wrote"))]
    NotRead {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No entry can be of the time that was asked for.
    #[error("no time is from {since} on and before {until}")]
    #[diagnostic(help("`--since` is the earlier one; `--until` itself is left out"))]
    NoTime {
        /// The first moment.
        since: Timestamp,
        /// The first moment after it.
        until: Timestamp,
    },
    /// One environment is meant, and it is not clear which.
    #[error("it is not clear which environment is meant")]
    #[diagnostic(help("name one; {}", having_a_trail(found)))]
    WhichEnvironment {
        /// Those that have a trail.
        found: Vec<String>,
    },
}

impl AuditError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Log(error) => error.exit(),
            Self::NotListed(_) | Self::NotInOrder { .. } | Self::NotExportable { .. } | Self::NotRead { .. } => {
                Exit::Trail
            }
            Self::NotWritten { .. } => Exit::Bug,
            Self::RunnerCommand { .. } | Self::NoTime { .. } | Self::WhichEnvironment { .. } => Exit::Usage,
        }
    }
}

/// A line that is not printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unprintable {
    /// An entry of the trail.
    Entry {
        /// Its number.
        seq: u64,
    },
    /// A record of the export's own.
    Record,
}

impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { seq } => write!(f, "entry {seq}"),
            Self::Record => f.write_str("a record of the export"),
        }
    }
}

fn having_a_trail(found: &[String]) -> String {
    if found.is_empty() {
        "none has a trail yet".to_owned()
    } else {
        format!("these have a trail: {}", clean(&found.join(", ")))
    }
}

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod tests;
