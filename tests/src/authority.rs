//! A real authority: `xtask authority serve` as a child process, on a port of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    http::{self, Reply},
    process::{Finished, Running, Signal},
    ran::Ran,
};

/// The API token of every authority in the tests, unless a test names another. Not a `test` token: production refuses those.
pub const TOKEN: &str = "to_live_h4rness+5ecret/9f8e7d6c";

/// A running authority. It is killed when it is dropped; its state goes with it.
#[derive(Debug)]
pub struct Authority {
    binary: PathBuf,
    state: TempDir,
    token: String,
    flags: Vec<String>,
    vars: Vec<(String, String)>,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    child: Running,
    url: String,
}

/// What to issue. By default a production license that lets everything pass.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// `DEV`, `STG` or `PRD`.
    pub class: &'a str,
    /// The domains that it covers.
    pub domains: &'a [&'a str],
    /// The plan.
    pub plan: &'a str,
    /// The features that it includes.
    pub features: &'a [&'a str],
    /// How many activations it allows.
    pub activations: u32,
    /// How many of them are in use.
    pub used: u32,
    /// When it expires: `365d` from now, or a point in time.
    pub expires: &'a str,
}

impl Default for Grant<'_> {
    fn default() -> Self {
        Self {
            class: "PRD",
            domains: &["app.com"],
            plan: "enterprise",
            features: &["analytics", "sso"],
            activations: 10,
            used: 0,
            expires: "365d",
        }
    }
}

impl Grant<'_> {
    fn arguments(&self) -> Vec<String> {
        let expires = if self.expires.ends_with('d') { "--expires-in" } else { "--expires-at" };
        let (activations, used) = (self.activations.to_string(), self.used.to_string());
        let mut pairs = vec![
            ("--class", self.class),
            ("--plan", self.plan),
            ("--activations", &activations),
            ("--activations-used", &used),
            (expires, self.expires),
        ];
        pairs.extend(self.domains.iter().map(|domain| ("--domain", *domain)));
        pairs.extend(self.features.iter().map(|feature| ("--feature", *feature)));
        pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]).collect()
    }
}

/// An issued license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// When it expires, as it was printed.
    pub expires_at: String,
}

impl Authority {
    /// Starts one with an empty state.
    pub fn start(binary: impl AsRef<Path>, flags: &[&str]) -> Self {
        Self::with_token(binary, TOKEN, flags)
    }

    /// Starts one that asks for this API token.
    pub fn with_token(binary: impl AsRef<Path>, token: &str, flags: &[&str]) -> Self {
        let mut authority = Self {
            binary: binary.as_ref().to_owned(),
            state: TempDir::new().unwrap(),
            token: token.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            vars: Vec::new(),
            serving: None,
        };
        authority.restart();
        authority
    }

    /// What is started from now on has these variables, and none that were set before.
    pub fn set_vars(&mut self, vars: &[(&str, &str)]) {
        self.vars = vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    /// Starts it again, with the state that it left, on another port.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--api-token-env", "AUTHORITY_TOKEN"]).args(&self.flags).env("AUTHORITY_TOKEN", &self.token);
        let mut child = Running::start(&mut command);
        let line = child.first_line();
        let url =
            line.strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected first line: {line}")).to_owned();
        self.serving = Some(Serving { child, url });
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.child.kill();
        }
    }

    /// Sends it a signal and waits for its end.
    pub fn stop(&mut self, signal: Signal) -> Finished {
        let serving = self.serving.take().expect("the authority was killed");
        serving.child.signal(signal);
        serving.child.wait()
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> Finished {
        self.serving.take().expect("the authority was killed").child.wait()
    }

    /// What it has said on stderr by now.
    pub fn stderr(&self) -> String {
        self.serving.as_ref().expect("the authority was killed").child.stderr()
    }

    /// The base address.
    pub fn url(&self) -> &str {
        &self.serving.as_ref().expect("the authority was killed").url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.serving.as_ref().expect("the authority was killed").child.pid()
    }

    /// The directory of its state.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Its API token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Runs an `authority` command on the same state.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        Ran::of(Running::start(&mut self.command(arguments)).wait(), None)
    }

    /// Issues a license through the command line.
    pub fn issue(&self, grant: &Grant<'_>) -> Issued {
        let mut arguments = vec!["issue".to_owned()];
        arguments.extend(grant.arguments());
        arguments.extend(["--format".to_owned(), "json".to_owned()]);
        let ran = self.cli(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let license = ran.exits(0).json();
        let text = |name: &str| license[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {license}")).to_owned();
        Issued { id: text("licenseId"), key: text("key"), expires_at: text("expiresAt") }
    }

    /// Revokes a license through the command line.
    pub fn revoke(&self, license: &Issued) {
        self.cli(&["revoke", &license.id]).exits(0);
    }

    /// Suspends a license through the command line.
    pub fn suspend(&self, license: &Issued) {
        self.cli(&["suspend", &license.id]).exits(0);
    }

    /// One request with the API token.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_send(method, path, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// One request with the API token; `None` when no whole answer comes.
    pub fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
        http::send(&http::agent(), method, &format!("{}{path}", self.url()), Some(&self.token), body)
    }

    /// A validation in the form of our own client.
    pub fn validate(&self, key: &str, domain: &str) -> Reply {
        self.send("POST", "/validate", Some(&json!({ "key": key, "token": key, "domain": domain })))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.state.path());
        command.envs(self.vars.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.state.path()).arg("authority").arg(arguments[0]);
        command.arg("--state").arg(self.state.path().join("authority")).args(&arguments[1..]);
        command
    }
}
