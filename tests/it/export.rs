//! `audit export` and `audit verify --file`, through the real binary: what leaves the machine, and what it proves on another.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use license_core::{
    chain::{Head, next_line, read_line},
    trail::Record,
};
use license_tests::{Hub, Project, RawServer, process::Running};
use serde_json::Value;

use crate::{KEY, asking, embedded, good, saying};

/// A project without anything: a machine that never saw the trail.
fn elsewhere() -> Project {
    Project::new(crate::BINARY).without_license_toml()
}

fn deployed() -> (RawServer, Project) {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    (server, project)
}

/// A project whose trail repeats the entries of a deploy until it has this many.
fn with_entries(count: usize) -> (RawServer, Project) {
    let (server, project) = deployed();
    let (mut head, mut records) = (Head::EMPTY, Vec::new());
    for line in project.trail_text("production").lines() {
        let (entry, next) = read_line::<Record>(&head, line.as_bytes()).unwrap();
        records.push(entry.body);
        head = next;
    }
    let (mut head, mut text) = (Head::EMPTY, String::new());
    for record in records.iter().cycle().take(count) {
        let (line, next) = next_line(&head, record).unwrap();
        text.push_str(&line);
        text.push('\n');
        head = next;
    }
    fs::write(project.trail_file("production"), text).unwrap();
    (server, project)
}

/// Runs a script of the shell, in which `"$@"` is the command.
fn in_shell(project: &Project, script: &str, arguments: &[&str]) -> license_tests::process::Finished {
    let plain = project.command(&project.path(""), arguments);
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::start(command.current_dir(project.path(""))).wait()
}

#[test]
fn an_export_is_verified_on_a_machine_without_license_toml() {
    let (_server, project) = deployed();
    let head = project.trail("production").head;
    for form in ["jsonl", "csv"] {
        let ran = project.run(&["audit", "export", "--all", "--format", form, "--output", "export"]);
        ran.exits(0).says("production: ").says("SHA-256 of the export: ").never_shows(KEY);
        let file = fs::read(project.path("export")).unwrap();
        let other = elsewhere().write("from/export", &file);
        let expected = format!("{}:{}", head.seq, head.hash);
        let arguments = ["audit", "verify", "--file", "from/export", "--expect-head", &expected];
        let verified = other.run(&arguments);
        verified.exits(0).says(&format!("{} entries in order, head {expected}", head.seq));
        verified.says(&format!("the expected head is entry {}", head.seq)).never_shows(KEY);
        // What is printed as the hash of the file is what everybody else finds.
        let sum = in_shell(&other, "sha256sum from/export", &[]).stdout;
        verified.says(&format!("SHA-256 of the file: {}", &sum[..64]));
        assert!(ran.stderr().contains(&sum[..64]), "{ran}");

        let json = other.run(&[&arguments[..], &["--format", "json"]].concat());
        let document: Value = serde_json::from_str(json.exits(0).stdout()).unwrap();
        assert_eq!(document["schema"], "license-hooks/audit-verify-export/1");
        assert_eq!(document["trails"][0]["proved_from"], 1);
        assert_eq!(document["expected"][0]["found_at"], head.seq);
        assert_eq!(document["exit"]["code"], 0);

        let wrong = "7".repeat(64);
        other
            .run(&["audit", "verify", "--file", "from/export", "--expect-head", &wrong])
            .exits(32)
            .says("not in the export");
        let mut changed = file.clone();
        let at = changed.windows(4).position(|bytes| bytes == b"gate").unwrap();
        changed[at] ^= 1;
        fs::write(other.path("from/export"), changed).unwrap();
        other.run(&arguments).exits(26).says("from/export: broken: line ").says_nothing_of("in order");
    }
}

#[test]
fn what_is_no_export_is_exit_26() {
    let (_server, project) = deployed();
    project.run(&["audit", "verify", "--file", "missing"]).exits(26).says("`missing`").says("there is no such file");
    project.run(&["audit", "verify", "--file", ".license"]).exits(26).says("it is a directory");
    project.run(&["audit", "verify", "--file", "license.toml"]).exits(26).says("does not begin as an export does");
    let ran = project.run(&["audit", "verify", "--file", ".license/trail/production.jsonl"]);
    ran.exits(26).says("does not begin as an export does");
}

#[test]
fn a_trail_in_git_is_exported_as_one_in_a_file() {
    let hub = Hub::new();
    let server = saying(&good());
    let project = hub.shared_by(asking(&server));
    project.deploy().exits(0);
    project.deploy().exits(0);
    for form in ["jsonl", "csv"] {
        // A machine that never saw the trail before.
        let exporting = hub.shared_by(asking(&server));
        let ran = exporting.run(&["audit", "export", "production", "--format", form]);
        ran.exits(0).never_shows(KEY);
        let head = hub.trail("production").head;
        if form == "jsonl" {
            let lines: Vec<&str> = ran.stdout().lines().filter(|line| !line.starts_with("{\"export\":")).collect();
            assert_eq!(lines, hub.lines("production"));
        }
        let other = elsewhere().write("export", ran.stdout().as_bytes());
        let expected = format!("{}:{}@production", head.seq, head.hash);
        let verified = other.run(&["audit", "verify", "--file", "export", "--expect-head", &expected]);
        verified.exits(0).says(&format!("proves entries 1 to {}", head.seq));
        let gates = exporting.run(&["audit", "export", "production", "--format", form, "--kind", "gate"]);
        let other = elsewhere().write("export", gates.exits(0).stdout().as_bytes());
        other.run(&["audit", "verify", "--file", "export"]).exits(0).says("they are in 2 runs");
    }
    let lines: Vec<String> = hub.lines("production").iter().map(|line| line.replacen("\"go\"", "\"no\"", 1)).collect();
    hub.rewrite("production", &lines);
    let changed = hub.shared_by(asking(&server));
    changed
        .run(&["audit", "export", "production", "--output", "export"])
        .exits(26)
        .says("refs/license/trail/production");
    assert!(!changed.path("export").exists());
}

#[test]
fn a_file_is_written_for_its_owner_alone_and_only_when_everything_could_be_read() {
    let (_server, project) = deployed();
    let out = project.path("export");
    let arguments = ["audit", "export", "production", "--output", "export"];
    project.run(&arguments).exits(0);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let export = fs::read(&out).unwrap();
    let trail = project.trail_text("production");
    fs::write(project.trail_file("production"), trail.replacen("\"go\"", "\"no\"", 1)).unwrap();
    project.run(&arguments).exits(26);
    assert_eq!(fs::read(&out).unwrap(), export);
    project.run(&["audit", "export", "prodution"]).exits(3).says("did you mean `production`");
}

#[test]
fn a_place_that_cannot_be_written_to_is_exit_1_and_stays_as_it_is() {
    let (_server, project) = deployed();
    let project = project.write("directory/keep", b"").write("target", b"mine");
    symlink("target", project.path("link")).unwrap();
    for (place, says) in [
        ("directory", "it is a directory"),
        ("link", "symbolic link"),
        ("/dev/full", "device"),
        ("missing/export", "there is no such file"),
        ("license.toml/export", "Not a directory"),
    ] {
        let ran = project.run(&["audit", "export", "production", "--output", place]).named(place);
        ran.exits(1).says("the export cannot be written").says(says).says(place);
    }
    assert_eq!(fs::read(project.path("target")).unwrap(), b"mine");
    assert!(fs::symlink_metadata(project.path("link")).unwrap().is_symlink());
    assert!(fs::read_dir(project.path("directory")).unwrap().count() == 1);
}

/// A slip in a name must not cost a trail, keys, or what a person wrote.
#[test]
fn nothing_but_an_export_is_written_over() {
    let (_server, project) = deployed();
    let project =
        project.write(".env", b"LICENSE_KEY=x\n").write("notes.csv", b"environment,seq\r\n").write("empty", b"");
    for place in ["license.toml", ".env", "notes.csv"] {
        let before = fs::read(project.path(place)).unwrap();
        let ran = project.run(&["audit", "export", "production", "--output", place]).named(place);
        ran.exits(1).says("the export cannot be written").says(place).says("it is there and is no export");
        assert_eq!(fs::read(project.path(place)).unwrap(), before, "{place}");
    }
    for form in ["jsonl", "csv", "jsonl"] {
        for place in ["empty", "export"] {
            project.run(&["audit", "export", "production", "--format", form, "--output", place]).exits(0);
            project.run(&["audit", "verify", "--file", place]).exits(0);
        }
    }
}

/// What is not there yet would be taken for a trail, and a lock is as empty as what may be written over.
#[test]
fn no_export_is_put_among_the_files_of_the_program_itself() {
    let (_server, project) = deployed();
    let project = project.write("elsewhere/keep", b"");
    symlink(project.path(".license/trail"), project.path("linked")).unwrap();
    let before = fs::read(project.trail_file("production")).unwrap();
    for place in [
        ".license/trail/production.jsonl",
        ".license/trail/production.jsonl.lock",
        ".license/trail/exported.jsonl",
        ".license/export",
        "elsewhere/../.license/export",
        "linked/exported.jsonl",
    ] {
        let ran = project.run(&["audit", "export", "production", "--output", place]).named(place);
        ran.exits(1).says("the export cannot be written").says(place).says("keeps its own files");
    }
    assert_eq!(fs::read(project.trail_file("production")).unwrap(), before);
    project.run(&["audit", "verify"]).exits(0).says_nothing_of("exported");
    assert!(!project.path(".license/export").exists());

    let project = embedded();
    let issue = ["authority", "issue", "--class", "DEV"];
    project.run(&issue).exits(0);
    for name in ["events.jsonl", "events.jsonl.lock", "more.jsonl"] {
        let place = format!(".license/authority/{name}");
        project.run(&["audit", "export", "--output", &place]).exits(1).says("keeps its own files").says(name);
    }
    // A state directory that somebody put elsewhere.
    let text = project.text();
    let project = project.license_toml(text.replace("\"embedded\"", "\"embedded\"\nstate = \"state\"").as_bytes());
    project.run(&issue).exits(0);
    project.run(&["audit", "export", "--output", "state/more.jsonl"]).exits(1).says("keeps its own files");
    project.run(&["authority", "list"]).exits(0).says("lic_");
}

#[test]
fn a_trail_that_verifying_calls_broken_is_no_export_either() {
    let (_server, project) = deployed();
    project.run(&["audit", "export", "--output", "export"]).exits(0);
    let before = fs::read(project.path("export")).unwrap();
    fs::copy(project.trail_file("production"), project.trail_file("prod")).unwrap();
    project.run(&["audit", "verify"]).exits(26).says("prod: broken: entry 1 is about `production`");
    for form in ["jsonl", "csv"] {
        let ran = project.run(&["audit", "export", "--format", form, "--output", "export"]);
        ran.exits(26).says("`prod`").says("entry 1 is about `production`").says("audit export ENV");
        assert_eq!(fs::read(project.path("export")).unwrap(), before, "{form}");
        // The good one can be had without it.
        project.run(&["audit", "export", "production", "--format", form, "--output", form]).exits(0);
        project.run(&["audit", "verify", "--file", form]).exits(0);
    }
}

#[test]
fn an_export_that_does_not_fit_is_exit_1_and_leaves_what_was_there() {
    let (_server, project) = with_entries(200);
    let arguments = ["audit", "export", "production", "--output", "export"];
    project.run(&[&arguments[..], &["--kind", "other"]].concat()).exits(0);
    let before = fs::read(project.path("export")).unwrap();
    // `ulimit -f` counts blocks of 1,024 bytes in bash.
    let full = in_shell(&project, "ulimit -f 16; trap '' XFSZ; exec \"$@\"", &arguments);
    assert_eq!(full.code(), 1, "{full:?}");
    assert!(full.stderr.contains("the export cannot be written: `export`: "), "{full:?}");
    assert_eq!(fs::read(project.path("export")).unwrap(), before);
    let left = fs::read_dir(project.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name.ends_with("license-new")));
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let (_server, project) = with_entries(2_000);
    for form in ["jsonl", "csv"] {
        let arguments = ["audit", "export", "production", "--format", form];
        let piped = in_shell(&project, "\"$@\" | head -n 1; exit ${PIPESTATUS[0]}", &arguments);
        assert_eq!((piped.code(), piped.stdout.lines().count()), (0, 1), "{piped:?}");
        assert_eq!(piped.stderr, "");
        let full = in_shell(&project, "exec \"$@\" > /dev/full", &arguments);
        assert_eq!(full.code(), 1, "{full:?}");
        assert!(full.stderr.contains("the export cannot be written"), "{full:?}");
    }
}

/// Whoever reads an export in a pager must not keep deploys from happening.
#[test]
fn an_export_that_nobody_reads_keeps_no_deploy_waiting() {
    let (_server, project) = with_entries(2_000);
    let mut export = project.command(&project.path(""), &["audit", "export", "production"]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = export.stdout.take().unwrap();
    // Its first bytes are there: it reads the trail, and waits for its reader from now on.
    let mut first = [0; 1];
    stdout.read_exact(&mut first).unwrap();
    project.deploy().exits(0);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(export.wait().unwrap().success());
    let other = elsewhere().write("export", &[&first[..], &rest].concat());
    other.run(&["audit", "verify", "--file", "export"]).exits(0).says("2000 entries in order");
}

#[test]
fn a_long_trail_is_exported_and_verified_whole_and_in_part() {
    let (_server, project) = with_entries(5_000);
    for form in ["jsonl", "csv"] {
        for (filter, says) in [(&[][..], "5000 entries in order"), (&["--kind", "gate"], " of 5000 entries in order")] {
            let arguments = [&["audit", "export", "--format", form, "--output", "export"], filter].concat();
            project.run(&arguments).exits(0);
            project.run(&["audit", "verify", "--file", "export"]).exits(0).says(says);
        }
    }
}

#[test]
fn the_words_of_others_are_no_commands_to_github() {
    let server = saying(&good());
    let project = asking(&server).var("GITHUB_ACTIONS", "true").var("GITHUB_ACTOR", "\n::error::eve ##[error]eve");
    project.deploy().exits(0);
    for arguments in [&["audit", "show", "production"][..], &["audit", "verify", "production"]] {
        let ran = project.run(arguments);
        assert!(!ran.exits(0).stdout().contains("##["), "{ran}");
    }
    for form in ["jsonl", "csv"] {
        let ran = project.run(&["audit", "export", "production", "--format", form]);
        ran.exits(2).says("entry 1").says("--output FILE");
        assert!(!ran.stdout().contains("##["), "{ran}");
        project.run(&["audit", "export", "production", "--format", form, "--output", "export"]).exits(0);
        let verified = project.run(&["audit", "verify", "--file", "export"]);
        assert!(!verified.exits(0).stdout().contains("##["), "{verified}");
        assert!(!verified.stdout().lines().any(|line| line.trim_start().starts_with("::")), "{verified}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_exit_2() {
    let (_server, project) = deployed();
    project.run(&["audit", "export", "--kind", "deploys"]).exits(2).says("deploy_started").says("other");
    project.run(&["audit", "export", "--since", "yesterday"]).exits(2).says("2026-03-01T11:02:03Z");
    project.run(&["audit", "export", "--since", "1d", "--until", "2d"]).exits(2).says("`--since` is the earlier one");
    project.run(&["audit", "export", "--all", "production"]).exits(2);
}

#[test]
fn an_export_says_who_what_when_and_why() {
    let server = saying(&good());
    let project = asking(&server)
        .var("GITHUB_ACTIONS", "true")
        .var("GITHUB_SERVER_URL", "https://github.com")
        .var("GITHUB_REPOSITORY", "acme/app")
        .var("GITHUB_RUN_ID", "42")
        .var("GITHUB_ACTOR", "alice")
        .var("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567");
    project.deploy().exits(0);
    let ran = project.run(&["audit", "export", "production", "--kind", "gate", "--format", "csv"]);
    let row = ran.exits(0).stdout().lines().find(|line| line.contains(",gate,")).unwrap();
    for word in [
        ",go,",
        "may be deployed",
        ",alice,",
        "https://github.com/acme/app/actions/runs/42",
        "0123456789abcdef0123456789abcdef01234567",
    ] {
        assert!(row.contains(word), "{word}: {row}");
    }
    let ran = project.run(&["audit", "export", "production"]);
    let begin: Value = serde_json::from_str(ran.exits(0).stdout().lines().next().unwrap()).unwrap();
    assert_eq!(begin["actor"]["run_url"], "https://github.com/acme/app/actions/runs/42");
    assert_eq!(begin["actor"]["user"], "alice");
    let shown = project.run(&["audit", "show", "production"]);
    shown.exits(0).says("0123456789ab ").says("https://github.com/acme/app/actions/runs/42");
}

/// A reader of CSV that is not ours, which hashes what it reads.
const READER: &str = r#"
import csv, hashlib, sys
rows = list(csv.DictReader(open("export", newline="", encoding="utf-8"), strict=True))
prev = "0" * 64
for row in rows:
    assert None not in row and None not in row.values(), row
    if row["kind"] != "export":
        assert row["prev"] == prev, row
        prev = row["hash"]
        assert hashlib.sha256(row["line"].encode()).hexdigest() == prev, row
print(prev)
"#;

#[test]
fn another_reader_of_csv_finds_the_same_chain() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return std::io::stderr().write_all(b"skipped: python3 is missing\n").unwrap();
    }
    let (_server, project) = deployed();
    project.run(&["audit", "export", "production", "--format", "csv", "--output", "export"]).exits(0);
    let mut reader = Command::new("python3");
    let read = Running::start(reader.args(["-c", READER]).current_dir(project.path(""))).wait();
    assert_eq!(
        (read.code(), read.stdout.trim()),
        (0, &project.trail("production").head.hash.to_string()[..]),
        "{read:?}"
    );
}
