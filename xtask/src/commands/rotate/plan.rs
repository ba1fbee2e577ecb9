//! `--plan`: what a rotation would do from where the trail stands.

use license_core::{
    chain::Head,
    rotation::{Phase, Refusal},
};

use super::{refusal_words, words};
use crate::{
    cli::RotateArgs,
    config::{Environment, KEY_PLACE},
    context,
    journal::Journal,
    store::Source,
};

/// The lines, and the head that they are true of.
pub(super) fn of(journal: &Journal, environment: &Environment, args: &RotateArgs) -> (Vec<String>, Head) {
    let lines = match &journal.state().phase {
        Phase::Idle(_) => fresh(environment, args),
        Phase::Committed { keys, .. } if !args.accept_no_overlap && context::now() < keys.grace_ends_at => {
            let refusal = Refusal::GraceOpen { until: keys.grace_ends_at };
            let (why, next) = refusal_words(&refusal, environment.name.as_str());
            vec![format!("be refused: {why}"), next]
        }
        Phase::Committed { .. } => {
            let mut lines = vec!["close the rotation before: prove its old key dead (2 validations)".to_owned()];
            lines.extend(fresh(environment, args));
            lines
        }
        Phase::Calling(open) | Phase::Unknown { open, .. } => vec![
            format!("go on with rotation {}, whose call may have been sent", open.id.0),
            "look for its answer in escrow, wait out a late execution, and find out whether the authority rotated"
                .to_owned(),
        ],
        Phase::KeyLost { deadline, .. } => {
            vec![format!("look for the lost key in escrow once more; the old one {}", words::works_until(*deadline))]
        }
        Phase::Received { open, .. } | Phase::NewRejected { open, .. } => {
            vec![format!("open the sealed answer of rotation {}, ask about the new key, and write it", open.id.0)]
        }
        Phase::Promoting { keys, done } => {
            let left: Vec<&str> =
                keys.open.terms.stores.iter().filter(|store| !done.contains(*store)).map(String::as_str).collect();
            vec![format!("write the new key into the stores that are left: {}", left.join(", "))]
        }
        Phase::RollingBack { .. } => vec!["go on bringing the old key back".to_owned()],
        Phase::RolledBack(keys) => {
            vec![format!(
                "find the old key in every store, dying at {:.0}; `--resume` goes forward",
                keys.grace_ends_at
            )]
        }
    };
    (lines, journal.head())
}

fn fresh(environment: &Environment, args: &RotateArgs) -> Vec<String> {
    let grace_days = args.grace_days.unwrap_or(environment.rotation.grace_days);
    let own = match &environment.key {
        Source::Dotenv { .. } | Source::Age { .. } => Some(KEY_PLACE),
        Source::Store { name } if !environment.stores.contains(name) => Some(name.as_str()),
        Source::Store { .. } | Source::Env { .. } | Source::File { .. } => None,
    };
    let stores: Vec<&str> = own.into_iter().chain(environment.stores.iter().map(String::as_str)).collect();
    vec![
        format!("prove that the old key is valid, and that it can write: {} (1 validation)", stores.join(", ")),
        "seal the old key into escrow, and write the intent into the trail".to_owned(),
        format!("ask the authority `{}` once for a new key, with a grace of {grace_days} days", environment.authority),
        "seal the answer before reading it, and prove that the new key is valid (at least 1 validation)".to_owned(),
        format!("write it and read it back: {}", stores.join(", ")),
        "prove that both keys work (2 validations)".to_owned(),
    ]
}
