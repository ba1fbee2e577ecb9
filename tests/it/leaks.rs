//! `leaks`, in real repositories: every way to hide a key is found, and what could not be scanned is never clean.
//!
//! The keys are made while the tests run, so that the repository does not hold one.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use license_tests::{Project, Ran, forms, process::Running};
use serde_json::Value;

use crate::project;

/// A key that nobody wrote down.
fn key() -> String {
    let random = |path: &str| fs::read(path).unwrap_or_default();
    let id = random("/proc/sys/kernel/random/uuid");
    let hex: String = String::from_utf8(id).unwrap_or_default().to_uppercase().split('-').collect();
    let hex = if hex.trim().is_empty() { format!("{:032X}", std::process::id()) } else { hex.trim().to_owned() };
    ["TO-", "PRD-"].concat() + &hex[..8] + "-" + &hex[8..16] + "-" + &hex[16..24] + "-" + &hex[24..32]
}

/// A repository whose history has a key in it.
pub(crate) fn repository_with_a_leak() -> (Project, String) {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    (project, key)
}

/// A project that is a repository, whose production key is configured, and the key.
pub(crate) fn repository() -> (Project, String) {
    repository_hashing_with("sha1")
}

fn repository_hashing_with(format: &str) -> (Project, String) {
    let key = key();
    let project = project().authority_at("http://127.0.0.1:9/api/v1").key(&key);
    git(&project, &["init", "--quiet", "--initial-branch=main", "--object-format", format]);
    let project = project.write("README", b"first\n");
    commit(&project, "first");
    (project, key)
}

/// Runs git as a person would, and gives its output.
pub(crate) fn git(project: &Project, arguments: &[&str]) -> String {
    git_in(&project.path(""), arguments, b"")
}

fn git_in(directory: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.envs([
        ("HOME", directory.to_str().unwrap()),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "t"),
        ("GIT_AUTHOR_EMAIL", "t@example.com"),
        ("GIT_COMMITTER_NAME", "t"),
        ("GIT_COMMITTER_EMAIL", "t@example.com"),
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

pub(crate) fn commit(project: &Project, message: &str) -> String {
    git(project, &["add", "--all"]);
    git(project, &["commit", "--quiet", "--allow-empty", "--message", message]);
    git(project, &["rev-parse", "HEAD"])
}

pub(crate) fn write(project: &Project, path: &str, bytes: &[u8]) {
    let path = project.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn leaks(project: &Project, arguments: &[&str]) -> Ran {
    project.run(&[&["leaks"], arguments].concat())
}

/// The findings of a scan that finds something, and never shows it.
#[track_caller]
pub(crate) fn found(name: &str, project: &Project, key: &str, arguments: &[&str]) -> Vec<Value> {
    let ran = leaks(project, &[arguments, &["--format", "json"]].concat()).named(name);
    let document = ran.exits(30).json();
    shows_nothing_of(&ran, key);
    document["findings"].as_array().unwrap().clone()
}

/// No output has the key, in whatever form.
#[track_caller]
pub(crate) fn shows_nothing_of(ran: &Ran, key: &str) {
    for (form, secret) in forms::of(key) {
        assert!(!ran.stdout().contains(&secret) && !ran.stderr().contains(&secret), "it shows the key {form}: {ran}");
    }
}

/// Fields of a finding that must be so.
pub(crate) type Expected<'a> = &'a [(&'a str, Value)];

#[track_caller]
pub(crate) fn one_is(name: &str, findings: &[Value], expected: Expected<'_>) {
    let fits = |finding: &&Value| expected.iter().all(|(field, value)| finding[field] == *value);
    assert!(findings.iter().any(|finding| fits(&finding)), "{name}: no finding is {expected:?}: {findings:#?}");
}

/// How a key is hidden in a repository, and what a finding must say.
type Row = (&'static str, fn(&Project, &str), fn() -> Vec<(&'static str, Value)>);

fn at(place: &'static str, path: &'static str, line: u64) -> Vec<(&'static str, Value)> {
    vec![
        ("place", place.into()),
        ("path", path.into()),
        ("line", line.into()),
        ("name", "the key of `production`".into()),
    ]
}

/// Everything that a difference does not show, or shows only to those who look in the right place.
const HIDDEN: [Row; 17] = [
    (
        "in a commit whose successor removes it",
        |project, key| {
            write(project, "a.txt", format!("one\nkey = {key}\n").as_bytes());
            commit(project, "in");
            fs::remove_file(project.path("a.txt")).unwrap();
            commit(project, "out");
        },
        || at("blob", "a.txt", 2),
    ),
    (
        "in what a merge changed by itself",
        |project, key| {
            git(project, &["checkout", "--quiet", "-b", "side", "HEAD"]);
            write(project, "side.txt", b"side\n");
            commit(project, "side");
            git(project, &["checkout", "--quiet", "main"]);
            write(project, "main.txt", b"main\n");
            commit(project, "main");
            git(project, &["merge", "--quiet", "--no-commit", "--no-ff", "side"]);
            write(project, "merged.txt", key.as_bytes());
            commit(project, "merge");
        },
        || at("blob", "merged.txt", 1),
    ),
    (
        "under attributes that hide differences",
        |project, key| {
            write(project, ".gitattributes", b"*.dat -diff\n*.bin binary\n*.txt diff=cat\n");
            git(project, &["config", "diff.cat.textconv", "true"]);
            git(project, &["config", "color.ui", "always"]);
            git(project, &["config", "log.showSignature", "true"]);
            write(project, "a.dat", key.as_bytes());
            commit(project, "hidden");
        },
        || at("blob", "a.dat", 1),
    ),
    (
        "under a text conversion",
        |project, key| {
            write(project, ".gitattributes", b"*.txt diff=cat\n");
            git(project, &["config", "diff.cat.textconv", "true"]);
            git(project, &["config", "color.ui", "always"]);
            write(project, "a.txt", key.as_bytes());
            commit(project, "hidden");
        },
        || at("blob", "a.txt", 1),
    ),
    (
        "beside a NUL byte",
        |project, key| {
            write(project, "a.o", format!("\0\0{key}\0").as_bytes());
            commit(project, "binary");
        },
        || at("blob", "a.o", 1),
    ),
    (
        "in a line of 3 MB",
        |project, key| {
            let line = format!("{} {key} {}", "x".repeat(2_000_000), "y".repeat(1_000_000));
            write(project, "a.min.js", line.as_bytes());
            commit(project, "long line");
        },
        || at("blob", "a.min.js", 1),
    ),
    (
        "at the end of a file of 12 MB",
        |project, key| {
            write(project, "big.sql", format!("{}{key}\n", "insert into t values (1);\n".repeat(480_000)).as_bytes());
            commit(project, "big file");
        },
        || at("blob", "big.sql", 480_001),
    ),
    (
        "in a file's name",
        |project, key| {
            write(project, &format!("keys/{key}.txt"), b"nothing\n");
            commit(project, "name");
        },
        || vec![("place", "tree".into()), ("line", Value::Null)],
    ),
    (
        "in a commit's message",
        |project, key| {
            commit(project, &format!("subject\n\nuse {key}"));
        },
        || vec![("place", "commit".into()), ("part", "message".into()), ("line", 3.into())],
    ),
    (
        "in an author's name",
        |project, key| {
            write(project, "a.txt", b"a\n");
            git(project, &["add", "--all"]);
            git(
                project,
                &[
                    "-c",
                    &format!("user.name={key}"),
                    "commit",
                    "--quiet",
                    "--message",
                    "x",
                    "--author",
                    &format!("{key} <a@b>"),
                ],
            );
        },
        || vec![("place", "commit".into()), ("part", "author".into())],
    ),
    (
        "in an annotated tag's message",
        |project, key| {
            git(project, &["tag", "--annotate", "--message", &format!("release\n{key}"), "v1"]);
        },
        || {
            vec![
                ("place", "tag".into()),
                ("part", "message".into()),
                ("line", 2.into()),
                ("ref", "refs/tags/v1".into()),
            ]
        },
    ),
    (
        "in a blob that only a tag leads to",
        |project, key| {
            let blob = git_in(&project.path(""), &["hash-object", "-w", "--stdin"], key.as_bytes());
            git(project, &["tag", "loose", &blob]);
        },
        || vec![("place", "blob".into()), ("path", Value::Null), ("ref", "refs/tags/loose".into())],
    ),
    (
        "in a symbolic link's target",
        |project, key| {
            symlink(format!("/nowhere/{key}"), project.path("link")).unwrap();
            commit(project, "link");
        },
        || vec![("place", "symlink_target".into()), ("path", "link".into()), ("line", Value::Null)],
    ),
    (
        "in an orphan root",
        |project, key| {
            git(project, &["checkout", "--quiet", "--orphan", "pages"]);
            write(project, "orphan.html", key.as_bytes());
            commit(project, "pages");
            git(project, &["checkout", "--quiet", "main"]);
        },
        || at("blob", "orphan.html", 1),
    ),
    (
        "behind a replace ref",
        |project, key| {
            write(project, "a.txt", key.as_bytes());
            commit(project, "in");
            let bad = git(project, &["rev-parse", "HEAD:a.txt"]);
            let good = git_in(&project.path(""), &["hash-object", "-w", "--stdin"], b"nothing\n");
            git(project, &["replace", &bad, &good]);
        },
        || at("blob", "a.txt", 1),
    ),
    (
        "in the older of two stashes",
        |project, key| {
            write(project, "README", key.as_bytes());
            git(project, &["stash", "--quiet"]);
            write(project, "README", b"other\n");
            git(project, &["stash", "--quiet"]);
        },
        || at("blob", "README", 1),
    ),
    (
        "in a note",
        |project, key| {
            git(project, &["notes", "add", "--message", key, "HEAD"]);
        },
        || vec![("place", "blob".into()), ("line", 1.into())],
    ),
];

#[test]
fn a_key_is_found_wherever_it_hides_in_history() {
    for (name, hide, expected) in HIDDEN {
        let (project, key) = repository();
        hide(&project, &key);
        let findings = found(name, &project, &key, &["--history"]);
        one_is(name, &findings, &expected());
        assert!(findings.iter().all(|finding| finding["kind"] == "configured"), "{name}: {findings:#?}");
        git(&project, &["repack", "--quiet", "-a", "-d"]);
        assert_eq!(found(name, &project, &key, &["--history"]), findings, "{name}, in a pack");
    }
}

#[test]
fn a_configured_key_is_told_first_however_many_other_leaks_there_are() {
    let (project, configured) = repository();
    write(&project, "a.txt", configured.as_bytes());
    commit(&project, "in");
    git(&project, &["rm", "--quiet", "a.txt"]);
    let others = || (0..110).map(|_| key() + "\n").collect::<String>();
    for number in 0..12 {
        write(&project, &format!("others/{number}.txt"), others().as_bytes());
    }
    commit(&project, "others");
    let all = found("loose", &project, &configured, &["--history"]);
    git(&project, &["repack", "--quiet", "-a", "-d"]);
    assert_eq!(found("in a pack", &project, &configured, &["--history"]), all);
    assert_eq!(all.len(), 1_000);
    one_is("a thousand others", &all, &at("blob", "a.txt", 1));
    for arguments in [&["--history"][..], &["--range", "HEAD"], &["--history", "--format", "github"]] {
        let ran = leaks(&project, arguments);
        ran.exits(30).says("a.txt:1").says("the key of `production`");
        shows_nothing_of(&ran, &configured);
    }
}

#[test]
fn a_finding_names_the_commit_that_brought_it() {
    let (project, key) = repository();
    write(&project, "docs/a.txt", format!("\n\n{key}\n").as_bytes());
    let brought = commit(&project, "in");
    write(&project, "other.txt", b"other\n");
    commit(&project, "other");
    for arguments in [&["--history"][..], &["--range", "HEAD~2..HEAD"]] {
        let findings = found("the commit", &project, &key, arguments);
        let expected = [("commit", brought.as_str().into()), ("path", "docs/a.txt".into()), ("line", 3.into())];
        one_is("the commit", &findings, &expected);
        assert_eq!(findings.len(), 1, "{findings:#?}");
    }
}

#[test]
fn a_range_has_what_it_brings_and_nothing_else() {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    write(&project, "b.txt", b"b\n");
    commit(&project, "after");
    leaks(&project, &["--range", "HEAD~1..HEAD"]).exits(0).says("no leak");
    found("in the range", &project, &key, &["--range", "HEAD~2..HEAD~1"]);
}

#[test]
fn a_repository_that_hashes_with_sha_256_is_scanned() {
    let (project, key) = repository_hashing_with("sha256");
    write(&project, "a.txt", key.as_bytes());
    write(&project, &format!("names/{key}"), b"\n");
    let brought = commit(&project, "in");
    assert_eq!(brought.len(), 64);
    let findings = found("sha256", &project, &key, &["--history"]);
    one_is("sha256", &findings, &[("path", "a.txt".into()), ("commit", brought.as_str().into())]);
    one_is("sha256", &findings, &[("place", "tree".into()), ("commit", brought.as_str().into())]);
}

#[test]
fn the_name_of_a_ref_is_scanned() {
    let (project, key) = repository();
    git(&project, &["branch", &format!("fix/{key}")]);
    let findings = found("a branch", &project, &key, &["--history"]);
    one_is("a branch", &findings, &[("place", "ref_name".into())]);
}

/// The encodings in which people paste keys.
fn encoded(key: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| key.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
    let each = |write: fn(u8) -> String| key.bytes().map(write).collect::<Vec<_>>().concat();
    let percent_all = each(|byte| format!("%{byte:02X}"));
    let escaped = each(|byte| format!("\\u{byte:04x}"));
    let hex = each(|byte| format!("{byte:02x}"));
    let base64 = |before: &str| STANDARD.encode(format!("{before}{key} and more")).into_bytes();
    let in_lines = |text: &[u8], line_break: &str| text.chunks(24).collect::<Vec<_>>().join(line_break.as_bytes());
    vec![
        ("base64, first alignment", "base64", base64("")),
        ("base64, second alignment", "base64", base64("a")),
        ("base64, third alignment", "base64", base64("ab")),
        ("hex", "hex", hex.into_bytes()),
        ("percent-encoded", "percent", percent_all.into_bytes()),
        ("JSON-escaped", "json_escape", escaped.into_bytes()),
        ("JSON-escaped in part", "json_escape", key.replace('-', "\\u002d").into_bytes()),
        ("hex escapes in part", "json_escape", key.replace('-', "\\x2d").into_bytes()),
        ("entities", "html_entity", key.replace('-', "&#45;").into_bytes()),
        ("quoted-printable", "quoted_printable", key.replace('-', "=2D").into_bytes()),
        ("numbers", "bytes", each(|byte| format!("0x{byte:02x}, ")).into_bytes()),
        ("base64 in lines of a string", "base64", in_lines(&base64(""), "\\n")),
        ("base64 in lines of YAML", "base64", in_lines(&base64("a"), "\n  ")),
        ("UTF-16, little end first", "utf16le", utf16(u16::to_le_bytes)),
        ("UTF-16, big end first", "utf16be", utf16(u16::to_be_bytes)),
        ("UTF-16 with a mark", "utf16le", [&[0xff, 0xfe], utf16(u16::to_le_bytes).as_slice()].concat()),
    ]
}

#[test]
fn a_key_is_found_in_every_encoding() {
    let (project, key) = repository();
    let rows = encoded(&key);
    for (index, (_, _, bytes)) in rows.iter().enumerate() {
        write(&project, &format!("{index}.txt"), &[b"x = \"", bytes.as_slice(), b"\"\n"].concat());
    }
    commit(&project, "encoded");
    let findings = found("encodings", &project, &key, &["--history"]);
    for (index, (name, encoding, _)) in rows.iter().enumerate() {
        one_is(name, &findings, &[("path", format!("{index}.txt").into()), ("encoding", (*encoding).into())]);
    }
}

#[test]
fn a_key_with_the_characters_that_encodings_change_is_found() {
    let (project, key) = repository();
    let key = format!("{key}+/?>");
    let project = project.key(&key);
    write(&project, "url.txt", URL_SAFE.encode(&key).as_bytes());
    write(&project, "percent.txt", forms::percent(&key).as_bytes());
    commit(&project, "encoded");
    let findings = found("changed", &project, &key, &["--history"]);
    one_is("url", &findings, &[("path", "url.txt".into()), ("encoding", "base64url".into())]);
    one_is("percent", &findings, &[("path", "percent.txt".into()), ("encoding", "percent".into())]);
}

/// A tar with one file.
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = vec![0; content.len().next_multiple_of(512) - content.len() + 1024];
    [header.as_slice(), content, &padding].concat()
}

/// A gzip whose one block is stored.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&(!length).to_le_bytes());
    bytes.extend_from_slice(content);
    let mut crc = !0_u32;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    bytes.extend_from_slice(&(!crc).to_le_bytes());
    bytes.extend_from_slice(&u32::from(length).to_le_bytes());
    bytes
}

#[test]
fn a_key_is_found_in_an_archive() {
    let (project, key) = repository();
    // Base64 in a stored block: the bytes as such do not show it in plain.
    let packed = gzip(&tar("conf/key.env", format!("\nKEY={key}\n").as_bytes()));
    write(&project, "backup.tar.gz", &packed);
    for (arguments, place) in [(&[][..], "file"), (&["--history"][..], "blob")] {
        commit(&project, "archive");
        let findings = found("archive", &project, &key, arguments);
        let inside = |finding: &&Value| finding["inside"].as_str().is_some_and(|path| path.contains("conf/key.env"));
        let inner = findings.iter().find(inside).unwrap_or_else(|| panic!("{findings:#?}"));
        assert_eq!((&inner["path"], &inner["line"]), (&"backup.tar.gz".into(), &2.into()), "{inner}");
        assert_eq!(inner["place"], place);
    }
}

#[test]
fn an_archive_that_cannot_be_read_makes_the_scan_incomplete() {
    let (project, _) = repository();
    write(&project, "broken.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 7, 7, 7, 7]);
    leaks(&project, &[]).exits(31).says("broken.gz").says("incomplete");
    commit(&project, "broken");
    leaks(&project, &["--history"]).exits(31).says("incomplete");
}

#[test]
fn the_working_tree_has_what_the_next_commit_could_take() {
    let rows: [Row; 7] = [
        (
            "tracked",
            |project, key| {
                write(project, "a.txt", format!("x\n{key}").as_bytes());
                commit(project, "a");
            },
            || at("file", "a.txt", 2),
        ),
        (
            "not tracked, not ignored",
            |project, key| write(project, "new/b.txt", key.as_bytes()),
            || at("file", "new/b.txt", 1),
        ),
        (
            "tracked though ignored",
            |project, key| {
                write(project, ".gitignore", b".env\n");
                write(project, ".env", format!("LICENSE_KEY={key}\n").as_bytes());
                git(project, &["add", "--force", ".env"]);
            },
            || at("file", ".env", 1),
        ),
        (
            "staged, and gone from the file",
            |project, key| {
                write(project, "a.txt", format!("x\n{key}").as_bytes());
                git(project, &["add", "a.txt"]);
                write(project, "a.txt", b"harmless\n");
            },
            || at("staged_file", "a.txt", 2),
        ),
        (
            "staged, and the file is gone",
            |project, key| {
                write(project, "a.txt", key.as_bytes());
                git(project, &["add", "a.txt"]);
                fs::remove_file(project.path("a.txt")).unwrap();
            },
            || at("staged_file", "a.txt", 1),
        ),
        (
            "a link's target",
            |project, key| symlink(format!("to/{key}"), project.path("link")).unwrap(),
            || vec![("place", "symlink_target".into()), ("path", "link".into())],
        ),
        ("a name", |project, key| write(project, key, b"\n"), || vec![("place", "file_name".into())]),
    ];
    for (name, hide, expected) in rows {
        let (project, key) = repository();
        hide(&project, &key);
        let findings = found(name, &project, &key, &[]);
        one_is(name, &findings, &expected());
        assert_eq!(findings.len(), 1, "{name}: {findings:#?}");
    }
}

#[test]
fn what_is_staged_just_so_counts_once_however_many_leaks_there_are() {
    let (project, _) = repository();
    let keys = |count: usize| (0..count).map(|_| key() + "\n").collect::<String>();
    let counted = || {
        let document = leaks(&project, &["--format", "json"]).exits(30).json();
        (document["leaks"].as_u64().unwrap(), document["findings"].as_array().unwrap().len())
    };
    // More than are listed of one object, and more than are listed of all.
    write(&project, "packed.gz", &gzip(keys(120).as_bytes()));
    let packed = counted().0;
    write(&project, "many", keys(150).as_bytes());
    for number in 0..10 {
        write(&project, &format!("d {number}/ä\t\"n\".txt"), keys(110).as_bytes());
    }
    // A few of the keys may look made up.
    let all = counted().0;
    assert!(packed > 200 && all > packed + 1_100, "{packed} {all}");
    let expected = |leaks: u64| (leaks, 1_000);
    git(&project, &["add", "--all"]);
    assert_eq!(counted(), expected(all));
    // What is staged besides counts besides, and so does what another path has.
    write(&project, "many", b"nothing\n");
    assert_eq!(counted(), expected(all));
    fs::copy(project.path("packed.gz"), project.path("other.gz")).unwrap();
    git(&project, &["add", "other.gz"]);
    fs::remove_file(project.path("other.gz")).unwrap();
    assert_eq!(counted(), expected(all + packed));
}

#[test]
fn a_file_that_git_ignores_may_hold_the_key() {
    let (project, key) = repository();
    write(&project, ".gitignore", b".env\n");
    write(&project, ".env", format!("LICENSE_KEY={key}\n").as_bytes());
    leaks(&project, &[]).exits(0).says("no leak").says_nothing_of(".env:");
}

#[test]
fn the_whole_tree_is_scanned_from_a_directory_below() {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    write(&project, "sub/b.txt", b"b\n");
    let ran = project.run_in(&project.path("sub"), &["leaks", "--format", "json"]);
    one_is("below", ran.exits(30).json()["findings"].as_array().unwrap(), &at("file", "a.txt", 1));
}

#[test]
fn a_key_that_only_the_trail_knows_is_found() {
    let (project, old) = repository();
    write(&project, ".gitignore", b".license/\n");
    // The gate does not get an answer, and notes which key it asked about.
    project.deploy().exits(11);
    let new = key();
    let project = project.key(&new);
    write(&project, "old.txt", format!("key: {old}\n").as_bytes());
    let findings = found("known", &project, &old, &[]);
    one_is("known", &findings, &[("kind", "known".into()), ("path", "old.txt".into()), ("line", 1.into())]);
}

#[test]
fn the_api_token_and_patterns_are_looked_for_and_fingerprints_allowed() {
    let (project, _) = repository();
    let token = key().replace("TO-PRD-", "tok");
    let own = format!("ACME-{}", &key().replace("TO-PRD-", "").replace('-', "")[..16]);
    let project = project.var("TO_API_KEY", &token);
    write(&project, "token.txt", token.as_bytes());
    write(&project, "own.txt", own.as_bytes());
    let project = project.tables("\n[leaks]\npatterns = [\"ACME-[A-F0-9]{16}\"]\n");
    let findings = found("both", &project, &token, &[]);
    one_is("token", &findings, &[("path", "token.txt".into()), ("name", "the token of authority `to`".into())]);
    one_is("pattern", &findings, &[("path", "own.txt".into()), ("kind", "pattern".into())]);
    let print = |path: &str| {
        let finding = findings.iter().find(|finding| finding["path"] == path).unwrap();
        finding["fingerprint"].as_str().unwrap().to_owned()
    };
    let allow = |path: &str| format!("{{ fingerprint = \"{}\", reason = \"sample\" }}", print(path));
    let project = project.tables(&format!("allow = [{}, {}]\n", allow("own.txt"), allow("token.txt")));
    let left = found("allowed", &project, &token, &[]);
    assert_eq!(left.len(), 1, "a configured secret is never allowed: {left:#?}");
    assert_eq!(left[0]["path"], "token.txt");
}

#[test]
fn people_are_told_where_what_and_what_to_do() {
    let (project, key) = repository();
    write(&project, "src/a.rs", format!("\nconst KEY: &str = \"{key}\";\n").as_bytes());
    let brought = commit(&project, "in");
    let ran = leaks(&project, &[]);
    ran.exits(30)
        .says("src/a.rs:2")
        .says("the key of `production`")
        .says("1 leak")
        .says("cargo xtask rotate production");
    ran.says("fingerprint");
    shows_nothing_of(&ran, &key);
    let ran = leaks(&project, &["--range", "HEAD~1..HEAD"]);
    ran.exits(30).says(&format!("(commit {})", &brought[..12])).says("git rebase -i");
    shows_nothing_of(&ran, &key);
    let ran = leaks(&project, &["--format", "github"]);
    ran.exits(30).says("::error file=src/a.rs,line=2,col=1,title=leaked key::");
    shows_nothing_of(&ran, &key);
}

#[test]
fn sarif_has_a_place_and_a_fingerprint_that_stays() {
    let (project, key) = repository();
    write(&project, "src/a b.rs", format!("{key}\n").as_bytes());
    let sarif = |project: &Project| {
        let ran = leaks(project, &["--format", "sarif"]);
        shows_nothing_of(&ran, &key);
        ran.exits(30).json()
    };
    let before = sarif(&project);
    assert_eq!(before["version"], "2.1.0");
    let result = &before["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/a%20b.rs");
    assert_eq!(place["region"]["startLine"], 1);
    let rules = before["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], result["ruleId"]);
    assert_eq!(before["runs"][0]["invocations"][0]["executionSuccessful"], true);
    write(&project, "src/a b.rs", format!("// above\n\n{key}\n").as_bytes());
    let after = sarif(&project);
    let moved = &after["runs"][0]["results"][0];
    assert_eq!(moved["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
    assert_eq!(moved["partialFingerprints"], result["partialFingerprints"]);
    assert!(
        result["partialFingerprints"].as_object().unwrap().values().all(|print| print.as_str().unwrap().len() == 32)
    );
}

/// SARIF of scans that end in every way, by name.
fn sarif_of_every_end() -> Vec<(&'static str, Value)> {
    let (project, key) = repository();
    write(&project, "src/a b.rs", format!("{key}\n").as_bytes());
    write(&project, &format!("names/{key}"), b"\n");
    write(&project, "backup.tar.gz", &gzip(&tar("conf/key.env", format!("\nKEY={key}\n").as_bytes())));
    symlink(format!("/nowhere/{key}"), project.path("link")).unwrap();
    commit(&project, &format!("subject\n\nuse {key}"));
    git(&project, &["tag", "--annotate", "--message", &key, "v1"]);
    git(&project, &["branch", &format!("fix/{key}")]);
    let blob = git_in(&project.path(""), &["hash-object", "-w", "--stdin"], format!("the {key}").as_bytes());
    git(&project, &["tag", "loose", &blob]);
    let run = |arguments: &[&str], exit: i32| {
        let ran = leaks(&project, &[arguments, &["--format", "sarif"]].concat());
        shows_nothing_of(&ran, &key);
        ran.exits(exit).json()
    };
    let mut documents = vec![
        ("the tree", run(&[], 30)),
        ("history", run(&["--history"], 30)),
        ("no range", run(&["--range", "nope..HEAD"], 2)),
    ];
    write(&project, "broken.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 7, 7, 7, 7]);
    documents.push(("incomplete", run(&[], 30)));
    let clean = leaks(&repository().0, &["--format", "sarif"]);
    documents.push(("clean", clean.exits(0).json()));
    documents
}

/// What code scanning on GitHub wants of a document; it refuses one that lacks any of it as a whole.
#[test]
fn every_result_of_sarif_has_what_code_scanning_wants() {
    let has_text = |value: &Value| value["text"].as_str().is_some_and(|text| !text.is_empty() && text.len() <= 1024);
    let mut places = std::collections::BTreeSet::new();
    for (name, document) in sarif_of_every_end() {
        assert!(document["$schema"].is_string() && document["version"] == "2.1.0", "{name}");
        let run = &document["runs"][0];
        assert_eq!(run["tool"]["driver"]["name"], "license-hooks", "{name}");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for rule in rules {
            assert!(rule["id"].is_string() && rule["defaultConfiguration"]["level"] == "error", "{name}: {rule}");
            assert!(has_text(&rule["shortDescription"]) && has_text(&rule["fullDescription"]), "{name}: {rule}");
            assert!(has_text(&rule["help"]), "{name}: {rule}");
        }
        for result in run["results"].as_array().unwrap() {
            places.insert(result["properties"]["place"].as_str().unwrap().to_owned());
            assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{name}: {result}");
            assert!(result["level"] == "error" && has_text(&result["message"]), "{name}: {result}");
            assert!(!result["partialFingerprints"].as_object().unwrap().is_empty(), "{name}: {result}");
            for location in result["locations"].as_array().unwrap() {
                let physical = &location["physicalLocation"];
                let uri = physical["artifactLocation"]["uri"].as_str().unwrap_or_default();
                assert!(!uri.is_empty() && !uri.starts_with('/') && !uri.contains(' '), "{name}: {result}");
                assert!(physical["region"]["startLine"].as_u64().is_some_and(|line| line > 0), "{name}: {result}");
            }
            assert_eq!(result["locations"].as_array().unwrap().len(), 1, "{name}: {result}");
        }
    }
    let expected = ["blob", "commit", "file", "file_name", "ref_name", "symlink_target", "tag", "tree"];
    assert_eq!(places.into_iter().collect::<Vec<_>>(), expected, "every place was tried");
}

/// `LICENSE_TESTS_PYTHON` names a python that has the schema and a validator: see `sarif_driver.py`.
#[test]
fn every_document_of_sarif_is_one_by_the_published_schema() {
    let skip = |why: &str| std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes());
    let Some(python) = std::env::var_os("LICENSE_TESTS_PYTHON").filter(|python| !python.is_empty()) else {
        return skip("LICENSE_TESTS_PYTHON is not set, and the schema of SARIF is not here").unwrap();
    };
    for (name, document) in sarif_of_every_end() {
        let mut command = Command::new(&python);
        command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("it/sarif_driver.py"));
        let finished = Running::start_with_input(&mut command, &document.to_string()).wait();
        if finished.code() == 3 {
            return skip(&format!("that python cannot check SARIF: {}", finished.stderr.trim())).unwrap();
        }
        assert_eq!((finished.code(), finished.stdout.as_str()), (0, ""), "{name}: {}", finished.stderr);
    }
}

#[test]
fn without_a_license_toml_the_forms_are_looked_for() {
    let (project, key) = repository();
    let project = project.without_license_toml();
    leaks(&project, &[]).exits(0).says("there is no license.toml").says("only the forms");
    write(&project, "a.txt", format!("{key}\n").as_bytes());
    let findings = found("by its form", &project, &key, &[]);
    one_is("by its form", &findings, &[("path", "a.txt".into()), ("kind", "to_key".into())]);
}

#[test]
fn a_wrong_license_toml_is_a_mistake_and_not_a_clean_scan() {
    let (project, _) = repository();
    leaks(&project.license_toml(b"version = 1\nversion = 2\n"), &[]).exits(3);
}

#[test]
fn a_range_that_is_none_is_a_mistake_of_the_command_line() {
    let (project, _) = repository();
    for range in ["nope..HEAD", "--all", "-1", "README", "", "^HEAD", "HEAD\n--all"] {
        leaks(&project, &[&format!("--range={range}")]).named(range).exits(2).says_nothing_of("no leak");
    }
    leaks(&project, &["--history", "--range", "HEAD"]).exits(2);
}

#[test]
fn a_key_in_the_range_itself_is_not_shown() {
    let own = format!("{}+/?", &key()[7..]);
    let (project, key) = repository();
    let project = project.var("TO_API_KEY", &own);
    git(&project, &["branch", &format!("fix/{key}")]);
    let long = format!("{}{key}..HEAD", "x".repeat(190));
    for format in ["human", "json", "sarif", "github"] {
        let scan = |range: &str, exit: i32| {
            let ran = leaks(&project, &[&format!("--range={range}"), "--format", format]).named(format);
            ran.exits(exit);
            shows_nothing_of(&ran, &key);
            shows_nothing_of(&ran, &own);
            let first = &key[..16];
            assert!(!ran.stdout().contains(first) && !ran.stderr().contains(first), "a part of the key: {ran}");
        };
        scan(&format!("main..fix/{key}"), 0);
        scan(&format!("{key}..HEAD"), 2);
        scan(&format!("HEAD..{own}"), 2);
        scan(&long, 2);
    }
    // By its form, where nothing is configured.
    let ran = leaks(&project.without_license_toml(), &[&format!("--range={key}")]);
    ran.exits(2).says("is no range of commits here");
    shows_nothing_of(&ran, &key);
}

#[test]
fn outside_of_a_repository_nothing_is_clean() {
    let project = project().authority_at("http://127.0.0.1:9/api/v1").var("GIT_CEILING_DIRECTORIES", "/");
    for arguments in [&[][..], &["--history"], &["--range", "HEAD"]] {
        let ran = leaks(&project, arguments);
        ran.exits(31)
            .says("is in no git repository")
            .says("run the command in the repository")
            .says_nothing_of("no leak");
    }
}

#[test]
fn a_repository_without_a_commit_has_no_leak() {
    let project = project().authority_at("http://127.0.0.1:9/api/v1");
    git(&project, &["init", "--quiet"]);
    leaks(&project, &["--history"]).exits(0).says("no leak (0 objects)");
}

#[test]
fn a_bare_repository_has_history_and_no_tree() {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    let bare = project.path("../bare.git");
    git(&project, &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let config = project.path("license.toml");
    let run = |arguments: &[&str]| {
        project.run_in(&bare, &[&["leaks", "--config", config.to_str().unwrap()], arguments].concat())
    };
    run(&[]).exits(2).says("which has no working tree").says("--history");
    run(&["--history"]).exits(30).says("a.txt:1");
    run(&["--range", "main"]).exits(30).says("a.txt:1");
}

#[test]
fn what_a_hook_of_another_repository_set_does_not_lead_astray() {
    let (other, _) = repository();
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    let project = project.var("GIT_DIR", other.path(".git").to_str().unwrap());
    for arguments in [&[][..], &["--history"]] {
        found("another GIT_DIR", &project, &key, arguments);
    }
}

#[test]
fn the_scan_changes_nothing_in_the_repository() {
    let (project, _) = repository();
    let before = listing(&project.path(".git"));
    leaks(&project, &[]).exits(0);
    leaks(&project, &["--history"]).exits(0);
    assert_eq!(listing(&project.path(".git")), before);
}

fn listing(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The loose file of an object.
fn loose(project: &Project, oid: &str) -> PathBuf {
    project.path(".git/objects").join(&oid[..2]).join(&oid[2..])
}

#[test]
fn a_broken_repository_is_never_clean() {
    type Break = fn(&Project);
    let rows: [(&str, Break); 6] = [
        ("a missing blob", |project| {
            fs::remove_file(loose(project, &git(project, &["rev-parse", "HEAD:README"]))).unwrap();
        }),
        ("a missing tree", |project| {
            fs::remove_file(loose(project, &git(project, &["rev-parse", "HEAD^{tree}"]))).unwrap();
        }),
        ("a missing commit", |project| {
            commit(project, "second");
            fs::remove_file(loose(project, &git(project, &["rev-parse", "HEAD~1"]))).unwrap();
        }),
        ("a blob that is rubbish", |project| {
            let path = loose(project, &git(project, &["rev-parse", "HEAD:README"]));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(path, b"rubbish").unwrap();
        }),
        ("a ref that leads nowhere", |project| {
            fs::write(project.path(".git/refs/heads/broken"), "1".repeat(40) + "\n").unwrap();
        }),
        ("a ref that is rubbish", |project| {
            fs::write(project.path(".git/refs/heads/broken"), "rubbish\n").unwrap();
        }),
    ];
    for (name, breaking) in rows {
        let (project, _) = repository();
        breaking(&project);
        let ran = leaks(&project, &["--history", "--format", "json"]).named(name);
        let document = ran.exits(31).json();
        assert!(!document["incomplete"].as_array().unwrap().is_empty(), "{name}: {document}");
    }
}

#[test]
fn a_leak_in_an_incomplete_scan_is_a_leak_and_the_rest_is_told() {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    write(&project, "broken.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 7, 7, 7, 7]);
    let ran = leaks(&project, &[]);
    ran.exits(30).says("a.txt:1").says("not scanned: broken.gz").says("the scan is incomplete");
}

#[test]
fn a_file_that_cannot_be_read_makes_the_scan_incomplete() {
    if rustix::process::geteuid().is_root() {
        // Nobody keeps root from reading: a file is put in the place of a directory that holds a tracked one.
        return;
    }
    let (project, _) = repository();
    write(&project, "closed.txt", b"x\n");
    fs::set_permissions(project.path("closed.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    leaks(&project, &[]).exits(31).says("closed.txt").says("the permission is missing");
}

/// A `git` in front of the real one.
fn with_git(project: Project, script: &str) -> Project {
    let directory = project.path("../bin");
    fs::create_dir_all(&directory).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = format!("#!/bin/sh\nreal() {{ PATH='{path}' git \"$@\"; }}\n{script}\n");
    // Written by another process: one of ours that starts just now must not hold it open for writing.
    let file = directory.join("git");
    let mut child = Command::new("sh")
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&file)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), real.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    project.var("PATH", &format!("{}:{path}", directory.display()))
}

#[test]
fn a_git_that_dies_says_too_little_or_is_none_is_never_clean() {
    let both = "case \"$*\" in *rev-list*--objects*) kind=list ;; *cat-file*) kind=read ;; *) kind=other ;; esac\n";
    let rows = [
        ("the lister dies", "list) real \"$@\" | head -n 1; kill -9 $$ ;;", "listing objects"),
        ("the lister fails silently", "list) real \"$@\" | head -n 1; exit 1 ;;", "listing objects"),
        ("the lister ends in the middle of a line", "list) real \"$@\" | head -c 60 ;;", "listing objects"),
        ("the reader dies", "read) real \"$@\" | head -c 40; kill -9 $$ ;;", "reading objects"),
        ("the reader stops early and is content", "read) head -n 1 | real \"$@\"; cat > /dev/null ;;", "were scanned"),
        ("the reader cuts an object", "read) real \"$@\" | head -c 100 ;;", "reading objects"),
        ("the reader says something else", "read) cat > /dev/null; echo hello world ;;", "reading objects"),
        (
            "an object is missing",
            "read) cat > /dev/null; for n in 1 2 3 4 5 6 7 8; do printf '%040d missing\\n' $n; done ;;",
            "it is missing",
        ),
    ];
    for (name, case, says) in rows {
        let script = format!("{both}case $kind in {case}\n*) real \"$@\" ;; esac");
        let (project, _) = repository();
        let project = with_git(project, &script);
        let ran = leaks(&project, &["--history"]).named(name);
        ran.exits(31).says("incomplete").says(says);
        // Most of it in a pack, which is read without git.
        let (project, _) = repository();
        git(&project, &["repack", "--quiet", "-a", "-d"]);
        commit(&project, "second");
        write(&project, "third.txt", b"third\n");
        commit(&project, "third");
        let project = with_git(project, &script);
        leaks(&project, &["--history"]).named(&format!("{name}, with a pack")).exits(31).says("incomplete");
    }
}

#[test]
fn a_broken_pack_is_never_clean_and_the_leaks_in_the_rest_are_told() {
    let (project, key) = repository();
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    write(&project, "other.txt", b"something that is in no other file\n");
    commit(&project, "other");
    git(&project, &["repack", "--quiet", "-a", "-d"]);
    let blob = git(&project, &["rev-parse", "HEAD:other.txt"]);
    let listed = git(
        &project,
        &["cat-file", "--batch-check=%(objectname) %(objectsize:disk)", "--batch-all-objects", "--unordered"],
    );
    // In the order of the pack.
    let mut end = 12;
    for line in listed.lines() {
        let (name, bytes) = line.split_once(' ').unwrap();
        end += bytes.parse::<usize>().unwrap();
        if name == blob {
            break;
        }
    }
    let pack = fs::read_dir(project.path(".git/objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "pack")).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[end - 6] ^= 0x10;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let ran = leaks(&project, &["--history"]);
    ran.exits(30).says("a.txt:1").says(&format!("object {blob}")).says("the scan is incomplete");
    shows_nothing_of(&ran, &key);
}

#[test]
fn a_git_that_is_missing_or_too_old_is_told() {
    let (project, _) = repository();
    let empty = project.path("../empty");
    fs::create_dir(&empty).unwrap();
    let project = project.var("PATH", empty.to_str().unwrap());
    for arguments in [&[][..], &["--history"]] {
        leaks(&project, arguments).exits(31).says("git cannot be started").says("install git");
    }
    let (project, _) = repository();
    let old = "case \"$*\" in *rev-list*|*ls-files*) echo 'unknown option: --no-object-names' >&2; exit 129 ;; *) real \"$@\" ;; esac";
    let project = with_git(project, old);
    for arguments in [&[][..], &["--history"]] {
        leaks(&project, arguments).exits(31).says("this git is too old").says("install git");
    }
}

#[test]
fn a_partial_clone_is_scanned_without_a_fetch() {
    let (project, _) = repository();
    git(&project, &["config", "uploadpack.allowFilter", "true"]);
    write(&project, "a.txt", b"in no working tree\n");
    commit(&project, "a");
    write(&project, "a.txt", b"second\n");
    commit(&project, "b");
    let clone = project.path("../partial");
    let url = format!("file://{}", project.path("").display());
    git(&project, &["clone", "--quiet", "--filter=blob:none", &url, clone.to_str().unwrap()]);
    // The remote goes away: whoever fetched now would fail.
    fs::rename(project.path(".git"), project.path("../gone.git")).unwrap();
    let config = project.path("license.toml");
    let ran = project.run_in(&clone, &["leaks", "--history", "--format", "json", "--config", config.to_str().unwrap()]);
    let document = ran.exits(0).json();
    assert_eq!(document["promised"], 1, "{document}");
    project.run_in(&clone, &["leaks", "--config", config.to_str().unwrap()]).exits(0);
    // One that the clone does have, and that goes away, is not the remote's.
    let blob = git_in(&clone, &["rev-parse", "HEAD^{tree}"], b"");
    assert_eq!(blob.len(), 40);
}

/// git cannot tell what the commits changed whose trees are not here, nor what those after them did.
#[test]
fn a_clone_without_trees_says_that_places_were_not_looked_for_to_the_end() {
    let (project, key) = repository();
    git(&project, &["config", "uploadpack.allowFilter", "true"]);
    write(&project, "b.txt", b"b\n");
    commit(&project, "second");
    let clone = project.path("../treeless");
    let url = format!("file://{}", project.path("").display());
    git(&project, &["clone", "--quiet", "--filter=tree:0", &url, clone.to_str().unwrap()]);
    fs::write(clone.join("a.txt"), &key).unwrap();
    git_in(&clone, &["add", "a.txt"], b"");
    git_in(&clone, &["commit", "--quiet", "--message", "in"], b"");
    let config = project.path("license.toml");
    let run = |arguments: &[&str]| {
        project.run_in(&clone, &[&["leaks", "--config", config.to_str().unwrap()], arguments].concat())
    };
    run(&["--history"]).exits(30).says("the key of `production`").says("was not looked for to the end");
    // What these commits changed is here.
    run(&["--range", "HEAD~1..HEAD"]).exits(30).says("a.txt:1 (commit").says_nothing_of("to the end");
}

/// Packs come and go under the scan: an object that was in one of them is then asked of git.
#[test]
fn a_repository_that_is_packed_again_under_the_scan_is_never_taken_for_clean() {
    let (project, key) = repository();
    for number in 0..24 {
        let project = &project;
        fs::write(project.path("a.txt"), format!("{number}\n").repeat(4000)).unwrap();
        fs::write(project.path(&format!("b{number}.txt")), if number == 11 { key.clone() } else { number.to_string() })
            .unwrap();
        commit(project, &format!("number {number}"));
    }
    git(&project, &["repack", "--quiet", "-a", "-d"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                // A new pack with other deltas takes the place of the one before.
                git(&project, &["repack", "--quiet", "-a", "-d", "-f", &format!("--depth={}", 1 + times % 7)]);
                times += 1;
            }
            times
        });
        for _ in 0..12 {
            let ran = project.run(&["leaks", "--history"]);
            assert!([30, 31].contains(&ran.code()), "{ran}");
            ran.says_nothing_of("no leak");
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(packing.join().unwrap() > 1);
    });
    project.run(&["leaks", "--history"]).exits(30).says("b11.txt:1");
}

#[test]
fn a_shallow_clone_says_that_there_is_more() {
    let (project, _) = repository();
    commit(&project, "second");
    let clone = project.path("../shallow");
    let url = format!("file://{}", project.path("").display());
    git(&project, &["clone", "--quiet", "--depth=1", &url, clone.to_str().unwrap()]);
    let config = project.path("license.toml");
    let ran = project.run_in(&clone, &["leaks", "--history", "--config", config.to_str().unwrap()]);
    ran.exits(0).says("shallow clone");
}

#[test]
fn a_range_that_goes_on_behind_the_border_of_a_shallow_clone_is_never_clean() {
    let (project, key) = repository();
    git(&project, &["tag", "base"]);
    write(&project, "a.txt", key.as_bytes());
    commit(&project, "in");
    git(&project, &["rm", "--quiet", "a.txt"]);
    commit(&project, "out");
    for message in ["one", "two"] {
        commit(&project, message);
    }
    let (url, config) = (format!("file://{}", project.path("").display()), project.path("license.toml"));
    let config = config.to_str().unwrap();
    let clone = project.path("../shallow");
    let within = |arguments: &[&str]| git_in(&clone, arguments, b"");
    let scan = |range: &str| project.run_in(&clone, &["leaks", "--config", config, "--range", range]);
    git(&project, &["clone", "--quiet", "--depth=2", &url, clone.to_str().unwrap()]);
    within(&["fetch", "--quiet", "--depth=1", "origin", "tag", "base"]);
    // The border is in the range, and what is behind it is not here.
    let border = within(&["rev-parse", "HEAD~1"]);
    for range in ["base..HEAD", "base..HEAD~1", "HEAD"] {
        scan(range).exits(31).says("shallow clone").says(&border[..12]).says("git fetch --unshallow");
    }
    // It is left out, with all that is behind it.
    scan("HEAD~1..HEAD").exits(0).says_nothing_of("shallow");
    // The border is in the range, and what is behind it is here, and left out.
    within(&["fetch", "--quiet", "--depth=3", "origin", "main"]);
    within(&["tag", "out", "HEAD~2"]);
    within(&["fetch", "--quiet", "--depth=1", "origin", "main"]);
    scan("HEAD").exits(31);
    scan("out..HEAD").exits(31);
    within(&["fetch", "--quiet", "--depth=2", "origin", "main"]);
    scan("out..HEAD").exits(0).says_nothing_of("shallow");
    within(&["fetch", "--quiet", "--unshallow", "origin", "main"]);
    scan("base..HEAD").exits(30).says("a.txt:1").says_nothing_of("shallow");
}

#[test]
fn worktrees_are_repositories_too() {
    let (project, key) = repository();
    let tree = project.path("../linked");
    git(&project, &["worktree", "add", "--quiet", "-b", "linked", tree.to_str().unwrap()]);
    fs::write(tree.join("a.txt"), &key).unwrap();
    let config = project.path("license.toml");
    let run = |more: &[&str]| project.run_in(&tree, &[&["leaks", "--config", config.to_str().unwrap()], more].concat());
    run(&[]).exits(30).says("a.txt:1");
    git_in(&tree, &["add", "--all"], b"");
    git_in(&tree, &["commit", "--quiet", "--message", "in"], b"");
    run(&["--history"]).exits(30).says("a.txt:1");
}

/// `refs/bisect`, `refs/rewritten` and `refs/worktree` are each worktree's own, and git lists those of one alone.
#[test]
fn the_history_has_what_the_refs_of_every_worktree_lead_to() {
    for (format, of) in [("files", "linked"), ("files", "main"), ("reftable", "linked")] {
        let (project, key) = repository();
        if format == "reftable" && !has_reftable(&project) {
            continue;
        }
        let linked = project.path("../linked");
        git(&project, &["worktree", "add", "--quiet", "--detach", linked.to_str().unwrap()]);
        let config = project.path("license.toml");
        let (owner, other) = match of {
            "main" => (project.path(""), linked.clone()),
            _ => (linked.clone(), project.path("")),
        };
        let blob = git_in(&owner, &["hash-object", "-w", "--stdin"], key.as_bytes());
        for name in ["refs/bisect/bad", "refs/rewritten/a", "refs/worktree/b/c"] {
            git_in(&owner, &["update-ref", name, &blob], b"");
            for directory in [&owner, &other] {
                let ran = project.run_in(directory, &["leaks", "--history", "--config", config.to_str().unwrap()]);
                ran.named(name).exits(30).says("the key of `production`");
            }
            git_in(&owner, &["update-ref", "-d", name], b"");
        }
        let ran = project.run_in(&other, &["leaks", "--history", "--config", config.to_str().unwrap()]);
        ran.exits(0);
        // One that leads nowhere is no less broken than one of our own, wherever the worktree went.
        git_in(&owner, &["update-ref", "refs/worktree/a", &blob], b"");
        fs::remove_file(project.path(&format!(".git/objects/{}/{}", &blob[..2], &blob[2..]))).unwrap();
        if of == "linked" {
            fs::remove_dir_all(&linked).unwrap();
        }
        let ran = project.run_in(&other, &["leaks", "--history", "--config", config.to_str().unwrap()]);
        ran.exits(31);
    }
}

/// Moves the refs of a repository into tables, where git can: it moves no reflogs.
fn has_reftable(project: &Project) -> bool {
    fs::remove_dir_all(project.path(".git/logs")).unwrap();
    let mut command = Command::new("git");
    command.args(["refs", "migrate", "--ref-format=reftable"]).current_dir(project.path(""));
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    let is_old = String::from_utf8_lossy(&output.stderr).contains("is not a git command");
    assert!(output.status.success() || is_old, "{output:?}");
    !is_old
}

#[test]
fn a_submodule_is_named_in_the_working_tree_and_scanned_nowhere() {
    let (project, key) = repository();
    let (inner, _) = repository();
    write(&inner, "a.txt", key.as_bytes());
    commit(&inner, "in");
    let inner = inner.path("");
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.to_str().unwrap(), "inner"];
    git(&project, &add);
    commit(&project, "submodule");
    leaks(&project, &[]).exits(0).says("`inner` is a repository of its own, and was not scanned");
    for arguments in [&["--range", "HEAD"][..], &["--history"]] {
        leaks(&project, arguments).exits(0).says("no leak").says_nothing_of("own, and was not scanned");
    }
}

/// What stands in this repository is no leak: not the keys of its tests, nor its examples.
#[test]
fn this_repository_has_no_leak() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if !root.join(".git").exists() {
        // A tree that was unpacked from an archive is in no repository.
        return;
    }
    let project = project().without_license_toml();
    project.run_in(root, &["leaks"]).exits(0).says("no leak");
    // In a shallow clone not all of what HEAD brings is here.
    if git_in(root, &["rev-parse", "--is-shallow-repository"], b"") == "false" {
        project.run_in(root, &["leaks", "--range", "HEAD"]).exits(0).says("no leak");
    }
}
