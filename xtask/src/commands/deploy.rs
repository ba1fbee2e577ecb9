//! `deploy`: prove the license, run the deploy command, prove what runs.

use std::{collections::BTreeMap, ffi::OsString, io::Write, path::Path, rc::Rc, time::Instant};

use jiff::SignedDuration;
use license_core::{
    Fingerprint, KeyClass, LicenseKey, Verdict,
    health::Expected,
    license::ActivationLimit,
    registry::Terms,
    trail::{Actor, Ended, Event, HealthRecord, Record},
};

use crate::{
    authority::{Authority, embedded::Embedded},
    child_env,
    cli::DeployArgs,
    commit,
    config::{self, AuthoritySettings, Config, ConfigError, EnvName, Environment},
    connect,
    context::{self, Context, Platform},
    environment_lock::{self, Holder},
    exit::Exit,
    failure::{self, Failure},
    gate::{self, Force, Judgement},
    health::{self, Probe, Seen},
    log::Position,
    mask::Masks,
    narrator::Narrator,
    process::{self, Job},
    report::{CommandEnd, DeployReport, HealthEnd, github},
    signals::{Signals, Stop},
    store::{self, Source},
    trail::file::FileTrail,
};

/// Deploys, or says why not. The report holds whatever was done, also when something failed on the way.
pub(crate) fn run(ctx: &Context, config: &Config, args: &DeployArgs, narrator: &Narrator<'_>) -> DeployReport {
    let mut report = DeployReport::default();
    if let Err(failure) = story(ctx, config, args, narrator, &mut report) {
        report.failure = Some(failure);
    }
    report
}

fn story(
    ctx: &Context,
    config: &Config,
    args: &DeployArgs,
    narrator: &Narrator<'_>,
    report: &mut DeployReport,
) -> Result<(), Failure> {
    let environment = match &args.environment {
        Some(name) => config.environment(name)?,
        None => config.default_environment()?,
    };
    report.environment = Some(environment.name.to_string());
    let Some(command) = &environment.deploy else {
        return Err(Failure::NothingToDeploy { name: environment.name.clone() });
    };
    if args.plan {
        return plan(ctx, config, environment, narrator, report);
    }
    let signals = Signals::watch().map_err(|source| Failure::System { what: "signals cannot be watched", source })?;
    let _lock = environment_lock::acquire(&config.root, &environment.name, &holder(ctx))?;
    let mut journal = Journal::open(ctx, config, environment)?;

    let judged = decide(ctx, config, environment, &signals, force(args), &mut journal, narrator);
    report.trail = journal.written();
    let Approved { judgement, key } = judged?;
    narrator.gate(config, environment, &judgement);
    let go = judgement.verdict == Verdict::Go;
    let judgement = report.judgement.insert(judgement);
    if !go {
        return Ok(());
    }

    let hand_over = HandOver::prepare(ctx, config, environment, &key, judgement)?;
    report.release = Some(hand_over.release.clone());
    journal.append(Event::DeployStarted { release: hand_over.release.clone(), key_fingerprint: key.fingerprint() })?;
    let end = hand_over.run(command, &signals, narrator)?;
    let ended = Event::DeployEnded { release: hand_over.release.clone(), ended: end.ended.clone() };
    narrator.command("deploy", &end);
    let deployed = end.ended == Ended::Exited { code: 0 };
    report.deploy = Some(end);
    let recorded = journal.append(ended);
    report.trail = journal.written();

    // The application runs by now: it is looked at even if the trail could not be written.
    if deployed && let Some(probe) = &environment.health {
        prove_health(&hand_over, probe, &signals, &mut journal, narrator, report)?;
    }
    recorded
}

/// The exit code of a deploy.
pub(crate) fn exit(report: &DeployReport) -> Exit {
    let failure = report.failure.as_ref().map(Failure::exit);
    let Some(judged) = &report.judgement else { return failure.unwrap_or(Exit::Done) };
    match judged.verdict {
        Verdict::Refused => return failure.unwrap_or(Exit::Refused),
        Verdict::Unknown => return failure.unwrap_or(Exit::Unknown),
        Verdict::Go => {}
    }
    let deploy = report.deploy.as_ref().map(|end| exit_of_command(&end.ended));
    let health = report.health.as_ref().map(|end| exit_of_health(&end.seen));
    // What happened to the deploy says more than a trail that could not be written afterwards.
    [deploy, health, failure].into_iter().flatten().find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

fn exit_of_command(ended: &Ended) -> Exit {
    match ended {
        Ended::Exited { code: 0 } => Exit::Done,
        Ended::Interrupted { signal } if *signal == Stop::Terminate.number() => Exit::Terminated,
        Ended::Interrupted { .. } => Exit::Interrupted,
        Ended::Exited { .. } | Ended::Killed { .. } | Ended::TimedOut { .. } | Ended::NotStarted { .. } => {
            Exit::DeployFailed
        }
    }
}

fn exit_of_health(seen: &Seen) -> Exit {
    match seen {
        Seen::Proved | Seen::NotProved => Exit::Done,
        Seen::Unhealthy { .. } | Seen::Unreachable { .. } => Exit::Unhealthy,
        Seen::Stopped(stop) => failure::stop_exit(*stop),
    }
}

/// `--plan`: the gate, and what a deploy would do. No lock, no entry in the trail, no key issued.
fn plan(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    narrator: &Narrator<'_>,
    report: &mut DeployReport,
) -> Result<(), Failure> {
    let authority = connect::authority(ctx, config, environment, 1, None)?;
    let key = match connect::key(ctx, config, environment) {
        Ok(key) => key,
        Err(missing) => {
            let Some(place) = issuable(ctx, environment, &authority)? else { return Err(missing) };
            let issue = format!("issue a development license, and put its key into `{}`", place.file.display());
            let steps: Vec<_> = std::iter::once(issue).chain(steps(environment)).collect();
            narrator.plan(&steps);
            report.plan = Some(steps);
            return Ok(());
        }
    };
    refuse_shared_keys(ctx, config, environment, &key)?;
    let trail = FileTrail::new(&config.trail_directory(), environment.name.as_str());
    let history = || Ok(trail.read()?.entries.into_iter().map(|entry| entry.body).collect());
    let judgement = gate::decide(ctx, config, environment, &key, &authority, &history, &Force::No)?;
    narrator.gate(config, environment, &judgement);
    let steps = match judgement.verdict {
        Verdict::Go => steps(environment),
        Verdict::Refused | Verdict::Unknown => vec!["nothing: the deploy would stop here".to_owned()],
    };
    narrator.plan(&steps);
    report.plan = Some(steps);
    report.judgement = Some(judgement);
    Ok(())
}

fn steps(environment: &Environment) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(command) = &environment.deploy {
        let (shown, secs) = (shown(command), environment.deploy_timeout.as_secs());
        let variable = &environment.key_variable;
        steps.push(format!("run `{shown}` for at most {secs} s, with the key in `{variable}`"));
    }
    if let Some(probe) = &environment.health {
        steps.push(format!("ask {} until it is healthy, for at most {} s", probe.url, probe.within.as_secs()));
        if let Some(rollback) = &environment.rollback {
            steps.push(format!("run `{}` if it stays unhealthy", self::shown(rollback)));
        }
    }
    steps
}

/// A decision that was recorded, and the key that it is about.
struct Approved {
    judgement: Judgement,
    key: LicenseKey,
}

/// Judges, and records the decision: also a no, and also that there could be none.
fn decide(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    signals: &Signals,
    force: Force,
    journal: &mut Journal<'_>,
    narrator: &Narrator<'_>,
) -> Result<Approved, Failure> {
    let mut seen = None;
    match judge(ctx, config, environment, signals, force, journal, narrator, &mut seen) {
        Ok(approved) => {
            journal.append(Event::Gate(approved.judgement.record(environment)))?;
            Ok(approved)
        }
        Err(failure) => {
            let message = license_core::finding::clean(&failure.to_string());
            journal.append(Event::GateFailed { code: failure.code().to_owned(), message, key_fingerprint: seen })?;
            Err(failure)
        }
    }
}

/// Reads the key, or has one issued where that is allowed, and asks. `seen` is set once a key was read.
fn judge(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    signals: &Signals,
    force: Force,
    journal: &mut Journal<'_>,
    narrator: &Narrator<'_>,
    seen: &mut Option<Fingerprint>,
) -> Result<Approved, Failure> {
    let authority = connect::authority(ctx, config, environment, 1, Some(signals))?;
    let key = obtain_key(ctx, config, environment, &authority, journal, narrator)?;
    *seen = Some(key.fingerprint());
    refuse_shared_keys(ctx, config, environment, &key)?;
    narrator.mask(&secrets(ctx, config, environment, &key));
    let asking = narrator.progress(&format!("asking the authority `{}`", environment.authority));
    let records = Rc::clone(&journal.records);
    let history = || Ok(Rc::clone(&records));
    let judged = gate::decide(ctx, config, environment, &key, &authority, &history, &force);
    asking.done();
    Ok(Approved { judgement: judged?, key })
}

fn force(args: &DeployArgs) -> Force {
    match &args.reason {
        Some(reason) if args.force => Force::Because(reason.clone()),
        Some(_) | None => Force::No,
    }
}

/// The key; for an embedded authority that has issued none, and a dotenv file that has none, a new one.
fn obtain_key(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    authority: &Authority,
    journal: &mut Journal<'_>,
    narrator: &Narrator<'_>,
) -> Result<LicenseKey, Failure> {
    let missing = match connect::key(ctx, config, environment) {
        Ok(key) => return Ok(key),
        Err(missing) => missing,
    };
    let Some(place) = issuable(ctx, environment, authority)? else { return Err(missing) };
    let issued = place.embedded.issue(development_terms(environment))?;
    journal.append(Event::Issued {
        license_id: issued.license_id.to_string(),
        key_fingerprint: issued.key.key().fingerprint(),
    })?;
    store::dotenv::set(place.file, place.name, issued.key.key().reveal())
        .map_err(|source| Failure::NotStored { environment: environment.name.clone(), source })?;
    narrator.note(&format!(
        "issued license `{}` for {}; its key is in `{}`, as `{}`",
        issued.license_id,
        environment.demand.domain,
        place.file.display(),
        place.name
    ));
    Ok(issued.key.key().clone())
}

/// Where a first development key may be issued from, and put.
struct Issuable<'a> {
    embedded: &'a Embedded,
    file: &'a Path,
    name: &'a str,
}

/// A key is issued without being asked for only by an embedded authority, and only when neither it nor the dotenv file has one.
fn issuable<'a>(
    ctx: &Context,
    environment: &'a Environment,
    authority: &'a Authority,
) -> Result<Option<Issuable<'a>>, Failure> {
    let (Authority::Embedded(embedded), Source::Dotenv { file, name }) = (authority, &environment.key) else {
        return Ok(None);
    };
    let is_for_development = matches!(environment.demand.key_class, None | Some(KeyClass::Dev));
    if !is_for_development || !store::is_absent(&environment.key, &ctx.vars) {
        return Ok(None);
    }
    let domain = environment.demand.domain.to_string();
    let known =
        embedded.look(|registry, _| registry.licenses().any(|license| license.terms.domains.contains(&domain)))?;
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
        expires_at: context::now().checked_add(DEVELOPMENT_LIFE).ok(),
    }
}

/// How long a development license lasts.
const DEVELOPMENT_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The same key in another environment is a mistake of the file, found only once the keys are read.
fn refuse_shared_keys(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: &LicenseKey,
) -> Result<(), Failure> {
    let others = other_keys(ctx, config, environment);
    let mut keys: Vec<(&EnvName, &LicenseKey)> = others.iter().map(|(name, key)| (*name, key)).collect();
    keys.push((&environment.name, key));
    let problems = config::problems_of_keys(config, &keys, &ctx.vars);
    if problems.is_empty() {
        return Ok(());
    }
    Err(ConfigError { path: config.shown_path(), problems, left_out: 0 }.into())
}

/// The keys of the other environments, as far as they can be read here.
fn other_keys<'a>(ctx: &Context, config: &'a Config, environment: &Environment) -> Vec<(&'a EnvName, LicenseKey)> {
    // A variable that another environment reads as well holds this environment's key here.
    let is_other = |other: &&Environment| other.name != environment.name && other.key != environment.key;
    let others = config.environments.values().filter(is_other);
    others.filter_map(|other| Some((&other.name, connect::key(ctx, config, other).ok()?))).collect()
}

/// Every secret that this machine could show by accident: this key first, then other keys and the API tokens.
fn secrets(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: &LicenseKey,
) -> Vec<zeroize::Zeroizing<String>> {
    let own = zeroize::Zeroizing::new(key.reveal().to_owned());
    let others = other_keys(ctx, config, environment);
    let others = others.iter().map(|(_, key)| zeroize::Zeroizing::new(key.reveal().to_owned()));
    let tokens = config.authorities.values().filter_map(|authority| match authority {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(settings) => store::read(settings.token.as_ref()?, &ctx.vars).ok(),
    });
    std::iter::once(own).chain(others).chain(tokens).collect()
}

/// Everything that the deploy command is given.
struct HandOver<'a> {
    directory: &'a Path,
    environment: &'a Environment,
    platform: Platform,
    variables: Vec<(OsString, OsString)>,
    masks: Masks,
    release: String,
    expected: Expected,
}

impl<'a> HandOver<'a> {
    fn prepare(
        ctx: &Context,
        config: &'a Config,
        environment: &'a Environment,
        key: &LicenseKey,
        judgement: &Judgement,
    ) -> Result<Self, Failure> {
        let release = release_id()?;
        let license = judgement.license.as_ref();
        let expected = Expected {
            plan: license.and_then(|license| license.plan.clone()),
            features: environment.demand.features.clone(),
            expires_at: license.and_then(|license| license.expires_at),
            key_fingerprint: key.fingerprint(),
            release: release.clone(),
        };
        let given = given(environment, key, judgement, &release);
        let variables = child_env::build(&ctx.vars, &child_env::secret_names(config), given);
        let secrets = secrets(ctx, config, environment, key);
        let masks = Masks::of(secrets.iter().map(|secret| secret.as_str()));
        Ok(Self { directory: &config.root, environment, platform: ctx.runs_on(), variables, masks, release, expected })
    }

    /// Runs one of the environment's commands. On GitHub Actions its output cannot give the runner commands.
    fn run(&self, words: &[String], signals: &Signals, narrator: &Narrator<'_>) -> Result<CommandEnd, Failure> {
        let job = Job {
            words,
            directory: self.directory,
            variables: self.variables.clone(),
            deadline: self.environment.deploy_timeout,
            masks: &self.masks,
        };
        let fence = match self.platform {
            Platform::GithubActions => Some(release_id()?),
            Platform::Other => None,
        };
        narrator.note(&format!("running `{}`", shown(words)));
        let began = Instant::now();
        let ended = {
            let mut err = narrator.console.err();
            // Telling people is best effort; the deploy goes on if nobody listens.
            let _ = fence.as_ref().map(|word| err.write_all(github::stop_commands(word).as_bytes()));
            let ended = process::run(&job, signals, &mut **err);
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

/// Polls the application, records what was seen, and rolls back when it stays unhealthy.
fn prove_health(
    hand_over: &HandOver<'_>,
    probe: &Probe,
    signals: &Signals,
    journal: &mut Journal<'_>,
    narrator: &Narrator<'_>,
    report: &mut DeployReport,
) -> Result<(), Failure> {
    let waiting = narrator.progress(&format!("waiting for {} to be healthy", probe.url));
    let seen = health::poll(probe, &hand_over.expected, signals, &mut |why| waiting.tick(why));
    waiting.done();
    let end = HealthEnd { url: probe.url.clone(), seen };
    narrator.health(&end);
    let event = health_event(&hand_over.release, &end.seen);
    let unhealthy = exit_of_health(&end.seen) == Exit::Unhealthy;
    report.health = Some(end);
    let recorded = journal.append(event);
    report.trail = journal.written();
    if unhealthy && let Some(command) = &hand_over.environment.rollback {
        let end = hand_over.run(command, signals, narrator)?;
        narrator.command("rollback", &end);
        let event = Event::RollbackEnded { release: hand_over.release.clone(), ended: end.ended.clone() };
        report.rollback = Some(end);
        journal.append(event)?;
        report.trail = journal.written();
    }
    recorded
}

fn health_event(release: &str, seen: &Seen) -> Event {
    let (health, differences) = match seen {
        Seen::Proved => (HealthRecord::Proved, Vec::new()),
        Seen::NotProved => (HealthRecord::NotProved, Vec::new()),
        Seen::Unhealthy { differences } => (HealthRecord::Unhealthy, differences.clone()),
        Seen::Unreachable { .. } => (HealthRecord::Unreachable, Vec::new()),
        Seen::Stopped(Stop::Interrupt | Stop::Terminate) => (HealthRecord::NotAwaited, Vec::new()),
    };
    Event::Health { release: release.to_owned(), health, differences }
}

/// A word that nobody can guess, and that no other deploy has.
fn release_id() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::System { what: "there is no randomness", source: std::io::Error::other(error) })?;
    Ok(format!("rel_{:016x}", u64::from_be_bytes(bytes)))
}

/// A command as it is shown: words with spaces are quoted.
fn shown(words: &[String]) -> String {
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

fn holder(ctx: &Context) -> Holder {
    let actor = ctx.actor();
    Holder {
        pid: std::process::id(),
        user: actor.user,
        host: actor.host,
        command: "deploy".to_owned(),
        since: context::now(),
    }
}

/// The environment's trail, and where it ended when it was last looked at.
struct Journal<'a> {
    trail: FileTrail,
    environment: &'a Environment,
    actor: Actor,
    records: Rc<[Record]>,
    began: Position,
    position: Position,
}

impl<'a> Journal<'a> {
    /// Reads the whole trail: a deploy never builds on one that cannot be trusted.
    fn open(ctx: &Context, config: &Config, environment: &'a Environment) -> Result<Self, Failure> {
        let trail = FileTrail::new(&config.trail_directory(), environment.name.as_str());
        let replay = trail.read()?;
        let mut actor = ctx.actor();
        actor.commit = actor.commit.or_else(|| commit::checked_out(&config.root, &ctx.vars));
        let records = replay.entries.into_iter().map(|entry| entry.body).collect();
        Ok(Self { trail, environment, actor, records, began: replay.position, position: replay.position })
    }

    fn append(&mut self, event: Event) -> Result<(), Failure> {
        let environment = self.environment.name.to_string();
        let record = Record { at: context::now(), actor: self.actor.clone(), environment, event };
        self.position = self.trail.append(self.position, &record)?;
        Ok(())
    }

    /// Where the trail ends, if this run wrote to it.
    fn written(&self) -> Option<license_core::chain::Head> {
        (self.position != self.began).then_some(self.position.head)
    }
}
