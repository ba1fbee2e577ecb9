//! `alert test`: tells sinks something that is clearly a test, to see whether they hear.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use license_core::alert::{Alert, AlertId, dedup_key};
use serde_json::{Value, json};

use crate::{
    cli::Format,
    commands::{self, audit::AuditFormat},
    config::{Config, Sink, SinkWay},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::{Failure, stop_exit},
    narrator::Narrator,
    notify::{Message, News, Undelivered},
    random,
    report::json,
};

/// What to do with the sinks.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Send a message that is clearly a test
    Test(TestArgs),
}

/// Whom to tell.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The sink
    #[arg(value_name = "SINK", required_unless_present = "all")]
    sink: Option<String>,

    /// Every sink
    #[arg(long, conflicts_with = "sink")]
    all: bool,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

impl AlertCommand {
    /// The format that was asked for, if it is one of its own.
    pub(crate) fn format(&self) -> Option<Format> {
        let Self::Test(args) = self;
        match args.format {
            AuditFormat::Human => None,
            AuditFormat::Json => Some(Format::Json),
        }
    }
}

/// Does it: the text for stdout, and the exit code.
pub(crate) fn run(
    ctx: &Context,
    config: &Config,
    command: &AlertCommand,
    narrator: &Narrator<'_>,
) -> Result<(String, Exit), Failure> {
    let AlertCommand::Test(args) = command;
    let chosen = chosen(config, args)?;
    let signals = commands::signals(ctx)?;
    let message = message(ctx, config)?;
    let mut tested = Vec::new();
    for (name, sink) in chosen {
        if signals.stop().is_some() {
            break;
        }
        let heard = match connect::sink(ctx, config, name, sink) {
            Ok(opened) => {
                let bound = opened.bound().as_secs();
                let telling = narrator.spinner(&format!("telling sink `{name}`, for {bound} s at most"));
                let told = opened.tell(&message, &signals);
                if let Some(telling) = telling {
                    telling.done();
                }
                told.map_or_else(Heard::Undelivered, |()| Heard::Accepted)
            }
            Err(failure) => Heard::Unusable(failure),
        };
        tested.push(Tested { name, kind: kind(&sink.way), heard });
    }
    let exit = signals.stop().map_or_else(|| exit(&tested), stop_exit);
    let text = match args.format {
        AuditFormat::Human => tested.iter().map(Tested::human).collect(),
        AuditFormat::Json => {
            let document = json!({
                "schema": "license-hooks/alert-test/1",
                "dedup_key": message.dedup_key,
                "sinks": tested.iter().map(Tested::json).collect::<Vec<_>>(),
                "exit": { "code": exit.code(), "name": exit.name() },
            });
            json::line(&document, narrator.platform()) + "\n"
        }
    };
    Ok((text, exit))
}

fn chosen<'c>(config: &'c Config, args: &'c TestArgs) -> Result<Vec<(&'c str, &'c Sink)>, Failure> {
    if let Some(name) = &args.sink {
        return Ok(vec![(name, config.sink(name)?)]);
    }
    let all: Vec<_> = config.alerts.all_sinks.iter().map(|(name, sink)| (name.as_str(), sink)).collect();
    if all.is_empty() { Err(Failure::NoSinks) } else { Ok(all) }
}

/// An alert that stands for the others, under a name that none of them has.
fn message(ctx: &Context, config: &Config) -> Result<Message, Failure> {
    const DAYS: u32 = 7;
    const ID_BYTES: usize = 8;
    let at = context::now();
    let environment = config.default.as_ref().or_else(|| config.environments.keys().next());
    let environment = environment.map_or_else(|| "production".to_owned(), ToString::to_string);
    let id = AlertId(random::word::<ID_BYTES>("test")?);
    let alert = Alert::Expiring {
        key_fingerprint: "0000000000000000".parse().expect("16 hex digits are a fingerprint"),
        license_id: None,
        expires_at: at.checked_add(SignedDuration::from_hours(i64::from(DAYS) * 24)).unwrap_or(at),
        days: DAYS,
    };
    let dedup_key = dedup_key(&environment, &id);
    Ok(Message { environment, dedup_key, alert, news: News::Test, at, actor: ctx.actor() })
}

/// A sink that was told.
struct Tested<'c> {
    name: &'c str,
    kind: &'static str,
    heard: Heard,
}

/// What came of it.
enum Heard {
    Accepted,
    Undelivered(Undelivered),
    Unusable(Failure),
}

impl Tested<'_> {
    fn human(&self) -> String {
        let mut text = format!("sink `{}` ({}): ", self.name, self.kind);
        // A text takes everything.
        let _ = match &self.heard {
            Heard::Accepted => writeln!(text, "accepted"),
            Heard::Undelivered(Undelivered { why, next, .. }) => writeln!(text, "NOT DELIVERED: {why}\n  next: {next}"),
            Heard::Unusable(failure) => {
                let _ = writeln!(text, "NOT TOLD: {failure}");
                help(failure).map_or(Ok(()), |next| writeln!(text, "  next: {next}"))
            }
        };
        text
    }

    fn json(&self) -> Value {
        let (result, why, next, tries) = match &self.heard {
            Heard::Accepted => ("accepted", None, None, None),
            Heard::Undelivered(Undelivered { why, next, tries, reached: _ }) => {
                ("undelivered", Some(why.clone()), Some(next.clone()), Some(*tries))
            }
            Heard::Unusable(failure) => ("unusable", Some(failure.to_string()), help(failure), None),
        };
        json!({ "sink": self.name, "kind": self.kind, "result": result, "why": why, "next": next, "tries": tries })
    }
}

fn help(failure: &Failure) -> Option<String> {
    miette::Diagnostic::help(failure).map(|help| help.to_string())
}

/// What is wrong with the file comes first: it does not pass by itself.
fn exit(tested: &[Tested<'_>]) -> Exit {
    let of_failure = tested.iter().find_map(|one| match &one.heard {
        Heard::Unusable(failure) => Some(failure.exit()),
        Heard::Accepted | Heard::Undelivered(_) => None,
    });
    let undelivered = tested.iter().any(|one| matches!(one.heard, Heard::Undelivered(_)));
    of_failure.unwrap_or(if undelivered { Exit::AlertUndelivered } else { Exit::Done })
}

/// The word for a kind of sink, as it stands in `license.toml`.
fn kind(way: &SinkWay) -> &'static str {
    match way {
        SinkWay::Slack { .. } => "slack",
        SinkWay::Pagerduty { .. } => "pagerduty",
        SinkWay::Webhook { .. } => "webhook",
        SinkWay::Github => "github",
        SinkWay::Command { .. } => "command",
        SinkWay::Email { .. } => "email",
    }
}
