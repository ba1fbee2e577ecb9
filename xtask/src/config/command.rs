//! The rules of a command: a text that is split into words, or the words.

use super::{
    checking::Checking,
    fields::Field,
    problem::{Problem, code},
    raw::RawCommand,
    secrets::shown,
    words::{self, NotWords},
};

/// The words of a command, the program first. `None`: there is none, or what is wrong with it is reported.
pub(super) fn check(
    checking: &mut Checking<'_>,
    name: &str,
    example: &str,
    field: &Field<RawCommand>,
) -> Option<Vec<String>> {
    let at = field.given()?;
    let words = match &at.value {
        RawCommand::Text(text) => match words::split(text) {
            Ok(words) => words,
            Err(why) => {
                checking.report(not_words(name, example, text, &why).at(at.place, label_of(&why)));
                return None;
            }
        },
        RawCommand::Words(words) => words.iter().map(|word| word.value.clone()).collect(),
    };
    let why = match words.first() {
        None => "is empty",
        Some(first) if first.trim().is_empty() => "names no program",
        Some(_) if words.iter().any(|word| word.contains('\0')) => "has a NUL character in it",
        Some(_) => return Some(words),
    };
    let problem = Problem::new(code::COMMAND, format!("`{name}` {why}"))
        .help(format!("write the program and its arguments, as in `{name} = \"{example}\"`, or leave it out"))
        .at(at.place, why);
    checking.report(problem);
    None
}

fn label_of(why: &NotWords) -> &'static str {
    match why {
        NotWords::Empty => "no command",
        NotWords::Unclosed(_) => "a quote is not closed",
        NotWords::DanglingBackslash => "ends in a backslash",
        NotWords::Shell(_) | NotWords::Assignment => "needs a shell",
    }
}

fn not_words(name: &str, example: &str, text: &str, why: &NotWords) -> Problem {
    let example = format!("write the program and its arguments, as in `{name} = \"{example}\"`");
    let shell =
        format!("if a shell is meant, say so: `{name} = [\"sh\", \"-c\", {}]`", serde_json::Value::from(shown(text)));
    match why {
        NotWords::Empty => Problem::new(code::COMMAND, format!("`{name}` is empty")).help(example),
        NotWords::Unclosed(quote) => {
            Problem::new(code::COMMAND, format!("`{name}` has a `{quote}` that is not closed")).help("close the quote")
        }
        NotWords::DanglingBackslash => Problem::new(code::COMMAND, format!("`{name}` ends in a backslash"))
            .help("leave the backslash out, or double it"),
        NotWords::Shell(c) => Problem::new(
            code::NEEDS_SHELL,
            format!("`{name}` has a `{c}` that only a shell would act on, and no shell runs it"),
        )
        .help(format!("{shell}; if the character is meant as it is, put it in single quotes")),
        NotWords::Assignment => Problem::new(
            code::NEEDS_SHELL,
            format!("`{name}` sets a variable before its program, and no shell runs it"),
        )
        .help(shell),
    }
}
