//! GitHub Actions: annotations, the step summary, masks, and the defense against commands in outside text.
//!
//! The runner reads workflow commands from both streams: `::name …::text` at the beginning of a line, and the
//! older `##[name]` anywhere in one.

use std::fmt::Write;

use license_core::{Check, Outcome, Verdict, alert};
use miette::{Severity, SourceSpan};

use super::{CheckReport, CommandEnd, DeployReport, Gated, HealthEnd, human};
use crate::{
    commands::{
        rotate::{self, Outcome as Rotated, RotateReport},
        status::{Account, Status, StatusReport},
    },
    config::{AuthoritySettings, Config, Environment, Problem},
    context::Platform,
    exit::Exit,
    failure::Failure,
    gate::{Basis, Judgement},
    health::{Seen, sentence},
    scan::{place::Thing, told::Report},
};

/// How loud an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Notice,
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

/// The same for XML, in which what was written still reads the same.
pub(crate) fn defused_xml(platform: Platform, text: String) -> String {
    let defused = |line: &str| {
        let spoken = line.trim_start_matches(|c: char| !c.is_ascii_graphic());
        let indent = &line[..line.len() - spoken.len()];
        let line = spoken.strip_prefix("::").map(|rest| format!("{indent}&#58;:{rest}"));
        line.unwrap_or_else(|| format!("{indent}{spoken}")).replace("##[", "#&#35;[")
    };
    match platform {
        Platform::GithubActions => text.split_inclusive(['\n', '\r']).map(defused).collect(),
        Platform::Other => text,
    }
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

/// What annotations are about, and where it stands.
pub(crate) struct Subject<'a> {
    /// The file as the runner knows it.
    pub(crate) file: String,
    /// The file's places.
    pub(crate) config: &'a Config,
    /// The environment.
    pub(crate) environment: &'a Environment,
}

impl Subject<'_> {
    /// At the demand of a check.
    fn at(&self, check: Check, level: Level, title: &str, message: &str) -> String {
        self.annotation(self.environment.place_of(check), level, title, message)
    }

    /// Where the environment begins.
    fn at_table(&self, level: Level, title: &str, message: &str) -> String {
        self.annotation(self.environment.place, level, title, message)
    }

    fn annotation(&self, place: SourceSpan, level: Level, title: &str, message: &str) -> String {
        annotation(level, &self.file, Some(self.config.line_column(place)), title, message)
    }
}

/// The annotations of a judgement: every failed, unknown and worrying check at its demand's line. Where the authority
/// gave no answer, that is said once, at the key, and not again for every check.
pub(crate) fn judgement(subject: &Subject<'_>, judged: &Judgement) -> String {
    let name = &subject.environment.name;
    let stops = match judged.verdict {
        Verdict::Go => Level::Warning,
        Verdict::Refused | Verdict::Unknown => Level::Error,
    };
    let mut text = String::new();
    if let Some(trouble) = judged.basis.trouble() {
        text += &subject.at(Check::Validity, stops, &format!("license of {name}"), &trouble.to_string());
    }
    if matches!(judged.basis, Basis::Nothing { .. }) {
        return text;
    }
    for finding in &judged.checks {
        let level = match (finding.outcome, judged.verdict) {
            (Outcome::Pass, _) => continue,
            (Outcome::Fail, _) | (Outcome::Unknown, Verdict::Unknown) => Level::Error,
            (Outcome::Warn, _) | (Outcome::Unknown, Verdict::Go | Verdict::Refused) => Level::Warning,
        };
        let title = format!("license of {name}: {}", finding.check);
        text += &subject.at(finding.check, level, &title, &finding.message);
    }
    text
}

/// The annotation of a command that did not end well; none for one that did.
pub(crate) fn command(subject: &Subject<'_>, what: &str, end: &CommandEnd) -> String {
    if end.is_ok() {
        return String::new();
    }
    let message = format!("{what} `{}` {}", end.shown, human::ending(end));
    subject.at_table(Level::Error, &format!("{what} of {}", subject.environment.name), &message)
}

/// The annotation of an application that is not healthy; none for one that is.
pub(crate) fn health(subject: &Subject<'_>, end: &HealthEnd) -> String {
    match &end.seen {
        Seen::Proved | Seen::NotProved | Seen::Stopped(_) => String::new(),
        Seen::Unhealthy { .. } | Seen::Unreachable { .. } => {
            let title = format!("health of {}", subject.environment.name);
            subject.at_table(Level::Error, &title, &format!("{} is {}", end.url, state(&end.seen)))
        }
    }
}

/// The annotation of a rotation that is not done, or that leaves something to worry about; none for another.
pub(crate) fn rotated(subject: &Subject<'_>, outcome: &Rotated) -> String {
    let level = match (outcome.exit() == Exit::Done, outcome.is_worrying()) {
        (true, false) => return String::new(),
        (true, true) => Level::Warning,
        (false, _) => Level::Error,
    };
    let name = &subject.environment.name;
    let told = outcome.told(name.as_str());
    let message = told.next.map_or_else(|| told.what.clone(), |next| format!("{}\nnext: {next}", told.what));
    subject.at_table(level, &format!("rotation of {name}"), &message)
}

/// The annotations of a failure: every problem of the file at its line, and what is wrong with a key at the key.
pub(crate) fn failure(about: Option<&Subject<'_>>, annotated: impl Fn(&str) -> String, failure: &Failure) -> String {
    if let Failure::Config(error) = failure {
        let file = annotated(&error.path);
        return error.problems.iter().map(|one| problem(&file, one)).collect();
    }
    let message = failure.to_string();
    match about {
        Some(subject) => {
            let title = format!("license of {}", subject.environment.name);
            subject.at(Check::Validity, Level::Error, &title, &message)
        }
        None => annotation(Level::Error, "", None, "license", &message),
    }
}

/// The annotations of a scan for leaked keys: at the line where there is a file, and one for what could not be scanned.
/// The runner shows only the first ten of a step, so that those are enough.
pub(crate) fn leaks(report: &Report, annotated: impl Fn(&str) -> String) -> String {
    const ANNOTATIONS_MAX: usize = 10;
    let mut text = String::new();
    for finding in report.shown(ANNOTATIONS_MAX) {
        let file = match finding.place.thing {
            Thing::File | Thing::Staged | Thing::Blob | Thing::LinkTarget | Thing::FileName | Thing::Tree => {
                finding.place.path.as_deref().map_or_else(String::new, &annotated)
            }
            Thing::Commit | Thing::Tag | Thing::RefName => String::new(),
        };
        let line = finding.line().and_then(|line| usize::try_from(line).ok()).map(|line| (line, 1));
        let message = format!("{}\n{}", report.sentence(finding), finding.place());
        let place = if file.is_empty() { None } else { line };
        text += &annotation(Level::Error, &file, place, "leaked key", &message);
    }
    if let Some(first) = report.scanned.incomplete.first() {
        let message = format!("not scanned: {}: {}", first.what, first.why);
        text += &annotation(Level::Error, "", None, "the scan for leaked keys is incomplete", &message);
    }
    text
}

/// The annotation of an alert.
pub(crate) fn alert(severity: alert::Severity, title: &str, message: &str) -> String {
    let level = match severity {
        alert::Severity::Info | alert::Severity::Warning => Level::Warning,
        alert::Severity::Critical => Level::Error,
    };
    annotation(level, "", None, title, message)
}

/// An annotation that asks for nothing.
pub(crate) fn notice(title: &str, message: &str) -> String {
    annotation(Level::Notice, "", None, title, message)
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
    let name = report.environment.as_deref().map_or(String::new(), |name| format!(" of {}", plain(name)));
    let mut text = format!("### License{name}: {}\n\n", verdict(report.judgement.as_ref()));
    if let Some(judged) = &report.judgement {
        text += &table(judged);
    }
    let ending = |end: &Option<CommandEnd>| end.as_ref().map(human::ending);
    for (what, how) in [
        ("deploy", ending(&report.deploy)),
        ("health", report.health.as_ref().map(|end| state(&end.seen))),
        ("rollback", ending(&report.rollback)),
        ("error", report.failure.as_ref().map(ToString::to_string)),
    ] {
        let _ = how.map(|how| writeln!(text, "- {what}: {}", plain(&how)));
    }
    if let Some(head) = &report.trail {
        let _ = writeln!(text, "- trail: #{} `{}`", head.seq, head.hash);
    }
    text + "\n"
}

fn state(seen: &Seen) -> String {
    match seen {
        Seen::Proved => "proved to be this deploy".to_owned(),
        Seen::NotProved => "healthy, not proved to be this deploy".to_owned(),
        Seen::Unhealthy { differences } => format!("unhealthy: {}", sentence(differences)),
        Seen::Unreachable { why } => format!("unhealthy: {why}"),
        Seen::Stopped(_) => "not known, for a signal came first".to_owned(),
    }
}

/// The step summary of a command that could not begin, in Markdown.
pub(crate) fn failure_summary(failure: &Failure) -> String {
    format!("### License: not judged\n\n- {}\n\n", plain(&failure.to_string()))
}

/// A longer summary is not kept by GitHub, in bytes; the rest of its MiB is for other commands of the step.
const SUMMARY_BYTES_MAX: usize = 900 * 1024;

/// The step summary of `check`, in Markdown: every environment, as many as there is room for.
pub(crate) fn check_summary(report: &CheckReport<'_>) -> String {
    let mut text = String::new();
    for (count, gated) in report.gated.iter().enumerate() {
        let one = of_environment(gated);
        if text.len() + one.len() > SUMMARY_BYTES_MAX {
            let _ = writeln!(text, "The other {} environments are in the log.\n", report.gated.len() - count);
            break;
        }
        text += &one;
    }
    text
}

/// The annotations of `status`: everything that is wrong with an environment.
pub(crate) fn status(subject: &Subject<'_>, report: &StatusReport<'_>, status: &Status<'_>) -> String {
    let name = status.environment.name.as_str();
    let annotation = |(severity, fault): (alert::Severity, String)| {
        let level = match severity {
            alert::Severity::Critical => Level::Error,
            alert::Severity::Info | alert::Severity::Warning => Level::Warning,
        };
        subject.at_table(level, &format!("license of {name}"), &fault)
    };
    super::status::faults(report, status).into_iter().map(annotation).collect()
}

/// The annotation of an account that is near its limit, at its token; none for another.
pub(crate) fn account(file: &str, config: &Config, account: &Account<'_>) -> String {
    let Some(warning) = account.warning() else { return String::new() };
    let place = config.authorities.get(account.authority).and_then(|settings| match settings {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(remote) => remote.token_place,
    });
    let title = format!("validations of {}", account.authority);
    let place = place.map(|place| config.line_column(place));
    annotation(Level::Warning, file, place, &title, &format!("{}: {warning}", account.words()))
}

/// The step summary of `status`, in Markdown: every environment, as many as there is room for.
pub(crate) fn status_summary(report: &StatusReport<'_>) -> String {
    let mut text =
        "### License status\n\n| environment | state | ends at | what is wrong |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for (count, status) in report.environments.iter().enumerate() {
        let faults: Vec<String> =
            super::status::faults(report, status).into_iter().map(|(_, fault)| plain(&fault)).collect();
        let one = format!(
            "| {} | {} | {} | {} |\n",
            status.environment.name,
            report.exit_of(status).name(),
            status.license.ends_at().map(|ends_at| format!("{ends_at:.0}")).unwrap_or_default(),
            faults.join("; "),
        );
        if text.len() + one.len() > SUMMARY_BYTES_MAX {
            let _ = writeln!(text, "\nThe other {} environments are in the log.", report.environments.len() - count);
            break;
        }
        text += &one;
    }
    if !report.accounts.is_empty() {
        text += "\n";
    }
    for line in super::status::accounts(report) {
        let one = format!("- {}\n", plain(&line));
        if text.len() + one.len() > SUMMARY_BYTES_MAX {
            break;
        }
        text += &one;
    }
    text + "\n"
}

/// The step summary of a rotation that could not begin, in Markdown.
pub(crate) fn rotate_failure_summary(failure: &Failure) -> String {
    format!("### Rotation: not begun\n\n- error: {}\n\n", plain(&failure.to_string()))
}

/// The step summary of `rotate`, in Markdown: every environment, as many as there is room for.
pub(crate) fn rotate_summary(reports: &[RotateReport]) -> String {
    let mut text = String::new();
    for (count, report) in reports.iter().enumerate() {
        let one = of_rotation(report);
        if text.len() + one.len() > SUMMARY_BYTES_MAX {
            let _ = writeln!(text, "The other {} environments are in the log.\n", reports.len() - count);
            break;
        }
        text += &one;
    }
    text
}

fn of_rotation(report: &RotateReport) -> String {
    let name = report.environment.as_deref().unwrap_or_default();
    let word = match (&report.failure, &report.outcome) {
        (Some(_), _) => rotate::exit(report).name(),
        (None, Some(outcome)) => outcome.name(),
        (None, None) => "planned",
    };
    let mut text = format!("### Rotation of {}: {}\n\n", plain(name), plain(&word.replace('_', " ")));
    for step in report.plan.iter().flatten() {
        let _ = writeln!(text, "- {}", plain(step));
    }
    let told = report.outcome.as_ref().map(|outcome| outcome.told(name));
    let (what, next) = told.map_or((None, None), |told| (Some(told.what), told.next));
    for (label, line) in [("", what), ("next: ", next), ("error: ", report.failure.as_ref().map(ToString::to_string))] {
        let _ = line.map(|line| writeln!(text, "- {label}{}", plain(&line)));
    }
    if let Some(head) = &report.trail {
        let _ = writeln!(text, "- trail: #{} `{}`", head.seq, head.hash);
    }
    text + "\n"
}

fn of_environment(gated: &Gated<'_>) -> String {
    let name = plain(gated.environment.name.as_str());
    match &gated.outcome {
        Ok(judged) => format!("### License of {name}: {}\n\n{}", verdict(Some(judged)), table(judged)),
        Err(failure) => format!("### License of {name}: not judged\n\n- {}\n\n", plain(&failure.to_string())),
    }
}

fn verdict(judged: Option<&Judgement>) -> &'static str {
    match judged.map(|judged| (judged.verdict, &judged.forced)) {
        Some((Verdict::Go, None)) => "go",
        Some((Verdict::Go, Some(_))) => "go, by force",
        Some((Verdict::Refused, _)) => "refused",
        Some((Verdict::Unknown, _)) => "unknown",
        None => "not judged",
    }
}

/// The checks, and what the facts rest on.
fn table(judged: &Judgement) -> String {
    let mut text = "| check | outcome | |\n| --- | --- | --- |\n".to_owned();
    for finding in &judged.checks {
        let (check, outcome) = (plain(finding.check.code()), finding.outcome);
        let _ = writeln!(text, "| {check} | {outcome} | {} |", plain(&finding.message));
    }
    text.push('\n');
    let forced = judged.forced.as_ref().map(|reason| format!("by force: {reason}"));
    for line in human::basis_lines(&judged.basis).into_iter().chain(forced) {
        let _ = writeln!(text, "- {}", plain(&line));
    }
    text + "\n"
}

/// Text that is nothing but text in Markdown, also in a table: no markup, no HTML, no links, no line breaks.
fn plain(text: &str) -> String {
    const NEVER_MARKUP: &str = ",;'()-/";
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            c if c.is_ascii_punctuation() && !NEVER_MARKUP.contains(c) => {
                let _ = write!(safe, "&#{};", u32::from(c));
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
        Level::Notice => "notice",
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
    fn xml_has_no_workflow_command_and_says_the_same() {
        for (text, safe) in [
            ("<a>\n  ::error::x\n::y</a>", "<a>\n  &#58;:error::x\n&#58;:y</a>"),
            ("<a b=\"##[error]x\">see a::b</a>\n", "<a b=\"#&#35;[error]x\">see a::b</a>\n"),
        ] {
            assert_eq!(defused_xml(Platform::GithubActions, text.to_owned()), safe);
            assert_eq!(defused_xml(Platform::Other, text.to_owned()), text);
        }
    }

    #[test]
    fn an_annotation_keeps_to_one_line_and_to_its_properties() {
        let line = annotation(Level::Error, "a,b:c.toml", Some((3, 7)), "t", "one\n::error::two 100%");
        assert_eq!(line, "::error file=a%2Cb%3Ac.toml,line=3,col=7,title=t::one%0A::error::two 100%25\n");
    }

    #[test]
    fn text_in_a_summary_is_never_markup() {
        let evil = "a|b\n<img src=x> [l](u) `c` https://evil.example www.evil.example *x* _y_ &amp; @you #1";
        let safe = plain(evil);
        let is_entity = |part: &str| part.split_once(';').is_some_and(|(code, _)| code.starts_with('#'));
        assert!(safe.split('&').skip(1).all(is_entity), "{safe}");
        for markup in ["|", "\n", "<", ">", "[", "]", "`", "*", "_", "@", "://", "www."] {
            assert!(!safe.contains(markup), "{markup}: {safe}");
        }
        assert_eq!(plain("3 of 5 (and more), it's so - a/b; c"), "3 of 5 (and more), it's so - a/b; c");
    }
}
