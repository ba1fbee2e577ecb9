//! What keys begin with, as it is and packed into base64 and hex. All of it is found in one go over the text.

use alloc::{string::String, vec::Vec};
use core::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use super::{
    form,
    packed::{self, Needle},
    watch::ScannerError,
};

/// Finds what forms of keys begin with. It is the same whatever else is looked for, and takes half the time in which a
/// scanner is made: so it can be made ahead.
pub struct Beginnings {
    /// None of its texts begins with another, so that one at most is found at a place. As many as are found at the speed of memory.
    automaton: AhoCorasick,
    /// What each of the texts may be.
    meanings: Vec<Meaning>,
}

/// What a text that was found may be.
#[derive(Debug)]
pub(super) enum Meaning {
    /// One of the beginnings of forms, by its number, as it is.
    Plain(usize),
    /// What one of these may stand for.
    Packed(Vec<Needle>),
}

impl Beginnings {
    /// Prepares the search.
    pub fn new() -> Result<Self, ScannerError> {
        let (texts, meanings): (Vec<_>, Vec<_>) = texts().into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            // It is only made in half the time of a DFA: vectors find the texts, where the processor has them.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(texts)
            .map_err(|_| ScannerError::Automaton)?;
        Ok(Self { automaton, meanings })
    }

    /// The first text from a place on, where it begins and what it may be.
    #[inline]
    pub(super) fn find(&self, hay: &[u8], from: usize) -> Option<(usize, &Meaning)> {
        let hit = self.automaton.find(Input::new(hay).range(from..))?;
        Some((hit.start(), self.meanings.get(hit.pattern().as_usize())?))
    }
}

impl fmt::Debug for Beginnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginnings").field("texts", &self.meanings.len()).finish_non_exhaustive()
    }
}

/// What is looked for. Of hex only what several have in common: with few texts, they are found without an automaton.
fn texts() -> Vec<(String, Meaning)> {
    let plain = form::BEGINNINGS.iter().enumerate().map(|(number, text)| (String::from(*text), Meaning::Plain(number)));
    let mut texts: Vec<_> = plain.collect();
    for needle in packed::needles() {
        let text = needle.prefix();
        match texts.iter_mut().find(|(before, _)| before == text) {
            Some((_, Meaning::Packed(needles))) => needles.push(needle),
            Some((_, Meaning::Plain(_))) | None => texts.push((text.into(), Meaning::Packed([needle].into()))),
        }
    }
    texts.sort_by_key(|(text, _)| ORDER.iter().flatten().position(|other| other == text));
    texts
}

/// The order of the texts. With few of them, a place is only looked at where each byte has halves that texts of one column have: so those of
/// a column are alike. No more than speed depends on it.
#[rustfmt::skip]
const ORDER: [[&str; 8]; 4] = [
    ["0b1", "sk_live_", "xJQ",      "657",  "736",  "LIC-",     "LK-",  "MSU"],
    ["4c4", "RvX",      "RPL",      "TEst", "746",  "leU",      "TElD", "MSy"],
    ["za1", "NrX",      "xLL",      "V5S",  "c2tf", "eyJ",      "TO-",  "ZXlK"],
    ["4C4", "to_live_", "sk_test_", "VE8t", "544",  "to_test_", "dG9f", "UTy"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_at_most_is_found_at_a_place_and_there_are_few() {
        let texts: Vec<String> = texts().into_iter().map(|(text, _)| text).collect();
        for (number, text) in texts.iter().enumerate() {
            let others = texts.iter().enumerate().filter(|&(other, _)| other != number);
            assert!(others.clone().all(|(_, other)| !other.starts_with(text.as_str())), "{text}");
        }
        // With more, what finds them takes twice as long.
        assert_eq!(texts, ORDER.as_flattened());
    }
}
