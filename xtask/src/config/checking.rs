//! What the rules share: where they report, and how they ask for what must be there.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use miette::SourceSpan;

use super::{
    duration,
    fields::{At, Field, Named, Word, did_you_mean},
    problem::{Problem, code},
    raw::RawSource,
    secrets::{is_variable_name, shown},
};
use crate::store::Source;

/// One check of one file: what the rules may look at, and what they found.
pub(super) struct Checking<'a> {
    /// The directory that paths are relative to, absolute.
    pub(super) root: &'a Path,
    /// Whether the machine is one that is thrown away after the run.
    pub(super) on_ci: bool,
    /// Whether files that the file names are looked at.
    pub(super) named_files: NamedFiles,
    /// The identity of `[escrow]`, for sealed files that name none of their own.
    pub(super) escrow_identity: Field<Source>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// Whether files that the file names are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedFiles {
    /// They are: they belong to the same work tree.
    Looked,
    /// They are not: the file is another commit's, and so are they.
    Taken,
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
    /// A license key: a variable, an entry of a dotenv file, a sealed file, or a store.
    Key,
    /// An age identity: a variable, a file of its own, or an entry of a dotenv file.
    Identity,
}

/// One form in which the place of a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Env,
    Dotenv,
    File,
    Age,
    Store,
}

impl Form {
    fn word(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Dotenv => "dotenv",
            Self::File => "file",
            Self::Age => "age",
            Self::Store => "store",
        }
    }
}

impl Forms {
    fn allow(self, form: Form) -> bool {
        match self {
            Self::EnvOrDotenv => matches!(form, Form::Env | Form::Dotenv),
            Self::EnvOrFile => matches!(form, Form::Env | Form::File),
            Self::Key => matches!(form, Form::Env | Form::Dotenv | Form::Age | Form::Store),
            Self::Identity => matches!(form, Form::Env | Form::Dotenv | Form::File),
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::EnvOrDotenv => "`{ env = \"NAME\" }` or `{ dotenv = \".env.staging\", name = \"NAME\" }`",
            Self::EnvOrFile => "`{ env = \"NAME\" }` or `{ file = \"license.jwt\" }`",
            Self::Key => {
                "`{ env = \"NAME\" }`, `{ dotenv = \".env.staging\", name = \"NAME\" }`, `{ age = \"license.age\" }` or `{ store = \"NAME\" }`"
            }
            Self::Identity => {
                "`{ env = \"NAME\" }`, `{ file = \"identity.txt\" }` or `{ dotenv = \".env.staging\", name = \"NAME\" }`"
            }
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
        self.source_at(name, &at.value, at.place, forms)
    }

    fn source_at(&mut self, name: &str, raw: &RawSource, place: SourceSpan, forms: Forms) -> Option<Source> {
        let written = [
            (Form::Env, &raw.env),
            (Form::Dotenv, &raw.dotenv),
            (Form::File, &raw.file),
            (Form::Age, &raw.age),
            (Form::Store, &raw.store),
        ];
        let is_wrong = |field: &&Field<String>| matches!(field, Field::Wrong);
        if written.iter().map(|(_, field)| *field).chain([&raw.name]).any(|field| is_wrong(&field))
            || matches!(raw.identity, Field::Wrong)
        {
            return None;
        }
        let named: Vec<(Form, &At<String>)> =
            written.into_iter().filter_map(|(form, field)| Some((form, field.given()?))).collect();
        let wrong = match (&named[..], raw.name.given(), raw.identity.given()) {
            ([], Some(_), _) if forms.allow(Form::Dotenv) => {
                "`name` needs `dotenv`: the file that it stands in".to_owned()
            }
            ([], None, Some(_)) if forms.allow(Form::Age) => {
                "`identity` needs `age`: the file that it opens".to_owned()
            }
            ([], None, None) => format!("`{name}` names no place"),
            ([(form, _)], _, _) if !forms.allow(*form) => format!("`{}` is not a place for `{name}`", form.word()),
            ([(Form::Dotenv, _)], None, None) => "`dotenv` needs `name`: the variable in the file".to_owned(),
            ([(Form::Env, variable)], None, None) => {
                return self.variable(variable).map(|name| Source::Env { name });
            }
            ([(Form::Dotenv, file)], Some(entry), None) => {
                let (file, entry) = (self.path("dotenv", file), self.variable(entry));
                return Some(Source::Dotenv { file: file?, name: entry? });
            }
            ([(Form::File, file)], None, None) => return self.path("file", file).map(|file| Source::File { file }),
            ([(Form::Age, file)], None, _) => {
                let (file, identity) = (self.path("age", file), self.identity(raw, place));
                return Some(Source::Age { file: file?, identity: Box::new(identity?) });
            }
            ([(Form::Store, store)], None, None) => {
                return self.not_empty("`store`", store).map(|name| Source::Store { name: name.to_owned() });
            }
            _ => format!("`{name}` is to name exactly one place"),
        };
        self.wrong_source(wrong, place, forms);
        None
    }

    /// What opens a sealed file: its own identity, or that of `[escrow]`.
    fn identity(&mut self, raw: &RawSource, place: SourceSpan) -> Option<Source> {
        if let Some(at) = raw.identity.given() {
            return self.source_at("identity", &at.value, at.place, Forms::Identity);
        }
        if let Field::Absent = self.escrow_identity {
            let problem = Problem::new(code::NEEDS_OTHER_FIELD, "nothing says which identity opens this file")
                .help("add `identity = { env = \"LICENSE_ESCROW_IDENTITY\" }` here, or to `[escrow]`")
                .at(place, "needs `identity`");
            self.report(problem);
        }
        self.escrow_identity.given().map(|at| at.value.clone())
    }

    /// Names of tables that must be there; `what` is the word for one of them.
    pub(super) fn each_known<T>(&mut self, what: &str, names: &[At<String>], tables: &Field<Vec<Named<T>>>) {
        if matches!(tables, Field::Wrong) {
            return;
        }
        let known: Vec<&str> =
            tables.given().into_iter().flat_map(|at| &at.value).map(|table| table.name.value.as_str()).collect();
        for name in names.iter().filter(|name| !known.contains(&name.value.as_str())) {
            let shown = shown(&name.value);
            let help = match &known[..] {
                [] => format!("there are no {what}s: add `[{what}s.{shown}]`"),
                known => did_you_mean(&name.value, known, &format!("the {what}s are")),
            };
            let problem = Problem::new(code::UNKNOWN_NAME, format!("there is no {what} `{shown}`"))
                .help(help)
                .at(name.place, "not configured");
            self.report(problem);
        }
    }

    fn wrong_source(&mut self, message: String, place: SourceSpan, forms: Forms) {
        let help = format!("write {}", forms.example());
        self.report(Problem::new(code::SECRET_PLACE, message).help(help).at(place, "exactly one place is needed"));
    }

    /// Reports the fields that belong to tables of another kind.
    pub(super) fn misplaced<K: Word + PartialEq + 'static>(
        &mut self,
        owner: &Owner,
        kind: K,
        fields: &[(&str, Option<SourceSpan>, &[K])],
    ) {
        for (name, place, kinds) in fields.iter().filter(|(_, _, kinds)| !kinds.contains(&kind)) {
            let Some(place) = *place else { continue };
            let kinds: Vec<String> = kinds.iter().map(|kind| format!("`kind = \"{}\"`", word(kind))).collect();
            let kinds = kinds.join(" or ");
            let problem =
                Problem::new(code::UNKNOWN_FIELD, format!("{} has no `{name}`: it is of another kind", owner.what))
                    .help(format!("leave `{name}` out, or write {kinds}"))
                    .at(place, format!("only with {kinds}"));
            self.report(problem);
        }
    }

    /// A field that says something only beside another one.
    pub(super) fn needs(&mut self, field: &str, place: SourceSpan, other: &str) {
        let problem = Problem::new(code::NEEDS_OTHER_FIELD, format!("`{field}` says nothing without `{other}`"))
            .help(format!("add `{other}`, or leave `{field}` out"))
            .at(place, format!("needs `{other}`"));
        self.report(problem);
    }
}

/// Where a field stands in the file, if it does.
pub(super) fn place<T>(field: &Field<T>) -> Option<SourceSpan> {
    field.given().map(|at| at.place)
}

/// The word that stands for a value in the file.
fn word<W: Word + PartialEq + 'static>(value: &W) -> &'static str {
    W::WORDS.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}
