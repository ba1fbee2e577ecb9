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
    first_key::FirstKey,
    journal::Journal,
    store,
};

/// How long a development license lasts.
const DEVELOPMENT_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);

/// How much room a key needs at most, in bytes: so much is tried before there is one.
const KEY_BYTES_MAX: usize = 128;

/// The key; for an embedded authority that has issued none, and a dotenv file that has none, a new one.
///
/// A process may end between any two steps. Before the registry has the license nothing has happened. From then on until
/// the dotenv file has the key, the next deploy finds a license whose key is nowhere, and says how to get rid of it.
pub(super) fn obtain(scene: &Scene<'_>, authority: &Authority, journal: &mut Journal) -> Result<LicenseKey, Failure> {
    let environment = scene.environment;
    let missing = match scene.key() {
        Ok(key) => return Ok(key),
        Err(missing) => missing,
    };
    let Some(place) = issuable(scene, authority, &missing) else { return Err(missing) };
    let name = || environment.name.clone();
    // The key is told once: it is certain before that it can be kept.
    store::dotenv::try_set(place.file, place.name, &"0".repeat(KEY_BYTES_MAX))
        .map_err(|source| Failure::NotStorable { environment: name(), source })?;
    let issued = place.embedded.issue(development_terms(environment))?;
    let (license_id, key) = (issued.license_id.to_string(), issued.key.key());
    let event = Event::Issued { license_id: license_id.clone(), key_fingerprint: key.fingerprint() };
    let recorded = journal.append_decided(event);
    scene.narrator.mask(|| vec![Zeroizing::new(key.reveal().to_owned())]);
    // A trail that cannot be written stops the deploy, and does not cost the key.
    store::dotenv::set(place.file, place.name, key.reveal()).map_err(|source| Failure::NotStored {
        environment: name(),
        license_id: license_id.clone(),
        source,
    })?;
    scene.narrator.note(&format!(
        "issued license `{license_id}` for {}; its key is in `{}`, as `{}`",
        environment.demand.domain,
        place.file.display(),
        place.name
    ));
    recorded?;
    Ok(key.clone())
}

/// Where a first development key may be issued from, and put.
pub(super) struct Issuable<'a> {
    embedded: &'a Embedded,
    /// The dotenv file that the key goes into.
    pub(super) file: &'a Path,
    name: &'a str,
}

/// A key is issued without being asked for only where that is why there is none.
pub(super) fn issuable<'a>(scene: &Scene<'a>, authority: &'a Authority, missing: &Failure) -> Option<Issuable<'a>> {
    let (Failure::NoFirstKey { first, .. }, Authority::Embedded(embedded)) = (missing, authority) else { return None };
    match **first {
        FirstKey::ByDeploy => {}
        FirstKey::OnRequest { .. } | FirstKey::Elsewhere { .. } => return None,
    }
    let (file, name) = scene.environment.first_key_place()?;
    Some(Issuable { embedded, file, name })
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
