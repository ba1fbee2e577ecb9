//! Exports: what is in them, what somebody may do to them, and what is found of that.

#![expect(clippy::disallowed_methods, reason = "a test prepares its files")]

use std::fs;

use clap::Parser as _;
use license_core::trail::{Actor, Event, Record};
use proptest::prelude::*;
use serde_json::Map;
use tempfile::TempDir;

use super::{
    export::{Exported, Moment, NotAMoment, Occasion},
    exported::ExportReport,
    form::{COLUMNS, End, Form, Part, Seal},
    tests::*,
    *,
};
use crate::{
    context::Platform,
    log::{Log, Position},
};

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: AuditCommand,
}

fn args(words: &[&str]) -> ExportArgs {
    match Cli::try_parse_from(["audit", "export"].iter().chain(words)).unwrap().command {
        AuditCommand::Export(args) => args,
        AuditCommand::Show(_) | AuditCommand::Verify(_) => unreachable!(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn try_export(directory: &TempDir, words: &[&str], reader: Platform) -> (Vec<u8>, Result<Exported, AuditError>) {
    let actor = Actor { user: Some("alice".to_owned()), host: Some("laptop".to_owned()), ..Actor::default() };
    let occasion = Occasion { at: at("2026-04-01T08:00:00Z"), actor, directory: directory.path().to_owned(), reader };
    let mut out = Vec::new();
    let exported = export::export(&trails(directory), &args(words), occasion, &mut out);
    (out, exported)
}

fn exported(directory: &TempDir, words: &[&str]) -> Vec<u8> {
    let (out, exported) = try_export(directory, words, Platform::Other);
    exported.unwrap();
    out
}

fn verified(export: &[u8], expected: &[ExpectedHead]) -> ExportReport {
    exported::read("export".to_owned(), export, expected).unwrap()
}

fn lines(export: &[u8]) -> Vec<String> {
    String::from_utf8(export.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

/// The export of these lines with the end that they should have, as whoever forges one would write it.
fn sealed_again(mut lines: Vec<String>) -> Vec<u8> {
    let Ok(Part::End(mut end)) = serde_json::from_str(&lines.pop().unwrap()) else { panic!("no end") };
    let text = lines.join("\n") + "\n";
    let mut seal = Seal::default();
    seal.take(text.as_bytes());
    end.entries = lines.iter().filter(|line| !line.starts_with("{\"export\"")).count() as u64;
    end.trails = lines.iter().filter(|line| line.starts_with("{\"export\":\"trail\"")).count() as u64;
    let end = Part::End(End { sha256: seal.hash(), ..end });
    [text.as_bytes(), &end.line(), b"\n"].concat()
}

/// Eight entries of production, an hour apart, of three kinds; and two of staging.
fn two_trails() -> (TempDir, Vec<Head>) {
    let directory = tempfile::tempdir().unwrap();
    let entry = |environment: &str, hour: i64, event: Event| Record {
        at: at("2026-03-01T00:00:00Z") + jiff::SignedDuration::from_hours(hour),
        ..record(environment, Actor { user: Some("bob".to_owned()), ..Actor::default() }, event)
    };
    let failed = || Event::GateFailed { code: "quota".to_owned(), message: "spent".to_owned(), key_fingerprint: None };
    let events = (0..8).map(|hour| match hour % 4 {
        3 => entry("production", hour, failed()),
        _ => entry("production", hour, ended("production", 7).event),
    });
    let heads = append_to(&directory, "production", events);
    append_to(&directory, "staging", (0..2).map(|hour| entry("staging", hour, failed())));
    (directory, heads)
}

fn head(seq: usize, heads: &[Head]) -> ExpectedHead {
    format!("{}:{}", seq, heads[seq - 1].hash).parse().unwrap()
}

#[test]
fn an_export_holds_the_lines_of_the_trails_byte_for_byte_and_says_where_they_come_from() {
    let (directory, heads) = two_trails();
    let export = exported(&directory, &[]);
    let file = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let is_own = |line: &&String| line.starts_with("{\"export\":");
    let own: Vec<Value> =
        lines(&export).iter().filter(is_own).map(|line| serde_json::from_str(line).unwrap()).collect();
    let taken: String = lines(&export).iter().filter(|line| !is_own(line)).map(|line| line.clone() + "\n").collect();
    assert_eq!(taken, file("production.jsonl") + &file("staging.jsonl"));
    assert_eq!(
        own.iter().map(|part| part["export"].as_str().unwrap()).collect::<Vec<_>>(),
        ["begin", "trail", "trail_end", "trail", "trail_end", "end"]
    );
    let nothing: Option<u8> = None;
    assert_eq!(
        own[0],
        json!({
            "export": "begin", "schema": "license-hooks/audit-export/1", "tool": form::tool(), "at": "2026-04-01T08:00:00Z",
            "actor": { "user": "alice", "host": "laptop" }, "format": "jsonl",
            "filters": { "environments": nothing, "since": nothing, "until": nothing, "kinds": nothing },
        })
    );
    let mut whole = Seal::default();
    whole.take(file("production.jsonl").as_bytes());
    assert_eq!(own[1]["place"], "production.jsonl");
    assert_eq!(
        own[2],
        json!({
            "export": "trail_end", "environment": "production", "trail": heads[7], "entries": 8, "first": 1, "last": 8,
            "sha256": whole.hash(), "torn_bytes": nothing,
        })
    );
    assert_eq!(own[5]["entries"], 10);
    let report = verified(&export, &[]);
    assert_eq!(report.exit(), Exit::Done);
    let human = report.human();
    assert!(human.starts_with("export: in order, exported at 2026-04-01T08:00:00Z by alice@laptop, xtask "), "{human}");
    assert!(human.contains(&format!("production: 8 entries in order, head 8:{}\n", heads[7].hash)), "{human}");
    assert!(human.contains("staging: 2 entries in order"), "{human}");
    // `--all` is the same, spelled out; only what was asked for is written down in another way.
    assert_eq!(exported(&directory, &["--all"]), export);
}

#[test]
fn what_is_asked_for_is_exported_and_what_was_left_out_is_declared() {
    type Row<'a> = (&'a [&'a str], &'a [u64], &'a [(u64, u64)], Option<u64>);
    let (directory, heads) = two_trails();
    let rows: [Row<'_>; 12] = [
        (&[], &[1, 2, 3, 4, 5, 6, 7, 8], &[], Some(1)),
        (&["--since", "2026-03-01T02:00:00Z"], &[3, 4, 5, 6, 7, 8], &[(1, 2)], Some(3)),
        (&["--since", "32d"], &[1, 2, 3, 4, 5, 6, 7, 8], &[], Some(1)),
        (&["--since", "31d"], &[], &[(1, 8)], None),
        (&["--until", "2026-03-01T02:00:00Z"], &[1, 2], &[(3, 8)], None),
        (&["--since", "2026-03-01", "--until", "2026-03-02"], &[1, 2, 3, 4, 5, 6, 7, 8], &[], Some(1)),
        (
            &["--since", "2026-03-01T01:30:00Z", "--until", "2026-03-01T05:00:00+01:00"],
            &[3, 4],
            &[(1, 2), (5, 8)],
            None,
        ),
        (&["--kind", "gate_failed"], &[4, 8], &[(1, 3), (5, 7)], Some(8)),
        (&["--kind", "deploy_ended"], &[1, 2, 3, 5, 6, 7], &[(4, 4), (8, 8)], None),
        (&["--kind", "gate_failed", "deploy_ended"], &[1, 2, 3, 4, 5, 6, 7, 8], &[], Some(1)),
        (&["--kind", "gate_failed", "--kind", "gate", "--since", "2026-03-01T05:00:00Z"], &[8], &[(1, 7)], Some(8)),
        (&["--kind", "other"], &[], &[(1, 8)], None),
    ];
    for (words, seqs, gaps, proved_from) in rows {
        for form in ["jsonl", "csv"] {
            let words = [&["production", "--format", form], words].concat();
            let export = exported(&directory, &words);
            if form == "jsonl" {
                let values: Vec<Value> =
                    lines(&export).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
                let found: Vec<u64> = values.iter().filter_map(|value| value["seq"].as_u64()).collect();
                assert_eq!(found, seqs, "{words:?}");
                let declared: Vec<(u64, u64)> = values
                    .iter()
                    .filter(|value| value["export"] == "gap")
                    .map(|gap| (gap["first"].as_u64().unwrap(), gap["last"].as_u64().unwrap()))
                    .collect();
                assert_eq!(declared, gaps, "{words:?}");
            }
            let report = verified(&export, &[]);
            assert_eq!(report.exit(), Exit::Done, "{words:?}: {}", report.human());
            let trail = &report.json()["trails"][0];
            assert_eq!(trail["entries"], seqs.len(), "{words:?}");
            assert_eq!(trail["proved_from"].as_u64(), proved_from, "{words:?}");
            assert_eq!(trail["head"], json!(heads[7]), "{words:?}");
        }
    }
}

#[test]
fn a_head_that_was_kept_proves_what_leads_to_it_and_nothing_else() {
    let (directory, heads) = two_trails();
    let export = exported(&directory, &["production", "--kind", "deploy_ended"]);
    let elsewhere = |environment: &str| format!("{}@{environment}", heads[1].hash).parse().unwrap();
    let rows: [(ExpectedHead, Exit, &str); 7] = [
        (head(7, &heads), Exit::Done, "the expected head is entry 7, and proves entries 5 to 7"),
        (head(5, &heads), Exit::Done, "the expected head is entry 5, and proves it"),
        (head(2, &heads), Exit::Done, "the expected head is entry 2, and proves entries 1 to 2"),
        (head(4, &heads), Exit::Unproven, "entry 4, which was left out: it proves nothing"),
        (head(8, &heads), Exit::Unproven, "entry 8, which was left out: it proves nothing"),
        (elsewhere("production"), Exit::Done, "the expected head is entry 2"),
        (elsewhere("staging"), Exit::Unproven, "is not in the export"),
    ];
    for (expected, exit, says) in rows {
        let report = verified(&export, std::slice::from_ref(&expected));
        assert_eq!(report.exit(), exit, "{expected}");
        assert!(report.human().contains(says), "{expected}: {}", report.human());
    }
    let human = verified(&export, &[]).human();
    assert!(human.contains("production: 6 of 8 entries in order; head 8:"), "{human}");
    assert!(human.contains("was left out, and proves none of them"), "{human}");
    assert!(human.contains("they are in 2 runs"), "{human}");
    // All of several heads have to be there.
    assert_eq!(verified(&export, &[head(7, &heads), head(3, &heads)]).exit(), Exit::Done);
    assert_eq!(verified(&export, &[head(7, &heads), head(4, &heads)]).exit(), Exit::Unproven);
    // The head of a trail whose newest entries are there proves them.
    let newest = exported(&directory, &["production", "--since", "2026-03-01T04:00:00Z"]);
    let report = verified(&newest, &[head(8, &heads)]);
    assert!(report.human().contains("4 of 8 entries in order, head 8:"), "{}", report.human());
    assert!(report.human().contains("it proves those from entry 5 on"), "{}", report.human());
    assert!(report.human().contains("proves entries 5 to 8"), "{}", report.human());
}

/// A trail whose entries were written by clocks that disagree: the third and the fifth say an earlier hour.
fn clocks_that_disagree() -> (TempDir, Vec<Head>) {
    let directory = tempfile::tempdir().unwrap();
    let entry = |hour: i64| Record {
        at: at("2026-03-01T00:00:00Z") + jiff::SignedDuration::from_hours(hour),
        ..ended("production", 7)
    };
    let heads = append_to(&directory, "production", [0, 5, 1, 6, 2].into_iter().map(entry));
    (directory, heads)
}

#[test]
fn an_export_since_a_time_has_everything_from_its_first_entry_on_whatever_the_clocks_say() {
    let (directory, heads) = clocks_that_disagree();
    for form in ["jsonl", "csv"] {
        let export = exported(&directory, &["--format", form, "--since", "2026-03-01T03:00:00Z"]);
        let report = verified(&export, &[head(5, &heads)]);
        assert_eq!(report.exit(), Exit::Done, "{}", report.human());
        let trail = &report.json()["trails"][0];
        assert_eq!((&trail["entries"], &trail["runs"], &trail["proved_from"]), (&json!(4), &json!(1), &json!(2)));
        assert_eq!(trail["unexplained_gap"], Value::Null);
        assert!(report.human().contains("proves entries 2 to 5"), "{}", report.human());
    }
    // With another filter, what was asked for is each entry by itself.
    let words = ["--since", "2026-03-01T03:00:00Z", "--until", "2026-03-02"];
    assert_eq!(verified(&exported(&directory, &words), &[]).json()["trails"][0]["entries"], 2);
}

/// The export with an entry left out that is declared to be, and with every count and hash as it should then be.
fn with_a_gap_for(export: &[u8], seqs: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    let seq_of = |line: &String| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64();
    let mut lines = lines(export);
    let at = lines.iter().position(|line| seq_of(line) == Some(*seqs.start())).unwrap();
    lines.retain(|line| !seq_of(line).is_some_and(|seq| seqs.contains(&seq)));
    let gap = Part::Gap(form::Gap { first: *seqs.start(), last: *seqs.end() });
    lines.insert(at, String::from_utf8(gap.line()).unwrap());
    let mut seal = Seal::default();
    let left: Vec<&String> = lines.iter().filter(|line| !line.starts_with("{\"export\"")).collect();
    for line in &left {
        seal.take(format!("{line}\n").as_bytes());
    }
    let (entries, first, last) =
        (left.len() as u64, left.first().and_then(|line| seq_of(line)), left.last().and_then(|line| seq_of(line)));
    let at = lines.len() - 2;
    let Ok(Part::TrailEnd(end)) = serde_json::from_str(&lines[at]) else { panic!("no end of a trail") };
    let end = Part::TrailEnd(form::TrailEnd { entries, first, last, sha256: seal.hash(), ..end });
    lines[at] = String::from_utf8(end.line()).unwrap();
    sealed_again(lines)
}

/// Exports of before had such gaps where clocks disagreed; of now, they are the work of whoever took a line out.
#[test]
fn a_gap_that_no_filter_explains_is_told_and_no_head_behind_it_is_proof() {
    let (directory, heads) = two_trails();
    let export = exported(&directory, &["production", "--since", "2026-03-01T02:00:00Z"]);
    let forged = with_a_gap_for(&export, 5..=6);
    let report = verified(&forged, &[]);
    let told = "entries 5 to 6 were left out, and `--since` alone leaves out only the oldest";
    assert_eq!(report.exit(), Exit::Done, "{}", report.human());
    assert!(report.human().contains(told), "{}", report.human());
    assert_eq!(report.json()["trails"][0]["unexplained_gap"], json!({ "first": 5, "last": 6 }));
    assert!(report.human().contains("only entries since 2026-03-01T02:00:00Z were asked for"), "{}", report.human());
    for (seq, exit, says) in [
        (8, Exit::Unproven, "proves entries 7 to 8, and not those before them"),
        (7, Exit::Unproven, "proves it, and not those before it"),
        (6, Exit::Unproven, "which was left out"),
        (4, Exit::Done, "proves entries 3 to 4\n"),
        (3, Exit::Done, "proves it\n"),
        (2, Exit::Unproven, "which was left out"),
    ] {
        let report = verified(&forged, &[head(seq, &heads)]);
        assert_eq!(report.exit(), exit, "{seq}: {}", report.human());
        assert!(report.human().contains(says), "{seq}: {}", report.human());
    }
    let last = verified(&with_a_gap_for(&export, 8..=8), &[head(8, &heads)]);
    assert_eq!(last.exit(), Exit::Unproven);
    assert!(last.human().contains("entry 8 was left out, and `--since` alone"), "{}", last.human());
    // The filters that explain such a gap.
    for words in [
        &["production", "--kind", "deploy_ended", "gate_failed"][..],
        &["production", "--until", "2026-03-02"],
        &["production", "--since", "2026-03-01", "--until", "2026-03-02"],
    ] {
        let forged = with_a_gap_for(&exported(&directory, words), 5..=6);
        let report = verified(&forged, &[head(8, &heads)]);
        assert_eq!(report.exit(), Exit::Done, "{}", report.human());
        assert!(!report.human().contains("alone"), "{}", report.human());
    }
}

#[test]
fn no_byte_of_an_export_can_be_changed() {
    let (directory, _) = production(1);
    let failed = Event::GateFailed { code: "quota".to_owned(), message: "spent".to_owned(), key_fingerprint: None };
    append_to(&directory, "production", [record("production", Actor::default(), failed)].into_iter());
    for words in
        [&["--kind", "gate_failed"][..], &["--kind", "gate_failed", "--format", "csv"], &[], &["--format", "csv"]]
    {
        let export = exported(&directory, words);
        assert_eq!(verified(&export, &[]).exit(), Exit::Done);
        for at in 0..export.len() {
            let mut changed = export.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(verified(&changed, &[]).exit(), Exit::Trail, "{words:?}: byte {at}");
            assert_eq!(verified(&export[..at], &[]).exit(), Exit::Trail, "{words:?}: cut at {at}");
        }
        for more in [&b"\n"[..], b"x", b"{}\n", &export] {
            assert_eq!(verified(&[&export, more].concat(), &[]).exit(), Exit::Trail, "{words:?}: {more:?}");
        }
    }
}

/// What somebody may do to an export and then write its end anew. Lines: begin, trail, 1 to 3, gap 4, 5 to 7, gap 8,
/// trail end, end.
#[test]
fn what_was_changed_is_found_although_the_end_was_written_anew() {
    type Forge = fn(&mut Vec<String>);
    let rows: [(&str, Forge); 17] = [
        ("a line taken out", |lines| drop(lines.remove(3))),
        ("the first line taken out", |lines| drop(lines.remove(2))),
        ("the last line of a run taken out", |lines| drop(lines.remove(4))),
        ("a line twice", |lines| lines.insert(3, lines[3].clone())),
        ("two lines in another order", |lines| lines.swap(2, 3)),
        ("two runs in another order", |lines| lines.swap(4, 6)),
        ("a changed word", |lines| lines[3] = lines[3].replace("\"bob\"", "\"eve\"")),
        ("a changed word of another environment", |lines| lines[4] = lines[4].replace("production", "staging")),
        ("nonsense", |lines| lines.insert(3, "{}".to_owned())),
        ("a gap taken out", |lines| drop(lines.remove(5))),
        ("a gap that is larger", |lines| lines[5] = lines[5].replace("\"last\":4", "\"last\":5")),
        ("a gap of nothing", |lines| lines.insert(4, "{\"export\":\"gap\",\"first\":3,\"last\":2}".to_owned())),
        ("a gap twice", |lines| lines.insert(5, lines[5].clone())),
        ("a line taken out with a gap for it", |lines| {
            lines[4] = "{\"export\":\"gap\",\"first\":3,\"last\":3}".to_owned();
        }),
        ("another count", |lines| lines[10] = lines[10].replace("\"entries\":6", "\"entries\":7")),
        ("another head", |lines| lines[10] = lines[10].replace("\"seq\":8", "\"seq\":9")),
        ("the trail's end taken out", |lines| drop(lines.remove(10))),
    ];
    let (directory, _) = two_trails();
    let export = lines(&exported(&directory, &["production", "--kind", "deploy_ended"]));
    assert_eq!(verified(&sealed_again(export.clone()), &[]).exit(), Exit::Done);
    for (name, forge) in rows {
        let mut forged = export.clone();
        forge(&mut forged);
        assert_ne!(forged, export, "{name}");
        let report = verified(&sealed_again(forged), &[]);
        assert_eq!(report.exit(), Exit::Trail, "{name}: {}", report.human());
    }
}

#[test]
fn what_an_export_says_of_itself_must_fit_what_is_there() {
    let (directory, _) = two_trails();
    let export = lines(&exported(&directory, &["production", "--kind", "deploy_ended"]));
    for (from, to) in [
        ("audit-export/1", "audit-export/2"),
        ("[\"deploy_ended\"]", "null"),
        ("[\"production\"]", "[\"production\",\"staging\"]"),
        ("\"jsonl\"", "\"csv\""),
    ] {
        let mut forged = export.clone();
        forged[0] = forged[0].replace(from, to);
        assert_ne!(forged, export, "{from}");
        assert_eq!(verified(&sealed_again(forged), &[]).exit(), Exit::Trail, "{from}");
    }
    let mut swapped = export;
    swapped.swap(0, 1);
    assert_eq!(verified(&sealed_again(swapped), &[]).exit(), Exit::Trail);
}

/// What nothing in the file can show: the last line of a run, changed together with all that is said of it. The head
/// that was kept elsewhere shows it.
#[test]
fn a_forged_last_line_shows_against_its_head_alone() {
    let (directory, heads) = two_trails();
    let mut forged = lines(&exported(&directory, &["production"]));
    let at = forged.len() - 3;
    let (old, new) = (forged[at].clone(), forged[at].replace("\"bob\"", "\"eve\""));
    forged[at].clone_from(&new);
    let hash = |line: &str| LineHash::of(line.as_bytes()).to_string();
    let mut seal = Seal::default();
    for line in &forged[2..=at] {
        seal.take(line.as_bytes());
        seal.take(b"\n");
    }
    let mut end: Value = serde_json::from_str(&forged[at + 1]).unwrap();
    let honest = end["sha256"].as_str().unwrap().to_owned();
    end["sha256"] = json!(seal.hash());
    forged[at + 1] = forged[at + 1].replace(&hash(&old), &hash(&new)).replace(&honest, &seal.hash().to_string());
    let forged = sealed_again(forged);
    assert_eq!(verified(&forged, &[]).exit(), Exit::Done);
    let report = verified(&forged, &[head(8, &heads)]);
    assert_eq!(report.exit(), Exit::Unproven, "{}", report.human());
    assert_eq!(verified(&forged, &[head(7, &heads)]).exit(), Exit::Done);
}

#[test]
fn a_file_that_is_no_export_is_told_so() {
    let (directory, _) = two_trails();
    let trail = fs::read(directory.path().join("production.jsonl")).unwrap();
    for file in [&b""[..], b"\n", b"{}", b"{}\n", &trail, b"a,b\r\n1,2\r\n", &[0xff; 100], &vec![b'x'; 5 << 20]] {
        let report = verified(file, &[]);
        assert_eq!(report.exit(), Exit::Trail);
        assert!(report.human().contains("broken: line 1 of the file"), "{}", report.human());
        assert_eq!(report.json()["state"], "broken");
    }
    for path in ["missing", "."] {
        let error = exported::verify(directory.path(), path.as_ref(), &[]).unwrap_err();
        assert_eq!(error.exit(), Exit::Trail, "{error}");
    }
}

#[test]
fn a_checkpoint_that_lies_is_not_exported_and_found_in_an_export_that_was_made_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let of = |event| record("production", Actor::default(), event);
    let lie = Folded::default().checkpoint().unwrap();
    let issued = Event::Issued {
        license_id: "lic_1".to_owned(),
        key_fingerprint: serde_json::from_str("\"0011223344556677\"").unwrap(),
    };
    let heads = append_to(&directory, "production", [of(issued), of(lie), ended("production", 0)].into_iter());
    for words in [&[][..], &["--format", "csv"], &["--kind", "deploy_ended"], &["--since", "2040-01-01"]] {
        let (out, told) = try_export(&directory, words, Platform::Other);
        let error = told.unwrap_err();
        assert_eq!((error.exit(), verified(&out, &[]).exit()), (Exit::Trail, Exit::Trail), "{words:?}");
        assert!(error.to_string().contains("entry 2 is a checkpoint"), "{error}");
    }
    let trail = fs::read_to_string(directory.path().join("production.jsonl")).unwrap();
    let mut seal = Seal::default();
    seal.take(trail.as_bytes());
    let (honest, _) = production(1);
    let mut made = lines(&exported(&honest, &[]));
    let Ok(Part::TrailEnd(end)) = serde_json::from_str(&made[3]) else { panic!("no end of a trail") };
    let end = Part::TrailEnd(form::TrailEnd { trail: heads[2], entries: 3, last: Some(3), sha256: seal.hash(), ..end });
    let end = String::from_utf8(end.line()).unwrap();
    made.splice(2..=3, trail.lines().map(str::to_owned).chain([end]));
    let report = verified(&sealed_again(made), &[]);
    assert_eq!(report.exit(), Exit::Trail);
    assert!(report.human().contains("entry 2 is a checkpoint"), "{}", report.human());
}

#[test]
fn a_kind_of_a_newer_version_is_exported_and_asked_for_as_other() {
    for form in ["jsonl", "csv"] {
        let (directory, _) = production(2);
        append_foreign(&directory);
        let whole = verified(&exported(&directory, &["--format", form]), &[]);
        assert_eq!((whole.exit(), &whole.json()["trails"][0]["entries"]), (Exit::Done, &json!(3)));
        // Its time cannot be read: it is of every time.
        for words in [&["--kind", "other"][..], &["--since", "2040-01-01"], &["--until", "2000-01-01"]] {
            let export = exported(&directory, &[&["--format", form], words].concat());
            let report = verified(&export, &[]);
            assert_eq!(report.json()["trails"][0]["first"], 3, "{words:?}");
            assert_eq!(report.exit(), Exit::Done, "{}", report.human());
        }
    }
}

#[test]
fn a_torn_last_line_is_left_out_and_noted() {
    let (directory, _) = production(2);
    tear(&directory, "production");
    let (export, told) = try_export(&directory, &[], Platform::GithubActions);
    let notes = told.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("production: warning: line 3, the last one")), "{notes:?}");
    let report = verified(&export, &[]);
    assert_eq!((report.exit(), &report.json()["trails"][0]["torn_bytes"]), (Exit::Done, &json!(6)));
    assert!(report.human().contains("line 3, the last one"), "{}", report.human());
}

#[test]
fn a_trail_that_is_changed_is_no_export() {
    let (directory, _) = production(3);
    change(&directory, "production", "\"code\":1", "\"code\":8");
    for form in ["jsonl", "csv"] {
        let (out, told) = try_export(&directory, &["--format", form], Platform::Other);
        assert_eq!(told.unwrap_err().exit(), Exit::Trail);
        assert_eq!(verified(&out, &[]).exit(), Exit::Trail);
    }
}

#[test]
fn environments_without_entries_are_in_the_export_too() {
    let directory = tempfile::tempdir().unwrap();
    let report = verified(&exported(&directory, &[]), &[]);
    assert_eq!((report.exit(), &report.json()["trails"]), (Exit::Done, &json!([])));
    let report = verified(&exported(&directory, &["production", "production"]), &[]);
    assert_eq!(report.exit(), Exit::Done);
    assert!(report.human().contains("production: nothing was recorded"), "{}", report.human());
}

#[test]
fn a_line_that_a_runner_would_act_on_is_exported_to_a_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    let failed = Event::GateFailed { code: "x".to_owned(), message: "##[error]".to_owned(), key_fingerprint: None };
    append_to(&directory, "production", [record("production", Actor::default(), failed)].into_iter());
    for form in ["jsonl", "csv"] {
        let export = |reader| try_export(&directory, &["--format", form], reader).1;
        let refused = export(Platform::GithubActions).unwrap_err();
        assert!(matches!(refused, AuditError::RunnerCommand { what: Unprintable::Entry { seq: 1 } }), "{refused}");
        assert!(export(Platform::Other).is_ok());
    }
    // What is said of whoever exports is the export's own, and is written so that no runner acts on it.
    let (whole, _) = production(1);
    let actor = Actor { user: Some("##[error]eve".to_owned()), ..Actor::default() };
    let (at, directory, reader) = (at("2026-04-01T08:00:00Z"), PathBuf::from("/elsewhere"), Platform::GithubActions);
    let occasion = Occasion { at, actor, directory, reader };
    let mut out = Vec::new();
    export::export(&trails(&whole), &args(&[]), occasion, &mut out).unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("##["));
    let report = verified(&out, &[]);
    assert_eq!((report.exit(), &report.json()["export"]["actor"]["user"]), (Exit::Done, &json!("##[error]eve")));
}

#[test]
fn an_entry_that_could_be_taken_for_a_record_of_an_export_is_not_exported() {
    let directory = tempfile::tempdir().unwrap();
    let line = format!(r#"{{"export":"end","v":1,"seq":1,"prev":"{}","environment":"production"}}"#, "0".repeat(64));
    fs::write(directory.path().join("production.jsonl"), line + "\n").unwrap();
    let (_, told) = try_export(&directory, &[], Platform::Other);
    let error = told.unwrap_err();
    assert_eq!((error.exit(), matches!(error, AuditError::NotExportable { seq: 1, .. })), (Exit::Trail, true));
}

proptest! {
    #[test]
    fn what_is_no_export_is_broken_whatever_it_is(
        begin in 0..6_usize, middle in prop::collection::vec(any::<u8>(), 0..80), end in 0..12_usize, csv in any::<bool>(),
    ) {
        let (directory, _) = production(1);
        let whole = exported(&directory, if csv { &["--format", "csv"] } else { &[] });
        let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
        let (begin, end) = (begin.min(lines.len()), end.min(lines.len()));
        let made = [&lines[..begin].concat()[..], &middle, &lines[end..].concat()].concat();
        let exit = verified(&made, &[]).exit();
        prop_assert_eq!(exit == Exit::Done, made == whole);
    }
}

/// A reader of CSV of our own, by the letter of RFC 4180.
fn rows(csv: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8(csv.to_vec()).unwrap();
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => assert_eq!(characters.peek(), Some(&'\n')),
            ('\n', false) => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (other, _) => cell.push(other),
        }
    }
    assert!(cell.is_empty() && row.is_empty() && !quoted, "the last row is not whole");
    rows
}

fn append_body(directory: &TempDir, body: &Value) {
    let log = Log::at(directory.path().join("production.jsonl"));
    let position = log.read_after::<Map<String, Value>>(Position::START).unwrap().position;
    log.append(position, body).unwrap();
}

#[test]
fn a_row_of_csv_has_who_what_when_and_why_and_the_line_itself() {
    let directory = tempfile::tempdir().unwrap();
    append_body(
        &directory,
        &json!({
            "at": "2026-03-01T11:02:03.4Z", "environment": "production", "kind": "claim", "act": "broken", "run": "r",
            "reason": "the \"runner\" died, twice",
            "actor": { "ci": "github", "run_url": "https://ci.test/42", "commit": "0123", "host": "h", "user": "bob" },
        }),
    );
    append_to(&directory, "production", std::iter::once(ended("production", 7)));
    let export = exported(&directory, &["--format", "csv"]);
    let rows = rows(&export);
    assert_eq!(rows[0], COLUMNS);
    assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
    let kinds: Vec<&str> = rows.iter().map(|row| row[3].as_str()).collect();
    assert_eq!(kinds, ["kind", "export", "export", "claim", "deploy_ended", "export", "export"]);
    let lines = fs::read_to_string(directory.path().join("production.jsonl")).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let zeros = "0".repeat(64);
    let first = [
        "production",
        "1",
        "2026-03-01T11:02:03.4Z",
        "claim",
        "broken",
        "a person ended a claim that had run out",
        "the \"runner\" died, twice",
        "bob",
        "h",
        "github",
        "https://ci.test/42",
        "0123",
        "",
        "",
        &zeros,
        &LineHash::of(lines[0].as_bytes()).to_string(),
        lines[0],
    ];
    assert_eq!(rows[3], first);
    assert_eq!(rows[4][5], "the deploy command ended with exit code 7");
    assert_eq!((rows[4][14].as_str(), rows[4][16].as_str()), (first[15], lines[1]));
    // The records of its own are those of JSON Lines.
    let begin: Value = serde_json::from_str(&rows[1][16]).unwrap();
    assert_eq!((&begin["export"], &begin["format"]), (&json!("begin"), &json!("csv")));
    assert_eq!(verified(&export, &[]).exit(), Exit::Done);
}

#[test]
fn no_cell_of_csv_begins_as_a_formula_or_breaks_its_line() {
    let outside = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "a\r\n\"b\",c", "\u{202e}x", "=\n"];
    let directory = tempfile::tempdir().unwrap();
    for text in outside {
        append_body(
            &directory,
            &json!({
                "at": text, "environment": "production", "kind": text, "verdict": text, "forced": text, "release": text,
                "key_fingerprint": text,
                "actor": { "ci": text, "run_url": text, "commit": text, "host": text, "user": text },
            }),
        );
    }
    let export = exported(&directory, &["--format", "csv"]);
    let rows = rows(&export);
    assert_eq!(rows.len(), 1 + 4 + outside.len());
    assert_eq!(lines(&export).len(), rows.len(), "a row is one line");
    for cell in rows.iter().flatten() {
        let begin = cell.trim_start().chars().next();
        assert!(!begin.is_some_and(|begin| "=+-@＝＋－＠".contains(begin)), "{cell:?}");
        assert!(!cell.chars().any(char::is_control), "{cell:?}");
    }
    assert_eq!(rows[3][7], "'=1+1");
    assert_eq!(verified(&export, &[]).exit(), Exit::Done);
}

/// Where the list separator is `;`, a row is cut there too when a file is opened by a double click.
#[test]
fn no_cell_has_a_formula_behind_a_semicolon_and_exports_of_before_are_verified_too() {
    let outside = [";=1+1", "a; =1", "a;;+1", ";\"=1\"", "; \" -1", "x;@SUM(A1)", ";＝1", "plain; words", "a;", ";'=1"];
    let directory = tempfile::tempdir().unwrap();
    for text in outside {
        append_body(
            &directory,
            &json!({
                "at": text, "environment": "production", "kind": "gate", "verdict": text, "forced": text, "release": text,
                "actor": { "ci": text, "run_url": text, "commit": text, "host": text, "user": text },
            }),
        );
    }
    let failed = Event::GateFailed { code: "x".to_owned(), message: "spent;=1".to_owned(), key_fingerprint: None };
    let actor = Actor { user: Some("eve;=1".to_owned()), ..Actor::default() };
    append_to(&directory, "staging", [record("staging", actor, failed)].into_iter());
    let export = exported(&directory, &["--format", "csv"]);
    let lines = lines(&export);
    assert_eq!(lines.len(), 1 + 6 + outside.len() + 1);
    for row in &lines[1..] {
        // The line itself, in the last column, is as it is.
        let (cells, _) = row.split_once(",\"{\"\"").unwrap();
        for piece in cells.split(';').skip(1) {
            let begin = piece.trim_start_matches(|c: char| c.is_whitespace() || c == '"').chars().next();
            assert!(!begin.is_some_and(|begin| "=+-@＝＋－＠".contains(begin)), "{row}");
        }
    }
    let rows = rows(&export);
    assert_eq!((rows[3][7].as_str(), rows[10][7].as_str()), (";'=1+1", "plain; words"));
    assert_eq!(verified(&export, &[]).exit(), Exit::Done);
    // As it was written before: without these apostrophes.
    let before = |line: &String| match line.split_once(",\"{\"\"") {
        Some((cells, line)) if cells.contains("eve") => {
            format!("{},\"{{\"\"{line}", cells.replace(";'=1", ";=1"))
        }
        Some(_) | None => line.clone(),
    };
    let mut of_before: Vec<String> = lines.iter().map(before).collect();
    assert_ne!(of_before, lines);
    of_before.pop();
    let text: String = of_before.iter().map(|row| row.clone() + "\r\n").collect();
    for tool in [form::tool(), "xtask 9.9.9".to_owned()] {
        let text = text.replace(&form::tool(), &tool);
        let mut seal = Seal::default();
        seal.take(text.as_bytes());
        let end = Part::End(End { trails: 2, entries: outside.len() as u64 + 1, sha256: seal.hash() });
        let report = verified(&[text.as_bytes(), &form::part_row(&end)].concat(), &[]);
        assert_eq!(report.exit(), Exit::Done, "{tool}: {}", report.human());
    }
}

/// Whoever writes the row and whoever checks it read the entry in two ways, which must agree.
#[test]
fn odd_lines_have_the_same_words_when_they_are_verified() {
    let mut exported = 0;
    for more in [
        r#""kind":"gate_failed","code":"x","message":"m","actor":{}"#,
        r#""kind":"gate_failed","code":"x","message":"m","code":"y","actor":{}"#,
        r#""kind":"gate_failed","kind":"health","code":"x","message":"m""#,
        r#""actor":{},"kind":"deploy_ended","release":"r","ended":{"how":"exited","code":99999999999}"#,
        r#""actor":{},"kind":"deploy_ended","release":"r","ended":{"how":"exited","code":1.0}"#,
        r#""kind":"look","actor":{"user":7}"#,
        r#""kind":"look""#,
        r#""kind":7"#,
        r#""actor":{},"kind":"issued","license_id":"\ud83d\ude00\u0000","key_fingerprint":"0011223344556677""#,
    ] {
        let begin = format!(r#"{{"v":1,"seq":1,"prev":"{}","at":"2026-03-01T11:02:03Z""#, "0".repeat(64));
        let line = format!("{begin},\"environment\":\"production\",{more}}}\n");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("production.jsonl"), line).unwrap();
        let (out, told) = try_export(&directory, &["--format", "csv"], Platform::Other);
        match told {
            Ok(_) => {
                let report = verified(&out, &[]);
                assert_eq!(report.exit(), Exit::Done, "{more}: {}", report.human());
                exported += 1;
            }
            Err(error) => assert_eq!(error.exit(), Exit::Trail, "{more}"),
        }
    }
    assert!(exported > 5, "{exported}");
}

#[test]
fn a_cell_that_says_something_else_than_its_line_is_found() {
    let (directory, _) = two_trails();
    let export = lines(&exported(&directory, &["production", "--format", "csv"]));
    let sealed = |mut rows: Vec<String>| {
        rows.pop();
        let text: String = rows.iter().map(|row| row.clone() + "\r\n").collect();
        let mut seal = Seal::default();
        seal.take(text.as_bytes());
        let end = Part::End(End { trails: 1, entries: 8, sha256: seal.hash() });
        [text.into_bytes(), form::part_row(&end)].concat()
    };
    let here = form::tool();
    assert_eq!(verified(&sealed(export.clone()), &[]).exit(), Exit::Done);
    let changed = |from: &str, to: &str, tool: &str| {
        let mut rows = export.clone();
        rows[1] = rows[1].replace(&here, tool);
        let before = rows[4].clone();
        rows[4] = rows[4].replacen(from, to, 1);
        assert_ne!(rows[4], before);
        let report = verified(&sealed(rows), &[]);
        let is_noted = report.human().contains("`summary` was not compared");
        assert_eq!(is_noted, tool != here && report.exit() == Exit::Done);
        report.exit()
    };
    assert_eq!(changed(",bob,", ",eve,", &here), Exit::Trail);
    assert_eq!(changed(",bob,", ",\"bob\",", &here), Exit::Trail);
    assert_eq!(changed(",exited 7,", ",exited 0,", &here), Exit::Trail);
    assert_eq!(changed("exit code 7", "exit code 0", &here), Exit::Trail);
    // Another version may have other words; what is no words is compared all the same.
    assert_eq!(changed("the deploy command ended", "it came to its end", "xtask 9.9.9"), Exit::Done);
    assert_eq!(changed(",bob,", ",eve,", "xtask 9.9.9"), Exit::Trail);
}

#[test]
fn a_moment_is_a_time_a_date_or_an_age() {
    for (text, moment) in [
        ("2026-03-01T11:02:03Z", Ok(Moment::At(at("2026-03-01T11:02:03Z")))),
        ("2026-03-01T11:02:03.5+02:00", Ok(Moment::At(at("2026-03-01T09:02:03.5Z")))),
        ("2026-03-01", Ok(Moment::At(at("2026-03-01T00:00:00Z")))),
        ("2024-02-29", Ok(Moment::At(at("2024-02-29T00:00:00Z")))),
        ("30d", Ok(Moment::Ago(std::time::Duration::from_secs(30 * 86400)))),
        ("12h", Ok(Moment::Ago(std::time::Duration::from_secs(12 * 3600)))),
        ("", Err(NotAMoment)),
        ("yesterday", Err(NotAMoment)),
        ("2026-02-29", Err(NotAMoment)),
        ("2026-03-01T11:02:03", Err(NotAMoment)),
        ("20260301", Err(NotAMoment)),
        ("-1d", Err(NotAMoment)),
        ("30", Err(NotAMoment)),
    ] {
        assert_eq!(text.parse::<Moment>(), moment, "{text}");
    }
}

#[test]
fn a_time_that_cannot_be_and_a_kind_that_is_none_are_refused() {
    let (directory, _) = production(1);
    for words in [["--since", "1d", "--until", "2d"], ["--since", "2026-03-01", "--until", "2026-03-01"]] {
        let (out, told) = try_export(&directory, &words, Platform::Other);
        assert_eq!((told.unwrap_err().exit(), out.is_empty()), (Exit::Usage, true));
    }
    // An age before all time is the beginning of it.
    assert_eq!(verified(&exported(&directory, &["--since", "99999999d"]), &[]).json()["trails"][0]["entries"], 1);
    let error = Cli::try_parse_from(["audit", "export", "--kind", "deploys"]).err().unwrap().to_string();
    assert!(error.contains("deploy_started") && error.contains("rollback_ended") && error.contains("other"), "{error}");
    assert!(Cli::try_parse_from(["audit", "export", "--all", "production"]).is_err());
    assert!(Cli::try_parse_from(["audit", "verify", "production", "--file", "x"]).is_err());
}

#[test]
fn an_export_says_which_form_it_has() {
    assert_eq!(args(&[]).format, Form::Jsonl);
    assert_eq!(args(&["--format", "csv"]).format, Form::Csv);
}

#[test]
fn the_page_has_every_column_every_kind_and_every_record() {
    let page = include_str!("../../../../docs/audit.md");
    let directory = tempfile::tempdir().unwrap();
    append_to(&directory, "production", std::iter::once(ended("production", 0)));
    let parts = lines(&exported(&directory, &["--kind", "gate"]));
    let parts: Vec<Map<String, Value>> = parts.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parts.len(), 5, "a record of each");
    let records = parts.iter().flat_map(|part| part.keys().map(String::as_str).chain(part["export"].as_str()));
    let filters = parts[0]["filters"].as_object().unwrap().keys().map(String::as_str);
    let words = records.filter(|word| *word != "export").chain(filters).chain(COLUMNS);
    for word in words.chain(license_core::trail::KINDS).chain(["other"]) {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}
