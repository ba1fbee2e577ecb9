//! What can be said of a `license.toml` that cannot be understood as a whole, as far as it is TOML: where its secrets
//! are, and whose pushes it stops when nobody knows their license.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    check::FILE_BYTES_MAX,
    secrets::{is_variable_name, shown},
};
use crate::{files, push::branches::BranchGlob, store::Source};

/// The most secrets that are looked for: a file with more is something else.
const SOURCES_MAX: usize = 100;

/// An environment that stops a push when nobody knows its license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocking {
    /// Its name, fit to be shown.
    pub(crate) environment: String,
    branches: Branches,
}

/// Which pushes deploy to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Branches {
    /// Those of these refs.
    These(Vec<BranchGlob>),
    /// The file says so in a way that this program does not know.
    NotKnown,
}

impl Blocking {
    /// Whether a push of these refs may deploy to it.
    pub(crate) fn may_be_meant_by(&self, refs: &[Vec<u8>]) -> bool {
        match &self.branches {
            Branches::These(globs) => globs.iter().any(|glob| refs.iter().any(|name| glob.matches(name))),
            Branches::NotKnown => true,
        }
    }
}

/// The environments of a file that stop a push: those whose `on_push` is there and is not the word for "it goes out".
pub(crate) fn blocking(bytes: &[u8]) -> Vec<Blocking> {
    let text = String::from_utf8_lossy(bytes);
    let (table, _) = DeTable::parse_recoverable(&text);
    let Some(environments) = inner(table.get_ref(), "environments").and_then(DeValue::as_table) else {
        return Vec::new();
    };
    let blocking = |(name, environment): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let environment = environment.get_ref().as_table()?;
        let on_push = inner(environment, "on_push")?;
        let branches = match inner(environment, "branches").and_then(globs) {
            Some(globs) => Branches::These(globs),
            None => Branches::NotKnown,
        };
        let name: &str = AsRef::<str>::as_ref(name.get_ref());
        (on_push.as_str() != Some("warn")).then(|| Blocking { environment: shown(name), branches })
    };
    environments.iter().filter_map(blocking).collect()
}

fn globs(value: &DeValue<'_>) -> Option<Vec<BranchGlob>> {
    value.as_array()?.iter().map(|item| BranchGlob::parse(item.get_ref().as_str()?).ok()).collect()
}

fn inner<'t>(table: &'t DeTable<'_>, name: &str) -> Option<&'t DeValue<'t>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref())
}

/// The places of secrets that a file on this machine names, wherever they stand in it. None where it is not there.
pub(crate) fn sources(file: &Path) -> Vec<Source> {
    let Ok(bytes) = files::read_limited(file, FILE_BYTES_MAX) else { return Vec::new() };
    let Ok(file) = std::path::absolute(file) else { return Vec::new() };
    sources_of(&String::from_utf8_lossy(&bytes), file.parent().unwrap_or(&file))
}

fn sources_of(text: &str, root: &Path) -> Vec<Source> {
    let (table, _) = DeTable::parse_recoverable(text);
    let (mut found, mut tables) = (Vec::new(), vec![table.get_ref()]);
    while let Some(table) = tables.pop() {
        let source = source(table, root).filter(|source| !found.contains(source));
        found.extend(source.filter(|_| found.len() < SOURCES_MAX));
        for (_, value) in table {
            let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
            tables.extend(items.chain([value]).filter_map(|value| value.get_ref().as_table()));
        }
    }
    found
}

/// The place of a secret that a table is, where it is one.
fn source(table: &DeTable<'_>, root: &Path) -> Option<Source> {
    let text = |name: &str| inner(table, name).and_then(DeValue::as_str);
    let variable = |name: &str| text(name).filter(|text| is_variable_name(text)).map(str::to_owned);
    if let Some(name) = variable("env") {
        return Some(Source::Env { name });
    }
    if let Some(file) = text("dotenv") {
        return Some(Source::Dotenv { file: root.join(file), name: variable("name")? });
    }
    if let Some(file) = text("age") {
        let identity = inner(table, "identity").and_then(DeValue::as_table).and_then(|table| source(table, root))?;
        return Some(Source::Age { file: root.join(file), identity: Box::new(identity) });
    }
    // Beside other fields, `file` means something else.
    text("file").filter(|_| table.len() == 1).map(|file| Source::File { file: root.join(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_wherever_their_places_are_named() {
        let text = "version = 9\nnew = [{ at = { env = \"A\" } }]\n[authority.to]\ntoken = { env = \"B\" }\n\
                    [environments.x]\nkey = { dotenv = \".env\", name = \"K\" }\nbroken =\n\
                    other = { age = \"k.age\", identity = { file = \"id.txt\" } }\n\
                    [stores.s]\nkind = \"age\"\nfile = \"s.age\"\nkey = { env = \"no name\" }\n";
        let root = Path::new("/r");
        let env = |name: &str| Source::Env { name: name.to_owned() };
        let identity = Source::File { file: root.join("id.txt") };
        let mut expected = vec![
            env("A"),
            env("B"),
            Source::Dotenv { file: root.join(".env"), name: "K".to_owned() },
            Source::Age { file: root.join("k.age"), identity: Box::new(identity.clone()) },
            identity,
        ];
        let mut found = sources_of(text, root);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(sources_of("not = TOML [", root), []);
    }

    #[test]
    fn what_is_not_the_word_for_going_out_stops_a_push() {
        for (lines, main, other) in [
            ("", false, false),
            ("on_push = \"warn\"\n", false, false),
            ("on_push = \"block\"\nbranches = [\"main\"]\n", true, false),
            ("on_push = \"ask\"\nbranches = [\"main\"]\n", true, false),
            ("on_push = 1\nbranches = [\"main\"]\n", true, false),
            ("on_push = \"block\"\nbranches = [\"main\", \"[a]\"]\n", true, true),
            ("on_push = \"block\"\n", true, true),
        ] {
            let blocking = blocking(format!("[environments.x]\n{lines}").as_bytes());
            let stops = |name: &str| blocking.iter().any(|one| one.may_be_meant_by(&[name.as_bytes().to_vec()]));
            assert_eq!((stops("refs/heads/main"), stops("refs/heads/other")), (main, other), "{lines}");
        }
        assert_eq!(blocking(b"environments = 1"), []);
    }
}
