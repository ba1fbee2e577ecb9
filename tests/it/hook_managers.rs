//! The managers of hooks themselves, with the lines that `hook install` prints for them, and beside our hook in both
//! orders. Each of them runs where its variable names its program; elsewhere a line says that it is skipped.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use license_tests::{Ran, process::Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    BINARY,
    hook::{KEPT, drawn, script},
};

/// A manager: the variable that names its program, its configuration with a given part of ours, and how it comes and
/// goes.
struct Manager {
    variable: &'static str,
    /// Its files: the one for our lines, and what it needs before that.
    file: &'static str,
    head: &'static str,
    besides: &'static [(&'static str, &'static str)],
    install: &'static [&'static str],
    uninstall: &'static [&'static str],
}

const PRE_COMMIT: Manager = Manager {
    variable: "LICENSE_TESTS_PRE_COMMIT",
    file: ".pre-commit-config.yaml",
    head: "repos:\n",
    besides: &[(".pre-commit-config.yaml", "default_install_hook_types: [pre-push]\nrepos: []\n")],
    install: &["install", "--hook-type", "pre-push"],
    uninstall: &["uninstall", "--hook-type", "pre-push"],
};

const PREK: Manager = Manager { variable: "LICENSE_TESTS_PREK", ..PRE_COMMIT };

const PREK_TOML: Manager = Manager {
    file: "prek.toml",
    head: "",
    besides: &[("prek.toml", "default_install_hook_types = [\"pre-push\"]\n")],
    ..PREK
};

const LEFTHOOK: Manager = Manager {
    variable: "LICENSE_TESTS_LEFTHOOK",
    file: "lefthook.yml",
    head: "",
    besides: &[("lefthook.yml", "pre-push:\n  commands:\n    a:\n      run: 'true'\n")],
    install: &["install"],
    uninstall: &["uninstall"],
};

const LEFTHOOK_TOML: Manager = Manager {
    file: ".config/lefthook.toml",
    head: "[pre-push.commands.a]\nrun = \"true\"\n\n",
    besides: &[(".config/lefthook.toml", "[pre-push.commands.a]\nrun = \"true\"\n")],
    ..LEFTHOOK
};

const HUSKY: Manager = Manager {
    variable: "LICENSE_TESTS_HUSKY",
    file: ".husky/pre-push",
    head: "",
    besides: &[("package.json", "{ \"private\": true }\n"), (".husky/pre-commit", "true\n")],
    install: &[],
    uninstall: &[],
};

/// Facts about a manager, each of which is a test of its own.
macro_rules! facts {
    ($module:ident, $manager:ident: $($fact:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $fact() {
                    super::$manager.with(super::$fact);
                }
            )+
        }
    };
}

facts!(pre_commit, PRE_COMMIT: its_lines_guard_a_push, its_lines_name_the_license_toml, it_comes_after_us_and_goes, we_go_before_it, it_runs_ours_whole_where_it_has_other_hooks);
facts!(prek, PREK: its_lines_guard_a_push, its_lines_name_the_license_toml, it_comes_after_us_and_goes, we_go_before_it, it_runs_ours_whole_where_it_has_other_hooks);
facts!(prek_toml, PREK_TOML: its_lines_guard_a_push, its_lines_name_the_license_toml);
facts!(lefthook, LEFTHOOK: its_lines_guard_a_push, its_lines_name_the_license_toml, it_comes_after_us_and_goes);
facts!(lefthook_toml, LEFTHOOK_TOML: its_lines_guard_a_push, its_lines_name_the_license_toml);
facts!(husky, HUSKY: its_lines_guard_a_push, its_lines_name_the_license_toml);

impl Manager {
    /// Tries a fact in a repository that is ready for the manager, or says that it is skipped.
    fn with(&self, fact: fn(&Self, &Managed)) {
        if let Some(program) = env::var_os(self.variable).map(PathBuf::from).filter(|program| program.is_file()) {
            fact(self, &Managed::new(&program));
        } else {
            let line = format!("skipped: `{}` names no program\n", self.variable);
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    }

    /// Writes what it needs before our lines.
    fn prepare(&self, repository: &Managed) {
        for (file, text) in self.besides {
            script(&repository.work().join(file), text, 0o644);
        }
    }

    /// Writes our lines into its file.
    fn add_lines(&self, repository: &Managed, installed: &Ran) {
        let guard = installed.exits(3).json()["guard"].clone();
        let text = format!("{}{}", self.head, guard["lines"].as_str().unwrap());
        script(&repository.work().join(self.file), &text, 0o644);
        repository.theirs(self.install);
    }

    fn name(&self) -> &'static str {
        if self.variable == PREK.variable { "prek" } else { "pre-commit" }
    }

    fn runs_legacy(&self) -> bool {
        ["LICENSE_TESTS_PRE_COMMIT", "LICENSE_TESTS_PREK"].contains(&self.variable)
    }
}

/// A repository with a remote, and a home of its own.
struct Managed {
    root: TempDir,
    manager: PathBuf,
}

impl Managed {
    fn new(manager: &Path) -> Self {
        let repository = Self { root: TempDir::with_prefix("managed-").unwrap(), manager: manager.to_owned() };
        fs::create_dir(repository.root.path().join("home")).unwrap();
        fs::create_dir(repository.work()).unwrap();
        repository.git(&["config", "--global", "user.name", "a"]);
        repository.git(&["config", "--global", "user.email", "a@example.com"]);
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../hub hub.git"]);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        // A name of an option, and an address of two words, are names and addresses too.
        repository.git(&["remote", "add", "hub", "../hub hub.git"]);
        repository.git(&["config", "remote.--version.url", "../hub hub.git"]);
        repository.commit("README", "nothing to hide\n");
        repository.git(&["push", "--quiet", "hub", "main"]);
        repository
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.work()).env_clear();
        command.env("PATH", env::var_os("PATH").unwrap()).env("HOME", self.root.path().join("home"));
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("NO_COLOR", "1"), ("CI", "1")]);
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Ran {
        let mut command = self.command(program);
        command.args(arguments);
        Ran::of(Running::start(&mut command).wait(), None).named(&format!("{} {arguments:?}", program.display()))
    }

    fn git(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(Path::new("git"), arguments);
        ran.exits(0);
        ran
    }

    fn ours(&self, arguments: &[&str]) -> Ran {
        self.run(Path::new(BINARY), &[&["hook"], arguments].concat())
    }

    fn theirs(&self, arguments: &[&str]) {
        self.run(&self.manager, arguments).exits(0);
    }

    fn commit(&self, file: &str, text: &str) {
        script(&self.work().join(file), text, 0o644);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--no-verify", "--message=more"]);
    }

    /// A push of something clean goes out, and of a key does not; whatever the remote is called.
    #[track_caller]
    fn guards(&self, remotes: &[&str]) {
        self.commit("clean", self.git(&["rev-parse", "HEAD"]).stdout());
        self.push("hub").exits(0);
        self.commit("notes", &format!("{}\n", drawn()));
        for remote in remotes {
            self.push(remote).exits(1).says("this push was stopped: it holds secrets");
        }
        // What is no program says no.
        let (program, kept) = (self.work().join(".git/license/xtask"), self.root.path().join("program"));
        fs::rename(&program, &kept).unwrap();
        script(&program, "", 0o755);
        self.push("hub").exits(1);
        fs::rename(&kept, &program).unwrap();
        self.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    }

    fn push(&self, remote: &str) -> Ran {
        self.run(Path::new("git"), &["push", "--", remote, "main"])
    }

    fn status(&self) -> Value {
        self.ours(&["status", "--format", "json"]).json()
    }

    fn hooks(&self) -> PathBuf {
        self.work().join(".git/hooks")
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.hooks().join(name)).ok()
    }
}

fn it_runs_ours_whole_where_it_has_other_hooks(manager: &Manager, repository: &Managed) {
    let text = "default_install_hook_types: [pre-commit]\nrepos:\n- repo: local\n  hooks:\n  - {id: x, name: x, entry: 'true', language: system, always_run: true, pass_filenames: false}\n";
    script(&repository.work().join(manager.file), text, 0o644);
    repository.theirs(&["install"]);
    repository.ours(&["install"]).exits(0).says("would keep ours as `pre-push.legacy`");
    let whole = |repository: &Managed| {
        repository.commit("notes", &format!("{}\n", drawn()));
        repository.git(&["branch", "leak"]);
        repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        let all = repository.run(Path::new("git"), &["push", "hub", "--all"]);
        all.exits(1).says("this push was stopped: it holds secrets");
        repository.git(&["branch", "-D", "leak"]);
    };
    repository.guards(&["hub"]);
    whole(repository);
    // As somebody who has hooks for it later.
    repository.theirs(manager.install);
    assert_eq!(repository.status()["guarded"], true);
    whole(repository);
    // It has one of its own already, and ours is to see all of a push again.
    repository.theirs(manager.uninstall);
    repository.ours(&["uninstall"]).exits(0);
    repository.theirs(manager.install);
    let own = repository.ours(&["install", "--own"]);
    own.exits(3).says(&format!("{} uninstall --hook-type pre-push`, `cargo xtask hook install --own`", manager.name()));
    repository.theirs(manager.uninstall);
    repository.ours(&["install", "--own"]).exits(0);
    repository.theirs(manager.install);
    whole(repository);
}

const FOREIGN: &str = "#!/bin/sh\nexit 0\n";

fn its_lines_guard_a_push(manager: &Manager, repository: &Managed) {
    manager.prepare(repository);
    repository.theirs(manager.install);
    manager.add_lines(repository, &repository.ours(&["install", "--format", "json"]));
    repository.ours(&["install"]).exits(0).says("runs the check already");
    assert_eq!(repository.status()["guarded"], true);
    // lefthook takes the name of an option for one of its own, and refuses.
    let remotes: &[&str] = if manager.variable == LEFTHOOK.variable { &["hub"] } else { &["hub", "--version"] };
    repository.guards(remotes);
}

fn its_lines_name_the_license_toml(manager: &Manager, repository: &Managed) {
    let (good, broken) = (
        "version = 1\n[authority.local]\nkind = \"embedded\"\n[environments.production]\nauthority = \"local\"\n\
         domain = \"app.com\"\nkey = { env = \"LICENSE_KEY\" }\n",
        "version = 1\nnonsense = true\n",
    );
    manager.prepare(repository);
    let file = "it's a $sub/license.toml";
    script(&repository.work().join(file), good, 0o644);
    manager.add_lines(repository, &repository.ours(&["install", "--config", file, "--format", "json"]));
    repository.commit("clean", "x");
    repository.push("hub").exits(0);
    repository.commit(file, broken);
    repository.push("hub").exits(1).says("license.toml` is broken");
}

fn it_comes_after_us_and_goes(manager: &Manager, repository: &Managed) {
    script(&repository.hooks().join("pre-push"), FOREIGN, 0o755);
    repository.ours(&["install"]).exits(0);
    let shim = repository.text("pre-push");
    manager.prepare(repository);
    repository.theirs(manager.install);
    assert_ne!(repository.text("pre-push"), shim);
    let status = repository.status();
    assert_eq!(status["guarded"], manager.runs_legacy(), "{status}");
    // prek fails where it has nothing to run itself.
    if manager.variable == PRE_COMMIT.variable {
        repository.guards(&["hub", "--version"]);
    }
    repository.theirs(manager.uninstall);
    assert_eq!(repository.text("pre-push"), shim);
    assert_eq!(repository.status()["guarded"], true);
    repository.guards(&["hub", "--version"]);
    repository.ours(&["uninstall"]).exits(0);
    assert_eq!(repository.text("pre-push").as_deref(), Some(FOREIGN));
    assert_eq!(repository.text(KEPT), None);
}

fn we_go_before_it(manager: &Manager, repository: &Managed) {
    script(&repository.hooks().join("pre-push"), FOREIGN, 0o755);
    repository.ours(&["install"]).exits(0);
    manager.prepare(repository);
    repository.theirs(manager.install);
    repository.ours(&["install"]).exits(0).says("runs ours, which it keeps as `pre-push.legacy`");
    repository.ours(&["uninstall"]).exits(0).says("pre-push.legacy` is again the hook from before");
    assert_eq!(repository.text("pre-push.legacy").as_deref(), Some(FOREIGN));
    repository.theirs(manager.uninstall);
    assert_eq!(repository.text("pre-push").as_deref(), Some(FOREIGN));
}
