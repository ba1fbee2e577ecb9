//! Any bytes as an archive: it is never looked into without end, nothing panics, and names stand between contents.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../xtask/src/scan/archive/mod.rs"]
mod archive;

use archive::{HEAD_BYTES, Limits, Part, Tail, Unpacked, looks_packed, unpack, worked};

/// Small enough for thousands of runs in a second.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { bytes_max: BYTES_MAX, entries_max: 2_000, ..Limits::default() };
    let began = worked();
    let (mut open, mut bytes): (Option<String>, u64) = (None, 0);
    let unpacked = unpack(Some("dir/name.gz"), input, &limits, &mut |path, piece, part| match part {
        Part::Name => assert_eq!(open, None, "a name stands between contents"),
        Part::More => {
            assert!(open.as_deref().is_none_or(|open| open == path), "one content after the other");
            open = Some(path.to_owned());
            bytes += piece.len() as u64;
        }
        Part::Last => assert!(open.take().is_none_or(|open| open == path) && piece.is_empty()),
    });
    assert_eq!(open, None, "every content has an end");
    assert!(worked().saturating_sub(began) <= 2 * limits.time, "it ends when its time is over");
    assert!(bytes <= BYTES_MAX + input.len() as u64 * 4, "{bytes}");
    let mut tail = Tail::default();
    tail.begin(input.len() as u64);
    input.chunks(1_000).for_each(|piece| tail.push(piece));
    let seen = looks_packed(&input[..input.len().min(HEAD_BYTES)]) || tail.looks_zipped();
    match unpacked {
        Unpacked::NotAnArchive => {}
        Unpacked::Done => assert!(seen, "an archive is seen while it passes by"),
        Unpacked::Refused { why, weight: _ } => assert!(seen && !why.is_empty(), "{why}"),
    }
});
