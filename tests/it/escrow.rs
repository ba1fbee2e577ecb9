//! `escrow keygen`, `show` and `open`, with files that another program sealed.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use license_tests::{Hub, Project, Ran, Rotating, process::Running, rotating::IDENTITY_VARIABLE};

use crate::{BINARY, authority, project};

/// Made by `age-keygen` 1.1.1 for these tests.
const IDENTITY: &str = "AGE-SECRET-KEY-1J90R5UJ33Y57ZF5E6ZH36YLSRKE3X6DMYFZYZ4U0NQMW4M3YFETQL7SX2P";

/// Sealed by `age` 1.1.1.
const SEALED: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBCOWpXa2g4ZEVWQkRTalNr
YVI2eUsza3owSkJwdkhIalc4aDFEVDJ1d1JNCjVQZlhnaWJiUmp2dWRXbDcyK2hU
d2hSaldMZ1ZOenZhazVjWCtyLzVITE0KLT4gWDI1NTE5IHpmZVBGYSt0ZTlodEZu
SDNNcVNJMG1udkR6Ym9FaDJMdW4zdUhxdm9SbHMKVEdYTHVCT05wZ3lFcW5FMSsr
am5ONkZtbGozN0tMcG5CdUlxUkFpZ1BzcwotLS0gYkJZdzRrc3ZkT0UxQzRnaHpO
aldNU2NCUVl1L0dSV1FKT3EzQi9zeUtuTQo9o3Esan+sEUvlouPzL3T9E676sxyn
M0LXj0nW8nou/Vu/ZrPNiJcHkMpNadzl2xyn/thvib9qJRd6Vdox8wk=
-----END AGE ENCRYPTED FILE-----
";

/// What is in it.
const SEALED_KEY: &str = "TO-DEV-made-by-another-program";

const OPEN_OLD: [&str; 7] = ["escrow", "open", "production", "--rotation", "rot-1", "--kind", "old"];

/// A project with an old key in escrow, and its identity in a file and in a variable.
fn escrowed() -> Project {
    project()
        .authority_at("http://127.0.0.1:9/api/v1")
        .write(".license/escrow/production/rot-1.old.age", SEALED.as_bytes())
        .write("identity.txt", format!("# public key: age1…\n{IDENTITY}\n").as_bytes())
        .var("ESCROW_IDENTITY", IDENTITY)
}

fn open_with(rest: &[&'static str]) -> Vec<&'static str> {
    [&OPEN_OLD[..], rest].concat()
}

#[test]
fn a_new_identity_opens_what_is_sealed_to_its_recipient() {
    let project = project();
    let ran = project.run(&["escrow", "keygen"]);
    ran.exits(0).says("[escrow]").says("identity = { file = \".license/escrow/identity.txt\" }");
    let path = project.path(".license/escrow/identity.txt");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = text.lines().last().unwrap();
    assert!(secret.starts_with("AGE-SECRET-KEY-1"));
    ran.says_nothing_of(secret);
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    ran.says(&format!("recipients = [\"{recipient}\"]"));

    project.run(&["escrow", "keygen"]).exits(3).says("exists").says_nothing_of(secret);
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "an identity is never overwritten");
    project.run(&["escrow", "keygen", "--out", "keys/other.txt"]).exits(0).says("keys/other.txt");
    assert_ne!(fs::read_to_string(project.path("keys/other.txt")).unwrap(), text);
    project.run(&["escrow", "keygen", "--out", "license.toml"]).exits(3);
}

#[test]
fn what_lies_in_escrow_is_listed_and_not_opened() {
    let project = escrowed().write(".license/escrow/staging/rot-9.answer.age", SEALED.as_bytes());
    let ran = project.run(&["escrow", "show"]);
    ran.exits(0).never_shows(SEALED_KEY);
    let lines: Vec<Vec<&str>> = ran.stdout().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2);
    let bytes = SEALED.len().to_string();
    assert_eq!((&lines[0][..3], lines[0][4]), (&["production", "rot-1", "old"][..], bytes.as_str()));
    assert_eq!(&lines[1][..3], ["staging", "rot-9", "answer"]);
    let one = project.run(&["escrow", "show", "staging"]);
    assert_eq!(one.exits(0).stdout().lines().count(), 1);
    project.run(&["escrow", "show", "development"]).exits(2).says("license.toml has no environment `development`");
    project.run(&["escrow", "show", "../x"]).exits(2);
}

#[test]
fn a_sealed_key_is_opened_with_either_form_of_identity_and_nothing_else_is_written() {
    let project = escrowed();
    for rest in [["--identity-file", "identity.txt"], ["--identity-env", "ESCROW_IDENTITY"]] {
        let ran = project.run(&open_with(&rest));
        assert_eq!(ran.exits(0).stdout(), format!("{SEALED_KEY}\n"));
        assert_eq!(ran.stderr(), "");
        ran.says_nothing_of(IDENTITY);
    }
}

#[test]
fn a_broken_or_missing_license_toml_does_not_keep_a_key_sealed() {
    let broken = escrowed().license_toml(b"version = 1\nversion = 2\n");
    broken.run(&open_with(&["--identity-file", "identity.txt"])).exits(0).says(SEALED_KEY);
    let missing = escrowed().without_license_toml();
    missing.run(&open_with(&["--identity-file", "identity.txt"])).exits(0).says(SEALED_KEY);
}

#[test]
fn on_github_the_key_is_masked_before_it_is_written() {
    let project = escrowed().var("GITHUB_ACTIONS", "true");
    let ran = project.run(&open_with(&["--identity-env", "ESCROW_IDENTITY"]));
    assert_eq!(ran.exits(0).stdout(), format!("{SEALED_KEY}\n"));
    assert_eq!(ran.stderr(), format!("::add-mask::{SEALED_KEY}\n"));
}

#[test]
fn what_cannot_be_opened_says_why_and_shows_nothing() {
    let project = escrowed()
        .write(".license/escrow/production/rot-2.old.age", &SEALED.as_bytes()[..300])
        .var("EMPTY", "")
        .var("PASTED", SEALED_KEY);
    let failing = |arguments: &[&str], exit: i32, says: &str| {
        let ran = project.run(arguments);
        ran.exits(exit).says(says).never_shows(SEALED_KEY).says_nothing_of(IDENTITY);
        assert_eq!(ran.stdout(), "");
    };
    failing(&OPEN_OLD, 3, "--identity-file");
    failing(&open_with(&["--identity-file", "gone.txt"]), 3, "does not exist");
    failing(&open_with(&["--identity-env", "UNSET"]), 3, "is not set");
    failing(&open_with(&["--identity-env", "EMPTY"]), 3, "is empty");
    failing(&open_with(&["--identity-env", "PASTED"]), 3, "line 1 of the identity is no age identity");
    project.run(&["escrow", "keygen", "--out", "other.txt"]).exits(0);
    failing(&open_with(&["--identity-file", "other.txt"]), 3, "sealed to other recipients");
    let with = ["--identity-env", "ESCROW_IDENTITY"];
    let open = |rest: &[&'static str]| [&["escrow", "open", "production"], rest, &with[..]].concat();
    failing(&open(&["--rotation", "rot-1"]), 27, "no sealed `answer`");
    failing(&open(&["--rotation", "rot-7", "--kind", "old"]), 27, "escrow show production");
    failing(&open(&["--rotation", "rot-2", "--kind", "old"]), 27, "damaged");
    failing(&open(&["--rotation", "../rot-1", "--kind", "old"]), 2, "escrow show");
}

#[test]
fn of_several_blobs_one_has_to_be_named() {
    let project = escrowed();
    let crlf = SEALED.replace('\n', "\r\n");
    let beside = format!(".license/escrow/production/rot-1.old.{}.age", "0".repeat(32));
    let project = project.write(&beside, crlf.as_bytes());
    let with = open_with(&["--identity-env", "ESCROW_IDENTITY"]);
    project.run(&with).exits(2).says("--blob").never_shows(SEALED_KEY);
    let listed = project.run(&["escrow", "show"]).stdout().to_owned();
    let hash = listed.lines().next().unwrap().split_whitespace().nth(3).unwrap();
    let one = project.run(&[&with[..], &["--blob", hash]].concat());
    assert_eq!(one.exits(0).stdout(), format!("{SEALED_KEY}\n"));
}

#[test]
fn a_terminal_shows_a_key_only_if_it_is_told_to() {
    let project = escrowed();
    let on_a_terminal = |rest: &[&'static str]| {
        let plain = project.command(&project.path(""), &open_with(rest));
        let words: Vec<_> =
            std::iter::once(plain.get_program()).chain(plain.get_args()).map(|word| word.to_str().unwrap()).collect();
        // `script` gives the program a terminal of its own.
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &format!("'{}'", words.join("' '")), "/dev/null"]);
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(project.path(""));
        command
    };
    if Command::new("script").arg("--version").output().is_err() {
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: `script` is not installed\n").unwrap();
        return;
    }
    let refused = Running::start(&mut on_a_terminal(&["--identity-env", "ESCROW_IDENTITY"])).wait();
    let shown = format!("{refused:?}");
    assert!(shown.contains("--to-terminal") && !shown.contains(SEALED_KEY), "{shown}");
    let told = Running::start(&mut on_a_terminal(&["--identity-env", "ESCROW_IDENTITY", "--to-terminal"])).wait();
    assert!(format!("{told:?}").contains(SEALED_KEY), "{told:?}");
}

/// A rotation whose trail and escrow are on a remote, made by one machine; and another machine.
fn rotated_on_a_remote() -> (Rotating, Hub, Project) {
    let hub = Hub::new();
    let rotating = Rotating::start(BINARY, authority(&[])).with(|project| hub.shared_by(project));
    rotating.project.rotate(&[]).exits(0);
    let elsewhere = hub.shared_by(rotating.elsewhere(BINARY));
    (rotating, hub, elsewhere)
}

/// The lines of `escrow show`, as words.
fn listed(ran: &Ran) -> Vec<Vec<String>> {
    ran.stdout().lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn what_another_machine_sealed_is_found_on_the_remote() {
    let (rotating, hub, elsewhere) = rotated_on_a_remote();
    let trail = hub.trail("production");
    let id = trail.last("rotation")["rotation_id"].as_str().unwrap();
    for arguments in [&["escrow", "show"][..], &["escrow", "show", "production"]] {
        let ran = elsewhere.run(arguments);
        ran.exits(0).says("only on `origin`");
        let lines = listed(&ran);
        let first: Vec<_> = lines.iter().map(|line| (line[1].as_str(), line[2].as_str())).collect();
        assert_eq!(first, [(id, "old"), (id, "answer")], "{ran}");
    }
    // Where both places have the same, it is listed once.
    let here = rotating.project.run(&["escrow", "show"]);
    here.exits(0).says_nothing_of("only on");
    assert_eq!(listed(&here).len(), 2, "{here}");

    let open = ["escrow", "open", "production", "--rotation", id, "--kind"];
    let old = elsewhere.run(&[&open[..], &["old"]].concat());
    assert_eq!(old.exits(0).stdout().trim_end(), rotating.license.key);
    let answer = elsewhere.run(&[&open[..], &["answer"]].concat());
    assert!(answer.exits(0).stdout().contains(&rotating.newest_key()));
    assert_eq!(elsewhere.escrowed(), [""; 0], "looking keeps nothing here");
    elsewhere.run(&["escrow", "open", "production", "--rotation", "rot-7"]).exits(27).says("escrow show production");
}

/// The remote takes the old key, and not the answer: the new key is on the machine that asked for it only.
#[test]
fn an_answer_that_the_remote_did_not_take_is_said_to_lie_here_only_and_put_there_later() {
    for ci in [None, Some("true")] {
        let hub = Hub::new();
        let rotating = Rotating::start(BINARY, authority(&[])).with(|project| match ci {
            Some(ci) => hub.shared_by(project).var("CI", ci),
            None => hub.shared_by(project),
        });
        hub.refuses_after("refs/license/escrow/", 1);
        let ran = rotating.project.rotate(&[]);
        ran.exits(0).says("lies on this machine only").says("cargo xtask rotate production --resume").says("no more");
        assert_eq!(ran.stderr().contains("-----BEGIN AGE ENCRYPTED FILE-----"), ci.is_some(), "{ran}");
        rotating.hidden(&ran);
        let elsewhere = hub.shared_by(rotating.elsewhere(BINARY));
        let kinds =
            || listed(&elsewhere.run(&["escrow", "show"])).iter().map(|line| line[2].clone()).collect::<Vec<_>>();
        assert_eq!(kinds(), ["old"]);
        let again = rotating.project.rotate(&["--resume"]);
        again.exits(0).says("lies on this machine only");
        hub.refuses_nothing();
        rotating.project.rotate(&["--resume"]).exits(0).says("lies where other machines see it, too, from now on");
        assert_eq!(kinds(), ["old", "answer"]);
        rotating.project.rotate(&["--resume"]).exits(0).says_nothing_of("other machines");
    }
}

#[test]
fn without_a_license_toml_only_this_machine_is_looked_at_and_that_is_said() {
    let (rotating, hub, elsewhere) = rotated_on_a_remote();
    let trail = hub.trail("production");
    let id = trail.last("rotation")["rotation_id"].as_str().unwrap();
    let open = ["escrow", "open", "production", "--rotation", id, "--kind", "old", "--identity-env", IDENTITY_VARIABLE];
    let says = "only this machine is looked at";
    let broken = elsewhere.license_toml(b"version = 1\nversion = 2\n");
    broken.run(&open).exits(27).says(says);
    // A name that nobody knows is no slip where nobody knows the names.
    broken.run(&["escrow", "show", "development"]).exits(0).says("nothing lies in escrow here");
    broken.run(&["escrow", "show"]).exits(0).says(says).says("nothing lies in escrow here");

    let rotating = rotating.with(Project::without_license_toml);
    fs::remove_file(rotating.project.path("license.toml")).unwrap();
    let ran = rotating.project.run(&open);
    ran.exits(0).says(says);
    assert_eq!(ran.stdout().trim_end(), rotating.license.key);
}

#[test]
fn a_remote_that_is_out_of_reach_hides_nothing_of_this_machine_and_is_named() {
    let (rotating, hub, elsewhere) = rotated_on_a_remote();
    let trail = hub.trail("production");
    let id = trail.last("rotation")["rotation_id"].as_str().unwrap();
    let open = ["escrow", "open", "production", "--rotation", id, "--kind", "old"];
    drop(hub);
    let ran = rotating.project.run(&open);
    ran.exits(0).says("the shared escrow cannot be used").says("this is what this machine has");
    assert_eq!(ran.stdout().trim_end(), rotating.license.key);
    let shown = rotating.project.run(&["escrow", "show"]);
    shown.exits(27).says("the shared escrow cannot be used");
    assert_eq!(listed(&shown).len(), 2, "{shown}");

    elsewhere.run(&open).exits(27).says("the shared escrow cannot be used");
    elsewhere.run(&["escrow", "show"]).exits(27).says_nothing_of("nothing lies in escrow");
}
