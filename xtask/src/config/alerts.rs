//! The rules of `[alerts]` and of `[sinks.NAME]`: who hears of what, and when.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use license_core::alert::{Days, NotDays};
use miette::SourceSpan;

use super::{
    Config, Memory, authority,
    checking::{Checking, Forms, Owner, place},
    command,
    fields::{At, Field, Named},
    problem::{Problem, code},
    raw::{RawAlerts, RawConfig, RawSink, RawSource, SinkKind},
    secrets::{is_store_name, shown},
    trail,
};
use crate::store::Source;

/// After how long without a look the next one says so, where the file does not say, and its limits.
const GAP: Duration = Duration::from_secs(3 * 24 * 60 * 60);
const GAP_MIN: Duration = Duration::from_secs(60 * 60);
const GAP_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The bound on one try of a sink where the file gives none, and its limits.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// PagerDuty's address where the file names no other.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com";
/// The mail program where the file names no other: it reads the recipients from the message.
const SENDMAIL: [&str; 3] = ["/usr/sbin/sendmail", "-t", "-i"];

/// Who hears of what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertSettings {
    /// How long before the end of a license.
    pub(crate) days: Days,
    /// After how long without a look.
    pub(crate) gap_max: Duration,
    /// The sinks that get alerts, by name.
    pub(crate) sinks: BTreeMap<String, Sink>,
    /// Every sink by name.
    pub(crate) all_sinks: BTreeMap<String, Sink>,
    /// Where the table stands in the file; the file's beginning where there is none.
    pub(crate) place: SourceSpan,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sink {
    /// How it is told.
    pub(crate) way: SinkWay,
    /// The bound on one try.
    pub(crate) timeout: Duration,
}

/// How a sink is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SinkWay {
    /// A webhook that takes Slack's messages.
    Slack {
        /// Where its address is.
        url: Source,
        /// A file of PEM certificates to trust besides the system's, absolute.
        ca_file: Option<PathBuf>,
    },
    /// PagerDuty's Events API, version 2.
    Pagerduty {
        /// The base address, without a trailing slash.
        service: String,
        /// Where the integration key is.
        routing_key: Source,
        /// A file of PEM certificates to trust besides the system's, absolute.
        ca_file: Option<PathBuf>,
    },
    /// A signed `CloudEvent`.
    Webhook {
        /// Where its address is.
        url: Source,
        /// Where the secret is that signs.
        secret: Source,
        /// A file of PEM certificates to trust besides the system's, absolute.
        ca_file: Option<PathBuf>,
    },
    /// An annotation of the workflow run.
    Github,
    /// A program that reads a `CloudEvent`.
    Command {
        /// The program and its arguments.
        program: Vec<String>,
    },
    /// A program that takes a mail as `sendmail` does.
    Email {
        /// The program and its arguments.
        program: Vec<String>,
        /// Who gets it; at least one.
        to: Vec<String>,
        /// Who it is from.
        from: Option<String>,
    },
}

impl Sink {
    /// Where its secrets are.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Source> {
        let both = match &self.way {
            SinkWay::Slack { url, .. } => [Some(url), None],
            SinkWay::Pagerduty { routing_key, .. } => [Some(routing_key), None],
            SinkWay::Webhook { url, secret, .. } => [Some(url), Some(secret)],
            SinkWay::Github | SinkWay::Command { .. } | SinkWay::Email { .. } => [None, None],
        };
        both.into_iter().flatten()
    }
}

impl Config {
    /// Why alerts cannot be sent from here: whoever forgets what was sent sends it again and again.
    pub(crate) fn problem_of_alerts(&self) -> Option<Problem> {
        if self.alerts.sinks.is_empty() || self.memory == Memory::Kept {
            return None;
        }
        Some(
            Problem::new(
                code::EPHEMERAL_TRAIL,
                "the trail says which alerts were sent, and on this CI machine it is lost after the run",
            )
            .help(trail::KEEP_THE_TRAIL)
            .at(self.alerts.place, "needs a trail that is kept")
            .within(&self.source),
        )
    }
}

/// Checks both tables.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> AlertSettings {
    let named = config.sinks.given().map_or(&[][..], |at| &at.value);
    let all_sinks: BTreeMap<String, Sink> =
        named.iter().filter_map(|named| Some((named.name.value.clone(), sink(checking, named)?))).collect();
    let (raw, place) = match config.alerts.given() {
        Some(at) => (&at.value, at.place),
        None => (&RawAlerts::default(), config.sinks.given().map_or((0, 0).into(), |at| at.place)),
    };
    let days = raw.days.given().and_then(|at| days(checking, at)).unwrap_or_default();
    let gap_max = checking.duration("gap", &raw.gap, &(GAP_MIN..=GAP_MAX)).unwrap_or(GAP);
    let sinks = match raw.sinks.given() {
        None => all_sinks.clone(),
        Some(at) => {
            checking.each_known("sink", &at.value, &config.sinks);
            let listed = checking.distinct("sinks", &at.value);
            let known = listed.into_iter().filter_map(|name| Some((name.to_owned(), all_sinks.get(name)?.clone())));
            known.collect()
        }
    };
    AlertSettings { days, gap_max, sinks, all_sinks, place }
}

fn days(checking: &mut Checking<'_>, at: &At<Vec<At<i64>>>) -> Option<Days> {
    let days: Vec<i64> = at.value.iter().map(|one| one.value).collect();
    let why = match Days::of(&days) {
        Ok(days) => return Some(days),
        Err(why) => why,
    };
    let (code, help) = match why {
        NotDays::Empty => (code::EMPTY_VALUE, "write `days = [30, 7, 1]`, or leave it out, which means the same"),
        NotDays::Twice(_) => (code::DUPLICATE_VALUE, "leave one of them out"),
        NotDays::TooMany | NotDays::OutOfRange(_) => (code::OUT_OF_RANGE, "write it as `days = [30, 7, 1]`"),
    };
    let problem = |why: NotDays| Problem::new(code, format!("`days` cannot be used: {why}")).help(help);
    match why {
        NotDays::Empty | NotDays::TooMany => checking.report(problem(why).at(at.place, "not used")),
        NotDays::Twice(twice) => {
            let mut same = at.value.iter().filter(|one| one.value == i64::from(twice)).map(|one| one.place);
            let problem = problem(why).at(same.next().unwrap_or(at.place), "here");
            checking.report(same.fold(problem, |problem, place| problem.at(place, "and here")));
        }
        // Each one alone, so that all of them are told at once.
        NotDays::OutOfRange(_) => at.value.iter().for_each(|one| {
            if let Err(why) = Days::of(&[one.value]) {
                checking.report(problem(why).at(one.place, "out of range"));
            }
        }),
    }
    None
}

fn sink(checking: &mut Checking<'_>, named: &Named<RawSink>) -> Option<Sink> {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("sink `{}`", shown(&name.value)), place: name.place };
    if !is_store_name(&name.value) {
        let problem = Problem::new(code::STORE_NAME, format!("`{}` cannot be the name of a sink", shown(&name.value)))
            .help("write lower-case letters, digits, `-` and `_`, at most 63, beginning with a letter or a digit")
            .at(name.place, "not a name");
        checking.report(problem);
    }
    let example = "`kind = \"slack\"`, or another of `pagerduty`, `webhook`, `github`, `command` and `email`";
    let kind = checking.required(&owner, "kind", &raw.kind, example)?.value;
    misplaced(checking, &owner, raw, kind);
    let timeout = checking.duration("timeout", &raw.timeout, &(TIMEOUT_MIN..=TIMEOUT_MAX)).unwrap_or(TIMEOUT);
    let ca_file = raw.ca_file.given().and_then(|text| authority::ca_file(checking, text));
    let way = match kind {
        SinkKind::Slack => {
            let url = secret(checking, &owner, "url", &raw.url, "`url = { env = \"SLACK_WEBHOOK_URL\" }`");
            SinkWay::Slack { url: url?, ca_file }
        }
        SinkKind::Pagerduty => {
            let example = "`routing_key = { env = \"PAGERDUTY_ROUTING_KEY\" }`";
            let routing_key = secret(checking, &owner, "routing_key", &raw.routing_key, example);
            let service = raw.service.checked(|text| authority::base_address(checking, text));
            let service = service.or_default(|| PAGERDUTY_URL.to_owned());
            SinkWay::Pagerduty { service: service?, routing_key: routing_key?, ca_file }
        }
        SinkKind::Webhook => {
            let url = secret(checking, &owner, "url", &raw.url, "`url = { env = \"ALERT_WEBHOOK_URL\" }`");
            let example = "`secret = { env = \"ALERT_WEBHOOK_SECRET\" }`";
            let secret = secret(checking, &owner, "secret", &raw.secret, example);
            SinkWay::Webhook { url: url?, secret: secret?, ca_file }
        }
        SinkKind::Github => SinkWay::Github,
        SinkKind::Command => {
            checking.required(&owner, "command", &raw.command, "`command = \"notify\"`, the program");
            SinkWay::Command { program: command::check(checking, "command", "notify", &raw.command)? }
        }
        SinkKind::Email => {
            let to = checking.required(&owner, "to", &raw.to, "`to = [\"ops@example.com\"]`");
            let to = to.and_then(|at| recipients(checking, at));
            let from = raw.from.checked(|text| mail_address(checking, "from", text));
            let program = match raw.command.given() {
                Some(_) => command::check(checking, "command", "/usr/sbin/sendmail -t -i", &raw.command),
                None => Some(SENDMAIL.map(str::to_owned).into()),
            };
            let from = from.given().map(|at| at.value.clone());
            SinkWay::Email { program: program?, to: to?, from }
        }
    };
    Some(Sink { way, timeout })
}

fn secret(
    checking: &mut Checking<'_>,
    owner: &Owner,
    name: &str,
    field: &Field<RawSource>,
    example: &str,
) -> Option<Source> {
    let at = checking.required(owner, name, field, example)?;
    checking.source(name, at, Forms::EnvOrDotenv)
}

fn recipients(checking: &mut Checking<'_>, at: &At<Vec<At<String>>>) -> Option<Vec<String>> {
    if at.value.is_empty() {
        let problem = Problem::new(code::EMPTY_VALUE, "`to` is empty")
            .help("write at least one address, as in `to = [\"ops@example.com\"]`")
            .at(at.place, "nothing here");
        checking.report(problem);
        return None;
    }
    checking.distinct("to", &at.value);
    at.value.iter().map(|text| mail_address(checking, "to", text)).collect()
}

/// What may stand in a header of a mail: one word with an `@` in it.
fn mail_address(checking: &mut Checking<'_>, name: &str, text: &At<String>) -> Option<String> {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b',' | b';' | b'"' | b'(' | b')');
    let parts = text.value.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if parts.is_some() && text.value.bytes().all(is_plain) {
        return Some(text.value.clone());
    }
    let problem = Problem::new(code::ADDRESS, format!("`{name}` is not a mail address"))
        .help("write the bare address, as in `ops@example.com`")
        .at(text.place, "not an address");
    checking.report(problem);
    None
}

/// Reports the fields that belong to sinks of other kinds.
fn misplaced(checking: &mut Checking<'_>, owner: &Owner, raw: &RawSink, kind: SinkKind) {
    use SinkKind::{Command, Email, Pagerduty, Slack, Webhook};
    let fields: [(&str, Option<SourceSpan>, &[SinkKind]); 8] = [
        ("url", place(&raw.url), &[Slack, Webhook]),
        ("routing_key", place(&raw.routing_key), &[Pagerduty]),
        ("service", place(&raw.service), &[Pagerduty]),
        ("secret", place(&raw.secret), &[Webhook]),
        ("ca_file", place(&raw.ca_file), &[Slack, Pagerduty, Webhook]),
        ("command", place(&raw.command), &[Command, Email]),
        ("to", place(&raw.to), &[Email]),
        ("from", place(&raw.from), &[Email]),
    ];
    checking.misplaced(owner, kind, &fields);
}
