//! An HTTP server on one thread, with every bound said: the only async code of the product, with the two services that
//! answer, `authority::serve` and `commands::webhook::serve`. TLS is the job of a proxy in front.

use std::{error::Error, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    body::{Body, Bytes, Incoming},
    http::{Request, Response},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, mpsc, oneshot, watch},
    time,
};
use tokio_io_timeout::TimeoutStream;

use crate::exit::Exit;

pub(crate) mod body;

/// What answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// What answers are made of.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn respond(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The most connections that are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// How many of the process's file descriptors are left to logs, so that connections alone cannot stop a change.
const DESCRIPTORS_KEPT: usize = 32;

/// How long a client may take to send the head of a request, idle time on a kept connection included.
const HEAD_WAIT: Duration = Duration::from_secs(60);

/// How long a client may take to send the body of a request.
pub(crate) const BODY_WAIT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer: others wait for its place.
const TAKE_WAIT: Duration = Duration::from_secs(30);

/// The longest head of a request, in bytes; one that comes in a single read may be twice as long.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long requests under way may take after a signal.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// The most lines for whoever runs the server that wait to be written.
const LINES_MAX: usize = 16;

/// How long to wait after the system refused to accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs to its end what serves.
pub(crate) fn block_on<T, E: From<ServerError>>(serving: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(ServerError::NoRuntime)?;
    runtime.block_on(serving)
}

/// Lines for whoever runs a server, from whoever has one. When nobody reads fast enough they are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Lines(mpsc::Sender<String>);

/// Where the lines come out.
#[derive(Debug)]
pub(crate) struct Told(mpsc::Receiver<String>);

/// A way for lines.
pub(crate) fn lines() -> (Lines, Told) {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    (Lines(sender), Told(receiver))
}

impl Lines {
    /// Says a line.
    pub(crate) fn say(&self, line: String) {
        // When nobody reads fast enough, the same has been said often enough.
        let _ = self.0.try_send(line);
    }
}

/// What a thread holds for as long as it works beside a server, and what is done once that is dropped, by whatever end.
pub(crate) fn at_work() -> (oneshot::Sender<()>, impl Future<Output = ()>) {
    let (at_work, gone) = oneshot::channel();
    // Nothing is ever sent.
    (at_work, async { drop(gone.await) })
}

/// A server that has its address and watches for signals, and serves nobody yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    bound: SocketAddr,
    interrupt: Signal,
    terminate: Signal,
}

impl Listener {
    /// Takes an address.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, ServerError> {
        let cannot_listen = |source| ServerError::Listen { address, source };
        let interrupt = signal(SignalKind::interrupt()).map_err(ServerError::NoRuntime)?;
        let terminate = signal(SignalKind::terminate()).map_err(ServerError::NoRuntime)?;
        let socket = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let bound = socket.local_addr().map_err(cannot_listen)?;
        Ok(Self { socket, bound, interrupt, terminate })
    }

    /// The address, with its port.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Serves until SIGINT or SIGTERM, or until who works beside it is `gone`: half a server must not look well. Then it
    /// lets requests under way end. Dropping `stopping` tells everybody who listens to it.
    pub(crate) async fn serve<S: Service>(
        mut self,
        service: &Arc<S>,
        stopping: watch::Sender<()>,
        gone: impl Future<Output = ()>,
        told: &mut Told,
        tell: &mut dyn FnMut(&str),
    ) {
        let connections_max = connections_max();
        let places = Arc::new(Semaphore::new(connections_max));
        let stop = stopping.subscribe();
        {
            let mut accepting = pin!(accept(&self.socket, service, &places, &stop));
            let mut gone = pin!(gone);
            loop {
                tokio::select! {
                    () = accepting.as_mut() => break,
                    () = gone.as_mut() => break,
                    _ = self.interrupt.recv() => break,
                    _ = self.terminate.recv() => break,
                    Some(line) = told.0.recv() => tell(&line),
                }
            }
        }
        drop(self.socket);
        // Idle connections close at once, others after their answer.
        drop(stopping);
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let _ = time::timeout(STOP_WAIT, places.acquire_many(all)).await;
        // What broke just before the end is told too; at most as much as the channel holds.
        while let Ok(line) = told.0.try_recv() {
            tell(&line);
        }
    }
}

/// As many as the process may have open at once, less what the log needs.
fn connections_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    descriptors.map_or(CONNECTIONS_MAX, |limit| limit.saturating_sub(DESCRIPTORS_KEPT).clamp(1, CONNECTIONS_MAX))
}

async fn accept<S: Service>(
    listener: &TcpListener,
    service: &Arc<S>,
    places: &Arc<Semaphore>,
    stop: &watch::Receiver<()>,
) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, stop) = (Arc::clone(service), stop.clone());
        tokio::spawn(async move {
            // What goes wrong on one connection is its client's to notice.
            let _ = connection(stream, service, stop, TAKE_WAIT).await;
            drop(place);
        });
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    service: Arc<S>,
    mut stop: watch::Receiver<()>,
    take_wait: Duration,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // An answer is one small packet: nothing is gained by waiting for more.
    stream.set_nodelay(true)?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(take_wait));
    let service = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, io::Error>(service.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        // A client may say that it has sent everything before it reads, as `nc -N` does.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        // The sender is only ever dropped: that is the sign to stop.
        _ = stop.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    #[diagnostic(help("stop what listens there, or choose another port; port 0 takes a free one"))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system gives no event loop or no signals.
    #[error("the server cannot start: {0}")]
    NoRuntime(io::Error),
    /// The address cannot be told.
    #[error("the address cannot be written to stdout: {0}")]
    Output(io::Error),
}

impl ServerError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Listen { .. } => Exit::Usage,
            Self::NoRuntime(_) | Self::Output(_) => Exit::Bug,
        }
    }
}

/// An address of the command line. Names are not looked up: one name may lead to several addresses.
pub(crate) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, as in `127.0.0.1:8080` or `[::1]:8080`")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test is its own client")]
mod tests {
    use std::{io::Write as _, time::Instant};

    use http_body_util::Full;

    use super::*;

    /// More than the system keeps for a client that takes nothing, in bytes.
    const MUCH: usize = 64 * 1024 * 1024;

    struct Much;

    impl Service for Much {
        type Body = Full<Bytes>;

        async fn respond(self: Arc<Self>, _: Request<Incoming>) -> Response<Full<Bytes>> {
            Response::new(Full::new(Bytes::from(vec![b'x'; MUCH])))
        }
    }

    #[test]
    fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        let waited = block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(ServerError::NoRuntime)?;
            let address = listener.local_addr().map_err(ServerError::NoRuntime)?;
            let mut client = std::net::TcpStream::connect(address).map_err(ServerError::NoRuntime)?;
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").map_err(ServerError::NoRuntime)?;
            let (stream, _) = listener.accept().await.map_err(ServerError::NoRuntime)?;
            let (_stopping, stop) = watch::channel(());
            let begun = Instant::now();
            let ended = connection(stream, Arc::new(Much), stop, Duration::from_millis(100)).await;
            assert!(ended.is_err());
            Ok::<_, ServerError>(begun.elapsed())
        });
        assert!(waited.unwrap() < TAKE_WAIT);
    }
}
