//! The trail as it grows: `audit verify` and `audit export` beside `sha256sum`, and a run that appends, at the beginning
//! and far on.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::Command,
    time::Duration,
};

use license_core::{
    chain::{Head, next_line, read_line},
    trail::{CHECKPOINT_ENTRIES, Folded, Record},
};
use license_tests::{Authority, Grant, Issued, Project};

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

/// The entries of the trails that an appending run meets; the others are compared with the first. A run reads what
/// follows the newest checkpoint: of the last trail nearly as much as it ever is.
const LENGTHS: [u64; 5] = [100, 1_000, 10_000, 100_000, 500 * CHECKPOINT_PERIOD + MOST_UNCOVERED];
/// The entries after the newest checkpoint of the last trail: the three of the run bring no new one.
const MOST_UNCOVERED: u64 = CHECKPOINT_ENTRIES - 5;
/// The entries from one checkpoint to the next, with one of the two.
const CHECKPOINT_PERIOD: u64 = CHECKPOINT_ENTRIES + 1;
/// The entries of the trail that is verified.
const VERIFIED: u64 = 100_000;
/// So much slower may a run be far on, before it counts as slower: what two series of the same run differ by.
const SAME: f64 = 1.1;
/// The domain that no license covers.
const FOREIGN: &str = r#""other.com""#;
/// The exit code of a deploy that the gate refused.
const REFUSED: i32 = 10;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let authority = Authority::start(BINARY, &[]);
    let license = authority.issue(&Grant::default());
    let deploy = entries_of_a_deploy(&authority, &license);
    let mut rows = vec![verify(&authority, &license, &deploy, effort)];
    rows.extend(export(&authority, &license, &deploy, effort));
    rows.extend(append(&authority, &license, &deploy, effort));
    rows.extend(memory(&license, &deploy));
    rows.extend(memory_of_exports(&authority, &license, &deploy));
    rows
}

/// `audit verify`, which reads, checks and folds every entry, beside a program that reads the same bytes and hashes them.
fn verify(authority: &Authority, license: &Issued, deploy: &[Record], effort: Effort) -> Row {
    const NAME: &str = "`audit verify`, 100,000 entries / `sha256sum`";
    if let Some(why) = program::missing(&["sha256sum"]) {
        return Row::skipped(NAME, &why);
    }
    let project = with_trail(authority, license, deploy, VERIFIED);
    let mut ours = project.command(&project.path(""), &["audit", "verify", "production"]);
    let mut theirs = program::bare("sha256sum");
    theirs.arg(project.trail_file("production"));
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..effort.pick(21, 5) {
        times[0].push(program::timed(&mut ours, 0));
        times[1].push(program::timed(&mut theirs, 0));
    }
    let [ours, theirs] = times.map(|times| median(&times));
    Row::slower_at_most(NAME, ours, theirs, 6.0)
}

/// The forms of an export, with what is asked for: everything, or a sixth of the entries.
const EXPORTS: [(&str, &[&str]); 3] = [
    ("`audit export`", &[]),
    ("`audit export --kind gate`", &["--kind", "gate"]),
    ("`audit export --format csv`", &["--format", "csv"]),
];

fn exporting(project: &Project, words: &[&str]) -> Command {
    project.command(&project.path(""), &[&["audit", "export", "production"], words].concat())
}

/// A project with an export of its trail, in the file `export`.
fn exported(project: &Project, words: &[&str]) -> Command {
    project.run(&[&["audit", "export", "production", "--output", "export"], words].concat()).exits(0);
    project.command(&project.path(""), &["audit", "verify", "--file", "export"])
}

/// An export of a long trail, beside `sha256sum` of the trail; and its verification, beside `sha256sum` of the export.
fn export(authority: &Authority, license: &Issued, deploy: &[Record], effort: Effort) -> Vec<Row> {
    if let Some(why) = program::missing(&["sha256sum"]) {
        return vec![Row::skipped("`audit export`, 100,000 entries / `sha256sum`", &why)];
    }
    let project = with_trail(authority, license, deploy, VERIFIED);
    let sum = |file: &Path| {
        let mut sum = program::bare("sha256sum");
        sum.arg(file);
        sum
    };
    let mut rows = Vec::new();
    for (name, words) in EXPORTS {
        let (verifying, trail) = (exported(&project, words), project.trail_file("production"));
        let mut commands = [exporting(&project, words), sum(&trail), verifying, sum(&project.path("export"))];
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..effort.pick(21, 5) {
            for (command, times) in commands.iter_mut().zip(&mut times) {
                times.push(program::timed(command, 0));
            }
        }
        let [export, trail, verify, file] = times.map(|times| median(&times));
        let export_name = format!("{name}, 100,000 entries / `sha256sum` of the trail");
        rows.push(Row::told(&export_name, export, trail));
        rows.push(Row::told("`audit verify --file` of that / `sha256sum` of the export", verify, file));
    }
    rows
}

/// The most memory that exporting and verifying exports needs at both ends.
fn memory_of_exports(authority: &Authority, license: &Issued, deploy: &[Record]) -> Vec<Row> {
    let peaks = [LENGTHS[0], LENGTHS[3]].map(|length| {
        let project = with_trail(authority, license, deploy, length);
        EXPORTS.map(|(_, words)| {
            let exporting = program::peak_kib(&mut exporting(&project, words));
            [exporting, program::peak_kib(&mut exported(&project, words))]
        })
    });
    let [few, many] = peaks;
    let names = EXPORTS.map(|(name, _)| [name, "`audit verify --file` of that"]);
    let rows = names.iter().flatten().zip(many.iter().flatten()).zip(few.iter().flatten());
    rows.map(|((name, many), few)| {
        let name = format!("peak memory of {name}, trail of 100,000 entries / of 100");
        Row::amounts(&name, *many, *few, "KiB")
    })
    .collect()
}

/// The run that appends least and does nothing else that takes time: a deploy that the gate refuses, with three entries.
fn append(authority: &Authority, license: &Issued, deploy: &[Record], effort: Effort) -> Vec<Row> {
    let projects = LENGTHS.map(|length| refused(with_trail(authority, license, deploy, length)));
    let mut times: [Vec<Duration>; LENGTHS.len()] = Default::default();
    for _ in 0..effort.pick(101, 21) {
        for (project, times) in projects.iter().zip(&mut times) {
            times.push(appending(project));
        }
    }
    let [first, longer @ .., far, uncovered] = times.map(|times| median(&times));
    let name = |at: usize| format!("a refused `deploy`, trail of {} entries / of 100", thousands(LENGTHS[at]));
    let mut rows: Vec<Row> = (1..).zip(longer).map(|(at, time)| Row::told(&name(at), time, first)).collect();
    let uncovered_name = format!("{}, {MOST_UNCOVERED} of them after the newest checkpoint", name(4));
    rows.push(Row::slower_at_most(&name(3), far, first, SAME));
    rows.push(Row::told(&uncovered_name, uncovered, first));
    rows
}

/// How long one run takes. Its entries are taken out again, so that every run meets the same trail.
fn appending(project: &Project) -> Duration {
    let trail = OpenOptions::new().write(true).open(project.trail_file("production")).unwrap();
    let length = trail.metadata().unwrap().len();
    let took = program::timed(&mut project.command(&project.path(""), &["deploy"]), REFUSED);
    assert!(trail.metadata().unwrap().len() > length, "the run appended nothing");
    trail.set_len(length).unwrap();
    took
}

/// The most memory that the two commands need at both ends. The authority answers late: the run that waits for it has
/// read the trail, and can be looked at.
fn memory(license: &Issued, deploy: &[Record]) -> [Row; 2] {
    const ARGUMENTS: [&[&str]; 2] = [&["deploy"], &["audit", "verify", "production"]];
    const NAMES: [&str; 2] = ["that `deploy`", "`audit verify`"];
    let late = Authority::start(BINARY, &["--latency", "50ms"]);
    let peaks = [LENGTHS[0], LENGTHS[3]].map(|length| {
        let project = refused(with_trail(&late, license, deploy, length));
        ARGUMENTS.map(|arguments| program::peak_kib(&mut project.command(&project.path(""), arguments)))
    });
    let [few, many] = peaks;
    [0, 1].map(|command| {
        let name = format!("peak memory of {}, trail of 100,000 entries / of 100", NAMES[command]);
        Row::amounts(&name, many[command], few[command], "KiB")
    })
}

/// A project whose trail has so many entries.
fn with_trail(authority: &Authority, license: &Issued, deploy: &[Record], entries: u64) -> Project {
    let project = Project::new(BINARY).authority(authority).var("LICENSE_KEY", &license.key);
    let file = project.trail_file("production");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text(deploy, entries, Checkpoints::AsWritten)).unwrap();
    project.run(&["audit", "verify", "production"]).exits(0).says(&format!("{entries} entries in order"));
    project
}

fn refused(project: Project) -> Project {
    project.line("domain", FOREIGN)
}

/// What one deploy writes, as the product wrote it.
fn entries_of_a_deploy(authority: &Authority, license: &Issued) -> Vec<Record> {
    let project = Project::new(BINARY).authority(authority).var("LICENSE_KEY", &license.key);
    project.deploy().exits(0);
    records_of(&project)
}

/// The entries of production's trail.
pub(crate) fn records_of(project: &Project) -> Vec<Record> {
    let mut head = Head::EMPTY;
    let text = project.trail_text("production");
    let records = text.lines().map(|line| {
        let (entry, next) = read_line(&head, line.as_bytes()).unwrap();
        head = next;
        entry.body
    });
    records.collect()
}

/// Whether a trail has checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoints {
    /// Wherever the product writes one.
    AsWritten,
    /// None: all of it is folded.
    Never,
}

/// A trail of the same records, one turn after another.
pub(crate) fn text(records: &[Record], entries: u64, checkpoints: Checkpoints) -> String {
    let (mut text, mut head, mut folded, mut uncovered) = (String::new(), Head::EMPTY, Folded::default(), 0);
    let mut repeated = records.iter().cycle();
    while head.seq < entries {
        let record = if uncovered < CHECKPOINT_ENTRIES || checkpoints == Checkpoints::Never {
            uncovered += 1;
            repeated.next().unwrap().clone()
        } else {
            uncovered = 0;
            Record { event: folded.checkpoint().unwrap(), ..records[0].clone() }
        };
        folded = folded.apply(&record).unwrap();
        let (line, next) = next_line(&head, &record).unwrap();
        text.push_str(&line);
        text.push('\n');
        head = next;
    }
    text
}

/// `10,000`.
fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}
