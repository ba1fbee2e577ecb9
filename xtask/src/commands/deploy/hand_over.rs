//! What the deploy command is given, and how it is run.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write},
    time::Instant,
};

use license_core::{LicenseKey, health::Expected, trail::Ended};

use super::Scene;
use crate::{
    child_env,
    config::Environment,
    context::Platform,
    failure::Failure,
    gate::Judgement,
    health::{self, Probe, Seen},
    keyring::Keyring,
    process::{self, Job},
    random,
    report::{CommandEnd, github},
};

/// Everything that the environment's commands are given.
pub(super) struct HandOver<'a> {
    scene: &'a Scene<'a>,
    variables: Vec<(OsString, OsString)>,
    keyring: &'a Keyring,
    /// The id of this deploy.
    pub(super) release: String,
    /// What the application should report afterwards.
    pub(super) expected: Expected,
}

impl<'a> HandOver<'a> {
    /// Puts together the variables, the masks and the expectation.
    pub(super) fn prepare(
        scene: &'a Scene<'a>,
        key: &LicenseKey,
        keyring: &'a Keyring,
        judgement: &Judgement,
    ) -> Result<Self, Failure> {
        let environment = scene.environment;
        let release = random::word::<8>("rel")?;
        let license = judgement.license.as_ref();
        let expected = Expected {
            plan: license.and_then(|license| license.plan.clone()),
            features: environment.demand.features.clone(),
            expires_at: license.and_then(|license| license.expires_at),
            key_fingerprint: Some(key.fingerprint()),
            release: Some(release.clone()),
        };
        let given = given(environment, key, judgement, &release);
        let variables = child_env::build(&scene.ctx.vars, &child_env::secret_names(scene.config), given);
        Ok(Self { scene, variables, keyring, release, expected })
    }

    /// A command as it is shown.
    pub(super) fn shown(&self, words: &[String]) -> String {
        shown(words, self.keyring)
    }

    /// Runs one of the environment's commands. On GitHub Actions its output cannot give the runner commands.
    pub(super) fn run(&self, words: &[String]) -> Result<CommandEnd, Failure> {
        let scene = self.scene;
        let job = Job {
            words,
            directory: &scene.config.root,
            variables: self.variables.clone(),
            deadline: scene.environment.deploy_timeout,
            masks: self.keyring.masks(),
        };
        let fence = match scene.ctx.runs_on() {
            Platform::GithubActions => Some(random::word::<8>("stop")?),
            Platform::Other => None,
        };
        let shown = shown(words, self.keyring);
        scene.narrator.note(&format!("running `{shown}`"));
        let began = Instant::now();
        let ended = {
            let mut err = scene.ctx.console.err();
            // Telling people is best effort; the deploy goes on if nobody listens.
            let _ = fence.as_ref().map(|word| err.write_all(github::stop_commands(word).as_bytes()));
            let mut lines = WholeLines { screen: &mut *err, last: b'\n' };
            let ended = process::run(&job, scene.signals, &mut lines);
            lines.end();
            let _ = fence.as_ref().map(|word| err.write_all(github::resume_commands(word).as_bytes()));
            ended
        };
        Ok(CommandEnd { shown, ended: self.hidden(ended), seconds: began.elapsed().as_secs_f64() })
    }

    /// Polls the application until it is healthy or the time is over.
    pub(super) fn poll(&self, probe: &Probe, tried: &mut dyn FnMut(&str)) -> Seen {
        health::poll(probe, &self.expected, &self.keyring.quoting(), &self.scene.ctx.vars, self.scene.signals, tried)
    }

    /// The words of a command that could not be started stand in the reason.
    fn hidden(&self, ended: Ended) -> Ended {
        match ended {
            Ended::NotStarted { why } => Ended::NotStarted { why: self.keyring.hide(&why) },
            Ended::Exited { .. } | Ended::Killed { .. } | Ended::TimedOut { .. } | Ended::Interrupted { .. } => ended,
        }
    }
}

/// Passes a command's output on, and ends its last line: what is said next begins a line of its own. On GitHub
/// Actions everything depends on that, for a workflow command counts only at the beginning of a line.
struct WholeLines<'a> {
    screen: &'a mut (dyn Write + Send),
    last: u8,
}

impl WholeLines<'_> {
    fn end(self) {
        if self.last != b'\n' {
            // As above: nobody may be listening.
            let _ = self.screen.write_all(b"\n");
        }
    }
}

impl Write for WholeLines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.screen.write(bytes)?;
        self.last = bytes[..written].last().copied().unwrap_or(self.last);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.screen.flush()
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

/// A command as it is shown: without secrets, and with quotes round words that have spaces.
pub(super) fn shown(words: &[String], keyring: &Keyring) -> String {
    let quote = |word: &String| {
        let word = keyring.hide(word);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    license_core::finding::clean(&words.iter().map(quote).collect::<Vec<_>>().join(" "))
}
