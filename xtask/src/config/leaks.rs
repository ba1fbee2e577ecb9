//! The rules of `[leaks]`: what else the scan for leaked keys looks for, and what it leaves alone.

use license_core::{
    Fingerprint,
    finding::clean,
    leaks::{Pattern, PatternError},
};

use super::{
    LeaksSettings,
    checking::{Checking, Owner},
    fields::At,
    problem::{Problem, code},
    raw::{RawAllowedLeak, RawConfig},
};

/// Checks the table. One that is not there looks for nothing else and allows nothing.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> LeaksSettings {
    let Some(raw) = config.leaks.given().map(|at| &at.value) else { return LeaksSettings::default() };
    let patterns = raw.patterns.given().map_or_else(Vec::new, |at| patterns(checking, &at.value));
    let allow = raw.allow.given().map_or_else(Vec::new, |at| allow(checking, at));
    LeaksSettings { patterns, allow }
}

fn patterns(checking: &mut Checking<'_>, texts: &[At<String>]) -> Vec<Pattern> {
    let kept = checking.distinct("patterns", texts);
    let mut patterns = Vec::new();
    for text in texts.iter().filter(|text| kept.contains(&text.value.as_str())) {
        match Pattern::parse(&text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => {
                let problem = Problem::new(code::PATTERN, format!("this pattern cannot be used: {}", words(&why)))
                    .help("write a regular expression that matches a whole key, as in `ACME-[A-Z0-9]{16}`")
                    .at(text.place, "not used");
                checking.report(problem);
            }
        }
    }
    patterns
}

/// Why it is none, in one line and without the pattern, in which somebody may have pasted a key.
fn words(why: &PatternError) -> String {
    match why {
        PatternError::Malformed { why } => {
            let last = why.lines().last().unwrap_or_default();
            clean(last.strip_prefix("error: ").unwrap_or(last))
        }
        PatternError::Empty
        | PatternError::TooLong { .. }
        | PatternError::TooLarge
        | PatternError::MatchesEmpty
        | PatternError::MatchesNothing => why.to_string(),
    }
}

fn allow(checking: &mut Checking<'_>, list: &At<Vec<RawAllowedLeak>>) -> Vec<(Fingerprint, String)> {
    let owner = Owner { what: "an entry of `allow`".to_owned(), place: list.place };
    let mut allowed: Vec<(Fingerprint, String)> = Vec::new();
    for entry in &list.value {
        let text = checking.required(&owner, "fingerprint", &entry.fingerprint, "the 16 hex digits of the finding");
        let reason = checking.required(&owner, "reason", &entry.reason, "`reason = \"…\"`: why it may be there");
        let reason = reason.and_then(|text| checking.not_empty("`reason`", text));
        let Some(text) = text else { continue };
        let Ok(fingerprint) = text.value.parse::<Fingerprint>() else {
            let problem = Problem::new(code::FINGERPRINT, "this is not a key's fingerprint")
                .help("write its 16 hex digits, as the tool prints them; a key never stands here")
                .at(text.place, "16 hex digits");
            checking.report(problem);
            continue;
        };
        if allowed.iter().any(|(known, _)| *known == fingerprint) {
            let problem = Problem::new(code::DUPLICATE_VALUE, "`allow` lists one fingerprint twice")
                .help("leave one of them out")
                .at(text.place, "again here");
            checking.report(problem);
            continue;
        }
        if let Some(reason) = reason {
            allowed.push((fingerprint, reason.to_owned()));
        }
    }
    allowed
}
