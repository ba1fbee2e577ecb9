//! What the rules share: where they report, and how they ask for what must be there.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use miette::SourceSpan;

use super::{
    duration,
    fields::{At, Field},
    problem::{Problem, code},
    raw::RawSource,
    secrets::is_variable_name,
};
use crate::store::Source;

/// One check of one file: what the rules may look at, and what they found.
pub(super) struct Checking<'a> {
    /// The directory that paths are relative to, absolute.
    pub(super) root: &'a Path,
    /// Whether the machine is one that is thrown away after the run.
    pub(super) on_ci: bool,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// A table, for messages: what it is, and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// What it is, as messages call it.
    pub(super) what: String,
    /// Where.
    pub(super) place: SourceSpan,
}

/// The forms in which the place of a secret may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forms {
    /// A variable, or an entry of a dotenv file.
    EnvOrDotenv,
    /// A variable, or a file of its own.
    EnvOrFile,
}

impl Forms {
    fn example(self) -> &'static str {
        match self {
            Self::EnvOrDotenv => "`{ env = \"NAME\" }` or `{ dotenv = \".env.staging\", name = \"NAME\" }`",
            Self::EnvOrFile => "`{ env = \"NAME\" }` or `{ file = \"license.jwt\" }`",
        }
    }
}

impl Checking<'_> {
    /// Reports what is wrong.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A field that must be there; its absence is reported with an example.
    pub(super) fn required<'f, T>(
        &mut self,
        owner: &Owner,
        name: &str,
        field: &'f Field<T>,
        example: &str,
    ) -> Option<&'f At<T>> {
        if let Field::Absent = field {
            let problem = Problem::new(code::MISSING_FIELD, format!("{} has no `{name}`", owner.what))
                .help(format!("add {example}"))
                .at(owner.place, format!("`{name}` is missing"));
            self.report(problem);
        }
        field.given()
    }

    /// A text that may not be empty.
    pub(super) fn not_empty<'f>(&mut self, name: &str, text: &'f At<String>) -> Option<&'f str> {
        if text.value.trim().is_empty() {
            let problem = Problem::new(code::EMPTY_VALUE, format!("{name} is empty"))
                .help("write a value, or leave the field out")
                .at(text.place, "nothing here");
            self.report(problem);
            return None;
        }
        Some(&text.value)
    }

    /// A path, relative to the file.
    pub(super) fn path(&mut self, name: &str, text: &At<String>) -> Option<PathBuf> {
        self.not_empty(&format!("`{name}`"), text).map(|text| self.root.join(text))
    }

    /// A list of texts, none empty and none twice.
    pub(super) fn distinct<'f>(&mut self, name: &str, texts: &'f [At<String>]) -> Vec<&'f str> {
        let mut kept: Vec<&'f At<String>> = Vec::new();
        for text in texts {
            if self.not_empty(&format!("an entry of `{name}`"), text).is_none() {
                continue;
            }
            if let Some(first) = kept.iter().find(|kept| kept.value == text.value) {
                let problem = Problem::new(code::DUPLICATE_VALUE, format!("`{name}` lists one value twice"))
                    .help("leave one of them out")
                    .at(text.place, "again here")
                    .at(first.place, "first here");
                self.report(problem);
                continue;
            }
            kept.push(text);
        }
        kept.into_iter().map(|text| text.value.as_str()).collect()
    }

    /// A length of time within limits, or the default where there is none.
    pub(super) fn duration(
        &mut self,
        name: &str,
        field: &Field<String>,
        limits: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = field.given()?;
        let (least, most) = (duration::Shown(*limits.start()), duration::Shown(*limits.end()));
        let Some(length) = duration::parse(&text.value) else {
            let problem = Problem::new(code::DURATION, format!("`{name}` is no length of time"))
                .help("write a whole number and `s`, `m`, `h` or `d`, as in `30s`, `2m`, `24h` or `30d`")
                .at(text.place, "not a length of time");
            self.report(problem);
            return None;
        };
        if !limits.contains(&length) {
            let problem = Problem::new(code::OUT_OF_RANGE, format!("`{name}` is out of range"))
                .help(format!("write a length of time from `{least}` to `{most}`"))
                .at(text.place, format!("from {least} to {most}"));
            self.report(problem);
            return None;
        }
        Some(length)
    }

    /// The name of an environment variable, or of an entry of a dotenv file. What is none is not quoted: it may be the secret itself.
    pub(super) fn variable(&mut self, name: &At<String>) -> Option<String> {
        if !is_variable_name(&name.value) {
            let problem = Problem::new(code::VARIABLE_NAME, "this is not the name of a variable")
                .help(
                    "write the bare name, of letters, digits and `_`, as in `LICENSE_KEY`; the secret itself never stands here",
                )
                .at(name.place, "not a name");
            self.report(problem);
            return None;
        }
        Some(name.value.clone())
    }

    /// The place of a secret: exactly one of the forms.
    pub(super) fn source(&mut self, name: &str, at: &At<RawSource>, forms: Forms) -> Option<Source> {
        let raw = &at.value;
        let mut whole = true;
        for (form, field) in [("age", &raw.age), ("store", &raw.store)] {
            if let Some(text) = field.given() {
                let instead = format!("write {}", forms.example());
                self.not_supported(&format!("`{form}` as the place of a secret"), &instead, text.place);
                whole = false;
            }
            whole &= !matches!(field, Field::Wrong);
        }
        whole &= [&raw.env, &raw.dotenv, &raw.name, &raw.file].into_iter().all(|field| !matches!(field, Field::Wrong));
        if !whole {
            return None;
        }
        match (raw.env.given(), raw.dotenv.given(), raw.name.given(), raw.file.given(), forms) {
            (Some(env), None, None, None, _) => self.variable(env).map(|name| Source::Env { name }),
            (None, Some(file), Some(entry), None, Forms::EnvOrDotenv) => {
                let (file, entry) = (self.path("dotenv", file), self.variable(entry));
                Some(Source::Dotenv { file: file?, name: entry? })
            }
            (None, None, None, Some(file), Forms::EnvOrFile) => {
                self.path("file", file).map(|file| Source::File { file })
            }
            (None, Some(_), None, None, Forms::EnvOrDotenv) => {
                self.wrong_source("`dotenv` needs `name`: the variable in the file".to_owned(), at.place, forms);
                None
            }
            (None, None, Some(_), None, Forms::EnvOrDotenv) => {
                self.wrong_source("`name` needs `dotenv`: the file that it stands in".to_owned(), at.place, forms);
                None
            }
            (None, None, None, Some(_), Forms::EnvOrDotenv) => {
                self.wrong_source(format!("`file` is not a place for `{name}`"), at.place, forms);
                None
            }
            (None, Some(_), _, None, Forms::EnvOrFile) => {
                self.wrong_source(format!("`dotenv` is not a place for `{name}`"), at.place, forms);
                None
            }
            (None, None, None, None, _) => {
                self.wrong_source(format!("`{name}` names no place"), at.place, forms);
                None
            }
            _ => {
                self.wrong_source(format!("`{name}` is to name exactly one place"), at.place, forms);
                None
            }
        }
    }

    fn wrong_source(&mut self, message: String, place: SourceSpan, forms: Forms) {
        let help = format!("write {}", forms.example());
        self.report(Problem::new(code::SECRET_PLACE, message).help(help).at(place, "exactly one place is needed"));
    }

    /// A key of later work.
    pub(super) fn not_supported(&mut self, what: &str, instead: &str, place: SourceSpan) {
        let problem = Problem::new(code::NOT_SUPPORTED, format!("{what} is not supported yet"))
            .help(format!("{instead}; this version would not act on it"))
            .at(place, "not supported yet");
        self.report(problem);
    }

    /// A field that says something only beside another one.
    pub(super) fn needs(&mut self, field: &str, place: SourceSpan, other: &str) {
        let problem = Problem::new(code::NEEDS_OTHER_FIELD, format!("`{field}` says nothing without `{other}`"))
            .help(format!("add `{other}`, or leave `{field}` out"))
            .at(place, format!("needs `{other}`"));
        self.report(problem);
    }
}
