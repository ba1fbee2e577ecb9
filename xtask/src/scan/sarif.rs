//! What a scan came to as SARIF 2.1.0, for code scanning services.
//!
//! Plain structs: the crate for SARIF brings more crates than this has lines.

use license_core::leaks::{Form, LeakKind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Finding, Incomplete, Unscanned,
    archive::Weight,
    place::{Place, Thing},
    told::{Report, kind},
};
use crate::exit::Exit;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    results: Vec<Result>,
    column_kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Level,
}

#[derive(Debug, Serialize)]
struct Level {
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct Text {
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    exit_code: u8,
    exit_code_description: &'static str,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Debug, Serialize)]
struct Notification {
    level: &'static str,
    message: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location>,
}

impl Notification {
    fn new(level: &'static str, message: String) -> Self {
        Self { level, message: text(message), locations: Vec::new() }
    }

    /// That an archive was not looked into, where that makes nothing incomplete.
    fn left_out(archive: &Unscanned) -> Self {
        let Unscanned { place, why, sha256, weight, allowed } = archive;
        let words = place.words();
        let (level, message) = match (weight, allowed) {
            (_, Some(reason)) => ("note", format!("not looked into, and allowed ({reason}): {words}: {why}")),
            (Weight::Told, None) => ("note", format!("not looked into: {words}: {why}")),
            (Weight::Stops, None) => ("error", format!("not scanned: {words}: {why} (sha256 {sha256})")),
        };
        Self { locations: vec![location(place, None, words)], ..Self::new(level, message) }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Result {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: Vec<Location>,
    partial_fingerprints: Fingerprints,
    properties: Properties,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
    logical_locations: Vec<Logical>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    uri: String,
    uri_base_id: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
}

#[derive(Debug, Serialize)]
struct Fingerprints {
    #[serde(rename = "licenseLeak/v1")]
    leak: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    key_fingerprint: String,
    encoding: &'static str,
    place: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
}

/// The rules, in the order of their indexes.
const RULES: [(&str, &str); 8] = [
    ("configured", "A secret that is configured here"),
    ("known", "A key that the trail knows"),
    ("to_key", "A text with the form of a `TO-…` license key"),
    ("lk_key", "A text with the form of an `LK-…` license key"),
    ("lic_key", "A text with the form of a `LIC-…` license key"),
    ("api_token", "A text with the form of an API token"),
    ("license_token", "An offline license token"),
    ("pattern", "A text that a pattern of license.toml matches"),
];

/// The place of a kind of leak among the rules.
fn rule(what: &LeakKind) -> usize {
    match what {
        LeakKind::Configured { .. } => 0,
        LeakKind::Known => 1,
        LeakKind::Form(form) => match form {
            Form::ToKey => 2,
            Form::LkKey => 3,
            Form::LicKey => 4,
            Form::ApiToken => 5,
            Form::LicenseToken => 6,
        },
        LeakKind::Pattern { .. } => 7,
    }
}

/// The document. What could not be scanned is told as a notification, with an execution that was not successful.
pub(crate) fn log(report: &Report) -> impl Serialize + use<> {
    let exit = report.exit();
    let incomplete = &report.scanned.incomplete;
    // An archive is told with its place.
    let archives = &report.scanned.unscanned;
    let is_archive = |one: &&Incomplete| archives.iter().any(|archive| archive.place.words() == one.what);
    let missed = incomplete
        .iter()
        .filter(|one| !is_archive(one))
        .map(|one| Notification::new("error", format!("not scanned: {}: {}", one.what, one.why)));
    let archives = archives.iter().map(Notification::left_out);
    let notes = report.scanned.notes.iter().map(|note| Notification::new("note", note.clone()));
    let more = (report.scanned.more > 0)
        .then(|| Notification::new("warning", format!("{} more leaks are not listed", report.scanned.more)));
    Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver: driver() },
            invocations: [Invocation {
                execution_successful: incomplete.is_empty(),
                exit_code: exit.code(),
                exit_code_description: exit.name(),
                tool_execution_notifications: missed.chain(archives).chain(notes).chain(more).collect(),
            }],
            results: report.scanned.findings.iter().map(|finding| result(report, finding)).collect(),
            column_kind: "unicodeCodePoints",
        }],
    }
}

/// The document of a scan that could not begin.
pub(crate) fn failed(failure: &str, exit: Exit) -> impl Serialize + use<> {
    Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver: driver() },
            invocations: [Invocation {
                execution_successful: false,
                exit_code: exit.code(),
                exit_code_description: exit.name(),
                tool_execution_notifications: vec![Notification::new("error", failure.to_owned())],
            }],
            results: Vec::new(),
            column_kind: "unicodeCodePoints",
        }],
    }
}

fn driver() -> Driver {
    let rules = RULES.map(|(id, description)| Rule {
        id,
        short_description: text(description.to_owned()),
        full_description: text(format!("{description}. Whoever can read the repository has it.")),
        help: text(
            "Take it out of the files and commits that hold it, replace it if anybody may have seen it, and allow it \
             with a reason if it is no secret."
                .to_owned(),
        ),
        default_configuration: Level { level: "error" },
    });
    Driver { name: "license-hooks", version: env!("CARGO_PKG_VERSION"), rules: rules.into() }
}

fn result(report: &Report, finding: &Finding) -> Result {
    let Finding { leak, place } = finding;
    let rule_index = rule(&leak.what);
    Result {
        rule_id: RULES.get(rule_index).map_or(kind(&leak.what), |(id, _)| id),
        rule_index,
        level: "error",
        message: text(format!("{} ({})", report.sentence(finding), finding.place())),
        locations: vec![location(place, finding.line(), finding.place())],
        partial_fingerprints: Fingerprints { leak: same(finding) },
        properties: Properties {
            key_fingerprint: leak.fingerprint.to_string(),
            encoding: leak.encoding.as_str(),
            place: place.thing.as_str(),
            commit: place.commit.as_ref().map(ToString::to_string),
            object: place.object.as_ref().map(ToString::to_string),
        },
    }
}

/// A place as a file and a line, and in words: services refuse a whole document because of one result without them. What
/// is in no file is shown where git keeps it.
fn location(place: &Place, line: Option<u64>, words: String) -> Location {
    let path = match place.thing {
        Thing::File | Thing::Staged | Thing::Blob | Thing::LinkTarget | Thing::FileName | Thing::Tree => {
            place.path.clone()
        }
        Thing::RefName => place.path.as_ref().map(|name| format!(".git/{name}")),
        Thing::Commit | Thing::Tag => None,
    };
    let object = || {
        let (directory, file) = place.object.as_ref()?.as_str().split_at_checked(2)?;
        Some(format!(".git/objects/{directory}/{file}"))
    };
    let path = path.or_else(object).unwrap_or_else(|| ".git".to_owned());
    Location {
        physical_location: Physical {
            artifact_location: Artifact { uri: uri(&path), uri_base_id: "%SRCROOT%" },
            region: Region { start_line: line.unwrap_or(1) },
        },
        logical_locations: vec![Logical { fully_qualified_name: words }],
    }
}

/// What stays when lines are added above: the secret, how it is written, and the file.
fn same(finding: &Finding) -> String {
    let Finding { leak, place } = finding;
    let parts = [
        leak.fingerprint.to_string(),
        kind(&leak.what).to_owned(),
        leak.encoding.as_str().to_owned(),
        place.path.clone().unwrap_or_else(|| place.object.as_ref().map(ToString::to_string).unwrap_or_default()),
        place.inside.clone().unwrap_or_default(),
    ];
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    path.bytes().fold(String::new(), |mut uri, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.extend(["%", &format!("{other:02X}")]),
        }
        uri
    })
}

fn text(text: String) -> Text {
    Text { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_rule_of_its_own_name() {
        for form in Form::ALL {
            let what = LeakKind::Form(form);
            assert_eq!(RULES[rule(&what)].0, kind(&what));
        }
        for what in [LeakKind::Known, LeakKind::Pattern { index: 0 }, LeakKind::Configured { name: String::new() }] {
            assert_eq!(RULES[rule(&what)].0, kind(&what));
        }
    }

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("a b/ü#1.rs"), "a%20b/%C3%BC%231.rs");
    }
}
