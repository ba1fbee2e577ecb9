//! Delivery of alerts to sinks: Slack, `PagerDuty`, webhooks, workflow annotations, programs and mail.
//!
//! Knows neither `license.toml` nor the trail: which alert is due, and what was said already, is decided elsewhere.
//! A sink is told until it accepts, a few times at most. What it accepted and did not confirm is said again, under the
//! same name: at least once, never lost.

use std::{
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use license_core::{
    alert::{Alert, Over, Reached},
    trail::Actor,
};
use zeroize::Zeroizing;

use crate::{
    context::Platform,
    signals::{self, Signals},
    vars::Vars,
};

mod annotation;
mod cloud_event;
mod http;
mod mail;
#[cfg(feature = "serve")]
mod outlet;
mod pagerduty;
mod program;
mod quoted_printable;
mod sign;
mod slack;
mod webhook;
mod words;

pub(crate) use http::Target;
#[cfg(feature = "serve")]
pub(crate) use outlet::{NotAccepted, Outlet, Verdict};
pub(crate) use program::Program;

/// What a sink is told.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The environment's name.
    pub(crate) environment: String,
    /// The alert's name among those of all environments.
    pub(crate) dedup_key: String,
    /// The alert.
    pub(crate) alert: Alert,
    /// What is new about it.
    pub(crate) news: News,
    /// When it was found; for an alert that is over, when that was seen.
    pub(crate) at: Timestamp,
    /// Who tells.
    pub(crate) actor: Actor,
}

/// What is new about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It stands.
    Stands,
    /// It is over.
    Over(Over),
    /// Nothing: somebody tries out the sink.
    Test,
}

/// A sink that can be told. Its secrets were read when it was opened.
pub(crate) struct Sink {
    way: Way,
    try_max: Duration,
}

enum Way {
    Slack(http::Post),
    Pagerduty { post: http::Post, routing_key: Zeroizing<String> },
    Webhook { post: http::Post, signer: sign::Signer },
    Github(Platform),
    Command(Program),
    Email { program: Program, envelope: mail::Envelope },
}

/// A sink that did not accept what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undelivered {
    /// What happened, fit to be shown.
    pub(crate) why: String,
    /// What to do next.
    pub(crate) next: String,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// Whether it may have heard it in one of them.
    pub(crate) reached: Reached,
}

/// A sink that cannot be told as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// What is wrong, fit to be shown.
    pub(crate) why: String,
    /// What to do next.
    pub(crate) next: String,
}

/// How one try ended.
#[derive(Debug)]
enum Tried {
    /// It was accepted.
    Accepted,
    /// It was not, and another try may do better; not before this long, where that was said.
    Again(Missed, Option<Duration>),
    /// It was not, and another try would end the same.
    Refused(Missed),
}

/// Why a try did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missed {
    why: String,
    next: String,
    reached: Reached,
}

impl Missed {
    /// It cannot have heard it.
    fn new(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { why: why.into(), next: next.into(), reached: Reached::No }
    }

    /// It may have heard it.
    fn perhaps(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { reached: Reached::Perhaps, ..Self::new(why, next) }
    }
}

/// How often a sink is told in one run.
const TRIES_MAX: u32 = 3;
/// The pauses before the second and the third try; each is up to a quarter shorter or longer.
const PAUSES: [Duration; TRIES_MAX as usize - 1] = [Duration::from_secs(1), Duration::from_secs(4)];
/// The longest pause that a sink can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// How long a line to one of our own streams may take.
const LINE_MAX: Duration = Duration::from_secs(1);

impl Sink {
    /// An incoming webhook that takes Slack's messages.
    pub(crate) fn slack(target: Target, vars: &Vars) -> Result<Self, Unusable> {
        let post = http::Post::open(target, vars)?;
        Ok(Self { try_max: post.try_max(), way: Way::Slack(post) })
    }

    /// `PagerDuty`, at the base address of its events API.
    pub(crate) fn pagerduty(target: Target, routing_key: Zeroizing<String>, vars: &Vars) -> Result<Self, Unusable> {
        let post = http::Post::open(pagerduty::endpoint(target), vars)?.hiding(&routing_key);
        Ok(Self { try_max: post.try_max(), way: Way::Pagerduty { post, routing_key } })
    }

    /// A webhook that takes a signed `CloudEvent`. `secret_from` says in words where the secret is.
    pub(crate) fn webhook(target: Target, secret: &str, secret_from: &str, vars: &Vars) -> Result<Self, Unusable> {
        let signer = sign::Signer::parse(secret).map_err(|what| Unusable {
            why: format!("what is in {secret_from} cannot sign: it {what}"),
            next: "write `whsec_` and the secret in base64, or any text of 16 to 1024 bytes".to_owned(),
        })?;
        let post = http::Post::open(target, vars)?.hiding(secret);
        Ok(Self { try_max: post.try_max(), way: Way::Webhook { post, signer } })
    }

    /// An annotation of the workflow run; elsewhere a line for people.
    pub(crate) fn github(platform: Platform) -> Self {
        Self { way: Way::Github(platform), try_max: LINE_MAX }
    }

    /// A program that reads a `CloudEvent`.
    pub(crate) fn command(program: Program) -> Self {
        Self { try_max: program.try_max(), way: Way::Command(program) }
    }

    /// A program that takes a mail as `sendmail` does.
    pub(crate) fn email(program: Program, to: Vec<String>, from: Option<String>) -> Self {
        Self { try_max: program.try_max(), way: Way::Email { program, envelope: mail::Envelope { to, from } } }
    }

    /// Tells it; tries again with growing pauses. `Ok` only once it was accepted, or where there is nothing to say:
    /// people do not hear that a tighter alert took over, because they hear that one.
    pub(crate) fn tell(&self, message: &Message, signals: &Signals) -> Result<(), Undelivered> {
        let (mut tries, mut reached) = (0, Reached::No);
        loop {
            if signals.stop().is_some() {
                return Err(stopped(tries, reached));
            }
            let end = self.once(message, signals);
            tries += 1;
            let (missed, asked) = match end {
                Tried::Accepted => return Ok(()),
                Tried::Again(missed, asked) => (missed, asked),
                Tried::Refused(Missed { why, next, reached: now }) => {
                    return Err(Undelivered { why, next, tries, reached: reached.max(now) });
                }
            };
            reached = reached.max(missed.reached);
            let Some(pause) = PAUSES.get(tries as usize - 1) else {
                let why = format!("{}, {tries} times in a row", missed.why);
                return Err(Undelivered { why, next: missed.next, tries, reached });
            };
            if signals.sleep(wait(jittered(*pause), asked)).is_some() {
                return Err(stopped(tries, reached));
            }
        }
    }

    /// The longest that [`Sink::tell`] may take.
    pub(crate) fn bound(&self) -> Duration {
        self.try_max * TRIES_MAX + RETRY_AFTER_MAX * (TRIES_MAX - 1)
    }

    fn once(&self, message: &Message, signals: &Signals) -> Tried {
        match &self.way {
            Way::Slack(_) | Way::Github(_) | Way::Email { .. } if message.news == News::Over(Over::Overtaken) => {
                Tried::Accepted
            }
            Way::Slack(post) => slack::tell(post, message, signals),
            Way::Pagerduty { post, routing_key } => pagerduty::tell(post, routing_key, message, signals),
            Way::Webhook { post, signer } => webhook::tell(post, signer, message, signals),
            Way::Github(platform) => annotation::tell(*platform, message),
            Way::Command(program) => program.tell(&words::variables(message), &cloud_event::document(message)),
            Way::Email { program, envelope } => program.tell(&[], envelope.mail(message).as_bytes()),
        }
    }
}

/// Addresses and secrets are not shown.
impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.way {
            Way::Slack(_) => "slack",
            Way::Pagerduty { .. } => "pagerduty",
            Way::Webhook { .. } => "webhook",
            Way::Github(_) => "github",
            Way::Command(_) => "command",
            Way::Email { .. } => "email",
        };
        f.debug_struct("Sink").field("kind", &kind).finish_non_exhaustive()
    }
}

fn stopped(tries: u32, reached: Reached) -> Undelivered {
    let next = "the next run tells it".to_owned();
    Undelivered { why: "a signal came before it was accepted".to_owned(), next, tries, reached }
}

/// How long to wait: our own pause, or longer where the sink asks for it, within a bound.
fn wait(pause: Duration, asked: Option<Duration>) -> Duration {
    pause.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// Two runs that failed together do not come back together. Without randomness they do, and nothing else is lost.
pub(crate) fn jittered(pause: Duration) -> Duration {
    const PARTS: u32 = 1000;
    let random = u32::try_from(getrandom::u64().unwrap_or_default() % u64::from(PARTS / 2 + 1)).unwrap_or_default();
    pause * (PARTS * 3 / 4 + random) / PARTS
}

/// Waits for work on another thread, or for a signal, which leaves it behind: it ends with its own bound.
fn unless_stopped<T: Send + 'static>(
    bound: Duration,
    signals: &Signals,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Left> {
    use std::sync::mpsc::{self, RecvTimeoutError};
    let (done, result) = mpsc::sync_channel(1);
    let start = Instant::now();
    // Fails to send only when nobody waits any more.
    std::thread::spawn(move || done.send(work()).ok());
    loop {
        match result.recv_timeout(signals::LATENCY) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) if signals.stop().is_some() => return Err(Left::Stopped),
            Err(RecvTimeoutError::Timeout) if start.elapsed() < bound => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(Left::Late),
        }
    }
}

/// Why work was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// A signal came.
    Stopped,
    /// It took longer than it may.
    Late,
}

#[cfg(test)]
mod tests;
