//! GitHub Actions: annotations, the step summary, masks, and the defense against commands in outside text.
//!
//! The runner reads workflow commands from both streams: `::name …::text` at the beginning of a line, and the
//! older `##[name]` anywhere in one.

use std::fmt::Write;

use license_core::{Outcome, Verdict};
use miette::Severity;

use super::{CheckReport, DeployReport};
use crate::{
    config::{Config, Environment, Problem},
    context::Platform,
    failure::Failure,
    gate::Judgement,
};

/// How loud an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
}

/// Takes the power of workflow commands out of text, line by line.
pub(crate) fn defuse(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for line in text.split_inclusive(['\n', '\r']) {
        let spoken = line.trim_start_matches(|c: char| !c.is_ascii_graphic());
        let indent = &line[..line.len() - spoken.len()];
        safe.push_str(indent);
        if spoken.starts_with("::") {
            safe.push('\\');
        }
        safe.push_str(&spoken.replace("##[", "#\\#["));
    }
    safe
}

/// Asks the runner to mask a secret from here on. The one place where a key is printed on purpose.
pub(crate) fn mask(secret: &str) -> String {
    format!("::add-mask::{}\n", escape_data(secret))
}

/// Stops workflow commands until [`resume_commands`] with the same word.
pub(crate) fn stop_commands(word: &str) -> String {
    format!("::stop-commands::{word}\n")
}

/// Lets workflow commands work again.
pub(crate) fn resume_commands(word: &str) -> String {
    format!("::{word}::\n")
}

/// The annotations of a judgement: every failed, unknown and worrying check at its demand's line.
pub(crate) fn annotations(file: &str, config: &Config, environment: &Environment, judged: &Judgement) -> String {
    let mut text = String::new();
    for finding in &judged.checks {
        let level = match (finding.outcome, judged.verdict) {
            (Outcome::Pass, _) => continue,
            (Outcome::Fail, _) | (Outcome::Unknown, Verdict::Unknown) => Level::Error,
            (Outcome::Warn, _) | (Outcome::Unknown, Verdict::Go | Verdict::Refused) => Level::Warning,
        };
        let (line, column) = config.line_column(environment.place_of(finding.check));
        let title = format!("license of {}: {}", environment.name, finding.check);
        text += &annotation(level, file, Some((line, column)), &title, &finding.message);
    }
    text
}

/// The annotations of a failure: every problem of the file at its line.
pub(crate) fn failure(annotated: impl Fn(&str) -> String, failure: &Failure) -> String {
    let Failure::Config(error) = failure else {
        return annotation(Level::Error, "", None, "license", &failure.to_string());
    };
    let file = annotated(&error.path);
    error.problems.iter().map(|one| problem(&file, one)).collect()
}

/// The annotation of a problem of the file.
pub(crate) fn problem(file: &str, problem: &Problem) -> String {
    let level = match problem.severity {
        Severity::Error => Level::Error,
        Severity::Warning | Severity::Advice => Level::Warning,
    };
    annotation(level, file, problem.line_column(), "license.toml", &problem.message)
}

/// The step summary of `deploy`, in Markdown.
pub(crate) fn deploy_summary(report: &DeployReport) -> String {
    let environment = report.environment.as_deref().unwrap_or("?");
    let mut text = format!("### License of `{}`: {}\n\n", cell(environment), verdict(report.judgement.as_ref()));
    if let Some(judged) = &report.judgement {
        text += &table(judged);
    }
    if let Some(failure) = &report.failure {
        let _ = writeln!(text, "{}\n", cell(&failure.to_string()));
    }
    if let Some(head) = &report.trail {
        let _ = writeln!(text, "Trail: #{} `{}`\n", head.seq, head.hash);
    }
    text
}

/// The step summary of `check`, in Markdown.
pub(crate) fn check_summary(report: &CheckReport<'_>) -> String {
    let mut text = String::new();
    for gated in &report.gated {
        let name = &gated.environment.name;
        match &gated.outcome {
            Ok(judged) => {
                let _ = writeln!(text, "### License of `{name}`: {}\n", verdict(Some(judged)));
                text += &table(judged);
            }
            Err(failure) => {
                let _ = writeln!(text, "### License of `{name}`: not judged\n\n{}\n", cell(&failure.to_string()));
            }
        }
    }
    text
}

fn verdict(judged: Option<&Judgement>) -> &'static str {
    match judged.map(|judged| judged.verdict) {
        Some(Verdict::Go) => "go",
        Some(Verdict::Refused) => "refused",
        Some(Verdict::Unknown) => "unknown",
        None => "not judged",
    }
}

fn table(judged: &Judgement) -> String {
    let mut text = "| check | outcome | |\n| --- | --- | --- |\n".to_owned();
    for finding in &judged.checks {
        let _ = writeln!(text, "| {} | {} | {} |", finding.check, finding.outcome, cell(&finding.message));
    }
    text + "\n"
}

/// Text in a Markdown table: no line breaks, no cell borders, no HTML, no links.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '[' | ']' | '!' | '*' | '_' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

fn annotation(level: Level, file: &str, place: Option<(usize, usize)>, title: &str, message: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut properties = Vec::new();
    if !file.is_empty() {
        properties.push(format!("file={}", escape_property(file)));
    }
    if let Some((line, column)) = place {
        properties.push(format!("line={line},col={column}"));
    }
    properties.push(format!("title={}", escape_property(title)));
    format!("::{level} {}::{}\n", properties.join(","), escape_data(&message.replace("##[", "#\\#[")))
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Whether annotations belong on stdout: only a runner that understands them gets any.
pub(crate) fn defused_for(platform: Platform, text: &str) -> String {
    match platform {
        Platform::GithubActions => defuse(text),
        Platform::Other => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_cannot_become_a_workflow_command() {
        for (text, safe) in [
            ("::error::x", "\\::error::x"),
            ("  ::set-env name=A::b\n::error::x\n", "  \\::set-env name=A::b\n\\::error::x\n"),
            ("\u{feff}::error::x", "\u{feff}\\::error::x"),
            ("a\r::error::x", "a\r\\::error::x"),
            ("see a::b", "see a::b"),
            ("x ##[error]y", "x #\\#[error]y"),
        ] {
            assert_eq!(defuse(text), safe, "{text:?}");
        }
    }

    #[test]
    fn an_annotation_keeps_to_one_line_and_to_its_properties() {
        let line = annotation(Level::Error, "a,b:c.toml", Some((3, 7)), "t", "one\n::error::two 100%");
        assert_eq!(line, "::error file=a%2Cb%3Ac.toml,line=3,col=7,title=t::one%0A::error::two 100%25\n");
    }

    #[test]
    fn a_summary_cell_holds_no_markup() {
        assert_eq!(cell("a|b\n<img src=x> [l](u)"), "a\\|b &lt;img src=x&gt; \\[l\\](u)");
    }
}
