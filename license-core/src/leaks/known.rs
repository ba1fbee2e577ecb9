//! Texts that may be a key of which only the fingerprint is known.
//!
//! A fingerprint can only be compared with that of a whole key, so the text is cut into pieces at what surrounds keys:
//! white space, quotes, brackets, `:`, `,` and the like always; `=`, `.`, `/`, `+` and `~` in every way in which they may also belong to a key.

use core::ops::Range;

/// The shortest key that is found by its fingerprint, in bytes.
pub(super) const KNOWN_BYTES_MIN: usize = 12;

/// The longest, in bytes. Offline tokens are the longest keys.
pub(super) const KNOWN_BYTES_MAX: usize = crate::token::TOKEN_BYTES_MAX;

/// Calls `each` with every piece that begins in `own` and may be a key.
pub(super) fn pieces(hay: &[u8], own: &Range<usize>, mut each: impl FnMut(Range<usize>)) {
    // Every run that is long enough holds a sample; a run that begins at the end of `own` is sampled behind it.
    let mut at = own.start;
    let end = hay.len().min(own.end + KNOWN_BYTES_MIN);
    while at < end {
        if Kind::of(hay[at]) == Kind::Border {
            at += KNOWN_BYTES_MIN;
            continue;
        }
        let length =
            |text: &mut dyn Iterator<Item = &u8>| text.take_while(|&&byte| Kind::of(byte) != Kind::Border).count();
        let start = at - length(&mut hay[..at].iter().rev().take(KNOWN_BYTES_MAX + 1));
        let run = start..at + length(&mut hay[at..].iter());
        at = run.end + KNOWN_BYTES_MIN;
        if run.len() >= KNOWN_BYTES_MIN && is_no_word(&hay[run.clone()]) {
            pieces_of_run(hay, &run, &mut |piece| {
                if own.contains(&piece.start) && may_be_key(&hay[piece.clone()]) {
                    each(piece);
                }
            });
        }
    }
}

/// Calls `each` with what may be a key from a place within a run on, where a key's beginning stands: up to the end of the run,
/// and up to each `-` and `_` in it.
pub(super) fn pieces_at(hay: &[u8], at: usize, mut each: impl FnMut(Range<usize>)) {
    const BYTES_MAX: usize = 256;

    let is_inner = |byte: &&u8| Kind::of(**byte) == Kind::Inner;
    let length = hay[at..].iter().take(BYTES_MAX + 1).take_while(is_inner).count();
    if length > BYTES_MAX {
        return;
    }
    for end in at + KNOWN_BYTES_MIN..=at + length {
        let is_end = hay.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if is_end && may_be_key(&hay[at..end]) {
            each(at..end);
        }
    }
}

fn pieces_of_run(hay: &[u8], run: &Range<usize>, each: &mut dyn FnMut(Range<usize>)) {
    // As identifiers, as offline tokens, as base64, as base64 without its padding, and as a whole.
    cut(hay, run, |kind| kind == Kind::Inner, each);
    let has = |kind| hay[run.clone()].iter().any(|&byte| Kind::of(byte) == kind);
    let (dots, slashes, equals) = (has(Kind::Dot), has(Kind::Slash), has(Kind::Equals));
    if dots {
        cut(hay, run, |kind| matches!(kind, Kind::Inner | Kind::Dot), each);
    }
    if slashes {
        cut(hay, run, |kind| matches!(kind, Kind::Inner | Kind::Slash), each);
    }
    if dots && slashes {
        cut(hay, run, |kind| matches!(kind, Kind::Inner | Kind::Dot | Kind::Slash), each);
    }
    if equals {
        let padded = |at: usize| Kind::of(hay[at]) == Kind::Equals;
        let (mut start, mut at) = (run.start, run.start);
        while at < run.end {
            if padded(at) {
                let end = (at..run.end).find(|&at| !padded(at)).unwrap_or(run.end);
                each(start..end);
                start = end;
                at = end;
            } else {
                at += 1;
            }
        }
        each(start..run.end);
        each(run.clone());
    }
}

/// Calls `each` with the longest pieces of a run that are all of the kinds. A dot or a slash at an end belongs to the sentence,
/// and without it the piece is another one.
fn cut(hay: &[u8], run: &Range<usize>, is_part: impl Fn(Kind) -> bool, each: &mut dyn FnMut(Range<usize>)) {
    let mut start = run.start;
    for text in hay[run.clone()].split(|&byte| !is_part(Kind::of(byte))) {
        let piece = start..start + text.len();
        start = piece.end + 1;
        if piece.len() < KNOWN_BYTES_MIN {
            continue;
        }
        let inner = |byte: &u8| Kind::of(*byte) == Kind::Inner;
        let first = text.iter().position(inner).unwrap_or(0);
        let last = text.iter().rposition(inner).map_or(text.len(), |last| last + 1);
        if first > 0 || last < text.len() {
            each(piece.start + first..piece.start + last);
        }
        each(piece);
    }
}

/// Whether it has a key's length and something in it that words have not.
fn may_be_key(text: &[u8]) -> bool {
    (KNOWN_BYTES_MIN..=KNOWN_BYTES_MAX).contains(&text.len()) && is_no_word(text)
}

/// Keys have a digit or several capitals.
fn is_no_word(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) || text.iter().filter(|byte| byte.is_ascii_uppercase()).count() > 1
}

/// What a byte is to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In no key.
    Border,
    /// In most keys.
    Inner,
    Dot,
    /// `/`, `+` and `~`.
    Slash,
    Equals,
}

impl Kind {
    #[inline]
    fn of(byte: u8) -> Self {
        const KINDS: [Kind; 256] = {
            let mut kinds = [Kind::Border; 256];
            let mut byte = 0_u8;
            while byte < 128 {
                kinds[byte as usize] = match byte {
                    b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => Kind::Inner,
                    b'.' => Kind::Dot,
                    b'/' | b'+' | b'~' => Kind::Slash,
                    b'=' => Kind::Equals,
                    _ => Kind::Border,
                };
                byte += 1;
            }
            kinds
        };
        KINDS[usize::from(byte)]
    }
}
