//! `hook install`, `hook uninstall` and `hook status`: the pre-push hook of this repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use license_core::finding::clean;
use serde_json::{Value, json};

use crate::{
    child_env,
    cli::Format,
    commands::audit::AuditFormat,
    config::{Config, TrailSettings},
    context::Context,
    exit::Exit,
    failure::Failure,
    git::{Git, hooks::HooksPath},
    hook::{
        self, Before, Facts, Guard, Hook, HookError, Installed, Kept, Legacy, Named, Removed, Runs, Uninstalled, Wish,
        foreign::{self, Foreign, Name, Without},
        manager::{Managed, Mention},
        program::{self, Age, Standing},
        remotes::Remotes,
        shim::{self, Besides, Chain, Edition},
        trust::{TrustRecord, What},
    },
    narrator::Narrator,
    report::{github, json},
};

/// What to do with the hook.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum HookCommand {
    /// Put the hook into this repository, with a copy of this program, and agree to what license.toml names
    Install(InstallArgs),
    /// Take the hook out of this repository, and bring back the one from before
    Uninstall(HookArgs),
    /// Show what runs at a push, and whether the copy of this program is older; ends with 0 when pushes are guarded
    Status(HookArgs),
}

impl HookCommand {
    /// How to print.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Install(InstallArgs { common: args, .. }) | Self::Uninstall(args) | Self::Status(args) => {
                match args.format {
                    AuditFormat::Human => Format::Human,
                    AuditFormat::Json => Format::Json,
                }
            }
        }
    }
}

/// What to install.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Have this hook even where a manager (husky, lefthook, pre-commit, prek) is to have one by its configuration,
    /// unless its own hook is there already; and where the hook that is there tells by its name what it is to do
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    common: HookArgs,
}

impl InstallArgs {
    fn wish(&self) -> Wish {
        if self.own { Wish::Own } else { Wish::AsConfigured }
    }
}

/// How to print it.
#[derive(Debug, clap::Args)]
pub(crate) struct HookArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

/// A license.toml, and where it is.
#[derive(Debug)]
pub(crate) struct Loaded<'f> {
    /// The file, absolute.
    pub(crate) file: &'f Path,
    /// What it says.
    pub(crate) config: Config,
}

/// Does it: the text for stdout, and the exit code. `loaded` is license.toml, where there is one.
pub(crate) fn run(
    ctx: &Context,
    loaded: Result<Option<Loaded<'_>>, Failure>,
    command: &HookCommand,
    narrator: &Narrator<'_>,
) -> Result<(String, Exit), Failure> {
    let found = loaded.as_ref().ok().and_then(Option::as_ref);
    let secrets = found.map(|found| child_env::secret_names(&found.config)).unwrap_or_default();
    let git = Git::new(&ctx.directory, &ctx.vars, &secrets);
    let facts = hook::look(&git, &ctx.directory)?;
    let mirrors = mirrors(&git, found)?;
    let named = |loaded: &Loaded<'_>| Named::of(loaded.file, &loaded.config, &facts);
    let report = match command {
        HookCommand::Install(args) => {
            let named = loaded?.as_ref().map(named).transpose()?.flatten();
            let (settings, common) = (git.settings(|| ()).map_err(HookError::from)?, facts.place.common.clone());
            let directory = facts.place.top.clone().unwrap_or_else(|| common.clone());
            let installed = hook::install(ctx, facts, named, args.wish())?;
            // Without it a first push is only looked at more closely.
            Remotes::install(&common, &directory, &settings).ok();
            Report::Installed(installed)
        }
        HookCommand::Uninstall(_) => Report::Uninstalled(hook::uninstall(ctx, &git, facts)?),
        HookCommand::Status(_) => {
            let named = found.and_then(|found| named(found).ok().flatten());
            Report::Status(Status::of(named, facts)?)
        }
    };
    let exit = report.exit();
    let text = match narrator.format() {
        Format::Human | Format::Github => {
            github::defused_for(narrator.platform(), &(report.human() + &mirror_lines(&report, &mirrors)))
        }
        Format::Json => {
            let mut document = report.json(exit);
            document["mirrors"] = json!(mirrors);
            json::line(&document, narrator.platform()) + "\n"
        }
    };
    Ok((text, exit))
}

/// The remotes to which a push may delete the trails of the fleet, clean. git tells no hook what such a push deletes.
fn mirrors(git: &Git, loaded: Option<&Loaded<'_>>) -> Result<Vec<String>, HookError> {
    match loaded.map(|loaded| &loaded.config.trail) {
        Some(TrailSettings::Git { .. }) => Ok(git.settings(|| ())?.mirrors().map(clean).collect()),
        Some(TrailSettings::File) | None => Ok(Vec::new()),
    }
}

/// Whoever installs, or looks, has to know of what no hook can stop.
fn mirror_lines(report: &Report, mirrors: &[String]) -> String {
    let line = |name: &String| {
        format!(
            "`remote.{name}.mirror` is set: a push to it deletes every ref that this repository has not, trails too, and \
             git tells no hook\nunset it, or have the server refuse: `git config receive.denyDeletes true`\n"
        )
    };
    match report {
        Report::Installed(_) | Report::Status(_) => mirrors.iter().map(line).collect(),
        Report::Uninstalled(_) => String::new(),
    }
}

/// What was done, or what is there.
#[derive(Debug)]
enum Report {
    Installed(Installed),
    Uninstalled(Uninstalled),
    Status(Status),
}

impl Report {
    /// Whoever installs and is left with work to do must not read it as done.
    fn exit(&self) -> Exit {
        let is_done = match self {
            Self::Installed(installed) => match &installed.guard {
                Guard::Hook(_) | Guard::Behind(..) => true,
                Guard::Manager(managed) => managed.mention == Mention::There && managed.runs == Runs::Yes,
                Guard::Foreign(foreign) => foreign.mention == Mention::There && foreign.runs == Runs::Yes,
                Guard::Shared => false,
            },
            Self::Uninstalled(_) => true,
            Self::Status(status) => status.is_guarded(),
        };
        if is_done { Exit::Done } else { Exit::Config }
    }

    fn human(&self) -> String {
        match self {
            Self::Installed(installed) => installed_lines(installed),
            Self::Uninstalled(uninstalled) => uninstalled_lines(uninstalled),
            Self::Status(status) => status.lines(),
        }
    }

    fn json(&self, exit: Exit) -> Value {
        let mut document = match self {
            Self::Installed(installed) => json!({
                "schema": "license-hooks/hook-install/1",
                "hook": shown(&installed.facts.place.file),
                "guard": guard_json(installed),
                "program": program_json(&installed.facts, &Standing::Same),
                "agreed": agreed_json(&installed.agreed),
                "agreed_before": installed.agreed_before.as_ref().map(agreed_json),
            }),
            Self::Uninstalled(uninstalled) => json!({
                "schema": "license-hooks/hook-uninstall/1",
                "hook": shown(&uninstalled.facts.place.file),
                "removed": match uninstalled.removed {
                    Removed::Nothing => "nothing",
                    Removed::Hook => "hook",
                    Removed::Restored => "hook_and_restored_legacy",
                },
                "program_kept": uninstalled.program == Kept::Needed,
                "hooks_elsewhere": uninstalled.elsewhere.iter().map(|file| shown(file)).collect::<Vec<_>>(),
            }),
            Self::Status(status) => status.json(),
        };
        document["exit"] = json!({ "code": exit.code(), "name": exit.name() });
        document
    }
}

fn installed_lines(installed: &Installed) -> String {
    let Facts { place, .. } = &installed.facts;
    let mut lines = match &installed.guard {
        Guard::Hook(besides) => {
            let mut lines = format!("every push from this repository is checked, by `{}`\n", shown(&place.file));
            kept_line(&installed.facts, *besides, &mut lines);
            if let Some(Managed { manager, .. }) = installed.facts.managed() {
                let name = manager.name();
                let _ = if manager.runs_legacy() {
                    writeln!(
                        lines,
                        "{name} has a configuration here: a pre-push hook of its own would keep ours as `{}`, and run it",
                        shim::LEGACY
                    )
                } else {
                    writeln!(
                        lines,
                        "{name} has a configuration here, and may put its own hook there when it installs: look at \
                         `cargo xtask hook status` then"
                    )
                };
            }
            lines
        }
        Guard::Behind(manager, besides) => {
            let mut lines = format!(
                "every push from this repository is checked: the hook of {} runs ours, which it keeps as `{}`\n",
                manager.name(),
                shim::LEGACY
            );
            kept_line(&installed.facts, *besides, &mut lines);
            lines
        }
        Guard::Manager(managed) => manager_lines(installed, managed),
        Guard::Foreign(foreign) => foreign_lines(installed, *foreign),
        Guard::Shared => installed.facts.shared().map(|named| shared_lines(installed, named)).unwrap_or_default(),
    };
    let copied = match &installed.program_before {
        Standing::Same => "is this program",
        Standing::Missing | Standing::Other { .. } => "is a copy of this program now",
    };
    let _ = writeln!(lines, "`{}` {copied}", shown(&program::place(&place.common)));
    if let Some(config) = &installed.config {
        let _ = writeln!(lines, "it reads `{}` of what is pushed", clean(config));
    }
    lines + &agreed_lines(installed) + ROUND
}

/// What becomes of the hook from before.
fn kept_line(facts: &Facts, besides: Besides, lines: &mut String) {
    if besides == Besides::Nobody {
        return;
    }
    let runs = match (facts.kept, facts.hook, facts.legacy) {
        // It is kept since an installation before; or it was the hook until now, or kept under its old name.
        (Before::There(runs), ..) | (_, Hook::Foreign(_, runs), _) | (_, Hook::Ours(..), Legacy::There(runs)) => runs,
        (Before::Nothing | Before::TheHookItself, ..) => Runs::Yes,
    };
    let does = match runs {
        Runs::Yes => "and runs when the check has passed",
        Runs::No => NOT_RUN,
    };
    let _ = writeln!(lines, "the hook that was there is kept beside it as `{}`, {does}", shim::KEPT);
}

const NOT_RUN: &str = "and git did not run it, since it is not executable: it is not run now either";

/// The ways round, which a person must know before they are needed.
const ROUND: &str = "once without the check: `LICENSE_HOOK=0 git push`, or without any hook: `git push --no-verify`\n";

fn manager_lines(installed: &Installed, managed: &Managed) -> String {
    let (name, file) = (managed.manager.name(), shown(&managed.file));
    let installs = managed.manager.installs();
    let mut lines = match managed.mention {
        Mention::There => {
            return match managed.runs {
                Runs::Yes => format!("{name} runs the check already; the hook is its own, and stays as it is\n"),
                Runs::No => format!(
                    "pushes are not checked yet: `{file}` has the lines for it, and {name} has not put its hook there\n\
                     what does: {installs}\n"
                ),
            };
        }
        Mention::Older => format!(
            "the lines in `{file}` are those of an earlier version, which lets a push through when the program is \
             broken\nwrite these in their place:\n\n"
        ),
        Mention::Missing => format!(
            "pushes are not checked yet: {name} writes the hooks of this repository, and would replace ours\n\
             add these lines to `{file}`:\n\n"
        ),
    };
    for line in managed.snippet(installed.config.as_deref()).lines() {
        let _ = writeln!(lines, "    {line}");
    }
    lines.push('\n');
    if managed.runs == Runs::No {
        let _ = writeln!(lines, "then have {name} put its hook there: {installs}");
    }
    let _ = writeln!(lines, "{}", managed.manager.about_lines());
    if let Some(uninstalls) = managed.manager.uninstalls() {
        let first = if installed.facts.is_free_of_managers() { String::new() } else { format!("{uninstalls}, ") };
        let _ = writeln!(
            lines,
            "or have this hook see all of it, and {name} run it: {first}`cargo xtask hook install --own`, {installs}"
        );
    }
    lines
}

fn foreign_lines(installed: &Installed, foreign: Foreign) -> String {
    let file = shown(&installed.facts.place.file);
    match (foreign.mention, foreign.runs) {
        (Mention::There, Runs::Yes) => {
            format!("`{file}` runs the check already; it is not ours, and stays as it is\n")
        }
        (Mention::There, Runs::No) => format!(
            "pushes are not checked yet: `{file}` would run the check, and is not executable, so that git passes over \
             it\nmake it so: `chmod +x '{file}'`\n"
        ),
        (Mention::Missing, _) => {
            let tells = match foreign.name {
                Name::Any | Name::Told => "tells",
                Name::Perhaps => "is a link to a program, and may tell",
            };
            format!(
                "pushes are not checked yet: `{file}` {tells} by its name what it is to do, and would not know itself under \
                 the one that it would be kept by beside ours\nlet it run the program where it is the pre-push hook, before \
                 it reads what git says:\n\n    {}\n\nor have it kept as `{}` all the same: `cargo xtask hook install \
                 --own`\n",
                line_for(installed),
                shim::KEPT
            )
        }
        (Mention::Older, _) => format!(
            "`{file}` runs the program and does not ask for its answer, so that a push gets through when the program is \
             broken\nlet it ask in this way, before it reads what git says:\n\n    {}\n\n",
            line_for(installed)
        ),
    }
}

/// The line that lets a hook of somebody else run the program.
fn line_for(installed: &Installed) -> String {
    let config = installed.config.as_deref();
    if installed.facts.shared().is_some() { foreign::line_for_many(config) } else { foreign::line(config) }
}

fn shared_lines(installed: &Installed, named: &HooksPath) -> String {
    let HooksPath { text, origin, .. } = named;
    let common = shown(&installed.facts.place.common);
    let line = line_for(installed);
    format!(
        "pushes are not checked yet: core.hooksPath is `{text}` for more than this repository, as {origin} says, and a \
         hook there would run in all of them\n\
         let the hook there run the program of each repository that has one, before it reads what git says:\n\n    \
         {line}\n\n\
         or give this repository hooks of its own, without those of `{text}`, and install again:\n\n    \
         git config --local core.hooksPath '{common}/hooks'\n\n"
    )
}

/// What a push may do with keys from now on, with what is new and what is gone.
fn agreed_lines(installed: &Installed) -> String {
    let now = installed.agreed.lines();
    let before = installed.agreed_before.as_ref().map(TrustRecord::lines);
    let mut lines = match (&before, now.is_empty()) {
        (Some(before), _) if *before == now => "as before, a push may use".to_owned(),
        (_, true) => "there is no license.toml here, so that a push may use no key and ask nobody".to_owned(),
        (Some(_), false) => "what a push may use has changed, as license.toml has".to_owned(),
        (None, false) => "as license.toml says today, and whatever a pushed one says, a push may use".to_owned(),
    } + "\n";
    let before = before.unwrap_or_else(|| now.clone());
    for line in before.union(&now).collect::<BTreeSet<_>>() {
        let sign = match (before.contains(line), now.contains(line)) {
            (false, _) => '+',
            (true, false) => '-',
            (true, true) => ' ',
        };
        let (what, name) = line;
        let _ = writeln!(lines, "  {sign} {what} `{name}`");
    }
    lines
}

fn uninstalled_lines(uninstalled: &Uninstalled) -> String {
    let file = shown(&uninstalled.facts.our_place());
    let mut lines = match uninstalled.removed {
        Removed::Nothing => format!("`{file}` is not ours, or not there: nothing was taken out\n"),
        Removed::Hook => format!("`{file}` is gone: pushes are not checked any more\n"),
        Removed::Restored if uninstalled.foreign.is_some() => format!("`{file}` is again the hook from before\n"),
        Removed::Restored => format!("`{file}` is again the hook from before: pushes are not checked any more\n"),
    };
    if let (Some(Foreign { without: Without::Passes, .. }), Kept::No) = (uninstalled.foreign, uninstalled.program) {
        let _ = writeln!(
            lines,
            "`{file}` runs the program of each repository that has one: there is none in this one any more, so that \
             pushes from it are not checked"
        );
    }
    if uninstalled.removed == Removed::Nothing && matches!(uninstalled.facts.kept, Before::There(_)) {
        let _ = writeln!(lines, "`{}` beside it is the hook from before ours, and stays there", shim::KEPT);
    }
    for file in &uninstalled.elsewhere {
        let _ = writeln!(
            lines,
            "`{}` is ours too, and needs the program, which stays: uninstall there, or once git looks there again",
            shown(file)
        );
    }
    let managed = uninstalled.facts.managed().filter(Managed::has_lines);
    let who = match (managed, uninstalled.facts.configured_ours(), uninstalled.foreign) {
        (Some(managed), ..) => Some(format!("`{}`", shown(&managed.file))),
        (None, Some(hook), _) => Some(format!("hook `{}` of git's configuration", clean(&hook.name))),
        (None, None, Some(Foreign { without: Without::Refuses, .. })) => Some(format!("`{file}`")),
        (None, None, Some(Foreign { without: Without::Passes, .. }) | None) => None,
    };
    if let Some(who) = who {
        let _ = writeln!(lines, "{who} still runs the program, which stays: take that out, and uninstall again");
    }
    lines
}

/// What is there.
#[derive(Debug)]
struct Status {
    facts: Facts,
    program: Standing,
    agreed: Option<TrustRecord>,
    /// What today's license.toml names, where it can be read.
    named: Option<TrustRecord>,
}

/// Something that runs the program at a push.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mechanism {
    kind: Kind,
    name: String,
    runs: Runs,
}

/// What sort of thing runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Our hook.
    Hook,
    /// A hook that somebody else wrote.
    Foreign,
    /// A manager's hook, by its configuration.
    Manager,
    /// git's configuration.
    Configuration,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Foreign => "foreign",
            Self::Manager => "manager",
            Self::Configuration => "configuration",
        }
    }

    /// What it is, for people.
    fn noun(self) -> &'static str {
        match self {
            Self::Hook | Self::Foreign => "hook",
            Self::Manager => "manager",
            Self::Configuration => "configuration",
        }
    }
}

impl Status {
    fn of(named: Option<Named>, facts: Facts) -> Result<Self, HookError> {
        let common = &facts.place.common;
        let program =
            program::standing(common).map_err(|source| HookError::Unusable { file: program::place(common), source })?;
        let agreed = TrustRecord::read(common)?;
        let named = named.map(|named| named.record);
        Ok(Self { facts, program, agreed, named })
    }

    /// Everything that runs the program, or looks as if.
    fn mechanisms(&self) -> Vec<Mechanism> {
        let mut mechanisms = Vec::new();
        if let Hook::Ours(_, edition, runs) = self.facts.hook {
            mechanisms.push(Mechanism {
                kind: Kind::Hook,
                name: shown(&self.facts.place.file),
                runs: known_to_run(edition, runs),
            });
        }
        if let Some((_, edition, runs)) = self.facts.behind() {
            let name = shown(&self.facts.place.file.with_file_name(shim::LEGACY));
            mechanisms.push(Mechanism { kind: Kind::Hook, name, runs: known_to_run(edition, runs) });
        }
        if let Some(Foreign { runs, .. }) = self.facts.foreign() {
            mechanisms.push(Mechanism { kind: Kind::Foreign, name: shown(&self.facts.place.file), runs });
        }
        if let Some(Managed { manager, runs, .. }) = self.facts.managed().filter(Managed::has_lines) {
            mechanisms.push(Mechanism { kind: Kind::Manager, name: manager.name().to_owned(), runs });
        }
        if let Some(hook) = self.facts.configured_ours() {
            let name = clean(&hook.name);
            mechanisms.push(Mechanism { kind: Kind::Configuration, name, runs: self.facts.configured_run });
        }
        mechanisms
    }

    fn is_guarded(&self) -> bool {
        self.has_program() && self.mechanisms().iter().any(|mechanism| mechanism.runs == Runs::Yes)
    }

    fn has_program(&self) -> bool {
        program::is_executable(&program::place(&self.facts.place.common)) && self.program.works()
    }

    /// What to do where pushes are not checked, in words.
    fn next(&self) -> &'static str {
        // Installing would only say the same.
        if self.facts.foreign().is_some_and(|foreign| foreign.runs == Runs::No) && self.has_program() {
            return "let git run the hook that is there";
        }
        match self.facts.managed() {
            Some(managed) if managed.mention == Mention::There && self.has_program() => managed.manager.installs(),
            Some(_) | None => "`cargo xtask hook install`",
        }
    }

    /// Whoever else runs at a push, and whether git runs them.
    fn others(&self) -> Vec<(String, Runs)> {
        let mut others = Vec::new();
        match self.facts.hook {
            Hook::Ours(Chain::WithLegacy, ..) => match self.facts.legacy {
                Legacy::There(runs) => others.push((format!("`{}`", shim::LEGACY), runs)),
                Legacy::Nothing | Legacy::Ours(..) | Legacy::TheKeptOne => {}
            },
            Hook::Ours(Chain::WithKept, ..) => match self.facts.kept {
                Before::There(runs) => others.push((format!("`{}`", shim::KEPT), runs)),
                Before::Nothing | Before::TheHookItself => {}
            },
            Hook::Foreign(..) if self.facts.foreign().is_some() => {}
            Hook::Foreign(manager, runs) => {
                let whose = manager.map_or(String::new(), |manager| format!(" of {}", manager.name()));
                others.push((format!("`{}`{whose}", shown(&self.facts.place.file)), runs));
            }
            Hook::Ours(Chain::Alone, ..) | Hook::Nothing | Hook::NotAFile => {}
        }
        if let (Hook::Foreign(..) | Hook::Nothing, Before::There(runs)) = (self.facts.hook, self.facts.kept) {
            let runs = if self.facts.behind().is_some() { runs } else { Runs::No };
            others.push((format!("`{}`", shim::KEPT), runs));
        }
        let ours = self.facts.configured_ours();
        for hook in self.facts.configured.iter().filter(|hook| Some(*hook) != ours) {
            others.push((format!("hook `{}` of git's configuration", clean(&hook.name)), self.facts.configured_run));
        }
        others
    }

    /// The edition of our hook, wherever it is.
    fn edition(&self) -> Option<Edition> {
        match self.facts.hook {
            Hook::Ours(_, edition, _) => Some(edition),
            Hook::Foreign(..) | Hook::Nothing | Hook::NotAFile => self.facts.behind().map(|(_, edition, _)| edition),
        }
    }

    fn is_edited(&self) -> bool {
        self.edition() == Some(Edition::Edited)
    }

    fn lines(&self) -> String {
        let mechanisms = self.mechanisms();
        let mut lines = match (self.is_guarded(), &self.facts.off) {
            (true, _) => "pushes from this repository are checked\n".to_owned(),
            (false, Some(_)) => "pushes from this repository are not checked\n".to_owned(),
            (false, None) => format!("pushes from this repository are not checked: {}\n", self.next()),
        };
        if let Some(off) = &self.facts.off {
            let _ = writeln!(lines, "{}\n{}", off.why, off.help);
        }
        for Mechanism { kind, name, runs } in &mechanisms {
            let does = match (*kind, runs) {
                (Kind::Foreign, Runs::Yes) => "is not ours, and runs the program",
                (Kind::Hook | Kind::Manager | Kind::Configuration, Runs::Yes) => "runs the program",
                (Kind::Hook, Runs::No) if self.is_edited() => {
                    "was changed by somebody, so that nobody knows what it does"
                }
                (Kind::Hook | Kind::Foreign, Runs::No) => "is not executable, so that git passes over it",
                (Kind::Configuration, Runs::No) => "is not run by this git: only 2.54 and later do",
                (Kind::Manager, Runs::No) => "would run the program, and has put no hook there yet that git runs",
            };
            let _ = writeln!(lines, "{} `{name}` {does}", kind.noun());
        }
        if mechanisms.len() > 1 {
            let _ = writeln!(lines, "that is more than one, and a push is checked by each: keep one of them");
        }
        if let (Some(named), None) = (self.facts.shared(), &self.facts.off) {
            let _ = writeln!(
                lines,
                "core.hooksPath is `{}` for more than this repository, as {} says",
                named.text, named.origin
            );
        }
        if let Some(Managed { manager, mention: Mention::Older, .. }) = self.facts.managed() {
            let _ = writeln!(
                lines,
                "the lines for {} are those of an earlier version: `cargo xtask hook install` prints those of this one",
                manager.name()
            );
        }
        if self.edition() == Some(Edition::Other) {
            let _ =
                writeln!(lines, "the hook was written by another version: `cargo xtask hook install` writes it anew");
        }
        for (who, runs) in self.others() {
            let does = match runs {
                Runs::Yes => "runs too",
                Runs::No => "is there too, and is not run",
            };
            let _ = writeln!(lines, "{who} {does}");
        }
        if let Some(config) = self.facts.config() {
            let _ = writeln!(lines, "it reads `{}` of what is pushed", clean(&config));
        }
        let program = shown(&program::place(&self.facts.place.common));
        let _ = match self.program {
            // Nothing needs it.
            Standing::Missing if mechanisms.is_empty() => Ok(()),
            Standing::Missing | Standing::Same | Standing::Other { .. } => {
                writeln!(lines, "{}", program_line(&program, &self.program))
            }
        };
        self.trust_lines(&mut lines);
        lines
    }

    fn trust_lines(&self, lines: &mut String) {
        let Some(agreed) = &self.agreed else {
            lines.push_str("nothing is agreed to: a push uses no key and asks nobody\n");
            return;
        };
        let (agreed, named) = (agreed.lines(), self.named.as_ref().map(TrustRecord::lines));
        lines.push_str(if agreed.is_empty() { "a push may use no key, and asks nobody\n" } else { "a push may use\n" });
        for (what, name) in &agreed {
            let _ = writeln!(lines, "    {what} `{name}`");
        }
        let new: Vec<_> = named.iter().flatten().filter(|line| !agreed.contains(line)).collect();
        if !new.is_empty() {
            lines.push_str(
                "license.toml names more, which is not used before `cargo xtask hook install` has run again\n",
            );
        }
        for (what, name) in new {
            let _ = writeln!(lines, "  + {what} `{name}`");
        }
    }

    fn json(&self) -> Value {
        let runs = |runs: Runs| runs == Runs::Yes;
        let (state, edition) = match self.facts.hook {
            Hook::Nothing => ("nothing", None),
            Hook::Ours(_, Edition::Present, _) => ("ours", Some("present")),
            Hook::Ours(_, Edition::Other, _) => ("ours", Some("other")),
            Hook::Ours(_, Edition::Edited, _) => ("ours", Some("edited")),
            Hook::Foreign(..) => ("foreign", None),
            Hook::NotAFile => ("not_a_file", None),
        };
        let mechanism =
            |found: Mechanism| json!({ "kind": found.kind.word(), "name": found.name, "runs": runs(found.runs) });
        json!({
            "schema": "license-hooks/hook-status/1",
            "guarded": self.is_guarded(),
            "hook": { "file": shown(&self.facts.place.file), "state": state, "edition": edition, "config": self.facts.config() },
            "mechanisms": self.mechanisms().into_iter().map(mechanism).collect::<Vec<_>>(),
            "others": self.others().into_iter().map(|(who, does)| json!({ "name": who.replace('`', ""), "runs": runs(does) })).collect::<Vec<_>>(),
            "hooks_path": self.facts.place.named.as_ref().map(|named| json!({ "path": named.text, "origin": named.origin, "shared": self.facts.shared().is_some(), "off": self.facts.off.is_some() })),
            "program": program_json(&self.facts, &self.program),
            "agreed": self.agreed.as_ref().map(agreed_json),
            "not_agreed": self.named.as_ref().map(|named| {
                let agreed = self.agreed.as_ref().map(TrustRecord::lines).unwrap_or_default();
                by_kind(named.lines().difference(&agreed))
            }),
        })
    }
}

/// What somebody changed may do anything.
fn known_to_run(edition: Edition, runs: Runs) -> Runs {
    match edition {
        Edition::Present | Edition::Other => runs,
        Edition::Edited => Runs::No,
    }
}

fn program_line(program: &str, standing: &Standing) -> String {
    let version = |version: &Option<String>| version.as_deref().map_or(String::new(), |version| format!(", {version}"));
    match standing {
        Standing::Missing => format!("`{program}` is missing, so that every push is refused"),
        Standing::Same => format!("`{program}` is this program"),
        Standing::Other { version: says, age } => {
            let compared = match age {
                Age::Older => "is older than this program",
                Age::Newer => "is newer than this program",
                Age::OtherBuild => "is another build of this version",
                Age::NotKnown if !standing.works() => "does not work, so that every push is refused",
                Age::NotKnown => "does not tell its version",
            };
            format!("`{program}` {compared}{}: `cargo xtask hook install` replaces it", version(says))
        }
    }
}

fn program_json(facts: &Facts, standing: &Standing) -> Value {
    let (state, version) = match standing {
        Standing::Missing => ("missing", None),
        Standing::Same => ("same", Some(env!("CARGO_PKG_VERSION"))),
        Standing::Other { version, age } => {
            let state = match age {
                Age::Older => "older",
                Age::Newer => "newer",
                Age::OtherBuild => "other_build",
                Age::NotKnown => "not_known",
            };
            (state, version.as_deref())
        }
    };
    json!({ "file": shown(&program::place(&facts.place.common)), "state": state, "version": version })
}

fn guard_json(installed: &Installed) -> Value {
    match &installed.guard {
        Guard::Hook(besides) => json!({ "kind": "hook", "with_legacy": *besides == Besides::Kept }),
        Guard::Behind(manager, besides) => {
            json!({ "kind": "hook", "with_legacy": *besides == Besides::Kept, "behind": manager.name() })
        }
        Guard::Manager(managed) => json!({
            "kind": "manager", "name": managed.manager.name(), "in_place": managed.mention == Mention::There,
            "runs": managed.runs == Runs::Yes, "file": shown(&managed.file), "lines": managed.snippet(installed.config.as_deref()),
        }),
        Guard::Foreign(foreign) => json!({
            "kind": "foreign", "in_place": foreign.mention == Mention::There, "runs": foreign.runs == Runs::Yes,
            "file": shown(&installed.facts.place.file), "lines": format!("{}\n", line_for(installed)),
        }),
        Guard::Shared => json!({ "kind": "none", "why": "core_hooks_path_is_shared" }),
    }
}

fn agreed_json(record: &TrustRecord) -> Value {
    by_kind(&record.lines())
}

fn by_kind<'l>(lines: impl IntoIterator<Item = &'l (What, String)>) -> Value {
    let mut kinds: BTreeMap<&str, Vec<&str>> = ["origins", "variables", "files"].map(|kind| (kind, Vec::new())).into();
    for (what, name) in lines {
        let kind = match what {
            What::Origin => "origins",
            What::Variable => "variables",
            What::File => "files",
        };
        kinds.entry(kind).or_default().push(name);
    }
    json!(kinds)
}

fn shown(path: &Path) -> String {
    clean(&path.display().to_string())
}
