//! How fast the product is, beside what it replaces: ratios, never bare times.
//!
//! `cargo bench -p license-tests [-- [--quick] [check] [all] [serve] [startup] [rotate] [trail] [push] [scan] [status]]`; see docs/performance.md.
//! Both sides of a ratio are measured in turns, in the same run, on loopback.

#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside the product: it starts it and looks")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure ends")]

use std::{
    io::{self, Write},
    process::ExitCode,
};

mod all;
mod check;
mod fixed;
mod functions;
mod load;
mod program;
mod push;
mod rotate;
mod scan;
mod serve;
mod startup;
mod status;
mod table;
mod trail;

use table::Row;

/// The product, built as it is released.
const BINARY: &str = env!("CARGO_BIN_EXE_xtask-under-test");

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    Full,
    Quick,
}

impl Effort {
    /// Picks a number of repetitions.
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

type Part = fn(Effort) -> Vec<Row>;

const PARTS: [(&str, Part); 9] = [
    ("check", check::measure),
    ("all", all::measure),
    ("serve", serve::measure),
    ("startup", startup::measure),
    ("rotate", rotate::measure),
    ("trail", trail::measure),
    ("push", push::measure),
    ("scan", scan::measure),
    ("status", status::measure),
];

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [fixed::ARGUMENT, length] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        fixed::serve(length.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if arguments == [functions::ARGUMENT] {
        return match functions::write() {
            Ok(count) => {
                io::stdout().write_all(format!("{count} functions are on the list\n").as_bytes()).unwrap();
                ExitCode::SUCCESS
            }
            Err(why) => {
                io::stderr().write_all(format!("no list was written: {why}\n").as_bytes()).unwrap();
                ExitCode::FAILURE
            }
        };
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| *argument != "--quick").collect();
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != **name)) {
        let parts = PARTS.map(|(name, _)| name).join(", ");
        let words = format!("`{unknown}` is no part of this benchmark: it has {parts}, and `--quick`\n");
        io::stderr().write_all(words.as_bytes()).unwrap();
        return ExitCode::from(2);
    }
    let effort = if quick { Effort::Quick } else { Effort::Full };
    let parts = PARTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name));
    let rows: Vec<Row> = parts.flat_map(|(_, part)| part(effort)).collect();
    io::stdout().write_all(table::text(&rows).as_bytes()).unwrap();
    ExitCode::SUCCESS
}
