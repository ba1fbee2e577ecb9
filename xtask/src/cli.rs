//! The command line: types only.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};

/// License keys as a first-class step of a deploy.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    /// The license.toml to use [default: the nearest one, in this directory or above it]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// When to use color
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Understands the command line.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        Self::of_hook(arguments).map_or_else(|| Self::try_parse_from(arguments), Ok)
    }

    /// The command line that git's hook has, `pre-push [--say WORD [--first-line LINE] --] REMOTE URL`: it is read at every push, and the
    /// description of all commands takes longer to make than everything else that a push of nothing needs.
    fn of_hook(arguments: &[OsString]) -> Option<Self> {
        let words: Vec<&str> = arguments.iter().skip(1).map(|argument| argument.to_str()).collect::<Option<_>>()?;
        let is_word = |word: &str| !word.starts_with('-');
        let (say, first_line, remote, url) = match words[..] {
            ["pre-push", "--say", word, "--first-line", line, "--", remote, url] if is_word(word) => {
                (Some(word.to_owned()), Some(line.into()), remote, url)
            }
            ["pre-push", "--say", word, "--", remote, url] if is_word(word) => {
                (Some(word.to_owned()), None, remote, url)
            }
            ["pre-push", remote, url] if is_word(remote) && is_word(url) => (None, None, remote, url),
            _ => return None,
        };
        let args = PrePushArgs { remote: Some(remote.to_owned()), url: Some(url.to_owned()), say, first_line };
        Some(Self { config: None, color: ColorChoice::Auto, command: Command::PrePush(args) })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prove the license, run the deploy command, prove what runs
    Deploy(DeployArgs),
    /// Prove the license of one or more environments; changes nothing
    Check(CheckArgs),
    /// What runs, what the authority says of it, and whom to tell
    Status(StatusArgs),
    /// Replace the license key, with a grace for the old one, in every place that deploys read
    Rotate(RotateArgs),
    /// Look for leaked keys: in the working tree, in a range of commits, or in all of history
    Leaks(crate::commands::leaks::LeaksArgs),
    /// Read and verify the trail of what was decided and done
    #[command(subcommand)]
    Audit(crate::commands::audit::AuditCommand),
    /// Who holds an environment; give back what its holder did not
    #[command(subcommand)]
    Lock(crate::commands::lock::LockCommand),
    /// The embedded authority: issue licenses, look after them, serve them over HTTP
    Authority(crate::commands::authority::Args),
    /// Sealed keys: make an identity, list what lies in escrow, open it
    #[command(subcommand)]
    Escrow(crate::commands::escrow::EscrowCommand),
    /// The places that keep keys: what they hold, and whether they keep their promises
    #[command(subcommand)]
    Store(crate::commands::store::StoreCommand),
    /// The sinks of alerts: tell one something, to see whether it hears
    #[command(subcommand)]
    Alert(crate::commands::alert::AlertCommand),
    /// Webhooks of the authority: receive them, or say whether one is genuine
    #[command(subcommand)]
    Webhook(crate::commands::webhook::WebhookCommand),
    /// What git's pre-push hook runs: nothing leaks, and the licenses that a push deploys with are good
    PrePush(PrePushArgs),
    /// The pre-push hook: put it into this repository, take it out, look at it
    #[command(subcommand)]
    Hook(crate::commands::hook::HookCommand),
    /// Print the JSON Schema of license.toml, for editors
    Schema,
}

/// Arguments of `deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The environment [default: `default` of license.toml, else the only one]
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<String>,

    /// Judge the license and say what would happen; deploy nothing, record nothing
    #[arg(long, conflicts_with = "force")]
    pub(crate) plan: bool,

    /// Break the glass: deploy although a check is unknown or the authority is unreachable; never over a refusal
    #[arg(long, requires = "reason")]
    pub(crate) force: bool,

    /// Why the glass is broken; goes into the trail
    #[arg(long, value_name = "TEXT", requires = "force", value_parser = reason)]
    pub(crate) reason: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, and turned into a wish at once")]
pub(crate) struct RotateArgs {
    /// The environment [default: `default` of license.toml, else the only one]
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<String>,

    /// Every environment, one after the other
    #[arg(long, conflicts_with_all = ["environment", "adopt", "rollback", "confirm_not_rotated"])]
    pub(crate) all: bool,

    /// Say what would happen, and change nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Go on with an open rotation; begin none
    #[arg(long, group = "wish")]
    pub(crate) resume: bool,

    /// Bring the old key back into the stores, while it still works
    #[arg(long, group = "wish")]
    pub(crate) rollback: bool,

    /// Take the new key from stdin: for a key that was lost, from the authority's portal
    #[arg(long, group = "wish")]
    pub(crate) adopt: bool,

    /// You looked: the authority did not rotate
    #[arg(long, group = "wish")]
    pub(crate) confirm_not_rotated: bool,

    /// Rotate although the grace of the rotation before is not over, or with a grace of 0 days: the old key may die
    #[arg(long, group = "wish")]
    pub(crate) accept_no_overlap: bool,

    /// Rotate only a key that is older, as `30d`, less a tenth: for a schedule; what is open is gone on with and closed
    #[arg(long, value_name = "AGE", value_parser = crate::config::age)]
    pub(crate) if_older_than: Option<std::time::Duration>,

    /// For how many days the old key is to work on [default: `grace_days` of license.toml, else 7]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=3650))]
    pub(crate) grace_days: Option<u32>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The environments [default: `default` of license.toml, else the only one]
    #[arg(value_name = "ENV")]
    pub(crate) environments: Vec<String>,

    /// Check every environment
    #[arg(long, conflicts_with = "environments")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, and turned into a wish at once")]
pub(crate) struct StatusArgs {
    /// The environments [default: `default` of license.toml, else the only one]
    #[arg(value_name = "ENV")]
    pub(crate) environments: Vec<String>,

    /// Look at every environment
    #[arg(long, conflicts_with = "environments")]
    pub(crate) all: bool,

    /// Do not ask the authority: show what the trail has of it, record nothing, tell nobody
    #[arg(long)]
    pub(crate) cached: bool,

    /// Look again and again, every minute or as this says, and draw what is found on this terminal
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = crate::commands::status::watch::INTERVAL,
        value_parser = crate::commands::status::watch::interval,
        conflicts_with_all = ["format", "metrics", "html"],
    )]
    pub(crate) watch: Option<std::time::Duration>,

    /// With `--watch`: ask the authority again after this time, which spends validations [default: 1h]
    #[arg(
        long,
        value_name = "TIME",
        requires = "watch",
        conflicts_with = "cached",
        value_parser = crate::commands::status::watch::interval,
    )]
    pub(crate) ask_every: Option<std::time::Duration>,

    /// Send no alerts
    #[arg(long)]
    pub(crate) no_alerts: bool,

    /// End with 15 when an alert stands
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// End with 15 when a key stops working within this time, as `7d`
    #[arg(long, value_name = "TIME", value_parser = crate::config::age)]
    pub(crate) fail_within: Option<std::time::Duration>,

    /// Write metrics for Prometheus to this file, as the textfile collector of a node exporter reads them
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,

    /// Write a page for people to this file: one file, which needs no network and no script
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// The form of the output [default: `github` when `GITHUB_ACTIONS` is `true`, else `human`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<StatusFormat>,
}

impl StatusArgs {
    /// Where the facts of licenses come from.
    pub(crate) fn memory(&self) -> crate::commands::status::Memory {
        use crate::commands::status::Memory;
        if self.cached { Memory::Trail } else { Memory::Ask }
    }

    /// The form in which it is told what happens: where stdout holds a document, people read stderr.
    pub(crate) fn told_as(&self) -> Option<Format> {
        self.format.map(|format| match format {
            StatusFormat::Human => Format::Human,
            StatusFormat::Json | StatusFormat::Junit => Format::Json,
            StatusFormat::Github => Format::Github,
        })
    }

    /// Whether anybody is told.
    pub(crate) fn tells(&self) -> bool {
        !self.cached && !self.no_alerts
    }
}

/// The forms of the output of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people
    Human,
    /// One JSON document on stdout
    Json,
    /// For people, with annotations and a step summary for GitHub Actions
    Github,
    /// A JUnit report on stdout: one test case for each environment
    Junit,
}

/// Arguments of `pre-push`, as git gives them to its hook.
#[derive(Debug, Args)]
pub(crate) struct PrePushArgs {
    /// The name of the remote, or its address where it has no name
    #[arg(value_name = "REMOTE", value_parser = any_text())]
    pub(crate) remote: Option<String>,

    /// The address that is pushed to
    #[arg(value_name = "URL", value_parser = any_text())]
    pub(crate) url: Option<String>,

    /// What to print on stdout when the push may go out: a hook that waits for it takes no broken program for a yes
    #[arg(long, value_name = "WORD")]
    pub(crate) say: Option<String>,

    /// The first line of what git says, where the hook has read it already
    #[arg(long, value_name = "LINE", hide = true, allow_hyphen_values = true)]
    pub(crate) first_line: Option<OsString>,
}

/// Text that need not be UTF-8: an address that is not is that of no remote that is known, and is looked at in full.
fn any_text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned())
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The form of the output [default: `github` when `GITHUB_ACTIONS` is `true`, else `human`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON document on stdout
    Json,
    /// For people, with annotations and a step summary for GitHub Actions
    Github,
}

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` or a dumb terminal says otherwise
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A reason that is one.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say why, in words that an auditor understands".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_line_of_the_hook_means_what_it_always_means() {
        for line in [
            &["x", "pre-push", "origin", "/srv/app.git"][..],
            &["x", "pre-push", "", ""],
            &["x", "pre-push", "origin", "https://host/a b"],
            &["x", "pre-push", "--say", "word", "--", "origin", "/srv/app.git"],
            &["x", "pre-push", "--say", "word", "--", "-origin", "--url"],
            &["x", "pre-push", "--say", "-w", "--", "origin", "url"],
            &["x", "pre-push", "--say", "word", "--first-line", "refs/heads/a 1 refs/heads/a 2", "--", "origin", "url"],
            &["x", "pre-push", "--say", "word", "--first-line", "-a 1 refs/heads/a 2", "--", "origin", "url"],
            &["x", "pre-push", "--say", "word", "--first-line", "", "--", "origin", "url"],
            &["x", "pre-push", "--say", "word", "--first-line", "--", "origin", "url"],
            &["x", "pre-push", "--say", "word", "origin", "url"],
            &["x", "pre-push", "--", "origin", "url"],
            &["x", "pre-push", "origin"],
            &["x", "pre-push", "origin", "--help"],
            &["x", "pre-push", "-x", "url"],
            &["x", "pre-push", "origin", "url", "more"],
            &["x", "check", "a", "b"],
        ] {
            let arguments: Vec<std::ffi::OsString> = line.iter().map(Into::into).collect();
            let described = Cli::try_parse_from(line).map_err(|error| error.to_string());
            let read = Cli::read(&arguments).map_err(|error| error.to_string());
            assert_eq!(format!("{read:?}"), format!("{described:?}"), "{line:?}");
        }
    }

    /// Every command that a page or a message names.
    #[expect(clippy::disallowed_methods, reason = "a test looks at its own repository")]
    fn named_in(directory: &Path, named: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let is_text = entry.extension().is_some_and(|end| end == "md" || end == "rs");
            if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target" && name != "fuzz") {
                named_in(&entry, named);
            } else if is_text {
                let text = fs::read_to_string(&entry).unwrap();
                let pieces = text.split("`cargo xtask ").skip(1);
                // A message may go on in the next line of the source.
                let commands = pieces.filter_map(|piece| Some(piece.split_once('`')?.0.replace("\\\n", "")));
                named.extend(commands.map(|command| command.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
        }
    }

    /// What stands for something in a page or a message.
    fn filled_in(word: &str) -> &str {
        match word {
            "ENV" | "{environment}" | "{name}" | "{0}" | "{}" | "[ENV]" | "[ENV…]" | "NAME" | "{store}" | "SINK"
            | "ID" | "TEXT" => "production",
            "{class}" => "DEV",
            "SEQ" => "7:00000000000000000000000000000000000000000000000000000000000000aa",
            "HASH" => "00000000000000000000000000000000000000000000000000000000000000aa",
            other => other.trim_start_matches('[').trim_end_matches(']'),
        }
    }

    #[test]
    fn every_command_that_a_page_or_a_message_names_is_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut named = BTreeSet::new();
        for directory in ["docs", "xtask/src"] {
            named_in(&root.join(directory), &mut named);
        }
        let mut wrong = Vec::new();
        for command in &named {
            // A page tells of a family of commands, or this test of itself.
            let is_family = command.contains('…') && !command.contains("[ENV…]");
            if is_family || command.is_empty() || command.contains('"') || command == "{command}" {
                continue;
            }
            let words = ["xtask"].into_iter().chain(command.split(' ').map(filled_in));
            let parsed = Cli::try_parse_from(words);
            if let Err(error) = parsed
                && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::MissingRequiredArgument)
            {
                wrong.push(format!("`cargo xtask {command}`: {error}"));
            }
        }
        assert!(named.len() > 40, "only {} were found", named.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
