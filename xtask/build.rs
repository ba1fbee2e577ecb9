//! How the program is linked, so that a push waits for it as little as can be.
//!
//! The unwinder is linked into it where the C compiler has it as an archive: a push waits for each library that the hook's
//! program loads before it begins. The functions that the hook runs are put beside each other.

#![expect(clippy::disallowed_methods, reason = "a build script reads its environment and asks the compiler")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "build/functions.rs"]
mod functions;

/// The unwinder as an archive.
const ARCHIVE: &str = "libgcc_eh.a";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/functions.rs");
    println!("cargo::rerun-if-env-changed=CC");
    if is_linux_with_glibc()
        && let Some(directory) = directory()
    {
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
    functions::put_together("functions.ld");
}

/// Elsewhere the standard library links another unwinder. A compiler for another machine is not asked for its archive.
fn is_linux_with_glibc() -> bool {
    let of = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    of("OS") == "linux" && of("ENV") == "gnu" && env::var("TARGET") == env::var("HOST")
}

/// Where the compiler that links keeps it. A compiler that has none repeats the name without a directory.
fn directory() -> Option<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let said = Command::new(compiler).arg(format!("-print-file-name={ARCHIVE}")).output().ok()?;
    let path = String::from_utf8(said.stdout).ok()?;
    let path = Path::new(path.trim());
    (path.is_absolute() && path.is_file()).then(|| path.parent().map(Path::to_owned)).flatten()
}
