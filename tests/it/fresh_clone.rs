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

/// The file with the lines at its end taken in, as whoever switches the workflows on does it; the trail is on a hub.
fn with_the_lines_at_its_end(more: &str) -> (Project, Hub, App) {
    let (project, app) = fresh_clone();
    let text = project.text();
    let (above, below) = text.split_once("# [trail]\n").unwrap();
    let below = format!("# [trail]\n{below}");
    let taken = below.lines().map(|line| line.strip_prefix("# ").unwrap()).collect::<Vec<_>>().join("\n");
    let recipient = ESCROW.lines().find(|line| line.starts_with("recipients")).unwrap();
    assert!(taken.contains("recipients = [\"age1...\"]"), "{taken}");
    let taken = taken.replace("recipients = [\"age1...\"]", recipient);
    let above = above.replace("license = \"lic_abc123\"", "license = \"lic_abc123\"\nstores = [\"github\"]");
    // Nobody on the network is asked.
    let above = above.replace("https://app.com/api/license/status", &app.url());
    let hub = Hub::new();
    let project = hub.makes_a_repository_of(project.license_toml(format!("{above}{taken}\n{more}").as_bytes()));
    (project.var("CI", "true").var("GITHUB_ACTIONS", "true"), hub, app)
}

/// A workflow of this repository. It waits until somebody switches it on by this variable.
fn workflow(name: &str, switch: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".github/workflows").join(name);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(&format!("    if: vars.{switch} == 'on'\n")), "{text}");
    text
}

/// Nothing is wrong with the file, and what is missing is what the workflow sets: the command says so of one variable
/// after another, and the workflow has each.
fn misses_only_what_it_sets(mut project: Project, workflow: &str, command: &[&str], variables: &[(&str, &str)]) {
    assert!(workflow.contains(&format!("      - run: cargo xtask {}\n", command.join(" "))), "{workflow}");
    for (name, value) in variables {
        project.run(command).exits(3).says(name);
        assert!(workflow.contains(&format!("          {name}: ${{{{ secrets.{name} }}}}\n")), "{workflow}");
        project = project.var(name, value);
    }
}

const ANY: &str = "something-0123456789";

#[test]
fn with_the_lines_at_its_end_production_can_be_rotated_as_the_workflow_does() {
    let (project, _hub, _app) = with_the_lines_at_its_end("");
    let workflow = workflow("rotate.yml", "LICENSE_ROTATION");
    project.run(&["rotate", "production", "--plan"]).exits(0).says("write it and read it back: github");
    let variables = [("GH_SECRETS_TOKEN", ANY), ("TO_API_KEY", ANY), ("LICENSE_KEY", ANY)];
    misses_only_what_it_sets(project, &workflow, &["rotate", "production", "--if-older-than", "30d"], &variables);
}

#[test]
fn with_the_lines_at_its_end_production_can_be_watched_as_the_workflow_does() {
    let sink = "[alerts]\nsinks = [\"team\"]\n[sinks.team]\nkind = \"slack\"\nurl = { env = \"SLACK_WEBHOOK_URL\" }\n";
    let (project, _hub, _app) = with_the_lines_at_its_end(sink);
    let workflow = workflow("watch.yml", "LICENSE_WATCH");
    let variables = [("SLACK_WEBHOOK_URL", "https://127.0.0.1:9/hook"), ("LICENSE_KEY", ANY), ("TO_API_KEY", ANY)];
    misses_only_what_it_sets(project, &workflow, &["status", "production", "--exit-code"], &variables);
}

#[test]
fn with_the_lines_at_its_end_production_can_be_deployed_as_the_workflow_does() {
    let (project, _hub, _app) = with_the_lines_at_its_end("");
    let workflow = workflow("deploy.yml", "LICENSE_DEPLOY");
    let variables = [("TO_API_KEY", ANY), ("LICENSE_KEY", ANY)];
    misses_only_what_it_sets(project, &workflow, &["deploy", "production"], &variables);
}
