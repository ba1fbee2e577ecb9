//! The key of the environment that is deployed.

use std::path::Path;

use jiff::SignedDuration;
use license_core::{KeyClass, LicenseKey, license::ActivationLimit, registry::Terms, trail::Event};
use zeroize::Zeroizing;

use super::Scene;
use crate::{
    authority::{
        Authority,
        embedded::{self, Embedded},
    },
    config::Environment,
    context,
    failure::Failure,
    journal::Journal,
    store::{self, Source},
};

/// How long a development license lasts.
const DEVELOPMENT_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The key; for an embedded authority that has issued none, and a dotenv file that has none, a new one.
pub(super) fn obtain(scene: &Scene<'_>, authority: &Authority, journal: &mut Journal) -> Result<LicenseKey, Failure> {
    let environment = scene.environment;
    let missing = match scene.key() {
        Ok(key) => return Ok(key),
        Err(missing) => missing,
    };
    let Some(place) = issuable(scene, authority)? else { return Err(missing) };
    let issued = place.embedded.issue(development_terms(environment))?;
    let (license_id, key) = (issued.license_id.to_string(), issued.key.key());
    journal.append_decided(Event::Issued { license_id, key_fingerprint: key.fingerprint() })?;
    scene.narrator.mask(|| vec![Zeroizing::new(key.reveal().to_owned())]);
    store::dotenv::set(place.file, place.name, key.reveal())
        .map_err(|source| Failure::NotStored { environment: environment.name.clone(), source })?;
    scene.narrator.note(&format!(
        "issued license `{}` for {}; its key is in `{}`, as `{}`",
        issued.license_id,
        environment.demand.domain,
        place.file.display(),
        place.name
    ));
    Ok(key.clone())
}

/// Where a first development key may be issued from, and put.
pub(super) struct Issuable<'a> {
    embedded: &'a Embedded,
    /// The dotenv file that the key goes into.
    pub(super) file: &'a Path,
    name: &'a str,
}

/// A key is issued without being asked for only by an embedded authority, only for development, and only when neither
/// the registry nor the dotenv file has one.
pub(super) fn issuable<'a>(scene: &Scene<'a>, authority: &'a Authority) -> Result<Option<Issuable<'a>>, Failure> {
    let environment = scene.environment;
    let (Authority::Embedded(embedded), Source::Dotenv { file, name }) = (authority, &environment.key) else {
        return Ok(None);
    };
    let is_for_development = matches!(environment.demand.key_class, None | Some(KeyClass::Dev));
    if !is_for_development || !store::is_absent(&environment.key, &scene.ctx.vars) {
        return Ok(None);
    }
    let domain = environment.demand.domain.to_string();
    let known = embedded.look(|registry, _| registry.licenses().any(|one| one.terms.domains.contains(&domain)))?;
    Ok((!known).then_some(Issuable { embedded, file, name }))
}

/// What a development license grants: whatever the environment demands, for a year.
fn development_terms(environment: &Environment) -> Terms {
    let demand = &environment.demand;
    Terms {
        class: KeyClass::Dev,
        plan: "development".to_owned(),
        domains: vec![demand.domain.to_string()],
        features: demand.features.clone(),
        activations_used: 0,
        activation_limit: ActivationLimit::Unlimited,
        // The second is enough for an expiry, and applications report no more.
        expires_at: embedded::whole_second(context::now()).checked_add(DEVELOPMENT_LIFE).ok(),
    }
}
