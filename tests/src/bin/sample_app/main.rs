//! The sample application: a small web server that tells what license it runs with.
//!
//! `GET /api/license/status` answers as a deployed application should, from the variables that the deploy command
//! is given. `--detach` starts it in the background and comes back when it listens. It stops by itself after a
//! while, so that nobody has to remember it.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

mod background;
mod http;
mod options;
mod server;
mod status;

use options::{Action, Options};

/// As in the product: 2 says that the command line is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            complain(&format!("{why}\n{}", options::HELP));
            return ExitCode::from(USAGE);
        }
    };
    match run(&options, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, out: &mut dyn Write) -> Result<(), String> {
    let said = match options.action {
        Action::Help => options::HELP.to_owned(),
        Action::Serve => return server::serve(options, out),
        Action::Detach => background::start(options)?,
        Action::Detached => return background::serve(options),
        Action::Stop => background::stop(options.port)?,
    };
    // Whoever does not listen any more has what it wanted: the work is done.
    writeln!(out, "{said}").ok();
    Ok(())
}

fn complain(why: &str) {
    writeln!(io::stderr(), "sample-app: {why}").ok();
}

/// A time as it is written on the command line: `10m`.
fn written(time: Duration) -> String {
    match time.as_secs() {
        secs if secs % 60 == 0 => format!("{}m", secs / 60),
        secs => format!("{secs}s"),
    }
}
