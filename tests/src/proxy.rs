//! A proxy that passes bytes on unchanged, counts connections, and remembers what clients sent.

use std::{
    io::{Read, Write, copy},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::{http, process::until, raw::Request};

/// A proxy in front of one server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    path: String,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
    /// What was sent over each connection that was made.
    sent: Mutex<Vec<Vec<u8>>>,
    stopped: AtomicBool,
    /// What happens at a request that begins so, once.
    trap: Mutex<Option<(String, Trap)>>,
    /// A request is held back.
    holds: AtomicBool,
}

/// What happens before the end of a request is passed on.
#[derive(Debug, Clone, Copy)]
enum Trap {
    /// Nobody listens any more; connections that stand are not touched.
    Close,
    /// It is held back until [`Proxy::releases`].
    Hold,
}

impl Proxy {
    /// Starts in front of the server at a URL.
    pub fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let (target, shared) = (http::host(url).to_owned(), Arc::clone(&counts));
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (target, shared) = (target.clone(), Arc::clone(&shared));
                thread::spawn(move || shared.pass(client.unwrap(), &target, address));
            }
        });
        Self { address, path: http::path(url).to_owned(), counts }
    }

    /// The server's address, through the proxy.
    pub fn url(&self) -> String {
        format!("http://{}/{}", self.address, self.path)
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }

    /// How many connections were open at once, at most.
    pub fn connections_at_once(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }

    /// Before the end of the next request that begins so is passed on, the port is closed: later connections are refused.
    pub fn closes_at(&self, start: &str) {
        *self.counts.trap.lock().unwrap() = Some((start.to_owned(), Trap::Close));
    }

    /// The end of the next request that begins so is held back.
    pub fn holds_back(&self, start: &str) {
        *self.counts.trap.lock().unwrap() = Some((start.to_owned(), Trap::Hold));
    }

    /// Whether a request is held back now.
    pub fn holds(&self) -> bool {
        self.counts.holds.load(Ordering::SeqCst)
    }

    /// Passes on what is held back.
    pub fn releases(&self) {
        self.counts.holds.store(false, Ordering::SeqCst);
    }

    /// How many requests began so, as in `POST /api/v1/validate`.
    pub fn requests(&self, start: &str) -> usize {
        let sent = self.counts.sent.lock().unwrap();
        sent.iter().map(|bytes| String::from_utf8_lossy(bytes).matches(start).count()).sum()
    }

    /// The whole requests, one connection after another.
    pub fn sent(&self) -> Vec<Request> {
        self.counts.sent.lock().unwrap().iter().flat_map(|bytes| requests_of(bytes)).collect()
    }
}

/// The whole requests that were sent one after another over a connection.
fn requests_of(mut bytes: &[u8]) -> Vec<Request> {
    const HEAD_ENDS: &[u8] = b"\r\n\r\n";
    let mut requests = Vec::new();
    while let (Some(head), Some(request)) =
        (bytes.windows(HEAD_ENDS.len()).position(|four| four == HEAD_ENDS), Request::read(&mut &*bytes))
    {
        bytes = &bytes[head + HEAD_ENDS.len() + request.body.len()..];
        requests.push(request);
    }
    requests
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.counts.stop(self.address);
    }
}

impl Counts {
    /// Ends the listening: the thread that does it has to be woken.
    fn stop(&self, address: SocketAddr) {
        self.stopped.store(true, Ordering::SeqCst);
        self.holds.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(address);
    }

    fn spring(&self, connection: usize, address: SocketAddr) {
        let trap = {
            let sent = &self.sent.lock().unwrap()[connection];
            self.trap.lock().unwrap().take_if(|(start, _)| {
                let at = sent.windows(start.len()).position(|window| window == start.as_bytes());
                at.is_some_and(|at| Request::read(&mut &sent[at..]).is_some())
            })
        };
        match trap {
            None => {}
            Some((_, Trap::Close)) => {
                self.stop(address);
                until("the port is closed", || TcpStream::connect(address).is_err());
            }
            Some((_, Trap::Hold)) => {
                self.holds.store(true, Ordering::SeqCst);
                until("what is held back is released", || !self.holds.load(Ordering::SeqCst));
            }
        }
    }

    fn pass(self: &Arc<Self>, client: TcpStream, target: &str, address: SocketAddr) {
        self.all.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
        if let Ok(server) = TcpStream::connect(target) {
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let noting = Arc::clone(self);
            let up = thread::spawn(move || {
                noting.pass_up(&mut up_from, &mut up_to, address);
                let _ = up_to.shutdown(Shutdown::Write);
            });
            let (mut down_from, mut down_to) = (server, client);
            let _ = copy(&mut down_from, &mut down_to);
            let _ = down_to.shutdown(Shutdown::Both);
            let _ = up.join();
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// What was sent is noted before it is passed on, so that no answer to it can come first.
    fn pass_up(&self, from: &mut impl Read, to: &mut impl Write, address: SocketAddr) {
        let connection = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(Vec::new());
            sent.len() - 1
        };
        let mut chunk = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            self.sent.lock().unwrap()[connection].extend_from_slice(&chunk[..read]);
            self.spring(connection, address);
            if to.write_all(&chunk[..read]).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_one_connection_are_told_apart() {
        let post = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        let get = "GET /b HTTP/1.1\r\nhost: h\r\n\r\n";
        let seen = |text: &str| {
            let requests = requests_of(text.as_bytes());
            requests.into_iter().map(|request| (request.path, request.body)).collect::<Vec<_>>()
        };
        let [a, b] = [("/a", "{}"), ("/b", "")].map(|(path, body)| (path.to_owned(), body.to_owned()));
        assert_eq!(seen(&[post, get, post].concat()), [a.clone(), b.clone(), a.clone()]);
        // What was not sent to its end is no request.
        assert_eq!(seen(&[get, &post[..post.len() - 1]].concat()), [b]);
        assert_eq!(seen(""), []);
    }
}
