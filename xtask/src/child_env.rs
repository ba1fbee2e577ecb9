//! The environment of deploy and rollback commands: what we were started with, less what is not theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use crate::{config::Config, keyring, store::Source, vars::Vars};

/// What a deploy command is told, beside its key. None of these is inherited: what the authority does not state is not there.
pub(crate) const GIVEN: [&str; 7] = [
    "LICENSE_ENVIRONMENT",
    "LICENSE_DOMAIN",
    "LICENSE_RELEASE",
    "LICENSE_KEY_FINGERPRINT",
    "LICENSE_PLAN",
    "LICENSE_FEATURES",
    "LICENSE_EXPIRES_AT",
];

/// The variables of a child: ours, less every secret that `license.toml` names, less what cargo and git set for us, with `given` on top.
pub(crate) fn build(
    vars: &Vars,
    secret_names: &BTreeSet<String>,
    given: BTreeMap<String, String>,
) -> Vec<(OsString, OsString)> {
    let under_cargo = vars.raw("CARGO").is_some();
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    for (name, value) in vars.iter() {
        let Some(text) = name.to_str() else {
            variables.insert(name.to_owned(), value.to_owned());
            continue;
        };
        if secret_names.contains(text)
            || GIVEN.contains(&text)
            || set_by_cargo(text)
            || (under_cargo && text == "LD_LIBRARY_PATH")
            || SET_BY_GIT.contains(&text)
        {
            continue;
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables.extend(given.into_iter().map(|(name, value)| (name.into(), value.into())));
    variables.into_iter().collect()
}

/// The names of all variables that hold a key or a token of any environment.
pub(crate) fn secret_names(config: &Config) -> BTreeSet<String> {
    keyring::sources(config).filter_map(variable).collect()
}

fn variable(source: &Source) -> Option<String> {
    match source {
        Source::Env { name } => Some(name.clone()),
        Source::Dotenv { .. } | Source::File { .. } | Source::Age { .. } | Source::Store { .. } => None,
    }
}

/// What `cargo run` sets for the program that it starts; a cargo that the deploy command starts must not see it.
fn set_by_cargo(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "CARGO",
        "CARGO_CRATE_NAME",
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
        "RUST_RECURSION_COUNT",
        "RUSTUP_TOOLCHAIN",
    ];
    const PREFIXES: [&str; 3] = ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What git sets for its hooks; a git that the deploy command starts must find its own repository.
const SET_BY_GIT: [&str; 4] = ["GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vars: &[(&str, &str)], secrets: &[&str], given: &[(&str, &str)]) -> Vec<String> {
        let vars: Vars = vars.iter().copied().collect();
        let secrets = secrets.iter().map(|&name| name.to_owned()).collect();
        let given = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let built = build(&vars, &secrets, given);
        built.into_iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    #[test]
    fn a_child_gets_its_key_and_nobody_elses() {
        let vars = [("PATH", "/bin"), ("TO_API_KEY", "t"), ("STAGING_KEY", "s"), ("LICENSE_KEY", "old")];
        let secrets = ["TO_API_KEY", "STAGING_KEY", "LICENSE_KEY"];
        assert_eq!(names(&vars, &secrets, &[("LICENSE_KEY", "new")]), ["LICENSE_KEY=new", "PATH=/bin"]);
    }

    #[test]
    fn what_cargo_and_git_set_for_us_stays_here() {
        let vars = [
            ("CARGO", "cargo"),
            ("CARGO_HOME", "/c"),
            ("CARGO_MANIFEST_DIR", "/m"),
            ("CARGO_PKG_NAME", "xtask"),
            ("LD_LIBRARY_PATH", "/l"),
            ("GIT_DIR", ".git"),
            ("HOME", "/h"),
        ];
        assert_eq!(names(&vars, &[], &[]), ["CARGO_HOME=/c", "HOME=/h"]);
    }

    #[test]
    fn a_library_path_of_the_users_own_is_kept() {
        assert_eq!(names(&[("LD_LIBRARY_PATH", "/l")], &[], &[]), ["LD_LIBRARY_PATH=/l"]);
    }
}
