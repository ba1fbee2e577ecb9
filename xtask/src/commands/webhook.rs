//! `webhook verify` and `webhook serve`: what the authority tells of, by itself.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use license_core::webhook::{self, BODY_BYTES_MAX, NotASecret, Notification, Rejected, Secret};
use serde_json::{Value, json};

use crate::{
    cli::Format,
    commands::audit::AuditFormat,
    config::Config,
    console,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    files,
    keyring::Keyring,
    mask::Masks,
    narrator::Narrator,
    report::json,
    store::{self, Source, StoreError},
};

#[cfg(feature = "serve")]
mod forward;
#[cfg(feature = "serve")]
mod receive;
#[cfg(feature = "serve")]
mod refusals;
#[cfg(feature = "serve")]
pub(crate) mod serve;

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Say whether a webhook is genuine and fresh
    Verify(VerifyArgs),
    /// Receive webhooks, record them in the trail, and tell the sinks
    #[cfg(feature = "serve")]
    Serve(serve::ServeArgs),
}

/// What to look at. The secret is only ever named.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The file with the body, byte for byte as it was sent [default: stdin]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// The value of the `X-Signature` header
    #[arg(long, value_name = "VALUE", required_unless_present = "headers", allow_hyphen_values = true)]
    signature: Option<String>,

    /// A file with the headers, one a line, as `Name: value`
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    headers: Option<PathBuf>,

    /// The environment variable that holds the secret [default: `secret` of `[webhook]` in license.toml]
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

/// The header that a webhook is signed in.
pub(crate) const SIGNATURE_HEADER: &str = "x-signature";
/// The longest file of headers that is read, in bytes.
const HEADERS_BYTES_MAX: u64 = 64 * 1024;

impl WebhookCommand {
    /// The format that was asked for, if it is one of its own.
    pub(crate) fn format(&self) -> Option<Format> {
        match self {
            Self::Verify(VerifyArgs { format: AuditFormat::Json, .. }) => Some(Format::Json),
            Self::Verify(VerifyArgs { format: AuditFormat::Human, .. }) => None,
            #[cfg(feature = "serve")]
            Self::Serve(_) => None,
        }
    }
}

impl VerifyArgs {
    /// Whether `license.toml` has to say where the secret is.
    pub(crate) fn needs_config(&self) -> bool {
        self.secret_env.is_none()
    }
}

/// Says whether a webhook is genuine and fresh: the text for stdout, and the exit code.
pub(crate) fn verify(
    ctx: &Context,
    config: Option<&Config>,
    args: &VerifyArgs,
    narrator: &Narrator<'_>,
) -> Result<(String, Exit), Failure> {
    let (secret, masks) = (secret_of(ctx, config, args, narrator)?, masks(ctx, config, args));
    let verified = match (signature(ctx, args)?, body(ctx, args)?) {
        (Ok(signature), Ok(body)) => match webhook::verify(&body, &signature, &secret, context::now()) {
            Ok(received) => {
                let told = received.notification(|text| masks.text(text)).ok_or(WebhookError::SecretInId)?;
                Verified::Valid(Box::new(told))
            }
            Err(why) => Verified::Not(NotValid::Rejected(why)),
        },
        (Err(why), _) | (_, Err(why)) => Verified::Not(why),
    };
    let text = match args.format {
        AuditFormat::Human => verified.human(),
        AuditFormat::Json => json::line(&verified.json(), narrator.platform()) + "\n",
    };
    Ok((text, verified.exit()))
}

/// What was found out about a webhook.
enum Verified {
    Valid(Box<Notification>),
    Not(NotValid),
}

/// Why a webhook is not valid.
#[derive(Debug, thiserror::Error)]
enum NotValid {
    #[error(transparent)]
    Rejected(Rejected),
    #[error("the headers have no `X-Signature`")]
    NoSignature,
    #[error("the headers have more than one `X-Signature`")]
    Signatures,
}

impl NotValid {
    fn code(&self) -> &'static str {
        match self {
            Self::Rejected(why) => why.code(),
            Self::NoSignature => "no_signature",
            Self::Signatures => "several_signatures",
        }
    }

    fn next(&self) -> &'static str {
        match self {
            Self::Rejected(Rejected::Mismatch) => {
                "see whether the secret is the one of this endpoint, and whether the body is byte for byte what was sent"
            }
            Self::Rejected(Rejected::TooOld { .. } | Rejected::FromTheFuture { .. }) => {
                "see whether the clocks agree; one that was recorded earlier is not valid any more"
            }
            Self::Rejected(Rejected::NotASignature) | Self::NoSignature | Self::Signatures => {
                "pass the one value of the `X-Signature` header as it came"
            }
            Self::Rejected(Rejected::TooLong | Rejected::NotAWebhook(_)) => {
                "see whether this is the body of a webhook of the authority"
            }
        }
    }
}

impl Verified {
    fn exit(&self) -> Exit {
        match self {
            Self::Valid(_) => Exit::Done,
            Self::Not(_) => Exit::Unproven,
        }
    }

    fn human(&self) -> String {
        match self {
            Self::Valid(told) => format!("valid: {}, `{}`, made at {:.0}\n", told.event_id, told.event, told.created),
            Self::Not(why) => format!("NOT VALID: {why}\n  next: {}\n", why.next()),
        }
    }

    fn json(&self) -> Value {
        let (valid, code, why, event) = match self {
            Self::Valid(told) => (true, None, None, Some(told)),
            Self::Not(why) => (false, Some(why.code()), Some(why.to_string()), None),
        };
        let exit = self.exit();
        json!({
            "schema": "license-hooks/webhook-verify/1",
            "valid": valid,
            "code": code,
            "why": why,
            "event": event,
            "exit": { "code": exit.code(), "name": exit.name() },
        })
    }
}

/// What hides the secrets that are named here: whoever signs can write anything.
fn masks(ctx: &Context, config: Option<&Config>, args: &VerifyArgs) -> Masks {
    let named = args.secret_env.iter().map(|name| Source::Env { name: name.clone() });
    let named: Vec<_> = named.filter_map(|source| store::read(&source, &ctx.vars).ok()).collect();
    match config {
        Some(config) => Keyring::read(ctx, config).masks().clone(),
        None => Masks::of(named.iter().map(|text| text.as_str())),
    }
}

fn secret_of(
    ctx: &Context,
    config: Option<&Config>,
    args: &VerifyArgs,
    narrator: &Narrator<'_>,
) -> Result<Secret, WebhookError> {
    let Some(name) = &args.secret_env else {
        let settings = config.and_then(|config| config.webhook.as_ref()).ok_or(WebhookError::NoSecret)?;
        return secret(ctx, &settings.secret);
    };
    let source = Source::Env { name: name.clone() };
    narrator.mask(|| store::read(&source, &ctx.vars).into_iter().collect());
    secret(ctx, &source)
}

/// Reads the secret that the authority signs with.
pub(crate) fn secret(ctx: &Context, source: &Source) -> Result<Secret, WebhookError> {
    let text = store::read(source, &ctx.vars).map_err(|source| WebhookError::SecretUnreadable { source })?;
    Secret::parse(&text).map_err(|why| WebhookError::SecretUnfit { from: source.to_string(), why })
}

fn body(ctx: &Context, args: &VerifyArgs) -> Result<Result<Vec<u8>, NotValid>, WebhookError> {
    let read = match &args.body {
        Some(file) => files::read_limited(&ctx.directory.join(file), BODY_BYTES_MAX as u64),
        None => console::read_input(BODY_BYTES_MAX as u64),
    };
    match read {
        Ok(body) => Ok(Ok(body)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Ok(Err(NotValid::Rejected(Rejected::TooLong))),
        Err(source) => Err(WebhookError::unreadable("the body", args.body.as_deref(), &source)),
    }
}

fn signature(ctx: &Context, args: &VerifyArgs) -> Result<Result<Vec<u8>, NotValid>, WebhookError> {
    let Some(file) = &args.headers else {
        return Ok(Ok(args.signature.as_deref().unwrap_or_default().as_bytes().to_vec()));
    };
    let headers = files::read_limited(&ctx.directory.join(file), HEADERS_BYTES_MAX)
        .map_err(|source| WebhookError::unreadable("the headers", Some(file), &source))?;
    Ok(in_headers(&headers))
}

/// The signature among headers, one a line. What is no header, as the first line of a request is not, is passed over.
fn in_headers(headers: &[u8]) -> Result<Vec<u8>, NotValid> {
    let header = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        name.eq_ignore_ascii_case(SIGNATURE_HEADER.as_bytes()).then(|| value.to_vec())
    };
    let mut signatures = headers.split(|&byte| byte == b'\n').filter_map(header);
    match (signatures.next(), signatures.next()) {
        (Some(signature), None) => Ok(signature),
        (None, _) => Err(NotValid::NoSignature),
        (Some(_), Some(_)) => Err(NotValid::Signatures),
    }
}

/// Why webhooks cannot be verified or received. Never carries the secret.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum WebhookError {
    /// Nothing says where the secret is.
    #[error("nothing says where the secret of the authority's webhooks is")]
    #[diagnostic(help(
        "add `[webhook]` with `secret = {{ env = \"LICENSE_WEBHOOK_SECRET\" }}` to license.toml; `webhook verify` also takes `--secret-env NAME`"
    ))]
    NoSecret,
    /// The secret cannot be read.
    #[error("the secret of the authority's webhooks cannot be read: {source}")]
    #[diagnostic(help("put the secret there that the authority shows for this endpoint"))]
    SecretUnreadable {
        /// Why.
        source: StoreError,
    },
    /// What is there cannot be a secret.
    #[error("what is in {from} is no secret of webhooks: it {why}")]
    #[diagnostic(help(
        "put the secret there as the authority shows it: 16 to 1024 bytes of text, or `whsec_` and base64"
    ))]
    SecretUnfit {
        /// Where it is, in words.
        from: String,
        /// What is wrong with it.
        why: NotASecret,
    },
    /// A file that was named, or stdin, cannot be read.
    #[error("{what} in {from} cannot be read: {why}")]
    #[diagnostic(help("name a file that can be read"))]
    InputUnreadable {
        /// What it is.
        what: &'static str,
        /// Where it is.
        from: String,
        /// What the operating system said.
        why: String,
    },
    /// A key that a webhook may show cannot be read.
    #[cfg(feature = "serve")]
    #[error("the key of environment `{environment}` cannot be read, and the webhook may be about it: {source}")]
    #[diagnostic(help("see that it can be read where this runs"))]
    KeyUnreadable {
        /// The environment.
        environment: String,
        /// Why not.
        source: StoreError,
    },
    /// A secret of ours stands in the name of a webhook.
    #[error("the `id` of the webhook holds a secret that license.toml names")]
    #[diagnostic(help("ask whoever sends it; rotate what leaked"))]
    SecretInId,
    /// The thread that tells the sinks panicked.
    #[cfg(feature = "serve")]
    #[error("nobody tells the sinks any more: what does so broke, as is said above, and the server ended")]
    #[diagnostic(help("start it again: the trail knows who is still to be told; report what is said above"))]
    NobodyTells,
    /// The server did not start.
    #[cfg(feature = "serve")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Server(#[from] crate::server::ServerError),
}

impl WebhookError {
    fn unreadable(what: &'static str, file: Option<&Path>, source: &io::Error) -> Self {
        let from = file.map_or_else(|| "stdin".to_owned(), |file| format!("`{}`", file.display()));
        Self::InputUnreadable { what, from, why: files::why(source) }
    }

    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoSecret | Self::SecretUnreadable { .. } | Self::SecretUnfit { .. } => Exit::Config,
            #[cfg(feature = "serve")]
            Self::KeyUnreadable { .. } => Exit::Config,
            Self::InputUnreadable { .. } => Exit::Usage,
            Self::SecretInId => Exit::Unproven,
            #[cfg(feature = "serve")]
            Self::NobodyTells => Exit::Bug,
            #[cfg(feature = "serve")]
            Self::Server(error) => error.exit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_found_among_headers() {
        let found = |text: &str| in_headers(text.as_bytes()).map_err(|why| why.code());
        let rows = [
            ("X-Signature: abc", Ok("abc")),
            ("POST / HTTP/1.1\r\nHost: x\r\nx-signature:t=1,v1=2\r\n\r\n", Ok("t=1,v1=2")),
            ("X-SIGNATURE :  abc  \n", Ok("abc")),
            ("Host: x\nX-Signature-Old: abc", Err("no_signature")),
            ("", Err("no_signature")),
            ("X-Signature: a\nx-signature: a", Err("several_signatures")),
        ];
        for (text, expected) in rows {
            assert_eq!(found(text), expected.map(|text: &str| text.as_bytes().to_vec()), "{text}");
        }
    }
}
