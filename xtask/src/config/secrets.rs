//! What of a `license.toml` may be shown: everything but secrets that were pasted into it by mistake.
//!
//! The copy for display has the length of the original, so that every place stays right.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The text for display: secrets are replaced by `*`, and characters that a terminal would obey by `?`.
pub(super) fn displayable(text: &str, table: &DeTable<'_>) -> String {
    let mut hidden = by_position(table);
    hidden.extend(by_form(text));
    hidden.extend(by_line(text));
    let mut bytes = text.as_bytes().to_vec();
    for range in hidden {
        hide(&mut bytes, range);
    }
    let text = String::from_utf8(bytes).expect("`hide` replaces whole characters by ASCII");
    without_control_characters(&text)
}

/// A text out of the file as it may stand in a message: no secret, no control character, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in by_form(text) {
        hide(&mut bytes, range);
    }
    let text = String::from_utf8(bytes).expect("`hide` replaces whole characters by ASCII");
    let text = without_control_characters(&text).replace(['\n', '\r', '\t'], "?");
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How much of a text out of the file a message quotes, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Replaces a range that begins and ends between characters, line breaks excepted.
fn hide(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes.get_mut(range).into_iter().flatten().filter(|byte| !matches!(**byte, b'\n' | b'\r')) {
        *byte = b'*';
    }
}

/// Control characters and those that change the direction of writing, byte for byte.
fn without_control_characters(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if obeyed(c) {
            shown.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Texts at places where only the name of a secret belongs.
fn by_position(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut tables = vec![(table, Names::Fields)];
    while let Some((table, names)) = tables.pop() {
        for (name, value) in table {
            let name = name.get_ref().as_ref();
            let secret = names.may_hold_a_secret(name);
            match value.get_ref() {
                DeValue::String(_) if secret => found.push(value.span()),
                DeValue::Table(inner) => {
                    if secret {
                        found.extend(misplaced(inner));
                    }
                    tables.push((inner, names.within(name)));
                }
                DeValue::Array(items) => {
                    let texts = items.iter().filter(|item| secret && item.get_ref().is_str());
                    found.extend(texts.map(Spanned::span));
                    let inner = items.iter().filter_map(|item| item.get_ref().as_table());
                    tables.extend(inner.map(|inner| (inner, names.within(name))));
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => {}
            }
        }
    }
    found
}

/// What the names in a table are.
#[derive(Clone, Copy)]
enum Names {
    /// Of fields.
    Fields,
    /// Of fields of a sink, whose address is a secret.
    FieldsOfSink,
    /// Chosen by the user: an environment may be called `monkey`.
    Chosen,
    /// Chosen by the user, for sinks.
    ChosenForSinks,
}

impl Names {
    fn may_hold_a_secret(self, name: &str) -> bool {
        match self {
            Self::Fields => may_name_a_secret(name),
            Self::FieldsOfSink => name == "url" || may_name_a_secret(name),
            Self::Chosen | Self::ChosenForSinks => false,
        }
    }

    fn within(self, name: &str) -> Self {
        match (self, name) {
            (Self::Fields, "environments" | "authority" | "stores") => Self::Chosen,
            (Self::Fields, "sinks") => Self::ChosenForSinks,
            (Self::ChosenForSinks, _) => Self::FieldsOfSink,
            (Self::Fields | Self::FieldsOfSink | Self::Chosen, _) => Self::Fields,
        }
    }
}

/// Whether a field of this name may hold a secret.
pub(super) fn may_name_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["key", "token", "secret", "password", "passphrase", "credential", "identity", "bearer"];
    !matches!(name.as_str(), "key_class" | "public_keys") && words.iter().any(|word| name.contains(word))
}

/// Texts in the place of a secret that are not the names that belong there.
fn misplaced(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let belongs = |name: &str, value: &Spanned<DeValue<'_>>| match name {
        "env" | "name" => value.get_ref().as_str().is_some_and(is_variable_name),
        "store" => value.get_ref().as_str().is_some_and(is_store_name),
        "dotenv" | "file" | "age" => true,
        _ => false,
    };
    let texts = table.iter().filter(|(_, value)| value.get_ref().is_str());
    texts.filter(|(name, value)| !belongs(name.get_ref(), value)).map(|(_, value)| value.span()).collect()
}

/// Whether a text can be the name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_variable_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text can be the name of a store: `[a-z0-9][a-z0-9_-]{0,62}`.
pub(super) fn is_store_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(allowed)
        && text.len() <= STORE_NAME_BYTES_MAX
        && text.bytes().all(|byte| allowed(byte) || matches!(byte, b'-' | b'_'))
}

/// The longest name of a store, in bytes.
const STORE_NAME_BYTES_MAX: usize = 63;

/// What has the form of a key or token, wherever it stands, comments included; and the parts of addresses that hold secrets.
fn by_form(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*'))) {
        if looks_secret(word) {
            found.push(start..start + word.len());
        }
        start += word.len() + text[start + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
    let mut rest = 0;
    while let Some(at) = text[rest..].find("://") {
        let host = rest + at + "://".len();
        let end = text[host..].find(ends_address).map_or(text.len(), |length| host + length);
        found.extend(in_address(&text[host..end]).into_iter().map(|range| host + range.start..host + range.end));
        rest = end;
    }
    found
}

/// Whether a word has the form of a license key, an API token or a private key.
pub(super) fn looks_secret(word: &str) -> bool {
    const PREFIXES: [&str; 9] =
        ["TO-DEV-", "TO-STG-", "TO-PRD-", "LK-", "LIC-", "sk_live_", "sk_test_", "to_live_", "to_test_"];
    const MORE_PREFIXES: [&str; 4] = ["AGE-SECRET-KEY-", "ghp_", "github_pat_", "xoxb-"];
    let prefixed = |prefix: &&str| word.len() > prefix.len() && word.starts_with(*prefix);
    let is_token = word.starts_with("eyJ") && word.matches('.').count() == 2;
    let is_hex = word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    PREFIXES.iter().chain(&MORE_PREFIXES).any(prefixed) || is_token || is_hex || is_grouped(word)
}

/// `XXXX-XXXX-XXXX-XXXX`, with or without `TO-` before it.
fn is_grouped(word: &str) -> bool {
    let word = word.strip_prefix("TO-").unwrap_or(word);
    let is_group =
        |group: &str| group.len() == 4 && group.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    word.split('-').count() >= 4 && word.split('-').all(is_group)
}

fn ends_address(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`')
}

/// In an address, given from its host on: user and password, the query, and the path of a web hook.
fn in_address(address: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if let Some(at) = address.rfind('@') {
        found.push(0..at);
    }
    if let Some(query) = address.find('?') {
        found.push(query + 1..address.len());
    }
    if address.starts_with("hooks.")
        && let Some(path) = address.find('/')
    {
        found.push(path + 1..address.len());
    }
    found
}

/// Lines that write a secret down, also where the file is not TOML and so has no table to look at.
fn by_line(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((name, value)) = line.split_once('=')
            && may_name_a_secret(name.trim().trim_matches(['"', '\'']))
            && !name.trim_start().starts_with('#')
            && !value.trim_start().starts_with(['{', '['])
        {
            let from = start + line.len() - value.len();
            found.push(from + (value.len() - value.trim_start().len())..start + line.trim_end().len());
        }
        start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_file(text: &str) -> String {
        let (table, _) = DeTable::parse_recoverable(text);
        let shown = displayable(text, table.get_ref());
        assert_eq!(shown.len(), text.len(), "places must stay right");
        shown
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden_wherever_it_stands() {
        for secret in [
            "TO-PRD-9f8e7d6c5b4a",
            "TO-AB12-CD34-EF56-GH78",
            "AB12-CD34-EF56-GH78",
            "LK-123456",
            "LIC-123456",
            "sk_live_abc",
            "to_test_abc",
            "0123456789abcdef0123456789abcdef",
            "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ0In0.abc",
        ] {
            for text in
                [format!("# {secret} is the key"), format!("license = \"{secret}\""), format!("x = [ '{secret}'")]
            {
                assert!(!shown_file(&text).contains(secret), "{text}");
                assert!(!shown(&text).contains(secret), "{text}");
            }
        }
    }

    #[test]
    fn a_text_where_a_secret_should_be_named_is_hidden_whatever_its_form() {
        for text in [
            "key = \"hunter2\"",
            "key = 'hunter2'",
            "key = { value = \"hunter2\"",
            "key = { env = \"hunter-2",
            "key = \"\"\"\nhunter2\n",
            "key = [\n\"hunter2\"",
            "key = \"\"\"\nhunter2\n\"\"\"",
            "token = { env = \"hunter-2\", x = 'hunter2' }",
            "key = { age = \"a.age\", identity = { env = \"hunter-2\" } }",
            "[escrow]\nidentity = \"hunter2\"",
            "key = { store = \"Hunter-2 hunter2\" }",
            "api_token = \"hunter2\"",
            "[environments.p]\nkey = \"hunter2",
            "[a]\nkey.value = \"hunter2\"",
            "\"key\" = \"hunter2\" \"",
            "keys = [\"hunter2\"]",
            "url = \"https://user:hunter2@host/path\"",
            "url = \"https://host/path?x=hunter2\"",
            "[sinks.team]\nurl = \"https://example.com/hunter2\"",
            "[environments.monkey]\nkey = 'hunter2'\nx = \"",
            "url = \"https://hooks.slack.com/services/hunter2\"",
        ] {
            let shown = shown_file(text);
            assert!(!shown.contains("hunter2") && !shown.contains("hunter-2"), "{text}: {shown}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "key = { env = \"LICENSE_KEY\" }",
            "key = { dotenv = \".env.staging\", name = \"LICENSE_KEY\" }",
            "key_class = \"PRD\"",
            "key = { store = \"vault-1\" }",
            "key = { age = \"a.age\", identity = { dotenv = \".env\", name = \"AGE_IDENTITY\" } }",
            "[stores.key]\nname = \"LICENSE_KEY_{environment}\"",
            "[environments.monkey]\ndomain = \"app.com\"",
            "license = \"lic_abc123\"",
            "public_keys = [\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"]",
            "url = \"https://api.trafficorchestrator.com/api/v1\"",
            "allow = [{ fingerprint = \"0011223344556677\", reason = \"sample\" }]",
        ] {
            assert_eq!(shown_file(text), text);
        }
    }

    #[test]
    fn a_terminal_has_nothing_to_obey() {
        assert_eq!(shown_file("# \u{1b}[31m\u{202e}\u{85}\n"), "# ?[31m?????\n");
        assert_eq!(shown("a\nb\u{7}"), "a?b?");
    }

    #[test]
    fn a_quoted_text_has_a_limit() {
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARS_MAX + 1);
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "\\PC*|[a-z=\"'{}\\[\\]#\n\r .@:/?-]*") {
            shown_file(&text);
        }
    }
}
