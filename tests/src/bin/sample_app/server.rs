//! Listens on this machine only, and answers.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream},
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    http::{self, CLIENT_TIME_MAX, Method, Request, Status},
    options::Options,
    status::Given,
    written,
};

/// The path of the license status.
pub(crate) const STATUS_PATH: &str = "/api/license/status";

/// The header by which the application knows its own kind.
pub(crate) const NAME_HEADER: &str = "X-Sample-App";

/// The value of that header.
pub(crate) const NAME: &str = "license-hooks";

/// The header with the process number.
pub(crate) const PID_HEADER: &str = "X-Sample-App-Pid";

/// Connections beyond this many are closed at once.
const CONNECTIONS_MAX: usize = 32;

const WELCOME: &str = "The sample application runs. Its license: /api/license/status\n";

/// Serves in the foreground until the time is over.
pub(crate) fn serve(options: &Options, out: &mut dyn Write) -> Result<(), String> {
    let port = Listening::on(options.port).map_err(|error| cannot_listen(options.port, &error))?.answer();
    writeln!(out, "http://localhost:{port} for {}; end it with Ctrl-C", written(options.lasts))
        .and_then(|()| out.flush())
        .map_err(|error| format!("the address cannot be told: {error}"))?;
    thread::sleep(options.lasts);
    Ok(())
}

/// What to say when a port cannot be had.
pub(crate) fn cannot_listen(port: u16, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return format!(
            "port {port} is held by another program; stop it, or choose another port with `--port`, in the `deploy` \
             and `health` lines of license.toml"
        );
    }
    format!("port {port} cannot be used: {error}; choose another with `--port`")
}

/// The sockets on a port: `localhost` may mean either address family.
pub(crate) struct Listening {
    port: u16,
    v4: TcpListener,
    v6: Option<TcpListener>,
}

impl Listening {
    /// Takes the port; 0 takes a free one. A machine without IPv6 does without.
    #[expect(clippy::disallowed_methods, reason = "the application is a server")]
    pub(crate) fn on(port: u16) -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = v4.local_addr()?.port();
        let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
            Ok(v6) => Some(v6),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => None,
        };
        Ok(Self { port, v4, v6 })
    }

    /// Answers from now on, in threads of its own. Returns the port.
    pub(crate) fn answer(self) -> u16 {
        let given = Arc::new(Given::of_process());
        let open = Arc::new(AtomicUsize::new(0));
        for listener in [Some(self.v4), self.v6].into_iter().flatten() {
            let (given, open) = (Arc::clone(&given), Arc::clone(&open));
            thread::spawn(move || {
                // An error of one connection, or of one that was not to be, ends nothing.
                for connection in listener.incoming().flatten() {
                    answer_apart(connection, &given, &open);
                }
            });
        }
        self.port
    }
}

fn answer_apart(connection: TcpStream, given: &Arc<Given>, open: &Arc<AtomicUsize>) {
    let place = Place::take(open);
    if open.load(Ordering::SeqCst) > CONNECTIONS_MAX {
        return;
    }
    let given = Arc::clone(given);
    thread::spawn(move || {
        let _place = place;
        // A client that is gone, or too slow, does not get an answer.
        answer(&connection, &given).ok();
    });
}

/// One of the connections; gives its place back.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(connection: &TcpStream, given: &Given) -> io::Result<()> {
    let request = http::receive(connection)?;
    connection.set_write_timeout(Some(CLIENT_TIME_MAX))?;
    { connection }.write_all(reply(&request, given, now()).as_bytes())?;
    hang_up(connection)
}

/// Closing while the client still sends would take the answer away from it: reads a little more first.
fn hang_up(connection: &TcpStream) -> io::Result<()> {
    const MORE_BYTES_MAX: u64 = 64 * 1024;
    const SILENCE_MAX: Duration = Duration::from_secs(1);
    connection.shutdown(Shutdown::Write)?;
    connection.set_read_timeout(Some(SILENCE_MAX))?;
    io::copy(&mut connection.take(MORE_BYTES_MAX), &mut io::sink()).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "this program's door to the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn reply(request: &Result<Request, Status>, given: &Given, now: Timestamp) -> String {
    let (status, content_type, body) = match request {
        Ok(request) => match request.path.as_str() {
            STATUS_PATH => (Status::Ok, "application/json", given.status(now).to_string()),
            "/" => (Status::Ok, "text/plain", WELCOME.to_owned()),
            _ => (Status::NotFound, "text/plain", "there is nothing here\n".to_owned()),
        },
        Err(status) => (*status, "text/plain", "this request cannot be answered\n".to_owned()),
    };
    let own = format!("{NAME_HEADER}: {NAME}\r\n{PID_HEADER}: {}\r\n", process::id());
    let head = http::head(status, content_type, body.len(), &own);
    match request.as_ref().map(|request| request.method) {
        Ok(Method::Head) => head,
        Ok(Method::Get) | Err(_) => head + &body,
    }
}
