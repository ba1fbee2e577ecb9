//! The shell around [`license_core`]: the only crate with input and output.
//!
//! One file per command. Dependency direction: `lib → commands → gate → {authority, store, trail, report, config} → license_core`.

#![forbid(unsafe_code)]

use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue},
};

mod agent;
mod authority;
mod child_env;
mod cli;
mod commands;
mod commit;
mod config;
mod connect;
mod console;
mod context;
mod environment_lock;
mod escrow;
mod exit;
mod failpoint;
mod failure;
mod files;
mod first_key;
mod gate;
mod git;
mod glob;
mod health;
mod hook;
mod journal;
mod keyring;
mod log;
mod many;
mod mask;
mod met;
mod narrator;
mod notify;
mod private_directory;
mod process;
mod push;
mod random;
mod report;
mod scan;
mod seal;
#[cfg(feature = "serve")]
mod server;
mod signals;
mod store;
mod tell;
mod trail;
mod vars;

use cli::{CheckArgs, Cli, Command, DeployArgs, Format, PrePushArgs, RotateArgs, StatusArgs, StatusFormat};
use commands::{
    alert::{self as alert_command, AlertCommand},
    audit::{
        self, AuditCommand, AuditError, AuditFormat, VerifyArgs,
        export::{ExportArgs, Exported, Occasion},
    },
    authority as authority_command, check, deploy,
    escrow::{self as escrow_command, EscrowCommand},
    hook::{self as hook_command, HookCommand},
    leaks::{self, Document, LeaksArgs},
    lock::{self, LockCommand},
    pre_push, rotate, schema, status,
    store::{self as store_command, StoreCommand},
    webhook::{self as webhook_command, WebhookCommand},
};
use config::{AuthoritySettings, Config};
use context::{Context, Platform};
use exit::Exit;
use failure::{Failure, stop_exit};
use hook::shim::REFUSED;
use narrator::Narrator;
use report::{DeployReport, github, html, json, prometheus};
use scan::{sarif, told};
use signals::Signals;
use trail::Trails;

/// The whole program: parse, load, dispatch, render, exit. A workspace of your own calls it from a `main` of one line.
pub fn main_impl() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Cli::read(&arguments) {
        Ok(cli) => run(cli).into(),
        Err(error) => explain_usage(error).into(),
    }
}

fn run(cli: Cli) -> Exit {
    let ctx = match Context::of_process(cli.color) {
        Ok(ctx) => ctx,
        Err(error) => return no_directory(&error, &cli.command),
    };
    let config = cli.config;
    match cli.command {
        Command::Deploy(args) => run_deploy(&ctx, config.as_deref(), &args),
        Command::Check(args) => run_check(&ctx, config.as_deref(), &args),
        Command::Status(args) => run_status(&ctx, config.as_deref(), &args),
        Command::Rotate(args) => run_rotate(&ctx, config.as_deref(), &args),
        Command::Leaks(args) => run_leaks(&ctx, config.as_deref(), &args),
        Command::Audit(command) => run_audit(&ctx, config.as_deref(), command),
        Command::Lock(command) => run_lock(&ctx, config.as_deref(), &command),
        Command::Authority(args) => run_authority(&ctx, config.as_deref(), args),
        Command::Escrow(command) => run_escrow(&ctx, config.as_deref(), &command),
        Command::Store(command) => run_store(&ctx, config.as_deref(), &command),
        Command::Alert(command) => run_alert(&ctx, config.as_deref(), &command),
        Command::Webhook(command) => run_webhook(ctx, config.as_deref(), &command),
        Command::PrePush(args) => run_pre_push(ctx, config.as_deref(), &args),
        Command::Hook(command) => run_hook(&ctx, config.as_deref(), &command),
        Command::Schema => finish(&Narrator::new(&ctx, None), schema::TEXT, Exit::Done),
    }
}

fn run_deploy(ctx: &Context, config: Option<&Path>, args: &DeployArgs) -> Exit {
    let narrator = Narrator::new(ctx, args.output.format);
    let report = match load_hiding(ctx, config, &narrator) {
        Ok(config) => {
            let report = deploy::run(ctx, &config, args, &narrator);
            if let Some(failure) = &report.failure {
                let environment = report.environment.as_deref().and_then(|name| config.environment(name).ok());
                narrator.failure(failure, environment.map(|environment| (&config, environment)));
            }
            report
        }
        Err(failure) => {
            narrator.failure(&failure, None);
            DeployReport { failure: Some(failure), ..DeployReport::default() }
        }
    };
    let exit = deploy::exit(&report);
    if let (Some(head), Some(environment)) = (&report.trail, &report.environment) {
        narrator.note(&trail::file::show_head(environment, head));
    }
    append_summary(ctx, &narrator, || github::deploy_summary(&report));
    document(&narrator, exit, || json::deploy(&report, exit))
}

fn run_check(ctx: &Context, config: Option<&Path>, args: &CheckArgs) -> Exit {
    let narrator = Narrator::new(ctx, args.output.format);
    let config = match load_hiding(ctx, config, &narrator) {
        Ok(config) => config,
        Err(failure) => return cannot_check(ctx, &narrator, &failure),
    };
    let asking = narrator.spinner("asking the authorities");
    let checked = check::run(ctx, &config, args);
    if let Some(asking) = asking {
        asking.done();
    }
    let report = match checked {
        Ok(report) => report,
        Err(failure) => return cannot_check(ctx, &narrator, &failure),
    };
    for gated in &report.gated {
        match &gated.outcome {
            Ok(judged) => narrator.gate(&config, gated.environment, judged),
            Err(failure) => narrator.not_judged(&config, gated.environment, failure),
        }
        if let Some(warning) = check::grace_warning(ctx, &config, gated) {
            narrator.note(&warning);
        }
    }
    let exit = check::exit(&report);
    append_summary(ctx, &narrator, || github::check_summary(&report));
    document(&narrator, exit, || json::check(&report, exit))
}

fn run_status(ctx: &Context, config: Option<&Path>, args: &StatusArgs) -> Exit {
    let narrator = Narrator::new(ctx, args.told_as());
    let config = match load_hiding(ctx, config, &narrator) {
        Ok(config) => config,
        Err(failure) => return cannot_begin(&narrator, json::Document::Other, &failure),
    };
    if let Some(every) = args.watch {
        return watch_status(ctx, &config, args, every, &narrator);
    }
    let asking = narrator.spinner("looking");
    let looked = status::run(ctx, &config, args, &narrator);
    if let Some(asking) = asking {
        asking.done();
    }
    let report = match looked {
        Ok(report) => report,
        Err(failure) => return cannot_begin(&narrator, json::Document::Other, &failure),
    };
    let exit = report.exit();
    narrator.status(&config, &report);
    let exit = publish(ctx, &narrator, args, &report, exit);
    append_summary(ctx, &narrator, || github::status_summary(&report));
    match args.format {
        Some(StatusFormat::Junit) => {
            finish(&narrator, &github::defused_xml(narrator.platform(), report::status::junit(&report)), exit)
        }
        Some(StatusFormat::Human | StatusFormat::Json | StatusFormat::Github) | None => {
            document(&narrator, exit, || report::status::json(&report, exit))
        }
    }
}

/// Watches on a terminal; what was seen last stays there.
fn watch_status(ctx: &Context, config: &Config, args: &StatusArgs, every: Duration, narrator: &Narrator<'_>) -> Exit {
    match status::watch::run(ctx, config, args, every, narrator) {
        Ok(watched) => {
            if let Some(report) = &watched.report {
                narrator.status(config, report);
            }
            watched.exit
        }
        Err(failure) => cannot_begin(narrator, json::Document::Other, &failure),
    }
}

/// Who may read the metrics: a node exporter, which runs as a user of its own.
const METRICS_MODE: u32 = 0o644;
/// Who may read the page: whoever asked for it. It names every environment with its domain, its plan and what is wrong
/// with it; whom else that concerns, a person decides.
const PAGE_MODE: u32 = 0o600;

/// Writes the files that a `status` was asked for. One that cannot be written hides nothing of what was found.
fn publish(
    ctx: &Context,
    narrator: &Narrator<'_>,
    args: &StatusArgs,
    report: &status::StatusReport<'_>,
    exit: Exit,
) -> Exit {
    let metrics = args.metrics.as_ref().map(|path| {
        let written = files::publish(&ctx.directory.join(path), prometheus::metrics(report).as_bytes(), METRICS_MODE);
        ("the metrics cannot be written", path, written)
    });
    let page = args.html.as_ref().map(|path| {
        let written = files::publish(&ctx.directory.join(path), html::page(report).as_bytes(), PAGE_MODE);
        ("the page cannot be written", path, written)
    });
    let mut exit = exit;
    for (what, path, written) in [metrics, page].into_iter().flatten() {
        let Err(error) = written else { continue };
        let source = io::Error::new(error.kind(), format!("`{}`: {}", path.display(), files::why(&error)));
        let failure = Failure::System { what, source };
        narrator.failure(&failure, None);
        if exit == Exit::Done {
            exit = failure.exit();
        }
    }
    exit
}

fn run_rotate(ctx: &Context, config: Option<&Path>, args: &RotateArgs) -> Exit {
    let narrator = Narrator::new(ctx, args.output.format);
    let config = match load_hiding(ctx, config, &narrator) {
        Ok(config) => config,
        Err(failure) => return cannot_rotate(ctx, &narrator, &failure),
    };
    let environments = match rotate::environments(&config, args) {
        Ok(environments) => environments,
        Err(problem) => return cannot_rotate(ctx, &narrator, &problem.into()),
    };
    let mut reports = Vec::new();
    let mut stopped = None;
    for (at, environment) in environments.iter().enumerate() {
        let report = rotate::run(ctx, &config, environment, args, &narrator);
        if let Some(outcome) = &report.outcome {
            narrator.rotated(&config, environment, outcome);
        }
        if let Some(failure) = &report.failure {
            narrator.failure(failure, Some((&config, environment)));
        }
        if let Some(head) = &report.trail {
            narrator.note(&trail::file::show_head(environment.name.as_str(), head));
        }
        reports.push(report);
        let left: Vec<String> = environments[at + 1..].iter().map(|left| format!("`{}`", left.name)).collect();
        if let Some(stop) = ctx.signals.get().and_then(Signals::stop)
            && !left.is_empty()
        {
            narrator.note(&format!("not begun, since a signal came: {}", left.join(", ")));
            stopped = Some(stop_exit(stop));
            break;
        }
    }
    let exit = stopped.unwrap_or_else(|| rotate::exit_of_all(&reports));
    append_summary(ctx, &narrator, || github::rotate_summary(&reports));
    document(&narrator, exit, || json::rotate(&reports, exit))
}

/// Looks for keys. Without a license.toml their forms are looked for.
fn run_leaks(ctx: &Context, config: Option<&Path>, args: &LeaksArgs) -> Exit {
    let narrator = Narrator::new(ctx, args.format());
    let loaded = match config_path(ctx, config) {
        Err(Failure::NoConfig { .. }) => Ok(None),
        Err(failure) => Err(failure),
        Ok(path) => load_hiding(ctx, Some(&path), &narrator).map(Some),
    };
    let ran = loaded.and_then(|config| leaks::run(ctx, config.as_ref(), args, &narrator));
    let report = match ran {
        Ok(report) => report,
        Err(failure) if args.document() == Document::Sarif => {
            narrator.failure(&failure, None);
            let log = sarif::failed(&failure.to_string(), failure.exit());
            return finish(&narrator, &(json::line(&log, narrator.platform()) + "\n"), failure.exit());
        }
        Err(failure) => return cannot_begin(&narrator, json::Document::Other, &failure),
    };
    narrator.leaks(&report);
    let exit = report.exit();
    match args.document() {
        Document::None => exit,
        Document::Json => finish(&narrator, &(json::line(&told::json(&report), narrator.platform()) + "\n"), exit),
        Document::Sarif => finish(&narrator, &(json::line(&sarif::log(&report), narrator.platform()) + "\n"), exit),
    }
}

fn run_audit(ctx: &Context, config: Option<&Path>, mut command: AuditCommand) -> Exit {
    let narrator = Narrator::new(ctx, None);
    match audit(ctx, config, &mut command, &narrator) {
        Ok((text, exit)) => finish(&narrator, &text, exit),
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

fn audit(
    ctx: &Context,
    config: Option<&Path>,
    command: &mut AuditCommand,
    narrator: &Narrator<'_>,
) -> Result<(String, Exit), Failure> {
    let line = |document| json::line(&document, narrator.platform()) + "\n";
    if let AuditCommand::Verify(VerifyArgs { file: Some(file), expect_head, format, .. }) = command {
        let report = audit::exported::verify(&ctx.directory, file, expect_head)?;
        let text = match format {
            AuditFormat::Human => github::defused_for(narrator.platform(), &report.human()),
            AuditFormat::Json => line(report.json()),
        };
        return Ok((text, report.exit()));
    }
    let config = load(ctx, config)?;
    narrator.warnings(&config);
    let signals = commands::signals(ctx)?;
    let trails = connect::trails(ctx, &config);
    // A name that is neither in the file nor has a trail is a slip, not an empty trail.
    for environment in command.environments() {
        if !trails.has_left(environment.as_str()) {
            config.environment(environment.as_str())?;
        }
    }
    Ok(match command {
        AuditCommand::Show(args) => {
            args.environment = args.environment.take().or(config.default);
            let report = audit::show(&trails, args)?;
            let text = match args.format {
                AuditFormat::Human => github::defused_for(narrator.platform(), &report.human()),
                AuditFormat::Json => line(report.json()),
            };
            (text, Exit::Done)
        }
        AuditCommand::Verify(args) => {
            let report = audit::verify(&trails, args)?;
            let text = match args.format {
                AuditFormat::Human => github::defused_for(narrator.platform(), &report.human()),
                AuditFormat::Json => line(report.json()),
            };
            // What was not read any more is no finding.
            (text, signals.stop().map_or_else(|| report.exit(), stop_exit))
        }
        AuditCommand::Export(args) => {
            for note in audit_export(ctx, &config, &trails, args)?.notes {
                narrator.note(&note);
            }
            (String::new(), Exit::Done)
        }
    })
}

/// Exports to the file that is named, or to stdout. A reader of stdout that went away is no error of ours.
fn audit_export(ctx: &Context, config: &Config, trails: &Trails, args: &ExportArgs) -> Result<Exported, AuditError> {
    let occasion =
        |reader| Occasion { at: context::now(), actor: ctx.actor(), directory: ctx.directory.clone(), reader };
    let Some(file) = &args.output else {
        let mut out = ctx.console.out();
        let exported = audit::export::export(trails, args, occasion(ctx.runs_on()), &mut BufWriter::new(&mut **out));
        return match exported {
            Err(AuditError::NotWritten { source }) if source.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exported::default())
            }
            exported => exported,
        };
    };
    audit::export::put(&ctx.directory, file, config, |out| {
        audit::export::export(trails, args, occasion(Platform::Other), out)
    })
}

fn run_lock(ctx: &Context, config: Option<&Path>, command: &LockCommand) -> Exit {
    let narrator = Narrator::new(ctx, Some(command.format()));
    let done = load_hiding(ctx, config, &narrator).and_then(|config| lock::run(ctx, &config, command, &narrator));
    match done {
        Ok(report) => {
            let text = match narrator.format() {
                Format::Json => json::line(&report.json(), narrator.platform()) + "\n",
                Format::Human | Format::Github => github::defused_for(narrator.platform(), &report.human()),
            };
            finish(&narrator, &text, Exit::Done)
        }
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

/// The escrow needs no license.toml: one is looked for only to find its directory.
fn run_escrow(ctx: &Context, config: Option<&Path>, command: &EscrowCommand) -> Exit {
    let narrator = Narrator::new(ctx, None);
    let file = config_path(ctx, config);
    let parent = |path: &PathBuf| Some(ctx.directory.join(path).parent()?.to_owned());
    let root = file.as_ref().ok().and_then(parent).unwrap_or_else(|| ctx.directory.clone());
    // Whoever recovers a key may have a broken file: it names the identity and the shared place only where it can be read.
    let loaded = file.ok().and_then(|path| config::load(&path, &ctx.vars).ok());
    let project = escrow_command::Project { root: &root, config: loaded.as_ref() };
    let done = commands::signals(ctx)
        .and_then(|_| escrow_command::run(ctx, project, command, &narrator).map_err(Failure::from));
    match done {
        Ok(()) => Exit::Done,
        Err(failure) => {
            let exit = cannot_begin(&narrator, json::Document::Other, &failure);
            ctx.signals.get().and_then(Signals::stop).map_or(exit, stop_exit)
        }
    }
}

fn run_store(ctx: &Context, config: Option<&Path>, command: &StoreCommand) -> Exit {
    let narrator = Narrator::new(ctx, None);
    let told =
        load_hiding(ctx, config, &narrator).and_then(|config| store_command::run(ctx, &config, command, &narrator));
    match told {
        Ok((text, exit)) => finish(&narrator, &github::defused_for(narrator.platform(), &text), exit),
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

fn run_alert(ctx: &Context, config: Option<&Path>, command: &AlertCommand) -> Exit {
    let narrator = Narrator::new(ctx, command.format());
    let told =
        load_hiding(ctx, config, &narrator).and_then(|config| alert_command::run(ctx, &config, command, &narrator));
    match told {
        Ok((text, exit)) => finish(&narrator, &github::defused_for(narrator.platform(), &text), exit),
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

fn run_webhook(ctx: Context, config: Option<&Path>, command: &WebhookCommand) -> Exit {
    let ctx = Arc::new(ctx);
    let narrator = Narrator::new(&ctx, command.format());
    let done = match command {
        WebhookCommand::Verify(args) => {
            // Where the command line says where the secret is, no license.toml is needed.
            let loaded = if args.needs_config() { load_hiding(&ctx, config, &narrator).map(Some) } else { Ok(None) };
            loaded.and_then(|config| webhook_command::verify(&ctx, config.as_ref(), args, &narrator))
        }
        #[cfg(feature = "serve")]
        WebhookCommand::Serve(args) => load_hiding(&ctx, config, &narrator)
            .and_then(|config| webhook_command::serve::serve(&ctx, config, args))
            .map(|()| (String::new(), Exit::Done)),
    };
    match done {
        Ok((text, exit)) => finish(&narrator, &github::defused_for(narrator.platform(), &text), exit),
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

/// stdout belongs to the push, unless the hook keeps it for itself to hear the answer.
fn run_pre_push(ctx: Context, config: Option<&Path>, args: &PrePushArgs) -> Exit {
    let ctx = Arc::new(ctx);
    match (pre_push::run(&ctx, config, args), &args.say) {
        (Exit::Done, Some(word)) => finish(&Narrator::new(&ctx, None), &format!("{word}\n"), Exit::Done),
        (Exit::Usage, Some(_)) => finish(&Narrator::new(&ctx, None), &format!("{REFUSED}\n"), Exit::Usage),
        (exit, _) => exit,
    }
}

/// The hook is about the repository; license.toml says what it may do, where there is one.
fn run_hook(ctx: &Context, config: Option<&Path>, command: &HookCommand) -> Exit {
    let narrator = Narrator::new(ctx, Some(command.format()));
    let file = config.map(|file| ctx.directory.join(file)).or_else(|| config::find(&ctx.directory));
    let loaded = match &file {
        Some(file) => load(ctx, config).map(|config| Some(hook_command::Loaded { file, config })),
        None => Ok(None),
    };
    match hook_command::run(ctx, loaded, command, &narrator) {
        Ok((text, exit)) => finish(&narrator, &text, exit),
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

/// The embedded authority needs no license.toml: one is looked at only to find the state directory.
fn run_authority(ctx: &Context, config: Option<&Path>, args: authority_command::Args) -> Exit {
    let narrator = Narrator::new(ctx, None);
    if args.serves() {
        ctx.console.when_unread(console::Unread::Lost);
    }
    let done = state_directory(ctx, config, &args).and_then(|state| {
        let mut err = ctx.console.err();
        let mut out = ctx.console.out();
        Ok(authority_command::run(args, &state, &ctx.vars, context::now, &mut **out, &mut *err)?)
    });
    match done {
        Ok(()) => Exit::Done,
        Err(failure) => cannot_begin(&narrator, json::Document::Other, &failure),
    }
}

/// Where the embedded authority keeps its state, when the command line does not say.
fn state_directory(ctx: &Context, config: Option<&Path>, args: &authority_command::Args) -> Result<PathBuf, Failure> {
    if let Some(state) = args.state() {
        return Ok(state.to_owned());
    }
    let embedded = |settings: &AuthoritySettings| match settings {
        AuthoritySettings::Embedded { state } => Some(state.clone()),
        AuthoritySettings::Remote(_) => None,
    };
    let path = config_path(ctx, config)?;
    let config = config::load(&path, &ctx.vars)?;
    let mut states: Vec<PathBuf> = config.authorities.values().filter_map(embedded).collect();
    match (states.pop(), states.is_empty()) {
        (Some(state), true) => Ok(state),
        (Some(_), false) => Err(Failure::WhichAuthority { what: "more than one embedded authority" }),
        (None, _) => Err(Failure::WhichAuthority { what: "no embedded authority" }),
    }
}

/// Prints the document where one was asked for, and ends.
fn document(narrator: &Narrator<'_>, exit: Exit, document: impl FnOnce() -> serde_json::Value) -> Exit {
    match narrator.format() {
        Format::Json => {
            let line = json::line(&document(), narrator.platform()) + "\n";
            finish(narrator, &line, exit)
        }
        Format::Human | Format::Github => exit,
    }
}

/// Writes the last of the data. A command whose result could not be written did not do its work.
fn finish(narrator: &Narrator<'_>, text: &str, exit: Exit) -> Exit {
    match narrator.console.data(text) {
        Ok(()) => exit,
        Err(source) => {
            let failure = Failure::System { what: "stdout cannot be written", source };
            narrator.failure(&failure, None);
            if exit == Exit::Done { failure.exit() } else { exit }
        }
    }
}

/// Says why nothing could be checked.
fn cannot_check(ctx: &Context, narrator: &Narrator<'_>, failure: &Failure) -> Exit {
    append_summary(ctx, narrator, || github::failure_summary(failure));
    cannot_begin(narrator, json::Document::Check, failure)
}

/// Says why nothing could be rotated.
fn cannot_rotate(ctx: &Context, narrator: &Narrator<'_>, failure: &Failure) -> Exit {
    append_summary(ctx, narrator, || github::rotate_failure_summary(failure));
    cannot_begin(narrator, json::Document::Other, failure)
}

/// Says why a command could not begin.
fn cannot_begin(narrator: &Narrator<'_>, document: json::Document, failure: &Failure) -> Exit {
    narrator.failure(failure, None);
    self::document(narrator, failure.exit(), || json::failed(document, failure))
}

/// Appends to the step summary of GitHub Actions, where there is one.
fn append_summary(ctx: &Context, narrator: &Narrator<'_>, summary: impl FnOnce() -> String) {
    let (Format::Github, Some(path)) = (narrator.format(), ctx.vars.raw("GITHUB_STEP_SUMMARY")) else { return };
    if let Err(error) = files::append(Path::new(path), summary().as_bytes()) {
        narrator.note(&format!("the step summary cannot be written: {error}"));
    }
}

/// clap's words, and the exit code of the table: help and version are no errors.
fn explain_usage(mut error: clap::Error) -> Exit {
    hide_what_may_be_a_key(&mut error);
    let told = error.print();
    if error.use_stderr() && is_for_the_hook() {
        not_begun();
    }
    match (error.use_stderr(), told) {
        (false, Ok(())) => Exit::Done,
        (false, Err(_)) => Exit::Bug,
        (true, _) => Exit::Usage,
    }
}

/// Loads the file, for a command that reads secrets: what the file names is masked before anything else is said.
fn load_hiding(ctx: &Context, config: Option<&Path>, narrator: &Narrator<'_>) -> Result<Config, Failure> {
    let config = load(ctx, config)?;
    narrator.mask(|| keyring::secrets(ctx, &config));
    narrator.warnings(&config);
    Ok(config)
}

/// A key that was pasted where something else belongs does not come back. Names of flags are not keys, and what is
/// shorter is none either.
fn hide_what_may_be_a_key(error: &mut clap::Error) {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        let Some(ContextValue::String(text)) = error.get(kind) else { continue };
        if !text.starts_with('-') && text.chars().count() >= PASTED_CHARS_MIN {
            error.insert(kind, ContextValue::String("…".to_owned()));
        }
    }
}

/// What has fewer characters and is not understood is repeated in the message.
const PASTED_CHARS_MIN: usize = 16;

/// Loads the file that was named, or the nearest one.
fn load(ctx: &Context, config: Option<&Path>) -> Result<Config, Failure> {
    Ok(config::load(&config_path(ctx, config)?, &ctx.vars)?)
}

fn config_path(ctx: &Context, config: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = config {
        return Ok(path.to_owned());
    }
    let found = config::find(&ctx.directory).ok_or_else(|| Failure::NoConfig { directory: ctx.directory.clone() })?;
    // Messages read better with the path as a person would write it.
    Ok(found.strip_prefix(&ctx.directory).map(Path::to_owned).unwrap_or(found))
}

/// There is no directory to work in, so there is no context to tell it with.
fn no_directory(error: &io::Error, command: &Command) -> Exit {
    let _ = writeln!(io::stderr(), "the current directory cannot be read: {error}");
    if matches!(command, Command::PrePush(_)) {
        not_begun();
    }
    Exit::Usage
}

/// Whether a command line that makes no sense is one of git's hook.
fn is_for_the_hook() -> bool {
    let understood = Cli::command().ignore_errors(true).try_get_matches();
    understood.is_ok_and(|matches| matches.subcommand_name() == Some("pre-push"))
}

/// Says that a push was stopped before there was anything to tell it with.
fn not_begun() {
    let _ = writeln!(io::stderr(), "{}", pre_push::not_begun());
}
