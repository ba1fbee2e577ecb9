//! Keep-alive clients that ask as fast as they are answered, one thread each.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// How many clients ask at once.
pub(crate) const CLIENTS: usize = 8;

/// A client waits no longer for an answer.
const ANSWER_SECS_MAX: u64 = 10;

/// How long to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Every client asks so often.
    Times(u64),
    /// Every client asks for so long.
    Past(Duration),
}

/// What the clients did together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// The answers.
    pub(crate) answers: u64,
    /// From the first question to the last answer.
    pub(crate) took: Duration,
}

impl Done {
    /// Answers in a second.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 answers")]
    pub(crate) fn rate(self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
}

/// Asks the same of a server on this port, again and again.
pub(crate) fn run(port: u16, request: &[u8], until: Until) -> Done {
    let started = Instant::now();
    let answers = thread::scope(|scope| {
        let client = || Client::connect(port).ask_again(request, started, until);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    Done { answers, took: started.elapsed() }
}

/// One connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECS_MAX))).unwrap();
        Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() }
    }

    fn ask_again(mut self, request: &[u8], started: Instant, until: Until) -> u64 {
        let mut answers = 0;
        let goes_on = |answers| match until {
            Until::Times(times) => answers < times,
            Until::Past(time) => started.elapsed() < time,
        };
        while goes_on(answers) {
            self.ask(request);
            answers += 1;
        }
        answers
    }

    /// Asks once; the answer is whole and says 200.
    pub(crate) fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.get_mut().write_all(request).unwrap();
        self.line.clear();
        self.stream.read_line(&mut self.line).unwrap();
        assert!(self.line.starts_with("HTTP/1.1 200 "), "{}", self.line);
        let mut length = 0;
        while !self.line.trim_end().is_empty() {
            self.line.clear();
            self.stream.read_line(&mut self.line).unwrap();
            if let Some(value) = self.line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).unwrap();
        &self.body
    }
}
