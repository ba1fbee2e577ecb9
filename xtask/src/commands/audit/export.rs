//! `audit export`: trails, or what was asked for of them, in a form that can be checked on another machine.
//!
//! Nothing is kept in memory but the line at hand, and what checkpoints are compared with. What is exported was checked
//! up to there, as verifying does: a trail that is not in order is no export.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use license_core::{
    chain::{Entry, Head},
    trail::{Actor, KINDS},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AuditError, Checking, Looked, Unprintable, environment,
    form::{self, Begin, End, Filters, Form, Gap, Inert, Part, Seal, TrailBegin, TrailEnd},
    torn, torn_bytes,
};
use crate::{
    config::{AuthoritySettings, Config, EnvName},
    context::Platform,
    files,
    log::Tail,
    trail::{Trail, Trails},
};

/// What to export.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The environments; without any, every one that has a trail
    #[arg(value_name = "ENV", value_parser = environment)]
    pub(crate) environments: Vec<EnvName>,
    /// Every environment that has a trail: the same as to name none
    #[arg(long, conflicts_with = "environments")]
    pub(crate) all: bool,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Form,
    /// Only entries of this moment or later: RFC 3339, a date (its first moment in UTC), or an age as `30d`; alone, all
    /// from the first such entry on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only entries before this moment: as `--since`, so that a date itself is left out
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only entries of these kinds; `other` are those that this version does not know
    #[arg(long, value_name = "KIND", num_args = 1.., value_parser = kinds())]
    pub(crate) kind: Vec<String>,
    /// Write to this file, for its owner alone, and only when all of it could be read; without it, to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// The word for every kind that this version does not know.
const OTHER: &str = "other";

fn kinds() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(KINDS.into_iter().chain([OTHER]))
}

/// A point in time, as somebody names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        if let Ok(age) = crate::config::age(text) {
            return Ok(Self::Ago(age));
        }
        let date: Option<jiff::civil::Date> = text.parse().ok().filter(|_| text.len() == "2026-03-01".len());
        let at = match date {
            Some(date) => format!("{date}T00:00:00Z").parse(),
            None => text.parse(),
        };
        at.map(Self::At).map_err(|_| NotAMoment)
    }
}

/// A text that names no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a time as `2026-03-01T11:02:03Z`, a date as `2026-03-01`, or an age as `30d` or `12h`")]
pub(crate) struct NotAMoment;

impl Moment {
    /// The point in time. What is older than time itself is its beginning.
    fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Who exports, when and where, and who reads it.
#[derive(Debug, Clone)]
pub(crate) struct Occasion {
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    /// What the places of trails are relative to, where they lie in it: where a person's files are is nobody's business.
    pub(crate) directory: PathBuf,
    pub(crate) reader: Platform,
}

/// What may be told to people of an export.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    /// A line for each thing worth knowing.
    pub(crate) notes: Vec<String>,
}

/// Writes the export. After an error, what was written has no end, so that nobody takes it for one.
pub(crate) fn export(
    trails: &Trails,
    args: &ExportArgs,
    occasion: Occasion,
    out: &mut dyn Write,
) -> Result<Exported, AuditError> {
    let environments =
        if args.environments.is_empty() { trails.environments()? } else { named_once(&args.environments) };
    let filters = filters(args, occasion.at)?;
    let mut sheet = Sheet { form: args.format, reader: occasion.reader, seal: Seal::default(), out };
    sheet.header()?;
    let Occasion { at, actor, directory, .. } = occasion;
    let (schema, tool) = (form::SCHEMA.to_owned(), form::tool());
    sheet.part(&Part::Begin(Begin { schema, tool, at, actor, format: args.format, filters: filters.clone() }))?;
    let mut notes = Vec::new();
    let mut entries = 0;
    for environment in &environments {
        let end = export_trail(&trails.of(environment), &directory, environment, &filters, &mut sheet)?;
        notes.push(format!("{environment}: {} of {} exported", end.entries, super::entries(end.trail.seq)));
        notes.extend(end.torn_bytes.map(|bytes| format!("{environment}: {}", torn(end.trail.seq, bytes))));
        entries += end.entries;
    }
    let trails = environments.len() as u64;
    sheet.part(&Part::End(End { trails, entries, sha256: sheet.seal.hash() }))?;
    sheet.out.flush().map_err(|source| AuditError::NotWritten { source })?;
    notes.push(format!("SHA-256 of the export: {}", sheet.seal.hash()));
    Ok(Exported { notes })
}

/// Writes to a file by `export`. Of what is there, only another export is replaced, and nothing among our own files:
/// what is not there yet would be taken for a trail, and a lock is as empty as what may be replaced.
pub(crate) fn put(
    directory: &Path,
    file: &Path,
    config: &Config,
    export: impl FnOnce(&mut dyn Write) -> Result<Exported, AuditError>,
) -> Result<Exported, AuditError> {
    let path = directory.join(file);
    let named = |source: io::Error| {
        let why = format!("`{}`: {}", file.display(), files::why(&source));
        AuditError::NotWritten { source: io::Error::new(source.kind(), why) }
    };
    if let Some(directory) = our_own(&path, config) {
        let why = format!("the program keeps its own files in `{}`; name a file elsewhere", directory.display());
        return Err(named(io::Error::new(io::ErrorKind::InvalidInput, why)));
    }
    let may_go =
        |head: &[u8]| if form::begins(head) { Ok(()) } else { Err("it is there and is no export; name another file") };
    let mut exported = Ok(Exported::default());
    let put = files::publish_by(&path, may_go, |file| {
        exported = export(&mut io::BufWriter::new(file));
        if exported.is_ok() { Ok(()) } else { Err(io::Error::other("the trail cannot be exported")) }
    });
    let exported = match exported {
        Err(AuditError::NotWritten { source }) => return Err(named(source)),
        exported => exported?,
    };
    put.map_err(named)?;
    Ok(exported)
}

/// The directory of our own that a place is in, by whatever name: `.license`, or that of an embedded authority.
fn our_own(path: &Path, config: &Config) -> Option<PathBuf> {
    // A directory that is not there has nothing in it, and whoever writes there is told so.
    let directory = path.parent()?.canonicalize().ok()?;
    let is_inside = |own: &PathBuf| own.canonicalize().is_ok_and(|own| directory.starts_with(own));
    let is_there = |own: &PathBuf| own.canonicalize().is_ok_and(|own| directory == own);
    let state = |settings: &AuthoritySettings| match settings {
        AuthoritySettings::Embedded { state } => Some(state.clone()),
        AuthoritySettings::Remote(_) => None,
    };
    let own = config.root.join(".license");
    if is_inside(&own) { Some(own) } else { config.authorities.values().filter_map(state).find(is_there) }
}

fn named_once(environments: &[EnvName]) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for environment in environments.iter().map(EnvName::to_string) {
        if !named.contains(&environment) {
            named.push(environment);
        }
    }
    named
}

fn filters(args: &ExportArgs, now: Timestamp) -> Result<Filters, AuditError> {
    let resolve = |moment: Option<Moment>| moment.map(|moment| moment.resolve(now));
    let (since, until) = (resolve(args.since), resolve(args.until));
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(AuditError::NoTime { since, until });
    }
    let environments = (!args.environments.is_empty()).then(|| named_once(&args.environments));
    let kinds = (!args.kind.is_empty()).then(|| args.kind.clone());
    Ok(Filters { environments, since, until, kinds })
}

/// What of an entry is looked at to choose it.
#[derive(Default, Deserialize)]
struct Facts {
    #[serde(default)]
    at: Option<Value>,
    #[serde(default)]
    kind: Option<Value>,
}

impl Facts {
    /// Of a line that is an object; nothing of one in which a field stands twice.
    fn of(line: &[u8]) -> Self {
        serde_json::from_slice(line).unwrap_or_default()
    }
}

impl Filters {
    /// Whether an entry is asked for. One that says no time that can be read is of every time: nothing that was asked
    /// for is lost because of how it is written.
    fn ask_for(&self, facts: &Facts) -> bool {
        let at: Option<Timestamp> = facts.at.as_ref().and_then(Value::as_str).and_then(|at| at.parse().ok());
        let kind = facts.kind.as_ref().and_then(Value::as_str).filter(|kind| KINDS.contains(kind)).unwrap_or(OTHER);
        at.is_none_or(|at| self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|one| one == kind))
    }
}

fn export_trail(
    trail: &Trail,
    directory: &Path,
    environment: &str,
    filters: &Filters,
    sheet: &mut Sheet<'_>,
) -> Result<TrailEnd, AuditError> {
    let place = trail.place();
    let inside = Path::new(&place).strip_prefix(directory).ok().map(|place| place.display().to_string());
    let begin = TrailBegin { environment: environment.to_owned(), place: inside.unwrap_or(place) };
    sheet.part(&Part::Trail(begin))?;
    let mut taken = Taken::default();
    let mut written = Ok(());
    let mut checking = Checking::of(environment);
    let (position, ending) = trail.scan_lines(|line, entry: Entry<Looked>, _| {
        checking.take(&entry.body, entry.seq);
        let goes_on = written.is_ok() && checking.trouble.is_none();
        let is_in = !filters.leave_lines_out() || taken.entries > 0 && filters.leave_out_the_oldest_alone();
        if goes_on && (is_in || filters.ask_for(&Facts::of(line))) {
            written = taken.line(environment, line, entry.seq, &entry.body, sheet);
        }
    })?;
    written?;
    if let Some(trouble) = checking.trouble {
        return Err(AuditError::NotInOrder { environment: environment.to_owned(), why: trouble.words() });
    }
    taken.end(environment, position.head, ending, sheet)
}

/// What was taken of a trail so far.
#[derive(Default)]
struct Taken {
    entries: u64,
    first: Option<u64>,
    last: Option<u64>,
    seal: Seal,
}

impl Taken {
    fn line(
        &mut self,
        environment: &str,
        line: &[u8],
        seq: u64,
        entry: &Looked,
        sheet: &mut Sheet<'_>,
    ) -> Result<(), AuditError> {
        self.gap_before(seq, sheet)?;
        sheet.entry(environment, line, seq, entry)?;
        self.seal.take(line);
        self.seal.take(b"\n");
        self.entries += 1;
        self.first = self.first.or(Some(seq));
        self.last = Some(seq);
        Ok(())
    }

    /// Declares what was left out between the last line and this one.
    fn gap_before(&self, seq: u64, sheet: &mut Sheet<'_>) -> Result<(), AuditError> {
        let (first, last) = (self.last.unwrap_or(0) + 1, seq.saturating_sub(1));
        if first > last { Ok(()) } else { sheet.part(&Part::Gap(Gap { first, last })) }
    }

    fn end(self, environment: &str, trail: Head, ending: Tail, sheet: &mut Sheet<'_>) -> Result<TrailEnd, AuditError> {
        self.gap_before(trail.seq.saturating_add(1), sheet)?;
        let Self { entries, first, last, seal } = self;
        let (environment, sha256, torn_bytes) = (environment.to_owned(), seal.hash(), torn_bytes(ending));
        let end = TrailEnd { environment, trail, entries, first, last, sha256, torn_bytes };
        sheet.part(&Part::TrailEnd(end.clone()))?;
        Ok(end)
    }
}

/// What is written on, and what was written so far, as a hash.
struct Sheet<'a> {
    form: Form,
    reader: Platform,
    seal: Seal,
    out: &'a mut dyn Write,
}

impl Sheet<'_> {
    fn header(&mut self) -> Result<(), AuditError> {
        match self.form {
            Form::Jsonl => Ok(()),
            Form::Csv => self.put(&form::header(), Unprintable::Record),
        }
    }

    fn part(&mut self, part: &Part) -> Result<(), AuditError> {
        let bytes = match self.form {
            Form::Jsonl => [&part.line()[..], b"\n"].concat(),
            Form::Csv => form::part_row(part),
        };
        self.put(&bytes, Unprintable::Record)
    }

    fn entry(&mut self, environment: &str, line: &[u8], seq: u64, entry: &Looked) -> Result<(), AuditError> {
        if line.starts_with(form::RECORD_BEGINS) {
            return Err(AuditError::NotExportable { seq, why: "it begins as a record of an export does" });
        }
        match self.form {
            Form::Jsonl => {
                self.put(line, Unprintable::Entry { seq })?;
                self.put(b"\n", Unprintable::Entry { seq })
            }
            Form::Csv => match form::entry_row(environment, line, entry.record(), Inert::BehindSemicolonsToo) {
                Some(row) => self.put(&row, Unprintable::Entry { seq }),
                None => Err(AuditError::NotExportable { seq, why: "a text in it is no text" }),
            },
        }
    }

    /// Writes bytes as they are. Changed ones would not have their hash, so what its reader would act on is refused.
    fn put(&mut self, bytes: &[u8], what: Unprintable) -> Result<(), AuditError> {
        if self.reader == Platform::GithubActions && is_command(bytes) {
            return Err(AuditError::RunnerCommand { what });
        }
        self.seal.take(bytes);
        self.out.write_all(bytes).map_err(|source| AuditError::NotWritten { source })
    }
}

/// Whether GitHub's runner could take a line for a command: one that may stand anywhere, or one at its beginning.
fn is_command(line: &[u8]) -> bool {
    const ANYWHERE: &[u8] = b"##[";
    let text = line.trim_ascii_start();
    text.starts_with(b"::") || memchr::memmem::find(line, ANYWHERE).is_some()
}
