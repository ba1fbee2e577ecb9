//! Helpers as real processes: honest ones, and ones that lie, babble, hang and die.

use std::{fs, path::Path, time::Instant};

use tempfile::TempDir;

use super::*;

const KEY: &str = "TO-PRD-0123456789\"\\$abcdef";
const OLD: &str = "TO-PRD-the-old-key-0000";
const LONG: Duration = Duration::from_secs(60);
/// Long enough for a loaded machine, and far from `LONG`.
const SOON: Duration = Duration::from_secs(20);
const ALL: &str = "echo '{\"protocol\":1,\"get\":true,\"put\":true,\"versions\":true}'";

/// A helper that keeps one key in a file, as JSON writes it, with scripts of the test's own for its verbs.
struct Scripted {
    directory: TempDir,
    deadline: Duration,
}

impl Scripted {
    fn new(capabilities: &str, get: &str, put: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = format!(
            "case $1 in\ncapabilities)\n{capabilities}\n;;\nget)\n{get}\n;;\nput)\n{put}\n;;\n*) exit 64 ;;\nesac\n"
        );
        crate::files::replace(&directory.path().join("helper"), script.as_bytes()).unwrap();
        Self { directory, deadline: LONG }
    }

    /// One that answers `get` with what `put` stored.
    fn putting(put: &str) -> Self {
        let store = "sed 's/.*\"key\":\"\\(.*\\)\",\"options\".*/\\1/' > kept";
        let get = "[ -e kept ] || exit 3\nprintf '{\"key\":\"%s\",\"version\":\"1\"}' \"$(cat kept)\"";
        Self::new(ALL, get, &put.replace("STORE", store))
    }

    fn store(&self) -> CommandStore {
        CommandStore::new(Helper {
            signals: Signals::none(),
            program: vec!["sh".to_owned(), "helper".to_owned()],
            directory: self.path().to_owned(),
            variables: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("MINE".into(), "yes".into())],
            environment: "production".to_owned(),
            license: Some("lic_1".to_owned()),
            options: BTreeMap::from([("path".to_owned(), "a \"b\"".to_owned())]),
            deadline: self.deadline,
            met: Arc::default(),
        })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self) -> Written {
        self.store().write(&key(), &Version(Some("7".to_owned())), "rotation-1")
    }

    fn seen(&self, name: &str) -> String {
        String::from_utf8(crate::files::read_limited(&self.path().join(name), 1_000_000).unwrap()).unwrap()
    }
}

fn key() -> LicenseKey {
    LicenseKey::parse(KEY).unwrap()
}

fn kind(written: &Written) -> (&'static str, Option<FaultKind>) {
    match written {
        Written::Done => ("done", None),
        Written::Failed(fault) => ("failed", Some(fault.kind)),
        Written::Unknown(fault) => ("unknown", Some(fault.kind)),
    }
}

fn holds_key(held: &Held) -> bool {
    matches!(held, Held::Key { key: held, .. } if *held == key())
}

#[test]
fn the_request_is_the_documented_line() {
    let helper = Scripted::putting("cat > request; echo '{}'");
    assert!(matches!(helper.write(), Written::Done));
    assert_eq!(
        helper.seen("request"),
        "{\"protocol\":1,\"environment\":\"production\",\"license\":\"lic_1\",\"rotation\":\"rotation-1\",\
         \"version\":\"7\",\"key\":\"TO-PRD-0123456789\\\"\\\\$abcdef\",\"options\":{\"path\":\"a \\\"b\\\"\"}}\n"
    );
    let helper = Scripted::new(ALL, "cat > request; exit 3", "");
    assert!(matches!(helper.store().read().unwrap(), Held::Nothing { version: Version::NONE }));
    assert_eq!(
        helper.seen("request"),
        "{\"protocol\":1,\"environment\":\"production\",\"license\":\"lic_1\",\"options\":{\"path\":\"a \\\"b\\\"\"}}\n"
    );
}

#[test]
fn the_end_of_a_put_says_what_came_of_it() {
    use FaultKind::{Conflict, Credential, Malformed, Setup, Unreachable};
    for (put, expected) in [
        ("echo '{}'", ("done", None)),
        ("echo '{\"version\":\"8\",\"more\":[]}'", ("done", None)),
        ("exit 3", ("failed", Some(Setup))),
        ("exit 4", ("failed", Some(Conflict))),
        ("exit 5", ("failed", Some(Credential))),
        ("exit 6", ("failed", Some(Unreachable))),
        ("exit 7", ("failed", Some(Setup))),
        ("exit 64", ("failed", Some(Setup))),
        ("exit 8", ("unknown", Some(Unreachable))),
        ("exit 1", ("unknown", Some(Malformed))),
        ("exit 127", ("unknown", Some(Malformed))),
        ("kill -KILL $$", ("unknown", Some(Malformed))),
        ("exit 0", ("unknown", Some(Malformed))),
        ("echo stored; exit 0", ("unknown", Some(Malformed))),
        ("echo '{} {}'; exit 0", ("unknown", Some(Malformed))),
        ("head -c 2097152 /dev/zero; exit 0", ("unknown", Some(Malformed))),
    ] {
        assert_eq!(kind(&Scripted::putting(put).write()), expected, "{put}");
    }
}

#[test]
fn a_write_that_is_stored_and_reported_as_failed_is_unknown_and_reads_back() {
    for put in ["STORE; exit 8", "STORE; exit 1", "STORE; kill -TERM $$", "STORE; echo nonsense"] {
        let helper = Scripted::putting(put);
        assert_eq!(kind(&helper.write()).0, "unknown", "{put}");
        assert!(holds_key(&helper.store().read().unwrap()), "{put}");
    }
}

#[test]
fn a_write_that_hangs_is_unknown_and_ends_in_time() {
    let mut helper = Scripted::putting("STORE; sleep 60");
    helper.deadline = Duration::from_secs(2);
    let start = Instant::now();
    let written = helper.write();
    assert!(start.elapsed() < SOON);
    assert_eq!(kind(&written), ("unknown", Some(FaultKind::Unreachable)));
}

#[test]
fn a_background_child_that_holds_stdout_is_not_waited_for() {
    let helper = Scripted::putting("STORE; sleep 60 & echo $! > child; echo '{}'");
    let start = Instant::now();
    let written = helper.write();
    let took = start.elapsed();
    let child = helper.seen("child").trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(child).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    assert!(matches!(written, Written::Done) && took < SOON, "{written:?}, {took:?}");
}

#[test]
fn the_end_of_a_get_is_a_fault_with_its_kind() {
    use FaultKind::{Credential, Malformed, Setup, Unreachable};
    for (get, expected) in [
        ("exit 4", Malformed),
        ("exit 5", Credential),
        ("exit 6", Unreachable),
        ("exit 7", Setup),
        ("exit 8", Unreachable),
        ("exit 64", Setup),
        ("exit 1", Malformed),
        ("kill -KILL $$", Malformed),
        ("echo garbage", Malformed),
        ("head -c 2097152 /dev/zero", Malformed),
        ("echo '{\"version\":\"1\"}'", Malformed),
        ("echo '{\"key\":\"a b\",\"version\":\"1\"}'", Malformed),
        ("echo '{\"key\":\"abcdef\",\"version\":\"\"}'", Malformed),
        ("echo '{\"key\":[\"abcdef\"],\"version\":1}'", Malformed),
    ] {
        let fault = Scripted::new(ALL, get, "").store().read().expect_err(get);
        assert_eq!(fault.kind, expected, "{get}: {fault}");
        assert!(!format!("{fault:?}").contains("abcdef"), "{fault:?}");
    }
}

#[test]
fn what_it_can_do_decides_what_is_asked() {
    let capable =
        |get, put, versions| format!("echo '{{\"protocol\":1,\"get\":{get},\"put\":{put},\"versions\":{versions}}}'");
    let write_only = Scripted::new(&capable(false, true, false), "touch asked", "echo '{}'");
    assert!(matches!(write_only.store().probe().unwrap(), Held::Hidden { version: Version::NONE }));
    assert!(!write_only.path().join("asked").exists());
    let versioned = Scripted::new(&capable(false, true, true), "echo '{\"version\":\"5\"}'", "echo '{}'");
    assert!(matches!(versioned.store().probe().unwrap(), Held::Hidden { version: Version(Some(five)) } if five == "5"));
    let read_only = Scripted::new(&capable(true, false, false), "echo '{\"key\":\"abcdef\"}'", "touch asked");
    assert!(matches!(read_only.store().read().unwrap(), Held::Key { version: Version::NONE, .. }));
    assert_eq!(read_only.store().probe().unwrap_err().kind, FaultKind::Setup);
    assert_eq!(kind(&read_only.write()), ("failed", Some(FaultKind::Setup)));
    assert!(!read_only.path().join("asked").exists());
    let deleted = Scripted::new(&capable(true, true, true), "echo '{\"version\":\"9\"}'; exit 3", "");
    assert!(matches!(deleted.store().read().unwrap(), Held::Nothing { version: Version(Some(nine)) } if nine == "9"));
}

#[test]
fn a_key_on_stderr_is_masked() {
    let put = "request=$(cat); printf 'got %s\\n' \"$request\" >&2; printf '\\033[31m%s\\n' 'TO-PRD-0123456789\"\\$ABCDEF' >&2; exit 5";
    let helper = Scripted::putting(put);
    let store = helper.store();
    let written = store.write(&key(), &Version::NONE, "rotation-1");
    let Written::Failed(fault) = &written else { panic!("{written:?}") };
    let shown = format!("{fault:?} {:?}", store.take_notes());
    assert!(!shown.to_lowercase().contains("0123456789") && !shown.contains('\u{1b}'), "{shown}");
    assert!(shown.contains("got {"), "{shown}");
    assert!(store.take_notes().is_empty());

    let get = format!("echo 'the key is {OLD}' >&2; echo '{{\"key\":\"{OLD}\",\"version\":\"1\"}}'");
    let helper = Scripted::new(ALL, &get, "");
    let store = helper.store();
    assert!(matches!(store.read().unwrap(), Held::Key { .. }));
    assert_eq!(store.take_notes(), ["the key is ***"]);
}

#[test]
fn much_on_stderr_is_bounded() {
    let helper = Scripted::new(ALL, "yes babble | head -c 1000000 >&2; exit 6", "");
    let store = helper.store();
    assert!(store.read().is_err());
    assert_eq!(store.take_notes().len(), NOTES_MAX);
}

#[test]
fn the_key_is_in_no_argument_and_no_variable() {
    let put = "echo \"$*\" > argv; env > environ; [ ! -e /proc/self ] || cat /proc/$$/cmdline /proc/$$/environ > proc; \
               STORE; echo '{}'";
    let helper = Scripted::putting(put);
    assert!(matches!(helper.write(), Written::Done));
    assert_eq!(helper.seen("argv"), "put\n");
    assert!(helper.seen("environ").lines().any(|line| line == "MINE=yes"));
    for name in ["argv", "environ", "proc"].iter().filter(|name| fs::exists(helper.path().join(name)).unwrap()) {
        let seen = helper.seen(name);
        assert!(!seen.contains("0123456789"), "{name}: {seen}");
    }
    assert!(holds_key(&helper.store().read().unwrap()));
}

#[test]
fn a_helper_that_does_not_read_is_believed() {
    assert!(matches!(Scripted::putting("exec <&-; echo '{}'").write(), Written::Done));
}

#[test]
fn a_program_without_a_path_is_looked_up() {
    let directory = TempDir::new().unwrap();
    // A program that was just written cannot be started while another thread starts one, so an old one is used: a
    // shell, for which the verb is the name of a script.
    std::os::unix::fs::symlink("/bin/sh", directory.path().join("license-store-mine")).unwrap();
    crate::files::replace(&directory.path().join("capabilities"), ALL.as_bytes()).unwrap();
    let store = CommandStore::new(Helper {
        signals: Signals::none(),
        program: program_of("mine"),
        directory: directory.path().to_owned(),
        variables: vec![("PATH".into(), directory.path().into())],
        environment: "production".to_owned(),
        license: None,
        options: BTreeMap::new(),
        deadline: LONG,
        met: Arc::default(),
    });
    let can = store.capabilities().unwrap();
    assert_eq!(can, Capabilities { get: Can::Yes, put: Can::Yes, versions: Can::Yes });
}
