//! Programs: run and timed, and looked at while they run.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use license_tests::{Authority, Issued};

/// How long a run takes, from its start to its end; its exit code must be this one.
pub(crate) fn timed(command: &mut Command, code: i32) -> Duration {
    quiet(command);
    let started = Instant::now();
    let status = command.status().unwrap();
    let took = started.elapsed();
    assert_eq!(status.code(), Some(code), "{}", command.get_program().display());
    took
}

/// As [`timed`], for a program that is handed an empty pipe: what git gives a hook that has nothing to look at.
pub(crate) fn timed_with_pipe(command: &mut Command, code: i32) -> Duration {
    quiet(command).stdin(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    let took = started.elapsed();
    assert_eq!(status.code(), Some(code), "{}", command.get_program().display());
    took
}

/// A program has no input, and its output goes nowhere.
pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// How long `curl … | jq -e '.valid == true'` takes. No shell is timed: the line stands in a script that runs already.
pub(crate) fn curl_and_jq(authority: &Authority, license: &Issued, domain: &str) -> Duration {
    let mut curl = curl(authority, license, domain);
    let mut jq = bare("jq");
    jq.args(["-e", ".valid == true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut curl = curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let judged = jq.stdin(curl.stdout.take().unwrap()).status().unwrap();
    let asked = curl.wait().unwrap();
    let took = started.elapsed();
    assert!(judged.success() && asked.success(), "curl and jq did not accept the license");
    took
}

/// The half of the line that asks.
pub(crate) fn curl(authority: &Authority, license: &Issued, domain: &str) -> Command {
    let body = format!(r#"{{"key":"{}","domain":"{domain}"}}"#, license.key);
    let mut curl = bare("curl");
    curl.args(["-s", "--max-time", CURL_SECS_MAX, "-X", "POST", &format!("{}/validate", authority.url())]);
    curl.args(["-H", &format!("Authorization: Bearer {}", authority.token())]);
    curl.args(["-H", "Content-Type: application/json", "-d", &body]);
    curl
}

/// The most memory that a run holds, in KiB, as Linux counted it when the run was last seen.
pub(crate) fn peak_kib(command: &mut Command) -> u64 {
    let mut child = quiet(command).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // It ends by itself: every call and every reading of the product has a bound.
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(kib(&status, "VmHWM:").unwrap_or_default());
        thread::sleep(PEAK_LOOK);
    }
    peak
}

/// Why these programs cannot be run, if one cannot.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let runs = |program: &str| quiet(bare(program).arg("--version")).status().is_ok_and(|status| status.success());
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !runs(program)).collect();
    (!missing.is_empty()).then(|| format!("{} cannot be run", missing.join(" and ")))
}

/// A field of a process's status, in KiB.
pub(crate) fn kib(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse().ok())
}

/// The port of an authority.
pub(crate) fn port(authority: &Authority) -> u16 {
    authority.url().strip_prefix("http://127.0.0.1:").unwrap().split('/').next().unwrap().parse().unwrap()
}

/// A program in the environment that the product gets too.
pub(crate) fn bare(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// How often a run is looked at for its memory: often, because the shortest one takes some milliseconds.
const PEAK_LOOK: Duration = Duration::from_micros(200);
/// No call of curl takes longer, in seconds.
pub(crate) const CURL_SECS_MAX: &str = "20";
