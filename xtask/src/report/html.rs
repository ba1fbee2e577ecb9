//! What `status` found, as one page that needs nothing else: no network, no script.
//!
//! The worst comes first. What is well stays small where there is much of it. Nothing is told by color alone.

use jiff::{SignedDuration, Timestamp};
use license_core::{
    Verdict,
    alert::{self, Alert, Notice, Severity, Told},
    finding::changes_the_line,
    trail::{Deployed, Ended, HealthRecord},
    webhook::ReceivedAt,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    html_timeline::timeline,
    status::{self as words, Overall},
};
use crate::commands::status::{Status, StatusReport};

/// How it looks; a file of its own.
const STYLE: &str = include_str!("page.css");
/// Nothing is loaded, nothing is run, nothing is sent.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// With more environments than this, much is folded.
const OPEN_MAX: usize = 9;
/// How many of the last deploys, alerts and webhooks are open.
const LATELY_OPEN_MAX: usize = 10;
/// How many of them are in the page at all.
const LATELY_MAX: usize = 100;
/// Seconds in a day.
const DAY_SECS: i64 = 24 * 60 * 60;

/// The whole page.
pub(crate) fn page(report: &StatusReport<'_>) -> String {
    let mut entries: Vec<Entry<'_>> = report.environments.iter().map(|status| Entry::of(report, status)).collect();
    // By the day: of many that end on one, the order of the file is easier to read than that of seconds.
    let day = |entry: &Entry<'_>| entry.status.license.ends_at().unwrap_or(Timestamp::MAX).as_second() / DAY_SECS;
    entries.sort_by_key(|entry| (entry.overall, day(entry)));
    for (number, entry) in entries.iter_mut().enumerate() {
        entry.number = number;
    }
    let sentence = sentence(&entries);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { "Licenses: " (sentence) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#environments" { "Skip to the environments" }
                header.top {
                    h1 { "Licenses" }
                    p.lead { (sentence) }
                    p.quiet { "As of " (time(report.at)) }
                }
                main {
                    (tally(&entries))
                    (timeline(&entries, report.at))
                    (environments(&entries, report.at))
                    (accounts(report))
                    (lately(&entries))
                }
                footer { p { "Written by " code { "cargo xtask status" } ". Keys stand here by their fingerprints. Times are in UTC." } }
            }
        }
    }
    .into_string()
}

/// An environment as it stands on the page.
pub(super) struct Entry<'a> {
    pub(super) status: &'a Status<'a>,
    pub(super) overall: Overall,
    /// Its place on the page: names may be there twice.
    pub(super) number: usize,
}

impl<'a> Entry<'a> {
    fn of(report: &StatusReport<'_>, status: &'a Status<'a>) -> Self {
        Self { status, overall: words::overall(report, status), number: 0 }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.status.environment.name.as_str()
    }

    /// Where links lead.
    pub(super) fn id(&self) -> String {
        format!("e{}", self.number)
    }
}

fn sentence(entries: &[Entry<'_>]) -> String {
    let count = |overall| entries.iter().filter(|entry| entry.overall == overall).count();
    let (bad, worry) = (count(Overall::NotOk), count(Overall::Attention));
    match (bad, worry, entries.len()) {
        (0, 0, 1) => "all is well".to_owned(),
        (0, 0, total) => format!("all {total} environments are well"),
        (0, worry, total) => format!("{worry} of {total} {} attention", need(worry)),
        (bad, 0, total) => format!("{bad} of {total} {} not ok", are(bad)),
        (bad, worry, total) => {
            format!("{bad} of {total} {} not ok, and {worry} {} attention", are(bad), need(worry))
        }
    }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn need(count: usize) -> &'static str {
    if count == 1 { "needs" } else { "need" }
}

fn tally(entries: &[Entry<'_>]) -> Markup {
    html! {
        ul.tally aria-label="Environments by verdict" {
            @for overall in [Overall::NotOk, Overall::Attention, Overall::Ok] {
                @let count = entries.iter().filter(|entry| entry.overall == overall).count();
                li.(class(overall)).none[count == 0] {
                    strong { (count) } " " span { span.sign aria-hidden="true" { (sign(overall)) } " " (overall.word()) }
                }
            }
        }
    }
}

/// How much there is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything fits.
    Few,
    /// What is well is one line, and what is known beside the alerts is folded.
    Many,
}

fn environments(entries: &[Entry<'_>], now: Timestamp) -> Markup {
    let extent = if entries.len() > OPEN_MAX { Extent::Many } else { Extent::Few };
    let (folded, open): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| extent == Extent::Many && entry.overall == Overall::Ok);
    html! {
        section #environments aria-labelledby="environments-title" {
            h2 #environments-title { "Environments" }
            @if !open.is_empty() {
                div.cards.many[extent == Extent::Many] {
                    @for entry in open { (card(entry, extent, now)) }
                }
            }
            @if !folded.is_empty() {
                div.rows {
                    @for entry in folded { (folded_card(entry, now)) }
                }
            }
        }
    }
}

fn card(entry: &Entry<'_>, extent: Extent, now: Timestamp) -> Markup {
    html! {
        article.card.(class(entry.overall)) id=(entry.id()) aria-labelledby={ (entry.id()) "-name" } {
            div.head {
                h3 id={ (entry.id()) "-name" } { (entry.name()) }
                (badge(entry.overall))
            }
            p.domain { (entry.status.environment.demand.domain.to_string()) }
            p.left { (days_left(entry.status, now)) }
            (alerts(entry))
            @match extent {
                Extent::Few => { (facts(entry)) },
                // Where no alert says what is wrong, the facts do.
                Extent::Many => { details.more open[entry.status.standing.is_empty()] { summary { "Details" } (facts(entry)) } },
            }
        }
    }
}

/// A card of which only the head is seen until somebody asks for more.
fn folded_card(entry: &Entry<'_>, now: Timestamp) -> Markup {
    html! {
        details.row.(class(entry.overall)) id=(entry.id()) {
            summary {
                h3 { (entry.name()) }
                span.domain { (entry.status.environment.demand.domain.to_string()) }
                span.left { (days_left(entry.status, now)) }
                (badge(entry.overall))
            }
            (alerts(entry))
            (facts(entry))
        }
    }
}

fn alerts(entry: &Entry<'_>) -> Markup {
    html! {
        @if !entry.status.standing.is_empty() {
            ul.alerts aria-label="Alerts" {
                @for alert in &entry.status.standing { (standing(entry.name(), alert)) }
            }
        }
    }
}

fn facts(entry: &Entry<'_>) -> Markup {
    let status = entry.status;
    html! {
        dl {
            (fact("License", &words::found(status)))
            @if let Some(ends_at) = status.license.ends_at() {
                dt { "Ends" } dd { (time(ends_at)) }
            } @else if let Some(license) = status.license.license() {
                (fact("Ends", &[words::no_end(license).to_owned()]))
            }
            @if let Some(plan) = status.license.license().and_then(|license| license.plan.as_deref()) {
                (fact("Plan", &[plan.to_owned()]))
            }
            @if let Some(key) = status.license.key() {
                dt { "Key" } dd { code { (key.to_string()) } }
            }
            (fact("App", &words::app(status)))
            @if let Some(deployed) = &status.deployed {
                dt { "Runs" }
                dd {
                    code { (inert(&deployed.release)) } ", since " (time(deployed.at))
                    @if status.license.key() != Some(deployed.key_fingerprint) {
                        ", with key " code { (deployed.key_fingerprint.to_string()) }
                    }
                }
            }
            @let changed: Vec<String> = status.changed.iter().map(|difference| difference.message.clone()).collect();
            (fact("Changed", &changed))
            (fact("Rotation", &words::rotation(status).into_iter().collect::<Vec<_>>()))
            (fact("Clocks", &status.clocks.iter().map(ToString::to_string).collect::<Vec<_>>()))
            (fact("Told", &status.told.iter().map(words::told).collect::<Vec<_>>()))
            (fact("Trouble", &status.failure.iter().flat_map(words::trouble).collect::<Vec<_>>()))
        }
    }
}

fn fact(name: &str, lines: &[String]) -> Markup {
    html! {
        @match lines {
            [] => {},
            [line] => { dt { (name) } dd { (prose(line)) } },
            lines => { dt { (name) } dd { ul { @for line in lines { li { (prose(line)) } } } } },
        }
    }
}

fn standing(environment: &str, alert: &Alert) -> Markup {
    let severity = alert::severity(alert);
    html! {
        li.(severity_class(severity)) {
            p { strong.tag { (severity.word()) } " " (prose(&alert::title(environment, alert))) }
            p.next { "Next: " (prose(&alert::what_next(environment, alert))) }
        }
    }
}

/// How long it is until the key stops working, with the number large.
fn days_left(status: &Status<'_>, now: Timestamp) -> Markup {
    let Some(ends_at) = status.license.ends_at() else { return html! { span.unknown { "end not known" } } };
    let secs = ends_at.duration_since(now).as_secs();
    if secs > 0 && status.license.verdict() == Some(Verdict::Refused) {
        // The days that are left are worth nothing then.
        return html! { strong { "refused" } };
    }
    html! {
        @match (secs <= 0, secs.abs() / DAY_SECS) {
            (true, 0) => { "ended " strong { "today" } },
            (true, 1) => { "ended " strong { "1" } " day ago" },
            (true, days) => { "ended " strong { (days) } " days ago" },
            (false, 0) => { strong { (secs / 3600) } " hours left" },
            (false, 1) => { strong { "1" } " day left" },
            (false, days) => { strong { (days) } " days left" },
        }
    }
}

/// The validations of every authority that was asked.
fn accounts(report: &StatusReport<'_>) -> Markup {
    html! {
        @if !report.accounts.is_empty() {
            section aria-labelledby="accounts-title" {
                h2 #accounts-title { "Validations this month" }
                ul.accounts {
                    @for account in &report.accounts {
                        li {
                            code { (account.authority) }
                            p { (prose(&account.words())) }
                            @if let Some(warning) = account.warning() {
                                p.worry { strong.tag { "warning" } " " (warning) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Something that happened, from the trail.
struct Happened<'a> {
    at: Timestamp,
    entry: &'a Entry<'a>,
    what: What<'a>,
}

enum What<'a> {
    Deploy(&'a Deployed),
    Alert(&'a Notice),
    /// With the message about it, where somebody is still to be told.
    Webhook(&'a ReceivedAt, Option<&'a Notice>),
}

fn happened<'a>(entry: &'a Entry<'a>) -> impl Iterator<Item = Happened<'a>> {
    let history = &entry.status.history;
    let deploys = history.deploys().last().into_iter().map(|deploy| (deploy.at, What::Deploy(deploy)));
    let webhooks = || history.last_webhooks().iter();
    let is_about = |notice: &Notice, received: &ReceivedAt| match &notice.alert {
        Alert::Webhook(told) => told.event_id == received.event_id,
        Alert::Expiring { .. }
        | Alert::Expired { .. }
        | Alert::Refused { .. }
        | Alert::RotationStuck { .. }
        | Alert::KeyLost { .. }
        | Alert::NotAdopted { .. }
        | Alert::Unwatched { .. }
        | Alert::NotKnown => false,
    };
    let notices = history.alerts().notices().iter();
    let alerts = notices.filter(move |notice| !webhooks().any(|received| is_about(notice, received)));
    let alerts = alerts.map(|notice| (notice.due_at, What::Alert(notice)));
    let message = move |received| history.alerts().notices().iter().find(|notice| is_about(notice, received));
    let webhooks = webhooks().map(move |received| (received.at, What::Webhook(received, message(received))));
    deploys.chain(alerts).chain(webhooks).map(move |(at, what)| Happened { at, entry, what })
}

fn lately(entries: &[Entry<'_>]) -> Markup {
    let mut all: Vec<Happened<'_>> = entries.iter().flat_map(happened).collect();
    all.sort_by_key(|happened| (std::cmp::Reverse(happened.at), happened.entry.number));
    let total = all.len();
    let shown = &all[..total.min(LATELY_MAX)];
    let (open, folded) = shown.split_at(shown.len().min(LATELY_OPEN_MAX));
    html! {
        section aria-labelledby="lately-title" {
            h2 #lately-title { "Last deploys, alerts and webhooks" }
            @if all.is_empty() { p.quiet { "The trail has none." } }
            ol.lately { @for happened in open { (happened_line(happened)) } }
            @if !folded.is_empty() {
                details.more {
                    summary { (folded.len()) " more" }
                    ol.lately { @for happened in folded { (happened_line(happened)) } }
                    @if total > shown.len() {
                        p.quiet { (total - shown.len()) " older ones are not shown: " code { "cargo xtask audit show ENV" } " has them." }
                    }
                }
            }
        }
    }
}

fn happened_line(happened: &Happened<'_>) -> Markup {
    let name = happened.entry.name();
    html! {
        li {
            (time(happened.at))
            a href={ "#" (happened.entry.id()) } { (name) }
            p {
                @match &happened.what {
                    What::Deploy(deploy) => { span.kind { "Deploy" } " " code { (inert(&deploy.release)) } ": " (ended(deploy)) },
                    What::Alert(notice) => { span.kind { "Alert" } " " (prose(&alert::title(name, &notice.alert))) (heard(notice)) },
                    What::Webhook(received, message) => {
                        span.kind { "Webhook" } " " code { (inert(received.event.as_str())) } " from the authority, "
                        code { (inert(received.event_id.as_str())) }
                        @if let Some(notice) = message { "." (heard(notice)) }
                    },
                }
            }
        }
    }
}

fn ended(deploy: &Deployed) -> String {
    let ended = match &deploy.ended {
        None => "its end is not in the trail".to_owned(),
        Some(Ended::Exited { code: 0 }) => "done".to_owned(),
        Some(Ended::Exited { code }) => format!("failed with exit code {code}"),
        Some(Ended::Killed { signal }) => format!("killed by signal {signal}"),
        Some(Ended::TimedOut { after_secs }) => format!("stopped after {after_secs} seconds"),
        Some(Ended::Interrupted { signal }) => format!("interrupted by signal {signal}"),
        Some(Ended::NotStarted { why }) => format!("not started: {}", inert(why)),
    };
    let health = match deploy.health {
        None => "",
        Some(HealthRecord::Proved) => ", healthy and proved",
        Some(HealthRecord::NotProved) => ", healthy",
        Some(HealthRecord::Unhealthy) => ", unhealthy",
        Some(HealthRecord::Unreachable) => ", and no answer from it",
        Some(HealthRecord::NotAwaited) => ", and its health was not awaited",
    };
    format!("{ended}{health}")
}

fn heard(notice: &Notice) -> Markup {
    let names = |wanted: fn(&Told) -> bool| {
        let names = notice.sinks.iter().filter(|(_, told)| wanted(told)).map(|(name, _)| inert(name));
        names.collect::<Vec<_>>().join(", ")
    };
    let told = names(|told| matches!(told, Told::Alert | Told::Over));
    let silent = names(|told| matches!(told, Told::Nothing | Told::Perhaps));
    html! {
        @if !told.is_empty() { span.quiet { " Told: " (told) "." } }
        @if !silent.is_empty() && notice.closed_at.is_none() { span.quiet { " Not told yet: " (silent) "." } }
        @if let Some(closed_at) = notice.closed_at { span.quiet { " Over since " (time(closed_at)) "." } }
    }
}

fn badge(overall: Overall) -> Markup {
    html! { span.badge { span.sign aria-hidden="true" { (sign(overall)) } " " (overall.word()) } }
}

fn class(overall: Overall) -> &'static str {
    match overall {
        Overall::NotOk => "bad",
        Overall::Attention => "worry",
        Overall::Ok => "good",
    }
}

fn sign(overall: Overall) -> &'static str {
    match overall {
        Overall::NotOk => "✕",
        Overall::Attention => "!",
        Overall::Ok => "✓",
    }
}

fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "worry",
        Severity::Info => "info",
    }
}

/// A moment for people and for programs.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) { (at.strftime("%Y-%m-%d %H:%M").to_string()) } }
}

/// A day, as it stands beside others.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// How far away a day is, in words.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let left: SignedDuration = at.duration_since(now);
    match left.as_secs().div_euclid(DAY_SECS) {
        0 => "today".to_owned(),
        1 => "in 1 day".to_owned(),
        -1 => "1 day ago".to_owned(),
        days if days < 0 => format!("{} days ago", -days),
        days => format!("in {days} days"),
    }
}

/// A sentence, with what stands between backticks set as code.
pub(super) fn prose(text: &str) -> Markup {
    let text = inert(text);
    let parts: Vec<&str> = text.split('`').collect();
    // A backtick that is alone is one.
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (number, part) in parts.iter().enumerate() {
                @if number % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
    }
}

/// A text without what hides or reorders what stands beside it, and nothing a terminal would obey.
fn inert(text: &str) -> String {
    text.chars().map(|c| if changes_the_line(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use license_core::webhook::LAST_MAX;

    use super::*;
    use crate::report::samples::{self, HOSTILE, SHAPES};

    /// No page of 1,000 environments is longer, in bytes.
    const PAGE_BYTES_MAX: usize = 2_000_000;

    #[test]
    fn no_word_from_outside_becomes_markup() {
        let config = samples::config(SHAPES);
        let page = page(&samples::report(&config));
        assert!(HOSTILE.contains("<script>") && !page.contains("<script"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload='x' ]]&gt; --&gt; \u{fffd}[31m"),
            "{page}"
        );
        let (_, body) = page.split_once("</style>").unwrap();
        assert!(!body.contains(changes_the_line), "something hides or reorders");
        assert!(!page.contains(" onload='x'>") && !page.contains("]]>"));
    }

    #[test]
    fn the_last_webhooks_stand_among_what_happened_and_a_bounded_number_of_them() {
        let config = samples::config(SHAPES);
        let page = page(&samples::report(&config));
        assert!(page.contains("<h2 id=\"lately-title\">Last deploys, alerts and webhooks</h2>"), "{page}");
        let lines = || page.split("<li>").filter(|line| line.contains(">Webhook</span>"));
        let named = |id: usize| lines().find(|line| line.contains(&format!("<code>evt_{id}</code>")));
        assert_eq!(lines().count(), LAST_MAX);
        assert!(named(0).is_none() && named(1).is_some(), "the oldest is left out");
        assert!(named(1).unwrap().contains("<code>&lt;script&gt;alert(1)&lt;/script&gt;"), "{:?}", named(1));
        let waits = named(LAST_MAX).unwrap();
        assert!(waits.contains("<code>license.revoked</code>") && waits.contains(" Not told yet: team."), "{waits}");
        assert!(!page.contains("the authority says that the license"), "one that waits is no alert besides");
    }

    #[test]
    fn the_page_needs_nothing_else_and_may_load_nothing() {
        let config = samples::config(SHAPES);
        let page = page(&samples::report(&config));
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{}", &page[..100]);
        let policy = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">");
        let (before, _) = page.split_once("<style>").unwrap();
        assert!(before.contains(&policy), "{before}");
        for loads in
            [" src=", "<link", "@import", "url(", "<img", "<iframe", "<script", "<form", "http-equiv=\"refresh\""]
        {
            assert!(!page.contains(loads), "{loads}");
        }
        assert!(page.split("href=\"").skip(1).all(|rest| rest.starts_with('#')));
    }

    #[test]
    fn every_environment_has_its_card_its_verdict_and_what_to_do() {
        for count in [1, 4, 60] {
            let config = samples::config(count);
            let report = samples::report(&config);
            let page = page(&report);
            for status in &report.environments {
                let name = status.environment.name.as_str();
                assert!(page.contains(&format!(">{name}</h3>")), "{name} of {count}");
                assert!(page.contains(status.environment.demand.domain.to_string().as_str()), "{name} of {count}");
                for alert in &status.standing {
                    assert!(page.contains(&prose(&alert::what_next(name, alert)).into_string()), "{name} of {count}");
                }
            }
            assert_eq!(page.matches("class=\"badge\"").count(), count);
        }
    }

    #[test]
    fn the_worst_stands_first_and_the_title_says_it() {
        let config = samples::config(SHAPES);
        let page = page(&samples::report(&config));
        let place = |name: &str| page.find(&format!(">{name}</h3>")).unwrap();
        assert!(place("emea") < place("staging") && place("staging") < place("production"));
        assert!(page.contains("<title>Licenses: 3 of 8 are not ok, and 1 needs attention</title>"), "{}", &page[..900]);
        let calm = samples::config(1);
        assert!(super::page(&samples::report(&calm)).contains("<title>Licenses: all is well</title>"));
    }

    #[test]
    fn a_thousand_environments_fit_into_a_page_that_is_made_at_once() {
        let config = samples::config(1000);
        let report = samples::report(&config);
        let begun = Instant::now();
        let page = page(&report);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
        assert_eq!(page.matches("</h3>").count(), 1000);
    }

    #[test]
    fn a_backtick_sets_code_only_in_pairs() {
        for (text, expected) in [
            ("`a` and `b<`", "<code>a</code> and <code>b&lt;</code>"),
            ("one ` alone", "one ` alone"),
            ("plain", "plain"),
            ("a\u{1b}b", "a\u{fffd}b"),
        ] {
            assert_eq!(prose(text).into_string(), expected);
        }
    }
}
