//! The first key of an environment whose authority is the embedded one: whether a deploy issues it, and if not, what else
//! gets somebody a key.

use license_core::{
    KeyClass,
    registry::{LicenseId, Lifecycle},
};

use crate::{authority::embedded::Embedded, config::Environment, log::LogError};

/// Where the first key comes from, while the place that deploys read has none.
#[derive(Debug)]
pub(crate) enum FirstKey {
    /// The next deploy issues it.
    ByDeploy,
    /// Somebody has to have it issued: it is for more than development, or in no dotenv file.
    OnRequest {
        /// The class that it needs.
        class: KeyClass,
        /// The domain that it is for.
        domain: String,
        /// Where deploys read it.
        place: String,
    },
    /// The registry has a license for the domain that is not over, and its key is in the hands of nobody here.
    Elsewhere {
        /// The license.
        license: LicenseId,
        /// The domain that it is for.
        domain: String,
        /// Where deploys read its key.
        place: String,
        /// Whether it is in force.
        force: InForce,
    },
}

/// Whether a license that is not over is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InForce {
    /// Switched off for now.
    Suspended,
    /// It is.
    Active,
}

/// Looks at the registry, and changes nothing. A license that ended or was withdrawn is none: its key is of no use.
pub(crate) fn look(environment: &Environment, embedded: &Embedded) -> Result<FirstKey, LogError> {
    let (domain, place) = (environment.demand.domain.to_string(), environment.key.to_string());
    if environment.first_key_place().is_none() {
        let class = environment.demand.key_class.unwrap_or(KeyClass::Dev);
        return Ok(FirstKey::OnRequest { class, domain, place });
    }
    let found = embedded.look(|registry, now| {
        let of_the_domain = registry.licenses().filter(|license| license.terms.domains.contains(&domain));
        let not_over = of_the_domain.filter_map(|license| match license.status(now) {
            Lifecycle::Active => Some((InForce::Active, license)),
            Lifecycle::Suspended => Some((InForce::Suspended, license)),
            Lifecycle::Revoked | Lifecycle::Expired => None,
        });
        let newest = not_over.max_by_key(|(force, license)| (*force, license.created_at));
        newest.map(|(force, license)| (license.id.clone(), force))
    })?;
    Ok(match found {
        Some((license, force)) => FirstKey::Elsewhere { license, domain, place, force },
        None => FirstKey::ByDeploy,
    })
}

impl FirstKey {
    /// What is behind "has no license key yet: the file does not exist".
    pub(crate) fn why(&self) -> String {
        match self {
            Self::ByDeploy | Self::OnRequest { .. } => String::new(),
            Self::Elsewhere { license, domain, force, .. } => {
                let force = match force {
                    InForce::Active => "",
                    InForce::Suspended => ", which is suspended",
                };
                format!("; the registry has the license `{license}` for `{domain}`{force}, and shows its key no more")
            }
        }
    }

    /// What to do.
    pub(crate) fn next(&self, environment: &str) -> String {
        match self {
            Self::ByDeploy => {
                format!("`cargo xtask deploy {environment}` issues one; or see `cargo xtask authority issue --help`")
            }
            Self::OnRequest { class, domain, place } => {
                format!(
                    "have one issued, `cargo xtask authority issue --class {class} --domain {domain}`, and put it into {place}"
                )
            }
            Self::Elsewhere { license, place, .. } => format!(
                "put its key into {place}; where nobody has it, withdraw the license with `cargo xtask authority revoke \
                 {license}`, and the next `cargo xtask deploy {environment}` issues another"
            ),
        }
    }
}
