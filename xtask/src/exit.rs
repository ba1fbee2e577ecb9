//! Exit codes: an API for scripts. One table; changing a number is a breaking change.

/// Every way in which a command can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Unexpected: a bug.
    Bug,
    /// The command line cannot be understood.
    Usage,
    /// `license.toml`, or what it names, is wrong.
    Config,
    /// The rules say no; nothing was deployed.
    Refused,
    /// It could not be found out; nothing was deployed.
    Unknown,
    /// The API token or another credential was refused.
    Credential,
    /// The deploy command failed.
    DeployFailed,
    /// Deployed, but unhealthy.
    Unhealthy,
    /// An alert stands, or a key stops working soon.
    Attention,
    /// An alert could not be delivered.
    AlertUndelivered,
    /// The trail, or the registry's log, cannot be written, read or trusted.
    Trail,
    /// The rotation was refused, by the rules or by the authority; nothing changed.
    RotationRefused,
    /// Nobody knows whether the authority rotated.
    RotationUnknown,
    /// Rotated, and the new key is lost; the old one works until the deadline that is shown.
    KeyLost,
    /// The new key is refused, or the answer has none; it is sealed.
    NewKeyRejected,
    /// Some stores do not hold the new key, which is safe in escrow.
    Partial,
    /// Somebody else holds the environment.
    Held,
    /// A store of keys is unusable.
    Store,
    /// A key or another secret was found where it must not be.
    Leaked,
    /// The scan for leaked keys could not be completed.
    Incomplete,
    /// A signature or a conformance check failed.
    Unproven,
    /// Interrupted (SIGINT).
    Interrupted,
    /// Terminated (SIGTERM).
    Terminated,
}

impl Exit {
    /// Every row of the table, in the order of the codes.
    pub const ALL: [Self; 24] = [
        Self::Done,
        Self::Bug,
        Self::Usage,
        Self::Config,
        Self::Refused,
        Self::Unknown,
        Self::Credential,
        Self::DeployFailed,
        Self::Unhealthy,
        Self::Attention,
        Self::AlertUndelivered,
        Self::RotationRefused,
        Self::RotationUnknown,
        Self::KeyLost,
        Self::NewKeyRejected,
        Self::Partial,
        Self::Held,
        Self::Trail,
        Self::Store,
        Self::Leaked,
        Self::Incomplete,
        Self::Unproven,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Refused => 10,
            Self::Unknown => 11,
            Self::Credential => 12,
            Self::DeployFailed => 13,
            Self::Unhealthy => 14,
            Self::Attention => 15,
            Self::AlertUndelivered => 16,
            Self::RotationRefused => 20,
            Self::RotationUnknown => 21,
            Self::KeyLost => 22,
            Self::NewKeyRejected => 23,
            Self::Partial => 24,
            Self::Held => 25,
            Self::Trail => 26,
            Self::Store => 27,
            Self::Leaked => 30,
            Self::Incomplete => 31,
            Self::Unproven => 32,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The name that stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bug => "bug",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Credential => "credential",
            Self::DeployFailed => "deploy_failed",
            Self::Unhealthy => "unhealthy",
            Self::Attention => "attention",
            Self::AlertUndelivered => "alert_undelivered",
            Self::RotationRefused => "rotation_refused",
            Self::RotationUnknown => "rotation_unknown",
            Self::KeyLost => "key_lost",
            Self::NewKeyRejected => "new_key_rejected",
            Self::Partial => "partial",
            Self::Held => "held",
            Self::Trail => "trail",
            Self::Store => "store",
            Self::Leaked => "leaked",
            Self::Incomplete => "incomplete",
            Self::Unproven => "unproven",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

/// Over many environments, and over many things that are wrong with one, the first that applies is the exit: what kept
/// the program from looking comes before what it saw, and a message that was not delivered hides nothing.
const WORST_FIRST: [Exit; 11] = [
    Exit::Interrupted,
    Exit::Terminated,
    Exit::Bug,
    Exit::Config,
    Exit::Credential,
    Exit::Trail,
    Exit::Refused,
    Exit::Unhealthy,
    Exit::Unknown,
    Exit::Attention,
    Exit::AlertUndelivered,
];

impl Exit {
    /// The worst of these; what the order does not name comes after what it does.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let place = |exit: &Self| WORST_FIRST.iter().position(|worst| worst == exit).unwrap_or(WORST_FIRST.len());
        exits.into_iter().filter(|exit| *exit != Self::Done).min_by_key(place).unwrap_or(Self::Done)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_many_the_worst_is_the_exit() {
        for (exits, worst) in [
            (&[][..], Exit::Done),
            (&[Exit::Done, Exit::Done], Exit::Done),
            (&[Exit::Done, Exit::AlertUndelivered], Exit::AlertUndelivered),
            (&[Exit::AlertUndelivered, Exit::Attention], Exit::Attention),
            (&[Exit::Unknown, Exit::Refused, Exit::Done], Exit::Refused),
            (&[Exit::Unhealthy, Exit::Unknown], Exit::Unhealthy),
            (&[Exit::Unhealthy, Exit::Refused], Exit::Refused),
            (&[Exit::Refused, Exit::Trail], Exit::Trail),
            (&[Exit::Trail, Exit::Credential, Exit::Config], Exit::Config),
            (&[Exit::Config, Exit::Terminated], Exit::Terminated),
            // A store, or whoever holds an environment, is not in the order.
            (&[Exit::Store, Exit::Done], Exit::Store),
            (&[Exit::Held, Exit::Store], Exit::Held),
            (&[Exit::Store, Exit::AlertUndelivered], Exit::AlertUndelivered),
        ] {
            assert_eq!(Exit::worst(exits.iter().copied()), worst, "{exits:?}");
        }
    }
}
