//! Tells what a command does while it does it, in the form that was asked for.
//!
//! Human text goes to stdout where that is the data, and to stderr where stdout holds a JSON document.

use std::{
    cell::RefCell,
    fmt::Display,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use zeroize::Zeroizing;

use crate::{
    cli::Format,
    commands::{
        rotate::{Outcome, Told},
        status::StatusReport,
    },
    config::{Config, Environment},
    console::{Console, LiveLine, Look},
    context::{Context, Platform},
    failure::Failure,
    gate::Judgement,
    report::{CommandEnd, HealthEnd, github, human, status},
    scan,
};

/// The teller of one run.
#[derive(Debug)]
pub(crate) struct Narrator<'a> {
    /// Where it goes.
    pub(crate) console: &'a Console,
    format: Format,
    platform: Platform,
    /// What the names of files in annotations are relative to, on GitHub Actions.
    workspace: Option<PathBuf>,
    directory: &'a Path,
}

impl<'a> Narrator<'a> {
    /// Tells in the format that was asked for; on GitHub Actions that is `github` unless another was.
    pub(crate) fn new(ctx: &'a Context, format: Option<Format>) -> Self {
        let platform = ctx.runs_on();
        let format = format.unwrap_or(match platform {
            Platform::GithubActions => Format::Github,
            Platform::Other => Format::Human,
        });
        let workspace = ctx.vars.raw("GITHUB_WORKSPACE").map(PathBuf::from);
        Self { console: &ctx.console, format, platform, workspace, directory: &ctx.directory }
    }

    /// The format in force.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Where it runs.
    pub(crate) fn platform(&self) -> Platform {
        self.platform
    }

    /// A line for people, on stderr.
    pub(crate) fn note(&self, line: &str) {
        self.warn(&format!("{line}\n"));
    }

    /// The gate's findings; then, where the deploy stops, the demands that were not met, underlined.
    pub(crate) fn gate(&self, config: &Config, environment: &Environment, judged: &Judgement) {
        self.say(|look| human::gate(environment, judged, look));
        if let Some(picture) = human::refusal(config, environment, judged, &self.console.err_look) {
            self.warn(&picture);
        }
        self.annotate(|| github::judgement(&self.subject(config, environment), judged));
    }

    /// That an environment could not be judged, and why.
    pub(crate) fn not_judged(&self, config: &Config, environment: &Environment, failure: &Failure) {
        self.say(|look| human::not_judged(environment, failure, look));
        self.failure(failure, Some((config, environment)));
    }

    /// How a command of the user's ended.
    pub(crate) fn command(&self, what: &str, end: &CommandEnd, config: &Config, environment: &Environment) {
        self.say(|look| human::command(what, end, look));
        self.annotate(|| github::command(&self.subject(config, environment), what, end));
    }

    /// What was seen of the running application.
    pub(crate) fn health(&self, end: &HealthEnd, config: &Config, environment: &Environment) {
        self.say(|look| human::health(end, look));
        self.annotate(|| github::health(&self.subject(config, environment), end));
    }

    /// What a deploy would do.
    pub(crate) fn plan(&self, steps: &[String]) {
        self.steps("a deploy would", steps);
    }

    /// A list of steps, with what it is a list of.
    pub(crate) fn steps(&self, what: &str, steps: &[String]) {
        self.say(|_| {
            let lines = steps.iter().map(|step| format!("  - {step}"));
            std::iter::once(what.to_owned()).chain(lines).collect::<Vec<_>>().join("\n") + "\n"
        });
    }

    /// What a rotation came to, and what to do next.
    pub(crate) fn rotated(&self, config: &Config, environment: &Environment, outcome: &Outcome) {
        let name = environment.name.as_str();
        let Told { what, next } = outcome.told(name);
        self.say(|_| match next {
            Some(next) => format!("{name}: {what}\n  next: {next}\n"),
            None => format!("{name}: {what}\n"),
        });
        self.annotate(|| github::rotated(&self.subject(config, environment), outcome));
    }

    /// What a look at environments came to.
    pub(crate) fn status(&self, config: &Config, report: &StatusReport<'_>) {
        self.say(|look| status::human(report, look));
        for status in &report.environments {
            self.annotate(|| github::status(&self.subject(config, status.environment), report, status));
        }
        for account in &report.accounts {
            self.annotate(|| github::account(&self.annotated(&config.shown_path()), config, account));
        }
    }

    /// What a scan for leaked keys came to.
    pub(crate) fn leaks(&self, report: &scan::told::Report) {
        for note in &report.scanned.notes {
            self.note(note);
        }
        self.say(|look| scan::told::human(report, look));
        self.annotate(|| github::leaks(report, |path| self.annotated(path)));
    }

    /// A failure: a picture on stderr, and annotations; at the environment that it is about, where it is about one.
    pub(crate) fn failure(&self, failure: &Failure, about: Option<(&Config, &Environment)>) {
        self.picture(failure);
        let about = about.map(|(config, environment)| self.subject(config, environment));
        self.annotate(|| github::failure(about.as_ref(), |path| self.annotated(path), failure));
    }

    fn subject<'s>(&self, config: &'s Config, environment: &'s Environment) -> github::Subject<'s> {
        github::Subject { file: self.annotated(&config.shown_path()), config, environment }
    }

    /// What is not wrong with the file and worth a look.
    pub(crate) fn warnings(&self, config: &Config) {
        for warning in &config.warnings {
            self.picture(warning);
            self.annotate(|| github::problem(&self.annotated(&config.shown_path()), warning));
        }
    }

    /// A warning or an error, as a picture on stderr.
    fn picture(&self, diagnostic: &dyn Diagnostic) {
        self.warn(&human::picture(diagnostic, &self.console.err_look));
    }

    /// A file as the runner knows it: relative to its workspace.
    fn annotated(&self, path: &str) -> String {
        let absolute = self.directory.join(path);
        let below = self.workspace.as_deref().and_then(|workspace| absolute.strip_prefix(workspace).ok());
        below.map_or_else(|| path.to_owned(), |below| below.display().to_string())
    }

    /// Annotations, where the format has some. They go the way of the fences round the deploy command's output:
    /// between two streams the runner keeps no order, and behind a fence that it has not seen the end of it would
    /// not hear them.
    fn annotate(&self, annotations: impl FnOnce() -> String) {
        match self.format {
            Format::Github => self.console.tell(&annotations()),
            Format::Human | Format::Json => {}
        }
    }

    /// Has the CI system mask secrets before anything else can show them. Each is to be named once.
    pub(crate) fn mask(&self, secrets: impl FnOnce() -> Vec<Zeroizing<String>>) {
        match self.platform {
            Platform::GithubActions => secrets().iter().for_each(|secret| self.console.tell(&github::mask(secret))),
            Platform::Other => {}
        }
    }

    /// Shows that something is waited for.
    pub(crate) fn progress(&self, what: &str) -> Progress<'_> {
        self.spinner(what).unwrap_or_else(|| {
            self.note(&license_core::finding::clean(what));
            Progress::Still { narrator: self, last: RefCell::default() }
        })
    }

    /// Shows that something is waited for, on a terminal only: elsewhere the answer is soon there.
    pub(crate) fn spinner(&self, what: &str) -> Option<Progress<'_>> {
        self.console.line(what).map(Progress::Live)
    }

    fn say(&self, render: impl FnOnce(&Look) -> String) {
        match self.format {
            Format::Human | Format::Github => {
                self.data(&github::defused_for(self.platform, &render(&self.console.out_look)));
            }
            Format::Json => self.warn(&render(&self.console.err_look)),
        }
    }

    fn warn(&self, text: &str) {
        self.console.tell(&github::defused_for(self.platform, text));
    }

    /// A full disk behind stdout does not stop a deploy that is under way; the final document reports it.
    fn data(&self, text: &str) {
        if let Err(error) = self.console.data(text) {
            self.console.note(format_args!("stdout cannot be written: {error}"));
        }
    }
}

/// Something that is waited for.
#[derive(Debug)]
pub(crate) enum Progress<'a> {
    /// On a terminal: a line that is redrawn.
    Live(LiveLine),
    /// Elsewhere: a line whenever there is news.
    Still {
        /// Who tells.
        narrator: &'a Narrator<'a>,
        /// What was told last.
        last: RefCell<String>,
    },
}

impl Progress<'_> {
    /// News.
    pub(crate) fn tick(&self, news: impl Display) {
        let news = license_core::finding::clean(&news.to_string());
        match self {
            Self::Live(line) => line.news(news),
            Self::Still { narrator, last } if *last.borrow() != news => {
                narrator.note(&format!("  {news}"));
                last.replace(news);
            }
            Self::Still { .. } => {}
        }
    }

    /// It is over: what was drawn goes away.
    pub(crate) fn done(self) {
        drop(self);
    }
}
