//! What people read: a few plain lines, and pictures of `license.toml` with the demand underlined.

use std::fmt::{self, Write};

use license_core::{Finding, KeyClass, Outcome, Reason, Verdict, trail::Ended};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode, ThemeCharacters, ThemeStyles,
};
use textwrap::{WordSeparator, WordSplitter, core::Word};

use super::{CommandEnd, HealthEnd};
use crate::{
    config::{AuthoritySettings, Config, Environment},
    console::{Color, Glyphs, Ink, Look},
    failure::Failure,
    gate::{Basis, Judgement},
    health::Seen,
};

/// The gate's findings and its decision.
pub(crate) fn gate(environment: &Environment, judged: &Judgement, look: &Look) -> String {
    let domain = &environment.demand.domain;
    let name = look.paint(&environment.name, Ink::Strong);
    let mut text = format!("license of {name} ({domain}), key {}\n", judged.fingerprint);
    for finding in &judged.checks {
        let (mark, ink) = mark(finding.outcome, look);
        let mark = look.paint(format!("{mark} {:<7}", finding.outcome), ink);
        let _ = writeln!(text, "  {mark} {:<15} {}", finding.check.code(), finding.message);
    }
    text += &basis(&judged.basis, look);
    text += &decision(judged, look);
    text
}

fn mark(outcome: Outcome, look: &Look) -> (&'static str, Ink) {
    match outcome {
        Outcome::Pass => (look.glyph("✓", "+"), Ink::Good),
        Outcome::Warn => (look.glyph("▲", "!"), Ink::Worry),
        Outcome::Fail => (look.glyph("✗", "x"), Ink::Bad),
        Outcome::Unknown => ("?", Ink::Worry),
    }
}

fn basis(basis: &Basis, look: &Look) -> String {
    let lines = basis_lines(basis);
    // Where nothing stands in, the trouble stops the deploy, and is a picture of its own, with its advice.
    let of_picture = usize::from(matches!(basis, Basis::Nothing { .. }));
    lines.into_iter().skip(of_picture).map(|line| look.paint(format!("  ! {line}"), Ink::Worry) + "\n").collect()
}

/// What is to be known about facts that the authority did not give just now.
pub(super) fn basis_lines(basis: &Basis) -> Vec<String> {
    let (trouble, stand_in) = match basis {
        Basis::Answer | Basis::Class => return Vec::new(),
        Basis::Cached { at, trouble } => {
            (trouble, format!("judged by a cached answer: the authority's of {at:.0}, kept in the trail"))
        }
        Basis::OfflineToken { at, trouble } => (trouble, format!("judged by the signed offline token of {at:.0}")),
        Basis::Nothing { fallback, trouble } => (trouble, fallback.clone()),
    };
    vec![trouble.to_string(), stand_in]
}

/// That an environment could not be judged.
pub(crate) fn not_judged(environment: &Environment, failure: &Failure, look: &Look) -> String {
    let domain = &environment.demand.domain;
    let (name, not) = (look.paint(&environment.name, Ink::Strong), look.paint("not judged", Ink::Bad));
    format!("license of {name} ({domain})\n{not}: {failure}\n")
}

fn decision(judged: &Judgement, look: &Look) -> String {
    let count = |outcome| judged.checks.iter().filter(|finding| finding.outcome == outcome).count();
    let (word, ink, rest) = match judged.verdict {
        Verdict::Go => match (&judged.forced, count(Outcome::Warn) + count(Outcome::Unknown)) {
            (Some(reason), _) => ("go", Ink::Worry, format!(", by force: {}", license_core::finding::clean(reason))),
            (None, 0) => ("go", Ink::Good, String::new()),
            (None, worries) => ("go", Ink::Good, format!(", with {}", checks(worries, "to look at"))),
        },
        Verdict::Refused => ("refused", Ink::Bad, format!(": {}", checks(count(Outcome::Fail), "failed"))),
        Verdict::Unknown if matches!(judged.basis, Basis::Nothing { .. }) => {
            ("unknown", Ink::Bad, ": the authority gave no answer that could be used".to_owned())
        }
        Verdict::Unknown => {
            ("unknown", Ink::Bad, format!(": {}", checks(count(Outcome::Unknown), "without an answer")))
        }
    };
    format!("{}{rest}\n", look.paint(word, ink))
}

fn checks(count: usize, what: &str) -> String {
    if count == 1 { format!("1 check {what}") } else { format!("{count} checks {what}") }
}

/// How the deploy or rollback command ended.
pub(crate) fn command(what: &str, end: &CommandEnd, look: &Look) -> String {
    let ink = if end.is_ok() { Ink::Good } else { Ink::Bad };
    format!("{what} `{}` {}\n", end.shown, look.paint(ending(end), ink))
}

/// How it ended, in words that follow its name.
pub(super) fn ending(end: &CommandEnd) -> String {
    let seconds = end.seconds;
    match &end.ended {
        Ended::Exited { code: 0 } => format!("done in {seconds:.1} s"),
        Ended::Exited { code } => format!("failed with exit code {code} after {seconds:.1} s"),
        Ended::Killed { signal } => format!("was killed by signal {signal} after {seconds:.1} s"),
        Ended::TimedOut { after_secs } => format!("ran past its deadline of {after_secs} s and was stopped"),
        Ended::Interrupted { signal } => {
            format!("was stopped after {seconds:.1} s: signal {signal} came, and was passed on to it")
        }
        Ended::NotStarted { why } => format!("could not be started: {why}"),
    }
}

/// What was seen of the running application.
pub(crate) fn health(end: &HealthEnd, look: &Look) -> String {
    let url = &end.url;
    match &end.seen {
        Seen::Proved => format!("health {}: {url} runs this deploy's license\n", look.paint("proved", Ink::Good)),
        Seen::NotProved => format!(
            "health {}, not proved to be this deploy: {url} reports neither `keyFingerprint` nor `release`\n",
            look.paint("healthy", Ink::Good)
        ),
        Seen::Unhealthy { differences } => {
            let mut text =
                format!("health {}: {url} differs from what was approved\n", look.paint("unhealthy", Ink::Bad));
            for difference in differences {
                let _ = writeln!(text, "  {} {:<15} {}", look.glyph("✗", "x"), difference.field, difference.message);
            }
            text
        }
        Seen::Unreachable { why } => format!("health {}: {url}: {why}\n", look.paint("unhealthy", Ink::Bad)),
        Seen::Stopped(_) => format!("health not known: stopped before {url} was healthy\n"),
    }
}

/// The words of a line, between which it may be broken. What stands between backticks is one: a command is to be copied,
/// and half of one does something else.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        let (word, after) = rest.split_at_checked(word_bytes(rest)).filter(|(word, _)| !word.is_empty())?;
        rest = after;
        Some(Word::from(word))
    }))
}

/// How long the first word of a text is, with the spaces behind it, in bytes.
fn word_bytes(text: &str) -> usize {
    let mut is_quoted = false;
    let mut ended = false;
    for (at, sign) in text.char_indices() {
        match sign {
            // One that is never closed quotes nothing.
            '`' if !ended => is_quoted = !is_quoted && text[at + 1..].contains('`'),
            ' ' if !is_quoted => ended = true,
            _ if ended => return at,
            _ => {}
        }
    }
    text.len()
}

/// A diagnostic as a picture.
pub(crate) fn picture(diagnostic: &dyn Diagnostic, look: &Look) -> String {
    let characters = match look.glyphs {
        Glyphs::Unicode => ThemeCharacters::unicode(),
        Glyphs::Ascii => ThemeCharacters::ascii(),
    };
    let styles = match look.color {
        Color::On => ThemeStyles::ansi(),
        Color::Off => ThemeStyles::none(),
    };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_width(look.width)
        .with_word_separator(WordSeparator::Custom(words))
        .with_word_splitter(WordSplitter::NoHyphenation)
        .with_break_words(false)
        .with_links(false)
        // Our messages name their causes; the chain would say everything twice.
        .without_cause_chain()
        .with_context_lines(1);
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(fmt::Error) => format!("{diagnostic}\n"),
    }
}

/// The picture of a judgement that stops a deploy: each demand that was not met, underlined. `None` when nothing was.
pub(crate) fn refusal(config: &Config, environment: &Environment, judged: &Judgement, look: &Look) -> Option<String> {
    if let Basis::Nothing { trouble, .. } = &judged.basis {
        return Some(picture(trouble, look));
    }
    let stops = |outcome| match (outcome, judged.verdict) {
        (Outcome::Fail, Verdict::Refused) | (Outcome::Unknown, Verdict::Unknown) => true,
        (Outcome::Pass | Outcome::Warn | Outcome::Fail | Outcome::Unknown, _) => false,
    };
    let labels: Vec<_> = judged
        .checks
        .iter()
        .filter(|finding| stops(finding.outcome))
        .map(|finding| {
            let place = environment.place_of(finding.check);
            LabeledSpan::new_with_span(Some(format!("{}: {}", finding.check, finding.message)), place)
        })
        .collect();
    let (message, help) = match judged.verdict {
        Verdict::Go => return None,
        Verdict::Refused => (
            format!("the license refuses this deploy to `{}`", environment.name),
            after_refusal(config, environment, judged),
        ),
        Verdict::Unknown => (
            format!("it is not known whether the license allows this deploy to `{}`", environment.name),
            "ask again later, set `unknown` or `unreachable` in license.toml, or break the glass with `--force --reason`"
                .to_owned(),
        ),
    };
    Some(picture(&Refusal { config, message, help, labels }, look))
}

/// What to do about a no. An embedded authority that does not know a key cannot be made to: it is another registry than the
/// one that issued it, as after a clean-up by half.
fn after_refusal(config: &Config, environment: &Environment, judged: &Judgement) -> String {
    let is_not_known = |finding: &Finding| finding.outcome == Outcome::Fail && finding.reason == Reason::NotFound;
    let domain = &environment.demand.domain;
    let state = match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { state } if judged.checks.iter().any(is_not_known) => state.display(),
        AuthoritySettings::Embedded { .. } | AuthoritySettings::Remote(_) => {
            return "change the license at the authority, or the demand in license.toml; `--force` does not override a \
                    refusal"
                .to_owned();
        }
    };
    let new_one = if let Some((file, name)) = environment.first_key_place() {
        let (file, environment) = (file.display(), &environment.name);
        format!(
            "take `{name}` out of `{file}`, and `cargo xtask deploy {environment}` issues a new one where the registry has no \
             license for `{domain}`"
        )
    } else {
        let class = environment.demand.key_class.unwrap_or(KeyClass::Dev);
        let issue = format!("cargo xtask authority issue --class {class} --domain {domain}");
        format!("have a new one issued, `{issue}`, and put it into {}", environment.key)
    };
    format!("the registry in `{state}` never issued this key: bring back the one that did, or {new_one}")
}

/// A judgement that stops a deploy.
#[derive(Debug)]
struct Refusal<'a> {
    config: &'a Config,
    message: String,
    help: String,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal<'_> {}

impl Diagnostic for Refusal<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.config.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_not_broken_in_a_command() {
        for (line, expected) in [
            ("", &[][..]),
            ("one", &["one"]),
            ("one  two ", &["one  ", "two "]),
            (" one", &[" ", "one"]),
            ("refs/a-b --c-d", &["refs/a-b ", "--c-d"]),
            ("see `git push --force o refs/a`, then", &["see ", "`git push --force o refs/a`, ", "then"]),
            ("`a b``c d` e", &["`a b``c d` ", "e"]),
            ("a ` b c", &["a ", "` ", "b ", "c"]),
            ("ö `ü ä` ß", &["ö ", "`ü ä` ", "ß"]),
        ] {
            let found: Vec<String> = words(line).map(|word| format!("{}{}", word.word, word.whitespace)).collect();
            assert_eq!(found, expected, "{line:?}");
        }
    }
}
