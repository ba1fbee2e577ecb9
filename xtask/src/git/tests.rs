//! git for real: a bare repository as the remote, clones of it, and gits that misbehave.

use std::{fs, io::Write as _, time::Instant};

use tempfile::TempDir;

use super::{
    pipes::{AGAIN_WAIT, STOP_WAIT},
    *,
};

/// A remote on disk, and a directory for the clones of it.
pub(crate) struct Hub {
    root: TempDir,
    format: &'static str,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self::hashing_with("sha1")
    }

    pub(crate) fn hashing_with(format: &'static str) -> Self {
        let hub = Self { root: tempfile::tempdir().unwrap(), format };
        let init = ["init", "--quiet", "--bare", "--initial-branch=main", "--object-format", format, "hub.git"];
        hub.raw(hub.root.path(), &init, "");
        hub
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("hub.git")
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A repository without a commit that has the hub as `origin`.
    pub(crate) fn clone_named(&self, name: &str) -> PathBuf {
        let clone = self.root.path().join(name);
        if !clone.exists() {
            let init = ["init", "--quiet", "--initial-branch=main", "--object-format", self.format, name];
            self.raw(self.root.path(), &init, "");
            self.raw(&clone, &["remote", "add", "origin", "../hub.git"], "");
        }
        clone
    }

    /// The door, as a command opens it in a directory.
    pub(crate) fn git(&self, directory: &Path) -> Git {
        self.git_with(directory, &[])
    }

    pub(crate) fn git_with(&self, directory: &Path, more: &[(&str, &str)]) -> Git {
        Git::new(directory, &self.vars(more), &BTreeSet::new())
    }

    pub(crate) fn vars(&self, more: &[(&str, &str)]) -> Vars {
        let path = path();
        let own = [
            ("PATH", path.as_str()),
            ("HOME", self.root.path().to_str().unwrap()),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CEILING_DIRECTORIES", self.root.path().to_str().unwrap()),
        ];
        own.iter().chain(more).copied().collect()
    }

    /// Runs git as a person would, and gives its output without the last line break.
    pub(crate) fn raw(&self, directory: &Path, arguments: &[&str], input: &str) -> String {
        let vars = self.vars(&[
            ("GIT_AUTHOR_NAME", "t"),
            ("GIT_AUTHOR_EMAIL", "t@example.com"),
            ("GIT_COMMITTER_NAME", "t"),
            ("GIT_COMMITTER_EMAIL", "t@example.com"),
        ]);
        let mut command = Command::new("git");
        command.args(arguments).current_dir(directory).env_clear().envs(vars.iter());
        let Ready { reader, rest } = ready(input.as_bytes().to_vec()).unwrap();
        let child = command.stdin(reader).stdout(Stdio::piped()).spawn().unwrap();
        feed(rest);
        // It holds the pipe's other end.
        drop(command);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// A directory with a `git` that is this script. `real ARGUMENTS` runs the real one.
    pub(crate) fn path_with_git(&self, name: &str, script: &str) -> String {
        let directory = self.root.path().join(name);
        fs::create_dir(&directory).unwrap();
        let text = format!("#!/bin/sh\nreal() {{ PATH='{}' git \"$@\"; }}\n{script}\n", path());
        put_program(&directory.join("git"), &text);
        format!("{}:{}", directory.display(), path())
    }
}

/// Writes a program. A shell does it: had we the file open, a child of another test could keep it from being run.
fn put_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"cat >"$1" && chmod +x "$1""#, "sh"]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn path() -> String {
    Vars::of_process().text("PATH").unwrap().to_owned()
}

const REFERENCE: &str = "refs/license/test";

fn blob(git: &Git) -> Oid {
    git.write(Kind::Blob, b"a\n".to_vec()).unwrap()
}

fn commit(git: &Git) -> Oid {
    let tree = git.write_tree(&[TreeFile { name: "a".to_owned(), blob: blob(git) }]).unwrap();
    let text = format!("tree {tree}\nauthor t <t@invalid> 0 +0000\ncommitter t <t@invalid> 0 +0000\n\nt\n");
    git.write(Kind::Commit, text.into_bytes()).unwrap()
}

#[test]
fn what_is_pushed_is_fetched_by_another_clone_and_no_ref_of_it_changes() {
    let hub = Hub::new();
    let (one, two) = (hub.git(&hub.clone_named("one")), hub.git(&hub.clone_named("two")));
    assert_eq!(two.tip("origin", REFERENCE).unwrap(), None);
    let commit = commit(&one);
    assert_eq!(one.push("origin", &commit, REFERENCE, None).unwrap(), Pushed::Done);
    assert_eq!(two.tip("origin", REFERENCE).unwrap(), Some(commit.clone()));
    assert_eq!(two.tip("origin", "refs/license/tes").unwrap(), None);
    assert_eq!(two.tip("origin", "license/test").unwrap(), None);
    two.fetch("origin", REFERENCE, Depth::Missing).unwrap();
    assert_eq!(two.files(&commit).unwrap(), [TreeFile { name: "a".to_owned(), blob: blob(&two) }]);
    assert_eq!(two.local(REFERENCE).unwrap(), None);
    assert!(!hub.root().join("two/.git/FETCH_HEAD").exists());
    two.set_local(REFERENCE, &commit, None).unwrap();
    assert_eq!(two.local(REFERENCE).unwrap(), Some(commit.clone()));
    assert!(two.set_local(REFERENCE, &commit, None).is_err());
}

#[test]
fn a_push_over_something_else_than_expected_is_rejected() {
    let hub = Hub::new();
    let git = hub.git(&hub.clone_named("one"));
    let commit = commit(&git);
    assert!(matches!(git.push("origin", &commit, REFERENCE, Some(&commit)).unwrap(), Pushed::Rejected { .. }));
    git.push("origin", &commit, REFERENCE, None).unwrap();
    let tree = git.write(Kind::Tree, Vec::new()).unwrap();
    let text = format!("tree {tree}\nauthor t <t@invalid> 9 +0000\ncommitter t <t@invalid> 9 +0000\n\nt\n");
    let other = git.write(Kind::Commit, text.into_bytes()).unwrap();
    let Pushed::Rejected { said } = git.push("origin", &other, REFERENCE, None).unwrap() else { panic!() };
    assert_eq!(said, "[rejected] (stale info)");
    assert_eq!(git.tip("origin", REFERENCE).unwrap(), Some(commit));
}

#[test]
fn objects_are_read_in_order_and_a_missing_or_a_long_one_is_an_error() {
    let hub = Hub::new();
    let git = hub.git(&hub.clone_named("one"));
    let long = vec![b'x'; 12 * CHUNK_BYTES];
    let names = [git.write(Kind::Blob, long.clone()).unwrap(), blob(&git)];
    let mut read = Vec::new();
    let mut keep = |_: &Oid, bytes: &[u8]| {
        read.push(bytes.to_owned());
        Ok::<(), GitError>(())
    };
    git.objects(Kind::Blob, &names, 1 << 20, &mut keep).unwrap();
    assert_eq!(read, [long, b"a\n".to_vec()]);
    let nobody = Oid::parse(&"1".repeat(40)).unwrap();
    let said = |kind, name: &Oid, bytes_max| {
        let read = git.objects(kind, std::slice::from_ref(name), bytes_max, |_, _| Ok::<(), GitError>(()));
        read.unwrap_err().to_string()
    };
    assert!(said(Kind::Blob, &nobody, 9).ends_with(" is missing"));
    assert!(said(Kind::Blob, &names[0], 9).ends_with("bytes, and 9 are allowed"));
    assert!(said(Kind::Commit, &names[1], 9).ends_with(" is a blob"));
}

#[test]
fn every_trouble_has_its_own_error() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let git = hub.git(&clone);
    let ask = |git: &Git, remote: &str| git.tip(remote, REFERENCE).unwrap_err().to_string();

    assert_eq!(ask(&git, "upstream"), "the repository has no remote `upstream`");
    assert_eq!(ask(&git, "--upload-pack=x"), "the repository has no remote `--upload-pack=x`");
    hub.raw(&clone, &["remote", "add", "gone", "/nowhere/at/all.git"], "");
    let said = ask(&git, "gone");
    assert!(said.starts_with("the remote `gone` cannot be reached: fatal: '/nowhere/at/all.git'"), "{said}");
    assert!(matches!(git.fetch("gone", REFERENCE, Depth::Missing), Err(GitError::Unreachable { .. })));
    assert!(matches!(git.push("gone", &commit(&git), REFERENCE, None), Err(GitError::Unreachable { .. })));

    let outside = hub.root().join("outside");
    fs::create_dir(&outside).unwrap();
    assert!(ask(&hub.git(&outside), "origin").contains("outside`: fatal: not a git repository"));
    assert!(matches!(hub.git(&outside).local(REFERENCE), Ok(None) | Err(GitError::NoRepository { .. })));
    assert!(ask(&hub.git(&hub.root().join("nowhere")), "origin").ends_with("there is no such directory"));

    let none = hub.git_with(&clone, &[("PATH", outside.to_str().unwrap())]);
    assert_eq!(ask(&none, "origin"), "git cannot be started: it is not in PATH");
    let old = hub.path_with_git("old", "echo 'error: unknown option `no-filter' >&2; exit 129");
    assert_eq!(
        ask(&hub.git_with(&clone, &[("PATH", &old)]), "origin"),
        "this git is too old: error: unknown option `no-filter"
    );
}

#[test]
fn a_remote_that_can_be_read_and_takes_no_push_is_told_from_one_that_is_gone() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let git = hub.git(&clone);
    let commit = commit(&git);
    hub.raw(&clone, &["config", "push.pushOption", "ci.skip"], "");
    assert_eq!(git.push("origin", &commit, REFERENCE, None).unwrap(), Pushed::Done, "no option of pushes of code");
    hub.raw(&clone, &["config", "remote.origin.pushurl", "/nowhere/at/all.git"], "");
    let error = git.push("origin", &commit, "refs/license/other", None).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("the remote `origin` can be read, and did not take the push: fatal: "), "{said}");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("may push to `refs/license/*`") && !help.contains("ls-remote"), "{help}");
}

#[test]
fn no_address_is_shown_with_what_may_be_secret_in_it() {
    for (line, shown) in [
        (
            "fatal: unable to access 'https://bob:pw@h.example/x.git/?private_token=s': 403",
            "fatal: unable to access 'https://***@h.example/x.git/?***': 403",
        ),
        ("see https://h.example/a?b=c and ssh://git@h/x", "see https://h.example/a?*** and ssh://***@h/x"),
        ("no address at all?", "no address at all?"),
    ] {
        assert_eq!(without_credentials(line), shown);
    }
    let said = Said::of(b"error: unable to read askpass response from 'false'\nfatal: could not read Username for 'https://h': terminal prompts disabled\n");
    assert_eq!(said.text(), "fatal: could not read Username for 'https://h': terminal prompts disabled");
    assert!(asks_nobody(&said.text()).contains("credential helper"));
}

#[test]
fn a_failure_is_told_in_git_s_words_about_it_and_without_its_advice() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let git = hub.git(&clone);
    let (here, missing) = (commit(&git), "1".repeat(40));
    let error = git.done("listing", &["rev-list", "--objects", here.as_str(), &missing], Vec::new()).err().unwrap();
    assert_eq!(error.to_string(), format!("git failed while it was listing: fatal: bad object {missing}"));
}

#[test]
fn a_git_that_does_not_end_is_stopped_with_its_children() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    for (name, script) in [
        ("silent", "sleep 600 & echo $! >children; wait"),
        ("deaf", "trap '' TERM; sleep 600 & echo $! >children; exec sleep 600"),
        ("quiet", "exec >&-; sleep 600 & echo $! >children; wait"),
    ] {
        let path = hub.path_with_git(name, script);
        let mut git = hub.git_with(&clone, &[("PATH", &path)]);
        git.waits.remote = Duration::from_millis(700);
        let error = git.tip("origin", REFERENCE).unwrap_err();
        assert!(matches!(error, GitError::TimedOut { doing: "asking the remote", .. }), "{name}: {error}");
        let child = fs::read_to_string(clone.join("children")).unwrap();
        let child = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        let start = Instant::now();
        // It is gone, or a dead one that its new parent has not seen yet.
        while rustix::process::test_kill_process(child).is_ok() && !is_dead(child) {
            assert!(start.elapsed() < Duration::from_secs(20), "{name}: its child lives");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_git_is_not_waited_for_once_a_signal_came_and_at_once_not_after_a_second_one() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let path = hub.path_with_git("hangs", "exec sleep 600");
    for (times, most_millis) in [(1, STOP_WAIT.as_millis() + 10_000), (2, 10_000)] {
        let signals = Signals::none();
        let git = hub.git_with(&clone, &[("PATH", &path)]).until(signals.clone());
        let start = Instant::now();
        for nth in 0..times {
            signals.note(Stop::Interrupt, start + Duration::from_secs(nth));
        }
        let error = git.tip("origin", REFERENCE).unwrap_err();
        assert!(matches!(error, GitError::Stopped { stop: Stop::Interrupt, .. }), "{error}");
        assert!(start.elapsed().as_millis() < most_millis, "{times}");
        if times == 1 {
            assert!(start.elapsed() >= STOP_WAIT, "a push that is under way may still arrive");
        }
    }
}

#[test]
fn what_has_happened_is_still_written_down_after_a_signal_and_what_is_here_after_any() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let commit = commit(&hub.git(&clone));
    let script = "case \"$*\" in *' push '*) exec sleep 600 ;; *) real \"$@\" ;; esac";
    let path = hub.path_with_git("hangs", script);
    let signals = Signals::none();
    let git = hub.git_with(&clone, &[("PATH", &path)]).until(signals.clone());
    signals.note(Stop::Terminate, Instant::now());
    thread::scope(|scope| {
        let pushing = scope.spawn(|| git.push("origin", &commit, REFERENCE, None));
        thread::sleep(STOP_WAIT + Duration::from_millis(500));
        assert!(!pushing.is_finished(), "one signal ends no push of what has happened");
        let start = Instant::now();
        signals.note(Stop::Terminate, start);
        let error = pushing.join().unwrap().unwrap_err();
        assert!(matches!(error, GitError::Stopped { stop: Stop::Terminate, .. }), "{error}");
        assert!(start.elapsed() >= AGAIN_WAIT && start.elapsed() < AGAIN_WAIT + Duration::from_secs(10));
    });
    assert_eq!(git.history().unwrap(), History::Whole);
    assert_eq!(git.tip("origin", REFERENCE).unwrap(), None, "a remote that answers is heard");
}

fn is_dead(child: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_daemon_that_holds_gits_messages_open_does_not_keep_us() {
    let hub = Hub::new();
    let clone = hub.clone_named("one");
    let path = hub.path_with_git("daemon", "sleep 30 </dev/null >/dev/null & echo $! >daemon; echo no >&2; exit 1");
    let start = Instant::now();
    hub.git_with(&clone, &[("PATH", &path)]).history().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(20));
    let daemon = fs::read_to_string(clone.join("daemon")).unwrap();
    rustix::process::kill_process(Pid::from_raw(daemon.trim().parse().unwrap()).unwrap(), Signal::KILL).ok();
}

#[test]
fn git_gets_what_it_needs_to_connect_and_neither_secrets_nor_another_repository() {
    let given = [
        ("HOME", "/h"),
        ("PATH", "/bin"),
        ("SSH_AUTH_SOCK", "/s"),
        ("https_proxy", "p"),
        ("GIT_SSH_COMMAND", "ssh -v"),
        ("GIT_ASKPASS", "ask"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "http.extraheader"),
        ("GIT_CONFIG_VALUE_0", "h"),
        ("GIT_DIR", "/other"),
        ("GIT_INDEX_FILE", "/other/index"),
        ("GIT_PREFIX", "x/"),
        ("GIT_QUARANTINE_PATH", "/other"),
        ("GIT_OBJECT_DIRECTORY", "/other"),
        ("GIT_TRACE_CURL", "1"),
        ("GIT_REPLACE_REF_BASE", "x"),
        ("LICENSE_KEY", "TO-PRD-SECRET"),
        ("LC_ALL", "de_DE.UTF-8"),
        ("CARGO", "cargo"),
    ];
    let secrets = BTreeSet::from(["LICENSE_KEY".to_owned()]);
    let built = variables(&given.into_iter().collect(), &secrets);
    let built: Vec<String> = built.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
    let expected = [
        "GIT_ASKPASS=ask",
        "GIT_CONFIG_COUNT=1",
        "GIT_CONFIG_KEY_0=http.extraheader",
        "GIT_CONFIG_VALUE_0=h",
        "GIT_GRAFT_FILE=/dev/null",
        "GIT_OPTIONAL_LOCKS=0",
        "GIT_SSH_COMMAND=ssh -v",
        "GIT_TERMINAL_PROMPT=0",
        "HOME=/h",
        "LANGUAGE=C",
        "LC_ALL=C",
        "PATH=/bin",
        "SSH_ASKPASS=false",
        "SSH_ASKPASS_REQUIRE=force",
        "SSH_AUTH_SOCK=/s",
        "https_proxy=p",
    ];
    assert_eq!(built, expected);
    assert!(!format!("{:?}", Git::new(Path::new("/p"), &given.into_iter().collect(), &secrets)).contains("SECRET"));
}

#[test]
fn what_git_says_is_shown_short_clean_and_without_passwords() {
    let table = [
        ("", "it did not say why"),
        ("fatal: one\n\n", "fatal: one"),
        ("a\nb\nc\nd\n", "b; c; d"),
        ("x\u{1b}[31m\n", "x\u{fffd}[31m"),
        (
            "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n",
            "fatal: Could not read from remote repository.",
        ),
        (
            "fatal: unable to access 'https://alice:TO-SECRET@host/a@b/': no",
            "fatal: unable to access 'https://***@host/a@b/': no",
        ),
        ("see https://host/x and ssh://me@h", "see https://host/x and ssh://***@h"),
    ];
    for (said, shown) in table {
        assert_eq!(Said::of(said.as_bytes()).text(), shown);
    }
}
