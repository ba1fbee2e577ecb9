//! `authority`: licenses of the embedded authority, and the server that speaks for it.

#[cfg(feature = "serve")]
use std::{future, thread, time::Instant};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
#[cfg(feature = "serve")]
use license_core::webhook::{Encoding, NotASecret, Secret};
use license_core::{
    KeyClass,
    finding::clean,
    license::ActivationLimit,
    registry::{Issued, LicenseId, Licensed, Lifecycle, NotALicenseId, Terms},
};
#[cfg(feature = "serve")]
use outbox::{Outbox, OutboxError};
use serde::Serialize;

#[cfg(feature = "serve")]
use crate::{
    authority::serve,
    context,
    notify::{Outlet, Target, Unusable},
    server,
    signals::{Signals, Stop},
    store::{self, Source},
};
use crate::{
    authority::{
        embedded::{ChangeError, Clock, Embedded, whole_second},
        span,
    },
    exit::Exit,
    log::LogError,
    vars::Vars,
};

#[cfg(feature = "serve")]
mod outbox;

/// The embedded authority: a registry of licenses on this machine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Issue a license and show its key, this once
    Issue(IssueArgs),
    /// List the licenses, with masked keys
    List(ListArgs),
    /// Show one license, with a masked key
    Show(OneArgs),
    /// Switch a license off for now
    Suspend(OneArgs),
    /// Switch a suspended license on again
    Resume(OneArgs),
    /// Have a license last longer
    Renew(RenewArgs),
    /// Withdraw a license for good
    Revoke(OneArgs),
    /// Take one activation
    Activate(OneArgs),
    /// Give one activation back
    Deactivate(OneArgs),
    /// Serve the authority over HTTP
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
}

/// Where the registry is.
#[derive(Debug, clap::Args)]
struct State {
    /// The directory of the registry [default: that of license.toml, else `.license/authority`]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    state: State,
    /// The class of the key: DEV, STG or PRD
    #[arg(long)]
    class: KeyClass,
    /// A domain that the license covers, or `*.` and a domain; may be given again
    #[arg(long, value_name = "DOMAIN", num_args = 1..)]
    domain: Vec<String>,
    /// The plan's name
    #[arg(long, default_value = "standard")]
    plan: String,
    /// A feature that the license includes; may be given again
    #[arg(long, value_name = "NAME", num_args = 1..)]
    feature: Vec<String>,
    /// How many activations it allows [default: any number]
    #[arg(long, value_name = "N")]
    activations: Option<u64>,
    /// How many activations are in use from the beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    activations_used: u64,
    /// How long it lasts, as in `365d` [default: for ever]
    #[arg(long, value_name = "SPAN", value_parser = span::parse, conflicts_with = "expires_at")]
    expires_in: Option<Duration>,
    /// When it ends, as in `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires_at: Option<Timestamp>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The license's id, as in `lic_…`; never a key
    // Taken as text: a key that is given here by mistake must not come back in an error message.
    license_id: String,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct RenewArgs {
    #[command(flatten)]
    one: OneArgs,
    /// How long it lasts from now on, as in `365d`
    #[arg(long, value_name = "SPAN", value_parser = span::parse, required_unless_present = "expires_at")]
    expires_in: Option<Duration>,
    /// When it ends, as in `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = end, conflicts_with = "expires_in")]
    expires_at: Option<Timestamp>,
}

/// The end of a license, of the command line.
fn end(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| {
        "write a time of up to the year 9999 with its offset, as in `2027-01-31T00:00:00Z`; for a license that does \
         not end write none"
    })
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct FormatArg {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

#[cfg(feature = "serve")]
#[derive(Debug, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    state: State,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = server::address, default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
    /// The environment variable that holds the API token; without one, everybody on this machine may change licenses
    #[arg(long, value_name = "NAME")]
    api_token_env: Option<String>,
    /// The status of a refused validation
    #[arg(long, value_enum, default_value_t = serve::RefuseWith::Ok)]
    refuse_with: serve::RefuseWith,
    /// How many replaced keys stay in grace
    #[arg(long, value_enum, default_value_t = serve::KeepPreviousKeys::One)]
    keep_previous: serve::KeepPreviousKeys,
    /// Whether a repeated Idempotency-Key gets the first rotation's answer
    #[arg(long, value_enum, default_value_t = serve::Idempotency::Honor)]
    idempotency: serve::Idempotency,
    /// Whether lists show whole keys; only to this machine
    #[arg(long, value_enum, default_value_t = serve::ListKeys::Masked)]
    list_keys: serve::ListKeys,
    /// Delay every answer, as in `50ms`
    #[arg(long, value_name = "SPAN", value_parser = span::parse, default_value = "0ms")]
    latency: Duration,
    /// Break on purpose, as in `status=500@validate:2`; may be given again
    #[arg(long, value_name = "NAME[=ARG][@SCOPE][:N]", long_help = FAULT_HELP)]
    fault: Vec<serve::Fault>,
    /// Post what changes to this address: https, or http to this machine
    #[arg(long, value_name = "URL", requires = "webhook_secret_env")]
    webhook: Option<String>,
    /// The environment variable that holds the secret which signs webhooks
    #[arg(long, value_name = "NAME", requires = "webhook")]
    webhook_secret_env: Option<String>,
    /// How webhooks are signed
    #[arg(long, value_enum, default_value_t = WebhookSignature::Timestamped, requires = "webhook")]
    webhook_signature: WebhookSignature,
}

/// How webhooks are signed.
#[cfg(feature = "serve")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WebhookSignature {
    /// `t=…,v1=…`, over the time, a dot and the body
    Timestamped,
    /// `sha256=` and hex digits, over the body
    Sha256,
    /// Hex digits, over the body
    Hex,
}

#[cfg(feature = "serve")]
impl From<WebhookSignature> for Encoding {
    fn from(signature: WebhookSignature) -> Self {
        match signature {
            WebhookSignature::Timestamped => Self::Timestamped,
            WebhookSignature::Sha256 => Self::Sha256,
            WebhookSignature::Hex => Self::Hex,
        }
    }
}

#[cfg(feature = "serve")]
const FAULT_HELP: &str = "\
Break on purpose, as in `status=500@validate:2`; may be given again.

NAME and ARG: late-commit=30s, close-mid-body, html-502, status=500, rate-limit=2s, stale-cache=20s, drop-valid, \
redirect=URL, clock-skew=1d, huge-body=40MB.
SCOPE: @validate, @rotate or @list; without one, every request.
N: how many requests it hits; without one, all of them.";

impl Args {
    /// Whether it serves others until it is stopped.
    pub(crate) fn serves(&self) -> bool {
        match &self.command {
            Command::Issue(_)
            | Command::List(_)
            | Command::Show(_)
            | Command::Suspend(_)
            | Command::Resume(_)
            | Command::Renew(_)
            | Command::Revoke(_)
            | Command::Activate(_)
            | Command::Deactivate(_) => false,
            #[cfg(feature = "serve")]
            Command::Serve(_) => true,
        }
    }

    /// The state directory, where the command line names one. It needs no license.toml then.
    pub(crate) fn state(&self) -> Option<&Path> {
        let state = match &self.command {
            Command::Issue(args) => &args.state,
            Command::List(args) => &args.state,
            Command::Renew(args) => &args.one.state,
            Command::Show(args)
            | Command::Suspend(args)
            | Command::Resume(args)
            | Command::Revoke(args)
            | Command::Activate(args)
            | Command::Deactivate(args) => &args.state,
            #[cfg(feature = "serve")]
            Command::Serve(args) => &args.state,
        };
        state.state.as_deref()
    }
}

/// Runs the command on the registry in `default_state`, unless the command line names another directory.
#[cfg_attr(not(feature = "serve"), expect(unused_variables, reason = "only the server needs it"))]
pub(crate) fn run(
    args: Args,
    default_state: &Path,
    vars: &Vars,
    clock: Clock,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), AuthorityError> {
    let authority = Embedded::at(args.state().unwrap_or(default_state), clock);
    match args.command {
        Command::Issue(args) => issue(args, &authority, out),
        Command::List(args) => list(args.format, &authority, out),
        Command::Show(args) => show(&args, &authority, out),
        Command::Suspend(args) => change(&args, |id| authority.suspend(id), &authority, out),
        Command::Resume(args) => change(&args, |id| authority.resume(id), &authority, out),
        Command::Renew(args) => renew(&args, &authority, out),
        Command::Revoke(args) => change(&args, |id| authority.revoke(id), &authority, out),
        Command::Activate(args) => change(&args, |id| authority.activate(id), &authority, out),
        Command::Deactivate(args) => change(&args, |id| authority.deactivate(id), &authority, out),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve_until_stopped(args, authority, vars, out, err),
    }
}

fn issue(args: IssueArgs, authority: &Embedded, out: &mut dyn Write) -> Result<(), AuthorityError> {
    let format = args.format.format;
    let terms = terms(args, whole_second(authority.now()))?;
    let issued = authority.issue(terms)?;
    let shown = match format {
        Format::Json => write_json(out, &IssuedJson::from(&issued)),
        Format::Human => write_issued(out, &issued),
    };
    // The key is shown this once: somebody who did not get it has to be told, also where nobody reads any more.
    shown.map_err(|source| AuthorityError::KeyNotShown { license_id: issued.license_id, source })
}

fn terms(args: IssueArgs, now: Timestamp) -> Result<Terms, AuthorityError> {
    let expires_at = match args.expires_in {
        Some(span) => Some(end_after(now, span)?),
        None => args.expires_at,
    };
    Ok(Terms {
        class: args.class,
        plan: args.plan,
        domains: args.domain,
        features: args.feature.into_iter().collect(),
        activations_used: args.activations_used,
        activation_limit: args.activations.map_or(ActivationLimit::Unlimited, ActivationLimit::AtMost),
        expires_at,
    })
}

fn end_after(now: Timestamp, span: Duration) -> Result<Timestamp, AuthorityError> {
    let span = SignedDuration::try_from(span).map_err(|_| AuthorityError::EndsTooLate)?;
    now.checked_add(span).map_err(|_| AuthorityError::EndsTooLate)
}

fn list(format: FormatArg, authority: &Embedded, out: &mut dyn Write) -> Result<(), AuthorityError> {
    let now = authority.now();
    let licenses: Vec<Licensed> = authority.look(|registry, _| registry.licenses().cloned().collect())?;
    shown(match format.format {
        Format::Json => {
            let licenses = licenses.iter().map(|license| LicenseJson::of(license, now)).collect();
            write_json(out, &ListJson { licenses })
        }
        Format::Human => licenses.iter().try_for_each(|license| write_line(out, license, now)),
    })
}

/// What can be asked for again may lose its reader.
fn shown(written: io::Result<()>) -> Result<(), AuthorityError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn show(args: &OneArgs, authority: &Embedded, out: &mut dyn Write) -> Result<(), AuthorityError> {
    let id: LicenseId = args.license_id.parse()?;
    let license = authority.look(|registry, _| registry.license(&id).cloned())?.map_err(ChangeError::from)?;
    shown(match args.format.format {
        Format::Json => write_json(out, &LicenseJson::of(&license, authority.now())),
        Format::Human => write_license(out, &license, authority.now()),
    })
}

fn change(
    args: &OneArgs,
    change: impl FnOnce(&LicenseId) -> Result<Licensed, ChangeError>,
    authority: &Embedded,
    out: &mut dyn Write,
) -> Result<(), AuthorityError> {
    let license = change(&args.license_id.parse()?)?;
    let now = authority.now();
    shown(match args.format.format {
        Format::Json => write_json(out, &LicenseJson::of(&license, now)),
        Format::Human => {
            writeln!(out, "license {} is {}: {}", license.id, standing(&license, now), activations(&license))
        }
    })
}

fn renew(args: &RenewArgs, authority: &Embedded, out: &mut dyn Write) -> Result<(), AuthorityError> {
    let id: LicenseId = args.one.license_id.parse()?;
    let expires_at = match args.expires_in {
        Some(span) => Some(end_after(whole_second(authority.now()), span)?),
        None => args.expires_at,
    };
    let license = authority.renew(&id, expires_at)?;
    let now = authority.now();
    shown(match args.one.format.format {
        Format::Json => write_json(out, &LicenseJson::of(&license, now)),
        Format::Human => {
            let end = end_in_words(license.terms.expires_at);
            writeln!(out, "license {} is renewed, and {}: expires {end}", license.id, standing(&license, now))
        }
    })
}

#[cfg(feature = "serve")]
fn serve_until_stopped(
    args: ServeArgs,
    authority: Embedded,
    vars: &Vars,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), AuthorityError> {
    let token = args.api_token_env.map(|name| api_token(name, vars)).transpose()?;
    let settings = serve::Settings {
        listen: args.listen,
        token,
        refuse_with: args.refuse_with,
        keep_previous: args.keep_previous,
        idempotency: args.idempotency,
        list_keys: args.list_keys,
        latency: args.latency,
        faults: args.fault,
    };
    let (lines, told) = server::lines();
    let Some((url, name)) = args.webhook.zip(args.webhook_secret_env) else {
        return Ok(serve::run(settings, authority, (lines, told), future::pending(), out, err)?);
    };
    let outlet = outlet(url, &name, vars)?;
    // A view of its own: what the command line changes beside the server is told as well.
    let view = Embedded::at(authority.state(), authority.clock());
    let encoding = args.webhook_signature.into();
    let mut outbox = Outbox::open(vars, view, outlet.0, outlet.1, encoding, lines.clone())?;
    let stop = Signals::none();
    let (at_work, gone) = server::at_work();
    thread::scope(|scope| {
        let posting = scope.spawn(|| {
            let _at_work = at_work;
            outbox.run(&stop);
        });
        let served = serve::run(settings, authority, (lines, told), gone, out, err);
        stop.note(Stop::Terminate, Instant::now());
        // A panic has said itself where it was.
        let posted = posting.join().map_err(|_| AuthorityError::NobodyPosts);
        served.map_err(AuthorityError::from).and(posted)
    })
}

/// Where webhooks are posted, and what signs them.
#[cfg(feature = "serve")]
fn outlet(url: String, name: &str, vars: &Vars) -> Result<(Outlet, Secret), AuthorityError> {
    let source = Source::Env { name: name.to_owned() };
    let text = store::read(&source, vars).map_err(|_| AuthorityError::SecretAbsent { name: name.to_owned() })?;
    let secret = Secret::parse(&text).map_err(|why| AuthorityError::SecretUnfit { name: name.to_owned(), why })?;
    let target = Target {
        url: url.into(),
        from: "`--webhook`".to_owned(),
        ca_pem: None,
        timeout: WEBHOOK_TIMEOUT,
        clock: context::now,
    };
    match Outlet::open(target, &text, vars) {
        Ok(outlet) => Ok((outlet, secret)),
        Err(Unusable { why, next }) => Err(AuthorityError::WebhookUnusable { why, next }),
    }
}

/// The bound on one try of a webhook.
#[cfg(feature = "serve")]
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(feature = "serve")]
fn api_token(name: String, vars: &Vars) -> Result<serve::ApiToken, AuthorityError> {
    match vars.text(&name) {
        Some(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(serve::ApiToken::new(token))
        }
        Some(token) if !token.is_empty() => Err(AuthorityError::TokenUnfit { name }),
        Some(_) | None => Err(AuthorityError::TokenAbsent { name }),
    }
}

fn write_json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    writeln!(out)
}

fn write_issued(out: &mut dyn Write, issued: &Issued) -> io::Result<()> {
    writeln!(out, "license  {}", issued.license_id)?;
    writeln!(out, "key      {}   (shown this once)", issued.key.key().reveal())?;
    writeln!(out, "expires  {}", end_in_words(issued.expires_at))
}

fn write_line(out: &mut dyn Write, license: &Licensed, now: Timestamp) -> io::Result<()> {
    writeln!(
        out,
        "{}  {:9}  {}  {}  {}  expires {}",
        license.id,
        license.status(now).as_str(),
        license.key.masked(),
        clean(&license.terms.plan),
        listed(&license.terms.domains),
        end_in_words(license.terms.expires_at),
    )
}

fn write_license(out: &mut dyn Write, license: &Licensed, now: Timestamp) -> io::Result<()> {
    writeln!(out, "license      {}", license.id)?;
    writeln!(out, "status       {}", license.status(now).as_str())?;
    writeln!(out, "key          {}", license.key.masked())?;
    writeln!(out, "fingerprint  {}", license.key.key().fingerprint())?;
    writeln!(out, "plan         {}", clean(&license.terms.plan))?;
    writeln!(out, "domains      {}", listed(&license.terms.domains))?;
    writeln!(out, "features     {}", listed(&license.terms.features))?;
    writeln!(out, "activations  {}", activations(license))?;
    writeln!(out, "issued       {}", license.created_at)?;
    writeln!(out, "expires      {}", end_in_words(license.terms.expires_at))
}

fn listed<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| clean(text)).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

fn activations(license: &Licensed) -> String {
    let used = license.terms.activations_used;
    match license.terms.activation_limit {
        ActivationLimit::AtMost(limit) => format!("{used} of {limit} activations in use"),
        ActivationLimit::Unlimited => format!("{used} activations in use, any number allowed"),
    }
}

/// Where a license is in its life: one that was resumed or renewed may be past its end all the same.
fn standing(license: &Licensed, now: Timestamp) -> String {
    match (license.status(now), license.terms.expires_at) {
        (Lifecycle::Expired, Some(end)) => format!("expired since {end}"),
        (status, _) => status.as_str().to_owned(),
    }
}

fn end_in_words(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string())
}

/// What `issue --format json` prints: the only document of this command with a whole key in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedJson<'a> {
    license_id: &'a str,
    key: &'a str,
    expires_at: Option<Timestamp>,
}

impl<'a> From<&'a Issued> for IssuedJson<'a> {
    fn from(issued: &'a Issued) -> Self {
        Self { license_id: issued.license_id.as_str(), key: issued.key.key().reveal(), expires_at: issued.expires_at }
    }
}

#[derive(Serialize)]
struct ListJson<'a> {
    licenses: Vec<LicenseJson<'a>>,
}

/// One license, with a masked key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LicenseJson<'a> {
    license_id: &'a str,
    key: String,
    key_fingerprint: String,
    class: KeyClass,
    status: &'static str,
    plan: &'a str,
    domains: &'a [String],
    features: Vec<&'a str>,
    activations_used: u64,
    activation_limit: Option<u64>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl<'a> LicenseJson<'a> {
    fn of(license: &'a Licensed, now: Timestamp) -> Self {
        let terms = &license.terms;
        Self {
            license_id: license.id.as_str(),
            key: license.key.masked(),
            key_fingerprint: license.key.key().fingerprint().to_string(),
            class: terms.class,
            status: license.status(now).as_str(),
            plan: &terms.plan,
            domains: &terms.domains,
            features: terms.features.iter().map(String::as_str).collect(),
            activations_used: terms.activations_used,
            activation_limit: match terms.activation_limit {
                ActivationLimit::AtMost(limit) => Some(limit),
                ActivationLimit::Unlimited => None,
            },
            created_at: license.created_at,
            expires_at: terms.expires_at,
        }
    }
}

/// Why the command failed. Never carries a key or a token.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum AuthorityError {
    /// The change did not happen.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Change(#[from] ChangeError),
    /// The registry cannot be read or trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
    /// What was given for an id is none.
    #[error("this is not a license id: {0}")]
    #[diagnostic(help("`authority list` shows the ids; a key is never given on the command line"))]
    NotAnId(#[from] NotALicenseId),
    /// The end lies beyond the calendar.
    #[error("the license would end after the year 9999")]
    #[diagnostic(help("give a shorter `--expires-in`, or none for a license that does not end"))]
    EndsTooLate,
    /// The variable that should hold the API token is empty or not set.
    #[cfg(feature = "serve")]
    #[error("the API token's variable `{name}` is not set")]
    #[diagnostic(help("set it to the token that clients will send, or leave `--api-token-env` out"))]
    TokenAbsent {
        /// The variable's name.
        name: String,
    },
    /// No client could send this token.
    #[cfg(feature = "serve")]
    #[error("the API token in `{name}` has a space, a line break or another character that no header can carry")]
    #[diagnostic(help("set it to letters, digits and punctuation; look for a line break at its end"))]
    TokenUnfit {
        /// The variable's name.
        name: String,
    },
    /// The variable that should hold the secret of webhooks is empty or not set.
    #[cfg(feature = "serve")]
    #[error("the variable `{name}` of the secret that signs webhooks is not set")]
    #[diagnostic(help("set it to the secret that the receiver has too"))]
    SecretAbsent {
        /// The variable's name.
        name: String,
    },
    /// What is there cannot sign.
    #[cfg(feature = "serve")]
    #[error("what is in `{name}` cannot sign webhooks: it {why}")]
    #[diagnostic(help("write `whsec_` and the secret in base64, or any text of 16 to 1024 bytes"))]
    SecretUnfit {
        /// The variable's name.
        name: String,
        /// What is wrong with it.
        why: NotASecret,
    },
    /// Webhooks cannot be posted there.
    #[cfg(feature = "serve")]
    #[error("no webhook can be posted: {why}")]
    #[diagnostic(help("{next}"))]
    WebhookUnusable {
        /// What is wrong.
        why: String,
        /// What to do next.
        next: String,
    },
    /// What was posted is not known.
    #[cfg(feature = "serve")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Outbox(#[from] OutboxError),
    /// The thread that posts webhooks panicked.
    #[cfg(feature = "serve")]
    #[error("nobody posts webhooks any more: what does so broke, as is said above, and the server ended")]
    #[diagnostic(help("start it again: the log knows what is still to be posted; report what is said above"))]
    NobodyPosts,
    /// The server did not start, or broke.
    #[cfg(feature = "serve")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] serve::ServeError),
    /// A license was issued, and nobody was shown its key, which nothing shows again.
    #[error("license `{license_id}` was issued, and its key could not be written: {source}")]
    #[diagnostic(help(
        "nothing shows the key again: withdraw the license with `authority revoke {license_id}`, and issue another one"
    ))]
    KeyNotShown {
        /// The license.
        license_id: LicenseId,
        /// What the operating system said.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    #[diagnostic(help("what was asked for has happened; see `authority list`"))]
    Output(#[from] io::Error),
}

impl AuthorityError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Change(ChangeError::Refused(_)) => Exit::Refused,
            Self::Change(ChangeError::NoRandomness(_)) | Self::KeyNotShown { .. } | Self::Output(_) => Exit::Bug,
            Self::Change(ChangeError::Log(_)) | Self::Log(_) => Exit::Trail,
            Self::NotAnId(_) | Self::EndsTooLate => Exit::Usage,
            #[cfg(feature = "serve")]
            Self::TokenAbsent { .. }
            | Self::TokenUnfit { .. }
            | Self::SecretAbsent { .. }
            | Self::SecretUnfit { .. } => Exit::Config,
            #[cfg(feature = "serve")]
            Self::WebhookUnusable { .. } => Exit::Usage,
            #[cfg(feature = "serve")]
            Self::Outbox(_) => Exit::Trail,
            #[cfg(feature = "serve")]
            Self::NobodyPosts => Exit::Bug,
            #[cfg(feature = "serve")]
            Self::Serve(error) => error.exit(),
        }
    }
}
