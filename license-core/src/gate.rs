//! The gate: may this key be used for this deploy?
//!
//! One short function per rule. All rules are judged, and all findings are reported together.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    code::{Ended, Topic, is_a_yes},
    demand::Demand,
    domain::{Domain, DomainPattern},
    finding::{Check, Finding, Outcome, Reason, clean},
    key::LicenseKey,
    license::{ActivationLimit, Answer, Deprecated, LeftOut, License, Status},
};

/// The time of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The local clock.
    pub at: Timestamp,
    /// How far the authority's clock is ahead of the local one, where it told its time.
    pub authority_ahead: Option<SignedDuration>,
}

/// Differences between the clocks up to this many seconds are tolerated; beyond it, checks that depend on time are unknown.
pub const CLOCK_SKEW_MAX_SECS: i64 = 5 * 60;

/// A license that expires within this many days is worth a warning.
pub const EXPIRES_SOON_DAYS: i64 = 30;

/// Judges every rule. The result has one finding per [`Check`], in the order of [`Check::ALL`].
///
/// `first_seen` is when the key was first seen here: its age where the authority states no date of issue.
pub fn judge(
    demand: &Demand,
    key: &LicenseKey,
    license: &License,
    first_seen: Option<Timestamp>,
    now: Now,
) -> Vec<Finding> {
    vec![
        validity(demand, license, now),
        domain(demand, license),
        features(demand, license),
        activations(demand, license),
        judge_class(demand, key),
        expiry_horizon(demand, license, now),
        key_age(demand, license, first_seen, now),
    ]
}

/// Judges what was kept of an earlier answer, by the clock that says this: every rule but those that need the key, or when
/// it was first seen.
pub fn judge_kept(demand: &Demand, license: &License, at: Timestamp) -> Vec<Finding> {
    let now = Now { at, authority_ahead: None };
    vec![
        validity(demand, license, now),
        domain(demand, license),
        features(demand, license),
        activations(demand, license),
        expiry_horizon(demand, license, now),
    ]
}

/// Judges the key's class alone: the one rule that needs no authority, so that a key of another class is never sent anywhere.
pub fn judge_class(demand: &Demand, key: &LicenseKey) -> Finding {
    let rule = Rule(Check::KeyClass);
    let Some(demanded) = demand.key_class else {
        return rule.not_demanded("no key class is demanded");
    };
    match key.class() {
        Some(class) if class == demanded => rule.met(format!("the key is of class `{class}`")),
        Some(class) => rule.fails(
            Reason::OtherClass,
            format!("the key is of class `{class}`, and `{demanded}` is demanded: use the key of this environment"),
        ),
        None => rule.warns(
            Reason::NoClass,
            format!("the key's prefix names no class, so nothing tells whether the key is of class `{demanded}`"),
        ),
    }
}

/// The findings when no authority was asked: the class is judged, every other check is unknown.
pub fn unasked(class: Finding, why: &str) -> Vec<Finding> {
    let why = clean(why);
    let mut findings: Vec<Finding> =
        Check::ALL.into_iter().map(|check| Rule(check).unknown(Reason::NotStated, why.as_str())).collect();
    if let Some(place) = findings.iter_mut().find(|finding| finding.check == class.check) {
        *place = class;
    }
    findings
}

/// What an environment does about a check whose fact is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// No deploy.
    Block,
    /// A warning.
    Warn,
}

/// What the findings come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Deploy.
    Go,
    /// The rules say no.
    Refused,
    /// It could not be found out.
    Unknown,
}

/// Sums up the findings: one failed check refuses; else one unknown check leaves it unknown, unless the policy only warns.
///
/// The policy is about facts that are missing from an answer. Without any answer about the key's validity the
/// verdict is never "go": an outage does not deploy by itself.
pub fn verdict(findings: &[Finding], policy: UnknownPolicy) -> Verdict {
    let any = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
    let answered =
        findings.iter().any(|finding| finding.check == Check::Validity && finding.reason != Reason::NotStated);
    if any(Outcome::Fail) {
        return Verdict::Refused;
    }
    if !answered {
        return Verdict::Unknown;
    }
    match policy {
        UnknownPolicy::Block if any(Outcome::Unknown) => Verdict::Unknown,
        UnknownPolicy::Block | UnknownPolicy::Warn => Verdict::Go,
    }
}

impl Check {
    /// Whether the check compares the authority's times with the local clock.
    pub fn depends_on_time(self) -> bool {
        match self {
            Self::Validity | Self::ExpiryHorizon | Self::KeyAge => true,
            Self::Domain | Self::Features | Self::Activations | Self::KeyClass => false,
        }
    }
}

fn validity(demand: &Demand, license: &License, now: Now) -> Finding {
    match &license.answer {
        Answer::Refused { code, message } => refused(demand, license, code.as_deref(), message.as_deref()),
        Answer::Accepted { code } => accepted(license, code.as_deref(), now),
    }
}

fn refused(demand: &Demand, license: &License, code: Option<&str>, message: Option<&str>) -> Finding {
    let by_code = match code.and_then(Topic::of) {
        Some(Topic::Key(ended)) => Some(ended),
        Some(Topic::Domain | Topic::Feature | Topic::Activations) | None => None,
    };
    let (reason, what) = match by_code.or_else(|| ended_by_status(license)) {
        Some(ended) => (ended.reason(), format!("the authority says that {}", ended.in_words())),
        None => (Reason::Refused, format!("the authority refuses the key for `{}`", demand.domain)),
    };
    Rule(Check::Validity).fails(reason, format!("{what}{}", quoted(code, message)))
}

fn accepted(license: &License, code: Option<&str>, now: Now) -> Finding {
    let rule = Rule(Check::Validity);
    if let Some(ended) = ended_by_status(license) {
        return rule.fails(ended.reason(), format!("the authority accepts the key and says that {}", ended.in_words()));
    }
    if let Some(skew) = now.skew() {
        return rule.clocks_differ(skew);
    }
    if let Some(start) = license.not_before.filter(|start| now.at < *start) {
        return rule.fails(Reason::NotYetValid, format!("the license is not valid before {start}"));
    }
    if let Some(end) = license.expires_at.filter(|end| now.at >= *end) {
        return rule.fails(Reason::Expired, format!("the license expired at {end}"));
    }
    let worries: Vec<(Reason, String)> =
        [grace_worry(license, now), status_worry(license), code_worry(code)].into_iter().flatten().collect();
    match worries.first() {
        None => rule.met("the authority accepts the key"),
        Some((reason, _)) => {
            let words: Vec<&str> = worries.iter().map(|(_, words)| words.as_str()).collect();
            rule.warns(*reason, format!("the authority accepts the key, but {}", words.join(", and ")))
        }
    }
}

fn grace_worry(license: &License, now: Now) -> Option<(Reason, String)> {
    let Some(end) = license.grace_ends_at else {
        let since = match license.deprecated? {
            Deprecated::Since(at) => format!(" as of {at}"),
            Deprecated::Undated => String::new(),
        };
        let words = format!(
            "it marks the answer as deprecated{since}, as for a key that was rotated away, and does not say until when it works: \
             see whether there is a new one"
        );
        return Some((Reason::InGrace, words));
    };
    let words = if now.at < end {
        format!("it was rotated away and works only until {end}: use the new one")
    } else {
        format!("it was rotated away and its grace ended at {end}: use the new one")
    };
    Some((Reason::InGrace, words))
}

fn status_worry(license: &License) -> Option<(Reason, String)> {
    match license.status_read_again()? {
        Status::Other(word) => Some((
            Reason::StatusNotKnown,
            format!("the license's status is `{}`, which is not known here", clean(&word)),
        )),
        Status::Active | Status::Suspended | Status::Revoked | Status::Expired => None,
    }
}

fn code_worry(code: Option<&str>) -> Option<(Reason, String)> {
    let code = code.filter(|code| !is_a_yes(code))?;
    Some((Reason::AcceptedWithCode, format!("it adds the code `{}`", clean(code))))
}

fn domain(demand: &Demand, license: &License) -> Finding {
    let rule = Rule(Check::Domain);
    let demanded = &demand.domain;
    if let Some(said) = refused_because_of(license, Topic::Domain) {
        return rule.fails(
            Reason::NotCovered,
            format!("the authority says that the license does not cover `{demanded}`{said}"),
        );
    }
    // An empty list states no domain; it does not take back an answer that was about this one.
    let stated = license.domains.as_deref().filter(|stated| !stated.is_empty());
    if let Some(pattern) = stated.and_then(|stated| covering(demanded, stated)) {
        return rule.met(format!("`{demanded}` is covered by `{}`", clean(pattern)));
    }
    match (&license.domains_left_out, stated) {
        // It may cover the domain or not: an answer about this domain does not tell.
        (Some(LeftOut::Unreadable(words)), _) => {
            return rule.unknown(
                Reason::NotReadable,
                format!("the authority states domains that cannot be read: `{}`", clean(words)),
            );
        }
        (_, Some(stated)) => {
            return rule.fails(
                Reason::NotCovered,
                format!("`{demanded}` is not covered: the license states {}", list(stated.iter().map(String::as_str))),
            );
        }
        (Some(LeftOut::SwitchedOff), None) => {
            return rule.fails(
                Reason::NotCovered,
                format!("`{demanded}` is not covered: every domain that the license states is switched off"),
            );
        }
        (None, None) => {}
    }
    match &license.answer {
        Answer::Accepted { code } => match code.as_deref().filter(|code| Topic::of(code) == Some(Topic::Domain)) {
            None => rule.met(format!("the authority accepted the key for `{demanded}`")),
            Some(code) => rule.unknown(
                Reason::AcceptedWithCode,
                format!("the authority accepted the key for `{demanded}` and says `{}`", clean(code)),
            ),
        },
        Answer::Refused { .. } => {
            rule.unknown(Reason::NotStated, "the authority does not state the domains of the license")
        }
    }
}

/// What covers the domain. What cannot be parsed covers nothing.
fn covering<'a>(demanded: &Domain, stated: &'a [String]) -> Option<&'a String> {
    stated.iter().find(|text| DomainPattern::parse(text).is_ok_and(|pattern| pattern.covers(demanded)))
}

fn features(demand: &Demand, license: &License) -> Finding {
    let rule = Rule(Check::Features);
    if let Some(said) = refused_because_of(license, Topic::Feature) {
        return rule
            .fails(Reason::FeatureMissing, format!("the authority says that a feature is not in the license{said}"));
    }
    if demand.features.is_empty() {
        return rule.not_demanded("no feature is demanded");
    }
    let Some(included) = &license.features else {
        return rule.unknown(Reason::NotStated, "the authority does not state the features of the license");
    };
    let mut missing = demand.features.difference(included).map(String::as_str).peekable();
    if missing.peek().is_none() {
        return rule.met(format!("the license includes {}", list(demand.features.iter().map(String::as_str))));
    }
    rule.fails(Reason::FeatureMissing, format!("the license does not include {}", list(missing)))
}

fn activations(demand: &Demand, license: &License) -> Finding {
    let rule = Rule(Check::Activations);
    if let Some(said) = refused_because_of(license, Topic::Activations) {
        return rule.fails(Reason::LimitExceeded, format!("the authority says that the activations are used up{said}"));
    }
    let Some(added) = demand.activations else {
        return rule.not_demanded("no activation is demanded");
    };
    let limit = match license.activation_limit {
        None => {
            return rule.unknown(Reason::NotStated, "the authority does not state how many activations are allowed");
        }
        Some(ActivationLimit::Unlimited) => return rule.met("the license allows any number of activations"),
        Some(ActivationLimit::AtMost(limit)) => limit,
    };
    let Some(used) = license.activations_used else {
        return rule.unknown(Reason::NotStated, "the authority does not state how many activations are in use");
    };
    let in_use = format!("{used} of {limit} activations are in use and this deploy adds {added}");
    match used.checked_add(added).and_then(|total| limit.checked_sub(total)) {
        Some(remaining) => rule.met(format!("{in_use}: {remaining} would remain")),
        None => rule.fails(
            Reason::LimitExceeded,
            format!("{in_use}: {} left; free some, or raise the limit", limit.saturating_sub(used)),
        ),
    }
}

fn expiry_horizon(demand: &Demand, license: &License, now: Now) -> Finding {
    let rule = Rule(Check::ExpiryHorizon);
    let found = readable_horizon(rule, demand, license, now);
    match &license.unreadable_end {
        // Not the same as no end, for it may be over; and it takes no other no away.
        Some(words) if found.outcome != Outcome::Fail => rule.unknown(
            Reason::NotReadable,
            format!("the authority states an end that cannot be read: `{}`", clean(words)),
        ),
        Some(_) | None => found,
    }
}

fn readable_horizon(rule: Rule, demand: &Demand, license: &License, now: Now) -> Finding {
    if is_called_expired(license) {
        return rule.fails(Reason::Expired, "the authority says that the license has expired");
    }
    let is_judged = license.expires_at.is_some() || demand.min_days_left > 0;
    if let Some(skew) = now.skew().filter(|_| is_judged) {
        return rule.clocks_differ(skew);
    }
    let Some(end) = license.expires_at else {
        return match demand.min_days_left {
            0 => rule.not_demanded("the authority states no expiry, and none is demanded"),
            days => rule.unknown(
                Reason::NotStated,
                format!("the authority states no expiry, and the deploy demands at least {}", in_days(days.into())),
            ),
        };
    };
    if now.at >= end {
        return rule.fails(Reason::Expired, format!("the license expired at {end}"));
    }
    let left = end.duration_since(now.at);
    let left_in_words = format!("the license expires at {end}, {} from now", in_days(whole_days(left)));
    if left < days(demand.min_days_left) {
        let demanded = in_days(demand.min_days_left.into());
        return rule
            .fails(Reason::ExpiresWithin, format!("{left_in_words}, and the deploy demands at least {demanded}"));
    }
    if left < EXPIRES_SOON {
        return rule.warns(Reason::ExpiresSoon, left_in_words);
    }
    rule.met(left_in_words)
}

fn key_age(demand: &Demand, license: &License, first_seen: Option<Timestamp>, now: Now) -> Finding {
    let rule = Rule(Check::KeyAge);
    let Some(max_days) = demand.key_age_max_days else {
        return rule.not_demanded("no age of the key is demanded");
    };
    if let Some(skew) = now.skew() {
        return rule.clocks_differ(skew);
    }
    let (since, words) = match (license.issued_at, first_seen) {
        (Some(issued_at), _) => (issued_at, "issued"),
        (None, Some(first_seen)) => (first_seen, "first seen here"),
        // The age only ever warns, also when it is missing.
        (None, None) => return rule.warns(Reason::NotStated, "nothing tells when the key was issued"),
    };
    let age = now.at.duration_since(since).max(SignedDuration::ZERO);
    let age_in_words = format!("the key was {words} {} ago", in_days(whole_days(age)));
    if age > days(max_days) {
        let allowed = in_days(max_days.into());
        return rule.warns(Reason::TooOld, format!("{age_in_words}, and is to be rotated after {allowed}"));
    }
    rule.met(age_in_words)
}

/// The check that a rule makes findings for.
#[derive(Clone, Copy)]
struct Rule(Check);

impl Rule {
    fn met(self, message: impl Into<String>) -> Finding {
        Finding::new(self.0, Outcome::Pass, Reason::Met, message)
    }

    fn not_demanded(self, message: &str) -> Finding {
        Finding::new(self.0, Outcome::Pass, Reason::NotDemanded, message)
    }

    fn warns(self, reason: Reason, message: impl Into<String>) -> Finding {
        Finding::new(self.0, Outcome::Warn, reason, message)
    }

    fn fails(self, reason: Reason, message: impl Into<String>) -> Finding {
        Finding::new(self.0, Outcome::Fail, reason, message)
    }

    fn unknown(self, reason: Reason, message: impl Into<String>) -> Finding {
        Finding::new(self.0, Outcome::Unknown, reason, message)
    }

    fn clocks_differ(self, skew: Duration) -> Finding {
        let secs = skew.as_secs();
        self.unknown(
            Reason::ClockSkew,
            format!("the local clock and the authority's are {secs} seconds apart, so times cannot be compared: set the clock"),
        )
    }
}

impl Now {
    /// How far the clocks are apart, when that is more than is tolerated.
    fn skew(self) -> Option<Duration> {
        self.authority_ahead.filter(|ahead| clocks_disagree(*ahead)).map(SignedDuration::unsigned_abs)
    }
}

/// Whether two clocks that are so far apart disagree: which one is right, nobody knows.
pub fn clocks_disagree(ahead: SignedDuration) -> bool {
    ahead.unsigned_abs() > CLOCK_SKEW_MAX
}

const CLOCK_SKEW_MAX: Duration = Duration::from_secs(CLOCK_SKEW_MAX_SECS.unsigned_abs());

const HOURS_PER_DAY: i64 = 24;
const SECS_PER_DAY: i64 = HOURS_PER_DAY * 60 * 60;

const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(HOURS_PER_DAY * EXPIRES_SOON_DAYS);

/// Days of 24 hours.
fn days(count: u32) -> SignedDuration {
    SignedDuration::from_hours(HOURS_PER_DAY * i64::from(count))
}

fn whole_days(duration: SignedDuration) -> i64 {
    duration.as_secs() / SECS_PER_DAY
}

fn in_days(count: i64) -> String {
    match count {
        0 => "less than a day".to_string(),
        1 => "1 day".to_string(),
        count => format!("{count} days"),
    }
}

/// What the authority says about a refusal, when its code names this topic.
fn refused_because_of(license: &License, topic: Topic) -> Option<String> {
    match &license.answer {
        Answer::Refused { code: Some(code), message } if Topic::of(code) == Some(topic) => {
            Some(quoted(Some(code), message.as_deref()))
        }
        Answer::Refused { .. } | Answer::Accepted { .. } => None,
    }
}

/// Whether the authority itself calls the license expired, whatever the clock says.
fn is_called_expired(license: &License) -> bool {
    refused_because_of(license, Topic::Key(Ended::Expired)).is_some()
        || ended_by_status(license) == Some(Ended::Expired)
}

fn ended_by_status(license: &License) -> Option<Ended> {
    Ended::by_status(&license.status_read_again()?)
}

impl License {
    /// The status, where a word that was kept verbatim may still be a known one in another case.
    fn status_read_again(&self) -> Option<Status> {
        match self.status.as_ref()? {
            Status::Other(word) => Some(Status::from_word(word)),
            known @ (Status::Active | Status::Suspended | Status::Revoked | Status::Expired) => Some(known.clone()),
        }
    }
}

/// The authority's own code and words, as they end a sentence.
fn quoted(code: Option<&str>, message: Option<&str>) -> String {
    let code = code.map(|code| format!(" (`{}`)", clean(code))).unwrap_or_default();
    let message = message.map(|message| format!(": \"{}\"", clean(message))).unwrap_or_default();
    code + &message
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    clean(&words.join(", "))
}

#[cfg(test)]
mod tests;
