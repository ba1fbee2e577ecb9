//! `deploy` and `check` while a rotation is open: which key ships, what is recorded of it, and how soon the old one dies.

use std::fs;

use license_tests::{
    App, Project, Rotating, failpoints,
    rotating::{ESCROW, IDENTITY, IDENTITY_VARIABLE},
};
use serde_json::{Value, json};

use crate::{BINARY, authority};

const HOUR_SECS: u64 = 60 * 60;

/// The hours of the grace.
const GRACE_HOURS: u64 = 7 * 24;

/// Its license.toml, with some more lines of the environment.
fn file(more: &str) -> String {
    format!(
        "version = 1\n{ESCROW}[authority.local]\nkind = \"embedded\"\nstate = \"state\"\n[environments.production]\nauthority = \"local\"\n\
         domain = \"app.com\"\nkey = {{ dotenv = \".env\", name = \"LICENSE_KEY\" }}\ndeploy = \"true\"\n{more}"
    )
}

/// A project whose authority's clock is its own.
fn embedded() -> Project {
    let project = Project::new(failpoints::binary(BINARY)).license_toml(file("").as_bytes());
    project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env", "state/events.jsonl"])
}

/// When so many hours of the grace are left, less some minutes.
fn with_hours_left(project: Project, hours: u64) -> Project {
    let secs = (GRACE_HOURS - hours) * HOUR_SECS + HOUR_SECS / 10;
    project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &secs.to_string())
}

/// How the newest rotation came to be adopted.
fn proof(project: &Project) -> Value {
    let trail = project.trail("production");
    let last = trail.last("rotation");
    assert_eq!(last["fact"], "adopted");
    last["proof"].clone()
}

#[test]
fn a_new_key_is_adopted_when_health_reports_it_or_when_it_was_shipped() {
    let rotating = Rotating::start(BINARY, authority(&[]));
    rotating.project.rotate(&[]).exits(0).says("adoption unproven");
    rotating.project.deploy().exits(0).says("ships its new key");
    assert_eq!(proof(&rotating.project), json!("shipped"));
    rotating.project.deploy().exits(0);
    assert_eq!(rotating.project.facts_named("adopted"), 1, "it says no more than before");

    let app = App::deployed_by(&rotating.project.seen());
    let rotating = rotating.with(|project| project.health(&app, "20s"));
    rotating.project.deploy().exits(0);
    assert_eq!(proof(&rotating.project), json!("proved"));
    rotating.project.rotate(&["--resume"]).exits(0).says("adoption proved");
}

#[test]
fn a_deploy_that_fails_or_is_not_healthy_adopts_nothing() {
    let rotating = Rotating::start(BINARY, authority(&[]));
    rotating.project.rotate(&[]).exits(0);
    let rotating = rotating.with(|project| project.deploying("exit 7"));
    rotating.project.deploy().exits(13);
    let app = App::reporting(json!({ "valid": false }));
    let rotating = rotating.with(|project| project.deploying("true").health(&app, "1s"));
    rotating.project.deploy().exits(14);
    assert_eq!(rotating.project.facts_named("adopted"), 0);
}

#[test]
fn a_deploy_of_the_old_key_goes_on_until_its_last_hour() {
    let project = embedded();
    project.deploy().exits(0);
    let old = fs::read(project.path(".env")).unwrap();
    project.rotate(&[]).exits(0);
    let project = project.write(".env", &old);
    project.deploy().exits(0).says("ships the OLD key, which works until").says("where this deploy reads its key");
    assert_eq!(project.facts_named("adopted"), 0);

    let warned = [(80, None), (72, Some(72)), (24, Some(24)), (6, Some(6))];
    let mut project = project;
    for (hours, warning) in warned {
        project = with_hours_left(project, hours);
        let ran = project.check().named(&hours.to_string());
        match warning {
            None => ran.exits(0).says_nothing_of("is the old one of a rotation"),
            Some(hours) => {
                ran.exits(0).says(&format!("dies in less than {hours} hours")).says("rotate production --resume")
            }
        };
        project.deploy().exits(0);
    }
    let project = with_hours_left(project, 1);
    project.check().exits(0).says("dies within the hour").says("rotate production --resume");
    project.deploy().exits(10).says("rotate production --resume");
}

/// The stores have the new key, and nobody deployed it: what runs dies with the old one.
#[test]
fn a_new_key_that_was_not_deployed_is_warned_about_until_it_is() {
    let project = embedded();
    project.deploy().exits(0);
    project.rotate(&[]).exits(0);
    let mut project = with_hours_left(project, 80);
    project.check().exits(0).says_nothing_of("nothing was seen to use the new key");
    for hours in [72, 24, 6] {
        project = with_hours_left(project, hours);
        let ran = project.check().named(&hours.to_string());
        ran.exits(0).says("nothing was seen to use the new key of `production`");
        ran.says(&format!("dies in less than {hours} hours")).says("cargo xtask deploy production");
    }
    project.deploy().exits(0);
    project.check().exits(0).says_nothing_of("nothing was seen to use the new key");
}

/// After the grace the rotation is closed with what was seen of the new key until then.
#[test]
fn a_rotation_is_closed_with_its_adoption_shipped_or_proved() {
    for adoption in ["shipped", "proved"] {
        let project = embedded();
        project.deploy().exits(0);
        project.rotate(&[]).exits(0);
        let new = project.trail("production").last_fact("validated")["new"].as_str().unwrap().to_owned();
        let app = App::reporting(json!({ "valid": true, "keyFingerprint": new }));
        let health = format!("health = {{ url = \"{}\", within = \"20s\" }}\n", app.url());
        let project = project.license_toml(file(if adoption == "proved" { &health } else { "" }).as_bytes());
        project.deploy().exits(0);
        let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(8 * 24 * HOUR_SECS).to_string());
        project.rotate(&["--resume"]).exits(0).says(&format!("adoption {adoption}"));
        let trail = project.trail("production");
        assert_eq!(trail.last_fact("closed")["adoption"], adoption);
    }
}

/// The smoke test sees the new key in use, where nobody deployed with health.
#[test]
fn a_look_at_an_application_that_reports_the_new_key_proves_that_it_was_adopted() {
    let project = embedded();
    project.deploy().exits(0);
    project.rotate(&[]).exits(0);
    project.run(&["status"]).exits(0);
    assert_eq!(project.facts_named("adopted"), 0);
    let new = project.trail("production").last_fact("validated")["new"].as_str().unwrap().to_owned();
    let app = App::reporting(json!({ "valid": true, "keyFingerprint": new }));
    let health = format!("health = {{ url = \"{}\", within = \"20s\" }}\n", app.url());
    let project = project.license_toml(file(&health).as_bytes());
    // It reads its key by itself: nobody deployed it.
    project.run(&["status"]).exits(0).says("proved to run what was deployed");
    assert_eq!(proof(&project), json!("proved"));
}
