//! What a push sends: git lists it and hands it out, and with it the `license.toml` of what is pushed.
//!
//! Each git takes longer to start than to answer. So what is most likely is taken for granted, and git begins with it
//! while its configuration is read; where that, or what the remote says, is against it, git begins anew.
//! What is left out is what the remote has: what it said a moment ago, and what git saw there, as far as that is
//! believed. Whatever is not believed is looked at, so that a doubt costs time and never a leak.

use std::{collections::BTreeSet, io, path::Path};

use super::{
    error::PushError,
    file::{self, FilePlace, Stored},
    lines::Update,
    repository::{self, Facts, Repository, Tracked, Whereabouts},
};
use crate::{
    config,
    git::{
        GitError, Oid,
        settings::{Objects, Settings, Tracking, usual_tracking},
    },
    hook::remotes::{self, Believed, Doubted, Remotes},
    scan::{
        ScanFault,
        objects::{self, Begun, Range, Seen},
        repository::Repository as Scanning,
    },
};

/// For how many refs of one push it is asked what git saw of them; for more, all are listed.
const ASKED_MAX: usize = 64;

/// A push that git has begun to hand out.
pub(crate) struct Sending {
    /// Where the repository is.
    pub(crate) whereabouts: Whereabouts,
    /// Where `license.toml` is.
    pub(crate) place: FilePlace,
    /// What it says in what is pushed.
    pub(crate) stored: Stored,
    /// What is sent.
    pub(crate) range: Range,
    /// The scan that has begun; none where nothing is sent.
    pub(crate) begun: Option<Begun>,
}

/// What is pushed, from where, and to whom.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'p> {
    /// The repository.
    pub(crate) repository: &'p Repository,
    /// The same, for the scan.
    pub(crate) scanning: &'p Scanning,
    /// Where the program was started.
    pub(crate) directory: &'p Path,
    /// The file that `--config` names.
    pub(crate) config: Option<&'p Path>,
    /// The refs.
    pub(crate) updates: &'p [Update],
    /// The remote's name and its address, where there are both.
    pub(crate) remote: Option<&'p (String, String)>,
}

/// Has git begin.
pub(crate) fn begin(asked: Asked<'_>) -> Result<Sending, PushError> {
    if asked.wanted().is_empty() {
        let whereabouts = asked.repository.facts()?.whereabouts;
        let place = asked.place(&whereabouts)?;
        let range = asked.range(Seen::Nothing);
        return Ok(Sending { whereabouts, place, stored: Stored::default(), range, begun: None });
    }
    let guessed = asked.guess().map(|guess| Opened::of(asked, config::FILE_NAME, guess));
    let facts = asked.repository.facts();
    // What is said about the repository explains the other errors.
    let (facts, place, sure) = match facts.map_err(PushError::from).and_then(|facts| asked.sure(facts)) {
        Ok(sure) => sure,
        Err(error) => {
            if let Some(Ok(opened)) = guessed {
                opened.begun.abandon();
            }
            return Err(error);
        }
    };
    let opened = match guessed.transpose()? {
        Some(opened) if opened.seen == sure && place.in_commit == config::FILE_NAME => opened,
        guessed => {
            if let Some(opened) = guessed {
                opened.begun.abandon();
            }
            Opened::of(asked, &place.in_commit, sure)?
        }
    };
    opened.answered(asked, facts, place)
}

/// A scan that has begun with what is taken to be on the remote.
struct Opened {
    seen: Seen,
    begun: Begun,
    /// For these refs of the push it was asked what git saw of them.
    tracked: Vec<(usize, String)>,
}

impl Opened {
    fn of(asked: Asked<'_>, in_commit: &str, seen: Seen) -> Result<Self, ScanFault> {
        let tracked = match &seen {
            Seen::Refs(remote) => asked.tracked(remote),
            Seen::Nothing | Seen::These(_) => Vec::new(),
        };
        let files = file::objects(asked.updates).into_iter().map(|oid| repository::at_path(oid, in_commit));
        // git keeps small answers back until it hands out a file: with the files last, all of these come while it lists.
        let ahead: Vec<String> = tracked.iter().map(|(_, name)| name.clone()).chain(files).collect();
        let begun = objects::begin(asked.scanning, &asked.range(seen.clone()), &ahead, asked.repository.loose())?;
        Ok(Self { seen, begun, tracked })
    }

    /// Reads what git hands out first.
    fn answered(mut self, asked: Asked<'_>, facts: Facts, place: FilePlace) -> Result<Sending, PushError> {
        let objects = file::objects(asked.updates);
        let (mut found, contents, held) = match self.read(objects.len()) {
            Ok(read) => read,
            Err(error) => return Err(self.begun.broken(asked.scanning, error).into()),
        };
        let is_denied = self
            .tracked
            .iter()
            .zip(&held)
            .any(|((at, _), held)| held.as_ref().is_some_and(|held| asked.updates[*at].old.as_ref() != Some(held)));
        if is_denied {
            self.begun.abandon();
            let seen = asked.listed(&facts, &records(&facts))?;
            let begun = objects::begin(asked.scanning, &asked.range(seen.clone()), &[], None)?;
            self = Self { seen, begun, tracked: Vec::new() };
        }
        match facts.settings.objects {
            Objects::All => {}
            Objects::Partial => asked.repository.left_out(&mut found, &objects, &place.in_commit)?,
        }
        Ok(Sending {
            whereabouts: facts.whereabouts,
            place,
            stored: Stored::of(&objects, found, contents),
            range: asked.range(self.seen),
            begun: Some(self.begun),
        })
    }

    fn read(&mut self, files: usize) -> io::Result<(Vec<repository::Found>, repository::Contents, Vec<Option<Oid>>)> {
        let output = self.begun.output();
        let held = self.tracked.iter().map(|_| repository::next_held(output)).collect::<io::Result<_>>()?;
        let (found, contents) = Repository::files(output, files, config::FILE_BYTES_MAX)?;
        Ok((found, contents, held))
    }
}

impl Asked<'_> {
    fn wanted(self) -> Vec<Oid> {
        self.updates.iter().filter_map(|update| update.new.clone()).collect()
    }

    fn range(self, seen: Seen) -> Range {
        Range::Push { want: self.wanted(), have: self.updates.iter().filter_map(|it| it.old.clone()).collect(), seen }
    }

    fn place(self, whereabouts: &Whereabouts) -> Result<FilePlace, PushError> {
        FilePlace::of(self.config, self.directory, whereabouts.top.as_deref())
    }

    /// With what git says about the repository: where the file is, and what the remote has.
    fn sure(self, facts: Facts) -> Result<(Facts, FilePlace, Seen), PushError> {
        let place = self.place(&facts.whereabouts)?;
        let seen = self.seen(&facts)?;
        Ok((facts, place, seen))
    }

    /// What is most likely believed in the end, where that can be told without git.
    fn guess(self) -> Option<Seen> {
        if self.config.is_some() {
            return None;
        }
        let Some((name, url)) = self.remote.filter(|(name, url)| name != url) else { return Some(Seen::Nothing) };
        let record = Remotes::read(self.repository.likely_common()?);
        self.recorded(&record, name, url)
    }

    /// All refs of the remote, where the record has no doubt about one.
    fn recorded(self, records: &Remotes, name: &str, url: &str) -> Option<Seen> {
        let believed = records.get(name)?;
        let is_sure = believed.is_at(url) && believed.doubted.is_empty() && self.updates.len() <= ASKED_MAX;
        (is_sure && is_plain(name)).then(|| Seen::Refs(name.to_owned()))
    }

    /// What the remote has besides what it said, by what git says about it.
    fn seen(self, facts: &Facts) -> Result<Seen, GitError> {
        let Some((name, url)) = self.remote.filter(|(name, url)| is_of(&facts.settings, name, url)) else {
            return Ok(Seen::Nothing);
        };
        let records = records(facts);
        let is_usual = facts.settings.tracking(name).is_usual(name);
        match self.recorded(&records, name, url).filter(|_| is_usual) {
            Some(seen) => Ok(seen),
            None => self.listed(facts, &records),
        }
    }

    /// The same, one by one. What was learned about the remote is recorded.
    fn listed(self, facts: &Facts, records: &Remotes) -> Result<Seen, GitError> {
        let Some((name, url)) = self.remote else { return Ok(Seen::Nothing) };
        let common = &facts.whereabouts.common;
        let tracking = facts.settings.tracking(name);
        let tracked = self.repository.tracked()?;
        let before = match records.get(name) {
            Some(believed) if believed.is_at(url) => Before::Here(&believed.doubted),
            None if remotes::is_cloned_from(common, url) => Before::Cloned,
            Some(_) | None => Before::Elsewhere,
        };
        let Judged { seen, doubted } = judge(&tracked, &tracking, self.updates, before);
        let now = Believed::at(url, doubted);
        if records.get(name) != Some(&now) {
            let mut records = records.clone();
            records.set(name, now);
            // Without a record the next push is looked at as closely as this one.
            records.write(common).ok();
        }
        Ok(Seen::These(seen))
    }

    /// The refs of the push that a remote with the usual refs has under another name here, and those names.
    fn tracked(self, remote: &str) -> Vec<(usize, String)> {
        let name = |update: &Update| usual_tracking(remote, std::str::from_utf8(&update.remote_ref).ok()?);
        let named = self.updates.iter().map(name).enumerate();
        named.filter_map(|(at, name)| Some((at, name?))).collect()
    }
}

fn records(facts: &Facts) -> Remotes {
    Remotes::read(&facts.whereabouts.common)
}

/// Whether git takes no sign of a name for a pattern, or for the end of a line.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-') && !name.contains(|sign: char| "*?[\\".contains(sign) || sign.is_whitespace())
}

/// Whether an address is the only one that a remote is fetched from and pushed to.
fn is_of(settings: &Settings, name: &str, url: &str) -> bool {
    name != url && settings.address(name).as_deref() == Some(url)
}

/// Where the remote was before.
#[derive(Debug, Clone, Copy)]
enum Before<'d> {
    /// At this address, and these refs are doubted since.
    Here(&'d Doubted),
    /// It is where the repository was cloned from.
    Cloned,
    /// At another address, or nobody knows where.
    Elsewhere,
}

/// What the refs of a remote come to.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    /// What the remote has.
    seen: Vec<Oid>,
    /// What it may have had at another address, or another time.
    doubted: Doubted,
}

/// Decides which refs are believed. A branch that the remote does not have, and that git saw there, is a sign of another
/// remote: it was replaced, or emptied. One that it has moved is life, and only this ref is out of date.
fn judge(tracked: &[Tracked], tracking: &Tracking, updates: &[Update], before: Before<'_>) -> Judged {
    let mine: Vec<&Tracked> = tracked.iter().filter(|it| tracking.has(&it.name)).collect();
    let held = |name: &str| mine.iter().find(|it| it.name == name).map(|it| &it.oid);
    let (mut moved, mut is_gone) = (BTreeSet::new(), false);
    for update in updates {
        let Some(name) = std::str::from_utf8(&update.remote_ref).ok().and_then(|name| tracking.of(name)) else {
            continue;
        };
        match (held(&name), &update.old) {
            (Some(_), None) => is_gone = true,
            (Some(held), Some(old)) if held != old => {
                moved.insert(name);
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
    }
    let all = mine.iter().map(|it| (it.name.clone(), it.oid.to_string()));
    let doubted: Doubted = match before {
        Before::Here(_) | Before::Cloned | Before::Elsewhere if is_gone => all.collect(),
        Before::Here(doubted) => all.filter(|(name, oid)| doubted.get(name) == Some(oid)).collect(),
        Before::Cloned => Doubted::new(),
        Before::Elsewhere => all.collect(),
    };
    let believed = mine.iter().filter(|it| !moved.contains(&it.name) && !doubted.contains_key(&it.name));
    let seen: BTreeSet<&Oid> = believed.map(|it| &it.oid).collect();
    Judged { seen: seen.into_iter().cloned().collect(), doubted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        Oid::parse(&digit.to_string().repeat(40)).unwrap()
    }

    #[test]
    fn what_is_doubted_is_not_left_out() {
        let fetch = "+refs/heads/*:refs/remotes/o/*";
        let settings = Settings::of_lines(&[("remote.o.url", "u"), ("remote.o.fetch", fetch)]);
        let tracked: Vec<Tracked> = [("o/main", 'a'), ("o/dev", 'b'), ("p/main", 'c')]
            .map(|(name, digit)| Tracked { name: format!("refs/remotes/{name}"), oid: oid(digit) })
            .into();
        let of = |digits: &str| -> Doubted {
            let name = |digit| format!("refs/remotes/o/{}", if digit == 'a' { "main" } else { "dev" });
            digits.chars().map(|digit| (name(digit), oid(digit).to_string())).collect()
        };
        // The second of them has moved since.
        let (nothing, doubted) = (of(""), of("ad"));
        let here = Before::Here(&nothing);
        for (name, branch, old, before, seen, doubts) in [
            ("as git saw it", "main", Some('a'), here, "ab", ""),
            ("a new branch", "new", None, here, "ab", ""),
            ("another tag", "", None, here, "ab", ""),
            ("a branch that moved", "main", Some('e'), here, "b", ""),
            ("a branch that is gone", "main", None, here, "", "ab"),
            ("doubts stay as long as the refs do", "new", None, Before::Here(&doubted), "b", "a"),
            ("a clone", "new", None, Before::Cloned, "ab", ""),
            ("a clone of what was made anew", "dev", None, Before::Cloned, "", "ab"),
            ("elsewhere", "main", Some('a'), Before::Elsewhere, "", "ab"),
        ] {
            let update = Update {
                local_name: b"HEAD".to_vec(),
                new: Some(oid('f')),
                remote_ref: format!("refs/heads/{branch}").into_bytes(),
                old: old.map(oid),
            };
            let judged = judge(&tracked, &settings.tracking("o"), &[update], before);
            assert_eq!(judged.seen, seen.chars().map(oid).collect::<Vec<_>>(), "{name}");
            assert_eq!(judged.doubted, of(doubts), "{name}");
        }
    }

    #[test]
    fn a_name_that_git_may_take_for_a_pattern_is_not_given_to_it() {
        for (name, expected) in
            [("origin", true), ("a/b", true), ("or*n", false), ("o[x]", false), ("a b", false), ("-o", false)]
        {
            assert_eq!(is_plain(name), expected, "{name}");
        }
    }
}
