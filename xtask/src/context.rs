//! What a command works with: the variables, the directory, the clock, the streams.
//!
//! The clock and the directory are read here and nowhere else.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use license_core::trail::Actor;

use crate::{cli::ColorChoice, console::Console, met::Met, signals::Signals, vars::Vars};

/// What a command works with. Threads share it.
#[derive(Debug)]
pub(crate) struct Context {
    /// The variables that the process was started with.
    pub(crate) vars: Vars,
    /// The directory that the process was started in.
    pub(crate) directory: PathBuf,
    /// Where output goes.
    pub(crate) console: Console,
    /// The secrets that were met on the way.
    pub(crate) met: Arc<Met>,
    /// The signals, once a command watches them.
    pub(crate) signals: OnceLock<Signals>,
}

impl Context {
    /// The process's own.
    #[expect(clippy::disallowed_methods, reason = "this is the door to the current directory")]
    pub(crate) fn of_process(color: ColorChoice) -> std::io::Result<Self> {
        let vars = Vars::of_process();
        let console = Console::of_process(color, &vars);
        Ok(Self { directory: std::env::current_dir()?, vars, console, met: Arc::default(), signals: OnceLock::new() })
    }

    /// Who works here, as far as the machine tells.
    pub(crate) fn actor(&self) -> Actor {
        actor(&self.vars, host())
    }

    /// Whether this run is a step of GitHub Actions.
    pub(crate) fn runs_on(&self) -> Platform {
        match self.vars.text("GITHUB_ACTIONS") {
            Some("true") => Platform::GithubActions,
            Some(_) | None => Platform::Other,
        }
    }
}

/// Where the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// A step of GitHub Actions: its log understands workflow commands.
    GithubActions,
    /// Anywhere else.
    Other,
}

/// The local clock: the only place that reads it.
#[expect(clippy::disallowed_methods, reason = "this is the door to the clock")]
pub(crate) fn now() -> Timestamp {
    // Whole milliseconds are enough for a trail, and read better.
    let now = ahead(Timestamp::now());
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// The clock of the `failpoints` build can be put forward, by the seconds in this variable.
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "the clock has no context, and this build is for tests alone")]
fn ahead(now: Timestamp) -> Timestamp {
    let secs = std::env::var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(0);
    now.checked_add(jiff::SignedDuration::from_secs(secs)).unwrap_or(now)
}

/// Nobody puts the clock forward.
#[cfg(not(feature = "failpoints"))]
fn ahead(now: Timestamp) -> Timestamp {
    now
}

fn host() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// The actor, from the variables of the CI systems that set some.
fn actor(vars: &Vars, host: Option<String>) -> Actor {
    let text = |name: &str| vars.text(name).filter(|value| !value.is_empty()).map(license_core::finding::clean);
    let user = text("USER").or_else(|| text("LOGNAME"));
    if text("GITHUB_ACTIONS").is_some() {
        let run_url = match (text("GITHUB_SERVER_URL"), text("GITHUB_REPOSITORY"), text("GITHUB_RUN_ID")) {
            (Some(server), Some(repository), Some(run)) => Some(format!("{server}/{repository}/actions/runs/{run}")),
            _ => None,
        };
        let user = text("GITHUB_ACTOR").or(user);
        return Actor { ci: Some("github".to_owned()), run_url, commit: text("GITHUB_SHA"), host, user };
    }
    if text("GITLAB_CI").is_some() {
        let user = text("GITLAB_USER_LOGIN").or(user);
        let (run_url, commit) = (text("CI_JOB_URL"), text("CI_COMMIT_SHA"));
        return Actor { ci: Some("gitlab".to_owned()), run_url, commit, host, user };
    }
    if text("BUILDKITE").is_some() {
        let user = text("BUILDKITE_BUILD_CREATOR").or(user);
        let (run_url, commit) = (text("BUILDKITE_BUILD_URL"), text("BUILDKITE_COMMIT"));
        return Actor { ci: Some("buildkite".to_owned()), run_url, commit, host, user };
    }
    if text("CIRCLECI").is_some() {
        let user = text("CIRCLE_USERNAME").or(user);
        let (run_url, commit) = (text("CIRCLE_BUILD_URL"), text("CIRCLE_SHA1"));
        return Actor { ci: Some("circleci".to_owned()), run_url, commit, host, user };
    }
    if text("TF_BUILD").is_some() {
        let run_url = match (text("SYSTEM_COLLECTIONURI"), text("SYSTEM_TEAMPROJECT"), text("BUILD_BUILDID")) {
            (Some(collection), Some(project), Some(build)) => {
                let (collection, project) = (collection.trim_end_matches('/'), project.replace(' ', "%20"));
                Some(format!("{collection}/{project}/_build/results?buildId={build}"))
            }
            _ => None,
        };
        let user = text("BUILD_REQUESTEDFOR").or(user);
        return Actor { ci: Some("azure".to_owned()), run_url, commit: text("BUILD_SOURCEVERSION"), host, user };
    }
    if let Some(build) = text("BITBUCKET_BUILD_NUMBER") {
        let run_url = text("BITBUCKET_REPO_FULL_NAME")
            .map(|repository| format!("https://bitbucket.org/{repository}/pipelines/results/{build}"));
        return Actor { ci: Some("bitbucket".to_owned()), run_url, commit: text("BITBUCKET_COMMIT"), host, user };
    }
    if text("JENKINS_URL").is_some() {
        let (run_url, commit) = (text("BUILD_URL"), text("GIT_COMMIT"));
        return Actor { ci: Some("jenkins".to_owned()), run_url, commit, host, user };
    }
    Actor { ci: text("CI").map(|_| "ci".to_owned()), run_url: None, commit: None, host, user }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_comes_from_the_ci_systems_variables() {
        let github = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/app"),
            ("GITHUB_RUN_ID", "42"),
            ("GITHUB_SHA", "0123abc"),
            ("GITHUB_ACTOR", "alice"),
            ("USER", "runner"),
        ];
        let actor = actor(&github.into_iter().collect(), None);
        assert_eq!(actor.ci.as_deref(), Some("github"));
        assert_eq!(actor.run_url.as_deref(), Some("https://github.com/acme/app/actions/runs/42"));
        assert_eq!(actor.commit.as_deref(), Some("0123abc"));
        assert_eq!(actor.user.as_deref(), Some("alice"));
    }

    #[test]
    fn every_ci_system_says_its_run_and_its_commit() {
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let rows: [(&str, &str, &str, Variables<'_>); 6] = [
            (
                "gitlab",
                "https://gitlab.com/acme/app/-/jobs/42",
                "alice",
                &[
                    ("GITLAB_CI", "true"),
                    ("CI", "true"),
                    ("CI_JOB_URL", "https://gitlab.com/acme/app/-/jobs/42"),
                    ("CI_COMMIT_SHA", "0123abc"),
                    ("GITLAB_USER_LOGIN", "alice"),
                ],
            ),
            (
                "buildkite",
                "https://buildkite.com/acme/app/builds/42",
                "alice",
                &[
                    ("BUILDKITE", "true"),
                    ("CI", "true"),
                    ("BUILDKITE_BUILD_URL", "https://buildkite.com/acme/app/builds/42"),
                    ("BUILDKITE_COMMIT", "0123abc"),
                    ("BUILDKITE_BUILD_CREATOR", "alice"),
                ],
            ),
            (
                "circleci",
                "https://circleci.com/gh/acme/app/42",
                "alice",
                &[
                    ("CIRCLECI", "true"),
                    ("CI", "true"),
                    ("CIRCLE_BUILD_URL", "https://circleci.com/gh/acme/app/42"),
                    ("CIRCLE_SHA1", "0123abc"),
                    ("CIRCLE_USERNAME", "alice"),
                ],
            ),
            (
                "azure",
                "https://dev.azure.com/acme/The%20App/_build/results?buildId=42",
                "alice",
                &[
                    ("TF_BUILD", "True"),
                    ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/acme/"),
                    ("SYSTEM_TEAMPROJECT", "The App"),
                    ("BUILD_BUILDID", "42"),
                    ("BUILD_SOURCEVERSION", "0123abc"),
                    ("BUILD_REQUESTEDFOR", "alice"),
                ],
            ),
            (
                "bitbucket",
                "https://bitbucket.org/acme/app/pipelines/results/42",
                "runner",
                &[
                    ("BITBUCKET_BUILD_NUMBER", "42"),
                    ("BITBUCKET_REPO_FULL_NAME", "acme/app"),
                    ("BITBUCKET_COMMIT", "0123abc"),
                ],
            ),
            (
                "jenkins",
                "https://ci.acme.test/job/app/42/",
                "runner",
                &[
                    ("JENKINS_URL", "https://ci.acme.test/"),
                    ("BUILD_URL", "https://ci.acme.test/job/app/42/"),
                    ("GIT_COMMIT", "0123abc"),
                ],
            ),
        ];
        for (ci, run_url, user, vars) in rows {
            let vars = vars.iter().copied().chain([("USER", "runner")]).collect();
            let expected = Actor {
                ci: Some(ci.to_owned()),
                run_url: Some(run_url.to_owned()),
                commit: Some("0123abc".to_owned()),
                host: None,
                user: Some(user.to_owned()),
            };
            assert_eq!(actor(&vars, None), expected);
        }
    }

    #[test]
    fn an_actor_outside_ci_is_the_user() {
        let actor = actor(&[("USER", "alice")].into_iter().collect(), Some("build-3".to_owned()));
        assert_eq!(
            actor,
            Actor { host: Some("build-3".to_owned()), user: Some("alice".to_owned()), ..Actor::default() }
        );
    }
}
