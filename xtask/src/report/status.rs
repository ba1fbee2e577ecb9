//! The forms in which `status` is shown.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use license_core::{
    License, Outcome, Verdict,
    alert::{self, Alert, Severity},
    finding::{Finding, clean},
    quota::{Limit, Room},
    rotation::{Adoption, Phase},
    trail::{Ended, Looked},
};
use miette::Diagnostic;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::human;
use crate::{
    commands::status::{Account, Known, NotKnown, Status, StatusReport},
    console::{Ink, Look},
    exit::Exit,
    failure::Failure,
    gate::Basis,
    health::Seen,
    tell::{Done, Telling},
};

/// The name of the document, with its version.
const SCHEMA: &str = "license-hooks/status/1";
/// Seconds in a day.
const DAY_SECS: i64 = 24 * 60 * 60;

/// What an advice begins with.
const NEXT: &str = "next: ";

/// How an application learns to tell its license, where it answers 404.
const ENDPOINT_HELP: &str = "next: the application has no such endpoint: let it answer with JSON there, `valid` and, where it knows them, \
     `plan`, `expiresAt`, `features`, `keyFingerprint` and `release`; docs/monitoring.md has it in ten lines for axum and \
     for Express";

/// What people read, one paragraph for each environment.
pub(crate) fn human(report: &StatusReport<'_>, look: &Look) -> String {
    let environments = paragraphs(report, look).into_iter().map(|(_, text)| text);
    let accounts = Some(accounts_human(report, look)).filter(|accounts| !accounts.is_empty());
    environments.chain(accounts).collect::<Vec<_>>().join("\n")
}

/// The paragraph of every environment, with the verdict over it.
pub(crate) fn paragraphs(report: &StatusReport<'_>, look: &Look) -> Vec<(Overall, String)> {
    let paragraph = |status| (overall(report, status), of_environment(report, status, look));
    report.environments.iter().map(paragraph).collect()
}

/// The paragraph about the accounts; empty where nobody was asked.
pub(crate) fn accounts_human(report: &StatusReport<'_>, look: &Look) -> String {
    report.accounts.iter().map(|account| of_account(account, look)).collect()
}

fn of_account(account: &Account<'_>, look: &Look) -> String {
    let mut text = format!("authority `{}`: {}\n", account.authority, account.words());
    if let Some(warning) = account.warning() {
        let _ = writeln!(text, "  {} {warning}", look.paint("warning  ", Ink::Worry));
    }
    text
}

/// The verdict over an environment, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Overall {
    /// Something is wrong, or could not be found out.
    NotOk,
    /// Something is to be done.
    Attention,
    /// All is well.
    Ok,
}

/// The verdict over an environment.
pub(super) fn overall(report: &StatusReport<'_>, status: &Status<'_>) -> Overall {
    let exit = report.exit_of(status);
    if exit == Exit::Done && status.standing.is_empty() {
        Overall::Ok
    } else if matches!(exit, Exit::Done | Exit::Attention) {
        Overall::Attention
    } else {
        Overall::NotOk
    }
}

impl Overall {
    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NotOk => "not ok",
            Self::Attention => "attention",
            Self::Ok => "ok",
        }
    }

    fn ink(self) -> Ink {
        match self {
            Self::NotOk => Ink::Bad,
            Self::Attention => Ink::Worry,
            Self::Ok => Ink::Good,
        }
    }
}

fn of_environment(report: &StatusReport<'_>, status: &Status<'_>, look: &Look) -> String {
    let overall = overall(report, status);
    let environment = status.environment;
    let mut text = format!(
        "{} ({}): {}\n",
        look.paint(&environment.name, Ink::Strong),
        environment.demand.domain,
        look.paint(overall.word(), overall.ink())
    );
    let mut line = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:<9} {what}");
    };
    for what in license(status, report.at) {
        line(if what.starts_with(NEXT) { "" } else { "license" }, &what);
    }
    for what in app(status) {
        line(if what.starts_with(NEXT) { "" } else { "app" }, &what);
    }
    if let Some(deployed) = &status.deployed {
        line(
            "deploy",
            &format!("{} of {:.0}, key {}", clean(&deployed.release), deployed.at, deployed.key_fingerprint),
        );
    }
    for difference in &status.changed {
        line("changed", &difference.message);
    }
    if let Some(what) = rotation(status) {
        line("rotation", &what);
    }
    for clock in &status.clocks {
        line("clock", &clock.to_string());
    }
    for alert in &status.standing {
        let name = environment.name.as_str();
        line("alert", &alert::title(name, alert));
        line("", &format!("next: {}", alert::what_next(name, alert)));
    }
    for telling in &status.told {
        line("told", &told(telling));
    }
    if let Some(failure) = &status.failure {
        for what in trouble(failure) {
            line(if what.starts_with(NEXT) { "" } else { "trouble" }, &what);
        }
    }
    text
}

/// The license in a few lines.
fn license(status: &Status<'_>, now: Timestamp) -> Vec<String> {
    let mut lines = found(status);
    if let (Known::Judged(judged), Some(first)) = (&status.license, lines.first_mut()) {
        let _ = write!(first, ", key {}", judged.fingerprint);
    }
    lines.extend(ends(status, now));
    if let Some(plan) = status.license.license().and_then(|license| license.plan.as_deref()) {
        lines.push(format!("plan {}", clean(plan)));
    }
    lines
}

/// What the gate says of the license, and everything that did not pass.
pub(super) fn found(status: &Status<'_>) -> Vec<String> {
    match &status.license {
        Known::Judged(judged) => {
            let mut lines = vec![verdict(judged.verdict).to_owned()];
            lines.extend(worries(&judged.checks));
            lines.extend(human::basis_lines(&judged.basis));
            // Where nothing stands in for an answer, the trouble is what is to be mended.
            if let Basis::Nothing { trouble, .. } = &judged.basis {
                lines.extend(next(trouble));
            }
            lines
        }
        Known::Cached { looked, checks } => {
            let word = status.license.verdict().map_or("not known", verdict);
            let mut lines = vec![format!("{word}, as it was at {:.0}: the authority was not asked", looked.at)];
            if status.license.verdict() != Some(Verdict::Go) {
                lines.extend(reasons(looked, checks));
            }
            lines
        }
        Known::Not(failure) => std::iter::once(format!("not known: {failure}")).chain(next(failure)).collect(),
        Known::NeverLooked => vec!["not known: the trail has no look, and the authority was not asked".to_owned()],
    }
}

/// What kept a look from being recorded, and what to do about it.
pub(super) fn trouble(failure: &Failure) -> Vec<String> {
    std::iter::once(failure.to_string()).chain(next(failure)).collect()
}

/// What to do about it, as every other command says.
fn next(diagnostic: &dyn Diagnostic) -> Option<String> {
    diagnostic.help().map(|help| format!("{NEXT}{help}"))
}

/// When the key stops working, in words; nothing where nobody could say.
fn ends(status: &Status<'_>, now: Timestamp) -> Option<String> {
    let license = status.license.license()?;
    let Some(ends_at) = status.license.ends_at() else { return Some(no_end(license).to_owned()) };
    Some(format!("ends at {ends_at:.0}, {}", left(ends_at, now)))
}

/// What stands in the place of an end where none is known. One that cannot be read is not none.
pub(super) fn no_end(license: &License) -> &'static str {
    match &license.unreadable_end {
        Some(_) => "the authority states an end that cannot be read",
        None => "the authority states no end",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Go => "good",
        Verdict::Refused => "refused",
        Verdict::Unknown => "unknown",
    }
}

/// What every check found that did not pass.
fn worries(checks: &[Finding]) -> impl Iterator<Item = String> {
    let worth = checks.iter().filter(|finding| finding.outcome != Outcome::Pass);
    worth.map(|finding| format!("{} {}: {}", finding.check.code(), finding.outcome, finding.message))
}

/// Why what the last look saw is no good license: what the checks make of it today, and what was kept of a refusal or of
/// trouble, where the facts do not show it.
fn reasons(looked: &Looked, checks: &[Finding]) -> Vec<String> {
    let look = &looked.look;
    let mut lines: Vec<String> = worries(checks).collect();
    let refused = look.refused.as_ref().map(|refused| &refused.reason);
    if let Some(reason) = refused.filter(|reason| checks.iter().all(|finding| finding.reason.word() != **reason)) {
        lines.push(format!("the reason was `{}`", clean(reason)));
    }
    lines.extend(look.trouble.as_ref().map(|trouble| clean(&trouble.message)));
    if lines.is_empty() {
        lines.push("the trail does not say why; `status` without `--cached` does".to_owned());
    }
    lines
}

/// How long it is until then, in words.
fn left(then: Timestamp, now: Timestamp) -> String {
    let left = then.duration_since(now);
    if left <= SignedDuration::ZERO {
        return "which is over".to_owned();
    }
    match left.as_secs() / DAY_SECS {
        0 => format!("in {} hours", left.as_secs() / 3600),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

pub(super) fn app(status: &Status<'_>) -> Vec<String> {
    let Some(app) = &status.app else { return vec!["not asked: no `health` in license.toml".to_owned()] };
    let url = clean(&app.url);
    match &app.glance.seen {
        Seen::Proved => vec![format!("healthy, and proved to run what was deployed: {url}")],
        Seen::NotProved => {
            vec![format!("healthy; it reports neither the key nor the release that would prove what runs: {url}")]
        }
        Seen::Unhealthy { differences } => std::iter::once(format!("unhealthy: {url}"))
            .chain(differences.iter().map(|difference| format!("{}: {}", difference.field, difference.message)))
            .collect(),
        Seen::Unreachable { why } => {
            let help = (app.glance.status == Some(404)).then(|| ENDPOINT_HELP.to_owned());
            std::iter::once(format!("unhealthy: {url}: {why}")).chain(help).collect()
        }
        Seen::Stopped(_) => vec![format!("not known: stopped while {url} was asked")],
    }
}

pub(super) fn rotation(status: &Status<'_>) -> Option<String> {
    let name = status.environment.name.as_str();
    let go_on = format!("`cargo xtask rotate {name} --resume`");
    let phase = &status.rotation.phase;
    let stands = match phase {
        Phase::Idle(_) => return None,
        Phase::Calling(_) => "the call may be under way",
        Phase::Unknown { .. } => "nobody knows whether the authority rotated",
        Phase::KeyLost { .. } => "the new key is lost",
        Phase::Received { .. } => "the new key is in escrow",
        Phase::NewRejected { .. } => "the new key is not accepted",
        Phase::Promoting { .. } => "the new key goes into the stores",
        Phase::Committed { keys, adoption } => return Some(committed(name, keys.grace_ends_at, *adoption)),
        Phase::RollingBack { .. } => "the old key goes back into the stores",
        Phase::RolledBack(_) => "every store has the old key again",
    };
    let until = old_key_ends(phase)?;
    Some(format!("open: {stands}; the old key works until {until:.0}; {go_on}"))
}

/// A rotation that only waits for the end of its grace. Nothing of it can be gone on with before.
fn committed(name: &str, grace_ends_at: Timestamp, adoption: Adoption) -> String {
    let next = match adoption {
        Adoption::Unproven => format!("`cargo xtask deploy {name}`, so that what runs has the new one in time"),
        Adoption::Shipped | Adoption::Proved => format!("after that `cargo xtask rotate {name} --resume` closes it"),
    };
    format!("open: every store has the new key; the old key works until {grace_ends_at:.0}; {next}")
}

/// Until when the old key of an open rotation works, as far as is known.
pub(super) fn old_key_ends(phase: &Phase) -> Option<Timestamp> {
    match phase {
        Phase::Idle(_) => None,
        Phase::KeyLost { deadline, .. } => Some(*deadline),
        Phase::Calling(open)
        | Phase::Unknown { open, .. }
        | Phase::Received { open, .. }
        | Phase::NewRejected { open, .. } => Some(open.grace_end_earliest()),
        Phase::Promoting { keys, .. }
        | Phase::Committed { keys, .. }
        | Phase::RollingBack { keys, .. }
        | Phase::RolledBack(keys) => Some(keys.grace_ends_at),
    }
}

pub(super) fn told(telling: &Telling) -> String {
    let Telling { title, sink, done, .. } = telling;
    match done {
        Done::Told => format!("`{sink}`: {title}"),
        Done::ToldOver => format!("`{sink}`: over: {title}"),
        Done::Failed { why, next } => format!("`{sink}` was NOT told: {why}; {next}"),
        Done::Left => format!("`{sink}`: another run is at it: {title}"),
    }
}

/// The document.
pub(crate) fn json(report: &StatusReport<'_>, exit: Exit) -> Value {
    json!({
        "schema": SCHEMA,
        "at": report.at,
        "environments": report.environments.iter().map(|status| environment(report, status)).collect::<Vec<_>>(),
        "accounts": report.accounts.iter().map(account).collect::<Vec<_>>(),
        "exit": super::json::exit(exit),
    })
}

fn account(account: &Account<'_>) -> Value {
    let quota = account.quota.as_ref().ok();
    json!({
        "authority": account.authority,
        "validationsToday": quota.and_then(|quota| quota.used_today),
        "validationsUsed": quota.and_then(|quota| quota.used),
        "validationsLimit": quota.and_then(|quota| match quota.limit? {
            Limit::AtMost(limit) => Some(limit),
            Limit::Unlimited => None,
        }),
        "room": quota.map(|quota| match quota.room() {
            Room::NotKnown => "unknown",
            Room::Unlimited => "unlimited",
            Room::Enough { .. } => "enough",
            Room::Little { .. } => "little",
            Room::Nothing => "nothing",
        }),
        "warning": account.warning(),
        "error": account.quota.as_ref().err().map(|NotKnown { code, why }| json!({ "code": code, "message": why })),
    })
}

fn environment(report: &StatusReport<'_>, status: &Status<'_>) -> Value {
    let name = status.environment.name.as_str();
    let said = status.license.license();
    let ends_at = status.license.ends_at();
    let error = match &status.license {
        Known::Not(failure) => Some(super::json::error(failure)),
        Known::Judged(_) | Known::Cached { .. } | Known::NeverLooked => None,
    };
    json!({
        "environment": name,
        "domain": status.environment.demand.domain.to_string(),
        "license": {
            "verdict": status.license.verdict(),
            "source": source(&status.license),
            "lookedAt": looked_at(status),
            "keyFingerprint": status.license.key(),
            "id": said.and_then(|license| license.id.as_deref()),
            "plan": said.and_then(|license| license.plan.as_deref()),
            "features": said.and_then(|license| license.features.as_ref()),
            "endsAt": ends_at,
            "daysLeft": ends_at.map(|ends_at| ends_at.duration_since(report.at).as_secs().div_euclid(DAY_SECS)),
            "checks": match &status.license {
                Known::Judged(judged) => json!(judged.checks),
                Known::Cached { checks, .. } => json!(checks),
                Known::Not(_) | Known::NeverLooked => json!([]),
            },
            "error": error,
        },
        "app": status.app.as_ref().map(|app| {
            let reported = app.glance.reported.as_ref();
            json!({
                "url": clean(&app.url),
                "state": match &app.glance.seen {
                    Seen::Proved => "proved",
                    Seen::NotProved => "not_proved",
                    Seen::Unhealthy { .. } => "unhealthy",
                    Seen::Unreachable { .. } => "unreachable",
                    Seen::Stopped(_) => "stopped",
                },
                "status": app.glance.status,
                "message": match &app.glance.seen {
                    Seen::Unreachable { why } => Some(why),
                    Seen::Proved | Seen::NotProved | Seen::Unhealthy { .. } | Seen::Stopped(_) => None,
                },
                "differences": match &app.glance.seen {
                    Seen::Unhealthy { differences } => json!(differences),
                    Seen::Proved | Seen::NotProved | Seen::Unreachable { .. } | Seen::Stopped(_) => json!([]),
                },
                "reported": reported.map(|reported| json!({
                    "valid": reported.valid,
                    "plan": reported.plan.as_deref().map(clean),
                    "features": reported.features.as_ref().map(|all| all.iter().map(|one| clean(one)).collect::<Vec<_>>()),
                    "expiresAt": reported.expires_at,
                    "keyFingerprint": reported.key_fingerprint,
                    "release": reported.release.as_deref().map(clean),
                })),
            })
        }),
        "deployed": status.deployed.as_ref().map(|deployed| json!({
            "release": deployed.release,
            "at": deployed.at,
            "keyFingerprint": deployed.key_fingerprint,
            "ended": deployed.ended.as_ref().map(|ended| *ended == (Ended::Exited { code: 0 })),
        })),
        "changed": status.changed,
        "clocks": status.clocks.iter().map(|clock| json!({
            "of": clock.whose.word(),
            "aheadSeconds": clock.ahead.as_secs(),
            "message": clock.to_string(),
        })).collect::<Vec<_>>(),
        "rotation": phase(&status.rotation.phase),
        "alerts": status.standing.iter().map(|alert| alert_of(name, alert)).collect::<Vec<_>>(),
        "told": status.told.iter().map(|telling| json!({
            "sink": telling.sink,
            "dedupKey": telling.dedup_key,
            "title": telling.title,
            "outcome": match &telling.done {
                Done::Told => "told",
                Done::ToldOver => "told_over",
                Done::Failed { .. } => "failed",
                Done::Left => "left",
            },
            "message": match &telling.done {
                Done::Failed { why, .. } => Some(why),
                Done::Told | Done::ToldOver | Done::Left => None,
            },
        })).collect::<Vec<_>>(),
        "error": status.failure.as_ref().map(super::json::error),
        "trail": status.trail,
        "exit": super::json::exit(report.exit_of(status)),
    })
}

fn alert_of(environment: &str, alert: &Alert) -> Value {
    let mut document = json!(alert);
    document["dedupKey"] = json!(alert::dedup_key(environment, &alert.id()));
    document["severity"] = json!(alert::severity(alert).word());
    document["title"] = json!(alert::title(environment, alert));
    document["next"] = json!(alert::what_next(environment, alert));
    document
}

fn source(known: &Known) -> &'static str {
    match known {
        Known::Judged(judged) => match judged.basis.source() {
            license_core::trail::Source::Authority => "authority",
            license_core::trail::Source::Cached => "cached",
            license_core::trail::Source::OfflineToken => "offline_token",
            license_core::trail::Source::Nobody => "nobody",
        },
        Known::Cached { .. } => "trail",
        Known::Not(_) | Known::NeverLooked => "nobody",
    }
}

fn looked_at(status: &Status<'_>) -> Option<Timestamp> {
    match &status.license {
        Known::Judged(_) => Some(status.asked_at),
        Known::Cached { looked, .. } => Some(looked.at),
        Known::Not(_) | Known::NeverLooked => None,
    }
}

/// The word for where a rotation stands.
pub(crate) fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Idle(_) => "idle",
        Phase::Calling(_) => "calling",
        Phase::Unknown { .. } => "unknown",
        Phase::KeyLost { .. } => "key_lost",
        Phase::Received { .. } => "received",
        Phase::NewRejected { .. } => "new_rejected",
        Phase::Promoting { .. } => "promoting",
        Phase::Committed { .. } => "committed",
        Phase::RollingBack { .. } => "rolling_back",
        Phase::RolledBack(_) => "rolled_back",
    }
}

/// Everything that is wrong with an environment, a sentence each; the alerts with how bad they are.
pub(crate) fn faults(report: &StatusReport<'_>, status: &Status<'_>) -> Vec<(Severity, String)> {
    let mut faults = Vec::new();
    match &status.license {
        Known::Not(failure) => faults.push((Severity::Critical, failure.to_string())),
        Known::Judged(judged) if judged.verdict != Verdict::Go => {
            let mut words: Vec<String> = worries(&judged.checks).collect();
            words.extend(human::basis_lines(&judged.basis));
            faults.push((Severity::Critical, format!("{}: {}", verdict(judged.verdict), words.join("; "))));
        }
        Known::Cached { .. } if status.license.verdict() == Some(Verdict::Go) => {}
        Known::Cached { .. } | Known::NeverLooked => {
            faults.push((Severity::Critical, found(status).join("; ")));
        }
        Known::Judged(_) => {}
    }
    if let Some(app) = &status.app
        && let Seen::Unhealthy { .. } | Seen::Unreachable { .. } = app.glance.seen
    {
        faults.push((Severity::Critical, self::app(status).join("; ")));
    }
    let name = status.environment.name.as_str();
    faults.extend(status.standing.iter().map(|alert| (alert::severity(alert), alert::title(name, alert))));
    faults.extend(status.clocks.iter().map(|clock| (Severity::Warning, clock.to_string())));
    if status.ends_within(report) && status.standing.is_empty() {
        faults.push((Severity::Warning, license(status, report.at).join("; ")));
    }
    faults.extend(status.told.iter().filter(|one| one.failed()).map(|one| (Severity::Warning, told(one))));
    faults.extend(status.failure.iter().map(|failure: &Failure| (Severity::Critical, failure.to_string())));
    faults
}

/// What is known of the accounts, a line each, with what somebody should know.
pub(super) fn accounts(report: &StatusReport<'_>) -> Vec<String> {
    let line = |account: &Account<'_>| {
        let warning = account.warning().map_or(String::new(), |warning| format!("; warning: {warning}"));
        format!("authority `{}`: {}{warning}", account.authority, account.words())
    };
    report.accounts.iter().map(line).collect()
}

/// A JUnit report: a test case for each environment, that fails where the exit is another than 0.
/// The accounts are no tests: what is known of them is the output of the suite.
pub(crate) fn junit(report: &StatusReport<'_>) -> String {
    let mut suite = TestSuite::new("license status");
    for status in &report.environments {
        let exit = report.exit_of(status);
        let faults: Vec<String> = faults(report, status).into_iter().map(|(_, fault)| fault).collect();
        let is_well = exit == Exit::Done;
        let mut case =
            if is_well { TestCaseStatus::success() } else { TestCaseStatus::non_success(NonSuccessKind::Failure) };
        if !is_well {
            case.set_type(exit.name()).set_message(faults.first().cloned().unwrap_or_default());
            case.set_description(faults.join("\n"));
        }
        let mut case = TestCase::new(status.environment.name.as_str(), case);
        case.set_classname("license.status");
        suite.add_test_case(case);
    }
    if !report.accounts.is_empty() {
        suite.set_system_out(accounts(report).join("\n"));
    }
    let mut document = Report::new("cargo xtask status");
    document.add_test_suite(suite);
    document.to_string().unwrap_or_default()
}
