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
    config::EnvName,
    console::Destination,
    context::{self, Context},
    escrow::{BlobKind, Entry, Escrow, EscrowError},
    exit::Exit,
    files,
    mask::SECRET_BYTES_MIN,
    narrator::Narrator,
    private_directory,
    seal::{Identity, SealError},
    store::{self, Source, StoreError},
};

/// The escrow below the directory of `license.toml`.
const DIRECTORY: &str = ".license/escrow";
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
    /// What to open: the authority's answer, with the new key in it, or the old key
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
}

impl From<Kind> for BlobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Answer => Self::Answer,
            Kind::Old => Self::Old,
        }
    }
}

fn environment(text: &str) -> Result<EnvName, &'static str> {
    EnvName::parse(text).ok_or("a name has lower-case letters, digits and `-`, and begins with a letter or a digit")
}

/// Does it, below the directory of `license.toml`. `configured` is where `license.toml` says that the identity is.
pub(crate) fn run(
    ctx: &Context,
    root: &Path,
    configured: Option<&Source>,
    command: &EscrowCommand,
    narrator: &Narrator<'_>,
) -> Result<(), EscrowCommandError> {
    match command {
        EscrowCommand::Keygen(args) => {
            let told = keygen(ctx, root, args)?;
            Ok(ctx.console.data(&told)?)
        }
        EscrowCommand::Show(args) => {
            let told = show(root, args)?;
            if told.is_empty() {
                narrator.note("nothing lies in escrow here");
            }
            Ok(ctx.console.data(&told)?)
        }
        EscrowCommand::Open(args) => {
            let plain = open(ctx, root, configured, args)?;
            narrator.mask(|| to_mask(&plain));
            write_secret(ctx, &plain)
        }
    }
}

/// Makes an identity, and says what to write into license.toml.
fn keygen(ctx: &Context, root: &Path, args: &KeygenArgs) -> Result<String, EscrowCommandError> {
    let path = match &args.out {
        Some(out) => ctx.directory.join(out),
        None => root.join(DIRECTORY).join(IDENTITY_FILE),
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

/// A line for everything in escrow.
fn show(root: &Path, args: &ShowArgs) -> Result<String, EscrowCommandError> {
    let environments = match &args.environment {
        Some(environment) => vec![environment.clone()],
        None => environments(root)?,
    };
    let mut lines = Vec::new();
    for environment in environments {
        let entries = Escrow::local(root.join(DIRECTORY), environment.as_str()).entries()?;
        lines.extend(entries.iter().map(|entry| line(&environment, entry)));
    }
    Ok(lines.concat())
}

fn line(environment: &EnvName, entry: &Entry) -> String {
    let Entry { rotation, kind, hash, bytes, modified } = entry;
    let kept =
        Timestamp::try_from(*modified).map_or_else(|_| "at an unknown time".to_owned(), |time| format!("{time:.0}"));
    format!("{environment}  {rotation}  {kind:6}  {}  {bytes} bytes  {kept}\n", short(*hash))
}

/// The environments that have a directory in escrow.
fn environments(root: &Path) -> Result<Vec<EnvName>, EscrowCommandError> {
    let directory = root.join(DIRECTORY);
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
    found.sort();
    Ok(found)
}

/// What was sealed, as it was.
fn open(
    ctx: &Context,
    root: &Path,
    configured: Option<&Source>,
    args: &OpenArgs,
) -> Result<Zeroizing<Vec<u8>>, EscrowCommandError> {
    match (ctx.console.destination, args.to_terminal) {
        (Destination::Terminal, false) => return Err(EscrowCommandError::Terminal),
        (Destination::Terminal, true) | (Destination::Other, _) => {}
    }
    let identity = identity(ctx, configured, args)?;
    let armor = the_one(root, args)?;
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
fn the_one(root: &Path, args: &OpenArgs) -> Result<Vec<u8>, EscrowCommandError> {
    let escrow = Escrow::local(root.join(DIRECTORY), args.environment.as_str());
    let prefix = args.blob.as_deref().unwrap_or("").to_ascii_lowercase();
    let mut found = escrow.find_all(&args.rotation, args.kind.into())?;
    found.retain(|armor| BlobHash::of(armor).to_string().starts_with(&prefix));
    match (found.pop(), found.is_empty()) {
        (Some(armor), true) => Ok(armor),
        (Some(_), false) => Err(EscrowCommandError::Several { count: found.len() + 1 }),
        (None, _) => Err(EscrowCommandError::NothingThere {
            environment: args.environment.clone(),
            rotation: clean(&args.rotation),
            kind: args.kind.into(),
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
    #[error("there is no sealed `{kind}` of rotation `{rotation}` of environment `{environment}` on this machine")]
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
            Self::Several { .. } | Self::Terminal | Self::Escrow(EscrowError::Name { .. }) => Exit::Usage,
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
