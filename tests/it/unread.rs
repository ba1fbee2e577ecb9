//! Output that nobody reads: a pager that is left open, a terminal that was stopped, a log shipper that hangs.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, PipeReader, PipeWriter, Write as _, pipe},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use license_tests::{
    Authority, Grant,
    http::{self, agent},
    process::until,
};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};
use serde_json::json;

use crate::{BINARY, asking, good, saying, webhook};

/// Ends within this time, in seconds: a second for whoever might still read, and what else belongs to an end.
const END_SECS_MAX: u64 = 20;

/// A pipe that takes nothing more, and that nobody reads.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    loop {
        match writer.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

/// A process whose stderr nobody reads any more.
struct Unheard {
    child: Child,
    _stderr: PipeReader,
}

impl Unheard {
    fn start(mut command: Command, (reader, writer): (PipeReader, PipeWriter)) -> Self {
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(writer).spawn();
        Self { child: child.unwrap(), _stderr: reader }
    }

    /// The address in its first line.
    fn address(&mut self) -> String {
        let (mut line, mut byte) = (String::new(), [0]);
        let mut stdout = self.child.stdout.take().unwrap();
        while !line.ends_with('\n') {
            std::io::Read::read_exact(&mut stdout, &mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        self.child.stdout = Some(stdout);
        line.trim().strip_prefix("listening on ").unwrap().to_owned()
    }

    /// The exit code after SIGTERM.
    fn terminated(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let signaled = Instant::now();
        while signaled.elapsed() < Duration::from_secs(END_SECS_MAX) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it runs {END_SECS_MAX} s after SIGTERM");
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_authority_whose_complaints_nobody_reads_answers_and_ends() {
    let mut authority = Authority::start(BINARY, &[]);
    let license = authority.issue(&Grant::default());
    authority.kill();
    let state = authority.state().join("authority");
    let mut command = Command::new(BINARY);
    command.env_clear().args(["authority", "serve", "--listen", "127.0.0.1:0", "--state"]).arg(&state);
    let mut server = Unheard::start(command, full());
    let url = server.address();
    let mut log = OpenOptions::new().append(true).open(state.join("events.jsonl")).unwrap();
    log.write_all(b"junk\n").unwrap();
    for _ in 0..20 {
        let body = json!({ "key": license.key, "domain": "app.com" });
        let answer = http::send(&agent(), "POST", &format!("{url}/validate"), None, Some(&body));
        assert_eq!(answer.expect("an answer").status, 500);
    }
    assert_eq!(http::send(&agent(), "GET", &format!("{url}/health"), None, None).unwrap().status, 200);
    assert_eq!(server.terminated(), Some(0));
}

#[test]
fn a_receiver_of_webhooks_whose_words_nobody_reads_answers_and_ends() {
    let project = webhook::receiving();
    let mut server = Unheard::start(project.command(&project.path(""), &["webhook", "serve"]), full());
    let url = server.address();
    for number in 0..20 {
        let body = webhook::envelope(&format!("evt_{number}"), "license.revoked", webhook::now()).to_string();
        let signature = webhook::signatures(webhook::SECRET, &body, webhook::now())[2].clone();
        let answer = agent().post(&url).header("x-signature", signature).send(&body);
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(project.trail("production").kinds().iter().filter(|kind| **kind == "webhook").count(), 20);
    assert_eq!(server.terminated(), Some(0));
}

#[test]
fn a_deploy_whose_output_nobody_reads_waits_and_ends_when_it_is_told_to() {
    let server = saying(&good());
    let project = asking(&server);
    let written = project.seen().join("written");
    let script = format!("yes line | head -c 300000 >&2; : > '{}'; sleep 60", written.display());
    let project = project.deploying(&script);
    let mut deploy = Unheard::start(project.command(&project.path(""), &["deploy", "production"]), pipe().unwrap());
    until("the deploy command runs", || project.seen().join("cwd").exists());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!written.exists(), "it waits for a reader, and loses nothing");
    assert_eq!(deploy.terminated(), Some(143));
}
