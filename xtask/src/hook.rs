//! The pre-push hook in a repository: what is there, what is to be there, and getting from the one to the other without
//! taking away what somebody else put there.
//!
//! Facts are looked up, `plan` decides, `install` and `uninstall` act. Each step leaves the old hook or the new one.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

use license_core::finding::clean;

use crate::{
    config::{self, Config},
    context::Context,
    exit::Exit,
    failpoint, files,
    git::{
        self, Git, GitError,
        hooks::{ConfiguredHook, HookPlace, HooksPath, Scope},
    },
};

pub(crate) mod foreign;
pub(crate) mod manager;
pub(crate) mod program;
pub(crate) mod remotes;
pub(crate) mod shim;
pub(crate) mod told_once;
pub(crate) mod trust;

use foreign::{Foreign, Name, Without};
use manager::{Claim, Managed, Manager, Places};
use program::{Standing, is_executable};
use shim::{Besides, Chain, Edition, Finds, KEPT, LEGACY, Shim, Text};
use trust::{TrustError, TrustRecord};

/// The hook.
const HOOK: &str = "pre-push";

/// How much of a hook is looked at to see whose it is, in bytes.
const HEAD_BYTES: u64 = 16 * 1024;

/// The longest hook that is copied, in bytes: some are programs.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Of a mode, what may do what.
const MODE_BITS: u32 = 0o7777;

/// The mode of the hook.
const MODE: u32 = 0o755;

/// The first git that runs hooks of its configuration. An older one does not say that it does not.
pub(crate) const RUNS_CONFIGURED: (u32, u32) = (2, 54);

/// What is in a repository.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Where the hook belongs.
    pub(crate) place: HookPlace,
    /// What is there.
    pub(crate) hook: Hook,
    /// What is beside it, under our name for a hook that was there before.
    pub(crate) kept: Before,
    /// What is beside it, under the name that others have for such a hook.
    pub(crate) legacy: Legacy,
    /// Why no hook can be there.
    pub(crate) off: Option<Off>,
    /// Who manages the repository's hooks, by its files.
    pub(crate) manager: Option<Manager>,
    /// The hooks of git's configuration.
    pub(crate) configured: Vec<ConfiguredHook>,
    /// Whether this git runs those.
    pub(crate) configured_run: Runs,
}

/// A `core.hooksPath` where no hook can be, which is how hooks are turned off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Off {
    /// What it is, and who said so.
    pub(crate) why: String,
    /// What to do to have hooks.
    pub(crate) help: String,
}

impl Off {
    fn of(place: &HookPlace) -> Option<Self> {
        let (HooksPath { scope, text, origin }, directory) = (place.named.as_ref()?, place.file.parent()?);
        let path = if text.is_empty() { "empty".to_owned() } else { format!("`{text}`") };
        let why = if directory == Path::new("/") {
            format!("git looks for hooks at the top of the file system: core.hooksPath is {path}, as {origin} says")
        } else if is_no_directory(directory) {
            format!(
                "git runs no hook of this repository: core.hooksPath is {path}, as {origin} says, and that is no directory"
            )
        } else {
            return None;
        };
        let file = origin.strip_prefix("file:");
        let help = match (scope, file) {
            (Scope::Repository, Some(file)) if file.ends_with("config.worktree") => {
                "to have hooks: `git config --worktree --unset core.hooksPath`".to_owned()
            }
            (Scope::Repository, Some(file)) if file.ends_with("config") => {
                "to have hooks: `git config --local --unset core.hooksPath`".to_owned()
            }
            (Scope::Shared, Some(_)) => format!(
                "to have hooks in this repository: `git config --local core.hooksPath '{}/hooks'`",
                clean(&place.common.display().to_string())
            ),
            (Scope::Repository | Scope::Shared, _) => "to have hooks, take that setting away".to_owned(),
        };
        Some(Self { why, help })
    }
}

fn is_no_directory(directory: &Path) -> bool {
    match fs::metadata(directory) {
        Ok(metadata) => !metadata.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::NotADirectory,
    }
}

/// What is at the hook's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Nothing.
    Nothing,
    /// Ours.
    Ours(Chain, Edition, Runs),
    /// Somebody else's.
    Foreign(Option<Manager>, Runs),
    /// A directory, a pipe or the like.
    NotAFile,
}

/// Whether git runs a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// It does.
    Yes,
    /// It passes over it, since it is not executable.
    No,
}

/// What has our name for a hook that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// A second name of the present hook, or a copy of it: an installation was interrupted.
    TheHookItself,
    /// A file, or a link.
    There(Runs),
}

/// What has the name that others have for a hook that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Legacy {
    /// Nothing.
    Nothing,
    /// Ours: pre-commit or prek came after us.
    Ours(Edition, Runs),
    /// A second name of the hook that we keep: an installation over the first version's was interrupted.
    TheKeptOne,
    /// A file, or a link.
    There(Runs),
}

/// Whose hook a person wants, where somebody else could have theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Theirs, where the configuration of a manager says so, or where theirs would not run beside ours.
    AsConfigured,
    /// Ours.
    Own,
}

/// What an installation does about the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// Writes ours over what is there.
    Write(Besides),
    /// Keeps what is there under another name, and writes ours.
    Keep,
    /// Keeps what the first version kept under the name that is ours now, and writes ours.
    Rename,
    /// Writes ours where a manager's hook runs it.
    Behind(Manager, Besides),
    /// Leaves it to a manager.
    Manager(Managed),
    /// Leaves it to a hook of somebody else that runs the program.
    Foreign(Foreign),
    /// Leaves it to whoever set the directory for all repositories.
    Shared,
}

/// Looks at a repository.
pub(crate) fn look(git: &Git, directory: &Path) -> Result<Facts, HookError> {
    let place = git.hook_place(HOOK)?;
    let place = place.map_err(|said| HookError::unplaced(directory.to_owned(), said))?;
    let mut hook = hook_at(&place.file).map_err(|source| unusable(&place.file, source))?;
    let (kept, legacy) = (kept_at(&place.file, hook)?, legacy_at(&place.file)?);
    // The hooks that husky writes do not name it; their directory does.
    if let (Hook::Foreign(None, runs), Some(_)) = (hook, place.file.parent().and_then(manager::husky_directory)) {
        hook = Hook::Foreign(Some(Manager::Husky), runs);
    }
    let manager = places(&place).and_then(Manager::of_repository);
    let configured = git.configured_hooks(HOOK)?;
    let configured_run = match git.version()? {
        Some(version) if version >= RUNS_CONFIGURED => Runs::Yes,
        Some(_) | None => Runs::No,
    };
    let off = Off::of(&place);
    Ok(Facts { place, hook, kept, legacy, off, manager, configured, configured_run })
}

/// Where the files of a manager may be; none in a bare repository.
fn places(place: &HookPlace) -> Option<Places<'_>> {
    Some(Places { top: place.top.as_deref()?, hooks: place.file.parent()? })
}

impl Facts {
    /// The hook of git's configuration that runs our program.
    pub(crate) fn configured_ours(&self) -> Option<&ConfiguredHook> {
        self.configured.iter().find(|hook| is_ours(&hook.command))
    }

    /// Who set the directory of hooks for more than this repository.
    pub(crate) fn shared(&self) -> Option<&HooksPath> {
        self.place.named.as_ref().filter(|named| named.scope == Scope::Shared)
    }

    /// The manager to leave the hook to, and what its configuration says.
    pub(crate) fn managed(&self) -> Option<Managed> {
        let (manager, runs) = match self.hook {
            Hook::Foreign(Some(manager), runs) => (Some(manager), runs),
            Hook::Nothing | Hook::Ours(..) | Hook::Foreign(None, _) | Hook::NotAFile => (self.manager, Runs::No),
        };
        Some(Managed::of(manager?, runs, places(&self.place)?))
    }

    /// The hook of somebody else in the hook's place, as far as it runs our program. The file of a manager may be the
    /// hook itself.
    pub(crate) fn foreign(&self) -> Option<Foreign> {
        let Hook::Foreign(_, runs) = self.hook else { return None };
        let managed = self.managed().filter(Managed::has_lines);
        if managed.is_some_and(|managed| {
            self.place.top.as_deref().map(|top| top.join(managed.file)) == Some(self.place.file.clone())
        }) {
            return None;
        }
        Some(Foreign::at(&self.place.file, runs)).filter(|foreign| foreign.runs_ours())
    }

    /// Where our hook is, or would be. A manager that came after us kept it under the other name.
    pub(crate) fn our_place(&self) -> PathBuf {
        match (self.hook, self.legacy) {
            (Hook::Foreign(..), Legacy::Ours(..)) => legacy_of(&self.place.file),
            (Hook::Foreign(..) | Hook::Ours(..) | Hook::Nothing | Hook::NotAFile, _) => self.place.file.clone(),
        }
    }

    /// The manager whose hook runs ours, which it keeps as `pre-push.legacy`.
    pub(crate) fn behind(&self) -> Option<(Manager, Edition, Runs)> {
        match (self.hook, self.legacy) {
            (Hook::Foreign(Some(manager), Runs::Yes), Legacy::Ours(edition, runs)) if manager.runs_legacy() => {
                Some((manager, edition, runs))
            }
            (Hook::Foreign(..) | Hook::Nothing | Hook::Ours(..) | Hook::NotAFile, _) => None,
        }
    }

    /// The `license.toml` that our hook names, wherever that is, if it is not the usual one.
    pub(crate) fn config(&self) -> Option<String> {
        let file = match self.hook {
            Hook::Ours(..) => self.place.file.clone(),
            Hook::Foreign(..) | Hook::Nothing | Hook::NotAFile => self.behind().map(|_| legacy_of(&self.place.file))?,
        };
        shim::config_of(&files::read_head(&file, HEAD_BYTES).ok()?)
    }

    /// Whether ours can be in the hook's place, whatever files the manager has: it has no hook there.
    pub(crate) fn is_free_of_managers(&self) -> bool {
        match self.hook {
            Hook::Nothing | Hook::Foreign(None, _) => true,
            Hook::Ours(..) | Hook::Foreign(Some(_), _) | Hook::NotAFile => false,
        }
    }

    /// The manager that an installation leaves the hook to. One with another use for hooks would only take ours along,
    /// and its lines see less of a push than ours.
    fn owner(&self, wish: Wish) -> Option<Managed> {
        let managed = self.managed()?;
        let is_left = managed.claim == Claim::Nothing && !managed.has_lines();
        let is_ours = self.is_free_of_managers() && (wish == Wish::Own || is_left);
        (!is_ours).then_some(managed)
    }

    /// What an installation does.
    fn plan(&self, wish: Wish) -> Result<Plan, HookError> {
        if let Some(hook) = self.configured_ours() {
            return Err(HookError::Configured { name: clean(&hook.name) });
        }
        if let Some(off) = &self.off {
            return Err(HookError::Off(off.clone()));
        }
        if let Some(foreign) = self.foreign() {
            return Ok(Plan::Foreign(foreign));
        }
        if self.shared().is_some() {
            return Ok(Plan::Shared);
        }
        let besides = match self.kept {
            Before::There(_) => Besides::Kept,
            // A hook that we kept may be gone by now.
            Before::Nothing | Before::TheHookItself => Besides::Nobody,
        };
        if let Some((manager, edition, _)) = self.behind() {
            not_edited(edition, &legacy_of(&self.place.file))?;
            return Ok(Plan::Behind(manager, besides));
        }
        match (self.hook, self.owner(wish)) {
            (Hook::NotAFile, _) => Err(HookError::NotAFile { file: self.place.file.clone() }),
            (Hook::Ours(_, Edition::Edited, _), _) => Err(HookError::Edited { file: self.place.file.clone() }),
            (Hook::Ours(Chain::WithLegacy, ..), _) => match (self.legacy, self.kept) {
                (Legacy::There(_), Before::Nothing) => Ok(Plan::Rename),
                (Legacy::There(_), Before::There(_) | Before::TheHookItself) => Err(self.kept_taken()),
                (Legacy::Nothing | Legacy::Ours(..) | Legacy::TheKeptOne, _) => Ok(Plan::Write(besides)),
            },
            (Hook::Nothing | Hook::Foreign(..), Some(managed)) => Ok(Plan::Manager(managed)),
            (Hook::Ours(Chain::Alone | Chain::WithKept, ..), _) | (Hook::Nothing, None) => Ok(Plan::Write(besides)),
            // A hook of a manager in a bare repository is like any other.
            (Hook::Foreign(..), None) => match self.kept {
                Before::Nothing | Before::TheHookItself => Ok(match self.bound_to_its_name(wish) {
                    Some(foreign) => Plan::Foreign(foreign),
                    None => Plan::Keep,
                }),
                Before::There(_) => Err(self.kept_taken()),
            },
        }
    }

    /// The hook of somebody else that would not work under the name that we keep it by.
    fn bound_to_its_name(&self, wish: Wish) -> Option<Foreign> {
        let (Hook::Foreign(_, runs @ Runs::Yes), Wish::AsConfigured) = (self.hook, wish) else { return None };
        Some(Foreign::at(&self.place.file, runs)).filter(|foreign| foreign.name != Name::Any)
    }

    fn kept_taken(&self) -> HookError {
        HookError::KeptTaken { file: kept_of(&self.place.file) }
    }

    fn shim<'s>(&self, runs: Besides, config: Option<&'s str>) -> Shim<'s> {
        let default = self.place.common.join("hooks");
        // A directory that is a link leads elsewhere, and so would a path that begins there.
        let is_default =
            self.place.file.parent() == Some(&*default) && default.canonicalize().is_ok_and(|real| real == default);
        Shim { finds: if is_default { Finds::Beside } else { Finds::ByGit }, runs, config }
    }
}

/// A `license.toml` of this repository: what it agrees to, and where it is.
#[derive(Debug)]
pub(crate) struct Named {
    /// What it names.
    pub(crate) record: TrustRecord,
    /// Its path from the top of the work tree; none for the usual one.
    pub(crate) config: Option<String>,
}

impl Named {
    /// Looks at where a file is. One above the repository is another project's, and a bare repository has no work tree.
    pub(crate) fn of(file: &Path, config: &Config, facts: &Facts) -> Result<Option<Self>, HookError> {
        let (Some(top), Ok(root)) = (&facts.place.top, config.root.canonicalize()) else { return Ok(None) };
        let Ok(below) = root.strip_prefix(top.canonicalize().as_ref().unwrap_or(top)) else { return Ok(None) };
        let path = below.join(file.file_name().unwrap_or_default());
        let record = TrustRecord::of(config);
        if path == Path::new(config::FILE_NAME) {
            return Ok(Some(Self { record, config: None }));
        }
        match path.to_str() {
            // It is written into a file of one word a line.
            Some(text) if !text.contains(char::is_control) => Ok(Some(Self { record, config: Some(text.to_owned()) })),
            Some(_) | None => Err(HookError::ConfigName { file: path }),
        }
    }
}

/// What was installed.
#[derive(Debug)]
pub(crate) struct Installed {
    /// What was found.
    pub(crate) facts: Facts,
    /// What runs the program now.
    pub(crate) guard: Guard,
    /// What copy of the program was there before.
    pub(crate) program_before: Standing,
    /// What was agreed to before, if anything was.
    pub(crate) agreed_before: Option<TrustRecord>,
    /// What is agreed to now.
    pub(crate) agreed: TrustRecord,
    /// The `license.toml` that the hook names, where it is not the usual one.
    pub(crate) config: Option<String>,
}

/// What runs the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Our hook.
    Hook(Besides),
    /// Our hook, which the one of a manager runs.
    Behind(Manager, Besides),
    /// A manager does, or will once somebody has added the lines to its configuration.
    Manager(Managed),
    /// A hook that somebody else wrote does.
    Foreign(Foreign),
    /// Nothing, before somebody decides about a directory that is not this repository's.
    Shared,
}

/// Installs: first the program, then what it may send where, then the hook that runs it.
pub(crate) fn install(ctx: &Context, facts: Facts, named: Option<Named>, wish: Wish) -> Result<Installed, HookError> {
    let plan = facts.plan(wish)?;
    let (file, common) = (&facts.place.file, &facts.place.common);
    let (kept, legacy) = (kept_of(file), legacy_of(file));
    let (agreed, config) = named.map_or_else(Default::default, |named| (named.record, named.config));
    // One that cannot be read is replaced: that is what its own message advises.
    let agreed_before = TrustRecord::read(common).ok().flatten();
    let program_before = program::bring(common).map_err(|source| unusable(&program::place(common), source))?;
    agreed.write(common).map_err(|source| unusable(common, source))?;
    failpoint::reached(ctx, "hook-program");
    let write = |file: &Path, besides| write(file, &facts.shim(besides, config.as_deref()));
    let keep = |from: &Path| keep(from, &kept).map_err(|source| unusable(&kept, source));
    let guard = match plan {
        Plan::Write(besides) => {
            write(file, besides)?;
            failpoint::reached(ctx, "hook-replaced");
            if facts.legacy == Legacy::TheKeptOne {
                fs::remove_file(&legacy).map_err(|source| unusable(&legacy, source))?;
            }
            Guard::Hook(besides)
        }
        Plan::Keep => {
            if facts.kept == Before::Nothing {
                keep(file)?;
            }
            failpoint::reached(ctx, "hook-kept");
            write(file, Besides::Kept)?;
            Guard::Hook(Besides::Kept)
        }
        Plan::Rename => {
            keep(&legacy)?;
            failpoint::reached(ctx, "hook-kept");
            write(file, Besides::Kept)?;
            failpoint::reached(ctx, "hook-replaced");
            fs::remove_file(&legacy).map_err(|source| unusable(&legacy, source))?;
            Guard::Hook(Besides::Kept)
        }
        Plan::Behind(manager, besides) => {
            write(&legacy, besides)?;
            Guard::Behind(manager, besides)
        }
        Plan::Manager(managed) => Guard::Manager(managed),
        Plan::Foreign(foreign) => Guard::Foreign(foreign),
        Plan::Shared => Guard::Shared,
    };
    failpoint::reached(ctx, "hook-written");
    Ok(Installed { facts, guard, program_before, agreed_before, agreed, config })
}

/// Gives a hook a second name, so that it is there all the time; and never over something else. A file system without
/// hard links, or one that gives none of somebody else's file, gets a copy.
fn keep(from: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(from, kept) {
        Err(error) if is_about_links(&error) => {}
        linked => return linked,
    }
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, kept);
    }
    files::copy(from, kept, metadata.mode() & MODE_BITS, BYTES_MAX)
}

fn is_about_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks)
}

fn write(file: &Path, shim: &Shim<'_>) -> Result<(), HookError> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(|source| unusable(directory, source))?;
    }
    files::replace_with_mode(file, shim.text().as_bytes(), MODE).map_err(|source| unusable(file, source))
}

/// What an uninstallation did.
#[derive(Debug)]
pub(crate) struct Uninstalled {
    /// What was found.
    pub(crate) facts: Facts,
    /// What became of the hook.
    pub(crate) removed: Removed,
    /// The hook of somebody else that is there now, where it runs the program.
    pub(crate) foreign: Option<Foreign>,
    /// Hooks of ours where git does not look now, or looks in another work tree. They need the program.
    pub(crate) elsewhere: Vec<PathBuf>,
    /// What became of the program and the record.
    pub(crate) program: Kept,
}

/// What became of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There was none of ours.
    Nothing,
    /// It is gone.
    Hook,
    /// It is gone, and the one from before is back.
    Restored,
}

/// Whether the program stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is gone.
    No,
    /// Something that a person wrote runs it, or a hook of ours elsewhere.
    Needed,
}

/// Removes what an installation put there: first the hook, then the program that it runs.
pub(crate) fn uninstall(ctx: &Context, git: &Git, facts: Facts) -> Result<Uninstalled, HookError> {
    let common = &facts.place.common;
    let elsewhere = ours_elsewhere(git, &facts)?;
    let removed = if facts.shared().is_some() { Removed::Nothing } else { take_out(&facts)? };
    failpoint::reached(ctx, "hook-removed");
    // What is there now may be the hook from before.
    let foreign = match (facts.hook, removed) {
        (Hook::Foreign(..), Removed::Nothing) => facts.foreign(),
        (_, Removed::Restored) => Some(Foreign::at(&facts.our_place(), runs(&facts.our_place()))),
        (_, Removed::Nothing | Removed::Hook) => None,
    };
    let foreign = foreign.filter(|foreign| foreign.runs_ours());
    let is_needed = facts.configured_ours().is_some()
        || facts.managed().is_some_and(|managed| managed.has_lines())
        || foreign.is_some_and(|foreign| foreign.without == Without::Refuses)
        || !elsewhere.is_empty();
    let program = if is_needed {
        Kept::Needed
    } else {
        told_once::forget(common);
        TrustRecord::remove(common)
            .and_then(|()| remotes::Remotes::remove(common))
            .and_then(|()| program::remove(common))
            .map_err(|source| unusable(&program::place(common), source))?;
        Kept::No
    };
    Ok(Uninstalled { facts, removed, foreign, elsewhere, program })
}

/// Our hooks in all places but the one that is ours to tidy up.
fn ours_elsewhere(git: &Git, facts: &Facts) -> Result<Vec<PathBuf>, HookError> {
    let mut ours = Vec::new();
    for place in git.hook_places(HOOK, &facts.place.common)?.into_iter().filter(|place| *place != facts.place.file) {
        for file in [legacy_of(&place), place] {
            match hook_at(&file).map_err(|source| unusable(&file, source))? {
                Hook::Ours(..) => ours.push(file),
                Hook::Nothing | Hook::Foreign(..) | Hook::NotAFile => {}
            }
        }
    }
    Ok(ours)
}

/// Takes our hook away, wherever it is, and brings back the one from before.
fn take_out(facts: &Facts) -> Result<Removed, HookError> {
    let file = &facts.place.file;
    let (kept, legacy) = (kept_of(file), legacy_of(file));
    let remove = |file: &Path| fs::remove_file(file).map_err(|source| unusable(file, source));
    let restore = |from: &Path, to: &Path| {
        files::move_over(from, to).map_err(|source| unusable(to, source)).map(|()| Removed::Restored)
    };
    let ours = match (facts.hook, facts.legacy) {
        (Hook::Ours(chain, edition, _), _) => {
            not_edited(edition, file)?;
            if let (Chain::WithLegacy, Legacy::There(_)) = (chain, facts.legacy) {
                return restore(&legacy, file);
            }
            // It is the kept one, which comes back.
            if facts.legacy == Legacy::TheKeptOne {
                remove(&legacy)?;
            }
            file
        }
        // pre-commit or prek runs it, or whoever came in their place does not.
        (Hook::Foreign(..), Legacy::Ours(edition, _)) => {
            not_edited(edition, &legacy)?;
            &legacy
        }
        // So is one that was left there when their hook went.
        (Hook::Nothing, Legacy::Ours(edition, _)) => {
            not_edited(edition, &legacy)?;
            if matches!(facts.kept, Before::There(_)) {
                restore(&kept, file)?;
            }
            remove(&legacy)?;
            return Ok(Removed::Hook);
        }
        // Somebody removed ours, and what it kept belongs there.
        (Hook::Nothing, _) if matches!(facts.kept, Before::There(_)) => return restore(&kept, file),
        (Hook::Foreign(..), _) if facts.kept == Before::TheHookItself => {
            remove(&kept)?;
            return Ok(Removed::Nothing);
        }
        (Hook::Nothing | Hook::Foreign(..) | Hook::NotAFile, _) => return Ok(Removed::Nothing),
    };
    match facts.kept {
        Before::There(_) => restore(&kept, ours),
        Before::Nothing | Before::TheHookItself => remove(ours).map(|()| Removed::Hook),
    }
}

/// What a person wrote is not ours to replace or to remove.
fn not_edited(edition: Edition, file: &Path) -> Result<(), HookError> {
    match edition {
        Edition::Edited => Err(HookError::Edited { file: file.to_owned() }),
        Edition::Present | Edition::Other => Ok(()),
    }
}

/// Why the hook is skipped, however the program was started: what to tell instead of working, where somebody said so.
pub(crate) fn skipped(ctx: &Context) -> Option<&'static str> {
    (ctx.vars.text("LICENSE_HOOK") == Some("0")).then_some(shim::SKIPPED)
}

fn is_ours(command: &str) -> bool {
    command.contains(shim::PROGRAM) || command.contains("xtask pre-push")
}

fn hook_at(file: &Path) -> io::Result<Hook> {
    let Some(metadata) = metadata_of(file)? else { return Ok(Hook::Nothing) };
    let runs = runs(file);
    if metadata.is_symlink() {
        // Ours is never a link, so that what a link leads to is somebody else's, if anything.
        let head = files::read_head(file, HEAD_BYTES).unwrap_or_default();
        return Ok(Hook::Foreign(Manager::of_hook(&head), runs));
    }
    if !metadata.is_file() {
        return Ok(Hook::NotAFile);
    }
    let head = files::read_head(file, HEAD_BYTES)?;
    Ok(match Text::of(&head) {
        Text::Ours(chain, edition) => Hook::Ours(chain, edition, runs),
        Text::Foreign => Hook::Foreign(Manager::of_hook(&head), runs),
    })
}

fn kept_at(place: &Path, hook: Hook) -> Result<Before, HookError> {
    let file = kept_of(place);
    let Some(kept) = identity_of(&file)? else { return Ok(Before::Nothing) };
    let is_copy = || match hook {
        Hook::Foreign(..) => are_copies(place, &file).unwrap_or(false),
        Hook::Nothing | Hook::Ours(..) | Hook::NotAFile => false,
    };
    Ok(if identity_of(place)? == Some(kept) || is_copy() { Before::TheHookItself } else { Before::There(runs(&file)) })
}

/// Whether one is what [`keep`] makes of the other where there are no hard links.
fn are_copies(one: &Path, other: &Path) -> io::Result<bool> {
    let (first, second) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    if first.mode() != second.mode() {
        return Ok(false);
    }
    if first.is_symlink() {
        return Ok(fs::read_link(one)? == fs::read_link(other)?);
    }
    files::are_equal(one, other)
}

fn legacy_at(hook: &Path) -> Result<Legacy, HookError> {
    let file = legacy_of(hook);
    let Some(legacy) = identity_of(&file)? else { return Ok(Legacy::Nothing) };
    if identity_of(&kept_of(hook))? == Some(legacy) {
        return Ok(Legacy::TheKeptOne);
    }
    match hook_at(&file).map_err(|source| unusable(&file, source))? {
        Hook::Ours(_, edition, runs) => Ok(Legacy::Ours(edition, runs)),
        Hook::Nothing | Hook::Foreign(..) | Hook::NotAFile => Ok(Legacy::There(runs(&file))),
    }
}

fn runs(file: &Path) -> Runs {
    if is_executable(file) { Runs::Yes } else { Runs::No }
}

/// Which file a name leads to, a link as such.
fn identity_of(file: &Path) -> Result<Option<(u64, u64)>, HookError> {
    let metadata = metadata_of(file).map_err(|source| unusable(file, source))?;
    Ok(metadata.map(|metadata| (metadata.dev(), metadata.ino())))
}

/// What is at a place, a link as such.
fn metadata_of(file: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(file) {
        Ok(metadata) => Ok(Some(metadata)),
        // Nor is anything below what is no directory.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn kept_of(hook: &Path) -> PathBuf {
    hook.with_file_name(KEPT)
}

fn legacy_of(hook: &Path) -> PathBuf {
    hook.with_file_name(LEGACY)
}

fn unusable(file: &Path, source: io::Error) -> HookError {
    HookError::Unusable { file: file.to_owned(), source }
}

/// Why the hook could not be looked at, installed or removed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum HookError {
    /// There is no repository.
    #[error("git has no repository for `{}`: {said}", directory.display())]
    #[diagnostic(help("run the command in a clone of the project"))]
    NoRepository {
        /// Where.
        directory: PathBuf,
        /// What git said.
        said: String,
    },
    /// There is one, and git does not want to work in it.
    #[error("git does not trust the repository that `{}` is in: its files belong to somebody else", directory.display())]
    #[diagnostic(help("if you trust it: `{advice}`"))]
    Distrusted {
        /// Where.
        directory: PathBuf,
        /// What git says to do.
        advice: String,
    },
    /// git did not answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] GitError),
    /// Two foreign hooks, and one name.
    #[error("there is a hook that is not ours, and `{}` is the one from before it: nothing was changed", file.display())]
    #[diagnostic(help(
        "move one of the two away, or let that hook run the program itself: docs/push-guard.md says how"
    ))]
    KeptTaken {
        /// The file that is there.
        file: PathBuf,
    },
    /// A person wrote into our hook.
    #[error("somebody changed `{}`, which is ours: nothing was changed", file.display())]
    #[diagnostic(help(
        "move the file away, run `cargo xtask hook uninstall`, put your own lines into the hook that is there then, and \
         run `cargo xtask hook install`, which runs both"
    ))]
    Edited {
        /// The hook.
        file: PathBuf,
    },
    /// A path that no line of a hook can hold.
    #[error("`{}` cannot be named in a hook: its name is no UTF-8, or has a control character", clean(&file.display().to_string()))]
    #[diagnostic(help("give the file, or its directory, another name"))]
    ConfigName {
        /// The file, from the top of the work tree.
        file: PathBuf,
    },
    /// Something else is in the hook's place.
    #[error("`{}` is no file: nothing was changed", file.display())]
    #[diagnostic(help("git runs no hook from there either; move it away, and run the command again"))]
    NotAFile {
        /// What it is.
        file: PathBuf,
    },
    /// Hooks are turned off.
    #[error("{}: nothing was changed", .0.why)]
    #[diagnostic(help("{}", .0.help))]
    Off(Off),
    /// git's configuration runs the program, and a file would run it once more.
    #[error("git's configuration runs the program already, as hook `{name}`: nothing was changed")]
    #[diagnostic(help(
        "keep one of the two; to have the file, which older versions of git run too: `git config --remove-section hook.{name}`"
    ))]
    Configured {
        /// The hook's name.
        name: String,
    },
    /// The record.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
    /// The operating system says no.
    #[error("`{}` cannot be used: {}", file.display(), files::why(source))]
    #[diagnostic(help("see whose it is and whether it may be written, and run the command again"))]
    Unusable {
        /// What.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl HookError {
    fn unplaced(directory: PathBuf, said: String) -> Self {
        match git::advice_to_trust(&said).map(str::to_owned) {
            Some(advice) => Self::Distrusted { directory, advice },
            None => Self::NoRepository { directory, said },
        }
    }

    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoRepository { .. }
            | Self::Distrusted { .. }
            | Self::Git(_)
            | Self::KeptTaken { .. }
            | Self::Edited { .. }
            | Self::ConfigName { .. }
            | Self::NotAFile { .. }
            | Self::Off(_)
            | Self::Configured { .. }
            | Self::Trust(_)
            | Self::Unusable { .. } => Exit::Config,
        }
    }
}
