//! The sample application in the background: started, replaced, stopped, and never in anybody's way.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use license_core::LicenseKey;
use license_tests::{Answer, Project, RawServer};
use rustix::process::{Pid, Signal, getsid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::project;

const KEY: &str = "TO-DEV-0123456789abcdef";
/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// A directory to deploy in, and a port.
struct Place {
    directory: TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Self { directory: TempDir::new().unwrap(), port }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sample-app"))
            .args(arguments)
            .args(["--port", &self.port.to_string()])
            .current_dir(self.directory.path())
            .env("LICENSE_KEY", KEY)
            .env("LICENSE_PLAN", "pro")
            .env("LICENSE_RELEASE", "r1")
            .output()
            .unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains(KEY));
        said
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join(format!(".license/sample-app-{}.pid", self.port))
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(self.pid_file()).ok()?.trim().parse().unwrap())
    }

    fn send(&self, request: &str) -> String {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        connection.set_read_timeout(Some(SOON)).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn is_free(&self) -> bool {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    fn soon_free(&self) -> bool {
        let start = Instant::now();
        while !self.is_free() && start.elapsed() < SOON {
            thread::sleep(Duration::from_millis(10));
        }
        self.is_free()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

#[test]
fn it_tells_its_license_until_it_is_stopped() {
    let place = Place::new();
    let said = place.succeeds(&["--detach"]);
    let (port, pid) = (place.port, place.pid().unwrap());
    for words in [format!("http://localhost:{port}"), "after 10m".to_owned(), format!("--stop --port {port}")] {
        assert!(said.contains(&words), "{said}");
    }
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "it has a session of its own");

    let answer = place.get("/api/license/status");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let status: Value = serde_json::from_str(body).unwrap();
    assert_eq!(status["valid"], true);
    assert_eq!(status["plan"], "pro");
    assert_eq!(status["release"], "r1");
    assert_eq!(status["keyFingerprint"], LicenseKey::parse(KEY).unwrap().fingerprint().to_string());
    assert!(!answer.contains(KEY));

    assert!(place.succeeds(&["--stop"]).contains("is stopped"));
    assert!(place.is_free() && place.pid().is_none());
    assert!(place.succeeds(&["--stop"]).contains("no sample app runs"));
}

#[test]
fn a_second_one_replaces_the_first() {
    let place = Place::new();
    place.succeeds(&["--detach"]);
    let first = place.pid().unwrap();
    assert!(place.succeeds(&["--detach"]).contains("in the place of the one before"));
    let second = place.pid().unwrap();
    assert_ne!(first, second);
    assert!(place.get("/").contains(&format!("X-Sample-App-Pid: {}\r\n", second.as_raw_nonzero())));
}

#[test]
fn it_stops_by_itself() {
    let place = Place::new();
    place.succeeds(&["--detach", "--for", "1s"]);
    assert!(place.soon_free());
    let start = Instant::now();
    while place.pid_file().exists() && start.elapsed() < SOON {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!place.pid_file().exists());
}

#[test]
fn another_program_on_the_port_is_left_alone() {
    let place = Place::new();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, place.port)).unwrap();
    // A file that names a process proves nothing: this one is the test itself.
    fs::create_dir(place.directory.path().join(".license")).unwrap();
    fs::write(place.pid_file(), std::process::id().to_string()).unwrap();
    let holds = thread::spawn(move || {
        for connection in other.incoming().take(2) {
            connection.unwrap().write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        }
        other
    });
    let why = place.fails(&["--detach"]);
    assert!(why.contains(&format!("port {} is held by another program; stop it", place.port)), "{why}");
    assert!(place.fails(&["--stop"]).contains("held by another program"));
    fs::remove_file(place.pid_file()).unwrap();
    drop(holds.join().unwrap());
}

#[test]
fn one_of_another_directory_is_left_alone() {
    let place = Place::new();
    place.succeeds(&["--detach"]);
    let elsewhere = Place { directory: TempDir::new().unwrap(), port: place.port };
    for action in ["--detach", "--stop"] {
        let why = elsewhere.fails(&[action]);
        assert!(why.contains("started in another directory"), "{why}");
    }
    assert!(place.get("/").starts_with("HTTP/1.1 200"));
}

#[test]
fn odd_requests_are_refused() {
    let place = Place::new();
    place.succeeds(&["--detach"]);
    for (request, expected) in [
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 405 "),
        ("GET /secret HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404 "),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20 * 1024)), "HTTP/1.1 431 "),
    ] {
        let answer = place.send(&request);
        assert!(answer.starts_with(expected), "{answer}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let output = Place::new().run(&["--nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`--nonsense` is not an option\nusage: sample-app"));
}

/// A project whose development deploys the sample app itself, on this place's port.
fn deploying_the_sample_app(place: &Place) -> Project {
    let (app, port) = (env!("CARGO_BIN_EXE_sample-app"), place.port);
    let text = format!(
        "version = 1\n[authority.local]\nkind = \"embedded\"\n[environments.development]\nauthority = \"local\"\n\
         domain = \"localhost:{port}\"\nkey = {{ dotenv = \".env.development\", name = \"LICENSE_KEY\" }}\n\
         deploy = [{app:?}, \"--detach\", \"--port\", \"{port}\", \"--for\", \"90s\"]\n\
         health = {{ url = \"http://localhost:{port}/api/license/status\", within = \"20s\" }}\n"
    );
    project().license_toml(text.as_bytes())
}

#[test]
fn it_is_deployed_and_proved_and_the_next_deploy_replaces_it() {
    let place = Place::new();
    let project = deploying_the_sample_app(&place);
    let mut pids = Vec::new();
    for _ in 0..2 {
        project.run(&["deploy"]).exits(0).says("proved");
        assert_eq!(project.trail("development").last("health")["health"], "proved");
        pids.push(fs::read_to_string(project.path(&format!(".license/sample-app-{}.pid", place.port))).unwrap());
    }
    assert_ne!(pids[0], pids[1]);
    let mut stop = Command::new(env!("CARGO_BIN_EXE_sample-app"));
    stop.args(["--stop", "--port", &place.port.to_string()]).current_dir(project.path(""));
    assert!(stop.output().unwrap().status.success());
    assert!(place.soon_free());
}

#[test]
fn a_busy_port_fails_the_deploy_and_whoever_holds_it_is_left_alone() {
    let other = RawServer::script([Answer::text(200, "text/plain", "hello")]);
    let place = Place { directory: TempDir::new().unwrap(), port: other.address().port() };
    let project = deploying_the_sample_app(&place);
    let ran = project.run(&["deploy"]);
    ran.exits(13).says(&format!("port {} is held by another program; stop it", place.port));
    let trail = project.trail("development");
    assert_eq!(trail.kinds(), ["issued", "gate", "deploy_started", "deploy_ended"]);
    assert_eq!(trail.last("deploy_ended")["ended"]["how"], "exited");
    assert!(other.connections() > 0, "it was told apart by asking");
}
