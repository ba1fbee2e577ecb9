//! `escrow`: the identity that opens what is sealed, what lies sealed, and the way back to a key.
//!
//! None of it needs a whole `license.toml`: whoever recovers a key may have a broken one.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use license_core::{finding::clean, rotation::BlobHash};
use miette::Diagnostic;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    config::{Config, EnvName, TrailSettings},
    connect::{self, ESCROW_DIRECTORY},
    console::Destination,
    context::{self, Context},
    escrow::{BlobKind, Entry, Escrow, EscrowError, Lies, Look},
    exit::Exit,
    files,
    mask::SECRET_BYTES_MIN,
    narrator::Narrator,
    private_directory,
    seal::{Identity, SealError},
    store::{self, Source, StoreError},
};

/// A new identity, in the escrow's directory.
const IDENTITY_FILE: &str = "identity.txt";
/// How many hex digits of a hash are shown where it is only pointed at.
const SHORT_HASH_DIGITS: usize = 12;
/// The most environments that are listed.
const ENVIRONMENTS_MAX: usize = 1_000;

/// What to do with the escrow.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EscrowCommand {
    /// Make an identity, and show its recipient for license.toml
    Keygen(KeygenArgs),
    /// List what lies in escrow; opens nothing
    Show(ShowArgs),
    /// Open a sealed key and write it to stdout
    Open(OpenArgs),
}

/// Where a new identity goes.
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// The file to make; one that exists stays as it is [default: `.license/escrow/identity.txt`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The environment [default: every one that has something in escrow]
    #[arg(value_name = "ENV", value_parser = environment)]
    environment: Option<EnvName>,
}

/// What to open, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// The environment
    #[arg(value_name = "ENV", value_parser = environment)]
    environment: EnvName,
    /// The rotation, as `escrow show` lists it
    #[arg(long, value_name = "ID")]
    rotation: String,
    /// What to open: the authority's answer, with the new key in it, the old key, or what came of an answer that was cut off
    #[arg(long, value_enum, default_value_t = Kind::Answer)]
    kind: Kind,
    /// The beginning of the hash, as `escrow show` lists it, where a rotation has several
    #[arg(long, value_name = "HASH")]
    blob: Option<String>,
    /// The file of the identity [default: as license.toml says]
    #[arg(long, value_name = "FILE", conflicts_with = "identity_env")]
    identity_file: Option<PathBuf>,
    /// The environment variable that holds the identity
    #[arg(long, value_name = "NAME")]
    identity_env: Option<String>,
    /// Show the key although stdout is a terminal
    #[arg(long)]
    to_terminal: bool,
}

/// The kinds of blobs on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// The authority's answer
    Answer,
    /// The key that was replaced
    Old,
    /// What came of an answer that was cut off
    Cut,
}

impl From<Kind> for BlobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Answer => Self::Answer,
            Kind::Old => Self::Old,
            Kind::Cut => Self::Cut,
        }
    }
}

fn environment(text: &str) -> Result<EnvName, &'static str> {
    EnvName::parse(text).ok_or("a name has lower-case letters, digits and `-`, and begins with a letter or a digit")
}

/// The project, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Project<'a> {
    /// The directory of `license.toml`.
    pub(crate) root: &'a Path,
    /// What stands in it. Whoever recovers a key may have a broken one, or none.
    pub(crate) config: Option<&'a Config>,
}

impl Project<'_> {
    /// The escrow of an environment, with its shared place where `license.toml` names one.
    fn escrow(self, ctx: &Context, environment: &EnvName) -> Escrow {
        match self.config {
            Some(config) => connect::escrow(ctx, config, environment),
            None => connect::escrow_here(self.root, environment),
        }
    }

    /// Where the identity is, as `license.toml` says.
    fn identity(&self) -> Option<&Source> {
        self.config?.escrow.as_ref()?.identity.as_ref()
    }

    /// The shared place as far as it is known: its remote.
    fn remote(&self) -> Option<&str> {
        match &self.config?.trail {
            TrailSettings::File => None,
            TrailSettings::Git { remote } => Some(remote),
        }
    }

    /// The environments that may have something in escrow: those that have a directory, and, where there is a shared
    /// place, those of `license.toml`.
    fn environments(&self) -> Result<Vec<EnvName>, EscrowCommandError> {
        let mut found = environments_here(self.root)?;
        if let (Some(config), Some(_)) = (self.config, self.remote()) {
            found.extend(config.environments.keys().cloned());
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Says that the shared place is not looked at, where nobody knows whether there is one.
    fn tell_what_is_not_looked_at(&self, narrator: &Narrator<'_>) {
        if self.config.is_none() {
            narrator.note(
                "there is no license.toml that can be read: only this machine is looked at, and no shared place in git",
            );
        }
    }
}

/// Does it.
pub(crate) fn run(
    ctx: &Context,
    project: Project<'_>,
    command: &EscrowCommand,
    narrator: &Narrator<'_>,
) -> Result<(), EscrowCommandError> {
    match command {
        EscrowCommand::Keygen(args) => {
            let told = keygen(ctx, project.root, args)?;
            Ok(ctx.console.data(&told)?)
        }
        EscrowCommand::Show(args) => {
            project.tell_what_is_not_looked_at(narrator);
            let Shown { lines, unseen } = show(ctx, project, args)?;
            ctx.console.data(&lines)?;
            if let Some(unseen) = unseen {
                return Err(unseen.into());
            }
            if let (Some(environment), Some(config)) = (&args.environment, project.config)
                && lines.is_empty()
                && !config.environments.contains_key(environment)
            {
                return Err(EscrowCommandError::NoSuchEnvironment { environment: environment.clone() });
            }
            if lines.is_empty() {
                narrator.note("nothing lies in escrow here");
            }
            Ok(())
        }
        EscrowCommand::Open(args) => {
            project.tell_what_is_not_looked_at(narrator);
            let plain = open(ctx, project, args, narrator)?;
            narrator.mask(|| to_mask(&plain));
            write_secret(ctx, &plain)
        }
    }
}

/// Makes an identity, and says what to write into license.toml.
fn keygen(ctx: &Context, root: &Path, args: &KeygenArgs) -> Result<String, EscrowCommandError> {
    let path = match &args.out {
        Some(out) => ctx.directory.join(out),
        None => root.join(ESCROW_DIRECTORY).join(IDENTITY_FILE),
    };
    let shown = path.strip_prefix(root).unwrap_or(&path);
    let failed = |source: io::Error| EscrowCommandError::NotMade { path: shown.to_owned(), source };
    let (text, recipient) = Identity::new_file(context::now());
    private_directory::create(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
    match files::create(&path, text.as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(EscrowCommandError::Exists { path: shown.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    }
    let file = toml::Value::String(shown.display().to_string());
    Ok(format!(
        "recipient  {recipient}\n\
         identity   {}   (keep a copy in another place: nothing else opens what is sealed)\n\
         \n\
         for license.toml:\n\
         \n\
         [escrow]\n\
         recipients = [\"{recipient}\"]\n\
         identity = {{ file = {file} }}\n",
        clean(&shown.display().to_string()),
    ))
}

/// What there is to show.
struct Shown {
    /// A line for everything that was found.
    lines: String,
    /// Why a shared place could not be looked at.
    unseen: Option<EscrowError>,
}

/// A line for everything in escrow: on this machine, then what only the shared place has. What cannot be looked at does
/// not hide the rest.
fn show(ctx: &Context, project: Project<'_>, args: &ShowArgs) -> Result<Shown, EscrowCommandError> {
    let environments = match &args.environment {
        Some(environment) => vec![environment.clone()],
        None => project.environments()?,
    };
    let mut shown = Shown { lines: String::new(), unseen: None };
    for environment in environments {
        let escrow = project.escrow(ctx, &environment);
        let here = escrow.entries_in(Look::Here)?;
        let there = escrow.entries_in(Look::There).unwrap_or_else(|error| {
            shown.unseen = Some(error);
            Vec::new()
        });
        let only_there = there.iter().filter(|entry| here.iter().all(|known| known.hash != entry.hash));
        shown.lines.extend(here.iter().chain(only_there).map(|entry| line(&environment, entry, project.remote())));
    }
    Ok(shown)
}

fn line(environment: &EnvName, entry: &Entry, remote: Option<&str>) -> String {
    let Entry { rotation, kind, hash, bytes, lies } = entry;
    let kept = match lies {
        Lies::Here { since } => {
            Timestamp::try_from(*since).map_or_else(|_| "at an unknown time".to_owned(), |time| format!("{time:.0}"))
        }
        Lies::There => format!("only on `{}`", clean(remote.unwrap_or("the remote"))),
    };
    format!("{environment}  {rotation}  {kind:6}  {}  {bytes} bytes  {kept}\n", short(*hash))
}

/// The environments that have a directory in escrow.
fn environments_here(root: &Path) -> Result<Vec<EnvName>, EscrowCommandError> {
    let directory = root.join(ESCROW_DIRECTORY);
    let failed = |source: io::Error| EscrowCommandError::NotListed { path: directory.clone(), source };
    let read = match fs::read_dir(&directory) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in read.take(ENVIRONMENTS_MAX) {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_str().and_then(EnvName::parse);
        found.extend(name.filter(|_| entry.path().is_dir()));
    }
    Ok(found)
}

/// What was sealed, as it was.
fn open(
    ctx: &Context,
    project: Project<'_>,
    args: &OpenArgs,
    narrator: &Narrator<'_>,
) -> Result<Zeroizing<Vec<u8>>, EscrowCommandError> {
    match (ctx.console.destination, args.to_terminal) {
        (Destination::Terminal, false) => return Err(EscrowCommandError::Terminal),
        (Destination::Terminal, true) | (Destination::Other, _) => {}
    }
    let identity = identity(ctx, project.identity(), args)?;
    let armor = the_one(&project.escrow(ctx, &args.environment), args, narrator)?;
    identity.open(&armor).map_err(|source| EscrowCommandError::NotOpened { source })
}

fn identity(ctx: &Context, configured: Option<&Source>, args: &OpenArgs) -> Result<Identity, EscrowCommandError> {
    let file = args.identity_file.as_ref().map(|file| Source::File { file: ctx.directory.join(file) });
    let variable = args.identity_env.as_ref().map(|name| Source::Env { name: name.clone() });
    let source = file.or(variable).or_else(|| configured.cloned()).ok_or(EscrowCommandError::NoIdentity)?;
    let text = store::read(&source, &ctx.vars).map_err(|source| EscrowCommandError::IdentityUnreadable { source })?;
    Identity::parse(&text).map_err(|why| EscrowCommandError::NotAnIdentity { what: source.to_string(), why })
}

/// The blob that is meant. Where there are several, one has to be named: taking one by guess may show a dead key.
///
/// A shared place that is out of reach does not keep what this machine has from being opened.
fn the_one(escrow: &Escrow, args: &OpenArgs, narrator: &Narrator<'_>) -> Result<Vec<u8>, EscrowCommandError> {
    let (rotation, kind) = (&args.rotation, args.kind.into());
    let prefix = args.blob.as_deref().unwrap_or("").to_ascii_lowercase();
    let is_meant = |armor: &Vec<u8>| BlobHash::of(armor).to_string().starts_with(&prefix);
    let (mut found, unseen) = match escrow.find_all(rotation, kind) {
        Ok(found) => (found, None),
        Err(error @ EscrowError::Shared { .. }) => (escrow.find_here(rotation, kind)?, Some(error)),
        Err(error) => return Err(error.into()),
    };
    found.retain(is_meant);
    match (found.pop(), found.len(), unseen) {
        (Some(armor), 0, None) => Ok(armor),
        (Some(armor), 0, Some(unseen)) => {
            narrator.note(&format!("{unseen}; this is what this machine has, and there may be another one there"));
            Ok(armor)
        }
        (Some(_), others, _) => Err(EscrowCommandError::Several { count: others + 1 }),
        (None, _, Some(unseen)) => Err(unseen.into()),
        (None, _, None) => Err(EscrowCommandError::NothingThere {
            environment: args.environment.clone(),
            rotation: clean(rotation),
            kind,
        }),
    }
}

fn short(hash: BlobHash) -> String {
    hash.to_string().chars().take(SHORT_HASH_DIGITS).collect()
}

/// What a CI system is told to hide: every line, and every text in it if it is JSON.
fn to_mask(plain: &[u8]) -> Vec<Zeroizing<String>> {
    let Ok(text) = std::str::from_utf8(plain) else { return Vec::new() };
    let mut secrets: Vec<Zeroizing<String>> = text.lines().map(|line| Zeroizing::new(line.trim().to_owned())).collect();
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        texts(&document, &mut secrets);
    }
    secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    secrets
}

/// The texts of a document. The parser bounds how deep it is.
fn texts(document: &Value, found: &mut Vec<Zeroizing<String>>) {
    match document {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => found.push(Zeroizing::new(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
    }
}

/// Writes what was opened, and the line break that it may lack.
fn write_secret(ctx: &Context, plain: &[u8]) -> Result<(), EscrowCommandError> {
    let mut out = ctx.console.out();
    out.write_all(plain)?;
    if !plain.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Why the command failed. Never carries a key or an identity.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum EscrowCommandError {
    /// There is an identity already, and what was sealed to it needs it.
    #[error("`{}` exists, and is left as it is", path.display())]
    #[diagnostic(help("name another file with `--out FILE`; keep the old one until nothing sealed to it is left"))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The identity's file cannot be made.
    #[error("`{}` cannot be made: {}", path.display(), files::why(source))]
    #[diagnostic(help("look at the directory's owner, its permissions and the space on the disk"))]
    NotMade {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory cannot be listed.
    #[error("the escrow `{}` cannot be listed: {}", path.display(), files::why(source))]
    #[diagnostic(help("look at its owner and its permissions"))]
    NotListed {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The escrow.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Escrow(#[from] EscrowError),
    /// There is no such blob.
    #[error(
        "there is no sealed `{kind}` of rotation `{rotation}` of environment `{environment}` where it was looked for"
    )]
    #[diagnostic(help(
        "`cargo xtask escrow show {environment}` lists what there is; it is removed when a rotation is closed"
    ))]
    NothingThere {
        /// The environment.
        environment: EnvName,
        /// The rotation, clean.
        rotation: String,
        /// What was asked for.
        kind: BlobKind,
    },
    /// A slip of the pen would read as "there is nothing".
    #[error("license.toml has no environment `{environment}`, and nothing lies in escrow under that name")]
    #[diagnostic(help("`cargo xtask escrow show` lists everything that lies in escrow"))]
    NoSuchEnvironment {
        /// The name.
        environment: EnvName,
    },
    /// More than one.
    #[error("there are {count} of them")]
    #[diagnostic(help("name one by the beginning of its hash: `--blob HASH`; `cargo xtask escrow show` lists them"))]
    Several {
        /// How many.
        count: usize,
    },
    /// Nothing says what opens it.
    #[error("no identity is configured to open it with")]
    #[diagnostic(help("name it: `--identity-file FILE` or `--identity-env NAME`"))]
    NoIdentity,
    /// The identity cannot be read.
    #[error("the identity cannot be read: {source}")]
    #[diagnostic(help("{}", next(source)))]
    IdentityUnreadable {
        /// Why.
        source: StoreError,
    },
    /// What was read is no identity.
    #[error("{what} is of no use: {why}")]
    #[diagnostic(help("{}", next(why)))]
    NotAnIdentity {
        /// The place, in words.
        what: String,
        /// Why.
        why: SealError,
    },
    /// It does not open.
    #[error("it cannot be opened: {source}")]
    #[diagnostic(help("{}", next(source)))]
    NotOpened {
        /// Why.
        source: SealError,
    },
    /// Somebody may look over a shoulder, and terminals keep what they showed.
    #[error("stdout is a terminal, and would show the key")]
    #[diagnostic(help("send it to a file or a program, or insist with `--to-terminal`"))]
    Terminal,
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl EscrowCommandError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Exists { .. }
            | Self::NoIdentity
            | Self::IdentityUnreadable { .. }
            | Self::NotAnIdentity { .. }
            | Self::NotOpened { source: SealError::NotForUs } => Exit::Config,
            Self::NotMade { .. }
            | Self::NotListed { .. }
            | Self::NothingThere { .. }
            | Self::NotOpened { .. }
            | Self::Escrow(
                EscrowError::Io { .. }
                | EscrowError::Damaged { .. }
                | EscrowError::TooMany { .. }
                | EscrowError::Shared { .. },
            ) => Exit::Store,
            Self::Several { .. }
            | Self::NoSuchEnvironment { .. }
            | Self::Terminal
            | Self::Escrow(EscrowError::Name { .. }) => Exit::Usage,
            Self::Output(_) => Exit::Bug,
        }
    }
}

/// What the cause itself advises.
fn next(cause: &dyn Diagnostic) -> String {
    cause.help().map_or_else(|| "look at what is named here".to_owned(), |help| help.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_every_text_of_an_answer_is_hidden() {
        let hidden = |text: &str| to_mask(text.as_bytes()).iter().map(|secret| secret.to_string()).collect::<Vec<_>>();
        assert_eq!(hidden("TO-DEV-1234\n"), ["TO-DEV-1234"]);
        let answer = r#"{"ok":true,"data":[{"key":"TO-DEV-\u0031234","n":1234567}]}"#;
        assert_eq!(hidden(answer), [answer, "TO-DEV-1234"]);
        assert_eq!(hidden("short"), [""; 0]);
        assert!(to_mask(b"\xff").is_empty());
    }
}
