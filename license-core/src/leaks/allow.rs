//! The comment that says that something is no leak: `license:allow` and a reason, on the same line.

use core::ops::Range;

use memchr::{memchr2, memmem, memrchr2};

use super::form::{self, BEGINNINGS};

/// How far from a leak the comment is looked for, in bytes: a line may be as long as a file.
pub(super) const NEIGHBORHOOD_BYTES: usize = 4 * 1024;

const MARKER: &[u8] = b"license:allow";

/// Whether the line allows what stands at the place, with a reason.
pub(super) fn is_allowed(hay: &[u8], leak: &Range<usize>) -> bool {
    let before = &hay[leak.start.saturating_sub(NEIGHBORHOOD_BYTES)..leak.start];
    let before = memrchr2(b'\n', b'\r', before).map_or(before, |at| &before[at + 1..]);
    let after = &hay[leak.end..hay.len().min(leak.end + NEIGHBORHOOD_BYTES)];
    let after = memchr2(b'\n', b'\r', after).map_or(after, |at| &after[..at]);
    // What leaks is no reason for letting it, so the two sides are looked at apart.
    [before, after].into_iter().any(has_marker)
}

fn has_marker(text: &[u8]) -> bool {
    let markers = || memmem::find_iter(text, MARKER);
    let ends = markers().skip(1).chain([text.len()]);
    markers().zip(ends).any(|(at, end)| is_reason(until_key(&text[at + MARKER.len()..end])))
}

/// The text up to where a key begins: the next one that leaks is no reason for letting this one.
fn until_key(text: &[u8]) -> &[u8] {
    let first_of = |(number, beginning): (usize, &&str)| {
        let mut places = memmem::find_iter(text, *beginning);
        places.find(|&at| form::at(text, at, number, text.len()).is_some())
    };
    let first = BEGINNINGS.iter().enumerate().filter_map(first_of).min();
    &text[..first.unwrap_or(text.len())]
}

/// A reason is set off from the marker, has a word in it, and ends where the comment ends.
fn is_reason(text: &[u8]) -> bool {
    const LETTERS_MIN: usize = 3;
    const COMMENT_ENDS: [&[u8]; 4] = [b"*/", b"-->", b"#}", b"%}"];

    let is_set_off = text.first().is_some_and(|byte| b" \t:(=,".contains(byte));
    let comment_end = COMMENT_ENDS.iter().filter_map(|end| memmem::find(text, end)).min();
    is_set_off
        && text[..comment_end.unwrap_or(text.len())]
            .split(|byte| !byte.is_ascii_alphabetic() && byte.is_ascii())
            .any(|word| word.len() >= LETTERS_MIN && word != b"license" && word != b"allow")
}
