//! `check`: the gate alone. It changes nothing and records nothing.

use std::borrow::Cow;

use license_core::{
    LicenseKey, Verdict,
    rotation::{GraceLeft, Shipping, shipping},
};

use crate::{
    authority::{AskError, Authority},
    cli::CheckArgs,
    config::{Config, EnvName, Environment, TrailSettings},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    gate::{self, Force},
    journal, keyring,
    many::{self, Extent},
    report::{CheckReport, Gated},
    signals::Signals,
};

/// Checks every environment that was asked for.
pub(crate) fn run<'a>(ctx: &Context, config: &'a Config, args: &CheckArgs) -> Result<CheckReport<'a>, Failure> {
    let environments = many::selected(config, &args.environments, Extent::of_flag(args.all))?;
    let keys: Vec<_> = environments.iter().map(|environment| connect::key(ctx, config, environment)).collect();
    keyring::refuse_shared(ctx, config, &readable(&environments, &keys))?;
    // Watched, so that the exit is the table's also where a parent has SIGINT ignored.
    let signals = Signals::watch().map_err(|source| Failure::System { what: "signals cannot be watched", source })?;
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
    let exits: Vec<Exit> = report.gated.iter().map(|gated| exit_of(&gated.outcome)).collect();
    WORST_FIRST.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Done)
}

const WORST_FIRST: [Exit; 8] = [
    Exit::Interrupted,
    Exit::Terminated,
    Exit::Bug,
    Exit::Config,
    Exit::Credential,
    Exit::Trail,
    Exit::Refused,
    Exit::Unknown,
];

/// A warning when the key that was judged is the old one of a rotation, and its grace is running out. An environment
/// without a trail here, and without stores, has no rotation that is worth a look at a remote.
pub(crate) fn grace_warning(ctx: &Context, config: &Config, gated: &Gated<'_>) -> Option<String> {
    let (environment, judged) = (gated.environment, gated.outcome.as_ref().ok()?);
    if environment.stores.is_empty() && config.trail != TrailSettings::File {
        return None;
    }
    let folded = journal::look(ctx, config, &environment.name).ok()?;
    let Shipping::OldKey { until, left } = shipping(folded.rotation(), &judged.fingerprint, context::now()) else {
        return None;
    };
    let soon = match left {
        GraceLeft::Enough => return None,
        GraceLeft::UnderHours(hours) => format!("in less than {hours} hours"),
        GraceLeft::TooLittle => "within the hour, if it is not dead already".to_owned(),
    };
    Some(format!(
        "warning: the key of `{0}` is the old one of a rotation, and dies {soon}, at {until:.0}: `cargo xtask rotate {0} --resume`",
        environment.name
    ))
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
