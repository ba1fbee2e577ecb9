//! The command line.

use std::time::Duration;

/// What it can do.
pub(crate) const HELP: &str = "\
usage: sample-app [--detach | --stop] [--port 3000] [--for 10m]
  --detach   start in the background, in the place of a sample app that runs already
  --stop     stop the one in the background
  --port     the port on this machine
  --for      stop after this time: seconds (`90s`), minutes (`10m`) or hours (`2h`)";

const PORT_DEFAULT: u16 = 3000;
const LASTS_DEFAULT: Duration = Duration::from_secs(10 * 60);
const LASTS_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show the help.
    Help,
    /// Serve in the foreground.
    Serve,
    /// Start in the background.
    Detach,
    /// Be the one in the background; `--detach` starts it so.
    Detached,
    /// Stop the one in the background.
    Stop,
}

/// The checked command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) action: Action,
    pub(crate) port: u16,
    pub(crate) lasts: Duration,
}

impl Options {
    /// Reads the arguments. The last of several actions counts.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { action: Action::Serve, port: PORT_DEFAULT, lasts: LASTS_DEFAULT };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => options.action = Action::Help,
                "--detach" => options.action = Action::Detach,
                "--detached" => options.action = Action::Detached,
                "--stop" => options.action = Action::Stop,
                "--port" => options.port = port(&arguments.next().ok_or("`--port` needs a number")?)?,
                "--for" => options.lasts = time(&arguments.next().ok_or("`--for` needs a time, as in `10m`")?)?,
                _ => return Err(format!("`{argument}` is not an option")),
            }
        }
        Ok(options)
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is not a port: they go up to 65535"))
}

fn time(text: &str) -> Result<Duration, String> {
    let not_a_time = || format!("`{text}` is not a time: write `90s`, `10m` or `2h`, up to a day");
    let (unit_secs, number) = [("s", 1), ("m", 60), ("h", 60 * 60)]
        .iter()
        .find_map(|(unit, secs)| Some((*secs, text.strip_suffix(unit)?)))
        .ok_or_else(not_a_time)?;
    let secs = number.parse::<u32>().ok().map(|number| u64::from(number) * unit_secs);
    secs.map(Duration::from_secs).filter(|time| !time.is_zero() && *time <= LASTS_MAX).ok_or_else(not_a_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn it_serves_for_ten_minutes_on_port_3000() {
        let options = Options { action: Action::Serve, port: 3000, lasts: Duration::from_secs(600) };
        assert_eq!(parse(""), Ok(options));
    }

    #[test]
    fn every_option_is_read() {
        let options = Options { action: Action::Detach, port: 8080, lasts: Duration::from_secs(7200) };
        assert_eq!(parse("--port 8080 --detach --for 2h"), Ok(options));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            ("--prot 1", "`--prot`"),
            ("--port", "needs a number"),
            ("--port 65536", "`65536` is not a port"),
            ("--for 10", "`10` is not a time"),
            ("--for 0s", "`0s` is not a time"),
            ("--for 25h", "`25h` is not a time"),
            ("--for -1m", "`-1m` is not a time"),
            ("--for 99999999999999999999h", "is not a time"),
        ] {
            let why = parse(line).unwrap_err();
            assert!(why.contains(expected), "{line}: {why}");
        }
    }
}
