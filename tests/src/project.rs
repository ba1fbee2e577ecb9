//! A project that deploys: a directory with a `license.toml` and a deploy command that leaves traces.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    app::{self, App},
    authority::{Authority, TOKEN},
    hub,
    process::{Finished, Running, Signal},
    ran::{Place, Ran},
    trail::Trail,
};

/// The environment that every project has.
pub const PRODUCTION: &str = "production";

/// A project in a temporary directory. The builder methods describe it; it is written down before each run.
#[derive(Debug)]
#[must_use]
pub struct Project {
    directory: TempDir,
    binary: PathBuf,
    variables: BTreeMap<String, String>,
    file: LicenseToml,
    script: String,
    /// Files and directories that may hold secrets.
    may_hold: Vec<PathBuf>,
    /// The repository that has the trails, where they are not files of the project.
    trails_in: Option<PathBuf>,
}

#[derive(Debug)]
enum LicenseToml {
    Built(Built),
    AsGiven,
}

#[derive(Debug, Default)]
struct Built {
    /// Lines above the tables.
    top: String,
    authority: Table,
    production: Table,
    /// Tables below production's.
    more: String,
}

impl Built {
    fn text(&self) -> String {
        let Self { top, authority, production, more } = self;
        let (authority, production) = (authority.text(), production.text());
        format!("version = 1\n{top}\n[authority.to]\n{authority}\n[environments.production]\n{production}\n{more}")
    }
}

/// The lines of a table: a name and a value as it stands in TOML.
#[derive(Debug, Default)]
struct Table(Vec<(String, String)>);

impl Table {
    fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(found, _)| found != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn text(&self) -> String {
        self.0.iter().flat_map(|(name, value)| [name, " = ", value, "\n"]).collect()
    }
}

impl Project {
    /// A project whose `production` is `app.com`, has its key in `LICENSE_KEY`, and deploys with a script that leaves traces.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        let directory = TempDir::with_prefix("license-").unwrap();
        for name in ["project", "home", "seen"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut production = Table::default();
        production.set("authority", r#""to""#);
        production.set("domain", r#""app.com""#);
        production.set("key", r#"{ env = "LICENSE_KEY" }"#);
        production.set("deploy", r#"["sh", "deploy.sh"]"#);
        Self {
            directory,
            binary: binary.as_ref().to_owned(),
            variables: BTreeMap::new(),
            file: LicenseToml::Built(Built { production, ..Built::default() }),
            script: String::new(),
            may_hold: Vec::new(),
            trails_in: None,
        }
        .may_hold(&[".env", ".env.development", ".license/authority"])
    }

    /// Files and directories of the project that exist to hold secrets.
    pub fn may_hold(mut self, paths: &[&str]) -> Self {
        self.may_hold.extend(paths.iter().map(|path| self.path(path)).collect::<Vec<_>>());
        self
    }

    /// Asks this authority, with its token.
    pub fn authority(self, authority: &Authority) -> Self {
        self.authority_at(authority.url()).var("TO_API_KEY", authority.token())
    }

    /// Asks whatever is at this address, with the tests' token.
    pub fn authority_at(mut self, url: &str) -> Self {
        let authority = &mut self.built().authority;
        authority.set("kind", r#""traffic-orchestrator""#);
        authority.set("url", &quoted(url));
        authority.set("token", r#"{ env = "TO_API_KEY" }"#);
        self.var("TO_API_KEY", TOKEN)
    }

    /// Sets a line of the authority's table, the value as it stands in TOML.
    pub fn authority_line(mut self, name: &str, value: &str) -> Self {
        self.built().authority.set(name, value);
        self
    }

    /// Sets a line of production's table, the value as it stands in TOML.
    pub fn line(mut self, name: &str, value: &str) -> Self {
        self.built().production.set(name, value);
        self
    }

    /// Leaves a line out of production's table.
    pub fn without(mut self, name: &str) -> Self {
        self.built().production.0.retain(|(found, _)| found != name);
        self
    }

    /// Adds lines above the tables.
    pub fn top(mut self, lines: &str) -> Self {
        self.built().top.push_str(lines);
        self
    }

    /// Adds tables below production's.
    pub fn tables(mut self, text: &str) -> Self {
        self.built().more.push_str(text);
        self
    }

    /// The file is exactly this.
    pub fn license_toml(mut self, bytes: &[u8]) -> Self {
        self.file = LicenseToml::AsGiven;
        self.write("license.toml", bytes)
    }

    /// There is no file, or whatever the test puts there itself.
    pub fn without_license_toml(mut self) -> Self {
        self.file = LicenseToml::AsGiven;
        self
    }

    /// Production's key, in `LICENSE_KEY`.
    pub fn key(self, key: &str) -> Self {
        self.var("LICENSE_KEY", key)
    }

    /// A variable of the run.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A variable that the run does not have.
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// What the deploy command does, in shell, after it has left its traces.
    pub fn deploying(mut self, script: &str) -> Self {
        script.clone_into(&mut self.script);
        self
    }

    /// Production is healthy when this application says so, within `within`.
    pub fn health(self, app: &App, within: &str) -> Self {
        let value = format!("{{ url = {}, within = {} }}", quoted(&app.url()), quoted(within));
        self.line("health", &value)
    }

    /// A file of the project.
    pub fn write(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// The absolute path of a file of the project.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("project").join(path)
    }

    /// The directory in which the deploy command leaves its traces: `runs`, `env`, `argv`, `cwd`.
    pub fn seen(&self) -> PathBuf {
        self.directory.path().join("seen")
    }

    /// A trace of the deploy command.
    pub fn trace(&self, name: &str) -> String {
        fs::read_to_string(self.seen().join(name)).unwrap_or_else(|error| panic!("no trace `{name}`: {error}"))
    }

    /// The environment that the deploy command had.
    pub fn deploy_variables(&self) -> BTreeMap<String, String> {
        app::variables(&self.seen().join("env")).expect("the deploy command ran")
    }

    /// How often the deploy command has run.
    pub fn deploys(&self) -> usize {
        fs::read_to_string(self.seen().join("runs")).map_or(0, |runs| runs.lines().count())
    }

    /// The text of the `license.toml`.
    pub fn text(&self) -> String {
        match &self.file {
            LicenseToml::Built(built) => built.text(),
            LicenseToml::AsGiven => fs::read_to_string(self.path("license.toml")).unwrap(),
        }
    }

    /// The number, from 1, of the first line of the `license.toml` that starts so.
    pub fn line_number(&self, start: &str) -> usize {
        1 + self.text().lines().position(|line| line.starts_with(start)).unwrap()
    }

    /// `deploy production`.
    pub fn deploy(&self) -> Ran {
        self.run(&["deploy", PRODUCTION])
    }

    /// `deploy production --format json`.
    pub fn deploy_json(&self) -> Ran {
        self.run(&["deploy", PRODUCTION, "--format", "json"])
    }

    /// `check production`.
    pub fn check(&self) -> Ran {
        self.run(&["check", PRODUCTION])
    }

    /// `check production --format json`.
    pub fn check_json(&self) -> Ran {
        self.run(&["check", PRODUCTION, "--format", "json"])
    }

    /// Runs the binary in the project to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_in(&self.path(""), arguments)
    }

    /// Runs the binary in the project, with this text on stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let before = self.deploys();
        let mut command = self.command(&self.path(""), arguments);
        self.finish(Running::start_with_input(&mut command, input).wait(), before)
    }

    /// Runs the binary in another directory.
    pub fn run_in(&self, directory: &Path, arguments: &[&str]) -> Ran {
        let before = self.deploys();
        self.finish(self.start_in(directory, arguments).wait(), before)
    }

    /// Runs the binary in the project under another program, which takes these options, `--`, and a command.
    pub fn run_under(&self, program: &str, options: &[String], arguments: &[&str]) -> Ran {
        let before = self.deploys();
        let mut command = self.command_of(Path::new(program), &self.path(""));
        command.args(options).arg("--").arg(&self.binary).args(arguments);
        self.finish(Running::start(&mut command).wait(), before)
    }

    /// Starts the binary in the project.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_in(&self.path(""), arguments)
    }

    /// Waits for a run that was started when the deploy command had not run yet.
    pub fn ended(&self, running: Running) -> Ran {
        self.finish(running.wait(), 0)
    }

    /// Starts `deploy production`, sends a signal once the deploy command has left its traces, and waits.
    pub fn deploy_and_signal(&self, signal: Signal) -> Ran {
        let mut running = self.start(&["deploy", PRODUCTION]);
        running.until("the deploy command runs", |_| self.seen().join("cwd").exists());
        running.signal(signal);
        self.ended(running)
    }

    /// The command that runs the binary here, for tests that need more than [`Project::run`].
    pub fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command_of(&self.binary, directory);
        command.args(arguments);
        command
    }

    fn command_of(&self, program: &Path, directory: &Path) -> Command {
        self.write_down();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path().join("home"));
        command.envs(&self.variables).current_dir(directory);
        command
    }

    /// Its trails are in this bare repository.
    pub(crate) fn trails_in(mut self, repository: &Path) -> Self {
        self.trails_in = Some(repository.to_owned());
        self
    }

    /// The trail of an environment; its chain holds.
    pub fn trail(&self, environment: &str) -> Trail {
        match &self.trails_in {
            Some(repository) => hub::trail(repository, environment),
            None => Trail::read(&self.trail_file(environment)),
        }
    }

    /// The text of a trail.
    pub fn trail_text(&self, environment: &str) -> String {
        fs::read_to_string(self.trail_file(environment)).unwrap()
    }

    /// The file of a trail.
    pub fn trail_file(&self, environment: &str) -> PathBuf {
        self.path(&format!(".license/trail/{environment}.jsonl"))
    }

    fn start_in(&self, directory: &Path, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(directory, arguments))
    }

    fn finish(&self, finished: Finished, deploys_before: usize) -> Ran {
        let place = Place {
            searched: vec![self.path(""), self.directory.path().join("home")],
            allowed: self.may_hold.clone(),
            deploys_before,
            deploys: self.deploys(),
        };
        Ran::of(finished, Some(place))
    }

    fn write_down(&self) {
        let script = format!(
            "set -eu\nseen='{}'\necho run >> \"$seen/runs\"\nenv > \"$seen/env\"\ntr '\\000' '\\n' < /proc/$$/cmdline > \"$seen/argv\"\npwd > \"$seen/cwd\"\n{}\n",
            self.seen().display(),
            self.script
        );
        self.keep("deploy.sh", &script);
        if let LicenseToml::Built(built) = &self.file {
            self.keep("license.toml", &built.text());
        }
    }

    /// Writes a file where it is not so already: another run may be reading it.
    fn keep(&self, path: &str, text: &str) {
        let path = self.path(path);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            return;
        }
        fs::write(path, text).unwrap();
    }

    fn built(&mut self) -> &mut Built {
        match &mut self.file {
            LicenseToml::Built(built) => built,
            LicenseToml::AsGiven => panic!("the file was given as a whole"),
        }
    }
}

/// A text as a TOML string.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that deploys whatever the arguments are.
    fn deploys_always() -> (TempDir, Project) {
        let place = TempDir::new().unwrap();
        let program = place.path().join("program");
        fs::write(&program, "#!/bin/sh\nenv > ran-with\necho \"said $SECRET\" >&2\nexec sh deploy.sh\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let project = Project::new(program);
        (place, project)
    }

    #[test]
    fn the_traces_of_the_deploy_command_are_counted_for_each_run() {
        let (_place, project) = deploys_always();
        let project = project.deploying("exit 3");
        project.deploy().exits(3).deploy_ran();
        let again = project.deploy();
        again.exits(3).deploy_ran();
        assert!(std::panic::catch_unwind(|| again.deploy_did_not_run().code()).is_err());
        assert_eq!(project.deploys(), 2);
    }

    #[test]
    fn a_run_has_only_the_environment_it_was_given() {
        let (_place, project) = deploys_always();
        let project = project.var("GIVEN", "1");
        project.deploy().exits(0);
        let variables = project.deploy_variables();
        let foreign: Vec<_> = variables
            .keys()
            .filter(|name| !["PATH", "HOME", "GIVEN", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()))
            .collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        assert_eq!(variables["GIVEN"], "1");
    }

    #[test]
    fn a_secret_is_found_in_the_output_and_in_files() {
        let (_place, project) = deploys_always();
        let project = project.var("SECRET", "in-the-output-0123").var("OTHER", "in-a-file-012345678");
        let ran = project.deploy();
        ran.never_shows("nowhere-0123456789");
        for secret in ["in-the-output-0123", "in-a-file-012345678"] {
            assert!(std::panic::catch_unwind(|| ran.never_shows(secret).code()).is_err(), "{secret}");
        }
    }

    #[test]
    fn the_file_is_written_as_it_was_described() {
        let (_place, project) = deploys_always();
        let project =
            project.authority_at("http://127.0.0.1:1/api/v1").line("features", r#"["sso"]"#).without("domain");
        let text = project.text();
        assert!(
            text.contains("url = \"http://127.0.0.1:1/api/v1\"\n") && text.contains("features = [\"sso\"]\n"),
            "{text}"
        );
        assert!(!text.contains("domain"), "{text}");
        assert!(text.lines().nth(project.line_number("features") - 1).unwrap().starts_with("features"), "{text}");
    }
}
