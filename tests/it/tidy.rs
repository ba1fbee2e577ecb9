//! Rules of the repository that no compiler keeps: what is documented exists, and what exists is documented.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use license_tests::App;
use serde_json::{Value, json};

use crate::{KEY, asking, embedded, good, project, saying};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below these directories with one of these extensions, by its path in the repository.
fn files(directories: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let mut left: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|name| extensions.iter().any(|extension| name == *extension)) {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    let files = files(&["license-core", "xtask", "tests"], &["rs"]);
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

/// The texts in double quotes between two places of a file.
fn quoted_between(text: &str, from: &str, to: &str) -> BTreeSet<String> {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("`{from}` is gone"));
    let (part, _) = rest.split_once(to).unwrap_or_else(|| panic!("`{to}` is gone"));
    part.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The cells of the tables of a page, without backticks: `(a, b)` of `| a | b | … |`.
fn rows(page: &str) -> Vec<(String, String)> {
    let cell = |text: &str| text.replace('`', "").trim().to_owned();
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|');
        Some((cell(cells.next()?), cell(cells.next()?)))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_exit_code_is_in_the_readme_and_no_other() {
    let table = text("xtask/src/exit.rs");
    let arm = |line: &str| {
        let (name, value) = line.trim().strip_prefix("Self::")?.split_once(" => ")?;
        Some((name.to_owned(), value.trim_end_matches(',').trim_matches('"').to_owned()))
    };
    let arms: Vec<_> = table.lines().filter_map(arm).collect();
    let (codes, names): (Vec<_>, Vec<_>) = arms.into_iter().partition(|(_, value)| value.parse::<u8>().is_ok());
    assert!(codes.len() >= 14 && codes.len() == names.len(), "{codes:?} {names:?}");
    let mut expected = BTreeSet::new();
    for (variant, code) in &codes {
        let (_, name) = names.iter().find(|(other, _)| other == variant).unwrap();
        assert!(expected.insert((code.clone(), name.clone())), "{code} is there twice");
    }
    let readme = text("README.md");
    let (_, section) = readme.split_once("\n## Exit codes\n").expect("the README has the table of exit codes");
    let section = section.split("\n## ").next().unwrap();
    let list = |cell: &str| cell.split(", ").map(str::to_owned).collect::<Vec<_>>();
    let told: BTreeSet<_> = rows(section)
        .into_iter()
        .filter(|(code, _)| code.starts_with(|c: char| c.is_ascii_digit()))
        .flat_map(|(code, name)| list(&code).into_iter().zip(list(&name)))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn every_error_code_of_the_json_is_documented_and_no_other() {
    let failures = text("xtask/src/failure.rs");
    let asking = text("xtask/src/authority/mod.rs");
    let config = text("xtask/src/config/mod.rs");
    let mut expected = quoted_between(&failures, "fn code(&self)", "\n    }\n");
    expected.extend(quoted_between(&asking, "fn stable_code(&self)", "\n    }\n"));
    let rotating = text("xtask/src/commands/rotate/error.rs");
    expected.extend(quoted_between(&rotating, "fn stable_code(&self)", "\n    }\n"));
    let scanning = text("xtask/src/scan/mod.rs");
    expected.extend(quoted_between(&scanning, "fn stable_code(&self)", "\n    }\n"));
    for after_new in config.split("Problem::new(\"").skip(1) {
        expected.insert(after_new.split('"').next().unwrap().to_owned());
    }
    let page = text("docs/json.md");
    let (_, section) = page.split_once("### `error.code`").expect("the page has the table of error codes");
    let section = section.split("\n## ").next().unwrap();
    let told: BTreeSet<_> = rows(section)
        .into_iter()
        .filter(|(_, exit)| exit.starts_with(|c: char| c.is_ascii_digit()))
        .flat_map(|(codes, _)| codes.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, expected);
}

/// The fields that the first table below a heading of `docs/json.md` lists.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = text("docs/json.md");
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

fn fields(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap_or_else(|| panic!("{object} has no fields")).keys().cloned().collect()
}

#[test]
fn the_json_has_the_documented_fields_however_it_ends() {
    let yes = saying(&good());
    let app = App::reporting(json!({ "valid": true }));
    let no = saying(&json!({ "valid": false }));
    let down = project().authority_at("http://127.0.0.1:9/api/v1").key(KEY);
    let rows = [
        ("go", asking(&yes).health(&app, "20s"), 0),
        ("refused", asking(&no), 10),
        ("unreachable", down, 11),
        ("no key", asking(&yes).unset("LICENSE_KEY"), 3),
        ("failed", asking(&yes).deploying("exit 1"), 13),
    ];
    for (name, project, exit) in rows {
        let document = project.deploy_json().named(name).exits(exit).json();
        let mut expected = documented("## `deploy`");
        expected.insert("schema".to_owned());
        assert_eq!(fields(&document), expected, "{name}");
        let checks = document["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| fields(check) == documented("### `checks[]`")), "{name}: {checks:?}");
    }
}

#[test]
fn the_json_of_a_rotation_has_the_documented_fields_and_outcomes() {
    let document = embedded().run(&["rotate", "--format", "json"]).exits(3).json();
    let mut expected = documented("## `rotate`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
    assert_eq!(fields(&document["environments"][0]), documented("### `environments[]` of `rotate`"));
    let words = quoted_between(&text("xtask/src/commands/rotate/words.rs"), "pub(crate) fn name(&self)", "\n    }\n");
    assert_eq!(documented("### `outcome` of `rotate`"), words);
}

#[test]
fn the_json_of_a_look_has_the_documented_fields() {
    let server = saying(&good());
    let document = asking(&server).run(&["status", "--format", "json"]).exits(0).json();
    let mut expected = documented("## `status`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
    assert_eq!(fields(&document["environments"][0]), documented("### `environments[]` of `status`"));
    assert_eq!(fields(&document["accounts"][0]), documented("### `accounts[]` of `status`"));
}

#[test]
fn the_json_of_a_list_of_stores_has_the_documented_fields() {
    let document = asking(&saying(&good())).run(&["store", "list", "--format", "json"]).exits(0).json();
    let mut expected = documented("## `store list`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
    assert_eq!(fields(&document["stores"][0]), documented("### `stores[]` of `store list`"));
}

#[test]
fn the_json_of_a_test_of_sinks_has_the_documented_fields() {
    let project = project().tables("[sinks.team]\nkind = \"github\"\n").authority_at("http://127.0.0.1:9/api/v1");
    let document = project.run(&["alert", "test", "team", "--format", "json"]).exits(0).json();
    let mut expected = documented("## `alert test`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
    assert_eq!(fields(&document["sinks"][0]), documented("### `sinks[]` of `alert test`"));
}

#[test]
fn the_json_of_a_webhook_has_the_documented_fields() {
    let project = project().var("SECRET", "the secret of these webhooks");
    let arguments = ["webhook", "verify", "--secret-env", "SECRET", "--signature", "x", "--format", "json"];
    let document = project.run_with_input(&arguments, "").exits(32).json();
    let mut expected = documented("## `webhook verify`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
}

#[test]
fn the_json_of_a_scan_has_the_documented_fields_and_words() {
    let (project, _) = crate::leaks::repository_with_a_leak();
    let document = project.run(&["leaks", "--history", "--format", "json"]).exits(30).json();
    let mut expected = documented("## `leaks`");
    expected.insert("schema".to_owned());
    assert_eq!(fields(&document), expected);
    assert_eq!(fields(&document["findings"][0]), documented("### `findings[]` of `leaks`"));
    let page = text("docs/json.md");
    let (_, section) = page.split_once("### `findings[]` of `leaks`").unwrap();
    let section = section.split("\n#").next().unwrap();
    let words = [
        ("xtask/src/scan/place.rs", "pub(crate) fn as_str(self)"),
        ("xtask/src/scan/told.rs", "pub(super) fn kind("),
        ("license-core/src/leaks/form.rs", "pub fn as_str(self)"),
        ("license-core/src/leaks/leak.rs", "pub fn as_str(self)"),
    ];
    for (file, function) in words {
        for word in quoted_between(&text(file), function, "\n}\n") {
            assert!(section.contains(&format!("`{word}`")), "{file}: {word}");
        }
    }
}

#[test]
fn every_file_says_what_it_knows() {
    let silent: Vec<_> =
        rust_files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "these begin without a `//!`: {silent:?}");
}

#[test]
fn nothing_is_allowed_and_what_is_expected_has_a_reason() {
    // Put together here, so that this file does not find itself.
    let (allow, allow_inner, start) =
        (["#[", "allow("].concat(), ["#![", "allow("].concat(), ["[exp", "ect("].concat());
    for (name, text) in rust_files() {
        assert!(!text.contains(&allow) && !text.contains(&allow_inner), "{name}: `expect` tells when it is not needed");
        for (at, _) in text.match_indices(&start) {
            let (attribute, _) = text[at..].split_once(")]").unwrap();
            assert!(attribute.contains("reason = \""), "{name}: {attribute}");
        }
    }
}

#[test]
fn output_goes_through_the_console() {
    let macros = ["print", "println", "eprint", "eprintln", "dbg"].map(|name| format!("{name}!("));
    for (name, text) in rust_files() {
        // A build script talks to Cargo by its output; this file names the macros.
        if name.ends_with("/build.rs") || name.contains("/build/") {
            continue;
        }
        let found = macros.iter().find(|call| text.contains(call.as_str()));
        assert_eq!(found, None, "{name}");
    }
}

#[test]
fn every_ban_and_every_lint_has_a_reason() {
    let clippy = text("clippy.toml");
    let bans: Vec<_> = clippy.lines().filter(|line| line.contains("{ path = ")).collect();
    assert!(bans.len() >= 15, "{bans:?}");
    for ban in bans {
        assert!(ban.contains("reason = \""), "{ban}");
    }
    let manifest = text("Cargo.toml");
    let (_, lints) = manifest.split_once("[workspace.lints.rust]").unwrap();
    let (lints, _) = lints.split_once("[profile").unwrap();
    for line in lints.lines().filter(|line| line.contains('=')) {
        assert!(line.contains('#'), "{line}");
    }
}

#[test]
fn every_dependency_has_a_reason_above_it() {
    for path in ["license-core/Cargo.toml", "xtask/Cargo.toml", "tests/Cargo.toml"] {
        let manifest = text(path);
        let (mut dependencies, mut spoken) = (false, false);
        for line in manifest.lines() {
            match line {
                _ if line.starts_with('[') => (dependencies, spoken) = (line.ends_with("dependencies]"), false),
                "" => spoken = false,
                _ if line.starts_with('#') => spoken = true,
                _ => assert!(!dependencies || spoken, "{path}: {line}"),
            }
        }
    }
}

#[test]
fn the_core_knows_no_input_and_output() {
    let manifest = text("license-core/Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let (dependencies, _) = dependencies.split_once("[dev-dependencies]").unwrap();
    for line in dependencies.lines().filter(|line| line.contains(" = ")) {
        assert!(line.contains("default-features = false") && !line.contains("\"std\""), "{line}");
    }
    let lib = text("license-core/src/lib.rs");
    assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
    for (name, text) in files(&["license-core/src"], &["rs"]).iter().filter(|(name, _)| !name.ends_with("tests.rs")) {
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        assert!(!product.contains("std::"), "{name}: the core names the standard library");
    }
    for name in ["xtask/src/lib.rs", "license-core/src/lib.rs"] {
        assert!(text(name).contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn what_works_on_a_license_in_ci_waits_for_others_and_is_never_cancelled() {
    for name in ["deploy.yml", "rotate.yml", "watch.yml"] {
        let workflow = text(&format!(".github/workflows/{name}"));
        for line in ["concurrency:", "cancel-in-progress: false"] {
            assert!(workflow.lines().any(|other| other.trim() == line), "{name} has no line `{line}`");
        }
    }
    for name in ["rotate.yml", "watch.yml"] {
        assert!(text(&format!(".github/workflows/{name}")).contains("\n  schedule:\n"), "{name}");
    }
}

/// A tag can be moved to other code, which then has the license keys.
#[test]
fn actions_are_named_by_their_commit() {
    for (name, text) in files(&[".github"], &["yml"]) {
        for line in text.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: ")) {
            let (_, commit) = line.split_once('@').unwrap();
            let commit = commit.split(' ').next().unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {line}");
        }
    }
}

/// What a page or a workflow runs on a schedule is what `docs/schedules.md` says.
#[test]
fn the_schedules_are_the_same_everywhere() {
    let page = text("docs/schedules.md");
    for name in ["README.md", "docs/gitlab-ci.yml", ".github/workflows/rotate.yml", ".github/workflows/watch.yml"] {
        let times: Vec<_> = ["23 6 * * *", "17 4 1 * *"].into_iter().filter(|time| text(name).contains(time)).collect();
        assert!(!times.is_empty(), "{name}");
        assert!(times.iter().all(|time| page.contains(time)), "{name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (name, page) in files(&["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"], &["md"]) {
        let directory = root().join(&name).parent().unwrap().to_owned();
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") {
                assert!(directory.join(path).exists(), "{name}: there is no `{target}`");
            }
        }
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let words = [["/ho", "me/"], ["/ro", "ot/"], ["/wo", "rk/"], ["/Us", "ers/"]].map(|parts| parts.concat());
    let places = ["license-core", "xtask", "tests", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ".ci"];
    for (name, text) in files(&places, &["rs", "md", "toml", "py", "txt", "json"]) {
        let found = words.iter().find(|word| text.contains(word.as_str()));
        assert_eq!(found, None, "{name}");
    }
}
