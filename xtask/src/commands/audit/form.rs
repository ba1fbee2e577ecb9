//! The form of an export: its own records, and the rows of CSV.
//!
//! As JSON Lines, an export is the lines of the trails as they stand there, with records of its own before, between and
//! behind them. As CSV, each of these lines is a row, and stands whole in its last column; the columns before it are
//! made from it alone, so that they can be made again and compared.

use std::fmt;

use csv_core::{ReadRecordResult, Terminator, WriteResult, WriterBuilder};
use jiff::Timestamp;
use license_core::{
    chain::{Head, LineHash},
    finding::clean,
    trail::{Actor, Record},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::words::{self, Body};
use crate::log::LINE_BYTES_MAX;

/// The name and the number of the form.
pub(super) const SCHEMA: &str = "license-hooks/audit-export/1";
/// How a record of the export's own begins. No version writes a line of a trail that begins so.
pub(super) const RECORD_BEGINS: &[u8] = br#"{"export":"#;
/// The longest row, with its line break, in bytes: a line with each quote twice, and the cells before it.
pub(super) const ROW_BYTES_MAX: u64 = 2 * LINE_BYTES_MAX + 64 * 1024;

/// The columns of CSV.
pub(super) const COLUMNS: [&str; 17] = [
    "environment",
    "seq",
    "at",
    "kind",
    "outcome",
    "summary",
    "reason",
    "user",
    "host",
    "ci",
    "run_url",
    "commit",
    "key_fingerprint",
    "release",
    "prev",
    "hash",
    "line",
];
/// The column whose words may differ between versions.
const SUMMARY: usize = 5;
/// The longest summary, in characters: the line beside it has everything.
const SUMMARY_CHARS_MAX: usize = 1_000;
/// What stands in the column `kind` of the export's own records.
const OWN_KIND: &str = "export";

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// The lines as they stand in the trail, and records of the export's own: JSON Lines
    #[default]
    Jsonl,
    /// A table for spreadsheets, with each line whole in its last column: CSV as RFC 4180 has it
    Csv,
}

/// A record of the export's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "export", rename_all = "snake_case")]
pub(super) enum Part {
    /// What is exported, when and by whom.
    Begin(Begin),
    /// The lines of a trail follow.
    Trail(TrailBegin),
    /// Lines that were left out.
    Gap(Gap),
    /// That was the trail.
    TrailEnd(TrailEnd),
    /// That was all.
    End(End),
}

/// What is exported, when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) schema: String,
    /// The program and its version.
    pub(super) tool: String,
    pub(super) at: Timestamp,
    pub(super) actor: Actor,
    pub(super) format: Form,
    pub(super) filters: Filters,
}

impl Begin {
    /// Whether this version wrote it, which finds the same words again.
    pub(super) fn is_ours(&self) -> bool {
        self.tool == tool()
    }
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filters {
    /// The environments that were named; none where all were asked for.
    pub(super) environments: Option<Vec<String>>,
    /// The first moment.
    pub(super) since: Option<Timestamp>,
    /// The first moment after it.
    pub(super) until: Option<Timestamp>,
    /// The kinds; none where all were asked for.
    pub(super) kinds: Option<Vec<String>>,
}

impl Filters {
    /// Whether lines may be left out.
    pub(super) fn leave_lines_out(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.kinds.is_some()
    }

    /// Whether only the oldest lines may be left out: numbers decide then, and not clocks, which may disagree, so that
    /// what is exported is one run up to the trail's end.
    pub(super) fn leave_out_the_oldest_alone(&self) -> bool {
        self.since.is_some() && self.until.is_none() && self.kinds.is_none()
    }
}

/// Where the lines that follow come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrailBegin {
    pub(super) environment: String,
    /// The file, or the ref of a remote.
    pub(super) place: String,
}

/// The numbers of lines that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// What was exported of a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrailEnd {
    pub(super) environment: String,
    /// Where the trail ended when it was read.
    pub(super) trail: Head,
    /// How many of its lines are here.
    pub(super) entries: u64,
    /// The number of the first of them.
    pub(super) first: Option<u64>,
    /// The number of the last of them.
    pub(super) last: Option<u64>,
    /// The SHA-256 of these lines, each with a line break: of a whole trail that of its file.
    pub(super) sha256: LineHash,
    /// The bytes of a last line that was not whole, and is not here.
    pub(super) torn_bytes: Option<u64>,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) trails: u64,
    pub(super) entries: u64,
    /// The SHA-256 of everything before this record.
    pub(super) sha256: LineHash,
}

/// The program and its version.
pub(super) fn tool() -> String {
    concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned()
}

impl Part {
    /// Its line. What GitHub's runner could take for a command is written in another way, that means the same.
    pub(super) fn line(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("a record is made of texts and numbers");
        text.replace("##[", r"##\u005b").into_bytes()
    }

    fn environment(&self) -> &str {
        match self {
            Self::Trail(TrailBegin { environment, .. }) | Self::TrailEnd(TrailEnd { environment, .. }) => environment,
            Self::Begin(_) | Self::Gap(_) | Self::End(_) => "",
        }
    }
}

/// A hash that grows with what is written or read.
#[derive(Clone, Default)]
pub(super) struct Seal(Sha256);

impl Seal {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn hash(&self) -> LineHash {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.into()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash().fmt(f)
    }
}

/// The names of the columns, as the first row has them.
pub(super) fn header() -> Vec<u8> {
    row(&COLUMNS.map(str::to_owned), None)
}

/// Whether a file that begins so is an export, of either form.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(BEGIN_BEGINS) || head.starts_with(&header())
}

/// How the first record of an export begins.
const BEGIN_BEGINS: &[u8] = br#"{"export":"begin","#;

/// The row of a record of the export's own.
pub(super) fn part_row(part: &Part) -> Vec<u8> {
    let mut cells = [const { String::new() }; COLUMNS.len()];
    cells[0] = inert(part.environment().to_owned(), Inert::BehindSemicolonsToo);
    OWN_KIND.clone_into(&mut cells[3]);
    row(&cells, Some(&part.line()))
}

/// The row of an entry, with what this version can read of it; none if the line is no object.
pub(super) fn entry_row(environment: &str, line: &[u8], record: Option<&Record>, how: Inert) -> Option<Vec<u8>> {
    let mut cells = cells_of(environment, line, how)?;
    let summary = record.map_or_else(String::new, words::summary);
    cells[SUMMARY] = inert(summary.chars().take(SUMMARY_CHARS_MAX).collect(), how);
    Some(row(&cells, Some(line)))
}

/// The cells that do not depend on the version, of a line and of a row: whether they are the same.
pub(super) fn cells_agree(environment: &str, line: &[u8], row: &[Vec<u8>], how: Inert) -> bool {
    let Some(cells) = cells_of(environment, line, how) else { return false };
    let made = cells.iter().map(String::as_bytes).zip(row).enumerate();
    row.len() == COLUMNS.len()
        && made.filter(|(at, _)| *at != SUMMARY && *at != COLUMNS.len() - 1).all(|(_, (made, found))| made == found)
}

/// The cells of an entry, all but the summary and the last.
fn cells_of(environment: &str, line: &[u8], how: Inert) -> Option<[String; COLUMNS.len()]> {
    let body: Body = serde_json::from_slice(line).ok()?;
    let said = |name: &str| words::word(body.get(name));
    let actor = |name: &str| words::of_actor(&body, name);
    let cells = [
        Some(environment.to_owned()),
        said("seq"),
        said("at"),
        said("kind"),
        words::outcome(&body),
        None,
        words::reason(&body),
        actor("user"),
        actor("host"),
        actor("ci"),
        actor("run_url"),
        actor("commit"),
        said("key_fingerprint"),
        said("release"),
        said("prev"),
        Some(LineHash::of(line).to_string()),
        None,
    ];
    Some(cells.map(|cell| cell.map_or_else(String::new, |cell| inert(cell, how))))
}

/// Where a text is kept from being taken for a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inert {
    /// At its beginning alone: so exports were written before.
    AtItsBeginning,
    /// Also behind each semicolon, which is where a spreadsheet of many a language cuts a file that it opens.
    BehindSemicolonsToo,
}

impl Inert {
    /// Each way in which a row may have been written, that of today first.
    pub(super) const ALL: [Self; 2] = [Self::BehindSemicolonsToo, Self::AtItsBeginning];
}

/// A text that no spreadsheet takes for a formula: an apostrophe stands before what begins like one.
fn inert(text: String, how: Inert) -> String {
    let text = if text.chars().any(license_core::finding::changes_the_line) { clean(&text) } else { text };
    let text = match how {
        Inert::AtItsBeginning => text,
        Inert::BehindSemicolonsToo => inert_behind_semicolons(text),
    };
    if begins_like_a_formula(text.trim_start()) { format!("'{text}") } else { text }
}

fn inert_behind_semicolons(text: String) -> String {
    // Quotes are taken away from a cell that is cut out.
    let is_before = |c: char| c.is_whitespace() || c == '"';
    let is_inert = |piece: &str| !begins_like_a_formula(piece.trim_start_matches(is_before));
    if text.split(';').skip(1).all(is_inert) {
        return text;
    }
    let mut pieces = text.split(';');
    let mut made = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        made.push_str(if is_inert(piece) { ";" } else { ";'" });
        made.push_str(piece);
    }
    made
}

fn begins_like_a_formula(text: &str) -> bool {
    const BEGINNINGS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    text.starts_with(BEGINNINGS)
}

/// A row with its line break. The line takes the place of the last cell, as it is.
fn row(cells: &[String; COLUMNS.len()], line: Option<&[u8]>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).build();
    let mut row = Vec::new();
    let [cells @ .., last] = cells;
    for cell in cells {
        write(&mut row, cell.len(), |out| {
            let (result, _, written) = writer.field(cell.as_bytes(), out);
            (result, written)
        });
        write(&mut row, 0, |out| writer.delimiter(out));
    }
    let last = line.unwrap_or(last.as_bytes());
    write(&mut row, last.len(), |out| {
        let (result, _, written) = writer.field(last, out);
        (result, written)
    });
    write(&mut row, 0, |out| writer.terminator(out));
    row
}

/// Lets the writer write so many bytes, each perhaps twice, and the marks around them.
fn write(row: &mut Vec<u8>, bytes: usize, step: impl FnOnce(&mut [u8]) -> (WriteResult, usize)) {
    const MARKS_BYTES: usize = 8;
    let begin = row.len();
    row.resize(begin + 2 * bytes + MARKS_BYTES, 0);
    let (result, written) = step(&mut row[begin..]);
    debug_assert_eq!(result, WriteResult::InputEmpty, "the room is enough for every byte twice");
    row.truncate(begin + written);
}

/// Reads rows, one after another. To make one costs more than to read a row with it.
#[derive(Debug)]
pub(super) struct RowReader(csv_core::Reader);

impl RowReader {
    pub(super) fn new() -> Self {
        Self(csv_core::Reader::new())
    }

    /// The cells of a row; none if it is not exactly one row of all columns.
    pub(super) fn cells(&mut self, row: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut output, mut ends) = (vec![0; row.len()], [0; COLUMNS.len() + 1]);
        self.0.reset();
        let (result, read, _, found) = self.0.read_record(row, &mut output, &mut ends);
        // The reader takes what ends a row one byte at a time.
        let rest = row.get(read..)?;
        if result != ReadRecordResult::Record || !matches!(rest, b"" | b"\n") || found != COLUMNS.len() {
            return None;
        }
        let mut begin = 0;
        let mut cell = |end| output.get(std::mem::replace(&mut begin, end)..end).map(<[u8]>::to_vec);
        ends[..found].iter().map(|&end| cell(end)).collect()
    }
}
