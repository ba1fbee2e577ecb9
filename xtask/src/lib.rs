//! The shell around [`license_core`]: the only crate with input and output.
//!
//! One file per command. Dependency direction: `lib → commands → gate → {authority, store, trail, report, config} → license_core`.

use std::process::ExitCode;

mod authority;
mod commands;
mod config;
mod environment_lock;
mod exit;
mod files;
mod health;
mod log;
mod mask;
mod private_directory;
mod process;
mod signals;
mod store;
mod trail;
mod vars;

/// The whole program: parse, load, dispatch, render, exit.
pub fn main_impl() -> ExitCode {
    exit::Exit::Done.into()
}
