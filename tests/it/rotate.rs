//! `rotate`: a new key in every store, what keeps one from beginning, and the ways back and forward.

use std::fs;

use license_tests::{
    Answer, Authority, GithubApi, Hub, Project, Rotating, VaultApi, failpoints,
    github_api::{GITHUB_TOKEN, On, Trouble},
    process::until,
    rotating::{ESCROW, IDENTITY, IDENTITY_VARIABLE},
    vault_api::{Engine, VAULT_TOKEN, VaultOn, VaultTrouble, errors},
};
use serde_json::json;

use crate::{BINARY, authority, embedded};

/// What a rotation of two stores writes into the trail.
const WHOLE: [&str; 6] = ["intent", "received", "validated", "store_holds", "store_holds", "committed"];

fn rotating() -> Rotating {
    Rotating::start(BINARY, authority(&[]))
}

/// A rotation that was refused before anything changed: what it says, how it ends, and that nothing did.
#[track_caller]
fn refused(name: &str, rotating: &Rotating, rest: &[&str], exit: i32, says: &str) {
    let (stored, escrowed) = (rotating.project.stored(), rotating.project.escrowed());
    let (facts, calls) = (rotating.project.facts(), rotating.calls());
    let ran = rotating.project.rotate(rest).named(name);
    ran.exits(exit).says(says).says_one_of(&["help", "next: "]);
    assert_eq!(rotating.project.stored(), stored, "{name}: stores");
    assert_eq!(rotating.project.escrowed(), escrowed, "{name}: escrow");
    assert_eq!(rotating.project.facts(), facts, "{name}: trail");
    assert_eq!(rotating.calls(), calls, "{name}: calls");
    rotating.hidden(&ran);
}

#[test]
fn every_store_gets_the_new_key_in_both_dialects() {
    for dialect in ["article", "sdk"] {
        let rotating = rotating().with(|project| project.authority_line("dialect", &format!("{dialect:?}")));
        let ran = rotating.project.rotate(&[]).named(dialect);
        ran.exits(0).says("both keys work: confirmed").says("cargo xtask deploy production");
        let new = rotating.newest_key();
        assert_ne!(new, rotating.license.key);
        rotating.stores_hold(&new);
        rotating.stores_work(dialect);
        assert!(rotating.accepts(&rotating.license.key), "{dialect}: the old key works on");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{dialect}");
        assert_eq!(rotating.project.facts(), WHOLE, "{dialect}");
        assert_eq!(rotating.project.trail("production").claims(), ["claimed", "released"], "{dialect}");
        let env = fs::read_to_string(rotating.project.path(".env")).unwrap();
        assert!(env.starts_with("# of .env\n") && env.ends_with("\nOTHER=1\n"), "{dialect}: {env}");
        assert_eq!(rotating.project.escrowed().len(), 2, "{dialect}: the old key and the answer");
        rotating.hidden(&ran);

        let deployed = rotating.project.deploy();
        deployed.exits(0).deploy_ran();
        assert_eq!(rotating.project.deploy_variables()["LICENSE_KEY"], new, "{dialect}");
        assert_eq!(rotating.project.facts().last().unwrap(), "adopted", "{dialect}");
        rotating.project.run(&["audit", "verify", "production"]).exits(0);
    }
}

#[test]
fn what_was_sealed_is_the_old_key_and_the_answer() {
    let rotating = rotating();
    rotating.project.rotate(&[]).exits(0);
    let trail = rotating.project.trail("production");
    let id = trail.last("rotation")["rotation_id"].as_str().unwrap();
    let open = |kind| {
        let arguments = ["escrow", "open", "production", "--rotation", id, "--kind", kind];
        let ran = rotating.project.run(&[&arguments[..], &["--identity-env", IDENTITY_VARIABLE]].concat());
        ran.exits(0).stdout().to_owned()
    };
    assert_eq!(open("old").trim(), rotating.license.key);
    assert!(open("answer").contains(&rotating.newest_key()));
    // The identity that `[escrow]` names is taken where no other is named.
    let plain = rotating.project.run(&["escrow", "open", "production", "--rotation", id, "--kind", "old"]);
    assert_eq!(plain.exits(0).stdout().trim(), rotating.license.key);
}

/// What happens after the grace is seen by a clock that is put forward, which only the failpoints build has.
#[test]
fn after_the_grace_the_old_key_is_proved_dead_and_the_escrow_is_emptied() {
    let file = format!(
        "version = 1\n{ESCROW}[authority.local]\nkind = \"embedded\"\nstate = \"state\"\n[environments.production]\nauthority = \"local\"\n\
         domain = \"app.com\"\nkey = {{ dotenv = \".env\", name = \"LICENSE_KEY\" }}\ndeploy = \"true\"\n"
    );
    let project = Project::new(failpoints::binary(BINARY)).license_toml(file.as_bytes());
    let project = project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env", "state/events.jsonl"]);
    project.deploy().exits(0);
    project.rotate(&[]).exits(0);
    assert_eq!(project.escrowed().len(), 2);
    // A sealed copy that a killed process did not bring to its place.
    let first = project.escrowed().remove(0);
    let project = project.write(&format!(".license/escrow/production/{first}.Ab1Cd2Ef.license-new"), b"sealed");

    let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(8 * 24 * 60 * 60).to_string());
    let project = project.unset(IDENTITY_VARIABLE);
    let ran = project.rotate(&["--resume"]);
    ran.exits(24).says("the old key is in escrow").says("`[escrow] identity` is not set here");
    assert_eq!(project.facts().last().unwrap(), "committed");

    let project = project.var(IDENTITY_VARIABLE, IDENTITY);
    project.rotate(&["--resume"]).exits(0).says("its old key is dead").says("adoption unproven");
    assert_eq!(project.facts().last().unwrap(), "closed");
    assert_eq!(project.escrowed(), [""; 0]);
}

/// The trail says that the rotation is closed, and the run died before it emptied the escrow.
#[test]
fn what_a_run_left_in_escrow_that_was_killed_as_it_closed_a_rotation_is_removed_by_the_next_one() {
    let file = format!(
        "version = 1\n{ESCROW}[authority.local]\nkind = \"embedded\"\nstate = \"state\"\n[environments.production]\nauthority = \"local\"\n\
         domain = \"app.com\"\nkey = {{ dotenv = \".env\", name = \"LICENSE_KEY\" }}\ndeploy = \"true\"\n"
    );
    let hub = Hub::new();
    for remote in [None, Some(&hub)] {
        let file = remote.map_or(file.clone(), |_| format!("{file}[trail]\nkind = \"git\"\nremote = \"origin\"\n"));
        let project = Project::new(failpoints::binary(BINARY)).license_toml(file.as_bytes());
        let project = project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env", "state/events.jsonl"]);
        let project = remote.into_iter().fold(project, |project, hub| hub.makes_a_repository_of(project));
        project.deploy().exits(0);
        project.rotate(&[]).exits(0);
        let first = project.escrowed();
        assert_eq!(first.len(), 2, "{first:?}");

        let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(8 * 24 * 60 * 60).to_string());
        let project = project.var(failpoints::DIES_AT, "after-closed");
        project.rotate(&["--resume"]).exits(128 + 9);
        assert_eq!(project.escrowed(), first, "closed, and not emptied yet");

        // A claim in git is in force until it runs out.
        let later = (9 * 24 * 60 * 60).to_string();
        let project = project.unset(failpoints::DIES_AT).var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &later);
        project.rotate(&[]).exits(0);
        let left = project.escrowed();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().all(|name| !first.contains(name)), "{left:?} of {first:?}");
        let shown = project.run(&["escrow", "show", "production"]);
        assert_eq!(shown.exits(0).says_nothing_of("only on").stdout().lines().count(), 2, "{shown}");
    }
}

/// A schedule finds a rotation whose grace is over, and a key that is not due yet.
#[test]
fn a_scheduled_run_closes_what_is_over_and_rotates_what_is_due() {
    let file = format!(
        "version = 1\n{ESCROW}[authority.local]\nkind = \"embedded\"\nstate = \"state\"\n[environments.production]\nauthority = \"local\"\n\
         domain = \"app.com\"\nkey = {{ dotenv = \".env\", name = \"LICENSE_KEY\" }}\ndeploy = \"true\"\n"
    );
    let project = Project::new(failpoints::binary(BINARY)).license_toml(file.as_bytes());
    let project = project.var(IDENTITY_VARIABLE, IDENTITY).may_hold(&[".env", "state/events.jsonl"]);
    project.deploy().exits(0);
    project.rotate(&[]).exits(0);
    project.rotate(&["--if-older-than", "30d"]).exits(0).says("nothing is due");
    assert_eq!(project.facts().last().unwrap(), "committed", "its grace is open");

    let at_day = |project: Project, day: u64| {
        project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &(day * 24 * 60 * 60).to_string())
    };
    // What cannot be closed is said with its exit, and not passed over.
    let project = at_day(project, 8).unset(IDENTITY_VARIABLE);
    project.rotate(&["--if-older-than", "30d"]).exits(24).says("`[escrow] identity` is not set here");
    let project = project.var(IDENTITY_VARIABLE, IDENTITY);
    let ran = project.rotate(&["--if-older-than", "30d"]);
    ran.exits(0).says("its old key is dead").says("nothing is due: the key is 8 days old");
    assert_eq!(project.facts().last().unwrap(), "closed");
    assert_eq!(project.trail("production").claims().last(), Some(&"released"));
    assert_eq!(project.escrowed(), [""; 0]);
    let before = project.content();
    project.rotate(&["--if-older-than", "30d"]).exits(0).says("nothing is due");
    assert!(project.content() == before, "nothing is left to do");

    // A month of 28 days: the run on the first of March is not to be the one that leaves the key alone.
    let project = at_day(project, 28);
    project.rotate(&["--if-older-than", "30d"]).exits(0);
    assert_eq!(project.facts_named("committed"), 2);
    // And both at once: closed, and due again.
    let project = at_day(project, 56);
    project.rotate(&["--if-older-than", "30d"]).exits(0).says("its old key is dead");
    assert_eq!((project.facts_named("closed"), project.facts_named("committed")), (2, 3));
}

#[test]
fn a_rollback_that_cannot_open_the_old_key_does_not_begin() {
    let rotating = rotating();
    rotating.project.rotate(&[]).exits(0);
    let rotating = rotating.with(|project| project.unset(IDENTITY_VARIABLE));
    let ran = rotating.project.rotate(&["--rollback"]);
    ran.exits(24).says("the old key is in escrow").says("`[escrow] identity` is not set here");
    assert_eq!(rotating.project.facts().last().unwrap(), "committed");
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn the_json_says_how_it_ended() {
    let rotating = rotating();
    let document = rotating.project.rotate(&["--format", "json"]).exits(0).json();
    assert_eq!((&document["schema"], &document["exit"]["name"]), (&json!("license-hooks/rotate/1"), &json!("done")));
    let one = &document["environments"][0];
    assert_eq!((&one["environment"], &one["outcome"]), (&json!("production"), &json!("committed")));
    assert_eq!((&one["overlap"], &one["error"]), (&json!("confirmed"), &json!(null)));
    let head = rotating.project.trail("production").head;
    assert_eq!((&one["trail"]["seq"], &one["trail"]["head"]), (&json!(head.seq), &json!(head.hash.to_string())));
    let document = rotating.project.rotate(&["--format", "json"]).exits(20).json();
    assert_eq!(document["environments"][0]["outcome"], "refused");
    assert_eq!(document["exit"], json!({ "code": 20, "name": "rotation_refused" }));
}

#[test]
fn the_embedded_authority_rotates_too() {
    let project = embedded();
    project.run(&["deploy"]).exits(0);
    let text = project.text().replace("deploy = ", "stores = [\"second\"]\ndeploy = ");
    let stores = "\n[stores.second]\nkind = \"dotenv\"\nfile = \".env.second\"\nname = \"SECOND_KEY\"\n";
    let old = fs::read_to_string(project.path(".env.development")).unwrap();
    let project = project
        .license_toml(format!("{text}\n{ESCROW}{stores}").as_bytes())
        .var(IDENTITY_VARIABLE, IDENTITY)
        .may_hold(&[".env.second"]);

    // A store that holds nothing yet gets the key too.
    let ran = project.run(&["rotate", "development"]);
    ran.exits(0).says("both keys work: confirmed");
    let new = fs::read_to_string(project.path(".env.development")).unwrap();
    assert_ne!(new, old);
    let value = |text: &str| text.trim().split_once('=').unwrap().1.trim_matches('"').to_owned();
    let second = fs::read_to_string(project.path(".env.second")).unwrap();
    assert_eq!(value(&second), value(&new));
    ran.never_shows(&value(&old)).never_shows(&value(&new));
    assert_eq!(project.trail("development").facts(), WHOLE);
    project.run(&["deploy"]).exits(0).deploy_ran();
}

#[test]
fn a_rotation_within_the_grace_of_the_last_one_is_refused_unless_a_person_accepts_that() {
    let rotating = rotating();
    rotating.project.rotate(&[]).exits(0);
    let first = rotating.newest_key();
    refused("grace open", &rotating, &[], 20, "--accept-no-overlap");
    rotating.stores_hold(&first);

    // A grace is not given up for a rotation that could not begin.
    let second = fs::read(rotating.project.path(".env.second")).unwrap();
    let rotating = rotating.with(|project| project.write(".env.second", b"SECOND_KEY=TO-PRD-somebody-elses-key\n"));
    refused("drifted", &rotating, &["--accept-no-overlap"], 20, "store `second` holds another key");
    let rotating = rotating.with(|project| project.write(".env.second", &second));
    rotating.project.rotate(&["--rollback"]).exits(0);
    rotating.nothing_stored();
    rotating.project.rotate(&["--resume"]).exits(0);

    let ran = rotating.project.rotate(&["--accept-no-overlap"]);
    ran.exits(0).says("is given up");
    rotating.stores_hold(&rotating.newest_key());
    assert_ne!(rotating.newest_key(), first);
    assert!(rotating.accepts(&first));
    assert_eq!((rotating.calls(), rotating.rotations()), (2, 2));
    assert_eq!(rotating.project.facts_named("overlap_waived"), 1);
    assert_eq!(rotating.project.escrowed().len(), 2, "nothing of the first rotation is left");
    rotating.hidden(&ran);

    // What runs has the very first key, as far as anybody knows.
    let project = &rotating.project;
    project.run(&["status"]).says("may be dead since");
    project.run(&["check"]).says("nothing was seen to use the new key of `production`");
    project.run(&["deploy"]).exits(0);
    project.run(&["status"]).says_nothing_of("may be dead since");
    project.run(&["check"]).says_nothing_of("nothing was seen to use the new key");
}

/// A job of CI that began before the rotation has the old key still, and a store that shows nothing cannot tell.
#[test]
fn a_grace_is_not_given_up_by_a_run_that_has_another_key_than_the_rotation_gave() {
    let rotating = with_helper(&format!("{TAKES}\necho '{{}}'\n")).with(|project| {
        let nothing = r#"echo '{"protocol":1,"get":false,"put":true,"versions":false}'"#;
        let project = project.write("capabilities", nothing.as_bytes()).without("key").without("stores");
        project.line("key", r#"{ env = "JOBS_KEY" }"#).line("stores", r#"["mine"]"#)
    });
    let old = rotating.license.key.clone();
    let rotating = rotating.with(|project| project.var("JOBS_KEY", &old));
    rotating.project.rotate(&[]).exits(0);
    let new = rotating.newest_key();
    let ran = rotating.project.rotate(&["--accept-no-overlap"]);
    ran.exits(20).says("was rotated away").says("help");
    let third = rotating.authority.issue(&license_tests::Grant::default()).key;
    let rotating = rotating.with(|project| project.var("JOBS_KEY", &third));
    rotating.project.rotate(&["--accept-no-overlap"]).exits(20).says("is not the new one of the rotation before");
    assert_eq!((rotating.calls(), rotating.rotations(), rotating.newest_key()), (1, 1, third.clone()));
    assert_eq!(rotating.project.facts_named("overlap_waived"), 0);

    let rotating = rotating.with(|project| project.var("JOBS_KEY", &new));
    rotating.project.rotate(&["--accept-no-overlap"]).exits(0).says("is given up");
    assert_eq!((rotating.calls(), rotating.rotations()), (2, 2));
}

#[test]
fn a_rollback_brings_the_old_key_back_and_resume_the_new_one_forward() {
    let rotating = rotating();
    rotating.project.rotate(&[]).exits(0);
    let new = rotating.newest_key();

    let back = rotating.project.rotate(&["--rollback"]);
    back.exits(0).says("holds the OLD key again").says("cargo xtask rotate production --resume");
    rotating.nothing_stored();
    rotating.stores_work("rolled back");
    rotating.hidden(&back);
    rotating.project.rotate(&["--rollback"]).exits(0);
    rotating.nothing_stored();
    refused("rolled back", &rotating, &[], 20, "cargo xtask rotate production --resume");

    let forward = rotating.project.rotate(&["--resume"]);
    forward.exits(0);
    rotating.stores_hold(&new);
    rotating.hidden(&forward);
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    let facts = rotating.project.facts();
    let back_and_forth = ["rollback_started", "store_holds", "store_holds", "rolled_back", "rolled_forward"];
    assert_eq!(facts[WHOLE.len()..WHOLE.len() + 5], back_and_forth);
}

#[test]
fn there_is_nothing_to_go_on_with_where_nothing_is_open() {
    let rotating = rotating();
    rotating.project.rotate(&["--resume"]).exits(0).says("no rotation is open");
    for wish in ["--rollback", "--confirm-not-rotated"] {
        rotating.project.rotate(&[wish]).exits(20).says("nothing changed");
    }
    rotating.project.adopt(&rotating.license.key).exits(20).says("no rotation waits for a key");
    rotating.project.rotate(&["--resume", "--rollback"]).exits(2);
    assert_eq!(rotating.project.facts(), [""; 0]);
    assert_eq!(rotating.calls(), 0);
}

#[test]
fn a_plan_changes_nothing() {
    let rotating = rotating();
    let look = |says: &str| {
        let before = rotating.project.content();
        let ran = rotating.project.rotate(&["--plan"]);
        ran.exits(0).says(says);
        assert!(rotating.project.content() == before, "something changed\n{ran}");
        rotating.hidden(&ran);
    };
    // The first run writes the project down.
    rotating.project.check().exits(0);
    look("ask the authority `to` once for a new key, with a grace of 7 days");
    assert_eq!((rotating.calls(), rotating.rotations()), (0, 0));
    rotating.project.rotate(&[]).exits(0);
    look("be refused");
    rotating.project.rotate(&["--rollback"]).exits(0);
    look("--resume");
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
}

#[test]
fn a_key_that_is_young_enough_is_left_alone() {
    let rotating = rotating();
    rotating.project.check().exits(0);
    let before = rotating.project.content();
    rotating.project.rotate(&["--if-older-than", "30d"]).exits(0).says("nothing is due");
    assert!(rotating.project.content() == before);
    assert_eq!(rotating.calls(), 0);
    let document = rotating.project.rotate(&["--if-older-than", "30d", "--format", "json"]).exits(0).json();
    assert_eq!(document["environments"][0]["outcome"], "not_due");

    until("the key is older", || {
        rotating.project.rotate(&["--if-older-than", "1s"]).exits(0);
        rotating.calls() > 0
    });
    rotating.stores_hold(&rotating.newest_key());
    rotating.project.rotate(&["--if-older-than", "soon"]).exits(2);
}

#[test]
fn what_is_wrong_before_anything_changed_is_said_and_nothing_changes() {
    let broken = |change: fn(Project) -> Project| rotating().with(change);
    let vault = VaultApi::start(Engine::V2, "secret");
    let answer = VaultTrouble::Answer(Answer::json(200, &json!({ "capabilities": ["read"] })));
    vault.fail(VaultOn::Capabilities, answer);
    let rows: [(&str, Rotating, &[&str], i32, &str); 9] = [
        (
            "a token without the right to write",
            with_vault(&vault),
            &[],
            20,
            "store `vault` is not ready, and nothing was changed",
        ),
        (
            "a store that cannot be reached",
            with_vault_at("http://127.0.0.1:9"),
            &[],
            20,
            "store `vault` is not ready, and nothing was changed",
        ),
        (
            "a drifted store",
            broken(|project| project.write(".env.second", b"SECOND_KEY=TO-PRD-somebody-elses-key\n")),
            &[],
            20,
            "store `second` holds another key",
        ),
        (
            "a store that cannot be written",
            broken(|project| {
                project
                    .write("blocked", b"")
                    .tables("[stores.blocked]\nkind = \"dotenv\"\nfile = \"blocked/.env\"\nname = \"KEY\"\n")
                    .line("stores", r#"["second", "blocked"]"#)
            }),
            &[],
            20,
            "store `blocked` is not ready, and nothing was changed",
        ),
        ("no grace", rotating(), &["--grace-days", "0"], 20, "a grace of 0 days"),
        (
            "no grace in the file",
            broken(|project| project.line("rotation", "{ grace_days = 0 }")),
            &[],
            20,
            "a grace of 0 days",
        ),
        (
            "a foreign identity",
            broken(|project| {
                project.run(&["escrow", "keygen", "--out", "other.txt"]).exits(0);
                let other = fs::read_to_string(project.path("other.txt")).unwrap();
                fs::remove_file(project.path("other.txt")).unwrap();
                project.var(IDENTITY_VARIABLE, other.lines().last().unwrap())
            }),
            &[],
            20,
            "the escrow identity is none of the recipients",
        ),
        (
            "a wrong token",
            broken(|project| project.var("TO_API_KEY", "to_live_wrong-token-0123")),
            &[],
            12,
            "TO_API_KEY",
        ),
        (
            "a shared key",
            broken(|project| {
                let shared = "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { dotenv = \".env\", name = \"LICENSE_KEY\" }\n";
                project.tables(shared)
            }),
            &[],
            3,
            "staging",
        ),
    ];
    for (name, rotating, rest, exit, says) in rows {
        refused(name, &rotating, rest, exit, says);
    }
}

#[test]
fn on_a_trail_of_a_newer_version_nothing_is_done() {
    let line: &[u8] = b"{\"v\":2,\"seq\":1,\"prev\":\"whatever\"}\n";
    let rotating = rotating().with(|project| project.write(".license/trail/production.jsonl", line));
    for rest in [&[][..], &["--resume"], &["--plan"]] {
        let ran = rotating.project.rotate(rest);
        ran.exits(26).says("line 1 has format 2, and this program reads up to 1").says("help");
        rotating.hidden(&ran);
    }
    assert_eq!(fs::read(rotating.project.trail_file("production")).unwrap(), line);
    assert_eq!((rotating.calls(), rotating.rotations()), (0, 0));
    rotating.nothing_stored();
}

/// With a trail in git nobody can see that the runner is gone: its claim counts until it has run out.
#[test]
fn the_claim_of_a_dead_runner_holds_until_it_runs_out_and_is_taken_then() {
    let hub = Hub::new();
    let binary = failpoints::binary(BINARY);
    let rotating = Rotating::start(binary, authority(&[])).with(|project| hub.shared_by(project));
    let dead = rotating.with(|project| project.var(failpoints::DIES_AT, "after-claim"));
    dead.project.rotate(&[]).exits(128 + 9);
    assert_eq!((hub.trail("production").claims(), dead.calls()), (vec!["claimed"], 0));

    let other = hub.shared_by(dead.elsewhere(binary));
    let held = other.rotate(&[]);
    held.exits(25).says("production").says("until").says("cargo xtask lock show production");
    dead.hidden(&held);
    assert_eq!(hub.trail("production").facts(), [""; 0]);
    // Two hours later it has run out, and a person may end it; or the next run takes it.
    let seq = hub.trail("production").entries.len().to_string();
    let end = ["lock", "break", "production", "--expect", &seq, "--reason", "the runner is gone"];
    other.run(&end).exits(25);
    let later = other.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", "7200");
    later.run(&end).exits(0);
    let other = later.unset("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS");
    other.rotate(&[]).exits(0);
    assert_eq!((dead.calls(), dead.rotations()), (1, 1));
}

#[test]
fn a_key_that_the_authority_refuses_is_not_rotated() {
    let rotating = rotating();
    rotating.authority.revoke(&rotating.license);
    refused("revoked", &rotating, &[], 20, "the authority refuses the key of environment `production`");
}

#[test]
fn without_somebody_to_seal_to_nothing_begins() {
    let rotating = rotating();
    let text = rotating.project.text().replace(ESCROW, "");
    assert!(!text.contains("[escrow]"));
    let rotating = rotating.with(|project| project.license_toml(text.as_bytes()));
    refused("no recipients", &rotating, &[], 3, "recipients");
}

#[test]
fn a_grace_that_is_no_number_of_days_is_a_wrong_use() {
    let rotating = rotating();
    for days in ["10000", "-1", "seven"] {
        rotating.project.rotate(&["--grace-days", days]).exits(2);
    }
    let rotating = rotating.with(|project| project.line("rotation", "{ grace_days = 10000 }"));
    refused("too many days in the file", &rotating, &[], 3, "grace_days");
}

#[test]
fn a_grace_that_the_authority_refuses_is_refused_and_the_next_rotation_begins_anew() {
    let rotating = rotating();
    let ran = rotating.project.rotate(&["--grace-days", "100"]);
    ran.exits(20).says("the authority refused the call").says("cargo xtask rotate production");
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 0));
    assert_eq!(rotating.project.facts(), ["intent", "aborted"]);
    assert_eq!(rotating.project.escrowed(), [""; 0], "the escrow of an aborted rotation is emptied");
    rotating.nothing_stored();
    rotating.hidden(&ran);
    rotating.project.rotate(&[]).exits(0);
    assert_eq!((rotating.calls(), rotating.rotations()), (2, 1));
}

#[test]
fn a_grace_of_no_days_is_taken_if_a_person_accepts_that() {
    let rotating = rotating();
    let ran = rotating.project.rotate(&["--grace-days", "0", "--accept-no-overlap"]);
    ran.exits(0).says("overlap absent");
    rotating.stores_hold(&rotating.newest_key());
    rotating.stores_work("without grace");
    assert!(!rotating.accepts(&rotating.license.key));
}

/// A third store that reads, and does not take anything until it is healed.
fn with_vault(vault: &VaultApi) -> Rotating {
    with_vault_at(&vault.url())
}

fn with_vault_at(url: &str) -> Rotating {
    let table = format!(
        "[stores.vault]\nkind = \"vault\"\nurl = \"{url}\"\npath = \"app\"\ntoken = {{ env = \"VAULT_TOKEN\" }}\n"
    );
    rotating()
        .with(|project| project.tables(&table).var("VAULT_TOKEN", VAULT_TOKEN).line("stores", r#"["second", "vault"]"#))
}

#[test]
fn a_store_that_fails_is_brought_up_by_the_next_run() {
    let vault = VaultApi::start(Engine::V2, "secret");
    vault.fail(VaultOn::Write, VaultTrouble::Answer(errors(500, &["internal error"])));
    let rotating = with_vault(&vault);
    let ran = rotating.project.rotate(&[]);
    ran.exits(24).says("`vault`").says("cargo xtask rotate production --resume");
    rotating.stores_hold(&rotating.newest_key());
    rotating.stores_work("partial");
    assert!(rotating.accepts(&rotating.license.key), "both work");
    rotating.hidden(&ran);
    rotating.project.rotate(&["--resume"]).exits(24);
    // Not a second rotation either.
    rotating.project.rotate(&[]).exits(24);

    vault.heal();
    let ran = rotating.project.rotate(&["--resume"]);
    ran.exits(0).says("both keys work: confirmed");
    assert_eq!(vault.secret("app").unwrap()["key"], rotating.newest_key());
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    rotating.hidden(&ran);
}

#[test]
fn a_store_that_takes_a_key_and_reports_a_failure_is_read_back() {
    let vault = VaultApi::start(Engine::V2, "secret");
    vault.fail(VaultOn::Write, VaultTrouble::Late(errors(500, &["internal error"])));
    let rotating = with_vault(&vault);
    rotating.project.rotate(&[]).exits(0);
    assert_eq!(vault.secret("app").unwrap()["key"], rotating.newest_key());
    assert_eq!(vault.writes(), 1);
}

/// A third store behind a helper program, which is a shell and has a script for each verb.
fn with_helper(put: &str) -> Rotating {
    let capabilities = r#"echo '{"protocol":1,"get":true,"put":true,"versions":false}'"#;
    let get = r#"[ -e kept ] || exit 3; read -r key < kept; printf '{"key":"%s"}\n' "$key""#;
    rotating().with(|project| {
        fs::create_dir(project.path("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", project.path("bin/license-store-mine")).unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("bin").display());
        project
            .write("capabilities", capabilities.as_bytes())
            .write("get", get.as_bytes())
            .write("put", put.as_bytes())
            .may_hold(&["kept"])
            .var("PATH", &path)
            .tables("[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\n")
            .line("stores", r#"["second", "mine"]"#)
    })
}

/// Takes the key, as a helper does that tells the truth.
const TAKES: &str = r#"sed 's/.*"key":"\([^"]*\)".*/\1/' > kept"#;

#[test]
fn a_helper_that_is_not_there_is_told_by_the_name_of_its_field() {
    let helper = "[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-nowhere\"]\n";
    let rotating = rotating().with(|project| project.tables(helper).line("stores", r#"["second", "mine"]"#));
    let ran = rotating.project.rotate(&[]);
    ran.exits(20).says("cannot be started").says("correct `command` in license.toml").says_nothing_of("`program`");
    rotating.nothing_stored();
}

#[test]
fn a_helper_that_lies_about_what_it_stored_is_read_back() {
    for (name, end) in [
        ("for now it did not", "exit 6"),
        ("it has another version", "exit 4"),
        ("it may not write", "exit 5"),
        ("nobody knows", "exit 8"),
        ("no answer", "exit 0"),
        ("it was killed", "kill -9 $$"),
    ] {
        let rotating = with_helper(&format!("{TAKES}\n{end}\n"));
        let ran = rotating.project.rotate(&[]).named(name);
        ran.exits(0).says("both keys work: confirmed");
        rotating.hidden(&ran);
        rotating.stores_hold(&rotating.newest_key());
        assert_eq!(fs::read_to_string(rotating.project.path("kept")).unwrap().trim(), rotating.newest_key(), "{name}");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{name}");
    }
    let done = r"echo '{}'";
    for (name, put, resumed) in [
        ("it stored nothing", format!("cat > /dev/null\n{done}\n"), 0),
        ("it stored a part", format!("{TAKES}\ncut -c 1-12 kept > part\nmv part kept\n{done}\n"), 24),
        ("it stored another key", format!("cat > /dev/null\necho TO-PRD-another-key > kept\n{done}\n"), 24),
    ] {
        let rotating = with_helper(&put);
        let ran = rotating.project.rotate(&[]).named(name);
        ran.exits(24).says("`mine`").says("it said that it took the key, and does not hold it").says("--resume");
        rotating.hidden(&ran);
        rotating.stores_hold(&rotating.newest_key());
        rotating.stores_work(name);
        assert!(rotating.accepts(&rotating.license.key), "{name}: the old key works on");
        // A key that nobody told us about is not written over, whatever the helper would do.
        let rotating = rotating.with(|project| project.write("put", format!("{TAKES}\n{done}\n").as_bytes()));
        let ran = rotating.project.rotate(&["--resume"]).named(name);
        ran.exits(resumed);
        if resumed == 24 {
            ran.says("it holds a third key");
            fs::remove_file(rotating.project.path("kept")).unwrap();
            rotating.project.rotate(&["--resume"]).named(name).exits(0);
        }
        assert_eq!(fs::read_to_string(rotating.project.path("kept")).unwrap().trim(), rotating.newest_key(), "{name}");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{name}");
    }
}

/// Nobody can see what it holds: what it promises of a `put` that ends well is all there is.
#[test]
fn a_helper_that_shows_nothing_is_taken_at_its_word() {
    let rows = [("it does", "", 0), ("it does not know", "[ -e again ] || { : > again; exit 8; }\n", 24)];
    for (name, first, exit) in rows {
        let rotating = with_helper(&format!("{TAKES}\n{first}echo '{{}}'\n")).with(|project| {
            let nothing = r#"echo '{"protocol":1,"get":false,"put":true,"versions":false}'"#;
            project.write("capabilities", nothing.as_bytes()).write("get", b": > asked\nexit 7\n").may_hold(&["kept"])
        });
        let ran = rotating.project.rotate(&[]).named(name);
        ran.exits(exit);
        rotating.hidden(&ran);
        let ran = if exit == 0 { ran } else { rotating.project.rotate(&["--resume"]).named(name) };
        ran.exits(0).says("mine: it shows nothing of what it holds: that it took the key is its word alone");
        let kept = || fs::read_to_string(rotating.project.path("kept")).unwrap().trim().to_owned();
        assert_eq!(kept(), rotating.newest_key(), "{name}");
        assert_eq!(rotating.project.facts().last().unwrap(), "committed", "{name}");
        rotating.project.rotate(&["--rollback"]).named(name).exits(0).says("its word alone");
        assert_eq!(kept(), rotating.license.key, "{name}");
        assert!(!rotating.project.path("asked").exists(), "{name}: what gives nothing is not asked for it");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{name}");
    }
}

/// The first `put` stored the key and could not say so; the next one has nothing to do, and the version stays.
#[test]
fn a_put_that_is_repeated_need_not_change_the_version() {
    let put = "[ -e kept ] && { echo '{}'; exit; }\nsed 's/.*\"key\":\"\\([^\"]*\\)\".*/\\1/' > kept\nexit 8\n";
    let rotating = with_helper(put).with(|project| {
        let versions = r#"echo '{"protocol":1,"get":false,"put":true,"versions":true}'"#;
        let get = r#"[ -e kept ] || exit 3; echo '{"version":"2"}'"#;
        project.write("capabilities", versions.as_bytes()).write("get", get.as_bytes())
    });
    rotating.project.rotate(&[]).exits(24).says("nobody knows whether it was written");
    rotating.project.rotate(&["--resume"]).exits(0).says("its word alone");
    assert_eq!(fs::read_to_string(rotating.project.path("kept")).unwrap().trim(), rotating.newest_key());
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
}

#[test]
fn without_its_identity_a_rotation_stops_and_says_how_it_goes_on() {
    let vault = VaultApi::start(Engine::V2, "secret");
    vault.fail(VaultOn::Write, VaultTrouble::Answer(errors(500, &["internal error"])));
    let rotating = with_vault(&vault);
    rotating.project.rotate(&[]).exits(24);
    vault.heal();

    let rotating = rotating.with(|project| project.unset(IDENTITY_VARIABLE));
    let stored = rotating.project.stored();
    let ran = rotating.project.rotate(&["--resume"]);
    ran.exits(24).says("`[escrow] identity` is not set here").says("cargo xtask rotate production --resume");
    assert_eq!(rotating.project.stored(), stored);
    rotating.hidden(&ran);

    let rotating = rotating.with(|project| project.var(IDENTITY_VARIABLE, IDENTITY));
    rotating.project.rotate(&["--resume"]).exits(0);
    assert_eq!(vault.secret("app").unwrap()["key"], rotating.newest_key());
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
}

/// Two environments of one authority.
fn two(authority: Authority) -> (Rotating, String) {
    let rotating = Rotating::start(BINARY, authority);
    let grant = license_tests::Grant { domains: &["staging.app.com"], ..license_tests::Grant::default() };
    let staging = rotating.authority.issue(&grant);
    let table = format!(
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nlicense = {:?}\nkey = {{ dotenv = \".env.staging\", name = \"KEY\" }}\n",
        staging.id
    );
    let rotating = rotating.with(|project| {
        project
            .tables(&table)
            .write(".env.staging", format!("KEY={}\n", staging.key).as_bytes())
            .may_hold(&[".env.staging"])
    });
    (rotating, staging.key)
}

#[test]
fn all_environments_are_rotated_one_after_the_other() {
    let (rotating, staging) = two(authority(&[]));
    let ran = rotating.project.run(&["rotate", "--all"]);
    ran.exits(0);
    rotating.hidden(&ran);
    let now = fs::read_to_string(rotating.project.path(".env.staging")).unwrap();
    let now = now.trim().strip_prefix("KEY=").unwrap();
    assert!(now != staging && rotating.keys().contains(&now.to_owned()));
    assert!(rotating.project.stored().iter().all(|key| *key != rotating.license.key));
    assert_eq!(rotating.rotations(), 2);
    for environment in ["production", "staging"] {
        assert_eq!(*rotating.project.trail(environment).facts().last().unwrap(), "committed", "{environment}");
    }
    let document = rotating.project.run(&["rotate", "--all", "--format", "json"]).exits(20).json();
    assert_eq!(document["environments"].as_array().unwrap().len(), 2);
    assert_eq!(rotating.rotations(), 2);
}

#[test]
fn one_environment_that_cannot_be_rotated_does_not_keep_the_others_from_it() {
    let (rotating, staging) = two(authority(&[]));
    let drifted = rotating.with(|project| project.write(".env.second", b"SECOND_KEY=TO-PRD-somebody-elses-key\n"));
    drifted.project.run(&["rotate", "--all"]).exits(20).says("store `second` holds another key");
    let now = fs::read_to_string(drifted.project.path(".env.staging")).unwrap();
    assert!(!now.contains(&staging), "staging was rotated");
    assert_eq!(drifted.project.facts(), [""; 0]);
    drifted.project.run(&["rotate", "--all", "production"]).exits(2);
}

/// Its last words say what to do, however many stand before them.
#[test]
fn what_to_do_about_a_store_that_failed_is_shown_whole() {
    let repository = format!("acme/{}", "long-name-".repeat(9));
    let github = GithubApi::start(&[(&repository, "production")]);
    let store = format!(
        "[stores.gh]\nkind = \"github\"\nurl = {:?}\nrepository = {repository:?}\n\
         token = {{ env = \"GH_SECRETS_TOKEN\" }}\n",
        github.url()
    );
    let rotating = rotating().with(|project| {
        project.tables(&store).var("GH_SECRETS_TOKEN", GITHUB_TOKEN).line("stores", r#"["second", "gh"]"#)
    });
    let no = json!({ "message": "Resource not accessible by personal access token" });
    github.fail(On::Write, Trouble::Answer(Answer::json(403, &no)));
    let ran = rotating.project.rotate(&[]);
    ran.exits(24).says("store `gh` was not written: ").says("Resource not accessible by personal access token");
    ran.says(&format!(
        "next: give the environment variable `GH_SECRETS_TOKEN` a fine-grained token with write access to `Environments` \
         and `Secrets` of `{repository}`, or a classic one with the scope `repo`"
    ));
    assert!(rotating.project.trail_text("production").contains('…'), "the trail keeps the beginning");
    rotating.hidden(&ran);
    github.heal();
    rotating.project.rotate(&["--resume"]).exits(0);
}
