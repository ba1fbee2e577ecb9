//! A thousand environments at once, beside a thousand turns of the line that it replaces.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use license_tests::{Authority, Issued, Project};
use serde_json::json;

use crate::{
    BINARY, Effort,
    program::{self, kib, port},
    table::{Row, median},
};

pub(crate) const ENVIRONMENTS: usize = 1000;
/// Runs of ours, spread over the turns of theirs.
pub(crate) const RUNS: usize = 5;
/// The most connections that `check` opens to one authority: `CONNECTIONS_MAX` of the command.
pub(crate) const CONNECTIONS_MAX: u64 = 32;
pub(crate) const MEMORY_KIB_MAX: u64 = 64 * 1024;
/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Threads that issue the licenses.
const ISSUERS: usize = 20;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let authority = Authority::start(BINARY, &["--latency", "50ms"]);
    let licenses = issue(&authority);
    let project = project(&authority, &licenses);
    let missing = program::missing(&["curl", "jq"]);
    let turns = if missing.is_some() { 0 } else { effort.pick(ENVIRONMENTS, ENVIRONMENTS / 10) };
    let mut theirs = Duration::ZERO;
    let mut ours = Vec::new();
    // Ours runs before, between and after theirs, so that both meet the same weather.
    for run in 0..RUNS {
        ours.push(watched(&mut project.command(&project.path(""), &["check", "--all"]), port(&authority)));
        let turns = if run + 1 == RUNS { 0 } else { turns / (RUNS - 1) };
        theirs += licenses
            .iter()
            .enumerate()
            .skip(run * turns)
            .take(turns)
            .map(|(number, license)| program::curl_and_jq(&authority, license, &domain(number)))
            .sum::<Duration>();
    }
    let time = median(&ours.iter().map(|seen| seen.took).collect::<Vec<_>>());
    let memory = ours.iter().map(|seen| seen.memory_kib).max().unwrap();
    let connections = ours.iter().map(|seen| seen.connections).max().unwrap();
    let name = match effort {
        Effort::Full => "`check --all`, 1,000 environments, 50 ms latency / the `curl \\| jq` loop",
        Effort::Quick => {
            "`check --all`, 1,000 environments, 50 ms latency / 100 turns of the `curl \\| jq` loop, times 10"
        }
    };
    let measured = || {
        let scale = u32::try_from(ENVIRONMENTS / turns).unwrap();
        Row::faster_at_least(name, time, theirs * scale, 20.0)
    };
    let speed = missing.map_or_else(measured, |why| Row::skipped(name, &why));
    vec![
        speed,
        Row::amount_at_most("its peak memory", memory, MEMORY_KIB_MAX, "KiB"),
        Row::amount_at_most("its connections at once", connections, CONNECTIONS_MAX, "open"),
    ]
}

/// What a run of ours took.
pub(crate) struct Seen {
    pub(crate) took: Duration,
    pub(crate) memory_kib: u64,
    pub(crate) connections: u64,
}

pub(crate) fn watched(command: &mut Command, port: u16) -> Seen {
    let started = Instant::now();
    let mut child = program::quiet(command).spawn().unwrap();
    let (mut memory_kib, mut connections) = (0, 0);
    let watch = format!("/proc/{}/status", child.id());
    let (status, took) = thread::scope(|scope| {
        // It ends by itself: every call of `check` has a bound.
        let waiting = scope.spawn(move || (child.wait().unwrap(), started.elapsed()));
        while !waiting.is_finished() {
            memory_kib = memory_kib.max(kib(&watch, "VmHWM:").unwrap_or_default());
            connections = connections.max(open_to(port));
            thread::sleep(LOOK);
        }
        waiting.join().unwrap()
    });
    assert!(status.success(), "{} ended with {status}", command.get_args().next().unwrap().display());
    Seen { took, memory_kib, connections }
}

/// The connections that clients hold open, or are opening, to a port of this machine.
fn open_to(port: u16) -> u64 {
    let (remote, states) = (format!("0100007F:{port:04X}"), ["01", "02"]);
    let text = fs::read_to_string("/proc/net/tcp").unwrap();
    // The file is no picture of one moment: while much opens and closes, one connection may stand in it twice.
    let open = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        let is_open = words.next() == Some(&remote) && words.next().is_some_and(|state| states.contains(&state));
        is_open.then_some(local)
    });
    open.collect::<BTreeSet<&str>>().len() as u64
}

/// Two environments of one project have no domain in common.
pub(crate) fn domain(number: usize) -> String {
    format!("e{number}.app.com")
}

pub(crate) fn issue(authority: &Authority) -> Vec<Issued> {
    let one = |number| {
        let wish = json!({ "appName": "bench", "domain": domain(number), "planId": "enterprise" });
        let license = authority.send("POST", "/portal/licenses", Some(&wish)).json();
        let text = |name: &str| license[name].as_str().unwrap().to_owned();
        Issued { id: text("license_id"), key: text("license_key"), expires_at: text("expires_at") }
    };
    let numbers: Vec<usize> = (0..ENVIRONMENTS).collect();
    thread::scope(|scope| {
        let issuers: Vec<_> = numbers
            .chunks(ENVIRONMENTS / ISSUERS)
            .map(|numbers| scope.spawn(move || numbers.iter().map(|&number| one(number)).collect::<Vec<_>>()))
            .collect();
        issuers.into_iter().flat_map(|issuer| issuer.join().unwrap()).collect()
    })
}

/// One environment for each license; all keys are in one dotenv file.
fn project(authority: &Authority, licenses: &[Issued]) -> Project {
    project_with(authority, licenses, |_| String::new())
}

/// As [`project`], with more lines in the table of each environment.
pub(crate) fn project_with(authority: &Authority, licenses: &[Issued], lines: impl Fn(usize) -> String) -> Project {
    let mut text = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"{}\"\ntoken = {{ env = \"TO_API_KEY\" }}\n",
        authority.url()
    );
    let mut keys = String::new();
    for (number, license) in licenses.iter().enumerate() {
        write!(
            text,
            "[environments.e{number}]\nauthority = \"to\"\ndomain = \"{}\"\nkey = {{ dotenv = \".env\", name = \"KEY_{number}\" }}\ndeploy = \"true\"\n{}",
            domain(number),
            lines(number)
        )
        .unwrap();
        writeln!(keys, "KEY_{number}={}", license.key).unwrap();
    }
    Project::new(BINARY).authority(authority).license_toml(text.as_bytes()).write(".env", keys.as_bytes())
}
