//! A marker key and a marker token appear nowhere, whatever happens.

use license_tests::{
    Answer, App, Authority, Grant, Project, RawServer, forms,
    process::{Signal, until},
};
use serde_json::json;

use crate::{
    BINARY, KEY, asking, good, project, saying,
    store::{GIVES_AND_TAKES, MINE, with_helper},
};

const TOKEN: &str = "to_live_Tok3n+9/Marker=never5hown";

/// Runs every command in every format, sees that the deploy ends as it should, and looks everywhere.
fn never_shown(name: &str, exit: i32, project: &Project) {
    for format in ["human", "json", "github"] {
        let ran = project.run(&["deploy", "production", "--format", format]).named(name);
        ran.exits(exit).never_shows(KEY).never_shows(TOKEN);
    }
    let commands: [&[&str]; 5] = [
        &["deploy", "production", "--plan"],
        &["check", "production"],
        &["check", "--all", "--format", "json"],
        &["audit", "show", "production"],
        &["audit", "verify", "production"],
    ];
    for arguments in commands {
        project.run(arguments).named(name).never_shows(KEY).never_shows(TOKEN);
    }
}

fn holding_secrets(url: &str) -> Project {
    project().authority_at(url).var("TO_API_KEY", TOKEN).key(KEY)
}

#[test]
fn no_secret_is_shown_whatever_the_authority_does() {
    let echo = |request: &license_tests::Request| {
        let message = format!("got {} and {:?}", request.body, request.header("authorization"));
        Answer::json(403, &json!({ "valid": false, "code": KEY, "message": message, "plan": TOKEN }))
    };
    let echo_token = |request: &license_tests::Request| {
        Answer::json(
            401,
            &json!({ "error": format!("bad token {:?} for {}", request.header("authorization"), request.body) }),
        )
    };
    let echo_500 = |request: &license_tests::Request| Answer::text(500, "text/plain", &format!("{request:?}"));
    let echo_path = |request: &license_tests::Request| {
        let location = format!("http://127.0.0.1:9/?{}", forms::percent(&request.body));
        Answer::with_headers(302, &[("location", &location)], &request.body)
    };
    let rows = [
        ("yes", 0, saying(&good())),
        ("an echo in a refusal", 10, RawServer::answering(echo)),
        ("an echo of the token", 12, RawServer::answering(echo_token)),
        ("an echo in an error", 11, RawServer::answering(echo_500)),
        ("an echo in a redirect", 11, RawServer::answering(echo_path)),
        ("an echo that is no JSON", 11, RawServer::answering(|request| Answer::text(200, "text/html", &request.body))),
        ("a reset", 11, RawServer::script([Answer::Reset])),
    ];
    for (name, exit, server) in rows {
        never_shown(name, exit, &holding_secrets(&server.url()));
    }
}

#[test]
fn no_secret_is_shown_when_nobody_listens() {
    never_shown("nobody", 11, &holding_secrets("http://127.0.0.1:9/api/v1"));
}

#[test]
fn no_secret_is_shown_when_the_file_or_the_key_is_wrong() {
    let server = saying(&good());
    let asking = || holding_secrets(&server.url());
    let rows = [
        ("a line break in the key", 3, asking().key(&format!("{KEY}\n{KEY}"))),
        ("a space in the key", 3, asking().key(&format!("{KEY} "))),
        ("a key of 64 KB", 3, asking().key(&KEY.repeat(2500))),
        ("a line break in the token", 3, asking().var("TO_API_KEY", &format!("{TOKEN}\r\nX-Evil: 1"))),
        ("one key for two environments", 3, asking().tables(
            "[environments.staging]\nauthority = \"to\"\ndomain = \"staging.app.com\"\nkey = { env = \"STAGING_KEY\" }\n",
        ).var("STAGING_KEY", KEY)),
        ("the wrong class", 10, asking().line("key_class", r#""DEV""#)),
    ];
    for (name, exit, project) in rows {
        never_shown(name, exit, &project);
    }
}

#[test]
fn a_key_that_was_written_into_the_file_is_not_repeated() {
    let toml = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"https://app.com/api/v1\"\ntoken = \"{TOKEN}\"\n\
         [environments.production]\nauthority = \"to\"\ndomain = \"app.com\"\nkey = \"{KEY}\"\ndeploy = \"true\"\n"
    );
    let project = project().license_toml(toml.as_bytes());
    for arguments in [&["check", "production"][..], &["deploy", "production"], &["check", "--all", "--format", "json"]]
    {
        let ran = project.run(arguments);
        ran.exits(3).says("env");
        for text in [ran.stdout(), ran.stderr()] {
            assert!(!text.contains(KEY) && !text.contains(TOKEN), "{ran}");
        }
    }
}

#[test]
fn what_the_deploy_command_prints_is_masked_in_every_form() {
    let server = saying(&good());
    let script = r#"
        printf 'plain: %s\n' "$LICENSE_KEY"
        printf 'error: %s\n' "$LICENSE_KEY" >&2
        printf 'base64: %s\n' "$(printf %s "$LICENSE_KEY" | base64 -w0)"
        printf 'base64 in a header: %s\n' "$(printf 'a:%s' "$LICENSE_KEY" | base64 -w0)"
        printf 'base64 with a name: %s\n' "$(printf 'x%s-and-more' "$LICENSE_KEY" | base64 -w0)"
        printf 'base64 for URLs: %s\n' "$(printf %s "$LICENSE_KEY" | base64 -w0 | tr '+/' '-_')"
        printf 'percent: %s\n' 'PERCENT'
        printf '%s' "$LICENSE_KEY" | cut -c1-12 | tr -d '\n'
        sleep 0.2
        printf '%s' "$LICENSE_KEY" | cut -c13-
        printf 'twice: %s%s\n' "$LICENSE_KEY" "$LICENSE_KEY"
        printf 'the end\n'
    "#;
    let script = script.replace("PERCENT", &forms::percent(KEY));
    for arguments in [&["deploy", "production"][..], &["deploy", "production", "--format", "json"]] {
        // The script itself would hold the percent-encoded key in the project's directory.
        let place = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(place.path(), &script).unwrap();
        let project = asking(&server).deploying(&format!(". '{}'", place.path().display()));
        let ran = project.run(arguments);
        ran.exits(0).deploy_ran().says("the end").says("base64 for URLs:").never_shows(KEY);
    }
}

#[test]
fn what_the_rollback_command_prints_is_masked_too() {
    let server = saying(&good());
    let app = App::reporting(json!({ "valid": false }));
    let project = asking(&server).health(&app, "1s").line("rollback", r#"["sh", "-c", "echo back to $LICENSE_KEY"]"#);
    project.deploy().exits(14).says("back to").never_shows(KEY);
}

#[test]
fn an_application_that_repeats_the_key_does_not_get_it_shown() {
    let server = saying(&good());
    let echo =
        json!({ "valid": false, "plan": format!("plan of {KEY}"), "release": KEY.to_lowercase(), "features": [KEY] });
    for format in ["human", "json", "github"] {
        let app = App::reporting(echo.clone());
        let ran = asking(&server).health(&app, "1s").run(&["deploy", "production", "--format", format]);
        ran.exits(14).never_shows(KEY).never_shows(&KEY.to_lowercase());
    }
}

#[test]
fn a_key_in_the_words_of_a_command_is_not_shown() {
    let server = saying(&good());
    let app = App::reporting(json!({ "valid": false }));
    // The file itself holds the key here, and is the user's own.
    let not_in_output = |project: &Project, arguments: &[&str], exit| {
        let ran = project.run(arguments);
        ran.exits(exit);
        assert!(!ran.stdout().contains(KEY) && !ran.stderr().contains(KEY), "{ran}");
        assert!(
            std::fs::read_dir(project.path(".license")).is_err() || !project.trail_text("production").contains(KEY)
        );
    };
    let words = |program: &str| format!("[{program:?}, {KEY:?}]");
    let project =
        || asking(&server).health(&app, "1s").line("deploy", &words("echo")).line("rollback", &words("printf"));
    for format in ["human", "json"] {
        not_in_output(&project(), &["deploy", "production", "--plan", "--format", format], 0);
        not_in_output(&project(), &["deploy", "production", "--format", format], 14);
    }
    not_in_output(&project().line("deploy", &format!("[\"./{KEY}\"]")), &["deploy", "production"], 13);
}

#[test]
fn a_key_in_the_reason_of_a_forced_deploy_is_not_kept() {
    let server = RawServer::script([Answer::Reset]);
    let project = asking(&server);
    let reason = format!("the pager said {KEY}\u{1b}[2J{}", "x".repeat(1000));
    let ran = project.run(&["deploy", "production", "--force", "--reason", &reason]);
    ran.exits(0).deploy_ran().says("go, by force: the pager said").never_shows(KEY);
    let kept = project.trail("production").last("gate")["forced"].as_str().unwrap().to_owned();
    assert!(kept.starts_with("the pager said") && kept.chars().count() <= 300, "{kept}");
    assert!(!kept.contains(char::is_control), "{kept:?}");
}

#[test]
fn a_failing_deploy_command_does_not_show_the_key() {
    let server = saying(&good());
    let project = holding_secrets(&server.url()).deploying("echo \"cannot use $LICENSE_KEY\" >&2; exit 7");
    project.deploy().exits(13).says("cannot use").never_shows(KEY).never_shows(TOKEN);
}

/// Everybody on the machine can read the arguments of every process.
#[test]
fn no_secret_stands_in_the_arguments_of_any_process() {
    let authority = Authority::with_token(BINARY, TOKEN, &[]);
    let license = authority.issue(&Grant::default());
    let script = "for one in /proc/[0-9]*; do tr '\\000' ' ' < \"$one/cmdline\" 2>/dev/null || true; echo; done > \"$seen/all\"\n\
                  ps -eo args > \"$seen/ps\" 2>/dev/null || true";
    let project = project().authority(&authority).key(&license.key).deploying(script);
    project.deploy().exits(0).deploy_ran();
    let all = project.trace("all") + &project.trace("ps") + &project.trace("argv");
    assert!(all.contains("deploy production"), "the processes were not seen: {all}");
    for (secret, form) in [&license.key, TOKEN].iter().flat_map(|secret| forms::of(secret)) {
        assert!(!all.contains(&form), "{secret}: {all}");
    }
}

/// The deploy command's environment has the key and no token.
#[test]
fn the_token_is_not_in_the_environment_of_the_deploy_command() {
    let server = saying(&good());
    let project = holding_secrets(&server.url());
    project.deploy().exits(0).deploy_ran();
    let variables = project.deploy_variables();
    assert_eq!(variables["LICENSE_KEY"], KEY);
    assert!(variables.values().all(|value| !value.contains(TOKEN)), "{variables:?}");
}

#[test]
fn an_interrupted_deploy_shows_no_secret() {
    let server = saying(&good());
    let project = holding_secrets(&server.url()).deploying("printf %s \"$LICENSE_KEY\"; sleep 30");
    project.deploy_and_signal(Signal::INT).exits(130).never_shows(KEY).never_shows(TOKEN);
}

#[test]
fn the_authority_commands_show_a_key_only_when_it_is_issued() {
    let mut authority = Authority::with_token(BINARY, TOKEN, &[]);
    let license = authority.issue(&Grant::default());
    for arguments in [&["list"][..], &["list", "--format", "json"], &["show", &license.id], &["suspend", &license.id]] {
        let ran = authority.cli(arguments);
        ran.exits(0);
        for text in [ran.stdout(), ran.stderr()] {
            assert!(!text.contains(&license.key), "{arguments:?}: {text}");
        }
    }
    let listed = authority.send("GET", "/portal/licenses", None).body;
    assert!(!listed.contains(&license.key), "{listed}");
    authority.validate(&license.key, "app.com");
    until("it answers", || authority.send("GET", "/health", None).status == 200);
    authority.kill();
}

/// A project whose key is in a store alone.
fn with_key_in_a_store(url: &str) -> Project {
    let get = format!("printf '{{\"key\":\"%s\"}}\\n' '{KEY}'");
    let project = project().authority_at(url).tables(MINE).line("key", r#"{ store = "mine" }"#).unset("LICENSE_KEY");
    with_helper(project, &[("capabilities", GIVES_AND_TAKES), ("get", &get)]).may_hold(&["get"])
}

#[test]
fn a_key_from_a_store_is_masked_in_what_commands_print() {
    let server = saying(&good());
    for format in ["human", "json"] {
        let project = with_key_in_a_store(&server.url()).deploying("echo KEY=$LICENSE_KEY");
        let ran = project.run(&["deploy", "production", "--format", format]);
        ran.exits(0).deploy_ran().says("KEY=***").never_shows(KEY);
    }
}

/// The key stands in its mask, and the mask comes first.
#[test]
fn on_github_a_key_from_a_store_stands_in_its_mask_alone() {
    let server = saying(&good());
    let app = App::reporting(json!({ "valid": true, "release": KEY }));
    let mask = format!("::add-mask::{KEY}");
    for arguments in [&["deploy", "production"][..], &["check", "production"], &["status", "production"]] {
        let project = with_key_in_a_store(&server.url())
            .top("[trail]\nkind = \"file\"\nephemeral = \"accepted\"\n")
            .var("GITHUB_ACTIONS", "true")
            .health(&app, "1s")
            .deploying("echo KEY=$LICENSE_KEY");
        let ran = project.run(arguments);
        let lines: Vec<_> = ran.stderr().lines().filter(|line| line.contains(KEY)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| **line == mask), "{ran}");
        assert!(!ran.stdout().contains(KEY), "{ran}");
    }
}

#[test]
fn an_application_that_repeats_a_key_from_a_store_does_not_get_it_shown() {
    let server = saying(&good());
    for format in ["human", "json"] {
        let app = App::reporting(json!({ "valid": true, "release": KEY }));
        let project = with_key_in_a_store(&server.url()).health(&app, "1s");
        project.run(&["deploy", "production", "--format", format]).exits(14).never_shows(KEY);
        project.run(&["status", "production", "--format", format]).never_shows(KEY);
    }
}

#[test]
fn a_key_from_a_store_in_the_reason_of_a_forced_deploy_is_not_kept() {
    let server = RawServer::script([Answer::Reset]);
    let project = with_key_in_a_store(&server.url());
    let reason = format!("the pager said {KEY}");
    let ran = project.run(&["deploy", "production", "--force", "--reason", &reason]);
    ran.exits(0).deploy_ran().says("go, by force: the pager said ***").never_shows(KEY);
}
