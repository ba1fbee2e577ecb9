//! The embedded authority over HTTP: every documented dialect of the API, and faults on request.
//!
//! The only async code of the product: one thread with a runtime, and a pool for changes, which wait for the
//! disk. A change is durable before it is answered. TLS is the job of a proxy in front.

use std::{
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use hyper::{
    body::{Bytes, Incoming},
    http::{Request, Response, request::Parts},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, mpsc, watch},
    time,
};

use super::embedded::Embedded;
use crate::exit::Exit;

mod answer;
mod body;
mod fault;
mod handle;
mod options;
mod route;
mod usage;

pub(crate) use fault::Fault;
pub(crate) use options::{ApiToken, Idempotency, KeepPreviousKeys, ListKeys, RefuseWith};

use fault::{Armed, Broken};
use handle::Handler;
use route::Route;
use usage::Usage;

/// How the server is to behave.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The token that changes need; without one, everybody who reaches the address may change licenses.
    pub(crate) token: Option<ApiToken>,
    /// The status of a refused validation.
    pub(crate) refuse_with: RefuseWith,
    /// How many replaced keys stay in grace.
    pub(crate) keep_previous: KeepPreviousKeys,
    /// Whether a repeated `Idempotency-Key` gets the first rotation's answer.
    pub(crate) idempotency: Idempotency,
    /// Whether lists show whole keys.
    pub(crate) list_keys: ListKeys,
    /// How long every answer is held back.
    pub(crate) latency: Duration,
    /// What is to break, and how often.
    pub(crate) faults: Vec<Fault>,
}

/// The most connections that are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// How many of the process's file descriptors are left to the log, so that connections alone cannot stop a change.
const DESCRIPTORS_KEPT: usize = 32;

/// How long a client may take to send the head of a request, idle time on a kept connection included.
const HEAD_WAIT: Duration = Duration::from_secs(60);

/// How long a client may take to send the body of a request.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes; one that comes in a single read may be twice as long.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long requests under way may take after a signal.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// The most complaints that wait to be written.
const COMPLAINTS_MAX: usize = 16;

/// How long to wait after the system refused to accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until SIGINT or SIGTERM. The first line on `out` tells the address, once it is open.
pub(crate) fn run(
    settings: Settings,
    authority: Embedded,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    refuse_unsafe(&settings)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::NoRuntime)?;
    runtime.block_on(serve(settings, authority, out, err))
}

/// A server that others can reach needs a token, breaks nothing on purpose, and shows no keys.
fn refuse_unsafe(settings: &Settings) -> Result<(), ServeError> {
    let address = settings.listen;
    if address.ip().is_loopback() {
        return Ok(());
    }
    if settings.token.is_none() {
        return Err(ServeError::Open { address });
    }
    if !settings.faults.is_empty() {
        return Err(ServeError::FaultsInTheOpen { address });
    }
    match settings.list_keys {
        ListKeys::Plain => Err(ServeError::KeysInTheOpen { address }),
        ListKeys::Masked => Ok(()),
    }
}

async fn serve(
    settings: Settings,
    authority: Embedded,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    let address = settings.listen;
    // A log that cannot be trusted is not served at all.
    authority.catch_up()?;
    let usage = Usage::open(authority.state(), authority.now());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::NoRuntime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::NoRuntime)?;
    let cannot_listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let bound = listener.local_addr().map_err(cannot_listen)?;
    writeln!(out, "listening on http://{bound}/api/v1").and_then(|()| out.flush()).map_err(ServeError::Output)?;

    let latency = settings.latency;
    let armed = Armed::new(settings.faults.clone());
    let (complaints, mut heard) = mpsc::channel(COMPLAINTS_MAX);
    let server = Arc::new(Server { handler: Handler::new(settings, authority, usage, complaints), armed, latency });
    let (stopping, stop) = watch::channel(());
    let connections_max = connections_max();
    let places = Arc::new(Semaphore::new(connections_max));
    let flush = tokio::spawn(flush_counters(Arc::clone(&server), stop.clone()));
    {
        let mut accepting = pin!(accept(&listener, &server, &places, &stop));
        loop {
            tokio::select! {
                () = accepting.as_mut() => break,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                Some(complaint) = heard.recv() => {
                    // A server whose stderr is gone goes on serving.
                    let _ = writeln!(err, "{complaint}");
                }
            }
        }
    }
    drop(listener);
    // Idle connections close at once, others after their answer.
    drop(stopping);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let _ = time::timeout(STOP_WAIT, places.acquire_many(all)).await;
    // What broke just before the end is told too; at most as much as the channel holds.
    while let Ok(complaint) = heard.try_recv() {
        let _ = writeln!(err, "{complaint}");
    }
    // A write under way ends first: it must not replace what is written last.
    let _ = flush.await;
    if let Err(error) = server.handler.usage.save() {
        // Counters of use are a service, not a promise.
        let _ = writeln!(err, "the counters of use cannot be written: {error}");
    }
    Ok(())
}

/// As many as the process may have open at once, less what the log needs.
fn connections_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    descriptors.map_or(CONNECTIONS_MAX, |limit| limit.saturating_sub(DESCRIPTORS_KEPT).clamp(1, CONNECTIONS_MAX))
}

async fn accept(listener: &TcpListener, server: &Arc<Server>, places: &Arc<Semaphore>, stop: &watch::Receiver<()>) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (server, stop) = (Arc::clone(server), stop.clone());
        tokio::spawn(async move {
            // What goes wrong on one connection is its client's to notice.
            let _ = connection(stream, server, stop).await;
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    server: Arc<Server>,
    mut stop: watch::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // An answer is one small packet: nothing is gained by waiting for more.
    stream.set_nodelay(true)?;
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, io::Error>(server.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        // A client may say that it has sent everything before it reads, as `nc -N` does.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        // The sender is only ever dropped: that is the sign to stop.
        _ = stop.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

/// Counters of use may lag behind by this much.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

async fn flush_counters(server: Arc<Server>, mut stop: watch::Receiver<()>) {
    while time::timeout(FLUSH_INTERVAL, stop.changed()).await.is_err() {
        let server = Arc::clone(&server);
        // A failure is told at the end; until then the next second tries again.
        let _ = tokio::task::spawn_blocking(move || server.handler.usage.save()).await;
    }
}

/// What all connections share.
#[derive(Debug)]
struct Server {
    handler: Handler,
    armed: Armed,
    latency: Duration,
}

impl Server {
    /// Answers one request, with whatever is to break.
    async fn respond(self: &Arc<Self>, request: Request<Incoming>) -> Response<body::Body> {
        let (head, incoming) = request.into_parts();
        let route = Route::of(&head.method, head.uri.path());
        let broken = self.armed.take(route.scope());
        // Whatever the answer will be, the request is read first: an answer in the middle of one ends the connection.
        let body = body::read(incoming, BODY_WAIT).await;
        let mut answer = match broken.instead() {
            Some(answer) => answer,
            None => self.handle(route, head, body, &broken).await,
        };
        if let Some(late) = broken.late() {
            time::sleep(late).await;
        }
        if !self.latency.is_zero() {
            time::sleep(self.latency).await;
        }
        answer.date = broken.shifted(self.handler.now());
        broken.damage(answer)
    }

    async fn handle(
        self: &Arc<Self>,
        route: Route,
        head: Parts,
        body: Result<Bytes, answer::Answer>,
        broken: &Broken,
    ) -> answer::Answer {
        if let Some(refusal) = self.handler.refuse_stranger(&route, &head.headers) {
            return refusal;
        }
        let bytes = match body {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal,
        };
        if route.is_validation() {
            return self.validate(bytes, broken).await;
        }
        let (server, query) = (Arc::clone(self), head.uri.query().map(str::to_owned));
        let idempotency_key = match handle::idempotency_key(&head.headers) {
            Ok(key) => key,
            Err(refusal) => return refusal,
        };
        // Changes wait for the disk, so they leave the thread that answers validations.
        let changed = tokio::task::spawn_blocking(move || {
            server.handler.handle(&route, &bytes, query.as_deref(), idempotency_key.as_deref())
        });
        changed.await.unwrap_or_else(|_| answer::Answer::internal())
    }

    /// The hot path: one look at the log's length, then memory only.
    async fn validate(self: &Arc<Self>, bytes: Bytes, broken: &Broken) -> answer::Answer {
        if let Ok(true) = self.handler.authority.is_current() {
        } else {
            let server = Arc::clone(self);
            let caught_up = tokio::task::spawn_blocking(move || server.handler.authority.catch_up()).await;
            match caught_up {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return self.handler.complain(&why),
                Err(_) => return answer::Answer::internal(),
            }
        }
        self.handler.validate(&bytes, broken.stale())
    }
}

/// Why the server did not start. Never carries the token.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum ServeError {
    /// Everybody on the network could change licenses.
    #[error("without an API token, {address} would let everybody who reaches it change licenses")]
    #[diagnostic(help("name the token's variable with `--api-token-env`, or listen on 127.0.0.1"))]
    Open {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// A server that breaks on purpose is for this machine only.
    #[error("faults are for this machine only, and {address} can be reached by others")]
    #[diagnostic(help("listen on 127.0.0.1, or leave `--fault` out"))]
    FaultsInTheOpen {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Whole keys are shown to this machine only.
    #[error("whole keys (`--list-keys plain`) are listed to this machine only, and {address} can be reached by others")]
    #[diagnostic(help("listen on 127.0.0.1, or use `--list-keys masked`"))]
    KeysInTheOpen {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    #[diagnostic(help("stop what listens there, or choose another port; port 0 takes a free one"))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log cannot be read or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] crate::log::LogError),
    /// The operating system gives no event loop or no signals.
    #[error("the server cannot start: {0}")]
    NoRuntime(io::Error),
    /// The address cannot be told.
    #[error("the address cannot be written to stdout: {0}")]
    Output(io::Error),
}

impl ServeError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Open { .. } | Self::FaultsInTheOpen { .. } | Self::KeysInTheOpen { .. } | Self::Listen { .. } => {
                Exit::Usage
            }
            Self::Log(_) => Exit::Trail,
            Self::NoRuntime(_) | Self::Output(_) => Exit::Bug,
        }
    }
}

#[cfg(test)]
mod tests;
