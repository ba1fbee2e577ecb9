//! Looks only at what is new in a text that was made of another one.
//!
//! Whether something is found at a place depends on so many bytes around it. Where these stand side by side in a text in
//! which nothing was found, nothing is found here either; so what is looked at is only what is new, and where pieces
//! meet that were apart.

use alloc::vec::Vec;
use core::ops::Range;

use super::{
    form::FORM_BYTES_MAX,
    scanner::{BYTES_PER_BYTE_MAX, Scanner, WINDOW_BYTES},
};

/// How many bytes beside something are looked at to tell what it is.
const BESIDE_BYTES: usize = 128;

/// How many bytes a byte of a secret becomes at most where nothing lies over it: in UTF-16, and in hex.
const BYTES_PER_BYTE_BARE: usize = 2;

/// As much, where it is broken into lines, or escaped beside signs that end a row: in UTF-16, `\U0000002d`.
const BYTES_PER_BYTE_IN_LINES: usize = 8;
const BYTES_PER_BYTE_ESCAPED: usize = 20;

/// As much in a list of numbers in UTF-16.
const BYTES_PER_BYTE_IN_LISTS: usize = 2 * BYTES_PER_BYTE_MAX;

/// How far a row of digits and escapes is followed to where a key may begin: an offline token is as long, twice that in hex.
const ROW_BYTES_MAX: usize = 2 * FORM_BYTES_MAX;

/// What is new in a text that was made of pieces of another: in their order, places that are empty where two pieces meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<Range<usize>>);

impl Changes {
    /// What lies closer together is one change: there is no sense in less than what is looked at around each.
    const APART_BYTES: usize = 1024;

    /// Nothing is new.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// This is new, which begins at the one before or behind it.
    pub fn add(&mut self, range: Range<usize>) {
        match self.0.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(Self::APART_BYTES) => {
                last.end = last.end.max(range.end);
            }
            Some(_) | None => self.0.push(range),
        }
    }

    /// The changes, apart from each other.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.0
    }
}

impl Scanner {
    /// Whether nothing is found in a text for certain that was made of pieces of another one, in which nothing was found
    /// and nothing allowed. Where that is not certain, or to look at it all is as fast, the answer is no.
    ///
    /// Everything between two changes stands in the other text in one piece, and what is before the first and behind the
    /// last at its beginning and its end.
    pub fn finds_nothing_new(&self, text: &[u8], changes: &Changes) -> bool {
        // How far a pattern looks around itself is not known.
        if !self.watch.patterns.is_empty() {
            return false;
        }
        let mut regions: Vec<Range<usize>> = Vec::with_capacity(changes.0.len());
        for change in &changes.0 {
            let region = self.around(text, change);
            match regions.last_mut() {
                Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
                Some(_) | None => regions.push(region),
            }
        }
        let looked_at: usize = regions.iter().map(ExactSizeIterator::len).sum();
        if looked_at > text.len() / 4 * 3 {
            return false;
        }
        let mut found = Vec::new();
        regions.into_iter().all(|region| {
            let mut next = region.start;
            while found.is_empty() && next < region.end {
                let window = next..region.end.min(next + WINDOW_BYTES);
                next = window.end;
                let hay = &text[..text.len().min(window.end.saturating_add(self.margin()))];
                self.look(hay, 0, &window, &mut [], &mut found);
            }
            found.is_empty()
        })
    }

    /// Where everything begins that a change may have a part in, and every secret has its core.
    fn around(&self, text: &[u8], change: &Range<usize>) -> Range<usize> {
        // Whatever is escaped stands in one row, and so does a list; lines and signs of secrets end it.
        let row = length_before(text, change.start, ROW_BYTES_MAX, is_of_row);
        let list = length_before(text, change.start, BYTES_PER_BYTE_IN_LISTS * self.longest, is_of_list);
        let factor = if self.signs.is_within(IN_ROWS) { BYTES_PER_BYTE_IN_LINES } else { BYTES_PER_BYTE_ESCAPED };
        let before = (factor * self.longest).max(row).max(list) + BESIDE_BYTES;
        let behind = BYTES_PER_BYTE_BARE * self.longest + BESIDE_BYTES;
        change.start.saturating_sub(before)..text.len().min(change.end.saturating_add(behind))
    }
}

/// How many bytes before a place are of one kind.
fn length_before(text: &[u8], place: usize, bytes_max: usize, is_of_it: impl Fn(u8) -> bool) -> usize {
    text[..place].iter().rev().take(bytes_max).take_while(|byte| is_of_it(**byte)).count()
}

/// The signs that stand within keys and tokens, as they are or packed or escaped.
const IN_ROWS: &[u8] = b"-_./+~=\\%&#;{}\0";

/// Whether a byte stands there.
#[inline]
fn is_of_row(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || IN_ROWS.contains(&byte)
}

/// Whether a byte stands within a list of characters as numbers.
#[inline]
fn is_of_list(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || b"xX, \t\r\n\0".contains(&byte)
}
