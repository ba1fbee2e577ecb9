//! `deploy --plan`: the gate, and what a deploy would do. No claim, no entry in the trail, no key issued.

use std::borrow::Cow;

use license_core::Verdict;

use super::{Scene, hand_over::shown, keys};
use crate::{
    connect,
    failure::Failure,
    gate::{self, Force},
    journal,
    keyring::{self, Keyring},
    report::DeployReport,
};

/// Fills the report with the judgement and the steps.
pub(super) fn run(scene: &Scene<'_>, report: &mut DeployReport) -> Result<(), Failure> {
    let authority = connect::authority(scene.ctx, scene.config, scene.environment, 1, None)?;
    let key = match scene.key() {
        Ok(key) => key,
        Err(missing) => {
            let Some(place) = keys::issuable(scene, &authority, &missing) else { return Err(missing) };
            let issue = format!("issue a development license, and put its key into `{}`", place.file.display());
            tell(scene, report, std::iter::once(issue).chain(steps(scene)).collect());
            return Ok(());
        }
    };
    keyring::refuse_shared(scene.ctx, scene.config, &[(&scene.environment.name, &key)])?;
    let history = || Ok(Cow::Owned(journal::look(scene.ctx, scene.config, &scene.environment.name)?));
    let judgement = gate::decide(scene.ctx, scene.config, scene.environment, &key, &authority, &history, &Force::No)?;
    scene.narrator.gate(scene.config, scene.environment, &judgement);
    let steps = match judgement.verdict {
        Verdict::Go => steps(scene),
        Verdict::Refused | Verdict::Unknown => vec!["stop here and do nothing".to_owned()],
    };
    report.judgement = Some(judgement);
    tell(scene, report, steps);
    Ok(())
}

fn tell(scene: &Scene<'_>, report: &mut DeployReport, steps: Vec<String>) {
    scene.narrator.plan(&steps);
    report.plan = Some(steps);
}

fn steps(scene: &Scene<'_>) -> Vec<String> {
    let environment = scene.environment;
    let keyring = Keyring::read(scene.ctx, scene.config);
    let shown = |command: &[String]| shown(command, &keyring);
    let mut steps = Vec::new();
    if let Some(command) = &environment.deploy {
        let (shown, secs) = (shown(command), environment.deploy_timeout.as_secs());
        let variable = &environment.key_variable;
        steps.push(format!("run `{shown}` for at most {secs} s, with the key in `{variable}`"));
    }
    if let Some(probe) = &environment.health {
        steps.push(format!("ask {} until it is healthy, for at most {} s", probe.url, probe.within.as_secs()));
        if let Some(rollback) = &environment.rollback {
            steps.push(format!("run `{}` if it stays unhealthy", shown(rollback)));
        }
    }
    steps
}
