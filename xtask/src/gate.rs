//! The gate of one environment: asks the authority, lets the core judge, falls back where the policy allows it.

use std::{borrow::Cow, time::Duration};

use jiff::{SignedDuration, Timestamp};
use license_core::{
    Finding, Fingerprint, License, LicenseKey, Now, Outcome, Verdict,
    gate::{judge, judge_class, unasked, verdict},
    token::{self, PublicKey},
    trail::{Folded, GateRecord, Source, Trouble},
};

use crate::{
    authority::{AskError, Authority, Reply},
    config::{AuthoritySettings, Config, Environment, ShownDuration, UnreachablePolicy},
    context::{self, Context},
    failure::Failure,
    keyring::Keyring,
    store,
};

/// What the gate decided about one deploy, and why.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// The key that was judged.
    pub(crate) fingerprint: Fingerprint,
    /// What every check found.
    pub(crate) checks: Vec<Finding>,
    /// The decision, overridden or not.
    pub(crate) verdict: Verdict,
    /// What the license says, when somebody said it.
    pub(crate) license: Option<License>,
    /// How far the authority's clock is ahead of ours, where it told its time.
    pub(crate) authority_ahead: Option<SignedDuration>,
    /// Where the facts come from.
    pub(crate) basis: Basis,
    /// The reason of the person who broke the glass, when the decision rests on it.
    pub(crate) forced: Option<String>,
}

/// What the facts of a decision rest on.
#[derive(Debug)]
pub(crate) enum Basis {
    /// The authority answered.
    Answer,
    /// The key's class was enough to say no.
    Class,
    /// The authority could not be asked, and an earlier answer was young enough.
    Cached {
        /// When it was given.
        at: Timestamp,
        /// Why the authority could not be asked.
        trouble: AskError,
    },
    /// The authority could not be asked, and a signed offline token was young enough.
    OfflineToken {
        /// When it was issued.
        at: Timestamp,
        /// Why the authority could not be asked.
        trouble: AskError,
    },
    /// The authority could not be asked, and nothing stands in for it.
    Nothing {
        /// Why it could not be asked.
        trouble: AskError,
        /// Why nothing stands in for it.
        fallback: String,
    },
}

/// Whether somebody broke the glass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Force {
    /// Nobody did.
    No,
    /// Somebody did, for this reason.
    Because(String),
}

impl Force {
    /// The reason as it may be shown and kept: somebody else's words, without secrets and control characters, and short.
    pub(crate) fn hidden(&self, keyring: &Keyring) -> Self {
        match self {
            Self::No => Self::No,
            Self::Because(reason) => Self::Because(license_core::finding::clean(&keyring.hide(reason))),
        }
    }
}

/// What the trail says, read only when a rule needs it.
pub(crate) type History<'a> = &'a dyn Fn() -> Result<Cow<'a, Folded>, Failure>;

/// Asks the authority about a key.
pub(crate) type Ask<'a> = &'a dyn Fn() -> Result<Reply, AskError>;

/// Judges one environment's key: at most one answered validation.
pub(crate) fn decide(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: &LicenseKey,
    authority: &Authority,
    history: History<'_>,
    force: &Force,
) -> Result<Judgement, Failure> {
    let ask = || authority.validate(key, &environment.demand.domain);
    decide_on(ctx, config, environment, key, &ask, history, force)
}

/// The same, for who asks in a way of its own. It asks at most once.
pub(crate) fn decide_on(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: &LicenseKey,
    ask: Ask<'_>,
    history: History<'_>,
    force: &Force,
) -> Result<Judgement, Failure> {
    let class = judge_class(&environment.demand, key);
    if class.outcome == Outcome::Fail {
        // A key of another class is never sent anywhere.
        let checks = unasked(class, "the key was not sent to the authority");
        return Ok(conclude(environment, key, checks, None, Basis::Class, force));
    }
    match ask() {
        Ok(reply) => judge_reply(environment, key, reply, history, force),
        Err(trouble @ AskError::Unreachable { .. }) => {
            fall_back(ctx, config, environment, key, trouble, history, force)
        }
        Err(trouble @ (AskError::Quota { .. } | AskError::Protocol { .. })) => {
            let fallback = "the authority did answer, so no earlier answer stands in for it".to_owned();
            Ok(nothing_known(environment, key, trouble, fallback, force))
        }
        Err(
            broken @ (AskError::Credential { .. }
            | AskError::NotTheApi { .. }
            | AskError::Setup { .. }
            | AskError::Log(_)
            | AskError::Stopped(_)),
        ) => Err(broken.into()),
    }
}

fn judge_reply(
    environment: &Environment,
    key: &LicenseKey,
    reply: Reply,
    history: History<'_>,
    force: &Force,
) -> Result<Judgement, Failure> {
    let first_seen = match environment.demand.key_age_max_days {
        Some(_) if reply.license.issued_at.is_none() => history()?.first_seen(&key.fingerprint()),
        Some(_) | None => None,
    };
    let now = Now { at: context::now(), authority_ahead: reply.authority_ahead };
    let checks = judge(&environment.demand, key, &reply.license, first_seen, now);
    let judged = conclude(environment, key, checks, Some(reply.license), Basis::Answer, force);
    Ok(Judgement { authority_ahead: reply.authority_ahead, ..judged })
}

/// The authority cannot be asked: an earlier answer, or an offline token, may stand in for it where the policy says so.
fn fall_back(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: &LicenseKey,
    trouble: AskError,
    history: History<'_>,
    force: &Force,
) -> Result<Judgement, Failure> {
    let UnreachablePolicy::Cached { age_max, offline_token } = &environment.unreachable else {
        let fallback = "`unreachable = \"block\"`: nothing stands in for the authority".to_owned();
        return Ok(nothing_known(environment, key, trouble, fallback, force));
    };
    let at = context::now();
    let folded = history()?;
    let first_seen = folded.first_seen(&key.fingerprint());
    let judge =
        |license: &License| judge(&environment.demand, key, license, first_seen, Now { at, authority_ahead: None });
    let why_not_cached = match cached(&folded, key, environment, at, *age_max) {
        Ok((license, answered)) => {
            let basis = Basis::Cached { at: answered, trouble };
            return Ok(conclude(environment, key, judge(&license), Some(license), basis, force));
        }
        Err(why_not) => why_not,
    };
    let Some(source) = offline_token.as_ref().filter(|_| !folded.refused_last(&key.fingerprint())) else {
        return Ok(nothing_known(environment, key, trouble, why_not_cached, force));
    };
    match open_token(ctx, config, environment, source, at, *age_max)? {
        Ok((license, issued)) => {
            let basis = Basis::OfflineToken { at: issued, trouble };
            Ok(conclude(environment, key, judge(&license), Some(license), basis, force))
        }
        Err(why_not) => Ok(nothing_known(environment, key, trouble, format!("{why_not_cached}; {why_not}"), force)),
    }
}

/// The last good answer in the trail and when it was given, or why none stands in.
fn cached(
    folded: &Folded,
    key: &LicenseKey,
    environment: &Environment,
    now: Timestamp,
    age_max: Duration,
) -> Result<(License, Timestamp), String> {
    if folded.refused_last(&key.fingerprint()) {
        return Err("the last answer about this key in the trail is a refusal".to_owned());
    }
    let good = folded.last_good(&key.fingerprint(), &environment.demand);
    let Some((license, answered)) = good.map(|(license, at)| (license.clone(), at)) else {
        return Err("the trail has no good answer for this key and this demand".to_owned());
    };
    match Age::of(answered, now, age_max) {
        Age::Young => Ok((license, answered)),
        age @ (Age::Old | Age::Future) => {
            Err(format!("the last good answer in the trail, of {answered:.0}, is {}", age.in_words(age_max)))
        }
    }
}

/// Reads and checks the offline token; the inner error says in words why it does not stand in.
fn open_token(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    source: &store::Source,
    now: Timestamp,
    age_max: Duration,
) -> Result<Result<(License, Timestamp), String>, Failure> {
    let text = store::read(source, &ctx.vars).map_err(|source| Failure::Secret {
        secret: "offline token",
        environment: environment.name.clone(),
        source,
    })?;
    let license = match token::open(text.trim(), public_keys(config, environment)) {
        Ok(license) => license,
        Err(error) => return Ok(Err(format!("the offline token is not accepted: {error}"))),
    };
    let Some(issued) = license.issued_at else {
        return Ok(Err("the offline token does not say when it was issued, so its age is not known".to_owned()));
    };
    Ok(match Age::of(issued, now, age_max) {
        Age::Young => Ok((license, issued)),
        age @ (Age::Old | Age::Future) => {
            Err(format!("the offline token, of {issued:.0}, is {}", age.in_words(age_max)))
        }
    })
}

fn public_keys<'a>(config: &'a Config, environment: &Environment) -> &'a [PublicKey] {
    match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { .. } => &[],
        AuthoritySettings::Remote(settings) => &settings.public_keys,
    }
}

/// How old an answer is, beside what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Young enough.
    Young,
    /// Older than allowed.
    Old,
    /// From the future: somebody's clock is wrong, so its age is not known.
    Future,
}

impl Age {
    fn of(answered: Timestamp, now: Timestamp, age_max: Duration) -> Self {
        let age = now.duration_since(answered);
        let age_max = SignedDuration::try_from(age_max).unwrap_or(SignedDuration::MAX);
        match () {
            () if age.is_negative() => Self::Future,
            () if age <= age_max => Self::Young,
            () => Self::Old,
        }
    }

    /// In words that complete "it is …".
    fn in_words(self, age_max: Duration) -> String {
        match self {
            Self::Young => "young enough".to_owned(),
            Self::Old => format!("older than {}", ShownDuration(age_max)),
            Self::Future => "in the future by this machine's clock".to_owned(),
        }
    }
}

fn nothing_known(
    environment: &Environment,
    key: &LicenseKey,
    trouble: AskError,
    fallback: String,
    force: &Force,
) -> Judgement {
    let class = judge_class(&environment.demand, key);
    let checks = unasked(class, "the authority gave no answer");
    // Nobody said anything: the policy for single missing facts does not apply, so the verdict is unknown.
    let judged = Judgement {
        fingerprint: key.fingerprint(),
        checks,
        verdict: Verdict::Unknown,
        license: None,
        authority_ahead: None,
        basis: Basis::Nothing { trouble, fallback },
        forced: None,
    };
    judged.under(force)
}

fn conclude(
    environment: &Environment,
    key: &LicenseKey,
    checks: Vec<Finding>,
    license: Option<License>,
    basis: Basis,
    force: &Force,
) -> Judgement {
    let verdict = verdict(&checks, environment.unknown);
    let fingerprint = key.fingerprint();
    Judgement { fingerprint, checks, verdict, license, authority_ahead: None, basis, forced: None }.under(force)
}

impl Judgement {
    /// Breaking the glass turns "unknown" into "go", and nothing else.
    fn under(mut self, force: &Force) -> Self {
        match (self.verdict, force) {
            (Verdict::Unknown, Force::Because(reason)) => {
                self.verdict = Verdict::Go;
                self.forced = Some(reason.clone());
            }
            (Verdict::Unknown, Force::No) | (Verdict::Go | Verdict::Refused, _) => {}
        }
        self
    }

    /// What the trail keeps of it.
    pub(crate) fn record(&self, environment: &Environment) -> GateRecord {
        GateRecord {
            verdict: self.verdict,
            checks: self.checks.clone(),
            key_fingerprint: self.fingerprint,
            demand: environment.demand.clone(),
            license: self.license.clone(),
            source: self.basis.source(),
            forced: self.forced.clone(),
            trouble: self.basis.trouble().map(|error| Trouble {
                code: error.stable_code().to_owned(),
                message: license_core::finding::clean(&error.to_string()),
            }),
        }
    }
}

impl Basis {
    /// What the trail calls it.
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Answer => Source::Authority,
            Self::Cached { .. } => Source::Cached,
            Self::OfflineToken { .. } => Source::OfflineToken,
            Self::Class | Self::Nothing { .. } => Source::Nobody,
        }
    }

    /// Why the authority could not be asked, when it could not.
    pub(crate) fn trouble(&self) -> Option<&AskError> {
        match self {
            Self::Answer | Self::Class => None,
            Self::Cached { trouble, .. } | Self::OfflineToken { trouble, .. } | Self::Nothing { trouble, .. } => {
                Some(trouble)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_the_allowed_past_is_young() {
        let now: Timestamp = "2026-03-19T12:00:00Z".parse().unwrap();
        let day = Duration::from_secs(24 * 3600);
        for (answered, expected) in [
            ("2026-03-19T12:00:00Z", Age::Young),
            ("2026-03-18T12:00:00Z", Age::Young),
            ("2026-03-18T11:59:59Z", Age::Old),
            ("2026-03-19T12:00:01Z", Age::Future),
        ] {
            assert_eq!(Age::of(answered.parse().unwrap(), now, day), expected, "{answered}");
        }
    }
}
