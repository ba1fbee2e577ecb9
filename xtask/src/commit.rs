//! Which commit is deployed, where the CI system does not say: git is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use license_core::trail::Ended;

use crate::{
    child_env,
    mask::Masks,
    process::{self, Job},
    signals::Signals,
    vars::Vars,
};

/// How long git may take to name its commit.
const GIT_WAIT: Duration = Duration::from_secs(2);

/// The commit that is checked out in a directory; `None` where there is no git, no repository or no commit yet.
/// git does not get the variables that hold `secrets`.
pub(crate) fn checked_out(directory: &Path, vars: &Vars, secrets: &BTreeSet<String>) -> Option<String> {
    let words = ["git", "rev-parse", "--verify", "--quiet", "HEAD"].map(str::to_owned);
    let variables = child_env::build(vars, secrets, BTreeMap::new());
    let job = Job { words: &words, directory, variables, deadline: GIT_WAIT, masks: &Masks::default() };
    let mut output = Vec::new();
    let Ended::Exited { code: 0 } = process::run(&job, &Signals::none(), &mut output) else { return None };
    let commit = String::from_utf8(output).ok()?.trim().to_owned();
    let is_id = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_outside_any_repository_has_no_commit() {
        let outside = tempfile::tempdir().unwrap();
        let vars = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("GIT_CEILING_DIRECTORIES", "/")];
        assert_eq!(checked_out(outside.path(), &vars.into_iter().collect(), &BTreeSet::new()), None);
    }
}
