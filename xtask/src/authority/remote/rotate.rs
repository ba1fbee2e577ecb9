//! The one call that cannot be taken back.
//!
//! It has an agent of its own: nothing is retried, redirected or sent over a connection that was used before, and the
//! watch over the signals does not break it. A signal before the call stops it; once it was sent it is waited for, since
//! the answer is the only copy of the new key and the timeout bounds the wait.

use std::{
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use license_core::rotation::CallOutcome;
use ureq::{
    Agent, Body, Error,
    http::{HeaderValue, Response, header},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectionDetails, Connector, DefaultConnector, Transport},
    },
};
use zeroize::Zeroizing;

use super::{Client, Remote, bounds, config};
use crate::authority::{
    Answered, RotateOrder,
    wire::{self, Answer, Headers, Secrets},
};

/// An answer to a rotation is read so far, in bytes. A longer one is handed over as far as it was read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Remote {
    /// Sends the rotation once and says what came of it. What arrived of a 2xx may hold the key, and is sealed before
    /// anybody judges it, also when it was cut off; a body that is too long is handed over as far as it was read.
    pub(crate) fn rotate(&self, order: &RotateOrder<'_>) -> Answered {
        let client = &*self.client;
        match client.prepared(order) {
            Some(prepared) if client.stopped().is_none() => client.rotate(order, prepared),
            Some(_) | None => Answered::No(CallOutcome::NotSent),
        }
    }
}

/// Everything that can fail before the call is made.
struct Prepared {
    agent: Agent,
    connected: Connected,
    url: String,
    idempotency_key: HeaderValue,
}

impl Client {
    /// `None`: the order or the set-up is such that there is nothing to send.
    fn prepared(&self, order: &RotateOrder<'_>) -> Option<Prepared> {
        let path = wire::rotate::rotate_path(self.dialect, order.license_id)?;
        let config = config(&self.route, bounds(order.timeout), 0, self.ca_pem.as_deref()).ok()?;
        let connected = Connected { it_is: Arc::default(), way: Way::of(self) };
        let connector = DefaultConnector::default().chain(connected.clone());
        Some(Prepared {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            connected,
            url: format!("{}{path}", self.route.base.url),
            idempotency_key: HeaderValue::from_str(order.rotation_id).ok()?,
        })
    }

    fn rotate(&self, order: &RotateOrder<'_>, prepared: Prepared) -> Answered {
        let Prepared { agent, connected, url, idempotency_key } = prepared;
        let mut request = agent
            .post(&url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header("idempotency-key", idempotency_key);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header.clone());
        }
        match request.send(&wire::rotate::rotate_body(order.license_id, order.grace_days)[..]) {
            Ok(response) => self.rotated(response),
            Err(_) if !connected.it_is.load(Ordering::SeqCst) => Answered::No(CallOutcome::NotSent),
            Err(error) => Answered::No(CallOutcome::Unknown { why: seen(&error, order.timeout) }),
        }
    }

    fn rotated(&self, mut response: Response<Body>) -> Answered {
        let status = response.status().as_u16();
        let (body, came) = read_what_comes(&mut response);
        if response.status().is_success() && !body.is_empty() {
            return match came {
                Came::Whole => Answered::Body(body),
                Came::CutOff => Answered::Cut(body),
            };
        }
        let headers = Headers::read(|name| response.headers().get(name)?.to_str().ok());
        let wait =
            headers.wait_after_failure((self.clock)()).filter(|_| status == 429 || headers.retry_after.is_some());
        let token = self.token.as_ref().map(|token| token.text.as_str());
        let answer = Answer { status, headers: &headers, body: &body };
        Answered::No(wire::rotate::outcome(&answer, wait.map(|wait| wait.as_secs()), &Secrets::of(token)))
    }
}

/// How much of a body came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// All of it, or as much as is read.
    Whole,
    /// The connection or the time ended before it did.
    CutOff,
}

/// The body as far as it comes, up to its limit: an error ends it, and so does the call's timeout.
fn read_what_comes(response: &mut Response<Body>) -> (Zeroizing<Vec<u8>>, Came) {
    // All the room at once, so that growing leaves no copy of the key behind.
    let mut body = Zeroizing::new(vec![0; ANSWER_BYTES_MAX]);
    let mut reader = response.body_mut().as_reader();
    let (mut filled, mut came) = (0, Came::Whole);
    // Every turn fills at least one byte of the room that is left.
    while filled < body.len() {
        match reader.read(&mut body[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(_) => {
                came = Came::CutOff;
                break;
            }
        }
    }
    body.truncate(filled);
    (body, came)
}

/// What was seen of a call that was sent, in words of ours alone: the client's may quote what the server said.
fn seen(error: &Error, timeout: Duration) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a list of the client's, which grows")]
    match error {
        Error::Timeout(_) => format!("no answer within {} s", timeout.as_secs_f64()),
        Error::Io(error) => format!("the connection broke before there was an answer ({})", error.kind()),
        Error::LargeResponseHeader(..) => "an answer whose header is too long".to_owned(),
        Error::Protocol(_) => "an answer that is not HTTP".to_owned(),
        _ => "the call was sent, and no answer could be read".to_owned(),
    }
}

/// Stands at the end of the chain that makes a connection, TLS included: before it is passed no byte of a request can
/// have left. Its proof is the only one for "not sent".
#[derive(Debug, Clone)]
struct Connected {
    it_is: Arc<AtomicBool>,
    way: Way,
}

/// How the connection is made.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    /// The chain also makes the connection to the proxy itself, and that one, told by having no proxy of its own,
    /// carries nothing but the wish for a tunnel.
    Tunnel,
}

impl Way {
    fn of(client: &Client) -> Self {
        if client.route.via.is_some() { Self::Tunnel } else { Self::Direct }
    }
}

impl Connector<Box<dyn Transport>> for Connected {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<Box<dyn Transport>>,
    ) -> Result<Option<Self::Out>, Error> {
        let only_to_the_proxy = match self.way {
            Way::Direct => false,
            Way::Tunnel => details.config.proxy().is_none(),
        };
        if !only_to_the_proxy {
            self.it_is.store(true, Ordering::SeqCst);
        }
        Ok(chained)
    }
}

#[cfg(test)]
mod tests;
