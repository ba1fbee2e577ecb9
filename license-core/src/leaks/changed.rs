//! Looks only at what is new in a text that was made of another one.
//!
//! Whether something is found at a place depends on so many bytes around it. Where these stand side by side in a text in
//! which nothing was found, nothing is found here either; so what is looked at is only what is new, and where pieces
//! meet that were apart.

use alloc::vec::Vec;
use core::ops::Range;

use memchr::memchr;

use super::{
    form::FORM_BYTES_MAX,
    scanner::{BYTES_PER_BYTE_MAX, Scanner, WINDOW_BYTES},
    work,
};

/// How many bytes beside something are looked at to tell what it is.
const BESIDE_BYTES: usize = 128;

/// How many bytes a byte of a secret becomes at most in lines, with what stands around the breaks between them.
const BYTES_PER_BYTE_IN_LINES: usize = 9;

/// As much, where signs of the secret stand between escapes as they are: `&#x0000002d;`.
const BYTES_PER_BYTE_ESCAPED: usize = 12;

/// How many bytes a byte of all this becomes in UTF-16.
const WIDE: usize = 2;

/// How far a row of digits and escapes is followed at least: an offline token is as long, twice that in hex.
const ROW_BYTES_MIN: usize = 2 * FORM_BYTES_MAX;

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
        let looked_at_max = text.len() / 4 * 3;
        let mut regions: Vec<Range<usize>> = Vec::with_capacity(changes.0.len());
        let mut looked_at = 0;
        for (number, change) in changes.0.iter().enumerate() {
            let seen = regions.last().map_or(0, |last| last.end).min(change.start);
            let next = changes.0.get(number + 1).map_or(text.len(), |next| next.start);
            let region = self.around(text, change, &text[seen..change.start], &text[change.end..next]);
            looked_at += region.end - region.start.max(seen);
            if looked_at > looked_at_max {
                return false;
            }
            match regions.last_mut() {
                Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
                Some(_) | None => regions.push(region),
            }
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

    /// Where everything begins that a change may have a part in, and every secret has its core. What is further away than
    /// `before` and `behind` is looked at anyway.
    fn around(&self, text: &[u8], change: &Range<usize>, before: &[u8], behind: &[u8]) -> Range<usize> {
        let reach = WIDE * BYTES_PER_BYTE_ESCAPED * self.longest + BESIDE_BYTES;
        let near =
            [&before[before.len().saturating_sub(reach)..], &text[change.clone()], &behind[..behind.len().min(reach)]];
        let wide = if near.iter().any(|text| memchr(0, text).is_some()) { WIDE } else { 1 };
        let factor = if self.signs.is_within(IN_ROWS) { BYTES_PER_BYTE_IN_LINES } else { BYTES_PER_BYTE_ESCAPED };
        let least = wide * factor * self.longest;
        // Whatever is escaped stands in one row, and so does a list; lines and signs of secrets end it.
        let row_max = ROW_BYTES_MIN.max(reach);
        // A list is found as far as anything is, and may have wide margins.
        let list_max = row_max.max(WIDE * BYTES_PER_BYTE_MAX * self.longest);
        let length = |bytes: &mut dyn Iterator<Item = &u8>, bytes_max: usize, kind: u8| {
            let length = bytes.take(bytes_max).take_while(|byte| KINDS[usize::from(**byte)] & kind != 0).count();
            work::step(length);
            length
        };
        let rows = [
            length(&mut before.iter().rev(), row_max, ROW).max(length(&mut before.iter().rev(), list_max, LIST)),
            length(&mut behind.iter(), row_max, ROW).max(length(&mut behind.iter(), list_max, LIST)),
        ];
        let [before, behind] = rows.map(|row| row.max(least) + BESIDE_BYTES);
        change.start.saturating_sub(before)..text.len().min(change.end.saturating_add(behind))
    }
}

/// The signs that stand within keys and tokens, as they are or packed or escaped, beside letters and digits.
const IN_ROWS: &[u8] = b"-_./+~=\\%&#;{}\0";

/// Those that stand within lists of characters as numbers, beside hex digits.
const IN_LISTS: &[u8] = b"xX, \t\r\n\0";

const ROW: u8 = 1;
const LIST: u8 = 2;

/// In what a byte may stand.
static KINDS: [u8; 256] = {
    const fn has(signs: &[u8], byte: u8) -> bool {
        let mut at = 0;
        while at < signs.len() {
            if signs[at] == byte {
                return true;
            }
            at += 1;
        }
        false
    }

    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || has(IN_ROWS, byte) {
            kinds[byte as usize] |= ROW;
        }
        if byte.is_ascii_hexdigit() || has(IN_LISTS, byte) {
            kinds[byte as usize] |= LIST;
        }
        byte += 1;
    }
    kinds
};
