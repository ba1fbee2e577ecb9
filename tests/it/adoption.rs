//! Another workspace adopts this one: an `xtask` crate of three lines over our library, the alias, its own `license.toml`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use license_tests::{Trail, process::Running};
use tempfile::TempDir;

const LICENSE_TOML: &str = r#"version = 1

[authority.local]
kind = "embedded"

[environments.development]
authority = "local"
domain = "localhost:8080"
key = { dotenv = ".env.development", name = "LICENSE_KEY" }
deploy = "true"
"#;

/// Writes what the README tells a project to write.
fn adopting_workspace(directory: &Path) {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"xtask\"]\n");
    write(".cargo/config.toml", "[alias]\nxtask = \"run --quiet --package adopting-xtask --\"\n");
    write("license.toml", LICENSE_TOML);
    write(
        "xtask/Cargo.toml",
        &format!(
            "[package]\nname = \"adopting-xtask\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
             [dependencies]\nxtask = {{ path = \"{}\" }}\n\n\
             [profile.dev]\ndebug = \"line-tables-only\"\n",
            ours.join("xtask").display()
        ),
    );
    write("xtask/src/main.rs", "fn main() -> std::process::ExitCode {\n    xtask::main_impl()\n}\n");
    fs::copy(ours.join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
}

/// Where Cargo builds: our own target directory, so that what is built already is not built again.
fn target() -> PathBuf {
    Path::new(crate::BINARY).ancestors().nth(2).unwrap().to_owned()
}

fn cargo(directory: &Path, arguments: &[&str]) -> license_tests::process::Finished {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.current_dir(directory).args(arguments).env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true");
    // What Cargo tells the tests about themselves is not true of the other workspace.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_BIN_") {
            command.env_remove(&name);
        }
    }
    Running::start(&mut command).wait_within(std::time::Duration::from_secs(900))
}

#[test]
fn another_workspace_deploys_with_three_lines_of_its_own() {
    let directory = TempDir::with_prefix("adopting-").unwrap();
    adopting_workspace(directory.path());
    let first = cargo(directory.path(), &["xtask", "deploy"]);
    assert_eq!(first.code(), 0, "{first:?}");
    let trail = Trail::read(&directory.path().join(".license/trail/development.jsonl"));
    assert_eq!(trail.kinds(), ["issued", "gate", "deploy_started", "deploy_ended"]);
    assert!(first.stderr.contains(&trail.head.hash.to_string()), "{first:?}");

    let second = cargo(directory.path(), &["xtask", "check", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!((second.code(), &document["environments"][0]["verdict"]), (0, &"go".into()), "{second:?}");

    let third = cargo(directory.path(), &["xtask", "deploy", "nowhere"]);
    assert!(matches!(third.code(), 2 | 3), "exit codes pass through cargo: {third:?}");
}
