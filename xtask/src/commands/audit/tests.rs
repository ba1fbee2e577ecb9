//! Trails that are whole, changed, cut short, or of somebody else.

#![expect(clippy::disallowed_methods, reason = "a test prepares its files")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use clap::Parser as _;
use license_core::{
    chain,
    trail::{Actor, Ended, Event, HealthRecord, Record},
};
use miette::Diagnostic as _;
use snapbox::{assert_data_eq, str};
use tempfile::TempDir;

use super::*;
use crate::{
    log::{Log, Position},
    trail::file::FileTrail,
};

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: AuditCommand,
}

fn show_args(words: &[&str]) -> ShowArgs {
    match Cli::try_parse_from(["audit", "show"].iter().chain(words)).unwrap().command {
        AuditCommand::Show(args) => args,
        AuditCommand::Verify(_) | AuditCommand::Export(_) => unreachable!(),
    }
}

fn verify_args(words: &[&str]) -> VerifyArgs {
    match Cli::try_parse_from(["audit", "verify"].iter().chain(words)).unwrap().command {
        AuditCommand::Verify(args) => args,
        AuditCommand::Show(_) | AuditCommand::Export(_) => unreachable!(),
    }
}

pub(super) fn record(environment: &str, actor: Actor, event: Event) -> Record {
    Record { at: "2026-03-01T11:02:03Z".parse().unwrap(), actor, environment: environment.to_owned(), event }
}

pub(super) fn ended(environment: &str, code: i32) -> Record {
    let release = "r1".to_owned();
    record(environment, Actor::default(), Event::DeployEnded { release, ended: Ended::Exited { code } })
}

/// A directory with the trail of `production`, and the heads after each of its entries.
pub(super) fn production(count: i32) -> (TempDir, Vec<Head>) {
    let directory = tempfile::tempdir().unwrap();
    let heads = append_to(&directory, "production", (0..count).map(|code| ended("production", code)));
    (directory, heads)
}

pub(super) fn trails(directory: &TempDir) -> Trails {
    Trails::Files { directory: directory.path().to_owned() }
}

pub(super) fn append_to(directory: &TempDir, environment: &str, records: impl Iterator<Item = Record>) -> Vec<Head> {
    let trail = FileTrail::new(directory.path(), environment);
    let mut position = trail.read().unwrap().position;
    let append = |record| {
        position = trail.append(position, &record).unwrap();
        position.head
    };
    records.map(append).collect()
}

pub(super) fn tear(directory: &TempDir, environment: &str) {
    let path = directory.path().join(format!("{environment}.jsonl"));
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"v\":1").unwrap();
}

/// Changes a byte of the trail without changing its length.
pub(super) fn change(directory: &TempDir, environment: &str, from: &str, to: &str) {
    let path = directory.path().join(format!("{environment}.jsonl"));
    let text = String::from_utf8(crate::files::read_limited(&path, 1 << 20).unwrap()).unwrap();
    assert!(text.contains(from) && from.len() == to.len());
    File::create(path).unwrap().write_all(text.replacen(from, to, 1).as_bytes()).unwrap();
}

#[test]
fn a_trail_is_shown_with_a_line_for_each_entry() {
    let directory = tempfile::tempdir().unwrap();
    let alice = || Actor { user: Some("alice".to_owned()), host: Some("build-3".to_owned()), ..Actor::default() };
    let ci = || Actor {
        ci: Some("github".to_owned()),
        user: Some("runner".to_owned()),
        commit: Some("0123456789abcdef0123".to_owned()),
        run_url: Some("https://ci.test/runs/42".to_owned()),
        ..Actor::default()
    };
    let key_fingerprint = || serde_json::from_str("\"0011223344556677\"").unwrap();
    let release = || "r1".to_owned();
    let failed = Event::GateFailed { code: "quota".to_owned(), message: "spent".to_owned(), key_fingerprint: None };
    let health = Event::Health { release: release(), health: HealthRecord::NotProved, differences: Vec::new() };
    let events = [
        (ci(), failed),
        (alice(), Event::DeployStarted { release: release(), key_fingerprint: key_fingerprint() }),
        (alice(), Event::DeployEnded { release: release(), ended: Ended::Exited { code: 7 } }),
        (Actor::default(), Event::DeployEnded { release: release(), ended: Ended::TimedOut { after_secs: 60 } }),
        (alice(), health),
    ];
    append_to(&directory, "production", events.into_iter().map(|(actor, event)| record("production", actor, event)));
    let report = show(&trails(&directory), &show_args(&[])).unwrap();
    assert_data_eq!(
        report.human(),
        str![[r"
1  2026-03-01T11:02:03Z  gate_failed     quota         github         0123456789ab  -                 [..]  https://ci.test/runs/42  -
2  2026-03-01T11:02:03Z  deploy_started  -             alice@build-3  -             0011223344556677  [..]  -                        -
3  2026-03-01T11:02:03Z  deploy_ended    exited 7      alice@build-3  -             -                 [..]  -                        -
4  2026-03-01T11:02:03Z  deploy_ended    timed_out 60  -              -             -                 [..]  -                        -
5  2026-03-01T11:02:03Z  health          not_proved    alice@build-3  -             -                 [..]  -                        -
trail: production #5 [..]

"]]
    );
}

#[test]
fn times_are_shown_to_the_second_and_reasons_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path().join("production.jsonl"));
    let mut position = Position::START;
    for (at, more) in [
        ("2026-03-01T11:02:03.4Z", json!({ "kind": "gate", "verdict": "go", "forced": "the authority is down" })),
        ("2026-03-01T13:02:03.456+02:00", json!({ "kind": "claim", "act": "broken", "reason": "the runner died" })),
    ] {
        let mut body = json!({ "at": at, "environment": "production" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        position = log.append(position, &body).unwrap();
    }
    assert_data_eq!(
        show(&trails(&directory), &show_args(&[])).unwrap().human(),
        str![[r"
1  2026-03-01T11:02:03Z  gate   go (forced)  -  -  -  [..]  -  the authority is down
2  2026-03-01T11:02:03Z  claim  broken       -  -  -  [..]  -  the runner died
trail: production #2 [..]

"]]
    );
}

#[test]
fn several_heads_are_expected_at_once_of_one_trail_and_of_several() {
    let (directory, heads) = production(3);
    let staging = append_to(&directory, "staging", std::iter::once(ended("staging", 0)));
    let words = |last: &str| {
        let (one, two) = (format!("1:{}@production", heads[0].hash), format!("{}@production", heads[2].hash));
        [one, two, last.to_owned()].map(|head| ["--expect-head".to_owned(), head]).concat()
    };
    for (last, exit) in
        [(format!("{}@staging", staging[0].hash), Exit::Done), (format!("{}@staging", heads[0].hash), Exit::Unproven)]
    {
        let words = words(&last);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let report = verify(&trails(&directory), &verify_args(&words)).unwrap();
        assert_eq!(report.exit(), exit, "{}", report.human());
        assert_eq!(report.json()["trails"][0]["expected"].as_array().unwrap().len(), 2);
        assert_eq!(report.human().matches("the expected head").count(), 3, "{}", report.human());
    }
}

#[test]
fn the_last_entries_alone_are_shown() {
    let (directory, heads) = production(5);
    let report = show(&trails(&directory), &show_args(&["production", "--last", "2"])).unwrap();
    assert_eq!(report.entries.iter().map(|shown| shown.head).collect::<Vec<_>>(), heads[3..]);
    let json = report.json();
    assert_eq!(json["schema"], "license-hooks/audit-show/1");
    assert_eq!(json["environment"], "production");
    assert_eq!(json["entries"].as_array().unwrap().len(), 2);
    assert_eq!(json["entries"][1]["ended"]["code"], 4);
    assert_eq!(json["entries"][1]["prev"], heads[3].hash.to_string());
    assert_eq!(json["head"], json!({ "seq": 5, "head": heads[4].hash.to_string() }));
}

#[test]
fn a_trail_without_entries_is_shown_as_empty() {
    let directory = tempfile::tempdir().unwrap();
    for words in [&[][..], &["production"]] {
        let report = show(&Trails::Files { directory: directory.path().join("trail") }, &show_args(words)).unwrap();
        assert_eq!(report.human(), "nothing is recorded yet\n");
        assert_eq!(report.json()["entries"], json!([]));
    }
}

#[test]
fn one_of_several_trails_must_be_named() {
    let (directory, _) = production(1);
    append_to(&directory, "staging", std::iter::once(ended("staging", 0)));
    let error = show(&trails(&directory), &show_args(&[])).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(error.help().unwrap().to_string(), "name one; these have a trail: production, staging");
    assert!(show(&trails(&directory), &show_args(&["staging"])).is_ok());
}

/// A kind, fields and text that this version did not write.
pub(super) fn append_foreign(directory: &TempDir) {
    let body = json!({
        "environment": "production", "kind": "rotated\u{1b}[2J", "at": 7, "verdict": ["odd"],
        "actor": { "user": "al\nice", "host": "a".repeat(400) },
    });
    let log = Log::at(directory.path().join("production.jsonl"));
    let position = log.read_after::<Body>(Position::START).unwrap().position;
    log.append(position, &body).unwrap();
}

#[test]
fn entries_of_unknown_kinds_are_shown_and_verified() {
    let (directory, _) = production(1);
    append_foreign(&directory);
    let shown = show(&trails(&directory), &show_args(&[])).unwrap().human();
    assert_eq!(shown.lines().count(), 3);
    assert!(shown.contains("2  7                     rotated"), "{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    let report = verify(&trails(&directory), &verify_args(&[])).unwrap();
    assert_eq!((report.exit(), report.trails[0].head.seq), (Exit::Done, 2));
}

#[test]
fn every_trail_is_verified_and_its_head_shown() {
    let (directory, heads) = production(1);
    let staging = append_to(&directory, "staging", (0..2).map(|code| ended("staging", code)));
    let report = verify(&trails(&directory), &verify_args(&[])).unwrap();
    let expected = format!(
        "production: 1 entry in order, head 1:{}\nstaging: 2 entries in order, head 2:{}\n",
        heads[0].hash, staging[1].hash
    );
    assert_eq!((report.human(), report.exit()), (expected, Exit::Done));
    let one = verify(&trails(&directory), &verify_args(&["staging"])).unwrap();
    assert_eq!(one.trails.len(), 1);
}

#[test]
fn a_changed_entry_breaks_its_trail_and_no_other() {
    let (directory, _) = production(4);
    append_to(&directory, "staging", std::iter::once(ended("staging", 0)));
    change(&directory, "production", "\"code\":1", "\"code\":0");
    let report = verify(&trails(&directory), &verify_args(&[])).unwrap();
    assert_eq!(report.exit(), Exit::Trail);
    let human = report.human();
    assert!(human.contains("production: broken after 2 entries: "), "{human}");
    assert!(human.contains("line 3 does not follow"), "{human}");
    assert!(human.contains("staging: 1 entry in order"), "{human}");
    assert_eq!(report.json()["exit"], json!({ "code": 26, "name": "trail" }));
    assert_eq!(report.json()["trails"][0]["state"], "broken");
    assert_eq!(show(&trails(&directory), &show_args(&["production"])).unwrap_err().exit(), Exit::Trail);
}

#[test]
fn a_torn_last_line_is_a_warning() {
    let (directory, heads) = production(2);
    tear(&directory, "production");
    let report = verify(&trails(&directory), &verify_args(&["--expect-head", &heads[1].hash.to_string()])).unwrap();
    assert_eq!(report.exit(), Exit::Done);
    let human = report.human();
    assert!(
        human.contains("production: warning: line 3, the last one, was not written to its end (6 bytes)"),
        "{human}"
    );
    assert_eq!(report.json()["trails"][0]["torn_bytes"], 6);
    assert!(show(&trails(&directory), &show_args(&[])).unwrap().human().contains("warning: line 3, the last one"));
}

#[test]
fn the_trail_of_another_environment_is_not_accepted() {
    let (directory, _) = production(2);
    std::fs::rename(directory.path().join("production.jsonl"), directory.path().join("staging.jsonl")).unwrap();
    let report = verify(&trails(&directory), &verify_args(&["staging"])).unwrap();
    assert_eq!(report.exit(), Exit::Trail);
    assert!(report.human().contains("entry 1 is about `production`"), "{}", report.human());
}

#[test]
fn an_expected_head_is_the_head_or_an_earlier_one_or_nowhere() {
    let (directory, heads) = production(3);
    let other = "7".repeat(64);
    let zeros = "0".repeat(64);
    let (first, last) = (heads[0].hash, heads[2].hash);
    for (expected, exit, says) in [
        (last.to_string(), Exit::Done, "the expected head is the head"),
        (format!("3:{last}"), Exit::Done, "the expected head is the head"),
        (format!("{first}@production"), Exit::Done, "the expected head is entry 1 of 3"),
        (format!("1:{first}"), Exit::Done, "the expected head is entry 1 of 3"),
        (format!("2:{first}"), Exit::Unproven, "is not in the trail"),
        (other, Exit::Unproven, "is not in the trail"),
        (zeros, Exit::Unproven, "is not in the trail"),
    ] {
        let report = verify(&trails(&directory), &verify_args(&["--expect-head", &expected])).unwrap();
        assert_eq!(report.exit(), exit, "{expected}");
        assert!(report.human().contains(says), "{expected}: {}", report.human());
    }
}

#[test]
fn a_change_of_the_last_entry_shows_against_its_head_alone() {
    let (directory, heads) = production(3);
    change(&directory, "production", "\"code\":2", "\"code\":0");
    assert_eq!(verify(&trails(&directory), &verify_args(&[])).unwrap().exit(), Exit::Done);
    let expected = heads[2].hash.to_string();
    let report = verify(&trails(&directory), &verify_args(&["--expect-head", &expected])).unwrap();
    assert_eq!(report.exit(), Exit::Unproven);
}

#[test]
fn a_missing_trail_is_empty_and_has_no_head_to_expect() {
    let directory = tempfile::tempdir().unwrap();
    let report = verify(&trails(&directory), &verify_args(&["production"])).unwrap();
    assert_eq!((report.human().as_str(), report.exit()), ("production: nothing is recorded yet\n", Exit::Done));
    let zeros = format!("0:{}", "0".repeat(64));
    let report = verify(&trails(&directory), &verify_args(&["production", "--expect-head", &zeros])).unwrap();
    assert_eq!(report.exit(), Exit::Unproven);
    let gone = format!("{}@production", "7".repeat(64));
    let report = verify(&trails(&directory), &verify_args(&["--expect-head", &gone])).unwrap();
    assert_eq!(report.exit(), Exit::Unproven);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "verifying writes nothing");
}

#[test]
fn an_expected_head_needs_one_environment() {
    let (directory, heads) = production(1);
    append_to(&directory, "staging", std::iter::once(ended("staging", 0)));
    let expected = heads[0].hash.to_string();
    for words in [&["--expect-head", &expected][..], &["staging", "production", "--expect-head", &expected]] {
        assert_eq!(verify(&trails(&directory), &verify_args(words)).unwrap_err().exit(), Exit::Usage);
    }
    let named = format!("{expected}@production");
    let report = verify(&trails(&directory), &verify_args(&["--expect-head", &named])).unwrap();
    assert_eq!((report.exit(), report.trails.len()), (Exit::Done, 2));
}

#[test]
fn what_is_no_head_or_no_environment_is_refused() {
    let hash = "7".repeat(64);
    for text in
        ["", "7", &hash[1..], &format!("x:{hash}"), &format!("{hash}@"), &format!("{hash}@../x"), &format!(":{hash}")]
    {
        assert_eq!(text.parse::<ExpectedHead>(), Err(NotAHead), "{text}");
    }
    assert!(Cli::try_parse_from(["audit", "show", "../../etc/passwd"]).is_err());
    assert!(Cli::try_parse_from(["audit", "show", "--last", "0"]).is_err());
}

#[test]
fn a_chain_of_the_core_is_what_is_verified() {
    let (directory, heads) = production(1);
    let bytes = crate::files::read_limited(&directory.path().join("production.jsonl"), 1 << 20).unwrap();
    let line = bytes.strip_suffix(b"\n").unwrap();
    assert_eq!(chain::read_line::<Record>(&Head::EMPTY, line).unwrap().1, heads[0]);
}

#[test]
fn a_checkpoint_that_lies_is_found_wherever_it_stands_and_one_of_another_version_is_no_lie() {
    let honest = |entries: &[Record]| Folded::replay(entries).unwrap().checkpoint().unwrap();
    let issued = Event::Issued {
        license_id: "lic_1".to_owned(),
        key_fingerprint: serde_json::from_str("\"0011223344556677\"").unwrap(),
    };
    let issued = record("production", Actor::default(), issued);
    let of = |event| record("production", Actor::default(), event);
    let rows = [
        (vec![issued.clone(), of(honest(std::slice::from_ref(&issued))), ended("production", 0)], None),
        (vec![issued.clone(), of(honest(&[])), ended("production", 0)], Some(2)),
        (vec![ended("production", 0), ended("production", 0), of(honest(std::slice::from_ref(&issued)))], Some(3)),
        (vec![issued, of(Event::Checkpoint(Checkpoint::NotKnown)), ended("production", 0)], None),
    ];
    for (records, lie) in rows {
        let directory = tempfile::tempdir().unwrap();
        append_to(&directory, "production", records.into_iter());
        let report = verify(&trails(&directory), &verify_args(&["production"])).unwrap();
        let Some(seq) = lie else {
            assert_eq!(report.exit(), Exit::Done, "{}", report.human());
            continue;
        };
        assert_eq!(report.exit(), Exit::Trail);
        let said = format!("entry {seq} is a checkpoint, and says something else than the entries before it");
        assert!(report.human().contains(&said), "{}", report.human());
        assert_eq!(report.json()["trails"][0]["state"], "broken");
        assert!(report.json()["trails"][0]["error"].as_str().unwrap().contains(&said));
    }
}
