//! Several at once: two deploys of one environment, many checks, many writers.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use license_tests::{
    Grant, Project, Proxy,
    process::{Signal, is_alive},
};

use crate::{BINARY, KEY, asking, authority, good, project, saying};

/// The most connections that a `check` opens, as its help states.
const CONNECTIONS_MAX: usize = 64;

#[test]
fn the_second_of_two_deploys_says_who_holds_the_environment() {
    let server = saying(&good());
    let project = asking(&server).deploying("while [ ! -e \"$seen/go-on\" ]; do sleep 0.05; done");
    let mut first = project.start(&["deploy", "production"]);
    first.until("the first deploys", |_| project.seen().join("cwd").exists());

    let second = project.run(&["deploy", "production"]);
    second.exits(25).says(&first.pid().to_string()).deploy_did_not_run();

    std::fs::write(project.seen().join("go-on"), "").unwrap();
    project.ended(first).exits(0).deploy_ran();
    let trail = project.trail("production");
    assert_eq!(trail.kinds().iter().filter(|kind| **kind == "deploy_started").count(), 1);
    project.deploy().exits(0).deploy_ran();
}

#[test]
fn a_deploy_that_was_killed_holds_nothing() {
    let server = saying(&good());
    let project = asking(&server).deploying("echo $$ > \"$seen/self\"; sleep \"$(cat \"$seen/secs\")\"");
    std::fs::write(project.seen().join("secs"), "40").unwrap();
    let mut first = project.start(&["deploy", "production"]);
    // The shell makes the file before it writes the number into it.
    let has_written = || project.seen().join("self").exists() && project.trace("self").ends_with('\n');
    first.until("the first deploys", |_| has_written());
    first.kill();
    license_tests::process::kill(project.trace("self").trim().parse().unwrap());

    std::fs::write(project.seen().join("secs"), "0").unwrap();
    project.deploy().exits(0).deploy_ran();
    project.run(&["audit", "verify", "production"]).exits(0);
}

#[test]
fn two_environments_deploy_at_once() {
    let server = saying(&good());
    let wait = "while [ ! -e \"$seen/go-on\" ]; do sleep 0.05; done";
    let project = asking(&server).deploying(wait).var("OTHER_KEY", "TO-PRD-another-key").tables(
        "[environments.other]\nauthority = \"to\"\ndomain = \"app.com:8443\"\nkey = { env = \"OTHER_KEY\" }\ndeploy = \"true\"\n",
    );
    let mut first = project.start(&["deploy", "production"]);
    first.until("the first deploys", |_| project.seen().join("cwd").exists());
    project.run(&["deploy", "other"]).exits(0);
    std::fs::write(project.seen().join("go-on"), "").unwrap();
    project.ended(first).exits(0);
}

#[test]
fn many_deploys_at_once_leave_one_whole_trail() {
    const RACERS: usize = 8;
    let server = saying(&good());
    let project = asking(&server).deploying("sleep 0.1");
    // The first run writes the project down, so that the racers only read it.
    project.deploy().exits(0);
    let start = Barrier::new(RACERS);
    let codes: Vec<_> = thread::scope(|scope| {
        let race = || {
            start.wait();
            license_tests::process::Running::start(&mut racer(&project)).wait().code()
        };
        let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(codes.iter().all(|code| [0, 25].contains(code)), "{codes:?}");
    let winners = codes.iter().filter(|code| **code == 0).count();
    assert!(winners >= 1, "{codes:?}");
    let trail = project.trail("production");
    assert_eq!(trail.kinds().iter().filter(|kind| **kind == "deploy_ended").count(), winners + 1);
    assert_eq!(project.deploys(), winners + 1);
}

/// Like [`Project::command`], without writing the project down again under the feet of the others.
fn racer(project: &Project) -> std::process::Command {
    let mut command = std::process::Command::new(BINARY);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", project.seen());
    command.env("LICENSE_KEY", KEY).env("TO_API_KEY", license_tests::authority::TOKEN);
    command.current_dir(project.path("")).args(["deploy", "production"]);
    command
}

/// A project with many environments of one authority, and the number of them.
fn fleet(url: &str, keys: &[String]) -> Project {
    let mut text = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"{url}\"\ntoken = {{ env = \"TO_API_KEY\" }}\n"
    );
    let mut project = project().without_license_toml().var("TO_API_KEY", license_tests::authority::TOKEN);
    for (at, key) in keys.iter().enumerate() {
        project = project.var(&format!("KEY_{at}"), key);
        let environment = format!(
            "[environments.e{at}]\nauthority = \"to\"\ndomain = \"e{at}.app.com\"\nkey = {{ env = \"KEY_{at}\" }}\n"
        );
        text.push_str(&environment);
    }
    project.license_toml(text.as_bytes())
}

#[test]
fn many_environments_are_checked_concurrently_over_few_connections() {
    const ENVIRONMENTS: usize = 40;
    const LATENCY: Duration = Duration::from_millis(50);
    let authority = authority(&["--latency", "50ms"]);
    let issue = |at| {
        let domain = format!("e{at}.app.com");
        authority.issue(&Grant { domains: &[&domain], ..Grant::default() }).key
    };
    let keys: Vec<_> = (0..ENVIRONMENTS).map(issue).collect();
    let proxy = Proxy::to(authority.url());
    let project = fleet(&proxy.url(), &keys);

    let started = Instant::now();
    let ran = project.run(&["check", "--all", "--format", "json"]);
    let took = started.elapsed();

    let document = ran.exits(0).json();
    assert_eq!(document["environments"].as_array().unwrap().len(), ENVIRONMENTS);
    let one_by_one = LATENCY * u32::try_from(ENVIRONMENTS).unwrap();
    assert!(took < one_by_one / 2, "{took:?}, and one by one it is {one_by_one:?}");
    let (opened, at_once) = (proxy.connections(), proxy.connections_at_once());
    assert!(at_once > 1, "nothing was concurrent");
    assert!(opened <= CONNECTIONS_MAX.min(ENVIRONMENTS), "{opened} connections");
}

#[test]
fn the_order_of_the_answers_is_the_order_of_the_file() {
    let authority = authority(&[]);
    let issue = |at| {
        let domain = format!("e{at}.app.com");
        authority.issue(&Grant { domains: &[&domain], ..Grant::default() }).key
    };
    let keys: Vec<_> = (0..12).map(issue).collect();
    let project = fleet(authority.url(), &keys);
    let names = || {
        let document = project.run(&["check", "--all", "--format", "json"]).exits(0).json();
        let all = document["environments"].as_array().unwrap().clone();
        all.iter().map(|one| one["environment"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = names();
    assert_eq!(first.len(), 12);
    assert_eq!(first, names());
}

#[test]
fn an_interrupted_check_ends_at_once() {
    // Far apart, so that a busy machine does not blur them: an answer takes a minute, an end much less.
    let authority = authority(&["--latency", "60s"]);
    let project = project().authority(&authority).key(KEY).authority_line("timeout", r#""90s""#);
    let proxy = Proxy::to(authority.url());
    let project = project.authority_at(&proxy.url());
    let mut running = project.start(&["check", "production"]);
    running.until("it asks", |_| proxy.connections() > 0);
    let (pid, started) = (running.pid(), Instant::now());
    running.signal(Signal::INT);
    project.ended(running).exits(130);
    assert!(started.elapsed() < Duration::from_secs(30) && !is_alive(pid));
}
