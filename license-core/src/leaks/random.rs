//! Tells what was drawn at random from what a person made up.
//!
//! A key is letters and digits that were drawn at random. A person who needs something that looks like a key repeats a character or a
//! group, counts up or down, or writes words. What is shorter than [`RANDOM_CHARS_MIN`] is no key at all.

/// The fewest random characters of a real key: three groups of four.
pub(super) const RANDOM_CHARS_MIN: usize = 12;

/// Whether the text, of letters and digits, was drawn at random.
pub(super) fn is_random(text: &[u8]) -> bool {
    are_random(core::iter::once(text))
}

/// Whether the groups, taken as one text, were drawn at random. No group that is drawn comes twice.
pub(super) fn are_random<'a>(groups: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    const GROUP_CHARS_MIN: usize = 4;

    let repeats = groups.clone().enumerate().any(|(number, group)| {
        group.len() >= GROUP_CHARS_MIN && groups.clone().take(number).any(|before| before.eq_ignore_ascii_case(group))
    });
    !repeats && Shape::of(groups.flatten().copied()).is_random()
}

/// Whether one of the words that stand in placeholders stands in the text, at the beginning or at the end of its letters.
pub(super) fn has_placeholder_word(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 18] = [
        b"CHANGE",
        b"DUMMY",
        b"EXAMPLE",
        b"EXEMPLE",
        b"FAKE",
        b"HERE",
        b"INSERT",
        b"INVALID",
        b"MARKER",
        b"PASTE",
        b"PLACEHOLDER",
        b"REDACTED",
        b"REPLACE",
        b"SAMPLE",
        b"SECRET",
        b"TOKEN",
        b"XXXX",
        b"YOUR",
    ];

    /// A bit for every letter that a word begins with.
    const FIRST: u32 = {
        let mut first = 0;
        let mut word = 0;
        while word < WORDS.len() {
            first |= 1 << (WORDS[word][0] & 31);
            word += 1;
        }
        first
    };

    let is_letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphabetic);
    let is_word_at = |at: usize, word: &[u8]| {
        let end = at + word.len();
        text.get(at..end).is_some_and(|part| part.eq_ignore_ascii_case(word))
            && !(is_letter(at.checked_sub(1)) && is_letter(Some(end)))
    };
    let may_begin = |at: &usize| text[*at].is_ascii_alphabetic() && FIRST >> (text[*at] & 31) & 1 != 0;
    (0..text.len()).filter(may_begin).any(|at| WORDS.iter().any(|word| is_word_at(at, word)))
}

/// What is counted of a text, in one pass.
#[derive(Debug, Default)]
struct Shape {
    chars: usize,
    letters: usize,
    digits: usize,
    /// Capitals that follow a capital.
    pairs_of_capitals: usize,
    /// A bit for every character that occurs.
    seen: u128,
    /// Characters of another kind (capital, small, digit) than the one before.
    changes: usize,
    /// Characters that equal the one before, or are its neighbor.
    steps: usize,
    /// Characters that equal the one before the last, or are its neighbor: two rows that are counted in turn.
    steps_in_turn: usize,
}

impl Shape {
    fn of(text: impl Iterator<Item = u8>) -> Self {
        let mut shape = Self::default();
        let mut last = None;
        let mut last_but_one = None;
        for byte in text {
            shape.chars += 1;
            shape.letters += usize::from(byte.is_ascii_alphabetic());
            shape.digits += usize::from(byte.is_ascii_digit());
            let is_pair = byte.is_ascii_uppercase() && last.is_some_and(|last: u8| last.is_ascii_uppercase());
            shape.pairs_of_capitals += usize::from(is_pair);
            shape.seen |= 1 << (byte & 127);
            shape.changes += usize::from(last.is_some_and(|last| kind(last) != kind(byte)));
            shape.steps += usize::from(last.is_some_and(|last| is_step(last, byte)));
            shape.steps_in_turn += usize::from(last_but_one.is_some_and(|before| is_step(before, byte)));
            (last_but_one, last) = (last, Some(byte));
        }
        shape
    }

    /// The bounds are such that next to no key of thirty characters, as the registry makes them, is taken for made up,
    /// and of the shortest that there are four in a hundred at most; a test draws keys and counts.
    fn is_random(&self) -> bool {
        const CHANGES_MIN: usize = 2;
        const DIFFERENT_MIN: u32 = 7;

        // Without a digit it takes letters of both cases in a disorder that no words have, joined as they may be.
        let is_mixed = self.digits > 0 || self.pairs_of_capitals > 1;
        self.chars >= RANDOM_CHARS_MIN
            && self.letters > 1
            && is_mixed
            && self.changes >= CHANGES_MIN
            && self.seen.count_ones() >= DIFFERENT_MIN
            && 2 * self.steps < self.chars - 1
            && 5 * self.steps_in_turn < 4 * (self.chars - 2)
    }
}

fn kind(byte: u8) -> (bool, bool) {
    (byte.is_ascii_digit(), byte.is_ascii_uppercase())
}

fn is_step(before: u8, byte: u8) -> bool {
    before.abs_diff(byte) <= 1
}
