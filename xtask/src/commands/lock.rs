//! `lock show` and `lock break`: who holds an environment, and giving back what its holder did not.

use jiff::SignedDuration;
use license_core::{
    Timestamp,
    chain::{Head, LineHash},
    finding::clean,
    gate::CLOCK_SKEW_MAX_SECS,
    rotation::{Claim, ClaimEvent},
    trail::Event,
};
use serde_json::{Value, json};

use crate::{
    cli::{Format, OutputArgs},
    commands,
    config::{Config, EnvName},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    journal::{Journal, Who},
    keyring::Keyring,
    narrator::Narrator,
    trail::file::{self, Replay},
};

/// What to do with the claim on an environment.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LockCommand {
    /// Show who holds an environment, since when and until when
    Show(ShowArgs),
    /// End a claim that has run out and was not given back; recorded in the trail
    Break(BreakArgs),
}

impl LockCommand {
    /// How to print.
    pub(crate) fn format(&self) -> Format {
        let output = match self {
            Self::Show(args) => &args.output,
            Self::Break(args) => &args.output,
        };
        output.format.unwrap_or(Format::Human)
    }
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The environment [default: `default` of license.toml, else the only one]
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What to break.
#[derive(Debug, clap::Args)]
pub(crate) struct BreakArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// The entry of the claim that you saw, by its number or its hash: `lock show` prints both
    #[arg(long, value_name = "SEQ|HASH")]
    expect: Expected,
    /// Why; goes into the trail
    #[arg(long, value_name = "TEXT", value_parser = crate::cli::reason)]
    reason: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// The entry that a person saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Seq(u64),
    Hash(LineHash),
}

impl std::str::FromStr for Expected {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_start_matches('#');
        let hash = || text.parse().map(Self::Hash).map_err(|_| "write the number of an entry, or its 64 hex digits");
        // A hash of decimal digits alone is longer than any number.
        text.parse().map(Self::Seq).or_else(|_| hash())
    }
}

impl Expected {
    fn is(self, entry: &Head) -> bool {
        match self {
            Self::Seq(seq) => seq == entry.seq,
            Self::Hash(hash) => hash == entry.hash,
        }
    }
}

/// Shows or breaks.
pub(crate) fn run(
    ctx: &Context,
    config: &Config,
    command: &LockCommand,
    narrator: &Narrator<'_>,
) -> Result<LockReport, Failure> {
    commands::signals(ctx)?;
    match command {
        LockCommand::Show(args) => show(ctx, config, args),
        LockCommand::Break(args) => break_claim(ctx, config, args, narrator),
    }
}

fn show(ctx: &Context, config: &Config, args: &ShowArgs) -> Result<LockReport, Failure> {
    let environment = config.named_or_default(args.environment.as_deref())?;
    let replay = connect::trails(ctx, config).of(environment.name.as_str()).read()?;
    let found = Found::of(&replay);
    Ok(LockReport { did: Did::Show, head: replay.position.head, found, environment: environment.name.clone() })
}

/// Ends the claim that was seen, if it is still the newest and has run out. Whoever else looks at the same moment, one
/// of the two entries is written.
fn break_claim(
    ctx: &Context,
    config: &Config,
    args: &BreakArgs,
    narrator: &Narrator<'_>,
) -> Result<LockReport, Failure> {
    let environment = config.environment(&args.environment)?;
    let mut journal = Journal::open(ctx, config, environment, narrator)?;
    let replay = connect::trails(ctx, config).of(environment.name.as_str()).read()?;
    let Some(found) = Found::of(&replay) else {
        return Err(LockCommandError::Nothing { environment: environment.name.clone() }.into());
    };
    if !args.expect.is(&found.entry) {
        let (claim, entry) = (Box::new(found.claim), found.entry);
        return Err(LockCommandError::Another { environment: environment.name.clone(), claim, entry }.into());
    }
    match found.standing {
        Standing::InForce => {
            let claim = Box::new(found.claim);
            return Err(LockCommandError::InForce { environment: environment.name.clone(), claim }.into());
        }
        // Whoever breaks one that is ahead has looked whether somebody is at work: no clock tells it here.
        Standing::RunOut | Standing::Ahead { .. } => {}
    }
    // A process of this machine that still works under its claim is not dead, however late it is.
    journal.hold_lock()?;
    let reason = clean(&Keyring::read(ctx, config).hide(&args.reason));
    let run = found.claim.run.clone();
    journal.append_after(&replay.position.head, Event::Claim(ClaimEvent::Broken { run, reason }))?;
    let head = journal.written().unwrap_or(replay.position.head);
    Ok(LockReport { did: Did::Break, head, found: Some(found), environment: environment.name.clone() })
}

/// A claim that was not given back.
#[derive(Debug)]
struct Found {
    claim: Claim,
    /// The entry that made it, or made it longer last.
    entry: Head,
    standing: Standing,
}

/// Whether a claim keeps others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    InForce,
    RunOut,
    /// It was made by a clock that is ahead of this one, so that nobody knows when it runs out.
    Ahead {
        by: SignedDuration,
    },
}

impl Found {
    /// The claim at the end of a whole trail. Entries that make no sense to this version do not hide it: it is for
    /// looking at, and breaking one does not go on with anything.
    fn of(replay: &Replay) -> Option<Self> {
        let mut found: Option<(Claim, Head, Timestamp)> = None;
        let next_hashes = replay.entries.iter().skip(1).map(|entry| entry.prev).chain([replay.position.head.hash]);
        for (entry, hash) in replay.entries.iter().zip(next_hashes) {
            let Event::Claim(event) = &entry.body.event else { continue };
            match event {
                ClaimEvent::Claimed { run, until } => {
                    let held = found.take().filter(|(held, ..)| held.run == *run);
                    let since = held.map_or(entry.body.at, |(held, ..)| held.since);
                    let (run, actor) = (run.clone(), entry.body.actor.clone());
                    let claim = Claim { run, actor, since, until: *until };
                    found = Some((claim, Head { seq: entry.seq, hash }, entry.body.at));
                }
                ClaimEvent::Released { run } | ClaimEvent::Broken { run, .. } => {
                    found = found.filter(|(held, ..)| held.run != *run);
                }
                ClaimEvent::NotKnown => {}
            }
        }
        let (claim, entry, made_at) = found?;
        let standing = Standing::of(&claim, made_at, context::now());
        Some(Self { claim, entry, standing })
    }
}

impl Standing {
    fn of(claim: &Claim, made_at: Timestamp, now: Timestamp) -> Self {
        let by = made_at.duration_since(now);
        if now >= claim.until {
            Self::RunOut
        } else if by > SignedDuration::from_secs(CLOCK_SKEW_MAX_SECS) {
            Self::Ahead { by }
        } else {
            Self::InForce
        }
    }
}

/// What was shown or broken.
#[derive(Debug)]
pub(crate) struct LockReport {
    did: Did,
    environment: EnvName,
    found: Option<Found>,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Show,
    Break,
}

impl LockReport {
    /// For people.
    pub(crate) fn human(&self) -> String {
        let environment = &self.environment;
        match (self.did, &self.found) {
            (_, None) => format!("`{environment}` is free\n"),
            (Did::Show, Some(found)) => found.lines(environment),
            (Did::Break, Some(found)) => format!(
                "the claim {} is broken: `{environment}` is free\n{}\n",
                Who(&found.claim),
                file::show_head(environment.as_str(), &self.head)
            ),
        }
    }

    /// For programs: `license-hooks/lock-show/1` or `license-hooks/lock-break/1`.
    pub(crate) fn json(&self) -> Value {
        let schema = match self.did {
            Did::Show => "license-hooks/lock-show/1",
            Did::Break => "license-hooks/lock-break/1",
        };
        json!({
            "schema": schema,
            "environment": self.environment.as_str(),
            "claim": self.found.as_ref().map(Found::json),
            "trail": self.head,
            "exit": { "code": Exit::Done.code(), "name": Exit::Done.name() },
        })
    }
}

impl Found {
    fn lines(&self, environment: &EnvName) -> String {
        let Head { seq, hash } = self.entry;
        let who = Who(&self.claim);
        match self.standing {
            Standing::InForce => {
                format!(
                    "`{environment}` is held: the claim {who}\nentry #{seq} {hash}\nit is in force and cannot be broken\n"
                )
            }
            Standing::Ahead { by } => format!(
                "`{environment}` is held: the claim {who}\nentry #{seq} {hash}\n\
                 it was made by a clock that is {} ahead of this machine's: one of the two is wrong, and when it runs \
                 out is not known\nif nobody is at work there, end it with\n\
                 cargo xtask lock break {environment} --expect {seq} --reason TEXT\n",
                in_words(by)
            ),
            Standing::RunOut => format!(
                "`{environment}` was not given back: the claim {who}\nentry #{seq} {hash}\n\
                 it has run out, and the next command may take it; or end it with\n\
                 cargo xtask lock break {environment} --expect {seq} --reason TEXT\n"
            ),
        }
    }

    fn json(&self) -> Value {
        let Claim { run, actor, since, until } = &self.claim;
        let state = match self.standing {
            Standing::InForce => "in_force",
            Standing::RunOut => "run_out",
            Standing::Ahead { .. } => "ahead",
        };
        json!({
            "run": run, "actor": actor, "since": since, "until": until, "state": state,
            "entry": { "seq": self.entry.seq, "head": self.entry.hash },
        })
    }
}

/// Why a claim is not broken.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum LockCommandError {
    /// It is in force.
    #[error("the claim {} is in force: nothing was broken", Who(claim))]
    #[diagnostic(help("stop whoever has `{environment}`, which gives it back; a run that was killed gives nothing back: wait until {}", in_seconds(claim.until)))]
    InForce {
        /// The environment.
        environment: EnvName,
        /// The claim.
        claim: Box<Claim>,
    },
    /// It is not the one that was seen.
    #[error("`{environment}` is held by another claim than the expected one: entry #{} {}, {}", entry.seq, entry.hash, Who(claim))]
    #[diagnostic(help("look at it again with `cargo xtask lock show {environment}`; nothing was broken"))]
    Another {
        /// The environment.
        environment: EnvName,
        /// The claim.
        claim: Box<Claim>,
        /// Its entry.
        entry: Head,
    },
    /// There is none.
    #[error("`{environment}` is free: there is no claim to break")]
    #[diagnostic(help(
        "its holder gave it back, or somebody else broke it: `cargo xtask audit show {environment}` tells"
    ))]
    Nothing {
        /// The environment.
        environment: EnvName,
    },
}

/// A span, to the minute.
fn in_words(span: SignedDuration) -> String {
    match (span.as_hours(), span.as_mins() % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn in_seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

impl LockCommandError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::InForce { .. } => Exit::Held,
            Self::Another { .. } | Self::Nothing { .. } => Exit::Usage,
        }
    }
}
