//! `webhook serve`: receives what the authority tells, records it, and has the sinks told.
//!
//! 200 is answered once the entry is on disk, or need not be: anything else has the authority send it again.

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};
use license_core::webhook::{NotAWebhook, Received, Rejected};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::{
    SIGNATURE_HEADER, WebhookError,
    forward::{Forwarder, Inbox},
    receive::{Receiver, Taken},
    refusals::Refusals,
    secret,
};
use crate::{
    commands,
    config::{Config, EnvName},
    console::Unread,
    context::Context,
    failure::Failure,
    journal::Appended,
    narrator::Narrator,
    server::{
        self, Lines, Listener, ServerError, Service,
        body::{self, Trouble},
    },
    tell::Sinks,
};

/// How to receive.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = server::address, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// How many webhooks may wait to be recorded; others are to come again.
const WAITING_MAX: usize = 64;
/// When a webhook that could not be recorded may come again, in seconds.
const RETRY_AFTER_SECS: u32 = 30;

/// Receives until SIGINT or SIGTERM, and no longer than the sinks can be told.
pub(crate) fn serve(ctx: &Arc<Context>, config: Config, args: &ServeArgs) -> Result<(), Failure> {
    let config = Arc::new(config);
    let settings = config.webhook.clone().ok_or(WebhookError::NoSecret)?;
    if let Some(problem) = config.problem_of_webhooks(&settings) {
        return Err(problem.into());
    }
    let secret = secret(ctx, &settings.secret)?;
    let sinks = Sinks::open(ctx, &config)?;
    let signals = commands::signals(ctx)?;
    ctx.console.when_unread(Unread::Lost);
    let receiver = Receiver {
        ctx: Arc::clone(ctx),
        config: Arc::clone(&config),
        secret,
        sinks: sinks.names(),
        writing: Mutex::new(()),
        settings,
    };
    let concerned = config.environments.keys().filter(|name| receiver.settings.may_concern(name)).cloned();
    let concerned: BTreeSet<EnvName> = concerned.collect();
    let inbox = Arc::new(Inbox::of(concerned));
    let forwarder = Forwarder { ctx: Arc::clone(ctx), config, sinks, signals };
    let (at_work, gone) = server::at_work();
    thread::scope(|scope| {
        let telling = scope.spawn(|| {
            let _at_work = at_work;
            forwarder.run(&inbox);
        });
        let served = server::block_on(run(ctx, args.listen, receiver, Arc::clone(&inbox), gone));
        inbox.close();
        // A panic has said itself where it was.
        let told = telling.join().map_err(|_| WebhookError::NobodyTells);
        served.and(told).map_err(Failure::from)
    })
}

async fn run(
    ctx: &Context,
    address: SocketAddr,
    receiver: Receiver,
    inbox: Arc<Inbox>,
    gone: impl Future<Output = ()>,
) -> Result<(), WebhookError> {
    let listener = Listener::open(address).await?;
    let narrator = Narrator::new(ctx, None);
    ctx.console.data(&format!("listening on http://{}\n", listener.bound())).map_err(ServerError::Output)?;
    if !address.ip().is_loopback() {
        narrator.note(&format!(
            "{address} can be reached by others, and speaks plain HTTP: who signs is proved, and what they send can be read on the way; put a proxy with TLS in front"
        ));
    }
    let without_keys = receiver.without_keys();
    if !without_keys.is_empty() {
        narrator.note(&format!(
            "the keys of these are not here, so that a webhook concerns them only by its license or its domain: {}",
            without_keys.join(", ")
        ));
    }
    let (lines, mut told) = server::lines();
    let waiting = Arc::new(Semaphore::new(WAITING_MAX));
    let (receiver, refusals) = (Arc::new(receiver), Refusals::default());
    let service = Arc::new(Webhooks { receiver, inbox, lines, refusals, waiting });
    let (stopping, _) = watch::channel(());
    listener.serve(&service, stopping, gone, &mut told, &mut |line| narrator.note(line)).await;
    service.refusals.rest().iter().for_each(|line| narrator.note(line));
    Ok(())
}

/// What all connections share.
struct Webhooks {
    receiver: Arc<Receiver>,
    inbox: Arc<Inbox>,
    lines: Lines,
    refusals: Refusals,
    waiting: Arc<Semaphore>,
}

impl Service for Webhooks {
    type Body = Full<Bytes>;

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, incoming) = request.into_parts();
        // Whatever the answer will be, the request is read first: an answer in the middle of one ends the connection.
        let body = body::read(incoming).await;
        match (&head.method, head.uri.path()) {
            (&Method::POST, _) => {}
            (&Method::GET | &Method::HEAD, "/health") => return answer(StatusCode::OK, &json!({ "status": "ok" })),
            _ => return wrong_method(),
        }
        let received = match body {
            Ok(body) => signature(&head.headers).and_then(|signature| Ok(self.receiver.verify(&body, signature)?)),
            Err(trouble) => Err(Refused::Body(trouble)),
        };
        match received {
            Ok(received) => self.record(received).await,
            Err(refused) => self.refuse(&refused),
        }
    }
}

impl Webhooks {
    /// The disk is waited for in a thread of the pool, and not by too many.
    async fn record(&self, webhook: Received) -> Response<Full<Bytes>> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.lines.say(format!("a webhook is to come again: {WAITING_MAX} wait to be recorded"));
            return later();
        };
        let receiver = Arc::clone(&self.receiver);
        let recorded = tokio::task::spawn_blocking(move || {
            let recorded = receiver.record(webhook);
            drop(place);
            recorded
        });
        match recorded.await {
            Ok(Ok(taken)) => self.recorded(&taken),
            // It would be the same the next time.
            Ok(Err(Failure::Webhook(WebhookError::SecretInId))) => self.refuse(&Refused::SecretInId),
            Ok(Err(failure)) => {
                self.lines.say(format!("a webhook could not be recorded, and is to come again: {failure}"));
                later()
            }
            Err(_) => later(),
        }
    }

    fn refuse(&self, refused: &Refused) -> Response<Full<Bytes>> {
        let (status, code) = refused.status_and_code();
        if let Some(line) = self.refusals.note(code, &refused.to_string(), Instant::now()) {
            self.lines.say(line);
        }
        answer(status, &json!({ "error": code, "message": refused.to_string() }))
    }

    fn recorded(&self, taken: &Taken) -> Response<Full<Bytes>> {
        let Taken { notification: told, concerns } = taken;
        let what = format!("{} (`{}`)", told.event_id, told.event);
        if concerns.is_empty() {
            self.lines.say(format!("{what} concerns no environment of license.toml: it is not recorded"));
            return answer(StatusCode::OK, &json!({ "status": "concerns_nobody" }));
        }
        let (mut status, mut missed) = ("repeated", None);
        for (name, appended) in concerns {
            match appended {
                Ok(Appended::Now) => {
                    status = "recorded";
                    self.lines.say(format!("{what} is recorded for `{name}`"));
                }
                Ok(Appended::Before) => self.lines.say(format!("{what} was heard before for `{name}`")),
                Err(failure) => {
                    self.lines
                        .say(format!("{what} could not be recorded for `{name}`, and is to come again: {failure}"));
                    missed = Some(later());
                }
            }
            // Also what was heard before, or seems not to be recorded: the run that recorded it may have told nobody.
            self.inbox.came_in(name.clone());
        }
        missed.unwrap_or_else(|| answer(StatusCode::OK, &json!({ "status": status })))
    }
}

/// Why a request is not a webhook.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("it has no `X-Signature`")]
    NoSignature,
    #[error("it has more than one `X-Signature`")]
    Signatures,
    #[error("its body {}", said(*.0))]
    Body(Trouble),
    #[error("its `id` holds a secret that license.toml names")]
    SecretInId,
}

fn said(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::TooLong => "is longer than 64 KiB",
        Trouble::Broken => "ended too early",
        Trouble::TooSlow => "took too long",
    }
}

impl Refused {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Rejected(
                why @ Rejected::NotAWebhook(
                    NotAWebhook::NotAnObject | NotAWebhook::NoId | NotAWebhook::NoType | NotAWebhook::NoCreated,
                ),
            ) => (StatusCode::BAD_REQUEST, why.code()),
            Self::Rejected(why @ Rejected::TooLong) => (StatusCode::PAYLOAD_TOO_LARGE, why.code()),
            Self::Rejected(
                why @ (Rejected::NotASignature
                | Rejected::Mismatch
                | Rejected::TooOld { .. }
                | Rejected::FromTheFuture { .. }),
            ) => (StatusCode::UNAUTHORIZED, why.code()),
            Self::NoSignature => (StatusCode::UNAUTHORIZED, "no_signature"),
            Self::Signatures => (StatusCode::UNAUTHORIZED, "several_signatures"),
            Self::Body(Trouble::TooLong) => (StatusCode::PAYLOAD_TOO_LARGE, "too_long"),
            Self::Body(Trouble::Broken) => (StatusCode::BAD_REQUEST, "broken"),
            Self::Body(Trouble::TooSlow) => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Self::SecretInId => (StatusCode::BAD_REQUEST, "secret_in_id"),
        }
    }
}

/// The one signature of a request.
fn signature(headers: &HeaderMap) -> Result<&[u8], Refused> {
    let mut signatures = headers.get_all(SIGNATURE_HEADER).iter();
    match (signatures.next(), signatures.next()) {
        (Some(signature), None) => Ok(signature.as_bytes()),
        (None, _) => Err(Refused::NoSignature),
        (Some(_), Some(_)) => Err(Refused::Signatures),
    }
}

fn answer(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The trail could not be written now.
fn later() -> Response<Full<Bytes>> {
    let document = json!({ "error": "not_recorded", "message": "it could not be recorded; send it again" });
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &document);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    response
}

fn wrong_method() -> Response<Full<Bytes>> {
    let document = json!({ "error": "wrong_method", "message": "webhooks are posted" });
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, &document);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}
