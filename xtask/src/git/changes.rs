//! What a few commits bring, by what each changes in its first parent.
//!
//! Whoever lists objects the thorough way walks through all that the other side has of the newest commit, however little
//! was changed in it. Each object of the commits of a push stands in one of their trees. Back along the first parents it
//! is either still at the same path, or there is the commit that put it there: so the changes name every object that a push
//! sends, unless the other side has the commit before them, and with it the object. They may name more: what was moved,
//! or was there before. So what is found in them is looked for once more among what is really sent.
//!
//! git does not say how many commits it listed. That none is missing is proved by where they end: from what is wanted on,
//! every parent must be listed or be one that the other side has. Which commits these are mostly is known before, since
//! they were made just now and lie in files of their own, up to what the other side named; then git is given each, and a
//! line in which it finds no commit and which it therefore repeats, behind all the others. Else git looks for them, and
//! lists last where they end.

use std::{collections::HashSet, io};

use super::Oid;

/// How git is told to list changes, whatever its configuration says: a commit with its tree and its parents, then what it
/// changed.
const SHOWN: [&str; 12] = [
    "--format=%m %H %T %P",
    "-z",
    "--raw",
    "-r",
    "-t",
    "--no-abbrev",
    "--root",
    "--diff-merges=first-parent",
    "--no-renames",
    "--no-relative",
    "--no-color",
    "--ignore-submodules=none",
];
/// How it is told to look for the commits.
const FOUND: [&str; 7] =
    ["log", "--max-count=33", "--boundary", "--no-notes", "--no-decorate", "--no-mailmap", "--no-show-signature"];
/// How it is told that it is given them.
const GIVEN: [&str; 3] = ["diff-tree", "--stdin", "--always"];
/// The line that git repeats when it has come to it.
const END: &str = "end\n";
/// Of more commits it is not told what they change: the other way is as fast. One less than git is asked for.
pub(crate) const COMMITS_MAX: usize = 32;
/// How many objects are named at most.
const NAMES_MAX: usize = 4096;
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 64 * 1024;
/// The mode of a commit of another repository, which no push of this one sends.
const SUBMODULE_MODE: &[u8] = b"160000";

/// The arguments of a git that looks for the commits of a range, which follows, and lists what each changes.
pub(crate) fn of_range() -> Vec<&'static str> {
    [&FOUND[..], &SHOWN].concat()
}

/// Those of a git that lists what each commit changes which it is given.
pub(crate) fn of_commits() -> Vec<&'static str> {
    [&GIVEN[..], &SHOWN].concat()
}

/// What such a git is given.
pub(crate) fn given(commits: &[Oid]) -> Vec<u8> {
    let lines = commits.iter().flat_map(|oid| [oid.as_str(), "\n"]);
    lines.chain([END]).collect::<String>().into_bytes()
}

/// What was understood of it so far.
pub(crate) struct Changes {
    /// What has no end yet.
    begun: Vec<u8>,
    next: Next,
    /// What shows the end.
    end: End,
    /// Whose changes come.
    side: Side,
    /// What must be listed.
    wanted: Vec<Oid>,
    /// The commits that the other side does not have.
    commits: HashSet<Vec<u8>>,
    /// Their parents.
    parents: HashSet<Vec<u8>>,
    /// Those at which they end.
    ends: HashSet<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
    /// The objects, each once, a line each.
    names: Vec<u8>,
}

/// What is to come.
enum Next {
    /// A commit, or a change of the one before.
    Entry,
    /// The path of a change.
    Path,
}

/// What comes behind all changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Commits that the other side has.
    Commits,
    /// A line of ours.
    Line,
}

/// Which side has a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Ours alone.
    Ours,
    /// The other one, too. These come last.
    Both,
}

impl Changes {
    /// Nothing was read yet of what these bring, which are commits.
    pub(crate) fn of(wanted: &[Oid]) -> Self {
        Self::before(wanted, End::Commits)
    }

    /// The same for all commits of a push, which end at some that the other side has.
    pub(crate) fn between(commits: &[Oid], had: &[Oid]) -> Self {
        let ends = had.iter().map(|oid| oid.as_str().as_bytes().to_owned()).collect();
        Self { ends, ..Self::before(commits, End::Line) }
    }

    fn before(wanted: &[Oid], end: End) -> Self {
        Self {
            begun: Vec::new(),
            next: Next::Entry,
            end,
            side: Side::Ours,
            wanted: wanted.to_vec(),
            commits: HashSet::new(),
            parents: HashSet::new(),
            ends: HashSet::new(),
            seen: HashSet::new(),
            names: Vec::new(),
        }
    }

    /// Takes what git writes next. An error: it cannot be understood, or it is more than is told this way.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.begun.extend_from_slice(chunk);
        if chunk.contains(&0) {
            let all = std::mem::take(&mut self.begun);
            let mut parts = all.split(|byte| *byte == 0);
            // What follows the last end has none yet.
            self.begun = parts.next_back().unwrap_or_default().to_owned();
            parts.try_for_each(|part| self.part(part))?;
        }
        let is_end = matches!((&self.next, self.end), (Next::Entry, End::Line)) && self.begun == END.as_bytes();
        if is_end {
            self.begun.clear();
            self.side = Side::Both;
        }
        if self.begun.len() > PATH_BYTES_MAX { Err(unreadable()) } else { Ok(()) }
    }

    /// Whether all was named. What is still to come are changes that the other side has.
    pub(crate) fn is_whole(&self) -> bool {
        let is_known = |commit: &Vec<u8>| self.commits.contains(commit) || self.ends.contains(commit);
        self.side == Side::Both
            && self.wanted.iter().all(|oid| self.commits.contains(oid.as_str().as_bytes()))
            && self.parents.iter().all(is_known)
    }

    /// The names, a line each, and how many they are.
    pub(crate) fn end(self) -> io::Result<(Vec<u8>, u64)> {
        if self.is_whole() {
            return Ok((self.names, self.seen.len() as u64));
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its output ended too early"))
    }

    fn part(&mut self, part: &[u8]) -> io::Result<()> {
        match self.next {
            Next::Path => {
                self.next = Next::Entry;
                Ok(())
            }
            // A line end separates a commit from what it changed.
            Next::Entry => match part.strip_prefix(b"\n").unwrap_or(part).strip_prefix(b":") {
                Some(change) => {
                    self.next = Next::Path;
                    self.change(change)
                }
                None => self.commit(part),
            },
        }
    }

    fn commit(&mut self, part: &[u8]) -> io::Result<()> {
        let mut words = part.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let (Some(side), Some(commit), Some(tree)) = (words.next(), words.next(), words.next()) else {
            return Err(unreadable());
        };
        match (side, self.side) {
            (b"-", _) if self.end == End::Commits => {
                self.side = Side::Both;
                self.ends.insert(commit.to_owned());
                Ok(())
            }
            (b">", Side::Ours) => {
                if self.commits.len() == COMMITS_MAX {
                    return Err(too_many());
                }
                self.commits.insert(commit.to_owned());
                self.parents.extend(words.map(<[u8]>::to_owned));
                self.name(commit)?;
                self.name(tree)
            }
            _ => Err(unreadable()),
        }
    }

    /// Both modes, both names, and what happened; a path is renamed in none.
    fn change(&mut self, part: &[u8]) -> io::Result<()> {
        let [_, mode, _, name, what] = words(part)?;
        match what {
            b"D" => Ok(()),
            b"A" | b"M" | b"T" if self.side == Side::Both => Ok(()),
            b"A" | b"M" | b"T" if mode == SUBMODULE_MODE => Ok(()),
            b"A" | b"M" | b"T" => self.name(name),
            _ => Err(unreadable()),
        }
    }

    fn name(&mut self, name: &[u8]) -> io::Result<()> {
        let is_name = std::str::from_utf8(name).is_ok_and(|name| Oid::parse(name).is_some());
        if !is_name || name.iter().all(|byte| *byte == b'0') {
            return Err(unreadable());
        }
        if self.seen.contains(name) {
            return Ok(());
        }
        if self.seen.len() == NAMES_MAX {
            return Err(too_many());
        }
        self.seen.insert(name.to_owned());
        self.names.extend_from_slice(name);
        self.names.push(b'\n');
        Ok(())
    }
}

fn words<const COUNT: usize>(part: &[u8]) -> io::Result<[&[u8]; COUNT]> {
    let words: Vec<&[u8]> = part.split(|byte| *byte == b' ').collect();
    words.try_into().map_err(|_| unreadable())
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read")
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "it changes more than is listed this way")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::git::{Git, stream::Surroundings, tests::Hub};

    /// A name that is the digit, over and over.
    fn name(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    /// The output of git in short: `|` for its NULs, and `~1` for a name.
    fn written(short: &str) -> String {
        let (mut text, mut rest) = (String::new(), short.chars());
        while let Some(sign) = rest.next() {
            match sign {
                '|' => text.push('\0'),
                '~' => text.push_str(&name(rest.next().unwrap())),
                sign => text.push(sign),
            }
        }
        text
    }

    fn oid(digit: char) -> Oid {
        Oid::parse(&name(digit)).unwrap()
    }

    /// The first digits of the names, or what was wrong, however the output comes in pieces.
    fn read(short: &str) -> Result<String, io::ErrorKind> {
        read_by(short, || Changes::of(&[oid('1')]))
    }

    /// The same where the commits are known, and end at the ninth.
    fn read_given(short: &str, commits: &str) -> Result<String, io::ErrorKind> {
        let commits: Vec<Oid> = commits.chars().map(oid).collect();
        read_by(short, || Changes::between(&commits, &[oid('9')]))
    }

    fn read_by(short: &str, nothing_read: impl Fn() -> Changes) -> Result<String, io::ErrorKind> {
        let output = written(short);
        let by = |bytes: usize| {
            let mut changes = nothing_read();
            output.as_bytes().chunks(bytes).try_for_each(|chunk| changes.take(chunk))?;
            let (names, count) = changes.end()?;
            let names = String::from_utf8(names).unwrap();
            assert_eq!(names.lines().count() as u64, count);
            Ok::<_, io::Error>(names.lines().map(|name| &name[..1]).collect::<String>())
        };
        let read = by(output.len().max(1)).map_err(|error| error.kind());
        for bytes in [1, 7, 50] {
            assert_eq!(by(bytes).map_err(|error| error.kind()), read, "{short}");
        }
        read
    }

    #[test]
    fn what_commits_change_is_named_once() {
        for (change, names) in [
            ("", "12"),
            ("\n:000000 100644 ~0 ~3 A|a file|", "123"),
            ("\n:100644 100644 ~4 ~3 M|a file|:040000 040000 ~5 ~3 M|again|", "123"),
            ("\n:100644 120000 ~4 ~3 T|a file|", "123"),
            ("\n:100644 000000 ~4 ~0 D|a file|", "12"),
            ("\n:000000 160000 ~0 ~3 A|a submodule|", "12"),
            // A path may look like anything else.
            ("\n:000000 100644 ~0 ~3 A|> ~6 ~7 ~8|", "123"),
            ("\n:000000 100644 ~0 ~3 A|:000000 100644 ~0 ~6 A|", "123"),
        ] {
            assert_eq!(read(&format!("> ~1 ~2 ~9|{change}- ~9 ~8 ~7|")).as_deref(), Ok(names), "{change}");
            assert_eq!(read_given(&format!("> ~1 ~2 ~9|{change}end\n"), "1").as_deref(), Ok(names), "{change}");
            // What the other side has was not changed by us.
            assert_eq!(read(&format!("> ~1 ~2 ~9|- ~9 ~8 ~7|{change}")).as_deref(), Ok("12"), "{change}");
        }
    }

    #[test]
    fn a_list_that_was_cut_off_anywhere_names_nothing() {
        let whole = "> ~1 ~2 ~3 ~4|\n:0 100644 ~0 ~5 A|path|> ~3 ~6 ~9|> ~4 ~7 |\n:0 100644 ~0 ~8 A|path|- ~9 ~a ~b|";
        assert_eq!(read(whole).as_deref(), Ok("12536478"));
        let output = written(whole);
        for bytes in 0..output.len() {
            let mut changes = Changes::of(&[Oid::parse(&name('1')).unwrap()]);
            let read = changes.take(&output.as_bytes()[..bytes]).and_then(|()| changes.end());
            assert!(read.is_err(), "{:?}", &output[..bytes]);
        }
        let whole = "> ~1 ~2 ~3 ~4|\n:0 100644 ~0 ~5 A|end\n|> ~3 ~6 ~9|> ~4 ~7 |\n:0 100644 ~0 ~8 A|path|end\n";
        assert_eq!(read_given(whole, "134").as_deref(), Ok("12536478"));
        let output = written(whole);
        for bytes in 0..output.len() {
            let mut changes = Changes::between(&[oid('1'), oid('3'), oid('4')], &[oid('9')]);
            let read = changes.take(&output.as_bytes()[..bytes]).and_then(|()| changes.end());
            assert!(read.is_err(), "{:?}", &output[..bytes]);
        }
    }

    #[test]
    fn commits_that_are_given_are_all_listed_and_end_at_what_the_other_side_has() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        for (output, commits, expected) in [
            ("> ~1 ~2 ~9|end\n", "1", Ok("12")),
            ("> ~1 ~2 |end\n", "1", Ok("12")),
            ("> ~1 ~2 ~9|> ~3 ~4 ~1|end\n", "13", Ok("1234")),
            // One is missing, or one that nobody gave leads on.
            ("> ~1 ~2 ~9|end\n", "13", Err(UnexpectedEof)),
            ("> ~1 ~2 ~9 ~8|end\n", "1", Err(UnexpectedEof)),
            ("end\n", "1", Err(UnexpectedEof)),
            ("> ~1 ~2 ~9|", "1", Err(UnexpectedEof)),
            ("> ~1 ~2 ~9|end", "1", Err(UnexpectedEof)),
            // What the other side has is known already, and nothing comes behind the end.
            ("> ~1 ~2 ~8|- ~8 ~7 |end\n", "1", Err(InvalidData)),
            ("> ~1 ~2 ~9|end\n> ~3 ~4 ~9|", "1", Err(InvalidData)),
        ] {
            assert_eq!(read_given(output, commits).as_deref(), expected.as_ref().copied(), "{output}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        for (output, error) in [
            ("", UnexpectedEof),
            // Nothing shows where it ends.
            ("> ~1 ~2 |", UnexpectedEof),
            ("> ~1 ~2 ~9|", UnexpectedEof),
            ("> ~1 ~2 ~9 ~8|- ~9 ~3 |", UnexpectedEof),
            ("> ~2 ~3 ~9|- ~9 ~3 |", UnexpectedEof),
            ("- ~1 ~2 ~9|", UnexpectedEof),
            ("- ~9 ~3 |> ~1 ~2 ~9|", InvalidData),
            ("> ~1|", InvalidData),
            ("> ~1 ~0 |", InvalidData),
            ("< ~1 ~2 |", InvalidData),
            ("warning: something|", InvalidData),
            ("> ~1 ~2 ~9|\n:0 100644 ~0 ~3 R100|from|to|", InvalidData),
            ("> ~1 ~2 ~9|\n::0 0 100644 ~0 ~0 ~3 MM|path|", InvalidData),
            ("> ~1 ~2 ~9|\n:0 100644 ~0 33 A|path|", InvalidData),
        ] {
            assert_eq!(read(output), Err(error), "{output}");
        }
        assert_eq!(read(&"x".repeat(PATH_BYTES_MAX + 1)), Err(InvalidData));
    }

    #[test]
    fn more_than_git_is_asked_for_is_never_taken_for_all() {
        assert!(FOUND.contains(&&*format!("--max-count={}", COMMITS_MAX + 1)));
        let commits = |count: usize| {
            let more = (1..count).map(|number| format!("> {number:040x} ~2 ~9|"));
            format!("> ~1 ~2 ~9|{}- ~9 ~3 |", more.collect::<String>())
        };
        assert!(read(&commits(COMMITS_MAX)).is_ok());
        assert_eq!(read(&commits(COMMITS_MAX + 1)), Err(io::ErrorKind::FileTooLarge));
        let named = |count: usize| {
            let changes = (2..count).map(|number| format!(":0 100644 ~0 {number:040x} A|path|"));
            format!("> ~1 ~2 ~9|\n{}- ~9 ~3 |", changes.collect::<String>())
        };
        assert_eq!(read(&named(NAMES_MAX)).map(|names| names.len()), Ok(NAMES_MAX));
        assert_eq!(read(&named(NAMES_MAX + 1)), Err(io::ErrorKind::FileTooLarge));
    }

    /// What makes `git log` show other things to people, or less.
    const CONFIGURED: [(&str, &str); 17] = [
        ("log.showRoot", "false"),
        ("log.diffMerges", "combined"),
        ("log.decorate", "full"),
        ("log.follow", "true"),
        ("log.showSignature", "true"),
        ("log.mailmap", "true"),
        ("log.abbrevCommit", "true"),
        ("format.pretty", "raw"),
        ("notes.displayRef", "refs/notes/*"),
        ("core.abbrev", "4"),
        ("core.quotePath", "true"),
        ("color.ui", "always"),
        ("diff.renames", "copies"),
        ("diff.relative", "true"),
        ("diff.ignoreSubmodules", "all"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
    ];

    /// A history of `commits`, as git's `fast-import` reads it: files come, change, move, give way to directories and come
    /// back; there are merges that change something of their own, several roots, links and submodules.
    fn history(random: &mut Random, commits: usize, submodule: &str) -> String {
        const PATHS: [&str; 8] = ["a", "a/b", "a/b/c", "d", "d/e", "d/f", "g/h/i/j", "\"\\303\\244 \\\"z\""];
        let mut stream = Vec::new();
        for number in 1..=commits {
            let message = random.below(3);
            stream
                .push(format!("commit refs/heads/c{number}\nmark :{number}\ncommitter t <t@invalid> {number} +0000\n"));
            stream.push(format!("data {message}\n{}\n", "m".repeat(message)));
            let parents = if number == 1 { 0 } else { [0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3][random.below(11)] };
            for parent in 0..parents {
                let word = if parent == 0 { "from" } else { "merge" };
                stream.push(format!("{word} :{}\n", 1 + random.below(number - 1)));
            }
            if random.below(8) == 0 {
                stream.push("deleteall\n".to_owned());
            }
            for _ in 0..random.below(4) {
                let path = PATHS[random.below(PATHS.len())];
                let content = "x".repeat(random.below(6));
                stream.push(match random.below(10) {
                    0 | 1 => format!("D {path}\n"),
                    2 => format!("M 160000 {submodule} {path}\n"),
                    3 => format!("M 120000 inline {path}\ndata {}\n{content}\n", content.len()),
                    4 => format!("M 100755 inline {path}\ndata {}\n{content}\n", content.len()),
                    _ => format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()),
                });
            }
            stream.push("\n".to_owned());
        }
        stream.concat()
    }

    /// Numbers that are always the same ones.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % end
        }
    }

    #[test]
    fn the_changes_name_everything_that_a_push_sends_whatever_the_history_and_the_configuration() {
        let (mut whole, mut more, mut given_whole) = (0, 0, 0);
        for (format, digits) in [("sha1", 40), ("sha256", 64)] {
            let hub = Hub::hashing_with(format);
            let mut random = Random(7);
            for round in 0..25 {
                let directory = hub.clone_named(&format!("{round}"));
                let commits = 4 + random.below(36);
                hub.raw(&directory, &["fast-import", "--quiet"], &history(&mut random, commits, &"1".repeat(digits)));
                if round % 2 == 1 {
                    for (name, value) in CONFIGURED {
                        hub.raw(&directory, &["config", name, value], "");
                    }
                }
                for _ in 0..6 {
                    let mut some = |least: usize| -> Vec<Oid> {
                        let names =
                            (0..least + random.below(2)).map(|_| format!("refs/heads/c{}", 1 + random.below(commits)));
                        names.map(|name| Oid::parse(&hub.raw(&directory, &["rev-parse", &name], "")).unwrap()).collect()
                    };
                    let (want, have) = (some(1), some(1));
                    let lines = |sign: &str, oids: &[Oid]| {
                        oids.iter().flat_map(|oid| [sign, oid.as_str(), "\n"]).collect::<String>()
                    };
                    let input = lines("", &want) + &lines("^", &have);
                    let listed =
                        hub.raw(&directory, &["rev-list", "--objects", "--no-object-names", "--stdin"], &input);
                    let vars = hub.vars(&[]);
                    let git = Git::for_scan(&directory, &vars, &BTreeSet::new(), Surroundings::Directory);
                    let listed: HashSet<&str> = listed.lines().collect();
                    let named = |arguments: &[&str], input: Vec<u8>, mut changes: Changes| {
                        let answer = git.ask("listing", arguments, input).unwrap();
                        assert!(answer.is_ok(), "{}", answer.said);
                        let (names, _) = changes.take(&answer.output).and_then(|()| changes.end()).ok()?;
                        let names = String::from_utf8(names).unwrap();
                        let names: HashSet<&str> = names.lines().collect();
                        let left_out: Vec<&&str> = listed.difference(&names).collect();
                        assert!(left_out.is_empty(), "{format} {round}: {want:?} {have:?}: {left_out:?}");
                        Some(names.len())
                    };
                    let arguments = [&of_range()[..], &["--ignore-missing", "--stdin"]].concat();
                    if let Some(names) = named(&arguments, input.clone().into_bytes(), Changes::of(&want)) {
                        whole += 1;
                        more += usize::from(names > listed.len());
                    }
                    let between = commits_between(&hub, &directory, &want, &have);
                    if between.len() <= COMMITS_MAX && !want.iter().any(|oid| have.contains(oid)) {
                        let changes = Changes::between(&between, &have);
                        // These are always whole.
                        named(&of_commits(), given(&between), changes).unwrap();
                        given_whole += 1;
                    }
                }
            }
        }
        assert!(whole > 60 && more > 10 && given_whole > 60, "{whole} {more} {given_whole}");
    }

    /// All commits from some on, back to others.
    fn commits_between(hub: &Hub, directory: &std::path::Path, want: &[Oid], have: &[Oid]) -> Vec<Oid> {
        let listed = hub.raw(directory, &["rev-list", "--parents", "--all"], "");
        let parents = |oid: &Oid| -> Vec<Oid> {
            let line = listed.lines().find(|line| line.starts_with(oid.as_str())).unwrap();
            line.split(' ').skip(1).map(|name| Oid::parse(name).unwrap()).collect()
        };
        let (mut between, mut left) = (Vec::new(), want.to_vec());
        while let Some(oid) = left.pop() {
            if !have.contains(&oid) && !between.contains(&oid) {
                left.extend(parents(&oid));
                between.push(oid);
            }
        }
        between
    }
}
