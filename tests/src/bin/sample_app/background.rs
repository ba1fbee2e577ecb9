//! The application in the background: at most one on a port, known by a file with its process number.
//!
//! A process is stopped only when two things agree: the file in this directory names its number, and what answers on
//! the port gives the same number. A stale file or another program's port is therefore never a reason to stop anybody.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, setsid};

use crate::{
    options::Options,
    server::{Listening, NAME, NAME_HEADER, PID_HEADER, STATUS_PATH, cannot_listen},
    written,
};

/// How long a new application may take until it answers.
const START_MAX: Duration = Duration::from_secs(5);

/// How long an old one may take to give the port back.
const END_MAX: Duration = Duration::from_secs(5);

/// How long the holder of a port may take to tell who it is.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The longest answer of the holder of a port that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;

/// The pause between two looks at the port.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Starts it in the background, in the place of one that runs already; returns when it answers, with the words to say.
pub(crate) fn start(options: &Options) -> Result<String, String> {
    let port = options.port;
    PidFile::of(port).make_place().map_err(|error| format!("`.license` cannot be made here: {error}"))?;
    let replaced = make_room(port)?;
    let mut child = spawn(options).map_err(|error| format!("it cannot be started: {error}"))?;
    wait_until_it_answers(&mut child, port)?;
    let (pid, lasts) = (child.id(), written(options.lasts));
    let place = if replaced { " in the place of the one before" } else { "" };
    let other_port = if port == 3000 { String::new() } else { format!(" --port {port}") };
    Ok(format!(
        "the sample app runs on http://localhost:{port} (process {pid}){place}\n\
         it stops by itself after {lasts}; to stop it sooner, in this directory:\n  \
         cargo run -q -p license-tests --bin sample-app -- --stop{other_port}"
    ))
}

/// Serves as the one in the background, until the time is over.
pub(crate) fn serve(options: &Options) -> Result<(), String> {
    // A session of its own: the deploy command's group may be ended, and the terminal closed.
    setsid().map_err(|error| format!("no session of its own: {error}"))?;
    let listening = Listening::on(options.port).map_err(|error| cannot_listen(options.port, &error))?;
    let file = PidFile::of(options.port);
    file.write().map_err(|error| format!("`{}` cannot be written: {error}", file.0.display()))?;
    listening.answer();
    thread::sleep(options.lasts);
    file.remove();
    Ok(())
}

/// Stops the one in the background; returns the words to say.
pub(crate) fn stop(port: u16) -> Result<String, String> {
    match holder(port) {
        Holder::Nobody => {
            PidFile::of(port).remove();
            Ok(format!("no sample app runs on port {port}"))
        }
        Holder::Ours(pid) => {
            end(pid, port)?;
            Ok(format!("the sample app on port {port} (process {}) is stopped", pid.as_raw_nonzero()))
        }
        Holder::OfAnotherDirectory(pid) => Err(of_another_directory(port, pid)),
        Holder::Other => Err(format!("port {port} is held by another program, which is left alone")),
    }
}

/// Stops one that runs already. Says whether there was one.
fn make_room(port: u16) -> Result<bool, String> {
    let Err(error) = Listening::on(port) else { return Ok(false) };
    match holder(port) {
        Holder::Ours(pid) => end(pid, port).map(|()| true),
        Holder::OfAnotherDirectory(pid) => Err(of_another_directory(port, pid)),
        Holder::Nobody | Holder::Other => Err(cannot_listen(port, &error)),
    }
}

fn of_another_directory(port: u16, pid: Pid) -> String {
    format!(
        "port {port} is held by a sample app that was started in another directory (process {}); stop it there with \
         `--stop`, or choose another port with `--port`",
        pid.as_raw_nonzero()
    )
}

fn end(pid: Pid, port: u16) -> Result<(), String> {
    let start = Instant::now();
    kill_process(pid, Signal::TERM)
        .map_err(|error| format!("process {} cannot be stopped: {error}", pid.as_raw_nonzero()))?;
    while start.elapsed() < END_MAX {
        if Listening::on(port).is_ok() {
            PidFile::of(port).remove();
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    let (pid, secs) = (pid.as_raw_nonzero(), END_MAX.as_secs());
    Err(format!("process {pid} was asked to stop and still holds port {port} after {secs} seconds; look at it"))
}

#[expect(clippy::disallowed_methods, reason = "the application starts itself again, as the one in the background")]
fn spawn(options: &Options) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--detached", "--port", &options.port.to_string(), "--for", &format!("{}s", options.lasts.as_secs())])
        // Whoever reads the deploy command's output must not wait for the application.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn wait_until_it_answers(child: &mut Child, port: u16) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < START_MAX {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended at once ({status}); run it without `--detach` to see why"));
        }
        if answering(port) == Some(Pid::from_child(child)) {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    child.kill().ok();
    child.wait().ok();
    Err(format!("it did not answer on port {port} within {} seconds, and was ended", START_MAX.as_secs()))
}

/// Who holds a port.
enum Holder {
    Nobody,
    /// The application that the file in this directory names.
    Ours(Pid),
    /// The same application, which the file in this directory does not name.
    OfAnotherDirectory(Pid),
    Other,
}

fn holder(port: u16) -> Holder {
    match answering(port) {
        Some(pid) if PidFile::of(port).read() == Some(pid) => Holder::Ours(pid),
        Some(pid) => Holder::OfAnotherDirectory(pid),
        None if Listening::on(port).is_ok() => Holder::Nobody,
        None => Holder::Other,
    }
}

/// The process number that a sample app on a port tells; `None` if anybody else, or nobody, answers.
fn answering(port: u16) -> Option<Pid> {
    let answer = ask(port).ok()?;
    let header = |name: &str| {
        let values = answer.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        values.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    if header(NAME_HEADER) != Some(NAME) {
        return None;
    }
    process_number(header(PID_HEADER)?)
}

/// Zero, one and negative numbers would mean groups of processes, or the one that keeps the machine alive.
fn process_number(text: &str) -> Option<Pid> {
    Pid::from_raw(text.trim().parse().ok().filter(|number| *number > 1)?)
}

#[expect(clippy::disallowed_methods, reason = "the application asks who holds its port, on this machine")]
fn ask(port: u16) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX)?;
    connection.set_read_timeout(Some(ANSWER_MAX))?;
    connection.set_write_timeout(Some(ANSWER_MAX))?;
    write!(connection, "GET {STATUS_PATH} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The file with the process number of the application on a port.
struct PidFile(PathBuf);

impl PidFile {
    fn of(port: u16) -> Self {
        Self(PathBuf::from(format!(".license/sample-app-{port}.pid")))
    }

    fn make_place(&self) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), fs::create_dir_all)
    }

    #[expect(clippy::disallowed_methods, reason = "a torn process number agrees with no process, and stops nobody")]
    fn write(&self) -> io::Result<()> {
        self.make_place()?;
        fs::write(&self.0, format!("{}\n", std::process::id()))
    }

    #[expect(clippy::disallowed_methods, reason = "the read has a limit here")]
    fn read(&self) -> Option<Pid> {
        const NUMBER_BYTES_MAX: u64 = 32;
        let mut text = String::new();
        fs::File::open(&self.0).ok()?.take(NUMBER_BYTES_MAX).read_to_string(&mut text).ok()?;
        process_number(&text)
    }

    /// A file that cannot be removed is stale, and a stale file harms nobody.
    fn remove(&self) {
        fs::remove_file(&self.0).ok();
    }
}
