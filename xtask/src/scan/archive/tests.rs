//! Archives that are made here, whole and broken.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use proptest::prelude::*;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

const KEY: &[u8] = b"TO-PRD-9Zq7Marker0K3y4Tests";

/// What was handed out: the content of each path, and every name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    contents: BTreeMap<String, Vec<u8>>,
    names: Vec<(String, Vec<u8>)>,
    open: Option<String>,
    piece_bytes_max: usize,
}

impl Seen {
    fn piece(&mut self, path: &str, bytes: &[u8], part: Part) {
        self.piece_bytes_max = self.piece_bytes_max.max(bytes.len());
        match part {
            Part::Name => {
                assert_eq!(self.open, None, "a name stands between contents");
                self.names.push((path.to_owned(), bytes.to_vec()));
            }
            Part::More => {
                assert!(self.open.as_deref().is_none_or(|open| open == path), "one content after the other");
                self.open = Some(path.to_owned());
                self.contents.entry(path.to_owned()).or_default().extend(bytes);
            }
            Part::Last => {
                assert!(self.open.take().is_none_or(|open| open == path) && bytes.is_empty());
                self.contents.entry(path.to_owned()).or_default();
            }
        }
    }

    fn text(&self, path: &str) -> &[u8] {
        self.contents.get(path).unwrap_or_else(|| panic!("no `{path}` among {:?}", self.contents.keys()))
    }
}

fn within(limits: &Limits, name: Option<&str>, whole: &[u8]) -> (Unpacked, Seen) {
    let mut seen = Seen::default();
    let unpacked = unpack(name, whole, limits, &mut |path, bytes, part| seen.piece(path, bytes, part));
    assert_eq!(seen.open, None, "every content has an end");
    (unpacked, seen)
}

fn looked(whole: &[u8]) -> (Unpacked, Seen) {
    within(&Limits::default(), None, whole)
}

fn refused(unpacked: &Unpacked) -> &str {
    match unpacked {
        Unpacked::Refused { why, .. } => why,
        Unpacked::NotAnArchive | Unpacked::Done => panic!("{unpacked:?}"),
    }
}

fn zip_with(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(CompressionMethod::Deflated, entries)
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_in_an_archive_is_handed_out() {
    let long = [vec![b'x'; 200_000], KEY.to_vec(), vec![b'y'; 200_000]].concat();
    let entries: &[(&str, &[u8])] = &[("a.txt", KEY), ("dir/long", &long), ("empty", b"")];
    let all: BTreeMap<_, _> = entries.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    for whole in [zip(entries), zip_with(CompressionMethod::Stored, entries), tar(entries), gzip(&tar(entries))] {
        let (unpacked, seen) = looked(&whole);
        assert_eq!(unpacked, Unpacked::Done);
        assert_eq!(seen.contents, all);
        for name in all.keys() {
            assert!(seen.names.contains(&(name.clone(), name.clone().into_bytes())), "{name}");
        }
        assert!(seen.piece_bytes_max <= PIECE_BYTES);
    }
}

#[test]
fn what_a_gzip_holds_is_named_after_it() {
    let content = [KEY, &vec![b'z'; 70_000]].concat();
    let rows = [(None, "content"), (Some("logs/app.log.gz"), "app.log"), (Some("blob"), "content")];
    for (name, path) in rows {
        let (unpacked, seen) = within(&Limits::default(), name, &gzip(&content));
        assert_eq!((unpacked, seen.text(path)), (Unpacked::Done, content.as_slice()), "{name:?}");
    }
}

#[test]
fn names_comments_and_links_are_handed_out_too() {
    let mut commented = ZipWriter::new(Cursor::new(Vec::new()));
    commented.set_comment("the comment of all").unwrap();
    commented
        .start_file("one", zip::write::FullFileOptions::default().with_file_comment("the comment of one"))
        .unwrap();
    let commented = commented.finish().unwrap().into_inner();

    let mut linked = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_username("the owner").unwrap();
    header.set_groupname("the group").unwrap();
    linked.append_link(&mut header, "link", "the target").unwrap();
    let linked = linked.into_inner().unwrap();

    let mut member = GzBuilder::new().filename("the name").comment("a comment").write(Vec::new(), Compression::fast());
    member.write_all(b"x").unwrap();
    let member = member.finish().unwrap();

    for (whole, names) in [
        (commented, ["the comment of all", "the comment of one"]),
        (linked.clone(), ["the target", "the owner"]),
        (gzip(&linked), ["the target", "the group"]),
        (member, ["the name", "a comment"]),
    ] {
        let (unpacked, seen) = looked(&whole);
        assert_eq!(unpacked, Unpacked::Done);
        for name in names {
            assert!(seen.names.iter().any(|(_, found)| found == name.as_bytes()), "{name}: {seen:?}");
        }
    }
}

#[test]
fn a_name_that_is_too_long_for_a_header_is_handed_out_whole() {
    let name = format!("{}/{}", "d".repeat(150), str::from_utf8(KEY).unwrap());
    let (unpacked, seen) = looked(&tar(&[(&name, b"content")]));
    assert_eq!(unpacked, Unpacked::Done);
    assert!(seen.contents.values().any(|content| content.strip_suffix(b"\0") == Some(name.as_bytes())), "{seen:?}");
    assert!(seen.contents.values().any(|content| content == b"content"));
}

#[test]
fn archives_in_archives_are_looked_into_as_deep_as_is_said() {
    let leaf = zip(&[("leaf.txt", KEY)]);
    let middle = gzip(&tar(&[("m/leaf.zip", &leaf)]));
    let (unpacked, seen) = looked(&zip(&[("middle.tgz", &middle)]));
    assert_eq!(unpacked, Unpacked::Done);
    assert_eq!(seen.text("middle.tgz!/m/leaf.zip!/leaf.txt"), KEY);

    let too_deep = zip(&[("outer.zip", &zip(&[("middle.tgz", &middle)]))]);
    let (unpacked, seen) = looked(&too_deep);
    assert_eq!(
        refused(&unpacked),
        "`outer.zip!/middle.tgz!/m/leaf.zip` in the archive is an archive that is more than 3 deep in others"
    );
    assert_eq!(seen.text("outer.zip!/middle.tgz!/m/leaf.zip"), leaf, "it is handed out as it is");
}

#[test]
fn everything_in_one_after_the_other_is_looked_at() {
    let members = [gzip(b"first "), gzip(KEY), vec![0; 100], gzip(b" last"), vec![0; 9_000]].concat();
    let (unpacked, seen) = looked(&members);
    assert_eq!(
        (unpacked, seen.text("content")),
        (Unpacked::Done, [b"first ".as_slice(), KEY, b" last"].concat().as_slice())
    );

    let tars = gzip(&[tar(&[("a", b"1")]), tar(&[("b", KEY)])].concat());
    let (unpacked, seen) = looked(&tars);
    assert_eq!((unpacked, seen.text("b")), (Unpacked::Done, KEY));

    let followed = gzip(&[tar(&[("a", b"1")]), KEY.to_vec()].concat());
    let (unpacked, seen) = looked(&followed);
    assert_eq!((unpacked, seen.text("after the end")), (Unpacked::Done, KEY));
}

#[test]
fn a_zip_behind_a_program_is_one() {
    let whole = [b"#!/bin/sh\nexit 0\n".to_vec(), zip(&[("a", KEY)])].concat();
    let (unpacked, seen) = looked(&whole);
    assert_eq!((unpacked, seen.text("a")), (Unpacked::Done, KEY));
}

#[test]
fn what_is_no_archive_is_none() {
    let zeros = vec![0; 2048];
    let not_quite: [&[u8]; 22] = [
        b"\x1f\x8b",
        b"\x1f\x8b\x08",
        b"\x1f\x8b\x07\0\0\0\0\0\0\x03 another method",
        b"\x1f\x8b\x08\x20\0\0\0\0\0\x03 a flag that means nothing",
        b"BZh9 is how it begins",
        b"BZh0\x31\x41\x59\x26\x53\x59 a level that there is not",
        b"PK\x03\x04 as everybody knows, is how a zip begins",
        b"PK\x03\x04\x14\0\0\0\x32\0\0\0 a method that there is not",
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0 no list before it",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f\xfd\x08 a bit that is reserved",
        b"LZIP\x02\x17",
        b"]\0\0 an opening bracket in UTF-16 and what follows it",
        b"\x1f\x9d\xe8 bits that are not used",
        b"\x5e\0\0\0\x01\x0b\0\0\0\0\0\0\0\0 other properties, and a length",
        b"\x01\0\0\0\x01\0\0\0\x05\0\0\0\x0a\0\0\0 small numbers",
        b"\xe1\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0 properties that there are not",
        b"\x5d\x01\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0 a dictionary that nobody has",
        b"\x04\x22\x4d\x18\0 another version",
        b"\x02\x21\x4c\x18\0\0\0\0 no block",
        b"\x02\x21\x4c\x18\0\0\0\x7f more than a block has",
        b"!<arch>\nlib.o/ is a library, whose bytes are as they are",
    ];
    for whole in [b"".as_slice(), b"PK", b"text", KEY, &zeros, &[b'a'; 1024]].into_iter().chain(not_quite) {
        assert_eq!(looked(whole).0, Unpacked::NotAnArchive, "{whole:?}");
    }
}

#[test]
fn what_is_known_by_name_only_is_told_and_what_stops_comes_first() {
    let closed: &[(&str, &[u8])] =
        &[("a.rpm", b"\xed\xab\xee\xdb\x03"), ("b.7z", b"7z\xbc\xaf\x27\x1c\0\x04"), ("c", KEY)];
    let rows = [
        (&closed[..1], Weight::Told, "`a.rpm` in the archive is an RPM package, which is not looked into"),
        (closed, Weight::Stops, "`b.7z` in the archive is a 7z archive, which is not looked into; and 1 more like it"),
    ];
    for (entries, weight, why) in rows {
        let (unpacked, seen) = looked(&tar(entries));
        assert_eq!(unpacked, Unpacked::Refused { why: why.to_owned(), weight });
        assert_eq!(seen.text("a.rpm"), closed[0].1, "it is handed out as it is");
    }
}

#[test]
fn the_tail_of_what_passes_by_tells_what_ends_as_a_zip_does() {
    let zipped = zip(&[("a", KEY)]);
    let mut commented = ZipWriter::new(Cursor::new(Vec::new()));
    commented.set_raw_comment(vec![b'c'; 65_535].into()).unwrap();
    commented.start_file("a", SimpleFileOptions::default()).unwrap();
    let commented = commented.finish().unwrap().into_inner();
    let noise = vec![b'n'; 300_000];
    let rows = [
        ("alone", zipped.clone(), true),
        ("behind something", [noise.clone(), zipped.clone()].concat(), true),
        ("with the longest comment", [noise.clone(), commented].concat(), true),
        ("before little", [zipped.clone(), b"rest".to_vec()].concat(), true),
        ("before much", [zipped, noise.clone()].concat(), false),
        ("nothing of it", noise, false),
        ("nothing", Vec::new(), false),
    ];
    for (name, whole, expected) in rows {
        for (pieces, announced) in [(1_000, whole.len()), (100_000, whole.len()), (7_000, 0)] {
            let mut tail = Tail::default();
            for _ in 0..2 {
                tail.begin(announced as u64);
                whole.chunks(pieces).for_each(|piece| tail.push(piece));
                assert_eq!(tail.looks_zipped(), expected, "{name}, in pieces of {pieces}");
            }
        }
    }
}

#[test]
fn a_decoder_that_wants_too_much_memory_is_refused() {
    let rows: [&[u8]; 3] = [
        b"LZIP\x01\x1d and more of it",
        b"\x5d\0\0\0\x40\xff\xff\xff\xff\xff\xff\xff\xff\0 and more of it",
        b"\x28\xb5\x2f\xfd\0\xa0\x29\0\0 and more of it",
    ];
    for whole in rows {
        let (unpacked, _) = looked(whole);
        assert!(refused(&unpacked).contains("memory") || refused(&unpacked).contains("window"), "{unpacked:?}");
    }
}

#[test]
fn a_name_without_an_end_is_refused() {
    let mut named = gzip(KEY);
    named[3] = 8;
    named.splice(10..10, vec![b'n'; 2 * 1024 * 1024]);
    assert!(refused(&looked(&named).0).contains("the names in it are too long"));
}

#[test]
fn whatever_came_before_the_damage_is_handed_out() {
    let noise: Vec<u8> = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let content = [KEY, &noise].concat();
    let cut = |whole: Vec<u8>| whole[..whole.len() * 2 / 3].to_vec();
    let flipped = |mut whole: Vec<u8>| {
        let at = whole.len() / 2;
        whole[at..at + 4].fill(0xff);
        whole
    };
    let rows = [
        ("a gzip that is cut", cut(gzip(&content))),
        ("a gzip that is damaged", flipped(gzip(&content))),
        ("a zip that is cut", cut(zip(&[("a", &content)]))),
        ("a zip that is cut after its first entry", cut(zip(&[("a", KEY), ("b", &noise)]))),
        ("a zip that is damaged", flipped(zip(&[("a", &content)]))),
        ("a stored zip that is cut", cut(zip_with(CompressionMethod::Stored, &[("a", &content)]))),
        ("a zip in a tar that is cut", cut(tar(&[("z", &zip(&[("a", &content)]))]))),
        ("a zip in a gzip that is cut", cut(gzip(&zip(&[("a", &content)])))),
    ];
    for (name, whole) in rows {
        let (unpacked, seen) = looked(&whole);
        assert!(refused(&unpacked).contains("broken"), "{name}: {unpacked:?}");
        let has_key = |content: &Vec<u8>| content.starts_with(KEY);
        assert!(seen.contents.values().any(has_key), "{name}: {:?}", seen.contents.keys());
    }
}

/// The corpus of `fuzz/fuzz_targets/archives.rs`. Where a file's name begins with `found`, the marker is in what is
/// handed out; elsewhere nobody can have it.
#[test]
fn the_corpus_of_the_fuzzer_is_looked_into() {
    #[expect(clippy::disallowed_methods, reason = "a test reads the corpus beside it; its files are small")]
    let read = |path: &std::path::Path| std::fs::read(path).unwrap();
    let marker = b"the marker of the corpus";
    let mut found = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/archives")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (unpacked, seen) = looked(&read(&path));
        let has_marker = seen.contents.values().any(|content| memchr::memmem::find(content, marker).is_some());
        assert_eq!(has_marker, name.starts_with("found"), "{name}: {unpacked:?}");
        assert_eq!(unpacked == Unpacked::NotAnArchive, name == "empty", "{name}");
        let broken = ["cut", "damaged", "huge", "lies"].iter().any(|word| name.contains(word));
        assert!(!broken || refused(&unpacked).contains("is broken"), "{name}: {unpacked:?}");
        found += usize::from(has_marker);
    }
    assert!(found >= 30, "{found}");
}

#[test]
fn a_bomb_is_a_refusal_with_a_bound() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let bomb = gzip(&zeros);
    let inner: Vec<(String, &[u8])> = (0..50).map(|n| (format!("{n}.gz"), bomb.as_slice())).collect();
    let inner: Vec<(&str, &[u8])> = inner.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    for whole in [bomb.clone(), zip(&[("zeros", &zeros)]), gzip(&tar(&[("zeros", &zeros)])), zip(&inner)] {
        let mut bytes = 0;
        let unpacked = unpack(None, &whole, &Limits::default(), &mut |_, piece, part| match part {
            Part::Name => {}
            Part::More | Part::Last => bytes += piece.len() as u64,
        });
        assert_eq!(refused(&unpacked), "the archive unpacks to more than 200 times its length: it may be a bomb");
        assert!(bytes <= RATIO_FREE_BYTES.max(200 * whole.len() as u64), "{bytes}");
    }
}

#[test]
fn every_limit_is_kept_and_told() {
    let noise: Vec<u8> = (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let many: Vec<(String, &[u8])> = (0..40).map(|n| (n.to_string(), b"x".as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let usual = Limits::default();
    let rows = [
        (gzip(&noise), Limits { bytes_max: 50_000, ..usual }, "unpacks to more than 50000 bytes"),
        (zip(&many), Limits { entries_max: 39, ..usual }, "has too many entries"),
        (tar(&many), Limits { entries_max: 39, ..usual }, "has too many entries"),
        (gzip(b"").repeat(40), Limits { entries_max: 39, ..usual }, "has too many entries"),
        (zip(&many), Limits { time: Duration::ZERO, ..usual }, "takes longer than 0ns"),
        (tar(&[("a.zip", &zip(&many))]), Limits { inner_zip_bytes_max: 100, ..usual }, "longer than 100 bytes"),
    ];
    for (whole, limits, why) in rows {
        let (unpacked, _) = within(&limits, None, &whole);
        assert!(refused(&unpacked).contains(why), "{unpacked:?}");
    }
}

#[test]
fn what_is_broken_is_told_and_what_is_whole_is_handed_out() {
    let flipped = |mut whole: Vec<u8>, at: usize| {
        whole[at] ^= 0x55;
        whole
    };
    let cut = |whole: &[u8], bytes: usize| whole[..whole.len() - bytes].to_vec();
    let two = tar(&[("a", KEY), ("b", &[b'b'; 600])]);
    let noise: Vec<u8> = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let zipped = zip(&[("first", &noise), ("a", KEY)]);
    let rows = [
        ("a zip without its end", cut(&zipped, 30), "is broken"),
        ("a zip with a damaged entry", flipped(zipped, 900), "`first` in the archive is broken"),
        ("a gzip without its end", cut(&gzip(KEY), 4), "is broken"),
        ("a gzip with another checksum", flipped(gzip(KEY), gzip(KEY).len() - 6), "is broken"),
        ("a gzip of nothing", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), "is broken"),
        ("a tar that breaks off", two[..512 + 512 + 512 + 300].to_vec(), "it ends in the middle of an entry"),
        ("a tar with a damaged header", flipped(two.clone(), 1024), "a header of an entry is none"),
        ("a tar in a gzip that breaks off", cut(&gzip(&two), 20), "is broken"),
    ];
    for (name, whole, why) in rows {
        let (unpacked, _) = looked(&whole);
        assert!(refused(&unpacked).contains(why), "{name}: {unpacked:?}");
    }
    let (unpacked, seen) =
        looked(&tar(&[("broken.zip", &zip(&[("b", KEY)])[..40]), ("broken.gz", &gzip(KEY)[..12]), ("a", KEY)]));
    assert!(refused(&unpacked).ends_with("more like it"), "{unpacked:?}");
    assert_eq!(seen.text("a"), KEY, "one broken entry does not hide the next");
}

#[test]
fn what_is_not_read_here_is_told() {
    let named = |method| zip_with(method, &[("secret", KEY), ("other", KEY)]);
    let mut encrypted = named(CompressionMethod::Stored);
    let mut unknown = named(CompressionMethod::Stored);
    // In both headers of the first entry: the flag of encryption, or a method that nobody knows.
    let listed = encrypted.windows(4).position(|window| window == ZIP_LISTED).unwrap();
    for (local, central, changed) in [(6, 8, &mut encrypted), (8, 10, &mut unknown)] {
        changed[local] |= 1;
        changed[listed + central] |= 1;
    }
    for (whole, why) in [(encrypted, "`secret` in the archive is encrypted"), (unknown, "`secret` in the archive is")] {
        let (unpacked, seen) = looked(&whole);
        assert!(refused(&unpacked).contains(why), "{unpacked:?}");
        assert_eq!(seen.text("other"), KEY);
    }
}

#[test]
fn two_entries_of_one_name_do_not_hide_one_another_unseen() {
    let mut whole = zip(&[("one", KEY), ("two", b"nothing")]);
    while let Some(at) = whole.windows(3).position(|window| window == b"two") {
        whole[at..at + 3].copy_from_slice(b"one");
    }
    let (unpacked, _) = looked(&whole);
    assert!(refused(&unpacked).contains("lists 2 entries, and 1 can be told apart"), "{unpacked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_that_is_damaged_panics(form in 0..4_usize, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>()) {
        let entries: &[(&str, &[u8])] = &[("a", KEY), ("b.gz", &gzip(KEY)), ("c", &[7; 3000])];
        let mut whole = [zip(entries), tar(entries), gzip(&tar(entries)), tar(&[("z", &zip(entries))])][form].clone();
        for (at, byte) in damage {
            let at = at.index(whole.len());
            whole[at] = byte;
        }
        whole.truncate(whole.len() - cut.index(whole.len()) / 8);
        looked(&whole);
    }

    #[test]
    fn nothing_that_looks_like_an_archive_panics(form in 0..8_usize, rest in prop::collection::vec(any::<u8>(), 0..600)) {
        let begin: &[u8] = [
            b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), b"\x1f\x8b\x08\0", b"PK\x05\x06", b"BZh9\x31\x41\x59\x26\x53\x59",
            b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36", b"\x28\xb5\x2f\xfd", b"LZIP\x01\x17", b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0",
        ][form];
        looked(&[begin, &rest].concat());
    }
}
