//! `audit verify --file`: reads an export, anywhere, and says what it proves.
//!
//! Every line of a trail has the hash of the line before. So a head that was kept elsewhere proves its own line and
//! those before it, back to the first gap: what a line in a gap said is not here, and neither is what it followed from.
//! Where no filter explains a gap, a head behind it does not prove what was asked for.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use license_core::{
    chain::{self, Entry, Head, LineHash},
    finding::clean,
    trail::Actor,
};
use serde_json::{Value, json};

use super::{
    AuditError, ExpectedHead, Folding, Lie, Looked, entries,
    form::{self, Begin, End, Form, Part, ROW_BYTES_MAX, RowReader, Seal, TrailBegin, TrailEnd},
    torn, words,
};
use crate::{exit::Exit, files};

/// Reads the file to its end or to the first thing that is wrong with it.
pub(crate) fn verify(directory: &Path, path: &Path, expected: &[ExpectedHead]) -> Result<ExportReport, AuditError> {
    let not_read = |source| AuditError::NotRead { path: path.to_owned(), source };
    let file = files::open(&directory.join(path)).map_err(not_read)?;
    read(path.display().to_string(), BufReader::new(file), expected).map_err(not_read)
}

/// What a file of this name says.
pub(super) fn read(file: String, reader: impl BufRead, expected: &[ExpectedHead]) -> io::Result<ExportReport> {
    let mut lines = Lines { reader, line: Vec::new() };
    let mut reading = Reading::new(expected);
    let wrong = loop {
        match lines.next()? {
            Some(line) => {
                if let Err(what) = reading.take(line) {
                    break Some(what);
                }
            }
            None => break reading.end().err(),
        }
        reading.lines += 1;
    };
    let wrong = wrong.map(|what| format!("line {} of the file: {what}", reading.lines + 1));
    let Reading { file: seal, begin, trails, heads, .. } = reading;
    let state = wrong.map_or(State::InOrder(seal.hash()), State::Broken);
    let expectations = expected.iter().cloned().zip(heads).collect();
    Ok(ExportReport { file, begin, trails, state, expectations })
}

/// The lines of a file, each with its line break.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.reader.by_ref().take(ROW_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        Ok((!self.line.is_empty()).then_some(&self.line))
    }
}

/// What was read so far.
struct Reading<'a> {
    expected: &'a [ExpectedHead],
    /// What became of each expected head.
    heads: Vec<Found>,
    lines: u64,
    form: Form,
    rows: RowReader,
    /// Everything before the record at hand.
    sealed: Seal,
    /// Everything.
    file: Seal,
    begin: Option<Begin>,
    open: Option<Open>,
    trails: Vec<TrailFound>,
    /// The environments whose trail began.
    begun: BTreeSet<String>,
    ended: bool,
}

/// A trail whose end was not read yet.
struct Open {
    begin: TrailBegin,
    /// Where the next line follows: the last line, or of lines that were left out the last one's number alone.
    at: At,
    entries: u64,
    first: Option<u64>,
    last: Option<u64>,
    /// The first entry of the unbroken run at hand.
    run: u64,
    runs: u64,
    seal: Seal,
    /// What checkpoints are compared with, up to the first gap.
    folding: Option<Folding>,
    /// The first gap that the filters do not explain.
    unexplained: Option<form::Gap>,
}

/// Where in a trail the reading is.
enum At {
    Line(Head),
    Gap { last: u64 },
}

impl Open {
    fn new(begin: TrailBegin) -> Self {
        let (at, folding, seal) = (At::Line(Head::EMPTY), Some(Folding::default()), Seal::default());
        Self { begin, at, entries: 0, first: None, last: None, run: 1, runs: 0, seal, folding, unexplained: None }
    }
}

/// What is wrong with a line, for people.
type Wrong = String;

impl<'a> Reading<'a> {
    fn new(expected: &'a [ExpectedHead]) -> Self {
        Self {
            expected,
            heads: vec![Found::Nowhere; expected.len()],
            lines: 0,
            form: Form::Jsonl,
            rows: RowReader::new(),
            sealed: Seal::default(),
            file: Seal::default(),
            begin: None,
            open: None,
            trails: Vec::new(),
            begun: BTreeSet::new(),
            ended: false,
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Wrong> {
        if self.ended {
            return Err("something follows the end".to_owned());
        }
        self.file.take(line);
        if self.lines == 0 && line == form::header() {
            self.form = Form::Csv;
        } else {
            self.take_line(line)?;
        }
        self.sealed.take(line);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let whole = line.strip_suffix(b"\n").ok_or_else(|| match line.len() as u64 {
            ROW_BYTES_MAX => format!("it is longer than {ROW_BYTES_MAX} bytes"),
            _ => "it was not written to its end".to_owned(),
        })?;
        match self.form {
            Form::Jsonl => self.take_content(whole, None),
            Form::Csv => {
                let cells = self.rows.cells(line).ok_or("it is no row of an export")?;
                let content = cells.last().ok_or("it is no row of an export")?.clone();
                self.take_content(&content, Some(Row { bytes: line, cells: &cells }))
            }
        }
    }

    /// A line of a trail, or a record of the export's own; in CSV with the row that it stands in.
    fn take_content(&mut self, content: &[u8], row: Option<Row<'_>>) -> Result<(), Wrong> {
        if !content.starts_with(form::RECORD_BEGINS) {
            return self.take_entry(content, row);
        }
        let part: Part = serde_json::from_slice(content).map_err(|_| "it is no record that this version knows")?;
        if part.line() != content || row.is_some_and(|row| row.bytes != form::part_row(&part)) {
            return Err("it is not as it was written".to_owned());
        }
        match part {
            Part::Begin(begin) => self.take_begin(begin),
            Part::Trail(begin) => self.take_trail(begin),
            Part::Gap(gap) => self.take_gap(gap),
            Part::TrailEnd(end) => self.take_trail_end(end),
            Part::End(end) => self.take_end(end),
        }
    }

    fn take_begin(&mut self, begin: Begin) -> Result<(), Wrong> {
        if self.begin.is_some() {
            return Err("it says a second time that an export begins".to_owned());
        }
        if begin.schema != form::SCHEMA {
            return Err(format!("the export is `{}`, and this version reads `{}`", clean(&begin.schema), form::SCHEMA));
        }
        if begin.format != self.form {
            return Err("it says another format than the file has".to_owned());
        }
        self.begin = Some(begin);
        Ok(())
    }

    fn take_trail(&mut self, begin: TrailBegin) -> Result<(), Wrong> {
        let environment = clean(&begin.environment);
        if self.begin.is_none() {
            return Err(NO_EXPORT.to_owned());
        }
        if self.open.is_some() || !self.begun.insert(begin.environment.clone()) {
            return Err(format!("the trail of `{environment}` does not begin here"));
        }
        self.open = Some(Open::new(begin));
        Ok(())
    }

    fn take_gap(&mut self, gap: form::Gap) -> Result<(), Wrong> {
        let filters = self.begin.as_ref().map(|begin| &begin.filters);
        let filtered = filters.is_some_and(form::Filters::leave_lines_out);
        let only_the_oldest = filters.is_some_and(form::Filters::leave_out_the_oldest_alone);
        let open = self.open.as_mut().ok_or("it is in no trail")?;
        match open.at {
            At::Line(head) if filtered && head.seq.checked_add(1) == Some(gap.first) && gap.first <= gap.last => {
                open.at = At::Gap { last: gap.last };
                if only_the_oldest && open.entries > 0 {
                    open.unexplained.get_or_insert(gap);
                }
                Ok(())
            }
            At::Line(_) | At::Gap { .. } => Err("nothing was left out here".to_owned()),
        }
    }

    fn take_entry(&mut self, line: &[u8], row: Option<Row<'_>>) -> Result<(), Wrong> {
        let begin = self.begin.as_ref().ok_or(NO_EXPORT)?;
        let open = self.open.as_mut().ok_or("it is in no trail")?;
        let environment = &open.begin.environment;
        let before = match open.at {
            At::Line(head) => head,
            At::Gap { last } => Head { seq: last, hash: prev(line).ok_or("it is no line of a trail")? },
        };
        let (entry, head): (Entry<Looked>, Head) = chain::read_line(&before, line)
            .map_err(|error| format!("the trail of `{}`: {error}", clean(environment)))?;
        if let Some(named) = entry.body.environment().filter(|named| named != environment) {
            return Err(format!("entry {} is about `{}`", head.seq, clean(named)));
        }
        if row.is_some_and(|row| !row.says_what(line, &entry.body, environment, begin)) {
            return Err(format!("the columns say something else than the line of entry {}", head.seq));
        }
        let after_gap = matches!(open.at, At::Gap { .. });
        if after_gap {
            open.folding = None;
            look_for(self.expected, &mut self.heads, environment, &before, |environment, seq| Found::LeftOut {
                environment,
                seq,
            });
        }
        if after_gap || open.entries == 0 {
            open.run = head.seq;
            open.runs += 1;
        }
        if let Some(Err(Lie)) = open.folding.as_mut().map(|folding| folding.take(&entry.body)) {
            let seq = head.seq;
            return Err(format!("entry {seq} is a checkpoint, and says something else than the entries before it"));
        }
        let (from, before_it) = (open.run, BeforeIt::of(open.unexplained));
        look_for(self.expected, &mut self.heads, environment, &head, |environment, seq| Found::Entry {
            environment,
            seq,
            from,
            before_it,
        });
        open.seal.take(line);
        open.seal.take(b"\n");
        open.entries += 1;
        open.first = open.first.or(Some(head.seq));
        open.last = Some(head.seq);
        open.at = At::Line(head);
        Ok(())
    }

    fn take_trail_end(&mut self, end: TrailEnd) -> Result<(), Wrong> {
        let open = self.open.take().ok_or("it is in no trail")?;
        let in_place = match open.at {
            At::Line(head) => head == end.trail,
            At::Gap { last } => last == end.trail.seq,
        };
        let Open { begin, at, entries, first, last, run, runs, seal, unexplained, .. } = open;
        let counted = (&begin.environment, entries, first, last, seal.hash());
        if !in_place || counted != (&end.environment, end.entries, end.first, end.last, end.sha256) {
            return Err("what it says of the trail is not what is here".to_owned());
        }
        let lead = match at {
            At::Line(_) if entries > 0 => Some(run),
            At::Line(_) => None,
            At::Gap { .. } => {
                look_for(self.expected, &mut self.heads, &begin.environment, &end.trail, |environment, seq| {
                    Found::LeftOut { environment, seq }
                });
                None
            }
        };
        self.trails.push(TrailFound { begin, end, runs, lead, unexplained });
        Ok(())
    }

    fn take_end(&mut self, end: End) -> Result<(), Wrong> {
        let begin = self.begin.as_ref().ok_or(NO_EXPORT)?;
        let entries = self.trails.iter().map(|trail| trail.end.entries).sum();
        let here = End { trails: self.trails.len() as u64, entries, sha256: self.sealed.hash() };
        let environments = self.trails.iter().map(|trail| &trail.begin.environment);
        let asked = begin.filters.environments.as_ref().is_none_or(|asked| asked.iter().eq(environments));
        if self.open.is_some() || end != here || !asked {
            return Err(
                "what it says of the export is not what is here: something was changed, added or taken out".to_owned()
            );
        }
        self.ended = true;
        Ok(())
    }

    fn end(&self) -> Result<(), Wrong> {
        match (&self.begin, self.ended) {
            (_, true) => Ok(()),
            (Some(_), false) => Err("the record that ends an export is missing: it was cut short".to_owned()),
            (None, false) => Err(NO_EXPORT.to_owned()),
        }
    }
}

/// What is said of a file that does not begin as one.
const NO_EXPORT: &str = "it does not begin as an export does; `audit export` writes one";

/// A row of CSV, as it stands there and cell by cell.
struct Row<'a> {
    bytes: &'a [u8],
    cells: &'a [Vec<u8>],
}

impl Row<'_> {
    /// Whether the columns are those of this line. Another version may find other words for the same.
    fn says_what(&self, line: &[u8], entry: &Looked, environment: &str, begin: &Begin) -> bool {
        form::Inert::ALL.into_iter().any(|how| {
            if begin.is_ours() {
                form::entry_row(environment, line, entry.record(), how).is_some_and(|made| made == self.bytes)
            } else {
                form::cells_agree(environment, line, self.cells, how)
            }
        })
    }
}

/// The hash of the line before, as a line says it.
fn prev(line: &[u8]) -> Option<LineHash> {
    #[derive(serde::Deserialize)]
    struct Place {
        prev: LineHash,
    }
    serde_json::from_slice::<Place>(line).ok().map(|place| place.prev)
}

/// Notes where each expected head was found that is this one.
fn look_for(
    expected: &[ExpectedHead],
    heads: &mut [Found],
    environment: &str,
    head: &Head,
    found: impl Fn(String, u64) -> Found,
) {
    for (expected, noted) in expected.iter().zip(heads) {
        let here = expected.environment.as_ref().is_none_or(|named| named.as_str() == environment);
        if here && expected.is_met_by(head) {
            *noted = found(environment.to_owned(), head.seq);
        }
    }
}

/// Where a head that was kept elsewhere was found.
#[derive(Debug, Clone)]
enum Found {
    Nowhere,
    /// It is that of an entry, which it proves with those before it from `from` on.
    Entry {
        environment: String,
        seq: u64,
        from: u64,
        before_it: BeforeIt,
    },
    /// It is that of an entry that was left out.
    LeftOut {
        environment: String,
        seq: u64,
    },
}

/// What is before the run of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeIt {
    /// Nothing, or what the filters leave out.
    Explained,
    /// Entries that are here, and a gap that no filter explains: nobody can say that they belong to it.
    Unexplained,
}

impl BeforeIt {
    fn of(gap: Option<form::Gap>) -> Self {
        if gap.is_some() { Self::Unexplained } else { Self::Explained }
    }
}

/// What was found in an export.
#[derive(Debug)]
pub(crate) struct ExportReport {
    file: String,
    begin: Option<Begin>,
    trails: Vec<TrailFound>,
    state: State,
    expectations: Vec<(ExpectedHead, Found)>,
}

#[derive(Debug)]
enum State {
    /// It is as it was written; this is the SHA-256 of the file.
    InOrder(LineHash),
    /// What is wrong with it.
    Broken(String),
}

/// What was found of a trail.
#[derive(Debug)]
struct TrailFound {
    begin: TrailBegin,
    end: TrailEnd,
    /// How many unbroken runs its entries make.
    runs: u64,
    /// The first entry of the run that ends with the trail's head; none where that was left out.
    lead: Option<u64>,
    /// The first gap that the filters do not explain. Exports of before `--since` alone went by numbers may have one.
    unexplained: Option<form::Gap>,
}

impl ExportReport {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        let proves = |(_, found): &(ExpectedHead, Found)| match found {
            Found::Entry { before_it: BeforeIt::Explained, .. } => true,
            Found::Entry { before_it: BeforeIt::Unexplained, .. } | Found::Nowhere | Found::LeftOut { .. } => false,
        };
        match self.state {
            State::Broken(_) => Exit::Trail,
            State::InOrder(_) if self.expectations.iter().all(proves) => Exit::Done,
            State::InOrder(_) => Exit::Unproven,
        }
    }

    /// For people.
    pub(crate) fn human(&self) -> String {
        let file = clean(&self.file);
        let mut lines = Vec::new();
        match &self.state {
            State::Broken(what) => lines.push(format!("{file}: broken: {what}")),
            State::InOrder(sha256) => {
                lines.extend(self.begin.as_ref().map(|begin| format!("{file}: {}", made(begin))));
                lines.extend(self.begin.as_ref().and_then(asked_for).map(|asked| format!("{file}: {asked}")));
                lines.extend(self.trails.iter().flat_map(TrailFound::lines));
                let others = |begin: &&Begin| begin.format == Form::Csv && !begin.is_ours();
                lines.extend(self.begin.as_ref().filter(others).map(|_| {
                    "the column `summary` was not compared: another version of the program wrote it".to_owned()
                }));
                lines.extend(self.expectations.iter().map(|(expected, found)| found.line(expected)));
                lines.push(format!("SHA-256 of the file: {sha256}"));
            }
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// For programs: one document of the schema `license-hooks/audit-verify-export/1`.
    pub(crate) fn json(&self) -> Value {
        let exit = self.exit();
        let (state, sha256, error) = match &self.state {
            State::InOrder(sha256) => ("in_order", Some(sha256), None),
            State::Broken(what) => ("broken", None, Some(what)),
        };
        json!({
            "schema": "license-hooks/audit-verify-export/1",
            "file": self.file,
            "state": state,
            "error": error,
            "sha256": sha256,
            "export": self.begin,
            "trails": self.trails.iter().map(TrailFound::json).collect::<Vec<_>>(),
            "expected": self.expectations.iter().map(|(expected, found)| found.json(expected)).collect::<Vec<_>>(),
            "exit": { "code": exit.code(), "name": exit.name() },
        })
    }
}

fn made(begin: &Begin) -> String {
    let Actor { ci, user, host, .. } = &begin.actor;
    let by = words::who(ci.as_deref(), user.as_deref(), host.as_deref());
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    format!("in order, exported at {}{by}, {}", begin.at, clean(&begin.tool))
}

/// The filters, as the export says them itself; none where nothing was to be left out.
fn asked_for(begin: &Begin) -> Option<String> {
    let form::Filters { since, until, kinds, .. } = &begin.filters;
    let since = since.map(|since| format!("since {since}"));
    let until = until.map(|until| format!("until {until}"));
    let kinds = kinds.as_ref().map(|kinds| format!("of the kinds {}", clean(&kinds.join(", "))));
    let filters: Vec<String> = [since, until, kinds].into_iter().flatten().collect();
    (!filters.is_empty()).then(|| format!("only entries {} were asked for, as it says itself", filters.join(", ")))
}

impl TrailFound {
    fn lines(&self) -> Vec<String> {
        let environment = clean(&self.begin.environment);
        let TrailEnd { trail: Head { seq, hash }, entries: here, torn_bytes, .. } = self.end;
        let left_out = seq.saturating_sub(here);
        let mut lines = vec![match (seq, left_out, self.lead) {
            (0, _, _) => "nothing was recorded".to_owned(),
            (_, 0, _) => format!("{} in order, head {seq}:{hash}", entries(seq)),
            (_, _, Some(from)) => {
                format!("{here} of {} in order, head {seq}:{hash}: it proves those from entry {from} on", entries(seq))
            }
            (_, _, None) => {
                format!("{here} of {} in order; head {seq}:{hash} was left out, and proves none of them", entries(seq))
            }
        }];
        if self.runs > 1 {
            let what =
                format!("they are in {} runs: only the head of a run, kept elsewhere, proves the run", self.runs);
            lines.push(what);
        }
        lines.extend(self.unexplained.map(|gap| {
            let (what, were) = match gap {
                form::Gap { first, last } if first == last => (format!("entry {first}"), "was"),
                form::Gap { first, last } => (format!("entries {first} to {last}"), "were"),
            };
            format!(
                "warning: {what} {were} left out, and `--since` alone leaves out only the oldest: somebody took lines out, or \
                 an earlier version exported entries of clocks that disagree; export it again"
            )
        }));
        lines.extend(torn_bytes.map(|bytes| torn(seq, bytes)));
        lines.into_iter().map(|line| format!("{environment}: {line}")).collect()
    }

    fn json(&self) -> Value {
        let TrailEnd { environment, trail, entries, first, last, torn_bytes, .. } = &self.end;
        json!({
            "environment": environment,
            "place": self.begin.place,
            "head": trail,
            "entries": entries,
            "first": first,
            "last": last,
            "runs": self.runs,
            "proved_from": self.lead,
            "unexplained_gap": self.unexplained,
            "torn_bytes": torn_bytes,
        })
    }
}

impl Found {
    fn line(&self, expected: &ExpectedHead) -> String {
        match self {
            Self::Entry { environment, seq, from, before_it } => {
                let environment = clean(environment);
                let (proved, those) =
                    if seq == from { ("it".to_owned(), "it") } else { (format!("entries {from} to {seq}"), "them") };
                let but = match before_it {
                    BeforeIt::Explained => String::new(),
                    BeforeIt::Unexplained => format!(", and not those before {those}"),
                };
                format!("{environment}: the expected head is entry {seq}, and proves {proved}{but}")
            }
            Self::LeftOut { environment, seq } => format!(
                "{}: the expected head is entry {seq}, which was left out: it proves nothing of what is here",
                clean(environment)
            ),
            Self::Nowhere => format!("the expected head {expected} is not in the export"),
        }
    }

    fn json(&self, expected: &ExpectedHead) -> Value {
        let (environment, found_at, proved_from, left_out) = match self {
            Self::Nowhere => (expected.environment.as_ref().map(ToString::to_string), None, None, false),
            Self::Entry { environment, seq, from, .. } => (Some(environment.clone()), Some(seq), Some(from), false),
            Self::LeftOut { environment, seq } => (Some(environment.clone()), Some(seq), None, true),
        };
        json!({
            "environment": environment, "seq": expected.seq, "head": expected.hash,
            "found_at": found_at, "proved_from": proved_from, "left_out": left_out,
        })
    }
}
