//! `leaks`: looks for keys in the working tree, in a range of commits, or in all of history.

use std::collections::BTreeSet;

use clap::ValueEnum;
use license_core::{finding::clean, leaks::Scanner};

use crate::{
    child_env,
    cli::Format,
    config::Config,
    context::Context,
    failure::Failure,
    git::stream::Surroundings,
    narrator::Narrator,
    scan::{
        ScanFault, Scanned,
        allowed::{self, Allowance},
        objects::{self, Range},
        packs,
        place::{Located, locate, shown_path},
        repository::Repository,
        shallow,
        told::{Asked, Report},
        watch::{self, Watched},
        worktree,
    },
};

/// Arguments of `leaks`.
#[derive(Debug, clap::Args)]
pub(crate) struct LeaksArgs {
    /// Scan what these commits bring, as in `origin/main..HEAD` [default: the working tree]
    #[arg(long, value_name = "A..B", conflicts_with = "history")]
    range: Option<String>,

    /// Scan all of history: branches, tags, stashes, notes and every other ref
    #[arg(long)]
    history: bool,

    /// The form of the output [default: `github` when `GITHUB_ACTIONS` is `true`, else `human`]
    #[arg(long, value_name = "FORMAT")]
    format: Option<LeaksFormat>,
}

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaksFormat {
    /// For people
    Human,
    /// One JSON document on stdout
    Json,
    /// One SARIF 2.1.0 document on stdout, for code scanning services
    Sarif,
    /// For people, with annotations for GitHub Actions
    Github,
}

/// Which document goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    /// None: stdout is for people.
    None,
    /// JSON.
    Json,
    /// SARIF.
    Sarif,
}

impl LeaksArgs {
    /// How it is told besides the document.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format.map(|format| match format {
            LeaksFormat::Human => Format::Human,
            LeaksFormat::Json | LeaksFormat::Sarif => Format::Json,
            LeaksFormat::Github => Format::Github,
        })
    }

    /// Which document is printed.
    pub(crate) fn document(&self) -> Document {
        match self.format {
            Some(LeaksFormat::Json) => Document::Json,
            Some(LeaksFormat::Sarif) => Document::Sarif,
            Some(LeaksFormat::Human | LeaksFormat::Github) | None => Document::None,
        }
    }

    fn asked(&self) -> Asked {
        match (&self.range, self.history) {
            (Some(range), _) => Asked::Range { range: range.clone() },
            (None, true) => Asked::History,
            (None, false) => Asked::Tree,
        }
    }
}

/// Scans. Without a `license.toml` only the forms of keys are looked for.
pub(crate) fn run(
    ctx: &Context,
    config: Option<&Config>,
    args: &LeaksArgs,
    narrator: &Narrator<'_>,
) -> Result<Report, Failure> {
    let asked = args.asked();
    let watched = config.map_or_else(watch::forms, |config| watch::of(ctx, config));
    let (masks, mut notes) = (watched.masks(), watched.notes());
    if config.is_none() {
        notes.push("there is no license.toml, so only the forms of keys are looked for".to_owned());
    }
    let Watched { watch, environments, patterns, unscanned, incomplete, .. } = watched;
    let scanner = Scanner::new(watch).map_err(ScanFault::from)?;
    // What was typed, and what git and the operating system said, may hold what must not be shown.
    let hidden = |text: &str| shown_path(&scanner, masks.text(text).as_bytes());
    let secrets = config.map_or_else(BTreeSet::new, child_env::secret_names);
    let repository = Repository::at(&ctx.directory, &ctx.vars, &secrets, Surroundings::Directory);
    let done = scan(&repository, &asked, &scanner, &unscanned, narrator);
    let (mut outcome, located) = done.map_err(|fault| without_secrets(fault, &asked, &hidden))?;
    outcome.notes.extend(notes);
    for one in incomplete {
        outcome.miss(one.what, one.why);
    }
    allowed::settle(&mut outcome, &unscanned);
    for one in &mut outcome.unscanned {
        one.why = masks.text(&one.why);
    }
    for one in &mut outcome.incomplete {
        (one.what, one.why) = (masks.text(&one.what), masks.text(&one.why));
    }
    for note in &mut outcome.notes {
        *note = masks.text(note);
    }
    let asked = match asked {
        Asked::Range { range } => Asked::Range { range: hidden(&range) },
        Asked::Tree | Asked::History => asked,
    };
    Ok(Report { asked, scanned: outcome, located, environments, patterns })
}

/// The fault as it may be shown. What git repeats of a range may be cut off, and then no mask finds what is left of a key.
fn without_secrets(fault: ScanFault, asked: &Asked, hidden: &dyn Fn(&str) -> String) -> ScanFault {
    match (fault.hidden(hidden), asked) {
        (ScanFault::Range { said, .. }, Asked::Range { range }) => {
            let shown = hidden(range);
            let said = if shown == clean(range) { said } else { "it holds a secret, which is not shown".to_owned() };
            ScanFault::Range { range: shown, said }
        }
        (fault, Asked::Tree | Asked::Range { .. } | Asked::History) => fault,
    }
}

fn scan(
    repository: &Repository,
    asked: &Asked,
    scanner: &Scanner,
    unscanned: &[Allowance],
    narrator: &Narrator<'_>,
) -> Result<(Scanned, Located), ScanFault> {
    let waiting = narrator.spinner("looking for keys");
    let mut tell = |scanned: &Scanned| {
        if let Some(waiting) = &waiting {
            let mebibytes = scanned.bytes / (1024 * 1024);
            waiting.tick(format_args!("{} scanned, {mebibytes} MiB, {} leaks", scanned.objects, scanned.leaks()));
        }
    };
    let done = match asked {
        Asked::Tree => worktree::tree(repository, scanner, &mut tell).map(|scanned| (scanned, Located::Everything)),
        Asked::Range { range } => {
            let between = Range::Between { range: range.clone() };
            in_commits(repository, &between, scanner, unscanned, &mut tell).and_then(|(mut scanned, located)| {
                shallow::look(repository, range, &mut scanned)?;
                Ok((scanned, located))
            })
        }
        Asked::History => {
            in_commits(repository, &Range::All, scanner, unscanned, &mut tell).and_then(|(mut scanned, located)| {
                scanned.add(objects::ref_names(repository, scanner)?);
                scanned.notes.extend(repository.shallow_note()?);
                Ok((scanned, located))
            })
        }
    };
    if let Some(waiting) = waiting {
        waiting.done();
    }
    done
}

fn in_commits(
    repository: &Repository,
    range: &Range,
    scanner: &Scanner,
    unscanned: &[Allowance],
    tell: &mut dyn FnMut(&Scanned),
) -> Result<(Scanned, Located), ScanFault> {
    let mut outcome = match range {
        Range::All => packs::history(repository, scanner, tell)?,
        Range::Push { .. } | Range::Between { .. } => objects::objects(repository, range, scanner, tell)?,
    };
    outcome.promised += objects::promised(repository, range)?;
    let located = locate(repository, range, scanner, unscanned, &mut outcome)?;
    Ok((outcome, located))
}
