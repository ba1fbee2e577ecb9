//! The gate alone.

use license_tests::{Answer, Grant, Project, RawServer, authority::TOKEN};
use serde_json::{Value, json};

use crate::{asking, authority, good, good_but, in_days, licensed, project, saying};

#[test]
fn a_check_says_go_and_leaves_no_trace() {
    let (_authority, _, project) = licensed(&Grant::default());
    project.check().exits(0).deploy_did_not_run();
    assert!(!project.path(".license").exists(), "a check wrote something");
}

#[test]
fn the_json_of_a_check_has_a_list_also_for_one_environment() {
    let (_authority, _, project) = licensed(&Grant::default());
    let document = project.check_json().exits(0).json();
    assert!(!document["schema"].is_null(), "{document}");
    assert_eq!(document["environments"].as_array().unwrap().len(), 1);
    assert_eq!(document["environments"][0]["environment"], "production");
    assert_eq!(document["environments"][0]["verdict"], "go");
    assert_eq!(document["exit"], json!({ "code": 0, "name": "done" }));
    let check = &document["environments"][0]["checks"][0];
    assert!(["code", "outcome", "reason", "message"].iter().all(|field| check[field].is_string()), "{check}");
}

#[test]
fn every_failed_demand_is_told_at_once() {
    let answer = good_but(&json!({ "features": [], "activationsUsed": 10, "expiresAt": in_days(20) }));
    let server = saying(&answer);
    let project = asking(&server).line("features", r#"["sso"]"#).line("activations", "1").line("min_days_left", "30");
    let ran = project.check_json();
    ran.exits(10).verdict("refused");
    for code in ["features", "activations", "expiry_horizon"] {
        ran.check(code, "fail");
    }
    ran.check("validity", "pass").check("domain", "pass");
}

#[test]
fn a_failed_demand_is_underlined_in_the_file() {
    let server = saying(&good());
    let project = asking(&server).line("features", r#"["sso", "audit"]"#);
    let ran = project.check();
    ran.exits(10).says("audit").says("license.toml").says(r#"features = ["sso", "audit"]"#);
}

#[test]
fn what_is_not_demanded_passes_even_when_the_authority_does_not_say_it() {
    let server = saying(&json!({ "valid": true, "domains": ["app.com"] }));
    let ran = asking(&server).check_json();
    ran.exits(0).verdict("go").check("features", "pass").check("activations", "pass").check("key_class", "pass");
    assert_eq!(ran.finding("features")["reason"], "not_demanded");
}

#[test]
fn a_license_that_ends_soon_is_a_warning() {
    let (_authority, _, project) = licensed(&Grant { expires: "20d", ..Grant::default() });
    project.check_json().exits(0).verdict("go").check("expiry_horizon", "warn");
}

#[test]
fn several_environments_are_named_or_all_are_checked() {
    let (authority, _, project) = licensed(&Grant::default());
    let staging = authority.issue(&Grant { class: "STG", domains: &["staging.app.com"], ..Grant::default() });
    let project = project.var("STAGING_KEY", &staging.key).tables(
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n",
    );
    for arguments in
        [&["check", "--all", "--format", "json"][..], &["check", "production", "staging", "--format", "json"]]
    {
        let document = project.run(arguments).exits(0).json();
        let verdicts: Vec<_> = document["environments"].as_array().unwrap().iter().map(named_verdict).collect();
        assert_eq!(verdicts, [("production".to_owned(), json!("go")), ("staging".to_owned(), json!("go"))]);
    }
}

fn named_verdict(environment: &Value) -> (String, Value) {
    (environment["environment"].as_str().unwrap().to_owned(), environment["verdict"].clone())
}

/// The order in which exits win over many environments: 3, 12, 26, 10, 11, 0. (1 is before them all, and a bug.)
#[test]
fn over_many_environments_the_worst_exit_wins() {
    let good_one =
        RawServer::answering(|request| Answer::json(200, &good_but(&json!({ "domains": [request.json()["domain"]] }))));
    let refused = saying(&json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }));
    let denied = RawServer::script([Answer::json(401, &json!({ "error": "no" }))]);
    let [yes, no, token] = [&good_one, &refused, &denied].map(RawServer::url);
    let down = "http://127.0.0.1:9/api/v1".to_owned();
    let (broken, no_key) = (BROKEN_LOG.to_owned(), NO_KEY.to_owned());
    let rows: [(&[&String], i32); 9] = [
        (&[&yes, &yes], 0),
        (&[&yes, &down], 11),
        (&[&down, &no, &yes], 10),
        (&[&no, &down, &broken], 26),
        (&[&yes, &broken], 26),
        (&[&no, &down, &token], 12),
        (&[&broken, &no, &token, &down, &yes], 12),
        (&[&yes, &no_key], 3),
        (&[&token, &broken, &no, &down, &no_key, &yes], 3),
    ];
    for (urls, exit) in rows {
        let ran = project_asking_each(urls).run(&["check", "--all", "--format", "json"]);
        let document = ran.exits(exit).json();
        assert_eq!(document["environments"].as_array().unwrap().len(), urls.len(), "{ran}");
        assert_eq!(document["exit"]["code"], exit, "{ran}");
    }
}

/// In place of an address: an embedded authority whose log cannot be trusted.
const BROKEN_LOG: &str = "broken-log";

/// In place of an address: an environment whose key is missing, so that nobody is asked.
const NO_KEY: &str = "http://no-key.localhost:9/api/v1";

/// A project with one environment for each address and no other.
fn project_asking_each(urls: &[&String]) -> Project {
    let mut text = "version = 1\n".to_owned();
    let mut project = project().without_license_toml().var("TO_API_KEY", TOKEN);
    for (at, url) in urls.iter().enumerate() {
        if *url != NO_KEY {
            project = project.var(&format!("KEY_{at}"), &format!("TO-PRD-key-of-environment-{at}"));
        }
        let authority = if *url == BROKEN_LOG {
            project = project.write("state/events.jsonl", b"{\"nonsense\": true}\n");
            "kind = \"embedded\"\nstate = \"state\"".to_owned()
        } else {
            format!("kind = \"traffic-orchestrator\"\nurl = \"{url}\"\ntoken = {{ env = \"TO_API_KEY\" }}")
        };
        let environment = format!(
            "[authority.a{at}]\n{authority}\n\
             [environments.e{at}]\nauthority = \"a{at}\"\ndomain = \"e{at}.app.com\"\nkey = {{ env = \"KEY_{at}\" }}\n"
        );
        text.push_str(&environment);
    }
    project.license_toml(text.as_bytes())
}

#[test]
fn an_environment_whose_key_is_missing_does_not_hide_the_others() {
    let (_authority, _, project) = licensed(&Grant::default());
    let project = project.tables(
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n",
    );
    let ran = project.run(&["check", "--all", "--format", "json"]);
    let document = ran.exits(3).says("STAGING_KEY").json();
    let verdicts: Vec<_> = document["environments"].as_array().unwrap().iter().map(named_verdict).collect();
    assert_eq!(verdicts, [("production".to_owned(), json!("go")), ("staging".to_owned(), json!(null))]);
}

#[test]
fn a_check_does_not_use_up_activations() {
    let authority = authority(&[]);
    let license = authority.issue(&Grant { activations: 1, ..Grant::default() });
    let project = project().authority(&authority).key(&license.key).line("activations", "1");
    for _ in 0..3 {
        project.check_json().exits(0).check("activations", "pass");
    }
}

/// Who has it in their hands should know, also where the authority does not say until when.
#[test]
fn a_key_whose_answer_is_marked_as_deprecated_is_warned_about() {
    for (header, says) in [
        (("deprecation", "@1767225600"), "deprecated as of 2026-01-01T00:00:00Z"),
        (("deprecation", "true"), "does not say until when it works"),
        (("sunset", "Tue, 01 Jan 2999 00:00:00 GMT"), "works only until 2999-01-01T00:00:00Z"),
    ] {
        let server = RawServer::script([Answer::with_headers(200, &[header], &good().to_string())]);
        let ran = asking(&server).check_json();
        ran.exits(0).says(says);
        assert_eq!(ran.json()["environments"][0]["checks"][0]["reason"], "in_grace", "{ran}");
        assert_eq!(ran.json()["environments"][0]["checks"][0]["outcome"], "warn", "{ran}");
    }
}

#[test]
fn a_key_in_a_store_that_cannot_be_used_never_ends_with_0() {
    let server = saying(&good());
    let broken = "[stores.mine]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"exit 1\"]\n";
    let project = asking(&server).without("key").line("key", "{ store = \"mine\" }").tables(broken);
    project.check().exits(27).says("store `mine`");
    project.run(&["status"]).exits(27).says("store `mine`");
    // What has a place of its own in the order comes first.
    let refused =
        "[environments.other]\nauthority = \"to\"\ndomain = \"other.app.com\"\nkey = { env = \"OTHER_KEY\" }\n";
    let project = project.tables(refused).var("OTHER_KEY", "TO-PRD-other-0123456789");
    project.run(&["check", "--all"]).exits(10);
}
