//! What a push sends: git lists it and hands it out, and with it the `license.toml` of what is pushed.
//!
//! Each git takes longer to start than to answer. So what is most likely is taken for granted, and git begins with it
//! while its configuration is read; where that, or what the remote says, is against it, git begins anew.
//! What is left out is what the remote has: what it said a moment ago, and what git saw there, as far as that is
//! believed. Whatever is not believed is looked at, so that a doubt costs time and never a leak.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use license_core::finding::clean;

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
        settings::{self, Objects, Settings, Tracking, is_same_place, usual_tracking},
    },
    hook::remotes::{self, Address, Believed, Doubted, Remotes},
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
    /// What becomes of objects that are not here.
    pub(crate) promised: Promised,
}

/// What a push does with objects that a partial clone left with its remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Promised {
    /// There are none, or it goes to the remote that has them.
    Stay,
    /// It fetches them from there, to send them on; unless the remote says that it has them.
    MayBeSent {
        /// The remotes that have them, clean.
        from: String,
    },
}

impl Promised {
    fn of(settings: &Settings, remote: Option<&(String, String)>) -> Self {
        match &settings.objects {
            Objects::All => Self::Stay,
            Objects::Partial(remotes) => match remote {
                Some((name, url)) if is_of(settings, name, url) && remotes.iter().eq([name]) => Self::Stay,
                Some(_) | None => {
                    let names: Vec<String> = remotes.iter().map(|name| format!("`{}`", clean(name))).collect();
                    Self::MayBeSent { from: names.join(", ") }
                }
            },
        }
    }
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
    /// Who says what the remote has.
    pub(crate) teller: Teller,
}

/// Who says what a remote has of the refs of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller {
    /// The remote, through git; or a person.
    Remote,
    /// A framework for hooks: it passes on what the remote said, or takes it from the refs of the remote that are here,
    /// and does not tell which.
    Framework,
}

/// What the remote is taken to have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// What git saw there.
    seen: Seen,
    /// Whether what was told counts.
    told: Told,
}

/// Whether what was told about the refs of a push counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Counts,
    /// It may come of refs that are doubted.
    IsDoubted,
}

impl Known {
    fn beside_what_was_told(seen: Seen) -> Self {
        Self { seen, told: Told::Counts }
    }
}

/// Has git begin, and does something else until it answers.
pub(crate) fn begin(asked: Asked<'_>, meanwhile: impl FnOnce()) -> Result<Sending, PushError> {
    if asked.wanted().is_empty() {
        let whereabouts = asked.repository.facts(|| ())?.whereabouts;
        let place = asked.place(&whereabouts)?;
        let range = asked.range(Known::beside_what_was_told(Seen::Nothing));
        let stored = Stored::default();
        return Ok(Sending { whereabouts, place, stored, range, begun: None, promised: Promised::Stay });
    }
    let guessed = asked.guess().map(|guess| Opened::of(asked, config::FILE_NAME, guess));
    let facts = asked.repository.facts(meanwhile);
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
        Some(opened) if opened.known == sure && place.in_commit == config::FILE_NAME => opened,
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
    known: Known,
    begun: Begun,
    /// For these refs of the push it was asked what git saw of them.
    tracked: Vec<(usize, String)>,
}

impl Opened {
    fn of(asked: Asked<'_>, in_commit: &str, known: Known) -> Result<Self, ScanFault> {
        let tracked = match &known.seen {
            Seen::Refs(remote) => asked.tracked(remote),
            Seen::Nothing | Seen::These(_) => Vec::new(),
        };
        let files = file::objects(asked.updates).into_iter().map(|oid| repository::at_path(oid, in_commit));
        // git keeps small answers back until it hands out a file: with the files last, all of these come while it lists.
        let ahead: Vec<String> = tracked.iter().map(|(_, name)| name.clone()).chain(files).collect();
        let begun = objects::begin(asked.scanning, &asked.range(known.clone()), &ahead, asked.repository.loose())?;
        Ok(Self { known, begun, tracked })
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
            let known = asked.listed(&facts, &records(&facts))?;
            let begun = objects::begin(asked.scanning, &asked.range(known.clone()), &[], None)?;
            self = Self { known, begun, tracked: Vec::new() };
        }
        match &facts.settings.objects {
            Objects::All => {}
            Objects::Partial(_) => asked.repository.left_out(&mut found, &objects, &place.in_commit)?,
        }
        Ok(Sending {
            whereabouts: facts.whereabouts,
            place,
            stored: Stored::of(&objects, found, contents),
            range: asked.range(self.known),
            begun: Some(self.begun),
            promised: Promised::of(&facts.settings, asked.remote),
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

    fn range(self, Known { seen, told }: Known) -> Range {
        let have = match told {
            Told::Counts => self.updates.iter().filter_map(|update| update.old.clone()).collect(),
            Told::IsDoubted => Vec::new(),
        };
        Range::Push { want: self.wanted(), have, seen }
    }

    fn place(self, whereabouts: &Whereabouts) -> Result<FilePlace, PushError> {
        FilePlace::of(self.config, self.directory, whereabouts.top.as_deref())
    }

    /// With what git says about the repository: where the file is, and what the remote has.
    fn sure(self, facts: Facts) -> Result<(Facts, FilePlace, Known), PushError> {
        let place = self.place(&facts.whereabouts)?;
        let known = self.known(&facts)?;
        Ok((facts, place, known))
    }

    /// What is most likely believed in the end, where that can be told without git.
    fn guess(self) -> Option<Known> {
        if self.config.is_some() {
            return None;
        }
        let Some((name, url)) = self.remote.filter(|(name, url)| name != url) else {
            return Some(Known::beside_what_was_told(Seen::Nothing));
        };
        let record = Remotes::read(self.repository.likely_common()?);
        self.recorded(&record, name, url)
    }

    /// All refs of the remote, where the record has no doubt about one.
    fn recorded(self, records: &Remotes, name: &str, url: &str) -> Option<Known> {
        let believed = records.get(name)?;
        let is_at = believed.is_at(&self.address(url));
        let is_sure = is_at && believed.doubted.is_empty() && self.updates.len() <= ASKED_MAX;
        (is_sure && is_plain(name)).then(|| Known::beside_what_was_told(Seen::Refs(name.to_owned())))
    }

    fn address(self, url: &str) -> Address {
        // git runs hooks where it resolves paths.
        Address::of(url, self.directory)
    }

    /// What the remote has, by what git says about it.
    fn known(self, facts: &Facts) -> Result<Known, GitError> {
        let Some((name, url)) = self.remote else { return Ok(Known::beside_what_was_told(Seen::Nothing)) };
        if !is_of(&facts.settings, name, url) {
            // An address that was written by hand has no refs here that a framework could take anything from.
            let is_by_hand = name.contains(':') || (name == url && name.starts_with(['/', '.']));
            let told = if is_by_hand { Told::Counts } else { self.when_doubted() };
            return Ok(Known { seen: Seen::Nothing, told });
        }
        let records = records(facts);
        let is_usual = facts.settings.tracking(name).is_usual(name);
        let address = facts.settings.address(name).unwrap_or_else(|| url.clone());
        match self.recorded(&records, name, &address).filter(|_| is_usual) {
            Some(known) => Ok(known),
            None => self.listed(facts, &records),
        }
    }

    /// Whether what was told counts where the refs of the remote that are here are doubted.
    fn when_doubted(self) -> Told {
        match self.teller {
            Teller::Remote => Told::Counts,
            Teller::Framework => Told::IsDoubted,
        }
    }

    /// The same, one by one. What was learned about the remote is recorded.
    fn listed(self, facts: &Facts, records: &Remotes) -> Result<Known, GitError> {
        let Some((name, url)) = self.remote else { return Ok(Known::beside_what_was_told(Seen::Nothing)) };
        // Fetches name this one, where pushes go there in another way.
        let stated = facts.settings.address(name).unwrap_or_else(|| url.clone());
        let address = self.address(&stated);
        let common = &facts.whereabouts.common;
        let tracking = facts.settings.tracking(name);
        let tracked = self.repository.tracked()?;
        let before = match records.get(name) {
            Some(believed) if believed.is_at(&address) => Before::Here(&believed.doubted),
            None if remotes::is_cloned_from(common, &stated) => Before::Cloned,
            Some(_) | None => Before::Elsewhere,
        };
        let fetched = remotes::fetched_from(common, &stated);
        let Judged { seen, doubted } = judge(&tracked, &tracking, self.updates, before, &fetched);
        // A framework takes what it does not hear from all refs below the remote's name.
        let below = format!("{}{name}/", settings::TRACKING);
        let is_untracked = is_plain(name) && !tracked.iter().any(|it| it.name.starts_with(&below));
        let is_believed = doubted.is_empty() && tracking.is_usual(name);
        let told = if is_untracked || is_believed { Told::Counts } else { self.when_doubted() };
        let now = Believed::at(&address, doubted);
        if records.get(name) != Some(&now) {
            let mut records = records.clone();
            records.set(name, now);
            // Without a record the next push is looked at as closely as this one.
            records.write(common).ok();
        }
        Ok(Known { seen: Seen::These(seen), told })
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
    name != url && settings.address(name).is_some_and(|address| is_same_place(&address, url))
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
fn judge(
    tracked: &[Tracked],
    tracking: &Tracking,
    updates: &[Update],
    before: Before<'_>,
    fetched: &BTreeMap<String, String>,
) -> Judged {
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
    let mut doubted: Doubted = match before {
        Before::Here(_) | Before::Cloned | Before::Elsewhere if is_gone => all.collect(),
        Before::Here(doubted) => all.filter(|(name, oid)| doubted.get(name) == Some(oid)).collect(),
        Before::Cloned => Doubted::new(),
        Before::Elsewhere => all.collect(),
    };
    if !is_gone {
        // What the last fetch saw at this address is there, whatever was known before.
        let seen: BTreeMap<String, &String> =
            fetched.iter().filter_map(|(name, oid)| Some((tracking.of(name)?, oid))).collect();
        doubted.retain(|name, oid| seen.get(name) != Some(&&*oid));
    }
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
            let fetched = BTreeMap::new();
            let judged = judge(&tracked, &settings.tracking("o"), &[update], before, &fetched);
            assert_eq!(judged.seen, seen.chars().map(oid).collect::<Vec<_>>(), "{name}");
            assert_eq!(judged.doubted, of(doubts), "{name}");
        }
        // A fetch from the address as it is now says what is there.
        let fetched = BTreeMap::from([
            ("refs/heads/main".to_owned(), oid('a').to_string()),
            ("refs/heads/dev".to_owned(), oid('e').to_string()),
        ]);
        let judged = judge(&tracked, &settings.tracking("o"), &[], Before::Elsewhere, &fetched);
        assert_eq!((judged.seen, judged.doubted), (vec![oid('a')], of("b")));
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
