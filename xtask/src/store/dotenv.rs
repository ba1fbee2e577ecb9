//! dotenv files: `NAME=value` lines, read and changed in place.
//!
//! Nothing is expanded: `$` stands for itself. A value may be bare, in single quotes (as it is), or in double
//! quotes (`\n`, `\r`, `\t`, `\\`, `\"`, `\$` and `` \` `` are escapes); quoted values may span lines.

use std::{
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::FILE_BYTES_MAX;
use crate::files::{self, RewriteError};

mod store;

pub(crate) use store::DotenvStore;

/// A line that makes no sense. Never carries the line: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The line's number, counted from 1.
    pub(crate) line: usize,
    /// What is wrong, in words that fit after "line 3".
    pub(crate) why: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} {}", self.line, self.why)
    }
}

/// The value of a variable; when it is there twice, the last one counts. A value may be empty.
pub(crate) fn value(text: &str, name: &str) -> Result<Option<Zeroizing<String>>, Malformed> {
    let last = entries(text)?.into_iter().rfind(|entry| entry.name == name);
    Ok(last.map(|entry| entry.value))
}

/// Sets a variable and leaves everything else in the file as it is, byte for byte; creates the file if it is absent.
/// The new file replaces the old one at once, is on disk before this returns, and has the readers of the old one; without
/// one it is its owner's alone.
/// A symbolic link stays one: the file that it leads to is replaced.
pub(crate) fn set(file: &Path, name: &str, value: &str) -> Result<(), SetError> {
    let (target, changed) = changed(file, name, value)?;
    files::rewrite(&target, changed.as_bytes()).map_err(|source| SetError::Io { file: file.to_owned(), source })
}

/// Proves that a variable can be set to a value of this length, as far as that can be proved without doing it.
pub(crate) fn try_set(file: &Path, name: &str, value: &str) -> Result<(), SetError> {
    let (target, changed) = changed(file, name, value)?;
    files::try_rewrite(&target, changed.as_bytes()).map_err(|source| SetError::Io { file: file.to_owned(), source })
}

/// The file that is to be replaced, and its new text.
fn changed(file: &Path, name: &str, value: &str) -> Result<(PathBuf, Zeroizing<String>), SetError> {
    let io_error = |source: io::Error| SetError::Io { file: file.to_owned(), source: source.into() };
    let target = target(file).map_err(io_error)?;
    let text = match files::read_limited(&target, FILE_BYTES_MAX) {
        Ok(bytes) => text(&Zeroizing::new(bytes)).map_err(io_error)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(io_error(error)),
    };
    let changed =
        with(&text, name, value).map_err(|malformed| SetError::Malformed { file: file.to_owned(), malformed })?;
    Ok((target, changed))
}

/// How many times a variable is there, and whether its values are the same.
pub(super) fn repeated(text: &str, name: &str) -> Result<Repeated, Malformed> {
    let values: Vec<_> =
        entries(text)?.into_iter().filter(|entry| entry.name == name).map(|entry| entry.value).collect();
    Ok(match values.as_slice() {
        [] | [_] => Repeated::Never,
        [first, rest @ ..] if rest.iter().all(|value| value == first) => Repeated::TheSame,
        [..] => Repeated::Different,
    })
}

/// Whether a variable is there more than once. Some readers take the first, others the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// Once at most.
    Never,
    /// More than once, with one value: any reader gets it.
    TheSame,
    /// With several values: what counts depends on the reader.
    Different,
}

/// The file behind symbolic links. A link that leads nowhere is an error: replacing it would cut the link.
pub(super) fn target(file: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(file).is_ok() { fs::canonicalize(file) } else { Ok(file.to_owned()) }
}

pub(super) fn text(bytes: &[u8]) -> io::Result<Zeroizing<String>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")),
    }
}

/// The text with the variable set in every place where it is, else in a line at the end.
pub(super) fn with_all(text: &str, name: &str, value: &str) -> Result<Zeroizing<String>, Malformed> {
    let places: Vec<_> =
        entries(text)?.into_iter().filter(|entry| entry.name == name).map(|entry| entry.place).collect();
    if places.is_empty() {
        return with(text, name, value);
    }
    let written = Zeroizing::new(quoted(value));
    let mut changed = Zeroizing::new(String::with_capacity(text.len() + places.len() * written.len()));
    let mut kept = 0;
    for place in places {
        changed.push_str(&text[kept..place.start]);
        changed.push_str(&written);
        kept = place.end;
    }
    changed.push_str(&text[kept..]);
    Ok(changed)
}

/// The text with the variable set: in its place if it is there, else in a line at the end.
fn with(text: &str, name: &str, value: &str) -> Result<Zeroizing<String>, Malformed> {
    let written = Zeroizing::new(quoted(value));
    let last = entries(text)?.into_iter().rfind(|entry| entry.name == name);
    let mut changed = Zeroizing::new(String::with_capacity(text.len() + name.len() + written.len() + 4));
    if let Some(entry) = last {
        changed.push_str(&text[..entry.place.start]);
        changed.push_str(&written);
        changed.push_str(&text[entry.place.end..]);
        return Ok(changed);
    }
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    changed.push_str(text);
    if !text.trim_start_matches('\u{feff}').is_empty() && !text.ends_with('\n') {
        changed.push_str(line_break);
    }
    for part in [name, "=", &written, line_break] {
        changed.push_str(part);
    }
    Ok(changed)
}

/// A value as it is written: bare where that is safe in every reader, else in the quotes that need the fewest escapes.
fn quoted(value: &str) -> String {
    let bare =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=');
    if !value.is_empty() && value.chars().all(bare) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '"' | '\\' | '$' | '`' => text.extend(['\\', c]),
            plain => text.push(plain),
        }
    }
    text.push('"');
    text
}

/// Why a variable was not set; the file is as it was.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum SetError {
    /// A line makes no sense, so that its neighbors cannot be told from it.
    #[error("`{}` is left as it is: {malformed}", file.display())]
    #[diagnostic(help("write `NAME=value`, with quotes round a value that has spaces"))]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Which line, and why.
        malformed: Malformed,
    },
    /// The operating system said no.
    #[error("`{}` cannot be written: {source}", file.display())]
    #[diagnostic(help("{}", SetError::next(file, source)))]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: RewriteError,
    },
}

impl SetError {
    fn next(file: &Path, source: &RewriteError) -> String {
        let kind = match source {
            RewriteError::Io(error) => error.kind(),
            RewriteError::NoDirectory { .. } => io::ErrorKind::NotFound,
            RewriteError::Mounted | RewriteError::NotKept { .. } => return source.next(),
        };
        let next = match (kind, fs::symlink_metadata(file)) {
            (io::ErrorKind::NotFound, Ok(_)) => "make the file that its link leads to",
            (io::ErrorKind::NotFound, Err(_)) => "make the directory that it is to be in",
            (_, Ok(_) | Err(_)) => "look at the owner and the permissions of the file and of its directory",
        };
        next.to_owned()
    }
}

/// One variable.
struct Entry<'t> {
    name: &'t str,
    value: Zeroizing<String>,
    /// Where its value is written, quotes included.
    place: Range<usize>,
}

fn entries(text: &str) -> Result<Vec<Entry<'_>>, Malformed> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.skip(|c| c == '\u{feff}');
    let mut entries = Vec::new();
    while scanner.at < text.len() {
        scanner.skip(char::is_whitespace);
        match scanner.rest().chars().next() {
            None => break,
            Some('#') => scanner.skip(|c| c != '\n'),
            Some(_) => entries.push(scanner.entry()?),
        }
    }
    Ok(entries)
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        self.at += self.rest().find(|c| !skipped(c)).unwrap_or(self.rest().len());
    }

    fn malformed(&self, at: usize, why: &'static str) -> Malformed {
        Malformed { line: self.text[..at].matches('\n').count() + 1, why }
    }

    fn entry(&mut self) -> Result<Entry<'t>, Malformed> {
        let start = self.at;
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with(is_blank)
        {
            self.at += "export".len();
            self.skip(is_blank);
        }
        let name_start = self.at;
        self.skip(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        let name = &self.text[name_start..self.at];
        self.skip(is_blank);
        if name.is_empty() || !self.rest().starts_with('=') {
            return Err(self.malformed(start, "has no `NAME=`"));
        }
        self.at += 1;
        let after_equals = self.at;
        self.skip(is_blank);
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(name, quote),
            Some(_) | None => Ok(self.bare(name, after_equals)),
        }
    }

    /// Up to the end of the line, or to a `#` after white space.
    fn bare(&mut self, name: &'t str, after_equals: usize) -> Entry<'t> {
        let line_end = self.text[after_equals..].find('\n').map_or(self.text.len(), |end| after_equals + end);
        let line = &self.text[after_equals..line_end];
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| line[..*at].ends_with(char::is_whitespace));
        let value = line[..comment.unwrap_or(line.len())].trim_end();
        let blank = value.len() - value.trim_start().len();
        self.at = line_end;
        let place = after_equals + blank..after_equals + value.len();
        Entry { name, value: Zeroizing::new(value.trim_start().to_owned()), place }
    }

    fn quoted(&mut self, name: &'t str, quote: char) -> Result<Entry<'t>, Malformed> {
        let start = self.at;
        self.at += 1;
        let mut value = Zeroizing::new(String::new());
        let mut chars = self.rest().char_indices();
        let end = loop {
            match chars.next() {
                None => return Err(self.malformed(start, "has a quote that is not closed")),
                Some((at, c)) if c == quote => break self.at + at + 1,
                Some((_, '\\')) if quote == '"' => unescape(chars.next(), &mut value),
                Some((_, c)) => value.push(c),
            }
        };
        self.at = end;
        self.skip(is_blank);
        let rest = self.rest();
        if !(rest.is_empty() || rest.starts_with(['\n', '\r', '#'])) {
            return Err(self.malformed(start, "has text after the closing quote"));
        }
        self.skip(|c| c != '\n');
        Ok(Entry { name, value, place: start..end })
    }
}

/// What a backslash makes of the character after it. At the end of the text the quote is not closed, which is found next.
fn unescape(escaped: Option<(usize, char)>, value: &mut String) {
    match escaped.map(|(_, c)| c) {
        None => {}
        Some('n') => value.push('\n'),
        Some('r') => value.push('\r'),
        Some('t') => value.push('\t'),
        Some(c @ ('\\' | '"' | '$' | '`')) => value.push(c),
        Some(c) => value.extend(['\\', c]),
    }
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, name: &str) -> Option<String> {
        value(text, name).unwrap().map(|value| value.to_string())
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        for (text, expected) in [
            ("K=v", "v"),
            ("K = v ", "v"),
            ("export K=v", "v"),
            ("  K=v\r\nX=1", "v"),
            ("\u{feff}K=v", "v"),
            ("K=", ""),
            ("K= # comment", ""),
            ("K=a b", "a b"),
            ("K=a # comment", "a"),
            ("K=a#b", "a#b"),
            ("K=#b", "#b"),
            ("K='a # b'  # comment", "a # b"),
            ("K='a\\n'", "a\\n"),
            ("K=\"a\\n\\\"\\\\\\$\\x\"", "a\n\"\\$\\x"),
            ("K=\"a\nb\"", "a\nb"),
            ("K=$HOME", "$HOME"),
            ("K=1\nK=2", "2"),
            ("# K=1\n\n; = 1".trim_end_matches("\n; = 1"), ""),
            ("export=1\nK=v", "v"),
            ("K=a=b", "a=b"),
        ] {
            assert_eq!(read(text, "K").unwrap_or_default(), expected, "{text:?}");
        }
        assert_eq!(read("# K=1\nKK=2", "K"), None);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, line) in [
            ("K=1\nwhat", 2),
            ("=1", 1),
            ("export K", 1),
            ("\n\nK='a", 3),
            ("K=\"a\\", 1),
            ("K='a' b", 1),
            ("K=\"a\nb\"\n!", 3),
        ] {
            assert_eq!(value(text, "K").unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn setting_keeps_everything_else() {
        for (before, after) in [
            ("", "K=new\n"),
            ("A=1", "A=1\nK=new\n"),
            ("A=1\r\n", "A=1\r\nK=new\r\n"),
            ("# keys\n\nexport K='old' # mine\nB = 2", "# keys\n\nexport K=new # mine\nB = 2"),
            ("K=1\nK=2\nA=3\n", "K=1\nK=new\nA=3\n"),
            ("K= # none\n", "K=new # none\n"),
            ("K=\r\nA=1\r\n", "K=new\r\nA=1\r\n"),
            ("\u{feff}A=1\n", "\u{feff}A=1\nK=new\n"),
            ("K=\"a\nb\"\n", "K=new\n"),
        ] {
            assert_eq!(with(before, "K", "new").unwrap().as_str(), after, "{before:?}");
        }
    }

    #[test]
    fn a_new_file_is_for_its_owner_only_and_one_that_is_there_keeps_its_readers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        set(&file, "K", "v").unwrap();
        set(&file, "L", "it's").unwrap();
        assert_eq!(files::read_limited(&file, 100).unwrap(), b"K=v\nL=\"it's\"\n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        set(&file, "L", "2").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn trying_changes_nothing_and_fails_where_setting_would() {
        let root = tempfile::tempdir().unwrap();
        let names = || root.path().read_dir().unwrap().count();
        let file = root.path().join(".env");
        try_set(&file, "K", "v").unwrap();
        assert_eq!(names(), 0);
        files::replace(&file, b"A=1").unwrap();
        let before = fs::metadata(&file).unwrap();
        try_set(&file, "K", "v").unwrap();
        let after = fs::metadata(&file).unwrap();
        assert_eq!((names(), before.ino(), before.modified().unwrap()), (1, after.ino(), after.modified().unwrap()));
        files::replace(&file, b"nonsense").unwrap();
        symlink("missing/.env", root.path().join("link")).unwrap();
        for (name, help) in [
            (".env", "write `NAME=value`"),
            ("missing/.env", "make the directory"),
            ("link", "make the file that its link leads to"),
            (".", "look at the owner"),
        ] {
            let file = root.path().join(name);
            let tried = try_set(&file, "K", "v").unwrap_err();
            assert_eq!(tried.to_string(), set(&file, "K", "v").unwrap_err().to_string());
            let told = miette::Diagnostic::help(&tried).unwrap().to_string();
            assert!(told.starts_with(help), "{name}: {told}");
        }
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("real"), directory.path().join(".env"));
        set(&file, "K", "1").unwrap();
        symlink("real", &link).unwrap();
        set(&link, "K", "2").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(files::read_limited(&file, 100).unwrap(), b"K=2\n");
    }

    #[test]
    fn what_cannot_be_set_leaves_the_file_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        files::replace(&file, b"what\n").unwrap();
        assert!(matches!(set(&file, "K", "v"), Err(SetError::Malformed { .. })));
        assert_eq!(files::read_limited(&file, 100).unwrap(), b"what\n");
        let nowhere = directory.path().join("nowhere");
        symlink("gone", &nowhere).unwrap();
        assert!(matches!(set(&nowhere, "K", "v"), Err(SetError::Io { .. })));
        assert!(matches!(set(directory.path(), "K", "v"), Err(SetError::Io { .. })));
        assert!(matches!(set(&directory.path().join("no/.env"), "K", "v"), Err(SetError::Io { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_without_panic(text in "\\PC*|[A-Z=\"'\\\\#\n\r a\t$]*") {
            let _ = value(&text, "A");
            let _ = with(&text, "A", "b");
        }

        #[test]
        fn what_was_set_is_read_back_and_nothing_else_changes(
            value in "[\\PC\n\r\t]*",
            others in proptest::collection::vec(("[A-J]{1,2}", "[\\PC]*"), 0..6),
            comment in "# [a-z']*",
        ) {
            let mut text = format!("{comment}\n");
            for (name, other) in &others {
                text = with(&text, name, other).unwrap().to_string();
            }
            let changed = with(&text, "KEY", &value).unwrap();
            let again = with(&changed, "KEY", &value).unwrap();
            prop_assert_eq!(&*changed, &*again);
            let got = read(&changed, "KEY");
            prop_assert_eq!(got.as_deref(), Some(value.as_str()));
            prop_assert!(changed.starts_with(&text));
            for (name, _) in &others {
                prop_assert_eq!(read(&changed, name), read(&text, name));
            }
        }
    }
}
