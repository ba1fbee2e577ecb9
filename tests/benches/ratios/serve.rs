//! `authority serve` under load, beside the same HTTP library with an empty handler.

use std::{process::Command, time::Duration};

use license_tests::{
    Authority, Grant, Issued,
    process::{Running, Signal, is_alive, until},
};
use rustix::process::{Pid, kill_process};

use crate::{
    BINARY, Effort, fixed,
    load::{self, CLIENTS, Client, Until},
    program::{kib, port},
    table::{Row, median},
};

/// Memory is compared between the first tenth of the requests and the end; allocators breathe a little.
const GROWTH_KIB_MAX: u64 = 1024;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let mut authority = Authority::start(BINARY, &[]);
    let license = authority.issue(&Grant::default());
    let request = request(&authority, &license);
    let answer = Client::connect(port(&authority)).ask(&request).to_vec();
    assert!(String::from_utf8_lossy(&answer).contains(r#""valid":true"#));
    let mut asked = 1;
    // First: the server's memory is to be seen while it is young, too.
    let [growth, resident] = memory(&authority, &request, effort, &mut asked);
    let throughput = throughput(&authority, &request, answer.len(), effort, &mut asked);
    vec![throughput, growth, resident, counters(&mut authority, asked)]
}

/// Rounds of ours and of theirs in turns.
fn throughput(authority: &Authority, request: &[u8], length: usize, effort: Effort, asked: &mut u64) -> Row {
    let this = std::env::current_exe().unwrap();
    let mut empty = Running::start(Command::new(this).args([fixed::ARGUMENT, &length.to_string()]));
    let empty_port = empty.first_line().parse().unwrap();
    let time = Duration::from_secs(effort.pick(2, 1));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..effort.pick(9, 5) {
        let done = load::run(port(authority), request, Until::Past(time));
        *asked += done.answers;
        ours.push(done.rate());
        theirs.push(load::run(empty_port, request, Until::Past(time)).rate());
    }
    Row::rate_at_least("validations, 8 clients / an empty handler", median(&ours), median(&theirs), 0.5)
}

fn memory(authority: &Authority, request: &[u8], effort: Effort, asked: &mut u64) -> [Row; 2] {
    let requests: u64 = effort.pick(1_000_000, 200_000);
    let status = format!("/proc/{}/status", authority.pid());
    let resident = || kib(&status, "VmRSS:").unwrap();
    let mut after = |part: u64| {
        *asked += load::run(port(authority), request, Until::Times(part / CLIENTS as u64)).answers;
        resident()
    };
    let early = after(requests / 10);
    let late = after(requests - requests / 10);
    let growth = format!("memory of `authority serve`: growth from {} to {requests} requests", requests / 10);
    [
        Row::amount_at_most(&growth, late.saturating_sub(early), GROWTH_KIB_MAX, "KiB"),
        Row::amount_at_most("its resident memory after them", late, 16 * 1024, "KiB"),
    ]
}

/// The counters of use count every validation, also for the server that comes after.
fn counters(authority: &mut Authority, asked: u64) -> Row {
    let pid = authority.pid();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM).unwrap();
    until("the server has ended", || !is_alive(pid));
    authority.restart();
    let counted = authority.send("GET", "/portal/usage", None).json()["validationsMonth"].as_u64().unwrap();
    Row::same("validations counted, after a restart / asked", counted, asked)
}

fn request(authority: &Authority, license: &Issued) -> Vec<u8> {
    let body = format!(r#"{{"key":"{}","domain":"app.com"}}"#, license.key);
    format!(
        "POST /api/v1/validate HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        port(authority),
        authority.token(),
        body.len()
    )
    .into_bytes()
}
