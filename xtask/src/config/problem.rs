//! What is wrong with a `license.toml`, with the places to underline.

use std::{fmt, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode, SourceSpan};

/// At most this many problems are listed: a file that is something else altogether has thousands.
pub(super) const PROBLEMS_MAX: usize = 50;

/// Everything that is wrong with a file: never empty.
#[derive(Debug, thiserror::Error)]
#[error("{}", headline(path, *left_out + problems.len()))]
pub(crate) struct ConfigError {
    /// The file, as it was named.
    pub(crate) path: String,
    /// Every problem, in the order of the file.
    pub(crate) problems: Vec<Problem>,
    /// How many more there are than are listed.
    pub(crate) left_out: usize,
}

impl ConfigError {
    /// That a file cannot be read at all.
    pub(crate) fn unreadable(path: &str, why: &str) -> Self {
        let problem = Problem::new(code::FILE_UNREADABLE, format!("it cannot be read: {why}"))
            .help("a `license.toml` is a small text file");
        Self { path: path.to_owned(), problems: vec![problem], left_out: 0 }
    }

    /// In which format the file is, where a newer program has to read it. What else seems to be wrong with such a file
    /// says nothing.
    pub(crate) fn newer_format(&self) -> Option<&str> {
        self.problems.iter().find(|problem| problem.code == code::VERSION).map(|problem| problem.message.as_str())
    }

    /// Whether a newer program may have written the file as it is: a slip looks just the same.
    pub(crate) fn may_be_of_a_newer_program(&self) -> bool {
        self.left_out == 0 && self.problems.iter().all(|problem| MAY_BE_NEWER.contains(&problem.code))
    }

    /// Whether both are about the same problems of the same text, or both about something that is no file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let places = |error: &Self| -> Vec<_> {
            error.problems.iter().map(|it| (it.code, it.message.clone(), it.labels.clone())).collect()
        };
        let is_no_file = |error: &Self| error.problems.iter().all(|problem| NO_FILE.contains(&problem.code));
        self.left_out == other.left_out && (places(self) == places(other) || (is_no_file(self) && is_no_file(other)))
    }

    /// The first problem in one sentence, with its place and what to do.
    pub(crate) fn first(&self) -> String {
        let Some(problem) = self.problems.first() else { return self.to_string() };
        let place = problem.line_column().map(|(line, column)| format!("line {line}, column {column}: "));
        let help = problem.help.as_ref().map(|help| format!("; {help}"));
        let more = match self.problems.len() - 1 + self.left_out {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{}{}{}{more}", place.unwrap_or_default(), problem.message, help.unwrap_or_default())
    }
}

/// What something gets that is no file of text: a directory, or a link that leads nowhere.
const NO_FILE: [&str; 3] = [code::FILE_UNREADABLE, code::FILE_IS_A_DIRECTORY, code::FILE_MISSING];

/// What a file gets that a newer program understands, and one with a slip.
const MAY_BE_NEWER: [&str; 2] = [code::UNKNOWN_FIELD, code::UNKNOWN_WORD];

fn headline(path: &str, problems: usize) -> String {
    match problems {
        1 => format!("`{path}` has 1 problem"),
        more => format!("`{path}` has {more} problems"),
    }
}

/// One report with every problem, each underlined.
impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let left_out = self.left_out;
        (left_out > 0).then(|| Box::new(format!("{left_out} more are not listed; start with the first ones")) as _)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// One problem.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    /// A stable code, such as `unknown_field`.
    pub(crate) code: &'static str,
    /// Whether it stops the command or is only worth a look.
    pub(crate) severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// The places, each with a word about it; the first one is the main one. Empty when there is no text to show.
    pub(crate) labels: Vec<(SourceSpan, String)>,
    /// The text as it may be shown, where there is one: secrets and control characters are replaced, places are kept.
    pub(crate) source_code: Option<Arc<NamedSource<String>>>,
}

impl Problem {
    /// Something that is wrong, without a place.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            help: None,
            labels: Vec::new(),
            source_code: None,
        }
    }

    /// Says what to do next.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Underlines a place, after those that are underlined already.
    pub(crate) fn at(mut self, place: SourceSpan, word: impl Into<String>) -> Self {
        self.labels.push((place, word.into()));
        self
    }

    /// Shows the places in this text.
    pub(crate) fn within(mut self, source: &Arc<NamedSource<String>>) -> Self {
        self.source_code = Some(Arc::clone(source));
        self
    }

    /// Makes it worth a look only.
    pub(crate) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The line and the column of the main place, both counted from 1; columns count characters.
    pub(crate) fn line_column(&self) -> Option<(usize, usize)> {
        let (place, _) = self.labels.first()?;
        Some(line_column(self.source_code.as_ref()?.inner(), *place))
    }

    /// Whether the places can be shown. Lines that are endless, and texts over many lines, are not: their number has to do.
    fn has_picture(&self) -> bool {
        let Some(source) = &self.source_code else { return false };
        let small = |(place, _): &(SourceSpan, String)| picture_bytes(source.inner(), *place) <= PICTURE_BYTES_MAX;
        !self.labels.is_empty() && self.labels.iter().all(small)
    }
}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let place = if self.has_picture() { None } else { self.line_column() };
        match (place, &self.help) {
            (Some((line, column)), Some(help)) => Some(Box::new(format!("line {line}, column {column}: {help}"))),
            (Some((line, column)), None) => Some(Box::new(format!("line {line}, column {column}"))),
            (None, Some(help)) => Some(Box::new(help)),
            (None, None) => None,
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source_code.as_deref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if !self.has_picture() {
            return None;
        }
        let label = |(place, word): &(SourceSpan, String)| LabeledSpan::new_with_span(Some(word.clone()), *place);
        Some(Box::new(self.labels.iter().map(label)))
    }
}

/// The most text that is shown round one place, in bytes.
const PICTURE_BYTES_MAX: usize = 2000;

/// How much text a picture of a place has: its lines, the line before and the line after.
fn picture_bytes(text: &str, place: SourceSpan) -> usize {
    let (start, end) = (place.offset().min(text.len()), (place.offset() + place.len()).min(text.len()));
    let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return usize::MAX };
    let before: usize = before.rsplit('\n').take(2).map(str::len).sum();
    let after: usize = after.split('\n').take(2).map(str::len).sum();
    before + place.len() + after
}

/// The line and the column of a place in a text, both counted from 1; columns count characters.
pub(crate) fn line_column(text: &str, place: SourceSpan) -> (usize, usize) {
    let before = text.get(..place.offset()).unwrap_or(text);
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// The codes of all problems: a part of the output's contract.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The codes of all problems: a part of the output's contract.
        pub(super) mod code {
            $($(#[$doc])* pub(in crate::config) const $name: &str = $text;)*

            /// Every code.
            #[cfg(test)]
            pub(in crate::config) const ALL: &[&str] = &[$($text),*];
        }
    };
}

codes! {
    // The file itself.
    /// There is no such file.
    FILE_MISSING = "file_missing";
    /// It is a directory.
    FILE_IS_A_DIRECTORY = "file_is_a_directory";
    /// The operating system does not let us read it.
    FILE_UNREADABLE = "file_unreadable";
    /// It is longer than a configuration can be.
    FILE_TOO_LONG = "file_too_long";
    /// It is not text.
    FILE_NOT_UTF8 = "file_not_utf8";
    /// It says nothing.
    FILE_EMPTY = "file_empty";

    // Its form.
    /// It is not TOML.
    SYNTAX = "syntax";
    /// A field that does not exist, or not here.
    UNKNOWN_FIELD = "unknown_field";
    /// A value of another type.
    WRONG_TYPE = "wrong_type";
    /// A field that must be there.
    MISSING_FIELD = "missing_field";
    /// A word that is none of the possible ones.
    UNKNOWN_WORD = "unknown_word";
    /// A number outside its limits.
    OUT_OF_RANGE = "out_of_range";
    /// A text that may not be empty.
    EMPTY_VALUE = "empty_value";
    /// A value that is listed twice.
    DUPLICATE_VALUE = "duplicate_value";
    /// A field that says something only beside another one.
    NEEDS_OTHER_FIELD = "needs_other_field";
    /// A format that is newer than this program.
    VERSION = "version";

    // Its values.
    /// A secret where its place should be named.
    SECRET_IN_FILE = "secret_in_file";
    /// Not exactly one place for a secret.
    SECRET_PLACE = "secret_place";
    /// Not the name of a variable.
    VARIABLE_NAME = "variable_name";
    /// Not the name of an environment.
    ENVIRONMENT_NAME = "environment_name";
    /// Not a length of time.
    DURATION = "duration";
    /// Not a domain.
    DOMAIN = "domain";
    /// Not an address that can be used.
    ADDRESS = "address";
    /// Not a command.
    COMMAND = "command";
    /// A command that only a shell understands.
    NEEDS_SHELL = "needs_shell";
    /// Not a key's fingerprint.
    FINGERPRINT = "fingerprint";
    /// Not a public key.
    PUBLIC_KEY = "public_key";
    /// A file of certificates that cannot be used.
    CA_FILE = "ca_file";
    /// Not an age recipient.
    RECIPIENT = "recipient";
    /// Not the name of a git remote.
    GIT_REMOTE = "git_remote";
    /// Not a glob for branches.
    BRANCH = "branch";
    /// Not the name of a store.
    STORE_NAME = "store_name";
    /// A text in braces that stands for nothing.
    PLACEHOLDER = "placeholder";
    /// Not a repository.
    REPOSITORY = "repository";
    /// Not a pattern that can be looked for.
    PATTERN = "pattern";
    /// Not an archive that may stay unseen.
    ARCHIVE = "archive";
    /// Not a path of a secret.
    SECRET_PATH = "secret_path";

    // How it fits together.
    /// No environment at all.
    NO_ENVIRONMENTS = "no_environments";
    /// A default that is no environment.
    UNKNOWN_DEFAULT = "unknown_default";
    /// An authority that is not configured.
    UNKNOWN_AUTHORITY = "unknown_authority";
    /// A sink or store that is not configured.
    UNKNOWN_NAME = "unknown_name";
    /// Two environments with one domain.
    SAME_DOMAIN = "same_domain";
    /// Two environments with one key.
    SAME_KEY = "same_key";
    /// One place that would be written for two keys, or twice for one.
    SAME_STORE = "same_store";
    /// A key is to be read from a store that gives none.
    WRITE_ONLY_STORE = "write_only_store";
    /// This machine's name in production.
    LOOPBACK_IN_PRODUCTION = "loopback_in_production";
    /// A test token in production.
    TEST_TOKEN_IN_PRODUCTION = "test_token_in_production";
    /// Two environments with one API token.
    SHARED_TOKEN = "shared_token";
    /// A memory that is thrown away with the machine.
    EPHEMERAL_TRAIL = "ephemeral_trail";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_columns_count_characters() {
        for (text, offset, place) in [
            ("a", 0, (1, 1)),
            ("ab\ncd", 4, (2, 2)),
            ("ab\r\ncd", 4, (2, 1)),
            ("éé\nüx", 7, (2, 2)),
            ("\u{feff}ab", 4, (1, 2)),
            ("\u{feff}", 0, (1, 1)),
            ("a\n", 2, (2, 1)),
            ("a", 9, (1, 2)),
        ] {
            assert_eq!(line_column(text, (offset, 0).into()), place, "{text:?} at {offset}");
        }
    }

    #[test]
    fn an_endless_line_is_named_and_not_shown() {
        let text = format!("a = 1\n{} = 2\nb = 3\n", "x".repeat(100_000));
        let source = Arc::new(NamedSource::new("license.toml", text));
        let problem = |place: usize| Problem::new("c", "m").help("do").at((place, 1).into(), "here").within(&source);
        let shown = |problem: &Problem| (problem.labels().is_some(), Diagnostic::help(problem).unwrap().to_string());
        assert_eq!(shown(&problem(7)), (false, "line 2, column 2: do".to_owned()));
        assert_eq!(shown(&problem(0)), (false, "line 1, column 1: do".to_owned()), "the line after is endless");
        let whole = Problem::new("c", "m").help("do").at((0, 1).into(), "here");
        let whole = whole.within(&Arc::new(NamedSource::new("license.toml", "a = 1\n".to_owned())));
        assert_eq!(shown(&whole), (true, "do".to_owned()));
    }

    #[test]
    fn codes_are_all_different() {
        let codes: std::collections::BTreeSet<_> = code::ALL.iter().collect();
        assert_eq!(codes.len(), code::ALL.len());
    }
}
