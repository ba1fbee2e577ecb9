//! Every mistake has a file in `cases/config`, with the report that it gets beside it.
//!
//! A case is a `license.toml`; lines that begin with `#: ` set environment variables, as in `#: CI=true`.
//! Cases whose names begin with `rotate-` show what a rotation needs of a file that is good otherwise.
//! `UPDATE=1 cargo test -p xtask cases` rewrites the reports; the difference is for review.

#![expect(clippy::disallowed_methods, reason = "a test prepares its files")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use license_core::LicenseKey;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::{
    Config, ConfigError, EnvName, Problem,
    check::{FILE_BYTES_MAX, load, problems_of_keys},
    problem::code,
};
use crate::{files, store, vars::Vars};

/// Relative, so that reports are the same on every machine: tests run in the package's directory.
const DIRECTORY: &str = "cases/config";

/// The mistakes of a file that no text can show.
const WITHOUT_CASE: [&str; 5] =
    [code::FILE_MISSING, code::FILE_IS_A_DIRECTORY, code::FILE_UNREADABLE, code::FILE_TOO_LONG, code::FILE_NOT_UTF8];

fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    cases.sort();
    cases
}

fn text(path: &Path) -> Option<String> {
    String::from_utf8(files::read_limited(path, FILE_BYTES_MAX).ok()?).ok()
}

fn variables(case: &str) -> Vars {
    case.lines().filter_map(|line| line.strip_prefix("#: ")?.split_once('=')).collect()
}

/// What is said about a case: its problems, or its warnings and what the keys show.
fn outcome(case: &Path) -> Result<Vec<Problem>, ConfigError> {
    let vars = variables(&text(case).unwrap());
    let config = load(case, &vars)?;
    let keys = keys(&config, &vars);
    let keys: Vec<(&EnvName, &LicenseKey)> = keys.iter().map(|(name, key)| (*name, key)).collect();
    let is_rotated = case.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rotate-"));
    if is_rotated {
        return Ok(config.environments.values().flat_map(|env| config.problems_of_rotation(env)).collect());
    }
    Ok(config.warnings.iter().cloned().chain(problems_of_keys(&config, &keys, &vars)).collect())
}

fn keys<'c>(config: &'c Config, vars: &Vars) -> Vec<(&'c EnvName, LicenseKey)> {
    let environments = config.environments.values();
    environments.filter_map(|env| Some((&env.name, store::read_key(&env.key, vars).ok()?))).collect()
}

fn report(case: &Path) -> String {
    match outcome(case) {
        Err(error) => render(&error),
        Ok(problems) => problems.iter().map(|problem| render(problem)).collect(),
    }
}

fn render(diagnostic: &dyn Diagnostic) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(100).with_wrap_lines(true);
    handler.render_report(&mut text, diagnostic).unwrap();
    text.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[test]
fn every_case_gets_its_report() {
    let update = Vars::of_process().text("UPDATE").is_some();
    let mut wrong = String::new();
    for case in cases() {
        let (found, beside) = (report(&case), case.with_extension("txt"));
        if update {
            files::replace(&beside, found.as_bytes()).unwrap();
        }
        let expected = text(&beside);
        if expected.as_ref() != Some(&found) {
            let expected = expected.as_deref().unwrap_or("(there is no such file)\n");
            write!(wrong, "--- {}\n{expected}+++ found\n{found}\n", beside.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}`UPDATE=1` rewrites the reports");
}

#[test]
fn every_report_has_its_case() {
    let reports = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
    for report in reports.filter(|path| path.extension().is_some_and(|end| end == "txt")) {
        assert!(report.with_extension("toml").exists(), "{}", report.display());
    }
}

#[test]
fn every_code_has_a_case() {
    let problems = cases().into_iter().flat_map(|case| outcome(&case).unwrap_or_else(|error| error.problems));
    let shown: BTreeSet<&str> = problems.map(|problem| problem.code).collect();
    let expected: BTreeSet<&str> = code::ALL.iter().copied().filter(|code| !WITHOUT_CASE.contains(code)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn every_code_and_every_field_is_in_the_reference() {
    let reference = text(Path::new("../docs/license-toml.md")).unwrap();
    for code in code::ALL {
        assert!(reference.contains(&format!("| `{code}` |")), "{code}");
    }
    let schema: serde_json::Value = serde_json::from_str(super::SCHEMA).unwrap();
    for (name, _) in schema["definitions"]["Environment"]["properties"].as_object().unwrap() {
        assert!(reference.contains(&format!("`{name}")), "{name}");
    }
}

#[test]
fn every_problem_says_what_to_do_next() {
    for case in cases() {
        for problem in outcome(&case).unwrap_or_else(|error| error.problems) {
            assert!(problem.help.as_ref().is_some_and(|help| !help.is_empty()), "{}: {problem}", case.display());
            assert!(!problem.message.ends_with('.'), "{problem}");
        }
    }
}

#[test]
fn no_report_shows_a_secret() {
    for case in cases() {
        let found = report(&case);
        assert!(!found.contains("MARKER") && !found.contains("marker"), "{}:\n{found}", case.display());
    }
}

fn only_problem(path: &Path) -> Problem {
    let error = load(path, &Vars::default()).expect_err("the file is wrong");
    let [problem] = <[Problem; 1]>::try_from(error.problems).expect("one problem");
    problem
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("license.toml");
    assert_eq!(only_problem(&file).code, code::FILE_MISSING);
    assert_eq!(only_problem(directory.path()).code, code::FILE_IS_A_DIRECTORY);
    files::replace(&file, b"version = 1\n# caf\xe9\n").unwrap();
    let not_text = only_problem(&file);
    assert_eq!(not_text.code, code::FILE_NOT_UTF8);
    assert!(not_text.message.contains("byte 17, in line 2"), "{not_text}");
    assert_eq!(only_problem(&file.join("inside")).code, code::FILE_UNREADABLE);
}

#[test]
fn a_file_of_50_megabytes_is_refused_without_being_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("license.toml");
    fs::File::create(&path).unwrap().set_len(50_000_000).unwrap();
    assert_eq!(only_problem(&path).code, code::FILE_TOO_LONG);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let good = text(Path::new("../license.toml")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("license.toml");
    files::replace(&path, format!("\u{feff}{}", good.replace('\n', "\r\n")).as_bytes()).unwrap();
    let config = load(&path, &Vars::default()).unwrap();
    assert_eq!(config.environments.len(), 3);
    let bad = "\u{feff}version = 1\r\n[environments.a]\r\ndomian = \"x\"\r\n";
    files::replace(&path, bad.as_bytes()).unwrap();
    let error = load(&path, &Vars::default()).unwrap_err();
    let unknown = error.problems.iter().find(|problem| problem.code == code::UNKNOWN_FIELD).unwrap();
    assert_eq!(unknown.line_column(), Some((3, 1)));
}

#[test]
fn a_file_with_thousands_of_mistakes_is_reported_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("license.toml");
    let many = (0..5000).fold("version = 1\n".to_owned(), |text, n| text + &format!("field{n} = 1\n"));
    files::replace(&path, many.as_bytes()).unwrap();
    let error = load(&path, &Vars::default()).unwrap_err();
    assert_eq!((error.problems.len(), error.left_out), (super::problem::PROBLEMS_MAX, 4951));
}

#[test]
fn the_file_of_this_repository_has_no_problem() {
    let config =
        load(Path::new("../license.toml"), &Vars::default()).unwrap_or_else(|error| panic!("{}", render(&error)));
    assert!(config.warnings.is_empty());
    let names: Vec<&str> = config.environments.keys().map(EnvName::as_str).collect();
    assert_eq!(names, ["development", "production", "staging"]);
    assert_eq!(config.default_environment().unwrap().name.as_str(), "development");
    assert_eq!(config.environment("prodution").unwrap_err().help.as_deref(), Some("did you mean `production`?"));
    assert!(config.root.is_absolute());
}

#[test]
fn the_example_of_the_reference_has_no_problem() {
    let reference = text(Path::new("../docs/license-toml.md")).unwrap();
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("license.toml");
    files::replace(&path, example.as_bytes()).unwrap();
    let config = load(&path, &Vars::default()).unwrap_or_else(|error| panic!("{}", render(&error)));
    assert!(config.warnings.is_empty());
}

#[test]
fn the_nearest_file_upwards_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    assert_eq!(super::find(&inner), None);
    let path = directory.path().join("license.toml");
    files::replace(&path, b"").unwrap();
    assert_eq!(super::find(&inner), Some(path));
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_is_checked_without_panic(text in "(\\[(environments|authority)\\.[a-z]{1,3}\\]\n|(key|domain|kind|url|deploy|token) ?= ?(\"[ -~]*\"|\\{ (env|dotenv) = \"[A-Z]*\" \\}|[0-9]+|\\[\\])\n|\\PC|\n){0,20}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("license.toml");
        files::replace(&path, text.as_bytes()).unwrap();
        if let Err(error) = load(&path, &Vars::default()) {
            render(&error);
        }
    }
}
