//! Commands that really run: their ends, their output, their groups.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    sync::mpsc::Sender,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use super::*;

const KEY: &str = "TO-DEV-0123456789abcdef";
const LONG: Duration = Duration::from_secs(60);
/// Long enough for a loaded machine, and far from `LONG`.
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// What a run came to.
struct Ran {
    ended: Ended,
    output: String,
    took: Duration,
}

struct Runner {
    words: Vec<String>,
    directory: TempDir,
    variables: Vec<(OsString, OsString)>,
    deadline: Duration,
    grace: Duration,
    signals: Signals,
}

fn sh(script: &str) -> Runner {
    command(&["sh", "-c", script])
}

fn command(words: &[&str]) -> Runner {
    Runner {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        directory: TempDir::new().unwrap(),
        variables: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("LICENSE_KEY".into(), KEY.into())],
        deadline: LONG,
        grace: LONG,
        signals: Signals::none(),
    }
}

impl Runner {
    fn run(&self) -> Ran {
        let mut output = Vec::new();
        let (ended, took) = self.run_into(&mut output);
        Ran { ended, output: String::from_utf8_lossy(&output).into_owned(), took }
    }

    fn run_into(&self, output: &mut (dyn Write + Send)) -> (Ended, Duration) {
        let masks = Masks::of([KEY]);
        let job = Job {
            words: &self.words,
            directory: self.directory.path(),
            variables: self.variables.clone(),
            deadline: self.deadline,
            masks: &masks,
        };
        let start = Instant::now();
        let ended = run_with_grace(&job, self.grace, &self.signals, output);
        (ended, start.elapsed())
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn not_started(&self) -> String {
        let Ended::NotStarted { why } = self.run().ended else { panic!("it started: {:?}", self.words) };
        why
    }
}

impl Ran {
    /// The process number that the script wrote on the first line.
    fn pid(&self) -> Pid {
        Pid::from_raw(self.output.lines().next().unwrap().trim().parse().unwrap()).unwrap()
    }
}

/// Whether a process runs; one that has ended and waits to be reaped does not.
fn is_running(pid: Pid) -> bool {
    let stat = fs::File::open(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let Ok(stat) = stat else { return false };
    let mut line = String::new();
    BufReader::new(stat).read_line(&mut line).ok();
    let state = line.rsplit_once(") ").map_or("", |(_, fields)| fields);
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

fn soon_gone(pid: Pid) -> bool {
    let start = Instant::now();
    while is_running(pid) && start.elapsed() < SOON {
        thread::sleep(Duration::from_millis(5));
    }
    !is_running(pid)
}

/// Passes what is written to a channel.
struct Told(Sender<Vec<u8>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_exit_code_is_the_process_own() {
    assert_eq!(sh("exit 0").run().ended, Ended::Exited { code: 0 });
    assert_eq!(sh("exit 7").run().ended, Ended::Exited { code: 7 });
}

#[test]
fn a_command_that_is_killed_says_so() {
    assert_eq!(sh("kill -KILL $$").run().ended, Ended::Killed { signal: 9 });
}

#[test]
fn both_streams_come_out_by_lines() {
    let ran = sh("echo out; echo err >&2; printf 'no end'").run();
    let mut lines: Vec<&str> = ran.output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "no end", "out"]);
}

#[test]
fn the_key_is_masked_across_chunks_and_in_base64() {
    let encoded = STANDARD.encode(format!("key {KEY} end"));
    let ran = sh(&format!(
        "printf 'a TO-DEV-0123'; sleep 0.2; echo 456789abcdef b; echo \"$LICENSE_KEY\" >&2; echo {encoded}"
    ))
    .run();
    assert!(ran.output.contains("a *** b\n"), "{}", ran.output);
    assert!(ran.output.lines().any(|line| line == "***"), "{}", ran.output);
    assert!(!ran.output.contains(KEY) && !ran.output.contains(&encoded[8..24]), "{}", ran.output);
}

#[test]
fn a_prompt_is_shown_while_the_command_waits() {
    let runner = sh("printf 'Continue? '; sleep 60");
    let (told, hears) = mpsc::channel();
    thread::scope(|scope| {
        let ran = scope.spawn(|| runner.run_into(&mut Told(told)).0);
        assert_eq!(hears.recv_timeout(SOON).unwrap(), b"Continue? ");
        runner.signals.note(Stop::Interrupt, Instant::now());
        assert_eq!(ran.join().unwrap(), Ended::Interrupted { signal: 2 });
    });
}

#[test]
fn a_command_past_its_deadline_is_asked_to_end() {
    let mut runner = sh("trap 'echo cleaning up; exit 3' TERM; echo $$; while :; do sleep 0.02; done");
    runner.deadline = SHORT;
    let ran = runner.run();
    assert_eq!(ran.ended, Ended::TimedOut { after_secs: 0 });
    assert!(ran.output.contains("cleaning up"), "{}", ran.output);
    assert!(ran.took < SOON);
    assert!(rustix::process::test_kill_process(ran.pid()).is_err(), "it is not even a zombie");
}

#[test]
fn a_command_that_ignores_its_deadline_is_killed() {
    let mut runner = sh("trap '' TERM; echo $$; while :; do sleep 0.02; done");
    (runner.deadline, runner.grace) = (SHORT, SHORT);
    let ran = runner.run();
    assert_eq!(ran.ended, Ended::TimedOut { after_secs: 0 });
    assert!(ran.took < SOON);
    assert!(soon_gone(ran.pid()));
}

#[test]
fn grandchildren_end_with_the_deadline() {
    let mut runner = sh("(trap '' TERM; while :; do sleep 0.02; done) & echo $!; sleep 60");
    (runner.deadline, runner.grace) = (SHORT, SHORT);
    let ran = runner.run();
    assert_eq!(ran.ended, Ended::TimedOut { after_secs: 0 });
    assert!(ran.took < SOON);
    assert!(soon_gone(ran.pid()));
}

#[test]
fn a_grandchild_may_clean_up_after_its_parent_has_ended() {
    let mut runner =
        sh("(trap 'sleep 0.3; echo cleaned up; exit' TERM; echo up; while :; do sleep 0.02; done) & sleep 60");
    runner.deadline = Duration::from_secs(1);
    let ran = runner.run();
    assert!(ran.output.contains("cleaned up"), "{}", ran.output);
}

#[test]
fn a_stopped_command_ends_at_its_deadline() {
    let mut runner = sh("kill -STOP $$");
    runner.deadline = SHORT;
    let ran = runner.run();
    assert_eq!(ran.ended, Ended::TimedOut { after_secs: 0 });
    assert!(ran.took < SOON);
}

#[test]
fn a_daemon_outlives_a_normal_exit_and_holds_nobody_up() {
    let ran = sh("sleep 60 & echo $!; exit 4").run();
    let daemon = ran.pid();
    let alive = is_running(daemon);
    rustix::process::kill_process(daemon, Signal::KILL).unwrap();
    assert!(alive, "it was killed");
    assert_eq!(ran.ended, Ended::Exited { code: 4 });
    assert!(ran.took < SOON);
}

#[test]
fn a_daemon_that_talks_on_holds_nobody_up() {
    let ran = sh("(while :; do echo on and on; sleep 0.02; done) & exit 0").run();
    assert_eq!(ran.ended, Ended::Exited { code: 0 });
    assert!(ran.took < SOON);
}

#[test]
fn a_command_that_closes_its_output_is_waited_for() {
    assert_eq!(sh("exec >&- 2>&-; sleep 0.3; exit 5").run().ended, Ended::Exited { code: 5 });
}

#[test]
fn a_signal_is_passed_on() {
    for (stop, name, number) in [(Stop::Interrupt, "INT", 2), (Stop::Terminate, "TERM", 15)] {
        let runner = sh(&format!("trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.02; done"));
        let (told, hears) = mpsc::channel();
        let ended = thread::scope(|scope| {
            let ran = scope.spawn(|| runner.run_into(&mut Told(told)).0);
            assert_eq!(hears.recv_timeout(SOON).unwrap(), b"ready\n");
            runner.signals.note(stop, Instant::now());
            // Some shells say first that the signal ended their `sleep`.
            while hears.recv_timeout(SOON).unwrap() != format!("got {name}\n").into_bytes() {}
            ran.join().unwrap()
        });
        assert_eq!(ended, Ended::Interrupted { signal: number });
    }
}

#[test]
fn a_second_signal_kills_at_once() {
    let runner = sh("trap '' INT; echo ready; while :; do sleep 0.02; done");
    let (told, hears) = mpsc::channel();
    let start = Instant::now();
    let ended = thread::scope(|scope| {
        let ran = scope.spawn(|| runner.run_into(&mut Told(told)).0);
        assert_eq!(hears.recv_timeout(SOON).unwrap(), b"ready\n");
        runner.signals.note(Stop::Interrupt, start);
        runner.signals.note(Stop::Interrupt, start + LONG);
        ran.join().unwrap()
    });
    assert_eq!(ended, Ended::Interrupted { signal: 2 });
    assert!(start.elapsed() < LONG, "the grace was not waited for");
}

#[test]
fn nothing_starts_after_a_signal() {
    let runner = sh("echo started");
    runner.signals.note(Stop::Terminate, Instant::now());
    let ran = runner.run();
    assert_eq!((ran.ended, ran.output.as_str()), (Ended::Interrupted { signal: 15 }, ""));
}

#[test]
fn much_output_is_not_a_deadlock() {
    let ran = sh("yes 0123456789abcdef | head -c 10000000 & yes errors | head -c 1000000 >&2; wait").run();
    assert_eq!(ran.ended, Ended::Exited { code: 0 });
    assert_eq!(ran.output.len(), 11_000_000);
}

#[test]
fn a_closed_screen_does_not_stop_the_command() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let runner = sh("yes | head -c 1000000; exit 6");
    assert_eq!(runner.run_into(&mut Closed).0, Ended::Exited { code: 6 });
}

#[test]
fn stdin_is_empty() {
    assert_eq!(sh("read line && echo got $line; echo end").run().output, "end\n");
}

#[test]
fn the_environment_is_what_was_given() {
    let ran = command(&["env"]).run();
    let mut variables: Vec<&str> = ran.output.lines().collect();
    variables.sort_unstable();
    assert_eq!(variables, ["LICENSE_KEY=***", "PATH=/usr/local/bin:/usr/bin:/bin"]);
}

#[test]
fn output_that_is_not_text_passes() {
    let mut output = Vec::new();
    sh("printf '\\377\\376\\n\\000'").run_into(&mut output);
    assert_eq!(output, b"\xff\xfe\n\0");
}

#[test]
fn a_path_with_a_slash_is_relative_to_the_directory() {
    let runner = command(&["./bin/shell", "-c", "pwd"]);
    fs::create_dir(runner.directory.path().join("bin")).unwrap();
    symlink("/bin/sh", runner.directory.path().join("bin/shell")).unwrap();
    let ran = runner.run();
    let directory = fs::canonicalize(runner.directory.path()).unwrap();
    assert_eq!(ran.output.trim(), directory.to_str().unwrap());
}

#[test]
fn the_jobs_own_path_is_searched() {
    let mut runner = command(&["shell", "-c", "exit 9"]);
    symlink("/bin/sh", runner.directory.path().join("shell")).unwrap();
    assert!(runner.not_started().contains("write `./shell`"));
    runner.variables = vec![("PATH".into(), runner.directory.path().into())];
    assert_eq!(runner.run().ended, Ended::Exited { code: 9 });
}

#[test]
fn what_cannot_start_says_why() {
    let start = |words: &[&str]| {
        let runner = command(words);
        runner.file("deploy.sh", "#!/bin/sh\n", 0o644);
        runner.file("wrong.sh", "#!/no/such/interpreter -x\n", 0o755);
        runner.file("dos.sh", "#!/bin/sh\r\n", 0o755);
        runner.file("plain.sh", "exit 0\n", 0o755);
        runner.not_started()
    };
    for (words, expected) in [
        (&["no-such-program"][..], "`no-such-program` is not in PATH; install it, or write its whole path"),
        (&["./deploy.sh"], "`./deploy.sh` is not executable: chmod +x ./deploy.sh"),
        (&["./wrong.sh"], "`./wrong.sh` is to be run by `/no/such/interpreter`, which does not exist"),
        (&["./dos.sh"], "`./dos.sh` is to be run by `/bin/sh\\r`, which does not exist"),
        (&["./plain.sh"], "is neither a program for this machine nor a script"),
        (&["./"], "`./` is a directory"),
        (&["./nothing"], "`./nothing` does not exist in `"),
        (&["sh", "a\0b"], "holds a NUL character"),
        (&[], "the command is empty"),
    ] {
        let why = start(words);
        assert!(why.contains(expected), "{words:?}: {why}");
    }
}

#[test]
fn a_missing_directory_is_not_taken_for_a_missing_program() {
    let masks = Masks::default();
    let words = ["sh".to_owned()];
    let job =
        Job { words: &words, directory: Path::new("/no/such"), variables: Vec::new(), deadline: LONG, masks: &masks };
    let ended = run(&job, &Signals::none(), &mut Vec::new());
    assert_eq!(ended, Ended::NotStarted { why: "its directory `/no/such` does not exist".to_owned() });
}
