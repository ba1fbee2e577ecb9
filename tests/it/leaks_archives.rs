//! `leaks` and the push guard with archives: what is looked into, what is not and says so, and what may stay unseen.
//!
//! The key is compressed wherever it stands, so that the bytes as such do not show it.

use std::{
    fs::File,
    io::{Cursor, Write as _},
};

use flate2::{Compression, Crc, write::GzEncoder};
use license_tests::{Project, Pushing};
use serde_json::Value;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    BINARY,
    leaks::{commit, found, leaks, repository, tar, write},
};

/// A gzip that compresses.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A zip with one entry that is compressed.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default()).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

/// A tar as it was before `ustar`.
fn old_tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = tar(name, content);
    bytes[257..265].fill(0);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

fn bzip2(content: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(9));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A zstd frame whose one block is stored.
fn zstd(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    let block = (length << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &length.to_le_bytes()[..], &block[..3], content].concat()
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// An xz whose one chunk is stored.
fn xz(content: &[u8]) -> Vec<u8> {
    let filled = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let number = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
        bytes
    };
    let checked = |bytes: Vec<u8>| [bytes.clone(), crc(&bytes).to_vec()].concat();
    let flags = [0, 1];
    let header = checked(vec![2, 0, 0x21, 1, 0x16, 0, 0, 0]);
    let length = u16::try_from(content.len() - 1).unwrap().to_be_bytes();
    let chunks = [&[1], &length[..], content, &[0]].concat();
    let unpadded = header.len() + chunks.len() + 4;
    let index = checked(filled([vec![0, 1], number(unpadded), number(content.len())].concat()));
    let backward = u32::try_from(index.len() / 4 - 1).unwrap().to_le_bytes();
    let footer = [&backward[..], &flags].concat();
    [
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        &checked(flags.to_vec())[..],
        &header,
        &filled(chunks),
        &crc(content),
        &index,
        &crc(&footer),
        &footer,
        b"YZ",
    ]
    .concat()
}

/// What no compression makes shorter.
fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|at| at.wrapping_mul(2_654_435_761).rotate_left(13).to_le_bytes()[3]).collect()
}

/// Bytes in which the key is, for a path and what stands in it.
type Packed = fn(&[u8]) -> Vec<u8>;

/// The key is found in each of the files, in the tree and in history.
#[track_caller]
fn each_is_looked_into(rows: &[(&str, &str, Packed)]) {
    let (project, key) = repository();
    // What is that short is stored, unless it repeats something.
    let content = format!("one\nKEY={key}\n{}", "and more of it\n".repeat(20));
    for (path, _, packed) in rows {
        let bytes = packed(content.as_bytes());
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "{path}: it shows the key");
        write(&project, path, &bytes);
    }
    for arguments in [&[][..], &["--history"]] {
        let findings = found("archives", &project, &key, arguments);
        for (path, inside, _) in rows {
            // Objects have no name from which that of their content could be made.
            let nameless = inside.split_once("!/").map_or("content".to_owned(), |(_, rest)| format!("content!/{rest}"));
            let is_inside = |one: &Value| one["inside"] == *inside || one["inside"] == nameless;
            let fits = |one: &&Value| one["path"] == *path && is_inside(one) && one["line"] == 2;
            assert!(findings.iter().any(|one| fits(&one)), "{arguments:?}: {path}, {inside}: {findings:#?}");
        }
        commit(&project, "archives");
    }
}

#[test]
fn an_archive_is_known_by_its_end_and_by_every_beginning() {
    each_is_looked_into(&[
        ("setup.exe", "key.env", |key| [noise(300_000), zip("key.env", key)].concat()),
        ("small.run", "key.env", |key| [b"#!/bin/sh\nexit 0\n".to_vec(), zip("key.env", key)].concat()),
        ("split.zip", "key.env", |key| [b"PK00".to_vec(), zip("key.env", key)].concat()),
        ("marked.zip", "key.env", |key| [b"PK\x07\x08".to_vec(), zip("key.env", key)].concat()),
        ("ended.zip", "key.env", |key| {
            [zip("empty", b"")[zip("empty", b"").len() - 22..].to_vec(), zip("key.env", key)].concat()
        }),
        ("old.tar", "key.gz!/key", |key| old_tar("key.gz", &gzip(key))),
        ("outer.zip", "setup.exe!/key.env", |key| zip("setup.exe", &[noise(100_000), zip("key.env", key)].concat())),
        ("both.tar", "after the end!/key.env", |key| [tar("nothing", b"nothing"), zip("key.env", key)].concat()),
    ]);
}

#[test]
fn what_is_compressed_otherwise_is_looked_into_too() {
    each_is_looked_into(&[
        ("dump.sql.bz2", "dump.sql", |key| bzip2(key)),
        ("a.tar.bz2", "key.env", |key| bzip2(&tar("key.env", key))),
        ("two.bz2", "two", |key| [bzip2(b""), bzip2(key)].concat()),
        ("a.tar.xz", "key.gz!/key", |key| xz(&tar("key.gz", &gzip(key)))),
        ("a.zst", "a!/content", |key| zstd(&gzip(key))),
        ("a.tar.zst", "key.bz2!/key", |key| zstd(&old_tar("key.bz2", &bzip2(key)))),
    ]);
}

/// Files that are known and not looked into.
const CLOSED: [(&str, &[u8], &str); 6] = [
    ("a.7z", b"7z\xbc\xaf\x27\x1c\x00\x04rest", "7z"),
    ("a.rar", b"Rar!\x1a\x07\x01\x00rest", "RAR"),
    ("a.Z", b"\x1f\x9d\x90rest", "compress"),
    ("a.lz4", b"\x04\x22\x4d\x18\x64\x40rest", "LZ4"),
    ("old.lz4", b"\x02\x21\x4c\x18\x04\0\0\0rest", "LZ4"),
    ("a.lzo", b"\x89LZO\x00\r\n\x1a\n\x10\x40rest", "lzop"),
];

#[test]
fn an_archive_that_is_not_looked_into_is_never_clean() {
    let (project, _) = repository();
    for (path, bytes, what) in CLOSED {
        write(&project, path, bytes);
        leaks(&project, &[]).named(path).exits(31).says(&format!("not scanned: {path}")).says(what);
        let commit = commit(&project, path);
        let place = format!("not scanned: {path} (commit {})", &commit[..12]);
        leaks(&project, &["--range", "HEAD~1..HEAD"]).named(path).exits(31).says(&place).says(what);
    }
}

#[test]
fn a_package_is_named_and_stops_nothing() {
    let (project, _) = repository();
    write(&project, "a.rpm", b"\xed\xab\xee\xdb\x03\x00rest");
    for arguments in [&[][..], &["--history"]] {
        leaks(&project, arguments).exits(0).says("not looked into: a.rpm").says("RPM package");
        commit(&project, "package");
    }
}

#[test]
fn what_only_begins_like_an_archive_is_none() {
    let (project, _) = repository();
    let rows: [(&str, &[u8]); 8] = [
        ("gzip-magic", b"\x1f\x8b"),
        ("gzip-method", b"\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\x03 and more of it"),
        ("gzip-flags", b"\x1f\x8b\x08\xe0\x00\x00\x00\x00\x00\x03 and more of it"),
        ("zip-magic", b"PK\x03\x04"),
        ("zip-text", b"PK\x03\x04 are the bytes that a zip begins with, as everybody knows"),
        ("zip-end", b"the record at the end begins with PK\x05\x06, and this is none"),
        ("bzip2-text", b"BZh9 is how it begins, and nothing else of it is here"),
        ("compress", b"\x1f\x9d\xff and no more"),
    ];
    for (path, bytes) in rows {
        write(&project, path, bytes);
    }
    leaks(&project, &[]).exits(0);
    commit(&project, "none");
    leaks(&project, &["--history"]).exits(0);
}

/// What a scan says about archives, as JSON.
#[track_caller]
fn told(project: &Project, arguments: &[&str], exit: i32) -> (Vec<Value>, Vec<Value>) {
    let document = leaks(project, &[arguments, &["--format", "json"]].concat()).exits(exit).json();
    let list = |name: &str| document[name].as_array().unwrap_or_else(|| panic!("{document}")).clone();
    (list("unscanned"), list("incomplete"))
}

#[test]
fn a_damaged_archive_is_named_with_its_place_and_allowed_by_it() {
    let broken = |name: &str| gzip(name.as_bytes())[..12].to_vec();
    let allowing = |text: &str| format!("\n[leaks]\nunscanned = [{text}]\n");
    for arguments in [&[][..], &["--history"]] {
        let (project, _) = repository();
        write(&project, "fixtures/a/cut.gz", &broken("first"));
        write(&project, "other.gz", &broken("second"));
        let commit = commit(&project, "fixtures");
        let (unscanned, incomplete) = told(&project, arguments, 31);
        assert_eq!((unscanned.len(), incomplete.len()), (2, 2), "{unscanned:#?} {incomplete:#?}");
        let fixture = unscanned.iter().find(|one| one["path"] == "fixtures/a/cut.gz").unwrap();
        assert!(fixture["why"].as_str().unwrap().contains("is broken"), "{fixture}");
        assert_eq!((&fixture["allowed"], &fixture["stops"]), (&Value::Null, &true.into()));
        if !arguments.is_empty() {
            assert_eq!(fixture["commit"], commit.as_str());
            assert!(incomplete[0]["what"].as_str().unwrap().ends_with(&format!("(commit {})", &commit[..12])));
        }
        let sum = fixture["sha256"].as_str().unwrap().to_owned();
        assert_eq!(sum.len(), 64, "{fixture}");
        leaks(&project, arguments).exits(31).says(&sum[..16]).says("`unscanned` of `[leaks]`");

        for (entry, exit) in [
            ("{ path = \"fixtures/**\", reason = \"cut on purpose\" }".to_owned(), 31),
            ("{ path = \"**.gz\", reason = \"cut on purpose\" }".to_owned(), 0),
            ("{ path = \"*.gz\", reason = \"cut on purpose\" }".to_owned(), 31),
            (format!("{{ sha256 = \"{}\", reason = \"cut on purpose\" }}", &sum[..16]), 31),
            (
                format!(
                    "{{ sha256 = \"{sum}\", reason = \"cut on purpose\" }}, {{ path = \"other.gz\", reason = \"too\" }}"
                ),
                0,
            ),
        ] {
            let project = repository_like(&project, &allowing(&entry));
            let (unscanned, incomplete) = told(&project, arguments, exit);
            assert_eq!(unscanned.len(), 2, "{entry}: what is allowed is told");
            assert_eq!(incomplete.is_empty(), exit == 0, "{entry}: {incomplete:#?}");
            let allowed = unscanned.iter().any(|one| one["allowed"] == "cut on purpose");
            assert!(allowed, "{entry}: {unscanned:#?}");
            if exit == 0 {
                leaks(&project, arguments).exits(0).says("2 archives not looked into");
            }
        }
    }
}

/// The same files and history, and a table more in `license.toml`.
fn repository_like(project: &Project, tables: &str) -> Project {
    let (copy, _) = repository();
    for path in ["fixtures/a/cut.gz", "other.gz"] {
        write(&copy, path, &std::fs::read(project.path(path)).unwrap());
    }
    commit(&copy, "fixtures");
    copy.tables(tables)
}

#[test]
fn what_is_allowed_unseen_is_scanned_as_far_as_it_goes() {
    let (project, key) = repository();
    let project = project.tables("\n[leaks]\nunscanned = [{ path = \"**\", reason = \"fixtures\" }]\n");
    let content = [format!("one\n{key}\n").into_bytes(), noise(100_000)].concat();
    let packed = gzip(&content);
    write(&project, "cut.gz", &packed[..packed.len() / 2]);
    let zipped = zip("key.env", &content);
    write(&project, "cut.zip", &zipped[..zipped.len() / 2]);
    write(&project, "plain.7z", format!("7z\u{bc}\n{key}").as_bytes());
    let mut plain = CLOSED[0].1.to_vec();
    plain.extend_from_slice(key.as_bytes());
    write(&project, "plain.7z", &plain);
    for arguments in [&[][..], &["--history"]] {
        let findings = found("damaged", &project, &key, arguments);
        for path in ["cut.gz", "cut.zip", "plain.7z"] {
            assert!(findings.iter().any(|one| one["path"] == path), "{path}: {findings:#?}");
        }
        commit(&project, "damaged");
    }
}

#[test]
fn an_archive_over_a_limit_is_named() {
    let (project, _) = repository();
    write(&project, "bomb.gz", &gzip(&vec![0; 40 * 1024 * 1024]));
    let bomb = gzip(&vec![0; 20 * 1024 * 1024]);
    write(&project, "nested.zip", &zip("inner.zip", &zip("a.gz", &bomb)));
    let mut locked = zip("secret", b"what nobody reads");
    let listed = locked.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    locked[6] |= 1;
    locked[listed + 8] |= 1;
    write(&project, "locked.zip", &locked);
    write(&project, "deep.gz", &gzip(&zip("b.zip", &zip("c.gz", &gzip(&gzip(b"deep"))))));
    let rows = [
        ("bomb.gz", "more than 200 times its length"),
        ("nested.zip", "more than 200 times its length"),
        ("locked.zip", "`secret` in the archive is encrypted"),
        ("deep.gz", "more than 3 deep"),
    ];
    for arguments in [&[][..], &["--history"]] {
        let (unscanned, incomplete) = told(&project, arguments, 31);
        for (path, why) in rows {
            let fits = |one: &&Value| one["path"] == path && one["why"].as_str().unwrap().contains(why);
            assert!(unscanned.iter().any(|one| fits(&one)), "{path}: {unscanned:#?}");
        }
        assert_eq!((unscanned.len(), incomplete.len()), (rows.len(), rows.len()));
        commit(&project, "limits");
    }
}

#[test]
fn an_archive_that_is_too_large_is_named_and_may_be_allowed() {
    const TOO_LARGE: u64 = 64 * 1024 * 1024 + 1;
    let (project, _) = repository();
    let large = |name: &str, begin: &[u8], end: &[u8]| {
        write(&project, name, begin);
        let mut file = File::options().append(true).open(project.path(name)).unwrap();
        file.set_len(TOO_LARGE).unwrap();
        file.write_all(end).unwrap();
    };
    let named = |path: &str, unscanned: &[Value]| {
        let one = unscanned.iter().find(|one| one["path"] == path).unwrap_or_else(|| panic!("{unscanned:#?}"));
        assert!(one["why"].as_str().unwrap().contains("more than 64 MiB"), "{one}");
        assert_eq!(one["sha256"].as_str().unwrap().len(), 64, "{one}");
    };
    // One of them at a time: each is some seconds of work for a program that is not optimized.
    large("large.run", b"#!/bin/sh\n", &zip("key.env", b"content"));
    named("large.run", &told(&project, &[], 31).0);
    std::fs::remove_file(project.path("large.run")).unwrap();
    large("large.gz", &gzip(b"begin"), b"");
    commit(&project, "large");
    let project = project.tables("\n[leaks]\nunscanned = [{ path = \"large.*\", reason = \"zeros\" }]\n");
    named("large.gz", &told(&project, &["--history"], 0).0);
}

#[test]
fn hundreds_of_fixtures_are_allowed_by_one_line() {
    const FIXTURES: usize = 300;
    let (project, _) = repository();
    for at in 0..FIXTURES {
        let bytes = [CLOSED[0].1, at.to_string().as_bytes()].concat();
        write(&project, &format!("fixtures/{at}.7z"), &bytes);
    }
    commit(&project, "fixtures");
    let project = project.tables("\n[leaks]\nunscanned = [{ path = \"fixtures/*\", reason = \"samples\" }]\n");
    for arguments in [&[][..], &["--history"]] {
        assert_eq!(told(&project, arguments, 0).0.len(), FIXTURES);
    }
}

/// Whichever path sorts first, and whichever commit comes first: what is allowed at one path goes out under it anyway.
#[test]
fn the_bytes_of_an_archive_are_allowed_at_each_of_their_paths_or_at_none() {
    let allowing = "\n[leaks]\nunscanned = [{ path = \"m/*.7z\", reason = \"sample\" }]\n";
    let bytes = [CLOSED[0].1, b"the same"].concat();
    for other in ["a/other.7z", "zz/other.7z"] {
        for paths in [["m/ok.7z", other], [other, "m/ok.7z"]] {
            let (project, _) = repository();
            let project = project.tables(allowing);
            let all = |exit: i32, which: &[&[&str]]| {
                for arguments in which {
                    let (unscanned, _) = told(&project, arguments, exit);
                    assert_eq!(
                        unscanned.iter().all(|one| one["allowed"] == "sample"),
                        exit == 0,
                        "{paths:?} {arguments:?}: {unscanned:#?}"
                    );
                }
            };
            // In one commit.
            for path in paths {
                write(&project, path, &bytes);
            }
            commit(&project, "both");
            all(0, &[&[], &["--history"], &["--range", "HEAD"]]);
            // Only what is staged has both.
            for path in paths {
                std::fs::remove_file(project.path(path)).unwrap();
            }
            all(0, &[&[]]);
            // In two commits, of which a range has one.
            let (project, _) = repository();
            let project = project.tables(allowing);
            for path in paths {
                write(&project, path, &bytes);
                commit(&project, path);
                std::fs::remove_file(project.path(path)).unwrap();
            }
            for (arguments, exit) in [
                (&["--history"][..], 0),
                (&["--range", "HEAD"], 0),
                (&["--range", "HEAD~1"], if paths[0] == other { 31 } else { 0 }),
                (&[], if paths[1] == other { 31 } else { 0 }),
            ] {
                told(&project, arguments, exit);
            }
            // Other bytes are not allowed with them.
            write(&project, other, &[CLOSED[0].1, b"others"].concat());
            commit(&project, "others");
            told(&project, &["--history"], 31);
        }
    }
}

#[test]
fn sarif_names_what_was_not_looked_into() {
    let (project, _) = repository();
    write(&project, "a.7z", CLOSED[0].1);
    write(&project, "a.rpm", b"\xed\xab\xee\xdb\x03\x00rest");
    write(&project, "b.rar", CLOSED[1].1);
    let project = project.tables("\n[leaks]\nunscanned = [{ path = \"b.rar\", reason = \"sample\" }]\n");
    let document = leaks(&project, &["--format", "sarif"]).exits(31).json();
    let invocation = &document["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let notifications = invocation["toolExecutionNotifications"].as_array().unwrap();
    for (path, level, says) in [("a.7z", "error", "not scanned"), ("a.rpm", "note", "RPM"), ("b.rar", "note", "sample")]
    {
        let fits = |one: &&Value| {
            one["level"] == level
                && one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == path
                && one["message"]["text"].as_str().unwrap().contains(says)
        };
        assert!(notifications.iter().any(|one| fits(&one)), "{path}: {notifications:#?}");
    }
}

#[test]
fn a_push_is_stopped_by_what_nobody_allowed_unseen() {
    let pushing = Pushing::new(BINARY);
    pushing.commit("fixtures/a.7z", CLOSED[0].1);
    pushing.push(&["origin", "main"]).stops(31).says("fixtures/a.7z (commit ").says("7z").says("`unscanned`");
    let allowing = "version = 1\n[authority.local]\nkind = \"embedded\"\n[environments.production]\n\
        authority = \"local\"\ndomain = \"app.com\"\nkey = { env = \"LICENSE_KEY\" }\n\
        [leaks]\nunscanned = [{ path = \"fixtures/*\", reason = \"samples\" }]\n";
    pushing.commit("license.toml", allowing);
    pushing.push(&["origin", "main"]).goes_with("1 secret of license.toml is not looked for on this machine");
    pushing.commit("a.rpm", b"\xed\xab\xee\xdb\x03\x00rest");
    pushing.push(&["origin", "main"]).goes_with("`a.rpm` was not looked into");
}
