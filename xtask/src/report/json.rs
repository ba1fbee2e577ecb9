//! The JSON documents of `deploy` and `check`: see `docs/json.md`.

use license_core::Finding;
use serde::Serialize;
use serde_json::{Value, json};

use super::{CheckReport, CommandEnd, DeployReport, Gated, HealthEnd};
use crate::{
    authority::AskError,
    commands::rotate::{BothKeys, Outcome, RotateReport},
    config::Problem,
    context::Platform,
    exit::Exit,
    failure::Failure,
    gate::{Basis, Judgement},
    health::Seen,
};

/// The names of the documents, with their versions.
const DEPLOY_SCHEMA: &str = "license-hooks/deploy/1";
const CHECK_SCHEMA: &str = "license-hooks/check/1";
const ROTATE_SCHEMA: &str = "license-hooks/rotate/1";
const ERROR_SCHEMA: &str = "license-hooks/error/1";

/// The document of `deploy`.
pub(crate) fn deploy(report: &DeployReport, exit: Exit) -> Value {
    let judgement = report.judgement.as_ref();
    let trouble = judgement.and_then(|judged| judged.basis.trouble());
    let failure = report.failure.as_ref();
    json!({
        "schema": DEPLOY_SCHEMA,
        "environment": report.environment,
        "verdict": judgement.map(|judged| judged.verdict),
        "checks": judgement.map_or(&[][..], |judged| &judged.checks),
        "license": judgement.map(license),
        "forced": judgement.and_then(|judged| judged.forced.as_deref()),
        "error": failure.map(error).or_else(|| trouble.map(ask_error)),
        "plan": report.plan,
        "release": report.release,
        "deploy": report.deploy.as_ref().map(command),
        "health": report.health.as_ref().map(health),
        "rollback": report.rollback.as_ref().map(command),
        "trail": report.trail,
        "exit": self::exit(exit),
    })
}

/// The document of `rotate`, also for one environment.
pub(crate) fn rotate(reports: &[RotateReport], exit: Exit) -> Value {
    json!({
        "schema": ROTATE_SCHEMA,
        "environments": reports.iter().map(rotated).collect::<Vec<_>>(),
        "exit": self::exit(exit),
    })
}

fn rotated(report: &RotateReport) -> Value {
    let environment = report.environment.as_deref().unwrap_or_default();
    let told = report.outcome.as_ref().map(|outcome| outcome.told(environment));
    let overlap = match &report.outcome {
        Some(Outcome::Ended { overlap, .. }) => *overlap,
        Some(Outcome::NotDue { .. }) | None => None,
    };
    json!({
        "environment": report.environment,
        "plan": report.plan,
        "outcome": report.outcome.as_ref().map(Outcome::name),
        "message": told.as_ref().map(|told| &told.what),
        "next": told.as_ref().and_then(|told| told.next.as_ref()),
        "overlap": overlap.map(|both| match both {
            BothKeys::Confirmed => "confirmed",
            BothKeys::Absent => "absent",
            BothKeys::Unknown => "unknown",
        }),
        "error": report.failure.as_ref().map(error),
        "trail": report.trail,
    })
}

/// The document of `check`, also for one environment.
pub(crate) fn check(report: &CheckReport<'_>, exit: Exit) -> Value {
    json!({
        "schema": CHECK_SCHEMA,
        "environments": report.gated.iter().map(gated).collect::<Vec<_>>(),
        "exit": self::exit(exit),
    })
}

/// The document when a command could not begin.
pub(crate) fn failed(command: Document, failure: &Failure) -> Value {
    let exit = exit(failure.exit());
    match command {
        Document::Check => json!({ "schema": CHECK_SCHEMA, "environments": [], "error": error(failure), "exit": exit }),
        Document::Other => json!({ "schema": ERROR_SCHEMA, "error": error(failure), "exit": exit }),
    }
}

/// Which document a failure goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    /// That of `check`.
    Check,
    /// One of its own.
    Other,
}

/// One line of JSON. On GitHub Actions no text in it can be taken for a workflow command.
pub(crate) fn line(document: &impl Serialize, platform: Platform) -> String {
    let text = serde_json::to_string(document).expect("maps of strings and numbers become JSON");
    match platform {
        Platform::GithubActions => text.replace("##[", "#\\u0023["),
        Platform::Other => text,
    }
}

fn gated(gated: &Gated<'_>) -> Value {
    let environment = gated.environment.name.as_str();
    match &gated.outcome {
        Ok(judged) => json!({
            "environment": environment,
            "verdict": judged.verdict,
            "checks": judged.checks,
            "license": license(judged),
            "error": judged.basis.trouble().map(ask_error),
        }),
        Err(failure) => json!({
            "environment": environment,
            "verdict": Value::Null,
            "checks": Vec::<Finding>::new(),
            "license": Value::Null,
            "error": error(failure),
        }),
    }
}

fn license(judged: &Judgement) -> Value {
    let facts = judged.license.as_ref();
    json!({
        "keyFingerprint": judged.fingerprint,
        "id": facts.and_then(|license| license.id.as_deref()),
        "plan": facts.and_then(|license| license.plan.as_deref()),
        "expiresAt": facts.and_then(|license| license.expires_at),
        "source": judged.basis.source(),
        "answeredAt": match &judged.basis {
            Basis::Cached { at, .. } | Basis::OfflineToken { at, .. } => Some(*at),
            Basis::Answer | Basis::Class | Basis::Nothing { .. } => None,
        },
    })
}

pub(super) fn error(failure: &Failure) -> Value {
    let mut error = json!({ "code": failure.code(), "message": failure.to_string() });
    if let Failure::Config(config) = failure {
        error["problems"] = config.problems.iter().map(problem).collect();
    }
    error
}

fn problem(problem: &Problem) -> Value {
    let place = problem.line_column();
    json!({
        "code": problem.code,
        "message": problem.message,
        "help": problem.help,
        "line": place.map(|(line, _)| line),
        "column": place.map(|(_, column)| column),
    })
}

fn ask_error(trouble: &AskError) -> Value {
    json!({ "code": trouble.stable_code(), "message": trouble.to_string() })
}

fn command(end: &CommandEnd) -> Value {
    let mut value = json!(end.ended);
    value["command"] = json!(end.shown);
    value["seconds"] = json!((end.seconds * 1000.0).round() / 1000.0);
    value["ok"] = json!(end.is_ok());
    value
}

fn health(end: &HealthEnd) -> Value {
    let (outcome, why) = match &end.seen {
        Seen::Proved => ("proved", None),
        Seen::NotProved => ("not_proved", None),
        Seen::Unhealthy { .. } => ("unhealthy", None),
        Seen::Unreachable { why } => ("unreachable", Some(why.as_str())),
        Seen::Stopped(_) => ("stopped", None),
    };
    let differences = match &end.seen {
        Seen::Unhealthy { differences } => differences.as_slice(),
        Seen::Proved | Seen::NotProved | Seen::Unreachable { .. } | Seen::Stopped(_) => &[],
    };
    json!({ "url": end.url, "outcome": outcome, "differences": differences, "why": why })
}

pub(super) fn exit(exit: Exit) -> Value {
    json!({ "code": exit.code(), "name": exit.name() })
}
