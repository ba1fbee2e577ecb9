//! What a scan came to, for people and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use license_core::leaks::{Encoding, LeakKind};
use serde_json::{Value, json};

use super::{
    Finding, Scanned, Unscanned,
    archive::Weight,
    place::{Located, Place, Thing},
    short,
};
use crate::{
    console::{Ink, Look},
    exit::Exit,
};

/// The name of the document, with its version.
const SCHEMA: &str = "license-hooks/leaks/1";
/// How many findings people are shown. More are counted; the JSON has all that are kept.
const SHOWN_MAX: usize = 50;
/// How many things that could not be scanned people are shown.
const INCOMPLETE_SHOWN_MAX: usize = 10;

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The working tree.
    Tree,
    /// A range of commits.
    Range {
        /// As it was written.
        range: String,
    },
    /// Everything that any ref leads to.
    History,
}

impl Asked {
    fn word(&self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Range { .. } => "range",
            Self::History => "history",
        }
    }
}

/// What a scan came to, with what is needed to tell it.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was scanned.
    pub(crate) asked: Asked,
    /// What came out.
    pub(crate) scanned: Scanned,
    /// Whether it was looked for all places to the end.
    pub(crate) located: Located,
    /// The environments by the names of their keys.
    pub(crate) environments: BTreeMap<String, String>,
    /// The patterns of license.toml.
    pub(crate) patterns: Vec<String>,
}

impl Report {
    /// The exit code. A leak is told first: it is what somebody has to act on.
    pub(crate) fn exit(&self) -> Exit {
        if self.scanned.leaks() > 0 {
            Exit::Leaked
        } else if self.scanned.incomplete.is_empty() {
            Exit::Done
        } else {
            Exit::Incomplete
        }
    }

    /// As many findings as are shown: those that are known for certain before those that only look like a secret.
    pub(crate) fn shown(&self, findings_max: usize) -> impl Iterator<Item = &Finding> {
        let findings = &self.scanned.findings;
        let of = |certain: bool| findings.iter().filter(move |one| one.leak.what.is_known_for_certain() == certain);
        of(true).chain(of(false)).take(findings_max)
    }

    /// What a finding is, in words.
    pub(crate) fn what(&self, finding: &Finding) -> String {
        match &finding.leak.what {
            LeakKind::Configured { name } => name.clone(),
            LeakKind::Known => "a key that the trail knows".to_owned(),
            LeakKind::Form(form) => form.to_string(),
            LeakKind::Pattern { index } => match self.patterns.get(*index) {
                Some(pattern) => format!("what the pattern `{}` matches", license_core::finding::clean(pattern)),
                None => "what a pattern matches".to_owned(),
            },
        }
    }

    /// One sentence about a finding.
    pub(crate) fn sentence(&self, finding: &Finding) -> String {
        let encoding = written(finding.leak.encoding);
        format!("{}{encoding}: {}", self.what(finding), finding.leak.shown)
    }

    /// What to do, one sentence each.
    pub(crate) fn advice(&self) -> Vec<String> {
        let findings = &self.scanned.findings;
        let mut advice = Vec::new();
        let stops = |one: &Unscanned| one.weight == Weight::Stops && one.allowed.is_none();
        if self.scanned.unscanned.iter().any(stops) {
            advice.push(
                "an archive that nobody has to look into is allowed by its `path` or its `sha256`, with a reason, at \
                 `unscanned` of `[leaks]` in license.toml"
                    .to_owned(),
            );
        }
        if findings.is_empty() {
            return advice;
        }
        advice.push(match self.asked {
            Asked::Tree => {
                "take it out of the file, or keep the file from git: add it to `.gitignore`, and `git rm --cached` it"
                    .to_owned()
            }
            Asked::Range { .. } if findings.iter().all(|finding| finding.place.thing == Thing::RefName) => {
                "push it under another name, without the key in it".to_owned()
            }
            Asked::Range { .. } => {
                "take it out of the commit that brought it (`git rebase -i`, or `git commit --amend`): a later commit \
                 that removes it does not"
                    .to_owned()
            }
            Asked::History => {
                "take it out of history, for example with `git filter-repo`, and drop stashes and notes that hold it"
                    .to_owned()
            }
        });
        let mut environments: Vec<&str> = findings
            .iter()
            .filter_map(|finding| match &finding.leak.what {
                LeakKind::Configured { name } => self.environments.get(name).map(String::as_str),
                LeakKind::Known | LeakKind::Form(_) | LeakKind::Pattern { .. } => None,
            })
            .collect();
        environments.sort_unstable();
        environments.dedup();
        match environments.as_slice() {
            [] => advice
                .push("if anybody else may have seen it, replace it: a key with `cargo xtask rotate ENV`".to_owned()),
            some => advice.extend(
                some.iter()
                    .map(|name| format!("if anybody else may have seen it, replace it: `cargo xtask rotate {name}`")),
            ),
        }
        let may_be_allowed = |finding: &Finding| match finding.leak.what {
            LeakKind::Configured { .. } | LeakKind::Known => false,
            LeakKind::Form(_) | LeakKind::Pattern { .. } => true,
        };
        if findings.iter().any(may_be_allowed) {
            advice.push(
                "what is no secret is allowed with `license:allow REASON` on its line, or by its fingerprint and a \
                 reason at `allow` of `[leaks]` in license.toml"
                    .to_owned(),
            );
        }
        advice
    }
}

fn written(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Plain => "",
        Encoding::Base64 => ", in base64",
        Encoding::Base64Url => ", in base64 for addresses",
        Encoding::Hex => ", in hex digits",
        Encoding::Percent => ", percent-encoded",
        Encoding::JsonEscape => ", with escapes",
        Encoding::HtmlEntity => ", as entities",
        Encoding::QuotedPrintable => ", quoted-printable",
        Encoding::Bytes => ", as a list of numbers",
        Encoding::Utf16Le | Encoding::Utf16Be => ", in UTF-16",
    }
}

impl Finding {
    /// The line of the file, where there is one.
    pub(crate) fn line(&self) -> Option<u64> {
        match self.place.thing {
            Thing::File | Thing::Staged | Thing::Blob => self.place.inside.is_none().then_some(self.leak.line),
            Thing::Commit | Thing::Tag => self.place.line,
            Thing::FileName | Thing::LinkTarget | Thing::Tree | Thing::RefName => None,
        }
    }

    /// The place in words, as in `src/main.rs:3 (commit 0123456789ab)`.
    pub(crate) fn place(&self) -> String {
        let Place { thing, object, path, inside, commit, part, reference, .. } = &self.place;
        let object = || object.as_ref().map_or("", short);
        let mut text = match (thing, path) {
            (Thing::File | Thing::Staged | Thing::Blob, Some(path)) => path.clone(),
            (Thing::Blob, None) => format!("blob {}", object()),
            (Thing::FileName | Thing::Tree, Some(path)) => format!("the name `{path}`"),
            (Thing::Tree, None) => format!("a name in tree {}", object()),
            (Thing::LinkTarget, Some(path)) => format!("what the link `{path}` points to"),
            (Thing::RefName, Some(path)) => format!("the ref `{path}`"),
            (Thing::Commit, _) => format!("{} of commit {}", part.as_deref().unwrap_or("text"), object()),
            (Thing::Tag, _) => format!("{} of tag {}", part.as_deref().unwrap_or("text"), object()),
            (Thing::File | Thing::FileName | Thing::LinkTarget | Thing::Staged | Thing::RefName, None) => {
                thing.as_str().to_owned()
            }
        };
        if let Some(line) = self.line() {
            let before = match thing {
                Thing::Commit | Thing::Tag => ", line ",
                Thing::File
                | Thing::FileName
                | Thing::LinkTarget
                | Thing::Staged
                | Thing::Blob
                | Thing::Tree
                | Thing::RefName => ":",
            };
            let _ = write!(text, "{before}{line}");
        }
        if let Some(inside) = inside {
            let _ = write!(text, ", in it {inside}:{}", self.leak.line);
        }
        match (thing, commit, reference) {
            (Thing::Staged, ..) => text += " (staged)",
            (Thing::Commit, ..) | (_, None, None) => {}
            (_, Some(commit), _) => drop(write!(text, " (commit {})", short(commit))),
            (_, None, Some(reference)) => drop(write!(text, " ({reference})")),
        }
        text
    }
}

/// For people: what was found, what could not be scanned, what to do.
pub(crate) fn human(report: &Report, look: &Look) -> String {
    let scanned = &report.scanned;
    let mut text = String::new();
    for finding in report.shown(SHOWN_MAX) {
        let mark = look.paint(look.glyph("✗", "x"), Ink::Bad);
        let place = look.paint(finding.place(), Ink::Strong);
        let _ = writeln!(text, "{mark} {place}");
        let _ = writeln!(text, "    {} (fingerprint {})", report.sentence(finding), finding.leak.fingerprint);
    }
    let listed = scanned.findings.len().min(SHOWN_MAX) as u64;
    if scanned.leaks() > listed {
        let _ = writeln!(text, "  and {} more", scanned.leaks() - listed);
    }
    if report.located == Located::NotEverything {
        let _ = writeln!(text, "  where some of them are was not looked for to the end");
    }
    for one in scanned.incomplete.iter().take(INCOMPLETE_SHOWN_MAX) {
        let mark = look.paint("?", Ink::Worry);
        let _ = writeln!(text, "{mark} not scanned: {}: {}", one.what, one.why);
    }
    if scanned.incomplete.len() > INCOMPLETE_SHOWN_MAX {
        let _ = writeln!(text, "  and {} more", scanned.incomplete.len() - INCOMPLETE_SHOWN_MAX);
    }
    let told = |one: &&Unscanned| one.weight == Weight::Told && one.allowed.is_none();
    for one in scanned.unscanned.iter().filter(told).take(INCOMPLETE_SHOWN_MAX) {
        let _ = writeln!(text, "- not looked into: {}: {}", one.place.words(), one.why);
    }
    text += &verdict(report, look);
    for advice in report.advice() {
        let _ = writeln!(text, "  - {advice}");
    }
    text
}

fn verdict(report: &Report, look: &Look) -> String {
    let scanned = &report.scanned;
    let leaks = match scanned.leaks() {
        0 => "no leak".to_owned(),
        1 => "1 leak".to_owned(),
        more => format!("{more} leaks"),
    };
    let (things, unit) = match report.asked {
        Asked::Tree => (scanned.objects, "files"),
        Asked::Range { .. } | Asked::History => (scanned.objects, "objects"),
    };
    let allowed = match scanned.allowed {
        0 => String::new(),
        some => format!(", {some} allowed"),
    };
    let promised = match scanned.promised {
        0 => String::new(),
        some => format!(", {some} left with the remote"),
    };
    let unseen = match scanned.unscanned.iter().filter(|one| one.allowed.is_some()).count() {
        0 => "",
        1 => ", 1 archive not looked into",
        more => &format!(", {more} archives not looked into"),
    };
    let (word, ink) = match report.exit() {
        Exit::Leaked => (leaks, Ink::Bad),
        Exit::Incomplete => (format!("incomplete: {leaks} in what was scanned"), Ink::Worry),
        Exit::Done
        | Exit::Bug
        | Exit::Usage
        | Exit::Config
        | Exit::Refused
        | Exit::Unknown
        | Exit::Credential
        | Exit::DeployFailed
        | Exit::Unhealthy
        | Exit::Attention
        | Exit::AlertUndelivered
        | Exit::Trail
        | Exit::RotationRefused
        | Exit::RotationUnknown
        | Exit::KeyLost
        | Exit::NewKeyRejected
        | Exit::Partial
        | Exit::Held
        | Exit::Store
        | Exit::Unproven
        | Exit::Interrupted
        | Exit::Terminated => (leaks, Ink::Good),
    };
    let unfinished = match (scanned.leaks(), scanned.incomplete.is_empty()) {
        (1.., false) => ", and the scan is incomplete",
        (_, _) => "",
    };
    format!("{} ({things} {unit}{allowed}{promised}{unseen}){unfinished}\n", look.paint(word, ink))
}

/// The document.
pub(crate) fn json(report: &Report) -> Value {
    let scanned = &report.scanned;
    let exit = report.exit();
    json!({
        "schema": SCHEMA,
        "scanned": report.asked.word(),
        "range": match &report.asked {
            Asked::Range { range } => Some(range),
            Asked::Tree | Asked::History => None,
        },
        "objects": scanned.objects,
        "bytes": scanned.bytes,
        "leaks": scanned.leaks(),
        "findings": scanned.findings.iter().map(|finding| one(report, finding)).collect::<Vec<_>>(),
        "allowed": scanned.allowed,
        "promised": scanned.promised,
        "incomplete": scanned.incomplete.iter().map(|one| json!({ "what": one.what, "why": one.why })).collect::<Vec<_>>(),
        "unscanned": scanned.unscanned.iter().map(left_out).collect::<Vec<_>>(),
        "notes": scanned.notes,
        "exit": { "code": exit.code(), "name": exit.name() },
    })
}

fn left_out(archive: &Unscanned) -> Value {
    let Unscanned { place, why, sha256, weight, allowed } = archive;
    json!({
        "place": place.thing.as_str(),
        "path": place.path,
        "commit": place.commit.as_ref().map(crate::git::Oid::as_str),
        "object": place.object.as_ref().map(crate::git::Oid::as_str),
        "ref": place.reference,
        "sha256": sha256,
        "why": why,
        "stops": *weight == Weight::Stops,
        "allowed": allowed,
    })
}

fn one(report: &Report, finding: &Finding) -> Value {
    let Finding { leak, place } = finding;
    let name = match &leak.what {
        LeakKind::Configured { name } => Some(name.as_str()),
        LeakKind::Pattern { index } => report.patterns.get(*index).map(String::as_str),
        LeakKind::Known | LeakKind::Form(_) => None,
    };
    json!({
        "kind": kind(&leak.what),
        "name": name,
        "encoding": leak.encoding.as_str(),
        "shown": leak.shown,
        "fingerprint": leak.fingerprint,
        "place": place.thing.as_str(),
        "path": place.path,
        "inside": place.inside,
        "line": finding.line().or_else(|| place.inside.is_some().then_some(leak.line)),
        "offset": leak.offset,
        "commit": place.commit.as_ref().map(crate::git::Oid::as_str),
        "object": place.object.as_ref().map(crate::git::Oid::as_str),
        "part": place.part,
        "ref": place.reference,
    })
}

/// The word for a kind of leak in output that programs read.
pub(super) fn kind(what: &LeakKind) -> &'static str {
    match what {
        LeakKind::Configured { .. } => "configured",
        LeakKind::Known => "known",
        LeakKind::Form(form) => form.as_str(),
        LeakKind::Pattern { .. } => "pattern",
    }
}
