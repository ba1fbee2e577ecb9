//! Walks the parsed file table by table, so that all mistakes of form come together.
//!
//! serde would stop at the first one, and would print the value: here a value is never quoted.

use std::ops::RangeInclusive;

use miette::SourceSpan;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Problem, code},
    raw::RawCommand,
    secrets::{may_name_a_secret, shown},
};

/// A value with its place in the file.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands.
    pub(super) place: SourceSpan,
}

/// A field as it was found.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is there and unusable; the problem is reported.
    Wrong,
    /// It is there.
    Given(At<T>),
}

impl<T> Field<T> {
    /// The value, where there is one.
    pub(super) fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// What a check makes of the value; `None` of the check means that it reported what is wrong.
    pub(super) fn checked<'f, U>(&'f self, check: impl FnOnce(&'f At<T>) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
            Self::Given(at) => check(at).map_or(Field::Wrong, |value| Field::Given(At { value, place: at.place })),
        }
    }

    /// The value, or the default where the field is not there; nothing where it is unusable.
    pub(super) fn or_default(self, default: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::Absent => Some(default()),
            Self::Wrong => None,
            Self::Given(at) => Some(at.value),
        }
    }
}

/// A word out of a fixed list.
pub(super) trait Word: Copy + 'static {
    /// Every word with what it stands for, in the order in which they are listed to people.
    const WORDS: &'static [(&'static str, Self)];
}

/// A table under a name that the user chose.
#[derive(Debug)]
pub(super) struct Named<T> {
    /// The name, and where the table begins.
    pub(super) name: At<String>,
    /// What it holds.
    pub(super) table: T,
}

/// One table of the file: hands out its fields and remembers which ones exist.
pub(super) struct Fields<'a> {
    table: &'a DeTable<'a>,
    what: String,
    known: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

/// What the outermost table is called.
pub(super) const THE_FILE: &str = "the file";

/// Reads a whole table, fields that do not exist included.
pub(super) fn read<T>(
    table: &DeTable<'_>,
    what: &str,
    problems: &mut Vec<Problem>,
    read: impl FnOnce(&mut Fields<'_>) -> T,
) -> T {
    let mut fields = Fields { table, what: what.to_owned(), known: Vec::new(), problems };
    let result = read(&mut fields);
    fields.report_unknown();
    result
}

impl<'a> Fields<'a> {
    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Field<String> {
        self.field(name, Expected::TEXT, |value| value.as_str().map(str::to_owned))
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, name: &'static str) -> Field<bool> {
        self.field(name, Expected::FLAG, |value| if let DeValue::Boolean(flag) = value { Some(*flag) } else { None })
    }

    /// A whole number within limits.
    pub(super) fn whole(&mut self, name: &'static str, limits: RangeInclusive<u32>) -> Field<u32> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let place = place_of(value);
        let Some(integer) = value.get_ref().as_integer() else {
            return self.wrong_type(name, Expected::WHOLE, value);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|n| u32::try_from(n).ok());
        if let Some(value) = number.filter(|number| limits.contains(number)) {
            return Field::Given(At { value, place });
        }
        let (least, most) = (limits.start(), limits.end());
        let problem = Problem::new(code::OUT_OF_RANGE, format!("`{name}` of {} is out of range", self.what))
            .help(format!("write a number from {least} to {most}"))
            .at(place, format!("from {least} to {most}"));
        self.report(problem)
    }

    /// A word out of its list.
    pub(super) fn word<T: Word>(&mut self, name: &'static str) -> Field<T> {
        let Field::Given(text) = self.text(name) else {
            return if self.table.contains_key(name) { Field::Wrong } else { Field::Absent };
        };
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| *word == text.value) {
            return Field::Given(At { value: *value, place: text.place });
        }
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let problem = Problem::new(code::UNKNOWN_WORD, format!("`{name}` of {} has an unknown value", self.what))
            .help(one_of(&text.value, &words))
            .at(text.place, "not known");
        self.report(problem)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Field<Vec<At<String>>> {
        let Some(value) = self.value(name) else { return Field::Absent };
        if value.get_ref().is_array() { self.items(name, value) } else { self.wrong_type(name, Expected::TEXTS, value) }
    }

    /// Texts under names that the user chose.
    pub(super) fn named_texts(&mut self, name: &'static str) -> Field<Vec<Named<At<String>>>> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong_type(name, Expected::NAMED_TEXTS, value);
        };
        let mut found = Vec::new();
        for (key, inner) in table {
            let Some(text) = inner.get_ref().as_str() else {
                return self.wrong_type(name, Expected::NAMED_TEXTS, inner);
            };
            let name = At { value: key.get_ref().clone().into_owned(), place: key.span().into() };
            found.push(Named { name, table: At { value: text.to_owned(), place: place_of(inner) } });
        }
        Field::Given(At { value: found, place: self.table_place(name, value) })
    }

    /// A list of whole numbers. Which of them fit is for their own rule to say, which names the number and its limits.
    pub(super) fn wholes(&mut self, name: &'static str) -> Field<Vec<At<i64>>> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(name, Expected::WHOLES, value);
        };
        let mut items = Vec::new();
        for item in array {
            let Some(integer) = item.get_ref().as_integer() else {
                let what = format!("one item of `{name}` of {}", self.what);
                return self.report(wrong_type(&what, name, Expected::WHOLES_ITEM, item));
            };
            let place = place_of(item);
            let Ok(value) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
                let what = format!("`{name}` of {} has a number of more than 64 bits", self.what);
                let help = format!("write it as {}", Expected::WHOLES.example_for(name));
                return self.report(Problem::new(code::OUT_OF_RANGE, what).help(help).at(place, "out of range"));
            };
            items.push(At { value, place });
        }
        Field::Given(At { value: items, place: place_of(value) })
    }

    /// A command: a text to be split into words, or the words.
    pub(super) fn command(&mut self, name: &'static str) -> Field<RawCommand> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let place = place_of(value);
        if let DeValue::String(text) = value.get_ref() {
            return Field::Given(At { value: RawCommand::Text(text.clone().into_owned()), place });
        }
        if !value.get_ref().is_array() {
            return self.wrong_type(name, Expected::COMMAND, value);
        }
        match self.items(name, value) {
            Field::Given(words) => Field::Given(At { value: RawCommand::Words(words.value), place }),
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        }
    }

    /// A table with fixed fields.
    pub(super) fn table<T>(&mut self, name: &'static str, read_table: impl FnOnce(&mut Fields<'_>) -> T) -> Field<T> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong_type(name, Expected::TABLE, value);
        };
        let (place, what) = (self.table_place(name, value), self.inner(name));
        Field::Given(At { value: read(table, &what, self.problems, read_table), place })
    }

    /// A list of tables with fixed fields.
    pub(super) fn list_of_tables<T>(
        &mut self,
        name: &'static str,
        read_table: impl Fn(&mut Fields<'_>) -> T,
    ) -> Field<Vec<T>> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong_type(name, Expected::TABLES, value);
        };
        let mut items = Vec::new();
        for item in array {
            let DeValue::Table(table) = item.get_ref() else {
                return self.wrong_type(name, Expected::TABLES, item);
            };
            let what = self.inner(name);
            items.push(read(table, &what, self.problems, &read_table));
        }
        Field::Given(At { value: items, place: place_of(value) })
    }

    /// Tables under names that the user chose, such as `[environments.NAME]`; `what` is the word for one of them.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read_table: impl Fn(&mut Fields<'_>) -> T,
    ) -> Field<Vec<Named<T>>> {
        let Some(value) = self.value(name) else { return Field::Absent };
        let DeValue::Table(tables) = value.get_ref() else {
            return self.wrong_type(name, Expected::NAMED, value);
        };
        let place = self.table_place(name, value);
        let mut found = Vec::new();
        for (key, inner) in tables {
            let described = format!("{what} `{}`", shown(key.get_ref()));
            let DeValue::Table(table) = inner.get_ref() else {
                let problem =
                    wrong_type(&described, &format!("{name}.{}", shown(key.get_ref())), Expected::HEADER, inner);
                self.problems.push(problem);
                continue;
            };
            let name = At { value: key.get_ref().clone().into_owned(), place: key.span().into() };
            let table = read(table, &described, self.problems, &read_table);
            found.push(Named { name, table });
        }
        if found.is_empty() && !tables.is_empty() {
            return Field::Wrong;
        }
        Field::Given(At { value: found, place })
    }

    /// The place of a secret: a table, and nothing else. A text is taken for the secret itself.
    pub(super) fn secret<T>(&mut self, name: &'static str, read_table: impl FnOnce(&mut Fields<'_>) -> T) -> Field<T> {
        if let Some(value) = self.table.get(name)
            && let DeValue::String(_) = value.get_ref()
        {
            self.known.push(name);
            let problem = secret_in_file(&format!("`{name}` of {}", self.what), name, place_of(value));
            return self.report(problem);
        }
        self.table(name, read_table)
    }

    /// What a table in this one is called.
    fn inner(&self, name: &str) -> String {
        if self.what == THE_FILE { format!("`[{name}]`") } else { format!("`{name}` of {}", self.what) }
    }

    fn value(&mut self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(name);
        self.table.get(name)
    }

    fn field<T>(
        &mut self,
        name: &'static str,
        expected: Expected,
        take: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Field<T> {
        let Some(value) = self.value(name) else { return Field::Absent };
        match take(value.get_ref()) {
            Some(taken) => Field::Given(At { value: taken, place: place_of(value) }),
            None => self.wrong_type(name, expected, value),
        }
    }

    fn items(&mut self, name: &'static str, value: &Spanned<DeValue<'_>>) -> Field<Vec<At<String>>> {
        let mut items = Vec::new();
        for item in value.get_ref().as_array().into_iter().flatten() {
            let Some(text) = item.get_ref().as_str() else {
                return self.wrong_type(name, Expected::TEXTS, item);
            };
            items.push(At { value: text.to_owned(), place: place_of(item) });
        }
        Field::Given(At { value: items, place: place_of(value) })
    }

    /// A table's place: itself where it stands in one line, else its name, since it may be spread over the file.
    fn table_place(&self, name: &str, value: &Spanned<DeValue<'_>>) -> SourceSpan {
        match self.table.get_key_value(name) {
            Some((key, _)) if value.span().start < key.span().end => key.span().into(),
            Some(_) | None => place_of(value),
        }
    }

    fn wrong_type<T>(&mut self, name: &str, expected: Expected, value: &Spanned<DeValue<'_>>) -> Field<T> {
        let problem = wrong_type(&format!("`{name}` of {}", self.what), name, expected, value);
        self.report(problem)
    }

    fn report<T>(&mut self, problem: Problem) -> Field<T> {
        self.problems.push(problem);
        Field::Wrong
    }

    fn report_unknown(self) {
        for (key, value) in self.table.iter().filter(|(key, _)| !self.known.contains(&key.get_ref().as_ref())) {
            let name = shown(key.get_ref());
            if self.known.contains(&"key") && value.get_ref().is_str() && may_name_a_secret(key.get_ref()) {
                let what = format!("{} has no field `{name}`, and it", self.what);
                self.problems.push(secret_in_file(&what, "key", key.span().into()));
                continue;
            }
            let problem = Problem::new(code::UNKNOWN_FIELD, format!("{} has no field `{name}`", self.what))
                .help(did_you_mean(key.get_ref(), &self.known, "its fields are"))
                .at(key.span().into(), "not known");
            self.problems.push(problem);
        }
    }
}

/// A text where only the place of a secret belongs. The text is not quoted, and the picture hides it.
fn secret_in_file(what: &str, name: &str, place: SourceSpan) -> Problem {
    let example = if name == "key" { "LICENSE_KEY" } else { "NAME" };
    Problem::new(code::SECRET_IN_FILE, format!("{what} holds a text; a secret is named here, never written"))
        .help(format!(
            "put it into an environment variable and name that: `{name} = {{ env = \"{example}\" }}`; \
             if the text is a real secret, replace it, since it may be in the history of this file"
        ))
        .at(place, "the text is not shown")
}

fn wrong_type(what: &str, name: &str, expected: Expected, found: &Spanned<DeValue<'_>>) -> Problem {
    let words = expected.words;
    Problem::new(code::WRONG_TYPE, format!("{what} should be {words}, and is {}", type_of(found.get_ref())))
        .help(format!("write it as {}", expected.example_for(name)))
        .at(place_of(found), format!("expected {words}"))
}

/// A type of values, for people.
#[derive(Clone, Copy)]
struct Expected {
    words: &'static str,
    /// How it is written; `NAME` stands for the field.
    example: &'static str,
}

impl Expected {
    const TEXT: Self = Self { words: "a text", example: "`NAME = \"…\"`, in quotes" };
    const FLAG: Self = Self { words: "`true` or `false`", example: "`NAME = true` or `NAME = false`, without quotes" };
    const WHOLE: Self = Self { words: "a whole number", example: "`NAME = 1`, without quotes" };
    const TEXTS: Self = Self { words: "a list of texts", example: "`NAME = [\"…\", \"…\"]`" };
    const WHOLES: Self = Self { words: "a list of numbers of days", example: "`NAME = [30, 7, 1]`" };
    const WHOLES_ITEM: Self = Self { words: "a number of days", ..Self::WHOLES };
    const COMMAND: Self = Self {
        words: "a text or a list of texts",
        example: "`NAME = \"program argument\"` or `NAME = [\"program\", \"argument\"]`",
    };
    const NAMED_TEXTS: Self =
        Self { words: "a table of texts", example: "`NAME = { region = \"eu-west-1\" }`, each value in quotes" };
    const TABLE: Self = Self { words: "a table", example: "`NAME = { … }`" };
    const TABLES: Self = Self { words: "a list of tables", example: "`NAME = [{ … }]`" };
    const NAMED: Self = Self { words: "a table", example: "`[NAME.…]`, with a name of your choice" };
    const HEADER: Self = Self { words: "a table", example: "`[NAME]`, with its fields below" };

    fn example_for(self, name: &str) -> String {
        self.example.replace("NAME", name)
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn place_of<T>(value: &Spanned<T>) -> SourceSpan {
    value.span().into()
}

/// How alike two words must be before one is proposed for the other, from 0 to 1.
const ALIKE_MIN: f64 = 0.8;

/// Proposes the known word that is most like the written one; without one it lists them all, after `otherwise`.
pub(super) fn did_you_mean(written: &str, known: &[&str], otherwise: &str) -> String {
    let written = written.to_lowercase();
    let alike = |word: &&str| strsim::jaro_winkler(&written, &word.to_lowercase());
    let nearest = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match nearest.filter(|word| alike(word) >= ALIKE_MIN) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("{otherwise} {}", list(known)),
    }
}

/// The same for a short list, which is always given whole.
fn one_of(written: &str, words: &[&str]) -> String {
    let choice = format!("it is one of {}", list(words));
    match did_you_mean(written, words, "") {
        proposal if proposal.ends_with('?') => format!("{proposal} {choice}"),
        _ => choice,
    }
}

/// How many words of a list are shown.
const LISTED_MAX: usize = 24;

/// Words for people: `a`, `b` and `c`.
pub(super) fn list(words: &[&str]) -> String {
    let mut shown_words: Vec<String> = words.iter().take(LISTED_MAX).map(|word| format!("`{}`", shown(word))).collect();
    if words.len() > LISTED_MAX {
        shown_words.push(format!("{} more", words.len() - LISTED_MAX));
    }
    match shown_words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

/// The names that a table's reader asks for.
#[cfg(test)]
pub(super) fn known_names(read: impl FnOnce(&mut Fields<'_>)) -> Vec<&'static str> {
    let table = DeTable::new();
    let mut fields = Fields { table: &table, what: String::new(), known: Vec::new(), problems: &mut Vec::new() };
    read(&mut fields);
    fields.known
}
