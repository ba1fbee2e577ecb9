//! A finished run, and what must be true of it.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{forms, process::Finished};

/// A run of the binary that ended. Every expectation gives the run back, so that they can be chained.
#[derive(Debug)]
pub struct Ran {
    /// What a failure is headed with: the row of a table.
    name: String,
    finished: Finished,
    place: Option<Place>,
}

/// Where a project's run left its traces.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directories that must not hold a secret.
    pub searched: Vec<PathBuf>,
    /// The files and directories that may.
    pub allowed: Vec<PathBuf>,
    /// How often the deploy command had run when this run began.
    pub deploys_before: usize,
    /// How often it has run since.
    pub deploys: usize,
}

impl Ran {
    /// Wraps a finished process.
    pub fn of(finished: Finished, place: Option<Place>) -> Self {
        Self { name: String::new(), finished, place }
    }

    /// Names the row of a table, for the message of a failure.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// It ended with this code; 128 more than the number, where a signal ended it.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// It ended with one of these codes.
    #[track_caller]
    pub fn exits_one_of(&self, codes: &[i32]) -> &Self {
        assert!(codes.contains(&self.code()), "not one of {codes:?}: {self}");
        self
    }

    /// The code it ended with.
    pub fn code(&self) -> i32 {
        self.finished.code()
    }

    /// What stdout and stderr say together contains this; line breaks and frames of the pictures do not count.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(plain(&self.said()).contains(&plain(text)), "it does not say `{text}`\n{self}");
        self
    }

    /// It says at least one of these.
    #[track_caller]
    pub fn says_one_of(&self, texts: &[&str]) -> &Self {
        let said = plain(&self.said());
        assert!(texts.iter().any(|text| said.contains(&plain(text))), "it says none of {texts:?}\n{self}");
        self
    }

    /// It does not say this.
    #[track_caller]
    pub fn says_nothing_of(&self, text: &str) -> &Self {
        assert!(!plain(&self.said()).contains(&plain(text)), "it says `{text}`\n{self}");
        self
    }

    /// The deploy command ran once in this run.
    #[track_caller]
    pub fn deploy_ran(&self) -> &Self {
        assert_eq!(self.deploys(), 1, "runs of the deploy command\n{self}");
        self
    }

    /// The deploy command did not run in this run.
    #[track_caller]
    pub fn deploy_did_not_run(&self) -> &Self {
        assert_eq!(self.deploys(), 0, "runs of the deploy command\n{self}");
        self
    }

    /// Neither an output nor a file, except those that exist to hold it, has the secret in any form.
    #[track_caller]
    pub fn never_shows(&self, secret: &str) -> &Self {
        assert!(secret.len() >= 12, "too short to be searched for");
        let forms = forms::of(secret);
        for (name, text) in [("stdout", self.stdout().as_bytes()), ("stderr", self.stderr().as_bytes())] {
            assert_absent(&forms, name, text);
        }
        let place = self.place.as_ref().expect("a run in a project");
        for directory in &place.searched {
            for file in files_below(directory) {
                if !place.allowed.iter().any(|allowed| file.starts_with(allowed)) {
                    assert_absent(&forms, &file.display().to_string(), &fs::read(&file).unwrap_or_default());
                    assert_absent(&forms, "a file's name", file.as_os_str().as_encoded_bytes());
                }
            }
        }
        self
    }

    /// The document on stdout, which holds nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.stdout())
            .unwrap_or_else(|error| panic!("stdout is not one document: {error}\n{self}"))
    }

    /// The verdict in the JSON of a `deploy`, or of a `check` of one environment.
    #[track_caller]
    pub fn verdict(&self, expected: impl Into<Value>) -> &Self {
        assert_eq!(self.judged()["verdict"], expected.into(), "the verdict\n{self}");
        self
    }

    /// A check's outcome in the JSON.
    #[track_caller]
    pub fn check(&self, code: &str, outcome: &str) -> &Self {
        assert_eq!(self.finding(code)["outcome"], outcome, "the outcome of `{code}`\n{self}");
        self
    }

    /// A check's finding in the JSON.
    #[track_caller]
    pub fn finding(&self, code: &str) -> Value {
        let judged = self.judged();
        let checks = judged["checks"].as_array().unwrap_or_else(|| panic!("no checks\n{self}"));
        let found = checks.iter().find(|check| check["code"] == code);
        found.unwrap_or_else(|| panic!("no check `{code}`\n{self}")).clone()
    }

    /// The error's code in the JSON.
    #[track_caller]
    pub fn error(&self, code: &str) -> &Self {
        assert_eq!(self.judged()["error"]["code"], code, "the error's code\n{self}");
        self
    }

    /// The head of an environment's trail, as it was printed for people: its number and its hash.
    #[track_caller]
    pub fn head(&self, environment: &str) -> (u64, String) {
        let start = format!("trail: {environment} #");
        let line = self.stderr().lines().find_map(|line| line.trim().strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no head of `{environment}`\n{self}"));
        let (seq, hash) = line.split_once(' ').unwrap_or_else(|| panic!("no hash: {line}"));
        (seq.parse().unwrap(), hash.trim().to_owned())
    }

    /// What it wrote to stdout.
    pub fn stdout(&self) -> &str {
        &self.finished.stdout
    }

    /// What it wrote to stderr.
    pub fn stderr(&self) -> &str {
        &self.finished.stderr
    }

    fn said(&self) -> String {
        format!("{}\n{}", self.stdout(), self.stderr())
    }

    fn deploys(&self) -> usize {
        let place = self.place.as_ref().expect("a run in a project");
        place.deploys - place.deploys_before
    }

    fn judged(&self) -> Value {
        let document = self.json();
        match document.get("environments").and_then(Value::as_array) {
            Some(environments) if environments.len() == 1 => environments[0].clone(),
            Some(environments) => panic!("{} environments\n{self}", environments.len()),
            None => document,
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: exit {}\n--- stdout\n{}--- stderr\n{}---", self.name, self.code(), self.stdout(), self.stderr())
    }
}

#[track_caller]
fn assert_absent(forms: &[(&str, String)], place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (form, secret) in forms {
        assert!(!text.contains(secret.as_str()), "the secret stands {form} in {place}:\n{text}");
    }
}

fn files_below(directory: &PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// The text as it reads: without color and frames, white space as single spaces.
pub fn plain(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => {
                rest.by_ref().find(char::is_ascii_alphabetic);
            }
            '|' | '×' | '⚠' | '\u{2500}'..='\u{257f}' => words.push(' '),
            other => words.push(other),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn frames_colors_and_line_breaks_do_not_count() {
        assert_eq!(plain("  \u{1b}[31m× the key was\n  │ revoked\u{1b}[0m\n"), "the key was revoked");
    }
}
