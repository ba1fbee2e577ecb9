//! The trail: every verdict is in it, its order shows every change, and without it nothing is deployed.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use license_core::LicenseKey;
use license_tests::{Answer, Grant, Hub, Project, RawServer, process::Running};
use serde_json::json;

use crate::{KEY, asking, good, leaks::git, licensed, saying};

#[test]
fn the_printed_head_is_the_head_of_the_file() {
    let (_authority, _, project) = licensed(&Grant::default());
    let ran = project.deploy();
    let head = project.trail("production").head;
    assert_eq!(ran.exits(0).head("production"), (head.seq, head.hash.to_string()));
}

#[test]
fn a_no_prints_its_head_too() {
    let server = saying(&json!({ "valid": false }));
    let project = asking(&server);
    let ran = project.deploy();
    let head = project.trail("production").head;
    assert_eq!(ran.exits(10).head("production"), (head.seq, head.hash.to_string()));
}

#[test]
fn a_gate_entry_has_everything_that_the_decision_was_based_on() {
    let server = saying(&good());
    let project = asking(&server).line("features", r#"["sso"]"#).line("activations", "2");
    project.deploy().exits(0);
    let trail = project.trail("production");
    let gate = trail.last("gate");
    assert_eq!(gate["environment"], "production");
    assert_eq!(gate["checks"].as_array().unwrap().len(), 7);
    assert_eq!(gate["demand"]["features"], json!(["sso"]));
    assert_eq!(gate["demand"]["activations"], 2);
    assert_eq!(gate["license"]["plan"], "enterprise");
    assert_eq!(gate["key_fingerprint"], LicenseKey::parse(KEY).unwrap().fingerprint().to_string());
    assert!(gate["actor"].is_object(), "{gate}");
}

#[test]
fn the_actor_of_a_ci_run_is_recorded() {
    let server = saying(&good());
    let project = asking(&server)
        .var("GITHUB_ACTIONS", "true")
        .var("GITHUB_SERVER_URL", "https://github.com")
        .var("GITHUB_REPOSITORY", "acme/app")
        .var("GITHUB_RUN_ID", "42")
        .var("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567");
    project.deploy().exits(0);
    let trail = project.trail("production");
    let actor = &trail.last("gate")["actor"];
    assert_eq!(actor["run_url"], "https://github.com/acme/app/actions/runs/42");
    assert_eq!(actor["commit"], "0123456789abcdef0123456789abcdef01234567");
    assert!(actor["ci"].is_string(), "{actor}");
}

#[test]
fn checks_write_nothing() {
    let rows =
        [(saying(&good()), 0), (saying(&json!({ "valid": false })), 10), (RawServer::script([Answer::Reset]), 11)];
    for (server, exit) in rows {
        let project = asking(&server);
        project.check().exits(exit);
        project.check_json().exits(exit);
        assert!(!project.path(".license").exists());
    }
}

#[test]
fn audit_shows_and_verifies_what_was_written() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.deploy().exits(0);
    project.run(&["audit", "show", "production"]).exits(0).says("gate").says("deploy");
    let head = project.trail("production").head;
    project.run(&["audit", "verify", "production"]).exits(0).says(&head.hash.to_string());
    let expected = head.hash.to_string();
    project.run(&["audit", "verify", "production", "--expect-head", &expected]).exits(0);
}

#[test]
fn a_slip_in_a_name_is_no_empty_trail() {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    for command in ["show", "verify"] {
        project.run(&["audit", command, "prodution"]).exits(3).says("did you mean `production`");
    }
}

#[test]
fn a_trail_outlives_its_environment() {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    fs::rename(project.trail_file("production"), project.trail_file("retired")).unwrap();
    // Its entries name another environment, so it is not whole; but it is looked at.
    project.run(&["audit", "verify", "retired"]).exits(26);
}

#[test]
fn audit_knows_another_head() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.deploy().exits(0);
    let other = "0".repeat(63) + "1";
    project.run(&["audit", "verify", "production", "--expect-head", &other]).exits(32).says(&other);
}

#[test]
fn audit_knows_a_trail_that_was_cut_short() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.deploy().exits(0);
    let head = project.trail("production").head.hash.to_string();
    let file = project.trail_file("production");
    let text = fs::read_to_string(&file).unwrap();
    let first = text.split_inclusive('\n').next().unwrap();
    fs::write(&file, first).unwrap();
    project.run(&["audit", "verify", "production"]).exits(0);
    project.run(&["audit", "verify", "production", "--expect-head", &head]).exits(32);
}

/// What somebody may do to a trail, and that it shows.
#[test]
fn a_changed_trail_is_not_trusted_and_nothing_is_deployed_on_it() {
    type Tamper = fn(Vec<String>) -> Vec<String>;
    let rows: [(&str, Tamper); 5] = [
        ("a changed word", |mut lines| {
            lines[1] = lines[1].replace("\"go\"", "\"refused\"");
            lines
        }),
        ("a lost line", |mut lines| {
            lines.remove(1);
            lines
        }),
        ("two lines in another order", |mut lines| {
            lines.swap(0, 1);
            lines
        }),
        ("a line twice", |mut lines| {
            lines.insert(1, lines[0].clone());
            lines
        }),
        ("nonsense in between", |mut lines| {
            lines.insert(1, "nonsense".to_owned());
            lines
        }),
    ];
    let server = saying(&good());
    for (name, tamper) in rows {
        let project = asking(&server);
        project.deploy().exits(0);
        let file = project.trail_file("production");
        let lines: Vec<_> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        let changed = tamper(lines.clone());
        assert_ne!(changed, lines, "{name}");
        fs::write(&file, changed.join("\n") + "\n").unwrap();
        let before = fs::read(&file).unwrap();

        let ran = project.run(&["audit", "verify", "production"]);
        assert_eq!(ran.code(), 26, "{name}\n{ran}");
        ran.says("production.jsonl").says("line");
        project.deploy().exits(26).deploy_did_not_run();
        assert_eq!(fs::read(&file).unwrap(), before, "{name}: something was written");
    }
}

/// Whoever reads "broken" thinks of tampering: an outage must not read so.
#[test]
fn a_trail_that_cannot_be_reached_is_not_called_broken() {
    let hub = Hub::new();
    let server = saying(&good());
    let project = hub.shared_by(asking(&server));
    project.deploy().exits(0);
    let head = hub.trail("production").head.hash.to_string();
    git(&project, &["remote", "set-url", "origin", "/nonexistent/hub.git"]);
    let ran = project.run(&["audit", "verify", "production", "--expect-head", &head]);
    ran.exits(26).says("production: not read: the remote `origin` cannot be reached").says("git ls-remote origin");
    ran.says("it is not known whether the expected head")
        .says_nothing_of("broken")
        .says_nothing_of("is not in the trail");
    let document = project.run(&["audit", "verify", "production", "--format", "json"]).exits(26).json();
    let trail = &document["trails"][0];
    assert_eq!((trail["state"].as_str(), trail["error"].is_string()), (Some("not_read"), true), "{document}");
    assert!(trail["next"].as_str().unwrap().contains("git ls-remote origin"), "{document}");
}

#[test]
fn a_trail_that_somebody_else_has_locked_is_not_called_broken() {
    let (_server, project, whole) = deployed();
    let lock = project.path(".license/trail/production.jsonl.lock");
    let held = fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let ran = project.run(&["audit", "verify", "production"]);
    ran.exits(26).says("production: not read: ").says("is locked by another process").says("fuser");
    ran.says_nothing_of("broken");
    drop(held);
    project.run(&["audit", "verify", "production"]).exits(0);
    // What is there and was changed stays broken, and says what to do.
    fs::write(project.trail_file("production"), [b"x", &whole[1..]].concat()).unwrap();
    let ran = project.run(&["audit", "verify", "production"]);
    ran.exits(26).says("production: broken after 0 entries: ").says("compare the file with a backup");
}

/// Three entries or more, of a deploy.
fn deployed() -> (RawServer, Project, Vec<u8>) {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    let whole = fs::read(project.trail_file("production")).unwrap();
    (server, project, whole)
}

/// The last line, cut at every byte: what is before it is in order, and that it is torn is said.
#[test]
fn a_last_line_that_is_cut_at_any_byte_is_named_and_nothing_before_it_is_lost() {
    let (_server, project, whole) = deployed();
    let file = project.trail_file("production");
    let lines = project.trail("production").entries.len();
    let last = 1 + whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
    for end in last + 1..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        let ran = project.run(&["audit", "verify", "production"]);
        let bytes = end - last;
        ran.exits(0)
            .says(&format!("line {lines}, the last one"))
            .says(&format!("({bytes} bytes)"))
            .says(&format!("{} entries in order", lines - 1));
    }
    // A line that ends where the line before it does is no sign of anything: only a head that was kept elsewhere tells.
    fs::write(&file, &whole[..last]).unwrap();
    project.run(&["audit", "verify", "production"]).exits(0).says_nothing_of("torn");
}

#[test]
fn a_flipped_bit_is_found_by_its_line() {
    let (_server, project, whole) = deployed();
    let file = project.trail_file("production");
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain(whole.iter().enumerate().filter_map(|(at, &byte)| (byte == b'\n').then_some(at + 1)))
        .collect();
    // Every bit of some bytes, and one bit of others, over all lines but the last.
    let before_last = starts[starts.len() - 2];
    for (turn, at) in (0..before_last).step_by(11).enumerate() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (turn % 8);
        fs::write(&file, &changed).unwrap();
        let line = starts.iter().filter(|&&start| start <= at).count();
        let ran = project.run(&["audit", "verify", "production"]).named(&format!("byte {at}"));
        // What no longer follows is told of the line itself, or of the one after it, whose `prev` it does not have.
        ran.exits(26).says("production.jsonl").says_one_of(&[&format!("line {line} "), &format!("line {} ", line + 1)]);
    }
    // The last line is followed by none: the head that was printed when it was written tells.
    fs::write(&file, &whole).unwrap();
    let head = project.trail("production").head.hash.to_string();
    let mut changed = whole.clone();
    let at = before_last + whole[before_last..].windows(6).position(|text| text == b"\"at\":\"").unwrap() + 6;
    changed[at + 3] ^= 1;
    fs::write(&file, &changed).unwrap();
    project.run(&["audit", "verify", "production", "--expect-head", &head]).exits(32);
}

/// The same for a trail in git, whose entries are commits: whoever pushes by hand can write any.
#[test]
fn what_was_done_to_a_trail_in_git_is_found_by_its_line() {
    let hub = Hub::new();
    let server = saying(&good());
    hub.shared_by(asking(&server)).deploy().exits(0);
    let whole: Vec<Vec<u8>> = hub.lines("production").into_iter().map(String::into_bytes).collect();
    assert!(whole.len() > 3);
    let last = whole.len();
    let mut rows: Vec<(String, Vec<Vec<u8>>, String)> = Vec::new();
    let row = |name: &str, lines: Vec<Vec<u8>>, says: &str| (name.to_owned(), lines, says.to_owned());
    for end in (0..whole[last - 1].len()).step_by(40).chain([whole[last - 1].len() - 1]) {
        let mut lines = whole.clone();
        lines[last - 1].truncate(end);
        rows.push(row(&format!("cut at byte {end}"), lines, &format!("line {last} ")));
    }
    for at in (0..whole[1].len()).step_by(40) {
        let mut lines = whole.clone();
        lines[1][at] ^= 1;
        rows.push((format!("byte {at} flipped"), lines, String::new()));
    }
    let mut removed = whole.clone();
    removed.remove(1);
    rows.push(row("an entry removed", removed, "line 2 says that it is line 3"));
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    rows.push(row("two entries in another order", swapped, "line 2 says that it is line 3"));
    for (name, lines, says) in rows {
        hub.rewrite("production", &lines);
        // A machine that never saw the trail before.
        let ran = hub.shared_by(asking(&server)).run(&["audit", "verify", "production"]).named(&name);
        ran.exits(26).says("refs/license/trail/production").says_one_of(&["line 2 ", "line 3 ", &says, "commit "]);
        assert!(says.is_empty() || ran.stdout().contains(&says) || ran.stderr().contains(&says), "{name}\n{ran}");
    }
    hub.rewrite("production", &whole);
    hub.shared_by(asking(&server)).run(&["audit", "verify", "production"]).exits(0);
}

/// Two machines: the one whose head is stale writes nothing over the other's entries, and the chain holds.
#[test]
fn a_writer_whose_head_is_stale_adds_to_what_is_there() {
    let hub = Hub::new();
    let server = saying(&good());
    let (one, other) = (hub.shared_by(asking(&server)), hub.shared_by(asking(&server)));
    one.deploy().exits(0);
    other.deploy().exits(0);
    let seen = hub.lines("production");
    // The first machine's clone still ends where it wrote last.
    one.deploy().exits(0);
    let now = hub.lines("production");
    assert!(now.len() > seen.len() && now[..seen.len()] == seen[..], "something was written over");
    hub.trail("production");
    one.run(&["audit", "verify", "production"]).exits(0);

    // The same of a file: a copy that was taken before is put in the place of what was written since.
    let project = asking(&server);
    project.deploy().exits(0);
    let stale = fs::read(project.trail_file("production")).unwrap();
    project.deploy().exits(0);
    let head = project.trail("production").head.hash.to_string();
    fs::write(project.trail_file("production"), stale).unwrap();
    project.deploy().exits(0);
    project.run(&["audit", "verify", "production", "--expect-head", &head]).exits(32).says(&head);
}

#[test]
fn a_line_that_lost_its_end_is_cut_and_everything_before_it_is_kept() {
    let server = saying(&good());
    for torn in [&br#"{"v":1,"seq":4,"pr"#[..], b"{", b"\xff\xfe", b"\0\0\0\0\0\0\0\0"] {
        let project = asking(&server);
        project.deploy().exits(0);
        let file = project.trail_file("production");
        let whole = fs::read(&file).unwrap();
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(torn).unwrap();

        project.run(&["audit", "verify", "production"]).says_one_of(&["torn", "cut", "end"]);
        project.deploy().exits(0).deploy_ran();
        assert!(fs::read(&file).unwrap().starts_with(&whole), "something was lost");
        assert_eq!(project.trail("production").kinds().len(), 6);
    }
}

/// Whatever keeps the trail from being written keeps the deploy from happening.
fn deploys_nothing_without_a_trail(name: &str, project: &Project) {
    let ran = project.deploy().named(name);
    ran.exits(26).deploy_did_not_run().says(".license").says("help").never_shows(KEY);
}

#[test]
fn a_file_where_the_directory_should_be() {
    let server = saying(&good());
    deploys_nothing_without_a_trail("a file", &asking(&server).write(".license", b"mine"));
    let project = asking(&server).write(".license/trail/production.jsonl/x", b"");
    deploys_nothing_without_a_trail("a directory", &project);
}

#[test]
fn a_directory_that_cannot_be_written() {
    if rustix::process::geteuid().is_root() && !may_drop_privileges() {
        return skipped("root writes everywhere, and `setpriv` is missing");
    }
    let server = saying(&good());
    let project = asking(&server).write(".license/keep", b"");
    fs::set_permissions(project.path(".license"), fs::Permissions::from_mode(0o555)).unwrap();
    let ran = project.ended(start_unprivileged(&project, &["deploy", "production"]));
    fs::set_permissions(project.path(".license"), fs::Permissions::from_mode(0o755)).unwrap();
    ran.exits(26).deploy_did_not_run().says(".license");
}

fn may_drop_privileges() -> bool {
    Command::new("setpriv").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Root may write everywhere: without that power, the mode of a directory counts.
fn start_unprivileged(project: &Project, arguments: &[&str]) -> Running {
    let plain = project.command(&project.path(""), arguments);
    if !rustix::process::geteuid().is_root() {
        return Running::start(&mut { plain });
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::start(command.current_dir(project.path("")))
}

#[test]
fn a_full_disk() {
    let server = saying(&good());
    let project = asking(&server).write(".license/keep", b"");
    let directory = project.path(".license");
    let Some(_mounted) = Tmpfs::mount(&directory) else {
        return skipped(
            "a small file system can be mounted by root only; the limit of a file's size is tested instead",
        );
    };
    let filler = vec![b'x'; 1024 * 1024];
    let _ = fs::write(directory.join("filler"), filler);
    deploys_nothing_without_a_trail("a full disk", &project);
}

/// A file system of 64 KiB, unmounted when it is dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(directory: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "license-tests"]).arg(directory);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

/// A write that the system cuts short: a limit on the size of files, in the middle of a line.
#[test]
fn a_write_that_is_cut_short_loses_nothing_and_deploys_nothing() {
    let server = saying(&good());
    let project = asking(&server);
    project.deploy().exits(0);
    let file = project.trail_file("production");
    let whole = fs::read(&file).unwrap();
    // `ulimit -f` counts blocks of 512 bytes: the next line does not fit.
    let blocks = whole.len() / 512 + 1;
    let plain = project.command(&project.path(""), &["deploy", "production"]);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$@\"")).arg("sh");
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let finished = Running::start(command.current_dir(project.path("")).process_group(0)).wait();
    assert_eq!((finished.code(), project.deploys()), (26, 1), "{finished:?}");
    assert!(fs::read(&file).unwrap().starts_with(&whole), "something was lost");
    project.deploy().exits(0).deploy_ran();
    assert_eq!(project.trail("production").kinds().len(), 6);
}

/// A test that cannot run here says so, past the runner, which keeps the output of tests that pass to itself.
fn skipped(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}
