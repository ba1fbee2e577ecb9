//! `check`: the gate alone. It changes nothing and records nothing.

use std::borrow::Cow;

use jiff::Timestamp;
use license_core::{
    LicenseKey, Verdict,
    rotation::{GraceLeft, Shipping, not_adopted, shipping},
};

use crate::{
    authority::{AskError, Authority},
    cli::CheckArgs,
    commands,
    config::{Config, EnvName, Environment, TrailSettings},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    gate::{self, Force},
    journal, keyring,
    many::{self, Extent},
    report::{CheckReport, Gated},
};

/// Checks every environment that was asked for.
pub(crate) fn run<'a>(ctx: &Context, config: &'a Config, args: &CheckArgs) -> Result<CheckReport<'a>, Failure> {
    let environments = many::selected(config, &args.environments, Extent::of_flag(args.all))?;
    let keys: Vec<_> = environments.iter().map(|environment| connect::key(ctx, config, environment)).collect();
    keyring::refuse_shared(ctx, config, &readable(&environments, &keys))?;
    // Watched, so that the exit is the table's also where a parent has SIGINT ignored.
    let signals = commands::signals(ctx)?;
    let authorities = many::authorities(ctx, config, &environments, &signals);
    let gated = many::concurrently(&environments, keys, &signals, |environment, key| {
        let outcome = judge(ctx, config, environment, key, &authorities[environment.authority.as_str()]);
        Gated { environment, outcome }
    });
    match signals.stop() {
        None => Ok(CheckReport { gated }),
        Some(stop) => Err(AskError::Stopped(stop).into()),
    }
}

/// The exit code of the whole: the first that applies, so that a script sees the worst.
pub(crate) fn exit(report: &CheckReport<'_>) -> Exit {
    Exit::worst(report.gated.iter().map(|gated| exit_of(&gated.outcome)))
}

/// A warning when the grace of a rotation is running out, and the key that was judged is the old one, or nothing was seen
/// to use the new one. An environment without a trail here, and without stores, has no rotation that is worth a look at a remote.
pub(crate) fn grace_warning(ctx: &Context, config: &Config, gated: &Gated<'_>) -> Option<String> {
    let (environment, judged) = (gated.environment, gated.outcome.as_ref().ok()?);
    if environment.stores.is_empty() && config.trail != TrailSettings::File {
        return None;
    }
    let folded = journal::look(ctx, config, &environment.name).ok()?;
    let (state, name, now) = (folded.rotation(), &environment.name, context::now());
    let of_its_own = match shipping(state, &judged.fingerprint, now) {
        Shipping::OldKey { until, left } => ends(until, left, now).map(|ends| {
            format!(
                "warning: the key of `{name}` is the old one of a rotation, and {ends}: `cargo xtask rotate {name} --resume`"
            )
        }),
        Shipping::NewKey | Shipping::Unconcerned => None,
    };
    of_its_own.or_else(|| {
        let (until, left) = not_adopted(state, &judged.fingerprint, now)?;
        Some(format!(
            "warning: nothing was seen to use the new key of `{name}`, and the old one {}: `cargo xtask deploy {name}`",
            ends(until, left, now)?
        ))
    })
}

/// When a key dies; nothing while that is far.
fn ends(until: Timestamp, left: GraceLeft, now: Timestamp) -> Option<String> {
    match left {
        GraceLeft::Enough => None,
        GraceLeft::UnderHours(hours) => Some(format!("dies in less than {hours} hours, at {until:.0}")),
        GraceLeft::TooLittle if until > now => Some(format!("dies within the hour, at {until:.0}")),
        GraceLeft::TooLittle => Some(format!("may be dead since {until:.0}")),
    }
}

fn exit_of(outcome: &Result<gate::Judgement, Failure>) -> Exit {
    match outcome {
        Err(failure) => failure.exit(),
        Ok(judged) => match judged.verdict {
            Verdict::Go => Exit::Done,
            Verdict::Refused => Exit::Refused,
            Verdict::Unknown => Exit::Unknown,
        },
    }
}

fn readable<'a>(
    environments: &[&'a Environment],
    keys: &'a [Result<LicenseKey, Failure>],
) -> Vec<(&'a EnvName, &'a LicenseKey)> {
    let both = environments.iter().zip(keys);
    both.filter_map(|(environment, key)| Some((&environment.name, key.as_ref().ok()?))).collect()
}

fn judge(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: Result<LicenseKey, Failure>,
    authority: &Result<Authority, Failure>,
) -> Result<gate::Judgement, Failure> {
    let key = key?;
    let authority = match authority {
        Ok(authority) => authority,
        // The failure belongs to several environments; each gets its own by asking again for what fails at once.
        Err(_) => &connect::authority(ctx, config, environment, 1, None)?,
    };
    let history = || Ok(Cow::Owned(journal::look(ctx, config, &environment.name)?));
    gate::decide(ctx, config, environment, &key, authority, &history, &Force::No)
}
