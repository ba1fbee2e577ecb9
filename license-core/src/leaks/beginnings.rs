//! What keys begin with, as it is and packed into base64 and hex. All of it is found in one go over the text.

use alloc::{string::String, vec::Vec};
use core::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, Match, MatchKind, Span, packed};

use super::{
    form,
    packed::{Needle, needles},
    watch::ScannerError,
};

/// Finds what forms of keys begin with. It is the same whatever else is looked for, and takes half the time in which a
/// scanner is made: so it can be made ahead.
pub struct Beginnings {
    /// None of its texts begins with another, so that one at most is found at a place. As many as are found at the speed of memory.
    finder: Finder,
    /// What each of the texts may be.
    meanings: Vec<Meaning>,
}

/// What finds the texts.
enum Finder {
    /// Vectors, made in half the time of the other one.
    Vectors(packed::Searcher),
    /// Where the processor has none.
    Automaton(AhoCorasick),
}

impl Finder {
    fn of(texts: &[String]) -> Result<Self, ScannerError> {
        let kind = packed::MatchKind::LeftmostFirst;
        match packed::Config::new().match_kind(kind).builder().extend(texts).build() {
            Some(searcher) => Ok(Self::Vectors(searcher)),
            None => Self::automaton(texts),
        }
    }

    fn automaton(texts: &[String]) -> Result<Self, ScannerError> {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::ContiguousNFA));
        builder.build(texts).map(Self::Automaton).map_err(|_| ScannerError::Automaton)
    }

    #[inline]
    fn find(&self, hay: &[u8], from: usize) -> Option<Match> {
        match self {
            Self::Vectors(searcher) => searcher.find_in(hay, Span::from(from..hay.len())),
            Self::Automaton(automaton) => automaton.find(Input::new(hay).range(from..)),
        }
    }
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
        Ok(Self { finder: Finder::of(&texts)?, meanings })
    }

    /// The first text from a place on, where it begins and what it may be.
    #[inline]
    pub(super) fn find(&self, hay: &[u8], from: usize) -> Option<(usize, &Meaning)> {
        let hit = self.finder.find(hay, from)?;
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
    for needle in needles() {
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
    use proptest::{collection, prelude::*, sample::select};

    use super::*;

    proptest! {
        #[test]
        fn what_the_processor_finds_is_what_the_automaton_finds(
            pieces in collection::vec(prop_oneof![
                select(ORDER.as_flattened()).prop_map(|text| text.as_bytes().to_vec()),
                select(ORDER.as_flattened()).prop_map(|text| text.as_bytes()[..text.len() - 1].to_vec()),
                collection::vec(any::<u8>(), 0..40),
            ], 0..12),
        ) {
            let hay = pieces.concat();
            let texts: Vec<String> = texts().into_iter().map(|(text, _)| text).collect();
            let (finder, automaton) = (Finder::of(&texts).unwrap(), Finder::automaton(&texts).unwrap());
            let find = |finder: &Finder, from| finder.find(&hay, from).map(|hit| (hit.start(), hit.pattern()));
            for from in 0..=hay.len() {
                prop_assert_eq!(find(&finder, from), find(&automaton, from));
            }
        }
    }

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
