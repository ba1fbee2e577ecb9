//! `store list` and `store test`: the places that keep keys, and whether they keep their promises.
//!
//! Keys are never shown, only their fingerprints.

use std::{collections::BTreeMap, fmt::Write as _, io};

use clap::{Args, Subcommand};
use license_core::finding::{clean, clean_whole};
use miette::Diagnostic as _;
use serde_json::{Value, json};

use crate::{
    commands::audit::AuditFormat,
    config::{Config, Environment, KEY_PLACE, StoreSettings},
    connect,
    context::Context,
    exit::Exit,
    failure::Failure,
    narrator::Narrator,
    process,
    report::json,
    store::{
        self, Source, command,
        conformance::{self, Checked, Rewrite, RuleResult},
        held::Held,
        place::Place,
    },
};

/// What to do with the stores.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List the places that keep keys, with fingerprints where they can be read
    List(ListArgs),
    /// Test whether a store keeps the promises that rotation builds on
    Test(TestArgs),
}

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Ask the stores too: whether they can be reached and written, and what they hold
    #[arg(long)]
    probe: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The store: the helper program `license-store-NAME`
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Look at what it holds for this environment, instead of testing a helper with invented keys
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Write the key that it holds over itself, and read it back
    #[arg(long, requires = "environment")]
    write: bool,
    /// An option for the helper, as in `directory=keys`; may be given several times
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option, conflicts_with = "environment")]
    options: Vec<(String, String)>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

/// Does it: the text for stdout, and the exit code.
pub(crate) fn run(
    ctx: &Context,
    config: &Config,
    command: &StoreCommand,
    narrator: &Narrator<'_>,
) -> Result<(String, Exit), Failure> {
    let line = |document: Value| json::line(&document, narrator.platform()) + "\n";
    Ok(match command {
        StoreCommand::List(args) => {
            let rows = list(ctx, config, args, narrator)?;
            let exit = if args.probe && rows.iter().any(Row::is_unusable) { Exit::Store } else { Exit::Done };
            let text = match args.format {
                AuditFormat::Human => rows.iter().map(Row::human).collect(),
                AuditFormat::Json => line(json!({
                    "schema": "license-hooks/store-list/1",
                    "stores": rows.iter().map(Row::json).collect::<Vec<_>>(),
                    "exit": { "code": exit.code(), "name": exit.name() },
                })),
            };
            (text, exit)
        }
        StoreCommand::Test(args) => {
            let checked = test(ctx, config, args, narrator)?;
            let exit = if checked.iter().any(Checked::is_failed) { Exit::Unproven } else { Exit::Done };
            let text = match args.format {
                AuditFormat::Human => checked.iter().map(human).collect(),
                AuditFormat::Json => line(json!({
                    "schema": "license-hooks/store-test/1",
                    "store": args.name,
                    "rules": checked.iter().map(rule).collect::<Vec<_>>(),
                    "exit": { "code": exit.code(), "name": exit.name() },
                })),
            };
            (text, exit)
        }
    })
}

fn test(ctx: &Context, config: &Config, args: &TestArgs, narrator: &Narrator<'_>) -> Result<Vec<Checked>, Failure> {
    let random = random()?;
    let unusable = |source| Failure::Store { store: args.name.clone(), source: Box::new(source) };
    let Some(environment) = &args.environment else {
        let (program, mut options, deadline) = match config.stores.get(&args.name) {
            Some(StoreSettings::Command { program, options, timeout }) => (program.clone(), options.clone(), *timeout),
            Some(
                StoreSettings::Dotenv { .. }
                | StoreSettings::Age { .. }
                | StoreSettings::Github { .. }
                | StoreSettings::Vault { .. },
            ) => return Err(StoreTestError::NamesNoEnvironment { store: args.name.clone() }.into()),
            None => (helper_of_no_store(ctx, &args.name)?, BTreeMap::new(), command::DEADLINE),
        };
        let scratch = conformance::scratch_environment(random);
        narrator.note(&format!(
            "testing with invented keys of environments that begin with `{scratch}`; what is stored under them stays, for a \
             helper has no verb that deletes: remove it by hand"
        ));
        options.extend(args.options.iter().cloned());
        let store = |environment: &str| {
            connect::helper(ctx, config, program.clone(), environment, None, BTreeMap::clone(&options), deadline)
        };
        return conformance::helper(store, &scratch).map_err(unusable);
    };
    let place = connect::place(ctx, config, config.environment(environment)?, &args.name)?;
    let rewrite = if args.write { Rewrite::Allowed } else { Rewrite::Forbidden };
    let checked = conformance::place(&place, rewrite, &conformance::scratch_environment(random));
    tell(narrator, &args.name, &place);
    checked.map_err(unusable)
}

/// The program of a helper that license.toml does not name: whoever writes one tries it before.
fn helper_of_no_store(ctx: &Context, name: &str) -> Result<Vec<String>, StoreTestError> {
    let program = command::program_of(name);
    match process::look_up(&program[0], &ctx.directory, &ctx.vars) {
        Ok(_) => Ok(program),
        Err(why) => Err(StoreTestError::NoSuchStore { store: clean(name), why: clean(&why) }),
    }
}

fn random() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::System {
        what: "the operating system gives no randomness",
        source: io::Error::other(error),
    })
}

/// Passes on what a store told people.
fn tell(narrator: &Narrator<'_>, name: &str, place: &Place) {
    place.take_notes().iter().for_each(|note| narrator.note(&format!("{name}: {note}")));
}

/// One place of one environment's key.
struct Row {
    environment: String,
    /// Its name in `stores`; none for the place that the key is read from.
    name: Option<String>,
    kind: &'static str,
    place: String,
    state: State,
}

/// What is known of a place.
enum State {
    /// It was not asked.
    NotAsked,
    /// It holds a key.
    Key { fingerprint: String, writable: Writable },
    /// It holds none.
    Nothing { writable: Writable },
    /// It takes keys and does not show them.
    Hidden,
    /// It cannot be used.
    Unusable {
        /// What is wrong.
        why: String,
        /// What to do next.
        next: Option<String>,
    },
}

/// Whether a place takes keys.
#[derive(Clone, Copy)]
enum Writable {
    Yes,
    No,
}

impl Writable {
    fn words(self) -> &'static str {
        match self {
            Self::Yes => "read and write",
            Self::No => "read only",
        }
    }
}

fn list(ctx: &Context, config: &Config, args: &ListArgs, narrator: &Narrator<'_>) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for environment in config.environments.values() {
        rows.push(key_row(ctx, config, environment, args, narrator));
        for name in &environment.stores {
            let place = connect::place(ctx, config, environment, name)?;
            let state = if args.probe { probed(&place) } else { State::NotAsked };
            tell(narrator, name, &place);
            rows.push(Row {
                environment: environment.name.to_string(),
                name: Some(name.clone()),
                kind: place.kind(),
                place: place.describe(),
                state,
            });
        }
    }
    Ok(rows)
}

fn key_row(ctx: &Context, config: &Config, environment: &Environment, args: &ListArgs, narrator: &Narrator<'_>) -> Row {
    let (kind, writable) = match &environment.key {
        Source::Env { .. } => ("env", Writable::No),
        Source::Dotenv { .. } => ("dotenv", Writable::Yes),
        Source::File { .. } => ("file", Writable::No),
        Source::Age { .. } => ("age", Writable::Yes),
        Source::Store { .. } => ("store", Writable::Yes),
    };
    let read = match connect::key(ctx, config, environment) {
        Ok(key) => State::Key { fingerprint: key.fingerprint().to_string(), writable },
        Err(_) if store::is_absent(&environment.key, &ctx.vars) => State::Nothing { writable },
        Err(error) => unusable(&error),
    };
    let state = match read {
        State::Key { .. } | State::Nothing { .. } if args.probe => match connect::key_place(ctx, config, environment) {
            Ok(Some(place)) => {
                let state = probed(&place);
                tell(narrator, KEY_PLACE, &place);
                state
            }
            Ok(None) => read,
            Err(error) => unusable(&error),
        },
        State::Key { .. } | State::Nothing { .. } | State::NotAsked | State::Hidden | State::Unusable { .. } => read,
    };
    let place = environment.key.to_string();
    Row { environment: environment.name.to_string(), name: None, kind, place, state }
}

fn probed(place: &Place) -> State {
    match place.probe() {
        Ok(Held::Key { key, .. }) => State::Key { fingerprint: key.fingerprint().to_string(), writable: Writable::Yes },
        Ok(Held::Nothing { .. }) => State::Nothing { writable: Writable::Yes },
        Ok(Held::Hidden { .. }) => State::Hidden,
        Err(fault) => State::Unusable { why: fault.message, next: Some(fault.next) },
    }
}

fn unusable(failure: &Failure) -> State {
    let next = failure.help().map(|help| clean_whole(&help.to_string()));
    State::Unusable { why: clean(&failure.to_string()), next }
}

impl Row {
    fn is_unusable(&self) -> bool {
        match &self.state {
            State::Unusable { .. } => true,
            State::NotAsked | State::Key { .. } | State::Nothing { .. } | State::Hidden => false,
        }
    }

    fn human(&self) -> String {
        let name = self.name.as_deref().map(|name| format!("store `{name}`, ")).unwrap_or_default();
        let state = match &self.state {
            State::NotAsked => "not asked; `--probe` does".to_owned(),
            State::Key { fingerprint, writable } => format!("key {fingerprint}, {}", writable.words()),
            State::Nothing { writable } => format!("no key, {}", writable.words()),
            State::Hidden => "write only".to_owned(),
            State::Unusable { why, next: None } => format!("unusable: {why}"),
            State::Unusable { why, next: Some(next) } => format!("unusable: {why}\n  next: {next}"),
        };
        format!("{}: {name}{} ({}): {state}\n", self.environment, clean(&self.place), self.kind)
    }

    fn json(&self) -> Value {
        let (state, fingerprint, writable) = match &self.state {
            State::NotAsked => ("not_asked", None, None),
            State::Key { fingerprint, writable } => ("key", Some(fingerprint), Some(*writable)),
            State::Nothing { writable } => ("nothing", None, Some(*writable)),
            State::Hidden => ("hidden", None, Some(Writable::Yes)),
            State::Unusable { .. } => ("unusable", None, None),
        };
        let (why, next) = match &self.state {
            State::Unusable { why, next } => (Some(why), next.as_ref()),
            State::NotAsked | State::Key { .. } | State::Nothing { .. } | State::Hidden => (None, None),
        };
        json!({
            "environment": self.environment,
            "store": self.name,
            "kind": self.kind,
            "place": clean(&self.place),
            "state": state,
            "keyFingerprint": fingerprint,
            "writable": writable.map(|writable| matches!(writable, Writable::Yes)),
            "why": why,
            "next": next,
        })
    }
}

fn human(checked: &Checked) -> String {
    let mut text = String::new();
    let written = match &checked.result {
        RuleResult::Passed => writeln!(text, "pass  {}", checked.rule),
        RuleResult::Failed(seen) => writeln!(text, "FAIL  {}: {}", checked.rule, clean(seen)),
        RuleResult::Skipped(why) => writeln!(text, "skip  {}: {why}", checked.rule),
    };
    // A text takes everything.
    written.ok();
    text
}

fn rule(checked: &Checked) -> Value {
    let (result, why) = match &checked.result {
        RuleResult::Passed => ("pass", None),
        RuleResult::Failed(seen) => ("fail", Some(clean(seen))),
        RuleResult::Skipped(why) => ("skip", Some((*why).to_owned())),
    };
    json!({ "rule": checked.rule, "result": result, "why": why })
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err("a name has letters, digits, hyphens and underscores");
    }
    Ok(text.to_owned())
}

fn option(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write `NAME=VALUE`"),
    }
}

/// Why a store cannot be tested.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum StoreTestError {
    /// It holds real keys, and nobody said which.
    #[error("store `{store}` holds the keys of environments, and none is named")]
    #[diagnostic(help(
        "name one: `cargo xtask store test {store} --environment production`; nothing is written without `--write`"
    ))]
    NamesNoEnvironment {
        /// The store.
        store: String,
    },
    /// Nobody knows it.
    #[error("license.toml has no store `{store}`, and no helper of that name can be tested: {why}")]
    #[diagnostic(help(
        "`cargo xtask store list` shows the stores; a helper that no store names yet has to be in PATH"
    ))]
    NoSuchStore {
        /// The store.
        store: String,
        /// Why its helper cannot be run.
        why: String,
    },
}
