//! Output on GitHub: annotations, summary, masks, and no way in for text from outside.

use std::fs;

use license_tests::{Answer, App, Project, Ran, RawServer, authority::TOKEN};
use serde_json::json;

use crate::{KEY, asking, embedded, good, good_but, saying};

/// A project that runs on GitHub.
fn on_github(server: &RawServer) -> Project {
    let project = asking(server).var("GITHUB_ACTIONS", "true").var("CI", "true");
    let summary = project.seen().join("summary.md");
    fs::write(&summary, "").unwrap();
    project.var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())
}

fn summary(project: &Project) -> String {
    fs::read_to_string(project.seen().join("summary.md")).unwrap()
}

/// The workflow commands in the output: lines that start with `::`.
fn workflow_commands(ran: &Ran) -> Vec<String> {
    let lines = ran.stdout().lines().chain(ran.stderr().lines());
    lines.filter(|line| line.trim_start().starts_with("::")).map(str::to_owned).collect()
}

/// GitHub masks the key from the line on that names it: that line is the one place where it stands.
fn without_the_mask(ran: &Ran) -> String {
    let lines = ran.stdout().lines().chain(ran.stderr().lines());
    lines.filter(|line| !line.starts_with("::add-mask::")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_failed_demand_is_an_annotation_at_its_line() {
    let server = saying(&good_but(&json!({ "features": ["analytics"] })));
    for arguments in
        [&["check", "production", "--format", "github"][..], &["deploy", "production", "--format", "github"]]
    {
        let project = on_github(&server).line("features", r#"["sso"]"#);
        let line = project.line_number("features");
        let ran = project.run(arguments);
        ran.exits(10).deploy_did_not_run();
        let start = format!("::error file=license.toml,line={line}");
        let errors: Vec<_> = workflow_commands(&ran).into_iter().filter(|line| line.starts_with("::error")).collect();
        assert_eq!(errors.len(), 1, "{ran}");
        assert!(errors[0].starts_with(&start) && errors[0].contains("sso"), "{errors:?}");
    }
}

#[test]
fn every_failed_demand_has_its_own_annotation() {
    let server = saying(&good_but(&json!({ "features": [], "activationsUsed": 10 })));
    let project = on_github(&server).line("features", r#"["sso"]"#).line("activations", "1");
    let ran = project.run(&["check", "production", "--format", "github"]);
    ran.exits(10);
    for name in ["features", "activations"] {
        let start = format!("::error file=license.toml,line={}", project.line_number(name));
        assert!(workflow_commands(&ran).iter().any(|line| line.starts_with(&start)), "{name}: {ran}");
    }
}

#[test]
fn a_mistake_in_the_file_is_an_annotation_at_its_line() {
    let server = saying(&good());
    let project = on_github(&server).line("featurs", "[]");
    let start = format!("::error file=license.toml,line={}", project.line_number("featurs"));
    let ran = project.run(&["check", "production", "--format", "github"]);
    ran.exits(3);
    assert!(workflow_commands(&ran).iter().any(|line| line.starts_with(&start)), "{ran}");
}

#[test]
fn a_file_below_the_workspace_is_named_from_there() {
    let server = saying(&good_but(&json!({ "features": [] })));
    let project = on_github(&server).line("features", r#"["sso"]"#);
    let above = project.path("").parent().unwrap().to_str().unwrap().to_owned();
    let name = project.path("").file_name().unwrap().to_str().unwrap().to_owned();
    let ran = project.var("GITHUB_WORKSPACE", &above).run(&["check", "production", "--format", "github"]);
    let start = format!("::error file={name}/license.toml,line=");
    assert!(workflow_commands(&ran).iter().any(|line| line.starts_with(&start)), "{ran}");
}

#[test]
fn the_summary_of_the_step_has_the_verdict_and_the_head() {
    let (yes, no) = (saying(&good()), saying(&json!({ "valid": false, "code": "LICENSE_NOT_FOUND" })));
    for (server, exit, word) in [(&yes, 0, "go"), (&no, 10, "refused")] {
        let project = on_github(server);
        project.deploy().exits(exit);
        let summary = summary(&project);
        let head = project.trail("production").head.hash.to_string();
        assert!(summary.contains("production") && summary.contains(&head), "{summary}");
        assert!(summary.to_lowercase().contains(word), "{summary}");
        assert!(!summary.contains(KEY), "{summary}");
    }
}

#[test]
fn a_summary_that_cannot_be_written_does_not_stop_the_deploy() {
    let server = saying(&good());
    on_github(&server).var("GITHUB_STEP_SUMMARY", "/nonexistent/summary.md").deploy().exits(0).deploy_ran();
}

#[test]
fn the_key_is_masked_before_anything_else_is_said() {
    let server = saying(&good());
    let project = on_github(&server).deploying("echo \"key: $LICENSE_KEY\"");
    let ran = project.deploy();
    ran.exits(0).deploy_ran();
    let mask = format!("::add-mask::{KEY}");
    let first = ran.stderr().lines().next().unwrap();
    assert!(first.starts_with("::add-mask::"), "{ran}");
    assert!(ran.stderr().lines().any(|line| line == mask), "{ran}");
    assert!(!ran.stdout().contains(KEY), "the mask belongs on stderr: {ran}");
    assert!(!without_the_mask(&ran).contains(KEY), "{ran}");
}

#[test]
fn nothing_is_masked_elsewhere() {
    let server = saying(&good());
    let ran = asking(&server).deploy();
    ran.exits(0).deploy_ran().says_nothing_of("::add-mask::").never_shows(KEY);
}

#[test]
fn what_the_deploy_command_says_is_no_workflow_command() {
    let server = saying(&good());
    let project = on_github(&server).deploying("echo '::set-output name=x::y'; echo '::error::not ours'; echo 'plain'");
    let ran = project.deploy();
    ran.exits(0).deploy_ran();
    let lines: Vec<_> = ran.stderr().lines().collect();
    let stop = lines.iter().position(|line| line.starts_with("::stop-commands::")).unwrap();
    let token = lines[stop].strip_prefix("::stop-commands::").unwrap();
    let go_on = lines.iter().position(|line| *line == format!("::{token}::")).unwrap();
    for said in ["::set-output", "::error::not ours", "plain"] {
        let at = lines.iter().position(|line| line.contains(said)).unwrap();
        assert!(stop < at && at < go_on, "`{said}` is outside: {ran}");
    }
    assert!(token.len() >= 16, "the token can be guessed: {token}");
}

#[test]
fn a_deploy_command_that_does_not_end_its_last_line_does_not_keep_commands_out() {
    let server = saying(&good());
    for script in ["printf 'no end'", "printf 'no end' >&2", "printf 'one\ntwo\nno end'"] {
        let ran = on_github(&server).deploying(script).deploy();
        ran.exits(0).deploy_ran();
        let lines: Vec<_> = ran.stderr().lines().collect();
        let token = lines.iter().find_map(|line| line.strip_prefix("::stop-commands::")).unwrap();
        assert!(lines.contains(&format!("::{token}::").as_str()), "{ran}");
        assert!(lines.contains(&"no end"), "{ran}");
    }
}

/// A key or token that GitHub was told of is masked in whatever is said afterwards, by us or by anybody.
#[test]
fn every_secret_is_masked_once_before_anything_is_said() {
    let server = saying(&good());
    let staging =
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n";
    for arguments in [&["check", "--all"][..], &["deploy", "production", "--plan"], &["deploy", "production"]] {
        let project = on_github(&server).tables(staging).var("STAGING_KEY", "TO-STG-another-environments-key");
        let ran = project.run(arguments);
        let lines: Vec<_> = ran.stderr().lines().collect();
        let is_mask = |line: &&&str| line.starts_with("::add-mask::");
        let masks: Vec<_> = lines.iter().take_while(is_mask).collect();
        assert_eq!(lines.iter().filter(is_mask).count(), masks.len(), "{ran}");
        for secret in [KEY, TOKEN, "TO-STG-another-environments-key"] {
            let named = masks.iter().filter(|line| line.ends_with(secret)).count();
            assert_eq!(named, 1, "{secret}: {ran}");
        }
    }
}

#[test]
fn the_token_that_lets_commands_in_again_is_another_one_every_time() {
    let server = saying(&good());
    let token = || {
        let ran = on_github(&server).deploy();
        let line = ran.stderr().lines().find(|line| line.starts_with("::stop-commands::")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no stop-commands: {ran}"))
    };
    assert_ne!(token(), token());
}

/// Whatever comes from outside, the workflow commands are ours.
#[test]
fn text_from_outside_cannot_become_a_workflow_command() {
    const EVIL: &str =
        "no\n::add-mask::everything\r\n::set-env name=PATH::/tmp\u{2028}::stop-commands::x %0A::error::y ##[error]z";
    let foreign_facts = json!({ "plan": EVIL, "status": EVIL, "domains": [EVIL], "features": [EVIL] });
    let rows = [
        (Answer::json(403, &json!({ "valid": false, "message": EVIL, "code": EVIL })), 10),
        (Answer::json(401, &json!({ "error": EVIL })), 12),
        (Answer::json(200, &good_but(&foreign_facts)), 10),
        (Answer::text(200, "text/html", EVIL), 11),
        (Answer::text(502, "text/html", EVIL), 11),
    ];
    for (answer, exit) in rows {
        let server = RawServer::script([answer]);
        for arguments in [&["check", "production", "--format", "github"][..], &["deploy", "production"]] {
            let project = on_github(&server).line("features", r#"["sso"]"#);
            let ran = project.run(arguments);
            ran.exits(exit).deploy_did_not_run();
            let ours = |line: &String| {
                let known =
                    ["::error file=", "::warning file=", "::error title=", "::notice ", "::group::", "::endgroup::"];
                known.iter().any(|start| line.starts_with(start))
                    || *line == format!("::add-mask::{KEY}")
                    || *line == format!("::add-mask::{TOKEN}")
            };
            let foreign: Vec<_> = workflow_commands(&ran).into_iter().filter(|line| !ours(line)).collect();
            assert!(foreign.is_empty(), "{foreign:?}\n{ran}");
            assert!(!ran.stdout().lines().chain(ran.stderr().lines()).any(|line| line.starts_with("##[")), "{ran}");
        }
    }
}

#[test]
fn a_status_of_the_application_cannot_become_a_workflow_command() {
    let server = saying(&good());
    let app = App::reporting(json!({ "valid": true, "plan": "x\n::set-env name=PATH::/tmp\n::error::gotcha" }));
    let ran = on_github(&server).health(&app, "1s").deploy();
    ran.exits(14);
    for line in workflow_commands(&ran) {
        assert!(!line.starts_with("::set-env") && !line.starts_with("::error::gotcha"), "{ran}");
    }
}

/// The annotations of a run.
fn annotations(ran: &Ran) -> Vec<String> {
    let is_one = |line: &String| line.starts_with("::error") || line.starts_with("::warning");
    workflow_commands(ran).into_iter().filter(is_one).collect()
}

#[test]
fn an_authority_that_cannot_be_asked_is_one_annotation_that_says_why() {
    let server = RawServer::script([Answer::Reset]);
    for arguments in [&["check", "production"][..], &["deploy", "production"]] {
        let project = on_github(&server);
        let ran = project.run(arguments);
        ran.exits(11);
        let line = project.line_number("key =");
        let said = annotations(&ran);
        assert_eq!(said.len(), 1, "{ran}");
        assert!(said[0].starts_with(&format!("::error file=license.toml,line={line},col=")), "{said:?}");
        assert!(said[0].contains("title=license of production::the authority could not be asked"), "{said:?}");
    }
}

#[test]
fn a_key_that_cannot_be_read_is_an_annotation_at_the_key() {
    let server = saying(&good());
    for arguments in [&["check", "production"][..], &["deploy", "production"]] {
        let project = on_github(&server).unset("LICENSE_KEY");
        let ran = project.run(arguments);
        ran.exits(3).says("not set");
        let line = project.line_number("key =");
        let said = annotations(&ran);
        assert_eq!(said.len(), 1, "{ran}");
        assert!(said[0].starts_with(&format!("::error file=license.toml,line={line},")), "{said:?}");
        assert!(summary(&project).contains("not judged"), "{}", summary(&project));
    }
}

#[test]
fn a_warning_about_the_file_is_an_annotation_too() {
    let server = saying(&good());
    let staging =
        "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n";
    let ran = on_github(&server).tables(staging).check();
    ran.exits(0);
    assert!(annotations(&ran).iter().any(|line| line.starts_with("::warning file=license.toml,line=")), "{ran}");
}

#[test]
fn a_deploy_that_failed_or_is_unhealthy_is_an_annotation_and_in_the_summary() {
    let server = saying(&good());
    let failing = on_github(&server).deploying("exit 7");
    let ran = failing.deploy();
    ran.exits(13);
    assert!(annotations(&ran)[0].contains("title=deploy of production::deploy `"), "{ran}");
    assert!(summary(&failing).contains("failed with exit code 7"), "{}", summary(&failing));

    let app = App::reporting(json!({ "valid": false }));
    let unhealthy = on_github(&server).health(&app, "1s").line("rollback", r#""false""#);
    let ran = unhealthy.deploy();
    ran.exits(14);
    let said = annotations(&ran);
    assert!(said[0].contains("title=health of production::") && said[0].contains("not valid"), "{said:?}");
    assert!(said[1].contains("title=rollback of production::rollback `false`"), "{said:?}");
    let summary = summary(&unhealthy);
    assert!(summary.contains("- deploy: done") && summary.contains("- health: unhealthy"), "{summary}");
    assert!(summary.contains("- rollback: failed with exit code 1"), "{summary}");
}

/// The runner reads two streams in no order, and hears nothing between a fence and its end.
#[test]
fn annotations_go_the_way_of_the_fences() {
    let server = saying(&good());
    let ran = on_github(&server).deploying("exit 7").deploy();
    ran.exits(13);
    assert!(!ran.stdout().lines().any(|line| line.starts_with("::")), "{ran}");
    let lines: Vec<_> = ran.stderr().lines().collect();
    let token = lines.iter().find_map(|line| line.strip_prefix("::stop-commands::")).unwrap();
    let end = lines.iter().position(|line| *line == format!("::{token}::")).unwrap();
    assert!(lines[end..].iter().any(|line| line.starts_with("::error ")), "{ran}");
}

#[test]
fn a_forced_deploy_says_so_in_the_summary() {
    let server = RawServer::script([Answer::Reset]);
    let project = on_github(&server);
    let ran = project.run(&["deploy", "production", "--force", "--reason", "pager <b>duty</b>"]);
    ran.exits(0).deploy_ran();
    let summary = summary(&project);
    assert!(summary.contains("go, by force") && summary.contains("could not be asked"), "{summary}");
    assert!(summary.contains("pager &#60;b&#62;duty"), "{summary}");
    assert!(annotations(&ran).iter().all(|line| line.starts_with("::warning")), "{ran}");
}

#[test]
fn a_file_that_cannot_be_used_is_in_the_summary() {
    let server = saying(&good());
    for command in ["check", "deploy"] {
        let project = on_github(&server).line("featurs", "[]");
        project.run(&[command, "production"]).exits(3);
        assert!(summary(&project).contains("### License: not judged"), "{}", summary(&project));
    }
}

/// A project on GitHub whose license was deployed, and whose key can be rotated.
fn to_rotate() -> Project {
    let project = embedded();
    let made = project.run(&["escrow", "keygen"]);
    made.exits(0);
    let (_, escrow) = made.stdout().split_once("[escrow]").unwrap();
    let trail = "[trail]\nephemeral = \"accepted\"";
    let text =
        format!("{}\n[escrow]{escrow}\n{trail}\n", project.text().replace("[\"sh\", \"deploy.sh\"]", "\"true\""));
    let project = project.license_toml(text.as_bytes());
    project.run(&["deploy"]).exits(0);
    let summary = project.seen().join("summary.md");
    project.var("GITHUB_ACTIONS", "true").var("CI", "true").var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())
}

/// Rotates with these arguments; the annotations, and what the run added to the summary.
fn rotating(project: &Project, arguments: &[&str], exit: i32) -> (Vec<String>, String) {
    fs::write(project.seen().join("summary.md"), "").unwrap();
    let ran = project.run(&[&["rotate"], arguments].concat());
    ran.exits(exit);
    let is_annotation = |line: &String| line.starts_with("::error ") || line.starts_with("::warning ");
    (workflow_commands(&ran).into_iter().filter(is_annotation).collect(), summary(project))
}

#[test]
fn the_summary_of_a_rotation_has_its_end_and_the_head() {
    let project = to_rotate();
    let (annotations, summary) = rotating(&project, &[], 0);
    let head = project.trail("development").head.hash.to_string();
    assert_eq!(annotations, [""; 0], "{summary}");
    assert!(summary.starts_with("### Rotation of development: committed\n"), "{summary}");
    assert!(summary.contains("next: ") && summary.contains(&head), "{summary}");
    let key = fs::read_to_string(project.path(".env.development")).unwrap();
    let (_, key) = key.trim().split_once('=').unwrap();
    assert!(!summary.contains(key), "{summary}");
}

#[test]
fn a_rotation_that_is_not_done_is_an_annotation_at_its_environment() {
    let project = to_rotate();
    let start = |level: &str| format!("::{level} file=license.toml,line={}", project.line_number("[environments"));
    let (failed, summary) = rotating(&project, &["--grace-days", "0"], 20);
    assert!(failed.len() == 1 && failed[0].contains("grace of 0 days"), "{failed:?}");
    assert!(summary.contains("development: rotation refused\n") && summary.contains("- error: "), "{summary}");

    rotating(&project, &[], 0);
    let (refused, summary) = rotating(&project, &[], 20);
    assert!(refused.len() == 1 && refused[0].starts_with(&start("error")), "{refused:?}");
    assert!(refused[0].contains("--accept-no-overlap"), "{refused:?}");
    assert!(summary.starts_with("### Rotation of development: refused\n"), "{summary}");

    let (back, summary) = rotating(&project, &["--rollback"], 0);
    assert!(back.len() == 1 && back[0].starts_with(&start("warning")), "{back:?}");
    assert!(summary.starts_with("### Rotation of development: rolled back\n"), "{summary}");
}

#[test]
fn a_rotation_that_could_not_begin_is_in_the_summary() {
    let (_, summary) = rotating(&to_rotate(), &["nowhere"], 3);
    assert!(summary.starts_with("### Rotation: not begun\n") && summary.contains("nowhere"), "{summary}");
}
