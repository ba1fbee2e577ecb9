//! The rules of `[leaks]`: what else the scan for leaked keys looks for, and what it leaves alone.

use license_core::{
    Fingerprint,
    finding::clean,
    leaks::{Pattern, PatternError},
};

use miette::SourceSpan;

use super::{
    LeaksSettings,
    checking::{Checking, Owner},
    fields::{At, Field},
    problem::{Problem, code},
    raw::{RawAllowedLeak, RawConfig, RawUnscanned},
};
use crate::{
    glob::Glob,
    scan::allowed::{Allowance, SHOWN_DIGITS, Which},
};

/// Checks the table. One that is not there looks for nothing else and allows nothing.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> LeaksSettings {
    let Some(raw) = config.leaks.given().map(|at| &at.value) else { return LeaksSettings::default() };
    let patterns = raw.patterns.given().map_or_else(Vec::new, |at| patterns(checking, &at.value));
    let allow = raw.allow.given().map_or_else(Vec::new, |at| allow(checking, at));
    let unscanned = raw.unscanned.given().map_or_else(Vec::new, |at| unscanned(checking, at));
    LeaksSettings { patterns, allow, unscanned }
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

fn unscanned(checking: &mut Checking<'_>, list: &At<Vec<RawUnscanned>>) -> Vec<Allowance> {
    let owner = Owner { what: "an entry of `unscanned`".to_owned(), place: list.place };
    let mut allowances: Vec<Allowance> = Vec::new();
    for entry in &list.value {
        let reason =
            checking.required(&owner, "reason", &entry.reason, "`reason = \"…\"`: why nobody has to look into it");
        let reason = reason.and_then(|text| checking.not_empty("`reason`", text));
        let Some((which, place)) = which(checking, &owner, entry) else { continue };
        if allowances.iter().any(|known| known.which == which) {
            let problem = Problem::new(code::DUPLICATE_VALUE, "`unscanned` lists one archive twice")
                .help("leave one of them out")
                .at(place, "again here");
            checking.report(problem);
        } else if let Some(reason) = reason {
            allowances.push(Allowance { which, reason: reason.to_owned() });
        }
    }
    allowances
}

/// What an entry names: exactly one thing.
fn which(checking: &mut Checking<'_>, owner: &Owner, entry: &RawUnscanned) -> Option<(Which, SourceSpan)> {
    match (entry.path.given(), entry.sha256.given()) {
        (Some(path), None) => {
            let text = checking.not_empty("`path`", path)?;
            if let Some(why) = no_path(text) {
                let problem = Problem::new(code::ARCHIVE, format!("this is no path in a repository: {why}"))
                    .help("write it from the top of the repository, as in `tests/fixtures/*.7z`, with `*` for any text up to a slash and `**` for any text")
                    .at(path.place, "not a path");
                checking.report(problem);
                return None;
            }
            Some((Which::Path(Glob::parse(text)), path.place))
        }
        (None, Some(sum)) => {
            let digits = sum.value.to_ascii_lowercase();
            let good =
                (SHOWN_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !good {
                let problem = Problem::new(code::ARCHIVE, "this is not the SHA-256 of an archive")
                    .help("write the digits that `cargo xtask leaks` shows, or what `sha256sum FILE` prints: 16 to 64 hex digits")
                    .at(sum.place, "16 to 64 hex digits");
                checking.report(problem);
                return None;
            }
            Some((Which::Sha256(digits), sum.place))
        }
        (None, None) if matches!(entry.path, Field::Wrong) || matches!(entry.sha256, Field::Wrong) => None,
        (None, None) => {
            let problem = Problem::new(code::MISSING_FIELD, "an entry of `unscanned` names no archive")
                .help("add `path = \"tests/fixtures/*.7z\"` or `sha256 = \"…\"`")
                .at(owner.place, "`path` or `sha256` is missing");
            checking.report(problem);
            None
        }
        (Some(_), Some(sum)) => {
            let problem =
                Problem::new(code::ARCHIVE, "an entry of `unscanned` names an archive by its path and by its bytes")
                    .help("leave one of them out, or write two entries")
                    .at(sum.place, "beside `path`");
            checking.report(problem);
            None
        }
    }
}

/// Why a glob is for no path, so that it would silently allow nothing.
fn no_path(text: &str) -> Option<&'static str> {
    const PATH_BYTES_MAX: usize = 4096;
    let is_no_name = |part: &str| matches!(part, "" | "." | "..");
    if text.len() > PATH_BYTES_MAX {
        Some("it is too long")
    } else if text.starts_with('/') {
        Some("it begins with a slash")
    } else if text.ends_with('/') {
        Some("it ends with a slash, and `**` stands for what is below")
    } else if text.split('/').any(is_no_name) {
        Some("it has a part that no path has")
    } else if text.chars().any(|sign| "?[]{}\\".contains(sign)) {
        Some("only `*` and `**` mean something in it")
    } else {
        None
    }
}
