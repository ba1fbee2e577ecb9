//! Packs that git wrote, beside what git itself hands out of them; packs that nobody should write; and packs that were
//! damaged.

use std::{fs, io::Write as _};

use flate2::{Compression, write::ZlibEncoder};
use license_core::leaks::Changes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::{
        objects::objects,
        place::{Kind, Located, locate},
        tests::{SECRET, at, commit, scanner},
    },
    entry::{Form, Header, apply, made_of},
    index::Index,
    pack::OBJECT_BYTES_MAX,
    *,
};
use crate::{files, git::tests::Hub};

/// What a scan along the packs comes to; it must not be left to git as a whole.
#[track_caller]
fn along_packs(repository: &Repository) -> Scanned {
    let (directory, name_bytes) = repository.objects_directory().unwrap().unwrap();
    let indexes = indexes(&directory).unwrap();
    along(repository, &indexes, name_bytes, &scanner(), &mut |_| ()).unwrap().unwrap()
}

/// Everything that is said about a scan, with the places of what was found.
fn told(repository: &Repository, mut scanned: Scanned) -> String {
    assert_eq!(locate(repository, &Range::All, &scanner(), &[], &mut scanned).unwrap(), Located::Everything);
    // git reads what is behind a program once more, at the end.
    scanned.findings.sort_by_cached_key(|finding| format!("{finding:?}"));
    scanned.unscanned.sort_by(|one, other| one.sha256.cmp(&other.sha256));
    scanned.incomplete.sort_by(|one, other| one.what.cmp(&other.what));
    format!("{scanned:#?}")
}

#[track_caller]
fn is_as_git_says(name: &str, repository: &Repository) -> Scanned {
    let theirs = objects(repository, &Range::All, &scanner(), &mut |_| ()).unwrap();
    let ours = along_packs(repository);
    assert_eq!(told(repository, along_packs(repository)), told(repository, theirs), "{name}");
    ours
}

/// A file that differs a little from version to version, so that git makes deltas.
fn version(number: usize) -> String {
    let lines = (0..200).map(|line| {
        let changed = if line == number * 7 % 200 { number } else { 0 };
        format!("line {line} of a file that is long enough, {changed}\n")
    });
    lines.collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A zip behind a program.
fn zipped(content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(content).unwrap();
    [b"#!/bin/sh\nexit\n", &writer.finish().unwrap().into_inner()[..]].concat()
}

/// Commits of everything that may hold a secret. Loose ones, as `commit` leaves them.
fn all_sorts(hub: &Hub, clone: &Path) {
    for number in 0..12 {
        commit(hub, clone, "a.txt", &version(number));
    }
    commit(hub, clone, "a.txt", &(version(12) + SECRET + "\n"));
    commit(hub, clone, "a.txt", &version(13));
    commit(hub, clone, "empty.txt", "");
    fs::create_dir(clone.join("d")).unwrap();
    commit(hub, clone, &format!("d/{SECRET}.txt"), "a name");
    files::replace(&clone.join("packed.gz"), &gzip(format!("in an archive: {SECRET}").as_bytes())).unwrap();
    files::replace(&clone.join("program"), &zipped(format!("behind a program: {SECRET}").as_bytes())).unwrap();
    files::replace(&clone.join("broken.gz"), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 7, 7, 7, 7]).unwrap();
    commit(hub, clone, "b.txt", "b");
    hub.raw(clone, &["tag", "--annotate", "--message", &format!("it is {SECRET}"), "v1"], "");
    hub.raw(clone, &["commit", "--quiet", "--allow-empty", "--message", &format!("it is {SECRET}")], "");
}

#[test]
fn what_is_found_along_the_packs_is_what_git_hands_out() {
    for format in ["sha1", "sha256"] {
        let hub = Hub::hashing_with(format);
        let clone = hub.clone_named("a");
        let repository = at(&hub, &clone);
        all_sorts(&hub, &clone);
        let unreachable = hub.raw(&clone, &["hash-object", "-w", "--stdin"], &format!("nobody leads to {SECRET}"));

        // Deltas whose bases are named.
        let by_name = ["-c", "repack.useDeltaBaseOffset=false", "repack", "--quiet", "-a", "-d", "-f", "-k"];
        hub.raw(&clone, &by_name, "");
        let one = is_as_git_says("one pack", &repository);
        assert!(one.leaks() == 7 && one.unscanned.len() == 1, "{one:#?}");
        assert!(!format!("{one:?}").contains(&unreachable));

        // Deltas whose bases are behind them, in a second pack; loose objects besides.
        for number in 20..30 {
            commit(&hub, &clone, "a.txt", &(version(number) + if number == 25 { SECRET } else { "" }));
        }
        hub.raw(&clone, &["-c", "repack.packKeptObjects=false", "repack", "--quiet", "-d"], "");
        commit(&hub, &clone, "loose.txt", &format!("loose {SECRET}"));
        let two = is_as_git_says("two packs and loose ones", &repository);
        assert_eq!((two.leaks(), indexes(&clone.join(".git/objects")).unwrap().len()), (9, 2));

        // One object in two packs, and an index of all packs.
        let all = hub.raw(&clone, &["rev-list", "--objects", "--no-object-names", "--all"], "") + "\n";
        hub.raw(&clone, &["pack-objects", "--quiet", ".git/objects/pack/pack"], &all);
        hub.raw(&clone, &["multi-pack-index", "write"], "");
        assert_eq!(is_as_git_says("everything twice", &repository).leaks(), 9);

        hub.raw(&clone, &["repack", "--quiet", "-a", "-d", "-f", "--depth=4"], "");
        assert_eq!(is_as_git_says("one pack again", &repository).leaks(), 9);
    }
}

#[test]
fn a_large_object_is_handed_out_by_git() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    let mut large = vec![b'\n'; usize::try_from(OBJECT_BYTES_MAX).unwrap() + 1];
    large.extend_from_slice(SECRET.as_bytes());
    files::replace(&clone.join("large.txt"), &large).unwrap();
    commit(&hub, &clone, "a.txt", SECRET);
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d"], "");
    assert_eq!(is_as_git_says("a large one", &at(&hub, &clone)).leaks(), 2);
}

#[test]
fn a_repository_without_packs_or_with_other_ones_is_left_to_git() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    commit(&hub, &clone, "a.txt", SECRET);
    let scanned = |directory: &Path| history(&at(&hub, directory), &scanner(), &mut |_| ()).unwrap();
    assert!(indexes(&clone.join(".git/objects")).is_none());
    assert_eq!(scanned(&clone).leaks(), 1);
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d"], "");
    hub.raw(hub.root(), &["clone", "--quiet", "--shared", "a", "shared"], "");
    let shared = hub.root().join("shared");
    commit(&hub, &shared, "b.txt", "b");
    hub.raw(&shared, &["repack", "--quiet", "-d", "-l"], "");
    assert!(shared.join(".git/objects/pack").read_dir().unwrap().next().is_some());
    assert!(indexes(&shared.join(".git/objects")).is_none());
    let through = scanned(&shared);
    assert_eq!((through.leaks(), through.incomplete), (1, Vec::new()));
}

#[test]
fn this_repository_is_as_git_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let hub = Hub::new();
    if !root.join(".git").exists() {
        return;
    }
    // A copy of its history, whatever the packs are that it has just now.
    hub.raw(hub.root(), &["clone", "--quiet", "--bare", "--no-local", root.to_str().unwrap(), "copy"], "");
    is_as_git_says("this repository", &at(&hub, &hub.root().join("copy")));
}

/// The only pack of a repository, without its ending.
fn only_pack(objects: &Path) -> PathBuf {
    let [index] = indexes(objects).unwrap().try_into().unwrap();
    index.with_extension("")
}

fn read(path: &Path) -> Vec<u8> {
    files::read_limited(path, 1024 * 1024).unwrap()
}

fn put(path: &Path, bytes: &[u8]) {
    // git writes packs that nobody may write to.
    fs::remove_file(path).ok();
    // Thousands of times: not on disk at once.
    let mut file = fs::File::options().write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Breaks a pack, or its index.
type Break<'b> = &'b dyn Fn(&Path, &Path);

#[test]
fn a_broken_pack_is_never_clean_and_the_rest_is_scanned() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    for number in 0..6 {
        commit(&hub, &clone, "a.txt", &version(number));
    }
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d", "-f"], "");
    let objects = clone.join(".git/objects");
    let path = only_pack(&objects);
    let (pack, index) = (path.with_extension("pack"), path.with_extension("idx"));
    let whole = (read(&pack), read(&index));
    let repository = at(&hub, &clone);
    let opened = Pack::open(&index, 20, OBJECTS_MAX).unwrap();
    let blob = hub.raw(&clone, &["rev-parse", "HEAD~3:a.txt"], "");
    let place = opened.index.place(&Oid::parse(&blob).unwrap().to_bytes()).unwrap();
    let middle = usize::try_from(opened.entry(place).end - 6).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.0.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // Another pack's index.
    let other = hub.clone_named("b");
    commit(&hub, &other, "b.txt", "b");
    hub.raw(&other, &["repack", "--quiet", "-a", "-d"], "");
    let foreign = read(&only_pack(&other.join(".git/objects")).with_extension("idx"));
    let rows: [(&str, Break<'_>); 7] = [
        ("a blob", &|pack, _| put(pack, &flipped(middle))),
        ("the head", &|pack, _| put(pack, &flipped(5))),
        ("the number of objects", &|pack, _| put(pack, &flipped(11))),
        ("the sum at the end", &|pack, _| put(pack, &flipped(whole.0.len() - 1))),
        ("the end", &|pack, _| put(pack, &whole.0[..whole.0.len() / 2])),
        ("no index", &|_, index| fs::remove_file(index).unwrap()),
        ("another pack's index", &|_, index| put(index, &foreign)),
    ];
    let all = along_packs(&repository).objects;
    for (name, breaking) in rows {
        put(&pack, &whole.0);
        put(&index, &whole.1);
        breaking(&pack, &index);
        let scanned = history(&repository, &scanner(), &mut |_| ()).unwrap();
        assert!(!scanned.incomplete.is_empty(), "{name}: {scanned:#?}");
        if name == "a blob" {
            let named = |one: &crate::scan::Incomplete| one.what.contains(&blob);
            assert!(scanned.incomplete.iter().any(named), "{name}: {scanned:#?}");
            // What is made from it is broken, too.
            assert!(scanned.objects + 6 >= all, "{name}: {scanned:#?}");
        }
    }
}

#[test]
fn a_broken_pack_hides_no_good_copy() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    commit(&hub, &clone, "a.txt", SECRET);
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d"], "");
    let path = only_pack(&clone.join(".git/objects"));
    let opened = Pack::open(&path.with_extension("idx"), 20, OBJECTS_MAX).unwrap();
    let blob = hub.raw(&clone, &["rev-parse", "HEAD:a.txt"], "");
    let entry = opened.entry(opened.index.place(&Oid::parse(&blob).unwrap().to_bytes()).unwrap());
    let pack = path.with_extension("pack");
    let mut bytes = read(&pack);
    bytes[usize::try_from(entry.end).unwrap() - 5] ^= 0x55;
    // Nothing is written that a pack holds.
    fs::remove_file(&pack).unwrap();
    assert_eq!(hub.raw(&clone, &["hash-object", "-w", "--stdin"], SECRET), blob);
    put(&pack, &bytes);
    let scanned = along_packs(&at(&hub, &clone));
    assert_eq!((scanned.leaks(), scanned.objects, scanned.incomplete), (1, 3, Vec::new()));
}

#[test]
fn a_loose_object_that_is_broken_is_named_and_the_rest_is_scanned() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    commit(&hub, &clone, "a.txt", "a");
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d"], "");
    for (name, content) in [("b.txt", "b"), ("c.txt", "c"), ("leak.txt", SECRET)] {
        commit(&hub, &clone, name, content);
    }
    let repository = at(&hub, &clone);
    let all = along_packs(&repository).objects;
    for name in ["b.txt", "c.txt"] {
        let blob = hub.raw(&clone, &["rev-parse", &format!("HEAD:{name}")], "");
        put(&clone.join(".git/objects").join(&blob[..2]).join(&blob[2..]), b"rubbish");
        let scanned = along_packs(&repository);
        let named = scanned.incomplete.iter().any(|one| one.what.contains(&blob));
        assert!(named && scanned.leaks() == 1 && scanned.objects + 2 >= all, "{name}: {scanned:#?}");
    }
}

#[test]
fn a_list_that_is_not_whole_leaves_nothing_out_that_the_packs_hold() {
    let hub = Hub::new();
    let clone = hub.clone_named("a");
    commit(&hub, &clone, "leak.txt", SECRET);
    fs::remove_file(clone.join("leak.txt")).unwrap();
    commit(&hub, &clone, "b.txt", "b");
    hub.raw(&clone, &["repack", "--quiet", "-a", "-d"], "");
    commit(&hub, &clone, "c.txt", "c");
    let tree = hub.raw(&clone, &["rev-parse", "HEAD^{tree}"], "");
    fs::remove_file(clone.join(".git/objects").join(&tree[..2]).join(&tree[2..])).unwrap();
    let scanned = along_packs(&at(&hub, &clone));
    assert!(scanned.leaks() == 1 && !scanned.incomplete.is_empty() && !scanned.notes.is_empty(), "{scanned:#?}");
}

/// An entry that a test makes.
enum Entry {
    Object(Kind, Vec<u8>),
    /// Made from the entry with this number.
    Behind(usize, Vec<u8>),
    Named(u8, Vec<u8>),
    /// The bytes as they are.
    Raw(Vec<u8>),
}

/// The name of the entry with a number, of 20 bytes.
fn name_of(number: usize) -> [u8; 20] {
    let mut name = [0; 20];
    name[..8].copy_from_slice(&(number as u64).to_be_bytes());
    name.rotate_left(7);
    name
}

fn beginning(kind: u8, mut size: u64) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    bytes
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn distance(mut distance: u64) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(distance & 0x7f).unwrap()];
    while distance >= 0x80 {
        distance = (distance >> 7) - 1;
        bytes.push(0x80 | u8::try_from(distance & 0x7f).unwrap());
    }
    bytes.reverse();
    bytes
}

/// A pack and its index, as [`Pack`] reads them.
fn written(entries: &[Entry]) -> (TempDir, PathBuf) {
    let mut pack = [b"PACK", &2_u32.to_be_bytes()[..], &u32::try_from(entries.len()).unwrap().to_be_bytes()].concat();
    let mut starts: Vec<usize> = Vec::new();
    for entry in entries {
        let start = pack.len();
        starts.push(start);
        pack.extend(match entry {
            Entry::Object(kind, content) => {
                let kind = match kind {
                    Kind::Commit => 1,
                    Kind::Tree => 2,
                    Kind::Blob => 3,
                    Kind::Tag => 4,
                };
                [beginning(kind, content.len() as u64), deflated(content)].concat()
            }
            Entry::Behind(base, delta) => {
                let distance = distance((start - starts[*base]) as u64);
                [beginning(6, delta.len() as u64), distance, deflated(delta)].concat()
            }
            Entry::Named(base, delta) => {
                let base = name_of((*base).into()).to_vec();
                [beginning(7, delta.len() as u64), base, deflated(delta)].concat()
            }
            Entry::Raw(bytes) => bytes.clone(),
        });
    }
    let end = pack.len();
    pack.extend([7; 20]);
    let mut named: Vec<usize> = (0..entries.len()).collect();
    named.sort_by_key(|number| name_of(*number));
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=255_u8 {
        let count = named.iter().filter(|number| name_of(**number)[0] <= first).count();
        index.extend(u32::try_from(count).unwrap().to_be_bytes());
    }
    index.extend(named.iter().flat_map(|number| name_of(*number)));
    for number in &named {
        let entry = &pack[starts[*number]..starts.get(number + 1).copied().unwrap_or(end)];
        index.extend(crc32fast::hash(entry).to_be_bytes());
    }
    index.extend(named.iter().flat_map(|number| u32::try_from(starts[*number]).unwrap().to_be_bytes()));
    index.extend([7; 20]);
    index.extend([9; 20]);
    let directory = tempfile::tempdir().unwrap();
    files::replace(&directory.path().join("p.pack"), &pack).unwrap();
    files::replace(&directory.path().join("p.idx"), &index).unwrap();
    let path = directory.path().join("p.idx");
    (directory, path)
}

/// How long each object of a pack is, if it was scanned, in the order of the entries; and how many leaks there are.
fn walked(index: &Path) -> Option<(Vec<Option<u64>>, u64)> {
    walked_with(&scanner(), index)
}

fn walked_with(scanner: &Scanner, index: &Path) -> Option<(Vec<Option<u64>>, u64)> {
    let packs = [Stored::of(0, Pack::open(index, 20, OBJECTS_MAX)?)];
    let shared = Shared::new(scanner, &packs);
    // Nothing is listed: everything counts.
    shared.end_list(walk::Listing::Broken);
    let found = Walker::new(&shared).walk();
    let [stored] = &packs;
    let bytes = (0..stored.pack.index.objects()).map(|place| stored.bytes(place)).collect();
    Some((bytes, found.kept.iter().map(|kept| kept.scanned.leaks()).sum::<u64>() + found.counted.more))
}

/// A piece of what a delta makes.
#[derive(Debug, Clone)]
enum Part {
    /// From the base.
    Copied(std::ops::Range<usize>),
    New(Vec<u8>),
}

/// A delta that makes an object of these parts.
fn of_parts(base_bytes: usize, parts: &[Part]) -> Vec<u8> {
    let lengths = parts.iter().map(|part| match part {
        Part::Copied(range) => range.len(),
        Part::New(bytes) => bytes.len(),
    });
    let mut delta = [size(base_bytes as u64), size(lengths.sum::<usize>() as u64)].concat();
    for part in parts {
        match part {
            // Copies of at most 64 KiB less one byte.
            Part::Copied(range) => {
                for start in range.clone().step_by(0xffff) {
                    let bytes = (range.end - start).min(0xffff);
                    delta.push(0b1011_1111);
                    delta.extend(u32::try_from(start).unwrap().to_le_bytes());
                    delta.extend(u16::try_from(bytes).unwrap().to_le_bytes());
                }
            }
            Part::New(bytes) => {
                for piece in bytes.chunks(127) {
                    delta.push(u8::try_from(piece.len()).unwrap());
                    delta.extend_from_slice(piece);
                }
            }
        }
    }
    delta
}

/// A delta that copies all of its base and adds something.
fn longer(base_bytes: usize, more: &[u8]) -> Vec<u8> {
    of_parts(base_bytes, &[Part::Copied(0..base_bytes), Part::New(more.to_vec())])
}

fn size(mut size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size >= 0x80 {
        bytes.push(0x80 | u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    bytes.push(u8::try_from(size).unwrap());
    bytes
}

#[test]
fn deltas_make_objects() {
    use Entry::{Behind, Named, Object};
    let (_directory, index) = written(&[
        Object(Kind::Blob, b"begin".to_vec()),
        Behind(0, longer(5, SECRET.as_bytes())),
        Named(1, longer(5 + SECRET.len(), b"end")),
        Named(4, longer(3, b"b")),
        Object(Kind::Tree, b"abc".to_vec()),
        Object(Kind::Blob, Vec::new()),
        Behind(5, longer(0, b"")),
    ]);
    let secret = SECRET.len() as u64;
    let bytes = vec![Some(5), Some(5 + secret), Some(8 + secret), Some(4), Some(3), Some(0), Some(0)];
    assert_eq!(walked(&index), Some((bytes, 2)));
}

#[test]
fn what_a_delta_brings_is_found_where_only_what_is_new_is_looked_at() {
    use Entry::{Behind, Object};
    use Part::{Copied, New};
    let base: Vec<u8> = (0..100).flat_map(version_line).collect();
    let length = base.len();
    let middle = length / 2;
    let (first, last) = SECRET.split_at(SECRET.len() / 2);
    let new = |text: &str| New(text.as_bytes().to_vec());
    let zip = zipped(format!("behind a program: {SECRET}").as_bytes());
    let (zip_begin, zip_end) = zip.split_at(zip.len() - 20);
    let gzip = gzip(format!("in an archive: {SECRET}").as_bytes());
    for (name, parts, leaks) in [
        ("nothing", vec![Copied(0..length)], 0),
        ("something else", vec![Copied(0..middle), new("harmless"), Copied(middle..length)], 0),
        ("less", vec![Copied(0..middle), Copied(middle + 500..length)], 0),
        ("in the middle", vec![Copied(0..middle), new(SECRET), Copied(middle..length)], 1),
        ("at the beginning", vec![new(SECRET), Copied(0..length)], 1),
        ("at the end", vec![Copied(0..length), new(SECRET)], 1),
        ("in many pieces", vec![Copied(0..middle), new(first), new(last), Copied(middle..length)], 1),
        ("in an archive", vec![New(gzip), Copied(0..length)], 1),
        ("behind a program", vec![Copied(0..length), New(zip.clone())], 1),
        ("another order", vec![Copied(middle..length), Copied(0..middle)], 0),
    ] {
        let (_directory, index) = written(&[Object(Kind::Blob, base.clone()), Behind(0, of_parts(length, &parts))]);
        assert_eq!(walked(&index).map(|(_, leaks)| leaks), Some(leaks), "{name}");
    }
    // Both halves stand in the base, and in nothing that came to anything.
    let base_of_halves = [base.as_slice(), format!("{last}\n").as_bytes(), &base, first.as_bytes(), &base].concat();
    let second = 2 * length + last.len() + 1 + first.len();
    let joined = [
        Copied(0..length),
        Copied(second - first.len()..second),
        Copied(length..second - first.len()),
        Copied(second..second + length),
    ];
    // A zip whose end comes with a delta, one whose beginning does, and one that is in the base and ends it now.
    let with_begin = [&base, zip_begin].concat();
    let with_end = [&base, zip_end].concat();
    let within = [&base, &zip[..], &vec![b'\n'; 70_000]].concat();
    for (name, base, parts, leaks) in [
        ("halves apart", base_of_halves, joined.to_vec(), 1),
        ("the end of a zip", with_begin.clone(), vec![Copied(0..with_begin.len()), New(zip_end.to_vec())], 1),
        (
            "the beginning of a zip",
            with_end.clone(),
            vec![Copied(0..length), New(zip_begin.to_vec()), Copied(length..with_end.len())],
            1,
        ),
        ("less behind a zip", within.clone(), vec![Copied(0..length + zip.len())], 1),
    ] {
        let (_directory, index) = written(&[Object(Kind::Blob, base.clone()), Behind(0, of_parts(base.len(), &parts))]);
        assert_eq!(walked(&index).map(|(_, leaks)| leaks), Some(leaks), "{name}");
    }
    // What has a leak makes others that have it, and others that have not.
    let with_leak = of_parts(length, &[Copied(0..middle), new(SECRET), Copied(middle..length)]);
    let longer_by = length + SECRET.len();
    let (_directory, index) = written(&[
        Object(Kind::Blob, base.clone()),
        Behind(0, with_leak),
        Behind(1, longer(longer_by, b"more")),
        Behind(2, of_parts(longer_by + 4, &[Copied(0..middle), Copied(middle + SECRET.len()..longer_by)])),
        Behind(3, longer(length, b"and more")),
        Behind(4, longer(length + 8, format!("{last} {first}").as_bytes())),
    ]);
    assert_eq!(walked(&index).map(|(_, leaks)| leaks), Some(2));
}

fn version_line(number: usize) -> Vec<u8> {
    format!(
        "line {number} of a file that is long enough for what is far from a change to be passed over, {}\n",
        number * number
    )
    .into_bytes()
}

#[test]
fn a_chain_of_any_length_is_walked() {
    const LINKS: usize = 20_000;
    let mut entries = vec![Entry::Object(Kind::Blob, b"a".to_vec())];
    entries.extend((0..LINKS).map(|base| Entry::Behind(base, vec![1, 1, 1, b'a'])));
    let (_directory, index) = written(&entries);
    assert_eq!(walked(&index), Some((vec![Some(1); LINKS + 1], 0)));
}

#[test]
fn what_makes_no_sense_is_not_scanned_and_spoils_nothing_else() {
    use Entry::{Behind, Named, Object, Raw};
    let much = OBJECT_BYTES_MAX + 1;
    let rows: [(&str, Entry); 13] = [
        ("a ring of one", Named(1, longer(3, b"d"))),
        ("a base that is not there", Named(200, longer(3, b"d"))),
        ("a base in the middle of an entry", Raw([beginning(6, 3), distance(2), deflated(b"abc")].concat())),
        ("a base before the pack", Raw([beginning(6, 3), distance(1_000_000), deflated(b"abc")].concat())),
        ("a base of another length", Behind(0, longer(4, b"d"))),
        ("a copy from beyond the end", Behind(0, vec![3, 4, 0b1001_0001, 1, 4])),
        ("more than was said", Behind(0, vec![3, 1, 2, b'a', b'b'])),
        ("less than was said", Behind(0, vec![3, 9, 2, b'a', b'b'])),
        ("an instruction that is none", Behind(0, vec![3, 1, 0])),
        ("a delta that says much", Behind(0, [size(3), size(1 << 50), vec![1, b'a']].concat())),
        ("an object that says much", Raw([beginning(3, much), deflated(b"abc")].concat())),
        ("an object that is shorter than it says", Raw([beginning(3, 4), deflated(b"abc")].concat())),
        ("an object that is longer than it says", Raw([beginning(3, 2), deflated(b"abc")].concat())),
    ];
    for (name, entry) in rows {
        let (_directory, index) = written(&[
            Object(Kind::Blob, b"abc".to_vec()),
            entry,
            Named(1, longer(3, b"d")),
            Behind(0, longer(3, SECRET.as_bytes())),
        ]);
        let bytes = vec![Some(3), None, None, Some(3 + SECRET.len() as u64)];
        assert_eq!(walked(&index), Some((bytes, 1)), "{name}");
    }
    for (name, raw) in [
        ("a kind that is none", vec![0x50, 1, 2, 3]),
        ("a size without an end", vec![0xbf; 30]),
        ("no deflate", [beginning(3, 3), b"rubbish".to_vec()].concat()),
        ("bytes behind it", [beginning(3, 3), deflated(b"abc"), vec![0]].concat()),
        ("nothing behind its beginning", beginning(3, 3)),
    ] {
        let (_directory, index) = written(&[Object(Kind::Blob, b"abc".to_vec()), Raw(raw)]);
        assert_eq!(walked(&index), Some((vec![Some(3), None], 0)), "{name}");
    }
}

#[test]
fn no_byte_of_a_pack_or_an_index_can_change_unseen() {
    use Entry::{Behind, Object};
    let scanner = scanner();
    let (directory, index) = written(&[
        Object(Kind::Blob, version(1).into_bytes()),
        Behind(0, longer(version(1).len(), SECRET.as_bytes())),
        Object(Kind::Commit, b"tree\n\ncommit".to_vec()),
    ]);
    let right = walked_with(&scanner, &index).unwrap();
    let pack = directory.path().join("p.pack");
    let whole = read(&pack);
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            // Version 3 differs from version 2 in nothing that packs have.
            if bytes[..8] == *b"PACK\0\0\0\x03" {
                continue;
            }
            put(&pack, &bytes);
            if let Some((scanned, _)) = walked_with(&scanner, &index) {
                assert!(scanned.contains(&None), "byte {at}: {scanned:?}");
                assert!(scanned.iter().zip(&right.0).all(|(one, right)| one.is_none() || one == right), "byte {at}");
            }
        }
    }
    for bytes in [0, 4, 12, 31, whole.len() - 21, whole.len() - 1] {
        put(&pack, &whole[..bytes]);
        assert_eq!(walked_with(&scanner, &index), None, "the first {bytes} bytes");
    }
    put(&pack, &whole);
    let (whole, table) = (read(&index), 8 + 256 * 4);
    let sums = table + 3 * 20..whole.len() - 40;
    for at in (0..table).chain(sums) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        put(&index, &bytes);
        if let Some((scanned, _)) = walked_with(&scanner, &index) {
            assert!(scanned.contains(&None), "byte {at} of the index: {scanned:?}");
        }
    }
    for bytes in 0..whole.len() {
        put(&index, &whole[..bytes]);
        assert_eq!(walked_with(&scanner, &index), None, "the first {bytes} bytes of the index");
    }
}

#[test]
fn an_entry_begins_as_git_says() {
    let name = [3; 20];
    let row = |bytes: &[u8]| Header::read(bytes, 20).map(|header| (header.size, header.bytes));
    for (bytes, size, form) in [
        (vec![0x10], 0, Form::Whole(Kind::Commit)),
        (vec![0x2f], 15, Form::Whole(Kind::Tree)),
        (vec![0xb5, 0x0a], 165, Form::Whole(Kind::Blob)),
        (vec![0xcf, 0xff, 0x01], 15 + (127 << 4) + (1 << 11), Form::Whole(Kind::Tag)),
        (vec![0x61, 0x05], 1, Form::Behind(5)),
        (vec![0x61, 0x80, 0x00], 1, Form::Behind(128)),
        (vec![0x61, 0xff, 0x7f], 1, Form::Behind(16_511)),
        ([&[0x71][..], &name].concat(), 1, Form::Named(&name)),
    ] {
        let header = Header::read(&bytes, 20).unwrap();
        assert_eq!((header.size, header.form, header.bytes), (size, form, bytes.len()), "{bytes:?}");
        // Whatever follows is not a part of it.
        assert_eq!(row(&[&bytes[..], &[0xff; 40]].concat()), row(&bytes), "{bytes:?}");
        assert_eq!(row(&bytes[..bytes.len() - 1]), None, "{bytes:?}");
    }
    for bytes in [&[0x00][..], &[0x50], &[0x90, 0x80], &[0x61, 0xff], &[0xbf; 12], &[0x61, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(row(bytes), None, "{bytes:?}");
    }
    let far = [&[0x61][..], &[0xff; 12], &[0x7f]].concat();
    assert_eq!(row(&far), None);
}

#[test]
fn a_delta_does_what_its_instructions_say() {
    let base = (0..=255).cycle().take(70_000).collect::<Vec<u8>>();
    let base_size = size(base.len() as u64);
    for (what, instructions, made) in [
        ("nothing", vec![], vec![]),
        ("two bytes that are new", vec![2, 9, 8], vec![9, 8]),
        ("from the beginning", vec![0b1001_0000, 3], vec![0, 1, 2]),
        ("from a place", vec![0b1001_0001, 5, 2], vec![5, 6]),
        ("from a place of two bytes", vec![0b1001_0011, 1, 1, 2], base[257..259].to_vec()),
        ("from a place of three bytes", vec![0b1001_0100, 1, 2], base[65_536..65_538].to_vec()),
        ("64 KiB", vec![0b1000_0000], base[..65_536].to_vec()),
        ("a length of two bytes", vec![0b1011_0000, 1, 1], base[..257].to_vec()),
        ("a length of three bytes", vec![0b1100_0000, 1], base[..65_536].to_vec()),
    ] {
        let delta = [base_size.clone(), size(made.len() as u64), instructions].concat();
        let mut out = vec![1, 2, 3];
        assert_eq!(apply(&base, &delta, &mut out, &mut Changes::default()), Some(()), "{what}");
        assert!(out == made, "{what}");
        assert_eq!(made_of(&delta, base.len()), Some(made.len() as u64), "{what}");
        assert_eq!(made_of(&delta, base.len() + 1), None, "{what}");
    }
    let beyond = [base_size, size(2), vec![0b1001_1111, 0xff, 0xff, 0xff, 0xff, 2]].concat();
    assert_eq!(apply(&base, &beyond, &mut Vec::new(), &mut Changes::default()), None);
}

#[test]
fn a_delta_says_what_is_new_and_where_pieces_meet_that_were_apart() {
    use Part::{Copied, New};
    let base = vec![7; 200_000];
    for (what, parts, expected) in [
        ("the same", vec![Copied(0..200_000)], &[][..]),
        ("something in it", vec![Copied(0..5_000), New(vec![1; 300]), Copied(5_000..200_000)], &[(5_000, 5_300)]),
        ("something left out", vec![Copied(0..5_000), Copied(6_000..200_000)], &[(5_000, 5_000)]),
        ("less at the beginning", vec![Copied(1..200_000)], &[(0, 0)]),
        ("less at the end", vec![Copied(0..199_999)], &[(199_999, 199_999)]),
        ("nothing", vec![], &[(0, 0)]),
        ("twice", vec![Copied(0..200_000), Copied(0..200_000)], &[(200_000, 200_000)]),
        (
            "another order",
            vec![Copied(9_000..200_000), Copied(0..9_000)],
            &[(0, 0), (191_000, 191_000), (200_000, 200_000)],
        ),
    ] {
        let (mut made, mut changes) = (Vec::new(), Changes::default());
        changes.add(1..2);
        apply(&base, &of_parts(base.len(), &parts), &mut made, &mut changes).unwrap();
        let told: Vec<(usize, usize)> = changes.ranges().iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(told, expected, "{what}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), base in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Some(header) = Header::read(&bytes, 20) {
            prop_assert!(header.bytes <= bytes.len());
        }
        if made_of(&bytes, base.len()).is_some_and(|bytes| bytes <= OBJECT_BYTES_MAX) {
            apply(&base, &bytes, &mut Vec::new(), &mut Changes::default());
        }
        let delta = [size(base.len() as u64), size(9), bytes.clone()].concat();
        let mut made = Vec::new();
        if apply(&base, &delta, &mut made, &mut Changes::default()).is_some() {
            prop_assert_eq!(made.len(), 9);
        }
        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        index.extend([0; 255 * 4]);
        index.extend([0, 0, 0, 2]);
        index.extend(bytes);
        Index::read(&index, 20);
    }
}
