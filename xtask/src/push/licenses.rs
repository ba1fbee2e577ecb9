//! The licenses of the environments that a push deploys to: asked beside the scan, and waited for no longer than the
//! connection to the remote stays open.
//!
//! What is not agreed to on this machine is not done: no authority is asked, no variable and no file is read, and no
//! helper program is run, that only the pushed file names.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use license_core::{Outcome, Verdict, trail::Folded};

use super::file::{PushedFile, Says};
use crate::{
    authority::Reply,
    config::{
        self, AuthoritySettings, Config, ConfigError, EnvName, Environment, OnPush, RemoteSettings, TrailSettings,
        UnreachablePolicy,
    },
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
    let wished = vars.text(DEADLINE_VARIABLE).and_then(|text| config::age(text).ok());
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

/// Two environments with one key, and a test token in production, are mistakes of a file that are found only once the
/// keys are read: such a file is broken, as for `check`. Read is what was agreed to, and only for a push that deploys.
pub(crate) fn refuse_shared(ctx: &Context, files: &mut [PushedFile], agreed: &Agreed) {
    for file in files {
        let Says::Good(config) = &file.says else { continue };
        if !config.environments.values().any(|environment| is_mapped(environment, &file.refs)) {
            continue;
        }
        let is_agreed = |source: &Source| agreed.refuses(Wanted::Source(source), &config.root).is_none();
        let may_be_read = |environment: &&Environment| {
            is_agreed(&environment.key) && token(config, environment).is_none_or(is_agreed)
        };
        let mut keys = Vec::new();
        for environment in config.environments.values().filter(may_be_read) {
            keys.extend(store::read_key(&environment.key, &ctx.vars).ok().map(|key| (&environment.name, key)));
        }
        let keys: Vec<_> = keys.iter().map(|(name, key)| (*name, key)).collect();
        let problems = config::problems_of_keys(config, &keys, &ctx.vars);
        if !problems.is_empty() {
            file.says = Says::Broken(Box::new(ConfigError { path: config.shown_path(), problems, left_out: 0 }));
        }
    }
}

/// Begins to ask for the license of every environment that one of the refs deploys to.
pub(crate) fn ask(ctx: &Arc<Context>, files: Vec<PushedFile>, agreed: &Agreed) -> Asking {
    let deadline = deadline(&ctx.vars);
    let (send, results) = mpsc::channel();
    let mut asking = Asking { answers: Vec::new(), results, open: 0, until: Instant::now() + deadline };
    let mut questions: BTreeMap<String, Vec<Job>> = BTreeMap::new();
    for file in files {
        let Says::Good(mut config) = file.says else { continue };
        let mapped: Vec<EnvName> =
            config.environments.values().filter(|it| is_mapped(it, &file.refs)).map(|it| it.name.clone()).collect();
        restrain(&mut config, agreed, deadline);
        let config: Arc<Config> = Arc::from(config);
        for environment in mapped {
            let Some(asked) = config.environments.get(&environment) else { continue };
            let outcome = not_to_ask(ctx, &config, asked, agreed).unwrap_or_else(|| {
                let question = question(&config, asked);
                if questions.len() >= ASKED_MAX && !questions.contains_key(&question) {
                    return Checked::NotKnown(format!("the push deploys to more than {ASKED_MAX} environments"));
                }
                let job = (asking.answers.len(), Arc::clone(&config), environment.clone());
                questions.entry(question).or_default().push(job);
                asking.open += 1;
                Checked::NotKnown(format!("there was no answer within {} s", deadline.as_secs()))
            });
            let (config, shown) = (Arc::clone(&config), file.shown.clone());
            asking.answers.push(Answer { config, shown, environment, outcome });
        }
    }
    for jobs in questions.into_values() {
        let (ctx, send) = (Arc::clone(ctx), send.clone());
        // Not a scoped thread: a call that does not end must not keep the push.
        thread::spawn(move || answer(&ctx, jobs, &send));
    }
    asking
}

/// Who waits for an answer, by its place, and what it is judged by.
type Job = (usize, Arc<Config>, EnvName);

/// What the authority is asked about a license: two files that ask the same get one answer.
fn question(config: &Config, environment: &Environment) -> String {
    let whom = match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { state } => state.display().to_string(),
        AuthoritySettings::Remote(RemoteSettings {
            url,
            token,
            dialect,
            ca_file,
            timeout,
            token_place: _,
            public_keys: _,
            rotation_visible: _,
            idempotency: _,
        }) => format!("{:?}", (url, token, dialect, ca_file, timeout)),
    };
    format!("{:?}", (&environment.name, whom, &environment.key, &environment.demand.domain))
}

/// Asks once, and judges the answer by each of the files.
fn answer(ctx: &Context, jobs: Vec<Job>, send: &Sender<(usize, Checked)>) {
    let answered = OnceCell::new();
    let mut unanswered: Option<String> = None;
    for (at, config, environment) in jobs {
        let outcome = match &unanswered {
            Some(why) => Checked::NotKnown(why.clone()),
            None => judge(ctx, &config, &environment, &answered),
        };
        if let (Checked::NotKnown(why), None) = (&outcome, answered.get()) {
            unanswered = Some(why.clone());
        }
        send.send((at, outcome)).ok();
    }
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
    let token = token(config, environment);
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

/// Where the token is with which an environment's authority is asked.
fn token<'c>(config: &'c Config, environment: &Environment) -> Option<&'c Source> {
    match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(settings) => settings.token.as_ref(),
    }
}

/// Judges one license, by the answer that there is already, or else by that of the authority.
fn judge(ctx: &Context, config: &Config, environment: &EnvName, answered: &OnceCell<Reply>) -> Checked {
    let Some(environment) = config.environments.get(environment) else {
        return Checked::NotKnown("it is not in the file".to_owned());
    };
    match judged(ctx, config, environment, answered) {
        Ok(judgement) => match judgement.verdict {
            Verdict::Go => Checked::Good(warnings(&judgement)),
            Verdict::Refused => Checked::Refused(Box::new(judgement)),
            Verdict::Unknown => Checked::NotKnown(unknown(&judgement)),
        },
        Err(failure) => Checked::NotKnown(failure.to_string()),
    }
}

fn judged(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    answered: &OnceCell<Reply>,
) -> Result<Judgement, Failure> {
    let key = connect::key(ctx, config, environment)?;
    let authority = connect::authority(ctx, config, environment, 1, None)?;
    // A trail in git is on a remote, and a push asks no remote but its own.
    let history = || match &config.trail {
        TrailSettings::File => Ok(Cow::Owned(journal::look(ctx, config, &environment.name)?)),
        TrailSettings::Git { .. } => Ok(Cow::Owned(Folded::default())),
    };
    let ask = || match answered.get() {
        Some(reply) => Ok(reply.clone()),
        None => {
            authority.validate(&key, &environment.demand.domain).map(|reply| answered.get_or_init(|| reply).clone())
        }
    };
    gate::decide_on(ctx, config, environment, &key, &ask, &history, &Force::No)
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
