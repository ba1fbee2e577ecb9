//! A server that answers exactly as it is told, well or badly, and remembers what it was asked.

use std::{
    fmt,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a hanging connection is held at most.
const HANG_SECS_MAX: u64 = 60;

/// How long a client may take to send its request.
const REQUEST_SECS_MAX: u64 = 10;

/// The largest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// One answer to one connection.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// A head that promises `of` bytes of body, these bytes, then the end of the connection.
    Half {
        /// What is sent of the body.
        body: String,
        /// What was promised, in bytes.
        of: usize,
    },
    /// A body of this many bytes, sent until the client has enough.
    Huge {
        /// The size in bytes.
        bytes: u64,
    },
    /// Nothing, for as long as the client waits.
    Hang,
    /// The connection is reset before any answer.
    Reset,
}

impl Answer {
    /// JSON with a status.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// A body of any type with a status.
    pub fn text(status: u16, kind: &str, body: &str) -> Self {
        Self::with_headers(status, &[("content-type", kind)], body)
    }

    /// A body with a status and headers.
    pub fn with_headers(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}");
        Self::Bytes(format!("{head}\r\n{body}").into_bytes())
    }
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether it asks how many validations were used.
    pub fn is_about_usage(&self) -> bool {
        self.method == "GET" && ["/portal/stats", "/portal/usage"].iter().any(|path| self.path.ends_with(path))
    }

    /// Reads one request: the head, and as much body as it announces. `None` when the client says nothing whole.
    pub fn read(stream: &mut impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            read_some(stream, &mut bytes)?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut request = Self { method, path, headers, body: String::new() };
        let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < end + 4 + length {
            read_some(stream, &mut bytes)?;
        }
        request.body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
        Some(request)
    }
}

fn read_some(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).ok().filter(|&read| read > 0 && bytes.len() < REQUEST_BYTES_MAX)?;
    bytes.extend_from_slice(&chunk[..read]);
    Some(())
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server on loopback that answers every connection once.
pub struct RawServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl RawServer {
    /// Answers the first request with the first answer, and so on; the last answer is repeated. It does not know how many
    /// validations were used: that question takes nobody's turn.
    pub fn script(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        let turn = AtomicUsize::new(0);
        Self::answering(move |request| {
            if request.is_about_usage() {
                return Answer::text(404, "text/plain", "no such address");
            }
            answers[turn.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone()
        })
    }

    /// Answers each request as a function says.
    pub fn answering(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(&mut stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// The base address of an API.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many validations it was asked for so far.
    pub fn validations(&self) -> usize {
        self.requests().iter().filter(|request| request.method == "POST" && request.path.ends_with("/validate")).count()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for RawServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: &mut TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(REQUEST_SECS_MAX))).unwrap();
        let Some(request) = Request::read(stream) else { return };
        self.requests.lock().unwrap().push(request.clone());
        // A client may hang up before it has read everything, and that is its right.
        let _ = self.answer((self.handler)(&request), stream);
    }

    fn answer(&self, answer: Answer, stream: &mut TcpStream) -> std::io::Result<()> {
        match answer {
            Answer::Bytes(bytes) => stream.write_all(&bytes)?,
            Answer::Half { body, of } => {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {of}\r\n\r\n{body}"
                )?;
            }
            Answer::Huge { bytes } => huge(stream, bytes)?,
            Answer::Hang => self.hang(),
            Answer::Reset => return reset(stream),
        }
        stream.shutdown(Shutdown::Write)
    }

    fn hang(&self) {
        let started = Instant::now();
        while !self.stopped.load(Ordering::SeqCst) && started.elapsed() < Duration::from_secs(HANG_SECS_MAX) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Valid JSON that does not end before its time: a client that stops early did so for the size alone.
fn huge(stream: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    let (start, end) = (r#"{"valid":true,"message":""#, r#""}"#);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n{start}")?;
    let mut left = bytes - (start.len() + end.len()) as u64;
    let chunk = [b'a'; 8192];
    while left > 0 {
        let now = left.min(chunk.len() as u64);
        stream.write_all(&chunk[..usize::try_from(now).unwrap()])?;
        left -= now;
    }
    stream.write_all(end.as_bytes())
}

/// Closing a socket with a linger time of zero resets the connection instead of ending it.
fn reset(stream: &TcpStream) -> std::io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}
