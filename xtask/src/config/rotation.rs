//! What a rotation needs of a checked configuration, beyond what every command needs.

use super::{
    Config, Environment, Memory,
    problem::{Problem, code},
    trail,
};
use crate::store::Source;

impl Config {
    /// Everything in the file because of which the key of an environment cannot be rotated here; empty when it can.
    pub(crate) fn problems_of_rotation(&self, environment: &Environment) -> Vec<Problem> {
        let found =
            [self.forgets(environment), self.nowhere_to_write(environment), self.nobody_to_seal_to(environment)];
        found.into_iter().flatten().collect()
    }

    /// A rotation continues in the next run, so its trail must still be there.
    pub(crate) fn forgets(&self, environment: &Environment) -> Option<Problem> {
        match self.memory {
            Memory::Kept => None,
            Memory::LostWithTheMachine => Some(
                Problem::new(
                    code::EPHEMERAL_TRAIL,
                    format!(
                        "a rotation of environment `{}` is continued from the trail, and on this CI machine the trail is lost after the run",
                        environment.name
                    ),
                )
                .help(trail::KEEP_THE_TRAIL)
                .at(environment.place, "needs a trail that is kept")
                .within(&self.source),
            ),
        }
    }

    /// A key that comes out of a variable has a place that only its owner can write, so a store has to feed it.
    pub(crate) fn nowhere_to_write(&self, environment: &Environment) -> Option<Problem> {
        let variable = match &environment.key {
            Source::Env { name } if environment.stores.is_empty() => name,
            Source::Env { .. }
            | Source::Dotenv { .. }
            | Source::File { .. }
            | Source::Age { .. }
            | Source::Store { .. } => return None,
        };
        Some(
            Problem::new(
                code::NEEDS_OTHER_FIELD,
                format!(
                    "a rotation of environment `{}` has nowhere to write: its key comes from the environment variable `{variable}`",
                    environment.name
                ),
            )
            .help(format!(
                "add `stores = [\"NAME\"]` to the environment, and `[stores.NAME]` with the place that feeds `{variable}`"
            ))
            .at(environment.place_of(license_core::Check::Validity), "can only be read")
            .within(&self.source),
        )
    }

    /// Keys are sealed before they are used, so somebody has to be able to open them.
    pub(crate) fn nobody_to_seal_to(&self, environment: &Environment) -> Option<Problem> {
        let (place, word) = match &self.escrow {
            Some(escrow) if !escrow.recipients.is_empty() => return None,
            Some(escrow) => (escrow.place, "`recipients` is missing"),
            None => (environment.place, "needs `[escrow]`"),
        };
        Some(
            Problem::new(
                code::MISSING_FIELD,
                format!(
                    "a rotation of environment `{}` seals keys, and `[escrow]` names no `recipients`",
                    environment.name
                ),
            )
            .help(
                "`cargo xtask escrow keygen` makes an identity, and prints the `[escrow]` to add; keep the identity where keys are kept",
            )
            .at(place, word)
            .within(&self.source),
        )
    }
}
