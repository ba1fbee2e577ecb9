//! What the deploy command is given, and how it is run.

use std::{collections::BTreeMap, ffi::OsString, io::Write, time::Instant};

use license_core::{LicenseKey, health::Expected};

use super::{Scene, keys};
use crate::{
    child_env,
    config::Environment,
    context::Platform,
    failure::Failure,
    gate::Judgement,
    mask::Masks,
    process::{self, Job},
    report::{CommandEnd, github},
};

/// Everything that the environment's commands are given.
pub(super) struct HandOver<'a> {
    scene: &'a Scene<'a>,
    variables: Vec<(OsString, OsString)>,
    masks: Masks,
    /// The id of this deploy.
    pub(super) release: String,
    /// What the application should report afterwards.
    pub(super) expected: Expected,
}

impl<'a> HandOver<'a> {
    /// Puts together the variables, the masks and the expectation.
    pub(super) fn prepare(scene: &'a Scene<'a>, key: &LicenseKey, judgement: &Judgement) -> Result<Self, Failure> {
        let environment = scene.environment;
        let release = random_word("rel")?;
        let license = judgement.license.as_ref();
        let expected = Expected {
            plan: license.and_then(|license| license.plan.clone()),
            features: environment.demand.features.clone(),
            expires_at: license.and_then(|license| license.expires_at),
            key_fingerprint: key.fingerprint(),
            release: release.clone(),
        };
        let given = given(environment, key, judgement, &release);
        let variables = child_env::build(&scene.ctx.vars, &child_env::secret_names(scene.config), given);
        let secrets = keys::secrets(scene, key);
        let masks = Masks::of(secrets.iter().map(|secret| secret.as_str()));
        Ok(Self { scene, variables, masks, release, expected })
    }

    /// Runs one of the environment's commands. On GitHub Actions its output cannot give the runner commands.
    pub(super) fn run(&self, words: &[String]) -> Result<CommandEnd, Failure> {
        let scene = self.scene;
        let job = Job {
            words,
            directory: &scene.config.root,
            variables: self.variables.clone(),
            deadline: scene.environment.deploy_timeout,
            masks: &self.masks,
        };
        let fence = match scene.ctx.runs_on() {
            Platform::GithubActions => Some(random_word("stop")?),
            Platform::Other => None,
        };
        scene.narrator.note(&format!("running `{}`", shown(words)));
        let began = Instant::now();
        let ended = {
            let mut err = scene.ctx.console.err();
            // Telling people is best effort; the deploy goes on if nobody listens.
            let _ = fence.as_ref().map(|word| err.write_all(github::stop_commands(word).as_bytes()));
            let ended = process::run(&job, scene.signals, &mut **err);
            let _ = fence.as_ref().map(|word| err.write_all(github::resume_commands(word).as_bytes()));
            ended
        };
        Ok(CommandEnd { shown: shown(words), ended, seconds: began.elapsed().as_secs_f64() })
    }
}

/// What the command is told, beside the key.
fn given(
    environment: &Environment,
    key: &LicenseKey,
    judgement: &Judgement,
    release: &str,
) -> BTreeMap<String, String> {
    let mut given = BTreeMap::from([
        (environment.key_variable.clone(), key.reveal().to_owned()),
        ("LICENSE_ENVIRONMENT".to_owned(), environment.name.to_string()),
        ("LICENSE_DOMAIN".to_owned(), environment.demand.domain.to_string()),
        ("LICENSE_RELEASE".to_owned(), release.to_owned()),
        ("LICENSE_KEY_FINGERPRINT".to_owned(), key.fingerprint().to_string()),
    ]);
    let Some(license) = &judgement.license else { return given };
    if let Some(plan) = &license.plan {
        given.insert("LICENSE_PLAN".to_owned(), plan.replace('\0', ""));
    }
    if let Some(features) = &license.features {
        let features = features.iter().cloned().collect::<Vec<_>>().join(",");
        given.insert("LICENSE_FEATURES".to_owned(), features.replace('\0', ""));
    }
    if let Some(expires_at) = license.expires_at {
        given.insert("LICENSE_EXPIRES_AT".to_owned(), expires_at.to_string());
    }
    given
}

/// A word that nobody can guess, and that no other deploy has.
fn random_word(prefix: &str) -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::System { what: "there is no randomness", source: std::io::Error::other(error) })?;
    Ok(format!("{prefix}_{:016x}", u64::from_be_bytes(bytes)))
}

/// A command as it is shown: words with spaces are quoted.
pub(super) fn shown(words: &[String]) -> String {
    let quote = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    license_core::finding::clean(&words.iter().map(quote).collect::<Vec<_>>().join(" "))
}
