//! Which functions the hook runs: the list that `xtask/functions.ld` has the linker put together.
//!
//! It is written anew by
//! `CARGO_PROFILE_BENCH_STRIP=none cargo bench --package license-tests -- functions`, which needs valgrind.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use tempfile::TempDir;

use crate::{program, push};

/// Asks for the list, instead of measuring.
pub(crate) const ARGUMENT: &str = "functions";

/// Where the list is.
const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/functions.ld");
/// What valgrind's processor does not have and others do, so that it runs something else there.
const BEYOND_VALGRIND: [&str; 4] =
    ["_ZN*fearless_simd*vectorize_avx512*", "_ZN13fearless_simd6detect*", "_ZN4sha1*", "_ZN4sha2*"];
/// The fewest functions that a push runs: fewer are a program without names.
const FEWEST: usize = 200;

/// Watches some pushes and writes the list; says how many functions are on it.
pub(crate) fn write() -> Result<usize, String> {
    if let Some(why) = program::missing(&["valgrind"]) {
        return Err(why);
    }
    let directory = TempDir::with_prefix("functions-").unwrap();
    let file = format!("--callgrind-out-file={}/%p", directory.path().to_str().unwrap());
    push::watched(&["valgrind", "--quiet", "--tool=callgrind", "--demangle=no", &file]);
    let names = names(directory.path());
    if names.len() < FEWEST {
        return Err("the program has no names: see `CARGO_PROFILE_BENCH_STRIP` in docs/performance.md".to_owned());
    }
    fs::write(LIST, script(&names)).unwrap();
    Ok(names.len())
}

/// The names in what callgrind wrote, as patterns.
fn names(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let texts: Vec<String> = files.collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let said = lines.filter_map(|line| line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")));
    // `(12) name` where a name comes first, then `(12)`.
    let names = said.filter_map(|named| named.split_once(' ')).map(|(_, name)| name);
    let ours = names.filter(|name| name.starts_with("_ZN") || name.starts_with("_R") || *name == "main");
    ours.map(pattern).chain(BEYOND_VALGRIND.map(str::to_owned)).collect()
}

/// A name without what differs from build to build: the hash at its end or those of crates, and what the optimizer adds.
fn pattern(name: &str) -> String {
    // A function that calls itself has a number there.
    let name = name.split('\'').next().unwrap_or(name);
    let name = name.split_once(".llvm.").map_or(name.to_owned(), |(name, _)| format!("{name}*"));
    match name.rfind("17h").filter(|_| name.starts_with("_ZN")) {
        Some(hash) => format!("{}*", &name[..hash]),
        None => without_crate_hashes(&name),
    }
}

/// `Cs` and letters and digits up to a `_`: <https://doc.rust-lang.org/rustc/symbol-mangling/v0.html>.
fn without_crate_hashes(name: &str) -> String {
    let mut parts = name.split("Cs");
    let mut pattern = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash = part.find(|c: char| !c.is_ascii_alphanumeric()).filter(|end| part[*end..].starts_with('_'));
        pattern.push_str("Cs");
        pattern.push_str(&hash.map_or(part.to_owned(), |end| format!("*{}", &part[end..])));
    }
    pattern
}

fn script(names: &BTreeSet<String>) -> String {
    let mut script =
        "/* The functions that the hook runs, to be put together: xtask/build/functions.rs says what for.\n   \
                      Written by `cargo bench --package license-tests -- functions`; see docs/performance.md. */\n\
                      SECTIONS {\n  .text.hook : {\n"
            .to_owned();
    for name in names {
        // What the compiler takes to be cold lies in sections of another name.
        writeln!(script, "    *(.text.{name} .text.unlikely.{name})").unwrap();
    }
    script + "  }\n} INSERT BEFORE .text;\n"
}
