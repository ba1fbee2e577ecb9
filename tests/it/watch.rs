//! `status --watch`: on a real terminal.

use std::{sync::OnceLock, time::Duration};

use license_tests::{
    Answer, App, Project, RawServer, failpoints,
    process::Signal,
    terminal::{Modes, Terminal},
};
use serde_json::json;

use crate::{
    BINARY, KEY, asking, good, good_but, healthy, in_days, saying,
    status::{collected, collecting},
};

/// A project whose terminal can do everything.
fn on_a_terminal(project: Project) -> Project {
    project.var("TERM", "xterm-256color").unset("CI").unset("NO_COLOR")
}

fn started(project: &Project, arguments: &[&str]) -> Terminal {
    let all: Vec<&str> = ["status"].iter().chain(arguments).copied().collect();
    Terminal::start(&project.command(&project.path("."), &all), 100, 30)
}

/// How often the view was drawn from its first line.
fn draws(terminal: &Terminal) -> usize {
    terminal.written().matches("\u{1b}[H").count()
}

#[test]
fn a_watch_asks_the_application_each_time_and_the_authority_once() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5), "features": ["sso"] })));
    let app = App::reporting(json!({ "valid": true }));
    let project = on_a_terminal(collecting(asking(&server)).health(&app, "5s"));
    let mut terminal = started(&project, &["--watch=2s"]);
    license_tests::process::until("four looks", || app.asked() >= 4);
    terminal.until("the view", |page| page.shows("looked at ") && page.shows("next at "));
    let page = terminal.page();
    assert!(page.is_alternate && !page.has_cursor && !page.wraps, "{page:#?}");
    assert!(page.shows("production (app.com): attention") && page.shows("ends within 7 days"), "{page:#?}");
    assert!(page.shows("the authority was asked at ") && page.shows("q ends"), "{page:#?}");
    assert_eq!(page.lines.iter().filter(|line| line.contains("production (app.com)")).count(), 1, "drawn in place");
    assert!(draws(&terminal) >= 4);
    terminal.press("q");
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
    let page = terminal.page();
    assert!(!page.is_alternate && page.has_cursor && page.wraps, "{page:#?}");
    assert!(page.shows("production (app.com): attention"), "what was seen last stays: {page:#?}");
    assert_eq!(server.validations(), 1);
    assert_eq!(server.requests().iter().filter(|request| request.is_about_usage()).count(), 2, "stats, then usage");
    assert_eq!(collected(&project).len(), 1);
    assert_eq!(project.trail("production").kinds(), ["look", "alert", "alert"], "the look, due, sent");
}

#[test]
fn with_ask_every_the_authority_is_asked_again_and_nothing_is_written_or_sent_twice() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    let project = on_a_terminal(collecting(asking(&server)));
    let mut terminal = started(&project, &["--watch=2s", "--ask-every=2s"]);
    license_tests::process::until("three validations", || server.validations() >= 3);
    terminal.press("q");
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
    assert_eq!(collected(&project).len(), 1);
    assert_eq!(project.trail("production").kinds(), ["look", "alert", "alert"]);
}

#[test]
fn a_license_that_ends_while_it_is_watched_is_asked_about_again() {
    let end = OnceLock::new();
    let server = RawServer::answering(move |request| {
        if request.is_about_usage() {
            return Answer::text(404, "text/plain", "");
        }
        let now = jiff::Timestamp::now();
        let end = end.get_or_init(|| now + Duration::from_secs(4));
        let ends_at = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let ended = json!({ "valid": false, "code": "LICENSE_EXPIRED", "expiresAt": ends_at });
        Answer::json(200, &if now >= *end { ended } else { good_but(&json!({ "expiresAt": ends_at })) })
    });
    let project = on_a_terminal(asking(&server));
    let mut terminal = started(&project, &["--watch=2s"]);
    terminal.until("the end", |page| page.shows("production (app.com): not ok") && page.shows("ended at"));
    assert!(server.validations() >= 2);
    terminal.press("q");
    assert_eq!(terminal.wait(), (10, Modes::AsBefore), "the exit of the last look");
}

#[test]
fn a_cached_watch_asks_nobody() {
    let server = saying(&good());
    let project = on_a_terminal(asking(&server));
    project.run(&["status"]).exits(0);
    let before = server.requests().len();
    let mut terminal = started(&project, &["--watch=2s", "--cached"]);
    terminal.until("the view", |page| page.shows("the authority is not asked") && page.shows("as it was at"));
    let first = draws(&terminal);
    license_tests::process::until("more looks", || draws(&terminal) >= first + 3);
    terminal.press("q");
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
    assert_eq!(server.requests().len(), before);
}

#[test]
fn an_application_that_falls_ill_is_seen_at_the_next_look() {
    let server = saying(&good());
    let app = RawServer::script([
        Answer::json(200, &json!({ "valid": true })),
        Answer::json(200, &json!({ "valid": false })),
    ]);
    let url = format!("http://{}/api/license/status", app.address());
    let project = on_a_terminal(asking(&server)).line("health", &format!("{{ url = \"{url}\", within = \"5s\" }}"));
    let mut terminal = started(&project, &["--watch=2s"]);
    terminal.until("healthy", |page| page.shows("production (app.com): ok"));
    terminal.until("ill", |page| page.shows("production (app.com): not ok") && page.shows("unhealthy"));
    terminal.press("q");
    assert_eq!(terminal.wait(), (14, Modes::AsBefore), "the exit of the last look");
    assert_eq!(server.validations(), 1);
}

#[test]
fn a_signal_ends_it_with_its_own_code_and_the_terminal_is_as_before() {
    let server = saying(&good());
    for (name, code) in [("ctrl-c", 130), ("sigterm", 143)] {
        let project = on_a_terminal(asking(&server));
        let mut terminal = started(&project, &["--watch"]);
        terminal.until("the view", |page| page.shows("next at "));
        if code == 130 {
            terminal.press("\u{3}");
        } else {
            terminal.signal(Signal::TERM);
        }
        assert_eq!(terminal.wait(), (code, Modes::AsBefore), "{name}");
        let page = terminal.page();
        assert!(!page.is_alternate && page.has_cursor && page.wraps, "{name}: {page:#?}");
    }
}

#[test]
fn ctrl_z_and_ctrl_backslash_do_not_leave_the_terminal_behind() {
    let server = saying(&good());
    let project = on_a_terminal(asking(&server));
    let mut terminal = started(&project, &["--watch=2s"]);
    terminal.until("the view", |page| page.shows("next at "));
    terminal.press("\u{1a}\u{1c}");
    let before = draws(&terminal);
    license_tests::process::until("it goes on", || draws(&terminal) >= before + 2);
    terminal.press("q");
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
}

#[test]
fn a_panic_is_told_on_a_terminal_that_is_as_before() {
    let server = saying(&good());
    let binary = failpoints::binary(BINARY);
    let project = on_a_terminal(Project::new(binary).authority_at(&server.url()).key(KEY));
    let project = project.var("LICENSE_FAILPOINT_PANIC", "watch-waits");
    let mut terminal = started(&project, &["--watch=2s"]);
    let (code, modes) = terminal.wait();
    assert_eq!((code, modes), (101, Modes::AsBefore), "{}", terminal.written());
    let page = terminal.page();
    assert!(!page.is_alternate && page.has_cursor && page.wraps && page.shows("panicked"), "{page:#?}");
}

#[test]
fn another_size_is_another_view() {
    let server = saying(&good_but(&json!({ "expiresAt": in_days(5) })));
    let mut project = on_a_terminal(asking(&server));
    for name in ["a", "b", "c", "d"] {
        project = project
            .tables(&format!(
                "[environments.{name}]\nauthority = \"to\"\ndomain = \"{name}.app.com\"\nkey = {{ env = \"KEY_{name}\" }}\n"
            ))
            .var(&format!("KEY_{name}"), &format!("{KEY}{name}"));
    }
    let mut terminal = started(&project, &["--all", "--watch=60s"]);
    terminal.until("the view", |page| page.shows("next at ") && page.shows("more lines"));
    terminal.resize(60, 12);
    terminal.until("the small view", |page| page.shows("next at ") && page.lines[11].contains("more lines"));
    let before = draws(&terminal);
    terminal.resize(120, 200);
    license_tests::process::until("the large view", || draws(&terminal) > before);
    terminal.until("the large view", |page| {
        ["a", "b", "c", "d", "production"].iter().all(|name| page.shows(&format!("{name} (")))
    });
    assert!(!terminal.page().shows("more lines"));
    assert_eq!(server.validations(), 5, "a new size asks nobody");
    terminal.press("q");
    assert_eq!(terminal.wait(), (10, Modes::AsBefore), "four domains that the license does not cover");
}

#[test]
fn no_color_means_none_and_a_dumb_terminal_gets_no_escape_at_all() {
    let server = saying(&good());
    let colors =
        |terminal: &Terminal| terminal.written().split("\u{1b}[").skip(1).filter(|rest| is_color(rest)).count();
    for (name, value, has_colors, has_escapes) in
        [("ANY", "1", true, true), ("NO_COLOR", "1", false, true), ("TERM", "dumb", false, false)]
    {
        let project = on_a_terminal(asking(&server)).var(name, value);
        let mut terminal = started(&project, &["--watch=2s"]);
        license_tests::process::until("two looks", || terminal.written().matches("next at ").count() >= 2);
        terminal.press("q");
        assert_eq!(terminal.wait(), (0, Modes::AsBefore), "{name}");
        assert_eq!(colors(&terminal) > 0, has_colors, "{name}: {:?}", terminal.written());
        assert_eq!(terminal.written().contains('\u{1b}'), has_escapes, "{name}: {:?}", terminal.written());
    }
}

fn is_color(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[test]
fn words_from_outside_cannot_draw() {
    let forged = "\u{1b}[2J\u{1b}[31m\u{9b}2J\r\n\u{1b}]0;title\u{7}\u{1b}[?1049l";
    let server = saying(&good_but(&json!({ "plan": forged, "message": forged, "id": forged })));
    let app = App::reporting(json!({ "valid": false, "plan": forged, "release": forged }));
    let project = on_a_terminal(asking(&server)).health(&app, "5s");
    let mut terminal = started(&project, &["--watch=2s"]);
    terminal.until("the view", |page| page.shows("next at ") && page.shows("not ok"));
    assert!(terminal.page().is_alternate);
    terminal.press("q");
    assert_eq!(terminal.wait(), (14, Modes::AsBefore));
    // The page knows what may be written, and fails at anything else.
    let page = terminal.page();
    assert!(page.has_cursor && page.wraps);
    for bad in ["\u{9b}", "\u{7}", "\u{1b}]"] {
        assert!(!terminal.written().contains(bad), "{:?}", terminal.written());
    }
    assert_eq!(terminal.written().matches("\u{1b}[?1049l").count(), 1);
}

#[test]
fn without_a_terminal_a_schedule_is_named() {
    let server = saying(&good());
    let app = App::reporting(healthy());
    let project = asking(&server).health(&app, "5s");
    project.run(&["status", "--watch"]).exits(2).says("draws on a terminal").says("cargo xtask status --all");
    assert_eq!((server.requests().len(), app.asked()), (0, 0));
    for arguments in [
        &["status", "--watch=1s"][..],
        &["status", "--watch=2d"],
        &["status", "--watch=soon"],
        &["status", "--watch", "--format", "json"],
        &["status", "--watch", "--metrics", "m"],
        &["status", "--watch", "--html", "h"],
        &["status", "--ask-every", "1h"],
        &["status", "--watch", "--cached", "--ask-every", "1h"],
    ] {
        project.run(arguments).exits(2);
    }
    // A word behind it is an environment.
    project.run(&["status", "--watch", "production"]).exits(2).says("draws on a terminal");
}
