//! Ranges in shallow clones: a commit at the border of one counts as one without parents, so that a range which goes on
//! behind it ends there without a word of git's.
//!
//! Deliberately not about pushes: what is not here is not sent. Nor about all of history, which is what is here.

use std::collections::BTreeSet;

use license_core::finding::clean;

use super::{ScanFault, Scanned, objects::Walk, repository::Repository, short};
use crate::{
    files,
    git::{self, GitError, Oid},
};

/// The longest list of commits at the border, in bytes: a million of them, or more.
const BORDER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest line of a list of commits, in bytes.
const LINE_BYTES_MAX: usize = 128;
/// The largest commit that is read for its parents, in bytes.
const COMMIT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Says of a range where it goes on behind the border.
pub(crate) fn look(repository: &Repository, range: &str, outcome: &mut Scanned) -> Result<(), ScanFault> {
    match behind_border(repository, range, outcome) {
        // What was found so far is told all the same.
        Err(ScanFault::Git(error)) => {
            outcome.miss(OF_THE_RANGE, error.to_string());
            Ok(())
        }
        looked => looked,
    }
}

fn behind_border(repository: &Repository, range: &str, outcome: &mut Scanned) -> Result<(), ScanFault> {
    let border = match border(repository)? {
        Ok(border) if border.is_empty() => return Ok(()),
        Ok(border) => border,
        Err(why) => {
            outcome.miss(OF_THE_RANGE, format!("{SHALLOW}, and its border cannot be read: {why}"));
            return Ok(());
        }
    };
    let (want, have) = repository.commits_of(range)?;
    let met = met(repository, &Walk::between(&want, &have, &super::objects::Seen::Nothing), &border)?;
    let Some(first) = met.first() else { return Ok(()) };
    if !is_left_out(repository, &parents(repository, &met)?, &have)? {
        let first = short(first);
        let what = match met.len() {
            1 => format!("commit {first}"),
            more => format!("{more} commits, such as {first},"),
        };
        let why = format!("{SHALLOW}: what comes before {what} is not here; `git fetch --unshallow` brings it");
        outcome.miss(OF_THE_RANGE, why);
    }
    Ok(())
}

const OF_THE_RANGE: &str = "commits of the range";
const SHALLOW: &str = "this is a shallow clone";

/// The commits at the border; the inner error says why they are not known.
fn border(repository: &Repository) -> Result<Result<BTreeSet<String>, String>, ScanFault> {
    let Some(path) = repository.shallow()? else { return Ok(Ok(BTreeSet::new())) };
    let bytes = match files::read_limited(&path, BORDER_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(files::why(&error))),
    };
    let text = String::from_utf8_lossy(&bytes);
    let parse = |line: &str| Oid::parse(line).map(|oid| oid.as_str().to_owned());
    let commits: Option<BTreeSet<String>> = text.lines().map(parse).collect();
    Ok(commits.ok_or_else(|| "it is no list of commits".to_owned()))
}

/// Those of them that a walk meets.
fn met(repository: &Repository, walk: &Walk, border: &BTreeSet<String>) -> Result<Vec<Oid>, ScanFault> {
    let mut output = repository.git.stream(&walk.list(&[]), walk.input())?;
    let (mut met, mut line) = (Vec::new(), Vec::new());
    loop {
        match output.until(b'\n', LINE_BYTES_MAX, &mut line) {
            Ok(Some(())) => {
                let name = std::str::from_utf8(&line).ok().filter(|name| border.contains(*name));
                met.extend(name.and_then(Oid::parse));
            }
            Ok(None) => break,
            Err(error) => {
                output.stop();
                return Err(GitError::Failed { doing: LISTING, said: clean(&error.to_string()) }.into());
            }
        }
    }
    output.finish(LISTING)?;
    Ok(met)
}

const LISTING: &str = "listing commits";

/// The parents that stand in these commits, whether git follows them or not.
fn parents(repository: &Repository, commits: &[Oid]) -> Result<Vec<Oid>, GitError> {
    let mut parents = Vec::new();
    repository.git.objects(git::Kind::Commit, commits, COMMIT_BYTES_MAX, |_, bytes| {
        let header = String::from_utf8_lossy(bytes);
        let lines = header.lines().take_while(|line| !line.is_empty());
        parents.extend(lines.filter_map(|line| Oid::parse(line.strip_prefix("parent ")?)));
        Ok::<(), GitError>(())
    })?;
    Ok(parents)
}

/// Whether all of these are here, and among what a range leaves out.
fn is_left_out(repository: &Repository, commits: &[Oid], have: &[Oid]) -> Result<bool, ScanFault> {
    if commits.is_empty() {
        return Ok(true);
    }
    let wants = commits.iter().flat_map(|oid| [oid.as_str(), "\n"]);
    let haves = have.iter().flat_map(|oid| ["^", oid.as_str(), "\n"]);
    let input = wants.chain(haves).collect::<String>().into_bytes();
    // It fails at the first that is missing.
    let asked = repository.git.ask(LISTING, &["rev-list", "--max-count=1", "--stdin"], input)?;
    Ok(asked.is_ok() && asked.output.is_empty())
}
