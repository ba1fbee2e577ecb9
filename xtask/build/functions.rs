//! Has the linker put the functions that the hook runs beside each other, where it can.
//!
//! Linux maps a program's file by pieces of 64 KiB and more: the hook runs a tenth of the program's code, and where that
//! lies all over the file most of the file is mapped. `functions.ld` names these functions without the hashes of one
//! build, so that it outlives a compiler; what is not in it lies where it always did. See docs/performance.md.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Switches it off where it says `off`: for a linker that takes the list of a small program and not of this one.
const SWITCH: &str = "LICENSE_FUNCTIONS";

/// Tells Cargo to link the package's programs by a list, which is at a path below the package. Other systems have other
/// formats, and what is not optimized is never installed to be fast.
pub(crate) fn put_together(list: &str) {
    // Another linker may be chosen in any of these.
    let triple = variable("TARGET").to_uppercase().replace(['-', '.'], "_");
    for name in [SWITCH, "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", &format!("CARGO_TARGET_{triple}_LINKER")] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let Ok(script) = fs::canonicalize(Path::new(&variable("CARGO_MANIFEST_DIR")).join(list)) else { return };
    println!("cargo::rerun-if-changed={}", script.display());
    let is_wanted = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("OPT_LEVEL") != "0";
    if !is_wanted || variable(SWITCH) == "off" {
        return;
    }
    let argument = format!("-T{}", script.display());
    if can_link_with(&argument) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// Whether the linker that is in use takes an argument, and makes a program with it: not every one reads scripts.
fn can_link_with(argument: &str) -> bool {
    let directory = PathBuf::from(variable("OUT_DIR"));
    let (source, program) = (directory.join("probe.rs"), directory.join("probe"));
    if fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args([
        "--cap-lints=allow",
        "--crate-name=probe",
        "--crate-type=bin",
        "--edition=2024",
        "--target",
        &variable("TARGET"),
    ]);
    compiler.arg(source).arg("-o").arg(&program).arg("-C").arg(format!("link-arg={argument}"));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        compiler.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    compiler.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\u{1f}').filter(|flag| !flag.is_empty()));
    succeeds(&mut compiler) && (variable("TARGET") != variable("HOST") || succeeds(&mut Command::new(program)))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A variable that Cargo sets, or nothing.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
