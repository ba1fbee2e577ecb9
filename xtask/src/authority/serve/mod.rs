//! The embedded authority over HTTP: every documented dialect of the API, and faults on request.
//!
//! Changes wait for the disk, in a pool of threads. A change is durable before it is answered.

use std::{future::Future, io::Write, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    body::{Bytes, Incoming},
    http::{Request, Response, request::Parts},
};
use tokio::{sync::watch, time};

use super::embedded::Embedded;
use crate::{
    exit::Exit,
    server::{self, Lines, Listener, ServerError, Service, Told},
};

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

/// Serves until SIGINT or SIGTERM, or until who works beside the server is `gone`. The first line on `out` tells the
/// address, once it is open; what is said on `lines` goes to `err`.
pub(crate) fn run(
    settings: Settings,
    authority: Embedded,
    lines: (Lines, Told),
    gone: impl Future<Output = ()>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    refuse_unsafe(&settings)?;
    server::block_on(serve(settings, authority, lines, gone, out, err))
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
    (complaints, mut told): (Lines, Told),
    gone: impl Future<Output = ()>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    // A log that cannot be trusted is not served at all.
    authority.catch_up()?;
    let usage = Usage::open(authority.state(), authority.now());
    let listener = Listener::open(settings.listen).await?;
    writeln!(out, "listening on http://{}/api/v1", listener.bound())
        .and_then(|()| out.flush())
        .map_err(ServerError::Output)?;

    if authority.look_at_seen(|registry, _| registry.licenses().next().is_none()) {
        let _ = writeln!(err, "there is no license in `{}` yet: every key is refused", authority.state().display());
    }
    let latency = settings.latency;
    let armed = Armed::new(settings.faults.clone());
    let server = Arc::new(Server { handler: Handler::new(settings, authority, usage, complaints), armed, latency });
    let (stopping, stop) = watch::channel(());
    let flush = tokio::spawn(flush_counters(Arc::clone(&server), stop));
    // A server whose stderr is gone goes on serving.
    let mut tell = |line: &str| drop(writeln!(err, "{line}"));
    listener.serve(&server, stopping, gone, &mut told, &mut tell).await;
    // A write under way ends first: it must not replace what is written last.
    let _ = flush.await;
    if let Err(error) = server.handler.usage.save() {
        // Counters of use are a service, not a promise.
        let _ = writeln!(err, "the counters of use cannot be written: {error}");
    }
    Ok(())
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

impl Service for Server {
    type Body = body::Body;

    /// Answers one request, with whatever is to break.
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<body::Body> {
        let (head, incoming) = request.into_parts();
        let route = Route::of(&head.method, head.uri.path());
        let broken = self.armed.take(route.scope());
        // Whatever the answer will be, the request is read first: an answer in the middle of one ends the connection.
        let body = body::read(incoming).await;
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
}

impl Server {
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
    /// The log cannot be read or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] crate::log::LogError),
    /// The server cannot start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Server(#[from] ServerError),
}

impl ServeError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Open { .. } | Self::FaultsInTheOpen { .. } | Self::KeysInTheOpen { .. } => Exit::Usage,
            Self::Log(_) => Exit::Trail,
            Self::Server(error) => error.exit(),
        }
    }
}

#[cfg(test)]
mod tests;
