//! The watch: a thousand environments at once beside one after another, their page in a browser, and the trail that
//! alerts are decided from.

use std::{fs, thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use license_tests::{
    Answer, Authority, Project, RawServer,
    browser::{self, Browser, Scheme},
    process,
};
use serde_json::json;

use crate::{
    BINARY, Effort,
    all::{self, ENVIRONMENTS, Seen},
    program::{self, port},
    table::{Row, median},
    trail::{self, Checkpoints},
};

/// How late the authority answers, and every application.
const LATENCY: Duration = Duration::from_millis(50);
/// The largest page, in bytes.
const PAGE_BYTES_MAX: u64 = 2_000_000;
/// The longest that a browser may take to show it.
const SHOWN_MAX: Duration = Duration::from_secs(1);
/// The entries of the trail that is folded.
const ENTRIES: u64 = 100_000;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let mut rows = fleet(effort);
    rows.extend(replay(effort));
    rows
}

/// A thousand environments, each with an application that answers late.
fn fleet(effort: Effort) -> Vec<Row> {
    let authority = Authority::start(BINARY, &["--latency", "50ms"]);
    let app = RawServer::answering(|_| {
        thread::sleep(LATENCY);
        Answer::json(200, &json!({ "valid": true, "plan": "enterprise" }))
    });
    let licenses = all::issue(&authority);
    let health = |number| format!("health = {{ url = \"http://{}/e{number}\", within = \"20s\" }}\n", app.address());
    let project = all::project_with(&authority, &licenses, health);
    let turns = effort.pick(ENVIRONMENTS, ENVIRONMENTS / 10);
    let (mut ours, mut theirs) = (Vec::new(), Duration::ZERO);
    for run in 0..all::RUNS {
        ours.push(first_look(&project, &["status", "--all"], port(&authority)));
        let turns = if run + 1 == all::RUNS { 0 } else { turns / (all::RUNS - 1) };
        forget(&project);
        for number in (run * turns..).take(turns) {
            let mut one = project.command(&project.path(""), &["status", &format!("e{number}")]);
            theirs += program::timed(&mut one, 0);
        }
    }
    let time = median(&ours.iter().map(|seen| seen.took).collect::<Vec<_>>());
    let memory = ours.iter().map(|seen| seen.memory_kib).max().unwrap();
    let connections = ours.iter().map(|seen| seen.connections).max().unwrap();
    let name = match effort {
        Effort::Full => "`status --all`, 1,000 environments, 50 ms latency / `status ENV`, one after another",
        Effort::Quick => {
            "`status --all`, 1,000 environments, 50 ms latency / `status ENV`, 100 of them one after another, times 10"
        }
    };
    let mut rows = vec![
        Row::faster_at_least(name, time, theirs * u32::try_from(ENVIRONMENTS / turns).unwrap(), 20.0),
        Row::amount_at_most("its peak memory", memory, all::MEMORY_KIB_MAX, "KiB"),
        Row::amount_at_most("its connections to the authority at once", connections, all::CONNECTIONS_MAX, "open"),
    ];
    rows.extend(page(&project, effort));
    rows
}

/// Nobody has looked yet, so that every look of either side is written down.
fn forget(project: &Project) {
    let trails = project.path(".license/trail");
    if trails.exists() {
        fs::remove_dir_all(trails).unwrap();
    }
}

fn first_look(project: &Project, arguments: &[&str], port: u16) -> Seen {
    forget(project);
    all::watched(&mut project.command(&project.path(""), arguments), port)
}

/// The page of a thousand environments: how large it is, and when a browser shows it.
fn page(project: &Project, effort: Effort) -> Vec<Row> {
    const SHOWN: &str = "the page of 1,000 environments in Chromium: loaded and first painted";
    project.run(&["status", "--all", "--html", "page.html"]).exits(0);
    let file = project.path("page.html");
    let mut rows = vec![Row::amount_at_most(
        "`status --all --html`, 1,000 environments: the page",
        fs::metadata(&file).unwrap().len(),
        PAGE_BYTES_MAX,
        "bytes",
    )];
    if let Some(why) = browser::missing() {
        rows.push(Row::skipped(SHOWN, &why));
        return rows;
    }
    let browser = Browser::start();
    let times: Vec<Duration> = (0..effort.pick(21, 7))
        .map(|_| {
            browser.look(1280, Scheme::Light);
            browser.open(&file);
            shown_at(&browser)
        })
        .collect();
    rows.push(Row::time_at_most(SHOWN, median(&times), SHOWN_MAX));
    rows
}

/// When the page was loaded and painted, from the beginning of the navigation.
fn shown_at(browser: &Browser) -> Duration {
    let mut millis = None;
    process::until("the browser paints the page", || {
        millis = browser.run(SHOWN_AT).as_f64();
        millis.is_some()
    });
    Duration::from_secs_f64(millis.unwrap() / 1000.0)
}

/// The later of the two, in milliseconds; nothing before both have happened.
const SHOWN_AT: &str = "
    const loaded = performance.getEntriesByType('navigation')[0].loadEventEnd;
    const painted = performance.getEntriesByType('paint').map((entry) => entry.startTime);
    return painted.length ? Math.max(loaded, ...painted) : null;
";

/// `status --cached`, which asks nobody: it reads the trail to what stands, and what was said.
fn replay(effort: Effort) -> Vec<Row> {
    const NAMES: [&str; 2] = [
        "`status --cached`, trail of 100,000 entries without checkpoints / `sha256sum`",
        "the same with checkpoints as they are written / `sha256sum`",
    ];
    if let Some(why) = program::missing(&["sha256sum"]) {
        return NAMES.map(|name| Row::skipped(name, &why)).into();
    }
    let ends_at = (Timestamp::now() + SignedDuration::from_hours(5 * 24)).to_string();
    let said = json!({ "valid": true, "plan": "enterprise", "domains": ["app.com"], "expiresAt": ends_at });
    let authority = RawServer::script([Answer::json(200, &said)]);
    let sink = "[sinks.team]\nkind = \"command\"\ncommand = \"true\"\n";
    let project = Project::new(BINARY).authority_at(&authority.url()).key("TO-PRD-A-KEY-OF-THE-BENCHMARK").tables(sink);
    project.deploy().exits(0);
    project.run(&["status"]).exits(0).says("ends within 7 days");
    let records = trail::records_of(&project);
    let mut ours: [Vec<Duration>; 2] = Default::default();
    let mut theirs: [Vec<Duration>; 2] = Default::default();
    let mut hashing = program::bare("sha256sum");
    hashing.arg(project.trail_file("production"));
    let mut cached = project.command(&project.path(""), &["status", "--cached"]);
    let mut memory = 0;
    for (which, checkpoints) in [Checkpoints::Never, Checkpoints::AsWritten].into_iter().enumerate() {
        fs::write(project.trail_file("production"), trail::text(&records, ENTRIES, checkpoints)).unwrap();
        for _ in 0..effort.pick(21, 5) {
            ours[which].push(program::timed(&mut cached, 0));
            theirs[which].push(program::timed(&mut hashing, 0));
        }
        memory = memory.max(program::peak_kib(&mut cached));
    }
    let [whole, recent] = ours.map(|times| median(&times));
    let [hashed, hashed_again] = theirs.map(|times| median(&times));
    vec![
        Row::slower_at_most(NAMES[0], whole, hashed, 8.0),
        Row::told(NAMES[1], recent, hashed_again),
        Row::amount("peak memory of `status --cached` without checkpoints", memory, "KiB"),
    ]
}
