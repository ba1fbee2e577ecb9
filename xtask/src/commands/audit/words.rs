//! What an entry says, in words: for the lines of `audit show` and the columns of an export.
//!
//! Entries are read as they are written; what is not said is `None`, and texts from outside are cleaned.

use license_core::{
    alert::{AlertEvent, title},
    finding::{Finding, Outcome, clean},
    gate::Verdict,
    health::Difference,
    rotation::{Adoption, BodySource, ClaimEvent, Fact, NotRotated, Which},
    trail::{Ended, Event, GateRecord, HealthRecord, Look, Record, Trouble},
    webhook::WebhookRecord,
};
use serde_json::{Map, Value};

/// The fields of an entry behind its place in the chain.
pub(super) type Body = Map<String, Value>;

/// A plain value in one line; of an empty text and of anything else nothing.
pub(super) fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(clean(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What the entry says of whoever made it: `user`, `host`, `ci`, `run_url` or `commit`.
pub(super) fn of_actor(body: &Body, name: &str) -> Option<String> {
    word(body.get("actor")?.get(name))
}

/// `user@host`, or the CI system.
pub(super) fn who(ci: Option<&str>, user: Option<&str>, host: Option<&str>) -> Option<String> {
    match (ci, user, host) {
        (Some(ci), _, _) => Some(clean(ci)),
        (None, Some(user), Some(host)) => Some(format!("{}@{}", clean(user), clean(host))),
        (None, Some(one), None) | (None, None, Some(one)) => Some(clean(one)),
        (None, None, None) => None,
    }
}

/// How it came out: a verdict, the end of a command, a state of health, the code of a failure or what was told.
pub(super) fn outcome(body: &Body) -> Option<String> {
    if let Some(ended) = body.get("ended") {
        let detail = ["code", "signal", "after_secs"].into_iter().find_map(|name| word(ended.get(name)));
        let words: Vec<String> = word(ended.get("how")).into_iter().chain(detail).collect();
        return (!words.is_empty()).then(|| words.join(" "));
    }
    word(["verdict", "health", "code", "act", "fact", "event"].into_iter().find_map(|name| body.get(name)))
}

/// Why somebody did it: the reason of a broken glass, or of a broken claim.
pub(super) fn reason(body: &Body) -> Option<String> {
    word(body.get("forced")).or_else(|| word(body.get("reason")))
}

/// What happened, in words that may change from version to version.
pub(super) fn summary(record: &Record) -> String {
    match &record.event {
        Event::Issued { license_id, .. } => format!("a key of the license {} was issued", clean(license_id)),
        Event::Gate(gate) => judged(gate),
        Event::GateFailed { message, .. } => format!("no verdict: {}", clean(message)),
        Event::DeployStarted { .. } => "the deploy command is about to start".to_owned(),
        Event::DeployEnded { ended, .. } => format!("the deploy command {}", end(ended)),
        Event::Health { health, differences, .. } => joined(seen(*health).to_owned(), differing(differences)),
        Event::RollbackEnded { ended, .. } => format!("the rollback command {}", end(ended)),
        Event::Claim(claim) => claimed(claim),
        Event::Rotation(rotation) => rotated(&rotation.fact),
        Event::Alert(alert) => alerted(&record.environment, alert),
        Event::Look(look) => looked(look),
        Event::Webhook(webhook) => told(webhook),
        Event::Checkpoint(_) => "what the entries before this one come to".to_owned(),
        Event::NotKnown => String::new(),
    }
}

fn joined(first: String, others: impl Iterator<Item = String>) -> String {
    [first].into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

fn differing(differences: &[Difference]) -> impl Iterator<Item = String> {
    differences.iter().map(|difference| clean(&difference.message))
}

fn judged(gate: &GateRecord) -> String {
    let verdict = match gate.verdict {
        Verdict::Go => "may be deployed",
        Verdict::Refused => "may not be deployed",
        Verdict::Unknown => "it could not be found out whether it may be deployed",
    };
    let remarkable = |finding: &&Finding| match finding.outcome {
        Outcome::Pass => false,
        Outcome::Warn | Outcome::Fail | Outcome::Unknown => true,
    };
    let findings = gate.checks.iter().filter(remarkable).map(|finding| clean(&finding.message));
    joined(verdict.to_owned(), findings.chain(troubled(gate.trouble.as_ref())))
}

fn troubled(trouble: Option<&Trouble>) -> impl Iterator<Item = String> {
    trouble.into_iter().map(|trouble| clean(&trouble.message))
}

fn end(ended: &Ended) -> String {
    match ended {
        Ended::Exited { code } => format!("ended with exit code {code}"),
        Ended::Killed { signal } => format!("was killed by signal {signal}"),
        Ended::TimedOut { after_secs } => format!("was stopped after {after_secs} seconds"),
        Ended::Interrupted { signal } => format!("was interrupted by signal {signal}"),
        Ended::NotStarted { why } => format!("could not be started: {}", clean(why)),
    }
}

fn seen(health: HealthRecord) -> &'static str {
    match health {
        HealthRecord::Proved => "healthy, and proved to be this deploy",
        HealthRecord::NotProved => "healthy, and not proved to be this deploy",
        HealthRecord::Unhealthy => "unhealthy",
        HealthRecord::Unreachable => "no answer from the application",
        HealthRecord::NotAwaited => "its health was not awaited",
    }
}

fn claimed(claim: &ClaimEvent) -> String {
    match claim {
        ClaimEvent::Claimed { until, .. } => format!("a run has the environment for itself until {until}"),
        ClaimEvent::Released { .. } => "the run gave the environment back".to_owned(),
        ClaimEvent::Broken { .. } => "a person ended a claim that had run out".to_owned(),
        ClaimEvent::NotKnown => String::new(),
    }
}

fn rotated(fact: &Fact) -> String {
    match fact {
        Fact::Intent(terms) => format!("the authority is about to be asked for a new key, epoch {}", terms.epoch),
        Fact::OutcomeUnknown { why, .. } => format!("nobody knows whether the authority rotated: {}", clean(why)),
        Fact::Repeating { .. } => "the authority is about to be asked again".to_owned(),
        Fact::Received { source, .. } => {
            let source = match source {
                BodySource::Answer => "from the answer",
                BodySource::Listed => "from the authority's list",
                BodySource::Escrow => "from escrow",
                BodySource::Portal => "brought by a person",
            };
            format!("the new key is sealed, {source}")
        }
        Fact::Validated { .. } => "the authority accepts the new key".to_owned(),
        Fact::NewRejected { why } => format!("the new key is not usable: {}", clean(why)),
        Fact::StoreHolds { store, key } => format!("the store {} holds the {} key", clean(store), which(*key)),
        Fact::StoreFailed { store, why } => {
            format!("the store {} could not be given its key: {}", clean(store), clean(why))
        }
        Fact::Committed => "every store holds the new key".to_owned(),
        Fact::Aborted { why } => format!("the authority did not rotate: {}", not_rotated(why)),
        Fact::KeyLost { deadline, .. } => format!("the new key is lost; the old one works until {deadline}"),
        Fact::RollbackStarted => "a person wants the old key back".to_owned(),
        Fact::RolledBack => "every store holds the old key again".to_owned(),
        Fact::RolledForward => "a person wants the new key after all".to_owned(),
        Fact::Adopted { proof } => format!("the new key is in use: {}", known(*proof)),
        Fact::OverlapWaived => "a person wants the next rotation before the grace is over".to_owned(),
        Fact::Closed { adoption } => format!("the rotation is closed: {}", known(*adoption)),
        Fact::NotKnown => String::new(),
    }
}

fn which(key: Which) -> &'static str {
    match key {
        Which::Old => "old",
        Which::New => "new",
    }
}

fn not_rotated(why: &NotRotated) -> String {
    match why {
        NotRotated::NotSent => "it was not asked".to_owned(),
        NotRotated::Refused { code } => format!("it refused, {}", clean(code)),
        NotRotated::Reconciled => "it shows no rotation".to_owned(),
        NotRotated::Confirmed => "a person looked".to_owned(),
    }
}

fn known(adoption: Adoption) -> &'static str {
    match adoption {
        Adoption::Proved => "the application reported it",
        Adoption::Shipped => "a deploy shipped it",
        Adoption::Unproven => "not proved",
    }
}

fn alerted(environment: &str, alert: &AlertEvent) -> String {
    match alert {
        AlertEvent::Due { alert, sinks, .. } => format!("{}; to be told: {}", title(environment, alert), listed(sinks)),
        AlertEvent::Taken { sinks, .. } => format!("another run tells {}", listed(sinks)),
        AlertEvent::Sent { sink, .. } => format!("{} was told", clean(sink)),
        AlertEvent::Failed { sink, why, .. } => format!("{} could not be told: {}", clean(sink), clean(why)),
        AlertEvent::Resolved { sink, .. } => format!("{} was told that it is over", clean(sink)),
        AlertEvent::Closed { .. } => "it is over".to_owned(),
        AlertEvent::NotKnown => String::new(),
    }
}

fn told(webhook: &WebhookRecord) -> String {
    let told = format!("the authority told of {}", clean(webhook.notification.event.as_str()));
    let owed = (!webhook.sinks.is_empty()).then(|| format!("to be told: {}", listed(&webhook.sinks)));
    joined(told, owed.into_iter())
}

fn listed(sinks: &[String]) -> String {
    clean(&sinks.join(", "))
}

fn looked(look: &Look) -> String {
    let license = match look.verdict {
        Some(Verdict::Go) => Some("the license is good".to_owned()),
        Some(Verdict::Refused) => Some("the license is not good".to_owned()),
        Some(Verdict::Unknown) => Some("it could not be found out whether the license is good".to_owned()),
        None => None,
    };
    let refused = look.refused.iter().map(|refused| format!("refused: {}", clean(&refused.reason)));
    let health = look.health.map(|health| seen(health).to_owned());
    let parts = license.into_iter().chain(refused).chain(troubled(look.trouble.as_ref())).chain(health);
    parts.chain(differing(&look.differences)).collect::<Vec<_>>().join("; ")
}
