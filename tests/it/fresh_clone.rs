//! The repository's own `license.toml`: what the first command of the README does on a fresh clone.

use std::{fs, path::Path};

use license_tests::{App, Hub, Project, rotating::ESCROW};

use crate::project;

/// The repository's own file, with the port of the application and the deploy command of the tests.
fn fresh_clone() -> (Project, App) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("license.toml");
    let text = fs::read_to_string(file).unwrap();
    let project = project();
    let app = App::deployed_by(&project.seen());
    let text = text.lines().map(|line| for_the_test(line, &app)).collect::<Vec<_>>().join("\n");
    (project.license_toml(text.as_bytes()), app)
}

/// Development is the environment whose application runs here.
fn for_the_test(line: &str, app: &App) -> String {
    if line.starts_with("health = ") && line.contains("http://localhost:3000/") {
        return line.replace("http://localhost:3000/api/license/status", &app.url());
    }
    if line.starts_with("deploy = ") && line.contains("sample-app") {
        return r#"deploy = ["sh", "deploy.sh"]"#.to_owned();
    }
    line.to_owned()
}

#[test]
fn a_fresh_clone_deploys_without_an_account_and_does_it_again() {
    let (project, app) = fresh_clone();
    let first = project.run(&["deploy"]);
    first.exits(0).says("issued").deploy_ran();
    assert!(app.asked() > 0, "nothing was looked at");
    let key = project.deploy_variables()["LICENSE_KEY"].clone();
    first.never_shows(&key);

    let second = project.run(&["deploy"]);
    second.exits(0).says_nothing_of("issued").deploy_ran().never_shows(&key);
    assert_eq!(project.deploy_variables()["LICENSE_KEY"], key);

    let trail = project.trail("development");
    let once = ["gate", "deploy_started", "deploy_ended", "health"];
    assert_eq!(trail.kinds(), [&["issued"][..], &once, &once].concat());
    assert_eq!(trail.last("health")["health"], "proved");
}

#[test]
fn the_four_checks_pass_on_a_fresh_clone() {
    let (project, _app) = fresh_clone();
    let ran = project.run(&["deploy", "--format", "json"]);
    ran.exits(0).verdict("go");
    for check in ["validity", "domain", "features", "activations"] {
        ran.check(check, "pass");
    }
    assert_eq!(ran.json()["environment"], "development");
}

#[test]
fn the_environments_of_the_mission_are_there() {
    let (project, _app) = fresh_clone();
    let text = project.text();
    for environment in ["development", "staging", "production"] {
        assert!(text.contains(&format!("[environments.{environment}]")), "{environment}");
    }
    // Their keys are named in the file, and whoever has none is told which variable it is.
    let ran = project.run(&["check", "production"]);
    ran.exits(3).says("LICENSE_KEY");
}

#[test]
fn a_key_file_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (project, _app) = fresh_clone();
    project.run(&["deploy"]).exits(0);
    let mode = fs::metadata(project.path(".env.development")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// The file at its end says what the monthly workflow needs, and the workflow waits until somebody did it.
#[test]
fn with_the_lines_at_its_end_production_can_be_rotated_as_the_workflow_does() {
    let (project, _app) = fresh_clone();
    let text = project.text();
    let (above, below) = text.split_once("# [trail]\n").unwrap();
    let below = format!("# [trail]\n{below}");
    let taken = below.lines().map(|line| line.strip_prefix("# ").unwrap()).collect::<Vec<_>>().join("\n");
    let recipient = ESCROW.lines().find(|line| line.starts_with("recipients")).unwrap();
    assert!(taken.contains("recipients = [\"age1...\"]"), "{taken}");
    let taken = taken.replace("recipients = [\"age1...\"]", recipient);
    let above = above.replace("license = \"lic_abc123\"", "license = \"lic_abc123\"\nstores = [\"github\"]");
    let hub = Hub::new();
    let project = hub.makes_a_repository_of(project.license_toml(format!("{above}{taken}").as_bytes()));
    let workflow = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".github/workflows/rotate.yml"),
    )
    .unwrap();
    assert!(workflow.contains("    if: vars.LICENSE_ROTATION == 'on'\n"), "{workflow}");
    let mut project = project.var("CI", "true").var("GITHUB_ACTIONS", "true");
    project.run(&["rotate", "production", "--plan"]).exits(0).says("write it and read it back: github");
    // Nothing is wrong with the file; what is missing is what the workflow sets.
    for name in ["GH_SECRETS_TOKEN", "TO_API_KEY", "LICENSE_KEY"] {
        let ran = project.run(&["rotate", "production", "--if-older-than", "30d"]);
        ran.exits(3).says(name);
        assert!(workflow.contains(&format!("{name}: ${{{{ secrets.{name} }}}}")), "{workflow}");
        project = project.var(name, "something-0123456789");
    }
}
