//! The licenses of the environments that a push deploys to: asked beside the scan, and waited for no longer than the
//! connection to the remote stays open.
//!
//! What is not agreed to on this machine is not done: no authority is asked, no variable and no file is read, and no
//! helper program is run, that only the pushed file names.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use license_core::{Outcome, Verdict, trail::Folded};

use super::file::{PushedFile, Says};
use crate::{
    config::{AuthoritySettings, Config, EnvName, Environment, OnPush, TrailSettings, UnreachablePolicy},
    connect,
    context::Context,
    failure::Failure,
    gate::{self, Basis, Force, Judgement},
    hook::trust::{Agreed, Role, Wanted},
    journal,
    store::{self, Source},
    vars::Vars,
};

/// How long the authorities have from the moment at which the first one is asked, in seconds. The connection to the
/// remote is open all the while.
const DEADLINE_SECS: u64 = 2;
/// The longest deadline that may be asked for, in seconds: servers hang up after minutes.
const DEADLINE_SECS_MAX: u64 = 60;
/// The variable that sets another one, as in `5s`.
pub(crate) const DEADLINE_VARIABLE: &str = "LICENSE_HOOK_DEADLINE";
/// The most licenses that one push asks for.
const ASKED_MAX: usize = 32;

/// The deadline in force.
pub(crate) fn deadline(vars: &Vars) -> Duration {
    let wished = vars.text(DEADLINE_VARIABLE).and_then(|text| crate::config::age(text).ok());
    wished.map_or(Duration::from_secs(DEADLINE_SECS), |wished| wished.min(Duration::from_secs(DEADLINE_SECS_MAX)))
}

/// A mapped environment, and what came of its license.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The file that maps it.
    pub(crate) config: Arc<Config>,
    /// The file as messages call it.
    pub(crate) shown: String,
    /// The environment's name.
    pub(crate) environment: EnvName,
    /// What came of it.
    pub(crate) outcome: Checked,
}

impl Answer {
    /// The environment itself.
    pub(crate) fn environment(&self) -> Option<&Environment> {
        self.config.environments.get(&self.environment)
    }
}

/// What came of a license.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The gate says yes; what it warns about.
    Good(Vec<String>),
    /// The gate says no.
    Refused(Box<Judgement>),
    /// It could not be found out, for this reason.
    NotKnown(String),
    /// Its key is not on this machine, for this reason: others have it.
    NotHere(String),
    /// What it needs was not agreed to on this machine.
    NotAgreed(String),
}

/// Licenses that are being asked for.
#[derive(Debug)]
pub(crate) struct Asking {
    answers: Vec<Answer>,
    results: Receiver<(usize, Checked)>,
    /// How many results are to come.
    open: usize,
    until: Instant,
}

/// Begins to ask for the license of every environment that one of the refs deploys to.
pub(crate) fn ask(ctx: &Arc<Context>, files: Vec<PushedFile>, agreed: &Agreed) -> Asking {
    let deadline = deadline(&ctx.vars);
    let (send, results) = mpsc::channel();
    let mut asking = Asking { answers: Vec::new(), results, open: 0, until: Instant::now() + deadline };
    for file in files {
        let Says::Good(mut config) = file.says else { continue };
        let mapped: Vec<EnvName> =
            config.environments.values().filter(|it| is_mapped(it, &file.refs)).map(|it| it.name.clone()).collect();
        restrain(&mut config, agreed, deadline);
        let config: Arc<Config> = Arc::from(config);
        for environment in mapped {
            let outcome =
                match config.environments.get(&environment).and_then(|it| not_to_ask(ctx, &config, it, agreed)) {
                    Some(outcome) => outcome,
                    None if asking.open >= ASKED_MAX => {
                        Checked::NotKnown(format!("the push deploys to more than {ASKED_MAX} environments"))
                    }
                    None => {
                        let job = (Arc::clone(ctx), Arc::clone(&config), environment.clone());
                        let (send, at) = (send.clone(), asking.answers.len());
                        // Not a scoped thread: a call that does not end must not keep the push.
                        thread::spawn(move || {
                            let (ctx, config, environment) = job;
                            send.send((at, judge(&ctx, &config, &environment))).ok();
                        });
                        asking.open += 1;
                        Checked::NotKnown(format!("there was no answer within {} s", deadline.as_secs()))
                    }
                };
            asking.answers.push(Answer {
                config: Arc::clone(&config),
                shown: file.shown.clone(),
                environment,
                outcome,
            });
        }
    }
    asking
}

impl Asking {
    /// Waits for what is still open, until the deadline.
    pub(crate) fn wait(mut self) -> Vec<Answer> {
        while self.open > 0 {
            match self.results.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
                Ok((at, outcome)) => {
                    self.open -= 1;
                    if let Some(answer) = self.answers.get_mut(at) {
                        answer.outcome = outcome;
                    }
                }
                // What did not come in time stays not known; so does what a thread that broke had to say.
                Err(_) => break,
            }
        }
        self.answers
    }
}

fn is_mapped(environment: &Environment, refs: &[Vec<u8>]) -> bool {
    environment.branches.iter().any(|glob| refs.iter().any(|name| glob.matches(name)))
}

/// Takes out of a pushed file what is optional and was not agreed to, and what would take too long.
fn restrain(config: &mut Config, agreed: &Agreed, deadline: Duration) {
    let root = config.root.clone();
    for authority in config.authorities.values_mut() {
        match authority {
            AuthoritySettings::Embedded { .. } => {}
            AuthoritySettings::Remote(settings) => settings.timeout = settings.timeout.min(deadline),
        }
    }
    for environment in config.environments.values_mut() {
        match &mut environment.unreachable {
            UnreachablePolicy::Block => {}
            UnreachablePolicy::Cached { offline_token, .. } => {
                *offline_token = offline_token.take().filter(|it| agreed.refuses(Wanted::Source(it), &root).is_none());
            }
        }
    }
}

/// Why a license is not asked for; none where it is.
fn not_to_ask(ctx: &Context, config: &Config, environment: &Environment, agreed: &Agreed) -> Option<Checked> {
    if let Source::Store { name } = &environment.key {
        let name = license_core::finding::clean(name);
        return Some(Checked::NotHere(format!("its key is in the store `{name}`, which no push asks")));
    }
    let authority = &config.authorities[&environment.authority];
    let token = match authority {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(settings) => settings.token.as_ref(),
    };
    let reading = [Wanted::Authority(authority), Wanted::Source(&environment.key)];
    let sending = [Wanted::Sending(Role::Key, &environment.key, authority)];
    let of_token = token.map(|token| [Wanted::Source(token), Wanted::Sending(Role::Token, token, authority)]);
    let mut wanted = reading.into_iter().chain(sending).chain(of_token.into_iter().flatten());
    let refused = wanted.find_map(|wanted| agreed.refuses(wanted, &config.root));
    if let Some(why) = refused {
        return Some(Checked::NotAgreed(why));
    }
    store::is_absent(&environment.key, &ctx.vars)
        .then(|| Checked::NotHere(format!("{} is not set on this machine", environment.key)))
}

/// Judges one license.
fn judge(ctx: &Context, config: &Config, environment: &EnvName) -> Checked {
    let Some(environment) = config.environments.get(environment) else {
        return Checked::NotKnown("it is not in the file".to_owned());
    };
    match judged(ctx, config, environment) {
        Ok(judgement) => match judgement.verdict {
            Verdict::Go => Checked::Good(warnings(&judgement)),
            Verdict::Refused => Checked::Refused(Box::new(judgement)),
            Verdict::Unknown => Checked::NotKnown(unknown(&judgement)),
        },
        Err(failure) => Checked::NotKnown(failure.to_string()),
    }
}

fn judged(ctx: &Context, config: &Config, environment: &Environment) -> Result<Judgement, Failure> {
    let key = connect::key(ctx, config, environment)?;
    let authority = connect::authority(ctx, config, environment, 1, None)?;
    // A trail in git is on a remote, and a push asks no remote but its own.
    let history = || match &config.trail {
        TrailSettings::File => Ok(Cow::Owned(journal::look(ctx, config, &environment.name)?)),
        TrailSettings::Git { .. } => Ok(Cow::Owned(Folded::default())),
    };
    gate::decide(ctx, config, environment, &key, &authority, &history, &Force::No)
}

fn warnings(judgement: &Judgement) -> Vec<String> {
    let worries = judgement.checks.iter().filter(|finding| finding.outcome == Outcome::Warn);
    let mut lines: Vec<String> =
        worries.map(|finding| format!("{}: {}", finding.check.code(), finding.message)).collect();
    if let Some(trouble) = judgement.basis.trouble() {
        lines.push(format!("{trouble}; an earlier answer counts"));
    }
    lines
}

fn unknown(judgement: &Judgement) -> String {
    match &judgement.basis {
        Basis::Nothing { trouble, .. } => trouble.to_string(),
        Basis::Answer | Basis::Class | Basis::Cached { .. } | Basis::OfflineToken { .. } => {
            let unknown = judgement.checks.iter().filter(|finding| finding.outcome == Outcome::Unknown);
            let told: Vec<String> = unknown.map(|it| format!("{}: {}", it.check.code(), it.message)).collect();
            told.join("; ")
        }
    }
}

/// What becomes of a push because of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing.
    Goes,
    /// The license is refused.
    Refused,
    /// It was to be known, and is not.
    Unknown,
}

/// A no stops every push; what is not known, those of an environment that wants to know. A key that is not here stops
/// none: not every machine has every key.
pub(crate) fn consequence(outcome: &Checked, on_push: OnPush) -> Consequence {
    match (outcome, on_push) {
        (Checked::Refused(_), OnPush::Warn | OnPush::Block) => Consequence::Refused,
        (Checked::NotKnown(_) | Checked::NotAgreed(_), OnPush::Block) => Consequence::Unknown,
        (Checked::NotKnown(_) | Checked::NotAgreed(_), OnPush::Warn)
        | (Checked::Good(_) | Checked::NotHere(_), OnPush::Warn | OnPush::Block) => Consequence::Goes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_no_and_what_must_be_known_stop_a_push() {
        let not_known = || Checked::NotKnown(String::new());
        for (outcome, on_push, expected) in [
            (Checked::Good(Vec::new()), OnPush::Block, Consequence::Goes),
            (Checked::NotHere(String::new()), OnPush::Block, Consequence::Goes),
            (not_known(), OnPush::Warn, Consequence::Goes),
            (not_known(), OnPush::Block, Consequence::Unknown),
            (Checked::NotAgreed(String::new()), OnPush::Warn, Consequence::Goes),
            (Checked::NotAgreed(String::new()), OnPush::Block, Consequence::Unknown),
        ] {
            assert_eq!(consequence(&outcome, on_push), expected, "{outcome:?}");
        }
    }

    #[test]
    fn the_deadline_is_two_seconds_unless_another_one_is_set() {
        for (set, expected) in [(None, 2), (Some("5s"), 5), (Some("1h"), 60), (Some("soon"), 2)] {
            let vars: Vars = set.map(|text| (DEADLINE_VARIABLE, text)).into_iter().collect();
            assert_eq!(deadline(&vars), Duration::from_secs(expected), "{set:?}");
        }
    }
}
