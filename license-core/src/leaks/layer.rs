//! What lies over a text: escapes, line breaks in base64, lists of numbers, UTF-16.
//!
//! Each layer is looked for on its own, so that what looks like the escape of another one hides nothing. Around every place at which
//! there is something to decode the text is decoded, once, and looked at like any other; so the work for each byte has a bound.

use alloc::vec::Vec;
use core::{iter::successors, ops::Range};

use memchr::{memchr_iter, memchr2_iter, memchr3_iter};

use super::{
    known::KNOWN_BYTES_MIN,
    leak::Encoding,
    needle::{base64_digit, hex_digit, is_odd},
    view::View,
    work,
};

/// What is read of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// `%2D`.
    Percent,
    /// `\u002d`, `\x2d`, `\055`, `\/` and what else begins with a backslash.
    Backslash,
    /// `&#45;`, `&#x2d;`, `&amp;`.
    Entity,
    /// All of the three above, where they stand side by side.
    Mixed,
    /// `=2D`, and lines that break behind a `=`.
    QuotedPrintable,
    /// Base64, or hex, in lines.
    Lines,
    /// `0x2d, 0x2d`, `45, 45`.
    Numbers,
    /// Both orders.
    Utf16,
}

/// The shortest line that is joined with the next, in bytes.
const LINE_BYTES_MIN: usize = 16;

/// How far before the place that is looked at a view begins, so that what stands before that place is seen, in bytes.
const CONTEXT_BYTES: usize = 64;

/// The part of a text that is looked at.
#[derive(Debug, Clone)]
pub(super) struct Part<'h> {
    pub(super) hay: &'h [u8],
    /// The offset of `hay` in its object.
    pub(super) base: u64,
    /// What begins here is looked for.
    pub(super) own: Range<usize>,
    /// The longest text that is looked for where it may be escaped, in bytes.
    pub(super) longest: usize,
    /// The signs that are in secrets.
    pub(super) signs: Signs,
    pub(super) lines: Lines,
}

/// What was done to the lines of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Apart,
    /// Words that stood on two lines may have become one, which looks as if it was drawn: only base64 and hex are looked into.
    Joined,
}

/// A set of ASCII characters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs(u128);

impl Signs {
    /// Those of a text that are neither letters nor digits.
    pub(super) fn of(texts: impl Iterator<Item = u8>) -> Self {
        let signs = texts.filter(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric());
        Self(signs.fold(0, |signs, byte| signs | 1 << byte))
    }

    fn contains(self, byte: u8) -> bool {
        byte.is_ascii() && self.0 >> byte & 1 != 0
    }
}

impl Part<'_> {
    /// The bytes that something that begins in it may have if it reaches so far, and the few before it.
    fn whole(&self, reach: usize) -> Range<usize> {
        self.own.start.saturating_sub(CONTEXT_BYTES)..self.hay.len().min(self.own.end.saturating_add(reach))
    }
}

impl Layer {
    /// What may lie over the bytes of an object.
    pub(super) const OF_BYTES: [Self; 8] = [
        Self::Percent,
        Self::Backslash,
        Self::Entity,
        Self::Mixed,
        Self::QuotedPrintable,
        Self::Lines,
        Self::Numbers,
        Self::Utf16,
    ];

    /// What may lie below this layer.
    pub(super) fn below(self) -> &'static [Self] {
        match self {
            Self::Percent | Self::Backslash | Self::Entity | Self::Mixed | Self::QuotedPrintable => &[Self::Lines],
            Self::Lines | Self::Numbers => &[],
            Self::Utf16 => Self::OF_BYTES.split_last().map_or(&[], |(_, others)| others),
        }
    }

    /// Whether it is a layer of escapes that others may be mixed with.
    pub(super) fn may_be_mixed(self) -> bool {
        match self {
            Self::Percent | Self::Backslash | Self::Entity => true,
            Self::Mixed | Self::QuotedPrintable | Self::Lines | Self::Numbers | Self::Utf16 => false,
        }
    }

    /// Calls `each` with every piece of the part that is decoded.
    pub(super) fn views(self, part: &Part<'_>, each: &mut dyn FnMut(View)) {
        match self {
            Self::Percent => self.escapes(part, |hay| memchr_iter(b'%', hay), each),
            Self::Backslash => self.escapes(part, |hay| memchr_iter(b'\\', hay), each),
            Self::Entity => self.escapes(part, |hay| memchr_iter(b'&', hay), each),
            Self::Mixed => self.escapes(part, |hay| memchr3_iter(b'%', b'\\', b'&', hay), each),
            Self::QuotedPrintable => self.escapes(part, |hay| memchr_iter(b'=', hay), each),
            Self::Lines => self.escapes(part, |hay| memchr2_iter(b'\n', b'\\', hay), each),
            Self::Numbers => numbers(part, each),
            Self::Utf16 => utf16(part, each),
        }
    }

    /// How many bytes a byte becomes at most, the digits of base64 in between included.
    fn factor(self) -> usize {
        match self {
            Self::Percent | Self::QuotedPrintable => 4,
            Self::Backslash | Self::Entity | Self::Mixed => 8,
            Self::Lines => 3,
            Self::Numbers | Self::Utf16 => 16,
        }
    }

    /// Decodes around every place that is worth it. `leads` finds where an escape may be.
    fn escapes<'h, I: Iterator<Item = usize>>(
        self,
        part: &Part<'h>,
        leads: impl Fn(&'h [u8]) -> I,
        each: &mut dyn FnMut(View),
    ) {
        let reach = self.factor() * part.longest + CONTEXT_BYTES;
        let whole = part.whole(reach);
        let mut region: Option<Region> = None;
        let mut next = whole.start;
        for at in leads(&part.hay[whole.clone()]).map(|at| whole.start + at) {
            if at < next {
                continue;
            }
            let Some(escape) = self.read(part.hay, at) else { continue };
            next = escape.source.end;
            if !Self::is_worth_it(part, &escape) {
                continue;
            }
            let around = at.saturating_sub(reach).max(whole.start)..whole.end.min(next + reach);
            region = Some(match region {
                Some(Region { range, encoding, mixed }) if around.start <= range.end => {
                    Region { range: range.start..around.end, encoding, mixed: mixed || encoding != escape.encoding }
                }
                before => {
                    self.decode(part.hay, before, &leads, each);
                    Region { range: around, encoding: escape.encoding, mixed: false }
                }
            });
        }
        self.decode(part.hay, region, &leads, each);
    }

    fn decode<'h, I: Iterator<Item = usize>>(
        self,
        hay: &'h [u8],
        region: Option<Region>,
        leads: &impl Fn(&'h [u8]) -> I,
        each: &mut dyn FnMut(View),
    ) {
        let Some(Region { range: region, mixed, .. }) = region else { return };
        if self == Self::Mixed && !mixed {
            return;
        }
        work::step(region.len());
        let hay = &hay[..region.end];
        let mut view = View::start(region.clone());
        let mut done = region.start;
        for at in leads(&hay[region.start..]).map(|at| region.start + at) {
            if at < done {
                continue;
            }
            let Some(escape) = self.read(hay, at) else { continue };
            view.copy(&hay[done..at]);
            view.take_back(at.saturating_sub(escape.source.start));
            done = escape.source.end;
            view.decode(escape.source, &escape.bytes[..escape.count], escape.encoding);
        }
        view.copy(&hay[done..]);
        each(view);
    }

    /// The escape at a place where one may begin.
    #[inline]
    fn read(self, hay: &[u8], at: usize) -> Option<Escape> {
        match self {
            Self::Percent => percent(hay, at),
            Self::Backslash => backslash(hay, at),
            Self::Entity => entity(hay, at),
            Self::Mixed => percent(hay, at).or_else(|| backslash(hay, at)).or_else(|| entity(hay, at)),
            Self::QuotedPrintable => quoted_printable(hay, at),
            Self::Lines => line_break(hay, at),
            Self::Numbers | Self::Utf16 => None,
        }
    }

    /// Whether an escape may hide something. The line breaks and quotes of strings stand everywhere, and in few secrets.
    fn is_worth_it(part: &Part<'_>, escape: &Escape) -> bool {
        let source = &escape.source;
        let is_of_key = |byte: Option<&u8>| byte.is_some_and(|&byte| base64_digit(byte).is_some());
        let before = is_of_key(source.start.checked_sub(1).and_then(|at| part.hay.get(at)));
        let is_within = before && is_of_key(part.hay.get(source.end));
        match (escape.encoding, escape.bytes[0]) {
            (Encoding::QuotedPrintable, _) => before && (escape.count > 0 || is_within),
            (Encoding::JsonEscape, byte) if source.len() == 2 => {
                !byte.is_ascii_control() && (is_within || part.signs.contains(byte))
            }
            (_, _) => true,
        }
    }
}

/// A part of a text that is worth decoding.
#[derive(Debug)]
struct Region {
    range: Range<usize>,
    /// The first escape's.
    encoding: Encoding,
    /// Whether there are others.
    mixed: bool,
}

/// Something in a text that stands for other bytes.
#[derive(Debug)]
struct Escape {
    source: Range<usize>,
    bytes: [u8; 4],
    /// How many of the bytes it stands for.
    count: usize,
    encoding: Encoding,
}

impl Escape {
    fn of_byte(source: Range<usize>, byte: u8, encoding: Encoding) -> Self {
        Self { source, bytes: [byte, 0, 0, 0], count: 1, encoding }
    }

    fn of_nothing(source: Range<usize>, encoding: Encoding) -> Self {
        Self { source, bytes: [0; 4], count: 0, encoding }
    }

    fn of_char(source: Range<usize>, code: u32, encoding: Encoding) -> Option<Self> {
        let mut bytes = [0; 4];
        let count = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Self { source, bytes, count, encoding })
    }
}

fn percent(hay: &[u8], at: usize) -> Option<Escape> {
    let &[b'%', high, low] = hay.get(at..at + 3)? else { return None };
    Some(Escape::of_byte(at..at + 3, hex_digit(high)? << 4 | hex_digit(low)?, Encoding::Percent))
}

/// What a backslash begins in JSON, C, Python, Rust, JavaScript and shells.
fn backslash(hay: &[u8], at: usize) -> Option<Escape> {
    const BRACED_DIGITS_MAX: usize = 6;

    let is = Encoding::JsonEscape;
    let rest = hay.get(at..)?;
    let (b'\\', &second) = (*rest.first()?, rest.get(1)?) else { return None };
    let of_code = |from: usize, digits: usize, end: usize| {
        Escape::of_char(at..at + end, number(rest.get(from..from + digits)?, 16)?, is)
    };
    match second {
        b'u' if rest.get(2) == Some(&b'{') => {
            let digits = rest[3..].iter().take(BRACED_DIGITS_MAX + 1).position(|&byte| byte == b'}')?;
            of_code(3, digits, 4 + digits)
        }
        b'u' => of_code(2, 4, 6),
        b'U' => of_code(2, 8, 10),
        b'x' => {
            let &[high, low] = rest.get(2..4)? else { return None };
            Some(Escape::of_byte(at..at + 4, hex_digit(high)? << 4 | hex_digit(low)?, is))
        }
        b'0'..=b'3' => {
            let byte = u8::try_from(number(rest.get(1..4)?, 8)?).ok()?;
            Some(Escape::of_byte(at..at + 4, byte, is))
        }
        b'n' => Some(Escape::of_byte(at..at + 2, b'\n', is)),
        b'r' => Some(Escape::of_byte(at..at + 2, b'\r', is)),
        b't' => Some(Escape::of_byte(at..at + 2, b'\t', is)),
        _ if second.is_ascii_punctuation() => Some(Escape::of_byte(at..at + 2, second, is)),
        _ => None,
    }
}

fn entity(hay: &[u8], at: usize) -> Option<Escape> {
    const NAMES: [(&[u8], u8); 5] =
        [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
    const DIGITS_MAX: usize = 8;

    let is = Encoding::HtmlEntity;
    let rest = hay.get(at..)?;
    let Some(digits) = rest.strip_prefix(b"&#") else {
        let (name, byte) = NAMES.iter().find(|(name, _)| rest.starts_with(name))?;
        return Some(Escape::of_byte(at..at + name.len(), *byte, is));
    };
    let hex = digits.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'x'));
    let (from, radix) = if hex { (3, 16) } else { (2, 10) };
    let count = rest.get(from..)?.iter().take(DIGITS_MAX + 1).position(|&byte| byte == b';')?;
    Escape::of_char(at..at + from + count + 1, number(&rest[from..from + count], radix)?, is)
}

/// Only what may stand in a key, so that a key behind the sign of an assignment stays what it is.
fn quoted_printable(hay: &[u8], at: usize) -> Option<Escape> {
    let is = Encoding::QuotedPrintable;
    let rest = hay.get(at..)?;
    if rest.starts_with(b"=\n") || rest.starts_with(b"=\r\n") {
        let end = if rest[1] == b'\n' { 2 } else { 3 };
        return Some(Escape::of_nothing(at..at + end, is));
    }
    let &[b'=', high, low] = rest.get(..3)? else { return None };
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let byte = hex_digit(high)? << 4 | hex_digit(low)?;
    let is_it = is_digit(high) && is_digit(low) && (byte.is_ascii_graphic() || byte == b' ');
    is_it.then(|| Escape::of_byte(at..at + 3, byte, is))
}

/// A line break between digits of base64, with what is around it: white space, quotes, commas; also as strings write it.
fn line_break(hay: &[u8], at: usize) -> Option<Escape> {
    const BREAK_BYTES_MAX: usize = 64;
    const BEFORE_BYTES_MAX: usize = 8;

    let is_around = |byte: &u8| b" \t\r\n\"',".contains(byte);
    let before = &hay[at.saturating_sub(BEFORE_BYTES_MAX)..at];
    let start = at - before.iter().rev().take_while(|byte| is_around(byte) || **byte == b'\\').count();
    let line = hay.get(start.checked_sub(LINE_BYTES_MIN)?..start)?;
    if !line.iter().rev().all(|&byte| base64_digit(byte).is_some()) {
        return None;
    }
    let mut end = start;
    let mut breaks = false;
    while end < hay.len().min(start + BREAK_BYTES_MAX) {
        let escaped = if hay[end] == b'\\' { hay.get(end + 1) } else { None };
        end += match escaped {
            Some(b'n' | b'r') => {
                breaks = true;
                2
            }
            Some(b't') => 2,
            Some(b'\\' | b'\n' | b'\r' | b'"') => 1,
            None if is_around(&hay[end]) => {
                breaks |= hay[end] == b'\n';
                1
            }
            Some(_) | None => break,
        };
    }
    let goes_on = hay.get(end).is_some_and(|&byte| base64_digit(byte).is_some());
    (breaks && goes_on && end > at).then(|| Escape::of_nothing(start..end, Encoding::Plain))
}

/// The number that all of the digits make.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u32, |number, &digit| number.checked_mul(radix)?.checked_add(char::from(digit).to_digit(radix)?))
}

/// Lists of bytes as numbers, with commas between them.
fn numbers(part: &Part<'_>, each: &mut dyn FnMut(View)) {
    const NUMBERS_MIN: usize = 8;

    let whole = part.whole(usize::MAX);
    let hay = &part.hay[..whole.end];
    let mut next = whole.start;
    for comma in memchr_iter(b',', &hay[whole.start..]).map(|at| whole.start + at) {
        if comma < next {
            continue;
        }
        let first = next;
        next = comma + 1;
        let Some(second) = number_behind(hay, next) else { continue };
        let before = number_before(hay, first, comma);
        let numbers =
            || before.clone().into_iter().chain(successors(Some(second.clone()), |last| number_after(hay, last)));
        let (count, end) = numbers().fold((0, next), |(count, _), (source, _)| (count + 1, source.end));
        work::step(end - comma);
        next = end;
        if count < NUMBERS_MIN {
            continue;
        }
        let start = before.as_ref().map_or(comma, |(source, _)| source.start);
        let mut view = View::start(start..end);
        numbers().for_each(|(source, byte)| view.decode(source, &[byte], Encoding::Bytes));
        each(view);
    }
}

/// The number behind a number and a comma.
fn number_after(hay: &[u8], (before, _): &(Range<usize>, u8)) -> Option<(Range<usize>, u8)> {
    let comma = before.end + spaces(&hay[before.end..]);
    if hay.get(comma) == Some(&b',') { number_behind(hay, comma + 1) } else { None }
}

/// The white space that a text begins with, in bytes.
fn spaces(text: &[u8]) -> usize {
    const SPACE_BYTES_MAX: usize = 64;

    text.iter().take(SPACE_BYTES_MAX).take_while(|byte| b" \t\r\n".contains(byte)).count()
}

/// The number of a byte that comes next, and nothing else before what is between numbers.
fn number_behind(hay: &[u8], at: usize) -> Option<(Range<usize>, u8)> {
    const DIGITS_MAX: usize = 4;

    let start = at + spaces(hay.get(at..)?);
    let text = &hay[start..];
    let length = text.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let is_whole = !text.get(length).is_some_and(|byte| b"._".contains(byte));
    let byte = byte_of(&text[..length]).filter(|_| is_whole)?;
    Some((start..start + length, byte))
}

/// The number of a byte that ends before a comma, and begins at `first` or behind it.
fn number_before(hay: &[u8], first: usize, comma: usize) -> Option<(Range<usize>, u8)> {
    const BYTES_MAX: usize = 16;

    let text = &hay[first.max(comma.saturating_sub(BYTES_MAX)).min(comma)..comma];
    let end = comma - text.iter().rev().take_while(|byte| b" \t\r\n".contains(byte)).count();
    let text = &text[..text.len() - (comma - end)];
    let length = text.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let byte = byte_of(&text[text.len() - length..])?;
    Some((end - length..end, byte))
}

/// The byte that a number of the sources of programs is.
fn byte_of(text: &[u8]) -> Option<u8> {
    let value = match text {
        [b'0', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [] | [_, _, _, _, ..] => return None,
        digits => number(digits, 10)?,
    };
    u8::try_from(value).ok()
}

/// Runs of ASCII in UTF-16.
fn utf16(part: &Part<'_>, each: &mut dyn FnMut(View)) {
    /// So far apart are looks at the text: every run that is long enough is seen.
    const STRIDE: usize = 16;

    let whole = part.whole(usize::MAX);
    let hay = &part.hay[..whole.end];
    let is_char = |byte: u8| byte.is_ascii_graphic() || b" \t\r\n".contains(&byte);
    let is_unit = |at: usize| hay.get(at..at + 2).is_some_and(|unit| is_char(unit[0]) && unit[1] == 0);
    let mut at = whole.start;
    while let Some(&[a, b, c, d]) = hay.get(at..at + 4).and_then(|four| four.first_chunk::<4>()) {
        let first = match [a, b, c, d] {
            [_, 0, _, 0] if is_char(a) && is_char(c) => at,
            [0, _, 0, _] if is_char(b) && is_char(d) => at + 1,
            _ => {
                at += STRIDE;
                continue;
            }
        };
        let mut start = first;
        while start >= whole.start + 2 && is_unit(start - 2) {
            start -= 2;
        }
        let mut end = first;
        while is_unit(end) {
            end += 2;
        }
        // The last character has no zero behind it if the big end comes first. Units stand at even offsets of a file.
        let zero_before = start.checked_sub(1).is_some_and(|before| hay[before] == 0);
        let one_more = hay.get(end).is_some_and(|&byte| is_char(byte));
        let is_big = zero_before && (one_more || is_odd(part.base, start));
        let (encoding, from) = if is_big { (Encoding::Utf16Be, start - 1) } else { (Encoding::Utf16Le, start) };
        at = end + STRIDE;
        if end - start < 2 * KNOWN_BYTES_MIN - 2 {
            continue;
        }
        work::step(end - start);
        let text: Vec<u8> = hay[start..end].iter().step_by(2).copied().collect();
        if one_more {
            // Where both orders fit, that character is seen with and without.
            each(View::scaled([&text[..], &hay[end..=end]].concat(), from, 2, 1, encoding));
        }
        if !(one_more && is_big) {
            each(View::scaled(text, from, 2, 1, encoding));
        }
    }
}
