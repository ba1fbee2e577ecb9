//! Splits a command into words as POSIX quotes them, and refuses what only a shell would understand.

/// Why a text is not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotWords {
    /// Nothing but white space.
    Empty,
    /// A quote that is not closed.
    Unclosed(char),
    /// A backslash with nothing after it.
    DanglingBackslash,
    /// Something that only a shell would act on.
    Shell(char),
    /// `NAME=value` before the program.
    Assignment,
}

/// Splits the text. Quotes and backslashes mean what they mean in a POSIX shell; nothing is expanded.
pub(super) fn split(text: &str) -> Result<Vec<String>, NotWords> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.peek().is_none() {
            break;
        }
        let word = word(&mut chars)?;
        if words.is_empty() && word.is_assignment {
            return Err(NotWords::Assignment);
        }
        if word.is_word {
            words.push(word.text);
        }
    }
    if words.is_empty() { Err(NotWords::Empty) } else { Ok(words) }
}

#[derive(Default)]
struct OneWord {
    text: String,
    is_assignment: bool,
    is_word: bool,
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// One word, up to white space that is not quoted.
fn word(chars: &mut Chars<'_>) -> Result<OneWord, NotWords> {
    let mut word = OneWord::default();
    let mut quoted = false; // also an empty text is a word when it is quoted
    while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
        match c {
            '\'' => single_quoted(chars, &mut word.text)?,
            '"' => double_quoted(chars, &mut word.text)?,
            '\\' => match chars.next() {
                // The line goes on in the next one.
                Some('\n') => continue,
                Some(escaped) => word.text.push(escaped),
                None => return Err(NotWords::DanglingBackslash),
            },
            '|' | '&' | ';' | '<' | '>' | '$' | '`' | '*' | '?' | '(' | ')' | '[' => return Err(NotWords::Shell(c)),
            '~' | '#' if word.text.is_empty() && !quoted => return Err(NotWords::Shell(c)),
            '=' if !quoted && super::secrets::is_variable_name(&word.text) => {
                word.is_assignment = true;
                word.text.push(c);
            }
            plain => word.text.push(plain),
        }
        quoted |= matches!(c, '\'' | '"' | '\\');
    }
    Ok(OneWord { is_word: quoted || !word.text.is_empty(), ..word })
}

fn single_quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), NotWords> {
    for c in chars.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err(NotWords::Unclosed('\''))
}

/// Between double quotes a shell still expands `$` and a back quote, and a backslash escapes only a few characters.
fn double_quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), NotWords> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '$' | '`' => return Err(NotWords::Shell(c)),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some('\n') => {}
                Some(other) => word.extend(['\\', other]),
                None => break,
            },
            plain => word.push(plain),
        }
    }
    Err(NotWords::Unclosed('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_posix_quotes_them() {
        for (text, words) in [
            ("npm run deploy", &["npm", "run", "deploy"][..]),
            ("  npm\trun  ", &["npm", "run"]),
            ("echo 'a b' \"c d\"", &["echo", "a b", "c d"]),
            ("echo a' 'b\"c\"", &["echo", "a bc"]),
            (r"echo a\ b \| \$HOME", &["echo", "a b", "|", "$HOME"]),
            (r#"echo "a \"b\" \\ \n \$x""#, &["echo", r#"a "b" \ \n $x"#]),
            ("echo '' \"\"", &["echo", "", ""]),
            ("echo '$HOME | *'", &["echo", "$HOME | *"]),
            ("make DEPLOY=1 a~b x#y", &["make", "DEPLOY=1", "a~b", "x#y"]),
            ("npm \\\n  run dep\\\nloy \\\n", &["npm", "run", "deploy"]),
            ("'A'=1 x", &["A=1", "x"]),
            ("deploy --to=app.com", &["deploy", "--to=app.com"]),
        ] {
            assert_eq!(
                split(text).as_deref(),
                Ok(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for (text, c) in [
            ("a | b", '|'),
            ("a && b", '&'),
            ("a; b", ';'),
            ("a < b", '<'),
            ("a 2>&1", '>'),
            ("echo $HOME", '$'),
            ("echo \"$HOME\"", '$'),
            ("echo `date`", '`'),
            ("rm *.log", '*'),
            ("ls a?", '?'),
            ("(cd x)", '('),
            ("ls [ab]", '['),
            ("~/deploy", '~'),
            ("deploy # now", '#'),
        ] {
            assert_eq!(split(text), Err(NotWords::Shell(c)), "{text}");
        }
        assert_eq!(split("NODE_ENV=production npm run deploy"), Err(NotWords::Assignment));
        assert_eq!(split("A=\"x y\" npm"), Err(NotWords::Assignment));
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        assert_eq!(split("echo 'a"), Err(NotWords::Unclosed('\'')));
        assert_eq!(split("echo \"a\\"), Err(NotWords::Unclosed('"')));
        assert_eq!(split("echo a\\"), Err(NotWords::DanglingBackslash));
        assert_eq!(split(" \t "), Err(NotWords::Empty));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_is_split_without_panic(text in "[ -~\\n]*|\\PC*") {
            let _ = split(&text);
        }

        #[test]
        fn what_is_quoted_comes_back(words in proptest::collection::vec("[^'\\x00]+", 1..5)) {
            let text = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            proptest::prop_assert_eq!(split(&text), Ok(words));
        }
    }
}
