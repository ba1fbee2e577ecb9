//! `deploy`: prove the license, run the deploy command, prove what runs.

use std::{borrow::Cow, thread};

use license_core::{
    Fingerprint, LicenseKey, Outcome, Verdict,
    gate::judge_class,
    rotation::{self, Adoption, GraceLeft, Shipping},
    trail::{Ended, Event, HealthRecord},
};

use crate::{
    cli::DeployArgs,
    commands,
    config::{Config, Environment},
    connect,
    context::{self, Context},
    exit::Exit,
    failpoint,
    failure::{self, Failure},
    gate::{self, Force, Judgement},
    health::{Probe, Seen},
    journal::Journal,
    keyring::{self, Keyring},
    narrator::Narrator,
    report::{CommandEnd, DeployReport, HealthEnd},
    signals::Signals,
};

mod hand_over;
mod keys;
mod plan;

use hand_over::HandOver;

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
    let environment = config.named_or_default(args.environment.as_deref())?;
    report.environment = Some(environment.name.to_string());
    let Some(command) = &environment.deploy else {
        return Err(Failure::NothingToDeploy { name: environment.name.clone() });
    };
    if args.plan {
        return plan::run(&Scene { ctx, config, environment, narrator, signals: &Signals::none() }, report);
    }
    let signals = commands::signals(ctx)?;
    let scene = Scene { ctx, config, environment, narrator, signals: &signals };
    let mut journal = Journal::open(ctx, config, environment, narrator)?;
    let claimed = journal.claim(claim_secs(environment));
    journal.take_notes().iter().for_each(|note| narrator.note(note));
    claimed?;
    let done = deploy(&scene, command, &force(args), &mut journal, report);
    // The environment is given back however it went; what went wrong first is what is told.
    let released = journal.release();
    journal.take_notes().iter().for_each(|note| narrator.note(note));
    report.trail = journal.written();
    done.and(released)
}

/// For how long a deploy claims its environment: every command at its longest, health, and a margin.
fn claim_secs(environment: &Environment) -> u64 {
    let commands = [&environment.deploy, &environment.rollback].into_iter().flatten().count() as u64;
    let health = environment.health.as_ref().map_or(0, |probe| probe.within.as_secs());
    let commands = environment.deploy_timeout.as_secs().saturating_mul(commands);
    commands.saturating_add(health).saturating_add(CLAIM_MARGIN_SECS)
}

/// What a deploy may take beside its commands and health: asking the authority, more than once, and the trail.
const CLAIM_MARGIN_SECS: u64 = 5 * 60;

/// Judges, deploys and proves, under the claim.
fn deploy(
    scene: &Scene<'_>,
    command: &[String],
    force: &Force,
    journal: &mut Journal,
    report: &mut DeployReport,
) -> Result<(), Failure> {
    let Scene { ctx, config, environment, narrator, .. } = *scene;
    failpoint::reached(ctx, "before-gate");
    scene.unless_stopped()?;
    let Decided { judgement, key, keyring } = decide(scene, force, journal)?;
    narrator.gate(config, environment, &judgement);
    let judgement = report.judgement.insert(judgement);
    if judgement.verdict != Verdict::Go {
        return Ok(());
    }
    mind_the_rotation(scene, journal, &key)?;

    let hand_over = HandOver::prepare(scene, &key, &keyring, judgement)?;
    failpoint::reached(ctx, "before-deploy");
    scene.unless_stopped()?;
    let release = report.release.insert(hand_over.release.clone()).clone();
    journal.append_decided(Event::DeployStarted { release: release.clone(), key_fingerprint: key.fingerprint() })?;
    if let Err(stopped) = scene.unless_stopped() {
        let why = "a signal came before it was started".to_owned();
        journal.record(Event::DeployEnded { release, ended: Ended::NotStarted { why } })?;
        return Err(stopped);
    }
    let end = hand_over.run(command)?;
    narrator.command("deploy", &end, config, environment);
    let recorded = journal.record(Event::DeployEnded { release, ended: end.ended.clone() });
    let deployed = end.ended == Ended::Exited { code: 0 };
    report.deploy = Some(end);

    // The application runs by now: it is looked at even if the trail could not be written.
    if deployed && let Some(probe) = &environment.health {
        prove_health(scene, &hand_over, probe, journal, report)?;
    }
    recorded?;
    record_adoption(journal, &key, report)
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
        Ended::Interrupted { signal } => failure::signal_exit(*signal),
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

/// Which key ships while a rotation is open, and until when it works. One that dies within the hour is not let go.
fn mind_the_rotation(scene: &Scene<'_>, journal: &Journal, key: &LicenseKey) -> Result<(), Failure> {
    let environment = &scene.environment.name;
    match rotation::shipping(journal.state(), &key.fingerprint(), context::now()) {
        Shipping::Unconcerned => Ok(()),
        Shipping::NewKey => {
            scene.narrator.note("a rotation is open, and this deploy ships its new key");
            Ok(())
        }
        Shipping::OldKey { until, left: GraceLeft::Enough | GraceLeft::UnderHours(_) } => {
            let is_done = journal.state().committed().any(|(keys, _)| keys.open.terms.old == key.fingerprint());
            let next = if is_done {
                // Nothing is left for a resumed rotation to do.
                "every store that it writes has the new one: put that, too, where this deploy reads its key".to_owned()
            } else {
                format!("`cargo xtask rotate {environment} --resume` goes on with the rotation")
            };
            scene.narrator.note(&format!(
                "a rotation is open, and this deploy ships the OLD key, which works until {until:.0}; {next}"
            ));
            Ok(())
        }
        Shipping::OldKey { until, left: GraceLeft::TooLittle } => {
            Err(Failure::OldKeyDies { environment: environment.clone(), until })
        }
    }
}

/// What a deploy that ended well says about an open rotation: the new key is in use, or was shipped.
fn record_adoption(journal: &mut Journal, key: &LicenseKey, report: &DeployReport) -> Result<(), Failure> {
    let is_shipped = report.deploy.as_ref().is_some_and(CommandEnd::is_ok);
    let proof = match report.health.as_ref().map(|end| &end.seen) {
        Some(Seen::Proved) => Adoption::Proved,
        None | Some(Seen::NotProved) if is_shipped => Adoption::Shipped,
        None | Some(Seen::NotProved | Seen::Unhealthy { .. } | Seen::Unreachable { .. } | Seen::Stopped(_)) => {
            return Ok(());
        }
    };
    match rotation::adopted(journal.state(), &key.fingerprint(), proof) {
        Some(event) => journal.record(Event::Rotation(event)),
        None => Ok(()),
    }
}

/// What every step of a deploy works with.
struct Scene<'a> {
    ctx: &'a Context,
    config: &'a Config,
    environment: &'a Environment,
    narrator: &'a Narrator<'a>,
    signals: &'a Signals,
}

impl Scene<'_> {
    fn key(&self) -> Result<LicenseKey, Failure> {
        connect::key(self.ctx, self.config, self.environment)
    }

    /// Nothing begins after a signal.
    fn unless_stopped(&self) -> Result<(), Failure> {
        match self.signals.stop() {
            Some(stop) => Err(Failure::NotDeployed { stop }),
            None => Ok(()),
        }
    }
}

fn force(args: &DeployArgs) -> Force {
    match &args.reason {
        Some(reason) if args.force => Force::Because(reason.clone()),
        Some(_) | None => Force::No,
    }
}

/// A decision that was recorded, the key that it is about, and what hides that one and every other.
struct Decided {
    judgement: Judgement,
    key: LicenseKey,
    keyring: Keyring,
}

/// Judges, and records the decision: also a no, and also that there could be none.
fn decide(scene: &Scene<'_>, force: &Force, journal: &mut Journal) -> Result<Decided, Failure> {
    let mut seen = None;
    match judge(scene, force, journal, &mut seen) {
        Ok(decided) => {
            journal.append_decided(Event::Gate(decided.judgement.record(scene.environment)))?;
            Ok(decided)
        }
        Err(failure) => {
            let message = license_core::finding::clean(&failure.to_string());
            journal.record(Event::GateFailed { code: failure.code().to_owned(), message, key_fingerprint: seen })?;
            Err(failure)
        }
    }
}

/// Reads the key, or has one issued where that is allowed, and asks. `seen` is set once a key was read.
fn judge(
    scene: &Scene<'_>,
    force: &Force,
    journal: &mut Journal,
    seen: &mut Option<Fingerprint>,
) -> Result<Decided, Failure> {
    let Scene { ctx, config, environment, narrator, signals } = scene;
    let authority = connect::authority(ctx, config, environment, 1, Some(signals))?;
    let key = keys::obtain(scene, &authority, journal)?;
    *seen = Some(key.fingerprint());
    keyring::refuse_shared(ctx, config, &[(&environment.name, &key)])?;
    let keyring = Keyring::read(ctx, config);
    // A key of another class is not sent, so nobody is asked.
    let is_asked = judge_class(&environment.demand, &key).outcome != Outcome::Fail;
    let asking = is_asked.then(|| narrator.progress(&format!("asking the authority `{}`", environment.authority)));
    let history = || Ok(Cow::Borrowed(journal.folded()));
    let judgement = gate::decide(ctx, config, environment, &key, &authority, &history, &force.hidden(&keyring));
    if let Some(asking) = asking {
        asking.done();
    }
    Ok(Decided { judgement: judgement?, key, keyring })
}

/// Polls the application, records what was seen, and rolls back when it stays unhealthy.
fn prove_health(
    scene: &Scene<'_>,
    hand_over: &HandOver<'_>,
    probe: &Probe,
    journal: &mut Journal,
    report: &mut DeployReport,
) -> Result<(), Failure> {
    let narrator = scene.narrator;
    let waiting = narrator.progress(&format!("waiting for {} to be healthy", probe.url));
    let seen = hand_over.poll(probe, &mut |why| waiting.tick(why));
    waiting.done();
    let end = HealthEnd { url: probe.url.clone(), seen };
    narrator.health(&end, scene.config, scene.environment);
    let event = health_event(&hand_over.release, &end.seen);
    let unhealthy = exit_of_health(&end.seen) == Exit::Unhealthy;
    report.health = Some(end);
    failpoint::reached(scene.ctx, "after-health");
    let rollback = scene.environment.rollback.as_ref().filter(|_| unhealthy);
    let (Some(command), None) = (rollback, scene.signals.stop()) else {
        if let Some(command) = rollback {
            narrator.note(&format!(
                "the rollback was not begun, since a signal came, and what runs is unhealthy: `{}`",
                hand_over.shown(command)
            ));
        }
        return journal.record(event);
    };
    // What is unhealthy does not wait for a trail whose remote may not answer.
    let (end, recorded) = thread::scope(|scope| {
        let recording = scope.spawn(|| journal.record(event));
        let end = hand_over.run(command);
        if let Ok(end) = &end {
            narrator.command("rollback", end, scene.config, scene.environment);
        }
        (end, recording.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let end = end?;
    let event = Event::RollbackEnded { release: hand_over.release.clone(), ended: end.ended.clone() };
    report.rollback = Some(end);
    journal.record(event)?;
    recorded
}

fn health_event(release: &str, seen: &Seen) -> Event {
    let (health, differences) = match seen {
        Seen::Proved => (HealthRecord::Proved, Vec::new()),
        Seen::NotProved => (HealthRecord::NotProved, Vec::new()),
        Seen::Unhealthy { differences } => (HealthRecord::Unhealthy, differences.clone()),
        Seen::Unreachable { .. } => (HealthRecord::Unreachable, Vec::new()),
        Seen::Stopped(_) => (HealthRecord::NotAwaited, Vec::new()),
    };
    Event::Health { release: release.to_owned(), health, differences }
}
